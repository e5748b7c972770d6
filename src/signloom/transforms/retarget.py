"""One signer's movement on another's body: bones keep their directions and get the other's lengths.

It is done in the picture, in two dimensions. How long a bone is, is taken to be how long it looks at its longest (the
90th percentile over a clip), and the ratio of two signers' lengths is applied to the bone as it looks in each frame. So
a bone that a clip never shows from the side is measured too short: ratios beyond :data:`LIMIT` are taken for that. A
signer who is filmed from another side stays so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from signloom.data.skeleton import BODY_JOINTS, FACE_JOINTS, INDEX, PARTS, Joints, shoulder_width_px

VERSION = 1
LIMIT = 1.4
"""Builds differ by less, measured in shoulder widths: no bone is stretched or shrunk more."""

_SURE = 0.3  # joints that an estimator is less sure of are not measured
# What is measured: from where to where, and which percentile over time is its length. Bodies are symmetric, so both
# sides are measured together. The head nods both ways, so its middle counts.
_LENGTHS: Mapping[str, tuple[tuple[tuple[str, str], ...], int]] = {
    "upper_arm": (tuple((f"{s}_shoulder", f"{s}_elbow") for s in ("left", "right")), 90),
    "forearm": (tuple((f"{s}_elbow", f"{s}_wrist") for s in ("left", "right")), 90),
    "hand": (tuple((f"{s}_root", f"{s}_middle_1") for s in ("left", "right")), 90),
    "neck": ((("mid_shoulder", "nose"),), 50),
    "ears": ((("left_ear", "right_ear"),), 90),
    "eyes": ((("left_eye", "right_eye"),), 90),
    "trunk": ((("mid_shoulder", "mid_hip"),), 90),
    "hips": ((("left_hip", "right_hip"),), 90),
}
_HEAD = [INDEX[n] for n in BODY_JOINTS if n.endswith(("_eye", "_ear"))] + [INDEX[n] for n in FACE_JOINTS]
# A hand that is nearer to the face than this many eye distances goes with the face; farther than that, with its arm.
_AT_FACE = (1.5, 6.0)
_AT_HAND = (0.0, 0.8)  # the same for hand and hand, in shoulder widths


@dataclass(frozen=True)
class Proportions:
    """A signer's build: ``lengths`` in shoulder widths, of what could be measured. ``asdict`` of it is JSON-able."""

    lengths: Mapping[str, float] = field(default_factory=dict)
    version: int = VERSION

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Proportions:
        """From ``asdict`` of one, as a checkpoint keeps it."""
        return cls(dict(kept["lengths"]), int(kept["version"]))

    def ratio(self, name: str, target: Proportions) -> float:
        """How many times as long ``name`` is in ``target``; 1 where either could not be measured."""
        ours, theirs = self.lengths.get(name), target.lengths.get(name)
        return float(np.clip(theirs / ours, 1 / LIMIT, LIMIT)) if ours and theirs else 1.0

    def head_ratio(self, target: Proportions) -> float:
        """How many times as large the head is in ``target``."""
        both = self.lengths.keys() & target.lengths.keys()
        return self.ratio("ears" if "ears" in both else "eyes", target)


def body_proportions(joints: Joints) -> Proportions:
    """The build of the signer of ``joints``; empty where both shoulders are never seen together."""
    unit = shoulder_width_px(joints)
    if not unit:
        return Proportions()
    lengths = {}
    for name, (bones, percentile) in _LENGTHS.items():
        found = [_bone(joints, start, end, least=_SURE) for start, end in bones]
        long = np.concatenate([np.linalg.norm(vector[seen], axis=1) for vector, seen in found])
        if len(long) and (length := float(np.percentile(long, percentile)) / unit) > 1e-3:
            lengths[name] = round(length, 5)
    return Proportions(lengths)


def common_proportions(clips: Sequence[Joints]) -> Proportions:
    """One signer's build from several ``clips``: the median of each length, each clip in its own shoulder widths."""
    measured = [body_proportions(clip).lengths for clip in clips]
    names = sorted({name for lengths in measured for name in lengths})
    return Proportions({n: round(float(np.median([m[n] for m in measured if n in m])), 5) for n in names})


