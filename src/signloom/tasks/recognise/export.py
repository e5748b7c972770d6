"""A recogniser as an ONNX file: what it is given of one view of a clip, its logits, and how that view is made."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from signloom.errors import InputError
from signloom.training.checkpoint import Checkpoint
from signloom.training.onnx_file import write_onnx


def export_recogniser(checkpoint: Checkpoint, file: Path) -> dict[str, Any]:
    """Write ``checkpoint``'s network as ``file`` (.onnx); see :func:`signloom.training.onnx_file.write_onnx`.

    Inputs: of a pose model ``pose`` (1, T, J, 2) in body units, ``present`` (1, T, J) and ``mask`` (1, T); of a video
    model the stream's name, (1, C, T, H, W). Output: ``logits`` (1, K). The metadata ``signloom`` hold labels,
    temperature, streams, inputs and the frame rates of the training clips as JSON.
    """
    if checkpoint.taught:
        raise InputError(
            f"a model that was taught signs ({', '.join(checkpoint.taught)}) cannot be exported: its network does not "
            "know them. Export the run that it was taught from, or train on these signs and export that"
        )
    model = checkpoint.model.to("cpu").eval()
    about = {
        "task": checkpoint.task,
        "labels": checkpoint.labels,
        "temperature": checkpoint.temperature,
        "streams": checkpoint.streams,
        "inputs": asdict(checkpoint.inputs),
        "rates": checkpoint.rates,
    }
    examples = [_example(checkpoint, seed) for seed in (0, 1)]
    return write_onnx(model, examples, ["logits"], file, metadata={"signloom": json.dumps(about, ensure_ascii=False)})


def _example(checkpoint: Checkpoint, seed: int) -> dict[str, np.ndarray]:
    """Random inputs of the right shapes, by name."""
    rng = np.random.default_rng(seed)
    inputs, model, stream = checkpoint.inputs, checkpoint.model, next(iter(checkpoint.streams))
    if model.takes == "pose":
        t, j = inputs.n_frames, len(model.config.parents)
        return {
            "pose": rng.normal(0, 1, (1, t, j, 2)).astype(np.float32),
            "present": rng.random((1, t, j)) > 0.1,
            "mask": np.ones((1, t), bool),
        }
    if model.takes != "video":
        raise InputError(f"a '{checkpoint.architecture}' takes {model.takes}, which export does not know; use predict")
    size, wide = inputs.size_px, inputs.size_px + inputs.hands_px
    channels = getattr(model.config, "channels", None) or dict(model.config.base_model).get("channels", 3)
    shape = (1, channels, inputs.n_frames, size, wide)
    return {stream: rng.uniform(-1, 1, shape).astype(np.float32)}
