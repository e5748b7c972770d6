"""Answers written as they come, and gone on with."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from signloom.errors import InputError
from signloom.pipelines.answers import write_answers


class Model:
    """Names a file by what it holds; counts what it was asked."""

    def __init__(self, stop_after=None):
        self.asked, self.stop_after = [], stop_after

    def __call__(self, paths):
        if self.stop_after is not None and len(self.asked) >= self.stop_after:
            raise KeyboardInterrupt
        self.asked += [p.name for p in paths]
        return [self.row(p) for p in paths]

    def row(self, path: Path):
        text = path.read_text()
        if text == "bad":
            return {"file": str(path), "error": 'it is, "bad"\nindeed', "reason": "truncated"}
        top = [[text, 0.75], ["other", 0.25]]
        return {
            "file": str(path),
            "label": text,
            "confidence": 0.75,
            "unknown": 0.1,
            "none_of_these": False,
            "top": top,
        }


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{k},\u2028{k}.mp4" for k in range(7)]
    for k, path in enumerate(paths):
        path.write_text(f"sign {k}")
    return paths


def write(files, out, model, **more):
    return write_answers(files, out, model, **{"settings": {"model": "m"}, "top": 2, "block": 2, **more})


def rows_of(out: Path):
    if out.suffix == ".csv":
        return list(csv.DictReader(out.open(newline="", encoding="utf-8")))
    return [json.loads(line) for line in out.read_text(encoding="utf-8").split("\n") if line]


@pytest.fixture(params=["answers.csv", "answers.jsonl"])
def out(request, tmp_path):
    return tmp_path / "out" / request.param


def test_a_row_for_each_file(files, out):
    found = write(files, out, Model())
    assert [row["label"] for row in rows_of(out)] == [f"sign {k}" for k in range(7)]
    assert [row["file"] for row in rows_of(out)] == [str(f) for f in files] == [row["file"] for row in found]


def test_a_stopped_run_goes_on_where_it_was(files, out):
    with pytest.raises(KeyboardInterrupt):
        write(files, out, Model(stop_after=4))
    assert len(rows_of(out)) == 4
    again = Model()
    write(files, out, again)
    assert again.asked == [f.name for f in files[4:]]
    assert len(rows_of(out)) == 7
    done = Model()
    assert [row["label"] for row in write(files, out, done)] == [f"sign {k}" for k in range(7)]
    assert not done.asked


def test_a_line_that_a_kill_tore_is_dropped(files, out):
    write(files[:4], out, Model())
    content = out.read_bytes()
    out.write_bytes(content[:-9])
    again = Model()
    write(files[:4], out, again)
    assert again.asked == [files[3].name]
    assert out.read_bytes() == content


def test_changed_files_and_failed_ones_are_done_again(files, out):
    files[1].write_text("bad")
    assert "error" in write(files, out, Model())[1]
    files[5].write_text("changed now")
    again = Model()
    write(files, out, again)
    assert again.asked == [files[1].name, files[5].name]
    assert sorted(row["label"] for row in rows_of(out) if row.get("label")) == sorted(
        ["sign 0", "sign 2", "sign 3", "sign 4", "changed now", "sign 6"]
    )
    assert len(rows_of(out)) == 7


def test_files_answered_earlier_stay(files, out):
    write(files[:3], out, Model())
    write(files[3:], out, Model())
    assert len(rows_of(out)) == 7


def test_another_model_is_refused(files, out):
    write(files, out, Model())
    before = out.read_bytes()
    with pytest.raises(InputError, match="answers of another model"):
        write(files, out, Model(), settings={"model": "other"})
    assert out.read_bytes() == before


def test_somebody_elses_file_is_refused(files, out):
    out.parent.mkdir()
    out.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="something else"):
        write(files, out, Model())
    assert out.read_text() == "a,b\n1,2\n"


def test_other_columns_are_refused(files, tmp_path):
    write(files, tmp_path / "a.csv", Model())
    with pytest.raises(InputError, match="same --top"):
        write(files, tmp_path / "a.csv", Model(), top=3)


def test_an_ending_that_says_no_format(files, tmp_path):
    with pytest.raises(InputError, match=r"expected one of \.csv, \.jsonl"):
        write(files, tmp_path / "a.txt", Model())
