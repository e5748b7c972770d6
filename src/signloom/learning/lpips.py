"""LPIPS, a distance of pictures as people see them, with weights that the user supplies: signloom ships none."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

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
        weights |= _read(path)
    first = weights.get("features.0.weight")
    names = ", ".join(f"'{p}'" for p in paths)
    if first is None or tuple(first.shape[1:]) not in ((3, 11, 11), (3, 3, 3)):
        got = f"of shape {tuple(first.shape)}" if first is not None else "missing"
        raise CheckpointError(
            f"LPIPS weights {names}: 'features.0.weight' is {got}; wanted AlexNet's (64, 3, 11, 11) or VGG-16's "
            "(64, 3, 3, 3), under torchvision's names"
        )
    model = Lpips("alex" if first.shape[-1] == 11 else "vgg")
    wanted = model.state_dict()
    wrong = [
        f"'{name}' is {tuple(weights[name].shape) if name in weights else 'missing'}, wanted {tuple(value.shape)}"
        for name, value in wanted.items()
        if name not in weights or weights[name].shape != value.shape
    ]
    if wrong:
        raise CheckpointError(f"LPIPS weights {names}: {'; '.join(wrong[:4])}{' …' if len(wrong) > 4 else ''}")
    model.load_state_dict({name: weights[name].float() for name in wanted})
    return model.eval().requires_grad_(False)


def _read(path: Path) -> dict[str, Tensor]:
    import torch
    from safetensors.torch import load_file

    if not path.is_file():
        raise CheckpointError(f"LPIPS weights: there is no file '{path}'")
    try:
        found = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
        return {str(name): value for name, value in found.items() if torch.is_tensor(value)}
    except Exception as error:  # a broken file raises anything at all
        raise CheckpointError(f"LPIPS weights '{path}' cannot be read ({type(error).__name__}: {error})") from error
