"""Poses: making them from video, learning from them, naming signs by them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from signloom.pipelines.bench.measure import (
    Bench,
    Measure,
    Measured,
    corpus_of,
    ratio_of,
    rounds,
    run_command,
    timed,
)

if TYPE_CHECKING:
    from signloom.tasks.recognise.data import Clips

CLASSES = 100

# What one would write without signloom: every clip in one process, through one estimator whose tracker carries over
# from clip to clip. Saves the points, prints its own peak memory.
PLAIN_LOOP = """
import json, resource, sys
import cv2, numpy as np
from mediapipe.python.solutions import holistic
out, *files = sys.argv[1:]
with holistic.Holistic(model_complexity=1) as model:
    for number, file in enumerate(files):
        capture, rows = cv2.VideoCapture(file), []
        while (got := capture.read())[0]:
            result = model.process(cv2.cvtColor(got[1], cv2.COLOR_BGR2RGB))
            points = []
            for part, count in (("pose", 33), ("face", 468), ("left_hand", 21), ("right_hand", 21)):
                found = getattr(result, f"{part}_landmarks")
                points += [(p.x, p.y, p.z) for p in found.landmark] if found else [(0, 0, 0)] * count
            rows.append(points)
        np.save(f"{out}/{number}.npy", np.array(rows, np.float32))
