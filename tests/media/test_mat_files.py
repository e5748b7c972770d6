"""MATLAB's files: the same arrays as scipy gives, and damage is told without ever ending the process."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from signloom.errors import MediaError
from signloom.media import HeldFile, Limits
from signloom.media.mat_files import list_mat, read_mat


def saved(arrays, compressed=False):
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, arrays, do_compression=compressed)
    return buffer.getvalue()


@given(
    shape=st.lists(st.integers(1, 5), min_size=2, max_size=4),
    dtype=st.sampled_from(["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8"]),
    name=st.sampled_from(["x", "d_iner", "a_rather_long_name"]),
    compressed=st.booleans(),
)
def test_what_scipy_writes_is_read(shape, dtype, name, compressed):
    values = (np.random.default_rng(0).normal(size=shape) * 50).astype(dtype)
    content = saved({"before": "text", name: values, "after": {"a": 1}}, compressed)
    got = read_mat(HeldFile("a.mat", content), name)
    assert got.dtype == values.dtype
    np.testing.assert_array_equal(got, values)
    assert [a.name for a in list_mat(HeldFile("a.mat", content))] == ["before", name, "after"]


def test_what_is_no_plain_array_is_refused_with_what_there_is():
    content = saved({"s": "text", "z": np.ones((2, 2)) * 1j, "c": {"a": 1}})
    for name, match in (("s", "no plain array of numbers; it holds 's'"), ("z", "no plain"), ("q", "no array 'q'")):
        with pytest.raises(MediaError, match=match) as caught:
            read_mat(HeldFile("a.mat", content), name)
        assert caught.value.reason == "bad-header"


def test_what_unpacks_to_too_much_is_refused():
    content = saved({"x": np.zeros((2000, 2000))}, compressed=True)
    assert len(content) < 1 << 20
    with pytest.raises(MediaError) as caught:
        read_mat(HeldFile("a.mat", content), "x", Limits(max_decoded_bytes=1 << 20))
    assert caught.value.reason == "too-large"


@settings(max_examples=400)
@given(
    at=st.lists(st.tuples(st.integers(100, 700), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.integers(0, 3),
    compressed=st.booleans(),
)
def test_damage_is_told(at, cut, compressed):
    content = bytearray(saved({"d_iner": np.random.default_rng(0).normal(size=(9, 6)), "who": "x"}, compressed))
    for place, byte in at:
        content[place % len(content)] = byte
    with contextlib.suppress(MediaError):
        got = read_mat(HeldFile("a.mat", bytes(content[: len(content) - 90 * cut])), "d_iner")
        assert got.size <= len(content)


@pytest.mark.real
@pytest.mark.parametrize("kind", ["Inertial", "Skeleton", "Depth"])
def test_utd_mhad_files_are_as_scipy_reads_them(real_data, kind):
    file = sorted((real_data / "utd_mhad" / kind).glob("a*_s1_t1_*.mat"))[0]
    (array,) = list_mat(file)
    got = read_mat(file, array.name)
    expected = scipy.io.loadmat(file)[array.name]
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)
