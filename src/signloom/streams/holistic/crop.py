"""How a turned rectangle of a picture becomes a network's input: one rule, written down, the same wherever it is run.

The rule is MediaPipe's on a CPU (OpenCV's ``warpPerspective``), so that its networks see what they see there. For
output pixel (column u, row v) of a square of S × S, of a region about (x, y) with sides w and h turned by a:

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
    cv2 = _cv2()
    return cv2.warpPerspective(
        picture,
        matrix_of(region, size),
        (size, size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE if border == "edge" else cv2.BORDER_CONSTANT,
    )


@cache
def _cv2():
    from signloom.media import import_cv2

    return import_cv2()
