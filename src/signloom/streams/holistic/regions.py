"""Where in a picture to look: turned rectangles, from points and boxes found before. Numbers as MediaPipe's graphs.

Everything is in pixels of the picture: x to the right, y down, (0, 0) its upper left corner, angles in radians,
positive clockwise. MediaPipe's graphs have the same in shares of the picture's sides. All of it is plain double
arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import atan2, cos, floor, hypot, pi, sin
from typing import NamedTuple

import numpy as np

WRIST, PINKY, INDEX = range(3)
_PALM = (0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18)
"""The points of a hand that place it: all but the two outer ones of each finger, and the thumb's tip."""
_GRID = np.stack(np.meshgrid((np.arange(8) + 0.5) / 8, (np.arange(8) + 0.5) / 8), -1)


class Region(NamedTuple):
    """A rectangle about (``x``, ``y``), turned by ``angle``; ``width`` and ``height`` are of its own sides."""

    x: float
    y: float
    width: float
    height: float
    angle: float = 0.0

    def reshaped(self, scale: float, *, up: float = 0.0) -> Region:
        """The square on the longer side, moved ``up`` along its own height (as a share of it), then scaled."""
        x, y = self.x, self.y
        shift = -up * self.height
        x, y = x - shift * sin(self.angle), y + shift * cos(self.angle)
        side = max(self.width, self.height) * scale
        return Region(x, y, side, side, self.angle)

    def share_inside(self, width: int, height: int) -> float:
        """About which share of it lies in a picture of ``width`` × ``height``, by 8 × 8 of its points."""
        places = self.place(_GRID)
        return float(((places > 0) & (places < (width, height))).all(-1).mean())

    def place(self, points: np.ndarray) -> np.ndarray:
        """Points (…, 2) or more, with x and y in shares of this region, in pixels of the picture."""
        placed = np.array(points, np.float64)
        across, down = (points[..., 0] - 0.5) * self.width, (points[..., 1] - 0.5) * self.height
        placed[..., 0] = self.x + across * cos(self.angle) - down * sin(self.angle)
        placed[..., 1] = self.y + across * sin(self.angle) + down * cos(self.angle)
        return placed


def turn(angle: float) -> float:
    """``angle`` from -π up to π."""
    return angle - 2 * pi * floor((angle + pi) / (2 * pi))


def angle_between(start: np.ndarray, end: np.ndarray, target: float) -> float:
    """How far a region must be turned that ``start`` to ``end`` leads towards ``target`` in it (π/2: up)."""
    return turn(target - atan2(-(end[1] - start[1]), end[0] - start[0]))


def whole_picture(width: int, height: int) -> Region:
    """The smallest square about the middle of a picture that holds all of it."""
    side = float(max(width, height))
    return Region(width / 2, height / 2, side, side)


def around(centre: np.ndarray, edge: np.ndarray, target: float) -> Region:
    """A square about ``centre`` that just reaches ``edge``, turned that it lies towards ``target``."""
    side = 2 * hypot(edge[0] - centre[0], edge[1] - centre[1])
    return Region(centre[0], centre[1], side, side, angle_between(centre, edge, target))


def body_region(hips: np.ndarray, edge: np.ndarray) -> Region:
    """Where to look for the body: ``hips`` its middle, ``edge`` a point on the circle around it, towards the head."""
    return around(hips, edge, pi / 2).reshaped(1.25)


def hand_region_of_body(hand_PC: np.ndarray) -> Region:
    """Where the body's points (wrist, pinky, index) say that a hand is."""
    middle = (2 * hand_PC[INDEX] + hand_PC[PINKY]) / 3
    wrist = hand_PC[WRIST]
    side = 2 * hypot(middle[0] - wrist[0], middle[1] - wrist[1])
    angle = angle_between(wrist, middle, pi / 2)
    return Region(middle[0], middle[1], side, side, angle).reshaped(2.7, up=0.1)


def hand_region_of_recrop(centre: np.ndarray, edge: np.ndarray) -> Region:
    """Where the network that looks again for the hand says that it is."""
    return around(centre, edge, -pi / 2).reshaped(1.0, up=0.1)


