"""What only a GPU shows, in two minutes on one: ``python -m pytest -m gpu tests/test_gpu.py``."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from signloom.media import read_frames
from signloom.tasks import load_predictor, recipe_named, task_of
from signloom.training.checkpoint import load_checkpoint
from signloom.training.precision import choose_precision

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
V1 = Path(__file__).resolve().parent / "fixtures" / "v1"
SPLIT = ("--split", V1 / "splits" / "signer.json")
RECIPES = {"pose": (), "rgb": ("inputs.size_px=64", "inputs.resize_px=64"), "flow": (), "rgb-hands": ()}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A small corpus of poses, frames and flow. Do not change it."""
    return Path(shutil.copytree(V1 / "corpus", tmp_path_factory.mktemp("gpu") / "corpus"))


def train(signloom, recipe, corpus, out, *more):
    code, _, said = signloom("train", corpus, "--recipe", recipe, "--out", out, "--batch-size", "4", *more)
    assert code == 0, said
    return load_checkpoint(out)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_precision_trains_to_finite_weights_that_say_the_same_on_the_processor(
    signloom, prepared, tmp_path, monkeypatch, recipe, precision
):
    settings = ("--set", *RECIPES[recipe]) if RECIPES[recipe] else ()
    words = ("--epochs", "2", "--precision", precision, *SPLIT, *settings)
    checkpoint = train(signloom, recipe, prepared, tmp_path / "run", *words)
    assert all(value.isfinite().all() for value in checkpoint.model.state_dict().values())
    assert json.loads((tmp_path / "run" / "run.json").read_text())["skipped_steps"] <= 2  # a scaler begins too high
    code, _, said = signloom("evaluate", tmp_path / "run", prepared, "--no-clips", "--out", tmp_path / "gpu")
    assert code == 0, said
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    code, _, said = signloom("evaluate", tmp_path / "run", prepared, "--no-clips", "--out", tmp_path / "cpu")
    assert code == 0, said
    there, here = (json.loads((tmp_path / d / "evaluation-test.json").read_text())["clips"] for d in ("gpu", "cpu"))
    for a, b in zip(there, here, strict=True):
        assert dict(a["top"]) == pytest.approx(dict(b["top"]), abs=0.01)


def test_a_generator_learns_and_paints_the_same_on_the_processor(signloom, painting_corpus, tmp_path, monkeypatch):
    run, corpus = tmp_path / "run", painting_corpus.root
    code, _, said = signloom("train", corpus, "--recipe", "paint", "--out", run, "--steps", "40")
    assert code == 0, said
    assert load_predictor(run).device == "cuda"
    painted = {}
    for where in ("gpu", "cpu"):
        if where == "cpu":
            monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        code, _, said = signloom("generate", run, corpus, "--split", "test", "--out", tmp_path / where)
        assert code == 0, said
        painted[where] = read_frames(next((tmp_path / where).glob("*.mp4"))).astype(float)
    assert np.abs(painted["gpu"] - painted["cpu"]).mean() < 2


def test_a_gradient_that_is_not_finite_changes_nothing(signloom, prepared, tmp_path, monkeypatch):
    kind = type(task_of(recipe_named("pose")))
    step, seen = kind.training_step, []

    def spoilt(self, *arguments):
        for name, loss in step(self, *arguments):
            seen.append(name)
            yield name, loss * (float("nan") if len(seen) == 2 else 1.0)

    monkeypatch.setattr(kind, "training_step", spoilt)
    checkpoint = train(signloom, "pose", prepared, tmp_path / "run", "--epochs", "2", *SPLIT)
    assert all(value.isfinite().all() for value in checkpoint.model.state_dict().values())
    assert json.loads((tmp_path / "run" / "run.json").read_text())["skipped_steps"] == 1


def test_one_seed_gives_nearly_the_same_weights_twice(signloom, prepared, tmp_path):
    words = ("--epochs", "1", "--precision", "fp32", *SPLIT)
    first, second = (train(signloom, "rgb", prepared, tmp_path / n, *words).model.state_dict() for n in "ab")
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], atol=1e-3, rtol=1e-2, msg=name)


def test_bf16_is_chosen_where_it_is_built_in():
    model = type("Video", (), {"takes": "video"})()
    built_in = torch.cuda.get_device_capability() >= (8, 0)
    assert choose_precision("auto", model) == ("bf16" if built_in else "no")
    assert replace(recipe_named("rgb")).schedule.precision == "auto"
