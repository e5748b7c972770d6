"""Long recordings: signs one after the other, and a wrist sensor whose clock is not the video's."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from signloom.synthetic.body import Signer, rotation
from signloom.synthetic.lexicon import LEXICON
from signloom.synthetic.motion import RATE_HZ, RIGHT, Motion, perform
from signloom.synthetic.sensors import CHANNELS, Imperfections, wrist_sensors

_BLEND_S = 0.3


def session(signer: Signer, seconds: float, rng: np.random.Generator) -> Motion:
    """Signs drawn from the lexicon, one after the other with a short rest between, at RATE_HZ."""
    k = round(_BLEND_S * RATE_HZ)
    u = np.arange(k) / k
    ease = u**3 * (10 - 15 * u + 6 * u * u)  # minimum jerk, so that no take begins with a jolt
    motion = _take(signer, rng)
    while motion.duration_s < seconds:
        after = _take(signer, rng)
        motion = _map(lambda a, b: np.concatenate([a[:-k], _blend(a[-k:], b[:k], ease), b[k:]]), motion, after)
    return _map(lambda a: a[: round(seconds * RATE_HZ) + 1], motion)


def at_rest(signer: Signer, seconds: float, rng: np.random.Generator, sway_m: float = 0.003) -> Motion:
    """Nobody signs: the first moment of a take, swaying by ``sway_m`` (standard deviation)."""
    n = round(seconds * RATE_HZ) + 1
    t = np.arange(n) / RATE_HZ
    waves = [np.sin(2 * np.pi * (f * t[:, None] + rng.uniform(0, 1, 3))) for f in (0.23, 0.4, 0.9)]
    sway = sum(waves) * sway_m * np.sqrt(2 / 3)
    still = _map(lambda a: np.repeat(a[:1], n, 0), _take(signer, rng))
    places = ("chest", "shoulders", "elbows", "hands", "head")
    moved = {name: (a := getattr(still, name)) + sway.reshape(n, *[1] * (a.ndim - 2), 3) for name in places}
    return Motion(**{f.name: moved.get(f.name, getattr(still, f.name)) for f in fields(Motion)})


def wrist_sensor_of(
    motion: Motion,
    rng: np.random.Generator,
    *,
    side: int = RIGHT,
    rate_hz: float = 50.0,
    offset_s: float = 0.0,
    drift: float = 0.0,
    turned: bool = True,
) -> np.ndarray:
    """One wrist's acceleration (g) and rotation (dps), float32 (N, 6), sampled at ``rate_hz`` of its own clock.

    Sample k is of the time ``offset_s + (1 + drift) · k / rate_hz`` of ``motion``; before and after, it is as at its
    ends.

    With the noise of :class:`~signloom.synthetic.sensors.Imperfections`, and ``turned`` any way round on the wrist.
    """
    ideal = wrist_sensors(motion, RATE_HZ).astype(np.float64)[:, 6 * side : 6 * side + 6]
    n = int(motion.duration_s / (1 + drift) * rate_hz) + 1
    at_s = offset_s + (1 + drift) * np.arange(n) / rate_hz
    values = np.stack([np.interp(at_s, np.arange(len(ideal)) / RATE_HZ, column) for column in ideal.T], 1)
    if turned:
        turn = rotation(rng.normal(0, 1.5, 3))
        values = np.concatenate([values[:, :3] @ turn.T, values[:, 3:] @ turn.T], 1)
    least = Imperfections()
    bias = np.array([least.bias_g] * 3 + [least.bias_dps] * 3) * rng.standard_normal(6)
    noise = np.array([least.noise_g] * 3 + [least.noise_dps] * 3) * rng.standard_normal(values.shape)
    return (values + bias + noise).astype(np.float32)


WRIST_CHANNELS = tuple(name.removeprefix("right_") for name in CHANNELS[:6])
"""The columns of :func:`wrist_sensor_of`."""


def _take(signer: Signer, rng: np.random.Generator) -> Motion:
    return perform(LEXICON[int(rng.integers(len(LEXICON)))], signer, rng)


def _map(function, *motions: Motion) -> Motion:
    """A motion made of others, field by field."""
    names = [f.name for f in fields(Motion) if f.name != "rate_hz"]
    return Motion(motions[0].rate_hz, **{name: function(*(getattr(m, name) for m in motions)) for name in names})


def _blend(a: np.ndarray, b: np.ndarray, share: np.ndarray) -> np.ndarray:
    w = share.reshape(-1, *[1] * (a.ndim - 1))
    return a * (1 - w) + b * w
