"""A signal on disk: an ``.npz`` of plain arrays, float32 values with rate, start and the channels' names."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np

from signloom.data.signal import Channel, Signal
from signloom.errors import InputError
from signloom.media.array_files import npz_bytes, read_npz
from signloom.media.limits import DEFAULT_LIMITS, Limits, fail
from signloom.runtime.atomic import atomic_write

FORMAT_VERSION = 1


def write_signal(path: str | os.PathLike[str], signal: Signal) -> None:
    """Write ``signal`` as one file: whole or not at all, the same bytes each time.

    Raises InputError for values that are no numbers, and for a channel without a proper name.
    """
    values = np.ascontiguousarray(signal.values_TC, np.float32)
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise InputError(f"'{os.fspath(path)}': channel '{signal.channels[column]}' is no number at sample {row}")
    for name in signal.channels:
        Channel.parse(name)
    arrays: dict[str, np.ndarray] = {
        "version": np.array(FORMAT_VERSION, np.int64),
        "values": values,
        "rate_hz": np.array(signal.rate_hz, np.float64),
        "start_s": np.array(signal.start_s, np.float64),
        "channels": np.array(signal.channels, dtype=str),
    }
    with atomic_write(Path(path)) as tmp:
        tmp.write_bytes(npz_bytes(arrays))


def read_signal(file: str | os.PathLike[str], limits: Limits = DEFAULT_LIMITS) -> Signal:
    """What :func:`write_signal` wrote; ``file`` may be a :class:`~signloom.media.HeldFile`.

    Raises MediaError: ``not-media`` for anything else, ``truncated``, ``bad-header``, ``no-frames``.
    """
    arrays = read_npz(file, limits)
    try:
        version, rate_hz, start_s = (arrays[name].item() for name in ("version", "rate_hz", "start_s"))
        values, channels = arrays["values"], tuple(map(str, arrays["channels"].tolist()))
    except (KeyError, ValueError, TypeError) as error:
        raise fail(
            file, "not-media", f"not a stored signal: it holds {', '.join(sorted(arrays)) or 'nothing'}"
        ) from error
    if version != FORMAT_VERSION:
        raise fail(file, "bad-header", f"a signal of version {version}; this signloom reads {FORMAT_VERSION}")
    if values.dtype != np.float32 or not isinstance(start_s, float) or not math.isfinite(start_s):
        raise fail(
            file, "bad-header", f"a signal of {values.dtype} that starts at {start_s!r}; wanted float32, seconds"
        )
    try:
        for name in channels:
            Channel.parse(name)
        signal = Signal(values, float(rate_hz), channels, start_s)
    except (InputError, TypeError, ValueError) as error:
        raise fail(file, "bad-header", str(error)) from error
    if not len(signal):
        raise fail(file, "no-frames", "a signal of no samples")
    if not np.isfinite(values).all():
        raise fail(file, "decode-error", "it holds values that are not numbers")
    return signal
