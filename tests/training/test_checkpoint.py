"""Checkpoints: read back whole, never a pickle, and named with what is wrong where they are broken."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from signloom.data.skeleton import JOINTS, PARENT, PARTS
from signloom.errors import CheckpointError
from signloom.models import build
from signloom.training.checkpoint import Checkpoint, load_checkpoint, read_config, save_checkpoint, weights_file
from signloom.transforms.pose_input import PoseInput

T = 12


def small_model():
    torch.manual_seed(0)
    parts = {name: (where.start, where.stop) for name, where in PARTS.items()}
    shape = {"n_frames": T, "width": 16, "depth": 1, "heads": 2, "members": 1}
    return build("pose_transformer", {"n_classes": 2, "parents": tuple(int(p) for p in PARENT), **parts, **shape})


def saved(folder, **more):
    model = small_model().eval()
    streams = {"pose": {"extractor": "x", "version": 1}}
    checkpoint = Checkpoint("recognise", "pose_transformer", model, ("A", "ب"), PoseInput(T), streams, 1.5, **more)
    save_checkpoint(checkpoint, folder)
    return model


def answer(model):
    rng = np.random.default_rng(0)
    pose = torch.from_numpy(rng.normal(0, 1, (3, T, len(JOINTS), 2)).astype(np.float32))
    with torch.inference_mode():
        return model(pose, torch.ones(pose.shape[:3], dtype=torch.bool), torch.ones(pose.shape[:2], dtype=torch.bool))


def test_a_checkpoint_reads_back_whole(tmp_path):
    about = {
        "recipe": {"name": "r", "seed": 3},
        "corpus": {"hash": "c"},
        "split": {"hash": "s"},
        "metrics": {"top1": 0.5},
    }
    model = saved(tmp_path, **about)
    back = load_checkpoint(tmp_path)
    assert back.task == "recognise"
    assert back.architecture == "pose_transformer"
    assert back.labels == ("A", "ب")
    assert back.inputs == PoseInput(T)
    assert back.temperature == 1.5
    assert back.streams == {"pose": {"extractor": "x", "version": 1}}
    assert {name: getattr(back, name) for name in about} == about
    assert not back.model.training
    torch.testing.assert_close(answer(back.model), answer(model), rtol=0, atol=0)
    assert not list(tmp_path.glob("*.pkl")) + list(tmp_path.glob("*.pt"))


def test_a_run_folder_is_read_by_the_checkpoint_inside_it(tmp_path):
    saved(tmp_path / "checkpoint")
    assert load_checkpoint(tmp_path).labels == ("A", "ب")
    assert weights_file(tmp_path) == tmp_path / "checkpoint" / "model.safetensors"
    assert read_config(tmp_path)["task"] == "recognise"


def test_a_checkpoint_of_before_there_were_tasks_is_of_what_has_labels(tmp_path):
    saved(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["task"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert load_checkpoint(tmp_path).task == "recognise"


def test_another_estimator_is_refused_with_the_difference_and_the_way_out(tmp_path):
    saved(tmp_path)
    with pytest.raises(CheckpointError, match=r"version: got 2, expected 1.*signloom train corpus"):
        load_checkpoint(tmp_path).check_stream("pose", {"extractor": "x", "version": 2}, "corpus")


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("config.json", b"{", "broken"),
        ("config.json", b'{"format": "other", "version": 1}', "other"),
        ("model.safetensors", b"\x80\x04junk", "cannot be read"),
        ("model.safetensors", None, "cannot be read"),
    ],
)
def test_a_broken_checkpoint_is_named(tmp_path, file, content, says):
    saved(tmp_path)
    if content is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_bytes(content)
    with pytest.raises(CheckpointError, match=says):
        load_checkpoint(tmp_path)


def test_tensors_that_do_not_fit_are_listed(tmp_path):
    from safetensors.torch import load_file, save_file

    saved(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["members.0.head.1.bias"]
    tensors["stray"] = torch.zeros(1)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"members.*head.1.bias: got None, expected \(2,\).*stray"):
        load_checkpoint(tmp_path)


def test_no_checkpoint_says_what_was_expected(tmp_path):
    with pytest.raises(CheckpointError, match="signloom train --out"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c["labels"].pop(), "1 labels for a network of 2 classes"),
        (lambda c: c.update(labels="AB"), "expected a list of names"),
        (lambda c: c["model"].update(heads="22"), "heads is '22', expected int"),
        (lambda c: c["model"].update(dropout="0.1"), "dropout is '0.1', expected float"),
        (lambda c: c["model"].update(width=True), "width is True, expected int"),
    ],
)
def test_a_config_that_contradicts_itself_is_named(tmp_path, change, says):
    saved(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    change(config)
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=says):
        load_checkpoint(tmp_path)
