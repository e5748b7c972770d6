"""Poses of made-up people as OpenPose would give them (137 points), for tests: ``load_module("people.py")``."""

from __future__ import annotations

import numpy as np
from pose_format import Pose
from pose_format.numpy import NumPyPoseBody
from pose_format.pose_header import PoseHeader, PoseHeaderComponent, PoseHeaderDimensions

BODY = [
    *("Nose", "Neck", "RShoulder", "RElbow", "RWrist", "LShoulder", "LElbow", "LWrist", "MidHip", "RHip", "RKnee"),
    *("RAnkle", "LHip", "LKnee", "LAnkle", "REye", "LEye", "REar", "LEar"),
    *("LBigToe", "LSmallToe", "LHeel", "RBigToe", "RSmallToe", "RHeel"),
]
SIZES = {"pose_keypoints_2d": 25, "face_keypoints_2d": 70, "hand_left_keypoints_2d": 21, "hand_right_keypoints_2d": 21}
SLICES = {}
for _name, _n in SIZES.items():
    SLICES[_name] = slice(sum(s.stop - s.start for s in SLICES.values()), sum(SIZES[k] for k in (*SLICES, _name)))
POINTS = sum(SIZES.values())
_PLACES = {
    "Nose": (0, -0.7), "Neck": (0, 0), "RShoulder": (-0.5, 0), "LShoulder": (0.5, 0), "RElbow": (-0.7, 0.8),
    "LElbow": (0.7, 0.8), "LWrist": (0.6, 1.6), "MidHip": (0, 1.8), "RHip": (-0.3, 1.8), "LHip": (0.3, 1.8),
    "REye": (-0.1, -0.8), "LEye": (0.1, -0.8), "REar": (-0.2, -0.75), "LEar": (0.2, -0.75),
}  # fmt: skip


def person(frames, x, y=260.0, unit=150.0, *, hands=True, still=False):
    """Somebody whose right hand circles: ``data`` (frames, 137, 2) in pixels and ``confidence`` (frames, 137)."""
    data, confidence = np.zeros((frames, POINTS, 2)), np.zeros((frames, POINTS))
    turn = np.zeros(frames) if still else 2 * np.pi * np.arange(frames) / 15
    wrist = np.stack([-0.3 + 0.4 * np.sin(turn), 0.3 + 0.4 * np.cos(turn)], 1)
    for name, place in {**_PLACES, "RWrist": wrist}.items():
        data[:, BODY.index(name)] = place
        confidence[:, BODY.index(name)] = 0.9
    angle = np.arange(70)
    data[:, SLICES["face_keypoints_2d"]] = np.stack([0.2 * np.cos(angle), -0.7 + 0.2 * np.sin(angle)], 1)
    confidence[:, SLICES["face_keypoints_2d"]] = 0.8
    if hands:
        k = np.arange(21)
        shape = np.stack([0.02 * (k % 4), -0.03 * (k // 4)], 1)
        data[:, SLICES["hand_right_keypoints_2d"]] = wrist[:, None] + shape
        confidence[:, SLICES["hand_right_keypoints_2d"]] = 0.8
    data = np.where(confidence[..., None] > 0, data * unit + [x, y], 0)
    return data, confidence


def pose_of(people, size=(1280, 720), fps=25.0):
    """A pose of ``people``: a list of (data, confidence) as of :func:`person`."""
    data = np.stack([d for d, _ in people], 1).astype(np.float32)
    confidence = np.stack([c for _, c in people], 1).astype(np.float32)
    return pose_of_arrays(data, confidence, size, fps)


def pose_of_arrays(data, confidence, size=(1280, 720), fps=25.0):
    """A pose of arrays (frames, people, 137, 2) and (frames, people, 137)."""
    parts = [
        PoseHeaderComponent(name, BODY if n == 25 else [str(k) for k in range(n)], [(0, 1), (1, 2)], [(0, 0, 0)], "XYC")
        for name, n in SIZES.items()
    ]
    header = PoseHeader(0.2, PoseHeaderDimensions(*size, 0), parts)
    return Pose(header, NumPyPoseBody(fps, np.asarray(data, np.float32), np.asarray(confidence, np.float32)))


def shuffled(people, order_TN):
    """``people``, in every frame in the order of a row of ``order_TN``."""
    data, confidence = np.stack([d for d, _ in people], 1), np.stack([c for _, c in people], 1)
    rows = np.arange(len(data))[:, None]
    return data[rows, order_TN], confidence[rows, order_TN]
