"""I3D: Inception-v1 with every filter inflated over time, for pictures (RGB) or optical flow.

Carreira and Zisserman, "Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset", CVPR 2017. Layers carry
the names of the usual PyTorch port, and padding follows TensorFlow's SAME rule as the original does, so that weights
published for that port (Kinetics, WLASL) give the same logits here; see ``signloom.data.weights``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Output channels of each Mixed block: b0 | b1a, b1b | b2a, b2b | b3b (table of the Inception-v1 paper).
MIXED = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
N_FEATURES = 1024


@dataclass(frozen=True)
class I3DConfig:
    """Shape of an :class:`I3D`: 3 ``channels`` for RGB, 2 for flow.

    ``pool`` turns the logits of each moment into those of the clip: "mean" as on Kinetics (Carreira and Zisserman),
    "max" as on WLASL (Li et al., WACV 2020). ``dropout`` acts on the pooled features, before the logits.
    """

    n_classes: int
    channels: int = 3
    dropout: float = 0.5
    pool: str = "mean"

    def __post_init__(self) -> None:
        if self.pool not in ("mean", "max"):
            raise ValueError(f"I3DConfig: pool is '{self.pool}'; expected 'mean' or 'max'")


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Padding (before, after) an axis of ``size`` that leaves ceil(size / stride) outputs; an odd one goes after.

    Source: TensorFlow's SAME rule, in the notes on padding of its ``tf.nn`` documentation.
    """
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class Unit3D(nn.Module):
    """Convolution with SAME padding, batch norm and ReLU; the ``last`` one of a network has a bias instead of both."""

    def __init__(self, n_in: int, n_out: int, kernel: int = 1, stride: int = 1, *, last: bool = False):
        super().__init__()
        self.conv3d = nn.Conv3d(n_in, n_out, kernel, stride=stride, bias=last)
        self.bn = None if last else nn.BatchNorm3d(n_out, eps=0.001, momentum=0.01)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        conv = self.conv3d
        pads = [same_padding(n, k, s) for n, k, s in zip(x_BCTHW.shape[2:], conv.kernel_size, conv.stride)]
        both = [before for before, _ in pads]  # what the convolution pads by itself, at both ends of an axis
        rest = [after - before for before, after in pads]
        if any(rest):
            x_BCTHW = F.pad(x_BCTHW, (0, rest[2], 0, rest[1], 0, rest[0]))
        x_BCTHW = self._convolved(x_BCTHW, both)
        return x_BCTHW if self.bn is None else F.relu(self.bn(x_BCTHW), inplace=True)

    def _convolved(self, x_BCTHW: Tensor, padding: list[int]) -> Tensor:
        conv = self.conv3d
        lowered = x_BCTHW.device.type == "cpu" and torch.is_autocast_enabled("cpu")
        if lowered and x_BCTHW.shape[2] < conv.kernel_size[0]:
            # With fewer moments than the kernel has, oneDNN's gradient of a bfloat16 kernel now and then holds NaN
            # (seen with torch 2.13). In float32 it does not.
            with torch.autocast("cpu", enabled=False):
                made = F.conv3d(x_BCTHW.float(), conv.weight, conv.bias, conv.stride, padding)
            return made.to(torch.get_autocast_dtype("cpu"))
        return F.conv3d(x_BCTHW, conv.weight, conv.bias, conv.stride, padding)


class MaxPool(nn.Module):
    """Max pooling with SAME padding; what is padded never wins."""

    def __init__(self, kernel: tuple[int, int, int], stride: tuple[int, int, int]):
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        pads = [same_padding(n, k, s) for n, k, s in zip(x_BCTHW.shape[2:], self.kernel, self.stride)]
        # With these kernels at most one place is padded after, and none before it, alone: `ceil_mode` does that.
        both = [before for before, _ in pads]
        return F.max_pool3d(x_BCTHW, self.kernel, self.stride, both, ceil_mode=True)


