"""Inception-v3 as FID is measured with: TensorFlow's network of 2015, up to the features before its classifier.

Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016. Layers carry the names of
torchvision's, which the usual PyTorch port of those weights has too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDE_PX = 299
N_FEATURES = 2048

Branches = Mapping[str, Sequence[tuple[int, str]]]

# Branches of a block by name: (channels, kernel as "height x width") of each layer; two kernels stand side by side.
_DOUBLE = [(64, "1x1"), (96, "3x3"), (96, "3x3")]
_A: Branches = {"branch1x1": [(64, "1x1")], "branch5x5": [(48, "1x1"), (64, "5x5")], "branch3x3dbl": _DOUBLE}
_B: Branches = {"branch3x3": [(384, "3x3")], "branch3x3dbl": _DOUBLE}
_D: Branches = {
    "branch3x3": [(192, "1x1"), (320, "3x3")],
    "branch7x7x3": [(192, "1x1"), (192, "1x7"), (192, "7x1"), (192, "3x3")],
}
_E: Branches = {
    "branch1x1": [(320, "1x1")],
    "branch3x3": [(384, "1x1"), (384, "1x3 3x1")],
    "branch3x3dbl": [(448, "1x1"), (384, "3x3"), (384, "1x3 3x1")],
}


def _c(n: int) -> Branches:
    return {
        "branch1x1": [(192, "1x1")],
        "branch7x7": [(n, "1x1"), (n, "1x7"), (192, "7x1")],
        "branch7x7dbl": [(n, "1x1"), (n, "7x1"), (n, "1x7"), (n, "7x1"), (192, "1x7")],
    }


class Unit(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, before: int, channels: int, kernel: str = "3x3", stride: int = 1, padded: bool = True):
        super().__init__()
        height, width = map(int, kernel.split("x"))
        padding = (height // 2, width // 2) if padded else 0
        self.conv = nn.Conv2d(before, channels, (height, width), stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(channels, eps=0.001)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.bn(self.conv(x_BCHW)).relu()


class Mixed(nn.Module):
    """Branches of convolutions and one of pooling, side by side; with stride 2 each ends in a step that halves.

    The pooling branch ends in ``pooled`` channels, or leaves them as they are where that is 0. As in TensorFlow, an
    average leaves out the padding; ``largest`` pools by the maximum instead, which halving always does.
    """

    def __init__(self, before: int, branches: Branches, pooled: int = 0, *, stride: int = 1, largest: bool = False):
        super().__init__()
        self._chains: list[list[list[str]]] = []
        self._stride, self._largest = stride, largest
        self.channels = pooled or before
        for branch, layers in branches.items():
            chain, into = [], before
            for n, (channels, kernels) in enumerate(layers, 1):
                last = n == len(layers)
                name = branch if len(layers) == 1 else f"{branch}_{n}"
                beside = kernels.split()
                names = [name] if len(beside) == 1 else [f"{name}{letter}" for letter in "ab"]
                for own, kernel in zip(names, beside):
                    self.add_module(own, Unit(into, channels, kernel, stride if last else 1, stride == 1 or not last))
                chain.append(names)
                into = channels
            self._chains.append(chain)
            self.channels += channels * len(beside)
        self.branch_pool = Unit(before, pooled, "1x1") if pooled else nn.Identity()

    def forward(self, x_BCHW: Tensor) -> Tensor:
        found = []
        for *first, last in self._chains:
            y = x_BCHW
            for (name,) in first:
                y = self.get_submodule(name)(y)
            found += [self.get_submodule(name)(y) for name in last]
        if self._stride == 2:
            around = F.max_pool2d(x_BCHW, 3, 2)
        elif self._largest:
            around = F.max_pool2d(x_BCHW, 3, 1, 1)
        else:
            around = F.avg_pool2d(x_BCHW, 3, 1, 1, count_include_pad=False)
        return torch.cat([*found, self.branch_pool(around)], 1)


class Inception(nn.Module):
    """Features of pictures. The last block pools by the maximum, which is a slip of the network that FID is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Unit(3, 32, stride=2, padded=False)
        self.Conv2d_2a_3x3 = Unit(32, 32, padded=False)
        self.Conv2d_2b_3x3 = Unit(32, 64)
        self.Conv2d_3b_1x1 = Unit(64, 80, "1x1")
        self.Conv2d_4a_3x3 = Unit(80, 192, padded=False)
        channels, self._mixed = 192, []
        for name, branches, pooled in (
            ("5b", _A, 32),
            ("5c", _A, 64),
            ("5d", _A, 64),
            ("6a", _B, 0),
            *((f"6{letter}", _c(n), 192) for letter, n in zip("bcde", (128, 160, 160, 192))),
            ("7a", _D, 0),
            ("7b", _E, 192),
            ("7c", _E, 192),
        ):
            block = Mixed(channels, branches, pooled, stride=1 if pooled else 2, largest=name == "7c")
            self.add_module(f"Mixed_{name}", block)
            self._mixed.append(f"Mixed_{name}")
            channels = block.channels

    def forward(self, pictures_B3HW: Tensor) -> Tensor:
        """The features before the classifier, (B, 2048), of pictures from 0 to 1, of any size and on any device."""
        x = pictures_B3HW.to(self.Conv2d_1a_3x3.conv.weight.device)
        x = F.interpolate(x, (SIDE_PX, SIDE_PX), mode="bilinear", align_corners=False) * 2 - 1
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, 2)))
        x = F.max_pool2d(x, 3, 2)
        for name in self._mixed:
            x = self.get_submodule(name)(x)
        return x.mean((2, 3))
