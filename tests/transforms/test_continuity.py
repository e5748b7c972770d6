"""Frames that lost their order and their clips, and found them again."""

from __future__ import annotations

import numpy as np
import pytest

from signloom.transforms.continuity import Frames, clips_in_order, repeated, shortest_path


def filmed(n: int, seed: int, noise: float = 0.4) -> tuple[np.ndarray, np.ndarray]:
    """Features of a clip: two blobs on their way over a picture, seen in both kinds."""
    rng = np.random.default_rng(seed)
    t = np.linspace(0, 1, n)
    features = []
    for gain in (120, 200):
        picture = np.zeros((n, 16, 16))
        rows, columns = np.mgrid[:16, :16]
        for blob in range(2):
            y, x = 3 + 10 * rng.random() + 2 * t, 2 + 3 * blob + (6 + 4 * rng.random()) * t
            picture += gain * np.exp(-((rows - y[:, None, None]) ** 2 + (columns - x[:, None, None]) ** 2) / 6)
        picture = picture + rng.normal(0, noise, picture.shape)
        features.append((picture + 20).clip(0, 255).astype(np.uint8).reshape(n, -1))
    return features[0], features[1]


def together(*clips: tuple[np.ndarray, np.ndarray]) -> Frames:
    return Frames(*(np.concatenate([c[k] for c in clips]) for k in (0, 1)))


def test_cuts_are_found_and_what_is_in_order_stays():
    clips, repeats = clips_in_order(together(filmed(40, 1), filmed(25, 2), filmed(60, 3)))
    assert clips == [list(range(40)), list(range(40, 65)), list(range(65, 125))]
    assert not repeats


def test_frames_numbered_as_text_come_back_into_the_order_of_time():
    n = 35
    as_text = sorted(range(n), key=str)  # 0, 1, 10, 11, … 2, 20 …
    photo, skeleton = filmed(n, 4)
    other = filmed(30, 5)
    clips, _ = clips_in_order(together((photo[as_text], skeleton[as_text]), other))
    assert [[as_text[k] for k in clips[0]], clips[1]] == [list(range(n)), list(range(n, n + 30))]


@pytest.mark.parametrize(("take", "put"), [(30, 10), (12, 50), (1, 33)])
def test_a_single_frame_in_the_wrong_place_is_put_back(take, put):
    order = [k for k in range(60) if k != take]
    order.insert(put, take)
    photo, skeleton = filmed(60, 6)
    clips, _ = clips_in_order(Frames(photo[order], skeleton[order]))
    assert [[order[k] for k in clip] for clip in clips] == [list(range(60))]


def test_a_shuffled_clip_is_whole_again_but_which_end_comes_first_is_not_known():
    order = np.random.default_rng(7).permutation(30)
    photo, skeleton = filmed(30, 8)
    clips, _ = clips_in_order(Frames(photo[order], skeleton[order]))
    found = [int(order[k]) for k in clips[0]]
    assert len(clips) == 1
    assert found in (list(range(30)), list(range(30))[::-1])


def test_repeated_frames_go_and_slow_motion_stays():
    photo, skeleton = filmed(40, 9)
    rows = [*range(10), 9, *range(10, 40), 39]
    noise = np.zeros_like(photo[rows])
    noise[10] = np.random.default_rng(0).integers(0, 2, noise.shape[1])  # encoded once more
    clips, repeats = clips_in_order(Frames(photo[rows] + noise, skeleton[rows]))
    assert clips == [[k for k in range(42) if k not in (10, 41)]]
    assert repeats == {10: 9, 41: 40}
    still = np.random.default_rng(1).normal(100, 1, (20, 256)).astype(np.uint8)  # somebody who waits, and noise
    assert not repeated(Frames(still, still), np.arange(20)).any()


def test_fast_thinned_out_footage_is_not_cut_to_pieces():
    photo, skeleton = filmed(240, 10)
    rng = np.random.default_rng(11)
    rows = np.cumsum(rng.integers(2, 8, 45))
    clips, _ = clips_in_order(Frames(photo[rows], skeleton[rows]))
    assert clips == [list(range(45))]


def test_few_frames_are_no_trouble():
    for n in range(1, 4):
        photo, skeleton = filmed(8, 12)
        clips, _ = clips_in_order(Frames(photo[:n], skeleton[:n]))
        assert sorted(k for clip in clips for k in clip) == list(range(n))


def test_the_shortest_path_of_points_on_a_line():
    x = np.random.default_rng(13).random(50)
    path = shortest_path(np.abs(x[:, None] - x))
    assert (np.diff(x[path]) > 0).all() or (np.diff(x[path]) < 0).all()
