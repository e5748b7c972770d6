"""Clips cut from one recording: each is a clip of its own, and only those that overlap belong together."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signloom.data.manifest import Manifest, Record
from signloom.data.splits import apply_split, assign_split, audit, folds, refuse_leaks, split_of
from signloom.errors import InputError


def leaky(*records, scheme="signer"):
    return Manifest(tuple(records), Path("c"), {"split": {"scheme": scheme}})


def cut(name, first, end, *, split=None, content="film", box=None, file="film.mp4", **about):
    """A clip of a prepared corpus: its video is the recording, its frames are its own."""
    streams = {"video": file, "frames": f"frames/{name}.mp4"}
    return Record(
        name, split=split, streams=streams, first_frame=first, end_frame=end, box_px=box, content=content, **about
    )


def found_in(*records, scheme="random"):
    return [(leak.kind, leak.first, leak.second) for leak in audit(leaky(*records, scheme=scheme)) if leak.serious]


@pytest.mark.parametrize("file", ["film.mp4", "copy of film.mp4"])
def test_cuts_of_one_recording_are_not_the_same_content(file):
    """Nor are they of a copy of it under another name."""
    a = cut("a", 0, 50, split="train")
    assert found_in(a, cut("b", 50, 100, split="test", file=file)) == []
    assert found_in(a, cut("b", 49, 100, split="test", file=file)) == [("time", "a", "b")]
    assert found_in(a, cut("b", 0, None, split="test", file=file)) == [("time", "a", "b")]
    assert ("content", "a", "b") in found_in(a, cut("b", 0, 50, split="test", file=file))
    (leak,) = audit(leaky(a, cut("b", 49, 100, split="test", file=file), scheme="random"))
    assert "frames 49 to 50 of " + ("file 'film.mp4'" if file == "film.mp4" else "content 'film'") in str(leak)


def test_whole_files_of_the_same_bytes_are_the_same_content_as_before():
    found = found_in(cut("a", 0, None, split="train"), cut("b", 0, None, split="test", file="b.mp4"))
    assert found == [("content", "a", "b")]


def test_a_clip_behind_its_double_is_found_to_overlap_a_third():
    records = cut("a", 0, 100, split="test"), cut("b", 0, 100, split="train"), cut("c", 0, 50, split="train")
    assert sorted(found_in(*records)) == [("content", "b", "a"), ("time", "c", "a")]


def timed(name, start_s, end_s, split):
    return replace(cut(name, 0, None, split=split), start_s=start_s, end_s=end_s)


def test_one_stretch_of_seconds_written_in_two_ways_is_the_same_content():
    a, b = timed("a", None, 2.0, "train"), timed("b", 0.0, 2.0, "test")
    assert a.range == b.range
    assert found_in(a, b) == [("content", "a", "b")]


def test_seconds_beside_frames_may_be_anywhere():
    """Also two stretches of seconds, which then cannot be told from each other."""
    a, b = timed("a", 0, 1.5, "train"), timed("b", 1.0, 2.0, "test")
    assert found_in(a, b) == [("time", "a", "b")]
    far = cut("c", 900, 950, split="train")
    assert ("time", "a", "b") in found_in(a, b, far)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ((0, 0, 100, 200), (100, 0, 200, 200), False),  # two people side by side
        ((0, 0, 100, 200), (90, 0, 200, 200), False),  # an arm reaches over
        ((0, 0, 100, 200), (5, 3, 104, 198), True),  # one person, found twice
        ((0, 0, 100, 200), (30, 0, 70, 40), True),  # and his face
        (None, (30, 0, 70, 40), True),  # the picture has everybody
        ((0, 0, 100, 200), None, True),
    ],
)
def test_boxes_of_different_people_are_not_the_same_content(one, other, same):
    a, b = cut("a", 0, 50, box=one, signer="s0", label="A"), cut("b", 20, 70, box=other, signer="s1", label="A")
    expected = [("time", "a", "b")] if same else []
    assert found_in(replace(a, split="train"), replace(b, split="test")) == expected
    manifest = Manifest((a, b, Record("c", "A", "s2"), Record("d", "A", "s3")), Path("c"))
    assert len(folds(manifest, "signer", val=0)) == (3 if same else 4)


def test_a_random_split_of_one_recording_fills_all_three():
    records = tuple(cut(f"c{i:02}", 50 * i, 50 * i + 50, label=f"L{i % 2}") for i in range(40))
    out = assign_split(Manifest(records, Path("c")), "random")
    assert set(Counter(r.split for r in out)) == {"train", "val", "test"}
    refuse_leaks(out)


@settings(derandomize=True, deadline=None, database=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 60), st.integers(1, 20), st.sampled_from(["x", "y"]), st.sampled_from(["f", "g", None])
        ),
        min_size=3,
        max_size=30,
    )
)
def test_what_overlaps_stays_together_and_nothing_else_is_refused(cuts):
    """Against the definition, pair by pair: (start, length, file, content of the recording)."""
    clips = [
        cut(f"{k}", first, first + n, label="A", file=file, content=content and content + file)
        for k, (first, n, file, content) in enumerate(cuts)
    ]
    records = [*clips, *(Record(f"other{k}", "A") for k in range(6))]
    refuse_leaks(assign_split(Manifest(tuple(records), Path("c")), "random"))
    for split in ("train", "test"):
        told = {leak.kind for leak in audit(leaky(*(replace(c, split="train") for c in clips[:-1]),
                                                  replace(clips[-1], split=split), scheme="random"))}  # fmt: skip
        last = clips[-1]
        touches = any(
            c.streams["video"] == last.streams["video"]
            and max(c.first_frame, last.first_frame) < min(c.end_frame, last.end_frame)
            for c in clips[:-1]
        )
        assert bool(told) is (touches and split == "test")


def test_the_corpus_hash_tells_one_cut_from_another():
    """So that a corpus that was cut anew is not taken for the old one; hashes of whole files are as they were."""
    one = Manifest((cut("a", 0, 50, label="A"), cut("b", 50, 90, label="A")), Path("c"))
    other = Manifest((one.records[0], replace(one.records[1], first_frame=60)), Path("c"))
    assert one.corpus_hash() != other.corpus_hash()
    assert one.corpus_hash(cuts=False) == other.corpus_hash(cuts=False)
    boxed = Manifest((one.records[0], replace(one.records[1], box_px=(0, 0, 10, 10))), Path("c"))
    assert one.corpus_hash() != boxed.corpus_hash()
    whole = Manifest((Record("a", "A", content="a"), Record("b", "A", content="b")), Path("c"))
    assert whole.corpus_hash() == whole.corpus_hash(cuts=False) == "bf4e460c11d96963a230dac670cbf70a"
    split = split_of(assign_split(one, "random", val=0))
    with pytest.raises(InputError, match="Make it again"):
        apply_split(other, split)
    apply_split(one, replace(split, corpus_hash=one.corpus_hash(cuts=False)))  # a split file of an earlier version


def test_where_streams_hold_whole_recordings_the_content_is_that_of_the_clip():
    meta = {"streams": {"signer": {"pairs": 1}}, "split": {"scheme": "given"}}
    a = Record("a", split="train", streams={"signer": "one"}, first_frame=0, end_frame=9, content="x")
    b = Record("b", split="test", streams={"signer": "two"}, first_frame=50, end_frame=59, content="x")
    assert [leak.kind for leak in audit(Manifest((a, b), Path("c"), meta))] == ["content"]
    apart = replace(b, content="y", streams={"signer": "one"})
    assert audit(Manifest((a, apart), Path("c"), meta)) == []
