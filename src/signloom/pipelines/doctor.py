"""What is wrong with a corpus: every file looked at in a process that can be killed, then the corpus as a whole."""

from __future__ import annotations

import itertools
import os
import re
import time
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from signloom.data.leaks import show_the_same
from signloom.data.manifest import Manifest, Record
from signloom.data.rates import mixed_note
from signloom.data.skeleton import joints_of
from signloom.errors import InputError, MediaError
from signloom.media import Limits, VideoInfo, content_hash, cut_at, frame_times, probe_pose, read_pose
from signloom.media.headers import read_header
from signloom.media.recording import Recording
from signloom.runtime.text import lines_of
from signloom.runtime.workers import Job, map_clips
from signloom.sources import read_source
from signloom.sources.csv_table import read_csv
from signloom.sources.dgs_landmarks import landmarks_to_pose
from signloom.sources.listing import list_media, records_of
from signloom.sources.spelling import nfc
from signloom.sources.tables import read_text
from signloom.sources.wlasl import read_wlasl
from signloom.streams.pose_cleaning import clean_pose, pose_notes

if TYPE_CHECKING:
    from pose_format import Pose

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
    "spelling": "one label, spelt in more than one way",
    "unmatched": "left out, because the path does not fit",
    "still": "nothing moves, or all is black",
    "several-people": "a pose in which more than one could be the signer",
    "no-such-person": "a pose without the person asked for",
    "skeleton": "a pose of points that are not known",
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
_RECENT_BYTES = 1 << 26  # of frames, for parts that overlap
_THUMBNAIL_PX = 48  # frames are compared at about this size
_SEPARATORS = re.compile(r"[\s_.\u2010-\u2015-]+")  # between the words of a gloss; dashes of all lengths
_BLACK = 24  # no brighter than this anywhere
_STILL = 0.5  # mean difference to the first frame


Part = tuple[int, int | None]
"""Frames of a file, 0-based and half-open."""
WHOLE: Part = (0, None)


@dataclass(frozen=True)
class Problem:
    """Something wrong: its kind (of :data:`KINDS`), the file where it is one, and the ids of the clips it concerns."""

    kind: str
    file: str | None
    clips: tuple[str, ...]
    message: str

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "clips": list(self.clips)}


@dataclass(frozen=True)
class Facts:
    """What one file is like. ``found`` holds (kind, message) of what is wrong with it, though it can be read.

    ``dropped`` frames are those that its camera left out. ``pose_found`` counts what
    :func:`~signloom.streams.pose_cleaning.clean_pose` finds in a pose.
    """

    how: str
    fps: float | None = None
    frames: int | None = None
    size_px: tuple[int, int] | None = None
    rotation_deg: int = 0
    codec: str | None = None
    uneven: bool = False
    dropped: int = 0
    content: str | None = None
    pose_found: Mapping[str, int] = field(default_factory=dict)
    found: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Media:
    """The rates, sizes and codecs of the main stream with how many clips have each, and how long clips are."""

    fps: Mapping[str, int]
    size_px: Mapping[str, int]
    codec: Mapping[str, int]
    rotated: int
    frames: Mapping[str, int] | None


@dataclass(frozen=True)
class Diagnosis:
    """All that is wrong with a corpus, and what is worth knowing about it."""

    root: str
    source: str | None
    full: bool
    clips: int
    files: int
    labels: int
    signers: int
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    published: Mapping[str, Mapping[str, Any]]
    media: Media
    seconds: float

    @property
    def counts(self) -> dict[str, int]:
        """How many problems there are of each kind, in the order of :data:`KINDS`."""
        return dict(Counter(p.kind for p in self.problems))

    def as_dict(self) -> dict[str, Any]:
        """What ``signloom doctor --json`` prints."""
        return {
            "kind": "doctor",
            "root": self.root,
            "source": self.source,
            "full": self.full,
            "clips": self.clips,
            "files": self.files,
            "labels": self.labels,
            "signers": self.signers,
            "ok": not self.problems,
            "problem_counts": self.counts,
            "problems": [p.as_dict() for p in self.problems],
            "notes": list(self.notes),
            "published": {split: dict(row) for split, row in self.published.items()},
            "media": asdict(self.media),
            "seconds": self.seconds,
        }


