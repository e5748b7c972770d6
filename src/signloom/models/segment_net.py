"""Begin, inside or outside of a sign, frame by frame: a small recurrent network that looks back alone.

It has no convolution over time, so that it makes no difference whether frames come one by one or all at once, and it
is told how long ago the frame before was, so that it may be fed at any rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class SegmentNetConfig:
    """``n_features`` of a frame in, ``hidden`` units in each of ``layers``; ``dropout`` between what they give."""

    n_features: int
    hidden: int = 64
    layers: int = 1
    dropout: float = 0.1


class SegmentNet(nn.Module):
    """Features of frames (B, T, F) → logits of outside, begin and inside (B, T, 3), and the state (L, B, H)."""

    takes: ClassVar[str] = "motion"

    def __init__(self, config: SegmentNetConfig):
        super().__init__()
        self.config = config
        self.embed = nn.Linear(config.n_features, config.hidden)
        self.memory = nn.GRU(config.hidden, config.hidden, config.layers, batch_first=True)
        self.drop = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.hidden, 3)

    def begin(self, n: int) -> Tensor:
        """The state of ``n`` sequences before their first frame."""
        like = self.head.weight
        return torch.zeros(self.config.layers, n, self.config.hidden, dtype=like.dtype, device=like.device)

    def forward(self, features_BTF: Tensor, state_LBH: Tensor) -> tuple[Tensor, Tensor]:
        x = self.drop(torch.nn.functional.gelu(self.embed(features_BTF)))
        x, state_LBH = self.memory(x, state_LBH)
        return self.head(self.drop(x)), state_LBH
