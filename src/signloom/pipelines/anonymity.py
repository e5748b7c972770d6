"""How anonymous a corpus is, and what it kept: attackers that learn, beside the untouched corpus and beside chance."""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import signloom
from signloom import media
from signloom.data.manifest import Manifest, Record
from signloom.data.skeleton import INDEX, PARTS, Joints, joints_of, shoulder_width_px
from signloom.errors import InputError
from signloom.metrics.face_verifier import SAME_PERSON, FaceVerifier, face_chip
from signloom.metrics.intervals import share_interval
from signloom.metrics.pictures import Motion
from signloom.metrics.verifier import Verifier, identified
from signloom.pipelines.anonymise import Names
from signloom.report.footage import footage_of, small_copy
from signloom.report.markup import Column, Number, name_of, table, text_of
from signloom.report.page import whole_page
from signloom.runtime.atomic import atomic_write, write_json
from signloom.runtime.progress import Progress
from signloom.streams.anonymise import faces_in
from signloom.streams.face_finder import Faces
from signloom.streams.footage import Footage
from signloom.streams.pose_holistic import HolisticPose
from signloom.streams.standard_body import standard_body
from signloom.transforms.avatar_face import avatar_of
from signloom.transforms.face_cover import inside
from signloom.transforms.pose_input import PoseInput

LIMITS = media.Limits()
FACE_PX, MOMENTS = 24, 5
_STEPS = 16
_VERIFIED_EVERY = 5
_PAGE_BYTES = 8_000_000


@dataclass(frozen=True)
class Pair:
    """A clip as filmed and as it is shared."""

    before: Record
    after: Record


def pairs_of(original: Manifest, shared: Manifest, names: Names) -> list[Pair]:
    """The clips of ``original`` and what they became, without changed copies: an attacker would learn from a copy of
    what it is asked about. Raises InputError where ``names`` is another corpus's key, and where there are too few to
    tell people apart."""
    after = {r.id: r for r in shared}
    pairs = [
        Pair(r, after[names.clips[r.id]])
        for r in original
        if names.clips.get(r.id) in after and r.signer is not None and not r.augmented
    ]
    people = {p.before.signer for p in pairs}
    if len(people) < 2:
        raise InputError(
            f"{len(pairs)} clips of {len(people)} signers stand in both corpora; who is who takes two signers or more. "
            "Give the corpus that was anonymised, and the key that was kept"
        )
    return pairs


