"""An attacker that learns people: sure where they differ, at chance where they do not."""

import numpy as np
import pytest

from signloom.errors import InputError
from signloom.metrics.verifier import Verifier, identified


def people(apart: float, n: int = 30, seed: int = 0):
    rng = np.random.default_rng(seed)
    names = [f"p{k % 5}" for k in range(5 * n)]
    centres = np.random.default_rng(99).normal(0, apart, (5, 8))
    return np.stack([centres[int(name[1])] for name in names]) + rng.normal(0, 1, (len(names), 8)), names


def test_people_who_differ_are_named_and_those_who_do_not_are_guessed():
    for apart, low, high in ((4.0, 0.95, 1.0), (0.0, 0.05, 0.4)):
        x, names = people(apart)
        asked, wanted = people(apart, seed=1)
        attacker = Verifier(x, names)
        found = identified(attacker.scores(asked), attacker.people, wanted)
        assert low <= found["rank1"]["value"] <= high
        assert found["rank1"]["low"] <= found["rank1"]["value"] <= found["rank1"]["high"]
        assert found["chance"] == 0.2
        auc = found["auc"]["value"]
        assert (auc > 0.95) if apart else (0.4 < auc < 0.6)


def test_a_feature_that_never_changes_does_no_harm():
    x, names = people(3.0)
    with_constant = np.concatenate([x, np.ones((len(x), 1))], 1)
    a, b = (Verifier(f, names) for f in (x, with_constant))
    assert (a.scores(x).argmax(1) == b.scores(with_constant).argmax(1)).mean() > 0.97


def test_one_person_alone_cannot_be_told_from_others():
    with pytest.raises(InputError, match="people apart"):
        Verifier(np.zeros((3, 2)), ["a", "a", "a"])
