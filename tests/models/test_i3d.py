"""I3D against TensorFlow's padding rule, a plain network written anew, and the count of the published one."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from signloom.models.i3d import I3D, I3DConfig, MaxPool, Mixed, Unit3D, same_padding


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return I3D(I3DConfig(5)).eval()


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"),
    [
        # Worked by hand: outputs = ceil(size / stride); zeros = (outputs - 1) * stride + kernel - size; odd one after.
        (224, 7, 2, (2, 3)),  # 112 outputs, 111 * 2 + 7 - 224 = 5
        (225, 7, 2, (3, 3)),  # 113 outputs, 112 * 2 + 7 - 225 = 6
        (112, 3, 2, (0, 1)),  # 56 outputs, 55 * 2 + 3 - 112 = 1
        (113, 3, 2, (1, 1)),  # 57 outputs, 56 * 2 + 3 - 113 = 2
        (7, 2, 2, (0, 1)),  # 4 outputs, 3 * 2 + 2 - 7 = 1
        (8, 2, 2, (0, 0)),
        (28, 3, 1, (1, 1)),
        (28, 1, 1, (0, 0)),
        (1, 7, 2, (3, 3)),
        (5, 1, 2, (0, 0)),  # never less than none
    ],
)
def test_same_padding_is_tensorflows(size, kernel, stride, padding):
    assert same_padding(size, kernel, stride) == padding


def padded_by_hand(x, kernel, stride, value=0.0):
    pads = []
    for n, k, s in zip(reversed(x.shape[2:]), reversed(kernel), reversed(stride)):
        n_out = (n + s - 1) // s
        total = max((n_out - 1) * s + k - n, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads, value=value)


def plain_unit(unit, x):
    conv, bn = unit.conv3d, unit.bn
    x = F.conv3d(padded_by_hand(x, conv.kernel_size, conv.stride), conv.weight, conv.bias, conv.stride)
    if bn is None:
        return x
    scale = bn.weight / torch.sqrt(bn.running_var + 0.001)
    x = (x - bn.running_mean[:, None, None, None]) * scale[:, None, None, None] + bn.bias[:, None, None, None]
    return x.clamp(min=0)


def plain_pool(x, kernel, stride):
    return F.max_pool3d(padded_by_hand(x, kernel, stride), kernel, stride)


def plain_mixed(mixed, x):
    b1, b2 = plain_unit(mixed.b1a, x), plain_unit(mixed.b2a, x)
    pooled = plain_pool(x, (3, 3, 3), (1, 1, 1))
    parts = [plain_unit(mixed.b0, x), plain_unit(mixed.b1b, b1), plain_unit(mixed.b2b, b2)]
    return torch.cat([*parts, plain_unit(mixed.b3b, pooled)], 1)


def scrambled(module, seed=0):
    """Batch norm as after training, not at its neutral start."""
    g = torch.Generator().manual_seed(seed)
    for m in module.modules():
        if isinstance(m, torch.nn.BatchNorm3d):
            for tensor in (m.weight.data, m.running_var):
                tensor.copy_(torch.rand(tensor.shape, generator=g) + 0.5)
            for tensor in (m.bias.data, m.running_mean):
                tensor.copy_(torch.randn(tensor.shape, generator=g) * 0.3)
    return module.eval()


@pytest.mark.parametrize("shape", [(9, 21, 22), (8, 16, 17)])
@torch.inference_mode()
def test_the_layers_equal_plain_ones(shape):
    torch.manual_seed(0)
    stem, mixed = scrambled(Unit3D(3, 16, 7, 2)), scrambled(Mixed(16, (8, 6, 8, 4, 8, 8)))
    x = torch.randn(2, 3, *shape)
    ours, plain = stem(x), plain_unit(stem, x)
    torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-5)
    assert ours.shape[2:] == tuple((n + 1) // 2 for n in shape)
    torch.testing.assert_close(mixed(plain), plain_mixed(mixed, plain), atol=1e-5, rtol=1e-5)
    for kernel, stride in (
        ((1, 3, 3), (1, 2, 2)),
        ((3, 3, 3), (2, 2, 2)),
        ((2, 2, 2), (2, 2, 2)),
        ((3, 3, 3), (1,) * 3),
    ):
        assert torch.equal(MaxPool(kernel, stride)(plain), plain_pool(plain, kernel, stride))


@pytest.mark.parametrize("n", range(1, 12))
def test_pooling_of_any_size_equals_plain_pooling(n):
    x = torch.rand(1, 2, n, n + 1, n + 2)
    for kernel, stride in (((1, 3, 3), (1, 2, 2)), ((3, 3, 3), (2, 2, 2)), ((2, 2, 2), (2, 2, 2))):
        assert torch.equal(MaxPool(kernel, stride)(x), plain_pool(x, kernel, stride))


@torch.inference_mode()
def test_the_whole_network_equals_a_plain_one(network):
    scrambled(network)
    x = torch.rand(1, 3, 17, 39, 45) * 2 - 1  # odd everywhere
    h = plain_unit(network.Conv3d_1a_7x7, x)
    h = plain_unit(network.Conv3d_2b_1x1, plain_pool(h, (1, 3, 3), (1, 2, 2)))
    h = plain_pool(plain_unit(network.Conv3d_2c_3x3, h), (1, 3, 3), (1, 2, 2))
    h = plain_mixed(network.Mixed_3c, plain_mixed(network.Mixed_3b, h))
    h = plain_pool(h, (3, 3, 3), (2, 2, 2))
    for letter in "bcdef":
        h = plain_mixed(getattr(network, f"Mixed_4{letter}"), h)
    h = plain_pool(h, (2, 2, 2), (2, 2, 2))
    h = plain_mixed(network.Mixed_5c, plain_mixed(network.Mixed_5b, h))
    assert h.shape == (1, 1024, 3, 2, 2)
    pooled = F.avg_pool3d(h, (2, 2, 2), stride=1)
    logits = plain_unit(network.logits, pooled)[..., 0, 0].transpose(1, 2)
    torch.testing.assert_close(network.frame_logits(x), logits, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(network(x), logits.mean(1), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(network.features(x), pooled.mean((2, 3, 4)), atol=1e-5, rtol=1e-4)


def test_the_number_of_parameters_is_the_published_one():
    def unit(n_in, n_out, kernel):
        return n_in * n_out * kernel + 2 * n_out  # a filter each, and batch norm's scale and shift

    total, n = unit(3, 64, 7**3) + unit(64, 64, 1) + unit(64, 192, 27), 192
    for b0, b1a, b1b, b2a, b2b, b3b in (
        (64, 96, 128, 16, 32, 32),
        (128, 128, 192, 32, 96, 64),
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
        (256, 160, 320, 32, 128, 128),
        (384, 192, 384, 48, 128, 128),
    ):
        total += unit(n, b0, 1) + unit(n, b1a, 1) + unit(b1a, b1b, 27)
        total += unit(n, b2a, 1) + unit(b2a, b2b, 27) + unit(n, b3b, 1)
        n = b0 + b1b + b2b + b3b
    total += n * 400 + 400
    assert n == 1024
    assert total == 12_697_264
    assert sum(p.numel() for p in I3D(I3DConfig(400)).parameters()) == total
    assert sum(p.numel() for p in I3D(I3DConfig(400, channels=2)).parameters()) == total - 64 * 343


@pytest.mark.parametrize(("n_frames", "moments"), [(1, 1), (8, 1), (16, 1), (24, 2), (40, 4), (64, 7)])
@torch.inference_mode()
def test_any_number_of_frames_runs(network, n_frames, moments):
    x = torch.rand(1, 3, n_frames, 33, 32)
    assert network.frame_logits(x).shape == (1, moments, 5)
    assert network(x).shape == (1, 5)


@torch.inference_mode()
def test_clip_logits_are_the_mean_or_the_greatest_over_time(network):
    x = torch.rand(1, 3, 24, 32, 32) * 2 - 1
    over_time = network.frame_logits(x)
    torch.testing.assert_close(network(x), over_time.mean(1))
    greatest = I3D(I3DConfig(5, pool="max")).eval()
    greatest.load_state_dict(network.state_dict())
    torch.testing.assert_close(greatest(x), over_time.amax(1))
    with pytest.raises(ValueError, match="expected 'mean' or 'max'"):
        I3DConfig(5, pool="median")


@torch.inference_mode()
def test_features_give_the_logits(network):
    x = torch.rand(2, 3, 24, 32, 32) * 2 - 1
    head = network.logits.conv3d
    torch.testing.assert_close(network(x), F.linear(network.features(x), head.weight.flatten(1), head.bias))


@pytest.mark.slow
@torch.inference_mode()
def test_at_224_the_average_is_the_ports(network):
    x = torch.rand(1, 3, 16, 224, 224) * 2 - 1
    seen = {}
    hook = network.Mixed_5c.register_forward_hook(lambda _module, _inputs, out: seen.update(maps=out))
    over_time = network.frame_logits(x)
    hook.remove()
    assert seen["maps"].shape == (1, 1024, 2, 7, 7)
    pooled = F.avg_pool3d(seen["maps"], (2, 7, 7), stride=1)
    torch.testing.assert_close(over_time, network.logits(pooled)[..., 0, 0].transpose(1, 2), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "precision",
    [
        torch.float32,
        # Without AVX-512, oneDNN leaves bfloat16 convolutions to a plain loop of torch's: hundreds of times slower,
        # channels first. No training chooses bfloat16 there.
        pytest.param(
            torch.bfloat16,
            marks=pytest.mark.skipif(
                not (torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()),
                reason="oneDNN does not compute in bfloat16 here",
            ),
        ),
    ],
    ids=str,
)
@torch.inference_mode()
def test_nothing_leaves_the_channels_last_layout(network, precision):
    layout = torch.channels_last_3d
    x = torch.rand(2, 3, 16, 64, 64).contiguous(memory_format=layout)
    seen = {}

    def look(name):
        def hook(_module, _inputs, out):
            seen[name] = out.dtype, out.is_contiguous(memory_format=layout)

        return hook

    layers = [(n, m) for n, m in network.named_modules() if isinstance(m, Unit3D | MaxPool | Mixed)]
    hooks = [m.register_forward_hook(look(n)) for n, m in layers]
    network.to(memory_format=layout)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)  # alone, a thread leaves 1×1 convolutions of small float32 batches to that loop too
    try:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            network(x)
    finally:
        torch.set_num_threads(threads)
        network.to(memory_format=torch.contiguous_format)
        for hook in hooks:
            hook.remove()
    assert len(seen) == len(layers) > 60
    assert [name for name, (_, kept) in seen.items() if not kept] == []
    assert precision in {dtype for dtype, _ in seen.values()}


def test_bfloat16_with_fewer_moments_than_the_kernel_gives_finite_gradients():
    """T = 16 leaves two moments in the last blocks, whose kernels span three: there oneDNN has given NaN."""
    unit = Unit3D(16, 48, 3)
    unit.conv3d.weight.data = unit.conv3d.weight.data.contiguous(memory_format=torch.channels_last_3d)
    x = torch.randn(8, 16, 2, 7, 7).contiguous(memory_format=torch.channels_last_3d)
    for _ in range(5):
        unit.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            y = unit(x)
        assert y.dtype == torch.bfloat16
        y.float().square().sum().backward()
        assert all(p.grad.isfinite().all() for p in unit.parameters())
