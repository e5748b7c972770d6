"""The square around the signer: the same build on the same pixels, whoever films and whichever estimator looks."""

from __future__ import annotations

import numpy as np
import pytest

from signloom.data.skeleton import INDEX, JOINTS, Joints, joints_of
from signloom.errors import InputError, MediaError
from signloom.streams.signer_crop import SignerCrop, shoulders_in_drawing, warp_drawing
from signloom.transforms.geometry import scaling, translation
from signloom.transforms.pose_map import draw_pose_map, stick_figure

LEFT, RIGHT = INDEX["left_shoulder"], INDEX["right_shoulder"]


def person(n: int = 20, width: float = 80.0, at=(300.0, 200.0), sway: float = 0.0) -> Joints:
    xy = np.zeros((n, len(JOINTS), 2), np.float32)
    present = np.zeros((n, len(JOINTS)), bool)
    move = sway * np.sin(np.linspace(0, 2 * np.pi, n))
    for joint, side in ((LEFT, 1), (RIGHT, -1)):
        xy[:, joint] = np.stack([at[0] + side * width / 2 + move, np.full(n, at[1])], 1)
        present[:, joint] = True
    return Joints(xy, present, 25.0, present.astype(np.float32))


def moved(joints: Joints, matrix: np.ndarray) -> np.ndarray:
    return joints.xy_TJC @ matrix[:2, :2].T + matrix[:2, 2]


@pytest.mark.parametrize("size", [256, 512])
@pytest.mark.parametrize(("width", "at"), [(40.0, (100.0, 90.0)), (80.0, (300.0, 200.0)), (333.0, (960.0, 700.0))])
def test_shoulders_stand_on_the_same_pixels_however_the_camera_stood(size, width, at):
    for crop in (SignerCrop(size_px=size), SignerCrop(size_px=size, across=0.6)):
        got = np.median(moved(joints := person(width=width, at=at, sway=width / 20), crop.matrix(joints)), 0)
        for joint, side in ((LEFT, 1), (RIGHT, -1)):
            assert got[joint] == pytest.approx((size * (crop.across + side / 6), crop.height * size), abs=1)


def test_training_and_use_cut_alike_and_a_few_bad_frames_change_nothing():
    crop, joints = SignerCrop(), person(40, sway=5)
    whole = crop.matrix(joints)
    xy, present, sure = joints.xy_TJC.copy(), joints.present_TJ.copy(), joints.confidence_TJ.copy()
    present[:4, LEFT], xy[:4, LEFT] = False, 0  # not found
    xy[4:7, RIGHT], sure[4:7, RIGHT] = (900, 900), 0.05  # a wild guess
    got = crop.matrix(Joints(xy, present, 25.0, sure))
    assert np.abs(moved(joints, got) - moved(joints, whole))[:, [LEFT, RIGHT]].max() <= 3  # of 512, at a sway of 5


def test_both_shoulders_never_seen_is_an_error_with_a_reason():
    joints = person()
    joints.present_TJ[:, LEFT] = False
    with pytest.raises(MediaError) as error:
        SignerCrop().matrix(joints)
    assert error.value.reason == "no-shoulders"


def test_it_cuts_by_openpose_as_by_mediapipe():
    import numpy.ma as ma
    from pose_format import Pose
    from pose_format.numpy import NumPyPoseBody
    from pose_format.pose_header import PoseHeader, PoseHeaderComponent, PoseHeaderDimensions

    def pose(component: str, left: str, right: str) -> Pose:
        header = PoseHeader(
            0.2, PoseHeaderDimensions(640, 480), [PoseHeaderComponent(component, [left, right], [], [], "XYC")]
        )
        data = np.tile(np.array([[340.0, 200], [260, 200]], np.float32), (5, 1, 1, 1))
        return Pose(header, NumPyPoseBody(25, ma.array(data), np.ones((5, 1, 2), np.float32)))

    crop = SignerCrop()
    one = crop.matrix(joints_of(pose("pose_keypoints_2d", "LShoulder", "RShoulder")))
    other = crop.matrix(joints_of(pose("POSE_LANDMARKS", "LEFT_SHOULDER", "RIGHT_SHOULDER")))
    assert one == pytest.approx(other)
    assert one == pytest.approx(crop.matrix(person()))


def test_pictures_move_with_the_joints():
    joints = person(3, width=60, at=(120, 100))
    frame = np.zeros((200, 240, 3), np.uint8)
    for joint in (LEFT, RIGHT):
        x, y = joints.xy_TJC[0, joint].astype(int)
        frame[y - 3 : y + 3, x - 3 : x + 3] = 255
    crop = SignerCrop(size_px=120)
    (square,) = crop.pictures([frame], matrix := crop.matrix(joints))
    for joint in (LEFT, RIGHT):
        x, y = moved(joints, matrix)[0, joint].astype(int)
        assert square[y - 1 : y + 1, x - 1 : x + 1].min() > 200
    assert (square > 128).sum() < 0.02 * square.size


def test_it_knows_how_much_of_it_lies_outside_the_picture():
    crop, joints = SignerCrop(size_px=120, height=0.5), person(width=40, at=(60, 60))
    matrix = crop.matrix(joints)  # a square from 0 to 120
    assert crop.outside(matrix, 500, 120) == pytest.approx(0, abs=1e-6)
    assert crop.outside(matrix, 120, 90) == pytest.approx(0.25)
    assert crop.outside(matrix, 60, 60) == pytest.approx(0.75)


def test_a_wall_of_one_colour_replaces_what_is_behind():
    crop = SignerCrop(size_px=64, background="#00ff00")
    noise = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)  # nobody is in it
    for square in crop.pictures(noise, np.eye(3)):
        assert (np.abs(square.astype(int) - (0, 255, 0)).max(2) < 60).mean() > 0.5


@pytest.mark.parametrize(
    "wrong", [{"size_px": 7}, {"shoulders": 0.5}, {"height": 2}, {"across": -1}, {"background": "greenish"}]
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        SignerCrop(**wrong)


def test_shoulders_are_read_off_a_drawing():
    joints = person(1, width=70, at=(110, 90))
    drawing = stick_figure(draw_pose_map(joints, 0, np.eye(3), 200))[:170]
    left, right = shoulders_in_drawing(drawing)
    assert left == pytest.approx((145, 90), abs=2.5)
    assert right == pytest.approx((75, 90), abs=2.5)
    assert shoulders_in_drawing(np.zeros((50, 60, 3), np.uint8)) is None


def test_a_drawing_keeps_its_colours():
    drawing = stick_figure(draw_pose_map(person(1, width=70, at=(110, 90)), 0, np.eye(3), 200))
    large = warp_drawing(drawing, scaling(2.3) @ translation(-20.4, -10.7), 300)
    assert {tuple(c) for c in large.reshape(-1, 3)} <= {tuple(c) for c in drawing.reshape(-1, 3)} | {(0, 0, 0)}
