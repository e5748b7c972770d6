"""signloom doctor: what is wrong with a corpus, before any time is spent on it."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

KINDS = {
    "missing": "listed, but not there",
    "directory": "a folder stands where a clip was expected",
    "permission": "may not be read",
    "empty": "zero bytes",
    "not-media": "not a clip at all",
    "no-video": "without a picture track",
    "truncated": "ends before its container says",
    "no-frames": "no frame to be had",
    "one-frame": "a single frame is no sign",
    "too-large": "over the size limit",
    "too-long": "over the frame limit",
    "bad-header": "a header that contradicts itself or the file",
    "timeout": "reading did not end",
    "crashed": "took its reader down",
    "out-of-memory": "took all the memory",
    "decode-error": "damaged data",
    "lying": "the container's claims are not what decoding gives",
    "extension": "the name's suffix is not what the content is",
    "range": "a frame range that does not fit the video",
    "duplicate": "the same content more than once",
    "unlabelled": "no label, where others have one",
    "unmatched": "left out, because the path does not fit",
    "still": "nothing moves, or all is black",
    "error": "could not be examined",
}
_SUFFIXES = {
    "MP4": ".mp4 .m4v .mov .3gp",
    "Matroska/WebM": ".mkv .webm",
    "AVI": ".avi",
    "GIF": ".gif",
    "MPEG": ".mpg .mpeg .mpe .vob",
    "MPEG-TS": ".ts .mts .m2ts",
    "ASF/WMV": ".wmv",
    "FLV": ".flv",
    "Ogg": ".ogv",
}
_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Look at every file of a corpus in a process that can be killed, and name each one that is corrupt, truncated, "
        "empty, lying, duplicate, missing or unlabelled; then what labels, signers, rates and sizes are like."
    )
    parser.epilog = """examples:
  signloom doctor videos/                                      headers, one frame of each clip, duplicates
  signloom doctor videos/ --full --pattern '{signer}/{label}/{take}.mp4'
  signloom doctor wlasl/ --json > report.json
  signloom doctor videos/ --published nslt_100.json            what share of a published list is there

