"""The loop, the picture that is shown, and what is kept: with a camera that is scripted, pulled out and put back."""

from __future__ import annotations

import io
import json
import time
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from signloom import media
from signloom.apps.annotate import UNKNOWN_TIER, _annotation
from signloom.apps.keep import Keeper
from signloom.apps.live import SPACE, STOP, Event, Live, State
from signloom.apps.run import TypedKeys, run
from signloom.apps.show import Window, picture, words
from signloom.data.manifest import read_manifest, write_manifest
from signloom.errors import InputError, MediaError
from signloom.media.camera import Filmed, FilmedFile, Webcam
from signloom.training.task import Prediction

FPS = 10.0


@dataclass
class Scripted:
    """A source: frames, and None where it is gone; it comes back when it was asked ``away`` times."""

    script: list
    away: int = 3
    name: str = "camera 7"
    asked: int = 0
    closed: bool = False

    @property
    def ended(self):
        return not self.script

    def read(self):
        return self.script.pop(0) if self.script else None

    def open_again(self):
        self.asked += 1
        if self.asked < self.away:
            self.script.insert(0, None)
        return self.asked >= self.away

    def close(self):
        self.closed = True


def frames(start, stop):
    return [Filmed(k / FPS, np.full((40, 60, 3), k % 250, np.uint8)) for k in range(start, stop)]


@dataclass
class Predictor:
    unknown: float | None = 0.1
    streams: dict = field(default_factory=dict)

    def session(self, fps=None):
        return Session(self)


class Session:
    def __init__(self, owner):
        self.owner, self.latest, self.n = owner, {}, 0

    def push(self, time_s, samples):
        self.n += 1
        found = np.zeros((545, 4), np.float32)  # as the default estimator tells them: points, and two notes
        found[:23, :] = [20, 20, 0, 1]
        found[12, :2] = 40, 30
        self.latest = {"pose": found}
        return ()

    def close(self):
        if not self.n:
            raise MediaError("no frame", "no-frames")
        return (Prediction(0, self.n / FPS, ("مرحبا", "B"), np.log([0.8, 0.2]), unknown=self.owner.unknown),)


def test_the_loop_ends_with_its_source_and_counts(tmp_path):
    told = []
    done = run(Live(Predictor(), countdown_s=0, record_s=1, auto=True), Scripted(frames(0, 30)), told.append)
    assert done["frames"] == 30
    assert any(e.kind == "answer" for e in told)
    assert told[-1].state is State.OVER


def test_a_camera_that_goes_and_comes_back(tmp_path):
    told, slept = [], []
    source = Scripted([*frames(0, 10), None, *frames(40, 80)])
    machine = Live(Predictor(), countdown_s=0.5, record_s=1)
    keys = iter([[SPACE], *[[]] * 14, [SPACE], *[[]] * 100])
    run(machine, source, told.append, keys=lambda: iter(next(keys)), sleep=slept.append)
    assert [e.state for e in told if e.kind == "state"][:4] == [
        State.COUNTDOWN, State.RECORD, State.LOST, State.WAIT
    ]  # fmt: skip
    lost = next(e for e in told if e.state is State.LOST)
    assert "camera 7 gives no picture any more" in lost.message
    assert len(slept) == 2
    assert any(e.kind == "answer" for e in told)


def test_keys_of_the_window_are_pressed():
    pressed = iter([SPACE, "", "", STOP, "", STOP])
    told = []
    machine = Live(Predictor(), countdown_s=0.1, record_s=5)
    done = run(machine, Scripted(frames(0, 100)), told.append, show=lambda frame: next(pressed))
    assert [e.state for e in told if e.kind == "state"] == [
        State.COUNTDOWN, State.RECORD, State.ANSWER, State.OVER
    ]  # fmt: skip
    assert done["frames"] == 6


def test_typed_keys():
    keys = TypedKeys(io.StringIO("\nspace\nq\n"))
    deadline, found = time.monotonic() + 10, []
    while len(found) < 3 and time.monotonic() < deadline:
        found += keys()
    assert found == [SPACE, SPACE, STOP]


# --- what is shown ------------------------------------------------------------------------------------------------


@pytest.fixture
def recorded():
    machine = Live(Predictor(), countdown_s=0, record_s=1, auto=True)
    for time_s, frame in frames(0, 8):
        machine.push(time_s, frame)
    return machine


def test_the_picture_is_a_picture_and_the_frame_stays_as_it_was(recorded):
    frame = np.full((240, 320, 3), 90, np.uint8)
    drawn = picture(frame, recorded)
    assert (frame == 90).all()
    assert drawn.shape == frame.shape
    assert (drawn != 90).any()
    mirrored = picture(frame, recorded, mirror=True)
    assert not np.array_equal(drawn, mirrored)
    assert (drawn[18:32, 18:42] != 90).any()  # the arm that was found
    left, right = (np.abs(p.astype(int) - 90).sum((0, 2)) for p in (drawn, mirrored))
    assert left[:120].sum() > 0  # the words stay at the left
    assert right[:120].sum() > 0


