"""A painter at twice its size: a finished painter, and a small network that adds what bicubic enlargement lacks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from signloom.models.generator import Painter, PainterConfig


@dataclass(frozen=True)
class UpscaledConfig:
    """``painter`` as (name, value) pairs of its :class:`PainterConfig`; ``width`` sets the upsampler's cost."""

    painter: tuple[tuple[str, object], ...] = ()
    width: int = 24

    @property
    def small(self) -> PainterConfig:
        """The config of the painter inside."""
        values = {name: tuple(v) if isinstance(v, list) else v for name, v in self.painter}
        return PainterConfig(**values)  # type: ignore[arg-type]

    @property
    def size_px(self) -> int:
        """The side of the pictures, twice the inner painter's."""
        return 2 * self.small.size_px

    @property
    def n_limbs(self) -> int:
        return self.small.n_limbs


class Upscaled(nn.Module):
    """Limbs (B, L, S, S) and a state → a picture (B, 3, 2S, 2S) from 0 to 1, and the next state.

    The painter inside stays as it was trained; only the upsampler learns. It works on squares of 2 × 2 pixels of the
    small picture and adds to its bicubic enlargement, so that it begins as that. State: the last small picture.
    """

    takes = "limbs"

    def __init__(self, config: UpscaledConfig):
        super().__init__()
        self.config = config
        self.painter = Painter(config.small).requires_grad_(False)
        w = config.width
        self.enter = nn.Conv2d(4 * 3 + config.n_limbs, w, 3, padding=1)
        self.body = nn.ModuleList(nn.Conv2d(w, w, 3, padding=1) for _ in range(2))
        self.leave = nn.Conv2d(w, 3 * 16, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    @property
    def background(self) -> Tensor:
        """The inner painter's, small."""
        return self.painter.background

    def plates(self, identity_B: Tensor) -> Tensor:
        """The inner painter's, small."""
        return self.painter.plates(identity_B)

    def train(self, mode: bool = True) -> Upscaled:
        super().train(mode)
        self.painter.eval()
        return self

    def forward(
        self, limbs_BLHW: Tensor, state: Tensor | None = None, identity_B: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        small, state = self.painter(limbs_BLHW, state, identity_B)
        return self.enlarge(small, limbs_BLHW), state

    def paint(
        self, limbs_BLHW: Tensor, state: Tensor | None, plates_BCHW: Tensor, identity_B: Tensor
    ) -> tuple[Tensor, None]:
        """A picture with given (small) plates; see :meth:`Painter.paint`."""
        with torch.no_grad():
            small, _ = self.painter.paint(limbs_BLHW, state, plates_BCHW, identity_B)
        return self.enlarge(small, limbs_BLHW), None

    def enlarge(self, small_B3HW: Tensor, limbs_BLHW: Tensor) -> Tensor:
        """A small picture at twice the size, (B, 3, 2S, 2S)."""
        x = torch.cat([F.pixel_unshuffle(small_B3HW, 2), F.avg_pool2d(limbs_BLHW, 2)], 1)
        x = F.silu(self.enter(x))
        for layer in self.body:
            x = F.silu(x + layer(x))
        more = F.pixel_shuffle(self.leave(x), 4).float()
        return (enlarged(small_B3HW) + more).clamp(0, 1)


def enlarged(small_B3HW: Tensor) -> Tensor:
    """Bicubic enlargement to twice the size: what the upsampler begins as, and has to beat."""
    return F.interpolate(small_B3HW.float(), scale_factor=2.0, mode="bicubic", align_corners=False)
