"""What a generator begins with of each signer: the background, and the appearance template."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from signloom.transforms.pose_map import CHANNELS, FINGER_ROWS

_FACE = (CHANNELS.index("face"),)
_HEAD_AND_FOREARMS = ("nose", "right_eye_ear", "left_eye_ear", "right_forearm", "left_forearm")
_MOVING = tuple(map(CHANNELS.index, (*_HEAD_AND_FOREARMS, *CHANNELS[FINGER_ROWS])))


def background_of(frames: Iterable[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """What stands behind the signer, as far as it ever shows: uint8 (S, S, 3).

    ``frames`` are pictures uint8 (S, S, 3) with their pose maps uint8 (S, S, L). Per pixel the median over the frames
    in which it lies well outside the signer; what never does is filled in from around it. A generator learns the rest.
    """
    import cv2

    pictures, outside = [], []
    for picture, pose_map in frames:
        pictures.append(picture)
        outside.append(~_about_the_signer(pose_map))
    stack = np.where(np.stack(outside)[..., None], np.stack(pictures).astype(np.float32), np.nan)
    never = np.isnan(stack[..., 0]).all(0)
    stack[0, never] = 0
    plate = np.nanmedian(stack, axis=0).astype(np.uint8)
    if never.all():
        return np.median(np.stack(pictures), axis=0).astype(np.uint8)
    return cv2.inpaint(plate, never.astype(np.uint8), 3, cv2.INPAINT_TELEA)


def template_of(frames: Sequence[tuple[np.ndarray, np.ndarray]], background_HWC: np.ndarray) -> np.ndarray:
    """The appearance template, the signer's clothes before ``background_HWC``: uint8 (S, S, 3); ``frames`` as above.

    Per pixel the median over the frames in which neither head, forearm nor hand is near; where one always is, the
    background. So nothing of what moves stays in it.
    """
    pictures = np.stack([picture for picture, _ in frames]).astype(np.float32)
    size = pictures.shape[1]
    free = [~(_near(m[..., _FACE], size // 8) | _near(m[..., _MOVING], size // 14)) for _, m in frames]
    stack = np.where(np.stack(free)[..., None], pictures, np.nan)
    never = np.isnan(stack[..., 0]).all(0)
    stack[0, never] = background_HWC[never]
    return np.nanmedian(stack, axis=0).astype(np.uint8)


def _near(pose_map_HWL: np.ndarray, reach_px: int) -> np.ndarray:
    import cv2

    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach_px + 1, 2 * reach_px + 1))
    return cv2.dilate((pose_map_HWL.max(-1) > 40).astype(np.uint8), kernel).astype(bool)


def _about_the_signer(pose_map_HWL: np.ndarray) -> np.ndarray:
    """Where the signer may be, generously: the hull of limbs and hair, wider by a tenth of the side, and all below."""
    import cv2

    size = len(pose_map_HWL)
    mask = np.zeros((size, size), np.uint8)
    rows, columns = np.nonzero(pose_map_HWL.max(-1) > 64)
    if not len(rows):
        return mask.astype(bool)
    points = [np.stack([columns, rows], 1)]
    up, across = np.nonzero(pose_map_HWL[..., CHANNELS.index("face")] > 64)
    if len(up):  # outlines end at the brows; hair stands as high again above them as half a face
        top = up.min() - (up.max() - up.min()) / 2
        points.append(np.array([[across.min(), top], [across.max(), top]]))
    hull = cv2.convexHull(np.concatenate(points).astype(np.int32))
    cv2.fillConvexPoly(mask, hull, (1,))
    mask[rows.max() :, columns.min() : columns.max() + 1] = 1
    wider = 2 * round(size / 10) + 1
    return cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (wider, wider))).astype(bool)
