"""Our arithmetic against that of kept libraries: torchmetrics, which only tests install, and scipy.

Random pictures, features, weights and scores. Where the two mean different things, they are compared where they mean
the same, and the docstring says what differs.
"""

from __future__ import annotations

import importlib.util
import warnings
from types import ModuleType

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
import torch
import torch.nn.functional as F
from torch import nn

from signloom.metrics import classification as m
from signloom.metrics import folds, intervals, pictures
from signloom.metrics.fid import Moments, PictureSets, frechet_distance
from signloom.metrics.lpips import load_lpips
from signloom.metrics.pictures import ms_ssim, psnr, ssim
from signloom.models.lpips import Lpips


def torchmetrics(module: str) -> ModuleType:
    """``torchmetrics.<module>``; the test is skipped, with a loud warning, where torchmetrics is not installed."""
    reason = "TORCHMETRICS NOT FOUND, parity with it not tested: pip install -c constraints.txt -e '.[dev]'"
    if importlib.util.find_spec("torchmetrics") is None:
        warnings.warn(reason, stacklevel=2)
    return pytest.importorskip(f"torchmetrics.{module}", reason=reason)


# --- pictures -----------------------------------------------------------------------------------------------------


def pair(height: int, width: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Painted and real, each (3, 3, H, W): paler and noisy, blurred, and more than half another picture."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(4, 3, height // 8 + 2, width // 8 + 2, generator=rng)
    smooth = F.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)
    all_4 = (smooth + 0.1 * torch.randn(smooth.shape, generator=rng)).clamp(0, 1)
    real, other = all_4[:3], all_4[3]
    pale = (0.7 * real[0] + 0.2 + 0.05 * torch.randn(real[0].shape, generator=rng)).clamp(0, 1)
    return torch.stack([pale, F.avg_pool2d(real[1], 5, 1, 2), 0.4 * real[2] + 0.6 * other]), real


@pytest.mark.parametrize("size", [(16, 16), (33, 47), (70, 100)])
def test_psnr(size):
    """Equal pictures differ: ours has 100 dB, torchmetrics infinity."""
    of = torchmetrics("functional.image").peak_signal_noise_ratio
    a, b = pair(*size)
    wanted = of(a.double(), b.double(), data_range=1.0, dim=(1, 2, 3), reduction="none")
    torch.testing.assert_close(psnr(a, b).double(), wanted, rtol=1e-6, atol=0)
    assert psnr(a, a).tolist() == [100] * 3
    assert of(a, a, data_range=1.0).isinf()


@pytest.mark.parametrize("size", [(6, 6), (16, 16), (33, 47), (70, 100)])
def test_ssim(size):
    """The whole picture, mirrored at its edges, in both; torchmetrics makes its window of 11 from sigma 1.5."""
    of = torchmetrics("functional.image").structural_similarity_index_measure
    a, b = pair(*size)
    a, b = torch.cat([a, 1 - b]), torch.cat([b, b])  # negatives too
    wanted = of(a.double(), b.double(), sigma=1.5, kernel_size=11, data_range=1.0, reduction="none")
    assert wanted[3:].max() < 0
    torch.testing.assert_close(ssim(a, b).double(), wanted, rtol=0, atol=2e-6)


def test_ssim_of_still_backgrounds():
    """The hardest for float32: variances of zero but for rounding. torchmetrics clamps those below 0, ours does not."""
    of = torchmetrics("functional.image").structural_similarity_index_measure
    a, b = pair(64, 64)
    a[..., :48, :], b[..., :48, :] = 0.97, 1.0
    wanted = of(a.double(), b.double(), data_range=1.0, reduction="none")
    torch.testing.assert_close(ssim(a, b).double(), wanted, rtol=0, atol=1e-5)


# The least side at which ours has so many scales, and a picture that is not square.
SCALES = [(1, (11, 21)), (2, (22, 43)), (3, (44, 60)), (4, (100, 175)), (5, (176, 201))]


