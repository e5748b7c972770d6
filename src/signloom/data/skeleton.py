"""One skeleton for every estimator: the joints signloom's models see, and how each pose format fills them.

Estimators disagree on joints, names and order. :func:`joints_of` maps any ``pose_format.Pose`` we know (MediaPipe
Holistic whole or reduced, OpenPose 137, a Kinect's 20 joints) onto :data:`JOINTS`, by name, and marks what is not there
as absent: an absent joint is never a zero in a corner. :func:`body_frame` then makes coordinates independent of camera
and body size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from signloom.data.holistic_points import BODY_POINTS, CONTOUR_POINTS, HAND_POINTS
from signloom.data.people import Chosen, choose_person
from signloom.data.pose_points import component_slices, hand_points, real_points
from signloom.errors import InputError
from signloom.media.skeleton_files import KINECT, KINECT_FOCAL_PX, KINECT_POINTS, KINECT_SIZE_PX, OTHER_SIDE

if TYPE_CHECKING:
    from pose_format import Pose

# --- the joints -------------------------------------------------------------------------------------------------
# Left and right are the signer's own. Face-mesh numbers are MediaPipe's (Kartynnik et al. 2019), 68-point face
# numbers are iBUG's as OpenPose gives them.

_BODY = (
    # ours, MediaPipe, OpenPose, parent
    ("nose", "NOSE", "Nose", "mid_shoulder"),
    ("left_eye", "LEFT_EYE", "LEye", "nose"),
    ("right_eye", "RIGHT_EYE", "REye", "nose"),
    ("left_ear", "LEFT_EAR", "LEar", "left_eye"),
    ("right_ear", "RIGHT_EAR", "REar", "right_eye"),
    ("left_shoulder", "LEFT_SHOULDER", "LShoulder", "mid_shoulder"),
    ("right_shoulder", "RIGHT_SHOULDER", "RShoulder", "mid_shoulder"),
    ("left_elbow", "LEFT_ELBOW", "LElbow", "left_shoulder"),
    ("right_elbow", "RIGHT_ELBOW", "RElbow", "right_shoulder"),
    ("left_wrist", "LEFT_WRIST", "LWrist", "left_elbow"),
    ("right_wrist", "RIGHT_WRIST", "RWrist", "right_elbow"),
    ("left_hip", "LEFT_HIP", "LHip", "left_shoulder"),
    ("right_hip", "RIGHT_HIP", "RHip", "right_shoulder"),
)

_HAND = (
    # ours, MediaPipe, parent
    ("root", "WRIST", None),
    ("thumb_1", "THUMB_CMC", "root"),
    ("thumb_2", "THUMB_MCP", "thumb_1"),
    ("thumb_3", "THUMB_IP", "thumb_2"),
    ("thumb_4", "THUMB_TIP", "thumb_3"),
    *(
        (f"{ours}_{n}", f"{theirs}_{part}", f"{ours}_{n - 1}" if n > 1 else "root")
        for ours, theirs in (
            ("index", "INDEX_FINGER"),
            ("middle", "MIDDLE_FINGER"),
            ("ring", "RING_FINGER"),
            ("little", "PINKY"),
        )
        for n, part in enumerate(("MCP", "PIP", "DIP", "TIP"), start=1)
    ),
)

_FACE = (
    # ours, face mesh, iBUG 68
    ("right_mouth", 61, 48),
    ("left_mouth", 291, 54),
    ("upper_lip", 0, 51),
    ("lower_lip", 17, 57),
    ("inner_upper_lip", 13, 62),
    ("inner_lower_lip", 14, 66),
    ("right_upper_lip", 39, 49),
    ("left_upper_lip", 269, 53),
    ("right_lower_lip", 181, 59),
    ("left_lower_lip", 405, 55),
    ("right_brow_outer", 70, 17),
    ("right_brow_mid", 105, 19),
    ("right_brow_inner", 107, 21),
    ("left_brow_outer", 300, 26),
    ("left_brow_mid", 334, 24),
    ("left_brow_inner", 336, 22),
    ("right_eye_outer", 33, 36),
    ("right_eye_inner", 133, 39),
    ("right_eye_top", 159, 38),
    ("right_eye_bottom", 145, 41),
    ("left_eye_outer", 263, 45),
    ("left_eye_inner", 362, 42),
    ("left_eye_top", 386, 43),
    ("left_eye_bottom", 374, 46),
    ("chin", 152, 8),
    ("right_cheek", 234, 0),
    ("left_cheek", 454, 16),
)

BODY_JOINTS = tuple(row[0] for row in _BODY)
LEFT_HAND_JOINTS = tuple(f"left_{row[0]}" for row in _HAND)
RIGHT_HAND_JOINTS = tuple(f"right_{row[0]}" for row in _HAND)
FACE_JOINTS = tuple(f"face_{row[0]}" for row in _FACE)
FACE_MESH_NUMBERS = tuple(row[1] for row in _FACE)
"""Which point of MediaPipe's face mesh each of :data:`FACE_JOINTS` is."""
JOINTS = BODY_JOINTS + LEFT_HAND_JOINTS + RIGHT_HAND_JOINTS + FACE_JOINTS
"""The joints of every ``JC`` array in signloom, in order: body 13, left hand 21, right hand 21, face 27."""

