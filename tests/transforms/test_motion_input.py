"""What a segmenter sees of a frame: the same one by one, anywhere in the picture, whatever the face does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signloom.data.skeleton import INDEX, JOINTS, PARTS
from signloom.errors import InputError
from signloom.transforms.motion_input import MotionInput

INPUTS = MotionInput()


def moving(seed, n=40, fps=25.0):
    """Times, joints in pixels and which are present: shoulders that stay, all else wanders and is lost now and then."""
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.5, 1.5, n)) / fps
    xy = 200 + np.cumsum(rng.normal(0, 4, (n, len(JOINTS), 2)), 0)
    xy[:, INDEX["left_shoulder"]] = [260, 150]
    xy[:, INDEX["right_shoulder"]] = [160, 150]
    present = rng.random((n, len(JOINTS))) > 0.2
    present[:, PARTS["left_hand"]] = (rng.random(n) > 0.4)[:, None]
    xy = np.where(present[..., None], xy, 0).astype(np.float32)
    return times, xy, present


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.lists(st.integers(1, 39), max_size=5))
def test_frames_one_by_one_or_in_pieces_are_seen_as_all_at_once(seed, cuts):
    times, xy, present = moving(seed)
    whole, _ = INPUTS.features(times, xy, present)
    for edges in (sorted({0, 40, *cuts}), range(41)):
        carried, parts = None, []
        for a, b in zip([*edges], [*edges][1:]):
            found, carried = INPUTS.features(times[a:b], xy[a:b], present[a:b], carried)
            parts.append(found)
        assert np.array_equal(np.concatenate(parts), whole)
    assert whole.shape == (40, INPUTS.n_features)
    assert np.isfinite(whole).all()


def test_neither_the_camera_nor_the_clock_nor_the_face_matters():
    times, xy, present = moving(3)
    whole, _ = INPUTS.features(times, xy, present)
    nearer, _ = INPUTS.features(times + 100, np.where(present[..., None], xy * 2 + 50, 0), present)
    assert nearer == pytest.approx(whole, abs=1e-3)
    faces = present.copy()
    faces[:, PARTS["face"]] = False
    assert np.array_equal(INPUTS.features(times, xy, faces)[0], whole)


def test_what_an_absent_joint_holds_does_not_matter():
    times, xy, present = moving(4)
    scribbled = np.where(present[..., None], xy, 77).astype(np.float32)
    assert np.array_equal(INPUTS.features(times, scribbled, present)[0], INPUTS.features(times, xy, present)[0])


@pytest.mark.parametrize("fps", [10.0, 25.0, 50.0])
def test_a_speed_is_the_same_at_any_rate(fps):
    times, xy, present = moving(0, n=round(2 * fps), fps=fps)
    times = np.arange(len(times)) / fps
    present[:] = True
    xy[:, [INDEX["left_shoulder"], INDEX["right_shoulder"]]] = [[260, 150], [160, 150]]
    xy[:, INDEX["right_root"]] = np.stack([200 + 50 * times, np.full(len(times), 220)], -1)
    found, _ = INPUTS.features(times, xy, present)
    per_hand = found[:, 19:38]  # the right hand's
    assert per_hand[2:, 3] * 3 == pytest.approx(0.5, abs=0.01)  # 50 pixels a second, shoulders 100 apart


def test_nobody_is_seen_as_nobody():
    found, _ = INPUTS.features(np.arange(3) / 25, np.zeros((3, len(JOINTS), 2)), np.zeros((3, len(JOINTS)), bool))
    assert not found[:, :-2].any(axis=0)[[0, 1, 19, 20]].any()
    assert not found[:, -2].any()


def test_a_delay_that_is_none_is_refused():
    with pytest.raises(InputError, match="delay_s"):
        MotionInput(delay_s=-0.1)
