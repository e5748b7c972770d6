"""What a recogniser's features say of signs: where those lie that it knows, and how likely a clip is of none of them.

Each sign has a mean in a space of features in which clips of one sign scatter alike in every direction, with variance
1, and means of signs scatter with variance ``spread_E``. Of a sign of which n clips are known the mean is known but for
the variance spread / (n · spread + 1), so that a sign shown once is believed less than one shown a hundred times, and
of a sign never shown nothing is known but the spread. Which of these a clip fits best is a matter of likelihoods:
probabilistic linear discriminant analysis (Ioffe 2006, https://doi.org/10.1007/11744085_41).

Shapes: N clips, F features, E dimensions of the space, K signs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from signloom.errors import InputError

DIMENSIONS = 48
"""How many directions of the features are kept at most: those in which the training clips scatter most."""
SHRINKAGE = 0.2
"""How far the scatter within signs is drawn towards the same in every direction."""
FEW = 10
"""How clips of a sign scatter that was shown so often or less is not known: they are believed to as if it had been
shown once. The features of signs of training scatter less, since the network learnt to bring them together."""
LEAST_SPREAD = 0.05
"""The spread of signs' means at least, as a share of what it is on average in the K - 1 directions in which the means
of K signs differ: signs not met yet differ in others as well."""


@dataclass(frozen=True)
class Prototypes:
    """The space (``centre_F``, ``basis_FE``, ``spread_E``) and in it the mean of each sign (``means_KE``), with of how
    many clips it is (``count_K``)."""

    centre_F: np.ndarray
    basis_FE: np.ndarray
    spread_E: np.ndarray
    means_KE: np.ndarray
    count_K: np.ndarray

    def place(self, features_NF: np.ndarray) -> np.ndarray:
        """Where clips lie in the space, (N, E) float64, from their features."""
        if np.shape(features_NF)[1:] != self.centre_F.shape:
            raise InputError(f"prototypes: want features (N, {len(self.centre_F)}); got {np.shape(features_NF)}")
        return (normalised(features_NF) - self.centre_F) @ self.basis_FE

    def log_likelihood(self, places_NE: np.ndarray) -> np.ndarray:
        """How likely clips at ``places_NE`` are of each sign, (N, K): natural logarithms, up to a constant."""
        found_NK = np.empty((len(places_NE), len(self.means_KE)))
        for k, (mean_E, count) in enumerate(zip(self.means_KE, self.count_K)):
            mean_E = count * self.spread_E / (count * self.spread_E + 1) * mean_E
            sure = max(1.0, count - FEW)
            found_NK[:, k] = _log_normal(places_NE - mean_E, 1 + self.spread_E / (sure * self.spread_E + 1))
        return found_NK

    def log_likelihood_of_another(self, places_NE: np.ndarray) -> np.ndarray:
        """How likely they are of a sign of which nothing is known, (N,)."""
        return _log_normal(places_NE, 1 + self.spread_E)

    def strangeness(self, places_NE: np.ndarray) -> np.ndarray:
        """How much likelier a clip is of another sign than of the one it fits best, (N,): a logarithm."""
        return self.log_likelihood_of_another(places_NE) - self.log_likelihood(places_NE).max(axis=1)

    def with_sign(self, places_NE: np.ndarray, row: int | None = None) -> Prototypes:
        """The same with one sign more, the last: that of the clips at ``places_NE``; or with these added to ``row``."""
        if row is None:
            means_KE = np.concatenate([self.means_KE, places_NE.mean(axis=0, keepdims=True)])
            return replace(self, means_KE=means_KE, count_K=np.append(self.count_K, len(places_NE)))
        means_KE, count_K = self.means_KE.copy(), self.count_K.copy()
        count_K[row] += len(places_NE)
        means_KE[row] += (places_NE - means_KE[row]).sum(axis=0) / count_K[row]
        return replace(self, means_KE=means_KE, count_K=count_K)

    def only(self, rows: Sequence[int]) -> Prototypes:
        """The same with the signs at ``rows`` alone."""
        return replace(self, means_KE=self.means_KE[list(rows)], count_K=self.count_K[list(rows)])

    def as_arrays(self) -> dict[str, np.ndarray]:
        """What :func:`prototypes_of_arrays` makes it of again."""
        return {name: np.ascontiguousarray(getattr(self, name), np.float32) for name in _ARRAYS}


_ARRAYS = ("centre_F", "basis_FE", "spread_E", "means_KE", "count_K")


def prototypes_of_arrays(arrays: Mapping[str, np.ndarray]) -> Prototypes:
    """What :meth:`Prototypes.as_arrays` gave. Raises ValueError for arrays that do not go together."""
    found = Prototypes(*(np.asarray(arrays[name], np.float64) for name in _ARRAYS))
    f, e, k = len(found.centre_F), len(found.spread_E), len(found.count_K)
    if found.basis_FE.shape != (f, e) or found.means_KE.shape != (k, e):
        raise ValueError(f"prototypes of shapes {[np.shape(arrays[name]) for name in _ARRAYS]}")
    return found


def normalised(features_NF: np.ndarray) -> np.ndarray:
    """Features of length 1, float64: how long they are tells how sure the network is, not which sign it sees."""
    features_NF = np.asarray(features_NF, np.float64)
    return features_NF / np.maximum(np.linalg.norm(features_NF, axis=1, keepdims=True), 1e-12)


def fit_prototypes(features_NF: np.ndarray, y_N: np.ndarray, n_signs: int) -> Prototypes:
    """The space and the means of signs 0 … ``n_signs`` - 1, from clips of all of them.

    Raises InputError where a sign has no clip, or none has two.
    """
    y_N = np.asarray(y_N)
    count_K = np.bincount(y_N, minlength=n_signs)
    if len(count_K) != n_signs or not count_K.all() or count_K.max() < 2:
        raise InputError(f"prototypes: want clips of each of {n_signs} signs, two of some; got {count_K.tolist()}")
    x_NF = normalised(features_NF)
    centre_F = np.stack([x_NF[y_N == k].mean(axis=0) for k in range(n_signs)]).mean(axis=0)
    _, size, axes = np.linalg.svd(x_NF - centre_F, full_matrices=False)
    n = max(1, min(DIMENSIONS, int((size > 1e-6 * size[0]).sum()), len(x_NF) - 1))
    axes_FP = axes[:n].T
    x_NP = (x_NF - centre_F) @ axes_FP
    means_KP = np.stack([x_NP[y_N == k].mean(axis=0) for k in range(n_signs)])
    off_NP = x_NP - means_KP[y_N]
    within_PP = off_NP.T @ off_NP / max(1, len(x_NP) - n_signs)
    within_PP = (1 - SHRINKAGE) * within_PP + SHRINKAGE * np.trace(within_PP) / n * np.eye(n) + 1e-9 * np.eye(n)
    value_P, vector_PP = np.linalg.eigh(within_PP)
    white_PP = vector_PP / np.sqrt(value_P)
    means_KP = means_KP @ white_PP
    # Of means that are known from few clips, a part of their scatter is that of the clips.
    between_PP = means_KP.T @ means_KP / max(1, n_signs - 1) - np.eye(n) * (1 / count_K).mean()
    spread_P, turn_PP = np.linalg.eigh(between_PP)
    usual = float(np.maximum(spread_P[-max(1, n_signs - 1) :], 0).mean())  # they are in ascending order
    spread_P = np.maximum(spread_P, LEAST_SPREAD * max(usual, 1e-3))
    return Prototypes(centre_F, axes_FP @ white_PP @ turn_PP, spread_P, means_KP @ turn_PP, count_K.astype(np.float64))


def _log_normal(off_NE: np.ndarray, variance_E: np.ndarray) -> np.ndarray:
    return -0.5 * (off_NE**2 / variance_E + np.log(variance_E)).sum(axis=1)
