"""Live and offline are one: the runner gives, frame by frame, what prepare writes; in bounded memory."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from signloom import media
from signloom.data.manifest import Record
from signloom.data.skeleton import Joints, joints_of
from signloom.data.stream import ClipInfo, Stream, Timed
from signloom.errors import InputError, MediaError
from signloom.streams import stream_named, streams_named
from signloom.streams.clips import prepare_clip
from signloom.streams.runner import Runner

SETTINGS = {"frames": {"shorter_px": 96}, "signer": {"size_px": 96}}
BODY = {**SETTINGS, "flow": {"units": "body", "method": "farneback"}}


@pytest.fixture(scope="module")
def clips(footage, media_maker, tmp_path_factory):
    """An even clip, and one whose camera paused."""
    folder = tmp_path_factory.mktemp("clips")
    even = sorted(footage.rglob("*.mp4"))[0]
    frames = media.read_video(even).frames_THWC[:8]
    pts = [0, 1, 2, 3, 4, 8, 9, 10]
    options: dict[str, Any] = {"time_base": Fraction(1, 10), "options": {"bf": "0"}}
    media_maker.encode_clip(folder / "v.mkv", frames, fps=10, pts=pts, **options)
    return {"even": even, "uneven": folder / "v.mkv"}


def live(streams, path, *, ready=(), **settings):
    """What a session gives as frames come, and whole at the end."""
    info = media.probe(path)
    runner = Runner(streams, ClipInfo("c", info.fps), **settings)
    given: dict[str, list[Timed]] = {}
    for time_s, frame in media.iter_frames(path):
        for name, samples in runner.push(time_s, {"video": frame}).items():
            given.setdefault(name, []).extend(samples)
    return given, runner.close(), runner


def same(a: Any, b: Any) -> None:
    if isinstance(a, Joints):
        for name in ("xy_TJC", "present_TJ", "confidence_TJ", "lines_TN2C"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        assert (a.fps, a.size_px) == (b.fps, b.size_px)
    else:
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("which", ["even", "uneven"])
@pytest.mark.parametrize("settings", [SETTINGS, BODY], ids=["pixels", "body"])
def test_a_session_gives_what_prepare_writes(clips, tmp_path, which, settings):
    streams = streams_named(("pose", "frames", "flow", "flow_view", "signer"), settings)
    record = Record("c", streams={"video": str(clips[which])})
    made = prepare_clip(record, tmp_path, tmp_path, streams)
    stored = {name: streams[name].read(tmp_path / path) for name, path in made["streams"].items()}
    given, whole, runner = live(streams, clips[which])
    assert list(whole) == list(streams)
    assert len(runner.rows) == made["n_frames"]
    same(whole["pose"], stored["pose"])
    same(whole["flow"], stored["flow"])
    for name in ("frames", "signer", "flow_view"):  # these are compressed: compare what was compressed
        info = ClipInfo("c", made["fps"])
        with streams[name].writer(tmp_path / f"again-{name}.mp4", info) as add:
            for sample in whole[name]:
                add(sample)
        assert (tmp_path / f"again-{name}.mp4").read_bytes() == (tmp_path / made["streams"][name]).read_bytes(), name
    n_filmed = len(runner.times_s)
    assert len(given["pose"]) == len(given["frames"]) == n_filmed
    assert "signer" not in given  # it waits for the whole pose
    if settings is SETTINGS:
        assert len(given["flow"]) == len(given["flow_view"]) == n_filmed
        if which == "even":
            same(np.stack([t.sample for t in given["flow"]]), stored["flow"])


def test_poses_are_read_as_joints_of_the_file(clips, tmp_path):
    stream = stream_named("pose")
    made = prepare_clip(Record("c", streams={"video": str(clips["even"])}), tmp_path, tmp_path, {"pose": stream})
    file = tmp_path / made["streams"]["pose"]
    pose = media.read_pose(file)
    joints = stream.read(file)
    plain = joints_of(pose)
    same(joints, plain)
    start = 33  # the face's points follow the body's
    ends = start + np.array(pose.header.components[1].limbs)
    points_TPC = np.concatenate([pose.body.data.data[:, 0, :, :2], pose.body.confidence[:, 0, :, None]], -1)
    np.testing.assert_array_equal(joints.lines_TN2C, points_TPC[:, ends])
    assert joints.size_px == (320, 240)
    some = stream.read(file, [3, 1])
    np.testing.assert_array_equal(some.xy_TJC, plain.xy_TJC[[3, 1]])
    np.testing.assert_array_equal(some.lines_TN2C, joints.lines_TN2C[[3, 1]])
    assert 0 < some.nbytes < joints.nbytes


def test_what_is_ready_is_taken_as_it_is(clips):
    streams = streams_named(("frames", "flow"), SETTINGS)
    _, whole, _ = live(streams, clips["even"])
    runner = Runner(streams, ClipInfo("c", 6.0))
    for row, frame in enumerate(whole["frames"]):
        assert set(runner.push(row / 6, {"frames": frame})) == {"frames", "flow"}
    again = runner.close()
    same(again["flow"], whole["flow"])
    # Points found elsewhere: a browser, say.
    pose = {"pose": stream_named("pose")}
    given, whole, _ = live(pose, clips["even"])
    runner = Runner(pose, ClipInfo("c", 6.0, size_px=(320, 240)))
    for timed in given["pose"]:
        runner.push(timed.time_s, {"pose": timed.sample})
    same(runner.close()["pose"], whole["pose"])


def test_two_sessions_side_by_side_do_not_disturb_each_other(clips):
    pose = {"pose": stream_named("pose")}
    alone = [live(pose, clips[which])[1]["pose"] for which in ("even", "uneven")]
    runners = [Runner(pose, ClipInfo("c", media.probe(path).fps)) for path in clips.values()]
    for pushed in zip(*(media.iter_frames(path) for path in clips.values())):
        for runner, (time_s, frame) in zip(runners, pushed):
            runner.push(time_s, {"video": frame})
    for runner, (_, path) in zip(runners, clips.items()):
        for n, (time_s, frame) in enumerate(media.iter_frames(path)):
            if n >= len(runner.times_s):
                runner.push(time_s, {"video": frame})
    for runner, expected in zip(runners, alone):
        same(runner.close()["pose"], expected)


def test_long_clips_are_read_again_or_refused(clips):
    streams = streams_named(("pose", "signer"), SETTINGS)
    path = clips["uneven"]
    _, expected, _ = live(streams, path)
    readings = []

    def again():
        readings.append(path)
        return ((time_s, {"video": frame}) for time_s, frame in media.iter_frames(path))

    _, whole, _ = live(streams, path, hold_bytes=1 << 18, again=again)
    assert len(readings) == 1
    same(whole["signer"], expected["signer"])
    with pytest.raises(MediaError, match="read again"):
        live(streams, path, hold_bytes=1 << 18)
    # Nothing waits where nobody asks for what needs it.
    _, whole, _ = live(streams, path, hold_bytes=1 << 18, keep=["pose"])
    assert list(whole) == ["pose"]


def test_memory_stays_bounded_for_twenty_thousand_frames(tmp_path):
    """Frames and flow of a long clip: what waits never exceeds its bound, and is made again."""
    import tracemalloc

    rng = np.random.default_rng(0)
    scenes = rng.integers(0, 256, (7, 64, 64, 3), np.uint8)
    n, bound = 20_000, 8 << 20

    def pushed():
        return ((row / 25, {"video": scenes[row % 7].copy()}) for row in range(n))

    streams = {"frames": NullStream()}
    runner = Runner(streams, ClipInfo("c", 25.0), eager=False, hold_bytes=bound, again=pushed)
    tracemalloc.start()
    for time_s, samples in pushed():
        runner.push(time_s, samples)
    runner.write({"frames": tmp_path / "n"})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (tmp_path / "n").read_text() == str(n)
    assert peak < 2 * bound + (8 << 20)


@dataclass(frozen=True)
class NullStream(Stream):
    """Copies frames, answers two frames late, and counts what is written."""

    name = "frames"
    suffix = ""

    def open(self, info):
        return LateStage()

    @contextmanager
    def writer(self, file, info):
        count = 0

        def add(sample):
            nonlocal count
            count += 1

        yield add
        file.write_text(str(count))


class LateStage:
    def __init__(self):
        self.waiting = []

    def push(self, time_s, samples):
        self.waiting.append(Timed(time_s, samples["video"].copy()))
        return [self.waiting.pop(0)] if len(self.waiting) > 2 else []

    def close(self):
        return self.waiting


@dataclass(frozen=True)
class DoubledStream(Stream):
    """Twice the late frames."""

    frames: NullStream = NullStream()
    name = "doubled"
    suffix = ""

    @property
    def requires(self):
        return ("frames",)

    def open(self, info):
        return DoubledStage()


class DoubledStage:
    def push(self, time_s, samples):
        return [Timed(time_s, samples["frames"].astype(int) * 2)]

    def close(self):
        return []


def test_stages_may_answer_later(clips):
    for path in clips.values():
        frames = [frame for _, frame in media.iter_frames(path)]
        given, whole, runner = live({"doubled": DoubledStream()}, path)
        np.testing.assert_array_equal(whole["doubled"], np.stack(frames)[runner.rows].astype(int) * 2)
        assert len(given["doubled"]) == len(frames) - 2
        assert [t.time_s for t in given["doubled"]] == runner.times_s[:-2]


@dataclass(frozen=True)
class SensorStream(Stream):
    """Readings with a clock of their own, as they are."""

    name = "imu"
    suffix = ""
    clock = "own"
    requires = ("readings",)

    def open(self, info):
        return SensorStage()


class SensorStage:
    def push(self, time_s, samples):
        return [Timed(time_s, samples["readings"] / 2)]

    def close(self):
        return []


def test_sensors_keep_their_own_time():
    runner = Runner({"imu": SensorStream(), "frames": NullStream()}, ClipInfo("c", 10.0))
    frame = np.zeros((8, 8, 3), np.uint8)
    for tick in range(100):
        assert list(runner.push(tick / 100, {"readings": np.float32([tick])})) == ["imu"]
        if tick % 10 == 0:
            runner.push(tick / 100 + 0.001, {"video": frame})
    whole = runner.close()
    assert whole["imu"].shape == (100, 1)
    assert whole["imu"][-1] == 49.5
    assert len(whole["frames"]) == 10


@dataclass(frozen=True)
class ArrayStream(Stream):
    """Each frame's brightness, as an array file."""

    name = "bright"
    suffix = ".npy"

    def open(self, info):
        return ArrayStage()

    @contextmanager
    def writer(self, file, info):
        samples = []
        yield samples.append
        np.save(file, np.stack(samples))

    def read(self, file, rows=None):
        return np.load(file)


