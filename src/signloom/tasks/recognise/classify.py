"""The task of naming a sign: cross-entropy over glosses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from signloom.data.batch import Batch, PoseSet
from signloom.data.skeleton import MIRROR, PARTS
from signloom.transforms.pose_augment import PoseAugment, crop_time

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SCORING_BATCH = 64
TIME_CROPS = tuple((start, stop) for start in (0.0, 0.06, 0.12) for stop in (1.0, 0.94, 0.88))
"""The (start, stop) shares of a clip that vote in use: where a sign begins and ends in a clip is chance."""


@dataclass
class ClassifyPoses:
    """Isolated-sign recognition from poses. Implements :class:`signloom.training.task.Task`."""

    train: PoseSet
    n_classes: int
    validation: PoseSet | None
    augment: PoseAugment
    label_smoothing: float = 0.1
    prefetch: int = 0

    @property
    def n_train(self) -> int:
        return len(self.train)

    def order(self, rng: np.random.Generator) -> np.ndarray:
        return rng.permutation(self.n_train)

    def train_batch(self, rows: list[int], generator: torch.Generator, keep: slice = slice(None)) -> Batch:
        import torch

        plain = self.train.batch(rows)
        assert plain.pose_BTJC is not None
        assert plain.present_BTJ is not None
        pose, present = self.augment(
            plain.pose_BTJC, plain.present_BTJ, generator, mirror_J=torch.from_numpy(MIRROR), parts=dict(PARTS)
        )
        whole = Batch(plain.ids, plain.mask_BT, plain.label_B, pose, present)
        return whole if keep == slice(None) else whole.select(range(len(whole))[keep])

    def loss(self, model: Any, batch: Batch) -> Tensor:
        import torch.nn.functional as F

        assert batch.label_B is not None
        logits = model(batch.pose_BTJC, batch.present_BTJ, batch.mask_BT).float()
        labels = batch.label_B
        if logits.ndim == 3:  # an ensemble: each member learns by itself
            labels = labels.repeat_interleave(logits.shape[1])
            logits = logits.flatten(0, 1)
        return F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)

    def validate(self, model: Any, device: Any) -> dict[str, float]:
        if self.validation is None or not len(self.validation):
            return {}
        assert self.validation.label_N is not None
        quick = score_poses(model, self.validation, crops=TIME_CROPS[:1], device=device)
        return validation_score(quick, self.validation.label_N)


def validation_score(logits_NK: np.ndarray, label_N: np.ndarray) -> dict[str, float]:
    """Top-1, negative log likelihood, and the ``score`` that chooses a checkpoint.

    Accuracy decides; on the plateau of small validation sets the likelihood breaks ties.
    """
    shifted = logits_NK - logits_NK.max(1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    nll = float(-log_p[np.arange(len(label_N)), label_N].mean())
    top1 = float((logits_NK.argmax(1) == label_N).mean())
    return {"top1": top1, "nll": nll, "score": top1 - 0.01 * min(nll, 50.0)}


def score_poses(
    model: Any, poses: PoseSet, *, crops: Sequence[tuple[float, float]] = TIME_CROPS, device: Any = "cpu"
) -> np.ndarray:
    """Log of the mean probability over ``crops``, (N, K) float32, whatever the training precision was."""
    import torch

    was_training = model.training
    model.eval()
    rows = []
    with torch.inference_mode():
        for start in range(0, len(poses), SCORING_BATCH):
            batch = poses.batch(range(start, min(start + SCORING_BATCH, len(poses)))).to(device)
            assert batch.pose_BTJC is not None
            assert batch.present_BTJ is not None
            votes = [
                model(*crop_time(batch.pose_BTJC, batch.present_BTJ, *crop), batch.mask_BT).float().log_softmax(-1)
                for crop in crops
            ]
            rows.append((torch.stack(votes).logsumexp(0) - math.log(len(crops))).cpu().numpy())
    model.train(was_training)
    return np.concatenate(rows) if rows else np.zeros((0, model.config.n_classes), np.float32)
