from __future__ import annotations

import json
import sys
from dataclasses import asdict
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from signloom.data.signal import Signal
from signloom.errors import InputError
from signloom.transforms.sensor_input import SensorInput


def axes(place, quantity, unit):
    return tuple(f"{place}_{quantity}_{axis}_{unit}" for axis in "xyz")


WRIST = axes("right_wrist", "acceleration", "g") + axes("right_wrist", "rotation", "dps")
ARMS = (
    WRIST
    + axes("left_wrist", "acceleration", "g")
    + axes("left_wrist", "rotation", "dps")
    + ("left_wrist_emg_0_raw", "right_wrist_emg_0_raw", "right_wrist_orientation_roll_deg")
)


def recording(n=60, channels=WRIST, rate_hz=50.0, seed=0, times=1.0):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, len(channels))) * times
    for k, name in enumerate(channels):
        if "acceleration_z" in name:
            values[:, k] += 1
        if "rotation" in name:
            values[:, k] *= 100
    return Signal(values.astype(np.float32), rate_hz, tuple(channels))


def fitted(measured=WRIST, **settings):
    return SensorInput(**settings).fitted_to(recording(channels=measured, seed=k) for k in range(3))


def plain(channels=("other_0_raw",), **settings):
    """An input that scales nothing."""
    n = len(channels)
    return SensorInput(channels=channels, mean=(0.0,) * n, std=(1.0,) * n, **settings)


def counting(n, rate_hz=50.0):
    return Signal(np.arange(n, dtype=np.float32)[:, None], rate_hz, ("other_0_raw",))


def test_stretched_all_of_a_clip_is_on_the_steps():
    x, mask = plain(n_steps=8)(counting(4))
    np.testing.assert_allclose(x[0], np.linspace(0, 3, 8), atol=1e-6)
    assert mask.all()
    x, _ = plain(n_steps=4)(counting(8))
    np.testing.assert_allclose(x[0], [0.5, 2.5, 4.5, 6.5], atol=1e-6)  # means: nothing between the steps is lost
    x, _ = plain(n_steps=4)(counting(6))
    np.testing.assert_allclose(x[0].mean(), 2.5, atol=1e-6)


def test_published_sampling_takes_every_nth_sample():
    """``int(x · N / steps)``, as the published arrays were made."""
    for n, steps in ((10, 4), (7, 7), (3, 8), (326, 107)):
        x, mask = plain(n_steps=steps, sampling="published")(counting(n))
        assert x[0].tolist() == [int(k * n / steps) for k in range(steps)]
        assert mask.all()


def test_padding_is_at_the_end_and_masked():
    x, mask = plain(n_steps=6, sampling="pad")(counting(4))
    assert x[0].tolist() == [0, 1, 2, 3, 0, 0]
    assert mask.tolist() == [True] * 4 + [False] * 2
    x, mask = plain(n_steps=3, sampling="pad")(counting(4))
    assert x[0].tolist() == [0, 1, 2]
    assert mask.all()


def test_by_rate_a_second_has_as_many_steps_in_every_clip():
    slow, fast = counting(20, 10.0), Signal(np.arange(0, 20, 0.25, dtype=np.float32)[:, None], 40.0, ("other_0_raw",))
    step = plain(n_steps=50, sampling="rate", rate_hz=20.0)
    (a, in_a), (b, in_b) = step(slow), step(fast)
    assert in_a.sum() == 39
    assert in_b.sum() == 40
    np.testing.assert_allclose(a[0, 5:34], b[0, 5:34], atol=0.02)
    assert not b[0, 40:].any()


def test_statistics_are_of_the_training_clips_and_vectors_keep_their_directions():
    step = fitted(ARMS, sampling="pad", n_steps=60)
    x = np.concatenate([step(recording(channels=ARMS, seed=k))[0] for k in range(3)], 1)
    columns = {name: k for k, name in enumerate(step.names)}
    emg = x[columns["left_wrist_emg_0_raw"]]
    assert emg.mean() == pytest.approx(0, abs=1e-4)
    assert emg.std() == pytest.approx(1, abs=1e-3)
    for worn in step.vectors:
        for triple in worn.own:
            assert len({step.std[k] for k in triple}) == 1
            assert [step.mean[k] for k in triple] == [0, 0, 0]
            assert np.square(x[list(triple)]).mean() == pytest.approx(1, abs=1e-3)
    other = step(recording(channels=ARMS, seed=9, times=5.0))[0]
    assert other[columns["left_wrist_emg_0_raw"]].std() > 4  # not by its own statistics


def test_channels_are_chosen_by_patterns():
    half = fitted(ARMS, channels=("right_*", "!*_emg_*", "!*_orientation_*"))
    assert half.channels == WRIST
    assert half.model_fields(("imu",)) == {"channels": 6, "n_steps": 96}
    whole = SensorInput(
        **json.loads(
            json.dumps(asdict(half)),
            object_hook=lambda d: {k: tuple(v) if isinstance(v, list) else v for k, v in d.items()},
        )
    )
    assert whole == half
    signal = recording(channels=ARMS, seed=5)
    assert (whole(signal)[0] == half(signal.select(WRIST))[0]).all()  # further channels of a recording do no harm
    with pytest.raises(InputError, match="no channel is like left_knee"):
        fitted(channels=("left_knee_*",))


