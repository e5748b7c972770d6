"""Teaching a trained recogniser a sign from raw files or a corpus: a new model folder, and the old one as it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from signloom.data.consent import for_use
from signloom.data.corpus import clips_of
from signloom.data.leaks import root_parents
from signloom.data.manifest import FILE_NAME, Manifest, manifest_of_files, read_manifest
from signloom.data.splits import read_split, write_split
from signloom.errors import InputError
from signloom.media.limits import SENSOR_SUFFIXES
from signloom.pipelines.predict import as_trained, preparation_of, tables_of
from signloom.pipelines.prepare import prepare_corpus
from signloom.runtime.locks import locking_out
from signloom.runtime.workers import Outcome
from signloom.sources.listing import collect_files
from signloom.tasks import load_predictor
from signloom.tasks.recognise.predict import Recogniser
from signloom.tasks.recognise.teach import forgotten, taught
from signloom.training.checkpoint import Checkpoint, run_folder, save_checkpoint
from signloom.training.task import Prediction


@dataclass(frozen=True)
class Taught:
    """What came of teaching: of each clip what the model said ``before`` and says ``after``, and the clips that could
    not be read."""

    checkpoint: Checkpoint
    clips: tuple[str, ...]
    before: tuple[Prediction, ...]
    after: tuple[Prediction, ...]
    failed: tuple[Outcome, ...] = ()


@locking_out
def teach_files(
    model: Path, clips: Sequence[str], label: str, out: Path, cache: Path, *, signer: str | None = None, **pool: Any
) -> Taught:
    """Write to ``out`` the recogniser of ``model`` that knows ``label`` as well, from raw files or a corpus folder.

    Of a corpus, the clips with that label are taken, and none that was made of another of them. ``signer`` is who
    signs in raw files, where that is known. ``cache`` receives their prepared streams; ``pool`` goes to
    :func:`prepare_corpus`. Raises InputError where ``out`` holds something already, or no clip can be read,
    CheckpointError for streams that were made otherwise than in training, and as
    :func:`signloom.tasks.recognise.teach.taught`.
    """
    _refuse_occupied(out, model)
    recogniser = _recogniser(model)
    manifest, failed = _clips(recogniser, clips, label, cache, signer, pool)
    there = clips_of(manifest, "teach")
    before = tuple(recogniser(clip) for clip in there)
    checkpoint = taught(recogniser, label, there, manifest)
    _save(checkpoint, model, out)
    wiser = Recogniser(checkpoint)
    return Taught(checkpoint, tuple(c.id for c in there), before, tuple(wiser(clip) for clip in there), failed)


@locking_out
def forget(model: Path, label: str, out: Path) -> Checkpoint:
    """Write to ``out`` the recogniser of ``model`` without the sign ``label``, which it was taught."""
    _refuse_occupied(out, model)
    checkpoint = forgotten(_recogniser(model), label)
    _save(checkpoint, model, out)
    return checkpoint


def _recogniser(model: Path) -> Any:
    predictor = load_predictor(model)
    if not hasattr(predictor, "labels"):
        raise InputError(f"'{model}' names no signs, and so is taught none; give a run of a recogniser")
    return predictor


def _refuse_occupied(out: Path, model: Path) -> None:
    if out.resolve() in (model.resolve(), run_folder(model).resolve()):
        raise InputError(f"--out '{out}' is the model itself; inputs are never changed, so choose another folder")
    if any(name != ".lock" for name in (p.name for p in out.iterdir())):
        raise InputError(f"--out '{out}' holds something already; choose a new folder")


def _clips(
    recogniser: Any, clips: Sequence[str], label: str, cache: Path, signer: str | None, pool: dict[str, Any]
) -> tuple[Manifest, tuple[Outcome, ...]]:
    """The clips to learn from, prepared, and the files that could not be read."""
    checkpoint = getattr(recogniser, "checkpoint", None)
    if checkpoint is None:
        raise InputError("a fusion is taught by its members: teach each of them, then give them to evaluate --fuse")
    corpora = [Path(clip) for clip in clips if (Path(clip) / FILE_NAME).exists()]
    if corpora:
        if len(clips) > 1:
            raise InputError(f"'{corpora[0]}' is a corpus; give it alone, or video files")
        corpus = read_manifest(corpora[0])
        for stream in checkpoint.streams:
            checkpoint.check_stream(stream, corpus.fingerprint(stream), str(corpus.root))
        if not (chosen := corpus.where(lambda r: r.label == label)).records:
            raise InputError(f"corpus '{corpora[0]}' has no clip of '{label}'; it has {', '.join(corpus.labels)}")
        if not (allowed := for_use(chosen, "training")).records:
            raise InputError(f"corpus '{corpora[0]}': nobody who signs '{label}' lets models learn from it")
        return _one_of_each(allowed, corpus), ()
    paths = collect_files(clips, SENSOR_SUFFIXES if "imu" in recogniser.needs else frozenset({".mat"}))
    files = manifest_of_files(paths, tables_of(recogniser))
    prepared, outcomes = prepare_corpus(files, cache, preparation_of(checkpoint), **pool)
    manifest = as_trained(checkpoint, prepared)
    named = tuple(replace(record, label=label, signer=signer) for record in manifest)
    return replace(manifest, records=named), tuple(outcome for outcome in outcomes if not outcome.ok)


def _one_of_each(chosen: Manifest, corpus: Manifest) -> Manifest:
    """``chosen`` without clips that were made of another one among them, or of the same: they show it no second time,
    and a sign is believed by how many clips of it there are."""
    root = root_parents(corpus)
    kept: dict[str, str] = {}
    for record in sorted(chosen, key=lambda r: r.parent is not None):
        kept.setdefault(root[record.id], record.id)
    ids = set(kept.values())
    return chosen.where(lambda r: r.id in ids)


def _save(checkpoint: Checkpoint, model: Path, out: Path) -> None:
    split = run_folder(model) / "split.json"
    if split.exists():
        write_split(read_split(split), out / "split.json")
    save_checkpoint(checkpoint, out)
