"""Continuous footage put together from clips of single signs, so that it is known when each begins and ends.

A clip of one sign begins and ends at rest (:mod:`signloom.transforms.sign_spans`). Between two of them there is the
rest that was filmed, another rest cut in, or none: then the way down of the first is blended with the way up of the
second. Recordings whose signs have times on record are taken as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from signloom.data.corpus import ClipRef
from signloom.data.skeleton import HAND_SIDES, INDEX, PARTS, Joints, interpolated, shoulder_width_px
from signloom.metrics.segments import Stretch
from signloom.tasks.segment.idle import move_idly
from signloom.transforms.sign_spans import SignSpan, sign_span

SIGNS = "signs"
"""What a record of a recording has in ``extra``: [start_s, end_s, label] of each of its signs."""
NO_SIGN = -1


@dataclass(frozen=True)
class Material:
    """A clip to put together: joints in pixels (T, J, 2), and where its sign is; of a recording, of all (``signs``)."""

    id: str
    label: str | None
    signer: str | None
    fps: float
    xy_TJC: np.ndarray = field(repr=False)
    present_TJ: np.ndarray = field(repr=False)
    unit_px: float
    span: SignSpan | None = None
    signs: tuple[tuple[float, float, str], ...] = ()

    def __len__(self) -> int:
        return len(self.xy_TJC)


def material(clip: ClipRef, joints: Joints, n_joints: int) -> Material | None:
    """``clip`` as something to put together, with its first ``n_joints`` joints; None where no sign is found in it."""
    extra = getattr(getattr(clip, "record", None), "extra", {}) or {}
    signs = tuple((float(a), float(b), str(label)) for a, b, label in extra.get(SIGNS, ()))
    unit, span = shoulder_width_px(joints), None
    if unit is None or (not signs and (span := sign_span(joints)) is None):
        return None
    xy, present = joints.xy_TJC[:, :n_joints], joints.present_TJ[:, :n_joints]
    return Material(clip.id, clip.label, clip.signer, joints.fps, xy, present, unit, span, signs)


@dataclass(frozen=True)
class Mix:
    """How clips follow each other.

    ``paused`` and ``flowing`` are the shares of transitions with another rest cut in, of ``pause_s`` (from, to), and
    without any rest, blended over ``blend_s``; in all others the rest is that which was filmed. Chances: ``idle``, that
    hands say nothing for a while in a pause that was cut in; ``hold``, that a sign is held still in its middle.
    """

    paused: float = 0.0
    flowing: float = 0.0
    pause_s: tuple[float, float] = (0.5, 3.0)
    blend_s: tuple[float, float] = (0.1, 0.35)
    idle: float = 0.0
    hold: float = 0.0
    speed: float = 0.0


@dataclass(frozen=True)
class Footage:
    """Joints (T, J, 2) at ``times_T``, and of which of ``clips`` a frame is the sign (``sign_T``; NO_SIGN: of none)."""

    times_T: np.ndarray
    xy_TJC: np.ndarray
    present_TJ: np.ndarray
    sign_T: np.ndarray
    signs: tuple[tuple[str, str | None], ...]
    """Of each sign its clip and its label."""

    def __len__(self) -> int:
        return len(self.times_T)

    def only(self, rows: np.ndarray | slice) -> Footage:
        """The frames ``rows``."""
        return replace(
            self,
            times_T=self.times_T[rows],
            xy_TJC=self.xy_TJC[rows],
            present_TJ=self.present_TJ[rows],
            sign_T=self.sign_T[rows],
        )

    def stretches(self) -> list[tuple[float, float, int]]:
        """When each sign begins and ends, in seconds, and its number. A sign ends where the next frame comes."""
        found = []
        edges = np.flatnonzero(np.diff(self.sign_T)) + 1
        step_s = float(np.median(np.diff(self.times_T))) if len(self) > 1 else 0.04
        for start, end in zip([0, *edges], [*edges, len(self)]):
            if self.sign_T[start] != NO_SIGN:
                end_s = self.times_T[end] if end < len(self) else self.times_T[-1] + step_s
                found.append((float(self.times_T[start]), float(end_s), int(self.sign_T[start])))
        return found

    @property
    def spans(self) -> list[Stretch]:
        """When each sign begins and ends, in seconds."""
        return [(a, b) for a, b, _ in self.stretches()]


@dataclass
class _Reel:
    """Footage as it grows."""

    rate_hz: float
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = field(default_factory=list)
    signs: list[tuple[str, str | None]] = field(default_factory=list)
    n: int = 0

    def add(self, xy: np.ndarray, present: np.ndarray, sign: np.ndarray) -> None:
        self.parts.append((xy, present, sign))
        self.n += len(xy)

    def done(self) -> Footage:
        xy, present, sign = (np.concatenate(part) for part in zip(*self.parts))
        return Footage(np.arange(len(xy)) / self.rate_hz, xy, present, sign, tuple(self.signs))


def compose(
    clips: Iterator[Material] | Sequence[Material],
    mix: Mix,
    rate_hz: float,
    rng: np.random.Generator,
    least_frames: int | None = None,
) -> Footage:
    """``clips`` one after another, until there are ``least_frames`` (None: all of them), by draws from ``rng``."""
    reel = _Reel(rate_hz)
    waiting = iter(clips)
    now, after = next(waiting), next(waiting, None)
    entry: tuple[float, tuple[np.ndarray, np.ndarray] | None] = (0.0, None)
    while True:
        step = now.fps / rate_hz * float(np.exp(rng.uniform(-mix.speed, mix.speed)))
        if now.span is None:
            _add_recording(reel, now, rate_hz, rng, least_frames)
            entry = (0.0, None)
        else:
            entry = _add_sign(reel, now, after, entry, step, mix, rng)
        if after is None or (least_frames is not None and reel.n >= least_frames):
            return reel.done()
        now, after = after, next(waiting, None)


def _add_sign(reel: _Reel, now: Material, after: Material | None, entry, step: float, mix: Mix, rng):
    """The clip ``now`` from where it is entered, and what joins it to ``after``; how that one is entered."""
    span = now.span
    assert span is not None
    first, blended_from = entry
    number = len(reel.signs)
    reel.signs.append((now.id, now.label))
    kind = rng.random()
    joins = after is not None and after.span is not None
    same = after is not None and after.signer == now.signer
    flows = joins and same and kind < mix.flowing
    pauses = joins and mix.flowing <= kind < mix.flowing + mix.paused
    last = len(now) - 1.0
    if flows:
        last = span.down - 1 + float(rng.uniform(0, 0.5)) * (span.end - span.down)
    elif pauses:
        last = float(rng.uniform(span.end, max(span.end, last)))
    where = np.arange(first, max(last, first + step), step)
    where = _held(where, span, mix, reel.rate_hz, rng)
    _add_where(reel, now, where, number, blended_from)
    if not joins:
        return 0.0, None
    assert after is not None
    assert after.span is not None
    if flows:
        return _flow(reel, now, after, float(where[-1]), step, number, mix, rng)
    if pauses:
        _pause(reel, now, mix, rng)
        return float(rng.uniform(0, after.span.start)), _latest(reel) if same else None
    return 0.0, None


def _add_where(reel: _Reel, clip: Material, where: np.ndarray, number: int, blended_from=None) -> None:
    """The frames of ``clip`` at ``where``; the first fifth of a second of them comes from another pose."""
    assert clip.span is not None
    xy, present = interpolated(clip.xy_TJC, clip.present_TJ, np.clip(where, 0, len(clip) - 1))
    sign = np.where((where >= clip.span.start) & (where < clip.span.end), number, NO_SIGN)
    if blended_from is not None:
        n = min(len(where), max(2, round(0.2 * reel.rate_hz)))
        n = max(1, min(n, int((sign == NO_SIGN).argmin()) or n))
        xy[:n], present[:n] = _blend(*_still(blended_from, n), xy[:n], present[:n])
    reel.add(xy, present, sign)


def _latest(reel: _Reel) -> tuple[np.ndarray, np.ndarray]:
    xy, present, _ = reel.parts[-1]
    return xy[-1], present[-1]


def _held(where: np.ndarray, span: SignSpan, mix: Mix, rate_hz: float, rng) -> np.ndarray:
    """``where`` with one moment of the sign's middle repeated, by chance."""
    middle = np.flatnonzero((where >= span.up) & (where < span.down))
    if rng.random() >= mix.hold or not len(middle):
        return where
    at = int(rng.choice(middle))
    n = round(float(rng.uniform(0.2, 1.0)) * rate_hz)
    return np.concatenate([where[:at], np.repeat(where[at], n), where[at:]])


