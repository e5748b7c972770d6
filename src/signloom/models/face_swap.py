"""Faces of several people: one encoder reads what a face does, a decoder for each paints how that person looks.

The layout of an autoencoder that was trained on pictures of several people, one decoder each, so that a face goes in as
one and comes out as another, is common knowledge since 2017; the layers are our own. A second, small branch says pixel
by pixel where the face is seen and not covered by a hand. It sees the encoder's finer features and belongs to nobody.
As all faces are laid out alike, a decoder begins with the mean face of its person, and learns what moves.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class FaceSwapConfig:
    """``widths`` are the channels at a half, a quarter, an eighth and a sixteenth of ``size_px`` (a multiple of 16);
    ``code`` is how many numbers all of a face's expression goes through."""

    size_px: int = 96
    n_identities: int = 2
    widths: tuple[int, ...] = (24, 48, 96, 128)
    code: int = 192

    def __post_init__(self):
        if self.size_px % 16 or self.size_px < 32:
            raise ValueError(f"size_px: got {self.size_px}, expected a multiple of 16 from 32 on")
        if len(self.widths) != 4 or any(w % 4 or w < 4 for w in self.widths):
            raise ValueError(f"widths: got {self.widths}, expected four multiples of 4")
        if self.n_identities < 1 or self.code < 4:
            raise ValueError(
                f"n_identities and code: got {self.n_identities} and {self.code}, expected 1 and 4 or more"
            )


def _conv(n_in: int, n_out: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, kernel, stride, kernel // 2, bias=False), nn.GroupNorm(4, n_out), nn.SiLU()
    )


class _Grow(nn.Module):
    """Twice the size, and a residual convolution there."""

    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        self.grow = nn.Conv2d(n_in, 4 * n_out, 3, padding=1)
        self.change = nn.Sequential(_conv(n_out, n_out), nn.Conv2d(n_out, n_out, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(F.pixel_shuffle(self.grow(x), 2))
        return F.silu(x + self.change(x))


class Decoder(nn.Module):
    """What one person looks like: a code's map (B, W, s, s) → a picture (B, 3, 16 s, 16 s) from 0 to 1. ``mean_face``
    is the face that it differs from, in logits."""

    def __init__(self, config: FaceSwapConfig):
        super().__init__()
        a, b, c, d = config.widths
        self.grow = nn.Sequential(_Grow(d, c), _Grow(c, b), _Grow(b, a))
        self.last = nn.Conv2d(a, 4 * 3, 3, padding=1)
        self.mean_face = nn.Parameter(torch.zeros(3, config.size_px, config.size_px))
        with torch.no_grad():
            self.last.weight.mul_(0.1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.mean_face + F.pixel_shuffle(self.last(self.grow(x)), 2))


class FaceSwap(nn.Module):
    """A face (B, 3, S, S) from 0 to 1, and whose face it is to be, int64 (B,) → a picture (B, 3, S, S) from 0 to 1, and
    logits (B, 1, S, S) of where the face that came in is seen."""

    takes = "face"

    def __init__(self, config: FaceSwapConfig):
        super().__init__()
        self.config = config
        a, b, c, d = config.widths
        side = config.size_px // 16
        self.down = nn.ModuleList(
            [_conv(3, a, 5, 2), nn.Sequential(_conv(a, b, 3, 2), _conv(b, b)), _conv(b, c, 3, 2), _conv(c, d, 3, 2)]
        )
        self.squeeze = nn.Linear(d * side * side, config.code)
        self.spread = nn.Linear(config.code, d * side * side)
        self.decoders = nn.ModuleList([Decoder(config) for _ in range(config.n_identities)])
        self.seen_3 = _conv(d + c, c)
        self.seen_2 = _conv(c + b, b)
        self.seen_1 = _conv(b + a, a)
        self.seen = nn.Conv2d(a, 4, 3, padding=1)
        self.seen_mean = nn.Parameter(torch.zeros(1, config.size_px, config.size_px))

    def features(self, x: Tensor) -> list[Tensor]:
        """What the encoder sees at a half, a quarter, an eighth and a sixteenth of the size."""
        found = []
        for layer in self.down:
            x = layer(x)
            found.append(x)
        return found

    def expression(self, features: list[Tensor]) -> Tensor:
        """What the face does, as a map for any decoder, (B, W, s, s)."""
        deep = features[-1]
        return F.silu(self.spread(self.squeeze(deep.flatten(1)))).view_as(deep)

    def where_seen(self, features: list[Tensor]) -> Tensor:
        """Logits (B, 1, S, S)."""
        one, two, three, four = features

        def up(x: Tensor) -> Tensor:
            return F.interpolate(x, scale_factor=2.0, mode="nearest")

        x = self.seen_3(torch.cat([up(four), three], 1))
        x = self.seen_2(torch.cat([up(x), two], 1))
        x = self.seen_1(torch.cat([up(x), one], 1))
        return self.seen_mean + F.pixel_shuffle(self.seen(x), 2)

    def forward(self, face: Tensor, identity: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(face)
        code = self.expression(features)
        picture = torch.zeros_like(face)
        for k in identity.unique().tolist():
            rows = (identity == k).nonzero()[:, 0]
            picture = picture.index_copy(0, rows, self.decoders[int(k)](code[rows]).to(picture.dtype))
        return picture, self.where_seen(features)

    def blended(self, face: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
        """Each face as a mixture of people, ``shares`` (K,) of them, whose sum is 1; and where it is seen (B, 1, S, S),
        0 to 1."""
        features = self.features(face)
        code = self.expression(features)
        picture = torch.zeros_like(face)
        for k, share in enumerate(shares.tolist()):
            if share > 0:
                picture = picture + share * self.decoders[k](code)
        return picture, torch.sigmoid(self.where_seen(features))
