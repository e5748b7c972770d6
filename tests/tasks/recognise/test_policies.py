"""Policies while training: the same changes, on what a model sees."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from signloom.data.skeleton import INDEX, JOINTS, MIRROR
from signloom.errors import InputError
from signloom.tasks import recipe_named
from signloom.tasks.recognise.policies import with_policy
from signloom.transforms.augment import NAMED, Policy, policy_named
from signloom.transforms.augment.online import PolicyPoseAugment, PolicyVideoAugment
from signloom.transforms.video_input import VideoInput

T = 12


def joints(batch=3):
    rng = np.random.default_rng(0)
    pose = torch.from_numpy(rng.normal(0, 0.5, (batch, T, len(JOINTS), 2)).astype(np.float32))
    return {"pose": pose, "present": torch.ones((batch, T, len(JOINTS)), dtype=torch.bool)}


def changed(policy, inputs, seed=0):
    augment = with_policy(recipe_named("pose"), policy).augment
    return augment.of_batch(inputs, torch.Generator().manual_seed(seed), None)


def test_no_policy_changes_nothing():
    inputs = joints()
    out = changed(policy_named("none"), inputs)
    torch.testing.assert_close(out["pose"], inputs["pose"], atol=1e-5, rtol=0)
    assert out["present"].all()


def test_a_mirror_exchanges_left_and_right_about_the_signer():
    inputs = joints()
    out = changed(Policy("m", ({"do": "mirror", "chance": 1.0},)), inputs)
    expected = inputs["pose"][:, :, MIRROR] * torch.tensor([-1.0, 1.0])
    torch.testing.assert_close(out["pose"], expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", [n for n in NAMED if n != "viewpoint"])
def test_named_policies_keep_shapes_and_follow_the_generator(name):
    inputs = joints()
    one, same, other = (changed(policy_named(name), inputs, seed) for seed in (1, 1, 2))
    assert one["pose"].shape == inputs["pose"].shape
    assert one["pose"].dtype == torch.float32
    assert torch.isfinite(one["pose"]).all()
    assert torch.equal(one["pose"], same["pose"])
    if name in ("affine", "geometry", "time", "signing", "estimator", "published"):
        assert not torch.equal(one["pose"], other["pose"])
        assert not torch.equal(inputs["pose"], one["pose"])


def test_absent_joints_stay_absent_and_zero():
    inputs = joints()
    inputs["present"][:, :, INDEX["nose"]] = False
    inputs["pose"][:, :, INDEX["nose"]] = 0
    out = changed(policy_named("signing"), inputs)
    assert not out["present"][:, :, INDEX["nose"]].any()
    assert not out["pose"][:, :, INDEX["nose"]].any()


def test_video_sees_the_same_geometry_as_its_joints():
    """What stands at a joint stands at it still: the draw's matrix moves both."""
    draw = PolicyVideoAugment("g", policy_named("geometry").steps).draw(5)
    inputs = VideoInput(n_frames=2, size_px=64, resize_px=64, handedness="as-filmed")
    frames = np.zeros((2, 64, 64, 3), np.uint8)
    frames[:, 30:34, 36:40] = 255
    seen = inputs.frames(frames, draw)
    place, here = inputs.joints(np.tile([38 / 64, 32 / 64, 1], (2, 1, 1)), 64, 64, np.array([0]), draw)
    assert here.all()
    ys, xs = np.mgrid[:64, :64] + 0.5
    weight = seen[0, 0] + 1
    centre = np.array([(xs * weight).sum(), (ys * weight).sum()]) / weight.sum()
    np.testing.assert_allclose((place[0, 0] + 1) * 32, centre, atol=0.5)


def test_video_draws_are_of_the_seed_alone_and_instants_ascend():
    augment = PolicyVideoAugment("s", policy_named("signing").steps)
    one, same, other = augment.draw(1), augment.draw(1), augment.draw(2)
    assert one == same != other
    for draw in (one, other):
        instants = draw.instants(16)
        assert (np.diff(instants) >= 0).all()
        assert 0 <= instants[0] <= instants[-1] < 1
    x = np.random.default_rng(0).uniform(-1, 1, (3, 4, 16, 16)).astype(np.float32)
    assert one.colour(x.copy()).shape == x.shape


def test_no_policy_gives_video_as_filmed():
    draw = PolicyVideoAugment("none").draw(3)
    inputs = VideoInput(n_frames=8, size_px=32, resize_px=32, handedness="as-filmed")
    assert (
        np.array_equal(inputs.rows(20, draw), inputs.rows(20))
        or np.abs(inputs.rows(20, draw) - inputs.rows(20)).max() <= 1
    )
    frames = np.random.default_rng(0).integers(0, 255, (8, 40, 48, 3), np.uint8)
    np.testing.assert_allclose(inputs.frames(frames, draw), inputs.frames(frames), atol=1e-6)


def test_what_cannot_be_done_while_training_is_refused_with_the_way_out():
    with pytest.raises(InputError, match="background, clothes cannot be done while training from video; make copies"):
        with_policy(recipe_named("rgb"), policy_named("wardrobe"))
    with pytest.raises(InputError, match="viewpoint needs depth"):
        with_policy(recipe_named("pose"), policy_named("viewpoint"))
    with pytest.raises(InputError, match="recipe 'imu' takes no policy"):
        with_policy(recipe_named("imu"), policy_named("time"))


def test_a_recipe_with_a_policy_is_plain_json():
    recipe = with_policy(recipe_named("pose"), policy_named("signing"))
    assert isinstance(recipe.augment, PolicyPoseAugment)
    assert json.loads(json.dumps(recipe.as_dict()))["augment"]["steps"][0]["do"] == "temporal-crop"
