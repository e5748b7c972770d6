"""What a segmenter learns from: continuous footage, put together from clips anew for every batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from signloom.data.batch import Batch
from signloom.data.corpus import ClipSequence, Corpus
from signloom.data.reader import Reader
from signloom.data.skeleton import MIRROR, PARTS
from signloom.errors import InputError
from signloom.runtime.progress import Progress
from signloom.streams import streams_of
from signloom.tasks.segment.decode import BEGIN, INSIDE, OUTSIDE
from signloom.tasks.segment.footage import NO_SIGN, Footage, Material, Mix, compose, material, resting_at
from signloom.tasks.segment.recipes import SegmentAugment, SegmentRecipe
from signloom.training.prefetch import Prefetch
from signloom.transforms.motion_input import N_JOINTS, MotionInput

MOST_CLIPS = 4000
"""So many clips of a corpus are held in memory at most, spread over all of it."""
LEAST_STEPS = 100
"""An epoch has so many steps at least."""
IGNORED = -100
"""The target of frames of which nothing is known."""
MEASURED_MIXES: Mapping[str, Mix] = {
    # how clips follow each other where a segmenter is validated and measured
    "pauses as filmed": Mix(),
    "other pauses cut in": Mix(paused=1.0, pause_s=(0.5, 3.0)),
    "idle hands in the pauses": Mix(paused=1.0, pause_s=(1.0, 3.0), idle=1.0),
    "without rest between": Mix(flowing=1.0),
}


def read_material(
    clips: ClipSequence | Sequence[Any], read: Reader, n_joints: int = N_JOINTS, most: int = MOST_CLIPS
) -> list[Material]:
    """What of ``clips`` footage can be put together of; clips in which no sign is found are left out."""
    rows = np.unique(np.linspace(0, len(clips) - 1, min(len(clips), most)).astype(int)) if len(clips) else []
    found = []
    with Progress("read clips", len(rows), quiet=len(rows) < 2000) as progress:
        for row in rows:
            clip = clips[int(row)]
            made = material(clip, read(clip, "pose"), n_joints)
            found += [made] if made is not None else []
            progress.step()
    return found


def by_signer(clips: Sequence[Material]) -> dict[str, list[Material]]:
    """The clips of each signer; where it is not known who signs, those of everybody."""
    found: dict[str, list[Material]] = {}
    for clip in clips:
        found.setdefault(clip.signer or "", []).append(clip)
    return dict(sorted(found.items()))


def measured_footage(clips: Sequence[Material], mix: Mix, seed: int = 0) -> Iterator[tuple[str, Footage]]:
    """All ``clips``, put together signer by signer as ``mix`` says, in an order that is always the same.

    Recordings whose signs have times on record stand by themselves, as they are.
    """
    for number, (signer, own) in enumerate(by_signer(clips).items()):
        rng = np.random.default_rng((seed, 7, number))
        single = [own[k] for k in rng.permutation(len(own)) if own[k].span is not None]
        if single:
            yield signer, compose(single, mix, float(np.median([c.fps for c in single])), rng)
        for clip in own:
            if clip.span is None:
                yield signer, compose([clip], mix, clip.fps, rng)


def targets(footage: Footage, inputs: MotionInput, begin_s: float) -> np.ndarray:
    """The class of each frame, (T,) int64: that of the moment of which the network is to speak."""
    class_T = np.where(footage.sign_T == NO_SIGN, OUTSIDE, INSIDE)
    for start_s, end_s, _ in footage.stretches():
        first = int(np.searchsorted(footage.times_T, start_s))
        class_T[first : max(first + 1, int(np.searchsorted(footage.times_T, min(end_s, start_s + begin_s))))] = BEGIN
    moment_T = np.searchsorted(footage.times_T, footage.times_T - inputs.delay_s + 1e-6, side="right") - 1
    return np.where(moment_T < 0, IGNORED, class_T[np.maximum(moment_T, 0)])


def changed(
    footage: Footage, augment: SegmentAugment, unit_px: float, rng: np.random.Generator, least_frames: int = 1
) -> Footage:
    """``footage`` with frames left out, so many that ``least_frames`` stay, and joints changed, by draws of ``rng``."""
    n, size = len(footage), footage.xy_TJC.shape
    keep = rng.random(n) >= rng.uniform(0, augment.drop)
    if keep.sum() < least_frames:
        keep[:] = True
    xy, present = footage.xy_TJC, footage.present_TJ.copy()
    if rng.random() < augment.mirror:
        xy, present = (xy * np.array([-1, 1], np.float32))[:, MIRROR[:N_JOINTS]], present[:, MIRROR[:N_JOINTS]]
    stretch = np.exp(rng.uniform(-1, 1) * augment.scale + rng.uniform(-1, 1, 2) * augment.aspect)
    xy = xy * stretch.astype(np.float32)
    xy = xy + rng.standard_normal(size, np.float32) * np.float32(rng.uniform(0, augment.jitter) * unit_px)
    for hand in (PARTS["left_hand"], PARTS["right_hand"]):
        if rng.random() < augment.lose_hand:
            begin, length = int(rng.integers(n)), int(rng.integers(2, max(3, n // 4)))
            present[begin : begin + length, hand] = False
        present[rng.random(n) < rng.uniform(0, 0.1), hand] = False
    whole = replace(footage, xy_TJC=np.where(present[..., None], xy, 0).astype(np.float32), present_TJ=present)
    return whole.only(np.flatnonzero(keep))


@dataclass
class SegmentData:
    """Clips to put together. Implements :class:`signloom.training.task.TrainingData`."""

    train: list[Material]
    validation: list[Material]
    recipe: SegmentRecipe
    labels: tuple[str, ...] = ()
    prefetch: Prefetch = field(default_factory=Prefetch)
    _validation: list[tuple[str, Footage]] | None = None

    def __post_init__(self) -> None:
        self._of_signer = [*by_signer(self.train).values()]
        sizes = np.array([len(own) for own in self._of_signer], float)
        self._share = sizes / sizes.sum()

    @property
    def n_train(self) -> int:
        return len(self.train)

    @property
    def n_val(self) -> int:
        return len(self.validation)

    @property
    def n_classes(self) -> int:
        return 1

    def steps_per_epoch(self) -> int:
        """Footage is never the same again; an epoch is as often as validation footage is worth looking at."""
        return max(LEAST_STEPS, self.n_train // self.recipe.schedule.batch_size)

    def batch(self, seed: int, step: int, rank: int = 0, n_processes: int = 1) -> tuple[Batch, float]:
        """Sequences that follow from ``seed``, ``step`` and their place in the batch alone."""
        import torch

        size = max(self.recipe.schedule.batch_size, n_processes)
        rows = range(rank, size, n_processes)
        made = [self._sequence(np.random.default_rng((seed, step, row))) for row in rows]
        batch = Batch(
            tuple(map(str, rows)),
            {"motion": torch.from_numpy(np.stack([features for features, _ in made]))},
            {"class": torch.from_numpy(np.stack([wanted for _, wanted in made]))},
        )
        return batch, n_processes / size

    def _sequence(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Features and classes of ``n_frames`` frames."""
        recipe, augment = self.recipe, self.recipe.augment
        clips = self._clips(rng)
        first = next(clips)
        low, high = np.log(augment.rates_hz)
        rate_hz = first.fps if rng.random() < augment.own_rate else float(np.exp(rng.uniform(low, high)))
        wanted = round(recipe.n_frames / (1 - augment.drop)) + 8
        begin = int(rng.integers(0, max(1, round(3 * rate_hz))))
        footage = compose(_and(first, clips), augment.mix, rate_hz, rng, wanted + begin)
        footage = footage.only(slice(begin, begin + wanted))
        footage = changed(footage, augment, first.unit_px, rng, recipe.n_frames).only(slice(0, recipe.n_frames))
        found, _ = recipe.inputs.features(footage.times_T, footage.xy_TJC, footage.present_TJ)
        return found, targets(footage, recipe.inputs, recipe.begin_s)

    def _clips(self, rng: np.random.Generator) -> Iterator[Material]:
        """Clips of one signer, and now and then of another, without end."""
        while True:
            own = self._of_signer[int(rng.choice(len(self._of_signer), p=self._share))]
            elsewhere = rng.random() < self.recipe.augment.rest
            place_SC = np.stack([rng.uniform(-0.1, 0.6, 2), rng.uniform(0.6, 1.6) + rng.uniform(-0.1, 0.1, 2)], 1)
            seen = rng.random() < 0.6
            goes_on = True
            while goes_on:
                clip = own[int(rng.integers(len(own)))]
                yield resting_at(clip, place_SC, seen) if elsewhere else clip
                goes_on = rng.random() >= self.recipe.augment.other_signer

    def validation_footage(self) -> list[tuple[str, Footage]]:
        """The validation clips put together in every way, by the name of the way; made once."""
        if self._validation is None:
            self._validation = [
                (name, footage)
                for name, mix in MEASURED_MIXES.items()
                for _, footage in measured_footage(self.validation, mix)
            ]
        return self._validation


def _and(first: Material, rest: Iterator[Material]) -> Iterator[Material]:
    yield first
    yield from rest


def read_corpus(corpus: Corpus, recipe: SegmentRecipe) -> SegmentData:
    """The clips that ``recipe`` learns from and is validated on.

    Raises InputError where no sign is found in any training clip.
    """
    read = Reader(streams_of({"pose": corpus.fingerprint("pose")}))
    train = read_material(corpus.clips("train"), read)
    if not train:
        raise InputError(
            f"no clip of '{corpus.root}' to learn from: wanted poses with shoulders, in which a hand leaves its rest "
            "and comes back, or recordings with times of signs (prepare … --source elan --option recordings=yes)"
        )
    return SegmentData(train, read_material(corpus.clips("val"), read), recipe)
