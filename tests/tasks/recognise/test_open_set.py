"""None of these: the space of features, the unknown score, and what is kept of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signloom.errors import InputError
from signloom.metrics.classification import auroc, log_softmax
from signloom.tasks.recognise.evaluate import Scores, open_set_results
from signloom.tasks.recognise.fusion import Fusion, log_odds
from signloom.tasks.recognise.open_set import KEPT, OpenSet, fit_open_set, spread_rows
from signloom.tasks.recognise.prototypes import fit_prototypes, prototypes_of_arrays

SIGNS, EACH, WIDE = 6, 30, 24


def signs(seed=0, n_signs=SIGNS, each=EACH, noise=0.25):
    """Features of ``n_signs`` known signs and of four others (label -1), and a network's logits of the known ones."""
    rng = np.random.default_rng(seed)
    means = np.random.default_rng(7).normal(size=(n_signs + 4, WIDE))
    y = np.repeat(np.arange(n_signs + 4), each)
    features = means[y] + noise * rng.normal(size=(len(y), WIDE))
    logits = 3 * features @ means[:n_signs].T / WIDE
    return features, np.where(y < n_signs, y, -1), logits


@pytest.fixture(scope="module")
def fitted():
    features, y, _ = signs(0)
    val, val_y, logits = signs(1)
    known = val_y >= 0
    return fit_open_set((features[y >= 0], y[y >= 0]), logits[known], val[known], val_y[known], SIGNS)


def test_other_signs_are_stranger_than_known_ones(fitted):
    features, y, logits = signs(2)
    unknown = fitted(logits, features).unknown_N
    assert auroc(unknown[y >= 0], unknown[y < 0]) > 0.98
    assert (unknown[y < 0] > 0.5).mean() > 0.9
    assert (unknown[y >= 0] > 0.5).mean() < 0.1


def test_the_threshold_keeps_its_share_of_validation(fitted):
    val, val_y, logits = signs(1)
    known = (val_y >= 0) & (logits.argmax(1) == val_y)
    unknown = fitted(logits, val).unknown_N[known]
    assert (unknown <= 0.5).mean() >= KEPT
    assert np.median(unknown) == pytest.approx(0.05, abs=0.01)


def test_network_and_labels_are_as_ever_while_nothing_is_taught(fitted):
    features, _, logits = signs(2)
    assert fitted(logits, features).logits_NK is logits


def test_a_taught_sign_wins_its_clips_and_few_others(fitted):
    features, y, logits = signs(2)
    new = slice(SIGNS * EACH, SIGNS * EACH + 3)
    shown = fitted.prototypes.with_sign(fitted.prototypes.place(features[new]))
    taught = OpenSet(SIGNS, shown, fitted.figure, fitted.threshold, fitted.slope, fitted.heat)
    rest = slice(SIGNS * EACH + 3, (SIGNS + 1) * EACH)
    answers = taught(logits, features)
    assert answers.logits_NK.shape == (len(logits), SIGNS + 1)
    assert np.allclose(np.exp(log_softmax(answers.logits_NK)).sum(1), 1)
    best = answers.logits_NK.argmax(1)
    assert (best[rest] == SIGNS).mean() > 0.9
    assert (best[y >= 0] == y[y >= 0]).mean() > 0.97
    assert (answers.unknown_N[rest] > 0.5).mean() < 0.4 < (fitted(logits, features).unknown_N[rest] > 0.5).mean()


def test_the_order_among_the_signs_of_training_stays_the_networks(fitted):
    features, _, logits = signs(3)
    shown = fitted.prototypes.with_sign(fitted.prototypes.place(features[-2:]))
    found = OpenSet(SIGNS, shown, heat=fitted.heat)(logits, features).logits_NK[:, :SIGNS]
    assert (found.argsort(1) == logits.astype(np.float32).argsort(1)).mean() > 0.999