INDEX: Mapping[str, int] = {name: j for j, name in enumerate(JOINTS)}
PARTS: Mapping[str, slice] = {
    "body": slice(0, 13),
    "left_hand": slice(13, 34),
    "right_hand": slice(34, 55),
    "face": slice(55, 82),
}
HAND_SIDES = ("left", "right")
"""The order of every axis S of hands."""


def _swap(name: str) -> str:
    return name.replace("left", "\0").replace("right", "left").replace("\0", "right")


MIRROR = np.array([INDEX[_swap(name)] for name in JOINTS])
"""``x_TJC[:, MIRROR]`` exchanges left and right joints; mirroring a signer also negates x."""


def _parents() -> np.ndarray:
    parent = np.arange(len(JOINTS))
    for name, _, _, above in _BODY:
        parent[INDEX[name]] = INDEX.get(above, INDEX[name])  # mid_shoulder is no joint: shoulders and nose are roots
    for side in ("left", "right"):
        for name, _, bone_start in _HAND:
            parent[INDEX[f"{side}_{name}"]] = INDEX[f"{side}_{bone_start or 'root'}"]
    for name, *_ in _FACE:
        parent[INDEX[f"face_{name}"]] = INDEX["nose"]
    return parent


PARENT = _parents()
"""The joint each bone starts at; a root is its own parent, so its bone is zero."""


def _sources() -> dict[str, tuple[tuple[str, str | int], ...]]:
    """For each joint the (component, point name or number) that may hold it, by preference."""
    found: dict[str, tuple[tuple[str, str | int], ...]] = {}
    for name, mediapipe, openpose, _ in _BODY:
        kinect = "head" if name == "nose" else name  # the middle of the head is what it has nearest to a nose
        found[name] = (("POSE_LANDMARKS", mediapipe), ("pose_keypoints_2d", openpose), (KINECT, kinect))
    for side in ("left", "right"):
        for k, (name, mediapipe, _) in enumerate(_HAND):
            # OpenPose orders its 21 hand points as MediaPipe does: wrist, then four along each finger from the thumb.
            found[f"{side}_{name}"] = (
                (f"{side.upper()}_HAND_LANDMARKS", mediapipe),
                (f"hand_{side}_keypoints_2d", k),
            )
    for name, mesh, ibug in _FACE:
        found[f"face_{name}"] = (("FACE_LANDMARKS", str(mesh)), ("face_keypoints_2d", ibug))
    return found


_SOURCES = _sources()


