"""Sensors as a stream: taken from files of their own, beside footage or alone, live as prepared."""

from __future__ import annotations

import json

import numpy as np
import pytest

from signloom.data.failures import read_failures
from signloom.data.manifest import Manifest, Record
from signloom.data.signal import Signal
from signloom.data.stream import ClipInfo, Timed
from signloom.errors import InputError, MediaError
from signloom.pipelines.prepare import Preparation, prepare_corpus
from signloom.streams import makeable, stream_named, streams_of
from signloom.streams.imu import ImuStream
from signloom.streams.runner import Runner

NAMES = tuple(f"{q}_{axis}_{unit}" for q, unit in (("acceleration", "g"), ("rotation", "dps")) for axis in "xyz")
HOW = {"imu": {"rate_hz": 50.0, "worn_on": "right_wrist"}}


def table(path, n=100, seed=0, names=("ax", "ay", "az", "gx", "gy", "gz"), cut=None):
    values = np.round(np.random.default_rng(seed).normal([0, 0, 1, 0, 0, 0][: len(names)], 1, (n, len(names))), 4)
    rows = [",".join(names), *(",".join(f"{v:.4f}" for v in row) for row in values)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(rows[:cut]) + "\n")
    return values


def prepared(records, root, tmp_path, streams=("imu",), **settings):
    preparation = Preparation(streams, **settings)
    return prepare_corpus(
        Manifest(tuple(records), root, {"name": "c"}), tmp_path / "out", preparation, workers=0, quiet=True
    )


def read_back(corpus, name="c0"):
    record = next(r for r in corpus if r.id == name)
    return streams_of(corpus.meta["streams"])["imu"].read(corpus.root / record.streams["imu"])


def test_a_sensor_alone_is_a_clip(tmp_path):
    values = [table(tmp_path / f"in/c{k}.csv", 80 + k, k) for k in range(3)]
    records = [Record(f"c{k}", "A", "s", streams={"imu": f"c{k}.csv"}, extra=HOW) for k in range(3)]
    corpus, _ = prepared(records, tmp_path / "in", tmp_path)
    assert "imu" in makeable()
    assert corpus.meta["streams"]["imu"]["channels"] == list(NAMES)
    for k, record in enumerate(corpus):
        signal = read_back(corpus, f"c{k}")
        np.testing.assert_allclose(signal.values_TC, values[k], atol=1e-5)
        assert (record.n_frames, record.fps, signal.rate_hz, signal.start_s) == (80 + k, 50.0, 50.0, 0.0)
        assert record.extra["imu"] == {"rate_hz": 50.0, "prepared": True, "worn_on": "right_wrist"}
    assert len({r.content for r in corpus}) == 3


def test_one_recording_in_two_forms_is_one_content(tmp_path):
    values = table(tmp_path / "in/c0.csv")
    np.save(tmp_path / "in/c1.npy", values)
    how = {"imu": {"rate_hz": 50.0, "channels": "ax,ay,az,gx,gy,gz"}}
    records = [
        Record("c0", "A", "s", streams={"imu": "c0.csv"}, extra=HOW),
        Record("c1", "A", "s", streams={"imu": "c1.npy"}, extra=how),
    ]
    corpus, _ = prepared(records, tmp_path / "in", tmp_path)
    assert len({r.content for r in corpus}) == 1  # a leak between train and test would be found


def test_beside_poses_it_is_cut_to_the_clip_and_its_clock_is_kept(pose_footage, tmp_path):
    file = sorted(pose_footage.rglob("*.pose"))[0]
    (tmp_path / "in").mkdir()
    (tmp_path / "in/c0.pose").write_bytes(file.read_bytes())
    values = table(tmp_path / "in/c0.csv", 400)
    how = {"imu": {"rate_hz": 50.0, "offset_s": -1.0, "drift": 0.25}}
    record = Record("c0", "A", "s", streams={"pose": "c0.pose", "imu": "c0.csv"}, first_frame=2, end_frame=8, extra=how)
    corpus, _ = prepared([record], tmp_path / "in", tmp_path, ("pose", "imu"))
    signal, clip = read_back(corpus), corpus.records[0]
    assert (clip.n_frames, clip.fps) == (6, 6.0)
    # Sample k is of the time -1 + 1.25 · k / 50 of the video; the clip begins at 2 / 6 s and lasts 1 s.
    first = int(np.floor((2 / 6 + 1) / 1.25 * 50))
    assert signal.rate_hz == pytest.approx(40)
    assert signal.start_s == pytest.approx(-1 + first / 40 - 2 / 6)
    np.testing.assert_allclose(signal.values_TC[0], values[first], atol=1e-5)
    assert 1.0 <= signal.duration_s <= 1.1


def test_what_is_wrong_with_a_sensor_costs_no_clip(pose_footage, tmp_path):
    poses = sorted(pose_footage.rglob("*.pose"))[:6]
    root = tmp_path / "in"
    root.mkdir()
    records = []
    for k, file in enumerate(poses):
        (root / f"c{k}.pose").write_bytes(file.read_bytes())
        records.append(Record(f"c{k}", "A", "s", streams={"pose": f"c{k}.pose", "imu": f"c{k}.csv"}, extra=HOW))
    table(root / "c0.csv", 300)
    records[1] = Record("c1", "A", "s", streams={"pose": "c1.pose"})  # nobody wore one
    table(root / "c2.csv", 12)  # far too short
    (root / "c3.csv").write_bytes(b"\x00\xff not a table")
    table(root / "c4.csv", 300, names=("ax", "ay", "az"))  # another sensor
    table(root / "c5.csv", 300)
    corpus, outcomes = prepared(records, root, tmp_path, ("pose", "imu"))
    assert [r.id for r in corpus if "imu" in r.streams] == ["c0", "c5"]
    assert [r.id for r in corpus if "pose" in r.streams] == ["c0", "c1", "c2", "c3", "c5"]
    assert [(f["id"], f["reason"]) for f in read_failures(corpus.root)] == [("c4", "other-channels")]
    notes = "\n".join(corpus.meta["notes"])
    assert "1 clip (first 'c1') without a sensor" in notes
    assert "2 clips (first 'c2') could not be read" in notes
    assert "signloom sync" in notes
    assert outcomes[2].ok


