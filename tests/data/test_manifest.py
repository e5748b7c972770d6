from __future__ import annotations

import contextlib
import json
import os
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signloom.data.failures import read_failures, write_failures
from signloom.data.manifest import Manifest, Record, clip_id, read_manifest, write_manifest
from signloom.data.manifest_fields import CLIP, HEADER
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


# --- what comes from anywhere ---

ODD_TEXT = st.text(
    st.one_of(st.sampled_from("a/.\\\n\x1b\u0085\u2028\u2029é"), st.characters(exclude_categories=["Cs"]))
)
NUMBER = st.floats(allow_nan=True) | st.integers(-3, 10) | st.sampled_from([10**400, 2**60, True, -1])
JSON = st.recursive(
    st.none() | st.booleans() | NUMBER | st.text(st.characters(exclude_categories=()), max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
HEAD = {"format": "signloom-manifest", "version": 1}


def write_rows(folder, *rows):
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


ROW = st.dictionaries(st.sampled_from(sorted(CLIP)), JSON, max_size=5)


@given(row=ROW, header=st.dictionaries(st.sampled_from(sorted(HEADER)), JSON, max_size=2))
def test_whatever_stands_in_a_field_a_manifest_is_read_or_refused(row, header, tmp_path_factory):
    folder = write_rows(tmp_path_factory.mktemp("any"), {**HEAD, **header}, {"id": "a", **row})
    try:
        corpus = read_manifest(folder)
    except InputError as error:
        assert "manifest.jsonl' line " in str(error)  # noqa: PT017 - either will do
        return
    record = corpus.records[0]
    # What was let in has the types that all else relies on.
    assert record.id
    assert all(isinstance(record.path(s, folder, "a test"), Path) for s in record.streams)
    assert record.first_frame >= 0
    assert record.fps is None or 0 < record.fps < 1e300
    corpus.corpus_hash()
    write_manifest(corpus, folder / "again")
    again = read_manifest(folder / "again")
    assert [(r.id, r.label, r.box_px) for r in again] == [(record.id, record.label, record.box_px)]


@given(line=st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_whatever_a_line_is_a_manifest_is_read_or_refused(line, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bytes")
    (folder / "manifest.jsonl").write_bytes(json.dumps(HEAD).encode() + b"\n" + line)
    with contextlib.suppress(InputError):
        assert len(read_manifest(folder)) == 0


@given(label=ODD_TEXT, name=ODD_TEXT.filter(lambda text: "\0" not in text), note=ODD_TEXT)
def test_a_manifest_that_signloom_wrote_reads_back_whatever_things_are_called(label, name, note, tmp_path_factory):
    """U+2028 in a folder's name used to end the line in its middle."""
    folder = tmp_path_factory.mktemp("odd names")
    record = Record("a", label, label, streams={"video": f"/videos/{name}x.mp4"}, extra={"note": note})
    write_manifest(Manifest((record,), folder, {"name": name, "notes": [note]}), folder)
    back = read_manifest(folder)
    assert (back.records[0].label, back.records[0].signer, back.records[0].extra) == (label, label, {"note": note})
    assert Path(back.records[0].streams["video"]) == Path(os.path.normpath(f"/videos/{name}x.mp4"))
    assert back.meta == {"name": name, "notes": [note]}
    assert len((folder / "manifest.jsonl").read_text().splitlines()) == 2  # for every reader's idea of a line
    write_failures(folder, [{"id": "a", "reason": "x", "message": note}])
    assert read_failures(folder) == [{"id": "a", "reason": "x", "message": note}]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"id": "a", "label": ["HOUSE"]}, r"line 2: 'label': got \['HOUSE'\], expected text"),
        ([1, 2], r"line 2: got \[1, 2\], expected an object"),
        ({"label": "x"}, "without 'id'"),
        ({"id": ""}, "'id': got '', expected text"),
        ({"id": "a\u2028b"}, r"'id': got 'a\\u2028b', expected text without control"),
        ({"id": "a", "first_frame": -1}, "'first_frame': got -1, expected a whole number from 0 on"),
        ({"id": "a", "first_frame": 5, "end_frame": 5}, "nothing lies between"),
        ({"id": "a", "start_s": 2.0, "end_s": 1.0}, "nothing lies between"),
        ({"id": "a", "first_frame": True}, "'first_frame': got True"),
        ({"id": "a", "fps": float("nan")}, "'fps': got nan, expected a number above 0"),
        ({"id": "a", "fps": "25"}, "'fps': got '25'"),
        ({"id": "a", "box_px": [3, 0, 1, 5]}, "x0 < x1"),
        ({"id": "a", "streams": {"video": None}}, "'video': got None, expected the path"),
        ({"id": "a", "streams": "a.mp4"}, "'streams': got 'a.mp4', expected an object"),
        ({"id": "a", "split": "tset"}, "'split': got 'tset', expected one of train, val, test"),
        ({"id": "a", "extra": {"crop": [[1]]}}, "3 rows of 3 numbers"),
        ({"id": "a", "label": "\ud800"}, "'label': got"),
    ],
)  # fmt: skip
def test_a_field_that_holds_something_else_is_named_with_what_was_wanted(tmp_path, row, says):
    write_rows(tmp_path, HEAD, row)
    with pytest.raises(InputError, match=says):
        read_manifest(tmp_path)


