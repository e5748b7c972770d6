"""Poses by MediaPipe Tasks' HolisticLandmarker, with a user's ``.task`` file: Holistic's points, newer networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from signloom.data.holistic_points import N_FACE, N_POINTS
from signloom.errors import InputError, MissingExtraError
from signloom.streams.estimator import Estimator, check_face
from signloom.streams.foreign_networks import kept_network


@dataclass(frozen=True)
class TasksPose(Estimator):
    """HolisticLandmarker: 33 body, 21 + 21 hand and 128 (or 468) face points, in pixels, z in picture widths.

    ``network`` is the first digits of the ``.task`` file's sha256; "" takes the only one there. Confidence is the
    visibility for the body, 1 for a hand or face that was found.
    """

    face: str = "contours"
    least_detection: float = 0.5
    least_tracking: float = 0.5
    network: str = ""
    version: ClassVar[int] = 1

    def __post_init__(self):
        check_face(self.face)

    def fingerprint(self) -> dict[str, Any]:
        """Extractor, settings and the file's hash."""
        return {
            "extractor": "mediapipe-tasks",
            "face": self.face,
            "least_detection": self.least_detection,
            "least_tracking": self.least_tracking,
            "network": kept_network("landmarker", self.network).sha,
            "version": self.version,
        }

    def check(self) -> None:
        """Raises MissingExtraError where MediaPipe is not installed, InputError where the file is not there."""
        _vision()
        self.path()

    def path(self) -> Path:
        """The ``.task`` file."""
        return kept_network("landmarker", self.network).path

    def finder(self) -> TasksFinder:
        """Begin a clip."""
        return TasksFinder(self)


class TasksFinder:
    """Finds the points of one clip's frames, by a landmarker of its own: its tracker cannot be begun anew."""

    def __init__(self, settings: TasksPose):
        vision = _vision()
        from mediapipe.tasks.python.core.base_options import BaseOptions

        options = vision.HolisticLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(settings.path())),
            running_mode=vision.RunningMode.VIDEO,
            min_pose_detection_confidence=settings.least_detection,
            min_pose_landmarks_confidence=settings.least_tracking,
        )
        try:
            self._landmarker = vision.HolisticLandmarker.create_from_options(options)
        except (ValueError, RuntimeError) as error:
            raise InputError(f"'{settings.path()}' cannot be run by MediaPipe: {error}") from error
        self.close: Callable[[], Any] = self._landmarker.close
        """Frees the landmarker."""

    def find(self, frame: np.ndarray, time_s: float) -> np.ndarray:
        """The points of ``frame``, uint8 (H, W, 3) RGB, at ``time_s``: float32 (543, 4)."""
        import mediapipe

        picture = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(frame))
        found = self._landmarker.detect_for_video(picture, round(time_s * 1000))
        rows = np.zeros((N_POINTS, 4), np.float32)
        size = np.array([frame.shape[1], frame.shape[0], 1, 1], np.float32)
        start = 0
        for name, count in (
            ("pose_landmarks", 33),
            ("face_landmarks", N_FACE),
            ("left_hand_landmarks", 21),
            ("right_hand_landmarks", 21),
        ):
            points = getattr(found, name)[:count]  # a face has ten points of the irises beyond
            for k, p in enumerate(points):
                rows[start + k] = p.x, p.y, p.z, (p.visibility or 0) if name == "pose_landmarks" else 1
            start += count
        return rows * size


def _vision() -> Any:
    try:
        from mediapipe.tasks.python import vision
    except ImportError as error:
        raise MissingExtraError(
            f"--pose mediapipe-tasks needs MediaPipe ({error}). Run: pip install mediapipe (0.10.21 is tested)"
        ) from error
    return vision