@pytest.mark.parametrize(("n_scales", "size"), SCALES)
def test_ms_ssim_scale_by_scale(n_scales, size):
    """Ours is the product over scales of torchmetrics' SSIM, without its luminance term but at the coarsest.

    A huge K1 makes the luminance term 1.
    """
    of = torchmetrics("functional.image").structural_similarity_index_measure
    painted, real = pair(*size)
    weights = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])[:n_scales]
    wanted, a, b = torch.ones(3), painted, real
    for n, weight in enumerate(weights / weights.sum()):
        if n:
            a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
        k1 = 0.01 if n + 1 == n_scales else 1e6
        wanted = wanted * of(a, b, k1=k1, data_range=1.0, reduction="none").clamp_min(0) ** weight
    torch.testing.assert_close(ms_ssim(painted, real), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("n_scales", "size"), SCALES)
def test_ms_ssim(n_scales, size, monkeypatch):
    """torchmetrics leaves the outer five pixels out of all scales but the coarsest, ours out of none.

    With these left out of ours too, both agree. Ours has fewer scales for pictures of less than 176 pixels, which
    torchmetrics refuses (with all five); it is given the same few, with weights of sum 1.
    """
    of = torchmetrics("functional.image").multiscale_structural_similarity_index_measure
    whole = pictures._ssim_maps
    sizes = []

    def maps(a, b):
        luminance, structure = whole(a, b)
        sizes.append(min(a.shape[-2:]))
        return (luminance, structure) if len(sizes) == n_scales else (luminance, structure[..., 5:-5, 5:-5])

    a, b = pair(*size)
    weights = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])[:n_scales]
    betas = tuple((weights / weights.sum()).tolist())
    wanted = of(a, b, data_range=1.0, betas=betas, reduction="none", normalize="relu")
    uncut = ms_ssim(a, b)
    monkeypatch.setattr(pictures, "_ssim_maps", maps)
    torch.testing.assert_close(ms_ssim(a, b), wanted, rtol=0, atol=1e-5)
    assert len(sizes) == n_scales
    assert sizes[-1] >= pictures.WINDOW_PX
    if n_scales == 5:
        torch.testing.assert_close(uncut, wanted, rtol=0, atol=0.03)
    else:
        with pytest.raises(ValueError, match="larger than"):
            of(a, b, data_range=1.0)


def test_ms_ssim_of_a_negative_is_zero_in_both():
    of = torchmetrics("functional.image").multiscale_structural_similarity_index_measure
    _, real = pair(180, 180)
    assert ms_ssim(1 - real, real).tolist() == [0] * 3
    assert of(1 - real, real, data_range=1.0, reduction="none").tolist() == [0] * 3


# --- FID ----------------------------------------------------------------------------------------------------------


