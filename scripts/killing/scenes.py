"""The commands that are killed, small enough for many deaths, and the inputs that they are given."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PATTERN = "{signer}/{label}/{take}.*"

# Read by every Python that is started, workers included: another clock, and states after every step of a training.
SITE = """
import os, sys, time
shift = float(os.environ.get("KILL_TEST_CLOCK_S", "0"))
if shift:
    now, now_ns, steady = time.time, time.time_ns, time.monotonic
    time.time = lambda: now() + shift
    time.time_ns = lambda: now_ns() + int(shift * 1e9)
    time.monotonic = lambda: steady() + abs(shift)
if os.environ.get("KILL_TEST_SAVE_ALWAYS"):
    import importlib.abc
    class Saver(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path, target=None):
            if name != "signloom.training.trainer":
                return None
            sys.meta_path.remove(self)
            spec = importlib.util.find_spec(name)
            run = spec.loader.exec_module
            def exec_module(module):
                run(module)
                module.SAVE_EVERY_S, module.SAVING_SHARE = 0.0, 1.0
            spec.loader.exec_module = exec_module
            return spec
    import importlib.util
    sys.meta_path.insert(0, Saver())
"""


@dataclass(frozen=True)
class Scene:
    """A command that writes a folder, ``words(out)`` for signloom.

    ``whole`` is the file that says that all is there; files that match ``left_out`` are not compared; with ``final``
    every other file must be the last one as soon as it has its name. ``weight``: how often it is drawn.
    """

    name: str
    words: Callable[[Path], list]
    inputs: Path
    whole: str
    left_out: tuple[str, ...]
    final: bool
    weight: int


def make_scenes(scratch: Path, videos: Path | None, pattern: str, only: list[str] | None) -> list[Scene]:
    """All scenes (or those named), with inputs made below ``scratch``; ``videos`` take the place of made footage."""
    site = scratch / "site"
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text(SITE)
    made = Inputs(scratch / "inputs")
    all_of_them: dict[str, Callable[[], Scene]] = {
        "prepare": lambda: _prepare(made, videos, pattern),
        "poses": lambda: _poses(made, videos, pattern),
        "train": lambda: _train(made),
        "generator": lambda: _generator(made),
        "crossval": lambda: _crossval(made),
        "shard": lambda: _shard(made),
    }
    unknown = sorted(set(only or ()) - set(all_of_them))
    if unknown:
        sys.exit(f"--only: there is no {', '.join(unknown)}; there is {', '.join(all_of_them)}")
    return [make() for name, make in all_of_them.items() if not only or name in only]


def environment(site: Path, clock_s: float = 0.0) -> dict[str, str]:
    """For a signloom that is to be killed: one thread, this tree, a state after every step, and the clock's shift."""
    path = os.pathsep.join([str(site), str(REPOSITORY / "src")])
    return {
        **os.environ,
        "PYTHONPATH": path,
        "OMP_NUM_THREADS": "1",
        "KILL_TEST_SAVE_ALWAYS": "1",
        "KILL_TEST_CLOCK_S": str(clock_s),
    }


class Inputs:
    """Footage and corpora, each made when it is first asked for."""

    def __init__(self, folder: Path):
        self.folder = folder

    def _made(self, name: str, make: Callable[[Path], object]) -> Path:
        path = self.folder / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            make(path)
        return path

    def footage(self) -> Path:
        """Eight clips of 12 frames, 2 signers × 4 signs."""

        def film(path: Path) -> None:
            words = ("--signs", 4, "--signers", 2, "--takes", 1, "--size", "160x120", "--fps", 8, "--seed", 1)
            signloom("synth", path.parent / "synth", *words)
            (path.parent / "synth" / "videos").rename(path)

        return self._made("footage", film)

    def pose_corpus(self) -> Path:
        """24 exact poses, 4 signers × 3 signs × 2 takes."""

        def pose(path: Path) -> None:
            from signloom import media
            from signloom.synthetic.corpus import Settings, make_takes

            source = path.parent / "poses"
            for take in make_takes(3, 4, 2, 1, Settings(size_px=(160, 120), fps=6)):
                media.write_pose(source / take.signer.name / take.sign.name / f"{take.take}.pose", take.pose())
            signloom("prepare", source, "--pattern", PATTERN, "--out", path)

        return self._made("pose-corpus", pose)

    def frames_corpus(self) -> Path:
        """``footage`` with frames and flow."""
        footage = self.footage()
        words = ("--streams", "frames", "flow", "--shorter-px", 64)
        return self._made(
            "frames-corpus", lambda path: signloom("prepare", footage, "--pattern", PATTERN, "--out", path, *words)
        )

    def painting_corpus(self) -> Path:
        """Twenty pairs of a stick figure and a picture of 64 px."""
        return self._made("painting-corpus", _paint_pairs)


