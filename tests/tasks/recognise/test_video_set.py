"""Reading many clips: once where they fit in memory, as often as needed where they don't; the same batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from signloom.tasks.recognise.classify_video import ClassifyVideos
from signloom.tasks.recognise.video_set import Memory, VideoSet
from signloom.transforms.video_augment import VideoAugment
from signloom.transforms.video_input import VideoInput

N, STORED = 6, 12


class Footage:
    """Stands for files of frames and of flow, and counts how they are read."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.frames = {f"{i}.mp4": rng.integers(0, 256, (STORED, 40, 48, 3), np.uint8) for i in range(N)}
        self.flow = {f"{i}.mkv": rng.integers(100, 156, (STORED, 40, 48, 2)).astype(np.uint8) for i in range(N)}
        self.whole, self.some = 0, 0

    def read(self, stream, path, rows):
        of = self.flow if stream == "flow" else self.frames
        self.whole += rows is None
        self.some += rows is not None
        return of[path.name] if rows is None else of[path.name][rows]


def videos(footage, budget, streams=("frames", "flow"), workers=2):
    paths = {
        "frames": [Path(f"{i}.mp4") for i in range(N)],
        "flow": [Path(f"{i}.mkv") for i in range(N)],
    }
    return VideoSet(
        ids=tuple(map(str, range(N))),
        paths={s: paths[s] for s in streams},
        n_frames=[STORED] * N,
        inputs=VideoInput(n_frames=4, size_px=32, resize_px=32),
        label_N=np.arange(N) % 2,
        read=footage.read,
        memory=Memory(budget),
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
        assert torch.equal(a.video_BCTHW, b.video_BCTHW)
        assert torch.equal(a.flow_BCTHW, b.flow_BCTHW)
    assert footage.some > 0


def test_only_the_streams_asked_for_are_read():
    footage = Footage()
    batch = videos(footage, 0, streams=("flow",)).batch([1, 2])
    assert batch.video_BCTHW is None
    assert batch.flow_BCTHW.shape == (2, 2, 4, 32, 32)
    assert batch.label_B.tolist() == [1, 0]


def test_processes_see_their_share_of_the_same_draws():
    task = ClassifyVideos(videos(Footage(), 0), 2, None, VideoAugment(), "frames")

    def batch(keep):
        return task.train_batch(list(range(N)), torch.Generator().manual_seed(7), keep)

    whole = batch(slice(None))
    for rank in range(2):
        share = batch(slice(rank, None, 2))
        assert torch.equal(share.video_BCTHW, whole.video_BCTHW[rank::2])
        assert share.ids == whole.ids[rank::2]


def test_a_still_clip_has_no_flow():
    footage = Footage()
    footage.flow = {name: np.full_like(codes, 128) for name, codes in footage.flow.items()}
    assert not videos(footage, 0, streams=("flow",)).batch([0]).flow_BCTHW.any()
