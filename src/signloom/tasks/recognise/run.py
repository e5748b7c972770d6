"""Recognising isolated signs: whole runs of training, evaluation, cross-validation and use."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import signloom
from signloom import media
from signloom.data.batch import PoseSet
from signloom.data.leaks import refuse_leaks
from signloom.data.manifest import Manifest, Record
from signloom.data.shards import Shards
from signloom.data.skeleton import PARENT, PARTS, joints_of
from signloom.data.splits import SCHEMES, Fold, Split, apply_split, assign_split, read_split, split_of, write_split
from signloom.errors import CheckpointError, InputError, LeakError, MissingExtraError, SignloomError
from signloom.media.flow_files import read_flow_codes
from signloom.metrics import classification as metrics
from signloom.models import build
from signloom.pipelines.prepare import (
    Preparation,
    imported_fingerprint,
    manifest_of_files,
    prepare_corpus,
    read_failures,
)
from signloom.runtime.atomic import write_json
from signloom.runtime.hashing import fingerprint_hash
from signloom.runtime.progress import Progress
from signloom.runtime.workers import Outcome
from signloom.streams.flow import Flow
from signloom.streams.pose import HolisticPose, same_estimator
from signloom.tasks.recognise.classify import ClassifyPoses, score_poses
from signloom.tasks.recognise.classify_video import ClassifyAndLocate, ClassifyVideos, DistilFlow, score_videos
from signloom.tasks.recognise.recipe import Recipe
from signloom.tasks.recognise.shard_set import shard_set
from signloom.tasks.recognise.video_set import Memory, VideoSet, default_memory
from signloom.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint, weights_file
from signloom.training.fit import fit
from signloom.transforms.hand_crops import LOCATED, located
from signloom.transforms.pose_input import PoseInput
from signloom.transforms.video_input import VideoInput

# --- reading ----------------------------------------------------------------------------------------------------


def load_inputs(
    manifest: Manifest,
    inputs: PoseInput | VideoInput,
    streams: Sequence[str],
    labels: Sequence[str] | None,
    *,
    needed_by: str,
    memory: Memory | None = None,
) -> PoseSet | VideoSet:
    """The clips of ``manifest`` as a model sees them; with ``labels``, each clip's label as its index there."""
    index = {label: k for k, label in enumerate(labels or ())}
    label = np.array([index[_label(r)] for r in manifest], np.int64) if labels is not None else None
    ids = tuple(r.id for r in manifest)
    if isinstance(inputs, PoseInput):
        return PoseSet(ids, *_read_poses(manifest, inputs, needed_by), label)
    paths = {s: [r.path(s, manifest.root, needed_by) for r in manifest] for s in streams}
    lengths = [r.n_frames for r in manifest]
    if unknown := [r.id for r in manifest if not r.n_frames]:
        raise InputError(f"clip '{unknown[0]}' has no n_frames in the manifest; prepare the corpus again")
    limit = manifest.fingerprint("flow").get("limit_px", 20.0) if "flow" in streams else 20.0
    return VideoSet(ids, paths, lengths, inputs, label, _read_rows, limit, memory or default_memory())


def _read_rows(stream: str, path: Path | media.HeldFile, rows: np.ndarray | None) -> np.ndarray:
    if stream == "flow":
        return read_flow_codes(path, rows)
    if stream == "frames":
        return media.read_frames(path, rows)
    pose = media.read_pose(path)
    seen = located(joints_of(pose), pose.header.dimensions.width, pose.header.dimensions.height)
    return seen if rows is None else seen[rows]


def _read_poses(manifest: Manifest, inputs: PoseInput, needed_by: str) -> tuple[np.ndarray, np.ndarray]:
    xy = np.zeros((len(manifest), inputs.n_frames, sum(s.stop - s.start for s in PARTS.values()), 2), np.float32)
    present = np.zeros(xy.shape[:3], bool)
    with Progress("read poses", len(manifest), quiet=len(manifest) < 2000) as progress:
        for row, record in enumerate(manifest):
            pose = media.read_pose(record.path("pose", manifest.root, needed_by))
            xy[row], present[row] = inputs(pose)
            progress.step()
    return xy, present