class Given(nn.Module):
    """Features that are what is given."""

    def __init__(self, num_features: int):
        super().__init__()
        self.num_features = num_features

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def features(n: int, size: int, seed: int) -> np.ndarray:
    """As Inception's are: not negative, each of its own size, and going together."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(n, size)) @ np.random.default_rng(99).normal(size=(size, size)) / np.sqrt(size)
    return np.maximum(mixed + 0.3 * rng.normal(size=size) + 0.5, 0)


@pytest.mark.parametrize(("n", "size"), [(500, 32), (300, 128), (40, 128)])
def test_fid(n, size):
    """Moments, and the distance of two sets, also of fewer vectors than features.

    There the product of the covariances is singular. torchmetrics takes roots of its eigenvalues, which are zero but
    for rounding, so it is the less exact.
    """
    of = torchmetrics("image.fid").FrechetInceptionDistance(feature=Given(size))
    sets = {True: features(n, size, seed=0), False: features(n, size, seed=1)}
    moments = {True: Moments(), False: Moments()}
    for real, x in sets.items():
        for some in np.array_split(x, 7):
            moments[real].push(some)
            of.update(torch.from_numpy(some), real=real)
    for real, name in ((True, "real"), (False, "fake")):
        total, outer = (getattr(of, f"{name}_features_{k}").numpy() for k in ("sum", "cov_sum"))
        np.testing.assert_allclose(moments[real].mean_D, total / n, rtol=1e-12)
        covariance = (outer - np.outer(total, total) / n) / (n - 1)
        np.testing.assert_allclose(moments[real].covariance_DD, covariance, rtol=0, atol=1e-12)
        np.testing.assert_allclose(moments[real].covariance_DD, np.cov(sets[real].T), rtol=0, atol=1e-12)
    a, b = moments[False], moments[True]
    found = frechet_distance(a.mean_D, a.covariance_DD, b.mean_D, b.covariance_DD)
    assert found > 0.1
    assert found == pytest.approx(float(of.compute()), rel=1e-9 if n > size else 1e-5)


@pytest.mark.parametrize(("n", "size"), [(500, 32), (300, 128)])
def test_frechet_distance_by_the_root_of_the_product(n, size):
    a, b = features(n, size, seed=0), 0.5 + features(n, size, seed=2)
    means, covariances = [x.mean(0) for x in (a, b)], [np.cov(x.T) for x in (a, b)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1])
    wanted = np.square(means[0] - means[1]).sum() + np.trace(covariances[0] + covariances[1] - 2 * root.real)
    assert frechet_distance(means[0], covariances[0], means[1], covariances[1]) == pytest.approx(wanted, rel=1e-9)


def test_fid_of_pictures():
    """From uint8 pictures to the figure. torchmetrics is given the features in double, ours makes them in float."""

    def pooled(x_B3HW: torch.Tensor) -> torch.Tensor:
        return F.adaptive_avg_pool2d(x_B3HW, 2).flatten(1)

    of = torchmetrics("image.fid").FrechetInceptionDistance(feature=Given(12))
    rng = np.random.default_rng(0)
    sets = PictureSets(pooled)
    for real, name in ((True, "real"), (False, "painted")):
        shown = rng.integers(0, 256 if real else 200, (50, 24, 24, 3)).astype(np.uint8)
        for picture in shown:
            sets.push(name, picture)
        of.update(pooled(torch.from_numpy(shown).permute(0, 3, 1, 2).double() / 255), real=real)
    assert sets.figures("real")["painted"]["value"] == pytest.approx(float(of.compute()), rel=1e-5)


# --- LPIPS --------------------------------------------------------------------------------------------------------


def conv(into: int, out: int, kernel: int = 3, stride: int = 1, padding: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(into, out, kernel, stride, padding), nn.ReLU(inplace=True)]


def torchvision_features(network: str) -> nn.Sequential:
    """What torchvision's ``alexnet`` and ``vgg16`` have as ``features``, untrained."""
    if network == "alexnet":
        return nn.Sequential(
            *conv(3, 64, 11, 4, 2), nn.MaxPool2d(3, 2), *conv(64, 192, 5, 1, 2), nn.MaxPool2d(3, 2),
            *conv(192, 384), *conv(384, 256), *conv(256, 256), nn.MaxPool2d(3, 2),
        )  # fmt: skip
    assert network == "vgg16"
    layers, into = [], 3
    for out, times in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(times):
            layers += conv(into, out)
            into = out
        layers.append(nn.MaxPool2d(2, 2))
    return nn.Sequential(*layers)


