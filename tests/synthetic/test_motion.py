from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from signloom.synthetic.body import make_signer, mirror_signer, rotation, rotation_vector, unit
from signloom.synthetic.lexicon import LEXICON, NAMES
from signloom.synthetic.motion import LEFT, RATE_HZ, RIGHT, perform


def _perform(sign, signer, seed=3):
    return perform(sign, signer, np.random.default_rng(seed))


def test_rotation_and_its_inverse():
    rng = np.random.default_rng(0)
    vectors = unit(rng.normal(size=(500, 3))) * rng.uniform(0, np.pi, (500, 1))
    assert np.allclose(rotation_vector(rotation(vectors)), vectors, atol=1e-9)
    assert np.allclose(rotation(np.zeros(3)), np.eye(3))


@pytest.mark.parametrize("sign", LEXICON, ids=NAMES)
def test_bones_keep_their_length_and_wrists_stay_human(sign):
    signer = make_signer(4)
    motion = _perform(sign, signer)
    for side in (RIGHT, LEFT):
        wrist = motion.hands[:, side, 0]
        upper = np.linalg.norm(motion.elbows[:, side] - motion.shoulders[:, side], axis=-1)
        fore = np.linalg.norm(wrist - motion.elbows[:, side], axis=-1)
        assert np.allclose(upper, signer.upper_arm_m, atol=1e-6)
        assert np.allclose(fore, signer.forearm_m, atol=1e-6)
        palm_length = np.linalg.norm(motion.hands[:, side, 9] - wrist, axis=-1)
        assert np.ptp(palm_length) < 1e-9
        middle = unit(motion.hands[:, side, 9] - wrist)
        bend = np.degrees(np.arccos((middle * unit(wrist - motion.elbows[:, side])).sum(-1)))
        assert bend.max() < 80


@pytest.mark.parametrize("sign", LEXICON, ids=NAMES)
def test_a_take_starts_and_ends_at_rest_and_is_smooth(sign):
    motion = _perform(sign, make_signer(0))
    wrist = motion.hands[:, RIGHT, 0]
    assert np.linalg.norm(wrist[0] - wrist[-1]) < 0.02
    assert np.linalg.norm(wrist - wrist[0], axis=-1).max() > 0.1
    acceleration = np.diff(wrist, 2, axis=0) * RATE_HZ**2
    assert np.linalg.norm(acceleration, axis=-1).max() < 60  # m/s²: brisk, but an arm's


@pytest.mark.parametrize("sign", LEXICON, ids=NAMES)
def test_hands_stay_outside_of_the_head(sign):
    signer = make_signer(1)
    motion = _perform(sign, signer)
    local = np.einsum("nji,nskj->nski", motion.head_turn, motion.hands - motion.head[:, None, None])
    radii = np.array([0.062, 0.095, 0.075])
    assert ((local / radii) ** 2).sum(-1).min() > 1


def test_left_handed_is_the_mirror_image():
    signer = make_signer(2)
    right, left = (_perform(LEXICON[3], s) for s in (signer, mirror_signer(signer)))
    mirrored = right.mirrored()
    for f in fields(left):
        assert np.array_equal(getattr(left, f.name), getattr(mirrored, f.name)), f.name
    assert np.ptp(left.hands[:, LEFT, 0], axis=0).max() > 5 * np.ptp(left.hands[:, RIGHT, 0], axis=0).max()


def test_mirroring_twice_changes_nothing():
    motion = _perform(LEXICON[4], make_signer(0))
    twice = motion.mirrored().mirrored()
    for f in fields(motion):
        assert np.array_equal(getattr(motion, f.name), getattr(twice, f.name)), f.name


def test_takes_differ_but_the_same_generator_gives_the_same_take():
    signer = make_signer(0)
    a, b, c = (_perform(LEXICON[0], signer, seed) for seed in (1, 1, 2))
    assert np.array_equal(a.hands, b.hands)
    assert len(a) != len(c) or not np.allclose(a.hands, c.hands)


def test_style_shows():
    slow, fast = (replace(make_signer(0), speed=s) for s in (0.8, 1.25))
    assert len(_perform(LEXICON[0], slow)) > 1.3 * len(_perform(LEXICON[0], fast))
    small, large = (replace(make_signer(0), amplitude=a, speed=1.0) for a in (0.7, 1.3))
    reach = [np.ptp(_perform(LEXICON[2], s).hands[:, RIGHT, 0, 0]) for s in (small, large)]
    assert reach[1] > reach[0]


def test_sampling_keeps_times_and_values():
    motion = _perform(LEXICON[0], make_signer(0))
    video = motion.sampled(25.0)
    assert len(video) == int(motion.duration_s * 25) + 1
    assert np.allclose(video.hands, motion.hands[::8][: len(video)])
