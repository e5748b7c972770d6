"""LPIPS, a distance of pictures as people see them, with weights that the user supplies: signloom ships none."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from signloom.data.weights import load_part, read_tensors
from signloom.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

    from signloom.models.lpips import Lpips


def load_lpips(files: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> Lpips:
    """The distance (painted, real) -> (B,) of pictures (B, 3, H, W) from 0 to 1, with weights from ``files``.

    Zhang et al. 2018 (https://arxiv.org/abs/1801.03924), version 0.1. Between them the files (``.safetensors``, or
    ``.pt``/``.pth`` that hold nothing but tensors) have the convolutions of AlexNet or VGG-16 under torchvision's names
    (``features.0.weight`` …) and the linear layers (``lin0.model.1.weight`` …). Raises CheckpointError.
    """
    from signloom.models.lpips import Lpips

    paths = [Path(files)] if isinstance(files, (str, os.PathLike)) else [Path(f) for f in files]
    weights: dict[str, Tensor] = {}
    for path in paths:
        weights |= read_tensors(path)
    first = weights.get("features.0.weight")
    names = ", ".join(f"'{p}'" for p in paths)
    if first is None or tuple(first.shape[1:]) not in ((3, 11, 11), (3, 3, 3)):
        got = f"of shape {tuple(first.shape)}" if first is not None else "missing"
        raise CheckpointError(
            f"LPIPS weights {names}: 'features.0.weight' is {got}; wanted AlexNet's (64, 3, 11, 11) or VGG-16's "
            "(64, 3, 3, 3), under torchvision's names"
        )
    model = Lpips("alex" if first.shape[-1] == 11 else "vgg")
    return load_part(model, weights, f"LPIPS weights {names}")
