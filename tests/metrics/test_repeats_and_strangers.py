"""What is measured of a clip that was answered several times, and of one whose label the model does not know."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signloom.metrics.evaluation import evaluate_scores
from signloom.metrics.folds import aggregate_runs
from signloom.metrics.intervals import mean_interval

LABELS = [f"sign{k}" for k in range(8)]


def answers(n_clips, n_seeds, seed=0, n_classes=8, ease=1.2):
    """Scores (clips × seeds, K), labels and ids: all clips of the first seed, then all of the next."""
    rng = np.random.default_rng(seed)
    y = np.arange(n_clips) % n_classes
    hard = rng.normal(size=n_clips)
    rows = []
    for _ in range(n_seeds):
        scores = rng.normal(size=(n_clips, n_classes))
        scores[np.arange(n_clips), y] += ease + hard
        rows.append(scores)
    return np.concatenate(rows), np.tile(y, n_seeds), [f"clip{k:03}" for k in range(n_clips)] * n_seeds


def width(entry):
    return entry["high"] - entry["low"]


# --- the same clip several times --------------------------------------------------------------------------------------


def test_seeds_that_say_the_same_count_once():
    """Three copies of one seed's answers: every figure and every interval is that of the one."""
    scores, y, ids = answers(48, 1)
    once = evaluate_scores(scores, y, LABELS, ids=ids)
    thrice = evaluate_scores(np.tile(scores, (3, 1)), np.tile(y, 3), LABELS, ids=ids * 3)
    assert thrice["metrics"]["n_clips"] == 48
    assert thrice["answers_per_clip"] == 3
    assert [c["id"] for c in thrice["clips"]] == [c["id"] for c in once["clips"]]
    assert [r["n_clips"] for r in thrice["per_class"]] == [r["n_clips"] for r in once["per_class"]]
    for name, entry in once["metrics"].items():
        if isinstance(entry, dict):
            assert thrice["metrics"][name]["value"] == pytest.approx(entry["value"])
            assert width(thrice["metrics"][name]) == pytest.approx(width(entry), rel=0.15)
        else:
            assert thrice["metrics"][name] == pytest.approx(entry)


def test_a_clip_answered_three_times_counts_as_its_mean():
    """Clip a: right in 3 of 3 seeds; b: in 1 of 3; c, of another fold with one seed: wrong."""
    right, wrong = [2.0, 0.0], [0.0, 2.0]
    scores = np.array([right, right, right, right, wrong, wrong, wrong])
    found = evaluate_scores(scores, np.zeros(7, int), ["x", "y"], ["s"] * 7, list("aaabbbc"))
    assert found["metrics"]["top1"]["value"] == pytest.approx((1 + 1 / 3 + 0) / 3)
    assert found["metrics"]["n_clips"] == 3
    assert found["per_signer"][0]["n_clips"] == 3
    assert found["per_signer"][0]["top1"]["value"] == pytest.approx((1 + 1 / 3 + 0) / 3)
    assert found["per_class"][0]["n_clips"] == 3
    assert [c["predicted"] for c in found["clips"]] == ["x", "x", "y"]
    json.dumps(found, allow_nan=False)


def test_more_seeds_do_not_make_clips():
    """A hundred seeds of 16 clips leave the interval about as wide as 16 clips have it, not a tenth of it."""
    scores, y, ids = answers(16, 100)
    found = evaluate_scores(scores, y, LABELS, ids=ids)["metrics"]["top1"]
    as_if_apart = evaluate_scores(scores, y, LABELS)["metrics"]["top1"]
    assert width(found) > 4 * width(as_if_apart)


def test_a_clip_and_what_was_derived_from_it_are_drawn_together():
    scores, y, ids = answers(40, 1)
    copies = [f"{i}-copy{k}" for i in ids for k in range(9)]
    scores, y = np.concatenate([scores, np.repeat(scores, 9, 0)]), np.concatenate([y, np.repeat(y, 9)])
    units = ids + [c.split("-")[0] for c in copies]
    found = evaluate_scores(scores, y, LABELS, ids=ids + copies, units=units)
    assert found["metrics"]["n_clips"] == 400
    alone = evaluate_scores(scores[:40], y[:40], LABELS, ids=ids)["metrics"]["top1"]
    assert width(found["metrics"]["top1"]) == pytest.approx(width(alone), rel=0.15)
    assert found["interval"]["resampled"] == "clip"


