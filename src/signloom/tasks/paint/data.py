"""What a generator learns from and is measured on: a signer's pictures with their pose maps, batch by batch."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from signloom import media
from signloom.data.batch import Batch
from signloom.data.corpus import ClipRef, Corpus, FileClip
from signloom.data.frame_cache import FrameCache, default_cache
from signloom.data.rates import are_mixed, in_words
from signloom.data.skeleton import Joints
from signloom.data.stream import Stream
from signloom.errors import InputError, SignloomWarning
from signloom.runtime.workers import default_workers
from signloom.streams import streams_of
from signloom.streams.signer_crop import SignerCrop, shoulders_in_pose_map
from signloom.training.prefetch import Prefetch
from signloom.transforms.generator_input import GeneratorInput
from signloom.transforms.geometry import warp_frames
from signloom.transforms.parts import Box, part_boxes
from signloom.transforms.pose_map import draw_pose_map, pose_map_of_picture, warp_pose_map
from signloom.transforms.retarget import common_proportions

if TYPE_CHECKING:
    from torch import Tensor

    from signloom.tasks.paint.recipes import PaintRecipe

SOME_FRAMES = 100
"""How many frames of a signer tell the background and where the signer stands."""


# --- clips --------------------------------------------------------------------------------------------------------


@dataclass
class PoseMapClip:
    """A clip of a painting corpus: a signer's pictures, and the pose maps that go with them.

    Rows count from the clip's first frame. Pose maps are drawn from the stream ``pose``, or read off the stream
    ``skeleton``. ``pose_map_px`` None: of the side of the pictures. What was read is kept in ``cache`` while it fits.
    """

    clip: ClipRef
    streams: Mapping[str, Stream]
    size_px: int
    pose_map_px: int | None = None
    identity: int = 0
    cache: FrameCache = field(default_factory=default_cache)

    def __post_init__(self):
        if not self.clip.has("skeleton") and not (self.clip.has("pose") and crop_of(self.clip) is not None):
            have = ", ".join(s for s in ("signer", "pose", "frames", "video") if self.clip.has(s)) or "none"
            raise InputError(
                f"clip '{self.id}': painting needs stream 'pose' with its crop, or 'skeleton'; it has {have}. "
                "Run: signloom prepare … --streams pose signer"
            )
        self._n_frames = self.clip.n_frames

    @property
    def id(self) -> str:
        return self.clip.id

    @property
    def fps(self) -> float:
        return self.clip.fps

    def __len__(self) -> int:
        return self._n_frames

    def pictures(self, rows: Sequence[int]) -> np.ndarray:
        """The signer, uint8 (len(rows), S, S, 3)."""
        keys = {int(row): ("picture", self.id, int(row), self.size_px) for row in rows}
        known = ((row, self.cache.get(key)) for row, key in keys.items())
        held = {row: picture for row, picture in known if picture is not None}
        if lacking := [row for row in keys if row not in held]:
            for row, picture in zip(lacking, resized(self.clip.read(self.streams["signer"], lacking), self.size_px)):
                held[row] = self._kept(keys[row], picture)
        return np.stack([held[int(row)] for row in rows])

    def pose_map(self, row: int, matrix: np.ndarray | None = None) -> np.ndarray:
        """The pose map of a frame, uint8 (s, s, L), after ``matrix`` (3×3, in its pixels)."""
        side = self.pose_map_px or self.size_px
        if self.clip.has("skeleton"):
            pose_map = self._read_pose_map(row, side)
            return pose_map if matrix is None else warp_pose_map(pose_map, matrix)
        onto = self._onto(side) if matrix is None else matrix @ self._onto(side)
        lines = self._lines_TN2C
        return draw_pose_map(self._joints, row, onto, side, None if lines is None else lines[row])

    def before(self) -> np.ndarray | None:
        """The picture before the clip's first in its recording, uint8 (S, S, 3); None where there is none."""
        clip = self.clip
        if not isinstance(clip, FileClip) or "signer" not in clip.whole or not clip.record.first_frame:
            return None
        return resized(clip.read(self.streams["signer"], [-1]), self.size_px)[0]

    def joints(self) -> Joints | None:
        """The clip's joints in pixels of its pictures; None where it has stick figures only."""
        if self.clip.has("skeleton"):
            return None
        joints, onto = self._joints[: len(self)], self._onto(self.size_px)
        moved = (joints.xy_TJC @ onto[:2, :2].T + onto[:2, 2]).astype(np.float32)
        return Joints(moved, joints.present_TJ, joints.fps, joints.confidence_TJ)

    @cached_property
    def _joints(self) -> Joints:
        return self.clip.read(self.streams["pose"])

    @cached_property
    def _lines_TN2C(self) -> np.ndarray | None:
        return self._joints.lines_TN2C

    def _onto(self, size_px: int) -> np.ndarray:
        """From pixels of the pose to those of the signer's square at ``size_px``, 3×3."""
        stored_px = self.streams["signer"].fingerprint()["size_px"]
        shrink = size_px / stored_px
        crop = crop_of(self.clip)
        assert crop is not None
        return np.diag([shrink, shrink, 1.0]) @ crop

    def _read_pose_map(self, row: int, side: int) -> np.ndarray:
        key = ("pose_map", self.id, row, side)
        held = self.cache.get(key)
        if held is not None:
            return held
        figure = self.clip.read(self.streams["skeleton"], [row])[0]
        return self._kept(key, pose_map_of_picture(figure, side))

    def _kept(self, key: Any, value: np.ndarray) -> np.ndarray:
        if not self.cache.full:
            self.cache.put(key, value)
        return value


