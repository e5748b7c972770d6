"""Surface EMG from raw samples to what a muscle does: filtered, rectified, its envelope; and per-user calibration.

The usual chain: a band pass of 20–450 Hz against drift and movement of the electrodes, notches against mains hum and
its harmonics, full-wave rectification, and a low pass of 2–6 Hz for the envelope, all without delay (each filter runs
forwards and backwards). Source: the ISEK standards for reporting EMG data (Merletti 1999).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from signloom.data.signal import Channel, Signal
from signloom.errors import InputError

BAND_HZ = (20.0, 450.0)
_SHARE_OF_NYQUIST = 0.9
"""A filter's edge above this share of half the rate does nothing but ring."""
_NOTCH_HZ = 5.0
"""How wide a notch is: a narrower one rings for longer at a clip's ends, nine of these take a tenth of the band."""
_DEAD_S = 0.1


@dataclass(frozen=True)
class EmgBand:
    """Which filters a rate allows. ``high_hz`` None: no upper edge, a high pass alone; ``notches_hz`` as far as they
    lie below half the rate."""

    rate_hz: float
    low_hz: float
    high_hz: float | None
    notches_hz: tuple[float, ...]

    def __str__(self) -> str:
        kept = f"{self.low_hz:g} Hz and more" if self.high_hz is None else f"{self.low_hz:g}–{self.high_hz:g} Hz"
        notches = ", ".join(f"{hz:g}" for hz in self.notches_hz)
        return f"at {self.rate_hz:g} Hz: {kept}, " + (f"without {notches} Hz" if notches else "mains hum not removed")


def band_at(
    rate_hz: float, *, band_hz: tuple[float, float] = BAND_HZ, notch_hz: float | None = 50.0, low_share: float = 0.2
) -> EmgBand:
    """What of ``band_hz`` and of the mains hum ``notch_hz`` with its harmonics can be filtered at ``rate_hz``.

    The upper edge goes where it is not well below half the rate, and the lower one to at most ``low_share`` of that.
    Samples at 50 Hz, as Myo armbands' exports are, leave no band pass: the muscle's band is folded over all of 0–25 Hz
    (nothing was filtered before they were thinned out), and a high pass at 5 Hz takes the drift alone. Hum at 50 Hz is
    drift then; hum at 60 Hz is folded to 10 Hz and stays. Raises InputError for edges or rates that make no sense.
    """
    low, high = band_hz
    if not (math.isfinite(rate_hz) and rate_hz > 0):
        raise InputError(f"EMG: got a rate of {rate_hz} Hz, expected one above 0")
    if not 0 < low < high or (notch_hz is not None and not notch_hz > 0):
        raise InputError(
            f"EMG: got a band of {band_hz} Hz and mains of {notch_hz} Hz; expected 0 < low < high, mains > 0"
        )
    nyquist = rate_hz / 2
    low = min(low, low_share * nyquist)
    upper = high if high < _SHARE_OF_NYQUIST * nyquist else None
    top = _SHARE_OF_NYQUIST * nyquist if upper is None else upper
    notches = [] if notch_hz is None else [k * notch_hz for k in range(1, int(top / notch_hz) + 1)]
    return EmgBand(rate_hz, low, upper, tuple(hz for hz in notches if hz > low))


def envelope(
    values_TC: np.ndarray,
    rate_hz: float,
    *,
    notch_hz: float | None = 50.0,
    band_hz: tuple[float, float] = BAND_HZ,
    smooth_hz: float = 4.0,
) -> np.ndarray:
    """The envelope of raw EMG, float32 (T, C), never below 0, at the same samples and in the same units.

    What of ``band_hz`` and ``notch_hz`` (None: no notch) is filtered :func:`band_at` tells; ``smooth_hz`` is the low
    pass after rectification. Rows of zeros in all channels at either end, or for a tenth of a second and more, are a
    sensor that gave nothing: they stay zero, and are in no filter's reach. Raises InputError for other shapes, values
    that are not finite, and a low pass above half the rate.
    """
    from scipy.signal import butter, iirnotch, sosfiltfilt, tf2sos

    values = np.asarray(values_TC, np.float64)
    if values.ndim != 2:
        raise InputError(f"EMG of shape {values.shape}; wanted (T, C)")
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values).all(1))[0])
        raise InputError(f"EMG: sample {row} is not a finite number")
    band = band_at(rate_hz, band_hz=band_hz, notch_hz=notch_hz)
    if not 0 < smooth_hz < rate_hz / 2:
        raise InputError(
            f"EMG: a low pass of {smooth_hz} Hz at {rate_hz} Hz; expected one above 0, below half the rate"
        )
    edges = (band.low_hz,) if band.high_hz is None else (band.low_hz, band.high_hz)
    kind = "highpass" if band.high_hz is None else "bandpass"
    filters = [butter(2, edges if len(edges) > 1 else edges[0], kind, fs=rate_hz, output="sos")]
    filters += [tf2sos(*iirnotch(hz, hz / _NOTCH_HZ, fs=rate_hz)) for hz in band.notches_hz]
    low_pass = butter(2, smooth_hz, fs=rate_hz, output="sos")

    def run(sos: np.ndarray, x_TC: np.ndarray, reach_hz: float, ends: str = "odd") -> np.ndarray:
        padding = min(len(x_TC) - 1, math.ceil(rate_hz / reach_hz))
        return sosfiltfilt(sos, x_TC, axis=0, padtype=ends, padlen=padding)

    out = np.zeros(values.shape, np.float32)
    for start, stop in _alive(values, rate_hz):
        part = values[start:stop]
        part = _without_steady(part - part.mean(0), rate_hz, band.notches_hz)
        for sos, reach_hz in zip(filters, (band.low_hz, *(_NOTCH_HZ for _ in band.notches_hz))):
            part = run(sos, part, reach_hz)
        out[start:stop] = np.maximum(run(low_pass, np.abs(part), smooth_hz, "even"), 0)
    return out


