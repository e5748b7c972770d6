"""LPIPS with made-up weights: the published ones are not ours to ship."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from signloom.errors import CheckpointError
from signloom.metrics.lpips import load_lpips
from signloom.models.lpips import Lpips

ALEX = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}


@pytest.fixture(scope="module")
def alex():
    """Random convolutions under torchvision's names; linear layers that average."""
    rng = torch.Generator().manual_seed(0)
    convolutions = {}
    for place, (out, into, kernel) in ALEX.items():
        weight = torch.randn(out, into, kernel, kernel, generator=rng) / (into * kernel**2) ** 0.5
        convolutions |= {f"features.{place}.weight": weight, f"features.{place}.bias": torch.zeros(out)}
    linear = {
        f"lin{n}.model.1.weight": torch.full((1, out, 1, 1), 1 / out) for n, (out, _, _) in enumerate(ALEX.values())
    }
    return convolutions, linear


def test_two_files_make_a_distance(alex, tmp_path):
    convolutions, linear = alex
    torch.save(convolutions | {"classifier.1.weight": torch.zeros(2)}, tmp_path / "alexnet.pth")
    save_file(linear, tmp_path / "linear.safetensors")
    lpips = load_lpips([tmp_path / "alexnet.pth", tmp_path / "linear.safetensors"])
    real = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    near, far = (real + 0.02).clamp(0, 1), real.flip(-1)
    assert lpips(real, real).tolist() == [0, 0]
    assert lpips(near, real).shape == (2,)
    assert (lpips(near, real) < lpips(far, real)).all()
    torch.testing.assert_close(lpips(far, real), lpips(real, far))


def test_its_first_layer_by_hand(alex, tmp_path):
    convolutions, linear = alex
    alone = {name: value * (name.startswith("lin0")) for name, value in linear.items()}
    save_file(convolutions | alone, tmp_path / "all.safetensors")
    a, b = torch.rand(2, 1, 3, 64, 64, generator=torch.Generator().manual_seed(2))

    def first(x):
        x = (x * 2 - 1 - torch.tensor([-0.03, -0.088, -0.188]).view(3, 1, 1)) / torch.tensor([0.458, 0.448, 0.45]).view(
            3, 1, 1
        )
        x = torch.nn.functional.conv2d(x, convolutions["features.0.weight"], stride=4, padding=2).relu()
        return x / x.norm(dim=1, keepdim=True)

    by_hand = (first(a) - first(b)).square().mean()
    assert float(load_lpips(tmp_path / "all.safetensors")(a, b)) == pytest.approx(float(by_hand), rel=1e-4)


def test_what_is_missing_is_named(alex, tmp_path):
    convolutions, linear = alex
    save_file(convolutions, tmp_path / "half.safetensors")
    with pytest.raises(CheckpointError, match=r"'lin0.model.1.weight' is missing, wanted \(1, 64, 1, 1\)"):
        load_lpips(tmp_path / "half.safetensors")
    save_file(linear, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match=r"'features.0.weight' is missing"):
        load_lpips(tmp_path / "other.safetensors")
    (tmp_path / "broken.pth").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="not opened"):
        load_lpips(tmp_path / "broken.pth")
    with pytest.raises(CheckpointError, match="no file"):
        load_lpips(tmp_path / "nowhere.pth")


def test_vgg_is_told_by_its_first_layer(tmp_path):

    torch.manual_seed(0)
    vgg = Lpips("vgg")
    assert {"features.28.weight", "lin4.model.1.weight"} <= set(vgg.state_dict())
    assert [tuple(p.shape)[1] for n, p in vgg.named_parameters() if n.startswith("lin")] == [64, 128, 256, 512, 512]
    torch.save(vgg.state_dict(), tmp_path / "vgg.pt")
    a, b = torch.rand(2, 1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(load_lpips(tmp_path / "vgg.pt")(a, b), vgg(a, b))
