"""What stands for a missing point is absent, whoever wrote it; true points are untouched."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signloom.data.pose_points import real_points, sentinel_places, without_confidence
from signloom.data.skeleton import INDEX, PARTS, joints_of


@pytest.fixture(scope="module")
def signer(people):
    return people.person(12, 420)


def written(people, signer, fill, hand=True):
    """The signer as a script writes whose missing points are ``fill`` and all of whose confidences are 1."""
    data, confidence = (a.copy() for a in signer)
    lost = confidence == 0
    if hand:
        lost[4:8, people.SLICES["hand_right_keypoints_2d"]] = True
    data[lost] = fill
    return people.pose_of([(data, np.ones_like(confidence))]), lost


def joints_written_well(people, signer, lost):
    data, confidence = signer
    return joints_of(people.pose_of([(data, np.where(lost, 0, confidence))]))


@pytest.mark.parametrize("fill", [0.0, -1.0, np.nan, np.inf, -np.inf, 1e9, (float("nan"), 3.0)])
def test_a_lost_hand_is_absent_however_it_is_written(people, signer, fill):
    pose, lost = written(people, signer, fill)
    joints, wanted = joints_of(pose), joints_written_well(people, signer, lost)
    np.testing.assert_array_equal(joints.present_TJ, wanted.present_TJ)
    np.testing.assert_array_equal(joints.xy_TJC, wanted.xy_TJC)
    assert not joints.present_TJ[4:8, PARTS["right_hand"]].any()
    assert joints.present_TJ[:4, PARTS["right_hand"]].all()
    assert sum(real_points(pose).counts.values()) == lost.sum()


def test_a_hand_on_one_place_is_no_hand(people, signer):
    pose, lost = written(people, signer, 0.0)
    hand = np.zeros_like(lost)
    hand[4:8, people.SLICES["hand_right_keypoints_2d"]] = True
    pose.body.data[:, 0][hand] = [640, 360]  # the middle of the picture, say
    assert not joints_of(pose).present_TJ[4:8, PARTS["right_hand"]].any()


def test_a_single_lost_joint_is_absent_and_a_true_hand_in_the_corner_stays(people, signer):
    data, confidence = (a.copy() for a in signer)
    data[3, people.BODY.index("RElbow")] = 0
    corner = people.SLICES["hand_left_keypoints_2d"]
    data[:, corner] = np.stack([3.0 * np.arange(21), 2.0 * np.arange(21)], 1)  # its first point is at (0, 0)
    confidence[:, corner] = 0.7
    joints = joints_of(people.pose_of([(data, confidence)]))
    assert not joints.present_TJ[3, INDEX["right_elbow"]]
    assert joints.present_TJ[2, INDEX["right_elbow"]]
    assert joints.present_TJ[:, PARTS["left_hand"]].all()


def test_lines_of_the_face_are_not_drawn_to_a_sentinel(people, signer):
    data, confidence = (a.copy() for a in signer)
    data[2, people.SLICES["face_keypoints_2d"]] = np.nan
    data[3, people.SLICES["face_keypoints_2d"]] = -1
    lines_TN2C = joints_of(people.pose_of([(data, confidence)])).lines_TN2C
    assert (lines_TN2C[2:4] == 0).all()
    assert (lines_TN2C[4, ..., 2] > 0).all()


@pytest.mark.parametrize(("place", "stays"), [((-200, 700), True), ((1500, 1200), True), ((500, 5000), False)])
def test_points_are_absent_beyond_any_picture_and_stay_where_estimators_extrapolate(people, signer, place, stays):
    data, confidence = (a.copy() for a in signer)
    data[5, people.BODY.index("RWrist")] = place
    pose = people.pose_of([(data, confidence)])
    assert joints_of(pose).present_TJ[5, INDEX["right_wrist"]] == stays
    assert real_points(pose).outside == (not stays)


def test_a_header_with_another_size_than_its_points_is_not_believed(people, signer):
    pose = people.pose_of([signer], size=(1, 1))
    points = real_points(pose)
    assert points.no_size
    assert points.counts == {}
    assert joints_of(pose).present_TJ.sum() == joints_of(people.pose_of([signer])).present_TJ.sum()


def test_confidence_without_a_point_and_a_point_without_confidence(people, signer):
    data, confidence = (a.copy() for a in signer)
    nose = people.BODY.index("Nose")
    confidence[1, nose], confidence[2, nose], confidence[3, nose] = 0, np.nan, np.inf
    pose = people.pose_of([(data, confidence)])
    pose.body.data[4, 0, nose] = np.ma.masked
    assert joints_of(pose).present_TJ[:6, INDEX["nose"]].tolist() == [True, False, False, False, False, True]
    assert real_points(pose).no_place == 1
    assert without_confidence(pose) == 2


@given(
    fill=st.sampled_from([0.0, -1.0, float("nan"), float("inf")]),
    kept=st.lists(st.booleans(), min_size=12, max_size=12),
    part=st.sampled_from(["hand_right_keypoints_2d", "pose_keypoints_2d", "face_keypoints_2d"]),
    few=st.integers(2, 70),
)
def test_absent_exactly_where_a_sentinel_was_put(people, signer, fill, kept, part, few):
    data, confidence = (a.copy() for a in signer)
    put = np.zeros(confidence.shape, bool)
    put[~np.array(kept), people.SLICES[part]] = True
    put[:, people.SLICES[part].start + few :] = False
    put &= confidence > 0
    data[put] = fill
    points = real_points(people.pose_of([(data, confidence)]))
    np.testing.assert_array_equal(points.real_TNP[:, 0], (confidence > 0) & ~put)


@given(st.lists(st.tuples(st.floats(-50, 1300), st.floats(-50, 800)), min_size=21, max_size=21, unique=True))
def test_true_points_are_never_sentinels(places):
    x_P, y_P = np.array(places, np.float32).T
    on_corner = ((x_P == 0) & (y_P == 0)) | ((x_P == -1) & (y_P == -1))
    found = sentinel_places(x_P[None], y_P[None], np.ones((1, 21), bool), 64.0)[0]
    assert not found[~on_corner].any()
