"""Training from shards of a prepared corpus: as from the corpus itself."""

from __future__ import annotations

import json

import pytest

from signloom.training.checkpoint import load_checkpoint

QUICK = ("--epochs", 1, "--batch-size", 8)


def test_poses_in_shards_train_a_network_for_the_corpus(pose_corpus, tmp_path, signloom):
    code, _, err = signloom("shard", pose_corpus, "--out", tmp_path / "shards", "--workers", 1)
    assert code == 0, err
    run = tmp_path / "run"
    code, out, err = signloom("train", tmp_path / "shards", "--out", run, *QUICK, "--json")
    assert code == 0, err
    checkpoint = load_checkpoint(run)
    assert json.loads(out)["train"] == checkpoint.split["train"] > 0
    code, out, err = signloom("evaluate", run, pose_corpus, "--json", "--no-clips")
    assert code == 0, err
    assert json.loads(out)["metrics"]["top1"]["value"] >= 0


@pytest.mark.slow
def test_a_prepared_corpus_in_shards_trains_video_recipes(corpus, tmp_path, signloom):
    shards = tmp_path / "shards"
    assert signloom("shard", corpus.folder, "--out", shards, "--shard-mb", 0.05, "--workers", 1)[0] == 0
    assert len(list(shards.glob("*.tar"))) > 3
    small = ("--set", "inputs.size_px=64", "inputs.resize_px=64", "inputs.n_frames=4")
    code, _, err = signloom("train", shards, "--recipe", "rgb-located", "--out", tmp_path / "run", *QUICK, *small)
    assert code == 0, err
    code, out, err = signloom("evaluate", tmp_path / "run", corpus.folder, "--json", "--no-clips")
    assert code == 0, err
    assert json.loads(out)["metrics"]["top1"]["value"] >= 0
