from __future__ import annotations

import numpy as np
import pytest

from signloom.synthetic.body import hand_joints
from signloom.synthetic.lexicon import HANDSHAPES, LEXICON, NAMES, PLACES, direction


def test_at_least_twenty_signs_with_distinct_names_and_forms():
    assert len(LEXICON) >= 20
    assert len(set(NAMES)) == len(LEXICON)
    assert len({s.form for s in LEXICON}) == len(LEXICON)
    assert len({(s.hand, s.two_hands, s.other) for s in LEXICON}) == len(LEXICON)


def test_the_lexicon_uses_what_sign_languages_use():
    assert len({s.hand.shape for s in LEXICON}) >= 10
    assert len({s.hand.place for s in LEXICON}) >= 8
    assert len({s.hand.path.kind for s in LEXICON}) >= 5
    assert {s.two_hands for s in LEXICON} == {"", "mirror", "alternate", "base"}


@pytest.mark.parametrize("sign", LEXICON, ids=NAMES)
def test_every_sign_names_shapes_places_and_square_directions(sign):
    assert (sign.two_hands == "base") == (sign.other is not None)
    for hand in filter(None, (sign.hand, sign.other)):
        assert hand.place in PLACES
        assert hand.shape in HANDSHAPES
        assert hand.shape_end is None or hand.shape_end in HANDSHAPES
        # A palm that points where the fingers point is no orientation.
        assert abs(direction(hand.palm) @ direction(hand.fingers)) < 0.85


@pytest.mark.parametrize("name", HANDSHAPES)
def test_bending_a_finger_keeps_its_bones(name):
    bones = [(0, 1), *((k, k + 1) for start in (1, 5, 9, 13, 17) for k in range(start, start + 3))]
    straight, bent = hand_joints(np.zeros(20)), hand_joints(HANDSHAPES[name])
    for a, b in bones:
        assert np.linalg.norm(bent[a] - bent[b]) == pytest.approx(np.linalg.norm(straight[a] - straight[b]))


def test_a_fist_is_shorter_than_a_flat_hand():
    flat, fist = hand_joints(HANDSHAPES["flat"]), hand_joints(HANDSHAPES["fist"])
    assert flat[12, 1] > 0.17
    assert fist[:, 1].max() < 0.12
