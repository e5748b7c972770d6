"""Pose: body, hands and face keypoints by MediaPipe Holistic, as a ``pose_format.Pose``."""

from __future__ import annotations

import hashlib
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from signloom import media
from signloom.data.skeleton import PARTS, Joints, joints_of
from signloom.data.stream import ClipInfo, File, Stream, Timed
from signloom.errors import InputError, MediaError, MissingExtraError
from signloom.streams.pose_cleaning import GHOSTS, without_ghosts

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
        finder = self.finder()
        rows, size = [], (0, 0)
        for frame in frames:
            size = (frame.shape[1], frame.shape[0])
            rows.append(finder.find(frame))
        finder.close()
        if not rows:
            raise MediaError("no frame to find a pose in", reason="no-frames")
        return self.pose_of(np.stack(rows), size, fps)

    def finder(self) -> Finder:
        """Begin a clip, to find the points of one frame after the other."""
        return Finder(self)

    def pose_of(self, points_TPC: np.ndarray, size: tuple[int, int], fps: float) -> Pose:
        """What a :class:`Finder` found in frames of ``size`` (width, height), as a pose."""
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


class Finder:
    """Finds the points of one clip's frames. It has an estimator for itself, which the next clip gets, reset."""

    def __init__(self, settings: HolisticPose):
        waiting = _waiting[settings]
        try:
            self._holistic = waiting.pop()
        except IndexError:
            self._holistic = _holistic(settings)
        self._holistic.reset()
        self.close: Callable[[], Any] = weakref.finalize(self, waiting.append, self._holistic)
        """Hands the estimator back."""

    def find(self, frame: np.ndarray) -> np.ndarray:
        """The points of ``frame`` (uint8 (H, W, 3) RGB): float32 (543, 4), body, face, left and right hand; x and y in
        pixels, z, and the confidence, 0 for what was not found."""
        size = (frame.shape[1], frame.shape[0])
        return _points(self._holistic.process(np.ascontiguousarray(frame)), size)


_waiting: dict[HolisticPose, list[Any]] = defaultdict(list)  # loading one costs more than a clip


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


def _holistic(settings: HolisticPose):
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


# --- the stream -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PoseStream(Stream):
    """Keypoints by MediaPipe Holistic, .pose files. Stored as ``pose_format`` does, read as :class:`Joints`.

    ``components`` are the names and numbers of points of poses that were imported: those are read, never made.
    ``ghosts``: "drop" leaves out a hand that is the other one found twice, "keep" does not, as earlier versions did
    (:mod:`signloom.transforms.ghost_hands`). Other settings as in :class:`HolisticPose`. Samples are float32 (543, 4),
    see :meth:`Finder.find`; ghosts are in them, since only the whole clip tells.
    """

    face: str = "contours"
    least_detection: float = 0.5
    least_tracking: float = 0.5
    components: tuple[tuple[str, int], ...] = ()
    ghosts: str = "drop"
    name = "pose"
    suffix = ".pose"
    small = True
    extra_fields = ("seen", "pose_found")

    def __post_init__(self):
        _ = self.estimator
        if self.ghosts not in GHOSTS:
            raise InputError(f"pose.ghosts: got {self.ghosts!r}, expected {' or '.join(GHOSTS)}")

    @classmethod
    def of_fingerprint(cls, made: Mapping[str, Any], others: Mapping[str, Stream]) -> PoseStream:
        """The stream whose fingerprint is ``made``."""
        ghosts = made.get("ghosts", "keep")  # what is not told of ghosts was made before they were looked for
        if made.get("extractor") == "imported":
            return cls(components=tuple(made.get("components", {}).items()), ghosts=ghosts)
        settings = {k: made[k] for k in ("face", "least_detection", "least_tracking") if k in made}
        return cls(**settings, ghosts=ghosts)

    @property
    def estimator(self) -> HolisticPose:
        """What finds the points."""
        return HolisticPose(self.face, self.least_detection, self.least_tracking)

    @property
    def requires(self) -> tuple[str, ...]:
        return () if self.components else ("video",)

    def fingerprint(self) -> dict[str, Any]:
        if self.components:
            return imported_fingerprint(dict(self.components), self.ghosts)
        made = self.estimator.fingerprint()
        return made if self.ghosts == "keep" else {**made, "version": 2, "ghosts": self.ghosts}

    def open(self, info: ClipInfo) -> _Finding:
        if self.components:
            raise InputError(
                f"clip '{info.id}': these poses were imported, and what made them is not on record; they cannot be "
                "made of video. Give .pose files"
            )
        return _Finding(self.estimator.finder())

    @contextmanager
    def writer(self, file: Path, info: ClipInfo) -> Iterator[Callable[[np.ndarray], None]]:
        """Raises MediaError(reason="no-signer") where nobody was found in the whole clip."""
        rows: list[np.ndarray] = []
        yield rows.append
        pose = self._pose(rows, info)
        if not any(seen_parts(joints_of(pose)).values()):
            raise MediaError(f"clip '{info.id}': no person was found in any of {len(rows)} frames", "no-signer")
        media.write_pose(file, pose)

    def read(self, file: File, rows: np.ndarray | Sequence[int] | None = None) -> Joints:
        joints = joints_of(media.read_pose(file))
        return joints if rows is None else joints[rows]

    def read_of(self, file: File, rows: np.ndarray | Sequence[int] | None, n_frames: int | None) -> Joints:
        joints = super().read_of(file, None, n_frames)
        return joints if rows is None else joints[rows]

    def gather(self, samples: Sequence[np.ndarray], info: ClipInfo) -> Joints:
        return joints_of(self._pose(samples, info))

    def extra(self, info: ClipInfo) -> dict[str, Any]:
        """The share of frames in which each part of the signer was found, and in how many there was a ghost hand."""
        joints = info.complete["pose"]
        ghosts = 0 if joints.ghosts_TS is None else int(joints.ghosts_TS.any(1).sum())
        return {"seen": seen_parts(joints)} | ({"pose_found": {"ghost_hands": ghosts}} if ghosts else {})

    def _pose(self, samples: Sequence[np.ndarray], info: ClipInfo) -> Pose:
        if info.size_px is None:
            raise InputError(f"clip '{info.id}': points are in pixels of a picture whose size is not told (size_px)")
        # A file keeps the rate in 32 bits.
        pose = self.estimator.pose_of(np.stack(samples), info.size_px, float(np.float32(info.fps)))
        return pose if self.ghosts == "keep" else without_ghosts(pose)[0]


class _Finding:
    def __init__(self, finder: Finder):
        self._finder = finder

    def push(self, time_s: float, samples: Mapping[str, np.ndarray]) -> list[Timed]:
        return [Timed(time_s, self._finder.find(samples["video"]))]

    def close(self) -> list[Timed]:
        self._finder.close()
        return []


def seen_parts(joints: Joints) -> dict[str, float]:
    """The share of frames in which each part was found."""
    return {part: round(float(joints.present_TJ[:, where].any(1).mean()), 3) for part, where in PARTS.items()}


def imported_fingerprint(components: Mapping[str, int], ghosts: str) -> dict[str, Any]:
    """The fingerprint of a pose whose estimator is not on record: the points it holds, and that ghosts are out."""
    made = {"extractor": "imported", "components": dict(components)}
    return made if ghosts == "keep" else {**made, "ghosts": ghosts}


def components_of(pose: Pose) -> dict[str, int]:
    """The names of a pose's components, and how many points each has."""
    return {c.name: len(c.points) for c in pose.header.components}
