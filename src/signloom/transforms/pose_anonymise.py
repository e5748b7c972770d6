"""A signer's movement without the signer: a standard body that makes the same signs, at a standard place and tempo.

Poses give people away by build, by where they sit and hold their hands, by tempo, by the shape of their face and by
what an estimator finds of them. So little of a pose is kept: where the hands go between their resting place and the
landmarks of head and body, how the fingers bend, how the head moves, and five figures of the face. All else is the
same for everybody. What is kept may be shaken (``strength``): one draw a clip, so that a movement stays one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from signloom.data.skeleton import FACE_JOINTS, INDEX, MIRROR, PARENT, PARTS, Joints, body_frame
from signloom.errors import InputError
from signloom.transforms.pose_input import left_is_busier

SIDES = ("left", "right")
SIDEWAYS = {"left": 1.0, "right": -1.0}
_FACE = PARTS["face"]
_RESTING = (0.2, 0.7)  # shoulder widths from its resting place: a hand there is at rest, one beyond is at work
_AT_WORK = 0.3
_HEAD_REACH = 0.3  # shoulder widths that a head moves to a side, at most
_STRETCH = (0.4, 2.5)  # no bone of a hand is changed more
_EXPRESSED = 1.5  # no figure of the face is beyond
_FIGURES = 16  # of a face, at most


@dataclass(frozen=True)
class StandardBody:
    """Who everybody becomes, in shoulder widths from between the shoulders, x to the signer's left, y down.

    ``joints`` places of body joints by name; ``rest`` where the left wrist rests; ``bones_21`` the lengths of a hand's
    bones, each at the joint it ends in; ``face_P2`` the face's points about the nose; ``face_joints`` which of them are
    the joints of :data:`signloom.data.skeleton.FACE_JOINTS`; ``expressions_EP2`` how each figure of the face moves
    them.
    """

    joints: Mapping[str, tuple[float, float]]
    rest: tuple[float, float]
    bones_21: np.ndarray
    face_P2: np.ndarray
    face_joints: tuple[int, ...]
    expressions_EP2: np.ndarray


@dataclass(frozen=True)
class PoseAnonymiser:
    """What is kept of a pose, and how much that is shaken.

    ``length_s`` is how long every clip becomes (None: as long as it is; its tempo stays then), at ``rate_hz``;
    ``even`` is how far speed is evened, from 0 (as signed) to 1 (constant). ``smooth_s`` is the standard deviation of
    the smoothing in time. ``face`` and ``head`` scale their movement; 0 takes it out. ``strength`` scales what is drawn
    once for a clip: places of hands, in shoulder widths, their size, how hands are turned, in radians, and how far the
    head and each figure of the face go.
    """

    length_s: float | None = 2.0
    rate_hz: float = 25.0
    even: float = 0.5
    smooth_s: float = 0.08
    face: float = 1.0
    head: float = 1.0
    strength: float = 0.6
    version: ClassVar[int] = 1

    def __post_init__(self):
        limits = {"even": (0, 1), "smooth_s": (0, 1), "face": (0, 2), "head": (0, 2), "strength": (0, 2)}
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise InputError(f"PoseAnonymiser.{name}: got {getattr(self, name)}, expected {low} to {high}")
        if self.length_s is not None and not 0.2 <= self.length_s <= 600:
            raise InputError(f"PoseAnonymiser.length_s: got {self.length_s}, expected .2 to 600 seconds, or None")
        if not 5 <= self.rate_hz <= 120:
            raise InputError(f"PoseAnonymiser.rate_hz: got {self.rate_hz}, expected 5 to 120")

    def as_dict(self) -> dict[str, Any]:
        """What shapes the outcome, in plain values; what is drawn follows from a seed that stands nowhere."""
        return {**asdict(self), "version": self.version}


@dataclass(frozen=True)
class StandardPose:
    """``xy_TJC`` float32 (T, 82, 2) and ``present_TJ`` as :class:`signloom.data.skeleton.Joints` has them, in shoulder
    widths from between the shoulders; ``face_TP2`` the face's finer points, ``expressions_TE`` its figures."""

    xy_TJC: np.ndarray
    present_TJ: np.ndarray
    face_TP2: np.ndarray
    expressions_TE: np.ndarray
    fps: float


