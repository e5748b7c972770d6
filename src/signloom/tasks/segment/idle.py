"""Hands that move and say nothing: to the head to scratch it, to the chin, into each other; and who shifts about."""

from __future__ import annotations

import math

import numpy as np

from signloom.data.skeleton import HAND_SIDES, INDEX, PARTS

_SHOULDERS = [INDEX["left_shoulder"], INDEX["right_shoulder"]]
_PLACES = (
    # from between the shoulders, in shoulder widths, for a hand whose own side is at positive x
    (0.30, -1.15), (0.45, -0.75), (0.10, -0.60), (0.05, -0.35), (-0.45, 0.00), (0.00, 0.30), (-0.10, 0.80),
    (0.55, 1.30),
)  # fmt: skip


def move_idly(
    xy_TJC: np.ndarray,
    present_TJ: np.ndarray,
    rate_hz: float,
    unit_px: float,
    rng: np.random.Generator,
    of: tuple[np.ndarray, np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """A pose at rest, (T, J, 2) in pixels, in which one hand or both go somewhere and back, or the body shifts.

    ``of`` are joints and presence of a clip of the same person, for the shape of a hand that is not seen at rest.
    """
    xy, present = xy_TJC.astype(np.float32).copy(), present_TJ.copy()
    if rng.random() < 0.3:
        return _shifted(xy, present, unit_px, rng)
    sides = [0, 1] if rng.random() < 0.25 else [int(rng.integers(2))]
    place = np.array(_PLACES[int(rng.integers(len(_PLACES)))]) + rng.normal(0, 0.1, 2)
    lift = _lift(len(xy), rate_hz, rng)
    for side in sides:
        _move_hand(xy, present, side, place, lift, rate_hz, unit_px, rng, of)
    return np.where(present[..., None], xy, 0).astype(np.float32), present


def _lift(n: int, rate_hz: float, rng: np.random.Generator) -> np.ndarray:
    """How far a hand is on its way, from 0 to 1: up, there for a while, and down."""
    up, down = (round(float(rng.uniform(0.3, 0.8)) * rate_hz) for _ in range(2))
    up, down = max(1, min(up, n // 3)), max(1, min(down, n // 3))
    begin = int(rng.integers(0, max(1, n // 8)))
    at = np.arange(n, dtype=np.float64)
    return _ramp((at - begin) / up) * (1 - _ramp((at - (n - 1 - down)) / down))


def _ramp(u: np.ndarray) -> np.ndarray:
    """A minimum-jerk rise (Flash & Hogan 1985, https://doi.org/10.1523/JNEUROSCI.05-07-01688.1985)."""
    u = np.clip(u, 0, 1)
    return u * u * u * (10 - 15 * u + 6 * u * u)


def _move_hand(xy, present, side: int, place, lift, rate_hz: float, unit_px: float, rng, of) -> None:
    name = HAND_SIDES[side]
    wrist, elbow, part = INDEX[f"{name}_wrist"], INDEX[f"{name}_elbow"], PARTS[f"{name}_hand"]
    middle = xy[:, _SHOULDERS].mean(1)
    outwards = np.sign(xy[:, INDEX[f"{name}_shoulder"], 0].mean() - middle[:, 0].mean()) or 1.0
    target = middle + unit_px * place * np.array([outwards, 1.0])
    seen = present[:, part].any(1)
    home = np.where(seen[:, None], xy[:, part.start], xy[:, wrist])
    t = np.arange(len(xy)) / rate_hz
    hz, size = rng.uniform(1.5, 5.0), rng.uniform(0.0, 0.12) * unit_px
    angle = rng.uniform(0, math.pi)
    rub = size * np.sin(2 * math.pi * (hz * t + rng.random()))[:, None] * np.array([math.cos(angle), math.sin(angle)])
    away = lift[:, None] * (target + rub - home)
    _shape_hand(xy, present, side, home, lift, rng, of)
    turn = rng.normal(0, 0.7) * lift
    cos, sin = np.cos(turn)[:, None], np.sin(turn)[:, None]
    off = xy[:, part] - home[:, None]
    xy[:, part] = home[:, None] + np.stack(
        [off[..., 0] * cos - off[..., 1] * sin, off[..., 0] * sin + off[..., 1] * cos], -1
    )
    xy[:, part] += away[:, None]
    xy[:, wrist] += away
    xy[:, elbow] += away * rng.uniform(0.3, 0.6)


def _shape_hand(xy, present, side: int, home, lift, rng, of) -> None:
    """Where the hand is not seen at rest, the shape that it has somewhere in the clip, once it is on its way."""
    part = PARTS[f"{HAND_SIDES[side]}_hand"]
    missing = ~present[:, part].any(1) & (lift > rng.uniform(0.1, 0.5))
    rows = np.flatnonzero(of[1][:, part].all(1))
    if not missing.any() or not len(rows) or rng.random() < 0.15:
        return
    shape = of[0][int(rng.choice(rows)), part]
    xy[missing, part] = home[missing, None] + (shape - shape[:1])[None] * rng.uniform(0.8, 1.1)
    present[missing, part] = True


def _shifted(xy, present, unit_px: float, rng) -> tuple[np.ndarray, np.ndarray]:
    """The whole person goes a little aside, and stays there or comes back."""
    n = len(xy)
    at = np.arange(n) / max(1, n - 1)
    way = _ramp((at - 0.1) / rng.uniform(0.2, 0.6))
    if rng.random() < 0.5:
        way = way * (1 - _ramp((at - 0.7) / 0.3))
    xy += (way[:, None] * rng.normal(0, 0.2, 2) * unit_px)[:, None]
    return np.where(present[..., None], xy, 0).astype(np.float32), present
