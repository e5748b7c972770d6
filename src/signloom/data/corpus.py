"""A corpus as training and use see it, whatever it is stored as: clips that can be read, and what identifies them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from signloom.data.leaks import refuse_leaks
from signloom.data.manifest import Manifest, Record
from signloom.data.rates import rates_of
from signloom.errors import InputError, MediaError, MissingStreamError
from signloom.media import DEFAULT_FPS, probe
from signloom.runtime.hashing import fingerprint_hash

if TYPE_CHECKING:
    from signloom.data.shards import OpenShards, Shard, ShardClip, Shards
    from signloom.data.stream import File, Samples, Stream

Rows = np.ndarray | Sequence[int]


class ClipRef(Protocol):
    """One clip that can be read, wherever its streams lie."""

    @property
    def id(self) -> str: ...

    @property
    def label(self) -> str | None: ...

    @property
    def signer(self) -> str | None: ...

    @property
    def n_frames(self) -> int: ...

    @property
    def fps(self) -> float:
        """Frames per second."""
        ...

    def has(self, stream: str) -> bool:
        """Whether the clip has a stream of that name."""
        ...

    def read(self, stream: Stream, rows: Rows | None = None) -> Samples:
        """The samples of ``stream``, whole or at ``rows`` counted from the clip's first. Raises MissingStreamError."""
        ...

    def key(self, stream: str) -> Any:
        """What identifies the stored stream, for a cache."""
        ...


class Corpus(Protocol):
    """Clips with what identifies them: a manifest with a split, or shards."""

    @property
    def root(self) -> Path: ...

    @property
    def labels(self) -> tuple[str, ...]:
        """Distinct labels of the training clips, sorted."""
        ...

    def fingerprint(self, stream: str) -> Mapping[str, Any]:
        """How ``stream`` was made. Raises MissingStreamError."""
        ...

    def has_stream(self, stream: str) -> bool: ...

    def identity(self) -> str:
        """Changes with which clips there are, what they hold and, for shards, how they are grouped."""
        ...

    @property
    def split_hash(self) -> str:
        """Identifies which clips train and which validate."""
        ...

    def clips(self, split: str) -> ClipSequence:
        """The clips of one split, in a fixed order; possibly none."""
        ...

    def rates(self) -> dict[str, int]:
        """How many training clips have which frame rate (:mod:`signloom.data.rates`); empty where none is on record."""
        ...

    def about(self) -> dict[str, Any]:
        """What a checkpoint and a report say about it."""
        ...


