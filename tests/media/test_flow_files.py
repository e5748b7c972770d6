"""Flow on disk: nothing lost beyond the quantiser, any rows in any order, broken files named."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from signloom import media
from signloom.errors import InputError, MediaError
from signloom.media.flow_files import (
    codes_of_flow,
    flow_of_codes,
    open_flow_writer,
    probe_flow,
    read_flow,
    read_flow_codes,
    write_flow,
)

LIMIT = 20.0


def some_flow(n: int, height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    flow = np.random.default_rng(seed).normal(0, 8, (n, height, width, 2)).astype(np.float32)
    flow[0] = 0
    return flow


@pytest.mark.parametrize("size", [(48, 64), (33, 47), (16, 16), (128, 228)])
def test_nothing_is_lost_beyond_the_quantiser(tmp_path, size):
    flow = some_flow(6, *size)
    write_flow(tmp_path / "a.mp4", flow, 29.97, LIMIT)
    codes = read_flow_codes(tmp_path / "a.mp4")
    np.testing.assert_array_equal(codes, codes_of_flow(flow, LIMIT))
    got = read_flow(tmp_path / "a.mp4")
    assert got.dtype == np.float32
    assert got.shape == flow.shape
    assert np.abs(got - flow.clip(-LIMIT, LIMIT)).max() <= LIMIT / 254 + 1e-5
    assert not got[0].any()
    assert (codes[0] == 128).all()
    # Once stored, storing again changes nothing.
    write_flow(tmp_path / "b.mp4", got, 29.97, LIMIT)
    np.testing.assert_array_equal(read_flow_codes(tmp_path / "b.mp4"), codes)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_every_code_survives():
    codes = np.arange(1, 256, dtype=np.uint8)
    for limit in (20.0, 7.3, 0.1):
        np.testing.assert_array_equal(codes_of_flow(flow_of_codes(codes, limit), limit), codes)
        assert flow_of_codes(np.uint8([128]), limit) == 0
    assert codes_of_flow(np.float32([-99, 99, -0.0]), LIMIT).tolist() == [1, 255, 128]


@pytest.mark.parametrize("rows", [[5], [19, 0, 7], [3, 3, 4], range(20), np.array([18, 2])], ids=str)
def test_rows_in_any_order_are_those_of_the_whole(tmp_path, rows):
    flow = some_flow(20)
    write_flow(tmp_path / "a.mp4", iter(flow), 25, LIMIT)
    whole = read_flow(tmp_path / "a.mp4")
    np.testing.assert_array_equal(read_flow(tmp_path / "a.mp4", rows), whole[np.asarray(rows)])


def test_the_file_tells_all_about_itself(tmp_path):
    with open_flow_writer(tmp_path / "a.mp4", 15, 7.5, units="body") as add:
        for flow in some_flow(4):
            add(flow)
    about = probe_flow(tmp_path / "a.mp4")
    assert (about.limit, about.units, about.fps, about.n_frames) == (7.5, "body", 15, 4)
    assert np.abs(read_flow(tmp_path / "a.mp4")).max() == 7.5


def test_threads_read_side_by_side(tmp_path):
    write_flow(tmp_path / "a.mp4", some_flow(30), 25, LIMIT)
    whole = read_flow_codes(tmp_path / "a.mp4")
    wrong = []

    def read(seed):
        rows = np.random.default_rng(seed).integers(0, 30, 12)
        if not np.array_equal(read_flow_codes(tmp_path / "a.mp4", rows), whole[rows]):
            wrong.append(seed)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_what_cannot_be_written_leaves_no_file(tmp_path):
    good = some_flow(2)
    bad = good.copy()
    bad[1, 3, 3, 0] = np.nan
    for flows, message in [
        (bad, "not numbers"),
        ([], "no frames"),
        ([good[0], good[1, :-1]], "shape"),
        (good[..., 0], r"wanted \(H, W, 2\)"),
    ]:
        with pytest.raises(InputError, match=message):
            write_flow(tmp_path / "a.mp4", flows, 25, LIMIT)
    for limit in (0.0, float("inf"), -3.0):
        with pytest.raises(InputError, match="limit"):
            write_flow(tmp_path / "a.mp4", good, 25, limit)
    assert not list(tmp_path.iterdir())


def test_what_is_no_flow_is_named_as_such(tmp_path, media_maker):
    write_flow(tmp_path / "a.mp4", some_flow(12), 25, LIMIT)
    whole = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.mp4").write_text("no video at all")
    media.write_video(tmp_path / "video.mp4", media_maker.moving_square(4), 25)
    for name, reason in [
        ("cut.mp4", "truncated"),
        ("text.mp4", "not-media"),
        ("video.mp4", "bad-header"),
        ("gone.mp4", "missing"),
    ]:
        for read in (read_flow_codes, read_flow, probe_flow):
            with pytest.raises(MediaError) as caught:
                read(tmp_path / name)
            assert caught.value.reason == reason, name
    for rows in ([], [12], [-1]):
        with pytest.raises(InputError, match="12 frames"):
            read_flow(tmp_path / "a.mp4", rows)
