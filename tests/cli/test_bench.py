"""The bench measures everything it says it does; how fast things are is no business of a test."""

from __future__ import annotations

import json
import os

import pytest

from signloom.cli.bench import GROUPS
from signloom.cli.main import main
from signloom.pipelines.speed import Measure, ratio_of, timed


def test_median_and_spread():
    row = Measure("decode", "a", "frames/s", (4.0, 1.0, 2.0)).as_dict()
    assert (row["median"], row["min"], row["max"]) == (2.0, 1.0, 4.0)


def test_ratio_of_speeds_is_the_faster_by_the_slower():
    fast = Measure("decode", "fast", "frames/s", (40.0, 60.0, 50.0))
    slow = Measure("decode", "slow", "frames/s", (10.0, 10.0, 20.0))
    row = ratio_of("fast vs slow", fast, slow)
    assert row == {"name": "fast vs slow", "ratio": 5.0, "low": 2.5, "high": 6.0}  # rounds: 4, 6, 2.5


@pytest.mark.parametrize("unit", ["ms a step", "ms for 4 clips", "s"])
def test_ratio_of_times_is_the_slower_by_the_faster(unit):
    fast, slow = Measure("train", "fast", unit, (2.0, 4.0, 5.0)), Measure("train", "slow", unit, (8.0, 8.0, 20.0))
    assert ratio_of("r", fast, slow) == {"name": "r", "ratio": 2.0, "low": 2.0, "high": 4.0}  # rounds: 4, 2, 4
    back = ratio_of("r", slow, fast)
    assert (back["ratio"], back["low"], back["high"]) == (0.5, 0.25, 0.5)


def test_ratio_of_one_round_has_no_spread():
    row = ratio_of("r", Measure("a", "a", "clips/s", (3.0,)), Measure("a", "b", "clips/s", (2.0,)))
    assert row["ratio"] == row["low"] == row["high"] == 1.5


def test_timed_gives_seconds_and_the_value():
    seconds, value = timed(lambda: "done")
    assert value == "done"
    assert 0 <= seconds < 60


def test_folder_without_video_is_named(tmp_path, capsys):
    assert main(["bench", "--videos", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err


def test_a_group_that_there_is_not(capsys):
    with pytest.raises(SystemExit):
        main(["bench", "--only", "flows"])
    said = capsys.readouterr().err
    assert all(group in said for group in GROUPS)


def measured(tmp_path, *only):
    figures, chart = tmp_path / "speed.json", tmp_path / "speed.png"
    assert main(["bench", "--quick", "--only", *only, "--json", str(figures), "--plot", str(chart)]) == 0
    result = json.loads(figures.read_text(encoding="utf-8"))
    assert result["kind"] == "bench"
    assert result["quick"] is True
    assert result["machine"]["cores"] >= 1
    assert result["machine"]["versions"]["mediapipe"]
    assert result["clips"]["n"] == 2
    assert chart.stat().st_size > 1000
    for row in result["measures"]:
        assert 0 < row["min"] <= row["median"] <= row["max"], row
        assert row["values"], row
    for row in result["ratios"]:
        assert 0 < row["low"] <= row["ratio"] <= row["high"], row
    return result


@pytest.mark.slow
def test_quick_run_measures_what_is_done_with_poses(tmp_path, capsys):
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None

    result = measured(tmp_path, "start", "decode", "prepare", "train", "score")

    assert {(m["group"], m["unit"]) for m in result["measures"]} == {
        ("start", "s"),
        ("prepare", "frames/s"),
        ("prepare", "clips/s"),
        ("prepare", "MB peak a worker"),
        ("decode", "frames/s"),
        ("train", "ms a step"),
        ("score", "clips/s"),
    }
    names = [row["name"] for row in result["ratios"]]
    assert any("one per core vs 1 worker" in name for name in names)
    assert any("plain loop" in name for name in names)
    assert "decode: signloom vs OpenCV" in names
    assert "training step of pose: bf16 vs fp32" in names
    printed = capsys.readouterr().out
    assert "plain loop" in printed
    assert "OpenCV" in printed
    if allowed is not None:  # measuring on one core must not leave this process on one core
        assert os.sched_getaffinity(0) == allowed


@pytest.mark.slow
def test_quick_run_measures_what_is_done_with_video(tmp_path, capsys):
    result = measured(tmp_path, "flow", "pictures", "training", "loading")

    rows = {(m["group"], m["name"].partition(",")[0]): m for m in result["measures"]}
    assert {group for group, _ in rows} == {"flow", "pictures", "training", "using", "loading"}
    for name in ("dis-fast", "farneback-default", "tvl1-fast", "tvl1-default"):
        assert any(group == "flow" and row.startswith(name.removesuffix("-default")) for group, row in rows), name
    for group in ("training", "using"):
        assert {name for g, name in rows if g == group} == {
            f"{architecture} {way}" for architecture in ("i3d", "light3d") for way in ("plain fp32", "signloom")
        }
    ratios = {row["name"]: row for row in result["ratios"]}
    assert set(ratios) == {
        "flow: dis-fast vs tvl1-fast",
        "flow: dis-fast vs tvl1-default",
        "prepare frames and flow: signloom vs plain loop",
        *(f"{what} of {a}: signloom vs plain fp32" for a in ("i3d", "light3d") for what in ("training step", "use")),
    }
    assert ratios["flow: dis-fast vs tvl1-default"]["ratio"] > 3  # far more elsewhere; never the wrong way round
    printed = capsys.readouterr().out
    for name in ratios:
        assert name in printed
