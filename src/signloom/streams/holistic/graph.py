"""Body, hands and face of one person in a video, as MediaPipe's Holistic graph finds them (0.10.21, complexity 1).

What follows what, with numbers from its ``.pbtxt`` files:

1. Body. Where it was in the frame before, else where a detector finds a person (letterboxed, border 0); a square from
   the hips to beyond the head, turned upright, 1.25 times as large. The network gives 39 points; each is moved to the
   middle of its heatmap's 9 × 9 cells where the heatmap is sure (.5). Below a presence of .5 nobody is there.
   Visibility goes through a low pass, the points through a 1€ filter in units of the body's size; points 33 and 34
   (hips, and the circle around the body) more strongly: they say where to look in the next frame.
2. Each hand whose wrist is visible (.1): a square from the body's wrist, pinky and index; a small network looks where
   in it the hand is; or, where that agrees with the hand of the frame before, the square around that. The network
   gives 21 points, whether a hand is there (.5), and whether it is a right one.
3. Face: a square around the body's 11 points of it, in which a detector looks for a face; or the one around the face of
   the frame before. The network gives 468 points, and whether a face is there (.5).

With ``regain``, and this MediaPipe does not do: where the square around the hand or face of the frame before shows
none, the one found in this frame is tried as well, so that what was lost is back at once. A masked face shrinks the
square around itself from frame to frame until nothing is seen in it: MediaPipe then loses every second or third
frame.

z is in picture widths for all, as MediaPipe gives it. Source: Grishchenko & Bazarevsky 2020; Bazarevsky et al. 2020.
"""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from signloom.streams.holistic.crop import Border, crop
from signloom.streams.holistic.detector import BODY_DETECTOR, FACE_DETECTOR
from signloom.streams.holistic.networks import HOLISTIC, Network, open_network
from signloom.streams.holistic.regions import (
    FACE_TRACKING,
    HAND_TRACKING,
    Region,
    body_region,
    face_region_of_body,
    face_region_of_detection,
    face_region_of_face,
    hand_region_of_body,
    hand_region_of_hand,
    hand_region_of_recrop,
    whole_picture,
)
from signloom.streams.holistic.smoothing import LowPass, OneEuro

N_BODY, N_FACE, N_HAND = 33, 468, 21
HANDS_OF_BODY = ((15, 17, 19), (16, 18, 20))
"""Wrist, pinky and index of the left and of the right hand among the body's points."""

_AUXILIARY = slice(33, 35)
_LEAST_VISIBLE = 0.1
_PRESENT = 0.5
_HAND_DEPTH = 0.4
_SURE = 0.5
_LEAST_INSIDE = 0.1
_REACH = 4  # cells of the heatmap to either side; the graph file says 3, the wheel does 4 (measured to 2e-5 of a cell)


class Hand(NamedTuple):
    """A hand: ``points`` (21, 3) in pixels (z in picture widths), how surely it is one, and how surely a right one.

    ``region`` is where it was looked for.
    """

    points: np.ndarray
    presence: float
    right: float
    region: Region


class Found(NamedTuple):
    """What was found in a frame, None what was not: ``body`` (33, 4) with visibility, ``face`` (468, 3), the hands."""

    body: np.ndarray | None
    face: np.ndarray | None
    left: Hand | None
    right: Hand | None


@dataclass(frozen=True)
class Networks:
    """The networks of one tracker, loaded. They hold nothing of a clip."""

    body_detection: Network
    body: Network
    hand_recrop: Network
    hand: Network
    face_detection: Network
    face: Network

    @classmethod
    def opened(cls) -> Networks:
        """All of them, from where they are. Raises InputError or MissingExtraError with the way to get them."""
        return cls(**{name: open_network(name) for name in HOLISTIC})


@dataclass(frozen=True)
class HandNetworks:
    """The networks of one hand, loaded, so that both hands can be looked for at once."""

    hand_recrop: Network
    hand: Network

    @classmethod
    def opened(cls) -> HandNetworks:
        """As :meth:`Networks.opened`."""
        return cls(open_network("hand_recrop"), open_network("hand"))


@dataclass(frozen=True)
class Beside:
    """Looks for the left hand in another thread, while this one looks for the right hand and the face.

    A frame then takes two thirds of the time, and what is found is the same.
    """

    networks: HandNetworks
    executor: Executor


