"""What hides a face in a picture: a region about the head, and what is painted into it; hands before it stay.

Strengths are shares of the face's width: on faces 150 pixels wide, a blur of .1 (16 pixels) leaves re-identification at
.11, one of .05 at .88, so pixels alone say nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from signloom.errors import InputError
from signloom.media import import_cv2

STRENGTHS = {"mask": 0.0, "blur": 0.15, "pixelate": 0.25, "avatar": 0.0}
"""The methods, and the strength each has by default."""
GREY = (128, 128, 128)
GROWN, RAISED = 1.25, 0.2
"""How much larger than the face's outline a region is; and by which share of its height it goes up, for the hair."""
_SIDES = 24


@dataclass(frozen=True)
class Region:
    """``polygon_N2`` in pixels; ``found`` tells how it is known where the head is: "face" (its points were found),
    "near" (from frames before and after), "body" (from body joints), "far" (from the nearest frame that has any), or
    "other" (somebody else's, or one that only a detector saw)."""

    polygon_N2: np.ndarray
    found: str

    @property
    def width_px(self) -> float:
        return float(max(np.ptp(self.polygon_N2[:, 0]), 4.0))

    def grown(self, factor: float) -> Region:
        """About its middle."""
        middle = (self.polygon_N2.min(0) + self.polygon_N2.max(0)) / 2
        return Region((self.polygon_N2 - middle) * factor + middle, self.found)


def region_of_face(points_PC: np.ndarray, found: str = "face") -> Region:
    """The hull of the face's points (P, 2), grown and raised."""
    hull = import_cv2().convexHull(points_PC.astype(np.float32))[:, 0].astype(np.float64)
    middle, size = (hull.min(0) + hull.max(0)) / 2, np.ptp(hull, axis=0)
    raised = hull - middle
    raised[:, 1] -= np.where(raised[:, 1] < 0, RAISED * size[1] * np.clip(-2 * raised[:, 1] / max(size[1], 1), 0, 1), 0)
    return Region(raised * GROWN + middle, found)


def round_region(middle: np.ndarray, width_px: float, height_px: float, found: str) -> Region:
    """An ellipse."""
    turn = np.linspace(0, 2 * np.pi, _SIDES, endpoint=False)
    return Region(middle + np.stack([np.cos(turn) * width_px / 2, np.sin(turn) * height_px / 2], 1), found)


def inside(regions: Sequence[Region], size_px: tuple[int, int]) -> np.ndarray:
    """Where a picture of ``size_px`` (width, height) lies in any of ``regions``, uint8 (H, W), 255 inside."""
    cv2 = import_cv2()
    mask = np.zeros((size_px[1], size_px[0]), np.uint8)
    for region in regions:
        cv2.fillPoly(mask, [np.round(np.clip(region.polygon_N2, -(2**14), 2**14)).astype(np.int32)], 255)
    return mask


_FINGERS = [(1, 2), (2, 3), (3, 4), *((k + j, k + j + 1) for k in (5, 9, 13, 17) for j in range(3))]
_PALM = [0, 1, 2, 5, 9, 13, 17]


