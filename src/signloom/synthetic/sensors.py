"""What a watch on each wrist would measure, from the 3-D motion: acceleration with gravity, and rate of turn."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from signloom.errors import MediaError
from signloom.runtime.atomic import atomic_write
from signloom.synthetic.body import rotation_vector, unit
from signloom.synthetic.motion import LEFT, RIGHT, Motion

GRAVITY_MPS2 = 9.81
CHANNELS = tuple(
    f"{side}_{kind}_{axis}_{unit_}"
    for side in ("right", "left")
    for kind, unit_ in (("acceleration", "g"), ("rotation", "dps"))
    for axis in "xyz"
)
"""The columns of the sensor stream: per wrist (the signer's right, then left) 3 of g and 3 of degrees per second."""


@dataclass(frozen=True)
class Imperfections:
    """How far the sensor is from ideal: white noise per sample and a constant bias per clip, as standard deviations."""

    noise_g: float = 0.012
    bias_g: float = 0.015
    noise_dps: float = 0.6
    bias_dps: float = 1.2


def sensor_frames(motion: Motion, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the watch is: position (N, 3) in metres, and its axes (N, 3, 3) as columns, in the world.

    It sits on the back of the forearm, 4 cm from the wrist. x points to the hand, z out of the back of the wrist.
    """
    wrist = motion.hands[:, side, 0]
    x = unit(wrist - motion.elbows[:, side])
    back = -motion.palms[:, side]
    z = unit(back - x * (back * x).sum(-1, keepdims=True))
    position = wrist - 0.040 * x + 0.024 * z
    return position, np.stack([x, np.cross(z, x), z], -1)


def wrist_sensors(
    motion: Motion,
    rate_hz: float = 50.0,
    rng: np.random.Generator | None = None,
    imperfections: Imperfections = Imperfections(),
) -> np.ndarray:
    """Both wrists' accelerometer (g, at rest it reads 1 g upwards) and gyroscope (degrees per second): float32 (N, 12).

    ``motion`` should be sampled well above ``rate_hz``; columns are CHANNELS. Without ``rng`` the sensor is ideal.
    """
    dt = 1 / motion.rate_hz
    columns = []
    for side in (RIGHT, LEFT):
        position, axes = sensor_frames(motion, side)
        acceleration = np.gradient(np.gradient(position, dt, axis=0), dt, axis=0)
        # An accelerometer feels what pushes it: acceleration less gravity, which points along +y.
        felt = (acceleration - np.array([0, GRAVITY_MPS2, 0])) / GRAVITY_MPS2
        columns.append(np.einsum("nji,nj->ni", axes, felt))
        step = rotation_vector(np.swapaxes(axes[:-2], 1, 2) @ axes[2:]) / (2 * dt)
        columns.append(np.degrees(np.concatenate([step[:1], step, step[-1:]])))
    ideal = np.concatenate(columns, 1)
    n = int(np.floor(motion.duration_s * rate_hz + 1e-9)) + 1
    where, known = np.arange(n) / rate_hz, np.arange(len(motion)) * dt
    values = np.stack([np.interp(where, known, column) for column in ideal.T], 1)
    if rng is not None:
        spread = np.array([[imperfections.noise_g] * 3 + [imperfections.noise_dps] * 3] * 2).ravel()
        bias = np.array([[imperfections.bias_g] * 3 + [imperfections.bias_dps] * 3] * 2).ravel()
        values = values + rng.standard_normal(12) * bias + rng.standard_normal(values.shape) * spread
    return values.astype(np.float32)


def write_imu(path: str | os.PathLike[str], imu: np.ndarray, rate_hz: float) -> None:
    """Write a sensor stream (N, 12) as CSV with a header and a time column, atomically."""
    rows = [",".join(("time_s", *CHANNELS))]
    for k, row in enumerate(imu):
        rows.append(",".join((f"{k / rate_hz:.4f}", *(f"{v:.5f}" for v in row))))
    with atomic_write(Path(path)) as tmp:
        tmp.write_text("\n".join(rows) + "\n", encoding="ascii")


def read_imu(path: str | os.PathLike[str]) -> tuple[np.ndarray, float]:
    """Read what write_imu wrote: (N, 12) float32 and its rate in Hz. Raises MediaError for anything else."""
    try:
        text = Path(path).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise MediaError(f"'{path}' cannot be read as a sensor table: {error}", reason="not-media") from error
    lines = text.splitlines()
    if not lines or lines[0].split(",") != ["time_s", *CHANNELS]:
        got = lines[0][:60] if lines else "nothing"
        raise MediaError(f"'{path}': expected columns time_s, {CHANNELS[0]} …; got {got}", reason="bad-header")
    try:
        table = np.array([[float(v) for v in line.split(",")] for line in lines[1:]])
    except ValueError as error:
        raise MediaError(f"'{path}': {error}", reason="decode-error") from error
    if len(table) < 2 or table.shape[1] != 1 + len(CHANNELS):
        raise MediaError(f"'{path}': {len(table)} samples; at least 2 are needed", reason="no-frames")
    rate_hz = (len(table) - 1) / (table[-1, 0] - table[0, 0])
    return table[:, 1:].astype(np.float32), round(float(rate_hz), 3)
