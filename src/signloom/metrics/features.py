"""How near generated features come to the true ones, beside those of other clips."""

from __future__ import annotations

from typing import Any

import numpy as np

from signloom.errors import InputError
from signloom.metrics.intervals import share_interval


def feature_match(
    own_NF: np.ndarray, true_NF: np.ndarray, groups_N: np.ndarray | None = None, *, seed: int = 0
) -> dict[str, Any]:
    """Cosine and R² of ``own_NF`` to ``true_NF``, and the same with the true ones of other clips (``shuffled``).

    Features are taken about the mean of the true ones, so that what all clips share counts for nothing: the cosine of a
    clip is of what it has of its own, and R² is 1 - the squared error over the squared deviation of the true ones.
    The shuffled control is the mean over all other clips; ``difference`` is the clip's cosine less that, with its
    interval over clips, or over the groups of them that ``groups_N`` (N,) tells.
    """
    if own_NF.shape != true_NF.shape or len(own_NF) < 2:
        raise InputError(
            f"features to compare: got {own_NF.shape} and {true_NF.shape}, expected the same, of 2 or more"
        )
    own, true = (x.astype(np.float64) - true_NF.mean(0, dtype=np.float64) for x in (own_NF, true_NF))
    unit = [x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12) for x in (own, true)]
    cosines_NN = unit[0] @ unit[1].T
    right_N = np.diag(cosines_NN)
    others_N = (cosines_NN.sum(1) - right_N) / (len(own) - 1)
    spread = float(np.square(true).sum())
    error = float(np.square(own - true).sum())
    # Of all pairs of different clips: the sum over both, less the pairs that belong together.
    n = len(own)
    apart = n * (np.square(own).sum() + np.square(true).sum()) - 2 * float(own.sum(0) @ true.sum(0)) - error
    return {
        "n_clips": n,
        "cosine": float(right_N.mean()),
        "cosine_shuffled": float(others_N.mean()),
        "difference": share_interval(right_N - others_N, groups_N, seed=seed),
        "r2": 1 - error / spread if spread else float("nan"),
        "r2_shuffled": 1 - float(apart) / (n - 1) / spread if spread else float("nan"),
    }
