"""Networks of frames that give what a sensor's network would have said: taught with sensors, used without."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from signloom.data.corpus import SplitManifest, clips_of
from signloom.data.manifest import read_manifest, write_manifest
from signloom.data.signal import Signal
from signloom.data.signal_files import write_signal
from signloom.data.splits import apply_split, read_split
from signloom.metrics.features import feature_match
from signloom.tasks import load_predictor
from signloom.tasks.recognise import losses
from signloom.tasks.recognise.recipes import RECIPES
from signloom.tasks.recognise.task import GENERATOR_STEPS, Recognise
from signloom.training import trainer
from signloom.training.settings import changed
from signloom.training.task import Given

LIGHT = ("inputs.n_frames=4", "inputs.size_px=32", "inputs.resize_px=36", "model.widths=[8,8,8]", "model.blocks=[1,1]",
         "model.memory=8")  # fmt: skip
IMU = ("model.kernels=8", "model.hidden=8", "model.members=3", "inputs.n_steps=24")
QUICK = ("--batch-size", 4, "--precision", "fp32")
CHANNELS = tuple(f"{q}_{axis}_{unit}" for q, unit in (("acceleration", "g"), ("rotation", "dps")) for axis in "xyz")


@pytest.fixture(scope="module")
def paired(moving_corpus, tmp_path_factory):
    """The tiny clips, each with a sensor that knows its sign. Do not change it."""
    folder = tmp_path_factory.mktemp("paired")
    rng = np.random.default_rng(0)
    records = []
    for record in moving_corpus:
        values = rng.normal(int(record.label[1:]), 0.2, (20, 6)).astype(np.float32)
        write_signal(folder / f"imu/{record.id}.npz", Signal(values, 50.0, CHANNELS))
        there = {name: str(moving_corpus.root / path) for name, path in record.streams.items()}
        records.append(replace(record, streams={**there, "imu": f"imu/{record.id}.npz"}))
    made = {
        **moving_corpus.meta["streams"],
        "imu": {"extractor": "imu", "version": 1, "rate_hz": 0.0, "channels": list(CHANNELS)},
    }
    write_manifest(
        replace(moving_corpus, records=tuple(records), root=folder, meta={"name": "paired", "streams": made}), folder
    )
    return read_manifest(folder)


@pytest.fixture(scope="module")
def runs(paired, tmp_path_factory):
    """Runs ``imu``, ``given`` (taught by it) and ``along`` (with a teacher that learns along). Do not change them."""
    from signloom.cli import main as cli

    folder = tmp_path_factory.mktemp("generate")
    for name, words in {
        "imu": ("--recipe", "imu", "--epochs", 12, "--set", *IMU, "schedule.min_steps=0"),
        "given": (
            "--recipe",
            "imu-from-video",
            "--teacher",
            folder / "imu",
            "--epochs",
            4,
            "--set",
            *LIGHT,
            "schedule.min_steps=0",
            "schedule.steps_per_class=0",
        ),
        "along": (
            "--recipe",
            "imu-from-video",
            "--epochs",
            2,
            "--set",
            *LIGHT,
            "schedule.min_steps=0",
            "schedule.steps_per_class=0",
        ),
        "rgb": (
            "--recipe",
            "rgb",
            "--epochs",
            2,
            "--set",
            *LIGHT,
            "schedule.min_steps=0",
            "schedule.steps_per_class=0",
        ),
    }.items():
        split = ("--split", folder / "imu" / "split.json") if name != "imu" else ()
        assert (
            cli.main([str(w) for w in ("train", paired.root, *QUICK, *split, "--out", folder / name, *words)]) == 0
        ), name
    return folder


def test_every_term_reaches_the_generator():
    """The published code detached its third term: a generator that only that one moves must still be moved."""
    wanted = torch.randn(4, 3)
    own = wanted.clone().requires_grad_()  # the first two terms are at their least here
    named = losses.classify(own @ torch.randn(3, 5), torch.tensor([0, 1, 2, 3]))
    (only,) = torch.autograd.grad(named, own, retain_graph=True)
    losses.generate(own, wanted, named).backward()
    torch.testing.assert_close(own.grad, losses.NAMED * only)
    apart = torch.full((4, 3), 2.0, requires_grad=True)
    zero = torch.zeros(())
    value = losses.generate(apart, torch.zeros(4, 3), zero)
    assert float(value.detach()) == pytest.approx(100 * (1.5 + 2))  # Huber of 2 is 1.5
    value.backward()
    assert bool((apart.grad != 0).all())


def test_a_teacher_that_learns_along_makes_a_step_for_every_four(paired, runs, tmp_path):
    corpus = SplitManifest(apply_split(paired, read_split(runs / "imu" / "split.json")))
    task = Recognise(
        changed(RECIPES["imu-from-video"](), (*LIGHT, "schedule.steps=10", "schedule.batch_size=4")), Given()
    )
    data = task.data(corpus)
    modules = task.build(data)
    assert set(task.parameter_groups(modules)) == {"model", "teacher"}
    before = [next(modules[n].parameters()).detach().clone() for n in ("model", "teacher")]
    steps = []
    taught = task.training_step
    object.__setattr__(task, "training_step", lambda m, b, s: _noted(steps, taught(m, b, s)))
    trainer.Trainer(task, modules, data, tmp_path, 0, "h", quiet=True).fit()
    assert steps == (["teacher"] + ["model"] * GENERATOR_STEPS) * 2
    assert all(not torch.equal(next(modules[n].parameters()), old) for n, old in zip(("model", "teacher"), before))


def _noted(steps, run):
    for name, loss in run:
        steps.append(name)
        yield name, loss


def test_a_given_teacher_stays_as_it_is_and_use_opens_no_sensor_file(paired, runs, tmp_path, signloom):
    config = json.loads((runs / "given/checkpoint/config.json").read_text())
    assert list(config["streams"]) == ["frames"]
    assert config["model"]["width"] == 3 * 8  # of three members of that width
    corpus = tmp_path / "corpus"
    shutil.copytree(paired.root, corpus)
    shutil.rmtree(corpus / "imu")
    for name in ("given", "along"):
        code, said, err = signloom("evaluate", runs / name, corpus, "--json", "--no-clips", "--out", tmp_path / name)
        assert code == 0, err
        assert json.loads(said)["metrics"]["top1"] is not None
    code, said, err = signloom(
        "evaluate", runs / "given", runs / "rgb", corpus, "--fuse", "--json", "--no-clips", "--out", tmp_path / "fused"
    )
    assert code == 0, err
    assert len(json.loads(said)["fusion"]["streams"]) == 2


def test_how_near_generated_features_come_is_measured(paired, runs, signloom, tmp_path):
    words = ("evaluate", runs / "given", paired.root, "--against", runs / "imu", "--no-clips", "--out", tmp_path / "e")
    code, said, err = signloom(*words, "--json")
    assert code == 0, err
    found = json.loads(said)["generated"]
    generator, teacher = load_predictor(runs / "given"), load_predictor(runs / "imu")
    clips = clips_of(apply_split(paired, read_split(runs / "given" / "split.json")).only("test"))
    own, true = generator.features(clips), teacher.features(clips)
    assert own.shape == true.shape == (found["n_clips"], 24)
    assert found["r2"] == pytest.approx(1 - ((own - true) ** 2).sum() / ((true - true.mean(0)) ** 2).sum(), rel=1e-4)
    code, said, _ = signloom(*words)
    assert code == 0
    assert "cosine" in said
    code, _, err = signloom("evaluate", runs / "given", paired.root, "--against", runs / "rgb", "--no-clips")
    assert code == 2
    assert "--teacher" in err
    code, _, err = signloom("evaluate", runs / "rgb", paired.root, "--against", runs / "imu", "--no-clips")
    assert code == 2
    assert "generates none" in err


def test_features_are_compared_about_their_mean_and_with_those_of_other_clips():
    rng = np.random.default_rng(0)
    true = rng.normal(0, 1, (30, 8)).astype(np.float32) + 5
    found = feature_match(true, true)
    assert found["cosine"] == pytest.approx(1)
    assert found["r2"] == pytest.approx(1)
    others = [1 - ((np.roll(true, k, 0) - true) ** 2).sum() / ((true - true.mean(0)) ** 2).sum() for k in range(1, 30)]
    assert found["r2_shuffled"] == pytest.approx(np.mean(others), rel=1e-4)
    assert abs(found["cosine_shuffled"]) < 0.1  # though all share what lies at 5
    nothing = feature_match(rng.normal(5, 1, (30, 8)).astype(np.float32), true)
    assert nothing["difference"]["low"] < 0 < nothing["difference"]["high"]


def test_without_sensors_there_is_nothing_to_learn_from(moving_corpus, signloom, tmp_path):
    code, _, err = signloom("train", moving_corpus.root, "--recipe", "imu-from-video", "--out", tmp_path / "r")
    assert code == 2
    assert "imu" in err
