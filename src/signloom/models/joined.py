"""Several networks side by side, one a stream, whose features are joined before the sign is named (feature fusion).

Each branch keeps its own head, which learns beside the joint one: without it the stream that is learnt fastest leaves
the others untaught (Wang et al. 2020, "What makes training multi-modal classification networks hard?",
https://arxiv.org/abs/1905.12681). In training whole streams are left out, clip by clip (ModDrop, Neverova et al. 2015,
https://arxiv.org/abs/1501.00102), so that any subset of them will do in use. The joint head's layers are those of the
published video-and-sensor fusion: 1024, batch norm, LeakyReLU .2, dropout .4, 512.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from importlib import import_module
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from signloom.models import ARCHITECTURES, build


@dataclass(frozen=True)
class JoinedConfig:
    """Shape of a :class:`JoinedNet`.

    ``streams``, ``architectures`` (names in :data:`signloom.models.ARCHITECTURES`), ``told`` (what the inputs tell a
    config, as far as it has such fields) and ``settings`` (its other fields) have an entry for each branch.
    ``stream_dropout`` is how often, in training, a clip loses a stream for the joint head, never all of them.
    ``joint_weight`` is what the joint head's log probabilities count in use, beside 1 for each branch's own head: on
    431 clips of UTD-MHAD, leave-one-subject-out, 0.25 to 0.5 gave the best likelihood, and accuracies between 0 and 1
    differed by no more than three clips.
    """

    n_classes: int
    streams: tuple[str, ...]
    architectures: tuple[str, ...]
    told: tuple[Mapping[str, Any], ...]
    settings: tuple[Mapping[str, Any], ...] = ()
    hidden: tuple[int, int] = (1024, 512)
    dropout: float = 0.4
    stream_dropout: float = 0.3
    joint_weight: float = 0.25


class JoinedNet(nn.Module):
    """Several streams of a clip -> class logits.

    ``forward(*tensors)`` takes what ``reads`` names, in that order: what each branch reads, then for each stream
    ``has_STREAM``, bool (B,), False where a clip lacks it (its tensors are then anything finite).

    In use it returns log probabilities (B, K): the product of what the heads of those branches say whose streams are
    there and, where there are several or none, of what the joint head says, by its ``joint_weight``. One stream alone
    is left to its branch, which learnt as a network of its own does. In training (B, M, K): the joint head's logits,
    then those of each branch (of an ensemble, of each member), so that each learns by itself; where a stream is lacking
    the joint head's stand in for its branch's.
    """

    takes: ClassVar[str] = "joined"

    def __init__(self, config: JoinedConfig):
        super().__init__()
        self.config = c = config
        settings = c.settings or ({},) * len(c.streams)
        if not len(c.streams) == len(c.architectures) == len(c.told) == len(settings):
            raise ValueError(
                f"{len(c.streams)} streams need as many architectures, told and settings; got {len(c.architectures)}, "
                f"{len(c.told)}, {len(settings)}"
            )
        self.branches = nn.ModuleList(
            _branch(name, {"n_classes": c.n_classes, **told}, own)
            for name, told, own in zip(c.architectures, c.told, settings)
        )
        self.absent = nn.ParameterList(nn.Parameter(torch.zeros(branch.n_features)) for branch in self._each())
        first, second = c.hidden
        self.joint = nn.Sequential(
            nn.Linear(sum(branch.n_features for branch in self._each()), first),
            nn.BatchNorm1d(first),
            nn.LeakyReLU(0.2),
            nn.Dropout(c.dropout),
            nn.Linear(first, second),
        )
        self.head = nn.Linear(second, c.n_classes)
        self.reads = tuple(name for branch in self._each() for name in branch.reads) + tuple(
            f"has_{stream}" for stream in c.streams
        )

    def forward(self, *tensors: Tensor) -> Tensor:
        found, has_BS = self._found(tensors)
        joint_BK = self.head(self._joined(found, self._kept(has_BS)))
        told = [branch.told(features) for branch, features in zip(self._each(), found)]
        if self.training:
            return self._each_own(joint_BK, told, has_BS)
        own_BSK = torch.stack([logits.float().log_softmax(-1) for logits in told], 1)
        weight_B1 = torch.where(has_BS.sum(1) == 1, 0.0, self.config.joint_weight).unsqueeze(1)
        mixed_BK = weight_B1 * joint_BK.float().log_softmax(-1) + (own_BSK * has_BS.unsqueeze(-1)).sum(1)
        return mixed_BK.log_softmax(-1)

    def features(self, *tensors: Tensor) -> Tensor:
        """What the joint head has found before it names the sign, (B, 512)."""
        found, has_BS = self._found(tensors)
        return self._joined(found, self._kept(has_BS))

    def _found(self, tensors: tuple[Tensor, ...]) -> tuple[list[Tensor], Tensor]:
        """Each branch's features, and which streams there are, bool (B, S)."""
        inputs = dict(zip(self.reads, tensors, strict=True))
        found = [branch.features(*(inputs[name] for name in branch.reads)) for branch in self._each()]
        return found, torch.stack([inputs[f"has_{stream}"].bool() for stream in self.config.streams], 1)

    def _joined(self, found: list[Tensor], has_BS: Tensor) -> Tensor:
        parts = [
            torch.where(has_B.unsqueeze(1), features, absent.to(features.dtype))
            for features, absent, has_B in zip(found, self.absent, has_BS.unbind(1))
        ]
        return self.joint(torch.cat(parts, 1))

    def _kept(self, has_BS: Tensor) -> Tensor:
        """In training, ``has_BS`` with some of the streams left out, but of no clip all; in use, ``has_BS``."""
        if not self.training or not self.config.stream_dropout:
            return has_BS
        chance_BS = torch.rand(has_BS.shape, device=has_BS.device)
        kept_BS = has_BS & (chance_BS >= self.config.stream_dropout)
        last_BS = has_BS & (chance_BS == (chance_BS * has_BS).amax(1, keepdim=True))
        return torch.where(kept_BS.any(1, keepdim=True), kept_BS, last_BS)

    def _each_own(self, joint_BK: Tensor, told: list[Tensor], has_BS: Tensor) -> Tensor:
        rows = [joint_BK.unsqueeze(1)]
        for logits, has_B in zip(told, has_BS.unbind(1)):
            logits_BMK = logits if logits.ndim == 3 else logits.unsqueeze(1)
            rows.append(torch.where(has_B[:, None, None], logits_BMK, joint_BK.unsqueeze(1)))
        return torch.cat(rows, 1)

    def _each(self) -> Iterator[Any]:
        return iter(self.branches)


def _branch(architecture: str, told: Mapping[str, Any], settings: Mapping[str, Any]) -> nn.Module:
    """The network ``architecture``, with what of ``told`` its config has fields for, and all of ``settings``."""
    module, _, config = ARCHITECTURES[architecture]
    known = {f.name for f in fields(getattr(import_module(module), config))}
    branch = build(architecture, {k: v for k, v in told.items() if k in known} | dict(settings))
    if lacking := [name for name in ("reads", "features", "told", "n_features") if not hasattr(branch, name)]:
        raise ValueError(f"a '{architecture}' cannot be joined with others: it has no '{lacking[0]}'")
    return branch
