"""One hand reported as both: where the other is hidden, MediaPipe finds the hand that it sees a second time.

Arrays only: it works on whatever found the joints. Where the estimator also tells which hand it sees, that is used too.
"""

from __future__ import annotations

import numpy as np

from signloom.data.skeleton import HAND_SIDES, INDEX, PARTS, Joints, shoulder_width_px

COPY = 1.0
"""Hands are taken for one where their points are, on average, no farther apart than the hand's own spread (the root
mean square of its points about their middle). Hands laid flat together come as near, so this alone decides nothing."""
ASTRAY = 0.4
"""A hand's root farther than this from the wrist of its own arm, in shoulder widths, is not that arm's hand."""

_DOUBTFUL = 0.25  # … and one this far is not, in frames next to such as go beyond
_TIMES = 2.0  # the ghost is so many times as far from its arm as the true hand from its own

WRONG_SIDE = 0.78
"""A hand whose points say so surely, on average, that it is of the other side, may be that other hand …"""
RIGHT_SIDE = 0.85
"""… which must say so surely that it is of its own."""
_APART = 1.5  # hands so many spreads from each other are two
_FEW = 0.4
_OWN = 2  # frames in which a hand was seen apart from the other, as its own side's, that prove that there is one
RULES = {
    "copy": COPY,
    "astray_least": ASTRAY,
    "doubtful": _DOUBTFUL,
    "times": _TIMES,
    "wrong_side": WRONG_SIDE,
    "right_side": RIGHT_SIDE,
    "apart_least": _APART,
    "few_share": _FEW,
    "own_frames": _OWN,
}
"""All of these by name, for other programs (:mod:`signloom.transforms.pose_described`)."""


def ghost_hands(joints: Joints, right_TS: np.ndarray | None = None) -> np.ndarray:
    """In which frames the left and the right hand (T, 2) are a ghost of the other, bool.

    Place: both hands lie on each other (:data:`COPY`). Arm: the ghost's root is away from the wrist of its own arm
    (:data:`ASTRAY`), and the other hand's at its. Time: once that is plain in one frame, less will do in the frames
    around it. Where both arms lead to the place the hands are laid together, and stay; unless ``right_TS`` (T, 2), how
    surely the points of each are a right hand's, NaN without, says otherwise (:func:`ghosts_by_side`). Without body or
    shoulders nothing is told, and nothing is a ghost.
    """
    shoulder_px = shoulder_width_px(joints)
    ghosts_TS = ghosts_of(joints.xy_TJC, joints.present_TJ, shoulder_px)
    if right_TS is None or not shoulder_px:
        return ghosts_TS
    return ghosts_TS | ghosts_by_side(joints.xy_TJC, joints.present_TJ, right_TS, ghosts_TS)


def ghosts_by_side(
    xy_TJC: np.ndarray, present_TJ: np.ndarray, right_TS: np.ndarray, known_TS: np.ndarray
) -> np.ndarray:
    """In which frames a hand (T, 2) is the other one, since all of the clip says that it is of that side, bool.

    In a single frame it says little: of hands laid together, and of a blurred one, it is often wrong. So it counts over
    all frames in which both lie on each other (but for those ``known_TS`` as ghosts): there the one says on average
    that it is of the other side (:data:`WRONG_SIDE`), and the other that it is of its own (:data:`RIGHT_SIDE`); or
    the same hand is known as a ghost elsewhere in the clip. The hand is nowhere in the clip to be seen by itself,
    apart from the other and as its own side's. And those are few of the frames in which the other is seen
    (:data:`_FEW`): in a sign that lays hands together, the front one covers the other, and both say that they are
    that.
    """
    found = np.zeros((len(xy_TJC), 2), bool)
    apart_T = hands_apart(xy_TJC, present_TJ)
    near_T = (apart_T < COPY) & np.isfinite(right_TS).all(1)
    open_T = near_T & ~known_TS.any(1)
    if not open_T.any():
        return found
    of_right = right_TS[open_T].mean(0)
    for side in range(2):
        wrong, other = (of_right[0], of_right[1]) if side == 0 else (1 - of_right[1], 1 - of_right[0])
        told = (wrong >= WRONG_SIDE and other >= RIGHT_SIDE) or known_TS[:, side].sum() >= _OWN
        own_T = np.nan_to_num(right_TS[:, side] if side else 1 - right_TS[:, side]) > 0.5
        by_itself = int((own_T & (apart_T > _APART)).sum())
        few = near_T.sum() <= _FEW * np.isfinite(right_TS[:, 1 - side]).sum()
        if told and by_itself < _OWN and few:
            found[open_T, side] = True
    return found


