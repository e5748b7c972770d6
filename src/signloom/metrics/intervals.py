"""How sure a figure is: bootstrap intervals over clips, or over the signers (or folds) that clips come in.

Shapes: N rows (answers: a clip has one a seed), G groups, B resamples.

Conventions, the same in every function here:

- An interval is a 95 % percentile bootstrap. What is drawn is what was sampled independently: clips, or whole groups
  of them. A clip that was answered several times is one clip.
- Few groups vary less than the world they come from, so where groups are drawn the percentiles are further out
  (Hesterberg 2015, "What Teachers Should Know About the Bootstrap", §3.2: the expanded percentile interval). Fewer than
  five tell too little for any bootstrap: the mean over so few has Student's t interval.
- Where every clip is right, or every clip wrong, resampling shows no spread; the exact binomial (Clopper-Pearson) bound
  over the clips stands in.
- F1 of few clips falls when clips are drawn twice (repeated mistakes), so macro F1's interval is moved by the
  difference between its value and the mean over resamples.
- Numbers that do not exist are ``None``, never NaN.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from signloom.errors import InputError
from signloom.metrics.classification import BLOCK_ELEMENTS

TOP_KS = (1, 5, 10)
LEVEL = 0.95
RESAMPLES = 2000
FEW_GROUPS = 5
"""With fewer groups (signers, folds) than this, drawing groups says nothing."""

Interval = dict[str, float | None]


def bootstrap_weights(
    n: int, resamples: int = RESAMPLES, seed: int = 0, groups_N: np.ndarray | None = None
) -> Iterator[np.ndarray]:
    """Blocks (b, N) float32 of how often each of ``n`` rows was drawn, ``resamples`` rows in all.

    With ``groups_N`` (group index of every row) whole groups are drawn, as many as there are: a cluster bootstrap,
    which answers "how would other signers do" instead of "how would other clips of these signers do".
    """
    rng = np.random.default_rng(seed)
    units = n if groups_N is None else int(np.max(groups_N)) + 1
    block = max(1, min(resamples, BLOCK_ELEMENTS // max(n, units)))
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = rng.integers(0, units, size=(rows, units)) + np.arange(rows)[:, None] * units
        weights = np.bincount(drawn.ravel(), minlength=rows * units).reshape(rows, units).astype(np.float32)
        yield weights if groups_N is None else weights[:, groups_N]


def percentile_interval(
    values_B: np.ndarray, level: float = LEVEL, n_groups: int | None = None
) -> tuple[float | None, float | None]:
    """The central ``level`` of bootstrap values; resamples without a value (NaN) are left out. None if all are.

    ``n_groups``: that many whole groups were drawn, and the interval is expanded for it.
    """
    values_B = np.asarray(values_B, dtype=np.float64)
    values_B = values_B[np.isfinite(values_B)]
    if not len(values_B):
        return None, None
    tail = (1 - level) / 2 if n_groups is None else _expanded_tail(n_groups, level)
    low, high = np.quantile(values_B, [tail, 1 - tail])
    return float(low), float(high)


def _expanded_tail(n_groups: int, level: float) -> float:
    """The share of resamples beyond each end that makes up for the narrowness of ``n_groups`` draws."""
    from scipy.special import ndtr, stdtrit

    if n_groups < 2:
        return 0.0
    return float(ndtr(-math.sqrt(n_groups / (n_groups - 1)) * stdtrit(n_groups - 1, (1 + level) / 2)))


def exact_bound(hits: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Clopper-Pearson limits for no hits or all hits, where they have a closed form."""
    edge = ((1 - level) / 2) ** (1 / n)
    return (edge, 1.0) if hits else (0.0, 1.0 - edge)


def proportion_interval(
    hits: int, n: int, rng: np.random.Generator, resamples: int = RESAMPLES, level: float = LEVEL
) -> tuple[float, float]:
    """Interval of hits/n: the percentile bootstrap over clips; the exact bound when all or none are hits."""
    if hits in (0, n):
        return exact_bound(hits, n, level)
    # Drawing n clips with replacement and counting the hits is one binomial draw.
    low, high = percentile_interval(rng.binomial(n, hits / n, size=resamples) / n, level)
    assert low is not None
    assert high is not None
    return low, high


