"""Pose maps: a pose as a picture with one channel a limb, drawn from keypoints or read off a stick figure.

A generator trained on drawn skeletons and one trained on ``.pose`` files see the same eighteen channels
(:data:`CHANNELS`), so either can be driven by the other. A stick figure in three colours is the same told in colours
(:func:`stick_figure`); limbs that cross hide each other there, and not here.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from signloom.data.skeleton import INDEX, PARTS, Joints, joints_of
from signloom.errors import InputError
from signloom.transforms.geometry import translation

if TYPE_CHECKING:
    from pose_format import Pose

VERSION = 1

_FINGERS = ("thumb", "index", "middle", "ring", "little")
# OpenPose draws the limb that ends at point n of its BODY_25 in the n-th of 18 hues, 20° apart
# (https://cmu-perceptual-computing-lab.github.io/openpose/web/html/doc/md_doc_02_output.html).
_BODY_HUES_DEG = {
    "nose": (340,),
    "right_eye_ear": (320, 300),
    "left_eye_ear": (280, 260),
    "trunk": (0,),
    "right_shoulder": (20,),
    "right_upper_arm": (40,),
    "right_forearm": (60,),
    "left_shoulder": (80,),
    "left_upper_arm": (100,),
    "left_forearm": (120,),
    "right_leg": (140, 160, 180),
    "left_leg": (200, 220, 240),
}
_FINGER_HUES_DEG = {"thumb": 0, "index": 60, "middle": 150, "ring": 210, "little": 300}
CHANNELS = ("face", *_BODY_HUES_DEG, *_FINGERS)
"""The channels of every pose map, ``HWL``: face outlines, body limbs, and the fingers of both hands together."""
WIDTH_PARTS = (64, 85, 256)
"""A line of the body, of a finger and of the face is this part of the map's side wide, at least 1 px."""
FINGER_ROWS = slice(CHANNELS.index("thumb"), None)
# In a stick figure body limbs are drawn at full brightness, fingers darker; between these they blend.
_DIM, _BRIGHT = 190.0, 230.0
_FINGER_LEAST = 0.4  # how bright a finger begins at the palm; its tip is 1
# The joints that the middles of shoulders and hips lie between.
_SIDES = [[INDEX[f"{side}_{name}"] for side in ("left", "right")] for name in ("shoulder", "hip")]

_BODY_LINES = (
    ("nose", "mid_shoulder", "nose"),
    ("right_eye_ear", "nose", "right_eye"),
    ("right_eye_ear", "right_eye", "right_ear"),
    ("left_eye_ear", "nose", "left_eye"),
    ("left_eye_ear", "left_eye", "left_ear"),
    ("trunk", "mid_shoulder", "mid_hip"),
    ("right_shoulder", "mid_shoulder", "right_shoulder"),
    ("right_upper_arm", "right_shoulder", "right_elbow"),
    ("right_forearm", "right_elbow", "right_wrist"),
    ("left_shoulder", "mid_shoulder", "left_shoulder"),
    ("left_upper_arm", "left_shoulder", "left_elbow"),
    ("left_forearm", "left_elbow", "left_wrist"),
    ("right_leg", "mid_hip", "right_hip"),
    ("left_leg", "mid_hip", "left_hip"),
)


def pose_map_of_picture(picture_HWC: np.ndarray, size_px: int) -> np.ndarray:
    """The pose map of an OpenPose-coloured stick figure, uint8 (size_px, size_px, L).

    ``picture_HWC`` uint8 (H, H, 3) RGB, square. Colours are told apart at its own size and averaged afterwards, as a
    blend of two limbs' colours would be a third one's. Raises InputError for a picture that is not square.
    """
    import cv2

    picture = np.asarray(picture_HWC)
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or picture.shape[0] != picture.shape[1]:
        raise InputError(f"a stick figure must be uint8 (H, H, 3); got {picture.dtype} {picture.shape}")
    red, green, blue = (picture[..., c] >> 3 for c in range(3))
    index = (red.astype(np.int32) << 10) | (green.astype(np.int32) << 5) | blue
    pose_map = _colour_table()[index]
    if len(picture) == size_px:
        return pose_map
    how = cv2.INTER_AREA if len(picture) > size_px else cv2.INTER_LINEAR
    # OpenCV resizes four channels at a time.
    fours = (pose_map[..., k : k + 4] for k in range(0, len(CHANNELS), 4))
    parts = [cv2.resize(four, (size_px, size_px), interpolation=how) for four in fours]
    return np.concatenate([p.reshape(size_px, size_px, -1) for p in parts], -1)


