"""Putting a painted face into a frame: where the filmed one was, in its light, behind what is before it.

Pixels outside of the face's outline stay as they are. What is painted keeps its fine detail and takes from the filmed
face what is coarse (light, shade, the colour of the skin): a blend of two bands, as in Burt & Adelson 1983, "A
multiresolution spline with application to image mosaics". A hand stays in front where its joints are, and where the
network sees that the face is covered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from signloom.data.skeleton import Joints, joints_of
from signloom.media import import_cv2
from signloom.streams.face_finder import AROUND_S, faces_of
from signloom.streams.face_layout import (
    HAND,
    KEPT,
    FaceLayout,
    face_points,
    hands_of,
    in_square,
    judged,
    layout_of,
)
from signloom.streams.holistic.faces import FaceBoxes
from signloom.streams.pose_holistic import HolisticPose
from signloom.transforms.face_cover import Region, hand_pixels, painted

VERSION = 2
SMOOTH_S = 0.05
"""How far in time place, size and turn of a face are evened (the standard deviation)."""
COARSE = 0.16
"""What is coarser than this, in distances between the outer corners of the eyes, is the filmed face's."""
EDGE = 0.10
"""How far within the outline the painted face is full, in the same unit."""
LEAST_SEEN = 0.4
"""Where less of a face is seen than this, though no hand was found before it, the network is not believed."""
SwapAbout = Mapping[str, Any]


