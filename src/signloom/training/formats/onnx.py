"""A network as an ONNX file, for ONNX Runtime and all that reads its format."""

from __future__ import annotations

import json
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from signloom.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from signloom.training.export import Exported

SUFFIX = ".onnx"
FOLDER = False
PRECISIONS = ("fp32", "fp16", "int8")
INSTALL = "pip install 'signloom[export]'"


def write(exported: Exported, file: Path, precision: str, calibration: Iterable[Mapping[str, np.ndarray]]) -> None:
    """Write ``exported`` as ``file``. The metadata ``signloom`` hold what :attr:`Exported.about` has, as JSON.

    "fp16" keeps weights in 16 bits and computes in them; inputs and outputs stay as they are. "int8" quantises matrix
    products and convolutions by what ``calibration`` makes them see.
    """
    import onnx

    proto = graph_of(exported, precision, calibration)
    about = {"signloom": json.dumps(dict(exported.about), ensure_ascii=False), **exported.metadata}
    onnx.helper.set_model_props(proto, about)
    onnx.save(proto, str(file))


def graph_of(exported: Exported, precision: str = "fp32", calibration: Iterable[Mapping[str, np.ndarray]] = ()) -> Any:
    """The network of ``exported`` as an ``onnx.ModelProto`` without metadata."""
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401 - torch.onnx needs it
    except ImportError as error:
        raise MissingExtraError(f"export needs onnx and onnxscript ({error}). Run: {INSTALL}") from error
    import torch

    first = exported.examples[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # about torch's own parts
        warnings.filterwarnings("ignore", "The tensor attributes .* were assigned during export", UserWarning)  # GRUs
        program = torch.onnx.export(
            exported.module,
            tuple(torch.from_numpy(value) for value in first.values()),
            input_names=list(first),
            output_names=list(exported.outputs),
            dynamo=True,
            verbose=False,
            optimize=True,
        )
    assert program is not None
    proto = program.model_proto
    _forget_traces(proto)
    if precision == "fp16":
        return _in_16_bits(proto)
    return _in_8_bits(proto, calibration) if precision == "int8" else proto


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


def _in_16_bits(proto: Any) -> Any:
    try:
        from onnxruntime.transformers.float16 import convert_float_to_float16
    except ImportError as error:
        raise MissingExtraError(f"16 bits need onnxruntime ({error}). Run: {INSTALL}") from error
    return convert_float_to_float16(proto, keep_io_types=True)


QUANTISED = ("MatMul", "Gemm", "Conv")
"""The operations that are done in 8 bits: where the time goes."""


def _in_8_bits(proto: Any, calibration: Iterable[Mapping[str, np.ndarray]]) -> Any:
    import onnx

    try:
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise MissingExtraError(f"8 bits need onnxruntime ({error}). Run: {INSTALL}") from error
    names = {i.name for i in proto.graph.input}
    values = iter([{n: v for n, v in clip.items() if n in names} for clip in calibration])

    class Reader(CalibrationDataReader):
        def get_next(self) -> Any:
            return next(values, None)

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # it counts what it leaves in 32 bits
    try:
        with tempfile.TemporaryDirectory(prefix="signloom-") as scratch:
            whole, ready, done = (Path(scratch) / name for name in ("whole.onnx", "ready.onnx", "done.onnx"))
            onnx.save(proto, str(whole))
            quant_pre_process(str(whole), str(ready), skip_symbolic_shape=True)
            quantize_static(
                str(ready),
                str(done),
                Reader(),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(QUANTISED),
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
            return onnx.load(str(done))
    except (ValueError, RuntimeError) as error:
        raise InputError(f"this network cannot be brought to 8 bits: {error}; choose --precision fp16") from error
    finally:
        logging.disable(before)


def open_session(file: Path | bytes, threads: int = 0) -> Any:
    """An ONNX Runtime session on the CPU with so many ``threads`` (0: its own choice)."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError(f"export checks its file with onnxruntime ({error}). Run: {INSTALL}") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    source = file if isinstance(file, bytes) else str(file)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def open_graph(file: Path | bytes) -> Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]:
    """``file`` in ONNX Runtime, as a function from inputs by name to outputs by name."""
    session = open_session(file)
    taken, given = [i.name for i in session.get_inputs()], [o.name for o in session.get_outputs()]
    return lambda values: dict(zip(given, session.run(given, {name: values[name] for name in taken})))
