"""Steadier poses: what trembles is calmed, what is lost for a moment is found again, what is fast stays fast."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import numpy as np

from signloom.data.skeleton import INDEX, PARTS, Joints, shoulder_width_px
from signloom.errors import InputError

_WINDOW_S = 0.3  # to each side, at strength 1
_FAST = 1.0  # shoulder widths per second: at this speed half of the smoothing is taken back
_TURN_S = 0.08  # so long before and after it was fast, a joint is taken to be fast still
_OUTLIER = 0.1  # shoulder widths: a joint that strays less from the frames around it is trembling, not an outlier
_STRAY = 4.0
_SURE = 0.3  # joints that an estimator is less sure of are smoothed although they are fast


@dataclass(frozen=True)
class PoseSmooth:
    """Smooth body and hands over time; the face stays as it is. ``strength`` from 0 (nothing is changed) to 1.

    In this order: a hand found in a single frame only is dropped; a joint that is elsewhere for one frame
    (:func:`outliers`) is dropped; a joint absent for at most ``gap_s`` is interpolated, a hand's relative to its wrist;
    a hand absent for at most ``carry_s`` is carried along with its wrist as in its nearest seen frame; longer gaps
    stay.
    Then every joint is replaced by a quadratic fitted to the frames around it (Savitzky & Golay 1964), weighted by
    confidence, which shifts nothing in time; fast joints keep the more of their own place the faster they are, since
    trembling does not show there and a rounded movement does.
    """

    strength: float = 0.4
    gap_s: float = 0.2
    carry_s: float = 0.5
    version: ClassVar[int] = 1

    def __post_init__(self):
        if not 0 <= self.strength <= 1:
            raise InputError(f"PoseSmooth.strength: got {self.strength}, expected 0 (off) to 1")
        if not 0 <= self.gap_s <= self.carry_s:
            raise InputError(
                f"PoseSmooth: got gap_s {self.gap_s}, carry_s {self.carry_s}; expected 0 <= gap_s <= carry_s"
            )

    def fingerprint(self) -> dict[str, Any]:
        """What shapes the result."""
        return {"step": "pose-smooth", **asdict(self), "version": self.version}

    def __call__(self, joints: Joints) -> Joints:
        """``joints``, smoothed. Joints that are filled in are present, as sure as those they were filled from."""
        if not self.strength or not joints.present_TJ.any():
            return joints
        from scipy.ndimage import maximum_filter1d

        # Without shoulders, about what they are of a signer in a frame.
        unit = shoulder_width_px(joints) or float(np.ptp(joints.xy_TJC[joints.present_TJ], axis=0).max()) / 4
        if not unit > 1e-6:
            return joints
        moving = slice(0, PARTS["face"].start)
        sure = np.ones(joints.present_TJ.shape) if joints.confidence_TJ is None else joints.confidence_TJ
        track = _Track(
            joints.xy_TJC[:, moving].astype(np.float64),
            joints.present_TJ[:, moving].copy(),
            sure[:, moving].astype(np.float64),
        )
        gap, carry = (int(s * joints.fps + 1e-6) for s in (self.gap_s, self.carry_s))
        for side in ("left", "right"):
            track.drop_flashes(PARTS[f"{side}_hand"], gap)
        track.present &= ~outliers(track.xy, track.present, _OUTLIER * unit)
        track.fill(PARTS["body"], gap)
        for side in ("left", "right"):
            track.fill_hand(PARTS[f"{side}_hand"], INDEX[f"{side}_wrist"], gap, carry)
        half = max(1.0, self.strength * _WINDOW_S * joints.fps)
        weight = np.where(track.present, np.maximum(track.sure, 0.05), 0)
        calm, speed = local_quadratic(track.xy, weight, half)
        speed *= joints.fps / unit
        # A fast hand stands still for a moment where it turns, and that is where it must not be rounded off.
        speed = maximum_filter1d(speed, 2 * round(_TURN_S * joints.fps) + 1, axis=0)
        for side in ("left", "right"):
            part = PARTS[f"{side}_hand"]
            # A hand that moves as a whole keeps its shape.
            speed[:, part] = np.maximum(speed[:, part], np.median(speed[:, part], axis=1, keepdims=True))
        raw = speed**2 / (speed**2 + _FAST**2) * np.clip(track.sure / _SURE, 0, 1)
        xy, present = joints.xy_TJC.copy(), joints.present_TJ.copy()
        xy[:, moving] = np.where(track.present[..., None], calm + raw[..., None] * (track.xy - calm), 0)
        present[:, moving] = track.present
        confidence = joints.confidence_TJ
        if confidence is not None:
            confidence = confidence.copy()
            confidence[:, moving] = np.where(track.present, track.sure, 0)
        return replace(joints, xy_TJC=xy, present_TJ=present, confidence_TJ=confidence)


@dataclass
class _Track:
    """Joints while they are mended, in place: ``xy`` (T, J, 2), ``present`` and ``sure`` (T, J)."""

    xy: np.ndarray
    present: np.ndarray
    sure: np.ndarray

    def drop_flashes(self, part: slice, gap: int) -> None:
        """Forget a part that is seen in one frame, with nothing of it within ``gap`` frames before and after."""
        rows = np.flatnonzero(self.present[:, part].any(1))
        if len(self.present) < 3:
            return
        alone = np.diff(rows, prepend=-(2 * gap + 2)) > gap + 1
        alone &= np.diff(rows, append=len(self.present) + 2 * gap + 2) > gap + 1
        self.present[rows[alone], part] = False

    def fill(self, part: slice, gap: int, about: np.ndarray | None = None) -> None:
        """Interpolate a part's joints over gaps of at most ``gap`` frames, relative to the track ``about`` (T, 2)."""
        origin = np.zeros((len(self.xy), 2)) if about is None else about
        for j in range(part.start, part.stop):
            for first, end in _gaps(self.present[:, j]):
                if first > 0 and end < len(self.xy) and end - first <= gap:
                    share = ((np.arange(first, end) - first + 1) / (end - first + 1))[:, None]
                    a, b = (self.xy[t, j] - origin[t] for t in (first - 1, end))
                    self.xy[first:end, j] = origin[first:end] + (1 - share) * a + share * b
                    self.sure[first:end, j] = np.minimum(self.sure[first - 1, j], self.sure[end, j])
                    self.present[first:end, j] = True

    def fill_hand(self, part: slice, wrist: int, gap: int, carry: int) -> None:
        """Fill a hand's gaps relative to its wrist; those that are longer than ``gap``, from the nearest seen frame."""
        with_wrist = self.present[:, wrist]
        rows = np.flatnonzero(with_wrist)
        about = None
        if len(rows):
            every = np.arange(len(self.xy))
            about = np.stack([np.interp(every, rows, self.xy[rows, wrist, c]) for c in range(2)], 1)
        self.fill(part, gap, about)
        seen = self.present[:, part].any(1)
        for first, end in list(_gaps(seen)):
            if end - first > carry or not seen.any() or not with_wrist[max(first - 1, 0) : end + 1].all():
                continue
            for t in range(first, end):
                before, after = t - first + 1, end - t
                near = first - 1 if first > 0 and (before <= after or end == len(seen)) else end
                self.xy[t, part] = self.xy[near, part] + self.xy[t, wrist] - self.xy[near, wrist]
                self.present[t, part] = self.present[near, part]
                self.sure[t, part] = self.sure[near, part]


