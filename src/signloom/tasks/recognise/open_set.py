"""None of these: how unlike all the signs that it knows a recogniser finds a clip, and from where on it says so.

How strange a clip is, figures say (:data:`FIGURES`); each is brought to the scale that clips of known signs have on
validation, and they are added. The sum becomes an *unknown score* from 0 to 1: .5 where :data:`KEPT` of the validation
clips that were recognised lie below, .05 at their median. Validation clips alone decide; no clip of an unknown sign is
needed.

A model that was taught signs since its training (:mod:`signloom.tasks.recognise.teach`) answers for these by where they
lie in the space of its features; for those of its training, as ever, by its network.

Shapes: N clips, K signs of training, M signs that were taught.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from signloom.errors import CheckpointError
from signloom.metrics.classification import fit_temperature, log_softmax
from signloom.tasks.recognise.prototypes import Prototypes, fit_prototypes, prototypes_of_arrays
from signloom.training.checkpoint import Checkpoint

KEPT = 0.98
"""The share of recognised validation clips that the threshold keeps."""
LEAST_CLIPS = 20
"""With fewer validation clips no threshold is found: .98 of ten clips are all ten."""
MOST_CLIPS = 2000
"""From so many training clips at most, spread over the signs, the space of features is found."""
_MEDIAN_SCORE = 0.05


def _surprise(log_p_NK: np.ndarray, strangeness_N: np.ndarray | None) -> np.ndarray:
    """Entropy of the answer, in nats."""
    return -(np.exp(log_p_NK) * np.maximum(log_p_NK, -1e3)).sum(axis=1)


def _distance(log_p_NK: np.ndarray, strangeness_N: np.ndarray | None) -> np.ndarray:
    """By how much another sign is likelier than any known one, in the space of features."""
    assert strangeness_N is not None
    return strangeness_N


FIGURES = {"entropy": _surprise, "prototypes": _distance}
"""What strangeness is measured by."""


@dataclass(frozen=True)
class Answers:
    """What a recogniser says of clips: ``logits_NK`` of its labels (log-probabilities up to a constant), and, where it
    can tell, the unknown score of each (N,) and where it lies in the space of features (N, E)."""

    logits_NK: np.ndarray
    unknown_N: np.ndarray | None = None
    places_NE: np.ndarray | None = None


@dataclass(frozen=True)
class OpenSet:
    """How a checkpoint's answers become those of signs that it was taught, and unknown scores.

    ``figures`` has middle and spread of each figure on validation, ``threshold`` and ``slope`` make their sum a score,
    ``heat`` divides log-likelihoods in the space of features. ``n_trained`` is K.
    """

    n_trained: int
    prototypes: Prototypes | None = None
    figures: Mapping[str, tuple[float, float]] | None = None
    threshold: float = 0.0
    slope: float = 1.0
    heat: float = 1.0

    @property
    def needs_features(self) -> bool:
        return self.prototypes is not None

    def __call__(self, logits_NK: np.ndarray, features_NF: np.ndarray | None) -> Answers:
        """Answers over K + M signs from calibrated logits over K and the network's features."""
        places_NE = None
        if self.prototypes is not None and features_NF is not None:
            places_NE = self.prototypes.place(features_NF)
            logits_NK = self._with_taught(logits_NK, places_NE)
        if not self.figures or not len(logits_NK):
            unknown_N = np.zeros(0) if self.figures else None
            return Answers(logits_NK, unknown_N, places_NE)
        return Answers(logits_NK, self._score(self._sum(logits_NK, places_NE)), places_NE)

    def _with_taught(self, logits_NK: np.ndarray, places_NE: np.ndarray) -> np.ndarray:
        """The signs that were taught get the share that they have in the space of features, those of training the
        rest, as their network divides it."""
        assert self.prototypes is not None
        if len(self.prototypes.count_K) == self.n_trained or not len(logits_NK):
            return logits_NK
        log_q = log_softmax(self.prototypes.log_likelihood(places_NE) / self.heat)
        rest_N = np.logaddexp.reduce(log_q[:, : self.n_trained], axis=1, keepdims=True)
        found = np.concatenate([log_softmax(logits_NK) + rest_N, log_q[:, self.n_trained :]], axis=1)
        return found.astype(np.float32)

    def _sum(self, logits_NK: np.ndarray, places_NE: np.ndarray | None) -> np.ndarray:
        assert self.figures is not None
        strangeness_N = None
        if self.prototypes is not None and places_NE is not None:
            strangeness_N = self.prototypes.strangeness(places_NE)
        log_p_NK = log_softmax(logits_NK)
        return sum(
            (FIGURES[name](log_p_NK, strangeness_N) - middle) / spread
            for name, (middle, spread) in self.figures.items()
        )  # type: ignore[return-value]

    def _score(self, sum_N: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-np.clip((sum_N - self.threshold) * self.slope, -60, 60)))

    def as_json(self) -> dict[str, Any]:
        """What a config keeps of it."""
        figures = {name: {"middle": m, "spread": s} for name, (m, s) in (self.figures or {}).items()}
        return {"figures": figures, "threshold": self.threshold, "slope": self.slope, "heat": self.heat, "kept": KEPT}


