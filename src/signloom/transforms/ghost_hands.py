"""One hand reported as both: where the other is hidden, MediaPipe finds the hand that it sees a second time.

Arrays only: it works on whatever found the joints.
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


def ghost_hands(joints: Joints) -> np.ndarray:
    """In which frames the left and the right hand (T, 2) are a ghost of the other, bool.

    Place: both hands lie on each other (:data:`COPY`). Arm: the ghost's root is away from the wrist of its own arm
    (:data:`ASTRAY`), and the other hand's at its. Time: once that is plain in one frame, less will do in the frames
    around it. Where both arms lead to the place the hands are laid together, and stay. Without body or shoulders
    nothing is told, and nothing is a ghost.
    """
    return ghosts_of(joints.xy_TJC, joints.present_TJ, shoulder_width_px(joints))


def ghosts_of(xy_TJC: np.ndarray, present_TJ: np.ndarray, shoulder_px: float | None) -> np.ndarray:
    """:func:`ghost_hands` of arrays: joints as in :class:`Joints`, and the shoulder width in pixels."""
    left, right = (PARTS[f"{side}_hand"] for side in HAND_SIDES)
    none = np.zeros((len(xy_TJC), 2), bool)
    both_TP = present_TJ[:, left] & present_TJ[:, right]
    if not shoulder_px or not both_TP.any():
        return none
    near_T = _apart(xy_TJC[:, left], xy_TJC[:, right], both_TP) < COPY
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
