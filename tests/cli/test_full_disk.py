"""Whole commands on a disk that fills: the machine's exit code, no traceback, what is done stays, and they go on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from signloom.runtime.locks import folder_lock

CORPUS = Path(__file__).parents[1] / "fixtures" / "v1"
POSE = ("schedule.batch_size=2", "schedule.precision=fp32", "model.width=8", "model.depth=1", "model.heads=2",
        "model.members=1", "inputs.n_frames=8")  # fmt: skip
TRAIN = ("train", CORPUS / "corpus", "--split", CORPUS / "splits" / "signer.json", "--epochs", 2, "--set", *POSE)
CROSSVAL = ("crossval", CORPUS / "corpus", "--seeds", 0, "--only", "signer01", "--epochs", 2, "--no-clips", "--set",
            *POSE)  # fmt: skip
AUGMENT = ("augment", CORPUS / "corpus", "--policy", "signing", "--streams", "pose", "--no-estimate", "--no-sheet",
           "--workers", 0)  # fmt: skip
GENERATE = ("generate", CORPUS / "trained" / "paint", CORPUS / "corpus")


def unfinished(folder):
    return [p for p in folder.rglob(".tmp-*") if not p.name.startswith(".tmp-once-")]


@pytest.mark.parametrize(
    ("words", "n_bytes", "last"),
    [
        (TRAIN, 1 << 12, "run.json"),  # the log is what does not fit
        (TRAIN, 1 << 15, "run.json"),  # the checkpoint
        (CROSSVAL, 1 << 16, "evaluation.json"),  # the state of the first fold
        (GENERATE, 1 << 14, "manifest.jsonl"),  # the second video
        (AUGMENT, 1 << 17, "manifest.jsonl"),  # a later pose
    ],
    ids=["train, log", "train", "crossval", "generate", "augment"],
)
def test_a_disk_that_fills_ends_the_command_and_the_same_one_goes_on(words, n_bytes, last, tiny_disk, signloom):
    disk = tiny_disk(n_bytes)
    out = disk.folder / "out"
    code, _, err = signloom(*words, "--out", out)
    assert code == 4, err
    assert err.count("error: ") == 1
    assert "cannot be written" in err
    assert str(disk.folder) in err
    assert "Traceback" not in err
    assert not (out / last).exists()
    assert not unfinished(out)
    disk.grow()
    code, _, err = signloom(*words, "--out", out)
    assert code == 0, err
    assert (out / last).exists()
    if words is GENERATE:
        assert len((out / last).read_text(encoding="utf-8").splitlines()) == 7
        assert (out / "failures.jsonl").read_text(encoding="utf-8") == ""
    if words is CROSSVAL:
        assert json.loads((out / last).read_text(encoding="utf-8"))["metrics"]["n_clips"] == 2


# --- two processes, one folder ---


def test_a_fold_that_another_process_trains_is_left_to_it(tmp_path, signloom):
    fold = tmp_path / "cv" / "signer01" / "seed0"
    with folder_lock(fold):
        code, _, err = signloom(*CROSSVAL, "--out", tmp_path / "cv")
    assert code == 2
    assert f"'{fold}' is being written by another signloom process" in err
    assert list(fold.iterdir()) == []


@pytest.mark.slow
def test_two_that_measure_into_one_folder_leave_one_whole_answer(tmp_path, start):
    words = ("evaluate", CORPUS / "trained" / "pose", CORPUS / "corpus", "--no-clips", "--out", tmp_path / "out")
    for one in [start(*words) for _ in range(2)]:
        code, _, err = one.finish()
        assert code == 0, err
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["evaluation-test.json", "report.html"]
    json.loads((tmp_path / "out" / "evaluation-test.json").read_text(encoding="utf-8"))
