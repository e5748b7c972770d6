"""How good painted pictures are: against the real ones, part by part, from frame to frame, and as a pose.

Pictures are float (B, 3, H, W) from 0 to 1, RGB; what compares them returns one value a picture, (B,). Frames of a clip
are uint8 (H, W, 3). Every measure is defined in its docstring; PSNR and SSIM are means over pictures, never the PSNR of
a mean error.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from signloom.data.skeleton import PARTS, Joints, joints_of, shoulder_width_px
from signloom.errors import InputError
from signloom.media import import_cv2
from signloom.streams.flow import Flow
from signloom.streams.pose_holistic import HolisticPose

if TYPE_CHECKING:
    from torch import Tensor

    from signloom.transforms.parts import Box

WINDOW_PX, SIGMA_PX = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2
# Wang, Simoncelli & Bovik 2003, from the finest scale to the coarsest.
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
PCK_SHARES = (0.05, 0.1, 0.2)


# --- one picture against another ----------------------------------------------------------------------------------


def psnr(painted_BCHW: Tensor, real_BCHW: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB, (B,): -10 log10 of the mean squared error over all pixels and colours.

    Equal pictures give 100 dB rather than infinity.
    """
    _check_pair(painted_BCHW, real_BCHW)
    error = (painted_BCHW - real_BCHW).square().mean((1, 2, 3))
    return -10 * error.clamp_min(1e-10).log10()


def ssim(painted_BCHW: Tensor, real_BCHW: Tensor) -> Tensor:
    """Structural similarity, (B,): the mean over all pixels and colours; 1 for equal pictures. Differentiable.

    Wang et al. 2004 (https://doi.org/10.1109/TIP.2003.819861): Gaussian window of 11 pixels with sigma 1.5, K1 = .01,
    K2 = .03, each colour by itself, at full size. Pictures are mirrored beyond their edges, so that every pixel counts;
    leaving out the outer five (the "valid" region) gives lower values where the background is still.
    """
    luminance, structure = _ssim_maps(painted_BCHW, real_BCHW)
    return (luminance * structure).mean((1, 2, 3))


def ms_ssim(painted_BCHW: Tensor, real_BCHW: Tensor) -> Tensor:
    """Multi-scale structural similarity, (B,); Wang, Simoncelli & Bovik 2003 (https://doi.org/10.1109/ACSSC.2003.1292216).

    Five scales, each half of the one before (mean of 2×2): contrast and structure of all, luminance of the coarsest,
    each to the power of its published weight. A picture so small that a scale would be narrower than the window has
    fewer scales, their weights scaled to sum 1. A negative mean counts as 0.
    """
    import torch.nn.functional as F

    n_scales = 1 + int(math.log2(max(1.0, min(real_BCHW.shape[-2:]) / WINDOW_PX)))
    weights = _SCALE_WEIGHTS[:n_scales]
    total = real_BCHW.new_ones(len(real_BCHW))
    for n, weight in enumerate(weights):
        if n:
            painted_BCHW, real_BCHW = F.avg_pool2d(painted_BCHW, 2), F.avg_pool2d(real_BCHW, 2)
        luminance, structure = _ssim_maps(painted_BCHW, real_BCHW)
        value = structure if n + 1 < len(weights) else luminance * structure
        total = total * value.mean((1, 2, 3)).clamp_min(0) ** (weight / sum(weights))
    return total


