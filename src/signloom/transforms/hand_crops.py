"""Hands cut out of the picture, enlarged: what a network that sees the whole signer at 100 px cannot make out."""

from __future__ import annotations

import numpy as np

from signloom.data.skeleton import INDEX, MIRROR, Joints
from signloom.transforms.geometry import scaling, translation, warp_frames

LOCATED = (
    "nose",
    *(f"{side}_{joint}" for side in ("left", "right") for joint in ("shoulder", "elbow", "wrist")),
    *(f"{side}_{joint}" for side in ("left", "right") for joint in ("middle_1", "thumb_4", "index_4", "little_4")),
)
"""The joints by which hands are cut out, and which a video network may be taught to locate."""
_ROWS = [INDEX[name] for name in LOCATED]
LOCATED_MIRROR = np.array([_ROWS.index(MIRROR[row]) for row in _ROWS])
"""``x_TJ2[:, LOCATED_MIRROR]`` exchanges left and right."""
HAND_SHARE = 0.8
"""The side of the square around a hand, in shoulder widths."""


def located(joints: Joints, width: float, height: float) -> np.ndarray:
    """The joints :data:`LOCATED` as (T, J, 3): shares of a picture of ``width`` × ``height`` px, and 1 where seen."""
    share = joints.xy_TJC[:, _ROWS] / np.array([width, height], np.float32)
    return np.concatenate([share, joints.present_TJ[:, _ROWS, None].astype(np.float32)], -1)


def hand_centres(seen_TJ3: np.ndarray) -> np.ndarray:
    """Where the left and the right hand are in each frame, (T, 2, 2); NaN in a clip in which one is never seen.

    The middle of what is seen of the fingers; without fingers the wrist, a third of a forearm further on; in frames
    without either, the place in the nearest frame that has one.
    """
    column = {name: j for j, name in enumerate(LOCATED)}
    centres = np.full((len(seen_TJ3), 2, 2), np.nan)
    for hand, side in enumerate(("left", "right")):
        fingers = [column[f"{side}_{joint}"] for joint in ("middle_1", "thumb_4", "index_4", "little_4")]
        wrist, elbow = seen_TJ3[:, column[f"{side}_wrist"]], seen_TJ3[:, column[f"{side}_elbow"]]
        reach = wrist[:, :2] + (wrist[:, :2] - elbow[:, :2]) / 3 * (elbow[:, 2:] > 0)
        there = seen_TJ3[:, fingers, 2:] > 0
        middle = (seen_TJ3[:, fingers, :2] * there).sum(1) / np.maximum(there.sum(1), 1)
        place = np.where(there.any(1), middle, reach)
        known = np.flatnonzero(there.any((1, 2)) | (wrist[:, 2] > 0))
        if len(known):
            nearest = known[np.abs(np.arange(len(seen_TJ3))[:, None] - known).argmin(1)]
            centres[:, hand] = place[nearest]
    return centres


def shoulder_share(seen_TJ3: np.ndarray, width: int, height: int) -> float:
    """The median shoulder width in pixels of a ``width`` × ``height`` picture; a fifth of its height if never seen.

    Never less than a twentieth of its height, as shoulders seen from the side would make it nothing.
    """
    left, right = (seen_TJ3[:, LOCATED.index(f"{side}_shoulder")] for side in ("left", "right"))
    both = (left[:, 2] > 0) & (right[:, 2] > 0)
    if not both.any():
        return height / 5
    return max(float(np.median(np.hypot(*((left - right)[both, :2] * (width, height)).T))), height / 20)


def cut_hands(
    frames_THWC: np.ndarray, centres_T22: np.ndarray, side_px: float, size: int, linear: np.ndarray, *, swap: bool
) -> np.ndarray:
    """Squares of ``side_px`` around the hands, (2, T, size, size, C) uint8: the signer's right hand, then the left.

    ``centres_T22`` are shares of the picture. ``linear`` (3×3) is done to each square about its centre; ``swap``
    exchanges the hands, as in a mirror. A hand that is never seen is grey.
    """
    height, width = frames_THWC.shape[1:3]
    out = np.full((2, len(frames_THWC), size, size, frames_THWC.shape[3]), 128, np.uint8)
    for slot, hand in enumerate((0, 1) if swap else (1, 0)):
        if np.isnan(centres_T22[0, hand, 0]):
            continue
        for t, (x, y) in enumerate(centres_T22[:, hand] * (width, height)):
            # Only what is about the hand is looked at; twice the square holds it however it is turned.
            left, top = max(0, int(x - side_px)), max(0, int(y - side_px))
            around = frames_THWC[t : t + 1, top : max(0, int(y + side_px)) + 1, left : max(0, int(x + side_px)) + 1]
            if 0 in around.shape:
                continue
            matrix = translation(size / 2, size / 2) @ linear @ scaling(size / side_px) @ translation(left - x, top - y)
            out[slot, t] = warp_frames(around, matrix, size)[0]
    return out