def _flow(reel: _Reel, now: Material, after: Material, last: float, step: float, number: int, mix: Mix, rng):
    """Blend the way down of ``now`` with the way up of ``after``: half of it is the one's, half the other's."""
    assert after.span is not None
    n = max(2, round(float(rng.uniform(*mix.blend_s)) * reel.rate_hz))
    entered = after.span.up - float(rng.uniform(0, 0.5)) * (after.span.up - after.span.start)
    other = after.fps / now.fps * step
    down = np.minimum(last + step * np.arange(1, n + 1), len(now) - 1)
    up = np.maximum(entered - other * np.arange(n, 0, -1), 0)
    xy, present = _blend(
        *interpolated(now.xy_TJC, now.present_TJ, down), *interpolated(after.xy_TJC, after.present_TJ, up)
    )
    reel.add(xy, present, np.where(np.arange(n) < n / 2, number, number + 1))
    return entered, None


def _still(pose: tuple[np.ndarray, np.ndarray], n: int) -> tuple[np.ndarray, np.ndarray]:
    """One pose, ``n`` times."""
    return np.repeat(pose[0][None], n, 0), np.repeat(pose[1][None], n, 0)


def _blend(xy_a, present_a, xy_b, present_b) -> tuple[np.ndarray, np.ndarray]:
    """From one movement into another, softly; a joint that one of them lacks is the nearer one's."""
    u = (np.arange(len(xy_a)) + 1) / (len(xy_a) + 1)
    w = (u * u * u * (10 - 15 * u + 6 * u * u))[:, None]
    nearer = w < 0.5
    mixed = xy_a * (1 - w[..., None]) + xy_b * w[..., None]
    xy = np.where((present_a & present_b)[..., None], mixed, np.where(nearer[..., None], xy_a, xy_b))
    present = np.where(nearer, present_a, present_b)
    return np.where(present[..., None], xy, 0).astype(np.float32), present


