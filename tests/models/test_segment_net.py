"""The segmenter's network: it looks back alone, and frame by frame it says what it says of all at once."""

from __future__ import annotations

from dataclasses import asdict

import pytest
import torch

from signloom.models import build
from signloom.transforms import INPUTS

CONFIG = {"n_features": 9, "hidden": 16, "layers": 2}


@pytest.fixture
def net():
    torch.manual_seed(0)
    return build("segment_net", CONFIG).eval()


def frames(n=2, t=30):
    return torch.randn(n, t, 9, generator=torch.Generator().manual_seed(1))


def test_it_says_what_it_takes(net):
    assert net.takes in INPUTS


def test_frame_by_frame_is_as_all_at_once(net):
    with torch.inference_mode():
        whole, end = net(frames(), net.begin(2))
        state, parts = net.begin(2), []
        for t in range(30):
            said, state = net(frames()[:, t : t + 1], state)
            parts.append(said)
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(state, end, atol=1e-6, rtol=1e-5)
    assert whole.shape == (2, 30, 3)


def test_the_future_does_not_matter_and_the_past_does(net):
    other = frames().clone()
    other[:, 20:] += 1
    with torch.inference_mode():
        a, b = net(frames(), net.begin(2))[0], net(other, net.begin(2))[0]
        assert torch.equal(a[:, :20], b[:, :20])
        other = frames().clone()
        other[:, 0] += 1
        assert not torch.equal(net(other, net.begin(2))[0][:, 3], a[:, 3])


def test_gradients_reach_every_parameter(net):
    net.train()
    net(frames(), net.begin(2))[0].square().sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_it_is_built_again_from_its_config(net):
    again = build("segment_net", asdict(net.config))
    again.load_state_dict(net.state_dict())
    with torch.inference_mode():
        assert torch.equal(again.eval()(frames(), again.begin(2))[0], net(frames(), net.begin(2))[0])
