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

    ``frame_width`` multiplies the channels of the frame network. ``pool`` turns what the LSTM says after each frame
    into the clip's features: "last" is its word after the last frame, "mean" the average of all. "frame-average" leaves
    the LSTM out and averages the frames' own features: the baseline that any model of time has to beat.
    For few clips and a CPU: ``frame_width=0.5, hidden=256, layers=1, pool="mean"``.
    """

    n_classes: int
    channels: int = 3
    frame_width: float = 1.0
    hidden: int = 1024
    layers: int = 2
    dropout: float = 0.5
    pool: str = "last"

    def __post_init__(self) -> None:
        if self.pool not in ("last", "mean", "frame-average"):
            raise ValueError(f"CnnLstmConfig: pool is '{self.pool}'; expected 'last', 'mean' or 'frame-average'")


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
    """Pictures (B, C, H, W) -> features (B, ``n_features``)."""

    def __init__(self, channels: int, width: float):
        super().__init__()
        n = _rounded(STEM * width)
        layers: list[nn.Module] = [*_conv(channels, n, 3, 2), nn.ReLU6(inplace=True)]
        for expansion, n_out, n_blocks, stride in STAGES:
            for block in range(n_blocks):
                layers.append(InvertedResidual(n, _rounded(n_out * width), expansion, stride if block == 0 else 1))
                n = _rounded(n_out * width)
        self.n_features = _rounded(LAST * width)
        self.layers = nn.Sequential(*layers, *_conv(n, self.n_features), nn.ReLU6(inplace=True))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.layers(x_BCHW).mean((2, 3))


class CnnLstm(nn.Module):
    """Clips (B, C, T, H, W), float in [-1, 1], of any length and size from 32 px -> class logits (B, K)."""

    takes: ClassVar[str] = "video"
    head_names: ClassVar[tuple[str, ...]] = ("head",)

    def __init__(self, config: CnnLstmConfig):
        super().__init__()
        self.config = c = config
        self.frames = FrameNetwork(c.channels, c.frame_width)
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
        frames = x_BCTHW.transpose(1, 2).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        steps_BTF = self.frames(frames).unflatten(0, (len(x_BCTHW), -1))
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
