"""A drawn face that belongs to nobody and does what a filmed one does: it turns with the head and moves brows, eyes and
mouth.

Nothing of the filmed face's shape is in it but its size: how the head moves is a map from its own usual shape to each
frame, and what brows, eyes and mouth do is five figures (:func:`signloom.transforms.pose_anonymise.figures_of`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from signloom.data.skeleton import FACE_JOINTS
from signloom.media import import_cv2
from signloom.transforms.pose_anonymise import StandardBody, figures_of

_STEADY = [
    FACE_JOINTS.index(f"face_{name}")
    for name in (
        "right_eye_outer", "right_eye_inner", "left_eye_inner", "left_eye_outer", "right_cheek", "left_cheek",
        "upper_lip", "chin",
    )
]  # fmt: skip
_SMOOTH_S = 0.04
SKIN, BROW, LIPS, MOUTH, EYE, IRIS = (
    (222, 184, 156), (70, 52, 42), (178, 98, 94), (70, 30, 34), (245, 245, 240), (70, 60, 54),
)  # fmt: skip


@dataclass(frozen=True)
class AvatarFace:
    """``points_TP2`` the drawn face's points in pixels, and in which frames there is one (T,)."""

    points_TP2: np.ndarray
    here_T: np.ndarray
    figures_TE: np.ndarray


def avatar_of(faces: Sequence[np.ndarray | None], body: StandardBody, fps: float) -> AvatarFace:
    """The standard face where each of ``faces`` (27, 2) is; none where none was found."""
    n = len(faces)
    here = np.array([f is not None for f in faces])
    points = np.zeros((n, len(body.face_P2), 2))
    figures = np.zeros((n, len(body.expressions_EP2)))
    if not here.any():
        return AvatarFace(points, here, figures)
    found = np.stack([f for f in faces if f is not None])
    theirs = body.face_P2[list(body.face_joints)]
    upright = np.stack([_similar(f, theirs) for f in found])
    usual = np.median(upright, 0)
    maps, own = zip(*(_affine(usual[_STEADY], f[_STEADY]) for f in found))
    undone = np.stack([(f - shift) @ np.linalg.pinv(turn) for f, turn, shift in zip(found, maps, own)])
    told = figures_of(undone - usual, body)
    places = body.face_P2 + np.einsum("te,epc->tpc", told, body.expressions_EP2)
    drawn = np.stack([p @ turn + shift for p, turn, shift in zip(places, maps, own)])
    rows, every = np.flatnonzero(here), np.arange(n)
    for target, values in ((points, drawn), (figures, told)):
        flat = values.reshape(len(rows), -1)
        whole = np.stack([np.interp(every, rows, flat[:, c]) for c in range(flat.shape[1])], 1)
        target[:] = _smoothed(whole, _SMOOTH_S * fps).reshape(target.shape)
    return AvatarFace(points, here, figures)


def draw_face(picture_HWC: np.ndarray, points_P2: np.ndarray, outlines: Mapping[str, Sequence[int]]) -> None:
    """Draw the face ``points_P2``, in pixels, of which ``outlines`` are rings by name, onto ``picture_HWC``."""
    cv2 = import_cv2()
    wide = float(np.ptp(points_P2[:, 0]))
    thin = max(1, round(wide / 60))

    def ring(name: str) -> np.ndarray:
        return np.round(np.clip(points_P2[list(outlines[name])], -(2**14), 2**14) * 16).astype(np.int32)

    def fill(name: str, colour: tuple[int, int, int]) -> None:
        cv2.fillPoly(picture_HWC, [ring(name)], colour, cv2.LINE_AA, 4)

    fill("oval", SKIN)
    for side in ("left", "right"):
        fill(f"{side}_brow", BROW)
        eye = points_P2[list(outlines[f"{side}_eye"])]
        fill(f"{side}_eye", EYE)
        opened = float(np.ptp(eye[:, 1])) / max(float(np.ptp(eye[:, 0])), 1e-6)
        if opened > 0.12:
            middle, radius = eye.mean(0), 0.42 * float(np.ptp(eye[:, 1]))
            x, y = np.round(middle * 16).astype(int).tolist()
            cv2.circle(picture_HWC, (x, y), max(16, round(radius * 16)), IRIS, -1, cv2.LINE_AA, 4)
        cv2.polylines(picture_HWC, [ring(f"{side}_eye")], True, BROW, thin, cv2.LINE_AA, 4)
    fill("lips", LIPS)
    fill("mouth", MOUTH)


def _similar(points_P2: np.ndarray, target_P2: np.ndarray) -> np.ndarray:
    """``points_P2`` moved, turned and scaled (not mirrored) onto ``target_P2``, by least squares."""
    a, b = points_P2 - points_P2.mean(0), target_P2 - target_P2.mean(0)
    dot, cross = (a * b).sum(), (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()
    norm = max(float((a * a).sum()), 1e-9)
    turn = np.array([[dot, cross], [-cross, dot]]) / norm
    return a @ turn + target_P2.mean(0)


def _affine(source_P2: np.ndarray, target_P2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The map ``x @ turn + shift`` from one to the other, by least squares."""
    with_one = np.concatenate([source_P2, np.ones((len(source_P2), 1))], 1)
    solved, *_ = np.linalg.lstsq(with_one, target_P2, rcond=None)
    return solved[:2], solved[2]


def _smoothed(values_TC: np.ndarray, sigma: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter1d

    return gaussian_filter1d(values_TC, sigma, axis=0, mode="nearest") if sigma > 0.2 else values_TC
