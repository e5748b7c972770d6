"""Class-per-folder corpora and trees read by a pattern."""

from __future__ import annotations

import os
import time

import pytest

from signloom.data.manifest import read_manifest, write_manifest
from signloom.errors import InputError
from signloom.sources.folder import read_folder
from signloom.sources.lsa64 import read_lsa64
from signloom.sources.tree import Pattern, read_tree, suggest_pattern


def test_a_folder_per_sign(tree):
    root = tree("hello/1.mp4", "hello/2.AVI", "thank you/1.webm", "hello/.hidden.mp4", "hello/notes.txt", "._x/1.mp4")
    corpus = read_folder(root)
    assert corpus.labels == ("hello", "thank you")
    assert [r.streams["video"] for r in corpus] == ["hello/1.mp4", "hello/2.AVI", "thank you/1.webm"]
    assert corpus.meta["skipped"] == {"hidden": 2, "not a clip (.txt)": 1}
    assert len({r.id for r in corpus}) == 3
    write_manifest(corpus, root / "out")
    assert read_manifest(root / "out").labels == corpus.labels


def test_clips_elsewhere_are_reported_not_lost(tree):
    corpus = read_folder(tree("a/1.mp4", "b/1.mp4", "stray.mp4", "a/deep/2.mp4"))
    assert len(corpus) == 2
    assert corpus.meta["unmatched"] == {"count": 2, "first": ["a/deep/2.mp4", "stray.mp4"]}


def test_a_deeper_tree_is_an_error_with_a_pattern_that_works(tree):
    root = tree("user01/G01/R01.mp4", "user02/G01/R01.mp4")
    with pytest.raises(InputError, match="not class-per-folder") as caught:
        read_folder(root)
    pattern = str(caught.value).split("--pattern '")[1].rstrip("'")
    assert read_tree(root, pattern).signers == ("user01", "user02")


def test_a_video_and_its_pose_are_one_clip_and_two_videos_of_one_stem_are_two(tree):
    corpus = read_folder(tree("a/1.mp4", "a/1.pose", "a/2.mp4", "a/2.mov"))
    assert [dict(r.streams) for r in corpus] == [
        {"pose": "a/1.pose", "video": "a/1.mp4"},
        {"video": "a/2.mov"},
        {"video": "a/2.mp4"},
    ]
    assert len({r.id for r in corpus}) == 3


def test_broken_links_circular_links_and_folders_named_like_clips_are_listed(tree):
    root = tree("a/1.mp4")
    (root / "a/folder.mp4").mkdir()
    (root / "a/gone.mp4").symlink_to("nowhere.mp4")
    (root / "a/loop.mp4").symlink_to("loop.mp4")
    (root / "a/up").symlink_to("..")
    names = [r.streams["video"] for r in read_folder(root)]
    assert names == ["a/1.mp4", "a/folder.mp4", "a/gone.mp4", "a/loop.mp4"]
    assert read_folder(root).meta["skipped"] == {"folder linked twice": 1}


def test_a_name_that_is_not_utf8_is_passed_over_by_name(tree):
    root = tree("a/1.mp4")
    try:
        with open(os.fsencode(root / "a") + b"/\xff\xfe.mp4", "wb"):
            pass
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    corpus = read_folder(root)
    assert len(corpus) == 1
    assert "name is not valid UTF-8; rename it" in corpus.meta["skipped"]


@pytest.mark.parametrize(
    ("pattern", "path", "values"),
    [
        ("{signer}/{label}/{take}.mp4", "u1/G1/R1.mp4", {"signer": "u1", "label": "G1", "take": "R1"}),
        ("{signer}/{label}/{take}", "u1/G1/R1.webm", {"signer": "u1", "label": "G1", "take": "R1"}),
        ("{signer}\\{label}\\{take}.*", "u1/G1/R.1.mp4", {"signer": "u1", "label": "G1", "take": "R.1"}),
        ("{signer}/{label}/{take}.mp4", "u1/G1/R1.MP4", {"signer": "u1", "label": "G1", "take": "R1"}),
        ("{signer}_{label}_{take}.mp4", "s1_thank_you_3.mp4", {"signer": "s1", "label": "thank_you", "take": "3"}),
        ("{label}_{signer}_{take}.mp4", "thank_you_s1_3.mp4", {"signer": "s1", "label": "thank_you", "take": "3"}),
        ("{label}/{signer}_{take}.mp4", "hi/s1_take_2.mp4", {"signer": "s1", "label": "hi", "take": "take_2"}),
        ("{label}/{signer}_{label}_{take}.mp4", "ho/N7_ho_5.mp4", {"signer": "N7", "label": "ho", "take": "5"}),
        ("{*}/{label}/{camera}-{take}.mp4", "x/hi/left-2.mp4", {"label": "hi", "camera": "left", "take": "2"}),
        ("clips (1)/{label}/{take}.mp4", "clips (1)/a+b/2.mp4", {"label": "a+b", "take": "2"}),
    ],
)
def test_patterns_read_what_one_expects(pattern, path, values):
    assert Pattern.parse(pattern).match(path) == values


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("{signer}/{label}/{take}.mp4", "u1/G1/R1.avi"),
        ("{signer}/{label}/{take}.mp4", "G1/R1.mp4"),
        ("{signer}/{label}/{take}.mp4", "x/u1/G1/R1.mp4"),
        ("{label}/{signer}_{label}_{take}.mp4", "ho/N7_hu_5.mp4"),
    ],
)
def test_patterns_refuse_what_does_not_fit(pattern, path):
    assert Pattern.parse(pattern).match(path) is None


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("videos/", "no placeholder"),
        ("{label}{take}.mp4", "touch"),
        ("{label}/{take.mp4", "brace"),
        ("{my label}/{take}.mp4", "must be a word"),
        ("{label}/{take}.txt", "no suffix of a video"),
        ("**/{label}/{take}.mp4", "not supported"),
    ],
)
def test_bad_patterns_say_what_is_wrong_and_show_a_good_one(pattern, message):
    with pytest.raises(InputError, match=message) as caught:
        Pattern.parse(pattern)
    assert "{signer}/{label}/{take}.mp4" in str(caught.value)
    assert pattern in str(caught.value)


