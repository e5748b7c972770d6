"""Folders and tables that could mean several things: a question, or a reading that is said and can be undone."""

from __future__ import annotations

import pytest

from signloom.errors import InputError
from signloom.sources import read_source
from signloom.sources.csv_table import read_csv
from signloom.sources.tables import read_table


@pytest.mark.parametrize(
    ("paths", "why", "pattern"),
    [
        (["videos/1.mp4", "videos/2.mp4"], "'videos' is hardly a sign", "--pattern"),
        (["videos/1.mp4", "poses/1.pose"], "'poses', 'videos' is hardly a sign", "--pattern"),
        (["train/a_1.mp4", "val/b_1.mp4", "test/a_2.mp4"], "look like splits", "{split}/"),
        (["train/a.mp4", "test/b.mp4", "extra/c.mp4"], "look like splits", "--pattern"),
        (["user01/hi.mp4", "user02/hi.mp4"], "look like signers", "{signer}/"),
        (["s1/hi.pose", "s2/hi.pose"], "look like signers", "{signer}/"),
        (["hi/user01/1.pose", "bye/user02/1.pose"], "look like signers", "--pattern"),
        (["2024-05-01/hi_1.mp4", "2024-05-02/bye_1.mp4"], "look like sessions", "{source}/{label}_{take}"),
        (["session1/hi_1.mp4", "Session 2/bye_1.mp4"], "look like sessions", "{source}/"),
        (["cam1/hi_1.mp4", "cam2/hi_1.mp4"], "look like cameras", "{camera}/"),
        (["train/a.csv.gz", "test/b.csv.gz"], "look like splits", "--pattern"),
    ],
)
def test_folders_that_are_hardly_signs_are_a_question(tree, paths, why, pattern):
    root = tree(*(f"data/{p}" for p in paths)) / "data"
    with pytest.raises(InputError, match=rf"are the folders the signs\? .*{why}.*--source") as error:
        read_source(root)
    assert pattern in str(error.value)


def test_the_question_can_be_answered(tree):
    root = tree("videos/1.mp4", "videos/2.mp4", "labels.csv")
    with pytest.raises(InputError, match=r"give the table that tells of the clips: labels\.csv"):
        read_source(root)
    assert read_source(root, source="folder").labels == ("videos",)
    assert read_source(root, pattern="videos/{label}.mp4").labels == ("1", "2")


def test_ordinary_folders_of_signs_are_none(tree):
    for names in (
        ["hello", "data"],
        ["train", "bus"],
        ["s1", "hello"],
        ["test", "exam"],
        ["DAY", "WEEK"],
        ["day1", "day"],
    ):
        root = tree(*(f"{'-'.join(names)}/{n}/1.mp4" for n in names)) / "-".join(names)
        assert read_source(root).labels == tuple(sorted(names))


# --- tables -------------------------------------------------------------------------------------------------------


