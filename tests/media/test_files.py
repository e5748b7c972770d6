"""Reading and writing media: every frame once, in order, in its colours, upright, at its time; within its limits."""

from __future__ import annotations

import builtins
import os
import runpy
import signal
import subprocess
import sys
import time
import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from signloom import media
from signloom.errors import InputError, MediaError, MissingExtraError
from signloom.media import Limits


def reason_of(function, *args, **kwargs) -> str:
    with pytest.raises(MediaError) as caught:
        function(*args, **kwargs)
    return caught.value.reason


def nearest(frames: np.ndarray, source: np.ndarray) -> list[int]:
    """For each frame, the index of the source frame it looks most like."""
    return [int(np.abs(source.astype(int) - frame).mean((1, 2, 3)).argmin()) for frame in frames]


# --- every frame once, at its time ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("b_frames.mp4", {"options": {"bf": "3"}}),
        ("b_frames.mkv", {"options": {"bf": "3"}}),
        ("b_frames.avi", {"options": {"bf": "3"}}),
        ("b_frames.ts", {"options": {"bf": "3"}}),
        ("packed.avi", {"codec": "mpeg4", "options": {"bf": "2"}}),
        ("fragments.mp4", {"movflags": "frag_keyframe+empty_moov"}),
        ("vp9.webm", {"codec": "libvpx-vp9", "options": {"cpu-used": "8", "deadline": "realtime"}}),
        ("ten_bit.mov", {"codec": "prores_ks", "pix_fmt": "yuv422p10le"}),
        ("motion_jpeg.avi", {"codec": "mjpeg", "pix_fmt": "yuvj422p"}),
        ("lossless.mkv", {"codec": "ffv1", "pix_fmt": "bgr0"}),
        ("mpeg2.mpg", {"codec": "mpeg2video", "options": {"bf": "2"}}),
        ("flash.flv", {"codec": "flv"}),
        ("animated.apng", {"codec": "apng", "pix_fmt": "rgb24"}),
        ("animated.gif", {"codec": "gif", "pix_fmt": "rgb8"}),
    ],
)
def test_every_frame_once_in_order(media_maker, tmp_path, name, settings):
    source = media_maker.moving_square(24)
    path = media_maker.encode_clip(tmp_path / name, source, **settings)
    video = media.read_video(path)
    assert nearest(video.frames_THWC, source) == list(range(24))
    assert video.frames_THWC.shape == source.shape
    assert video.frames_THWC.dtype == np.uint8
    np.testing.assert_allclose(video.times_s, np.arange(24) / 25, atol=2e-3)
    assert video.fps == pytest.approx(25)
    assert media.probe(path).n_frames in (None, 24)


def test_frames_are_the_callers_own(media_maker, tmp_path):
    path = media_maker.encode_clip(tmp_path / "a.mp4", media_maker.moving_square(4))
    seen = []
    for _, frame in media.iter_frames(path):
        assert frame.flags.c_contiguous
        assert frame.flags.writeable
        assert frame.flags.owndata
        seen.append(frame.copy())
        frame[:] = 0  # must not reach into the next one
    np.testing.assert_array_equal(np.stack(seen), media.read_video(path).frames_THWC)


def test_times_start_at_zero_wherever_the_file_starts(media_maker, tmp_path):
    path = media_maker.encode_clip(
        tmp_path / "late.mkv",
        media_maker.moving_square(10),
        pts=[1000 + 40 * i for i in range(10)],
        time_base=Fraction(1, 1000),
    )
    np.testing.assert_allclose(media.read_video(path).times_s, np.arange(10) / 25, atol=2e-3)
    np.testing.assert_allclose(media.read_video(path, first_frame=4).times_s, np.arange(6) / 25, atol=2e-3)


def test_variable_frame_rate_is_honoured_and_can_be_evened_out(media_maker, tmp_path):
    slots = [0, 1, 2, 3, 7, 8, 12, 13, 14, 20]  # of 1/25 s
    source = media_maker.moving_square(len(slots))
    for name, codec in (("v.mkv", "libx264"), ("v.mp4", "libx264"), ("v.avi", "mpeg4")):
        video = media.read_video(media_maker.encode_clip(tmp_path / name, source, codec=codec, pts=slots))
        np.testing.assert_allclose(video.times_s * 25, slots, atol=0.05)
        nearest_slots = [min(range(10), key=lambda i: (abs(slots[i] - k), i)) for k in range(21)]
        assert media.constant_rate(video.times_s, 25).tolist() == nearest_slots


def test_constant_rate():
    for times in (np.arange(50) / 30, np.round(np.arange(50) / 30, 3), np.arange(2000) / 29.97, np.array([0.0]), []):
        assert media.constant_rate(np.array(times), 30).tolist() == list(range(len(times)))
    assert media.constant_rate(np.arange(11) / 50, 25).tolist() == [0, 2, 4, 6, 8, 10]
    assert media.constant_rate(np.arange(4) / 10, 20).tolist() == [0, 0, 1, 1, 2, 2, 3]  # a tie keeps the earlier frame
    gap = np.array([0, 1, 2, 6, 7, 8]) / 30
    assert media.constant_rate(gap, 30).tolist() == [0, 1, 2, 2, 2, 3, 3, 4, 5]
    for bad in ([0, 0.1, 0.1], [0, 0.2, 0.1], [0, float("nan")]):
        with pytest.raises(InputError, match="increase"):
            media.constant_rate(np.array(bad), 30)
    with pytest.raises(InputError, match="span"):
        media.constant_rate(np.array([0, 1, 50_000.0]), 30)
    with pytest.raises(InputError, match="fps"):
        media.constant_rate(np.arange(3), 0)


