"""A trained recogniser, ready to use: on clips, and on samples as they come."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from signloom.data.corpus import ClipList, ClipRef, HeldClip
from signloom.data.rates import far_from
from signloom.data.stream import ClipInfo, Stream
from signloom.errors import CheckpointError, InputError, MediaError, SignloomWarning
from signloom.tasks.recognise.data import Clips, reader_for
from signloom.tasks.recognise.losses import answer, features
from signloom.tasks.recognise.open_set import Answers, open_set_of
from signloom.tasks.recognise.rates import warn_of_rates
from signloom.training.checkpoint import Checkpoint
from signloom.training.task import Prediction
from signloom.transforms.pose_augment import crop_time
from signloom.transforms.video_input import TIME_CROPS as VIDEO_CROPS

if TYPE_CHECKING:
    from torch import Tensor

    from signloom.streams.runner import Runner

POSE_CROPS = tuple((start, stop) for start in (0.0, 0.06, 0.12) for stop in (1.0, 0.94, 0.88))
"""The (start, stop) shares of a clip that vote in use: where a sign begins and ends in a clip is chance."""
SCORING_BATCH = 16
SMALL_SCORING_BATCH = 64
"""Clips that are scored at once: of pictures, and of inputs that are small."""


def score(model: Any, clips: Clips, *, quick: bool = False, device: Any = "cpu") -> np.ndarray:
    """Log of the mean probability over the views of each clip, (N, K) float32, whatever the training precision was.

    ``quick`` takes the plain view alone, as for validation during training.
    """
    import torch

    was_training = model.training
    model.eval()
    size = SMALL_SCORING_BATCH if getattr(clips.inputs, "keeps_clips", False) else SCORING_BATCH
    scored = []
    with torch.inference_mode():
        for start in range(0, len(clips), size):
            rows = range(start, min(start + size, len(clips)))
            votes = [v.float().log_softmax(-1) for v in _views(model, clips, rows, quick, device)]
            scored.append((torch.stack(votes).logsumexp(0) - math.log(len(votes))).cpu().numpy())
    model.train(was_training)
    return np.concatenate(scored) if scored else np.zeros((0, model.config.n_classes), np.float32)


def _views(model: Any, clips: Clips, rows: Sequence[int], quick: bool, device: Any) -> Iterator[Tensor]:
    """What ``model`` says of each view of the clips at ``rows``: parts of their time, mirror images."""
    stream = clips.streams[0]
    if model.takes == "pose":
        seen = clips.batch(rows).to(device).inputs
        for crop in POSE_CROPS[:1] if quick else POSE_CROPS:
            yield model(*crop_time(seen["pose"], seen["present"], *crop), seen["mask"])
        return
    inputs = clips.inputs
    alone = quick or not getattr(inputs, "time_votes", False) or inputs.sampling == "window"
    for crop in VIDEO_CROPS[:1] if alone else VIDEO_CROPS:
        seen = clips.batch(rows, crop=crop).to(device).inputs
        yield answer(model, seen, stream)
        if getattr(inputs, "mirror_votes", False):
            yield model(mirrored(seen[stream], stream))


def mirrored(x_BCTHW: Tensor, stream: str) -> Tensor:
    """The clips as in a mirror; flow to the left then points to the right."""
    x = x_BCTHW.flip(-1)
    if stream == "flow":
        x = x * x.new_tensor([-1.0, 1.0])[:, None, None, None]
    return x


def features_of(model: Any, clips: Clips, device: Any = "cpu") -> np.ndarray:
    """What ``model`` has found of each clip's plain view before it names the sign, (N, F) float32.

    Raises InputError for a model that does not tell.
    """
    import torch

    size = SMALL_SCORING_BATCH if getattr(clips.inputs, "keeps_clips", False) else SCORING_BATCH
    found = []
    with torch.inference_mode():
        for start in range(0, len(clips), size):
            seen = clips.batch(range(start, min(start + size, len(clips)))).to(device).inputs
            found.append(features(model, seen, clips.streams[0]).float().cpu().numpy())
    return np.concatenate(found) if found else np.zeros((0, 0), np.float32)


@dataclass
class Recogniser:
    """A recogniser. Implements :class:`signloom.training.task.Predictor`.

    Raises CheckpointError for streams with settings that this signloom does not know, and for a config of which the
    part on unknown signs is broken.
    """

    checkpoint: Checkpoint

    def __post_init__(self):
        import torch

        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = self.checkpoint.model.to(self.device).eval()
        try:
            self.read = reader_for(self.checkpoint.streams)
        except InputError as error:
            raise CheckpointError(f"cannot make the streams this model was trained on: {error}") from error
        self.open_set = open_set_of(self.checkpoint)

    @property
    def needs(self) -> tuple[str, ...]:
        return tuple(self.checkpoint.streams)

    @property
    def one_will_do(self) -> bool:
        """Whether any of the streams it needs will do, as of networks that were trained with some left out."""
        return bool(getattr(self.checkpoint.inputs, "one_will_do", False))

    @property
    def labels(self) -> tuple[str, ...]:
        """The signs of its training, and behind them those that it was taught."""
        return self.checkpoint.known

    @property
    def tells_unknown(self) -> bool:
        """Whether its answers have an unknown score."""
        return self.open_set is not None and self.open_set.figure is not None

    @property
    def fps(self) -> float:
        """The usual rate of the clips it learnt from; 25 where that is not on record."""
        return self.checkpoint.fps

    @property
    def streams(self) -> Mapping[str, Stream]:
        """What makes and reads the streams it needs."""
        return self.read.streams

    def scores(self, clips: Sequence[ClipRef]) -> np.ndarray:
        """Calibrated logits of many clips, (N, K) float32: divided by the temperature."""
        return self.answers(clips).logits_NK

    def answers(self, clips: Sequence[ClipRef]) -> Answers:
        """Calibrated logits of many clips, their unknown scores, and where they lie in the space of features.

        Warns of clips at another frame rate than training's, where something of them is measured frame by frame.
        """
        warn_of_rates(self.checkpoint, clips)
        seen = Clips(clips, self.checkpoint.inputs, self.needs, self.read)
        logits_NK = score(self.model, seen, device=self.device) / self.checkpoint.temperature
        if self.open_set is None:
            return Answers(logits_NK)
        of_space = features_of(self.model, seen, self.device) if self.open_set.needs_features and len(clips) else None
        return self.open_set(logits_NK, of_space)

    def features(self, clips: Sequence[ClipRef]) -> np.ndarray:
        """What the network has found of each of many clips before it names the sign, (N, F) float32."""
        return features_of(self.model, Clips(clips, self.checkpoint.inputs, self.needs, self.read), self.device)

    def __call__(self, clip: ClipRef) -> Prediction:
        """What is signed in ``clip``."""
        return prediction(clip, self.labels, self.answers(ClipList((clip,))))

    def session(self, fps: float | None = None) -> RecogniserSession:
        """A clip that is pushed frame by frame; the answer comes when it is closed.

        ``fps`` is the rate that its frames are brought to; None: that at which they came, on average.
        """
        return RecogniserSession(self, fps)


def prediction(clip: ClipRef, labels: tuple[str, ...], answers: Answers) -> Prediction:
    """The answer about ``clip``, the first of ``answers``."""
    return Prediction(
        0.0,
        clip.n_frames / clip.fps,
        labels,
        answers.logits_NK[0],
        unknown=None if answers.unknown_N is None else float(answers.unknown_N[0]),
        embedding_E=None if answers.places_NE is None else answers.places_NE[0],
    )


class RecogniserSession:
    """One clip, pushed as it comes. Implements :class:`signloom.training.task.Session`.

    Samples are raw frames (``"video"``), from which the streams are made by the same stages as in ``prepare``, or
    streams ready-made. The answer is that of the same clip read from disk, where storing loses nothing (poses, flow; of
    stored frames, those frames).
    """

    def __init__(self, recogniser: Any, fps: float | None = None):
        from signloom.streams.runner import Runner

        self.recogniser, self.fps = recogniser, fps
        self.latest: dict[str, Any] = {}
        """The newest sample of each stream that is made as frames come."""
        self.runner: Runner = Runner(recogniser.streams, ClipInfo("session", fps or recogniser.fps))

    def push(self, time_s: float, samples: Mapping[str, Any]) -> Sequence[Prediction]:
        for name, made in self.runner.push(time_s, samples).items():
            if made:
                self.latest[name] = made[-1].sample
        return ()

    def close(self) -> Sequence[Prediction]:
        """Raises MediaError where nothing was pushed, or nobody was found in it. Warns where frames came at another
        rate than was said."""
        self._settle_rate()
        samples = self.runner.close()
        info = self.runner.info
        if not samples:
            raise MediaError(f"clip '{info.id}' has no frame: nothing was pushed", "no-frames")
        if set(samples) == {"pose"} and not samples["pose"].present_TJ.any():
            raise MediaError(
                f"clip '{info.id}': no person was found in any of {len(samples['pose'])} frames", "no-signer"
            )
        return (self.recogniser(HeldClip(info.id, samples, info.fps)),)

    def _settle_rate(self) -> None:
        times_s = self.runner.times_s
        if len(times_s) < 2:
            return
        came_at = (len(times_s) - 1) / (times_s[-1] - times_s[0])
        if self.fps is None:
            self.runner.info = replace(self.runner.info, fps=came_at)
        elif far_from(self.fps, {f"{came_at:.5g}": 1}):
            warnings.warn(
                f"{len(times_s)} frames came at {came_at:.3g} frames/s, the session is of {self.fps:g}: they are "
                "repeated or left out to fit. Leave fps out of session(…), and they are taken as they come",
                SignloomWarning,
                stacklevel=3,
            )