def diagnose(
    root: Path,
    *,
    source: str = "auto",
    pattern: str | None = None,
    options: Mapping[str, str] | None = None,
    full: bool = False,
    published: Path | None = None,
    workers: int | None = None,
    timeout_s: float = 120,
    max_frames: int = 20_000,
    quiet: bool = False,
) -> Diagnosis:
    """Examine the corpus at ``root``, every frame of it if ``full``, and compare it with the list ``published``."""
    began = time.monotonic()
    manifest, notes = _read(root, source, pattern, options or {})
    files = _files(manifest)
    outcomes = map_clips(
        examine,
        _jobs(files, full, Limits(max_frames=max_frames, max_seconds=timeout_s)),
        workers=workers,
        timeout_s=timeout_s + 5,  # the reader stops itself first, and says where it was
        title="examining",
        quiet=quiet,
    )
    problems = _reading_problems(manifest)
    facts: dict[str, Facts] = {}
    for (path, records), outcome in zip(files.items(), outcomes):
        ids = tuple(r.id for r in records)
        if outcome.ok:
            facts[path] = Facts(**(outcome.value or {"how": "bytes"}))
            problems += [Problem(kind, path, ids, message) for kind, message in facts[path].found]
        else:
            reason = outcome.reason if outcome.reason in KINDS else "error"
            problems.append(Problem(reason, path, ids, outcome.message or ""))
    problems += (
        _range_problems(files, facts)
        + _duplicates(files, facts)
        + _nearly_the_same(files, facts)
        + _unlabelled(manifest)
        + _spellings(manifest)
    )
    order = {kind: k for k, kind in enumerate(KINDS)}
    problems.sort(key=lambda p: (order[p.kind], p.file or ""))
    shown = _main_stream(manifest, facts)
    shares = dict(manifest.meta.get("published") or {}) if published is None else _compare(manifest, published)
    return Diagnosis(
        root=str(root),
        source=manifest.meta.get("source"),
        full=full,
        clips=len(manifest),
        files=len(files),
        labels=len(manifest.labels),
        signers=len(manifest.signers),
        problems=tuple(problems),
        notes=(
            *notes,
            *_skipped_notes(manifest),
            *_label_notes(manifest),
            *_signer_notes(manifest),
            *_media_notes(shown),
            *_pose_notes(files, facts, notes),
        ),
        published={
            split: {**row, "share": round(row["present"] / row["listed"], 4) if row["listed"] else None}
            for split, row in shares.items()
        },
        media=_media(shown),
        seconds=round(time.monotonic() - began, 1),
    )


# --- one file, in a worker ----------------------------------------------------------------------------------------


def examine(
    path: str,
    how: str,
    full: bool,
    hashed: bool,
    limits: Limits,
    person: str = "auto",
    ranges: Sequence[tuple[Any, ...]] = (WHOLE,),
) -> dict[str, Any]:
    """The :class:`Facts` of one file as a dict; ``how`` is video, pose, landmarks or bytes, ``person`` who is to be
    read from a pose of several people.

    Only the ``ranges`` that clips are cut from are read, and limits are for each of them. Raises MediaError with why it
    is broken.
    """
    found: list[tuple[str, str]] = []
    facts: dict[str, Any] = {"how": how}
    parts = _in_frames(path, how, ranges, limits)
    if how == "video":
        facts |= _examine_video(path, full, limits, found, parts)
    elif how == "pose":
        n_frames, fps, poses = _poses_of(path, limits, parts)
        facts |= {"fps": fps, "frames": n_frames} | _examine_poses(poses, path, person, found)
    elif how == "landmarks":
        pose = landmarks_to_pose(path)
        facts |= {"frames": len(pose.body.data)} | _examine_poses([pose], path, person, found)
    if facts.get("frames") == 1:
        found.append(("one-frame", f"'{path}': it has a single frame"))
    if hashed or how == "bytes":  # of which it is only known whether they can be read
        content = content_hash(path)
        facts |= {"content": content} if hashed else {}
    return asdict(Facts(**facts, found=tuple(found)))


def _in_frames(path: str, how: str, ranges: Sequence[tuple[Any, ...]], limits: Limits) -> list[Part]:
    """``ranges`` in frames and in order of start; those in seconds that the file does not have are left out, since
    they are a finding of their own."""
    parts: set[Part] = set()
    for first, end, *seconds in ranges:
        if not seconds or how not in ("video", "pose"):
            parts.add((first, end))
            continue
        n_frames, fps = probe_pose(path, limits) if how == "pose" else (0, 1.0)
        times_s = np.arange(n_frames) / fps if how == "pose" else frame_times(path, limits)
        with suppress(MediaError):
            parts.add(cut_at(times_s, seconds[0], seconds[1], path))
    return sorted(parts, key=lambda part: (part[0], part[1] or 0))