def retarget(joints: Joints, source: Proportions, target: Proportions) -> Joints:
    """``joints`` of a signer built like ``source`` as one built like ``target`` would show them.

    Shoulders stay where they are. Arms grow from there, bone by bone; a hand is a block that grows about its wrist; the
    head is one that grows about the nose, which moves away from the shoulders or towards them. A hand at the face keeps
    its place on the face, and hands that are near each other stay so, wherever the lengths of arms would have them; in
    between both are blended by distance. Present and absent stay as they are.
    """
    if not len(joints):
        return joints
    xy = joints.xy_TJC.astype(np.float64)
    moved_TJC = np.zeros_like(xy)

    face_motion_T33 = face_motion(joints, source, target)
    head = [INDEX["nose"], *_HEAD]
    moved_TJC[:, head] = _through(face_motion_T33, xy[:, head]) - xy[:, head]

    trunk = (source.ratio("trunk", target) - 1) * _always(joints, "mid_shoulder", "mid_hip")
    for side in ("left", "right"):
        hip = (source.ratio("hips", target) - 1) * _always(joints, "mid_hip", f"{side}_hip")
        moved_TJC[:, INDEX[f"{side}_hip"]] = trunk + hip

    grown = source.ratio("hand", target)
    arms = {}
    for side in ("left", "right"):
        elbow = (source.ratio("upper_arm", target) - 1) * _always(joints, f"{side}_shoulder", f"{side}_elbow")
        wrist = elbow + (source.ratio("forearm", target) - 1) * _always(joints, f"{side}_elbow", f"{side}_wrist")
        arms[side] = (elbow, wrist)
    corrections = _contacts(joints, {s: wrist for s, (_, wrist) in arms.items()}, grown, face_motion_T33)
    for side, (elbow, wrist) in arms.items():
        # What a contact asks of the wrist the elbow follows by half, so that neither bone takes it all.
        moved_TJC[:, INDEX[f"{side}_elbow"]] = elbow + corrections[side] / 2
        moved_TJC[:, INDEX[f"{side}_wrist"]] = wrist + corrections[side]
        hand = PARTS[f"{side}_hand"]
        about = xy[:, hand] - _hand(joints, side)[0][:, :1]
        moved_TJC[:, hand] = (wrist + corrections[side])[:, None] + (grown - 1) * about
    moved = (xy + moved_TJC).astype(np.float32)
    return replace(joints, xy_TJC=np.where(joints.present_TJ[..., None], moved, 0))


def face_motion(joints: Joints, source: Proportions, target: Proportions) -> np.ndarray:
    """Where :func:`retarget` takes what is on the face: (T, 3, 3), a matrix a frame, in pixels of ``joints``."""
    nose = (source.ratio("neck", target) - 1) * _always(joints, "mid_shoulder", "nose")
    grown = source.head_ratio(target)
    centre = _filled(joints.xy_TJC[:, INDEX["nose"]].astype(np.float64), joints.present_TJ[:, INDEX["nose"]])
    motion_T33 = np.tile(np.diag([grown, grown, 1.0]), (len(joints), 1, 1))
    motion_T33[:, :2, 2] = nose + (1 - grown) * centre
    return motion_T33


def moved_lines(lines_TN2C: np.ndarray, motion_T33: np.ndarray) -> np.ndarray:
    """The face's outlines, as of ``Joints.lines_TN2C``, through ``motion_T33``."""
    n_frames, n_lines = lines_TN2C.shape[:2]
    moved_TPC = _through(motion_T33, lines_TN2C[..., :2].reshape(n_frames, 2 * n_lines, 2))
    return np.concatenate([moved_TPC.reshape(n_frames, n_lines, 2, 2), lines_TN2C[..., 2:]], -1)


# --- contacts -----------------------------------------------------------------------------------------------------


def _contacts(
    joints: Joints, wrists: Mapping[str, np.ndarray], grown: float, face_motion_T33: np.ndarray
) -> dict[str, np.ndarray]:
    """How much farther than its arm takes it each wrist has to go, (T, 2), so that what touches goes on touching."""
    more = {side: np.zeros((len(joints), 2)) for side in wrists}
    unit = shoulder_width_px(joints) or 1.0
    hands = {side: _hand(joints, side) for side in wrists}
    # Hand to hand: the middles keep their distance, as far as the hands are near.
    (left, left_seen), (right, right_seen) = hands["left"], hands["right"]
    near = _near(_gap(left, left_seen, right, right_seen) / unit, _AT_HAND)[:, None]
    middles = {side: _mean(points, seen) for side, (points, seen) in hands.items()}
    roots = {side: points[:, 0] for side, (points, _) in hands.items()}
    was = middles["right"] - middles["left"]
    goes = {s: middles[s] + wrists[s] + (grown - 1) * (middles[s] - roots[s]) for s in hands}
    amiss = near * (grown * was - (goes["right"] - goes["left"])) / 2
    more["left"], more["right"] = -amiss, amiss
    # Hand to face, which has the last word: what is nearest to the face stays on its place there.
    face, face_seen = _face(joints)
    eyes = [INDEX["left_eye"], INDEX["right_eye"]]
    both = joints.present_TJ[:, eyes].all(1)
    apart = np.linalg.norm(joints.xy_TJC[both][:, eyes[0]] - joints.xy_TJC[both][:, eyes[1]], axis=1)
    size = float(np.percentile(apart, 90)) if len(apart) else 0.2 * unit
    centre = _mean(face, face_seen)
    for side, (points, seen) in hands.items():
        distance = np.where(seen, np.linalg.norm(points - centre[:, None], axis=2), np.inf)
        nearest = distance.min(1)
        any_seen = np.isfinite(nearest) & face_seen.any(1)
        # A soft choice: which joint is nearest changes without a jump.
        weight = np.where(seen, np.exp(-(distance - np.where(any_seen, nearest, 0)[:, None]) / (0.3 * size)), 0)
        touching = (weight[..., None] * points).sum(1) / np.maximum(weight.sum(1), 1e-9)[:, None]
        wanted = _through(face_motion_T33, touching[:, None])[:, 0] - touching
        arm = wrists[side] + more[side] + (grown - 1) * (touching - points[:, 0])
        near = (_near(np.where(any_seen, nearest, np.inf) / size, _AT_FACE) * any_seen)[:, None]
        more[side] = more[side] + near * (wanted - arm)
    return more


