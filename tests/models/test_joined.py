"""Several networks whose features are joined: any of their streams may be lacking."""

from __future__ import annotations

import pytest
import torch

from signloom.media.skeleton_files import KINECT_PARENTS
from signloom.models import build

N = 6


def joined(**changes):
    torch.manual_seed(0)
    config = {
        "n_classes": 5,
        "streams": ("pose", "imu"),
        "architectures": ("skeleton_net", "sensor_net"),
        "told": ({"parents": KINECT_PARENTS, "n_frames": 8, "size_px": 7}, {"channels": 6, "n_steps": 16}),
        "settings": ({"width": 8, "members": 2}, {"kernels": 8, "hidden": 16, "members": 3}),
        "hidden": (24, 12),
    }
    return build("joined", {**config, **changes})


def inputs(has_pose=True, has_imu=True, seed=0):
    g = torch.Generator().manual_seed(seed)
    return {
        "skeleton": torch.randn(N, 8, 20, 3, generator=g),
        "skeleton_mask": torch.ones(N, 8, dtype=torch.bool),
        "imu": torch.randn(N, 6, 16, generator=g),
        "imu_mask": torch.ones(N, 16, dtype=torch.bool),
        "has_pose": torch.full((N,), has_pose),
        "has_imu": torch.full((N,), has_imu),
    }


def says(model, made):
    return model(*(made[name] for name in model.reads))


def test_it_reads_what_its_branches_read_and_which_streams_there_are():
    assert joined().reads == ("skeleton", "skeleton_mask", "imu", "imu_mask", "has_pose", "has_imu")


def test_in_training_joint_head_and_every_member_learn():
    model = joined()
    logits = says(model, inputs())
    assert logits.shape == (N, 1 + 2 + 3, 5)
    logits.square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_in_use_it_gives_log_probabilities():
    model = joined().eval()
    torch.testing.assert_close(says(model, inputs()).exp().sum(1), torch.ones(N))
    assert model.features(*(inputs()[name] for name in model.reads)).shape == (N, 12)


@pytest.mark.parametrize("lacking", ["pose", "imu"])
def test_what_a_lacking_stream_holds_does_not_matter(lacking):
    model = joined().eval()
    gone = {f"has_{lacking}": False}
    made, other = inputs(**gone), inputs(**gone, seed=1)
    kept = ("skeleton", "skeleton_mask") if lacking == "imu" else ("imu", "imu_mask")
    other |= {name: made[name] for name in kept}
    with torch.inference_mode():
        torch.testing.assert_close(says(model, made), says(model, other))
        assert (says(model, made) - says(model, inputs())).abs().max() > 1e-4  # and it is missed


def test_without_any_stream_it_still_answers():
    with torch.inference_mode():
        told = says(joined().eval(), inputs(False, False))
    assert torch.isfinite(told).all()
    torch.testing.assert_close(told[0], told[1])


def test_a_branch_learns_nothing_of_clips_that_lack_its_stream():
    model = joined()
    made = inputs(has_imu=False)
    says(model, made).square().sum().backward()
    assert all(p.grad is None or not p.grad.abs().sum() for p in model.branches[1].parameters())
    assert model.absent[1].grad.abs().sum() > 0


def test_a_share_of_the_clips_loses_a_stream_in_training_but_never_all():
    model = joined(stream_dropout=0.5)
    has = torch.tensor([[True, True], [True, False], [False, True], [False, False]]).repeat(500, 1)
    torch.manual_seed(0)
    kept = model._kept(has).view(500, 4, 2)
    assert (kept <= has.view(500, 4, 2)).all()
    assert kept[:, :3].any(-1).all()
    assert 0.6 < (~kept[:, 0]).any(-1).float().mean() < 0.9
    assert (model.eval()._kept(has) == has).all()


def test_what_several_streams_say_is_multiplied_with_what_they_say_jointly():
    apart, mixed = joined(joint_weight=0.0).eval(), joined(joint_weight=0.5).eval()
    made = inputs()
    with torch.inference_mode():
        own = [branch(*(made[n] for n in branch.reads)).log_softmax(-1) for branch in apart.branches]
        torch.testing.assert_close(says(apart, made), sum(own).log_softmax(-1))
        joint = apart.head(apart.features(*(made[n] for n in apart.reads))).log_softmax(-1)
        torch.testing.assert_close(says(mixed, made), (sum(own) + 0.5 * joint).log_softmax(-1))


def test_one_stream_alone_is_left_to_its_branch():
    model = joined().eval()
    made = inputs(has_imu=False)
    with torch.inference_mode():
        alone = model.branches[0](made["skeleton"], made["skeleton_mask"])
        torch.testing.assert_close(says(model, made), alone.log_softmax(-1))


def test_branches_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="2 streams need as many"):
        joined(told=({},))
    with pytest.raises(ValueError, match="has no 'reads'"):
        joined(architectures=("skeleton_net", "light3d"), settings=({}, {}))
