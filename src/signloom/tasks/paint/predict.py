"""A trained generator, ready to use: poses in, pictures out, frame by frame."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from signloom import media
from signloom.data.corpus import ClipRef
from signloom.data.rates import far_from, in_words
from signloom.data.stream import Stream
from signloom.errors import CheckpointError, InputError, SignloomWarning
from signloom.streams import streams_named, streams_of
from signloom.streams.signer_crop import SignerCrop
from signloom.tasks.paint.data import PoseMapClip, resized, some_of
from signloom.training.checkpoint import Checkpoint, load_checkpoint
from signloom.training.task import Prediction
from signloom.transforms.generator_input import GeneratorInput
from signloom.transforms.geometry import scaling
from signloom.transforms.pose_map import CHANNELS, draw_pose_map, pose_map_of_picture, stick_figure

GENERATED = {
    "comment": "Generated video: painted from poses by signloom. It shows no recording of a person.",
    "signloom_generated": "true",
}
"""Metadata of every video that holds painted frames."""


class GeneratorPredictor:
    """A trained generator. Implements :class:`signloom.training.task.Predictor`.

    ``size_px`` is the side of its pictures, ``pose_map_px`` that of the pose maps it is given.
    """

    def __init__(self, checkpoint: Checkpoint):
        import torch

        if not isinstance(checkpoint.inputs, GeneratorInput):
            raise CheckpointError(
                f"the checkpoint is a '{checkpoint.architecture}', which paints nothing. Give a run of "
                "signloom train --recipe paint"
            )
        self.checkpoint = checkpoint
        self.inputs: GeneratorInput = checkpoint.inputs
        self.size_px, self.pose_map_px = self.inputs.size_px, self.inputs.side_px
        self.signers = self.inputs.signers
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = checkpoint.model.to(self.device, memory_format=torch.channels_last).eval()
        self.streams: dict[str, Stream] = {**streams_named(("pose", "skeleton")), **streams_of(checkpoint.streams)}

    @property
    def needs(self) -> tuple[str, ...]:
        return tuple(s for s in self.checkpoint.streams if s != "signer")

    @property
    def square(self) -> SignerCrop:
        """The square in which the signer stood; the usual one, where that was not told."""
        return replace(SignerCrop(**(self.inputs.crop or {})), size_px=self.size_px)

    def __call__(self, clip: ClipRef) -> Prediction:
        """Every frame of ``clip`` painted from its pose or stick figures: the signer of the clip, else the first."""
        self.warn_of_rate(clip.fps)
        identity = self.signers.index(clip.signer) if clip.signer in self.signers else 0
        pictures = np.stack(list(self.paint(self.pose_maps(clip), identity)))
        about = {"generated": True, "signer": self.signers[identity]}
        return Prediction(0.0, len(pictures) / clip.fps, pictures=pictures, about=about)

    @property
    def temporal(self) -> bool:
        """Whether a frame is painted from the one before."""
        inner = getattr(self.model, "generator", self.model)
        return bool(getattr(inner.config, "temporal", False))

    def warn_of_rate(self, fps: float) -> None:
        """Warn where a clip of ``fps`` frames per second moves otherwise from frame to frame than in training."""
        rates = self.checkpoint.rates
        if self.temporal and rates and far_from(fps, rates) == rates:
            warnings.warn(
                f"painted at {fps:g} frames/s by a generator that learnt at {in_words(rates)} how much moves from one "
                f"frame to the next; --fps {self.fps:g} paints at that rate",
                SignloomWarning,
                stacklevel=2,
            )

    @property
    def fps(self) -> float:
        """The usual rate of the clips it learnt from; 25 where that is not on record."""
        return self.checkpoint.fps

    def session(self, fps: float | None = None, identity: int = 0) -> GeneratorSession:
        """A clip that is painted as its poses come, at ``fps`` (None: the usual rate of training)."""
        return GeneratorSession(self, fps or self.fps, identity)

    def paint(self, pose_maps: Iterable[np.ndarray], identity: int = 0) -> Iterator[np.ndarray]:
        """Each of ``pose_maps``, uint8 (s, s, L), as a picture, uint8 (S, S, 3) RGB; they are one clip, in order."""
        session = self.session(identity=identity)
        return (session.picture(pose_map) for pose_map in pose_maps)

    def enlarged(self, pose_maps: Iterable[np.ndarray], identity: int = 0) -> Iterator[np.ndarray]:
        """The same by plain bicubic enlargement, of a generator that learnt to do it better."""
        from signloom.models.upscaled import enlarged

        session = self.session(identity=identity)
        for pose_map in pose_maps:
            session.picture(pose_map)
            yield as_frame(enlarged(session.state))

    def pose_maps(self, clip: ClipRef) -> Iterator[np.ndarray]:
        """The pose map of each frame of ``clip``, uint8 (s, s, L), the signer brought into the generator's square."""
        if clip.has("skeleton"):
            for row in range(clip.n_frames):
                figure = clip.read(self.streams["skeleton"], [row])[0]
                yield pose_map_of_picture(figure, self.pose_map_px)
            return
        joints = clip.read(self.streams["pose"])
        onto = scaling(self.pose_map_px / self.size_px) @ self.square.matrix(joints)
        lines = joints.lines_TN2C
        for t in range(len(joints)):
            yield draw_pose_map(joints, t, onto, self.pose_map_px, None if lines is None else lines[t])