def hands_apart(xy_TJC: np.ndarray, present_TJ: np.ndarray) -> np.ndarray:
    """How far both hands' points are apart on average, in spreads of the wider hand, (T,); infinite without both."""
    left, right = (PARTS[f"{side}_hand"] for side in HAND_SIDES)
    return _apart(xy_TJC[:, left], xy_TJC[:, right], present_TJ[:, left] & present_TJ[:, right])


def arms_that_follow(xy_TJC: np.ndarray, ghosts_TS: np.ndarray, shoulder_px: float) -> np.ndarray:
    """In which frames the arm of a ghost (T, 2) follows it: its wrist stands where the ghost has its root, bool."""
    away_TS = np.stack([_astray(xy_TJC, np.ones(xy_TJC.shape[:2], bool), side) for side in HAND_SIDES], 1)
    return ghosts_TS & (away_TS <= _DOUBTFUL * shoulder_px)


def ghosts_of(xy_TJC: np.ndarray, present_TJ: np.ndarray, shoulder_px: float | None) -> np.ndarray:
    """:func:`ghost_hands` of arrays: joints as in :class:`Joints`, and the shoulder width in pixels."""
    left, right = (PARTS[f"{side}_hand"] for side in HAND_SIDES)
    none = np.zeros((len(xy_TJC), 2), bool)
    both_TP = present_TJ[:, left] & present_TJ[:, right]
    if not shoulder_px or not both_TP.any():
        return none
    near_T = hands_apart(xy_TJC, present_TJ) < COPY
    astray_TS = np.stack([_astray(xy_TJC, present_TJ, side) for side in HAND_SIDES], 1) / shoulder_px
    other_TS = astray_TS[:, ::-1]
    with np.errstate(invalid="ignore"):  # a wrist that is not there tells nothing
        doubtful_TS = near_T[:, None] & (astray_TS > _DOUBTFUL) & (astray_TS > _TIMES * other_TS)
        plain_TS = doubtful_TS & (astray_TS > ASTRAY)
    return np.stack([_runs_with(doubtful_TS[:, s], plain_TS[:, s]) for s in range(2)], 1)


def _apart(left_TPC: np.ndarray, right_TPC: np.ndarray, both_TP: np.ndarray) -> np.ndarray:
    """How far the points of two hands are apart on average, in spreads of the wider one; infinite without points."""
    n = np.maximum(both_TP.sum(1), 1)

    def mean(values_TP: np.ndarray) -> np.ndarray:
        return (values_TP * both_TP).sum(1) / n

    def spread(hand_TPC: np.ndarray) -> np.ndarray:
        middle_TC = np.stack([mean(hand_TPC[..., c]) for c in range(2)], 1)
        return np.sqrt(mean(((hand_TPC - middle_TC[:, None]) ** 2).sum(-1)))

    apart = mean(np.linalg.norm(left_TPC - right_TPC, axis=-1))
    widest = np.maximum(spread(left_TPC), spread(right_TPC))
    return np.where(both_TP.any(1) & (widest > 0), apart / np.where(widest > 0, widest, 1), np.inf)


def _astray(xy_TJC: np.ndarray, present_TJ: np.ndarray, side: str) -> np.ndarray:
    """How far a hand's root is from the wrist of its arm, in pixels, (T,); NaN where one is not there."""
    root, wrist = INDEX[f"{side}_root"], INDEX[f"{side}_wrist"]
    apart = np.linalg.norm(xy_TJC[:, root] - xy_TJC[:, wrist], axis=-1)
    return np.where(present_TJ[:, root] & present_TJ[:, wrist], apart, np.nan)


def _runs_with(some_T: np.ndarray, plain_T: np.ndarray) -> np.ndarray:
    """The frames of those runs of ``some_T`` that hold one of ``plain_T``."""
    run_T = np.cumsum(np.diff(some_T, prepend=False) & some_T)
    return some_T & np.isin(run_T, run_T[plain_T])
