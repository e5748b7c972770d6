"""The clock of a sensor recording: a rate from its time stamps, and values at even steps without holes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from signloom.media.limits import fail
from signloom.media.sensor_columns import FACTORS

GAP_S = 0.1
"""What is missing for longer is not made up."""
CONTRADICTS = 0.05
"""A rate this far from that of the time stamps is another one."""
_USUAL_HZ = (4.0, 4000.0)  # a unit's thousand apart, so that one unit of time stamps fits
_POSSIBLE_HZ = (0.5, 20_000.0)
_JITTER = 0.3  # of a step: time stamps nearer than that to even ones are even


@dataclass(frozen=True)
class Clock:
    """``times_s`` (T,) where there are time stamps, and the rate where it is known."""

    times_s: np.ndarray | None
    rate_hz: float | None

    def at(self, sample: int) -> float:
        """When a sample was taken, from the first."""
        assert self.rate_hz is not None
        return float(self.times_s[sample] - self.times_s[0]) if self.times_s is not None else sample / self.rate_hz


def clock_of(
    path, name: str, stamps: np.ndarray, unit: str | None, rate_hz: float | None, *, sure: bool = False
) -> tuple[Clock, list[str]]:
    """The clock that the time stamps in column ``name`` give, and notes.

    Their ``unit`` is told from their steps where nothing says it. A column that counts samples is no clock, unless it
    was asked for (``sure``). Raises MediaError ``bad-header`` for stamps that go back, stand still, are missing, have
    no possible unit, or contradict ``rate_hz``.
    """
    if np.isnan(stamps).any():
        k = int(np.flatnonzero(np.isnan(stamps))[0])
        raise fail(
            path, "bad-header", f"its time stamps ('{name}') lack that of sample {k}; time=none leaves them unused"
        )
    steps = np.diff(stamps)
    if not len(steps):
        return Clock(None, rate_hz), []
    if (steps < 0).any():
        k = int(np.flatnonzero(steps < 0)[0])
        raise fail(
            path,
            "bad-header",
            f"its time stamps ('{name}') go back from {stamps[k]:.10g} to {stamps[k + 1]:.10g} at sample {k + 1}: are "
            "these two recordings, or rows out of order?",
        )
    step = float(np.median(steps))
    if step == 0:
        raise fail(
            path,
            "bad-header",
            f"most time stamps ('{name}') are the same as the one before: they tell when samples arrived, not when "
            "they were taken. Give rate_hz and time=none",
        )
    if unit is None and (steps == 1).all():
        fits = [u for u in ("s", "ms", "us", "ns") if rate_hz and _near(1 / FACTORS["time"][u], rate_hz)]
        if not fits and not sure:
            return Clock(None, rate_hz), [f"column '{name}' counts samples: it is not read as time"]
        unit = fits[0] if fits else None
    notes = []
    if unit is None:
        rates = {u: 1 / (step * FACTORS["time"][u]) for u in ("s", "ms", "us", "ns")}
        fits = [u for u, rate in rates.items() if _USUAL_HZ[0] <= rate < _USUAL_HZ[1]]
        if rate_hz is not None:
            fits = [u for u, rate in rates.items() if _near(rate, rate_hz)] or fits
        if not fits:
            raise fail(
                path,
                "bad-header",
                f"'{name}' has steps of {step:.6g}, a sensor's rate in no unit; units=time=UNIT says it",
            )
        unit = fits[0]
        if unit != "s":
            notes.append(f"time stamps ('{name}') are read as {unit}: their steps are {step:.6g}")
    elif unit not in FACTORS["time"]:
        raise fail(path, "bad-header", f"'{name}': unit '{unit}' of time is not known; say units=time=ms")
    times_s = (stamps - stamps[0]) * FACTORS["time"][unit]
    step *= FACTORS["time"][unit]
    apart = np.diff(times_s) / step
    rate = float(np.where(apart > 1.75, np.rint(apart), apart > 0).sum() / times_s[-1])  # lost samples are counted
    if not _POSSIBLE_HZ[0] <= rate <= _POSSIBLE_HZ[1]:
        raise fail(
            path,
            "bad-header",
            f"'{name}' in {unit} has steps of {step:.6g} s, {rate:.6g} samples a second: is that its unit? "
            "units=time=UNIT says another",
        )
    if rate_hz is not None and not _near(rate, rate_hz):
        raise fail(
            path,
            "bad-header",
            f"rate_hz={rate_hz:g} contradicts its time stamps: steps of {step:.6g} s in '{name}' are {rate:.6g} "
            "samples a second. Leave rate_hz out, or the stamps unused with time=none",
        )
    span = float(times_s[-1])
    for round_hz, slack, share in ((rate_hz, 0.5, CONTRADICTS), (float(round(rate)), 0.1, 0.002)):
        if round_hz and abs(round_hz - rate) * span <= slack and abs(round_hz / rate - 1) <= share:
            rate = round_hz  # no sample is further off than that at its end
            break
    if rate_hz is not None and rate != rate_hz:
        notes.append(f"its time stamps ('{name}') say {rate:.6g} samples a second, which is taken, and not {rate_hz:g}")
    return Clock(times_s, rate), notes


def filled(
    path, values_TC: np.ndarray, channels: tuple[str, ...], clock: Clock, impossible_TC: np.ndarray
) -> tuple[np.ndarray, list[str]]:
    """``values_TC`` with gaps (NaN) of at most :data:`GAP_S` interpolated.

    Raises MediaError ``decode-error`` for longer ones, naming channel and time, and whether the file holds
    ``impossible_TC`` values there.
    """
    missing = np.isnan(values_TC)
    if not missing.any():
        return values_TC, []
    assert clock.rate_hz is not None
    times_s = clock.times_s if clock.times_s is not None else np.arange(len(values_TC)) / clock.rate_hz
    most = int(np.floor(GAP_S * clock.rate_hz * 1.05 + 1e-6))
    values_TC = values_TC.copy()
    for column in np.flatnonzero(missing.any(0)):
        gone = missing[:, column]
        what = "values that no sensor measures" if impossible_TC[gone, column].any() else "no values"
        if gone.all():
            raise fail(
                path,
                "decode-error",
                f"channel '{channels[column]}' holds {what} from start to end; leave it out with channels=NAME=",
            )
        edges = np.flatnonzero(np.diff(np.concatenate([[False], gone, [False]]).astype(np.int8)))
        for first, end in zip(edges[::2], edges[1::2]):
            if end - first > most:
                raise fail(
                    path,
                    "decode-error",
                    f"channel '{channels[column]}' holds {what} in {end - first} samples from {clock.at(first):.3f} s "
                    f"on ({(end - first) / clock.rate_hz:.2f} s; up to {GAP_S} s is interpolated)",
                )
        values_TC[gone, column] = np.interp(times_s[gone], times_s[~gone], values_TC[~gone, column])
    row, column = np.argwhere(missing)[0]
    return values_TC, [
        f"{int(missing.sum())} missing values were interpolated, the first in '{channels[column]}' at "
        f"{clock.at(int(row)):.3f} s"
    ]


def evened(path, values_TC: np.ndarray, clock: Clock) -> tuple[np.ndarray, float, list[str]]:
    """Values at even steps, and their rate. Raises MediaError ``decode-error`` where the time stamps leave a hole."""
    rate = clock.rate_hz
    assert rate is not None
    if clock.times_s is None:
        return values_TC, rate, []
    times_s, notes = clock.times_s, []
    step = 1 / rate
    steps = np.diff(times_s)
    if steps.max() - step > max(GAP_S, step):
        k = int(np.argmax(steps))
        raise fail(
            path,
            "decode-error",
            f"nothing was recorded between {times_s[k]:.3f} and {times_s[k + 1]:.3f} s: a hole of {steps[k]:.2f} s",
        )
    if (steps == 0).any():
        places = np.concatenate([[True], steps > 0])
        of = np.cumsum(places) - 1
        values_TC = np.stack([np.bincount(of, column) / np.bincount(of) for column in values_TC.T], 1)
        notes.append(f"{int((steps == 0).sum())} samples have the time stamp of the one before: their mean is taken")
        times_s = times_s[places]
    off = times_s - np.arange(len(times_s)) * step
    if np.abs(off - np.median(off)).max() <= _JITTER * step:
        return values_TC, rate, notes
    n = int(np.floor(times_s[-1] * rate + 1e-6)) + 1
    where = np.arange(n) * step
    values_TC = np.stack([np.interp(where, times_s, column) for column in values_TC.T], 1)
    notes.append(
        f"its time stamps are uneven (steps of {1000 * steps.min():.3g} to {1000 * steps.max():.3g} ms): resampled at "
        f"{rate:.6g} Hz, {n} samples from {len(times_s)}"
    )
    return values_TC, rate, notes


def _near(rate: float, other: float) -> bool:
    return abs(rate / other - 1) <= CONTRADICTS