def test_clip_with_sound(tmp_path, media_maker):
    """Sound beside the pictures changes nothing, whichever track comes first and whoever counts its samples."""
    import av

    source = media_maker.moving_square(12)
    path = tmp_path / "a.mov"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("pcm_s16le", rate=48_000)
        stream = container.add_stream("libx264", rate=25, options={"threads": "1"})
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for number, frame in enumerate(source):
            wave_form = av.AudioFrame.from_ndarray(np.zeros((1, 2 * 1920), np.int16), format="s16", layout="stereo")
            wave_form.sample_rate, wave_form.pts = 48_000, 1920 * number
            container.mux(sound.encode(wave_form))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    assert nearest(media.read_video(path).frames_THWC, source) == list(range(12))
    assert media.probe(path).n_frames == 12


def test_a_picture_that_looks_like_text(tmp_path):
    (tmp_path / "a.pgm").write_bytes(b"P5\n4 2\n255\nABCDEFGH")
    assert media.read_video(tmp_path / "a.pgm").frames_THWC[0, :, :, 0].tolist() == [[*b"ABCD"], [*b"EFGH"]]


def test_broken_clock_is_mended(media_maker, tmp_path):
    """A jump of years in the middle leaves times that increase in even steps."""
    ticks = [0, 40, 80, 10**7, 10**7 + 40, 10**7 + 80]  # milliseconds
    path = tmp_path / "a.mkv"
    source = media_maker.moving_square(6)
    media_maker.encode_clip(path, source, codec="ffv1", pix_fmt="bgr0", pts=ticks, time_base=Fraction(1, 1000))
    times = media.read_video(path).times_s
    assert (np.diff(times) > 0).all()
    assert times[-1] < 5


@pytest.mark.parametrize(("first", "end"), [(0, 1), (5, 9), (11, 13), (23, 24), (20, None), (0, 24), (10, 25)])
def test_frame_ranges_are_exact(media_maker, tmp_path, first, end):
    path = media_maker.encode_clip(tmp_path / "a.mp4", media_maker.moving_square(24), options={"bf": "3"})
    whole = media.read_video(path)
    part = media.read_video(path, first_frame=first, end_frame=end)
    np.testing.assert_array_equal(part.frames_THWC, whole.frames_THWC[first:end])
    np.testing.assert_allclose(part.times_s, whole.times_s[first:end] - whole.times_s[first])
    assert part.fps == whole.fps


def test_frame_ranges_that_select_nothing(media_maker, tmp_path):
    path = media_maker.encode_clip(tmp_path / "a.mp4", media_maker.moving_square(24))
    for first, end in ((-1, None), (5, 5), (5, 2)):
        with pytest.raises(InputError, match="select nothing"):
            media.iter_frames(path, first_frame=first, end_frame=end)  # at once, not at the first frame
    assert reason_of(media.read_video, path, first_frame=24) == "no-frames"
    assert reason_of(media.read_video, path, first_frame=4, end_frame=40) == "truncated"


def test_edit_list_hides_frames(media_maker, tmp_path):
    """An mp4 whose edit list starts at the fourth frame shows the rest only, and is not short."""
    data = media_maker.encode_clip(tmp_path / "a.mp4", media_maker.moving_square(24), options={"bf": "0"}).read_bytes()
    source = media.read_video(tmp_path / "a.mp4").frames_THWC
    at = data.index(b"elst")
    media_time = at + 16
    ticks = int.from_bytes(data[data.index(b"stts") + 16 :][:4], "big")
    (tmp_path / "b.mp4").write_bytes(data[:media_time] + (4 * ticks).to_bytes(4, "big") + data[media_time + 4 :])
    video = media.read_video(tmp_path / "b.mp4")
    np.testing.assert_array_equal(video.frames_THWC, source[4:])
    assert media.probe(tmp_path / "b.mp4").n_frames == 20
    assert video.times_s[0] == 0


# --- colours -------------------------------------------------------------------------------------------------------

PATCHES = np.array(
    [[255, 0, 0], [0, 255, 0], [0, 0, 255], [200, 160, 130], [90, 60, 45], [255, 255, 255], [0, 0, 0], [128] * 3]
)


def patches(height: int = 32) -> np.ndarray:
    """uint8 (3, H, 128, 3): flat columns of saturated colours, skin tones and greys, 16 pixels each."""
    row = PATCHES.astype(np.uint8).repeat(16, 0)
    return np.broadcast_to(row, (3, height, *row.shape)).copy()


def patch_means(frame: np.ndarray) -> np.ndarray:
    return np.stack([frame[4:-4, 16 * i + 5 : 16 * i + 11].reshape(-1, 3).mean(0) for i in range(len(PATCHES))])


