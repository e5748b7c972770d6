"""Pictures of two folders find each other by their names, or somebody is asked; never a frame too late."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signloom import media
from signloom.errors import InputError
from signloom.sources.pairs import list_pairs
from signloom.sources.partners import frame_numbers, partners
from signloom.sources.picture_names import numbering


def names(folder: str, form: str, numbers) -> list[Path]:
    return [Path(folder) / f"{form.format(n)}.png" for n in numbers]


def matched(first: list[Path], second: list[Path], how: str = "auto") -> list[tuple[str, str]]:
    return [(a.stem, b.stem) for a, b in partners(first, second, how).together]


FORMS = [
    "{:04d}",
    "{}",
    "frame_{:06d}",
    "pose_v2_{:04d}",
    "1080p_{:04d}",
    "{:04d}_1080p",
    "v1_{:03d}_512x512",
    "Bild {}",
]


@pytest.mark.parametrize("other", FORMS)
@pytest.mark.parametrize("form", FORMS)
def test_what_all_names_of_a_folder_share_says_nothing(form, other):
    numbers = range(1, 13)
    got = matched(names("a", form, numbers), names("b", other, numbers))
    assert got == [(form.format(n), other.format(n)) for n in numbers]


@pytest.mark.parametrize("form", FORMS)
def test_numbers_that_start_elsewhere_are_asked_about_and_never_shifted(form):
    one, two = names("a", form, range(1, 31)), names("b", "{:04d}", range(30))
    with pytest.raises(InputError, match=r"from 1 to 30.*from 0 to 29.*pair=name.*pair=order"):
        partners(one, two)
    assert [b for _, b in matched(one, two, "order")] == [f"{n:04d}" for n in range(30)]
    by_name = partners(one, two, "name")
    assert by_name.numbers == tuple(range(1, 30))
    assert {p.parent.name for p in by_name.alone} == {"a", "b"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (range(1, 31), range(31)),  # one more at the start, or all counted from 0
        (range(1, 31), range(2, 31)),
        (range(1, 31), range(29)),
        (range(30), [*range(1, 12), *range(13, 31)]),
        (range(100, 130), range(99, 129)),
        (range(0, 60, 2), range(1, 60, 2)),  # no number in common
    ],
)
def test_a_doubt_is_a_question(first, second):
    with pytest.raises(InputError, match="which pictures belong together"):
        partners(names("a", "{:04d}", first), names("b", "{:04d}", second))


def test_seconds_and_frames_that_share_digits_are_a_question():
    seconds = names("b", "{:.2f}", [n / 25 for n in range(10)])
    with pytest.raises(InputError, match="most have no partner"):
        partners(names("a", "{:02d}", range(10)), seconds)
    assert len(matched(names("a", "{:.2f}", [n / 25 for n in range(10)]), seconds)) == 10


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (range(1, 31), [n for n in range(1, 31) if n != 17]),  # a pose was not found
        (range(1, 31), range(1, 29)),
        ([n for n in range(1, 31) if n != 5], [n for n in range(1, 31) if n != 9]),
        (range(1, 101), range(40, 61)),  # a part of it
        (range(0, 60, 3), range(0, 60, 3)),
    ],
)
def test_what_is_missing_on_one_side_leaves_the_other_alone(first, second):
    found = partners(names("a", "pose_{:04d}", first), names("b", "frame_{:04d}", second))
    both = sorted({*first} & {*second})
    assert found.numbers == tuple(both)
    assert [(a.stem[-4:], b.stem[-4:]) for a, b in found.together] == [(f"{n:04d}", f"{n:04d}") for n in both]
    assert len(found.alone) == len({*first} ^ {*second})


def test_several_clips_in_one_folder():
    one = [*names("a", "clipA_{:02d}_pose", range(5)), *names("a", "clipB_{:02d}_pose", range(3))]
    two = [*names("b", "clipA_{:02d}", range(5)), *names("b", "clipB_{:02d}", range(3))]
    assert [b for _, b in matched(one, two)] == [p.stem for p in two]
    assert [b for _, b in matched(one[:-1], two)] == [p.stem for p in two[:-1]]
    shifted = [*names("b", "clipA_{:02d}", range(1, 6)), *names("b", "clipB_{:02d}", range(1, 4))]
    with pytest.raises(InputError, match="each has names that the other lacks"):
        partners(one, shifted)


def test_one_number_of_several():
    stamped = [Path("a") / f"{n:04d}_{1700 + 3 * n}.png" for n in range(1, 10)]
    assert matched(stamped, names("b", "{}", range(1, 10))) == [(p.stem, str(n)) for n, p in enumerate(stamped, 1)]
    # Both numbers of a name could be meant, and say different things.
    either = [Path("a") / f"{n}_{10 - n}.png" for n in range(1, 10)]
    with pytest.raises(InputError, match="more than one way"):
        partners(either, names("b", "{}", range(1, 10)))


def test_names_without_numbers_and_names_of_another_case():
    assert matched(names("a", "{}_pose", "xyz"), names("b", "{}", "XYZ")) == [
        ("x_pose", "X"),
        ("y_pose", "Y"),
        ("z_pose", "Z"),
    ]
    with pytest.raises(InputError, match="no name of one has its like"):
        partners([Path("a/left.png"), Path("a/right.png")], [Path("b/one.png"), Path("b/two.png")])
    twice = [Path("a/1.png"), Path("a/01.png"), Path("a/2.png")]
    with pytest.raises(InputError, match="called alike"):
        partners(twice, names("b", "{}", range(1, 4)))
    assert matched([Path("a/pose.png")], [Path("b/photo.jpg")]) == [("pose", "photo")]


def test_order_wants_equally_many():
    with pytest.raises(InputError, match=r"pair=order.*has 3.*has 4.*equally many"):
        partners(names("a", "{}", range(3)), names("b", "{}", range(4)), "order")


@given(
    forms=st.tuples(st.sampled_from(FORMS), st.sampled_from(FORMS)),
    start=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    n=st.integers(2, 30),
    gone=st.tuples(st.sets(st.integers(0, 29), max_size=3), st.sets(st.integers(0, 29), max_size=3)),
)
def test_no_pair_is_ever_shifted(forms, start, n, gone):
    """Frames 0 … n, counted from ``start`` in each folder, some missing: the right pairs, or a question."""
    kept = [[t for t in range(n) if t not in lost] for lost in gone]
    if not all(kept):
        return
    folders = [names("ab"[k], forms[k], (t + start[k] for t in kept[k])) for k in (0, 1)]
    frame = [dict(zip(folders[k], kept[k])) for k in (0, 1)]
    # Lost at the front, a folder looks as if it counted from elsewhere; nobody can tell without being asked.
    by_name = start[0] == start[1]
    try:
        found = partners(*folders)
    except InputError:
        return
    shift = {frame[0][a] - frame[1][b] for a, b in found.together}
    if (by_name and not (len(kept[0]) == len(kept[1]) == 1)) or (not gone[0] and not gone[1] and n > 1):
        assert shift <= {0}


# --- numbers of one folder ------------------------------------------------------------------------------------------


def test_numbers_of_one_folder():
    assert list(frame_numbers(names("a", "{:02d}_1080p", [3, 10, 2]))) == [2, 3, 10]
    assert list(frame_numbers([Path("a/a1.png"), Path("a/b1.png")])) == [1, 2]  # by place: neither is lost
    assert list(frame_numbers([Path("a/x.png"), Path("a/y.png")])) == [1, 2]


def test_numbers_left_out_or_there_twice_are_said():
    assert numbering(names("a", "f{:03d}", range(1, 20))) is None
    assert numbering(names("a", "f{:03d}", range(0, 100, 5))) is None
    assert "2 are left out, first after 9" in str(numbering(names("a", "f{}", [*range(1, 10), *range(12, 30)])))
    assert "number 3 is there twice" in str(numbering([*names("a", "f{}", range(9)), Path("a/f3.jpg")]))
    assert numbering(names("a", "f{}", [3, 17, 400, 2000])) is None  # no count at all


def test_pictures_of_a_folder_are_read_in_natural_order_whatever_their_case(tmp_path):
    for name in ("frame_10.png", "Frame_2.PNG", "frame_1.png", "FRAME_3.png", "frame_010b.png"):
        (tmp_path / name).write_bytes(b"x")
    got = [p.name for p in media.list_pictures(tmp_path)]
    assert got == ["frame_1.png", "Frame_2.PNG", "FRAME_3.png", "frame_10.png", "frame_010b.png"]


# --- the whole way --------------------------------------------------------------------------------------------------


def test_the_question_comes_out_of_prepare_and_an_option_answers_it(tmp_path, signloom):
    import numpy as np

    rng = np.random.default_rng(0)
    root = tmp_path / "two"
    for t in range(8):
        picture = rng.integers(0, 256, (64, 64, 3), np.uint8)
        media.write_picture(root / "skeleton" / f"pose_v2_{t + 1:04d}.png", picture)
        media.write_picture(root / "signer" / f"1080p_{t:04d}.png", picture)
    code, _, said = signloom("prepare", root, "--source", "pairs", "--out", tmp_path / "out")
    assert code == 2
    assert "which pictures belong together" in said
    for how, n in (("order", 8), ("name", 7)):
        found = list_pairs(root, pair=how)
        assert len(found.places[0]) == n
    assert all(
        (media.read_picture(p.photo) == media.read_picture(p.skeleton)).all()
        for p in list_pairs(root, pair="order").places[0]
    )
    code, _, said = signloom(
        "prepare", root, "--source", "pairs", "--out", tmp_path / "out", "--option", "pair=sometimes"
    )
    assert code == 2
    assert "expected one of auto, name, order" in said
