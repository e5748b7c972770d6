"""Parts of a long file: the same frames as read from its start, and no more decoded than it takes."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signloom import media
from signloom.errors import MediaError
from signloom.media.clip import Clip
from signloom.media.index import index_of, read_index
from signloom.media.recording import Recording

N = 150
REALTIME = {"cpu-used": "8", "deadline": "realtime", "lag-in-frames": "0"}
ALT_REF = {"cpu-used": "8", "deadline": "good", "auto-alt-ref": "1", "lag-in-frames": "16"}
SLOTS = np.cumsum(random.Random(0).choices([1, 1, 1, 2, 5], k=N)).tolist()  # uneven times

# name → how it is encoded, and whether parts of it can be sought
FILES = {
    "b_frames.mp4": ({"options": {"bf": "3"}}, True),
    "b_frames.mkv": ({"options": {"bf": "3"}}, True),
    "b_frames.ts": ({"options": {"bf": "3"}}, True),
    "b_frames.mov": ({"options": {"bf": "2"}}, True),
    "fragments.mp4": ({"movflags": "frag_keyframe+empty_moov", "options": {"bf": "2"}}, True),
    "uneven.mkv": ({"pts": SLOTS, "options": {"bf": "2"}}, True),
    "uneven.mp4": ({"pts": SLOTS, "options": {"bf": "2"}}, True),
    "open_group.mp4": ({"options": {"x264-params": "open-gop=1:bframes=3:scenecut=0"}}, False),
    "refreshed.mkv": ({"options": {"x264-params": "intra-refresh=1:bframes=0"}}, False),
    "hevc.mp4": ({"codec": "libx265", "options": {"x265-params": "keyint=12:bframes=3:log-level=none"}}, True),
    "hevc_open.mkv": (
        {"codec": "libx265", "options": {"x265-params": "keyint=12:bframes=4:open-gop=1:log-level=none"}},
        True,
    ),
    "vp8.webm": ({"codec": "libvpx", "options": REALTIME}, True),
    "vp8_hidden.webm": ({"codec": "libvpx", "options": ALT_REF}, True),
    "vp9.webm": ({"codec": "libvpx-vp9", "options": REALTIME}, True),
    "vp9_hidden.webm": ({"codec": "libvpx-vp9", "options": ALT_REF}, True),
    "av1.mp4": ({"codec": "libsvtav1", "options": {"preset": "12", "svtav1-params": "keyint=12"}}, True),
    "mpeg2.ts": ({"codec": "mpeg2video", "options": {"bf": "2"}}, True),
    "mpeg2.mpg": ({"codec": "mpeg2video", "options": {"bf": "2"}}, None),
    "motion_jpeg.mov": ({"codec": "mjpeg", "pix_fmt": "yuvj422p"}, True),
    "motion_jpeg.avi": ({"codec": "mjpeg", "pix_fmt": "yuvj422p"}, False),
    "lossless.mkv": ({"codec": "ffv1", "pix_fmt": "bgr0"}, True),
    "b_frames.avi": ({"options": {"bf": "3"}}, False),
    "mpeg4.mp4": ({"codec": "mpeg4", "options": {"bf": "2"}}, False),
    "flash.flv": ({"codec": "flv"}, False),
    "turned.mp4": ({"turn": (-90, False), "options": {"bf": "2"}}, True),
}


@pytest.fixture(scope="module")
def files(media_maker, tmp_path_factory):
    """name → (path, its frames, their times), read from the start."""
    folder = tmp_path_factory.mktemp("files")
    frames = media_maker.moving_square(N)
    made = {}
    for name, (how, _) in FILES.items():
        path = media_maker.encode_clip(folder / name, frames, **how)
        video = media.read_video(path)
        assert len(video.frames_THWC) == N, name
        made[name] = (path, video.frames_THWC, video.times_s)
    return made


@pytest.fixture
def decoded(monkeypatch):
    """How many frames came out of decoders, in a list of one."""
    whole, counted = Clip.decode, [0]

    def counting(clip, key=None):
        for found in whole(clip, key):
            counted[0] += 1
            yield found

    monkeypatch.setattr(Clip, "decode", counting)
    return counted


def same(part, frames, times_s, first, end):
    part = list(part)
    got = np.stack([frame for _, frame in part])
    np.testing.assert_array_equal(got, frames[first:end])
    np.testing.assert_allclose([time_s for time_s, _ in part], times_s[first:end] - times_s[first], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", FILES)
def test_a_part_is_the_same_as_of_the_whole(files, decoded, name):
    path, frames, times_s = files[name]
    for first, end in ((100, 110), (149, 150), (60, 61), (0, 5), (84, 97), (130, None)):
        same(media.iter_frames(path, first_frame=first, end_frame=end), frames, times_s, first, end)
    decoded[0] = 0
    same(media.iter_frames(path, first_frame=120, end_frame=130), frames, times_s, 120, 130)
    sought = FILES[name][1]
    if sought is not None:
        index = index_of(path, media.Limits())
        assert (index is not None and len(index.keys) > 1) is sought
        assert decoded[0] < 50 if sought else decoded[0] >= 130


@settings(max_examples=60, derandomize=True, deadline=None, database=None)
@given(
    name=st.sampled_from(sorted(FILES)),
    ranges=st.lists(st.tuples(st.integers(0, N - 1), st.integers(1, 70)), min_size=1, max_size=6),
    recent=st.sampled_from([0, 30 * 64 * 48 * 3]),
)
def test_parts_in_any_order_are_the_same_as_of_the_whole(files, name, ranges, recent):
    path, frames, times_s = files[name]
    with Recording(path, recent_bytes=recent) as recording:
        for first, n in ranges:
            end = min(first + n, N)
            same(recording.part(first, end), frames, times_s, first, end)


@pytest.mark.parametrize("name", ["b_frames.mp4", "hevc_open.mkv", "open_group.mp4", "b_frames.avi"])
def test_a_recording_is_decoded_once_for_all_its_parts(files, decoded, name):
    """Overlapping ones too, and with two boxes of the same frames; what cannot be sought is decoded once through."""
    path, frames, times_s = files[name]
    parts = [(10, 20), (15, 30), (15, 30), (80, 90), (85, 100), (85, 88), (140, 150)]
    with Recording(path, recent_bytes=1 << 20) as recording:
        recording.info()
        for first, end in parts:
            same(recording.part(first, end), frames, times_s, first, end)
    assert decoded[0] <= (N if not FILES[name][1] else 100) + 2


def test_what_is_decoded_grows_with_what_is_used_and_not_with_the_file(media_maker, tmp_path, decoded):
    cost = {}
    for n in (300, 1200):
        path = media_maker.encode_clip(tmp_path / f"{n}.mp4", media_maker.moving_square(n, 16, 16), options={"bf": "2"})
        for clips in (5, 10):
            decoded[0] = 0
            starts = [k * n // clips for k in range(clips)]
            with Recording(path) as recording:
                used = sum(len(list(recording.part(first, first + 10))) for first in starts)
            assert used == 10 * clips
            cost[n, clips] = decoded[0]
    assert cost[1200, 10] <= 1.1 * cost[300, 10]
    assert cost[1200, 10] <= 2.2 * cost[1200, 5]
    assert cost[1200, 10] <= 10 * (10 + 12 + 3)  # frames of the clip, of a group of pictures, and what B-frames delay


def test_a_file_whose_seeking_leads_elsewhere_is_decoded_from_its_start(files, monkeypatch):
    path, frames, times_s = files["b_frames.mp4"]
    true = read_index(path, media.Limits())
    shifted = type(true)(true.stamps, tuple(key._replace(number=key.number + 1) for key in true.keys[:-1]))
    for wrong in (shifted, type(true)(true.stamps[:-20], true.keys), type(true)(true.stamps, true.keys[1:])):
        monkeypatch.setattr("signloom.media.recording.index_of", lambda path, limits, wrong=wrong: wrong)
        with Recording(path) as recording:
            for first, end in ((100, 150), (3, 9), (140, 150)):
                same(recording.part(first, end), frames, times_s, first, end)


def test_limits_are_for_what_is_read(files):
    path, frames, times_s = files["b_frames.mp4"]
    limits = media.Limits(max_frames=20, max_bytes=1000)
    same(media.iter_frames(path, first_frame=100, end_frame=120, limits=limits), frames, times_s, 100, 120)
    for first, end in ((100, 121), (0, None), (120, None)):
        with pytest.raises(MediaError) as caught:
            list(media.iter_frames(path, first_frame=first, end_frame=end, limits=limits))
        assert caught.value.reason in ("too-long", "too-large")


@pytest.mark.parametrize(("first", "end", "reason"), [(150, 160, "no-frames"), (100, 200, "truncated")])
def test_a_range_that_the_header_lacks_is_refused_before_anything_is_decoded(files, decoded, first, end, reason):
    with pytest.raises(
        MediaError, match=f"it has 150 frames; the clip should .* frame {first if first == 150 else end}"
    ):
        list(media.iter_frames(files["b_frames.mp4"][0], first_frame=first, end_frame=end))
    assert decoded[0] == 0


def test_a_part_that_fails_spoils_no_other(files, tmp_path):
    """A hole in the data: the parts around it are read, from the one that is open."""
    path, frames, times_s = files["b_frames.mp4"]
    data = bytearray(path.read_bytes())
    index = read_index(path, media.Limits())
    assert index is not None
    with Recording(path) as recording:
        packets = [p for p in recording._clip.container.demux(recording._clip.stream) if p.size]
    where = next(p.pos + p.size // 2 for p in packets if p.pts == index.stamps[75])
    data[where - 20 : where + 20] = bytes(40)
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(data)
    with Recording(damaged) as recording:
        same(recording.part(10, 20), frames, times_s, 10, 20)
        with pytest.raises(MediaError):
            list(recording.part(70, 80))
        same(recording.part(100, 110), frames, times_s, 100, 110)
        same(recording.part(20, 30), frames, times_s, 20, 30)
