"""How fast this machine is at what signloom does, beside what one would do instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from signloom.errors import InputError
from signloom.pipelines.bench.measure import Bench, Measure, run_signloom, say

# What is measured, in this order: name → module:function, which takes a Bench and gives measures and their ratios.
GROUPS = {
    "start": "start:measure_start",
    "decode": "video:measure_decoding",
    "cuts": "cuts:measure_cuts",
    "poses": "poses:measure_finding",
    "prepare": "poses:measure_preparing",
    "augment": "growing:measure_augmenting",
    "flow": "video:measure_flow",
    "pictures": "video:measure_pictures",
    "train": "poses:measure_training",
    "score": "poses:measure_scoring",
    "live": "live:measure_live",
    "training": "networks:measure_video_training",
    "loading": "loading:measure_loading",
    "sensors": "sensors:measure_sensors",
    "painting": "painting:measure_painting",
    "busy": "busy:measure_busy",
}


@dataclass(frozen=True)
class Figures:
    """All that was measured, and on what: ``machine``, ``clips``."""

    created: str
    quick: bool
    machine: Mapping[str, Any]
    clips: Mapping[str, Any]
    measures: tuple[Measure, ...]
    ratios: tuple[Mapping[str, Any], ...]

    def as_dict(self) -> dict[str, Any]:
        """What ``signloom bench --json`` writes."""
        import signloom

        return {
            "kind": "bench",
            "created": self.created,
            "signloom_version": signloom.__version__,
            "quick": self.quick,
            "machine": dict(self.machine),
            "clips": dict(self.clips),
            "measures": [m.as_dict() for m in self.measures],
            "ratios": [dict(r) for r in self.ratios],
        }


def measure(
    groups: Sequence[str],
    scratch: Path,
    *,
    videos: Path | None,
    n_clips: int,
    repeats: int,
    quick: bool,
    peer_python: Path | None = None,
) -> Figures:
    """Measure ``groups`` of :data:`GROUPS` on ``n_clips`` below ``videos`` (None: made here), in the folder scratch.

    ``quick``: two small clips, once; the figures mean nothing. ``peer_python``: see :class:`Bench`.
    """
    from datetime import UTC, datetime

    from signloom.pipelines.bench.machine import describe_machine
    from signloom.pipelines.bench.video import decode

    repeats, n_clips = (1, 2) if quick else (repeats, n_clips)
    clips = _clips(videos, n_clips, scratch, quick=quick)
    decoded, facts = decode(clips, repeats)
    bench = Bench(tuple(clips), facts["frames"], decoded, scratch, repeats, quick, peer_python)
    measures: list[Measure] = []
    ratios: list[Mapping[str, Any]] = []
    for group in GROUPS:
        if group in groups:
            say(f"group {group}")
            module, _, function = GROUPS[group].partition(":")
            some, compared = getattr(import_module(f"{__name__}.{module}"), function)(bench)
            measures += some
            ratios += compared
    return Figures(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        quick=quick,
        machine=describe_machine(),
        clips={"n": len(clips), **facts, "from": "procedural signer" if videos is None else str(videos)},
        measures=tuple(measures),
        ratios=tuple(ratios),
    )


def _clips(folder: Path | None, wanted: int, scratch: Path, *, quick: bool) -> list[Path]:
    """The clips to measure on: those of ``folder``, or made here."""
    from signloom.sources.listing import VIDEO_SUFFIXES, list_media

    if folder is None:
        size = ["--size", "320x240", "--fps", "10"] if quick else ["--size", "640x480", "--fps", "25"]
        made = ["--signs", str(-(-wanted // 2)), "--signers", "2", "--takes", "1", *size, "--json"]
        say("make clips")
        run_signloom("synth", scratch / "footage", *made)
        folder = scratch / "footage" / "videos"
    found = [folder] if folder.is_file() else [folder / file for file in list_media(folder, VIDEO_SUFFIXES).files]
    if not found:
        raise InputError(f"--videos: no video below '{folder}'")
    return found[:wanted]
