"""Faces laid out alike: wherever, however large and however turned they were filmed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signloom.streams.face_crop import blurred
from signloom.streams.face_layout import (
    HAND,
    KEPT,
    NO_FACE,
    OUTSIDE,
    PROFILE,
    SMALL,
    UNSURE,
    Warp,
    in_square,
    judged,
    layout_of,
    similarities,
    square_places,
    standard_face,
)
from signloom.streams.standard_body import standard_body
from signloom.synthetic.faces import SIZE_PX, told_faces, told_points

JOINTS = list(standard_body().face_joints)


def points_of(n=5, turned=0.0):
    """Points of a few frames as an estimator gives them: the 27 joints first."""
    rng = np.random.default_rng(0)
    told = told_points(rng.beta(0.5, 1, (n, 5)), np.tile([turned, 0.0], (n, 1)))
    return [np.concatenate([p[JOINTS], p]) for p in told]


@given(st.floats(-40, 40), st.floats(0.4, 3), st.floats(-200, 500), st.floats(-200, 500))
def test_a_face_elsewhere_larger_and_tilted_has_the_same_layout(angle, scale, x, y):
    points = points_of()
    c, s = scale * np.cos(np.radians(angle)), scale * np.sin(np.radians(angle))
    moved = [p @ np.array([[c, s], [-s, c]]) + [x, y] for p in points]
    one, other = layout_of(points), layout_of(moved)
    assert np.allclose(one.usual_P2, other.usual_P2, atol=1e-6)
    assert np.allclose(other.eyes_px_T, scale * one.eyes_px_T, rtol=1e-6)
    assert np.allclose(one.turned_T, other.turned_T, atol=1e-6)


def test_crops_of_a_face_and_of_the_same_face_moved_are_alike():
    rng = np.random.default_rng(1)
    [(frame, points)] = told_faces(np.zeros((1, 5)), np.zeros((1, 2)), rng)
    row = np.concatenate([points[JOINTS], points])
    shifted = np.roll(frame, (7, -9), (0, 1))
    one = layout_of([row]).crop(frame, 0, 64)
    other = layout_of([np.add(row, [-9, 7])]).crop(shifted, 0, 64)
    middle = np.s_[14:56, 14:50]
    assert np.abs(one[middle].astype(int) - other[middle]).max() <= 2


def test_eyes_and_mouth_lie_where_the_standard_face_has_them():
    """A white dot on each of the joints in the frame comes to lie on that of the standard face."""
    points = points_of(1)[0]
    frame = np.zeros((SIZE_PX, SIZE_PX, 3), np.uint8)
    layout = layout_of([points])
    at = in_square(standard_face(), 256)
    for k in (0, 1, 16, 19, 20, 23, 24):  # corners of the mouth and eyes, and the chin
        x, y = points[k]
        frame[:] = 0
        frame[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2] = 255
        crop = layout.crop(frame, 0, 256)[..., 0].astype(float)
        yx = np.stack(np.meshgrid(np.arange(256), np.arange(256), indexing="ij"), -1) + 0.5
        found = (yx * crop[..., None]).sum((0, 1)) / crop.sum()
        assert np.linalg.norm(found[::-1] - at[k]) < 4


def test_a_warp_and_back_is_where_it_was():
    usual = layout_of(points_of()).usual_P2 * [1.08, 0.94]
    warp = Warp.between(standard_face(), usual)
    places = square_places(32)
    inner = (np.abs(places[..., 0]) < 0.7) & (np.abs(places[..., 1] - 0.3) < 0.8)
    assert np.abs(warp.back(warp.there(places)) - places)[inner].max() < 0.02
    assert np.abs(warp.there(standard_face()[:, None])[:, 0] - usual).mean() < 0.01  # a closed mouth is in one place


def test_places_of_the_square_and_back():
    assert np.allclose(in_square(square_places(48), 48)[10, 20], [20.5, 10.5], atol=1e-4)


def test_a_similarity_is_found():
    rng = np.random.default_rng(3)
    a = rng.normal(size=(7, 2))
    b = a @ np.array([[0, 2.0], [-2.0, 0]]) + [5, -1]
    turn, shift = similarities(a, b[None])
    assert np.allclose(a @ turn[0] + shift[0], b)


def test_a_turned_head_is_told_and_to_which_side():
    degrees = np.array([-30.0, 0, 30])
    told = told_points(np.zeros((3, 5)), np.stack([degrees, np.zeros(3)], 1))
    turned = layout_of([p[JOINTS] for p in told]).turned_T
    assert abs(turned[1]) < 0.05
    assert np.sign(turned[0]) == -np.sign(turned[2])
    assert min(abs(turned[[0, 2]])) > 0.15


def test_what_is_no_good_is_told_by_its_reason():
    good = points_of(7)
    size = (SIZE_PX, SIZE_PX)
    rows = [
        *good,
        None,
        good[0] * 0.1,
        good[0] - [150, 0],
        good[1] + np.random.default_rng(0).normal(0, 30, good[1].shape),
    ]
    hands = [()] * len(rows)
    hand = np.tile(good[2].mean(0), (21, 1)) + np.random.default_rng(1).uniform(-40, 40, (21, 2))
    hands[2] = (hand,)
    letters = judged(layout_of(rows), hands, size)
    assert letters[:2] + letters[3:7] == KEPT * 6
    assert letters[2] == HAND
    assert letters[7] == NO_FACE
    assert letters[8] == SMALL
    assert letters[9] == OUTSIDE
    assert letters[10] in (UNSURE, PROFILE)


def test_a_blurred_face_among_sharp_ones_is_told():
    rng = np.random.default_rng(0)
    sharp = [rng.integers(0, 255, (64, 64, 3)).astype(np.uint8) for _ in range(5)]
    flat = np.repeat(np.repeat(sharp[0][::16, ::16], 16, 0), 16, 1)
    import cv2

    assert blurred([*sharp, cv2.GaussianBlur(flat, (0, 0), 8)]).tolist() == [False] * 5 + [True]
    assert blurred([]).shape == (0,)


@pytest.mark.parametrize("n", [0, 3])
def test_a_clip_without_any_face_has_a_layout_that_says_so(n):
    layout = layout_of([None] * n)
    assert not layout.here_T.any()
    assert judged(layout, [()] * n, (64, 64)) == NO_FACE * n
