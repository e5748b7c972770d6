"""Augmentation of clips: one draw of parameters per clip, applied alike to its frames and to its flow."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from signloom.transforms.geometry import about_centre, rotation, scaling, shearing, translation


@dataclass(frozen=True)
class VideoAugment:
    """Strengths of the random changes made to a clip in training; all zero leaves clips as they are.

    Angles are in degrees, ``shift`` in shares of the picture's side, ``scale``/``aspect``/``shear`` are fractions.
    ``speed`` bends the time axis by up to that fraction, ``trim`` is the largest fraction cut off at each end.
    ``brightness``, ``contrast``, ``saturation`` and ``tint`` are the largest changes (1 is the whole range),
    ``gamma`` the largest change of log gamma; ``noise`` the largest standard deviation. ``mirror``, ``grey`` and
    ``erase`` are probabilities per clip, ``erase_size`` the largest side of what is erased.
    """

    mirror: float = 0.15
    rotate_deg: float = 10.0
    scale: float = 0.2
    aspect: float = 0.1
    shear: float = 0.1
    shift: float = 0.1
    speed: float = 0.25
    trim: float = 0.12
    brightness: float = 0.3
    contrast: float = 0.4
    saturation: float = 0.6
    tint: float = 0.2
    gamma: float = 0.4
    noise: float = 0.05
    grey: float = 0.2
    erase: float = 0.3
    erase_size: float = 0.4

    def draw(self, seed: int | np.random.SeedSequence) -> Draw:
        """The parameters for one clip, which depend on ``seed`` alone."""
        rng = np.random.default_rng(seed)

        def uniform(*shape: int) -> np.ndarray:
            return rng.uniform(-1, 1, shape)

        u = uniform(20)
        linear = (
            rotation(u[0] * self.rotate_deg)
            @ shearing(u[1] * self.shear)
            @ scaling(
                math.exp(u[2] * self.scale + u[3] * self.aspect), math.exp(u[2] * self.scale - u[3] * self.aspect)
            )
        )
        if rng.random() < self.mirror:
            linear = linear @ scaling(-1, 1)
        hole = None
        if rng.random() < self.erase:
            side = rng.uniform(0.15, 1, 2) * self.erase_size
            corner = rng.uniform(0, 1, 2) * (1 - side)
            hole = (float(corner[0]), float(corner[1]), float(corner[0] + side[0]), float(corner[1] + side[1]))
        grey = rng.random() < self.grey
        return Draw(
            linear=((linear[0, 0], linear[0, 1]), (linear[1, 0], linear[1, 1])),
            shift=(u[4] * self.shift, u[5] * self.shift),
            start=(u[6] + 1) / 2 * self.trim,
            stop=1 - (u[7] + 1) / 2 * self.trim,
            bends=(u[8] * self.speed, u[9] * self.speed),
            when=(u[10] + 1) / 2,
            jitter=tuple(rng.uniform(0, 1, 8)) if self.speed else (),
            brightness=u[11] * self.brightness,
            contrast=math.exp(u[12] * self.contrast),
            saturation=0.0 if grey else math.exp(u[13] * self.saturation),
            gamma=math.exp(u[14] * self.gamma),
            tint=tuple(1 + u[15:18] * self.tint),
            noise=(u[18] + 1) / 2 * self.noise,
            noise_seed=int(rng.integers(2**31)),
            hole=hole,
        )


@dataclass(frozen=True)
class Draw:
    """The random choices for one clip."""

    linear: tuple[tuple[float, float], tuple[float, float]] = ((1.0, 0.0), (0.0, 1.0))
    shift: tuple[float, float] = (0.0, 0.0)
    start: float = 0.0
    stop: float = 1.0
    bends: tuple[float, float] = (0.0, 0.0)
    when: float = 0.5
    jitter: tuple[float, ...] = ()
    brightness: float = 0.0
    contrast: float = 1.0
    saturation: float = 1.0
    gamma: float = 1.0
    tint: tuple[float, ...] = (1.0, 1.0, 1.0)
    noise: float = 0.0
    noise_seed: int = 0
    hole: tuple[float, float, float, float] | None = None

    def matrix(self, size: int) -> np.ndarray:
        """What is done to the ``size`` × ``size`` picture, about its centre."""
        linear = np.eye(3)
        linear[:2, :2] = self.linear
        return translation(self.shift[0] * size, self.shift[1] * size) @ about_centre(linear, size)

    def instants(self, n_frames: int) -> np.ndarray:
        """Ascending shares of the clip, in [0, 1), at which ``n_frames`` frames are taken."""
        within = np.resize(np.array(self.jitter), n_frames) if self.jitter else np.zeros(n_frames)
        u = (np.arange(n_frames) + within) / n_frames
        u = u + self.bends[0] * np.sin(math.pi * u) / math.pi + self.bends[1] * np.sin(2 * math.pi * u) / (2 * math.pi)
        return np.sort(self.start + np.clip(u, 0, 1 - 1e-9) * (self.stop - self.start))

    def colour(self, x_CTHW: np.ndarray) -> np.ndarray:
        """Brightness, contrast, gamma, saturation, tint, noise and a hole, in place; RGB in [-1, 1]."""
        import cv2

        shape = x_CTHW.shape
        # One table of 256 values stands for gamma, contrast and brightness, as frames were bytes before.
        level = np.linspace(0, 1, 256, dtype=np.float32) ** self.gamma
        table = (level - 0.5) * 2 * self.contrast + self.brightness
        bytes_ = np.round((x_CTHW + 1) * 127.5).astype(np.uint8)
        x = np.asarray(cv2.LUT(bytes_.reshape(3, -1), table.astype(np.float32)), np.float32).reshape(shape)
        if self.saturation != 1.0:
            grey = x.mean(0, keepdims=True)
            x = grey + (x - grey) * np.float32(self.saturation)
        x = x * np.array(self.tint, np.float32)[:, None, None, None]
        if self.noise:
            rng = np.random.default_rng(self.noise_seed)
            # The same grain in all colours and, as from a still sensor pattern, a new one in each frame.
            x = x + rng.standard_normal(shape[1:], np.float32)[None] * np.float32(self.noise)
        return np.clip(self.erased(x, 0.0), -1, 1)

    def erased(self, x_CTHW: np.ndarray, value: float) -> np.ndarray:
        """``x_CTHW`` with the hole of this draw, if any, filled with ``value``."""
        if self.hole is None:
            return np.ascontiguousarray(x_CTHW)
        height, width = x_CTHW.shape[2:]
        left, top, right, bottom = self.hole
        x_CTHW[:, :, int(top * height) : int(bottom * height), int(left * width) : int(right * width)] = value
        return np.ascontiguousarray(x_CTHW)
