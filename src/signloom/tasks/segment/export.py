"""A segmenter for other runtimes: features of one frame and the state before it in, what it says and the state out."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from signloom.streams.holistic.networks import HOLISTIC, describe_networks
from signloom.tasks.segment.decode import CLASSES
from signloom.training.checkpoint import Checkpoint
from signloom.training.export import Exported


def export_segmenter(checkpoint: Checkpoint) -> Exported:
    """``checkpoint``'s network as :class:`~signloom.training.export.Exported`.

    Inputs: ``motion`` (1, 1, F), see :class:`signloom.transforms.motion_input.MotionInput`, and ``state`` (L, 1, H),
    zeros before the first frame. Outputs: ``logits`` (1, 1, 3) of outside, begin and inside, and ``state_after``.
    """
    model = checkpoint.model.to("cpu").eval()
    about: dict[str, Any] = {
        "task": checkpoint.task,
        "classes": CLASSES,
        "thresholds": checkpoint.thresholds,
        "streams": checkpoint.streams,
        "preprocessing": {"kind": "motion", **asdict(checkpoint.inputs)},
        "rates": checkpoint.rates,
        "networks": describe_networks(HOLISTIC),
    }
    return Exported(model, [_example(model.config, seed) for seed in (0, 1)], ("logits", "state_after"), about)


def _example(config: Any, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    motion = rng.normal(0, 1, (1, 1, config.n_features)).astype(np.float32)
    return {"motion": motion, "state": rng.normal(0, 0.5, (config.layers, 1, config.hidden)).astype(np.float32)}
