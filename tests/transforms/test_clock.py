"""Clock offset and drift between a joint's track and a sensor: planted ones found, however the sensor was strapped on;
nothing answered where there is nothing to tell by."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from signloom.data.signal import Signal
from signloom.errors import InputError
from signloom.synthetic.body import make_signer, rotation
from signloom.synthetic.motion import RIGHT
from signloom.synthetic.render import Camera, make_scene
from signloom.synthetic.session import WRIST_CHANNELS, at_rest, session, wrist_sensor_of
from signloom.transforms.clock import Search, Track, fit_clock, score_at, stretch_of

FRAME_S = 1 / 25
UP = (0.0, -1.0, 0.0)


def take(seconds, seed, **clock):
    """Motion, the wrist's track in metres, and its sensor on a clock of its own."""
    rng = np.random.default_rng(seed)
    motion = session(make_signer(seed % 8), seconds, rng)
    signal = Signal(wrist_sensor_of(motion, rng, **clock), clock.get("rate_hz", 50.0), WRIST_CHANNELS)
    return motion, track_of(motion, rng), signal


def track_of(motion, rng):
    wrist = motion.sampled(25.0).hands[:, RIGHT, 0]
    return Track(wrist + rng.normal(0, 0.004, wrist.shape), np.ones(len(wrist), bool), 25.0, UP, 1.0)


@pytest.mark.parametrize("offset_s", [-0.5, -0.2, 0.013, 0.5])
def test_a_planted_offset_is_found_in_a_short_clip(offset_s):
    _, track, signal = take(4.0, 3, offset_s=offset_s)
    fit = fit_clock(track, signal)
    assert fit.status == "ok"
    assert abs(fit.offset_s - offset_s) < FRAME_S / 2
    assert fit.drift == 0
    assert fit.confidence > 0.8
    assert fit.after > fit.before + 0.05 or abs(offset_s) < 0.05
    assert 40 < fit.n <= 100


def test_it_is_found_in_pixels_too():
    motion, _, signal = take(4.0, 5, offset_s=0.31)
    rng = np.random.default_rng(0)
    xy = Camera(make_scene(rng), 480, 360).project(motion.sampled(25.0).hands[:, RIGHT, 0])[:, :2]
    fit = fit_clock(Track(xy + rng.normal(0, 1, xy.shape), np.ones(len(xy), bool), 25.0), signal)
    assert fit.status == "ok"
    assert abs(fit.offset_s - 0.31) < FRAME_S


def test_how_the_sensor_is_strapped_on_changes_nothing():
    _, track, signal = take(4.0, 4, offset_s=-0.2)
    turn = rotation(np.array([0.7, -2.0, 1.1]))
    turned = np.concatenate([signal.values_TC[:, :3] @ turn.T, signal.values_TC[:, 3:] @ turn.T], 1)
    one, other = fit_clock(track, signal), fit_clock(track, replace(signal, values_TC=turned.astype(np.float32)))
    assert one.status == other.status == "ok"
    assert abs(one.offset_s - other.offset_s) < 1e-3
    assert one.confidence == pytest.approx(other.confidence, abs=0.01)


@pytest.mark.parametrize(("drift", "rate_hz"), [(-0.01, 50.0), (0.01, 50.0), (0.004, 104.0)])
def test_a_drift_is_found_in_a_minute(drift, rate_hz):
    _, track, signal = take(60.0, 6, offset_s=0.4, drift=drift, rate_hz=rate_hz)
    fit = fit_clock(track, signal)
    assert fit.status == "ok"
    assert abs(fit.drift - drift) < 0.0006
    assert abs(fit.offset_s - 0.4) < FRAME_S
    # At the end of the minute it is still right to within a frame.
    assert abs((fit.offset_s - 0.4) + 60 * (fit.drift - drift)) < FRAME_S
    assert fit.after > fit.before + 0.3


def test_what_is_known_before_is_where_the_search_starts():
    _, track, signal = take(5.0, 8, offset_s=0.1)
    late = replace(signal, start_s=-7.0)  # the sensor's own clock began 7 s before its first sample
    assert fit_clock(track, late).status != "ok"
    fit = fit_clock(track, late, offset_s=6.8)
    assert fit.status == "ok"
    assert abs(fit.offset_s - 7.1) < FRAME_S
    nominal = replace(signal, rate_hz=40.0)  # its rate is told wrong, and so corrected
    fit = fit_clock(track, nominal, drift=40 / 50 - 1)
    assert fit.status == "ok"
    assert abs(fit.offset_s - 0.1) < FRAME_S
    assert fit.drift == pytest.approx(-0.2)


