"""The recipe of the segmenter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from signloom.tasks.segment.footage import Mix
from signloom.training.schedule import Schedule
from signloom.transforms.motion_input import MotionInput


@dataclass(frozen=True)
class SegmentAugment:
    """What is done to footage that was put together, besides how it is (``mix``).

    ``rates_hz`` is the range of frame rates, drawn evenly in their logarithm; a clip keeps its own in ``own_rate`` of
    sequences. ``drop`` is the largest share of frames left out, ``mirror`` the chance of a mirror image, ``scale`` and
    ``aspect`` are fractions, ``jitter`` in shoulder widths; ``lose_hand`` is the chance that a hand is not found for a
    while, ``other_signer`` that the next clip is another signer's, ``rest`` that a signer rests the hands elsewhere.
    """

    mix: Mix = field(
        default_factory=lambda: Mix(paused=0.35, flowing=0.35, pause_s=(0.3, 3.0), idle=0.5, hold=0.1, speed=0.25)
    )
    rates_hz: tuple[float, float] = (12.0, 50.0)
    own_rate: float = 0.25
    drop: float = 0.25
    mirror: float = 0.5
    scale: float = 0.25
    aspect: float = 0.1
    jitter: float = 0.02
    lose_hand: float = 0.3
    other_signer: float = 0.1
    rest: float = 0.6


@dataclass(frozen=True)
class SegmentRecipe:
    """What to train a segmenter as, and how. A variant is ``replace(recipe, …)``.

    Each sequence has ``n_frames`` frames; frames up to ``begin_s`` after a sign's first are of the class *begin*, which
    counts ``begin_weight`` times in the loss.
    """

    name: str
    architecture: str = "segment_net"
    streams: tuple[str, ...] = ("pose",)
    inputs: MotionInput = field(default_factory=MotionInput)
    augment: SegmentAugment = field(default_factory=SegmentAugment)
    n_frames: int = 240
    begin_s: float = 0.15
    begin_weight: float = 2.0
    model: Mapping[str, Any] = field(default_factory=dict)
    schedule: Schedule = field(default_factory=Schedule)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-able values."""
        return asdict(self)


def segment() -> SegmentRecipe:
    """Finds where signs begin and end in continuous footage, from poses; for live and annotate."""
    return SegmentRecipe(
        name="segment",
        schedule=Schedule(
            steps=240,
            min_steps=0,
            steps_per_class=0,
            batch_size=16,
            learning_rate=4e-3,
            weight_decay=0.01,
            label_smoothing=0.0,
            ema=0.98,
            history_steps=50,
            precision="fp32",
        ),
    )


RECIPES = {"segment": segment}
