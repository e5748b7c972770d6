"""A light 3-D CNN for a CPU and for live use: spatial convolutions and causal mixing over time, apart from each other.

Our own pick among the light video networks. It keeps two thoughts of the published ones: small in every axis (X3D,
Feichtenhofer 2020, https://arxiv.org/abs/2004.04730), and causal in time, so that a live stream is seen frame by frame
(MoViNet, Kondratyuk 2021, https://arxiv.org/abs/2103.11511). It leaves their depthwise 3-D convolutions, which run at a
small share of a CPU's speed: plain 2-D convolutions per frame, temporal shifts between them and 1-D convolutions over
the frames' vectors do the same work in dense arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Light3DConfig:
    """``widths`` are the channels of the stem and of the stages, each at half the resolution of the one before.

    ``blocks`` gives the residual blocks of each stage. With ``halve_time`` all stages see only every second frame.
    The share ``differences`` of the stem's channels sees how a frame differs from the one before. ``memory`` is the
    width of the vectors over time. ``joints`` counts the signer's joints that the network locates on its way, on the
    map of the first stage: where the hands are is then told to the later layers in numbers.
    ``regions`` are parts of the picture (left, top, right, bottom, as shares) that are each averaged by themselves.
    """

    n_classes: int
    channels: int = 3
    widths: tuple[int, ...] = (32, 80, 160)
    blocks: tuple[int, ...] = (2, 2)
    stem_size: int = 7
    stem_stride: int = 4
    halve_time: bool = True
    differences: float = 0.5
    memory: int = 192
    joints: int = 0
    regions: tuple[tuple[float, float, float, float], ...] = ((0.0, 0.0, 1.0, 1.0),)
    dropout: float = 0.3


class Light3D(nn.Module):
    """Glosses from (B, C, T, H, W) in [-1, 1]; H and W from 32 px, any T.

    What lies after a frame never matters to what is made of it.
    """

    takes: ClassVar[str] = "video"
    head_names: ClassVar[tuple[str, ...]] = ("head", "attention", "dropout")
    channels_last_needs: ClassVar[str] = "AVX512"
    """Without it kernels that lie channels last take a quarter longer to learn in float32."""

    def __init__(self, config: Light3DConfig):
        super().__init__()
        self.config = config
        stem, *widths = config.widths
        size = config.stem_size
        self.stem = nn.Conv2d(config.channels, stem, size, config.stem_stride, size // 2, bias=False)
        self.stem_norm = nn.BatchNorm2d(stem)
        stages, n_before = [], stem
        for width, n_blocks in zip(widths, config.blocks, strict=True):
            blocks = nn.ModuleList()
            for number in range(n_blocks):
                blocks.append(_Block(n_before, width, 2 if number == 0 else 1))
                n_before = width
            stages.append(blocks)
        self.stages = nn.ModuleList(stages)
        self.locate = nn.Conv2d(widths[0], config.joints, 1) if config.joints else None
        self.remember = nn.ModuleList(
            [
                _Memory(n_before * len(config.regions) + 3 * config.joints, config.memory),
                _Memory(config.memory, config.memory),
            ]
        )
        self.dropout = nn.Dropout(config.dropout)
        self.attention = nn.Linear(config.memory, 1, bias=False)
        self.head = nn.Linear(2 * config.memory, config.n_classes)

    def forward(self, x_BCTHW: Tensor, *, with_features: bool = False, with_joints: bool = False) -> Any:
        """Logits (B, K).

        With ``with_features`` also what :meth:`features` gives; with ``with_joints`` also the logits of where each
        joint is, (B, T', J, h, w), for the frames that :meth:`frames_seen` names.
        """
        vectors, heat = self._vectors(x_BCTHW)
        features = self._pooled(vectors)
        answer = [self.head(self.dropout(features))]
        answer += [features] * with_features + [heat] * with_joints
        return tuple(answer) if len(answer) > 1 else answer[0]

    def features(self, x_BCTHW: Tensor) -> Tensor:
        """One vector a clip, (B, 2·memory): the mean over time beside the mean weighted by attention."""
        return self._pooled(self._vectors(x_BCTHW)[0])

    def frames_seen(self, n_frames: int) -> slice:
        """Which of ``n_frames`` the stages see; of each pair the later, which has seen the earlier in the stem."""
        return slice((n_frames - 1) % 2, None, 2) if self.config.halve_time else slice(None)

    def _pooled(self, vectors_BTF: Tensor) -> Tensor:
        weight = self.attention(vectors_BTF).softmax(1)
        return torch.cat([vectors_BTF.mean(1), (vectors_BTF * weight).sum(1)], -1)

    def _vectors(self, x_BCTHW: Tensor) -> tuple[Tensor, Tensor | None]:
        """A vector for each frame seen, (B, T', memory), and where the joints are."""
        b, _, t, _, _ = x_BCTHW.shape
        x = x_BCTHW.transpose(1, 2).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        with torch.autocast(x.device.type, enabled=False):  # differences of neighbours are too fine for 8 bits
            x = self._changes(self.stem(x.float()), t)
        x = x.unflatten(0, (b, t))[:, self.frames_seen(t)]
        t = x.shape[1]
        x = torch.relu_(self.stem_norm(x.flatten(0, 1)))
        heat = None
        stages: Any = self.stages
        for number, stage in enumerate(stages):
            for block in stage:
                x = block(x, t)
            if number == 0 and self.locate is not None:
                heat = self.locate(x).float()
        vectors = torch.cat([_part(x, region).mean((2, 3)) for region in self.config.regions], -1)
        if heat is not None:
            vectors = torch.cat([vectors, _places(heat).to(vectors)], -1)
            heat = heat.unflatten(0, (b, t))
        vectors = vectors.unflatten(0, (b, t))
        for memory in self.remember:
            vectors = memory(vectors)
        return vectors, heat

    def _changes(self, x: Tensor, t: int) -> Tensor:
        """The last ``differences`` of the stem's channels less what they were in the frame before.

        A convolution is linear: this is what it gives for the difference of the frames, at a sixteenth of the pixels.
        Normalised afterwards like the others, they count as much from the first step, small as they are.
        """
        n = round(x.shape[1] * self.config.differences)
        if not n:
            return x
        frames = x.unflatten(0, (-1, t))
        moving = frames[:, :, -n:]
        moving = moving - torch.cat([moving[:, :1], moving[:, :-1]], 1)
        return torch.cat([frames[:, :, :-n], moving], 2).flatten(0, 1)


def _part(x_NFHW: Tensor, region: tuple[float, float, float, float]) -> Tensor:
    h, w = x_NFHW.shape[2:]
    left, top, right, bottom = (round(share * n) for share, n in zip(region, (w, h, w, h)))
    return x_NFHW[:, :, top : max(bottom, top + 1), left : max(right, left + 1)]


def _places(heat_NJHW: Tensor) -> Tensor:
    """For each joint its mean place (x, y in [-1, 1]) under the softmax of its map, and how sure that is: (N, 3·J)."""
    h, w = heat_NJHW.shape[2:]
    p = heat_NJHW.flatten(2).softmax(-1).view_as(heat_NJHW)
    ys = (torch.arange(h, device=p.device) + 0.5) / h * 2 - 1
    xs = (torch.arange(w, device=p.device) + 0.5) / w * 2 - 1
    return torch.cat([(p.sum(2) * xs).sum(-1), (p.sum(3) * ys).sum(-1), p.amax((2, 3))], -1)


class _Block(nn.Module):
    """Mix each frame with its past, then two 3×3 convolutions with a shortcut."""

    def __init__(self, n_in: int, n_out: int, stride: int):
        super().__init__()
        self.first = nn.Sequential(*_conv(n_in, n_out, 3, stride), nn.ReLU(inplace=True))
        self.second = nn.Sequential(*_conv(n_out, n_out, 3))
        self.shortcut = nn.Sequential(*_conv(n_in, n_out, 1, stride)) if stride > 1 or n_in != n_out else nn.Identity()

    def forward(self, x: Tensor, t: int) -> Tensor:
        return torch.relu_(self.second(self.first(_Past.apply(x, t))) + self.shortcut(x))


class _Memory(nn.Module):
    """A causal convolution over the frames' vectors: each sees itself and the two before."""

    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        self.norm = nn.LayerNorm(n_in)
        self.mix = nn.Conv1d(n_in, n_out, 3)
        self.shortcut = nn.Linear(n_in, n_out) if n_in != n_out else nn.Identity()

    def forward(self, x_BTF: Tensor) -> Tensor:
        past = F.pad(self.norm(x_BTF).transpose(1, 2), (2, 0))
        return self.shortcut(x_BTF) + F.gelu(self.mix(past)).transpose(1, 2)


class _Past(torch.autograd.Function):
    """Replace a quarter of the channels by those of the frame before and an eighth by those of two frames before.

    The temporal shift of Lin 2019 (https://arxiv.org/abs/1811.08383), causal: no arithmetic, one copy. What lies
    before the first frame is zero.
    """

    @staticmethod
    def forward(ctx, x, t):
        ctx.t = t
        return _shifted(x, t, forward=True)

    @staticmethod
    def backward(ctx, gradient):
        return _shifted(gradient, ctx.t, forward=False), None


def _shifted(x: Tensor, t: int, *, forward: bool) -> Tensor:
    out = x.clone(memory_format=torch.channels_last)
    old, new = x.unflatten(0, (-1, t)), out.unflatten(0, (-1, t))
    quarter, eighth = x.shape[1] // 4, x.shape[1] // 8
    for by, where in ((1, slice(0, quarter)), (2, slice(quarter, quarter + eighth))):
        by = min(by, t)
        if forward:
            new[:, by:, where], new[:, :by, where] = old[:, : t - by, where], 0
        else:
            new[:, : t - by, where], new[:, t - by :, where] = old[:, by:, where], 0
    return out


def _conv(n_in: int, n_out: int, size: int, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(n_in, n_out, size, stride, size // 2, bias=False), nn.BatchNorm2d(n_out)
