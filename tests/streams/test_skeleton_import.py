"""A Kinect's skeleton in a .mat, prepared as a pose."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.io import savemat

from signloom import media
from signloom.data.manifest import Manifest, Record, write_manifest
from signloom.data.skeleton import joints_of
from signloom.errors import MediaError
from signloom.media.skeleton_files import KINECT_POINTS
from signloom.pipelines.doctor.one_file import examine
from signloom.streams.clips import prepare_clip
from signloom.streams.pose import PoseStream, seen_parts
from signloom.streams.pose_cleaning import clean_pose
from signloom.transforms.pose_input import PoseInput


@pytest.fixture
def folder(tmp_path):
    values = np.random.default_rng(0).normal(0, 0.3, (20, 3, 12)) + np.array([0, 0, 3.0])[None, :, None]
    for name in ("a1_s1_t1_skeleton.mat", "walk.mat"):
        savemat(tmp_path / name, {"d_skel": values})
    return tmp_path


def test_it_is_stored_as_a_pose_and_read_back(folder, tmp_path):
    record = Record(id="a", label="x", signer="s1", streams={"pose": "a1_s1_t1_skeleton.mat"})
    made = prepare_clip(record, folder, tmp_path / "out", {"pose": PoseStream()})
    assert (made["n_frames"], made["fps"]) == (12, 30.0)
    assert made["fingerprints"]["pose"]["components"] == {"KINECT": 20}
    assert made["seen"]["body"] == 1
    stream = PoseStream.of_fingerprint(made["fingerprints"]["pose"], {})
    joints = stream.read_of(tmp_path / "out" / made["streams"]["pose"], None, 12)
    assert joints.point_names == KINECT_POINTS
    whole = joints_of(media.read_pose(folder / "a1_s1_t1_skeleton.mat"))
    np.testing.assert_array_equal(joints.points_TPC, whole.points_TPC)
    xy, present = PoseInput(n_frames=8).from_joints(joints)  # so that recipes for poses work on it as well
    assert xy.shape[0] == 8
    assert present[:, :13].any(1).all()


def test_a_part_is_cut_and_a_rate_comes_from_the_record(folder, tmp_path):
    record = Record(id="a", streams={"pose": "walk.mat"}, fps=20.0, start_s=0.1, end_s=0.3)
    made = prepare_clip(record, folder, tmp_path / "out", {"pose": PoseStream()})
    assert (made["n_frames"], made["fps"], made["first_frame"]) == (4, 20.0, 2)
    with pytest.raises(MediaError, match="give fps in the clip's record"):
        prepare_clip(Record(id="a", streams={"pose": "walk.mat"}), folder, tmp_path / "out", {"pose": PoseStream()})


def test_cleaning_and_doctor_find_nothing_wrong_with_it(folder):
    file = folder / "a1_s1_t1_skeleton.mat"
    clean = clean_pose(media.read_pose(file))
    assert clean.found == {}
    assert seen_parts(joints_of(clean.pose)) == {"body": 1, "left_hand": 0, "right_hand": 0, "face": 0}
    facts = examine(str(file), "pose", True, True, media.Limits())
    assert (facts["frames"], facts["fps"], facts["found"]) == (12, 30.0, ())
    assert examine(str(folder / "walk.mat"), "pose", True, False, media.Limits(), fps=25.0)["fps"] == 25


def test_prepare_does_not_miss_hands_that_a_kinect_never_finds(folder, tmp_path, signloom):
    record = Record(id="a", label="x", signer="s1", streams={"pose": "a1_s1_t1_skeleton.mat"})
    write_manifest(Manifest([record], folder), folder)
    code, out, err = signloom("prepare", folder, "--streams", "pose", "--out", tmp_path / "corpus")
    assert code == 0
    assert "1 clip" in out
    assert "no hand" not in out + err
