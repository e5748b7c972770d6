"""What corpora call their clips and signers never decides where files come to lie."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from signloom import media
from signloom.data.manifest import Manifest, Record, manifest_of_files, read_manifest, write_manifest
from signloom.data.splits import Fold, folds
from signloom.errors import InputError, MachineError
from signloom.pipelines.crossval import cross_validate
from signloom.pipelines.prepare import Preparation, prepare_corpus
from signloom.pipelines.shard import shard_corpus
from signloom.tasks import recipe_named

FRAMES = Preparation(("frames",), shorter_px=32)
FORGED = ["../../x", "/tmp/forged", "..", "a/b", ".hidden", "con", "x" * 300, "a\u0301", "\u00e1"]


@pytest.fixture
def video(tmp_path):
    file = tmp_path / "raw" / "a.mp4"
    file.parent.mkdir()
    media.write_video(file, np.random.default_rng(0).integers(0, 255, (6, 40, 48, 3), np.uint8), 10)
    return file


def outside(folder, out):
    return sorted(str(p) for p in folder.rglob("*") if not p.is_relative_to(out))


def test_forged_ids_of_clips_stay_in_the_folder_and_share_no_file(video, tmp_path):
    records = tuple(Record(name, "A", f"s{k % 3}", streams={"video": str(video)}) for k, name in enumerate(FORGED))
    write_manifest(Manifest(records, tmp_path / "raw", {}), tmp_path / "raw")
    before = outside(tmp_path, tmp_path / "out")
    prepared, outcomes = prepare_corpus(
        read_manifest(tmp_path / "raw"), tmp_path / "out", FRAMES, workers=0, quiet=True
    )
    assert all(o.ok for o in outcomes)
    assert [r.id for r in prepared] == FORGED
    files = {prepared.root / r.streams["frames"] for r in read_manifest(tmp_path / "out")}
    assert len(files) == len(FORGED)
    assert {f.parent.resolve() for f in files} == {(tmp_path / "out" / "frames").resolve()}
    assert outside(tmp_path, tmp_path / "out") == before
    divided = replace(prepared, records=tuple(replace(r, split="train", content=r.id) for r in prepared))
    shards = shard_corpus(divided, tmp_path / "shards", workers=0, quiet=True)
    assert sorted(clip.id for clip in shards.clips("train")) == sorted(FORGED)


def test_a_forged_signer_gets_a_fold_inside_the_cross_validation(moving_corpus, tmp_path, monkeypatch):
    """A signer called ``../../x`` used to be trained and measured two folders above ``--out``."""
    forged = {"s0": "../../x", "s1": "..", "s2": "s2", "s3": "a/b"}
    corpus = replace(
        moving_corpus, records=tuple(replace(r, signer=forged[str(r.signer)]) for r in moving_corpus.records)
    )
    trained = []

    def train_run(corpus, task, out, **_):
        trained.append(out)
        raise InputError("far enough")

    monkeypatch.setattr("signloom.pipelines.crossval.train_run", train_run)
    out = tmp_path / "deep" / "er" / "cv"
    for fold in folds(corpus, "signer", k=2, seed=0, val=0.1):
        with pytest.raises(InputError, match="far enough"):
            cross_validate(corpus, recipe_named("rgb"), [fold], [0], out, scheme="signer", quiet=True)
    assert len(set(trained)) == 4
    assert all(folder.parent.parent == out for folder in trained)
    assert out / "s2" / "seed0" in trained  # a usual name is its folder's, so that earlier runs are found again
    assert isinstance(fold, Fold)


def test_a_file_whose_name_is_no_utf8_is_prepared_as_any_other(video, tmp_path):
    odd = video.with_name("clip \udcff.mp4")
    video.rename(odd)
    manifest = manifest_of_files([odd])
    prepared, (outcome,) = prepare_corpus(manifest, tmp_path / "cache", FRAMES, workers=0, quiet=True)
    assert outcome.ok, outcome.message
    again = read_manifest(tmp_path / "cache")
    assert again.records[0].id == prepared.records[0].id
    again.records[0].id.encode()


def test_a_full_disk_is_no_bad_clip_and_nothing_is_trained_on_half_a_corpus(video, tmp_path, tiny_disk):
    """It counted clip by clip: exit code 3, and a manifest of the few that had fitted."""
    frames = np.random.default_rng(0).integers(0, 255, (12, 96, 96, 3), np.uint8)
    media.write_video(video, frames, 10, crf=1)
    records = tuple(Record(f"c{k}", "A", streams={"video": str(video)}, box_px=(k, 0, 64 + k, 64)) for k in range(12))
    disk = tiny_disk(300_000)
    corpus, out = Manifest(records, tmp_path, {}), disk.folder / "out"
    preparation = Preparation(("frames",), shorter_px=64, crf=1)
    with pytest.raises(MachineError, match=r"the disk is full|ulimit -f"):
        prepare_corpus(corpus, out, preparation, workers=0, quiet=True)
    assert not (out / "manifest.jsonl").exists()
    assert not (out / "failures.jsonl").exists()
    done = set(out.glob("frames/*.mp4"))
    disk.grow()
    prepared, outcomes = prepare_corpus(corpus, out, preparation, workers=0, quiet=True)
    assert len(prepared) == 12
    assert sum(o.reused for o in outcomes) == len(done)
    if disk.mounted:
        assert done


def test_two_writers_of_one_folder_are_kept_apart_from_the_beginning_to_the_manifest(video, tmp_path):
    """Held through the whole run: between its last clip and its manifest nobody else may come in."""
    from signloom.runtime.locks import folder_lock
    from signloom.synthetic.corpus import Settings, film, make_takes

    corpus = Manifest((Record("a", "A", streams={"video": str(video)}, split="train", n_frames=6),), tmp_path, {})
    out = tmp_path / "out"
    takes = make_takes(1, 1, 1, 0, Settings())
    with folder_lock(out):
        for write in (
            lambda: prepare_corpus(corpus, out, FRAMES, workers=0, quiet=True),
            lambda: shard_corpus(corpus, out, workers=0, quiet=True),
            lambda: film(takes, out, workers=0, quiet=True),
        ):
            with pytest.raises(InputError, match="another signloom process"):
                write()
        assert list(out.iterdir()) == []
