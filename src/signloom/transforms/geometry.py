"""Where a pixel goes: one 3×3 matrix for frames, flow vectors and joints alike. Pixel centres lie at +0.5."""

from __future__ import annotations

import math

import numpy as np


def translation(x: float, y: float) -> np.ndarray:
    """Move by (x, y)."""
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def scaling(x: float, y: float | None = None) -> np.ndarray:
    """Scale about the origin."""
    return np.diag([x, x if y is None else y, 1.0])


def rotation(angle_deg: float) -> np.ndarray:
    """Turn about the origin, clockwise as seen on the screen (y points down)."""
    c, s = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def shearing(amount: float) -> np.ndarray:
    """Lean: x grows by ``amount`` times y."""
    return np.array([[1.0, amount, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])


def fit_shorter_side(width: int, height: int, shorter: float, size: int) -> np.ndarray:
    """Scale until the shorter side is ``shorter`` and put the picture's centre in the centre of ``size`` × ``size``."""
    scale = shorter / min(width, height)
    return translation(size / 2, size / 2) @ scaling(scale) @ translation(-width / 2, -height / 2)


def about_centre(matrix: np.ndarray, size: int) -> np.ndarray:
    """``matrix`` with its fixed point in the centre of a ``size`` × ``size`` picture."""
    return translation(size / 2, size / 2) @ matrix @ translation(-size / 2, -size / 2)


def wide_and_high(size: int | tuple[int, int]) -> tuple[int, int]:
    """Width and height of a picture of that ``size``; one number is a square."""
    return (size, size) if isinstance(size, int) else size


def warp_frames(frames_THWC: np.ndarray, matrix: np.ndarray, size: int | tuple[int, int]) -> np.ndarray:
    """Each frame through ``matrix`` (source to target, in pixels), as (T, H, W, C) of the same dtype; ``size`` is the
    side of a square, or (width, height).

    What lies outside the picture repeats its edge. Strong shrinking averages first, so that nothing aliases.
    """
    import cv2

    frames, matrix = _shrunk(frames_THWC, matrix)
    # OpenCV counts from the centre of the first pixel.
    affine = (translation(-0.5, -0.5) @ matrix @ translation(0.5, 0.5))[:2]
    width, height = wide_and_high(size)
    out = np.empty((len(frames), height, width, frames.shape[3]), frames.dtype)
    for source, target in zip(frames, out):
        cv2.warpAffine(
            source, affine, (width, height), dst=target, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
    return out


def warp_flow(flow_THW2: np.ndarray, matrix: np.ndarray, size: int | tuple[int, int]) -> np.ndarray:
    """Flow through ``matrix``: every vector moves to its new place and is itself turned and scaled. Float32.

    What lies outside the picture does not move.
    """
    import cv2

    flow, placing = _shrunk(np.asarray(flow_THW2, np.float32), matrix)
    affine = (translation(-0.5, -0.5) @ placing @ translation(0.5, 0.5))[:2]
    width, height = wide_and_high(size)
    out = np.empty((len(flow), height, width, 2), np.float32)
    for source, target in zip(flow, out):
        cv2.warpAffine(
            source, affine, (width, height), dst=target, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
        )
    return out @ matrix[:2, :2].T.astype(np.float32)


def _shrunk(frames: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Average whole blocks of pixels where ``matrix`` would skip some; by whole numbers, as that is quick."""
    import cv2

    factor = int(1 / max(math.sqrt(abs(np.linalg.det(matrix[:2, :2]))), 1e-6) + 1e-6)
    height, width = frames.shape[1:3]
    if factor < 2 or min(height, width) < factor:
        return frames, matrix
    height, width = height // factor * factor, width // factor * factor
    small = (width // factor, height // factor)
    shrunk = np.stack([cv2.resize(f[:height, :width], small, interpolation=cv2.INTER_AREA) for f in frames])
    return shrunk.reshape(len(frames), *small[::-1], -1), matrix @ scaling(factor)  # OpenCV drops an axis of 1