Without --full a damage in the middle of a clip is not seen. Exit codes: 0 nothing wrong, 3 problems found."""
    parser.add_argument("root", type=Path, help="a folder, a list (JSON, CSV, txt) or a prepared corpus")
    parser.add_argument("--source", default="auto", help="how to read it (see `signloom prepare --source help`)")
    parser.add_argument("--pattern", help="where the names stand, e.g. '{signer}/{label}/{take}.mp4'")
    parser.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="an option of the source (repeatable)"
    )
    parser.add_argument("--full", action="store_true", help="decode every frame of every clip")
    parser.add_argument(
        "--published", type=Path, metavar="LIST", help="a published list to compare with (JSON, CSV, txt)"
    )
    parser.add_argument("--workers", type=int, help="processes (default: one per core)")
    parser.add_argument("--timeout-s", type=float, default=120, help="give up on a file after this long (default: 120)")
    parser.add_argument(
        "--max-frames", type=int, default=20_000, help="clips longer than this are named (default: 20000)"
    )
    parser.add_argument("--all", action="store_true", help=f"list all problems, not {_SHOWN} of each kind")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(args: argparse.Namespace) -> int:
    from signloom.runtime.workers import map_clips
    from signloom.sources import parse_options

    began = time.monotonic()
    manifest, notes = _read(args.root, args.source, args.pattern, parse_options(args.option))
    problems = _reading_problems(manifest)
    files = _files(manifest)
    tasks = _tasks(files, args)
    outcomes = map_clips(
        examine,
        tasks,
        workers=args.workers,
        timeout_s=args.timeout_s + 5,  # the reader stops itself first, and says where it was
        title="examining",
        quiet=args.json,
    )
    facts: dict[str, Mapping[str, Any]] = {}
    for (path, records), outcome in zip(files.items(), outcomes):
        ids = [r.id for r in records]
        if outcome.ok:
            facts[path] = outcome.value or {}
            for found in facts[path].get("problems", ()):
                problems.append({"kind": found["kind"], "file": path, "clips": ids, "message": found["message"]})
        else:
            reason = outcome.reason if outcome.reason in KINDS else "error"
            problems.append({"kind": reason, "file": path, "clips": ids, "message": outcome.message})
    problems += _range_problems(files, facts)
    problems += _duplicates(files, facts)
    problems += _unlabelled(manifest)
    shown = _main_stream(manifest, facts)
    skipped = manifest.meta.get("skipped") or {}
    if skipped:
        what = ", ".join(f"{n} {reason}" for reason, n in skipped.items())
        notes.append(f"{sum(skipped.values())} other files and folders were passed over: {what}")
    notes += _label_notes(manifest) + _signer_notes(manifest) + _media_notes(shown)
    published = dict(manifest.meta.get("published") or {})
    if args.published is not None:
        published = _compare(manifest, args.published)
    order = {kind: k for k, kind in enumerate(KINDS)}
    problems.sort(key=lambda p: (order[p["kind"]], p["file"] or ""))
    result = {
        "kind": "doctor",
        "root": str(args.root),
        "source": manifest.meta.get("source"),
        "full": args.full,
        "clips": len(manifest),
        "files": len(files),
        "labels": len(manifest.labels),
        "signers": len(manifest.signers),
        "ok": not problems,
        "problem_counts": dict(Counter(p["kind"] for p in problems)),
        "problems": problems,
        "notes": notes,
        "published": {
            split: {**row, "share": round(row["present"] / row["listed"], 4) if row["listed"] else None}
            for split, row in published.items()
        },
        "media": _media(shown),
        "seconds": round(time.monotonic() - began, 1),
    }
    if args.json:
        print(json.dumps(result, ensure_ascii=False, indent=1))
    else:
        _print(result, shown=None if args.all else _SHOWN)
    return 3 if problems else 0


# --- one file, in a worker ----------------------------------------------------------------------------------------


def examine(path: str, how: str, full: bool, hashed: bool, limits: Mapping[str, float]) -> dict[str, Any]:
    """What one file is like; ``how`` is video, pose, landmarks or bytes. Raises MediaError with why it is broken."""
    from signloom.media import Limits, content_hash

    caps = Limits(max_frames=int(limits["max_frames"]), max_seconds=float(limits["max_seconds"]))
    facts: dict[str, Any] = {"how": how, "problems": []}
    if how == "video":
        facts |= _examine_video(path, full, caps)
    elif how == "pose":
        from signloom.media import read_pose

        pose = read_pose(path, caps)
        facts |= {"fps": float(pose.body.fps), "frames": len(pose.body.data)}
        if not (pose.body.confidence > 0).any():
            facts["problems"].append({"kind": "still", "message": f"'{path}': no point was ever found in it"})
    elif how == "landmarks":
        from signloom.sources.dgs_landmarks import read_landmarks

        facts |= {"frames": len(read_landmarks(path)[0])}
    else:
        from signloom.media import content_hash as read_all

        read_all(path)
    if facts.get("frames") == 1:
        facts["problems"].append({"kind": "one-frame", "message": f"'{path}': it has a single frame"})
    if hashed:
        facts["content"] = content_hash(path)
    return facts


def _examine_video(path: str, full: bool, caps: Any) -> dict[str, Any]:
    from signloom.media import iter_frames, probe
    from signloom.media.headers import read_header

    info = probe(path, caps)
    problems = []
    if os.path.isfile(path):
        with open(path, "rb") as file:
            kind = read_header(file, path).kind
        suffix = os.path.splitext(path)[1].lower()
        if kind in _SUFFIXES and suffix not in _SUFFIXES[kind].split():
            problems.append({"kind": "extension", "message": f"'{path}': it is {kind}, not what '{suffix}' says"})
    frames = info.n_frames
    if frames and info.duration_s and frames > 2:
        rate = frames / info.duration_s
        if abs(rate / info.fps - 1) > 0.1 and abs(frames - info.fps * info.duration_s) > 2:
            problems.append(
                {
                    "kind": "lying",
                    "message": f"'{path}': {frames} frames in {info.duration_s:.2f} s make {rate:.2f} frames/s, the "
                    f"container says {info.fps:.2f}",
                }
            )
    if full:
        import numpy as np

        decoded, first, moved, brightest, steps = 0, None, 0.0, 0, []
        last_s = None
        for time_s, frame in iter_frames(path, limits=caps):
            small = frame[:: max(1, frame.shape[0] // 48), :: max(1, frame.shape[1] // 48)].astype(np.int16)
            first = small if first is None else first
            moved = max(moved, float(np.abs(small - first).mean()))
            brightest = max(brightest, int(small.max()))
            if last_s is not None:
                steps.append(time_s - last_s)
            last_s = time_s
            decoded += 1
        if frames is not None and abs(decoded - frames) > 1:
            problems.append(
                {
                    "kind": "lying",
                    "message": f"'{path}': the container says {frames} frames, decoding gives {decoded}",
                }
            )
        frames = decoded
        if brightest < 24:
            problems.append({"kind": "still", "message": f"'{path}': every frame is black"})
        elif decoded > 1 and moved < 0.5:
            problems.append({"kind": "still", "message": f"'{path}': nothing moves in its {decoded} frames"})
        uneven = bool(steps) and max(steps) > 1.5 * sorted(steps)[len(steps) // 2]
    return {
        "fps": info.fps,
        "frames": frames,
        "size_px": [info.width, info.height],
        "rotation_deg": info.rotation_deg,
        "codec": info.codec,
        "duration_s": info.duration_s,
        **({"uneven": uneven} if full else {}),
        "problems": problems,
    }


# --- the corpus ---------------------------------------------------------------------------------------------------


def _read(root: Path, source: str, pattern: str | None, options: dict[str, str]) -> tuple[Any, list[str]]:
    """The corpus; a folder that cannot be told is examined without labels, which is said."""
    from signloom.data.manifest import Manifest
    from signloom.errors import InputError
    from signloom.sources import read_source
    from signloom.sources.listing import list_media, records_of

    try:
        manifest = read_source(root, source=source, pattern=pattern, **options)
    except InputError as error:
        if source != "auto" or pattern is not None or options or not root.is_dir():
            raise
        listing = list_media(root)
        if not listing.files:
            raise
        manifest = Manifest(records_of((p, {}) for p in listing.files), root, {"source": "files", **listing.meta()})
        return manifest, [f"labels and signers are not known, only files are examined: {error}"]
    notes = list(manifest.meta.get("notes", ()))
    return manifest, notes


def _reading_problems(manifest: Any) -> list[dict[str, Any]]:
    """What the reader already could not place."""
    problems = []
    for kind, what in (("missing", "is listed, but not there"), ("unmatched", "does not fit and is left out")):
        found = manifest.meta.get(kind) or {"count": 0, "first": []}
        for name in found["first"]:
            problems.append({"kind": kind, "file": name, "clips": [], "message": f"'{name}' {what}"})
        more = found["count"] - len(found["first"])
        if more > 0:
            problems.append(
                {"kind": kind, "file": None, "clips": [], "message": f"{more} more {what.replace('is', 'are', 1)}"}
            )
    return problems


def _files(manifest: Any) -> dict[str, list[Any]]:
    """Absolute path → the records that use it, each file once."""
    files: dict[str, list[Any]] = {}
    for record in manifest:
        for path in record.streams.values():
            files.setdefault(os.path.join(manifest.root, path), []).append(record)
    return files


def _tasks(files: Mapping[str, Sequence[Any]], args: argparse.Namespace) -> list[Any]:
    from signloom.runtime.workers import Job

    sizes: dict[str, int] = {}
    for path in files:
        try:
            sizes[path] = os.stat(path).st_size
        except OSError:
            continue
    shared = Counter(sizes.values())
    limits = {"max_frames": args.max_frames, "max_seconds": args.timeout_s}
    return [
        # Only files of equal size can be duplicates, so only those are read whole for their hash.
        Job(path, (path, _how(path, records), args.full, shared.get(sizes.get(path, -1), 0) > 1, limits))
        for path, records in files.items()
    ]


def _how(path: str, records: Sequence[Any]) -> str:
    suffix = os.path.splitext(path)[1].lower()
    if {name for r in records for name, p in r.streams.items() if path.endswith(p)} == {"imu"}:
        return "bytes"  # a table of sensors, not of landmarks
    if suffix == ".pose":
        return "pose"
    if path.lower().endswith((".csv", ".csv.gz")):
        return "landmarks"
    return "bytes" if suffix in (".mat", ".npy", ".npz", ".txt", ".json") else "video"


def _range_problems(files: Mapping[str, Sequence[Any]], facts: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    problems = []
    for path, found in facts.items():
        if found.get("how") != "video":
            continue
        for record in files[path]:
            whole = record.first_frame == 0 and record.end_frame is None
            end = record.end_frame if record.end_frame is not None else record.first_frame + 1
            if found["frames"] is not None and not whole and end > found["frames"]:
                message = (
                    f"clip '{record.id}': frames {record.first_frame} to {end} of '{path}', which has {found['frames']}"
                )
                problems.append({"kind": "range", "file": path, "clips": [record.id], "message": message})
            elif not whole and record.fps and found["fps"] and abs(found["fps"] / record.fps - 1) > 0.02:
                message = (
                    f"clip '{record.id}': its frame range was counted at {record.fps:g} frames/s, '{path}' has "
                    f"{found['fps']:.2f}, so it cuts the wrong stretch; resample the video, or correct the list"
                )
                problems.append({"kind": "range", "file": path, "clips": [record.id], "message": message})
    return problems


def _duplicates(files: Mapping[str, Sequence[Any]], facts: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    same: dict[str, list[str]] = defaultdict(list)
    for path, found in facts.items():
        if found.get("content"):
            same[found["content"]].append(path)
    problems = []
    for paths in same.values():
        if len(paths) < 2:
            continue
        # A prepared corpus may hold one clip's stream under two names; two clips are what matters.
        records = {r.id: r for path in paths for r in files[path]}
        if len(records) < 2:
            continue
        labels = sorted({r.label for r in records.values() if r.label is not None})
        signers = sorted({r.signer for r in records.values() if r.signer is not None})
        conflict = f", under {len(labels)} labels ({', '.join(labels[:4])})" if len(labels) > 1 else ""
        conflict += f", under {len(signers)} signers ({', '.join(signers[:4])})" if len(signers) > 1 else ""
        names = ", ".join(f"'{p}'" for p in paths[:4]) + (f" and {len(paths) - 4} more" if len(paths) > 4 else "")
        message = f"the same content{conflict}: {names}"
        problems.append({"kind": "duplicate", "file": paths[0], "clips": sorted(records), "message": message})
    return problems


def _unlabelled(manifest: Any) -> list[dict[str, Any]]:
    if not manifest.labels:
        return []
    return [
        {
            "kind": "unlabelled",
            "file": next(iter(r.streams.values()), None),
            "clips": [r.id],
            "message": f"clip '{r.id}' has no label",
        }
        for r in manifest
        if r.label is None
    ]


def _label_notes(manifest: Any) -> list[str]:
    per_label: Counter[str] = Counter(r.label for r in manifest if r.label is not None)
    if not per_label:
        return ["no clip has a label"]
    notes = []
    (most, most_n), (least, least_n) = per_label.most_common(1)[0], per_label.most_common()[-1]
    if most_n >= 5 * least_n:
        notes.append(f"labels are unbalanced: '{most}' has {most_n} clips, '{least}' {least_n}")
    single = sorted(label for label, n in per_label.items() if n == 1)
    if single:
        notes.append(
            f"{len(single)} labels have a single clip, so they cannot be both learnt and tested: {_few(single)}"
        )
    if len(manifest.signers) > 1:
        by: dict[str, set[str]] = defaultdict(set)
        for r in manifest:
            if r.label is not None and r.signer is not None:
                by[r.label].add(r.signer)
        one = sorted(label for label, signers in by.items() if len(signers) == 1)
        if one:
            notes.append(f"{len(one)} labels are made by one signer only, so no new signer can test them: {_few(one)}")
    spellings: dict[str, set[str]] = defaultdict(set)
    for label in per_label:
        spellings[" ".join(unicodedata.normalize("NFKC", label).casefold().split())].add(label)
    for variants in spellings.values():
        if len(variants) > 1:
            notes.append(f"labels that differ in spelling only: {', '.join(repr(v) for v in sorted(variants))}")
    return notes


def _signer_notes(manifest: Any) -> list[str]:
    n = len(manifest.signers)
    if n == 0:
        return ["no signer is known, so nothing can be tested on new signers; name them with --pattern ({signer})"]
    lacking = sum(r.signer is None for r in manifest)
    notes = [f"{lacking} clips have no signer"] if lacking else []
    if n < 3:
        notes.append(f"{n} signer{'s' if n > 1 else ''}: too few to validate and test on new ones")
    return notes


def _main_stream(manifest: Any, facts: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The facts of one stream: a prepared corpus has resized frames beside its videos, which are no mix of sizes."""
    have = {name for r in manifest for name in r.streams}
    name = next((s for s in ("video", "frames", "pose", "landmarks") if s in have), None)
    paths = {os.path.join(manifest.root, r.streams[name]) for r in manifest if name in r.streams}
    return {path: found for path, found in facts.items() if path in paths}


