"""Recognising isolated signs: the recipes, and whole runs of training, evaluation, cross-validation and use."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import signloom
from signloom.data import files
from signloom.data.batch import PoseSet
from signloom.data.leaks import refuse_leaks
from signloom.data.manifest import Manifest, Record, write_json
from signloom.data.mapping import Outcome, Progress, fingerprint_hash
from signloom.data.skeleton import PARENT, PARTS
from signloom.data.splits import SCHEMES, Fold, Split, apply_split, assign_split, read_split, split_of
from signloom.errors import CheckpointError, InputError, SignloomError
from signloom.learning import metrics
from signloom.learning.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from signloom.learning.classify import ClassifyPoses, score_poses
from signloom.learning.fit import fit
from signloom.learning.recipe import Recipe, Schedule
from signloom.models import build
from signloom.recipes.prepare import Preparation, imported_fingerprint, manifest_of_files, prepare_corpus, read_failures
from signloom.steps.pose import HolisticPose, same_estimator
from signloom.steps.pose_input import PoseInput

# --- the recipes ------------------------------------------------------------------------------------------------


def pose() -> Recipe:
    """The default: four small transformers over body, hands and face that vote; for few clips and a CPU."""
    return Recipe(
        name="pose",
        architecture="pose_transformer",
        streams=("pose",),
        inputs=PoseInput(n_frames=32),
        schedule=Schedule(epochs=24),
    )


def pose_large() -> Recipe:
    """One wider network with finer time, for large vocabularies (hundreds of glosses) or a GPU."""
    return replace(
        pose(),
        name="pose-large",
        inputs=PoseInput(n_frames=64),
        model={"width": 256, "depth": 4, "heads": 8, "members": 1},
        schedule=Schedule(epochs=80, batch_size=64, learning_rate=1e-3),
    )


def pose_as_filmed() -> Recipe:
    """The default without handedness: clips stay as filmed and are never mirrored. For comparison."""
    return replace(
        pose(),
        name="pose-as-filmed",
        inputs=replace(pose().inputs, handedness="as-filmed"),
        augment=replace(pose().augment, mirror=0.0),
    )


RECIPES = {"pose": pose, "pose-large": pose_large, "pose-as-filmed": pose_as_filmed}


def recipe_named(name: str) -> Recipe:
    """The recipe called ``name``. Raises InputError that lists them all."""
    if name not in RECIPES:
        known = "; ".join(f"{n}: {(f.__doc__ or '').splitlines()[0]}" for n, f in RECIPES.items())
        raise InputError(f"unknown recipe '{name}'. There are: {known}")
    return RECIPES[name]()


# --- reading ----------------------------------------------------------------------------------------------------


def load_poses(manifest: Manifest, inputs: PoseInput, labels: Sequence[str] | None, *, needed_by: str) -> PoseSet:
    """Read the pose of every clip into memory. With ``labels``, each clip's label as its index there."""
    index = {label: k for k, label in enumerate(labels or ())}
    xy = np.zeros((len(manifest), inputs.n_frames, sum(s.stop - s.start for s in PARTS.values()), 2), np.float32)
    present = np.zeros(xy.shape[:3], bool)
    with Progress("read poses", len(manifest), quiet=len(manifest) < 2000) as progress:
        for row, record in enumerate(manifest):
            pose = files.read_pose(record.path("pose", manifest.root, needed_by))
            xy[row], present[row] = inputs(pose)
            progress.step()
    label = np.array([index[_label(r)] for r in manifest], np.int64) if labels is not None else None
    return PoseSet(tuple(r.id for r in manifest), xy, present, label)


def _label(record: Record) -> str:
    if record.label is None:
        raise InputError(f"clip '{record.id}' has no label; give one (a --pattern with {{label}}) or leave it out")
    return record.label


