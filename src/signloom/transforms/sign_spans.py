"""Where the sign is in a clip of one sign, by a look at the whole of it: from leaving rest to being back there.

No time is annotated in corpora of isolated signs. But such a clip begins and ends at rest, so that what lies between is
found by where the hands are at its own two ends. It takes the future as well, and is no way to find signs as they come.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from signloom.data.skeleton import HAND_SIDES, INDEX, Joints, shoulder_width_px

AWAY = 0.2
"""A hand has left its rest when it is so far from it, in shoulder widths."""
RAISED = 0.6
"""The sign is fully there from the share of its farthest way that a hand has gone, and as long as it is so far."""
_END_S = 0.15
_LEAST_S = 0.3


class SignSpan(NamedTuple):
    """Frames of a clip, half-open: from ``start`` to ``end`` a hand is away from rest, from ``up`` to ``down`` far."""

    start: int
    up: int
    down: int
    end: int


def sign_span(joints: Joints) -> SignSpan | None:
    """Where the sign is in a clip of one; None where no hand moves enough, or it is not known where they are."""
    unit = shoulder_width_px(joints)
    if unit is None or len(joints) < 4:
        return None
    n = max(1, round(_END_S * joints.fps))
    from_begin_T, from_end_T = np.zeros(len(joints)), np.zeros(len(joints))
    for side in HAND_SIDES:
        place_TC, known_T = _places(joints, side)
        if known_T.sum() < 2:
            continue
        place_TC = _steady(place_TC)
        for far_T, rest in ((from_begin_T, place_TC[:n]), (from_end_T, place_TC[-n:])):
            np.maximum(far_T, np.linalg.norm(place_TC - np.median(rest, 0), axis=-1) / unit, out=far_T)
    away_T, back_T = from_begin_T > AWAY, from_end_T > AWAY
    if not away_T.any() or not back_T.any():
        return None
    start, end = int(away_T.argmax()), len(back_T) - int(back_T[::-1].argmax())
    if end - start < _LEAST_S * joints.fps:
        return None
    up = int((from_begin_T > RAISED * from_begin_T[start:end].max()).argmax())
    down = len(back_T) - int((from_end_T > RAISED * from_end_T[start:end].max())[::-1].argmax())
    return SignSpan(start, min(up, down - 1), max(down, up + 1), end) if start <= up < end else None


def _places(joints: Joints, side: str) -> tuple[np.ndarray, np.ndarray]:
    """Where a hand is, (T, 2): its root, else the arm's wrist, else where it was last, or is next; and where known."""
    root, wrist = INDEX[f"{side}_root"], INDEX[f"{side}_wrist"]
    seen_T = joints.present_TJ[:, root]
    known_T = seen_T | joints.present_TJ[:, wrist]
    place_TC = np.where(seen_T[:, None], joints.xy_TJC[:, root], joints.xy_TJC[:, wrist]).astype(np.float64)
    rows = np.flatnonzero(known_T)
    if not len(rows):
        return place_TC, known_T
    at = np.arange(len(place_TC))
    return np.stack([np.interp(at, rows, place_TC[rows, c]) for c in range(2)], -1), known_T


def _steady(place_TC: np.ndarray) -> np.ndarray:
    """The median of three frames: points jump for single ones."""
    around = np.concatenate([place_TC[:1], place_TC, place_TC[-1:]])
    return np.median(np.stack([around[:-2], around[1:-1], around[2:]]), 0)
