"""Everything a report says about the answers for some clips, as plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from signloom.errors import InputError
from signloom.metrics.classification import (
    best_classes,
    check_scores,
    confusion_matrix,
    error_of_bins,
    log_softmax,
    macro_f1,
    precision_recall_f1,
    reliability_bins,
    row_blocks,
    true_rank,
)
from signloom.metrics.intervals import (
    LEVEL,
    RESAMPLES,
    TOP_KS,
    bootstrap_metrics,
    proportion_interval,
    share_interval,
    signer_groups,
)

DENSE_CONFUSION_CLASSES = 200
RESAMPLED = ("auto", "clip", "signer")


@dataclass(frozen=True)
class _Answers:
    """What a recogniser said of N rows, in an order of their ids; of a clip there is a row for each time it was asked.

    ``y_N`` counts unknown labels on from K; ``rank_N`` of a clip that could not be recognised is beyond any class.
    """

    ids: list[str]
    signers: list[str | None]
    labels: list[str]
    n_classes: int
    y_N: np.ndarray
    known_N: np.ndarray
    rank_N: np.ndarray
    top_N5: np.ndarray
    p_N5: np.ndarray
    log_p_N: np.ndarray
    clip_N: np.ndarray
    unit_N: np.ndarray

    @property
    def predicted_N(self) -> np.ndarray:
        return self.top_N5[:, 0]

    @property
    def n_clips(self) -> int:
        return int(self.clip_N.max()) + 1

    @property
    def weight_N(self) -> np.ndarray | None:
        """What a row counts, so that each clip counts once; None where every row is a clip of its own."""
        if self.n_clips == len(self.clip_N):
            return None
        return 1.0 / np.bincount(self.clip_N)[self.clip_N]


def evaluate_scores(
    logits_NK: np.ndarray,
    y_N: np.ndarray,
    labels: Sequence[str],
    signers: Sequence[str | None] | None = None,
    ids: Sequence[str] | None = None,
    *,
    known_N: np.ndarray | None = None,
    unknown_labels: Sequence[str] = (),
    units: Sequence[str] | None = None,
    seed: int = 0,
    resample_by: str = "auto",
    resamples: int = RESAMPLES,
    ks: Sequence[int] = TOP_KS,
) -> dict[str, Any]:
    """Everything a report says about a set of predictions, as plain Python values ready for JSON.

    ``logits_NK`` are logits or log-probabilities over ``labels``, already divided by the temperature where there is
    one. They are gone through in blocks of rows: what is needed besides is a few tens of MB and a few numbers a row.

    **The same clip twice.** Rows with one of the ``ids`` are answers for one clip, by models of several seeds: it
    counts once, with their mean, and is resampled as one. So are clips with one of the ``units`` (what was filmed
    once: a clip and what was derived from it). ``resample_by``: ``signer`` draws whole signers, ``clip`` clips;
    ``auto`` draws signers where at least five are named, which answers how other signers would do. The dict's
    ``interval`` says which.

    **Unknown labels.** ``y_N`` may also point to ``unknown_labels``, counted on from K, and ``known_N`` may say of
    single rows that the model that answered does not know the clip's label. Such a clip is missed in any top-k, and
    left out of the likelihood and the calibration; ``unknown`` has their number and labels.

    The dict has ``labels`` (the unknown ones last), ``metrics`` (``top1``, ``top{k}`` for every other k < K,
    ``top{k}_per_class``, ``macro_f1``, ``ece``, ``nll``, ``n_clips``, ``n_classes`` = K, ``chance`` = 1/K of the clips
    with a known label, ``majority`` = share of the commonest known class), ``interval`` (how the intervals were made),
    ``per_signer``, ``per_class``, ``confusion``, ``calibration`` and ``clips`` (a row a clip with ``predicted``,
    ``confidence`` and the five best classes, of several answers the first). ``confusion``, ``calibration`` and
    ``n_predicted`` count answers, of which there are ``answers_per_clip``.

    ``confusion`` is a list of rows up to 200 classes; above that ``{"format": "sparse", "rows", "columns",
    "counts"}`` with the cells that are not zero. The order of the clips does not change the numbers.

    Raises InputError where lengths differ, labels repeat, or scores are not finite.
    """
    if resample_by not in RESAMPLED:
        raise InputError(f"metrics: resample_by is one of {', '.join(RESAMPLED)}; got {resample_by!r}")
    answers = _answers(logits_NK, y_N, labels, signers, ids, known_N, unknown_labels, units)
    groups_N, by = _groups(answers, resample_by)
    ks = [k for k in ks if k == 1 or k < answers.n_classes]
    metrics: dict[str, Any] = dict(
        bootstrap_metrics(
            answers.rank_N,
            answers.y_N,
            answers.predicted_N,
            ks,
            groups_N=groups_N,
            weight_N=answers.weight_N,
            expand=by == "signer",
            resamples=resamples,
            seed=seed,
        )
    )
    known, y_N = answers.known_N, answers.y_N
    confidence_N = np.minimum(answers.p_N5[:, 0], 1.0)
    bins = reliability_bins(confidence_N[known], (answers.predicted_N == y_N)[known])
    weight_N = np.ones(len(y_N)) if answers.weight_N is None else answers.weight_N
    per_class_K = np.bincount(y_N[known], weight_N[known], answers.n_classes)
    n_clips = answers.n_clips
    metrics |= {
        "ece": error_of_bins(bins) if known.any() else None,
        "nll": _number(-np.average(answers.log_p_N[known], weights=weight_N[known])) if known.any() else None,
        "n_clips": n_clips,
        "n_classes": answers.n_classes,
        "chance": float(weight_N[known].sum()) / n_clips / answers.n_classes,
        "majority": float(per_class_K.max() / n_clips),
    }
    unknown_clips = len(np.unique(answers.clip_N[~known]))
    return {
        "labels": answers.labels,
        "metrics": metrics,
        "unknown": {"n_clips": unknown_clips, "labels": sorted({answers.labels[k] for k in y_N[~known]})},
        "answers_per_clip": len(y_N) / n_clips,
        "interval": {
            "method": "percentile bootstrap, expanded for few signers" if by == "signer" else "percentile bootstrap",
            "level": LEVEL,
            "resamples": resamples,
            "resampled": by,
            "seed": seed,
        },
        "per_signer": _per_signer(answers, seed=seed, resamples=resamples),
        "per_class": _per_class(answers),
        "confusion": _confusion_json(y_N, answers.predicted_N, len(answers.labels)),
        "calibration": bins,
        "clips": _clip_rows(answers, confidence_N),
    }


def _answers(
    logits_NK: np.ndarray,
    y_N: np.ndarray,
    labels: Sequence[str],
    signers: Sequence[str | None] | None,
    ids: Sequence[str] | None,
    known_N: np.ndarray | None,
    unknown_labels: Sequence[str],
    units: Sequence[str] | None,
) -> _Answers:
    logits_NK, y_N = np.asarray(logits_NK), np.asarray(y_N)
    n, n_classes = logits_NK.shape if logits_NK.ndim == 2 else (len(logits_NK), 0)
    every = [str(label) for label in (*labels, *unknown_labels)]
    beyond_N = (y_N >= n_classes) & (y_N < len(every))
    known = ~beyond_N if known_N is None else np.asarray(known_N, bool) & ~beyond_N
    _, checked_N = check_scores(logits_NK, np.where(known, y_N, 0))
    names = [str(i) for i in ids] if ids is not None else [f"clip-{i}" for i in range(n)]
    named = list(signers) if signers is not None else [None] * n
    own = [str(u) for u in units] if units is not None else names
    if len(labels) != n_classes or len(set(every)) != len(every):
        raise InputError(f"metrics: {n_classes} scores per clip need as many different labels; got {len(set(labels))}")
    if len(names) != n or len(named) != n or len(own) != n:
        raise InputError(f"metrics: {n} clips, but {len(names)} ids, {len(named)} signers and {len(own)} units")
    y_N = np.where(known, checked_N, y_N).astype(np.int64)
    # A fixed order makes the seeded resamples, and so the intervals, independent of how the clips came.
    order = np.array(sorted(range(n), key=lambda i: names[i]))
    n_top = min(5, n_classes)
    rank_N = np.full(n, n_classes + len(every), np.int64)
    top_N5, p_N5, log_p_N = np.empty((n, n_top), np.int64), np.empty((n, n_top)), np.full(n, -np.inf)
    for rows in row_blocks(logits_NK):
        block, y, there = logits_NK[order[rows]], y_N[order[rows]], known[order[rows]]
        log_p = log_softmax(block)
        # Order comes from the scores as given: rounding in the softmax must not break or make a tie.
        best = best_classes(block, n_top)
        top_N5[rows], p_N5[rows] = best, np.exp(np.take_along_axis(log_p, best, axis=1))
        if there.any():
            rank_N[rows][there] = true_rank(block[there], y[there])
            log_p_N[rows][there] = np.take_along_axis(log_p[there], y[there][:, None], axis=1)[:, 0]
    names, own = [names[i] for i in order], [own[i] for i in order]
    return _Answers(
        names,
        [named[i] for i in order],
        every,
        n_classes,
        y_N[order],
        known[order],
        rank_N,
        top_N5,
        p_N5,
        log_p_N,
        np.unique(np.array(names), return_inverse=True)[1],
        np.unique(np.array(own), return_inverse=True)[1],
    )


def _groups(answers: _Answers, resample_by: str) -> tuple[np.ndarray | None, str]:
    """What is drawn as a whole, as a group for each row (None: every row alone), and its name."""
    if resample_by == "signer":
        if any(s is None for s in answers.signers):
            raise InputError("metrics: resampling by signer needs the signer of every clip; some have none")
        return np.unique(np.array(answers.signers, dtype=str), return_inverse=True)[1], "signer"
    signers = signer_groups(answers.signers) if resample_by == "auto" else None
    if signers is not None:
        return signers, "signer"
    alone = int(answers.unit_N.max()) + 1 == len(answers.unit_N)
    return (None if alone else answers.unit_N), "clip"


def _per_signer(answers: _Answers, *, seed: int, resamples: int) -> list[dict[str, Any]]:
    """One row per signer, sorted by name, clips without one last (``signer`` None); empty when no clip has a signer.

    Rows: ``signer``, ``n_clips``, ``top1`` (``value``, ``low``, ``high``: resampled over that signer's clips) and
    ``macro_f1``.
    """
    members: dict[str | None, list[int]] = {}
    for i, signer in enumerate(answers.signers):
        members.setdefault(signer, []).append(i)
    if set(members) <= {None}:
        return []
    rng = np.random.default_rng(seed)
    table = []
    for signer in sorted(members, key=lambda s: (s is None, s or "")):
        rows = np.array(members[signer])
        right_N = answers.predicted_N[rows] == answers.y_N[rows]
        clip_N = np.unique(answers.clip_N[rows], return_inverse=True)[1]
        n = int(clip_N.max()) + 1
        if n == len(rows):
            low, high = proportion_interval(int(right_N.sum()), n, rng, resamples)
            top1: dict[str, float | None] = {"value": float(right_N.sum() / n), "low": low, "high": high}
        else:
            mean_N = np.bincount(clip_N, right_N) / np.bincount(clip_N)
            top1 = share_interval(mean_N, seed=int(rng.integers(2**31)), resamples=resamples)
        row = {"signer": signer, "n_clips": n, "top1": top1}
        table.append(row | {"macro_f1": macro_f1(answers.y_N[rows], answers.predicted_N[rows])})
    return table


def _per_class(answers: _Answers) -> list[dict[str, Any]]:
    """One row per class in the order of the labels; what is undefined is None.

    Rows: ``label``, ``n_clips``, ``n_predicted``, ``top1`` (which is its recall), ``top5`` (when K > 5),
    ``precision``, ``f1``; and ``unknown`` True for a label that the model does not know.
    """
    y_N, n_labels = answers.y_N, len(answers.labels)
    precision_K, recall_K, f1_K = precision_recall_f1(y_N, answers.predicted_N, n_labels)
    answers_K = np.bincount(y_N, minlength=n_labels)
    clips_K = np.bincount(np.unique(y_N * answers.n_clips + answers.clip_N) // answers.n_clips, minlength=n_labels)
    predicted_K = np.bincount(answers.predicted_N, minlength=n_labels)
    top5_K = np.bincount(y_N[answers.rank_N < 5], minlength=n_labels)
    table = []
    for c, label in enumerate(answers.labels):
        row: dict[str, Any] = {
            "label": label,
            "n_clips": int(clips_K[c]),
            "n_predicted": int(predicted_K[c]),
            "top1": _number(recall_K[c]),
        }
        if answers.n_classes > 5:
            row["top5"] = float(top5_K[c] / answers_K[c]) if answers_K[c] else None
        row |= {"precision": _number(precision_K[c]), "f1": _number(f1_K[c])}
        table.append(row | ({"unknown": True} if c >= answers.n_classes else {}))
    return table


def _clip_rows(answers: _Answers, confidence_N: np.ndarray) -> list[dict[str, Any]]:
    """A row for each clip; of several answers the first."""
    first_N = np.unique(answers.clip_N, return_index=True)[1]
    labels = answers.labels
    return [
        {
            "id": answers.ids[i],
            "label": labels[y],
            "signer": answers.signers[i],
            "predicted": labels[top[0]],
            "confidence": round(confidence, 6),
            "top": [[labels[c], round(p, 6)] for c, p in zip(top, shares)],
        }
        for i, y, top, confidence, shares in zip(
            first_N.tolist(),
            answers.y_N[first_N].tolist(),
            answers.top_N5[first_N].tolist(),
            confidence_N[first_N].tolist(),
            answers.p_N5[first_N].tolist(),
        )
    ]


def _confusion_json(y_N: np.ndarray, predicted_N: np.ndarray, n_classes: int) -> list[list[int]] | Mapping[str, Any]:
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