def table(tree, text, *files):
    root = tree(*(files or ("a.mp4", "b.mp4", "my clip.mp4")))
    (root / "list.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return root / "list.csv"


def notes(corpus):
    return " | ".join(corpus.meta.get("notes", ()))


def test_numbers_are_no_split_and_a_set_need_not_be_one(tree):
    corpus = read_csv(table(tree, "file,label,fold\na.mp4,A,0\nb.mp4,B,1\n"))
    assert [(r.split, r.extra["fold"]) for r in corpus] == [(None, "0"), (None, "1")]
    assert "column 'fold' is not read as split: it holds '0'" in notes(corpus)
    path = table(tree, "file,label,set\na.mp4,A,set1\nb.mp4,B,set2\n")
    assert [r.split for r in read_csv(path)] == [None, None]
    assert [r.source for r in read_csv(path, columns="source=set")] == ["set1", "set2"]
    with pytest.raises(InputError, match="line 2: split 'set1' is not known"):
        read_csv(path, columns="split=set")


def test_the_next_column_that_fits_is_taken(tree):
    corpus = read_csv(table(tree, "file,label,split,subset\na.mp4,A,0,train\nb.mp4,B,1,test\n"))
    assert [r.split for r in corpus] == ["train", "test"]


def test_every_guess_can_be_undone(tree):
    path = table(tree, "file,label,signer,split,fps\na.mp4,A,s1,train,25\nb.mp4,B,s2,test,25\n")
    corpus = read_csv(path, columns="signer=,split=,fps=,label=")
    assert {(r.label, r.signer, r.split, r.fps) for r in corpus} == {(None, None, None, None)}
    assert corpus.records[0].extra == {"label": "A", "signer": "s1", "split": "train", "fps": "25"}
    with pytest.raises(InputError, match="each clip needs a file"):
        read_csv(path, columns="file=")


@pytest.mark.parametrize("line", [b"sep=;\r\n", b'"sep=;"\r\n', b"\xef\xbb\xbfSEP=;\n"])
def test_a_spreadsheets_line_tells_its_delimiter(tree, line):
    path = table(tree, line + b"file;label\r\na.mp4;x,y\r\nb.mp4;z,w\r\n")
    assert [r.label for r in read_csv(path)] == ["x,y", "z,w"]
    path = table(tree, line + b"file;label\r\na.mp4;\r\nb.mp4\r\nb.mp4;;;x\r\n")
    with pytest.raises(InputError, match="line 4 has 1 cells"):
        read_csv(path)


def test_labels_that_a_table_program_takes_for_nothing_stay_labels(tree):
    corpus = read_csv(table(tree, ",file,label\n0,a.mp4,NULL\n1,b.mp4,None\n"))
    assert [r.label for r in corpus] == ["NULL", "None"]


def test_numbers_beside_a_label_are_not_passed_over(tree):
    """Without a header, two columns of numbers may be a range; unique ones were taken for row numbers."""
    with pytest.raises(InputError, match="cannot tell which column is the label"):
        read_csv(table(tree, "a.mp4,hi,30,60\nb.mp4,bye,95,120\n"))


def test_a_header_row_of_unknown_words_over_files_is_no_clip(tree):
    corpus = read_csv(table(tree, "where;what\na.mp4;hi\nb.mp4;bye\n"), columns="label=what")
    assert [r.label for r in corpus] == ["hi", "bye"]


def test_a_header_in_the_middle_is_said(tree):
    path = table(tree, "7,a.mp4,hi\n,file,label\n5,b.mp4,bye\n")
    assert "line 2 is taken for the header (header=no: it is a clip)" in notes(read_csv(path))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.mp4 A\nmy clip.mp4 B\n", [("a.mp4", "A"), ("my clip.mp4", "B")]),
        ("a.mp4 thank you\nb.mp4 hi\nmy clip.mp4 good bye\n",
         [("a.mp4", "thank you"), ("b.mp4", "hi"), ("my clip.mp4", "good bye")]),
        ("path label\nmy clip.mp4 3\n", [("my clip.mp4", "3")]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("options", [{}, {"delimiter": "space"}])
def test_lists_of_path_and_label_with_a_space_between(tree, text, expected, options):
    corpus = read_csv(table(tree, text), **options)
    assert [(r.streams["video"], r.label) for r in corpus] == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.mp4 b.mp4 A\n", "line 1 names several files"),
        ("a.mp4 A train\nb.mp4 B test\n", "one label, or several columns"),
        ("a.mp4 A 3\nb.mp4 B\n", "one label, or several columns"),
        ("my clip HELLO\nother clip BYE\n", "none of the 2 listed files is below"),
    ],
)
def test_doubtful_ones_are_refused(tree, text, message):
    with pytest.raises(InputError, match=message):
        read_csv(table(tree, text))


def test_two_delimiters_that_both_fit_are_a_question(tree):
    path = table(tree, "HELLO;1,5;2,5\nBYE;3,5;4,5\n")
    with pytest.raises(InputError, match=r"',' and ';' both cut its lines evenly.*--option delimiter=,"):
        read_csv(path)
    assert read_table(path, delimiter="semicolon").rows[0] == ("HELLO", "1,5", "2,5")
    assert read_table(table(tree, "a.mp4;x,y,z\nb.mp4;u,v,w\n")).rows[0] == ("a.mp4", "x,y,z")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-32"])
def test_text_that_only_seems_to_be_utf_8(tree, encoding):
    with pytest.raises(InputError, match=r"save it as UTF-8"):
        read_csv(table(tree, "file,label\na.mp4,A\n".encode(encoding)))


def test_digits_of_other_kinds_are_no_numbers(tree):
    with pytest.raises(InputError, match="no column '²'"):
        read_csv(table(tree, "file,label\na.mp4,A\n"), columns="label=²")


def test_rows_without_a_label_are_told_and_so_is_what_may_stand_for_none(tree):
    corpus = read_csv(table(tree, "file,label,signer\na.mp4,,s1\nb.mp4,nan,None\n"))
    assert [(r.label, r.signer) for r in corpus] == [(None, "s1"), ("nan", "None")]
    assert "1 of 2 rows have no label" in notes(corpus)
    assert "1 rows have the label 'nan': if that stands for none" in notes(corpus)
    assert "1 rows have the signer 'None'" in notes(corpus)
    assert "rows have" not in notes(read_csv(table(tree, "file,label\na.mp4,A\nb.mp4,B\n")))


def test_numbers_of_any_length_are_names_too(tree):
    long = "1" * 5000
    path = table(tree, f"file,label\n{long},A\nb.mp4,B\n")
    assert [r.label for r in read_csv(path)] == ["B"]
    assert read_csv(table(tree, f"{long},a.mp4,A\n{long}2,b.mp4,B\n"), columns="file=1,label=2").labels == ("A", "B")
