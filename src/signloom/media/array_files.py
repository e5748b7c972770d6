"""``.npy`` and ``.npz`` files: numbers and texts only, never a pickle, and never more than the file holds."""

from __future__ import annotations

import io
import math
import os
import tokenize
import zipfile
import zlib
from collections.abc import Mapping

import numpy as np

from signloom.media.limits import DEFAULT_LIMITS, Limits, fail
from signloom.media.local_files import open_regular


def read_npy(path: str | os.PathLike[str], limits: Limits = DEFAULT_LIMITS) -> np.ndarray:
    """The array in a ``.npy`` file, read-only. Raises MediaError: ``not-media``, ``truncated``, ``too-large`` …"""
    with open_regular(path, min(limits.max_bytes, limits.max_decoded_bytes)) as file:
        return _array(path, file.read(), "")


def read_npz(path: str | os.PathLike[str], limits: Limits = DEFAULT_LIMITS) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz`` file by name, read-only. Raises MediaError like :func:`read_npy`."""
    with open_regular(path, limits.max_bytes) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
                if (size := sum(m.file_size for m in members)) > limits.max_decoded_bytes:
                    raise fail(path, "too-large", f"{size:,} bytes unpacked; at most {limits.max_decoded_bytes:,}")
                return {
                    m.filename.removesuffix(".npy"): _array(path, archive.read(m), f"array '{m.filename}': ")
                    for m in members
                }
        # NotImplementedError: a compression that zipfile does not know; RuntimeError: an encrypted file.
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            file.seek(0)
            started = file.read(4) == b"PK\x03\x04"
            raise fail(
                path,
                "truncated" if started else "not-media",
                f"cut off or damaged: {error}" if started else f"not an .npz file: {error}",
            ) from error


def npz_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """An ``.npz`` file of ``arrays``, the same bytes each time."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # which dates every member 1980-01-01
    return buffer.getvalue()


def _array(path, data: bytes, which: str) -> np.ndarray:
    buffer = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(buffer)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, by_columns, dtype = read_header(buffer)
    # SyntaxError and TokenError: NumPy reads a header as Python's text.
    except (ValueError, KeyError, EOFError, TypeError, SyntaxError, tokenize.TokenError) as error:
        raise fail(path, "not-media", f"{which}not an .npy array: {error}") from error
    if dtype.hasobject:
        raise fail(path, "not-media", f"{which}Python objects, which could run code; save numbers (dtype float64)")
    count = math.prod(shape)
    if (there := len(data) - buffer.tell()) < count * dtype.itemsize:
        raise fail(path, "truncated", f"{which}cut off: {there:,} of {count * dtype.itemsize:,} bytes are there")
    flat = np.frombuffer(data, dtype, count, buffer.tell()) if count else np.zeros(0, dtype)
    return flat.reshape(shape, order="F" if by_columns else "C")
