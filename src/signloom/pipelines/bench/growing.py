"""Changed copies of clips: whole runs of `signloom augment` beside a plain script of the same changes."""

from __future__ import annotations

import sys
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
)

POLICY = """
name = "bench"
[[steps]]
do = "pepper"
share = 0.1
[[steps]]
do = "salt"
share = 0.1
[[steps]]
do = "affine"
[[steps]]
do = "mean-blur"
[[steps]]
do = "median"
[[steps]]
do = "pepper"
share = 0.1
[[steps]]
do = "salt"
share = 0.1
"""
# What one would write by hand: every copy reads its clip again, and every frame draws a number for each pixel.
PLAIN_SCRIPT = """
import sys
import cv2, numpy as np
out, times, *files = sys.argv[1:]
def grains(frame, value):
    frame = frame.copy()
    frame[np.random.random(frame.shape[:2]) < 0.1] = value
    return frame
for number, file in enumerate(files):
    for copy in range(int(times)):
        capture = cv2.VideoCapture(file)
        size = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        fourcc = cv2.VideoWriter_fourcc(*"mp4v")
        writer = cv2.VideoWriter(f"{out}/{number}-{copy}.mp4", fourcc, capture.get(cv2.CAP_PROP_FPS), size)
        area, angle = np.random.uniform(0.7, 1.3), np.random.uniform(-17, 17)
        matrix = cv2.getRotationMatrix2D((size[0] / 2, size[1] / 2), angle, area ** 0.5)
        while (got := capture.read())[0]:
            frame = grains(grains(got[1], 0), 255)
            frame = cv2.warpAffine(frame, matrix, size, borderMode=cv2.BORDER_REPLICATE)
            frame = cv2.medianBlur(cv2.blur(frame, (5, 5)), 5)
            writer.write(grains(grains(frame, 0), 255))
        writer.release()
"""


def measure_augmenting(bench: Bench) -> Measured:
    """Whole runs, start-up included, on one core and on all: one copy of each clip, and five (decoded once)."""
    from signloom.data.manifest import read_manifest
    from signloom.runtime.workers import default_workers

    clips = 1 if bench.quick else len(bench.clips)
    corpus = corpus_of(bench, "augment", clips)
    policy = bench.scratch / "augment.toml"
    policy.write_text(POLICY, encoding="utf-8")
    workers = default_workers()
    copies = (1, 2) if bench.quick else (1, 5)
    ours, plain = f"signloom, {workers} workers", "plain OpenCV script"
    took: dict[tuple[str, int], list[float]] = {(way, n): [] for n in copies for way in (ours, plain)}
    frames = 0
    for number in rounds("augment", bench.repeats):
        for n in copies:
            out, by_hand = bench.scratch / f"augment-{number}-{n}", bench.scratch / f"augment-plain-{number}-{n}"
            by_hand.mkdir()
            asked: list[str | Path] = [
                "--policy",
                policy,
                "--times",
                str(n),
                "--only-copies",
                "--no-estimate",
                "--no-sheet",
                "--json",
            ]
            asked += ["--workers", str(workers), "--streams", "video"]
            took[ours, n].append(run_signloom("augment", corpus, *asked, "--out", out)[0])
            files = map(str, bench.clips[:clips])
            took[plain, n].append(run_command([sys.executable, "-c", PLAIN_SCRIPT, str(by_hand), str(n), *files])[0])
            frames = sum(r.n_frames or 0 for r in read_manifest(out)) // n
    rows = {
        key: Measure("augment", f"{way}, {n} {'copy' if n == 1 else 'copies'}", "frames/s",
                     tuple(frames * n / s for s in seconds))
        for key, seconds in took.items()
        for way, n in [key]
    }  # fmt: skip
    ratios = [
        ratio_of(
            f"augment, {n} {'copy' if n == 1 else 'copies'}: signloom vs plain script", rows[ours, n], rows[plain, n]
        )
        for n in copies
    ]
    return list(rows.values()), ratios
