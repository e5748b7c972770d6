"""What a recogniser is asked for: the sign, from the clip or each frame; joints; a teacher's features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from signloom.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor


def answer(model: Any, inputs: Mapping[str, Tensor], stream: str, **more: Any) -> Any:
    """What ``model`` says of ``inputs``: it is given those that it ``reads``, else the tensor of its first
    ``stream``."""
    return model(*reading(model, inputs, stream), **more)


def features(model: Any, inputs: Mapping[str, Tensor], stream: str) -> Tensor:
    """What ``model`` has found before it names the sign, (B, F). Raises InputError for one that does not tell."""
    if not hasattr(model, "features"):
        raise InputError(f"a '{type(model).__name__}' gives no features to learn from; choose another teacher")
    return model.features(*reading(model, inputs, stream))


def reading(model: Any, inputs: Mapping[str, Tensor], stream: str) -> list[Tensor]:
    """The tensors that ``model`` is given of ``inputs``, in order."""
    return [inputs[name] for name in getattr(model, "reads", (stream,))]


def classify(logits: Tensor, label_B: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy over glosses; of logits (B, M, K), an ensemble, each member learns by itself."""
    import torch.nn.functional as F

    if logits.ndim == 3:
        label_B = label_B.repeat_interleave(logits.shape[1])
        logits = logits.flatten(0, 1)
    return F.cross_entropy(logits.float(), label_B, label_smoothing=smoothing)


def classify_frames(frames_BTK: Tensor, label_B: Tensor, frame_share: float = 0.5) -> Tensor:
    """Binary cross-entropies over glosses: ``frame_share`` asks each frame's logits for the sign, the rest the clip's.

    As in the WLASL I3D (Li 2020, https://arxiv.org/abs/1910.11006).
    """
    import torch
    import torch.nn.functional as F

    frames_BTK = frames_BTK.float()
    wanted = F.one_hot(label_B, frames_BTK.shape[-1]).to(frames_BTK)
    of_clip = F.binary_cross_entropy_with_logits(frames_BTK.amax(1), wanted)
    of_frames = F.binary_cross_entropy_with_logits(frames_BTK, wanted[:, None].expand_as(frames_BTK))
    return torch.lerp(of_clip, of_frames, frame_share)


def locate(heat_BTJHW: Tensor, place_BTJ2: Tensor, present_BTJ: Tensor) -> Tensor:
    """Cross-entropy of each joint's map against a spot of one cell's standard deviation, the mean over joints in sight.

    Places run from -1 to 1. A few hundred clips of a few signers do not teach a network what a hand is; a hundred
    thousand joints do.
    """
    import torch

    if not present_BTJ.any():
        return 0 * heat_BTJHW.sum()
    h, w = heat_BTJHW.shape[-2:]
    xs = (torch.arange(w, device=heat_BTJHW.device) + 0.5) / w * 2 - 1
    ys = (torch.arange(h, device=heat_BTJHW.device) + 0.5) / h * 2 - 1
    # In cells: a cell is 2 / w wide.
    near_x = torch.exp(-0.5 * ((xs - place_BTJ2[..., :1]) * (w / 2)).square())
    near_y = torch.exp(-0.5 * ((ys - place_BTJ2[..., 1:]) * (h / 2)).square())
    spot = (near_y.unsqueeze(-1) * near_x.unsqueeze(-2)).flatten(3)
    spot = spot / spot.sum(-1, keepdim=True).clamp_min(1e-6)
    missed = -(spot * heat_BTJHW.float().flatten(3).log_softmax(-1)).sum(-1)
    return (missed * present_BTJ).sum() / present_BTJ.sum()


GENERATED = 100.0
NAMED = 30.0
"""How much the generated features count, and the sign that they name."""


def generate(own_BF: Tensor, wanted_BF: Tensor, named: Tensor) -> Tensor:
    """Features that are to be those of another network, and to name the sign: ``named`` is the cross-entropy of that.

    100 · (Huber + the difference of the norms) + 30 · cross-entropy, as self-learning fusion has it, each the mean over
    clips. There the third term reached no weight; here the sign is named by the generated features themselves. Norms
    are over the root of how many features there are: of hundreds, they would outweigh all else.
    """
    import torch.nn.functional as F

    own_BF, wanted_BF = own_BF.float(), wanted_BF.float()
    norms = (own_BF.norm(dim=1) - wanted_BF.norm(dim=1)).abs() / own_BF.shape[1] ** 0.5
    apart = F.huber_loss(own_BF, wanted_BF) + norms.mean()
    return GENERATED * apart + NAMED * named


def distil(own_BF: Tensor, wanted_BF: Tensor) -> Tensor:
    """Mean squared error of the features to a teacher's, of whatever modality.

    MARS, where the teacher reads flow: Crasto 2019,
    https://openaccess.thecvf.com/content_CVPR_2019/html/Crasto_MARS_Motion-Augmented_RGB_Stream_for_Action_Recognition_CVPR_2019_paper.html.
    """
    import torch.nn.functional as F

    return F.mse_loss(own_BF.float(), wanted_BF.float())
