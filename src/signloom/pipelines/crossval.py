"""Cross-validation: one training and one measurement per fold and seed; several of them compared and fused."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from signloom.data.corpus import SplitManifest, describe_corpus
from signloom.data.manifest import Manifest, Record
from signloom.data.seen import Overlap, overlap
from signloom.data.splits import Fold, apply_split, read_split, split_of, write_split
from signloom.errors import InputError
from signloom.metrics.classification import macro_f1
from signloom.metrics.folds import aggregate_runs
from signloom.metrics.intervals import how_over_groups, paired_difference
from signloom.runtime.atomic import write_json
from signloom.runtime.names import file_name
from signloom.tasks import task_of
from signloom.tasks.recognise.evaluate import Scores, results_of, score_corpus
from signloom.tasks.recognise.fuse import (
    FusedRecogniser,
    Measured,
    Run,
    about_fusion,
    crossval_runs,
    describe_run,
    fit_runs,
    fusion_title,
    measure,
    names_of,
    refuse_other_splits,
)
from signloom.tasks.recognise.predict import Recogniser
from signloom.tasks.recognise.recipes import Recipe
from signloom.training.checkpoint import load_checkpoint, refuse_overlap, seen_by
from signloom.training.run import train_run
from signloom.training.task import Given


def cross_validate(
    manifest: Manifest,
    recipe: Any,
    folds: Sequence[Fold],
    seeds: Sequence[int],
    out: Path,
    *,
    scheme: str,
    quiet: bool = False,
    given: Given | None = None,
) -> dict[str, Any]:
    """Train and measure ``recipe`` once per fold and seed; returns the results document with ``runs``.

    ``given.weights`` is a file of a reference network that every run starts from; ``given.teacher`` the folder of such
    a cross-validation, for a recipe that learns from a teacher. Each run lives in ``out/<fold>/seed<n>`` and is resumed
    or reused, so a killed one goes on where it was. Raises InputError for recipes that name no signs.
    """
    if not isinstance(recipe, Recipe):
        raise InputError(
            f"recipe '{recipe.name}' names no signs, and crossval measures recognisers; train and measure one split at "
            f"a time: signloom train … --recipe {recipe.name}, then signloom evaluate"
        )
    runs: list[dict[str, Any]] = []
    scored: list[Scores] = []
    found = Overlap()
    recogniser: Recogniser | None = None
    for number, fold in enumerate(folds):
        for seed in seeds:
            title = f"fold {number + 1}/{len(folds)} ({fold.name}) seed {seed}"
            place = Path(file_name(fold.name), f"seed{seed}")
            folder = out / place
            of_fold = given or Given()
            if of_fold.teacher is not None:
                of_fold = replace(of_fold, teacher=of_fold.teacher / place)
            checkpoint = train_run(
                SplitManifest(fold.manifest, f"recipe '{recipe.name}'"),
                task_of(recipe, of_fold),
                folder,
                seed=seed,
                split={"scheme": scheme, "fold": fold.name},
                title=title,
                quiet=quiet,
            )
            recogniser = Recogniser(checkpoint)
            scores, row, of_fold_found = _measure_fold(recogniser, fold, seed, folder, scheme)
            runs.append(row)
            found += of_fold_found
            scored.append(scores)
    assert recogniser is not None
    detail = f"{len(folds)} folds, {len(seeds)} seeds; every clip is measured by models that never saw its fold"
    results = results_of(
        scored,
        split={"name": "test", "scheme": scheme, "detail": detail},
        checkpoint=recogniser.checkpoint,
        manifest=manifest,
        title=f"{recipe.name} on {describe_corpus(manifest)['name']}: {scheme}",
        found=found,
    )
    results["runs"] = runs
    results["cross_validation"] = aggregate_runs(runs)
    return results


def _measure_fold(
    recogniser: Recogniser, fold: Fold, seed: int, folder: Path, scheme: str
) -> tuple[Scores, dict[str, Any], Overlap]:
    """The scores of what ``fold`` held out, its row of figures, and what of it the model knew.

    Scores and figures are also kept in ``folder``.
    """
    corpus = fold.manifest
    held_out = corpus.measured("test")
    found = overlap(seen_by(recogniser.checkpoint, corpus), corpus, held_out.records)
    refuse_overlap(found, "test", recogniser.checkpoint, corpus, f"the model of fold '{fold.name}'")
    scores = score_corpus(recogniser, held_out)
    own = results_of(
        [scores],
        split={"name": "test", "scheme": scheme, "detail": f"held out: {fold.name}"},
        checkpoint=recogniser.checkpoint,
        manifest=corpus,
        seed=seed,
        found=found,
    )
    write_json(folder / "evaluation.json", own)
    write_split(split_of(corpus), folder / "split.json")
    row = {
        "name": f"{fold.name} seed {seed}",
        "held_out": fold.name,
        "seed": seed,
        "n_clips": len(scores.records),
        "top1": own["metrics"]["top1"]["value"],
        "macro_f1": own["metrics"]["macro_f1"]["value"],
        "seconds": json.loads((folder / "run.json").read_text(encoding="utf-8"))["seconds"],
    }
    return scores, row, found


# --- several cross-validations ------------------------------------------------------------------------------------


@dataclass
class _Folds:
    """What was measured, fold by fold and seed by seed, of several cross-validations."""

    names: list[str]
    rows: list[list[dict[str, Any]]]
    fused_rows: list[dict[str, Any]] = field(default_factory=list)
    scored: list[Scores] = field(default_factory=list)
    per_run: list[dict[str, Any]] = field(default_factory=list)
    gains: list[tuple[str, np.ndarray, np.ndarray]] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    clips: set[str] = field(default_factory=set)
    overlap: Overlap = field(default_factory=Overlap)

    def add(self, fold: str, seed: int, runs: list[Run], measured: Measured, model: FusedRecogniser | None) -> None:
        """Take in what the runs of one fold and seed, and their fusion, said."""
        self.runs = runs
        self.clips |= {record.id for record in measured.records}
        self.overlap += measured.overlap
        hits_SN = measured.hits_SN()
        about = {"name": f"{fold} seed {seed}", "held_out": fold, "seed": seed, "n_clips": len(measured.records)}
        for own, hits_N in zip(self.rows, hits_SN):
            own.append({**about, "top1": float(hits_N.mean())})
        row: dict[str, Any] = {**about, "streams": {n: float(h.mean()) for n, h in zip(self.names, hits_SN)}}
        if model is not None:
            assert measured.fused is not None
            fused_N = measured.fused_hits_N()
            predicted = [measured.fused.labels[k] for k in measured.fused.logits_NK.argmax(axis=1)]
            macro_f1 = _macro_f1(measured.records, predicted)
            self.fused_rows.append({**about, "top1": float(fused_N.mean()), "macro_f1": macro_f1})
            row |= {"fused": float(fused_N.mean()), **_about_weights(model, self.names)}
            self.scored.append(measured.fused)
            self.gains.append((fold, fused_N, hits_SN))
        self.per_run.append(row)


def _about_weights(model: FusedRecogniser, names: Sequence[str]) -> dict[str, Any]:
    fusion = model.fusion
    return {
        "weights": dict(zip(names, fusion.weights)),
        "val_top1": dict(zip(names, fusion.validation["top1_S"])) if fusion.validation else None,
        "temperature": fusion.temperature,
        "rule": fusion.rule,
        "step": fusion.step,
    }


def fuse_crossvals(folders: Sequence[Path], manifest: Manifest, *, fuse: bool = True) -> dict[str, Any]:
    """Compare cross-validations run by run (same fold, same seed) and, with ``fuse``, fuse them within each.

    Weights come from the validation clips of each run's own split. Returns a results document like
    :func:`cross_validate`'s with ``fusion`` as in :func:`signloom.tasks.recognise.fuse.evaluate_fused`, where ``top1``
    and ``difference`` are means over folds with an interval from resampling folds (the held-out signers), ``weight``
    and ``val_top1`` are means over runs, and ``per_run`` tells of each. Without ``fuse``: a comparison, ``per_run``.

    Raises InputError when the cross-validations have no fold and seed in common, LeakError when the runs of one fold
    were trained on different splits.
    """
    names = names_of(folders)
    if fuse and len(folders) < 2:
        raise InputError(f"fusion needs at least two cross-validations; got {names[0]}")
    found = [crossval_runs(folder) for folder in folders]
    common = sorted(set.intersection(*(set(f) for f in found)))
    if not common:
        have = "; ".join(f"{name}: {', '.join(f'{fold} seed {s}' for fold, s in f)}" for name, f in zip(names, found))
        raise InputError(f"the cross-validations have no finished fold and seed in common: {have}")
    measured = _Folds(names, [[] for _ in folders])
    for fold, seed in common:
        paths = [f[fold, seed] for f in found]
        runs = [Run(name, path, load_checkpoint(path)) for name, path in zip(names, paths)]
        corpus = apply_split(manifest, read_split(_split_file(paths[0], fold)))
        model = fit_runs(runs, corpus) if fuse else None
        if model is None:
            refuse_other_splits(runs, corpus)
        measured.add(fold, seed, runs, measure(runs, corpus, "test", model), model)
    warnings = _left_out(names, found, common)
    split = {
        "name": "test",
        "scheme": measured.runs[0].checkpoint.split.get("scheme"),
        "detail": f"{len({fold for fold, _ in common})} folds, {len({s for _, s in common})} seeds; every clip is "
        "measured by models that never saw its fold",
    }
    streams: list[dict[str, Any]] = [
        {**describe_run(run), "top1": aggregate_runs(own)["top1"]} for run, own in zip(measured.runs, measured.rows)
    ]
    if fuse:
        return _fused_results(measured, streams, split, manifest) | {"warnings": warnings}
    return {
        "kind": "comparison",
        "title": f"{len(folders)} cross-validations on {describe_corpus(manifest)['name']}",
        "split": split,
        "overlap": measured.overlap.as_dict(),
        "n_clips": len(measured.clips),
        "streams": sorted(streams, key=lambda row: -row["top1"]["value"]),
        "interval": f"means over folds; 95 %, {how_over_groups(len({fold for fold, _ in common}))}",
        "per_run": measured.per_run,
        "warnings": warnings,
    }


def _split_file(run: Path, fold: str) -> Path:
    file = run / "split.json"
    if not file.exists():
        raise InputError(
            f"'{file}' is missing: nothing else says which clips fold '{fold}' held out. Give the same "
            "`signloom crossval` command again: finished runs are kept, and it is written"
        )
    return file


def _left_out(names: Sequence[str], found: Sequence[Mapping[Any, Path]], common: Sequence[Any]) -> list[str]:
    left_out = [
        f"{name}: {', '.join(f'{fold} seed {s}' for fold, s in extra)}"
        for name, f in zip(names, found)
        if (extra := sorted(set(f) - set(common)))
    ]
    return [f"Left out, because not every stream has them: {'; '.join(left_out)}."] if left_out else []


def _fused_results(
    measured: _Folds, streams: list[dict[str, Any]], split: Mapping[str, Any], manifest: Manifest
) -> dict[str, Any]:
    names, per_run = measured.names, measured.per_run
    groups = [fold for fold, fused_N, _ in measured.gains for _ in fused_N]
    fused_N = np.concatenate([fused for _, fused, _ in measured.gains])
    for s, row in enumerate(streams):
        other_N = np.concatenate([hits_SN[s] for _, _, hits_SN in measured.gains])
        tops = [r["val_top1"][names[s]] for r in per_run if r["val_top1"]]
        row["weight"] = float(np.mean([r["weights"][names[s]] for r in per_run]))
        row["val_top1"] = float(np.mean(tops)) if tops else None
        row["difference"] = paired_difference(fused_N, other_N, groups=groups)
    results = results_of(
        measured.scored,
        split=split,
        checkpoint=measured.runs[0].checkpoint,
        manifest=manifest,
        title=fusion_title(measured.runs, manifest),
        found=measured.overlap,
    )
    results["runs"] = measured.fused_rows
    results["cross_validation"] = aggregate_runs(measured.fused_rows)
    best = max(streams, key=lambda row: row["top1"]["value"])
    results["fusion"] = {
        "streams": streams,
        "top1": results["cross_validation"]["top1"],
        "best": best["name"],
        "difference": best["difference"],
        "rule": _shared([r["rule"] for r in per_run]),
        "temperature": float(np.mean([r["temperature"] for r in per_run])),
        "per_run": per_run,
        "interval": f"means over folds; 95 %, {how_over_groups(len(set(groups)))}, differences paired within each",
    }
    return about_fusion(results, measured.runs)


def _macro_f1(records: Sequence[Record], predicted: Sequence[str]) -> float:
    index = {label: k for k, label in enumerate(sorted({*predicted, *(str(r.label) for r in records)}))}
    return macro_f1(np.array([index[str(r.label)] for r in records]), np.array([index[label] for label in predicted]))


def _shared(rules: Sequence[str]) -> str:
    return "; ".join(f"{rule} ({rules.count(rule)} of {len(rules)} runs)" for rule in dict.fromkeys(rules))
