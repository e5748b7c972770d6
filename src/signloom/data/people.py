"""Several people in one pose: who is who from frame to frame, and which of them signs.

Estimators list the people of a frame in any order, so that place 0 is the signer here and a bystander there.
:func:`choose_person` follows everybody through the clip and takes one throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from signloom.data.pose_points import PosePoints, hand_points, picture_points
from signloom.errors import InputError, MediaError

if TYPE_CHECKING:
    from pose_format import Pose

CHOICES = ("auto", "largest", "left", "right")
_GATE = 0.75  # of their size: nobody goes farther from one frame to the next
_GATE_GROWS = 0.05  # … and so much farther with every frame in which they were not seen
_GATE_MOST = 1.5
_WITHOUT_HANDS = 0.25  # a body whose hands are never found counts so much of its size
_BRIEF = 0.05  # of the clip: who is seen for less is no rival
_DOUBLE = 0.05  # of their size: two findings whose points are no farther apart are one person
_DOUBT = 0.8  # the next best person signs as likely, from this share of the best one's score on


@dataclass(frozen=True)
class Person:
    """Somebody in a clip: ``place_T``, where the pose lists them in each frame, -1 where they are not seen.

    ``score`` is how large they are, how long, and whether hands are found; ``size`` their largest extent in pixels
    averaged over the clip, ``x`` where they stand.
    """

    place_T: np.ndarray
    score: float
    size: float
    x: float


@dataclass(frozen=True)
class Chosen:
    """The person taken: ``place_T`` as in :class:`Person`; ``people``, how many there are besides passers-by.

    ``order_changes`` counts the frames in which they are listed elsewhere than in the frame before. ``doubt`` is the
    question to ask where another would do nearly as well, else None.
    """

    place_T: np.ndarray
    people: int = 1
    order_changes: int = 0
    doubt: str | None = None

    def of(self, values_TNX: np.ndarray) -> np.ndarray:
        """The person's own of ``values_TNX`` (frames, people, …); whatever is there in frames without them."""
        if not self.place_T.any():
            return values_TNX[:, 0]
        return values_TNX[np.arange(len(self.place_T)), np.maximum(self.place_T, 0)]


def check_choice(person: str) -> str:
    """``person`` as it may be given: auto, largest, left, right, or a place in the list. Raises InputError."""
    if person in CHOICES or (person.isascii() and person.isdigit()):
        return person
    raise InputError(
        f"person: got {person!r}; wanted auto (the larger one whose hands are seen), largest, left or right (in the "
        "picture), or 0, 1 … (their place in every frame's list, whoever that is)"
    )


def choose_person(pose: Pose, points: PosePoints, person: str = "auto") -> Chosen:
    """Which of the people of each frame is the signer; ``points`` are those that were found, ``person`` as in
    :func:`check_choice`. Raises MediaError: ``no-such-person`` for a place that no frame has, ``no-signer`` where
    nobody has one."""
    n_frames, n_people = points.real_TNP.shape[:2]
    if not n_people:
        raise MediaError("a pose of no people", "no-signer")
    if check_choice(person).isdigit():
        if int(person) >= n_people:
            most = "one person" if n_people == 1 else f"{n_people} people"
            raise MediaError(f"person={person}: there is at most {most} in a frame, counted from 0", "no-such-person")
        return Chosen(np.full(n_frames, int(person)), n_people)
    if n_people == 1:
        return Chosen(np.zeros(n_frames, int))
    places = picture_points(pose)
    xy_TNPC = np.ma.getdata(pose.body.data)[:, :, places, :2]
    everybody = follow(xy_TNPC, points.real_TNP[:, :, places], hand_points(pose)[places])
    if not everybody:
        return Chosen(np.zeros(n_frames, int))
    by = {
        "auto": lambda p: p.score,
        "largest": lambda p: p.size,
        "left": lambda p: -p.x,
        "right": lambda p: p.x,
    }[person]
    longest = max((p.place_T >= 0).sum() for p in everybody)
    lasting = [p for p in everybody if (p.place_T >= 0).sum() >= _BRIEF * longest]
    best = max(lasting, key=by)
    return Chosen(best.place_T, len(lasting), _order_changes(best.place_T), _doubt(best, lasting, person))


def follow(xy_TNPC: np.ndarray, real_TNP: np.ndarray, hands_P: np.ndarray) -> list[Person]:
    """Everybody in a clip, each followed from frame to frame by place; who comes back where they went is the same.

    ``xy_TNPC`` (frames, people, points, x and y), ``real_TNP`` where a point was found, ``hands_P`` which points are of
    hands.
    """
    tracks: list[_Track] = []
    for t in range(len(xy_TNPC)):
        here = _once_each(xy_TNPC[t], real_TNP[t])
        for track, n in _linked(tracks, xy_TNPC[t], real_TNP[t], here, t):
            if track is None:
                tracks.append(track := _Track(len(xy_TNPC)))
            track.take(t, n, xy_TNPC[t, n], real_TNP[t, n])
    return [track.person(real_TNP, hands_P) for track in tracks]


