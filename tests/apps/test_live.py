"""A scripted camera walks every state of ``live``, and the answers are those of the same clip read from disk."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signloom.apps.live import QUIT, SPACE, STOP, Live, State, answer_row
from signloom.errors import MediaError
from signloom.training.task import Prediction

FPS = 10.0


@dataclass
class Scripted:
    """A recogniser that keeps what it was pushed."""

    sessions: list = field(default_factory=list)
    error: str = ""

    def session(self, fps=None):
        self.sessions.append(Session(self))
        return self.sessions[-1]


class Session:
    def __init__(self, owner):
        self.owner, self.pushed, self.latest = owner, [], {}

    def push(self, time_s, samples):
        assert set(samples) == {"video"}
        self.pushed.append((time_s, samples["video"]))
        self.latest = {"pose": len(self.pushed)}
        return ()

    def close(self):
        if self.owner.error:
            raise MediaError(self.owner.error, "no-signer")
        end_s = len(self.pushed) / FPS
        logits = np.log([0.7, 0.2, 0.06, 0.04])
        return (Prediction(0.0, end_s, ("A", "B", "C", "D"), logits, unknown=0.2),)


def frame(k):
    return np.full((4, 6, 3), k % 256, np.uint8)


def film(live, start, stop, keys=None):
    """Frames ``start`` … ``stop``, a tenth of a second each; ``keys``: which is pressed before which frame."""
    events = []
    for k in range(start, stop):
        for key in (keys or {}).get(k, ""):
            events += live.press(key)
        events += live.push(k / FPS, frame(k))
    return events


def states(events):
    return [e.state for e in events if e.kind == "state"]


def test_every_state_in_turn():
    live = Live(Scripted(), clock=iter([1.0, 1.02]).__next__)
    assert film(live, 0, 10) == []
    assert live.state is State.WAIT
    events = film(live, 10, 39, {10: SPACE})
    assert states(events) == [State.COUNTDOWN]
    assert live.left_s == pytest.approx(0.1)
    assert states(film(live, 39, 41)) == [State.RECORD]
    assert live.latest == {"pose": 2}
    events = film(live, 41, 91)
    assert states(events) == [State.ANSWER]
    answer = events[-1]
    assert answer.kind == "answer"
    assert answer.latency_ms == pytest.approx(20)
    assert [label for label, _ in answer.as_json()["top"]] == ["A", "B", "C"]
    assert states(film(live, 91, 131)) == [State.WAIT]
    assert states(live.press(STOP)) == [State.OVER]


def test_a_recording_holds_its_frames_as_filmed_and_no_other():
    live = Live(Scripted(), countdown_s=1, record_s=2, keep=True)
    events = film(live, 0, 40, {3: SPACE})
    (session,) = live.predictor.sessions
    assert [int(f[0, 0, 0]) for _, f in session.pushed] == list(range(12, 32))
    assert [t for t, _ in session.pushed] == pytest.approx([k / FPS for k in range(20)])
    answer = next(e for e in events if e.kind == "answer")
    assert len(answer.frames) == 20
    assert all(a is b for (_, a), (_, b) in zip(answer.frames, session.pushed))


def test_q_stops_early():
    live = Live(Scripted())
    events = film(live, 0, 50, {0: SPACE, 35: STOP})
    assert states(events) == [State.COUNTDOWN, State.RECORD, State.ANSWER]
    assert next(e for e in events if e.kind == "answer").prediction.end_s == pytest.approx(0.5)


def test_q_in_the_countdown_goes_back():
    live = Live(Scripted())
    assert states(film(live, 0, 9, {0: SPACE, 5: STOP})) == [State.COUNTDOWN, State.WAIT]


def test_what_cannot_be_answered_is_told_and_it_goes_on():
    live = Live(Scripted(error="nobody was found"), countdown_s=0.5, record_s=1)
    events = film(live, 0, 30, {0: SPACE})
    assert [e.message for e in events if e.kind == "error"] == ["nobody was found"]
    assert live.state is State.WAIT
    live.predictor.error = ""
    assert any(e.kind == "answer" for e in film(live, 30, 60, {30: SPACE}))


@pytest.mark.parametrize("when", [5, 15, 25, 45])
def test_a_camera_that_is_pulled_out_and_put_back(when):
    live = Live(Scripted(), countdown_s=1, record_s=2)
    film(live, 0, when, {2: SPACE})
    events = live.lost("gone")
    assert states(events) == [State.LOST]
    assert events[0].message == "gone"
    assert live.lost("gone") == []
    assert states(film(live, 100, 101)) == [State.WAIT]
    events = film(live, 101, 140, {101: SPACE})
    answer = next(e for e in events if e.kind == "answer")
    assert answer.prediction.end_s == pytest.approx(2.0)  # nothing of before is in it


def test_the_end_of_a_file_answers_what_was_recorded():
    live = Live(Scripted(), countdown_s=0, record_s=60, auto=True)
    film(live, 0, 20)
    events = live.end()
    assert [e.kind for e in events] == ["state", "answer", "state"]
    assert live.state is State.OVER


def test_auto_begins_again_and_again():
    live = Live(Scripted(), countdown_s=0.5, record_s=1, answer_s=0.5, auto=True)
    events = film(live, 0, 100)
    assert sum(e.kind == "answer" for e in events) >= 4


def test_events_are_plain_values():
    live = Live(Scripted(), countdown_s=0, record_s=1, auto=True)
    rows = [json.loads(json.dumps(e.as_json())) for e in film(live, 0, 12)]
    assert {row["event"] for row in rows} == {"state", "answer"}
    answer = next(row for row in rows if row["event"] == "answer")
    assert answer["label"] == "A"
    assert answer["none_of_these"] is False
    cannot_tell = Prediction(0.0, 1.0, ("A", "B"), np.log([0.7, 0.3]))
    assert answer_row(cannot_tell)["none_of_these"] is None


@given(st.lists(st.sampled_from([SPACE, STOP, "x", "frame", "frame", "frame", "lost"]), max_size=200))
def test_no_order_of_keys_and_frames_breaks_it(script):
    live, k = Live(Scripted(), countdown_s=0.3, record_s=0.5, answer_s=0.2), 0
    for step in script:
        if live.state is State.OVER:
            break
        if step == "frame":
            k += 1
            live.push(k / FPS, frame(k))
        elif step == "lost":
            live.lost("gone")
        else:
            live.press(step)
    for session in live.predictor.sessions:
        assert len(session.pushed) <= 6
        times = [t for t, _ in session.pushed]
        assert times == sorted(times)
    assert states(live.press(QUIT)) == [State.OVER]
