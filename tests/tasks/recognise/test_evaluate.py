"""From scores to results: models that know different labels, clips that were answered several times, many of both."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from signloom.data.manifest import Manifest, Record
from signloom.tasks.recognise.evaluate import Scores, one_table, results_of

CHECKPOINT = SimpleNamespace(
    recipe={"name": "toy"}, architecture="toy", streams={}, config=lambda: {"architecture": "toy"}
)


def measured(scored, records):
    split = {"name": "test", "scheme": "k-fold"}
    manifest = Manifest(tuple(records), Path("nowhere"), {"name": "toy"})
    return results_of(scored, split=split, checkpoint=CHECKPOINT, manifest=manifest)


def test_a_label_that_one_fold_lacks_is_missed_there_and_known_elsewhere():
    """Fold one's model never met "rare": its clip of it is missed and has no likelihood. Fold two's recognises it."""
    one, two = Record("one", "rare", "s1"), Record("two", "rare", "s2")
    scored = [
        Scores((one,), ("a", "b"), np.log([[0.5, 0.5]])),
        Scores((two,), ("a", "b", "rare"), np.log([[0.2, 0.2, 0.6]])),
    ]
    labels, table_NK = one_table(scored)
    assert labels == ("a", "b", "rare")
    assert np.isneginf(table_NK[0, 2])
    results = measured(scored, [one, two])
    assert results["metrics"]["top1"]["value"] == 0.5
    assert results["metrics"]["nll"] == pytest.approx(-np.log(0.6))
    assert results["unknown"] == {"n_clips": 1, "labels": ["rare"]}
    assert results["labels"] == ["a", "b", "rare"]  # it is no label unknown to all
    assert [c["predicted"] for c in results["clips"]] == ["a", "rare"]


def test_seeds_of_a_cross_validation_are_no_more_clips():
    records = [Record(f"c{k}", "ab"[k % 2], "s") for k in range(12)]
    rng = np.random.default_rng(0)
    scored = [Scores(tuple(records), ("a", "b"), rng.normal(size=(12, 2))) for _ in range(3)]
    results = measured(scored, records)
    assert results["metrics"]["n_clips"] == len(results["clips"]) == 12
    assert results["answers_per_clip"] == 3
    hits = np.mean([s.logits_NK.argmax(1) == np.arange(12) % 2 for s in scored])
    assert results["metrics"]["top1"]["value"] == pytest.approx(hits)


def test_derived_clips_are_drawn_with_their_originals():
    originals = [Record(f"c{k}", "ab"[k % 2], "s") for k in range(20)]
    copies = [Record(f"c{k}-{n}", "ab"[k % 2], "s", parent=f"c{k}") for k in range(20) for n in range(8)]
    right = np.random.default_rng(1).random(20) < 0.7
    truth = np.array([[k % 2 == 0, k % 2 == 1] for k in range(20)], float)
    own = np.where(right[:, None], truth, 1 - truth)
    scored = Scores((*originals, *copies), ("a", "b"), np.concatenate([own, np.repeat(own, 8, 0)]))
    wide, narrow = (
        measured([s], records)["metrics"]["top1"]
        for s, records in (
            (scored, [*originals, *copies]),
            (Scores(tuple(Record(f"x{n}", r.label, "s") for n, r in enumerate(scored.records)), ("a", "b"),
                    scored.logits_NK), []),  # the same clips, as if none came from another
        )
    )  # fmt: skip
    assert wide["value"] == pytest.approx(narrow["value"])
    assert wide["high"] - wide["low"] > 2 * (narrow["high"] - narrow["low"])