def choose_split(manifest: Manifest, wanted: str, *, seed: int = 0) -> tuple[Manifest, Split]:
    """Give the corpus the split a user asked for: a split file, a scheme, "given" or "auto".

    "auto" is the corpus's own split where it has one, else signer-disjoint.
    """
    if wanted == "auto":
        wanted = "given" if any(r.split for r in manifest) else "signer"
    if wanted in SCHEMES:
        # Two or three signers are too few to spend one on validation: its clips then come from the training signers.
        few = wanted == "signer" and len(manifest.signers) < 4
        manifest = assign_split(manifest, wanted, seed=seed, val_by="clip" if few else None)
        return manifest, split_of(manifest)
    if not Path(wanted).exists():
        raise InputError(f"--split: '{wanted}' is neither a file nor one of auto, {', '.join(SCHEMES)}")
    split = read_split(wanted)
    return apply_split(manifest, split), split


SCHEME_WORDS = {"signer": "signer-disjoint", "source": "source-disjoint", "random": "random", "given": "given"}


def describe_split(split: Split) -> dict[str, Any]:
    """What a checkpoint and a report say about a split."""
    held_out = split.details.get("held_out")
    described = {"scheme": SCHEME_WORDS.get(split.scheme, split.scheme)}
    return {**described, "detail": f"held out: {', '.join(held_out)}"} if held_out else described


# --- training ---------------------------------------------------------------------------------------------------


def train_run(
    manifest: Manifest,
    recipe: Recipe,
    out: Path,
    *,
    seed: int = 0,
    split: Mapping[str, Any] | None = None,
    title: str = "train",
    quiet: bool = False,
) -> Checkpoint:
    """Train ``recipe`` on the train split of ``manifest`` and write the checkpoint that validates best into ``out``.

    Only clips of the splits train and val are opened. ``split`` describes how they were chosen (kept in the
    checkpoint). A finished run is loaded again instead of repeated; a killed one goes on where it was.
    """
    for stream in recipe.streams:
        manifest.fingerprint(stream)  # the error for a stream that was never prepared comes before anything else
    refuse_leaks(manifest)
    train = manifest.only("train")
    labels = train.labels
    if len(labels) < 2:
        raise InputError(f"training needs at least two labels; the train split of '{manifest.root}' has {list(labels)}")
    unlabelled = sum(r.label is None for r in train)
    if unlabelled:
        raise InputError(
            f"{unlabelled} training clips of '{manifest.root}' have no label, e.g. '{train.records[0].id}'"
        )
    known = set(labels)
    validation = manifest.where(lambda r: r.split == "val" and r.label in known)
    split_hash = fingerprint_hash(sorted((r.id, r.split) for r in manifest if r.split in ("train", "val")))
    run_hash = fingerprint_hash(recipe.as_dict(), manifest.corpus_hash(), split_hash, seed)
    folder = out / "checkpoint"
    finished = out / "run.json"
    if finished.exists():
        if json.loads(finished.read_text(encoding="utf-8"))["run_hash"] == run_hash:
            return load_checkpoint(folder)
        raise InputError(
            f"'{out}' holds a finished run with another recipe, corpus, split or seed; choose another --out"
        )

    for left_over in out.rglob(".tmp-*"):
        left_over.unlink(missing_ok=True)  # a killed run's unfinished files
    train_poses = load_poses(train, recipe.inputs, labels, needed_by=f"recipe '{recipe.name}'")
    val_poses = load_poses(validation, recipe.inputs, labels, needed_by=f"recipe '{recipe.name}'")
    import torch

    torch.manual_seed(seed)
    model = build(recipe.architecture, model_config(recipe, len(labels)))
    task = ClassifyPoses(train_poses, len(labels), val_poses, recipe.augment, recipe.schedule.label_smoothing)
    kept: dict[str, Any] = {
        "recipe": {**recipe.as_dict(), "seed": seed},
        "corpus": describe_corpus(manifest),
        "split": {**(split or {"scheme": "given"}), "train": len(train), "val": len(validation), "hash": split_hash},
    }

    def checkpoint(weights: Mapping[str, Any], scores: Mapping[str, Any], temperature: float = 1.0) -> Checkpoint:
        final = build(recipe.architecture, model_config(recipe, len(labels)))
        final.load_state_dict(weights)
        streams = {s: manifest.fingerprint(s) for s in recipe.streams}
        return Checkpoint(
            recipe.architecture, final.eval(), labels, recipe.inputs, streams, temperature, metrics=scores, **kept
        )

    result = fit(
        model,
        task,
        recipe.schedule,
        out,
        seed=seed,
        run_hash=run_hash,
        title=title,
        quiet=quiet,
        on_best=lambda weights, scores: save_checkpoint(checkpoint(weights, scores), folder) and None,
    )
    best = checkpoint(result.best, result.metrics)
    if len(validation):
        logits = score_poses(best.model, val_poses)
        assert val_poses.label_N is not None
        best = replace(best, temperature=float(metrics.fit_temperature(logits, val_poses.label_N)))
    save_checkpoint(best, folder)
    write_json(out / "history.json", result.history)
    write_json(finished, {"run_hash": run_hash, "seed": seed, "seconds": round(result.seconds, 2), **result.metrics})
    (out / "state.pt").unlink(missing_ok=True)
    return best


