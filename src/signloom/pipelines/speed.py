"""How fast video goes through: flow, preparation, training and use, each beside what one would do instead."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

Rounds = Callable[[str, int], Iterator[int]]
Run = Callable[[list[str]], tuple[float, str]]

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


@dataclass(frozen=True)
class Measure:
    """One thing measured several times: ``values`` in ``unit``, a row of the table."""

    group: str
    name: str
    unit: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "median": self.median, "min": min(self.values), "max": max(self.values)}


def ratio_of(name: str, faster: Measure, slower: Measure) -> dict[str, Any]:
    """How many times faster the first is: of the medians, and the least and most over single rounds."""
    per_round = [a / b for a, b in zip(faster.values, slower.values)]
    if faster.unit.startswith(("ms", "s")):
        per_round = [1 / r for r in per_round]
    middle = faster.median / slower.median
    middle = 1 / middle if faster.unit.startswith(("ms", "s")) else middle
    return {"name": name, "ratio": round(middle, 3), "low": round(min(per_round), 3), "high": round(max(per_round), 3)}


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that ``function()`` took, and its value."""
    began = time.perf_counter()
    value = function()
    return time.perf_counter() - began, value


def measure_flow(clips: Sequence[Path], rounds: Rounds, repeats: int) -> tuple[list[Measure], list[dict]]:
    """Flow between frames of 224 × 224, one thread, by method."""
    from signloom import media
    from signloom.streams.flow import Flow
    from signloom.transforms.geometry import fit_shorter_side, warp_frames

    frames = media.read_video(clips[0]).frames_THWC
    middle = frames[len(frames) // 3 :][:4]
    matrix = fit_shorter_side(middle.shape[2], middle.shape[1], 240, 224)
    small = list(warp_frames(middle, matrix, 224))
    names = ("dis-ultrafast", "dis-fast", "dis-medium", "farneback", "tvl1-fast", "tvl1-default")
    took: dict[str, list[float]] = {name: [] for name in names}
    for _ in rounds("flow", repeats):
        for name in names:
            seconds, flows = timed(lambda name=name: list(Flow.named(name).of_frames(small)))
            took[name].append(1000 * seconds / (len(flows) - 1))
    rows = {name: Measure("flow", f"{name}, 224×224", "ms a pair", tuple(t)) for name, t in took.items()}
    default = rows[Flow().name]
    slow = [ratio_of(f"flow: {Flow().name} vs {name}", default, rows[name]) for name in ("tvl1-fast", "tvl1-default")]
    return list(rows.values()), slow


def measure_pictures(
    clips: Sequence[Path], scratch: Path, rounds: Rounds, run: Run, repeats: int, workers: int, shorter_px: int = 256
) -> tuple[list[Measure], list[dict]]:
    """Whole runs of `signloom prepare --streams frames flow`, start-up included, and of a plain loop."""
    from signloom.data.manifest import read_manifest, write_manifest
    from signloom.pipelines.prepare import manifest_of_files

    corpus = write_manifest(manifest_of_files(clips), scratch / "pictures").parent
    ours = [sys.executable, "-m", "signloom", "prepare", str(corpus), "--streams", "frames", "flow", "--json"]
    ours += ["--shorter-px", str(shorter_px), "--workers", str(workers)]
    seconds: dict[str, list[float]] = {"signloom, DIS": [], "plain loop, TV-L1": []}
    frames = 0
    for number in rounds("prepare frames and flow", repeats):
        out, plain = scratch / f"pictures-{number}", scratch / f"pictures-plain-{number}"
        plain.mkdir()
        seconds["signloom, DIS"].append(run([*ours, "--out", str(out)])[0])
        loop = [sys.executable, "-c", PLAIN_LOOP, str(plain), str(shorter_px), *map(str, clips)]
        seconds["plain loop, TV-L1"].append(run(loop)[0])
        frames = sum(r.n_frames or 0 for r in read_manifest(out))
    made = {n: Measure("pictures", n, "frames/s", tuple(frames / s for s in t)) for n, t in seconds.items()}
    return list(made.values()), [ratio_of("prepare frames and flow: signloom vs plain loop", *made.values())]


def measure_video_training(rounds: Rounds, steps: int, n_frames: int, size_px: int) -> tuple[list[Measure], list[dict]]:
    """Training steps and use of I3D, plain and as signloom runs it, and of the light 3-D CNN; batch 4."""
    import torch

    from signloom.models import build
    from signloom.training.fit import _channels_last

    device = "cuda" if torch.cuda.is_available() else "cpu"
    x = torch.randn(4, 3, n_frames, size_px, size_px, device=device)
    y = torch.arange(4, device=device)
    shape = f"{n_frames}×{size_px}²"
    ways: dict[str, tuple[Any, bool]] = {}
    for architecture, config in (("i3d", {"n_classes": 100}), ("light3d", {"n_classes": 100})):
        torch.manual_seed(0)
        for name, ours in ((f"{architecture} plain fp32, {shape}", False), (f"{architecture} signloom, {shape}", True)):
            model = build(architecture, config).to(device)
            if ours:
                _channels_last(model)
            ways[name] = (model, ours)
    optimizers = {name: torch.optim.AdamW(m.parameters(), lr=1e-4) for name, (m, _) in ways.items()}

    def step(name: str) -> None:
        model, ours = ways[name]
        model.train()
        with torch.autocast(device, torch.bfloat16, enabled=ours):
            loss = torch.nn.functional.cross_entropy(model(x).float(), y)
        optimizers[name].zero_grad(set_to_none=True)
        loss.backward()
        optimizers[name].step()
        float(loss.detach())  # waits for a GPU

    def use(name: str) -> None:
        model, ours = ways[name]
        model.eval()
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=ours):
            float(model(x).float().sum())

    trained: dict[str, list[float]] = {name: [] for name in ways}
    used: dict[str, list[float]] = {name: [] for name in ways}
    for number in rounds("train and use video models", steps + 1):
        for name in ways:
            seconds = timed(lambda name=name: step(name))[0], timed(lambda name=name: use(name))[0]
            if number:  # the first one allocates
                trained[name].append(1000 * seconds[0])
                used[name].append(1000 * seconds[1])
    training = {name: Measure("training", f"{name}", "ms a step", tuple(t)) for name, t in trained.items()}
    using = {name: Measure("using", f"{name}", "ms for 4 clips", tuple(t)) for name, t in used.items()}
    ratios = []
    for architecture in ("i3d", "light3d"):
        plain, ours = f"{architecture} plain fp32, {shape}", f"{architecture} signloom, {shape}"
        ratios.append(
            ratio_of(f"training step of {architecture}: signloom vs plain fp32", training[ours], training[plain])
        )
        ratios.append(ratio_of(f"use of {architecture}: signloom vs plain fp32", using[ours], using[plain]))
    return [*training.values(), *using.values()], ratios


