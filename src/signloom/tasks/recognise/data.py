"""What a recogniser learns from and is measured on: clips as its model sees them, batch by batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from signloom.data.batch import Batch
from signloom.data.corpus import ClipList, ClipSequence, Corpus
from signloom.data.frame_cache import FrameCache, default_cache
from signloom.data.reader import Reader
from signloom.data.stream import Stream
from signloom.errors import InputError
from signloom.runtime.progress import Progress
from signloom.runtime.workers import default_workers
from signloom.streams import streams_of
from signloom.tasks.recognise.rates import settled
from signloom.training.checkpoint import Checkpoint
from signloom.training.prefetch import Prefetch

TEACHER = "teacher/"
"""What stands before the names of what a teacher sees."""


@dataclass
class Clips:
    """Clips as a model with ``inputs`` sees their ``streams``; ``labels`` gives each clip's target as its index there.

    ``teacher`` sees the same clips through inputs of its own: the same moments, the same draw. What the input keeps in
    memory (poses) is made at once, the rest when it is asked for, clips of a batch side by side.
    """

    clips: ClipSequence | Sequence[Any]
    inputs: Any
    streams: tuple[str, ...]
    read: Reader
    labels: tuple[str, ...] | None = None
    teacher: Checkpoint | None = None
    workers: int = 0
    held: dict[str, np.ndarray] | None = None
    _mirrored: dict[int, bool] = field(default_factory=dict)

    def __post_init__(self):
        self._index = {label: k for k, label in enumerate(self.labels or ())}
        self._pool = ThreadPoolExecutor(self.workers or min(8, default_workers()), thread_name_prefix="clips")
        if self.held is None and self.small:
            self.held = self._read_all()

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def small(self) -> bool:
        """Whether what is seen of a clip, by a teacher too, is small enough to be made once and kept in memory."""
        seers = [self.inputs, *([self.teacher.inputs] if self.teacher is not None else [])]
        return all(getattr(seer, "keeps_clips", False) for seer in seers)

    def label(self, row: int) -> int:
        """The label of the clip at ``row`` as its index."""
        label = self.clips[row].label
        if label is None:
            raise InputError(
                f"clip '{self.clips[row].id}' has no label; give one (a --pattern with {{label}}) or leave it out"
            )
        return self._index[label]

    @property
    def label_N(self) -> np.ndarray:
        return np.array([self.label(row) for row in range(len(self))], np.int64)

    def batch(
        self,
        rows: Sequence[int],
        draws: Sequence[Any] | None = None,
        crop: tuple[float, float] = (0.0, 1.0),
    ) -> Batch:
        """The clips at ``rows``: each changed as its draw says; without draws, its part ``crop``."""
        import torch

        rows = [int(r) for r in rows]
        if self.held is not None:
            made = {name: torch.from_numpy(values[np.asarray(rows)]) for name, values in self.held.items()}
        else:
            wanted = list(zip(rows, draws or [None] * len(rows)))
            clips = list(self._pool.map(lambda job: self._clip(job[0], job[1], crop), wanted))
            made = {name: torch.from_numpy(np.stack([c[name] for c in clips])) for name in clips[0]}
        for prefix in ("", TEACHER):
            if f"{prefix}present" in made:
                made[f"{prefix}mask"] = _mask(made[f"{prefix}present"])
        targets = {} if self.labels is None else {"label": torch.tensor([self.label(r) for r in rows])}
        return Batch(tuple(self.clips[r].id for r in rows), made, targets)

    def _clip(self, row: int, draw: Any, crop: tuple[float, float]) -> dict[str, np.ndarray]:
        clip = self.clips[row]
        more = {"mirror": self._mirror(row)} if hasattr(self.inputs, "mirrored") else {}
        made = self.inputs.of_clip(clip, self.read, self.streams, draw=draw, crop=crop, **more)
        if self.teacher is not None:
            streams = tuple(self.teacher.streams)
            seen = self.teacher.inputs.of_clip(clip, self.read, streams, draw=draw, crop=crop, **more)
            made |= {TEACHER + name: value for name, value in seen.items()}
        return made

    def _mirror(self, row: int) -> bool:
        """Decided once per clip."""
        if row not in self._mirrored:
            self._mirrored[row] = self.inputs.mirrored(self.clips[row], self.read, self.streams)
        return self._mirrored[row]

    def _read_all(self) -> dict[str, np.ndarray]:
        held: dict[str, np.ndarray] = {}
        with Progress("read clips", len(self), quiet=len(self) < 2000) as progress:
            for row in range(len(self)):
                for name, value in self._clip(row, None, (0.0, 1.0)).items():
                    if name not in held:
                        held[name] = np.zeros((len(self), *value.shape), value.dtype)
                    held[name][row] = value
                progress.step()
        return held


def _mask(present_BTJ: Any) -> Any:
    """A frame in which nothing was found says nothing; a clip of such frames keeps one, so that no sum is empty."""
    mask = present_BTJ.any(-1)
    mask[:, 0] |= ~mask.any(-1)
    return mask


def reader_for(fingerprints: Mapping[str, Mapping[str, Any]], cache: FrameCache | None = None) -> Reader:
    """A reader of the streams made as ``fingerprints`` say."""
    streams: dict[str, Stream] = streams_of(fingerprints)
    return Reader(streams, cache or FrameCache(0))


@dataclass
class RecogniseData:
    """Training and validation clips of a corpus. Implements :class:`signloom.training.task.TrainingData`."""

    train: Clips
    validation: Clips | None
    labels: tuple[str, ...]
    augment: Any
    batch_size: int
    prefetch: Prefetch = field(default_factory=Prefetch)
    widths: tuple[int, int] | None = None
    """How many features a generator's base has, and how many it is to give, once that is known."""
    _epoch: tuple[Any, list[list[int]]] = (None, [])

    @property
    def n_train(self) -> int:
        return len(self.train)

    @property
    def n_val(self) -> int:
        return len(self.validation) if self.validation is not None else 0

    @property
    def n_classes(self) -> int:
        return len(self.labels)

    def steps_per_epoch(self) -> int:
        full, rest = divmod(self.n_train, self.batch_size)
        return full + (rest > 1 or (rest == 1 and self.n_train == 1))

    def rows(self, seed: int, epoch: int) -> list[list[int]]:
        """The rows of each batch of one epoch: an order that depends on ``(seed, epoch)`` alone."""
        key, made = self._epoch
        if key != (seed, epoch):
            rng = np.random.default_rng((seed, 1, epoch))
            clips: Any = self.train.clips
            # Clips in memory may come in any order; of others, the order that opens few files.
            order = rng.permutation(len(clips)) if self.train.held is not None else clips.order(rng)
            made = epoch_rows(order, self.batch_size)
            self._epoch = (seed, epoch), made  # replaced as a whole: safe beside other threads
        return made

    def batch(self, seed: int, step: int, rank: int = 0, n_processes: int = 1) -> tuple[Batch, float]:
        import torch

        epoch, k = divmod(step, self.steps_per_epoch())
        rows = self.rows(seed, epoch)[k]
        generator = torch.Generator().manual_seed(_draw(seed, epoch, k, 2))
        spare = rank >= len(rows)  # with fewer clips than processes; these see the first clip, and it counts nothing
        keep = slice(0, 1) if spare else slice(rank, None, n_processes)
        batch = self._augmented(rows, keep, generator)
        return batch, 0.0 if spare else n_processes / len(rows)

    def augmented(self, rows: list[int], generator: Any) -> Batch:
        """The clips at ``rows`` as training would see them, by draws from ``generator``."""
        return self._augmented(rows, slice(0, None, 1), generator)

    def _augmented(self, rows: list[int], keep: slice, generator: Any) -> Batch:
        """The part ``keep`` of the clips at ``rows``; the draws are those of the whole batch."""
        import torch

        draws = None
        if hasattr(self.augment, "draw"):
            seeds = torch.randint(2**62, (len(rows),), generator=generator).tolist()
            draws = [self.augment.draw(seed) for seed in seeds]
        if not hasattr(self.augment, "of_batch"):
            return self.train.batch(rows[keep], None if draws is None else draws[keep])
        whole = self.train.batch(rows, draws)
        changed = self.augment.of_batch(whole.inputs, generator, self.train.inputs)
        whole = replace(whole, inputs=changed)
        return whole if keep == slice(0, None, 1) else whole.select(range(len(whole))[keep])


