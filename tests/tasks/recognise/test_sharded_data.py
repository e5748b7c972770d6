"""Clips in shards: the same batches as from single files, in an order that keeps few shards open, checked as read."""

from __future__ import annotations

import json
import shutil
import tarfile
from dataclasses import replace

import numpy as np
import pytest
import torch

from signloom.data.corpus import WINDOW, ClipList, FileClip, ShardedClips
from signloom.data.frame_cache import FrameCache
from signloom.data.reader import Reader
from signloom.data.shards import OpenShards, read_shards
from signloom.data.splits import assign_split
from signloom.errors import InputError, MediaError, MissingStreamError
from signloom.media import read_frames
from signloom.models import build
from signloom.pipelines.shard import shard_corpus
from signloom.streams import streams_of
from signloom.tasks.recognise.data import Clips, RecogniseData, read_corpus
from signloom.tasks.recognise.predict import score
from signloom.tasks.recognise.recipes import rgb
from signloom.tasks.recognise.task import Recognise
from signloom.training import trainer
from signloom.training.schedule import Schedule
from signloom.transforms.video_augment import VideoAugment
from signloom.transforms.video_input import VideoInput

INPUTS = VideoInput(n_frames=4, size_px=32, resize_px=32)
SHARD_MB = 0.07  # two clips


@pytest.fixture(scope="module")
def split_corpus(moving_corpus):
    return assign_split(moving_corpus, "signer", held_out=["s3"], val=0.25)


@pytest.fixture(scope="module")
def folder(split_corpus, tmp_path_factory):
    """Shards of a dozen training clips. Do not change them."""
    out = tmp_path_factory.mktemp("shards")
    shard_corpus(split_corpus, out, shard_mb=SHARD_MB, workers=0, quiet=True)
    return out


