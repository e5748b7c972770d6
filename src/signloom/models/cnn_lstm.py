"""A small picture network on every frame, then an LSTM over time; or the average of the frames, to compare it with.

The frame network is a MobileNetV2 (Sandler et al., CVPR 2018, https://arxiv.org/abs/1801.04381): inverted residuals
with depthwise convolutions, made wider or narrower as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

# Expansion, output channels, blocks, stride of the first block (table 2 of the MobileNetV2 paper).
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
STEM, LAST = 32, 1280


@dataclass(frozen=True)
class CnnLstmConfig:
    """Shape of a :class:`CnnLstm`; the defaults are the published size, an LSTM of 2 layers of 1024.

    ``frame_width`` multiplies the channels of the frame network, and ``stages`` counts how many of the paper's seven it
    has. The share ``differences`` of its stem's channels sees how a frame differs from the one before.
    ``grid`` 1 averages over the picture, as published; a larger one keeps so many cells a side apart, so that it stays
    known where in the picture something is, and makes ``features`` normalised features of them.

    ``pool`` turns what the LSTM says after each frame into the clip's features: "last" is its word after the last
    frame, "mean" the average of all. "frame-average" leaves the LSTM out and averages the frames' own features: the
    baseline that any model of time has to beat.
    """

    n_classes: int
    channels: int = 3
    frame_width: float = 1.0
    stages: int = len(STAGES)
    stem_size: int = 3
    stem_stride: int = 2
    differences: float = 0.0
    grid: int = 1
    features: int = 256
    hidden: int = 1024
    layers: int = 2
    dropout: float = 0.5
    pool: str = "last"

    def __post_init__(self) -> None:
        if self.pool not in ("last", "mean", "frame-average"):
            raise ValueError(f"CnnLstmConfig: pool is '{self.pool}'; expected 'last', 'mean' or 'frame-average'")
        if not 1 <= self.stages <= len(STAGES):
            raise ValueError(f"CnnLstmConfig: stages is {self.stages}; expected 1 to {len(STAGES)}")


class Depthwise(nn.Conv2d):
    """A convolution within each channel; on a CPU in float32 even under autocast, as bfloat16 is far slower there."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        if x_BCHW.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return super().forward(x_BCHW)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x_BCHW.float()).to(torch.get_autocast_dtype("cpu"))


class InvertedResidual(nn.Module):
    """1×1 to more channels, 3×3 within each, 1×1 to fewer; with a shortcut where nothing changes its shape."""

    def __init__(self, n_in: int, n_out: int, expansion: int, stride: int):
        super().__init__()
        wide = n_in * expansion
        widen = [*_conv(n_in, wide), nn.ReLU6(inplace=True)] if expansion > 1 else []
        self.layers = nn.Sequential(
            *widen, *_conv(wide, wide, 3, stride, depthwise=True), nn.ReLU6(inplace=True), *_conv(wide, n_out)
        )
        self.shortcut = stride == 1 and n_in == n_out

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW + self.layers(x_BCHW) if self.shortcut else self.layers(x_BCHW)