def _media(facts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    videos = [f for f in facts.values() if f.get("how") == "video"]
    frames = sorted(f["frames"] for f in facts.values() if f.get("frames"))
    middle = frames[len(frames) // 2] if frames else None
    return {
        "fps": dict(Counter(f"{f['fps']:.2f}" for f in facts.values() if f.get("fps")).most_common()),
        "size_px": dict(Counter("{}×{}".format(*f["size_px"]) for f in videos).most_common()),
        "codec": dict(Counter(f["codec"] for f in videos).most_common()),
        "rotated": sum(bool(f["rotation_deg"]) for f in videos),
        "frames": {"least": frames[0], "median": middle, "most": frames[-1]} if frames else None,
    }


def _media_notes(facts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    media = _media(facts)
    notes = []
    for key, what in (("fps", "frame rates"), ("size_px", "picture sizes"), ("codec", "codecs")):
        values = media[key]
        if len(values) > 1:
            some = ", ".join(f"{v} ({n})" for v, n in list(values.items())[:5])
            notes.append(f"{len(values)} {what}: {some}{' …' if len(values) > 5 else ''}")
    odd = [path for path, f in facts.items() if f.get("fps") and not 10 <= f["fps"] <= 125]
    if odd:
        notes.append(f"{len(odd)} clips have an unusual frame rate, first '{odd[0]}' ({facts[odd[0]]['fps']:.2f})")
    uneven = [path for path, f in facts.items() if f.get("uneven")]
    if uneven:
        notes.append(
            f"{len(uneven)} clips have frames at uneven times, first '{uneven[0]}'; they are resampled when read"
        )
    if media["frames"] and media["frames"]["most"] > 10 * media["frames"]["median"]:
        longest = max(facts, key=lambda p: facts[p].get("frames") or 0)
        notes.append(
            f"the longest clip has {media['frames']['most']} frames, the median {media['frames']['median']}: is "
            f"'{longest}' one sign?"
        )
    return notes


def _compare(manifest: Any, path: Path) -> dict[str, dict[str, int]]:
    """How much of a published list the corpus holds: entries are matched by clip id or by file name without suffix."""
    here = {r.id for r in manifest}
    for record in manifest:
        for stream in record.streams.values():
            stem = os.path.splitext(stream.replace(os.sep, "/"))[0]
            here |= {stem, os.path.basename(stem), os.path.basename(stem).removesuffix("_color")}
    out: dict[str, dict[str, int]] = {}
    for split, name in _published(path):
        stem = os.path.splitext(name)[0]
        row = out.setdefault(split, {"listed": 0, "present": 0})
        row["listed"] += 1
        row["present"] += bool({name, stem, os.path.basename(stem)} & here)
    return out


def _published(path: Path) -> Iterable[tuple[str, str]]:
    """(split or 'all', file name or id) for every entry of a published list."""
    from signloom.errors import InputError
    from signloom.sources.csv_table import read_csv
    from signloom.sources.tables import read_text
    from signloom.sources.wlasl import read_wlasl

    if not path.is_file():
        raise InputError(f"--published: '{path}' is not a file; wanted a list (JSON, CSV, txt)")
    if path.suffix.lower() == ".json":
        corpus = read_wlasl(path, keep_missing=True)
        return [(r.split or "all", os.path.basename(r.streams["video"])) for r in corpus]
    lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    if lines and not any(c in line for line in lines[:20] for c in ",;\t"):
        return [("all", line.split()[0] if ".avi " in line else line) for line in lines]
    corpus = read_csv(path, keep_missing=True)
    return [(r.split or "all", next(iter(r.streams.values()))) for r in corpus]


# --- telling ------------------------------------------------------------------------------------------------------


def _few(names: Sequence[str], n: int = 5) -> str:
    return ", ".join(f"'{x}'" for x in names[:n]) + (" …" if len(names) > n else "")


def _print(result: Mapping[str, Any], shown: int | None) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)

    def say(text: str = "", style: str | None = None) -> None:
        console.print(text, style=style, markup=False)  # file names may hold brackets

    media = result["media"]
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in (
        ("corpus", f"{result['root']} (read as {result['source']})"),
        ("clips", f"{result['clips']} in {result['files']} files, {'decoded whole' if result['full'] else 'headers'}"),
        ("labels", str(result["labels"] or "none known")),
        ("signers", str(result["signers"] or "none known")),
        ("frames", "{least} to {most}, median {median}".format(**media["frames"]) if media["frames"] else "–"),
        ("rates", ", ".join(f"{k} ({n})" for k, n in list(media["fps"].items())[:4]) or "–"),
        ("sizes", ", ".join(f"{k} ({n})" for k, n in list(media["size_px"].items())[:4]) or "–"),
    ):
        table.add_row(Text(name, style="bold"), Text(value))
    console.print(table)
    for split, row in result["published"].items():
        say(f"published {split}: {row['present']} of {row['listed']} clips present ({row['share']:.1%})")
    for kind, n in result["problem_counts"].items():
        say()
        say(f"{kind}: {n} ({KINDS[kind]})", "bold red")
        rows = [p for p in result["problems"] if p["kind"] == kind]
        for problem in rows[:shown]:
            say(f"  {problem['message']}")
        if shown is not None and len(rows) > shown:
            say(f"  … and {len(rows) - shown} more (--all, or --json)")
    if result["notes"]:
        say()
        say("worth knowing", "bold")
        for note in result["notes"]:
            say(f"  {note}")
    say()
    broken = sum(result["problem_counts"].values())
    if broken:
        say(f"{broken} problems in {result['seconds']:.0f} s", "bold red")
    else:
        rest = "" if result["full"] else "; --full decodes every frame, and sees damage inside clips too"
        say(f"nothing wrong ({result['seconds']:.0f} s){rest}", "bold green")
    sys.stdout.flush()
