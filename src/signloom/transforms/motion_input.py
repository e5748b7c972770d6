"""What a segmenter sees of each frame of continuous footage, found from that frame and those before it alone."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from signloom.data.skeleton import HAND_SIDES, INDEX, PARTS
from signloom.errors import InputError

N_JOINTS = PARTS["right_hand"].stop
"""Body and hands: the face is not looked at."""
_SHOULDERS = [INDEX["left_shoulder"], INDEX["right_shoulder"]]
_WRISTS = [INDEX[f"{side}_wrist"] for side in HAND_SIDES]
_ROOTS = [INDEX[f"{side}_root"] for side in HAND_SIDES]
_TIPS = [[INDEX[f"{side}_{f}_4"] for f in ("thumb", "index", "middle", "ring", "little")] for side in HAND_SIDES]
_ELBOWS = [INDEX[f"{side}_elbow"] for side in HAND_SIDES]
_NOSE = INDEX["nose"]
_CENTRE_S, _WIDER_S, _NARROWER_S = 0.1, 0.3, 6.0
"""So long it takes to follow the shoulders, one who comes nearer, and one who turns or goes away, in seconds."""
_OLD_S = 0.5
"""A hand that was not seen for longer has no speed when it is seen again."""
_FASTEST = 12.0


@dataclass
class Carried:
    """What is known of the frames before: of one sequence, as the next frame of it is to be seen."""

    time_s: float | None = None
    centre_C: list[float] | None = None
    unit: float = 0.0
    known_s: np.ndarray = field(default_factory=lambda: np.full(2, -np.inf))
    place_SC: np.ndarray = field(default_factory=lambda: np.zeros((2, 2), np.float32))
    tips_SPC: np.ndarray = field(default_factory=lambda: np.zeros((2, 5, 2), np.float32))
    seen_S: np.ndarray = field(default_factory=lambda: np.zeros(2, bool))


@dataclass(frozen=True)
class MotionInput:
    """Hands, fingertips, elbows and head beside the shoulders, and how fast hands and fingers move, float32 (T, F).

    Places are in shoulder widths from between the shoulders, speeds per second, so that neither camera nor frame rate
    matters. What the network says at a frame is about the moment ``delay_s`` before.
    """

    delay_s: float = 0.1
    version: ClassVar[int] = 1
    n_features: ClassVar[int] = 2 * 19 + 2 * 2 + 2 + 2

    def __post_init__(self):
        if not 0 <= self.delay_s <= 1:
            raise InputError(f"MotionInput.delay_s: got {self.delay_s}, expected 0 to 1 second")

    def model_fields(self, streams: tuple[str, ...]) -> dict[str, Any]:
        """What a model's config has to know of this input."""
        return {"n_features": self.n_features}

    def features(
        self, times_T: np.ndarray, xy_TJC: np.ndarray, present_TJ: np.ndarray, carried: Carried | None = None
    ) -> tuple[np.ndarray, Carried]:
        """What is seen of frames at ``times_T`` seconds, of joints in pixels (T, J, 2), body and hands first.

        ``carried`` is what is known of the frames before them; it is changed and given back. Frames one by one give
        what they give all at once. Nothing of the face is used.
        """
        carried = carried or Carried()
        times_T = np.asarray(times_T, np.float64)
        n = len(times_T)
        first_s = times_T[0] - 0.04 if carried.time_s is None else carried.time_s
        step_T = np.maximum(np.diff(times_T, prepend=first_s), 1e-3)
        units_TJC, standing_T = _in_body_units(step_T, xy_TJC[:, :N_JOINTS], present_TJ, carried)
        present_TJ = present_TJ[:, :N_JOINTS] & standing_T[:, None]

        seen_TS, wrist_TS = present_TJ[:, _ROOTS], present_TJ[:, _WRISTS]
        known_TS = seen_TS | wrist_TS
        place_TSC = np.where(seen_TS[..., None], units_TJC[:, _ROOTS], units_TJC[:, _WRISTS])
        last_TSC, last_s_TS = _last_known(place_TSC, known_TS, times_T, carried)
        place_TSC = np.where(known_TS[..., None], place_TSC, last_TSC)
        since_TS = np.maximum(times_T[:, None] - last_s_TS, 1e-3)
        moves_TS = known_TS & (since_TS <= _OLD_S)
        velocity_TSC = np.where(moves_TS[..., None], (place_TSC - last_TSC) / since_TS[..., None], 0)
        velocity_TSC = np.clip(velocity_TSC, -_FASTEST, _FASTEST) / 3
        speed_TS = np.sqrt((velocity_TSC**2).sum(-1))

        tips_TSPC = units_TJC[:, _TIPS] - units_TJC[:, _ROOTS][:, :, None]
        there_TSP = seen_TS[..., None] & present_TJ[:, _TIPS]
        tips_TSPC = np.where(there_TSP[..., None], tips_TSPC, 0).astype(np.float32)
        before_TSPC = np.concatenate([carried.tips_SPC[None], tips_TSPC[:-1]])
        both_TS = seen_TS & np.concatenate([carried.seen_S[None], seen_TS[:-1]])
        shaping_TS = np.sqrt(((tips_TSPC - before_TSPC) ** 2).sum(-1)).mean(-1) / step_T[:, None]
        shaping_TS = np.where(both_TS, np.minimum(shaping_TS, _FASTEST), 0)

        age_TS = np.where(known_TS, 0, np.minimum(since_TS, 1.0))
        parts = [
            *(a[..., None] for a in (seen_TS, known_TS, age_TS, speed_TS, shaping_TS)),
            place_TSC,
            velocity_TSC,
            3 * tips_TSPC.reshape(n, 2, 10),
        ]
        of_hands = np.concatenate([np.asarray(p, np.float32) for p in parts], -1).reshape(n, -1)
        beside = [units_TJC[:, j] * present_TJ[:, j, None] for j in (*_ELBOWS, _NOSE)]
        clock = np.stack([standing_T, np.log(np.clip(step_T * 25, 0.2, 10))], -1)
        found = np.concatenate([of_hands, *beside, clock], -1).astype(np.float32)

        carried.time_s = float(times_T[-1])
        carried.tips_SPC, carried.seen_S = tips_TSPC[-1], seen_TS[-1]
        return found, carried


