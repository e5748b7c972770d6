"""Published datasets: WLASL, ChaLearn, AUTSL, and the video-and-sensor split lists."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from signloom.errors import InputError
from signloom.sources import autsl, chalearn, mhad, wlasl
from signloom.sources.autsl import read_autsl
from signloom.sources.chalearn import read_chalearn
from signloom.sources.mhad import read_mhad
from signloom.sources.wlasl import read_wlasl


def by_split(corpus):
    return dict(Counter(r.split for r in corpus))


# --- WLASL --------------------------------------------------------------------------------------------------------


def instance(video_id, url, start=1, end=-1, split="train", **more):
    return {
        "bbox": [10, 20, 110, 220],
        "fps": 25,
        "frame_start": start,
        "frame_end": end,
        "instance_id": 0,
        "signer_id": 7,
        "source": "site",
        "split": split,
        "url": url,
        "variation_id": 0,
        "video_id": video_id,
        **more,
    }


TUBE = "https://www.youtube.com/watch?v=AbCdEfGhI_-"


@pytest.fixture
def wlasl_json(tmp_path):
    content = [
        {
            "gloss": "book",
            "instances": [
                instance("00001", "http://aslbricks.org/book.mp4"),
                instance("00002", TUBE, 51, 100, "val"),
                instance("00003", "https://youtu.be/AbCdEfGhI_-", 101, -1, "test"),
            ],
        },
        {"gloss": "thank you", "instances": [instance("00004", "http://site/x.swf", split="test")]},
    ]
    file = tmp_path / "WLASL_v0.3.json"
    file.write_text(json.dumps(content))
    return file


def test_whole_videos_get_their_frame_range_and_box(tree, wlasl_json):
    root = tree("raw/AbCdEfGhI_-.mp4", "raw/00001.mp4")
    corpus = read_wlasl(root)
    whole, cut, rest = corpus.records
    assert not whole.timed
    assert (cut.start_s, cut.end_s) == (2.0, 4.0)  # frames 51 to 100, counted from 1 at 25 frames/s
    assert (rest.start_s, rest.end_s) == (4.0, None)  # −1 is the end
    assert (cut.extra["source_frames"], cut.extra["source_fps"]) == ([50, 100], 25.0)
    assert cut.streams["video"] == "raw/AbCdEfGhI_-.mp4"
    assert cut.box_px == (10, 20, 110, 220)
    assert (cut.label, cut.signer, cut.source, cut.split) == ("book", "7", "AbCdEfGhI_-", "val")
    assert corpus.meta["missing"] == {"count": 1, "first": ["videos/00004.mp4"]}
    assert corpus.meta["published"]["test"] == {"listed": 2, "present": 1}


def test_files_named_by_video_id_are_cut_already_so_the_range_is_kept_aside(tree, wlasl_json):
    root = tree("videos/00002.mp4")
    (record,) = read_wlasl(root).records
    assert (record.first_frame, record.end_frame) == (0, None)
    assert record.extra["source_frames"] == [50, 100]
    assert "already_cut=no" in " ".join(read_wlasl(root).meta["notes"])
    (forced,) = read_wlasl(root, already_cut="no", boxes="no").records
    assert (forced.start_s, forced.end_s, forced.box_px) == (2.0, 4.0, None)
    (forced,) = read_wlasl(root, already_cut="no", rate="file").records
    assert (forced.first_frame, forced.end_frame, forced.timed) == (50, 100, False)
    (forced,) = read_wlasl(root, already_cut="no", rate="50").records
    assert (forced.start_s, forced.end_s) == (1.0, 2.0)


def test_the_json_file_itself_and_the_first_glosses(tree, wlasl_json):
    tree("videos/00001.mp4", "videos/00004.mp4")
    assert read_wlasl(wlasl_json).labels == ("book", "thank you")
    assert read_wlasl(wlasl_json, glosses="1").labels == ("book",)


def test_nslt_subsets_take_their_names_from_the_class_list(tree, tmp_path):
    root = tree("videos/05237.mp4", "videos/69422.mp4")
    subset = {
        "05237": {"subset": "train", "action": [77, 1, 55]},
        "69422": {"subset": "val", "action": [1, 3, 51]},
        "10899": {"subset": "test", "action": [1, 1, 48]},
    }
    (root / "nslt_100.json").write_text(json.dumps(subset))
    assert read_wlasl(root).labels == ("0001", "0077")
    (root / "wlasl_class_list.txt").write_text("1\tdrink\n77\tthank you\n")
    corpus = read_wlasl(root)
    assert corpus.labels == ("drink", "thank you")
    assert corpus.meta["published"]["test"] == {"listed": 1, "present": 0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frame_start": -1}, "frame_start -1"),
        ({"fps": 0}, "fps is '0'"),
        ({"frame_start": 10, "frame_end": 5}, "frame_start 10, frame_end 5"),
        ({"split": "holdout"}, "split 'holdout'"),
        ({"bbox": [5, 5, 5, 9]}, "bbox"),
        ({"frame_start": "x"}, "gloss 'book' instance 0"),
        ({"frame_start": float("inf")}, "gloss 'book' instance 0"),
    ],
)
def test_bad_entries_are_named(tree, change, message):
    root = tree("videos/00001.mp4")
    content = [{"gloss": "book", "instances": [instance("00001", "u") | change]}]
    (root / "WLASL_v0.3.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        read_wlasl(root)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"gloss": "book", "instances": null}]', "gloss 'book': 'instances' is None; wanted a list"),
        ('[{"gloss": null, "instances": []}]', "entry 0: 'gloss' is None; wanted text"),
        ('[{"gloss": "book", "instances": ["00001"]}]', "instance 0: got '00001', wanted {video_id"),
        (
            '{"00001": {"subset": "train", "action": [0, Infinity, 9]}}',
            r"video '00001': 'action' is .* wanted \[class, start, end\]",
        ),
        ("[" * 100_000, "is not JSON"),
        (f'[{{"gloss": {"1" * 5000}}}]', "is not JSON"),
    ],
)
def test_what_is_no_list_is_named(tree, content, message):
    root = tree("videos/00001.mp4")
    (root / "WLASL_v0.3.json").write_text(content)
    with pytest.raises(InputError, match=message):
        read_wlasl(root)


# --- ChaLearn, AUTSL ----------------------------------------------------------------------------------------------


def test_chalearn_lists(tree):
    root = tree("train/001/M_00001.avi", "train/001/M_00002.mp4", "valid/001/M_00001.avi")
    (root / "train.txt").write_text("train/001/M_00001.avi train/001/K_00001.avi 26\ntrain/001/M_00002.avi x.avi 3\n")
    (root / "val.txt").write_text("valid/001/M_00001.avi valid/001/K_00001.avi 26\n")
    (root / "test.txt").write_text("test/001/M_00001.avi test/001/K_00001.avi 26\n")
    corpus = read_chalearn(root, depth="yes")
    assert by_split(corpus) == {"train": 2, "val": 1}
    assert corpus.records[0].label == "c026"
    assert corpus.records[0].streams == {"video": "train/001/M_00001.avi", "depth": "train/001/K_00001.avi"}
    assert corpus.records[1].streams["video"] == "train/001/M_00002.mp4"
    assert corpus.meta["published"]["test"] == {"listed": 1, "present": 0}
    (root / "class.csv").write_text(",sClass,sLong,sCat,sDetail\n0,c026,A/b,A,b\n")
    subset = read_chalearn(root, classes=root / "class.csv")
    assert subset.labels == ("c026",)
    assert subset.records[0].extra["gloss"] == "b"
    (root / "test.txt").write_text("test/001/M_00001.avi test/001/K_00001.avi\n")
    with pytest.raises(InputError, match="line 1 has no class"):
        read_chalearn(root)


def test_autsl_lists(tree):
    root = tree("train/signer0_sample1_color.mp4", "train/signer0_sample1_depth.mp4", "val/signer6_sample2_color.mp4")
    (root / "train_labels.csv").write_text("signer0_sample1,41\nsigner0_sample9,0\n")
    (root / "validation_labels.csv").write_text("signer6_sample2,41\n")
    (root / "SignList_ClassId_TR_EN.csv").write_text(
        "ClassId,TR,EN\n0,abla,sister\n41,çok,many\n", encoding="utf-8-sig"
    )
    corpus = read_autsl(root)
    assert [(r.label, r.signer, r.split) for r in corpus] == [("041", "0", "train"), ("041", "6", "val")]
    assert corpus.records[0].extra["tr"] == "çok"
    assert corpus.meta["missing"]["first"] == ["train/signer0_sample9_color.mp4"]
    assert read_autsl(root, names="en").labels == ("many",)
    (root / "train_labels.csv").write_text("signer0_sample1,41\nsomebody,0\n")
    with pytest.raises(InputError, match=r"train_labels.csv' line 2 is 'somebody,0'"):
        read_autsl(root)


# --- VSL, UTD-MHAD, MHAD ------------------------------------------------------------------------------------------


def test_split_lists_find_sensors_and_videos_by_name(tree):
    root = tree("RGB/a1_s2_t1_color.avi", "Inertial/a1_s2_t1_inertial.mat", "Inertial/a1_s1_t1_inertial.mat")
    (root / "train.csv").write_text("1,a1_s1_t1_color.npy,a1\n,file,label\n2,a1_s3_t1_color.npy,a1\n")
    (root / "test.csv").write_text("0,a1_s2_t1_color.npy,a1\n")
    corpus = read_mhad(root)
    assert [(r.signer, r.split, sorted(r.streams)) for r in corpus] == [
        ("s1", "train", ["imu"]),
        ("s2", "test", ["imu", "video"]),
    ]
    assert [r.extra for r in corpus] == [{"imu": {"rate_hz": 50.0, "worn_on": "right_wrist"}}] * 2
    assert corpus.meta["missing"]["count"] == 1
    (root / "test.csv").write_text("0,a1_s1_t1_color.npy,a1\n")
    with pytest.raises(InputError, match="also in the train list"):
        read_mhad(root)


# --- the published counts -----------------------------------------------------------------------------------------


@pytest.mark.real
def test_chalearn_counts(real_data):
    folder = real_data / "splits" / "chalearn"
    corpus = read_chalearn(folder, keep_missing=True)
    assert by_split(corpus) == chalearn.PUBLISHED == {"train": 35_878, "val": 5_784, "test": 6_271}
    assert len(corpus.labels) == 249
    assert len({r.id for r in corpus}) == len(corpus)
    assert len(read_chalearn(folder, classes=folder / "020" / "class.csv", keep_missing=True).labels) == 20


@pytest.mark.real
@pytest.mark.parametrize(("name", "classes"), [("nslt_100", 100), ("nslt_300", 300)])
def test_wlasl_counts(real_data, name, classes):
    corpus = read_wlasl(real_data / "splits" / "wlasl" / f"{name}.json", keep_missing=True)
    assert by_split(corpus) == wlasl.PUBLISHED[name]
    assert len(corpus.labels) == classes


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "lists", "classes", "signers"),
    [
        ("vsl", ("train.csv", "test.csv"), 50, 11),
        ("vsl", ("shuf_train.csv", "shuf_test.csv"), 50, 11),
        ("utd-mhad", ("train.csv", "test.csv"), 27, 8),
        ("mhad", ("train.csv", "test.csv"), 11, 12),
    ],
)
def test_split_list_counts(real_data, name, lists, classes, signers):
    corpus = read_mhad(real_data / "splits" / name, train=lists[0], test=lists[1], keep_missing=True)
    assert by_split(corpus) == mhad.PUBLISHED[name]
    assert (len(corpus.labels), len(corpus.signers)) == (classes, signers)


@pytest.mark.real
def test_header_less_shuffled_lists_are_read_too(real_data):
    corpus = read_mhad(real_data / "splits" / "vsl", train="vsl_train.csv", test="vsl_test.csv", keep_missing=True)
    assert by_split(corpus) == {"train": 660, "test": 220}


@pytest.mark.real
def test_utd_mhad_finds_all_its_sensor_files(real_data):
    corpus = read_mhad(real_data / "utd_mhad", lists=real_data / "splits" / "utd-mhad")
    assert len(corpus) == 861
    assert all({"imu", "pose", "depth"} <= set(r.streams) for r in corpus)
    thigh = {r.label for r in corpus if r.extra["imu"] == {"rate_hz": 50.0, "worn_on": "right_thigh"}}
    assert thigh == {f"a{k}" for k in range(22, 28)}
    assert {r.extra["imu"]["worn_on"] for r in corpus} == {"right_wrist", "right_thigh"}


def test_autsl_publishes_by_signer():
    assert sum(autsl.PUBLISHED.values()) == 36_302
