"""What a model is fed: the one place where clips' arrays become tensors of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Aligned tensors of B clips; a stream that the recipe does not use is None.

    ``pose_BTJC`` float32 in body units with ``present_BTJ`` bool; ``mask_BT`` bool, True where a frame is real;
    ``label_B`` int64 (absent in use). ``video_BCTHW`` (C = 3) and ``flow_BCTHW`` (C = 2) float32 in [-1, 1].
    """

    ids: tuple[str, ...]
    mask_BT: Tensor
    label_B: Tensor | None = None
    pose_BTJC: Tensor | None = None
    present_BTJ: Tensor | None = None
    video_BCTHW: Tensor | None = None
    flow_BCTHW: Tensor | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        moved = {
            f.name: value.to(device, non_blocking=True)
            for f in fields(self)
            if (value := getattr(self, f.name)) is not None and f.name != "ids"
        }
        return replace(self, **moved)

    def select(self, rows: Sequence[int]) -> Batch:
        """The clips at ``rows`` of this batch."""
        chosen = {
            f.name: value[list(rows)]
            for f in fields(self)
            if (value := getattr(self, f.name)) is not None and f.name != "ids"
        }
        return replace(self, ids=tuple(self.ids[r] for r in rows), **chosen)


@dataclass(frozen=True)
class PoseSet:
    """The poses of many clips in memory, ready for a model: about 0.03 MB a clip at 32 frames.

    ``xy_NTJC`` float32 (N, T, J, 2) in body units, ``present_NTJ`` bool, ``label_N`` int64 or None, ``ids`` of
    length N.
    """

    ids: tuple[str, ...]
    xy_NTJC: np.ndarray
    present_NTJ: np.ndarray
    label_N: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def batch(self, rows: Sequence[int] | np.ndarray) -> Batch:
        """The clips at ``rows`` as a :class:`Batch`."""
        import torch

        rows = np.asarray(rows)
        present = torch.from_numpy(self.present_NTJ[rows])
        # A frame in which nothing was found says nothing; a clip of such frames keeps one, so that no sum is empty.
        mask = present.any(-1)
        mask[:, 0] |= ~mask.any(-1)
        return Batch(
            ids=tuple(self.ids[r] for r in rows),
            mask_BT=mask,
            label_B=None if self.label_N is None else torch.from_numpy(self.label_N[rows]),
            pose_BTJC=torch.from_numpy(self.xy_NTJC[rows]),
            present_BTJ=present,
        )
