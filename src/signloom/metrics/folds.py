"""Cross-validation in figures: every fold's mean over its seeds, and what the folds come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from signloom.errors import InputError
from signloom.metrics.intervals import LEVEL, RESAMPLES, how_over_groups, mean_interval
from signloom.runtime.numbers import number_of


def aggregate_runs(
    rows: Sequence[Mapping[str, Any]], *, seed: int = 0, resamples: int = RESAMPLES, level: float = LEVEL
) -> dict[str, Any]:
    """Cross-validation in figures, from one row per fold and seed.

    A row has ``held_out`` (the fold), ``seed``, ``top1`` and optionally ``macro_f1`` (numbers or ``{"value": …}``)
    and ``n_clips``. Every fold weighs the same, whatever its number of clips. A row whose ``top1`` is None is listed
    in ``missing`` and left out.

    The result has ``top1`` and ``macro_f1`` (``value``: mean over folds of their mean over seeds; ``low``/``high``:
    :func:`signloom.metrics.intervals.mean_interval` over folds, so with one signer per fold, over signers), ``worst``
    and ``best`` fold (mean over its seeds), ``worst_run``, ``per_fold``, ``per_seed``, ``seed_spread`` (standard
    deviation of the per-seed means; None for one seed), ``method`` in words. With fewer than two folds, or folds
    without any spread, there is no interval.

    Raises InputError when no row has a ``top1``.
    """
    good = [r for r in rows if number_of(r.get("top1")) is not None]
    if not good:
        raise InputError(f"metrics: none of the {len(rows)} runs has a top1; nothing to aggregate")
    folds = list(dict.fromkeys(str(r.get("held_out")) for r in good))
    seeds = list(dict.fromkeys(r.get("seed") for r in good))

    def of_fold(name: str, fold: str) -> list[float]:
        found = [number_of(r.get(name)) for r in good if str(r.get("held_out")) == fold]
        return [v for v in found if v is not None]

    def mean_with_interval(name: str) -> dict[str, Any] | None:
        per_fold = [of_fold(name, fold) for fold in folds]
        means_F = np.array([np.mean(v) for v in per_fold if v])
        if not len(means_F):
            return None
        low, high = mean_interval(means_F, seed=seed, resamples=resamples, level=level)
        return {"value": float(means_F.mean()), "low": low, "high": high}

    per_fold: list[dict[str, Any]] = []
    for fold in folds:
        tops = of_fold("top1", fold)
        row = {"held_out": fold, "top1": float(np.mean(tops)), "low": min(tops), "high": max(tops), "n_runs": len(tops)}
        n_clips = [r["n_clips"] for r in good if str(r.get("held_out")) == fold and r.get("n_clips") is not None]
        per_fold.append(row | ({"n_clips": int(n_clips[0])} if n_clips else {}))
    per_seed: list[dict[str, Any]] = []
    for s in seeds:
        tops = [v for r in good if r.get("seed") == s and (v := number_of(r.get("top1"))) is not None]
        per_seed.append({"seed": s, "top1": float(np.mean(tops))})
    worst_run = min(good, key=lambda r: number_of(r.get("top1")) or 0.0)
    return {
        "n_runs": len(good),
        "n_folds": len(folds),
        "n_seeds": len(seeds),
        "top1": mean_with_interval("top1"),
        "macro_f1": mean_with_interval("macro_f1"),
        "worst": {k: v for k, v in min(per_fold, key=lambda f: f["top1"]).items() if k in ("held_out", "top1")},
        "best": {k: v for k, v in max(per_fold, key=lambda f: f["top1"]).items() if k in ("held_out", "top1")},
        "worst_run": {
            "held_out": str(worst_run.get("held_out")),
            "seed": worst_run.get("seed"),
            "top1": number_of(worst_run.get("top1")),
        },
        "per_fold": per_fold,
        "per_seed": per_seed,
        "seed_spread": float(np.std([s["top1"] for s in per_seed], ddof=1)) if len(per_seed) > 1 else None,
        "missing": [str(r.get("name", r.get("held_out"))) for r in rows if number_of(r.get("top1")) is None],
        "method": (
            f"mean over {len(folds)} folds of each fold's mean over its seeds; {level:.0%} interval over folds: "
            f"{how_over_groups(len(folds), resamples)}; spread over seeds: standard deviation of the per-seed means"
        ),
    }
