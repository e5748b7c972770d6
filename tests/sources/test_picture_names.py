"""A folder of pictures is read as frames: what its names say of a frame that is gone, there twice or a stranger."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signloom.sources.picture_names import odd_names

TEN = [f"{k}.png" for k in range(1, 11)]
PADDED = [f"frame_{k:04d}.jpg" for k in range(1, 13)]


def said(*names):
    return "; ".join(odd_names([Path("a") / name for name in names]))


@pytest.mark.parametrize(
    "names",
    [
        TEN,
        PADDED,
        [f"{k:03d}.png" for k in range(995, 1005)],  # 1000 after 999
        [f"{k}.jpg" for k in range(100, 200, 5)],
        ["a.png", "b.png", "c.png", "d.png"],
        ["1.jpg", "2.JPG", "3.jpeg"],
        ["3f2a.png", "99bc.png", "a7e1.png", "bb01.png"],
        ["2.png", "1.png"],
        [],
    ],
)
def test_sound_names_are_passed(names):
    assert said(*names) == ""


def test_what_is_odd_is_said():
    assert "of the numbers 1 to 12, 1 are left out, first after 6" in said(*(n for n in PADDED if "0007" not in n))
    assert "('8 (1).png' beside '1.png'): a copy" in said(*TEN, "8 (1).png")
    assert "1 of 11 pictures are not named like the rest ('cover.png'" in said(*TEN, "cover.png")
    assert "1 of 11 pictures are not named like the rest ('8 - Copy.png'" in said(*TEN, "8 - Copy.png")
    assert "number 8 is there twice" in said(*TEN, "8.jpg")
    assert "10 .png, 1 .jpg" in said(*TEN, "8.jpg")
    assert "number 8 is there twice" in said(*TEN, "008.png")
    assert "('1' and '010')" in said(*(f"{k}.png" for k in range(1, 10)), "010.png")
    both = [f"{side}_{k}.png" for side in ("left", "right") for k in range(1, 6)]
    assert "5 of 10 pictures are not named like the rest ('right_1.png' beside 'left_1.png')" in said(*both)
    gone = said(*(n for n in TEN if n != "4.png"), "8 (1).png")
    assert "8 (1).png" in gone
    assert "1 are left out, first after 3" in gone


@given(st.integers(3, 60), st.integers(0, 5), st.integers(0, 2000), st.sampled_from([1, 2, 5]), st.data())
def test_an_even_count_is_sound_and_one_gone_or_copied_is_not(n, width, start, step, data):
    names = [f"t_{k:0{width}d}.png" for k in range(start, start + n * step, step)]
    assert said(*names) == ""
    one = data.draw(st.integers(1, n - 2))
    assert "not named like the rest" in said(*names, names[one].replace(".", " (1)."))
    if n > 4:
        assert "1 are left out" in said(*names[:one], *names[one + 1 :])
