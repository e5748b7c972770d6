"""One signer's movement on another's body."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from signloom.data.skeleton import BODY_JOINTS, FACE_JOINTS, INDEX, JOINTS, PARTS, Joints, joints_of, shoulder_width_px
from signloom.synthetic import LEXICON, Settings, Take, make_signer
from signloom.transforms.retarget import (
    LIMIT,
    Proportions,
    body_proportions,
    common_proportions,
    face_motion,
    moved_lines,
    retarget,
)

OTHER = {"upper_arm": 1.2, "forearm": 1.15, "hand": 0.85, "neck": 1.1, "ears": 1.15, "eyes": 1.15, "trunk": 0.9}


@pytest.fixture(scope="module")
def pose():
    return Take(LEXICON[0], make_signer(0), 0, Settings(fps=15)).pose()


@pytest.fixture(scope="module")
def joints(pose):
    return joints_of(pose)


def scaled(build, by=OTHER):
    return replace(build, lengths={k: v * by.get(k, 1.0) for k, v in build.lengths.items()})


def arms_out(n=4):
    """A signer with both arms stretched to the sides, away from face and other hand."""
    xy, present = np.zeros((n, len(JOINTS), 2), np.float32), np.zeros((n, len(JOINTS)), bool)

    def put(name, x, y):
        xy[:, INDEX[name]] = x, y
        present[:, INDEX[name]] = True

    put("nose", 200, 60)
    for side, sign in (("left", 1), ("right", -1)):
        put(f"{side}_eye", 200 + 12 * sign, 50)
        put(f"{side}_ear", 200 + 25 * sign, 52)
        put(f"{side}_shoulder", 200 + 50 * sign, 120)
        put(f"{side}_elbow", 200 + 110 * sign, 160)
        put(f"{side}_wrist", 200 + 180 * sign, 130)
        put(f"{side}_root", 200 + 180 * sign, 130)
        put(f"{side}_middle_1", 200 + 205 * sign, 120)
        put(f"{side}_middle_4", 200 + 235 * sign, 110)
        put(f"{side}_hip", 200 + 35 * sign, 280)
    xy[:, :, 0] += present * np.arange(n, dtype=np.float32)[:, None]
    return Joints(xy, present, 25.0)


def bone(joints, start, end):
    return joints.xy_TJC[:, INDEX[end]].astype(float) - joints.xy_TJC[:, INDEX[start]]


def test_own_proportions_change_nothing(joints):
    own = body_proportions(joints)
    assert np.array_equal(retarget(joints, own, own).xy_TJC, joints.xy_TJC)


def test_the_lengths_become_the_targets(joints):
    source = arms_out()
    build = body_proportions(source)
    target = scaled(build)
    got = body_proportions(retarget(source, build, target))
    assert got.lengths == pytest.approx(target.lengths, rel=1e-4)
    assert shoulder_width_px(retarget(source, build, target)) == shoulder_width_px(source)
    # and from a real build to another's
    other = body_proportions(joints)
    got = body_proportions(retarget(source, build, other))
    within = {k for k in build.lengths if 1 / LIMIT < other.lengths[k] / build.lengths[k] < LIMIT} - {"eyes"}
    assert len(within) >= 3
    for name in within:
        assert got.lengths[name] == pytest.approx(other.lengths[name], rel=1e-3)


@pytest.mark.parametrize("side", ["left", "right"])
def test_bones_keep_their_directions(side):
    source = arms_out()
    build = body_proportions(source)
    moved = retarget(source, build, scaled(build))
    for start, end in (
        (f"{side}_shoulder", f"{side}_elbow"),
        (f"{side}_elbow", f"{side}_wrist"),
        (f"{side}_root", f"{side}_middle_4"),
        ("nose", f"{side}_eye"),
    ):
        before, after = bone(source, start, end), bone(moved, start, end)
        cosine = (before * after).sum(1) / np.linalg.norm(before, axis=1) / np.linalg.norm(after, axis=1)
        assert cosine == pytest.approx(1, abs=1e-6), (start, end)


def test_it_is_the_same_in_the_mirror(joints):
    own = body_proportions(joints)
    target = scaled(own)
    assert body_proportions(joints.mirrored()).lengths == pytest.approx(own.lengths)
    straight = retarget(joints, own, target).mirrored().xy_TJC
    assert retarget(joints.mirrored(), own, target).xy_TJC == pytest.approx(straight, abs=1e-3)


def test_a_hand_on_the_face_stays_on_its_place_there():
    source = arms_out()
    xy = source.xy_TJC.copy()
    tip = INDEX["right_middle_4"]
    shift = xy[:, [INDEX["nose"]]] + [2, 14] - xy[:, [tip]]
    moving = [tip, *(INDEX[f"right_{n}"] for n in ("wrist", "root", "middle_1"))]
    xy[:, moving] += shift
    source = replace(source, xy_TJC=xy)
    build = body_proportions(arms_out())
    target = scaled(build)
    moved = retarget(source, build, target)
    assert bone(moved, "nose", "right_middle_4") == pytest.approx(1.15 * bone(source, "nose", "right_middle_4"), abs=1)
    # the other hand goes with its arm
    assert np.array_equal(moved.xy_TJC[:, INDEX["left_wrist"]], retarget(arms_out(), build, target).xy_TJC[:, 9])


def test_hands_that_touch_go_on_touching():
    source = arms_out()
    xy = source.xy_TJC.copy()
    for side, sign in (("left", 1), ("right", -1)):
        for k, name in enumerate(("wrist", "root", "middle_1", "middle_4")):
            xy[:, INDEX[f"{side}_{name}"]] = 200 + sign * (60 - 58 * max(0, k - 1) / 2), 200
    source = replace(source, xy_TJC=xy)
    build = body_proportions(arms_out())
    moved = retarget(source, build, scaled(build, {"upper_arm": 1.3, "forearm": 1.3}))
    assert bone(moved, "right_middle_4", "left_middle_4") == pytest.approx(np.full((4, 2), [4, 0]), abs=0.5)


def test_nothing_jumps_where_a_joint_is_lost_for_a_frame(joints):
    own = body_proportions(joints)
    present = joints.present_TJ.copy()
    lost = [INDEX["left_elbow"], INDEX["right_elbow"]]
    present[5, lost] = False
    gappy = replace(joints, present_TJ=present, xy_TJC=np.where(present[..., None], joints.xy_TJC, 0))
    whole, moved = (retarget(j, own, scaled(own)) for j in (joints, gappy))
    assert np.array_equal(moved.present_TJ, present)
    assert not moved.xy_TJC[5, lost].any()
    hands = slice(PARTS["left_hand"].start, PARTS["right_hand"].stop)
    assert np.abs(whole.xy_TJC[5, hands] - moved.xy_TJC[5, hands]).max() < 0.05 * shoulder_width_px(joints)


def test_a_hand_without_its_root_stays_at_its_wrist():
    source = arms_out()
    present = source.present_TJ.copy()
    present[:, INDEX["left_root"]] = False
    source = replace(source, present_TJ=present, xy_TJC=np.where(present[..., None], source.xy_TJC, 0))
    build = body_proportions(arms_out())
    moved = retarget(source, build, scaled(build))
    assert bone(moved, "left_wrist", "left_middle_4") == pytest.approx(
        0.85 * bone(source, "left_wrist", "left_middle_4")
    )


def test_outlines_move_with_the_face(pose, joints):
    own = body_proportions(joints)
    target = scaled(own)
    moved = retarget(joints, own, target)
    points = [INDEX[n] for n in FACE_JOINTS]
    ends = np.concatenate([joints.xy_TJC[:, points[:2]], np.full((len(joints), 2, 1), 0.5)], 2)
    line = moved_lines(ends[:, None], face_motion(joints, own, target))
    assert line[:, 0, :, :2] == pytest.approx(moved.xy_TJC[:, points[:2]], abs=1e-3)
    assert (line[..., 2] == 0.5).all()
    outlines = joints.lines_TN2C
    assert moved_lines(outlines, face_motion(joints, own, target)).shape == outlines.shape
    none = np.zeros((len(joints), 0, 2, 3))  # a pose without a face
    assert moved_lines(none, face_motion(joints, own, target)).shape == none.shape


def test_what_was_not_measured_is_not_changed_and_no_bone_is_changed_beyond_measure():
    source = arms_out()
    build = body_proportions(source)
    only = Proportions({"forearm": 9.0})
    moved = retarget(source, build, only)
    other = [INDEX[n] for n in BODY_JOINTS if "wrist" not in n]
    assert np.array_equal(moved.xy_TJC[:, other], source.xy_TJC[:, other])
    assert bone(moved, "left_elbow", "left_wrist") == pytest.approx(LIMIT * bone(source, "left_elbow", "left_wrist"))
    nobody = replace(source, present_TJ=np.zeros_like(source.present_TJ))
    assert body_proportions(nobody) == Proportions()
    assert np.array_equal(retarget(source, body_proportions(nobody), build).xy_TJC, source.xy_TJC)


def test_a_signer_is_measured_over_clips_that_are_filmed_from_near_and_far(joints):
    build = body_proportions(joints)
    far = replace(joints, xy_TJC=joints.xy_TJC * np.float32(0.4))
    assert common_proportions([joints, far, far]).lengths == pytest.approx(build.lengths, abs=1e-4)
    assert common_proportions([]) == Proportions()


def test_proportions_survive_json(joints):
    build = body_proportions(joints)
    assert Proportions.of(json.loads(json.dumps(asdict(build)))) == build