def _draw(*key: int) -> int:
    return int(np.random.SeedSequence(key).generate_state(1)[0])


def epoch_rows(rows_N: np.ndarray, batch_size: int) -> list[list[int]]:
    """``rows_N`` in batches. A last batch of one clip is left out (unless it is the only one): a noisy step."""
    n = len(rows_N)
    batches = [rows_N[start : start + batch_size] for start in range(0, n, batch_size)]
    return [b.tolist() for b in batches if len(b) > 1 or n == 1 or batch_size == 1]


FITTED_CLIPS = 4000
"""From so many clips at most, spread over the training clips, an input's statistics are taken."""


def fitted(
    inputs: Any, streams: tuple[str, ...], train: ClipSequence, read: Reader, start: Checkpoint | None = None
) -> Any:
    """``inputs`` with what they take from training clips, and no others: mean and spread of a sensor's channels, say;
    with ``start``, a run that is gone on from, those that its network knows."""
    if not hasattr(inputs, "fitted"):
        return inputs
    if start is not None:
        return start.inputs
    rows = np.unique(np.linspace(0, len(train) - 1, min(len(train), FITTED_CLIPS)).astype(int))
    return inputs.fitted([train[row] for row in rows.tolist()], read, streams)


def read_corpus(
    corpus: Corpus, recipe: Any, teacher: Checkpoint | None = None, start: Checkpoint | None = None
) -> RecogniseData:
    """The clips that ``recipe`` learns from and is validated on; ``start`` is the run that is gone on from."""
    labels = corpus.labels
    if len(labels) < 2:
        raise InputError(f"training needs at least two labels; the train split of '{corpus.root}' has {list(labels)}")
    auxiliary = tuple(teacher.streams) if teacher is not None else recipe.auxiliary_streams
    seen = tuple(dict.fromkeys((*recipe.streams, *auxiliary)))
    read = reader_for({s: corpus.fingerprint(s) for s in seen}, default_cache())
    train = corpus.clips("train")
    if isinstance(train, ClipList):
        unlabelled = [c.id for c in train if c.label is None]
        if unlabelled:
            raise InputError(
                f"{len(unlabelled)} training clips of '{corpus.root}' have no label, e.g. '{unlabelled[0]}'"
            )
    known = set(labels)
    validation = ClipList(tuple(c for c in corpus.clips("val") if c.label in known))
    own = recipe.streams if teacher is not None else seen
    inputs = fitted(settled(recipe.inputs, recipe.streams, corpus.rates(), start), recipe.streams, train, read, start)
    batch_size = recipe.schedule.batch_size
    if len(train) < 4 * batch_size:
        batch_size = min(batch_size, max(2, len(train) // 4))
    return RecogniseData(
        Clips(train, inputs, own, read, labels, teacher),
        Clips(validation, inputs, recipe.streams, read, labels) if len(validation) else None,
        labels,
        recipe.augment,
        batch_size,
        Prefetch() if getattr(recipe.inputs, "keeps_clips", False) else Prefetch(2),
    )
