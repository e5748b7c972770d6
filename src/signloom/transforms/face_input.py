"""What a face swap is trained and used with: the size of its faces, whose they are, and random changes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from signloom.errors import InputError
from signloom.media import import_cv2

NOBODY = "nobody"
"""The identity that is drawn, and belongs to no person."""
BLEND = "blend"
"""All real identities at equal shares."""


@dataclass(frozen=True)
class FaceInput:
    """What surrounds a face swap, kept in its checkpoint. ``size_px`` is the side of its square faces, ``identities``
    whose faces it can paint, in the order of its decoders, and ``consent`` what is on record of each real one's consent
    to being painted; who is not in it has not been asked."""

    size_px: int = 96
    identities: tuple[str, ...] = ()
    consent: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self):
        if self.size_px % 16 or not 32 <= self.size_px <= 512:
            raise InputError(f"FaceInput.size_px: got {self.size_px}, expected a multiple of 16 from 32 to 512")

    @property
    def people(self) -> tuple[str, ...]:
        """The identities that are real people's."""
        return tuple(name for name in self.identities if name != NOBODY)

    def shares(self, target: str, consent: str = "") -> np.ndarray:
        """How much of each identity is in ``target`` (K,): :data:`NOBODY`, :data:`BLEND` or a real person's name.

        A real person's face needs their consent: on record in the model, or told now (``consent`` says where it is
        kept). Raises InputError without, and for a name that the model does not know.
        """
        if target == BLEND:
            if len(self.people) < 3:
                raise InputError(
                    f"target '{BLEND}': a face mixed of {len(self.people)} people looks like them; it takes 3 or more. "
                    f"Use --target {NOBODY}"
                )
            return np.array([name != NOBODY for name in self.identities], float) / len(self.people)
        if target not in self.identities:
            raise InputError(f"target '{target}': the model paints {', '.join(self.identities)}, or {BLEND}")
        if target != NOBODY and not (self.consent.get(target) or consent):
            raise InputError(
                f"target '{target}' is a real person, and no consent to being painted is on record in the model. Use "
                f"--target {NOBODY}; or, where they agreed, say where that is kept: --consent 'form 12, 2026-03-01'"
            )
        return np.array([name == target for name in self.identities], float)


@dataclass(frozen=True)
class FaceAugment:
    """Random changes, standard deviations each. ``turn_deg``, ``scale`` and ``shift`` (of the side) move the face and
    what is to become of it alike; ``bend`` (of the side) moves a grid of places of the face alone, ``light`` (of full
    brightness) its colours alone. A share of ``covered`` faces get a drawn hand before them. Nothing is mirrored: faces
    are not symmetric, and neither is what they do."""

    turn_deg: float = 4.0
    scale: float = 0.04
    shift: float = 0.015
    bend: float = 0.016
    light: float = 0.12
    covered: float = 0.4

    def similarity(self, rng: np.random.Generator, size_px: int) -> np.ndarray:
        """A draw of what moves both, a 2×3 matrix for OpenCV."""
        cv2 = import_cv2()
        middle = (size_px / 2, size_px / 2)
        matrix = cv2.getRotationMatrix2D(middle, rng.normal(0, self.turn_deg), float(np.exp(rng.normal(0, self.scale))))
        matrix[:, 2] += rng.normal(0, self.shift * size_px, 2)
        return matrix

    def bent(self, picture_HWC: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The picture with a grid of 6 × 6 places moved, smoothly between them."""
        cv2 = import_cv2()
        side = len(picture_HWC)
        moved = rng.normal(0, self.bend * side, (6, 6, 2)).astype(np.float32)
        moved = cv2.resize(moved, (side, side), interpolation=cv2.INTER_CUBIC)
        line = np.arange(side, dtype=np.float32)
        x, y = np.meshgrid(line, line)
        return cv2.remap(
            picture_HWC, x + moved[..., 0], y + moved[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )

    def lit(self, picture_HWC: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The picture, uint8, in another light: brighter or darker, of another tint, from one side."""
        side = len(picture_HWC)
        gain = 1 + rng.normal(0, self.light) + rng.normal(0, self.light / 2, 3)
        slope = rng.normal(0, self.light, 2)
        line = np.linspace(-1, 1, side, dtype=np.float32)
        ramp = 1 + slope[0] * line[None, :, None] + slope[1] * line[:, None, None]
        shift = rng.normal(0, 128 * self.light)
        return np.clip(picture_HWC * (gain * ramp) + shift, 0, 255).astype(np.uint8)
