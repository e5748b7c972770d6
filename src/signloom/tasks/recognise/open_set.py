"""None of these: how unlike all the signs that it knows a recogniser finds a clip, and from where on it says so.

How strange a clip is, a figure says (:data:`FIGURES`): where the network tells features, by how much another sign is
likelier in their space than any known one; else the entropy of the answer. It becomes an *unknown score* from 0 to 1,
.05 at the median of the validation clips that were recognised, .5 at a threshold between these and the same clips as
they would look had their sign not been known. So no clip of an unknown sign is needed, and validation clips alone
decide. The threshold lies above :data:`KEPT` of the recognised ones by :data:`MARGIN` of the way to the others: signers
who were never seen look stranger than those of validation.

A model that was taught signs since its training (:mod:`signloom.tasks.recognise.teach`) answers for these by where they
lie in the space of its features; for those of its training, as ever, by its network.

Shapes: N clips, K signs of training, M signs that were taught.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from signloom.errors import CheckpointError
from signloom.metrics.classification import fit_temperature, log_softmax
from signloom.tasks.recognise.prototypes import Prototypes, fit_prototypes, prototypes_of_arrays
from signloom.training.checkpoint import Checkpoint

KEPT = 0.98
MARGIN = 0.2
"""Where the threshold lies: above so many of the recognised validation clips, by so much of the way from there to the
median of clips whose sign is not known."""
LEAST_CLIPS = 10
"""With fewer recognised validation clips no threshold is found."""
MOST_CLIPS = 2000
"""From so many training clips at most, spread over the signs, the space of features is found."""
_MEDIAN_SCORE = 0.05


NOT_TOLD = (
    "this model cannot tell that a clip is none of its signs: it was trained without ten validation clips that it "
    "recognises, or by an earlier signloom. Every clip gets one of its labels; train it again for an unknown score"
)
"""What is said of a model without an unknown score."""

FIGURES = ("prototypes", "entropy")
"""What strangeness is measured by, best first."""


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

    ``figure`` is one of :data:`FIGURES` (None: there is no unknown score), which ``threshold`` and ``slope`` make a
    score; ``heat`` divides log-likelihoods in the space of features. ``n_trained`` is K.
    """

    n_trained: int
    prototypes: Prototypes | None = None
    figure: str | None = None
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
        if self.figure is None:
            return Answers(logits_NK, None, places_NE)
        return Answers(logits_NK, self._score(self._strangeness(logits_NK, places_NE)), places_NE)

    def _with_taught(self, logits_NK: np.ndarray, places_NE: np.ndarray) -> np.ndarray:
        """The signs that were taught get the share that they have in the space of features beside the likeliest sign
        of training, those of training the rest, as their network divides it."""
        assert self.prototypes is not None
        if len(self.prototypes.count_K) == self.n_trained or not len(logits_NK):
            return logits_NK
        log_p = self.prototypes.log_likelihood(places_NE) / self.heat
        best_N = log_p[:, : self.n_trained].max(axis=1, keepdims=True)
        log_q = log_softmax(np.concatenate([best_N, log_p[:, self.n_trained :]], axis=1))
        found = np.concatenate([log_softmax(logits_NK) + log_q[:, :1], log_q[:, 1:]], axis=1)
        return found.astype(np.float32)

    def _strangeness(self, logits_NK: np.ndarray, places_NE: np.ndarray | None) -> np.ndarray:
        if not len(logits_NK):
            return np.zeros(0)
        if self.figure == "entropy":
            return _entropy(logits_NK)
        assert self.prototypes is not None
        assert places_NE is not None
        return self.prototypes.strangeness(places_NE)

    def _score(self, strangeness_N: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-np.clip((strangeness_N - self.threshold) * self.slope, -60, 60)))

    def as_json(self) -> dict[str, Any]:
        """What a config keeps of it."""
        return {"figure": self.figure, "threshold": self.threshold, "slope": self.slope, "heat": self.heat}


def open_set_of(checkpoint: Checkpoint) -> OpenSet | None:
    """What ``checkpoint`` says of unknown and taught signs; None where it says nothing.

    Raises CheckpointError for a config that contradicts itself.
    """
    about = checkpoint.open_set
    if not about and not checkpoint.prototypes:
        return None
    try:
        prototypes = prototypes_of_arrays(checkpoint.prototypes) if checkpoint.prototypes else None
        figure = about["figure"]
        if figure not in (None, *FIGURES):
            raise ValueError(f"figure '{figure}' is not known; there are {', '.join(FIGURES)}")
        if prototypes is not None and len(prototypes.count_K) != len(checkpoint.known):
            raise ValueError(f"{len(prototypes.count_K)} prototypes for {len(checkpoint.known)} signs")
        if figure == "prototypes" and prototypes is None:
            raise ValueError("prototypes are asked for, and there are none")
        return OpenSet(
            len(checkpoint.labels),
            prototypes,
            figure,
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
    figure = "entropy" if places_NE is None else "prototypes"
    unfinished = OpenSet(n_signs, prototypes, figure, heat=heat)
    found_N = unfinished._strangeness(val_logits_NK, places_NE)[known_N]
    without_N = _strangeness_without(val_logits_NK, prototypes, places_NE, val_y_N)
    middle, high = (float(v) for v in np.quantile(found_N, [0.5, KEPT]))
    threshold = high + MARGIN * max(0.0, float(np.median(without_N)) - high)
    slope = np.log(1 / _MEDIAN_SCORE - 1) / max(threshold - middle, 1e-3)
    return OpenSet(n_signs, prototypes, figure, threshold, float(slope), heat)


def _entropy(logits_NK: np.ndarray) -> np.ndarray:
    """Of the answer, in nats, (N,)."""
    log_p_NK = log_softmax(logits_NK)
    return -(np.exp(log_p_NK) * np.maximum(log_p_NK, -1e3)).sum(axis=1)


def _strangeness_without(
    logits_NK: np.ndarray, prototypes: Prototypes | None, places_NE: np.ndarray | None, y_N: np.ndarray
) -> np.ndarray:
    """How strange clips would be if the sign of each, ``y_N``, were not known, (N,)."""
    rows = np.arange(len(y_N))
    if prototypes is None or places_NE is None:
        masked_NK = np.asarray(logits_NK, np.float64).copy()
        masked_NK[rows, y_N] = -np.inf
        return _entropy(masked_NK)
    found_NK = prototypes.log_likelihood(places_NE)
    found_NK[rows, y_N] = -np.inf
    return prototypes.log_likelihood_of_another(places_NE) - found_NK.max(axis=1)


def spread_rows(y_N: np.ndarray, most: int = MOST_CLIPS) -> np.ndarray:
    """The rows of at most ``most`` clips (of each sign two, where it has them), evenly of every sign, in order."""
    of_sign = [np.flatnonzero(y_N == k) for k in np.unique(y_N)]
    each = max(2, most // max(1, len(of_sign)))
    return np.sort(
        np.concatenate([rows[np.linspace(0, len(rows) - 1, min(each, len(rows))).astype(int)] for rows in of_sign])
    )
