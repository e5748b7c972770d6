from __future__ import annotations

import numpy as np
import pytest
from numpy import ma
from pose_format import Pose
from pose_format.numpy import NumPyPoseBody
from pose_format.pose_header import PoseHeader, PoseHeaderComponent, PoseHeaderDimensions

from signloom.data.skeleton import INDEX, JOINTS, MIRROR, PARENT, PARTS, Joints, body_frame, joints_of, resample
from signloom.errors import InputError
from signloom.media.skeleton_files import KINECT_POINTS, kinect_pose


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


# --- a skeleton that was measured in space ------------------------------------------------------------------------------


def kinect(frames=6, seed=0):
    """Somebody who faces the camera at 3 m, the right arm out to their side: places (T, 20, 3) in metres."""
    places = np.zeros((frames, 20, 3), np.float32)
    at = {
        "head": (0, 0.6), "shoulder_center": (0, 0.4), "spine": (0, 0.1), "hip_center": (0, 0),
        "shoulder": (0.2, 0.4), "elbow": (0.3, 0.2), "wrist": (0.3, 0.0), "hand": (0.3, -0.05),
        "hip": (0.1, 0), "knee": (0.1, -0.4), "ankle": (0.1, -0.8), "foot": (0.1, -0.85),
    }  # fmt: skip
    for p, name in enumerate(KINECT_POINTS):
        side = {"left": -1, "right": 1}.get(name.partition("_")[0], 0)
        x, y = at[name.removeprefix("left_").removeprefix("right_")]
        places[:, p] = [side * x, y, 3.0]
    places[:, KINECT_POINTS.index("right_wrist")] = [0.7, 0.4, 3.0]
    return places + np.random.default_rng(seed).normal(0, 1e-3, places.shape).astype(np.float32)


def test_a_kinects_joints_are_kept_in_metres_and_also_seen_as_filmed():
    places = kinect()
    joints = joints_of(kinect_pose(places, np.ones((6, 20), bool), 30.0))
    assert joints.point_names == KINECT_POINTS
    np.testing.assert_array_equal(joints.points_TPC, places)
    body = {name: joints.xy_TJC[0, INDEX[name]] for name in ("nose", "left_wrist", "right_wrist", "left_shoulder")}
    assert body["right_wrist"][0] < body["nose"][0] < body["left_shoulder"][0]  # the signer's right is on the left
    assert body["nose"][1] < body["left_shoulder"][1] < body["left_wrist"][1]  # y down
    assert joints.present_TJ[0].sum() == 9  # no eyes, no ears; head, shoulders, elbows, wrists, hips
    width = np.linalg.norm(body["left_shoulder"] - joints.xy_TJC[0, INDEX["right_shoulder"]])
    assert width == pytest.approx(0.4 / 3.0 * 285.63, rel=0.02)


def test_a_kinects_joint_that_was_not_found_is_absent_in_both_forms():
    found = np.ones((6, 20), bool)
    found[2, KINECT_POINTS.index("right_wrist")] = False
    places = kinect()
    places[3, KINECT_POINTS.index("left_elbow"), 2] = -1  # behind the camera
    joints = joints_of(kinect_pose(places, found, 30.0))
    assert not joints.present_TJ[2, INDEX["right_wrist"]]
    assert not joints.present_TJ[3, INDEX["left_elbow"]]
    assert np.isnan(joints.points_TPC).all(-1).sum() == 2
    assert np.isfinite(joints.xy_TJC).all()


def test_measured_joints_follow_rows_and_mirrors():
    joints = joints_of(kinect_pose(kinect(), np.ones((6, 20), bool), 30.0))
    np.testing.assert_array_equal(joints[[4, 1]].points_TPC, joints.points_TPC[[4, 1]])
    mirrored = joints.mirrored()
    left, right = KINECT_POINTS.index("left_wrist"), KINECT_POINTS.index("right_wrist")
    assert mirrored.points_TPC[0, left, 0] == -joints.points_TPC[0, right, 0]
    np.testing.assert_array_equal(mirrored.mirrored().points_TPC, joints.points_TPC)
    assert joints.nbytes > joints.points_TPC.nbytes


def test_a_pose_found_in_pictures_has_no_measured_joints():
    data = np.full((2, 1, 1, 3), 5, np.float32)
    joints = joints_of(pose_of([("POSE_LANDMARKS", ["NOSE"])], data, np.ones((2, 1, 1))))
    assert joints.points_TPC is None
    assert joints.point_names == ()
