"""Pictures come out, and go in, in their colours, upright, in their shape; resizing keeps what is where."""

from __future__ import annotations

import builtins
from fractions import Fraction

import numpy as np
import pytest

from signloom import media
from signloom.errors import InputError, MissingExtraError

# --- colours ---------------------------------------------------------------------------------------------------------

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


# --- orientation and shape -------------------------------------------------------------------------------------------


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


def test_absurd_pixel_aspect(media_maker, tmp_path, reason_of):
    path = media_maker.encode_clip(tmp_path / "a.mp4", media_maker.moving_square(3), aspect=Fraction(40, 1))
    assert reason_of(media.read_video, path) == "bad-header"


# --- resizing --------------------------------------------------------------------------------------------------------


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
