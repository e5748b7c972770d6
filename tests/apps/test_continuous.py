"""Signs found and named one after the other, of a scripted signer, live and in the pieces that were found."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from signloom.apps.continuous import AROUND_S, Continuous
from signloom.apps.live import STOP, State, check_names_video
from signloom.data.corpus import HeldClip
from signloom.data.skeleton import INDEX, JOINTS, Joints
from signloom.data.stream import Timed
from signloom.errors import InputError
from signloom.streams.pose import PoseStream
from signloom.tasks.recognise.predict import RecogniserSession
from signloom.training.task import Prediction
from signloom.transforms.motion_segments import MotionSegmenter

FPS = 15.0
UP, DOWN = 40, 200
"""Where the hand is, in pixels; the shoulders are at 60, and 80 apart."""


def points(hand_y):
    """What MediaPipe would find: shoulders, wrists, the left one at rest."""
    found = np.zeros((543, 4), np.float32)
    for k, (x, y) in {0: (100, 20), 11: (140, 60), 12: (60, 60), 15: (150, DOWN), 16: (50, hand_y)}.items():
        found[k] = x, y, 0, 0.9
    return found


class Stage:
    def push(self, time_s, samples):
        return [Timed(time_s, points(float(samples["video"][0, 0, 0])))]

    def close(self):
        return []


class Scripted(PoseStream):
    """Finds the hand where the first pixel says."""

    def open(self, info):
        return Stage()


@dataclass
class Recogniser:
    """Keeps the clips that it was asked about."""

    clips: list = field(default_factory=list)
    unknown: float | None = None
    needs = ("pose",)
    fps = FPS
    labels = ("A", "B")

    stream: PoseStream = field(default_factory=lambda: Scripted())

    @property
    def streams(self):
        return {"pose": self.stream}

    def __call__(self, clip: HeldClip):
        self.clips.append(clip)
        return Prediction(0.0, clip.n_frames / clip.fps, self.labels, np.log([0.9, 0.1]), unknown=self.unknown)

    def session(self, fps=None):
        return RecogniserSession(self, fps)


def film(machine, heights, start=0):
    events = []
    for k, y in enumerate(heights, start=start):
        frame = np.full((240, 200, 3), y, np.uint8)
        events += machine.push(k / FPS, frame)
    return events


TWO_SIGNS = [DOWN] * 15 + [UP] * 15 + [DOWN] * 15 + [UP] * 20 + [DOWN] * 15


def test_two_signs_and_the_pauses_between():
    machine = Continuous(Recogniser())
    events = film(machine, TWO_SIGNS) + machine.end()
    answers = [e for e in events if e.kind == "answer"]
    found = np.array([(a.prediction.start_s, a.prediction.end_s) for a in answers])
    assert found == pytest.approx(np.array([(1.0, 29 / FPS), (3.0, 64 / FPS)]), abs=0.15)
    assert all(a.time_s - a.prediction.end_s < 0.35 for a in answers)
    assert events[-1].state is State.OVER


def test_the_recogniser_sees_the_points_of_the_stretch_and_no_other():
    machine = Continuous(Recogniser())
    film(machine, TWO_SIGNS)
    first = machine.predictor.clips[0]
    y_T = first.samples["pose"].xy_TJC[:, INDEX["right_wrist"], 1]
    around = round(AROUND_S * FPS) + 1
    assert (y_T == UP).sum() == 15
    assert len(y_T) <= 15 + 2 * around
    assert first.fps == pytest.approx(FPS)


def test_what_is_none_of_the_signs_is_no_answer():
    machine = Continuous(Recogniser(unknown=0.9))
    events = film(machine, TWO_SIGNS)
    assert [e.kind for e in events if e.prediction is not None] == ["none", "none"]


def test_resting_hands_say_nothing():
    machine = Continuous(Recogniser())
    rng = np.random.default_rng(0)
    events = film(machine, DOWN + rng.integers(-3, 4, 150)) + machine.end()
    assert [e.kind for e in events] == ["state"]
    assert machine.predictor.clips == []


def test_a_sign_that_the_camera_lost_is_given_up():
    machine = Continuous(Recogniser())
    film(machine, [DOWN] * 15 + [UP] * 10)
    assert machine.state is State.RECORD
    assert [e.state for e in machine.lost("gone")] == [State.LOST]
    events = film(machine, [DOWN] * 20 + [UP] * 12 + [DOWN] * 15, start=200)
    assert sum(e.kind == "answer" for e in events) == 1
    (clip,) = machine.predictor.clips
    assert (clip.samples["pose"].xy_TJC[:, INDEX["right_wrist"], 1] == UP).sum() == 12


def test_a_sign_that_goes_on_at_the_end_is_answered():
    machine = Continuous(Recogniser())
    film(machine, [DOWN] * 15 + [UP] * 15)
    assert [e.kind for e in machine.end()] == ["answer", "state"]


def test_a_model_of_poses_that_were_imported_names_nothing_in_video():
    check_names_video(Recogniser(), "run")
    imported = Recogniser()
    imported.stream = PoseStream(components=(("POSE_LANDMARKS", 33),))
    with pytest.raises(InputError, match=r"'run' names no signs in video \(it needs pose\)"):
        check_names_video(imported, "run")


def test_q_ends_it():
    machine = Continuous(Recogniser())
    assert [e.state for e in machine.press(STOP)] == [State.OVER]


# --- the rule itself ----------------------------------------------------------------------------------------------


def joints(hand_y, hand_x=0.0, shoulders=True):
    xy, present = np.zeros((1, len(JOINTS), 2), np.float32), np.zeros((1, len(JOINTS)), bool)
    places = {"left_shoulder": (0.5, 0), "right_shoulder": (-0.5, 0)} if shoulders else {}
    for name, place in {**places, "right_wrist": (hand_x, hand_y)}.items():
        xy[0, INDEX[name]], present[0, INDEX[name]] = place, True
    return Joints(xy, present, 15.0)


@pytest.mark.parametrize("fps", [10.0, 25.0, 50.0])
def test_spans_are_the_same_at_any_rate(fps):
    segmenter, spans = MotionSegmenter(), []
    for k in range(round(6 * fps)):
        t = k / fps
        if span := segmenter.push(t, joints(0.2 if 1 <= t < 2.5 or 4 <= t < 5 else 1.5)):
            spans.append(span)
    assert len(spans) == 2
    assert np.array(spans) == pytest.approx(np.array([(1, 2.5), (4, 5)]), abs=0.25)


def test_a_hand_that_twitches_is_no_sign():
    segmenter = MotionSegmenter()
    assert all(segmenter.push(k / 15, joints(0.2 if k % 20 == 0 else 1.5)) is None for k in range(150))
    assert segmenter.close() is None


def test_a_hand_that_stays_up_is_cut():
    segmenter = MotionSegmenter(most_s=2.0)
    spans = [s for k in range(150) if (s := segmenter.push(k / 15, joints(0.2)))]
    assert len(spans) >= 3
    assert all(s.end_s - s.start_s <= 2.1 for s in spans)


def test_nobody_is_no_sign():
    segmenter = MotionSegmenter()
    assert all(segmenter.push(k / 15, joints(0.2, shoulders=False)) is None for k in range(60))
