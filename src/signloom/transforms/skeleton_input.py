"""From a measured 3-D skeleton to what a skeleton recogniser sees; the same in training, evaluation and prediction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from signloom.data.skeleton import Joints
from signloom.errors import InputError
from signloom.media.skeleton_files import KINECT_PARENTS, KINECT_POINTS

if TYPE_CHECKING:
    from signloom.data.corpus import ClipRef
    from signloom.data.reader import Reader

_HIP, _NECK = KINECT_POINTS.index("hip_center"), KINECT_POINTS.index("shoulder_center")
_LEFT, _RIGHT = KINECT_POINTS.index("left_shoulder"), KINECT_POINTS.index("right_shoulder")
_LEAST_TORSO_M = 0.05


@dataclass(frozen=True)
class SkeletonInput:
    """A Kinect's joints in body units, on ``n_frames`` evenly spaced instants.

    The origin is where the middle of the hips is over the clip (its median, so that a step stays a step), the unit the
    length of the torso. ``face_front`` turns the body about the vertical so that the shoulders lie across, which takes
    out where the camera stood. A joint that was not found is filled in from the moments before and after.
    """

    n_frames: int = 48
    face_front: bool = True
    version: ClassVar[int] = 1
    keeps_clips: ClassVar[bool] = True
    """What a model sees of a clip is small: it is made once and kept in memory."""

    def __post_init__(self):
        if self.n_frames < 2:
            raise InputError(f"SkeletonInput.n_frames: got {self.n_frames}, expected at least 2")

    def model_fields(self, streams: tuple[str, ...]) -> dict[str, Any]:
        """What a model's config has to know of this input."""
        return {"parents": KINECT_PARENTS, "n_frames": self.n_frames}

    def shapes(self) -> dict[str, tuple[tuple[int, ...], type]]:
        """Shape and type of each array of :meth:`of_clip`."""
        return {
            "skeleton": ((self.n_frames, len(KINECT_POINTS), 3), np.float32),
            "skeleton_mask": ((self.n_frames,), np.bool_),
        }

    def of_clip(self, clip: ClipRef, read: Reader, streams: tuple[str, ...], **_: Any) -> dict[str, np.ndarray]:
        """``skeleton`` (T, P, 3) float32 in torso lengths (x to the person's right, y up, z away from the camera) and
        ``skeleton_mask`` (T,) bool, all True, of a clip. Raises InputError for a pose without a measured skeleton."""
        joints = read(clip, streams[0])
        try:
            return self.from_joints(joints)
        except InputError as error:
            raise InputError(f"clip '{clip.id}', stream '{streams[0]}': {error}") from error

    def from_joints(self, joints: Joints) -> dict[str, np.ndarray]:
        """As :meth:`of_clip`, from :class:`Joints`."""
        if joints.points_TPC is None or joints.point_names != KINECT_POINTS:
            raise InputError(
                f"a skeleton recogniser needs the {len(KINECT_POINTS)} joints of a Kinect in metres; this pose has "
                "none. Choose the recipe 'pose' for poses found in video"
            )
        if not len(joints):
            raise InputError("its pose has no frame")
        points = _filled(joints.points_TPC.astype(np.float64))
        points = points - np.median(points[:, _HIP], 0)
        torso = float(np.median(np.linalg.norm(points[:, _NECK] - points[:, _HIP], axis=-1)))
        points = points / max(torso, _LEAST_TORSO_M)
        if self.face_front:
            across = np.median(points[:, _RIGHT] - points[:, _LEFT], 0)
            points = points @ _about_vertical(np.arctan2(across[2], across[0])).T
        where = np.linspace(0, len(points) - 1, self.n_frames)
        before = np.minimum(where.astype(int), len(points) - 1)
        after = np.minimum(before + 1, len(points) - 1)
        share = (where - before)[:, None, None]
        stretched = points[before] * (1 - share) + points[after] * share
        return {"skeleton": stretched.astype(np.float32), "skeleton_mask": np.ones(self.n_frames, bool)}


def _about_vertical(angle: float) -> np.ndarray:
    """The rotation that brings the direction at ``angle`` from x towards z onto x."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])


def _filled(points_TPC: np.ndarray) -> np.ndarray:
    """Joints that are NaN by interpolation over time; one that was never found at the mean of those that were."""
    absent_TP = np.isnan(points_TPC).any(-1)
    if not absent_TP.any():
        return points_TPC
    filled, t = points_TPC.copy(), np.arange(len(points_TPC))
    for p in np.flatnonzero(absent_TP.any(0)):
        there = ~absent_TP[:, p]
        for c in range(3):
            filled[:, p, c] = np.interp(t, t[there], points_TPC[there, p, c]) if there.any() else np.nan
    never = np.isnan(filled[0, :, 0])
    if never.all():
        return np.zeros_like(filled)
    filled[:, never] = filled[:, ~never].mean(1, keepdims=True)
    return filled
