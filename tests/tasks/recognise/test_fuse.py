"""Fusing runs: from run folders to a report, with weights from validation clips and no clip measured that was seen."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from signloom import media
from signloom.cli import main as cli
from signloom.data.manifest import read_manifest
from signloom.data.splits import apply_split, read_split
from signloom.errors import CheckpointError, InputError, LeakError, MissingStreamError
from signloom.metrics.classification import softmax
from signloom.streams import STREAMS
from signloom.streams.pose import PoseStream
from signloom.tasks.recognise import fuse
from signloom.tasks.recognise.evaluate import Scores, score_corpus
from signloom.tasks.recognise.fusion import Fusion
from signloom.tasks.recognise.predict import Recogniser

QUICK = ("--epochs", "2", "--batch-size", "16")


def train(corpus, out, *more):
    assert cli.main(["train", str(corpus), "--out", str(out), *QUICK, *map(str, more)]) == 0
    return out


@pytest.fixture(scope="module")
def runs(pose_corpus, tmp_path_factory):
    """Run folders ``a``, ``b`` (one split, two seeds, two recipes) and ``c`` (another split). Do not change them."""
    folder = tmp_path_factory.mktemp("runs")
    train(pose_corpus, folder / "a")
    own = folder / "a" / "split.json"
    train(pose_corpus, folder / "b", "--split", own, "--seed", 1, "--recipe", "pose-as-filmed")
    train(pose_corpus, folder / "c", "--split", "random", "--seed", 2)
    return folder


@pytest.fixture
def mine(runs, tmp_path):
    return shutil.copytree(runs, tmp_path / "runs")


@pytest.fixture
def split_corpus(pose_corpus, runs):
    return apply_split(read_manifest(pose_corpus), read_split(runs / "a" / "split.json"))


def test_evaluate_fuses_runs_and_the_saved_fusion_gives_the_same(pose_corpus, mine, tmp_path, signloom):
    both = mine / "both"
    command = ("evaluate", mine / "a", mine / "b", pose_corpus, "--fuse", "--save", both, "--no-clips", "--json")
    code, text, err = signloom(*command)
    assert code == 0, err
    said = json.loads(text)
    fusion = said["fusion"]
    assert [row["name"] for row in fusion["streams"]] == ["a", "b"]
    assert [row["recipe"] for row in fusion["streams"]] == ["pose", "pose-as-filmed"]
    assert sum(row["weight"] for row in fusion["streams"]) == pytest.approx(1)
    assert fusion["validation"]["top1"] >= max(row["val_top1"] for row in fusion["streams"])
    best = next(row for row in fusion["streams"] if row["name"] == fusion["best"])
    assert fusion["difference"] == best["difference"]
    for row in fusion["streams"]:
        assert row["difference"]["value"] == pytest.approx(fusion["top1"]["value"] - row["top1"]["value"])
        code, text, _ = signloom("evaluate", mine / row["name"], pose_corpus, "--no-clips", "--json")
        assert row["top1"]["value"] == json.loads(text)["metrics"]["top1"]["value"]  # alone: as it measures itself
    page = (both / "report.html").read_text(encoding="utf-8")
    assert "Fused minus it" in page
    assert "http://" not in page

    config = json.loads((both / "fusion.json").read_text())
    assert [m["path"] for m in config["members"]] == ["../a", "../b"]
    moved = shutil.move(mine, tmp_path / "elsewhere")
    code, text, err = signloom("evaluate", moved / "both", pose_corpus, "--no-clips", "--json")
    assert code == 0, err
    again = json.loads(text)
    assert again["metrics"] == said["metrics"]
    assert again["fusion"]["streams"] == fusion["streams"]


def test_the_weights_know_nothing_of_the_test_clips(runs, split_corpus):
    opened = fuse.open_runs([runs / "a", runs / "b"])
    fitted = fuse.fit_runs(opened, split_corpus)
    swapped = tuple(replace(r, label="OTHER") if r.split == "test" else r for r in split_corpus)
    assert fuse.fit_runs(opened, replace(split_corpus, records=swapped)).fusion == fitted.fusion
    assert fitted.fusion.validation["n_clips"] == sum(r.split == "val" for r in split_corpus)


def test_the_weights_know_nothing_of_changed_copies(runs, split_corpus, monkeypatch):
    asked = []

    def scored(run, manifest, split):
        asked.append({r.id for r in manifest})

    monkeypatch.setattr(fuse, "refuse_other_splits", lambda *_: None)
    monkeypatch.setattr(fuse, "cached_scores", scored)
    val = [r for r in split_corpus if r.split == "val"]
    copies = tuple(replace(r, id=f"{r.id}-c", parent=r.id, extra={"augmented": {"copy": 1}}) for r in val)
    grown = replace(split_corpus, records=(*split_corpus.records, *copies))
    fuse.fit_runs(fuse.open_runs([runs / "a", runs / "b"]), grown)
    assert asked == [{r.id for r in val}] * 2


def test_scores_are_kept_until_the_model_or_a_clip_changes(mine, pose_corpus, tmp_path, monkeypatch):
    folder = shutil.copytree(pose_corpus, tmp_path / "corpus")
    corpus = apply_split(read_manifest(folder), read_split(mine / "a" / "split.json")).only("test")
    [run] = fuse.open_runs([mine / "a"])
    scored = []

    def counted(recogniser, manifest):
        scored.append(len(manifest))
        return score_corpus(recogniser, manifest)

    monkeypatch.setattr(fuse, "score_corpus", counted)
    first = fuse.cached_scores(run, corpus, "test")
    assert (mine / "a" / "scores-test.npz").exists()
    again = fuse.cached_scores(run, corpus, "test")
    assert len(scored) == 1
    np.testing.assert_array_equal(first.logits_NK, again.logits_NK)
    backwards = fuse.cached_scores(run, replace(corpus, records=corpus.records[::-1]), "test")
    assert len(scored) == 1
    np.testing.assert_array_equal(backwards.logits_NK, first.logits_NK[::-1])
    clip = folder / corpus.records[0].streams["pose"]
    pose = media.read_pose(clip)
    pose.body.data[:] += 1
    media.write_pose(clip, pose)
    fuse.cached_scores(run, corpus, "test")
    assert len(scored) == 2
    shutil.copytree(mine / "b" / "checkpoint", mine / "a" / "checkpoint", dirs_exist_ok=True)
    fuse.cached_scores(*fuse.open_runs([mine / "a"]), corpus, "test")
    assert len(scored) == 3
    (mine / "a" / "scores-test.npz").write_bytes(b"half of it")
    fuse.cached_scores(*fuse.open_runs([mine / "a"]), corpus, "test")
    assert len(scored) == 4
    fuse.cached_scores(*fuse.open_runs([mine / "c" / "checkpoint"]), corpus, "test")
    bare = shutil.copytree(mine / "c" / "checkpoint", tmp_path / "bare")
    fuse.cached_scores(*fuse.open_runs([bare]), corpus, "test")
    files = ["config.json", "model.safetensors", "prototypes.safetensors", "trained_on.json"]
    assert sorted(p.name for p in bare.iterdir()) == files


def test_a_run_trained_on_another_split_is_refused_by_name(pose_corpus, runs, split_corpus, tmp_path, signloom):
    for more in ((), ("--fuse",)):
        code, text, err = signloom("evaluate", runs / "a", runs / "c", pose_corpus, *more)
        assert code == 1
        assert text == ""
        assert "run 'c' was trained on another split than 'a'" in err
    both = [runs / "a", runs / "b"]
    code, _, err = signloom("evaluate", *both, pose_corpus, "--fuse", "--split", runs / "c" / "split.json")
    assert code == 1
    assert "run 'a' was trained on another split" in err
    code, _, err = signloom("evaluate", *both, pose_corpus, "--fuse", "--split", "all")
    assert code == 1
    assert "'a' was trained on clips of this corpus" in err
    moved = tuple(replace(r, split="val") if r.split == "test" else r for r in split_corpus)
    opened = fuse.open_runs(both)
    with pytest.raises(LeakError):  # test clips moved to where weights are fitted
        fuse.fit_runs(opened, replace(split_corpus, records=moved))


def test_a_corpus_none_has_met_is_measured_with_equal_weights(pose_corpus, runs, tmp_path, signloom, change_manifest):
    other = shutil.copytree(pose_corpus, tmp_path / "other")
    change_manifest(other, row=lambda r: {**r, "id": f"other_{r['id']}"})
    command = ("evaluate", runs / "a", runs / "b", other, "--fuse", "--split", "all", "--json")
    code, text, err = signloom(*command)
    assert code == 1  # other names, and the same contents: it has met them all the same
    assert "run 'a' was trained on clips of this corpus" in err
    change_manifest(other, row=lambda r: {**r, "signer": "nobody", "content": f"new {r['id']}"})
    code, text, err = signloom(*command)
    assert code == 0, err
    assert json.loads(text)["overlap"] == json.loads(text)["overlap"] | {"trained_on": 0, "new_signers": True}
    fusion = json.loads(text)["fusion"]
    assert fusion["rule"] == "equal"
    assert [row["weight"] for row in fusion["streams"]] == [0.5, 0.5]
    assert json.loads(text)["split"] == {"name": "test", "scheme": "all", "detail": "every clip of the corpus"}


def test_several_runs_are_compared_on_the_same_clips(pose_corpus, runs, tmp_path, signloom):
    command = ("evaluate", runs / "a", runs / "b", pose_corpus, "--out", tmp_path)
    code, text, err = signloom(*command, "--json")
    assert code == 0, err
    said = json.loads(text)
    tops = [row["top1"]["value"] for row in said["streams"]]
    assert tops == sorted(tops, reverse=True)
    assert said["streams"][0]["difference"] is None
    assert said["streams"][1]["difference"]["value"] == pytest.approx(tops[1] - tops[0])
    assert (tmp_path / "comparison-test.json").exists()
    code, text, _ = signloom(*command)
    assert code == 0
    assert "minus the best" in text


@pytest.fixture
def pose2(monkeypatch):
    """A second stream of poses, "pose2"."""
    module = ModuleType("pose2_stream")
    module.Pose2 = type("Pose2", (PoseStream,), {"name": "pose2"})
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(STREAMS, "pose2", "pose2_stream:Pose2")


def test_a_clip_without_a_stream_is_left_to_the_others(runs, split_corpus, pose2):
    opened = fuse.open_runs([runs / "a", runs / "b"])
    streams = dict(split_corpus.meta["streams"])
    other = replace(opened[1].checkpoint, streams={"pose2": opened[1].checkpoint.streams["pose"]})
    test_ids = [r.id for r in split_corpus if r.split == "test"]
    with_second = tuple(
        replace(r, streams={**r.streams, "pose2": r.streams["pose"]}) if r.id not in test_ids[:3] else r
        for r in split_corpus
    )
    meta = {**split_corpus.meta, "streams": {**streams, "pose2": streams["pose"]}}
    corpus = replace(split_corpus, records=with_second, meta=meta)
    model = fuse.FusedRecogniser((opened[0], replace(opened[1], checkpoint=other)), Fusion((0.4, 0.6)))
    chosen = corpus.only("test")
    first, second = (score_corpus(Recogniser(r.checkpoint), chosen) for r in opened)
    fused = fuse.score_fused(model, chosen)
    place = {r.id: n for n, r in enumerate(fused.records)}
    rows = [place[i] for i in test_ids[:3]]
    np.testing.assert_allclose(fused.probabilities_NK[rows], softmax(first.logits_NK)[rows], rtol=1e-5)
    rest = [place[i] for i in test_ids[3:]]
    mixed = 0.4 * softmax(first.logits_NK)[rest] + 0.6 * softmax(second.logits_NK)[rest]
    np.testing.assert_allclose(fused.probabilities_NK[rest], mixed, rtol=1e-5)
    missing = [row["n_missing"] for row in fuse.evaluate_fused(model, corpus, "test")["fusion"]["streams"]]
    assert missing == [0, 3]
    bare = replace(corpus, records=tuple(replace(r, streams={"imu": "x"}) for r in chosen))
    with pytest.raises(InputError, match=rf"clip '{test_ids[0]}' \(9 in all\) has no stream .* b needs pose2; it has"):
        fuse.score_fused(model, bare)
    with pytest.raises(MissingStreamError, match="no prepared stream 'pose2'"):  # never prepared at all
        fuse.evaluate_fused(model, split_corpus, "test")


def test_runs_that_know_different_labels_are_fused_over_all_of_them(runs, split_corpus):
    opened = fuse.open_runs([runs / "a", runs / "b"])
    model = fuse.FusedRecogniser(
        (opened[0], replace(opened[1], checkpoint=replace(opened[1].checkpoint, labels=("BALU", "NEW", "ZZ")))),
        Fusion((0.5, 0.5)),
    )
    known = opened[0].checkpoint.labels
    assert model.labels == tuple(sorted({*known, "BALU", "NEW", "ZZ"}))
    records = split_corpus.records[:2]
    second = Scores(records, ("BALU", "NEW", "ZZ"), np.log([[0.01, 0.98, 0.01]] * 2))
    fused = model.combine([Scores(records, known, np.log([[0.4, 0.3, 0.3]] * 2)), second])
    assert [fused.labels[k] for k in fused.logits_NK.argmax(axis=1)] == ["NEW", "NEW"]
    alone = model.combine([None, second])
    assert [alone.labels[k] for k in alone.logits_NK.argmax(axis=1)] == ["NEW", "NEW"]
    # What only the run that did not judge a clip knows is no answer to it, however few labels there are.
    strange = [label not in ("BALU", "NEW", "ZZ") for label in alone.labels]
    assert np.isneginf(alone.logits_NK[:, strange]).all()
    assert np.isfinite(alone.logits_NK[:, [not s for s in strange]]).all()
    assert np.isfinite(fused.logits_NK).all()


def test_a_fusion_is_never_saved_over_a_run(mine, split_corpus, pose_corpus, tmp_path, signloom):
    command = ("evaluate", mine / "a", mine / "b", pose_corpus, "--fuse", "--no-clips", "--save")
    before = {p: p.read_bytes() for p in mine.rglob("*") if p.is_file()}
    for folder, held in ((mine / "a", "a run"), (mine / "a" / "checkpoint", "a checkpoint"), (pose_corpus, "a corpus")):
        code, _, err = signloom(*command, folder)
        assert code == 2
        assert f"--save '{folder}' holds {held}" in err
    killed = tmp_path / "killed"
    killed.mkdir()
    (killed / "state.pt").write_text("")
    with pytest.raises(InputError, match="holds an unfinished run"):
        fuse.save_fusion(fuse.fit_runs(fuse.open_runs([mine / "a", mine / "b"]), split_corpus), killed)
    kept = {p: p.read_bytes() for p in mine.rglob("*") if p.is_file() and not p.name.startswith("scores-")}
    assert kept.items() <= before.items()
    fusion = tmp_path / "fusion"
    fusion.mkdir()
    (fusion / "fusion.json").write_text("{}")
    code, _, err = signloom("train", pose_corpus, "--out", fusion)  # nor a run over a fusion
    assert code == 2
    assert "holds a fusion" in err


def test_a_saved_fusion_is_refused_when_a_run_has_changed_or_the_file_is_broken(mine, split_corpus, tmp_path):
    opened = fuse.open_runs([mine / "a", mine / "b"])
    folder = fuse.save_fusion(fuse.fit_runs(opened, split_corpus), mine / "both")
    loaded = fuse.load_fusion(folder)
    assert loaded.fusion == fuse.fit_runs(opened, split_corpus).fusion
    with pytest.raises(InputError, match="a fusion already"):
        fuse.open_runs([folder, mine / "a"])
    shutil.copytree(mine / "c" / "checkpoint", mine / "b" / "checkpoint", dirs_exist_ok=True)
    with pytest.raises(CheckpointError, match=r"run 'b' .* has changed"):
        fuse.load_fusion(folder)
    shutil.rmtree(mine / "b")
    with pytest.raises(CheckpointError, match="no checkpoint"):
        fuse.load_fusion(folder)
    file = folder / "fusion.json"
    content = json.loads(file.read_text())
    for wrong in ("{", "[]", json.dumps({**content, "format": "x"}), json.dumps({**content, "members": []}),
                  json.dumps({**content, "temperature": -1}), json.dumps({**content, "members": [{}]})):  # fmt: skip
        file.write_text(wrong)
        with pytest.raises(CheckpointError, match=r"fusion\.json"):
            fuse.load_fusion(folder)
    with pytest.raises(CheckpointError, match="no fusion at"):
        fuse.load_fusion(tmp_path)


def test_names_tell_runs_apart(tmp_path):
    paths = [tmp_path / "cv" / fold / "seed0" for fold in "xy"]
    assert fuse.names_of(paths) == ["x/seed0", "y/seed0"]
    assert fuse.names_of([tmp_path / "a" / "checkpoint", tmp_path / "b"]) == ["a", "b"]
    with pytest.raises(InputError, match="given twice"):
        fuse.names_of([tmp_path / "a", tmp_path / "a" / "checkpoint"])


# --- cross-validations ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crossvals(pose_corpus, tmp_path_factory):
    """Two cross-validations: folds signer01 and signer02, seeds 0 and 1 in the first, 0 in the second."""
    out = tmp_path_factory.mktemp("crossvals")
    for name, seeds, recipe in (("one", "01", "pose"), ("two", "0", "pose-as-filmed")):
        command = ["crossval", str(pose_corpus), "--out", str(out / name), "--epochs", "1", "--recipe", recipe]
        assert cli.main([*command, "--no-clips", "--only", "signer01", "signer02", "--seeds", *seeds]) == 0
    return out


def test_cross_validations_are_fused_fold_by_fold(pose_corpus, crossvals, tmp_path, signloom):
    command = ("evaluate", crossvals / "one", crossvals / "two", pose_corpus, "--out", tmp_path, "--no-clips")
    code, text, err = signloom(*command, "--fuse", "--json")
    assert code == 0, err
    said = json.loads(text)
    assert [(r["held_out"], r["seed"]) for r in said["runs"]] == [("signer01", 0), ("signer02", 0)]
    assert said["cross_validation"]["top1"]["value"] == pytest.approx(np.mean([r["top1"] for r in said["runs"]]))
    fusion = said["fusion"]
    for row in fusion["streams"]:
        own = []
        for fold in ("signer01", "signer02"):
            file = crossvals / row["name"] / fold / "seed0" / "evaluation.json"
            own.append(json.loads(file.read_text())["metrics"]["top1"]["value"])
        assert row["top1"]["value"] == pytest.approx(np.mean(own))
        assert [r["streams"][row["name"]] for r in fusion["per_run"]] == pytest.approx(own)
        assert row["difference"]["value"] == pytest.approx(fusion["top1"]["value"] - row["top1"]["value"])
        assert row["weight"] == pytest.approx(np.mean([r["weights"][row["name"]] for r in fusion["per_run"]]))
    results = json.loads((tmp_path / "fusion.json").read_text())
    assert {c["signer"] for c in results["clips"]} == {"signer01", "signer02"}
    assert results["metrics"]["n_clips"] == 18
    assert "one: signer01 seed 1, signer02 seed 1" in results["warnings"][0]
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Fused minus it" in page
    code, text, _ = signloom(*command)
    assert code == 0
    assert "signer02 seed 0" in text
    assert "fused" not in text.lower()


def test_cross_validations_that_do_not_fit_together(pose_corpus, crossvals, runs, tmp_path, signloom):
    mine = shutil.copytree(crossvals, tmp_path / "mine")
    both = ("evaluate", mine / "one", mine / "two", pose_corpus)
    for command, said in (
        (("evaluate", mine / "one", runs / "a", pose_corpus, "--fuse"), "compare like with like"),
        ((*both, "--fuse", "--save", tmp_path / "x"), "every fold has a fusion of its own"),
        ((*both, "--on", "val"), "leave --on and --split out"),
        (("evaluate", mine / "one", pose_corpus, "--fuse"), "--fuse needs at least two runs"),
        (("evaluate", mine / "one", mine / "two", pose_corpus, "--save", tmp_path), "it goes with --fuse"),
    ):
        code, _, err = signloom(*command)
        assert code == 2
        assert said in err
    (mine / "one" / "signer01" / "seed0" / "split.json").unlink()
    code, _, err = signloom(*both, "--fuse")
    assert code == 2
    assert "signloom crossval" in err
    shutil.rmtree(mine / "one" / "signer01")
    shutil.rmtree(mine / "two" / "signer02")
    code, _, err = signloom(*both, "--fuse")
    assert code == 2
    assert "no finished fold and seed in common" in err
