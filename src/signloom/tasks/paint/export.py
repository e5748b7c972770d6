"""A painter as an ONNX file: for other runtimes, for phones and browsers, with its state going in and coming out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from signloom.errors import MissingExtraError, SignloomError
from signloom.runtime.atomic import atomic_write
from signloom.tasks.paint.run import GENERATED, Painter
from signloom.transforms.pose_map import LIMBS

TOLERANCE = 1e-4


def export_painter(painter: Painter, file: Path) -> Path:
    """Write ``painter`` as ``file`` (.onnx) and check it against PyTorch: at most 1e-4 apart.

    Inputs: ``limbs`` float (1, L, s, s) from 0 to 1, ``identity`` int64 (1,), and for a temporal painter ``first``
    float (1,), 1 for the first frame of a clip and else 0, and ``last`` (1, 3, s, s), the ``next`` of the frame before
    (any, where ``first`` is 1). Outputs: ``picture`` (1, 3, S, S) from 0 to 1, and ``next`` for a temporal painter. The
    metadata say how to use it and that its pictures are generated. Raises MissingExtraError without onnx, SignloomError
    when the file gives other pictures.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401 - torch.onnx needs it
    except ImportError as error:
        raise MissingExtraError(
            f"export needs onnx and onnxscript ({error}). Run: pip install 'signloom[export]'"
        ) from error
    import torch

    model = painter.model.to("cpu").eval()
    temporal = _temporal(model)
    exported = _stateless(model, temporal)
    inputs = example_inputs(model)
    names = list(inputs)
    program = torch.onnx.export(
        exported,
        tuple(torch.from_numpy(inputs[n]) for n in names),
        input_names=names,
        output_names=["picture", "next"] if temporal else ["picture"],
        dynamo=True,
        verbose=False,
        optimize=True,
    )
    assert program is not None
    about = {
        "signloom": json.dumps(
            {
                "size_px": painter.size_px,
                "signers": painter.inputs.signers,
                "temporal": temporal,
                "limbs": LIMBS,
                "limb_levels": painter.inputs.limb_levels,
            }
        ),
        **GENERATED,
    }
    proto = program.model_proto
    onnx.helper.set_model_props(proto, about)
    with atomic_write(file) as tmp:
        onnx.save(proto, str(tmp))
    _check(exported, names, inputs, file)
    return file


def _stateless(model: Any, temporal: bool) -> Any:
    """``model`` with its state as plain inputs and outputs."""
    import torch
    from torch import nn

    class Stateless(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, limbs, identity, first=None, last=None):
            if not temporal:
                return self.model(limbs, None, identity)[0]
            # Before the first picture there was the empty background.
            before = torch.lerp(last, self.model.background[identity], first[:, None, None, None])
            return self.model(limbs, before, identity)

    return Stateless().eval()


def _temporal(model: Any) -> bool:
    return bool(getattr(getattr(model, "painter", model).config, "temporal", False))


def open_session(file: Path, threads: int = 0) -> Any:
    """An ONNX Runtime session on the CPU with so many ``threads`` (0: its own choice)."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def example_inputs(model: Any, seed: int = 0) -> dict[str, np.ndarray]:
    """Random inputs of the right shapes for the exported form of ``model``, by name."""
    rng = np.random.default_rng(seed)
    size, n_limbs = getattr(model, "painter", model).config.size_px, model.config.n_limbs
    inputs = {
        "limbs": rng.random((1, n_limbs, size, size), np.float32),
        "identity": np.zeros(1, np.int64),
    }
    if _temporal(model):
        inputs |= {"first": np.zeros(1, np.float32), "last": rng.random((1, 3, size, size), np.float32)}
    return inputs


def _check(exported: Any, names: list[str], inputs: dict[str, np.ndarray], file: Path) -> None:
    """Compare with PyTorch where ONNX Runtime is installed, on a first frame and a later one."""
    import torch

    try:
        session = open_session(file)
    except ImportError:
        return
    for first in (1.0, 0.0):
        values = {n: np.full_like(v, first) if n == "first" else v for n, v in inputs.items()}
        with torch.inference_mode():
            wanted = exported(*(torch.from_numpy(values[n]) for n in names))
        wanted = wanted[0] if isinstance(wanted, tuple) else wanted
        taken = {i.name: values[i.name] for i in session.get_inputs()}
        apart = float(np.abs(wanted.numpy() - session.run(["picture"], taken)[0]).max())
        if not apart <= TOLERANCE:
            raise SignloomError(
                f"'{file}' gives pictures {apart:.2g} apart from PyTorch's (at most {TOLERANCE:g} wanted); do not use "
                "it, and report this with the versions of torch, onnx and onnxruntime"
            )
