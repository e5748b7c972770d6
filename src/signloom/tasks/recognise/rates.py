"""What a recogniser makes of clips at other frame rates than it learnt from: settled in training, said in use."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from signloom.data.corpus import ClipRef
from signloom.data.rates import Rates, are_mixed, far_from, in_words, rates_of, usual_rate
from signloom.errors import SignloomWarning
from signloom.training.checkpoint import Checkpoint


def settled(inputs: Any, streams: tuple[str, ...], rates: Rates, start: Checkpoint | None = None) -> Any:
    """``inputs`` with the rate that they bring clips to, or at least with the one on record: that of ``start``, the run
    that is gone on from, else the usual one of the training clips, whose ``rates`` are given.

    Warns of clips with different rates where something of them is measured from frame to frame.
    """
    if not hasattr(inputs, "train_fps"):
        return inputs
    known = getattr(start.inputs, "train_fps", None) if start is not None else None
    inputs = replace(inputs, train_fps=inputs.train_fps or known or usual_rate(rates))
    counted = inputs.counted(streams)
    if counted and (are_mixed(rates) or (inputs.train_fps and far_from(inputs.train_fps, rates))):
        if inputs.per == "second":
            done = f"{counted} is brought to {inputs.train_fps:g} frames/s in all of them"
        else:
            done = f"{counted} is taken frame by frame, as published; --set inputs.per=second brings it to one rate"
        warnings.warn(f"the training clips have {in_words(rates)} frames/s: {done}", SignloomWarning, stacklevel=2)
    return inputs


def same_inputs(known: Any, own: Any, streams: tuple[str, ...]) -> bool:
    """Whether two inputs see the same of a clip, but for what they took from training clips."""
    if hasattr(own, "unfitted") and hasattr(known, "unfitted"):
        return bool(known.unfitted() == own.unfitted())
    if not hasattr(own, "train_fps") or not hasattr(known, "train_fps"):
        return bool(known == own)
    per = own.per if own.counted(streams) else known.per  # what counts no frames does not differ by how it would
    return bool(replace(known, train_fps=None) == replace(own, train_fps=None, per=per))


def warn_of_rates(checkpoint: Checkpoint, clips: Sequence[ClipRef]) -> None:
    """Warn of ``clips`` at another rate than training's, with what is done about it."""
    inputs = checkpoint.inputs
    counted = inputs.counted(tuple(checkpoint.streams)) if hasattr(inputs, "counted") else ""
    if not counted:
        return
    rates = rates_of(clip.fps for clip in clips)
    known = inputs.train_fps
    others = rates if known is None else far_from(known, rates)
    if not others:
        return
    if known is None:
        text = (
            f"the model has no frame rate on record, and takes {counted} frame by frame: right where its training "
            f"clips had {in_words(rates)} frames/s, as these have"
        )
    elif inputs.per == "second":
        text = f"clips have {in_words(others)} frames/s: {counted} is brought to {known:g}, at which the model learnt"
    else:
        text = (
            f"clips have {in_words(others)} frames/s, and the model learnt at {known:g} and takes {counted} frame by "
            f"frame: bring them to {known:g} frames/s, or train with --set inputs.per=second"
        )
    warnings.warn(text, SignloomWarning, stacklevel=2)