class ArrayStage:
    def push(self, time_s, samples):
        return [Timed(time_s, samples["video"].mean(keepdims=True).ravel())]

    def close(self):
        return []


@dataclass(frozen=True)
class VirtualStream(ArrayStream):
    """A sensor with two samples for each frame of the whole ``bright``."""

    name = "virtual"
    clock = "own"
    requires = ()
    requires_whole = ("bright",)

    def open(self, info):
        return VirtualStage(np.repeat(info.complete["bright"], 2, axis=0), info.fps)


@dataclass
class VirtualStage:
    values: np.ndarray
    fps: float

    def close(self):
        return [Timed(k / 2 / self.fps, value) for k, value in enumerate(self.values)]


def test_a_sensor_of_a_whole_stream_is_made_at_the_end(clips, tmp_path):
    """With a clock of its own: beside frames, of what is complete alone, live as it is written."""
    for which, path in clips.items():
        streams = {"virtual": VirtualStream(), "bright": ArrayStream()}
        given, whole, runner = live(streams, path)
        assert "virtual" not in given
        assert list(whole) == ["virtual", "bright"]
        np.testing.assert_array_equal(whole["virtual"], np.repeat(whole["bright"], 2, axis=0))
        assert len(whole["virtual"]) == 2 * len(runner.rows)
        _, alone, _ = live(streams, path, keep=["virtual"])
        assert list(alone) == ["virtual"]
        np.testing.assert_array_equal(alone["virtual"], whole["virtual"])
        writing = Runner(streams, ClipInfo("c", runner.info.fps), eager=False)
        for time_s, frame in media.iter_frames(path):
            writing.push(time_s, {"video": frame})
        files = {name: tmp_path / f"{which}-{name}.npy" for name in streams}
        writing.write(files)
        for name in streams:
            np.testing.assert_array_equal(np.load(files[name]), whole[name])
        # Of a stream that is there, no frame is needed.
        info = ClipInfo("c", runner.info.fps, complete={"bright": whole["bright"]})
        Runner({"virtual": VirtualStream()}, info, eager=False).write({"virtual": tmp_path / "again.npy"})
        assert (tmp_path / "again.npy").read_bytes() == files["virtual"].read_bytes()
        np.testing.assert_array_equal(Runner({"virtual": VirtualStream()}, info).close()["virtual"], whole["virtual"])
    with pytest.raises(InputError, match="'virtual' needs stream 'bright', whole"):
        Runner({"virtual": VirtualStream()}, ClipInfo("c", 25.0))
    assert Runner({"virtual": VirtualStream(), "bright": ArrayStream()}, ClipInfo("c", 25.0)).close() == {}


def test_what_cannot_be_is_refused():
    info = ClipInfo("c", 25.0)
    frame = np.zeros((64, 64, 3), np.uint8)
    flow = streams_named(("flow",), {"flow": {"units": "body"}})
    with pytest.raises(InputError, match="needs stream 'pose'"):
        Runner(flow, info)
    frames = {"frames": stream_named("frames")}
    with pytest.raises(InputError, match="'frames' needs 'video'"):
        Runner(frames, info).push(0.0, {"depth": frame})
    runner = Runner(frames, info)
    runner.push(0.0, {"video": frame})
    with pytest.raises(InputError, match="came after"):
        runner.push(0.0, {"video": frame})
    with pytest.raises(InputError, match="without 'video'"):
        runner.push(1.0, {})
    with pytest.raises(MediaError) as error:
        Runner(frames, info, eager=False).write({})
    assert error.value.reason == "no-frames"
