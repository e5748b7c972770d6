"""A segmenter as an ONNX file: features of one frame and the state before it in, what it says and the state out."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from signloom.tasks.segment.decode import CLASSES
from signloom.training.checkpoint import Checkpoint
from signloom.training.onnx_file import write_onnx


def export_segmenter(checkpoint: Checkpoint, file: Path) -> dict[str, Any]:
    """Write ``checkpoint``'s network as ``file`` (.onnx); see :func:`signloom.training.onnx_file.write_onnx`.

    Inputs: ``motion`` (1, 1, F), see :class:`signloom.transforms.motion_input.MotionInput`, and ``state`` (L, 1, H),
    zeros before the first frame. Outputs: ``logits`` (1, 1, 3) of outside, begin and inside, and ``state_after``. The
    metadata ``signloom`` hold classes, thresholds, streams and inputs as JSON.
    """
    model = checkpoint.model.to("cpu").eval()
    config = model.config
    about = {
        "task": checkpoint.task,
        "classes": CLASSES,
        "thresholds": checkpoint.thresholds,
        "streams": checkpoint.streams,
        "inputs": asdict(checkpoint.inputs),
        "rates": checkpoint.rates,
    }
    examples = []
    for seed in (0, 1):
        rng = np.random.default_rng(seed)
        motion = rng.normal(0, 1, (1, 1, config.n_features)).astype(np.float32)
        state = rng.normal(0, 0.5, (config.layers, 1, config.hidden)).astype(np.float32)
        examples.append({"motion": motion, "state": state})
    metadata = {"signloom": json.dumps(about, ensure_ascii=False)}
    return write_onnx(model, examples, ["logits", "state_after"], file, metadata=metadata)
