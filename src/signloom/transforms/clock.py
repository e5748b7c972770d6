"""Where a motion sensor's clock stands against the video's: offset and drift, from the motion that both of them saw.

Time on the clip's clock = offset_s + (1 + drift) · time on the sensor's own clock.

How a sensor is strapped on is not known, so only what turning it leaves alone is compared: the speed of the joint with
the magnitude of the angular rate, the magnitude of its acceleration with that of the felt acceleration once gravity is
filtered out, and its upward acceleration with the magnitude of what is felt, gravity included (to first order the two
differ by a constant). Each pair gives a normalised cross-correlation; their weighted mean is the score of a lag.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from signloom.data.signal import Channel, Signal, vectors
from signloom.errors import InputError

STATUSES = {
    "ok": "offset and drift were found",
    "still": "the sensor, or the joint that wears it, hardly moved: there is nothing to compare",
    "unclear": "no lag stands out: other movement, a periodic one, or a sensor of another clip",
    "too-short": "the two overlap for less than a second",
    "no-joint": "the joint that wears the sensor is hardly seen",
}

_RATE_HZ = 100.0  # of the common grid; lags between its points by a parabola
_SMOOTHING_S = 0.06  # Gaussian: a second derivative of an estimated joint is noise without it
_GRAVITY_S = 0.25  # Gaussian: what is slower counts as gravity
_PAIRS = (("speed", "turning", 1.0), ("acceleration", "shaking", 0.5), ("upward", "weight", 1.5))
"""What is compared of the joint and the sensor, and how much it counts; chosen on the odd subjects of UTD-MHAD."""
_STILL_DPS, _STILL_G = 12.0, 0.03  # root mean square; a hand at rest stays below both
_STILL_MPS = 0.06  # the same of a joint's speed, an estimator's noise included
_SHORTEST_S = 1.0
_GAP_S = 0.25  # a joint unseen for longer is not made up
_LEAST_SEEN = 0.5
_NEAR_S = 0.2  # the width of the score's own peak: what lies beyond competes with it
_MOST_WINDOWS = 64
_LOGIT = (-2.87, 1.79, 2.63, -4.37)
"""Fitted on the odd subjects of UTD-MHAD (`scripts/measure_sync fit`): right pairs with planted offsets against wrong
ones, two to one."""
_APART_ALONE_S = 0.1  # for a sensor with one quantity, whose peak nothing confirms
_FLOOR = 0.05  # of a feature's standard deviation: less is standing still, and correlates with nothing


@dataclass(frozen=True)
class Track:
    """The joint that wears the sensor: ``points_TC`` (T, 2) or (T, 3) in any unit of length, at ``fps``.

    ``present_T`` bool tells where it was seen. ``up`` is the direction away from the ground in the same axes; None for
    pictures, whose y points down. ``unit_m`` is about how many metres the unit is, where that is known: it tells a
    joint that stands still from one that moves.
    """

    points_TC: np.ndarray
    present_T: np.ndarray
    fps: float
    up: tuple[float, ...] | None = None
    unit_m: float | None = None

    def __post_init__(self):
        if self.points_TC.ndim != 2 or self.points_TC.shape[1] not in (2, 3):
            raise InputError(f"a joint's track needs points (T, 2) or (T, 3); got {self.points_TC.shape}")
        if self.present_T.shape != self.points_TC.shape[:1]:
            raise InputError(
                f"a track of {len(self.points_TC)} frames needs as many marks of presence; got {self.present_T.shape}"
            )
        if not (np.isfinite(self.fps) and self.fps > 0):
            raise InputError(f"a track needs its frames a second, above 0; got {self.fps}")


@dataclass(frozen=True)
class Search:
    """What is looked for. Offsets and drifts are sought around those already known.

    ``max_offset_s`` either way, at most half of what the shorter of the two covers; ``max_drift`` either way, where
    both cover ``drift_from_s``; ``sure`` is the confidence below which nothing is answered.
    """

    max_offset_s: float = 1.0
    max_drift: float = 0.02
    drift_from_s: float = 20.0
    window_s: float = 8.0
    sure: float = 0.5


@dataclass(frozen=True)
class ClockFit:
    """The answer for one clip. ``status`` is a key of STATUSES.

    ``offset_s`` and ``drift`` are what was found, or where it is refused what was known before. ``confidence`` from 0
    to 1 is how often such an answer is right to within a video frame, measured on UTD-MHAD where one pair in three was
    of two different clips. ``before`` and ``after`` are :func:`score_at` the clock known before and the one found.
    ``n`` counts the video frames that the two share at the clock found.
    """

    status: str
    offset_s: float
    drift: float
    confidence: float = 0.0
    before: float = 0.0
    after: float = 0.0
    n: int = 0


def fit_clock(
    track: Track, signal: Signal, *, offset_s: float = 0.0, drift: float = 0.0, search: Search = Search()
) -> ClockFit:
    """How ``signal``, whose times are of its own clock, lies on the clock of ``track``, whose first frame is at 0 s.

    ``offset_s`` and ``drift`` are what is known before. Of several sensors, the first of each quantity is read. Raises
    InputError for a signal with neither acceleration nor rotation along three axes.
    """
    known = ClockFit("unclear", offset_s, drift)
    values = _motion(signal)
    if not len(track.present_T) or track.present_T.mean() < _LEAST_SEEN:
        return replace(known, status="no-joint")
    video_s = len(track.points_TC) / track.fps
    span_s = min(video_s, signal.duration_s * (1 + drift))
    if span_s < _SHORTEST_S:
        return replace(known, status="too-short")
    if _still(values):
        return replace(known, status="still")
    seen = _seen(track)
    if track.unit_m is not None and np.sqrt(np.mean(seen.curves["speed"] ** 2)) * track.unit_m < _STILL_MPS:
        return replace(known, status="still")
    start_s = offset_s + (1 + drift) * signal.start_s
    felt = _felt(values, signal.rate_hz / (1 + drift), start_s)
    reach_s = min(search.max_offset_s, span_s / 2)
    found = (_line if span_s >= search.drift_from_s else _lag)(seen, felt, reach_s, search)
    # What was found comes on top of what was known: t' = lag + (1 + extra) · t.
    after_s = found.lag_s + (1 + found.drift) * offset_s
    after = (1 + found.drift) * (1 + drift) - 1
    before, score = (score_at(track, signal, offset_s=o, drift=d) for o, d in ((offset_s, drift), (after_s, after)))
    ends_s = after_s + (1 + after) * signal.times_s[[0, -1]]
    n = int(max(0, np.floor(min(ends_s[1], video_s) * track.fps) - np.ceil(max(ends_s[0], 0.0) * track.fps)))
    fit = replace(known, confidence=found.confidence, before=before, after=score, n=n)
    if found.confidence < search.sure:
        return fit
    return replace(fit, status="ok", offset_s=float(after_s), drift=float(after))


def stretch_of(
    pairs: Sequence[tuple[Track, Signal]], *, search: Search = Search(), seed: int = 0
) -> tuple[float, float, float] | None:
    """How much the sensors' time must be stretched to be that of the videos: factor, and its 95 % interval.

    One for all clips of a corpus, which are too short to tell alone: the factor from 1/2 to 2 at which the mean of the
    clips' best scores is largest. The interval is a bootstrap over clips. None where the gain over 1 may be chance, or
    fewer than 8 clips can be compared.
    """
    factors = 2.0 ** np.linspace(-1, 1, 33)
    rows = []
    for track, signal in pairs:
        values = _motion(signal)
        video_s = len(track.points_TC) / track.fps
        short = min(video_s, signal.duration_s) < 2 * _SHORTEST_S
        if short or track.present_T.mean() < _LEAST_SEEN or _still(values):
            continue
        seen = _seen(track)
        row = []
        for factor in factors:
            felt = _felt(values, signal.rate_hz / factor, factor * signal.start_s)
            reach_s = min(search.max_offset_s, video_s / 2, factor * signal.duration_s / 2)
            row.append(_correlation(seen, felt, reach_s)[1].max())
        rows.append(row)
    if len(rows) < 8:
        return None
    table = np.array(rows)
    rng = np.random.default_rng(seed)
    means = np.stack([table[rng.integers(0, len(table), len(table))].mean(0) for _ in range(1000)])
    at = np.array([np.exp2(_peak(m, np.log2(factors))[0]) for m in (table.mean(0), *means)])
    low, high = np.quantile(at[1:], [0.025, 0.975])
    gain = means.max(1) - means[:, len(factors) // 2]
    if low <= 1 <= high or np.quantile(gain, 0.025) < 0.02:
        return None
    return float(at[0]), float(low), float(high)


def score_at(track: Track, signal: Signal, *, offset_s: float = 0.0, drift: float = 0.0) -> float:
    """The score at one clock: a weighted mean of correlations over all that the two share, 0 for less than half."""
    felt = _felt(_motion(signal), signal.rate_hz / (1 + drift), offset_s + (1 + drift) * signal.start_s)
    return float(_correlation(_seen(track), felt, 0.0)[1][0])


def compared(
    track: Track, signal: Signal, *, offset_s: float = 0.0, drift: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Two curves to look at: times and speed of the joint (N,), times and angular rate of the sensor (M,) at that clock
    (where it has none, its acceleration without gravity); seconds on the clip's clock, in standard deviations."""
    seen = _seen(track)
    felt = _felt(_motion(signal), signal.rate_hz / (1 + drift), offset_s + (1 + drift) * signal.start_s)
    curves = (seen.curves["speed"], felt.curves.get("turning", felt.curves.get("shaking")))
    at_s = [f.start_s + np.arange(len(f.known)) / _RATE_HZ for f in (seen, felt)]
    speed, rate = ((c - c.mean()) / max(float(c.std()), 1e-12) for c in curves if c is not None)
    return at_s[0], np.where(seen.known > 0, speed, np.nan), at_s[1], rate


