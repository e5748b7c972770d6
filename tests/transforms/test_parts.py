"""Face and hands found from the pose map alone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from signloom.errors import InputError
from signloom.transforms.parts import part_boxes
from signloom.transforms.pose_map import CHANNELS, FINGER_ROWS


def hand(pose_map: np.ndarray, x: int, y: int, reach: int) -> None:
    """Five fingers that spread upwards from (x, y)."""
    for n, row in enumerate(range(*FINGER_ROWS.indices(len(CHANNELS)))):
        channel = np.ascontiguousarray(pose_map[..., row])
        cv2.line(channel, (x, y), (x + (n - 2) * reach // 4, y - reach), 200, 3)
        pose_map[..., row] = channel


def line(pose_map: np.ndarray, limb: str, start, end, value: int, width: int) -> None:
    channel = np.ascontiguousarray(pose_map[..., CHANNELS.index(limb)])
    cv2.line(channel, start, end, value, width)
    pose_map[..., CHANNELS.index(limb)] = channel


def signer(size: int = 256) -> np.ndarray:
    pose_map = np.zeros((size, size, len(CHANNELS)), np.uint8)
    face = np.zeros((size, size), np.uint8)
    cv2.ellipse(face, (130, 50), (20, 25), 0, 0, 360, 255, 2)
    cv2.line(face, (122, 62), (138, 62), 255, 3)
    pose_map[..., 0] = face
    line(pose_map, "right_forearm", (30, 200), (70, 160), 255, 4)
    return pose_map


def middle(box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def test_face_and_hands_stand_in_the_middle_of_their_boxes():
    pose_map = signer()
    hand(pose_map, 70, 160, 40)
    hand(pose_map, 180, 200, 40)
    boxes = part_boxes(pose_map)
    assert sorted(boxes) == ["face", "hand_1", "hand_2"]
    for name, place in {"face": (130, 50), "hand_1": (70, 140), "hand_2": (180, 180)}.items():
        assert boxes[name][2] - boxes[name][0] == boxes[name][3] - boxes[name][1] == 64
        assert np.allclose(middle(boxes[name]), place, atol=6), name


def test_touching_hands_are_two_and_overlapping_ones_are_one():
    pose_map = signer()
    hand(pose_map, 100, 180, 50)
    hand(pose_map, 150, 180, 50)
    assert {"hand_1", "hand_2"} <= set(part_boxes(pose_map))
    pose_map = signer()
    hand(pose_map, 120, 180, 50)
    hand(pose_map, 130, 180, 50)
    boxes = part_boxes(pose_map)
    assert "hand_2" not in boxes
    assert np.allclose(middle(boxes["hand_1"]), (125, 157), atol=8)


def test_boxes_stay_inside_the_picture_and_move_with_its_size():
    pose_map = signer()
    hand(pose_map, 250, 254, 30)
    box = part_boxes(pose_map)["hand_1"]
    assert box[2:] == (256, 256)
    small = np.stack(
        [cv2.resize(pose_map[..., k], (128, 128), interpolation=cv2.INTER_AREA) for k in range(len(CHANNELS))], -1
    )
    assert np.allclose(np.array(part_boxes(small)["face"]) * 2, part_boxes(pose_map)["face"], atol=3)


def test_the_halo_of_a_body_limb_and_specks_are_no_hand():
    pose_map = signer()
    line(pose_map, "trunk", (128, 90), (128, 250), 255, 4)
    for side in (-3, 3):  # what the edge of a drawn limb looks like in the fingers' channels
        line(pose_map, "thumb", (128 + side, 90), (128 + side, 250), 180, 1)
    pose_map[10, 10, FINGER_ROWS] = 255
    assert sorted(part_boxes(pose_map)) == ["face"]


def test_an_empty_picture_has_no_parts_and_another_shape_is_refused():
    assert part_boxes(np.zeros((64, 64, len(CHANNELS)), np.uint8)) == {}
    with pytest.raises(InputError, match="pose map must be"):
        part_boxes(np.zeros((64, 64, 3), np.uint8))
