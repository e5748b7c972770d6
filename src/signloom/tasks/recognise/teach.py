"""Signs that a recogniser is taught after its training, each from a few clips, and that it can forget.

Nothing is trained: a sign is where its clips lie in the space of the network's features
(:mod:`signloom.tasks.recognise.prototypes`), and the model is the same but for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from signloom.data.corpus import ClipRef
from signloom.data.manifest import Manifest
from signloom.data.seen import Seen, overlap, seen_clips
from signloom.errors import CheckpointError, InputError, LeakError
from signloom.tasks.recognise.predict import Recogniser
from signloom.tasks.recognise.prototypes import Prototypes
from signloom.training.checkpoint import Checkpoint, seen_by


def taught(recogniser: Recogniser, label: str, clips: Sequence[ClipRef], manifest: Manifest) -> Checkpoint:
    """The checkpoint of ``recogniser`` with the sign ``label``, of which ``clips`` are the clips of ``manifest``.

    A sign that was taught before learns from these clips as well. The clips go on record as learnt from. Raises
    InputError for a sign that the network was trained on and for a model that cannot be taught, LeakError for clips
    that it has learnt from already, or that are to be tested.
    """
    checkpoint = recogniser.checkpoint
    space = _space(recogniser)
    if label in checkpoint.labels:
        raise InputError(
            f"--label '{label}': the network was trained on that sign; choose another label, or train on the new clips "
            "too: signloom train … --from"
        )
    seen = _seen_with(checkpoint, manifest)
    places_NE = recogniser.answers(clips).places_NE
    assert places_NE is not None, "a model with prototypes places its clips"
    row = checkpoint.known.index(label) if label in checkpoint.taught else None
    before = checkpoint.taught.get(label, {"clips": 0, "seen": []})
    about = {
        "clips": before["clips"] + len(clips),
        "seen": [*before["seen"], *(c.id for c in seen_clips(manifest, manifest.records))],
    }
    return replace(
        checkpoint,
        prototypes=space.with_sign(places_NE, row).as_arrays(),
        taught={**checkpoint.taught, label: about},
        seen=seen,
    )


def forgotten(recogniser: Recogniser, label: str) -> Checkpoint:
    """The checkpoint of ``recogniser`` without the sign ``label``, and without its clips on record.

    Raises InputError for a sign that it was not taught.
    """
    checkpoint = recogniser.checkpoint
    space = _space(recogniser)
    if label not in checkpoint.taught:
        has = ", ".join(f"'{name}'" for name in checkpoint.taught) or "none"
        why = "its network was trained on that sign, which it cannot forget" if label in checkpoint.labels else ""
        raise InputError(f"--forget '{label}': {why or 'it was not taught that sign'}; wanted one it was taught: {has}")
    row = checkpoint.known.index(label)
    gone = set(checkpoint.taught[label]["seen"])
    seen = seen_by(checkpoint)
    return replace(
        checkpoint,
        prototypes=space.only([k for k in range(len(checkpoint.known)) if k != row]).as_arrays(),
        taught={name: about for name, about in checkpoint.taught.items() if name != label},
        seen=None if seen is None else replace(seen, clips=tuple(c for c in seen.clips if c.id not in gone)),
    )


def _space(recogniser: Any) -> Prototypes:
    open_set = getattr(recogniser, "open_set", None)
    if open_set is not None and open_set.prototypes is not None:
        return open_set.prototypes
    if not hasattr(recogniser, "checkpoint"):
        raise InputError("a fusion is taught by its members: teach each of them, then give them to evaluate --fuse")
    if not hasattr(recogniser.checkpoint.model, "features"):
        raise InputError(
            f"a '{recogniser.checkpoint.architecture}' gives no features, and so cannot be taught; train one that does "
            "(recipe pose, say), or train on the new sign too"
        )
    raise CheckpointError(
        "this model has no space of features on record: it was trained by an earlier signloom, or with a single clip "
        "of each sign. Train it again"
    )


def _seen_with(checkpoint: Checkpoint, manifest: Manifest) -> Seen:
    """What the model has learnt from, with the clips of ``manifest``. Raises LeakError where it has these already."""
    tested = [r.id for r in manifest if r.split == "test"]
    if tested:
        raise LeakError(f"clip '{tested[0]}' ({len(tested)} in all) is a test clip of its corpus; teach with others")
    records = tuple(replace(record, split="train") for record in manifest)
    known = seen_by(checkpoint)
    if known is None:
        known = Seen((), ("the clips that the model was trained on",))
    else:
        found = overlap(known, manifest, records)
        if again := found.trained | found.validated | found.derived:
            raise LeakError(
                f"the model has learnt from {len(again)} of the {len(records)} clips already, e.g. '{min(again)}'; "
                "give others"
            )
    return known + Seen(seen_clips(manifest, records))
