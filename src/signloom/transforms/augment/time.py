"""Changes of time. Amounts are shares of the clip or factors of its tempo; none runs backwards, none empties a clip."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from signloom.errors import InputError
from signloom.transforms.augment.draw import Facts, Timed


def _timed(at: np.ndarray, facts: Facts, fps: float | None = None) -> Timed:
    inside = np.round(np.clip(at, 0, facts.n_frames - 1), 6)
    return Timed(tuple(float(v) for v in inside), facts.fps if fps is None else fps)


def _spread(first: float, last: float, n: int) -> np.ndarray:
    return np.linspace(first, last, max(n, 1))


@dataclass(frozen=True)
class Speed:
    """Signs faster or slower by a factor of up to exp(``amount``): the clip becomes shorter or longer."""

    chance: float = 1.0
    amount: float = 0.25
    amounts: ClassVar[tuple[str, ...]] = ("amount",)

    def drawn(self, rng: np.random.Generator, facts: Facts) -> Timed:
        n = facts.n_frames
        longer = max(min(2, n), round(n * math.exp(rng.uniform(-1, 1) * self.amount)))
        return _timed(_spread(0, n - 1, longer), facts)


@dataclass(frozen=True)
class TimeWarp:
    """Bends time by up to ``amount``: one part becomes faster and another slower, the length stays."""

    chance: float = 1.0
    amount: float = 0.25
    amounts: ClassVar[tuple[str, ...]] = ("amount",)

    def drawn(self, rng: np.random.Generator, facts: Facts) -> Timed:
        u = np.linspace(0, 1, facts.n_frames)
        a, b = rng.uniform(-1, 1, 2) * min(self.amount, 0.45)  # together less than 1, or time would run backwards
        bent = u + a * np.sin(math.pi * u) / math.pi + b * np.sin(2 * math.pi * u) / (2 * math.pi)
        return _timed(bent * (facts.n_frames - 1), facts)


@dataclass(frozen=True)
class TemporalCrop:
    """Cuts up to ``amount`` of the clip off each end."""

    chance: float = 1.0
    amount: float = 0.12
    amounts: ClassVar[tuple[str, ...]] = ("amount",)

    def drawn(self, rng: np.random.Generator, facts: Facts) -> Timed:
        last = facts.n_frames - 1
        off = np.round(rng.uniform(0, 1, 2) * min(self.amount, 0.45) * last)
        return _timed(np.arange(off[0], last - off[1] + 1), facts)


@dataclass(frozen=True)
class FrameDrop:
    """Loses a ``share`` of the frames, as a poor line does: the frame before is shown again, the length stays."""

    chance: float = 1.0
    share: float = 0.1
    amounts: ClassVar[tuple[str, ...]] = ("share",)

    def drawn(self, rng: np.random.Generator, facts: Facts) -> Timed:
        lost = rng.random(facts.n_frames) < self.share
        lost[0] = False
        return _timed(np.maximum.accumulate(np.where(lost, 0, np.arange(facts.n_frames))), facts)


@dataclass(frozen=True)
class DownSample:
    """Leaves each frame out with probability ``share``: the clip becomes shorter. Published with .1."""

    chance: float = 1.0
    share: float = 0.1
    amounts: ClassVar[tuple[str, ...]] = ("share",)

    def drawn(self, rng: np.random.Generator, facts: Facts) -> Timed:
        kept = np.flatnonzero(rng.random(facts.n_frames) >= self.share)
        return _timed(kept if len(kept) >= 2 else np.arange(facts.n_frames), facts)


@dataclass(frozen=True)
class UpSample:
    """Shows each frame twice with probability ``share``: the clip becomes longer. Published with .2."""

    chance: float = 1.0
    share: float = 0.2
    amounts: ClassVar[tuple[str, ...]] = ("share",)

    def drawn(self, rng: np.random.Generator, facts: Facts) -> Timed:
        return _timed(np.repeat(np.arange(facts.n_frames), 1 + (rng.random(facts.n_frames) < self.share)), facts)


@dataclass(frozen=True)
class Rate:
    """Films the same motion at another rate, from ``least_fps`` to ``most_fps``."""

    chance: float = 1.0
    least_fps: float = 25.0
    most_fps: float = 50.0
    amounts: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self):
        if not 1 <= self.least_fps <= self.most_fps <= 240:
            raise InputError(f"rate: got {self.least_fps:g} to {self.most_fps:g} fps, expected 1 to 240, least first")

    def drawn(self, rng: np.random.Generator, facts: Facts) -> Timed:
        fps = round(float(rng.uniform(self.least_fps, self.most_fps)), 2)
        n = facts.n_frames
        return _timed(_spread(0, n - 1, round((n - 1) * fps / facts.fps) + 1), facts, fps)
