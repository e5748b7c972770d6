"""What a recogniser learns from: read once where it fits in memory, as often as needed where not; the same batches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from signloom.data.corpus import ClipList, HeldClip, SplitManifest
from signloom.data.frame_cache import FrameCache
from signloom.data.reader import Reader
from signloom.data.skeleton import JOINTS, Joints
from signloom.data.splits import assign_split
from signloom.errors import InputError
from signloom.streams import streams_of
from signloom.tasks.recognise.data import Clips, RecogniseData, read_corpus
from signloom.tasks.recognise.recipes import flow, rgb
from signloom.transforms.pose_augment import PoseAugment
from signloom.transforms.pose_input import PoseInput
from signloom.transforms.video_augment import VideoAugment
from signloom.transforms.video_input import VideoInput

N, STORED = 6, 12
MADE = {"frames": {"extractor": "frames-h264"}, "flow": {"extractor": "flow", "limit_px": 20.0}}
LABELS = ("A", "B")


class Footage:
    """Stands for files of frames and of flow, and counts how they are read."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.frames = {f"{i}.mp4": rng.integers(0, 256, (STORED, 40, 48, 3), np.uint8) for i in range(N)}
        self.flow = {f"{i}.mkv": rng.integers(100, 156, (STORED, 40, 48, 2)).astype(np.uint8) for i in range(N)}
        self.whole, self.some = 0, 0

    def clip(self, i):
        return _Clip(str(i), {"frames": self.frames[f"{i}.mp4"], "flow": self.flow[f"{i}.mkv"]}, self, LABELS[i % 2])


class _Clip(HeldClip):
    def __init__(self, name, samples, footage, label):
        super().__init__(name, samples, label=label)
        object.__setattr__(self, "footage", footage)

    def read(self, stream, rows=None):
        self.footage.whole += rows is None
        self.footage.some += rows is not None
        return super().read(stream, rows)


def videos(footage, budget, streams=("frames", "flow"), workers=2):
    return Clips(
        ClipList(tuple(footage.clip(i) for i in range(N))),
        VideoInput(n_frames=4, size_px=32, resize_px=32),
        streams,
        Reader(streams_of({s: MADE[s] for s in streams}), FrameCache(budget)),
        LABELS,
        workers=workers,
    )


def test_what_fits_is_read_once():
    footage = Footage()
    clips = videos(footage, 2**30)
    for _ in range(3):
        clips.batch(range(N))
    assert (footage.whole, footage.some) == (2 * N, 0)


@pytest.mark.parametrize("budget", [0, 3 * STORED * 40 * 48 * 3])
def test_memory_changes_nothing_but_time(budget):
    footage = Footage()
    enough, little = videos(footage, 2**30, workers=3), videos(footage, budget, workers=1)
    draws = [VideoAugment().draw(seed) for seed in range(N)]
    for _ in range(2):
        a, b = enough.batch(range(N), draws), little.batch(range(N), draws)
        assert torch.equal(a.inputs["frames"], b.inputs["frames"])
        assert torch.equal(a.inputs["flow"], b.inputs["flow"])
    assert footage.some > 0


def test_only_the_streams_asked_for_are_read():
    footage = Footage()
    batch = videos(footage, 0, streams=("flow",)).batch([1, 2])
    assert set(batch.inputs) == {"flow"}
    assert batch.inputs["flow"].shape == (2, 2, 4, 32, 32)
    assert batch.targets["label"].tolist() == [1, 0]


def test_processes_see_their_share_of_the_same_draws():
    data = RecogniseData(videos(Footage(), 0), None, LABELS, VideoAugment(), N)
    whole, weight = data.batch(7, 3)
    assert weight * N == 1
    for rank in range(2):
        share, weight = data.batch(7, 3, rank, 2)
        assert weight * N == 2
        for stream in ("frames", "flow"):
            assert torch.equal(share.inputs[stream], whole.inputs[stream][rank::2])
        assert share.ids == whole.ids[rank::2]


def test_a_still_clip_has_no_flow():
    footage = Footage()
    footage.flow = {name: np.full_like(codes, 128) for name, codes in footage.flow.items()}
    assert not videos(footage, 0, streams=("flow",)).batch([0]).inputs["flow"].any()


def test_processes_without_a_clip_see_one_that_counts_nothing():
    data = RecogniseData(videos(Footage(), 0), None, LABELS, VideoAugment(), 2)
    shares = [data.batch(7, 0, rank, 3) for rank in range(3)]
    whole, _ = data.batch(7, 0)
    assert [share.ids for share, _ in shares] == [whole.ids[:1], whole.ids[1:], whole.ids[:1]]
    assert [weight for _, weight in shares] == [1.5, 1.5, 0.0]