def test_what_an_editor_makes_of_a_manifest_is_read(tmp_path):
    (tmp_path / "manifest.jsonl").write_bytes(b"\xef\xbb\xbf" + json.dumps(HEAD).encode() + b'\r\n{"id": "a"}\r\n')
    assert [r.id for r in read_manifest(tmp_path)] == ["a"]


def test_every_field_of_a_clip_has_its_check():
    assert set(CLIP) == {f.name for f in fields(Record)}


def test_an_id_of_any_bytes_is_made_of_a_name_that_is_no_utf8():
    assert clip_id(["a\udcff"]) != clip_id(["a\udcfe"])
    assert clip_id(["a\udcff"]).encode()


def test_a_manifest_cut_at_the_end_of_a_line_is_refused(tmp_path):
    file = write_manifest(Manifest(tuple(Record(name) for name in "abc"), tmp_path, {"name": "x"}), tmp_path)
    whole = file.read_bytes()
    lines = whole.splitlines(keepends=True)
    assert json.loads(lines[0])["clips"] == 3
    for cut in range(1, len(lines)):
        file.write_bytes(b"".join(lines[:cut]))
        said = rf'has {cut - 1} clips, its first line says 3.*write "clips": {cut - 1} in the first line'
        with pytest.raises(InputError, match=said):
            read_manifest(tmp_path)
    file.write_bytes(whole.replace(b'"clips": 3', b'"clips": 2').replace(lines[-1], b""))  # as the message says
    assert [r.id for r in read_manifest(tmp_path)] == ["a", "b"]
    file.write_bytes(whole.replace(b'"clips": 3, ', b"").replace(lines[-1], b""))  # as old ones are
    assert len(read_manifest(tmp_path)) == 2
    for wrong in ("2.5", "null", "true", "-1", '"3"'):
        file.write_bytes(whole.replace(b'"clips": 3', f'"clips": {wrong}'.encode()))
        with pytest.raises(InputError, match=r"line 1: 'clips': got .* expected a whole number"):
            read_manifest(tmp_path)


def test_the_count_of_clips_is_of_the_file_and_not_of_the_corpus(tmp_path):
    write_manifest(Manifest((Record("a"), Record("b")), tmp_path, {"name": "x"}), tmp_path)
    corpus = read_manifest(tmp_path)
    assert corpus.meta == {"name": "x"}
    write_manifest(corpus.where(lambda r: r.id == "a"), tmp_path / "less")
    assert len(read_manifest(tmp_path / "less")) == 1