def hand_pixels(hands: Sequence[np.ndarray], size_px: tuple[int, int]) -> np.ndarray:
    """Where hands are, drawn of their 21 joints (21, 2): palms filled, fingers as wide as fingers; uint8 (H, W)."""
    cv2 = import_cv2()
    mask = np.zeros((size_px[1], size_px[0]), np.uint8)
    for joints in hands:
        joints = np.clip(joints, -(2**14), 2**14)
        palm = float(np.linalg.norm(joints[5] - joints[17])) + 0.35 * float(np.linalg.norm(joints[0] - joints[9]))
        thick = max(2, round(0.3 * palm))
        whole = np.round(joints).astype(np.int32)
        cv2.fillPoly(mask, [cv2.convexHull(whole[_PALM])], 255)
        cv2.polylines(mask, [cv2.convexHull(whole[_PALM])], True, 255, max(1, thick // 2), cv2.LINE_8)
        for a, b in _FINGERS:
            cv2.line(mask, whole[a].tolist(), whole[b].tolist(), 255, thick, cv2.LINE_8)
    return mask


def painted(frame_HWC: np.ndarray, regions: Sequence[Region], method: str, strength: float) -> np.ndarray:
    """``frame_HWC`` with each of ``regions`` masked, blurred or pixelated. Raises InputError for another method."""
    if method not in STRENGTHS:
        raise InputError(f"method: got '{method}', expected one of {', '.join(STRENGTHS)}")
    cv2 = import_cv2()
    out = frame_HWC.copy()
    high, wide = frame_HWC.shape[:2]
    for region in regions:
        pad = region.width_px * max(strength, 0.05)
        x0, y0 = np.floor(np.clip(region.polygon_N2.min(0) - pad, 0, [wide, high])).astype(int)
        x1, y1 = np.ceil(np.clip(region.polygon_N2.max(0) + pad, 0, [wide, high])).astype(int)
        if x1 <= x0 or y1 <= y0:
            continue
        part = out[y0:y1, x0:x1]
        if method in ("mask", "avatar"):
            new = np.full_like(part, GREY)
        elif method == "blur":
            new = cv2.GaussianBlur(part, (0, 0), max(strength * region.width_px / GROWN, 1.0))
        else:
            cell = max(strength * region.width_px / GROWN, 2.0)
            cells = max(1, round((x1 - x0) / cell)), max(1, round((y1 - y0) / cell))
            small = cv2.resize(part, cells, interpolation=cv2.INTER_AREA)
            new = cv2.resize(small, (x1 - x0, y1 - y0), interpolation=cv2.INTER_NEAREST)
        shifted = Region(region.polygon_N2 - [x0, y0], region.found)
        where = inside([shifted], (int(x1 - x0), int(y1 - y0)))
        part[where > 0] = new[where > 0]
    return out


def regions_over_time(
    faces: Sequence[np.ndarray | None],
    noses: Sequence[tuple[np.ndarray, float] | None],
    fps: float,
) -> list[Region] | None:
    """Where the head must be in every frame; None where nothing ever tells.

    ``faces`` (P, 2) are the face's points where they were found; ``noses`` the place of the nose by the body, and the
    width of a head. Between two frames that tell, not more than a second apart, the head is somewhere between them;
    else it is where the body has it, or else about where the nearest frame has it.
    """
    n = len(faces)
    known: list[Region | None] = [None if f is None else region_of_face(f) for f in faces]
    rows = [t for t in range(n) if known[t] is not None]
    bodies = [
        None if b is None else round_region(b[0] - [0, 0.1 * b[1]], 1.3 * b[1], 1.9 * b[1], "body") for b in noses
    ]
    if not rows and not any(b is not None for b in bodies):
        return None
    found: list[Region | None] = list(known)
    for t in range(n):
        if found[t] is not None:
            continue
        before = max((r for r in rows if r < t), default=None)
        after = min((r for r in rows if r > t), default=None)
        if before is not None and after is not None and after - before <= max(fps, 2):
            found[t] = _between(known[before], known[after])  # type: ignore[arg-type]
            if bodies[t] is not None:
                found[t] = _hull([found[t], bodies[t]], "near")  # type: ignore[list-item]
        elif bodies[t] is not None:
            found[t] = bodies[t]
    told = [t for t in range(n) if found[t] is not None]
    whole = []
    for t in range(n):
        region = found[t]
        if region is None:
            near = found[min(told, key=lambda r: abs(r - t))]
            assert near is not None
            region = Region(near.grown(1.6).polygon_N2, "far")
        whole.append(region)
    return whole


def _between(a: Region, b: Region) -> Region:
    return _hull([a.grown(1.1), b.grown(1.1)], "near")


def _hull(regions: Sequence[Region], found: str) -> Region:
    points = np.concatenate([r.polygon_N2 for r in regions]).astype(np.float32)
    return Region(import_cv2().convexHull(points)[:, 0].astype(np.float64), found)
