"""Changes of found points alone: what estimators get wrong, and another camera. Sizes are in shoulder widths."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from signloom.data.skeleton import HAND_SIDES
from signloom.errors import InputError
from signloom.transforms.augment.draw import Facts
from signloom.transforms.augment.points import Points

# --- what was drawn -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Lost:
    """Single points lost, each frame others."""

    share: float
    seed: int

    def fault(self, points: Points) -> Points:
        lost = np.random.default_rng(self.seed).random(points.sure_TP.shape) < self.share
        return replace(points, sure_TP=np.where(lost, 0, points.sure_TP).astype(np.float32))


@dataclass(frozen=True)
class _Shaky:
    """Points off by a standard deviation, in shoulder widths."""

    amount: float
    seed: int

    def fault(self, points: Points) -> Points:
        unit = points.shoulder_px()
        if unit is None:
            return points
        off = np.random.default_rng(self.seed).standard_normal(points.xy_TPC.shape) * (self.amount * unit)
        moved = points.xy_TPC + off.astype(np.float32)
        return replace(points, xy_TPC=np.where(points.here_TP[..., None], moved, points.xy_TPC))


def _stretch(first: float, last: float, n: int) -> slice:
    start = min(int(first * n), n - 1)
    return slice(start, max(start + 1, math.ceil(last * n)))


@dataclass(frozen=True)
class _HandGone:
    """A hand (0 left, 1 right) not found between two shares of the clip."""

    side: int
    first: float
    last: float

    def fault(self, points: Points) -> Points:
        sure = points.sure_TP.copy()
        sure[_stretch(self.first, self.last, len(points)), points.layout.hands[self.side]] = 0
        return replace(points, sure_TP=sure)


@dataclass(frozen=True)
class _Ghost:
    """A hand (0 left, 1 right) that is the other one found twice, between two shares of the clip."""

    side: int
    first: float
    last: float

    def fault(self, points: Points) -> Points:
        own, other = points.layout.hands[self.side], points.layout.hands[1 - self.side]
        if len(own) != len(other):
            return points
        rows = np.arange(len(points))[_stretch(self.first, self.last, len(points))]
        rows = rows[points.here_TP[np.ix_(rows, other)].any(1)]
        xy, sure = points.xy_TPC.copy(), points.sure_TP.copy()
        xy[np.ix_(rows, own)], sure[np.ix_(rows, own)] = xy[np.ix_(rows, other)], sure[np.ix_(rows, other)]
        return replace(points, xy_TPC=xy, sure_TP=sure)


@dataclass(frozen=True)
class _Turned:
    """Seen by a camera that stands ``yaw_deg`` to the side and ``pitch_deg`` above, far away (weak perspective)."""

    yaw_deg: float
    pitch_deg: float

    def fault(self, points: Points) -> Points:
        if points.z_TP is None:
            raise InputError(
                "viewpoint turns poses in space, and these points have no depth: it works on .pose files with a z "
                "(signloom augment), not in training"
            )
        z = _in_one_frame(points)
        (left, here), (right, there) = points.place("left_shoulder"), points.place("right_shoulder")
        both = here & there
        if not both.any():
            return points
        middle = np.median((left[both] + right[both]) / 2, 0)
        shoulders = [points.column(f"{side}_shoulder") for side in HAND_SIDES]
        depth = np.median(z[both][:, shoulders])
        x, y, z = points.xy_TPC[..., 0] - middle[0], points.xy_TPC[..., 1] - middle[1], z - depth
        c, s = math.cos(math.radians(self.yaw_deg)), math.sin(math.radians(self.yaw_deg))
        x, z = x * c + z * s, z * c - x * s
        c, s = math.cos(math.radians(self.pitch_deg)), math.sin(math.radians(self.pitch_deg))
        y, z = y * c - z * s, z * c + y * s
        xy = np.stack([x + middle[0], y + middle[1]], -1).astype(np.float32)
        before = points.here_TP
        back = np.where(before, points.z_TP + (z - (_in_one_frame(points) - depth)), points.z_TP)
        return replace(points, xy_TPC=np.where(before[..., None], xy, points.xy_TPC), z_TP=back.astype(np.float32))


def _in_one_frame(points: Points) -> np.ndarray:
    """z of all points from one origin, (T, P): MediaPipe counts a hand's from its wrist, a face's from its middle."""
    assert points.z_TP is not None
    z = points.z_TP.astype(np.float64).copy()
    for side, hand in zip(HAND_SIDES, points.layout.hands):
        wrist = points.column(f"{side}_wrist")
        if wrist is not None:
            z[:, hand] += points.z_TP[:, wrist, None]
    ears = [c for c in (points.column("left_ear"), points.column("right_ear")) if c is not None]
    if len(points.layout.face) and ears:
        z[:, points.layout.face] += points.z_TP[:, ears].mean(1, keepdims=True)
    return z


# --- what can be drawn --------------------------------------------------------------------------------------------


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


def _when(rng: np.random.Generator, share: float) -> tuple[float, float]:
    length = rng.uniform(0.25, 1) * share
    first = rng.uniform(0, 1 - length)
    return round(float(first), 4), round(float(first + length), 4)


@dataclass(frozen=True)
class JointDropout:
    """Single points are not found, a ``share`` of them, in each frame others."""

    chance: float = 1.0
    share: float = 0.05
    amounts: ClassVar[tuple[str, ...]] = ("share",)

    def drawn(self, rng: np.random.Generator, facts: Facts) -> _Lost | None:
        return _Lost(self.share, _seed(rng)) if self.share > 0 else None


@dataclass(frozen=True)
class JointNoise:
    """Points are off by a standard deviation of up to ``amount`` shoulder widths."""

    chance: float = 1.0
    amount: float = 0.01
    amounts: ClassVar[tuple[str, ...]] = ("amount",)

    def drawn(self, rng: np.random.Generator, facts: Facts) -> _Shaky | None:
        amount = float(rng.uniform(0, 1) * self.amount)
        return _Shaky(amount, _seed(rng)) if amount > 0 else None


@dataclass(frozen=True)
class LostHand:
    """One hand is not found for a while, up to ``share`` of the clip."""

    chance: float = 0.3
    share: float = 0.4
    amounts: ClassVar[tuple[str, ...]] = ("share",)

    def drawn(self, rng: np.random.Generator, facts: Facts) -> _HandGone | None:
        return _HandGone(int(rng.integers(2)), *_when(rng, min(self.share, 1))) if self.share > 0 else None


@dataclass(frozen=True)
class GhostHand:
    """One hand is found twice, as both, for up to ``share`` of the clip."""

    chance: float = 0.2
    share: float = 0.3
    amounts: ClassVar[tuple[str, ...]] = ("share",)

    def drawn(self, rng: np.random.Generator, facts: Facts) -> _Ghost | None:
        return _Ghost(int(rng.integers(2)), *_when(rng, min(self.share, 1))) if self.share > 0 else None


@dataclass(frozen=True)
class Viewpoint:
    """Another camera: up to ``yaw_deg`` to the side and ``pitch_deg`` up or down. For poses with depth alone; pictures
    cannot follow."""

    chance: float = 1.0
    yaw_deg: float = 20.0
    pitch_deg: float = 8.0
    amounts: ClassVar[tuple[str, ...]] = ("yaw_deg", "pitch_deg")
    leaves_pictures: ClassVar[bool] = True
    """Whether points part from their pictures."""

    def drawn(self, rng: np.random.Generator, facts: Facts) -> _Turned | None:
        u = rng.uniform(-1, 1, 2)
        if not any((self.yaw_deg, self.pitch_deg)):
            return None
        return _Turned(float(u[0] * self.yaw_deg), float(u[1] * self.pitch_deg))
