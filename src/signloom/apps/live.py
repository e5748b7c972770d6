"""The live recogniser as a machine of states: frames and keys go in, events come out. No camera, no window, no clock.

    WAIT → (space) → COUNTDOWN, 3 s → RECORD, up to 5 s (q stops it) → ANSWER: what was seen, the likeliest signs → WAIT

Time is that of the frames. A recording is pushed into a session of the recogniser frame by frame, so that its answer is
that of the same clip read from disk, and most of the work is done when the last frame has come. Frames are pushed as
they were filmed, never mirrored.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np

from signloom.errors import InputError, MediaError
from signloom.training.task import Prediction

SPACE, STOP, QUIT = " ", "q", "\x1b"
TOP = 3


class State(Enum):
    """Where the machine is."""

    WAIT = "wait"
    COUNTDOWN = "countdown"
    RECORD = "record"
    ANSWER = "answer"
    LOST = "lost"
    """The camera is gone."""
    OVER = "over"


@dataclass(frozen=True)
class Event:
    """What happened at ``time_s``: a new ``state``, an answer or an error; ``frames`` are those of a recording."""

    kind: str
    time_s: float
    state: State
    prediction: Prediction | None = None
    message: str = ""
    latency_ms: float | None = None
    frames: tuple[tuple[float, np.ndarray], ...] = field(default=(), repr=False)

    def as_json(self) -> dict[str, Any]:
        """Plain values: ``event``, ``time_s``, ``state`` and what goes with it."""
        row: dict[str, Any] = {"event": self.kind, "time_s": round(self.time_s, 3), "state": self.state.value}
        if self.prediction is not None:
            row |= answer_row(self.prediction)
        if self.latency_ms is not None:
            row["latency_ms"] = round(self.latency_ms, 1)
        return row | ({"message": self.message} if self.message else {})


def check_names_video(predictor: Any, where: object) -> None:
    """Raises InputError where ``predictor``, the model at ``where``, names no signs in video: a generator, a
    segmenter, and one of sensors, or of poses that were imported, which are not made of video."""
    if not hasattr(predictor, "labels") or "video" not in _pushed(predictor):
        raise InputError(
            f"'{where}' names no signs in video (it needs {', '.join(predictor.needs)}); give a run of a recogniser of "
            "poses, frames or flow"
        )


def _pushed(predictor: Any) -> set[str]:
    """What has to be pushed for all that the predictor needs."""
    found: set[str] = set()
    todo = list(predictor.streams.values())
    while todo:
        for need in todo.pop().requires:
            found.add(need)
            todo += [predictor.streams[need]] if need in predictor.streams else []
    return found


def answer_row(prediction: Prediction, top: int = TOP) -> dict[str, Any]:
    """What a prediction says, as plain values."""
    best = [[label, p] for label, p in prediction.top(top)]
    return {
        "start_s": round(prediction.start_s, 3),
        "end_s": round(prediction.end_s, 3),
        "label": best[0][0],
        "confidence": best[0][1],
        "unknown": prediction.unknown,
        "none_of_these": None if prediction.unknown is None else prediction.none_of_these,
        "top": best,
    }


def shown(sample_by_stream: Mapping[str, Any]) -> tuple[str, Any] | None:
    """The stream that is shown over the picture, and its newest sample: flow where there is some, else the pose."""
    for name in ("flow", "pose"):
        if name in sample_by_stream:
            return name, sample_by_stream[name]
    return None


@dataclass
class Live:
    """The states above. ``auto`` begins by itself whenever it waits; ``keep`` gives a recording's frames with its
    answer. ``clock`` gives seconds, for latencies alone."""

    predictor: Any
    countdown_s: float = 3.0
    record_s: float = 5.0
    answer_s: float = 4.0
    auto: bool = False
    keep: bool = False
    clock: Callable[[], float] = time.perf_counter
    state: State = State.WAIT
    answer: Event | None = None
    latest: Mapping[str, Any] = field(default_factory=dict)
    """The newest sample of each stream of the recording, by name."""
    _since_s: float = 0.0
    _now_s: float = 0.0
    _session: Any = None
    _frames: list[tuple[float, np.ndarray]] = field(default_factory=list)

    @property
    def left_s(self) -> float:
        """How long the countdown or the recording still lasts."""
        whole = {State.COUNTDOWN: self.countdown_s, State.RECORD: self.record_s}.get(self.state, 0.0)
        return max(0.0, self._since_s + whole - self._now_s)

    def press(self, key: str) -> list[Event]:
        """A key: space begins, q stops a recording and else ends it all, escape ends it all."""
        if key == QUIT or (key == STOP and self.state not in (State.RECORD, State.COUNTDOWN)):
            return self._to(State.OVER)
        if key == SPACE and self.state in (State.WAIT, State.ANSWER):
            return self._to(State.COUNTDOWN)
        if key == STOP and self.state is State.COUNTDOWN:
            return self._to(State.WAIT)
        if key == STOP and self.state is State.RECORD:
            return self._finish()
        return []

    def push(self, time_s: float, frame: np.ndarray) -> list[Event]:
        """A frame, uint8 (H, W, 3) RGB, filmed at ``time_s``."""
        self._now_s = time_s
        events: list[Event] = []
        if self.state is State.LOST:
            events += self._to(State.WAIT)
        if self.state is State.ANSWER and time_s - self._since_s >= self.answer_s:
            events += self._to(State.WAIT)
        if self.state is State.WAIT and self.auto:
            events += self._to(State.COUNTDOWN)
        if self.state is State.COUNTDOWN and time_s - self._since_s >= self.countdown_s:
            events += self._to(State.RECORD)
            self._session = self.predictor.session()
            self._frames = []
            self.latest = {}
        if self.state is State.RECORD:
            if time_s - self._since_s >= self.record_s and self._frames:
                return events + self._finish()
            self._frames.append((time_s, frame))
            self._session.push(time_s - self._frames[0][0], {"video": frame})
            self.latest = getattr(self._session, "latest", {})
        return events

    def lost(self, why: str) -> list[Event]:
        """The camera is gone: what was being recorded is given up."""
        if self.state is State.LOST:
            return []
        self._session = None
        return self._to(State.LOST, message=why)

    def end(self) -> list[Event]:
        """There are no more frames: a recording that runs is answered."""
        events = self._finish() if self.state is State.RECORD and self._frames else []
        return events + (self._to(State.OVER) if self.state is not State.OVER else [])

    def _to(self, state: State, message: str = "") -> list[Event]:
        self.state, self._since_s = state, self._now_s
        return [Event("state", self._now_s, state, message=message)]

    def _finish(self) -> list[Event]:
        """Close the session and tell what it says; one that failed is told as well, and the machine waits."""
        session, self._session = self._session, None
        frames = tuple(self._frames) if self.keep else ()
        begun = self.clock()
        try:
            found: Sequence[Prediction] = session.close()
        except MediaError as error:
            return [Event("error", self._now_s, State.RECORD, message=str(error)), *self._to(State.WAIT)]
        latency_ms = 1000 * (self.clock() - begun)
        events = self._to(State.ANSWER)
        for prediction in found:
            self.answer = Event("answer", self._now_s, self.state, prediction, "", latency_ms, frames)
            events.append(self.answer)
        return events