def _poses_of(path: str, limits: Limits, parts: Sequence[Part]) -> tuple[int, float, list[Pose]]:
    """How many frames the file has, their rate, and the poses of the parts."""
    if WHOLE in parts:
        pose = read_pose(path, limits)
        return len(pose.body.data), float(pose.body.fps), [pose]
    n_frames, fps = probe_pose(path, limits)
    there = [(first, _within(end, n_frames)) for first, end in parts if first < n_frames]
    return n_frames, fps, [read_pose(path, limits, first_frame=first, end_frame=end) for first, end in there]


def _examine_poses(poses: Sequence[Pose], path: str, person: str, found: list[tuple[str, str]]) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    seen = False
    try:
        for pose in poses:
            clean = clean_pose(pose, person=person)
            counts.update(clean.found)
            seen = seen or bool(joints_of(clean.pose).present_TJ.any())
    except InputError as error:
        found.append(("skeleton", f"'{path}': {error}"))
        return {}
    except MediaError as error:
        found.append((error.reason, f"'{path}': {error}"))
        return {}
    if poses and not seen:
        found.append(("still", f"'{path}': no point was ever found in it"))
    return {"pose_found": dict(counts)}


def _within(end: int | None, n_frames: int | None) -> int | None:
    """A part that goes on behind the end of its file is a finding of its own; what there is of it is read."""
    return end if end is None or n_frames is None else min(end, n_frames)


def _examine_video(
    path: str, full: bool, limits: Limits, found: list[tuple[str, str]], parts: Sequence[Part]
) -> dict[str, Any]:
    with Recording(path, limits, part=WHOLE not in parts, recent_bytes=_RECENT_BYTES, near=0) as recording:
        return _examine_recording(path, recording, full, found, parts)


def _examine_recording(
    path: str, recording: Recording, full: bool, found: list[tuple[str, str]], parts: Sequence[Part]
) -> dict[str, Any]:
    info = recording.info(0, None if WHOLE in parts else 1)
    if recording.ends_early:
        found.append(("truncated", f"'{path}': {recording.ends_early}; clips that lie before it can be read"))
    parts = [(first, _within(end, info.n_frames)) for first, end in parts if first < (info.n_frames or first + 1)]
    for part in parts:
        recording.info(*part)
    if os.path.isfile(path):
        with open(path, "rb") as file:
            kind = read_header(file, path).kind
        suffix = os.path.splitext(path)[1].lower()
        if kind in _SUFFIXES and suffix not in _SUFFIXES[kind].split():
            found.append(("extension", f"'{path}': it is {kind}, not what '{suffix}' says"))
    frames, dropped = info.n_frames, 0
    if frames and info.duration_s and frames > 2:
        rate = frames / info.duration_s
        missing = rate < info.fps and not recording.ends_early
        dropped = _dropped(path, info, recording.limits) if missing else 0
        if (
            abs((frames + dropped) / info.duration_s / info.fps - 1) > 0.1
            and abs(frames - info.fps * info.duration_s) > 2
        ):
            message = (
                f"'{path}': {frames} frames in {info.duration_s:.2f} s make {rate:.2f} frames/s, the container says "
                f"{info.fps:.2f}"
            )
            found.append(("lying", message))
    facts = {
        "fps": info.fps,
        "frames": frames,
        "size_px": (info.width, info.height),
        "rotation_deg": info.rotation_deg,
        "codec": info.codec,
        "dropped": dropped,
    }
    return facts | _decode(path, recording, info, found, parts) if full else facts


def _dropped(path: str, info: VideoInfo, limits: Limits) -> int:
    """How many frames are missing between those that are there, which else keep to the container's rate.

    Phones and webcams leave frames out when the light or the processor is weak: nothing is wrong with such a file.
    """
    steps_s = np.diff(frame_times(path, limits))
    usual_s = float(np.median(steps_s)) if len(steps_s) else 0.0
    if abs(usual_s * info.fps - 1) > 0.1:
        return 0
    return int(np.maximum(np.rint(steps_s / usual_s) - 1, 0).sum())


