"""Discriminators: networks that tell a real picture from a painted one, patch by patch, each picture by itself."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


@dataclass(frozen=True)
class PatchDiscriminatorConfig:
    """``channels`` seen: 3 of the picture, the rest of the pose map; ``n_layers`` halvings from ``width`` on."""

    channels: int = 21
    width: int = 32
    n_layers: int = 3


class PatchDiscriminator(nn.Module):
    """(B, C, H, W) → a logit for each patch, (B, 1, h, w); ``with_features`` also what each layer sees.

    Spectral norm keeps it from running away (Miyato et al. 2018, https://arxiv.org/abs/1802.05957); there is no other
    norm. With three layers a patch spans 30 pixels, about a finger's length in a hand that was cut out.
    """

    def __init__(self, config: PatchDiscriminatorConfig):
        super().__init__()
        self.config = config
        widths = [config.channels, *(config.width * 2**n for n in range(config.n_layers))]
        self.layers = nn.ModuleList(
            spectral_norm(nn.Conv2d(n_in, n_out, 4, stride=2, padding=1)) for n_in, n_out in pairwise(widths)
        )
        self.verdict = spectral_norm(nn.Conv2d(widths[-1], 1, 3, padding=1))

    def forward(self, x: Tensor, with_features: bool = False) -> Tensor | tuple[Tensor, list[Tensor]]:
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            features.append(x)
        logits = self.verdict(x)
        return (logits, features) if with_features else logits