def test_words_of_every_state(recorded):
    assert "REC" in words(recorded)[0][0]
    recorded.press(STOP)
    assert words(recorded)[0][0] == "مرحبا  80 %"
    recorded.predictor.unknown = 0.9
    recorded.answer = Event("answer", 0, State.ANSWER, Session(recorded.predictor).owner and _prediction(0.9))
    assert "none of these" in words(recorded)[0][0]
    for state in (State.WAIT, State.COUNTDOWN, State.LOST):
        recorded.state = state
        assert words(recorded)
        picture(np.zeros((240, 320, 3), np.uint8), recorded)


def _prediction(unknown):
    return Prediction(0.5, 1.25, ("A", "B"), np.log([0.8, 0.2]), unknown=unknown)


def test_without_a_screen_a_window_says_what_to_do(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(InputError, match="--no-window"):
        Window("x")


# --- cameras and files --------------------------------------------------------------------------------------------


def test_a_camera_that_is_not_there(monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(MediaError, match="there is no camera 4711") as error:
        Webcam(4711)
    assert error.value.reason == "no-camera"


class Capture:
    """OpenCV's, of a camera that gives so many frames."""

    left = 3

    def __init__(self, number):
        self.number = number

    def isOpened(self):
        return True

    def set(self, name, value):
        return True

    def read(self):
        if Capture.left == 0:
            return False, None
        Capture.left -= 1
        return True, np.full((4, 6, 3), (1, 2, 3), np.uint8)

    def release(self):
        pass


def test_a_camera_gives_rgb_is_gone_and_comes_back(monkeypatch):
    cv2 = media.import_cv2()
    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setattr(Capture, "left", 3)
    camera = Webcam(0)
    filmed = camera.read()
    assert filmed.frame[0, 0].tolist() == [3, 2, 1]
    while (filmed := camera.read()) is not None:
        pass
    assert not camera.ended
    assert not camera.open_again()
    monkeypatch.setattr(Capture, "left", 2)
    assert camera.open_again()
    camera.close()


def test_a_camera_that_another_program_uses(monkeypatch):
    monkeypatch.setattr(media.import_cv2(), "VideoCapture", Capture)
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setattr(Capture, "left", 0)
    with pytest.raises(MediaError, match="another program may be using it") as error:
        Webcam(0)
    assert error.value.reason == "camera-busy"


def test_a_file_gives_each_of_its_frames_once(tmp_path):
    made = np.random.default_rng(0).integers(0, 255, (7, 32, 48, 3), np.uint8)
    media.write_video(tmp_path / "a.mp4", made, 10)
    source = FilmedFile(tmp_path / "a.mp4", as_filmed=False)
    found = []
    while (filmed := source.read()) is not None:
        found.append(filmed)
    assert source.ended
    assert [f.time_s for f in found] == pytest.approx([k / 10 for k in range(7)])
    assert np.array_equal(np.stack([f.frame for f in found]), media.read_video(tmp_path / "a.mp4").frames_THWC)


# --- what is kept -------------------------------------------------------------------------------------------------


def test_recordings_are_a_corpus(tmp_path):
    keeper = Keeper(tmp_path / "c", "HOUSE", "anna", consent="yes")
    for start in (0, 100):
        keeper.add([(f.time_s, f.frame) for f in frames(start, start + 9)], {"label": "B"})
    corpus = read_manifest(tmp_path / "c")
    assert [(r.label, r.signer, r.n_frames, r.consent) for r in corpus] == [("HOUSE", "anna", 9, "yes")] * 2
    assert [round(r.fps, 3) for r in corpus] == [10, 10]
    assert len(media.read_video(tmp_path / "c" / corpus.records[0].streams["video"]).frames_THWC) == 9
    again = Keeper(tmp_path / "c", "TREE", "ben")
    assert len(again) == 2
    again.add([(f.time_s, f.frame) for f in frames(0, 5)], {})
    assert [r.label for r in read_manifest(tmp_path / "c")] == ["HOUSE", "HOUSE", "TREE"]


def test_what_the_corpus_says_of_signers_stays_and_frames_of_one_moment_are_kept(tmp_path):
    Keeper(tmp_path / "c", "HOUSE", "anna").add([(f.time_s, f.frame) for f in frames(0, 5)], {})
    corpus = read_manifest(tmp_path / "c")
    write_manifest(replace(corpus, meta={**corpus.meta, "consent": {"anna": {"training": False}}}), corpus.root)
    Keeper(tmp_path / "c", "TREE", "ben").add([(1.0, f.frame) for f in frames(0, 2)], {})
    kept = read_manifest(tmp_path / "c")
    assert kept.meta["consent"] == {"anna": {"training": False}}
    assert [r.label for r in kept] == ["HOUSE", "TREE"]


def test_a_folder_with_something_else_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match="holds something else"):
        Keeper(tmp_path)


def test_annotations_have_whole_milliseconds_and_a_tier_for_what_is_unknown():
    known, unknown = (_annotation(Event("answer", 2.0, State.ANSWER, _prediction(u))) for u in (0.1, 0.9))
    assert (known.start_ms, known.end_ms, known.label, known.tier) == (500, 1250, "A", "signs")
    assert (unknown.label, unknown.tier) == ("? A", UNKNOWN_TIER)
    assert json.dumps(known.confidence)
