from __future__ import annotations

import torch

from signloom.media.skeleton_files import KINECT_PARENTS
from signloom.models import build


def net(**changes):
    torch.manual_seed(0)
    return build("skeleton_net", {"n_classes": 5, "parents": KINECT_PARENTS, "width": 8, "members": 3, **changes})


def clips(n=4, t=11):
    g = torch.Generator().manual_seed(0)
    return torch.randn(n, t, 20, 3, generator=g), torch.ones(n, t, dtype=torch.bool)


def test_members_learn_apart_and_vote_together():
    model = net()
    assert model(*clips()).shape == (4, 3, 5)
    torch.testing.assert_close(model.eval()(*clips()).exp().sum(1), torch.ones(4))


def test_a_member_knows_nothing_of_the_others():
    model = net(view_dropout=0.0, dropout=0.0, head_dropout=0.0)
    logits = model(*clips())
    logits[:, 1].square().sum().backward()
    stem = model.stem.weight.grad.view(3, 8, -1)
    assert stem[1].abs().sum() > 0
    assert not stem[[0, 2]].abs().sum()


def test_what_a_masked_frame_holds_does_not_matter():
    model = net().eval()
    x, mask = clips()
    mask[:, 7:] = False
    changed = x.clone()
    changed[:, 7:] = 5.0
    with torch.inference_mode():
        torch.testing.assert_close(model(x, mask), model(changed, mask))


def test_features_are_those_that_the_head_is_told():
    model = net().eval()
    with torch.inference_mode():
        found = model.features(*clips())
        assert found.shape == (4, model.n_features)
        torch.testing.assert_close(model.told(found), model(*clips()))


def test_views_are_dropped_in_training_only():
    model = net(view_dropout=0.9)
    seen = model._views(*clips())
    torch.manual_seed(0)
    dropped = model._told_to_members(seen)
    assert (dropped == 0).all(2).float().mean() > 0.7
    whole = model.eval()._told_to_members(seen)
    torch.testing.assert_close(whole.view(4, 3, -1, 11)[:, 2], torch.cat(seen, 1))