def test_placeholders_fill_the_record_and_the_rest_goes_to_extra(tree):
    root = tree("training/tape1/u1/hi/left_2.mp4", "dev/tape1/u1/hi/left_3.mp4")
    corpus = read_tree(root, "{split}/{source}/{signer}/{label}/{camera}_{take}.mp4")
    first = corpus.records[1]
    assert (first.label, first.signer, first.source, first.split) == ("hi", "u1", "tape1", "train")
    assert dict(first.extra) == {"camera": "left", "take": "2"}
    with pytest.raises(InputError, match="split 'u1' is not known"):
        read_tree(root, "{*}/{*}/{split}/{label}/{take}.mp4")


def test_no_match_names_pattern_count_first_file_and_a_pattern_that_fits(tree):
    root = tree("u1/G1/R1.mp4", "u1/G2/R1.mp4")
    with pytest.raises(
        InputError, match=r"'\{label\}/\{take\}.mp4' fits none of the 2 files .*first is 'u1/G1/R1.mp4'"
    ):
        read_tree(root, "{label}/{take}.mp4")
    (root / "empty").mkdir()
    with pytest.raises(InputError, match=r"no video or \.pose file"):
        read_tree(root / "empty", "{label}/{take}.mp4")


def test_partial_matches_are_reported(tree):
    corpus = read_tree(tree("u1/G1/R1.mp4", "u1/G1/extra/R1.mp4", "G1.mp4"), "{signer}/{label}/{take}.mp4")
    assert len(corpus) == 1
    assert corpus.meta["unmatched"]["count"] == 2
    assert "fits 1 of 3 files" in corpus.meta["notes"][0]


@pytest.mark.parametrize(
    ("files", "pattern"),
    [
        (["user01/G01/R01.mp4"], "{signer}/{label}/{take}.mp4"),
        (["train/hello/1.avi", "test/bye/1.mp4"], "{split}/{label}/{take}.*"),
        (["001_002_003.mp4"], "{label}_{*}_{take}.mp4"),
        (["hello/s1_2.mp4", "bye/s2_3.mp4"], "{label}/{signer}_{take}.mp4"),
        (["train/s1/hello/1.avi", "val/s2/bye/2.avi"], "{split}/{signer}/{label}/{take}.avi"),
    ],
)
def test_suggested_patterns_fit_and_are_sensible(files, pattern):
    assert suggest_pattern(files) == pattern
    assert all(Pattern.parse(pattern).match(f) for f in files)


def test_lsa64_names(tree):
    corpus = read_lsa64(tree("cut/001_002_003.mp4", "cut/064_010_005.mp4", "cut/readme.mp4"))
    assert [(r.label, r.signer, r.extra["take"]) for r in corpus] == [("001", "002", "003"), ("064", "010", "005")]
    assert corpus.meta["published"] == {"all": {"listed": 3200, "present": 2}}
    assert corpus.meta["unmatched"]["count"] == 1
    (corpus.root / "nothing").mkdir()
    with pytest.raises(InputError, match="001_002_003"):
        read_lsa64(corpus.root / "nothing")


def test_fifty_thousand_paths_are_matched_in_seconds():
    pattern = Pattern.parse("{signer}/{label}_{camera}_{take}.mp4")
    began = time.monotonic()
    assert all(pattern.match(f"u{i % 99}/thank_you_{i % 7}_{i}.mp4") for i in range(50_000))
    assert time.monotonic() - began < 5


@pytest.mark.real
def test_the_real_tree_is_read_by_its_pattern(real_data):
    corpus = read_tree(real_data / "mlr511_arsl", "{signer}/{label}/{take}.mp4")
    assert (len(corpus), len(corpus.labels), len(corpus.signers)) == (900, 10, 9)
