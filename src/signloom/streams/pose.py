"""Pose: body, hands and face keypoints by an estimator, as a ``pose_format.Pose``."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from signloom import media
from signloom.data.skeleton import PARTS, Joints, joints_of
from signloom.data.stream import ClipInfo, File, Stream, Timed
from signloom.errors import InputError, MediaError
from signloom.streams.estimator import Estimator, Finder, check_face
from signloom.streams.pose_cleaning import GHOSTS, without_ghosts

if TYPE_CHECKING:
    from pose_format import Pose

ESTIMATORS = {
    "holistic": "signloom.streams.pose_holistic:HolisticPose",
    "mediapipe-holistic": "signloom.streams.pose_mediapipe:MediaPipePose",
    "mediapipe-tasks": "signloom.streams.pose_tasks:TasksPose",
    "rtmlib": "signloom.streams.pose_rtmlib:RtmlibPose",
}
"""What finds points, by the name in a fingerprint: "module:class"."""


# --- the stream -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PoseStream(Stream):
    """Keypoints of body, hands and face, .pose files. Stored as ``pose_format`` does, read as :class:`Joints`.

    ``extractor`` is one of :data:`ESTIMATORS`. ``components`` are the names and numbers of points of poses that were
    imported: those are read, never made. ``network`` and ``detector`` are hashes of networks that a user brought, for
    estimators that run such (:mod:`signloom.streams.foreign_networks`). ``ghosts``: "drop" leaves out a hand that is
    the other one found twice, "keep" does not, as earlier versions did (:mod:`signloom.transforms.ghost_hands`). Other
    settings are the estimator's. Samples are float32 (points, 4), see :class:`~signloom.streams.estimator.Finder`;
    ghosts are in them, since only the whole clip tells.
    """

    face: str = "contours"
    least_detection: float = 0.5
    least_tracking: float = 0.5
    components: tuple[tuple[str, int], ...] = ()
    ghosts: str = "drop"
    extractor: str = "holistic"
    network: str = ""
    detector: str = ""
    name = "pose"
    suffix = ".pose"
    small = True
    extra_fields = ("seen", "pose_found")

    def __post_init__(self):
        if self.extractor not in ESTIMATORS:
            raise InputError(f"pose.extractor: got {self.extractor!r}, expected {' or '.join(ESTIMATORS)}")
        check_face(self.face)
        if self.ghosts not in GHOSTS:
            raise InputError(f"pose.ghosts: got {self.ghosts!r}, expected {' or '.join(GHOSTS)}")

    @classmethod
    def of_fingerprint(cls, made: Mapping[str, Any], others: Mapping[str, Stream]) -> PoseStream:
        """The stream whose fingerprint is ``made``."""
        ghosts = made.get("ghosts", "keep")  # what is not told of ghosts was made before they were looked for
        if made.get("extractor") == "imported":
            return cls(components=tuple(made.get("components", {}).items()), ghosts=ghosts)
        names = ("face", "least_detection", "least_tracking", "network", "detector")
        settings = {name: made[name] for name in names if name in made}
        extractor = made.get("extractor")
        return cls(**settings, ghosts=ghosts, extractor=extractor if extractor in ESTIMATORS else "mediapipe-holistic")

    @property
    def estimator(self) -> Estimator:
        """What finds the points."""
        module, _, name = ESTIMATORS[self.extractor].partition(":")
        kind = getattr(importlib.import_module(module), name)
        return kind(**{field.name: getattr(self, field.name) for field in fields(kind) if hasattr(self, field.name)})

    @property
    def requires(self) -> tuple[str, ...]:
        return () if self.components else ("video",)

    def fingerprint(self) -> dict[str, Any]:
        if self.components:
            return imported_fingerprint(dict(self.components), self.ghosts)
        made = self.estimator.fingerprint()
        return made if self.ghosts == "keep" else {**made, "version": 2, "ghosts": self.ghosts}

    def check(self) -> None:
        if not self.components:
            self.estimator.check()

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
        points_TPC = np.stack(samples)
        pose = self.estimator.pose_of(points_TPC, info.size_px, float(np.float32(info.fps)))
        if self.ghosts == "keep":
            return pose
        return without_ghosts(pose, self.estimator.right_hands(points_TPC))[0]


class _Finding:
    def __init__(self, finder: Finder):
        self._finder = finder

    def push(self, time_s: float, samples: Mapping[str, np.ndarray]) -> list[Timed]:
        return [Timed(time_s, self._finder.find(samples["video"], time_s))]

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
