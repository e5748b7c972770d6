from __future__ import annotations

import numpy as np
import pytest
from numpy import ma
from pose_format import Pose
from pose_format.numpy import NumPyPoseBody
from pose_format.pose_header import PoseHeader, PoseHeaderComponent, PoseHeaderDimensions

from signloom.data.skeleton import INDEX, JOINTS, MIRROR, PARENT, PARTS, Joints, body_frame, joints_of, resample
from signloom.errors import InputError


def pose_of(components, data, confidence, width=640):
    parts = [PoseHeaderComponent(n, list(p), [], [], "XYZC"[: data.shape[-1]] + "C") for n, p in components]
    header = PoseHeader(0.2, PoseHeaderDimensions(width, 480, 1000), parts)
    return Pose(header, NumPyPoseBody(25, ma.array(data, mask=False), confidence))


def person(rng, frames=6):
    """Joints of a made-up person: everything present, shoulders 100 px apart around (320, 200)."""
    xy = rng.normal(0, 30, (frames, len(JOINTS), 2)).astype(np.float32) + np.float32([320, 260])
    xy[:, INDEX["left_shoulder"]] = [370, 200]
    xy[:, INDEX["right_shoulder"]] = [270, 200]
    return Joints(xy, np.ones(xy.shape[:2], bool), 25.0)


def test_mirroring_twice_is_nothing_and_once_swaps_the_hands():
    assert (MIRROR[MIRROR] == np.arange(len(JOINTS))).all()
    assert JOINTS[MIRROR[INDEX["left_index_4"]]] == "right_index_4"
    assert JOINTS[MIRROR[INDEX["nose"]]] == "nose"
    one = person(np.random.default_rng(0))
    twice = one.mirrored().mirrored()
    np.testing.assert_allclose(twice.xy_TJC, one.xy_TJC)


def test_bones_follow_fingers_to_the_root_of_the_hand():
    j, steps = INDEX["right_little_4"], 0
    while PARENT[j] != j:
        j, steps = PARENT[j], steps + 1
    assert (JOINTS[j], steps) == ("right_root", 4)


def test_holistic_and_openpose_points_land_on_the_same_joints():
    data = np.full((2, 1, 3, 3), 5, np.float32)
    data[:, 0, 1] = [10, 20, 0.5]
    holistic = joints_of(
        pose_of([("POSE_LANDMARKS", ["NOSE", "RIGHT_WRIST", "LEFT_KNEE"])], data, np.ones((2, 1, 3)), width=100)
    )
    openpose = joints_of(
        pose_of([("pose_keypoints_2d", ["Nose", "RWrist", "LKnee"])], data[..., :2], np.ones((2, 1, 3)))
    )
    wrist = INDEX["right_wrist"]
    assert holistic.xy_TJC[0, wrist].tolist() == [10, 20]
    assert openpose.xy_TJC[0, wrist].tolist() == [10, 20]
    assert holistic.present_TJ.sum(1).tolist() == [2, 2]  # a knee is no joint of ours


def test_points_without_confidence_are_absent_not_zero_in_a_corner():
    confidence = np.ones((1, 1, 2))
    confidence[0, 0, 1] = 0
    data = np.full((1, 1, 2, 3), 7, np.float32)
    joints = joints_of(pose_of([("POSE_LANDMARKS", ["NOSE", "LEFT_EAR"])], data, confidence))
    assert joints.present_TJ[0, INDEX["nose"]]
    assert not joints.present_TJ[0, INDEX["left_ear"]]


def test_an_unknown_pose_names_what_it_holds():
    data = np.zeros((1, 1, 1, 3), np.float32)
    with pytest.raises(InputError, match=r"dog \(1\)"):
        joints_of(pose_of([("dog", ["tail"])], data, np.ones((1, 1, 1))))


def test_the_body_frame_does_not_depend_on_camera_distance_or_place():
    near = person(np.random.default_rng(1))
    far = Joints(near.xy_TJC * 0.31 + np.float32([55, -40]), near.present_TJ, near.fps)
    (a, _), (b, _) = body_frame(near), body_frame(far)
    np.testing.assert_allclose(a, b, atol=1e-4)
    assert a[0, INDEX["left_shoulder"], 0] == pytest.approx(0.5, abs=1e-4)


def test_a_signer_who_turns_away_keeps_the_scale():
    straight = person(np.random.default_rng(2), frames=20)
    turned = straight.xy_TJC.copy()
    for side in ("left", "right"):
        turned[4:16, INDEX[f"{side}_shoulder"], 0] = 320 + 0.5 * (turned[4:16, INDEX[f"{side}_shoulder"], 0] - 320)
    (a, _), (b, _) = body_frame(straight), body_frame(Joints(turned, straight.present_TJ, 25.0))
    np.testing.assert_allclose(a[:, PARTS["right_hand"]], b[:, PARTS["right_hand"]], atol=1e-4)


def test_hands_and_a_face_point_alone_still_have_a_body_frame():
    whole = person(np.random.default_rng(3))
    present = whole.present_TJ.copy()
    present[:, PARTS["body"]] = False
    present[:, INDEX["nose"]] = True
    hands = Joints(whole.xy_TJC * present[..., None], present, 25.0)
    bigger = Joints(hands.xy_TJC * 3, present, 25.0)
    (a, _), (b, _) = body_frame(hands), body_frame(bigger)
    np.testing.assert_allclose(a, b, atol=1e-4)
    assert np.abs(a).max() > 0.1


def test_nothing_found_gives_zeros_not_an_error_or_a_nan():
    nobody = Joints(np.zeros((3, len(JOINTS), 2), np.float32), np.zeros((3, len(JOINTS)), bool), 25.0)
    xy, present = body_frame(nobody)
    assert not present.any()
    assert (xy == 0).all()


def test_resampling_interpolates_but_never_blends_with_an_absence():
    xy = np.zeros((3, len(JOINTS), 2), np.float32)
    xy[:, 0, 0] = [0, 10, 20]
    present = np.ones((3, len(JOINTS)), bool)
    present[0, 0] = False
    out, here = resample(xy, present, 5)
    assert here[:, 0].tolist() == [False, True, True, True, True]
    np.testing.assert_allclose(out[1:, 0, 0], [10, 10, 15, 20])
    same, _ = resample(xy, present, 3)
    assert same is xy
    short, _ = resample(xy[:1], present[:1], 4)
    assert len(short) == 4
