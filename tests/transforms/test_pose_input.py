from __future__ import annotations

import numpy as np
import pytest

from signloom.data.skeleton import INDEX, JOINTS, Joints
from signloom.errors import InputError
from signloom.transforms.pose_input import PoseInput


def waver(side="right", frames=20):
    """One raised hand that waves; the other hangs."""
    other = "left" if side == "right" else "right"
    sign = {"left": 1, "right": -1}
    xy = np.zeros((frames, len(JOINTS), 2), np.float32)
    present = np.zeros(xy.shape[:2], bool)

    def put(joint, x, y):
        xy[:, INDEX[joint], 0], xy[:, INDEX[joint], 1] = x, y
        present[:, INDEX[joint]] = True

    put("nose", 0, -60)
    for s in ("left", "right"):
        put(f"{s}_shoulder", 50 * sign[s], 0)
    put(f"{side}_wrist", sign[side] * (60 + 20 * np.sin(np.arange(frames))), -20)
    put(f"{side}_root", sign[side] * (60 + 20 * np.sin(np.arange(frames))), -20)
    put(f"{side}_index_4", sign[side] * (60 + 20 * np.sin(np.arange(frames))), -50)
    put(f"{other}_wrist", sign[other] * 60, 150)
    return Joints(xy, present, 25.0)


def test_a_left_handed_signer_looks_like_a_right_handed_one():
    step = PoseInput(n_frames=20)
    right, left = step.from_joints(waver("right")), step.from_joints(waver("left"))
    np.testing.assert_allclose(right[0], left[0], atol=1e-5)
    assert (right[1] == left[1]).all()
    assert right[1][:, INDEX["right_index_4"]].all()


def test_as_filmed_keeps_the_side():
    xy, present = PoseInput(n_frames=20, handedness="as-filmed").from_joints(waver("left"))
    assert present[:, INDEX["left_index_4"]].all()
    assert (xy[:, INDEX["left_index_4"], 0] > 0).all()


@pytest.mark.parametrize("frames", [1, 2, 31, 200])
def test_clips_of_any_length_come_out_alike(frames):
    xy, present = PoseInput(n_frames=32).from_joints(waver(frames=frames))
    assert xy.shape == (32, len(JOINTS), 2)
    assert present.shape == (32, len(JOINTS))
    assert np.isfinite(xy).all()


def test_settings_out_of_range_are_refused():
    with pytest.raises(InputError, match=r"n_frames.*got 1"):
        PoseInput(n_frames=1)
    with pytest.raises(InputError, match=r"handedness.*'ambi'"):
        PoseInput(handedness="ambi")
