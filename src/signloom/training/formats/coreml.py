"""A network as a Core ML package, for Apple's devices. It predicts on macOS alone: elsewhere its graph is looked at."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from signloom.errors import InputError, MissingExtraError, SignloomError

if TYPE_CHECKING:
    from signloom.training.export import Exported

SUFFIX = ".mlpackage"
FOLDER = True
PRECISIONS = ("fp32", "fp16", "int8")


def write(exported: Exported, file: Path, precision: str, calibration: Iterable[Mapping[str, np.ndarray]]) -> None:
    """Write ``exported`` as ``file``, a folder. "int8" keeps weights in 8 bits (linear, by channel) and computes in 16:
    nothing is calibrated."""
    ct = _coremltools()
    import torch

    first = exported.examples[0]
    tensors = tuple(torch.from_numpy(value) for value in first.values())
    # Traced: what torch.export gives of today's PyTorch, coremltools does not read.
    with warnings.catch_warnings(), torch.inference_mode(), redirect_stderr(StringIO()):
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(exported.module, tensors, check_trace=False)
    try:
        with warnings.catch_warnings(), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            model = ct.convert(
                traced,
                inputs=[ct.TensorType(name=n, shape=v.shape, dtype=v.dtype.type) for n, v in first.items()],
                outputs=[ct.TensorType(name=name, dtype=np.float32) for name in exported.outputs],
                convert_to="mlprogram",
                minimum_deployment_target=ct.target.iOS17,
                compute_precision=ct.precision.FLOAT32 if precision == "fp32" else ct.precision.FLOAT16,
                skip_model_load=True,
            )
            if precision == "int8":
                how = ct.optimize.coreml.OpLinearQuantizerConfig(mode="linear_symmetric")
                model = ct.optimize.coreml.linear_quantize_weights(
                    model, ct.optimize.coreml.OptimizationConfig(global_config=how)
                )
    except (ValueError, NotImplementedError, RuntimeError, TypeError, AttributeError) as error:
        raise InputError(f"Core ML cannot hold this network: {error}; choose another --to") from error
    for name, text in {"signloom": json.dumps(dict(exported.about)), **exported.metadata}.items():
        model.user_defined_metadata[name] = text
    model.save(str(file))


def open_graph(file: Path) -> Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]] | None:
    """``file`` in Core ML, on macOS; elsewhere None."""
    if sys.platform != "darwin":
        return None
    model = _coremltools().models.MLModel(str(file))
    return lambda values: model.predict(dict(values))


def check_graph(exported: Exported, file: Path) -> dict[str, Any]:
    """What the package says of itself: which operations it has, how often. Raises SignloomError where its inputs,
    outputs or shapes are not those of ``exported``."""
    ct = _coremltools()
    spec = ct.models.MLModel(str(file), skip_model_load=True).get_spec()
    got = {
        kind: {f.name: list(f.type.multiArrayType.shape) for f in features}
        for kind, features in (("inputs", spec.description.input), ("outputs", spec.description.output))
    }
    given = exported.run(exported.examples[0])
    wanted = {
        "inputs": {name: list(value.shape) for name, value in exported.examples[0].items()},
        "outputs": {name: list(value.shape) for name, value in given.items()},
    }
    shapes = {kind: {n: s or wanted[kind].get(n) for n, s in named.items()} for kind, named in got.items()}
    if shapes != wanted:
        raise SignloomError(f"'{file.name}' has {got}, wanted {wanted}; report this with the version of coremltools")
    main = spec.mlProgram.functions["main"]
    (block,) = main.block_specializations.values()
    counts: dict[str, int] = {}
    for operation in block.operations:
        counts[operation.type] = counts.get(operation.type, 0) + 1
    return {"operations": dict(sorted(counts.items()))}


def _coremltools() -> Any:
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # it warns of every version of torch that it was not tested with
    try:
        with redirect_stderr(StringIO()):
            import coremltools
    except ImportError as error:
        raise MissingExtraError(f"--to coreml needs it ({error}). Run: pip install 'signloom[coreml]'") from error
    finally:
        logging.disable(before)
    return coremltools
