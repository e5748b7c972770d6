from __future__ import annotations

import json

import pytest

from signloom.data.manifest import Manifest, Record, clip_id, read_manifest, write_manifest
from signloom.errors import InputError, MissingStreamError
from signloom.runtime.atomic import atomic_write


def corpus(root):
    return Manifest(
        (
            Record("a", "HOUSE", "s1", streams={"video": "v/a.mp4"}, box_px=(1.0, 2.0, 30.0, 40.0), extra={"take": 1}),
            Record("b", "شكرا", "s2", split="test", parent="a", first_frame=3, end_frame=9),
        ),
        root,
        {"name": "toy", "streams": {"pose": {"extractor": "x"}}},
    )


def test_a_corpus_reads_back_as_it_was_written(tmp_path):
    write_manifest(corpus(tmp_path), tmp_path)
    back = read_manifest(tmp_path)
    assert back.records == corpus(tmp_path).records
    assert back.meta == {"name": "toy", "streams": {"pose": {"extractor": "x"}}}


def test_paths_below_the_folder_are_relative_so_a_corpus_can_be_moved(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    outside = tmp_path / "raw" / "a.mp4"
    record = Record("a", streams={"pose": str(old / "pose" / "a.pose"), "video": str(outside)})
    write_manifest(Manifest((record,), old), old)
    old.rename(new)
    moved = read_manifest(new)
    assert moved.records[0].path("pose", moved.root, "a test") == new / "pose" / "a.pose"
    assert moved.records[0].path("video", moved.root, "a test") == outside


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("not json\n", "not a signloom manifest"),
        ('{"format": "other"}\n', "not a signloom manifest"),
        ('{"format": "signloom-manifest", "version": 99}\n', "version 99"),
        ('{"format": "signloom-manifest", "version": 1}\n{"id": "a", "colour": 1}\n', "line 2.*colour"),
        ('{"format": "signloom-manifest", "version": 1}\n{"id": "a"}\n{"id": "a"}\n', "line 3.*twice"),
    ],
)
def test_a_broken_manifest_is_named_with_its_line(tmp_path, lines, says):
    (tmp_path / "manifest.jsonl").write_text(lines)
    with pytest.raises(InputError, match=says):
        read_manifest(tmp_path)


def test_no_manifest_means_an_unfinished_corpus_and_the_error_says_so(tmp_path):
    with pytest.raises(InputError, match="interrupted"):
        read_manifest(tmp_path)


def test_a_missing_stream_is_named_with_the_command_that_makes_it(tmp_path):
    with pytest.raises(
        MissingStreamError, match=r"clip 'a': the test needs stream 'pose'; it has video.*--streams pose"
    ):
        corpus(tmp_path).records[0].path("pose", tmp_path, "the test")


def test_the_corpus_hash_ignores_order_and_paths_but_not_labels(tmp_path):
    whole = corpus(tmp_path)
    turned = Manifest(whole.records[::-1], tmp_path / "elsewhere")
    assert turned.corpus_hash() == whole.corpus_hash()
    relabelled = Manifest((whole.records[0], Record("b", "other", "s2")), tmp_path)
    assert relabelled.corpus_hash() != whole.corpus_hash()


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path):
    file = tmp_path / "x.json"
    file.write_text("old")
    with pytest.raises(RuntimeError), atomic_write(file) as tmp:  # noqa: PT012
        tmp.write_text("half")
        raise RuntimeError
    assert file.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_clip_ids_are_readable_safe_and_never_shared():
    assert clip_id(["user01", "G01", "R03"]) == "user01_G01_R03"
    assert clip_id(["a b"]) != clip_id(["a-b"])
    assert clip_id(["a_b", "c"]) != clip_id(["a", "b_c"])
    assert "/" not in clip_id(["../../etc", "x"])
    assert len(clip_id(["x" * 500]).encode()) < 200
    assert clip_id(["مرحبا"]).startswith("مرحبا")


def test_a_manifest_of_fifty_thousand_clips_stays_quick_to_use(tmp_path):
    many = Manifest(tuple(Record(f"c{i}", f"g{i % 2000}", f"s{i % 50}") for i in range(50_000)), tmp_path)
    file = write_manifest(many, tmp_path)
    assert file.stat().st_size < 6_000_000
    back = read_manifest(tmp_path)
    assert len(back) == 50_000
    assert len(back.labels) == 2000
    assert json.loads(file.read_text().splitlines()[1]) == {"id": "c0", "label": "g0", "signer": "s0"}