def test_one_clip_is_believed_less_than_many(fitted):
    space = fitted.prototypes
    place = np.array([[2.0] * len(space.spread_E)])
    once = space.with_sign(place).log_likelihood(place)[0, -1]
    often = space.with_sign(np.repeat(place, 50, axis=0)).log_likelihood(place)[0, -1]
    assert often > once > space.log_likelihood_of_another(place)[0]


def test_without_validation_there_is_a_space_and_no_score():
    features, y, logits = signs(0)
    found = fit_open_set((features[y >= 0], y[y >= 0]), None, None, None, SIGNS)
    answers = found(logits, features)
    assert answers.unknown_N is None
    assert answers.places_NE is not None


def test_networks_without_features_have_a_score_of_their_answer():
    _, y, logits = signs(1)
    known = y >= 0
    found = fit_open_set(None, logits[known], None, y[known], SIGNS)
    assert found.figure == "entropy"
    assert found(logits, None).unknown_N.shape == (len(y),)


def test_too_few_validation_clips_give_no_threshold():
    features, y, logits = signs(0)
    few = np.flatnonzero(y >= 0)[:8]
    found = fit_open_set((features[y >= 0], y[y >= 0]), logits[few], features[few], y[few], SIGNS)
    assert found.figure is None


@pytest.mark.parametrize("n", [2, 3, 5])
def test_a_space_of_very_few_clips(n):
    rng = np.random.default_rng(n)
    space = fit_prototypes(rng.normal(size=(2 * n, 300)), np.repeat(np.arange(n), 2), n)
    assert np.isfinite(space.strangeness(space.place(rng.normal(size=(4, 300))))).all()


def test_a_sign_without_clips_is_refused():
    with pytest.raises(InputError, match="want clips of each of 3 signs"):
        fit_prototypes(np.eye(4), np.array([0, 0, 1, 1]), 3)


def test_arrays_come_back_as_they_were(fitted):
    features, _, logits = signs(2)
    again = prototypes_of_arrays(fitted.prototypes.as_arrays())
    kept = json.loads(json.dumps(fitted.as_json()))
    other = OpenSet(SIGNS, again, kept["figure"], kept["threshold"], kept["slope"], kept["heat"])
    assert np.array_equal(other(logits, features).unknown_N, fitted(logits, features).unknown_N)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.integers(1, 40))
def test_rows_of_every_sign_are_kept(labels, most):
    y = np.array(labels)
    rows = spread_rows(y, most)
    assert set(y[rows]) == set(labels)
    assert (np.diff(rows) > 0).all()
    assert np.bincount(y[rows]).max() <= max(2, most // len(set(labels)))


def test_auroc():
    assert auroc(np.array([0.1, 0.2]), np.array([0.3, 0.4])) == 1.0
    assert auroc(np.array([0.3]), np.array([0.3])) == 0.5
    assert auroc(np.array([0.3]), np.array([])) is None


def test_a_fusion_weighs_the_scores_of_those_that_tell():
    fusion = Fusion((0.25, 0.75))
    present = np.array([[True, True], [True, False]])
    found = fusion.unknown([np.array([0.9, 0.9]), np.array([0.1, 0.5])], present)
    assert log_odds(found)[0] == pytest.approx(-0.5 * log_odds(np.array([0.9]))[0])
    assert found[1] == pytest.approx(0.9)
    assert fusion.unknown([None, np.array([0.2, 0.2])], present) is None  # the second clip has none that tells
    assert fusion.unknown([np.array([0.2, 0.2]), None], present) == pytest.approx([0.2, 0.2])


def test_evaluation_tells_known_signs_from_others():
    from signloom.data.manifest import Record

    records = tuple(Record(str(k), label, f"s{k}") for k, label in enumerate("aabz"))
    logits = np.zeros((4, 2), np.float32)
    found = open_set_results([Scores(records, ("a", "b"), logits, np.array([0.1, 0.6, 0.2, 0.9]))])
    assert found["lost"]["value"] == pytest.approx(1 / 3)
    assert found["found"]["value"] == found["auroc"] == 1.0
    assert open_set_results([Scores(records, ("a", "b"), logits)]) is None
