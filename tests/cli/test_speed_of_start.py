"""Starting is light: what may be slow is imported by what needs it. How fast that is, `signloom bench` measures."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from signloom.cli import main as cli

HEAVY = {
    *("numpy", "torch", "av", "cv2", "mediapipe", "scipy", "pose_format", "accelerate", "safetensors", "rich"),
    *("tensorboard", "matplotlib", "transformers", "onnx", "onnxruntime", "ray", "pyarrow", "multiprocessing"),
}


def loaded_by(code: str) -> set[str]:
    """All modules that a fresh Python has loaded after ``code``."""
    told = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    return set(json.loads(done.stderr.splitlines()[-1]))


def roots(modules: set[str]) -> set[str]:
    return {name.split(".")[0] for name in modules}


def test_importing_signloom_loads_the_front_door_alone():
    bare, ours = loaded_by(""), loaded_by("import signloom")
    assert not HEAVY & roots(ours)
    assert {name for name in ours - bare if name.startswith("signloom.")} <= {"signloom.errors"}
    assert roots(ours - bare) <= {"signloom", *sys.stdlib_module_names}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["bench", "--help"], ["doctor", "--help"]])
def test_help_loads_nothing_heavy(arguments):
    run = f"from signloom.cli import main\ntry:\n    main.main({arguments!r})\nexcept SystemExit:\n    pass"
    assert not HEAVY & roots(loaded_by(run))


def test_every_verb_is_loaded_only_when_it_runs():
    run = "from signloom.cli import main\ntry:\n    main.main(['--help'])\nexcept SystemExit:\n    pass"
    loaded = loaded_by(run)
    assert not {f"signloom.cli.{verb}" for verb in cli.VERBS} & loaded
    assert not {"signloom.tasks", "signloom.pipelines", "signloom.media"} & loaded
