"""Averaged weights: what is validated and kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any


def average_into(average: dict[str, Any], now: Mapping[str, Any], decay: float, step: int) -> None:
    """Let ``average`` follow ``now``; quickly at first, so that nothing stays of what it was before training.

    A ten-thousandth of batch norm's first running variance, 1, can be more than the true one of a deep layer.
    """
    decay = min(decay, (1 + step) / (10 + step))
    for name, value in now.items():
        if value.dtype.is_floating_point and decay:
            average[name].lerp_(value, 1 - decay)
        else:
            average[name].copy_(value)


@contextmanager
def weights_in(module: Any, weights: Mapping[str, Any]) -> Iterator[None]:
    """``module`` with other ``weights`` for the length of a ``with`` block."""
    own = {k: v.detach().clone() for k, v in module.state_dict().items()}
    module.load_state_dict(weights)
    try:
        yield
    finally:
        module.load_state_dict(own)
