"""Cutting hands out of the picture."""

from __future__ import annotations

import numpy as np
import pytest

from signloom.errors import InputError
from signloom.transforms.hand_crops import LOCATED, LOCATED_MIRROR, cut_hands, hand_centres, shoulder_share
from signloom.transforms.video_augment import Draw
from signloom.transforms.video_input import VideoInput

COLUMN = {name: j for j, name in enumerate(LOCATED)}
INPUTS = VideoInput(n_frames=6, size_px=32, resize_px=32, hands_px=16)


def joints(**places):
    """Six frames of joints at fixed places, in shares of the picture; the rest unseen."""
    seen = np.zeros((6, len(LOCATED), 3))
    for name, place in places.items():
        seen[:, COLUMN[name]] = (*place, 1.0)
    return seen


def test_mirroring_the_located_joints_twice_changes_nothing():
    assert (LOCATED_MIRROR[LOCATED_MIRROR] == np.arange(len(LOCATED))).all()
    assert LOCATED_MIRROR[COLUMN["left_wrist"]] == COLUMN["right_wrist"]
    assert LOCATED_MIRROR[COLUMN["nose"]] == COLUMN["nose"]


def test_a_hand_is_amid_its_fingers_or_beyond_its_wrist():
    seen = joints(left_index_4=(0.6, 0.2), left_thumb_4=(0.8, 0.4), right_elbow=(0.3, 0.9), right_wrist=(0.3, 0.6))
    centres = hand_centres(seen)
    np.testing.assert_allclose(centres[0, 0], (0.7, 0.3))
    np.testing.assert_allclose(centres[0, 1], (0.3, 0.5))  # a third of the forearm further


def test_a_hand_out_of_sight_stays_where_it_was_seen_last_or_next():
    seen = joints(left_wrist=(0.2, 0.5))
    seen[:, COLUMN["left_wrist"], 0] = np.linspace(0.1, 0.6, 6)
    seen[[0, 3], COLUMN["left_wrist"], 2] = 0
    centres = hand_centres(seen)
    np.testing.assert_allclose(centres[:, 0, 0], [0.2, 0.2, 0.3, 0.3, 0.5, 0.6])
    assert np.isnan(centres[:, 1]).all()


def test_the_scale_is_the_shoulders():
    assert shoulder_share(joints(left_shoulder=(0.7, 0.5), right_shoulder=(0.3, 0.5)), 200, 100) == pytest.approx(80)
    assert shoulder_share(joints(), 200, 100) == pytest.approx(20)


def test_each_hand_is_cut_out_enlarged_and_a_missing_one_is_grey():
    frames = np.zeros((6, 60, 100, 3), np.uint8)
    frames[:, 28:32, 78:82] = 255  # at the left hand: the picture's right half
    centres = hand_centres(joints(left_wrist=(0.8, 0.5)))
    right, left = cut_hands(frames, centres, 16, 32, np.eye(3), swap=False)
    assert (right == 128).all()
    assert left[0, 14:18, 14:18].min() == 255  # 4 px became 8
    assert left[0, :8].max() == 0
    swapped = cut_hands(frames, centres, 16, 32, np.eye(3), swap=True)
    assert np.array_equal(swapped[0], left)


def test_hands_stand_beside_the_signer_and_change_places_in_a_mirror():
    rng = np.random.default_rng(0)
    frames = np.repeat(rng.integers(0, 256, (1, 32, 64, 3), np.uint8), 6, 0)
    seen = joints(left_shoulder=(0.6, 0.5), right_shoulder=(0.4, 0.5), left_wrist=(0.8, 0.5), right_wrist=(0.25, 0.5))
    x = INPUTS.frames(frames, seen_TJ3=seen)
    assert x.shape == (3, 6, 32, 48)
    mirrored = INPUTS.frames(frames, mirror=True, seen_TJ3=seen)
    np.testing.assert_allclose(mirrored[..., :32], x[..., :32][..., ::-1], atol=2 / 127)
    np.testing.assert_allclose(mirrored[:, :, :16, 32:], x[:, :, 16:, 32:][..., ::-1], atol=2 / 127)
    drawn = INPUTS.frames(frames, Draw(linear=((-1.0, 0.0), (0.0, 1.0))), seen_TJ3=seen)
    np.testing.assert_allclose(drawn, mirrored, atol=3 / 127)


def test_joints_are_told_where_they_stand_in_the_wider_picture():
    place, present = INPUTS.joints(joints(nose=(0.5, 0.5)), 32, 32, LOCATED_MIRROR)
    np.testing.assert_allclose(place[0, COLUMN["nose"]], (0.5 * 32 / 48 * 2 - 1, 0.0), atol=1e-6)
    assert present.sum() == 6


@pytest.mark.parametrize("wrong", [{"hands_px": 10}, {"hands_px": 16, "mirror_votes": True}])
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(InputError, match=r"hands"):
        VideoInput(**{"size_px": 32, "resize_px": 32, **wrong})
