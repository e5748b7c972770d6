"""Where pixels and flow vectors go."""

from __future__ import annotations

import numpy as np
import pytest

from signloom.transforms.geometry import (
    about_centre,
    fit_shorter_side,
    rotation,
    scaling,
    shearing,
    translation,
    warp_flow,
    warp_frames,
)


def blob(x, y, width=96, height=64):
    """A soft white spot about (x, y), pixel centres at +0.5."""
    ys, xs = np.mgrid[:height, :width] + 0.5
    spot = 255 * np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / 40)
    return np.repeat(spot[None, :, :, None], 3, 3).astype(np.uint8)


def centre_of(frames):
    weight = frames[0, :, :, 0].astype(float)
    ys, xs = np.mgrid[: weight.shape[0], : weight.shape[1]] + 0.5
    return (xs * weight).sum() / weight.sum(), (ys * weight).sum() / weight.sum()


@pytest.mark.parametrize(
    "matrix",
    [
        translation(5, -3),
        about_centre(rotation(25), 64),
        about_centre(scaling(1.2, 0.9), 64),
        about_centre(shearing(0.3), 64),
        about_centre(scaling(-1, 1), 64),
    ],
)
def test_a_point_lands_where_the_matrix_says(matrix):
    x, y, _ = matrix @ (30, 35, 1)
    assert centre_of(warp_frames(blob(30, 35), matrix, 64)) == pytest.approx((x, y), abs=0.15)


@pytest.mark.parametrize(("width", "height"), [(96, 64), (64, 96), (640, 360), (31, 77)])
def test_the_centre_stays_the_centre_whatever_the_size(width, height):
    matrix = fit_shorter_side(width, height, 48, 40)
    assert matrix @ (width / 2, height / 2, 1) == pytest.approx((20, 20, 1))
    assert abs(np.linalg.det(matrix[:2, :2])) ** 0.5 == pytest.approx(48 / min(width, height))


def test_strong_shrinking_averages_instead_of_skipping():
    stripes = np.zeros((1, 256, 256, 3), np.uint8)
    stripes[:, :, ::2] = 200  # every second column: skipping would give 0 or 200
    small = warp_frames(stripes, fit_shorter_side(256, 256, 32, 32), 32)
    assert np.abs(small.astype(int) - 100).max() <= 2


def test_no_change_is_no_change():
    frames = np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3), np.uint8)
    assert np.array_equal(warp_frames(frames, np.eye(3), 40), frames)
    flow = np.random.default_rng(0).normal(size=(3, 40, 40, 2)).astype(np.float32)
    np.testing.assert_allclose(warp_flow(flow, np.eye(3), 40), flow, atol=1e-6)


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [(scaling(-1, 1), (-3, 1)), (scaling(0.5), (1.5, 0.5)), (rotation(90), (-1, 3)), (translation(4, 4), (3, 1))],
)
def test_flow_vectors_turn_and_scale_with_the_picture(matrix, expected):
    flow = np.full((1, 64, 64, 2), (3.0, 1.0), np.float32)
    middle = warp_flow(flow, about_centre(matrix, 64), 64)[0, 32, 32]
    assert middle == pytest.approx(expected, abs=1e-4)


def test_flow_of_a_warped_clip_is_the_warped_flow():
    """The same motion, seen before and after one affine change of both frames."""
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(3)
    texture = cv2.GaussianBlur(rng.integers(0, 256, (128, 128, 3), np.uint8), (0, 0), 2)
    frames = np.stack([texture, np.roll(texture, 3, axis=1)])
    matrix = about_centre(rotation(30) @ scaling(0.8), 128)
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def flow_of(pair):
        return dis.calc(*(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in pair), None)

    warped = warp_flow(flow_of(frames)[None], matrix, 128)[0]
    again = flow_of(warp_frames(frames, matrix, 128))
    inside = (slice(40, 88), slice(40, 88))
    assert np.abs(np.median(warped[inside] - again[inside], (0, 1))).max() < 0.3
