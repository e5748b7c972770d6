"""What a task must offer so that :func:`signloom.learning.fit.fit` can train it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from signloom.data.batch import Batch


class Task(Protocol):
    """Training data, a loss, and a score by which validation chooses the checkpoint."""

    n_train: int
    n_classes: int

    def train_batch(self, rows: list[int], generator: torch.Generator) -> Batch:
        """The training clips at ``rows``, augmented with draws from ``generator`` alone."""
        ...

    def loss(self, model: Any, batch: Batch) -> Tensor:
        """The scalar to minimise."""
        ...

    def validate(self, model: Any, device: Any) -> dict[str, float]:
        """Metrics on the validation clips; must hold ``"score"``, higher is better. Empty without validation."""
        ...


def epoch_rows(n_clips: int, batch_size: int, seed: int, epoch: int) -> Iterator[list[int]]:
    """The rows of each batch of one epoch: a shuffle that depends on ``(seed, epoch)`` alone, so a run can resume.

    A last batch of one clip is left out (unless it is the only one): it would be a noisy step.
    """
    import numpy as np

    order = np.random.default_rng((seed, 1, epoch)).permutation(n_clips)
    for start in range(0, n_clips, batch_size):
        rows = order[start : start + batch_size]
        if len(rows) > 1 or n_clips == 1:
            yield rows.tolist()
