"""Signals on disk: nothing lost, the same bytes each time, nothing run, broken files named."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signloom.data.signal import Signal
from signloom.data.signal_files import read_signal, write_signal
from signloom.errors import InputError, MediaError
from signloom.media import HeldFile, Limits
from signloom.media.sensor_columns import KEPT

CHANNELS = ("right_wrist_acceleration_x_g", "emg_0_raw")


def signal(n=7, **other):
    values = np.random.default_rng(0).normal(size=(n, 2)).astype(np.float32)
    return Signal(**{"values_TC": values, "rate_hz": 50.0, "channels": CHANNELS, "start_s": -0.25, **other})


def reason(path, **how):
    with pytest.raises(MediaError) as caught:
        read_signal(path, **how)
    return caught.value.reason


@given(
    n=st.integers(1, 40),
    rate=st.floats(0.5, 5000),
    start=st.floats(-1e3, 1e3),
    places=st.lists(st.sampled_from(["", "left_", "a_b_", "über_"]), min_size=1, max_size=4, unique=True),
    seed=st.integers(0, 9),
)
def test_what_is_written_is_read(tmp_path_factory, n, rate, start, places, seed):
    channels = tuple(f"{place}{q}_z_{unit}" for place in places for q, unit in KEPT.items())
    values = np.random.default_rng(seed).normal(0, 1e3, (n, len(channels))).astype(np.float32)
    path = tmp_path_factory.mktemp("s") / "a.npz"
    write_signal(path, Signal(values, rate, channels, start))
    got = read_signal(path)
    np.testing.assert_array_equal(got.values_TC, values)
    assert got.values_TC.dtype == np.float32
    assert (got.rate_hz, got.channels, got.start_s) == (rate, channels, start)


def test_the_same_bytes_each_time_and_from_memory(tmp_path):
    write_signal(tmp_path / "a.npz", signal())
    write_signal(tmp_path / "b.npz", signal())
    content = (tmp_path / "a.npz").read_bytes()
    assert content == (tmp_path / "b.npz").read_bytes()
    held = read_signal(HeldFile("in an archive", content))
    np.testing.assert_array_equal(held.values_TC, signal().values_TC)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_not_written(tmp_path, bad):
    values = signal().values_TC.copy()
    values[3, 1] = bad
    with pytest.raises(InputError, match="'emg_0_raw' is no number at sample 3"):
        write_signal(tmp_path / "a.npz", signal(values_TC=values))
    with pytest.raises(InputError, match="channel 'AX'"):
        write_signal(tmp_path / "a.npz", signal(channels=("AX", "emg_0_raw")))
    assert not list(tmp_path.iterdir())


def test_broken_files_say_how(tmp_path):
    path = tmp_path / "a.npz"
    write_signal(path, signal(500))
    content = path.read_bytes()
    path.write_bytes(content[:-30])
    assert reason(path) == "truncated"
    path.write_bytes(b"ax,ay\n1,2\n")
    assert reason(path) == "not-media"
    np.savez(path, values=np.zeros((3, 2)))
    assert reason(path) == "not-media"
    assert reason(tmp_path / "none.npz") == "missing"
    write_signal(path, signal(500))
    assert reason(path, limits=Limits(max_decoded_bytes=1000)) == "too-large"


def parts(**changed):
    return {
        "version": np.int64(1),
        "values": signal().values_TC,
        "rate_hz": np.float64(50),
        "start_s": np.float64(0),
        "channels": np.array(CHANNELS),
    } | changed


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"version": np.int64(2)}, "bad-header"),
        ({"rate_hz": np.float64(0)}, "bad-header"),
        ({"start_s": np.float64(np.nan)}, "bad-header"),
        ({"channels": np.array(["AX", "AY"])}, "bad-header"),
        ({"channels": np.array(CHANNELS[:1])}, "bad-header"),
        ({"values": np.zeros((3, 2))}, "bad-header"),
        ({"values": np.zeros((0, 2), np.float32)}, "no-frames"),
        ({"values": np.full((2, 2), np.nan, np.float32)}, "decode-error"),
    ],
)
def test_what_contradicts_itself_is_refused(tmp_path, changed, expected):
    np.savez(tmp_path / "a.npz", **parts(**changed))
    assert reason(tmp_path / "a.npz") == expected


def test_no_pickle_is_ever_opened_and_no_claim_believed(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, **parts(channels=np.array([{"x": 1}, "b"], object)))
    assert reason(path) == "not-media"
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": (10**12, 2)})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("values.npy", buffer.getvalue() + bytes(100))
    assert reason(path) == "truncated"
