"""The bench measures everything it says it does; how fast things are is no business of a test."""

from __future__ import annotations

import json
import os

import pytest

from signloom.bench import Measure
from signloom.cli import main


def test_median_and_spread():
    row = Measure("decode", "a", "frames/s", (4.0, 1.0, 2.0)).as_dict()
    assert (row["median"], row["min"], row["max"]) == (2.0, 1.0, 4.0)


def test_folder_without_video_is_named(tmp_path, capsys):
    assert main(["bench", "--videos", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err


@pytest.mark.slow
def test_quick_run_measures_every_group(tmp_path, capsys):
    figures, chart = tmp_path / "speed.json", tmp_path / "speed.png"
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None

    assert main(["bench", "--quick", "--json", str(figures), "--plot", str(chart)]) == 0

    result = json.loads(figures.read_text(encoding="utf-8"))
    assert result["kind"] == "bench"
    assert result["machine"]["cores"] >= 1
    assert result["machine"]["versions"]["mediapipe"]
    assert result["clips"]["n"] == 2
    rows = {(m["group"], m["unit"]): m for m in result["measures"]}
    assert set(rows) == {
        ("start", "s"),
        ("prepare", "frames/s"),
        ("prepare", "clips/s"),
        ("prepare", "MB peak a worker"),
        ("decode", "frames/s"),
        ("train", "ms a step"),
        ("score", "clips/s"),
    }
    assert all(0 < m["min"] <= m["median"] <= m["max"] for m in result["measures"])
    assert all(ratio > 0 for ratio in result["ratios"].values())
    assert any("one per core vs 1 worker" in name for name in result["ratios"])
    assert chart.stat().st_size > 1000
    printed = capsys.readouterr().out
    assert "plain loop" in printed
    assert "OpenCV" in printed
    if allowed is not None:  # measuring on one core must not leave this process on one core
        assert os.sched_getaffinity(0) == allowed
