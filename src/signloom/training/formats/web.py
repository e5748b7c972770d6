"""A network for a page: an ONNX graph in shards, which a browser fetches side by side and keeps apart in its cache."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from signloom.training.formats import onnx as onnx_format

if TYPE_CHECKING:
    from signloom.training.export import Exported

SUFFIX = ""
FOLDER = True
PRECISIONS = onnx_format.PRECISIONS
SHARD_BYTES = 8 << 20


def write(exported: Exported, file: Path, precision: str, calibration: Iterable[Mapping[str, np.ndarray]]) -> None:
    """Write the folder ``file`` with ``graph-00.bin`` …, of :data:`SHARD_BYTES` at most: together they are an ONNX
    file. See :mod:`signloom.training.formats.onnx` for ``precision``."""
    data = onnx_format.graph_of(exported, precision, calibration).SerializeToString()
    file.mkdir()
    for number, start in enumerate(range(0, len(data), SHARD_BYTES)):
        (file / f"graph-{number:02d}.bin").write_bytes(data[start : start + SHARD_BYTES])


def shards_of(file: Path) -> list[Path]:
    """The parts of the graph in the folder ``file``, in order."""
    return sorted(file.glob("graph-*.bin"))


def open_graph(file: Path) -> Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]:
    """The folder ``file`` in ONNX Runtime, which is what a page runs it in, built for WebAssembly."""
    return onnx_format.open_graph(b"".join(part.read_bytes() for part in shards_of(file)))
