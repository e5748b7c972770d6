"""EMG: hum goes, the envelope is that of the burst, silence stays silent, two users come to one scale."""

import numpy as np
import pytest

from signloom.data.signal import Signal
from signloom.errors import InputError
from signloom.transforms.emg import Calibration, band_at, emg_envelopes, envelope

RATE = 1000.0


def burst(rng, rate_hz=RATE, seconds=4.0, amplitude=1.0):
    """Band-limited noise whose strength swells and fades once, and that strength: (T,), (T,)."""
    from scipy.signal import butter, sosfiltfilt

    t = np.arange(int(seconds * rate_hz)) / rate_hz
    strength = amplitude * np.exp(-0.5 * ((t - seconds / 2) / 0.35) ** 2)
    noise = sosfiltfilt(butter(4, (40, 300), "bandpass", fs=rate_hz, output="sos"), rng.standard_normal(len(t)))
    return noise / noise.std() * strength, strength


def test_the_envelope_of_a_burst_is_its_strength():
    x, strength = burst(np.random.default_rng(0))
    found = envelope(x[:, None], RATE)[:, 0]
    wanted = strength * np.sqrt(2 / np.pi)  # the mean of |noise|
    assert found.dtype == np.float32
    assert (found >= 0).all()
    assert np.corrcoef(found, wanted)[0, 1] > 0.97
    assert np.abs(found - wanted).max() < 0.25 * wanted.max()
    assert abs(np.argmax(found) - np.argmax(wanted)) < 0.15 * RATE  # no delay


def test_mains_hum_and_drift_are_removed():
    x, _ = burst(np.random.default_rng(1))
    t = np.arange(len(x)) / RATE
    hum = 3 * np.sin(2 * np.pi * 50 * t) + np.sin(2 * np.pi * 150 * t + 1)
    drift = 20 + 10 * np.sin(2 * np.pi * 0.5 * t)
    clean = envelope(x[:, None], RATE)
    hummed = envelope((x + hum + drift)[:, None], RATE)
    assert np.abs(hummed - clean).max() < 0.02 * clean.max()  # at the ends too
    assert np.abs(envelope((x + hum)[:, None], RATE, notch_hz=None) - clean).max() > clean.max()
    sixty = 3 * np.sin(2 * np.pi * 60 * t)
    clean, hummed = (envelope(signal[:, None], RATE, notch_hz=60) for signal in (x, x + sixty))
    assert np.abs(hummed - clean).max() < 0.02 * clean.max()
    slow = np.sin(2 * np.pi * (49.8 * t + 0.2 * np.sin(t)))  # hum is never quite at 50 Hz, nor steady
    clean, hummed = (envelope(signal[:, None], RATE) for signal in (x, x + slow))
    assert np.abs(hummed - clean)[300:-300].max() < 0.1 * clean.max()


def test_rows_of_zeros_stay_zero_and_reach_nothing():
    rng = np.random.default_rng(2)
    x = np.stack([burst(rng)[0] for _ in range(3)], 1) + 40
    late = np.concatenate([np.zeros((300, 3)), x, np.zeros((50, 3))])
    found = envelope(late, RATE)
    assert not found[:300].any()
    assert not found[-50:].any()
    np.testing.assert_allclose(found[300:-50], envelope(x, RATE), atol=1e-6)
    hole = x.copy()
    hole[1000:1200] = 0
    assert not envelope(hole, RATE)[1000:1200].any()
    assert not envelope(np.zeros((50, 8)), 50).any()
    assert envelope(np.zeros((0, 8)), 50).shape == (0, 8)


def test_what_a_rate_allows_is_told():
    assert str(band_at(2000)) == "at 2000 Hz: 20–450 Hz, without 50, 100, 150, 200, 250, 300, 350, 400, 450 Hz"
    assert band_at(500, notch_hz=60).notches_hz == (60, 120, 180)
    myo = band_at(50)
    assert (myo.low_hz, myo.high_hz, myo.notches_hz) == (5, None, ())
    assert str(myo) == "at 50 Hz: 5 Hz and more, mains hum not removed"
    # 50 samples of whole numbers, as a Myo armband's file has: louder in the middle is higher in the middle.
    rng = np.random.default_rng(3)
    loud = np.where(abs(np.arange(50) - 25) < 10, 30, 3)
    found = envelope(np.round(rng.standard_normal((50, 8)) * loud[:, None]), 50)
    assert found[20:30].mean() > 4 * found[:5].mean()
    for settings in ({"rate_hz": 0}, {"rate_hz": 50, "band_hz": (30, 20)}, {"rate_hz": 50, "notch_hz": -1}):
        with pytest.raises(InputError, match="EMG: got"):
            band_at(**settings)
    with pytest.raises(InputError, match="low pass of 30"):
        envelope(np.ones((50, 1)), 50, smooth_hz=30)
    with pytest.raises(InputError, match="sample 3 is not"):
        envelope(np.array([[1.0]] * 3 + [[np.nan]]), 50)


def signals_of(gain_C, seed, n=6):
    rng = np.random.default_rng(seed)
    names = ("left_forearm_emg_1_raw", "left_forearm_emg_2_raw", "left_forearm_acceleration_x_g")
    made = []
    for _ in range(n):
        x = np.stack([burst(rng, amplitude=a)[0] for a in gain_C], 1)
        made.append(Signal(np.concatenate([x, np.full((len(x), 1), 0.5)], 1).astype(np.float32), RATE, names))
    return [emg_envelopes(signal) for signal in made]


def test_calibration_brings_two_users_to_one_scale():
    weak, strong = signals_of((2.0, 5.0), 0), signals_of((40.0, 10.0), 1)
    assert np.percentile(strong[0].values_TC[:, 0], 95) > 10 * np.percentile(weak[0].values_TC[:, 0], 95)
    levels = []
    for user in (weak, strong):
        fitted = Calibration.fitted(user[:3])
        applied = [fitted.apply(s) for s in user[3:]]
        np.testing.assert_array_equal(applied[0].values_TC[:, 2], 0.5)  # only EMG is scaled
        levels.append(np.percentile(np.concatenate([s.values_TC[:, :2] for s in applied]), 95, axis=0))
    np.testing.assert_allclose(levels[0], levels[1], rtol=0.12)
    np.testing.assert_allclose(levels, 1, rtol=0.12)


def test_calibration_refuses_and_leaves_dead_channels():
    names = ("left_forearm_emg_1_raw", "left_forearm_emg_2_raw")
    dead = Signal(np.array([[0, 0], [0, 4], [0, 8]], np.float32), 50, names)
    fitted = Calibration.fitted([dead], percentile=100)
    assert fitted == Calibration(names, (1.0, 8.0))
    np.testing.assert_array_equal(fitted.apply(dead).values_TC[:, 1], [0, 0.5, 1])
    with pytest.raises(InputError, match="no signal was given"):
        Calibration.fitted([])
    with pytest.raises(InputError, match="no EMG channel"):
        Calibration.fitted([Signal(np.ones((3, 1), np.float32), 50, ("acceleration_x_g",))])
    with pytest.raises(InputError, match="no channel"):
        fitted.apply(Signal(np.ones((3, 1), np.float32), 50, names[:1]))
