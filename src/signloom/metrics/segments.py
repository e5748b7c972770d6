"""How well stretches of time were found: frame by frame, and stretch by stretch.

Stretches are (start_s, end_s) in order, those of one list apart from each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Stretch = tuple[float, float]


@dataclass(frozen=True)
class Found:
    """What came of a recording: frames of signs in both, and in either (``common``, ``either``); stretches that
    overlap by half (``hits``), found ones, real ones. They add up over recordings."""

    common: int = 0
    either: int = 0
    hits: int = 0
    found: int = 0
    real: int = 0

    def __add__(self, other: Found) -> Found:
        return Found(*(a + b for a, b in zip(self.counts, other.counts)))

    @property
    def counts(self) -> tuple[int, ...]:
        return self.common, self.either, self.hits, self.found, self.real

    @property
    def frame_iou(self) -> float | None:
        """Of the frames that are, or were taken to be, of signs: how many are both. None where there are none."""
        return self.common / self.either if self.either else None

    @property
    def f1(self) -> float | None:
        """F1 of stretches that overlap a real one by half of their union. None where there are none."""
        return 2 * self.hits / (self.found + self.real) if self.found + self.real else None


def overlap(a: Stretch, b: Stretch) -> float:
    """Intersection over union.

    >>> overlap((0.0, 2.0), (1.0, 3.0))
    0.3333333333333333
    """
    common = min(a[1], b[1]) - max(a[0], b[0])
    union = max(a[1], b[1]) - min(a[0], b[0])
    return max(0.0, common) / union if union > 0 else 0.0


def matched(real: Sequence[Stretch], found: Sequence[Stretch], least: float = 0.5) -> list[tuple[int, int]]:
    """Which found stretch is which real one: pairs of their numbers, each in one pair at most.

    The best overlaps go first; pairs that overlap by less than ``least`` are none.

    >>> matched([(0.0, 1.0), (2.0, 3.0)], [(0.1, 1.0), (1.0, 1.9)])
    [(0, 0)]
    """
    pairs, j = [], 0
    for i, r in enumerate(real):
        while j < len(found) and found[j][1] <= r[0]:
            j += 1
        k = j
        while k < len(found) and found[k][0] < r[1]:
            pairs.append((overlap(r, found[k]), i, k))
            k += 1
    taken: tuple[set[int], set[int]] = set(), set()
    chosen = []
    for share, i, j in sorted(pairs, key=lambda p: (-p[0], p[1:])):
        if share >= least and i not in taken[0] and j not in taken[1]:
            taken[0].add(i)
            taken[1].add(j)
            chosen.append((i, j))
    return sorted(chosen)


def compared(times_T: np.ndarray, real: Sequence[Stretch], found: Sequence[Stretch]) -> Found:
    """What came of a recording with frames at ``times_T``."""
    is_T, said_T = inside(times_T, real), inside(times_T, found)
    hits = len(matched(real, found))
    return Found(int((is_T & said_T).sum()), int((is_T | said_T).sum()), hits, len(found), len(real))


def inside(times_T: np.ndarray, stretches: Sequence[Stretch]) -> np.ndarray:
    """Which frames lie in one of the stretches, (T,) bool; an end lies outside."""
    within_T = np.zeros(len(times_T), bool)
    for start_s, end_s in stretches:
        within_T |= (times_T >= start_s) & (times_T < end_s)
    return within_T
