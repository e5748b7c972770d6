"""One draw for everything: joints stay on their dots, flow goes along, nothing is lost, no strength is no change."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signloom.data.skeleton import INDEX, JOINTS, MIRROR, Joints
from signloom.errors import InputError
from signloom.transforms.augment import NAMED, TRANSFORMS, ClipDraw, Facts, Policy, points_of_joints, policy_named
from signloom.transforms.augment.draw import Painter
from signloom.transforms.augment.policy import as_toml, describe_policies, read_policy, transform_type

SIZE = (160, 120)
MOVING = ["translate", "rotate", "scale", "homothety", "shear", "mirror", "affine"]
TIMED = ["speed", "time-warp", "temporal-crop", "frame-drop", "down-sample", "up-sample", "rate"]
PAINTED = ["salt", "pepper", "mean-blur", "median", "blur", "light", "colour", "noise", "compress"]


def facts(n_frames=9, fps=15.0):
    return Facts(SIZE, n_frames, fps)


def clip(n_frames=9, seed=0):
    """Frames with a soft dot on one joint, and the joints; the dot wanders."""
    xy = np.random.default_rng(seed).uniform(20, 100, (n_frames, len(JOINTS), 2)).astype(np.float32)
    way = np.stack([np.linspace(60, 95, n_frames), np.linspace(70, 45, n_frames)], 1)
    xy[:, INDEX["right_wrist"]] = way
    ys, xs = np.mgrid[: SIZE[1], : SIZE[0]] + 0.5
    dots = [250 * np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / 18) for x, y in way]
    frames = [np.repeat(d[..., None], 3, 2).round().astype(np.uint8) for d in dots]
    return frames, Joints(xy, np.ones((n_frames, len(JOINTS)), bool), 15.0, size_px=SIZE)


def dot_of(frame):
    weight = frame[..., 0].astype(float)
    weight[weight < 0.15 * weight.max()] = 0
    ys, xs = np.mgrid[: SIZE[1], : SIZE[0]] + 0.5
    return np.array([(xs * weight).sum(), (ys * weight).sum()]) / weight.sum()


def wrist(draw):
    """Which joint the dot is on: a mirror makes the right wrist the left one."""
    return INDEX["left_wrist" if np.linalg.det(draw.matrix) < 0 else "right_wrist"]


chains = st.lists(st.sampled_from(MOVING + TIMED), min_size=1, max_size=6)


@given(chain=chains, seed=st.integers(0, 2**31))
@settings(max_examples=60)
def test_a_joint_stays_on_its_dot_through_any_chain(chain, seed):
    frames, joints = clip()
    draw = Policy("chain", tuple({"do": name, "chance": 1.0} for name in chain)).draw(seed, facts())
    changed, points = list(draw.pictures(frames)), draw.points(points_of_joints(joints))
    assert len(changed) == len(points) == draw.n_frames
    for frame, place in zip(changed, points.xy_TPC[:, wrist(draw)]):
        if (place > 12).all() and (place < np.array(SIZE) - 12).all():
            scale = abs(np.linalg.det(draw.matrix)) ** 0.5
            assert np.linalg.norm(dot_of(frame) - place) <= 0.5 * max(scale, 1)


@given(chain=st.lists(st.sampled_from(MOVING + TIMED + PAINTED), max_size=6), seed=st.integers(0, 2**31))
@settings(max_examples=40)
def test_no_frame_is_lost_and_sizes_stay(chain, seed):
    frames, joints = clip(6)
    draw = Policy("chain", tuple({"do": name, "chance": 1.0} for name in chain)).draw(seed, facts(6))
    changed = list(draw.pictures(frames))
    assert len(changed) == draw.n_frames == len(draw.joints(joints)) >= 2
    assert all(frame.shape == frames[0].shape and frame.dtype == np.uint8 for frame in changed)
    assert (np.diff(draw.rows) >= 0).all()
    if not set(chain) & set(TIMED):
        assert draw.n_frames == 6


@given(chain=chains, seed=st.integers(0, 2**31))
@settings(max_examples=25)
def test_a_box_holds_its_joint_through_any_chain(chain, seed):
    _, joints = clip()
    draw = Policy("chain", tuple({"do": name} for name in chain)).draw(seed, facts())
    place = joints.xy_TJC[:, INDEX["right_wrist"]]
    boxes = draw.boxes(np.concatenate([place - 4, place + 4], 1))
    now = draw.points(points_of_joints(joints)).xy_TPC[:, wrist(draw)]
    inside = np.clip(now, 0, SIZE)
    assert (boxes[:, :2] <= inside + 1e-3).all()
    assert (boxes[:, 2:] >= inside - 1e-3).all()


@pytest.mark.parametrize("name", MOVING)
def test_flow_vectors_go_along(name):
    """A vector at the joint is the joint's own step, before and after."""
    _, joints = clip()
    step = np.diff(joints.xy_TJC[:, INDEX["right_wrist"]], axis=0, prepend=joints.xy_TJC[:1, INDEX["right_wrist"]])
    flow = np.tile(step[:, None, None], (1, SIZE[1], SIZE[0], 1)).astype(np.float32)
    draw = Policy("one", ({"do": name, "chance": 1.0},)).draw(3, facts())
    changed, now = draw.flow(flow), draw.points(points_of_joints(joints)).xy_TPC[:, wrist(draw)]
    for t in range(1, len(now)):
        x, y = now[t].astype(int)
        if 2 < x < SIZE[0] - 2 and 2 < y < SIZE[1] - 2:
            np.testing.assert_allclose(changed[t, y, x], now[t] - now[t - 1], atol=1e-3)


