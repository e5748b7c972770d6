"""When frames are shown, and which of them lie between two times."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signloom import media
from signloom.errors import MediaError


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("b_frames.mp4", {"options": {"bf": "3"}}),
        ("b_frames.mkv", {"options": {"bf": "3"}}),
        ("b_frames.avi", {"options": {"bf": "3"}}),
        ("b_frames.ts", {"options": {"bf": "3"}}),
        ("fragments.mp4", {"movflags": "frag_keyframe+empty_moov"}),
        ("ten_bit.mov", {"codec": "prores_ks", "pix_fmt": "yuv422p10le"}),
        ("mpeg2.mpg", {"codec": "mpeg2video", "options": {"bf": "2"}}),
        ("animated.gif", {"codec": "gif", "pix_fmt": "rgb8"}),
        ("uneven.mp4", {"pts": [0, 1, 2, 3, 7, 8, 12, 13, 14, 20, 21, 22]}),
        ("uneven.mkv", {"pts": [0, 1, 2, 3, 7, 8, 12, 13, 14, 20, 21, 22]}),
        ("stands still.mkv", {"codec": "ffv1", "pts": [5] * 12}),
    ],
)
def test_times_are_those_of_the_frames(media_maker, tmp_path, name, settings):
    path = media_maker.encode_clip(tmp_path / name, media_maker.moving_square(12), **settings)
    np.testing.assert_allclose(media.frame_times(path), media.read_video(path).times_s, atol=1e-9)


def test_times_of_odd_files_are_those_of_their_frames_too(broken_inputs):
    """Edit lists, dropped frames, uneven rates: whatever can be read has the times that reading gives."""
    compared = 0
    for path in (b.path for b in broken_inputs if b.path.is_file()):
        try:
            expected = media.read_video(path).times_s
        except MediaError:
            continue
        np.testing.assert_allclose(media.frame_times(path), expected, atol=1e-9, err_msg=path.name)
        compared += 1
    assert compared > 10


def test_a_list_at_another_rate(media_maker, tmp_path):
    """The second second of a clip is its second second, at whatever rate it is there."""
    for fps in (12.5, 25, 30, 50):
        path = media_maker.encode_clip(tmp_path / f"{fps}.mp4", media_maker.moving_square(int(3 * fps)), fps=fps)
        assert media.frames_between(path, 1.0, 2.0) == (round(fps), round(2 * fps))
        assert media.frames_between(path, None, 2.0) == (0, round(2 * fps))
        assert media.frames_between(path, 2.0, None) == (round(2 * fps), None)


def test_pictures_are_counted_at_the_rate_that_reading_takes(tmp_path):
    for n in range(50):
        media.write_picture(tmp_path / f"{n}.png", np.full((8, 8, 3), n, np.uint8))
    assert media.frames_between(tmp_path, 0.4, 1.2) == (10, 30)


def test_what_is_not_in_the_file_is_refused(media_maker, tmp_path, reason_of):
    path = media_maker.encode_clip(tmp_path / "a.mp4", media_maker.moving_square(50))
    assert reason_of(media.frames_between, path, 3.0, 4.0) == "no-frames"
    assert reason_of(media.frames_between, path, 1.0, 3.0) == "truncated"
    assert reason_of(media.frames_between, path, 1.0, 1.01) == "no-frames"
    assert media.frames_between(path, 1.0, 2.03) == (25, 50)  # a frame short, as containers miscount
    assert reason_of(media.frames_between, tmp_path / "b.mp4", 0.0, 1.0) == "missing"


def test_a_file_that_is_made_anew_is_read_anew(media_maker, tmp_path):
    path = media_maker.encode_clip(tmp_path / "a.mp4", media_maker.moving_square(50), fps=25)
    assert media.frames_between(path, 1.0, None) == (25, None)
    media_maker.encode_clip(path, media_maker.moving_square(60), fps=30)
    assert media.frames_between(path, 1.0, None) == (30, None)


@given(
    st.sampled_from([10.0, 12.5, 23.976, 24.0, 25.0, 29.97, 30.0, 50.0, 59.94]),
    st.lists(st.integers(0, 300), min_size=3, max_size=6, unique=True),
    st.sampled_from([10.0, 25.0, 30.0]),
)
def test_stretches_that_touch_share_no_frame_and_lose_none(fps, cuts, list_fps):
    """Whatever the two rates; times are rounded to milliseconds, as Matroska does."""
    times_s = np.round(np.arange(2000) / fps, 3)
    found = []
    for start, end in pairwise(sorted(cuts)):
        with suppress(MediaError):  # two cuts between the same two frames
            found.append(media.cut_at(times_s, start / list_fps, end / list_fps, "a"))
            assert fps != list_fps or found[-1] == (start, end)
    for (_, end), (first, _) in pairwise(found):
        assert end == first
