"""Depth video: MATLAB files and folders of 16-bit PNG, millimetres from the camera."""

from __future__ import annotations

import os
import re
import struct
import zlib
from pathlib import PurePath

import numpy as np

from signloom.media.limits import DEFAULT_LIMITS, PLAUSIBLE_FPS, Limits, fail
from signloom.media.local_files import list_pictures, open_regular
from signloom.media.pixels import import_cv2

KEY = "d_depth"
_UTD_NAME = re.compile(r"a\d+_s\d+_t\d+_depth\.mat")
_UTD_FPS = 30.0
_KINDS = ("uint8", "uint16", "int16", "int32", "uint32", "single", "double")
_PNG_HEAD = 26


def read_depth(path: str | os.PathLike[str], limits: Limits = DEFAULT_LIMITS) -> np.ndarray:
    """The depth in a ``.mat`` whose ``d_depth`` is (H, W, T), or a folder of 16-bit grey PNG: uint16 (T, H, W), mm.

    0 is background, or what the camera could not measure. Raises MediaError: ``not-media`` (no MATLAB file, or one of
    version 7.3, which is HDF5), ``bad-header`` (another variable, shape or type, values that are no millimetres),
    ``too-large``, ``too-long``, ``no-frames``, ``decode-error``, and for files that cannot be opened.
    """
    if pictures := list_pictures(path):
        return _of_pictures(path, pictures, limits)
    with open_regular(path, limits.max_bytes) as file:
        values_HWT = _of_mat(path, file, limits)
    if values_HWT.dtype != np.uint16:
        if not np.isfinite(values_HWT).all():
            raise fail(path, "decode-error", f"'{KEY}' holds values that are not numbers")
        if values_HWT.min() < 0 or values_HWT.max() > 0xFFFF or (0 < values_HWT.max() < 100):
            low, high = values_HWT.min(), values_HWT.max()
            raise fail(path, "bad-header", f"'{KEY}' goes from {low:g} to {high:g}; wanted millimetres, 0 to 65,535")
    return np.ascontiguousarray(values_HWT.transpose(2, 0, 1)).astype(np.uint16, copy=False)


def depth_rate(path: str | os.PathLike[str], fps: float | None = None) -> float:
    """How many frames a second a depth file has: ``fps``, or 30 for a file named as in UTD-MHAD, since neither format
    says it. Raises MediaError(reason="no-rate") for others, and for a rate that makes no sense."""
    if fps is None:
        if _UTD_NAME.fullmatch(PurePath(os.fspath(path)).name):
            return _UTD_FPS
        raise fail(
            path,
            "no-rate",
            "it does not say how many frames a second it has. Tell it in the clip's record: "
            '"extra": {"depth": {"fps": 30}}',
        )
    if isinstance(fps, bool) or not isinstance(fps, (int, float)) or not PLAUSIBLE_FPS[0] <= fps <= PLAUSIBLE_FPS[1]:
        raise fail(path, "no-rate", f"{fps} frames a second; wanted {PLAUSIBLE_FPS[0]:g} to {PLAUSIBLE_FPS[1]:g}")
    return float(fps)


def _check_size(path, height: int, width: int, n_frames: int, limits: Limits) -> None:
    if not (height and width and n_frames):
        raise fail(path, "no-frames", f"{n_frames} frames of {width}x{height}")
    if n_frames > limits.max_frames:
        raise fail(path, "too-long", f"{n_frames:,} frames; at most {limits.max_frames:,}")
    if max(height, width) > limits.max_side_px:
        raise fail(path, "too-large", f"pictures of {width}x{height}; at most {limits.max_side_px} a side")


def _of_mat(path, file, limits: Limits) -> np.ndarray:
    """``d_depth``, (H, W, T), after checking what the file claims before unpacking it."""
    from scipy.io import loadmat, whosmat
    from scipy.io.matlab import MatReadError

    head = file.read(128)
    if head.startswith((b"\x89HDF", b"MATLAB 7.3")):
        raise fail(path, "not-media", "a MATLAB 7.3 (HDF5) file; save it with -v7 in MATLAB")
    file.seek(0)
    try:
        there = {name: (shape, kind) for name, shape, kind in whosmat(file)}
        if KEY not in there:
            raise fail(path, "bad-header", f"no '{KEY}' in it; it has {', '.join(sorted(there)) or 'nothing'}")
        shape, kind = there[KEY]
        if len(shape) != 3 or kind not in _KINDS:
            raise fail(path, "bad-header", f"'{KEY}' is {kind} {tuple(shape)}; wanted whole numbers (H, W, T)")
        height, width, n_frames = shape
        _check_size(path, height, width, n_frames, limits)
        if (size := int(np.prod(shape)) * np.dtype(kind).itemsize) > limits.max_decoded_bytes:
            raise fail(path, "too-large", f"{size:,} bytes unpacked; at most {limits.max_decoded_bytes:,}")
        file.seek(0)
        values = np.asarray(loadmat(file, variable_names=[KEY])[KEY])
    except (ValueError, TypeError, IndexError, KeyError, OSError, EOFError, zlib.error, MatReadError) as error:
        raise fail(path, "not-media", f"not a MATLAB file that can be read: {error}") from error
    if values.shape != tuple(shape) or values.dtype.kind not in "uif":
        raise fail(path, "bad-header", f"'{KEY}' is {values.dtype} {values.shape}; wanted whole numbers {tuple(shape)}")
    return values


def _of_pictures(path, pictures, limits: Limits) -> np.ndarray:
    out: np.ndarray | None = None
    for number, picture in enumerate(pictures):
        with open_regular(picture, limits.max_bytes) as file:
            data = file.read()
        # Size and kind are checked before anything is unpacked.
        if len(data) < _PNG_HEAD or not data.startswith(b"\x89PNG\r\n\x1a\n"):
            raise fail(picture, "not-media", "not a PNG; depth in pictures is 16-bit grey PNG")
        width, height, bits, colour = struct.unpack(">IIBB", data[16:_PNG_HEAD])
        if (bits, colour) != (16, 0):
            kind = f"PNG of {bits} bits, colour type {colour}"
            raise fail(picture, "bad-header", f"{kind}; depth is 16-bit grey, millimetres")
        if out is None:
            _check_size(path, height, width, len(pictures), limits)
            if (size := 2 * height * width * len(pictures)) > limits.max_decoded_bytes:
                raise fail(path, "too-large", f"{size:,} bytes unpacked; at most {limits.max_decoded_bytes:,}")
            out = np.empty((len(pictures), height, width), np.uint16)
        if (height, width) != out.shape[1:]:
            first = f"{out.shape[2]}x{out.shape[1]}"
            raise fail(picture, "decode-error", f"{width}x{height}; its folder began with {first}. All must be alike")
        cv2 = import_cv2()
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if decoded is None or decoded.dtype != np.uint16 or decoded.shape != (height, width):
            raise fail(picture, "decode-error", "the picture is damaged")
        out[number] = decoded
    assert out is not None
    return out