def _pause(reel: _Reel, clip: Material, mix: Mix, rng) -> None:
    """Another rest: frames of the clip's own, forth and back, in which hands may move and say nothing."""
    xy, present = rest(clip, round(float(rng.uniform(*mix.pause_s)) * reel.rate_hz), rng, _latest(reel))
    if rng.random() < mix.idle:
        extra = round(float(rng.uniform(0.5, 3.0)) * reel.rate_hz)
        more = rest(clip, len(xy) + extra, rng, _latest(reel))
        xy, present = move_idly(*more, reel.rate_hz, clip.unit_px, rng, (clip.xy_TJC, clip.present_TJ))
    reel.add(xy, present, np.full(len(xy), NO_SIGN))


def rest(clip: Material, n: int, rng, before=None) -> tuple[np.ndarray, np.ndarray]:
    """``n`` frames of ``clip``'s rest, before its sign or after it, forth and back as long as wanted."""
    assert clip.span is not None
    n = max(n, 2)
    parts = [p for p in ((0, clip.span.start), (clip.span.end, len(clip))) if p[1] - p[0] >= 2]
    first, end = parts[int(rng.integers(len(parts)))] if parts else (0, 1)
    length = end - 1 - first
    where = np.full(n, float(first))
    if length:
        turn = (float(rng.uniform(0, 2 * length)) + float(rng.uniform(0.3, 1.0)) * np.arange(n)) % (2 * length)
        where = first + np.minimum(turn, 2 * length - turn)
    xy, present = interpolated(clip.xy_TJC, clip.present_TJ, where)
    if before is not None:
        m = min(n, 5)
        xy[:m], present[:m] = _blend(*_still(before, m), xy[:m], present[:m])
    return xy, present


