"""Arrays of numbers in MATLAB's ``.mat`` files (version 5, as ``save`` and ``save -v6`` or ``-v7`` write them).

Read here and not by scipy, whose reader ends the process on some damaged files (1 of about 100 with a few bytes
changed).
"""

from __future__ import annotations

import math
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from signloom.media.limits import DEFAULT_LIMITS, Limits, fail
from signloom.media.local_files import open_regular

_MATRIX, _COMPRESSED = 14, 15
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_CLASSES = {
    **{1: "cell", 2: "struct", 3: "object", 4: "char", 5: "sparse", 6: "double", 7: "single", 8: "int8", 9: "uint8"},
    **{10: "int16", 11: "uint16", 12: "int32", 13: "uint32", 14: "int64", 15: "uint64"},
}
_NUMBERS = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_COMPLEX, _LOGICAL = 0x0800, 0x0200
_HEAD_BYTES = 1 << 16


@dataclass(frozen=True)
class MatArray:
    """A variable of a file: its name and shape, and what kind it is in MATLAB's words."""

    name: str
    shape: tuple[int, ...]
    kind: str
    _class: int = field(repr=False)
    _flags: int = field(repr=False)
    _element: memoryview = field(repr=False)
    _compressed: bool = field(repr=False)
    _order: str = field(repr=False)

    def __str__(self) -> str:
        return f"'{self.name}' {self.shape} {self.kind}"


def list_mat(path: str | os.PathLike[str], limits: Limits = DEFAULT_LIMITS) -> list[MatArray]:
    """What a file holds. Raises MediaError: ``not-media`` for anything else, also HDF5 (7.3); ``truncated`` …"""
    with open_regular(path, min(limits.max_bytes, limits.max_decoded_bytes)) as file:
        content = file.read()
    if content.startswith((b"\x89HDF", b"MATLAB 7.3")) or content[512:516] == b"\x89HDF":
        raise fail(path, "not-media", "a MATLAB 7.3 file (HDF5), which is not read: save it with '-v7'")
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if order is None or not content.startswith(b"MATLAB"):
        raise fail(path, "not-media", "not a .mat file of MATLAB 5 to 7.2")
    try:
        return list(_variables(memoryview(content), order))
    except (struct.error, zlib.error, ValueError, KeyError, IndexError) as error:
        raise fail(path, "truncated", f"cut off or damaged: {error}") from error


def read_mat(path: str | os.PathLike[str], name: str, limits: Limits = DEFAULT_LIMITS) -> np.ndarray:
    """The array ``name`` of a file, in MATLAB's shape.

    Raises MediaError like :func:`list_mat`, and ``bad-header`` where there is no such array or it holds no plain
    numbers, with what there is.
    """
    found = list_mat(path, limits)
    held = ", ".join(map(str, found)) or "nothing"
    chosen = next((array for array in found if array.name == name), None)
    if chosen is None:
        raise fail(path, "bad-header", f"no array '{name}'; it holds {held}. Choose one with key=NAME")
    if chosen._class not in _NUMBERS or chosen._flags & _COMPLEX:
        raise fail(path, "bad-header", f"'{name}' is no plain array of numbers; it holds {held}")
    count = math.prod(chosen.shape)
    if count * 8 > limits.max_decoded_bytes:
        raise fail(path, "too-large", f"'{name}' has {count:,} numbers; at most {limits.max_decoded_bytes:,} bytes")
    try:
        return _numbers(chosen, count)
    except (struct.error, zlib.error, ValueError, KeyError, IndexError) as error:
        raise fail(path, "truncated", f"'{name}' is cut off or damaged: {error}") from error


def _variables(content: memoryview, order: str) -> Iterator[MatArray]:
    at = 128
    while at < len(content):
        kind, data, at = _element(content, at, order, padded=False)
        compressed = kind == _COMPRESSED
        if not compressed and kind != _MATRIX:
            raise ValueError(f"an element of type {kind} among its variables")
        head = memoryview(_inflated(data, _HEAD_BYTES)) if compressed else data
        body = _body(head, order, compressed)
        _, flags, place = _element(body, 0, order)
        bits = struct.unpack_from(f"{order}I", flags)[0]
        _, sizes, place = _element(body, place, order)
        _, name, _ = _element(body, place, order)
        shape = struct.unpack(f"{order}{len(sizes) // 4}i", sizes)
        if min(shape, default=0) < 0:
            raise ValueError(f"a shape of {shape}")
        text = bytes(name).decode("latin-1")
        if text:  # MATLAB keeps things of its own under no name
            number = bits & 0xFF
            named = "logical" if bits & _LOGICAL else _CLASSES.get(number, f"class {number}")
            yield MatArray(text, shape, named, number, bits, data, compressed, order)


def _numbers(array: MatArray, count: int) -> np.ndarray:
    order = array._order
    most = _HEAD_BYTES + 8 * count
    whole = memoryview(_inflated(array._element, most)) if array._compressed else array._element
    body = _body(whole, order, array._compressed)
    place = 0
    for _ in range(3):  # flags, shape, name
        _, _, place = _element(body, place, order)
    kind, data, _ = _element(body, place, order)
    stored = np.frombuffer(data, np.dtype(order + _STORED[kind]))
    if len(stored) != count:
        raise ValueError(f"{len(stored)} of {count} numbers are there")
    return stored.astype(_NUMBERS[array._class]).reshape(array.shape, order="F")


def _element(data: memoryview, at: int, order: str, *, padded: bool = True) -> tuple[int, memoryview, int]:
    """Type and bytes of the element at a place, and where the next one starts."""
    (tag,) = struct.unpack_from(f"{order}I", data, at)
    if tag >> 16:  # up to four bytes within the tag
        return tag & 0xFFFF, data[at + 4 : at + 4 + min(tag >> 16, 4)], at + 8
    (size,) = struct.unpack_from(f"{order}I", data, at + 4)
    end = at + 8 + size
    if end > len(data):
        raise ValueError(f"{len(data) - at - 8:,} of {size:,} bytes are there")
    return tag, data[at + 8 : end], end + (-end % 8 if padded else 0)


def _body(data: memoryview, order: str, compressed: bool) -> memoryview:
    """What stands within a variable's element; of a compressed one as much as was unpacked."""
    if not compressed:
        return data
    kind, _ = struct.unpack_from(f"{order}II", data)
    if kind != _MATRIX:
        raise ValueError(f"an element of type {kind} among its variables")
    return data[8:]


def _inflated(data: memoryview, most: int) -> bytes:
    return zlib.decompressobj().decompress(data, most)