# --- what is compared ---------------------------------------------------------------------------------------------


def _motion(signal: Signal) -> dict[str, np.ndarray]:
    """The first acceleration and rotation along three axes, float64 (T, 3) each."""
    found: dict[str, np.ndarray] = {}
    for columns in vectors(signal.channels):
        quantity = Channel.parse(signal.channels[columns[0]]).quantity
        if quantity in ("acceleration", "rotation"):
            found.setdefault(quantity, signal.values_TC[:, list(columns)].astype(np.float64))
    if not found:
        raise InputError(
            "the signal has neither acceleration nor rotation along x, y and z, which synchronising needs; it has "
            f"{', '.join(signal.channels)}"
        )
    return found


def _still(values: dict[str, np.ndarray]) -> bool:
    """Whether everything that was measured stayed as at rest (apart from a constant bias)."""
    limits = {"rotation": _STILL_DPS, "acceleration": _STILL_G}
    return all(np.sqrt(v.var(0).sum()) < limits[q] for q, v in values.items())


@dataclass(frozen=True)
class _Features:
    """Curves on the common grid by name, each (N,); ``known`` (N,) float is 0 where they were not measured."""

    curves: dict[str, np.ndarray]
    known: np.ndarray
    start_s: float

    def part(self, rows: slice) -> _Features:
        first = rows.start or 0
        return _Features(
            {k: v[rows] for k, v in self.curves.items()}, self.known[rows], self.start_s + first / _RATE_HZ
        )