class FrameNetwork(nn.Module):
    """Clips (B, C, T, H, W) -> features of each frame, (B, T, ``n_features``)."""

    def __init__(self, config: CnnLstmConfig):
        super().__init__()
        c, width = config, config.frame_width
        n = _rounded(STEM * width)
        self.n_differences = round(n * c.differences)
        self.stem, self.stem_norm = _conv(c.channels, n, c.stem_size, c.stem_stride)
        layers: list[nn.Module] = [nn.ReLU6(inplace=True)]
        for expansion, n_out, n_blocks, stride in STAGES[: c.stages]:
            for block in range(n_blocks):
                layers.append(InvertedResidual(n, _rounded(n_out * width), expansion, stride if block == 0 else 1))
                n = _rounded(n_out * width)
        if c.stages == len(STAGES):
            last = _rounded(LAST * width)
            layers += [*_conv(n, last), nn.ReLU6(inplace=True)]
            n = last
        self.layers = nn.Sequential(*layers)
        self.n_features = n
        self.places = None
        if c.grid > 1:
            self.n_features = c.features
            self.places = nn.Sequential(
                nn.AdaptiveAvgPool2d(c.grid),
                nn.Flatten(),
                nn.Linear(n * c.grid**2, c.features),
                nn.LayerNorm(c.features),
                nn.GELU(),
            )

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        b, t = x_BCTHW.shape[0], x_BCTHW.shape[2]
        x = x_BCTHW.transpose(1, 2).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        if self.n_differences:
            with torch.autocast(x.device.type, enabled=False):  # differences of neighbours are too fine for 8 bits
                x = self._changes(self.stem(x.float()), t)
        else:
            x = self.stem(x)
        x = self.layers(self.stem_norm(x))
        return (x.mean((2, 3)) if self.places is None else self.places(x)).unflatten(0, (b, t))

    def _changes(self, x: Tensor, t: int) -> Tensor:
        """The last ``n_differences`` channels less what they were in the frame before; zero in the first frame."""
        frames = x.unflatten(0, (-1, t))
        moving = frames[:, :, -self.n_differences :]
        moving = moving - torch.cat([moving[:, :1], moving[:, :-1]], 1)
        return torch.cat([frames[:, :, : -self.n_differences], moving], 2).flatten(0, 1)


class CnnLstm(nn.Module):
    """Clips (B, C, T, H, W), float in [-1, 1], of any length and size from 32 px -> class logits (B, K)."""

    takes: ClassVar[str] = "video"
    head_names: ClassVar[tuple[str, ...]] = ("head",)

    def __init__(self, config: CnnLstmConfig):
        super().__init__()
        self.config = c = config
        self.frames = FrameNetwork(c)
        n = self.frames.n_features
        self.lstm = None
        if c.pool != "frame-average":
            self.lstm = nn.LSTM(n, c.hidden, c.layers, batch_first=True, dropout=c.dropout if c.layers > 1 else 0.0)
            n = c.hidden
            for name, p in self.lstm.named_parameters():
                if name.startswith("bias_ih"):
                    nn.init.zeros_(p)
                    nn.init.ones_(p[c.hidden : 2 * c.hidden])  # the forget gate is open at first
        self.dropout = nn.Dropout(c.dropout)
        self.head = nn.Linear(n, c.n_classes)

    def forward(self, x_BCTHW: Tensor, *, per_frame: bool = False, with_features: bool = False) -> Any:
        """Logits (B, K); with ``per_frame`` those after each frame (B, T, K).

        With ``with_features`` a pair: the logits and what :meth:`features` gives.
        """
        steps_BTF = self._steps(x_BCTHW)
        features_BF = self._pooled(steps_BTF)
        logits = self.head(self.dropout(steps_BTF if per_frame else features_BF))
        return (logits, features_BF) if with_features else logits

    def frame_logits(self, x_BCTHW: Tensor) -> Tensor:
        """Logits after each frame, (B, T, K); without an LSTM, of each frame."""
        return self(x_BCTHW, per_frame=True)

    def features(self, x_BCTHW: Tensor) -> Tensor:
        """What the logits are made of, (B, F); F is ``hidden``, or without an LSTM the frame network's width."""
        return self._pooled(self._steps(x_BCTHW))

    def _steps(self, x_BCTHW: Tensor) -> Tensor:
        steps_BTF = self.frames(x_BCTHW)
        return steps_BTF if self.lstm is None else self.lstm(steps_BTF)[0]

    def _pooled(self, steps_BTF: Tensor) -> Tensor:
        return steps_BTF[:, -1] if self.config.pool == "last" else steps_BTF.mean(1)


def _conv(
    n_in: int, n_out: int, size: int = 1, stride: int = 1, *, depthwise: bool = False
) -> tuple[nn.Module, nn.Module]:
    groups, kind = (n_in, Depthwise) if depthwise else (1, nn.Conv2d)
    conv = kind(n_in, n_out, size, stride, size // 2, groups=groups, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out")
    return conv, nn.BatchNorm2d(n_out)


def _rounded(channels: float) -> int:
    """The nearest multiple of 8, as in the paper's code, but never more than a tenth below ``channels``."""
    n = max(8, int(channels + 4) // 8 * 8)
    return n + 8 if n < 0.9 * channels else n
