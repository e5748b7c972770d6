"""The oracles: what must come out of a changed input, by a reading that is none of signloom's.

Each gives (outcome, why); the outcomes are explained in scripts/mutate.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from mutation.bases import LABELS, N_FRAMES, N_PICTURES, Base
from mutation.changes import Change
from mutation.coded import decoded, read_code, read_turned
from mutation.outcome import Ran, content
from mutation.tables import judge_manifest, judge_table, judge_wlasl

Verdict = tuple[str, str]

# Formats whose files do not say how long they are: one that was cut off between frames looks whole.
NO_LENGTH = ("ts", "mpg")
_ANOTHER_LOOK = 14.0  # mean difference of levels from which a picture counts as damaged


def judge(base: Base, change: Change, ran: Ran, sound: Ran | None) -> Verdict:
    """The outcome of one changed input; ``sound`` is the run of the unchanged one (None: this is it)."""
    new = ran.said - sound.said if sound else set()
    oracle: dict[str, Callable[..., Verdict]] = {
        "video": _video,
        "pictures": _video,
        "pose": _pose,
        "table": judge_table,
        "wlasl": judge_wlasl,
        "manifest": judge_manifest,
        "split": _split,
        "flow": _flow,
        "run": _run,
    }
    if ran.refused is not None and base.kind != "run":
        return "refused", ran.refused
    return oracle[base.kind](base, change, ran, sound, new)


def _told(new: Iterable[str]) -> str:
    return "; ".join(sorted(new))[:300]


# --- video and pictures -------------------------------------------------------------------------------------------


def _video(base: Base, change: Change, ran: Ran, sound: Ran | None, new: set[str]) -> Verdict:
    others = _others_differ(ran, sound)
    if others:
        return "silent", others
    mine = [r for r in ran.records if r["label"] == LABELS[0]]
    if not mine:
        lost = ran.failures or new
        return ("refused", _told(new)) if lost else ("silent", "the clip is gone, and nothing says so")
    n = N_FRAMES if base.kind == "video" else N_PICTURES
    expected = change.get("expect", {}).get("numbers", list(range(n)))
    verdicts = [_frames(base, change, ran, record, sound, expected, new) for record in mine]
    return max(verdicts, key=lambda v: ("right", "noted", "damaged", "untold", "refused", "silent").index(v[0]))


def _others_differ(ran: Ran, sound: Ran | None) -> str | None:
    """The clips that were not touched must come out as ever. Poses to the byte; pictures to what an encoder may do."""
    if sound is None:
        return None
    for label in LABELS[1:]:
        both = [[r for r in one.records if r["label"] == label] for one in (ran, sound)]
        told = [[(r["content"], r["n_frames"], r["fps"], *_made(one, r)) for r in rows]
                for one, rows in zip((ran, sound), both)]  # fmt: skip
        if told[0] != told[1]:
            return f"clip '{label}', which was not touched, came out otherwise"
    return None


def _made(ran: Ran, record: dict[str, Any]) -> list[Any]:
    if "frames" in record["streams"]:
        return [read_code(frame) for frame in decoded(ran.stream(record, "frames"))]
    return [content(ran.stream(record, "pose"))]


def _frames(base: Base, change: Change, ran: Ran, record, sound, expected: list[int], new: set[str]) -> Verdict:
    frames = decoded(ran.stream(record, "frames"))
    codes = [read_code(frame) for frame in frames]
    if len(frames) and not any(codes):
        codes = [read_turned(frame) for frame in frames]
        if any(codes) and not new:
            return "silent", "the pictures came out turned"
    numbers = [None if code is None else code[1] for code in codes]
    foreign = [code for code in codes if code is not None and code[0] != 1]
    if foreign:
        return "silent", f"frames of another clip: {foreign[:3]}"
    usual = next((r for r in sound.records if r["label"] == LABELS[0]), record) if sound else record
    if numbers == expected and record["fps"] == usual["fps"]:
        other_look = _looks_otherwise(frames, ran, record, sound)
        if other_look:
            return ("noted", _told(new)) if new else ("damaged", other_look)
        return ("noted", _told(new)) if new else ("right", "")
    what = f"frames {_short(numbers)}, wanted {_short(expected)}; {record['fps']} frames/s, wanted {usual['fps']}"
    if new:
        return "noted", f"{what}: {_told(new)}"
    if record["fps"] != usual["fps"]:
        return "silent", what
    if len(numbers) == len(expected) and all(n is None or n <= e for n, e in zip(numbers, expected)):
        return "damaged", what  # as many frames, each the right one, an earlier one or none that can be told
    if change.get("way", "").startswith("packets"):
        seen = [n for n in numbers if n is not None]
        if seen == sorted(seen):
            return "untold", what  # what the file holds, in order; it is a whole file
    if base.about["suffix"] in NO_LENGTH and numbers == expected[: len(numbers)]:
        return "untold", what
    return "silent", what


def _looks_otherwise(frames, ran: Ran, record, sound: Ran | None) -> str | None:
    if sound is None:
        return None
    usual = decoded(sound.stream(next(r for r in sound.records if r["label"] == LABELS[0]), "frames"))
    for number, (one, other) in enumerate(zip(frames, usual)):
        if one.shape != other.shape:
            return f"frame {number} is {one.shape}, not {other.shape}"
        difference = float(np.abs(one.astype(int) - other).mean())
        if difference > _ANOTHER_LOOK:
            return f"frame {number} differs by {difference:.0f} levels"
    return None


def _short(numbers: list[int | None]) -> str:
    """0–5, ?, 7–23"""
    parts: list[list[int | None]] = []
    for n in numbers:
        if parts and n is not None and parts[-1][-1] is not None and n == parts[-1][-1] + 1:
            parts[-1].append(n)
        else:
            parts.append([n])
    texts = ["?" if p[0] is None else str(p[0]) if len(p) == 1 else f"{p[0]}–{p[-1]}" for p in parts]
    return ", ".join(texts[:8]) + (" …" if len(texts) > 8 else "") + f" ({len(numbers)})"


# --- poses --------------------------------------------------------------------------------------------------------


def _pose(base: Base, change: Change, ran: Ran, sound: Ran | None, new: set[str]) -> Verdict:
    """What pose-format itself reads of the file is what must come out, point by point where both have one."""
    from pose_format import Pose
    from pose_format.pose_header import PoseHeaderCache

    others = _others_differ(ran, sound)
    if others:
        return "silent", others
    mine = [r for r in ran.records if r["label"] == LABELS[0]]
    if not mine:
        return ("refused", _told(new)) if ran.failures or new else ("silent", "the clip is gone, and nothing says so")
    for record in mine:
        source = next(p for p in (ran.folder / "in" / LABELS[0]).iterdir() if content(p) == record["content"])
        try:
            PoseHeaderCache.clear_cache()
            theirs = Pose.read(source.read_bytes())
        except Exception as error:
            return "silent", f"pose-format cannot read it ({type(error).__name__}: {error}), signloom did"
        PoseHeaderCache.clear_cache()
        ours = Pose.read(ran.stream(record, "pose").read_bytes())
        differs = _poses_differ(ours, theirs)
        if differs:
            return ("noted", f"{differs}: {_told(new)}") if new else ("silent", differs)
    usual = next(iter(sound.records))["content"] if sound else mine[0]["content"]
    if new:
        return "noted", _told(new)
    return ("right", "") if mine[0]["content"] == usual else ("damaged", "other numbers, as the file says")


def _poses_differ(ours: Any, theirs: Any) -> str | None:
    if ours.body.fps != theirs.body.fps:
        return f"{ours.body.fps} frames/s, pose-format says {theirs.body.fps}"
    ours_at, theirs_at = (np.ma.getdata(p.body.data) for p in (ours, theirs))
    if ours_at.shape != theirs_at.shape:
        return f"{ours_at.shape} points, pose-format says {theirs_at.shape}"
    seen, real = np.asarray(ours.body.confidence) > 0, np.asarray(theirs.body.confidence) > 0
    if (seen & ~real).any():
        return "points that the file does not have"
    if (real & ~seen).any():
        return f"{int((real & ~seen).sum())} points were left out"
    if not np.array_equal(ours_at[seen], theirs_at[seen], equal_nan=True):
        return "points stand elsewhere"
    return None


# --- split files, flow, runs --------------------------------------------------------------------------------------


def _split(base: Base, change: Change, ran: Ran, sound: Ran | None, new: set[str]) -> Verdict:
    """Only a file that names every clip of the corpus, for that corpus, may pass."""
    try:
        said = json.loads((ran.folder / "in" / "split.json").read_text(encoding="utf-8"))
        manifest = (ran.folder / "in" / "corpus" / "manifest.jsonl").read_text(encoding="utf-8").split("\n")
        clips = {json.loads(line)["id"] for line in manifest[1:] if line}
        assignment = said["assignment"]
        whole = set(assignment) == clips and set(assignment.values()) <= {"train", "val", "test", "unused"}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return "silent", f"it was taken, and is no split: {error!r}"
    if not whole:
        return ("noted", _told(new)) if new else ("silent", "it was taken, and does not name every clip once")
    if sound is not None and said["corpus_hash"] != _sound_split(sound)["corpus_hash"]:
        return ("noted", _told(new)) if new else ("silent", "it was taken, and is of another corpus")
    return ("noted", _told(new)) if new else ("right", "")


def _sound_split(sound: Ran) -> dict[str, Any]:
    return json.loads((sound.folder / "in" / "split.json").read_text(encoding="utf-8"))


def _flow(base: Base, change: Change, ran: Ran, sound: Ran | None, new: set[str]) -> Verdict:
    flow = np.load(ran.folder / "flow.npy")
    usual = np.load(sound.folder / "flow.npy") if sound else flow
    if flow.shape != usual.shape:
        return "silent", f"flow {flow.shape}, wanted {usual.shape}"
    if not np.isfinite(flow).all():
        return "silent", "flow that is no number"
    return ("right", "") if np.array_equal(flow, usual) else ("damaged", "other values, the same shape")


def _run(base: Base, change: Change, ran: Ran, sound: Ran | None, new: set[str]) -> Verdict:
    if ran.refused is not None or ran.codes[0] in (1, 2):
        return "refused", ran.refused or ran.err[0].strip()
    try:
        answer = json.loads(ran.out[-1].splitlines()[0])
        shares = [share for _, share in answer["top"]]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        return "silent", f"predict said no probabilities: {error!r}: {ran.out[-1][:100]}"
    if not all(isinstance(p, float) and 0 <= p <= 1 for p in shares) or sum(shares) > 1.001:
        return "silent", f"probabilities {shares}"
    if sound is not None and ran.out[-1] != sound.out[-1]:
        return ("noted", _told(new)) if new else ("damaged", "another answer, as the file says")
    return ("noted", _told(new)) if new else ("right", "")
