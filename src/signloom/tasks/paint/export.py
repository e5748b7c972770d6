"""A generator as an ONNX file: for other runtimes, for phones and browsers, with its state going in and coming out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from signloom.tasks.paint.predict import GENERATED
from signloom.training.onnx_file import write_onnx
from signloom.transforms.pose_map import CHANNELS

if TYPE_CHECKING:
    from signloom.training.checkpoint import Checkpoint


def export_generator(checkpoint: Checkpoint, file: Path) -> dict[str, Any]:
    """Write ``checkpoint``'s generator as ``file`` (.onnx); see :func:`signloom.training.onnx_file.write_onnx`.

    Inputs: ``pose_map`` float (1, L, s, s) from 0 to 1, ``identity`` int64 (1,), and for a temporal generator ``first``
    float (1,), 1 for the first frame of a clip and else 0, and ``last`` (1, 3, s, s), the ``next`` of the frame before
    (any, where ``first`` is 1). Outputs: ``picture`` (1, 3, S, S) from 0 to 1, and ``next`` for a temporal generator.
    The metadata say how to use it and that its pictures are generated.
    """
    model, inputs = checkpoint.model.to("cpu").eval(), checkpoint.inputs
    about = {
        "size_px": inputs.size_px,
        "signers": inputs.signers,
        "temporal": _temporal(model),
        "channels": CHANNELS,
        "channel_levels": inputs.channel_levels,
        "rates": checkpoint.rates,
    }
    values = example_inputs(model)
    # Checked on a beginning and on going on.
    examples = [{n: np.full_like(v, first) if n == "first" else v for n, v in values.items()} for first in (1, 0)]
    outputs = ["picture", "next"] if _temporal(model) else ["picture"]
    metadata = {"signloom": json.dumps(about), **GENERATED}
    return write_onnx(_stateless(model), examples, outputs, file, metadata=metadata)


def example_inputs(model: Any, seed: int = 0) -> dict[str, np.ndarray]:
    """Random inputs of the right shapes for the exported form of ``model``, by name."""
    rng = np.random.default_rng(seed)
    size, n_channels = _inner(model).config.size_px, model.config.n_channels
    inputs: dict[str, np.ndarray] = {
        "pose_map": rng.random((1, n_channels, size, size), np.float32),
        "identity": np.zeros(1, np.int64),
    }
    if _temporal(model):
        inputs |= {"first": np.zeros(1, np.float32), "last": rng.random((1, 3, size, size), np.float32)}
    return inputs


def _stateless(model: Any) -> Any:
    """``model`` with its state as plain inputs and outputs."""
    import torch
    from torch import nn

    temporal = _temporal(model)

    class Stateless(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, pose_map, identity, first=None, last=None):
            if not temporal:
                return self.model(pose_map, None, identity)[0]
            # Before the first picture there was the empty background.
            before = torch.lerp(last, self.model.background[identity], first[:, None, None, None])
            return self.model(pose_map, before, identity)

    return Stateless().eval()


def _temporal(model: Any) -> bool:
    return bool(getattr(_inner(model).config, "temporal", False))


def _inner(model: Any) -> Any:
    """The generator itself, of an enlarged one."""
    return getattr(model, "generator", model)