def anonymise_joints(
    joints: Joints, body: StandardBody, how: PoseAnonymiser = PoseAnonymiser(), rng: np.random.Generator | None = None
) -> StandardPose:
    """The signs of ``joints`` as ``body`` makes them, with the busier hand on the right.

    Everything drawn comes from ``rng``. A part that was never found is absent; hands at rest are absent too, found or
    not. Raises InputError for no frames, or where nothing tells where the signer is.
    """
    if not len(joints):
        raise InputError("the pose has no frame")
    xy, present = body_frame(joints)
    if not present.any():
        raise InputError("no person was found in the pose, or too little of one to tell where the body is")
    if left_is_busier(xy, present):
        xy, present = (xy * np.array([-1, 1], np.float32))[:, MIRROR], present[:, MIRROR]
    drawn = _Drawn(how.strength, rng if rng is not None else np.random.default_rng(0))
    clip = _Clip(xy.astype(np.float64), present, joints.fps, body, how)
    at = clip.moments()
    n = len(at)
    out = np.zeros((n, len(INDEX), 2))
    here = np.zeros((n, len(INDEX)), bool)
    for name, place in body.joints.items():
        out[:, INDEX[name]], here[:, INDEX[name]] = place, True
    moved = _at(clip.head, at) * how.head * drawn.head
    nose = np.array(body.joints["nose"])
    for name in ("nose", "left_eye", "right_eye", "left_ear", "right_ear"):
        out[:, INDEX[name]] += moved
    nearest = np.clip(np.floor(at + 0.5).astype(int), 0, len(xy) - 1)
    for side in SIDES:
        wrist = drawn.place(_at(clip.wrists[side], at), side)
        shoulder = np.array(body.joints[f"{side}_shoulder"])
        out[:, INDEX[f"{side}_wrist"]] = wrist
        out[:, INDEX[f"{side}_elbow"]] = _elbow(shoulder, wrist, SIDEWAYS[side])
        part = PARTS[f"{side}_hand"]
        out[:, part] = wrist[:, None] + drawn.hand(_at(clip.hands[side], at))
        here[:, part] = clip.shown[side][nearest][:, None]
    figures = _at(clip.expressions, at) * how.face * drawn.figures[: len(body.expressions_EP2)]
    face = nose + moved[:, None] + body.face_P2 + np.einsum("te,epc->tpc", figures, body.expressions_EP2)
    if clip.has_face:
        out[:, _FACE], here[:, _FACE] = face[:, list(body.face_joints)], True
    else:
        face = face[:, :0]
    fps = how.rate_hz if how.length_s is not None else joints.fps
    xy_TJC = np.where(here[..., None], out, 0).astype(np.float32)
    return StandardPose(xy_TJC, here, face.astype(np.float32), figures, fps)


class _Drawn:
    """What is drawn once for a clip."""

    def __init__(self, strength: float, rng: np.random.Generator):
        self.spread = np.exp(rng.normal(0, strength, 2))
        self.shift = rng.normal(0, strength / 2, 2)
        self.own = {side: rng.normal(0, strength / 2, 2) for side in SIDES}
        turn = rng.normal(0, strength)
        self.turn = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        self.size = float(np.exp(rng.normal(0, strength / 2)))
        self.head = float(np.exp(rng.normal(0, 2 * strength)))
        self.figures = np.exp(rng.normal(0, 2 * strength, _FIGURES))

    def place(self, wrist_TC: np.ndarray, side: str) -> np.ndarray:
        """The wrist elsewhere, the more the higher it is: hands at rest stay where everybody's are."""
        raised = np.clip(1 - wrist_TC[:, 1:] / 1.3, 0, 1)
        shift = self.shift * np.array([-SIDEWAYS[side], 1]) + self.own[side]
        return wrist_TC * (1 + (self.spread - 1) * raised) + raised * shift

    def hand(self, about_TPC: np.ndarray) -> np.ndarray:
        return about_TPC @ self.turn * self.size


