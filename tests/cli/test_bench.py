"""The bench measures everything it says it does; how fast things are is no business of a test."""

from __future__ import annotations

import json
import os

import pytest

from signloom.cli.main import main
from signloom.pipelines.bench import GROUPS


def test_folder_without_video_is_named(tmp_path, capsys):
    assert main(["bench", "--videos", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err


def test_a_group_that_there_is_not(capsys):
    assert main(["bench", "--only", "flows"]) == 2
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
    assert set(result["machine"]["abilities"]) == {"avx2", "avx512", "avx512_bf16", "amx"}
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

    result = measured(tmp_path, "start", "decode", "poses", "prepare", "train", "score")

    assert {(m["group"], m["unit"]) for m in result["measures"]} == {
        ("start", "s"),
        ("poses", "frames/s"),
        ("poses", "ms"),
        ("poses", "MB peak a process"),
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
    starts = {m["name"] for m in result["measures"] if m["group"] == "start"}
    assert starts == {"signloom --help", "signloom train --help", "import signloom", "bare Python"}
    printed = capsys.readouterr().out
    assert all(ability in printed for ability in result["machine"]["abilities"])
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
