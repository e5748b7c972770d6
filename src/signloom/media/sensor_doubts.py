"""What looks odd in a recording, as questions: gravity that is not 1 g, turns that gravity does not follow, silence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

_STILLEST = 0.25  # the share of samples with the least change that stands for rest
# How fast gravity turns in the sensor's frame, over how fast the gyroscope says it turns (90th percentiles): .57 to 7.9
# in 431 recordings of UTD-MHAD and 1,099 of a Myo armband. In the wrong unit it is 57 times more, or less.
_TURNS = (0.1, 15.0)
_MOVES_DPS = 30.0
_SMOOTH_S = 0.1
_RESTS = {"m/s²": (8.8, 10.8), "mg": (850.0, 1150.0)}
"""Magnitudes at rest that say in what an accelerometer's numbers are."""


def doubts(values_TC: np.ndarray, channels: Sequence[str], rate_hz: float) -> list[str]:
    """Notes on ``values_TC`` float64 (T, C) in g and degrees per second; nothing is changed."""
    places: dict[str, dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    for column, name in enumerate(channels):
        *worn, quantity, axis, _ = name.split("_")
        places["_".join(worn)][quantity][axis] = column
    notes = []
    for place, of in places.items():
        where = f" of '{place}'" if place else ""
        acceleration, rotation = (_vector(values_TC, of.get(q, {})) for q in ("acceleration", "rotation"))
        if acceleration is not None:
            notes += _gravity(acceleration, rotation, where)
        if acceleration is not None and rotation is not None:
            notes += _turning(acceleration, rotation, rate_hz, where)
        if emg := of.get("emg"):
            notes += _silence(values_TC[:, list(emg.values())], where)
    return notes


def _vector(values_TC: np.ndarray, axes: dict[str, int]) -> np.ndarray | None:
    return values_TC[:, [axes[a] for a in "xyz"]] if {"x", "y", "z"} <= axes.keys() else None


def _rest(vectors_T3: np.ndarray) -> np.ndarray:
    """Magnitudes where they change least."""
    change = np.linalg.norm(np.diff(vectors_T3, axis=0), axis=1)
    return np.linalg.norm(vectors_T3, axis=1)[1:][change <= np.quantile(change, _STILLEST)]


def _gravity(acceleration: np.ndarray, rotation: np.ndarray | None, where: str) -> list[str]:
    none = int((acceleration == 0).all(1).sum())
    if none:
        return [
            f"acceleration{where} is exactly 0 along all axes in {none} of {len(acceleration)} samples: was its sensor "
            "connected?"
        ]
    at_rest = float(np.median(_rest(acceleration)))
    if 0.5 <= at_rest <= 2:
        return []
    if rotation is not None:
        still = _rest(rotation)
        if 0.8 <= np.median(still) <= 1.2 and still.std() < 0.15:
            return [
                f"are the columns of acceleration and rotation{where} swapped? At rest the magnitude of rotation is "
                f"{np.median(still):.2f} and that of acceleration {at_rest:.3g}; gravity is 1 g"
            ]
    for unit, (least, most) in _RESTS.items():
        if least <= at_rest <= most:
            return [
                f"is acceleration{where} in {unit}? At rest its magnitude is {at_rest:.4g}, where gravity is 1 g; "
                f"units=acceleration={unit} says so"
            ]
    if at_rest < 0.5:
        return [f"was gravity taken out of the acceleration{where}? At rest its magnitude is {at_rest:.3g} g, not 1"]
    return [f"acceleration{where} has a magnitude of {at_rest:.4g} g at rest, where gravity is 1: in which unit is it?"]


def _turning(acceleration: np.ndarray, rotation: np.ndarray, rate_hz: float, where: str) -> list[str]:
    from scipy.ndimage import uniform_filter1d

    smooth = uniform_filter1d(acceleration, max(1, round(_SMOOTH_S * rate_hz)), axis=0)
    size = np.linalg.norm(smooth, axis=1)
    fine = (size > 0.5) & (size < 2)
    fine = fine[1:] & fine[:-1]
    if fine.sum() < 10:
        return []
    along = smooth / np.maximum(size, 1e-9)[:, None]
    turns = np.degrees(np.linalg.norm(np.diff(along, axis=0), axis=1)) * rate_hz
    of_gravity = float(np.percentile(turns[fine], 90))
    of_gyroscope = float(np.percentile(np.linalg.norm(rotation, axis=1)[1:][fine], 90))
    if of_gravity < _MOVES_DPS:
        return []
    said = f"gravity turns by up to {of_gravity:.3g} degrees a second in it, and rotation says {of_gyroscope:.3g}"
    if of_gyroscope == 0:
        return [f"rotation{where} is 0 throughout, though the sensor turns: was its gyroscope on?"]
    if of_gravity / of_gyroscope > _TURNS[1]:
        return [f"is rotation{where} in rad/s? The sensor turns: {said}; units=rotation=rad/s says so"]
    if of_gravity / of_gyroscope < _TURNS[0]:
        return [f"is rotation{where} in degrees per second, and not in rad/s? {said}; units=rotation=dps says so"]
    return []


def _silence(emg_TC: np.ndarray, where: str) -> list[str]:
    loud = (emg_TC != 0).any(1)
    if not loud.any():
        return [f"EMG{where} is zero throughout"]
    first = int(np.argmax(loud))
    return [f"EMG{where} is zero in the first {first} samples"] if first > 1 else []
