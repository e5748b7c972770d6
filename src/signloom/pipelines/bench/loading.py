"""Waiting for batches while training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from signloom.pipelines.bench.measure import Bench, Measure, Measured, Rounds, corpus_of, rounds, run_signloom, timed


def measure_loading(bench: Bench) -> Measured:
    corpus = bench.scratch / "frames-for-loading"
    run_signloom("prepare", corpus_of(bench, "corpus"), "--streams", "frames", "--json", "--out", corpus)
    return measure_waiting(corpus, rounds, 2 if bench.quick else 20), []


def measure_waiting(corpus: Path, rounds: Rounds, steps: int) -> list[Measure]:
    """How long a training step of recipe rgb waits for its batch, clips read from disk anew each time."""
    import numpy as np
    import torch

    from signloom.data.corpus import clips_of
    from signloom.data.manifest import Manifest, read_manifest
    from signloom.pipelines.bench.training_step import TrainingStep
    from signloom.tasks.recognise.data import Clips, RecogniseData, reader_for
    from signloom.tasks.recognise.recipes import rgb
    from signloom.tasks.recognise.task import untrained
    from signloom.training.prefetch import Prefetch, prefetched

    recipe, labels = rgb(), tuple("abcdefghij")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    manifest = read_manifest(corpus)
    wanted = np.resize(np.arange(len(manifest)), max(len(manifest), recipe.schedule.batch_size))
    records = [replace(manifest.records[n], id=f"clip{k}", label=labels[k % 10]) for k, n in enumerate(wanted)]
    clips = clips_of(Manifest(tuple(records), manifest.root, manifest.meta))
    seen = Clips(clips, recipe.inputs, recipe.streams, reader_for({"frames": manifest.fingerprint("frames")}), labels)
    data = RecogniseData(seen, None, labels, recipe.augment, recipe.schedule.batch_size)
    step = TrainingStep(recipe, untrained(recipe, len(labels)).to(device))
    waited, worked = [], []
    made = prefetched(lambda number: data.batch(0, number)[0], range(steps + 2), Prefetch(2))
    for number in rounds("wait for batches", steps + 2):
        seconds, (_, batch) = timed(next, made)
        busy = timed(step, batch.to(device))[0]
        if number > 1:
            waited.append(1000 * seconds)
            worked.append(1000 * busy)
    return [
        Measure("loading", f"waiting for a batch of {recipe.schedule.batch_size} clips", "ms a step", tuple(waited)),
        Measure("loading", "training on it meanwhile", "ms a step", tuple(worked)),
    ]
