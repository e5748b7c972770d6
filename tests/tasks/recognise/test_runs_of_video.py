"""Recognisers of frames and flow from footage to answers: what is trained, refused, fused, resumed and predicted."""

from __future__ import annotations

import json
import shutil
import time

import numpy as np
import pytest

from signloom.cli import main as cli
from signloom.data.manifest import read_manifest
from signloom.data.splits import choose_split, read_split
from signloom.pipelines.predict import predict_files
from signloom.runtime.atomic import write_json
from signloom.tasks import load_predictor
from signloom.tasks.recognise.evaluate import score_corpus
from signloom.tasks.recognise.fuse import load_fusion, score_fused
from signloom.tasks.recognise.task import Recognise
from signloom.training import trainer
from signloom.training.checkpoint import load_checkpoint

QUICK = ("--epochs", 3, "--batch-size", 2)
SMALL = ("inputs.n_frames=4", "inputs.size_px=32", "inputs.resize_px=36")
TINY = ("model.widths=[8,8,8]", "model.blocks=[1,1]", "model.memory=8")
SETTINGS = {
    "rgb": (*SMALL, *TINY),
    "rgb-located": (*SMALL, *TINY),
    "rgb-hands": (*SMALL, *TINY, "inputs.hands_px=16"),
    "flow": (*SMALL, *TINY),
    # The network that learns from another may see larger pictures than that one.
    "mars": (*TINY, "inputs.n_frames=4", "inputs.size_px=48", "inputs.resize_px=52"),
    "cnn-lstm": (*SMALL, "model.frame_width=0.25", "model.hidden=8"),
}


def command(recipe, corpus, out, *more):
    """The words of a tiny training."""
    return ("train", corpus, "--out", out, "--recipe", recipe, *QUICK, "--set", *SETTINGS[recipe], *more)


def train(*words):
    assert cli.main([str(w) for w in command(*words)]) == 0
    return words[2]


@pytest.fixture(scope="module")
def runs(corpus, tmp_path_factory):
    """A run folder for each of SETTINGS, all on one split, and ``other``: flow on another. Do not change them."""
    folder = tmp_path_factory.mktemp("video runs")
    for recipe in ("rgb", "rgb-located", "rgb-hands", "flow", "cnn-lstm"):
        train(recipe, corpus.folder, folder / recipe)
    train("mars", corpus.folder, folder / "mars", "--teacher", folder / "flow")
    train("flow", corpus.folder, folder / "other", "--split", "random")
    return folder


@pytest.fixture
def copied(corpus, tmp_path):
    """The prepared corpus, free to be spoilt."""
    return shutil.copytree(corpus.folder, tmp_path / "corpus")


def weights(run) -> bytes:
    return (run / "checkpoint" / "model.safetensors").read_bytes()


# --- train, evaluate, predict -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipe", "needs"),
    [
        ("rgb", ["frames"]),
        ("rgb-located", ["frames"]),
        ("rgb-hands", ["frames", "pose"]),
        ("mars", ["frames"]),
        ("cnn-lstm", ["frames"]),
        ("flow", ["flow"]),
    ],
)
def test_a_trained_run_is_measured_and_needs_but_its_streams(
    runs, corpus, recipe, needs, signloom, change_manifest, copied
):
    run = runs / recipe
    checkpoint = load_checkpoint(run)
    assert list(checkpoint.streams) == needs
    assert checkpoint.inputs.n_frames == 4
    assert set(checkpoint.split) >= {"hash", "train", "val", "scheme"}
    assert len(json.loads((run / "history.json").read_text())) == 3
    assert not (run / "state.pt").exists()

    def only_that(value):
        return {**value, "streams": {k: v for k, v in value["streams"].items() if k in needs}}

    change_manifest(copied, header=only_that, row=only_that)  # use needs none of the auxiliary streams
    code, text, err = signloom("evaluate", run, copied, "--out", copied, "--no-clips", "--json")
    assert code == 0, err
    said = json.loads(text)
    assert said["metrics"]["n_clips"] == 2
    assert said["split"]["scheme"] == "signer-disjoint"
    [held_out] = read_split(run / "split.json").details["held_out"]
    clips = json.loads((copied / "evaluation-test.json").read_text())["clips"]
    assert {c["signer"] for c in clips} == {held_out}


