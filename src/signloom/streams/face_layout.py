"""A face laid out as everybody's: turned upright, at one size, with eyes, brows and mouth where a face that belongs to
nobody has them.

Two steps take a frame there. A similarity (place, size, turn), another one in every frame, takes the face's steady
points to where they usually are; lengths are then in distances between the outer corners of the eyes. A warp, one for
a whole clip, takes the face's usual shape to that of the procedural signer. What is left to move is expression, and
two people's faces lie on each other, so that a network learns what they look like and not where their features are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np

from signloom.data.skeleton import FACE_JOINTS, PARTS, Joints
from signloom.media import import_cv2
from signloom.streams.standard_body import standard_body
from signloom.synthetic.body import FACE_INDEX, OUTLINES
from signloom.transforms.face_cover import hand_pixels

N_FACE = len(FACE_JOINTS)
SIDE = 2.5
"""The side of the square that is cut, in distances between the outer corners of the eyes."""
EYES_AT = 0.42
"""How far below the square's upper edge the eyes are, in sides."""
_NAMES = {name.removeprefix("face_"): k for k, name in enumerate(FACE_JOINTS)}
_EYES = tuple(_NAMES[n] for n in ("right_eye_outer", "left_eye_outer"))
_STEADY = [
    _NAMES[n]
    for n in (
        "right_eye_outer", "right_eye_inner", "left_eye_inner", "left_eye_outer", "right_cheek", "left_cheek",
        "upper_lip",
    )
]  # fmt: skip
_CELLS, _REACH = 25, 1.9  # the warp is known at so many places a side, up to so far from between the eyes

KEPT, NO_FACE, SMALL, PROFILE, HAND, OUTSIDE, UNSURE = "knsphou"
REASONS = {
    KEPT: "kept",
    NO_FACE: "no face found",
    SMALL: "too small",
    PROFILE: "in profile",
    HAND: "a hand before it",
    OUTSIDE: "out of the picture",
    UNSURE: "points unsure",
}
"""What became of a frame, by the letter that stands for it in ``extra["face_found"]``."""
LEAST_EYES_PX, MOST_TURNED, MOST_HAND, MOST_OUTSIDE, MOST_OFF = 16.0, 0.5, 0.12, 0.15, 0.14


@cache
def standard_face() -> np.ndarray:
    """The 27 face joints of the procedural signer, in distances between the outer corners of the eyes, from the middle
    between them: (27, 2)."""
    body = standard_body()
    points = body.face_P2[list(body.face_joints)]
    middle, wide = points[list(_EYES)].mean(0), float(np.linalg.norm(points[_EYES[0]] - points[_EYES[1]]))
    return (points - middle) / wide


