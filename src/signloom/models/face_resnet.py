"""dlib's network that tells faces apart: a ResNet of 27 convolutions to 128 numbers, of which near ones are one person.

Layers and sizes as D. King published them (dlib_face_recognition_resnet_model_v1, https://github.com/davisking/dlib-models):
blocks of two convolutions whose input is added, in those that halve the picture its 2 × 2 mean, with zeros for the
channels that are new. Batch norm is folded into a scale and a shift.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIZE_PX = 150
SAME_PERSON = 0.6
"""Two faces are called one person's where their numbers lie nearer than this, as published with the network."""
_MEAN_RGB = (122.782, 117.001, 104.298)
BLOCKS = (
    # name, channels in, channels out, whether it halves the picture
    ("conv32_1", 32, 32, False),
    ("conv32_2", 32, 32, False),
    ("conv32_3", 32, 32, False),
    ("conv64_down", 32, 64, True),
    ("conv64_1", 64, 64, False),
    ("conv64_2", 64, 64, False),
    ("conv64_3", 64, 64, False),
    ("conv128_down", 64, 128, True),
    ("conv128_1", 128, 128, False),
    ("conv128_2", 128, 128, False),
    ("conv256_down", 128, 256, True),
    ("conv256_1", 256, 256, False),
    ("conv256_2", 256, 256, False),
    ("conv256_down_out", 256, 256, True),
)


@dataclass(frozen=True)
class FaceResNetConfig:
    """It has no settings: the weights are published for this one network."""


class _Scaled(nn.Module):
    """A convolution, and a scale and shift of each channel."""

    def __init__(self, n_in: int, n_out: int, kernel: int = 3, stride: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(n_in, n_out, kernel, stride, 0 if stride > 1 else kernel // 2)
        self.weights = nn.Parameter(torch.ones(n_out))
        self.biases = nn.Parameter(torch.zeros(n_out))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) * self.weights[:, None, None] + self.biases[:, None, None]


class _Block(nn.Module):
    def __init__(self, n_in: int, n_out: int, halves: bool):
        super().__init__()
        self.conv1 = _Scaled(n_in, n_out, stride=2 if halves else 1)
        self.conv2 = _Scaled(n_out, n_out)
        self.halves = halves

    def forward(self, x: Tensor) -> Tensor:
        new = self.conv2(F.relu(self.conv1(x)))
        if self.halves:
            x = F.avg_pool2d(x, 2, 2)
            x = F.pad(x, (0, 0, 0, 0, 0, new.shape[1] - x.shape[1]))
            new = F.pad(new, (0, x.shape[3] - new.shape[3], 0, x.shape[2] - new.shape[2]))
        return F.relu(new + x)


class FaceResNet(nn.Module):
    """Faces (B, 3, 150, 150), RGB from 0 to 255, cut out as :func:`signloom.metrics.face_verifier.face_chip` does → 128
    numbers each (B, 128)."""

    takes = "picture"
    mean: Tensor

    def __init__(self, config: FaceResNetConfig = FaceResNetConfig()):
        super().__init__()
        self.config = config
        self.conv32_down = _Scaled(3, 32, 7, 2)
        for name, n_in, n_out, halves in BLOCKS:
            self.add_module(name, _Block(n_in, n_out, halves))
        self.fc = nn.Parameter(torch.zeros(256, 128))
        self.register_buffer("mean", torch.tensor(_MEAN_RGB).view(1, 3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = (x - self.mean) / 256
        x = F.max_pool2d(F.relu(self.conv32_down(x)), 3, 2)
        for name, *_ in BLOCKS:
            x = self.get_submodule(name)(x)
        return x.mean((2, 3)) @ self.fc
