"""Optical flow on disk: two 8-bit planes in a video that loses nothing beyond the quantiser's step.

A component v in ±limit becomes the code 128 + round(127 · v / limit), 1 … 255, so that no motion is exactly 128 and the
error at most limit / 254 (0.08 px at ±20 px; JPEG pictures lose .2 px). u stands above v in one grey H.264 picture,
lossless, every picture a key frame, in an mp4 whose metadata say limit, units and version.

Measured on footage of signers (15 fps, one core), in kB / ms to write / ms to read a frame, with a shorter side of 128
and 256 px: this 1.5 / .3 / .1 and 7.5 / 1.1 / .4; with CABAC 1.2 / .3 / .17 and 6.0 / 1.2 / .7 (a key frame every 12
saves nothing more); FFV1 with its range coder 1.2 / .4 / .5 and 5.3 / 2.4 / 2.5; 4:4:4 planes 1.4 / 1.0 / .2 and
6.5 / 3.7 / .8; rows packed by zlib 7.7 / .8 / 1.2 and 37 / 4.5 / 5.7.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from signloom.errors import InputError, MediaError
from signloom.media.read import read_planes
from signloom.media.write import open_lossless_writer

FORMAT_VERSION = 1
_KEY = "signloom_flow"
_LEVELS = 127


@dataclass(frozen=True)
class FlowInfo:
    """What a flow file says of itself; values lie within ±``limit``, in ``units`` ("pixels" or "body")."""

    limit: float
    units: str
    fps: float
    n_frames: int


def codes_of_flow(flow: np.ndarray, limit: float) -> np.ndarray:
    """Quantise float flow to uint8 codes 1 … 255, 128 = 0; what lies beyond ±``limit`` is cut. Raises InputError."""
    if not (math.isfinite(limit) and limit > 0):
        raise InputError(f"flow limit: got {limit}, expected a number above 0")
    flow = np.asarray(flow, np.float32)
    if not np.isfinite(flow).all():
        raise InputError("flow holds values that are not numbers")
    scaled = np.rint(flow * np.float32(_LEVELS / limit))
    return (np.clip(scaled, -_LEVELS, _LEVELS) + 128).astype(np.uint8)


def flow_of_codes(codes: np.ndarray, limit: float) -> np.ndarray:
    """The float32 flow that ``codes`` stand for, within ±``limit``."""
    return (codes.astype(np.float32) - 128) * np.float32(limit / _LEVELS)


def write_flow(
    path: str | os.PathLike[str],
    flows: Iterable[np.ndarray],
    fps: float,
    limit_px: float,
    *,
    units: str = "pixels",
) -> None:
    """Write float32 (H, W, 2) flows, one per frame, (x, y) in pixels per frame, as one file; see the module.

    ``flows`` may be an iterator or an array (T, H, W, 2). The same bytes each time; whole or not at all.
    Raises InputError for no flows, flows of other shapes, or values that are no numbers.
    """
    with open_flow_writer(path, fps, limit_px, units=units) as add:
        for flow in flows:
            add(flow)


@contextmanager
def open_flow_writer(
    path: str | os.PathLike[str], fps: float, limit_px: float, *, units: str = "pixels"
) -> Iterator[Callable[[np.ndarray], None]]:
    """:func:`write_flow` for flows that come one at a time: gives ``add(flow)``; codes (uint8) are kept as they are."""
    about = {"limit": float(limit_px), "units": units, "version": FORMAT_VERSION}
    with open_lossless_writer(path, fps, metadata={_KEY: json.dumps(about)}) as put:

        def add(flow: np.ndarray) -> None:
            flow = np.asarray(flow)
            if flow.ndim != 3 or flow.shape[2] != 2:
                raise InputError(f"flow of shape {flow.shape}; wanted (H, W, 2)")
            codes = flow if flow.dtype == np.uint8 else codes_of_flow(flow, limit_px)
            put(np.concatenate((codes[..., 0], codes[..., 1])))

        yield add


def read_flow_codes(
    path: str | os.PathLike[str], rows: Sequence[int] | np.ndarray | None = None, *, n_frames: int | None = None
) -> np.ndarray:
    """The codes of ``rows`` (all, where None): uint8 (T, H, W, 2), 128 = no motion, 1 and 255 = −limit and +limit.

    A view whose memory is (T, 2, H, W), so that channels first costs nothing. ``(codes − 128) / 127`` is the flow
    over its limit. Raises InputError for rows it does not have, MediaError for a file that is no whole flow, or
    has another number of frames than ``n_frames``, where that is known.
    """
    return _read(path, rows, n_frames)[0]


def read_flow(path: str | os.PathLike[str], rows: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
    """The flow of ``rows`` (all, where None): float32 (T, H, W, 2), pixels per frame; errors as read_flow_codes."""
    codes, info = _read(path, rows)
    return flow_of_codes(codes, info.limit)


def probe_flow(path: str | os.PathLike[str]) -> FlowInfo:
    """What the file says of itself. Raises MediaError where it is no flow."""
    return _read(path, [0])[1]


def _read(path, rows, n_frames: int | None = None) -> tuple[np.ndarray, FlowInfo]:
    planes, header = read_planes(path, rows, n_frames=n_frames)
    try:
        about = json.loads(header.metadata[_KEY])
        version, limit, units = about["version"], float(about["limit"]), str(about["units"])
    except (KeyError, TypeError, ValueError) as error:
        raise MediaError(f"'{os.fspath(path)}': not a flow file: no '{_KEY}' in its metadata", "bad-header") from error
    if version != FORMAT_VERSION or not (math.isfinite(limit) and limit > 0) or planes.shape[1] % 2:
        raise MediaError(
            f"'{os.fspath(path)}': flow of version {version}, limit {limit}; this signloom reads version "
            f"{FORMAT_VERSION}",
            "bad-header",
        )
    n, height, width = planes.shape
    codes = np.moveaxis(planes.reshape(n, 2, height // 2, width), 1, -1)
    return codes, FlowInfo(limit, units, header.fps, int(header.n_frames or n))
