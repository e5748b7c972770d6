"""Poses of which nobody can be told: the same body, place and length for everybody, and the signs still in them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signloom.data.skeleton import FACE_JOINTS, INDEX, PARTS, Joints, joints_of
from signloom.errors import InputError
from signloom.streams.standard_body import pose_of_standard, standard_body
from signloom.synthetic import LEXICON, Settings, make_signer
from signloom.synthetic.corpus import Take
from signloom.transforms.pose_anonymise import PoseAnonymiser, anonymise_joints

STILL = PoseAnonymiser(strength=0)


def clip(signer: int = 0, sign: int = 1, left_handed: bool = False) -> Joints:
    return joints_of(Take(LEXICON[sign], make_signer(signer, left_handed=left_handed), 0, Settings()).pose())


def anonymised(joints: Joints, how: PoseAnonymiser = STILL, seed: int = 0):
    return anonymise_joints(joints, standard_body(), how, np.random.default_rng(seed))


def test_everybody_has_the_same_trunk_and_head_size():
    first, second = (anonymised(clip(signer)) for signer in (0, 3))
    trunk = [INDEX[f"{side}_{part}"] for side in ("left", "right") for part in ("shoulder", "hip")]
    np.testing.assert_array_equal(first.xy_TJC[0, trunk], second.xy_TJC[-1, trunk])
    ears = [INDEX["left_ear"], INDEX["right_ear"]]
    np.testing.assert_allclose(
        np.ptp(first.xy_TJC[:, ears], axis=1), np.ptp(second.xy_TJC[: len(first.xy_TJC), ears], axis=1), atol=1e-6
    )


@settings(max_examples=12, deadline=None)
@given(scale=st.floats(0.3, 3), x=st.floats(-400, 400), y=st.floats(-400, 400))
def test_where_and_how_large_the_camera_saw_somebody_leaves_no_trace(scale, x, y):
    joints = clip()
    moved = Joints(joints.xy_TJC * np.float32(scale) + np.float32([x, y]), joints.present_TJ, joints.fps)
    a, b = anonymised(joints), anonymised(moved)
    np.testing.assert_array_equal(a.present_TJ, b.present_TJ)
    np.testing.assert_allclose(a.xy_TJC, b.xy_TJC, atol=0.02)


def test_a_left_handed_signer_signs_with_the_right():
    right, left = clip(), clip()
    left = left.mirrored()
    np.testing.assert_allclose(anonymised(right).xy_TJC, anonymised(left).xy_TJC, atol=1e-3)


def test_every_clip_gets_one_length_and_tempo():
    joints = clip()
    slow = joints[np.repeat(np.arange(len(joints)), 2)]
    a, b = anonymised(joints), anonymised(slow)
    assert len(a.xy_TJC) == len(b.xy_TJC) == 50
    wrist = INDEX["right_wrist"]
    assert np.abs(a.xy_TJC[:, wrist] - b.xy_TJC[:, wrist]).max() < 0.15
    kept = anonymised(joints, PoseAnonymiser(length_s=None, strength=0))
    assert (len(kept.xy_TJC), kept.fps) == (len(joints), joints.fps)


def test_hands_rest_where_everybodys_do():
    body = standard_body()
    for signer in range(3):
        moved = anonymised(clip(signer))
        assert np.abs(moved.xy_TJC[0, INDEX["right_wrist"]] - [-body.rest[0], body.rest[1]]).max() < 0.1
        assert not moved.present_TJ[0, PARTS["right_hand"]].any()


def test_what_is_drawn_is_drawn_once_a_clip_and_follows_from_the_seed():
    joints, how = clip(), PoseAnonymiser(strength=0.3)
    a, b, c = (anonymised(joints, how, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a.xy_TJC, b.xy_TJC)
    assert np.abs(a.xy_TJC - c.xy_TJC).max() > 0.05
    jumps = np.linalg.norm(np.diff(a.xy_TJC[:, INDEX["right_wrist"]], axis=0), axis=1)
    still = np.linalg.norm(np.diff(anonymised(joints).xy_TJC[:, INDEX["right_wrist"]], axis=0), axis=1)
    assert jumps.max() < 3 * still.max()


def test_a_raised_brow_stays_raised_whoever_raises_it():
    joints = clip()
    brows = [k for k, name in enumerate(FACE_JOINTS) if "brow" in name]
    columns = PARTS["face"].start + np.array(brows)
    raised = joints.xy_TJC.copy()
    rows = slice(len(raised) // 3, len(raised) // 2)
    raised[rows.start : rows.stop, columns, 1] -= 6
    how = PoseAnonymiser(length_s=None, strength=0)
    before = anonymised(joints, how).expressions_TE[rows, 0].mean()
    after = anonymised(Joints(raised, joints.present_TJ, joints.fps), how).expressions_TE[rows, 0].mean()
    assert after > before + 0.3


def test_parts_that_were_never_found_stay_absent():
    joints = clip()
    present = joints.present_TJ.copy()
    present[:, PARTS["face"]] = False
    present[:, PARTS["left_hand"]] = False
    moved = anonymised(Joints(joints.xy_TJC, present, joints.fps))
    assert not moved.present_TJ[:, PARTS["face"]].any()
    assert not moved.present_TJ[:, PARTS["left_hand"]].any()
    assert moved.face_TP2.shape[1] == 0
    pose = pose_of_standard(moved)
    assert not joints_of(pose).present_TJ[:, PARTS["face"]].any()


def test_a_pose_goes_into_a_file_and_back():
    moved = anonymised(clip())
    again = joints_of(pose_of_standard(moved))
    np.testing.assert_array_equal(again.present_TJ, moved.present_TJ)
    assert again.lines_TN2C is not None
    assert again.lines_TN2C.shape[1] > 100
    wrist = INDEX["right_wrist"]
    np.testing.assert_allclose(again.xy_TJC[:, wrist] / 150, moved.xy_TJC[:, wrist] + [320 / 150, 270 / 150], atol=1e-3)


def test_what_cannot_be_done_is_said():
    joints = clip()
    with pytest.raises(InputError, match="no frame"):
        anonymised(joints[:0])
    with pytest.raises(InputError, match="no person"):
        anonymised(Joints(joints.xy_TJC, np.zeros_like(joints.present_TJ), joints.fps))
    with pytest.raises(InputError, match="strength"):
        PoseAnonymiser(strength=-1)
