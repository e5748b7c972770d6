"""The recognisers of sensor recordings: what every model must do (as in test_contract.py), and their own promises."""

from __future__ import annotations

from dataclasses import asdict

import pytest
import torch

from signloom.models.inception_time import InceptionTime, InceptionTimeConfig
from signloom.models.sensor_net import SensorNet, SensorNetConfig

CASES = {
    "inception_time": (InceptionTime, InceptionTimeConfig(7, 6, n_steps=24)),
    "inception_time, a bottleneck and two members": (InceptionTime, InceptionTimeConfig(7, 40, members=2)),
    "sensor_net": (SensorNet, SensorNetConfig(7, 6, n_steps=24, kernels=16, hidden=16)),
    "sensor_net, one channel": (SensorNet, SensorNetConfig(7, 1, kernels=16, hidden=16, members=1)),
}


def inputs(model, n_clips, n_steps=24, seed=0):
    g = torch.Generator().manual_seed(seed)
    mask = torch.ones(n_clips, n_steps, dtype=torch.bool)
    return torch.randn(n_clips, model.config.channels, n_steps, generator=g), mask


@pytest.fixture(params=list(CASES))
def model(request):
    kind, config = CASES[request.param]
    torch.manual_seed(0)
    return kind(config)


def settled(model):
    """``model`` in use, with batch norm that has seen clips."""
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = None
    with torch.no_grad():
        model(*inputs(model, 8, seed=1))
    return model.eval()


def test_inception_time_has_the_published_size():
    """455,090 at 12 channels and 50 classes, with batch norm's running statistics and without its counters."""
    kept = InceptionTime(InceptionTimeConfig(n_classes=50, channels=12)).state_dict()
    assert sum(value.numel() for name, value in kept.items() if not name.endswith("num_batches_tracked")) == 455_090


def test_a_bottleneck_stands_only_where_there_are_more_than_32_channels():
    for channels, bottleneck in ((32, False), (33, True)):
        names = InceptionTime(InceptionTimeConfig(5, channels)).state_dict()
        assert ("members.0.blocks.0.bottleneck.weight" in names) is bottleneck
        assert "members.0.blocks.1.bottleneck.weight" in names


def test_inception_time_has_no_bias_before_a_norm_and_a_projection_every_third():
    network = InceptionTime(InceptionTimeConfig(5, 12)).members[0]
    assert [n for n, m in network.named_modules() if isinstance(m, torch.nn.Conv1d) and m.bias is not None] == []
    assert [s[0].in_channels for s in network.shortcuts] == [12, 128]


def test_logits_and_features_have_the_shapes_promised(model):
    members = model.config.members
    logits = model(*inputs(model, 3))
    single = isinstance(model, InceptionTime) and members == 1
    assert logits.shape == ((3, 7) if single else (3, members, 7))
    settled(model)
    assert model(*inputs(model, 3)).shape == (3, 7)
    features = model.features(*inputs(model, 3))
    assert features.ndim == 2
    assert features.shape[1] % members == 0
    if members > 1:
        torch.testing.assert_close(model(*inputs(model, 3)).exp().sum(1), torch.ones(3))


def test_gradients_reach_every_parameter(model):
    settled(model)  # in training, dropout may silence any of them
    model(*inputs(model, 6)).square().sum().backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert silent == []


def test_a_clip_scores_the_same_alone_and_in_any_batch(model):
    settled(model)
    x, mask = inputs(model, 5)
    mask[2, 15:] = False
    with torch.inference_mode():
        together = model(x, mask)
        alone = torch.cat([model(x[i : i + 1], mask[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


def test_what_a_masked_step_holds_does_not_matter(model):
    settled(model)
    x, mask = inputs(model, 2)
    mask[:, 17:] = False
    scribbled = x.clone()
    scribbled[:, :, 17:] = 99.0
    with torch.inference_mode():
        torch.testing.assert_close(model(x, mask), model(scribbled, mask))


def test_time_matters(model):
    settled(model)
    x, mask = inputs(model, 2)
    with torch.inference_mode():
        a, b = model(x, mask), model(x.flip(2), mask)
    assert (a - b).abs().max() > 1e-3 * a.std()


def test_saving_and_building_again_gives_the_same_logits(model, tmp_path):
    from safetensors.torch import load_file, save_file

    settled(model)
    save_file(model.state_dict(), tmp_path / "m.safetensors")
    again = type(model)(type(model.config)(**asdict(model.config)))
    again.load_state_dict(load_file(tmp_path / "m.safetensors"))
    with torch.inference_mode():
        torch.testing.assert_close(model(*inputs(model, 2)), again.eval()(*inputs(model, 2)))


def test_a_bank_of_kernels_is_drawn_from_its_seed_and_does_not_learn():
    banks = []
    for k in (1, 2):
        torch.manual_seed(k)
        banks.append(SensorNet(SensorNetConfig(7, 6, kernels=16)).members)
    one, other = banks
    assert (one[0].bank.kernel_2 == other[0].bank.kernel_2).all()
    assert not (one[0].bank.kernel_2 == one[1].bank.kernel_2).all()
    assert list(one[0].bank.parameters()) == []
    kernel = one[0].bank.kernel_1
    seen = (kernel.abs().sum(2) > 0).sum(1)
    assert set(seen.tolist()) == {1, 2, 3}
    torch.testing.assert_close(kernel.sum(2), torch.zeros(16, 6), atol=1e-5, rtol=0)
