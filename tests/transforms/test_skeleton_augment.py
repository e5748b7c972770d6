from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch

from signloom.media.skeleton_files import KINECT_PARENTS, KINECT_POINTS, OTHER_SIDE
from signloom.transforms.skeleton_augment import SkeletonAugment

NONE = SkeletonAugment(**{f.name: 0.0 for f in fields(SkeletonAugment)})


def clips(n=8, t=16):
    return torch.randn(n, t, 20, 3, generator=torch.Generator().manual_seed(0))


def changed(augment, x=None, seed=1):
    return augment(clips() if x is None else x, torch.Generator().manual_seed(seed))


def bones(x):
    return (x - x[:, :, list(KINECT_PARENTS)]).norm(dim=-1)


def test_at_strength_zero_nothing_changes():
    torch.testing.assert_close(changed(NONE), clips(), atol=1e-5, rtol=1e-5)


def test_the_same_seed_draws_the_same_and_another_does_not():
    usual = SkeletonAugment()
    torch.testing.assert_close(changed(usual), changed(usual))
    assert (changed(usual) - changed(usual, seed=2)).abs().max() > 0.01


def test_other_viewpoints_keep_every_length_and_the_vertical():
    turned = changed(replace(NONE, yaw_deg=90.0))
    torch.testing.assert_close(bones(turned), bones(clips()))
    torch.testing.assert_close(turned[..., 1], clips()[..., 1])
    assert (turned - clips()).abs().max() > 0.1
    torch.testing.assert_close(bones(changed(replace(NONE, tilt_deg=30.0))), bones(clips()))


def test_bones_change_by_one_factor_each_a_clip_and_left_as_right():
    factor = bones(changed(replace(NONE, bone_scale=0.3))) / bones(clips()).clamp(min=1e-6)
    joints = [j for j, start in enumerate(KINECT_PARENTS) if j != start]
    torch.testing.assert_close(factor[:, 0], factor[:, -1])
    torch.testing.assert_close(factor[:, :, joints], factor[:, :, [OTHER_SIDE[j] for j in joints]])
    assert factor[:, 0, joints].std() > 0.05
    hips = KINECT_POINTS.index("hip_center")
    torch.testing.assert_close(changed(replace(NONE, bone_scale=0.3))[:, :, hips], clips()[:, :, hips])


def test_a_mirror_exchanges_the_sides():
    mirrored = changed(replace(NONE, mirror=1.0))
    left, right = KINECT_POINTS.index("left_wrist"), KINECT_POINTS.index("right_wrist")
    torch.testing.assert_close(mirrored[:, :, left], clips()[:, :, right] * torch.tensor([-1.0, 1.0, 1.0]))


def test_a_dropped_joint_stands_still():
    still = changed(replace(NONE, drop_joint=1.0))
    torch.testing.assert_close(still, clips().mean(1, keepdim=True).expand_as(still))


@pytest.mark.parametrize("strength", [{"speed": 0.4}, {"trim": 0.2}])
def test_time_is_warped_in_order(strength):
    ramp = torch.arange(16.0).view(1, 16, 1, 1).expand(8, 16, 20, 3).contiguous()
    warped = changed(replace(NONE, **strength), ramp)
    assert (warped.diff(dim=1) >= -1e-4).all()
    assert (warped - ramp).abs().max() > 0.2
    assert warped.min() >= 0
    assert warped.max() <= 15


def test_of_a_batch_only_the_skeleton_changes():
    inputs = {"skeleton": clips(), "skeleton_mask": torch.ones(8, 16, dtype=torch.bool), "imu": torch.ones(8, 6, 4)}
    made = SkeletonAugment().of_batch(inputs, torch.Generator().manual_seed(0), None)
    assert made["imu"] is inputs["imu"]
    assert made["skeleton_mask"] is inputs["skeleton_mask"]
    assert (made["skeleton"] - inputs["skeleton"]).abs().max() > 0.01
