"""The page's own steps (TypeScript), each against Python's: crops, regions, filters, joints, unknown signs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from signloom.streams.holistic.networks import HOLISTIC, NETWORKS, find_network

HERE = Path(__file__).parents[2]
WEB = HERE / "web"


def run_script(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(HERE / "scripts" / name), *arguments], capture_output=True, text=True, timeout=200
    )


def test_the_tables_of_the_page_are_pythons():
    done = run_script("make_web_tables", "--check")
    assert done.returncode == 0, f"run scripts/make_web_tables {done.stderr}"


@pytest.mark.slow
def test_every_step_of_the_page_is_pythons(node, tmp_path):
    for name in HOLISTIC:
        (tmp_path / NETWORKS[name].file_name).write_bytes(find_network(name)[1])
    fixtures = tmp_path / "fixtures.json"
    made = run_script("make_web_fixtures", "--out", str(fixtures))
    assert made.returncode == 0, made.stderr
    environment = {**os.environ, "SIGNLOOM_WEB_FIXTURES": str(fixtures), "SIGNLOOM_NETWORKS": str(tmp_path)}
    done = subprocess.run(
        [node, "node_modules/vitest/vitest.mjs", "run"],
        cwd=WEB,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout, done.stdout
