"""`signloom sync` over a corpus: planted clocks found and put into a new manifest, the input as it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from signloom import media
from signloom.cli.main import main
from signloom.data.manifest import Manifest, Record, read_manifest, write_manifest
from signloom.data.signal import Signal
from signloom.data.signal_files import read_signal, write_signal
from signloom.errors import InputError
from signloom.media.skeleton_files import KINECT_POINTS, kinect_pose
from signloom.pipelines.sync import sync_corpus
from signloom.synthetic.body import make_signer
from signloom.synthetic.exact import exact_pose
from signloom.synthetic.motion import RIGHT
from signloom.synthetic.render import Camera, make_scene
from signloom.synthetic.session import WRIST_CHANNELS, at_rest, session, wrist_sensor_of

OFFSETS_S = (0.3, -0.25, 0.12)
FRAME_S = 1 / 25


def write_csv(file, values, rate_hz):
    rows = [",".join(("time_s", *WRIST_CHANNELS))]
    rows += [f"{k / rate_hz:.4f}," + ",".join(f"{v:.5f}" for v in row) for k, row in enumerate(values)]
    file.write_text("\n".join(rows) + "\n")


def pose_of(motion, rng):
    return exact_pose(motion.sampled(25.0), make_signer(1), Camera(make_scene(rng), 480, 360))


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Manifest:
    """Three clips with planted offsets, a still one, and one whose sensor cannot be read."""
    root = tmp_path_factory.mktemp("raw")
    records = []
    for k, offset_s in enumerate((*OFFSETS_S, 0.0)):
        rng = np.random.default_rng(k)
        signer = make_signer(1)
        motion = session(signer, 4.0, rng) if k < len(OFFSETS_S) else at_rest(signer, 4.0, rng)
        media.write_pose(root / f"{k}.pose", pose_of(motion, rng))
        write_csv(root / f"{k}.csv", wrist_sensor_of(motion, rng, offset_s=offset_s), 50.0)
        name = f"clip{k}" if k < len(OFFSETS_S) else "still"
        about = {"worn_on": "right_wrist"}
        records.append(Record(name, streams={"pose": f"{k}.pose", "imu": f"{k}.csv"}, extra={"imu": about}))
    (root / "broken.csv").write_text("no,sensor\n")
    records.append(replace(records[0], id="broken", streams={"pose": "0.pose", "imu": "broken.csv"}))
    records.append(Record("bare", streams={"pose": "1.pose"}))
    write_manifest(Manifest(tuple(records), root, {"name": "raw"}), root)
    return read_manifest(root)


def contents(folder):
    return {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_planted_offsets_are_found_and_the_input_stays(raw, tmp_path):
    before = contents(raw.root)
    done = sync_corpus(raw, tmp_path / "out", quiet=True)
    assert contents(raw.root) == before
    rows = {row["id"]: row for row in done.rows}
    assert {k: row["status"] for k, row in rows.items()} == {
        **{f"clip{k}": "ok" for k in range(3)},
        "still": "still",
        "broken": "failed",
    }
    for k, offset_s in enumerate(OFFSETS_S):
        assert abs(rows[f"clip{k}"]["offset_s"] - offset_s) < FRAME_S
    assert "broken.csv" in rows["broken"]["message"]

    new = {r.id: r for r in read_manifest(tmp_path / "out")}
    old = {r.id: r for r in raw}
    assert list(new) == list(old)
    for k, offset_s in enumerate(OFFSETS_S):
        record = new[f"clip{k}"]
        assert abs(record.extra["imu"]["offset_s"] - offset_s) < FRAME_S
        assert record.extra["imu"]["worn_on"] == "right_wrist"
        assert record.extra["imu_sync"]["confidence"] > 0.5
        assert (tmp_path / "out" / record.streams["imu"]).resolve() == (raw.root / f"{k}.csv").resolve()
    for name in ("still", "broken", "bare"):
        assert new[name].extra == old[name].extra
    told = json.loads((tmp_path / "out" / "sync.json").read_text())
    assert told["counts"] == {"ok": 3, "still": 1, "failed": 1}
    assert told["rows"] == list(done.rows)
    assert (tmp_path / "out" / "sync.png").read_bytes()[:4] == b"\x89PNG"


def test_a_corrected_corpus_needs_no_correction(raw, tmp_path):
    sync_corpus(raw, tmp_path / "once", quiet=True)
    again = sync_corpus(read_manifest(tmp_path / "once"), quiet=True)
    for k, offset_s in enumerate(OFFSETS_S):
        row = next(row for row in again.rows if row["id"] == f"clip{k}")
        assert abs(row["offset_s"] - offset_s) < FRAME_S
        assert row["before"] == pytest.approx(row["after"], abs=0.02)


def test_refused_clips_can_be_given_what_the_others_have(raw):
    rows = {row["id"]: row for row in sync_corpus(raw, fill=True, quiet=True).rows}
    found = [rows[f"clip{k}"]["offset_s"] for k in range(3)]
    assert rows["still"]["status"] == "filled"
    assert rows["still"]["offset_s"] == pytest.approx(np.median(found))
    assert rows["broken"]["status"] == "failed"


def test_a_clip_cut_out_of_a_recording_tells_the_recordings_offset(tmp_path):
    rng = np.random.default_rng(3)
    motion = session(make_signer(1), 9.0, rng)
    media.write_pose(tmp_path / "a.pose", pose_of(motion, rng))
    write_csv(tmp_path / "a.csv", wrist_sensor_of(motion, rng, offset_s=0.2), 50.0)
    streams = {"pose": "a.pose", "imu": "a.csv"}
    record = Record("a", streams=streams, first_frame=100, end_frame=200, extra={"imu": {"worn_on": "right_wrist"}})
    (row,) = sync_corpus(Manifest((record,), tmp_path), quiet=True).rows
    assert row["status"] == "ok"
    assert abs(row["offset_s"] - 0.2) < FRAME_S


def test_a_kinects_skeleton_is_read_with_up_as_it_is(tmp_path):
    rng = np.random.default_rng(8)
    motion = session(make_signer(2), 4.0, rng)
    wrist = motion.sampled(30.0).hands[:, RIGHT, 0] * [1, -1, 1]  # a Kinect's y points up
    places = np.tile(wrist[:, None], (1, len(KINECT_POINTS), 1)) + np.array([0.0, 0.0, 3.0])
    pose = kinect_pose(places.astype(np.float32), np.ones(places.shape[:2], bool), 30.0)
    media.write_pose(tmp_path / "a.pose", pose)
    write_csv(tmp_path / "a.csv", wrist_sensor_of(motion, rng, offset_s=-0.3), 50.0)
    record = Record("a", streams={"pose": "a.pose", "imu": "a.csv"})
    (row,) = sync_corpus(Manifest((record,), tmp_path), joint="right_wrist", quiet=True).rows
    assert row["status"] == "ok"
    assert abs(row["offset_s"] + 0.3) < FRAME_S


def test_of_two_sensors_the_one_that_tells_more_is_taken(tmp_path):
    """A left-handed signer: the right wrist rests, and the channels say where each is worn."""
    rng = np.random.default_rng(7)
    signer = make_signer(3, left_handed=True)
    motion = session(signer, 4.0, rng)
    still = at_rest(signer, 4.0, rng)
    media.write_pose(tmp_path / "a.pose", pose_of(motion, rng))
    values = np.concatenate([wrist_sensor_of(still, rng), wrist_sensor_of(motion, rng, side=1, offset_s=0.22)], 1)
    channels = tuple(f"{side}_{c}" for side in ("right", "left") for c in WRIST_CHANNELS)
    write_signal(tmp_path / "a.npz", Signal(values, 50.0, channels))
    record = Record("a", streams={"pose": "a.pose", "imu": "a.npz"})
    manifest = Manifest((record,), tmp_path, {"streams": {"imu": {"extractor": "imu", "rate_hz": 0.0}}})
    (row,) = sync_corpus(manifest, quiet=True).rows
    assert (row["status"], row["joint"]) == ("ok", "left_wrist")
    assert abs(row["offset_s"] - 0.22) < FRAME_S


@pytest.mark.parametrize("rate_hz", [0.0, 50.0])
def test_prepared_signals_are_written_again_on_the_clips_clock(tmp_path, rate_hz):
    rng = np.random.default_rng(1)
    motion = session(make_signer(1), 60.0, rng)
    folder = tmp_path / "corpus"
    folder.mkdir()
    media.write_pose(folder / "a.pose", pose_of(motion, rng))
    values = wrist_sensor_of(motion, rng, offset_s=0.3, drift=0.01)
    write_signal(folder / "a.npz", Signal(values, 50.0, WRIST_CHANNELS))
    about = {"rate_hz": 50.0, "prepared": True, "worn_on": "right_wrist"}
    record = Record("a", streams={"pose": "a.pose", "imu": "a.npz"}, extra={"imu": about})
    meta: Mapping = {"streams": {"pose": {}, "imu": {"extractor": "imu", "rate_hz": rate_hz}}}
    write_manifest(Manifest((record,), folder, meta), folder)
    before = contents(folder)
    sync_corpus(read_manifest(folder), tmp_path / "out", quiet=True)
    assert contents(folder) == before
    new = read_manifest(tmp_path / "out")
    signal = read_signal(new.root / new.records[0].streams["imu"])
    assert abs(signal.start_s - 0.3) < FRAME_S
    assert signal.rate_hz == pytest.approx(rate_hz or 50 / 1.01, rel=0.0005)
    assert new.records[0].extra["imu"]["rate_hz"] == pytest.approx(signal.rate_hz)
    assert "offset_s" not in new.records[0].extra["imu"]  # it is in the file
    # What was put right needs nothing more.
    (row,) = sync_corpus(new, quiet=True).rows
    assert abs(row["offset_s"]) < 0.01
    assert abs(row["drift"]) < 0.0003


def test_what_cannot_be_synchronised_is_told(raw, tmp_path):
    with pytest.raises(InputError, match="both a sensor"):
        sync_corpus(raw.where(lambda r: r.id == "bare"), quiet=True)
    with pytest.raises(InputError, match=r"--out .* is the corpus itself"):
        sync_corpus(raw, raw.root, quiet=True)
    odd = tuple(replace(r, extra={"imu": {"worn_on": "right_wrist", "drift": -1}}) for r in raw)
    with pytest.raises(InputError, match="above -1"):
        sync_corpus(replace(raw, records=odd[:1]), quiet=True)
    unworn = replace(raw, records=tuple(replace(r, extra={}) for r in raw))
    with pytest.raises(InputError, match="--joint right_wrist"):
        sync_corpus(unworn, quiet=True)
    with pytest.raises(InputError, match="no joint 'tail'"):
        sync_corpus(unworn, joint="tail", quiet=True)
    assert sync_corpus(raw, joint="tail", quiet=True)  # what a record says of itself goes before


def test_the_verb_prints_writes_and_tells_by_its_exit_code(raw, tmp_path, capsys):
    assert main(["sync", str(raw.root), "--out", str(tmp_path / "a")]) == 3
    text = capsys.readouterr().out
    assert "ok: 3 of 5" in text
    assert "still: 1 of 5" in text
    assert "broken.csv" in text
    assert f"wrote {tmp_path / 'a'}/manifest.jsonl" in text
    assert main(["sync", str(raw.root), "--json"]) == 3
    told = json.loads(capsys.readouterr().out)
    assert told["counts"]["ok"] == 3
    assert told["rows"][0]["status"] == "ok"
    write_manifest(raw.where(lambda r: r.id.startswith("clip")), tmp_path / "whole")
    assert main(["sync", str(tmp_path / "whole"), "--out", str(tmp_path / "b")]) == 0


def test_the_same_command_gives_the_same_bytes(raw, tmp_path):
    for name in ("a", "b"):
        sync_corpus(raw, tmp_path / name, quiet=True)
    for file in ("manifest.jsonl", "sync.json", "sync.png"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.real
def test_in_utd_mhad_rates_disagree_with_the_span(real_data):
    root = real_data / "utd_mhad"
    records = []
    for action in range(1, 22):
        for subject in (1, 5):
            name = f"a{action}_s{subject}_t1"
            streams = {"imu": f"Inertial/{name}_inertial.mat", "pose": f"Skeleton/{name}_skeleton.mat"}
            about = {"imu": {"rate_hz": 50.0, "worn_on": "right_wrist"}}
            records.append(Record(name, streams=streams, fps=30.0, extra=about))
    done = sync_corpus(Manifest(tuple(records), root), quiet=True)
    factor, low, high = done.stretch
    assert 0.58 < factor < 0.68  # 1 / 1.59 = .63 by the lengths
    assert low < factor < high
    assert done.counts["ok"] > 0.8 * len(records)
    found = [row for row in done.rows if row["status"] == "ok"]
    assert abs(np.median([row["offset_s"] for row in found])) < 0.1
    assert np.median([row["after"] - row["before"] for row in found]) > 0.2