class _Clip:
    """What is kept of one clip, frame by frame."""

    def __init__(self, xy: np.ndarray, present: np.ndarray, fps: float, body: StandardBody, how: PoseAnonymiser):
        self.n, self.fps, self.body, self.how = len(xy), fps, body, how
        self._sigma = how.smooth_s * fps
        nose, seen = xy[:, INDEX["nose"]], present[:, INDEX["nose"]]
        self._nose = np.median(nose[seen], 0) if seen.any() else np.array(body.joints["nose"])
        hips = [INDEX["left_hip"], INDEX["right_hip"]]
        both = present[:, hips].all(1)
        self._hip_y = max(float(np.median(xy[both][:, hips, 1])) if both.any() else _hip_of(body), 0.5)
        filled = _filled(nose, seen)
        head = self._smooth(filled - np.median(filled, 0))
        # A soft limit: how far a head goes at most is a habit too.
        self.head = _HEAD_REACH * np.tanh(head / _HEAD_REACH)
        self.wrists: dict[str, np.ndarray] = {}
        self.hands: dict[str, np.ndarray] = {}
        self.shown: dict[str, np.ndarray] = {}
        self.active: dict[str, np.ndarray] = {}
        for side in SIDES:
            self._hand(xy, present, side)
        self._face(xy, present)

    def _smooth(self, values: np.ndarray) -> np.ndarray:
        from scipy.ndimage import gaussian_filter1d

        return gaussian_filter1d(values, self._sigma, axis=0, mode="nearest") if self._sigma > 0.2 else values

    def _to_standard(self, places_TC: np.ndarray) -> np.ndarray:
        """Places on and about this body as places on the standard one: nose, shoulders and hips come to lie on its."""
        nose, theirs = min(self._nose[1], -0.2), self.body.joints["nose"][1]
        up = np.interp(
            places_TC[:, 1],
            [2 * nose, nose, 0, self._hip_y, 2 * self._hip_y],
            [2 * theirs, theirs, 0, _hip_of(self.body), 2 * _hip_of(self.body)],
        )
        aside = self._nose[0] * np.clip(places_TC[:, 1] / nose, 0, 1)
        return np.stack([places_TC[:, 0] - aside, up], 1)

    def _hand(self, xy: np.ndarray, present: np.ndarray, side: str) -> None:
        part, wrist = PARTS[f"{side}_hand"], INDEX[f"{side}_wrist"]
        found = present[:, part.start]
        place = np.where(found[:, None], xy[:, part.start], xy[:, wrist])
        known = found | present[:, wrist]
        standard = np.array([SIDEWAYS[side] * self.body.rest[0], self.body.rest[1]])
        if not known.any():
            place = np.tile(standard, (self.n, 1))
        else:
            place = self._smooth(self._to_standard(_filled(place, known)))
        ends = max(1, round(0.12 * self.n))
        own = np.median(np.concatenate([place[:ends], place[-ends:]]), 0)
        if own[1] < 0.3:  # a clip that begins and ends with raised hands tells of no resting place
            own = standard
        away = np.linalg.norm(place - own, axis=1)
        active = _ramp(away, *_RESTING) if known.any() else np.zeros(self.n)
        self.wrists[side] = standard + active[:, None] * (place - standard)
        self.active[side] = active
        about = _filled(xy[:, part] - xy[:, part.start : part.start + 1], found)
        self.hands[side] = self._smooth(self._as_built(about, found, part.start))
        self.shown[side] = (active > _AT_WORK) & found.any()

    def _as_built(self, about_TPC: np.ndarray, found_T: np.ndarray, start: int) -> np.ndarray:
        """A hand's joints with bones as long as the standard hand's; a bone is as long as it looks at its longest."""
        built = np.zeros_like(about_TPC)
        if not found_T.any():
            return built
        for k in range(1, 21):
            above = int(PARENT[start + k]) - start
            bone = about_TPC[:, k] - about_TPC[:, above]
            own = float(np.percentile(np.linalg.norm(bone[found_T], axis=1), 90))
            built[:, k] = built[:, above] + bone * np.clip(self.body.bones_21[k] / max(own, 1e-3), *_STRETCH)
        return built

    def _face(self, xy: np.ndarray, present: np.ndarray) -> None:
        """The face's figures: by least squares, of how it differs from itself in the middle of the clip."""
        body, seen = self.body, present[:, _FACE].all(1) & present[:, INDEX["nose"]]
        self.has_face = bool(seen.any())
        self.expressions = np.zeros((self.n, len(body.expressions_EP2)))
        if not self.has_face:
            return
        about = _filled(xy[:, _FACE] - xy[:, INDEX["nose"]][:, None], seen)
        about = self._smooth(about - about.mean(1, keepdims=True))
        usual = np.median(about, 0)
        right, left = FACE_JOINTS.index("face_right_eye_outer"), FACE_JOINTS.index("face_left_eye_outer")
        theirs = body.face_P2[list(body.face_joints)]
        own = float(np.linalg.norm(usual[left] - usual[right]))
        scale = float(np.linalg.norm(theirs[left] - theirs[right])) / max(own, 1e-3)
        self.expressions = figures_of((about - usual) * scale, body)

    def moments(self) -> np.ndarray:
        """At which frames, which may be fractions, the anonymised clip shows this one: evened in length and tempo."""
        how = self.how
        if how.length_s is None:
            return np.arange(self.n, dtype=float)
        total = max(2, round(how.length_s * how.rate_hz))
        work = np.flatnonzero(np.maximum(self.active["left"], self.active["right"]) > _AT_WORK)
        first, last = (work[0], work[-1]) if len(work) > 3 else (0, self.n - 1)
        before = max(1, round(0.15 * total))
        middle = max(2, total - 2 * before)
        speed = np.zeros(self.n)
        for wrist in self.wrists.values():
            speed[1:] += np.linalg.norm(np.diff(wrist, axis=0), axis=1)
        inside = (np.arange(self.n) > first) & (np.arange(self.n) <= last)
        path = np.cumsum(np.where(inside, speed, 0))
        time = np.cumsum(inside.astype(float))
        phase = (1 - how.even) * time / max(time[-1], 1e-9) + how.even * path / max(path[-1], 1e-9)
        phase = phase[first : last + 1] + 1e-9 * np.arange(last + 1 - first)
        signing = np.interp(np.linspace(0, 1, middle), phase / max(phase[-1], 1e-9), np.arange(first, last + 1))
        lead = 0.25 * self.fps
        begin = np.linspace(max(first - lead, 0), first, before + 1)[:-1]
        end = np.linspace(last, min(last + lead, self.n - 1), total - middle - before + 1)[1:]
        return np.concatenate([begin, signing, end])


