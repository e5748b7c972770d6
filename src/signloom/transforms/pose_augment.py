"""Augmentation of joint sequences, whole batches at a time, so that it costs next to nothing beside the network.

One draw of parameters per clip; the same matrix moves every joint of the clip. Mirroring negates x *and* exchanges
left and right joints, so that a mirrored right-hander is a left-hander and not an impossible person.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from signloom.data.skeleton import MIRROR, PARTS
from signloom.transforms.time_warp import warped_instants


@dataclass(frozen=True)
class PoseAugment:
    """Strengths of the random changes made to a clip's joints in training; all zero leaves clips as they are.

    Angles are in degrees. ``bend`` swings and stretches each arm, ``hand_scale`` and ``hand_rotate_deg`` change each
    hand, as other builds and habits do. ``scale``/``aspect``/``shear`` are fractions, ``shift`` and ``jitter`` in
    shoulder widths, ``speed`` is the fraction by which the time axis is warped, ``trim`` the largest fraction cut off
    at each end; the rest are probabilities per clip (``mirror``, ``drop_hand``, ``drop_face``) or per frame
    (``drop_frames``).
    """

    mirror: float = 0.15
    rotate_deg: float = 12.0
    scale: float = 0.2
    aspect: float = 0.1
    shear: float = 0.1
    shift: float = 0.15
    bend: float = 0.15
    hand_scale: float = 0.15
    hand_rotate_deg: float = 10.0
    jitter: float = 0.01
    speed: float = 0.25
    trim: float = 0.12
    drop_hand: float = 0.05
    drop_face: float = 0.3
    drop_frames: float = 0.1

    def __call__(
        self,
        pose_BTJC: Tensor,
        present_BTJ: Tensor,
        generator: torch.Generator,
        *,
        mirror_J: Tensor,
        parts: dict[str, slice],
    ) -> tuple[Tensor, Tensor]:
        """Changed copies of ``pose_BTJC`` (B, T, J, 2, body units) and ``present_BTJ`` (bool), same shapes."""
        b, t, _, _ = pose_BTJC.shape

        def uniform(*shape: int) -> Tensor:
            return torch.rand(shape, generator=generator) * 2 - 1

        def chance(p: float, *shape: int) -> Tensor:
            return torch.rand(shape, generator=generator) < p

        x, here = self._warp_time(pose_BTJC, present_BTJ, uniform)
        flip = chance(self.mirror, b)
        x = torch.where(flip[:, None, None, None], (x * x.new_tensor([-1.0, 1.0]))[:, :, mirror_J], x)
        here = torch.where(flip[:, None, None], here[:, :, mirror_J], here)

        # Each arm swings a little about its shoulder, and each hand about its wrist: other habits, other builds.
        for side, hand, arm in (("left", parts["left_hand"], (7, 9)), ("right", parts["right_hand"], (8, 10))):
            shoulder = 5 if side == "left" else 6
            turn = _rotation(uniform(b) * math.radians(self.hand_rotate_deg))
            size = torch.exp(uniform(b) * self.hand_scale)
            root = x[:, :, hand.start : hand.start + 1].clone()
            x[:, :, hand] = ((x[:, :, hand] - root) @ turn.transpose(1, 2)[:, None]) * size[:, None, None, None] + root
            stretch = torch.exp(uniform(b) * self.bend)
            swing = _rotation(uniform(b) * math.radians(self.hand_rotate_deg)) * stretch[:, None, None]
            pivot = x[:, :, shoulder : shoulder + 1].clone()
            moved = (x[:, :, hand.start : hand.start + 1] - pivot) @ swing.transpose(1, 2)[:, None] + pivot
            x[:, :, hand] += moved - x[:, :, hand.start : hand.start + 1]
            arm_j = list(arm)
            x[:, :, arm_j] = (x[:, :, arm_j] - pivot) @ swing.transpose(1, 2)[:, None] + pivot

        stretch = torch.diag_embed(torch.exp(uniform(b, 1) * self.scale + uniform(b, 2) * self.aspect))
        lean = torch.eye(2).repeat(b, 1, 1)
        lean[:, 0, 1] = uniform(b) * self.shear
        matrix = _rotation(uniform(b) * math.radians(self.rotate_deg)) @ lean @ stretch
        x = x @ matrix.transpose(1, 2)[:, None] + (uniform(b, 1, 1, 2) * self.shift)
        x = x + torch.randn(x.shape, generator=generator) * (
            torch.rand((b, 1, 1, 1), generator=generator) * self.jitter
        )

        for hand in (parts["left_hand"], parts["right_hand"]):
            here[:, :, hand] &= ~chance(self.drop_hand, b)[:, None, None]
            here[:, :, hand] &= ~chance(self.drop_frames, b, t)[:, :, None]
        here[:, :, parts["face"]] &= ~chance(self.drop_face, b)[:, None, None]
        return x * here.unsqueeze(-1), here

    def of_batch(self, inputs: Mapping[str, Tensor], generator: torch.Generator, _: Any) -> dict[str, Tensor]:
        """A batch's ``inputs`` with the joints changed, as training asks for it."""
        pose, present = self(
            inputs["pose"],
            inputs["present"],
            generator,
            mirror_J=torch.from_numpy(MIRROR),
            parts=dict(PARTS),
        )
        return {**inputs, "pose": pose, "present": present}

    def _warp_time(self, x: Tensor, here: Tensor, uniform) -> tuple[Tensor, Tensor]:
        """Cut a little off both ends and bend the time axis: early part faster and late part slower, or the reverse."""
        b, t = x.shape[:2]
        even = torch.linspace(0, 1, t)[None].repeat(b, 1)
        where = (warped_instants(even, self.trim, self.speed, uniform) * (t - 1)).clamp(0, t - 1)
        return _at(x, here, where)


def crop_time(pose_BTJC: Tensor, present_BTJ: Tensor, start: float, stop: float) -> tuple[Tensor, Tensor]:
    """The part of each clip from ``start`` to ``stop`` (shares of its length), stretched to as many frames."""
    b, t = pose_BTJC.shape[:2]
    return _at(pose_BTJC, present_BTJ, crop_instants(t, start, stop, pose_BTJC.device).expand(b, t))


def crop_instants(n_frames: int, start: float, stop: float, device: Any = None) -> Tensor:
    """The fractional frames that :func:`crop_time` looks at, (T,)."""
    return torch.linspace(start, stop, n_frames, device=device) * (n_frames - 1)


def _at(x: Tensor, here: Tensor, where_BT: Tensor) -> tuple[Tensor, Tensor]:
    """Joints at fractional frames; the nearer frame decides on presence, and no joint is blended with an absence."""
    t = x.shape[1]
    before = where_BT.floor().long()
    after = (before + 1).clamp(max=t - 1)
    share = where_BT - before
    rows = torch.arange(len(x), device=x.device)[:, None]
    x0, x1, h0, h1 = x[rows, before], x[rows, after], here[rows, before], here[rows, after]
    w = share[..., None, None]
    first = (share < 0.5)[..., None]
    blended = torch.where((h0 & h1)[..., None], x0 * (1 - w) + x1 * w, torch.where(first[..., None], x0, x1))
    here = torch.where(first, h0, h1)
    return blended * here.unsqueeze(-1), here


def _rotation(angle_B: Tensor) -> Tensor:
    cos, sin = torch.cos(angle_B), torch.sin(angle_B)
    return torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
