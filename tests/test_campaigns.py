"""The two campaigns of scripts/, in short: changed inputs, and kills with what else disturbs a run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"


def run(script: str, *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, SCRIPTS / script, *words]
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=500, check=False)


@pytest.mark.slow
def test_changed_inputs_break_nothing_and_nothing_wrong_comes_out_in_silence(tmp_path):
    done = run("mutate", "--n", 40, "--seed", 5, "--json", tmp_path / "out.json")
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((tmp_path / "out.json").read_text())
    assert summary["inputs"] == 40
    assert summary["findings"] == []
    assert len(summary["kinds"]) >= 6  # of nine
    outcomes = summary["outcomes"]
    assert sum(outcomes.values()) == 40
    assert outcomes["right"] > 5  # an oracle that calls everything refused or noted would see nothing
    assert outcomes["refused"] > 5


def test_one_changed_input_is_the_same_each_time_and_its_files_are_kept(tmp_path):
    rows = []
    for folder in ("a", "b"):
        done = run("mutate", "--kinds", "table", "--only", 3, "--keep", tmp_path / folder)
        assert done.returncode == 0, done.stdout + done.stderr
        kept = tmp_path / folder / "input-00003"
        row = json.loads((kept / "row.json").read_text())
        table = next((kept / "in").glob("clips.*sv")).read_bytes()
        rows.append((row["base"], row["change"], row["outcome"], table))
    assert rows[0] == rows[1]


@pytest.mark.parametrize("key", ["streams", "inputs", "metrics", "parameters", "corpus"])
@pytest.mark.parametrize("value", [[], 7, "text", None])
def test_info_says_that_a_run_is_broken(tmp_path, signloom, key, value):
    """Found by changing inputs: what stands in a config may be of any kind."""
    config = {
        "format": "signloom-checkpoint",
        "version": 1,
        "architecture": "pose_transformer",
        "labels": ["a"],
        "inputs": {},
        "streams": {"pose": {}},
        "metrics": {},
        "corpus": {},
        "split": {},
        "recipe": {},
        "parameters": 1,
        "signloom": "0",
        "task": "recognise",
    }
    config[key] = value
    (tmp_path / "config.json").write_text(json.dumps(config))
    code, _, err = signloom("info", tmp_path)
    assert code in (0, 1), err
    assert code == 0 or "broken" in err


@pytest.mark.slow
def test_kills_two_at_once_and_a_full_disk_change_nothing(tmp_path):
    """Of shard alone: prepare and train are killed by tests of their own."""
    done = run("kill_test", "--kills", 5, "--only", "shard", "--json", tmp_path / "kills.json")
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((tmp_path / "kills.json").read_text())
    assert summary["kills"] >= 2
    assert summary["wrong"] == 0
    assert {row["number"] for row in summary["rows"]} >= {-1, 0}
