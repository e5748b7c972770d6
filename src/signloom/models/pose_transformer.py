"""A pose recogniser for few clips and a CPU: an ensemble of small networks of convolution and attention over time.

Each frame's body, hands and face are encoded apart, from joint positions, bones and motion. The two hands share one
encoder, the left one seen in a mirror, so that what is learnt from one hand serves the other. Whole parts are dropped
in training, since a network with few signers otherwise leans on what is particular to them. Absent joints carry a flag
and an absent hand becomes a learnt vector; nothing is zeroed into a corner. Convolutions over time before
attention are what makes small corpora work (cf. Conformer, Gulati et al. 2020); several small networks vote, because
with few signers what one network makes of a new signer is partly luck.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class PoseTransformerConfig:
    """Shape of a :class:`PoseTransformer`.

    ``parents`` gives the joint each joint's bone starts at. ``body``, ``left_hand``, ``right_hand`` and ``face`` are
    (start, stop) ranges of joints; the hands must be of equal length and order, each beginning with its root.
    ``part_dropout`` is how often, in training, a clip loses its body, its face, a hand's shape or a hand's place.
    ``members`` networks of this shape are trained side by side and vote.
    """

    n_classes: int
    parents: tuple[int, ...]
    body: tuple[int, int]
    left_hand: tuple[int, int]
    right_hand: tuple[int, int]
    face: tuple[int, int]
    n_frames: int = 32
    width: int = 64
    depth: int = 2
    heads: int = 4
    kernel: int = 7
    stride: int = 2
    dropout: float = 0.2
    head_dropout: float = 0.4
    part_dropout: float = 0.15
    members: int = 4


class PartEncoder(nn.Module):
    """One part of the body in one frame -> a vector, from features of each point, which are present, and extras."""

    def __init__(self, n_points: int, n_features: int, n_extra: int, width: int, dropout: float):
        super().__init__()
        self.project = nn.Linear(n_points * (n_features + 1) + n_extra, width)
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Sequential(nn.GELU(), nn.Dropout(dropout), nn.Linear(width, width))
        self.absent = nn.Parameter(torch.zeros(width))

    def forward(self, features_BTPF: Tensor, present_BTP: Tensor, extra_BTE: Tensor) -> Tensor:
        flat = torch.cat([features_BTPF.flatten(2), present_BTP.to(features_BTPF.dtype), extra_BTE], dim=-1)
        encoded = self.mix(self.norm(self.project(flat)))
        seen = present_BTP.any(-1, keepdim=True)
        return torch.where(seen, encoded, self.absent.to(encoded.dtype))


class TimeBlock(nn.Module):
    """Depthwise convolution over time, attention over time, feed-forward; each residual and pre-normalised."""

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
        keep = mask_BT.unsqueeze(-1)
        gated = F.glu(self.gate(self.norm_conv(x_BTD)), dim=-1) * keep
        mixed = self.conv(gated.transpose(1, 2)).transpose(1, 2)
        x_BTD = x_BTD + self.drop(self.out_conv(F.silu(mixed)))

        b, t, d = x_BTD.shape
        q, k, v = self.qkv(self.norm_attend(x_BTD)).view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask_BT[:, None, None, :])
        x_BTD = x_BTD + self.drop(self.out_attend(attended.transpose(1, 2).reshape(b, t, d)))

        return x_BTD + self.drop(self.feed(self.norm_feed(x_BTD)))


class Member(nn.Module):
    """One network of the ensemble: part features of each frame -> class logits (B, K)."""

    def __init__(self, config: PoseTransformerConfig):
        super().__init__()
        self.config = c = config
        n_body, n_hand, n_face = (b - a for a, b in (c.body, c.right_hand, c.face))
        self.body = PartEncoder(n_body, 8, 0, c.width, c.dropout)
        self.hand = PartEncoder(n_hand, 8, 4, c.width, c.dropout)
        self.face = PartEncoder(n_face, 6, 0, c.width // 2, c.dropout)
        self.join = nn.Linear(3 * c.width + c.width // 2, c.width)
        self.shrink = nn.Conv1d(c.width, c.width, 2 * c.stride + 1, stride=c.stride, padding=c.stride)
        self.place = nn.Parameter(torch.zeros(-(-c.n_frames // c.stride), c.width))
        self.blocks = nn.ModuleList(TimeBlock(c.width, c.heads, c.kernel, c.dropout) for _ in range(c.depth))
        self.norm = nn.LayerNorm(c.width)
        self.weigh = nn.Linear(c.width, 1)
        self.head = nn.Sequential(nn.Dropout(c.head_dropout), nn.Linear(2 * c.width, c.n_classes))
        nn.init.trunc_normal_(self.place, std=0.02)

    def forward(self, parts: dict[str, tuple[Tensor, Tensor, Tensor]], mask_BT: Tensor) -> Tensor:
        return self.head(self.features(parts, mask_BT))

    def features(self, parts: dict[str, tuple[Tensor, Tensor, Tensor]], mask_BT: Tensor) -> Tensor:
        """What is pooled over time before the head, (B, 2 · width)."""
        c = self.config
        encoded = [self._kept(self.body(*parts["body"]))]
        for side in ("right_hand", "left_hand"):
            shape, present, place = parts[side]
            encoded.append(self.hand(self._kept(shape), present, self._kept(place)))
        encoded.append(self._kept(self.face(*parts["face"])))
        joined = self.join(torch.cat(encoded, dim=-1)) * mask_BT.unsqueeze(-1)

        h = self.shrink(joined.transpose(1, 2)).transpose(1, 2)
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
        """In training, ``x`` with some clips' all zero; in use, ``x``. See ``part_dropout``."""
        if not self.training or not self.config.part_dropout:
            return x_BTX
        keep = torch.rand(len(x_BTX), device=x_BTX.device) >= self.config.part_dropout
        return x_BTX * keep.view(-1, *[1] * (x_BTX.ndim - 1))


