"""Corpora of sensor recordings: trees, wide tables, partners of videos, and what auto says of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.io

from signloom.data.leaks import audit
from signloom.data.manifest import read_manifest, write_manifest
from signloom.errors import InputError
from signloom.media.sensor_files import read_sensor_file
from signloom.sources import read_source
from signloom.sources.sensors import read_sensors

HEADER = "ax,ay,az,gx,gy,gz"
SAMPLES = HEADER + "\n" + "0,0,1,5,6,7\n" * 20


def read(record, root):
    """The recording of ``record`` as its record says that it is to be read."""
    how = {k: v for k, v in record.extra.get("imu", {}).items() if k != "worn_on"}
    return read_sensor_file(root / record.streams["imu"], **how)


def test_a_tree_by_pattern(tree):
    root = tree("u1/hello_1.csv", "u2/bye_two_3.csv", "u2/bye_two_4.npy", "notes.md", "u3/odd.csv")
    corpus = read_sensors(root, pattern="{signer}/{label}_{take}.*", rate_hz="50", worn_on="right_wrist")
    assert [(r.id, r.label, r.signer, r.streams["imu"]) for r in corpus][1:] == [
        (corpus.records[1].id, "bye_two", "u2", "u2/bye_two_3.csv"),
        (corpus.records[2].id, "bye_two", "u2", "u2/bye_two_4.npy"),
    ]
    assert corpus.records[0].extra == {"take": "1", "imu": {"rate_hz": 50.0, "worn_on": "right_wrist"}}
    assert corpus.meta["unmatched"] == {"count": 1, "first": ["u3/odd.csv"]}
    assert len({r.id for r in corpus}) == 3
    only = read_source(root, pattern="{signer}/{label}_{take}.csv")  # its suffix says that it is for sensors
    assert (only.meta["source"], len(only)) == ("sensors", 2)
    with pytest.raises(InputError, match=r"'.mp4' is no suffix of a sensor file"):
        read_sensors(root, pattern="{label}.mp4")
    with pytest.raises(InputError, match=r"fits none of the 4 files .* A pattern that fits it"):
        read_sensors(root, pattern="{label}.csv")


def test_records_say_how_their_files_are_read_and_survive_the_disk(tree, tmp_path):
    root = tree()
    (root / "hi").mkdir()
    (root / "hi" / "1.txt").write_text("0,0;0,0;9,80665;0,1\n" * 20)
    corpus = read_sensors(
        root,
        pattern="{label}/{take}.txt",
        rate_hz=40,
        channels="ax,ay,az,gx",
        units="acceleration=m/s²,rotation=rad/s",
        header="no",
    )
    write_manifest(corpus, tmp_path / "out")
    (record,) = read_manifest(tmp_path / "out")
    got = read(record, root)
    assert (got.rate_hz, got.channels[2:]) == (40, ("acceleration_z_g", "rotation_x_dps"))
    np.testing.assert_allclose(got.values_TC[0], [0, 0, 1, np.degrees(0.1)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate_hz": "fast"}, "rate_hz is 'fast'"),
        ({"rate_hz": -1}, "rate_hz is '-1'"),
        ({"units": "speed=km/h"}, "'speed' is not known"),
        ({"units": "rotation=rpm"}, "rotation in 'rpm' is not known"),
        ({"channels": "AX=acceleration_x_g,AY"}, "'AY' is not COLUMN=CHANNEL"),
        ({"header": "perhaps"}, "'header' is 'perhaps'"),
        ({"columns": "id=x"}, "option columns is for a table"),
    ],
)
def test_options_that_cannot_be_meant(tree, options, message):
    with pytest.raises(InputError, match=message):
        read_sensors(tree("a.csv"), pattern="{label}.csv", **options)


# --- wide tables ----------------------------------------------------------------------------------------------------


def wide(path, rows, header="user,gloss,take," + HEADER):
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_a_wide_table_of_a_row_per_sample(tmp_path):
    rows = [f"u{k},{label},t{k}{label},0,0,1,{k},0,{n}" for k in (1, 2) for label in ("hi", "bye") for n in range(12)]
    path = wide(tmp_path / "all.csv", rows)
    corpus = read_source(path, **{"rate_hz": "50"})
    assert corpus.meta["source"] == "sensors"
    assert "read id = 'take', label = 'gloss', signer = 'user'" in " ".join(corpus.meta["notes"])
    assert [(r.label, r.signer) for r in corpus] == [("hi", "u1"), ("bye", "u1"), ("hi", "u2"), ("bye", "u2")]
    for record in corpus:
        got = read(record, tmp_path)
        assert got.values_TC.shape == (12, 6)
        np.testing.assert_array_equal(got.values_TC[:, 3], int(record.signer[1:]))
        np.testing.assert_array_equal(got.values_TC[:, 5], np.arange(12))
    by_user = read_sensors(path, columns="id=user,label=", rate_hz=50)
    assert [(r.id, r.label) for r in by_user] == [("u1", None), ("u2", None)]


def test_a_wide_table_of_a_row_per_recording(tmp_path):
    names = [f"{axis}_{k}" for axis in ("ax", "ay", "az") for k in range(5)]
    rows = [f"r{n},sign{n % 2}," + ",".join(str(n + 0.1 * k) for k in range(15)) for n in range(4)]
    path = wide(tmp_path / "rows.csv", rows, "id,label," + ",".join(names))
    corpus = read_sensors(path, rate_hz=20)
    assert [r.label for r in corpus] == ["sign0", "sign1"] * 2
    got = read(corpus.records[3], tmp_path)
    np.testing.assert_allclose(got.values_TC, 3 + 0.1 * np.arange(15).reshape(3, 5).T)


def test_wide_tables_that_cannot_be_told_apart(tmp_path):
    some = [f"u1,hi,a,0,0,1,0,0,{n}" for n in range(5)]
    path = wide(tmp_path / "a.csv", some + [f"u2,hi,a,0,0,1,0,0,{n}" for n in range(5)])
    with pytest.raises(InputError, match=r"recording 'a' has 2 values of signer \('user'\): u1, u2"):
        read_sensors(path)
    path = wide(tmp_path / "b.csv", [row.removeprefix("u1,hi,a,") for row in some], HEADER)
    with pytest.raises(InputError, match="which column tells its recordings apart"):
        read_sensors(path)
    path = wide(tmp_path / "c.csv", [f"u1,hi,{n},0,0,1,0,0,{n}" for n in range(5)])
    with pytest.raises(InputError, match="another value in most rows"):
        read_sensors(path)
    with pytest.raises(InputError, match="no column 'who' for signer"):
        read_sensors(path, columns="signer=who")
    path = wide(tmp_path / "d.csv", [*some, "u1,hi,,0,0,1,0,0,9"])
    with pytest.raises(InputError, match="line 7: no value in its id column 'take'"):
        read_sensors(path)


# --- what auto says ---------------------------------------------------------------------------------------------------


def test_auto_asks_for_a_pattern_and_suggests_one(tree):
    root = tree(*(f"User{u}/{s}_{n}.csv" for u in (1, 2) for s in ("bird", "blue") for n in (11, 12)))
    with pytest.raises(
        InputError, match=r"8 sensor files.*--source sensors --pattern '(.*)' --option rate_hz"
    ) as caught:
        read_source(root)
    pattern = str(caught.value).split("--pattern '")[1].split("'")[0]
    corpus = read_source(root, "sensors", pattern)
    assert (len(corpus), corpus.labels, corpus.signers) == (8, ("bird", "blue"), ("User1", "User2"))


def test_the_pattern_for_utd_mhad_leaves_its_other_files(tree):
    root = tree(*(f"{k}/a{a}_s{s}_t1_{k.lower()}.mat" for k in ("Depth", "Inertial") for a in (1, 2) for s in (1, 2)))
    with pytest.raises(InputError) as caught:
        read_source(root)
    pattern = str(caught.value).split("--pattern '")[1].split("'")[0]
    corpus = read_source(root, pattern=pattern)
    assert (len(corpus), corpus.labels, corpus.signers) == (4, ("a1", "a2"), ("s1", "s2"))
    assert all("_inertial.mat" in r.streams["imu"] for r in corpus)


def test_lists_of_clips_are_no_sensors(tree):
    root = tree("a.csv", "b.csv", "x.txt")
    (root / "a.csv").write_text("file,label\nx.mp4,hi\n")
    with pytest.raises(InputError, match=r"there is no video or \.pose file below"):
        read_source(root)
    assert read_source_name(root / "a.csv") == "csv"


def read_source_name(path):
    (path.parent / "x.mp4").touch()
    return read_source(path).meta["source"]


# --- beside videos ----------------------------------------------------------------------------------------------------


def test_sensor_files_beside_videos_are_taken_along_and_said(tree):
    root = tree(*(f"hi/{n}.mp4" for n in "abcdef"), "hi/b_imu.csv", "hi/e_imu.csv", "hi/e_inertial.mat", "hi/f.txt")
    (root / "hi" / "a.csv").write_text(SAMPLES)
    scipy.io.savemat(root / "hi" / "c.mat", {"d_iner": np.ones((9, 6))})
    (root / "hi" / "d.csv").write_text("frame,x,y\n0,1,2\n")  # of something else
    corpus = read_source(root)
    assert {r.id: r.streams.get("imu") for r in corpus} == {
        "hi_a": "hi/a.csv",
        "hi_b": "hi/b_imu.csv",
        "hi_c": "hi/c.mat",
        "hi_d": None,
        "hi_e": None,
        "hi_f": None,
    }
    said = " | ".join(corpus.meta["notes"])
    assert "3 of 6 clips have a sensor file of the same name, taken as their stream 'imu'" in said
    assert "1 clips have several sensor files of the same name, and none is taken: 'hi/e_imu.csv' and" in said
    assert all("imu" not in r.streams for r in read_source(root, imu="no"))


def test_videos_named_by_their_camera_find_their_sensor(tree):
    root = tree("s1/a1_s1_t1_color.avi", "s1/a1_s1_t1_inertial.mat")
    (record,) = read_source(root, pattern="{signer}/{label}_{*}_{take}_color.avi")
    assert record.streams == {"video": "s1/a1_s1_t1_color.avi", "imu": "s1/a1_s1_t1_inertial.mat"}


def test_any_source_is_told_how_its_sensors_are_read(tree):
    root = tree("hi/a.mp4", "hi/b.mp4", "hi/a_imu.csv")
    a, b = read_source(root, **{"imu.rate_hz": "50", "imu.worn_on": "left_wrist"})
    assert a.extra == {"imu": {"rate_hz": 50.0, "worn_on": "left_wrist"}}
    assert b.extra == {}
    with pytest.raises(InputError, match="sensor option 'rate' is not known"):
        read_source(root, **{"imu.rate": "50"})
    with pytest.raises(InputError, match=r"no clip of .* has a sensor file"):
        read_source(root, imu="no", **{"imu.rate_hz": 50})


@pytest.mark.real
def test_the_myo_recordings_by_pattern(real_data):
    corpus = read_sensors(real_data / "asl_myo_20words", pattern="{signer}/{label}_{take}.csv", rate_hz=50)
    assert (len(corpus), len(corpus.labels), len(corpus.signers)) == (550, 20, 9)
    with pytest.raises(InputError, match=r"550 sensor files.*'\{signer\}/\{label\}_\{take\}\.csv'"):
        read_source(real_data / "asl_myo_20words")


def test_the_clips_of_one_wide_table_are_no_copies_of_each_other(tmp_path, signloom):
    """Each is rows of its own: no duplicates to the doctor, no leak where they stand in different splits."""
    rng = np.random.default_rng(0)
    rows = ["take,gloss,user,set,ax,ay,az"]
    for take in range(8):
        split = "test" if take % 4 == 3 else "train"
        about = f"t{take},{'AB'[take % 2]},u{take % 4},{split}"
        rows += [f"{about},{x:.3f},{y:.3f},{z:.3f}" for x, y, z in rng.normal(0, 1, (30, 3))]
    (tmp_path / "all.csv").write_text("\n".join(rows) + "\n")
    read = ("--option", "columns=id=take,label=gloss,signer=user,split=set", "--option", "rate_hz=50")
    code, said, err = signloom("doctor", tmp_path / "all.csv", "--source", "sensors", *read, "--json")
    assert (code, json.loads(said)["problems"]) == (0, []), err
    words = ("prepare", tmp_path / "all.csv", "--source", "sensors", *read, "--streams", "imu", "--out", tmp_path / "c")
    code, said, err = signloom(*words, "--workers", "0", "--json")
    assert (code, json.loads(said)["clips"]) == (0, 8), err
    corpus = read_manifest(tmp_path / "c")
    assert len({r.content for r in corpus}) == 8
    assert not audit(corpus)
    assert [r.split for r in corpus].count("test") == 2
