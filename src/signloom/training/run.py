"""A whole training run, of any task: from a divided corpus to a checkpoint in a run folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from signloom.data.corpus import Corpus
from signloom.data.seen import LEARNT, Seen, corpus_clips, overlap_of
from signloom.errors import CheckpointError, InputError, LeakError
from signloom.media import content_hash
from signloom.runtime.atomic import read_json, remove_unfinished, write_json
from signloom.runtime.hashing import fingerprint_hash
from signloom.runtime.locks import folder_lock
from signloom.training.checkpoint import (
    Checkpoint,
    load_checkpoint,
    read_config,
    save_checkpoint,
    seen_by,
    weights_file,
)
from signloom.training.task import Given, Task
from signloom.training.trainer import STATE_FILE, FitResult, Trainer

RUN_FILE = "run.json"


def train_run(
    corpus: Corpus,
    task: Task,
    out: Path,
    *,
    seed: int = 0,
    split: Mapping[str, Any] | None = None,
    title: str = "train",
    quiet: bool = False,
    preview_every: int | None = None,
) -> Checkpoint:
    """Train ``task`` on the train split of ``corpus`` and write the checkpoint that validates best into ``out``.

    Only clips of the splits train and val are opened. ``split`` describes how they were chosen (kept in the
    checkpoint). A finished run is loaded again instead of repeated; a killed one goes on where it was. Raises
    InputError where ``out`` holds another run, or is being written by another process.
    """
    task.check()
    for option, folder in task.given.runs():
        if not weights_file(folder).is_file():
            raise CheckpointError(
                f"--{option} '{folder}' holds no checkpoint; give a run folder that `signloom train` finished"
            )
    streams = task.streams(corpus)
    for stream in streams:
        corpus.fingerprint(stream)  # the error for a stream that was never prepared comes before anything else
    run_hash = _run_hash(corpus, task, seed)
    first = int(os.environ.get("RANK", "0")) == 0
    with folder_lock(out) if first else nullcontext():
        if is_finished(out, run_hash, clean=first):
            return load_checkpoint(out / "checkpoint")
        import torch

        data = task.data(corpus)
        seen = learnt_from(corpus, task.given)
        torch.manual_seed(seed)
        modules = task.build(data)
        about = {
            "recipe": {**task.recipe.as_dict(), "seed": seed},
            "corpus": corpus.about(),
            "split": {
                **(split or {"scheme": "given"}),
                "train": len(corpus.clips("train")),
                "val": data.n_val,
                "hash": corpus.split_hash,
            },
            "streams": {s: dict(corpus.fingerprint(s)) for s in streams},
        }

        def kept(weights: Mapping[str, Any], metrics: Mapping[str, Any]) -> Checkpoint:
            return replace(task.checkpoint(weights, data, metrics, about), seen=seen)

        def on_best(weights: Mapping[str, Any], metrics: Mapping[str, Any]) -> None:
            save_checkpoint(kept(weights, metrics), out / "checkpoint")

        def on_preview(weights: Mapping[str, Any], metrics: Mapping[str, Any]) -> None:
            task.preview(kept(weights, metrics), data, out)

        trainer = Trainer(
            task,
            modules,
            data,
            out,
            seed=seed,
            run_hash=run_hash,
            title=title,
            quiet=quiet,
            on_best=on_best,
            on_preview=on_preview,
            preview_every=preview_every,
        )
        result = trainer.fit()
        best = task.finish(kept(result.best, result.metrics), data)
        if first:
            task.preview(best, data, out)  # before run.json, which says that all is whole
            _finish(best, result, out, run_hash, seed)
        return best


def learnt_from(corpus: Corpus, given: Given) -> Seen:
    """The clips that a run on ``corpus`` learns from: its own, and those of the runs that it starts from.

    Raises LeakError where one of these has learnt from clips that are to be tested.
    """
    manifest = getattr(corpus, "manifest", None)
    clips = corpus_clips(corpus)
    seen = Seen(tuple(c for c in clips if c.split in LEARNT))
    tested = [c for c in clips if c.split == "test"]
    for option, folder in given.runs():
        other = seen_by(load_checkpoint(folder), manifest)
        if other is None:
            seen += Seen((), (f"the clips that the run of --{option} learnt from",))
            continue
        names = [clip.id for clip in tested] if manifest is None else [r.id for r in manifest if r.split == "test"]
        found = overlap_of(other, names, [None] * len(names), tested)
        if learnt := found.trained | found.validated | found.derived:
            example = "" if manifest is None else f", e.g. '{min(learnt)}'"
            raise LeakError(
                f"--{option} '{folder}' has learnt from {len(learnt)} clips that this run is to be tested on{example}. "
                "Give --split a file in which they are no test clips"
            )
        seen += other
    if given.weights is not None:
        seen += Seen((), (f"the clips that the weights of '{given.weights.name}' learnt from",))
    return seen


def _run_hash(corpus: Corpus, task: Task, seed: int) -> str:
    """Identifies a run: recipe, clips, split, seed, and what it starts from."""
    given = task.given
    for _, folder in given.runs():
        read_config(folder)  # the error for a folder without a checkpoint
    begun = [weights_file(folder) for _, folder in given.runs()]
    if given.weights is not None:
        begun.append(given.weights)
    started_from = [content_hash(file) for file in begun if not file.is_dir()]
    return fingerprint_hash(task.recipe.as_dict(), corpus.identity(), corpus.split_hash, seed, *started_from)


def _finish(best: Checkpoint, result: FitResult, out: Path, run_hash: str, seed: int) -> None:
    save_checkpoint(best, out / "checkpoint")
    write_json(out / "history.json", result.history)
    spent = {"seconds": round(result.seconds, 2), "skipped_steps": result.skipped}
    write_json(out / RUN_FILE, {"run_hash": run_hash, "seed": seed, **spent, **result.metrics, "steps": result.steps})
    (out / STATE_FILE).unlink(missing_ok=True)


def is_finished(out: Path, run_hash: str, *, clean: bool = True) -> bool:
    """Whether the run folder ``out`` holds this run, finished; else what a killed one left half-written is removed.

    Raises InputError where it holds another finished run.
    """
    if (out / RUN_FILE).exists():
        if read_json(out / RUN_FILE).get("run_hash") == run_hash:
            return True
        raise InputError(
            f"'{out}' holds a finished run with another recipe, corpus, split, seed or version of signloom; choose "
            "another --out"
        )
    if clean:
        remove_unfinished(out)
    return False


__all__ = ["RUN_FILE", "Given", "is_finished", "train_run"]
