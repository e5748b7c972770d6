"""The table of streams: by name, from fingerprints, with settings as text; and a stream of one's own by one line."""

from __future__ import annotations

import json
import sys
import types
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from signloom.data.manifest import read_manifest
from signloom.data.stream import ClipInfo, Stream, Timed, fingerprint_diff
from signloom.errors import InputError
from signloom.pipelines.prepare import Preparation
from signloom.runtime.atomic import atomic_write
from signloom.streams import STREAMS, makeable, parse_settings, stream_named, streams_named, streams_of
from signloom.streams.runner import Runner


@dataclass(frozen=True)
class ToyStream(Stream):
    """How bright each frame is."""

    scale: float = 1.0
    name = "toy"
    suffix = ".json"
    small = True

    def fingerprint(self):
        return {"extractor": "toy", "scale": self.scale}

    def open(self, info):
        return ToyStage(self.scale)

    @contextmanager
    def writer(self, file, info):
        values = []
        yield values.append
        with atomic_write(Path(file)) as tmp:
            tmp.write_text(json.dumps([float(v) for v in values]))

    def read(self, file, rows=None):
        values = np.float32(json.loads(Path(file).read_text()))
        return values if rows is None else values[rows]


@dataclass
class ToyStage:
    scale: float

    def push(self, time_s, samples):
        return [Timed(time_s, np.float32(samples["video"].mean() * self.scale))]

    def close(self):
        return []


@pytest.fixture
def toy(monkeypatch):
    module = types.ModuleType("toy_streams")
    module.ToyStream = ToyStream
    monkeypatch.setitem(sys.modules, "toy_streams", module)
    monkeypatch.setitem(STREAMS, "toy", "toy_streams:ToyStream")


def test_a_stream_of_ones_own_is_one_line_in_the_table(toy, footage, tmp_path, signloom):
    command = ("prepare", footage / "signer01", "--out", tmp_path / "c", "--workers", 0, "--shorter-px", 64)
    code, _, err = signloom(*command, "--streams", "toy", "frames", "--set", "toy.scale=2")
    assert code == 0, err
    manifest = read_manifest(tmp_path / "c")
    assert manifest.meta["streams"]["toy"] == {"extractor": "toy", "scale": 2.0}
    stream = streams_of(manifest.meta["streams"])["toy"]
    record = manifest.records[0]
    stored = stream.read(record.path("toy", manifest.root, "test"))
    assert len(stored) == record.n_frames
    from signloom import media

    live = Runner({"toy": stream}, ClipInfo("c", record.fps))
    for time_s, frame in media.iter_frames(record.path("video", manifest.root, "test")):
        [given] = live.push(time_s, {"video": frame})["toy"]
        assert given.time_s == time_s
    np.testing.assert_array_equal(live.close()["toy"], stored)
    # Another stream made later leaves it where it is.
    code, _, _ = signloom(*command, "--streams", "flow")
    assert code == 0
    assert {"toy", "frames", "flow"} <= set(read_manifest(tmp_path / "c").records[0].streams)
    code, text, _ = signloom("prepare", "nowhere", "--out", tmp_path, "--streams", "help")
    assert code == 0
    assert "How bright each frame is." in text


@pytest.mark.parametrize("name", list(STREAMS))
def test_every_stream_is_rebuilt_from_its_fingerprint(name):
    settings = {
        "pose": {"face": "mesh", "least_tracking": 0.25},
        "frames": {"shorter_px": 64, "crf": 20, "keyframe_every": 5},
        "flow": {"method": "farneback", "limit_px": 8.0, "units": "body"},
        "depth": {"near_mm": 1500.0, "far_mm": 3500.0},
        "virtual_imu": {"joint": "left_wrist,right_thigh", "rate_hz": 100.0, "cutoff_hz": 5.0, "shoulders_m": 0.4},
        "signer": {"size_px": 128, "shoulders": 2.5, "background": "#00ff00", "across": 0.4},
    }
    stream = streams_named([name], settings)[name]
    made = json.loads(json.dumps(stream.fingerprint()))
    again = streams_of({name: made})
    assert not fingerprint_diff(made, again[name].fingerprint())
    assert again[name].fingerprint() == made
    if stream.requires:
        Preparation(again)  # with all that it cannot be made without


def test_streams_of_one_corpus_are_made_of_each_other():
    named = streams_named(
        ["flow_view", "flow", "frames", "pose"], {"frames": {"shorter_px": 64}, "flow": {"units": "body"}}
    )
    assert list(named) == ["flow_view", "flow", "frames", "pose"]
    rebuilt = streams_of({n: s.fingerprint() for n, s in named.items()})
    for streams in (named, rebuilt):
        assert streams["flow_view"].flow == streams["flow"]
        assert streams["flow"].frames == streams["frames"]
        assert streams["flow"].pose == streams["pose"]
    assert rebuilt == named


def test_what_was_imported_is_read_and_not_made():
    made = {
        "pose": {"extractor": "imported", "components": {"POSE_LANDMARKS": 33}},
        "skeleton": {"extractor": "openpose-drawing", "pairs": {"crop": "none"}},
        "signer": {"extractor": "signer-crop", "size_px": 64, "crop": None, "pairs": {"crop": "none"}},
    }
    for name, stream in streams_of(made).items():
        assert stream.fingerprint() == made[name]
        with pytest.raises(InputError):
            stream.open(ClipInfo("c", 25))


def test_errors_name_what_there_is():
    with pytest.raises(InputError, match="pose, frames, flow"):
        stream_named("thermal")
    with pytest.raises(InputError, match="it has shorter_px, crf, keyframe_every"):
        stream_named("frames", size=3)
    with pytest.raises(InputError, match="expected some of pose, frames"):
        Preparation(("skeleton",))
    with pytest.raises(InputError, match="thermal"):
        streams_of({"thermal": {}})
    for text, said in {
        "frames": "STREAM.NAME=VALUE",
        "frames.size=3": "keyframe_every",
        "frames.crf=fine": "an int",
        "thermal.x=1": "there is pose",
    }.items():
        with pytest.raises(InputError, match=said):
            parse_settings([text])
    assert parse_settings(["pose.face=mesh", "pose.least_detection=.3"]) == {
        "pose": {"face": "mesh", "least_detection": 0.3}
    }
    assert "skeleton" not in makeable()
