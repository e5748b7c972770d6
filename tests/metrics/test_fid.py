"""FID with made-up weights: the published ones are not ours to ship."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from signloom.errors import CheckpointError
from signloom.metrics.fid import BATCH, Moments, PictureSets, frechet_distance, load_fid
from signloom.models.inception import Inception, Mixed

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def weights():
    """Random, and in norm enough that features of different pictures differ."""
    torch.manual_seed(0)
    return {name: value.clone() for name, value in Inception().state_dict().items()}


def pictures(n, seed=0, size=32):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3)).astype(np.uint8)


def colours(x_B3HW):
    """Six features that cost nothing: mean and spread of each colour."""
    return torch.cat([x_B3HW.mean((2, 3)), x_B3HW.std((2, 3))], 1)


# --- the network --------------------------------------------------------------------------------------------------


def test_its_parameters_are_the_published_ones():
    own = {name: tuple(value.shape) for name, value in Inception().state_dict().items()}
    assert sum(name.endswith("conv.weight") for name in own) == 94
    assert sum(p.numel() for p in Inception().parameters()) == 21_785_568  # torchvision's without fc and AuxLogits
    for name, shape in {
        "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
        "Conv2d_4a_3x3.bn.running_var": (192,),
        "Mixed_5b.branch1x1.conv.weight": (64, 192, 1, 1),
        "Mixed_5d.branch5x5_2.conv.weight": (64, 48, 5, 5),
        "Mixed_6a.branch3x3.conv.weight": (384, 288, 3, 3),
        "Mixed_6b.branch7x7_2.conv.weight": (128, 128, 1, 7),
        "Mixed_6e.branch7x7dbl_5.conv.weight": (192, 192, 1, 7),
        "Mixed_7a.branch7x7x3_4.conv.weight": (192, 192, 3, 3),
        "Mixed_7b.branch3x3_2a.conv.weight": (384, 384, 1, 3),
        "Mixed_7c.branch3x3dbl_3b.conv.weight": (384, 384, 3, 1),
        "Mixed_7c.branch_pool.bn.weight": (192,),
    }.items():
        assert own[name] == shape, name


@pytest.mark.parametrize("largest", [False, True])
def test_an_average_leaves_out_the_padding_and_the_last_block_takes_the_largest(largest):
    block = Mixed(1, {}, 1, largest=largest).eval()
    block.branch_pool = torch.nn.Identity()
    x = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]])
    assert block(x).unique().tolist() == ([6.0] if largest else [3.0])
    net = Inception()
    assert [name for name, part in net.named_children() if getattr(part, "_largest", False)] == ["Mixed_7c"]


def test_a_file_of_weights_makes_features(weights, tmp_path):
    counted = {name: value for name, value in weights.items() if "num_batches" not in name}
    torch.save(counted | {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}, tmp_path / "port.pth")
    save_file(weights, tmp_path / "bare.safetensors")
    net, same = load_fid(tmp_path / "port.pth"), load_fid(tmp_path / "bare.safetensors")
    x = torch.rand(2, 3, 40, 64, generator=torch.Generator().manual_seed(1))
    features = net(x).cpu()
    assert features.shape == (2, 2048)
    assert features.isfinite().all()
    assert not torch.equal(features[0], features[1])
    torch.testing.assert_close(same(x[:1]).cpu(), features[:1], rtol=1e-3, atol=1e-6)
    assert not any(p.requires_grad for p in net.parameters())
    assert not net.training


def test_weights_that_do_not_fit_are_named(weights, tmp_path):
    def refused(tensors, match):
        torch.save(tensors, tmp_path / "some.pth")
        with pytest.raises(CheckpointError, match=match):
            load_fid(tmp_path / "some.pth")

    lacking = {name: value for name, value in weights.items() if name != "Mixed_7c.branch1x1.conv.weight"}
    refused(lacking, r"some.pth': 'Mixed_7c.branch1x1.conv.weight' is missing, wanted \(320, 2048, 1, 1\)")
    refused(weights | {"Mixed_5b.branch1x1.bn.bias": torch.zeros(3)}, r"bn.bias' is \(3,\), wanted \(64,\)")
    refused(weights | {"Mixed_5b.branch1x1.bn.bias": torch.full((64,), torch.nan)}, "bn.bias' is not finite")
    refused({"features.0.weight": torch.zeros(1)}, r"is missing.* … \(470 of 470 tensors\)")
    refused(weights | {"fc.bias": torch.zeros(1000)}, "torchvision's own")


def test_code_in_a_file_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path.joinpath("sprung").touch, ())

    torch.save({"Conv2d_1a_3x3.conv.weight": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(CheckpointError, match="not opened"):
        load_fid(tmp_path / "trap.pth")
    assert not (tmp_path / "sprung").exists()
    with pytest.raises(CheckpointError, match="no file"):
        load_fid(tmp_path / "nowhere.pth")


# --- the distance -------------------------------------------------------------------------------------------------


def test_moments_in_batches_are_those_of_all_at_once():
    x = np.random.default_rng(0).normal(3, 0.1, (101, 7))
    moments = Moments()
    for some in np.array_split(x, 9):
        moments.push(some)
    assert moments.n == 101
    np.testing.assert_allclose(moments.mean_D, x.mean(0))
    np.testing.assert_allclose(moments.covariance_DD, np.cov(x.T), rtol=1e-9, atol=1e-14)


def test_gaussians_with_known_moments():
    diagonal_a, diagonal_b = np.array([1.0, 4.0, 9.0]), np.array([4.0, 4.0, 0.25])
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    a, b = (turn @ np.diag(d) @ turn.T for d in (diagonal_a, diagonal_b))
    apart = np.array([1.0, -2.0, 0.5])
    # Covariances that commute: the difference of the standard deviations along each axis.
    wanted = np.square(apart).sum() + np.square(np.sqrt(diagonal_a) - np.sqrt(diagonal_b)).sum()
    assert frechet_distance(apart, a, np.zeros(3), b) == pytest.approx(wanted)


def test_covariances_that_do_not_commute():
    a, b = np.array([[2.0, 0.6], [0.6, 1.0]]), np.array([[1.0, -0.8], [-0.8, 3.0]])
    # Of two by two: tr M^½ = (tr M + 2 (det M)^½)^½.
    cross = np.sqrt(np.trace(a @ b) + 2 * np.sqrt(np.linalg.det(a @ b)))
    found = frechet_distance(np.zeros(2), a, np.zeros(2), b)
    assert found == pytest.approx(np.trace(a + b) - 2 * cross)
    assert found == pytest.approx(frechet_distance(np.zeros(2), b, np.zeros(2), a))


def test_singular_covariances_of_fewer_vectors_than_features():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 300))
    mean, covariance = x.mean(0), np.cov(x.T)
    assert frechet_distance(mean, covariance, mean, covariance) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(mean, covariance, mean + 1, covariance) == pytest.approx(300)
    assert frechet_distance(mean, covariance, mean, 0 * covariance) == pytest.approx(np.trace(covariance))


def test_sets_of_pictures_are_told_apart_however_they_are_cut_into_batches():
    seen = []

    def features(x):
        seen.append(len(x))
        return colours(x)

    real, dark = pictures(2 * BATCH + 3), pictures(2 * BATCH + 3, seed=1) // 2
    sets = PictureSets(features)
    for true, other in zip(real, dark):
        sets.push("real", true)
        sets.push("same", true)
        sets.push("dark", other)
    figures = sets.figures("real")
    assert max(seen) == BATCH
    assert set(figures) == {"same", "dark"}
    assert figures["same"] == {"value": pytest.approx(0, abs=1e-9), "low": None, "high": None, "n": 19}
    as_features = [
        colours(torch.from_numpy(p).permute(0, 3, 1, 2).float() / 255).double().numpy() for p in (dark, real)
    ]
    moments = [m for x in as_features for m in (x.mean(0), np.cov(x.T))]
    assert figures["dark"]["value"] == pytest.approx(frechet_distance(*moments), rel=1e-6)


def test_pictures_of_several_sizes_and_of_too_few():
    sets = PictureSets(colours)
    for picture in (*pictures(2), *pictures(2, size=48)):
        sets.push("real", picture)
        sets.push("painted", picture)
    sets.push("alone", pictures(1)[0])
    figures = sets.figures("real")
    assert figures["painted"] == {"value": pytest.approx(0, abs=1e-9), "low": None, "high": None, "n": 4}
    assert figures["alone"] == {"value": None, "low": None, "high": None, "n": 1}