def model_config(recipe: Recipe, n_classes: int) -> dict[str, Any]:
    """The config fields of ``recipe``'s model for ``n_classes`` glosses on signloom's skeleton."""
    parts = {name: (where.start, where.stop) for name, where in PARTS.items()}
    return {
        "n_classes": n_classes,
        "parents": tuple(int(p) for p in PARENT),
        **parts,
        "n_frames": recipe.inputs.n_frames,
        **recipe.model,
    }


def describe_corpus(manifest: Manifest) -> dict[str, Any]:
    """What a checkpoint and a report say about the corpus."""
    return {
        "name": manifest.meta.get("name") or manifest.root.resolve().name,
        "root": str(manifest.root.resolve()),
        "hash": manifest.corpus_hash(),
        "n_clips": len(manifest),
        "n_signers": len(manifest.signers),
        "licences": sorted({r.licence for r in manifest if r.licence}),
        "streams": dict(manifest.meta.get("streams", {})),
    }


# --- evaluation -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scores:
    """What a checkpoint says of some clips: ``logits_NK`` divided by its temperature, in the order of ``records``."""

    records: tuple[Record, ...]
    labels: tuple[str, ...]
    logits_NK: np.ndarray

    @property
    def probabilities_NK(self) -> np.ndarray:
        return metrics.softmax(self.logits_NK)


def score_corpus(checkpoint: Checkpoint, manifest: Manifest) -> Scores:
    """Score every clip of a prepared corpus. Raises CheckpointError when its streams were made otherwise."""
    for stream in checkpoint.streams:
        checkpoint.check_stream(stream, manifest.fingerprint(stream), str(manifest.root))
    poses = load_poses(manifest, checkpoint.inputs, None, needed_by="the checkpoint")
    return Scores(manifest.records, checkpoint.labels, score_poses(checkpoint.model, poses) / checkpoint.temperature)


def evaluate_run(checkpoint: Checkpoint, manifest: Manifest, split: str, *, seed: int = 0) -> dict[str, Any]:
    """Measure ``checkpoint`` on one split of a prepared corpus; the result is what the report is made from.

    Clips whose label the model does not know count as wrong, and are counted in ``unknown_labels``.
    Raises LeakError when a measured clip, its parent or its signer was trained on although the split says otherwise.
    """
    chosen = manifest.only(split)
    scores = score_corpus(checkpoint, chosen)
    detail = dict(checkpoint.split)
    if split == "test" and manifest.where(lambda r: r.split in ("train", "val")).records:
        refuse_leaks(manifest)
    return results_of([scores], split={"name": split, **detail}, checkpoint=checkpoint, manifest=manifest, seed=seed)


