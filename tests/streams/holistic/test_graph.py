"""The graph against MediaPipe itself: its points for two procedural clips, kept by tests/fixtures/make_holistic."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from signloom import media
from signloom.data.stream import ClipInfo
from signloom.errors import MissingExtraError
from signloom.streams import pose_holistic, stream_named
from signloom.streams.holistic import graph
from signloom.streams.holistic.graph import refined
from signloom.streams.holistic.regions import HAND_TRACKING, Region
from signloom.streams.person_mask import person_mask
from signloom.streams.pose_holistic import HolisticPose

FIXTURES = Path(__file__).parents[2] / "fixtures" / "holistic"
PARTS = {"body": slice(0, 33), "face": slice(33, 501), "left": slice(501, 522), "right": slice(522, 543)}
FPS = 30.0


def found_in(frames, fps=FPS, **settings):
    try:
        finder = HolisticPose(**settings).finder()
    except MissingExtraError as error:
        pytest.fail(f"THE NETWORKS THAT FIND POSES ARE NOT HERE, so they are not tested: {error}")
    rows = np.stack([finder.find(frame, number / fps) for number, frame in enumerate(frames)])
    finder.close()
    return rows


@pytest.fixture(scope="module", params=["one_hand", "two_hands"])
def clip(request):
    """Frames, MediaPipe's points (T, 543, 3), its mask of the first frame, and ours (T, 545, 4)."""
    kept = np.load(FIXTURES / f"{request.param}.npz")
    frames = [frame for _, frame in media.iter_frames(FIXTURES / f"{request.param}.mp4")]
    return frames, kept["points"] / (32, 32, 1000), kept["mask"], found_in(frames)


def test_points_are_those_of_mediapipe(clip):
    """On real clips they lie closer than MediaPipe's own do after ±1 grey level of noise: docs/results/poses.md."""
    frames, theirs, _, _ = clip
    ours = found_in(frames, regain=False)
    shoulders_px = np.median(np.linalg.norm(theirs[:, 11, :2] - theirs[:, 12, :2], axis=-1))
    for part, where in PARTS.items():
        seen_t, seen_o = (theirs[:, where, 2] > 0).any(1), (ours[:, where, 3] > 0).any(1)
        assert (seen_t == seen_o).mean() > 0.97, part
        both = seen_t & seen_o
        apart = np.linalg.norm(theirs[both, where, :2] - ours[both, where, :2], axis=-1) / shoulders_px
        assert np.median(apart) < 0.003, part
        assert np.percentile(apart, 95) < 0.03, part
    visible = np.abs(theirs[:, PARTS["body"], 2] - ours[:, PARTS["body"], 3])
    assert np.percentile(visible, 95) < 0.02


def test_a_person_is_masked_as_mediapipe_does(clip):
    frames, _, theirs, _ = clip
    mask = person_mask(frames[0])
    assert mask.dtype == np.float32
    assert mask.shape == frames[0].shape[:2]
    assert np.abs(mask - theirs / 255).max() < 0.01


def test_pushed_or_whole_and_again_it_is_the_same(clip, tmp_path):
    frames, _, _, ours = clip
    stream = stream_named("pose")
    info = ClipInfo("clip", FPS, (frames[0].shape[1], frames[0].shape[0]))
    stage = stream.open(info)
    pushed = [t for number, frame in enumerate(frames) for t in stage.push(number / FPS, {"video": frame})]
    pushed += stage.close()
    assert [t.time_s for t in pushed] == [number / FPS for number in range(len(frames))]
    assert np.array_equal(np.stack([t.sample for t in pushed]), ours)
    with stream.writer(tmp_path / "a.pose", info) as add:
        for timed in pushed:
            add(timed.sample)
    whole = HolisticPose().extract(iter(frames), FPS)
    assert np.array_equal(
        stream.read(tmp_path / "a.pose").xy_TJC, stream.gather([t.sample for t in pushed], info).xy_TJC
    )
    assert whole.body.data.shape == (len(frames), 1, 203, 3)


