"""What is worth knowing of a corpus in which nothing need be wrong."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from signloom.data.manifest import Manifest, Record
from signloom.data.rates import mixed_note
from signloom.pipelines.doctor.one_file import Facts
from signloom.pipelines.partnered import nearly_partners
from signloom.streams.pose_cleaning import pose_notes
from signloom.streams.sensor_notes import sensor_notes


@dataclass(frozen=True)
class Media:
    """The rates, sizes and codecs of the main stream with how many clips have each, and how long clips are."""

    fps: Mapping[str, int]
    size_px: Mapping[str, int]
    codec: Mapping[str, int]
    rotated: int
    frames: Mapping[str, int] | None


def notes_of(
    manifest: Manifest,
    files: Mapping[str, Sequence[Record]],
    facts: Mapping[str, Facts],
    shown: Mapping[str, Facts],
    said: Sequence[str],
) -> list[str]:
    """What is worth knowing beside what reading has ``said``; ``shown`` are the facts of the main stream."""
    return [
        *_skipped_notes(manifest),
        *nearly_partners(manifest),
        *_label_notes(manifest),
        *_signer_notes(manifest),
        *_media_notes(shown),
        *_pose_notes(files, facts, said),
        *_sensor_notes(files, facts),
    ]


def _sensor_notes(files: Mapping[str, Sequence[Record]], facts: Mapping[str, Facts]) -> list[str]:
    """What was found in the files of sensors."""
    found = {files[path][0].id: {"notes": f.sensor_notes} for path, f in facts.items() if f.sensor_notes}
    return sensor_notes(found)


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


def main_stream(manifest: Manifest, facts: Mapping[str, Facts]) -> dict[str, Facts]:
    """The facts of one stream: a prepared corpus has resized frames beside its videos, which are no mix of sizes."""
    have = {name for r in manifest for name in r.streams}
    name = next((s for s in ("video", "frames", "pose", "landmarks") if s in have), None)
    paths = {os.path.join(manifest.root, r.streams[name]) for r in manifest if name in r.streams}
    return {path: found for path, found in facts.items() if path in paths}


def media_of(facts: Mapping[str, Facts]) -> Media:
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
    media = media_of(facts)
    notes = []
    mixed = mixed_note(media.fps)
    for values, what in (
        ({} if mixed else media.fps, "frame rates"),
        (media.size_px, "picture sizes"),
        (media.codec, "codecs"),
    ):
        if len(values) > 1:
            some = ", ".join(f"{v} ({n})" for v, n in list(values.items())[:5])
            notes.append(f"{len(values)} {what}: {some}{' …' if len(values) > 5 else ''}")
    if mixed:
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
