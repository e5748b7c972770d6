"""Pose maps: drawn from keypoints, read off a stick figure, and back."""

import numpy as np
import pytest

from signloom.data.skeleton import INDEX, JOINTS, Joints
from signloom.errors import InputError
from signloom.transforms.pose_map import (
    CHANNELS,
    FINGER_ROWS,
    draw_pose_map,
    pose_map_of_picture,
    pose_maps_of_pose,
    stick_figure,
)

SIZE = 256


def standing(**places) -> Joints:
    """One frame with only the joints given, in pixels."""
    xy, present = np.zeros((1, len(JOINTS), 2), np.float32), np.zeros((1, len(JOINTS)), bool)
    for name, place in places.items():
        xy[0, INDEX[name]], present[0, INDEX[name]] = place, True
    return Joints(xy, present, 25.0)


ARM = {"right_shoulder": (80, 100), "right_elbow": (60, 180), "right_wrist": (120, 200)}


def channel(pose_map, name):
    return pose_map[..., CHANNELS.index(name)]


def test_a_limb_lies_between_its_joints_and_in_its_channel_alone():
    pose_map = draw_pose_map(standing(**ARM), 0, np.eye(3), SIZE)
    assert pose_map.shape == (SIZE, SIZE, len(CHANNELS))
    assert pose_map.dtype == np.uint8
    rows = np.nonzero((channel(pose_map, "right_upper_arm") > 128).any(1))[0]
    assert abs(rows.min() - 100) <= 3
    assert abs(rows.max() - 180) <= 3
    assert channel(pose_map, "right_upper_arm")[140, 70] > 200  # half-way
    assert channel(pose_map, "right_forearm")[140, 70] == 0
    assert [n for n in CHANNELS if channel(pose_map, n).any()] == ["right_upper_arm", "right_forearm"]


def test_the_matrix_moves_limbs_as_it_moves_joints():
    onto = np.array([[0.5, 0, 40], [0, 0.5, -10], [0, 0, 1.0]])
    moved = draw_pose_map(standing(**ARM), 0, onto, SIZE)
    at_once = draw_pose_map(
        standing(**{k: (0.5 * x + 40, 0.5 * y - 10) for k, (x, y) in ARM.items()}), 0, np.eye(3), SIZE
    )
    assert np.array_equal(moved, at_once)


def test_a_limb_is_as_bright_as_its_joints_are_sure():
    joints = standing(**ARM)
    sure = joints.present_TJ.astype(np.float32)
    sure[0, INDEX["right_wrist"]] = 0.4
    pose_map = draw_pose_map(Joints(joints.xy_TJC, joints.present_TJ, 25.0, sure), 0, np.eye(3), SIZE)
    assert channel(pose_map, "right_upper_arm").max() == 255
    assert channel(pose_map, "right_forearm").max() == round(0.4 * 255)


def test_fingers_brighten_towards_their_tips():
    hand = {f"left_index_{n}": (100, 160 - 20 * n) for n in range(1, 5)} | {"left_root": (100, 160)}
    index = channel(draw_pose_map(standing(**hand), 0, np.eye(3), SIZE), "index")
    assert index[150, 100] < index[110, 100] < index[90, 100] == 255


def test_a_joint_far_outside_the_picture_is_no_trouble():
    pose_map = draw_pose_map(standing(**{**ARM, "right_wrist": (1e9, -1e9)}), 0, np.eye(3), SIZE)
    assert channel(pose_map, "right_upper_arm").any()


def test_limbs_are_read_off_their_stick_figure():
    """Where one limb alone was drawn, its colour names it again; where several cross, one of them."""
    hand = {
        f"left_{f}_{n}": (150 + 14 * k, 130 - 12 * n)
        for k, f in enumerate(("index", "middle", "ring", "little"))
        for n in range(1, 5)
    }
    both = standing(
        **ARM, **hand, left_root=(165, 150), left_shoulder=(180, 100), left_elbow=(200, 180), nose=(130, 40)
    )
    drawn = draw_pose_map(both, 0, np.diag([2.0, 2.0, 1.0]), 2 * SIZE)
    read = pose_map_of_picture(stick_figure(drawn), 2 * SIZE)
    alone = (drawn > 200).sum(-1) == 1
    for k, name in enumerate(CHANNELS):
        own = alone & (drawn[..., k] > 200)
        if own.any():
            assert (read[own].argmax(-1) == k).mean() > 0.95, name


def test_a_picture_is_averaged_after_its_colours_were_told_apart():
    picture = np.zeros((512, 512, 3), np.uint8)
    picture[:, 0::2] = (255, 170, 0)  # right upper arm
    picture[:, 1::2] = (0, 255, 0)  # left forearm: a blend would be a third limb's
    pose_map = pose_map_of_picture(picture, 256)
    present = {n for n in CHANNELS if channel(pose_map, n).max() > 60}
    assert present == {"right_upper_arm", "left_forearm"}


def test_faces_are_white_and_hands_are_dark():
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[10:20, 10:20] = 255
    picture[40:50, 40:50] = (0, 160, 80)
    pose_map = pose_map_of_picture(picture, 64)
    assert channel(pose_map, "face")[15, 15] > 240
    assert pose_map[15, 15, FINGER_ROWS].max() == 0
    assert channel(pose_map, "middle")[45, 45] > 200


@pytest.mark.parametrize("bad", [np.zeros((10, 12, 3), np.uint8), np.zeros((10, 10), np.uint8), np.zeros((10, 10, 3))])
def test_what_is_no_square_picture_is_refused(bad):
    with pytest.raises(InputError, match="stick figure must be uint8"):
        pose_map_of_picture(bad, 64)


def test_a_face_is_drawn_by_the_poses_own_outlines():
    from signloom.synthetic.body import make_signer
    from signloom.synthetic.corpus import Settings, Take
    from signloom.synthetic.lexicon import LEXICON

    pose = Take(LEXICON[0], make_signer(0), 0, Settings()).pose()
    frames = list(pose_maps_of_pose(pose, np.diag([SIZE / pose.header.dimensions.width] * 2 + [1.0]), SIZE))
    assert len(frames) == len(pose.body.data)
    assert all(channel(f, "face").any() for f in frames)
