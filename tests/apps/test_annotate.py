"""Annotating recordings: what is there of the same model stays, what is another's is not taken for it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from signloom import media
from signloom.cli import main as cli
from signloom.data.annotations import SIGNS_TIER, Annotation


@pytest.fixture
def annotated(tmp_path, monkeypatch, capsys):
    """A function that annotates a video by a made-up model: exit code, rows, and how often a model was asked."""
    with media.open_video_writer(tmp_path / "hour.mp4", 10.0) as add:
        for _ in range(4):
            add(np.zeros((32, 32, 3), np.uint8))
    runs = []

    def found(predictor, video, segmenter=None):
        runs.append(predictor)
        return [Annotation(0, 300, predictor, SIGNS_TIER, 0.9, None)]

    monkeypatch.setattr("signloom.tasks.load_predictor", str)
    monkeypatch.setattr("signloom.apps.live.check_names_video", lambda *_: None)
    monkeypatch.setattr("signloom.pipelines.predict.identity_of", lambda predictor: predictor)
    monkeypatch.setattr("signloom.apps.annotate.annotate", found)

    def run(model, *more):
        code = cli.main(
            ["annotate", model, str(tmp_path / "hour.mp4"), "--out", str(tmp_path / "out"), "--json", *more]
        )
        return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()], len(runs)

    return run


def test_what_is_there_is_done_again_for_another_model_only_when_asked(annotated, tmp_path):
    out = tmp_path / "out"
    assert annotated("one")[::2] == (0, 1)
    assert annotated("one") == (0, [], 1)
    (out / "hour.vtt").unlink()  # as a kill leaves it
    assert annotated("one")[::2] == (0, 2)
    assert (out / "hour.vtt").exists()
    code, (row,), n = annotated("two")
    assert (code, row["reason"], n) == (1, "other-model", 2)
    assert "one" in (out / "hour.csv").read_text()
    assert annotated("two", "--again")[::2] == (0, 3)
    assert "two" in (out / "hour.csv").read_text()
    (out / "journal.jsonl").unlink()  # somebody's own files of that name
    assert annotated("two")[1][0]["reason"] == "other-model"


def test_without_a_segmenter_it_says_that_signs_are_parted_by_a_rule(annotated, tmp_path, capsys):
    cli.main(["annotate", "one", str(tmp_path / "hour.mp4"), "--out", str(tmp_path / "out")])
    assert "by a rule" in capsys.readouterr().err