def joint_points() -> list[int]:
    """Which of the 543 points of MediaPipe's Holistic networks (body, face, left hand, right hand) each joint is."""
    first = {"POSE_LANDMARKS": 0, "FACE_LANDMARKS": 33, "LEFT_HAND_LANDMARKS": 501, "RIGHT_HAND_LANDMARKS": 522}
    number = {"POSE_LANDMARKS": BODY_POINTS, "FACE_LANDMARKS": (), **dict.fromkeys(list(first)[2:], HAND_POINTS)}
    points = []
    for name in JOINTS:
        component, point = _SOURCES[name][0]
        places = number[component]
        points.append(first[component] + (places.index(str(point)) if places else int(point)))
    return points


_NEAREST_M = 0.1  # no depth camera sees what is nearer
WIDTH_PERCENTILE = 90
"""Of a clip's shoulder widths, near the largest: a signer who turns looks narrower and never wider."""
SURE = 0.3
"""Shoulders that an estimator is less sure of tell where a signer stands only where there are no others."""
HEADS = ("nose", "right_eye", "left_eye")
"""Where the head is, of landmarks without shoulders. Some tables know an eye and no nose."""
PALMS = tuple((INDEX[f"{side}_root"], INDEX[f"{side}_middle_1"]) for side in HAND_SIDES)
PALM_PERCENTILE = 75
PALMS_PER_UNIT = 4
"""A hand's wrist to middle knuckle is a quarter of the shoulder width, as measured on adults."""
LEAST_UNIT = 1e-6


# --- from a pose to joints --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Joints:
    """The joints of one signer over time.

    ``xy_TJC`` float32 (T, 82, 2) in pixels, x right and y down, 0 where absent; ``present_TJ`` bool; ``fps`` frames
    per second. ``confidence_TJ`` float32 is the estimator's own, where it is kept. The estimators' z is left out: it is
    a guess that made new signers harder to recognise. ``size_px`` is the width and height of the pictures that the
    pixels are of. ``outline_TPC`` (T, P, 3) are the face's finer points: x, y, confidence, which ``outline_ends_N2``
    joins to lines. ``ghosts_TS`` bool tells where the left and the right hand (T, 2) were found, and left out as a
    ghost of the other. ``points_TPC`` float32 (T, P, 3) are the joints ``point_names`` of a skeleton that was measured
    in space, in metres, x to the person's right, y up, z away from the camera (for somebody who faces it); NaN where
    one was not found. None for poses found in pictures.
    """

    xy_TJC: np.ndarray
    present_TJ: np.ndarray
    fps: float
    confidence_TJ: np.ndarray | None = None
    size_px: tuple[int, int] | None = None
    outline_TPC: np.ndarray | None = None
    outline_ends_N2: np.ndarray | None = None
    ghosts_TS: np.ndarray | None = None
    points_TPC: np.ndarray | None = None
    point_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.xy_TJC)

    def __getitem__(self, rows: np.ndarray | Sequence[int] | slice) -> Joints:
        """The joints in the frames ``rows``."""
        rows = rows if isinstance(rows, slice) else np.atleast_1d(np.asarray(rows, np.intp))
        return replace(
            self,
            xy_TJC=self.xy_TJC[rows],
            present_TJ=self.present_TJ[rows],
            confidence_TJ=None if self.confidence_TJ is None else self.confidence_TJ[rows],
            outline_TPC=None if self.outline_TPC is None else self.outline_TPC[rows],
            ghosts_TS=None if self.ghosts_TS is None else self.ghosts_TS[rows],
            points_TPC=None if self.points_TPC is None else self.points_TPC[rows],
        )

    @property
    def nbytes(self) -> int:
        """What it takes up in memory."""
        arrays = (self.xy_TJC, self.present_TJ, self.confidence_TJ, self.outline_TPC, self.points_TPC)
        return sum(a.nbytes for a in arrays if a is not None)

    @property
    def lines_TN2C(self) -> np.ndarray | None:
        """Both ends of each line of the face's outlines, (T, N, 2, 3): x, y, confidence. None where they are unknown;
        N is 0 for an estimator without a face."""
        if self.outline_TPC is None or self.outline_ends_N2 is None:
            return None
        return self.outline_TPC[:, self.outline_ends_N2]

    def mirrored(self) -> Joints:
        """The signer seen in a mirror: x negated, left and right exchanged."""
        return replace(
            self,
            xy_TJC=(self.xy_TJC * np.array([-1, 1], np.float32))[:, MIRROR],
            present_TJ=self.present_TJ[:, MIRROR],
            confidence_TJ=None if self.confidence_TJ is None else self.confidence_TJ[:, MIRROR],
            outline_TPC=None if self.outline_TPC is None else self.outline_TPC * np.array([-1, 1, 1], np.float32),
            ghosts_TS=None if self.ghosts_TS is None else self.ghosts_TS[:, ::-1],
            points_TPC=None
            if self.points_TPC is None
            else self.points_TPC[:, OTHER_SIDE] * np.array([-1, 1, 1], np.float32),
        )


