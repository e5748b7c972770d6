"""A face swap for other runtimes: a laid-out face in, the same face as every identity's out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from signloom.errors import InputError
from signloom.training.export import Exported
from signloom.transforms.face_input import NOBODY

if TYPE_CHECKING:
    from signloom.training.checkpoint import Checkpoint

GENERATED = {
    "comment": "Generated faces: swapped by signloom. They show no recording of a person.",
    "signloom_generated": "true",
}


def export_swap(checkpoint: Checkpoint) -> Exported:
    """``checkpoint``'s network as :class:`~signloom.training.export.Exported`.

    Input: ``face`` float32 (1, 3, S, S) from 0 to 1, laid out as the stream ``faces`` does. Outputs: ``pictures``
    (K, 3, S, S), the face as each identity's that may be painted (nobody's, and those with consent on record), and
    ``seen`` (1, 1, S, S), where it is not covered. The metadata say that its pictures are generated. Raises InputError
    where nobody may be painted.
    """
    import torch
    from torch import nn

    model, inputs = checkpoint.model.to("cpu").eval(), checkpoint.inputs
    painted = [k for k, name in enumerate(inputs.identities) if name == NOBODY or inputs.consent.get(name)]
    if not painted:
        raise InputError(
            f"the model paints {', '.join(inputs.identities)}, real people without consent on record, and an exported "
            "file asks for none. Train again with --consent SIGNER=WHERE, or with nobody_frames more than 0"
        )

    class Everybody(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model
            self.decoders = nn.ModuleList([model.decoders[k] for k in painted])

        def forward(self, face):
            features = self.model.features(face)
            code = self.model.expression(features)
            pictures = torch.cat([decoder(code) for decoder in self.decoders])
            return pictures, torch.sigmoid(self.model.where_seen(features))

    about = {
        "task": checkpoint.task,
        "size_px": inputs.size_px,
        "identities": [inputs.identities[k] for k in painted],
        "consent": dict(inputs.consent),
        "streams": checkpoint.streams,
    }
    shape = (1, 3, inputs.size_px, inputs.size_px)
    examples = [{"face": np.random.default_rng(seed).random(shape, np.float32)} for seed in (0, 1)]
    outputs = ("pictures", "seen")
    return Exported(Everybody().eval(), examples, outputs, about, metadata=GENERATED, answer="pictures")