def crop_of(clip: ClipRef) -> np.ndarray | None:
    """The 3×3 matrix from pixels of the clip's pose to those of its stream ``signer``; None where it has none."""
    record = getattr(clip, "record", None)
    kept = record.extra.get("crop") if record is not None else None
    return None if kept is None else np.array(kept, np.float64)


def resized(frames_THWC: np.ndarray, size_px: int) -> np.ndarray:
    """Square frames at another size: averaged where they shrink, interpolated where they grow."""
    if frames_THWC.shape[1] == size_px:
        return frames_THWC
    cv2 = media.import_cv2()
    how = cv2.INTER_AREA if frames_THWC.shape[1] > size_px else cv2.INTER_CUBIC
    return np.stack([cv2.resize(f, (size_px, size_px), interpolation=how) for f in frames_THWC])


def painting_streams(corpus: Corpus) -> dict[str, Stream]:
    """The streams of ``corpus`` that painting reads."""
    return streams_of({s: corpus.fingerprint(s) for s in ("signer", "pose", "skeleton") if corpus.has_stream(s)})


def painting_clips(
    corpus: Corpus,
    split: str,
    inputs: GeneratorInput,
    signers: Sequence[str],
    cache: FrameCache | None = None,
) -> list[PoseMapClip]:
    """The clips of one split by ``signers``, at the sizes of ``inputs``, each with its signer's place among them."""
    streams, cache = painting_streams(corpus), cache or default_cache()
    place = {signer: k for k, signer in enumerate(signers)}
    return [
        PoseMapClip(clip, streams, inputs.size_px, inputs.pose_map_px, place[clip.signer or ""], cache)
        for clip in corpus.clips(split)
        if (clip.signer or "") in place
    ]


def pose_stream(corpus: Corpus) -> str:
    """The stream that says how the signer stands: "skeleton" where the training clips have it, else "pose"."""
    return "skeleton" if any(clip.has("skeleton") for clip in corpus.clips("train")) else "pose"


# --- batches ------------------------------------------------------------------------------------------------------


class Draw(NamedTuple):
    """What is drawn for one clip of a batch: the frame to be judged, from how many before it, and how it is moved."""

    frame: int
    back: int
    matrix: np.ndarray


