"""Where signs begin and end in continuous footage, by what the hands do: causal, frame by frame, and not learnt.

A frame is *inside* a sign while a hand is raised above where resting hands hang, or moves fast. It is the simple rule
that a learnt segmenter has to beat: it parts signs only where hands come to rest between them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from signloom.data.skeleton import INDEX, Joints

_SHOULDERS = [INDEX["left_shoulder"], INDEX["right_shoulder"]]
_HANDS = [[INDEX[f"{side}_root"], INDEX[f"{side}_wrist"]] for side in ("left", "right")]


class Span(NamedTuple):
    """A stretch of time, in seconds."""

    start_s: float
    end_s: float


@dataclass
class MotionSegmenter:
    """Finds stretches in which somebody signs. Lengths are in shoulder widths, times in seconds.

    A hand is raised less than ``rest`` below the shoulders, and fast above ``speed`` a second. A stretch begins once
    hands were active for ``begin_s``, and ends when they were not for ``end_s``; shorter ones than ``least_s`` are
    none, and longer ones than ``most_s`` are cut.
    """

    rest: float = 0.7
    speed: float = 2.5
    begin_s: float = 0.1
    end_s: float = 0.2
    least_s: float = 0.3
    most_s: float = 6.0
    start_s: float | None = None
    """When the stretch began that goes on; None outside."""
    _active_since: float | None = None
    _last_active: float = 0.0
    _unit: float = 0.0
    _before: tuple[float, np.ndarray] | None = None
    _speeds: list[tuple[float, float]] = field(default_factory=list)

    def push(self, time_s: float, joints: Joints) -> Span | None:
        """Take the joints of one frame (T = 1); the stretch that has just come to its end, if one has."""
        if self._is_active(time_s, joints):
            if self._active_since is None:
                self._active_since = time_s
            self._last_active = time_s
            if self.start_s is None and time_s - self._active_since >= self.begin_s:
                self.start_s = self._active_since
        elif time_s - self._last_active >= self.end_s:
            self._active_since = None
            return self._end()
        if self.start_s is not None and time_s - self.start_s >= self.most_s:
            self._active_since = time_s
            return self._end()
        return None

    def close(self) -> Span | None:
        """The stretch that goes on when the footage ends."""
        return self._end()

    def reset(self) -> None:
        """Forget what was seen: other footage follows."""
        self.start_s = self._active_since = self._before = None
        self._unit, self._speeds = 0.0, []

    def _end(self) -> Span | None:
        start_s, self.start_s = self.start_s, None
        if start_s is None or self._last_active - start_s < self.least_s:
            return None
        return Span(start_s, self._last_active)

    def _is_active(self, time_s: float, joints: Joints) -> bool:
        xy_JC, present_J = joints.xy_TJC[0].astype(float), joints.present_TJ[0]
        if present_J[_SHOULDERS].all():
            width = float(np.linalg.norm(xy_JC[_SHOULDERS[0]] - xy_JC[_SHOULDERS[1]]))
            self._unit = max(self._unit * 0.99, width)  # who turns looks narrower
            origin_C = xy_JC[_SHOULDERS].mean(axis=0)
        else:
            self._before = None
            return False
        places_SC = np.full((2, 2), np.nan)
        for side, joints_of_hand in enumerate(_HANDS):
            for joint in joints_of_hand:
                if present_J[joint]:
                    places_SC[side] = (xy_JC[joint] - origin_C) / max(self._unit, 1e-6)
                    break
        raised = bool((places_SC[:, 1] < self.rest).any())
        return raised or self._speed(time_s, places_SC) > self.speed

    def _speed(self, time_s: float, places_SC: np.ndarray) -> float:
        """The median over a fifth of a second of the faster hand's speed: points jump for single frames."""
        before, self._before = self._before, (time_s, places_SC)
        if before is None or time_s <= before[0]:
            return 0.0
        moved_S = np.linalg.norm(places_SC - before[1], axis=1) / (time_s - before[0])
        fastest = float(np.nanmax(moved_S)) if np.isfinite(moved_S).any() else 0.0
        self._speeds = [(t, v) for t, v in self._speeds if time_s - t <= 0.2] + [(time_s, fastest)]
        return float(np.median([v for _, v in self._speeds]))
