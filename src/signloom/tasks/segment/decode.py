"""From what a network says of each frame to stretches, as frames come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from signloom.errors import CheckpointError
from signloom.transforms.motion_segments import Span

OUTSIDE, BEGIN, INSIDE = range(3)
CLASSES = ("outside", "begin", "inside")


@dataclass(frozen=True)
class Thresholds:
    """A sign begins where begin and inside together are likelier than ``on``, and ends where they are less likely than
    ``off``; where inside a sign begin is likelier than ``begin``, another one has begun. A stretch shorter than
    ``least_s`` is none, and one longer than ``most_s`` is cut."""

    on: float = 0.5
    off: float = 0.4
    begin: float = 0.5
    least_s: float = 0.25
    most_s: float = 8.0

    @classmethod
    def of(cls, values: Mapping[str, float]) -> Thresholds:
        """What a checkpoint keeps of it. Raises CheckpointError."""
        try:
            return cls(**{name: float(value) for name, value in values.items()})
        except (TypeError, ValueError) as error:
            raise CheckpointError(f"the checkpoint's 'thresholds' are broken: {error}") from error


@dataclass
class Decoder:
    """Takes the probabilities of frames and gives each stretch when it has come to its end."""

    thresholds: Thresholds
    start_s: float | None = None
    """When the stretch began that goes on; None outside."""
    _begins: bool = False
    _last_s: float = 0.0

    def push(self, time_s: float, p_K: np.ndarray) -> Span | None:
        """What the network says of the moment ``time_s``."""
        t = self.thresholds
        sign, begin = 1.0 - float(p_K[OUTSIDE]), float(p_K[BEGIN])
        again, self._begins = begin > t.begin and not self._begins, begin > t.begin
        done = None
        if self.start_s is None:
            if sign > t.on:
                self.start_s = time_s
        elif sign < t.off:
            done = self._end(time_s)
        elif (again and time_s - self.start_s >= t.least_s) or time_s - self.start_s >= t.most_s:
            done = self._end(time_s)
            self.start_s = time_s
        self._last_s = time_s
        return done

    def close(self) -> Span | None:
        """The stretch that goes on when the footage ends."""
        return self._end(self._last_s)

    def _end(self, time_s: float) -> Span | None:
        start_s, self.start_s = self.start_s, None
        if start_s is None or time_s - start_s < self.thresholds.least_s:
            return None
        return Span(start_s, time_s)


def stretches(moments_T: np.ndarray, p_TK: np.ndarray, thresholds: Thresholds) -> list[Span]:
    """The stretches in frames of which the network speaks at ``moments_T``, (T, 3) probabilities."""
    decoder = Decoder(thresholds)
    found = [decoder.push(float(moment_s), p_K) for moment_s, p_K in zip(moments_T, p_TK)]
    return [span for span in (*found, decoder.close()) if span is not None]
