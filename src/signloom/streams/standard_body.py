"""The body that anonymised poses get: the procedural signer's, who is nobody; and poses of it as files."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from signloom.data.skeleton import FACE_MESH_NUMBERS, PARTS
from signloom.streams.pose_holistic import HolisticPose
from signloom.synthetic.body import FACE_INDEX, FACE_NUMBERS, Signer, face_points, hand_joints
from signloom.transforms.pose_anonymise import StandardBody, StandardPose

if TYPE_CHECKING:
    from pose_format import Pose

SIZE_PX = (640, 640)
_SHOULDERS_PX = 150.0
_ORIGIN_PX = np.array([320.0, 270.0])
_NOSE = (0.0, -0.52)
_BODY_POINTS = {
    "nose": 0, "left_eye": 2, "right_eye": 5, "left_ear": 7, "right_ear": 8, "left_shoulder": 11, "right_shoulder": 12,
    "left_elbow": 13, "right_elbow": 14, "left_wrist": 15, "right_wrist": 16, "left_hip": 23, "right_hip": 24,
}  # fmt: skip


@cache
def standard_body() -> StandardBody:
    """The procedural signer of average build, upright and facing the camera."""
    signer = Signer("standard")
    unit = signer.shoulder_m
    face = face_points(np.concatenate([np.zeros((1, 5)), np.eye(5)]), signer) / unit
    nose_on_face = np.array([0.0, 0.034]) / unit
    eyes = {side: face[0, [FACE_INDEX[n] for n in numbers]].mean(0) - nose_on_face for side, numbers in _EYES.items()}
    ear = np.array([0.0765, 0.008]) / unit - nose_on_face
    nose = np.array(_NOSE)
    joints = {"nose": nose, "left_shoulder": np.array([0.5, 0]), "left_hip": np.array([0.28, 1.45])}
    joints |= {"left_eye": nose + eyes["left"], "left_ear": nose + ear}
    joints |= {name.replace("left", "right"): p * [-1, 1] for name, p in list(joints.items()) if "left" in name}
    joints |= {f"{side}_{part}": np.zeros(2) for side in ("left", "right") for part in ("elbow", "wrist")}
    hand = hand_joints(np.zeros(20), 1.0) / unit
    above = [0, 0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19]
    return StandardBody(
        {name: (float(x), float(y)) for name, (x, y) in joints.items()},
        rest=(0.42, 1.3),
        bones_21=np.linalg.norm(hand - hand[above], axis=-1),
        face_P2=face[0] - nose_on_face,
        face_joints=tuple(FACE_INDEX[n] for n in FACE_MESH_NUMBERS),
        expressions_EP2=face[1:] - face[0],
    )


_EYES = {"left": (362, 263), "right": (133, 33)}


def pose_of_standard(moved: StandardPose) -> Pose:
    """``moved`` as MediaPipe's body, face outlines and hands, in a picture of :data:`SIZE_PX`; z is 0 throughout."""
    n = len(moved.xy_TJC)
    points = np.zeros((n, 543, 4), np.float32)

    def put(columns: list[int], xy_TPC: np.ndarray, here_TP: np.ndarray) -> None:
        points[:, columns, :2] = xy_TPC * _SHOULDERS_PX + _ORIGIN_PX
        points[:, columns, 3] = here_TP

    put(list(_BODY_POINTS.values()), moved.xy_TJC[:, PARTS["body"]], moved.present_TJ[:, PARTS["body"]])
    if moved.face_TP2.shape[1]:
        put([33 + n for n in FACE_NUMBERS], moved.face_TP2, np.ones(moved.face_TP2.shape[:2]))
    for start, side in ((501, "left"), (522, "right")):
        part = PARTS[f"{side}_hand"]
        put(list(range(start, start + 21)), moved.xy_TJC[:, part], moved.present_TJ[:, part])
    points[points[..., 3] == 0] = 0
    return HolisticPose().pose_of(points, SIZE_PX, float(np.float32(moved.fps)))