def joints_of(pose: Pose, *, person: str = "auto") -> Joints:
    """The joints of one person in ``pose``, the same one throughout; points that were not found are absent.

    Which points were found :func:`signloom.data.pose_points.real_points` tells, and who of several people is taken
    :func:`signloom.data.people.choose_person`; ``person`` chooses otherwise. A skeleton in metres is kept as it is
    (``points_TPC``) and also seen as a camera would (:func:`_as_filmed`), so that what works on pixels works on it.
    Raises InputError when the pose holds no component signloom knows (it names those it has).
    """
    where = columns_of(pose)
    if not where:
        have = ", ".join(f"{c.name} ({len(c.points)})" for c in pose.header.components)
        raise InputError(
            f"no known joint in a pose with components {have}; signloom reads MediaPipe Holistic (POSE_LANDMARKS, "
            "LEFT_HAND_LANDMARKS …), OpenPose (pose_keypoints_2d, hand_left_keypoints_2d …) and a Kinect's 20 joints"
        )
    points = real_points(pose)
    chosen = choose_person(pose, points, person)
    raw_TPC = chosen.of(np.ma.getdata(pose.body.data))[..., :2]
    real_TP = chosen.of(points.real_TNP) & (chosen.place_T >= 0)[:, None]
    points_TPC = None
    if (measured := _measured(pose)) is not None:
        points_TPC = chosen.of(np.ma.getdata(pose.body.data))[:, measured, :3].astype(np.float32)
        raw_TPC, real_TP = np.array(raw_TPC), np.array(real_TP)
        raw_TPC[:, measured], before_TP = _as_filmed(points_TPC)
        real_TP[:, measured] &= before_TP
        points_TPC = np.where(real_TP[:, measured, None], points_TPC, np.float32(np.nan))
    sure_TP = np.where(real_TP, chosen.of(np.asarray(pose.body.confidence)), 0)
    rows = chosen.place_T
    xy = np.zeros((len(rows), len(JOINTS), 2), np.float32)
    present = np.zeros((len(rows), len(JOINTS)), bool)
    sure = np.zeros((len(rows), len(JOINTS)), np.float32)
    ours, theirs = list(where), [where[j] for j in where]
    seen = real_TP[:, theirs]
    xy[:, ours] = np.where(seen[..., None], raw_TPC[:, theirs].astype(np.float32), 0)
    present[:, ours] = seen
    sure[:, ours] = sure_TP[:, theirs]
    size = pose.header.dimensions
    outline_TPC, ends_N2 = _outline_of(pose, raw_TPC, real_TP, sure_TP)
    return Joints(
        xy_TJC=xy,
        present_TJ=present,
        fps=float(pose.body.fps),
        confidence_TJ=sure,
        size_px=(int(size.width), int(size.height)),
        outline_TPC=outline_TPC,
        outline_ends_N2=ends_N2,
        ghosts_TS=left_out_hands(pose, chosen),
        points_TPC=points_TPC,
        point_names=() if points_TPC is None else KINECT_POINTS,
    )


