"""The frames a painter learns from: read when needed, kept in memory as far as they fit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from signloom.tasks.recognise.video_set import Memory, default_memory
from signloom.transforms.pose_map import FINGER_ROWS, LIMBS


class PaintClip(Protocol):
    """One clip of one signer: pictures, and the limbs that go with them. Rows count from the clip's first frame."""

    id: str
    identity: int
    fps: float

    def __len__(self) -> int: ...

    def pictures(self, rows: Sequence[int]) -> np.ndarray:
        """The signer, uint8 (len(rows), S, S, 3)."""
        ...

    def limbs(self, row: int, matrix: np.ndarray | None = None) -> np.ndarray:
        """The limbs, uint8 (S, S, L), after ``matrix`` (3×3, in pixels of the picture)."""
        ...


@dataclass
class PaintSet:
    """The frames of many clips, numbered through."""

    clips: Sequence[PaintClip]
    memory: Memory = field(default_factory=default_memory)

    def __post_init__(self):
        self.clip_N = np.concatenate([np.full(len(c), k) for k, c in enumerate(self.clips)])
        self.row_N = np.concatenate([np.arange(len(c)) for c in self.clips])
        self.identity_N = np.array([c.identity for c in self.clips])[self.clip_N]

    def __len__(self) -> int:
        return len(self.clip_N)

    def picture(self, n: int) -> np.ndarray:
        """Frame ``n``, uint8 (S, S, 3)."""
        held = self.memory.get(n)
        if held is None:
            held = self.clips[self.clip_N[n]].pictures([int(self.row_N[n])])[0]
            if not self.memory.full:
                self.memory.put(n, held)
        return held

    def limbs(self, n: int, matrix: np.ndarray | None = None) -> np.ndarray:
        """The limbs of frame ``n``, uint8 (S, S, L), after ``matrix``."""
        return self.clips[self.clip_N[n]].limbs(int(self.row_N[n]), matrix)

    def first_of_clip(self, n: int) -> int:
        """The number of the first frame of the clip that frame ``n`` is in."""
        return n - int(self.row_N[n])


def background_of(frames: Iterable[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """What stands behind the signer, as far as it ever shows: uint8 (S, S, 3).

    ``frames`` are pictures uint8 (S, S, 3) with their limbs uint8 (S, S, L). Per pixel the median over the frames in
    which it lies well outside the signer; what never does is filled in from around it. A painter learns the rest.
    """
    import cv2

    pictures, outside = [], []
    for picture, limbs in frames:
        pictures.append(picture)
        outside.append(~_about_the_signer(limbs))
    stack = np.where(np.stack(outside)[..., None], np.stack(pictures).astype(np.float32), np.nan)
    never = np.isnan(stack[..., 0]).all(0)
    stack[0, never] = 0
    plate = np.nanmedian(stack, axis=0).astype(np.uint8)
    if never.all():
        return np.median(np.stack(pictures), axis=0).astype(np.uint8)
    return cv2.inpaint(plate, never.astype(np.uint8), 3, cv2.INPAINT_TELEA)


_FACE = (LIMBS.index("face"),)
_MOVING = tuple(
    map(LIMBS.index, ("nose", "right_eye_ear", "left_eye_ear", "right_forearm", "left_forearm", *LIMBS[FINGER_ROWS]))
)


def usual_of(frames: Sequence[tuple[np.ndarray, np.ndarray]], background_HWC: np.ndarray) -> np.ndarray:
    """The signer's clothes as they usually are, before ``background_HWC``: uint8 (S, S, 3); ``frames`` as above.

    Per pixel the median over the frames in which neither head, forearm nor hand is near; where one always is, the
    background. So nothing of what moves stays in it.
    """
    pictures = np.stack([picture for picture, _ in frames]).astype(np.float32)
    size = pictures.shape[1]
    free = [~(_near(limbs[..., _FACE], size // 8) | _near(limbs[..., _MOVING], size // 14)) for _, limbs in frames]
    stack = np.where(np.stack(free)[..., None], pictures, np.nan)
    never = np.isnan(stack[..., 0]).all(0)
    stack[0, never] = background_HWC[never]
    return np.nanmedian(stack, axis=0).astype(np.uint8)


def _near(limbs_HWL: np.ndarray, reach_px: int) -> np.ndarray:
    import cv2

    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach_px + 1, 2 * reach_px + 1))
    return cv2.dilate((limbs_HWL.max(-1) > 40).astype(np.uint8), kernel).astype(bool)


def _about_the_signer(limbs_HWL: np.ndarray) -> np.ndarray:
    """Where the signer may be, generously: the hull of limbs and hair, wider by a tenth of the side, and all below."""
    import cv2

    size = len(limbs_HWL)
    mask = np.zeros((size, size), np.uint8)
    rows, columns = np.nonzero(limbs_HWL.max(-1) > 64)
    if not len(rows):
        return mask.astype(bool)
    points = [np.stack([columns, rows], 1)]
    up, across = np.nonzero(limbs_HWL[..., LIMBS.index("face")] > 64)
    if len(up):  # outlines end at the brows; hair stands as high again above them as half a face
        top = up.min() - (up.max() - up.min()) / 2
        points.append(np.array([[across.min(), top], [across.max(), top]]))
    hull = cv2.convexHull(np.concatenate(points).astype(np.int32))
    cv2.fillConvexPoly(mask, hull, (1,))
    mask[rows.max() :, columns.min() : columns.max() + 1] = 1
    wider = 2 * round(size / 10) + 1
    return cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (wider, wider))).astype(bool)
