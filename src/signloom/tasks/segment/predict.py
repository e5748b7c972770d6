"""A trained segmenter, ready to use: on clips, and on frames as they come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from signloom.data.corpus import ClipRef
from signloom.data.reader import Reader
from signloom.data.skeleton import Joints
from signloom.data.stream import ClipInfo, Stream
from signloom.errors import CheckpointError, InputError
from signloom.streams import streams_of
from signloom.streams.runner import Runner
from signloom.tasks.segment.decode import Decoder, Thresholds
from signloom.training.checkpoint import Checkpoint
from signloom.training.task import Prediction
from signloom.transforms.motion_input import Carried
from signloom.transforms.motion_segments import Span


@dataclass
class Segmenter:
    """Says where signs begin and end. Implements :class:`signloom.training.task.Predictor`.

    A prediction has ``start_s`` and ``end_s`` and no label; that of a whole clip has all of them in ``about["signs"]``.
    """

    checkpoint: Checkpoint

    def __post_init__(self) -> None:
        self.model = self.checkpoint.model.to("cpu").eval()
        self.inputs = self.checkpoint.inputs
        self.thresholds = Thresholds.of(self.checkpoint.thresholds)
        try:
            self.read = Reader(streams_of(self.checkpoint.streams))
        except InputError as error:
            raise CheckpointError(f"cannot make the streams this model was trained on: {error}") from error

    @property
    def needs(self) -> tuple[str, ...]:
        return tuple(self.checkpoint.streams)

    @property
    def fps(self) -> float:
        return self.checkpoint.fps

    @property
    def streams(self) -> Mapping[str, Stream]:
        """What makes and reads the poses it needs."""
        return self.read.streams

    def signs(self, joints: Joints, times_T: np.ndarray | None = None) -> list[Span]:
        """The stretches of signs in footage: what :class:`SignFinder` says of it frame by frame."""
        times_T = np.arange(len(joints)) / joints.fps if times_T is None else times_T
        finder = SignFinder(self)
        found = [
            finder.push_points(float(t), xy, there) for t, xy, there in zip(times_T, joints.xy_TJC, joints.present_TJ)
        ]
        return [span for span in (*found, finder.close()) if span is not None]

    def __call__(self, clip: ClipRef) -> Prediction:
        """All signs in ``clip``."""
        signs = self.signs(self.read(clip, "pose"))
        return Prediction(0.0, clip.n_frames / clip.fps, about={"signs": signs})

    def session(self, fps: float | None = None) -> SegmenterSession:
        return SegmenterSession(self, fps)


@dataclass
class SignFinder:
    """The segmenter at work on one piece of footage: joints go in as they come, stretches come out when they end."""

    segmenter: Segmenter

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget what was seen: other footage follows."""
        self._carried, self._state = Carried(), self.segmenter.model.begin(1)
        self._first_s: float | None = None
        self._decoder = Decoder(self.segmenter.thresholds)

    @property
    def start_s(self) -> float | None:
        """When the sign began that goes on; None outside."""
        return self._decoder.start_s

    def push(self, time_s: float, joints: Joints) -> Span | None:
        """Take the joints of one frame (T = 1); the stretch that has just come to its end, if one has."""
        return self.push_points(time_s, joints.xy_TJC[0], joints.present_TJ[0])

    def push_points(self, time_s: float, xy_JC: np.ndarray, present_J: np.ndarray) -> Span | None:
        """The same of places in pixels (J, 2) and what is there (J,)."""
        import torch

        inputs = self.segmenter.inputs
        found, self._carried = inputs.features(np.array([time_s]), xy_JC[None], present_J[None], self._carried)
        with torch.inference_mode():
            logits, self._state = self.segmenter.model(torch.from_numpy(found)[None], self._state)
            p_K = logits[0, 0].softmax(-1).numpy()
        self._first_s = time_s if self._first_s is None else self._first_s
        moment_s = time_s - inputs.delay_s
        return self._decoder.push(moment_s, p_K) if moment_s >= self._first_s else None

    def close(self) -> Span | None:
        """The stretch that goes on when the footage ends."""
        return self._decoder.close()


class SegmenterSession:
    """Frames, or their poses, as they come. Implements :class:`signloom.training.task.Session`."""

    def __init__(self, segmenter: Segmenter, fps: float | None = None):
        self._stream = segmenter.streams["pose"]
        self.runner = Runner(segmenter.streams, ClipInfo("session", fps or segmenter.fps), keep=())
        self._finder = SignFinder(segmenter)

    def push(self, time_s: float, samples: Mapping[str, Any]) -> Sequence[Prediction]:
        found = []
        for timed in self.runner.push(time_s, samples).get("pose", ()):
            joints = self._stream.gather([timed.sample], self.runner.info)
            found.append(self._finder.push(timed.time_s, joints))
        return [_prediction(span) for span in found if span is not None]

    def close(self) -> Sequence[Prediction]:
        span = self._finder.close()
        return [] if span is None else [_prediction(span)]


def _prediction(span: Span) -> Prediction:
    return Prediction(span.start_s, span.end_s)