def _without_steady(x_TC: np.ndarray, rate_hz: float, hums_hz: tuple[float, ...]) -> np.ndarray:
    """``x_TC`` less the steady part of each hum (least squares), which a notch would ring with at the ends."""
    if len(x_TC) < 8 * len(hums_hz) or not hums_hz:
        return x_TC
    angle = 2 * np.pi * np.outer(np.arange(len(x_TC)) / rate_hz, hums_hz)
    waves = np.concatenate([np.sin(angle), np.cos(angle)], 1)
    return x_TC - waves @ np.linalg.lstsq(waves, x_TC, rcond=None)[0]


def _alive(values_TC: np.ndarray, rate_hz: float) -> list[tuple[int, int]]:
    """The stretches (start, stop) in which a sensor gave something."""
    zero = (values_TC == 0).all(1)
    n = len(zero)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], zero, [False]]).astype(np.int8)))
    dead = np.zeros(n, bool)
    for start, stop in edges.reshape(-1, 2):
        if start == 0 or stop == n or stop - start >= _DEAD_S * rate_hz:
            dead[start:stop] = True
    edges = np.flatnonzero(np.diff(np.concatenate([[True], dead, [True]]).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def emg_envelopes(signal: Signal, **settings) -> Signal:
    """``signal`` with each EMG channel replaced by its :func:`envelope`; other channels stay as they are."""
    columns = _emg_columns(signal.channels)
    if not columns:
        return signal
    values = signal.values_TC.astype(np.float32, copy=True)
    values[:, columns] = envelope(signal.values_TC[:, columns], signal.rate_hz, **settings)
    return replace(signal, values_TC=values)


@dataclass(frozen=True)
class Calibration:
    """How strong each EMG channel of one user is: what :meth:`apply` divides it by.

    Electrodes sit on other muscles and other skin for each user, and each time anew, so that gains differ several-fold
    while the pattern over time does not.
    """

    channels: tuple[str, ...]
    scale: tuple[float, ...]

    @classmethod
    def fitted(cls, signals: Iterable[Signal], *, percentile: float = 95.0) -> Calibration:
        """Of one user's ``signals`` (their envelopes, one take a word will do): the ``percentile`` of each EMG channel.

        Rows of zeros, where a sensor gave nothing, are left out; a channel that is always zero is left as it is. Raises
        InputError where there is no signal, none with EMG, or where their channels differ.
        """
        signals = list(signals)
        if not signals:
            raise InputError("calibration: no signal was given; wanted some of one user, e.g. one take a word")
        channels = tuple(signals[0].channels[c] for c in _emg_columns(signals[0].channels))
        if not channels:
            raise InputError(f"calibration: no EMG channel among {', '.join(signals[0].channels)}")
        rows = np.concatenate([np.abs(signal.select(channels).values_TC) for signal in signals])
        rows = rows[rows.any(1)]
        found = np.percentile(rows, percentile, axis=0) if len(rows) else np.zeros(len(channels))
        return cls(channels, tuple(float(v) if v > 0 else 1.0 for v in found))

    def apply(self, signal: Signal) -> Signal:
        """``signal`` of the same user, on the same scale as everyone's: at the percentile it is 1.

        Raises InputError where it lacks one of the channels that were measured.
        """
        signal.select(self.channels)
        columns = [signal.channels.index(c) for c in self.channels]
        values = signal.values_TC.astype(np.float32, copy=True)
        values[:, columns] /= np.array(self.scale, np.float32)
        return replace(signal, values_TC=values)


def _emg_columns(channels: Iterable[str]) -> list[int]:
    return [column for column, name in enumerate(channels) if Channel.parse(name).quantity == "emg"]