class Tracker:
    """Follows one person through the frames of one clip."""

    def __init__(
        self,
        networks: Networks,
        least_detection: float = 0.5,
        least_tracking: float = 0.5,
        regain: bool = True,
        beside: Beside | None = None,
    ):
        self._networks, self._regain, self._beside = networks, regain, beside
        self._least_detection, self._least_tracking = least_detection, least_tracking
        self._body_region: Region | None = None
        self._visibility = LowPass(0.1)
        self._points = OneEuro(cutoff_hz=0.05, beta=80.0)
        self._auxiliary = OneEuro(cutoff_hz=0.01, beta=10.0)
        self._hands: list[Hand | None] = [None, None]
        self._face: np.ndarray | None = None

    def find(self, frame: np.ndarray, time_s: float) -> Found:
        """What there is in ``frame``, uint8 (H, W, 3) RGB, filmed at ``time_s``, later than the one before."""
        frame = np.ascontiguousarray(frame)
        body = self._find_body(frame, time_s)
        if body is None:
            self._hands, self._face = [None, None], None
            return Found(None, None, None, None)
        (left, last_left), (right, last_right) = zip((body[list(points)] for points in HANDS_OF_BODY), self._hands)
        if self._beside is None:
            self._hands[0] = self._find_hand(self._networks, frame, left, last_left)
        else:
            waiting = self._beside.executor.submit(self._find_hand, self._beside.networks, frame, left, last_left)
        try:
            self._hands[1] = self._find_hand(self._networks, frame, right, last_right)
            self._face = self._find_face(frame, body)
        finally:
            if self._beside is not None:
                self._hands[0] = waiting.result()
        return Found(body, self._face, *self._hands)

    # --- body ---

    def _find_body(self, frame: np.ndarray, time_s: float) -> np.ndarray | None:
        region = self._body_region or self._detect_body(frame)
        found = None if region is None else self._body_in(frame, region)
        if found is None:
            self._body_region = None
            self._points.reset()
            self._auxiliary.reset()
            return None
        width = frame.shape[1]
        points, visibility = found[:, :3], found[:, 3]
        around = body_region(points[_AUXILIARY][0, :2], points[_AUXILIARY][1, :2])
        size_px = around.width / 1.25
        points = points * (1, 1, width)  # z goes through the filter in pixels, as x and y do
        visibility = self._visibility(visibility)
        smooth = self._points(points[:N_BODY], time_s, size_px) if size_px > 1e-6 else points[:N_BODY]
        hips = self._auxiliary(points[_AUXILIARY], time_s, size_px) if size_px > 1e-6 else points[_AUXILIARY]
        self._body_region = body_region(hips[0, :2], hips[1, :2])
        return np.concatenate([smooth / (1, 1, width), visibility[:N_BODY, None]], 1)

    def _detect_body(self, frame: np.ndarray) -> Region | None:
        network = self._networks.body_detection
        region = whole_picture(frame.shape[1], frame.shape[0])
        boxes, logits = network(crop(frame, region, network.size_px, "zero"), 2 / 255, -1.0)
        points = BODY_DETECTOR.best(boxes, logits[:, 0], self._least_detection)
        if points is None:
            return None
        hips, edge = region.place(points[:2])
        return body_region(hips, edge)

    def _body_in(self, frame: np.ndarray, region: Region) -> np.ndarray | None:
        """The 35 points (x, y in pixels, z in picture widths, visibility); None where nobody is."""
        raw, presence, heatmap = _look(self._networks.body, frame, region)
        if not presence[0] > self._least_tracking:
            return None
        points = raw.reshape(39, 5)[:35].astype(np.float64)
        points[:, :3] /= self._networks.body.size_px
        points[:, :2] = refined(points[:, :2], heatmap)
        placed = region.place(points[:, :2])
        depth = points[:, 2] * region.width / frame.shape[1]
        return np.column_stack([placed, depth, _sigmoid(points[:, 3])])

    # --- hands ---

    def _find_hand(
        self, networks: Networks | HandNetworks, frame: np.ndarray, of_body: np.ndarray, last: Hand | None
    ) -> Hand | None:
        if not of_body[0, 3] > _LEAST_VISIBLE:
            return None
        region = hand_region_of_body(of_body[:, :2])
        (ends,) = _look(networks.hand_recrop, frame, region)
        ends = region.place(ends.reshape(2, 2).astype(np.float64) / networks.hand_recrop.size_px)
        new = hand_region_of_recrop(*ends)
        region = new
        if last is not None:
            region = HAND_TRACKING.choose(new, last.points, hand_region_of_hand(last.points))
        found = _hand_in(networks.hand, frame, region)
        if found is None and self._regain and region is not new:
            found = _hand_in(networks.hand, frame, new)
        return found

    # --- face ---

    def _find_face(self, frame: np.ndarray, body: np.ndarray) -> np.ndarray | None:
        network = self._networks.face_detection
        around = face_region_of_body(body[:11])
        boxes, logits = _look(network, frame, around, "zero", 2 / 255, -1.0)
        detected = FACE_DETECTOR.best(boxes, logits[:, 0], _PRESENT)
        if detected is None:
            return None
        new = face_region_of_detection(around.place(detected))
        region = new
        if self._face is not None:
            region = FACE_TRACKING.choose(new, self._face, face_region_of_face(self._face))
        found = self._face_in(frame, region)
        if found is None and self._regain and region is not new:
            found = self._face_in(frame, new)
        return found

    def _face_in(self, frame: np.ndarray, region: Region) -> np.ndarray | None:
        points, logit = _look(self._networks.face, frame, region)
        if not _sigmoid(float(logit.reshape(-1)[0])) > _PRESENT:
            return None
        return _placed(points.reshape(N_FACE, 3), region, self._networks.face.size_px, frame.shape[1])