class PoseTransformer(nn.Module):
    """Joints over time -> class logits, by an ensemble of small networks that share their input.

    ``forward(pose_BTJC, present_BTJ, mask_BT)`` with ``pose_BTJC`` float (B, T, J, 2) in body units (origin
    between the shoulders, unit = shoulder width), ``present_BTJ`` bool, ``mask_BT`` bool (True = a real frame).
    In use it returns the log of the members' mean probability (B, K); in training the members' own logits (B, M, K),
    so that each learns by itself and their errors differ.
    """

    takes: ClassVar[str] = "pose"
    reads: ClassVar[tuple[str, ...]] = ("pose", "present", "mask")
    streams = ("pose",)
    parents: Tensor

    def __init__(self, config: PoseTransformerConfig):
        super().__init__()
        self.config = config
        self.register_buffer("parents", torch.tensor(config.parents), persistent=False)
        self.members = nn.ModuleList(Member(config) for _ in range(config.members))

    def forward(self, pose_BTJC: Tensor, present_BTJ: Tensor, mask_BT: Tensor) -> Tensor:
        parts = self._parts(pose_BTJC, present_BTJ, mask_BT)
        logits_BMK = torch.stack([member(parts, mask_BT) for member in self.members], dim=1)
        if self.training:
            return logits_BMK
        return torch.logsumexp(logits_BMK.float().log_softmax(-1), dim=1) - math.log(self.config.members)

    def features(self, pose_BTJC: Tensor, present_BTJ: Tensor, mask_BT: Tensor) -> Tensor:
        """What the members found before they name the sign, side by side: (B, members · 2 · width)."""
        parts = self._parts(pose_BTJC, present_BTJ, mask_BT)
        return torch.cat([member.features(parts, mask_BT) for member in self._each()], dim=-1)

    def _each(self) -> Iterator[Member]:
        return (member for member in self.members if isinstance(member, Member))

    def _parts(
        self, pose_BTJC: Tensor, present_BTJ: Tensor, mask_BT: Tensor
    ) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
        c = self.config
        present_BTJ = present_BTJ & mask_BT.unsqueeze(-1)
        x = pose_BTJC * present_BTJ.unsqueeze(-1)
        return {
            "body": self._body(x, present_BTJ),
            "right_hand": self._hand(x, present_BTJ, c.right_hand, 1.0),
            "left_hand": self._hand(x, present_BTJ, c.left_hand, -1.0),
            "face": self._face(x, present_BTJ),
        }

    # Each gives (features (B, T, P, F), present (B, T, P), extra features of the part as a whole (B, T, E)).

    def _body(self, x_BTJC: Tensor, present_BTJ: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        start, stop = self.config.body
        points, here = x_BTJC[:, :, start:stop], present_BTJ[:, :, start:stop]
        bone = points - points[:, :, self.parents[start:stop] - start]
        features = torch.cat([points, bone, _motion(points, here) * 4], dim=-1) * here.unsqueeze(-1)
        return features, here, points[:, :, 0, :0]

    def _face(self, x_BTJC: Tensor, present_BTJ: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        start, stop = self.config.face
        points, here = x_BTJC[:, :, start:stop], present_BTJ[:, :, start:stop]
        flags = here.unsqueeze(-1)
        middle = points.sum(2, keepdim=True) / flags.sum(2, keepdim=True).clamp(min=1)
        features = torch.cat([(points - middle) * 8, _motion(points, here) * 4], dim=-1) * flags
        return features, here, points[:, :, 0, :0]

    def _hand(
        self, x_BTJC: Tensor, present_BTJ: Tensor, part: tuple[int, int], side: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One hand: its shape about its own root, enlarged to the body's scale, and its place in the body frame."""
        start, stop = part
        points, here = x_BTJC[:, :, start:stop] * x_BTJC.new_tensor([side, 1.0]), present_BTJ[:, :, start:stop]
        motion = _motion(points, here)
        shape = (points - points[:, :, :1]) * 4
        bone = (points - points[:, :, self.parents[start:stop] - start]) * 8
        features = torch.cat([shape, bone, (motion - motion[:, :, :1]) * 8], dim=-1) * here.unsqueeze(-1)
        return features, here, torch.cat([points[:, :, 0], motion[:, :, 0, :2] * 4], dim=-1)


def _motion(points_BTPC: Tensor, present_BTP: Tensor) -> Tensor:
    """Motion over one and over two frames, side by side (B, T, P, 4); zero where either frame lacks the point."""
    steps = []
    for n in (1, 2):
        moved = points_BTPC[:, n:] - points_BTPC[:, :-n]
        both = (present_BTP[:, n:] & present_BTP[:, :-n]).unsqueeze(-1)
        steps.append(F.pad(moved * both, (0, 0, 0, 0, n, 0)))
    return torch.cat(steps, dim=-1)