def open_set_of(checkpoint: Checkpoint) -> OpenSet | None:
    """What ``checkpoint`` says of unknown and taught signs; None where it says nothing.

    Raises CheckpointError for a config that contradicts itself.
    """
    about = checkpoint.open_set
    if not about and not checkpoint.prototypes:
        return None
    try:
        prototypes = prototypes_of_arrays(checkpoint.prototypes) if checkpoint.prototypes else None
        figures = {name: (float(row["middle"]), float(row["spread"])) for name, row in about["figures"].items()}
        if unknown := sorted(set(figures) - set(FIGURES)):
            raise ValueError(f"figure '{unknown[0]}' is not known; there are {', '.join(FIGURES)}")
        if prototypes is not None and len(prototypes.count_K) != len(checkpoint.known):
            raise ValueError(f"{len(prototypes.count_K)} prototypes for {len(checkpoint.known)} signs")
        if "prototypes" in figures and prototypes is None:
            raise ValueError("prototypes are asked for, and there are none")
        if any(not spread > 0 for _, spread in figures.values()):
            raise ValueError(f"figures {figures} have no spread")
        return OpenSet(
            len(checkpoint.labels),
            prototypes,
            figures or None,
            float(about["threshold"]),
            float(about["slope"]),
            float(about["heat"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"the checkpoint's 'open_set' is broken: {type(error).__name__}: {error}") from error


def fit_open_set(
    train: tuple[np.ndarray, np.ndarray] | None,
    val_logits_NK: np.ndarray | None,
    val_features_NF: np.ndarray | None,
    val_y_N: np.ndarray | None,
    n_signs: int,
) -> OpenSet:
    """The space of features of ``train`` (features (N, F), signs (N,); None: the network tells no features), and the
    scores by which validation clips, with their calibrated logits, are known; without these, only the space."""
    prototypes, heat = None, 1.0
    if train is not None:
        fitted = fit_prototypes(*train, n_signs)
        prototypes = prototypes_of_arrays(fitted.as_arrays())  # as they are read again: in 32 bits
    if val_logits_NK is None or val_y_N is None or not len(val_y_N):
        return OpenSet(n_signs, prototypes)
    places_NE = None
    if prototypes is not None and val_features_NF is not None:
        places_NE = prototypes.place(val_features_NF)
        heat = fit_temperature(prototypes.log_likelihood(places_NE), val_y_N, 0.05, 1000.0)
    known_N = val_logits_NK.argmax(axis=1) == val_y_N
    if known_N.sum() < LEAST_CLIPS:
        return OpenSet(n_signs, prototypes, heat=heat)
    strangeness_N = None if prototypes is None or places_NE is None else prototypes.strangeness(places_NE)
    log_p_NK = log_softmax(val_logits_NK)
    figures = {}
    for name, figure in FIGURES.items():
        if name == "prototypes" and strangeness_N is None:
            continue
        values_N = figure(log_p_NK, strangeness_N)[known_N]
        middle, high = np.quantile(values_N, [0.5, 0.9])
        figures[name] = (float(middle), max(float(high - middle), 1e-3))
    unfinished = OpenSet(n_signs, prototypes, figures, heat=heat)
    sums_N = unfinished._sum(val_logits_NK, places_NE)[known_N]
    threshold, middle = float(np.quantile(sums_N, KEPT)), float(np.median(sums_N))
    slope = np.log(1 / _MEDIAN_SCORE - 1) / max(threshold - middle, 1e-3)
    return OpenSet(n_signs, prototypes, figures, threshold, float(slope), heat)


def spread_rows(y_N: np.ndarray, most: int = MOST_CLIPS) -> np.ndarray:
    """The rows of at most ``most`` clips (of each sign two, where it has them), evenly of every sign, in order."""
    of_sign = [np.flatnonzero(y_N == k) for k in np.unique(y_N)]
    each = max(2, most // max(1, len(of_sign)))
    return np.sort(
        np.concatenate([rows[np.linspace(0, len(rows) - 1, min(each, len(rows))).astype(int)] for rows in of_sign])
    )