def _last_known(
    place_TSC: np.ndarray, known_TS: np.ndarray, times_T: np.ndarray, carried: Carried
) -> tuple[np.ndarray, np.ndarray]:
    """Where each hand was known to be before each frame, (T, S, 2), and when (T, S); ``carried`` learns the newest."""
    rows_TS = np.where(known_TS, np.arange(1, len(times_T) + 1)[:, None], 0)
    newest_TS = np.maximum.accumulate(np.concatenate([np.zeros((1, 2), int), rows_TS]), axis=0)
    places = np.concatenate([carried.place_SC[None], place_TSC])
    times = np.concatenate([carried.known_s[None], np.repeat(times_T[:, None], 2, 1)])
    sides = np.arange(2)
    carried.place_SC, carried.known_s = places[newest_TS[-1], sides], times[newest_TS[-1], sides]
    return places[newest_TS[:-1], sides], times[newest_TS[:-1], sides]


def _in_body_units(
    step_T: np.ndarray, xy_TJC: np.ndarray, present_TJ: np.ndarray, carried: Carried
) -> tuple[np.ndarray, np.ndarray]:
    """Joints beside the shoulders, in shoulder widths, and whether it is known where these are (T,)."""
    seen_T = present_TJ[:, _SHOULDERS].all(1)
    left_TC, right_TC = (xy_TJC[:, j].astype(np.float64) for j in _SHOULDERS)
    middle_TC = (left_TC + right_TC) / 2
    width_T = np.sqrt(((left_TC - right_TC) ** 2).sum(-1))
    followed = []
    centre, unit = carried.centre_C, carried.unit
    for seen, step, width, middle in zip(seen_T.tolist(), step_T.tolist(), width_T.tolist(), middle_TC.tolist()):
        if seen and width > 1e-6:
            if centre is None:
                centre, unit = middle, width
            share = 1 - math.exp(-step / _CENTRE_S)
            centre = [c + (m - c) * share for c, m in zip(centre, middle)]
            unit += (width - unit) * (1 - math.exp(-step / (_WIDER_S if width > unit else _NARROWER_S)))
        followed.append((*centre, unit, True) if centre is not None else (0.0, 0.0, 1.0, False))
    centre_TC, unit_T = np.array([row[:2] for row in followed]), np.array([row[2] for row in followed])
    standing_T = np.array([row[3] for row in followed])
    carried.centre_C, carried.unit = centre, unit
    units_TJC = (xy_TJC - centre_TC[:, None]) / unit_T[:, None, None]
    return np.where(present_TJ[:, :N_JOINTS, None], np.clip(units_TJC, -4, 4), 0).astype(np.float32), standing_T