print(json.dumps({"peak_memory_per_worker_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))
"""

# Finding alone, once everything is loaded; each frame's own time is what a live session waits for it.
_FIND = """
import json, os, resource, sys, time
_, cores, *files = sys.argv
if cores:
    os.sched_setaffinity(0, map(int, cores.split(",")))
{load}
times, began = [], time.perf_counter()
for file in files:
{frames}
        asked = time.perf_counter()
        {find}
        times.append(1000 * (time.perf_counter() - asked))
print(json.dumps({{"seconds": time.perf_counter() - began, "frame_ms": times,
    "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}}))
"""
OURS = _FIND.format(
    load="""
from signloom import media
from signloom.streams.pose import PoseStream
media.import_cv2().setNumThreads(1)
estimator = PoseStream().estimator
estimator.finder().close()
""",
    frames="""
    finder = estimator.finder()
    for time_s, frame in media.iter_frames(file):
""",
    find="finder.find(frame, time_s)",
)
PLAIN = _FIND.format(
    load="""
import cv2, numpy
from mediapipe.python.solutions import holistic
model = holistic.Holistic(model_complexity=1)
model.process(numpy.zeros((240, 320, 3), numpy.uint8))
""",
    frames="""
    capture = cv2.VideoCapture(file)
    while (got := capture.read())[0]:
        frame = cv2.cvtColor(got[1], cv2.COLOR_BGR2RGB)
""",
    find="model.process(frame)",
)


def measure_finding(bench: Bench) -> Measured:
    """Finding poses, start-up apart: on one core, on two, in two processes, and in a plain loop of MediaPipe's."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cores) < 2:
        return [], []
    first, second = cores[:2]
    both = f"{first},{second}"
    ways = {
        "1 process on 1 core": (OURS, [f"{first}"]),
        "1 process on 2 cores": (OURS, [both]),
        "2 processes on 2 cores": (OURS, [f"{first}", f"{second}"]),
        "plain loop (MediaPipe) on 2 cores": (PLAIN, [both]),
    }
    speed: dict[str, list[float]] = {name: [] for name in ways}
    frame_ms: dict[tuple[str, str], list[float]] = {(name, of): [] for name in ways for of in ("median", "95 %")}
    memory: dict[str, list[float]] = {name: [] for name in ways}
    files = [str(clip) for clip in bench.clips]
    for _ in rounds("find poses", bench.repeats):
        for name, (program, pinned) in ways.items():
            shares = [(cores, files[k :: len(pinned)]) for k, cores in enumerate(pinned)]
            with ThreadPoolExecutor(len(pinned)) as pool:
                commands = [[sys.executable, "-c", program, cores, *share] for cores, share in shares if share]
                told = [json.loads(printed) for _, printed in pool.map(run_command, commands)]
            speed[name].append(bench.n_frames / max(t["seconds"] for t in told))
            every = sorted(ms for t in told for ms in t["frame_ms"])
            frame_ms[name, "median"].append(every[len(every) // 2])
            frame_ms[name, "95 %"].append(every[len(every) * 95 // 100])
            memory[name].append(max(t["mb"] for t in told))
    frames = [Measure("poses", name, "frames/s", tuple(values)) for name, values in speed.items()]
    late = [Measure("poses", f"{name}: a frame, {of}", "ms", tuple(ms)) for (name, of), ms in frame_ms.items()]
    peaks = [Measure("poses", name, "MB peak a process", tuple(values)) for name, values in memory.items()]
    one, threads, two, plain = frames
    pairs = (
        ("1 process on 2 cores vs plain loop", threads, plain),
        ("2 processes vs plain loop", two, plain),
        ("1 process, 2 cores vs 1", threads, one),
        ("2 processes vs 1 core", two, one),
    )
    return [*frames, *late, *peaks], [ratio_of(f"find poses: {name}", a, b) for name, a, b in pairs]


def measure_preparing(bench: Bench) -> Measured:
    """Whole runs of `signloom prepare`, start of the workers and loading of the models included, as a user waits."""
    from signloom.runtime.workers import default_workers

    cores = default_workers()
    prepare = [sys.executable, "-m", "signloom", "prepare", str(corpus_of(bench, "corpus")), "--json", "--workers"]
    plain = [sys.executable, "-c", PLAIN_LOOP]
    ways: dict[str, tuple[list[str], bool]] = {
        f"{cores} workers, one per core": ([*prepare, str(cores)], False),
        "1 worker, free to use all cores": ([*prepare, "1"], False),
        "1 worker on 1 core": ([*prepare, "1"], True),
        "plain loop (OpenCV, Holistic)": (plain, False),
    }
    if not hasattr(os, "sched_setaffinity"):
        del ways["1 worker on 1 core"]
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    memory: dict[str, list[float]] = {name: [] for name in ways}
    for number in rounds("prepare poses", bench.repeats):
        for k, (name, (command, pinned)) in enumerate(ways.items()):
            out = bench.scratch / f"prepared-{k}-{number}"
            out.mkdir()
            tail = [str(out), *map(str, bench.clips)] if command is plain else ["--out", str(out)]
            with _one_core() if pinned else nullcontext():
                took, printed = run_command([*command, *tail])
            seconds[name].append(took)
            memory[name].append(json.loads(printed)["peak_memory_per_worker_mb"])
    n_frames, n_clips = bench.n_frames, len(bench.clips)
    frames = [Measure("prepare", name, "frames/s", tuple(n_frames / s for s in t)) for name, t in seconds.items()]
    clips = [Measure("prepare", name, "clips/s", tuple(n_clips / s for s in t)) for name, t in seconds.items()]
    peaks = [Measure("prepare", name, "MB peak a worker", tuple(m)) for name, m in memory.items()]
    ours, *others = frames
    return [*frames, *clips, *peaks], [ratio_of(f"prepare poses: {ours.name} vs {m.name}", ours, m) for m in others]


@contextmanager
def _one_core() -> Iterator[None]:
    """Processes started here run on one core only. (Linux; elsewhere that row is left out.)"""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def measure_training(bench: Bench) -> Measured:
    """Whole steps of the default recipe on random poses: batch, augmentation, forward, backward, update."""
    import torch

    from signloom.pipelines.bench.training_step import TrainingStep
    from signloom.tasks.recognise.data import RecogniseData
    from signloom.tasks.recognise.recipes import pose
    from signloom.tasks.recognise.task import untrained

    device = "cuda" if torch.cuda.is_available() else "cpu"
    recipe, poses = pose(), _random_poses(64)
    data = RecogniseData(poses, None, poses.labels or (), recipe.augment, batch_size=32)
    steps: dict[str, TrainingStep] = {}
    for precision in ("fp32", "bf16"):
        torch.manual_seed(0)
        model = untrained(recipe, CLASSES).to(device)
        steps[precision] = TrainingStep(replace(recipe, schedule=replace(recipe.schedule, precision=precision)), model)

    def whole(step: TrainingStep, number: int) -> None:
        step(data.batch(0, number)[0].to(device))

    times: dict[str, list[float]] = {name: [] for name in steps}
    for number in rounds("train", (2 if bench.quick else 30) + 3):
        for name, step in steps.items():
            took, _ = timed(whole, step, number)
            if number >= 3:  # the first ones allocate
                times[name].append(1000 * took)
    rows = [Measure("train", f"{name}, batch 32, {device}", "ms a step", tuple(t)) for name, t in times.items()]
    return rows, [ratio_of("training step of pose: bf16 vs fp32", rows[1], rows[0])]


def measure_scoring(bench: Bench) -> Measured:
    """Naming the signs of random poses."""
    import torch

    from signloom.tasks.recognise.predict import score
    from signloom.tasks.recognise.recipes import pose
    from signloom.tasks.recognise.task import untrained

    n_clips = 8 if bench.quick else 512
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model, poses = untrained(pose(), CLASSES).to(device), _random_poses(n_clips)
    score(model, poses, device=device)
    took = [timed(lambda: score(model, poses, device=device))[0] for _ in rounds("score", max(bench.repeats, 3))]
    return [Measure("score", f"prepared poses, {device}", "clips/s", tuple(n_clips / s for s in took))], []


def _random_poses(n: int) -> Clips:
    """Clips of made-up poses of all labels in turn, as they are kept in memory."""
    import numpy as np

    from signloom.data.corpus import ClipList, HeldClip
    from signloom.data.skeleton import JOINTS
    from signloom.tasks.recognise.data import Clips, reader_for
    from signloom.tasks.recognise.recipes import pose

    rng = np.random.default_rng(0)
    xy = rng.normal(size=(n, pose().inputs.n_frames, len(JOINTS), 2)).astype(np.float32)
    labels = tuple(f"{k:03}" for k in range(CLASSES))
    clips = ClipList(tuple(HeldClip(str(k), {}, label=labels[k % CLASSES]) for k in range(n)))
    held = {"pose": xy, "present": np.ones(xy.shape[:3], bool)}
    return Clips(clips, pose().inputs, ("pose",), reader_for({}), labels, held=held)
