"""Somebody takes their consent back: all that derives from them is found and goes, and nothing of anybody else."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from signloom.data.consent import allows, carried, for_use, permitted
from signloom.data.failures import write_failures
from signloom.data.manifest import Manifest, Record, read_manifest, write_manifest
from signloom.data.seen import read_seen, seen_of_split, write_seen
from signloom.errors import InputError, SignloomError, SignloomWarning
from signloom.models import ARCHITECTURES
from signloom.pipelines.anonymise import anonymise_corpus, read_key
from signloom.pipelines.augment import augment_corpus, derivation_of
from signloom.pipelines.merge import merge_corpora
from signloom.pipelines.shard import shard_corpus
from signloom.pipelines.withdraw import find_person, mark_uses, remove_person
from signloom.streams.anonymise import Anonymisation
from signloom.synthetic.corpus import Settings, film, make_takes
from signloom.transforms.augment import Policy

POSE = {"pose": {"extractor": "imported", "components": {"POSE_LANDMARKS": 33}}}


@pytest.fixture
def place(tmp_path):
    """A corpus of two signers, one in train and one in test; copies, shards and a model of it; and a shared copy."""
    film(make_takes(2, 2, 1, 0, Settings(size_px=(96, 72), fps=6.0)), tmp_path / "corpus", workers=0, quiet=True)
    corpus = read_manifest(tmp_path / "corpus")
    records = tuple(
        replace(r, streams={"pose": r.streams["exact_pose"]}, split="train" if r.signer == "signer01" else "test")
        for r in corpus
    )
    write_manifest(Manifest(records, corpus.root, {"streams": POSE}), corpus.root)
    corpus = read_manifest(tmp_path / "corpus")
    write_failures(corpus.root, [{"id": records[0].id, "file": None, "reason": "timeout", "message": ""}])
    policy = Policy("still", ({"do": "speed"},))
    augment_corpus(corpus, tmp_path / "grown", derivation_of(corpus, policy), workers=0, quiet=True)
    shard_corpus(corpus, tmp_path / "shards", streams=("pose",), workers=0, quiet=True)
    for signer, run in (("signer01", "run"), ("signer02", "other")):
        (tmp_path / run / "checkpoint").mkdir(parents=True)
        write_seen(
            seen_of_split(
                Manifest(tuple(replace(r, split="train") for r in corpus if r.signer == signer), corpus.root)
            ),
            tmp_path / run / "checkpoint",
        )
        for name in ("report.html", "preview.png"):
            (tmp_path / run / name).write_text("their footage")
    anonymise_corpus(
        corpus, tmp_path / "shared", Anonymisation("pose"), key=tmp_path / "key.json", workers=0, quiet=True
    )
    return tmp_path


def names_of(place):
    return ["signer01", read_key(place / "key.json").signers["signer01"]]


def test_listing_removes_nothing(place):
    before = {p: p.stat().st_mtime_ns for p in place.rglob("*") if p.is_file()}
    found = find_person([place], names_of(place))
    kinds = {one.folder.name: one.kind for one in found}
    assert kinds == {"corpus": "corpus", "grown": "corpus", "shared": "corpus", "shards": "shards", "run": "run"}
    grown = next(one for one in found if one.folder.name == "grown")
    assert len(grown.clips) == 4
    assert len(grown.derived) == 2
    assert {p: p.stat().st_mtime_ns for p in place.rglob("*") if p.is_file()} == before


def test_signs_that_a_person_taught_a_model_are_named(place):
    folder = place / "run" / "checkpoint"
    seen = [c.id for c in read_seen(folder).clips]
    about = {"HELLO": {"clips": 1, "seen": seen[:1]}, "TREE": {"clips": 1, "seen": ["another"]}}
    config = {"format": "signloom-checkpoint", "version": 1, "taught": about}
    (folder / "config.json").write_text(json.dumps({**config, "architecture": next(iter(ARCHITECTURES))}))
    (run,) = (one for one in find_person([place], names_of(place)) if one.kind == "run")
    (why,) = run.kept.values()
    assert "Signs that they taught it since: HELLO (" in why


def test_nothing_of_the_person_is_left_and_all_of_the_other(place):
    names = names_of(place)
    other = {p for p in (place / "corpus").rglob("*.pose") if "signer02" in p.name}
    assert remove_person(find_person([place], names), names, "2026-11-28") > 0
    left = [p for p in place.rglob("*") if p.is_file() and p.suffix in (".pose", ".tar", ".mp4")]
    assert not [p for p in left if "signer01" in str(p.relative_to(place)) and p.suffix == ".pose"]
    assert all(p.exists() for p in other)
    for name in ("corpus", "grown", "shared"):
        manifest = read_manifest(place / name)
        assert len(manifest.signers) == 1
        assert not allows(manifest, names[name == "shared"], "training")
        assert all((manifest.root / p).exists() for r in manifest for p in r.streams.values())
        journal = (place / name / "journal.jsonl").read_text()
        assert "signer01_" not in journal
    assert "signer01" not in (place / "corpus" / "failures.jsonl").read_text()
    assert not (place / "shards" / "shards.json").exists()
    assert not (place / "run" / "report.html").exists()
    assert not (place / "run" / "preview.png").exists()
    assert (place / "other" / "report.html").exists()
    with pytest.raises(InputError, match="nobody called"):
        find_person([place / "corpus"], names)


def test_a_removal_that_was_killed_is_finished_by_the_same_command(place, monkeypatch):
    names, whole = names_of(place), find_person([place], names_of(place))
    files = [file for one in whole for file in one.files]
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", killed_after(Path.unlink, len(files) // 2))
        with pytest.raises(KeyboardInterrupt):
            remove_person(whole, names)
    assert any(file.exists() for file in files)
    remove_person(find_person([place], names), names)
    assert not any(file.exists() for file in files)
    assert not any(set(names) & set(read_manifest(place / name).signers) for name in ("corpus", "grown", "shared"))


def killed_after(real, n):
    """``real``, which works ``n`` times and is interrupted then."""
    left = iter(range(n))

    def once(*args, **more):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return real(*args, **more)

    return once


def test_a_model_is_named_by_the_signer_too_when_the_clips_are_not_there(place):
    remove_person(find_person([place / "corpus"], names_of(place)), names_of(place))
    (found,) = find_person([place / "corpus", place / "run", place / "other"], names_of(place))
    assert (found.folder, found.files) == (place / "run", ())
    assert "2 other clips of a signer of that name" in found.kept[str(place / "run")]


def test_a_corpus_in_which_signers_got_other_names_is_found_by_their_clips(tmp_path):
    for name, content in (("a", "1"), ("b", "2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.pose").write_text(content)
        one = Record("x", "house", "ann", streams={"pose": "x.pose"}, content=f"hash{content}")
        write_manifest(Manifest((one,), tmp_path / name, {"streams": POSE}), tmp_path / name)
    merge_corpora([tmp_path / n for n in "ab"], tmp_path / "joined", signers_apart=True)
    assert read_manifest(tmp_path / "joined").signers == ("ann", "b ann")
    with pytest.raises(InputError, match=r"'ann' were several people .* now they are 'ann' and 'b ann'"):
        find_person([tmp_path / "joined"], ["ann"])
    assert [f.clips for f in find_person([tmp_path / "joined"], ["b ann"])] == [("b_x",)]
    with pytest.raises(InputError, match="several people"):
        mark_uses([tmp_path / "joined"], ["ann"], ["display"])
    mark_uses([tmp_path / "b", tmp_path / "joined"], ["ann"], ["display"])
    assert read_manifest(tmp_path / "joined").meta["consent"] == {"b ann": {"display": False}}
    found = find_person([tmp_path / "a", tmp_path / "joined"], ["ann"])
    assert [(f.folder.name, f.clips) for f in found] == [("a", ("x",)), ("joined", ("x",))]
    found = find_person([tmp_path / "b", tmp_path / "joined"], ["ann"])
    assert [(f.folder.name, f.clips) for f in found] == [("b", ("x",)), ("joined", ("b_x",))]
    remove_person(found, ["ann"])
    joined = read_manifest(tmp_path / "joined")
    assert [(r.id, r.signer) for r in joined] == [("x", "ann")]
    assert list(joined.meta["consent"]) == ["b ann"]


def test_footage_outside_of_the_corpus_or_shared_with_others_stays(tmp_path):
    for name in ("outside.mp4", "long.mp4"):
        (tmp_path / name).write_bytes(b"x")
    records = (
        Record("a", signer="anna", streams={"video": str(tmp_path / "outside.mp4")}),
        Record("b", signer="anna", streams={"video": str(tmp_path / "long.mp4")}, end_frame=5),
        Record("c", signer="bo", streams={"video": str(tmp_path / "long.mp4")}, first_frame=5),
    )
    (tmp_path / "corpus").mkdir()
    write_manifest(Manifest(records, tmp_path / "corpus"), tmp_path / "corpus")
    (found,) = find_person([tmp_path / "corpus"], ["anna"])
    assert not found.files
    assert set(found.kept) == {str(tmp_path / "outside.mp4"), str(tmp_path / "long.mp4")}
    (found,) = find_person([tmp_path / "corpus"], ["anna"], sources=True)
    assert found.files == (tmp_path / "outside.mp4",)


def test_uses_are_forbidden_one_by_one(tmp_path):
    records = tuple(Record(s, label="x", signer=s) for s in ("anna", "bo"))
    write_manifest(Manifest(records, tmp_path), tmp_path)
    assert mark_uses([tmp_path], ["anna"], ["display"]) == [tmp_path]
    manifest = read_manifest(tmp_path)
    assert [r.id for r in permitted(manifest, "display")[0]] == ["bo"]
    assert len(permitted(manifest, "training")[0]) == 2
    with pytest.warns(SignloomWarning, match="1 clips are left out: anna"):
        assert len(for_use(manifest, "display")) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for_use(manifest, "training")
    with pytest.raises(SignloomError, match="nobody called"):
        mark_uses([tmp_path], ["carla"], ["display"])


def test_a_manifest_says_what_it_may_not(tmp_path):
    write_manifest(Manifest((Record("a"),), tmp_path, {"consent": {"anna": {"training": "maybe"}}}), tmp_path)
    with pytest.raises(InputError, match="true or false"):
        read_manifest(tmp_path)


def test_who_withdrew_does_not_come_back_when_the_footage_is_read_again(tmp_path):
    again = Manifest(tuple(Record(s, signer=s) for s in ("anna", "bo")), tmp_path)
    earlier = replace(again, meta={"consent": {"anna": {"withdrawn": "2026-11-28"}}})
    kept = carried(again, earlier)
    assert [r.id for r in kept] == ["bo"]
    assert kept.meta["consent"] == earlier.meta["consent"]
    assert carried(again, None) is again