class ClipSequence(Protocol):
    """Clips, looked up when asked for, and the order in which an epoch reads them best."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int) -> Any: ...

    def __iter__(self) -> Iterator[Any]: ...

    def order(self, rng: np.random.Generator) -> np.ndarray:
        """Every row once, by draws from ``rng`` alone."""
        ...


def _read_of(clip: str, stream: Stream, file: File, rows: Rows | None, n_frames: int | None) -> Samples:
    try:
        return stream.read_of(file, rows, n_frames)
    except MediaError as error:
        raise MediaError(f"clip '{clip}', stream '{stream.name}': {error}", error.reason) from error


# --- clips in files -----------------------------------------------------------------------------------------------


_FILMED = ("flow", "frames", "signer", "video")
"""Streams whose files say their frame rate."""


@dataclass(frozen=True)
class FileClip:
    """A clip of a manifest."""

    record: Record
    root: Path
    needed_by: str = "reading"
    whole: frozenset[str] = frozenset()
    """Streams that hold the whole recording, of which the clip is the part from its ``first_frame`` on."""

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def label(self) -> str | None:
        return self.record.label

    @property
    def signer(self) -> str | None:
        return self.record.signer

    @property
    def n_frames(self) -> int:
        if not self.record.n_frames:
            raise InputError(f"clip '{self.id}' has no n_frames in the manifest; prepare the corpus again")
        return self.record.n_frames

    @property
    def fps(self) -> float:
        """What the record says; else what the file of a stream does; 25 where no file knows (a folder of pictures)."""
        if self.record.fps:
            return self.record.fps
        filmed = next((s for s in _FILMED if self.has(s)), None)
        return DEFAULT_FPS if filmed is None else probe(self.file(filmed)).fps

    def has(self, stream: str) -> bool:
        return stream in self.record.streams

    def file(self, stream: str) -> Path:
        """Where ``stream`` is stored. Raises MissingStreamError."""
        return self.record.path(stream, self.root, self.needed_by)

    def read(self, stream: Stream, rows: Rows | None = None) -> Samples:
        file = self.file(stream.name)
        if stream.name in self.whole:
            rows = np.arange(self.n_frames) if rows is None else np.asarray(rows)
            return stream.read(file, rows + self.record.first_frame)
        return _read_of(self.id, stream, file, rows, self.record.n_frames)

    def key(self, stream: str) -> Any:
        return self.file(stream), self.record.first_frame if stream in self.whole else 0


@dataclass(frozen=True)
class ClipList(Sequence):
    """Clips in a list: each epoch a plain shuffle."""

    clips: tuple[ClipRef, ...]

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, row: Any) -> Any:
        return self.clips[row]

    def order(self, rng: np.random.Generator) -> np.ndarray:
        return rng.permutation(len(self.clips))


def clips_of(manifest: Manifest, needed_by: str = "reading") -> ClipList:
    """The clips of ``manifest``; errors about missing streams name ``needed_by``."""
    return ClipList(tuple(FileClip(r, manifest.root, needed_by, manifest.whole_streams) for r in manifest))


@dataclass(frozen=True)
class SplitManifest:
    """A manifest whose clips are divided. Raises LeakError where the split lets training see what it is tested on."""

    manifest: Manifest
    needed_by: str = "training"

    def __post_init__(self):
        refuse_leaks(self.manifest)

    @property
    def root(self) -> Path:
        return self.manifest.root

    @property
    def labels(self) -> tuple[str, ...]:
        return self.manifest.only("train").labels

    def fingerprint(self, stream: str) -> Mapping[str, Any]:
        return self.manifest.fingerprint(stream)

    def has_stream(self, stream: str) -> bool:
        return stream in self.manifest.meta.get("streams", {})

    def identity(self) -> str:
        return self.manifest.corpus_hash()

    @property
    def split_hash(self) -> str:
        return split_hash_of(self.manifest)

    def clips(self, split: str) -> ClipList:
        # A changed copy is learnt from and never measured on; it is in its parent's split all the same.
        return clips_of(
            self.manifest.where(lambda r: r.split == split and (split == "train" or not r.augmented)), self.needed_by
        )

    def rates(self) -> dict[str, int]:
        return rates_of(r.fps for r in self.manifest if r.split == "train")

    def about(self) -> dict[str, Any]:
        return {**describe_corpus(self.manifest), "rates": self.rates()}


def split_hash_of(manifest: Manifest) -> str:
    """Identifies which clips train and which validate."""
    return fingerprint_hash(sorted((r.id, r.split) for r in manifest if r.split in ("train", "val")))


def describe_corpus(manifest: Manifest) -> dict[str, Any]:
    """What a checkpoint and a report say about the corpus."""
    return {
        "name": manifest.meta.get("name") or manifest.root.resolve().name,
        "root": str(manifest.root.resolve()),
        "hash": manifest.corpus_hash(),
        "n_clips": len(manifest),
        "n_signers": len(manifest.signers),
        "licences": sorted({r.licence for r in manifest if r.licence}),
        "rates": rates_of(r.fps for r in manifest),
        "streams": dict(manifest.meta.get("streams", {})),
    }


@dataclass(frozen=True)
class Without:
    """A clip as if it had not one of its streams: what a model of several makes of the rest."""

    clip: ClipRef
    stream: str

    @property
    def id(self) -> str:
        return self.clip.id

    @property
    def label(self) -> str | None:
        return self.clip.label

    @property
    def signer(self) -> str | None:
        return self.clip.signer

    @property
    def n_frames(self) -> int:
        return self.clip.n_frames

    @property
    def fps(self) -> float:
        return self.clip.fps

    def has(self, stream: str) -> bool:
        return stream != self.stream and self.clip.has(stream)

    def read(self, stream: Stream, rows: Rows | None = None) -> Samples:
        if stream.name == self.stream:
            raise MissingStreamError(f"clip '{self.id}' is read without its stream '{stream.name}'")
        return self.clip.read(stream, rows)

    def key(self, stream: str) -> Any:
        return self.clip.key(stream)


# --- clips in shards ----------------------------------------------------------------------------------------------

WINDOW = 4
"""How many shards are read from side by side."""


@dataclass(frozen=True)
class ShardedClip:
    """A clip inside a shard."""

    clip: ShardClip
    files: OpenShards
    root: Path
    signer: str | None = None

    @property
    def fps(self) -> float:
        """What the shard's index says; else (shards of signloom 0.1 lack it) what the file of a stream does."""
        if self.clip.fps:
            return self.clip.fps
        filmed = next((s for s in _FILMED if self.has(s)), None)
        return DEFAULT_FPS if filmed is None else probe(self.files.read(self.key(filmed))).fps

    @property
    def id(self) -> str:
        return self.clip.id

    @property
    def label(self) -> str:
        return self.clip.label

    @property
    def n_frames(self) -> int:
        return self.clip.n_frames

    def has(self, stream: str) -> bool:
        return stream in self.clip.members

    def key(self, stream: str) -> Any:
        if stream not in self.clip.members:
            have = ", ".join(self.clip.members)
            raise MissingStreamError(f"clip '{self.id}' of shards '{self.root}' has no {stream}; it has {have}")
        return self.clip.members[stream]

    def read(self, stream: Stream, rows: Rows | None = None) -> Samples:
        return _read_of(self.id, stream, self.files.read(self.key(stream.name)), rows, self.n_frames)