@pytest.mark.parametrize("regain", [True, False])
def test_a_hand_that_is_not_where_it_was_is_looked_for_where_it_may_be_now(monkeypatch, regain):
    asked = []

    class Recrop:
        size_px = 256

        def __call__(self, picture, scale, offset):
            return [np.array([128.0, 128.0, 128.0, 64.0])]

    elsewhere = Region(10, 10, 30, 30)
    monkeypatch.setattr(graph, "HAND_TRACKING", SimpleNamespace(choose=lambda new, points, last: elsewhere))
    hand = graph.Hand(np.full((21, 3), 50.0), 0.9, 0.9, elsewhere)
    networks = SimpleNamespace(hand_recrop=Recrop(), hand=None)
    tracker = graph.Tracker(networks, regain=regain)
    monkeypatch.setattr(graph, "_hand_in", lambda _, frame, at: asked.append(at) or (None if at is elsewhere else hand))
    of_body = np.array([[50, 80, 0, 0.9], [60, 60, 0, 0.9], [45, 60, 0, 0.9]])
    found = tracker._find_hand(networks, np.zeros((120, 160, 3), np.uint8), of_body, hand)
    assert (found is hand) == regain
    assert asked[0] == elsewhere
    assert len(asked) == 1 + regain


@pytest.mark.parametrize("two_cores", [True, False])
def test_a_second_core_changes_nothing(clip, monkeypatch, two_cores):
    frames, _, _, ours = clip
    monkeypatch.setattr(pose_holistic, "_waiting", [])
    monkeypatch.setattr(pose_holistic, "_has_two_cores", lambda: two_cores)
    assert np.array_equal(found_in(frames), ours)
    assert [of_hand is not None for _, of_hand in pose_holistic._waiting] == [two_cores]


def test_a_clip_depends_on_its_own_frames_alone(clip):
    frames, _, _, ours = clip
    found_in([frame[:, ::-1] for frame in frames[:4]])  # leaves its networks to the next
    assert np.array_equal(found_in(frames), ours)


def test_where_nobody_is_nothing_is_found_and_who_comes_is_found_again(clip):
    frames, _, _, _ = clip
    empty = np.full_like(frames[0], 90)
    rows = found_in([frames[0], empty, empty, frames[1]])
    assert (rows[[0, 3], :33, 3] > 0).any(1).all()
    assert not rows[1].any()
    assert not rows[2].any()


@pytest.mark.parametrize("shape", [(4, 6, 3), (1, 1, 3), (300, 20, 3)])
def test_pictures_smaller_than_a_hand(shape):
    assert found_in([np.full(shape, 128, np.uint8)] * 2).shape == (2, 545, 4)


def test_points_move_to_the_middle_of_a_sure_heatmap_only():
    heatmap = np.full((64, 64, 3), -20.0)
    heatmap[30, 20] = 5.0
    points = np.array([[21.5 / 64, 31.2 / 64], [50 / 64, 50 / 64], [1.2, 0.5]])
    moved = refined(points, heatmap)
    assert moved[0] == pytest.approx((20 / 64, 30 / 64), abs=1e-4)
    assert np.array_equal(moved[1:], points[1:])  # no hill near it; outside of the picture


def test_a_hand_is_followed_until_it_is_elsewhere():
    new = Region(100, 100, 50, 50, 0.1)
    points = np.tile([100.0, 100.0, 0.0], (21, 1))
    near, far = Region(104, 99, 52, 52, 0.3), Region(120, 100, 50, 50, 0.1)
    assert HAND_TRACKING.choose(new, None, None) == new
    assert HAND_TRACKING.choose(new, points, near) == near
    assert HAND_TRACKING.choose(new, points, far) == new
    assert HAND_TRACKING.choose(new, points, near._replace(angle=1.2)) == new
    assert HAND_TRACKING.choose(new, points + np.array([30, 0, 0]), near) == new
