"""A recogniser of sensor recordings that is solved, not trained: random kernels, and a ridge classifier on top.

ROCKET (Dempster et al. 2020, https://arxiv.org/abs/1910.13051) with the bank of kernels of
:class:`signloom.models.sensor_net.RandomKernels`. On a few hundred clips of a few people the classifier in closed form
tells movements apart better than heads that learn step by step, and takes seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from signloom.models.sensor_net import FIGURES, RandomKernels


@dataclass(frozen=True)
class KernelRidgeConfig:
    """Shape of a :class:`KernelRidge`: ``kernels`` of ``taps`` at each of ``dilations``.

    ``penalty`` holds the classifier back, per figure and copy of the clips; the training clips are seen as they are
    and in ``copies`` augmented copies.
    """

    n_classes: int
    channels: int
    n_steps: int = 96
    kernels: int = 384
    taps: int = 9
    dilations: tuple[int, ...] = (1, 2, 4, 8)
    penalty: float = 0.3
    copies: int = 3


class KernelRidge(nn.Module):
    """Sensors over time -> class logits (B, K): ``forward(x_BCT, mask_BT)``, as :class:`SensorNet`'s.

    :meth:`solve` sets its head. The kernels follow from torch's seed when it is built, and are kept in the checkpoint.
    """

    takes: ClassVar[str] = "sensor"
    streams = ("imu",)
    reads: ClassVar[tuple[str, ...]] = ("imu", "imu_mask")
    head_names: ClassVar[tuple[str, ...]] = ("head",)
    SCALE: ClassVar[float] = 10.0
    """What scores from 0 to 1 are multiplied with, so that a temperature near 1 makes them logits."""

    def __init__(self, config: KernelRidgeConfig):
        super().__init__()
        self.config = config
        self.bank = RandomKernels(config, int(torch.randint(2**31, ())))
        width = FIGURES * config.kernels * len(config.dilations)
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))
        self.head = nn.Linear(width, config.n_classes)

    @property
    def n_features(self) -> int:
        """How many features :meth:`features` gives."""
        return self.head.in_features

    mean: Tensor
    spread: Tensor

    def features(self, x_BCT: Tensor, mask_BT: Tensor) -> Tensor:
        """The kernels' figures, scaled by what is usual in training, (B, 3 · kernels · dilations)."""
        return (self.bank(x_BCT, mask_BT) - self.mean) / self.spread

    def told(self, features_BF: Tensor) -> Tensor:
        """What :meth:`forward` gives, of :meth:`features`."""
        return self.head(features_BF)

    def forward(self, x_BCT: Tensor, mask_BT: Tensor) -> Tensor:
        return self.told(self.features(x_BCT, mask_BT))

    @torch.no_grad()
    def solve(self, figures_NF: Tensor, label_N: Tensor, group_N: Tensor, n_clips: int) -> Tensor:
        """Set the head to the ridge classifier of ``figures_NF``, what the bank says of ``n_clips`` and their copies.

        ``group_N`` numbers the signers, or whatever is to be left out in turn: the logits (N, K) that are given back
        are each clip's from a classifier that has not seen its group.
        """
        self.mean.copy_(figures_NF.mean(0))
        self.spread.copy_(figures_NF.std(0).clamp(min=1e-6))
        x = ((figures_NF - self.mean) / self.spread).double()
        wanted = nn.functional.one_hot(label_N, self.config.n_classes).double() - 1 / self.config.n_classes
        penalty = self.config.penalty * x.shape[1] * len(x) / n_clips

        def weights(rows: Tensor) -> Tensor:
            """The classifier of ``rows``, (F, K): by their products or by those of figures, whichever are fewer."""
            own = x[rows]
            few = len(own) <= own.shape[1]
            products = own @ own.T if few else own.T @ own
            products.diagonal().add_(penalty)
            if few:
                return own.T @ torch.linalg.solve(products, wanted[rows])
            return torch.linalg.solve(products, own.T @ wanted[rows])

        left_out = torch.zeros_like(wanted)
        for group in group_N.unique():
            own, rest = torch.nonzero(group_N == group)[:, 0], torch.nonzero(group_N != group)[:, 0]
            if len(rest):
                left_out[own] = x[own] @ weights(rest)
        weight = weights(torch.arange(len(x)))
        self.head.weight.copy_((self.SCALE * weight.T).to(self.head.weight.dtype))
        self.head.bias.zero_()
        return (self.SCALE * left_out).to(figures_NF.dtype)
