from __future__ import annotations

import numpy as np
import pytest

from signloom.data.skeleton import INDEX, JOINTS, joints_of
from signloom.media import read_pose, write_pose
from signloom.synthetic.body import FACE_NUMBERS, make_signer
from signloom.synthetic.corpus import Settings, Take
from signloom.synthetic.exact import BODY_POINTS, HAND_POINTS
from signloom.synthetic.lexicon import LEXICON


def _pose(sign=0, left_handed=False):
    return Take(LEXICON[sign], make_signer(0, left_handed=left_handed), 0, Settings()).pose()


def test_points_have_the_names_mediapipe_gives_them():
    holistic = pytest.importorskip("pose_format.utils.holistic")
    assert list(BODY_POINTS) == list(holistic.BODY_POINTS)
    assert list(HAND_POINTS) == list(holistic.HAND_POINTS)
    assert {str(n) for n in FACE_NUMBERS} == set(holistic.FACEMESH_CONTOURS_POINTS)


def test_every_joint_a_model_sees_is_there():
    joints = joints_of(_pose())
    middle = len(joints) // 2
    missing = [name for name, there in zip(JOINTS, joints.present_TJ[middle]) if not there]
    assert set(missing) <= {"left_hip", "right_hip"}  # may lie below the frame


def test_left_and_right_are_the_signers_own():
    xy = joints_of(_pose()).xy_TJC
    for part in ("shoulder", "eye", "ear"):
        assert (xy[:, INDEX[f"left_{part}"], 0] > xy[:, INDEX[f"right_{part}"], 0]).all()
    moved = {
        (left_handed, side): np.ptp(joints_of(_pose(0, left_handed)).xy_TJC[:, INDEX[f"{side}_wrist"], 1])
        for left_handed in (False, True)
        for side in ("left", "right")
    }
    assert moved[False, "right"] > 5 * moved[False, "left"]
    assert moved[True, "left"] > 5 * moved[True, "right"]


def test_body_and_hand_agree_on_the_wrist():
    joints = joints_of(_pose(4))
    for side in ("left", "right"):
        both = joints.present_TJ[:, INDEX[f"{side}_wrist"]] & joints.present_TJ[:, INDEX[f"{side}_root"]]
        a, b = joints.xy_TJC[both, INDEX[f"{side}_wrist"]], joints.xy_TJC[both, INDEX[f"{side}_root"]]
        assert np.allclose(a, b, atol=1e-3)


def test_nearer_is_more_negative():
    pose = _pose()
    points = [f"{c.name} {p}" for c in pose.header.components for p in c.points]
    z = dict(zip(points, pose.body.data[len(pose.body.data) // 2, 0, :, 2]))
    assert z["POSE_LANDMARKS NOSE"] < z["POSE_LANDMARKS RIGHT_EAR"]
    assert z["POSE_LANDMARKS RIGHT_WRIST"] < z["POSE_LANDMARKS RIGHT_SHOULDER"]


def test_a_pose_file_keeps_it(tmp_path):
    pose = _pose()
    write_pose(tmp_path / "a.pose", pose)
    again = read_pose(tmp_path / "a.pose")
    assert [c.name for c in again.header.components] == [
        "POSE_LANDMARKS", "FACE_LANDMARKS", "LEFT_HAND_LANDMARKS", "RIGHT_HAND_LANDMARKS",
    ]  # fmt: skip
    assert again.body.fps == pytest.approx(15.0)
    assert np.array_equal(again.body.confidence, pose.body.confidence)
    assert np.allclose(again.body.data.filled(0), pose.body.data.filled(0))
