"""The recipes of face swaps by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from signloom.training.schedule import Schedule
from signloom.transforms.face_input import FaceAugment, FaceInput


@dataclass(frozen=True)
class SwapLosses:
    """What a painted face is asked for, each with its weight; 0 leaves it out. ``l1`` and ``ssim`` (1 - SSIM) compare
    pictures inside of the face, ``edges`` their differences across and down, and eyes, brows and mouth count
    ``features`` times as much. ``seen`` is for where the face that came in is seen."""

    l1: float = 1.0
    ssim: float = 0.3
    edges: float = 0.5
    features: float = 4.0
    seen: float = 0.2


USUAL = Schedule(
    steps=3000,
    min_steps=0,
    steps_per_class=0,
    batch_size=10,
    learning_rate=1e-3,
    betas=(0.9, 0.99),
    weight_decay=0.01,
    warmup_steps=50,
    label_smoothing=0.0,
    ema=0.995,
    history_steps=50,
)
"""So many steps, whatever the number of frames, unless ``minutes`` of wall-clock time are given."""


@dataclass(frozen=True)
class SwapRecipe:
    """What to train a face swap as, and how. A variant is ``replace(recipe, …)``.

    Of each identity at most ``most_frames`` frames are learnt from, spread over its clips. ``nobody_frames`` is how
    many frames are drawn of the face that belongs to nobody: most of them do what a frame of a real person does, so
    that the two can be compared (0: there is no such face). In ``as_nobody`` of the batch real faces are to become that
    one. ``consent`` are pairs of a signer's name and where their consent to being painted is kept.
    """

    name: str
    architecture: str = "face_swap"
    inputs: FaceInput = field(default_factory=FaceInput)
    augment: FaceAugment = field(default_factory=FaceAugment)
    losses: SwapLosses = field(default_factory=SwapLosses)
    schedule: Schedule = USUAL
    model: Mapping[str, Any] = field(default_factory=dict)
    most_frames: int = 1200
    nobody_frames: int = 500
    as_nobody: float = 0.4
    consent: tuple[tuple[str, str], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-able values."""
        return asdict(self)


def swap() -> SwapRecipe:
    """Swaps faces at 96 px: one encoder, a decoder each for every signer and for a face of nobody; minutes on a CPU."""
    return SwapRecipe(name="swap")


def swap_large() -> SwapRecipe:
    """The same at 160 px with wider layers, for larger faces and a GPU."""
    return SwapRecipe(
        name="swap-large",
        inputs=FaceInput(size_px=160),
        model={"widths": (32, 64, 128, 192), "code": 256},
    )


RECIPES = {"swap": swap, "swap-large": swap_large}
