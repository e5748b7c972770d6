"""How well a recogniser did: plain functions on arrays of scores, and the results that reports are made from.

Shapes: N clips, K classes, B bootstrap resamples. ``scores_NK`` is anything that ranks classes (logits,
log-probabilities, probabilities); ``logits_NK`` is logits or log-probabilities (softmax gives the probabilities of
either); ``p_NK`` is probabilities. ``y_N`` holds class indices.

Conventions, the same in every function here:

- Ties rank by class index, as ``argmax`` does, so top-1 is always the share of clips whose prediction is right.
- "Per class" is the mean over the classes that occur among the true labels; absent classes have no accuracy.
- A class that is never predicted has no precision; its F1 is 0 when it has clips.
- An interval is a 95 % percentile bootstrap. Where every clip is right, or every clip wrong, resampling shows no
  spread; the exact binomial (Clopper-Pearson) bound over the clips stands in.
- F1 of few clips falls when clips are drawn twice (repeated mistakes), so macro F1's interval is moved by the
  difference between its value and the mean over resamples.
- Numbers that do not exist are ``None`` in results, never NaN.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from signloom.errors import InputError

TOP_KS = (1, 5, 10)
LEVEL = 0.95
RESAMPLES = 2000
N_BINS = 10
DENSE_CONFUSION_CLASSES = 200
_BLOCK_ELEMENTS = 4_000_000  # bounds the temporary arrays to a few tens of MB


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
    for rows in _row_blocks(scores_NK):
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
    return float(-_true_log_probability(logits_NK, y_N).mean())


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
    return _ece(bins)


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
        for rows in _row_blocks(logits_NK):
            log_p = log_softmax(np.asarray(logits_NK[rows], dtype=np.float64) * beta)
            own = np.take_along_axis(log_p, y_N[rows][:, None], axis=1)[:, 0]
            total -= float(((1 - share) * own + share * log_p.mean(axis=1)).sum())
        return total / len(y_N)

    # The loss is convex in 1/T, so it has one minimum in log T too.
    best = minimize_scalar(loss, bounds=(math.log(low), math.log(high)), method="bounded", options={"xatol": 1e-5})
    return float(math.exp(best.x))


# Intervals ------------------------------------------------------------------------------------------------------------


def bootstrap_weights(
    n: int, resamples: int = RESAMPLES, seed: int = 0, groups_N: np.ndarray | None = None
) -> Iterator[np.ndarray]:
    """Blocks (b, N) float32 of how often each of ``n`` clips was drawn, ``resamples`` rows in all.

    With ``groups_N`` (group index of every clip) whole groups are drawn, as many as there are: a cluster bootstrap,
    which answers "how would other signers do" instead of "how would other clips of these signers do".
    """
    rng = np.random.default_rng(seed)
    units = n if groups_N is None else int(np.max(groups_N)) + 1
    block = max(1, min(resamples, _BLOCK_ELEMENTS // max(n, units)))
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = rng.integers(0, units, size=(rows, units)) + np.arange(rows)[:, None] * units
        weights = np.bincount(drawn.ravel(), minlength=rows * units).reshape(rows, units).astype(np.float32)
        yield weights if groups_N is None else weights[:, groups_N]


def percentile_interval(values_B: np.ndarray, level: float = LEVEL) -> tuple[float | None, float | None]:
    """The central ``level`` of bootstrap values; resamples without a value (NaN) are left out. None if all are."""
    values_B = np.asarray(values_B, dtype=np.float64)
    values_B = values_B[np.isfinite(values_B)]
    if not len(values_B):
        return None, None
    low, high = np.quantile(values_B, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def proportion_interval(
    hits: int, n: int, rng: np.random.Generator, resamples: int = RESAMPLES, level: float = LEVEL
) -> tuple[float, float]:
    """Interval of hits/n: the percentile bootstrap over clips; the exact bound when all or none are hits."""
    if hits in (0, n):
        return _exact_bound(hits, n, level)
    # Drawing n clips with replacement and counting the hits is one binomial draw.
    low, high = percentile_interval(rng.binomial(n, hits / n, size=resamples) / n, level)
    assert low is not None
    assert high is not None
    return low, high


def bootstrap_metrics(
    rank_N: np.ndarray,
    y_N: np.ndarray,
    predicted_N: np.ndarray,
    ks: Sequence[int] = TOP_KS,
    *,
    groups_N: np.ndarray | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> dict[str, dict[str, float | None]]:
    """``top{k}``, ``top{k}_per_class`` and ``macro_f1``, each ``{"value", "low", "high"}``, from one set of resamples.

    ``rank_N`` as :func:`true_rank` gives it. A class that a resample misses is left out of that resample's means.
    With ``groups_N`` of a single group there is no interval: ``low`` and ``high`` are None.
    """
    order = np.argsort(y_N, kind="stable")  # sums per true class become sums over neighbours
    rank_N, y_N, predicted_N = rank_N[order], y_N[order], predicted_N[order]
    groups_N = None if groups_N is None else groups_N[order]
    one_group = groups_N is not None and len(np.unique(groups_N)) < 2

    classes_P, starts_P = np.unique(y_N, return_index=True)
    place_N = np.searchsorted(classes_P, predicted_N)
    known_N = classes_P[np.minimum(place_N, len(classes_P) - 1)] == predicted_N
    by_predicted = np.flatnonzero(known_N)[np.argsort(place_N[known_N], kind="stable")]
    columns_Q, starts_Q = np.unique(place_N[by_predicted], return_index=True)
    hits = {k: (rank_N < k).astype(np.float32) for k in ks}
    hits_1 = hits.get(1, (rank_N < 1).astype(np.float32))

    def measure(w_BN: np.ndarray) -> dict[str, np.ndarray]:
        n_BP = np.add.reduceat(w_BN, starts_P, axis=1).astype(np.float64)
        there_BP = n_BP > 0
        n_there_B = there_BP.sum(axis=1)
        safe_BP = np.where(there_BP, n_BP, 1.0)
        found: dict[str, np.ndarray] = {}
        for k in ks:
            hits_BP = np.add.reduceat(w_BN * hits[k], starts_P, axis=1).astype(np.float64)
            found[f"top{k}"] = hits_BP.sum(axis=1) / n_BP.sum(axis=1)
            found[f"top{k}_per_class"] = (hits_BP / safe_BP).sum(axis=1) / n_there_B
        predicted_BP = np.zeros_like(n_BP)
        if len(by_predicted):
            predicted_BP[:, columns_Q] = np.add.reduceat(w_BN[:, by_predicted], starts_Q, axis=1)
        right_BP = np.add.reduceat(w_BN * hits_1, starts_P, axis=1)
        f1_BP = np.where(there_BP, 2 * right_BP / (safe_BP + predicted_BP), 0.0)
        found["macro_f1"] = f1_BP.sum(axis=1) / n_there_B
        return found

    values = {name: float(v[0]) for name, v in measure(np.ones((1, len(y_N)), np.float32)).items()}
    draws: dict[str, list[np.ndarray]] = {name: [] for name in values}
    if not one_group:
        for w_BN in bootstrap_weights(len(y_N), resamples, seed, groups_N):
            for name, drawn in measure(w_BN).items():
                draws[name].append(drawn)
    results: dict[str, dict[str, float | None]] = {}
    for name, value in values.items():
        low, high = None, None
        if draws[name]:
            drawn_B = np.concatenate(draws[name])
            if name == "macro_f1":
                drawn_B = np.clip(drawn_B + (value - drawn_B.mean()), 0.0, 1.0)
            low, high = percentile_interval(drawn_B, level)
        if value in (0.0, 1.0) and not one_group:
            low, high = _exact_bound(int(value) * len(y_N), len(y_N), level)
        results[name] = {"value": value, "low": low, "high": high}
    return results


# Results --------------------------------------------------------------------------------------------------------------


def evaluate_scores(
    logits_NK: np.ndarray,
    y_N: np.ndarray,
    labels: Sequence[str],
    signers: Sequence[str | None] | None = None,
    ids: Sequence[str] | None = None,
    *,
    seed: int = 0,
    resample_by: str = "clip",
    resamples: int = RESAMPLES,
    ks: Sequence[int] = TOP_KS,
) -> dict[str, Any]:
    """Everything a report says about a set of predictions, as plain Python values ready for JSON.

    ``logits_NK`` are logits or log-probabilities, already divided by the temperature where there is one. The dict has
    ``labels``, ``metrics`` (``top{k}`` for every k <= K, ``top{k}_per_class``, ``macro_f1``, ``ece``, ``nll``,
    ``n_clips``, ``n_classes``, ``chance`` = 1/K, ``majority`` = share of the commonest class), ``interval`` (how the
    intervals were made), ``per_signer``, ``per_class``, ``confusion``, ``calibration`` and ``clips`` (one row per
    clip with ``predicted``, ``confidence`` and the five best classes).

    ``confusion`` is a list of rows up to 200 classes; above that ``{"format": "sparse", "rows", "columns",
    "counts"}`` with the cells that are not zero. ``resample_by`` is ``clip``, or ``signer`` for a cluster bootstrap.
    The order of the clips does not change the numbers.

    Raises InputError where lengths differ, labels repeat, or scores are not finite.
    """
    logits_NK, y_N = check_scores(logits_NK, y_N)
    n, n_classes = logits_NK.shape
    names = [str(i) for i in ids] if ids is not None else [f"clip-{i}" for i in range(n)]
    named = list(signers) if signers is not None else [None] * n
    if len(labels) != n_classes or len(set(labels)) != n_classes:
        raise InputError(f"metrics: {n_classes} scores per clip need as many different labels; got {len(set(labels))}")
    if len(names) != n or len(named) != n:
        raise InputError(f"metrics: {n} clips, but {len(names)} ids and {len(named)} signers")
    if resample_by not in ("clip", "signer"):
        raise InputError(f"metrics: resample_by is 'clip' or 'signer'; got {resample_by!r}")
    # A fixed order makes the seeded resamples, and so the intervals, independent of how the clips came.
    order = np.array(sorted(range(n), key=lambda i: names[i]))
    logits_NK, y_N = logits_NK[order], y_N[order]
    names, named = [names[i] for i in order], [named[i] for i in order]

    n_top = min(5, n_classes)
    rank_N = true_rank(logits_NK, y_N)
    top_N5 = np.empty((n, n_top), dtype=np.int64)
    p_N5 = np.empty((n, n_top))
    log_p_N = np.empty(n)
    for rows in _row_blocks(logits_NK):
        log_p = log_softmax(logits_NK[rows])
        # Order comes from the scores as given: rounding in the softmax must not break or make a tie.
        best = _best_classes(logits_NK[rows], n_top)
        top_N5[rows], p_N5[rows] = best, np.exp(np.take_along_axis(log_p, best, axis=1))
        log_p_N[rows] = np.take_along_axis(log_p, y_N[rows][:, None], axis=1)[:, 0]
    predicted_N, confidence_N = top_N5[:, 0], np.minimum(p_N5[:, 0], 1.0)
    correct_N = predicted_N == y_N

    groups_N = None
    if resample_by == "signer":
        if any(s is None for s in named):
            raise InputError("metrics: resampling by signer needs the signer of every clip; some have none")
        groups_N = np.unique(np.array(named, dtype=str), return_inverse=True)[1]
    ks = [k for k in ks if k <= n_classes]
    metrics: dict[str, Any] = dict(
        bootstrap_metrics(rank_N, y_N, predicted_N, ks, groups_N=groups_N, resamples=resamples, seed=seed)
    )
    bins = reliability_bins(confidence_N, correct_N)
    metrics |= {
        "ece": _ece(bins),
        "nll": _number(-log_p_N.mean()),
        "n_clips": n,
        "n_classes": n_classes,
        "chance": 1.0 / n_classes,
        "majority": float(np.bincount(y_N).max() / n),
    }
    return {
        "labels": [str(label) for label in labels],
        "metrics": metrics,
        "interval": {
            "method": "percentile bootstrap",
            "level": LEVEL,
            "resamples": resamples,
            "resampled": resample_by,
            "seed": seed,
        },
        "per_signer": per_signer_table(y_N, predicted_N, named, seed=seed, resamples=resamples),
        "per_class": per_class_table(rank_N, y_N, predicted_N, labels),
        "confusion": _confusion_json(y_N, predicted_N, n_classes),
        "calibration": bins,
        "clips": [
            {
                "id": names[i],
                "label": str(labels[y_N[i]]),
                "signer": named[i],
                "predicted": str(labels[predicted_N[i]]),
                "confidence": float(confidence_N[i]),
                "top": [[str(labels[c]), float(p)] for c, p in zip(top_N5[i], p_N5[i])],
            }
            for i in range(n)
        ],
    }


def per_signer_table(
    y_N: np.ndarray,
    predicted_N: np.ndarray,
    signers: Sequence[str | None],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> list[dict[str, Any]]:
    """One row per signer, sorted by name, clips without one last (``signer`` None); empty when no clip has a signer.

    Rows: ``signer``, ``n_clips``, ``top1`` (``value``, ``low``, ``high``: resampled over that signer's clips) and
    ``macro_f1``.
    """
    members: dict[str | None, list[int]] = {}
    for i, signer in enumerate(signers):
        members.setdefault(signer, []).append(i)
    if set(members) <= {None}:
        return []
    rng = np.random.default_rng(seed)
    table = []
    for signer in sorted(members, key=lambda s: (s is None, s or "")):
        rows = np.array(members[signer])
        hits, n = int((predicted_N[rows] == y_N[rows]).sum()), len(rows)
        low, high = proportion_interval(hits, n, rng, resamples)
        table.append(
            {
                "signer": signer,
                "n_clips": n,
                "top1": {"value": hits / n, "low": low, "high": high},
                "macro_f1": macro_f1(y_N[rows], predicted_N[rows]),
            }
        )
    return table


def per_class_table(
    rank_N: np.ndarray, y_N: np.ndarray, predicted_N: np.ndarray, labels: Sequence[str]
) -> list[dict[str, Any]]:
    """One row per class in the order of ``labels``; what is undefined is None.

    Rows: ``label``, ``n_clips``, ``n_predicted``, ``top1`` (which is its recall), ``top5`` (when K >= 5),
    ``precision``, ``f1``.
    """
    n_classes = len(labels)
    precision_K, recall_K, f1_K = precision_recall_f1(y_N, predicted_N, n_classes)
    true_K = np.bincount(y_N, minlength=n_classes)
    predicted_K = np.bincount(predicted_N, minlength=n_classes)
    top5_K = np.bincount(y_N[rank_N < 5], minlength=n_classes)
    table = []
    for c, label in enumerate(labels):
        row = {
            "label": str(label),
            "n_clips": int(true_K[c]),
            "n_predicted": int(predicted_K[c]),
            "top1": _number(recall_K[c]),
        }
        if n_classes >= 5:
            row["top5"] = float(top5_K[c] / true_K[c]) if true_K[c] else None
        table.append(row | {"precision": _number(precision_K[c]), "f1": _number(f1_K[c])})
    return table


def aggregate_runs(
    rows: Sequence[Mapping[str, Any]], *, seed: int = 0, resamples: int = RESAMPLES, level: float = LEVEL
) -> dict[str, Any]:
    """Cross-validation in figures, from one row per fold and seed.

    A row has ``held_out`` (the fold), ``seed``, ``top1`` and optionally ``macro_f1`` (numbers or ``{"value": …}``)
    and ``n_clips``. Every fold weighs the same, whatever its number of clips. A row whose ``top1`` is None is listed
    in ``missing`` and left out.

    The result has ``top1`` and ``macro_f1`` (``value``: mean over folds of their mean over seeds; ``low``/``high``:
    percentile bootstrap of that mean over folds, so with one signer per fold, over signers), ``worst`` and ``best``
    fold (mean over its seeds), ``worst_run``, ``per_fold``, ``per_seed``, ``seed_spread`` (standard deviation of the
    per-seed means; None for one seed), ``method`` in words. With fewer than two folds, or folds without any spread,
    there is no interval.

    Raises InputError when no row has a ``top1``.
    """
    good = [r for r in rows if _value(r.get("top1")) is not None]
    if not good:
        raise InputError(f"metrics: none of the {len(rows)} runs has a top1; nothing to aggregate")
    folds = list(dict.fromkeys(str(r.get("held_out")) for r in good))
    seeds = list(dict.fromkeys(r.get("seed") for r in good))

    def of_fold(name: str, fold: str) -> list[float]:
        found = [_value(r.get(name)) for r in good if str(r.get("held_out")) == fold]
        return [v for v in found if v is not None]

    def mean_with_interval(name: str) -> dict[str, Any] | None:
        per_fold = [of_fold(name, fold) for fold in folds]
        means_F = np.array([np.mean(v) for v in per_fold if v])
        if not len(means_F):
            return None
        low: float | None = None
        high: float | None = None
        if len(means_F) > 1 and np.ptp(means_F) > 0:
            drawn_BF = np.random.default_rng(seed).integers(0, len(means_F), size=(resamples, len(means_F)))
            low, high = percentile_interval(means_F[drawn_BF].mean(axis=1), level)
        return {"value": float(means_F.mean()), "low": low, "high": high}

    per_fold: list[dict[str, Any]] = []
    for fold in folds:
        tops = of_fold("top1", fold)
        row = {"held_out": fold, "top1": float(np.mean(tops)), "low": min(tops), "high": max(tops), "n_runs": len(tops)}
        n_clips = [r["n_clips"] for r in good if str(r.get("held_out")) == fold and r.get("n_clips") is not None]
        per_fold.append(row | ({"n_clips": int(n_clips[0])} if n_clips else {}))
    per_seed: list[dict[str, Any]] = []
    for s in seeds:
        tops = [v for r in good if r.get("seed") == s and (v := _value(r.get("top1"))) is not None]
        per_seed.append({"seed": s, "top1": float(np.mean(tops))})
    worst_run = min(good, key=lambda r: _value(r.get("top1")) or 0.0)
    return {
        "n_runs": len(good),
        "n_folds": len(folds),
        "n_seeds": len(seeds),
        "top1": mean_with_interval("top1"),
        "macro_f1": mean_with_interval("macro_f1"),
        "worst": {k: v for k, v in min(per_fold, key=lambda f: f["top1"]).items() if k in ("held_out", "top1")},
        "best": {k: v for k, v in max(per_fold, key=lambda f: f["top1"]).items() if k in ("held_out", "top1")},
        "worst_run": {
            "held_out": str(worst_run.get("held_out")),
            "seed": worst_run.get("seed"),
            "top1": _value(worst_run.get("top1")),
        },
        "per_fold": per_fold,
        "per_seed": per_seed,
        "seed_spread": float(np.std([s["top1"] for s in per_seed], ddof=1)) if len(per_seed) > 1 else None,
        "missing": [str(r.get("name", r.get("held_out"))) for r in rows if _value(r.get("top1")) is None],
        "method": (
            f"mean over {len(folds)} folds of each fold's mean over its seeds; {level:.0%} interval: percentile "
            f"bootstrap over folds, {resamples} resamples; spread over seeds: standard deviation of the per-seed means"
        ),
    }


# Small parts ----------------------------------------------------------------------------------------------------------


def _row_blocks(scores_NK: np.ndarray) -> Iterator[slice]:
    rows = max(1, _BLOCK_ELEMENTS // scores_NK.shape[1])
    return (slice(start, start + rows) for start in range(0, len(scores_NK), rows))


def _best_classes(scores_NK: np.ndarray, n_top: int) -> np.ndarray:
    """The ``n_top`` best classes of each row, best first, ties by class index; far quicker than sorting 2,000."""
    rest_NK = np.maximum(scores_NK.astype(np.float64), np.finfo(np.float64).min)  # -inf is kept for those taken
    best = np.empty((len(rest_NK), n_top), dtype=np.int64)
    for i in range(n_top):
        best[:, i] = rest_NK.argmax(axis=1)
        np.put_along_axis(rest_NK, best[:, i : i + 1], -np.inf, axis=1)
    return best


def _true_log_probability(logits_NK: np.ndarray, y_N: np.ndarray) -> np.ndarray:
    return np.concatenate(
        [
            np.take_along_axis(log_softmax(logits_NK[rows]), y_N[rows][:, None], axis=1)[:, 0]
            for rows in _row_blocks(logits_NK)
        ]
    )


def _ece(bins: Sequence[Mapping[str, Any]]) -> float:
    total = sum(b["n"] for b in bins)
    return float(sum(b["n"] * abs(b["confidence"] - b["accuracy"]) for b in bins if b["n"]) / total)


def _exact_bound(hits: int, n: int, level: float) -> tuple[float, float]:
    """Clopper-Pearson limits for no hits or all hits, where they have a closed form."""
    edge = ((1 - level) / 2) ** (1 / n)
    return (edge, 1.0) if hits else (0.0, 1.0 - edge)


def _confusion_json(y_N: np.ndarray, predicted_N: np.ndarray, n_classes: int) -> list[list[int]] | dict[str, Any]:
    if n_classes <= DENSE_CONFUSION_CLASSES:
        return confusion_matrix(y_N, predicted_N, n_classes).tolist()
    cells, counts = np.unique(y_N * n_classes + predicted_N, return_counts=True)
    return {
        "format": "sparse",
        "rows": (cells // n_classes).tolist(),
        "columns": (cells % n_classes).tolist(),
        "counts": counts.tolist(),
    }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _value(entry: Any) -> float | None:
    """The number in ``entry``, which is a number, ``{"value": number}`` or None."""
    if isinstance(entry, Mapping):
        entry = entry.get("value")
    return None if entry is None or not math.isfinite(entry) else float(entry)