@pytest.mark.parametrize("full_range", [None, False, True])
@pytest.mark.parametrize("matrix", [None, 1, 6, 9])
@pytest.mark.parametrize(
    ("codec", "pix_fmt"), [("libx264", "yuv420p"), ("libx264", "yuv444p"), ("ffv1", "yuv420p10le")]
)
def test_colours_as_tagged(media_maker, tmp_path, matrix, full_range, codec, pix_fmt):
    options = {"crf": "8"} if codec == "libx264" else {}
    path = tmp_path / "a.mkv"
    media_maker.encode_clip(
        path, patches(), codec=codec, pix_fmt=pix_fmt, matrix=matrix, full_range=full_range, options=options
    )
    assert np.abs(patch_means(media.read_video(path).frames_THWC[1]) - PATCHES).max() <= 3


def test_untagged_colours_go_by_size_as_in_players(media_maker, tmp_path):
    import av

    wide = np.concatenate([patches()] * 10, axis=2)  # 1280 across: HD
    for frames, matrix in ((patches(), 6), (wide, 1)):
        tagged = media_maker.encode_clip(
            tmp_path / "a.mkv", frames, matrix=matrix, full_range=False, options={"crf": "8"}
        )
        with av.open(str(tagged)) as container:
            planes = [frame.to_ndarray() for frame in container.decode(video=0)]
        # the same samples once more, under a header without tags
        with av.open(str(tmp_path / "b.mkv"), "w") as container:
            stream = container.add_stream("ffv1", rate=25)
            stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], "yuv420p"
            for number, plane in enumerate(planes):
                picture = av.VideoFrame.from_ndarray(plane, format="yuv420p")
                picture.pts = number
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
        untagged = media.read_video(tmp_path / "b.mkv").frames_THWC
        wanted = patch_means(media.read_video(tagged).frames_THWC[1])
        np.testing.assert_allclose(patch_means(untagged[1]), wanted, atol=1)


@pytest.mark.parametrize("full_range", [False, True])
def test_grey(media_maker, tmp_path, full_range):
    levels = np.linspace(0, 255, 64).astype(np.uint8)
    stored = levels if full_range else np.round(16 + levels * (219 / 255)).astype(np.uint8)
    frames = np.broadcast_to(stored, (3, 32, 64))
    path = media_maker.encode_clip(
        tmp_path / "a.mp4", frames, pix_fmt="gray", full_range=full_range, options={"crf": "5"}, planes=True
    )
    got = media.read_video(path).frames_THWC[1]
    assert np.abs(got[8:24].astype(int) - levels[None, :, None]).max() <= 6
    assert np.abs(got[8:24].mean((0, 2)) - levels).mean() <= 2
    assert (got[..., 0] == got[..., 2]).all()


def test_alpha_is_laid_over_black(media_maker, tmp_path):
    rgba = np.zeros((3, 16, 32, 4), np.uint8)
    rgba[..., :3] = (200, 100, 40)
    rgba[:, :, :16, 3] = 255
    rgba[:, :, 16:24, 3] = 128
    path = media_maker.encode_clip(tmp_path / "a.mov", rgba, codec="png", pix_fmt="rgba", planes=True)
    frame = media.read_video(path).frames_THWC[0]
    assert frame[4, 4].tolist() == [200, 100, 40]
    assert np.abs(frame[4, 20].astype(int) - (100, 50, 20)).max() <= 1
    assert frame[4, 30].tolist() == [0, 0, 0]


def test_sixteen_bit_and_palette_sources(media_maker, tmp_path):
    source = patches()
    for name, codec, pix_fmt in (("a.mkv", "ffv1", "rgb48le"), ("a.gif", "gif", "rgb8"), ("a.mov", "png", "rgb24")):
        frames = media.read_video(
            media_maker.encode_clip(tmp_path / name, source, codec=codec, pix_fmt=pix_fmt)
        ).frames_THWC
        assert np.abs(patch_means(frames[0]) - PATCHES).max() <= (40 if pix_fmt == "rgb8" else 1)


