"""Which points of a pose were found: what stands for a missing one, or cannot be one, is told from true places.

Files disagree on how a missing point is written. The format says confidence 0; people's own scripts write (0, 0),
(-1, -1) or NaN, often with confidence 1 all over. :func:`real_points` decides for every reader.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pose_format import Pose

SENTINELS = (0.0, -1.0)
"""Both coordinates of a point that was not found are one of these, in files that do not say it by confidence."""
OUTSIDE = 2.0
"""A point farther outside than so many times the picture's larger side is no extrapolation of an estimator."""

NEAR = 0.05
"""Of the picture's larger side: a true point in the very corner has its neighbours so near."""
COLLAPSED = 5
"""So many points of one component never lie on one place."""

_PICTURE_COMPONENTS = (
    "POSE_LANDMARKS",
    "FACE_LANDMARKS",
    "LEFT_HAND_LANDMARKS",
    "RIGHT_HAND_LANDMARKS",
    "pose_keypoints_2d",
    "face_keypoints_2d",
    "hand_left_keypoints_2d",
    "hand_right_keypoints_2d",
)


@dataclass(frozen=True)
class PosePoints:
    """``real_TNP`` (frames, people, points): what was found. Counts are of points that claim to be there and are not.

    ``sentinels`` stand on a place that means "not found"; ``no_place`` have confidence, and a place that is masked or
    not finite; ``outside`` lie beyond any picture. ``no_size`` says that most points lie beyond the picture that the
    header claims, so that it tells nothing about places.
    """

    real_TNP: np.ndarray
    sentinels: int = 0
    no_place: int = 0
    outside: int = 0
    no_size: bool = False

    @property
    def counts(self) -> dict[str, int]:
        """What was taken for absent though it claimed to be there, by kind; only what there is."""
        found = {"sentinels": self.sentinels, "no_place": self.no_place, "outside": self.outside}
        return {kind: n for kind, n in found.items() if n}


def real_points(pose: Pose) -> PosePoints:
    """Which points of ``pose`` were found, in every frame and of everybody in it.

    Absent is a point without confidence, without a finite place, or masked; one beyond :data:`OUTSIDE`; and one on a
    sentinel (:func:`sentinel_places`). A hand somewhat outside the picture is what estimators extrapolate: it stays.
    """
    data, confidence = pose.body.data, np.asarray(pose.body.confidence)
    raw = np.asarray(np.ma.getdata(data))
    x, y = raw[..., 0], raw[..., 1]
    width, height = pose.header.dimensions.width, pose.header.dimensions.height
    claimed = (confidence > 0) & np.isfinite(confidence)
    placed = np.isfinite(x) & np.isfinite(y)
    mask = np.ma.getmask(data)
    if mask is not np.ma.nomask:
        placed &= ~(mask[..., 0] | mask[..., 1])
    real = claimed & placed
    sentinels = _sentinels(pose, x, y, real)
    real &= ~sentinels
    outside = real & ~_within(x, y, width, height)
    no_size = int(outside.sum()) > int(real.sum()) / 2
    if not no_size:
        real &= ~outside
    return PosePoints(
        real,
        int(sentinels.sum()),
        int((claimed & ~placed).sum()),
        0 if no_size else int(outside.sum()),
        no_size,
    )


def without_confidence(pose: Pose) -> int:
    """How many points of ``pose`` have a place and no confidence: they count as not found."""
    xy = np.asarray(np.ma.getdata(pose.body.data))[..., :2]
    empty = ~np.isfinite(xy).all(-1)
    for value in SENTINELS:
        empty |= (xy == value).all(-1)
    return int((~(np.asarray(pose.body.confidence) > 0) & ~empty).sum())


