"""Measures of painted pictures, against values worked out by hand."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch

from signloom.data.skeleton import INDEX, JOINTS, PARTS, Joints
from signloom.errors import InputError
from signloom.metrics.pictures import (
    Motion,
    cut_out,
    flicker,
    flow_warp_error,
    gradient_energy,
    hand_hits,
    lattice_energy,
    ms_ssim,
    psnr,
    ssim,
)


def texture(size: int = 64, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (size, size, 3)).astype(np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 1.5), None, 0, 255, cv2.NORM_MINMAX)


def as_batch(*pictures: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255


def test_psnr_by_hand():
    real = torch.zeros(2, 3, 8, 8)
    painted = torch.stack([torch.full((3, 8, 8), 0.1), torch.full((3, 8, 8), 0.01)])
    assert psnr(painted, real).tolist() == pytest.approx([20, 40], abs=1e-4)
    assert psnr(real, real).tolist() == [100, 100]


def test_ssim_of_flat_pictures_is_the_luminance_term():
    a, b = torch.full((1, 3, 16, 16), 0.2), torch.full((1, 3, 16, 16), 0.6)
    by_hand = (2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4)
    assert float(ssim(a, b)) == pytest.approx(by_hand, abs=2e-4)
    assert float(ms_ssim(a, b)) == pytest.approx(by_hand, abs=2e-4)


def test_ssim_agrees_with_its_definition_pixel_by_pixel():
    a, b = (texture(24, seed).astype(np.float64) / 255 for seed in (1, 2))
    distance = np.arange(-5, 6)
    window = np.exp(-(distance[:, None] ** 2 + distance[None] ** 2) / (2 * 1.5**2))[..., None]
    window /= window.sum()
    pad = ((5, 5), (5, 5), (0, 0))
    wide_a, wide_b = np.pad(a, pad, mode="reflect"), np.pad(b, pad, mode="reflect")
    values = []
    for y in range(24):
        for x in range(24):
            p, q = wide_a[y : y + 11, x : x + 11], wide_b[y : y + 11, x : x + 11]
            mp, mq = (p * window).sum((0, 1)), (q * window).sum((0, 1))
            vp, vq = ((p - mp) ** 2 * window).sum((0, 1)), ((q - mq) ** 2 * window).sum((0, 1))
            cov = ((p - mp) * (q - mq) * window).sum((0, 1))
            values.append((2 * mp * mq + 1e-4) * (2 * cov + 9e-4) / ((mp**2 + mq**2 + 1e-4) * (vp + vq + 9e-4)))
    x, y = (torch.from_numpy(p).permute(2, 0, 1)[None].float() for p in (a, b))
    assert float(ssim(x, y)) == pytest.approx(np.mean(values), abs=1e-4)


def test_ssim_is_one_for_equal_pictures_symmetric_and_a_loss_that_can_be_learnt_from():
    a, b = as_batch(texture()), as_batch(texture(seed=1))
    assert float(ssim(a, a)) == pytest.approx(1, abs=1e-6)
    assert float(ssim(a, b)) == pytest.approx(float(ssim(b, a)), abs=1e-6)
    painted = b.clone().requires_grad_()
    before = ssim(painted, a).mean()
    (gradient,) = torch.autograd.grad(before, painted)
    assert torch.isfinite(gradient).all()
    with torch.no_grad():
        assert ssim(b + 0.02 * gradient / gradient.abs().max(), a).mean() > before


def test_ssim_keeps_full_precision_under_autocast():
    a, b = as_batch(texture()), as_batch(texture(seed=1))
    with torch.autocast("cpu", torch.bfloat16):
        inside = ssim(a, b)
    torch.testing.assert_close(inside, ssim(a, b), rtol=0, atol=0)


def test_multi_scale_forgives_grain_and_takes_small_pictures():
    real = as_batch(cv2.GaussianBlur(texture(256), (0, 0), 6))
    grainy = (real + 0.05 * torch.randn(real.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    assert float(ms_ssim(grainy, real)) > float(ssim(grainy, real)) + 0.1
    assert float(ms_ssim(real, real)) == pytest.approx(1, abs=1e-6)
    assert 0 <= float(ms_ssim(as_batch(texture(12)), as_batch(texture(12, 3)))) < 1


def test_gradient_energy_of_ramps_by_hand():
    ramp = torch.arange(16.0).expand(1, 3, 16, 16) / 100
    assert float(gradient_energy(ramp)) == pytest.approx(1e-4)
    assert float(gradient_energy(ramp.transpose(2, 3))) == pytest.approx(1e-4)
    assert float(gradient_energy(2 * ramp)) == pytest.approx(4e-4)
    sharp = texture()
    blurred = as_batch(cv2.GaussianBlur(sharp, (0, 0), 2))
    assert float(gradient_energy(blurred)) < 0.5 * float(gradient_energy(as_batch(sharp)))


def test_a_lattice_is_told_from_detail_that_does_not_repeat():
    rng = np.random.default_rng(0)
    lattice = torch.from_numpy(np.tile(rng.normal(0.5, 0.1, (1, 1, 4, 4)), (1, 3, 16, 16)))
    noise = torch.from_numpy(rng.normal(0.5, 0.1, (1, 1, 64, 64)).repeat(3, 1))
    (repeats_a, all_a), (repeats_b, all_b) = lattice_energy(lattice), lattice_energy(noise)
    assert float(repeats_a / all_a) == pytest.approx(1, abs=0.05)
    assert float(repeats_b / all_b) == pytest.approx(1 / 64, rel=0.4)
    repeats, all_ = lattice_energy(torch.full((1, 3, 17, 19), 0.3))
    assert float(repeats) == pytest.approx(0, abs=1e-9)
    assert float(all_) == pytest.approx(0, abs=1e-9)


def test_cutting_out_takes_columns_and_rows():
    x = torch.arange(64.0).view(1, 1, 8, 8)
    assert cut_out(x, (2, 1, 4, 3)).flatten().tolist() == [10, 11, 18, 19]


def test_shapes_that_differ_and_pictures_smaller_than_the_window_are_refused():
    with pytest.raises(InputError, match="one shape"):
        psnr(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 9))
    with pytest.raises(InputError, match="more than 5"):
        ssim(torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4))


def shifting(n: int = 4) -> list[np.ndarray]:
    scene = texture(120)
    return [np.ascontiguousarray(scene[20:84, 30 - 2 * t : 94 - 2 * t]) for t in range(n)]


def test_warp_error_follows_the_real_motion():
    real = shifting()
    steady, own = flow_warp_error(real, real)
    assert steady == own < 0.02
    frozen, _ = flow_warp_error([real[0]] * 4, real)  # does not move along with the flow
    rng = np.random.default_rng(0)
    noisy = [np.clip(f + rng.normal(0, 20, f.shape), 0, 255).astype(np.uint8) for f in real]
    trembling, _ = flow_warp_error(noisy, real)
    assert frozen > 3 * own
    assert trembling > 3 * own


def test_flicker_is_one_for_the_real_clip_less_for_a_blur_and_more_for_noise():
    real = shifting()
    assert flicker(real, real) == pytest.approx(1)
    assert flicker([cv2.GaussianBlur(f, (0, 0), 2) for f in real], real) < 0.7
    rng = np.random.default_rng(0)
    assert flicker([np.clip(f + rng.normal(0, 20, f.shape), 0, 255).astype(np.uint8) for f in real], real) > 1.1
    assert flicker([real[0]] * 4, real) == 0


def test_one_frame_has_no_motion():
    assert Motion().push(texture(), texture()) is None
    assert math.isnan(flow_warp_error([texture()], [texture()])[0])


def hands(n_frames: int = 2) -> Joints:
    """Shoulders 100 px apart, the left hand in every frame."""
    xy = np.zeros((n_frames, len(JOINTS), 2), np.float32)
    present = np.zeros((n_frames, len(JOINTS)), bool)
    xy[:, INDEX["left_shoulder"]], xy[:, INDEX["right_shoulder"]] = (200, 100), (100, 100)
    present[:, [INDEX["left_shoulder"], INDEX["right_shoulder"]]] = True
    xy[:, PARTS["left_hand"]] = 150
    present[:, PARTS["left_hand"]] = True
    return Joints(xy, present, 25.0)


def test_keypoints_count_within_a_share_of_the_shoulders_and_a_hand_not_found_misses_all():
    wanted = hands()
    xy, present = wanted.xy_TJC.copy(), wanted.present_TJ.copy()
    xy[0, PARTS["left_hand"]] += np.float32([15, 0])  # between .1 and .2 of 100 px
    present[1, PARTS["left_hand"]] = False
    present[1, PARTS["right_hand"]] = True  # nobody asked for it
    hits = hand_hits(Joints(xy, present, 25.0), wanted)
    assert {k: (list(a), list(b)) for k, (a, b) in hits.items()} == {
        "hand_rate": ([1, 0], [1, 1]),
        "pck_05": ([0, 0], [21, 21]),
        "pck_10": ([0, 0], [21, 21]),
        "pck_20": ([21, 0], [21, 21]),
    }


def test_poses_of_other_lengths_or_without_shoulders_are_refused():
    with pytest.raises(InputError, match="3 frames"):
        hand_hits(hands(3), hands(2))
    nobody = Joints(hands().xy_TJC, np.zeros_like(hands().present_TJ), 25.0)
    with pytest.raises(InputError, match="shoulders"):
        hand_hits(hands(), nobody)