@pytest.mark.parametrize(("network", "size"), [("alex", (64, 64)), ("alex", (67, 95)), ("vgg", (32, 40))])
def test_lpips(network, size, tmp_path, monkeypatch):
    """All of LPIPS with random weights. torchmetrics takes the networks from torchvision; here, from this file.

    Where a pixel has no features at all, torchmetrics adds 1e-8 to their squared length and ours, as published, 1e-10
    to the length: no difference but in gradients, which ours are not made for.
    """
    lpips = torchmetrics("functional.image.lpips")
    monkeypatch.setattr(lpips, "_get_tv_model_features", lambda net, pretrained: torchvision_features(net))
    torch.manual_seed(0)
    theirs = lpips._LPIPS(pretrained=False, net=network, pnet_rand=True)
    weights = {}
    for name, value in theirs.state_dict().items():
        if name.startswith("net."):  # net.slice3.6.weight
            weights["features." + ".".join(name.split(".")[2:])] = value
            value.normal_(0, (2 / value[0].numel()) ** 0.5 if value.ndim == 4 else 0.1)
        elif name.startswith("lins."):
            continue  # the same layers once more
        else:
            weights[name] = value.uniform_()
    assert set(weights) == set(Lpips(network).state_dict())
    torch.save(weights, tmp_path / "random.pt")
    ours = load_lpips(tmp_path / "random.pt")
    a, b = pair(*size)
    with torch.no_grad():
        wanted = theirs(a, b, normalize=True).flatten()
        torch.testing.assert_close(ours(a, b), wanted, rtol=1e-5, atol=0)
        assert ours(a, a).tolist() == theirs(a, a, normalize=True).flatten().tolist() == [0] * 3
    assert wanted.min() > 0.1


# --- recognition --------------------------------------------------------------------------------------------------


