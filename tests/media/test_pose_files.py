"""``.pose`` files come back as they were written; what is cut or lies is named."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from signloom import media
from signloom.errors import InputError
from signloom.media import Limits


def test_pose_round_trip(tmp_path, broken_inputs, reason_of):
    whole = next(b.path for b in broken_inputs if b.path.name == "whole.pose")
    pose = media.read_pose(whole)
    media.write_pose(tmp_path / "a.pose", pose)
    assert (tmp_path / "a.pose").read_bytes() == whole.read_bytes()
    again = media.read_pose(tmp_path / "a.pose")
    np.testing.assert_array_equal(again.body.data.data, pose.body.data.data)
    np.testing.assert_array_equal(again.body.confidence, pose.body.confidence)
    assert again.header.components[0].points == ["WRIST", "THUMB", "INDEX"]
    again.header.dimensions.width = 1  # one file's header is not another's
    assert media.read_pose(tmp_path / "a.pose").header.dimensions.width == 64
    assert reason_of(media.read_pose, tmp_path / "a.pose", Limits(max_frames=4)) == "too-long"


def test_pose_that_the_format_cannot_hold(tmp_path, broken_inputs):
    pose = media.read_pose(next(b.path for b in broken_inputs if b.path.name == "whole.pose"))
    pose.header.dimensions.width = 70_000
    with pytest.raises(InputError, match="Width"):
        media.write_pose(tmp_path / "a.pose", pose)
    assert not (tmp_path / "a.pose").exists()


def test_every_cut_of_a_pose_is_named(tmp_path, broken_inputs, reason_of):
    data = next(b.path for b in broken_inputs if b.path.name == "whole.pose").read_bytes()
    path = tmp_path / "cut.pose"
    for place in range(1, len(data)):
        path.write_bytes(data[:place])
        assert reason_of(media.read_pose, path) in ("truncated", "not-media", "bad-header"), place
    path.write_bytes(data + b"more")
    assert reason_of(media.read_pose, path) == "bad-header"


@pytest.mark.real
def test_real_poses(real_data):
    poses = sorted((real_data / "pose_files").rglob("*.pose"))
    versions = set()
    assert len(poses) > 20
    for path in poses:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pose = media.read_pose(path)
        versions.add(round(pose.header.version, 1))
        frames, people, points, _ = pose.body.data.shape
        assert frames >= 5
        assert people == 1
        assert points == pose.header.total_points()
    assert versions == {0.0, 0.1, 0.2}
    example = media.read_pose(real_data / "pose_files" / "everybody_sign_now" / "example.pose")
    assert example.body.data.shape == (302, 1, 137, 2)
    assert example.body.fps == 40