@dataclass
class PaintData:
    """The frames of many clips, numbered through, as batches. Implements :class:`signloom.training.task.TrainingData`.

    ``shown`` are clips to look at while it trains: those to validate on, where there are any.
    """

    clips: Sequence[PoseMapClip]
    recipe: PaintRecipe
    signers: tuple[str, ...] = ("",)
    shown: Sequence[PoseMapClip] = ()
    crop: Mapping[str, Any] | None = None
    """The settings of the square that the signer was cut by, where it is on record."""
    corpus_hash: str = ""
    split_hash: str = ""

    n_val = 0
    n_classes = 0
    labels: tuple[str, ...] = ()

    def __post_init__(self):
        self.clip_N = np.concatenate([np.full(len(c), k) for k, c in enumerate(self.clips)])
        self.row_N = np.concatenate([np.arange(len(c)) for c in self.clips])
        self.identity_N = np.array([c.identity for c in self.clips])[self.clip_N]

    @property
    def n_train(self) -> int:
        """How many frames there are."""
        return len(self.clip_N)

    @property
    def prefetch(self) -> Prefetch:
        """A processor shares its cores between making batches and learning; a GPU must not wait."""
        import torch

        n = min(8, default_workers()) if torch.cuda.is_available() else 1
        return Prefetch(n, n)

    def steps_per_epoch(self) -> int:
        """How many batches the frames fill."""
        return max(1, self.n_train // self.recipe.schedule.batch_size)

    def batch(self, seed: int, step: int, rank: int = 0, n_processes: int = 1) -> tuple[Batch, float]:
        """This process's share of batch ``step``, and the weight of each of its clips.

        Inputs ``pose_map`` (B, T, L, s, s) and target ``pictures`` (B, T, 3, S, S), from 0 to 1, are up to T frames in
        a row, the last to be judged, the ones before to come from. ``moved`` (B, 2, 3) takes places of the changed
        picture to those of the unchanged one (for the background), as ``torch.nn.functional.affine_grid`` wants it.
        ``identity`` int64 (B,). ``boxes`` are face and hands of the last frame.
        """
        drawn = self.draws(seed, step)
        share = drawn[rank::n_processes]
        if share:
            return self._made(share), n_processes / len(drawn)
        spare = self._made(drawn[:1])  # with fewer clips than processes; its parts count nothing either
        return replace(spare, lists={"boxes": [{}]}), 0.0

    def draws(self, seed: int, step: int) -> list[Draw]:
        """Frames in a shuffled order, each drawn and moved by ``(seed, step)`` alone."""
        recipe = self.recipe
        n = recipe.schedule.batch_size
        rng = np.random.default_rng((seed, 2, step))
        # All clips of a batch go on from as many frames.
        back = 0
        if self.temporal and rng.random() >= recipe.first_share:
            back = int(rng.integers(1, recipe.unroll + 1))
        side = recipe.inputs.side_px
        return [Draw(self.frame(seed, step * n + k), back, recipe.augment.matrix(rng, side)) for k in range(n)]

    @property
    def temporal(self) -> bool:
        """Whether frames are painted from those before them."""
        return self.recipe.architecture == "generator" and bool(self.recipe.model.get("temporal", True))

    def frame(self, seed: int, place: int) -> int:
        """The number of the frame at ``place`` of the endless shuffled order."""
        epoch, row = divmod(place, self.n_train)
        return int(_order(seed, epoch, self.n_train)[row])

    def picture(self, n: int) -> np.ndarray:
        """Frame ``n``, uint8 (S, S, 3)."""
        return self.clips[self.clip_N[n]].pictures([int(self.row_N[n])])[0]

    def pose_map(self, n: int) -> np.ndarray:
        """The pose map of frame ``n``, uint8 (s, s, L)."""
        return self.clips[self.clip_N[n]].pose_map(int(self.row_N[n]))

    def some_frames(self, identity: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Pictures of one signer with their pose maps, from all over the clips."""
        numbers = np.flatnonzero(self.identity_N == identity)
        some = numbers[np.linspace(0, len(numbers) - 1, min(len(numbers), SOME_FRAMES)).astype(int)]
        return [(self.picture(n), self.pose_map(n)) for n in some]

    @cached_property
    def inputs(self) -> GeneratorInput:
        """What surrounds the generator, as these clips tell it."""
        of_signer = [[c for c in self.clips if c.identity == k] for k in range(len(self.signers))]
        return replace(
            self.recipe.inputs,
            crop=self.crop or _own_square(self.clips),
            signers=self.signers,
            channel_levels=_channel_levels(self.clips),
            proportions=tuple(_proportions(clips) for clips in of_signer),
        )

    def _made(self, drawn: Sequence[Draw]) -> Batch:
        import torch

        clips = [self.clips[self.clip_N[d.frame]] for d in drawn]
        pose_maps, pictures, moved, boxes = zip(*(self._one(c, d) for c, d in zip(clips, drawn)))
        frames = [d.frame for d in drawn]
        return Batch(
            tuple(c.id for c in clips),
            inputs={
                "pose_map": _stacked(pose_maps),
                "moved": torch.from_numpy(np.stack(moved)),
                "identity": torch.from_numpy(self.identity_N[frames].astype(np.int64)),
            },
            targets={"pictures": _stacked(pictures)},
            lists={"boxes": list(boxes)},
        )

    def _one(self, clip: PoseMapClip, draw: Draw) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, Box]]:
        size, side = self.recipe.inputs.size_px, self.recipe.inputs.side_px
        row = int(self.row_N[draw.frame])
        rows = [max(row - k, 0) for k in range(draw.back, -1, -1)]
        pose_maps = [clip.pose_map(r, draw.matrix) for r in rows]
        grow = np.diag([size / side, size / side, 1.0])
        pictures = warp_frames(clip.pictures(rows), grow @ draw.matrix @ np.linalg.inv(grow), size)
        boxes = {name: _times(box, size // side) for name, box in part_boxes(pose_maps[-1]).items()}
        return np.stack(pose_maps), pictures, grid_matrix(draw.matrix, side), boxes


def read_corpus(corpus: Corpus, recipe: PaintRecipe) -> PaintData:
    """The frames that ``recipe`` learns from, and the clips to look at. Raises InputError where there are none."""
    signers = tuple(sorted({clip.signer or "" for clip in corpus.clips("train")}))
    if not signers:
        raise InputError(f"the train split of '{corpus.root}' has no clip to learn painting from")
    cache = default_cache()
    data = PaintData(
        painting_clips(corpus, "train", recipe.inputs, signers, cache),
        recipe,
        signers,
        painting_clips(corpus, "val", recipe.inputs, signers, cache),
        corpus.fingerprint("signer").get("crop"),
        corpus.identity(),
        corpus.split_hash,
    )
    if data.temporal and are_mixed(corpus.rates()):
        warnings.warn(
            f"the training clips have {in_words(corpus.rates())} frames/s: how much moves from one frame to the next "
            "is learnt as it comes; train on clips of one rate, or a generator without memory (--recipe paint-frames)",
            SignloomWarning,
            stacklevel=2,
        )
    return data


@lru_cache(maxsize=8)
def _order(seed: int, epoch: int, n: int) -> np.ndarray:
    order = np.random.default_rng((seed, 1, epoch)).permutation(n)
    order.flags.writeable = False  # threads that make batches share it
    return order


def _stacked(parts: Sequence[np.ndarray]) -> Tensor:
    """(B, T, H, W, C) uint8 as (B, T, C, H, W) from 0 to 1; it stays channels last in memory."""
    import torch

    return torch.from_numpy(np.stack(parts)).movedim(-1, 2).float().div_(255)


def _times(box: Box, factor: int) -> Box:
    x0, y0, x1, y1 = box
    return factor * x0, factor * y0, factor * x1, factor * y1


def grid_matrix(matrix: np.ndarray, size: int) -> np.ndarray:
    """``matrix`` (pixels to pixels, forwards) as affine_grid's: from target to source, both from -1 to 1."""
    to_unit = np.array([[2 / size, 0, -1], [0, 2 / size, -1], [0, 0, 1.0]])
    return (to_unit @ np.linalg.inv(matrix) @ np.linalg.inv(to_unit))[:2].astype(np.float32)


# --- what the clips tell ------------------------------------------------------------------------------------------


def some_of(clips: Sequence[PoseMapClip], n: int) -> list[tuple[PoseMapClip, int]]:
    """``n`` frames, or fewer, spread evenly over all of ``clips``: the clip and the row of each."""
    every = [(clip, row) for clip in clips for row in range(len(clip))]
    return [every[k] for k in np.linspace(0, len(every) - 1, min(len(every), n)).astype(int)]


def _own_square(clips: Sequence[PoseMapClip]) -> dict[str, Any] | None:
    """Where the signer stands in pictures that came cut, as settings of SignerCrop: so poses can be brought there.

    Read off the stick figures of some frames; None where their shoulders are not seen.
    """
    maps = [clip.pose_map(row) for clip, row in some_of(clips, SOME_FRAMES)]
    seen = [s for m in maps if (s := shoulders_in_pose_map(m)) is not None]
    if not seen:
        return None
    left, right = (np.array(side) for side in zip(*seen))
    size = len(maps[0])
    width = float(np.percentile(np.linalg.norm(left - right, axis=1), 90))
    across, height = (np.median(left + right, axis=0) / 2 / size).round(3).tolist()
    return asdict(SignerCrop(size, round(size / width, 3), height, across=across))


def _channel_levels(clips: Sequence[PoseMapClip]) -> tuple[int, ...]:
    brightest = np.array([clip.pose_map(row).max((0, 1)) for clip, row in some_of(clips, 2 * SOME_FRAMES)])
    return tuple(int(np.percentile(b[b > 0], 90)) if b.any() else 0 for b in brightest.T)


def _proportions(clips: Sequence[PoseMapClip]) -> dict[str, Any] | None:
    """The signer's build, from the poses of all ``clips``; None where the corpus has stick figures only."""
    poses = [c.clip.read(c.streams["pose"]) for c in clips if c.clip.has("pose")]
    return asdict(common_proportions(poses)) if poses else None