def _hand(joints: Joints, side: str) -> tuple[np.ndarray, np.ndarray]:
    """The points of a hand, its root first; where that is not seen it is the wrist, or else their middle."""
    part, wrist = PARTS[f"{side}_hand"], INDEX[f"{side}_wrist"]
    points, seen = joints.xy_TJC[:, part].astype(np.float64), joints.present_TJ[:, part].copy()
    lost = ~seen[:, 0]
    points[lost, 0] = _mean(points, seen)[lost]
    lost &= joints.present_TJ[:, wrist]
    points[lost, 0], seen[lost, 0] = joints.xy_TJC[lost, wrist], True
    return points, seen


def _face(joints: Joints) -> tuple[np.ndarray, np.ndarray]:
    names = [INDEX["nose"], INDEX["left_eye"], INDEX["right_eye"]]
    return joints.xy_TJC[:, names].astype(np.float64), joints.present_TJ[:, names]


def _gap(a_TPC: np.ndarray, a_seen: np.ndarray, b_TPC: np.ndarray, b_seen: np.ndarray) -> np.ndarray:
    """How far the nearest two points of two hands are apart, (T,); infinite where one has none."""
    apart = np.linalg.norm(a_TPC[:, :, None] - b_TPC[:, None], axis=-1)
    return np.where(a_seen[:, :, None] & b_seen[:, None], apart, np.inf).min((1, 2))


def _near(distance: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """1 up to the first of ``limits``, 0 from the second on, smooth in between."""
    share = np.clip((limits[1] - distance) / (limits[1] - limits[0]), 0, 1)
    return share * share * (3 - 2 * share)


def _mean(points: np.ndarray, seen: np.ndarray) -> np.ndarray:
    return (points * seen[..., None]).sum(1) / np.maximum(seen.sum(1), 1)[:, None]


# --- bones over time ----------------------------------------------------------------------------------------------


def _place(joints: Joints, name: str, least: float) -> tuple[np.ndarray, np.ndarray]:
    if name.startswith("mid_"):
        (left, left_seen), (right, right_seen) = (_place(joints, f"{s}_{name[4:]}", least) for s in ("left", "right"))
        return (left + right) / 2, left_seen & right_seen
    j = INDEX[name]
    seen = joints.present_TJ[:, j]
    if least and joints.confidence_TJ is not None:
        seen = seen & (joints.confidence_TJ[:, j] >= least)
    return joints.xy_TJC[:, j].astype(np.float64), seen


def _bone(joints: Joints, start: str, end: str, least: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """The vector of a bone, (T, 2), and where both of its ends are seen, (T,)."""
    (a, a_seen), (b, b_seen) = _place(joints, start, least), _place(joints, end, least)
    return b - a, a_seen & b_seen


def _always(joints: Joints, start: str, end: str) -> np.ndarray:
    """The vector of a bone in every frame: where an end is not seen, from the frames around; zero if never."""
    return _filled(*_bone(joints, start, end))


def _filled(values_TC: np.ndarray, seen_T: np.ndarray) -> np.ndarray:
    rows = np.flatnonzero(seen_T)
    if not len(rows):
        return np.zeros_like(values_TC)
    every = np.arange(len(values_TC))
    return np.stack([np.interp(every, rows, values_TC[rows, c]) for c in range(values_TC.shape[1])], 1)


def _through(motion_T33: np.ndarray, points_TPC: np.ndarray) -> np.ndarray:
    return points_TPC @ motion_T33[:, :2, :2].transpose(0, 2, 1) + motion_T33[:, None, :2, 2]