def _sentinels(pose: Pose, x: np.ndarray, y: np.ndarray, claimed: np.ndarray) -> np.ndarray:
    found = np.zeros_like(claimed)
    suspect = claimed & (x == y) & ((x == SENTINELS[0]) | (x == SENTINELS[1]))
    repeated = (x[..., 1:] == x[..., :-1]) & claimed[..., 1:] & claimed[..., :-1]
    if suspect.any() or repeated.any():  # hardly ever, and looking closely takes time
        near = NEAR * float(max(pose.header.dimensions.width, pose.header.dimensions.height))
        for part in _components(pose).values():
            found[..., part] = sentinel_places(x[..., part], y[..., part], claimed[..., part], near)
    return found


def sentinel_places(x_XP: np.ndarray, y_XP: np.ndarray, claimed_XP: np.ndarray, near: float) -> np.ndarray:
    """Which ``claimed`` points of one component (its points P, any axes before) stand for "not found", bool (…, P).

    Two or more points on exactly the same :data:`SENTINELS` place do; so does a single one, unless another point of the
    component is within ``near`` of it: a true hand in the picture's very corner has neighbours there. So do all points
    of a component that lie on one place, whichever.
    """
    found = np.zeros(claimed_XP.shape, bool)
    for value in SENTINELS:
        there = claimed_XP & (x_XP == value) & (y_XP == value)
        if not there.any():
            continue
        with np.errstate(invalid="ignore"):
            close = claimed_XP & ~there & (np.abs(x_XP - value) <= near) & (np.abs(y_XP - value) <= near)
        found |= there & (~close.any(-1, keepdims=True) | (there.sum(-1, keepdims=True) > 1))
    return found | _collapsed(x_XP, y_XP, claimed_XP & ~found)


def _collapsed(x_XP: np.ndarray, y_XP: np.ndarray, claimed_XP: np.ndarray) -> np.ndarray:
    """Which points are of a component whose points all lie on one place."""
    if claimed_XP.shape[-1] < COLLAPSED:
        return np.zeros_like(claimed_XP)
    many = claimed_XP.sum(-1, keepdims=True) >= COLLAPSED
    first = claimed_XP.argmax(-1)[..., None]
    same = (x_XP == np.take_along_axis(x_XP, first, -1)) & (y_XP == np.take_along_axis(y_XP, first, -1))
    return claimed_XP & many & (same | ~claimed_XP).all(-1, keepdims=True)


def _within(x: np.ndarray, y: np.ndarray, width: float, height: float) -> np.ndarray:
    """Whether points are no farther than :data:`OUTSIDE` from a picture of that size; all, where it has none."""
    if width <= 0 or height <= 0 or not x.size:
        return np.ones(x.shape, bool)
    beyond = OUTSIDE * max(width, height)
    if min(x.min(), y.min()) >= -beyond and max(x.max(), y.max()) <= min(width, height) + beyond:
        return np.ones(x.shape, bool)
    with np.errstate(invalid="ignore"):
        return (np.abs(x - width / 2) <= width / 2 + beyond) & (np.abs(y - height / 2) <= height / 2 + beyond)


def picture_points(pose: Pose) -> np.ndarray:
    """Which points of a pose are places in the picture of somebody's body, hands and face, bool (P,)."""
    return _of_components(pose, _components(pose).values())


def hand_points(pose: Pose, side: str = "") -> np.ndarray:
    """Which points of a pose are of hands, or of the hand on that ``side`` (left, right), bool (P,)."""
    names = [name for name in _components(pose) if "hand" in name.lower() and side in name.lower()]
    return _of_components(pose, (_components(pose)[name] for name in names))


def _of_components(pose: Pose, parts: Iterable[slice]) -> np.ndarray:
    chosen_P = np.zeros(pose.header.total_points(), bool)
    for part in parts:
        chosen_P[part] = True
    return chosen_P


def _components(pose: Pose) -> Mapping[str, slice]:
    """Where the components whose points are places in the picture stand on the point axis."""
    return {name: part for name, part in component_slices(pose) if name in _PICTURE_COMPONENTS}


def component_slices(pose: Pose) -> Iterator[tuple[str, slice]]:
    """Each component's name and its place on the point axis."""
    start = 0
    for component in pose.header.components:
        yield component.name, slice(start, start + len(component.points))
        start += len(component.points)
