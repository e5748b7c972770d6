"""Pose: body, hands and face keypoints by MediaPipe Holistic, as a ``pose_format.Pose``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from signloom.data.clip import Clip
from signloom.errors import InputError, MediaError, MissingExtraError

if TYPE_CHECKING:
    from pose_format import Pose

MODEL_COMPLEXITY = 1  # the only body model inside the wheel; for 0 and 2 MediaPipe would try to download one
MODEL_FILES = (
    "face_landmark/face_landmark.tflite",
    "hand_landmark/hand_landmark_full.tflite",
    "holistic_landmark/hand_recrop.tflite",
    "pose_detection/pose_detection.tflite",
    "pose_landmark/pose_landmark_full.tflite",
)


@dataclass(frozen=True)
class HolisticPose:
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
        if self.face not in ("contours", "mesh"):
            raise InputError(f"HolisticPose.face: got {self.face!r}, expected 'contours' or 'mesh'")

    def fingerprint(self) -> dict[str, Any]:
        """What made the pose: estimator, settings and the hash of the model files. Models refuse another one."""
        return {"extractor": "mediapipe-holistic", **asdict(self), "version": self.version, "models": _models_hash()}

    def extract(self, frames: Iterable[np.ndarray], fps: float) -> Pose:
        """The pose of ``frames`` (each uint8 (H, W, 3) RGB), streaming: memory does not grow with their size.

        Raises MediaError(reason="no-frames") when there are none.
        """
        holistic = _holistic(self)
        holistic.reset()
        rows, size = [], (0, 0)
        for frame in frames:
            size = (frame.shape[1], frame.shape[0])
            rows.append(_points(holistic.process(np.ascontiguousarray(frame)), size))
        if not rows:
            raise MediaError("no frame to find a pose in", reason="no-frames")
        return self._pose(np.stack(rows), size, fps)

    def __call__(self, clip: Clip, rng: np.random.Generator | None = None) -> Clip:
        """``clip`` with its ``pose``. Raises MissingStreamError without video."""
        video = clip.need("video", "step 'pose'")
        return replace(clip, pose=self.extract(video, clip.fps or 25.0))

    def _pose(self, points_TPC: np.ndarray, size: tuple[int, int], fps: float) -> Pose:
        from numpy import ma
        from pose_format import Pose
        from pose_format.numpy import NumPyPoseBody
        from pose_format.pose_header import PoseHeader, PoseHeaderDimensions
        from pose_format.utils.holistic import FACEMESH_CONTOURS_POINTS, holistic_components

        components = [c for c in holistic_components("XYZC") if c.name != "POSE_WORLD_LANDMARKS"]
        data, confidence = points_TPC[:, None, :, :3], points_TPC[:, None, :, 3]
        mask = np.repeat((confidence == 0)[..., None], 3, axis=-1)
        header = PoseHeader(0.2, PoseHeaderDimensions(*size, depth=1000), components)
        pose = Pose(header, NumPyPoseBody(fps, ma.array(data, mask=mask), confidence))
        if self.face == "contours":
            keep = [c.name for c in components]
            pose = pose.get_components(keep, {"FACE_LANDMARKS": FACEMESH_CONTOURS_POINTS})
        return pose


def _points(result: Any, size: tuple[int, int]) -> np.ndarray:
    """One frame's (33 + 468 + 21 + 21, 4): x, y in pixels, z, confidence."""
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


@cache
def _holistic(step: HolisticPose):
    """One estimator per process and setting: loading it costs more than a clip."""
    import os

    os.environ.setdefault("GLOG_minloglevel", "2")  # MediaPipe's start-up chatter would tear the progress bar
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    mediapipe = import_mediapipe()
    return mediapipe.solutions.holistic.Holistic(
        static_image_mode=False,
        model_complexity=MODEL_COMPLEXITY,
        refine_face_landmarks=False,
        min_detection_confidence=step.least_detection,
        min_tracking_confidence=step.least_tracking,
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
            f"pose extraction needs MediaPipe ({error}). Run: pip install 'mediapipe==0.10.21'"
        ) from error
    if not hasattr(mediapipe, "solutions"):
        raise MissingExtraError(
            f"mediapipe {mediapipe.__version__} has no Holistic models inside. Run: pip install 'mediapipe==0.10.21'"
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


def same_estimator(expected: Mapping[str, Any], got: Mapping[str, Any]) -> list[str]:
    """The settings in which two pose fingerprints differ, as ``name: got … expected …``; empty when they agree."""
    keys = sorted(set(expected) | set(got))
    return [f"{k}: got {got.get(k)!r}, expected {expected.get(k)!r}" for k in keys if expected.get(k) != got.get(k)]