def figures_of(moved_TPC: np.ndarray, body: StandardBody) -> np.ndarray:
    """The face's figures (T, E) by least squares, of how far its joints (T, 27, 2) are from where they usually are, at
    the size of ``body``; what moves the whole face does not count."""
    moved = (moved_TPC - moved_TPC.mean(1, keepdims=True)).reshape(len(moved_TPC), -1)
    basis = body.expressions_EP2[:, list(body.face_joints)]
    basis = (basis - basis.mean(1, keepdims=True)).reshape(len(basis), -1)
    # A little ridge: two figures that move the same points do not run away from each other.
    normal = basis @ basis.T
    normal += 0.05 * np.trace(normal) / len(basis) * np.eye(len(basis))
    return _EXPRESSED * np.tanh(np.linalg.solve(normal, basis @ moved.T).T / _EXPRESSED)


def _elbow(shoulder: np.ndarray, wrist_TC: np.ndarray, sideways: float) -> np.ndarray:
    """An elbow that follows from the wrist alone: below the line to it, the more the nearer the wrist is."""
    reach = 1.55  # of both bones, in shoulder widths
    arm = wrist_TC - shoulder
    slack = np.sqrt(np.clip(reach**2 - (arm**2).sum(1, keepdims=True), 0, None)) / 2
    return shoulder + 0.52 * arm + slack * np.array([0.35 * sideways, 0.8])


def _hip_of(body: StandardBody) -> float:
    return float(body.joints["left_hip"][1])


def _ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    share = np.clip((values - low) / (high - low), 0, 1)
    return share * share * (3 - 2 * share)


def _filled(values: np.ndarray, seen_T: np.ndarray) -> np.ndarray:
    """``values`` (T, …) where seen; elsewhere from the frames around; zero if never."""
    rows = np.flatnonzero(seen_T)
    if not len(rows):
        return np.zeros_like(values)
    flat, every = values.reshape(len(values), -1), np.arange(len(values))
    return np.stack([np.interp(every, rows, flat[rows, c]) for c in range(flat.shape[1])], 1).reshape(values.shape)


def _at(values: np.ndarray, at_T: np.ndarray) -> np.ndarray:
    """``values`` (T, …) at frames that may be fractions."""
    before = np.clip(np.floor(at_T).astype(int), 0, len(values) - 1)
    after = np.minimum(before + 1, len(values) - 1)
    share = (at_T - before).reshape(-1, *(1,) * (values.ndim - 1))
    return values[before] * (1 - share) + values[after] * share
