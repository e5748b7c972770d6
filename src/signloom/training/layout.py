"""How a network's kernels lie in memory."""

from __future__ import annotations

from typing import Any


def channels_last(module: Any) -> None:
    """Lay convolution kernels out as their inputs come, channels last: up to twice as fast, the same numbers."""
    import torch

    layouts = {4: torch.channels_last, 5: torch.channels_last_3d}
    for parameter in module.parameters():
        if parameter.ndim in layouts:
            parameter.data = parameter.data.contiguous(memory_format=layouts[parameter.ndim])
