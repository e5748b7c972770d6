"""pix2pix as published: a U-Net from a stick figure in colours to a picture, and its PatchGAN.

Isola et al. 2017 (https://arxiv.org/abs/1611.07004), in the layout of the usual TensorFlow version: 4×4 kernels with
stride 2, no bias before a batch norm. Counting the norms' running statistics, as Keras does, the generator has
54,425,859 parameters and the PatchGAN 2,770,433. The published system drops out in use as well, so that two calls give
two pictures; here dropout belongs to training alone. A picture never depends on the others of its batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPS = 1e-3  # Keras's


@dataclass(frozen=True)
class Pix2PixConfig:
    """``palette`` is the colour of each channel in the stick figure, RGB from 0 to 1; the published size is 256 px.

    With several ``n_identities`` each is told by the colour of the stick figure's background, as published.
    """

    size_px: int = 256
    n_channels: int = 18
    n_identities: int = 1
    palette: tuple[tuple[float, float, float], ...] = ()

    def __post_init__(self):
        if self.size_px != 256:
            raise ValueError(f"size_px: got {self.size_px}; pix2pix as published paints 256 px and nothing else")
        if self.palette and len(self.palette) != self.n_channels:
            raise ValueError(f"palette: got {len(self.palette)} colours for {self.n_channels} channels")


def _init(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)


class _Norm(nn.Module):
    """Batch norm as the published system has it: batches of one, and the batch's own statistics in use as well.

    So each picture is normalised by itself, here in batches of any size. The innermost layer has a single pixel, of
    which nothing remains: it and the layer after it (8.4 M parameters) give zeros and never learn. Its authors later
    took the norm out there (https://github.com/junyanz/pytorch-CycleGAN-and-pix2pix/issues/60); the layout with the
    published count has it. The running statistics are kept for foreign weights; nothing reads them.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        mean, var = x.mean((2, 3), keepdim=True), x.var((2, 3), unbiased=False, keepdim=True)
        return (x - mean) * (var + EPS).rsqrt() * self.weight[:, None, None] + self.bias[:, None, None]


class Pix2Pix(nn.Module):
    """A pose map (B, L, 256, 256) from 0 to 1 → a picture (B, 3, 256, 256) from 0 to 1; a state is passed through."""

    takes = "pose_map"
    palette: Tensor

    def __init__(self, config: Pix2PixConfig):
        super().__init__()
        self.config = config
        down = (64, 128, 256, 512, 512, 512, 512, 512)
        up = (512, 512, 512, 512, 256, 128, 64)
        self.down = nn.ModuleList()
        n_in = 3
        for k, width in enumerate(down):
            conv = nn.Conv2d(n_in, width, 4, stride=2, padding=1, bias=False)
            self.down.append(nn.Sequential(conv, _Norm(width)) if k else nn.Sequential(conv))
            n_in = width
        self.up = nn.ModuleList()
        for k, width in enumerate(up):
            n_in = down[-1] if k == 0 else up[k - 1] + down[-1 - k]
            wider = nn.ConvTranspose2d(n_in, width, 4, stride=2, padding=1, bias=False)
            self.up.append(nn.Sequential(wider, _Norm(width), nn.Dropout(0.5 if k < 3 else 0.0)))
        self.last = nn.ConvTranspose2d(up[-1] + down[0], 3, 4, stride=2, padding=1)
        self.apply(_init)
        self.register_buffer("palette", _palette(config), persistent=False)

    def stick_figure(self, pose_map_BLHW: Tensor, identity_B: Tensor | None = None) -> Tensor:
        """The pose map in colours, (B, 3, H, W) from 0 to 1: where limbs cross, the brightest shows."""
        figure = _stick_figure(pose_map_BLHW, self.palette)
        if self.config.n_identities > 1:
            colours = _identity_colours(self.config.n_identities, pose_map_BLHW)
            figure = torch.maximum(figure, colours[:1] if identity_B is None else colours[identity_B])
        return figure

    def forward(
        self, pose_map_BLHW: Tensor, state: None = None, identity_B: Tensor | None = None
    ) -> tuple[Tensor, None]:
        x = self.stick_figure(pose_map_BLHW, identity_B) * 2 - 1
        levels = []
        for down in self.down:
            x = F.leaky_relu(down(x), 0.3)  # Keras's slope
            levels.append(x)
        levels.pop()
        for up in self.up:
            x = torch.cat([F.relu(up(x)), levels.pop()], 1)
        return self.last(x).tanh() * 0.5 + 0.5, state


class PatchGAN(nn.Module):
    """Picture and pose map (seen as a stick figure), (B, 3 + L, 256, 256) → a logit for each of 30 × 30 patches."""

    palette: Tensor

    def __init__(self, config: Pix2PixConfig):
        super().__init__()
        self.register_buffer("palette", _palette(config), persistent=False)
        widths = (6, 64, 128, 256)
        self.down = nn.ModuleList()
        for k, (n_in, n_out) in enumerate(pairwise(widths)):
            conv = nn.Conv2d(n_in, n_out, 4, stride=2, padding=1, bias=False)
            self.down.append(nn.Sequential(conv, _Norm(n_out)) if k else nn.Sequential(conv))
        self.wide = nn.Sequential(nn.Conv2d(256, 512, 4, padding=1, bias=False), _Norm(512))
        self.verdict = nn.Conv2d(512, 1, 4, padding=1)
        self.apply(_init)

    def forward(self, x_BCHW: Tensor, with_features: bool = False) -> Tensor | tuple[Tensor, list[Tensor]]:
        x = torch.cat([_stick_figure(x_BCHW[:, 3:], self.palette), x_BCHW[:, :3]], 1) * 2 - 1
        features = []
        for down in (*self.down, self.wide):
            x = F.leaky_relu(down(x), 0.3)
            features.append(x)
        logits = self.verdict(x)
        return (logits, features) if with_features else logits


def _palette(config: Pix2PixConfig) -> Tensor:
    return torch.tensor([list(colour) for colour in config.palette] or [[1.0, 1.0, 1.0]] * config.n_channels)


def _stick_figure(pose_map_BLHW: Tensor, palette_LC: Tensor) -> Tensor:
    value, strongest = pose_map_BLHW.max(1)
    return (palette_LC[strongest] * value[..., None]).permute(0, 3, 1, 2)


def _identity_colours(n: int, like: Tensor) -> Tensor:
    """A dark background colour for each identity, (n, 3, 1, 1)."""
    hues = torch.arange(n, device=like.device, dtype=like.dtype)[:, None] / n + like.new_tensor([0, 1 / 3, 2 / 3])
    return (0.25 + 0.25 * (2 * torch.pi * hues).cos())[..., None, None]
