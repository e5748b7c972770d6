"""Clips cut from one long recording: what they cost beside their length, and beside the recording's."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from signloom.pipelines.bench.measure import Bench, Measure, Measured, ratio_of, rounds, run_signloom, timed

FRAMES = 50
"""Of a clip."""


def measure_cuts(bench: Bench) -> Measured:
    """Whole runs of `signloom prepare --streams frames` on clips of one recording of a key frame every 250 frames.

    The same clips of a recording four times as long, four times as many clips, and reading all of it instead.
    """
    from signloom.media import iter_frames

    n_frames, n_clips = (400, 2) if bench.quick else (20_000, 40)
    film = _film(bench.scratch / "cuts" / "film.mp4", n_frames)
    short = _film(bench.scratch / "cuts" / "short.mp4", n_frames // 4)
    ways = {
        f"{n_clips} clips of {n_frames:,} frames": (film, n_frames, n_clips),
        f"{n_clips} clips of {n_frames // 4:,} frames": (short, n_frames // 4, n_clips),
        f"{max(1, n_clips // 4)} clips of {n_frames:,} frames": (film, n_frames, max(1, n_clips // 4)),
    }
    took: dict[str, list[float]] = {name: [] for name in [*ways, "decode all of it"]}
    for number in rounds("cuts", bench.repeats):
        for k, (name, (file, length, clips)) in enumerate(ways.items()):
            table = _table(bench.scratch / f"cuts-{k}.csv", file, length, clips)
            out = bench.scratch / f"cuts-{k}-{number}"
            made = ["--streams", "frames", "--shorter-px", "64", "--workers", "1"]
            took[name].append(run_signloom("prepare", table, "--source", "csv", *made, "--out", out, "--json")[0])
        took["decode all of it"].append(timed(lambda: sum(1 for _ in iter_frames(film)))[0])
    rows = [Measure("cuts", name, "s", tuple(seconds)) for name, seconds in took.items()]
    return rows, [
        ratio_of("cuts: a recording four times as long", rows[1], rows[0]),
        ratio_of("cuts: four times as many clips", rows[2], rows[0]),
    ]


def _film(file: Path, n_frames: int) -> Path:
    """A square that wanders over noise."""
    from signloom.media import write_video

    noise = np.random.default_rng(0).integers(60, 120, (72, 96, 3), np.uint8)

    def frames():
        for t in range(n_frames):
            frame = noise.copy()
            x, y = t % 80, t // 80 % 56
            frame[y : y + 16, x : x + 16] = 230
            yield frame

    file.parent.mkdir(parents=True, exist_ok=True)
    write_video(file, frames(), 25, keyframe_every=250)
    return file


def _table(table: Path, file: Path, n_frames: int, clips: int) -> Path:
    """``clips`` of 50 frames, evenly spread over the recording."""
    starts = np.linspace(0, n_frames - FRAMES, clips).round().astype(int)
    rows = [f"{file},A{k % 2},{first},{first + FRAMES}" for k, first in enumerate(starts)]
    table.write_text("\n".join(["file,label,first_frame,end_frame", *rows]) + "\n", encoding="utf-8")
    return table
