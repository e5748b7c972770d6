"""The lookup: every source loads, and ``auto`` tells them apart or says what it needs."""

from __future__ import annotations

import json

import pytest

from signloom.data.manifest import write_manifest
from signloom.errors import InputError
from signloom.sources import SOURCES, describe_sources, parse_options, read_source


@pytest.mark.parametrize("name", list(SOURCES))
def test_every_source_loads_and_is_described(name):
    assert callable(SOURCES[name].load())
    assert SOURCES[name].summary in describe_sources()


def test_auto_reads_each_kind_as_what_it_is(tree):
    cases = {
        "folder": ["hi/1.mp4", "bye/1.mp4"],
        "lsa64": ["001_002_003.mp4", "001_002_004.mp4"],
        "pose": ["sgg/a.pose", "index.csv"],
        "dgs_landmarks": ["Bier/a.csv.gz"],
        "wlasl": ["nslt_100.json", "videos/00001.mp4"],
        "chalearn": ["train.txt", "train/001/M_00001.avi"],
        "autsl": ["train_labels.csv", "train/signer0_sample1_color.mp4"],
    }
    contents = {
        "pose/index.csv": "path,glosses\nsgg/a.pose,A\n",
        "wlasl/nslt_100.json": json.dumps({"00001": {"subset": "train", "action": [0, 1, 9]}}),
        "chalearn/train.txt": "train/001/M_00001.avi train/001/K_00001.avi 26\n",
        "autsl/train_labels.csv": "signer0_sample1,41\n",
    }
    root = tree(*(f"{name}/{p}" for name, paths in cases.items() for p in paths))
    for path, text in contents.items():
        (root / path).write_text(text)
    for name in cases:
        corpus = read_source(root / name)
        assert corpus.meta["source"] == name
        assert f"read as '{name}'" in corpus.meta["notes"][0]


def test_auto_takes_tables_json_lists_and_prepared_corpora(tree):
    root = tree("a.mp4", "b.mp4")
    (root / "list.csv").write_text("video,label\na.mp4,hi\nb.mp4,bye\n")
    corpus = read_source(root / "list.csv")
    assert corpus.labels == ("bye", "hi")
    write_manifest(corpus, root / "corpus")
    assert read_source(root / "corpus").labels == ("bye", "hi")
    assert read_source(root / "corpus" / "manifest.jsonl").labels == ("bye", "hi")
    (root / "nslt_1.json").write_text(json.dumps({"a": {"subset": "train", "action": [0, 1, 9]}}))
    assert read_source(root / "nslt_1.json").labels == ("0000",)


def test_auto_gives_up_with_a_pattern_drawn_from_the_tree(tree):
    root = tree("user01/G01/R01.mp4", "user02/G02/R01.mp4")
    with pytest.raises(InputError, match=r"--pattern '\{signer\}/\{label\}/\{take\}.mp4'"):
        read_source(root)
    assert read_source(root, pattern="{signer}/{label}/{take}.mp4").meta["source"] == "tree"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"source": "wlsal"}, "'wlsal' is not known; wanted auto or one of folder"),
        ({"source": "folder", "depth": "yes"}, "source 'folder' has no option 'depth'; it has none"),
        ({"source": "csv", "colums": "x"}, "no option 'colums'; it has columns, folder"),
        ({"source": "tree"}, "needs --pattern"),
        ({"source": "csv", "pattern": "{label}/{take}"}, "--pattern goes with source tree"),
    ],
)
def test_wrong_calls_say_what_was_wanted(tree, call, message):
    with pytest.raises(InputError, match=message):
        read_source(tree("a/1.mp4"), **call)


def test_what_is_not_there_or_not_readable(tree):
    root = tree("readme.md", "empty/x.txt")
    with pytest.raises(InputError, match="does not exist"):
        read_source(root / "nope")
    with pytest.raises(InputError, match=r"is a \.md"):
        read_source(root / "readme.md")
    with pytest.raises(InputError, match=r"no video or \.pose file"):
        read_source(root / "empty")


def test_options_from_the_command_line():
    assert parse_options(["columns=label=gloss", "keep-missing=yes"]) == {
        "columns": "label=gloss",
        "keep_missing": "yes",
    }
    with pytest.raises(InputError, match="'oops' is not NAME=VALUE"):
        parse_options(["oops"])