def measure_painting(scratch: Path, rounds: Rounds, repeats: int, frames: int) -> tuple[list[Measure], list[dict]]:
    """Painters as ONNX files in ONNX Runtime, frame after frame on all cores, and what they cost in multiply–adds.

    Drawing the limbs that they are given comes on top of that, on one core.
    """
    import numpy as np
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from signloom.models import build
    from signloom.runtime.workers import default_workers
    from signloom.synthetic import LEXICON, Take, make_signer
    from signloom.tasks.paint.export import example_inputs, export_painter, open_session
    from signloom.tasks.paint.run import Painter
    from signloom.tasks.presets import paint, paint_512, paint_frames, pix2pix
    from signloom.training.checkpoint import Checkpoint
    from signloom.transforms.pose_map import limbs_of_pose

    small = asdict(build("painter", paint().model).config)
    sessions, macs = {}, {}
    for recipe in (paint(), paint_frames(), paint_512(), pix2pix()):
        inner = {"painter": tuple(small.items())} if recipe.architecture == "upscaled" else {}
        config = {**recipe.model, **inner}
        torch.manual_seed(0)
        model = build(recipe.architecture, config).eval()
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            model(torch.zeros(1, model.config.n_limbs, 256, 256))
        macs[recipe.name] = counter.get_total_flops() / 2e9
        file = export_painter(
            Painter(Checkpoint(recipe.architecture, model, (), recipe.inputs, {})), scratch / "p.onnx"
        )
        session = open_session(file, threads=default_workers())
        values = example_inputs(model)
        sessions[recipe.name] = session, {i.name: values[i.name] for i in session.get_inputs()}
    pose = Take(LEXICON[0], make_signer(0), 0).pose()
    drawing: list[float] = []
    speeds: dict[str, list[float]] = {name: [] for name in sessions}
    for number in rounds("paint", repeats + 1):
        took, drawn = timed(lambda: len(list(limbs_of_pose(pose, np.eye(3), 256))))
        if number:
            drawing.append(drawn / took)
        for name, (session, values) in sessions.items():
            took, _ = timed(lambda s=session, v=values: [s.run(["picture"], v) for _ in range(frames)])
            if number:  # the first one allocates
                speeds[name].append(frames / took)
    made = {n: Measure("painting", f"{n}, ONNX Runtime", "frames/s", tuple(v)) for n, v in speeds.items()}
    cost = [Measure("painting", f"{n}, multiply–adds", "G a frame", (v,)) for n, v in macs.items()]
    ratios = [ratio_of(f"paint: {paint().name} vs {pix2pix().name}", made[paint().name], made[pix2pix().name])]
    fewer = round(macs[pix2pix().name] / macs[paint().name], 3)
    ratios.append({"name": "multiply–adds: pix2pix vs paint", "ratio": fewer, "low": fewer, "high": fewer})
    limbs = Measure("painting", "limbs of a pose at 256², one core", "frames/s", tuple(drawing))
    return [*made.values(), limbs, *cost], ratios