def pose_maps_of_pose(pose: Pose, matrix: np.ndarray, size_px: int) -> Iterator[np.ndarray]:
    """Each frame's pose map as drawn from keypoints, uint8 (size_px, size_px, L).

    ``matrix`` (3×3) takes the pose's pixels to the picture's. A limb is as bright as its keypoints are sure; one whose
    end was not found is not drawn. Fingers brighten towards their tips. Face outlines are the pose's own.
    """
    joints = joints_of(pose)
    lines_TN2C = joints.lines_TN2C
    for t in range(len(joints)):
        yield draw_pose_map(joints, t, matrix, size_px, None if lines_TN2C is None else lines_TN2C[t])


def draw_pose_map(
    joints: Joints, t: int, matrix: np.ndarray, size_px: int, lines_N2C: np.ndarray | None = None
) -> np.ndarray:
    """The pose map of frame ``t`` of ``joints``, uint8 (size_px, size_px, L); see :func:`pose_maps_of_pose`.

    ``lines_N2C`` are the face's outlines in that frame, (N, 2, 3), a row of ``Joints.lines_TN2C``; without them the
    joints of the face are drawn as dots.
    """
    import cv2

    xy, sure = joints.xy_TJC[t].astype(np.float64), joints.present_TJ[t].astype(np.float64)
    if joints.confidence_TJ is not None:
        sure *= np.clip(joints.confidence_TJ[t], 0, 1)
    ends_N2, limb_N, share_N = map_lines()
    ends_N2C = np.concatenate([xy, xy[_SIDES].mean(1)])[ends_N2]
    value_N = np.append(sure, sure[_SIDES].min(1))[ends_N2].min(1) * share_N
    body_px, finger_px, face_px = (max(1, round(size_px / part)) for part in WIDTH_PARTS)
    width_N = np.where(limb_N >= FINGER_ROWS.start, finger_px, body_px)
    if lines_N2C is not None and len(lines_N2C):
        face_N2C, face_value_N = lines_N2C[..., :2], lines_N2C[..., 2].min(1).clip(max=1)
    else:
        dots = PARTS["face"]
        face_N2C, face_value_N, face_px = np.stack([xy[dots]] * 2, 1), sure[dots], 2 * face_px
    n_face = len(face_value_N)
    ends_N2C = np.concatenate([ends_N2C, face_N2C]) @ matrix[:2, :2].T + matrix[:2, 2]
    value_N = np.append(value_N, face_value_N)
    limb_N = np.append(limb_N, [CHANNELS.index("face")] * n_face)
    width_N = np.append(width_N, [face_px] * n_face)

    order = np.argsort(value_N, kind="stable")  # the brightest last: it hides the others
    order = order[value_N[order] > 0]
    # OpenCV counts from the centre of the first pixel, here in 1/16 px.
    fixed_N2C = np.rint(np.clip((ends_N2C[order] - 0.5) * 16, -(2**20), 2**20)).astype(int)
    colour_N = np.rint(255 * value_N[order])
    canvases = np.zeros((len(CHANNELS), size_px, size_px), np.uint8)
    strokes = zip(fixed_N2C.tolist(), limb_N[order].tolist(), colour_N.tolist(), width_N[order].tolist())
    for (start, end), limb, colour, width in strokes:
        cv2.line(canvases[limb], start, end, (colour,), width, cv2.LINE_AA, 4)
    return np.ascontiguousarray(canvases.transpose(1, 2, 0))


