"""Stretches of time compared: frame by frame and one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signloom.metrics.segments import Found, compared, inside, matched, overlap

TIMES = np.arange(100) / 10


@st.composite
def apart(draw):
    """Stretches in order, none over another."""
    edges = sorted(draw(st.lists(st.integers(0, 99), min_size=0, max_size=12, unique=True)))
    return [(a / 10, b / 10) for a, b in zip(edges[::2], edges[1::2])]


@given(apart())
def test_what_is_found_as_it_is_scores_one(real):
    found = compared(TIMES, real, real)
    assert (found.frame_iou, found.f1) == ((1.0, 1.0) if real else (None, None))
    assert found.hits == len(real)


@given(apart(), apart())
def test_both_ways_are_alike_and_nobody_is_matched_twice(real, found):
    forth, back = compared(TIMES, real, found), compared(TIMES, found, real)
    assert (forth.common, forth.either, forth.hits) == (back.common, back.either, back.hits)
    pairs = matched(real, found)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    assert all(overlap(real[i], found[j]) >= 0.5 for i, j in pairs)


def test_two_halves_are_no_whole():
    found = compared(TIMES, [(1.0, 5.0)], [(1.0, 2.9), (3.0, 5.0)])
    assert (found.hits, found.found, found.real) == (1, 2, 1)
    assert found.f1 == pytest.approx(2 / 3)
    assert found.frame_iou == pytest.approx(39 / 40)


def test_an_end_is_outside_and_recordings_add_up():
    assert inside(TIMES, [(0.0, 0.3)]).sum() == 3
    assert Found(1, 2, 3, 4, 5) + Found(1, 1, 1, 1, 1) == Found(2, 3, 4, 5, 6)
