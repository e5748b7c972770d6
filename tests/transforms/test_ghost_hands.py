"""One hand reported as both is told from hands that are laid together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signloom.data.skeleton import INDEX, JOINTS, PARTS, Joints
from signloom.transforms.ghost_hands import ghost_hands, ghosts_of

T = 12
UNIT = 100.0
_HAND = np.stack([np.linspace(-12, 12, 21), -3.0 * (np.arange(21) % 5)], 1)


def signer(left_wrist, right_wrist):
    """Somebody with both wrists at those places ((T, 2) or one for all), and a hand at each, its root on the wrist."""
    xy = np.zeros((T, len(JOINTS), 2), np.float32)
    present = np.zeros(xy.shape[:2], bool)
    for side, shoulder, wrist in (("left", (350, 200), left_wrist), ("right", (250, 200), right_wrist)):
        xy[:, INDEX[f"{side}_shoulder"]] = shoulder
        xy[:, INDEX[f"{side}_wrist"]] = wrist
        hand = PARTS[f"{side}_hand"]
        xy[:, hand] = xy[:, [INDEX[f"{side}_wrist"]]] + _HAND - _HAND[0]
        present[:, [INDEX[f"{side}_shoulder"], INDEX[f"{side}_wrist"]]] = True
        present[:, hand] = True
    return Joints(xy, present, 25.0)


def with_ghost(joints, rows, side="left"):
    """``joints`` with the other hand found a second time, as the one on ``side``, in ``rows``."""
    other = "right" if side == "left" else "left"
    xy = joints.xy_TJC.copy()
    trembling = np.random.default_rng(0).normal(0, 1, (len(rows), 21, 2))
    xy[rows, PARTS[f"{side}_hand"]] = xy[rows, PARTS[f"{other}_hand"]] + trembling
    return replace(joints, xy_TJC=xy)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_hand_whose_arm_is_elsewhere_is_a_ghost(side):
    rows = np.array([3, 4, 5])
    joints = with_ghost(signer((360, 420), (270, 300)), rows, side)
    ghosts_TS = ghost_hands(joints)
    assert np.flatnonzero(ghosts_TS[:, int(side == "right")]).tolist() == rows.tolist()
    assert not ghosts_TS[:, int(side != "right")].any()


@pytest.mark.parametrize("apart", [0, 10, 20, 35])
def test_hands_laid_together_stay_even_where_both_are_found_on_one_place(apart):
    joints = with_ghost(signer((300 + apart, 300), (300, 300)), np.arange(T))
    assert not ghost_hands(joints).any()


def test_what_is_plain_in_one_frame_decides_for_those_around_it():
    # The hidden arm's wrist is guessed nearer and nearer to the hand that is seen, and farther away at last.
    off = np.array([30, 30, 30, 10, 30, 35, 60, 35, 30, 10, 30, 30])
    joints = with_ghost(signer(np.stack([270 + off, np.full(T, 300)], 1), (270, 300)), np.arange(T))
    assert np.flatnonzero(ghost_hands(joints)[:, 0]).tolist() == [4, 5, 6, 7, 8]


def test_without_arms_or_shoulders_nothing_is_a_ghost():
    joints = with_ghost(signer((360, 420), (270, 300)), np.arange(T))
    blind = joints.present_TJ.copy()
    blind[:, INDEX["left_wrist"]] = False
    assert not ghost_hands(replace(joints, present_TJ=blind)).any()
    assert not ghosts_of(joints.xy_TJC, joints.present_TJ, None).any()
    assert ghost_hands(joints[:0]).shape == (0, 2)


def test_mirroring_exchanges_the_ghosts():
    joints = with_ghost(signer((360, 420), (270, 300)), np.array([2, 7]))
    np.testing.assert_array_equal(ghost_hands(joints.mirrored()), ghost_hands(joints)[:, ::-1])


@given(
    apart=st.tuples(st.floats(45, 300), st.floats(0, 2 * np.pi)),
    scale=st.floats(0.1, 8),
    rows=st.lists(st.integers(0, T - 1), min_size=1, max_size=T, unique=True),
)
def test_ghosts_are_found_exactly_where_they_are_at_every_size_and_place(apart, scale, rows):
    length, angle = apart
    there = np.array([300, 300]) + length * np.array([np.cos(angle), np.sin(angle)])
    joints = with_ghost(signer(there, (300, 300)), np.array(rows))
    joints = replace(joints, xy_TJC=joints.xy_TJC * np.float32(scale))
    ghosts_TS = ghost_hands(joints)
    assert np.flatnonzero(ghosts_TS[:, 0]).tolist() == sorted(rows)
    assert not ghosts_TS[:, 1].any()
    # Once they are gone, nothing more is found.
    present = joints.present_TJ.copy()
    present[np.ix_(ghosts_TS[:, 0], np.arange(len(JOINTS))[PARTS["left_hand"]])] = False
    assert not ghost_hands(replace(joints, present_TJ=present)).any()
