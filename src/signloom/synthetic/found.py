"""What an estimator would find in clips of the procedural signer, without any estimator: for checking other programs.

The points are the exact ones, in the rows and with the notes that MediaPipe's networks give.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from signloom.data.holistic_points import N_FACE, N_POINTS
from signloom.synthetic.body import FACE_NUMBERS, make_signer
from signloom.synthetic.corpus import Settings, Take
from signloom.synthetic.lexicon import LEXICON

_FACE = slice(33, 33 + N_FACE)
_LEFT, _RIGHT = slice(_FACE.stop, _FACE.stop + 21), slice(_FACE.stop + 21, N_POINTS)


@dataclass(frozen=True)
class Found:
    """A clip: ``times_s`` (T,) of its frames, ``points_TPC`` float32 (T, 545, 4): x, y in pixels, z, confidence of
    body, face, left and right hand; then of either hand how surely it is one, how surely a right one, 0, 1 where found.
    """

    name: str
    times_s: np.ndarray
    points_TPC: np.ndarray
    size_px: tuple[int, int] = (480, 360)
    fps: float = 25.0


def found_clips() -> tuple[Found, Found]:
    """A clip in which all is found; and one of a left-handed signer that lacks frames (so that its clock is uneven), a
    hand and the face now and then, and in which one hand is reported as both."""
    whole = _found("a right hand signs", 0)
    return whole, _with_faults(_found("a left hand signs, with faults", 3, left_handed=True))


def _found(name: str, number: int, *, left_handed: bool = False) -> Found:
    settings = Settings(size_px=Found.size_px, fps=Found.fps)
    body = Take(LEXICON[number], make_signer(number, left_handed=left_handed), 0, settings).pose().body
    exact_TPC = np.concatenate([np.ma.getdata(body.data)[:, 0], np.asarray(body.confidence)[:, 0, :, None]], -1)
    points = np.zeros((len(exact_TPC), N_POINTS + 2, 4), np.float32)
    points[:, :33] = exact_TPC[:, :33]
    face = exact_TPC[:, 33 : 33 + len(FACE_NUMBERS)]
    points[:, _FACE] = face.mean(1, keepdims=True)
    points[:, 33 + np.array(FACE_NUMBERS)] = face
    points[:, _FACE, 3] = 1
    points[:, _LEFT], points[:, _RIGHT] = exact_TPC[:, -42:-21], exact_TPC[:, -21:]
    for side, hand in enumerate((_LEFT, _RIGHT)):
        points[:, N_POINTS + side] = (0.98, 0.03 + 0.94 * side, 0, 1)
        _lose(points, points[:, hand, 3].max(1) == 0, side)
    return Found(name, np.arange(len(points)) / Found.fps, points)


def _lose(points_TPC: np.ndarray, rows: np.ndarray | slice, side: int) -> None:
    points_TPC[rows, (_LEFT, _RIGHT)[side]] = 0
    points_TPC[rows, N_POINTS + side] = 0


def _with_faults(clip: Found) -> Found:
    points, n = clip.points_TPC.copy(), len(clip.points_TPC)
    twice = slice(n // 2, n // 2 + 3)
    points[twice, _RIGHT] = points[twice, _LEFT] + np.array([1.5, -1, 0, 0], np.float32)
    points[twice, N_POINTS + 1] = (0.9, 0.1, 0, 1)
    _lose(points, slice(n // 4, n // 4 + 4), 0)
    points[n // 3 : n // 3 + 5, _FACE] = 0
    points[0] = 0
    kept = np.arange(n) % 7 < 4
    return Found(clip.name, clip.times_s[kept], points[kept])
