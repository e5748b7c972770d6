"""Signs named one after the other, without a key: where each begins and ends is found as frames come.

The same machine names signs in front of a camera and in a video file, so that the two cannot differ. Points are found
once a frame; a recogniser of poses is given those, any other the frames of the stretch.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from signloom.apps.live import QUIT, STOP, Event, State
from signloom.data.skeleton import Joints
from signloom.data.stream import ClipInfo, fingerprint_diff
from signloom.errors import InputError, MediaError
from signloom.streams.pose import PoseStream
from signloom.streams.runner import Runner
from signloom.tasks import load_predictor
from signloom.tasks.segment.predict import Segmenter, SignFinder
from signloom.transforms.motion_segments import MotionSegmenter, Span

AROUND_S = 0.15
"""So much before and after a stretch is shown to the recogniser as well."""
BY_RULE = (
    "signs are parted where hands come to rest, by a rule; a segmenter also parts those that run into each other: "
    "signloom train CORPUS --recipe segment --out SEG, then --segmenter SEG"
)


class Finder(Protocol):
    """What finds stretches of signing, frame by frame."""

    @property
    def start_s(self) -> float | None:
        """When the stretch began that goes on; None outside."""
        ...

    def push(self, time_s: float, joints: Joints) -> Span | None: ...
    def close(self) -> Span | None: ...
    def reset(self) -> None: ...


def load_segmenter(folder: Path) -> Segmenter:
    """The segmenter that a run folder holds. Raises InputError for another kind of model, and as load_predictor."""
    segmenter = load_predictor(folder)
    if not isinstance(segmenter, Segmenter):
        raise InputError(
            f"--segmenter '{folder}' finds no signs in footage; give a run of `signloom train … --recipe segment`"
        )
    return segmenter


def pose_stream_of(predictor: Any, segmenter: Segmenter | None = None) -> PoseStream:
    """How points are found for both, once. Raises InputError where they were trained on points found otherwise."""
    own = dict(predictor.streams).get("pose")
    stream = own if isinstance(own, PoseStream) and own.requires else None
    if segmenter is None:
        return stream or PoseStream()
    wanted = segmenter.streams["pose"]
    assert isinstance(wanted, PoseStream)
    if not wanted.requires:
        raise InputError(
            "the segmenter learnt from poses that were imported, which are not made of video; train one on "
            "a corpus that `signloom prepare` made of video"
        )
    if stream is None:
        return wanted
    if differences := fingerprint_diff(wanted.fingerprint(), stream.fingerprint()):
        raise InputError(
            f"the segmenter was trained on another 'pose' than the recogniser: {'; '.join(differences)}. Train both on "
            "one corpus"
        )
    return stream


@dataclass
class Continuous:
    """Frames go in, an answer for each sign comes out when ``finder`` has found its end.

    ``learnt`` is a segmenter that was trained; without one, and without a ``finder``, signs are parted by a rule. What
    is none of the recogniser's signs is an event of kind ``none``. ``keep`` gives a stretch's frames with its answer.
    ``clock`` gives seconds, for latencies alone. Raises InputError for a segmenter of other points.
    """

    predictor: Any
    finder: Finder | None = None
    learnt: Segmenter | None = None
    keep: bool = False
    clock: Callable[[], float] = time.perf_counter
    state: State = State.WAIT
    answer: Event | None = None
    latest: Mapping[str, Any] = field(default_factory=dict)
    left_s: float = 0.0
    _now_s: float = 0.0
    _runner: Runner | None = None
    _recent: deque[tuple[float, np.ndarray | None, np.ndarray]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._stream = pose_stream_of(self.predictor, self.learnt)
        by_default: Finder = MotionSegmenter() if self.learnt is None else SignFinder(self.learnt)
        self.segmenter: Finder = self.finder or by_default
        self._ready = self.predictor.needs == ("pose",)

    def press(self, key: str) -> list[Event]:
        """q or escape ends it."""
        return self._to(State.OVER) if key in (QUIT, STOP) else []

    def push(self, time_s: float, frame: np.ndarray) -> list[Event]:
        """A frame, uint8 (H, W, 3) RGB, filmed at ``time_s``."""
        self._now_s = time_s
        events = self._to(State.WAIT) if self.state is State.LOST else []
        if self._runner is None:
            self._runner = Runner({"pose": self._stream}, ClipInfo("live", self.predictor.fps), keep=())
        points = self._runner.push(time_s, {"video": frame})["pose"][-1].sample
        self.latest = {"pose": points}
        size_px = (frame.shape[1], frame.shape[0])
        joints = self._stream.gather([points], ClipInfo("live", self.predictor.fps, size_px))
        self._recent.append((time_s, None if self._ready and not self.keep else frame, points))
        begun = self.clock()
        span = self.segmenter.push(time_s, joints)
        if span is not None:
            events += self._answer(span, size_px, begun)
        inside = State.RECORD if self.segmenter.start_s is not None else State.WAIT
        if inside is not self.state and not (inside is State.WAIT and self.state is State.ANSWER):
            events += self._to(inside)
        oldest_s = (time_s if self.segmenter.start_s is None else self.segmenter.start_s) - AROUND_S - 1.0
        while self._recent and self._recent[0][0] < oldest_s:
            self._recent.popleft()
        return events

    def lost(self, why: str) -> list[Event]:
        """The camera is gone: a sign that had begun is given up."""
        if self.state is State.LOST:
            return []
        self._begin_again()
        return self._to(State.LOST, why)

    def end(self) -> list[Event]:
        """There are no more frames."""
        span, events = self.segmenter.close(), []
        if span is not None and self._runner is not None and self._runner.info.size_px is not None:
            events = self._answer(span, self._runner.info.size_px, self.clock())
        return events + self._to(State.OVER)

    def _begin_again(self) -> None:
        self.segmenter.reset()
        self._recent.clear()
        self._runner = None

    def _to(self, state: State, message: str = "") -> list[Event]:
        self.state = state
        return [Event("state", self._now_s, state, message=message)]

    def _answer(self, span: Span, size_px: tuple[int, int], begun: float) -> list[Event]:
        held = [h for h in self._recent if span.start_s - AROUND_S <= h[0] <= span.end_s + AROUND_S]
        session = self.predictor.session()
        if self._ready:
            session.runner.info = replace(session.runner.info, size_px=size_px)
        for time_s, frame, points in held:
            session.push(time_s - held[0][0], {"pose": points} if self._ready else {"video": frame})
        try:
            (found,) = session.close()
        except MediaError as error:
            return [Event("error", self._now_s, self.state, message=str(error))]
        found = replace(found, start_s=span.start_s, end_s=span.end_s)
        latency_ms = 1000 * (self.clock() - begun)
        frames = tuple((t, f) for t, f, _ in held if f is not None) if self.keep else ()
        kind = "none" if found.none_of_these else "answer"
        told = Event(kind, self._now_s, State.ANSWER, found, "", latency_ms, frames)
        self.answer, self.state = told, State.ANSWER
        return [told]
