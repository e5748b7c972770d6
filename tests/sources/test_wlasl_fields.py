"""Every field of WLASL's lists may hold anything: a list that went through a table program has NaN where text was."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signloom.errors import InputError
from signloom.sources.wlasl import read_wlasl

NAN = float("nan")
WHOLE = [
    {
        "gloss": "book",
        "instances": [
            {"video_id": "00001", "split": "train", "frame_start": 1, "frame_end": -1, "fps": 25, "signer_id": 1,
             "url": "https://example.org/x.mp4", "bbox": [1, 1, 60, 40], "variation_id": 0, "source": "site"},
        ],
    },
]  # fmt: skip
SUBSET = {"00001": {"subset": "train", "action": [3, 1, 20]}}


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """``read(content)``: the records of a list, in a folder with the one video that the lists name."""
    root = tmp_path_factory.mktemp("wlasl")
    (root / "00001.mp4").write_bytes(b"x")

    def read(content):
        file = root / ("WLASL_v1.json" if isinstance(content, list) else "nslt_7.json")
        file.write_text(json.dumps(content), encoding="utf-8")
        return read_wlasl(root, json_file=file.name).records

    return read


def places(value, path=()):
    """The path of every value inside ``value``, itself too."""
    yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inside:
        yield from places(one, (*path, key))


def put(content, path, value):
    if not path:
        return value
    content = copy.deepcopy(content)
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return content


def test_the_sound_lists_are_read(read):
    assert [(r.label, r.signer) for r in read(WHOLE)] == [("book", "1")]
    assert [r.label for r in read(SUBSET)] == ["0003"]


@pytest.mark.parametrize("wrong", [NAN, float("inf"), True, [], {}, [1], {"a": 1}, 1.5, "", "x"])
@pytest.mark.parametrize(
    ("path", "fine"),
    [
        ((0, "instances"), ()),
        ((0, "gloss"), ("x", 1.5)),
        ((0, "instances", 0, "video_id"), ("x", 1.5)),
        ((0, "instances", 0, "split"), ()),
        ((0, "instances", 0, "frame_start"), ()),
        ((0, "instances", 0, "frame_end"), ()),
        ((0, "instances", 0, "fps"), (1.5,)),
        ((0, "instances", 0, "signer_id"), ("x", "", 1.5)),
        ((0, "instances", 0, "url"), ("x", "")),
        ((0, "instances", 0, "bbox"), ()),
        ((0, "instances", 0, "bbox", 2), (1.5,)),
        ((0, "instances", 0, "source"), ("x", "", True, 1.5)),
        ((0, "instances", 0), ()),
        ((0,), ()),
    ],
)
def test_a_field_of_a_whole_list_that_is_wrong_is_named(read, path, fine, wrong):
    if wrong in fine:
        return
    with pytest.raises(InputError, match=r"WLASL_v1.*(wanted|lists no video)"):
        read(put(WHOLE, path, wrong))


@pytest.mark.parametrize("wrong", [NAN, True, [], {}, [1, 2], "x", 1.5, None])
@pytest.mark.parametrize("path", [("00001", "action"), ("00001", "action", 0), ("00001", "subset"), ("00001",)])
def test_a_field_of_a_subset_that_is_wrong_is_named(read, path, wrong):
    with pytest.raises(InputError, match=r"nslt_7.*video '00001'.*wanted"):
        read(put(SUBSET, path, wrong))


def test_what_a_table_program_writes_for_the_same_is_the_same(read):
    content = put(WHOLE, (0, "instances", 0, "frame_start"), 1.0)
    content = put(content, (0, "instances", 0, "frame_end"), "-1")
    content = put(content, (0, "instances", 0, "signer_id"), 1.0)
    assert read(content)[0].signer == read(WHOLE)[0].signer
    assert read(content)[0].range == read(WHOLE)[0].range
    assert read(put(WHOLE, (0, "instances", 0, "bbox"), None))[0].box_px is None


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=3) | st.integers() | st.just(10**400),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(max_size=3), inside, max_size=3),
    max_leaves=6,
)


@given(st.data())
def test_anything_anywhere_is_read_or_refused_with_words(read, data):
    content = data.draw(st.sampled_from([WHOLE, SUBSET]))
    path = data.draw(st.sampled_from(list(places(content))))
    changed = put(content, path, data.draw(ANYTHING))
    if isinstance(changed, list | dict):
        try:
            for record in read(changed):
                assert isinstance(record.label, str)
        except InputError:
            pass
