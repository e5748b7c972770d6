"""One rule for every crop, written down: what OpenCV gives is what the rule says, to the last bit."""

from __future__ import annotations

from math import cos, pi, sin

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signloom.streams.holistic.crop import _by_places, crop, matrix_of
from signloom.streams.holistic.regions import Region

SIZE = 24
number = st.floats(-60, 120, width=32)


def by_the_rule(picture, region, size, border):
    """The five steps of the rule, in whole numbers."""
    x, y, w, h, a = region
    height, width, _ = picture.shape
    u, v = np.meshgrid(np.arange(size), np.arange(size))
    s, t = u / size - 0.5, v / size - 0.5
    places = (x + s * w * cos(a) - t * h * sin(a), y + s * w * sin(a) + t * h * cos(a))
    (i, f), (j, g) = (divmod(np.rint(32 * place).astype(int), 32) for place in places)

    def pixel(j, i):
        inside = (j >= 0) & (j < height) & (i >= 0) & (i < width)
        value = picture[np.clip(j, 0, height - 1), np.clip(i, 0, width - 1)].astype(int)
        return value if border == "edge" else np.where(inside[..., None], value, 0)

    f, g = f[..., None], g[..., None]
    total = (32 - f) * (32 - g) * pixel(j, i) + f * (32 - g) * pixel(j, i + 1)
    total += (32 - f) * g * pixel(j + 1, i) + f * g * pixel(j + 1, i + 1)
    return ((total + 512) >> 10).astype(np.uint8)


@settings(deadline=None)
@given(
    x=number,
    y=number,
    w=st.floats(2, 90, width=32),
    h=st.floats(2, 90, width=32),
    angle=st.floats(-pi, pi),
    border=st.sampled_from(("edge", "zero")),
    seed=st.integers(0, 2**16),
)
def test_a_crop_is_what_the_rule_says(x, y, w, h, angle, border, seed):
    picture = np.random.default_rng(seed).integers(0, 256, (31, 47, 3), dtype=np.uint8)
    region = Region(x, y, w, h, angle)
    wanted = by_the_rule(picture, region, SIZE, border)
    for got in (crop(picture, region, SIZE, border), _by_places(picture, matrix_of(region, SIZE), SIZE, border)):
        # Sums in another order differ in the 15th digit: at a half of 1/32 pixel a place may go by one such step.
        assert (got != wanted).any(-1).mean() <= 0.01 or angle % (pi / 2) == 0
        assert np.abs(got.astype(int) - wanted).max() <= 16


def test_the_whole_of_a_square_picture_is_itself():
    picture = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    whole = Region(SIZE / 2, SIZE / 2, SIZE, SIZE)
    assert np.array_equal(crop(picture, whole, SIZE), picture)


def test_beyond_the_picture_is_its_edge_or_nothing():
    picture = np.full((20, 20, 3), 200, np.uint8)
    outside = Region(-100, -100, 10, 10)
    assert (crop(picture, outside, SIZE, "edge") == 200).all()
    assert (crop(picture, outside, SIZE, "zero") == 0).all()


@given(
    angle=st.floats(-pi, pi),
    x=number,
    y=number,
    side=st.floats(1, 200),
    scale=st.floats(0.5, 3),
    up=st.floats(-0.3, 0.3),
)
def test_points_of_a_region_go_where_its_pixels_come_from(angle, x, y, side, scale, up):
    region = Region(x, y, side, side / 2, angle).reshaped(scale, up=up)
    assert region.width == region.height == pytest.approx(side * scale)
    shares = np.array([[0.0, 0.0], [0.5, 0.5], [1.0, 0.25]])
    matrix = matrix_of(region, SIZE)
    places = np.concatenate([shares * SIZE, np.ones((3, 1))], 1) @ matrix[:2].T
    assert region.place(shares) == pytest.approx(places, abs=1e-6 * (1 + abs(x) + abs(y) + side))
