"""Metrics: against values worked by hand, on the edges, and where the truth is known by simulation."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from signloom.errors import InputError
from signloom.metrics import classification as m
from signloom.metrics import evaluation, folds, intervals

# Eight clips of four classes. Clip by clip, the classes from best to worst score:
#   0: 0 1 2 3   1: 0 2 1 3   2: 1 0 2 3   3: 2 0 1 3   4: 1 2 0 3   5: 2 1 0 3   6: 0 1 2 3   7: 3 2 1 0
ORDERS = [
    (0, 1, 2, 3),
    (0, 2, 1, 3),
    (1, 0, 2, 3),
    (2, 0, 1, 3),
    (1, 2, 0, 3),
    (2, 1, 0, 3),
    (0, 1, 2, 3),
    (3, 2, 1, 0),
]
Y = np.array([0, 0, 0, 0, 1, 1, 2, 2])
PREDICTED = np.array([o[0] for o in ORDERS])
SCORES = np.zeros((8, 4))
for _row, _order in zip(SCORES, ORDERS):
    _row[list(_order)] = [4.0, 3.0, 2.0, 1.0]
LABELS = ["a", "b", "c", "d"]
SIGNERS = ["s1", "s1", "s2", "s2", "s1", "s2", "s1", "s2"]
IDS = [f"clip{i}" for i in range(8)]


def test_top_k_by_hand():
    assert m.true_rank(SCORES, Y).tolist() == [0, 0, 1, 1, 0, 1, 2, 1]
    assert m.top_k_accuracy(SCORES, Y, 1) == 3 / 8
    assert m.top_k_accuracy(SCORES, Y, 2) == 7 / 8
    assert m.top_k_accuracy(SCORES, Y, 3) == 1.0
    # Class a 2 of 4, b 1 of 2, c 0 of 2; d has no clips and does not count.
    assert m.top_k_accuracy_per_class(SCORES, Y, 1) == pytest.approx((2 / 4 + 1 / 2 + 0) / 3)
    assert m.top_k_accuracy_per_class(SCORES, Y, 2) == pytest.approx((1 + 1 + 1 / 2) / 3)
    assert m.top_k_accuracy(SCORES, Y, 5) is None
    assert m.top_k_accuracy_per_class(SCORES, Y, 5) is None


def test_ties_rank_by_class_index_as_argmax_does():
    tied = np.zeros((4, 4))
    y = np.array([0, 1, 2, 3])
    assert m.true_rank(tied, y).tolist() == [0, 1, 2, 3]
    assert m.top_k_accuracy(tied, y, 1) == (tied.argmax(axis=1) == y).mean() == 0.25
    rounded = np.round(np.random.default_rng(0).normal(size=(300, 6)), 0)
    y = np.random.default_rng(1).integers(0, 6, 300)
    by_sorting = np.argsort(-rounded, axis=1, kind="stable")
    assert (m.true_rank(rounded, y) == (by_sorting == y[:, None]).argmax(axis=1)).all()
    result = evaluation.evaluate_scores(rounded, y, list("abcdef"), resamples=10)
    # ids sort clip-0, clip-1, clip-10 …; the five best agree with sorting, tie by tie
    for clip in result["clips"]:
        row = int(clip["id"].removeprefix("clip-"))
        assert [name for name, _ in clip["top"]] == ["abcdef"[c] for c in by_sorting[row, :5]]


def test_confusion_precision_recall_f1_by_hand():
    assert m.confusion_matrix(Y, PREDICTED, 4).tolist() == [[2, 1, 1, 0], [0, 1, 1, 0], [1, 0, 0, 1], [0, 0, 0, 0]]
    precision, recall, f1 = m.precision_recall_f1(Y, PREDICTED, 4)
    assert precision == pytest.approx([2 / 3, 1 / 2, 0, 0])
    assert recall[:3] == pytest.approx([1 / 2, 1 / 2, 0])
    assert math.isnan(recall[3])
    assert f1[:3] == pytest.approx([2 * 2 / (4 + 3), 2 * 1 / (2 + 2), 0])
    assert math.isnan(f1[3])
    assert m.macro_f1(Y, PREDICTED) == pytest.approx((4 / 7 + 1 / 2 + 0) / 3)


def test_a_class_never_predicted_has_no_precision_and_f1_zero():
    precision, recall, f1 = m.precision_recall_f1(np.array([0, 1]), np.array([0, 0]), 2)
    assert math.isnan(precision[1])
    assert recall[1] == 0
    assert f1[1] == 0


def test_macro_f1_leaves_out_classes_that_are_only_predicted():
    # scikit-learn's f1_score(y, predicted, labels=unique(y), average="macro") gives the same.
    assert m.macro_f1(np.array([0, 0, 1, 1]), np.array([0, 5, 6, 1])) == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert m.macro_f1(np.array([0, 1]), np.array([0, 7])) == pytest.approx(0.5)


def test_softmax_leaves_log_probabilities_as_they_are_and_stands_large_logits():
    p = np.array([[0.7, 0.2, 0.1]])
    assert m.softmax(np.log(p)) == pytest.approx(p)
    assert m.softmax(np.array([[1e4, 0.0, -np.inf]])) == pytest.approx(np.array([[1.0, 0.0, 0.0]]))


def test_negative_log_likelihood_by_hand():
    p = np.array([[0.5, 0.5], [0.25, 0.75]])
    assert m.negative_log_likelihood(np.log(p), np.array([0, 1])) == pytest.approx(
        -(math.log(0.5) + math.log(0.75)) / 2
    )
    assert m.negative_log_likelihood(np.array([[0.0, -np.inf]]), np.array([1])) == math.inf


def test_calibration_by_hand():
    p = np.array([[0.95, 0.05], [0.92, 0.08], [0.6, 0.4], [0.45, 0.55]])
    y = np.array([0, 1, 0, 1])
    # Confidences .95 and .92 in the last bin (mean .935, half right), .6 and .55 in (.5, .6] (mean .575, all right).
    assert m.expected_calibration_error(p, y) == pytest.approx(0.5 * abs(0.935 - 0.5) + 0.5 * abs(0.575 - 1.0))
    bins = m.reliability_bins(p.max(axis=1), p.argmax(axis=1) == y)
    assert [b["n"] for b in bins] == [0, 0, 0, 0, 0, 2, 0, 0, 0, 2]
    assert bins[0]["accuracy"] is None
    assert bins[5] == {"low": 0.5, "high": 0.6, "confidence": pytest.approx(0.575), "accuracy": 1.0, "n": 2}
    edges = m.reliability_bins(np.array([0.0, 1.0]), np.array([True, True]))
    assert (edges[0]["n"], edges[9]["n"]) == (1, 1)


def test_temperature_recovers_a_planted_one_and_stays_finite_on_a_perfect_split():
    rng = np.random.default_rng(0)
    honest = rng.normal(size=(20_000, 8)) * 2
    y = np.array([rng.choice(8, p=p) for p in m.softmax(honest)])
    for planted in (0.4, 1.0, 3.0):
        assert m.fit_temperature(honest * planted, y) == pytest.approx(planted, rel=0.03)
    sure = np.full((50, 4), -1.0)
    y = np.arange(50) % 4
    sure[np.arange(50), y] = 5.0
    temperature = m.fit_temperature(sure, y)
    # One imagined mistake in 50 clips: confidence near 50.25/51, not certainty.
    assert m.softmax(sure / temperature).max(axis=1) == pytest.approx(1 - 0.75 / 51, abs=0.002)


def test_bootstrap_values_are_the_plain_metrics_and_hold_their_intervals():
    rng = np.random.default_rng(3)
    scores, y = rng.normal(size=(300, 12)), rng.integers(0, 11, 300)
    scores[np.arange(300), y] += 1.5
    found = intervals.bootstrap_metrics(m.true_rank(scores, y), y, scores.argmax(axis=1))
    for k in (1, 5, 10):
        assert found[f"top{k}"]["value"] == pytest.approx(m.top_k_accuracy(scores, y, k))
        assert found[f"top{k}_per_class"]["value"] == pytest.approx(m.top_k_accuracy_per_class(scores, y, k))
    assert found["macro_f1"]["value"] == pytest.approx(m.macro_f1(y, scores.argmax(axis=1)))
    for entry in found.values():
        assert entry["low"] < entry["value"] < entry["high"]
    # The top-1 interval of n clips is about two standard errors wide on either side.
    p = found["top1"]["value"]
    assert found["top1"]["high"] - found["top1"]["low"] == pytest.approx(
        2 * 1.96 * math.sqrt(p * (1 - p) / 300), rel=0.1
    )


def test_bootstrap_weights_draw_as_many_clips_as_there_are_whatever_the_block(monkeypatch):
    whole = np.concatenate(list(intervals.bootstrap_weights(40, resamples=30, seed=5)))
    monkeypatch.setattr(intervals, "BLOCK_ELEMENTS", 200)
    blocks = list(intervals.bootstrap_weights(40, resamples=30, seed=5))
    assert len(blocks) == 6
    assert (np.concatenate(blocks) == whole).all()
    assert (whole.sum(axis=1) == 40).all()
    assert whole.std() > 0.5
    groups = np.array([0, 0, 0, 1, 1, 2])
    for w in intervals.bootstrap_weights(6, resamples=50, seed=0, groups_N=groups):
        assert (w[:, 0] == w[:, 2]).all()
        assert (w[:, 0] + w[:, 3] + w[:, 5] == 3).all()


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        right = rng.random(120) < 0.8
        found = intervals.bootstrap_metrics(
            np.where(right, 0, 1), np.arange(120) % 4, np.zeros(120, int), ks=(1,), resamples=400, seed=trial
        )["top1"]
        covered += found["low"] <= 0.8 <= found["high"]
    assert 0.90 <= covered / 200 <= 0.99


def test_resampling_signers_widens_the_interval_when_signers_differ():
    rng = np.random.default_rng(0)
    covered = {"clip": 0, "signer": 0}
    for trial in range(100):
        ease_S = rng.beta(4, 1, size=40)
        signer_N = np.repeat(np.arange(40), 15)
        right_N = rng.random(600) < ease_S[signer_N]
        for by, groups in (("clip", None), ("signer", signer_N)):
            found = intervals.bootstrap_metrics(
                np.where(right_N, 0, 1),
                np.arange(600) % 4,
                np.zeros(600, int),
                ks=(1,),
                groups_N=groups,
                resamples=300,
                seed=trial,
            )["top1"]
            covered[by] += found["low"] <= 0.8 <= found["high"]
    assert covered["signer"] >= 0.88 * 100
    assert covered["clip"] <= 0.8 * 100


def test_perfect_and_hopeless_scores_have_honest_intervals():
    y = np.arange(100) % 10
    perfect = np.eye(10)[y]
    found = evaluation.evaluate_scores(perfect * 20, y, [str(i) for i in range(10)], resamples=200)["metrics"]
    exact = 0.025 ** (1 / 100)
    assert found["top1"] == {"value": 1.0, "low": pytest.approx(exact), "high": 1.0}
    assert found["macro_f1"]["value"] == 1.0
    assert found["macro_f1"]["low"] == pytest.approx(exact)
    hopeless = evaluation.evaluate_scores(-perfect, y, [str(i) for i in range(10)], resamples=200)["metrics"]
    assert hopeless["top1"] == {"value": 0.0, "low": 0.0, "high": pytest.approx(1 - exact)}
    assert hopeless["macro_f1"]["value"] == 0.0


def test_random_scores_are_at_chance():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 20, 4000)
    found = evaluation.evaluate_scores(rng.normal(size=(4000, 20)), y, [str(i) for i in range(20)], resamples=300)[
        "metrics"
    ]
    for k in (1, 5, 10):
        assert found[f"top{k}"]["low"] < k / 20 < found[f"top{k}"]["high"]
    assert found["chance"] == 0.05


def test_evaluate_scores_by_hand():
    result = evaluation.evaluate_scores(SCORES, Y, LABELS, SIGNERS, IDS, resamples=500)
    assert result["metrics"]["top1"]["value"] == 3 / 8
    assert "top5" not in result["metrics"]  # four classes have no top five
    assert result["metrics"]["majority"] == 0.5
    assert result["metrics"]["n_clips"] == 8
    assert result["confusion"] == [[2, 1, 1, 0], [0, 1, 1, 0], [1, 0, 0, 1], [0, 0, 0, 0]]
    assert [(r["signer"], r["n_clips"], r["top1"]["value"]) for r in result["per_signer"]] == [
        ("s1", 4, 3 / 4),
        ("s2", 4, 0.0),
    ]
    assert result["per_signer"][0]["macro_f1"] == pytest.approx((2 * 2 / (2 + 3) + 1 + 0) / 3)
    assert result["per_class"][3] == {
        "label": "d",
        "n_clips": 0,
        "n_predicted": 1,
        "top1": None,
        "precision": 0.0,
        "f1": None,
    }
    clip = result["clips"][2]
    assert (clip["id"], clip["label"], clip["predicted"], clip["signer"]) == ("clip2", "a", "b", "s2")
    assert [name for name, _ in clip["top"]] == ["b", "a", "c", "d"]
    assert clip["confidence"] == pytest.approx(math.exp(4) / (math.e + math.exp(2) + math.exp(3) + math.exp(4)))
    assert result["metrics"]["nll"] == pytest.approx(m.negative_log_likelihood(SCORES, Y))
    assert result["metrics"]["ece"] == pytest.approx(m.expected_calibration_error(m.softmax(SCORES), Y))
    json.dumps(result, allow_nan=False)


def test_results_do_not_depend_on_the_order_of_the_clips():
    shuffled = np.random.default_rng(0).permutation(8)
    one = evaluation.evaluate_scores(SCORES, Y, LABELS, SIGNERS, IDS, resamples=100)
    other = evaluation.evaluate_scores(
        SCORES[shuffled], Y[shuffled], LABELS, [SIGNERS[i] for i in shuffled], [IDS[i] for i in shuffled], resamples=100
    )
    assert one == other


def test_impossible_classes_and_infinite_loss_give_plain_json():
    logits = np.array([[0.0, -np.inf, -np.inf], [1.0, 0.0, -np.inf]])
    result = evaluation.evaluate_scores(logits, np.array([0, 2]), ["a", "b", "c"], resamples=20)
    assert result["metrics"]["nll"] is None
    assert [name for name, _ in result["clips"][0]["top"]] == ["a", "b", "c"]
    json.dumps(result, allow_nan=False)


def test_resampling_by_signer_needs_two_of_them_and_their_names():
    one = evaluation.evaluate_scores(SCORES, Y, LABELS, ["s"] * 8, IDS, resample_by="signer", resamples=50)
    assert one["metrics"]["top1"] == {"value": 3 / 8, "low": None, "high": None}
    two = evaluation.evaluate_scores(SCORES, Y, LABELS, SIGNERS, IDS, resample_by="signer", resamples=50)
    assert two["interval"]["resampled"] == "signer"
    assert (two["metrics"]["top1"]["low"], two["metrics"]["top1"]["high"]) == (0.0, 0.75)
    with pytest.raises(InputError, match="needs the signer"):
        evaluation.evaluate_scores(SCORES, Y, LABELS, [None] * 8, IDS, resample_by="signer")


def test_clips_without_a_signer_come_last_and_are_not_lost():
    named = ["s2", None, "s1", "s1", None, "s2", "s1", "s2"]
    table = evaluation.evaluate_scores(SCORES, Y, LABELS, named, IDS, resamples=50)["per_signer"]
    assert [(r["signer"], r["n_clips"]) for r in table] == [("s1", 3), ("s2", 3), (None, 2)]
    assert evaluation.evaluate_scores(SCORES, Y, LABELS, resamples=50)["per_signer"] == []


def test_many_classes_are_stored_sparse():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 300, 500)
    scores = rng.normal(size=(500, 300))
    confusion = evaluation.evaluate_scores(scores, y, [str(i) for i in range(300)], resamples=20)["confusion"]
    assert confusion["format"] == "sparse"
    dense = np.zeros((300, 300), int)
    dense[confusion["rows"], confusion["columns"]] = confusion["counts"]
    assert (dense == m.confusion_matrix(y, scores.argmax(axis=1), 300)).all()


@pytest.mark.parametrize(
    ("scores", "y", "labels", "match"),
    [
        (np.zeros((2, 3)), np.array([0]), "abc", r"\(2, 3\)"),
        (np.zeros((0, 3)), np.array([], int), "abc", "nothing to measure"),
        (np.zeros((1, 3)), np.array([3]), "abc", "must be 0 to 2"),
        (np.zeros((1, 3)), np.array([-1]), "abc", "must be 0 to 2"),
        (np.zeros((1, 3)), np.array([1.0]), "abc", "integers"),
        (np.array([[0.0, np.nan, 1.0]]), np.array([1]), "abc", "not finite, first in row 0"),
        (np.zeros((1, 3)), np.array([1]), "aba", "different labels; got 2"),
        (np.zeros((1, 3)), np.array([1]), "ab", "different labels; got 2"),
    ],
)
def test_bad_input_is_named(scores, y, labels, match):
    with pytest.raises(InputError, match=match):
        evaluation.evaluate_scores(scores, y, list(labels))


def test_aggregate_runs_by_hand():
    rows = [
        {"name": "A seed 0", "held_out": "A", "seed": 0, "top1": 0.9, "macro_f1": {"value": 0.8}, "n_clips": 100},
        {"name": "A seed 1", "held_out": "A", "seed": 1, "top1": 1.0, "macro_f1": {"value": 1.0}, "n_clips": 100},
        {"name": "B seed 0", "held_out": "B", "seed": 0, "top1": 0.6, "macro_f1": {"value": 0.6}},
        {"name": "B seed 1", "held_out": "B", "seed": 1, "top1": {"value": 0.8}, "macro_f1": {"value": 0.6}},
        {"name": "C seed 0", "held_out": "C", "seed": 0, "top1": None},
    ]
    found = folds.aggregate_runs(rows)
    assert found["top1"]["value"] == pytest.approx((0.95 + 0.7) / 2)
    # Student's t of two folds, 12.7 · .125 on either side of .825, within 0 and 1: two signers tell nearly nothing.
    assert (found["top1"]["low"], found["top1"]["high"]) == (0.0, 1.0)
    assert found["macro_f1"]["value"] == pytest.approx((0.9 + 0.6) / 2)
    assert found["worst"] == {"held_out": "B", "top1": pytest.approx(0.7)}
    assert found["best"]["held_out"] == "A"
    assert found["worst_run"] == {"held_out": "B", "seed": 0, "top1": 0.6}
    assert [s["top1"] for s in found["per_seed"]] == [pytest.approx(0.75), pytest.approx(0.9)]
    assert found["seed_spread"] == pytest.approx(np.std([0.75, 0.9], ddof=1))
    assert found["per_fold"][0]["n_clips"] == 100
    assert found["missing"] == ["C seed 0"]
    json.dumps(found, allow_nan=False)


def test_aggregate_runs_without_spread_or_with_one_fold_claims_no_interval():
    same = [{"held_out": s, "seed": 0, "top1": 1.0} for s in "AB"]
    assert folds.aggregate_runs(same)["top1"] == {"value": 1.0, "low": None, "high": None}
    assert folds.aggregate_runs(same)["seed_spread"] is None
    assert folds.aggregate_runs(same[:1])["top1"]["low"] is None
    with pytest.raises(InputError, match="nothing to aggregate"):
        folds.aggregate_runs([{"held_out": "A", "seed": 0, "top1": None}])
