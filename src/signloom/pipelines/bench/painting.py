"""Painting frame after frame, and what it costs."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from signloom.pipelines.bench.measure import Bench, Measure, Measured, ratio_of, rounds, timed
from signloom.runtime.workers import default_workers
from signloom.synthetic import LEXICON, Take, make_signer
from signloom.tasks.paint.export import example_inputs, export_generator
from signloom.tasks.paint.recipes import PaintRecipe, paint, paint_512, paint_frames, pix2pix
from signloom.tasks.paint.task import untrained
from signloom.training.checkpoint import Checkpoint
from signloom.training.export import write_export
from signloom.training.formats.onnx import open_session
from signloom.transforms.pose_map import pose_maps_of_pose


def measure_painting(bench: Bench) -> Measured:
    """Generators as ONNX files in ONNX Runtime, frame after frame on all cores, and their cost in multiply–adds.

    Drawing the pose maps that they are given comes on top of that, on one core.
    """
    recipes = {recipe.name: recipe for recipe in (paint(), paint_frames(), paint_512(), pix2pix())}
    models = {name: _generator(recipe) for name, recipe in recipes.items()}
    macs = {name: _multiply_adds(model) for name, model in models.items()}
    sessions = {name: _session(recipes[name], model, bench.scratch) for name, model in models.items()}
    pose = Take(LEXICON[0], make_signer(0), 0).pose()
    frames = 1 if bench.quick else 40
    drawing: list[float] = []
    speeds: dict[str, list[float]] = {name: [] for name in sessions}

    def painted(session: Any, values: dict[str, np.ndarray]) -> None:
        for _ in range(frames):
            session.run(["picture"], values)

    for number in rounds("paint", bench.repeats + 1):
        took, drawn = timed(list, pose_maps_of_pose(pose, np.eye(3), 256))
        if number:
            drawing.append(len(drawn) / took)
        for name, (session, values) in sessions.items():
            took, _ = timed(painted, session, values)
            if number:  # the first one allocates
                speeds[name].append(frames / took)
    made = {n: Measure("painting", f"{n}, ONNX Runtime", "frames/s", tuple(v)) for n, v in speeds.items()}
    cost = [Measure("painting", f"{n}, multiply–adds", "G a frame", (v,)) for n, v in macs.items()]
    ours, theirs = paint().name, pix2pix().name
    fewer = round(macs[theirs] / macs[ours], 3)
    ratios = [
        ratio_of(f"paint: {ours} vs {theirs}", made[ours], made[theirs]),
        {"name": f"multiply–adds: {theirs} vs {ours}", "ratio": fewer, "low": fewer, "high": fewer},
    ]
    maps = Measure("painting", "pose maps at 256², one core", "frames/s", tuple(drawing))
    return [*made.values(), maps, *cost], ratios


def _generator(recipe: PaintRecipe) -> Any:
    """``recipe``'s network untrained; an enlarging one around that of recipe paint."""
    torch.manual_seed(0)
    inner = {"generator": tuple(asdict(untrained(paint()).config).items())}
    return untrained(recipe, **(inner if recipe.architecture == "upscaled" else {})).eval()


def _multiply_adds(model: Any) -> float:
    """Of one frame of 256 × 256, in thousand millions."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, model.config.n_channels, 256, 256))
    return counter.get_total_flops() / 2e9


def _session(recipe: PaintRecipe, model: Any, scratch: Path) -> tuple[Any, dict[str, np.ndarray]]:
    """The exported generator, open on all cores, and values for all that it takes."""
    file = scratch / f"{recipe.name}.onnx"
    exported = export_generator(Checkpoint("paint", recipe.architecture, model, (), recipe.inputs, {}))
    write_export(replace(exported, sample=()), "onnx", file)
    session = open_session(file, threads=default_workers())
    values = example_inputs(model)
    return session, {i.name: values[i.name] for i in session.get_inputs()}
