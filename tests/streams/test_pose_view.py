"""The pose drawn on the footage: where its joints are, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from signloom import media
from signloom.data.skeleton import INDEX, Joints
from signloom.data.stream import ClipInfo
from signloom.pipelines.prepare import Preparation
from signloom.streams import fingerprint_diff, stream_named, streams_of
from signloom.streams.pose_view import COLOURS


@pytest.fixture
def joints():
    """Two frames of shoulders, an elbow and a hand; in the second all is 30 pixels to the right."""
    xy = np.zeros((2, 82, 2), np.float32)
    present = np.zeros((2, 82), bool)
    places = {"left_shoulder": (110, 60), "right_shoulder": (50, 60), "right_elbow": (40, 90)}
    places |= {"right_root": (60, 100), "right_index_1": (80, 100)}
    for name, place in places.items():
        xy[:, INDEX[name]], present[:, INDEX[name]] = place, True
    xy[1, :, 0] += 30
    return Joints(xy, present, size_px=(160, 120), fps=25.0)


def test_it_is_drawn_on_each_frame_where_it_is_in_that_frame(joints, tmp_path):
    stream = stream_named("pose_view")
    info = ClipInfo("clip", 25.0, (160, 120), complete={"pose": joints})
    stage = stream.open(info)
    footage = np.full((120, 160, 3), 40, np.uint8)
    first, second = (timed.sample for k in range(2) for timed in stage.push(k / 25, {"video": footage}))
    assert list(stage.close()) == []
    assert (footage == 40).all()  # it is drawn on a copy
    for picture, right in ((first, 0), (second, 30)):
        assert tuple(picture[60, 110 + right]) == COLOURS["body"]
        assert tuple(picture[75, 45 + right]) == COLOURS["body"]  # half-way along the upper arm
        assert tuple(picture[100, 70 + right]) == COLOURS["right_hand"]
        assert (picture[:50] == 40).all()
        assert not (picture == COLOURS["left_hand"]).all(-1).any()
        assert not (picture == COLOURS["face"]).all(-1).any()
    with stream.writer(tmp_path / "a.mp4", info) as add:
        add(first)
        add(second)
    read = stream.read(tmp_path / "a.mp4")
    assert read.shape == (2, 120, 160, 3)
    assert np.abs(read[0].astype(int) - first).mean() < 3
    assert media.probe(tmp_path / "a.mp4").n_frames == 2


def test_it_belongs_to_its_pose():
    made = Preparation(("pose", "pose_view")).streams["pose_view"].fingerprint()
    again = streams_of({"pose_view": made})["pose_view"]
    assert fingerprint_diff(made, again.fingerprint()) == []
    other = stream_named("pose_view", pose=stream_named("pose", extractor="mediapipe-holistic"))
    assert other.pose.extractor == "mediapipe-holistic"
