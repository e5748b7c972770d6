"""A recogniser of sensor recordings for few clips and a CPU: small networks of convolution and attention that vote.

Each step's values and how they change are seen by a strided convolution, then by blocks of depthwise convolution and
attention over time (cf. Conformer, Gulati et al. 2020), and pooled over the steps that are real. With few wearers what
one network makes of a new one is partly luck, so several vote.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class SensorNetConfig:
    """Shape of a :class:`SensorNet`: ``members`` networks of ``depth`` blocks, trained side by side.

    ``stride`` is how many steps become one before attention, ``kernel`` how many of those a convolution sees.
    """

    n_classes: int
    channels: int
    n_steps: int = 96
    width: int = 64
    depth: int = 2
    heads: int = 4
    kernel: int = 9
    stem_kernel: int = 9
    stride: int = 4
    dropout: float = 0.2
    head_dropout: float = 0.4
    members: int = 4


class TimeBlock(nn.Module):
    """Gated depthwise convolution over time, attention over time, feed-forward; each residual and pre-normalised."""

    def __init__(self, width: int, heads: int, kernel: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.norm_conv = nn.LayerNorm(width)
        self.gate = nn.Linear(width, 2 * width)
        self.conv = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.out_conv = nn.Linear(width, width)
        self.norm_attend = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out_attend = nn.Linear(width, width)
        self.norm_feed = nn.LayerNorm(width)
        self.feed = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * width, width)
        )
        self.drop = nn.Dropout(dropout)

    def forward(self, x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        gated = F.glu(self.gate(self.norm_conv(x_BTD)), dim=-1) * mask_BT.unsqueeze(-1)
        mixed = self.conv(gated.transpose(1, 2)).transpose(1, 2)
        x_BTD = x_BTD + self.drop(self.out_conv(F.silu(mixed)))

        b, t, d = x_BTD.shape
        q, k, v = self.qkv(self.norm_attend(x_BTD)).view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask_BT[:, None, None, :])
        x_BTD = x_BTD + self.drop(self.out_attend(attended.transpose(1, 2).reshape(b, t, d)))

        return x_BTD + self.drop(self.feed(self.norm_feed(x_BTD)))


class Member(nn.Module):
    """One network of the ensemble."""

    def __init__(self, config: SensorNetConfig):
        super().__init__()
        self.config = c = config
        self.stem = nn.Conv1d(2 * c.channels, c.width, c.stem_kernel, stride=c.stride, padding=c.stem_kernel // 2)
        self.place = nn.Parameter(torch.zeros(-(-c.n_steps // c.stride), c.width))
        self.blocks = nn.ModuleList(TimeBlock(c.width, c.heads, c.kernel, c.dropout) for _ in range(c.depth))
        self.norm = nn.LayerNorm(c.width)
        self.weigh = nn.Linear(c.width, 1)
        self.head = nn.Sequential(nn.Dropout(c.head_dropout), nn.Linear(2 * c.width, c.n_classes))
        nn.init.trunc_normal_(self.place, std=0.02)

    def features(self, x_BCT: Tensor, mask_BT: Tensor) -> Tensor:
        """Two poolings over the steps that are real, plain and weighted, (B, 2 · width)."""
        stride = self.config.stride
        mask = F.max_pool1d(mask_BT[:, None].to(x_BCT.dtype), stride, stride=stride, ceil_mode=True)[:, 0] > 0
        h = self.stem(x_BCT).transpose(1, 2)[:, : mask.shape[1]] + self.place[: mask.shape[1]]
        for block in self.blocks:
            h = block(h, mask)
        h = self.norm(h)
        keep = mask.unsqueeze(-1)
        mean = (h * keep).sum(1) / keep.sum(1).clamp(min=1)
        weight = self.weigh(h).masked_fill(~keep, float("-inf")).softmax(1)
        return torch.cat([mean, (h * weight).sum(1)], dim=-1)

    def forward(self, x_BCT: Tensor, mask_BT: Tensor) -> Tensor:
        return self.head(self.features(x_BCT, mask_BT))


class SensorNet(nn.Module):
    """Sensors over time -> class logits, by an ensemble of small networks that share their input.

    ``forward(x_BCT, mask_BT)`` with ``x_BCT`` float (B, C, T), T at most ``n_steps``, and ``mask_BT`` bool (True = a
    real step; at least one a clip). In use it returns the log of the members' mean probability (B, K); in training the
    members' own logits (B, M, K), so that each learns by itself and their errors differ.
    """

    takes: ClassVar[str] = "sensor"
    streams = ("imu",)
    reads: ClassVar[tuple[str, ...]] = ("imu", "imu_mask")

    def __init__(self, config: SensorNetConfig):
        super().__init__()
        self.config = config
        self.members = nn.ModuleList(Member(config) for _ in range(config.members))

    def forward(self, x_BCT: Tensor, mask_BT: Tensor) -> Tensor:
        x = with_changes(x_BCT, mask_BT)
        logits_BMK = torch.stack([member(x, mask_BT) for member in self.members], dim=1)
        if self.training:
            return logits_BMK
        return torch.logsumexp(logits_BMK.float().log_softmax(-1), dim=1) - math.log(len(self.members))

    def features(self, x_BCT: Tensor, mask_BT: Tensor) -> Tensor:
        """What the members found before they name the sign, side by side: (B, members · 2 · width)."""
        x = with_changes(x_BCT, mask_BT)
        return torch.cat([m.features(x, mask_BT) for m in self.members if isinstance(m, Member)], dim=-1)


def with_changes(x_BCT: Tensor, mask_BT: Tensor) -> Tensor:
    """Values and their changes from step to step, (B, 2C, T); zero where either step is not real."""
    keep = mask_BT[:, None]
    x = x_BCT * keep
    moved = (x[..., 1:] - x[..., :-1]) * (keep[..., 1:] & keep[..., :-1])
    return torch.cat([x, F.pad(moved * 2, (1, 0))], dim=1)