def resting_at(clip: Material, place_SC: np.ndarray, seen: bool) -> Material:
    """``clip`` as if its signer rested each hand at ``place_SC``, in shoulder widths from between the shoulders: x
    outwards, y down. The sign stays where it is, and the way there and back changes.

    With ``seen`` a hand is found at rest as well, in the shape that it has nearest in time.
    """
    if clip.span is None:
        return clip
    xy, present = clip.xy_TJC.copy(), clip.present_TJ.copy()
    middle_TC = xy[:, [INDEX["left_shoulder"], INDEX["right_shoulder"]]].mean(1)
    outside_T = np.ones(len(clip), bool)
    outside_T[clip.span.start : clip.span.end] = False
    for side, place_C in zip(HAND_SIDES, place_SC):
        part, wrist, elbow = PARTS[f"{side}_hand"], INDEX[f"{side}_wrist"], INDEX[f"{side}_elbow"]
        found_T = present[:, part].any(1)
        home_TC = np.where(found_T[:, None], xy[:, part.start], xy[:, wrist])
        known_T = found_T | present[:, wrist]
        at_rest_T = known_T & outside_T
        if not at_rest_T.any():
            continue
        rest_C = np.median(home_TC[at_rest_T], 0)
        far_T = np.where(known_T, np.linalg.norm(home_TC - rest_C, axis=-1) / clip.unit_px, 0)
        u_T = np.clip(far_T / max(0.3, 0.6 * float(far_T.max())), 0, 1)
        low_T = 1 - u_T * u_T * (3 - 2 * u_T)
        outwards = np.sign(xy[:, INDEX[f"{side}_shoulder"], 0] - middle_TC[:, 0])[:, None]
        target_TC = middle_TC + clip.unit_px * place_C * np.concatenate([outwards, np.ones_like(outwards)], 1)
        away_TC = (low_T[:, None] * (target_TC - rest_C)).astype(np.float32)
        xy[:, part] += away_TC[:, None]
        xy[:, wrist] += away_TC
        xy[:, elbow] += away_TC / 2
        rows = np.flatnonzero(found_T)
        if seen and len(rows):
            missing = np.flatnonzero(known_T & ~found_T)
            nearest = rows[np.abs(missing[:, None] - rows).argmin(1)]
            shape = xy[nearest, part] - xy[nearest, part.start][:, None]
            xy[missing, part] = (home_TC + away_TC)[missing, None] + shape
            present[missing, part] = True
    return replace(clip, xy_TJC=np.where(present[..., None], xy, 0).astype(np.float32), present_TJ=present)


def _add_recording(reel: _Reel, clip: Material, rate_hz: float, rng, least_frames: int | None) -> None:
    """A recording, or as much from somewhere in it as is still wanted."""
    where = np.arange(0, len(clip) - 1, clip.fps / rate_hz)
    if least_frames is not None and len(where) > (wanted := max(2, least_frames - reel.n)):
        begin = int(rng.integers(len(where) - wanted + 1))
        where = where[begin : begin + wanted]
    xy, present = interpolated(clip.xy_TJC, clip.present_TJ, where)
    sign = np.full(len(where), NO_SIGN)
    for start_s, end_s, label in clip.signs:
        within = (where >= start_s * clip.fps) & (where < end_s * clip.fps)
        if within.any():
            sign[within] = len(reel.signs)
            reel.signs.append((clip.id, label))
    reel.add(xy, present, sign)