def hand_region_of_hand(hand_PC: np.ndarray) -> Region:
    """Where a hand of these 21 points will be in the next frame."""
    palm = hand_PC[list(_PALM), :2]
    index, middle, ring = palm[4], palm[6], palm[8]
    angle = angle_between(palm[0], ((index + ring) / 2 + middle) / 2, pi / 2)
    least, most = palm.min(0), np.maximum(palm.max(0), 0.0)  # as MediaPipe: its "least number" is the least above 0
    centre = (least + most) / 2
    away = palm - centre
    turned = np.stack(
        [
            away[:, 0] * cos(-angle) - away[:, 1] * sin(-angle),
            away[:, 0] * sin(-angle) + away[:, 1] * cos(-angle),
        ],
        1,
    )
    least, most = turned.min(0), np.maximum(turned.max(0), 0.0)
    across, down = (least + most) / 2
    return Region(
        across * cos(angle) - down * sin(angle) + centre[0],
        across * sin(angle) + down * cos(angle) + centre[1],
        most[0] - least[0],
        most[1] - least[1],
        angle,
    ).reshaped(2.0, up=0.1)


def _box(points: np.ndarray) -> tuple[float, float, float, float]:
    least, most = points.min(0), points.max(0)
    return (least[0] + most[0]) / 2, (least[1] + most[1]) / 2, most[0] - least[0], most[1] - least[1]


def face_region_of_body(face_PC: np.ndarray) -> Region:
    """Where the first 11 of the body's points (nose, eyes, ears, mouth) say that the face is."""
    face = face_PC[:, :2]
    least, most = face.min(0), np.maximum(face.max(0), 0.0)
    angle = angle_between(face[5], face[2], 0.0)
    centre, size = (least + most) / 2, most - least
    return Region(centre[0], centre[1], size[0], size[1], angle).reshaped(3.0)


def face_region_of_detection(points_PC: np.ndarray) -> Region:
    """Where the face is whose six points were detected."""
    return Region(*_box(points_PC), angle_between(points_PC[0], points_PC[1], 0.0)).reshaped(2.0, up=0.1)


def face_region_of_face(face_PC: np.ndarray) -> Region:
    """Where a face of these 468 points will be in the next frame."""
    face = face_PC[:, :2]
    least, most = face.min(0), np.maximum(face.max(0), 0.0)
    centre, size = (least + most) / 2, most - least
    return Region(centre[0], centre[1], size[0], size[1], angle_between(face[33], face[263], 0.0)).reshaped(1.5)


@dataclass(frozen=True)
class Tracking:
    """When the place of the frame before is kept, rather than looked for anew.

    ``degrees``, ``shift`` and ``scale`` (shares of the new region's sides) are how far it may differ; and all points of
    the frame before must lie within the new region, made larger by ``margin`` (a share of its sides).
    """

    degrees: float
    shift: float
    scale: float
    margin: float

    def choose(self, new: Region, points_PC: np.ndarray | None, last: Region | None) -> Region:
        """``last``, the region of ``points_PC`` found in the frame before, or ``new``, that of this frame."""
        if last is None or points_PC is None:
            return new
        turned = abs(_half_turn(np.degrees(last.angle) - np.degrees(new.angle))) <= self.degrees
        kept = turned and self._near(new, last) and self._within(new, points_PC)
        return last if kept else new

    def _near(self, new: Region, last: Region) -> bool:
        dx, dy = _turned(np.array([last.x, last.y]) - (new.x, new.y), new.angle)
        return (
            abs(dx) <= new.width * self.shift
            and abs(dy) <= new.height * self.shift
            and abs(last.width - new.width) <= new.width * self.scale
            and abs(last.height - new.height) <= new.height * self.scale
        )

    def _within(self, new: Region, points_PC: np.ndarray) -> bool:
        away = _turned(points_PC[:, :2] - (new.x, new.y), new.angle)
        half = np.array([new.width, new.height]) * (1 + self.margin) / 2
        return bool((np.abs(away) < half).all())


HAND_TRACKING = Tracking(degrees=40, shift=0.2, scale=0.4, margin=-0.1)
FACE_TRACKING = Tracking(degrees=15, shift=0.1, scale=0.3, margin=-0.2)


def _half_turn(degrees: float) -> float:
    if degrees > 180:
        return degrees - 360
    return degrees + 360 if degrees < -180 else degrees


def _turned(points: np.ndarray, angle: float) -> np.ndarray:
    """Ways in the picture as ways along the sides of a region that is turned by ``angle``."""
    x, y = points[..., 0], points[..., 1]
    return np.stack([x * cos(angle) + y * sin(angle), y * cos(angle) - x * sin(angle)], -1)
