"""A network as an ONNX file, checked against PyTorch before it gets its name."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from signloom.errors import MissingExtraError, SignloomError
from signloom.runtime.atomic import atomic_write

TOLERANCE = 1e-4


def write_onnx(
    module: Any,
    examples: Sequence[Mapping[str, np.ndarray]],
    outputs: Sequence[str],
    file: Path,
    *,
    metadata: Mapping[str, str],
    tolerance: float = TOLERANCE,
) -> dict[str, Any]:
    """Write ``module`` (in eval mode, on the CPU) as ``file`` and give the names and shapes of what goes in and out.

    ``examples`` are inputs by name, in the order of ``module.forward``'s arguments; the file has the shapes of the
    first, and must give on each the first of ``outputs`` within ``tolerance`` of PyTorch's. Raises MissingExtraError
    without onnx, SignloomError for a file that gives other values; ``file`` is then not written.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401 - torch.onnx needs it
    except ImportError as error:
        raise MissingExtraError(
            f"export needs onnx and onnxscript ({error}). Run: pip install 'signloom[export]'"
        ) from error
    import torch

    names = list(examples[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # about torch's own parts
        warnings.filterwarnings("ignore", "The tensor attributes .* were assigned during export", UserWarning)  # GRUs
        program = torch.onnx.export(
            module,
            tuple(torch.from_numpy(examples[0][n]) for n in names),
            input_names=names,
            output_names=list(outputs),
            dynamo=True,
            verbose=False,
            optimize=True,
        )
    assert program is not None
    proto = program.model_proto
    _forget_traces(proto)
    onnx.helper.set_model_props(proto, dict(metadata))
    with atomic_write(file) as tmp:
        onnx.save(proto, str(tmp))
        about = _check(module, names, examples, outputs[0], tmp, file, tolerance)
        about["bytes"] = tmp.stat().st_size
    return {"file": str(file), **about}


def _forget_traces(proto: Any) -> None:
    """Leave out where in whose file system each operation was traced: nobody's business, and other bytes elsewhere."""
    graph = proto.graph
    parts = [graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer, *proto.functions]
    parts += [node for function in proto.functions for node in function.node]
    for part in parts:
        if hasattr(part, "metadata_props"):
            del part.metadata_props[:]
        if getattr(part, "doc_string", ""):
            part.doc_string = ""


def open_session(file: Path, threads: int = 0) -> Any:
    """An ONNX Runtime session on the CPU with so many ``threads`` (0: its own choice)."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def _check(
    module: Any,
    names: Sequence[str],
    examples: Sequence[Mapping[str, np.ndarray]],
    output: str,
    written: Path,
    file: Path,
    tolerance: float,
) -> dict[str, Any]:
    """Compare with PyTorch; needs ONNX Runtime, since a file that nobody ran is not to be trusted."""
    import torch

    try:
        session = open_session(written)
    except ImportError as error:
        raise MissingExtraError(
            f"export checks its file with onnxruntime ({error}). Run: pip install 'signloom[export]'"
        ) from error
    for values in examples:
        with torch.inference_mode():
            wanted = module(*(torch.from_numpy(values[n]) for n in names))
        wanted = wanted[0] if isinstance(wanted, tuple) else wanted
        taken = {i.name: values[i.name] for i in session.get_inputs()}
        apart = float(np.abs(wanted.numpy() - session.run([output], taken)[0]).max())
        if not apart <= tolerance:
            raise SignloomError(
                f"'{file}' would give values {apart:.2g} apart from PyTorch's (at most {tolerance:g} wanted), so it "
                "was not written; report this with the versions of torch, onnx and onnxruntime"
            )
    return {
        "inputs": {i.name: i.shape for i in session.get_inputs()},
        "outputs": {o.name: o.shape for o in session.get_outputs()},
    }