def _hand_in(network: Network, frame: np.ndarray, region: Region) -> Hand | None:
    if region.share_inside(frame.shape[1], frame.shape[0]) < _LEAST_INSIDE:
        return None
    points, presence, right = _look(network, frame, region)
    if not presence[0] > _PRESENT:
        return None
    placed = _placed(points.reshape(N_HAND, 3), region, network.size_px, frame.shape[1], _HAND_DEPTH)
    return Hand(placed, float(presence[0]), float(right[0]), region)


def _look(
    network: Network,
    frame: np.ndarray,
    region: Region,
    border: Border = "edge",
    scale: float = 1 / 255,
    offset: float = 0.0,
) -> list[np.ndarray]:
    """What ``network`` says of ``region``."""
    return network(crop(frame, region, network.size_px, border), scale, offset)


def _placed(raw: np.ndarray, region: Region, size_px: int, width_px: int, depth: float = 1.0) -> np.ndarray:
    """Points in pixels of a network's input (and z) as points in pixels of the picture, z in picture widths."""
    points = raw.astype(np.float64) / size_px
    depths = points[:, 2] / depth * region.width / width_px
    return np.column_stack([region.place(points[:, :2]), depths])


def refined(points_PC: np.ndarray, heatmap: np.ndarray) -> np.ndarray:
    """``points_PC`` (P, 2), in shares of the input, moved to the middle of the heatmap about them where that is sure.

    ``heatmap``: logits (H, W, P or more). A point outside of it stays.
    """
    height, width = heatmap.shape[:2]
    cells = np.trunc(points_PC * (width, height)).astype(int)
    inside = (cells >= 0).all(1) & (cells < (width, height)).all(1)
    columns = cells[:, :1] + np.arange(-_REACH, _REACH + 1)  # (P, 9)
    rows = cells[:, 1:] + np.arange(-_REACH, _REACH + 1)
    within = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    logits = heatmap[
        np.clip(rows, 0, height - 1)[:, :, None],
        np.clip(columns, 0, width - 1)[:, None, :],
        np.arange(len(points_PC))[:, None, None],
    ]
    sure = np.where(within, _sigmoid(logits.astype(np.float64)), 0)
    total = sure.sum((1, 2))
    moved = inside & (sure.max((1, 2)) >= _SURE) & (total > 0)
    some = np.where(total > 0, total, 1)
    x = (sure.sum(1) * columns).sum(1) / some / width
    y = (sure.sum(2) * rows).sum(1) / some / height
    return np.where(moved[:, None], np.stack([x, y], 1), points_PC)


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))
