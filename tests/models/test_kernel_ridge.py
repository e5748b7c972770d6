"""Random kernels and a ridge classifier: solved in closed form, and what it says of groups that it has not seen."""

from __future__ import annotations

import torch

from signloom.models import build
from signloom.models.kernel_ridge import KernelRidge, KernelRidgeConfig

SMALL = {"n_classes": 3, "channels": 2, "kernels": 16, "copies": 0}


def clips(n, seed=0):
    """Two channels that swing at a rate of the class, 48 steps."""
    g = torch.Generator().manual_seed(seed)
    label = torch.arange(n) % 3
    time = torch.arange(48) / 48
    phase = torch.rand(n, 1, generator=g) * 6
    x = torch.sin(2 * torch.pi * (label[:, None] + 1) * 2 * time + phase)
    x = torch.stack([x, x.roll(3, 1)], 1) + 0.3 * torch.randn(n, 2, 48, generator=g)
    return x, torch.ones(n, 48, dtype=torch.bool), label


def solved(x, mask, label, group):
    torch.manual_seed(0)
    model = KernelRidge(KernelRidgeConfig(**SMALL)).eval()
    model.bank.settle(x, mask, torch.Generator().manual_seed(0))
    return model, model.solve(model.bank(x, mask), label, group, len(x))


def test_it_tells_what_it_has_not_seen():
    x, mask, label = clips(60)
    model, left_out = solved(x, mask, label, torch.arange(60) % 4)
    other, its_mask, its_label = clips(60, seed=1)
    assert (model(other, its_mask).argmax(1) == its_label).float().mean() > 0.9
    assert (left_out.argmax(1) == label).float().mean() > 0.9


def test_the_head_is_the_ridge_classifier_of_all_and_left_out_scores_are_of_the_rest():
    x, mask, label = clips(30)
    group = torch.arange(30) % 3
    model, left_out = solved(x, mask, label, group)
    figures = model.features(x, mask).double()
    wanted = torch.nn.functional.one_hot(label, 3).double() - 1 / 3
    penalty = 0.3 * figures.shape[1] * torch.eye(figures.shape[1], dtype=torch.double)

    def ridge(rows):
        a = figures[rows]
        return torch.linalg.solve(a.T @ a + penalty, a.T @ wanted[rows])

    torch.testing.assert_close(model(x, mask).double(), 10 * figures @ ridge(torch.arange(30)), atol=1e-4, rtol=1e-3)
    for g in range(3):
        own, rest = group == g, torch.nonzero(group != g)[:, 0]
        torch.testing.assert_close(left_out[own].double(), 10 * figures[own] @ ridge(rest), atol=1e-4, rtol=1e-3)


def test_a_checkpoint_keeps_its_kernels():
    x, mask, label = clips(12)
    model, _ = solved(x, mask, label, torch.arange(12) % 2)
    torch.manual_seed(5)
    again = build("kernel_ridge", SMALL).eval()
    assert not torch.equal(again.bank.kernel_1, model.bank.kernel_1)
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(x, mask), model(x, mask))


def test_steps_that_are_not_real_say_nothing():
    x, mask, label = clips(12)
    model, _ = solved(x, mask, label, torch.arange(12) % 2)
    mask[:, 30:] = False
    other = x.clone()
    other[:, :, 30:] = 7.0
    torch.testing.assert_close(model(other, mask), model(x, mask))


def test_more_clips_than_figures_are_solved_the_same():
    x, mask, label = clips(300)
    small = {**SMALL, "kernels": 4, "dilations": (1, 2)}
    torch.manual_seed(0)
    model = KernelRidge(KernelRidgeConfig(**small)).eval()
    model.solve(model.bank(x, mask), label, torch.arange(300) % 3, 300)
    figures = model.features(x, mask).double()
    assert figures.shape[1] < 300
    wanted = torch.nn.functional.one_hot(label, 3).double() - 1 / 3
    penalty = 0.3 * figures.shape[1] * torch.eye(300, dtype=torch.double)
    dual = figures.T @ torch.linalg.solve(figures @ figures.T + penalty, wanted)
    torch.testing.assert_close(model(x, mask).double(), 10 * figures @ dual, atol=1e-4, rtol=1e-3)
