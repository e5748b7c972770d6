"""`doctor`, `prepare` and poses need neither PyTorch nor MediaPipe: only the networks out of its wheel."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from signloom import media
from signloom.errors import MissingExtraError
from signloom.streams.holistic.networks import HOLISTIC, NETWORKS, find_network

FIXTURES = Path(__file__).parents[1] / "fixtures" / "holistic"

WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "mediapipe", "jax", "accelerate", "tensorboard"):
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)

sys.meta_path.insert(0, Absent())
from signloom.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def without(*arguments, models):
    command = [sys.executable, "-c", WITHOUT, *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={"SIGNLOOM_MODELS": str(models), **_paths()}
    )


def _paths():
    import os

    kept = ("PATH", "PYTHONPATH", "HOME", "TMPDIR", "OMP_NUM_THREADS", "LD_LIBRARY_PATH")
    return {name: os.environ[name] for name in kept if name in os.environ}


@pytest.fixture
def clips(tmp_path):
    folder = tmp_path / "videos" / "SIGN"
    folder.mkdir(parents=True)
    frames = [frame for _, frame in media.iter_frames(FIXTURES / "one_hand.mp4")]
    media.write_video(folder / "take1.mp4", frames[:8], 30.0)
    return folder.parent


def test_poses_are_made_and_looked_at(tmp_path, clips):
    models = tmp_path / "models"
    models.mkdir()
    try:
        for name in HOLISTIC:
            (models / NETWORKS[name].file_name).write_bytes(find_network(name)[1])
    except MissingExtraError as error:
        pytest.fail(f"THE NETWORKS THAT FIND POSES ARE NOT HERE, so they are not tested: {error}")
    made = without("prepare", clips, "--out", tmp_path / "c", "--overlay", "--workers", 0, "--json", models=models)
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["clips"] == 1
    assert {path.parent.name for path in (tmp_path / "c").glob("*/*")} >= {"pose", "pose_view"}
    out = without("poses", tmp_path / "c", "--out", tmp_path / "t", "--as", "csv", "bvh", models=models)
    assert out.returncode == 0, out.stderr
    assert len(list((tmp_path / "t").iterdir())) == 2
    looked = without("doctor", clips, models=models)
    assert looked.returncode in (0, 3), looked.stderr


def test_without_the_networks_it_says_how_to_get_them(tmp_path, clips):
    made = without("prepare", clips, "--out", tmp_path / "c", "--workers", 0, models=tmp_path / "none")
    assert made.returncode != 0
    assert "pip download" in made.stderr
    assert "signloom models add" in made.stderr
