"""A recipe: everything that decides a training run, as one frozen value. A variant is ``replace(recipe, …)``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from signloom.errors import InputError
from signloom.transforms.pose_augment import PoseAugment
from signloom.transforms.pose_input import PoseInput
from signloom.transforms.video_augment import VideoAugment
from signloom.transforms.video_input import VideoInput

OPTIMIZERS = ("adamw", "adam", "sgd")
DECAYS = ("cosine", "constant")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")


@dataclass(frozen=True)
class Schedule:
    """How long and how hard to train.

    ``epochs`` is raised until ``least_steps`` steps are made, since 5 clips a sign fill only a few batches, and until
    ``steps_per_class`` steps are made for every gloss (but at most 100 epochs for that). The learning rate rises
    linearly over ``warmup`` (a share of all steps) and falls as a cosine. ``ema`` is the decay per step of the
    averaged weights that are validated and kept; 0 keeps the raw ones.

    ``accumulate`` splits each batch into that many parts whose gradients are summed, where memory is short.
    For the first ``head_epochs`` epochs only the head learns, at ``head_learning_rate``; the base stays bitwise as it
    was, running statistics included. ``decay="constant"`` keeps the learning rate after the warm-up. ``compile`` runs
    the model through torch.compile.
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
    accumulate: int = 1
    optimizer: str = "adamw"
    decay: str = "cosine"
    head_epochs: int = 0
    head_learning_rate: float = 1e-3
    compile: bool = False

    def __post_init__(self):
        for name in ("epochs", "batch_size", "learning_rate", "accumulate"):
            if not getattr(self, name) > 0:
                raise InputError(f"Schedule.{name}: got {getattr(self, name)!r}, expected more than 0")
        for name, known in (("precision", PRECISIONS), ("optimizer", OPTIMIZERS), ("decay", DECAYS)):
            if getattr(self, name) not in known:
                raise InputError(f"Schedule.{name}: got {getattr(self, name)!r}, expected one of {known}")


@dataclass(frozen=True)
class Recipe:
    """What to train and how: the streams it reads, what is done to them, the model, the task and the schedule.

    ``streams`` are what the trained model needs in use, ``lesson_streams`` what only its training reads besides.
    ``task`` is "classify"; for video also "classify-frames" (each frame and the clip are to name the sign),
    "classify-and-locate" (the network also learns where the joints are, ``lesson_weight`` times that error) or
    "distil-flow" (an RGB network also learns a flow network's features, ``lesson_weight`` times their squared error).
    """

    name: str
    architecture: str
    streams: tuple[str, ...]
    task: str = "classify"
    inputs: PoseInput | VideoInput = field(default_factory=PoseInput)
    augment: PoseAugment | VideoAugment = field(default_factory=PoseAugment)
    lesson_streams: tuple[str, ...] = ()
    lesson_weight: float = 0.0
    model: Mapping[str, Any] = field(default_factory=dict)
    schedule: Schedule = field(default_factory=Schedule)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-able values."""
        return asdict(self)