@cache
def map_lines() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The lines of body and fingers: both ends (N, 2), limbs (N,), and how bright they are of what could be, (N,).

    Ends are places among the joints, behind which come the middles of shoulders and hips.
    """
    place = {**INDEX, "mid_shoulder": len(INDEX), "mid_hip": len(INDEX) + 1}
    lines = [(place[start], place[end], CHANNELS.index(limb), 1.0) for limb, start, end in _BODY_LINES]
    for side in ("left", "right"):
        for finger in _FINGERS:
            chain = [place[f"{side}_root"], *(place[f"{side}_{finger}_{n}"] for n in range(1, 5))]
            for n, (start, end) in enumerate(pairwise(chain)):
                lines.append((start, end, CHANNELS.index(finger), _FINGER_LEAST + (1 - _FINGER_LEAST) * n / 3))
    starts, ends, limb_N, share_N = (np.array(column) for column in zip(*lines))
    return np.stack([starts, ends], 1), limb_N, share_N


def warp_pose_map(pose_map_HWL: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """A pose map through ``matrix`` (3×3, pixels to pixels), at the same size; outside there are no limbs."""
    import cv2

    size = len(pose_map_HWL)
    # OpenCV counts from the centre of the first pixel, and warps four channels at a time.
    affine = (translation(-0.5, -0.5) @ matrix @ translation(0.5, 0.5))[:2]
    groups = [np.ascontiguousarray(pose_map_HWL[..., k : k + 4]) for k in range(0, pose_map_HWL.shape[2], 4)]
    warped = [cv2.warpAffine(g, affine, (size, size), flags=cv2.INTER_LINEAR) for g in groups]
    return np.concatenate([w.reshape(size, size, -1) for w in warped], -1)


def stick_figure(pose_map_HWL: np.ndarray) -> np.ndarray:
    """A pose map in OpenPose's colours, uint8 (H, W, 3) RGB; where limbs cross, the brightest shows."""
    strongest = pose_map_HWL.argmax(-1)
    value = np.take_along_axis(pose_map_HWL, strongest[..., None], -1).astype(np.float32)
    return (value * palette()[strongest]).round().astype(np.uint8)


@cache
def palette() -> np.ndarray:
    """The colour of each limb in a stick figure, float32 (L, 3) from 0 to 1."""
    import colorsys

    hues = [hue[0] for hue in _BODY_HUES_DEG.values()]
    body = [colorsys.hsv_to_rgb(hue / 360, 1, 1) for hue in hues]
    fingers = [colorsys.hsv_to_rgb(_FINGER_HUES_DEG[f] / 360, 1, 0.7) for f in _FINGERS]
    return np.array([(1, 1, 1), *body, *fingers], np.float32)


@cache
def _colour_table() -> np.ndarray:
    """How strongly each of 32×32×32 colours belongs to each limb, uint8 (32768, L)."""
    level = np.arange(32) * 255 / 31
    rgb = np.stack(np.meshgrid(level, level, level, indexing="ij"), -1).reshape(-1, 3)
    value, least = rgb.max(1), rgb.min(1)
    chroma = value - least
    red, green, blue = rgb.T
    some = np.maximum(chroma, 1e-6)
    sextant = np.where(
        value == red,
        (green - blue) / some % 6,
        np.where(value == green, (blue - red) / some + 2, (red - green) / some + 4),
    )
    hue_deg = sextant * 60
    colourful = np.where(chroma > 32, chroma / 255, 0) * (chroma > 0.4 * value)
    bright = np.clip((value - _DIM) / (_BRIGHT - _DIM), 0, 1)

    def near(hue: float, width: float) -> np.ndarray:
        return np.clip(1.5 - np.abs((hue_deg - hue + 180) % 360 - 180) / width, 0, 1)

    table = np.zeros((len(rgb), len(CHANNELS)))
    table[:, 0] = np.where(least > 64, least / 255, 0)  # white and grey: the face
    for limb, hues in _BODY_HUES_DEG.items():
        table[:, CHANNELS.index(limb)] = colourful * bright * np.max([near(h, 10) for h in hues], 0)
    for finger, hue in _FINGER_HUES_DEG.items():
        table[:, CHANNELS.index(finger)] = np.minimum(colourful / 0.7, 1) * (1 - bright) * near(hue, 20)
    return (table * 255).round().astype(np.uint8)