def measure_waiting(corpus: Path, rounds: Rounds, steps: int) -> list[Measure]:
    """How long a training step of recipe rgb waits for its batch, clips read from disk anew each time."""
    import numpy as np
    import torch

    from signloom.data.manifest import read_manifest
    from signloom.models import build
    from signloom.tasks.presets import rgb
    from signloom.tasks.recognise.classify_video import ClassifyVideos
    from signloom.tasks.recognise.run import load_inputs, model_config
    from signloom.tasks.recognise.video_set import Memory
    from signloom.training.fit import _ahead, _channels_last, _make_batch

    recipe = rgb()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    manifest = read_manifest(corpus)
    clips = load_inputs(manifest, recipe.inputs, recipe.streams, None, needed_by="bench", memory=Memory(0))
    clips.label_N = np.zeros(len(clips), np.int64)
    task = ClassifyVideos(clips, 10, None, recipe.augment, "frames")
    model = build(recipe.architecture, model_config(recipe, 10)).to(device).train()
    _channels_last(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    rng = np.random.default_rng(0)
    todo = [(n, rng.integers(len(clips), size=recipe.schedule.batch_size).tolist()) for n in range(steps + 2)]
    waited, worked = [], []
    made = _ahead(lambda n, rows: _make_batch(task, n, rows, seed=0, epoch=0, keep=slice(0, None, 1)), todo, 2)
    for number in rounds("wait for batches", steps + 2):
        seconds, got = timed(lambda: next(made))
        batch = got[1].to(device)

        def step(batch: Any = batch) -> None:
            with torch.autocast(device, torch.bfloat16):
                loss = task.loss(model, batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            float(loss.detach())

        busy = timed(step)[0]
        if number > 1:
            waited.append(1000 * seconds)
            worked.append(1000 * busy)
    return [
        Measure("loading", "waiting for a batch of 16 clips", "ms a step", tuple(waited)),
        Measure("loading", "training on it meanwhile", "ms a step", tuple(worked)),
    ]
