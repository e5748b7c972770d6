"""What a task must offer so that :func:`signloom.training.fit.fit` can train it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from signloom.data.batch import Batch


class Task(Protocol):
    """Training data, a loss, and a score by which validation chooses the checkpoint."""

    n_train: int
    n_classes: int
    prefetch: int
    """How many batches to make ahead, beside the training; 0 where making them costs next to nothing."""

    def train_batch(self, rows: list[int], generator: torch.Generator, keep: slice = slice(None)) -> Batch:
        """The part ``keep`` of the training clips at ``rows``, augmented with draws from ``generator`` alone.

        The draws are those of the whole batch, so that they do not depend on how many processes share it.
        """
        ...

    def order(self, rng: np.random.Generator) -> np.ndarray:
        """The training clips in the order of one epoch, each once, by draws from ``rng`` alone."""
        ...

    def loss(self, model: Any, batch: Batch) -> Tensor:
        """The scalar to minimise."""
        ...

    def validate(self, model: Any, device: Any) -> dict[str, float]:
        """Metrics on the validation clips; must hold ``"score"``, higher is better. Empty without validation."""
        ...


def epoch_rows(
    n_clips: int,
    batch_size: int,
    seed: int,
    epoch: int,
    order: Callable[[np.random.Generator], np.ndarray] | None = None,
) -> Iterator[list[int]]:
    """The rows of each batch of one epoch: an order that depends on ``(seed, epoch)`` alone, so a run can resume.

    The order is a shuffle, or the task's own. A last batch of one clip is left out (unless it is the only one): it
    would be a noisy step.
    """
    rng = np.random.default_rng((seed, 1, epoch))
    rows_N = rng.permutation(n_clips) if order is None else order(rng)
    for start in range(0, n_clips, batch_size):
        rows = rows_N[start : start + batch_size]
        if len(rows) > 1 or n_clips == 1 or batch_size == 1:
            yield rows.tolist()