def results_of(
    scored: Sequence[Scores],
    *,
    split: Mapping[str, Any],
    checkpoint: Checkpoint,
    manifest: Manifest,
    seed: int = 0,
    title: str | None = None,
) -> dict[str, Any]:
    """The results document of one or several sets of scores (folds and seeds) that share their labels."""
    known = scored[0].labels
    records = [r for s in scored for r in s.records]
    unknown = sorted({_label(r) for r in records} - set(known))
    labels = (*known, *unknown)
    index = {label: k for k, label in enumerate(labels)}
    logits = np.concatenate([s.logits_NK for s in scored]).astype(np.float64)
    if unknown:
        # A label never trained on cannot be chosen: it gets a score below all others.
        floor = np.full((len(logits), len(unknown)), logits.min() - 50.0)
        logits = np.concatenate([logits, floor], axis=1)
    truth = np.array([index[_label(r)] for r in records])
    signers = [r.signer for r in records]
    measured = metrics.evaluate_scores(
        logits, truth, list(labels), signers if any(signers) else None, [r.id for r in records], seed=seed
    )
    probabilities = metrics.softmax(logits)
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :5]
    clips = []
    for row, record in enumerate(records):
        video = record.streams.get("video") or record.streams.get("frames")
        clips.append(
            {
                "id": record.id,
                "label": record.label,
                "signer": record.signer,
                "predicted": labels[order[row, 0]],
                "confidence": round(float(probabilities[row, order[row, 0]]), 6),
                "top": [[labels[k], round(float(probabilities[row, k]), 6)] for k in order[row]],
                "video": str((manifest.root / video).resolve()) if video else None,
                "first_frame": record.first_frame,
                "end_frame": record.end_frame,
            }
        )
    corpus = describe_corpus(manifest)
    return {
        "kind": "evaluation",
        "title": title or f"{checkpoint.recipe.get('name', checkpoint.architecture)} on {corpus['name']}",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "signloom_version": signloom.__version__,
        "labels": list(labels),
        "unknown_labels": unknown,
        "split": dict(split),
        "checkpoint": {k: v for k, v in checkpoint.config().items() if k not in ("recipe", "corpus", "labels")},
        "corpus": corpus,
        "settings": dict(checkpoint.recipe),
        **measured,
        "clips": clips,
        "failures": read_failures(manifest.root),
    }


# --- cross-validation -------------------------------------------------------------------------------------------


def cross_validate(
    manifest: Manifest,
    recipe: Recipe,
    folds: Sequence[Fold],
    seeds: Sequence[int],
    out: Path,
    *,
    scheme: str,
    quiet: bool = False,
) -> dict[str, Any]:
    """Train and measure ``recipe`` once per fold and seed; returns the results document with ``runs``.

    Each run lives in ``out/<fold>/seed<n>`` and is resumed or reused, so a killed one goes on where it was.
    """
    runs, scored = [], []
    checkpoint = None
    for number, fold in enumerate(folds):
        corpus = fold.manifest
        for seed in seeds:
            folder = out / fold.name / f"seed{seed}"
            title = f"fold {number + 1}/{len(folds)} ({fold.name}) seed {seed}"
            checkpoint = train_run(
                corpus, recipe, folder, seed=seed, split={"scheme": scheme, "fold": fold.name}, title=title, quiet=quiet
            )
            scores = score_corpus(checkpoint, corpus.only("test"))
            own = results_of(
                [scores],
                split={"name": "test", "scheme": scheme, "detail": f"held out: {fold.name}"},
                checkpoint=checkpoint,
                manifest=corpus,
                seed=seed,
            )
            write_json(folder / "evaluation.json", own)
            seconds = json.loads((folder / "run.json").read_text(encoding="utf-8"))["seconds"]
            runs.append(
                {
                    "name": f"{fold.name} seed {seed}",
                    "held_out": fold.name,
                    "seed": seed,
                    "n_clips": len(scores.records),
                    "top1": own["metrics"]["top1"]["value"],
                    "macro_f1": own["metrics"]["macro_f1"]["value"],
                    "seconds": seconds,
                }
            )
            scored.append(scores)
    assert checkpoint is not None
    scored = _common_labels(scored)
    detail = f"{len(folds)} folds, {len(seeds)} seeds; every clip is measured by models that never saw its fold"
    results = results_of(
        scored,
        split={"name": "test", "scheme": scheme, "detail": detail},
        checkpoint=replace(checkpoint, labels=scored[0].labels),
        manifest=manifest,
        title=f"{recipe.name} on {describe_corpus(manifest)['name']}: {scheme}",
    )
    results["runs"] = runs
    results["cross_validation"] = metrics.aggregate_runs(runs)
    # Clips stand once per seed in the pooled figures; the list of clips keeps the first seed's.
    results["clips"] = list({clip["id"]: clip for clip in reversed(results["clips"])}.values())[::-1]
    return results


def _common_labels(scored: Sequence[Scores]) -> list[Scores]:
    """The same scores over the union of labels: a fold may lack a rare one in training."""
    labels = tuple(sorted({label for s in scored for label in s.labels}))
    aligned = []
    for s in scored:
        logits = np.full((len(s.logits_NK), len(labels)), s.logits_NK.min() - 50.0, np.float32)
        logits[:, [labels.index(label) for label in s.labels]] = s.logits_NK
        aligned.append(Scores(s.records, labels, logits))
    return aligned


