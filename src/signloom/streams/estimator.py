"""What finds the points of a person in footage: the protocols, and poses of what was found."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from signloom.data.holistic_points import CONTOUR_POINTS, N_FACE, N_POINTS, components
from signloom.errors import InputError, MediaError

if TYPE_CHECKING:
    from pose_format import Pose

FACES = {"contours": CONTOUR_POINTS, "mesh": tuple(range(N_FACE))}
"""Which points of the face are kept: those that outline lips, eyes, brows and oval, or all."""


class Finder(Protocol):
    """Finds the points of one clip's frames, one after the other."""

    close: Callable[[], Any]
    """Hands back what it holds."""

    def find(self, frame: np.ndarray, time_s: float) -> np.ndarray:
        """The points of ``frame`` (uint8 (H, W, 3) RGB), filmed at ``time_s``: float32 (points, 4).

        Body, face, left and right hand; x and y in pixels, z, and the confidence, 0 for what was not found. Of
        Holistic's points there are 543, and rows beyond are the estimator's own notes; another's are what its
        ``pose_of`` takes.
        """
        ...


class Estimator(Protocol):
    """A way to find points, with its settings: a frozen dataclass that derives from this."""

    face: str

    def fingerprint(self) -> dict[str, Any]:
        """What makes the pose: estimator, settings and the networks. Models refuse another one."""
        ...

    def check(self) -> None:
        """Raise MissingExtraError or InputError, with the way to get it, where something that it needs is not there."""
        ...

    def finder(self) -> Finder:
        """Begin a clip."""
        ...

    def right_hands(self, points_TPC: np.ndarray) -> np.ndarray | None:
        """How surely the left and the right hand's points are a right hand's, (T, 2), NaN without a hand.

        ``points_TPC`` are a clip's samples. None where the estimator does not tell.
        """
        return None

    def extract(self, frames: Iterable[np.ndarray], fps: float) -> Pose:
        """The pose of ``frames`` (each uint8 (H, W, 3) RGB), streaming: memory does not grow with their size.

        Raises MediaError(reason="no-frames") when there are none.
        """
        finder = self.finder()
        rows, size = [], (0, 0)
        for number, frame in enumerate(frames):
            size = (frame.shape[1], frame.shape[0])
            rows.append(finder.find(frame, number / fps))
        finder.close()
        if not rows:
            raise MediaError("no frame to find a pose in", reason="no-frames")
        return self.pose_of(np.stack(rows), size, fps)

    def pose_of(self, points_TPC: np.ndarray, size: tuple[int, int], fps: float) -> Pose:
        """What a :class:`Finder` found in frames of ``size`` (width, height), as a pose."""
        from numpy import ma
        from pose_format import Pose
        from pose_format.numpy import NumPyPoseBody
        from pose_format.pose_header import PoseHeader, PoseHeaderDimensions

        kept = FACES[self.face]
        points_TPC = points_TPC[:, np.r_[:33, np.add(33, kept), 33 + N_FACE : N_POINTS]]
        data, confidence = points_TPC[:, None, :, :3], points_TPC[:, None, :, 3]
        mask = np.repeat((confidence == 0)[..., None], 3, axis=-1)
        header = PoseHeader(0.2, PoseHeaderDimensions(*size, depth=1000), components(kept))
        return Pose(header, NumPyPoseBody(fps, ma.array(data, mask=mask), confidence))


def check_face(face: str) -> None:
    """Raises InputError for a ``face`` that is none of :data:`FACES`."""
    if face not in FACES:
        raise InputError(f"pose.face: got {face!r}, expected {' or '.join(map(repr, FACES))}")