def _measured(pose: Pose) -> slice | None:
    """Where the joints of a Kinect stand on the point axis; None in a pose without all of them."""
    for component, (name, part) in zip(pose.header.components, component_slices(pose)):
        if name == KINECT and tuple(component.points) == KINECT_POINTS and pose.body.data.shape[-1] >= 3:
            return part
    return None


def _as_filmed(points_TPC: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A Kinect's joints as a colour camera in its place would picture them: pixels (T, P, 2) of
    :data:`KINECT_SIZE_PX`, the person's right on the left, and which joints are before the camera (T, P).

    The Kinect's own depth pictures are mirrored: there the person's right is on the right.
    """
    before_TP = np.isfinite(points_TPC).all(-1) & (points_TPC[..., 2] > _NEAREST_M)
    depth_TP = np.where(before_TP, points_TPC[..., 2], 1)
    xy = np.array(KINECT_SIZE_PX) / 2 - KINECT_FOCAL_PX * points_TPC[..., :2] / depth_TP[..., None]
    return np.where(before_TP[..., None], xy, 0), before_TP


def left_out_hands(pose: Pose, chosen: Chosen) -> np.ndarray:
    """Where a hand (left, right) of the person chosen has places and no confidence, and lies on the other hand, (T, 2)
    bool: how a pose keeps one that was taken for a ghost. One that lies elsewhere its estimator was not sure of."""
    xy_TPC = chosen.of(np.ma.getdata(pose.body.data))[..., :2]
    confidence_TP = chosen.of(np.asarray(pose.body.confidence))
    hands = [hand_points(pose, side) for side in HAND_SIDES]
    found = np.zeros((len(xy_TPC), len(HAND_SIDES)), bool)
    if not all(hand.any() for hand in hands):
        return found
    for side, (own, other) in enumerate((hands, hands[::-1])):
        left_out = (confidence_TP[:, own] == 0).all(1) & (np.nan_to_num(xy_TPC[:, own, 0]) != 0).all(1)
        rows = np.flatnonzero(left_out & (confidence_TP[:, other] > 0).any(1))
        mine, others = xy_TPC[rows][:, own], xy_TPC[rows][:, other]
        found[rows, side] = (np.abs(mine.mean(1) - others.mean(1)) <= np.ptp(others, axis=1)).all(-1)
    return found


def _outline_of(
    pose: Pose, raw_TPC: np.ndarray, real_TP: np.ndarray, sure_TP: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The points of the face's outlines over time, (T, P, 3): x, y in pixels, confidence; and the lines' ends, (N, 2).

    P and N are 0 in a pose without a face. What was not found has confidence 0.
    """
    for component, (_, part) in zip(pose.header.components, component_slices(pose)):
        if component.name in ("FACE_LANDMARKS", "face_keypoints_2d"):
            limbs = component.limbs
            # A whole mesh has thousands of lines; its outlines are those between the points that contours keep.
            if len(limbs) > 400:
                keep = {component.points.index(str(p)) for p in CONTOUR_POINTS if str(p) in component.points}
                limbs = [(a, b) for a, b in limbs if a in keep and b in keep]
            used_P, ends = np.unique(np.array(limbs, int).reshape(-1, 2), return_inverse=True)
            places = part.start + used_P
            xy = np.where(real_TP[:, places, None], raw_TPC[:, places], 0)
            return np.concatenate([xy, sure_TP[:, places, None]], -1), ends.reshape(-1, 2)
    return np.zeros((len(raw_TPC), 0, 3), np.float32), np.zeros((0, 2), int)


def columns_of(pose: Pose) -> dict[int, int]:
    """Our joint index -> the point's index in the pose's flat point axis."""
    places: dict[tuple[str, str | int], int] = {}
    for component, (name, part) in zip(pose.header.components, component_slices(pose)):
        for k, point in enumerate(component.points):
            places[name, point] = places[name, k] = part.start + k
    found = {}
    for name, candidates in _SOURCES.items():
        column = next((places[c] for c in candidates if c in places), None)
        if column is not None:
            found[INDEX[name]] = column
    return found


def shoulder_width_px(joints: Joints) -> float | None:
    """The signer's shoulder width in pixels, None where both shoulders are never seen together.

    Near the largest width of the clip (its 90th percentile): a signer who turns looks narrower and never wider.
    """
    left, right = INDEX["left_shoulder"], INDEX["right_shoulder"]
    both = joints.present_TJ[:, left] & joints.present_TJ[:, right]
    if not both.any():
        return None
    widths = np.linalg.norm(joints.xy_TJC[both, left] - joints.xy_TJC[both, right], axis=-1)
    return float(np.percentile(widths, WIDTH_PERCENTILE))


def body_frame(joints: Joints) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates relative to the signer: origin between the shoulders, unit = shoulder width.

    Returns ``(xy_TJC float32, present_TJ bool)``. The origin is a median over the clip, so that the signer's own
    movement stays; the unit is near the largest width seen, since a signer who turns looks narrower and never wider.
    Landmarks without shoulders (hands and a face point, say) take the head as origin and a unit from the hands' size;
    with neither, the box around all points.
    """
    xy, present = joints.xy_TJC, joints.present_TJ
    left, right = INDEX["left_shoulder"], INDEX["right_shoulder"]
    both = present[:, left] & present[:, right]
    if both.any():
        origin = np.median((xy[both, left] + xy[both, right]) / 2, axis=0)
        unit = shoulder_width_px(joints) or 0.0
    else:
        face = next((INDEX[n] for n in HEADS if present[:, INDEX[n]].any()), INDEX["nose"])
        head = present[:, face]
        palms = [
            np.linalg.norm(xy[seen, knuckle] - xy[seen, root], axis=-1)
            for root, knuckle in PALMS
            if (seen := present[:, root] & present[:, knuckle]).any()
        ]
        points = xy[present]
        if not len(points):
            return np.zeros_like(xy), present
        origin = np.median(xy[head, face] if head.any() else points, axis=0)
        if palms:
            unit = PALMS_PER_UNIT * float(np.percentile(np.concatenate(palms), PALM_PERCENTILE))
        else:
            unit = float(np.ptp(points, axis=0).max()) / 2
    if not unit > LEAST_UNIT:
        return np.zeros_like(xy), np.zeros_like(present)
    scaled = (xy - origin.astype(np.float32)) / np.float32(unit)
    return np.where(present[..., None], scaled, 0).astype(np.float32), present


def resample(xy_TJC: np.ndarray, present_TJ: np.ndarray, n_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Stretch or shrink to ``n_frames`` by linear interpolation in time, as :func:`interpolated` does."""
    n_old = len(xy_TJC)
    if n_old == n_frames:
        return xy_TJC, present_TJ
    where = np.linspace(0, n_old - 1, n_frames) if n_frames > 1 else np.array([(n_old - 1) / 2])
    return interpolated(xy_TJC, present_TJ, where)


def interpolated(xy_TJC: np.ndarray, present_TJ: np.ndarray, where_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Joints (N, J, 2) float32 and which are present (N, J) at fractional frames ``where_N`` from 0 to T - 1.

    Between two frames of which one lacks a joint, the nearer one decides; a joint is never blended with an absence.
    """
    before = np.floor(where_N).astype(int)
    after = np.minimum(before + 1, len(xy_TJC) - 1)
    share = (where_N - before).astype(np.float32)[:, None]
    nearer = np.where((share < 0.5), present_TJ[before], present_TJ[after])
    both = present_TJ[before] & present_TJ[after]
    blended = xy_TJC[before] * (1 - share[..., None]) + xy_TJC[after] * share[..., None]
    chosen = np.where((share < 0.5)[..., None], xy_TJC[before], xy_TJC[after])
    xy = np.where(both[..., None], blended, chosen)
    return np.where(nearer[..., None], xy, 0).astype(np.float32), nearer