def mean_interval(
    values_G: np.ndarray,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    within: tuple[float, float] = (0.0, 1.0),
) -> tuple[float | None, float | None]:
    """Interval of the mean over groups (folds, signers), each of which has one value; they lie ``within`` two limits.

    The expanded percentile bootstrap over groups, of fewer than five Student's t interval. None for a single group, and
    where all are alike: no spread says nothing of how large it is.
    """
    values_G = np.asarray(values_G, np.float64)
    n = len(values_G)
    if n < 2 or np.ptp(values_G) == 0:
        return None, None
    if n < FEW_GROUPS:
        from scipy.special import stdtrit

        half = float(stdtrit(n - 1, (1 + level) / 2)) * values_G.std(ddof=1) / math.sqrt(n)
        mean = values_G.mean()
        return float(max(mean - half, within[0])), float(min(mean + half, within[1]))
    drawn_BG = np.random.default_rng(seed).integers(0, n, size=(resamples, n))
    return percentile_interval(values_G[drawn_BG].mean(axis=1), level, n)


def how_over_groups(n_groups: int, resamples: int = RESAMPLES) -> str:
    """In words, how :func:`mean_interval` comes about."""
    if n_groups < FEW_GROUPS:
        return f"Student's t, since {n_groups} are too few to resample"
    return f"percentile bootstrap, expanded for {n_groups}, {resamples} resamples"


