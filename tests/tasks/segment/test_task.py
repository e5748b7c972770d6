"""A segmenter from training to use: the same offline and as frames come, in as many processes as there are."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from signloom.data.corpus import SplitManifest, clips_of
from signloom.data.manifest import read_manifest, write_manifest
from signloom.errors import CheckpointError, InputError
from signloom.tasks import load_predictor, recipe_named, task_of
from signloom.tasks.segment.data import SegmentData, read_corpus
from signloom.tasks.segment.decode import Thresholds
from signloom.tasks.segment.predict import SignFinder

SMALL = ("--set", "n_frames=60", "model.hidden=16", "schedule.history_steps=10")
LENGTH = ("--steps", "40", "--batch-size", "4")


@pytest.fixture(scope="module")
def corpus(pose_corpus, tmp_path_factory):
    """``pose_corpus`` divided: two signers train, one validates, one is tested."""
    manifest = read_manifest(pose_corpus)
    split = {manifest.signers[-1]: "test", manifest.signers[-2]: "val"}
    folder = tmp_path_factory.mktemp("divided")
    write_manifest(
        replace(manifest, records=tuple(replace(r, split=split.get(r.signer, "train")) for r in manifest)), folder
    )
    return folder


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    """A small segmenter."""
    from signloom.cli.main import main

    out = tmp_path_factory.mktemp("segment") / "run"
    assert main(["train", str(corpus), "--recipe", "segment", "--out", str(out), *SMALL, *LENGTH]) == 0
    return out


@pytest.fixture(scope="module")
def data(pose_corpus) -> SegmentData:
    manifest = read_manifest(pose_corpus)
    manifest = replace(manifest, records=tuple(replace(r, split="train") for r in manifest))
    recipe = recipe_named("segment")
    return read_corpus(
        SplitManifest(manifest), replace(recipe, n_frames=60, schedule=replace(recipe.schedule, batch_size=5))
    )


def test_a_batch_is_the_same_in_any_number_of_processes(data):
    whole, weight = data.batch(3, 7)
    assert weight == pytest.approx(1 / 5)
    assert whole.inputs["motion"].shape == (5, 60, data.recipe.inputs.n_features)
    parts = [data.batch(3, 7, rank, 2)[0] for rank in range(2)]
    for rank, part in enumerate(parts):
        assert np.array_equal(part.inputs["motion"], whole.inputs["motion"][rank::2])
        assert np.array_equal(part.targets["class"], whole.targets["class"][rank::2])
    assert not np.array_equal(data.batch(3, 8)[0].inputs["motion"], whole.inputs["motion"])


def test_it_learns(trained):
    losses = [row["loss"] for row in json.loads((trained / "history.json").read_text())]
    assert losses[-1] < losses[0]
    config = json.loads((trained / "checkpoint" / "config.json").read_text())
    assert config["task"] == "segment"
    assert set(config["thresholds"]) == {"on", "off", "begin", "least_s", "most_s"}
    assert 0 <= config["metrics"]["f1"] <= 1


def test_frames_as_they_come_give_what_the_clip_gives(trained, pose_corpus):
    segmenter = load_predictor(trained)
    clip = clips_of(read_manifest(pose_corpus))[0]
    joints = segmenter.read(clip, "pose")
    finder = SignFinder(segmenter)
    told = [finder.push(k / joints.fps, joints[k : k + 1]) for k in range(len(joints))]
    found = [span for span in (*told, finder.close()) if span is not None]
    assert found == segmenter.signs(joints) == segmenter(clip).about["signs"]
    finder.reset()
    assert finder.start_s is None
    assert [finder.push(k / joints.fps, joints[k : k + 1]) for k in range(len(joints))] == told


def test_evaluate_measures_beside_the_rule(trained, corpus, signloom, tmp_path):
    code, out, _ = signloom("evaluate", trained, corpus, "--json", "--out", tmp_path / "out")
    assert code == 0
    figures = json.loads(out)["figures"]
    assert set(figures) == {
        "pauses as filmed", "other pauses cut in", "idle hands in the pauses", "without rest between",
    }  # fmt: skip
    for way in figures.values():
        assert way["rule"]["signs"] == way["learnt"]["signs"] == 9
        assert 0 <= way["rule"]["f1"]["value"] <= 1
    assert figures["pauses as filmed"]["rule"]["f1"]["value"] > 0.5
    code, out, _ = signloom("evaluate", trained, corpus, "--out", tmp_path / "out")
    assert "F1 at half overlap" in out
    assert (tmp_path / "out" / "evaluation-test.json").exists()
    assert signloom("evaluate", trained, corpus, "--on", "test", "--split", "all", "--out", tmp_path / "b")[0] == 1


def test_info_says_what_it_is_for(trained, signloom):
    code, out, _ = signloom("info", trained)
    assert code == 0
    assert "annotate MODEL … --segmenter" in out


def test_other_verbs_say_the_way_out(trained, pose_corpus, signloom, tmp_path):
    for words in (
        ("predict", trained, pose_corpus),
        ("generate", trained, pose_corpus, "--out", tmp_path / "o.mp4"),
        ("crossval", pose_corpus, "--recipe", "segment", "--out", tmp_path / "cv"),
        ("teach", trained, pose_corpus, "--label", "X", "--out", tmp_path / "t"),
        ("annotate", trained, pose_corpus, "--out", tmp_path / "notes"),
        ("train", pose_corpus, "--recipe", "segment", "--out", tmp_path / "r", "--teacher", trained),
        ("train", pose_corpus, "--recipe", "pose", "--out", tmp_path / "r", "--from", trained),
        ("live", trained, "--segmenter", trained, "--no-window"),
    ):
        code, _, err = signloom(*words)
        assert code in (1, 2), words
        assert "error" in err
        assert "Traceback" not in err


def test_it_goes_on_from_a_run_of_its_own_size(trained, corpus, signloom, tmp_path):
    words = ["train", corpus, "--recipe", "segment", "--out", tmp_path / "r", *SMALL, "--steps", "2"]
    assert signloom(*words, "--batch-size", "2", "--from", trained)[0] == 0
    words = ["train", corpus, "--recipe", "segment", "--out", tmp_path / "s", "--steps", "2", "--from", trained]
    code, _, err = signloom(*words)
    assert code == 2
    assert "with the same settings" in err


def test_export_says_what_the_model_says(trained, signloom, tmp_path):
    pytest.importorskip("onnxscript")
    code, _, err = signloom("export", trained, "--out", tmp_path / "seg.onnx")
    assert code == 0, err


def test_broken_thresholds_are_told():
    with pytest.raises(CheckpointError, match="'thresholds' are broken"):
        Thresholds.of({"onn": 0.5})


def test_a_corpus_in_which_nobody_moves_is_refused(tmp_path):
    class Corpus:
        root = tmp_path

        def clips(self, split):
            return ()

        def fingerprint(self, stream):
            return {"extractor": "imported", "components": {"POSE_LANDMARKS": 33}}

    with pytest.raises(InputError, match="a hand leaves its rest"):
        task_of(recipe_named("segment")).data(Corpus())