@pytest.mark.parametrize("name", TIMED)
def test_flow_adds_up_over_frames_that_are_left_out(name):
    _, joints = clip()
    way = joints.xy_TJC[:, INDEX["right_wrist"]]
    flow = np.tile(np.diff(way, axis=0, prepend=way[:1])[:, None, None], (1, 8, 8, 1)).astype(np.float32)
    draw = Policy("one", ({"do": name, "chance": 1.0},)).draw(5, facts())
    now = draw.points(points_of_joints(joints)).xy_TPC[:, INDEX["right_wrist"]]
    np.testing.assert_allclose(draw.flow(flow)[1:, 4, 4], np.diff(now, axis=0), atol=1e-3)


def test_a_mirror_twice_is_no_change():
    frames, joints = clip()
    draw = Policy("twice", ({"do": "mirror", "chance": 1.0},) * 2).draw(0, facts())
    assert len(draw.steps) == 2
    for a, b in zip(draw.pictures(frames), frames):
        assert np.array_equal(a, b)
    twice = draw.joints(joints)
    np.testing.assert_allclose(twice.xy_TJC, joints.xy_TJC, atol=1e-4)
    maps = np.random.default_rng(0).integers(0, 255, (9, 120, 120, 18), np.uint8)
    square = Policy("twice", ({"do": "mirror", "chance": 1.0},) * 2).draw(0, Facts((120, 120), 9, 15.0))
    assert np.array_equal(square.pose_maps(maps), maps)


def test_a_mirror_exchanges_left_and_right_joints_and_limbs():
    from signloom.transforms.pose_map import CHANNELS

    _, joints = clip()
    draw = Policy("one", ({"do": "mirror", "chance": 1.0},)).draw(0, facts())
    expected = joints.xy_TJC[:, MIRROR] * [-1, 1] + [SIZE[0], 0]
    np.testing.assert_allclose(draw.joints(joints).xy_TJC, expected, atol=1e-4)
    maps = np.zeros((9, 120, 120, 18), np.uint8)
    maps[:, 40:60, 10:30, CHANNELS.index("left_forearm")] = 255
    square = Policy("one", ({"do": "mirror", "chance": 1.0},)).draw(0, Facts((120, 120), 9, 15.0))
    changed = square.pose_maps(maps)
    assert changed[0, 50, 100, CHANNELS.index("right_forearm")] == 255
    assert not changed[..., CHANNELS.index("left_forearm")].any()


@pytest.mark.parametrize("name", TRANSFORMS)
def test_strength_0_changes_nothing(name):
    frames, joints = clip()
    draw = Policy("one", ({"do": name},)).scaled(0).draw(1, facts())
    for a, b in zip(draw.pictures(frames, points_of_joints(joints), lambda f: np.ones(f.shape[:2])), frames):
        assert np.array_equal(a, b)
    assert draw.n_frames == 9
    assert np.array_equal(draw.joints(joints).xy_TJC, joints.xy_TJC)
    assert np.array_equal(draw.joints(joints).present_TJ, joints.present_TJ)


