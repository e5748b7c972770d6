"""Which way of growing a corpus helps: arms trained and measured on the same folds and seeds, each against the first.

A grid is a small TOML file; see :func:`read_grid`. Every run is resumed or reused when the same grid is run again.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import signloom
from signloom.data.consent import for_use
from signloom.data.corpus import describe_corpus
from signloom.data.manifest import Manifest, Record, read_manifest
from signloom.data.splits import Fold, assign_split, folds
from signloom.data.stream import fingerprint_diff
from signloom.errors import InputError
from signloom.metrics.intervals import bootstrap_weights, how_over_groups, paired_difference, percentile_interval
from signloom.pipelines.augment import augment_corpus, derivation_of
from signloom.pipelines.crossval import cross_validate
from signloom.report.words import count
from signloom.runtime.atomic import read_json, write_json
from signloom.runtime.locks import locking_out
from signloom.runtime.names import file_name
from signloom.runtime.text import why
from signloom.tasks import recipe_named
from signloom.tasks.recognise.evaluate import score_corpus
from signloom.tasks.recognise.policies import with_policy
from signloom.tasks.recognise.predict import Recogniser
from signloom.tasks.recognise.recipe import Recipe
from signloom.training.checkpoint import load_checkpoint
from signloom.training.settings import changed
from signloom.transforms.augment.policy import NAMED, Policy, policy_named

PUBLISHED = ("Baseline", "AF1", "AF2", "DF1", "DF2", "DF1-AF1", "DF1-AF2")
"""Arms that have a name. AF1: affine copies of the clips of one source (or signer), ``own``; AF2: of the others'. DF1:
copies with swapped faces of one target, DF2: of all targets; the published text leaves that difference open, and this
is what is chosen here."""
LEFT_OUT = ("signer", "source")
TOP_KS = (1, 5, 10)


@dataclass(frozen=True)
class Copies:
    """Copies made for an arm: ``times`` by ``policy``, of the clips whose signer or source is among ``of`` (all, where
    it is empty), or with ``others`` is not."""

    policy: Policy
    times: int = 1
    of: tuple[str, ...] = ()
    others: bool = False

    def as_dict(self) -> dict[str, Any]:
        return {"policy": self.policy.as_dict(), "times": self.times, "of": list(self.of), "others": self.others}


@dataclass(frozen=True)
class Arm:
    """One way of training: with ``copies`` made for it, with the copies in the ``corpora``, with the policy ``online``
    in place of the recipe's own augmentation, or ``as_recipe`` with that, whatever the other arms have."""

    name: str
    copies: tuple[Copies, ...] = ()
    corpora: tuple[Path, ...] = ()
    online: Policy | None = None
    as_recipe: bool = False


