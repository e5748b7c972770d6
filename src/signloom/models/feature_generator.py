"""A video network that gives the features a sensor's network would have had, and names the sign by them.

After self-learning fusion (Li et al. 2022), where a video network regresses the pooled activation of a network that
saw an inertial sensor. In use there is no sensor: what it would have said is generated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class FeatureGeneratorConfig:
    """``base`` is the architecture that sees the clip, ``base_model`` its config as (name, value) pairs, and
    ``base_width`` how many features it has; ``width`` is how many are generated."""

    n_classes: int
    base: str = "light3d"
    base_model: tuple[tuple[str, Any], ...] = ()
    base_width: int = 256
    width: int = 128
    hidden: int = 256
    dropout: float = 0.3


class FeatureGenerator(nn.Module):
    """What ``base`` takes → class logits (B, K), by way of generated features (B, width)."""

    head_names: ClassVar[tuple[str, ...]] = ("head",)

    def __init__(self, config: FeatureGeneratorConfig):
        from signloom.models import build

        super().__init__()
        self.config = config
        self.base: Any = build(config.base, dict(config.base_model))
        for part in [m for m in self.base.modules() if hasattr(m, "head")]:
            part.head = nn.Identity()  # signs are named by what is generated alone
        self.takes = self.base.takes
        if hasattr(self.base, "reads"):
            self.reads = self.base.reads
        self.translate = nn.Sequential(
            nn.Linear(config.base_width, config.hidden),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, config.width),
        )
        self.head = nn.Linear(config.width, config.n_classes)

    def forward(self, *seen: Tensor, with_features: bool = False) -> Any:
        features_BF = self.features(*seen)
        logits_BK = self.head(F.leaky_relu(features_BF, 0.2))
        return (logits_BK, features_BF) if with_features else logits_BK

    def features(self, *seen: Tensor) -> Tensor:
        """The generated features, (B, width)."""
        return self.translate(self.base.features(*seen))
