"""Growing a corpus from the command line: augment, train on it, measure, merge, ablate."""

from __future__ import annotations

import json

import pytest

from signloom.cli.main import main
from signloom.data.manifest import read_manifest
from signloom.transforms.augment import read_policy

LIGHT = ("inputs.n_frames=4", "inputs.size_px=32", "inputs.resize_px=36", "model.widths=[8,8,8]", "model.blocks=[1,1]",
         "model.memory=8")  # fmt: skip


def said(capsys, *words):
    code = main([str(w) for w in words])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_corpus_is_grown_trained_on_and_measured_without_its_copies(moving_corpus, tmp_path, capsys):
    grown = tmp_path / "grown"
    words = ("augment", moving_corpus.root, "--policy", "geometry", "--streams", "frames", "--out", grown)
    code, out, err = said(capsys, *words, "--workers", 0, "--json")
    assert code == 0
    summary = json.loads(out)
    assert (summary["clips"], summary["copies"], summary["made_now"]) == (48, 24, 24)
    assert summary["estimate"]["clips"] == 24
    assert "24 copies to make of 24 clips: about" in err
    assert (grown / "sheet.png").exists()
    code, out, _ = said(capsys, *words, "--workers", 0, "--json")
    assert json.loads(out)["made_now"] == 0
    run = tmp_path / "run"
    code, out, err = said(
        capsys, "train", grown, "--recipe", "rgb", "--steps", 2, "--out", run, "--json", "--set", *LIGHT
    )
    assert code == 0, err
    trained = json.loads(out)
    corpus = read_manifest(grown)
    assert trained["train"] > sum(not r.augmented for r in corpus) / 2  # copies are learnt from
    code, out, err = said(capsys, "evaluate", run, grown, "--no-clips", "--json", "--out", tmp_path / "measured")
    assert code == 0, err
    measured = json.loads((tmp_path / "measured" / "evaluation-test.json").read_text(encoding="utf-8"))
    assert not [c["id"] for c in measured["clips"] if "geometry" in c["id"]]


def test_only_an_estimate_writes_nothing(moving_corpus, tmp_path, capsys):
    words = ("augment", moving_corpus.root, "--policy", "time", "--streams", "frames", "--out", tmp_path / "out")
    code, out, _ = said(capsys, *words, "--times", 3, "--estimate", "--json")
    assert code == 0
    expected = json.loads(out)
    assert (expected["clips"], expected["copies"]) == (24, 72)
    assert expected["nbytes"] > 0
    assert not (tmp_path / "out").exists()


def test_a_policy_is_shown_as_a_file_that_can_be_used(tmp_path, capsys):
    code, out, _ = said(capsys, "augment", "--policy", "signing", "--strength", "0.5", "--show")
    assert code == 0
    file = tmp_path / "half.toml"
    file.write_text(out, encoding="utf-8")
    steps = {s["do"]: s for s in read_policy(file).steps}
    assert steps["rotate"]["deg"] == 4.0


def test_policies_are_listed(capsys):
    with pytest.raises(SystemExit):
        main(["augment", "--policy", "help"])
    assert "lost-hand" in capsys.readouterr().out


def test_training_with_a_policy(moving_corpus, tmp_path, capsys):
    words = (
        "train",
        moving_corpus.root,
        "--recipe",
        "flow",
        "--policy",
        "affine",
        "--steps",
        1,
        "--out",
        tmp_path / "r",
    )
    code, _, err = said(capsys, *words, "--set", *LIGHT)
    assert code == 0, err
    config = json.loads((tmp_path / "r/checkpoint/config.json").read_text(encoding="utf-8"))
    assert config["recipe"]["augment"]["steps"] == [{"do": "affine"}]
    code, _, err = said(capsys, *words[:3], "imu", *words[4:8], "--out", tmp_path / "x")
    assert code == 2
    assert "takes no policy while training" in err


def test_corpora_are_merged(moving_corpus, tmp_path, capsys):
    grown = tmp_path / "grown"
    made = ("--policy", "time", "--streams", "frames", "--only-copies", "--no-sheet", "--no-estimate", "--workers", 0)
    said(capsys, "augment", moving_corpus.root, *made, "--out", grown)
    code, out, err = said(capsys, "merge", moving_corpus.root, grown, "--out", tmp_path / "both", "--json")
    assert code == 0, err
    summary = json.loads(out)
    assert summary["clips"] == 48
    assert any("stream 'flow' is only in" in note for note in summary["notes"])
    both = read_manifest(tmp_path / "both")
    assert all(r.parent in {p.id for p in both} for r in both if r.augmented)
