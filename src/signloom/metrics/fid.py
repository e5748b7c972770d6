"""FID, how far a set of pictures is from another as a whole, with weights that the user supplies: signloom ships none.

Heusel et al. 2017 (https://arxiv.org/abs/1706.08500): the Fréchet distance of two Gaussians that have the mean and the
covariance of the pictures' Inception-v3 features. It is biased upwards, the more so the fewer the pictures; with fewer
than 2048 the covariance is singular besides. Compare it only between sets of equally many.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from signloom.data.weights import load_part, read_tensors
from signloom.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

    from signloom.models.inception import Inception

BATCH = 8


def load_fid(file: str | os.PathLike[str]) -> Inception:
    """The network pictures (B, 3, H, W) from 0 to 1 -> features (B, 2048), with weights from ``file``, on a GPU if any.

    ``file`` (``.safetensors``, or ``.pt``/``.pth`` that holds nothing but tensors) has the usual PyTorch port of
    TensorFlow's weights of 2015, under torchvision's names (``Conv2d_1a_3x3.conv.weight`` …); a classifier besides is
    left out. Raises CheckpointError, also for torchvision's own weights: their FID compares with none.
    """
    import torch

    from signloom.models.inception import Inception

    weights = read_tensors(file)
    classes = weights.get("fc.bias")
    if classes is not None and classes.numel() == 1000:
        raise CheckpointError(
            f"FID weights '{file}': the classifier has 1000 classes, so these are torchvision's own, whose FID "
            "compares with none published; wanted the port of TensorFlow's weights of 2015 (1008 classes, or no "
            "classifier)"
        )
    model = load_part(Inception(), weights, f"FID weights '{file}'")
    return model.to("cuda" if torch.cuda.is_available() else "cpu")


class Moments:
    """Mean and covariance of vectors that come a few at a time. Holds their sums (32 MiB at D = 2048), not the vectors.

    ``n`` is how many there were.
    """

    def __init__(self) -> None:
        self.n = 0
        self._sum_D, self._outer_DD = np.zeros(()), np.zeros(())

    def push(self, vectors_BD: np.ndarray) -> None:
        x_BD = np.asarray(vectors_BD, np.float64)
        self.n += len(x_BD)
        self._sum_D = self._sum_D + x_BD.sum(0)
        self._outer_DD = self._outer_DD + x_BD.T @ x_BD

    @property
    def mean_D(self) -> np.ndarray:
        return self._sum_D / self.n

    @property
    def covariance_DD(self) -> np.ndarray:
        """With the divisor n - 1; needs two vectors."""
        return (self._outer_DD - self.n * np.outer(self.mean_D, self.mean_D)) / (self.n - 1)


def frechet_distance(
    mean_a_D: np.ndarray, covariance_a_DD: np.ndarray, mean_b_D: np.ndarray, covariance_b_DD: np.ndarray
) -> float:
    """|µa - µb|² + tr(Σa + Σb - 2 (Σa Σb)^½), squared as FID is; singular covariances are fine.

    With Σ = R Rᵀ, tr (Σa Σb)^½ is the sum of the singular values of Raᵀ Rb: no root of a product is taken.
    """
    overlap = np.linalg.svd(_root(covariance_a_DD).T @ _root(covariance_b_DD), compute_uv=False).sum()
    apart = np.square(mean_a_D - mean_b_D).sum()
    return float(max(apart + np.trace(covariance_a_DD) + np.trace(covariance_b_DD) - 2 * overlap, 0.0))


def _root(covariance_DD: np.ndarray) -> np.ndarray:
    """R (D, rank) with R Rᵀ the covariance."""
    values_D, vectors_DD = np.linalg.eigh(covariance_DD)
    kept = values_D > values_D[-1] * len(values_D) * np.finfo(np.float64).eps
    return vectors_DD[:, kept] * np.sqrt(values_D[kept])


class PictureSets:
    """Sets of pictures by name, each kept as the moments of its pictures' features, and how far they are apart.

    ``features`` is what :func:`load_fid` gives, or another (B, 3, H, W) -> (B, D); it is given a few at a time.
    """

    def __init__(self, features: Callable[[Tensor], Tensor]):
        self._features = features
        self._waiting: dict[str, list[np.ndarray]] = defaultdict(list)
        self._moments: dict[str, Moments] = defaultdict(Moments)

    def push(self, name: str, picture_HWC: np.ndarray) -> None:
        """Add a picture, uint8 (H, W, 3) RGB, to the set ``name``."""
        waiting = self._waiting[name]
        if waiting and (len(waiting) == BATCH or waiting[0].shape != picture_HWC.shape):
            self._take(name)
        self._waiting[name].append(picture_HWC)

    def figures(self, real: str) -> dict[str, dict[str, Any]]:
        """By name of each set but ``real``: its FID to that as {"value", "low", "high", "n"}, without an interval.

        ``n`` is the number of its pictures. The value is None where either set has fewer than two.
        """
        for name in list(self._waiting):
            self._take(name)
        true = self._moments[real]
        return {
            name: {"value": _distance(own, true), "low": None, "high": None, "n": own.n}
            for name, own in self._moments.items()
            if name != real
        }

    def _take(self, name: str) -> None:
        import torch

        if not self._waiting[name]:
            return
        x = torch.from_numpy(np.stack(self._waiting.pop(name))).permute(0, 3, 1, 2).float() / 255
        with torch.no_grad():
            self._moments[name].push(self._features(x).cpu().numpy())


def _distance(a: Moments, b: Moments) -> float | None:
    if a.n < 2 or b.n < 2:
        return None
    return frechet_distance(a.mean_D, a.covariance_DD, b.mean_D, b.covariance_DD)
