"""What signloom 0.1.0 wrote is still read, and answers as it did: tests/fixtures/v1, made by tests/fixtures/make_v1.

A run that was left unfinished goes on to the same weights, or is refused with what to do; so is a finished one.
"""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pytest

from signloom.cli.main import main

V1 = Path(__file__).resolve().parent / "fixtures" / "v1"
EXPECTED = json.loads((V1 / "expected.json").read_text(encoding="utf-8"))
ASKED = EXPECTED["commands"]
WAYS_OUT = ("choose another --out", "start over")


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """A copy of the fixtures: what evaluates them keeps scores in their folders."""
    return shutil.copytree(V1, tmp_path_factory.mktemp("v1") / "v1")


@pytest.fixture
def ask(copied, monkeypatch, capsys):
    """``ask(words)``: run a command among the copied files; what it printed, a JSON value for each line."""
    monkeypatch.chdir(copied)

    def call(words):
        code = main(words)
        said = capsys.readouterr()
        assert code == 0, said.err
        return [json.loads(line) for line in said.out.splitlines()] if "--json" in words else said.out

    return call


def named(*verbs):
    """The commands of ``verbs``, by name."""
    return [name for name, row in ASKED.items() if row["words"][0] in verbs]


def leaves(value, path=()):
    """(path, number or text) of everything in a JSON value."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, (*path, key))
    else:
        yield path, value


def assert_alike(got, wanted, tolerance=1e-4):
    """The same keys, texts and numbers, these up to ``tolerance``."""
    got, wanted = dict(leaves(got)), dict(leaves(wanted))
    assert got.keys() == wanted.keys()
    for path, value in wanted.items():
        near = isinstance(value, float) and isinstance(got[path], int | float)
        assert got[path] == (pytest.approx(value, abs=tolerance) if near else value), path


def weights(run):
    """Shape and mean size of every tensor of a run, sorted."""
    from safetensors.numpy import load_file

    tensors = load_file(run / "checkpoint" / "model.safetensors").values()
    return sorted([list(t.shape), float(abs(t).mean())] for t in tensors)


def assert_same_weights(run, wanted):
    got = weights(run)
    assert [shape for shape, _ in got] == [shape for shape, _ in wanted]
    for shape in {tuple(shape) for shape, _ in wanted}:  # within a shape, sorted by size
        ours, theirs = ([size for s, size in found if tuple(s) == shape] for found in (got, wanted))
        assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-4), shape


# --- finished -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in named("evaluate") if "metrics" in ASKED[n]])
def test_recognisers_measure_as_they_did(name, ask):
    wanted = ASKED[name]
    (said,) = ask(wanted["words"])
    assert_alike(said["metrics"], wanted["metrics"])
    assert_alike(said["per_signer"], wanted["per_signer"])
    if "weights" in wanted:
        assert_alike([row["weight"] for row in said["fusion"]["streams"]], wanted["weights"])


def test_a_cross_validation_is_read(ask):
    wanted = ASKED["crossval"]
    (said,) = ask(wanted["words"])
    assert_alike([row["top1"]["value"] for row in said["streams"]], wanted["top1"])
    assert said["n_clips"] == wanted["n_clips"]


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in named("evaluate") if "psnr" in ASKED[n]])
def test_generators_measure_as_they_did(name, ask):
    wanted = ASKED[name]
    (said,) = ask(wanted["words"])
    assert said["n_frames"] == wanted["n_frames"]
    psnr = sorted(who["full"]["psnr"]["value"] for who in said["figures"].values() if "psnr" in who["full"])
    assert psnr == pytest.approx(wanted["psnr"], abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("name", named("predict"))
def test_recognisers_answer_as_they_did(name, ask):
    wanted = ASKED[name]
    said = ask(wanted["words"])
    told = [(row.pop("unknown"), row.pop("none_of_these")) for row in said]
    assert told == [(None, None)] * len(said)  # they cannot tell that a clip is none of their signs
    assert_alike(said, wanted["rows"])


@pytest.mark.parametrize("name", named("generate"))
def test_generators_paint_what_they_did(name, ask, copied):
    import av

    wanted = ASKED[name]
    said = {row["id"]: row for row in ask(wanted["words"])}
    assert said.keys() == {row["id"] for row in wanted["rows"]}
    for row in wanted["rows"]:
        with av.open(str(copied / said[row["id"]]["video"])) as video:
            shown = [frame.to_ndarray(format="gray") for frame in video.decode(video=0)]
        assert len(shown) == said[row["id"]]["n_frames"] == row["n_frames"]
        side = len(shown[0]) // 4
        parts = shown[0].reshape(4, side, 4, side).mean((1, 3)).ravel()
        assert parts.tolist() == pytest.approx(row["first"], abs=0.2)


def test_shards_are_trained_on_as_they_were(ask, copied):
    ask(ASKED["shards"]["words"])
    assert_same_weights(copied / "from-shards", ASKED["shards"]["weights"])


@pytest.mark.parametrize("split", ["signer", "one-signer"])
def test_splits_are_read(split, ask):
    assert "no leaks" in ask(["split", "corpus", "--check", f"splits/{split}.json"])


def test_a_corpus_can_be_split_and_sharded_again(ask):
    ask(["split", "corpus", "--scheme", "random", "--out", "splits/new.json"])
    (said,) = ask(
        ["shard", "corpus", "--out", "new-shards", "--split", "splits/signer.json", "--workers", "1", "--json"]
    )
    assert said["clips"] == {"train": 2, "val": 2, "test": 2}


# --- trained on ---------------------------------------------------------------------------------------------------


def train(words, folder, monkeypatch, capsys):
    """Give a training's command in ``folder``; None if it went well, else why it was refused."""
    monkeypatch.chdir(folder)
    code = main(words)
    said = capsys.readouterr()
    if code == 0:
        return None
    assert code == 2, said.err
    assert said.err.splitlines()[-1].startswith("error: ")
    return said.err


@pytest.mark.parametrize("name", EXPECTED["finished"])
def test_a_finished_run_is_loaded_or_refused_but_never_lost(name, tmp_path, monkeypatch, capsys):
    folder = shutil.copytree(V1, tmp_path / "v1")
    files = [folder / "trained" / name / "checkpoint" / "model.safetensors", folder / "trained" / name / "run.json"]
    before = [file.read_bytes() for file in files]
    refused = train(EXPECTED["finished"][name]["words"], folder, monkeypatch, capsys)
    assert refused is None or any(words in refused for words in WAYS_OUT)
    assert [file.read_bytes() for file in files] == before


@pytest.mark.parametrize("name", EXPECTED["unfinished"])
def test_an_unfinished_run_goes_on_or_is_refused(name, tmp_path, monkeypatch, capsys):
    folder = shutil.copytree(V1, tmp_path / "v1")
    run = folder / "unfinished" / name
    state = run / "state.pt"
    state.write_bytes(gzip.decompress((run / "state.pt.gz").read_bytes()))
    before = state.read_bytes()
    wanted = EXPECTED["unfinished"][name]
    refused = train(wanted["words"], folder, monkeypatch, capsys)
    if refused is None:
        assert_same_weights(run, wanted["weights"])
        assert not state.exists()
    else:
        assert "start over" in refused
        assert state.read_bytes() == before