def test_the_same_seed_is_the_same_draw_and_another_is_not():
    policy = policy_named("signing")
    frames, _ = clip()
    one, same, other = policy.draw([1, 2], facts()), policy.draw([1, 2], facts()), policy.draw([1, 3], facts())
    assert one == same != other
    assert all(np.array_equal(a, b) for a, b in zip(one.pictures(frames), same.pictures(frames)))


def test_what_one_change_draws_shifts_no_other():
    """A change in the strength of one step leaves the draws of those behind it as they were."""
    a = Policy("a", ({"do": "salt", "share": 0.1}, {"do": "rotate"})).draw(7, facts())
    b = Policy("b", ({"do": "salt", "share": 0.0}, {"do": "rotate"})).draw(7, facts())
    np.testing.assert_allclose(a.matrix, b.matrix)


def test_frames_are_changed_as_they_come_as_all_at_once():
    frames, _ = clip()
    draw = policy_named("published").draw(4, facts())
    painter = Painter(draw)
    pushed = [changed for frame in frames for changed in painter.push(frame)]
    assert all(np.array_equal(a, b) for a, b in zip(pushed, draw.pictures(frames), strict=True))


def test_frames_given_are_not_changed():
    frames, joints = clip()
    kept = [frame.copy() for frame in frames]
    for name in ("published", "appearance", "omit-face"):
        list(policy_named(name).draw(1, facts()).pictures(frames, points_of_joints(joints)))
    assert all(np.array_equal(a, b) for a, b in zip(frames, kept))


def test_a_policy_in_turn_gives_each_copy_the_next_step():
    policy = policy_named("published-each")
    names = [[step["do"] for step in policy.draw(1, facts(40), copy=k).about] for k in range(7)]
    assert names == [["affine"], ["pepper"], ["salt"], ["mean-blur"], ["median"], ["down-sample"], ["up-sample"]]


def test_published_values():
    affine = transform_type("affine")()
    areas, angles = [], []
    for seed in range(300):
        linear = np.array(affine.drawn(np.random.default_rng(seed), facts()).matrix)[:2, :2]
        areas.append(np.linalg.det(linear))
        angles.append(np.degrees(np.arctan2(linear[1, 0], linear[0, 0])))
    assert 0.7 <= min(areas) < 0.75
    assert 1.25 < max(areas) <= 1.3
    assert -17.01 < min(angles) < -14
    assert 14 < max(angles) < 17.01
    assert policy_named("published").names == (
        "pepper", "salt", "affine", "mean-blur", "median", "pepper", "salt", "down-sample", "up-sample"
    )  # fmt: skip


@pytest.mark.parametrize("name", NAMED)
def test_a_named_policy_written_as_a_file_is_the_same_policy(name, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(as_toml(policy_named(name)), encoding="utf-8")
    assert read_policy(file).as_dict() == policy_named(name).as_dict()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps = 3", "steps are written as"),
        ("[[steps]]\ndo = 'spin'", "there is no change 'spin'; there is translate"),
        ("[[steps]]\ndo = 'rotate'\nangle = 3", "'rotate' has no 'angle'; it has chance, deg"),
        ("[[steps]]\ndo = 'rotate'\ndeg = 'much'", "'deg' is 'much', expected a number"),
        ("[[steps]]\ndo = 'rotate'\nchance = 2", "'chance' is 2, expected 0 to 1"),
        ("[[steps]]\ndeg = 2", "does not say what to do"),
        ("[[steps]]\ndo = 'median'\nsize_px = 4", "expected an odd number"),
        ("[[steps]]\ndo = 'background'\npictures = 'none-here'", "no folder with pictures"),
        ("picks = 'all'", "a policy has no 'picks'"),
        ("pick = 'some'", "pick is 'some', expected all or in-turn"),
        ("[[steps", "is not a policy"),
    ],
)
def test_a_policy_that_cannot_be_used_is_told_apart(text, message, tmp_path):
    file = tmp_path / "p.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_policy(file)


def test_all_changes_are_described():
    text = describe_policies()
    assert all(name in text for name in (*TRANSFORMS, *NAMED))


def test_a_draw_that_changes_nothing_gives_the_frames_themselves():
    frames, _ = clip()
    assert [id(f) for f in ClipDraw(facts()).pictures(frames)] == [id(f) for f in frames]
