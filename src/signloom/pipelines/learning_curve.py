"""How many clips are needed: cross-validations with fewer takes, and with fewer signers, and what more would bring."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from signloom.data.manifest import Manifest, Record
from signloom.data.splits import Fold
from signloom.errors import InputError
from signloom.metrics.learning_curve import LEAST_SIZES, learning_curve
from signloom.pipelines.crossval import cross_validate

LEARNT = ("train", "val")


def add_learning_curve(
    results: dict[str, Any],
    manifest: Manifest,
    recipe: Any,
    folds: Sequence[Fold],
    seeds: Sequence[int],
    out: Path,
    *,
    scheme: str,
    quiet: bool = False,
) -> dict[str, Any]:
    """``results`` of the cross-validation in ``out``, with ``learning_curve``: a list, of takes and of signers.

    Each has ``by``, and of :func:`signloom.metrics.learning_curve.learning_curve` the points, the law and what twice
    and four times as many would bring; n is how many takes each signer made of each sign, or how many signers there
    are. Smaller sets lie within larger ones. Runs live in ``out/curve`` and are resumed or reused. Raises InputError
    where neither has three sizes.
    """
    parts = curve_parts(folds)
    found = []
    whole = {row["held_out"]: row["top1"] for row in results["cross_validation"]["per_fold"]}
    for by, sizes, keep in parts:
        full, columns = sizes[-1], []
        for n in sizes[:-1]:
            fewer = [replace(fold, manifest=keep(fold.manifest, n)) for fold in folds]
            place = out / "curve" / f"{by}-{n}"
            part = cross_validate(manifest, recipe, fewer, seeds, place, scheme=scheme, quiet=quiet)
            tops = {row["held_out"]: row["top1"] for row in part["cross_validation"]["per_fold"]}
            columns.append([tops[fold.name] for fold in folds])
        columns.append([whole[fold.name] for fold in folds])
        curve = learning_curve(sizes, np.array(columns).T, [2 * full, 4 * full])
        found.append({"by": by, **curve})
    return {**results, "learning_curve": found}


def curve_parts(folds: Sequence[Fold]) -> list[tuple[str, list[int], Callable[[Manifest, int], Manifest]]]:
    """What curves there can be of ``folds``: by takes or signers, in which sizes, and what leaves so many of a corpus.

    Raises InputError where neither has three sizes, which is known before anything is trained.
    """
    parts: list[tuple[str, list[int], Callable[[Manifest, int], Manifest]]] = [
        ("takes", sizes_up_to(min(_most_takes(fold.manifest) for fold in folds)), _fewer_takes),
        ("signers", sizes_up_to(min(_most_signers(fold.manifest) for fold in folds), least=2), _fewer_signers),
    ]
    found = [part for part in parts if len(part[1]) >= LEAST_SIZES]
    if not found:
        raise InputError(
            "--learning-curve needs three takes of each sign by each signer, or five signers to train on: with fewer "
            "there are no three sizes to draw a curve through. Give a larger corpus, or leave it out"
        )
    return found


def sizes_up_to(most: int, least: int = 1) -> list[int]:
    """Sizes that double, and ``most`` last: 1, 2, 4, 8, 10.

    >>> sizes_up_to(10), sizes_up_to(8, least=2)
    ([1, 2, 4, 8, 10], [2, 4, 8])
    """
    sizes = []
    while least < most:
        sizes.append(least)
        least *= 2
    if sizes and most < 1.2 * sizes[-1]:
        sizes.pop()
    return [*sizes, most] if most > 0 else []


def _groups(manifest: Manifest) -> dict[tuple[str | None, str | None], list[Record]]:
    """What is learnt from and was filmed, by signer and sign: a changed copy is no take."""
    groups: dict[tuple[str | None, str | None], list[Record]] = defaultdict(list)
    for record in manifest:
        if record.split in LEARNT and not record.augmented:
            groups[record.signer, record.label].append(record)
    return groups


def _most_takes(manifest: Manifest) -> int:
    takes = [len(records) for records in _groups(manifest).values()]
    return int(np.median(takes)) if takes else 0


def _most_signers(manifest: Manifest) -> int:
    return len({r.signer for r in manifest if r.split in LEARNT and r.signer is not None})


def _fewer_takes(manifest: Manifest, n: int) -> Manifest:
    """At most ``n`` takes of each sign by each signer, and their copies; chosen by chance, the same for every ``n``."""
    kept: set[str] = set()
    for number, (_, records) in enumerate(sorted(_groups(manifest).items(), key=lambda g: str(g[0]))):
        order = np.random.default_rng((0, number)).permutation(len(records))
        kept |= {records[k].id for k in order[:n]}
    by_id = {r.id: r for r in manifest}

    def filmed(record: Record) -> str:
        while record.augmented and record.parent in by_id:
            record = by_id[record.parent]
        return record.id

    return _only(manifest, lambda r: filmed(r) in kept)


def _fewer_signers(manifest: Manifest, n: int) -> Manifest:
    """``n`` signers, chosen by chance, the same for every ``n``."""
    signers = sorted({r.signer for r in manifest if r.split in LEARNT and r.signer is not None})
    chosen = {signers[k] for k in np.random.default_rng(0).permutation(len(signers))[:n]}
    return _only(manifest, lambda r: r.signer in chosen)


def _only(manifest: Manifest, keep: Callable[[Record], bool]) -> Manifest:
    records = (replace(r, split="unused") if r.split in LEARNT and not keep(r) else r for r in manifest)
    return replace(manifest, records=tuple(records))
