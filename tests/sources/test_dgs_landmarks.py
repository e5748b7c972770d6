"""The German landmark tables: ragged rows, hands in the tracker's order, a face point that is the right eye."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from signloom.errors import InputError, MediaError
from signloom.sources.dgs_landmarks import HAND_NAMES, hand_sides, landmarks_to_pose, read_dgs_landmarks, read_landmarks

HEADER = ";".join(["face_x", "face_y"] + [f"landmark_{a}_{i}" for i in range(1, 43) for a in "xyz"])


def open_hand(x: float, y: float, *, right: bool) -> np.ndarray:
    """A hand of 21 points, palm to the camera, fingers up and bent towards the camera; not mirrored."""
    side = 1 if right else -1  # with its palm to the camera, a right hand's thumb is on the picture's right
    points = np.zeros((21, 3))
    points[1:5] = [[0.02 * k * side, -0.015 * k, -0.02 * k] for k in range(1, 5)]
    for finger in range(4):
        for k in range(4):
            points[5 + 4 * finger + k] = [side * (0.03 - 0.02 * finger), -0.08 - 0.02 * k, -0.02 * k]
    return points + np.array([x, y, 0])


def write_take(path, rows, *, header=HEADER):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join([header, *(";".join(f"{v:.4f}" for v in row) for row in rows)]) + "\n"
    path.write_bytes(gzip.compress(text.encode()))
    return path


def row(*hands: np.ndarray) -> np.ndarray:
    return np.concatenate([[0.5, 0.3], *(h.ravel() for h in hands)])


def test_a_record_per_table_labelled_by_its_folder(tmp_path):
    for sign in ("Bier", "Fußball"):
        for take in ("a", "b"):
            write_take(tmp_path / "absolute" / sign / f"{take}.csv.gz", [row(open_hand(0.3, 0.6, right=True))])
    corpus = read_dgs_landmarks(tmp_path)
    assert corpus.labels == ("Bier", "Fußball")
    assert len({r.id for r in corpus}) == 4
    assert all((corpus.root / r.streams["landmarks"]).is_file() for r in corpus)


def test_no_tables_is_an_error_that_says_what_was_wanted(tmp_path):
    with pytest.raises(InputError, match=r"<sign>/<take>\.csv\.gz"):
        read_dgs_landmarks(tmp_path)


def test_hands_are_named_by_side_whatever_slot_they_came_in(tmp_path):
    right, left = open_hand(0.3, 0.6, right=True), open_hand(0.7, 0.6, right=False)
    rows = [row(right, left)] * 3 + [row(left, right)] * 3 + [row(left)] * 3 + [row(right)] * 3
    pose = landmarks_to_pose(write_take(tmp_path / "s" / "t.csv.gz", rows))
    wrists = pose.body.data[:, 0, [1, 22], 0]  # left, then right
    assert np.allclose(wrists[:6, 0], 0.7 * 640, atol=0.1)
    assert np.allclose(wrists[:6, 1], 0.3 * 640, atol=0.1)
    assert wrists.mask[6:9].tolist() == [[False, True]] * 3
    assert wrists.mask[9:].tolist() == [[True, False]] * 3


def test_a_hand_that_crosses_the_body_keeps_its_side():
    hands = np.full((21, 2, 21, 3), np.nan)
    for t, x in enumerate(np.linspace(0.25, 0.75, 21)):
        hands[t, 0] = open_hand(x, 0.6, right=True)
    assert hand_sides(np.tile([0.48, 0.3], (21, 1)), hands).all()


def test_missing_hands_are_masked_with_confidence_zero_and_rows_of_zeros_are_missing(tmp_path):
    zeros = np.zeros((21, 3))
    path = write_take(tmp_path / "s" / "t.csv.gz", [row(open_hand(0.3, 0.6, right=True)), row(zeros)])
    _, hands = read_landmarks(path)
    assert np.isnan(hands[1]).all()
    pose = landmarks_to_pose(path)
    assert pose.body.confidence.shape == (2, 1, 43)
    assert pose.body.confidence[1, 0].tolist() == [1.0] + [0.0] * 42
    assert pose.body.data.mask[1, 0, 1:].all()
    assert [(c.name, len(c.points)) for c in pose.header.components] == [
        ("POSE_LANDMARKS", 1),
        ("LEFT_HAND_LANDMARKS", 21),
        ("RIGHT_HAND_LANDMARKS", 21),
    ]


@pytest.mark.parametrize("fill", [0.0, -1.0, float("nan"), float("inf")])
def test_a_lost_hand_is_missing_however_it_is_written(tmp_path, fill):
    right, left = open_hand(0.3, 0.6, right=True), open_hand(0.7, 0.6, right=False)
    rows = [row(right, left)] * 3 + [row(np.full((21, 3), fill), left)] * 3
    path = write_take(tmp_path / "s" / "t.csv.gz", rows)
    _, hands = read_landmarks(path)
    assert np.isnan(hands[3:, 0]).all()
    assert np.isfinite(hands[:3]).all()
    seen = landmarks_to_pose(path).body.confidence[:, 0] > 0
    assert seen[:, 1:22].all()
    assert seen[:3, 22:].all()
    assert not seen[3:, 22:].any()


def test_hand_names_are_those_of_pose_format():
    holistic = pytest.importorskip("pose_format.utils.holistic")
    assert list(HAND_NAMES) == list(holistic.HAND_POINTS)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda b: b"", "empty"),
        (lambda b: b[: len(b) // 2], "truncated"),
        (lambda b: b"\x1f\x8bnot really", "decode-error"),
        (lambda b: gzip.compress(b"a;b;c\n1;2;3\n"), "bad-header"),
        (lambda b: gzip.compress(HEADER.encode()), "no-frames"),
        (lambda b: gzip.compress(gzip.decompress(b)[:-100]), "truncated"),
        (lambda b: gzip.compress(gzip.decompress(b).replace(b"0.5000;0.3000", b"0.5000;mouse", 1)), "decode-error"),
    ],
)
def test_broken_tables_are_named_with_a_reason(tmp_path, spoil, reason):
    path = write_take(tmp_path / "s" / "t.csv.gz", [row(open_hand(0.3, 0.6, right=True))] * 4)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(MediaError, match=r"t\.csv\.gz") as caught:
        read_landmarks(path)
    assert caught.value.reason == reason


@pytest.mark.real
def test_the_real_tables_are_read_whole(real_data):
    corpus = read_dgs_landmarks(real_data / "dgs_landmarks")
    assert (len(corpus), len(corpus.labels)) == (1755, 30)
    for record in corpus.records[::200]:
        pose = landmarks_to_pose(corpus.root / record.streams["landmarks"])
        assert pose.body.data.shape[1:] == (1, 43, 3)
        assert pose.body.confidence.max() == 1
