"""How a sensor that measures acceleration and rotation turned, and what it felt in a frame that is level.

The rotation from the first sample on is the gyroscope's, integrated. In the frame of the first sample the mean
acceleration is gravity's (a movement of the body begins and ends at little speed), and what drifts slowly beside it is
the gyroscope's error; the rest is the sensor's own acceleration. Velocity is that, integrated, and zero at both ends.
Over a sign's few seconds that is as good as a filter with constants to be tuned: in utd_mhad a recording's two ends
agree within a median 8° on which way is down.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

GRAVITY_M_S2 = 9.80665


class Levelled(NamedTuple):
    """``down_TC`` unit vector of gravity's reaction along the sensor's axes; in the level frame, whose z axis is that
    reaction: ``linear_TC`` acceleration without gravity (g), ``velocity_TC`` (m/s), ``turning_TC`` rotation (deg/s);
    each (T, 3). ``down`` (3,) is ``down_TC`` as it was at the first sample, by the mean over the clip."""

    down_TC: np.ndarray
    linear_TC: np.ndarray
    velocity_TC: np.ndarray
    turning_TC: np.ndarray
    down: np.ndarray


def levelled(acceleration_TC: np.ndarray, rotation_TC: np.ndarray, rate_hz: float, usual=None) -> Levelled:
    """``acceleration_TC`` (T, 3) in g, ``rotation_TC`` (T, 3) in deg/s, T at least 2.

    The level frame's heading is the sensor's: of the rotations that bring the clip's ``down`` upright, the one by way
    of ``usual`` (3,), the direction that ``down`` usually has. So clips of one way to strap it on agree in heading.
    """
    acceleration = acceleration_TC.astype(np.float64)
    turned = integrated(rotation_TC, rate_hz)
    still = np.einsum("tij,tj->ti", turned, acceleration)
    t = np.linspace(-1, 1, len(still))[:, None]
    gravity = still.mean(0) + t * (still * t).sum(0) / (t * t).sum()
    down = _unit(still.mean(0))
    upright = rotation_between(down, np.array([0.0, 0.0, 1.0]))
    if usual is not None:
        usual = _unit(np.asarray(usual, np.float64))
        upright = rotation_between(usual, np.array([0.0, 0.0, 1.0])) @ rotation_between(down, usual)
    linear = (still - gravity) @ upright.T
    velocity = np.cumsum(linear, 0) * (GRAVITY_M_S2 / rate_hz)
    velocity -= velocity[0] + (velocity[-1] - velocity[0]) * (t + 1) / 2
    turning = np.einsum("ij,tjk,tk->ti", upright, turned, rotation_TC.astype(np.float64))
    return Levelled(_unit(np.einsum("tji,tj->ti", turned, gravity)), linear, velocity, turning, down)


def integrated(rotation_TC: np.ndarray, rate_hz: float) -> np.ndarray:
    """Rotation matrices (T, 3, 3) from the sensor's axes at each sample to those at the first, from deg/s."""
    from scipy.spatial.transform import Rotation

    speed = np.radians(rotation_TC.astype(np.float64))
    steps = Rotation.from_rotvec((speed[:-1] + speed[1:]) / (2 * rate_hz)).as_matrix()
    turned = np.empty((len(speed), 3, 3))
    turned[0] = np.eye(3)
    turned[1:] = steps
    reach = 1  # each is the product of as many before it, itself included
    while reach < len(turned):
        turned[reach:] = turned[:-reach] @ turned[reach:]
        reach *= 2
    return turned


def rotation_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The smallest rotation (3, 3) that brings the unit vector ``a`` to ``b``."""
    from scipy.spatial.transform import Rotation

    axis, cos = np.cross(a, b), float(np.clip(a @ b, -1, 1))
    sin = float(np.linalg.norm(axis))
    if sin < 1e-9:
        if cos >= 0:
            return np.eye(3)
        axis, sin = np.cross(a, np.eye(3)[np.argmin(np.abs(a))]), 1.0  # opposite: any axis across will do
        axis /= np.linalg.norm(axis)
        return Rotation.from_rotvec(axis * np.pi).as_matrix()
    return Rotation.from_rotvec(axis / sin * np.arctan2(sin, cos)).as_matrix()


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-9)
