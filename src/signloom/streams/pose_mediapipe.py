"""Poses by MediaPipe's own Holistic, the reference that :mod:`signloom.streams.pose_holistic` is measured against."""

from __future__ import annotations

import hashlib
import weakref
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from signloom.errors import MissingExtraError
from signloom.streams.estimator import Estimator, check_face

MODEL_COMPLEXITY = 1  # the only body model inside the wheel; for 0 and 2 MediaPipe would try to download one
MODEL_FILES = (
    "face_landmark/face_landmark.tflite",
    "hand_landmark/hand_landmark_full.tflite",
    "holistic_landmark/hand_recrop.tflite",
    "pose_detection/pose_detection.tflite",
    "pose_landmark/pose_landmark_full.tflite",
)


@dataclass(frozen=True)
class MediaPipePose(Estimator):
    """MediaPipe Holistic with the models inside its wheel: 33 body, 21 + 21 hand and 128 (or 468) face points.

    Points are in pixels of the frames given, z as MediaPipe gives it; confidence is MediaPipe's visibility for the
    body and 1 for a detected hand or face. What was not detected has confidence 0. Every clip starts from a reset
    tracker, so that its pose depends on its own frames alone. Source: Grishchenko & Bazarevsky 2020.
    """

    face: str = "contours"  # 128 points that outline lips, eyes, brows and oval; "mesh" is all 468
    least_detection: float = 0.5
    least_tracking: float = 0.5
    version: ClassVar[int] = 1

    def __post_init__(self):
        check_face(self.face)

    def fingerprint(self) -> dict[str, Any]:
        """What made the pose: estimator, settings and the hash of the model files. Models refuse another one."""
        return {"extractor": "mediapipe-holistic", **asdict(self), "version": self.version, "models": _models_hash()}

    def check(self) -> None:
        """Raises MissingExtraError with the install line."""
        import_mediapipe()

    def finder(self) -> MediaPipeFinder:
        """Begin a clip, to find the points of one frame after the other."""
        return MediaPipeFinder(self)


class MediaPipeFinder:
    """Finds the points of one clip's frames. It has an estimator for itself, which the next clip gets, reset."""

    def __init__(self, settings: MediaPipePose):
        waiting = _waiting[settings]
        try:
            self._holistic = waiting.pop()
        except IndexError:
            self._holistic = _holistic(settings)
        self._holistic.reset()
        self.close: Callable[[], Any] = weakref.finalize(self, waiting.append, self._holistic)
        """Hands the estimator back."""

    def find(self, frame: np.ndarray, time_s: float) -> np.ndarray:
        """The points of ``frame``, as :class:`~signloom.streams.estimator.Finder`.

        MediaPipe takes every clip for one of 30 frames/s, whatever ``time_s``.
        """
        size = (frame.shape[1], frame.shape[0])
        return _points(self._holistic.process(np.ascontiguousarray(frame)), size)


_waiting: dict[MediaPipePose, list[Any]] = defaultdict(list)  # loading one costs more than a clip


def _points(result: Any, size: tuple[int, int]) -> np.ndarray:
    width, height = size
    blocks = []
    for landmarks, count in (
        (result.pose_landmarks, 33),
        (result.face_landmarks, 468),
        (result.left_hand_landmarks, 21),
        (result.right_hand_landmarks, 21),
    ):
        block = np.zeros((count, 4), np.float32)
        if landmarks is not None:
            is_body = landmarks is result.pose_landmarks
            for k, p in enumerate(landmarks.landmark):
                block[k] = p.x * width, p.y * height, p.z, p.visibility if is_body else 1.0
        blocks.append(block)
    return np.concatenate(blocks)


def _holistic(settings: MediaPipePose):
    import os

    os.environ.setdefault("GLOG_minloglevel", "2")  # MediaPipe's start-up chatter would tear the progress bar
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    mediapipe = import_mediapipe()
    return mediapipe.solutions.holistic.Holistic(
        static_image_mode=False,
        model_complexity=MODEL_COMPLEXITY,
        refine_face_landmarks=False,
        min_detection_confidence=settings.least_detection,
        min_tracking_confidence=settings.least_tracking,
    )


def import_mediapipe():
    """The mediapipe module. Raises MissingExtraError with the exact command when it, or libGL, is not there."""
    try:
        import mediapipe
    except ImportError as error:
        if ".so" in str(error):
            raise MissingExtraError(
                f"MediaPipe needs a system library that is not installed ({error}). Run, on Debian or Ubuntu: "
                "sudo apt-get install -y libgl1 libglib2.0-0 (Fedora: sudo dnf install mesa-libGL glib2)"
            ) from error
        raise MissingExtraError(
            f"MediaPipe itself is needed, to cover faces and for --pose mediapipe-holistic ({error}). Run, on Python "
            "3.11 or 3.12: pip install 'mediapipe==0.10.21'"
        ) from error
    if not hasattr(mediapipe, "solutions"):
        raise MissingExtraError(
            f"mediapipe {mediapipe.__version__} has no Holistic and no face detector inside. Run: pip install "
            "'mediapipe==0.10.21'"
        )
    return mediapipe


@cache
def _models_hash() -> str:
    folder = Path(import_mediapipe().__file__).parent / "modules"
    digest = hashlib.sha256()
    for name in MODEL_FILES:
        digest.update(name.encode())
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()[:16]