def test_signers_are_drawn_where_there_are_five_of_them():
    scores, y, ids = answers(40, 1)
    for n, by in ((4, "clip"), (5, "signer")):
        named = [f"s{k % n}" for k in range(40)]
        assert evaluate_scores(scores, y, LABELS, named, ids)["interval"]["resampled"] == by
    named[0] = None
    assert evaluate_scores(scores, y, LABELS, named, ids)["interval"]["resampled"] == "clip"


def simulated(rng, n_signers, n_clips, n_seeds):
    """Whether each clip was recognised, (signers, clips, seeds): signers differ, and a hard clip is so in each seed."""
    ease = 1.5 + 0.8 * rng.normal(size=(n_signers, 1, 1))
    clip = 1.2 * rng.normal(size=(n_signers, n_clips, 1))
    return ease + clip + 0.8 * rng.normal(size=(n_signers, n_clips, n_seeds)) > 0


TRUTH = float((1.5 + np.sqrt(0.8**2 + 1.2**2 + 0.8**2) * np.random.default_rng(9).normal(size=4_000_000) > 0).mean())


def test_intervals_of_cross_validations_cover_the_truth_as_often_as_they_say():
    """300 leave-one-signer-out runs of 12 signers × 15 clips × 3 seeds: what other signers would be recognised at."""
    covered, naive, pooled = 0, 0, 0
    for trial in range(300):
        rng = np.random.default_rng(trial)
        hits = simulated(rng, 12, 15, 3)
        rows = [
            {"held_out": f"s{s}", "seed": k, "top1": float(hits[s, :, k].mean())} for s in range(12) for k in range(3)
        ]
        found = aggregate_runs(rows, resamples=600, seed=trial)["top1"]
        covered += found["low"] <= TRUTH <= found["high"]
        p, n = hits.mean(), hits.size
        naive += abs(p - TRUTH) <= 1.96 * np.sqrt(p * (1 - p) / n)
        if trial < 100:
            y = np.zeros(hits.size, int)
            scores = np.stack([hits.ravel(), ~hits.ravel()], 1).astype(float)
            ids = [f"s{s}c{c}" for s in range(12) for c in range(15) for _ in range(3)]
            own = evaluate_scores(scores, y, ["x", "y"], [i.split("c")[0] for i in ids], ids, resamples=400)
            assert own["interval"]["resampled"] == "signer"
            top1 = own["metrics"]["top1"]
            pooled += top1["low"] <= TRUTH <= top1["high"]
    assert 0.90 <= covered / 300 <= 0.98
    assert 0.90 <= pooled / 100 <= 0.98
    assert naive / 300 < 0.75  # what counting every answer as a clip of its own would claim to be 95 %


@pytest.mark.parametrize(("n", "least"), [(2, 0.85), (3, 0.85), (4, 0.85), (6, 0.88), (20, 0.91)])
def test_few_folds_still_have_an_interval_that_covers(n, least):
    covered = 0
    for trial in range(400):
        means = simulated(np.random.default_rng((trial, n)), n, 15, 3).mean((1, 2))
        low, high = mean_interval(means, seed=trial, resamples=500)
        covered += low is None or low <= TRUTH <= high
    assert covered / 400 >= least


# --- labels that the model does not know ------------------------------------------------------------------------------


def test_an_unknown_label_is_a_hit_in_no_top_k():
    """Seven signs known, three clips of an eighth: before, that stood eighth of eight, and so among the first ten."""
    rng = np.random.default_rng(0)
    scores, y = rng.normal(size=(10, 7)), np.array([0, 1, 2, 3, 4, 5, 6, 7, 7, 7])
    found = evaluate_scores(scores, y, LABELS[:7], unknown_labels=["ZZ"], ks=(1, 2, 5, 6, 7, 10))
    metrics = found["metrics"]
    assert {k for k in metrics if k.startswith("top")} == {
        f"top{k}{of}" for k in (1, 2, 5, 6) for of in ("", "_per_class")
    }
    known = evaluate_scores(scores[:7], y[:7], LABELS[:7], ks=(1, 2, 5, 6))["metrics"]
    for k in (1, 2, 5, 6):
        assert metrics[f"top{k}"]["value"] == pytest.approx(known[f"top{k}"]["value"] * 0.7)
    for name in ("nll", "ece"):
        assert metrics[name] == pytest.approx(known[name])
    assert metrics["n_classes"] == 7
    assert metrics["chance"] == pytest.approx(0.7 / 7)
    assert found["unknown"] == {"n_clips": 3, "labels": ["ZZ"]}
    assert found["labels"] == [*LABELS[:7], "ZZ"]
    assert sum(map(sum, found["confusion"])) == 10
    assert [row for row in found["per_class"] if row.get("unknown")] == [
        {"label": "ZZ", "n_clips": 3, "n_predicted": 0, "top1": 0.0, "top5": 0.0, "precision": None, "f1": 0.0,
         "unknown": True}
    ]  # fmt: skip
    assert all("ZZ" not in dict(clip["top"]) for clip in found["clips"])
    json.dumps(found, allow_nan=False)


