"""Networks whose head is solved in closed form, once, of all training clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from signloom.metrics.classification import fit_temperature
from signloom.tasks.recognise.data import RecogniseData
from signloom.tasks.recognise.losses import reading
from signloom.training.checkpoint import Checkpoint

_FOLDS = 5  # of clips, where signers are not known
_MOST_GROUPS = 10
_BATCH = 256
MOST_ROWS = 20_000
"""Of so many clips and copies of them at most a head is solved; where there are more clips, of them without copies."""


def is_solved(model: Any) -> bool:
    """Whether the head of ``model`` is not learnt step by step."""
    return hasattr(model, "solve")


def solved(checkpoint: Checkpoint, data: RecogniseData) -> Checkpoint:
    """``checkpoint`` with its head solved of the training clips and their augmented copies.

    Its temperature comes from training alone: from what is said of each signer's clips by a head that has not seen
    them. Signers that are not known, or one alone, are replaced by fifths of the clips; many are taken together, in
    ten groups. Of large corpora there are fewer copies (:data:`MOST_ROWS`).
    """
    import torch

    model = checkpoint.model
    rows = list(range(data.n_train))
    figures, labels = [], []
    generator = torch.Generator().manual_seed(0)
    n = data.n_train
    copies = min(model.config.copies, max(0, MOST_ROWS // n - 1))
    with torch.no_grad():
        spread = rows[:: max(1, len(rows) // _BATCH)]
        seen = data.train.batch(spread[:_BATCH]).inputs
        model.bank.settle(*reading(model, seen, data.train.streams[0]), generator)
        for copy in range(1 + copies):
            for start in range(0, len(rows), _BATCH):
                some = rows[start : start + _BATCH]
                batch = data.augmented(some, generator) if copy else data.train.batch(some)
                figures.append(model.bank(*reading(model, batch.inputs, data.train.streams[0])))
                labels.append(batch.targets["label"])
        group = torch.from_numpy(_groups([clip.signer for clip in data.train.clips]))
        label_N = torch.cat(labels)
        left_out = model.solve(torch.cat(figures), label_N, group.repeat(1 + copies), n)
    return replace(checkpoint, temperature=float(fit_temperature(left_out[:n].numpy(), label_N[:n].numpy())))


def _groups(signers: Sequence[str | None]) -> np.ndarray:
    """Who is to be left out in turn, by number."""
    if None in signers or len(set(signers)) < 2:
        return np.arange(len(signers)) % _FOLDS
    return np.unique(np.array(signers, dtype=str), return_inverse=True)[1] % _MOST_GROUPS
