"""What every model must do; a new architecture is added to CASES and is tested like the others."""

from __future__ import annotations

import pytest
import torch

from signloom.data.skeleton import PARENT, PARTS
from signloom.models import ARCHITECTURES, build

PARTS_CONFIG = {name: (where.start, where.stop) for name, where in PARTS.items()}
CASES = {
    "pose_transformer": {
        "n_classes": 7,
        "parents": tuple(int(p) for p in PARENT),
        **PARTS_CONFIG,
        "n_frames": 16,
        "width": 32,
        "depth": 2,
        "heads": 4,
        "members": 2,
    },
}


def inputs(n_clips, n_frames=16, seed=0):
    g = torch.Generator().manual_seed(seed)
    pose = torch.randn(n_clips, n_frames, len(PARENT), 2, generator=g)
    present = torch.rand(n_clips, n_frames, len(PARENT), generator=g) > 0.2
    return pose, present, torch.ones(n_clips, n_frames, dtype=torch.bool)


def test_every_architecture_has_a_case():
    assert set(CASES) == set(ARCHITECTURES)


@pytest.fixture(params=sorted(CASES))
def model(request):
    torch.manual_seed(0)
    return build(request.param, CASES[request.param])


def test_logits_have_one_column_per_class(model):
    assert model.eval()(*inputs(3)).shape == (3, 7)


def test_members_learn_apart_and_vote_together(model):
    apart = model(*inputs(3))
    assert apart.shape == (3, 2, 7)
    model.eval()
    torch.testing.assert_close(model(*inputs(3)).exp().sum(1), torch.ones(3))


def test_gradients_reach_every_parameter(model):
    pose, present, mask = inputs(6)
    present[0, :, PARTS["left_hand"]] = False  # so that the vector for an absent part is used as well
    present[1, :, PARTS["face"]] = False
    present[2, :, PARTS["body"]] = False
    model.eval()  # in training, dropout may silence any of them
    model(pose, present, mask).square().sum().backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert silent == []


def test_a_clip_scores_the_same_alone_and_in_any_batch(model):
    model.eval()
    with torch.inference_mode():
        together = model(*inputs(5))
        alone = torch.cat([model(*(x[i : i + 1] for x in inputs(5))) for i in range(5)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_what_an_absent_joint_holds_does_not_matter(model):
    model.eval()
    pose, present, mask = inputs(2)
    scribbled = torch.where(present.unsqueeze(-1), pose, torch.full_like(pose, 99.0))
    with torch.inference_mode():
        torch.testing.assert_close(model(pose, present, mask), model(scribbled, present, mask))


def test_what_a_masked_frame_holds_does_not_matter(model):
    model.eval()
    pose, present, mask = inputs(2)
    mask[:, 12:] = False
    changed = pose.clone()
    changed[:, 12:] = 5.0
    with torch.inference_mode():
        torch.testing.assert_close(model(pose, present, mask), model(changed, present, mask))


def test_time_matters(model):
    model.eval()
    pose, present, mask = inputs(2)
    with torch.inference_mode():
        assert not torch.allclose(model(pose, present, mask), model(pose.flip(1), present.flip(1), mask), atol=1e-3)


def test_saving_and_building_again_gives_the_same_logits(model, tmp_path):
    from dataclasses import asdict

    from safetensors.torch import load_file, save_file

    architecture = next(a for a, (_, name, _) in ARCHITECTURES.items() if name == type(model).__name__)
    save_file(model.state_dict(), tmp_path / "m.safetensors")
    again = build(architecture, asdict(model.config))
    again.load_state_dict(load_file(tmp_path / "m.safetensors"))
    with torch.inference_mode():
        torch.testing.assert_close(model.eval()(*inputs(2)), again.eval()(*inputs(2)))


def test_two_thousand_classes_are_within_range(model):
    architecture = next(a for a, (_, name, _) in ARCHITECTURES.items() if name == type(model).__name__)
    large = build(architecture, {**CASES[architecture], "n_classes": 2000})
    assert large.eval()(*inputs(2)).shape == (2, 2000)