def signloom(*words: object) -> None:
    """Run a command that must work."""
    done = subprocess.run(
        [sys.executable, "-m", "signloom", *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "src"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"signloom {' '.join(map(str, words))} ended with exit code {done.returncode}:\n{done.stderr}")


def _paint_pairs(path: Path) -> None:
    import cv2
    import numpy as np

    from signloom.data.skeleton import joints_of
    from signloom.media import write_picture
    from signloom.synthetic.corpus import Settings, make_takes
    from signloom.transforms.pose_map import draw_pose_map, stick_figure

    pairs = path.parent / "pairs"
    take = next(iter(make_takes(1, 1, 1, 1, Settings(size_px=(128, 128), fps=60))))
    joints = joints_of(take.pose())
    for t in range(min(20, len(joints.xy_TJC))):
        pose_map = draw_pose_map(joints, t, np.eye(3), 128)
        skin = cv2.dilate(pose_map.max(-1), np.ones((3, 3), np.uint8))[..., None] / 255
        picture = (120 + 90 * skin * np.array([1.0, 0.4, 0.1])).round().astype(np.uint8)
        write_picture(pairs / "signer" / f"{t + 1}.png", picture)
        write_picture(pairs / "skeleton" / f"{t + 1}.png", stick_figure(pose_map))
    signloom("prepare", pairs, "--source", "pairs", "--out", path, "--option", "size=64", "--option", "crop=none")


# --- the scenes ---------------------------------------------------------------------------------------------------


def _prepare(made: Inputs, videos: Path | None, pattern: str) -> Scene:
    footage = videos or made.footage()

    def words(out: Path) -> list:
        how = ("--streams", "frames", "flow", "--shorter-px", 64, "--workers", 2)
        return ["prepare", footage, "--pattern", pattern, "--out", out, *how]

    return Scene("prepare", words, footage, "manifest.jsonl", ("journal.jsonl",), True, 5)


def _poses(made: Inputs, videos: Path | None, pattern: str) -> Scene:
    footage = videos or made.footage()

    def words(out: Path) -> list:
        return ["prepare", footage, "--pattern", pattern, "--out", out, "--streams", "pose", "--workers", 2]

    return Scene("poses", words, footage, "manifest.jsonl", ("journal.jsonl",), True, 1)


# run.json holds the seconds that a run took, and is compared without them.
_TRAINED = ("log", "state.pt")


def _train(made: Inputs) -> Scene:
    corpus = made.pose_corpus()

    def words(out: Path) -> list:
        return ["train", corpus, "--out", out, "--epochs", 6, "--batch-size", 6, "--seed", 3]

    return Scene("train", words, corpus, "run.json", _TRAINED, False, 4)


def _generator(made: Inputs) -> Scene:
    corpus = made.painting_corpus()
    size = ("--set", "inputs.size_px=64", "model.widths=[8,8,8,8]", "losses.discriminators_from=0.2")

    def words(out: Path) -> list:
        how = ("--steps", 24, "--batch-size", 2, "--precision", "fp32", "--seed", 3)
        return ["train", corpus, "--recipe", "paint", "--out", out, *how, *size]

    return Scene("generator", words, corpus, "run.json", _TRAINED, False, 4)


def _crossval(made: Inputs) -> Scene:
    corpus = made.pose_corpus()

    def words(out: Path) -> list:
        how = ("--folds", "k-fold", "--k", 2, "--seeds", 0, "--epochs", 3)
        return ["crossval", corpus, "--out", out, *how]

    return Scene("crossval", words, corpus, "report.html", _TRAINED, False, 3)


def _shard(made: Inputs) -> Scene:
    corpus = made.frames_corpus()

    def words(out: Path) -> list:
        how = ("--split", "random", "--shard-mb", 0.03, "--workers", 2)
        return ["shard", corpus, "--out", out, *how]

    return Scene("shard", words, corpus, "shards.json", ("journal.jsonl",), True, 3)
