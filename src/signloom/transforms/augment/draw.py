"""One draw of a policy for one clip, and what it does to each kind of data of that clip.

Four kinds of change make up a draw. :class:`Placed` moves pixels by a matrix, :class:`Timed` says which moments are
shown, :class:`Painted` changes pictures where they are, and :class:`Faulted` changes what an estimator found of them.
Places and moments hold for everything alike, so that a joint stays on its dot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from signloom.data.skeleton import Joints
from signloom.transforms.augment.points import Points, joints_with, nearest, points_of_joints
from signloom.transforms.geometry import translation, warp_flow
from signloom.transforms.pose_map import CHANNELS, warp_pose_map

Mask = Callable[[np.ndarray], np.ndarray]
"""Where a person is in a picture: uint8 (H, W, 3) RGB → float32 (H, W) from 0 to 1."""


@dataclass(frozen=True)
class Facts:
    """What has to be known of a clip to draw for it: ``size_px`` (width, height), ``n_frames``, ``fps``."""

    size_px: tuple[int, int]
    n_frames: int
    fps: float

    @property
    def shorter_px(self) -> int:
        return min(self.size_px)


@dataclass(frozen=True)
class Scene:
    """What a painter may know of a clip besides the frame: its ``points`` there, and how to find the person."""

    points: Points | None = None
    mask: Mask | None = None


@dataclass(frozen=True)
class Placed:
    """Where a pixel goes: ``matrix``, rows of a 3×3 matrix, source to target."""

    matrix: tuple[tuple[float, ...], ...]

    @classmethod
    def by(cls, matrix: np.ndarray) -> Placed:
        return cls(tuple(tuple(float(v) for v in row) for row in matrix))


@dataclass(frozen=True)
class Timed:
    """Which moments are shown: ``at``, a frame of the clip before (maybe a fraction) for each frame after; it never
    runs backwards. ``fps`` is the rate after it."""

    at: tuple[float, ...]
    fps: float


class Painted(Protocol):
    """A change of pictures that moves nothing."""

    needs: tuple[str, ...]
    """"points" and "mask", as far as the scene must have them."""

    def paint(self, frame_HWC: np.ndarray, number: int, scene: Scene) -> np.ndarray:
        """Frame ``number`` of the clip after it, uint8; the one given stays as it is."""
        ...


class Faulted(Protocol):
    """A change of found points alone."""

    def fault(self, points: Points) -> Points: ...


Step = Any
"""Placed, Timed, Painted or Faulted."""


@dataclass(frozen=True)
class ClipDraw:
    """The draw for one clip: ``steps`` in their order, for a clip of ``before``. ``about`` tells it in plain values."""

    before: Facts
    steps: tuple[Step, ...] = ()
    about: tuple[Mapping[str, Any], ...] = field(default=(), compare=False)

    @property
    def matrix(self) -> np.ndarray:
        """Where a pixel ends up, 3×3."""
        matrix = np.eye(3)
        for step in self.steps:
            if isinstance(step, Placed):
                matrix = np.array(step.matrix) @ matrix
        return matrix

    @property
    def at_T(self) -> np.ndarray:
        """The frame of the clip before, maybe a fraction, that each frame after shows; never less than the one
        before it."""
        at = np.arange(self.before.n_frames, dtype=np.float64)
        for step in self.steps:
            if isinstance(step, Timed):
                at = np.interp(np.array(step.at), np.arange(len(at)), at)
        return at

    @property
    def rows(self) -> np.ndarray:
        """The frames that pictures and whatever stands beside them are taken from, (T,)."""
        return nearest(self.at_T, self.before.n_frames)

    @property
    def fps(self) -> float:
        return next((s.fps for s in reversed(self.steps) if isinstance(s, Timed)), self.before.fps)

    @property
    def n_frames(self) -> int:
        return next((len(s.at) for s in reversed(self.steps) if isinstance(s, Timed)), self.before.n_frames)

    @property
    def needs(self) -> tuple[str, ...]:
        """What its pictures need besides frames: "points", "mask"."""
        return tuple(dict.fromkeys(need for step in self.steps for need in getattr(step, "needs", ())))

    # --- what is done -------------------------------------------------------------------------------------------

    def pictures(
        self, frames: Iterable[np.ndarray], points: Points | None = None, mask: Mask | None = None
    ) -> Iterator[np.ndarray]:
        """The clip's frames, uint8 (H, W, 3) RGB, changed; as many as :attr:`n_frames`, of the same size."""
        painter = Painter(self, points, mask)
        for frame in frames:
            yield from painter.push(frame)

    def points(self, points: Points, *, between: bool = False) -> Points:
        """The clip's points, changed. ``between``: interpolated between frames, for points that stand beside no
        pictures."""
        points = points.at(self.at_T, between=between)
        for step in self.steps:
            if isinstance(step, Placed):
                points = points.placed(np.array(step.matrix))
            elif hasattr(step, "fault"):
                points = step.fault(points)
        return points

    def joints(self, joints: Joints, *, between: bool = False) -> Joints:
        """The clip's joints, changed; face outlines and notes of ghosts are left out."""
        return joints_with(joints, self.points(points_of_joints(joints), between=between), self.fps)

    def boxes(self, boxes_T4: np.ndarray) -> np.ndarray:
        """A box (x0, y0, x1, y1) a frame, changed: the box around its corners, within the picture."""
        boxes = np.asarray(boxes_T4, np.float64)[self.rows]
        corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2) @ self.matrix[:2, :2].T + self.matrix[:2, 2]
        limits = np.array(self.before.size_px)
        low, high = np.clip(corners.min(1), 0, limits), np.clip(corners.max(1), 0, limits)
        return np.concatenate([low, high], 1)

    def flow(self, flow_THW2: np.ndarray) -> np.ndarray:
        """The clip's optical flow (pixels a frame), changed: vectors move, turn and scale with the picture, and add up
        over frames that are left out. Float32."""
        rows, flow = self.rows, np.asarray(flow_THW2, np.float32)
        before = np.concatenate([rows[:1], rows[:-1]])
        summed = np.stack([_along(flow[a + 1 : b + 1], flow.shape[1:]) for a, b in zip(before, rows)])
        if len(rows) and rows[0] == 0:
            summed[0] = flow[0]
        height, width = flow.shape[1:3]
        matrix = self.matrix
        return summed if np.array_equal(matrix, np.eye(3)) else warp_flow(summed, matrix, (width, height))

    def pose_maps(self, maps_THHL: np.ndarray) -> np.ndarray:
        """The clip's pose maps, uint8 (T, H, H, L), changed."""
        matrix = self.matrix
        changed = np.stack([warp_pose_map(one, matrix) for one in np.asarray(maps_THHL)[self.rows]])
        return changed[..., _OTHER_CHANNEL] if np.linalg.det(matrix) < 0 else changed