class FacePainter(Protocol):
    """A trained face swap."""

    size_px: int

    def paint(self, faces_BHWC: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Faces laid out, uint8 (B, S, S, 3), as another's, and where they are seen, (B, S, S) from 0 to 1."""
        ...


class SwapSource(Protocol):
    """Where a face swap comes from; it goes to other processes as it is."""

    @property
    def target(self) -> str:
        """Whose face is painted, which is not to be told where that is a real person."""
        ...

    def painter(self) -> FacePainter: ...

    def about(self) -> SwapAbout:
        """What may be told of it."""
        ...


@dataclass
class SwappedClip:
    """Swaps the face in the frames of one clip. ``usable`` says in which it can; elsewhere the head must be covered."""

    layout: FaceLayout
    hands: Sequence[Sequence[np.ndarray]]
    painter: FacePainter
    size_px: tuple[int, int]

    @classmethod
    def of(
        cls,
        points: Sequence[np.ndarray | None],
        hands: Sequence[Sequence[np.ndarray]],
        painter: FacePainter,
        size_px: tuple[int, int],
        fps: float,
    ) -> SwappedClip:
        return cls(layout_of(points).smoothed(SMOOTH_S, fps), hands, painter, size_px)

    def __post_init__(self):
        letters = judged(self.layout, self.hands, self.size_px)
        self.usable = [letter in (KEPT, HAND) for letter in letters]

    def __call__(self, t: int, frame: np.ndarray) -> np.ndarray | None:
        """``frame`` (uint8 (H, W, 3) RGB) with the face swapped; None where it must be covered instead."""
        if not self.usable[t]:
            return None
        return swapped(frame, self.layout, t, self.hands[t], self.painter)


def swapped(
    frame: np.ndarray, layout: FaceLayout, t: int, hands: Sequence[np.ndarray], painter: FacePainter
) -> np.ndarray | None:
    """``frame`` with the face of its row ``t`` of ``layout`` swapped; None where too little of it is seen to do so."""
    cv2 = import_cv2()
    oval = layout.ovals[t]
    assert oval is not None
    high, wide = frame.shape[:2]
    x0, y0 = np.clip(np.floor(oval.min(0)).astype(int) - 2, 0, [wide, high])
    x1, y1 = np.clip(np.ceil(oval.max(0)).astype(int) + 3, 0, [wide, high])
    if x1 - x0 < 4 or y1 - y0 < 4:
        return None
    pictures, seen = painter.paint(layout.crop(frame, t, painter.size_px)[None])
    eyes_px = float(layout.eyes_px_T[t])
    at = _places(layout, t, (x0, y0, x1, y1), painter.size_px)
    new = cv2.remap(pictures[0], at[..., 0], at[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    here = cv2.remap(seen[0], at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    inside = layout.inside(t, (wide, high))[y0:y1, x0:x1]
    if not inside.any():
        return None
    front = np.zeros_like(inside)
    if hands:
        front = hand_pixels([h - [x0, y0] for h in hands], (x1 - x0, y1 - y0))
    free = (inside > 0) & (front == 0)
    if not free.any():  # a hand before all of it: there is nothing of the face to hide
        return frame.copy()
    if float(here[free].mean()) < LEAST_SEEN:
        return None
    alpha = _alpha(inside, front, here, eyes_px)
    old = frame[y0:y1, x0:x1].astype(np.float32)
    sigma = max(1.0, COARSE * eyes_px)
    weight = ((inside > 0) & (front == 0)).astype(np.float32) * np.clip(here, 0.02, 1)
    light = _blurred_within(old - new.astype(np.float32), weight, sigma)
    mixed = np.clip(new + light, 0, 255)
    out = frame.copy()
    part = out[y0:y1, x0:x1]
    blended = np.round(old + (mixed - old) * alpha[..., None]).astype(np.uint8)
    part[alpha > 0] = blended[alpha > 0]
    return out


def beside_covered(frame: np.ndarray, layout: FaceLayout, t: int, beside: Sequence[Region]) -> np.ndarray:
    """``frame``, whose face is swapped, with what a detector saw beside that masked; the face itself stays."""
    if not beside:
        return frame
    out = painted(frame, beside, "mask", 0.0)
    own = layout.inside(t, (frame.shape[1], frame.shape[0])) > 0
    out[own] = frame[own]
    return out


def _alpha(inside: np.ndarray, front: np.ndarray, here: np.ndarray, eyes_px: float) -> np.ndarray:
    """How much of each pixel is painted, 0 to 1: all of it well within the outline, none outside and before hands."""
    cv2 = import_cv2()
    padded = cv2.copyMakeBorder((inside > 0).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
    alpha = np.clip(depth / max(1.0, EDGE * eyes_px), 0, 1)
    alpha = alpha * alpha * (3 - 2 * alpha)
    sure = np.clip((here - 0.3) / 0.4, 0, 1)
    alpha = alpha * sure
    alpha[front > 0] = 0
    alpha[inside == 0] = 0
    return alpha.astype(np.float32)


def _blurred_within(values_HWC: np.ndarray, weight_HW: np.ndarray, sigma: float) -> np.ndarray:
    """``values_HWC`` blurred, of places of weight alone."""
    cv2 = import_cv2()
    step = max(1, int(sigma / 3))  # coarse things are blurred at a coarser scale
    high, wide = weight_HW.shape
    small = (max(2, -(-wide // step)), max(2, -(-high // step)))
    weighted = cv2.resize(values_HWC * weight_HW[..., None], small, interpolation=cv2.INTER_AREA)
    weights = cv2.resize(weight_HW, small, interpolation=cv2.INTER_AREA)
    top = cv2.GaussianBlur(weighted, (0, 0), sigma / step, borderType=cv2.BORDER_CONSTANT)
    bottom = cv2.GaussianBlur(weights, (0, 0), sigma / step, borderType=cv2.BORDER_CONSTANT)
    coarse = top / np.maximum(bottom, 1e-4)[..., None]
    return cv2.resize(coarse, (wide, high), interpolation=cv2.INTER_LINEAR)


def _places(layout: FaceLayout, t: int, box: tuple[int, int, int, int], size_px: int) -> np.ndarray:
    """Where each pixel of a box of the frame is in the laid-out face, float32 (h, w, 2), as OpenCV counts."""
    x0, y0, x1, y1 = box
    x, y = np.meshgrid(np.arange(x0, x1) + 0.5, np.arange(y0, y1) + 0.5)
    own = (np.stack([x, y], -1) - layout.shift_T2[t]) @ np.linalg.inv(layout.turn_T22[t])
    return (in_square(layout.warp.back(own.astype(np.float32)), size_px) - 0.5).astype(np.float32)


# --- live ---------------------------------------------------------------------------------------------------------


class LiveSwap:
    """Frames as they come: place, size and turn are evened by what came before, the face's usual shape is learnt as it
    goes, and where no face can be swapped all heads are covered, as :mod:`signloom.streams.anonymise` does. Where
    nothing tells where the head is, all of the frame is: the frames to come, by which that would be known, are not
    there."""

    _KEEP, _EVERY, _FOLLOW = 90, 15, 0.6

    def __init__(self, painter: FacePainter):
        self._painter = painter
        self._finder = HolisticPose().finder()
        self._boxes = FaceBoxes()
        self._last: list[np.ndarray] = []
        self._layout: FaceLayout | None = None
        self._place: tuple[np.ndarray, np.ndarray] | None = None
        self._count = 0
        self._others: list[tuple[float, tuple[Region, ...]]] = []

    def push(self, time_s: float, frame: np.ndarray) -> tuple[np.ndarray, str]:
        """The frame to be shown, and how it was made: "swapped" or "covered"."""
        size = frame.shape[1], frame.shape[0]
        points = self._finder.find(frame, time_s)
        joints: Joints = joints_of(HolisticPose().pose_of(points[None], size, 25.0))
        found = faces_of(joints, [self._boxes.find(frame)])
        if found is None:
            self._place = None
            return painted(frame, [_whole(size)], "mask", 0.0), "covered"
        self._others = [o for o in self._others if time_s - o[0] <= AROUND_S] + [(time_s, found.others[0])]
        head, others = found.heads[0], [r for _, row in self._others for r in row]
        out = painted(frame, others, "mask", 0.0)
        # What was taken for somebody else's face, far from the body, is none of the signer's.
        face = face_points(joints)[0] if found.points[0] is not None else None
        if face is None:
            self._place = None
            return painted(out, [head], "mask", 0.0), "covered"
        self._last = [*self._last[-self._KEEP :], face]
        if self._layout is None or self._count % self._EVERY == 0:
            self._layout = layout_of(self._last)
        self._count += 1
        now = layout_of([face])  # its own outline and place; the shape that it usually has comes from before
        turn, shift = self._layout.placed(face)
        if self._place is not None:
            turn = self._FOLLOW * turn + (1 - self._FOLLOW) * self._place[0]
            shift = self._FOLLOW * shift + (1 - self._FOLLOW) * self._place[1]
        self._place = turn, shift
        one = replace(
            self._layout,
            turn_T22=turn[None],
            shift_T2=shift[None],
            here_T=np.ones(1, bool),
            ovals=now.ovals,
            off_T=now.off_T,
            turned_T=now.turned_T,
        )
        one.__dict__["warp"] = self._layout.warp
        hands = hands_of(joints)[0]
        usable = judged(one, [hands], size)[0] in (KEPT, HAND)
        new = swapped(out, one, 0, hands, self._painter) if usable else None
        if new is None:
            return painted(out, [head], "mask", 0.0), "covered"
        return beside_covered(new, one, 0, found.beside[0]), "swapped"

    def close(self) -> None:
        self._finder.close()


def _whole(size_px: tuple[int, int]) -> Region:
    wide, high = size_px
    return Region(np.array([[0, 0], [wide, 0], [wide, high], [0, high]], float), "far")
