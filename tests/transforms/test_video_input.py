"""Which frames a video model sees, and how."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from signloom.errors import InputError
from signloom.tasks.recognise.recipes import AS_FILMED
from signloom.transforms.video_augment import Draw, VideoAugment
from signloom.transforms.video_input import TIME_CROPS, VideoInput, left_moves_more

PLAIN = VideoInput(n_frames=8, size_px=32, resize_px=32)


@pytest.mark.parametrize("n_stored", [1, 3, 8, 29, 200])
def test_uniform_sampling_is_the_published_rule(n_stored):
    assert PLAIN.rows(n_stored).tolist() == [int(i * n_stored / 8) for i in range(8)]


def test_the_parts_that_vote_leave_out_what_they_say():
    assert PLAIN.rows(100, crop=(0.06, 0.94)).tolist() == [int(6 + i / 8 * 88) for i in range(8)]
    assert TIME_CROPS[0] == (0.0, 1.0)
    for n_stored in (1, 3, 50):
        for crop in TIME_CROPS:
            rows = PLAIN.rows(n_stored, crop=crop)
            assert rows.min() >= 0
            assert rows.max() < n_stored


def test_a_window_stands_in_the_middle_and_a_short_clip_repeats_its_end():
    window = replace(PLAIN, sampling="window")
    assert window.rows(20).tolist() == list(range(6, 14))
    assert window.rows(5).tolist() == [0, 1, 2, 3, 4, 4, 4, 4]
    starts = {int(window.rows(20, VideoAugment().draw(seed))[0]) for seed in range(60)}
    assert min(starts) <= 1
    assert max(starts) >= 11


@pytest.mark.parametrize("n_stored", [1, 5, 40])
def test_training_frames_ascend_and_exist(n_stored):
    for seed in range(20):
        rows = PLAIN.rows(n_stored, VideoAugment().draw(seed))
        assert (np.diff(rows) >= 0).all()
        assert rows.min() >= 0
        assert rows.max() < n_stored


def test_values_lie_in_minus_one_to_one_whatever_is_drawn():
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (8, 40, 60, 3), np.uint8)
    flow = rng.normal(0, 30, (8, 40, 60, 2)).astype(np.float32)
    for seed in range(20):
        draw = VideoAugment().draw(seed)
        for x in (PLAIN.frames(frames, draw), PLAIN.flow(flow, draw)):
            assert x.shape[1:] == (8, 32, 32)
            assert x.dtype == np.float32
            assert np.abs(x).max() <= 1


def test_black_is_minus_one_and_full_flow_is_one():
    frames = np.zeros((8, 32, 32, 3), np.uint8)
    assert (PLAIN.frames(frames) == -1).all()
    assert (PLAIN.flow(np.full((8, 32, 32, 2), 20.0, np.float32)) == 1).all()


def test_flow_is_measured_in_pixels_of_what_the_network_sees():
    """A clip stored at twice the size holds vectors twice as long; the network is to see the same."""
    small = PLAIN.flow(np.full((8, 32, 32, 2), 3.0, np.float32))
    large = PLAIN.flow(np.full((8, 64, 64, 2), 6.0, np.float32))
    np.testing.assert_allclose(small, large, atol=1e-5)


def test_strength_zero_changes_nothing():
    assert all(getattr(AS_FILMED, f.name) == 0 for f in fields(AS_FILMED) if f.name != "erase_size")
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (8, 40, 60, 3), np.uint8)
    draw = AS_FILMED.draw(5)
    np.testing.assert_allclose(PLAIN.frames(frames, draw), PLAIN.frames(frames), atol=0.5 / 127.5)
    assert PLAIN.rows(50, draw).tolist() == PLAIN.rows(50).tolist()
    flow = rng.normal(0, 3, (8, 40, 60, 2)).astype(np.float32)
    np.testing.assert_allclose(PLAIN.flow(flow, draw), PLAIN.flow(flow), atol=1e-6)


def test_the_same_seed_is_the_same_draw_and_another_is_another():
    assert VideoAugment().draw(4) == VideoAugment().draw(4) != VideoAugment().draw(5)


def test_one_draw_moves_frames_and_flow_alike():
    """A bright square that is also where the flow is stays where the flow is."""
    frames = np.zeros((8, 64, 64, 3), np.uint8)
    flow = np.zeros((8, 64, 64, 2), np.float32)
    frames[:, 20:36, 10:30] = 255
    flow[:, 20:36, 10:30] = 10.0
    inputs = VideoInput(n_frames=8, size_px=64, resize_px=64)
    still = VideoAugment(erase=0, noise=0, brightness=0, contrast=0, gamma=0, tint=0, saturation=0, grey=0)
    for seed in range(10):
        draw = still.draw(seed)
        seen, moved = inputs.frames(frames, draw)[0, 0] > 0, np.hypot(*inputs.flow(flow, draw)[:, 0]) > 0.25
        assert (seen != moved).mean() < 0.03


def test_mirroring_is_what_the_draw_says():
    frames = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)
    draw = Draw(linear=((-1.0, 0.0), (0.0, 1.0)))
    np.testing.assert_allclose(PLAIN.frames(frames, draw), PLAIN.frames(frames)[..., ::-1], atol=1 / 127)


@pytest.mark.parametrize("wrong", [{"n_frames": 0}, {"size_px": 4}, {"sampling": "often"}])
def test_nonsense_is_refused(wrong):
    with pytest.raises(InputError, match="got"):
        VideoInput(**wrong)


def test_joints_move_with_the_frames_they_are_in():
    """A white spot at a joint is found where the joint is said to be, mirrored or not."""
    frames = np.zeros((8, 64, 96, 3), np.uint8)
    frames[:, 18:22, 58:62] = 255
    seen = np.tile(np.array([[60 / 96, 20 / 64, 1.0], [0.1, 0.1, 0.0]]), (8, 1, 1))
    inputs = VideoInput(n_frames=8, size_px=64, resize_px=64)
    still = VideoAugment(erase=0, noise=0, brightness=0, contrast=0, gamma=0, tint=0, saturation=0, grey=0, mirror=0.5)
    swap = np.array([1, 0])
    mirrored = 0
    for seed in range(12):
        draw = still.draw(seed)
        for mirror in (False, True):
            x = inputs.frames(frames, draw, mirror=mirror)[0, 0] + 1
            place, present = inputs.joints(seen, 96, 64, swap, draw, mirror=mirror)
            joint = int(present[0].argmax())
            mirrored += joint
            if not present[0].any():
                continue
            ys, xs = np.mgrid[:64, :64] + 0.5
            spot = np.array([(xs * x).sum(), (ys * x).sum()]) / x.sum()
            np.testing.assert_allclose((place[0, joint] + 1) * 32, spot, atol=1.0)
    assert 0 < mirrored < 24


def moving(at, channels=3):
    """A clip in which a square moves up and down at column ``at``."""
    clip = np.full((10, 40, 60, channels), 128, np.uint8)
    for t in range(10):
        clip[t, 5 + 2 * t : 12 + 2 * t, at : at + 8] = 220
    return clip


@pytest.mark.parametrize("channels", [2, 3])
def test_the_hand_that_moves_more_is_put_on_the_same_side(channels):
    assert left_moves_more(moving(45, channels))
    assert not left_moves_more(moving(5, channels))
    assert not left_moves_more(np.full((10, 40, 60, channels), 128, np.uint8))


def test_a_left_hander_is_seen_as_a_right_hander():
    left, right = moving(45), moving(60 - 45 - 8)
    frames = [PLAIN.frames(clip[:8], mirror=left_moves_more(clip)) for clip in (left, right)]
    np.testing.assert_allclose(frames[0], frames[1], atol=1 / 127)
