"""Corpora joined into one: ids, glosses, people, streams, splits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from signloom.data.consent import permitted
from signloom.data.manifest import Manifest, Record, read_manifest, write_manifest
from signloom.errors import InputError, LeakError
from signloom.pipelines.merge import merge_corpora, read_glosses

POSE = {"pose": {"extractor": "x", "version": 1}}


def corpus(folder, *records, streams=POSE, **meta):
    given = tuple(replace(r, streams=r.streams or {"pose": f"pose/{r.id}.pose"}) for r in records)
    write_manifest(Manifest(given, folder, {"name": folder.name, "streams": streams, **meta}), folder)
    return folder


def clip(identity, label="A", signer="s1", **more):
    return Record(identity, label, signer, content=more.pop("content", f"hash of {identity}"), **more)


@pytest.fixture
def two(tmp_path):
    a = corpus(tmp_path / "a", clip("one"), clip("two", "B", "s2"))
    b = corpus(
        tmp_path / "b",
        clip("one", "hello", content="x"),
        clip("one-moved-1", "hello", content="y", parent="one"),
        clip("three", "C", "s3"),
    )
    return [a, b]


def test_ids_stay_unique_and_parents_go_along(two, tmp_path):
    merged = merge_corpora(two, tmp_path / "out")
    assert [r.id for r in merged] == ["one", "two", "b_one", "one-moved-1", "three"]
    assert {r.id: r.parent for r in merged if r.parent} == {"one-moved-1": "b_one"}
    assert read_manifest(tmp_path / "out").records[2].streams["pose"] == str(tmp_path / "b/pose/one.pose")
    assert [row["clips"] for row in merged.meta["merged"]] == [2, 3]
    assert merged.meta["streams"] == POSE
    assert any("1 ids stood in several corpora" in note for note in merged.meta["notes"])


def test_signers_of_one_name_are_one_unless_told(two, tmp_path):
    assert merge_corpora(two, tmp_path / "out").signers == ("s1", "s2", "s3")
    apart = merge_corpora(two, tmp_path / "apart", signers_apart=True)
    assert apart.signers == ("b s1", "s1", "s2", "s3")


def test_glosses_are_mapped_and_left_out_by_a_table(two, tmp_path):
    table = tmp_path / "glosses.csv"
    table.write_text("corpus,label,gloss\nb,hello,A\n,B,\n", encoding="utf-8")
    merged = merge_corpora(two, tmp_path / "out", glosses=read_glosses(table))
    assert {r.id: r.label for r in merged} == {"one": "A", "b_one": "A", "one-moved-1": "A", "three": "C"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label,gloss\nnowhere,X\n", "1 labels are in none of the corpora, first 'nowhere'"),
        ("label\nA\n", "expected label, gloss"),
        ("label,gloss\nA,X\nA,Y\n", "'A' is 'X' above and 'Y' here"),
        ("label,gloss\nA\n", "line 2: 1 cells"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(two, tmp_path, text, message):
    table = tmp_path / "glosses.csv"
    table.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        merge_corpora(two, tmp_path / "out", glosses=read_glosses(table))


def test_streams_made_otherwise_are_refused_or_left_out(tmp_path):
    a = corpus(tmp_path / "a", clip("one"))
    b = corpus(tmp_path / "b", clip("two"), streams={"pose": {"extractor": "x", "version": 2}})
    with pytest.raises(InputError, match=r"version: got 2, expected 1.*--leave-out pose"):
        merge_corpora([a, b], tmp_path / "out")
    merged = merge_corpora([a, b], tmp_path / "out", leave_out=["pose"])
    assert not merged.meta.get("streams")
    assert all("pose" not in r.streams for r in merged)


def test_the_same_footage_is_kept_once_and_two_labels_for_it_are_refused(tmp_path):
    a = corpus(tmp_path / "a", clip("one", content="same"))
    b = corpus(tmp_path / "b", clip("uno", content="same"), clip("copy", content="c", parent="uno"))
    merged = merge_corpora([a, b], tmp_path / "out")
    assert {r.id: r.parent for r in merged} == {"one": None, "copy": "one"}
    c = corpus(tmp_path / "c", clip("eins", "Z", content="same"))
    with pytest.raises(InputError, match="same footage as 'one', which is labelled 'A' and not 'Z'"):
        merge_corpora([a, c], tmp_path / "out2")


def test_what_signers_allow_and_that_clips_are_synthetic_goes_along(tmp_path):
    yes, no = {"training": True}, {"training": False, "display": True}
    a = corpus(
        tmp_path / "a", clip("one"), clip("two", signer="s2"), consent={"s1": yes, "gone": {"withdrawn": "2026"}}
    )
    b = corpus(tmp_path / "b", clip("three"), consent={"s1": no}, synthetic="no real sign")
    merged = merge_corpora([a, b], tmp_path / "out")
    assert merged.meta["consent"] == {"s1": {"training": False, "display": True}, "gone": {"withdrawn": "2026"}}
    assert [r.id for r in permitted(read_manifest(tmp_path / "out"), "training")[0]] == ["two"]
    assert merged.meta["synthetic"] == "no real sign"
    apart = merge_corpora([a, b], tmp_path / "apart", signers_apart=True)
    assert [r.id for r in permitted(apart, "training")[0]] == ["one", "two"]


def test_a_clip_that_stands_twice_is_used_for_nothing_that_either_forbids(tmp_path):
    a = corpus(tmp_path / "a", clip("one", content="same"), clip("two", signer="s2"))
    b = corpus(tmp_path / "b", clip("uno", signer="anna", content="same"), consent={"anna": {"training": False}})
    for apart in (False, True):
        merged = merge_corpora([a, b], tmp_path / f"out{apart}", signers_apart=apart)
        assert [r.id for r in permitted(merged, "training")[0]] == ["two"]


def test_splits_are_kept_and_contradictions_refused(tmp_path):
    a = corpus(tmp_path / "a", clip("one", split="train"), split={"scheme": "signer"})
    b = corpus(tmp_path / "b", clip("two", signer="s9", split="test"), split={"scheme": "signer"})
    assert {r.id: r.split for r in merge_corpora([a, b], tmp_path / "out")} == {"one": "train", "two": "test"}
    leaky = corpus(tmp_path / "c", clip("three", signer="s1", split="test"), split={"scheme": "signer"})
    with pytest.raises(LeakError):
        merge_corpora([a, leaky], tmp_path / "out2")
    assert not (tmp_path / "out2" / "manifest.jsonl").exists()


def test_what_cannot_be_merged_is_told(two, tmp_path):
    with pytest.raises(InputError, match="at least two"):
        merge_corpora(two[:1], tmp_path / "out")
    with pytest.raises(InputError, match="stands twice"):
        merge_corpora([two[0], two[0]], tmp_path / "out")
    with pytest.raises(InputError, match="is one of the corpora"):
        merge_corpora(two, two[0])
