"""A recogniser of sensor recordings for few clips and a CPU: kernels drawn at random, and heads that learn and vote.

A few hundred clips of a few people teach a network little of what movements look like; a large bank of kernels that
nobody trained tells many apart (ROCKET, Dempster et al. 2020, https://arxiv.org/abs/1910.13051; MultiRocket, Tan
et al. 2022, https://arxiv.org/abs/2102.00457). Ours is drawn from a seed, kept in the checkpoint, and runs in the
network, so that augmentation reaches it; only what stands on it learns, which is why a step costs little. Each kernel
sees one to three channels. Of what it answers over the steps that are real, three figures are kept: how often it is
above a threshold, by how much on average, and by how much at most.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FIGURES = 3  # of each kernel
MOST_CHANNELS = 3  # that a kernel sees


@dataclass(frozen=True)
class SensorNetConfig:
    """Shape of a :class:`SensorNet`: ``members`` side by side, each with ``kernels`` of its own at each dilation.

    ``taps`` is the length of a kernel, ``hidden`` the width between the kernels' figures and the classes.
    """

    n_classes: int
    channels: int
    n_steps: int = 96
    kernels: int = 192
    taps: int = 9
    dilations: tuple[int, ...] = (1, 2, 4, 8)
    hidden: int = 128
    dropout: float = 0.7
    head_dropout: float = 0.3
    members: int = 3


class RandomKernels(nn.Module):
    """(B, C, T) and mask (B, T) -> three figures of each kernel, (B, 3 · kernels · dilations). Nothing here learns."""

    def __init__(self, config: Any, seed: int):
        super().__init__()
        self.dilations = config.dilations
        g = torch.Generator().manual_seed(seed)
        shape = (config.kernels, config.channels, config.taps)
        for d in config.dilations:
            kernel = torch.randn(shape, generator=g)
            kernel -= kernel.mean(2, keepdim=True)  # blind to a constant, such as how a sensor is strapped on
            n = torch.randint(1, MOST_CHANNELS + 1, (config.kernels, 1), generator=g)
            kernel *= (torch.rand(shape[:2], generator=g).argsort(1) < n)[:, :, None]
            kernel /= kernel.flatten(1).norm(dim=1)[:, None, None]
            self.register_buffer(f"kernel_{d}", kernel)
            self.register_buffer(f"threshold_{d}", torch.randn(config.kernels, generator=g) * 0.7)

    @torch.no_grad()
    def settle(self, x_BCT: Tensor, mask_BT: Tensor, generator: torch.Generator) -> None:
        """Take each kernel's threshold from what it answers somewhere in these clips, so that it is neither always
        above it nor never (Dempster et al. 2021, MiniRocket, https://arxiv.org/abs/2012.08791)."""
        real = torch.nonzero(mask_BT)
        for d in self.dilations:
            kernel = self.get_buffer(f"kernel_{d}")
            answer = F.conv1d(x_BCT * mask_BT[:, None], kernel, padding=d * (kernel.shape[2] // 2), dilation=d)
            where = real[torch.randint(len(real), (len(kernel),), generator=generator)]
            self.get_buffer(f"threshold_{d}").copy_(answer[where[:, 0], torch.arange(len(kernel)), where[:, 1]])

    def forward(self, x_BCT: Tensor, mask_BT: Tensor) -> Tensor:
        keep = mask_BT[:, None].to(x_BCT.dtype)
        n = keep.sum(2).clamp(min=1)
        x = x_BCT * keep
        figures = []
        for d in self.dilations:
            kernel, threshold = self.get_buffer(f"kernel_{d}"), self.get_buffer(f"threshold_{d}")
            answer = F.conv1d(x, kernel, -threshold, padding=d * (kernel.shape[2] // 2), dilation=d)
            above = F.relu(answer) * keep
            most = answer.masked_fill(~mask_BT[:, None], torch.finfo(answer.dtype).min).amax(2)
            figures += [(above > 0).sum(2) / n, above.sum(2) / n, most]
        return torch.cat(figures, dim=1)


class Member(nn.Module):
    """One network of the ensemble."""

    def __init__(self, config: SensorNetConfig, seed: int):
        super().__init__()
        c = config
        self.bank = RandomKernels(c, seed)
        width = FIGURES * c.kernels * len(c.dilations)
        self.known = nn.BatchNorm1d(width, affine=False)
        self.project = nn.Sequential(nn.Dropout(c.dropout), nn.Linear(width, c.hidden), nn.BatchNorm1d(c.hidden))
        self.head = nn.Sequential(nn.GELU(), nn.Dropout(c.head_dropout), nn.Linear(c.hidden, c.n_classes))

    def features(self, x_BCT: Tensor, mask_BT: Tensor) -> Tensor:
        """What the kernels found, brought to ``hidden`` figures, (B, hidden)."""
        return self.project(self.known(self.bank(x_BCT, mask_BT)))

    def forward(self, x_BCT: Tensor, mask_BT: Tensor) -> Tensor:
        return self.head(self.features(x_BCT, mask_BT))


class SensorNet(nn.Module):
    """Sensors over time -> class logits, by an ensemble of small networks that share their input.

    ``forward(x_BCT, mask_BT)`` with ``x_BCT`` float (B, C, T) and ``mask_BT`` bool (True = a real step; at least one a
    clip), any T. In use it returns the log of the members' mean probability (B, K); in training the members' own
    logits (B, M, K), so that each learns by itself and their errors differ.
    """

    takes: ClassVar[str] = "sensor"
    streams = ("imu",)
    reads: ClassVar[tuple[str, ...]] = ("imu", "imu_mask")

    def __init__(self, config: SensorNetConfig):
        super().__init__()
        self.config = config
        self.members = nn.ModuleList(Member(config, seed) for seed in range(config.members))

    def forward(self, x_BCT: Tensor, mask_BT: Tensor) -> Tensor:
        return self._together([member(x_BCT, mask_BT) for member in self.members])

    def features(self, x_BCT: Tensor, mask_BT: Tensor) -> Tensor:
        """What the members found before they name the sign, side by side: (B, members · hidden)."""
        return torch.cat([member.features(x_BCT, mask_BT) for member in self._each()], dim=-1)

    @property
    def n_features(self) -> int:
        """How many features :meth:`features` gives."""
        return len(self.members) * self.config.hidden

    def told(self, features_BF: Tensor) -> Tensor:
        """What :meth:`forward` gives, of :meth:`features`."""
        parts = features_BF.chunk(len(self.members), dim=-1)
        return self._together([member.head(part) for member, part in zip(self._each(), parts)])

    def _together(self, logits: list[Tensor]) -> Tensor:
        logits_BMK = torch.stack(logits, dim=1)
        if self.training:
            return logits_BMK
        return torch.logsumexp(logits_BMK.float().log_softmax(-1), dim=1) - math.log(len(self.members))

    def _each(self) -> Iterator[Member]:
        return (member for member in self.members if isinstance(member, Member))
