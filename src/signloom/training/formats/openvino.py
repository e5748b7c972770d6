"""A network as OpenVINO's .xml and .bin, for Intel's processors and graphics."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from signloom.errors import MissingExtraError
from signloom.training.formats import onnx as onnx_format

if TYPE_CHECKING:
    from signloom.training.export import Exported

SUFFIX = ".xml"
FOLDER = False
PRECISIONS = ("fp32", "fp16", "int8")


def write(exported: Exported, file: Path, precision: str, calibration: Iterable[Mapping[str, np.ndarray]]) -> None:
    """Write ``exported`` as ``file``, with its weights beside it. "fp16" keeps these in 16 bits; "int8" is what
    :mod:`signloom.training.formats.onnx` quantises."""
    ov = _openvino()
    proto = onnx_format.graph_of(exported, "int8" if precision == "int8" else "fp32", calibration)
    model = ov.Core().read_model(proto.SerializeToString())
    for name, text in {"signloom": json.dumps(dict(exported.about)), **exported.metadata}.items():
        model.set_rt_info(text, name)
    ov.save_model(model, str(file), compress_to_fp16=precision == "fp16")


def open_graph(file: Path) -> Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]:
    """``file`` in OpenVINO on the processor, in 32 bits: by itself it computes in bfloat16 where the processor can."""
    ov = _openvino()
    compiled = ov.Core().compile_model(str(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    taken = [port.get_any_name() for port in compiled.inputs]

    def run(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        given = compiled({name: values[name] for name in taken})
        return {port.get_any_name(): np.asarray(given[port]) for port in compiled.outputs}

    return run


def _openvino() -> Any:
    try:
        import openvino
    except ImportError as error:
        raise MissingExtraError(f"--to openvino needs it ({error}). Run: pip install 'signloom[openvino]'") from error
    return openvino