@pytest.mark.parametrize("recipe", ["rgb", "flow", "rgb-hands"])
def test_predict_on_raw_clips_agrees_with_evaluation_on_the_prepared_corpus(
    runs, corpus, footage, recipe, tmp_path, signloom
):
    recogniser = load_predictor(runs / recipe)
    raw = sorted(footage.rglob("*.mp4"))
    predicted, outcomes = predict_files(recogniser, raw, tmp_path / "some", workers=0, quiet=True)
    assert all(o.ok for o in outcomes)
    prepared = score_corpus(recogniser, corpus.manifest)
    assert len({tuple(np.round(p, 5)) for p in prepared.probabilities_NK}) > 1  # clips do get different answers
    by_file = {r.streams["video"]: p for r, p in zip(prepared.records, prepared.probabilities_NK)}
    for record, p_K in zip(predicted.records, predicted.probabilities_NK):
        np.testing.assert_allclose(p_K, by_file[record.streams["video"]], atol=1e-4, rtol=0)

    code, text, err = signloom("predict", runs / recipe, raw[0], "--json", "--workers", 1)
    assert code == 0, err
    row = json.loads(text)
    assert dict(row["top"]) == pytest.approx(dict(zip(recogniser.labels, predicted.probabilities_NK[0])), abs=1e-4)


def test_a_saved_fusion_predicts_what_it_measured(runs, corpus, footage, tmp_path, signloom):
    mine = shutil.copytree(runs, tmp_path / "runs")
    both = mine / "both"
    code, text, err = signloom("evaluate", mine / "rgb", mine / "flow", corpus.folder, "--fuse", "--save", both,
                               "--no-clips", "--json")  # fmt: skip
    assert code == 0, err
    fusion = json.loads(text)["fusion"]
    assert [row["recipe"] for row in fusion["streams"]] == ["rgb", "flow"]
    assert sum(row["weight"] for row in fusion["streams"]) == pytest.approx(1)
    model = load_fusion(both)
    prepared = score_fused(model, corpus.manifest)
    raw = sorted(footage.rglob("*.mp4"))[:2]
    predicted, outcomes = predict_files(model, raw, tmp_path / "cache", workers=0, quiet=True)
    assert all(o.ok for o in outcomes)
    by_file = {r.streams["video"]: p for r, p in zip(prepared.records, prepared.probabilities_NK)}
    for record, p_K in zip(predicted.records, predicted.probabilities_NK):
        np.testing.assert_allclose(p_K, by_file[record.streams["video"]], atol=1e-4, rtol=0)
    code, text, err = signloom("predict", both, *raw, "--json", "--workers", 1, "--cache", tmp_path / "cache")
    assert code == 0, err
    for line, p_K in zip(text.splitlines(), predicted.probabilities_NK):
        assert dict(json.loads(line)["top"]) == pytest.approx(dict(zip(predicted.labels, p_K)), abs=1e-5)


def test_training_never_opens_test_clips(runs, corpus, copied, tmp_path, signloom):
    """Neither what the model sees nor what only its training needs."""
    manifest, _ = choose_split(read_manifest(copied), "signer")
    held_out = [r for r in manifest if r.split == "test"]
    assert held_out
    for record in held_out:
        for stream in ("pose", "frames", "flow"):
            (copied / record.streams[stream]).unlink()
    for recipe, more in (("rgb-located", ()), ("mars", ("--teacher", runs / "flow"))):
        code, _, err = signloom(*command(recipe, copied, tmp_path / recipe, *more))
        assert code == 0, err
        assert weights(tmp_path / recipe) == weights(runs / recipe)  # and what they hold changes nothing
    code, _, err = signloom("evaluate", tmp_path / "mars", copied)
    assert code == 1
    assert held_out[0].id in err


