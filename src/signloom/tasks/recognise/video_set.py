"""Many clips of frames or flow: read when needed, kept in memory as far as they fit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from signloom.data.batch import Batch
from signloom.media.flow_files import flow_of_codes
from signloom.runtime.workers import default_workers
from signloom.transforms.hand_crops import LOCATED_MIRROR
from signloom.transforms.video_augment import Draw
from signloom.transforms.video_input import VideoInput, left_moves_more

if TYPE_CHECKING:
    from torch import Tensor

Reader = Callable[[str, Any, np.ndarray | None], np.ndarray]


class Memory:
    """Whole decoded clips, first come first kept, until ``budget_bytes`` are full.

    Nothing is ever thrown out: in an epoch every clip comes up once, so that replacing one by another gains nothing.
    """

    def __init__(self, budget_bytes: int):
        self.full = budget_bytes <= 0
        self._left = budget_bytes
        self._held: dict[Hashable, np.ndarray] = {}
        self._lock = threading.Lock()

    def get(self, path: Hashable) -> np.ndarray | None:
        """The clip's frames, if they are held."""
        return self._held.get(path)

    def put(self, path: Hashable, frames: np.ndarray) -> None:
        """Keep ``frames`` if there is room; the first clip that does not fit makes this ``full``."""
        with self._lock:
            if frames.nbytes > self._left:
                self.full = True
            elif path not in self._held:
                self._held[path] = frames
                self._left -= frames.nbytes


def default_memory() -> Memory:
    """Half of the memory that is free now, at most 64 GB."""
    import psutil

    return Memory(min(psutil.virtual_memory().available // 2, 64 * 2**30))


@dataclass
class VideoSet:
    """The clips of a corpus as a video model sees them.

    ``paths`` holds one file per clip for each stream ("frames", "flow", "pose"), ``n_frames`` how many frames each has,
    ``label_N`` int64 or None; any sequence will do, as for clips in shards (:mod:`signloom.tasks.recognise.shard_set`), which
    also say in what ``order`` an epoch is best read.

    ``read`` opens a stream's file at some rows: frames uint8 (T, H, W, 3), flow as the stored codes uint8 (T, H, W, 2),
    of poses the joints :data:`LOCATED` as float32 (T, J, 3): x and y as shares of the picture, and whether the joint
    was seen. A batch then holds their places in what the network sees, from -1 to 1.

    ``flow_inputs`` is how flow is made where another network sees it than the one that sees the frames; it must choose
    the same frames.
    """

    ids: Sequence[str]
    paths: Mapping[str, Sequence[Any]]
    n_frames: Sequence[int]
    inputs: VideoInput
    label_N: Any
    read: Reader
    flow_limit_px: float = 20.0
    memory: Memory = field(default_factory=default_memory)
    workers: int = 0
    order: Callable[[np.random.Generator], np.ndarray] | None = None
    flow_inputs: VideoInput | None = None

    def __post_init__(self):
        self._mirrored: dict[int, bool] = {}
        self._pool = ThreadPoolExecutor(self.workers or min(8, default_workers()), thread_name_prefix="clips")

    def __len__(self) -> int:
        return len(self.ids)

    def batch(
        self,
        rows: Sequence[int],
        draws: Sequence[Draw | None] | None = None,
        crop: tuple[float, float] = (0.0, 1.0),
    ) -> Batch:
        """The clips at ``rows``, read side by side: each changed as its draw says; without draws, its part ``crop``."""
        import torch

        wanted = list(zip(rows, draws or [None] * len(rows)))
        clips = list(self._pool.map(lambda job: self._clip(job[0], job[1], crop), wanted))

        def stacked(stream: str) -> Tensor | None:
            return torch.from_numpy(np.stack([c[stream] for c in clips])) if stream in clips[0] else None

        return Batch(
            ids=tuple(self.ids[r] for r in rows),
            mask_BT=torch.ones(len(rows), self.inputs.n_frames, dtype=torch.bool),
            label_B=None if self.label_N is None else torch.tensor([int(self.label_N[r]) for r in rows]),
            video_BCTHW=stacked("frames"),
            flow_BCTHW=stacked("flow"),
            pose_BTJC=stacked("pose"),
            present_BTJ=stacked("present"),
        )

    def _clip(self, row: int, draw: Draw | None, crop: tuple[float, float]) -> dict[str, np.ndarray]:
        rows = self.inputs.rows(self.n_frames[row], draw, crop)
        made: dict[str, np.ndarray] = {}
        picture: tuple[int, ...] = (1, 1)
        mirror = self.inputs.handedness == "dominant-right" and self._left_handed(row)
        # Poses first: hands are cut out of the pictures by them.
        joints = self._picked("pose", self.paths["pose"][row], rows) if "pose" in self.paths else None
        for stream, paths in self.paths.items():
            if stream == "pose":
                continue
            picked = self._picked(stream, paths[row], rows)
            picture = picked.shape[1:3]
            if stream == "flow":
                flow = flow_of_codes(picked, self.flow_limit_px)
                made[stream] = (self.flow_inputs or self.inputs).flow(flow, draw, mirror=mirror)
            else:
                made[stream] = self.inputs.frames(picked, draw, mirror=mirror, seen_TJ3=joints)
        if joints is not None:
            height, width = picture
            made["pose"], made["present"] = self.inputs.joints(
                joints, width, height, LOCATED_MIRROR, draw, mirror=mirror
            )
        return made

    def _left_handed(self, row: int) -> bool:
        """Decided once per clip, from the whole of its first stream of pictures."""
        if row not in self._mirrored:
            stream = next(s for s in self.paths if s != "pose")
            path = self.paths[stream][row]
            whole = self._picked(stream, path, np.arange(self.n_frames[row]))
            self._mirrored[row] = left_moves_more(whole)
        return self._mirrored[row]

    def _picked(self, stream: str, path: Any, rows: np.ndarray) -> np.ndarray:
        held = self.memory.get(path)
        if held is None:
            if self.memory.full:
                return self.read(stream, path, rows)
            held = self.read(stream, path, None)
            self.memory.put(path, held)
        return held[rows]