# --- orientation and shape -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_display_matrix_is_honoured(media_maker, tmp_path, degrees, mirrored):
    source = media_maker.moving_square(3)
    path = media_maker.encode_clip(tmp_path / "a.mp4", source, turn=(degrees, mirrored), options={"crf": "8"})
    plain = media.read_video(media_maker.encode_clip(tmp_path / "b.mp4", source, options={"crf": "8"})).frames_THWC
    # FFmpeg's convention: turn counter-clockwise, then swap left and right.
    wanted = np.rot90(plain, degrees // 90, axes=(1, 2))
    wanted = wanted[:, :, ::-1] if mirrored else wanted
    np.testing.assert_array_equal(media.read_video(path).frames_THWC, wanted)
    info = media.probe(path)
    assert (info.height, info.width) == wanted.shape[1:3]
    assert info.mirrored == mirrored
    again = plain[:, :, ::-1] if info.mirrored else plain
    np.testing.assert_array_equal(np.rot90(again, -info.rotation_deg // 90, axes=(1, 2)), wanted)


def test_a_phones_portrait_matrix(media_maker, tmp_path):
    """The bytes that phones write for a clip to be turned by 90° clockwise, put into the track header by hand."""
    source = media_maker.moving_square(3)
    data = media_maker.encode_clip(tmp_path / "a.mp4", source).read_bytes()
    plain = media.read_video(tmp_path / "a.mp4").frames_THWC
    at = data.index(b"tkhd") + 4 + 40
    matrix = b"".join(
        v.to_bytes(4, "big", signed=True) for v in (0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30)
    )
    (tmp_path / "b.mp4").write_bytes(data[:at] + matrix + data[at + 36 :])
    np.testing.assert_array_equal(media.read_video(tmp_path / "b.mp4").frames_THWC, np.rot90(plain, -1, axes=(1, 2)))
    info = media.probe(tmp_path / "b.mp4")
    assert (info.width, info.height, info.rotation_deg) == (48, 64, 90)


def test_box_is_in_display_pixels(media_maker, tmp_path):
    path = media_maker.encode_clip(
        tmp_path / "a.mp4", media_maker.moving_square(3), turn=(-90, False)
    )  # 48 wide, 64 high
    whole = media.read_video(path).frames_THWC
    assert whole.shape == (3, 64, 48, 3)
    for box, (rows, columns) in {
        (10, 20, 30, 60): (slice(20, 60), slice(10, 30)),
        (10.6, 20.2, 29.1, 59.5): (slice(20, 60), slice(10, 30)),
        (-5, -5, 1000, 1000): (slice(0, 64), slice(0, 48)),
        (40, 50, 90, 90): (slice(50, 64), slice(40, 48)),
    }.items():
        np.testing.assert_array_equal(media.read_video(path, box_px=box).frames_THWC, whole[:, rows, columns])
    for box in ((48, 0, 60, 10), (10, 10, 10, 20), (20, 0, 10, 10), (0, 0, float("nan"), 5)):
        with pytest.raises(InputError, match="box"):
            media.read_video(path, box_px=box)


@pytest.mark.parametrize(
    ("aspect", "size"), [(Fraction(4, 3), (48, 85)), (Fraction(1, 2), (96, 64)), (Fraction(1280, 1281), (48, 64))]
)
def test_pixels_come_out_square(media_maker, tmp_path, aspect, size):
    path = media_maker.encode_clip(tmp_path / "a.mp4", media_maker.moving_square(3), aspect=aspect)
    assert media.read_video(path).frames_THWC.shape[1:3] == size
    info = media.probe(path)
    assert (info.height, info.width) == size


def test_absurd_pixel_aspect(media_maker, tmp_path):
    path = media_maker.encode_clip(tmp_path / "a.mp4", media_maker.moving_square(3), aspect=Fraction(40, 1))
    assert reason_of(media.read_video, path) == "bad-header"


# --- pictures ------------------------------------------------------------------------------------------------------


def test_folder_of_pictures_reads_in_natural_order(media_maker, tmp_path):
    source = media_maker.moving_square(12)
    folder = tmp_path / "frames.mp4"
    folder.mkdir()
    for number, frame in enumerate(source):
        (folder / f"frame{number + 1}.png").write_bytes(
            media_maker.encode_picture("png", frame)
        )  # 1, 2, … 10: not alphabetic
    (folder / "notes.txt").write_text("left-handed")
    video = media.read_video(folder)
    np.testing.assert_array_equal(video.frames_THWC, source)
    np.testing.assert_allclose(video.times_s, np.arange(12) / 25)
    np.testing.assert_array_equal(media.read_video(folder, first_frame=3, end_frame=5).frames_THWC, source[3:5])
    info = media.probe(folder)
    assert (info.n_frames, info.width, info.height, info.fps) == (12, 64, 48, 25)
    assert reason_of(media.read_video, folder, first_frame=12) == "no-frames"
    assert reason_of(media.read_video, folder, end_frame=40) == "truncated"
    assert reason_of(media.read_video, folder, limits=Limits(max_frames=5)) == "too-long"
    before = media.content_hash(folder)
    (folder / "frame13.png").write_bytes(media_maker.encode_picture("png", media_maker.moving_square(1, 32, 32)[0]))
    assert media.content_hash(folder) != before
    assert reason_of(media.read_video, folder) == "decode-error"
    (folder / "frame13.png").write_bytes(media_maker.encode_picture("png", source[0])[:200])
    assert reason_of(media.read_video, folder) == "truncated"


# --- limits and safety ---------------------------------------------------------------------------------------------


def test_limits(media_maker, tmp_path):
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


def test_a_container_may_not_open_other_files(media_maker, tmp_path, monkeypatch):
    """Even past the list of formats, the demuxer's door to other files stays shut."""
    media_maker.encode_clip(tmp_path / "secret.ts", media_maker.moving_square(6))
    (tmp_path / "list.txt").write_text("ffconcat version 1.0\nfile secret.ts\n")
    import av

    with av.open(str(tmp_path / "list.txt"), format="concat") as container:
        assert next(container.decode(video=0)).width == 64  # what would happen
    monkeypatch.setattr(media.files, "_DEMUXERS", media.files._DEMUXERS + ",concat")
    monkeypatch.setattr(media.files, "read_header", lambda file, path: media.files.Header())
    assert reason_of(media.read_video, tmp_path / "list.txt") == "not-media"


def test_permissions_are_named(tmp_path, media_maker):
    """As a user who may not read the file, whoever runs the tests."""
    path = media_maker.encode_clip(tmp_path / "a.mp4", media_maker.moving_square(2))
    path.chmod(0)
    if os.geteuid() != 0:
        assert reason_of(media.probe, path) == "permission"
        assert reason_of(media.content_hash, path) == "permission"
        return
    child = os.fork()
    if child == 0:  # no test framework may run in here
        code = 1
        try:
            os.setuid(65534)
            media.probe(path)
        except MediaError as error:
            code = 0 if error.reason == "permission" else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_names_that_cannot_be(tmp_path):
    for name in ("x" * 5000, "a\0b", "", "no/such/folder.mp4", str(tmp_path / "a.txt" / "b.mp4")):
        assert reason_of(media.probe, name) == "missing"
        assert reason_of(media.content_hash, name) == "missing"


def test_content_hash(tmp_path):
    (tmp_path / "a").write_bytes(b"signs" * 1_000_000)
    (tmp_path / "b").write_bytes(b"signs" * 1_000_000)
    (tmp_path / "c").write_bytes(b"signs" * 999_999 + b"sigms")
    a, b, c = (media.content_hash(tmp_path / name) for name in "abc")
    assert a == b != c
    assert len(a) == 32
    import hashlib

    assert a == hashlib.blake2b(b"signs" * 1_000_000, digest_size=16).hexdigest()


# --- writing -------------------------------------------------------------------------------------------------------


def test_what_is_written_reads_back(tmp_path):
    frames = np.concatenate([patches(48)] * 4)
    media.write_video(tmp_path / "a.mp4", iter(frames), 29.97)
    video = media.read_video(tmp_path / "a.mp4")
    assert video.frames_THWC.shape == frames.shape
    for frame in video.frames_THWC:
        assert np.abs(patch_means(frame) - PATCHES).max() <= 4
    assert video.fps == pytest.approx(30000 / 1001, abs=1e-9)
    np.testing.assert_allclose(video.times_s, np.arange(12) * 1001 / 30000, atol=1e-9)
    import av

    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == Fraction(30000, 1001)
        context = stream.codec_context
        tags = (context.colorspace, context.color_primaries, context.color_trc, context.color_range)
        assert tags == (1, 1, 1, 1)
        assert context.pix_fmt == "yuv420p"


def test_written_frames_keep_their_order_and_detail(media_maker, tmp_path):
    source = media_maker.moving_square(30, width=96)
    media.write_video(tmp_path / "a.mp4", source, 25)
    video = media.read_video(tmp_path / "a.mp4")
    assert nearest(video.frames_THWC, source) == list(range(30))
    luma = (video.frames_THWC - source.astype(float)) @ (0.2126, 0.7152, 0.0722)  # chroma has half the resolution
    assert np.abs(luma).mean() < 3
    import av

    with av.open(str(tmp_path / "a.mp4")) as container:
        keys = [i for i, packet in enumerate(container.demux(video=0)) if packet.is_keyframe and packet.size]
    assert keys[0] == 0
    assert max(np.diff([*keys, 30])) <= 12


def test_writing_leaves_colour_where_it_was(tmp_path):
    """Chroma is stored at half the resolution; put in the wrong place it would be half a pixel off."""
    y, x = np.mgrid[0:64, 0:64] + 0.5
    blob = np.exp(-((x - 31) ** 2 + (y - 33) ** 2) / 50)[..., None]
    frame = np.round(np.array([90, 110, 150]) * (1 - blob) + np.array([160, 85, 60]) * blob).astype(np.uint8)

    def centre(picture):
        red = picture[..., 0].astype(float) - picture[..., 2]
        red -= red[0, 0]
        return np.array([(red * x).sum(), (red * y).sum()]) / red.sum()

    media.write_video(tmp_path / "a.mp4", [frame] * 3, 25, crf=1)
    read = media.read_video(tmp_path / "a.mp4").frames_THWC[1]
    np.testing.assert_allclose(centre(read), centre(frame), atol=0.1)


def test_writing_is_deterministic(media_maker, tmp_path):
    source = media_maker.moving_square(20)
    for name in ("a.mp4", "b.mp4"):
        media.write_video(tmp_path / name, source, 25, metadata={"comment": "made by signloom", "signloom_seed": "7"})
        time.sleep(1.1 if name == "a.mp4" else 0)  # a time of day in the file would show
    data = (tmp_path / "a.mp4").read_bytes()
    assert data == (tmp_path / "b.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_metadata_is_kept(media_maker, tmp_path):
    wanted = {"title": "žuta 手話", "comment": "generated", "signloom_provenance": '{"consent": "yes"}'}
    media.write_video(tmp_path / "a.mp4", media_maker.moving_square(3), 25, metadata=wanted)
    assert wanted.items() <= media.probe(tmp_path / "a.mp4").metadata.items()


@pytest.mark.parametrize(("height", "width"), [(47, 63), (48, 63), (1, 1), (2, 3), (17, 16)])
def test_odd_sizes_are_padded_by_their_edge(media_maker, tmp_path, height, width):
    y, x = np.mgrid[0:height, 0:width]
    source = np.repeat(np.stack((100 + x, 80 + 2 * y, 0 * x + 90), axis=-1)[None], 3, axis=0).astype(np.uint8)
    media.write_video(tmp_path / "a.mp4", source, 25)
    got = media.read_video(tmp_path / "a.mp4").frames_THWC
    assert got.shape == (3, height + height % 2, width + width % 2, 3)
    assert np.abs(got[:, :height, :width].astype(int) - source).mean() < 3
    assert np.abs(got[:, -1].astype(int) - got[:, height - 1]).mean() < 3


def test_writing_refuses_what_it_cannot_write(media_maker, tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"old")
    good = media_maker.moving_square(3)
    for frames, what in (
        ([], "no frames"),
        ([good[0], good[0, :20]], "shape"),
        ([good[0].astype(float)], "uint8"),
        ([good[0, :, :, 0]], "uint8"),
    ):
        with pytest.raises(InputError, match=what):
            media.write_video(path, frames, 25)
    for settings in ({"crf": 60}, {"crf": -1}, {"keyframe_every": 0}):
        with pytest.raises(InputError, match="crf"):
            media.write_video(path, good, 25, **settings)
    with pytest.raises(InputError, match="cannot be encoded"):
        media.write_video(path, np.zeros((1, 2, 20_000, 3), np.uint8), 25)
    for fps in (0, -1, float("nan"), float("inf"), 10**6):
        with pytest.raises(InputError, match="fps"):
            media.write_video(path, good, fps)

    def stops():
        yield good[0]
        raise KeyError("the source broke")

    with pytest.raises(KeyError):
        media.write_video(path, stops(), 25)
    assert path.read_bytes() == b"old"  # whole or not at all
    assert os.listdir(tmp_path) == ["a.mp4"]


def test_writing_streams(media_maker, tmp_path):
    """Frames are taken as they are encoded, not gathered first."""
    alive = []

    def frames():
        for number in range(200):
            frame = np.full((32, 32, 3), number, np.uint8)
            alive.append(frame.ctypes.data)
            yield frame

    media.write_video(tmp_path / "a.mp4", frames(), 25)
    assert len(set(alive)) < 50  # memory of earlier frames was used again


def test_a_path_is_never_taken_for_a_protocol(media_maker, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    media.write_video("pipe:1.mp4", media_maker.moving_square(2), 25)
    assert len(media.read_video("pipe:1.mp4").times_s) == 2


@pytest.mark.parametrize(
    ("fps", "rate"),
    [
        (25, "25"),
        (29.97, "30000/1001"),
        (30000 / 1001, "30000/1001"),
        (23.976, "24000/1001"),
        (59.94, "60000/1001"),
        (30, "30"),
        (24, "24"),
        (12.5, "25/2"),
        (14.985, "2997/200"),
        (1 / 3, "1/3"),
    ],
)
def test_exact_rate(fps, rate):
    assert media.exact_rate(fps) == Fraction(rate)


# --- resizing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("height", "width", "shorter", "wanted"),
    [
        (480, 640, 240, (240, 320)),
        (640, 480, 240, (320, 240)),
        (270, 480, 256, (256, 456)),
        (100, 100, 64, (64, 64)),
        (360, 340, 256, (272, 256)),
        (60, 90, 240, (240, 360)),
        (1080, 1920, 2, (2, 4)),
    ],
)
def test_resize_sizes(height, width, shorter, wanted):
    assert media.resize_shorter_side(np.zeros((height, width, 3), np.uint8), shorter).shape == (*wanted, 3)


def test_resize_keeps_pixel_centres():
    """A symmetric picture stays symmetric, and a bright spot stays at the same relative place, both ways."""
    x = np.arange(480) + 0.5
    for height, shorter in ((480, 96), (96, 480), (480, 200)):
        y = (np.arange(height) + 0.5) / height
        x = (np.arange(height * 4 // 3) + 0.5) / (height * 4 // 3)
        spot = 255 * np.exp(-((x[None] - 0.25) ** 2 + (y[:, None] - 0.6) ** 2) / 0.01)
        out = media.resize_shorter_side(np.repeat(spot[..., None], 3, 2).astype(np.uint8), shorter)[..., 0].astype(
            float
        )
        assert (out * ((np.arange(out.shape[1]) + 0.5) / out.shape[1])).sum() / out.sum() == pytest.approx(
            0.25, abs=1e-3
        )
        centre_y = (out * ((np.arange(out.shape[0]) + 0.5) / out.shape[0])[:, None]).sum() / out.sum()
        assert centre_y == pytest.approx(0.6, abs=1e-3)


def test_resize_does_not_alias():
    stripes = np.zeros((200, 300, 3), np.uint8)
    stripes[:, ::2] = 255
    out = media.resize_shorter_side(stripes, 50)
    assert np.abs(out.astype(int) - 127.5).max() < 2


def test_resize_leaves_alone_what_fits_and_refuses_odd_sides():
    frame = np.zeros((64, 96, 3), np.uint8)
    assert media.resize_shorter_side(frame, 64) is frame
    for shorter in (0, 1, 63, -2):
        with pytest.raises(InputError, match="even"):
            media.resize_shorter_side(frame, shorter)


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        (
            "libGL.so.1: cannot open shared object file: No such file or directory",
            "apt-get install libgl1 libglib2.0-0",
        ),
        ("libgthread-2.0.so.0: cannot open shared object file", "dnf install"),
        ("No module named 'cv2'", "pip install opencv"),
    ],
)
def test_missing_opencv_says_what_to_install(monkeypatch, message, wanted):
    real = builtins.__import__

    def fail(name, *args, **kwargs):
        if name == "cv2":
            raise ImportError(message)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", fail)
    with pytest.raises(MissingExtraError, match=wanted):
        media.resize_shorter_side(np.zeros((10, 10, 3), np.uint8), 4)


# --- .pose ---------------------------------------------------------------------------------------------------------


def test_pose_round_trip(tmp_path, broken_inputs):
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


def test_every_cut_of_a_pose_is_named(tmp_path, broken_inputs):
    data = next(b.path for b in broken_inputs if b.path.name == "whole.pose").read_bytes()
    path = tmp_path / "cut.pose"
    for place in range(1, len(data)):
        path.write_bytes(data[:place])
        assert reason_of(media.read_pose, path) in ("truncated", "not-media", "bad-header"), place
    path.write_bytes(data + b"more")
    assert reason_of(media.read_pose, path) == "bad-header"


# --- a process that can be killed ----------------------------------------------------------------------------------


def test_run_capped_returns_and_raises_what_the_function_does(media_maker, tmp_path):
    path = media_maker.encode_clip(tmp_path / "a.mp4", media_maker.moving_square(5))
    video = media.run_capped(media.read_video, path, timeout_s=60)
    np.testing.assert_array_equal(video.frames_THWC, media.read_video(path).frames_THWC)
    with pytest.raises(MediaError, match="nothing") as caught:
        media.run_capped(media.probe, tmp_path / "nothing.mp4", timeout_s=60)
    assert caught.value.reason == "missing"
    with pytest.raises(ValueError, match="invalid literal"):
        media.run_capped(int, "x", timeout_s=60)


def test_run_capped_kills(tmp_path):
    started = time.monotonic()
    with pytest.raises(MediaError, match="killed") as caught:
        media.run_capped(time.sleep, 60, timeout_s=1)
    assert caught.value.reason == "timeout"
    assert time.monotonic() - started < 10
    for function, args in ((os.abort, ()), (os._exit, (3,)), (os.kill, (0, signal.SIGKILL))):
        assert reason_of(media.run_capped, function, *args, timeout_s=30) == "crashed"


def test_run_capped_kills_what_the_function_started(tmp_path):
    pid_file = tmp_path / "pid"
    (tmp_path / "starts.py").write_text(
        "import pathlib, subprocess, time\n"
        f"pathlib.Path({str(pid_file)!r}).write_text(str(subprocess.Popen(['sleep', '60']).pid))\n"
        "time.sleep(60)\n"
    )
    assert reason_of(media.run_capped, runpy.run_path, str(tmp_path / "starts.py"), timeout_s=2) == "timeout"
    assert _gone(int(pid_file.read_text()))


def test_run_capped_dies_with_its_parent(tmp_path):
    (tmp_path / "child.py").write_text(
        "import os, pathlib, time\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\n"
        "time.sleep(60)\n"
    )
    call = (
        "import runpy\n"
        "from signloom.media.files import run_capped\n"
        f"run_capped(runpy.run_path, {str(tmp_path / 'child.py')!r}, timeout_s=60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", call], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    until = time.monotonic() + 20
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < until
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    assert _gone(int((tmp_path / "pid").read_text()))


def _gone(pid: int) -> bool:
    for _ in range(100):
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (ProcessLookupError, FileNotFoundError):
            return True
        if state == "Z":  # dead, and not yet collected by init
            return True
        time.sleep(0.05)
    return False


def test_run_capped_caps_memory():
    assert reason_of(media.run_capped, bytearray, 4 << 30, timeout_s=60, memory_bytes=1 << 30) == "out-of-memory"
    assert len(media.run_capped(bytes, 1 << 20, timeout_s=60, memory_bytes=1 << 30)) == 1 << 20


def test_run_capped_refuses_what_cannot_travel():
    with pytest.raises(InputError, match="another process"):
        media.run_capped(lambda: 1, timeout_s=5)


def test_run_capped_keeps_prints_apart(capfd):
    assert media.run_capped(print, "a line of the function", timeout_s=60) is None
    out, err = capfd.readouterr()
    assert out == ""
    assert "a line of the function" in err


# --- real footage --------------------------------------------------------------------------------------------------


@pytest.mark.real
def test_real_clips_have_the_frames_their_containers_count(real_data):
    clips = sorted((real_data / "mlr511_arsl").glob("user*/G*/R*.mp4"))[::90]
    clips += sorted((real_data / "mlr511_arsl_raw").glob("user*/G*/R*.mp4"))[::5]
    clips += sorted((real_data / "hzj_croatian_colors").glob("*/*.mp4"))[::18]
    clips += [real_data / "talia" / name for name in ("w1003_avatar.mp4", "original_Algebra.gif")]
    assert len(clips) > 15
    for clip in clips:
        info = media.probe(clip)
        video = media.read_video(clip)
        assert len(video.frames_THWC) == len(video.times_s) == info.n_frames, clip
        assert video.frames_THWC.shape[1:] == (info.height, info.width, 3)
        np.testing.assert_allclose(np.diff(video.times_s), 1 / video.fps, rtol=1e-3, err_msg=str(clip))
        assert media.constant_rate(video.times_s, video.fps).tolist() == list(range(info.n_frames))
        assert video.frames_THWC[::20].std() > 10


@pytest.mark.real
def test_real_colours_and_order_agree_with_another_reader(real_data):
    cv2 = media.import_cv2()
    for clip in (
        real_data / "mlr511_arsl" / "user03" / "G05" / "R02.mp4",
        sorted((real_data / "hzj_croatian_colors").glob("*/*.mp4"))[5],
    ):
        ours = media.read_video(clip).frames_THWC
        other = cv2.VideoCapture(str(clip))
        for frame in ours:
            ok, theirs = other.read()
            assert ok
            assert np.abs(frame.astype(int) - theirs[..., ::-1]).mean() < 2.5  # it rounds, and repeats chroma
        assert not other.read()[0]


@pytest.mark.real
def test_real_clip_in_parts(real_data):
    clip = real_data / "talia" / "w1003_faceswap.mp4"
    part = media.read_video(clip, first_frame=198, end_frame=203, box_px=(600, 100, 1300, 900))
    assert part.frames_THWC.shape == (5, 800, 700, 3)
    whole_pictures = [frame for _, frame in media.iter_frames(clip, first_frame=198)]
    np.testing.assert_array_equal(np.stack(whole_pictures)[:, 100:900, 600:1300], part.frames_THWC)


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


# --- chosen frames of a prepared clip ------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [[0], [29], [13, 2, 13, 29], [11, 12], range(30), np.array([28, 5])], ids=str)
def test_chosen_frames_are_those_of_the_whole(media_maker, tmp_path, rows):
    media.write_video(tmp_path / "a.mp4", media_maker.moving_square(30), 25)
    whole = media.read_video(tmp_path / "a.mp4").frames_THWC
    got = media.read_frames(tmp_path / "a.mp4", rows)
    np.testing.assert_array_equal(got, whole[np.asarray(rows)])
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(media.read_frames(tmp_path / "a.mp4"), whole)


def test_only_what_is_needed_is_decoded(media_maker, tmp_path, monkeypatch):
    media.write_video(tmp_path / "a.mp4", media_maker.moving_square(60), 25, keyframe_every=10)
    decoded = []
    decode = media._Clip.decode

    def counted(clip):
        for row in decode(clip):
            decoded.append(row)
            yield row

    monkeypatch.setattr(media._Clip, "decode", counted)
    media.read_frames(tmp_path / "a.mp4", [42, 57])
    assert len(decoded) == 3 + 8  # from key frames 40 and 50
    decoded.clear()
    media.read_frames(tmp_path / "a.mp4", [0, 1])
    assert len(decoded) == 2


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("b_frames.mp4", {"options": {"bf": "3"}}),
        ("b_frames.mkv", {"options": {"bf": "3"}}),
        ("b_frames.avi", {"options": {"bf": "3"}}),
        ("fragments.mp4", {"movflags": "frag_keyframe+empty_moov"}),
        ("animated.gif", {"codec": "gif", "pix_fmt": "rgb8"}),
    ],
)
def test_chosen_frames_of_clips_that_cannot_be_sought(media_maker, tmp_path, name, settings):
    path = media_maker.encode_clip(tmp_path / name, media_maker.moving_square(24), **settings)
    whole = media.read_video(path).frames_THWC
    rows = [20, 3, 3, 23]
    np.testing.assert_array_equal(media.read_frames(path, rows), whole[rows])


def test_rows_that_are_not_there(media_maker, tmp_path):
    media.write_video(tmp_path / "a.mp4", media_maker.moving_square(5), 25)
    for rows in ([5], [-1], [], [0, 99]):
        with pytest.raises(InputError, match="it has 5 frames"):
            media.read_frames(tmp_path / "a.mp4", rows)
    path = media_maker.encode_clip(tmp_path / "b.ts", media_maker.moving_square(5))
    assert reason_of(media.read_frames, path, [7]) in ("truncated", "no-frames")


def test_chosen_frames_of_broken_files(broken_inputs):
    """Never anything but MediaError, and for the broken ones never a picture in place of it (a cut one is refused)."""
    for broken in broken_inputs:
        if broken.path.suffix in (".pose", ".gz") or broken.path.is_dir():
            continue
        reason = None
        try:
            media.read_frames(broken.path, [0])
        except MediaError as error:
            reason = error.reason
        assert reason in (None, *media.REASONS)
        nothing_to_see = set(broken.reasons) & {"empty", "missing", "not-media", "no-video"}
        assert reason or broken.ok or not nothing_to_see, broken.kind


# --- single pictures -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "frame0001.jpeg", "a", "a.bmp"])
@pytest.mark.parametrize("codec", ["png", "mjpeg"])
def test_a_picture_is_read_whatever_its_name_says(media_maker, tmp_path, name, codec):
    picture = media_maker.moving_square(1)[0]
    (tmp_path / name).write_bytes(media_maker.encode_picture(codec, picture))
    got = media.read_picture(tmp_path / name)
    assert got.shape == picture.shape
    assert np.abs(got.astype(int) - picture).mean() < 6


def test_a_picture_comes_back_as_it_was_written(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (31, 43, 3), np.uint8)
    media.write_picture(tmp_path / "deep" / "one.png", picture)
    assert (media.read_picture(tmp_path / "deep" / "one.png") == picture).all()
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["one.png"]
    assert reason_of(media.read_picture, tmp_path) == "directory"
    assert reason_of(media.read_picture, tmp_path / "two.png") == "missing"
    with pytest.raises(InputError):
        media.write_picture(tmp_path / "grey.png", picture[..., 0])
