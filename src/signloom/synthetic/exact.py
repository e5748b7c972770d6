"""The pose that was rendered: exact joints in pixels, under the names MediaPipe Holistic uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from signloom.synthetic.body import FACE_INDEX, FACE_NUMBERS, Signer, face_points
from signloom.synthetic.motion import LEFT, RIGHT, Motion
from signloom.synthetic.render import Camera, face_surface

if TYPE_CHECKING:
    from pose_format import Pose

BODY_POINTS = (
    "NOSE", "LEFT_EYE_INNER", "LEFT_EYE", "LEFT_EYE_OUTER", "RIGHT_EYE_INNER", "RIGHT_EYE", "RIGHT_EYE_OUTER",
    "LEFT_EAR", "RIGHT_EAR", "MOUTH_LEFT", "MOUTH_RIGHT", "LEFT_SHOULDER", "RIGHT_SHOULDER", "LEFT_ELBOW",
    "RIGHT_ELBOW", "LEFT_WRIST", "RIGHT_WRIST", "LEFT_PINKY", "RIGHT_PINKY", "LEFT_INDEX", "RIGHT_INDEX", "LEFT_THUMB",
    "RIGHT_THUMB", "LEFT_HIP", "RIGHT_HIP", "LEFT_KNEE", "RIGHT_KNEE", "LEFT_ANKLE", "RIGHT_ANKLE", "LEFT_HEEL",
    "RIGHT_HEEL", "LEFT_FOOT_INDEX", "RIGHT_FOOT_INDEX",
)  # fmt: skip
HAND_POINTS = (
    "WRIST",
    *(f"THUMB_{part}" for part in ("CMC", "MCP", "IP", "TIP")),
    *(
        f"{finger}_{part}"
        for finger in ("INDEX_FINGER", "MIDDLE_FINGER", "RING_FINGER", "PINKY")
        for part in ("MCP", "PIP", "DIP", "TIP")
    ),
)
_LEGS_M = (0.42, 0.82, 0.86, 0.87)  # knee, ankle, heel and toes below the hip, straight down
_HAND_IN_BODY = (("PINKY", 17), ("INDEX", 5), ("THUMB", 2))


def exact_points(motion: Motion, signer: Signer, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """All points in the order body 33, face 128, left hand 21, right hand 21: ((T, 203, 3), confidence (T, 203)).

    x, y in pixels; z, as MediaPipe scales it, in frame widths, negative towards the camera, from the hips (body), the
    ears (face) and each wrist (hands). Confidence is 1, or 0 for what lies outside of the frame: single points of
    the body and face, a hand when most of it is outside.
    """
    n = len(motion)
    face = face_surface(face_points(motion.expression, signer), signer)
    size = np.array([signer.head * signer.face_width, signer.head, signer.head])
    fixed = np.array([[0, 0.034, -0.101], [0.0765, 0.008, 0.012], [-0.0765, 0.008, 0.012]]) * size
    local = np.concatenate([face, np.broadcast_to(fixed, (n, 3, 3))], 1)
    # The head is drawn with the camera's projection made linear at its middle, and so are its points.
    centre = camera.project(motion.head)
    affine = np.stack([camera.affine_at(c) for c in motion.head]) @ motion.head_turn
    on_head = centre[:, None] + np.einsum("nij,nkj->nki", affine, local)
    face, nose, ears = on_head[:, :-3], on_head[:, -3], on_head[:, -2:]

    body = np.zeros((n, len(BODY_POINTS), 3))

    def put(name, value):
        body[:, BODY_POINTS.index(name)] = value

    def mean(*numbers):
        return face[:, [FACE_INDEX[k] for k in numbers]].mean(1)

    put("NOSE", nose)
    for name, inner, outer, ear, mouth in (("LEFT", 362, 263, 0, 291), ("RIGHT", 133, 33, 1, 61)):
        put(f"{name}_EYE_INNER", mean(inner))
        put(f"{name}_EYE", mean(inner, outer))
        put(f"{name}_EYE_OUTER", mean(outer))
        put(f"{name}_EAR", ears[:, ear])
        put(f"MOUTH_{name}", mean(mouth))
    for name, side in (("LEFT", LEFT), ("RIGHT", RIGHT)):
        put(f"{name}_SHOULDER", camera.project(motion.shoulders[:, side]))
        put(f"{name}_ELBOW", camera.project(motion.elbows[:, side]))
        put(f"{name}_WRIST", camera.project(motion.hands[:, side, 0]))
        for part, joint in _HAND_IN_BODY:
            put(f"{name}_{part}", camera.project(motion.hands[:, side, joint]))
        hip = motion.hips[:, side]
        put(f"{name}_HIP", camera.project(hip))
        for part, below in zip(("KNEE", "ANKLE", "HEEL", "FOOT_INDEX"), _LEGS_M):
            put(f"{name}_{part}", camera.project(hip + np.array([0, below * signer.scale, 0])))

    hands = camera.project(motion.hands)
    points = np.concatenate([body, face, hands[:, LEFT], hands[:, RIGHT]], 1)
    x, y = points[..., 0], points[..., 1]
    inside = (x >= 0) & (x < camera.width_px) & (y >= 0) & (y < camera.height_px)
    confidence = inside.astype(np.float32)
    start = len(BODY_POINTS) + len(FACE_NUMBERS)
    for k in (start, start + 21):
        confidence[:, k : k + 21] = inside[:, k : k + 21].mean(1, keepdims=True) >= 0.5
    hips = (body[:, BODY_POINTS.index("LEFT_HIP"), 2] + body[:, BODY_POINTS.index("RIGHT_HIP"), 2])[:, None] / 2
    origins = [np.repeat(hips, len(BODY_POINTS), 1), np.repeat(centre[:, 2:], len(FACE_NUMBERS), 1)]
    origins += [np.repeat(hands[:, side, :1, 2], 21, 1) for side in (LEFT, RIGHT)]
    points[..., 2] = (np.concatenate(origins, 1) - points[..., 2]) / camera.width_px
    return points.astype(np.float32), confidence


def exact_pose(motion: Motion, signer: Signer, camera: Camera) -> Pose:
    """The exact pose as a ``pose_format.Pose``: POSE_LANDMARKS 33, FACE_LANDMARKS 128 (the face mesh's contour points),
    LEFT_HAND_LANDMARKS 21, RIGHT_HAND_LANDMARKS 21, named as MediaPipe Holistic names them; see exact_points."""
    from numpy import ma
    from pose_format import Pose
    from pose_format.numpy import NumPyPoseBody
    from pose_format.pose_header import PoseHeader, PoseHeaderDimensions

    points, confidence = exact_points(motion, signer, camera)
    header = PoseHeader(0.2, PoseHeaderDimensions(camera.width_px, camera.height_px, 1000), _components())
    data, confidence = points[:, None], confidence[:, None]
    mask = np.repeat((confidence == 0)[..., None], 3, axis=-1)
    return Pose(header, NumPyPoseBody(motion.rate_hz, ma.array(data, mask=mask), confidence))


def _components():
    from pose_format.pose_header import PoseHeaderComponent

    white = [(255, 255, 255)]
    hand_bones = [(0, 1), (0, 5), (0, 9), (0, 13), (0, 17)]
    hand_bones += [(k, k + 1) for start in (1, 5, 9, 13, 17) for k in range(start, start + 3)]
    at = BODY_POINTS.index
    body_bones = [(at("LEFT_SHOULDER"), at("RIGHT_SHOULDER")), (at("LEFT_HIP"), at("RIGHT_HIP"))]
    for side in ("LEFT", "RIGHT"):
        for a, b in (
            ("SHOULDER", "ELBOW"),
            ("ELBOW", "WRIST"),
            ("SHOULDER", "HIP"),
            ("HIP", "KNEE"),
            ("KNEE", "ANKLE"),
        ):
            body_bones.append((at(f"{side}_{a}"), at(f"{side}_{b}")))
    return [
        PoseHeaderComponent("POSE_LANDMARKS", list(BODY_POINTS), body_bones, white, "XYZC"),
        PoseHeaderComponent("FACE_LANDMARKS", [str(n) for n in FACE_NUMBERS], [], white, "XYZC"),
        PoseHeaderComponent("LEFT_HAND_LANDMARKS", list(HAND_POINTS), hand_bones, white, "XYZC"),
        PoseHeaderComponent("RIGHT_HAND_LANDMARKS", list(HAND_POINTS), hand_bones, white, "XYZC"),
    ]
