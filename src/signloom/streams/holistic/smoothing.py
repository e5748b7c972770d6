"""Filters that take the tremble out of points and keep their movement. Source: Casiez, Roussel & Vogel 2012."""

from __future__ import annotations

from math import pi

import numpy as np


class OneEuro:
    """The 1€ filter: the faster a value moves, the less it is smoothed. All of an array at once, each for itself.

    ``cutoff_hz`` holds for what stands still; ``beta`` (seconds a unit) raises it with speed, which is smoothed
    itself at ``speed_cutoff_hz``. Times are the frames' own: at another rate the same movement is smoothed the same.
    """

    def __init__(self, cutoff_hz: float, beta: float, speed_cutoff_hz: float = 1.0):
        self._cutoff_hz, self._beta, self._speed_cutoff_hz = cutoff_hz, beta, speed_cutoff_hz
        self.reset()

    def reset(self) -> None:
        """Forget what was before."""
        self._time_s: float | None = None
        self._raw = self._smooth = self._speed = np.zeros(0)

    def __call__(self, values: np.ndarray, time_s: float, unit: float) -> np.ndarray:
        """``values`` at ``time_s``, smoothed. Speed is measured in ``unit`` (of the values) a second.

        The first values, and such at a time that is not later than the last, come back as they are.
        """
        if self._time_s is None:
            self._raw, self._smooth, self._speed = values, values, np.zeros_like(values)
            self._time_s = time_s
            return values
        if time_s <= self._time_s:
            return values
        step_s = time_s - self._time_s
        self._time_s = time_s
        share = _share(self._speed_cutoff_hz, step_s)
        self._speed = share * (values - self._raw) / (unit * step_s) + (1 - share) * self._speed
        shares = _share(self._cutoff_hz + self._beta * np.abs(self._speed), step_s)
        self._smooth = shares * values + (1 - shares) * self._smooth
        self._raw = values
        return self._smooth


class LowPass:
    """Each value is ``share`` of the new and the rest of what was before, whatever the time between."""

    def __init__(self, share: float):
        self._share = share
        self._smooth: np.ndarray | None = None

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """``values``, smoothed; the first as they are."""
        before = values if self._smooth is None else self._smooth
        self._smooth = self._share * values + (1 - self._share) * before
        return self._smooth


def _share(cutoff_hz, step_s: float):
    """How much the new value counts in a low pass of ``cutoff_hz`` that steps by ``step_s``."""
    return 1 / (1 + 1 / (2 * pi * cutoff_hz * step_s))