def _other(name: str) -> str:
    return name.replace("left", "\0").replace("right", "left").replace("\0", "right")


_OTHER_CHANNEL = [CHANNELS.index(_other(name)) for name in CHANNELS]


def _along(flow_NHW2: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """How far what stands at each pixel moves over several frames, (H, W, 2)."""
    if not len(flow_NHW2):
        return np.zeros(shape, np.float32)
    total = np.array(flow_NHW2[0])
    if len(flow_NHW2) == 1:
        return total
    import cv2

    ys, xs = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    for flow in flow_NHW2[1:]:
        total += cv2.remap(
            np.ascontiguousarray(flow), xs + total[..., 0], ys + total[..., 1], cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
    return total


class Painter:
    """Changes the frames of one clip as they come, holding one at a time: several draws can share one decoder."""

    def __init__(self, draw: ClipDraw, points: Points | None = None, mask: Mask | None = None):
        self._rows, self._next, self._row = draw.rows, 0, 0
        if (np.diff(self._rows) < 0).any():
            raise AssertionError("a draw that runs backwards")
        self._operations = list(_operations(draw, points, mask))

    def push(self, frame_HWC: np.ndarray) -> list[np.ndarray]:
        """Take the next frame of the clip before; give the frames after that show it, none or several."""
        done = []
        while self._next < len(self._rows) and self._rows[self._next] == self._row:
            changed = frame_HWC
            for operation in self._operations:
                changed = operation(changed, self._next)
            done.append(changed)
            self._next += 1
        self._row += 1
        return done


def _operations(
    draw: ClipDraw, points: Points | None, mask: Mask | None
) -> Iterator[Callable[[np.ndarray, int], np.ndarray]]:
    """What is done to a frame, in order; matrices in a row are one warp."""
    shown = points.at(draw.at_T) if points is not None else None
    waiting = np.eye(3)
    for step in draw.steps:
        if isinstance(step, Placed):
            waiting = np.array(step.matrix) @ waiting
            shown = shown.placed(np.array(step.matrix)) if shown is not None else None
        elif hasattr(step, "paint"):
            if not np.array_equal(waiting, np.eye(3)):
                yield _warp(waiting)
                waiting = np.eye(3)
            scene = Scene(shown if "points" in step.needs else None, mask)
            yield _painting(step, scene)
    if not np.array_equal(waiting, np.eye(3)):
        yield _warp(waiting)


def _painting(step: Painted, scene: Scene) -> Callable[[np.ndarray, int], np.ndarray]:
    return lambda frame, number: step.paint(frame, number, scene)


def _warp(matrix: np.ndarray) -> Callable[[np.ndarray, int], np.ndarray]:
    import cv2

    # OpenCV counts from the centre of the first pixel.
    affine = (translation(-0.5, -0.5) @ matrix @ translation(0.5, 0.5))[:2]

    def warped(frame: np.ndarray, number: int) -> np.ndarray:
        size = frame.shape[1], frame.shape[0]
        return cv2.warpAffine(frame, affine, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    return warped


def rounded(values: Sequence[float]) -> list[float]:
    """Numbers as a record tells them."""
    return [round(float(v), 4) for v in values]
