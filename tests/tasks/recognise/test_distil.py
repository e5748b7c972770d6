"""A network of frames that learns the features of a network of poses: taught in training, alone in use."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from signloom.cli import main as cli
from signloom.data.corpus import SplitManifest
from signloom.data.splits import apply_split, read_split
from signloom.tasks.recognise.recipes import distil
from signloom.tasks.recognise.task import Recognise
from signloom.training import trainer
from signloom.training.checkpoint import load_checkpoint
from signloom.training.settings import changed
from signloom.training.task import Given

STUDENT = ("inputs.n_frames=4", "inputs.size_px=32", "inputs.resize_px=36", "model.widths=[8,8,8]",
           "model.blocks=[1,1]", "model.memory=8")  # fmt: skip
TEACHER = ("model.width=16", "model.members=2", "inputs.n_frames=12")
QUICK = ("--epochs", 3, "--batch-size", 2, "--precision", "fp32")


@pytest.fixture(scope="module")
def runs(corpus, tmp_path_factory):
    """Runs ``pose`` and ``rgb``, and ``distil``, which learnt from the first. Do not change them."""
    folder = tmp_path_factory.mktemp("distil")
    words = ("train", corpus.folder, *QUICK, "--out")
    for recipe, more in (
        ("pose", ("--set", *TEACHER)),
        ("rgb", ("--set", *STUDENT)),
        ("distil", ("--teacher", folder / "pose", "--set", *STUDENT)),
    ):
        assert cli.main([str(w) for w in (*words, folder / recipe, "--recipe", recipe, *more)]) == 0
    return folder


def modules_of(corpus, run, teacher):
    """What is trained when ``teacher`` teaches, and the data, on the split of ``run``."""
    split = SplitManifest(apply_split(corpus.manifest, read_split(run / "split.json")))
    task = Recognise(changed(distil(), STUDENT), Given(teacher=teacher))
    data = task.data(split)
    return task, data, task.build(data)


def test_the_teacher_sees_the_clips_of_the_batch_in_its_own_way(corpus, runs):
    _, data, _ = modules_of(corpus, runs / "pose", runs / "pose")
    batch, _ = data.batch(0, 0)
    n = len(batch)
    assert batch.inputs["frames"].shape == (n, 3, 4, 32, 32)
    assert batch.inputs["teacher/pose"].shape[:2] == (n, 12)
    assert batch.inputs["teacher/mask"].shape == (n, 12)
    read = data.train.teacher.inputs.of_clip
    for row, name in enumerate(batch.ids):
        clip = next(c for c in data.train.clips if c.id == name)
        wanted = read(clip, data.train.read, ("pose",))
        assert torch.equal(batch.inputs["teacher/pose"][row], torch.from_numpy(wanted["pose"]))
    assert set(data.validation.batch([0]).inputs) == {"frames"}  # validated as it will be used


def test_the_teacher_stays_as_it_is_and_a_projection_learns(corpus, runs, tmp_path):
    task, data, modules = modules_of(corpus, runs / "pose", runs / "pose")
    teacher, projection = modules["teacher"], modules["projection"]
    assert (projection.in_features, projection.out_features) == (16, 2 * 2 * 16)
    before = {k: v.clone() for k, v in teacher.state_dict().items()}
    began = projection.weight.detach().clone()
    trainer.Trainer(task, modules, data, tmp_path, 0, "h", quiet=True).fit()
    assert not teacher.training
    assert all(torch.equal(v, before[k]) for k, v in teacher.state_dict().items())
    assert not torch.equal(projection.weight, began)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert set(state["modules"]) == {"model", "projection"}  # the teacher lies on disk already


def test_a_teacher_of_the_same_architecture_needs_no_projection(corpus, runs):
    _, _, modules = modules_of(corpus, runs / "rgb", runs / "rgb")
    assert set(modules) == {"model", "teacher"}


def test_the_student_needs_no_pose_in_use(corpus, runs, tmp_path, signloom, change_manifest):
    checkpoint = load_checkpoint(runs / "distil")
    assert list(checkpoint.streams) == ["frames"]
    names = {name for name, _ in checkpoint.model.named_parameters()}
    assert names == {name for name, _ in load_checkpoint(runs / "rgb").model.named_parameters()}
    copied = shutil.copytree(corpus.folder, tmp_path / "corpus")

    def frames_alone(value):
        return {**value, "streams": {k: v for k, v in value["streams"].items() if k == "frames"}}

    change_manifest(copied, header=frames_alone, row=frames_alone)
    code, text, err = signloom("evaluate", runs / "distil", copied, "--out", tmp_path, "--no-clips", "--json")
    assert code == 0, err
    assert json.loads(text)["metrics"]["n_clips"] == 2
    code, _, err = signloom(
        "train", copied, *QUICK, "--recipe", "distil", "--out", tmp_path / "run", "--teacher", runs / "pose"
    )
    assert code == 2
    assert "no prepared stream 'pose'" in err


def test_what_it_learns_depends_on_the_teacher(runs):
    assert (runs / "distil/checkpoint/model.safetensors").read_bytes() != (
        runs / "rgb/checkpoint/model.safetensors"
    ).read_bytes()
    history = json.loads((runs / "distil" / "history.json").read_text())
    assert [row["epoch"] for row in history] == [1, 2, 3]


def test_stopped_and_given_again_it_ends_the_same(runs, corpus, tmp_path, signloom, monkeypatch):
    words = ("train", corpus.folder, *QUICK, "--recipe", "distil", "--out", tmp_path / "run", "--teacher",
             runs / "pose", "--set", *STUDENT)  # fmt: skip
    left, loss = [2], Recognise.loss

    def stops(self, modules, batch):
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        return loss(self, modules, batch)

    monkeypatch.setattr(trainer, "SAVE_EVERY_S", 0.0)
    monkeypatch.setattr(Recognise, "loss", stops)
    assert signloom(*words)[0] == 130
    code, _, err = signloom(*words)
    assert code == 0, err
    for name in ("checkpoint/model.safetensors", "checkpoint/config.json", "history.json"):
        assert (tmp_path / "run" / name).read_bytes() == (runs / "distil" / name).read_bytes(), name


def test_a_teacher_on_another_split_or_that_names_no_signs_is_refused(runs, corpus, tmp_path, signloom):
    words = ("train", corpus.folder, *QUICK, "--recipe", "distil", "--out", tmp_path / "run")
    code, _, err = signloom(*words, "--teacher", runs / "pose", "--split", "random", "--set", *STUDENT)
    assert code == 1
    assert "was trained on another split" in err
    code, _, err = signloom(*words, "--teacher", tmp_path / "nobody", "--set", *STUDENT)
    assert code == 1
    assert "nobody" in err
