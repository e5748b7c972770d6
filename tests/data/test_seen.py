"""What a model has learnt from: kept without names, and found again by what is shown, not by what it is called."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signloom.data.manifest import Manifest, Record
from signloom.data.seen import overlap, read_seen, refuse_seen, seen_clips, seen_of_split, write_seen
from signloom.errors import CheckpointError, LeakError

ranges = st.tuples(st.integers(0, 20), st.integers(1, 10), st.booleans())


def cut(name, content, part, **about):
    first, length, to_the_end = part
    return Record(name, content=content, first_frame=first, end_frame=None if to_the_end else first + length, **about)


def manifest(*records):
    return Manifest(tuple(records), Path("nowhere"), {})


@given(st.lists(ranges, min_size=1, max_size=6), ranges)
def test_a_clip_is_known_by_the_frames_it_shows(parts, wanted):
    """By brute force: it shares a frame with one that was learnt from, under another name in another corpus."""
    learnt = manifest(*(cut(f"a{k}", "film", part, split="train") for k, part in enumerate(parts)))
    own = cut("x", "film", wanted)

    def frames(record):
        return {*range(record.first_frame, 60 if record.end_frame is None else record.end_frame)}

    found = overlap(seen_of_split(learnt), manifest(own), [own])
    assert bool(found.trained) == any(frames(own) & frames(r) for r in learnt)
    other = replace(own, content="another film")
    assert not overlap(seen_of_split(learnt), manifest(other), [other]).trained


def test_many_stretches_of_one_recording_are_looked_up_alike():
    learnt = manifest(*(cut(f"a{k}", "film", (10 * k, 5, False), split="train") for k in range(100)))
    inside, between = cut("x", "film", (502, 1, False)), cut("y", "film", (505, 5, False))
    found = overlap(seen_of_split(learnt), manifest(inside, between), [inside, between])
    assert found.trained == {"x"}


def test_two_people_in_one_picture_are_two_clips():
    left, right = (cut(side, "film", (0, 9, False), box_px=box, split="train")
                   for side, box in (("left", (0, 0, 50, 100)), ("right", (50, 0, 100, 100))))  # fmt: skip
    found = overlap(seen_of_split(manifest(left)), manifest(right), [right])
    assert not found.trained


@given(st.lists(st.tuples(st.sampled_from(["train", "val", "test"]), ranges, st.booleans(), st.booleans()), max_size=8))
def test_what_is_kept_reads_back(tmp_path_factory, rows):
    records = [
        cut(f"c{k}", f"f{k}" if has else None, part, split=split, signer="Zoë" if signed else None)
        for k, (split, part, has, signed) in enumerate(rows)
    ]
    corpus = manifest(*records, *(replace(r, id=f"{r.id}x", parent=r.id, content="d") for r in records))
    seen = seen_of_split(corpus)
    folder = tmp_path_factory.mktemp("seen")
    file = write_seen(seen, folder)
    assert read_seen(folder) == seen
    assert "Zo" not in file.read_text()
    assert all(not math.isnan(f.end) for c in seen.clips for f in c.footage)


def test_names_count_where_a_content_is_missing():
    learnt = seen_of_split(manifest(Record("a", content="1", split="train"), Record("b", split="train")))
    asked = [Record("a"), Record("b", content="2"), Record("a", content="3")]
    assert [bool(overlap(learnt, manifest(r), [r]).trained) for r in asked] == [True, True, False]
    assert overlap(learnt, manifest(asked[2]), [asked[2]]).renamed == {"a"}


def test_signers_are_new_only_where_all_are_named():
    learnt = manifest(Record("a", content="1", split="train", signer="Zoe\u0308"))
    for signer, new in (("Ann", True), ("Zo\u00eb", False), (None, None)):  # one name, composed and decomposed
        record = Record("x", content="2", signer=signer)
        assert overlap(seen_of_split(learnt), manifest(record), [record]).new_signers is new
    record = Record("x", content="2", signer="Ann")
    nameless = manifest(*learnt, Record("b", content="3", split="val"))
    assert overlap(seen_of_split(nameless), manifest(record), [record]).new_signers is None
    assert overlap(None, manifest(record), [record]).as_dict()["known"] == "not known"


def test_what_is_refused_as_what():
    corpus = manifest(*(Record(s, content=s, split=s) for s in ("train", "val", "test")))
    seen = seen_of_split(corpus)
    copy = Record("copy", content="made", parent="train")
    for name, refused in (("train", {"test", "val"}), ("val", {"test"}), ("test", set())):
        records = [r for r in corpus if r.split == name]
        found = overlap(seen, corpus, records)
        for split in ("train", "val", "test"):
            if split in refused:
                with pytest.raises(LeakError, match=f"1 of the 1 that would be measured as '{split}'"):
                    refuse_seen(found, split)
            else:
                refuse_seen(found, split)
    found = overlap(seen, manifest(*corpus, copy), [copy])
    assert (found.trained, found.derived) == (frozenset(), {"copy"})
    with pytest.raises(LeakError, match="of one original with such 1"):
        refuse_seen(found, "test")
    assert len(seen_clips(corpus, corpus)) == 3


@pytest.mark.parametrize("text", ["{", "[]", '{"format": "x", "version": 1}', '{"format": "signloom-trained-on"}'])
def test_a_broken_record_is_named(text, tmp_path):
    (tmp_path / "trained_on.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"trained_on\.json"):
        read_seen(tmp_path)