def score_inputs(model: Any, clips: PoseSet | VideoSet, stream: str) -> np.ndarray:
    """What ``model`` says of ``clips``: the log of the mean probability over its views of each, (N, K) float32."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model.to(device)
    if isinstance(clips, PoseSet):
        return score_poses(model, clips, device=device)
    return score_videos(model, clips, stream, device=device)


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


@dataclass(frozen=True)
class Lessons:
    """What a run learns from: the clips of the splits train and val, be they single files or in shards.

    ``read(split, streams)`` gives the clips as the recipe's model sees them; ``identity`` changes with which clips they
    are, what they hold and, for shards, how they are grouped.
    """

    labels: tuple[str, ...]
    n_train: int
    identity: str
    split_hash: str
    about: Mapping[str, Any]
    read: Callable[[str, Sequence[str]], PoseSet | VideoSet]


def lessons_of(corpus: Manifest | Shards, recipe: Recipe) -> Lessons:
    """What ``recipe`` is to learn from. Raises LeakError when the split lets it see what it will be tested on."""
    memory = None if isinstance(recipe.inputs, PoseInput) else default_memory()
    if isinstance(corpus, Shards):  # leaks were refused when they were made

        def from_shards(split: str, streams: Sequence[str]) -> PoseSet | VideoSet:
            val = split == "val"
            return shard_set(
                corpus, split, recipe.inputs, streams, corpus.labels, _read_rows, memory=memory, at_once=val
            )

        about = {**corpus.corpus, "root": str(corpus.root.resolve()), "streams": dict(corpus.streams)}
        n_train = corpus.n_clips("train")
        return Lessons(corpus.labels, n_train, corpus.identity(), corpus.split_hash, about, from_shards)
    refuse_leaks(corpus)
    train = corpus.only("train")
    labels = train.labels
    unlabelled = sum(r.label is None for r in train)
    if unlabelled and len(labels) > 1:
        raise InputError(f"{unlabelled} training clips of '{corpus.root}' have no label, e.g. '{train.records[0].id}'")
    validation = corpus.where(lambda r: r.split == "val" and r.label in set(labels))

    def from_files(split: str, streams: Sequence[str]) -> PoseSet | VideoSet:
        clips = {"train": train, "val": validation}[split]
        return load_inputs(clips, recipe.inputs, streams, labels, needed_by=f"recipe '{recipe.name}'", memory=memory)

    about = describe_corpus(corpus)
    return Lessons(labels, len(train), corpus.corpus_hash(), split_hash_of(corpus), about, from_files)


def train_run(
    corpus: Manifest | Shards,
    recipe: Recipe,
    out: Path,
    *,
    seed: int = 0,
    split: Mapping[str, Any] | None = None,
    title: str = "train",
    quiet: bool = False,
    weights: Path | None = None,
    teacher: Path | None = None,
) -> Checkpoint:
    """Train ``recipe`` on the train split of ``corpus`` and write the checkpoint that validates best into ``out``.

    Only clips of the splits train and val are opened. ``split`` describes how they were chosen (kept in the
    checkpoint). A finished run is loaded again instead of repeated; a killed one goes on where it was.
    ``weights`` is a file of a reference network to start from, ``teacher`` the run whose flow network a recipe that
    distils learns from.
    """
    for stream in (*recipe.streams, *recipe.lesson_streams):
        corpus.fingerprint(stream)  # the error for a stream that was never prepared comes before anything else
    if teacher is not None and recipe.task != "distil-flow":
        raise InputError(f"--teacher: recipe '{recipe.name}' learns from no other network (mars does); leave it out")
    lessons = lessons_of(corpus, recipe)
    labels = lessons.labels
    if len(labels) < 2:
        raise InputError(f"training needs at least two labels; the train split of '{corpus.root}' has {list(labels)}")
    started_from = [media.content_hash(f) for f in (weights, teacher and weights_file(teacher)) if f is not None]
    run_hash = fingerprint_hash(recipe.as_dict(), lessons.identity, lessons.split_hash, seed, *started_from)
    folder, finished = out / "checkpoint", out / RUN_FILE
    if is_finished(out, run_hash):
        return load_checkpoint(folder)
    import torch

    torch.manual_seed(seed)
    model = _untrained(recipe, len(labels))
    if weights is not None:
        from signloom.training.reference import load_reference

        load_reference(model, weights, head="drop")
    task = _task(corpus, recipe, lessons, teacher)
    n_val = len(task.validation or ())
    of_split = {"train": lessons.n_train, "val": n_val, "hash": lessons.split_hash}
    kept: dict[str, Any] = {
        "recipe": {**recipe.as_dict(), "seed": seed},
        "corpus": lessons.about,
        "split": {**(split or {"scheme": "given"}), **of_split},
    }

    def checkpoint(weights: Mapping[str, Any], scores: Mapping[str, Any], temperature: float = 1.0) -> Checkpoint:
        final = _untrained(recipe, len(labels))
        final.load_state_dict(weights)
        streams = {s: corpus.fingerprint(s) for s in recipe.streams}
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
    if n_val:
        assert task.validation is not None
        assert task.validation.label_N is not None
        logits = score_inputs(best.model, task.validation, recipe.streams[0])
        best = replace(best, temperature=float(metrics.fit_temperature(logits, task.validation.label_N)))
    save_checkpoint(best, folder)
    write_json(out / "history.json", result.history)
    write_json(finished, {"run_hash": run_hash, "seed": seed, "seconds": round(result.seconds, 2), **result.metrics})
    (out / "state.pt").unlink(missing_ok=True)
    return best


RUN_FILE = "run.json"


def is_finished(out: Path, run_hash: str) -> bool:
    """Whether the run folder ``out`` holds this run, finished; else what a killed one left half-written is removed.

    Raises InputError where it holds another finished run.
    """
    if (out / RUN_FILE).exists():
        if json.loads((out / RUN_FILE).read_text(encoding="utf-8"))["run_hash"] == run_hash:
            return True
        raise InputError(
            f"'{out}' holds a finished run with another recipe, corpus, split or seed; choose another --out"
        )
    for left_over in out.rglob(".tmp-*"):
        left_over.unlink(missing_ok=True)
    return False


def _task(corpus: Manifest | Shards, recipe: Recipe, lessons: Lessons, teacher: Path | None):
    """What :func:`fit` is to train on, reading only clips of the splits train and val."""
    labels = lessons.labels
    train_clips = lessons.read("train", (*recipe.streams, *recipe.lesson_streams))
    val_clips = lessons.read("val", recipe.streams)
    smoothing = recipe.schedule.label_smoothing
    if recipe.task not in TASKS:
        raise InputError(f"recipe '{recipe.name}' has task '{recipe.task}', expected one of {', '.join(TASKS)}")
    if isinstance(train_clips, PoseSet):
        return ClassifyPoses(train_clips, len(labels), val_clips, recipe.augment, smoothing)
    common = (train_clips, len(labels), val_clips, recipe.augment, recipe.streams[0], smoothing)
    if recipe.task == "distil-flow":
        if teacher is None:
            raise InputError(
                f"recipe '{recipe.name}' learns from a flow network: train one with --recipe flow on the same split "
                "and give its run folder as --teacher"
            )
        known = _teacher(teacher, corpus, recipe, lessons)
        train_clips.flow_inputs = known.inputs  # each network sees its own size of picture, the same frames of a clip
        return DistilFlow(*common, teacher=known.model, weight=recipe.lesson_weight)
    if recipe.task == "classify-and-locate":
        return ClassifyAndLocate(*common, weight=recipe.lesson_weight)
    return ClassifyVideos(*common, frame_share=0.5 if recipe.task == "classify-frames" else 0.0)


TASKS = ("classify", "classify-frames", "classify-and-locate", "distil-flow")


def _teacher(folder: Path, corpus: Manifest | Shards, recipe: Recipe, lessons: Lessons) -> Checkpoint:
    """The flow network of a run. It must not have learnt from clips that this run is not to know."""
    known = load_checkpoint(folder)
    if tuple(known.streams) != ("flow",):
        raise InputError(f"--teacher '{folder}' reads {', '.join(known.streams)}; expected a network that reads flow")
    known.check_stream("flow", corpus.fingerprint("flow"), str(corpus.root))
    for name in ("n_frames", "sampling", "handedness"):
        got, wanted = getattr(known.inputs, name), getattr(recipe.inputs, name)
        if got != wanted:
            raise InputError(
                f"--teacher '{folder}' was trained with inputs.{name} {got!r}, recipe '{recipe.name}' has {wanted!r}; "
                "both must see the same frames of a clip. Give one of them the other's value with --set"
            )
    own = lessons.split_hash
    if known.split.get("hash") != own:
        raise LeakError(
            f"--teacher '{folder}' was trained on another split (hash {known.split.get('hash')}, this run's is {own}): "
            "it may know this run's test clips. Train it on the same split"
        )
    return known


def split_hash_of(manifest: Manifest) -> str:
    """Identifies which clips train and which validate."""
    return fingerprint_hash(sorted((r.id, r.split) for r in manifest if r.split in ("train", "val")))


def model_config(recipe: Recipe, n_classes: int) -> dict[str, Any]:
    """The config fields of ``recipe``'s model for ``n_classes`` glosses."""
    if isinstance(recipe.inputs, VideoInput):
        more: dict[str, Any] = {"joints": len(LOCATED)} if recipe.task == "classify-and-locate" else {}
        if recipe.inputs.hands_px:
            more["regions"] = recipe.inputs.regions
        if recipe.architecture == "video_transformer":  # it takes clips of one length and size
            more |= {"size_px": recipe.inputs.size_px, "n_frames": recipe.inputs.n_frames}
        return {"n_classes": n_classes, "channels": 2 if recipe.streams == ("flow",) else 3, **more, **recipe.model}
    parts = {name: (where.start, where.stop) for name, where in PARTS.items()}
    return {
        "n_classes": n_classes,
        "parents": tuple(int(p) for p in PARENT),
        **parts,
        "n_frames": recipe.inputs.n_frames,
        **recipe.model,
    }


