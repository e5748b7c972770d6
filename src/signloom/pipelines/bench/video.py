"""Pictures and flow: decoding, and what is made of it, each beside what one would do instead."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from signloom.pipelines.bench.measure import (
    Bench,
    Measure,
    Measured,
    corpus_of,
    ratio_of,
    rounds,
    run_command,
    run_signloom,
    timed,
)

# What one would write without signloom: every frame resized, TV-L1 flow with OpenCV's own settings, JPEG pictures.
PLAIN_LOOP = """
import sys
import cv2, numpy as np
out, shorter, *files = sys.argv[1:]
method = cv2.optflow.DualTVL1OpticalFlow_create()
for number, file in enumerate(files):
    capture, before, n = cv2.VideoCapture(file), None, 0
    while (got := capture.read())[0]:
        frame = got[1]
        scale = int(shorter) / min(frame.shape[:2])
        frame = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
        flow = np.zeros((*grey.shape, 2), np.float32) if before is None else method.calc(before, grey, None)
        codes = ((np.clip(flow, -20, 20) + 20) * (255 / 40)).astype(np.uint8)
        cv2.imwrite(f"{out}/{number}-{n}.jpg", frame)
        cv2.imwrite(f"{out}/{number}-{n}-x.jpg", codes[..., 0])
        cv2.imwrite(f"{out}/{number}-{n}-y.jpg", codes[..., 1])
        before, n = grey, n + 1
"""


def decode(clips: Sequence[Path], repeats: int) -> tuple[tuple[Measure, ...], dict[str, int]]:
    """Reading every frame as an RGB array, in this process, and how many there are.

    OpenCV decodes with as many threads as it likes.
    """
    from signloom.media import import_cv2, iter_frames

    cv2 = import_cv2()

    def ours() -> list[int]:
        return [sum(1 for _ in iter_frames(path)) for path in clips]

    def theirs() -> list[int]:
        counts = []
        for path in clips:
            capture, n = cv2.VideoCapture(str(path)), 0
            while (got := capture.read())[0]:
                cv2.cvtColor(got[1], cv2.COLOR_BGR2RGB)
                n += 1
            counts.append(n)
        return counts

    ways = {"signloom (exact, 1 thread)": ours, "OpenCV (looser, its own threads)": theirs}
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    counts: dict[str, list[int]] = {}
    for _ in rounds("decode", repeats):
        for name, way in ways.items():
            took, counts[name] = timed(way)
            speeds[name].append(sum(counts[name]) / took)
    ours_n, theirs_n = counts.values()
    facts = {"frames": sum(ours_n), "clips_opencv_counts_otherwise": sum(a != b for a, b in zip(ours_n, theirs_n))}
    return tuple(Measure("decode", name, "frames/s", tuple(v)) for name, v in speeds.items()), facts


def measure_decoding(bench: Bench) -> Measured:
    """What was measured when the clips were counted."""
    return list(bench.decoded), [ratio_of("decode: signloom vs OpenCV", *bench.decoded)]


def measure_flow(bench: Bench) -> Measured:
    """Flow between frames of 224 × 224, one thread, by method."""
    from signloom import media
    from signloom.streams.flow import Flow
    from signloom.transforms.geometry import fit_shorter_side, warp_frames

    frames = media.read_video(bench.clips[0]).frames_THWC
    middle = frames[len(frames) // 3 :][:4]
    matrix = fit_shorter_side(middle.shape[2], middle.shape[1], 240, 224)
    small = list(warp_frames(middle, matrix, 224))
    names = ("dis-ultrafast", "dis-fast", "dis-medium", "farneback", "tvl1-fast", "tvl1-default")
    took: dict[str, list[float]] = {name: [] for name in names}
    for _ in rounds("flow", bench.repeats):
        for name in names:
            seconds, flows = timed(list, Flow.named(name).of_frames(small))
            took[name].append(1000 * seconds / (len(flows) - 1))
    rows = {name: Measure("flow", f"{name}, 224×224", "ms a pair", tuple(t)) for name, t in took.items()}
    default = rows[Flow().name]
    slow = [ratio_of(f"flow: {Flow().name} vs {name}", default, rows[name]) for name in ("tvl1-fast", "tvl1-default")]
    return list(rows.values()), slow


def measure_pictures(bench: Bench) -> Measured:
    """Whole runs of `signloom prepare --streams frames flow`, start-up included, and of a plain loop."""
    from signloom.data.manifest import read_manifest
    from signloom.runtime.workers import default_workers

    n_clips, shorter_px = (1, "64") if bench.quick else (4, "256")
    corpus = corpus_of(bench, "pictures", n_clips)
    made = ["--streams", "frames", "flow", "--json", "--shorter-px", shorter_px, "--workers", str(default_workers())]
    seconds: dict[str, list[float]] = {"signloom, DIS": [], "plain loop, TV-L1": []}
    frames = 0
    for number in rounds("prepare frames and flow", bench.repeats):
        out, plain = bench.scratch / f"pictures-{number}", bench.scratch / f"pictures-plain-{number}"
        plain.mkdir()
        seconds["signloom, DIS"].append(run_signloom("prepare", corpus, *made, "--out", out)[0])
        files = map(str, bench.clips[:n_clips])
        loop = [sys.executable, "-c", PLAIN_LOOP, str(plain), shorter_px, *files]
        seconds["plain loop, TV-L1"].append(run_command(loop)[0])
        frames = sum(r.n_frames or 0 for r in read_manifest(out))
    rows = [Measure("pictures", n, "frames/s", tuple(frames / s for s in t)) for n, t in seconds.items()]
    return rows, [ratio_of("prepare frames and flow: signloom vs plain loop", *rows)]