def _on_grid(values: np.ndarray, times_s: np.ndarray) -> np.ndarray:
    """Values (T, C) at ``times_s`` on the grid that starts with them, smoothed."""
    grid_s = times_s[0] + np.arange(int((times_s[-1] - times_s[0]) * _RATE_HZ) + 1) / _RATE_HZ
    return _smooth(np.stack([np.interp(grid_s, times_s, column) for column in values.T], 1), _SMOOTHING_S)


def _smooth(values: np.ndarray, sigma_s: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter1d

    return gaussian_filter1d(values, sigma_s * _RATE_HZ, axis=0, mode="nearest")


def _seen(track: Track) -> _Features:
    present = np.flatnonzero(track.present_T)
    times_s = np.arange(len(track.points_TC)) / track.fps
    points = np.stack([np.interp(times_s, times_s[present], c[present]) for c in track.points_TC.T.astype(float)], 1)
    places = _on_grid(points, times_s)
    velocity = np.gradient(places, 1 / _RATE_HZ, axis=0)
    acceleration = np.gradient(velocity, 1 / _RATE_HZ, axis=0)
    up = np.array(track.up if track.up is not None else (0.0, -1.0, 0.0)[: points.shape[1]])
    grid_s = np.arange(len(places)) / _RATE_HZ
    after = np.minimum(np.searchsorted(times_s[present], grid_s), len(present) - 1)
    away_s = np.minimum(abs(times_s[present][after] - grid_s), abs(grid_s - times_s[present][np.maximum(after - 1, 0)]))
    return _Features(
        {
            "speed": np.linalg.norm(velocity, axis=1),
            "acceleration": np.linalg.norm(acceleration, axis=1),
            "upward": acceleration @ up,
        },
        (away_s <= max(_GAP_S / 2, 1 / track.fps)).astype(float),
        0.0,
    )


def _felt(values: dict[str, np.ndarray], rate_hz: float, start_s: float) -> _Features:
    curves = {}
    n = len(next(iter(values.values())))
    times_s = np.arange(n) / rate_hz
    if "rotation" in values:
        curves["turning"] = np.linalg.norm(_on_grid(values["rotation"], times_s), axis=1)
    if "acceleration" in values:
        felt = _on_grid(values["acceleration"], times_s)
        curves["shaking"] = np.linalg.norm(felt - _smooth(felt, _GRAVITY_S), axis=1)
        curves["weight"] = np.linalg.norm(felt, axis=1)
    return _Features(curves, np.ones(len(next(iter(curves.values())))), start_s)


# --- lags ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Found:
    lag_s: float
    drift: float
    confidence: float


def _correlation(
    seen: _Features, felt: _Features, reach_s: float, scale: dict[str, float] | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Lags in seconds (L,) by which ``felt`` is later than its times say, the score of each, the scores of each pair
    (L, P), and the share of the shorter one that overlaps (L,).

    Means and variances are those of the overlap. A correlation counts by the root of the overlap's share, as its
    standard error does; with less than half it counts 0.
    """
    pairs = [(a, b, w) for a, b, w in _PAIRS if b in felt.curves]
    n, m = len(seen.known), len(felt.known)
    size = 1 << (n + m - 1).bit_length()
    ahead = round((felt.start_s - seen.start_s) * _RATE_HZ)
    rest_s = (felt.start_s - seen.start_s) - ahead / _RATE_HZ  # finer than the grid
    lags = np.arange(-round(reach_s * _RATE_HZ), round(reach_s * _RATE_HZ) + 1)

    def transformed(values: np.ndarray) -> np.ndarray:
        return np.fft.rfft(values, size)

    def sums(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        whole = np.fft.irfft(a * np.conj(b), size)
        at = lags + ahead
        return np.where((at > -m) & (at < n), whole[at % size], 0.0)

    seen_1, felt_1 = transformed(seen.known), transformed(felt.known)
    count = np.maximum(np.round(sums(seen_1, felt_1)), 0.0)
    share = count / max(1.0, min(seen.known.sum(), felt.known.sum()))
    count = np.maximum(count, 1.0)
    each = []
    for a, b, _ in pairs:
        u, su = _normal(seen.curves[a], seen.known, None if scale is None else scale[a])
        v, sv = _normal(felt.curves[b], felt.known, None if scale is None else scale[b])
        fu, fv = transformed(u), transformed(v)
        mean_u, mean_v = sums(fu, felt_1) / count, sums(seen_1, fv) / count
        var_u = sums(transformed(u * u), felt_1) / count - mean_u**2
        var_v = sums(seen_1, transformed(v * v)) / count - mean_v**2
        product = sums(fu, fv) / count - mean_u * mean_v
        each.append(product / np.sqrt(np.maximum(var_u, su) * np.maximum(var_v, sv)))
    weights = np.array([w for *_, w in pairs])
    scores = np.stack(each, 1) * np.where(share >= 0.5, np.sqrt(np.minimum(share, 1)), 0.0)[:, None]
    return lags / _RATE_HZ - rest_s, scores @ weights / weights.sum(), scores, share


def _normal(values: np.ndarray, known: np.ndarray, spread: float | None) -> tuple[np.ndarray, float]:
    """Values less their mean, 0 where unknown, over ``spread`` (their standard deviation); the least variance that
    counts as movement."""
    mean = (values * known).sum() / max(known.sum(), 1.0)
    centred = (values - mean) * known
    spread = spread if spread is not None else _spread(values, known)
    return (centred / spread, _FLOOR**2) if spread > 0 else (centred, 1.0)


def _spread(values: np.ndarray, known: np.ndarray) -> float:
    total = max(known.sum(), 1.0)
    mean = (values * known).sum() / total
    return float(np.sqrt((((values - mean) * known) ** 2).sum() / total))


def _peak(scores: np.ndarray, places: np.ndarray) -> tuple[float, float]:
    """Where an evenly spaced curve is largest, by a parabola through the largest and its neighbours, and how large."""
    k = int(scores.argmax())
    if 0 < k < len(scores) - 1:
        left, middle, right = scores[k - 1 : k + 2]
        bend = left - 2 * middle + right
        if bend < 0:
            shift = 0.5 * (left - right) / bend
            return float(places[k] + shift * (places[1] - places[0])), float(middle - 0.25 * (left - right) * shift)
    return float(places[k]), float(scores[k])


def _lag(seen: _Features, felt: _Features, reach_s: float, search: Search) -> _Found:
    """The one lag of a short clip."""
    lags_s, scores, each, share = _correlation(seen, felt, reach_s)
    lag_s, _ = _peak(scores, lags_s)
    overlap_s = share[scores.argmax()] * min(seen.known.sum(), felt.known.sum()) / _RATE_HZ
    return _Found(lag_s, 0.0, _confidence(lags_s, scores, each, lag_s, overlap_s))


def _line(seen: _Features, felt: _Features, reach_s: float, search: Search) -> _Found:
    """Lag and drift of a long recording: the line over time on which the windows' scores add up to most, fitted through
    the windows' own peaks near it."""
    window = round(search.window_s * _RATE_HZ)
    n = len(felt.known)
    firsts = np.unique(np.linspace(0, n - window, min(_MOST_WINDOWS, max(2, 2 * n // window - 1))).astype(int))
    at_s = felt.start_s + (firsts + window / 2) / _RATE_HZ
    wide_s = reach_s + search.max_drift * abs(at_s).max()
    spreads = {k: _spread(v, f.known) for f in (seen, felt) for k, v in f.curves.items()}
    tables, middles_s = [], []
    for first, middle_s in zip(firsts, at_s):
        begin = felt.start_s + first / _RATE_HZ - wide_s
        rows = slice(max(0, round(begin * _RATE_HZ)), max(0, round((begin + search.window_s + 2 * wide_s) * _RATE_HZ)))
        around = seen.part(rows)
        if len(around.known) < window // 2:
            continue
        lags_s, _, each, _ = _correlation(around, felt.part(slice(first, first + window)), wide_s, spreads)
        tables.append(np.stack([np.interp(_even(wide_s), lags_s, column) for column in each.T], 1))
        middles_s.append(middle_s)
    grid_s, table, middles = _even(wide_s), np.array(tables), np.array(middles_s)
    if not len(table):
        return _Found(0.0, 0.0, 0.0)
    weights = np.array([w for a, b, w in _PAIRS if b in felt.curves])
    scores = table @ weights / weights.sum()
    inner_s = _even(reach_s)
    step = 0.03 / max(abs(middles).max(), 1.0)
    drifts = np.arange(-np.ceil(search.max_drift / step), np.ceil(search.max_drift / step) + 1) * step

    def along(curves: np.ndarray, drift: float, lags_s: np.ndarray) -> np.ndarray:
        """Mean over the windows of their curves at lag + drift · t."""
        return np.mean([np.interp(lags_s + drift * t, grid_s, c) for c, t in zip(curves, middles)], 0)

    lines = np.array([along(scores, d, inner_s) for d in drifts])
    row, column = np.unravel_index(lines.argmax(), lines.shape)
    lag_s, drift = _refined(grid_s, scores, middles, float(inner_s[column]), float(drifts[row]))
    line = lines[row]
    each = np.stack([along(table[:, :, k], drift, inner_s) for k in range(table.shape[2])], 1)
    overlap_s = len(middles) * search.window_s / 2
    return _Found(lag_s, drift, _confidence(inner_s, line, each, float(inner_s[column]), overlap_s))


def _even(reach_s: float) -> np.ndarray:
    k = round(reach_s * _RATE_HZ)
    return np.arange(-k, k + 1) / _RATE_HZ


def _refined(
    grid_s: np.ndarray, scores: np.ndarray, middles_s: np.ndarray, lag_s: float, drift: float
) -> tuple[float, float]:
    """A line through the peaks of the windows within _NEAR_S of ``lag_s + drift · t``, each counting by its height;
    those far off the line count less (Huber's weights, 10 ms)."""
    peaks, heights = [], []
    for curve, t in zip(scores, middles_s):
        near = abs(grid_s - (lag_s + drift * t)) <= _NEAR_S
        place, height = _peak(curve[near], grid_s[near])
        peaks.append(place)
        heights.append(max(height, 0.0) ** 2)
    y, heights_ = np.array(peaks), np.array(heights)
    a = np.stack([np.ones_like(middles_s), middles_s], 1)
    line = np.array([lag_s, drift])
    for _ in range(20):
        off = abs(y - a @ line)
        w = heights_ * 0.01 / np.maximum(off, 0.01)
        if (w > 0).sum() < 2:
            break
        line = np.linalg.lstsq(a * np.sqrt(w)[:, None], y * np.sqrt(w), rcond=None)[0]
    return float(line[0]), float(line[1])


def _confidence(lags_s: np.ndarray, scores: np.ndarray, each: np.ndarray, lag_s: float, overlap_s: float) -> float:
    """A logistic regression on how significant the peak is, how far it stands above lags further off than its own
    width, and how far the pairs' own peaks lie from it."""
    significance, margin, apart_s = _evidence(lags_s, scores, each, lag_s, overlap_s)
    x = _LOGIT[0] + _LOGIT[1] * significance + _LOGIT[2] * margin + _LOGIT[3] * apart_s
    return float(1 / (1 + np.exp(-x)))


def _evidence(
    lags_s: np.ndarray, scores: np.ndarray, each: np.ndarray, lag_s: float, overlap_s: float
) -> tuple[float, float, float]:
    independent = max(overlap_s / (4 * _SMOOTHING_S) - 3, 1.0)
    significance = np.arctanh(np.clip(scores.max(), 0, 0.99)) * np.sqrt(independent)
    beyond = scores[abs(lags_s - lag_s) > _NEAR_S]
    margin = scores.max() - max(beyond.max(), 0.0) if len(beyond) else 0.0
    apart_s = np.median(abs(lags_s[each.argmax(0)] - lag_s)) if each.shape[1] > 1 else _APART_ALONE_S
    return float(min(significance, 8.0)), float(margin), float(min(apart_s, 0.3))
