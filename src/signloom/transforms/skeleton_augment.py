"""Augmentation of 3-D skeletons, whole batches at a time: other viewpoints, other builds, other tempi."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from signloom.media.skeleton_files import KINECT_PARENTS, KINECT_POINTS, OTHER_SIDE
from signloom.transforms.time_warp import warped_instants


@dataclass(frozen=True)
class SkeletonAugment:
    """Strengths of the random changes made to a clip's skeleton in training; all zero leaves clips as they are.

    Angles are in degrees: ``yaw_deg`` about the vertical, ``tilt_deg`` about both other axes. ``scale`` and
    ``bone_scale`` (each bone by itself, left as right) are fractions, ``shift`` and ``jitter`` in torso lengths,
    ``speed`` the fraction by which the time axis is warped, ``trim`` the largest fraction cut off at each end.
    ``mirror`` is a probability per clip, ``drop_joint`` one per joint and clip: a dropped joint stands still where it
    was on average.
    """

    yaw_deg: float = 25.0
    tilt_deg: float = 8.0
    scale: float = 0.1
    bone_scale: float = 0.2
    shift: float = 0.05
    jitter: float = 0.03
    speed: float = 0.4
    trim: float = 0.15
    drop_joint: float = 0.15
    mirror: float = 0.0

    def of_batch(self, inputs: Mapping[str, Tensor], generator: torch.Generator, _: Any) -> dict[str, Tensor]:
        """A batch's ``inputs`` with the ``skeleton`` (B, T, 20, 3, torso lengths) changed, as training asks for it."""
        return {**inputs, "skeleton": self(inputs["skeleton"], generator)}

    def __call__(self, skeleton_BTPC: Tensor, generator: torch.Generator) -> Tensor:
        """A changed copy of ``skeleton_BTPC``; one draw of parameters per clip."""
        b, _, p, _ = skeleton_BTPC.shape

        def uniform(*shape: int) -> Tensor:
            return torch.rand(shape, generator=generator) * 2 - 1

        x = self._warp_time(skeleton_BTPC, uniform)
        flip = torch.rand((b, 1, 1, 1), generator=generator) < self.mirror
        x = torch.where(flip, (x * x.new_tensor([-1.0, 1.0, 1.0]))[:, :, list(OTHER_SIDE)], x)
        sizes = torch.exp(uniform(b, p) * self.bone_scale)
        x = _with_bones(x, (sizes + sizes[:, list(OTHER_SIDE)]) / 2)
        turn = _rotation(uniform(b) * math.radians(self.yaw_deg), 1)
        for axis in (0, 2):
            turn = _rotation(uniform(b) * math.radians(self.tilt_deg), axis) @ turn
        turn = turn * torch.exp(uniform(b) * self.scale)[:, None, None]
        x = x @ turn.transpose(1, 2)[:, None] + uniform(b, 1, 1, 3) * self.shift
        still = torch.rand((b, 1, p, 1), generator=generator) < self.drop_joint
        x = torch.where(still, x.mean(1, keepdim=True), x)
        strength = torch.rand((b, 1, 1, 1), generator=generator) * self.jitter
        return x + torch.randn(x.shape, generator=generator) * strength

    def _warp_time(self, x: Tensor, uniform) -> Tensor:
        """Cut a little off both ends and bend the time axis: early part faster and late part slower, or the reverse."""
        b, t = x.shape[:2]
        even = torch.linspace(0, 1, t)[None].repeat(b, 1)
        where = (warped_instants(even, self.trim, self.speed, uniform) * (t - 1)).clamp(0, t - 1)
        before = where.floor().long()
        after = (before + 1).clamp(max=t - 1)
        share = (where - before)[..., None, None]
        rows = torch.arange(b)[:, None]
        return x[rows, before] * (1 - share) + x[rows, after] * share


def _with_bones(x_BTPC: Tensor, sizes_BP: Tensor) -> Tensor:
    """The skeleton with each bone ``sizes_BP`` times as long, from the middle of the hips outwards."""
    parents = list(KINECT_PARENTS)
    bones = (x_BTPC - x_BTPC[:, :, parents]) * sizes_BP[:, None, :, None]
    root = parents.index(KINECT_POINTS.index("hip_center"), KINECT_POINTS.index("hip_center"))
    made: dict[int, Tensor] = {root: x_BTPC[:, :, root]}

    def place(joint: int) -> Tensor:
        if joint not in made:
            made[joint] = place(parents[joint]) + bones[:, :, joint]
        return made[joint]

    return torch.stack([place(joint) for joint in range(len(parents))], 2)


def _rotation(angle_B: Tensor, axis: int) -> Tensor:
    """Rotations about the axis 0, 1 or 2, (B, 3, 3)."""
    cos, sin = torch.cos(angle_B), torch.sin(angle_B)
    turn = torch.zeros(len(angle_B), 3, 3)
    first, second = [a for a in range(3) if a != axis]
    turn[:, axis, axis] = 1
    turn[:, first, first] = turn[:, second, second] = cos
    turn[:, first, second], turn[:, second, first] = -sin, sin
    return turn
