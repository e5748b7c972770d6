"""All faces of a picture, by both of MediaPipe's detectors run here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from signloom import media
from signloom.streams.holistic.detector import FACE_DETECTOR, Detector
from signloom.streams.holistic.faces import FaceBoxes

FOOTAGE = Path(__file__).parents[2] / "fixtures" / "holistic" / "one_hand.mp4"


@pytest.fixture(scope="module")
def frame():
    return next(iter(media.iter_frames(FOOTAGE)))[1]


def middles(boxes):
    return np.array([[(x0 + x1) / 2, (y0 + y1) / 2] for x0, y0, x1, y1 in boxes])


def test_every_face_of_a_picture_is_found_where_it_is(frame):
    one = middles(FaceBoxes().find(frame))
    assert len(one) >= 1
    assert np.ptp(one, axis=0).max() < 0.1 * frame.shape[1]
    both = middles(FaceBoxes().find(np.concatenate([frame, frame[:, ::-1]], 1)))
    width = frame.shape[1]
    assert np.abs(both[both[:, 0] < width].mean(0) - one.mean(0)).max() < 0.05 * width
    mirrored = both[both[:, 0] >= width].mean(0)
    assert abs(2 * width - mirrored[0] - one.mean(0)[0]) < 0.05 * width


def test_where_nobody_is_nobody_is_found(frame):
    assert FaceBoxes().find(np.zeros_like(frame)) == []
    assert FaceBoxes().find(np.full((40, 300, 3), 128, np.uint8)) == []


def test_what_overlaps_is_one_and_what_is_apart_is_two():
    detector = Detector(100, (50,), n_points=1, per_cell=1)
    assert detector.anchors.tolist() == [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]
    here, beside, away = [0, 0, 20, 20, 1, 1], [-48, 0, 20, 20, -48, 0], [0, 0, 20, 20, 5, 5]
    raw = np.array([here, beside, [0, 0, -5, 5, 0, 0], away], np.float32)
    found = list(detector.all(raw, np.array([2.0, 1.0, 9.0, 3.0], np.float32), 0.5))
    assert [round(one.score, 3) for one in found] == [0.953, 0.881]
    assert found[0].points.round(6).tolist() == [[0.8, 0.8]]
    weights = 1 / (1 + np.exp(-np.array([2.0, 1.0])))
    assert found[1].box[0] == pytest.approx((0.15 * weights[0] + 0.17 * weights[1]) / weights.sum())
    assert detector.best(raw, np.array([2.0, 1.0, 9.0, 3.0], np.float32), 0.5).tolist() == found[0].points.tolist()
    assert detector.best(raw, np.full(4, -9.0, np.float32), 0.5) is None
    assert FACE_DETECTOR.anchors.shape == (896, 2)