def test_where_no_label_is_known_there_is_no_likelihood():
    found = evaluate_scores(np.zeros((4, 3)), np.array([3, 3, 4, 4]), list("abc"), unknown_labels=["d", "e"])
    assert found["metrics"]["top1"]["value"] == 0
    assert found["metrics"]["nll"] is found["metrics"]["ece"] is None
    assert found["metrics"]["majority"] == found["metrics"]["chance"] == 0
    assert found["unknown"]["n_clips"] == 4
    json.dumps(found, allow_nan=False)


def test_a_fold_that_lacks_a_label_misses_it_and_no_other_fold_does():
    """A label of the table that the model of this row never met: its score says nothing."""
    scores = np.array([[0.0, 1.0, -np.inf], [0.0, 1.0, 2.0]])
    found = evaluate_scores(scores, np.array([2, 2]), list("abc"), known_N=np.array([False, True]), ks=(1, 2))
    assert found["metrics"]["top2"]["value"] == 0.5
    assert found["metrics"]["nll"] == pytest.approx(np.log(1 + np.exp(-1) + np.exp(-2)))
    assert found["unknown"] == {"n_clips": 1, "labels": ["c"]}


def test_top_k_is_told_only_of_fewer_than_all_classes():
    for n_classes, wanted in ((1, {1}), (4, {1}), (5, {1}), (6, {1, 5}), (10, {1, 5}), (11, {1, 5, 10})):
        scores = np.random.default_rng(0).normal(size=(30, n_classes))
        names = [str(k) for k in range(n_classes)]
        found = evaluate_scores(scores, np.arange(30) % n_classes, names, resamples=20)
        assert {k for k in (1, 5, 10) if f"top{k}" in found["metrics"]} == wanted
        assert ("top5" in found["per_class"][0]) == (5 in wanted)


@given(st.integers(1, 30), st.integers(1, 7), st.integers(0, 3), st.integers(1, 3), st.randoms(use_true_random=False))
def test_figures_keep_their_bounds_whatever_is_known(n, n_classes, n_unknown, n_seeds, random):
    rng = np.random.default_rng(random.randrange(2**32))
    y = np.tile(rng.integers(0, n_classes + n_unknown, n), n_seeds)
    scores = rng.normal(size=(n * n_seeds, n_classes))
    names = [str(k) for k in range(n_classes + n_unknown)]
    found = evaluate_scores(
        scores, y, names[:n_classes], ids=[f"c{k}" for k in range(n)] * n_seeds, unknown_labels=names[n_classes:],
        ks=(1, 2, 3, 5), resamples=30,
    )  # fmt: skip
    metrics, known = found["metrics"], float((y < n_classes).mean())
    tops = [metrics[f"top{k}"]["value"] for k in (1, 2, 3, 5) if f"top{k}" in metrics]
    assert tops == sorted(tops)
    assert all(0 <= top <= known + 1e-9 for top in tops)
    assert metrics["n_clips"] == n == len(found["clips"])
    assert sum(row["n_clips"] for row in found["per_class"]) == n
    assert found["unknown"]["n_clips"] == n - round(known * n)
    for entry in metrics.values():
        if isinstance(entry, dict):
            assert entry["low"] <= entry["high"]
    json.dumps(found, allow_nan=False)


# --- memory -----------------------------------------------------------------------------------------------------------


def test_memory_beside_the_scores_does_not_grow_with_them():
    """6,000 × 1,000 scores are 24 MB as they come; nothing of their size is made besides."""
    peaks = []
    for n in (2000, 6000):
        rng = np.random.default_rng(0)
        scores = rng.normal(size=(n, 1000)).astype(np.float32)
        y = rng.integers(0, 1000, n)
        names = [f"sign{k:04}" for k in range(1000)]
        tracemalloc.start()
        evaluate_scores(scores, y, names, resamples=20)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 44e6  # in float64 the table alone is 48 MB, and its softmax three times that
    assert peaks[1] < peaks[0] + 4000 * 2500  # what each clip's row in the results holds
