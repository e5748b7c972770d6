"""Clips whose range is given in seconds: cut by the times of the file that is there."""

from __future__ import annotations

import numpy as np
import pytest

from signloom import media
from signloom.data.failures import read_failures
from signloom.data.leaks import places
from signloom.data.manifest import Manifest, Record, read_manifest, write_manifest
from signloom.pipelines.prepare import Preparation, prepare_corpus

FRAMES = Preparation(streams=("frames",), shorter_px=48)


def timed(name: str, start_s: float | None, end_s: float | None, video: str = "a.mp4") -> Record:
    return Record(name, "A", streams={"video": video}, start_s=start_s, end_s=end_s)


def test_a_range_in_seconds_is_cut_at_the_rate_of_the_file(media_maker, tmp_path):
    """The same seconds of a film at 25 and at 30 frames/s; and the same bytes as by frames."""
    source = media_maker.moving_square(90)
    media_maker.encode_clip(tmp_path / "a.mp4", source, fps=30)
    media_maker.encode_clip(tmp_path / "b.mp4", source, fps=25)
    records = (timed("a", 1.0, 2.0), timed("b", 1.0, 2.0, "b.mp4"), timed("open", 2.0, None))
    by_frames = Record("a", "A", streams={"video": "a.mp4"}, first_frame=30, end_frame=60)
    write_manifest(Manifest(records, tmp_path), tmp_path)
    prepare_corpus(read_manifest(tmp_path), tmp_path / "out", FRAMES, workers=0, quiet=True)
    prepared = {r.id: r for r in read_manifest(tmp_path / "out")}
    ranges = {i: (r.first_frame, r.end_frame, r.n_frames, r.fps) for i, r in prepared.items()}
    assert ranges == {"a": (30, 60, 30, 30.0), "b": (25, 50, 25, 25.0), "open": (60, None, 30, 30.0)}
    assert not any(r.timed for r in prepared.values())
    same, _ = prepare_corpus(Manifest((by_frames,), tmp_path), tmp_path / "same", FRAMES, workers=0, quiet=True)
    for name in ("a",):
        one, other = tmp_path / "out" / prepared[name].streams["frames"], tmp_path / "same" / "frames"
        assert one.read_bytes() == (other / one.name).read_bytes()
    assert same.records[0].first_frame == 30


def test_what_is_not_in_the_file_fails_with_the_reason(media_maker, tmp_path):
    media_maker.encode_clip(tmp_path / "a.mp4", media_maker.moving_square(50), fps=25)
    records = (timed("good", 0.0, 1.0), timed("long", 1.0, 9.0), timed("late", 5.0, None))
    prepare_corpus(Manifest(records, tmp_path), tmp_path / "out", FRAMES, workers=0, quiet=True)
    failed = {f["id"]: f for f in read_failures(tmp_path / "out")}
    assert {i: f["reason"] for i, f in failed.items()} == {"long": "truncated", "late": "no-frames"}
    assert "the clip should be 1 s to 9 s; the file is 2.00 s long" in failed["long"]["message"]


def test_a_corrected_time_is_prepared_again(media_maker, tmp_path):
    media_maker.encode_clip(tmp_path / "a.mp4", media_maker.moving_square(50), fps=25)
    for start_s, first in ((0.0, 0), (1.0, 25)):
        manifest = Manifest((timed("a", start_s, None),), tmp_path)
        prepared, _ = prepare_corpus(manifest, tmp_path / "out", FRAMES, workers=0, quiet=True)
        assert prepared.records[0].first_frame == first
        assert media.probe(tmp_path / "out" / prepared.records[0].streams["frames"]).n_frames == 50 - first


def test_poses_are_cut_by_seconds_too(pose_footage, tmp_path):
    file = next(pose_footage.rglob("*.pose"))
    pose = media.read_pose(file)
    fps, n = pose.body.fps, len(pose.body.data)
    record = Record("a", "A", streams={"pose": str(file)}, start_s=2 / fps, end_s=5 / fps)
    prepared, _ = prepare_corpus(Manifest((record,), tmp_path), tmp_path / "out", Preparation(), workers=0, quiet=True)
    assert n > 5
    assert (prepared.records[0].first_frame, prepared.records[0].end_frame) == (2, 5)
    cut = media.read_pose(tmp_path / "out" / prepared.records[0].streams["pose"])
    np.testing.assert_array_equal(cut.body.data.filled(0), pose.body.data[2:5].filled(0))


@pytest.mark.parametrize(
    ("other", "spans"),
    [
        (timed("b", 2.0, None), [(1.0, 2.0), (2.0, float("inf"))]),
        (Record("b", "A", streams={"video": "a.mp4"}, first_frame=50), [(0.0, float("inf")), (50.0, float("inf"))]),
    ],
)
def test_the_leak_audit_knows_seconds(tmp_path, other, spans):
    """Seconds are compared with seconds; beside frames they may lie anywhere until the file is opened."""
    ((_, found),) = places(Manifest((timed("a", 1.0, 2.0), other), tmp_path))
    assert [(span.first, span.end) for span in found] == spans