def test_processes_see_their_share_of_the_same_poses():
    rng = np.random.default_rng(0)
    xy = rng.normal(0, 1, (5, 12, len(JOINTS), 2)).astype(np.float32)
    clips = [HeldClip(str(i), {}, label=LABELS[i % 2]) for i in range(5)]
    held = {"pose": xy, "present": np.ones(xy.shape[:3], bool)}
    data = RecogniseData(
        Clips(clips, PoseInput(12), ("pose",), Reader({}), LABELS, held=held), None, LABELS, PoseAugment(), 5
    )
    whole, _ = data.batch(1, 2)
    assert not torch.equal(whole.inputs["pose"], torch.from_numpy(xy[[int(i) for i in whole.ids]]))  # augmented
    for rank in range(2):
        share, _ = data.batch(1, 2, rank, 2)
        assert share.ids == whole.ids[rank::2]
        for name, value in whole.inputs.items():
            assert torch.equal(share.inputs[name], value[rank::2]), name


def test_a_batch_follows_from_seed_and_step_alone():
    one, other = (RecogniseData(videos(Footage(), 0), None, LABELS, VideoAugment(), 2) for _ in range(2))
    later = [other.batch(5, step)[0] for step in (7, 0, 4)]
    for batch, step in zip(later, (7, 0, 4)):
        again = one.batch(5, step)[0]
        assert again.ids == batch.ids
        assert torch.equal(again.inputs["frames"], batch.inputs["frames"])
    assert not torch.equal(one.batch(5, 0)[0].inputs["frames"], one.batch(6, 0)[0].inputs["frames"])


def test_a_frame_in_which_nothing_was_found_is_masked_but_never_all_of_them():
    n = 6
    present = np.ones((3, n, len(JOINTS)), bool)
    present[0, 2:] = False
    present[1] = False
    clips = [HeldClip(str(i), {}) for i in range(3)]
    held = {"pose": np.zeros((*present.shape, 2), np.float32), "present": present}
    batch = Clips(clips, PoseInput(n), ("pose",), Reader({}), held=held).batch(range(3))
    wanted = [[True] * 2 + [False] * 4, [True] + [False] * 5, [True] * 6]
    assert batch.inputs["mask"].tolist() == wanted
    assert batch.targets == {}


def test_a_clip_without_a_label_or_without_frames_is_named():
    clips = ClipList((HeldClip("mute", {"frames": np.zeros((3, 40, 40, 3), np.uint8)}),))
    read = Reader(streams_of({"frames": MADE["frames"]}))
    with pytest.raises(InputError, match="clip 'mute' has no label"):
        Clips(clips, VideoInput(2, 32, 32), ("frames",), read, LABELS).batch([0])
    bare = HeldClip("bare", {"pose": Joints(np.zeros((0, len(JOINTS), 2)), np.zeros((0, len(JOINTS)), bool), 10.0)})
    with pytest.raises(InputError, match="clip 'bare': its pose has no frame"):
        Clips(ClipList((bare,)), PoseInput(4), ("pose",), Reader(streams_of({"pose": {"extractor": "imported"}})))


# --- from a corpus ----------------------------------------------------------------------------------------------


def test_a_corpus_gives_its_training_clips_and_the_validation_clips_of_known_labels(moving_corpus):
    split = assign_split(moving_corpus, "signer", held_out=["s3"], val=0.25)
    data = read_corpus(SplitManifest(split), rgb())
    assert (data.n_train, data.n_val, data.n_classes) == (12, 6, 3)
    assert data.labels == ("G0", "G1", "G2")
    assert {clip.id for clip in data.train.clips} == {r.id for r in split.only("train")}
    assert data.batch_size == 3  # of so few clips at least four batches are made
    renamed = [replace(r, label="NEW") if r.split == "val" and r.label == "G1" else r for r in split]
    assert read_corpus(SplitManifest(replace(split, records=tuple(renamed))), rgb()).n_val == 4
    only = [replace(r, split="train" if r.split == "val" else r.split) for r in split]
    data = read_corpus(SplitManifest(replace(split, records=tuple(only))), flow())
    assert (data.n_val, data.validation) == (0, None)


def test_a_corpus_of_one_label_or_with_clips_that_have_none_is_refused(moving_corpus):
    split = assign_split(moving_corpus, "signer", held_out=["s3"], val=0.25)
    one = replace(split, records=tuple(replace(r, label="ONLY") for r in split))
    with pytest.raises(InputError, match=r"at least two labels.*\['ONLY'\]"):
        read_corpus(SplitManifest(one), rgb())
    first = next(r.id for r in split if r.split == "train")
    some = replace(split, records=tuple(replace(r, label=None) if r.id == first else r for r in split))
    with pytest.raises(InputError, match=f"1 training clips .* have no label, e.g. '{first}'"):
        read_corpus(SplitManifest(some), rgb())
