"""Recognisers of sensors and of skeletons with sensors, from raw files to answers: every verb, live as offline."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

import signloom
from signloom import media
from signloom.cli import main as cli
from signloom.data.corpus import clips_of
from signloom.data.manifest import read_manifest
from signloom.errors import InputError
from signloom.media.skeleton_files import kinect_pose

RATE = 50.0
SIGNERS, LABELS, TAKES = 4, 3, 3


def swing(label, signer, take):
    """What a wrist does: six channels, whose rate tells the sign; and the place of that wrist over time."""
    rng = np.random.default_rng((label, signer, take))
    n = 70 + int(rng.integers(0, 20))
    t = np.arange(n) / RATE
    phase, size = rng.uniform(0, 6), rng.uniform(0.8, 1.2)
    wave = size * np.sin(2 * np.pi * (0.8 + label) * t + phase)
    values = np.stack([0.3 * wave, 0.2 * wave, 1 + 0.1 * wave, 80 * wave, 40 * wave, 10 * wave], 1)
    return values + rng.normal(0, [0.02] * 3 + [3] * 3, (n, 6)), wave


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """``{signer}/{label}_{take}.csv``, and a skeleton beside each as ``.pose``. Do not change them."""
    folder = tmp_path_factory.mktemp("raw")
    still = np.random.default_rng(9).normal(0, 0.3, (20, 3)) + np.array([0, 0, 2])
    for signer in range(SIGNERS):
        for label in range(LABELS):
            for take in range(TAKES):
                values, wave = swing(label, signer, take)
                file = folder / f"s{signer}" / f"G{label}_t{take}.csv"
                file.parent.mkdir(exist_ok=True)
                rows = ["ax [g],ay [g],az [g],gx [deg/s],gy [deg/s],gz [deg/s]"]
                rows += [",".join(f"{v:.5f}" for v in row) for row in values]
                file.write_text("\n".join(rows) + "\n")
                places = np.repeat(still[None], len(wave) // 2, 0)
                places[:, 10, 1] += 0.2 * wave[: 2 * (len(wave) // 2) : 2]  # the right wrist
                media.write_pose(file.with_suffix(".pose"), kinect_pose(places, np.ones(places.shape[:2], bool), 25.0))
    return folder


QUICK = ("--batch-size", "8", "--precision", "fp32")
SETTINGS = {
    "imu-ridge": ("model.kernels=24", "inputs.n_steps=48"),
    "imu": ("model.kernels=8", "model.hidden=16", "model.members=2", "inputs.n_steps=48", "schedule.min_steps=0"),
    "inception-time": ("model.depth=3", "inputs.n_steps=48"),
    "skeleton-imu": ("schedule.min_steps=0",),
}


@pytest.fixture(scope="module")
def place(raw, tmp_path_factory):
    """A prepared corpus of sensors, one of skeletons with sensors, and a run of each recipe. Do not change them."""
    folder = tmp_path_factory.mktemp("sensor runs")
    pattern = ("--pattern", "{signer}/{label}_{take}")
    read = ("--option", "rate_hz=50")  # of sensors alone, imu is what is made
    calls = [("prepare", raw, pattern[0], f"{pattern[1]}.csv", *read, "--out", folder / "imu", "--workers", "0")]
    both = ("--option", "imu.rate_hz=50", "--streams", "pose", "imu", "--workers", "0")
    calls += [("prepare", raw, pattern[0], f"{pattern[1]}.pose", *both, "--out", folder / "both")]
    for recipe, settings in SETTINGS.items():
        corpus = folder / ("both" if recipe == "skeleton-imu" else "imu")
        epochs = ("--epochs", "3") if recipe != "imu-ridge" else ()
        calls.append(
            (
                "train",
                corpus,
                "--recipe",
                recipe,
                *QUICK,
                *epochs,
                "--out",
                folder / f"run-{recipe}",
                "--set",
                *settings,
            )
        )
    for words in calls:
        assert cli.main([str(w) for w in words]) == 0, words
    return folder


def test_partners_are_prepared_together(place):
    corpus = read_manifest(place / "both")
    assert len(corpus) == SIGNERS * LABELS * TAKES
    assert all({"pose", "imu"} <= set(r.streams) for r in corpus)


@pytest.mark.parametrize("recipe", list(SETTINGS))
def test_it_is_measured_and_told(place, recipe, signloom, tmp_path):
    corpus = place / ("both" if recipe == "skeleton-imu" else "imu")
    code, said, err = signloom("evaluate", place / f"run-{recipe}", corpus, "--json", "--out", tmp_path)
    assert code == 0, err
    found = json.loads(said)
    assert (tmp_path / "report.html").stat().st_size > 10_000
    if recipe == "imu-ridge":
        assert found["metrics"]["top1"]["value"] > 0.8  # what tells the signs is plain to see
    assert ("without" in found) == (recipe == "skeleton-imu")
    if recipe == "skeleton-imu":
        assert [row["stream"] for row in found["without"]] == ["pose", "imu"]
        assert "Without stream" in (tmp_path / "report.html").read_text()
    assert signloom("info", place / f"run-{recipe}")[0] == 0


def test_raw_files_pushed_samples_and_the_corpus_get_one_answer(place, raw, signloom):
    predictor = signloom_load(place / "run-imu-ridge")
    file = raw / "s1" / "G2_t0.csv"
    code, said, err = signloom(
        "predict", place / "run-imu-ridge", file, "--option", "rate_hz=50", "--json", "--top", "3"
    )
    assert code == 0, err
    told = dict(json.loads(said)["top"])
    corpus = read_manifest(place / "imu")
    of_corpus = next(c for c in clips_of(corpus) if c.record.streams["imu"].split("/")[-1].startswith("s1_G2_t0"))
    assert dict(predictor(of_corpus).top(3)) == pytest.approx(told, abs=1e-6)
    clip = read_clip(file, predictor, RATE)
    assert dict(predictor(clip).top(3)) == pytest.approx(told, abs=1e-6)
    session = predictor.session()
    signal = clip.samples["imu"]
    for time_s, row in zip(signal.times_s, signal.values_TC):
        assert list(session.push(float(time_s), {"imu": row})) == []
    (answer,) = session.close()
    assert dict(answer.top(3)) == pytest.approx(told, abs=1e-6)
    arrays = read_clip({"imu": signal.values_TC}, predictor, RATE)
    assert dict(predictor(arrays).top(3)) == pytest.approx(told, abs=1e-6)


signloom_load, read_clip = signloom.load, signloom.read_clip


def test_a_file_without_its_rate_is_asked_about(place, raw, signloom):
    code, _, err = signloom("predict", place / "run-imu-ridge", raw / "s1" / "G2_t0.csv")
    assert code == 1
    assert "rate_hz=50" in err


def test_columns_in_another_order_are_the_same_and_missing_ones_are_a_row(place, raw, tmp_path, signloom):
    values, _ = swing(1, 2, 0)
    names = ("gz", "gy", "gx", "temperature", "az", "ay", "ax")
    columns = (5, 4, 3, 0, 2, 1, 0)
    rows = [",".join(names), *(",".join(f"{row[c]:.5f}" for c in columns) for row in values)]
    (tmp_path / "turned.csv").write_text("\n".join(rows) + "\n")
    rows = ["ax,ay,az", *(",".join(f"{v:.4f}" for v in row[:3]) for row in values)]
    (tmp_path / "few.csv").write_text("\n".join(rows) + "\n")
    usual = raw / "s2" / "G1_t0.csv"
    files = (usual, tmp_path / "turned.csv", tmp_path / "few.csv")
    code, said, err = signloom("predict", place / "run-imu-ridge", *files, "--option", "rate_hz=50", "--json")
    assert code == 3, err
    first, second, third = (json.loads(line) for line in said.splitlines())
    assert dict(second["top"]) == pytest.approx(dict(first["top"]), abs=1e-4)
    assert "no channel 'rotation_x_dps'" in third["error"]
    assert "temperature" in err  # what was not used is told


def test_samples_without_their_rate_are_asked_about(place):
    predictor = signloom_load(place / "run-imu-ridge")
    with pytest.raises(InputError, match="fps=50"):
        read_clip({"imu": np.zeros((50, 6), np.float32)}, predictor)


def test_of_two_streams_one_will_do(place, signloom, tmp_path):
    """The sensors are gone from disk and from the manifest: the same run goes on answering."""
    shutil.copytree(place / "both", tmp_path / "c")
    shutil.rmtree(tmp_path / "c" / "imu")
    file = tmp_path / "c" / "manifest.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    del rows[0]["streams"]["imu"]
    for row in rows[1:]:
        del row["streams"]["imu"]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, said, err = signloom(
        "evaluate", place / "run-skeleton-imu", tmp_path / "c", "--json", "--out", tmp_path / "e"
    )
    assert code == 0, err
    alone = json.loads(said)["metrics"]["top1"]["value"]
    code, said, _ = signloom("evaluate", place / "run-skeleton-imu", place / "both", "--json", "--out", tmp_path / "f")
    assert code == 0
    assert alone == next(r for r in json.loads(said)["without"] if r["stream"] == "imu")["top1"]["value"]


def test_shards_hold_sensors_and_a_run_of_them_is_the_run_of_the_corpus(place, signloom, tmp_path):
    split = ("--split", place / "run-imu-ridge" / "split.json")
    assert signloom("shard", place / "imu", "--out", tmp_path / "shards", "--workers", "1", *split)[0] == 0
    words = ("train", tmp_path / "shards", "--recipe", "imu-ridge", *QUICK, "--out", tmp_path / "r")
    code, _, err = signloom(*words, "--set", *SETTINGS["imu-ridge"])
    assert code == 0, err
    code, said, err = signloom(
        "evaluate", tmp_path / "r", place / "imu", "--json", "--no-clips", "--out", tmp_path / "e"
    )
    assert code == 0, err
    assert json.loads(said)["metrics"]["top1"]["value"] > 0.8


def test_signers_are_left_out_in_turn(place, signloom, tmp_path):
    words = ("crossval", place / "imu", "--recipe", "imu-ridge", "--seeds", "0", "--only", "s0", "--no-clips")
    code, said, err = signloom(*words, "--out", tmp_path, "--json", "--set", *SETTINGS["imu-ridge"])
    assert code == 0, err
    assert json.loads(said)["cross_validation"]["top1"]["value"] > 0.7


def test_statistics_are_of_training_clips_alone(place):
    inputs = signloom_load(place / "run-imu").checkpoint.inputs
    corpus = read_manifest(place / "imu")
    trained = json.loads((place / "run-imu" / "split.json").read_text())["assignment"]
    read = signloom_load(place / "run-imu").read
    clips = [c for c in clips_of(corpus) if trained[c.id] == "train"]
    again = inputs.unfitted()
    again = replace(again, channels=("*", "!*_emg_*", "!*_orientation_*")).fitted(clips, read, ("imu",))
    np.testing.assert_allclose(again.mean, inputs.mean)
    np.testing.assert_allclose(again.std, inputs.std)
    everyone = replace(again.unfitted(), channels=again.channels).fitted(list(clips_of(corpus)), read, ("imu",))
    assert not np.allclose(everyone.std, inputs.std)
