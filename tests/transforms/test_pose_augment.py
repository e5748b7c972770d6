from __future__ import annotations

from dataclasses import fields

import pytest
import torch

from signloom.data.skeleton import INDEX, MIRROR, PARTS
from signloom.transforms.pose_augment import PoseAugment, crop_time

NOTHING = PoseAugment(**{f.name: 0.0 for f in fields(PoseAugment)})
MIRROR_J = torch.from_numpy(MIRROR)


def clips(n=4, t=24, seed=0):
    g = torch.Generator().manual_seed(seed)
    pose = torch.randn(n, t, len(MIRROR), 2, generator=g)
    present = torch.rand(n, t, len(MIRROR), generator=g) > 0.1
    return pose * present.unsqueeze(-1), present


def augmented(step, pose, present, seed=0):
    return step(pose, present, torch.Generator().manual_seed(seed), mirror_J=MIRROR_J, parts=dict(PARTS))


def test_at_strength_zero_clips_stay_as_they_are():
    pose, present = clips()
    x, here = augmented(NOTHING, pose, present)
    assert (here == present).all()
    torch.testing.assert_close(x, pose, atol=1e-5, rtol=1e-5)


def test_the_same_seed_gives_the_same_clips_and_inputs_stay_untouched():
    pose, present = clips()
    kept = pose.clone(), present.clone()
    a, b, c = (augmented(PoseAugment(), pose, present, seed) for seed in (1, 1, 2))
    assert (a[0] == b[0]).all()
    assert (a[1] == b[1]).all()
    assert not (a[0] == c[0]).all()
    assert (pose == kept[0]).all()
    assert (present == kept[1]).all()


def test_mirroring_swaps_sides_so_a_right_hander_becomes_a_left_hander():
    pose, present = clips()
    mirror = PoseAugment(**{f.name: 0.0 for f in fields(PoseAugment)} | {"mirror": 1.0})
    x, here = augmented(mirror, pose, present)
    left, right = INDEX["left_index_4"], INDEX["right_index_4"]
    torch.testing.assert_close(x[:, :, left, 0], -pose[:, :, right, 0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(x[:, :, left, 1], pose[:, :, right, 1], atol=1e-5, rtol=1e-5)
    assert (here[:, :, left] == present[:, :, right]).all()
    twice, _ = augmented(mirror, x, here)
    torch.testing.assert_close(twice, pose, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("strength", ["rotate_deg", "scale", "shear", "shift"])
def test_a_change_of_view_moves_every_joint_of_a_frame_by_one_map(strength):
    """Points on a line stay on a line: one matrix per clip, applied to all joints."""
    pose, present = clips(n=2)
    present[:] = True
    a, b = INDEX["face_chin"], INDEX["nose"]
    pose[:, :, INDEX["left_hip"]] = 0.5 * (pose[:, :, a] + pose[:, :, b])
    step = PoseAugment(**{f.name: 0.0 for f in fields(PoseAugment)} | {strength: getattr(PoseAugment(), strength)})
    x, _ = augmented(step, pose, present)
    middle = 0.5 * (x[:, :, a] + x[:, :, b])
    torch.testing.assert_close(x[:, :, INDEX["left_hip"]], middle, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(x, pose, atol=1e-3)


def test_dropped_parts_are_absent_and_zero():
    pose, present = clips()
    step = PoseAugment(**{f.name: 0.0 for f in fields(PoseAugment)} | {"drop_hand": 1.0, "drop_face": 1.0})
    x, here = augmented(step, pose, present)
    for part in ("left_hand", "right_hand", "face"):
        assert not here[:, :, PARTS[part]].any()
        assert (x[:, :, PARTS[part]] == 0).all()
    assert (here[:, :, PARTS["body"]] == present[:, :, PARTS["body"]]).all()


def test_a_crop_of_the_whole_is_the_whole_and_of_a_part_is_that_part():
    pose, present = clips(n=2, t=21)
    x, here = crop_time(pose, present, 0.0, 1.0)
    torch.testing.assert_close(x, pose, atol=1e-5, rtol=1e-5)
    assert (here == present).all()
    ramp = torch.linspace(0, 1, 21)[None, :, None, None].expand(1, 21, len(MIRROR), 2)
    x, _ = crop_time(ramp, torch.ones(1, 21, len(MIRROR), dtype=torch.bool), 0.25, 0.75)
    torch.testing.assert_close(x[0, :, 0, 0], torch.linspace(0.25, 0.75, 21), atol=1e-5, rtol=1e-5)
