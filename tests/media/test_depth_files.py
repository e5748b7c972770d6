"""Depth files: read as they are, and refused with a reason where they are not depth."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from signloom import media
from signloom.errors import MediaError


@pytest.fixture
def depth_HWT():
    rng = np.random.default_rng(0)
    depth = rng.integers(1500, 3500, (12, 20, 7)).astype(np.uint16)
    depth[:, :5] = 0
    return depth


def mat(folder, name="a1_s1_t1_depth.mat", **variables):
    savemat(folder / name, variables, do_compression=True)
    return folder / name


def test_a_mat_is_read_frame_by_frame(tmp_path, depth_HWT):
    got = media.read_depth(mat(tmp_path, d_depth=depth_HWT))
    assert got.dtype == np.uint16
    np.testing.assert_array_equal(got, depth_HWT.transpose(2, 0, 1))
    np.testing.assert_array_equal(media.read_depth(mat(tmp_path, "f.mat", d_depth=depth_HWT.astype(float))), got)


def test_a_folder_of_16_bit_pictures(tmp_path, depth_HWT):
    for k in range(7):
        cv2.imwrite(str(tmp_path / f"{k + 5}.png"), depth_HWT[..., k])  # 9 comes before 10
    np.testing.assert_array_equal(media.read_depth(tmp_path), depth_HWT.transpose(2, 0, 1))
    cv2.imwrite(str(tmp_path / "8.png"), depth_HWT[:4, :, 0])
    with pytest.raises(MediaError, match="20x4; its folder began with 20x12") as error:
        media.read_depth(tmp_path)
    assert error.value.reason == "decode-error"
    cv2.imwrite(str(tmp_path / "8.png"), depth_HWT[..., 0].astype(np.uint8))
    with pytest.raises(MediaError, match=r"PNG of 8 bits.*16-bit grey") as error:
        media.read_depth(tmp_path)
    assert error.value.reason == "bad-header"
    whole = (tmp_path / "7.png").read_bytes()
    cv2.imwrite(str(tmp_path / "8.png"), depth_HWT[..., 0])
    (tmp_path / "7.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MediaError, match="damaged"):
        media.read_depth(tmp_path)


@pytest.mark.parametrize(
    ("variables", "reason", "said"),
    [
        ({"d_skel": np.zeros((20, 3, 4))}, "bad-header", "no 'd_depth' in it; it has d_skel"),
        ({"d_depth": np.zeros((12, 20), np.uint16)}, "bad-header", r"uint16 \(12, 20\); wanted whole numbers"),
        ({"d_depth": "text"}, "bad-header", "is char"),
        ({"d_depth": np.full((4, 4, 2), -1.0)}, "bad-header", "goes from -1 to -1; wanted millimetres"),
        ({"d_depth": np.full((4, 4, 2), 2.5)}, "bad-header", "goes from 2.5 to 2.5"),  # metres
        ({"d_depth": np.full((4, 4, 2), np.nan)}, "decode-error", "not numbers"),
        ({"d_depth": np.zeros((4, 0, 2), np.uint16)}, "no-frames", "2 frames of 0x4"),
        ({"d_depth": np.zeros((4, 4, 30), np.uint16)}, "too-long", "30 frames; at most 20"),
        ({"d_depth": np.zeros((4, 70, 2), np.uint16)}, "too-large", "at most 64 a side"),
        ({"d_depth": np.zeros((60, 60, 3), np.uint16)}, "too-large", "21,600 bytes unpacked; at most 20,000"),
    ],
)
def test_what_is_no_depth_is_refused_with_its_reason(tmp_path, variables, reason, said):
    limits = media.Limits(max_frames=20, max_side_px=64, max_decoded_bytes=20_000)
    with pytest.raises(MediaError, match=said) as error:
        media.read_depth(mat(tmp_path, **variables), limits)
    assert error.value.reason == reason


def test_broken_files(tmp_path, depth_HWT):
    whole = mat(tmp_path, d_depth=depth_HWT).read_bytes()
    cases = {
        "cut.mat": (whole[: len(whole) // 2], "not-media"),
        "noise.mat": (np.random.default_rng(0).bytes(3000), "not-media"),
        "hdf.mat": (b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(600), "not-media"),
        "none.mat": (b"", "empty"),
    }
    for name, (data, reason) in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(MediaError) as error:
            media.read_depth(tmp_path / name)
        assert error.value.reason == reason, name
    with pytest.raises(MediaError, match=r"7\.3 \(HDF5\) file; save it with -v7"):
        media.read_depth(tmp_path / "hdf.mat")
    with pytest.raises(MediaError, match="at most 100"):
        media.read_depth(tmp_path / "a1_s1_t1_depth.mat", media.Limits(max_bytes=100))


def test_the_rate_is_told_or_known_by_the_name():
    assert media.depth_rate("x/a12_s3_t4_depth.mat") == 30
    assert media.depth_rate("x/a12_s3_t4_depth.mat", 15) == 15
    assert media.depth_rate("anna.mat", 25) == 25
    for path, fps in (("anna.mat", None), ("anna.mat", 0), ("anna.mat", "30"), ("anna.mat", float("nan"))):
        with pytest.raises(MediaError) as error:
            media.depth_rate(path, fps)
        assert error.value.reason == "no-rate"
