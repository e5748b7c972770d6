"""What the doctor finds out about one file, and how a diagnosis reads as JSON."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from signloom.media import Limits
from signloom.pipelines.doctor import KINDS, diagnose, examine

LIMITS = Limits(max_frames=1000, max_seconds=20)


def test_poses_and_landmarks_are_examined_too(tmp_path):
    header = ";".join(["face_x", "face_y"] + [f"landmark_{a}_{i}" for i in range(1, 43) for a in "xyz"])
    row = ";".join(["0.5"] * 65)
    path = tmp_path / "take.csv.gz"
    path.write_bytes(gzip.compress(f"{header}\n{row}\n{row}\n".encode()))
    facts = examine(str(path), "landmarks", False, True, LIMITS)
    assert facts["frames"] == 2
    assert len(facts["content"]) == 32


def test_a_file_that_is_only_read_has_no_frames(tmp_path):
    path = tmp_path / "sensors.mat"
    path.write_bytes(b"anything")
    assert examine(str(path), "bytes", False, False, LIMITS) == {
        **examine(str(path), "bytes", True, True, LIMITS),
        "content": None,
    }


@pytest.mark.parametrize("full", [False, True])
def test_frames_are_compared_with_the_first_only_when_decoded(media_maker, tmp_path, full):
    path = tmp_path / "frozen.mp4"
    media_maker.encode_clip(path, np.full((8, 48, 64, 3), 128, np.uint8))
    facts = examine(str(path), "video", full, False, LIMITS)
    assert facts["frames"] == 8
    assert facts["size_px"] == (64, 48)
    assert [kind for kind, _ in facts["found"]] == (["still"] if full else [])


def test_a_diagnosis_as_json_holds_what_it_says(media_maker, tmp_path):
    for name in ("one", "two"):
        path = tmp_path / "corpus" / "hi" / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        media_maker.encode_clip(path, media_maker.moving_square(8))
    path.with_name("three.mp4").write_bytes(b"")
    diagnosis = diagnose(tmp_path / "corpus", workers=1, quiet=True)
    assert diagnosis.counts == {"empty": 1, "duplicate": 1}
    assert list(diagnosis.counts) == [kind for kind in KINDS if kind in diagnosis.counts]
    told = json.loads(json.dumps(diagnosis.as_dict()))
    assert set(told) == {
        *("kind", "root", "source", "full", "clips", "files", "labels", "signers"),
        *("ok", "problem_counts", "problems", "notes", "published", "media", "seconds"),
    }
    assert told["ok"] is False
    assert [set(p) for p in told["problems"]] == [{"kind", "file", "clips", "message"}] * 2
    assert set(told["media"]) == {"fps", "size_px", "codec", "rotated", "frames"}
    assert told["media"]["size_px"] == {"64×48": 2}
