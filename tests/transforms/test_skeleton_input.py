from __future__ import annotations

import numpy as np
import pytest

from signloom.data.corpus import HeldClip
from signloom.data.skeleton import Joints, joints_of
from signloom.errors import InputError
from signloom.media.skeleton_files import KINECT_POINTS, kinect_pose
from signloom.transforms import inputs_of
from signloom.transforms.skeleton_input import SkeletonInput

HIP, NECK = KINECT_POINTS.index("hip_center"), KINECT_POINTS.index("shoulder_center")
LEFT, RIGHT = KINECT_POINTS.index("left_shoulder"), KINECT_POINTS.index("right_shoulder")


def body(frames=20, seed=0):
    """A body of random proportions that trembles: places (T, 20, 3) in metres."""
    rng = np.random.default_rng(seed)
    still = rng.normal(0, 0.3, (20, 3))
    still[HIP], still[NECK] = [0, 0, 0], [0, 0.5, 0]
    still[LEFT], still[RIGHT] = [-0.2, 0.5, 0], [0.2, 0.5, 0]
    return (still + rng.normal(0, 0.01, (frames, 20, 3)) + [0.3, -0.2, 3.0]).astype(np.float32)


def joints(places, found=None):
    found = np.ones(places.shape[:2], bool) if found is None else found
    return joints_of(kinect_pose(places, found, 30.0))


def turned(places, degrees):
    a = np.deg2rad(degrees)
    turn = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    middle = np.array([0.3, -0.2, 3.0])
    return ((places - middle) @ turn.T + middle).astype(np.float32)


def test_it_has_the_hips_in_the_origin_and_torsos_of_length_one():
    made = SkeletonInput(n_frames=16).from_joints(joints(body()))
    x = made["skeleton"]
    assert (x.shape, x.dtype) == ((16, 20, 3), np.float32)
    assert made["skeleton_mask"].all()
    np.testing.assert_allclose(np.median(x[:, HIP], 0), 0, atol=0.02)
    assert np.linalg.norm(x[:, NECK] - x[:, HIP], axis=-1).mean() == pytest.approx(1, abs=0.02)


def test_where_the_body_stands_and_how_large_it_is_do_not_matter():
    step = SkeletonInput(n_frames=20)
    near = step.from_joints(joints(body()))["skeleton"]
    moved = step.from_joints(joints((body() * 1.3 + [0.5, 0.1, -0.4]).astype(np.float32)))["skeleton"]
    np.testing.assert_allclose(near, moved, atol=1e-4)


@pytest.mark.parametrize("degrees", [40, -70])
def test_facing_front_takes_out_where_the_camera_stood(degrees):
    seen, other = joints(body()), joints(turned(body(), degrees))
    front, as_is = SkeletonInput(n_frames=20), SkeletonInput(n_frames=20, face_front=False)
    np.testing.assert_allclose(front.from_joints(seen)["skeleton"], front.from_joints(other)["skeleton"], atol=0.04)
    across = front.from_joints(other)["skeleton"][:, RIGHT] - front.from_joints(other)["skeleton"][:, LEFT]
    assert across[:, 0].min() > 0.7
    assert np.abs(as_is.from_joints(seen)["skeleton"] - as_is.from_joints(other)["skeleton"]).max() > 0.3


def test_a_clip_is_stretched_from_its_first_frame_to_its_last():
    places = body(11)
    made = SkeletonInput(n_frames=21).from_joints(joints(places))["skeleton"]
    plain = SkeletonInput(n_frames=11).from_joints(joints(places))["skeleton"]
    np.testing.assert_allclose(made[::2], plain, atol=1e-5)
    np.testing.assert_allclose(made[1], (plain[0] + plain[1]) / 2, atol=1e-5)
    assert SkeletonInput(n_frames=4).from_joints(joints(places[:1]))["skeleton"].shape == (4, 20, 3)


def test_what_was_not_found_is_filled_in_and_nothing_is_nan():
    found = np.ones((20, 20), bool)
    found[5:9, 7] = False
    found[:, 3 + 12] = False  # never
    made = SkeletonInput(n_frames=20).from_joints(joints(body(), found))["skeleton"]
    whole = SkeletonInput(n_frames=20).from_joints(joints(body()))["skeleton"]
    assert np.isfinite(made).all()
    np.testing.assert_allclose(made[:, 7], whole[:, 7], atol=0.1)
    assert np.isfinite(
        SkeletonInput(n_frames=20).from_joints(joints(body(), np.zeros((20, 20), bool)))["skeleton"]
    ).all()


def test_a_pose_from_pictures_is_refused_with_a_way_out():
    flat = Joints(np.zeros((3, 82, 2), np.float32), np.ones((3, 82), bool), 25.0)
    with pytest.raises(InputError, match=r"clip 'a', stream 'pose'.*recipe 'pose'"):
        SkeletonInput().of_clip(HeldClip("a", {"pose": flat}), lambda clip, stream: clip.samples[stream], ("pose",))
    with pytest.raises(InputError, match="at least 2"):
        SkeletonInput(n_frames=1)


def test_shapes_are_those_of_a_clip_and_a_checkpoint_restores_it():
    step = SkeletonInput(n_frames=9, face_front=False)
    made = step.from_joints(joints(body()))
    assert {name: (x.shape, x.dtype.type) for name, x in made.items()} == step.shapes()
    assert inputs_of("skeleton", {"n_frames": 9, "face_front": False}) == step
