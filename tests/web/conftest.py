"""The page, served and driven in a headless browser, and Python's answers about the same clips."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

HERE = Path(__file__).parents[2]
WEB = HERE / "web"
LONGEST_S = 240
PAGE = HERE / "src" / "signloom" / "apps" / "web"


def tool(*names: str) -> str:
    """The program of the first of these names; skips the test loudly, and fails where CI runs, without any."""
    for name in names:
        if (found := shutil.which(name)) is not None:
            return found
    absent(f"{names[0]} is not installed (scripts/browser_tools installs it)")


def absent(why: str) -> Any:
    why = f"THE PAGE IS NOT TESTED: {why}"
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture(scope="session")
def node() -> str:
    found = tool("node")
    if not (WEB / "node_modules").is_dir():
        absent("web/node_modules is not there; run: make web")
    return found


@pytest.fixture(scope="session")
def page() -> Path:
    if not (PAGE / "index.html").exists():
        absent("the page is not built; run: make web")
    return PAGE


@dataclass
class Seen:
    """What the page said of a clip."""

    told: dict[str, Any]

    @property
    def answer(self) -> dict[str, Any]:
        assert self.told["failed"] is None, self.told["failed"]
        return self.told["answer"]

    @property
    def points(self) -> np.ndarray:
        """float32 (T, 545, 4)."""
        rows = [np.frombuffer(base64.b64decode(pose["rows"]), np.float32) for pose in self.told["poses"]]
        return np.stack(rows).reshape(len(rows), -1, 4)

    @property
    def times_s(self) -> list[float]:
        return [pose["timeS"] for pose in self.told["poses"]]


@dataclass
class Driven:
    """What came of driving the page."""

    out: dict[str, Any]

    @property
    def clips(self) -> list[Seen]:
        return [Seen(clip) for clip in self.out["clips"]]


@dataclass(frozen=True)
class Browser:
    """Drives a page through steps; see web/test/browser/drive.mjs."""

    node: str
    chromium: str
    scratch: Path

    def drive(self, url: str, steps: Sequence[dict[str, Any]], **more: Any) -> Driven:
        """Twice at most: a browser on a crowded machine has been seen to spin for ever, doing nothing."""
        job, out = self.scratch / "job.json", self.scratch / "out.json"
        job.write_text(json.dumps({"url": url, "chromium": self.chromium, "steps": list(steps), **more}))
        out.unlink(missing_ok=True)
        command = [self.node, str(WEB / "test" / "browser" / "drive.mjs"), str(job), str(out)]
        for last in (False, True):
            driver = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
            )
            try:
                _, err = driver.communicate(timeout=LONGEST_S)
                break
            except subprocess.TimeoutExpired:
                os.killpg(driver.pid, signal.SIGKILL)  # the browser with it
                driver.communicate()
                assert not last, f"the page did not come to its end within {LONGEST_S} s, twice"
        assert out.exists(), err
        told = json.loads(out.read_text())
        assert driver.returncode == 0, (told["errors"], told.get("status"))
        return Driven(told)


@pytest.fixture
def browser(node: str, page: Path, tmp_path: Path) -> Browser:
    return Browser(node, tool("chromium", "google-chrome"), tmp_path)


# --- a model, served ------------------------------------------------------------------------------------------------


def random_recogniser(folder: Path, n_signs: int = 5, seed: int = 3) -> Path:
    """A pose recogniser whose weights are chance: it knows nothing, and answers all the same, here and in the page."""
    import torch

    from signloom.models import build
    from signloom.streams.pose import PoseStream
    from signloom.tasks.recognise.prototypes import fit_prototypes
    from signloom.tasks.recognise.recipes import RECIPES
    from signloom.training.checkpoint import Checkpoint, save_checkpoint

    recipe = RECIPES["pose"]()
    torch.manual_seed(seed)
    fields = {**recipe.inputs.model_fields(("pose",)), "n_classes": n_signs, "n_frames": recipe.inputs.n_frames}
    model = build("pose_transformer", fields).eval()
    n = 6 * n_signs
    t, j = recipe.inputs.n_frames, len(model.config.parents)
    with torch.inference_mode():
        seen = model.features(torch.randn(n, t, j, 2), torch.rand(n, t, j) > 0.2, torch.ones(n, t, dtype=torch.bool))
    space = fit_prototypes(seen.numpy(), np.arange(n) % n_signs, n_signs)
    checkpoint = Checkpoint(
        "recognise",
        "pose_transformer",
        model,
        tuple(f"SIGN-{k}" for k in range(n_signs)),
        recipe.inputs,
        streams={"pose": PoseStream().fingerprint()},
        temperature=0.2,  # so that the answers differ
        corpus={"rates": {"30.0": n}},
        prototypes=space.as_arrays(),
        open_set={"figure": "prototypes", "threshold": 5.0, "slope": 0.05, "heat": 4.0},
    )
    return save_checkpoint(checkpoint, folder)


@pytest.fixture(scope="session")
def recogniser(tmp_path_factory) -> Path:
    return random_recogniser(tmp_path_factory.mktemp("model") / "chance")