def _ssim_maps(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The luminance and the contrast-and-structure term of SSIM at every pixel, each (B, C, H, W)."""
    import torch

    _check_pair(a, b)
    if min(a.shape[-2:]) <= WINDOW_PX // 2:
        raise InputError(f"SSIM needs pictures of more than {WINDOW_PX // 2} pixels a side; got {tuple(a.shape)}")
    # Variances are small differences of large numbers: half precision would lose them.
    with torch.autocast(a.device.type, enabled=False):
        a, b = a.float(), b.float()
        # Apart, so that a real picture, which needs no gradient, gets none.
        mean_a, aa, ab = _blurred(torch.cat([a, a * a, a * b], 1)).chunk(3, 1)
        mean_b, bb = _blurred(torch.cat([b, b * b], 1)).chunk(2, 1)
        luminance = (2 * mean_a * mean_b + _C1) / (mean_a.square() + mean_b.square() + _C1)
        covariance = ab - mean_a * mean_b
        variances = aa - mean_a.square() + bb - mean_b.square()
        return luminance, (2 * covariance + _C2) / (variances + _C2)


def _blurred(x_BCHW: Tensor) -> Tensor:
    """``x`` under the Gaussian window, mirrored beyond its edges; rows and columns one after the other."""
    import torch
    import torch.nn.functional as F

    half, channels = WINDOW_PX // 2, x_BCHW.shape[1]
    window = torch.tensor(_window(), dtype=x_BCHW.dtype, device=x_BCHW.device)
    padded = F.pad(x_BCHW, (half, half, half, half), mode="reflect")
    padded = padded.contiguous(memory_format=torch.channels_last)  # twice as fast on a processor
    across = F.conv2d(padded, window.view(1, 1, 1, -1).expand(channels, -1, -1, -1), groups=channels)
    return F.conv2d(across, window.view(1, 1, -1, 1).expand(channels, -1, -1, -1), groups=channels)


@cache
def _window() -> tuple[float, ...]:
    values = np.exp(-np.square(np.arange(WINDOW_PX) - WINDOW_PX // 2) / (2 * SIGMA_PX**2))
    return tuple(values / values.sum())


def gradient_energy(x_BCHW: Tensor) -> Tensor:
    """How sharp pictures are, (B,): the mean over pixels and colours of gx² + gy², Sobel's gradients per pixel.

    The outermost pixels are left out. What was painted against what is real, as a ratio: 1 is as sharp, 0 all blur.
    """
    x = x_BCHW.float()
    across, down = x.diff(dim=-1), x.diff(dim=-2)
    # Sobel is a central difference in one direction, smoothed (1 2 1) in the other.
    across = (across[..., 1:] + across[..., :-1]) / 2
    down = (down[..., 1:, :] + down[..., :-1, :]) / 2
    gx = (across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :]) / 4
    gy = (down[..., :-2] + 2 * down[..., 1:-1] + down[..., 2:]) / 4
    return (gx.square() + gy.square()).mean((1, 2, 3))


def lattice_energy(x_BCHW: Tensor) -> tuple[Tensor, Tensor]:
    """How much fine detail repeats every 4 pixels, and how much there is, each (B,): mean squares of brightness.

    Fine is what is left of brightness after a Gaussian of sigma 1.5. In squares of 32 pixels (16 where the picture is
    no larger) it is averaged over the same place in each of the squares of 4; what these means spread by repeats. Its
    share is 1 for a lattice and 1/64 for noise. Real pictures have some, which is the measure of painted ones.
    """
    import torch.nn.functional as F

    grey = x_BCHW.float().mean(1, keepdim=True)
    fine = (grey - _blurred(grey))[..., : x_BCHW.shape[-2] // 4 * 4, : x_BCHW.shape[-1] // 4 * 4]
    squares = F.pixel_unshuffle(fine, 4)
    side = min(8, *squares.shape[-2:])
    repeated = F.avg_pool2d(squares, side, max(1, side // 2))
    spread = (repeated - repeated.mean(1, keepdim=True)).square().mean((1, 2, 3))
    return spread, fine.square().mean((1, 2, 3))


def cut_out(x_BCHW: Tensor, box: Box) -> Tensor:
    """The part of each picture inside ``box`` (:func:`signloom.transforms.parts.part_boxes`)."""
    x0, y0, x1, y1 = box
    return x_BCHW[..., y0:y1, x0:x1]


def _check_pair(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape or a.ndim != 4:
        raise InputError(
            f"pictures to compare must have one shape (B, C, H, W); got {tuple(a.shape)} and {tuple(b.shape)}"
        )


# --- from frame to frame ------------------------------------------------------------------------------------------


class Motion:
    """Frame by frame, how steady a painted clip is beside the real one. Holds one frame of each.

    *Warp error* after Lai et al. 2018 (https://arxiv.org/abs/1808.00449): the frame before, moved to where the REAL
    clip's optical flow (DIS, medium) says its content went, against the frame: mean absolute difference over the pixels
    at which the flow there and back agrees (Sundaram et al. 2010: |there + back|² < .01 (|there|² + |back|²) + .5).
    *Flicker*: the mean absolute change of what is finer than a Gaussian of sigma 1.5 pixels.
    Both are 0 for a picture that stands still, so they say something only beside the real clip's own.
    """

    def __init__(self) -> None:
        self._before: tuple[np.ndarray, np.ndarray] | None = None

    def push(self, painted_HWC: np.ndarray, real_HWC: np.ndarray) -> dict[str, float] | None:
        """``warp_error``, ``warp_error_real``, ``flicker`` and ``flicker_real`` in picture values from 0 to 1.

        None for the first frame. Where no pixel's flow agrees, both warp errors are NaN.
        """
        before, self._before = self._before, (painted_HWC, real_HWC)
        if before is None:
            return None
        flow_HW2, steady_HW = _flow_back(before[1], real_HWC)
        values = {}
        for name, was, now in (("", before[0], painted_HWC), ("_real", before[1], real_HWC)):
            was, now = was.astype(np.float32) / 255, now.astype(np.float32) / 255
            error_HW = np.abs(_moved(was, flow_HW2) - now).mean(-1)
            values[f"warp_error{name}"] = float(error_HW[steady_HW].mean()) if steady_HW.any() else math.nan
            values[f"flicker{name}"] = float(np.abs(_fine(now) - _fine(was)).mean())
        return values


def flow_warp_error(painted: Iterable[np.ndarray], real: Iterable[np.ndarray]) -> tuple[float, float]:
    """The mean warp error of a painted clip and of the real one (:class:`Motion`); NaN for fewer than two frames."""
    values = _means(painted, real)
    return values["warp_error"], values["warp_error_real"]


def flicker(painted: Iterable[np.ndarray], real: Iterable[np.ndarray]) -> float:
    """The painted clip's flicker as a multiple of the real one's (:class:`Motion`): 1 is as the real clip."""
    values = _means(painted, real)
    return values["flicker"] / values["flicker_real"] if values["flicker_real"] else math.nan


def _means(painted: Iterable[np.ndarray], real: Iterable[np.ndarray]) -> dict[str, float]:
    motion = Motion()
    rows = [row for p, r in zip(painted, real, strict=True) if (row := motion.push(p, r)) is not None]
    names = ("warp_error", "warp_error_real", "flicker", "flicker_real")
    return {k: float(np.nanmean([row[k] for row in rows])) if rows else math.nan for k in names}


def _flow_back(before_HWC: np.ndarray, now_HWC: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each pixel of ``now`` how far back its content lay before, (H, W, 2), and where that is sure, bool (H, W)."""
    flow = Flow(preset="medium", limit_px=float(max(now_HWC.shape)))
    _, there = flow.of_frames([before_HWC, now_HWC])
    _, back = flow.of_frames([now_HWC, before_HWC])
    there = _moved(there, back)
    off = np.square(there + back).sum(-1)
    return back, off < 0.01 * (np.square(there).sum(-1) + np.square(back).sum(-1)) + 0.5


def _moved(picture_HWC: np.ndarray, flow_HW2: np.ndarray) -> np.ndarray:
    """At each pixel what ``picture`` has ``flow`` further on."""
    cv2 = import_cv2()
    rows, columns = np.indices(flow_HW2.shape[:2], np.float32)
    x, y = columns + flow_HW2[..., 0], rows + flow_HW2[..., 1]
    return cv2.remap(picture_HWC, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _fine(picture_HWC: np.ndarray) -> np.ndarray:
    return picture_HWC - import_cv2().GaussianBlur(picture_HWC, (WINDOW_PX, WINDOW_PX), SIGMA_PX)


# --- as a pose ----------------------------------------------------------------------------------------------------


def pose_faithfulness(frames: Iterable[np.ndarray], wanted: Joints) -> dict[str, float]:
    """How well the hands that MediaPipe finds in ``frames`` are where they were ``wanted`` (:func:`hand_hits`).

    ``frames`` uint8 (H, W, 3), as many as ``wanted``, whose joints are in pixels of these frames. Give the real frames
    too: what is not found even there is no fault of the painting. All are shares; NaN where no hand is wanted.
    """
    found = redetected(frames, wanted.fps)
    return {
        name: float(hits.sum() / of.sum()) if of.sum() else math.nan
        for name, (hits, of) in hand_hits(found, wanted).items()
    }


def redetected(frames: Iterable[np.ndarray], fps: float) -> Joints:
    """The joints that MediaPipe Holistic finds in ``frames``, uint8 (H, W, 3). Raises MediaError for no frames."""
    return joints_of(HolisticPose().extract(frames, fps))


def hand_hits(found: Joints, wanted: Joints) -> Mapping[str, tuple[np.ndarray, np.ndarray]]:
    """For each frame how many were right, and of how many, both (T,), by the measure's name.

    ``hand_rate``: hands wanted that were found at all. ``pck_05``, ``pck_10``, ``pck_20``: hand keypoints wanted that
    were found within .05, .1, .2 of the (wanted) shoulder width of their place; those of a hand that was not found are
    missed. The percentage of correct keypoints after Yang & Ramanan 2013, with shoulders for scale as heads may be
    covered; a palm is about a quarter of the shoulders.
    Raises InputError for another number of frames, or where shoulders are never seen.
    """
    if len(found) != len(wanted):
        raise InputError(f"a pose of {len(found)} frames cannot be compared with one of {len(wanted)}")
    unit = shoulder_width_px(wanted)
    if not unit:
        raise InputError("the wanted pose never shows both shoulders, which keypoints are measured by")
    hits: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    hands = [PARTS["left_hand"], PARTS["right_hand"]]
    asked = np.stack([wanted.present_TJ[:, h].any(1) for h in hands], 1)
    seen = np.stack([found.present_TJ[:, h].any(1) for h in hands], 1)
    hits["hand_rate"] = (asked & seen).sum(1), asked.sum(1)
    keypoints = np.r_[hands[0], hands[1]]
    both = wanted.present_TJ[:, keypoints] & found.present_TJ[:, keypoints]
    off = np.linalg.norm(found.xy_TJC[:, keypoints] - wanted.xy_TJC[:, keypoints], axis=-1) / unit
    for share in PCK_SHARES:
        n_wanted = wanted.present_TJ[:, keypoints].sum(1)
        hits[f"pck_{round(100 * share):02d}"] = (both & (off <= share)).sum(1), n_wanted
    return hits
