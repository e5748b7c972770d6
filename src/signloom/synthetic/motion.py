"""From a sign and a signer to 3-D motion: joints of body, hands and face over time, with the wobble of a real take."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from signloom.synthetic.body import EXPRESSIONS, Signer, bend_elbow, hand_joints, rotation, rotation_vector, unit
from signloom.synthetic.lexicon import HANDSHAPES, PLACES, Hand, Path, Sign, direction

RATE_HZ = 200.0
"""Motion is made at this rate and then sampled for video and sensors."""

RIGHT, LEFT = 0, 1
_WRIST_LIMIT_DEG = 62.0
_NECK_M = 0.188  # from between the shoulders to between the ears


@dataclass(frozen=True)
class Motion:
    """A signer's 3-D motion in metres (world frame of :mod:`signloom.synthetic.body`), N samples at ``rate_hz``.

    Sides are the signer's own: index 0 right, 1 left. ``shoulders``, ``elbows``, ``hips`` (N, 2, 3); ``hands``
    (N, 2, 21, 3), of which joint 0 is the wrist; ``palms`` (N, 2, 3) unit vectors out of the palm; ``chest``, ``head``
    (N, 3) points between shoulders and ears; ``head_turn`` (N, 3, 3) rotation; ``expression`` (N, 5), see EXPRESSIONS;
    ``raised`` (N, 2), how far each hand has left its rest, 0..1.
    """

    rate_hz: float
    chest: np.ndarray
    shoulders: np.ndarray
    elbows: np.ndarray
    hands: np.ndarray
    palms: np.ndarray
    hips: np.ndarray
    head: np.ndarray
    head_turn: np.ndarray
    expression: np.ndarray
    raised: np.ndarray

    def __len__(self) -> int:
        return len(self.chest)

    @property
    def duration_s(self) -> float:
        """From the first sample to the last."""
        return (len(self) - 1) / self.rate_hz

    def sampled(self, rate_hz: float) -> Motion:
        """The same motion at another rate, from time 0 on, interpolated linearly."""
        n = int(np.floor(self.duration_s * rate_hz + 1e-9)) + 1
        where = np.arange(n) / rate_hz * self.rate_hz
        before = np.minimum(where.astype(int), len(self) - 2)
        share = where - before
        values = {}
        for f in fields(self):
            if f.name != "rate_hz":
                a = getattr(self, f.name)
                w = share.reshape(-1, *[1] * (a.ndim - 1))
                values[f.name] = a[before] * (1 - w) + a[before + 1] * w
        return Motion(rate_hz, **values)

    def at(self, sample: int) -> Motion:
        """One sample as a motion of its own."""
        values = {f.name: getattr(self, f.name)[sample : sample + 1] for f in fields(self) if f.name != "rate_hz"}
        return Motion(self.rate_hz, **values)

    def mirrored(self) -> Motion:
        """The mirror image: x negated, left and right exchanged."""
        flip = np.array([-1.0, 1.0, 1.0])
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        for name in ("chest", "head"):
            values[name] = values[name] * flip
        for name in ("shoulders", "elbows", "hands", "palms", "hips"):
            values[name] = values[name][:, ::-1] * flip
        values["head_turn"] = flip[:, None] * values["head_turn"] * flip
        values["raised"] = values["raised"][:, ::-1]
        return Motion(**values)


def perform(sign: Sign, signer: Signer, rng: np.random.Generator) -> Motion:
    """One take of ``sign`` by ``signer``: from rest through the sign and back to rest, at RATE_HZ.

    ``rng`` draws what differs between takes: timing, place, size, hand angles, sway, blinks.
    """
    take = _Take(sign, signer, rng)
    motion = take.motion()
    return motion.mirrored() if signer.left_handed else motion


def _ramp(t: np.ndarray, start: float, end: float) -> np.ndarray:
    """A minimum-jerk rise from 0 at ``start`` to 1 at ``end`` (Flash & Hogan 1985)."""
    u = np.clip((t - start) / (end - start), 0, 1)
    return u * u * u * (10 - 15 * u + 6 * u * u)


def _smooth(x: np.ndarray, sigma_s: float) -> np.ndarray:
    """Gaussian smoothing along the first axis, ends held."""
    half = int(np.ceil(4 * sigma_s * RATE_HZ))
    kernel = np.exp(-0.5 * (np.arange(-half, half + 1) / (sigma_s * RATE_HZ)) ** 2)
    kernel /= kernel.sum()
    flat = x.reshape(len(x), -1)
    padded = np.concatenate([np.repeat(flat[:1], half, 0), flat, np.repeat(flat[-1:], half, 0)])
    out = np.stack([np.convolve(column, kernel, "valid") for column in padded.T], -1)
    return out.reshape(x.shape)


def _drift(rng: np.random.Generator, t: np.ndarray, channels: int, slowest_hz: float, fastest_hz: float) -> np.ndarray:
    """Slow band-limited wandering, about unit size: (N, channels)."""
    out = np.zeros((len(t), channels))
    for _ in range(3):
        hz = rng.uniform(slowest_hz, fastest_hz, channels)
        out += np.sin(2 * np.pi * (hz * t[:, None] + rng.uniform(0, 1, channels))) * rng.uniform(0.3, 0.8, channels)
    return out


_REST = {
    # wrist from between the shoulders (x and y scale with the body), fingers, palm
    "sides": ((-0.255, 0.500, -0.030), "down", "across"),
    "lap": ((-0.150, 0.435, -0.230), "across out down", "down in"),
    "belly": ((-0.115, 0.290, -0.215), "across down", "in"),
}


class _Take:
    """Everything is first made as a right-handed performance; the other hand is made as a right hand and reflected."""

    flip = np.array([-1.0, 1.0, 1.0])

    def __init__(self, sign: Sign, signer: Signer, rng: np.random.Generator):
        self.sign, self.signer, self.rng = sign, signer, rng
        speed = signer.speed * rng.uniform(0.92, 1.09)
        spans = np.array([0.16, 0.40, 0.07, sign.stroke_s, 0.09, 0.38, 0.13]) / speed
        spans *= rng.uniform(0.85, 1.15, len(spans))
        self.at = np.concatenate([[0], np.cumsum(spans)])
        self.t = np.arange(int(self.at[-1] * RATE_HZ) + 1) / RATE_HZ
        at, sigma = self.at, signer.smoothing_s
        self.lift = _smooth(_ramp(self.t, at[1], at[2]) - _ramp(self.t, at[5], at[6]), sigma)
        # The stroke: one even sweep for a line, a steadier pace for anything that repeats.
        u = np.clip((self.t - at[3]) / (at[4] - at[3]), 0, 1)
        self.sweep = _smooth(_ramp(self.t, at[3], at[4]), sigma)
        self.pace = _smooth(0.35 * _ramp(self.t, at[3], at[4]) + 0.65 * u, sigma)
        self.size = signer.amplitude * float(np.exp(rng.normal(0, 0.07)))

    # -- the parts

    def motion(self) -> Motion:
        rng, signer, t, n = self.rng, self.signer, self.t, len(self.t)
        k = signer.scale
        chest = _drift(rng, t, 3, 0.1, 0.5) * np.array([0.005, 0.001, 0.004]) * signer.sway
        chest[:, 1] += 0.0015 * np.sin(2 * np.pi * 0.25 * t + rng.uniform(0, 6))
        chest += self.lift[:, None] * np.array([-0.004, 0.0, -0.006]) * signer.sway
        turn = np.radians(_drift(rng, t, 3, 0.15, 0.7) * np.array([1.2, 2.0, 1.0]) * signer.head_motion)
        turn[:, 1] += np.radians(3.0) * self.lift * signer.head_motion  # looks a little towards the hand
        nod = np.sin(np.pi * np.clip(2.2 * self.pace, 0, 1)) if self.sign.nod_deg else 0.0
        turn[:, 0] -= np.radians(self.sign.nod_deg) * _smooth(np.asarray(nod) * self.lift, 0.04)
        head_turn = rotation(turn)
        head = chest + head_turn @ np.array([0.0, -_NECK_M * k, -0.015])
        spread = signer.shoulder_m / 2
        shoulders = np.stack([chest + np.array([-spread, 0.02, 0.0]), chest + np.array([spread, 0.02, 0.0])], 1)
        shoulders[:, RIGHT, 1] -= 0.014 * self.lift
        hips = np.tile(np.array([[-0.095, 0.50, 0.0], [0.095, 0.50, 0.0]]) * k, (n, 1, 1))
        hips += 0.2 * chest[:, None] * np.array([1.0, 0.0, 1.0])

        right = self._arm(self.sign.hand, chest, head, head_turn, shoulders[:, RIGHT], 0.0)
        other = None
        if self.sign.two_hands:
            shoulders[:, LEFT, 1] -= 0.014 * self.lift
            other = self.sign.other if self.sign.two_hands == "base" else self.sign.hand
        mirror = np.diag(self.flip)
        left = self._arm(
            other,
            chest * self.flip,
            head * self.flip,
            mirror @ head_turn @ mirror,
            shoulders[:, LEFT] * self.flip,
            0.5 if self.sign.two_hands == "alternate" else 0.0,
        )
        elbows, hands, palms = (np.stack([r, q * self.flip], 1) for r, q in zip(right, left))
        raised = np.stack([self.lift, self.lift if other else np.zeros(n)], 1)
        return Motion(
            RATE_HZ, chest, shoulders, elbows, hands, palms, hips, head, head_turn, self._expression(), raised
        )

    def _expression(self) -> np.ndarray:
        rng, t = self.rng, self.t
        e = np.zeros((len(t), len(EXPRESSIONS)))
        e[:, :4] = self.lift[:, None] * np.array(self.sign.expression) * rng.uniform(0.7, 1.1)
        e[:, :4] += 0.06 * np.abs(_drift(rng, t, 4, 0.2, 0.8))
        for start in rng.uniform(0.0, t[-1], int(rng.integers(0, 3))):
            e[:, 4] = np.maximum(e[:, 4], _ramp(t, start, start + 0.08) - _ramp(t, start + 0.12, start + 0.24))
        return np.clip(e, 0, 1)

    def _arm(self, hand: Hand | None, chest, head, head_turn, shoulder, phase: float):
        """One arm as a right arm: elbows (N, 3), hand joints (N, 21, 3), palms (N, 3)."""
        rng, signer, n = self.rng, self.signer, len(self.t)
        k = signer.scale
        where, fingers, palm = _REST[signer.rest]
        jitter = signer.jitter
        rest_frame = _frame(direction(fingers), direction(palm)) @ rotation(np.radians(rng.normal(0, 4, 3) * jitter))
        rest_wrist = chest + np.array(where) * k + rng.normal(0, 0.008, 3) * jitter
        rest_bends = HANDSHAPES["rest"] + rng.normal(0, 3, 20) * jitter
        slip = rng.normal(0, 1, (3, 3))  # place, orientation, spare: drawn for a resting hand too, to keep takes alike
        noise = rng.normal(0, 3.0, 20) * jitter
        wander = _drift(rng, self.t, 3, 0.6, 2.5) * 0.0012 * jitter
        if hand is None:
            frames = np.broadcast_to(rest_frame, (n, 3, 3))
            wrist, bends = rest_wrist + wander, np.broadcast_to(rest_bends, (n, 20))
        else:
            bends = self._bends(hand, phase) + noise
            frame = _frame(direction(hand.fingers), direction(hand.palm)) @ rotation(np.radians(5.0 * jitter * slip[1]))
            frames = frame @ self._turning(hand)
            anchor, offset = PLACES[hand.place]
            beside = np.array(offset) * (signer.head if anchor == "head" else k)
            place = head + (head_turn @ beside) if anchor == "head" else chest + beside
            place = place + 0.010 * jitter * slip[0] + self._path(hand.path, phase)
            touch = _contact(hand.contact, self._bends_at(hand, 0.0), signer.hand)
            wrist = place - frames @ touch
            # Blend with rest: positions along a bow in front of the body, orientations along the shortest turn.
            a = self.lift[:, None]
            wrist = rest_wrist * (1 - a) + wrist * a + (4 * a * (1 - a)) * np.array([-0.02, 0.0, -0.05])
            frames = rest_frame @ rotation(a * rotation_vector(rest_frame.T @ frames))
            early = np.clip(a * 1.35, 0, 1)  # the hand takes its shape before it arrives
            bends = rest_bends * (1 - early) + bends * early
            wrist = _smooth(wrist, signer.smoothing_s) + wander
            bends = _smooth(bends, 0.03)
        pole = np.broadcast_to(np.array([-0.25 - signer.elbow_out, 1.0, 0.35]), (n, 3))
        shape, wanted = hand_joints(bends, signer.hand), wrist
        for _ in range(4):
            elbow, wrist = bend_elbow(shoulder, wanted, signer.upper_arm_m, signer.forearm_m, pole)
            held = _within_reach(frames, unit(wrist - elbow))
            joints = wrist[:, None] + np.einsum("nij,nkj->nki", held, shape)
            push = _out_of_head(joints, head, head_turn, signer.head)
            if not push.any():
                break
            wanted = wanted + _smooth(push * 1.3, 0.045)
        return elbow, joints, held[:, :, 2]

    def _bends_at(self, hand: Hand, share: float) -> np.ndarray:
        end = HANDSHAPES[hand.shape_end or hand.shape]
        return HANDSHAPES[hand.shape] * (1 - share) + end * share

    def _bends(self, hand: Hand, phase: float) -> np.ndarray:
        share = self.sweep
        if hand.shape_repeats:
            share = 0.5 - 0.5 * np.cos(2 * np.pi * (hand.shape_repeats * self.pace + phase))
        start, end = HANDSHAPES[hand.shape], HANDSHAPES[hand.shape_end or hand.shape]
        bends = start + share[:, None] * (end - start)
        if hand.wiggle_deg:
            swing = 2 * np.pi * (3.0 * self.pace[:, None] + np.arange(4) * 0.22)
            knuckles = bends[:, [0, 3, 6, 9]]
            inside = np.sin(np.pi * np.clip(self.pace, 0, 1))[:, None] ** 0.5
            bends[:, [0, 3, 6, 9]] = knuckles + hand.wiggle_deg * (0.6 + np.sin(swing)) * inside
        return bends

    def _turning(self, hand: Hand) -> np.ndarray:
        """Rotations (N, 3, 3) in the hand's own frame (thumb side, fingers, palm)."""
        if hand.turn is None:
            return np.broadcast_to(np.eye(3), (len(self.t), 3, 3))
        axis = {"twist": (0, 1, 0), "nod": (1, 0, 0), "wave": (0, 0, 1)}[hand.turn.kind]
        swing = np.sin(2 * np.pi * hand.turn.repeats * self.pace) if hand.turn.repeats else self.sweep
        return rotation(np.radians(hand.turn.degrees * self.size) * swing[:, None] * np.array(axis, float))

    def _path(self, path: Path, phase: float) -> np.ndarray:
        by, bulge = np.array(path.by_m) * self.size, np.array(path.bulge_m) * self.size
        s, steady = self.sweep[:, None], self.pace[:, None]
        if path.kind == "hold":
            return np.zeros((len(s), 3))
        if path.kind == "line" and path.repeats == 1:
            return by * s
        if path.kind == "line":
            return by * (0.5 - 0.5 * np.cos(2 * np.pi * (path.repeats * steady + phase)))
        if path.kind == "arc":
            return by * s + bulge * 4 * s * (1 - s)
        if path.kind == "tap":
            return by * (0.5 + 0.5 * np.cos(2 * np.pi * (path.repeats * steady + phase)))
        if path.kind == "circle":
            angle = 2 * np.pi * (path.repeats * steady + phase)
            return by / 2 * np.cos(angle) + bulge / 2 * np.sin(angle)
        assert path.kind == "zigzag", path.kind
        return by * steady + bulge * np.arcsin(np.sin(2 * np.pi * path.repeats * steady)) * (2 / np.pi)


