"""What is wrong: with what a reader could not place, and with clips beside each other."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from signloom.data.leaks import show_the_same
from signloom.data.manifest import Manifest, Record
from signloom.pipelines.doctor.one_file import Facts
from signloom.pipelines.partnered import apart, brought_together

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
    "no-rate": "a sensor's samples without their rate",
    "timeout": "reading did not end",
    "crashed": "took its reader down",
    "out-of-memory": "took all the memory",
    "decode-error": "damaged data",
    "lying": "the container's claims are not what decoding gives",
    "extension": "the name's suffix is not what the content is",
    "numbering": "pictures of a clip of which one seems to be missing, there twice or a stranger",
    "length": "a video and a pose that go together by name, and not by length or rate",
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
_SEPARATORS = re.compile(r"[\s_.\u2010-\u2015-]+")  # between the words of a gloss; dashes of all lengths


@dataclass(frozen=True)
class Problem:
    """Something wrong: its kind (of :data:`KINDS`), the file where it is one, and the ids of the clips it concerns."""

    kind: str
    file: str | None
    clips: tuple[str, ...]
    message: str

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "clips": list(self.clips)}


def problems_of(manifest: Manifest, files: Mapping[str, Sequence[Record]], facts: Mapping[str, Facts]) -> list[Problem]:
    """What is wrong beside what each file was found to be: ``files`` by path with the clips cut from them."""
    return [
        *_reading_problems(manifest),
        *_range_problems(files, facts),
        *_apart(manifest, facts),
        *_duplicates(files, facts),
        *_nearly_the_same(files, facts),
        *_unlabelled(manifest),
        *_spellings(manifest),
    ]


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


def _apart(manifest: Manifest, facts: Mapping[str, Facts]) -> list[Problem]:
    """Videos and poses of one name that are not of one length or rate."""
    problems = []
    for record in brought_together(manifest):
        video, pose = (facts.get(os.path.join(manifest.root, record.streams[s])) for s in ("video", "pose"))
        if video and pose and video.frames and pose.frames:
            what = apart(video.frames, video.fps, pose.frames, pose.fps)
            if what:
                path = os.path.join(manifest.root, record.streams["pose"])
                problems.append(Problem("length", path, (record.id,), f"clip '{record.id}': {what}"))
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
                same[found.content or path, record.range, record.box_px, record.rows].append((path, record))
    problems = []
    for (_, part, _, _), clips in same.items():
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
