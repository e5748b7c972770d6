"""What a sensor measured: samples on an even clock of their own, and channels whose names say what they hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from signloom.errors import InputError
from signloom.media.sensor_columns import KEPT


@dataclass(frozen=True)
class Channel:
    """One column: where it is worn (``""`` where nobody said), what it measures, along which axis, in which unit."""

    place: str
    quantity: str
    axis: str
    unit: str

    def __str__(self) -> str:
        return "_".join(part for part in (self.place, self.quantity, self.axis, self.unit) if part)

    @classmethod
    def parse(cls, name: str) -> Channel:
        """``"right_wrist_acceleration_x_g"`` in parts. Raises InputError for a name of another form."""
        parts = name.split("_")
        if len(parts) < 3 or parts[-3] not in KEPT:
            raise InputError(
                f"channel '{name}': wanted PLACE_QUANTITY_AXIS_UNIT with a quantity of {', '.join(KEPT)}, "
                "e.g. right_wrist_acceleration_x_g"
            )
        return cls("_".join(parts[:-3]), *parts[-3:])


def vectors(channels: Sequence[str]) -> list[tuple[int, int, int]]:
    """The columns x, y, z of each thing measured along three axes at one place, in the order of ``channels``."""
    found: dict[tuple[str, str], dict[str, int]] = {}
    for column, name in enumerate(channels):
        channel = Channel.parse(name)
        found.setdefault((channel.place, channel.quantity), {})[channel.axis] = column
    return [
        (axes["x"], axes["y"], axes["z"])
        for (_, quantity), axes in found.items()
        if quantity in ("acceleration", "rotation", "magnetic") and {"x", "y", "z"} <= axes.keys()
    ]


@dataclass(frozen=True)
class Signal:
    """What one or several sensors measured during a clip.

    ``values_TC`` float32 (T, C), one column for each of ``channels``, ``rate_hz`` samples per second; the first is of
    the time ``start_s`` on the clip's clock, which may lie before the clip or after its start.
    """

    values_TC: np.ndarray
    rate_hz: float
    channels: tuple[str, ...]
    start_s: float = 0.0

    def __post_init__(self):
        if self.values_TC.ndim != 2 or self.values_TC.shape[1] != len(self.channels):
            raise InputError(
                f"a signal of {len(self.channels)} channels needs values (T, {len(self.channels)}); got "
                f"{self.values_TC.shape}"
            )
        if not (np.isfinite(self.rate_hz) and self.rate_hz > 0):
            raise InputError(f"a signal needs a rate in Hz, above 0; got {self.rate_hz}")

    def __len__(self) -> int:
        return len(self.values_TC)

    def __getitem__(self, rows: np.ndarray | Sequence[int] | slice) -> Signal:
        """The samples at ``rows``, which follow each other."""
        rows = np.arange(len(self))[rows] if isinstance(rows, slice) else np.atleast_1d(np.asarray(rows, np.intp))
        first = int(rows[0]) if len(rows) else 0
        return replace(self, values_TC=self.values_TC[rows], start_s=self.start_s + first / self.rate_hz)

    @property
    def nbytes(self) -> int:
        """What it takes up in memory."""
        return self.values_TC.nbytes

    @property
    def times_s(self) -> np.ndarray:
        """When each sample was taken, on the clip's clock."""
        return self.start_s + np.arange(len(self)) / self.rate_hz

    @property
    def duration_s(self) -> float:
        """From the first sample to the end of the last."""
        return len(self) / self.rate_hz

    def select(self, channels: Iterable[str]) -> Signal:
        """The same with ``channels`` alone, in that order. Raises InputError naming one that is not there."""
        channels = tuple(channels)
        if channels == self.channels:
            return self
        if missing := [c for c in channels if c not in self.channels]:
            raise InputError(f"the signal has no channel '{missing[0]}'; it has {', '.join(self.channels)}")
        columns = [self.channels.index(c) for c in channels]
        return replace(self, values_TC=self.values_TC[:, columns], channels=channels)

    def at(self, times_s: np.ndarray) -> np.ndarray:
        """Values at ``times_s`` on the clip's clock, float32 (N, C), by linear interpolation; beyond its ends the
        first or last sample."""
        where = self.times_s
        columns = [np.interp(times_s, where, column) for column in self.values_TC.T.astype(np.float64)]
        return np.stack(columns, 1).astype(np.float32) if columns else np.zeros((len(times_s), 0), np.float32)

    def resampled(self, rate_hz: float) -> Signal:
        """The same span at another rate: faster by interpolation, slower after a low pass so that nothing folds over.

        Anti-aliasing is a zero-phase Butterworth low pass of order 4 at .45 of the new rate.
        """
        if abs(rate_hz - self.rate_hz) < 1e-9 * self.rate_hz or len(self) < 2:
            return self
        source = self
        if rate_hz < self.rate_hz:
            from scipy.signal import butter, sosfiltfilt

            sos = butter(4, 0.45 * rate_hz, fs=self.rate_hz, output="sos")
            padding = min(len(self) - 1, 3 * (2 * len(sos) + 1))
            smooth = sosfiltfilt(sos, self.values_TC.astype(np.float64), axis=0, padlen=padding)
            source = replace(self, values_TC=smooth.astype(np.float32))
        n = int(np.floor((len(self) - 1) / self.rate_hz * rate_hz + 1e-6)) + 1
        values = source.at(self.start_s + np.arange(n) / rate_hz)
        return replace(self, values_TC=values, rate_hz=rate_hz)
