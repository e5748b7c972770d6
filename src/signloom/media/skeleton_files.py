"""Skeletons that a depth camera measured (Kinect, 20 joints in metres): MATLAB files read as poses."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np

from signloom.media.limits import DEFAULT_LIMITS, PLAUSIBLE_FPS, Limits, fail
from signloom.media.mat_files import list_mat, read_mat

if TYPE_CHECKING:
    from pose_format import Pose

KINECT = "KINECT"
"""The component of a pose whose points are a Kinect's joints: metres, x to the person's right, y up, z away from the
camera (for somebody who faces it)."""
KINECT_SIZE_PX = (320, 240)
"""The depth picture to which the Kinect's nominal focal length belongs."""
KINECT_FOCAL_PX = 285.63
"""NUI_CAMERA_DEPTH_NOMINAL_FOCAL_LENGTH_IN_PIXELS of the Kinect for Windows SDK 1, for 320 × 240."""
_BONES = (
    # joint, where its bone starts; in the order of UTD-MHAD's d_skel
    ("head", "shoulder_center"),
    ("shoulder_center", "spine"),
    ("spine", "hip_center"),
    ("hip_center", "hip_center"),
    *(
        (f"{side}_{joint}", f"{side}_{start}" if start in ("shoulder", "elbow", "wrist") else start)
        for side in ("left", "right")
        for joint, start in (
            ("shoulder", "shoulder_center"),
            ("elbow", "shoulder"),
            ("wrist", "elbow"),
            ("hand", "wrist"),
        )
    ),
    *(
        (f"{side}_{joint}", f"{side}_{start}" if start in ("hip", "knee", "ankle") else start)
        for side in ("left", "right")
        for joint, start in (("hip", "hip_center"), ("knee", "hip"), ("ankle", "knee"), ("foot", "ankle"))
    ),
)
KINECT_POINTS = tuple(joint for joint, _ in _BONES)
"""The names of the 20 joints, in order; left and right are the person's own."""
KINECT_PARENTS = tuple(KINECT_POINTS.index(start) for _, start in _BONES)
"""For each joint the one that its bone starts at; the middle of the hips is its own."""
OTHER_SIDE = tuple(
    KINECT_POINTS.index(name.replace("left", "\0").replace("right", "left").replace("\0", "right"))
    for name in KINECT_POINTS
)
"""For each joint its namesake on the other side of the body."""

_KEY = "d_skel"
_UTD_NAME = re.compile(r"a\d+_s\d+_t\d+_skeleton\.mat")
_UTD_FPS = 30.0
_MAX_BYTES = 256 << 20
_FARTHEST_M = 100.0


def read_skeleton_mat(path: str | os.PathLike[str], fps: float | None = None, limits: Limits = DEFAULT_LIMITS) -> Pose:
    """The pose in a ``.mat`` whose ``d_skel`` is (20 joints, 3, T) in metres, as UTD-MHAD has it.

    One person, component :data:`KINECT` of :data:`KINECT_POINTS`, XYZ and confidence: 0 for a joint at (0, 0, 0), which
    is how a Kinect says that it did not find one. ``fps`` may be left out for files named as in UTD-MHAD, which has
    30. Raises MediaError: ``bad-header`` (no ``d_skel``, another shape, no rate, places that are no metres),
    ``decode-error`` (NaN), ``no-frames``, ``too-long``, and those of :func:`~signloom.media.mat_files.list_mat`.
    """
    fps = _rate(path, fps)
    values_PCT = _values(path, limits)
    places_TPC = np.ascontiguousarray(values_PCT.transpose(2, 0, 1), np.float32)
    found_TP = (places_TPC != 0).any(-1)
    return kinect_pose(places_TPC, found_TP, fps)


def kinect_pose(places_TPC: np.ndarray, found_TP: np.ndarray, fps: float) -> Pose:
    """A pose of one person's joints (T, 20, 3) in metres, of which ``found_TP`` were found."""
    from pose_format import Pose
    from pose_format.numpy import NumPyPoseBody
    from pose_format.pose_header import PoseHeader, PoseHeaderComponent, PoseHeaderDimensions

    limbs = [(start, joint) for joint, start in enumerate(KINECT_PARENTS) if start != joint]
    component = PoseHeaderComponent(KINECT, list(KINECT_POINTS), limbs, [(0, 255, 0)] * len(limbs), "XYZC")
    header = PoseHeader(0.2, PoseHeaderDimensions(*KINECT_SIZE_PX, depth=0), [component])
    confidence = found_TP[:, None].astype(np.float32)
    mask = np.repeat(confidence[..., None] == 0, 3, axis=-1)
    return Pose(header, NumPyPoseBody(fps, np.ma.array(places_TPC[:, None], mask=mask), confidence))


def _rate(path: str | os.PathLike[str], fps: float | None) -> float:
    if fps is None and _UTD_NAME.fullmatch(PurePath(os.fspath(path)).name):
        return _UTD_FPS
    if fps is None:
        raise fail(
            path, "bad-header", "a .mat does not say how many frames a second it has; give fps in the clip's record"
        )
    if not PLAUSIBLE_FPS[0] <= fps <= PLAUSIBLE_FPS[1]:
        raise fail(path, "bad-header", f"{fps:g} frames a second; wanted {PLAUSIBLE_FPS[0]:g} to {PLAUSIBLE_FPS[1]:g}")
    return float(fps)


def _values(path: str | os.PathLike[str], limits: Limits) -> np.ndarray:
    """``d_skel``, (20, 3, T), after checking what the file claims before unpacking it."""
    limits = replace(limits, max_bytes=min(limits.max_bytes, _MAX_BYTES))
    found = list_mat(path, limits)
    claimed = next((array for array in found if array.name == _KEY), None)
    if claimed is None:
        raise fail(path, "bad-header", f"no '{_KEY}' in it; it has {', '.join(map(str, found)) or 'nothing'}")
    wanted = (len(KINECT_POINTS), 3)
    shape = (*claimed.shape, 1) if claimed.shape == wanted else claimed.shape  # MATLAB drops a last axis of one
    if len(shape) != 3 or shape[:2] != wanted or claimed.kind not in ("double", "single"):
        raise fail(path, "bad-header", f"it has {claimed}; wanted double or single ({wanted[0]}, 3, T)")
    if shape[2] > limits.max_frames:
        raise fail(path, "too-long", f"{shape[2]:,} frames; at most {limits.max_frames:,}")
    if not shape[2]:
        raise fail(path, "no-frames", f"'{_KEY}' has no frame")
    values = read_mat(path, _KEY, limits).reshape(shape)
    if not np.isfinite(values).all():
        n = int((~np.isfinite(values).all((0, 1))).sum())
        raise fail(path, "decode-error", f"NaN or infinite places in {n} of {shape[2]} frames")
    if np.abs(values).max() > _FARTHEST_M:
        raise fail(path, "bad-header", f"places up to {np.abs(values).max():.4g} away; wanted metres")
    return values
