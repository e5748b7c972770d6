"""Late fusion: one answer from several models that watched the same clips, with weights learnt on validation clips.

The fused probability is a weighted mean, sharpened by a temperature:

    p(k | clip) ~ ( sum_s v_s · p_s(k | clip) ) ^ (1 / T),   v_s >= 0, sum_s v_s = 1

Each stream comes calibrated (its logits divided by its own temperature), so that one that is unsure of a clip gives way
to one that is sure. The mean is preferred to the product of the probabilities (the sum of log-probabilities): Kittler
et al. (1998, §4) show that its error grows least when the streams' own probabilities are wrong, as those of a new
signer are; a stream cannot forbid a sign on its own. The mean alone is too unsure, which T mends.

Validation sets are small and most clips in them are recognised, so the weights are held towards equal ones: the
strength of that shrinkage is chosen by cross-fitting, and of those strengths that do about as well the strongest is
taken.
Last, the weights move towards the stream that is best on validation for as long as the fusion recognises fewer
validation clips than it (see :func:`fit_fusion`).

Shapes: S streams, N clips, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from signloom.errors import InputError
from signloom.metrics.classification import (
    check_scores,
    fit_temperature,
    log_softmax,
    negative_log_likelihood,
)

SHRINKAGES = (math.inf, 300.0, 100.0, 30.0, 10.0, 3.0, 1.0)
"""Strengths of the shrinkage towards equal weights, in clips; infinite: equal weights."""
LEAST_CLIPS = 20
"""With fewer validation clips the weights stay equal; only the temperature is fitted."""
MANY_CLIPS = 2000
"""With more validation clips the strength of the shrinkage no longer matters: the weakest is taken."""
_FOLDS = 5
_NOTHING = 1e-4  # a difference in likelihood, in nats a clip, that is none
_STEPS = 20


@dataclass(frozen=True)
class Fusion:
    """How S streams are fused: ``weights`` (S, >= 0, sum 1), ``temperature``, and how they came about.

    ``rule``: ``equal`` (no validation clips), ``fitted``, or ``fitted, then towards the best stream``. ``shrinkage`` is
    the strength that held the weights towards equal ones (None: infinite), ``step`` how far (0 to 1) they were then
    moved towards the best stream. ``validation`` has ``n_clips``, ``top1`` and ``nll`` of the fusion, and ``top1_S`` of
    each stream alone; it is empty without validation clips.
    """

    weights: tuple[float, ...]
    temperature: float = 1.0
    rule: str = "equal"
    shrinkage: float | None = None
    step: float = 0.0
    validation: dict[str, Any] | None = None

    def unknown(self, unknown_SN: Sequence[np.ndarray | None], present_SN: np.ndarray) -> np.ndarray | None:
        """One unknown score a clip: the mean of the log odds of the streams that it has and that tell; None where a
        clip has none of these."""
        told = np.array([own is not None for own in unknown_SN])
        weight_SN = np.asarray(self.weights)[:, None] * present_SN * told[:, None]
        weight_SN = np.where(weight_SN.sum(axis=0) > 0, weight_SN, present_SN * told[:, None])
        if not weight_SN.sum(axis=0).all():
            return None
        odds_SN = np.array([log_odds(own) if own is not None else 0 * weight_SN[0] for own in unknown_SN])
        mean_N = (weight_SN * odds_SN).sum(axis=0) / weight_SN.sum(axis=0)
        return 1 / (1 + np.exp(-mean_N))

    def __call__(self, log_p_SNK: Sequence[np.ndarray], present_SN: np.ndarray | None = None) -> np.ndarray:
        """Fused log-probabilities (N, K) float64 from each stream's log-probabilities or calibrated logits (N, K).

        ``present_SN`` bool says which clips each stream has (default: all); the scores of an absent one are not
        looked at. The weights of a clip's streams are scaled up to sum to 1, and the temperature goes back towards 1
        as fewer streams agree. Raises InputError when shapes differ or a clip has no stream at all.
        """
        if len(log_p_SNK) != len(self.weights) or len({np.shape(p) for p in log_p_SNK}) != 1:
            raise InputError(
                f"fusion: want {len(self.weights)} streams of one shape (N, K); got {[np.shape(p) for p in log_p_SNK]}"
            )
        n = len(log_p_SNK[0])
        present = np.ones((len(self.weights), n), bool) if present_SN is None else np.asarray(present_SN, bool)
        if present.shape != (len(self.weights), n):
            raise InputError(f"fusion: want present ({len(self.weights)}, {n}); got {present.shape}")
        if not present.any(axis=0).all():
            raise InputError(f"fusion: clip number {int(np.flatnonzero(~present.any(axis=0))[0])} has no stream at all")
        own_SN = np.asarray(self.weights)[:, None] * present
        own_SN = np.where(own_SN.sum(axis=0) > 0, own_SN, present)  # only streams of weight 0 are left: equal ones
        own_SN = own_SN / own_SN.sum(axis=0)
        # One stream alone is calibrated as it is (T = 1), all together with the fitted T; in between, by the
        # effective number of streams (1 / sum of squared weights).
        whole = _effective(np.asarray(self.weights)[:, None])[0] - 1
        share_N = np.clip((_effective(own_SN) - 1) / whole, 0.0, 1.0) if whole > 1e-9 else np.ones(n)
        share_N = np.where(present.all(axis=0), 1.0, share_N)
        scale_N = 1 + (1 / self.temperature - 1) * share_N
        total = np.full(np.shape(log_p_SNK[0]), -np.inf)
        for weight_N, log_p_NK in zip(own_SN, log_p_SNK):
            used = weight_N > 0
            own = np.log(weight_N[used])[:, None] + log_softmax(np.asarray(log_p_NK)[used])
            total[used] = np.logaddexp(total[used], own)
        return log_softmax(total * scale_N[:, None])


def equal_fusion(n_streams: int) -> Fusion:
    """All streams alike: what can be said without validation clips."""
    return Fusion((1 / n_streams,) * n_streams)


def fit_fusion(logits_SNK: Sequence[np.ndarray], y_N: np.ndarray) -> Fusion:
    """The fusion of S streams that fits N validation clips; from logits calibrated one by one.

    Minimises the summed negative log likelihood (targets smoothed as in :func:`metrics.fit_temperature`) plus
    ``shrinkage`` · sum_s v_s log(S v_s), the divergence from equal weights. ``shrinkage`` is chosen by five-fold
    cross-fitting: the strongest whose likelihood on left-out clips is within one standard error of the best.

    If the result recognises fewer of these clips than the best single stream (the best by accuracy, then likelihood),
    the weights move towards that stream in steps of 1/20 until it does not: at the last step the fusion *is* that
    stream, so it never ends below it. Raises InputError for shapes that differ and scores that are not finite.
    """
    if not len(logits_SNK) or len({np.shape(z) for z in logits_SNK}) != 1:
        raise InputError(f"fusion: want streams of one shape (N, K); got {[np.shape(z) for z in logits_SNK]}")
    if not len(y_N):
        return equal_fusion(len(logits_SNK))
    for logits_NK in logits_SNK:
        check_scores(logits_NK, y_N)
        if np.isneginf(logits_NK).any():
            raise InputError("fusion: weights need finite scores; some are -infinity")
    y = np.asarray(y_N, np.int64)
    log_p = np.stack([log_softmax(z) for z in logits_SNK])
    top1_S = [float((p.argmax(axis=1) == y).mean()) for p in log_p]
    shrinkage = math.inf
    if len(y) >= LEAST_CLIPS and len(log_p) > 1:
        shrinkage = _choose_shrinkage(log_p, y) if len(y) <= MANY_CLIPS else SHRINKAGES[-1]
    weights, _ = _minimise(log_p, y, shrinkage)
    nll_S = [negative_log_likelihood(p, y) for p in log_p]
    best = max(range(len(log_p)), key=lambda s: (top1_S[s], -nll_S[s]))
    for step in np.arange(_STEPS + 1) / _STEPS:
        moved = (1 - step) * weights + step * np.eye(len(log_p))[best]
        log_m = _log_mean(moved, log_p)
        if (log_m.argmax(axis=1) == y).mean() >= top1_S[best]:
            break
    fusion = Fusion(
        tuple(float(v) for v in moved),
        fit_temperature(log_m, y),
        "fitted, then towards the best stream" if step > 0 else "fitted",
        None if math.isinf(shrinkage) else shrinkage,
        float(step),
    )
    fused = fusion(log_p)
    validation = {
        "n_clips": len(y),
        "top1": float((log_m.argmax(axis=1) == y).mean()),
        "nll": negative_log_likelihood(fused, y),
        "top1_S": top1_S,
    }
    return replace(fusion, validation=validation)


def log_odds(p_N: np.ndarray) -> np.ndarray:
    """Logarithms of p / (1 - p), finite."""
    p_N = np.clip(np.asarray(p_N, np.float64), 1e-12, 1 - 1e-12)
    return np.log(p_N) - np.log1p(-p_N)


def on_labels(logits_NK: np.ndarray, own: Sequence[str], labels: Sequence[str]) -> np.ndarray:
    """Log-probabilities (N, len(labels)) over ``labels``, which hold all of ``own`` (K) and maybe more.

    A label the model never saw gets a floor: 1/e of the probability of the label it finds least likely for that clip.
    So the model never chooses it, and yet does not forbid it to others that know it.
    """
    log_p_NK = log_softmax(logits_NK) if len(logits_NK) else np.zeros((0, len(own)))
    floor_N = log_p_NK.min(axis=1) - 1 if len(log_p_NK) else np.zeros(0)
    found = np.repeat(floor_N[:, None], len(labels), axis=1)
    place = {label: k for k, label in enumerate(labels)}
    found[:, [place[label] for label in own]] = log_p_NK
    return log_softmax(found) if len(found) else found


# Small parts ----------------------------------------------------------------------------------------------------------


def _effective(weights_SN: np.ndarray) -> np.ndarray:
    return weights_SN.sum(axis=0) ** 2 / (weights_SN**2).sum(axis=0)


def _log_mean(weights_S: np.ndarray, log_p_SNK: np.ndarray) -> np.ndarray:
    """Log of the weighted mean of probabilities, (N, K); safe where they are too small for a float."""
    with np.errstate(divide="ignore"):
        terms = np.log(weights_S)[:, None, None] + log_p_SNK
    top_NK = terms.max(axis=0)
    return top_NK + np.log(np.exp(terms - top_NK).sum(axis=0))


def _choose_shrinkage(log_p_SNK: np.ndarray, y_N: np.ndarray) -> float:
    """The strongest shrinkage that is within one standard error of the best on left-out clips."""
    fold_N = np.empty(len(y_N), np.int64)
    fold_N[np.argsort(y_N, kind="stable")] = np.arange(len(y_N)) % _FOLDS  # each label spread over the folds
    loss_PN = np.empty((len(SHRINKAGES), len(y_N)))
    for p, shrinkage in enumerate(SHRINKAGES):
        for fold in range(_FOLDS):
            inside, outside = fold_N != fold, fold_N == fold
            weights_S, scale = _minimise(log_p_SNK[:, inside], y_N[inside], shrinkage)
            log_q = log_softmax(scale * _log_mean(weights_S, log_p_SNK[:, outside]))
            loss_PN[p, outside] = -np.take_along_axis(log_q, y_N[outside][:, None], axis=1)[:, 0]
    best = int(loss_PN.mean(axis=1).argmin())
    for p in range(best):
        worse_N = loss_PN[p] - loss_PN[best]
        if worse_N.mean() <= max(worse_N.std(ddof=1) / math.sqrt(len(y_N)), _NOTHING):
            return SHRINKAGES[p]
    return SHRINKAGES[best]


def _minimise(log_p_SNK: np.ndarray, y_N: np.ndarray, shrinkage: float) -> tuple[np.ndarray, float]:
    """The weights v (S,) and the scale 1 / T that fit best under ``shrinkage``."""
    from scipy.optimize import minimize

    n_streams, n, n_classes = log_p_SNK.shape
    equal = np.full(n_streams, 1 / n_streams)
    if math.isinf(shrinkage):
        return equal, 1 / fit_temperature(_log_mean(equal, log_p_SNK), y_N)
    target_NK = np.full((n, n_classes), 1 / (n + 1) / n_classes)
    target_NK[np.arange(n), y_N] += 1 - 1 / (n + 1)

    def loss(free: np.ndarray) -> tuple[float, np.ndarray]:
        v_S = np.exp(free[:-1] - free[:-1].max())
        v_S, scale = v_S / v_S.sum(), math.exp(free[-1])
        log_m_NK = _log_mean(v_S, log_p_SNK)
        log_q_NK = log_softmax(scale * log_m_NK)
        log_sv_S = np.log(np.maximum(n_streams * v_S, 1e-300))
        value = -float((target_NK * log_q_NK).sum()) + shrinkage * float(v_S @ log_sv_S)
        off_NK = np.exp(log_q_NK) - target_NK
        by_v_S = np.array([scale * (off_NK * np.exp(log_p - log_m_NK)).sum() for log_p in log_p_SNK])
        by_v_S = by_v_S + shrinkage * (log_sv_S + 1)
        by_free_S = v_S * (by_v_S - v_S @ by_v_S)  # through the softmax that keeps the weights' sum at 1
        return value, np.append(by_free_S, scale * float((off_NK * log_m_NK).sum()))

    bounds = [(-30.0, 30.0)] * n_streams + [(math.log(1 / 20), math.log(20))]
    found = minimize(loss, np.zeros(n_streams + 1), jac=True, method="L-BFGS-B", bounds=bounds)
    v_S = np.exp(found.x[:-1] - found.x[:-1].max())
    return v_S / v_S.sum(), math.exp(found.x[-1])
