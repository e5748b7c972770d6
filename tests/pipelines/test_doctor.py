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
    path = tmp_path / "corpus" / "hi" / "one.mp4"
    path.parent.mkdir(parents=True)
    media_maker.encode_clip(path, media_maker.moving_square(8))
    path.with_name("two.mp4").write_bytes(path.read_bytes())  # x264 may not give the same bytes twice
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


def test_cuts_of_one_recording_are_no_duplicates_but_one_stretch_twice_is(media_maker, tmp_path):
    media_maker.encode_clip(tmp_path / "film.mp4", media_maker.moving_square(24))
    (tmp_path / "copy.mp4").write_bytes((tmp_path / "film.mp4").read_bytes())
    cuts = {"a": (0, 8), "b": (8, 16), "c": (8, 16), "d": (16, 24)}
    rows = [f"{name},{'copy' if name == 'd' else 'film'}.mp4,{first},{end}" for name, (first, end) in cuts.items()]
    table = tmp_path / "clips.csv"
    table.write_text("\n".join(["label,file,first_frame,end_frame", *rows]) + "\n")
    diagnosis = diagnose(table, workers=0, quiet=True)
    (problem,) = [p for p in diagnosis.problems if p.kind == "duplicate"]
    assert "under 2 labels (b, c)" in problem.message
    assert "frames 8 to 16 stands for 2 clips" in problem.message
    table.write_text("\n".join(["label,file,first_frame,end_frame", *rows, "e,copy.mp4,0,8"]) + "\n")
    found = [p.message for p in diagnose(table, workers=0, quiet=True).problems if p.kind == "duplicate"]
    assert len(found) == 2  # b and c as before; a and e, in two copies of the recording
