"""A generator for other runtimes, for phones and browsers: its state goes in and comes out as a picture."""

from __future__ import annotations

from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from signloom.data.corpus import HeldClip
from signloom.streams.estimator import FACES
from signloom.streams.holistic.networks import HOLISTIC, describe_networks
from signloom.streams.pose import PoseStream
from signloom.streams.sample import pose_samples
from signloom.tasks.paint.predict import GENERATED, GeneratorPredictor
from signloom.training.export import Exported
from signloom.transforms.geometry import scaling
from signloom.transforms.pose_described import described_map

if TYPE_CHECKING:
    from signloom.training.checkpoint import Checkpoint

SAMPLE_FRAMES = 2
"""So many frames, one after the other, are kept as a sample: as pose maps they are large."""


def export_generator(checkpoint: Checkpoint) -> Exported:
    """``checkpoint``'s generator as :class:`~signloom.training.export.Exported`.

    Inputs: ``pose_map`` float32 (1, L, s, s) from 0 to 1, ``identity`` int32 (1,), and for a temporal generator
    ``first`` float32 (1,), 1 for the first frame of a clip and else 0, and ``last`` (1, 3, s, s), the ``next`` of the
    frame before (any, where ``first`` is 1). Outputs: ``picture`` (1, 3, S, S) from 0 to 1, and ``next`` for a temporal
    generator. The metadata say that its pictures are generated.
    """
    import torch

    predictor = GeneratorPredictor(checkpoint)
    model = checkpoint.model.to("cpu", memory_format=torch.contiguous_format).eval()
    predictor.device = "cpu"
    temporal = _temporal(model)
    values = example_inputs(model)
    # Checked on a beginning and on going on.
    examples = [{n: np.full_like(v, first) if n == "first" else v for n, v in values.items()} for first in (1, 0)]
    return Exported(
        _stateless(model),
        examples,
        ("picture", "next") if temporal else ("picture",),
        about=_about(checkpoint, predictor, temporal),
        sample=_sample(predictor),
        metadata=GENERATED,
        answer="picture",
    )


def example_inputs(model: Any, seed: int = 0) -> dict[str, np.ndarray]:
    """Random inputs of the right shapes for the exported form of ``model``, by name."""
    rng = np.random.default_rng(seed)
    size, n_channels = _inner(model).config.size_px, model.config.n_channels
    inputs: dict[str, np.ndarray] = {
        "pose_map": rng.random((1, n_channels, size, size), np.float32),
        "identity": np.zeros(1, np.int32),
    }
    if _temporal(model):
        inputs |= {"first": np.zeros(1, np.float32), "last": rng.random((1, 3, size, size), np.float32)}
    return inputs


def _stateless(model: Any) -> Any:
    """``model`` with its state as plain inputs and outputs."""
    import torch
    from torch import nn

    temporal = _temporal(model)

    class Stateless(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, pose_map, identity, first=None, last=None):
            who = identity.long()
            if not temporal:
                return self.model(pose_map, None, who)[0]
            # Before the first picture there was the empty background.
            before = torch.lerp(last, self.model.background[who], first[:, None, None, None])
            return self.model(pose_map, before, who)

    return Stateless().eval()


def _temporal(model: Any) -> bool:
    return bool(getattr(_inner(model).config, "temporal", False))


def _inner(model: Any) -> Any:
    """The generator itself, of an enlarged one."""
    return getattr(model, "generator", model)


def _about(checkpoint: Checkpoint, predictor: GeneratorPredictor, temporal: bool) -> dict[str, Any]:
    pose, inputs = _pose_stream(predictor), checkpoint.inputs
    told = described_map(inputs, asdict(predictor.square), FACES[pose.face], pose.ghosts, pose.extractor == "holistic")
    streams = {name: dict(made) for name, made in checkpoint.streams.items()}
    return {
        "task": checkpoint.task,
        "architecture": checkpoint.architecture,
        "parameters": sum(p.numel() for p in checkpoint.model.parameters()),
        "generated": True,
        "temporal": temporal,
        "size_px": inputs.size_px,
        "pose_map_px": inputs.side_px,
        "signers": list(inputs.signers),
        "fps": checkpoint.fps,
        "rates": checkpoint.rates,
        "preprocessing": {"kind": "pose_map", **told},
        "estimator": pose.fingerprint(),
        "streams": streams,
        "networks": describe_networks(HOLISTIC),
    }


def _pose_stream(predictor: GeneratorPredictor) -> PoseStream:
    stream = predictor.streams["pose"]
    assert isinstance(stream, PoseStream)
    return stream


def _sample(predictor: GeneratorPredictor) -> list[dict[str, Any]]:
    """A few frames of the procedural signer, from the points in each to the picture, as Python paints them."""
    for joints, told in pose_samples(_pose_stream(predictor))[:1]:
        start, clip = len(joints) // 2, HeldClip(told["name"], {"pose": joints}, told["fps"])
        maps = list(islice(predictor.pose_maps(clip), start, start + SAMPLE_FRAMES))
        session = predictor.session()
        made = {
            "matrix": scaling(predictor.pose_map_px / predictor.size_px) @ predictor.square.matrix(joints),
            "first_frame": start,
            "pose_map": np.stack(maps),
            "picture": np.stack([session.picture(pose_map) for pose_map in maps]),
        }
        return [told | made]
    return []