@pytest.mark.parametrize("keep", [["acceleration"], ["rotation"]])
def test_one_quantity_is_enough(keep):
    _, track, signal = take(5.0, 9, offset_s=-0.25)
    fit = fit_clock(track, signal.select([c for c in signal.channels if c.split("_")[0] in keep]))
    assert fit.status == "ok"
    assert abs(fit.offset_s + 0.25) < FRAME_S


def test_a_joint_unseen_now_and_then_is_enough():
    _, track, signal = take(6.0, 10, offset_s=0.2)
    seen = track.present_T.copy()
    seen[30:50] = False
    points = np.where(seen[:, None], track.points_TC, np.nan)
    fit = fit_clock(replace(track, points_TC=points, present_T=seen), signal)
    assert fit.status == "ok"
    assert abs(fit.offset_s - 0.2) < FRAME_S


@pytest.mark.parametrize("seconds", [3.0, 25.0])
def test_a_still_recording_is_refused(seconds):
    told = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        motion = at_rest(make_signer(seed), seconds, rng)
        signal = Signal(wrist_sensor_of(motion, rng), 50.0, WRIST_CHANNELS)
        fit = fit_clock(track_of(motion, rng), signal, offset_s=0.3)
        told.append(fit.status)
        assert (fit.offset_s, fit.drift) == (0.3, 0.0)  # as it was
    assert set(told) == {"still"}


def test_noise_on_both_sides_is_unclear():
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(20):
        track = Track(rng.normal(0, 1, (100, 3)), np.ones(100, bool), 25.0, UP)
        noise = rng.normal(0, 1, (200, 6)) * np.repeat([0.5, 90.0], 3)
        refused += fit_clock(track, Signal(noise.astype(np.float32), 50.0, WRIST_CHANNELS)).status == "unclear"
    assert refused >= 19


def test_a_sensor_of_another_recording_is_unclear():
    _, track, _ = take(40.0, 11)
    _, _, other = take(40.0, 12)
    fit = fit_clock(track, other)
    assert fit.status == "unclear"
    assert (fit.offset_s, fit.drift) == (0.0, 0.0)


def test_too_short_and_no_joint_are_told():
    _, track, signal = take(4.0, 3)
    assert fit_clock(track, signal[:40]).status == "too-short"
    assert fit_clock(replace(track, present_T=np.zeros_like(track.present_T)), signal).status == "no-joint"
    empty = Track(np.zeros((0, 2)), np.zeros(0, bool), 25.0)
    assert fit_clock(empty, signal).status == "no-joint"


def test_a_sensor_without_motion_is_an_error_that_names_what_it_has():
    _, track, signal = take(4.0, 3)
    emg = Signal(signal.values_TC[:, :1], 50.0, ("emg_1_raw",))
    with pytest.raises(InputError, match="emg_1_raw"):
        fit_clock(track, emg)


def test_a_rate_that_disagrees_with_its_span_is_found_over_many_clips():
    pairs = []
    for seed in range(10):
        _, track, signal = take(3.0, seed, offset_s=0.1)
        pairs.append((track, replace(signal, rate_hz=32.0)))  # 50 were taken a second
    factor, low, high = stretch_of(pairs)
    assert factor == pytest.approx(32 / 50, rel=0.02)
    assert low < 32 / 50 < high or abs(factor - 32 / 50) < 0.01
    right = [(track, replace(signal, rate_hz=50.0)) for track, signal in pairs]
    assert stretch_of(right) is None
    assert stretch_of(pairs[:3]) is None  # too few to tell


def test_the_score_is_highest_at_the_right_clock():
    _, track, signal = take(5.0, 13, offset_s=0.2)
    scores = [score_at(track, signal, offset_s=o) for o in (-0.2, 0.2, 0.6)]
    assert np.argmax(scores) == 1
    assert scores[1] > 0.6


def test_the_search_can_be_narrow_or_strict():
    _, track, signal = take(5.0, 14, offset_s=0.5)
    narrow = fit_clock(track, signal, search=Search(max_offset_s=0.2))
    assert narrow.status != "ok" or abs(narrow.offset_s) <= 0.21
    assert fit_clock(track, signal, search=Search(sure=1.0)).status == "unclear"


def test_a_track_of_other_shapes_is_refused():
    with pytest.raises(InputError, match=r"\(T, 2\) or \(T, 3\)"):
        Track(np.zeros((5, 4)), np.ones(5, bool), 25.0)
    with pytest.raises(InputError, match="as many marks"):
        Track(np.zeros((5, 3)), np.ones(4, bool), 25.0)
    with pytest.raises(InputError, match="frames a second"):
        Track(np.zeros((5, 3)), np.ones(5, bool), 0.0)