def test_without_its_sensor_a_clip_of_sensors_is_a_row(tmp_path):
    table(tmp_path / "in/c0.csv")
    (tmp_path / "in/c1.csv").write_text("ax,ay\n")
    records = [Record(f"c{k}", "A", "s", streams={"imu": f"c{k}.csv"}, extra=HOW) for k in range(3)]
    corpus, _ = prepared(records, tmp_path / "in", tmp_path)
    assert [r.id for r in corpus] == ["c0"]
    assert [f["id"] for f in read_failures(corpus.root)] == ["c1", "c2"]
    assert all(f["message"] for f in read_failures(corpus.root))


def test_all_are_brought_to_one_rate_where_that_is_asked_for(tmp_path):
    table(tmp_path / "in/c0.csv", 200)
    records = [Record("c0", "A", "s", streams={"imu": "c0.csv"}, extra={"imu": {"rate_hz": 200.0}})]
    corpus, _ = prepared(records, tmp_path / "in", tmp_path, {"imu": stream_named("imu", rate_hz=50.0)})
    assert read_back(corpus).rate_hz == 50.0
    assert len(read_back(corpus)) == 50
    assert corpus.meta["streams"]["imu"]["rate_hz"] == 50.0


def test_pushed_as_it_comes_it_is_what_was_stored(tmp_path):
    values = table(tmp_path / "in/c0.csv", 120)
    corpus, _ = prepared([Record("c0", streams={"imu": "c0.csv"}, extra=HOW)], tmp_path / "in", tmp_path)
    stream = streams_of(corpus.meta["streams"])["imu"]
    runner = Runner({"imu": stream}, ClipInfo("c0", 50.0))
    for k, row in enumerate(values):
        runner.push(k / 50, {"imu": row.astype(np.float32)})
    live, stored = runner.close()["imu"], read_back(corpus)
    np.testing.assert_array_equal(live.values_TC, stored.values_TC)
    assert (live.rate_hz, live.channels, live.start_s) == (stored.rate_hz, stored.channels, stored.start_s)


def test_uneven_samples_are_brought_to_an_even_clock():
    stream = ImuStream(channels=("other_x_raw",))
    times_s = np.array([0, 0.01, 0.02, 0.05, 0.06, 0.07])  # two were lost
    signal = stream.gather([Timed(t, np.float32([t])) for t in times_s], ClipInfo("c", 25.0))
    np.testing.assert_allclose(signal.values_TC[:, 0], np.arange(8) / 100, atol=1e-6)
    assert signal.rate_hz == 100
    with pytest.raises(MediaError, match=r"no sample for 0\.20 s from 0\.02 s on"):
        stream.gather([Timed(t, np.float32([t])) for t in (0, 0.01, 0.02, 0.22, 0.23, 0.24)], ClipInfo("c", 25.0))
    with pytest.raises(InputError, match="in seconds"):
        stream.gather([Timed(t, np.float32([t])) for t in (0.0, 20.0, 40.0)], ClipInfo("c", 25.0))
    with pytest.raises(MediaError, match="a signal needs two"):
        stream.gather([Timed(0.0, np.float32([0]))], ClipInfo("c", 25.0))
    with pytest.raises(InputError, match="order of their times"):
        stream.gather([Timed(t, np.float32([0])) for t in (0.0, 0.2, 0.1)], ClipInfo("c", 25.0))
    with pytest.raises(InputError, match="shape"):
        stream.gather([Timed(t, np.float32([0, 1])) for t in (0.0, 0.1)], ClipInfo("c", 25.0))


def test_a_signal_is_cut_and_chosen_from():
    signal = Signal(np.arange(20, dtype=np.float32).reshape(10, 2), 10.0, ("a_other_x_raw", "other_y_raw"), 0.5)
    assert signal[2:5].start_s == pytest.approx(0.7)
    assert signal.select(["other_y_raw"]).values_TC[:, 0].tolist() == list(range(1, 20, 2))
    np.testing.assert_allclose(signal.at(np.array([0.0, 0.55, 9.0]))[:, 0], [0, 1, 18])
    with pytest.raises(InputError, match="no channel 'b'"):
        signal.select(["b"])
    with pytest.raises(InputError, match="rate in Hz"):
        Signal(signal.values_TC, 0.0, signal.channels)


def test_slower_without_folding_over():
    t = np.arange(400) / 200
    fast = np.sin(2 * np.pi * 60 * t) + np.sin(2 * np.pi * 3 * t)  # 60 Hz would fold over to 10 Hz at 50
    slow = Signal(fast[:, None].astype(np.float32), 200.0, ("other_x_raw",)).resampled(50.0)
    wanted = np.sin(2 * np.pi * 3 * slow.times_s)
    assert np.abs(slow.values_TC[10:-10, 0] - wanted[10:-10]).max() < 0.05


def test_a_corpus_says_how_its_sensors_were_made(tmp_path):
    with pytest.raises(InputError, match="bring it into a corpus with prepare"):
        streams_of({"imu": {"extractor": "signloom-synthetic"}})
    made = stream_named("imu").fingerprint()
    assert streams_of({"imu": json.loads(json.dumps(made))})["imu"].fingerprint() == made