def _decode(
    path: str, recording: Recording, info: VideoInfo, found: list[tuple[str, str]], parts: Sequence[Part]
) -> dict[str, Any]:
    """What only decoding every frame shows: how many there are, whether anything moves, whether time is even."""
    decoded, first, moved, brightest = 0, None, 0.0, 0
    steps: list[float] = []
    last_s = None
    for time_s, frame in itertools.chain.from_iterable(recording.part(*part) for part in parts):
        every = [max(1, n // _THUMBNAIL_PX) for n in frame.shape[:2]]
        small = frame[:: every[0], :: every[1]].astype(np.int16)
        first = small if first is None else first
        moved = max(moved, float(np.abs(small - first).mean()))
        brightest = max(brightest, int(small.max()))
        if last_s is not None and time_s > last_s:  # each part starts at 0
            steps.append(time_s - last_s)
        last_s = time_s
        decoded += 1
    # Fewer, but not so few that it would be cut off: cameras count frames that they drop.
    whole = WHOLE in parts
    if whole and info.n_frames is not None and decoded > info.n_frames + 1:
        found.append(("lying", f"'{path}': the container says {info.n_frames} frames, decoding gives {decoded}"))
    if decoded and brightest < _BLACK:
        found.append(("still", f"'{path}': every frame is black"))
    elif decoded > 1 and moved < _STILL:
        found.append(("still", f"'{path}': nothing moves in its {decoded} frames"))
    n_frames = decoded if whole else info.n_frames
    return {"frames": n_frames, "uneven": bool(steps) and max(steps) > 1.5 * sorted(steps)[len(steps) // 2]}


# --- the corpus ---------------------------------------------------------------------------------------------------


def _read(root: Path, source: str, pattern: str | None, options: Mapping[str, str]) -> tuple[Manifest, list[str]]:
    """The corpus; a folder that cannot be told is examined without labels, which is said."""
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
    return manifest, list(manifest.meta.get("notes", ()))


def _reading_problems(manifest: Manifest) -> list[Problem]:
    """What the reader already could not place."""
    problems = []
    for kind, what in (("missing", "is listed, but not there"), ("unmatched", "does not fit and is left out")):
        found = manifest.meta.get(kind) or {"count": 0, "first": []}
        problems += [Problem(kind, name, (), f"'{name}' {what}") for name in found["first"]]
        more = found["count"] - len(found["first"])
        if more > 0:
            problems.append(Problem(kind, None, (), f"{more} more {what.replace('is', 'are', 1)}"))
    return problems


def _files(manifest: Manifest) -> dict[str, list[Record]]:
    """Absolute path → the records that use it, each file once."""
    files: dict[str, list[Record]] = {}
    for record in manifest:
        for path in record.streams.values():
            files.setdefault(os.path.join(manifest.root, path), []).append(record)
    return files


def _jobs(files: Mapping[str, Sequence[Record]], full: bool, limits: Limits) -> list[Job]:
    sizes: dict[str, int] = {}
    for path in files:
        try:
            sizes[path] = os.stat(path).st_size
        except OSError:
            continue
    shared = Counter(sizes.values())
    return [
        # Only files of equal size can be duplicates, so only those are read whole for their hash.
        Job(
            path,
            (
                path,
                _how(path, records),
                full,
                shared.get(sizes.get(path, -1), 0) > 1,
                limits,
                str(records[0].extra.get("person", "auto")),
                _parts(records),
            ),
        )
        for path, records in files.items()
    ]


def _parts(records: Sequence[Record]) -> list[tuple[Any, ...]]:
    """What clips are cut from a file, each range once, as of :attr:`Record.range`."""
    parts = {record.range for record in records}
    return [WHOLE] if WHOLE in parts else list(parts)


def _how(path: str, records: Sequence[Record]) -> str:
    suffix = os.path.splitext(path)[1].lower()
    if {name for r in records for name, p in r.streams.items() if path.endswith(p)} == {"imu"}:
        return "bytes"  # a table of sensors, not of landmarks
    if suffix == ".pose":
        return "pose"
    if path.lower().endswith((".csv", ".csv.gz")):
        return "landmarks"
    return "bytes" if suffix in (".mat", ".npy", ".npz", ".txt", ".json") else "video"


def _range_problems(files: Mapping[str, Sequence[Record]], facts: Mapping[str, Facts]) -> list[Problem]:
    """Ranges that the file does not hold, and those that were counted at another rate than it has."""
    problems = []
    for path, found in facts.items():
        if found.how not in ("video", "pose"):
            continue
        for record in files[path]:
            if record.range != (0, None) and (wrong := _wrong_range(record, path, found)) is not None:
                problems.append(Problem("range", path, (record.id,), f"clip '{record.id}': {wrong}"))
    return problems


def _wrong_range(record: Record, path: str, found: Facts) -> str | None:
    if record.timed:
        if not found.frames or not found.fps:
            return None
        length_s, last_s = found.frames / found.fps, record.end_s if record.end_s is not None else record.start_s or 0
        if last_s <= length_s + 2 / found.fps:  # containers miscount by a frame or two
            return None
        end = "the end" if record.end_s is None else f"{record.end_s:g} s"
        return f"{record.start_s or 0:g} s to {end} of '{path}', which is {length_s:.2f} s long"
    end_frame = record.end_frame if record.end_frame is not None else record.first_frame + 1
    if found.frames is not None and end_frame > found.frames:
        return f"frames {record.first_frame} to {end_frame} of '{path}', which has {found.frames}"
    if record.fps and found.fps and abs(found.fps / record.fps - 1) > 0.02:
        return (
            f"its frame range was counted at {record.fps:g} frames/s, '{path}' has {found.fps:.2f}, so it cuts the "
            "wrong stretch; resample the video, or correct the list"
        )
    return None


def _duplicates(files: Mapping[str, Sequence[Record]], facts: Mapping[str, Facts]) -> list[Problem]:
    """Clips that are the same part of the same bytes, in one file or in copies of it."""
    same: dict[tuple[Any, ...], list[tuple[str, Record]]] = defaultdict(list)
    for path, found in facts.items():
        if found.content or found.how != "bytes":
            for record in files[path]:
                same[found.content or path, record.range, record.box_px].append((path, record))
    problems = []
    for (_, part, _), clips in same.items():
        # A prepared corpus may hold one clip's stream under two names; two clips are what matters.
        records = {r.id: r for _, r in clips}
        paths = list(dict.fromkeys(path for path, _ in clips))
        if len(records) < 2:
            continue
        labels = sorted({r.label for r in records.values() if r.label is not None})
        signers = sorted({r.signer for r in records.values() if r.signer is not None})
        conflict = f", under {len(labels)} labels ({', '.join(labels[:4])})" if len(labels) > 1 else ""
        conflict += f", under {len(signers)} signers ({', '.join(signers[:4])})" if len(signers) > 1 else ""
        names = ", ".join(f"'{p}'" for p in paths[:4]) + (f" and {len(paths) - 4} more" if len(paths) > 4 else "")
        first, end = part[-2:]
        unit = "frames" if len(part) == 2 else "seconds"
        cut = "" if part == (0, None) else f", {unit} {first or 0:g} to {'the end' if end is None else f'{end:g}'}"
        message = f"the same content{conflict}: {names}{cut}"
        if len(paths) == 1:
            message += f" stands for {len(records)} clips ({', '.join(sorted(records)[:4])})"
        problems.append(Problem("duplicate", paths[0], tuple(sorted(records)), message))
    return problems


def _nearly_the_same(files: Mapping[str, Sequence[Record]], facts: Mapping[str, Facts]) -> list[Problem]:
    """Clips of one file that share four fifths of their stretch, and whose labels differ."""
    problems = []
    for path, found in facts.items():
        if not found.fps or not found.frames or len(files[path]) < 2:
            continue
        spans = sorted(((*_span_s(r, found.fps, found.frames), r) for r in files[path]), key=lambda span: span[:2])
        for k, (start_s, end_s, record) in enumerate(spans):
            for other_start_s, other_end_s, other in spans[k + 1 :]:
                if other_start_s >= end_s:
                    break
                shared_s = min(end_s, other_end_s) - other_start_s
                longer_s = max(end_s - start_s, other_end_s - other_start_s)
                if (
                    shared_s >= 0.8 * longer_s
                    and record.label != other.label
                    and record.range != other.range
                    and show_the_same(record.box_px, other.box_px)
                ):
                    message = (
                        f"'{path}': {other_start_s:.2f} to {min(end_s, other_end_s):.2f} s is '{record.label}' in clip "
                        f"'{record.id}' and '{other.label}' in clip '{other.id}'"
                    )
                    problems.append(Problem("duplicate", path, (record.id, other.id), message))
    return problems


def _span_s(record: Record, fps: float, frames: int) -> tuple[float, float]:
    if record.timed:
        return record.start_s or 0.0, frames / fps if record.end_s is None else record.end_s
    return record.first_frame / fps, (frames if record.end_frame is None else record.end_frame) / fps


def _unlabelled(manifest: Manifest) -> list[Problem]:
    if not manifest.labels:
        return []
    return [
        Problem("unlabelled", next(iter(r.streams.values()), None), (r.id,), f"clip '{r.id}' has no label")
        for r in manifest
        if r.label is None
    ]


def _spellings(manifest: Manifest) -> list[Problem]:
    """Labels that are one to a reader, and two to a model: they differ in case, separators or Unicode form."""
    clips: dict[str, list[str]] = defaultdict(list)
    for r in manifest:
        if r.label is not None:
            clips[r.label].append(r.id)
    alike: dict[str, list[str]] = defaultdict(list)
    for label in clips:
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", label).casefold())
        alike[" ".join(_SEPARATORS.sub(" ", folded).split()) or label].append(label)
    problems = []
    for variants in alike.values():
        if len(variants) < 2:
            continue
        usual, *others = sorted(variants, key=lambda label: (-len(clips[label]), label))
        rest = ", ".join(f"{ascii(v) if _looks_like(v, usual) else repr(v)} ({len(clips[v])})" for v in others)
        message = (
            f"label {usual!r} ({len(clips[usual])} clips) is also spelt {rest}: to a model these are "
            f"{len(variants)} signs. Give them one spelling in the table or the folders' names"
        )
        problems.append(Problem("spelling", None, tuple(i for v in others for i in clips[v]), message))
    return problems


def _looks_like(label: str, other: str) -> bool:
    """Whether two labels look the same when they are printed."""
    return unicodedata.normalize("NFC", label).strip() == unicodedata.normalize("NFC", other).strip()


# --- worth knowing ------------------------------------------------------------------------------------------------


def _skipped_notes(manifest: Manifest) -> list[str]:
    skipped = manifest.meta.get("skipped") or {}
    if not skipped:
        return []
    what = ", ".join(f"{n} {reason}" for reason, n in skipped.items())
    return [f"{sum(skipped.values())} other files and folders were passed over: {what}"]


def _label_notes(manifest: Manifest) -> list[str]:
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
    return [*notes, *_lost_zeros("labels", per_label), *_lost_zeros("signers", manifest.signers)]


def _lost_zeros(what: str, names: Iterable[str]) -> list[str]:
    """Names that are the same number, as where some went through a table program."""
    numbers: dict[int, set[str]] = defaultdict(set)
    for name in names:
        if name.isascii() and name.isdigit():
            numbers[int(name)].add(name)
    return [
        f"{what} that differ in leading zeros only: {', '.join(repr(v) for v in sorted(same))}"
        for same in numbers.values()
        if len(same) > 1
    ]


def _signer_notes(manifest: Manifest) -> list[str]:
    n = len(manifest.signers)
    if n == 0:
        return ["no signer is known, so nothing can be tested on new signers; name them with --pattern ({signer})"]
    lacking = sum(r.signer is None for r in manifest)
    notes = [f"{lacking} clips have no signer"] if lacking else []
    if n < 3:
        notes.append(f"{n} signer{'s' if n > 1 else ''}: too few to validate and test on new ones")
    return notes


def _main_stream(manifest: Manifest, facts: Mapping[str, Facts]) -> dict[str, Facts]:
    """The facts of one stream: a prepared corpus has resized frames beside its videos, which are no mix of sizes."""
    have = {name for r in manifest for name in r.streams}
    name = next((s for s in ("video", "frames", "pose", "landmarks") if s in have), None)
    paths = {os.path.join(manifest.root, r.streams[name]) for r in manifest if name in r.streams}
    return {path: found for path, found in facts.items() if path in paths}


def _media(facts: Mapping[str, Facts]) -> Media:
    videos = [f for f in facts.values() if f.how == "video"]
    frames = sorted(f.frames for f in facts.values() if f.frames)
    return Media(
        fps=_counted(f"{f.fps:.2f}" for f in facts.values() if f.fps),
        size_px=_counted("{}×{}".format(*f.size_px) for f in videos if f.size_px),
        codec=_counted(f.codec for f in videos if f.codec is not None),
        rotated=sum(bool(f.rotation_deg) for f in videos),
        frames={"least": frames[0], "median": frames[len(frames) // 2], "most": frames[-1]} if frames else None,
    )


def _media_notes(facts: Mapping[str, Facts]) -> list[str]:
    media = _media(facts)
    notes = []
    for values, what in ((media.fps, "frame rates"), (media.size_px, "picture sizes"), (media.codec, "codecs")):
        if len(values) > 1:
            some = ", ".join(f"{v} ({n})" for v, n in list(values.items())[:5])
            notes.append(f"{len(values)} {what}: {some}{' …' if len(values) > 5 else ''}")
    if mixed := mixed_note(media.fps):
        notes.append(mixed)
    odd = [(path, f.fps) for path, f in facts.items() if f.fps and not 10 <= f.fps <= 125]
    if odd:
        notes.append(f"{len(odd)} clips have an unusual frame rate, first '{odd[0][0]}' ({odd[0][1]:.2f})")
    uneven = [path for path, f in facts.items() if f.uneven]
    if uneven:
        notes.append(
            f"{len(uneven)} clips have frames at uneven times, first '{uneven[0]}'; they are resampled when read"
        )
    dropped = [(path, f.dropped, f.frames) for path, f in facts.items() if f.dropped]
    if dropped:
        path, n, there = dropped[0]
        notes.append(
            f"in {len(dropped)} clips the camera dropped frames, first '{path}' ({n} missing beside {there}); their "
            "times are right, and they are resampled when read"
        )
    if media.frames and media.frames["most"] > 10 * media.frames["median"]:
        longest = max(facts, key=lambda p: facts[p].frames or 0)
        notes.append(
            f"the longest clip has {media.frames['most']} frames, the median {media.frames['median']}: is "
            f"'{longest}' one sign?"
        )
    return notes


def _pose_notes(files: Mapping[str, Sequence[Record]], facts: Mapping[str, Facts], said: Sequence[str]) -> list[str]:
    """What has to be done to poses before they are read, but for what ``prepare`` has ``said`` that it did."""
    found = {files[path][0].id: f.pose_found for path, f in facts.items() if f.pose_found}
    return [note for note in pose_notes(found) if note not in said]


def _counted(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _few(names: Sequence[str], n: int = 5) -> str:
    return ", ".join(f"'{x}'" for x in names[:n]) + (" …" if len(names) > n else "")


# --- beside a published list --------------------------------------------------------------------------------------


def _compare(manifest: Manifest, path: Path) -> dict[str, dict[str, int]]:
    """How much of a published list the corpus holds: entries are matched by clip id or by file name without suffix."""
    here = {r.id for r in manifest}
    for record in manifest:
        for stream in record.streams.values():
            stem = os.path.splitext(stream.replace(os.sep, "/"))[0]
            here |= {stem, os.path.basename(stem), os.path.basename(stem).removesuffix("_color")}
    here = {nfc(name) for name in here}
    out: dict[str, dict[str, int]] = {}
    for split, name in _published(path):
        name = nfc(name)
        stem = os.path.splitext(name)[0]
        row = out.setdefault(split, {"listed": 0, "present": 0})
        row["listed"] += 1
        row["present"] += bool({name, stem, os.path.basename(stem)} & here)
    return out


def _published(path: Path) -> Iterable[tuple[str, str]]:
    """(split or 'all', file name or id) for every entry of a published list."""
    if not path.is_file():
        raise InputError(f"--published: '{path}' is not a file; wanted a list (JSON, CSV, txt)")
    if path.suffix.lower() == ".json":
        corpus = read_wlasl(path, keep_missing=True)
        return [(r.split or "all", os.path.basename(r.streams["video"])) for r in corpus]
    lines = [line.strip() for line in lines_of(read_text(path)) if line.strip()]
    if lines and not any(c in line for line in lines[:20] for c in ",;\t"):
        return [("all", line[: line.index(".avi ") + 4] if ".avi " in line else line) for line in lines]
    corpus = read_csv(path, keep_missing=True)
    return [(r.split or "all", next(iter(r.streams.values()))) for r in corpus]