class ShardedClips(Sequence):
    """The clips of a split's shards one after another, each looked up when it is asked for.

    An epoch takes the shards in a random order, a few at a time (a *window*), and the clips of a window in a random
    order. As each shard is a random share of the corpus, that is nearly a shuffle of everything. At most two windows of
    shards are open: a batch may take the last clips of one and the first of the next.
    """

    def __init__(self, shards: Shards, split: str, window: int = WINDOW):
        from itertools import accumulate

        from signloom.data.shards import OpenShards

        self.shards: tuple[Shard, ...] = shards.splits.get(split, ())
        self.window = window
        self.root = shards.root
        self.files = OpenShards(shards.root, self.shards, 2 * window)
        self._ends = list(accumulate(s.clips for s in self.shards))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, row: Any) -> Any:
        from bisect import bisect_right

        number = bisect_right(self._ends, row)
        clip = self.files.clip(self.shards[number], row - self._ends[number] + self.shards[number].clips)
        return ShardedClip(clip, self.files, self.root)

    def __iter__(self) -> Iterator[ShardedClip]:
        return (self[row] for row in range(len(self)))

    def order(self, rng: np.random.Generator) -> np.ndarray:
        numbers = rng.permutation(len(self.shards))
        rows = []
        for start in range(0, len(numbers), self.window):
            some = [
                np.arange(self._ends[n] - self.shards[n].clips, self._ends[n]) for n in numbers[start:][: self.window]
            ]
            rows.append(rng.permutation(np.concatenate(some)))
        return np.concatenate(rows) if rows else np.arange(0)


# --- clips in memory ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HeldClip:
    """A clip whose samples are in memory: pushed into a session, or given as arrays by a program."""

    id: str
    samples: Mapping[str, Samples]
    fps: float = 25.0
    label: str | None = None
    signer: str | None = None
    record: Record | None = field(default=None, repr=False)

    @property
    def n_frames(self) -> int:
        return max(len(s) for s in self.samples.values())

    def has(self, stream: str) -> bool:
        return stream in self.samples

    def key(self, stream: str) -> Any:
        return id(self), stream

    def read(self, stream: Stream, rows: Rows | None = None) -> Samples:
        if stream.name not in self.samples:
            have = ", ".join(sorted(self.samples)) or "none"
            raise MissingStreamError(f"clip '{self.id}' has no samples of stream '{stream.name}'; it has {have}")
        held = self.samples[stream.name]
        return held if rows is None else held[np.asarray(rows)]
