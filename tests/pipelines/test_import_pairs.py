"""Pairs of stick figure and photograph: what comes out of the mess they are published in."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from signloom import media
from signloom.data.manifest import read_manifest
from signloom.data.skeleton import INDEX, JOINTS, Joints
from signloom.errors import InputError
from signloom.pipelines.import_pairs import PairImport, import_pairs
from signloom.streams.signer_crop import SignerCrop
from signloom.transforms.pose_map import draw_pose_map, stick_figure

HALF = (170, 160)  # rows, columns
PHOTO = (6, 0, 154, 120)  # x0, y0, x1, y1: below it lies burned-in text
TEXT = (255, 0, 0)
SHOULDER_PX = 30.0


@dataclass(frozen=True)
class Film:
    """One clip, frame by frame: a stick figure and a grey photograph of the same person."""

    seed: int
    n: int

    def frame(self, t: int) -> tuple[np.ndarray, np.ndarray]:
        """(photo, skeleton), uint8 HALF + (3,)."""
        rng = np.random.default_rng(self.seed)
        wall = rng.integers(60, 90, (*HALF, 1), np.uint8).repeat(3, 2)
        phase = t / 12 + rng.uniform(0, 6)
        x, y = 80 + rng.uniform(-3, 3), 55 + rng.uniform(-3, 3)
        half = SHOULDER_PX / 2
        xy = np.zeros((1, len(JOINTS), 2), np.float32)
        present = np.zeros((1, len(JOINTS)), bool)
        points = {
            "nose": (x, y - 18),
            "left_shoulder": (x + half, y),
            "right_shoulder": (x - half, y),
            "left_elbow": (x + half + 4, y + 22),
            "right_elbow": (x - half - 4, y + 22),
            "left_wrist": (x + half + 8 * np.cos(phase), y + 20 + 14 * np.sin(phase)),
            "right_wrist": (x - half + 8 * np.cos(phase), y + 15 + 10 * np.sin(phase)),
            "left_hip": (x + 10, y + 45),
            "right_hip": (x - 10, y + 45),
        }
        for name, at in points.items():
            xy[0, INDEX[name]], present[0, INDEX[name]] = at, True
        joints = Joints(xy, present, 25.0)
        side = max(HALF)
        skeleton = stick_figure(draw_pose_map(joints, 0, np.eye(3), side))[: HALF[0], : HALF[1]]
        photo = wall.copy()
        cv2.rectangle(photo, (int(x - half), int(y)), (int(x + half), 150), (120,) * 3, -1)
        for name, radius in (("nose", 9), ("left_wrist", 6), ("right_wrist", 6)):
            at = tuple(round(float(v) * 16) for v in points[name])
            cv2.circle(photo, at, radius * 16, (210,) * 3, -1, cv2.LINE_AA, 4)
        framed = np.zeros_like(photo)
        x0, y0, x1, y1 = PHOTO
        framed[y0:y1, x0:x1] = photo[y0:y1, x0:x1]
        return framed, skeleton


def side_by_side(film: Film, t: int, *, text: bool = True) -> np.ndarray:
    photo, skeleton = film.frame(t)
    if text:
        cv2.putText(photo, f"frame {t:04d}", (4, 138), cv2.FONT_HERSHEY_PLAIN, 1, TEXT, 1)
        cv2.rectangle(photo, (40 + t % 30, 160), (90, 169), TEXT, -1)
    return np.concatenate([photo, skeleton], 1)


def write(folder: Path, pictures, first: int = 1) -> None:
    for number, picture in enumerate(pictures, first):
        media.write_picture(folder / f"image{number}.png", picture)


def summary(folder: Path) -> dict[str, list[int]]:
    return {r.id: list(r.extra["numbers"]) for r in read_manifest(folder)}


@pytest.fixture(scope="module")
def mess(tmp_path_factory) -> Path:
    """train/: a clip sorted as text, a clip, and the start of one that goes on in val/; test/ stands apart."""
    root = tmp_path_factory.mktemp("mess") / "pairs"
    first, second, third, other = Film(1, 24), Film(2, 30), Film(3, 40), Film(4, 20)
    as_text = sorted(range(24), key=str)
    train = [side_by_side(first, t) for t in as_text]
    train += [side_by_side(second, t) for t in range(30)] + [side_by_side(second, 29)]  # the last one twice
    train += [side_by_side(third, t) for t in range(32)]
    write(root / "train", train, first=10)
    write(root / "val", [side_by_side(third, t) for t in range(32, 40)], first=10 + len(train))
    write(root / "test", [side_by_side(other, t) for t in range(20)])
    return root


@pytest.fixture(scope="module")
def tidy(mess, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("tidy")
    settings = PairImport(size_px=64, test=("train_34-64",), fps=30)
    _, failures = import_pairs(mess, out, settings, quiet=True)
    assert not failures
    return out


def test_clips_are_found_in_the_order_of_time_without_repeats(tidy):
    as_text = sorted(range(24), key=str)
    in_time = [10 + as_text.index(t) for t in range(24)]
    assert summary(tidy) == {
        "test_1-20": list(range(1, 21)),
        "train_10-33": in_time,
        "train_34-64": list(range(34, 64)),  # 64 repeats 63
        "train_65-104": list(range(65, 105)),  # from train/ into val/: one clip, so on one side of any split
    }


def test_the_corpus_is_as_the_conventions_say(tidy):
    corpus = read_manifest(tidy)
    assert {r.id: r.split for r in corpus} == {
        "test_1-20": "train",
        "train_10-33": "train",
        "train_34-64": "test",
        "train_65-104": "train",
    }
    assert len({r.content for r in corpus}) == len({r.source for r in corpus}) == 4
    for record in corpus:
        assert record.fps == 30
        for stream, side in (("signer", 64), ("skeleton", 128)):
            frames = media.read_frames(record.path(stream, tidy, "test"))
            assert frames.shape == (record.n_frames, side, side, 3)
    crop = corpus.fingerprint("signer")["crop"]
    assert SignerCrop(**crop) == SignerCrop(size_px=64)  # so a pose can be cut the same way


def test_no_pixel_of_the_burned_in_text_gets_through(tidy):
    for record in read_manifest(tidy):
        frames = media.read_frames(record.path("signer", tidy, "test")).astype(int)
        assert (frames.max(-1) - frames.min(-1)).max() == 0  # the photograph is grey, the text is not
        assert frames.min() > 30  # nor any of the black around it


def test_shoulders_stand_on_the_same_pixels_in_every_clip(tidy):
    for record in read_manifest(tidy):
        skeleton = media.read_frames(record.path("skeleton", tidy, "test"), [0])[0]
        red = skeleton.astype(int)
        # The lines to the shoulders lie level; their ends are where the crop promises, to a pixel of ``signer``.
        y, x = np.nonzero((red[..., 0] > 230) & (red[..., 1] > 60) & (red[..., 1] < 110) & (red[..., 2] < 30))
        assert abs(y.mean() / 2 - 64 * 0.42) <= 1
        assert abs(x.min() / 2 - (32 - 64 / 6)) <= 2


def test_again_it_writes_nothing_and_a_killed_run_ends_with_the_same_bytes(mess, tmp_path, hashes_of, monkeypatch):
    settings = PairImport(size_px=64, folders=("test",))
    import_pairs(mess, tmp_path / "whole", settings, quiet=True)
    wanted = hashes_of(tmp_path / "whole")
    write_picture, written = media.write_picture, []

    def dies(path, picture):
        written.append(path)
        if len(written) == 9:
            raise KeyboardInterrupt
        write_picture(path, picture)

    monkeypatch.setattr(media, "write_picture", dies)
    with pytest.raises(KeyboardInterrupt):
        import_pairs(mess, tmp_path / "killed", settings, quiet=True)
    assert not (tmp_path / "killed" / "manifest.jsonl").exists()
    import_pairs(mess, tmp_path / "killed", settings, quiet=True)
    assert hashes_of(tmp_path / "killed") == wanted
    written.clear()
    import_pairs(mess, tmp_path / "killed", settings, quiet=True)
    assert not written


@pytest.fixture(scope="module")
def two_folders(tmp_path_factory) -> Path:
    """signer/ holds PNG bytes under names that say JPEG; one of its pictures is broken, one stands alone."""
    root = tmp_path_factory.mktemp("two") / "some_pairs"
    film = Film(5, 30)
    for t in range(30):
        photo, skeleton = (half[:120, 20:140] for half in film.frame(t))
        media.write_picture(root / "skeleton" / f"{t + 1:06d}.png", skeleton)
        media.write_picture(root / "signer" / "x.png", photo)
        (root / "signer" / "x.png").rename(root / "signer" / f"{t + 1:06d}.jpg")
    (root / "skeleton" / "000030.png").unlink()
    (root / "signer" / "000004.jpg").write_bytes((root / "signer" / "000004.jpg").read_bytes()[:200])
    return root


def test_two_folders_the_last_frames_held_out(two_folders, tmp_path, signloom):
    code, said, complaint = signloom(
        "prepare", two_folders, "--source", "pairs", "--out", tmp_path, "--option", "test-last=9", "--option", "size=60"
    )
    assert code == 3
    assert "20 frames" not in complaint
    assert "some-pairs_1-20: 19 frames" in said
    corpus = read_manifest(tmp_path)
    train, test = corpus.records
    assert (train.split, test.split, train.source) == ("train", "test", test.source)
    assert train.streams == test.streams
    assert (train.first_frame, train.end_frame, test.first_frame, test.end_frame) == (0, 19, 19, 28)
    assert test.extra["numbers"] == list(range(21, 30))
    assert train.content != test.content
    assert corpus.fingerprint("signer")["crop"] is None  # it came square
    frames = media.read_frames(test.path("signer", tmp_path, "test"), [27])
    source = media.read_picture(two_folders / "signer" / "000029.jpg")
    assert (frames[0] == cv2.resize(source, (60, 60), interpolation=cv2.INTER_AREA)).all()
    rows = [json.loads(line) for line in (tmp_path / "failures.jsonl").read_text().splitlines()]
    assert {(r["id"], r["reason"]) for r in rows} == {("000030", "no-partner"), ("000004", "truncated")}


def test_the_half_that_is_the_stick_figure_is_found_on_either_side(tmp_path):
    film = Film(6, 6)
    for name, order in (("a", slice(None)), ("b", slice(None, None, -1))):
        halves = [np.split(side_by_side(film, t), 2, 1)[order] for t in range(6)]
        write(tmp_path / name, [np.concatenate(h, 1) for h in halves])
        import_pairs(tmp_path / name, tmp_path / f"{name}-out", PairImport(size_px=64), quiet=True)
    a, b = (media.read_video(next((tmp_path / f"{n}-out" / "signer").iterdir())).frames_THWC for n in ("a", "b"))
    assert (a == b).all()


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"sise": "3"}, "no option 'sise'"),
        ({"size": "big"}, "option size"),
        ({"photo_box": "1,2,3"}, "x0,y0,x1,y1"),
        ({"crop": "tight"}, "option crop"),
        ({"layout": "above"}, "option layout"),
        ({"test": "nobody_1-2"}, "there is no clip 'nobody_1-2'; there are test_1-20"),
        ({"test_last": "20"}, "has only 20 frames"),
        ({"crop": "none"}, "wanted squares"),
        ({"folders": "elsewhere"}, "no picture in"),
        ({"photo_box": "0,0,999,50"}, "reaches beyond"),
    ],
)
def test_bad_options_say_what_is_wrong(mess, tmp_path, options, wanted):
    options = {"folders": "test", "size": "64", **options}
    with pytest.raises(InputError, match=wanted):
        import_pairs(mess, tmp_path, PairImport.of_options(options), quiet=True)


@pytest.mark.real
def test_published_pairs_of_three_signers(real_data, tmp_path):
    source = real_data / "boston_pairs"
    corpus, failures = import_pairs(source, tmp_path, PairImport(size_px=128), quiet=True)
    assert not failures
    assert [r.id for r in corpus] == [
        "test_1-68",
        "test_69-123",
        "train_65-90",
        "train_67-89",  # three frames from before a hole of two seconds in the clip that was sorted as text
        "train_91-176",
        "train_177-251",
        "train_252-338",
        "train_339-417",
    ]
    found = summary(tmp_path)
    assert found["train_65-90"] == [65, 66, *range(68, 78), *range(79, 89)]  # by the burned-in frame number
    assert found["train_67-89"] == [67, 78, 89]
    assert {r.id: r.source for r in corpus}["train_67-89"] == "train_65-90"
    box = corpus.fingerprint("signer")["pairs"]["photo_box"]
    assert box[3] <= 241  # the text begins below
    assert box[1] == 0
    for record in corpus:
        frames = media.read_frames(record.path("signer", tmp_path, "test"))
        assert len(frames) == record.n_frames
        assert frames[:, -4:].max() < 250  # no letter is this white at the bottom, nor any black below the photograph
        assert frames[:, -4:].mean() > 12


@pytest.mark.real
def test_published_pairs_of_two_folders(real_data, tmp_path):
    corpus, failures = import_pairs(
        real_data / "dgs_pairs", tmp_path, PairImport(size_px=256, test_last=40), quiet=True
    )
    assert not failures
    assert {r.id: (r.split, r.extra["numbers"]) for r in corpus} == {
        "dgs-pairs_1-160": ("train", list(range(1, 161))),
        "dgs-pairs_161-200": ("test", list(range(161, 201))),
    }
