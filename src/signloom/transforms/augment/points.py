"""The points of one person over time, whatever format they came in: what a draw does to them, it does to these."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from signloom.data.pose_points import component_slices, hand_points
from signloom.data.skeleton import HAND_SIDES, INDEX, MIRROR, PARTS, Joints, columns_of
from signloom.errors import InputError

if TYPE_CHECKING:
    from pose_format import Pose

# MediaPipe's face outlines: right side, left side (Kartynnik et al. 2019). Points on the middle line stand alone.
_FACE_PAIRS = (
    (7, 249), (21, 251), (33, 263), (37, 267), (39, 269), (40, 270), (46, 276), (52, 282), (53, 283), (54, 284),
    (55, 285), (58, 288), (61, 291), (63, 293), (65, 295), (66, 296), (67, 297), (70, 300), (78, 308), (80, 310),
    (81, 311), (82, 312), (84, 314), (87, 317), (88, 318), (91, 321), (93, 323), (95, 324), (103, 332), (105, 334),
    (107, 336), (109, 338), (127, 356), (132, 361), (133, 362), (136, 365), (144, 373), (145, 374), (146, 375),
    (148, 377), (149, 378), (150, 379), (153, 380), (154, 381), (155, 382), (157, 384), (158, 385), (159, 386),
    (160, 387), (161, 388), (162, 389), (163, 390), (172, 397), (173, 398), (176, 400), (178, 402), (181, 405),
    (185, 409), (191, 415), (234, 454), (246, 466),
)  # fmt: skip
_FACE_MIDDLE = (0, 10, 13, 14, 17, 152)
# iBUG's 68 points (and OpenPose's two pupils): which stands where on the other side.
_IBUG = [
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), 45, 44, 43, 42, 47, 46, 39, 38, 37, 36,
    41, 40, *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), *range(67, 64, -1), 69, 68,
]  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """Which column of a point axis P is what. ``mirror_P`` exchanges left and right. ``joints`` has the columns of our
    joints by name, as far as there are; ``hands`` those of the left and the right hand, in the same order, ``face``
    those of the face. ``unpaired`` says why left and right cannot be exchanged, where they cannot."""

    mirror_P: np.ndarray
    joints: dict[str, int]
    hands: tuple[np.ndarray, np.ndarray]
    face: np.ndarray
    unpaired: str = ""


@dataclass(frozen=True)
class Points:
    """``xy_TPC`` float32 (T, P, 2) in pixels of the picture, ``sure_TP`` the confidence, 0 where absent; ``z_TP`` in
    pixels away from the camera, None where it is not known."""

    xy_TPC: np.ndarray
    sure_TP: np.ndarray
    layout: Layout
    z_TP: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.xy_TPC)

    @property
    def here_TP(self) -> np.ndarray:
        """Which points were found, bool (T, P)."""
        return self.sure_TP > 0

    def column(self, name: str) -> int | None:
        """The column of one of our joints; None where there is none."""
        return self.layout.joints.get(name)

    def place(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """A joint over time, (T, 2), and where it was found, (T,)."""
        column = self.column(name)
        if column is None:
            return np.zeros((len(self), 2), np.float32), np.zeros(len(self), bool)
        return self.xy_TPC[:, column], self.here_TP[:, column]

    def shoulder_px(self) -> float | None:
        """The shoulder width, as :func:`signloom.data.skeleton.shoulder_width_px` takes it."""
        (left, here), (right, there) = self.place("left_shoulder"), self.place("right_shoulder")
        both = here & there
        return float(np.percentile(np.linalg.norm(left[both] - right[both], axis=-1), 90)) if both.any() else None

    def placed(self, matrix: np.ndarray) -> Points:
        """Through a 3×3 matrix; one that mirrors exchanges left and right as well."""
        xy = self.xy_TPC @ matrix[:2, :2].T.astype(np.float32) + matrix[:2, 2].astype(np.float32)
        det = float(np.linalg.det(matrix[:2, :2]))
        moved = replace(
            self,
            xy_TPC=np.where(self.here_TP[..., None], xy, self.xy_TPC).astype(np.float32),
            z_TP=None if self.z_TP is None else self.z_TP * np.float32(abs(det) ** 0.5),
        )
        return moved.swapped() if det < 0 else moved

    def swapped(self) -> Points:
        """With left and right exchanged. Raises InputError where it is not known which points are a pair."""
        if self.layout.unpaired:
            raise InputError(self.layout.unpaired)
        order = self.layout.mirror_P
        z = None if self.z_TP is None else self.z_TP[:, order]
        return replace(self, xy_TPC=self.xy_TPC[:, order], sure_TP=self.sure_TP[:, order], z_TP=z)

    def at(self, at_T: np.ndarray, *, between: bool = False) -> Points:
        """At the frames ``at_T``, which may be fractions: the nearest frame's, or with ``between`` interpolated; a
        point is never blended with an absence."""
        rows = nearest(at_T, len(self))
        picked = replace(
            self,
            xy_TPC=self.xy_TPC[rows],
            sure_TP=self.sure_TP[rows],
            z_TP=None if self.z_TP is None else self.z_TP[rows],
        )
        if not between:
            return picked
        before = np.clip(np.floor(at_T).astype(int), 0, len(self) - 1)
        after = np.minimum(before + 1, len(self) - 1)
        share = (np.asarray(at_T) - before).astype(np.float32)[:, None]
        both = self.here_TP[before] & self.here_TP[after]

        def blend(values: np.ndarray, nearer: np.ndarray) -> np.ndarray:
            weight, mask = (share[..., None], both[..., None]) if values.ndim == 3 else (share, both)
            return np.where(mask, values[before] * (1 - weight) + values[after] * weight, nearer).astype(np.float32)

        z = None if self.z_TP is None else blend(self.z_TP, self.z_TP[rows])
        return replace(picked, xy_TPC=blend(self.xy_TPC, picked.xy_TPC), z_TP=z)


def nearest(at_T: np.ndarray, n_frames: int) -> np.ndarray:
    """The frames nearest to ``at_T``, (T,) from 0 to ``n_frames`` - 1; ascending where ``at_T`` is."""
    return np.clip(np.floor(np.asarray(at_T) + 0.5).astype(int), 0, n_frames - 1)


_OF_JOINTS = Layout(
    MIRROR,
    dict(INDEX),
    (np.arange(*PARTS["left_hand"].indices(82)), np.arange(*PARTS["right_hand"].indices(82))),
    np.arange(*PARTS["face"].indices(82)),
)


def points_of_arrays(xy_TJC: np.ndarray, present_TJ: np.ndarray) -> Points:
    """Points of our 82 joints."""
    return Points(np.asarray(xy_TJC, np.float32), np.asarray(present_TJ, np.float32), _OF_JOINTS)


def points_of_joints(joints: Joints) -> Points:
    """The 82 joints of ``joints`` as points; z is not kept in them."""
    sure = joints.present_TJ.astype(np.float32)
    if joints.confidence_TJ is not None:
        sure = np.where(joints.present_TJ, np.maximum(joints.confidence_TJ, 1e-6), 0).astype(np.float32)
    return Points(joints.xy_TJC, sure, _OF_JOINTS)


def joints_with(joints: Joints, points: Points, fps: float) -> Joints:
    """``joints`` with the places and confidences of ``points``, at ``fps``; face outlines and ghosts are left out."""
    here = points.here_TP
    return replace(
        joints,
        xy_TJC=np.where(here[..., None], points.xy_TPC, 0).astype(np.float32),
        present_TJ=here,
        confidence_TJ=None if joints.confidence_TJ is None else points.sure_TP,
        fps=fps,
        outline_TPC=None,
        outline_ends_N2=None,
        ghosts_TS=None,
    )


def points_of_pose(pose: Pose) -> Points:
    """All points of a pose of one person, found in pictures. Raises InputError for several people, and for a skeleton
    measured in metres, which has no pixels."""
    data = np.ma.getdata(pose.body.data)
    if data.shape[1] != 1:
        raise InputError(f"a pose of {data.shape[1]} people; prepare it, so that one is chosen")
    names = [c.name for c in pose.header.components]
    hands = [np.flatnonzero(hand_points(pose, side)) for side in HAND_SIDES]
    inverse = {j: name for name, j in INDEX.items()}
    joints = {inverse[j]: column for j, column in columns_of(pose).items()}
    if not joints or not any("pose" in name.lower() or "hand" in name.lower() for name in names):
        raise InputError(
            f"a pose of {', '.join(names)} is not changed by a policy: it needs a body or hands found in pictures"
        )
    face = [part for name, part in component_slices(pose) if name in ("FACE_LANDMARKS", "face_keypoints_2d")]
    columns = np.concatenate([np.arange(p.start, p.stop) for p in face]) if face else np.zeros(0, int)
    mirror_P, unpaired = _mirror_of(pose)
    z = data[:, 0, :, 2] if data.shape[-1] > 2 else None
    if z is not None:
        z = np.nan_to_num(z).astype(np.float32)
        if "POSE_LANDMARKS" in names:  # MediaPipe's z is a share of the picture's width, as x was
            z = z * np.float32(pose.header.dimensions.width)
    return Points(
        np.nan_to_num(data[:, 0, :, :2]).astype(np.float32),
        np.nan_to_num(np.asarray(pose.body.confidence)[:, 0]).astype(np.float32),
        Layout(mirror_P, joints, (hands[0], hands[1]), columns, unpaired),
        z,
    )


def pose_with(pose: Pose, points: Points, fps: float) -> Pose:
    """``pose`` with the places and confidences of ``points``, at ``fps``."""
    from pose_format import Pose
    from pose_format.numpy import NumPyPoseBody

    parts = [points.xy_TPC]
    if points.z_TP is not None:
        wide = pose.header.dimensions.width if any(c.name == "POSE_LANDMARKS" for c in pose.header.components) else 1
        parts.append((points.z_TP / np.float32(wide or 1))[..., None])
    data = np.concatenate(parts, -1).astype(np.float32)[:, None]
    confidence = points.sure_TP.astype(np.float32)[:, None]
    mask = np.repeat((confidence == 0)[..., None], data.shape[-1], -1)
    return Pose(pose.header, NumPyPoseBody(float(np.float32(fps)), np.ma.array(data, mask=mask), confidence))


def _mirror_of(pose: Pose) -> tuple[np.ndarray, str]:
    """For each point the one on the other side, by name; and why that is not known, where it is not."""
    parts = dict(component_slices(pose))
    order = np.arange(pose.header.total_points())
    other = {a: b for pair in _FACE_PAIRS for a, b in (pair, pair[::-1])} | {n: n for n in _FACE_MIDDLE}
    unpaired = ""
    for component in pose.header.components:
        name, start = component.name, parts[component.name].start
        places = {str(point): k for k, point in enumerate(component.points)}
        twin = parts.get(_swapped(name), parts[name])
        for k, point in enumerate(component.points):
            there: int | None
            if name == "face_keypoints_2d":
                there = start + _IBUG[k] if k < len(_IBUG) else None
            elif name == "FACE_LANDMARKS":
                there = places.get(str(other.get(int(point), ""))) if str(point).isdecimal() else None
                there = None if there is None else start + there
            elif twin != parts[name]:  # the other hand
                there = twin.start + k
            else:
                there = start + places.get(_swapped(str(point)), k)
            if there is None:
                unpaired = (
                    "left and right of a face are known of MediaPipe's outlines and of OpenPose alone, not of point "
                    f"'{point}' of {name}; prepare poses with --face contours, or leave mirrors out of the policy"
                )
            else:
                order[start + k] = there
    return order, unpaired


def _swapped(name: str) -> str:
    if re.match(r"[LR][A-Z]", name) and not re.match(r"(LEFT|RIGHT)_", name):
        return ("R" if name[0] == "L" else "L") + name[1:]
    for left, right in (("LEFT", "RIGHT"), ("left", "right")):
        name = name.replace(left, "\0").replace(right, left).replace("\0", right)
    return name
