"""Where a clip is looked at when its time is changed at random, whatever it holds."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


def warped_instants(share_BT: Tensor, trim: float, speed: float, uniform: Callable[..., Tensor]) -> Tensor:
    """Where in each clip to look instead of at ``share_BT`` (0 its start, 1 its end): a little is cut off both ends and
    the time axis bent.

    The early part is then faster and the late one slower, or the reverse. ``trim`` is the largest share cut off at an
    end, ``speed`` how far the axis is bent; ``uniform(*shape)`` draws from -1 to 1, four times.
    """
    b, u = len(share_BT), share_BT
    start = (uniform(b, 1) * 0.5 + 0.5) * trim
    stop = 1 - (uniform(b, 1) * 0.5 + 0.5) * trim
    u = u + uniform(b, 1) * speed * torch.sin(math.pi * u) / math.pi
    u = u + uniform(b, 1) * speed * torch.sin(2 * math.pi * u) / (2 * math.pi)
    return start + u.clamp(0, 1) * (stop - start)
