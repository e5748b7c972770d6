"""Killed at several moments, `signloom train` ends with the very weights and figures of an undisturbed run."""

from __future__ import annotations

import json
import shutil
import time

import pytest

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
SAME = ("checkpoint/model.safetensors", "checkpoint/config.json", "history.json", "split.json")


def figures(run) -> dict:
    kept = json.loads((run / "run.json").read_text())
    assert kept.pop("seconds") > 0
    return kept


@pytest.mark.slow
@pytest.mark.parametrize("what", ["recogniser", "painter"])
def test_killed_anywhere_it_ends_the_same(what, pose_corpus, painting_corpus, tmp_path, start):
    def command(run):
        if what == "recogniser":
            return ("train", pose_corpus, "--out", run, "--epochs", 12, "--batch-size", 4, "--seed", 3)
        settings = ("--set", "inputs.size_px=64", "model.widths=[8,8,8,8]", "losses.discriminators_from=0.2")
        return (
            "train",
            painting_corpus.root,
            "--recipe",
            "paint",
            "--out",
            run,
            "--steps",
            60,
            "--batch-size",
            2,
            "--precision",
            "fp32",
            "--seed",
            3,
            *settings,
        )

    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    code, _, err = start(*command(undisturbed), code=CODE).finish()
    assert code == 0, err
    deaths = 0
    for moments in (1, 12, 8):  # it dies after so many states were written, and goes on from the last
        process = start(*command(killed), code=CODE)
        state, last, seen = killed / "state.pt", None, 0
        while process.running() and seen < moments:
            now = state.stat().st_mtime_ns if state.exists() else None
            seen, last = seen + (now != last), now
            time.sleep(0.002)
        deaths += process.running()
        process.kill()
        assert not (killed / "run.json").exists()
    assert deaths == 3
    (killed / ".tmp-left0123.pt").write_text("what a kill in mid-write leaves")
    code, _, err = start(*command(killed), code=CODE).finish()
    assert code == 0, err
    assert figures(killed) == figures(undisturbed)
    for name in SAME:
        assert (killed / name).read_bytes() == (undisturbed / name).read_bytes(), name
    assert not (killed / "state.pt").exists()
    assert not list(killed.rglob(".tmp-*"))


def test_killed_between_the_checkpoint_and_the_end_it_ends_the_same(pose_corpus, tmp_path, signloom):
    run = tmp_path / "run"
    command = ("train", pose_corpus, "--out", run, "--epochs", 2, "--batch-size", 8)
    assert signloom(*command)[0] == 0
    whole = shutil.copytree(run, tmp_path / "whole")
    for gone in ("run.json", "history.json"):
        (run / gone).unlink()
    (run / "checkpoint" / "config.json").unlink()  # the config is written after the weights
    code, _, err = signloom("predict", run, pose_corpus)
    assert code == 1
    assert "run the same command again to go on" in err
    assert signloom(*command)[0] == 0
    assert figures(run) == figures(whole)
    for name in SAME:
        assert (run / name).read_bytes() == (whole / name).read_bytes(), name


def test_no_run_is_whole_before_its_preview(painting_corpus, tmp_path, monkeypatch, signloom):
    from signloom.tasks.paint import task

    length = ("--steps", 2, "--batch-size", 2, "--set", "inputs.size_px=64", "model.widths=[8,8,8,8]")
    words = ("train", painting_corpus.root, "--recipe", "paint", "--out", tmp_path / "run", *length)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(task, "write_preview", killed)
        assert signloom(*words)[0] == 130
    assert not (tmp_path / "run" / "run.json").exists()
    assert signloom(*words)[0] == 0
    assert (tmp_path / "run" / "run.json").exists()
    assert (tmp_path / "run" / "preview.mp4").exists()
