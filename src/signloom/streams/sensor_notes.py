"""What was found in the sensors of a corpus while it was prepared, for a person to read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any


def sensor_notes(found_by_clip: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A line for each thing found (clip id → the ``imu_found`` of its record), with how many clips it is of."""
    clips: dict[str, list[str]] = defaultdict(list)
    missing: list[str] = []
    failed: list[tuple[str, str]] = []
    short: dict[str, float] = {}
    longer: dict[str, float] = {}
    for clip, found in found_by_clip.items():
        for note in found.get("notes", ()):
            clips[note].append(clip)
        if found.get("reason") == "missing":
            missing.append(clip)
        elif "failed" in found:
            failed.append((clip, str(found["failed"])))
        if "covered" in found:
            short[clip] = float(found["covered"])
        if "longer" in found:
            longer[clip] = float(found["longer"])
    notes = [f"sensors of {_few(those)}: {note}" for note, those in clips.items()]
    if missing:
        notes.append(f"{_few(missing)} without a sensor: kept, without stream imu")
    if failed:
        names = [clip for clip, _ in failed]
        notes.append(f"the sensor of {_few(names)} could not be read, they are kept without stream imu: {failed[0][1]}")
    if short:
        worst = min(short, key=short.__getitem__)
        notes.append(
            f"the sensors of {_few(list(short))} cover only part of them, {short[worst]:.0%} of '{worst}': is their "
            "rate right? signloom sync tells how their clocks stand"
        )
    if longer:
        usual = sorted(longer.values())[len(longer) // 2]
        notes.append(
            f"the sensors of {_few(list(longer))} last longer than their footage, {usual:.2f} times at the median: if "
            "both cover one span, one of the rates is wrong. signloom sync tells, and corrects it"
        )
    return notes


def _few(clips: list[str]) -> str:
    return f"{len(clips)} clip{'s' if len(clips) > 1 else ''} (first '{clips[0]}')"
