"""What a generator is trained and used with: the size of its pictures, and random changes of both pose and picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from signloom.errors import InputError
from signloom.transforms.geometry import about_centre, rotation, scaling, translation


@dataclass(frozen=True)
class GeneratorInput:
    """What surrounds a generator, kept in its checkpoint: what a pose goes through before the generator sees it.

    ``size_px`` is the side of its square pictures, ``pose_map_px`` that of the pose maps it takes (None: the same).
    ``crop`` are the settings of the shoulder-normalised square that it was trained on. ``proportions`` are the build of
    each of ``signers``, to which other signers' poses are brought. ``channel_levels`` is how bright each channel was in
    training where its limb was seen (the 90th percentile over frames): a pose that is surer of one (hips that were
    always below the picture, say) is no surer to the generator.
    """

    size_px: int = 256
    pose_map_px: int | None = None
    crop: Mapping[str, Any] | None = None
    signers: tuple[str, ...] = ("",)
    proportions: tuple[Mapping[str, Any] | None, ...] = (None,)
    channel_levels: tuple[int, ...] = ()

    def __post_init__(self):
        if self.size_px % 32 or self.size_px < 64:
            raise InputError(f"GeneratorInput.size_px: got {self.size_px}, expected a multiple of 32 from 64 on")

    @property
    def side_px(self) -> int:
        """The side of the pose maps."""
        return self.pose_map_px or self.size_px

    def levelled(self, pose_map_HWL: np.ndarray) -> np.ndarray:
        """A pose map, uint8 (s, s, L), with no channel brighter than it was in training."""
        if not self.channel_levels:
            return pose_map_HWL
        return np.minimum(pose_map_HWL, np.array(self.channel_levels, np.uint8))


@dataclass(frozen=True)
class GeneratorAugment:
    """Random turning, scaling and shifting of pose and picture together: standard deviations.

    ``turn_deg`` in degrees, ``scale`` of the logarithm of the size, ``shift`` in shares of the picture's side.
    ``jitter`` is pix2pix's instead: the picture enlarged by that much and a random window of the old size cut
    out. All 0: nothing is changed.
    """

    turn_deg: float = 3.0
    scale: float = 0.06
    shift: float = 0.045
    jitter: float = 0.0

    def matrix(self, rng: np.random.Generator, size_px: int) -> np.ndarray:
        """One draw, a 3×3 matrix from the picture's pixels to the changed picture's."""
        if self.jitter:
            larger = 1 + self.jitter
            x, y = -rng.uniform(0, self.jitter * size_px, 2)
            return translation(x, y) @ scaling(larger)
        turn, grow = rng.normal(0, self.turn_deg), np.exp(rng.normal(0, self.scale))
        x, y = rng.normal(0, self.shift * size_px, 2)
        return translation(x, y) @ about_centre(rotation(turn) @ scaling(grow), size_px)
