"""A recogniser of measured 3-D skeletons for few clips and a CPU: small convolutional networks over time that vote.

Each frame is told by its joints relative to the hips, its bones and its motion; these views are
dropped whole in training, now and then, so that no member leans on one of them alone. The members are the groups of one
grouped convolution, which trains them side by side in the time of one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class SkeletonNetConfig:
    """Shape of a :class:`SkeletonNet`.

    ``parents`` gives the joint each joint's bone starts at; the one that is its own is the root. ``width`` channels a
    member, ``depth`` residual blocks after the first convolution, which halves the frame rate. ``view_dropout`` is how
    often, in training, a clip loses its joints, its bones or its motion. ``members`` networks are trained side by side
    and vote.
    """

    n_classes: int
    parents: tuple[int, ...]
    n_frames: int = 32
    width: int = 48
    depth: int = 2
    kernel: int = 3
    dropout: float = 0.2
    head_dropout: float = 0.4
    view_dropout: float = 0.1
    members: int = 4


class GroupedBlock(nn.Module):
    """Two convolutions over time in every member, residual."""

    def __init__(self, config: SkeletonNetConfig):
        super().__init__()
        c, channels = config, config.width * config.members
        self.first = nn.Conv1d(channels, channels, c.kernel, padding=c.kernel // 2, groups=c.members, bias=False)
        self.norm_first = nn.BatchNorm1d(channels)
        self.second = nn.Conv1d(channels, channels, c.kernel, padding=c.kernel // 2, groups=c.members, bias=False)
        self.norm_second = nn.BatchNorm1d(channels)
        self.drop = nn.Dropout1d(c.dropout)

    def forward(self, x_BCT: Tensor) -> Tensor:
        h = self.drop(F.relu(self.norm_first(self.first(x_BCT))))
        return F.relu(x_BCT + self.norm_second(self.second(h)))


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
        self.config = c = config
        self.register_buffer("parents", torch.tensor(config.parents), persistent=False)
        self.root = next(j for j, start in enumerate(config.parents) if j == start)
        n, channels = 3 * len(c.parents), c.width * c.members
        self.sizes = (n + 3, n, n + 3)
        self.stem = nn.Conv1d(
            c.members * sum(self.sizes), channels, c.kernel, stride=2, padding=c.kernel // 2, groups=c.members
        )
        self.norm = nn.BatchNorm1d(channels)
        self.blocks = nn.ModuleList(GroupedBlock(c) for _ in range(c.depth))
        self.head_drop = nn.Dropout(c.head_dropout)
        self.head = nn.Conv1d(2 * channels, c.members * c.n_classes, 1, groups=c.members)

    @property
    def n_features(self) -> int:
        """How many features :meth:`features` gives."""
        return 2 * self.config.width * self.config.members

    def forward(self, skeleton_BTPC: Tensor, skeleton_mask_BT: Tensor) -> Tensor:
        return self.told(self.features(skeleton_BTPC, skeleton_mask_BT))

    def told(self, features_BF: Tensor) -> Tensor:
        """What :meth:`forward` gives, of :meth:`features`."""
        c = self.config
        logits_BMK = self.head(self.head_drop(features_BF).unsqueeze(-1)).view(-1, c.members, c.n_classes)
        if self.training:
            return logits_BMK
        return torch.logsumexp(logits_BMK.float().log_softmax(-1), dim=1) - math.log(c.members)

    def features(self, skeleton_BTPC: Tensor, skeleton_mask_BT: Tensor) -> Tensor:
        """What the members found before they name the sign: for each, mean and maximum over time of its channels,
        (B, members · 2 · width)."""
        c = self.config
        told = self._told_to_members(self._views(skeleton_BTPC, skeleton_mask_BT))
        mask = F.max_pool1d(skeleton_mask_BT[:, None].to(told.dtype), 2, ceil_mode=True)
        h = F.relu(self.norm(self.stem(told))) * mask
        for block in self.blocks:
            h = block(h) * mask
        mean = h.sum(2) / mask.sum(2).clamp(min=1)
        pooled = torch.stack([mean.view(-1, c.members, c.width), h.amax(2).view(-1, c.members, c.width)], 2)
        return pooled.flatten(1)

    def _told_to_members(self, views: tuple[Tensor, ...]) -> Tensor:
        """The views once for each member, (B, members · F, T); in training each loses some of them, clip by clip."""
        c, (b, _, t) = self.config, views[0].shape
        whole = torch.cat(views, 1).unsqueeze(1).expand(-1, c.members, -1, -1)
        if self.training and c.view_dropout:
            keep_BMV = torch.rand(b, c.members, len(views), device=whole.device) >= c.view_dropout
            of_channel = torch.repeat_interleave(
                torch.arange(len(views), device=whole.device), torch.tensor(self.sizes, device=whole.device)
            )
            whole = whole * keep_BMV[:, :, of_channel, None]
        return whole.reshape(b, -1, t)

    def _views(self, x: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Joints about the root and the root itself; bones; motion from frame to frame. Each (B, F, T)."""
        root = x[:, :, self.root : self.root + 1]
        about = torch.cat([x - root, root], 2)
        bones = (x - x[:, :, self.parents]) * 2
        both = (mask_BT[:, 1:] & mask_BT[:, :-1])[..., None, None]
        motion = F.pad((about[:, 1:] - about[:, :-1]) * 4 * both, (0, 0, 0, 0, 1, 0))
        keep = mask_BT[..., None]
        about, bones, motion = ((v.flatten(2) * keep).transpose(1, 2) for v in (about, bones, motion))
        return about, bones, motion
