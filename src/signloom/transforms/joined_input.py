"""What a network of several streams sees of a clip: each stream through an input of its own, and which there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from signloom.errors import InputError
from signloom.transforms import INPUTS, inputs_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from signloom.data.corpus import ClipRef
    from signloom.data.reader import Reader

_SIZES = ("size_px", "n_frames")
"""Fields of an input that a model's config may want to know."""


@dataclass(frozen=True)
class JoinedInput:
    """The tensors of several inputs, and for each stream whether the clip has it.

    ``streams``, ``takes`` (which of :data:`signloom.transforms.INPUTS` each goes through) and ``parts``, those inputs;
    a part given as a mapping, as a checkpoint has it, is made an input again. A stream that a clip lacks is zeros, with
    ``has_STREAM`` False; its input has ``shapes()`` for that.
    """

    streams: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    parts: tuple[Any, ...] = ()
    version: ClassVar[int] = 1
    one_will_do: ClassVar[bool] = True
    """Whether a clip with but one of the streams can be seen."""

    def __post_init__(self):
        if not len(self.streams) == len(self.takes) == len(self.parts) or not self.streams:
            raise InputError(
                f"JoinedInput: {len(self.streams)} streams need as many takes and parts; got {len(self.takes)} and "
                f"{len(self.parts)}"
            )
        if len(set(self.streams)) < len(self.streams):
            raise InputError(f"JoinedInput.streams: got {self.streams}, expected each once")
        if wrong := [t for t in self.takes if t not in INPUTS or t == "joined"]:
            raise InputError(
                f"JoinedInput.takes: got '{wrong[0]}', expected one of {', '.join(INPUTS)}, but not joined"
            )
        made = (inputs_of(t, p) if isinstance(p, Mapping) else p for t, p in zip(self.takes, self.parts))
        object.__setattr__(self, "parts", tuple(made))

    @property
    def keeps_clips(self) -> bool:
        """Whether what a model sees of a clip is small enough to be kept in memory: that of each part is."""
        return all(getattr(part, "keeps_clips", False) for part in self.parts)

    def model_fields(self, streams: tuple[str, ...]) -> dict[str, Any]:
        """What a model's config has to know of this input: ``streams``, and what each part tells (``told``)."""
        told = [
            {n: getattr(part, n) for n in _SIZES if hasattr(part, n)} | part.model_fields((stream,))
            for stream, part in zip(self.streams, self.parts)
        ]
        return {"streams": self.streams, "told": tuple(told)}

    def fitted(self, clips: Sequence[ClipRef], read: Reader, streams: tuple[str, ...]) -> JoinedInput:
        """The same with what its parts take from those training ``clips`` that have their stream."""
        made = (
            part.fitted([clip for clip in clips if clip.has(stream)], read, (stream,))
            if hasattr(part, "fitted")
            else part
            for stream, part in zip(self.streams, self.parts)
        )
        return replace(self, parts=tuple(made))

    def unfitted(self) -> JoinedInput:
        """The same without what its parts took from training clips."""
        made = (part.unfitted() if hasattr(part, "unfitted") else part for part in self.parts)
        return replace(self, parts=tuple(made))

    def of_clip(self, clip: ClipRef, read: Reader, streams: tuple[str, ...], **more: Any) -> dict[str, np.ndarray]:
        """What each part makes of its stream, by the names it gives; and ``has_STREAM``, bool (), for each stream.

        Raises InputError for a clip that has none of the streams, and where two parts give one name.
        """
        there = [stream for stream in self.streams if clip.has(stream)]
        if not there:
            raise InputError(f"clip '{clip.id}' has none of the streams {', '.join(self.streams)}")
        made: dict[str, np.ndarray] = {}
        for stream, part in zip(self.streams, self.parts):
            if stream in there:
                tensors = part.of_clip(clip, read, (stream,), **more)
            else:
                # All of it zero, and a mask full: a network could not average over nothing.
                tensors = {n: np.full(shape, dtype is np.bool_, dtype) for n, (shape, dtype) in part.shapes().items()}
            if both := made.keys() & tensors.keys():
                raise InputError(f"two of the streams {', '.join(self.streams)} are told as '{min(both)}'")
            made |= tensors | {f"has_{stream}": np.array(stream in there)}
        return made


@dataclass(frozen=True)
class JoinedAugment:
    """Augmentation of several streams: one of ``parts`` for each part of the :class:`JoinedInput`, None for none."""

    parts: tuple[Any, ...] = ()

    def of_batch(
        self, inputs: Mapping[str, Tensor], generator: torch.Generator, made_by: JoinedInput
    ) -> dict[str, Tensor]:
        """A batch's ``inputs``, changed by every part in turn, as training asks for it."""
        changed = dict(inputs)
        for part, its_input in zip(self.parts, made_by.parts, strict=True):
            if part is not None:
                changed = dict(part.of_batch(changed, generator, its_input))
        return changed
