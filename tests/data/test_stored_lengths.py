"""A stored stream that is not as long as its clip was damaged or swapped: its frames belong to other moments."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from signloom import media
from signloom.data.corpus import FileClip
from signloom.data.manifest import Record
from signloom.errors import MediaError
from signloom.streams.flow import FlowStream
from signloom.streams.frames import FramesStream
from signloom.streams.pose import PoseStream
from signloom.streams.skeleton import SkeletonStream
from signloom.synthetic.corpus import Settings, make_takes

N = 10


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A folder with every kind of stored stream, of N frames each."""
    root = tmp_path_factory.mktemp("stored")
    rng = np.random.default_rng(0)
    media.write_video(root / "frames.mp4", rng.integers(0, 255, (N, 32, 48, 3), np.uint8), 25)
    media.write_flow(root / "flow.mp4", rng.normal(size=(N, 32, 48, 2)).astype(np.float32), 25, 20)
    take, *_ = make_takes(2, 2, 1, 1, Settings(size_px=(96, 64), fps=10))
    pose = take.pose()
    pose.body = pose.body.select_frames(list(range(N)))
    media.write_pose(root / "pose.pose", pose)
    (root / "skeleton").mkdir()
    for k in range(N):
        media.import_cv2().imwrite(str(root / "skeleton" / f"{k}.png"), np.full((8, 8, 3), k, np.uint8))
    return root


STREAMS = {
    "frames": (FramesStream(), "frames.mp4"),
    "flow": (FlowStream(), "flow.mp4"),
    "pose": (PoseStream(), "pose.pose"),
    "skeleton": (SkeletonStream(), "skeleton"),
}


@pytest.mark.parametrize("rows", [None, [0, 3]])
@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_of_another_length_than_its_clip_is_refused(stored, name, rows):
    stream, file = STREAMS[name]
    clip = FileClip(Record("c1", streams={name: file}, n_frames=N), stored)
    assert len(clip.read(stream, rows)) == (N if rows is None else 2)
    for n_frames in (N - 1, N + 1, 1):
        other = FileClip(Record("c1", streams={name: file}, n_frames=n_frames), stored)
        said = rf"clip 'c1', stream '{name}': .*{file}': it has {N} frames, its clip {n_frames};.*prepare"
        with pytest.raises(MediaError, match=said):
            other.read(stream, rows)
    unknown = FileClip(Record("c1", streams={name: file}), stored)  # a list made by hand
    assert len(unknown.read(stream, rows)) == (N if rows is None else 2)


@pytest.mark.parametrize("rows", [None, [0]])
@pytest.mark.parametrize("name", ["frames", "flow"])
def test_an_edit_list_that_hides_frames_of_a_stored_stream_is_refused(stored, tmp_path, name, rows):
    stream, file = STREAMS[name]
    data = bytearray((stored / file).read_bytes())
    at = data.index(b"mvhd") + 4 + 12  # the clock in which the edit list counts
    timescale = struct.unpack_from(">I", data, at)[0]
    struct.pack_into(">I", data, at, timescale * 100)
    (tmp_path / file).write_bytes(data)
    with pytest.raises(MediaError, match=r"it has \d frames, its clip 10|hides \d of its 10 frames"):
        FileClip(Record("c1", streams={name: file}, n_frames=N), tmp_path).read(stream, rows)
    if name == "flow":
        with pytest.raises(MediaError, match="hides 9 of its 10 frames"):
            media.read_flow(tmp_path / file, rows)
