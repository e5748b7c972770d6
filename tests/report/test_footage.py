"""Footage in a report: the clip's range and box and nothing else of the recording, the right way round."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from signloom import media
from signloom.data.manifest import Manifest, Record, write_manifest
from signloom.pipelines.prepare import Preparation, prepare_corpus
from signloom.report.footage import footage_of, small_copy
from signloom.report.page import write_report
from signloom.tasks.recognise.evaluate import Scores, results_of

SIGNER, BYSTANDER, BEFORE = (200, 40, 40), (30, 200, 40), (40, 40, 220)
BOX = (0, 0, 64, 96)


def recording(n: int = 30) -> np.ndarray:
    """uint8 (T, 96, 160, 3): the signer (red) on the left, somebody else (green) on the right; blue before frame 10
    and from frame 20 on."""
    frames = np.full((n, 96, 160, 3), 90, np.uint8)
    frames[:, 20:90, 16:48] = SIGNER
    frames[:, 20:90, 100:140] = BYSTANDER
    frames[:10], frames[20:] = BEFORE, BEFORE
    return frames


@pytest.fixture(scope="module")
def boxed(tmp_path_factory) -> Manifest:
    """Two clips of that recording with range and box, their frames prepared. Do not change it."""
    folder = tmp_path_factory.mktemp("boxed")
    media.write_video(folder / "all.mp4", recording(), 10)
    cut = {"first_frame": 10, "end_frame": 20, "box_px": BOX}
    records = tuple(
        Record(f"clip{k}", label, "one", streams={"video": "all.mp4"}, **cut) for k, label in enumerate("AB")
    )
    source = Manifest(records, folder, {"name": "boxed"})
    prepared, outcomes = prepare_corpus(
        source, folder / "out", Preparation(("frames",), shorter_px=64), workers=0, quiet=True
    )
    assert all(o.ok for o in outcomes)
    return prepared


def shown(data: bytes) -> np.ndarray:
    return media.read_video(media.HeldFile("clip.mp4", data)).frames_THWC.astype(int)


def seen(frames: np.ndarray, colour) -> float:
    """The share of pixels near to ``colour``."""
    return float((np.abs(frames - colour).max(-1) < 60).mean())


def results(corpus: Manifest) -> dict:
    checkpoint = SimpleNamespace(recipe={"name": "pose"}, architecture="any", streams={}, config=dict)
    logits = np.array([[0.0, 3.0], [3.0, 0.0]])  # both wrong
    return results_of([Scores(corpus.records, ("A", "B"), logits)], split={"name": "test"}, checkpoint=checkpoint,
                      manifest=corpus)  # fmt: skip


def embedded(page: str) -> list[np.ndarray]:
    return [shown(base64.b64decode(found)) for found in re.findall(r"data:video/mp4;base64,([^\"]+)", page)]


def test_nobody_outside_the_box_and_nothing_outside_the_range_is_embedded(boxed, tmp_path):
    page = write_report(results(boxed), tmp_path / "report.html").read_text()
    clips = embedded(page)
    assert clips
    for frames in clips:
        assert frames.shape[1:] == (96, 64, 3)
        assert len(frames) == 10
        assert seen(frames, SIGNER) > 0.2
        assert seen(frames, BYSTANDER) == seen(frames, BEFORE) == 0


def test_prepared_frames_stand_in_for_a_video_that_is_gone(boxed, tmp_path):
    """They were cut when they were made: cut again, they would begin ten frames late, or not at all."""
    gone = replace(
        boxed,
        records=tuple(replace(r, streams={**r.streams, "video": "elsewhere.mp4"}) for r in boxed),
    )
    without = replace(boxed, records=tuple(replace(r, streams={"frames": r.streams["frames"]}) for r in boxed))
    for corpus in (gone, without):
        clips = embedded(write_report(results(corpus), tmp_path / "report.html").read_text())
        assert clips
        assert all(len(frames) == 10 for frames in clips)
        assert all(seen(f, SIGNER) > 0.2 and seen(f, BYSTANDER) == seen(f, BEFORE) == 0 for f in clips)
    nothing = replace(boxed, records=tuple(replace(r, streams={"pose": "x.pose"}) for r in boxed))
    assert footage_of(nothing.records[0], nothing.root)["video"] is None


def test_everything_that_prepare_stores_is_cut(boxed):
    for record in boxed:
        frames = media.read_frames(record.path("frames", boxed.root, "test")).astype(int)
        assert len(frames) == 10
        assert seen(frames, BYSTANDER) == seen(frames, BEFORE) == 0


def test_shards_hold_what_was_cut_and_no_recording(boxed, tmp_path):
    import tarfile

    from signloom.pipelines.shard import shard_corpus

    one, two = boxed.records
    other = replace(two, id="clip2", label="A", signer="two", first_frame=20, end_frame=30, content="other")
    given = replace(boxed, records=(replace(one, split="train"), replace(other, split="test")))
    write_manifest(given, tmp_path / "given")
    shards = shard_corpus(given, tmp_path / "shards", workers=0, quiet=True)
    held = 0
    for file in shards.root.glob("*.tar"):
        with tarfile.open(file) as tar:
            for member in tar:
                assert not member.name.endswith(".video.mp4")
                if member.name.endswith(".frames.mp4"):
                    frames = shown(tar.extractfile(member).read())
                    assert seen(frames, BYSTANDER) == seen(frames, BEFORE) == 0
                    held += 1
    assert held == 2


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_box_means_the_picture_as_displayed(media_maker, tmp_path, degrees, mirrored):
    """A phone's matrix, mirrored as front cameras write it: box, frames and report agree on what is seen."""
    file = media_maker.encode_clip(
        tmp_path / "a.mp4", recording()[10:20], turn=(degrees, mirrored), options={"crf": "8"}, fps=10
    )
    whole = media.read_video(file).frames_THWC.astype(int)
    y, x = np.nonzero(np.abs(whole[0] - SIGNER).max(-1) < 60)
    box = (int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1)
    cut = media.read_video(file, box_px=box).frames_THWC.astype(int)
    assert seen(cut, SIGNER) > 0.95
    copy = small_copy({"box_px": box}, file)
    assert copy.data is not None
    frames = shown(copy.data)
    odd = np.array([box[3] - box[1], box[2] - box[0]])
    assert frames.shape[1:3] == tuple(odd + odd % 2)
    assert seen(frames, SIGNER) > 0.9
    source = Manifest((Record("a", "A", streams={"video": "a.mp4"}, box_px=box),), tmp_path, {})
    out, outcomes = prepare_corpus(
        source, tmp_path / "out", Preparation(("frames",), shorter_px=32), workers=0, quiet=True
    )
    assert outcomes[0].ok
    assert seen(media.read_frames(out.records[0].path("frames", out.root, "test")).astype(int), SIGNER) > 0.9