@dataclass(frozen=True)
class Grid:
    """What is compared: ``arms`` of one ``recipe`` on one corpus, each signer (or source) of ``only`` held out in turn,
    with the same ``seeds``. With ``train_on`` there is one fold: these signers (or sources) train, those of ``only``
    test. ``few``: that many training clips of each signer and sign, at most. ``omit_face``: each run is also measured
    on its test clips with the face covered. ``augment`` is the recipe's own augmentation."""

    corpus: Path
    recipe: Recipe
    arms: tuple[Arm, ...]
    augment: Any
    leave_out: str = "signer"
    only: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0, 1, 2)
    val: float = 0.1
    train_on: tuple[str, ...] = ()
    few: int = 0
    omit_face: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The grid as it was written."""


# --- the file -----------------------------------------------------------------------------------------------------

_FIELDS = {
    # name: (type, usual)
    "corpus": (str, None),
    "recipe": (str, "pose"),
    "set": (list, []),
    "leave_out": (str, "signer"),
    "only": (list, []),
    "seeds": (list, [0, 1, 2]),
    "val": (float, 0.1),
    "train_on": (list, []),
    "few": (int, 0),
    "own": (str, ""),
    "affine": (str, "affine"),
    "times": (int, 1),
    "swapped_one": (str, ""),
    "swapped_all": (str, ""),
    "train_policy": (str, ""),
    "omit_face": (bool, False),
    "arms": (list, ["Baseline"]),
    "arm": (list, []),
}
_ARM_FIELDS = {
    "name": str,
    "policy": str,
    "times": int,
    "of": list,
    "others": bool,
    "corpora": list,
    "train_policy": str,
}


def read_grid(file: Path) -> Grid:
    """A grid from a TOML file, whose paths are relative to it. Raises InputError naming what is wrong.

    ``corpus``, ``recipe``, ``set`` (settings of it), ``leave_out`` ("signer" or "source"), ``only`` (which of them),
    ``seeds``, ``val`` (share of the training clips that choose the checkpoint), ``train_on`` (one fold: these train,
    all of ``only`` test), ``few`` (so many training clips of each signer and sign, at most), ``train_policy`` (in all
    arms, in place of the recipe's own augmentation), ``omit_face``. ``arms`` are names of :data:`PUBLISHED` and of
    policies; for AF1 and AF2 ``own`` names the source, ``affine`` the policy and ``times`` how many copies; for DF1 and
    DF2 ``swapped_one`` and ``swapped_all`` are corpora of copies with swapped faces. Any other arm is an ``[[arm]]``
    with a ``name`` and ``policy``, ``times``, ``of`` (signers or sources), ``others``, ``corpora`` or ``train_policy``
    ("recipe": the recipe's own augmentation).
    """
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"'{file}' is not a grid: {why(error)}") from error
    got = _checked(values, {k: kind for k, (kind, _) in _FIELDS.items()}, str(file))
    given: dict[str, Any] = {k: got.get(k, usual) for k, (_, usual) in _FIELDS.items()}
    if not given["corpus"]:
        raise InputError(f"'{file}': a grid says which corpus = \"…\" it is of")
    if given["leave_out"] not in LEFT_OUT:
        raise InputError(f"'{file}': leave_out is '{given['leave_out']}', expected {' or '.join(LEFT_OUT)}")
    if not given["seeds"] or not all(isinstance(s, int) and s >= 0 for s in given["seeds"]):
        raise InputError(f"'{file}': seeds are {given['seeds']}, expected whole numbers from 0 on")
    if len(set(given["seeds"])) < len(given["seeds"]):
        raise InputError(f"'{file}': a seed stands twice")
    recipe = changed(recipe_named(given["recipe"]), [str(s) for s in given["set"]])
    own = getattr(recipe, "augment", None)
    if given["train_policy"]:
        recipe = with_policy(recipe, _policy(given["train_policy"], file))
    if not isinstance(recipe, Recipe):
        raise InputError(f"'{file}': recipe '{given['recipe']}' names no signs, and a grid measures recognisers")
    arms = [_named_arm(str(name), given, file) for name in given["arms"]]
    arms += [_own_arm(row, file, number) for number, row in enumerate(given["arm"], 1)]
    if twice := next((a.name for a in arms if sum(b.name == a.name for b in arms) > 1), None):
        raise InputError(f"'{file}': there are two arms '{twice}'")
    if len(arms) < 2:
        raise InputError(f"'{file}': a grid compares at least two arms; it has {arms[0].name if arms else 'none'}")
    return Grid(
        (file.parent / given["corpus"]).resolve(),
        recipe,
        tuple(arms),
        own,
        given["leave_out"],
        tuple(map(str, given["only"])),
        tuple(given["seeds"]),
        float(given["val"]),
        tuple(map(str, given["train_on"])),
        given["few"],
        given["omit_face"],
        values,
    )


def _checked(values: Mapping[str, Any], known: Mapping[str, type], where: str) -> dict[str, Any]:
    if wrong := sorted(set(values) - set(known)):
        raise InputError(f"{where}: there is no '{wrong[0]}'; there is {', '.join(known)}")
    for key, value in values.items():
        wanted = known[key]
        fits = isinstance(value, wanted) and not (wanted is not bool and isinstance(value, bool))
        if not fits and not (wanted is float and isinstance(value, int) and not isinstance(value, bool)):
            raise InputError(f"{where}: '{key}' is {value!r}, expected a {wanted.__name__}")
    return dict(values)


def _policy(name: str, file: Path) -> Policy:
    """A policy by name, or from a file beside the grid."""
    return policy_named(name if name in NAMED else str(file.parent / name))


def _named_arm(name: str, given: Mapping[str, Any], file: Path) -> Arm:
    if name not in PUBLISHED:
        if name in NAMED or (file.parent / name).is_file():
            policy = _policy(name, file)
            return Arm(policy.name, (Copies(policy, given["times"]),))
        raise InputError(
            f"'{file}': arm '{name}' is none of {', '.join(PUBLISHED)}, nor a policy; describe it by [[arm]]"
        )
    copies: list[Copies] = []
    corpora: list[Path] = []
    for part in name.split("-"):
        if part in ("AF1", "AF2"):
            if not given["own"]:
                raise InputError(
                    f"'{file}': arm {name} needs own = \"…\", the {given['leave_out']} whose clips AF1 copies"
                )
            copies.append(Copies(_policy(given["affine"], file), given["times"], (given["own"],), part == "AF2"))
        elif part in ("DF1", "DF2"):
            key = "swapped_one" if part == "DF1" else "swapped_all"
            if not given[key]:
                raise InputError(f"'{file}': arm {name} needs {key} = \"…\", a corpus of copies with swapped faces")
            corpora.append((file.parent / given[key]).resolve())
    return Arm(name, tuple(copies), tuple(corpora))


def _own_arm(row: Any, file: Path, number: int) -> Arm:
    where = f"'{file}', arm {number}"
    if not isinstance(row, dict):
        raise InputError(f"{where}: expected [[arm]] with a name")
    got = _checked(row, _ARM_FIELDS, where)
    if not got.get("name"):
        raise InputError(f"{where}: it has no name")
    copies: tuple[Copies, ...] = ()
    if "policy" in got:
        of = tuple(map(str, got.get("of", ())))
        copies = (Copies(_policy(got["policy"], file), got.get("times", 1), of, got.get("others", False)),)
    corpora = tuple((file.parent / str(p)).resolve() for p in got.get("corpora", ()))
    as_recipe = got.get("train_policy") == "recipe"
    online = _policy(got["train_policy"], file) if got.get("train_policy") and not as_recipe else None
    return Arm(got["name"], copies, corpora, online, as_recipe)


# --- the runs -----------------------------------------------------------------------------------------------------


@locking_out
def run_grid(grid: Grid, out: Path, *, workers: int | None = None, quiet: bool = False) -> dict[str, Any]:
    """Train and measure every arm of ``grid`` on every fold and seed; returns what was found (``kind`` "ablation").

    Copies are made once, in ``out/corpora``; runs live in ``out/<arm>/<fold>/seed<n>`` and are resumed or reused. The
    folds are those of the corpus alone, so that all arms are measured on the same clips; copies of held-out clips are
    never learnt from. Raises InputError where an arm has no copy to learn from, or copies made otherwise.
    """
    whole = read_manifest(grid.corpus)
    manifest = for_use(whole, "training").where(lambda r: not r.augmented)
    others = {r.id for r in whole if not r.augmented} - {r.id for r in manifest}
    _check_names(grid, manifest)
    kept = {**manifest.meta}
    kept.pop("split", None)
    unsplit = replace(manifest, records=tuple(replace(r, split=None) for r in manifest), meta=kept)
    cuts = _cuts(grid, unsplit)
    omitted = _omitted(grid, manifest, out, workers, quiet) if grid.omit_face else None
    scheme = f"{grid.leave_out}-disjoint" if grid.train_on else f"leave-one-{grid.leave_out}-out"
    learnt = {r.id for fold in cuts for r in fold.manifest if r.split == "train"}
    rows: list[dict[str, Any]] = []
    for arm in grid.arms:
        derived = _derived(arm, grid, manifest, others, learnt, out, workers, quiet)
        recipe = grid.recipe if arm.online is None else with_policy(grid.recipe, arm.online)
        recipe = replace(recipe, augment=grid.augment) if arm.as_recipe else recipe
        grown = [_with_copies(fold, derived) for fold in cuts]
        results = cross_validate(
            manifest, recipe, grown, grid.seeds, out / file_name(arm.name), scheme=scheme, quiet=quiet
        )
        write_json(out / file_name(arm.name) / "evaluation.json", results)
        measured = [_measured(out, arm, fold, seed) for fold in cuts for seed in grid.seeds]
        if omitted is not None:
            for row in measured:
                row["omitted"] = _measure_omitted(out, arm, row, omitted, cuts)
        copies = {fold.name: sum(r.augmented for r in fold.manifest) for fold in grown}
        rows.append({"arm": arm, "runs": measured, "copies": copies})
    return _found(grid, manifest, rows, cuts, scheme)


def _cuts(grid: Grid, manifest: Manifest) -> list[Fold]:
    """The folds: each of ``only`` held out in turn, or all of it at once where ``train_on`` says who trains."""
    if not grid.train_on:
        cuts = folds(manifest, grid.leave_out, seed=0, val=grid.val, held_out=grid.only or None)
    else:
        there = {getattr(r, grid.leave_out) for r in manifest}
        if not grid.only or set(grid.only) & set(grid.train_on) or not {*grid.only, *grid.train_on} <= there:
            raise InputError(
                f"train_on = {list(grid.train_on)} goes with other {grid.leave_out}s to test, only = …, all of them in "
                f"the corpus; got only = {list(grid.only)}, and there is {', '.join(sorted(map(str, there)))}"
            )
        where = {**dict.fromkeys(grid.train_on, "train"), **dict.fromkeys(grid.only, "test")}
        records = tuple(replace(r, split=where.get(getattr(r, grid.leave_out))) for r in manifest)
        given = replace(manifest, records=records)
        divided = assign_split(given, "given", val=grid.val, val_by="clip" if grid.val else None)
        about = {**divided.meta["split"], "scheme": grid.leave_out, "held_out": list(grid.only)}
        cuts = [Fold("+".join(grid.only), replace(divided, meta={**divided.meta, "split": about}), grid.only)]
    return [_thinned(fold, grid.few) for fold in cuts] if grid.few else cuts


def _thinned(fold: Fold, few: int) -> Fold:
    """``fold`` with at most ``few`` training and validation clips of each signer and sign, spread over its takes."""
    groups: dict[tuple[str | None, str | None], list[str]] = {}
    for r in fold.manifest:
        if r.split in ("train", "val"):
            groups.setdefault((r.signer, r.label), []).append(r.id)
    kept: set[str] = set()
    for ids in groups.values():
        ids = sorted(ids)
        kept |= {ids[k] for k in np.linspace(0, len(ids) - 1, min(few, len(ids))).round().astype(int)}
    records = tuple(replace(r, split=None) if r.split in ("train", "val") and r.id not in kept else r
                    for r in fold.manifest)  # fmt: skip
    return replace(fold, manifest=replace(fold.manifest, records=records))


def _check_names(grid: Grid, manifest: Manifest) -> None:
    there = {getattr(r, grid.leave_out) for r in manifest} - {None}
    for arm in grid.arms:
        for copies in arm.copies:
            if missing := [name for name in copies.of if name not in there]:
                raise InputError(
                    f"arm '{arm.name}': there is no {grid.leave_out} '{missing[0]}'; there is "
                    f"{', '.join(sorted(there))}"
                )


def _omitted(grid: Grid, manifest: Manifest, out: Path, workers: int | None, quiet: bool) -> dict[str, Record]:
    """Every clip with its face covered, by the clip's id."""
    how = derivation_of(manifest, policy_named("omit-face"), streams=_read_by(grid.recipe, manifest))
    corpus, _ = augment_corpus(
        manifest,
        out / "corpora" / "omit-face",
        how,
        choose=lambda r: True,
        originals=False,
        workers=workers,
        title="omit-face",
        quiet=quiet,
    )
    return {str(r.parent): r for r in _absolute(corpus)}


def _read_by(recipe: Recipe, manifest: Manifest) -> list[str]:
    """The streams that copies need to be learnt from by ``recipe``."""
    streams = list(dict.fromkeys((*recipe.streams, *recipe.auxiliary_streams)))
    for stream in streams:
        manifest.fingerprint(stream)
    return streams


def _absolute(corpus: Manifest) -> list[Record]:
    return [replace(r, streams={s: str((corpus.root / p).resolve()) for s, p in r.streams.items()}) for r in corpus]


def _derived(
    arm: Arm,
    grid: Grid,
    manifest: Manifest,
    others: set[str],
    learnt: set[str],
    out: Path,
    workers: int | None,
    quiet: bool,
) -> list[Record]:
    """The copies that an arm may learn from, of clips that are ``learnt`` in some fold; in which, the fold says. Copies
    of ``others``, clips of the corpus that nobody learns from, are left out."""
    made: list[Record] = []
    streams = _read_by(grid.recipe, manifest)
    for copies in arm.copies:
        if not copies.policy.steps:
            continue
        how = derivation_of(manifest, copies.policy, copies.times, streams=streams)
        corpus, _ = augment_corpus(
            manifest,
            out / "corpora" / file_name(f"{arm.name} {copies.policy.name}"),
            how,
            choose=_choice(copies, grid.leave_out, learnt),
            originals=False,
            workers=workers,
            title=f"copies for {arm.name}",
            quiet=quiet,
        )
        made += _absolute(corpus)
    known = {r.id for r in manifest}
    for folder in arm.corpora:
        corpus = for_use(read_manifest(folder), "training")
        for stream in streams:
            if differ := fingerprint_diff(manifest.fingerprint(stream), corpus.fingerprint(stream)):
                raise InputError(
                    f"arm '{arm.name}': stream '{stream}' of '{folder}' was made otherwise than that of "
                    f"'{grid.corpus}': {'; '.join(differ[:3])}"
                )
        copies_there = [r for r in _absolute(corpus) if r.parent is not None and r.parent not in others]
        if strange := next((r for r in copies_there if r.parent not in known), None):
            raise InputError(
                f"arm '{arm.name}': clip '{strange.id}' of '{folder}' was made of '{strange.parent}', which is no clip "
                f"of '{grid.corpus}'"
            )
        if not copies_there:
            raise InputError(f"arm '{arm.name}': '{folder}' has no clip that was made of another ('parent')")
        made += [replace(r, extra={**r.extra, "augmented": r.extra.get("augmented") or True}) for r in copies_there]
    ids = [r.id for r in made]
    if len(set(ids)) < len(ids):
        made = [replace(r, id=f"{r.id}-{n}") if ids.index(r.id) != n else r for n, r in enumerate(made)]
    return made


def _choice(copies: Copies, unit: str, learnt: set[str]) -> Callable[[Record], bool]:
    def chosen(record: Record) -> bool:
        own = not copies.of or (getattr(record, unit) in copies.of) != copies.others
        return own and record.id in learnt

    return chosen


def _with_copies(fold: Fold, derived: Sequence[Record]) -> Fold:
    """``fold`` with the copies of its training clips."""
    training = {r.id for r in fold.manifest if r.split == "train"}
    copies = tuple(replace(r, split="train") for r in derived if r.parent in training)
    manifest = replace(fold.manifest, records=(*fold.manifest.records, *copies))
    return replace(fold, manifest=manifest)


def _folder(out: Path, arm: Arm, fold: str, seed: int) -> Path:
    return out / file_name(arm.name) / file_name(fold) / f"seed{seed}"


def _measured(out: Path, arm: Arm, fold: Fold, seed: int) -> dict[str, Any]:
    own = read_json(_folder(out, arm, fold.name, seed) / "evaluation.json")
    metrics = own["metrics"]
    hits = {row["id"]: row["label"] == row["predicted"] for row in own["clips"]}
    tops = {f"top{k}": metrics[f"top{k}"]["value"] for k in TOP_KS if f"top{k}" in metrics}
    return {"fold": fold.name, "seed": seed, "hits": hits, **tops}


def _measure_omitted(
    out: Path, arm: Arm, row: Mapping[str, Any], omitted: Mapping[str, Record], cuts: Sequence[Fold]
) -> dict[str, bool]:
    fold = next(f for f in cuts if f.name == row["fold"])
    clips = tuple(replace(omitted[i], id=i) for i in row["hits"] if i in omitted)
    checkpoint = load_checkpoint(_folder(out, arm, row["fold"], row["seed"]))
    scores = score_corpus(Recogniser(checkpoint), replace(fold.manifest, records=clips))
    best = scores.logits_NK.argmax(1)
    return {r.id: scores.labels[k] == r.label for r, k in zip(clips, best.tolist())}


# --- what was found -----------------------------------------------------------------------------------------------


def _found(
    grid: Grid, manifest: Manifest, rows: Sequence[Mapping[str, Any]], cuts: Sequence[Fold], scheme: str
) -> dict[str, Any]:
    base = rows[0]["runs"]
    units = {r.id: str(getattr(r, grid.leave_out)) for r in manifest}
    n_held = len({units[i] for run in base for i in run["hits"]})
    arms = []
    for row in rows:
        runs = row["runs"]
        about: dict[str, Any] = {
            "name": row["arm"].name,
            "copies": row["copies"],
            "per_fold": {fold.name: _means([r for r in runs if r["fold"] == fold.name]) for fold in cuts},
            "mean": _means(runs),
            "runs": [{k: r[k] for k in r if k not in ("hits", "omitted")} for r in runs],
        }
        if row is not rows[0]:
            about["difference"] = compared(runs, base, units)
        if "omitted" in runs[0]:
            about["omit_face"] = {
                "top1": float(np.mean([np.mean(list(r["omitted"].values())) for r in runs])),
                **compared([{**r, "hits": r["omitted"]} for r in runs], runs, units),
            }
        arms.append(about)
    synthetic = manifest.meta.get("synthetic")
    return {
        "kind": "ablation",
        "title": f"{grid.recipe.name} on {describe_corpus(manifest)['name']}: {len(arms)} arms",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "signloom_version": signloom.__version__,
        "split": {
            "name": "test",
            "scheme": scheme,
            "detail": f"{count(len(cuts), 'fold')}, {count(len(grid.seeds), 'seed')}; every clip is measured by models "
            f"that never saw its {grid.leave_out}",
        },
        "corpus": describe_corpus(manifest),
        "synthetic": synthetic,
        "baseline": rows[0]["arm"].name,
        "folds": [fold.name for fold in cuts],
        "seeds": list(grid.seeds),
        "tops": [f"top{k}" for k in TOP_KS if f"top{k}" in base[0]],
        "unit": grid.leave_out,
        "interval": f"over {grid.leave_out}s: 95 %, "
        + how_over_groups(n_held)
        + "; over clips: 95 % percentile bootstrap, each clip with both arms' answers, seeds averaged",
        "arms": arms,
        "grid": json.loads(json.dumps(grid.settings, default=str)),
    }


def _means(runs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The mean of each top-k: every fold weighs the same."""
    by_fold: dict[str, list[Mapping[str, Any]]] = {}
    for run in runs:
        by_fold.setdefault(run["fold"], []).append(run)
    tops = [k for k in runs[0] if k.startswith("top")]
    return {k: float(np.mean([np.mean([r[k] for r in some]) for some in by_fold.values()])) for k in tops}


def compared(
    runs: Sequence[Mapping[str, Any]],
    base: Sequence[Mapping[str, Any]],
    units: Mapping[str, str],
    seed: int = 0,
) -> dict[str, Any]:
    """How much more often ``runs`` are right than ``base``, run by run on the same fold, seed and clips.

    ``over_units`` (held-out signers or sources; ``units`` has each clip's) and ``over_clips`` are paired bootstraps,
    each ``value``, ``low``, ``high``. ``over_seeds`` is the
    mean over seeds with its standard error, and how many of those it is (``errors``; None with fewer than two seeds or
    none of spread).
    """
    pairs = [(a, next(b for b in base if (b["fold"], b["seed"]) == (a["fold"], a["seed"]))) for a in runs]
    shared = [(a, b, sorted(set(a["hits"]) & set(b["hits"]))) for a, b in pairs]
    hits = np.array([a["hits"][i] for a, _, ids in shared for i in ids])
    other = np.array([b["hits"][i] for _, b, ids in shared for i in ids])
    groups = [units[i] for _, _, ids in shared for i in ids]
    over_units = paired_difference(hits, other, groups=groups, seed=seed)
    gain: dict[tuple[str, str], list[int]] = {}
    per_seed: dict[int, dict[str, float]] = {}
    for a, b, ids in shared:
        own = [int(a["hits"][i]) - int(b["hits"][i]) for i in ids]
        per_seed.setdefault(a["seed"], {})[a["fold"]] = float(np.mean(own))
        for i, value in zip(ids, own):
            gain.setdefault((a["fold"], i), []).append(value)
    mean_N = np.array([np.mean(values) for values in gain.values()])
    drawn = np.concatenate([w @ mean_N / w.sum(1) for w in bootstrap_weights(len(mean_N), seed=seed)])
    low, high = percentile_interval(drawn)
    of_seed = np.array([np.mean(list(of_fold.values())) for of_fold in per_seed.values()])
    error = float(of_seed.std(ddof=1) / math.sqrt(len(of_seed))) if len(of_seed) > 1 else None
    return {
        "over_units": over_units,
        "over_clips": {"value": float(mean_N.mean()), "low": low, "high": high, "n_clips": len(mean_N)},
        "over_seeds": {
            "value": float(of_seed.mean()),
            "error": error,
            "errors": float(of_seed.mean() / error) if error else None,
            "per_seed": {str(s): float(v) for s, v in zip(per_seed, of_seed)},
        },
    }
