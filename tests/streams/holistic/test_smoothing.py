"""The filters: still points stop trembling, moving ones are followed, and time is the frames' own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signloom.streams.holistic.smoothing import LowPass, OneEuro


def one_euro(values, times_s, cutoff_hz=0.05, beta=80.0, unit=100.0):
    filtered = OneEuro(cutoff_hz, beta)
    return np.array([filtered(np.array([v]), t, unit)[0] for v, t in zip(values, times_s)])


def reference(values, times_s, cutoff_hz=0.05, beta=80.0, unit=100.0):
    """The paper's own equations (Casiez, Roussel & Vogel 2012), step by step."""

    def alpha(cutoff, step):
        return 1 / (1 + 1 / (2 * np.pi * cutoff * step))

    out, smooth, raw, speed, last = [], None, None, 0.0, None
    for value, time in zip(values, times_s):
        if last is None:
            smooth = value
        else:
            step = time - last
            a = alpha(1.0, step)
            speed = a * (value - raw) / unit / step + (1 - a) * speed
            a = alpha(cutoff_hz + beta * abs(speed), step)
            smooth = a * value + (1 - a) * smooth
        raw, last = value, time
        out.append(smooth)
    return np.array(out)


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=30), st.floats(0.005, 0.2))
def test_it_is_the_published_filter(values, step_s):
    times = np.arange(len(values)) * step_s
    assert one_euro(values, times) == pytest.approx(reference(values, times), abs=1e-6)


def test_noise_goes_and_movement_stays():
    rng = np.random.default_rng(0)
    times = np.arange(300) / 30
    still = 50 + rng.normal(0, 0.3, 300)
    assert one_euro(still, times)[100:].std() < 0.5 * still[100:].std()
    moving = 200 * times
    assert np.abs(one_euro(moving, times) - moving)[5:].max() < 3


def test_the_same_movement_at_another_rate_is_smoothed_alike():
    """MediaPipe in Python steps by 33.3 ms whatever the rate; these filters do not."""

    def path(t):
        return 40 * np.sin(2 * t)

    fast, slow = np.arange(0, 4, 1 / 60), np.arange(0, 4, 1 / 15)
    at_60, at_15 = one_euro(path(fast), fast)[::4], one_euro(path(slow), slow)
    as_if_30 = one_euro(path(slow), np.arange(len(slow)) / 30)
    assert np.abs(at_60 - at_15).mean() < np.abs(at_60 - as_if_30).mean()


def test_a_reset_forgets_and_a_time_that_stands_still_changes_nothing():
    filtered = OneEuro(0.05, 80.0)
    filtered(np.array([1.0]), 0.0, 1.0)
    filtered(np.array([2.0]), 0.1, 1.0)
    assert filtered(np.array([7.0]), 0.1, 1.0) == 7.0
    filtered.reset()
    assert filtered(np.array([9.0]), 0.0, 1.0) == 9.0


def test_low_pass():
    filtered = LowPass(0.1)
    assert filtered(np.array([1.0])) == 1.0
    assert filtered(np.array([0.0])) == pytest.approx(0.9)
    assert filtered(np.array([0.0])) == pytest.approx(0.81)
