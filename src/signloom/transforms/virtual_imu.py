"""What a sensor on a limb would measure, from where the limb's two joints are: acceleration and rate of turn.

Both joints are smoothed by a spline, whose second derivative is the acceleration; a frame that goes along with the bone
feels that, less gravity, and its change is the turning. Nothing tells how a bone turns about itself: without a
direction out of its back the frame is one that never does (a minimal-twist frame, Bishop 1975), so that turning about x
is 0, and y and z are turned against a real sensor's by an unknown angle. Source of the idea: IMUTube (Kwon 2020,
https://arxiv.org/abs/2006.05675).
"""

from __future__ import annotations

import numpy as np

from signloom.errors import InputError

GRAVITY_MPS2 = 9.81
QUANTITIES = tuple(
    f"{quantity}_{axis}_{unit}" for quantity, unit in (("acceleration", "g"), ("rotation", "dps")) for axis in "xyz"
)
"""The six columns of :func:`virtual_imu`, as channels without a place."""
LIMBS = {
    # where it is worn: the bone's two joints, the share of the way from one to the other
    **{
        f"{side}_{place}": (f"{side}_{start}", f"{side}_{end}", share)
        for side in ("right", "left")
        for place, start, end, share in (
            ("wrist", "elbow", "wrist", 1.0),
            ("forearm", "elbow", "wrist", 0.3),
            ("upper_arm", "shoulder", "elbow", 0.5),
            ("thigh", "hip", "knee", 0.5),
            ("ankle", "knee", "ankle", 1.0),
        )
    }
}
"""Where sensors are worn."""

_LEAST_FRAMES = 5  # of a smoothing spline
_STEPS = 4  # per sample: turning is a difference, so it is taken in finer steps
_FULL_SCALE = (16.0, 2000.0)
"""g and degrees per second at which common sensors saturate, and so do these: a bone seen end-on turns at any speed."""


def virtual_imu(
    start_T3: np.ndarray,
    end_T3: np.ndarray,
    fps: float,
    rate_hz: float = 50.0,
    *,
    share: float = 1.0,
    down: tuple[float, float, float] = (0.0, 1.0, 0.0),
    front: tuple[float, float, float] = (0.0, 0.0, -1.0),
    back_T3: np.ndarray | None = None,
    cutoff_hz: float = 8.0,
) -> np.ndarray:
    """A sensor ``share`` of the way from ``start_T3`` to ``end_T3`` (metres, right-handed axes): float32 (N, 6).

    Columns are :data:`QUANTITIES`: acceleration in g, with gravity (at rest it reads 1 g upwards), and turning in
    degrees per second; N samples at ``rate_hz`` from the first frame to the last. x points along the bone to its end,
    z out of ``back_T3`` where that is known, else at first as far as can be to the ``front``; then the frame never
    turns about the bone. ``down`` is where gravity points. The spline passes half of a motion at ``cutoff_hz``.

    Frames where a place is NaN are bridged by the spline; before the first and after the last known the limb is still.
    Values end at 16 g and 2000 degrees per second. Raises InputError for fewer than 5 known frames and settings that
    make no sense.
    """
    if not (fps > 0 and rate_hz > 0 and cutoff_hz > 0):
        raise InputError(f"virtual IMU: got {fps} fps, {rate_hz} Hz, cut-off {cutoff_hz} Hz; expected numbers above 0")
    known_T = np.isfinite(start_T3).all(1) & np.isfinite(end_T3).all(1)
    if back_T3 is not None:
        known_T &= np.isfinite(back_T3).all(1)
    if known_T.sum() < _LEAST_FRAMES:
        raise InputError(
            f"virtual IMU: both ends of the limb are known in {int(known_T.sum())} of {len(known_T)} frames; at least "
            f"{_LEAST_FRAMES} are needed"
        )
    times_s = np.flatnonzero(known_T) / fps
    n = int(np.floor((len(known_T) - 1) / fps * rate_hz + 1e-6)) + 1
    fine_s = np.arange((n - 1) * _STEPS + 1) / (rate_hz * _STEPS)
    held_s = np.clip(fine_s, times_s[0], times_s[-1])
    moving = (held_s == fine_s)[:, None]

    def smooth(values_T3: np.ndarray, derivative: int = 0) -> np.ndarray:
        return _smoothed(times_s, values_T3[known_T], held_s, 1 / fps, cutoff_hz, derivative)

    x = _unit(smooth(end_T3 - start_T3))
    if back_T3 is None:
        z = _carried_along(x, np.array(front, float), -np.array(down, float))
    else:
        back = smooth(back_T3)
        z = _unit(back - x * (back * x).sum(-1, keepdims=True))
    axes = np.stack([x, np.cross(z, x), z], -1)
    place = start_T3 + share * (end_T3 - start_T3)
    pushed = smooth(place, 2) / GRAVITY_MPS2 * moving - np.array(down)
    felt = np.einsum("nji,nj->ni", axes, pushed)
    values = np.concatenate([felt, _turning(axes, rate_hz * _STEPS)], 1)[::_STEPS]
    limits = np.repeat(_FULL_SCALE, 3)
    return np.clip(values, -limits, limits).astype(np.float32)


def _smoothed(
    times_s: np.ndarray, values_T3: np.ndarray, at_s: np.ndarray, step_s: float, cutoff_hz: float, derivative: int
) -> np.ndarray:
    """A smoothing spline's values at ``at_s``. Its response to samples ``step_s`` apart is 1 / (1 + (f / cutoff)^4)."""
    from scipy.interpolate import make_smoothing_spline

    weight = 1 / (step_s * (2 * np.pi * cutoff_hz) ** 4)
    columns = [make_smoothing_spline(times_s, v, lam=weight) for v in np.asarray(values_T3, np.float64).T]
    return np.stack([spline(at_s, nu=derivative) for spline in columns], -1)


def _carried_along(x_N3: np.ndarray, front: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """A z across ``x_N3`` that starts towards ``front`` and follows by the shortest turn from sample to sample."""
    z = np.empty_like(x_N3)
    across = front - x_N3[0] * (front @ x_N3[0])
    if np.linalg.norm(across) < 0.1:  # the bone points to the front
        across = otherwise - x_N3[0] * (otherwise @ x_N3[0])
    z[0] = across / np.linalg.norm(across)
    turn_N3 = np.cross(x_N3[:-1], x_N3[1:])
    cosine_N = (x_N3[:-1] * x_N3[1:]).sum(-1)
    for k, (turn, cosine) in enumerate(zip(turn_N3, cosine_N)):
        moved = z[k] + np.cross(turn, z[k]) + np.cross(turn, np.cross(turn, z[k])) / max(1 + cosine, 1e-6)
        moved -= x_N3[k + 1] * (moved @ x_N3[k + 1])
        z[k + 1] = moved / np.linalg.norm(moved)
    return z


def _turning(axes_N33: np.ndarray, rate_hz: float) -> np.ndarray:
    """Degrees per second about the frame's own axes, (N, 3), by central differences."""
    from scipy.spatial.transform import Rotation

    if len(axes_N33) < 3:
        return np.zeros((len(axes_N33), 3))
    turned = Rotation.from_matrix(np.swapaxes(axes_N33[:-2], 1, 2) @ axes_N33[2:]).as_rotvec() * (rate_hz / 2)
    return np.degrees(np.concatenate([turned[:1], turned, turned[-1:]]))


def _unit(v_N3: np.ndarray) -> np.ndarray:
    return v_N3 / np.maximum(np.linalg.norm(v_N3, axis=-1, keepdims=True), 1e-9)