def measure_anonymity(
    original: Manifest,
    shared: Manifest,
    names: Names,
    *,
    clips: int = 12,
    verifier: FaceVerifier | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """What attackers make of ``shared``, and what it kept of ``original``.

    Each attacker learns the signers from two thirds of each one's clips and names them in the rest. ``face`` looks at
    the heads, at the places where the original has them; ``pose`` at the movement. ``untouched`` is one that learnt
    from and is asked about the original; ``naive`` learnt from the original and is asked about what is shared;
    ``adapted`` learnt from what is shared. Details of pictures are measured on ``clips`` clips, and so is what
    ``verifier`` says, a network that knows nobody: in how many frames it calls a face before and after one person's.
    """
    pairs = pairs_of(original, shared, names)
    results: dict[str, Any] = {
        "kind": "anonymity",
        "signloom_version": signloom.__version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "method": shared.meta.get("anonymised", {}),
        "synthetic": original.meta.get("synthetic"),
        "clips": len(pairs),
        "signers": len({p.before.signer for p in pairs}),
        "identity": {},
        "kept": {},
    }
    filmed = all(any(s in p.before.streams for s in ("video", "frames")) and "video" in p.after.streams for p in pairs)
    aligned = filmed and shared.meta.get("anonymised", {}).get("method") not in ("skeleton", "pose")
    if aligned:
        before, after = _heads(pairs, original.root, shared.root, quiet)
        results["identity"]["face"] = _attacks(pairs, before, after)
        results["kept"] |= _kept_of_pictures(pairs, original.root, shared.root, clips, quiet)
        if verifier is not None:
            results["verifier"] = _verified(_some(pairs, clips), original.root, shared.root, verifier, quiet)
    if all("pose" in p.before.streams for p in pairs):
        before = np.stack([_movement(_joints(p.before, original.root)) for p in pairs])
        if all("pose" in p.after.streams for p in pairs):
            after = np.stack([_movement(_joints(p.after, shared.root)) for p in pairs])
            results["identity"]["pose"] = _attacks(pairs, before, after)
            results["kept"] |= _recognition(pairs, before, after)
        else:
            results["identity"]["pose"] = _attacks(pairs, before, None)
            results["notes"] = ["the movement is as filmed: who knows how people move tells them as before"]
    if not results["identity"]:
        raise InputError("there is nothing to compare: both corpora need poses, or both footage of the same frames")
    return results


# --- who is it ----------------------------------------------------------------------------------------------------


def _attacks(pairs: Sequence[Pair], before: np.ndarray, after: np.ndarray | None) -> dict[str, Any]:
    names = [str(p.before.signer) for p in pairs]
    asked = _asked(pairs)
    who = [n for n, out in zip(names, asked) if not out], [n for n, out in zip(names, asked) if out]
    untouched = Verifier(before[~asked], who[0])
    found = {"untouched": identified(untouched.scores(before[asked]), untouched.people, who[1])}
    if after is not None:
        found["naive"] = identified(untouched.scores(after[asked]), untouched.people, who[1])
        adapted = Verifier(after[~asked], who[0])
        found["adapted"] = identified(adapted.scores(after[asked]), adapted.people, who[1])
    return found


def _asked(pairs: Sequence[Pair]) -> np.ndarray:
    """Which clips the attackers are asked about: of each signer and sign every third, the last of its takes."""
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for k, p in enumerate(pairs):
        groups[str(p.before.signer), str(p.before.label)].append(k)
    asked = np.zeros(len(pairs), bool)
    for rows in groups.values():
        rows = sorted(rows, key=lambda k: pairs[k].before.id)
        asked[rows[len(rows) - len(rows) // 3 :]] = True
    people = {p.before.signer for p in pairs}
    if {pairs[k].before.signer for k in np.flatnonzero(asked)} != people:  # signs with one or two takes each
        asked[:] = False
        for person in people:
            rows = sorted(
                (k for k, p in enumerate(pairs) if p.before.signer == person), key=lambda k: pairs[k].before.id
            )
            if len(rows) < 2:
                raise InputError(
                    f"signer '{person}' has one clip; an attacker learns from some and is asked about others"
                )
            asked[rows[-max(1, len(rows) // 3) :]] = True
    return asked


def _heads(pairs: Sequence[Pair], root: Path, shared: Path, quiet: bool) -> tuple[np.ndarray, np.ndarray]:
    """What the heads look like at some moments of each clip, before and after, (N, D) each."""
    cv2 = media.import_cv2()
    rows: tuple[list[np.ndarray], list[np.ndarray]] = [], []
    with Progress("faces", len(pairs), quiet=quiet) as progress:
        for pair in pairs:
            footage, faces = _footage_and_faces(pair.before, root)
            other = Footage(pair.after, shared, "video", LIMITS, None)
            moments = set(np.linspace(0, footage.facts.n_frames - 1, MOMENTS).round().astype(int).tolist())
            for target, source in zip(rows, (footage, other)):
                seen = []
                for t, frame in enumerate(source.frames()):
                    if t in moments:
                        low, high = faces.heads[t].polygon_N2.min(0), faces.heads[t].polygon_N2.max(0)
                        x0, y0 = np.maximum(low, 0).astype(int)
                        x1, y1 = np.minimum(np.ceil(high), [frame.shape[1], frame.shape[0]]).astype(int)
                        head = frame[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
                        seen.append(cv2.resize(head, (FACE_PX, FACE_PX), interpolation=cv2.INTER_AREA).ravel() / 255)
                target.append(np.mean(seen, 0))
            progress.step()
    return np.stack(rows[0]), np.stack(rows[1])


def _footage_and_faces(record: Record, root: Path) -> tuple[Footage, Faces]:
    stream = next(s for s in ("video", "frames") if s in record.streams)
    footage = Footage(record, root, stream, LIMITS, None)
    pose = root / record.streams["pose"] if "pose" in record.streams else None
    return footage, faces_in(record, footage, pose, LIMITS)


def _joints(record: Record, root: Path) -> Joints:
    return joints_of(media.read_pose(root / record.streams["pose"]))


def _movement(joints: Joints) -> np.ndarray:
    xy, present = PoseInput(n_frames=_STEPS).from_joints(joints)
    return np.concatenate([xy.ravel(), present.ravel(), [len(joints) / joints.fps]])


# --- what was kept ------------------------------------------------------------------------------------------------


def _recognition(pairs: Sequence[Pair], before: np.ndarray, after: np.ndarray) -> dict[str, Any]:
    """How well signs of a signer who is left out are told by a plain recogniser of the others', before and after."""
    labels = [str(p.before.label) for p in pairs]
    signers = np.array([str(p.before.signer) for p in pairs])
    if len(set(labels)) < 2:
        return {}
    found = {}
    for name, x in (("recognition_before", before), ("recognition", after)):
        hits = np.full(len(pairs), np.nan)
        for signer in sorted(set(signers)):
            out = signers == signer
            others = [n for n, o in zip(labels, out) if not o]
            if len(set(others)) < 2:
                continue
            told = Verifier(x[~out], others)
            best = told.scores(x[out]).argmax(1)
            hits[out] = [told.people[b] == n for b, n in zip(best, [n for n, o in zip(labels, out) if o])]
        found[name] = float(np.nanmean(hits))
    return {**found, "recognition_chance": 1 / len(set(labels))}


def _some(pairs: Sequence[Pair], most: int) -> list[Pair]:
    return [pairs[k] for k in np.unique(np.linspace(0, len(pairs) - 1, min(most, len(pairs))).round().astype(int))]


def _verified(pairs: Sequence[Pair], root: Path, shared: Path, verifier: FaceVerifier, quiet: bool) -> dict[str, Any]:
    """In how many frames, of every fifth, a face and what it became are called one person's; and the face and that of
    the clip's next such frame, untouched. Each is cut out where the original has it."""
    apart: dict[str, list[float]] = {"shared": [], "untouched": []}
    clip: dict[str, list[int]] = {"shared": [], "untouched": []}
    with Progress("verifier", len(pairs), quiet=quiet) as progress:
        for number, pair in enumerate(pairs):
            footage, faces = _footage_and_faces(pair.before, root)
            other = Footage(pair.after, shared, "video", LIMITS, None)
            chips = []
            for t, (real, now) in enumerate(zip(footage.frames(), other.frames())):
                points = faces.points[t]
                if points is not None and t % _VERIFIED_EVERY == 0:
                    chips += [face_chip(real, points), face_chip(now, points)]
            if chips:
                numbers = verifier.describe(np.stack(chips))
                before, after = numbers[::2], numbers[1::2]
                for what, a, b in (("shared", before, after), ("untouched", before[:-1], before[1:])):
                    apart[what] += np.linalg.norm(a - b, axis=1).tolist()
                    clip[what] += [number] * len(a)
            progress.step()
    found: dict[str, Any] = {"same_below": SAME_PERSON}
    for what, values in apart.items():
        if values:
            same = share_interval(np.array(values) < SAME_PERSON, np.array(clip[what]))
            found[what] = {"same_person": same, "distance": float(np.mean(values)), "frames": len(values)}
    return found


def _kept_of_pictures(pairs: Sequence[Pair], root: Path, shared: Path, clips: int, quiet: bool) -> dict[str, Any]:
    """Expression, movement, flicker and what lies outside of the heads, on some clips."""
    import torch

    from signloom.metrics.pictures import ssim

    chosen = _some(pairs, clips)
    values: dict[str, list[float]] = defaultdict(list)
    body = standard_body()
    with Progress("pictures", len(chosen), quiet=quiet) as progress:
        for pair in chosen:
            footage, faces = _footage_and_faces(pair.before, root)
            other = Footage(pair.after, shared, "video", LIMITS, None)
            motion = Motion()
            flickers: list[tuple[float, float]] = []
            outside: list[float] = []
            for t, (real, now) in enumerate(zip(footage.frames(), other.frames())):
                now = now[: real.shape[0], : real.shape[1]]
                if (step := motion.push(now, real)) is not None:
                    flickers.append((step["flicker"], step["flicker_real"]))
                if t % 5 == 0:
                    heads = inside((faces.heads[t], *faces.others[t]), footage.facts.size_px) > 0
                    both = [np.where(heads[..., None], 128, f).astype(np.float32) / 255 for f in (now, real)]
                    a, b = (torch.from_numpy(f).permute(2, 0, 1)[None] for f in both)
                    outside.append(float(ssim(a, b)))
            if flickers and np.mean([r for _, r in flickers]) > 0:
                values["flicker"].append(float(np.mean([p for p, _ in flickers]) / np.mean([r for _, r in flickers])))
            values["ssim_outside"].append(float(np.mean(outside)))
            found = joints_of(HolisticPose().extract(other.frames(), footage.facts.fps))
            face = PARTS["face"]
            here = found.present_TJ[:, face].all(1)
            seen = [xy.astype(float) if h else None for xy, h in zip(found.xy_TJC[:, face], here)]
            values["face_found"].append(float(np.mean([s is not None for s in seen])))
            own, theirs = (avatar_of(f, body, footage.facts.fps) for f in (faces.points, seen))
            both_here = own.here_T & theirs.here_T
            for name, column in (("brows", 0), ("mouth", 2), ("eyes", 4)):
                a, b = own.figures_TE[both_here, column], theirs.figures_TE[both_here, column]
                if both_here.mean() > 0.5 and a.std() > 1e-3 and b.std() > 1e-3:
                    values[f"expression_{name}"].append(float(np.corrcoef(a, b)[0, 1]))
                else:  # no face is found any more: nothing of it is kept
                    values[f"expression_{name}"].append(0.0)
            if "pose" in pair.before.streams:
                real_joints = _joints(pair.before, root)
                values["wrists_moved"].append(_wrists_apart(real_joints, found))
            progress.step()
    return {name: float(np.nanmean(v)) for name, v in values.items()} | {"pictures_of": len(chosen)}


def _wrists_apart(a: Joints, b: Joints) -> float:
    """How far wrists that are found in both lie apart, in shoulder widths."""
    unit = shoulder_width_px(a)
    if not unit or a.size_px is None or b.size_px is None or len(a) != len(b):
        return float("nan")
    factor = b.size_px[0] / a.size_px[0]
    wrists = [INDEX["left_wrist"], INDEX["right_wrist"]]
    both = a.present_TJ[:, wrists] & b.present_TJ[:, wrists]
    apart = np.linalg.norm(a.xy_TJC[:, wrists] * factor - b.xy_TJC[:, wrists], axis=-1) / (unit * factor)
    return float(apart[both].mean()) if both.any() else float("nan")


# --- told ---------------------------------------------------------------------------------------------------------

ATTACKERS = {
    "untouched": "asked about the original",
    "naive": "learnt from the original",
    "adapted": "learnt from what is shared",
}
KEPT: Mapping[str, str] = {
    "expression_brows": "brows: correlation",
    "expression_mouth": "mouth: correlation",
    "expression_eyes": "eyes: correlation",
    "face_found": "frames in which a detector still finds a face",
    "wrists_moved": "wrists found elsewhere by (shoulder widths)",
    "flicker": "flicker, times the original's",
    "ssim_outside": "SSIM outside of the heads",
    "recognition_before": "signs told of a signer left out, before",
    "recognition": "signs told of a signer left out, after",
}


def anonymity_lines(results: Mapping[str, Any]) -> list[str]:
    """The figures as lines of text."""
    lines = []
    if results.get("synthetic"):
        lines.append(f"synthetic: {results['synthetic']}")
    for what, attacks in results["identity"].items():
        for name, found in attacks.items():
            rank, auc = found["rank1"], found["auc"]
            lines.append(
                f"{what}, attacker {ATTACKERS[name]}: rank-1 {_with(rank)}, AUC {_with(auc)} "
                f"(chance {found['chance']:.3f} and .5; {found['people']} people, {found['clips']} clips)"
            )
    for what, said in (("untouched", "two untouched frames"), ("shared", "a face before and after")):
        if told := results.get("verifier", {}).get(what):
            lines.append(
                f"verifier, {said}: one person's in {_with(told['same_person'])} of {told['frames']} frames, distance "
                f"{told['distance']:.2f}"
            )
    lines += [f"kept, {KEPT[k]}: {v:.3f}" for k, v in results["kept"].items() if k in KEPT]
    return lines + list(results.get("notes", ()))


def _with(entry: Mapping[str, Any]) -> str:
    if entry["low"] is None:
        return f"{entry['value']:.3f}"
    return f"{entry['value']:.3f} ({entry['low']:.3f} to {entry['high']:.3f})"


def write_anonymity(
    results: Mapping[str, Any], original: Manifest, shared: Manifest, names: Names, folder: Path, shown: int = 4
) -> list[Path]:
    """Write ``anonymity.json`` and ``report.html`` into ``folder``; the page plays clips before and after, and so must
    not be shared. Raises InputError for a folder inside of the corpus that is."""
    if folder.resolve().is_relative_to(shared.root.resolve()):
        raise InputError(f"--out '{folder}' lies in the corpus that is to be shared, and the page shows the originals")
    write_json(folder / "anonymity.json", dict(results))
    columns = [Column("Attacker"), Column("Rank-1", True), Column("AUC", True), Column("Chance", True)]
    sections = []
    for what, attacks in results["identity"].items():
        rows: list[list[str | Number]] = [
            [name_of(ATTACKERS[n]), *(Number(_with(a[k]), a[k]["value"]) for k in ("rank1", "auc")),
             Number(f"{a['chance']:.3f}", a["chance"])]
            for n, a in attacks.items()
        ]  # fmt: skip
        sections.append((what, f"Who is it, by {what}", table(columns, rows)))
    if verified := [(k, results["verifier"][k]) for k in ("untouched", "shared") if k in results.get("verifier", {})]:
        heads = [Column("Faces"), Column("Called one person's", True), Column("Distance", True)]
        told: list[list[str | Number]] = [
            [
                k,
                Number(_with(v["same_person"]), v["same_person"]["value"]),
                Number(f"{v['distance']:.2f}", v["distance"]),
            ]
            for k, v in verified
        ]
        sections.append(("verifier", "Who is it, by a verifier that knows nobody", table(heads, told)))
    kept: list[list[str | Number]] = [
        [name_of(KEPT[k]), Number(f"{v:.3f}", v)] for k, v in results["kept"].items() if k in KEPT
    ]
    sections.append(("kept", "What was kept", table([Column("What"), Column("Value", True)], kept)))
    sections.append(("clips", "Before and after", _videos(pairs_of(original, shared, names), original, shared, shown)))
    method = results["method"].get("method", "")
    first = [f"{results['clips']} clips of {results['signers']} signers, method {method}.", *results.get("notes", ())]
    first.append("This page shows the originals: do not share it.")
    if results.get("synthetic"):
        first.insert(0, f"Synthetic: {results['synthetic']}.")
    summary = "".join(f'<p class="plain">{text_of(line)}</p>' for line in first)
    page = whole_page(results, f"Anonymity of {shared.root.name}", f"Anonymity · {method}", summary, sections)
    with atomic_write(folder / "report.html") as tmp:
        tmp.write_text(page, encoding="utf-8", errors="replace")
    return [folder / "anonymity.json", folder / "report.html"]


def _videos(pairs: Sequence[Pair], original: Manifest, shared: Manifest, shown: int) -> str:
    html, room = "", _PAGE_BYTES
    filmed = [p for p in pairs if {"video", "frames"} & p.before.streams.keys() and "video" in p.after.streams]
    for k in np.unique(np.linspace(0, len(filmed) - 1, min(shown, len(filmed))).round().astype(int)) if filmed else ():
        cells = ""
        for record, root, title in (
            (filmed[k].before, original.root, "before"),
            (filmed[k].after, shared.root, "after"),
        ):
            clip = footage_of(record, root)
            small = small_copy(clip, Path(clip["video"]))
            data = base64.b64encode(small.data).decode() if small.data else ""
            if not data or len(data) > room:
                cells += f'<p class="quiet">{text_of(small.message or "left out: the page is full")}</p>'
                continue
            room -= len(data)
            cells += (
                f'<figure><video controls muted loop playsinline preload="metadata" aria-label="{title}" '
                f'src="data:video/mp4;base64,{data}"></video><figcaption>{title}</figcaption></figure>'
            )
        html += f'<h3>{name_of(filmed[k].before.label or "")}</h3><div class="pair">{cells}</div>'
    return html or '<p class="quiet">There is no footage to show.</p>'
