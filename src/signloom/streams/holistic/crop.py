"""How a turned rectangle of a picture becomes a network's input: one rule, written down, the same wherever it is run.

The rule is MediaPipe's on a CPU (``warpPerspective`` of OpenCV 3 and 4), so that its networks see what they see
there. For output pixel (column u, row v) of a square of S × S, of a region about (x, y) with sides w and h turned by
a:

1. ``s = u / S - 1/2``, ``t = v / S - 1/2`` (of a pixel's upper left corner, not its middle: MediaPipe does so).
2. ``X = x + s w cos a - t h sin a`` and ``Y = y + s w sin a + t h cos a``, doubles. The picture's pixel (column i,
   row j) has its middle at X = i, Y = j. With pixel centres at +0.5, a sample is thus taken at (X + 0.5, Y + 0.5).
3. X and Y are rounded to 1/32 pixel, halves to the even one: ``X' = round(32 X)``, ``i = X' >> 5``, ``f = X' & 31``,
   and so j and g of Y'.
4. Per channel, ``p = ((32-f)(32-g) P[j,i] + f (32-g) P[j,i+1] + (32-f) g P[j+1,i] + f g P[j+1,i+1] + 512) >> 10``,
   whole numbers. Outside the picture P is its nearest pixel ("edge"), or 0 ("zero").
5. The network gets ``p × scale + offset`` as 32-bit floats, scale and offset 1/255 and 0, or 2/255 and -1.
"""

from __future__ import annotations

from functools import cache
from math import cos, sin
from typing import Literal

import numpy as np

from signloom.media import import_cv2
from signloom.streams.holistic.regions import Region

Border = Literal["edge", "zero"]


def matrix_of(region: Region, size: int) -> np.ndarray:
    """The 3×3 matrix from output pixels (u, v, 1) to places (X, Y, 1) in the picture: steps 1 and 2 of the rule."""
    x, y, width, height, angle = region
    across, down = (width * cos(angle), width * sin(angle)), (-height * sin(angle), height * cos(angle))
    return np.array(
        [
            [across[0] / size, down[0] / size, x - across[0] / 2 - down[0] / 2],
            [across[1] / size, down[1] / size, y - across[1] / 2 - down[1] / 2],
            [0, 0, 1],
        ]
    )


def crop(picture: np.ndarray, region: Region, size: int, border: Border = "edge") -> np.ndarray:
    """``region`` of ``picture`` (uint8 (H, W, 3)) as uint8 (size, size, 3), by the rule at the top of this file."""
    return (_by_warp if _warp_keeps_the_rule() else _by_places)(picture, matrix_of(region, size), size, border)


def _by_warp(picture: np.ndarray, matrix: np.ndarray, size: int, border: Border) -> np.ndarray:
    cv2 = import_cv2()
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpPerspective(picture, matrix, (size, size), flags=how, borderMode=_border(border))


def _by_places(picture: np.ndarray, matrix: np.ndarray, size: int, border: Border) -> np.ndarray:
    """Steps 2 and 3 here, and only step 4 in OpenCV: slower, and the same whatever its version."""
    cv2 = import_cv2()
    ticks = np.arange(size)
    rows = matrix[:2, 1, None] * ticks + matrix[:2, 2, None]
    places = 32 * (rows[:, :, None] + matrix[:2, 0, None, None] * ticks)
    x, y = np.clip(np.rint(places), -1_000_000, 1_000_000).astype(np.int32)
    whole = np.stack([x >> 5, y >> 5], -1).astype(np.int16)
    parts = ((y & 31) << 5 | (x & 31)).astype(np.uint16)
    return cv2.remap(picture, whole, parts, cv2.INTER_LINEAR, borderMode=_border(border))


@cache
def _warp_keeps_the_rule() -> bool:
    """Whether this OpenCV's ``warpPerspective`` does as the rule says: 4.11 does, 5.0 interpolates otherwise."""
    picture = (np.arange(40 * 56 * 3) * 7919 % 256).astype(np.uint8).reshape(40, 56, 3)
    for region in (Region(30.3, 17.9, 33.3, 33.3, 0.4), Region(3.1, 50.2, 71.7, 71.7, -2.1)):
        matrix = matrix_of(region, 48)
        if not np.array_equal(_by_warp(picture, matrix, 48, "edge"), _by_places(picture, matrix, 48, "edge")):
            return False
    return True


def _border(border: Border) -> int:
    cv2 = import_cv2()
    return cv2.BORDER_REPLICATE if border == "edge" else cv2.BORDER_CONSTANT
