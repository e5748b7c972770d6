from __future__ import annotations

from dataclasses import fields

import pytest
import torch

from signloom.transforms.sensor_augment import SensorAugment, rotations
from signloom.transforms.sensor_input import Worn

NOTHING = {f.name: 0.0 for f in fields(SensorAugment)}
WORN = (
    Worn("left", (0, 1, 2, 3, 4, 5, 6), ((0, 1, 2), (4, 5, 6)), ()),
    Worn("right", (7, 8, 9, 10, 11, 12), ((7, 8, 9),), ((10, 11, 12),)),
)


def clips(n=6, t=40, real=40, seed=0):
    g = torch.Generator().manual_seed(seed)
    mask = (torch.arange(t) < real).repeat(n, 1)
    return torch.randn(n, 13, t, generator=g) * mask[:, None], mask


def changed(x, mask, seed=0, **strengths):
    step = SensorAugment(**{**NOTHING, **strengths})
    return step(x, mask, torch.Generator().manual_seed(seed), vectors=WORN)


@pytest.mark.parametrize("real", [40, 25, 1])
def test_at_strength_zero_clips_stay_as_they_are(real):
    x, mask = clips(real=real)
    y, here = changed(x, mask)
    assert (here == mask).all()
    torch.testing.assert_close(y, x, atol=1e-5, rtol=1e-5)


def test_the_same_seed_gives_the_same_clips_and_inputs_stay_untouched():
    x, mask = clips()
    kept = x.clone(), mask.clone()
    a, b, c = (SensorAugment()(x, mask, torch.Generator().manual_seed(s), vectors=WORN)[0] for s in (1, 1, 2))
    assert (a == b).all()
    assert not (a == c).all()
    assert (x == kept[0]).all()
    assert (mask == kept[1]).all()


def test_a_sensor_turns_as_a_whole_and_lengths_stay():
    x, mask = clips()
    y, _ = changed(x, mask, rotate_deg=60.0)
    for triple in ((0, 1, 2), (4, 5, 6), (7, 8, 9)):
        torch.testing.assert_close(y[:, list(triple)].norm(dim=1), x[:, list(triple)].norm(dim=1))
        assert not torch.allclose(y[:, list(triple)], x[:, list(triple)], atol=0.05)
    # Angles between two vectors of one sensor stay; the other sensor turns by itself.
    torch.testing.assert_close((y[:, :3] * y[:, 4:7]).sum(1), (x[:, :3] * x[:, 4:7]).sum(1), atol=1e-4, rtol=1e-4)
    assert not torch.allclose((y[:, :3] * y[:, 7:10]).sum(1), (x[:, :3] * x[:, 7:10]).sum(1), atol=0.05)
    torch.testing.assert_close(y[:, [3, 10, 11, 12]], x[:, [3, 10, 11, 12]])  # no vector of it, or of another frame


def test_a_level_frame_turns_about_the_vertical():
    x, mask = clips()
    y, _ = changed(x, mask, turn_deg=60.0)
    torch.testing.assert_close(y[:, :10], x[:, :10])
    torch.testing.assert_close(y[:, 12], x[:, 12])
    torch.testing.assert_close(y[:, 10:12].norm(dim=1), x[:, 10:12].norm(dim=1))
    assert not torch.allclose(y[:, 10:12], x[:, 10:12], atol=0.05)


def test_what_is_dropped_is_gone_and_never_everything():
    x, mask = clips(n=200)
    y, _ = changed(x, mask, drop_sensor=0.5)
    left, right = y[:, :7].abs().sum((1, 2)) == 0, y[:, 7:].abs().sum((1, 2)) == 0
    assert 0.15 < left.float().mean() < 0.45
    assert 0.15 < right.float().mean() < 0.45
    assert not (left & right).any()
    y, _ = changed(x, mask, drop_channels=0.3)
    gone = y.abs().sum(2) == 0
    for triple in ((0, 1, 2), (7, 8, 9), (10, 11, 12)):
        assert (gone[:, list(triple)].sum(1) % 3 == 0).all()  # a vector goes as a whole
    assert 0.2 < gone[:, 3].float().mean() < 0.4
    y, _ = changed(x, mask, drop_span=1.0)
    assert ((y.abs().sum(1) == 0).sum(1) == 8).all()


def test_a_warp_in_time_stays_within_the_clip_and_keeps_its_ends():
    ramp = torch.arange(40.0).clamp(max=24).expand(50, 13, 40)
    mask = (torch.arange(40) < 25).repeat(50, 1)
    y, _ = changed(ramp * mask[:, None], mask, speed=0.4)
    moved = y[:, 0, :25]
    assert (moved.diff(dim=1) > 0).all()  # time never runs backwards
    torch.testing.assert_close(moved[:, [0, 24]], torch.tensor([[0.0, 24.0]]).expand(50, 2), atol=1e-3, rtol=0)
    assert (moved - ramp[:, 0, :25]).abs().max() > 1
    y, _ = changed(ramp * mask[:, None], mask, trim=0.2)
    assert 0 < y[:, 0, 0].max() <= 4.8 + 1e-3
    assert 19.2 - 1e-3 <= y[:, 0, 24].min() < 24


def test_rotations_turn_about_their_axis():
    m = rotations(torch.tensor([[0.0, 0.0, 2.0]]), torch.tensor([torch.pi / 2]))[0]
    torch.testing.assert_close(m, torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]), atol=1e-6, rtol=0)
