"""Splits: nothing stands on both sides, every label keeps training clips, the same seed gives the same split."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from signloom.data.manifest import Manifest, Record
from signloom.data.splits import (
    Split,
    apply_split,
    assign_split,
    audit,
    folds,
    read_split,
    refuse_leaks,
    split_of,
    write_split,
)
from signloom.errors import InputError, LeakError


def corpus(n_signers=6, n_labels=4, n_takes=3, **fields) -> Manifest:
    records = [
        Record(
            id=f"s{s}_L{label}_{take}",
            label=f"L{label}",
            signer=f"s{s}",
            streams={"video": f"s{s}/L{label}/{take}.mp4"},
            **fields,
        )
        for s in range(n_signers)
        for label in range(n_labels)
        for take in range(n_takes)
    ]
    return Manifest(tuple(records), Path("corpus"))


def counts(manifest: Manifest) -> Counter:
    return Counter(r.split for r in manifest)


def signers(manifest: Manifest, split: str) -> set:
    return {r.signer for r in manifest if r.split == split}


def splits(manifest: Manifest) -> dict:
    return {r.id: r.split for r in manifest}


# --- signer -------------------------------------------------------------------------------------------------------


def test_signers_are_disjoint_and_every_clip_has_a_split():
    out = assign_split(corpus(), "signer")
    assert signers(out, "train") | signers(out, "val") | signers(out, "test") == set(out.signers)
    assert not signers(out, "train") & signers(out, "test")
    assert not signers(out, "val") & (signers(out, "test") | signers(out, "train"))
    assert counts(out) == {"train": 48, "val": 12, "test": 12}
    assert refuse_leaks(out) == []


@pytest.mark.parametrize("n_signers", [3, 5, 9, 40])
def test_shares_are_as_near_as_whole_signers_allow(n_signers):
    out = assign_split(corpus(n_signers), "signer", val=0.15, test=0.15)
    wanted = max(1, round(0.15 * n_signers))
    assert abs(len(signers(out, "test")) - wanted) <= 1
    assert abs(len(signers(out, "val")) - wanted) <= 1


def test_a_label_that_few_signers_make_keeps_its_training_clips():
    base = corpus(8)
    rare = [Record(id=f"rare{s}", label="rare", signer=f"s{s}") for s in (2, 5)]
    manifest = replace(base, records=(*base.records, *rare))
    for seed in range(10):
        out = assign_split(manifest, "signer", seed=seed)
        assert any(r.label == "rare" and r.split == "train" for r in out), seed


def test_many_signers_of_unequal_size_come_near_the_shares():
    rng = random.Random(0)
    records = tuple(
        Record(id=f"{s}-{i}", label=f"L{rng.randrange(30)}", signer=f"s{s}")
        for s in range(60)
        for i in range(rng.randrange(5, 60))
    )
    out = assign_split(Manifest(records, Path("c")), "signer", val=0.1, test=0.2)
    n = counts(out)
    assert n["test"] / len(out) == pytest.approx(0.2, abs=0.02)
    assert n["val"] / len(out) == pytest.approx(0.1, abs=0.02)
    assert {r.label for r in out if r.split == "train"} == set(out.labels)


def test_same_seed_same_split_whatever_the_order_of_seeds():
    manifest = corpus(9)
    assert splits(assign_split(manifest, "signer", seed=3)) == splits(assign_split(manifest, "signer", seed=3))
    chosen = {frozenset(signers(assign_split(manifest, "signer", seed=s), "test")) for s in range(12)}
    assert len(chosen) > 3  # ties are broken by the seed, not by the alphabet


def test_held_out_signers_test_and_only_they():
    out = assign_split(corpus(), "signer", held_out=["s1", "s4"])
    assert signers(out, "test") == {"s1", "s4"}
    assert len(signers(out, "val")) == 1
    with pytest.raises(InputError, match=r"signer 'zoe' is not in the corpus; it has s0, s1"):
        assign_split(corpus(), "signer", held_out=["zoe"])


def test_validation_by_clip_keeps_all_training_signers():
    out = assign_split(corpus(), "signer", val_by="clip")
    assert signers(out, "val") <= signers(out, "train")
    assert not signers(out, "test") & signers(out, "train")
    assert {r.label for r in out if r.split == "val"} == set(out.labels)
    notes = refuse_leaks(out)  # told, not refused
    assert {leak.kind for leak in notes} == {"signer"}
    assert all(leak.splits == ("train", "val") for leak in notes)


def test_no_signers_is_an_error_that_says_what_to_do():
    manifest = replace(corpus(), records=tuple(replace(r, signer=None) for r in corpus()))
    with pytest.raises(InputError, match=r"--pattern.*\{signer\}.*--scheme random.*does not hold for new"):
        assign_split(manifest, "signer")
    some = replace(manifest, records=(replace(manifest.records[0], signer="s0"), *manifest.records[1:]))
    with pytest.raises(InputError, match="71 of 72 clips"):
        folds(some, "signer")


def test_too_few_signers_is_an_error_with_a_way_out():
    with pytest.raises(InputError, match=r"2 signers .*need at least 3.*--val-by clip"):
        assign_split(corpus(2), "signer")
    out = assign_split(corpus(2), "signer", val_by="clip")
    assert set(counts(out)) == {"train", "val", "test"}


# --- source, random, given ----------------------------------------------------------------------------------------


def test_sources_are_disjoint():
    manifest = corpus()
    manifest = replace(manifest, records=tuple(replace(r, source=f"tape{i % 7}") for i, r in enumerate(manifest)))
    out = assign_split(manifest, "source")
    where = {}
    for record in out:
        assert where.setdefault(record.source, record.split) == record.split
    refuse_leaks(out)
    with pytest.raises(InputError, match="no clip has a source"):
        assign_split(corpus(), "source")


def test_random_is_stratified_and_says_that_it_is_not_signer_independent():
    out = assign_split(corpus(5, 6, 4), "random", val=0.2, test=0.2)
    per_label = Counter((r.label, r.split) for r in out)
    assert all(per_label[label, "train"] == 12 and per_label[label, "test"] == 4 for label in out.labels)
    assert any("NOT SIGNER-INDEPENDENT" in note for note in out.meta["split"]["notes"])


def test_random_keeps_a_recording_together():
    manifest = corpus(5, 6, 4)
    manifest = replace(manifest, records=tuple(replace(r, source=f"tape{i // 3}") for i, r in enumerate(manifest)))
    out = assign_split(manifest, "random")
    where = {}
    for record in out:
        assert where.setdefault(record.source, record.split) == record.split


def test_labels_of_two_clips_train():
    records = tuple(Record(id=f"{k}-{i}", label=f"L{k}") for k in range(20) for i in range(2))
    out = assign_split(Manifest(records, Path("c")), "random", val=0.1, test=0.2)
    assert {r.label for r in out if r.split == "train"} == {f"L{k}" for k in range(20)}


def test_given_lists_name_clips_by_id_file_or_stem_and_the_rest_is_unused():
    lists = {"train": ["s0_L0_0", "s0/L1/0.mp4", "s0/L2/0"], "test": ["s1/L0/0.mp4", "nobody"]}
    out = assign_split(corpus(2, 4, 1), "given", lists=lists)
    assert counts(out) == {"train": 3, "test": 1, None: 4}
    notes = " ".join(out.meta["split"]["notes"])
    assert "nobody" in notes
    assert "4 clips have no given split" in notes
    assert "no validation clips" in notes
    with pytest.raises(LeakError, match="s0_L0_0"):
        assign_split(corpus(2, 4, 1), "given", lists={"train": ["s0_L0_0"], "test": ["s0/L0/0.mp4"]})


def test_given_without_validation_can_take_it_from_training():
    manifest = corpus(4)
    manifest = replace(
        manifest, records=tuple(replace(r, split="test" if r.signer == "s3" else "train") for r in manifest)
    )
    by_clip = assign_split(manifest, "given", val_by="clip")
    assert signers(by_clip, "test") == {"s3"}
    assert {r.label for r in by_clip if r.split == "val"} == set(manifest.labels)
    by_signer = assign_split(manifest, "given", val_by="signer")
    assert len(signers(by_signer, "val")) == 1
    assert not signers(by_signer, "val") & signers(by_signer, "train")


@pytest.mark.parametrize(("val", "test"), [(0.6, 0.5), (-0.1, 0.1), (0, 1)])
def test_impossible_shares_are_refused(val, test):
    with pytest.raises(InputError, match="shares"):
        assign_split(corpus(), "random", val=val, test=test)


# --- what must stay together --------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["signer", "random"])
def test_derived_clips_follow_their_root_parent(scheme):
    base = corpus()
    derived = [
        Record(id=f"{r.id}-{step}", label=r.label, signer=r.signer, parent=r.id if step == "a" else f"{r.id}-a")
        for r in base
        for step in ("a", "b")
    ]
    out = splits(assign_split(replace(base, records=(*derived, *base.records)), scheme))
    for record in base:
        assert out[record.id] == out[f"{record.id}-a"] == out[f"{record.id}-b"]


def test_children_of_an_absent_parent_stay_together():
    records = tuple(Record(id=f"{p}-{i}", label=f"L{p % 4}", parent=f"gone{p}") for p in range(24) for i in range(3))
    out = assign_split(Manifest(records, Path("c")), "random")
    where = {}
    for record in out:
        assert where.setdefault(record.parent, record.split) == record.split
    assert set(counts(out)) == {"train", "val", "test"}


def test_a_circle_of_parents_is_an_error():
    records = (Record(id="a", parent="b"), Record(id="b", parent="a"))
    with pytest.raises(InputError, match="circle"):
        assign_split(Manifest(records, Path("c")), "random")


def test_same_content_and_overlapping_frames_stay_together_in_every_scheme():
    base = corpus(6)
    records = list(base.records)
    records[0] = replace(records[0], content="same")  # of s0
    records[-1] = replace(records[-1], content="same")  # of s5: these two signers now belong together
    records += [
        Record(id=f"cut{i}", label="L0", signer=f"s{i}", streams={"video": "long.mp4"}, first_frame=a, end_frame=b)
        for i, (a, b) in enumerate([(0, 50), (40, 90), (90, 120)])
    ]
    manifest = replace(base, records=tuple(records))
    for seed in range(5):
        out = splits(assign_split(manifest, "random", seed=seed))
        assert out[records[0].id] == out["s5_L3_2"]
        assert out["cut0"] == out["cut1"]
    for fold in folds(manifest, "signer"):
        refuse_leaks(fold.manifest)
    assert len(folds(manifest, "signer")) == 4  # s0 + s5 and s0 + s1 are joined


# --- folds --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("val_by", ["clip", "signer"])
def test_leave_one_signer_out_tests_each_signer_once(val_by):
    out = folds(corpus(), "signer", val_by=val_by)
    assert [f.name for f in out] == [f"s{i}" for i in range(6)]
    for fold in out:
        assert signers(fold.manifest, "test") == {fold.name} == set(fold.held_out)
        assert fold.name not in signers(fold.manifest, "val") | signers(fold.manifest, "train")
        if val_by == "signer":
            assert len(signers(fold.manifest, "val")) == 1
            assert not signers(fold.manifest, "val") & signers(fold.manifest, "train")
        else:
            assert len(signers(fold.manifest, "train")) == 5
        refuse_leaks(fold.manifest)


def test_folds_without_validation_and_of_some_signers():
    out = folds(corpus(), "signer", val=0, held_out=["s2"])
    assert [f.name for f in out] == ["s2"]
    assert set(counts(out[0].manifest)) == {"train", "test"}


@pytest.mark.parametrize(("scheme", "k"), [("k-fold", 5), ("signer-k-fold", 3)])
def test_k_folds_test_every_clip_once(scheme, k):
    manifest = corpus(7)
    out = folds(manifest, scheme, k=k)
    tested = Counter(r.id for f in out for r in f.manifest if r.split == "test")
    assert set(tested.values()) == {1}
    assert len(tested) == len(manifest)
    sizes = [sum(r.split == "test" for r in f.manifest) for f in out]
    assert max(sizes) - min(sizes) <= (4 if scheme == "k-fold" else 24)
    for fold in out:
        assert {r.label for r in fold.manifest if r.split == "train"} == set(manifest.labels)
        refuse_leaks(fold.manifest)


def test_k_fold_is_stratified_and_repeatable():
    manifest = corpus(5, 4, 5)
    out = folds(manifest, "k-fold", k=5, seed=1)
    for fold in out:
        assert set(Counter(r.label for r in fold.manifest if r.split == "test").values()) == {5}
    assert [splits(f.manifest) for f in out] == [splits(f.manifest) for f in folds(manifest, "k-fold", k=5, seed=1)]


def test_more_folds_than_groups_is_an_error():
    with pytest.raises(InputError, match="at least 9 signers; the corpus has 6"):
        folds(corpus(), "signer-k-fold", k=9)
    with pytest.raises(InputError, match="k=1"):
        folds(corpus(), "k-fold", k=1)


# --- the auditor --------------------------------------------------------------------------------------------------


def leaky(*records: Record, scheme="signer") -> Manifest:
    return Manifest(records, Path("c"), {"split": {"scheme": scheme}})


def test_the_same_content_on_both_sides_is_refused_naming_both_clips():
    manifest = leaky(
        Record(id="a", split="train", content="f00"), Record(id="b", split="test", content="f00"), scheme="random"
    )
    with pytest.raises(LeakError, match=r"content: 'a' \(train\) and 'b' \(test\)"):
        refuse_leaks(manifest)
    assert [leak.kind for leak in refuse_leaks(manifest, allow=["content"])] == ["content"]
    with pytest.raises(InputError, match="'contents' is not a kind"):
        refuse_leaks(manifest, allow=["contents"])


def test_a_family_on_both_sides_is_refused_through_any_number_of_generations():
    manifest = leaky(
        Record(id="root", split="train"),
        Record(id="child", split="train", parent="root"),
        Record(id="grandchild", split="val", parent="child"),
    )
    with pytest.raises(LeakError, match=r"parent: 'root'.*'grandchild'"):
        refuse_leaks(manifest)


def test_a_signer_on_both_sides_is_refused_only_where_the_scheme_promises_otherwise():
    records = (Record(id="a", split="train", signer="s"), Record(id="b", split="test", signer="s"))
    with pytest.raises(LeakError, match="signer 's'"):
        refuse_leaks(leaky(*records, scheme="signer"))
    assert [leak.serious for leak in refuse_leaks(leaky(*records, scheme="random"))] == [False]
    in_val = (records[0], replace(records[1], split="val"))
    assert [leak.serious for leak in refuse_leaks(leaky(*in_val, scheme="signer"))] == [False]


@pytest.mark.parametrize(
    ("first", "second", "leaks"),
    [
        ((0, 50), (49, 60), True),
        ((0, 50), (50, 60), False),
        ((0, None), (500, 510), True),
        ((100, None), (0, 100), False),
        ((10, 20), (0, 100), True),
    ],
)
def test_overlapping_frames_of_one_file_are_refused(first, second, leaks):
    a = Record(id="a", split="train", streams={"video": "x.mp4"}, first_frame=first[0], end_frame=first[1])
    b = Record(id="b", split="test", streams={"video": "./x.mp4"}, first_frame=second[0], end_frame=second[1])
    found = [leak for leak in audit(leaky(a, b)) if leak.kind == "time"]
    assert bool(found) is leaks


def test_overlap_is_found_behind_a_long_clip_that_ends_late():
    spans = [("a", "train", 0, 1000), ("b", "train", 10, 20), ("c", "val", 1000, 1100), ("d", "test", 900, 950)]
    records = [Record(id=i, split=s, streams={"video": "x.mp4"}, first_frame=a, end_frame=b) for i, s, a, b in spans]
    (leak,) = (x for x in audit(leaky(*records)) if x.kind == "time")
    assert (leak.first, leak.second) == ("a", "d")
    assert "frames 900 to 950" in leak.detail


def test_overlap_of_clips_that_were_cut_into_files_is_known_from_their_source():
    records = [
        Record(id=i, split=s, source="tube", streams={"video": f"{i}.mp4"}, extra={"source_frames": frames})
        for i, s, frames in (("a", "train", [0, 60]), ("b", "test", [50, 90]))
    ]
    assert "time" in {leak.kind for leak in audit(leaky(*records, scheme="random"))}


def test_the_auditor_is_quick_for_fifty_thousand_clips():
    rng = random.Random(0)
    records = tuple(
        Record(
            id=str(i),
            label=f"L{i % 500}",
            signer=f"s{i % 100}",
            split=("train", "val", "test")[i % 3],
            content=f"c{i}",
            streams={"video": f"long{i % 50}.mp4"},
            first_frame=(start := rng.randrange(10**6)),
            end_frame=start + 3,
            parent=f"{i - 1}" if i % 10 else None,
        )
        for i in range(50_000)
    )
    began = time.monotonic()
    leaks = audit(Manifest(records, Path("c"), {"split": {"scheme": "signer"}}))
    assert {leak.kind for leak in leaks} >= {"parent", "time", "signer"}
    assert time.monotonic() - began < 10


# --- split files --------------------------------------------------------------------------------------------------


def test_a_split_file_round_trips(tmp_path):
    manifest = corpus()
    out = assign_split(manifest, "signer", seed=4)
    path = write_split(split_of(out), tmp_path / "split.json")
    again = apply_split(manifest, read_split(path))
    assert splits(again) == splits(out)
    assert again.meta["split"]["scheme"] == "signer"
    assert again.meta["split"]["seed"] == 4
    assert again.meta["split"]["held_out"] == out.meta["split"]["held_out"]


def test_unused_clips_stay_unused(tmp_path):
    manifest = corpus(2, 4, 1)
    out = assign_split(manifest, "given", lists={"train": ["s0_L0_0"], "test": ["s1_L0_0"]})
    again = apply_split(manifest, read_split(write_split(split_of(out), tmp_path / "s.json")))
    assert counts(again) == {"train": 1, "test": 1, None: 6}


def test_clips_derived_later_follow_their_parents():
    manifest = corpus()
    split = split_of(assign_split(manifest, "signer"))
    derived = tuple(replace(r, id=f"{r.id}-x", parent=r.id) for r in manifest)
    out = splits(apply_split(replace(manifest, records=manifest.records + derived), split))
    assert all(out[r.id] == out[f"{r.id}-x"] for r in manifest)


def test_a_split_for_another_corpus_is_refused():
    manifest = corpus()
    split = split_of(assign_split(manifest, "signer"))
    with pytest.raises(InputError, match=r"names 1 clips that corpus .* lacks, first 's0_L0_0'"):
        apply_split(replace(manifest, records=manifest.records[1:]), split)
    with pytest.raises(InputError, match=r"1 clips of corpus .* not in the split, first 'new'"):
        apply_split(replace(manifest, records=(*manifest.records, Record(id="new"))), split)
    relabelled = replace(manifest, records=(replace(manifest.records[0], label="L1"), *manifest.records[1:]))
    with pytest.raises(InputError, match="other labels, signers or contents"):
        apply_split(relabelled, split)
    assert len(apply_split(relabelled, split, allow_changed=True)) == len(manifest)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a signloom split"),
        ("[]", "lacks"),
        ('{"format": "signloom-split", "version": 9}', "version 9"),
        ('{"format": "signloom-split", "version": 1, "scheme": "x", "seed": 0}', "not a whole"),
        (
            '{"format": "signloom-split", "version": 1, "scheme": "x", "seed": 0, "corpus_hash": "", '
            '"assignment": {"a": "tran"}}',
            "clip 'a' is in split 'tran'",
        ),
    ],
)
def test_broken_split_files_are_named(tmp_path, text, message):
    path = tmp_path / "split.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_split(path)
    with pytest.raises(InputError, match="does not exist"):
        read_split(tmp_path / "none.json")


@pytest.mark.parametrize(
    "details", ["none", ["held_out"], {"held_out": "anna"}, {"held_out": [["anna"]]}, {"notes": 3}, {"notes": [[1]]}]
)
def test_details_of_a_split_file_are_checked(tmp_path, details):
    path = write_split(Split("signer", 0, "x", {"a": "train"}, {"held_out": ["anna"]}), tmp_path / "s.json")
    assert read_split(path).details == {"held_out": ["anna"]}
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "details": details}))
    with pytest.raises(InputError, match="details"):
        read_split(path)
