"""signloom: from footage of people signing to working software.

The verbs of the command line are in ``signloom --help``. For programs:

    import signloom
    recogniser = signloom.load("runs/mine")          # a recogniser, a fusion or a generator
    clip = signloom.read_clip("hello.mp4", recogniser)
    recogniser(clip).top(3)                          # [("HELLO", 0.93), …]
    session = recogniser.session()                   # or frame by frame: push(time_s, {"video": frame}), close()
    corpus = signloom.read_corpus("corpus/")         # records: who signs what, and where

Importing ``signloom`` loads nothing heavy; torch, PyAV and MediaPipe are imported by what needs them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from signloom.data.corpus import ClipRef
    from signloom.data.manifest import Manifest
    from signloom.training.task import Predictor

__version__ = "0.1.0"


def load(run: str | Path) -> Predictor:
    """What ``signloom train`` or ``evaluate --fuse --save`` left in the folder ``run``, ready to use.

    The object answers for a clip (``predictor(clip)``) and takes samples as they come (``predictor.session()``).
    Raises CheckpointError naming what is wrong with the folder.
    """
    return import_module("signloom.tasks").load_predictor(run)


def read_corpus(folder: str | Path) -> Manifest:
    """The corpus that ``signloom prepare`` left in ``folder``. Raises InputError."""
    return import_module("signloom.data.manifest").read_manifest(folder)


def read_clip(source: Any, predictor: Predictor, fps: float | None = None) -> ClipRef:
    """A clip that ``predictor`` can answer for: a video or ``.pose`` file, or arrays by stream.

    ``source`` is a path (prepared as in training) or a mapping such as ``{"video": frames}``, uint8 (T, H, W, 3), or
    ``{"frames": …}``, at ``fps`` frames per second (None: the usual rate of the clips that the predictor learnt from).
    Files say their rate themselves.
    """
    return import_module("signloom.pipelines.predict").read_clip(source, predictor, fps)
