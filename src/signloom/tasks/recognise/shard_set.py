"""Clips in shards as models see them: looked up and read when needed, in an order that keeps few shards open.

An epoch takes the shards in a random order, a few at a time (a *window*), and the clips of a window in a random order.
As each shard is a random share of the corpus, that is nearly a shuffle of everything. The order follows from seed and
epoch alone, whatever the number of processes, so that a killed run resumes exactly.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from signloom import media
from signloom.data.batch import PoseSet
from signloom.data.shards import Member, OpenShards, Shard, ShardClip, Shards
from signloom.data.skeleton import JOINTS
from signloom.errors import MissingStreamError
from signloom.runtime.progress import Progress
from signloom.tasks.recognise.video_set import Memory, Reader, VideoSet, default_memory
from signloom.transforms.pose_input import PoseInput
from signloom.transforms.video_input import VideoInput

WINDOW = 4
"""How many shards are read from side by side."""


class ShardClips:
    """The clips of ``shards`` one after another, each looked up when it is asked for.

    At most two windows of shards are open: a batch may take the last clips of one and the first of the next.
    """

    def __init__(self, shards: Shards, split: str, window: int = WINDOW):
        self.shards: tuple[Shard, ...] = shards.splits.get(split, ())
        self.window = window
        self.files = OpenShards(shards.root, self.shards, 2 * window)
        self._ends = list(accumulate(s.clips for s in self.shards))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, row: int) -> ShardClip:
        number = bisect_right(self._ends, row)
        return self.files.clip(self.shards[number], row - self._ends[number] + self.shards[number].clips)

    def __iter__(self) -> Iterator[ShardClip]:
        return (self[row] for row in range(len(self)))

    def order(self, rng: np.random.Generator) -> np.ndarray:
        """Every row once: windows of random shards, and inside a window in random order."""
        numbers = rng.permutation(len(self.shards))
        rows = []
        for start in range(0, len(numbers), self.window):
            some = [
                np.arange(self._ends[n] - self.shards[n].clips, self._ends[n]) for n in numbers[start:][: self.window]
            ]
            rows.append(rng.permutation(np.concatenate(some)))
        return np.concatenate(rows) if rows else np.arange(0)


@dataclass(frozen=True)
class _Column(Sequence):
    """One thing about every clip, looked up when needed."""

    clips: ShardClips
    of: Callable[[ShardClip], Any]

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, row: Any) -> Any:
        return self.of(self.clips[row])


def shard_set(
    shards: Shards,
    split: str,
    inputs: PoseInput | VideoInput,
    streams: Sequence[str],
    labels: Sequence[str],
    read: Reader,
    *,
    memory: Memory | None = None,
    at_once: bool = False,
) -> PoseSet | VideoSet:
    """The clips of one split; poses are all read into memory now, video when it is needed.

    ``read`` opens a stream's file at some rows. ``at_once`` looks all clips up now, leaving out those whose label
    is not one of ``labels``: what validation needs. Raises MediaError naming a shard that is not what it was.
    """
    clips = ShardClips(shards, split)
    index = {label: k for k, label in enumerate(labels)}

    def members_of(stream: str) -> Callable[[ShardClip], Member]:
        def member(clip: ShardClip) -> Member:
            if stream not in clip.members:
                raise MissingStreamError(
                    f"clip '{clip.id}' of shards '{shards.root}' has no {stream}; it has {', '.join(clip.members)}"
                )
            return clip.members[stream]

        return member

    if isinstance(inputs, PoseInput):
        return _pose_set(clips, inputs, index, members_of("pose"))

    def read_member(stream: str, member: Any, rows: np.ndarray | None) -> np.ndarray:
        return read(stream, clips.files.read(member), rows)

    limit = shards.fingerprint("flow").get("limit_px", 20.0) if "flow" in streams else 20.0
    if at_once:
        known = [clip for clip in clips if clip.label in index]
        return VideoSet(
            tuple(clip.id for clip in known),
            {s: [members_of(s)(clip) for clip in known] for s in streams},
            [clip.n_frames for clip in known],
            inputs,
            np.array([index[clip.label] for clip in known], np.int64),
            read_member,
            limit,
            memory or default_memory(),
        )
    return VideoSet(
        _Column(clips, lambda clip: clip.id),
        {s: _Column(clips, members_of(s)) for s in streams},
        _Column(clips, lambda clip: clip.n_frames),
        inputs,
        _Column(clips, lambda clip: index[clip.label]),
        read_member,
        limit,
        memory or default_memory(),
        order=clips.order,
    )


def _pose_set(
    clips: ShardClips, inputs: PoseInput, index: Mapping[str, int], member: Callable[[ShardClip], Member]
) -> PoseSet:
    known, poses = [], []
    with Progress("read poses", len(clips), quiet=len(clips) < 2000) as progress:
        for clip in clips:
            if clip.label in index:
                known.append(clip)
                poses.append(inputs(media.read_pose(clips.files.read(member(clip)))))
            progress.step()
    empty = np.zeros((0, inputs.n_frames, len(JOINTS), 2), np.float32)
    return PoseSet(
        tuple(clip.id for clip in known),
        np.stack([xy for xy, _ in poses]) if poses else empty,
        np.stack([present for _, present in poses]) if poses else empty.any(-1),
        np.array([index[clip.label] for clip in known], np.int64),
    )
