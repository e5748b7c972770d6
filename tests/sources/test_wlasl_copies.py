"""WLASL as it lies on people's disks: several lists in one folder, ids that became numbers, downloaders' names."""

from __future__ import annotations

import json

import pytest

from signloom import media
from signloom.errors import InputError
from signloom.pipelines.prepare import Preparation, prepare_corpus
from signloom.sources import read_source
from signloom.sources.wlasl import read_wlasl

SITE = "https://www.youtube.com/watch?v=0UsjUE-TXns"


def instance(video_id, split="train", start=1, end=-1, url="https://example.org/x.mp4", **more):
    return {
        "video_id": video_id, "split": split, "frame_start": start, "frame_end": end, "url": url, "fps": 25,
        "signer_id": 1, "bbox": [1, 1, 60, 40], **more,
    }  # fmt: skip


def write_list(file, *instances, gloss="book"):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps([{"gloss": gloss, "instances": list(instances)}]))


def write_subset(file, **actions):
    file.write_text(json.dumps({i: {"subset": "train", "action": action} for i, action in actions.items()}))


def notes(corpus):
    return " | ".join(corpus.meta["notes"])


def test_a_whole_list_goes_before_its_subsets(tree):
    root = tree("videos/00335.mp4", "videos/00414.mp4")
    write_list(root / "WLASL_v0.3.json", instance("00335"), instance("00414"))
    for n in (100, 300):
        write_subset(root / f"nslt_{n}.json", **{"00335": [0, 1, -1]})
    corpus = read_source(root)
    assert (corpus.meta["source"], corpus.meta["list"], len(corpus)) == ("wlasl", "WLASL_v0.3.json", 2)
    assert "nslt_100.json" in notes(corpus)
    assert "--option json_file=nslt_100.json" in notes(corpus)
    assert len(read_source(root, json_file="nslt_100.json", source="wlasl")) == 1
    assert len(read_source(root, json_file="nslt_100.json")) == 1


def test_several_lists_of_equal_rank_are_a_question(tree):
    root = tree("videos/00335.mp4")
    for n in (100, 300):
        write_subset(root / f"nslt_{n}.json", **{"00335": [0, 1, -1]})
    with pytest.raises(InputError, match=r"nslt_100.json', 'nslt_300.json'.*which: --option json_file=FILE"):
        read_source(root)
    write_list(root / "start_kit" / "WLASL_v0.3.json", instance("00335"))
    assert read_source(root).meta["list"] == "WLASL_v0.3.json"


@pytest.mark.parametrize("as_number", [int, float])
def test_ids_that_lost_their_zeros_are_found(tree, as_number):
    root = tree("videos/00335.mp4", "videos/00007.mp4", "videos/69241.mp4")
    video_id = as_number(335)
    write_list(root / "WLASL_v0.3.json", instance(video_id), instance(as_number(69241)), instance(as_number(8)))
    corpus = read_source(root)
    assert [r.streams["video"] for r in corpus] == ["videos/00335.mp4", "videos/69241.mp4"]
    assert [r.id for r in corpus] == ["00335", "69241"]
    assert "lost their leading zeros" in notes(corpus)
    assert corpus.meta["missing"]["count"] == 1
    with pytest.raises(InputError, match="spelling"):
        read_source(root, spelling="none")
    assert [r.id for r in read_source(root, spelling="exact")] == ["69241"]


def test_a_number_with_two_files_is_no_guess(tree):
    root = tree("videos/00335.mp4", "videos/0335.mp4", "videos/1.mp4")
    write_list(root / "WLASL_v0.3.json", instance(335), instance(1))
    assert [r.id for r in read_wlasl(root)] == ["1"]


@pytest.mark.parametrize("name", ["Signs for Food (ASL) [0UsjUE-TXns].mp4", "Signs [0UsjUE-TXns].f137.mp4",
                                  "Signs for Food-0UsjUE-TXns.webm", "0UsjUE-TXns.mkv"])  # fmt: skip
def test_names_as_downloaders_give_them(tree, name):
    root = tree(name)
    write_list(root / "WLASL_v0.3.json", instance("00336", start=1385, end=1424, url=SITE))
    (record,) = read_source(root)
    assert record.streams["video"] == name
    assert (record.start_s, record.end_s) == (1384 / 25, 1424 / 25)


def test_a_start_of_0_is_the_first_frame_and_said(tree):
    root = tree("0UsjUE-TXns.mp4")
    write_list(root / "WLASL_v0.3.json", instance("00001", start=0, end=30, url=SITE))
    (record,) = read_source(root)
    assert (record.start_s, record.end_s) == (None, 30 / 25)
    assert "1 frame ranges start at 0" in notes(read_source(root))


def test_one_name_in_two_places_is_said(tree):
    root = tree("raw_videos/00335.mp4", "videos/00335.mp4")
    write_list(root / "WLASL_v0.3.json", instance("00335"))
    corpus = read_source(root)
    assert corpus.records[0].streams["video"] == "videos/00335.mp4"
    assert "'videos/00335.mp4', not 'raw_videos/00335.mp4'" in notes(corpus)


def test_the_frames_of_the_time_that_the_list_means_are_cut(media_maker, tmp_path):
    """Frames 51 to 75 at 25 frames/s are the third second, whatever rate the download has."""
    for fps in (25, 30, 50):
        root = tmp_path / f"{fps}"
        write_list(root / "WLASL_v0.3.json", instance("00001", start=51, end=75, url=SITE),
                   instance("00002", start=126, end=-1, url=SITE))  # fmt: skip
        source = media_maker.moving_square(6 * fps, 32, 320)
        media_maker.encode_clip(root / "0UsjUE-TXns.mp4", source, fps=fps)
        corpus = read_source(root, boxes="no")
        prepared, _ = prepare_corpus(corpus, root / "out", Preparation(streams=("frames",), shorter_px=32), workers=0,
                                     quiet=True)  # fmt: skip
        middle, rest = prepared.records
        assert (middle.first_frame, middle.end_frame, rest.first_frame) == (2 * fps, 3 * fps, 5 * fps)
        assert middle.extra["source_fps"] == 25.0
        frames = media.read_frames(root / "out" / middle.streams["frames"], [0, fps - 1])
        assert media_maker.nearest(frames, source[: 4 * fps]) == [2 * fps, 3 * fps - 1]
    with pytest.raises(InputError, match="glosses"):
        read_source(root, glosses="many")


def test_subsets_state_no_rate_which_is_said(tree):
    root = tree("00001.mp4")
    write_subset(root / "nslt_100.json", **{"00001": [0, 26, 50]})
    corpus = read_source(root, already_cut="no")
    assert (corpus.records[0].start_s, corpus.records[0].end_s) == (1.0, 2.0)
    assert "counted at 25 frames/s (the list states none)" in notes(corpus)
    assert "rate=file" in notes(corpus)
    assert read_source(root, already_cut="no", rate="file").records[0].first_frame == 25