def _untrained(recipe: Recipe, n_classes: int) -> Any:
    """``recipe``'s model before training. Raises InputError for settings that it does not know."""
    try:
        return build(recipe.architecture, model_config(recipe, n_classes))
    except ImportError as error:
        raise MissingExtraError(f"recipe '{recipe.name}': {error}") from error
    except (TypeError, ValueError) as error:  # what a config says of fields and values that it does not know
        raise InputError(
            f"recipe '{recipe.name}': a '{recipe.architecture}' cannot be built with {dict(recipe.model)}: {error}"
        ) from error


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
    streams = tuple(checkpoint.streams)
    clips = load_inputs(manifest, checkpoint.inputs, streams, None, needed_by="the checkpoint", memory=Memory(0))
    logits = score_inputs(checkpoint.model, clips, streams[0])
    return Scores(manifest.records, checkpoint.labels, logits / checkpoint.temperature)


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
    weights: Path | None = None,
    teacher: Path | None = None,
) -> dict[str, Any]:
    """Train and measure ``recipe`` once per fold and seed; returns the results document with ``runs``.

    ``weights`` is a file of a reference network that every run starts from; ``teacher`` the folder of such a
    cross-validation of a flow recipe, for a recipe that learns from flow networks.

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
                corpus,
                recipe,
                folder,
                seed=seed,
                split={"scheme": scheme, "fold": fold.name},
                title=title,
                quiet=quiet,
                weights=weights,
                teacher=teacher and teacher / fold.name / f"seed{seed}",
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
            write_split(split_of(corpus), folder / "split.json")
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
    streams = {**prepared.meta["streams"]}
    if "pose" in checkpoint.streams:
        for record in prepared:
            if "video" not in record.streams:
                _check_imported(checkpoint, prepared, record)
        if not any("video" in r.streams for r in prepared):
            streams["pose"] = checkpoint.streams["pose"]
    return score_corpus(checkpoint, replace(prepared, meta={**prepared.meta, "streams": streams})), outcomes


def preparation_of(checkpoint: Checkpoint) -> Preparation:
    """How to make the streams that ``checkpoint`` was trained on. Raises CheckpointError when this machine cannot."""
    try:
        preparation = _same_preparation(checkpoint.streams)
        made = preparation.fingerprints()
    except SignloomError as error:
        raise CheckpointError(f"cannot make the streams this model was trained on: {error}") from error
    for stream, wanted in checkpoint.streams.items():
        if wanted.get("extractor") == "imported":
            continue  # only .pose files will do; checked per file
        differences = same_estimator(wanted, made[stream])
        if differences:
            raise CheckpointError(
                f"the model was trained on another '{stream}' than this installation makes: {'; '.join(differences)}. "
                "Install what it was trained with (for poses mediapipe==0.10.21), or train again on a corpus made here"
            )
    return preparation


def _same_preparation(streams: Mapping[str, Mapping[str, Any]]) -> Preparation:
    """The preparation whose fingerprints are ``streams``, as far as this installation can make them."""
    names = tuple(streams)
    settings: dict[str, Any] = {}
    if "pose" in streams and streams["pose"].get("extractor") != "imported":
        settings["estimator"] = HolisticPose(**_chosen(streams["pose"], "face", "least_detection", "least_tracking"))
    if "flow" in streams:
        settings["flow"] = Flow(**_chosen(streams["flow"], "method", "preset", "limit_px", "units"))
        if settings["flow"].units == "body":
            names = tuple(dict.fromkeys(("pose", *names)))
    for stream in ("frames", "flow"):
        settings |= _chosen(streams.get(stream, {}), "shorter_px", "crf", "keyframe_every")
    return Preparation(streams=names, **settings)


def _chosen(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: values[name] for name in names if name in values}


def _check_imported(checkpoint: Checkpoint, prepared: Manifest, record: Record) -> None:
    """A lone ``.pose`` file has no record of its estimator; the points it holds must at least be the same."""
    pose = media.read_pose(record.path("pose", prepared.root, "predict"))
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
