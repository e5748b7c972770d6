"""Single pictures, and folders of them read as a clip."""

from __future__ import annotations

import numpy as np
import pytest

from signloom import media
from signloom.errors import InputError
from signloom.media import Limits


def test_folder_of_pictures_reads_in_natural_order(media_maker, tmp_path, reason_of):
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


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "frame0001.jpeg", "a", "a.bmp"])
@pytest.mark.parametrize("codec", ["png", "mjpeg"])
def test_a_picture_is_read_whatever_its_name_says(media_maker, tmp_path, name, codec):
    picture = media_maker.moving_square(1)[0]
    (tmp_path / name).write_bytes(media_maker.encode_picture(codec, picture))
    got = media.read_picture(tmp_path / name)
    assert got.shape == picture.shape
    assert np.abs(got.astype(int) - picture).mean() < 6


def test_a_picture_comes_back_as_it_was_written(tmp_path, reason_of):
    picture = np.random.default_rng(0).integers(0, 256, (31, 43, 3), np.uint8)
    media.write_picture(tmp_path / "deep" / "one.png", picture)
    assert (media.read_picture(tmp_path / "deep" / "one.png") == picture).all()
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["one.png"]
    assert reason_of(media.read_picture, tmp_path) == "directory"
    assert reason_of(media.read_picture, tmp_path / "two.png") == "missing"
    with pytest.raises(InputError):
        media.write_picture(tmp_path / "grey.png", picture[..., 0])
