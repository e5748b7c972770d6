"""A pose recogniser for few clips and a CPU: part encoders, depthwise convolution over time, then attention.

Each frame's body, hands and face are encoded apart, from joint positions, bones and motion. The two hands share one
encoder, the left one seen in a mirror, so that what is learnt from one hand serves the other. Absent joints carry a
flag and an absent hand becomes a learnt vector; nothing is zeroed into a corner. Convolutions over time before
attention are what makes small corpora work (cf. Conformer, Gulati et al. 2020).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


# Of a hand's 21 points, in MediaPipe's and OpenPose's order.
TIPS = (4, 8, 12, 16, 20)
KNUCKLES = (5, 9, 13, 17)
SHAPE_PAIRS = (
    *((a, b) for i, a in enumerate(TIPS) for b in TIPS[i + 1 :]),  # which fingertips meet
    *((tip, 0) for tip in TIPS),  # how far each finger is stretched
    *zip(TIPS[1:], KNUCKLES),
    *((TIPS[0], knuckle) for knuckle in KNUCKLES),  # where the thumb lies
)
TOUCHING = (0, 4, 8, 12, 20)
# Of the body's joints: nose, eyes, ears, shoulders, and the same seen in a mirror.
PLACES = (0, 1, 2, 3, 4, 5, 6)
PLACES_MIRRORED = (0, 2, 1, 4, 3, 6, 5)
import os as _os

IDF = float(_os.environ.get("IDF", 1))
FACEW = float(_os.environ.get("FACEW", 1))
PD = float(_os.environ.get("PD", 0))
LOC = float(_os.environ.get("LOC", 1))
ZW = float(_os.environ.get("ZW", 1))
FW = float(_os.environ.get("FW", 1))
IW = float(_os.environ.get("IW", 1))
REST_JOINTS = (0, 1, 2, 3, 4, 5, 6, 11, 12)  # of the body: nose, eyes, ears, shoulders, hips
HAND_EXTRA = 5 + len(SHAPE_PAIRS) + len(TOUCHING) * len(PLACES)


@dataclass(frozen=True)
class PoseTransformerConfig:
    """Shape of a :class:`PoseTransformer`.

    ``parents`` gives the joint each joint's bone starts at. ``body``, ``left_hand``, ``right_hand`` and ``face`` are
    (start, stop) ranges of joints; each hand has 21 in MediaPipe's order, and the body begins with nose, left and right
    eye, ear and shoulder.
    """

    n_classes: int
    parents: tuple[int, ...]
    body: tuple[int, int]
    left_hand: tuple[int, int]
    right_hand: tuple[int, int]
    face: tuple[int, int]
    n_frames: int = 48
    width: int = 160
    depth: int = 3
    heads: int = 4
    kernel: int = 7
    stride: int = 2
    dropout: float = 0.2
    head_dropout: float = 0.4


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


class PoseTransformer(nn.Module):
    """Joints over time -> class logits.

    ``forward(pose_BTJC, present_BTJ, mask_BT) -> logits_BK`` with ``pose_BTJC`` float (B, T, J, 3) in body units
    (origin between the shoulders, unit = shoulder width; z is used for the shape of hands only), ``present_BTJ`` bool, ``mask_BT`` bool (True = a real frame).
    """

    streams = ("pose",)

    def __init__(self, config: PoseTransformerConfig):
        super().__init__()
        self.config = config
        c = config
        self.register_buffer("parents", torch.tensor(c.parents), persistent=False)
        n_body, n_hand, n_face = (b - a for a, b in (c.body, c.right_hand, c.face))
        self.body = PartEncoder(n_body, 8, 0, c.width, c.dropout)
        self.hand = PartEncoder(n_hand, 9, HAND_EXTRA, c.width, c.dropout)
        self.face = PartEncoder(n_face, 6, 0, c.width // 2, c.dropout)
        self.join = nn.Linear(3 * c.width + c.width // 2, c.width)
        self.shrink = nn.Conv1d(c.width, c.width, 2 * c.stride + 1, stride=c.stride, padding=c.stride)
        self.place = nn.Parameter(torch.zeros(-(-c.n_frames // c.stride), c.width))
        self.blocks = nn.ModuleList(TimeBlock(c.width, c.heads, c.kernel, c.dropout) for _ in range(c.depth))
        self.norm = nn.LayerNorm(c.width)
        self.weigh = nn.Linear(c.width, 1)
        self.head = nn.Sequential(nn.Dropout(c.head_dropout), nn.Linear(2 * c.width, c.n_classes))
        nn.init.trunc_normal_(self.place, std=0.02)

    def features(self, pose_BTJC: Tensor, present_BTJ: Tensor, mask_BT: Tensor) -> Tensor:
        """The pooled (B, 2·width) vector that the last layer sees."""
        c = self.config
        present_BTJ = present_BTJ & mask_BT.unsqueeze(-1)
        z = pose_BTJC[..., 2:] * present_BTJ.unsqueeze(-1)
        x = pose_BTJC[..., :2] * present_BTJ.unsqueeze(-1)
        body = self._body(x, present_BTJ)
        right = self._hand(x, z, present_BTJ, c.right_hand, PLACES, 1.0)
        left = self._hand(x, z, present_BTJ, c.left_hand, PLACES_MIRRORED, -1.0)
        face = self._face(x, present_BTJ)
        if self.training and PD > 0:
            body = body * (torch.rand(len(x), 1, 1) >= PD)
            face = face * (torch.rand(len(x), 1, 1) >= PD)
        joined = self.join(torch.cat([body * LOC, right, left, face * FACEW], dim=-1)) * mask_BT.unsqueeze(-1)

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

    def forward(self, pose_BTJC: Tensor, present_BTJ: Tensor, mask_BT: Tensor) -> Tensor:
        return self.head(self.features(pose_BTJC, present_BTJ, mask_BT))

    def _body(self, x_BTJC: Tensor, present_BTJ: Tensor) -> Tensor:
        start, stop = self.config.body
        points, here = x_BTJC[:, :, start:stop], present_BTJ[:, :, start:stop]
        bone = points - points[:, :, self.parents[start:stop] - start]
        motion = torch.cat([_difference(points, here, n) for n in (1, 2)], dim=-1)
        # Arms are taken as they are; of head, shoulders and hips only how they move, since where they rest says who
        # is signing and not what.
        still = self._still(points, here)
        rest = torch.zeros_like(points)
        rest[:, :, list(REST_JOINTS)] = still[:, :, list(REST_JOINTS)].expand(-1, points.shape[1], -1, -1)
        features = torch.cat(
            [points - IDF * rest, bone - IDF * self._still(bone, here), motion * 4], dim=-1
        ) * here.unsqueeze(-1)
        return self.body(features, here, points[:, :, 0, :0])

    def _face(self, x_BTJC: Tensor, present_BTJ: Tensor) -> Tensor:
        start, stop = self.config.face
        points, here = x_BTJC[:, :, start:stop], present_BTJ[:, :, start:stop]
        flags = here.unsqueeze(-1)
        middle = points.sum(2, keepdim=True) / flags.sum(2, keepdim=True).clamp(min=1)
        motion = torch.cat([_difference(points, here, n) for n in (1, 2)], dim=-1)
        shape = (points - middle) * flags
        features = torch.cat([(shape - IDF * self._still(shape, here)) * 8 * FACEW, motion * 4 * FACEW], dim=-1) * flags
        return self.face(features, here, points[:, :, 0, :0])

    @staticmethod
    def _still(points_BTPC: Tensor, present_BTP: Tensor) -> Tensor:
        """Each point's mean over the frames it is present in, (B, 1, P, C)."""
        weight = present_BTP.unsqueeze(-1).to(points_BTPC.dtype)
        return (points_BTPC * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp(min=1)

    def _hand(
        self,
        x_BTJC: Tensor,
        z_BTJ1: Tensor,
        present_BTJ: Tensor,
        part: tuple[int, int],
        places: tuple[int, ...],
        side: float,
    ) -> Tensor:
        """One hand: its place in the body frame, its shape, what its fingers do to each other, and what it is near."""
        start, stop = part
        seen_from = x_BTJC.new_tensor([side, 1.0])
        points, here = x_BTJC[:, :, start:stop] * seen_from, present_BTJ[:, :, start:stop]
        motion = torch.cat([_difference(points, here, n) for n in (1, 2)], dim=-1)
        # Enlarged to the body's scale, about the hand's own root.
        shape = (points - points[:, :, :1]) * 4
        bone = (points - points[:, :, self.parents[start:stop] - start]) * 8
        depth = ZW * (z_BTJ1[:, :, start:stop] - z_BTJ1[:, :, start : start + 1]).clamp(-1, 1) * 4
        features = torch.cat([shape, depth, bone, (motion - motion[:, :, :1]) * 8], dim=-1) * here.unsqueeze(-1)

        first, second = zip(*SHAPE_PAIRS)
        palm = points[:, :, KNUCKLES].sub(points[:, :, :1]).norm(dim=-1).mean(-1, keepdim=True).clamp(min=0.02)
        between = (points[:, :, first] - points[:, :, second]).norm(dim=-1) / palm
        # Which way the palm faces: the sign of the area that wrist, index and little knuckle span.
        index, little = shape[:, :, KNUCKLES[0]], shape[:, :, KNUCKLES[-1]]
        facing = (index[..., :1] * little[..., 1:] - index[..., 1:] * little[..., :1]) / (4 * palm).square()
        start, _ = self.config.body
        body = x_BTJC[:, :, [start + k for k in places]] * seen_from
        known = present_BTJ[:, :, [start + k for k in places]]
        apart = torch.cdist(points[:, :, TOUCHING], body).clamp(max=2) * known.unsqueeze(-2)
        extra = torch.cat(
            [
                points[:, :, 0],
                motion[:, :, 0, :2] * 4,
                FW * facing.clamp(-2, 2),
                IW * between.clamp(max=4),
                IW * apart.flatten(2),
            ],
            dim=-1,
        )
        place = LOC * torch.ones(len(extra), 1, 1)
        if self.training and PD > 0:
            which = torch.rand(len(extra), 1, 1, 1)
            features = features * (which >= PD)
            place = place * (torch.rand(len(extra), 1, 1) >= PD)
            kk = (torch.rand(len(extra), 1, 1) >= PD).float()
        else:
            kk = 1.0
        extra = torch.cat([extra[..., :4] * place, extra[..., 4:] * kk], dim=-1)
        return self.hand(features, here, extra)


def _difference(points_BTPC: Tensor, present_BTP: Tensor, n: int) -> Tensor:
    """Motion over ``n`` frames, zero where either frame lacks the point."""
    moved = points_BTPC[:, n:] - points_BTPC[:, :-n]
    both = (present_BTP[:, n:] & present_BTP[:, :-n]).unsqueeze(-1)
    return F.pad(moved * both, (0, 0, 0, 0, n, 0))
