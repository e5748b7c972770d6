"""Files that a list spells otherwise than the file system: another Unicode form, numbers without their zeros."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import replace

import pytest

from signloom.data.manifest import Manifest, Record
from signloom.data.splits import assign_split
from signloom.pipelines.doctor import diagnose
from signloom.sources import read_source
from signloom.sources.csv_table import read_csv
from signloom.sources.listing import collect_files
from signloom.sources.mhad import read_mhad
from signloom.sources.pairs import list_pairs
from signloom.sources.spelling import Finder


def apart(text: str) -> str:
    """As macOS writes names."""
    return unicodedata.normalize("NFD", text)


def notes(corpus):
    return " | ".join(corpus.meta.get("notes", ()))


FORMS = [(str, apart), (apart, str)]


@pytest.mark.parametrize(("listed", "there"), FORMS)
def test_a_table_finds_its_files_in_either_form(tree, listed, there):
    root = tree(there("señas/café/gość.mp4"), "plain.mp4")
    (root / "list.csv").write_text(f"video,label,signer\n{listed('señas/café/gość.mp4')},{listed('café')},s\nplain.mp4,"
                                   f"{there('café')},s\n")  # fmt: skip
    corpus = read_csv(root / "list.csv")
    assert corpus.records[0].streams["video"] == there("señas/café/gość.mp4")
    assert (root / corpus.records[0].streams["video"]).exists()
    assert corpus.labels == ("café",)  # one label, however it is written
    assert "1 names are written in another Unicode form" in notes(corpus)


@pytest.mark.parametrize(("listed", "there"), FORMS)
def test_every_reader_that_has_a_list_does(tree, listed, there):
    root = tree(
        there("poses/żółw.pose"),
        there("chalearn/train/żółw/M_1.avi"),
        there("mhad/video/żółw_s1_t1_color.avi"),
        there("wlasl/videos/żółw.mp4"),
        there("tree/s1/żółw_1.mp4"),
    )
    (root / "poses" / "index.csv").write_text(f"path,glosses\n{listed('żółw.pose')},A\n")
    (root / "chalearn" / "train.txt").write_text(f"{listed('train/żółw/M_1.avi')} {listed('train/żółw/K_1.avi')} 26\n")
    for split, name in (("train", "żółw_s1_t1_color.npy"), ("test", "x_s2_t1_color.npy")):
        (root / "mhad" / f"{split}.csv").write_text(f"0,{listed(name)},a1\n")
    (root / "wlasl" / "nslt_1.json").write_text(json.dumps({listed("żółw"): {"subset": "train", "action": [0, 1, -1]}}))
    assert len(read_source(root / "poses")) == 1
    assert "unmatched" not in read_source(root / "poses").meta
    assert len(read_source(root / "chalearn")) == 1
    assert len(read_mhad(root / "mhad")) == 1
    assert len(read_source(root / "wlasl")) == 1
    assert read_source(root / "tree", pattern=listed("{signer}/żółw_{take}.mp4")).records[0].signer == "s1"


@pytest.mark.parametrize(("listed", "there"), FORMS)
def test_so_do_splits_pairs_predict_and_published_lists(tree, tmp_path, monkeypatch, listed, there):
    root = tree(there("é.mp4"), "b.mp4", there("rysownik/1.png"), there("zdjęcie/1.png"))
    records = (
        Record("x", "A", "s", streams={"video": there("é.mp4")}),
        Record("y", "B", "t", streams={"video": "b.mp4"}),
    )
    manifest = Manifest(records, root)
    split = assign_split(manifest, "given", lists={"train": [listed("é.mp4")], "test": ["b"]})
    assert [r.split for r in split] == ["train", "test"]
    pairs = list_pairs(root, layout="folders", skeleton="rysownik", photo=listed("zdjęcie"))
    assert len(pairs.places[0]) == 1
    monkeypatch.chdir(root)
    assert [p.name for p in collect_files([listed("é.mp4")])] == [there("é.mp4")]
    (root / "published.txt").write_text(f"{listed('é.mp4')}\nb.mp4\n")
    found = diagnose(root, pattern="{take}.mp4", published=root / "published.txt", workers=0, quiet=True)
    assert found.published["all"]["present"] == 2


def test_two_names_that_look_the_same_are_no_guess(tree):
    root = tree("e\u0301\u0323.mp4", "e\u0323\u0301.mp4")  # two orders of the same two marks
    assert Finder(root).find(unicodedata.normalize("NFC", "e\u0301\u0323.mp4")) is None
    assert Finder(root).find("e\u0301\u0323.mp4") == "e\u0301\u0323.mp4"


def test_a_table_of_numbers_finds_the_zeros_they_lost(tree):
    root = tree("007.mp4", "012.mp4", "12.mp4", "v/0099.mp4")
    (root / "list.csv").write_text("video,label\n7,a\n12,b\nv/99,c\n")
    corpus = read_csv(root / "list.csv", columns="file=video,label=label", suffix=".mp4")
    assert [r.streams["video"] for r in corpus] == ["007.mp4", "12.mp4", "v/0099.mp4"]
    assert "'7.mp4' is taken for '007.mp4'. --option spelling=exact" in notes(corpus)
    exact = read_csv(root / "list.csv", columns="file=video,label=label", suffix=".mp4", spelling="exact")
    assert [r.streams["video"] for r in exact] == ["12.mp4"]


def test_a_file_that_the_table_names_itself_is_no_other_row_s(tree):
    root = tree("007.mp4")
    (root / "list.csv").write_text("video,label\n7.mp4,a\n007.mp4,b\n")
    corpus = read_csv(root / "list.csv")
    assert [(r.streams["video"], r.label) for r in corpus] == [("007.mp4", "b")]
    assert corpus.meta["missing"]["first"] == ["7.mp4"]


def test_labels_and_signers_that_lost_zeros_are_named(tree):
    root = tree("a.mp4", "b.mp4")
    (root / "list.csv").write_text("video,label,signer\na.mp4,007,1\nb.mp4,7,01\n")
    found = diagnose(root / "list.csv", workers=0, quiet=True)
    assert "labels that differ in leading zeros only: '007', '7'" in found.notes
    assert "signers that differ in leading zeros only: '01', '1'" in found.notes


def test_what_lies_outside_the_folder_stays_a_path(tree):
    root = tree("list/x.csv", "clips/a.mp4")
    (root / "list" / "x.csv").write_text(f"video,label\n../clips/a.mp4,A\n{root}/clips/a.mp4,B\n../../nope/é.mp4,C\n")
    corpus = read_csv(root / "list" / "x.csv")
    assert [r.label for r in corpus] == ["A", "B"]
    assert all("/" not in r.id for r in corpus)
    assert replace(corpus.records[0]).streams["video"] == "../clips/a.mp4"
