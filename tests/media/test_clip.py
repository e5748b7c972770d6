"""Reading stays within its limits, holds nothing open, and opens nothing but the file itself."""

from __future__ import annotations

import os
import time
from pathlib import Path

from signloom import media
from signloom.media import Limits
from signloom.media.clip import _DEMUXERS
from signloom.media.headers import Header


def test_limits(media_maker, tmp_path, reason_of):
    path = media_maker.encode_clip(tmp_path / "a.mp4", media_maker.moving_square(24))
    stream = media_maker.encode_clip(tmp_path / "a.h264", media_maker.moving_square(24))  # no header that counts frames
    for clip in (path, stream):
        assert reason_of(media.read_video, clip, limits=Limits(max_frames=23)) == "too-long"
        assert len(media.read_video(clip, limits=Limits(max_frames=23), end_frame=23).times_s) == 23
        assert reason_of(media.read_video, clip, limits=Limits(max_side_px=63)) == "too-large"
        assert reason_of(media.read_video, clip, limits=Limits(max_bytes=100)) == "too-large"
        assert reason_of(media.read_video, clip, limits=Limits(max_decoded_bytes=23 * 64 * 48 * 3)) == "too-large"
        assert reason_of(media.read_video, clip, limits=Limits(max_seconds=0)) == "timeout"
        assert len(media.read_video(clip, limits=Limits(24, 64, 60, 10**6, 24 * 64 * 48 * 3)).times_s) == 24


def test_the_clock_stops_while_the_consumer_works(media_maker, tmp_path):
    path = media_maker.encode_clip(tmp_path / "a.mp4", media_maker.moving_square(6))
    n = 0
    for _ in media.iter_frames(path, limits=Limits(max_seconds=2)):
        time.sleep(0.5)
        n += 1
    assert n == 6


def test_streaming_stops_where_the_consumer_stops(media_maker, tmp_path):
    path = media_maker.encode_clip(tmp_path / "a.mp4", media_maker.moving_square(24))
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    for _ in range(5):
        frames = media.iter_frames(path)
        next(frames)
        frames.close()
    if before:
        assert len(os.listdir("/proc/self/fd")) == before


def test_a_container_may_not_open_other_files(media_maker, tmp_path, monkeypatch, reason_of):
    """Even past the list of formats, the demuxer's door to other files stays shut."""
    media_maker.encode_clip(tmp_path / "secret.ts", media_maker.moving_square(6))
    (tmp_path / "list.txt").write_text("ffconcat version 1.0\nfile secret.ts\n")
    import av

    with av.open(str(tmp_path / "list.txt"), format="concat") as container:
        assert next(container.decode(video=0)).width == 64  # what would happen
    monkeypatch.setattr("signloom.media.clip._DEMUXERS", _DEMUXERS + ",concat")
    monkeypatch.setattr("signloom.media.clip.read_header", lambda file, path: Header())
    assert reason_of(media.read_video, tmp_path / "list.txt") == "not-media"