@pytest.fixture
def copied(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copied")
    return tmp_path / "copied"


def reader(streams=("frames", "flow"), budget=0):
    made = {"frames": {"extractor": "frames-h264"}, "flow": {"extractor": "flow", "limit_px": 20.0}}
    return Reader(streams_of({s: made.get(s, {"extractor": "imported"}) for s in streams}), FrameCache(budget))


def training_set(folder, streams=("frames", "flow"), budget=0):
    shards = read_shards(folder)
    return Clips(shards.clips("train"), INPUTS, streams, reader(streams, budget), shards.labels)


def training_data(folder, streams, kind=RecogniseData, batch_size=4):
    clips = training_set(folder, streams)
    return kind(clips, None, clips.labels, VideoAugment(), batch_size)


def damage(file, offset):
    with open(file, "r+b") as f:
        f.seek(offset)
        byte = f.read(1)
        f.seek(offset)
        f.write(bytes([byte[0] ^ 1]))


# --- what is read -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("budget", [0, 2**30])
def test_the_same_batches_as_from_single_files(split_corpus, folder, budget):
    sharded = training_set(folder, budget=budget)
    train = {r.id: r for r in split_corpus.only("train")}
    ids = [clip.id for clip in sharded.clips]
    assert sorted(ids) == sorted(train)
    files = ClipList(tuple(FileClip(train[i], split_corpus.root) for i in ids))
    single = Clips(files, INPUTS, ("frames", "flow"), reader(), sharded.labels)
    rows = [7, 0, 11, 3]
    draws = [VideoAugment().draw(seed) for seed in rows]
    for _ in range(2):
        a, b = sharded.batch(rows, draws), single.batch(rows, draws)
        assert a.ids == b.ids
        assert torch.equal(a.targets["label"], b.targets["label"])
        assert a.targets["label"].tolist() == [int(train[i].label[1:]) for i in a.ids]
        assert torch.equal(a.inputs["frames"], b.inputs["frames"])
        assert torch.equal(a.inputs["flow"], b.inputs["flow"])


def test_validation_clips_are_known_beforehand_and_those_of_unknown_labels_are_left_out(folder):
    shards = read_shards(folder)
    data = read_corpus(shards, replace(rgb(), inputs=INPUTS))
    val = data.validation
    assert len(val) == shards.n_clips("val") == data.n_val == 6
    assert sorted(val.label_N.tolist()) == [0, 0, 1, 1, 2, 2]
    fewer = read_corpus(replace(shards, labels=("G0", "G2")), replace(rgb(), inputs=INPUTS)).validation
    assert sorted(fewer.label_N.tolist()) == [0, 0, 1, 1]
    model = build("light3d", {"n_classes": 3, "widths": (8, 8, 8), "blocks": (1, 1), "memory": 8})
    assert score(model, val).shape == (6, 3)


def test_any_webdataset_reader_takes_them(split_corpus, folder):
    webdataset = pytest.importorskip("webdataset")
    records = {r.id: r for r in split_corpus.only("train")}
    files = sorted(map(str, folder.glob("train-*.tar")))
    samples = list(webdataset.WebDataset(files, shardshuffle=False, empty_check=False))
    about = [json.loads(sample["json"]) for sample in samples]
    assert sorted(a["id"] for a in about) == sorted(records)
    for sample, told in zip(samples, about):
        record = records[told["id"]]
        assert told["label"] == record.label
        assert told["n_frames"] == record.n_frames
        for stream in ("frames", "flow"):
            assert sample[f"{stream}.mp4"] == (split_corpus.root / record.streams[stream]).read_bytes()


def test_shards_name_no_place_on_this_machine(split_corpus, folder):
    for file in folder.glob("*.tar"):
        with tarfile.open(file) as tar:
            for member in tar:
                assert (member.mtime, member.uid, member.uname) == (0, 0, "")
                if member.name.endswith(".json"):
                    assert str(split_corpus.root) not in tar.extractfile(member).read().decode()
    assert str(split_corpus.root) not in (folder / "shards.json").read_text()


# --- in what order ------------------------------------------------------------------------------------------------


def test_an_epoch_has_every_clip_once_and_opens_every_shard_once(folder):
    clips = ShardedClips(read_shards(folder), "train", window=2)
    n = len(clips.shards)
    assert n >= 5
    of_shard = np.repeat(np.arange(n), [s.clips for s in clips.shards])
    orders = [clips.order(np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert orders[0].tolist() == orders[1].tolist() != orders[2].tolist()
    for epoch, order in enumerate((orders[0], orders[2]), start=1):
        assert sorted(order) == list(range(len(clips)))
        groups = [set(of_shard[order[k : k + 4]]) for k in range(0, len(order), 4)]  # two shards of two clips
        assert all(len(g) <= 4 for g in groups)
        for row in order:
            assert clips[row].id
            assert len(clips.files._held) <= 4
        assert clips.files.opened <= epoch * n


def test_a_window_over_all_shards_mixes_them_all(folder):
    clips = ShardedClips(read_shards(folder), "train", window=100)
    order = clips.order(np.random.default_rng(0))
    of_shard = np.repeat(np.arange(len(clips.shards)), [s.clips for s in clips.shards])[order]
    assert (np.diff(of_shard) != 0).mean() > 0.6


def test_batches_take_the_order_of_the_shards(folder):
    data = training_data(folder, ("frames",))
    rows = [r for batch in data.rows(5, 2) for r in batch]
    assert rows == data.train.clips.order(np.random.default_rng((5, 1, 2))).tolist()
    steps = [data.batch(5, step)[0].ids for step in range(6, 9)]
    assert [i for ids in steps for i in ids] == [data.train.clips[row].id for row in rows]
    assert WINDOW < 10


def test_processes_see_their_share_of_the_same_batch(folder):
    data = training_data(folder, ("flow",), batch_size=5)
    whole, _ = data.batch(7, 1)
    assert len(whole) == 5
    for rank in range(2):
        share, _ = data.batch(7, 1, rank, 2)
        assert torch.equal(share.inputs["flow"], whole.inputs["flow"][rank::2])
        assert share.ids == whole.ids[rank::2]


class Killed(Exception):
    pass


@pytest.mark.parametrize("at", [2, 5])
def test_training_from_shards_killed_anywhere_ends_with_the_same_weights(folder, tmp_path, monkeypatch, at):
    monkeypatch.setattr(trainer, "SAVE_EVERY_S", 0.0)
    schedule = Schedule(epochs=2, min_steps=0, steps_per_class=0, batch_size=4, learning_rate=3e-3, ema=0.5)

    class Dies(RecogniseData):
        steps = 0
        dies_at = -1

        def batch(self, *where, **more):
            self.steps += 1
            if self.steps == self.dies_at:
                raise Killed
            return super().batch(*where, **more)

    def train(out, dies_at=-1):
        torch.manual_seed(0)
        model = build("light3d", {"n_classes": 3, "widths": (8, 8, 8), "blocks": (1, 1), "memory": 8})
        data = training_data(folder, ("frames",), Dies)
        data.dies_at = dies_at
        task = Recognise(replace(rgb(), schedule=schedule))
        return trainer.Trainer(task, {"model": model}, data, out, seed=3, run_hash="h", quiet=True).fit()

    undisturbed = train(tmp_path / "a")
    with pytest.raises(Killed):
        train(tmp_path / "b", dies_at=at)
    resumed = train(tmp_path / "b")
    assert resumed.history == undisturbed.history
    for name, value in undisturbed.best.items():
        assert torch.equal(value, resumed.best[name]), name


# --- what is wrong ------------------------------------------------------------------------------------------------


def test_a_missing_and_a_truncated_shard_are_named_before_training(copied):
    file = copied / "train-000001.tar"
    whole = file.read_bytes()
    file.write_bytes(whole[:-512])
    with pytest.raises(MediaError, match=r"train-000001\.tar' has .* bytes, expected") as caught:
        read_shards(copied)
    assert caught.value.reason == "truncated"
    file.unlink()
    with pytest.raises(MediaError, match=r"train-000001\.tar' is missing"):
        read_shards(copied)


def test_a_shard_cut_off_while_it_is_read_is_named(copied):
    clips = training_set(copied)
    for file in copied.glob("train-*.tar"):
        file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(MediaError, match=r"train-\d+\.tar' ends early"):
        clips.batch([0])


def test_a_shard_of_other_clips_is_named(copied):
    shards = read_shards(copied)
    shard = shards.splits["train"][0]
    damage(copied / shard.file, shard.index_at + 512 + 20)
    with pytest.raises(MediaError, match=r"train-000000\.tar' holds other clips .* hash"):
        training_set(copied).batch([0])


def test_a_damaged_member_is_named(copied):
    clips = training_set(copied, ("frames",))
    member = clips.clips[1].key("frames")
    damage(copied / member.shard, member.offset + member.size // 2)
    clips.batch([0])
    with pytest.raises(MediaError, match=r"train-000000\.tar' is damaged: the hash of its member '.*\.frames\.mp4'"):
        clips.batch([1])


def test_a_broken_video_in_a_shard_is_named_with_shard_and_clip(folder):
    shards = read_shards(folder)
    clips = ShardedClips(shards, "train")
    held = clips.files.read(clips[0].key("frames"))
    with pytest.raises(MediaError, match=r"train-000000\.tar: .*\.frames\.mp4': cut off") as caught:
        read_frames(replace(held, data=held.data[:-200]))
    assert caught.value.reason == "truncated"
    with pytest.raises(MediaError, match="no bytes"):
        read_frames(replace(held, data=b""))


def test_a_stream_that_the_shards_lack_is_named(folder):
    shards = read_shards(folder)
    with pytest.raises(MissingStreamError, match="have no stream 'pose'; they have flow, frames"):
        shards.fingerprint("pose")
    with pytest.raises(MissingStreamError, match="has no pose; it has"):
        training_set(folder, ("frames", "pose")).batch([0])


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "signloom-shards", "version": 9}'])
def test_a_list_of_shards_that_is_none_is_refused(copied, text):
    (copied / "shards.json").write_text(text)
    with pytest.raises(InputError, match="shards"):
        read_shards(copied)
    (copied / "shards.json").write_text('{"format": "signloom-shards", "version": 1}')
    with pytest.raises(InputError, match="splits"):
        read_shards(copied)


def test_shards_are_opened_again_after_they_were_closed(folder):
    shards = read_shards(folder)
    rows = shards.splits["train"]
    opened = OpenShards(folder, rows, capacity=1)
    for _ in range(3):
        for row in rows[:2]:
            assert opened.clip(row, 0).members["frames"].shard == row.file
    assert opened.opened == 6
