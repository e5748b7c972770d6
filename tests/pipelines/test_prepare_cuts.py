"""Clips cut from one recording: prepared at the cost of what is used, each for itself, the same bytes as by itself."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from signloom import media
from signloom.data.manifest import Manifest, Record, read_manifest
from signloom.data.splits import assign_split, refuse_leaks
from signloom.media import local_files
from signloom.media.clip import Clip
from signloom.pipelines.prepare import Preparation, prepare_corpus
from signloom.runtime.workers import Job, _Queue
from signloom.streams import recordings

FRAMES = Preparation(streams=("frames",), shorter_px=16)
N = 600


def clip(name, first, end, video="film.mp4", **about):
    return Record(
        name, f"L{first // 10 % 2}", "s0", streams={"video": video}, first_frame=first, end_frame=end, **about
    )


CUTS = (
    clip("d", 300, 310),
    clip("a", 10, 20),
    clip("overlaps", 15, 30),
    clip("boxed", 15, 30, box_px=(0, 0, 16, 32)),
    clip("e", 590, 600),
    clip("c", 100, 110),
    clip("timed", 0, None, start_s=8.0, end_s=8.4),
)
BAD = (clip("late", 700, 710), clip("long", 590, 660), clip("empty", 40, 50, box_px=(500, 500, 600, 600)))


@pytest.fixture(scope="module")
def film(media_maker, tmp_path_factory):
    """A recording of 600 frames and a copy of it, a short file of its own, in one folder."""
    folder = tmp_path_factory.mktemp("film")
    frames = media_maker.moving_square(N, 32, 48)
    media_maker.encode_clip(folder / "film.mp4", frames, options={"bf": "2"})
    media_maker.encode_clip(folder / "unsought.avi", frames, options={"bf": "2"})
    media_maker.encode_clip(folder / "own.mp4", frames[:20])
    return folder


@pytest.fixture
def counted(monkeypatch):
    """How many frames were decoded and how many files hashed, in a dict."""
    whole, hashed, counts = Clip.decode, local_files.content_hash, {"frames": 0, "hashes": 0}

    def decode(clip, key=None):
        for found in whole(clip, key):
            counts["frames"] += 1
            yield found

    def content_hash(path):
        counts["hashes"] += 1
        return hashed(path)

    monkeypatch.setattr(Clip, "decode", decode)
    monkeypatch.setattr(media, "content_hash", content_hash)
    return counts


def prepared(folder, out, records, workers=0, preparation=FRAMES):
    return prepare_corpus(Manifest(tuple(records), folder), out, preparation, workers=workers, quiet=True)


def test_cuts_are_the_same_bytes_as_each_prepared_by_itself(film, tmp_path, hashes_of):
    together, outcomes = prepared(film, tmp_path / "together", CUTS, workers=2)
    assert [o.id for o in outcomes] == [r.id for r in together] == [r.id for r in CUTS]
    for record in CUTS:
        alone, _ = prepared(film, tmp_path / record.id, [record])
        same = next(r for r in together if r.id == record.id)
        assert (same.content, same.n_frames, same.range) == (
            alone.records[0].content,
            alone.records[0].n_frames,
            alone.records[0].range,
        )
        one, other = (c.root / r.streams["frames"] for c, r in ((together, same), (alone, alone.records[0])))
        assert one.read_bytes() == other.read_bytes()
    assert not list((tmp_path / "together").glob(".tmp-*"))


@pytest.mark.parametrize(("video", "most"), [("film.mp4", 200), ("unsought.avi", 2 * N)])
def test_a_recording_is_hashed_once_and_decoded_once(film, tmp_path, counted, video, most):
    cuts = [replace(r, streams={"video": video}) for r in CUTS if not r.timed]
    _, outcomes = prepared(film, tmp_path, cuts)
    assert all(o.ok for o in outcomes)
    assert counted["hashes"] == 1
    used = len(set().union(*(range(r.first_frame, r.end_frame) for r in cuts)))
    assert used <= counted["frames"] <= most


def test_what_is_decoded_is_linear_in_what_is_used(film, tmp_path, counted):
    cost = {}
    for n in (5, 10, 20):
        counted["frames"] = 0
        _, outcomes = prepared(film, tmp_path / str(n), [clip(f"c{k:02}", 30 * k, 30 * k + 10) for k in range(n)])
        assert all(o.ok for o in outcomes)
        cost[n] = counted["frames"]
    assert cost[20] <= 20 * (10 + 12 + 3)
    assert cost[20] <= 2.2 * cost[10] <= 2.2**2 * cost[5]


def test_a_short_range_of_a_long_recording_is_not_too_long(film, tmp_path):
    preparation = Preparation(streams=("frames",), shorter_px=16, limits=media.Limits(max_frames=20, max_bytes=2000))
    corpus, outcomes = prepared(
        film, tmp_path, [clip("short", 300, 320), clip("long", 300, 321)], preparation=preparation
    )
    assert [(o.ok, o.reason) for o in outcomes] == [(True, None), (False, "too-long")]
    assert corpus.records[0].n_frames == 20


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_cut_fails_alone(film, tmp_path, workers):
    mixed = [CUTS[0], BAD[0], CUTS[1], BAD[1], CUTS[4], BAD[2], CUTS[5]]
    corpus, outcomes = prepared(film, tmp_path, mixed, workers=workers)
    assert {o.id: o.reason for o in outcomes if not o.ok} == {
        "late": "no-frames",
        "long": "truncated",
        "empty": "error",
    }
    assert "it has 600 frames; the clip should start at frame 700" in outcomes[1].message
    assert [r.id for r in corpus] == ["d", "a", "e", "c"]


def test_an_interrupted_run_goes_on(film, tmp_path, hashes_of, monkeypatch):
    whole, _ = prepared(film, tmp_path / "whole", CUTS)
    seen = []

    def stops(path, shared):
        seen.append(path)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return media.content_hash(path)

    with monkeypatch.context() as patched:
        patched.setattr(recordings, "content_of", stops)
        with pytest.raises(KeyboardInterrupt):
            prepared(film, tmp_path / "again", CUTS)
    done = [json.loads(line)["id"] for line in (tmp_path / "again" / "journal.jsonl").read_text().splitlines()]
    assert done == ["a", "overlaps", "boxed"]  # in order of their start
    again, outcomes = prepared(film, tmp_path / "again", CUTS)
    assert sum(o.reused for o in outcomes) == 3
    assert hashes_of(tmp_path / "again" / "frames") == hashes_of(tmp_path / "whole" / "frames")
    assert [r.id for r in again] == [r.id for r in whole]


def test_nothing_is_held_open_afterwards_and_whole_files_are_not_shared(film, tmp_path):
    prepared(film, tmp_path / "a", CUTS)
    assert recordings._held.recording is None
    whole = [Record(f"{n}", streams={"video": "own.mp4"}) for n in range(2)]
    assert recordings.shared_files((r, film / "own.mp4") for r in whole) == set()


def test_prepared_cuts_can_be_split_and_do_not_leak(film, tmp_path):
    cuts = [clip(f"c{k:02}", 15 * k, 15 * k + 15) for k in range(40)]
    prepared(film, tmp_path, cuts)
    corpus = read_manifest(tmp_path)
    assert len({r.content for r in corpus}) == 1
    split = assign_split(corpus, "random")
    assert {r.split for r in split} == {"train", "val", "test"}
    refuse_leaks(split)


def test_poses_are_read_in_parts(pose_footage, tmp_path):
    file = max(pose_footage.rglob("*.pose"), key=lambda p: p.stat().st_size)
    n = len(media.read_pose(file).body.data)
    cuts = [Record(f"c{k}", "A", streams={"pose": str(file)}, first_frame=k, end_frame=k + 3) for k in range(n - 3)]
    strict = Preparation(limits=media.Limits(max_frames=3))
    corpus, outcomes = prepared(tmp_path, tmp_path / "out", cuts, preparation=strict)
    assert all(o.ok for o in outcomes)
    whole = media.read_pose(file)
    for k, record in enumerate(corpus):
        part = media.read_pose(corpus.root / record.streams["pose"])
        np.testing.assert_array_equal(part.body.data.filled(0), whole.body.data[k : k + 3].filled(0))
        np.testing.assert_array_equal(part.body.confidence, whole.body.confidence[k : k + 3])
    bad = [cuts[0], replace(cuts[1], first_frame=n, end_frame=n + 5), replace(cuts[2], end_frame=None)]
    _, outcomes = prepared(tmp_path, tmp_path / "bad", bad, preparation=strict)
    assert [o.reason for o in outcomes] == [None, "no-frames", "too-long"]


# --- who does what ----------------------------------------------------------------------------------------------------


def jobs(*named):
    return [Job(name, (), group=name[0] if name[0].isupper() else "", place=float(name[1:] or 0)) for name in named]


def test_a_worker_keeps_to_its_group_in_order_of_start():
    queue = _Queue(jobs("x", "A3", "A1", "B1", "A2", "y", "B0"))
    assert [job.id for job in queue] == ["x", "A1", "A2", "A3", "B0", "B1", "y"]


def test_an_idle_worker_takes_the_second_half_of_what_is_left():
    queue = _Queue(jobs(*(f"A{k}" for k in range(7))))
    assert queue.next_for(0).id == "A0"
    assert queue.next_for(1).id == "A4"  # of 1 to 6
    assert queue.next_for(2).id in ("A2", "A3")


def test_every_job_is_done_once_by_however_many_workers():
    for workers in range(1, 6):
        queue = _Queue(jobs(*(f"{g}{k}" for g in "ABC" for k in range(5)), "x", "y"))
        done = []
        while len(found := [j for w in range(workers) if (j := queue.next_for(w)) is not None]):
            done += [job.id for job in found]
        assert sorted(done) == sorted({*done})
        assert len(done) == 17
