"""signloom bench: how fast this machine is at what signloom does, beside what one would do instead."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from signloom.errors import InputError, SignloomError

if TYPE_CHECKING:
    from signloom.pipelines.speed import Measure

GROUPS = ("start", "decode", "prepare", "flow", "pictures", "train", "score", "training", "loading", "painting")

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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Measure speed and memory on this machine: start-up, preparation of poses, frames and flow, decoding, "
        "training, use and painting, each several times, beside what one would do without signloom. Takes minutes; "
        "leave the machine alone meanwhile."
    )
    parser.epilog = """examples:
  signloom bench                                  on clips it makes itself, in a temporary folder
  signloom bench --videos videos/ --json speed.json --plot speed.png
  signloom bench --only flow pictures training    only these groups
  signloom bench --quick                          seconds; only shows that it works"""
    parser.add_argument("--videos", type=Path, metavar="DIR", help="measure on these clips (default: procedural ones)")
    parser.add_argument("--repeats", type=int, default=3, help="how often to measure each thing (default: 3)")
    parser.add_argument("--clips", type=int, default=16, help="how many clips to use (default: 16)")
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=list(GROUPS), help="which groups to measure")
    parser.add_argument("--quick", action="store_true", help="two small clips, once; the figures mean nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures, the machine and the date")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="write a bar chart")


def run(args: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    import signloom
    from signloom.runtime.atomic import write_json

    if args.repeats < 1 or args.clips < 1:
        raise InputError("--repeats and --clips must be at least 1")
    repeats, n_clips = (1, 2) if args.quick else (args.repeats, args.clips)
    measures: list[Measure] = []
    ratios: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="signloom-bench-") as scratch:
        clips = _clips(args.videos, n_clips, Path(scratch), quick=args.quick)
        decoded, facts = _decoding(clips, repeats)
        for group in GROUPS:
            if group in args.only:
                _say(f"group {group}")
                some, compared = _group(group, clips, facts, decoded, repeats, Path(scratch), quick=args.quick)
                measures += some
                ratios += compared
    result = {
        "kind": "bench",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "signloom_version": signloom.__version__,
        "quick": args.quick,
        "machine": _machine(),
        "clips": {"n": len(clips), **facts, "from": str(args.videos) if args.videos else "procedural signer"},
        "measures": [m.as_dict() for m in measures],
        "ratios": ratios,
    }
    _print(result)
    if args.json:
        print(f"figures: {write_json(args.json, result)}")
    if args.plot:
        _plot(measures, args.plot)
        print(f"chart:   {args.plot}")
    return 0


# --- what is measured ---------------------------------------------------------------------------------------------


def _group(
    group: str, clips: Sequence[Path], facts: dict, decoded: list[Measure], repeats: int, scratch: Path, *, quick: bool
) -> tuple[list[Measure], list[dict[str, Any]]]:
    """The measures of one group of :data:`GROUPS`, and how they compare."""
    from signloom.pipelines import speed
    from signloom.runtime.workers import default_workers

    if group == "start":
        return _starting(repeats if quick else max(5, repeats)), []
    if group == "prepare":
        rows = _preparing(clips, facts["frames"], repeats, scratch)
        ours, *others = [m for m in rows if m.unit == "frames/s"]
        return rows, [speed.ratio_of(f"prepare poses: {ours.name} vs {m.name}", ours, m) for m in others]
    if group == "decode":
        return decoded, [speed.ratio_of("decode: signloom vs OpenCV", *decoded)]
    if group == "train":
        rows = _training(2 if quick else 30)
        return rows, [speed.ratio_of("training step of pose: bf16 vs fp32", rows[1], rows[0])]
    if group == "score":
        return _scoring(8 if quick else 512, repeats), []
    if group == "flow":
        return speed.measure_flow(clips, _rounds, repeats)
    if group == "pictures":
        few, size = (clips[:1], 64) if quick else (clips[:4], 256)
        return speed.measure_pictures(few, scratch, _rounds, _run, repeats, default_workers(), size)
    if group == "painting":
        return speed.measure_painting(scratch, _rounds, repeats, 1 if quick else 40)
    if group == "training":
        return speed.measure_video_training(_rounds, 1 if quick else 5, 8 if quick else 16, 64 if quick else 112)
    corpus = scratch / "frames-for-loading"
    words = [sys.executable, "-m", "signloom", "prepare", str(_corpus(clips, scratch)), "--streams", "frames", "--json"]
    _run([*words, "--out", str(corpus)])
    return speed.measure_waiting(corpus, _rounds, 2 if quick else 20), []


def _corpus(clips: Sequence[Path], scratch: Path) -> Path:
    from signloom.data.manifest import write_manifest
    from signloom.pipelines.prepare import manifest_of_files

    return write_manifest(manifest_of_files(clips), scratch / "corpus").parent


def _clips(folder: Path | None, wanted: int, scratch: Path, *, quick: bool) -> list[Path]:
    """The clips to measure on: those of ``folder``, or made here."""
    from signloom.tasks.recognise.run import collect_files

    if folder is None:
        folder = scratch / "footage"
        size = ["--size", "320x240", "--fps", "10"] if quick else ["--size", "640x480", "--fps", "25"]
        made = ["synth", str(folder), "--signs", str(-(-wanted // 2)), "--signers", "2", "--takes", "1", *size]
        _say("make clips")
        _run([sys.executable, "-m", "signloom", *made, "--json"])
        folder = folder / "videos"
    found = [p for p in collect_files([str(folder)]) if p.suffix != ".pose"][:wanted]
    if not found:
        raise InputError(f"--videos: no video below '{folder}'")
    return found


def _starting(repeats: int) -> list[Measure]:
    from signloom.pipelines.speed import Measure

    commands = {
        "signloom --help": ["-m", "signloom", "--help"],
        "signloom train --help": ["-m", "signloom", "train", "--help"],
        "bare Python": ["-c", ""],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in _rounds("start", repeats):
        for name, words in commands.items():
            times[name].append(_run([sys.executable, *words])[0])
    return [Measure("start", name, "s", tuple(t)) for name, t in times.items()]


def _preparing(clips: Sequence[Path], n_frames: int, repeats: int, scratch: Path) -> list[Measure]:
    """Whole runs of `signloom prepare`, start of the workers and loading of the models included, as a user waits."""
    from signloom.pipelines.speed import Measure
    from signloom.runtime.workers import default_workers

    cores = default_workers()
    corpus = _corpus(clips, scratch)
    prepare = [sys.executable, "-m", "signloom", "prepare", str(corpus), "--json", "--workers"]
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
    for number in _rounds("prepare poses", repeats):
        for name, (command, pinned) in ways.items():
            out = scratch / f"prepared-{len(seconds[name])}-{list(ways).index(name)}-{number}"
            out.mkdir()
            tail = [str(out), *map(str, clips)] if command is plain else ["--out", str(out)]
            with _one_core() if pinned else nullcontext():
                took, printed = _run([*command, *tail])
            seconds[name].append(took)
            memory[name].append(json.loads(printed)["peak_memory_per_worker_mb"])
    return [
        *(Measure("prepare", name, "frames/s", tuple(n_frames / s for s in t)) for name, t in seconds.items()),
        *(Measure("prepare", name, "clips/s", tuple(len(clips) / s for s in t)) for name, t in seconds.items()),
        *(Measure("prepare", name, "MB peak a worker", tuple(m)) for name, m in memory.items()),
    ]


def _decoding(clips: Sequence[Path], repeats: int) -> tuple[list[Measure], dict[str, int]]:
    """Reading every frame as an RGB array, in this process. OpenCV decodes with as many threads as it likes."""
    from signloom.media import import_cv2, iter_frames
    from signloom.pipelines.speed import Measure, timed

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
    for _ in _rounds("decode", repeats):
        for name, way in ways.items():
            took, counts[name] = timed(way)
            speeds[name].append(sum(counts[name]) / took)
    ours_n, theirs_n = counts.values()
    facts = {"frames": sum(ours_n), "clips_opencv_counts_otherwise": sum(a != b for a, b in zip(ours_n, theirs_n))}
    return [Measure("decode", name, "frames/s", tuple(v)) for name, v in speeds.items()], facts


def _training(steps: int) -> list[Measure]:
    """Whole steps of the default recipe on random poses: batch, augmentation, forward, backward, update."""
    import torch

    from signloom.pipelines.speed import Measure, timed
    from signloom.tasks.presets import pose
    from signloom.tasks.recognise.classify import ClassifyPoses

    recipe = pose()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    task = ClassifyPoses(_random_poses(64), 100, None, recipe.augment)
    generator = torch.Generator().manual_seed(0)
    models = {precision: _model(device).train() for precision in ("fp32", "bf16")}
    optimizers = {name: torch.optim.AdamW(m.parameters(), lr=1e-3) for name, m in models.items()}

    def step(name: str) -> None:
        batch = task.train_batch(list(range(32)), generator).to(device)
        with torch.autocast(device, torch.bfloat16, enabled=name == "bf16"):
            loss = task.loss(models[name], batch)
        optimizers[name].zero_grad(set_to_none=True)
        loss.backward()
        optimizers[name].step()
        float(loss.detach())  # waits for a GPU

    times: dict[str, list[float]] = {name: [] for name in models}
    for number in _rounds("train", steps + 3):
        for name in models:
            took, _ = timed(lambda name=name: step(name))
            if number >= 3:  # the first ones allocate
                times[name].append(1000 * took)
    return [Measure("train", f"{name}, batch 32, {device}", "ms a step", tuple(t)) for name, t in times.items()]


def _scoring(n_clips: int, repeats: int) -> list[Measure]:
    import torch

    from signloom.pipelines.speed import Measure, timed
    from signloom.tasks.recognise.classify import score_poses

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model, poses = _model(device), _random_poses(n_clips)
    score_poses(model, poses, device=device)
    speeds = [
        n_clips / timed(lambda: score_poses(model, poses, device=device))[0] for _ in _rounds("score", max(repeats, 3))
    ]
    return [Measure("score", f"prepared poses, {device}", "clips/s", tuple(speeds))]


def _model(device: str) -> Any:
    from signloom.models import build
    from signloom.tasks.presets import pose
    from signloom.tasks.recognise.run import model_config

    return build(pose().architecture, model_config(pose(), 100)).to(device)


def _random_poses(n: int) -> Any:
    import numpy as np

    from signloom.data.batch import PoseSet
    from signloom.data.skeleton import JOINTS
    from signloom.tasks.presets import pose

    rng = np.random.default_rng(0)
    xy = rng.normal(size=(n, pose().inputs.n_frames, len(JOINTS), 2)).astype(np.float32)
    return PoseSet(tuple(map(str, range(n))), xy, np.ones(xy.shape[:3], bool), np.arange(n, dtype=np.int64) % 100)


# --- measuring ----------------------------------------------------------------------------------------------------


def _say(text: str) -> None:
    print(f"bench: {text} …", file=sys.stderr, flush=True)


def _rounds(title: str, n: int) -> Iterator[int]:
    """Everything in a group is measured once in every round, so that a slow minute of the machine hits all alike."""
    _say(f"{title}, {n} rounds")
    yield from range(n)


def _run(command: list[str]) -> tuple[float, str]:
    """Wall-clock seconds and output of a process. Raises SignloomError when it fails."""
    from signloom.pipelines.speed import timed

    took, done = timed(lambda: subprocess.run(command, capture_output=True, text=True, check=False))
    if done.returncode not in (0, 3):
        words = " ".join(w if len(w) < 80 else "…" for w in command[:8])
        raise SignloomError(f"`{words}` ended with exit code {done.returncode}: {done.stderr[-500:]}")
    return took, done.stdout


@contextmanager
def _one_core() -> Iterator[None]:
    """Processes started here run on one core only. (Linux; elsewhere that row is left out.)"""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def _machine() -> dict[str, Any]:
    from importlib.metadata import version

    import torch

    from signloom.runtime.workers import default_workers

    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        processor = names[0] if names else processor
    packages = ("torch", "mediapipe", "opencv-contrib-python", "av", "numpy", "accelerate")
    return {
        "processor": processor,
        "cores": default_workers(),
        "torch_threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
    }


# --- showing ------------------------------------------------------------------------------------------------------


def _print(result: dict[str, Any]) -> None:
    machine, clips = result["machine"], result["clips"]
    print(f"{machine['processor']}, {machine['cores']} cores, GPU: {machine['gpu'] or 'none'}")
    print(f"{clips['n']} clips, {clips['frames']} frames ({clips['from']})\n")
    print(f"{'':<9}{'':<34}{'median':>10}{'min':>10}{'max':>10}  unit")
    last = None
    for row in result["measures"]:
        group = "" if row["group"] == last else row["group"]
        last = row["group"]
        figures = "".join(f"{row[k]:>10.4g}" for k in ("median", "min", "max"))
        print(f"{group:<9}{row['name']:<34}{figures}  {row['unit']}")
    print()
    for row in result["ratios"]:
        print(f"{row['ratio']:>7.2f} ×  [{row['low']:.2f}, {row['high']:.2f}]  {row['name']}")


def _plot(measures: Sequence[Measure], file: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    from signloom.runtime.atomic import atomic_write

    titles = dict.fromkeys((m.group, m.unit) for m in measures if m.unit != "clips/s" or m.group != "prepare")
    figure, axes = pyplot.subplots(len(titles), 1, figsize=(8, 1.3 * len(titles) + 1), squeeze=False)
    for axis, (group, unit) in zip(axes[:, 0], titles):
        rows = [m for m in measures if (m.group, m.unit) == (group, unit)][::-1]
        spread = [[m.median - min(m.values) for m in rows], [max(m.values) - m.median for m in rows]]
        axis.barh([m.name for m in rows], [m.median for m in rows], xerr=spread, height=0.6, color="#35618e")
        axis.set_title(f"{group}, {unit}", loc="left", fontsize=9)
        axis.tick_params(labelsize=8)
    figure.tight_layout()
    with atomic_write(file) as tmp:
        figure.savefig(tmp, dpi=110)
    pyplot.close(figure)
