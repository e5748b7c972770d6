"""How well a recogniser did: plain functions on arrays of scores.

Shapes: N clips, K classes. ``scores_NK`` is anything that ranks classes (logits, log-probabilities, probabilities);
``logits_NK`` is logits or log-probabilities (softmax gives the probabilities of either); ``p_NK`` is probabilities.
``y_N`` holds class indices. Tables of 50,000 × 2,000 scores are gone through in blocks of rows.

Conventions, the same in every function here:

- Ties rank by class index, as ``argmax`` does, so top-1 is always the share of clips whose prediction is right.
- "Per class" is the mean over the classes that occur among the true labels; absent classes have no accuracy.
- A class that is never predicted has no precision; its F1 is 0 when it has clips.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from signloom.errors import InputError

N_BINS = 10
BLOCK_ELEMENTS = 1_000_000  # bounds the temporary arrays to a few tens of MB


# Scores ---------------------------------------------------------------------------------------------------------------


def log_softmax(logits_NK: np.ndarray) -> np.ndarray:
    """Log-probabilities (N, K), float64, from logits or log-probabilities (N, K)."""
    shifted_NK = np.asarray(logits_NK, dtype=np.float64)
    shifted_NK = shifted_NK - shifted_NK.max(axis=1, keepdims=True)
    return shifted_NK - np.log(np.exp(shifted_NK).sum(axis=1, keepdims=True))


def softmax(logits_NK: np.ndarray) -> np.ndarray:
    """Probabilities (N, K), float64, from logits or log-probabilities (N, K)."""
    return np.exp(log_softmax(logits_NK))


def check_scores(scores_NK: np.ndarray, y_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays, after checking that they fit; ``y_N`` becomes int64.

    Raises InputError for wrong shapes, no clips, labels outside 0…K-1, and scores that are NaN or +infinity.
    """
    scores_NK, y_N = np.asarray(scores_NK), np.asarray(y_N)
    if scores_NK.ndim != 2 or y_N.ndim != 1 or len(scores_NK) != len(y_N):
        raise InputError(f"metrics: want scores (N, K) and labels (N,); got {scores_NK.shape} and {y_N.shape}")
    if scores_NK.size == 0:
        raise InputError(f"metrics: nothing to measure, scores have shape {scores_NK.shape}")
    if not np.issubdtype(y_N.dtype, np.integer):
        raise InputError(f"metrics: labels must be class indices (integers); got {y_N.dtype}")
    if y_N.min() < 0 or y_N.max() >= scores_NK.shape[1]:
        raise InputError(
            f"metrics: labels run from {y_N.min()} to {y_N.max()}; with {scores_NK.shape[1]} classes they must be "
            f"0 to {scores_NK.shape[1] - 1}"
        )
    top_N = scores_NK.max(axis=1)  # NaN and +inf both show in the maximum; -inf marks an impossible class and is fine
    if not np.isfinite(top_N).all():
        raise InputError(
            f"metrics: the scores of {int((~np.isfinite(top_N)).sum())} clips are not finite, first in row "
            f"{int(np.flatnonzero(~np.isfinite(top_N))[0])}; the model diverged or its input was broken"
        )
    return scores_NK, y_N.astype(np.int64)


def true_rank(scores_NK: np.ndarray, y_N: np.ndarray) -> np.ndarray:
    """How many classes are ranked before the true one, (N,) int64: 0 = recognised. Ties rank by class index."""
    scores_NK, y_N = check_scores(scores_NK, y_N)
    rank_N = np.empty(len(y_N), dtype=np.int64)
    index_K = np.arange(scores_NK.shape[1])
    for rows in row_blocks(scores_NK):
        block, y = scores_NK[rows], y_N[rows]
        own = np.take_along_axis(block, y[:, None], axis=1)
        rank_N[rows] = (block > own).sum(axis=1) + ((block == own) & (index_K < y[:, None])).sum(axis=1)
    return rank_N


def top_k_accuracy(scores_NK: np.ndarray, y_N: np.ndarray, k: int = 1) -> float | None:
    """Share of clips whose true class is among the ``k`` best scored; None when k > K."""
    if k > np.shape(scores_NK)[1]:
        return None
    return float((true_rank(scores_NK, y_N) < k).mean())


