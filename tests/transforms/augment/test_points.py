"""Points of poses of any format: mirrored by name, there and back, interpolated without inventing."""

from __future__ import annotations

import numpy as np
import pytest

from signloom.data.skeleton import INDEX, MIRROR, joints_of
from signloom.errors import InputError
from signloom.synthetic.body import FACE_NUMBERS
from signloom.synthetic.corpus import Settings, make_takes
from signloom.transforms.augment import Facts, Policy, points_of_pose
from signloom.transforms.augment.points import nearest, points_of_arrays, pose_with
from signloom.transforms.geometry import scaling, translation


@pytest.fixture(scope="module")
def pose():
    """A procedural signer's, as MediaPipe would name it; do not change it."""
    return make_takes(1, 1, 1, 0, Settings(size_px=(160, 120), fps=5.0))[0].pose()


def mirrored(pose):
    matrix = translation(160, 0) @ scaling(-1, 1)
    return pose_with(pose, points_of_pose(pose).placed(matrix), 5.0)


def test_a_pose_comes_back_as_it_was(pose):
    again = pose_with(pose, points_of_pose(pose), 5.0)
    np.testing.assert_allclose(np.ma.getdata(again.body.data), np.ma.getdata(pose.body.data), rtol=1e-5, atol=1e-4)
    assert np.array_equal(again.body.confidence, pose.body.confidence)


def test_a_mirrored_pose_is_the_mirrored_joints(pose):
    before, after = joints_of(pose), joints_of(mirrored(pose))
    expected = np.where(before.present_TJ[..., None], before.xy_TJC * [-1, 1] + [160, 0], 0)[:, MIRROR]
    np.testing.assert_allclose(after.xy_TJC, expected, atol=1e-3)
    twice = mirrored(mirrored(pose))
    np.testing.assert_allclose(np.ma.getdata(twice.body.data), np.ma.getdata(pose.body.data), atol=1e-3)


def test_every_face_point_has_the_pair_that_a_symmetric_face_says(pose):
    """The procedural face is symmetric at rest: mirrored about its middle it is itself."""
    from signloom.synthetic.body import face_points, make_signer

    layout = points_of_pose(pose).layout
    rest = face_points(np.zeros((1, 5)), make_signer(0))[0]
    order = layout.mirror_P[layout.face] - layout.face[0]
    np.testing.assert_allclose(rest[order], rest * [-1, 1], atol=1e-9)
    assert len(order) == len(FACE_NUMBERS)


def test_an_openpose_face_is_exchanged_too(people):
    before = people.pose_of([people.person(3, 300.0)])
    points = points_of_pose(before)
    order = points.layout.mirror_P
    assert not points.layout.unpaired
    assert np.array_equal(order[order], np.arange(people.POINTS))
    face = people.SLICES["face_keypoints_2d"].start
    assert [order[face + k] - face for k in (0, 17, 36, 48, 68)] == [16, 26, 45, 54, 69]
    body = people.BODY
    assert order[body.index("LElbow")] == body.index("RElbow")
    assert order[body.index("Nose")] == body.index("Nose")
    left, right = (people.SLICES[f"hand_{side}_keypoints_2d"].start for side in ("left", "right"))
    assert order[left + 4] == right + 4


def test_a_face_whose_pairs_are_not_known_is_refused_by_a_mirror_alone(pose):
    header = pose.header
    names = [c.points for c in header.components]
    face = next(c for c in header.components if c.name == "FACE_LANDMARKS")
    kept = list(face.points)
    try:
        face.points = [*kept[:-1], "5"]  # of the mesh, and no outline
        points = points_of_pose(pose)
        points.placed(translation(3, 0))
        with pytest.raises(InputError, match="not of point '5' of FACE_LANDMARKS"):
            points.placed(scaling(-1, 1))
    finally:
        face.points = kept
    assert [c.points for c in header.components] == names


def test_several_people_are_refused(people):
    with pytest.raises(InputError, match="a pose of 2 people"):
        points_of_pose(people.pose_of([people.person(3, 300.0), people.person(3, 900.0)]))


def test_between_frames_no_point_is_blended_with_an_absence():
    xy = np.zeros((3, 82, 2), np.float32)
    xy[:, 0, 0] = [10, 20, 30]
    here = np.ones((3, 82), bool)
    here[1, 0] = False
    points = points_of_arrays(xy, here).at(np.array([0.4, 0.6, 1.5]), between=True)
    assert points.here_TP[:, 0].tolist() == [True, False, True]
    assert points.xy_TPC[0, 0, 0] == 10  # its own place, not one on the way to nowhere
    assert points.xy_TPC[2, 0, 0] == 30
    assert points_of_arrays(xy, np.ones((3, 82), bool)).at(np.array([0.5]), between=True).xy_TPC[0, 0, 0] == 15


def test_the_nearest_frame_is_within_the_clip_and_ascends():
    assert nearest(np.array([-0.6, 0.5, 1.49, 7.0]), 3).tolist() == [0, 1, 1, 2]


@pytest.mark.parametrize("name", ["lost-hand", "ghost-hand"])
def test_hands_are_lost_or_found_twice_for_a_while(name, pose):
    points = points_of_pose(pose)
    draw = Policy("one", ({"do": name, "chance": 1.0, "share": 0.6},)).draw(4, Facts((160, 120), len(points), 5.0))
    changed = draw.points(points)
    left, right = points.layout.hands
    if name == "lost-hand":
        gone = [(points.here_TP[:, h].any(1) & ~changed.here_TP[:, h].any(1)).sum() for h in (left, right)]
        assert sorted(g > 0 for g in gone) == [False, True]
        assert max(gone) < len(points)
    else:
        same = np.isclose(changed.xy_TPC[:, left], changed.xy_TPC[:, right]).all((1, 2))
        assert 0 < same.sum() < len(points)
    other = np.setdiff1d(np.arange(points.xy_TPC.shape[1]), np.concatenate([left, right]))
    assert np.array_equal(changed.xy_TPC[:, other], points.xy_TPC[:, other])


def test_clothes_are_trunk_and_arms_and_neither_face_nor_hands(pose):
    from signloom.transforms.augment.picture import clothes_mask

    frame = np.full((120, 160, 3), 120, np.uint8)
    points = points_of_pose(pose)
    mask = clothes_mask(frame, points, 0)
    joints = joints_of(pose)
    shoulders = joints.xy_TJC[0, [INDEX["left_shoulder"], INDEX["right_shoulder"]]]
    x, y = (shoulders.mean(0) + np.array([0, 14])).astype(int)
    assert mask[y, x] > 0.9
    nose = joints.xy_TJC[0, INDEX["nose"]].astype(int)
    assert mask[nose[1], nose[0]] < 0.1