def share_interval(
    values_N: np.ndarray,
    groups_N: np.ndarray | None = None,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Interval:
    """The mean of ``values_N`` (hits from 0 to 1, of a clip's seeds averaged) as ``value``, ``low``, ``high``.

    Clips are drawn, or with ``groups_N`` whole groups of them; where all are right, or all wrong, the exact bound.
    """
    values_N = np.asarray(values_N, np.float64)
    value = float(values_N.mean())
    if value in (0.0, 1.0):
        low, high = exact_bound(int(value), len(values_N), level)
        return {"value": value, "low": low, "high": high}
    n_groups = None if groups_N is None else int(groups_N.max()) + 1
    if n_groups is not None and n_groups < 2:
        return {"value": value, "low": None, "high": None}
    drawn = [
        (w @ values_N) / w.sum(axis=1, dtype=np.float64)
        for w in bootstrap_weights(len(values_N), resamples, seed, groups_N)
    ]
    lower, upper = percentile_interval(np.concatenate(drawn), level, n_groups)
    return {"value": value, "low": lower, "high": upper}


def signer_groups(signers: Sequence[str | None]) -> np.ndarray | None:
    """The signer of each clip as a number, (N,), to draw whole signers; None where one is not named or they are few."""
    if any(s is None for s in signers) or len(set(signers)) < FEW_GROUPS:
        return None
    return np.unique(np.array(signers, dtype=str), return_inverse=True)[1]


def bootstrap_metrics(
    rank_N: np.ndarray,
    y_N: np.ndarray,
    predicted_N: np.ndarray,
    ks: Sequence[int] = TOP_KS,
    *,
    groups_N: np.ndarray | None = None,
    weight_N: np.ndarray | None = None,
    expand: bool = True,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> dict[str, Interval]:
    """``top{k}``, ``top{k}_per_class`` and ``macro_f1``, each ``{"value", "low", "high"}``, from one set of resamples.

    ``rank_N`` as :func:`signloom.metrics.classification.true_rank` gives it. A class that a resample misses is left out
    of that resample's means. ``weight_N`` is what each row counts (default 1): a third where a clip was answered
    thrice. ``expand``: the groups of ``groups_N`` are few and stand for many others, such as signers; a single one has
    no interval then, ``low`` and ``high`` are None.
    """
    order = np.argsort(y_N, kind="stable")  # sums per true class become sums over neighbours
    # Counts are exact in float32; parts of a clip are not.
    weight_N = np.ones(len(y_N), np.float32) if weight_N is None else np.asarray(weight_N, np.float64)
    rank_N, y_N, predicted_N, weight_N = rank_N[order], y_N[order], predicted_N[order], weight_N[order]
    groups_N = None if groups_N is None else groups_N[order]
    n_groups = None if groups_N is None else len(np.unique(groups_N))
    one_group = expand and n_groups is not None and n_groups < 2
    measure = _measures(rank_N, y_N, predicted_N, ks)

    values = {name: float(v[0]) for name, v in measure(weight_N[None]).items()}
    draws: dict[str, list[np.ndarray]] = {name: [] for name in values}
    if not one_group:
        for w_BN in bootstrap_weights(len(y_N), resamples, seed, groups_N):
            for name, drawn in measure(w_BN * weight_N).items():
                draws[name].append(drawn)
    n_clips = max(1, round(float(weight_N.sum())))
    results: dict[str, Interval] = {}
    for name, value in values.items():
        low, high = None, None
        if draws[name]:
            drawn_B = np.concatenate(draws[name])
            if name == "macro_f1":
                drawn_B = np.clip(drawn_B + (value - drawn_B.mean()), 0.0, 1.0)
            low, high = percentile_interval(drawn_B, level, n_groups if expand else None)
        if value in (0.0, 1.0) and not one_group:
            low, high = exact_bound(int(value), n_clips, level)
        results[name] = {"value": value, "low": low, "high": high}
    return results


def _measures(rank_N: np.ndarray, y_N: np.ndarray, predicted_N: np.ndarray, ks: Sequence[int]):
    """What takes weights (B, N) of the rows, which are sorted by ``y_N``, to each measure, (B,)."""
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

    return measure


def paired_difference(
    hits_N: np.ndarray,
    other_N: np.ndarray,
    *,
    groups: Sequence[str] | None = None,
    signers: Sequence[str | None] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> dict[str, float | int | None]:
    """How much more often ``hits_N`` is true than ``other_N`` on the same clips: ``value``, ``low``, ``high``.

    The interval is a percentile bootstrap over clips, each drawn with both its answers; over whole ``signers`` where
    there are at least five. Where no clip tells the two apart, the exact binomial bound on the share of such clips
    stands in. With ``groups`` (one per clip: its fold) the value is the mean over groups, with the interval of
    :func:`mean_interval`: a clip may stand there once a seed.
    """
    gain_N = np.asarray(hits_N, np.int64) - np.asarray(other_N, np.int64)
    n, rng = len(gain_N), np.random.default_rng(seed)
    if not n:
        raise InputError("fusion: no clips to compare on")
    low: float | None
    high: float | None
    if groups is not None:
        _, index_N = np.unique(np.array([str(g) for g in groups]), return_inverse=True)
        mean_G = np.bincount(index_N, weights=gain_N) / np.bincount(index_N)
        low, high = mean_interval(mean_G, seed=seed, resamples=resamples, level=level, within=(-1.0, 1.0))
        return {"value": float(mean_G.mean()), "low": low, "high": high, "n_groups": len(mean_G)}
    won, lost = int((gain_N > 0).sum()), int((gain_N < 0).sum())
    signer_N = signer_groups(signers) if signers is not None else None
    if won + lost == 0:
        high = 1 - ((1 - level) / 2) ** (1 / n)
        low = -high
    elif signer_N is not None:
        drawn = [
            (w @ gain_N) / w.sum(axis=1, dtype=np.float64) for w in bootstrap_weights(n, resamples, seed, signer_N)
        ]
        low, high = percentile_interval(np.concatenate(drawn), level, int(signer_N.max()) + 1)
    else:
        # Drawing n clips with replacement and counting wins and losses is one multinomial draw.
        drawn_B3 = rng.multinomial(n, [won / n, lost / n, 1 - (won + lost) / n], size=resamples)
        low, high = percentile_interval((drawn_B3[:, 0] - drawn_B3[:, 1]) / n, level)
    return {"value": (won - lost) / n, "low": low, "high": high, "won": won, "lost": lost}
