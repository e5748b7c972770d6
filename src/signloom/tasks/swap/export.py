"""A face swap as an ONNX file: a laid-out face in, the same face as every identity's out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from signloom.training.onnx_file import write_onnx

if TYPE_CHECKING:
    from signloom.training.checkpoint import Checkpoint

GENERATED = {
    "comment": "Generated faces: swapped by signloom. They show no recording of a person.",
    "signloom_generated": "true",
}


def export_swap(checkpoint: Checkpoint, file: Path) -> dict[str, Any]:
    """Write ``checkpoint``'s network as ``file`` (.onnx); see :func:`signloom.training.onnx_file.write_onnx`.

    Input: ``face`` float (1, 3, S, S) from 0 to 1, laid out as the stream ``faces`` does. Outputs: ``pictures``
    (K, 3, S, S), the face as each identity's, and ``seen`` (1, 1, S, S), where it is not covered. The metadata name the
    identities.
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

    about = {"size_px": inputs.size_px, "identities": inputs.identities, "consent": dict(inputs.consent)}
    face = np.random.default_rng(0).random((1, 3, inputs.size_px, inputs.size_px), np.float32)
    metadata = {"signloom": json.dumps(about), **GENERATED}
    return write_onnx(Everybody().eval(), [{"face": face}], ["pictures", "seen"], file, metadata=metadata)
