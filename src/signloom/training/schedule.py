"""How long and how hard to train: one schedule for everything that is learnt."""

from __future__ import annotations

import math
from dataclasses import dataclass

from signloom.errors import InputError

OPTIMIZERS = ("adamw", "adam", "sgd")
DECAYS = ("cosine", "constant")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
MOST_EPOCHS_FOR_CLASSES = 100


@dataclass(frozen=True)
class Schedule:
    """The budget is ``minutes`` of wall-clock time where that is not 0, else ``steps`` where not 0, else ``epochs``.

    ``epochs`` is raised until ``min_steps`` steps are made, since 5 clips a sign fill only a few batches, and until
    ``steps_per_class`` steps are made for every gloss (but at most 100 epochs for that). The learning rate rises
    linearly, over ``warmup`` (a share of all steps) or ``warmup_steps`` where that is not None, and falls as a cosine;
    ``decay="constant"`` keeps it. ``ema`` is the decay per step of the averaged weights that are validated and kept; 0
    keeps the raw ones.

    ``accumulate`` splits each batch into that many parts whose gradients are summed, where memory is short. For the
    first ``head_epochs`` epochs only the head learns, at ``head_learning_rate``; the base stays bitwise as it was,
    running statistics included. ``clip_norm`` 0 clips nothing. ``compile`` runs the model through torch.compile.
    ``discriminator_learning_rate`` is for tasks that have discriminators. A row of history is written every
    ``history_steps`` steps, or every epoch where that is None.
    """

    epochs: int = 30
    min_steps: int = 600
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
    betas: tuple[float, float] = (0.9, 0.999)
    decay: str = "cosine"
    head_epochs: int = 0
    head_learning_rate: float = 1e-3
    compile: bool = False
    steps: int = 0
    minutes: float = 0.0
    warmup_steps: int | None = None
    discriminator_learning_rate: float = 4e-4
    history_steps: int | None = None

    def __post_init__(self):
        for name in ("epochs", "batch_size", "learning_rate", "accumulate"):
            if not getattr(self, name) > 0:
                raise InputError(f"Schedule.{name}: got {getattr(self, name)!r}, expected more than 0")
        for name in ("steps", "minutes", "clip_norm", "ema", "warmup"):
            if not getattr(self, name) >= 0:
                raise InputError(f"Schedule.{name}: got {getattr(self, name)!r}, expected 0 or more")
        for name, known in (("precision", PRECISIONS), ("optimizer", OPTIMIZERS), ("decay", DECAYS)):
            if getattr(self, name) not in known:
                raise InputError(f"Schedule.{name}: got {getattr(self, name)!r}, expected one of {known}")

    def total_steps(self, per_epoch: int, n_classes: int) -> int | None:
        """How many steps the run makes; None where minutes decide."""
        if self.minutes:
            return None
        if self.steps:
            return self.steps
        for_classes = min(math.ceil(self.steps_per_class * n_classes / per_epoch), MOST_EPOCHS_FOR_CLASSES)
        return per_epoch * max(self.epochs, math.ceil(self.min_steps / per_epoch), for_classes)

    def rate(self, step: int, total: int | None, per_epoch: int, done: float) -> float:
        """The learning rate at ``step`` as a share of the full one, ``done`` (0 to 1) of the run being over."""
        head = self.head_epochs * per_epoch
        if step < head:
            return self.head_learning_rate / self.learning_rate
        if self.warmup_steps is not None or total is None:
            rising = min(1.0, (step + 1) / max(1, self.warmup_steps or 0))
            if self.warmup_steps is None and self.warmup:
                rising = min(1.0, (done + 1e-3) / self.warmup)
            return rising if self.decay == "constant" else rising * (0.5 + 0.5 * math.cos(math.pi * done))
        step, total = step - head, total - head
        warm = round(total * self.warmup)
        if step < warm:
            return (step + 1) / warm
        if self.decay == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))
