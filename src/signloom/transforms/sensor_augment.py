"""Augmentation of sensor recordings, whole batches at a time, so that it costs next to nothing beside the network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from signloom.transforms.time_warp import warped_instants

if TYPE_CHECKING:
    from signloom.transforms.sensor_input import SensorInput, Worn


@dataclass(frozen=True)
class SensorAugment:
    """Strengths of the random changes made to what sensors measured, in training; all zero leaves it as it is.

    ``rotate_deg`` turns each sensor about an axis of its own, as it is strapped on differently: all vectors along its
    axes by one rotation. ``turn_deg`` turns its level frame about the vertical. ``scale`` is the fraction by which all
    of a clip is made larger or smaller, ``warp`` the same for a slow curve over the clip, ``shift`` (of the usual
    deviation) what is added to a channel that is no vector. ``speed`` is the fraction by which the time axis is bent,
    ``trim`` the largest fraction cut off at each end, ``jitter`` noise in usual deviations. ``drop_sensor`` and
    ``drop_channels`` are probabilities that a place, or a vector or other channel, is missing (zero) in a clip;
    ``drop_span`` that a fifth of the clip is.
    """

    rotate_deg: float = 20.0
    turn_deg: float = 10.0
    scale: float = 0.15
    warp: float = 0.15
    shift: float = 0.1
    speed: float = 0.25
    trim: float = 0.08
    jitter: float = 0.05
    drop_sensor: float = 0.0
    drop_channels: float = 0.1
    drop_span: float = 0.1

    def of_batch(
        self, inputs: Mapping[str, Tensor], generator: torch.Generator, made_by: SensorInput
    ) -> dict[str, Tensor]:
        """A batch's ``inputs`` with what the sensors measured changed, as training asks for it."""
        x, mask = self(inputs["imu"], inputs["imu_mask"], generator, vectors=made_by.vectors)
        return {**inputs, "imu": x, "imu_mask": mask}

    def __call__(
        self, x_BCT: Tensor, mask_BT: Tensor, generator: torch.Generator, *, vectors: Sequence[Worn]
    ) -> tuple[Tensor, Tensor]:
        """Changed copies of ``x_BCT`` (usual deviations) and ``mask_BT`` (bool). ``vectors``: ``SensorInput.vectors``.

        Times stay on the same steps: a clip that is cut is stretched to as many steps as it had.
        """
        b, c, t = x_BCT.shape

        def uniform(*shape: int) -> Tensor:
            return torch.rand(shape, generator=generator) * 2 - 1

        def chance(p: float, *shape: int) -> Tensor:
            return torch.rand(shape, generator=generator) < p

        x = self._warped_in_time(x_BCT, mask_BT, uniform)
        free = torch.ones(c, dtype=torch.bool)
        for worn in vectors:
            own = rotations(torch.randn(b, 3, generator=generator), uniform(b) * math.radians(self.rotate_deg))
            about = torch.tensor([0.0, 0.0, 1.0]).expand(b, 3)
            level = rotations(about, uniform(b) * math.radians(self.turn_deg))
            for turn, triples in ((own, worn.own), (level, worn.level)):
                for columns in map(list, triples):
                    x[:, columns] = turn @ x[:, columns]
                    free[columns] = False

        x = x * torch.exp(uniform(b, 1, 1) * self.scale)
        curve = F.interpolate(uniform(b, 1, 5), size=t, mode="linear", align_corners=True)
        x = x * torch.exp(curve * self.warp)
        x = x + uniform(b, c, 1) * self.shift * free[:, None]
        x = x + torch.randn(x.shape, generator=generator) * (self.jitter * torch.rand(b, 1, 1, generator=generator))

        kept = torch.ones(b, c, dtype=torch.bool)
        for worn in vectors:
            there = ~chance(self.drop_sensor, b) if len(vectors) > 1 else torch.ones(b, dtype=torch.bool)
            kept[:, list(worn.columns)] = there[:, None]
        kept = torch.where(kept.any(1, keepdim=True), kept, True)  # never all sensors
        single = [(k,) for k in free.nonzero()[:, 0].tolist()]
        for columns in map(list, (*(v for w in vectors for v in (*w.own, *w.level)), *single)):
            kept[:, columns] &= ~chance(self.drop_channels, b)[:, None]
        start = torch.rand(b, 1, generator=generator) * 0.8 * t
        steps = torch.arange(t)
        hidden = (steps >= start) & (steps < start + 0.2 * t) & chance(self.drop_span, b, 1)
        return x * kept[:, :, None] * (mask_BT & ~hidden)[:, None], mask_BT.clone()

    def _warped_in_time(self, x_BCT: Tensor, mask_BT: Tensor, uniform) -> Tensor:
        """A little cut off both ends and the time axis bent: early part faster and late part slower, or the reverse."""
        b, c, t = x_BCT.shape
        last = (mask_BT.sum(1, keepdim=True) - 1).clamp(min=0)
        where = warped_instants(torch.arange(t)[None] / last.clamp(min=1), self.trim, self.speed, uniform) * last
        before = where.floor().long()
        after = torch.minimum(before + 1, last)
        share = (where - before)[:, None]
        x0, x1 = (x_BCT.gather(2, index[:, None].expand(b, c, t)) for index in (before, after))
        return torch.lerp(x0, x1, share)


def rotations(axis_B3: Tensor, angle_B: Tensor) -> Tensor:
    """Rotation matrices (B, 3, 3) about ``axis_B3``, of any length but 0, by ``angle_B`` in radians (Rodrigues)."""
    x, y, z = F.normalize(axis_B3, dim=1).unbind(1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], 1).view(-1, 3, 3)
    sin, cos = angle_B.sin()[:, None, None], angle_B.cos()[:, None, None]
    return torch.eye(3, dtype=axis_B3.dtype) + sin * cross + (1 - cos) * cross @ cross
