"""How accuracy grows with the number of clips, and what more of them would bring: a power law with its doubts.

Error falls as a + b · n^(-c): what no number of clips removes, and what they do (Hestness et al. 2017,
https://arxiv.org/abs/1712.00409). Shapes: F folds, P sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from signloom.errors import InputError
from signloom.metrics.intervals import LEVEL, mean_interval

EXPONENTS = np.geomspace(0.1, 2.0, 40)
LEAST_SIZES = 3
RESAMPLES = 500


def fit_power_law(n_P: np.ndarray, error_P: np.ndarray) -> tuple[float, float, float]:
    """(a, b, c) of error = a + b · n^(-c), a and b not negative, c from .1 to 2, by least squares.

    Raises InputError for fewer than three sizes.
    """
    a, b, c = fit_power_laws(n_P, np.asarray(error_P, float)[None])[0]
    return float(a), float(b), float(c)


def fit_power_laws(n_P: np.ndarray, error_RP: np.ndarray) -> np.ndarray:
    """:func:`fit_power_law` of many curves at once, (R, 3)."""
    n_P, error_RP = np.asarray(n_P, float), np.asarray(error_RP, float)
    if len(np.unique(n_P)) < LEAST_SIZES or error_RP.shape[1] != len(n_P):
        raise InputError(f"a learning curve needs {LEAST_SIZES} sizes or more; got {len(np.unique(n_P))}")
    x_CP = (n_P / n_P.min()) ** -EXPONENTS[:, None]  # in units of the smallest size, numbers stay near 1
    x_C, y_R = x_CP.mean(axis=1), error_RP.mean(axis=1)
    xx_C, xy_RC = (x_CP**2).mean(axis=1), error_RP @ x_CP.T / len(n_P)
    # Two numbers that are not negative: the free optimum where it is allowed, else the better of the two edges.
    b_RC = (xy_RC - y_R[:, None] * x_C) / (xx_C - x_C**2)
    a_RC = y_R[:, None] - b_RC * x_C
    zero = np.zeros_like(b_RC)
    candidates = [(a_RC, b_RC), (zero, np.maximum(xy_RC / xx_C, 0)), (np.maximum(y_R, 0)[:, None] + zero, zero)]
    best_RC, a_best, b_best = np.full_like(b_RC, np.inf), zero, zero
    for a, b in candidates:
        off_RCP = a[..., None] + b[..., None] * x_CP - error_RP[:, None]
        loss_RC = np.where((a >= 0) & (b >= 0), (off_RCP**2).sum(axis=-1), np.inf)
        better = loss_RC < best_RC - 1e-12
        best_RC = np.where(better, loss_RC, best_RC)
        a_best, b_best = np.where(better, a, a_best), np.where(better, b, b_best)
    rows, which_R = np.arange(len(error_RP)), best_RC.argmin(axis=1)
    c_R = EXPONENTS[which_R]
    return np.stack([a_best[rows, which_R], b_best[rows, which_R] * n_P.min() ** c_R, c_R], axis=1)


def accuracy_at(law: Sequence[float] | np.ndarray, n: float) -> float:
    """What the law says of ``n`` clips, between 0 and 1."""
    a, b, c = law
    return float(np.clip(1 - a - b * n**-c, 0.0, 1.0))


def learning_curve(
    n_P: Sequence[float], accuracy_FP: np.ndarray, at: Sequence[float], *, seed: int = 0, level: float = LEVEL
) -> dict[str, Any]:
    """The mean over folds at each size with its interval, the law through them, and what it says at the sizes ``at``.

    Intervals resample whole folds: held-out signers, where a fold is one. With fewer than three folds there are none.
    """
    accuracy_FP = np.asarray(accuracy_FP, float)
    if accuracy_FP.ndim != 2 or accuracy_FP.shape[1] != len(n_P):
        raise InputError(f"a learning curve needs accuracies (folds, {len(n_P)}); got {accuracy_FP.shape}")
    sizes = np.asarray(n_P, float)
    law = fit_power_law(sizes, 1 - accuracy_FP.mean(axis=0))
    points = []
    for n, accuracy_F in zip(sizes, accuracy_FP.T):
        low, high = mean_interval(accuracy_F, seed=seed) if len(accuracy_F) > 2 else (None, None)
        points.append({"n": float(n), "value": float(accuracy_F.mean()), "low": low, "high": high})
    laws: Any = ()
    if len(accuracy_FP) > 2:
        rows_RF = np.random.default_rng(seed).integers(len(accuracy_FP), size=(RESAMPLES, len(accuracy_FP)))
        laws = fit_power_laws(sizes, 1 - accuracy_FP[rows_RF].mean(axis=1))
    ahead = []
    for n in at:
        spread = (
            np.quantile([accuracy_at(one, n) for one in laws], [(1 - level) / 2, (1 + level) / 2])
            if len(laws)
            else None
        )
        ahead.append(
            {
                "n": float(n),
                "value": accuracy_at(law, n),
                "low": None if spread is None else float(spread[0]),
                "high": None if spread is None else float(spread[1]),
            }
        )
    a, b, c = law
    return {"points": points, "law": {"a": a, "b": b, "c": c}, "ahead": ahead, "n_folds": len(accuracy_FP)}
