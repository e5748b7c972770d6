"""A recogniser of measured 3-D skeletons for few clips and a CPU: small networks of convolution and attention vote.

Each frame is told by its joints relative to the hips, its bones and its motion over one and two frames; these views are
dropped whole in training, now and then, so that no member leans on one of them alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from signloom.models.pose_transformer import TimeBlock


@dataclass(frozen=True)
class SkeletonNetConfig:
    """Shape of a :class:`SkeletonNet`.

    ``parents`` gives the joint each joint's bone starts at; the one that is its own is the root. ``view_dropout`` is how
    often, in training, a clip loses its joints, its bones or its motion. ``members`` networks of this shape are trained
    side by side and vote.
    """

    n_classes: int
    parents: tuple[int, ...]
    n_frames: int = 48
    width: int = 64
    depth: int = 2
    heads: int = 4
    kernel: int = 7
    stride: int = 2
    dropout: float = 0.2
    head_dropout: float = 0.4
    view_dropout: float = 0.1
    members: int = 4


class SkeletonMember(nn.Module):
    """One network of the ensemble: views of each frame -> class logits (B, K)."""

    def __init__(self, config: SkeletonNetConfig):
        super().__init__()
        self.config = c = config
        n = len(c.parents) * 3
        self.views = nn.ModuleList(nn.Linear(size, c.width) for size in (n + 3, n, 2 * n + 6))
        self.norm_in = nn.LayerNorm(c.width)
        self.mix = nn.Sequential(nn.GELU(), nn.Dropout(c.dropout), nn.Linear(c.width, c.width))
        self.shrink = nn.Conv1d(c.width, c.width, 2 * c.stride + 1, stride=c.stride, padding=c.stride)
        self.place = nn.Parameter(torch.zeros(-(-c.n_frames // c.stride), c.width))
        self.blocks = nn.ModuleList(TimeBlock(c.width, c.heads, c.kernel, c.dropout) for _ in range(c.depth))
        self.norm = nn.LayerNorm(c.width)
        self.weigh = nn.Linear(c.width, 1)
        self.head = nn.Sequential(nn.Dropout(c.head_dropout), nn.Linear(2 * c.width, c.n_classes))
        nn.init.trunc_normal_(self.place, std=0.02)

    def features(self, views: tuple[Tensor, ...], mask_BT: Tensor) -> Tensor:
        """What is pooled over time before the head, (B, 2 · width)."""
        c = self.config
        told = torch.stack([project(self._kept(view)) for project, view in zip(self.views, views)]).sum(0)
        x = self.mix(self.norm_in(told)) * mask_BT.unsqueeze(-1)
        h = self.shrink(x.transpose(1, 2)).transpose(1, 2)
        mask = F.max_pool1d(mask_BT[:, None].to(h.dtype), c.stride, stride=c.stride, ceil_mode=True)[:, 0] > 0
        h = h[:, : mask.shape[1]] + self.place[: mask.shape[1]]
        for block in self.blocks:
            h = block(h, mask)
        h = self.norm(h)
        keep = mask.unsqueeze(-1)
        mean = (h * keep).sum(1) / keep.sum(1).clamp(min=1)
        weight = self.weigh(h).masked_fill(~keep, float("-inf")).softmax(1)
        return torch.cat([mean, (h * weight).sum(1)], dim=-1)

    def _kept(self, x_BTX: Tensor) -> Tensor:
        """In training, ``x`` with some clips' all zero; in use, ``x``."""
        if not self.training or not self.config.view_dropout:
            return x_BTX
        keep = torch.rand(len(x_BTX), device=x_BTX.device) >= self.config.view_dropout
        return x_BTX * keep.view(-1, *[1] * (x_BTX.ndim - 1))


class SkeletonNet(nn.Module):
    """A skeleton over time -> class logits.

    ``forward(skeleton_BTPC, skeleton_mask_BT)`` with the skeleton float (B, T, P, 3) in torso lengths and a bool mask
    (True = a real frame). In use it returns the log of the members' mean probability (B, K); in training the members'
    own logits (B, M, K), so that each learns by itself and their errors differ.
    """

    takes: ClassVar[str] = "skeleton"
    reads: ClassVar[tuple[str, ...]] = ("skeleton", "skeleton_mask")
    parents: Tensor

    def __init__(self, config: SkeletonNetConfig):
        super().__init__()
        self.config = config
        self.register_buffer("parents", torch.tensor(config.parents), persistent=False)
        self.root = next(j for j, start in enumerate(config.parents) if j == start)
        self.members = nn.ModuleList(SkeletonMember(config) for _ in range(config.members))

    @property
    def n_features(self) -> int:
        return self.config.members * 2 * self.config.width

    def forward(self, skeleton_BTPC: Tensor, skeleton_mask_BT: Tensor) -> Tensor:
        return self.told(self.features(skeleton_BTPC, skeleton_mask_BT))

    def told(self, features_BF: Tensor) -> Tensor:
        """Class logits of :meth:`features`, as :meth:`forward` gives them."""
        parts = features_BF.chunk(self.config.members, -1)
        logits_BMK = torch.stack([member.head(part) for member, part in zip(self.members, parts)], 1)
        if self.training:
            return logits_BMK
        return torch.logsumexp(logits_BMK.float().log_softmax(-1), dim=1) - math.log(self.config.members)

    def features(self, skeleton_BTPC: Tensor, skeleton_mask_BT: Tensor) -> Tensor:
        """What the members found before they name the sign, side by side: (B, members · 2 · width)."""
        views = self._views(skeleton_BTPC * skeleton_mask_BT[..., None, None], skeleton_mask_BT)
        return torch.cat([member.features(views, skeleton_mask_BT) for member in self.members], dim=-1)

    def _views(self, x: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Joints about the root and the root itself; bones; motion over one and two frames. Each (B, T, F)."""
        root = x[:, :, self.root : self.root + 1]
        about = torch.cat([(x - root), root], 2)
        bones = x - x[:, :, self.parents]
        steps = []
        for n in (1, 2):
            moved = about[:, n:] - about[:, :-n]
            both = (mask_BT[:, n:] & mask_BT[:, :-n])[..., None, None]
            steps.append(F.pad(moved * both, (0, 0, 0, 0, n, 0)))
        return about.flatten(2), (bones * 2).flatten(2), (torch.cat(steps, 2) * 4).flatten(2)