# --- killed and resumed -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", ["rgb", "mars"])
def test_stopped_and_given_again_it_ends_the_same(runs, corpus, recipe, tmp_path, signloom, monkeypatch):
    teacher = ("--teacher", runs / "flow") if recipe == "mars" else ()
    words = command(recipe, corpus.folder, tmp_path / "run", *teacher)
    stops_before, loss = [1, 1, 0], Recognise.loss  # after one step it is stopped, after another again, then no more

    def stops(self, modules, batch):
        if stops_before[0] == 0 and len(stops_before) > 1:
            del stops_before[0]
            raise KeyboardInterrupt
        stops_before[0] -= 1
        return loss(self, modules, batch)

    monkeypatch.setattr(trainer, "SAVE_EVERY_S", 0.0)
    monkeypatch.setattr(Recognise, "loss", stops)
    for _ in range(2):
        code, _, err = signloom(*words)
        assert code == 130
        assert "run the same command again" in err
        assert (tmp_path / "run" / "state.pt").exists()
    code, _, err = signloom(*words)
    assert code == 0, err
    assert weights(tmp_path / "run") == weights(runs / recipe)
    for name in ("checkpoint/config.json", "history.json", "split.json"):
        assert (tmp_path / "run" / name).read_bytes() == (runs / recipe / name).read_bytes(), name