def _gaps(seen_T: np.ndarray) -> Iterator[tuple[int, int]]:
    """Runs of frames without, as (first, end)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], ~seen_T, [0]]).astype(np.int8)))
    yield from ((int(a), int(b)) for a, b in edges.reshape(-1, 2))


def outliers(xy_TJC: np.ndarray, present_TJ: np.ndarray, least_px: float) -> np.ndarray:
    """Which joints are for one frame where the two frames before and after do not lead to, bool (T, J).

    Such a joint is off the line through those four, by more than ``least_px`` and :data:`_STRAY` times as far as they
    are themselves. A turn, a sudden start and a hand that goes to and fro leave them as far off it, and are none.
    """
    found = np.zeros(present_TJ.shape, bool)
    n = len(xy_TJC)
    if n < 5:
        return found
    around = [xy_TJC[2 + k : n - 2 + k] for k in (-2, -1, 1, 2)]
    before, after = (around[0] + around[1]) / 2, (around[2] + around[3]) / 2
    middle, slope = (before + after) / 2, (after - before) / 3
    spread = sum(np.linalg.norm(x - middle - k * slope, axis=-1) for k, x in zip((-2, -1, 1, 2), around)) / 4
    off = np.linalg.norm(xy_TJC[2 : n - 2] - middle, axis=-1)
    known = np.logical_and.reduce([present_TJ[2 + k : n - 2 + k] for k in range(-2, 3)])
    found[2 : n - 2] = known & (off > np.maximum(_STRAY * spread, least_px))
    return found


def local_quadratic(xy_TJC: np.ndarray, weight_TJ: np.ndarray, half: float) -> tuple[np.ndarray, np.ndarray]:
    """A quadratic fitted by weight to ``half`` frames before and after each: place (T, J, 2), speed per frame (T, J).

    Frames count less the farther they are (tricube), so ``half`` need not be a whole number; at 1 places stay. With too
    few frames for a quadratic it is a line or a constant.
    """
    n = len(xy_TJC)
    moments = np.zeros((*weight_TJ.shape, 5))
    sums = np.zeros((*weight_TJ.shape, 3, 2))
    reach = int(np.ceil(half))
    for lag in range(-reach, reach + 1):
        here = slice(max(0, -lag), min(n, n - lag))
        there = slice(max(0, lag), min(n, n + lag))
        if here.start >= here.stop:
            continue
        x = lag / half
        w = weight_TJ[there] * (1 - (abs(lag) / (half + 1)) ** 3) ** 3
        powers = x ** np.arange(5)
        moments[here] += w[..., None] * powers
        # Relative to the frame itself, so that nothing is lost to the size of coordinates.
        sums[here] += (w[..., None] * (xy_TJC[there] - xy_TJC[here]))[..., None, :] * powers[:3, None]
    normal = moments[..., np.arange(3)[:, None] + np.arange(3)]
    # A trace of ridge on slope and bend: it only decides where the frames do not.
    normal = normal + np.diag([1e-9, 1e-4, 1e-4])
    place, slope, _ = np.moveaxis(np.linalg.solve(normal, sums), 2, 0)
    return xy_TJC + np.where(weight_TJ[..., None] > 0, place, 0), np.linalg.norm(slope, axis=-1) / half