def _once_each(xy_NPC: np.ndarray, real_NP: np.ndarray) -> list[int]:
    """Who is there in a frame; of one person who was found twice, the finding with more points."""
    here: list[int] = []
    for n in sorted(np.flatnonzero(real_NP.any(1)), key=lambda n: -int(real_NP[n].sum())):
        if not any(_is_double(xy_NPC[[m, n]], real_NP[m] & real_NP[n]) for m in here):
            here.append(int(n))
    return sorted(here)


def _is_double(xy_2PC: np.ndarray, both_P: np.ndarray) -> bool:
    if not both_P.any():
        return False
    apart = np.linalg.norm(xy_2PC[0, both_P] - xy_2PC[1, both_P], axis=-1)
    return float(np.median(apart)) < _DOUBLE * _extent(xy_2PC[0, both_P])


class _Track:
    """One person so far: where each point was last seen."""

    def __init__(self, n_frames: int):
        self.place_T = np.full(n_frames, -1)
        self.sizes: list[float] = []
        self.xs: list[float] = []
        self.last_t = -1

    def take(self, t: int, n: int, xy_PC: np.ndarray, real_P: np.ndarray) -> None:
        self.place_T[t] = n
        if self.last_t < 0:
            self.xy_PC, self.seen_P = xy_PC.astype(np.float64), real_P.copy()
        else:
            self.xy_PC = np.where(real_P[:, None], xy_PC, self.xy_PC)
            self.seen_P = self.seen_P | real_P
        self.last_t = t
        self.sizes.append(_extent(xy_PC[real_P]))
        self.xs.append(float(np.median(xy_PC[real_P, 0])))

    def apart(self, xy_PC: np.ndarray, real_P: np.ndarray) -> float:
        """How far off somebody is, as a share of the larger one's size: the median over the points both have."""
        both = self.seen_P & real_P
        if both.any():
            off = float(np.median(np.linalg.norm(self.xy_PC[both] - xy_PC[both], axis=-1)))
        else:
            off = float(np.linalg.norm(self.xy_PC[self.seen_P].mean(0) - xy_PC[real_P].mean(0)))
        return off / max(_extent(xy_PC[real_P]), float(np.median(self.sizes)), 1e-6)

    def person(self, real_TNP: np.ndarray, hands_P: np.ndarray) -> Person:
        rows = np.flatnonzero(self.place_T >= 0)
        with_hand = real_TNP[rows, self.place_T[rows]][:, hands_P].any(-1).mean()
        size = float(np.sum(self.sizes)) / len(self.place_T)
        score = size * (_WITHOUT_HANDS + (1 - _WITHOUT_HANDS) * float(with_hand))
        return Person(self.place_T, score, size, float(np.median(self.xs)))


def _linked(
    tracks: Sequence[_Track], xy_NPC: np.ndarray, real_NP: np.ndarray, here: Sequence[int], t: int
) -> list[tuple[_Track | None, int]]:
    """Which track each person of a frame goes on, None for a new one: the nearest, all taken together."""
    from scipy.optimize import linear_sum_assignment

    if not tracks or not here:
        return [(None, n) for n in here]
    cost = np.array([[track.apart(xy_NPC[n], real_NP[n]) for n in here] for track in tracks])
    gates = np.array([min(_GATE + _GATE_GROWS * (t - track.last_t - 1), _GATE_MOST) for track in tracks])[:, None]
    cost = np.where(cost <= gates, cost, 2 * _GATE_MOST)
    rows, columns = linear_sum_assignment(cost)
    of = {int(c): tracks[r] for r, c in zip(rows, columns) if cost[r, c] < 2 * _GATE_MOST}
    return [(of.get(k), n) for k, n in enumerate(here)]


def _extent(xy_PC: np.ndarray) -> float:
    return float(np.ptp(xy_PC, axis=0).max())


def _order_changes(place_T: np.ndarray) -> int:
    seen = place_T[place_T >= 0]
    return int((np.diff(seen) != 0).sum())


def _doubt(best: Person, everybody: Sequence[Person], person: str) -> str | None:
    others = [p for p in everybody if p is not best]
    if person != "auto" or not others:
        return None
    # Who is seen at other times only is the same signer after a cut, or nobody's rival in any frame.
    rivals = [p for p in others if ((p.place_T >= 0) & (best.place_T >= 0)).any()]
    close = [p for p in rivals if p.score >= _DOUBT * best.score]
    if not close:
        return None
    across = ", ".join(f"x {p.x:.0f} px, {p.size:.0f} px large" for p in [best, *close])
    return f"{1 + len(close)} people could be the signer ({across})"