def predictions(n: int, n_classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are often right, and labels of all classes, some commoner than others."""
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(n_classes), rng.integers(0, 1 + n_classes // 2, n - n_classes)])
    return rng.normal(size=(n, n_classes)) + 1.5 * np.eye(n_classes)[y], y


@pytest.mark.parametrize(("n", "n_classes"), [(200, 7), (1000, 60)])
def test_confusion_matrix(n, n_classes):
    of = torchmetrics("functional.classification").multiclass_confusion_matrix
    scores, y = predictions(n, n_classes)
    predicted = scores.argmax(1)
    wanted = of(torch.from_numpy(predicted), torch.from_numpy(y), n_classes).numpy()
    np.testing.assert_array_equal(m.confusion_matrix(y, predicted, n_classes), wanted)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_top_k(k):
    """Without ties, of which torchmetrics takes any. Its mean over classes has those predicted but absent as 0."""
    of = torchmetrics("functional.classification").multiclass_accuracy
    scores, y = predictions(400, 12)
    for present in (y >= 0, y != 3):  # all classes, and one absent
        s, t = torch.from_numpy(scores[present]), torch.from_numpy(y[present])
        assert m.top_k_accuracy(s.numpy(), t.numpy(), k) == pytest.approx(float(of(s, t, 12, "micro", k)), abs=1e-6)
        wanted = of(s, t, 12, "none", k)[t.unique()].mean()
        assert m.top_k_accuracy_per_class(s.numpy(), t.numpy(), k) == pytest.approx(float(wanted), abs=1e-6)
    everything = of(torch.from_numpy(scores), torch.from_numpy(y), 12, "macro", k)
    assert m.top_k_accuracy_per_class(scores, y, k) == pytest.approx(float(everything), abs=1e-6)


def test_precision_recall_and_f1():
    """What ours has as undefined (NaN), torchmetrics has as 0; see the macro F1 for what that does."""
    of = torchmetrics("functional.classification")
    scores, y = predictions(300, 12)
    scores[:, 5] = -9  # never predicted
    scores, y = scores[y != 3], y[y != 3]  # predicted, but absent
    predicted = scores.argmax(1)
    found = m.precision_recall_f1(y, predicted, 12)
    for values, name in zip(found, ("precision", "recall", "f1_score")):
        wanted = getattr(of, f"multiclass_{name}")(torch.from_numpy(predicted), torch.from_numpy(y), 12, "none")
        np.testing.assert_allclose(np.nan_to_num(values), wanted.numpy(), atol=1e-6)
    assert [np.flatnonzero(np.isnan(v)).tolist() for v in found] == [[5], [3], [3]]


def test_macro_f1():
    """A class that is predicted but absent differs: torchmetrics averages it in, as 0; ours leaves it out."""
    of = torchmetrics("functional.classification").multiclass_f1_score
    scores, y = predictions(300, 12)
    predicted = scores.argmax(1)
    wanted = of(torch.from_numpy(predicted), torch.from_numpy(y), 12, "macro")
    assert m.macro_f1(y, predicted) == pytest.approx(float(wanted), abs=1e-6)
    y, predicted = y[y != 3], predicted[y != 3]
    assert (predicted == 3).any()
    wanted = of(torch.from_numpy(predicted), torch.from_numpy(y), 12, "macro")
    assert m.macro_f1(y, predicted) == pytest.approx(float(wanted) * 12 / 11, abs=1e-6)


@pytest.mark.parametrize("n_bins", [10, 15])
def test_expected_calibration_error(n_bins):
    """Bins differ at their edges: ours are closed above, as Guo et al. have them, torchmetrics' below."""
    of = torchmetrics("functional.classification").multiclass_calibration_error
    scores, y = predictions(500, 8)
    p = m.softmax(2 * scores)
    wanted = float(of(torch.from_numpy(p), torch.from_numpy(y), 8, n_bins, "l1"))
    assert wanted > 0.01
    assert m.expected_calibration_error(p, y, n_bins) == pytest.approx(wanted, abs=1e-6)
    # 0.5, which is right, is in one bin with 0.45 (ours) or with 0.55 (theirs), which are wrong.
    p, y = np.array([[0.5, 0.25, 0.25], [0.55, 0.25, 0.2], [0.45, 0.3, 0.25]]), np.array([0, 1, 1])
    assert m.expected_calibration_error(p, y) == pytest.approx((abs(0.5 + 0.45 - 1) + 0.55) / 3)
    theirs = of(torch.from_numpy(p), torch.from_numpy(y), 3, 10, "l1")
    assert float(theirs) == pytest.approx((abs(0.5 + 0.55 - 1) + 0.45) / 3)


def test_negative_log_likelihood():
    scores, y = predictions(500, 8)
    wanted = F.cross_entropy(torch.from_numpy(scores), torch.from_numpy(y))
    assert m.negative_log_likelihood(scores, y) == pytest.approx(float(wanted), rel=1e-12)


# --- intervals ----------------------------------------------------------------------------------------------------


def bootstrap(data, statistic, resamples, level=intervals.LEVEL, seed=0, **how):
    """scipy's, which draws the same resamples from the same seed as ours."""
    return scipy.stats.bootstrap(
        data, statistic, n_resamples=resamples, confidence_level=level, method="percentile",
        rng=np.random.default_rng(seed), **how,
    )  # fmt: skip


def expanded(n: int, level: float = 0.95) -> float:
    """The level for which ``n`` groups give as wide an interval as Student's t would (Hesterberg 2015, §3.2)."""
    return 1 - 2 * scipy.stats.norm.sf(np.sqrt(n / (n - 1)) * scipy.stats.t.ppf((1 + level) / 2, n - 1))


def limits(found) -> tuple[float, float]:
    return pytest.approx((found.confidence_interval.low, found.confidence_interval.high), abs=1e-6)


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_percentile_interval_of_weighted_means(level):
    x = np.random.default_rng(0).gamma(2, size=80)
    weights = np.concatenate(list(intervals.bootstrap_weights(80, resamples=999, seed=3)))
    wanted = bootstrap((x,), np.mean, 999, level, seed=3)
    np.testing.assert_allclose(weights @ x / 80, wanted.bootstrap_distribution)
    assert intervals.percentile_interval(weights @ x / 80, level) == limits(wanted)


def test_intervals_of_a_recogniser():
    """From the same resamples. Our macro F1's is moved by the value less the mean over resamples; scipy's is not."""
    scores, y = predictions(150, 12)
    order = np.argsort(y, kind="stable")  # in which ours draws
    scores, y = scores[order], y[order]
    predicted, ranks = scores.argmax(1), m.true_rank(scores, y)
    found = intervals.bootstrap_metrics(ranks, y, predicted, ks=(1, 5), resamples=400)

    def per_class(hit, of):
        return np.mean([hit[of == c].mean() for c in np.unique(of)])

    for k in (1, 5):
        hits = (ranks < k).astype(float)
        wanted = bootstrap((hits,), np.mean, 400)
        assert (found[f"top{k}"]["low"], found[f"top{k}"]["high"]) == limits(wanted)
        wanted = bootstrap((hits, y), per_class, 400, paired=True, vectorized=False)
        assert (found[f"top{k}_per_class"]["low"], found[f"top{k}_per_class"]["high"]) == limits(wanted)
    wanted = bootstrap((y, predicted), m.macro_f1, 400, paired=True, vectorized=False)
    moved = m.macro_f1(y, predicted) - wanted.bootstrap_distribution.mean()
    assert abs(moved) > 1e-3
    interval = wanted.confidence_interval
    assert found["macro_f1"]["low"] == pytest.approx(interval.low + moved, abs=1e-6)
    assert found["macro_f1"]["high"] == pytest.approx(interval.high + moved, abs=1e-6)


def test_intervals_over_signers():
    """A cluster bootstrap is scipy's over the signers' counts."""
    rng = np.random.default_rng(0)
    signers = np.sort(np.concatenate([np.arange(9), rng.integers(0, 9, 111)]))
    right = rng.random(120) < np.linspace(0.3, 0.95, 9)[signers]
    counts = np.bincount(signers, right), np.bincount(signers).astype(float)
    wanted = bootstrap(counts, lambda hits, n, axis=-1: hits.sum(axis) / n.sum(axis), 800, expanded(9), paired=True)
    found = intervals.bootstrap_metrics(
        np.where(right, 0, 1), np.zeros(120, int), np.where(right, 0, 1), ks=(1,), groups_N=signers, resamples=800
    )["top1"]
    assert (found["low"], found["high"]) == limits(wanted)


def test_intervals_over_folds():
    tops = np.random.default_rng(0).random(6)
    rows = [{"held_out": str(i), "seed": 0, "top1": top} for i, top in enumerate(tops)]
    found = folds.aggregate_runs(rows, resamples=500)["top1"]
    assert (found["low"], found["high"]) == limits(bootstrap((tops,), np.mean, 500, expanded(6)))
    # Of fewer than five Student's t stands in.
    few = folds.aggregate_runs(rows[:3])["top1"]
    wanted = scipy.stats.t.interval(0.95, 2, np.mean(tops[:3]), scipy.stats.sem(tops[:3]))
    assert (few["low"], few["high"]) == pytest.approx((max(wanted[0], 0), min(wanted[1], 1)))


@pytest.mark.parametrize(("hits", "n"), [(7, 20), (150, 200), (3, 400)])
def test_interval_of_a_proportion(hits, n):
    """Ours draws counts, scipy clips: other draws of one distribution, so limits may differ by one clip.

    Clopper-Pearson's is the wider on either side.
    """
    low, high = intervals.proportion_interval(hits, n, np.random.default_rng(0), resamples=20_000)
    wanted = bootstrap(((np.arange(n) < hits).astype(float),), np.mean, 20_000).confidence_interval
    assert abs(low - wanted.low) <= 1.001 / n
    assert abs(high - wanted.high) <= 1.001 / n
    exact = scipy.stats.binomtest(hits, n).proportion_ci(intervals.LEVEL, "exact")
    assert exact.low < low + 1 / n
    assert exact.high > high - 1 / n


@pytest.mark.parametrize("n", [1, 5, 100])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_interval_of_all_and_of_none(n, level):
    for hits in (0, n):
        wanted = scipy.stats.binomtest(hits, n).proportion_ci(level, "exact")
        found = intervals.proportion_interval(hits, n, np.random.default_rng(0), level=level)
        assert found == pytest.approx((wanted.low, wanted.high), abs=1e-9)