# --- use --------------------------------------------------------------------------------------------------------


def predict_files(
    checkpoint: Checkpoint,
    paths: Sequence[Path],
    cache: Path,
    *,
    workers: int | None = None,
    timeout_s: float = 600.0,
    quiet: bool = False,
) -> tuple[Scores | None, list[Outcome]]:
    """Prepare raw files exactly as the model's training corpus was, and score them.

    ``cache`` receives the prepared streams; the same file is not prepared twice. Returns the scores (None when every
    file failed) and the outcome of each file.
    """
    manifest = manifest_of_files(paths)
    preparation = preparation_of(checkpoint)
    try:
        prepared, outcomes = prepare_corpus(
            manifest, cache, preparation, workers=workers, timeout_s=timeout_s, quiet=quiet
        )
    except InputError:
        outcomes = [Outcome(row["id"], reason=row["reason"], message=row["message"]) for row in read_failures(cache)]
        if not outcomes:
            raise
        return None, outcomes
    for record in prepared:
        if "video" not in record.streams:
            _check_imported(checkpoint, prepared, record)
    streams = {**prepared.meta["streams"]}
    if not any("video" in r.streams for r in prepared):
        streams["pose"] = checkpoint.streams["pose"]
    return score_corpus(checkpoint, replace(prepared, meta={**prepared.meta, "streams": streams})), outcomes


def preparation_of(checkpoint: Checkpoint) -> Preparation:
    """How to make the streams that ``checkpoint`` was trained on. Raises CheckpointError when this machine cannot."""
    wanted = dict(checkpoint.streams["pose"])
    if wanted.get("extractor") == "imported":
        return Preparation()  # only .pose files will do; checked per file
    settings = {k: wanted[k] for k in ("face", "least_detection", "least_tracking") if k in wanted}
    try:
        estimator = HolisticPose(**settings)
        differences = same_estimator(wanted, estimator.fingerprint())
    except SignloomError as error:
        raise CheckpointError(f"cannot make the poses this model was trained on: {error}") from error
    if differences:
        raise CheckpointError(
            f"the model was trained on poses of another estimator than the one installed: {'; '.join(differences)}. "
            "Install the MediaPipe it was trained with (mediapipe==0.10.21), or train again on poses made here"
        )
    return Preparation(estimator=estimator)


def _check_imported(checkpoint: Checkpoint, prepared: Manifest, record: Record) -> None:
    """A lone ``.pose`` file has no record of its estimator; the points it holds must at least be the same."""
    pose = files.read_pose(record.path("pose", prepared.root, "predict"))
    got = imported_fingerprint(pose)["components"]
    wanted = checkpoint.streams["pose"].get("components")
    if wanted is None:
        face = 468 if checkpoint.streams["pose"].get("face") == "mesh" else 128
        wanted = {
            "POSE_LANDMARKS": 33,
            "FACE_LANDMARKS": face,
            "LEFT_HAND_LANDMARKS": 21,
            "RIGHT_HAND_LANDMARKS": 21,
        }
    if got != wanted:
        raise CheckpointError(f"clip '{record.id}': its pose has points {got}, the model was trained on {wanted}")


def collect_files(arguments: Sequence[str]) -> list[Path]:
    """The files that ``predict`` was asked for: files as they are, folders searched for clips, globs expanded.

    Raises InputError naming the argument that matches nothing.
    """
    import glob

    from signloom.sources.listing import MEDIA_SUFFIXES

    suffixes = {*MEDIA_SUFFIXES, ".pose"}
    found: list[Path] = []
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            some = sorted(p for p in path.rglob("*") if p.suffix.lower() in suffixes and not p.name.startswith("."))
        elif path.exists() or path.is_symlink():
            some = [path]
        else:
            some = sorted(Path(p) for p in glob.glob(argument, recursive=True))
        if not some:
            raise InputError(f"'{argument}': no such file, no clip in that folder, or nothing matches that pattern")
        found += some
    return list(dict.fromkeys(found))
