from __future__ import annotations

import numpy as np
import pytest
from scipy.io import savemat

from signloom import media
from signloom.errors import MediaError
from signloom.media.limits import Limits
from signloom.media.skeleton_files import KINECT, KINECT_PARENTS, KINECT_POINTS, OTHER_SIDE, read_skeleton_mat

NAME = "a1_s1_t1_skeleton.mat"


def skeleton(n_frames=12, seed=0):
    """(20, 3, T) in metres, 3 m before the camera."""
    rng = np.random.default_rng(seed)
    return rng.normal(0, 0.3, (20, 3, n_frames)) + np.array([0, 0, 3.0])[None, :, None]


def mat(folder, values=None, name=NAME, key="d_skel", **more):
    savemat(folder / name, {key: skeleton() if values is None else values}, **more)
    return folder / name


@pytest.mark.parametrize("compressed", [False, True])
def test_every_joint_stands_where_the_file_has_it(tmp_path, compressed):
    values = skeleton()
    pose = read_skeleton_mat(mat(tmp_path, values, do_compression=compressed))
    assert [(c.name, tuple(c.points)) for c in pose.header.components] == [(KINECT, KINECT_POINTS)]
    assert pose.body.fps == 30
    np.testing.assert_allclose(np.ma.getdata(pose.body.data)[:, 0], values.transpose(2, 0, 1), atol=1e-6)
    assert (pose.body.confidence == 1).all()


def test_it_is_stored_as_any_pose(tmp_path):
    pose = read_skeleton_mat(mat(tmp_path))
    media.write_pose(tmp_path / "a.pose", pose)
    again = media.read_pose(tmp_path / "a.pose")
    np.testing.assert_array_equal(np.ma.getdata(again.body.data), np.ma.getdata(pose.body.data))
    assert media.probe_pose(tmp_path / "a.pose") == (12, 30.0)


def test_reading_a_pose_reads_it_whole_or_in_part(tmp_path):
    file = mat(tmp_path)
    assert media.probe_pose(file) == (12, 30.0)
    part = media.read_pose(file, first_frame=3, end_frame=7)
    whole = media.read_pose(file)
    np.testing.assert_array_equal(np.ma.getdata(part.body.data), np.ma.getdata(whole.body.data)[3:7])
    with pytest.raises(MediaError, match="should start at frame 12"):
        media.read_pose(file, first_frame=12)


def test_one_frame_may_come_without_its_axis(tmp_path):
    values = skeleton(1)
    pose = read_skeleton_mat(mat(tmp_path, values[:, :, 0]))
    np.testing.assert_allclose(np.ma.getdata(pose.body.data)[0, 0], values[:, :, 0], atol=1e-6)


def test_a_joint_in_the_origin_was_not_found(tmp_path):
    values = skeleton()
    values[4, :, 5] = 0
    confidence = read_skeleton_mat(mat(tmp_path, values)).body.confidence
    assert confidence[5, 0, 4] == 0
    assert confidence.sum() == 12 * 20 - 1


def test_a_rate_is_given_or_refused(tmp_path):
    file = mat(tmp_path, name="walk.mat")
    assert read_skeleton_mat(file, fps=25).body.fps == 25
    with pytest.raises(MediaError, match="give fps") as refused:
        read_skeleton_mat(file)
    assert refused.value.reason == "bad-header"
    with pytest.raises(MediaError, match="frames a second"):
        read_skeleton_mat(file, fps=0)


@pytest.mark.parametrize(
    ("values", "key", "reason", "said"),
    [
        (np.zeros((5, 6)), "d_iner", "bad-header", "no 'd_skel' in it; it has 'd_iner'"),
        (np.zeros((25, 3, 4)), "d_skel", "bad-header", r"wanted double or single \(20, 3, T\)"),
        (np.zeros((4, 20, 3)), "d_skel", "bad-header", r"\(4, 20, 3\)"),
        (skeleton() * (1 + 1j), "d_skel", "bad-header", "no plain array"),
        (np.zeros((20, 3, 4), np.int16), "d_skel", "bad-header", "int16"),
        (skeleton() * 1000, "d_skel", "bad-header", "wanted metres"),
        (np.where(np.arange(12) == 3, np.nan, skeleton()), "d_skel", "decode-error", "in 1 of 12 frames"),
        (np.zeros((20, 3, 0)), "d_skel", "no-frames", "no frame"),
    ],
)
def test_what_cannot_be_a_skeleton_is_refused(tmp_path, values, key, reason, said):
    with pytest.raises(MediaError, match=said) as refused:
        read_skeleton_mat(mat(tmp_path, values, key=key))
    assert refused.value.reason == reason


def test_what_is_no_such_file_is_refused(tmp_path):
    file = tmp_path / NAME
    file.write_bytes(b"MATLAB 7.3 MAT-file".ljust(512, b" "))
    with pytest.raises(MediaError, match="-v7"):
        read_skeleton_mat(file)
    file.write_bytes(np.random.default_rng(0).bytes(4000))
    with pytest.raises(MediaError) as refused:
        read_skeleton_mat(file)
    assert refused.value.reason == "not-media"
    with pytest.raises(MediaError, match="at most 5"):
        read_skeleton_mat(mat(tmp_path), limits=Limits(max_frames=5))


@pytest.mark.parametrize("compressed", [False, True])
def test_one_cut_off_anywhere_is_refused(tmp_path, compressed):
    whole = mat(tmp_path, do_compression=compressed).read_bytes()
    for share in (0.01, 0.05, 0.3, 0.9):
        (tmp_path / NAME).write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(MediaError):
            read_skeleton_mat(tmp_path / NAME)


def test_bones_lead_to_the_hips_and_sides_exchange():
    for joint in range(20):
        above = joint
        for _ in range(8):
            above = KINECT_PARENTS[above]
        assert KINECT_POINTS[above] == "hip_center"
    assert [OTHER_SIDE[j] for j in OTHER_SIDE] == list(range(20))
    assert KINECT_POINTS[OTHER_SIDE[KINECT_POINTS.index("left_hand")]] == "right_hand"


@pytest.mark.real
def test_the_right_wrist_moves_where_the_right_arm_swipes(real_data):
    pose = read_skeleton_mat(real_data / "utd_mhad" / "Skeleton" / "a1_s1_t1_skeleton.mat")
    places = np.ma.getdata(pose.body.data)[:, 0]
    moved = {side: places[:, KINECT_POINTS.index(f"{side}_wrist")].std(0).sum() for side in ("left", "right")}
    assert moved["right"] > 5 * moved["left"]
    height = places[..., 1].mean(0)
    assert height[0] > height[3] > height[15]  # head, hips, foot
