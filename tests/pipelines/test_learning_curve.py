"""Fewer takes and fewer signers: what is left to learn from, and the curve in results, words and page."""

from __future__ import annotations

from dataclasses import replace

import pytest

from signloom.data.manifest import Manifest, Record, write_manifest
from signloom.data.splits import folds
from signloom.errors import InputError
from signloom.pipelines import learning_curve as module
from signloom.pipelines.learning_curve import add_learning_curve, sizes_up_to
from signloom.report.sections import curve_section
from signloom.report.words import curve_sentences


@pytest.fixture
def corpus(tmp_path):
    records = [
        Record(f"s{s}{label}{t}", label, f"s{s}", n_frames=9, fps=9.0, content=f"{s}{label}{t}")
        for s in range(6)
        for label in "ab"
        for t in range(10)
    ]
    return Manifest(tuple(records), tmp_path, {"name": "c"})


def learnt(manifest):
    return [r for r in manifest if r.split in ("train", "val")]


@pytest.mark.parametrize(
    ("most", "least", "sizes"),
    [(10, 1, [1, 2, 4, 8, 10]), (9, 1, [1, 2, 4, 9]), (8, 2, [2, 4, 8]), (1, 1, [1]), (0, 1, [])],
)
def test_sizes(most, least, sizes):
    assert sizes_up_to(most, least) == sizes


def test_smaller_sets_lie_within_larger_ones_and_the_test_stays(corpus):
    fold = folds(corpus, "signer", val=0.1)[0]
    tested = {r.id for r in fold.manifest if r.split == "test"}
    before = set()
    for n in (1, 2, 4):
        fewer = module._fewer_takes(fold.manifest, n)
        now = {r.id for r in learnt(fewer)}
        assert before < now
        assert len(now) == 5 * 2 * n
        assert {r.id for r in fewer if r.split == "test"} == tested
        before = now
    signers = [{r.signer for r in learnt(module._fewer_signers(fold.manifest, n))} for n in (2, 4)]
    assert signers[0] < signers[1]
    assert [len(s) for s in signers] == [2, 4]


def test_copies_are_no_takes_and_go_with_what_they_were_made_of(corpus):
    copies = [replace(r, id=f"{r.id}-c", content=f"{r.id}-c", parent=r.id, extra={"augmented": {"copy": 1}})
              for r in corpus]  # fmt: skip
    fold = folds(replace(corpus, records=(*corpus.records, *copies)), "signer", val=0)[0]
    assert module._most_takes(fold.manifest) == 10
    left = learnt(module._fewer_takes(fold.manifest, 2))
    assert len(left) == 2 * 5 * 2 * 2
    assert {r.parent for r in left if r.augmented} == {r.id for r in left if not r.augmented}


def test_the_curve_in_results_words_and_page(corpus, tmp_path, monkeypatch):
    cut = folds(corpus, "signer", val=0.1)
    asked = []

    def cross_validate(manifest, recipe, folds, seeds, out, *, scheme, quiet):
        n = len(learnt(folds[0].manifest))
        asked.append((out.relative_to(tmp_path).as_posix(), n))
        rows = [{"held_out": f.name, "top1": 1 - (0.5 + 0.01 * k) * n**-0.5} for k, f in enumerate(folds)]
        return {"cross_validation": {"per_fold": rows}}

    monkeypatch.setattr(module, "cross_validate", cross_validate)
    results = cross_validate(corpus, None, cut, [0], tmp_path / "x", scheme="s", quiet=True)
    asked.clear()
    found = add_learning_curve(results, corpus, None, cut, [0], tmp_path, scheme="s", quiet=True)
    assert [place for place, _ in asked] == [
        *(f"curve/takes-{n}" for n in (1, 2, 4, 8)), *(f"curve/signers-{n}" for n in (2, 4))
    ]  # fmt: skip
    takes, signers = found["learning_curve"]
    assert [p["n"] for p in takes["points"]] == [1, 2, 4, 8, 10]
    assert [p["n"] for p in signers["ahead"]] == [10, 20]
    assert takes["ahead"][1]["value"] > takes["ahead"][0]["value"] > takes["points"][-1]["value"]
    assert "With 20 it would be about" in curve_sentences(takes)[1]
    page = curve_section({**found, "split": {"name": "test"}})
    assert page.count("<svg") == 2
    assert "95 % interval" in page
    assert curve_section({"split": {"name": "test"}}) == ""


def test_too_few_of_everything(corpus, tmp_path):
    few = corpus.where(lambda r: r.signer in ("s0", "s1") and r.id.endswith(("0", "1")))
    results = {"cross_validation": {"per_fold": [{"held_out": s, "top1": 0.5} for s in ("s0", "s1")]}}
    with pytest.raises(InputError, match="no three sizes"):
        add_learning_curve(results, few, None, folds(few, "signer", val=0), [0], tmp_path, scheme="s")


def test_that_there_can_be_no_curve_is_told_before_anything_is_trained(corpus, signloom, tmp_path):
    made = {"pose": {"extractor": "imported", "components": {"POSE_LANDMARKS": 33}}}
    few = corpus.where(lambda r: r.signer in ("s0", "s1", "s2") and r.id.endswith(("0", "1")))
    write_manifest(replace(few, meta={**few.meta, "streams": made}), tmp_path / "corpus")
    code, _, err = signloom("crossval", tmp_path / "corpus", "--out", tmp_path / "out", "--learning-curve")
    assert code == 2
    assert "no three sizes" in err
    assert not list((tmp_path / "out").glob("*/seed*"))