# A state after every step, so that a short run has something to go on from.
CODE = """
import sys
import torch
from signloom.cli import main as cli
from signloom.training import trainer
torch.set_num_threads(1)
trainer.SAVE_EVERY_S = 0.0
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_killed_it_ends_the_same(runs, corpus, tmp_path, start):
    words = command("rgb", corpus.folder, tmp_path / "run")
    process = start(*words, code=CODE)
    state, last, seen = tmp_path / "run" / "state.pt", None, 0
    while process.running() and seen < 2:
        now = state.stat().st_mtime_ns if state.exists() else None
        seen, last = seen + (now != last), now
        time.sleep(0.01)
    assert process.running()
    process.kill()
    code, _, err = start(*words, code=CODE).finish()
    assert code == 0, err
    assert weights(tmp_path / "run") == weights(runs / "rgb")
    assert not list(tmp_path.rglob(".tmp-*"))


# --- flow teaches RGB -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("teacher", "code", "says"),
    [
        (None, 2, ["recipe 'mars' learns from a flow network", "--recipe flow", "--teacher"]),
        ("other", 1, ["was trained on another split", "Train it on the same split"]),
        ("rgb", 2, ["reads frames", "expected a network that reads flow"]),
        ("nobody", 1, ["nobody"]),
    ],
)
def test_a_teacher_that_will_not_do(runs, corpus, teacher, code, says, tmp_path, signloom):
    more = ("--teacher", runs / teacher) if teacher else ()
    got, _, err = signloom(*command("mars", corpus.folder, tmp_path / "run", *more))
    assert got == code, err
    for words in says:
        assert words in err
    assert not (tmp_path / "run" / "checkpoint").exists()


def test_a_teacher_that_sees_other_frames_or_has_other_features(runs, corpus, tmp_path, signloom):
    for setting, says in (
        ("inputs.n_frames=5", "was trained with inputs.n_frames 4, recipe 'mars' has 5"),
        ("inputs.handedness=as-filmed", "was trained with inputs.handedness 'dominant-right'"),
        ("model.memory=12", "the teacher has 16 features, the network that learns from it has 24"),
    ):
        words = command("mars", corpus.folder, tmp_path / "run", setting, "--teacher", runs / "flow")
        code, _, err = signloom(*words)
        assert code == 2
        assert says in err


def test_only_a_recipe_that_learns_from_another_takes_a_teacher(runs, corpus, tmp_path, signloom):
    code, _, err = signloom(*command("rgb", corpus.folder, tmp_path / "run", "--teacher", runs / "flow"))
    assert code == 2
    assert "--teacher: recipe 'rgb' learns from no other network" in err


def test_another_teacher_makes_another_run(runs, corpus, tmp_path, signloom):
    mine = shutil.copytree(runs / "mars", tmp_path / "mars")
    words = command("mars", corpus.folder, mine, "--teacher")
    code, _, err = signloom(*words, runs / "flow")
    assert code == 0, err  # finished: loaded again
    train("flow", corpus.folder, tmp_path / "flow", "--seed", 1, "--split", runs / "flow" / "split.json")
    code, _, err = signloom(*words, tmp_path / "flow")
    assert code == 2
    assert "choose another --out" in err


# --- streams ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipe", "missing"), [("rgb", "frames"), ("flow", "flow"), ("mars", "flow"), ("rgb-located", "pose")]
)
def test_a_corpus_without_the_stream(runs, copied, recipe, missing, tmp_path, signloom, change_manifest):
    def without(value):
        return {**value, "streams": {k: v for k, v in value["streams"].items() if k != missing}}

    change_manifest(copied, header=without, row=without)
    teacher = ("--teacher", runs / "flow") if recipe == "mars" else ()
    code, _, err = signloom(*command(recipe, copied, tmp_path / "run", *teacher))
    assert code == 2
    assert f"no prepared stream '{missing}'" in err
    assert f"signloom prepare … --streams {missing}" in err


def other_flow(header):
    streams = header["streams"]
    flow = {**streams["flow"], "method": "tvl1", "preset": "default", "limit_px": 10.0}
    return {**header, "streams": {**streams, "flow": flow}}


def test_flow_of_another_method_is_refused(runs, copied, tmp_path, signloom, change_manifest):
    change_manifest(copied, header=other_flow)
    teacher = ("--teacher", runs / "flow")
    for words in (("evaluate", runs / "flow", copied), command("mars", copied, tmp_path / "run", *teacher)):
        code, _, err = signloom(*words)
        assert code == 1
        for difference in ("method: got 'tvl1', expected 'dis'", "preset: got 'default'", "limit_px: got 10.0"):
            assert difference in err
        assert f"signloom train {copied}" in err
    code, _, err = signloom("evaluate", runs / "rgb", copied, "--no-clips", "--out", tmp_path / "out")
    assert code == 0, err  # it reads no flow


def test_flow_that_this_installation_cannot_make(runs, footage, tmp_path, signloom):
    run = shutil.copytree(runs / "flow", tmp_path / "run")
    file = run / "checkpoint" / "config.json"
    kept = json.loads(file.read_text())
    for name, value in (("method", "raft"), ("version", 99)):
        config = json.loads(json.dumps(kept))
        config["streams"]["flow"][name] = value
        write_json(file, config)
        code, _, err = signloom("predict", run, next(footage.rglob("*.mp4")), "--workers", 1)
        assert code == 1
        assert f"{value}" in err
        assert name in err


def test_a_model_setting_that_there_is_not(corpus, tmp_path, signloom):
    for setting, says in (("model.widhts=[8]", "'widhts'"), ("model.blocks=[1]", "light3d")):
        code, _, err = signloom(*command("rgb", corpus.folder, tmp_path / "run", setting))
        assert code == 2
        assert "recipe 'rgb': a 'light3d' cannot be built with" in err
        assert says in err


# --- cross-validation -------------------------------------------------------------------------------------------


def test_cross_validations_are_run_taught_and_fused(corpus, tmp_path, signloom):
    signers = corpus.manifest.signers[:2]
    folds = ("--only", *signers, "--seeds", 0, "--epochs", 1, "--no-clips", "--json")

    def crossval(recipe, *more):
        words = ("crossval", corpus.folder, "--out", tmp_path / recipe, "--recipe", recipe, *folds)
        code, text, err = signloom(*words, *more, "--set", *SETTINGS[recipe], "schedule.batch_size=2")
        assert code == 0, err
        return json.loads(text)

    said = crossval("flow")
    assert [(r["held_out"], r["n_clips"]) for r in said["runs"]] == [(s, 2) for s in signers]
    crossval("mars", "--teacher", tmp_path / "flow")
    for signer in signers:
        split = read_split(tmp_path / "mars" / signer / "seed0" / "split.json")
        held_out = {i for i, where in split.assignment.items() if where == "test"}
        assert held_out == {r.id for r in corpus.manifest if r.signer == signer}
    code, text, err = signloom("evaluate", tmp_path / "mars", tmp_path / "flow", corpus.folder, "--fuse", "--out",
                               tmp_path / "both", "--no-clips", "--json")  # fmt: skip
    assert code == 0, err
    fused = json.loads(text)
    assert [r["held_out"] for r in fused["runs"]] == list(signers)
    assert {row["recipe"] for row in fused["fusion"]["streams"]} == {"mars", "flow"}
    assert (tmp_path / "both" / "report.html").exists()