_HEAD_M = np.array([0.080, 0.115, 0.100])  # half axes of the room the head takes, a finger's thickness included


def _out_of_head(joints: np.ndarray, head: np.ndarray, head_turn: np.ndarray, scale: float) -> np.ndarray:
    """The way (N, 3) that a hand (N, 21, 3) must move to leave the head; 0 where it is outside."""
    local = np.einsum("nji,nkj->nki", head_turn, joints - head[:, None])
    depth = np.linalg.norm(local / (_HEAD_M * scale), axis=-1)
    deepest = depth.argmin(1)
    rows = np.arange(len(joints))
    inside = np.maximum(1 / np.maximum(depth[rows, deepest], 0.3) - 1, 0)
    way = local[rows, deepest] * inside[:, None]
    return np.einsum("nij,nj->ni", head_turn, way)


def _frame(fingers: np.ndarray, palm: np.ndarray) -> np.ndarray:
    """A right hand's rotation matrix: columns thumb side, fingers, palm; ``palm`` is made square to ``fingers``."""
    palm = unit(palm - fingers * (palm @ fingers))
    return np.stack([np.cross(fingers, palm), fingers, palm], -1)


def _contact(which: str, bends_deg: np.ndarray, scale: float) -> np.ndarray:
    joints = hand_joints(bends_deg, scale)
    if which == "palm":
        return joints[[5, 9, 13, 17, 0, 0]].mean(0)
    if which == "tips":
        return joints[[8, 12, 16, 20]][np.argmax(joints[[8, 12, 16, 20], 1])]
    if which == "thumb":
        return joints[4]
    assert which == "wrist", which
    return joints[0]


def _within_reach(frames: np.ndarray, forearm: np.ndarray) -> np.ndarray:
    """Turn hands back where the wrist would bend further than a wrist can."""
    fingers = frames[:, :, 1]
    cosine = np.clip((fingers * forearm).sum(-1), -1, 1)
    angle = np.arccos(cosine)
    limit = np.radians(_WRIST_LIMIT_DEG)
    # A soft limit: up to it nothing happens, beyond it the excess is taken back, without a kink in between.
    soft = np.radians(12.0)
    excess = soft * np.logaddexp(0, (angle - limit) / soft)
    axis = unit(np.cross(fingers, forearm))
    return rotation(axis * np.minimum(excess, angle)[:, None]) @ frames
