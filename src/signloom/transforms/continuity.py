"""What belongs together in a heap of frames: repeated frames, cuts between clips, and the order they were filmed in.

Frames are compared by features, rows of two kinds (of the photograph and of the stick figure drawn of it), each as the
mean absolute difference. A pair of frames is as far apart as the geometric mean of both: a cut shows in one where it
hides in the other. Nothing here opens a file.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_WINDOW = 128  # a frame's nearest relative is sought among so many before and behind it
_ROUGH = 1.5  # a step is rough that is so many times as far as either frame's nearest relative; at least
_SPREAD = 4.0  # … and so many times the usual spread, where footage is fast or thinned out
_SHORT = 12  # a run between rough steps of fewer frames may be out of order
_LONGEST_ZONE = 2000
_MOST_MISSING = 4  # over more missing frames nobody can tell whether a clip goes on
_SAME = 0.02  # grey levels: decoded twice, one picture differs by less
_REPEAT = 1 / 3


class Frames:
    """Features of frames, ``photo_ND`` and ``skeleton_NE`` uint8 (rows of grey levels), in the order of their names.

    ``number_N`` is what their names count: where some are missing, a longer step is no cut.
    """

    def __init__(self, photo_ND: np.ndarray, skeleton_NE: np.ndarray, number_N: Sequence[int] | None = None):
        self.photo = np.asarray(photo_ND, np.int16)
        self.skeleton = np.asarray(skeleton_NE, np.int16)
        gap = np.diff(number_N) if number_N is not None else np.ones(max(len(self) - 1, 0))
        self.gap = np.clip(gap / max(float(np.median(gap)), 1), 1, _MOST_MISSING) if len(gap) else gap

    def __len__(self) -> int:
        return len(self.photo)

    def apart(self, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How far frames ``a`` and ``b`` (numbers) are apart: in the photograph, and in the stick figure."""
        photo = np.abs(self.photo[a] - self.photo[b]).mean(1)
        return photo, np.abs(self.skeleton[a] - self.skeleton[b]).mean(1)

    def distance(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Both in one number."""
        photo, skeleton = self.apart(a, b)
        return np.sqrt(photo * skeleton)


def repeated(frames: Frames, order: np.ndarray) -> np.ndarray:
    """Which frames of ``order`` repeat the one before, bool: identical, or far nearer to it than motion around allows.

    The second kind is a frame that a player or re-encoding put in twice: the motion stops for one frame in both
    photograph and stick figure, and goes on at once.
    """
    photo, skeleton = frames.apart(order[:-1], order[1:])
    again = np.zeros(len(order), bool)
    again[1:] = (photo <= _SAME) & (skeleton <= _SAME)
    if len(order) > 3:
        around, drawn = (np.minimum(x[:-2], x[2:]) for x in (photo, skeleton))
        again[2:-1] |= (photo[1:-1] < _REPEAT * around) & (skeleton[1:-1] < drawn)
    return again


class _Steps:
    """Which steps from frame to frame are so long that no motion explains them.

    A step is rough by its length over that of the longer of both frames' shortest steps; whose, among the frames around
    it in the ``order`` given. How rough is too rough follows the usual spread, which is wide where footage is fast or
    thinned out.
    """

    def __init__(self, frames: Frames, order: np.ndarray):
        self.frames = frames
        step = frames.distance(order[:-1], order[1:])
        nearest = np.full(len(frames), np.inf)
        for away in range(1, min(_WINDOW, len(order) - 1) + 1):
            a, b = order[:-away], order[away:]
            d = frames.distance(a, b)
            nearest[a] = np.minimum(nearest[a], d)
            nearest[b] = np.minimum(nearest[b], d)
        # Where nearly nothing moves, noise makes some pairs of frames look nearer than time does.
        self._nearest = np.maximum(nearest, max(0.25 * float(np.median(step)) if len(step) else 0.0, 1e-6))
        rough = self._rough(order)
        usual = rough[rough < _ROUGH]
        spread = float(np.quantile(usual, 0.9)) - 1 if len(usual) else 0.0
        self._limit = max(_ROUGH, 1 + _SPREAD * spread)

    def _rough(self, path: np.ndarray) -> np.ndarray:
        a, b = path[:-1], path[1:]
        rough = self.frames.distance(a, b) / np.maximum(self._nearest[a], self._nearest[b])
        neighbours = np.flatnonzero(np.abs(a - b) == 1)
        rough[neighbours] /= self.frames.gap[np.minimum(a, b)[neighbours]]
        return rough

    def cut(self, path: np.ndarray) -> list[np.ndarray]:
        """``path`` in pieces without a rough step."""
        return np.split(path, np.flatnonzero(self._rough(path) > self._limit) + 1)


def clips_in_order(frames: Frames) -> tuple[list[list[int]], dict[int, int]]:
    """The clips in ``frames``, each a list of frame numbers in the order of time, and which of those the others repeat.

    Repeated frames are in no clip; the second answer has, for each of them, the frame that it repeats.

    The order given is kept where it is smooth. Frames in short runs between rough steps, and if need be the runs around
    them, are brought on the shortest path through their features, which is cut where it is rough. Which end of such a
    path is its start the pictures do not tell; the one that agrees better with the order given is taken.
    """
    repeats: dict[int, int] = {}

    def without_repeats(clip: np.ndarray) -> list[int]:
        kept: list[int] = []
        for number, again in zip(clip, repeated(frames, clip)):
            if again:
                repeats[int(number)] = kept[-1]
            else:
                kept.append(int(number))
        return kept

    everything = np.arange(len(frames))
    again = _repeated_in_order(frames, everything)
    for number in np.flatnonzero(again):
        repeats[int(number)] = int(np.flatnonzero(~again[:number])[-1])
    order = everything[~again]
    clips = sorted((without_repeats(clip) for clip in _mended(_Steps(frames, order), order)), key=min)
    # What repeats a frame that was itself found to repeat another, repeats that one.
    return clips, {n: repeats.get(of, of) for n, of in repeats.items()}


def _repeated_in_order(frames: Frames, order: np.ndarray) -> np.ndarray:
    """:func:`repeated` of frames that may be out of order, where two that belong together look alike among strangers.

    So a frame is only taken for a repeat where what lies around it goes on without it.
    """
    again = repeated(frames, order)
    rows, kept = np.flatnonzero(~again), order[~again]
    steps = _Steps(frames, kept)
    for row in np.flatnonzero(again):
        place = int(np.searchsorted(rows, row))
        identical = max(float(x[0]) for x in frames.apart(order[[row - 1]], order[[row]])) <= _SAME
        again[row] = identical or len(steps.cut(kept[place - 1 : place + 1])) == 1
    return again


def _mended(steps: _Steps, order: np.ndarray) -> list[np.ndarray]:
    """``order`` in smooth runs, each in the order of time."""
    runs = steps.cut(order)
    done: list[np.ndarray] = []
    k = 0
    while k < len(runs):
        j = k
        while j < len(runs) and len(runs[j]) < _SHORT:
            j += 1
        found = None
        if j > k:
            found = _sorted(steps, runs[k:j])
            if found is None:
                around = [*done[-1:], *runs[k : j + 1]]
                found = _sorted(steps, around, strict=True)
                if found is not None:
                    done, j = done[:-1], j + 1
        j = max(j, k + 1)
        done = _joined(steps, done, runs[k:j] if found is None else found)
        k = j
    return done


def _joined(steps: _Steps, before: list[np.ndarray], after: list[np.ndarray]) -> list[np.ndarray]:
    """``before`` and ``after``; the last run of one or the first of the other is joined to what goes on with it."""
    for i in reversed(range(len(before))):
        for j in range(len(after)):
            if (i == len(before) - 1 or j == 0) and len(steps.cut(np.array([before[i][-1], after[j][0]]))) == 1:
                one = np.concatenate([before[i], after[j]])
                return [*before[:i], *before[i + 1 :], *after[:j], *after[j + 1 :], one]
    return [*before, *after]


def _sorted(steps: _Steps, runs: Sequence[np.ndarray], strict: bool = False) -> list[np.ndarray] | None:
    """``runs`` on one shortest path, cut where it is rough; None where more than half of the rough steps are left.

    ``strict``: None also where one of the short runs finds no company; then it is a short clip between two others, and
    what lies around it must not be joined across it.
    """
    zone = np.concatenate(runs)
    if len(runs) < 2 or not 3 <= len(zone) <= _LONGEST_ZONE:
        return None
    distance = np.stack([steps.frames.distance(np.full(len(zone), z), zone) for z in zone])
    parts = steps.cut(zone[shortest_path(distance)])
    if len(parts) - 1 > (len(runs) - 1) / 2:
        return None
    if strict:
        short = {frozenset(map(int, run)) for run in runs if len(run) < _SHORT}
        if any(frozenset(map(int, part)) in short for part in parts):
            return None
    forward = [part if _agrees(part) else part[::-1] for part in parts]
    return sorted(forward, key=lambda part: int(part.min()))


def _agrees(part: np.ndarray) -> bool:
    """Whether ``part`` goes rather up than down; small steps say more than leaps."""
    return float((1 / np.diff(part)).sum()) >= 0


def shortest_path(distance_NN: np.ndarray) -> list[int]:
    """A short path through all points (open ends), by greedy edges and 2-opt and or-opt moves on them. Deterministic.

    A step to the next number is a little shorter than others as far, so that what is in order stays.
    """
    n = len(distance_NN)
    if n < 3:
        return list(range(n))
    near = np.asarray(distance_NN, np.float64).copy()
    bonus = 0.25 * float(np.median(np.sort(near + np.diag(np.full(n, np.inf)), 1)[:, 0]))
    rows = np.arange(n - 1)
    near[rows, rows + 1] = near[rows + 1, rows] = np.maximum(near[rows, rows + 1] - bonus, 0)
    path = _greedy_path(near)
    # A point without length between both ends makes the path a round trip.
    tour = np.array([*path, n])
    cost = np.zeros((n + 1, n + 1))
    cost[:n, :n] = near
    while _improve(tour, cost):
        pass
    start = int(np.flatnonzero(tour == n)[0])
    tour = np.roll(tour, -start)[1:]
    return [int(x) for x in (tour if _agrees(tour) else tour[::-1])]


def _greedy_path(near: np.ndarray) -> list[int]:
    n = len(near)
    rows, columns = np.triu_indices(n, 1)
    links: list[list[int]] = [[] for _ in range(n)]
    group = list(range(n))

    def head(x: int) -> int:
        while group[x] != x:
            group[x] = group[group[x]]
            x = group[x]
        return x

    made = 0
    for k in np.argsort(near[rows, columns], kind="stable"):
        a, b = int(rows[k]), int(columns[k])
        if len(links[a]) < 2 and len(links[b]) < 2 and head(a) != head(b):
            links[a].append(b)
            links[b].append(a)
            group[head(a)] = head(b)
            made += 1
            if made == n - 1:
                break
    at = next(x for x in range(n) if len(links[x]) == 1)
    path, before = [at], -1
    while len(path) < n:
        step = next(x for x in links[at] if x != before)
        before, at = at, step
        path.append(at)
    return path


def _improve(tour: np.ndarray, cost: np.ndarray) -> bool:
    """The best 2-opt or or-opt move for each place of ``tour``, made in it; whether there was one."""
    n, better = len(tour), False
    for i in range(n - 1):
        # 2-opt: turn the stretch i+1 … j around.
        a, b = tour[i], tour[i + 1]
        c, d = tour[i + 1 :], np.roll(tour, -1)[i + 1 :]
        gain = cost[a, b] + cost[c, d] - cost[a, c] - cost[b, d]
        j = int(gain.argmax())
        if gain[j] > 1e-9:
            tour[i + 1 : i + 2 + j] = tour[i + 1 : i + 2 + j][::-1].copy()
            better = True
    for length in (1, 2, 3):
        for i in range(n - length):
            # or-opt: move a short stretch to between two others.
            stretch = np.roll(tour, -i)[:length]
            rest = np.roll(tour, -i)[length:]
            freed = cost[rest[-1], stretch[0]] + cost[stretch[-1], rest[0]] - cost[rest[-1], rest[0]]
            after = np.roll(rest, -1)
            ahead = cost[rest, stretch[0]] + cost[stretch[-1], after] - cost[rest, after]
            back = cost[rest, stretch[-1]] + cost[stretch[0], after] - cost[rest, after]
            k = int(np.minimum(ahead, back).argmin())
            if freed - min(ahead[k], back[k]) > 1e-9:
                piece = stretch if ahead[k] <= back[k] else stretch[::-1]
                tour[:] = np.concatenate([rest[: k + 1], piece, rest[k + 1 :]])
                better = True
    return better