class Mixed(nn.Module):
    """Four branches side by side (Inception): 1; 1 then 3; 1 then 3; pool then 1."""

    def __init__(self, n_in: int, n_out: tuple[int, int, int, int, int, int]):
        super().__init__()
        self.b0 = Unit3D(n_in, n_out[0])
        self.b1a = Unit3D(n_in, n_out[1])
        self.b1b = Unit3D(n_out[1], n_out[2], 3)
        self.b2a = Unit3D(n_in, n_out[3])
        self.b2b = Unit3D(n_out[3], n_out[4], 3)
        self.b3a = MaxPool((3, 3, 3), (1, 1, 1))
        self.b3b = Unit3D(n_in, n_out[5])

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        branches = (
            self.b0(x_BCTHW),
            self.b1b(self.b1a(x_BCTHW)),
            self.b2b(self.b2a(x_BCTHW)),
            self.b3b(self.b3a(x_BCTHW)),
        )
        return torch.cat(branches, dim=1)


class I3D(nn.Module):
    """Clips (B, C, T, H, W), float in [-1, 1], of any length and size -> class logits (B, K).

    An eighth of the frames and a 32nd of the size remain where features are taken; for 16×112² that is 2×4². Features
    are averaged over the whole picture and over each two neighbours in time, which at 224² is the port's pooling window
    of 2×7×7; T frames leave T' = ceil(T / 8) - 1 moments, and eight or fewer leave one.
    """

    takes: ClassVar[str] = "video"
    head_names: ClassVar[tuple[str, ...]] = ("logits",)

    def __init__(self, config: I3DConfig):
        super().__init__()
        self.config = config
        self.Conv3d_1a_7x7 = Unit3D(config.channels, 64, 7, 2)
        self.MaxPool3d_2a_3x3 = MaxPool((1, 3, 3), (1, 2, 2))
        self.Conv3d_2b_1x1 = Unit3D(64, 64)
        self.Conv3d_2c_3x3 = Unit3D(64, 192, 3)
        self.MaxPool3d_3a_3x3 = MaxPool((1, 3, 3), (1, 2, 2))
        self.Mixed_3b = Mixed(192, MIXED["Mixed_3b"])
        self.Mixed_3c = Mixed(256, MIXED["Mixed_3c"])
        self.MaxPool3d_4a_3x3 = MaxPool((3, 3, 3), (2, 2, 2))
        self.Mixed_4b = Mixed(480, MIXED["Mixed_4b"])
        self.Mixed_4c = Mixed(512, MIXED["Mixed_4c"])
        self.Mixed_4d = Mixed(512, MIXED["Mixed_4d"])
        self.Mixed_4e = Mixed(512, MIXED["Mixed_4e"])
        self.Mixed_4f = Mixed(528, MIXED["Mixed_4f"])
        self.MaxPool3d_5a_2x2 = MaxPool((2, 2, 2), (2, 2, 2))
        self.Mixed_5b = Mixed(832, MIXED["Mixed_5b"])
        self.Mixed_5c = Mixed(832, MIXED["Mixed_5c"])
        self.dropout = nn.Dropout(config.dropout)
        self.logits = Unit3D(N_FEATURES, config.n_classes, last=True)

    def forward(self, x_BCTHW: Tensor, *, per_frame: bool = False, with_features: bool = False) -> Any:
        """Logits (B, K); with ``per_frame`` those of each moment (B, T', K) before they are pooled.

        With ``with_features`` a pair: the logits and what :meth:`features` gives.
        """
        maps_BFT11 = self._maps(x_BCTHW)
        logits = self.logits(self.dropout(maps_BFT11)).flatten(2).transpose(1, 2)
        if not per_frame:
            logits = logits.mean(1) if self.config.pool == "mean" else logits.amax(1)
        return (logits, maps_BFT11.mean((2, 3, 4))) if with_features else logits

    def frame_logits(self, x_BCTHW: Tensor) -> Tensor:
        """Logits of each moment, (B, T', K)."""
        return self(x_BCTHW, per_frame=True)

    def features(self, x_BCTHW: Tensor) -> Tensor:
        """What the logits are made of, averaged over time, (B, 1024)."""
        return self._maps(x_BCTHW).mean((2, 3, 4))

    def _maps(self, x_BCTHW: Tensor) -> Tensor:
        """Features of each moment, (B, 1024, T', 1, 1)."""
        for name, layer in self.named_children():
            if name not in ("dropout", "logits"):
                x_BCTHW = layer(x_BCTHW)
        means = x_BCTHW.mean((3, 4), keepdim=True)
        return (means[:, :, 1:] + means[:, :, :-1]) / 2 if means.shape[2] > 1 else means
