"""InceptionTime: convolutions of three lengths side by side, six deep (Ismail Fawaz et al. 2020).

https://arxiv.org/abs/1909.04939; the authors' code is https://github.com/hfawaz/InceptionTime. One network; the paper's
classifier is the mean of five that differ in their seed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH = 32  # filters of a branch, and channels of a bottleneck
KERNELS = (40, 20, 10)
RESIDUAL_EVERY = 3


@dataclass(frozen=True)
class InceptionTimeConfig:
    """Shape of an :class:`InceptionTime`; the paper's is ``depth`` 6, ``members`` 1 is one of its five networks."""

    n_classes: int
    channels: int
    n_steps: int = 128
    depth: int = 6
    members: int = 1


class Inception(nn.Module):
    """Three convolutions and a pooling branch side by side, normalised together: (B, C, T) -> (B, 4 · 32, T)."""

    def __init__(self, channels: int):
        super().__init__()
        narrow = channels > WIDTH
        self.bottleneck = nn.Conv1d(channels, WIDTH, 1, bias=False) if narrow else nn.Identity()
        inner = WIDTH if narrow else channels
        self.convs = nn.ModuleList(
            nn.Sequential(nn.ZeroPad1d(((k - 1) // 2, k // 2)), nn.Conv1d(inner, WIDTH, k, bias=False)) for k in KERNELS
        )
        self.pooled = nn.Sequential(nn.MaxPool1d(3, 1, 1), nn.Conv1d(channels, WIDTH, 1, bias=False))
        self.norm = nn.BatchNorm1d(4 * WIDTH)

    def forward(self, x_BCT: Tensor) -> Tensor:
        inner = self.bottleneck(x_BCT)
        return F.relu(self.norm(torch.cat([*(conv(inner) for conv in self.convs), self.pooled(x_BCT)], dim=1)))


class Network(nn.Module):
    """One network of the ensemble."""

    def __init__(self, config: InceptionTimeConfig):
        super().__init__()
        widths = [config.channels] + [4 * WIDTH] * config.depth
        self.blocks = nn.ModuleList(Inception(width) for width in widths[:-1])
        self.shortcuts = nn.ModuleList(
            nn.Sequential(nn.Conv1d(widths[k], 4 * WIDTH, 1, bias=False), nn.BatchNorm1d(4 * WIDTH))
            for k in range(0, config.depth - RESIDUAL_EVERY + 1, RESIDUAL_EVERY)
        )
        self.head = nn.Linear(4 * WIDTH, config.n_classes)

    def features(self, x_BCT: Tensor, mask_BT: Tensor) -> Tensor:
        """The mean over the steps that are real, (B, 128)."""
        keep = mask_BT[:, None].to(x_BCT.dtype)
        before = x = x_BCT * keep
        for k, block in enumerate(self.blocks):
            x = block(x)
            if k % RESIDUAL_EVERY == RESIDUAL_EVERY - 1:
                x = F.relu(x + self.shortcuts[k // RESIDUAL_EVERY](before))
                before = x
        return (x * keep).sum(2) / keep.sum(2).clamp(min=1)

    def forward(self, x_BCT: Tensor, mask_BT: Tensor) -> Tensor:
        return self.head(self.features(x_BCT, mask_BT))


class InceptionTime(nn.Module):
    """Sensors over time -> class logits.

    ``forward(x_BCT, mask_BT)`` with ``x_BCT`` float (B, C, T) and ``mask_BT`` bool (True = a real step), any T. In use
    it returns the log of the members' mean probability (B, K); in training the members' own logits (B, M, K), and of a
    single member (B, K).
    """

    takes: ClassVar[str] = "sensor"
    streams = ("imu",)
    reads: ClassVar[tuple[str, ...]] = ("imu", "imu_mask")

    def __init__(self, config: InceptionTimeConfig):
        super().__init__()
        self.config = config
        self.members = nn.ModuleList(Network(config) for _ in range(config.members))

    def forward(self, x_BCT: Tensor, mask_BT: Tensor) -> Tensor:
        logits_BMK = torch.stack([member(x_BCT, mask_BT) for member in self.members], dim=1)
        if len(self.members) == 1:
            return logits_BMK[:, 0]
        if self.training:
            return logits_BMK
        return torch.logsumexp(logits_BMK.float().log_softmax(-1), dim=1) - math.log(len(self.members))

    def features(self, x_BCT: Tensor, mask_BT: Tensor) -> Tensor:
        """What is averaged over time before the heads, (B, members · 128)."""
        return torch.cat([m.features(x_BCT, mask_BT) for m in self.members if isinstance(m, Network)], dim=-1)
