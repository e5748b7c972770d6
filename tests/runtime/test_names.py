"""Names from data: whatever text comes, a file of that name stays in its folder, and no other text has it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signloom.runtime.names import MOST_BYTES, file_name

# Any character at all, and more often those that mean something in a path.
ODD = st.text(st.one_of(st.sampled_from("./\\~: \n\x1b\x00aA\u0301\u2028\udcff"), st.characters(exclude_categories=())))
HARD = st.one_of(ODD, ODD.map(file_name), st.sampled_from(["", ".", "..", "con", "NUL.txt", "a" * 300, "\u00e9" * 101]))


@pytest.mark.parametrize(
    "usual", ["user01", "user01_G01_R03", "s0.G1_t0", "Anna-Lena", "شكرا", "Ζ 1", "naïve (2)", "THANK YOU"]
)
def test_usual_names_stay_so_that_corpora_of_before_keep_their_files(usual):
    assert file_name(usual) == usual


@pytest.mark.parametrize(
    ("text", "readable"),
    [
        ("../../x", "-..-x"),
        ("a/b", "a-b"),
        ("..", ""),
        ("", ""),
        (".tmp-abcdefgh", "tmp-abcdefgh"),  # else it would be swept away with unfinished files
        ("a\nb", "a-b"),
        ("CON", "CON"),
        ("aux.mp4", "aux.mp4"),
        ("end. ", "end"),
        ("a\\b:c", "a-b-c"),
        ("x~0123456789abcdef0123", "x~0123456789abcdef0123"),  # looks like another's name
        ("\udcff.mp4", "-.mp4"),
        (unicodedata.normalize("NFD", "é"), "é"),
    ],
)
def test_what_is_no_name_for_a_file_is_made_one(text, readable):
    start, _, mark = file_name(text).rpartition("~")
    assert start == readable
    assert len(mark) == 20


@given(HARD)
def test_a_name_is_one_safe_component_whatever_it_is_made_of(text):
    name = file_name(text)
    assert name not in ("", ".", "..")
    assert not set(name) & set('/\\\0\n\x1b:*?"<>|')
    assert name[0] not in ". "
    assert name[-1] not in ". "
    assert len(name.encode()) <= MOST_BYTES  # and has an encoding
    assert unicodedata.is_normalized("NFC", name)
    assert not any(unicodedata.category(c) in ("Cc", "Zl", "Zp", "Cs") for c in name)


@given(st.lists(HARD, unique=True, max_size=20))
def test_no_two_texts_share_a_name(texts):
    assert len({file_name(text) for text in texts}) == len(texts)


@given(HARD)
def test_a_marked_name_is_marked_again(text):
    """Else a text that is spelt like another's name would share its file."""
    name = file_name(text)
    assert (file_name(name) == name) == (name == text)