class GeneratorSession:
    """One clip of one signer, painted as it comes. Implements :class:`signloom.training.task.Session`."""

    def __init__(self, predictor: GeneratorPredictor, fps: float, identity: int = 0):
        import torch

        self.predictor, self.fps = predictor, fps
        self.state: Any = None
        """What the generator keeps from frame to frame: its last picture."""
        self._who = torch.tensor([identity], device=predictor.device)

    def push(self, time_s: float, samples: Mapping[str, Any]) -> Sequence[Prediction]:
        """A ``"pose_map"``, uint8 (s, s, L), or a ``"skeleton"``, a stick figure in colours, uint8 (H, H, 3) RGB.

        Gives one picture, uint8 (1, S, S, 3). Raises InputError for other samples.
        """
        side = self.predictor.pose_map_px
        if "pose_map" in samples:
            pose_map = np.asarray(samples["pose_map"])
        elif "skeleton" in samples:
            pose_map = pose_map_of_picture(samples["skeleton"], side)
        else:
            have = ", ".join(samples) or "nothing"
            raise InputError(f"a generator is pushed samples of 'pose_map' or 'skeleton'; got {have}")
        if pose_map.dtype != np.uint8 or pose_map.shape != (side, side, len(CHANNELS)):
            raise InputError(
                f"a pose map for this generator is uint8 ({side}, {side}, {len(CHANNELS)}); got {pose_map.dtype} "
                f"{pose_map.shape}"
            )
        about = {"generated": True}
        return (Prediction(time_s, time_s + 1 / self.fps, pictures=self.picture(pose_map)[None], about=about),)

    def close(self) -> Sequence[Prediction]:
        return ()

    def picture(self, pose_map_HWL: np.ndarray) -> np.ndarray:
        """The next frame, uint8 (S, S, 3) RGB."""
        import torch

        x = torch.from_numpy(self.predictor.inputs.levelled(pose_map_HWL))
        x = x.to(self.predictor.device).permute(2, 0, 1)[None].float() / 255
        with torch.inference_mode():
            picture, self.state = self.predictor.model(x, self.state, self._who)
        return as_frame(picture)


def as_frame(picture_B3HW: Any) -> np.ndarray:
    """The first of pictures from 0 to 1 as uint8 (H, W, 3)."""
    return (picture_B3HW[0].permute(1, 2, 0) * 255).round().clamp(0, 255).byte().cpu().numpy()


def load_generator(folder: Path) -> GeneratorPredictor:
    """The generator of a run folder or checkpoint. Raises CheckpointError for what is none."""
    return GeneratorPredictor(load_checkpoint(folder))


# --- something to look at -----------------------------------------------------------------------------------------

PREVIEW_ROWS, PREVIEW_FRAMES = 6, 75


def write_preview(checkpoint: Checkpoint, clips: Sequence[PoseMapClip], folder: Path) -> None:
    """``preview.png``: frames of ``clips`` as pose, painted and real; ``preview.mp4``: the start of the first clip."""
    generator = GeneratorPredictor(checkpoint)

    def figure(pose_map: np.ndarray) -> np.ndarray:
        return resized(stick_figure(pose_map)[None], generator.size_px)[0]

    rows = []
    for clip, row in some_of(clips, PREVIEW_ROWS):
        pose_map = clip.pose_map(row)
        painted = next(generator.paint([pose_map], clip.identity))
        rows.append(np.concatenate([figure(pose_map), painted, clip.pictures([row])[0]], 1))
    media.write_picture(folder / "preview.png", np.concatenate(rows))
    first = clips[0]
    numbers = range(min(PREVIEW_FRAMES, len(first)))
    made = generator.paint((first.pose_map(n) for n in numbers), first.identity)
    beside = (
        np.concatenate([figure(first.pose_map(n)), frame, first.pictures([n])[0]], 1) for n, frame in zip(numbers, made)
    )
    media.write_video(folder / "preview.mp4", beside, first.fps, metadata=GENERATED)
