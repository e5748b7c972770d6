"""Networks in the files of other runtimes: a format is a module here and a line in the table.

A module has ``SUFFIX`` (of what it writes; "": any name), ``FOLDER`` (whether that is a folder), ``PRECISIONS``, and
two functions. ``write(exported, file, precision, calibration)`` writes :class:`~signloom.training.export.Exported` as
``file``, with what goes beside it under the same stem. ``open_graph(file)`` opens that in its own runtime, and gives a
function from inputs by name to outputs by name; None where there is no such runtime on this machine, and then
``check_graph(exported, file)`` looks at what was written. Both raise MissingExtraError, with the line that installs it,
for a library that is not there.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from signloom.errors import InputError

FORMATS = {
    # what --to takes: the module
    "onnx": "signloom.training.formats.onnx",
    "openvino": "signloom.training.formats.openvino",
    "web": "signloom.training.formats.web",
    "coreml": "signloom.training.formats.coreml",
}

NOT_WRITTEN = {
    # what --to does not take: why, and what to do
    "tflite": "no network of signloom's has been converted to LiteRT and compared with PyTorch; take --to onnx, which "
    "ONNX Runtime runs on Android and iOS, or --to coreml for Apple's devices",
}


def format_named(name: str) -> Any:
    """The module of the format ``name``, imported now. Raises InputError for a name without one."""
    if name in NOT_WRITTEN:
        raise InputError(f"--to {name} is not written: {NOT_WRITTEN[name]}")
    if name not in FORMATS:
        raise InputError(f"there is no format '{name}'; choose one of {', '.join(FORMATS)}")
    return import_module(FORMATS[name])
