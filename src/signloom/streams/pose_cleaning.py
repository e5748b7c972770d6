"""A pose as it is kept: one person, absent what was not found, no hand twice; and what had to be done for that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from signloom.data.holistic_points import BODY_POINTS
from signloom.data.people import choose_person
from signloom.data.pose_points import hand_points, real_points, without_confidence
from signloom.data.skeleton import HAND_SIDES, joints_of, left_out_hands, shoulder_width_px
from signloom.errors import MediaError
from signloom.transforms.ghost_hands import arms_that_follow, ghost_hands

if TYPE_CHECKING:
    from pose_format import Pose

GHOSTS = ("drop", "keep")
_HAND_POINTS = 21
_ARM_POINTS = {
    side: tuple(f"{side.upper()}_{name}" for name in ("ELBOW", "WRIST", "PINKY", "INDEX", "THUMB"))
    for side in HAND_SIDES
}


@dataclass(frozen=True)
class CleanPose:
    """``pose`` of one person. ``found`` counts, by name and only where there is something to tell: ``people``,
    ``order_changes``, ``frames_without`` (the person taken), ``sentinels``, ``no_place``, ``outside``,
    ``no_confidence`` (points), ``no_size`` (1), ``ghost_hands`` (frames with one)."""

    pose: Pose
    found: Mapping[str, int] = field(default_factory=dict)


def clean_pose(pose: Pose, *, person: str = "auto", ghosts: str = "drop", sure: bool = True) -> CleanPose:
    """``pose`` as signloom keeps it: the one person chosen, points that were not found with confidence 0, and with
    ``ghosts`` "drop" without hands that are another's ghost (their places stay in the file).

    A pose in which there is nothing to do is given back as it came. ``sure``: refuse where others than the person taken
    would do nearly as well. Raises MediaError for that (``several-people``) and for a ``person`` that is not there
    (``no-such-person``), and InputError as :func:`~signloom.data.skeleton.joints_of`.
    """
    points = real_points(pose)
    chosen = choose_person(pose, points, person)
    if chosen.doubt and sure:
        raise MediaError(
            f"{chosen.doubt}; say who: prepare --option person=left, right, largest or 0, 1 …", "several-people"
        )
    found = Counter(points.counts)
    left_out_TS = left_out_hands(pose, chosen)
    found["ghost_hands"] = int(left_out_TS.any(1).sum())
    found["no_confidence"] = without_confidence(pose) - _HAND_POINTS * int(left_out_TS.sum())
    found["no_size"] = int(points.no_size)
    if person == "auto" and chosen.people > 1:
        found["people"], found["order_changes"] = chosen.people, chosen.order_changes
    real_TP = chosen.of(points.real_TNP) & (chosen.place_T >= 0)[:, None]
    found["frames_without"] = int((~real_TP.any(1)).sum())
    if points.counts or pose.body.data.shape[1] > 1:
        data_TPC = chosen.of(np.ma.getdata(pose.body.data))
        confidence_TP = np.where(real_TP, chosen.of(np.asarray(pose.body.confidence)), 0)
        lost = ~real_TP & chosen.of(np.asarray(pose.body.confidence) > 0) | (chosen.place_T < 0)[:, None]
        pose = _with(pose, np.where(lost[..., None], 0, data_TPC)[:, None], confidence_TP[:, None])
    if ghosts == "drop":
        pose, n = without_ghosts(pose)
        found["ghost_hands"] += n
    return CleanPose(pose, {name: n for name, n in found.items() if n})


def without_ghosts(pose: Pose, right_TS: np.ndarray | None = None) -> tuple[Pose, int]:
    """``pose``, of one person, with confidence 0 for each hand that is a ghost of the other, and in how many frames
    there is one (:func:`signloom.transforms.ghost_hands.ghost_hands`). The places of its points stay.

    ``right_TS``: how surely each hand's points are a right hand's, where that is known. Where a ghost's arm has
    followed it, elbow and wrist get confidence 0 as well: where they are nobody knows.
    """
    joints = joints_of(pose)
    ghosts_TS = ghost_hands(joints, right_TS)
    n = int(ghosts_TS.any(1).sum())
    if not n:
        return pose, 0
    confidence = np.array(pose.body.confidence, copy=True)
    for side, ghost_T in zip(HAND_SIDES, ghosts_TS.T):
        confidence[np.ix_(ghost_T, np.array([True]), hand_points(pose, side))] = 0
    if right_TS is not None:
        follow_TS = arms_that_follow(joints.xy_TJC, ghosts_TS, shoulder_width_px(joints) or 0.0)
        for side, follow_T in zip(HAND_SIDES, follow_TS.T):
            arm = [k for k, name in enumerate(BODY_POINTS) if name in _ARM_POINTS[side]]
            confidence[np.ix_(follow_T, [0], arm)] = 0
    return _with(pose, np.ma.getdata(pose.body.data), confidence), n


def _with(pose: Pose, data: np.ndarray, confidence: np.ndarray) -> Pose:
    from pose_format import Pose
    from pose_format.numpy import NumPyPoseBody

    mask = np.repeat((confidence == 0)[..., None], data.shape[-1], -1)
    return Pose(pose.header, NumPyPoseBody(pose.body.fps, np.ma.array(data, mask=mask), confidence))


# --- said -----------------------------------------------------------------------------------------------------------

_POINTS = {
    "sentinels": "points stand where (0, 0), (-1, -1) or one place for a whole part means 'not found'",
    "no_place": "points have confidence and no place (NaN, infinite or masked)",
    "outside": "points lie farther outside than twice the picture's size",
    "no_confidence": "points have a place and no confidence",
}


def pose_notes(found_by_clip: Mapping[str, Mapping[str, int]]) -> list[str]:
    """What :func:`clean_pose` did, over the clips of a corpus (id → ``found``), for a person to read."""
    notes = []
    for name, what in _POINTS.items():
        if clips := _those(found_by_clip, name):
            n = sum(found_by_clip[c][name] for c in clips)
            notes.append(f"{n} {what}, in {_few(clips)}: taken for absent")
    if clips := _those(found_by_clip, "people"):
        most = max(found_by_clip[c]["people"] for c in clips)
        changes = [c for c in clips if found_by_clip[c].get("order_changes")]
        order = f", and their order changes in {len(changes)}" if changes else ""
        notes.append(
            f"several people (up to {most}) in the poses of {_few(clips)}{order}: one is followed throughout, the "
            "larger one whose hands are seen; choose otherwise: prepare --option person=left, right, largest or 0, 1 …"
        )
    if clips := _those(found_by_clip, "frames_without"):
        n = sum(found_by_clip[c]["frames_without"] for c in clips)
        notes.append(f"nobody, or not the person followed, was found in {n} frames, in {_few(clips)}: absent there")
    if clips := _those(found_by_clip, "no_size"):
        notes.append(
            f"most points lie far outside the picture that the header claims, in {_few(clips)}: its size is not used"
        )
    if clips := _those(found_by_clip, "ghost_hands"):
        n = sum(found_by_clip[c]["ghost_hands"] for c in clips)
        notes.append(
            f"one hand was reported as both in {n} frames, in {_few(clips)}: the one whose arm is elsewhere is left "
            "out; prepare --set pose.ghosts=keep keeps it"
        )
    return notes


def _those(found_by_clip: Mapping[str, Mapping[str, int]], name: str) -> Sequence[str]:
    return [clip for clip, found in found_by_clip.items() if found.get(name)]


def _few(clips: Iterable[str]) -> str:
    clips = list(clips)
    return f"{len(clips)} clip{'s' if len(clips) > 1 else ''} (first '{clips[0]}')"
