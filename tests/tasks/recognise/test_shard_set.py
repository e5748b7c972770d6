"""Clips in shards: the same batches as from single files, in an order that keeps few shards open, checked as read."""

from __future__ import annotations

import json
import shutil
import tarfile
from dataclasses import replace

import numpy as np
import pytest
import torch

from signloom.data.shards import OpenShards, read_shards
from signloom.data.splits import assign_split
from signloom.errors import InputError, MediaError, MissingStreamError
from signloom.media import read_frames
from signloom.media.flow_files import read_flow_codes
from signloom.models import build
from signloom.pipelines.shard import shard_corpus
from signloom.tasks.recognise.classify_video import ClassifyVideos, score_videos
from signloom.tasks.recognise.recipe import Schedule
from signloom.tasks.recognise.shard_set import WINDOW, ShardClips, shard_set
from signloom.tasks.recognise.video_set import Memory, VideoSet
from signloom.training.fit import fit
from signloom.training.task import epoch_rows
from signloom.transforms.video_augment import VideoAugment
from signloom.transforms.video_input import VideoInput

INPUTS = VideoInput(n_frames=4, size_px=32, resize_px=32)
SHARD_MB = 0.07  # two clips


def read(stream, path, rows):
    return (read_flow_codes if stream == "flow" else read_frames)(path, rows)


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


def training_set(folder, streams=("frames", "flow"), memory=None):
    shards = read_shards(folder)
    return shard_set(shards, "train", INPUTS, streams, shards.labels, read, memory=memory or Memory(0))


def damage(file, offset):
    with open(file, "r+b") as f:
        f.seek(offset)
        byte = f.read(1)
        f.seek(offset)
        f.write(bytes([byte[0] ^ 1]))


# --- what is read -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("budget", [0, 2**30])
def test_the_same_batches_as_from_single_files(split_corpus, folder, budget):
    sharded = training_set(folder, memory=Memory(budget))
    train = {r.id: r for r in split_corpus.only("train")}
    assert sorted(sharded.ids) == sorted(train)
    records = [train[i] for i in sharded.ids]
    single = VideoSet(
        tuple(sharded.ids),
        {s: [split_corpus.root / r.streams[s] for r in records] for s in ("frames", "flow")},
        [r.n_frames for r in records],
        INPUTS,
        np.array([int(r.label[1:]) for r in records]),
        read,
        memory=Memory(0),
    )
    rows = [7, 0, 11, 3]
    draws = [VideoAugment().draw(seed) for seed in rows]
    for _ in range(2):
        a, b = sharded.batch(rows, draws), single.batch(rows, draws)
        assert a.ids == b.ids
        assert torch.equal(a.label_B, b.label_B)
        assert torch.equal(a.video_BCTHW, b.video_BCTHW)
        assert torch.equal(a.flow_BCTHW, b.flow_BCTHW)


def test_validation_clips_are_known_beforehand_and_those_of_unknown_labels_are_left_out(folder):
    shards = read_shards(folder)
    val = shard_set(shards, "val", INPUTS, ("frames",), shards.labels, read, at_once=True)
    assert len(val) == shards.n_clips("val") == 6
    assert sorted(val.label_N.tolist()) == [0, 0, 1, 1, 2, 2]
    fewer = shard_set(shards, "val", INPUTS, ("frames",), ("G0", "G2"), read, at_once=True)
    assert sorted(fewer.label_N.tolist()) == [0, 0, 1, 1]
    model = build("light3d", {"n_classes": 3, "widths": (8, 8, 8), "blocks": (1, 1), "memory": 8})
    assert score_videos(model, val, "frames").shape == (6, 3)


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
    clips = ShardClips(read_shards(folder), "train", window=2)
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
    clips = ShardClips(read_shards(folder), "train", window=100)
    order = clips.order(np.random.default_rng(0))
    of_shard = np.repeat(np.arange(len(clips.shards)), [s.clips for s in clips.shards])[order]
    assert (np.diff(of_shard) != 0).mean() > 0.6


def test_batches_take_the_order_of_the_shards(folder):
    clips = training_set(folder)
    task = ClassifyVideos(clips, 3, None, VideoAugment(), "frames")
    rows = [r for batch in epoch_rows(len(clips), 4, 5, 2, task.order) for r in batch]
    assert rows == clips.order(np.random.default_rng((5, 1, 2))).tolist()
    assert WINDOW < 10


def test_processes_see_their_share_of_the_same_batch(folder):
    task = ClassifyVideos(training_set(folder), 3, None, VideoAugment(), "flow")

    def batch(keep):
        return task.train_batch([5, 2, 9, 0, 1], torch.Generator().manual_seed(7), keep)

    whole = batch(slice(None))
    for rank in range(2):
        share = batch(slice(rank, None, 2))
        assert torch.equal(share.flow_BCTHW, whole.flow_BCTHW[rank::2])
        assert share.ids == whole.ids[rank::2]


class Killed(Exception):
    pass


@pytest.mark.parametrize("at", [2, 5])
def test_training_from_shards_killed_anywhere_ends_with_the_same_weights(folder, tmp_path, monkeypatch, at):
    monkeypatch.setattr("signloom.training.fit.SAVE_EVERY_S", 0.0)
    schedule = Schedule(epochs=2, least_steps=0, steps_per_class=0, batch_size=4, learning_rate=3e-3, ema=0.5)

    class Dies(ClassifyVideos):
        steps = 0
        dies_at = -1

        def train_batch(self, rows, generator, keep=slice(None)):
            self.steps += 1
            if self.steps == self.dies_at:
                raise Killed
            return super().train_batch(rows, generator, keep)

    def train(out, dies_at=-1):
        torch.manual_seed(0)
        model = build("light3d", {"n_classes": 3, "widths": (8, 8, 8), "blocks": (1, 1), "memory": 8})
        task = Dies(training_set(folder), 3, None, VideoAugment(), "frames", prefetch=0)
        task.dies_at = dies_at
        return fit(model, task, schedule, out, seed=3, run_hash="h", quiet=True)

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
    member = clips.paths["frames"][1]
    damage(copied / member.shard, member.offset + member.size // 2)
    clips.batch([0])
    with pytest.raises(MediaError, match=r"train-000000\.tar' is damaged: the hash of its member '.*\.frames\.mp4'"):
        clips.batch([1])


def test_a_broken_video_in_a_shard_is_named_with_shard_and_clip(folder):
    shards = read_shards(folder)
    clips = ShardClips(shards, "train")
    held = clips.files.read(clips[0].members["frames"])
    with pytest.raises(MediaError, match=r"train-000000\.tar: .*\.frames\.mp4': cut off") as caught:
        read_frames(replace(held, data=held.data[:-200]))
    assert caught.value.reason == "truncated"
    with pytest.raises(MediaError, match="no bytes"):
        read_frames(replace(held, data=b""))


def test_a_stream_that_the_shards_lack_is_named(folder):
    shards = read_shards(folder)
    with pytest.raises(MissingStreamError, match="have no stream 'pose'; they have flow, frames"):
        shards.fingerprint("pose")
    with pytest.raises(MissingStreamError, match="has no pose"):
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
