"""signloom train: how long it trains, what it says, one process a run folder, and what a folder must not hold."""

from __future__ import annotations

import json
import time

import pytest

from signloom.training.checkpoint import load_checkpoint

POSE = ("--batch-size", 4, "--set", "model.width=16", "model.members=1", "inputs.n_frames=12")
PAINT = (
    "--recipe", "paint", "--batch-size", 2, "--precision", "fp32", "--set", "inputs.size_px=64",
    "model.widths=[8,8,8,8]", "losses.face_discriminator=0", "losses.hand_discriminator=0",
)  # fmt: skip


def told_by(run) -> dict:
    return json.loads((run / "run.json").read_text())


# --- the budget -------------------------------------------------------------------------------------------------


def test_so_many_steps_of_a_recogniser(pose_corpus, tmp_path, signloom):
    code, text, err = signloom("train", pose_corpus, "--out", tmp_path, "--steps", 3, *POSE, "--json")
    assert code == 0, err
    said, spent = json.loads(text), told_by(tmp_path)
    assert said["steps"] == spent["steps"] == 3
    assert 0 <= said["validation"]["top1"] <= 1  # measured, though no epoch was whole
    checkpoint = load_checkpoint(tmp_path)
    assert checkpoint.recipe["schedule"]["steps"] == 3
    assert checkpoint.metrics["steps"] == 3


def test_so_many_epochs_are_not_prolonged(pose_corpus, tmp_path, signloom):
    code, text, err = signloom("train", pose_corpus, "--out", tmp_path, "--epochs", 2, *POSE, "--json")
    assert code == 0, err
    history = json.loads((tmp_path / "history.json").read_text())
    assert [row["epoch"] for row in history] == [1, 2]
    assert json.loads(text)["steps"] == history[-1]["step"]


def test_so_many_minutes_of_a_recogniser(pose_corpus, tmp_path, signloom):
    code, text, err = signloom("train", pose_corpus, "--out", tmp_path, "--minutes", 0.05, *POSE, "--json")
    assert code == 0, err
    assert 3 <= json.loads(text)["seconds"] < 10
    assert json.loads(text)["steps"] == told_by(tmp_path)["steps"] > 5
    assert load_checkpoint(tmp_path).recipe["schedule"]["minutes"] == 0.05


def test_so_many_epochs_of_a_generator(painting_corpus, tmp_path, signloom):
    code, text, err = signloom("train", painting_corpus.root, "--out", tmp_path, "--epochs", 1, *PAINT, "--json")
    assert code == 0, err
    said = json.loads(text)
    schedule = load_checkpoint(tmp_path).recipe["schedule"]
    assert (schedule["epochs"], schedule["steps"], schedule["minutes"]) == (1, 0, 0)
    assert 1 <= said["steps"] <= 9  # of 17 frames, not the 4000 steps of the recipe


@pytest.mark.parametrize("recipe", ["pose", "paint"])
@pytest.mark.parametrize(
    ("two", "says"),
    [
        (("--epochs", 1, "--steps", 5), "--epochs and --steps both say how long to train; give one of them"),
        (("--steps", 5, "--minutes", 1), "--steps and --minutes both say"),
        (("--epochs", 5, "--minutes", 1), "--epochs and --minutes both say"),
        (("--steps", 0), "--steps: got 0, expected 1 or more"),
        (("--epochs", -1), "--epochs: got -1, expected 1 or more"),
        (("--minutes", "nan"), "--minutes: got nan, expected more than 0"),
    ],
)
def test_a_budget_is_one_and_more_than_nothing(pose_corpus, tmp_path, signloom, recipe, two, says):
    code, _, err = signloom("train", pose_corpus, "--out", tmp_path / "run", "--recipe", recipe, *two)
    assert code == 2
    assert says in err
    assert not (tmp_path / "run").exists()


# --- previews ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--preview-every", "--look-every"])
def test_a_preview_by_its_name_and_its_old_one(painting_corpus, tmp_path, signloom, option):
    code, text, err = signloom(
        "train", painting_corpus.root, "--out", tmp_path, "--steps", 2, option, 1, *PAINT, "--json"
    )
    assert code == 0, err
    assert json.loads(text)["preview"] == str(tmp_path / "preview.png")
    assert (tmp_path / "preview.png").stat().st_size > 100


def test_a_recogniser_has_no_preview(pose_corpus, tmp_path, signloom):
    code, _, err = signloom("train", pose_corpus, "--out", tmp_path / "run", "--preview-every", 5)
    assert code == 2
    assert "--preview-every: recipe 'pose' paints nothing; leave it out" in err
    code, _, err = signloom("train", pose_corpus, "--out", tmp_path / "run", "--recipe", "paint", "--look-every", 0)
    assert code == 2
    assert "--preview-every/--look-every: got 0, expected 1 or more" in err


# --- what goes with a recipe ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--painter", "runs/x"), "--painter: recipe 'pose' paints nothing"),
        (
            ("--teacher", "runs/x"),
            "--teacher: recipe 'pose' learns from no other network (mars, distil and imu-from-… do)",
        ),
        (("--recipe", "distil"), "learns from another network: train one with --recipe pose on the same split"),
        (("--recipe", "mars"), "learns from a flow network: train one with --recipe flow on the same split"),
        (("--weights", "w.pt", "--from", "runs/x"), "--from and --weights both say what to start with"),
        (("--seed", -1), "--seed: got -1, expected 0 or more"),
    ],
)
def test_what_does_not_go_with_a_recipe_is_refused_before_anything_is_read(tmp_path, signloom, words, says):
    code, _, err = signloom("train", tmp_path / "no corpus", "--out", tmp_path / "run", *words)
    assert code == 2
    assert says in err


def test_help_lists_the_recipes_whatever_else_is_given(signloom):
    for verb in ("train", "crossval", "recognise"):
        code, text, _ = signloom(verb, "--recipe", "help")
        assert code == 0
        assert "  pose  " in text
        assert "  paint-512  " in text


# --- one process a run folder -----------------------------------------------------------------------------------

# A state after every step, so that there is something to refuse.
CODE = """
import sys
from signloom.cli import main as cli
from signloom.training import trainer
trainer.SAVE_EVERY_S = 0.0
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_second_process_is_refused_and_harms_nothing(pose_corpus, tmp_path, signloom, start):
    run = tmp_path / "run"
    words = ("train", pose_corpus, "--out", run, "--epochs", 2000, *POSE)
    first = start(*words, code=CODE)
    end = time.monotonic() + 120
    while first.running() and not (run / "state.pt").exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert first.running()
    (run / ".tmp-first").write_text("what the first is writing")
    for other in (words, ("train", pose_corpus, "--out", run, "--epochs", 1, *POSE)):
        code, _, err = signloom(*other)
        assert code == 2
        assert f"'{run}' is being written by another signloom process" in err
    assert (run / ".tmp-first").exists()
    assert first.running()
    first.kill()
    code, _, err = signloom("train", pose_corpus, "--out", run, "--epochs", 1, *POSE)
    assert code == 2
    others = "another recipe, corpus, split, seed or version of signloom"
    assert f"'{run}' holds an unfinished run with {others}; choose another --out, or delete that folder" in err
