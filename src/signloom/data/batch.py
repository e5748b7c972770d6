"""What a model is fed: aligned tensors of several clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """B clips: what a model reads (``inputs``), what its answer is compared with (``targets``), by name.

    Every tensor has B first. Usual inputs: ``pose`` float32 (B, T, J, 2) in body units with ``present`` bool (B, T, J)
    and ``mask`` bool (B, T), True where a frame is real; ``frames`` (B, 3, T, H, W) and ``flow`` (B, 2, T, H, W)
    float32 in [-1, 1]. Usual targets: ``label`` int64 (B,). ``lists`` are values per clip that stay on the CPU.
    """

    ids: tuple[str, ...]
    inputs: Mapping[str, Tensor]
    targets: Mapping[str, Tensor] = field(default_factory=dict)
    lists: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        moved = [{k: v.to(device, non_blocking=True) for k, v in part.items()} for part in (self.inputs, self.targets)]
        return replace(self, inputs=moved[0], targets=moved[1])

    def select(self, rows: Sequence[int]) -> Batch:
        """The clips at ``rows`` of this batch."""
        rows = list(rows)
        inputs, targets = ({k: v[rows] for k, v in part.items()} for part in (self.inputs, self.targets))
        lists = {k: [v[r] for r in rows] for k, v in self.lists.items()}
        return Batch(tuple(self.ids[r] for r in rows), inputs, targets, lists)
