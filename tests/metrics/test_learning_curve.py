"""A power law through accuracies, and what it says of more."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signloom.errors import InputError
from signloom.metrics.learning_curve import accuracy_at, fit_power_law, learning_curve


@given(st.floats(0, 0.3), st.floats(0.1, 0.6), st.floats(0.2, 1.5))
def test_a_power_law_is_found_again(a, b, c):
    n = np.array([1, 2, 4, 8, 16])
    law = fit_power_law(n, a + b * n**-c)
    assert accuracy_at(law, 32) == pytest.approx(np.clip(1 - a - b * 32.0**-c, 0, 1), abs=0.02)


@given(st.lists(st.floats(0, 1), min_size=3, max_size=6))
def test_whatever_was_measured_more_is_never_worse_and_stays_a_share(accuracies):
    n = 2.0 ** np.arange(len(accuracies))
    law = fit_power_law(n, 1 - np.array(accuracies))
    ahead = [accuracy_at(law, k) for k in (n[-1], 2 * n[-1], 1000 * n[-1])]
    assert all(0 <= v <= 1 for v in ahead)
    assert ahead == sorted(ahead)


def test_the_band_is_wider_for_folds_that_differ():
    rng = np.random.default_rng(0)
    n, mean = [1, 2, 4, 8], np.array([0.6, 0.75, 0.85, 0.9])
    wide = [
        learning_curve(n, mean + s * rng.normal(size=(9, 1)) * np.array([1, 0.8, 0.6, 0.5]), [16])["ahead"][0]
        for s in (0.01, 0.08)
    ]
    assert all(w["low"] <= w["value"] <= w["high"] for w in wide)
    assert wide[0]["high"] - wide[0]["low"] < wide[1]["high"] - wide[1]["low"]


def test_the_truth_lies_in_the_band_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    n, inside = np.array([1, 2, 4, 8]), 0
    for trial in range(30):
        own = 0.3 + 0.1 * rng.normal(size=(9, 1))  # each fold has an error of its own, which falls alike
        measured = 1 - (0.02 + own * n**-0.7 + 0.01 * rng.normal(size=(9, 4)))
        ahead = learning_curve(n, measured, [16], seed=trial)["ahead"][0]
        inside += ahead["low"] <= 1 - (0.02 + 0.3 * 16**-0.7) <= ahead["high"]
    assert inside >= 20


def test_two_folds_have_no_band():
    found = learning_curve([1, 2, 4], np.array([[0.5, 0.6, 0.7], [0.4, 0.5, 0.6]]), [8])
    assert found["ahead"][0]["low"] is None
    assert found["points"][0]["low"] is None


def test_two_sizes_are_too_few():
    with pytest.raises(InputError, match="3 sizes or more"):
        fit_power_law(np.array([1, 2, 2]), np.array([0.5, 0.4, 0.4]))
