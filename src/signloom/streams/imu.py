"""Inertial and muscle sensors: what they measured, on their own clock, beside the footage or alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from signloom.data.signal import Signal
from signloom.data.signal_files import read_signal, write_signal
from signloom.data.stream import ClipInfo, File, Imported, ImportedStream, Stage, Stream, Timed
from signloom.errors import InputError, MediaError
from signloom.media.sensor_clock import GAP_S

MUCH_LONGER = 1.2
"""A sensor that lasts so many times as long as its clip, and half a second more, is told of."""
SLOWEST_HZ = 2.0
"""No sensor of movement is slower."""
LEAST_COVERED = 0.5
"""A sensor that was on for less than this share of its clip is refused: its clock or its rate is hardly right."""


NOT_OF_THE_FILE = ("offset_s", "drift", "worn_on", "prepared")
"""What a record says of its sensor beside how its file is to be read."""


def reading(about: Mapping[str, Any]) -> dict[str, Any]:
    """The options of :func:`signloom.media.sensor_files.read_sensor_file` in a record's ``extra["imu"]``."""
    return {name: value for name, value in about.items() if name not in NOT_OF_THE_FILE}


@dataclass(frozen=True)
class ImuStream(ImportedStream):
    """Acceleration, rate of turn, muscle activity …: the file of a sensor, checked, in g, degrees/s, .npz files.

    ``rate_hz`` is what all clips are brought to; 0 leaves each at its own. ``channels`` are those of the files that
    were read (:class:`signloom.data.signal.Channel`). It is read from files of its own, never made of footage; a record
    says in ``extra["imu"]`` how: ``rate_hz``, ``channels`` and other options of
    :func:`signloom.media.sensor_files.read_sensor_file`, and where its clock stands: time on the clip's clock is
    ``offset_s + (1 + drift) · sensor time``.
    """

    rate_hz: float = 0.0
    channels: tuple[str, ...] = ()
    name = "imu"
    suffix = ".npz"
    clock = "own"
    small = True
    lossless = True
    requires = ()
    extra_fields = ("imu", "imu_found")

    def __post_init__(self):
        if not self.rate_hz >= 0:
            raise InputError(f"imu.rate_hz: got {self.rate_hz}, expected samples per second, or 0 as recorded")

    def fingerprint(self) -> dict[str, Any]:
        return {"extractor": "imu", "version": 1, "rate_hz": self.rate_hz, "channels": list(self.channels)}

    @classmethod
    def of_fingerprint(cls, made: Mapping[str, Any], others: Mapping[str, Stream]) -> ImuStream:
        """The stream whose fingerprint is ``made``. Raises InputError for files that no ``prepare`` has read."""
        if made.get("extractor") != "imu":
            raise InputError(f"stream imu was made by {made.get('extractor')}: bring it into a corpus with prepare")
        return cls(float(made.get("rate_hz", 0.0)), tuple(made.get("channels", ())))

    def open(self, info: ClipInfo) -> Stage:
        raise InputError(f"clip '{info.id}': what a sensor measures cannot be made of footage; give its samples")

    def import_file(
        self, file: Path, how: Mapping[str, Any], info: ClipInfo, span_s: tuple[float, float] | None, *, cut: bool
    ) -> Imported:
        """The sensor's file, read as ``how`` says, and brought to the clip's clock.

        Of a clip that is all of what was filmed the whole file is kept, and it is told where it lasts clearly longer.
        Raises MediaError, ``sensor-too-short`` where it covers too little of the clip.
        """
        from signloom.media.sensor_files import read_sensor_file

        offset_s, drift = float(how.get("offset_s", 0.0)), float(how.get("drift", 0.0))
        found = read_sensor_file(file, **reading(how))
        rate_hz = found.rate_hz / (1 + drift)
        start_s = offset_s + (1 + drift) * float(found.times_s[0] if len(found.times_s) else 0.0)
        signal = Signal(found.values_TC.astype(np.float32), rate_hz, tuple(found.channels), start_s)
        if self.channels:  # those that a model knows, in whatever order the file has them
            if missing := [name for name in self.channels if name not in signal.channels]:
                raise MediaError(
                    f"'{file}' has no channel '{missing[0]}', which the model knows; it has "
                    f"{', '.join(signal.channels)}. Name its columns: --option channels=…",
                    "bad-header",
                )
            signal = signal.select(self.channels)
        told: dict[str, Any] = {"notes": list(found.notes)} if found.notes else {}
        if span_s is not None:
            lasts_s = max(span_s[1] - span_s[0], 1e-9)
            within, covered = _cut(signal, *span_s)
            signal = within if cut else signal
            if signal.duration_s > lasts_s * MUCH_LONGER + 0.5:
                told["longer"] = round(signal.duration_s / lasts_s, 3)
            if covered < LEAST_COVERED:
                raise MediaError(
                    f"clip '{info.id}': '{file}' covers {covered:.0%} of it ({signal.duration_s:.2f} s of "
                    f"{lasts_s:.2f} s, at {found.rate_hz:g} Hz). Is its rate right? Else see where its "
                    "clock stands: signloom sync",
                    "sensor-too-short",
                )
            if covered < 0.98:
                told["covered"] = round(covered, 3)
        if self.rate_hz:
            signal = signal.resampled(self.rate_hz)
        about = {"rate_hz": round(signal.rate_hz, 6), "prepared": True}
        extra = {"imu": about | ({"worn_on": how["worn_on"]} if how.get("worn_on") else {})} | (
            {"imu_found": told} if told else {}
        )
        stream = replace(self, channels=signal.channels)
        digest = hashlib.blake2b(signal.values_TC.tobytes(), digest_size=16)
        digest.update(repr((signal.channels, round(found.rate_hz, 6))).encode())
        return Imported(stream, signal, len(signal), signal.rate_hz, digest.hexdigest(), extra)

    def write(self, file: Path, samples: Signal) -> None:
        """Store ``samples``, whole or not at all."""
        write_signal(file, samples)

    @contextmanager
    def writer(self, file: Path, info: ClipInfo) -> Iterator[Callable[[Timed], None]]:
        rows: list[Timed] = []
        yield rows.append
        self.write(file, self.gather(rows, info))

    def read(self, file: File, rows: np.ndarray | Sequence[int] | None = None) -> Signal:
        signal = read_signal(file)
        return signal if rows is None else signal[rows]

    def gather(self, samples: Sequence[Timed], info: ClipInfo) -> Signal:
        """Samples pushed with their times, as the signal that their file would give: brought to an even clock."""
        if len(samples) < 2:
            raise MediaError(f"clip '{info.id}': {len(samples)} sample of its sensor; a signal needs two", "no-frames")
        times_s = np.array([timed.time_s for timed in samples])
        if not (np.diff(times_s) > 0).all():
            raise InputError(f"clip '{info.id}': the samples of its sensor do not come in the order of their times")
        values = np.stack([np.asarray(timed.sample, np.float32) for timed in samples])
        if values.shape[1:] != (len(self.channels),):
            raise InputError(
                f"clip '{info.id}': its sensor gave samples of shape {values.shape[1:]}; the model knows "
                f"{len(self.channels)} channels: {', '.join(self.channels)}"
            )
        steps_s = np.diff(times_s)
        rate_hz = round(1 / float(np.median(steps_s)), 3)
        if rate_hz < SLOWEST_HZ:
            raise InputError(f"clip '{info.id}': samples come every {steps_s.max():g} s; are their times in seconds?")
        if steps_s.max() > GAP_S + 1.5 / rate_hz:
            at = int(steps_s.argmax())
            raise MediaError(
                f"clip '{info.id}': no sample for {steps_s[at]:.2f} s from {times_s[at]:.2f} s on (up to {GAP_S} s is "
                "interpolated)",
                "decode-error",
            )
        signal = Signal(values, rate_hz, self.channels, float(times_s[0]))
        if np.abs(times_s - signal.times_s).max() > 0.5 / rate_hz:
            n = int(np.floor((times_s[-1] - times_s[0]) * rate_hz + 1e-6)) + 1
            even_s = times_s[0] + np.arange(n) / rate_hz
            even = np.stack([np.interp(even_s, times_s, column) for column in values.T], 1).astype(np.float32)
            signal = replace(signal, values_TC=even)
        return signal.resampled(self.rate_hz) if self.rate_hz else signal


def _cut(signal: Signal, start_s: float, stop_s: float) -> tuple[Signal, float]:
    """The part of ``signal`` in a stretch of its clock, which then begins at 0, and how much of that it covers."""
    times_s = signal.times_s
    inside = np.flatnonzero((times_s > start_s - 1 / signal.rate_hz) & (times_s < stop_s + 1 / signal.rate_hz))
    cut = signal[inside[0] : inside[-1] + 1] if len(inside) else signal[:0]
    length_s = max(stop_s - start_s, 1e-9)
    return replace(cut, start_s=cut.start_s - start_s), min(1.0, len(cut) / cut.rate_hz / length_s)
