"""Where faces are in a clip: the signer's by their pose, everybody else's by MediaPipe's detectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from signloom.data.skeleton import INDEX, PARTS, Joints, shoulder_width_px
from signloom.media import import_cv2
from signloom.streams.holistic.faces import Box
from signloom.transforms.face_cover import Region, regions_over_time, round_region

VERSION = 2
_HEADS_A_SHOULDER = 0.48  # a head's width, in shoulder widths
_STRAY = 0.6  # shoulder widths: a face farther from the body's nose is somebody else's, or none
_SAME_HEAD = 2.5  # times as wide: what a detector sees there is the same head; its boxes are larger than faces
AROUND_S = 0.2
"""What a detector sees it may miss a moment before and after."""


@dataclass(frozen=True)
class Faces:
    """``heads`` the signer's, one a frame; ``others`` everybody else's; ``points`` the signer's 27 face joints where
    they were found, else None; ``hands`` the joints of the hands in each frame; ``beside`` what a detector saw within
    a head's region and outside of its face: what covers heads covers it, what changes faces alone does not."""

    heads: tuple[Region, ...]
    others: tuple[tuple[Region, ...], ...]
    points: tuple[np.ndarray | None, ...]
    hands: tuple[tuple[np.ndarray, ...], ...]
    beside: tuple[tuple[Region, ...], ...]

    def count(self) -> dict[str, int]:
        """In how many frames the head's place is known which way; and in how many somebody else's face is covered."""
        kinds = [r.found for r in self.heads]
        told: dict[str, int] = {k: kinds.count(k) for k in ("face", "near", "body", "far", "other") if k in kinds}
        others = sum(bool(o) for o in self.others)
        return {**told, **({"others": others} if others else {})}


def faces_of(joints: Joints, boxes: Sequence[Sequence[Box]]) -> Faces | None:
    """The faces of a clip whose pose is ``joints``, in pixels of its pictures; ``boxes`` are what a detector saw in
    each frame. None where there is nothing in the whole clip that tells where the head is."""
    n = len(joints)
    unit = shoulder_width_px(joints) or 0.0
    face, nose = PARTS["face"], INDEX["nose"]
    faces: list[np.ndarray | None] = []
    noses: list[tuple[np.ndarray, float] | None] = []
    for t in range(n):
        body = _nose_by_body(joints, t, unit)
        noses.append(body)
        points = None
        if joints.present_TJ[t, face].all():
            points = joints.xy_TJC[t, face].astype(np.float64)
            if joints.outline_TPC is not None and joints.outline_TPC.shape[1]:
                outline = joints.outline_TPC[t]
                points = np.concatenate([points, outline[outline[:, 2] > 0, :2]])
            stray = joints.present_TJ[t, nose] and unit > 0
            if stray and np.linalg.norm(points.mean(0) - joints.xy_TJC[t, nose]) > _STRAY * unit:
                points = None
        faces.append(points)
    heads = regions_over_time(faces, noses, joints.fps)
    seen = [[_region_of_box(b) for b in row] for row in boxes]
    if heads is None:
        heads = _from_detector(seen)
        if heads is None:
            return None
    hands = [
        tuple(joints.xy_TJC[t, PARTS[p]].astype(np.float64) for p in _HANDS if joints.present_TJ[t, PARTS[p]].all())
        for t in range(n)
    ]
    others = _around(
        [
            tuple(r for r in row if not _within(r, head) and not any(_is_hand(r, h) for h in own))
            for row, head, own in zip(seen, heads, hands)
        ],
        joints.fps,
    )
    beside = _around(
        [
            tuple(
                r
                for r in row
                if f is not None and _within(r, head) and not _in_face(r, f) and not any(_is_hand(r, h) for h in own)
            )
            for row, head, f, own in zip(seen, heads, faces, hands)
        ],
        joints.fps,
    )
    kept = tuple(None if f is None else f[: face.stop - face.start] for f in faces)
    return Faces(tuple(heads), tuple(others), kept, tuple(hands), tuple(beside))


_HANDS = ("left_hand", "right_hand")


def _nose_by_body(joints: Joints, t: int, unit: float) -> tuple[np.ndarray, float] | None:
    xy, here = joints.xy_TJC[t], joints.present_TJ[t]
    width = _HEADS_A_SHOULDER * unit
    if not width:
        eyes = [INDEX["left_eye"], INDEX["right_eye"]]
        if not here[eyes].all():
            return None
        width = 2.5 * float(np.linalg.norm(xy[eyes[0]] - xy[eyes[1]]))
    if here[INDEX["nose"]]:
        return xy[INDEX["nose"]].astype(np.float64), max(width, 4.0)
    shoulders = [INDEX["left_shoulder"], INDEX["right_shoulder"]]
    if here[shoulders].all():
        return xy[shoulders].mean(0).astype(np.float64) - [0, 0.6 * unit], max(width, 4.0)
    return None


def _region_of_box(box: Box) -> Region:
    x0, y0, x1, y1 = box
    return round_region(
        np.array([(x0 + x1) / 2, (y0 + y1) / 2 - 0.1 * (y1 - y0)]), 1.6 * (x1 - x0), 1.9 * (y1 - y0), "other"
    )


def _middle(region: Region) -> np.ndarray:
    return (region.polygon_N2.min(0) + region.polygon_N2.max(0)) / 2


def _in_face(region: Region, points_P2: np.ndarray) -> bool:
    """Whether the middle of what a detector saw lies in the outline of the face's points."""
    cv2 = import_cv2()
    x, y = _middle(region).tolist()
    return bool(cv2.pointPolygonTest(cv2.convexHull(points_P2.astype(np.float32)), (x, y), False) >= 0)


def _within(region: Region, head: Region) -> bool:
    """Whether the middle of what a detector saw lies in the signer's head, and it is no larger than that."""
    middle = _middle(region)
    low, high = head.polygon_N2.min(0), head.polygon_N2.max(0)
    return bool((middle > low).all() and (middle < high).all() and region.width_px < _SAME_HEAD * head.width_px)


def _is_hand(region: Region, joints_P2: np.ndarray) -> bool:
    """Whether what a detector took for a face is a hand that was found there, a fist mostly: it lies in the middle of
    the hand, and is about as large."""
    low, high = joints_P2.min(0), joints_P2.max(0)
    size = float(max(high - low))
    near = np.abs(_middle(region) - (low + high) / 2).max() < 0.45 * size
    return bool(near and 0.5 * size < region.width_px < 2.6 * size)


def _from_detector(seen: Sequence[Sequence[Region]]) -> list[Region] | None:
    """The largest face of each frame, where no pose tells of a head; the nearest frame's where there is none."""
    best = [max(row, key=lambda r: r.width_px, default=None) for row in seen]
    rows = [t for t, r in enumerate(best) if r is not None]
    if not rows:
        return None
    heads = []
    for t in range(len(best)):
        near = best[min(rows, key=lambda r: abs(r - t))]
        assert near is not None
        heads.append(near if best[t] is not None else Region(near.grown(1.4).polygon_N2, "far"))
    return heads


def _around(others: Sequence[tuple[Region, ...]], fps: float) -> list[tuple[Region, ...]]:
    """What was seen shortly before and after is covered too."""
    reach = max(1, round(AROUND_S * fps))
    return [tuple(r for row in others[max(0, t - reach) : t + reach + 1] for r in row) for t in range(len(others))]
