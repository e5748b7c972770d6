"""Weights published elsewhere, from a local file, into a model here: tensors only, and all of them or none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from signloom.errors import CheckpointError
from signloom.runtime.text import plain

if TYPE_CHECKING:
    from torch import Tensor, nn

Module = TypeVar("Module", bound="nn.Module")

NESTS = ("state_dict", "model_state_dict", "model", "net", "weights")
"""Keys under which training programs keep the weights beside other things."""
WRAPPERS = ("module.", "base.", "base_model.", "backbone.", "model.", "net.", "i3d.")
"""What wrapping a network puts before the name of every tensor."""


def load_reference(model: Any, path: str | os.PathLike[str], *, head: str = "keep") -> tuple[str, ...]:
    """Load the weights in ``path`` (.pt, .pth or .safetensors) into ``model``, and return the names of those loaded.

    The file must hold every tensor of the model in its shape, and no other; what wrappers put before the names is taken
    off. With ``head="drop"`` the model keeps its own fresh head and the file's is left, whatever its number of classes.
    The counters of batch norm, which older files lack, may be missing.

    Raises CheckpointError with the whole list of what is missing, left over, misshapen or not finite; the model is then
    unchanged.
    """
    import torch

    if head not in ("keep", "drop"):
        raise ValueError(f"load_reference: head is '{head}'; expected 'keep' or 'drop'")
    got = _unwrapped(read_tensors(path), model.state_dict())
    own = model.state_dict()
    if head == "drop":
        prefixes = tuple(f"{name}." for name in model.head_names)
        got = {name: tensor for name, tensor in got.items() if not name.startswith(prefixes)}
        own = {name: tensor for name, tensor in own.items() if not name.startswith(prefixes)}

    wrong = []
    for name in sorted(own.keys() | got.keys()):
        if name not in got:
            if not name.endswith("num_batches_tracked"):
                wrong.append(f"missing {name} {_shape(own[name])}")
        elif name not in own:
            wrong.append(f"not part of the model: {name} {_shape(got[name])}")
        elif own[name].shape != got[name].shape:
            wrong.append(f"misshapen {name}: got {_shape(got[name])}, expected {_shape(own[name])}")
        elif own[name].is_floating_point() != got[name].is_floating_point():
            wrong.append(f"of another kind {name}: got {got[name].dtype}, expected {own[name].dtype}")
        elif not torch.isfinite(got[name]).all():
            wrong.append(f"not finite {name}")
    if wrong:
        listed = "\n  ".join(wrong)
        hint = ""
        if head == "keep" and all(any(f" {h}." in w for h in model.head_names) for w in wrong):
            hint = '\nOnly the head differs: to begin with a fresh one, load with head="drop"'
        raise CheckpointError(
            f"'{path}' does not fit {type(model).__name__} ({len(wrong)} of {len(own)} tensors):\n  {listed}{hint}"
        )
    with torch.no_grad():
        for name, tensor in got.items():
            own[name].copy_(tensor)
    return tuple(sorted(got))


def load_part(model: Module, tensors: Mapping[str, Tensor], what: str) -> Module:
    """``model`` with its weights out of ``tensors``, which may hold others besides; for use, not for training.

    The counters of batch norm may be missing. Raises CheckpointError, which begins with ``what`` and names what is
    missing, misshapen or not finite.
    """
    import torch

    wanted = {name: t for name, t in model.state_dict().items() if not name.endswith("num_batches_tracked")}
    wrong = []
    for name, value in wanted.items():
        got = tensors.get(name)
        if got is None or got.shape != value.shape:
            wrong.append(f"'{name}' is {'missing' if got is None else _shape(got)}, wanted {_shape(value)}")
        elif not torch.isfinite(got).all():
            wrong.append(f"'{name}' is not finite")
    if wrong:
        more = f" … ({len(wrong)} of {len(wanted)} tensors)" if len(wrong) > 4 else ""
        raise CheckpointError(f"{what}: {'; '.join(wrong[:4])}{more}")
    model.load_state_dict({name: tensors[name].float() for name in wanted}, strict=False)
    return model.eval().requires_grad_(False)


def read_tensors(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Every tensor in a .safetensors, .pt or .pth file by name; code hidden in a file is never run.

    Raises CheckpointError for a file that is not there, is damaged, or holds anything but named tensors.
    """
    import pickle

    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"no file '{path}'; expected weights in a local .pt, .pth or .safetensors file")
    if path.suffix not in (".pt", ".pth", ".tar", ".safetensors"):
        raise CheckpointError(f"'{path}' is not of a known kind; expected .pt, .pth or .safetensors")
    try:
        if path.suffix == ".safetensors":
            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"'{path}' holds more than tensors (code that would run when it is opened), or is damaged, and was not "
            "opened. Where it comes from, save plain tensors: torch.save(model.state_dict(), 'weights.pt'), or "
            "safetensors.torch.save_file(model.state_dict(), 'weights.safetensors')"
        ) from error
    except OSError as error:
        raise CheckpointError(f"'{path}' cannot be read: {error.strerror}") from error
    except (SafetensorError, RuntimeError, ValueError, EOFError, KeyError, IndexError, AttributeError) as error:
        raise CheckpointError(
            f"'{path}' cannot be read: it is damaged, or not what its name says ({type(error).__name__}); copy or "
            "save it again"
        ) from error
    for nest in NESTS:
        if isinstance(content, Mapping) and isinstance(content.get(nest), Mapping):
            content = content[nest]
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(f"'{path}' holds a {type(content).__name__}; expected tensors by name")
    strange = [plain(str(name)) for name, value in content.items() if not isinstance(value, torch.Tensor)]
    if strange:
        raise CheckpointError(f"'{path}' holds what is not a tensor: {', '.join(strange[:10])}")
    return {str(name): value for name, value in content.items()}


def _unwrapped(tensors: dict[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``tensors`` without the wrappers' prefixes that all of their names have and none of the model's."""
    stripped = True
    while stripped:
        stripped = False
        for prefix in WRAPPERS:
            if all(name.startswith(prefix) for name in tensors) and not any(n.startswith(prefix) for n in own):
                tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
                stripped = True
    return tensors


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)
