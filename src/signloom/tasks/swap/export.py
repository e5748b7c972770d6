"""A face swap for other runtimes: a laid-out face in, the same face as every identity's out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from signloom.training.export import Exported

if TYPE_CHECKING:
    from signloom.training.checkpoint import Checkpoint

GENERATED = {
    "comment": "Generated faces: swapped by signloom. They show no recording of a person.",
    "signloom_generated": "true",
}


def export_swap(checkpoint: Checkpoint) -> Exported:
    """``checkpoint``'s network as :class:`~signloom.training.export.Exported`.

    Input: ``face`` float32 (1, 3, S, S) from 0 to 1, laid out as the stream ``faces`` does. Outputs: ``pictures``
    (K, 3, S, S), the face as each identity's, and ``seen`` (1, 1, S, S), where it is not covered. The metadata say that
    its pictures are generated.
    """
    import torch
    from torch import nn

    model, inputs = checkpoint.model.to("cpu").eval(), checkpoint.inputs

    class Everybody(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, face):
            features = self.model.features(face)
            code = self.model.expression(features)
            pictures = torch.cat([decoder(code) for decoder in self.model.decoders])
            return pictures, torch.sigmoid(self.model.where_seen(features))

    about = {
        "task": checkpoint.task,
        "size_px": inputs.size_px,
        "identities": inputs.identities,
        "consent": dict(inputs.consent),
        "streams": checkpoint.streams,
    }
    shape = (1, 3, inputs.size_px, inputs.size_px)
    examples = [{"face": np.random.default_rng(seed).random(shape, np.float32)} for seed in (0, 1)]
    outputs = ("pictures", "seen")
    return Exported(Everybody().eval(), examples, outputs, about, metadata=GENERATED, answer="pictures")
