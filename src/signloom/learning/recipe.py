"""A recipe: everything that decides a training run, as one frozen value. A variant is ``replace(recipe, …)``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from signloom.errors import InputError
from signloom.steps.pose_augment import PoseAugment
from signloom.steps.pose_input import PoseInput

PRECISIONS = ("auto", "fp32", "bf16", "fp16")


@dataclass(frozen=True)
class Schedule:
    """How long and how hard to train.

    ``epochs`` is raised until ``least_steps`` steps are made, since 5 clips a sign fill only a few batches, and until
    ``steps_per_class`` steps are made for every gloss (but at most 100 epochs for that). The learning rate rises
    linearly over ``warmup`` (a share of all steps) and falls as a cosine. ``ema`` is the decay per step of the
    averaged weights that are validated and kept; 0 keeps the raw ones.
    """

    epochs: int = 30
    least_steps: int = 600
    steps_per_class: int = 60
    batch_size: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    warmup: float = 0.15
    label_smoothing: float = 0.1
    clip_norm: float = 1.0
    ema: float = 0.98
    precision: str = "auto"

    def __post_init__(self):
        for name in ("epochs", "batch_size", "learning_rate"):
            if not getattr(self, name) > 0:
                raise InputError(f"Schedule.{name}: got {getattr(self, name)!r}, expected more than 0")
        if self.precision not in PRECISIONS:
            raise InputError(f"Schedule.precision: got {self.precision!r}, expected one of {PRECISIONS}")


@dataclass(frozen=True)
class Recipe:
    """What to train and how: the streams it reads, what is done to them, the model, the task and the schedule."""

    name: str
    architecture: str
    streams: tuple[str, ...]
    task: str = "classify"
    inputs: PoseInput = field(default_factory=PoseInput)
    augment: PoseAugment = field(default_factory=PoseAugment)
    model: Mapping[str, Any] = field(default_factory=dict)
    schedule: Schedule = field(default_factory=Schedule)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-able values."""
        return asdict(self)
