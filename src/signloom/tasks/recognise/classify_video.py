"""Naming a sign from frames or flow: from the clip, each frame, beside its joints or a flow network's features."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from signloom.data.batch import Batch
from signloom.errors import InputError
from signloom.tasks.recognise.classify import validation_score
from signloom.tasks.recognise.video_set import VideoSet
from signloom.transforms.video_augment import VideoAugment
from signloom.transforms.video_input import TIME_CROPS

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SCORING_BATCH = 16


@dataclass
class ClassifyVideos:
    """Isolated-sign recognition from one stream. Implements :class:`signloom.training.task.Task`.

    ``frame_share`` is the part of the loss that asks each frame's logits, not only the clip's, for the sign; the rest
    asks the clip's. With it both are binary cross-entropies over glosses, as in the WLASL I3D (Li 2020,
    https://arxiv.org/abs/1910.11006); without it the loss is the cross-entropy of the clip.
    """

    train: VideoSet
    n_classes: int
    validation: VideoSet | None
    augment: VideoAugment
    stream: str
    label_smoothing: float = 0.1
    frame_share: float = 0.0
    prefetch: int = 2

    @property
    def n_train(self) -> int:
        return len(self.train)

    def order(self, rng: np.random.Generator) -> np.ndarray:
        return self.train.order(rng) if self.train.order else rng.permutation(self.n_train)

    def train_batch(self, rows: list[int], generator: torch.Generator, keep: slice = slice(None)) -> Batch:
        import torch

        seeds = torch.randint(2**62, (len(rows),), generator=generator).tolist()
        return self.train.batch(rows[keep], [self.augment.draw(seed) for seed in seeds[keep]])

    def loss(self, model: Any, batch: Batch) -> Tensor:
        import torch
        import torch.nn.functional as F

        x = seen(batch, self.stream)
        assert batch.label_B is not None
        if not self.frame_share:
            return F.cross_entropy(model(x).float(), batch.label_B, label_smoothing=self.label_smoothing)
        frames_BTK = model(x, per_frame=True).float()
        wanted = F.one_hot(batch.label_B, self.n_classes).to(frames_BTK)
        of_clip = F.binary_cross_entropy_with_logits(frames_BTK.amax(1), wanted)
        of_frames = F.binary_cross_entropy_with_logits(frames_BTK, wanted[:, None].expand_as(frames_BTK))
        return torch.lerp(of_clip, of_frames, self.frame_share)

    def validate(self, model: Any, device: Any) -> dict[str, float]:
        if self.validation is None or not len(self.validation):
            return {}
        assert self.validation.label_N is not None
        quick = score_videos(model, self.validation, self.stream, crops=TIME_CROPS[:1], device=device)
        return validation_score(quick, self.validation.label_N)


@dataclass
class ClassifyAndLocate(ClassifyVideos):
    """Naming signs while learning where the signer's joints are, from the poses of the training clips; use needs none.

    Cross-entropy of the sign + ``weight`` · that of each joint's map against a spot of one cell's standard deviation.
    A few hundred clips of a few signers do not teach a network what a hand is; a hundred thousand joints do.
    """

    weight: float = 0.3

    def loss(self, model: Any, batch: Batch) -> Tensor:
        import torch
        import torch.nn.functional as F

        assert batch.label_B is not None
        assert batch.pose_BTJC is not None
        assert batch.present_BTJ is not None
        logits, heat = model(seen(batch, self.stream), with_joints=True)
        named = F.cross_entropy(logits.float(), batch.label_B, label_smoothing=self.label_smoothing)
        frames = getattr(model, "module", model).frames_seen(batch.pose_BTJC.shape[1])
        place, present = batch.pose_BTJC[:, frames], batch.present_BTJ[:, frames]
        if not present.any():
            return named + 0 * heat.sum()
        h, w = heat.shape[-2:]
        xs = (torch.arange(w, device=heat.device) + 0.5) / w * 2 - 1
        ys = (torch.arange(h, device=heat.device) + 0.5) / h * 2 - 1
        # In cells: a cell is 2 / w wide.
        near_x = torch.exp(-0.5 * ((xs - place[..., :1]) * (w / 2)).square())
        near_y = torch.exp(-0.5 * ((ys - place[..., 1:]) * (h / 2)).square())
        spot = (near_y.unsqueeze(-1) * near_x.unsqueeze(-2)).flatten(3)
        spot = spot / spot.sum(-1, keepdim=True).clamp_min(1e-6)
        missed = -(spot * heat.float().flatten(3).log_softmax(-1)).sum(-1)
        return named + self.weight * (missed * present).sum() / present.sum()


@dataclass
class DistilFlow(ClassifyVideos):
    """An RGB network that names signs and learns a flow network's features, so that use needs no flow.

    Cross-entropy + ``weight`` · mean squared error of the features: MARS (Crasto 2019,
    https://openaccess.thecvf.com/content_CVPR_2019/html/Crasto_MARS_Motion-Augmented_RGB_Stream_for_Action_Recognition_CVPR_2019_paper.html).
    Both see the same draw of every clip. The ``teacher`` never changes. Raises InputError when their features are of
    different widths.
    """

    teacher: Any = None
    weight: float = 50.0

    def loss(self, model: Any, batch: Batch) -> Tensor:
        import torch
        import torch.nn.functional as F

        assert batch.label_B is not None
        with torch.no_grad():
            wanted = self.teacher.to(batch.label_B.device).eval().features(seen(batch, "flow")).float()
        logits, features = model(seen(batch, "frames"), with_features=True)
        if features.shape != wanted.shape:
            raise InputError(
                f"the teacher has {wanted.shape[1]} features, the network that learns from it has {features.shape[1]}: "
                "choose a teacher of the same architecture, or give both the same width with --set model.…"
            )
        named = F.cross_entropy(logits.float(), batch.label_B, label_smoothing=self.label_smoothing)
        return named + self.weight * F.mse_loss(features.float(), wanted)


def seen(batch: Batch, stream: str) -> Tensor:
    """What a model of ``stream`` ("frames" or "flow") is given, (B, C, T, H, W)."""
    x = batch.flow_BCTHW if stream == "flow" else batch.video_BCTHW
    assert x is not None, f"the batch holds no {stream}"
    return x


def mirrored(x_BCTHW: Tensor, stream: str) -> Tensor:
    """The clips as in a mirror; flow to the left then points to the right."""
    x = x_BCTHW.flip(-1)
    if stream == "flow":
        x = x * x.new_tensor([-1.0, 1.0])[:, None, None, None]
    return x


def score_videos(
    model: Any,
    videos: VideoSet,
    stream: str,
    *,
    crops: Sequence[tuple[float, float]] = TIME_CROPS,
    device: Any = "cpu",
) -> np.ndarray:
    """Log of the mean probability over the views of each clip, (N, K) float32.

    The parts ``crops`` of a clip vote where ``videos.inputs.time_votes`` says so, and its mirror image where
    ``mirror_votes`` does. Computed in float32, whatever the training precision was.
    """
    import torch

    was_training = model.training
    model.eval()
    if not videos.inputs.time_votes or videos.inputs.sampling == "window":
        crops = crops[:1]
    scored = []
    with torch.inference_mode():
        for start in range(0, len(videos), SCORING_BATCH):
            rows = range(start, min(start + SCORING_BATCH, len(videos)))
            votes = []
            for crop in crops:
                x = seen(videos.batch(rows, crop=crop).to(device), stream)
                views = [x, mirrored(x, stream)] if videos.inputs.mirror_votes else [x]
                votes += [model(view).float().log_softmax(-1) for view in views]
            scored.append((torch.stack(votes).logsumexp(0) - math.log(len(votes))).cpu().numpy())
    model.train(was_training)
    return np.concatenate(scored) if scored else np.zeros((0, model.config.n_classes), np.float32)
