"""The generator: from a pose map to a picture of one signer, before a background that it has learnt.

Three things make it light and quick to learn. What stands still is a picture of its own (``background``), so that the
network paints the signer alone and says, pixel by pixel, where. The trunk works on squares of 4 × 4 pixels; only a
thin last layer sees every pixel. And a temporal generator warps its own last picture to the new pose by a flow field
and keeps of it what still holds: what was painted stays as it was painted, and does not flicker.

Nothing in it depends on the batch (group norm, no dropout), so that training, use, export and any batch size give the
same picture. Warping by predicted flow with masks: cf. Siarohin et al. 2019 (https://arxiv.org/abs/2003.00196); the
last frame in video synthesis: Wang et al. 2018 (https://arxiv.org/abs/1808.06601). The layout is our own.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FLOW_REACH = 0.25  # a flow of 1 is an eighth of the picture's side: half of its side is 1 to grid_sample
PATCH = 4  # the trunk works on squares of this many pixels


@dataclass(frozen=True)
class GeneratorConfig:
    """``widths`` are the channels at a quarter, an eighth … of the picture's size: they set quality and cost.

    ``size_px`` is a multiple of 32, widths are multiples of 4. ``temporal`` adds the last picture, ``template`` an
    appearance template, a picture of the signer's clothes: for one who sits or stands still in clothes with a print,
    which need not be painted then; it costs 5 % more. Each of ``n_identities`` has a background and a learnt code of
    its own: gains and biases at every level, for free.
    """

    size_px: int = 256
    n_channels: int = 18
    widths: tuple[int, ...] = (20, 56, 104, 128)
    n_identities: int = 1
    temporal: bool = True
    template: bool = False

    def __post_init__(self):
        if self.size_px % 32 or self.size_px < 64:
            raise ValueError(f"size_px: got {self.size_px}, expected a multiple of 32 from 64 on")
        if len(self.widths) != 4 or any(w % 4 or w < 4 for w in self.widths):
            raise ValueError(f"widths: got {self.widths}, expected four multiples of 4")


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(4, channels)


def _conv(n_in: int, n_out: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(n_in, n_out, kernel, stride, kernel // 2, bias=False), _norm(n_out), nn.SiLU())


class _Residual(nn.Module):
    """What ``n`` convolutions add to what came in."""

    def __init__(self, channels: int, n: int):
        super().__init__()
        more = [_conv(channels, channels) for _ in range(n - 1)]
        self.change = nn.Sequential(*more, nn.Conv2d(channels, channels, 3, padding=1, bias=False), _norm(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(x + self.change(x))


class Generator(nn.Module):
    """A pose map (B, L, S, S) from 0 to 1, and a state → a picture (B, 3, S, S) from 0 to 1, and the next state.

    The state is the last picture. None begins a clip: before its first picture there was the empty background.
    """

    takes = "pose_map"

    def __init__(self, config: GeneratorConfig):
        super().__init__()
        self.config = config
        size, (w, *_) = config.size_px, config.widths
        self.background = nn.Parameter(torch.full((config.n_identities, 3, size, size), 0.5))
        self.stem = nn.Conv2d(config.n_channels, w, PATCH, PATCH, bias=False)
        if config.template:
            self.template = nn.Parameter(torch.full((config.n_identities, 3, size, size), 0.5))
            self.template_stem = nn.Conv2d(3, w, PATCH, PATCH, bias=False)
        if config.temporal:
            self.last_stem = nn.Conv2d(3, w, PATCH, PATCH, bias=False)
            self.flow = nn.Conv2d(w, 2, 3, padding=1)
            for parameter in self.flow.parameters():
                nn.init.zeros_(parameter)
        self.start = nn.Sequential(_norm(w), nn.SiLU())
        pairs = list(pairwise(config.widths))
        self.down = nn.ModuleList(
            nn.Sequential(_conv(a, b, stride=2), _Residual(b, 1 if k == 0 else 2)) for k, (a, b) in enumerate(pairs)
        )
        self.join = nn.ModuleList(_conv(a + b, a, 1) for a, b in reversed(pairs))
        self.up = nn.ModuleList(_Residual(a, 1) for a, _ in reversed(pairs))
        places = (*config.widths, *config.widths[-2::-1], 3)  # the last for the light that colours are in
        self.codes = nn.ModuleList(nn.Embedding(config.n_identities, 2 * channels) for channels in places)
        for parameter in self.codes.parameters():
            nn.init.zeros_(parameter)
        n_seen = 1 + config.temporal  # layers: the background, and the last picture warped
        n_out = 3 + n_seen + config.template + 1  # colours, and how much of each layer and of the colours
        self.detail = nn.Conv2d(w, n_out * PATCH**2, 1)
        self.choose = nn.Conv2d(n_out + 3 * n_seen, n_out, 3, padding=1)

    def plates(self, identity_B: Tensor) -> Tensor:
        """What identities keep of their own: the background, and the appearance template; (B, 3 or 6, S, S)."""
        background = self.background[identity_B]
        return torch.cat([background, self.template[identity_B]], 1) if self.config.template else background

    def forward(
        self, pose_map_BLHW: Tensor, state: Tensor | None = None, identity_B: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        if identity_B is None:
            identity_B = torch.zeros(len(pose_map_BLHW), dtype=torch.long, device=pose_map_BLHW.device)
        picture, _ = self.paint(pose_map_BLHW, state, self.plates(identity_B), identity_B)
        return picture, picture

    def paint(
        self, pose_map_BLHW: Tensor, state: Tensor | None, plates_BCHW: Tensor, identity_B: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """A picture with given :meth:`plates`, and the last picture warped to the new pose (None if not temporal)."""
        codes = (code(identity_B)[..., None, None].chunk(2, 1) for code in self.codes)

        def of_identity(x: Tensor) -> Tensor:
            gain, bias = next(codes)
            return x * (1 + gain) + bias

        x = self.stem(pose_map_BLHW)
        background, *template = plates_BCHW.split(3, 1)
        for plate in template:
            x = x + self.template_stem(plate)
        layers, warped = [background], None
        if self.config.temporal:
            if state is None:
                state = background
            x = x + self.last_stem(state)
        x = of_identity(self.start(x))
        levels = []
        for down in self.down:
            levels.append(x)
            x = of_identity(down(x))
        for join, up, level in zip(self.join, self.up, reversed(levels)):
            x = of_identity(up(join(torch.cat([F.interpolate(x, scale_factor=2.0), level], 1))))
        if self.config.temporal:
            assert state is not None
            flow = F.interpolate(self.flow(x).float(), scale_factor=float(PATCH), mode="bilinear", align_corners=False)
            warped = warp(state, FLOW_REACH * flow)
            layers.append(warped)
        y = torch.cat([F.pixel_shuffle(self.detail(x), PATCH), *layers], 1)
        y = self.choose(y).float()
        layers += [*template, of_identity(y[:, :3]).sigmoid()]
        picture = (y[:, 3:].softmax(1)[:, :, None] * torch.stack(layers, 1)).sum(1)
        return picture, warped


def warp(picture_BCHW: Tensor, flow_B2HW: Tensor) -> Tensor:
    """What stands at (x, y) + flow, for every pixel; flow in half-widths of the picture, edges repeated."""
    h, w = picture_BCHW.shape[-2:]
    ys = (torch.arange(h, device=flow_B2HW.device) + 0.5) / h * 2 - 1
    xs = (torch.arange(w, device=flow_B2HW.device) + 0.5) / w * 2 - 1
    here = torch.stack(torch.broadcast_tensors(xs[None, :], ys[:, None]), -1)
    # Beyond the edge is the edge; runtimes agree on where that is only for numbers of a sensible size.
    there = (here + flow_B2HW.movedim(1, -1)).clamp(-1, 1)
    return F.grid_sample(picture_BCHW.float(), there, padding_mode="border", align_corners=False)
