"""A network as a LiteRT (TensorFlow Lite) file, for Android and small devices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from signloom.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from signloom.training.export import Exported

SUFFIX = ".tflite"
PRECISIONS = ("fp32", "fp16", "int8")
SIGNATURE = "serving_default"


def write(exported: Exported, file: Path, precision: str, calibration: Iterable[Mapping[str, np.ndarray]]) -> None:
    """Write ``exported`` as ``file``. "fp16" keeps weights in 16 bits; "int8" weights in 8 bits, and what they are
    multiplied with is brought to 8 bits as it comes: nothing is calibrated."""
    litert_torch = _litert_torch()
    import torch

    first = exported.examples[0]
    named = {name: torch.from_numpy(value) for name, value in first.items()}
    try:
        model = litert_torch.convert(_Named(exported.module, exported.outputs), sample_kwargs=named)
        model.export(str(file))
    except (ValueError, NotImplementedError, RuntimeError, TypeError) as error:
        raise InputError(f"LiteRT cannot hold this network: {error}; choose another --to") from error


def _Named(module: Any, outputs: tuple[str, ...]) -> Any:
    """``module`` with outputs by name."""
    from torch import nn

    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, **values: Any) -> Any:
            given = self.inner(*values.values())
            return dict(zip(outputs, given if isinstance(given, tuple) else (given,)))

    return Named().eval()


def open_graph(file: Path) -> Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]:
    """``file`` in LiteRT."""
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_path=str(file)).get_signature_runner(SIGNATURE)
    return lambda values: runner(**{name: values[name] for name in runner.get_input_details()})


def _litert_torch() -> Any:
    try:
        import litert_torch
    except ImportError as error:
        raise MissingExtraError(f"--to tflite needs it ({error}). Run: pip install 'signloom[tflite]'") from error
    return litert_torch
