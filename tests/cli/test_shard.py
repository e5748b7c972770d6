"""signloom shard: the same bytes each time, resumed after a kill, refusals that say what to do, and a whole run."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
from dataclasses import replace

import pytest

from signloom.cli import main as cli
from signloom.data.manifest import read_manifest, write_manifest
from signloom.data.splits import assign_split
from signloom.pipelines.shard import shard_corpus
from signloom.training.checkpoint import load_checkpoint

SMALL = ("--shard-mb", "0.1", "--workers", "1")
TINY = (
    "--recipe", "rgb", "--epochs", "1", "--batch-size", "4", "--precision", "fp32", "--set", "inputs.n_frames=4",
    "inputs.size_px=32", "inputs.resize_px=32", "model.widths=[8,8,8]", "model.blocks=[1,1]", "model.memory=8",
)  # fmt: skip


def call(capsys, *arguments):
    try:
        code = cli.main([str(a) for a in arguments])
    except SystemExit as end:
        code = end.code
    said = capsys.readouterr()
    return code, said.out, said.err


def hashes(folder):
    return {
        p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir() if p.suffix in (".tar", ".json")
    }


@pytest.fixture(scope="module")
def sharded(moving_corpus, tmp_path_factory):
    """Shards of all 24 clips. Do not change them."""
    out = tmp_path_factory.mktemp("sharded")
    assert cli.main(["shard", str(moving_corpus.root), "--out", str(out), "--seed", "1", *SMALL]) == 0
    return out


def test_the_same_command_gives_the_same_bytes_wherever_the_corpus_lies(moving_corpus, sharded, tmp_path, capsys):
    shutil.copytree(moving_corpus.root, tmp_path / "corpus")
    code, out, _ = call(capsys, "shard", tmp_path / "corpus", "--out", tmp_path / "b", "--seed", 1, *SMALL, "--json")
    assert code == 0
    told = json.loads(out)
    assert told["clips"] == {"train": 12, "val": 6, "test": 6}
    assert told["count"] == len(list(sharded.glob("*.tar"))) > 4
    assert hashes(tmp_path / "b") == hashes(sharded)
    listed = json.loads((sharded / "shards.json").read_text())["splits"]
    for row in (row for rows in listed.values() for row in rows):
        whole = hashlib.blake2b((sharded / row["file"]).read_bytes(), digest_size=16).hexdigest()
        assert row["content"] == whole


def test_what_a_killed_run_left_is_finished_and_what_is_done_is_kept(moving_corpus, sharded, tmp_path, capsys):
    out = tmp_path / "out"
    shutil.copytree(sharded, out)
    kept, lost = out / "train-000000.tar", out / "train-000001.tar"
    stamp = kept.stat().st_mtime_ns
    lost.unlink()
    (out / "shards.json").unlink()
    (out / ".tmp-left0123.tar").write_bytes(b"half")
    code, _, err = call(capsys, "shard", moving_corpus.root, "--out", out, "--seed", 1, *SMALL)
    assert code == 0, err
    assert hashes(out) == hashes(sharded)
    assert kept.stat().st_mtime_ns == stamp
    lost.write_bytes(b"")  # a finished folder that was damaged later
    assert call(capsys, "shard", moving_corpus.root, "--out", out, "--seed", 1, *SMALL)[0] == 0
    assert hashes(out) == hashes(sharded)
    assert kept.stat().st_mtime_ns == stamp


def test_another_seed_deals_the_clips_otherwise(moving_corpus, sharded, tmp_path, capsys):
    split = sharded / "split.json"
    made = []
    for seed in (1, 2):
        out = tmp_path / str(seed)
        assert call(capsys, "shard", moving_corpus.root, "--out", out, "--split", split, "--seed", seed, *SMALL)[0] == 0
        made.append(hashes(out))
    assert made[0]["train-000000.tar"] == hashes(sharded)["train-000000.tar"] != made[1]["train-000000.tar"]


def test_a_folder_of_other_shards_is_refused(moving_corpus, sharded, tmp_path, capsys):
    out = tmp_path / "out"
    shutil.copytree(sharded, out)
    before = hashes(out)
    code, _, err = call(capsys, "shard", moving_corpus.root, "--out", out, "--seed", 1, "--shard-mb", 5)
    assert code == 2
    assert "another shard_mb" in err
    (out / "shards.json").unlink()
    code, _, err = call(capsys, "shard", moving_corpus.root, "--out", out, "--seed", 1, "--shard-mb", 5)
    assert code == 2
    assert "none of the 3 shards to be made" in err
    del before["shards.json"]
    assert hashes(out) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--streams", "pose"), "no prepared stream 'pose'"),
        (("--streams", "video"), "expected some of pose, frames, flow"),
        (("--shard-mb", "0"), "expected more than 0"),
        (("--split", "nowhere.json"), "neither a file"),
    ],
)
def test_bad_input_is_refused(moving_corpus, tmp_path, capsys, arguments, said):
    code, _, err = call(capsys, "shard", moving_corpus.root, "--out", tmp_path / "out", *arguments)
    assert code == 2
    assert said in err
    assert not (tmp_path / "out").exists()


def test_a_clip_whose_file_is_gone_or_that_has_no_label_is_named(moving_corpus, tmp_path, capsys):
    folder = tmp_path / "corpus"
    shutil.copytree(moving_corpus.root, folder)
    (folder / "flow" / "s1.G0_t0.mp4").unlink()
    code, _, err = call(capsys, "shard", folder, "--out", tmp_path / "out")
    assert code == 1
    assert "clip 's1.G0_t0': its flow" in err
    manifest = read_manifest(folder)
    lines = [r if r.id != "s1.G1_t0" else type(r)(**{**vars(r), "label": None}) for r in manifest]
    write_manifest(type(manifest)(tuple(lines), folder, manifest.meta), folder)
    code, _, err = call(capsys, "shard", folder, "--out", tmp_path / "out", "--streams", "frames")
    assert code == 2
    assert "clip 's1.G1_t0'" in err
    assert "no label" in err


def test_train_on_shards_and_use_the_model_on_the_corpus(moving_corpus, sharded, tmp_path, capsys):
    run = tmp_path / "run"
    code, out, err = call(capsys, "train", sharded, "--out", run, *TINY, "--json")
    assert code == 0, err
    told = json.loads(out)
    assert (told["train"], told["val"], told["split"]) == (12, 6, "signer-disjoint")
    assert 0 <= told["validation"]["top1"] <= 1
    checkpoint = load_checkpoint(run)
    corpus = json.loads((sharded / "shards.json").read_text())["corpus"]
    assert checkpoint.corpus["hash"] == corpus["hash"] == read_manifest(moving_corpus.root).corpus_hash()
    assert (run / "split.json").read_bytes() == (sharded / "split.json").read_bytes()
    code, out, err = call(capsys, "evaluate", run, moving_corpus.root, "--json", "--no-clips")
    assert code == 0, err
    assert 0 <= json.loads(out)["metrics"]["top1"]["value"] <= 1
    before = (run / "checkpoint/model.safetensors").read_bytes()
    assert call(capsys, "train", sharded, "--out", run, *TINY)[0] == 0  # finished: loaded, not repeated
    assert (run / "checkpoint/model.safetensors").read_bytes() == before


def test_shards_and_single_files_train_on_the_same_clips_but_are_not_mixed_in_one_run(
    moving_corpus, sharded, tmp_path, capsys
):
    run = tmp_path / "run"
    split = sharded / "split.json"
    assert call(capsys, "train", moving_corpus.root, "--split", split, "--out", run, *TINY)[0] == 0
    own = load_checkpoint(run).split["hash"]
    assert own == json.loads((sharded / "shards.json").read_text())["split_hash"]
    code, _, err = call(capsys, "train", sharded, "--out", run, *TINY)
    assert code == 2
    assert "choose another --out" in err


def test_a_split_cannot_be_changed_any_more(sharded, tmp_path, capsys):
    code, _, err = call(capsys, "train", sharded, "--out", tmp_path / "run", "--split", "random", *TINY)
    assert code == 2
    assert "was fixed when they were made" in err


def test_a_recipe_whose_stream_the_shards_lack_is_refused(sharded, tmp_path, capsys):
    code, _, err = call(capsys, "train", sharded, "--out", tmp_path / "run", "--recipe", "pose")
    assert code == 2
    assert "no stream 'pose'" in err


def test_a_clip_that_is_a_cut_says_which(moving_corpus, tmp_path):
    """Its content is that of the recording, which other clips share."""
    first, *rest = moving_corpus.records
    cut = replace(first, first_frame=10, end_frame=16, box_px=(0, 0, 20, 20))
    corpus = assign_split(replace(moving_corpus, records=(cut, *rest)), "signer")
    shards = shard_corpus(corpus, tmp_path, workers=0, quiet=True)
    told = {}
    for file in tmp_path.glob("*.tar"):
        with tarfile.open(file) as tar:
            for name in tar.getnames():
                if name.endswith(".json"):
                    about = json.load(tar.extractfile(name))
                    told[about["id"]] = {k: about[k] for k in ("first_frame", "end_frame", "box_px") if k in about}
    assert told.pop(first.id) == {"first_frame": 10, "end_frame": 16, "box_px": [0, 0, 20, 20]}
    assert len(told) == len(rest)
    assert not any(told.values())
    assert shards.n_clips("train") > 0