def test_the_same_channels_at_another_place_are_refused_with_the_way_out():
    known = SensorInput().fitted_to([recording()])
    nowhere = tuple(name.removeprefix("right_wrist_") for name in WRIST)
    with pytest.raises(InputError, match=r"or where is not said: acceleration_x_g.*virtual_imu\.joint=worn-on"):
        known(recording(channels=nowhere))
    with pytest.raises(InputError, match="are worn elsewhere"):
        known(recording(channels=tuple(f"left_ankle_{name}" for name in nowhere)))


def test_clips_of_different_channels_are_refused_by_name():
    with pytest.raises(InputError, match=r"clip 2 has no 'right_wrist_rotation_z_dps'"):
        SensorInput().fitted_to([recording(), recording(channels=WRIST[:5])])
    with pytest.raises(InputError, match="no sensor recording"):
        SensorInput().fitted_to([])
    with pytest.raises(InputError, match="has no channel 'right_wrist_rotation_z_dps'"):
        fitted()(recording(channels=WRIST[:5]))


def test_what_cannot_be_used_is_refused():
    step = fitted()
    with pytest.raises(InputError, match="gave 1 samples"):
        step(recording(1))
    broken = recording()
    broken.values_TC[7, 2] = np.nan
    with pytest.raises(InputError, match="'right_wrist_acceleration_z_g' is nan at sample 7"):
        step(broken)
    with pytest.raises(InputError, match="must be fitted"):
        SensorInput()(recording())
    with pytest.raises(InputError, match=r"clip 'c1': .*1 samples"):
        step.of_clip(SimpleNamespace(id="c1"), lambda clip, stream: recording(1), ("imu",))
    for wrong in ({"sampling": "even"}, {"n_steps": 1}, {"rate_hz": 0.0}, {"orientation": "up"}, {"emg": "square"}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            SensorInput(**wrong)


@pytest.mark.parametrize("orientation", ["raw", "levelled", "invariant"])
@pytest.mark.parametrize("sampling", ["stretch", "rate", "pad", "published"])
def test_of_clip_gives_arrays_of_one_size(orientation, sampling):
    step = fitted(ARMS, orientation=orientation, sampling=sampling, n_steps=32)
    n = step.model_fields(("imu",))["channels"]
    assert len(step.names) == n == sum(len(worn.columns) for worn in step.vectors)
    for samples in (2, 31, 101):
        signal = recording(samples, ARMS)
        made = step.of_clip(SimpleNamespace(id="c"), lambda clip, stream, s=signal: s, ("frames", "imu"))
        assert made["imu"].shape == (n, 32)
        assert made["imu"].dtype == np.float32
        assert made["imu_mask"].dtype == bool
        assert np.isfinite(made["imu"]).all()


def test_invariant_is_the_same_however_the_sensor_is_strapped_on():
    step = fitted(orientation="invariant")
    signal = recording(seed=4)
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    turn *= np.linalg.det(turn)
    other = signal.values_TC.reshape(-1, 2, 3) @ turn.T
    strapped = Signal(other.reshape(-1, 6).astype(np.float32), signal.rate_hz, WRIST)
    np.testing.assert_allclose(step(strapped)[0], step(signal)[0], atol=2e-3)
    raw = fitted()
    assert np.abs(raw(strapped)[0] - raw(signal)[0]).max() > 0.5


def test_levelled_adds_vectors_of_its_own_frame():
    step = fitted(orientation="levelled")
    (worn,) = step.vectors
    assert [step.names[a] for a, _, _ in worn.own] == [
        "right_wrist_acceleration_x",
        "right_wrist_rotation_x",
        "right_wrist_down_x",
    ]
    assert [step.names[a] for a, _, _ in worn.level] == [
        "right_wrist_linear_x",
        "right_wrist_velocity_x",
        "right_wrist_turning_x",
    ]
    assert len(step.down) == 3
    assert np.linalg.norm(step.down) == pytest.approx(1)
    # Where one of the two is not measured there is nothing to level.
    alone = fitted(WRIST[:3], orientation="levelled")
    assert alone.model_fields(("imu",))["channels"] == 3


def test_envelopes_replace_emg_alone(monkeypatch):
    seen = []

    def envelope(values_TC, rate_hz):
        seen.append((values_TC.shape, rate_hz))
        return np.abs(values_TC) + 7

    module = ModuleType("signloom.transforms.emg")
    module.envelope = envelope
    monkeypatch.setitem(sys.modules, "signloom.transforms.emg", module)
    signal = recording(channels=ARMS, rate_hz=200.0)
    step = SensorInput(emg="envelope", sampling="pad", n_steps=60).fitted_to([signal])
    assert seen[-1] == ((60, 2), 200.0)
    asked = len(seen)
    column = step.names.index("left_wrist_emg_0_raw")
    assert len(step.vectors) == 2
    assert len(seen) == asked  # what the columns are is known without a recording
    assert step.mean[column] > 7
    got = step(signal)[0][column] * step.std[column] + step.mean[column]
    np.testing.assert_allclose(got, np.abs(signal.values_TC[:, ARMS.index("left_wrist_emg_0_raw")]) + 7, atol=1e-4)
    fitted(emg="envelope")(recording())  # without EMG there is nothing to ask for