def top_k_accuracy_per_class(scores_NK: np.ndarray, y_N: np.ndarray, k: int = 1) -> float | None:
    """Mean over the classes that occur in ``y_N`` of their top-k accuracy; None when k > K."""
    if k > np.shape(scores_NK)[1]:
        return None
    hits_N = true_rank(scores_NK, y_N) < k
    n_P = np.bincount(y_N)
    hits_P = np.bincount(y_N, weights=hits_N)
    return float((hits_P[n_P > 0] / n_P[n_P > 0]).mean())


def confusion_matrix(y_N: np.ndarray, predicted_N: np.ndarray, n_classes: int) -> np.ndarray:
    """Counts (K, K) int64: row = true class, column = predicted class."""
    flat = np.asarray(y_N, dtype=np.int64) * n_classes + np.asarray(predicted_N, dtype=np.int64)
    return np.bincount(flat, minlength=n_classes * n_classes).reshape(n_classes, n_classes)


def precision_recall_f1(
    y_N: np.ndarray, predicted_N: np.ndarray, n_classes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision, recall and F1 of every class, each (K,) float64.

    NaN where undefined: precision of a class never predicted, recall and F1 of a class without clips.
    """
    y_N, predicted_N = np.asarray(y_N), np.asarray(predicted_N)
    true_K = np.bincount(y_N, minlength=n_classes)
    predicted_K = np.bincount(predicted_N, minlength=n_classes)
    hits_K = np.bincount(y_N[y_N == predicted_N], minlength=n_classes)
    with np.errstate(invalid="ignore", divide="ignore"):
        f1_K = np.where(true_K > 0, 2 * hits_K / (true_K + predicted_K), np.nan)
        return (
            hits_K / np.where(predicted_K > 0, predicted_K, np.nan),
            hits_K / np.where(true_K > 0, true_K, np.nan),
            f1_K,
        )


def macro_f1(y_N: np.ndarray, predicted_N: np.ndarray) -> float:
    """Mean F1 over the classes that occur in ``y_N``.

    A class that is only ever predicted has no F1 of its own: its clips already count against the classes they belong
    to. So a signer who signed a part of the lexicon is not marked down for the rest.
    """
    n_classes = int(max(np.max(y_N), np.max(predicted_N))) + 1
    return float(np.nanmean(precision_recall_f1(y_N, predicted_N, n_classes)[2]))


# Calibration ----------------------------------------------------------------------------------------------------------


def negative_log_likelihood(logits_NK: np.ndarray, y_N: np.ndarray) -> float:
    """Mean of -log p(true class), in nats; infinite when a true class has probability 0."""
    logits_NK, y_N = check_scores(logits_NK, y_N)
    return float(-true_log_probability(logits_NK, y_N).mean())


def reliability_bins(confidence_N: np.ndarray, correct_N: np.ndarray, n_bins: int = N_BINS) -> list[dict[str, Any]]:
    """Confidence against accuracy in bins of equal width, each closed at its upper end.

    ``confidence_N`` is the probability of the predicted class. A bin is a dict: ``low``, ``high``, ``n``, and mean
    ``confidence`` and ``accuracy`` (None where it is empty).
    """
    confidence_N = np.asarray(confidence_N, dtype=np.float64)
    edges = np.arange(n_bins + 1) / n_bins
    bin_N = np.clip(np.searchsorted(edges, confidence_N, side="left") - 1, 0, n_bins - 1)
    n = np.bincount(bin_N, minlength=n_bins)
    confidence = np.bincount(bin_N, weights=confidence_N, minlength=n_bins)
    accuracy = np.bincount(bin_N, weights=np.asarray(correct_N, dtype=np.float64), minlength=n_bins)
    return [
        {
            "low": float(edges[i]),
            "high": float(edges[i + 1]),
            "confidence": float(confidence[i] / n[i]) if n[i] else None,
            "accuracy": float(accuracy[i] / n[i]) if n[i] else None,
            "n": int(n[i]),
        }
        for i in range(n_bins)
    ]


def expected_calibration_error(p_NK: np.ndarray, y_N: np.ndarray, n_bins: int = N_BINS) -> float:
    """Mean distance between confidence and accuracy, over bins of the top probability (Guo et al. 2017, eq. 3)."""
    p_NK, y_N = check_scores(p_NK, y_N)
    bins = reliability_bins(p_NK.max(axis=1), p_NK.argmax(axis=1) == y_N, n_bins)
    return error_of_bins(bins)


def fit_temperature(logits_NK: np.ndarray, y_N: np.ndarray, low: float = 0.05, high: float = 20.0) -> float:
    """The temperature T, from ``low`` to ``high``, for which softmax(logits / T) fits best; fit it on validation clips.

    Minimises the negative log likelihood (Guo et al. 2017, §4.2) with targets of 1 - 1/(N+1) on the true class and the
    rest spread evenly over all classes, after Platt (1999): all in all, one imagined clip of unknown sign. Without it
    a validation split on which every clip is recognised would ask for T = 0, that is, for certainty.
    """
    from scipy.optimize import minimize_scalar

    logits_NK, y_N = check_scores(logits_NK, y_N)
    if np.isneginf(logits_NK).any():
        raise InputError("metrics: a temperature needs finite logits; some are -infinity")
    share = 1.0 / (len(y_N) + 1)

    def loss(log_t: float) -> float:
        beta, total = math.exp(-log_t), 0.0
        for rows in row_blocks(logits_NK):
            log_p = log_softmax(np.asarray(logits_NK[rows], dtype=np.float64) * beta)
            own = np.take_along_axis(log_p, y_N[rows][:, None], axis=1)[:, 0]
            total -= float(((1 - share) * own + share * log_p.mean(axis=1)).sum())
        return total / len(y_N)

    # The loss is convex in 1/T, so it has one minimum in log T too.
    best = minimize_scalar(loss, bounds=(math.log(low), math.log(high)), method="bounded", options={"xatol": 1e-5})
    return float(math.exp(best.x))


# Known and unknown ----------------------------------------------------------------------------------------------------


def auroc(known_N: np.ndarray, unknown_M: np.ndarray) -> float | None:
    """How likely an unknown clip scores higher than a known one (ties count half); None where there are none of one.

    The area under the receiver operating characteristic, by ranks (Hanley & McNeil 1982).
    """
    from scipy.stats import rankdata

    n, m = len(known_N), len(unknown_M)
    if not n or not m:
        return None
    ranks = rankdata(np.concatenate([known_N, unknown_M]))
    return float((ranks[n:].sum() - m * (m + 1) / 2) / (n * m))


# Small parts ----------------------------------------------------------------------------------------------------------


def row_blocks(scores_NK: np.ndarray) -> Iterator[slice]:
    """Slices of rows, so many at a time that temporary arrays of their scores stay small."""
    rows = max(1, BLOCK_ELEMENTS // max(scores_NK.shape[1], 1))
    return (slice(start, start + rows) for start in range(0, len(scores_NK), rows))


def best_classes(scores_NK: np.ndarray, n_top: int) -> np.ndarray:
    """The ``n_top`` best classes of each row, best first, ties by class index; far quicker than sorting 2,000."""
    rest_NK = np.maximum(scores_NK.astype(np.float64), np.finfo(np.float64).min)  # -inf is kept for those taken
    best = np.empty((len(rest_NK), n_top), dtype=np.int64)
    for i in range(n_top):
        best[:, i] = rest_NK.argmax(axis=1)
        np.put_along_axis(rest_NK, best[:, i : i + 1], -np.inf, axis=1)
    return best


def true_log_probability(logits_NK: np.ndarray, y_N: np.ndarray) -> np.ndarray:
    """Log-probability of each clip's true class, (N,) float64."""
    return np.concatenate(
        [
            np.take_along_axis(log_softmax(logits_NK[rows]), y_N[rows][:, None], axis=1)[:, 0]
            for rows in row_blocks(logits_NK)
        ]
    )


def error_of_bins(bins: Sequence[Mapping[str, Any]]) -> float:
    """The calibration error that :func:`reliability_bins` show."""
    total = sum(b["n"] for b in bins)
    return float(sum(b["n"] * abs(b["confidence"] - b["accuracy"]) for b in bins if b["n"]) / total)
