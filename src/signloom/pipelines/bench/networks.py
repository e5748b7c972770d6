"""Networks over video: a training step and use, plainly and as `train`, `evaluate` and `predict` do them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from signloom.data.batch import Batch
from signloom.pipelines.bench.measure import Bench, Measure, Measured, ratio_of, rounds, timed
from signloom.pipelines.bench.training_step import TrainingStep
from signloom.tasks.recognise.recipes import i3d, rgb
from signloom.tasks.recognise.task import untrained

BATCH = 4
CLASSES = 100


@dataclass(frozen=True)
class Way:
    """A network that is trained one way and used one way."""

    step: Callable[[], None]
    use: Callable[[], None]


def measure_video_training(bench: Bench) -> Measured:
    """Training steps and use of I3D and the light 3-D CNN on 4 clips: plain float32, and as signloom does it.

    Plain is what one writes first: channels first, one forward and backward pass, AdamW. Ours trains as the recipe
    says (:class:`TrainingStep`) and is used in float32, with kernels as they come from a file.
    """
    n_frames, size_px = (8, 64) if bench.quick else (16, 112)
    shape = f"{n_frames}×{size_px}²"
    recipes = {recipe.architecture: recipe for recipe in (i3d(), rgb())}
    ways: dict[str, Way] = {}
    for architecture, recipe in recipes.items():
        ways[f"{architecture} plain fp32, {shape}"] = plain(_untrained(recipe), *_clips(n_frames, size_px))
        models = _untrained(recipe), _untrained(recipe)
        ways[f"{architecture} signloom, {shape}"] = as_signloom(recipe, *models, *_clips(n_frames, size_px))
    trained: dict[str, list[float]] = {name: [] for name in ways}
    used: dict[str, list[float]] = {name: [] for name in ways}
    for number in rounds("train and use video models", (1 if bench.quick else 5) + 1):
        for name, way in ways.items():
            seconds = timed(way.step)[0], timed(way.use)[0]
            if number:  # the first one allocates
                trained[name].append(1000 * seconds[0])
                used[name].append(1000 * seconds[1])
    training = {name: Measure("training", name, "ms a step", tuple(t)) for name, t in trained.items()}
    using = {name: Measure("using", name, f"ms for {BATCH} clips", tuple(t)) for name, t in used.items()}
    ratios = []
    for architecture in recipes:
        ours, first = f"{architecture} signloom, {shape}", f"{architecture} plain fp32, {shape}"
        ratios.append(
            ratio_of(f"training step of {architecture}: signloom vs plain fp32", training[ours], training[first])
        )
        ratios.append(ratio_of(f"use of {architecture}: signloom vs plain fp32", using[ours], using[first]))
    return [*training.values(), *using.values()], ratios


def plain(model: Any, x_BCTHW: torch.Tensor, label_B: torch.Tensor) -> Way:
    """``model`` as a first script has it."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def step() -> None:
        loss = torch.nn.functional.cross_entropy(model.train()(x_BCTHW), label_B)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        float(loss.detach())  # waits for a GPU

    def use() -> None:
        with torch.inference_mode():
            float(model.eval()(x_BCTHW).sum())

    return Way(step, use)


def as_signloom(recipe: Any, model: Any, used: Any, x_BCTHW: torch.Tensor, label_B: torch.Tensor) -> Way:
    """``model`` as training has it, and ``used`` as use has it."""
    batch = Batch(tuple(map(str, range(len(x_BCTHW)))), {recipe.streams[0]: x_BCTHW}, {"label": label_B})
    step = TrainingStep(recipe, model)
    # Colours that nothing changed lie as they were decoded, channels last; see VideoInput.
    seen = x_BCTHW.contiguous(memory_format=torch.channels_last_3d)

    def use() -> None:
        with torch.inference_mode():
            float(used.eval()(seen).float().sum())

    return Way(lambda: step(batch), use)


def _untrained(recipe: Any) -> Any:
    torch.manual_seed(0)
    return untrained(recipe, CLASSES).to(_device())


def _clips(n_frames: int, size_px: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The same random clips each time, and their labels."""
    torch.manual_seed(0)
    x_BCTHW = torch.randn(BATCH, 3, n_frames, size_px, size_px)
    return x_BCTHW.to(_device()), torch.arange(BATCH, device=_device())


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"
