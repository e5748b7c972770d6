"""A stream, an input, a model and a task that are added by one table line each walk the whole path.

tests/toy.py holds them; no file of signloom knows of it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import signloom
from signloom import media
from signloom.cli.main import main

REPOSITORY = Path(__file__).resolve().parent.parent
LINES = {
    "signloom.streams.STREAMS": ("brightness", "signloom_tests_toy:BrightnessStream"),
    "signloom.transforms.INPUTS": ("brightness", "signloom_tests_toy:BrightnessInput"),
    "signloom.models.ARCHITECTURES": ("toy", ("signloom_tests_toy", "ToyModel", "ToyConfig")),
    "signloom.tasks.TASKS": ("toy", "signloom_tests_toy:ToyTask"),
}


@pytest.fixture
def toy(monkeypatch, load_module):
    """The toy's module, and a line for each of its parts in signloom's tables."""
    module = load_module("toy.py")
    for table, (name, value) in LINES.items():
        where, _, attribute = table.rpartition(".")
        __import__(where)
        monkeypatch.setitem(getattr(sys.modules[where], attribute), name, value)
    return module


@pytest.fixture
def footage(tmp_path):
    """Sixteen clips of flat grey: DARK and LIGHT, by four signers, two takes each."""
    for signer in range(4):
        for label, level in (("DARK", 60), ("LIGHT", 190)):
            for take in range(2):
                noise = np.random.default_rng((signer, take)).integers(-20, 20, (6 + take, 48, 64, 3))
                frames = (level + 8 * signer + noise).clip(0, 255).astype(np.uint8)
                media.write_video(tmp_path / f"videos/s{signer}/{label}/{take}.mp4", frames, 10)
    return tmp_path / "videos"


def run(*words) -> int:
    return main([str(w) for w in words])


def test_a_toy_walks_the_whole_path(toy, footage, tmp_path, monkeypatch, capsys):
    corpus, out = tmp_path / "corpus", tmp_path / "run"
    pattern = ("--pattern", "{signer}/{label}/{take}.mp4")
    # prepare
    assert run("prepare", footage, *pattern, "--out", corpus, "--streams", "brightness", "--workers", 0) == 0
    manifest = signloom.read_corpus(corpus)
    assert manifest.fingerprint("brightness") == {"extractor": "brightness", "full": 1.0, "version": 1}
    assert all((corpus / r.streams["brightness"]).suffix == ".npy" for r in manifest)
    # train, stopped and given again, ends as undisturbed
    assert run("train", corpus, "--recipe", "toy", "--out", tmp_path / "undisturbed") == 0
    monkeypatch.setattr("signloom.training.trainer.SAVE_EVERY_S", 0.0)
    good, calls = toy.ToyTask.training_step, []

    def dies(self, modules, batch, step):
        calls.append(step.number)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return good(self, modules, batch, step)

    monkeypatch.setattr(toy.ToyTask, "training_step", dies)
    assert run("train", corpus, "--recipe", "toy", "--out", out) == 130
    assert (out / "state.pt").exists()
    assert run("train", corpus, "--recipe", "toy", "--out", out) == 0
    assert calls == [0, 1, 2, 3, *range(3, calls[-1] + 1)]
    weights = [(r / "checkpoint" / "model.safetensors").read_bytes() for r in (out, tmp_path / "undisturbed")]
    assert weights[0] == weights[1]
    # evaluate
    capsys.readouterr()
    assert run("evaluate", out, corpus, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["top1"] == 1.0
    # predict
    clip = footage / "s0/LIGHT/1.mp4"
    assert run("predict", out, clip, "--json", "--workers", 0) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["label"] == "LIGHT"
    # the front door, and a session that is pushed frame by frame
    predictor = signloom.load(out)
    assert predictor(signloom.read_clip(clip, predictor)).top(1)[0] == pytest.approx(("LIGHT", row["confidence"]))
    session = predictor.session(fps=10)
    for time_s, frame in media.iter_frames(clip):
        session.push(time_s, {"video": frame})
    (answer,) = session.close()
    assert dict(answer.top(2)) == pytest.approx(dict(row["top"]), abs=1e-5)
    # export
    pytest.importorskip("onnxscript")
    assert run("export", out, "--out", tmp_path / "toy.onnx", "--json") == 0
    assert json.loads(capsys.readouterr().out)["inputs"] == {"brightness": [1, 4]}
    written = (tmp_path / "toy.onnx").read_bytes()
    assert str(REPOSITORY).encode() not in written  # no trace of whose machine it was
    assert b"site-packages" not in written


def test_its_recipe_is_listed_with_the_others(toy, capsys):
    with pytest.raises(SystemExit):
        run("train", "--recipe", "help")
    assert "toy" in capsys.readouterr().out


def test_no_file_of_signloom_knows_the_toy():
    """It is added by table lines alone: four, of which none stands in a file."""
    assert len(LINES) == 4
    known = subprocess.run(
        ["grep", "-rlE", "brightness_input|BrightnessStream|ToyTask", str(REPOSITORY / "src")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert known.stdout == ""
