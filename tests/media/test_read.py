"""Reading video: every frame once, in order, at its time; chosen frames as of the whole."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from signloom import media
from signloom.errors import InputError, MediaError
from signloom.media.clip import Clip

# --- every frame once, at its time -----------------------------------------------------------------------------------


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
    assert media_maker.nearest(video.frames_THWC, source) == list(range(24))
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
    assert media_maker.nearest(media.read_video(path).frames_THWC, source) == list(range(12))
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


def test_frame_ranges_that_select_nothing(media_maker, tmp_path, reason_of):
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


# --- chosen frames of a prepared clip --------------------------------------------------------------------------------


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
    decode = Clip.decode

    def counted(clip):
        for row in decode(clip):
            decoded.append(row)
            yield row

    monkeypatch.setattr(Clip, "decode", counted)
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


def test_rows_that_are_not_there(media_maker, tmp_path, reason_of):
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


# --- real footage ----------------------------------------------------------------------------------------------------


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
def test_real_clip_in_parts(real_data):
    clip = real_data / "talia" / "w1003_faceswap.mp4"
    part = media.read_video(clip, first_frame=198, end_frame=203, box_px=(600, 100, 1300, 900))
    assert part.frames_THWC.shape == (5, 800, 700, 3)
    whole_pictures = [frame for _, frame in media.iter_frames(clip, first_frame=198)]
    np.testing.assert_array_equal(np.stack(whole_pictures)[:, 100:900, 600:1300], part.frames_THWC)
