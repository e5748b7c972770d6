"""Who is it? An attacker that learns people from some clips and names them in others, and how well that goes.

Kernel ridge regression (Gaussian kernel, Saunders et al. 1998) on standardised features, solved in closed form: seconds
on thousands of clips, nothing to tune by hand. Shapes: N clips, D features, S people.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from signloom.errors import InputError
from signloom.metrics.intervals import RESAMPLES, percentile_interval, share_interval

_PENALTY = 0.05


class Verifier:
    """Learns from ``features_ND`` who of ``names`` (one a clip) is who."""

    def __init__(self, features_ND: np.ndarray, names: Sequence[str]):
        x = np.asarray(features_ND, np.float64)
        self.people = tuple(sorted(set(names)))
        if len(self.people) < 2:
            raise InputError(f"a verifier tells people apart; got clips of {len(self.people)}")
        self._mean, self._spread = x.mean(0), np.maximum(x.std(0), 1e-6)
        self._known = (x - self._mean) / self._spread
        distances = _squared(self._known, self._known)
        self._width = max(float(np.median(distances[distances > 1e-9])) if (distances > 1e-9).any() else 1.0, 1e-9)
        kernel = np.exp(-distances / self._width)
        index = {name: k for k, name in enumerate(self.people)}
        wanted = np.zeros((len(x), len(self.people)))
        wanted[np.arange(len(x)), [index[n] for n in names]] = 1
        # People with few clips count as much as those with many.
        weight = len(x) / (len(self.people) * wanted.sum(0))[wanted.argmax(1)]
        system = kernel + _PENALTY * np.diag(1 / weight)
        self._answer = np.linalg.solve(system, wanted - 1 / len(self.people))

    def scores(self, features_ND: np.ndarray) -> np.ndarray:
        """How like each of ``people`` each clip is, (N, S)."""
        x = (np.asarray(features_ND, np.float64) - self._mean) / self._spread
        return np.exp(-_squared(x, self._known) / self._width) @ self._answer


def _squared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.maximum((a * a).sum(1)[:, None] + (b * b).sum(1)[None] - 2 * a @ b.T, 0)


def identified(scores_NS: np.ndarray, people: Sequence[str], names: Sequence[str], seed: int = 0) -> dict[str, Any]:
    """``rank1``, the share of clips whose person scores highest, and ``auc``, how well scores tell a claim that is true
    from one that is not; each ``value``, ``low``, ``high`` (95 %, clips drawn). ``chance`` is the rank-1 of a guess."""
    column = np.array([people.index(n) for n in names])
    hits = (scores_NS.argmax(1) == column).astype(float)
    # A clip's own scale tells nothing of who it is.
    scaled = (scores_NS - scores_NS.mean(1, keepdims=True)) / np.maximum(scores_NS.std(1, keepdims=True), 1e-12)
    rng = np.random.default_rng(seed)
    n = len(names)
    resamples = min(RESAMPLES, 300)
    drawn = [_auc(scaled[rows], column[rows]) for rows in rng.integers(0, n, (resamples, n))]
    low, high = percentile_interval(np.array(drawn))
    return {
        "rank1": share_interval(hits, seed=seed),
        "auc": {"value": _auc(scaled, column), "low": low, "high": high},
        "chance": 1 / len(people),
        "clips": n,
        "people": len(people),
    }


def _auc(scores_NS: np.ndarray, column_N: np.ndarray) -> float:
    from scipy.stats import rankdata

    true = np.zeros(scores_NS.shape, bool)
    true[np.arange(len(column_N)), column_N] = True
    ranks = rankdata(scores_NS.ravel())[true.ravel()]
    n_true, n_false = true.sum(), (~true).sum()
    return float((ranks.sum() - n_true * (n_true + 1) / 2) / (n_true * n_false))
