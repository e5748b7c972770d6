from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from signloom.runtime.text import json_line, lines_of, plain

ANY = st.text(st.characters(exclude_categories=()))


@given(ANY)
def test_no_control_character_reaches_a_terminal(text):
    shown = plain(text)
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in shown)
    shown.encode()
    assert plain(shown) == shown


def test_what_can_be_read_stays_and_what_cannot_is_shown():
    assert plain("شكرا é 手") == "شكرا é 手"
    assert plain("a\x1b[31m\r\n\u202eb\udcff") == r"a\x1b[31m\r\n\u202eb\udcff"
    assert plain("two\nlines\t", keep="\n") == "two\nlines\\t"


@given(st.recursive(ANY, lambda inner: st.lists(inner) | st.dictionaries(ANY, inner), max_leaves=8))
def test_a_line_of_json_is_one_line_for_every_reader(value):
    line = json_line(value)
    assert len(line.splitlines()) == 1
    line.encode()
    assert json.loads(line) == value


@given(st.lists(st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), min_size=1)))
def test_lines_end_in_newlines_alone(lines):
    assert lines_of("\n".join(lines)) == lines
    assert all(lines_of("".join(f"{line}{end}" for line in lines)) == lines for end in ("\n", "\r\n", "\r"))
