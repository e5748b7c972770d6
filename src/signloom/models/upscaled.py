"""A generator at twice its size: a finished one, and a small network that adds what bicubic enlargement lacks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from signloom.models.generator import Generator, GeneratorConfig


@dataclass(frozen=True)
class UpscaledConfig:
    """``generator`` as (name, value) pairs of its :class:`GeneratorConfig`; ``width`` sets the upsampler's cost."""

    generator: tuple[tuple[str, object], ...] = ()
    width: int = 24

    @property
    def small(self) -> GeneratorConfig:
        """The config of the generator inside."""
        values = {name: tuple(v) if isinstance(v, list) else v for name, v in self.generator}
        return GeneratorConfig(**values)  # type: ignore[arg-type]

    @property
    def size_px(self) -> int:
        """The side of the pictures, twice the inner generator's."""
        return 2 * self.small.size_px

    @property
    def n_channels(self) -> int:
        return self.small.n_channels


class Upscaled(nn.Module):
    """A pose map (B, L, S, S) and a state → a picture (B, 3, 2S, 2S) from 0 to 1, and the next state.

    The generator inside stays as it was trained; only the upsampler learns. It works on squares of 2 × 2 pixels of the
    small picture and adds to its bicubic enlargement, so that it begins as that. State: the last small picture.
    """

    takes = "pose_map"

    def __init__(self, config: UpscaledConfig):
        super().__init__()
        self.config = config
        self.generator = Generator(config.small).requires_grad_(False)
        w = config.width
        self.enter = nn.Conv2d(4 * 3 + config.n_channels, w, 3, padding=1)
        self.body = nn.ModuleList(nn.Conv2d(w, w, 3, padding=1) for _ in range(2))
        self.leave = nn.Conv2d(w, 3 * 16, 3, padding=1)
        for parameter in self.leave.parameters():
            nn.init.zeros_(parameter)

    @property
    def background(self) -> Tensor:
        """The inner generator's, small."""
        return self.generator.background

    def plates(self, identity_B: Tensor) -> Tensor:
        """The inner generator's, small."""
        return self.generator.plates(identity_B)

    def train(self, mode: bool = True) -> Upscaled:
        super().train(mode)
        self.generator.eval()
        return self

    def forward(
        self, pose_map_BLHW: Tensor, state: Tensor | None = None, identity_B: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        small, state = self.generator(pose_map_BLHW, state, identity_B)
        return self.enlarge(small, pose_map_BLHW), state

    def paint(
        self, pose_map_BLHW: Tensor, state: Tensor | None, plates_BCHW: Tensor, identity_B: Tensor
    ) -> tuple[Tensor, None]:
        """A picture with given (small) plates; see :meth:`Generator.paint`."""
        with torch.no_grad():
            small, _ = self.generator.paint(pose_map_BLHW, state, plates_BCHW, identity_B)
        return self.enlarge(small, pose_map_BLHW), None

    def enlarge(self, small_B3HW: Tensor, pose_map_BLHW: Tensor) -> Tensor:
        """A small picture at twice the size, (B, 3, 2S, 2S)."""
        x = torch.cat([F.pixel_unshuffle(small_B3HW, 2), F.avg_pool2d(pose_map_BLHW, 2)], 1)
        x = F.silu(self.enter(x))
        for layer in self.body:
            x = F.silu(x + layer(x))
        more = F.pixel_shuffle(self.leave(x), 4).float()
        return (enlarged(small_B3HW) + more).clamp(0, 1)


def enlarged(small_B3HW: Tensor) -> Tensor:
    """Bicubic enlargement to twice the size: what the upsampler begins as, and has to beat."""
    return F.interpolate(small_B3HW.float(), scale_factor=2.0, mode="bicubic", align_corners=False)