@dataclass(frozen=True)
class FaceLayout:
    """Where the face of one clip is: ``turn_T22`` and ``shift_T2`` take places of its own plane to pixels of the
    frames (x @ turn + shift), ``here_T`` says in which frames it was found, ``usual_P2`` is its usual shape in that
    plane, ``ovals`` its outline in pixels, and ``off_T`` how far its points lie from where the layout has them."""

    turn_T22: np.ndarray
    shift_T2: np.ndarray
    here_T: np.ndarray
    usual_P2: np.ndarray
    ovals: tuple[np.ndarray | None, ...]
    off_T: np.ndarray
    turned_T: np.ndarray

    def __len__(self) -> int:
        return len(self.here_T)

    @property
    def eyes_px_T(self) -> np.ndarray:
        """The distance between the outer corners of the eyes, in pixels."""
        return np.sqrt(np.abs(np.linalg.det(self.turn_T22)))

    def smoothed(self, sigma_s: float, fps: float) -> FaceLayout:
        """The same with place, size and turn evened over time, where the face was found in a row."""
        from scipy.ndimage import gaussian_filter1d

        if sigma_s * fps < 0.2 or not self.here_T.any():
            return self
        turn, shift = self.turn_T22.copy(), self.shift_T2.copy()
        rows = np.flatnonzero(self.here_T)
        for run in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1):
            turn[run] = gaussian_filter1d(self.turn_T22[run], sigma_s * fps, axis=0, mode="nearest")
            shift[run] = gaussian_filter1d(self.shift_T2[run], sigma_s * fps, axis=0, mode="nearest")
        return replace(self, turn_T22=turn, shift_T2=shift)

    def placed(self, points_P2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The turn (2, 2) and shift (2,) that take its usual shape onto ``points_P2``, the 27 face joints first."""
        turn, shift = similarities(self.usual_P2[_STEADY], points_P2[None, :N_FACE][:, _STEADY])
        return turn[0], shift[0]

    @cached_property
    def warp(self) -> Warp:
        """From the standard face to this one's usual shape."""
        return Warp.between(standard_face(), self.usual_P2)

    def crop(self, frame: np.ndarray, t: int, size_px: int) -> np.ndarray:
        """The face of frame ``t``, uint8 (H, W, C), laid out as uint8 (size_px, size_px, C)."""
        cv2 = import_cv2()
        own = self.warp.there(square_places(size_px))
        turn, shift = self.turn_T22[t], self.shift_T2[t]
        step = SIDE * float(self.eyes_px_T[t]) / size_px  # pixels of the frame in one of the square
        if step > 1.5:
            low = np.floor((own.reshape(-1, 2) @ turn + shift).min(0) - 3 * step).astype(int)
            high = np.ceil((own.reshape(-1, 2) @ turn + shift).max(0) + 3 * step).astype(int)
            (x0, y0), (x1, y1) = np.clip(low, 0, None), np.minimum(high, frame.shape[1::-1])
            if x1 > x0 and y1 > y0:
                frame = cv2.GaussianBlur(frame[y0:y1, x0:x1], (0, 0), 0.35 * step)
                shift = shift - [x0, y0]
        at = (own @ turn + (shift - 0.5)).astype(np.float32)
        return cv2.remap(frame, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    def inside(self, t: int, size_px: tuple[int, int]) -> np.ndarray:
        """Where the face's outline is in frame ``t``, uint8 (H, W), 255 inside."""
        cv2 = import_cv2()
        mask = np.zeros((size_px[1], size_px[0]), np.uint8)
        oval = self.ovals[t]
        if oval is not None:
            cv2.fillPoly(mask, [np.round(np.clip(oval, -(2**14), 2**14) * 16).astype(np.int32)], 255, cv2.LINE_8, 4)
        return mask


@dataclass(frozen=True)
class Warp:
    """A smooth map of the plane of faces and its inverse, each at :data:`_CELLS` squared places."""

    there_GG2: np.ndarray
    back_GG2: np.ndarray

    @classmethod
    def between(cls, from_P2: np.ndarray, to_P2: np.ndarray) -> Warp:
        """Thin plates through the points, flat far outside of the face."""
        from scipy.interpolate import RBFInterpolator

        turn = np.linspace(0, 2 * np.pi, 12, endpoint=False)
        fixed = np.stack([np.cos(turn), np.sin(turn)], 1) * (_REACH + 0.2) + [0, 0.3]
        line = np.linspace(-_REACH, _REACH, _CELLS)
        grid = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)

        def moved(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            places, moves = np.concatenate([a, fixed]), np.concatenate([b - a, np.zeros_like(fixed)])
            plate = RBFInterpolator(places, moves, kernel="thin_plate_spline", smoothing=1e-3)
            return (grid + plate(grid)).reshape(_CELLS, _CELLS, 2).astype(np.float32)

        return cls(moved(from_P2, to_P2), moved(to_P2, from_P2))

    def there(self, places: np.ndarray) -> np.ndarray:
        """Where ``places`` (…, 2) go."""
        return _looked_up(self.there_GG2, places)

    def back(self, places: np.ndarray) -> np.ndarray:
        return _looked_up(self.back_GG2, places)


def _looked_up(grid_GG2: np.ndarray, places: np.ndarray) -> np.ndarray:
    cv2 = import_cv2()
    shape = places.shape
    at = ((places.reshape(shape[0], -1, 2) + _REACH) * ((_CELLS - 1) / (2 * _REACH))).astype(np.float32)
    at = np.clip(at, 0, _CELLS - 1)
    return cv2.remap(grid_GG2, at[..., 0], at[..., 1], cv2.INTER_LINEAR).reshape(shape)


@cache
def square_places(size_px: int) -> np.ndarray:
    """Where the pixels of the square are on the standard face, (S, S, 2)."""
    line = (np.arange(size_px) + 0.5) / size_px
    x, y = np.meshgrid((line - 0.5) * SIDE, (line - EYES_AT) * SIDE)
    return np.stack([x, y], -1).astype(np.float32)


def in_square(places: np.ndarray, size_px: int) -> np.ndarray:
    """Places on the standard face (…, 2) in pixels of the square; the inverse of :func:`square_places`."""
    return (places / SIDE + [0.5, EYES_AT]) * size_px


def layout_of(points: Sequence[np.ndarray | None]) -> FaceLayout:
    """The layout of a clip whose face points are ``points``: each (P, 2) in pixels, the 27 face joints first; None
    where no face was found."""
    n = len(points)
    here = np.array([p is not None for p in points], bool)
    turn, shift = np.zeros((n, 2, 2)), np.zeros((n, 2))
    off, turned = np.zeros(n), np.zeros(n)
    usual = standard_face()
    if here.any():
        found = np.stack([p[:N_FACE] for p in points if p is not None]).astype(np.float64)
        for _ in range(2):  # first onto everybody's face, then onto its own usual shape
            turn[here], shift[here] = similarities(usual[_STEADY], found[:, _STEADY])
            own = np.einsum("tpc,tcd->tpd", found - shift[here, None], np.linalg.inv(turn[here]))
            usual = _levelled(np.median(own, 0))
        turn[here], shift[here] = similarities(usual[_STEADY], found[:, _STEADY])
        own = np.einsum("tpc,tcd->tpd", found - shift[here, None], np.linalg.inv(turn[here]))
        off[here] = np.linalg.norm(own[:, _STEADY] - usual[_STEADY], axis=-1).mean(1)
        turned[here] = turned_of(own)
    ovals = tuple(None if p is None else _oval(p, turn[t], shift[t]) for t, p in enumerate(points))
    return FaceLayout(turn, shift, here, usual, ovals, off, turned)


def _levelled(shape_P2: np.ndarray) -> np.ndarray:
    """With the outer corners of the eyes level and 1 apart, and nothing between them."""
    a, b = shape_P2[_EYES[0]], shape_P2[_EYES[1]]
    across = b - a
    wide = max(float(np.linalg.norm(across)), 1e-9)
    c, s = across / wide
    return (shape_P2 - (a + b) / 2) @ np.array([[c, -s], [s, c]]) / wide


def similarities(from_P2: np.ndarray, to_TP2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The maps ``x @ turn + shift`` that turn, scale (not mirror) and move ``from_P2`` onto each of ``to_TP2``, by
    least squares: (T, 2, 2), (T, 2)."""
    a = from_P2 - from_P2.mean(0)
    b = to_TP2 - to_TP2.mean(1, keepdims=True)
    dot, cross = (a * b).sum((1, 2)), (a[:, 0] * b[..., 1] - a[:, 1] * b[..., 0]).sum(1)
    norm = max(float((a * a).sum()), 1e-9)
    turn = np.stack([np.stack([dot, cross], -1), np.stack([-cross, dot], -1)], -2) / norm
    return turn, to_TP2.mean(1) - np.einsum("c,tcd->td", from_P2.mean(0), turn)


def turned_of(own_TP2: np.ndarray) -> np.ndarray:
    """How far heads are turned aside, (T,): 0 straight on, ±1 in profile; + to the left of the picture."""
    bridge = own_TP2[:, [_NAMES["right_eye_inner"], _NAMES["left_eye_inner"]], 0].mean(1)
    left, right = own_TP2[:, _NAMES["left_cheek"], 0] - bridge, bridge - own_TP2[:, _NAMES["right_cheek"], 0]
    return (left - right) / np.maximum(np.abs(left) + np.abs(right), 1e-6)


def _oval(points_PC: np.ndarray, turn_22: np.ndarray, shift_2: np.ndarray) -> np.ndarray:
    """The hull of the face's points; with the standard face's outline where an estimator gives none of the forehead."""
    points = points_PC[:, :2]
    if len(points) < 2 * N_FACE:
        points = np.concatenate([points, _standard_oval() @ turn_22 + shift_2])
    return import_cv2().convexHull(points.astype(np.float32))[:, 0].astype(np.float64)


@cache
def _standard_oval() -> np.ndarray:
    body = standard_body()
    points = body.face_P2[list(body.face_joints)]
    eyes = points[list(_EYES)]
    oval = body.face_P2[[FACE_INDEX[n] for n in OUTLINES["oval"]]]
    return (oval - eyes.mean(0)) / float(np.linalg.norm(eyes[0] - eyes[1]))


def face_points(joints: Joints) -> list[np.ndarray | None]:
    """The face's points in each frame, the 27 joints first and its finer outlines after them; None where not found."""
    face = PARTS["face"]
    found: list[np.ndarray | None] = []
    for t in range(len(joints)):
        if not joints.present_TJ[t, face].all():
            found.append(None)
            continue
        points = joints.xy_TJC[t, face].astype(np.float64)
        if joints.outline_TPC is not None and joints.outline_TPC.shape[1]:
            outline = joints.outline_TPC[t]
            points = np.concatenate([points, outline[outline[:, 2] > 0, :2]])
        found.append(points)
    return found


def hands_of(joints: Joints) -> list[tuple[np.ndarray, ...]]:
    """The joints (21, 2) of each hand that was found whole, in each frame."""
    parts = [PARTS[p] for p in ("left_hand", "right_hand")]
    return [
        tuple(joints.xy_TJC[t, p].astype(np.float64) for p in parts if joints.present_TJ[t, p].all())
        for t in range(len(joints))
    ]


def at_width(joints: Joints, wide: int) -> Joints:
    """``joints`` in pixels of pictures ``wide`` pixels wide."""
    own = joints.size_px[0] if joints.size_px else 0
    if own <= 0 or own == wide:
        return joints
    factor = np.float32(wide / own)
    outline = None if joints.outline_TPC is None else joints.outline_TPC * np.array([factor, factor, 1], np.float32)
    high = round(joints.size_px[1] * wide / own) if joints.size_px else 0
    return replace(joints, xy_TJC=joints.xy_TJC * factor, outline_TPC=outline, size_px=(wide, high))


def judged(layout: FaceLayout, hands: Sequence[Sequence[np.ndarray]], size_px: tuple[int, int]) -> str:
    """A letter of :data:`REASONS` for each frame."""
    letters = []
    for t in range(len(layout)):
        oval = layout.ovals[t]
        if oval is None:
            letters.append(NO_FACE)
        elif layout.eyes_px_T[t] < LEAST_EYES_PX:
            letters.append(SMALL)
        elif layout.off_T[t] > MOST_OFF:
            letters.append(UNSURE)
        elif abs(layout.turned_T[t]) > MOST_TURNED:
            letters.append(PROFILE)
        elif _share_outside(oval, size_px) > MOST_OUTSIDE:
            letters.append(OUTSIDE)
        elif _share_of_hands(layout, t, hands[t], size_px) > MOST_HAND:
            letters.append(HAND)
        else:
            letters.append(KEPT)
    return "".join(letters)


def _share_outside(oval: np.ndarray, size_px: tuple[int, int]) -> float:
    cv2 = import_cv2()
    whole = max(cv2.contourArea(oval.astype(np.float32)), 1.0)
    within = np.clip(oval, 0, size_px).astype(np.float32)
    return 1 - cv2.contourArea(within) / whole


def _share_of_hands(layout: FaceLayout, t: int, hands: Sequence[np.ndarray], size_px: tuple[int, int]) -> float:
    if not hands:
        return 0.0
    face = layout.inside(t, size_px) > 0
    return float((hand_pixels(hands, size_px)[face] > 0).mean()) if face.any() else 0.0
