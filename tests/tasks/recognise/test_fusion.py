"""Late fusion: it gains where streams know different things, and it never ends below the best of them on validation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from signloom.errors import InputError
from signloom.metrics.classification import expected_calibration_error, fit_temperature, log_softmax, softmax
from signloom.metrics.intervals import paired_difference
from signloom.tasks.recognise.fusion import Fusion, equal_fusion, fit_fusion, on_labels


def stream(y, k, strength, rng, *, sees=None):
    """Logits (N, K) float64 that point to ``y`` with ``strength``, where ``sees`` (default: on all clips)."""
    z = rng.normal(size=(len(y), k))
    z[np.arange(len(y)), y] += strength * (1.0 if sees is None else sees)
    return 2 * z


def calibrated(val, y, *others):
    t = fit_temperature(val, y)
    return [z / t for z in (val, *others)]


def top1(scores, y):
    return float((scores.argmax(axis=1) == y).mean())


@pytest.mark.parametrize("seed", range(3))
def test_streams_that_know_different_signs_gain_from_each_other(seed):
    rng = np.random.default_rng(seed)
    k, y, new = 10, np.arange(100) % 10, np.arange(1000) % 10
    streams = [
        calibrated(stream(y, k, 6, rng, sees=half(y)), y, stream(new, k, 6, rng, sees=half(new)))
        for half in (lambda c: c < 5, lambda c: c >= 5)
    ]
    fusion = fit_fusion([s[0] for s in streams], y)
    fused = fusion([s[1] for s in streams])
    assert fusion.weights == pytest.approx((0.5, 0.5), abs=0.2)
    assert top1(fused, new) > max(top1(s[1], new) for s in streams) + 0.2
    assert expected_calibration_error(np.exp(fused), new) < 0.08


def test_a_stream_that_guesses_loudly_gets_next_to_no_weight_and_does_no_harm():
    rng = np.random.default_rng(0)
    k, y, new = 10, np.arange(100) % 10, np.arange(1000) % 10
    good = calibrated(stream(y, k, 4, rng), y, stream(new, k, 4, rng))
    noise = [rng.normal(size=(100, k)) * 8, rng.normal(size=(1000, k)) * 8]  # sure of itself, and always wrong
    fusion = fit_fusion([good[0], noise[0]], y)
    assert fusion.weights[1] < 0.05
    assert top1(fusion([good[1], noise[1]]), new) > top1(good[1], new) - 0.01
    quiet = calibrated(noise[0], y, noise[1])
    fusion = fit_fusion([good[0], quiet[0]], y)  # calibrated, it says next to nothing
    assert top1(fusion([good[1], quiet[1]]), new) > top1(good[1], new) - 0.01


@pytest.mark.parametrize("seed", range(40))
def test_never_below_the_best_stream_on_validation(seed):
    rng = np.random.default_rng(seed)
    n, k, n_streams = int(rng.integers(1, 90)), int(rng.integers(2, 30)), int(rng.integers(1, 5))
    y = rng.integers(0, k, n)
    logits = [
        stream(y, k, rng.uniform(0, 5), rng) * rng.choice([0.01, 0.5, 1.0, 10.0, 200.0]) for _ in range(n_streams)
    ]
    fusion = fit_fusion(logits, y)
    best = max(top1(z, y) for z in logits)
    assert top1(fusion(logits), y) >= best
    assert fusion.validation["top1"] == top1(fusion(logits), y)
    assert fusion.validation["top1_S"] == [top1(z, y) for z in logits]
    assert sum(fusion.weights) == pytest.approx(1)
    assert min(fusion.weights) >= 0
    assert math.isfinite(fusion.temperature)
    assert fusion.temperature > 0
    np.testing.assert_allclose(np.exp(fusion(logits)).sum(axis=1), 1)


def test_the_step_towards_the_best_stream_is_told():
    # Two poor streams that agree outvote a good but shy one on the clips where it alone is right.
    y = np.zeros(12, int)
    shy, loud = np.tile([0.2, 0.0], (12, 1)), np.tile([0.0, 3.0], (12, 1))
    fusion = fit_fusion([shy, loud, loud], y)
    assert fusion.step > 0
    assert "towards the best stream" in fusion.rule
    assert fusion.validation["top1"] == 1.0


def test_few_or_flawless_validation_clips_leave_the_weights_equal():
    rng = np.random.default_rng(0)
    for n, strength in ((10, 5), (200, 20)):  # too few to tell; all right with every stream
        y = np.arange(n) % 5
        fusion = fit_fusion([stream(y, 5, strength, rng), stream(y, 5, strength, rng)], y)
        assert fusion.weights == pytest.approx((0.5, 0.5))
        assert (fusion.shrinkage, fusion.step) == (None, 0)
    assert fit_fusion([np.zeros((0, 5))] * 3, np.zeros(0, int)) == equal_fusion(3)


def test_the_order_of_streams_only_reorders_the_weights():
    rng = np.random.default_rng(1)
    y = rng.integers(0, 6, 80)
    logits = [stream(y, 6, s, rng) for s in (3, 1.5, 0)]
    one, other = fit_fusion(logits, y), fit_fusion(logits[::-1], y)
    assert one.weights == pytest.approx(other.weights[::-1], abs=1e-3)
    assert one.temperature == pytest.approx(other.temperature, rel=1e-3)
    assert one.weights[0] > one.weights[1] > one.weights[2]


def test_a_missing_stream_leaves_the_others_to_answer():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 60)
    logits = [log_softmax(stream(y, 4, 2, rng)) for _ in range(3)]
    fusion = Fusion((0.5, 0.3, 0.2), temperature=0.5)
    whole = fusion(logits)
    present = np.ones((3, 60), bool)
    present[0, :10] = False
    present[1:, 10:20] = False
    broken = [np.where(there[:, None], z, np.nan) for z, there in zip(logits, present)]
    found = fusion(broken, present)
    np.testing.assert_allclose(found[20:], whole[20:])
    np.testing.assert_allclose(found[10:20], logits[0][10:20])  # alone, with its own temperature
    two = softmax(np.log(0.6 * np.exp(logits[1][:10]) + 0.4 * np.exp(logits[2][:10])))
    assert (found[:10].argmax(axis=1) == two.argmax(axis=1)).all()
    np.testing.assert_allclose(Fusion((1.0, 0.0))([logits[0]] * 2, np.array([[False], [True]] * 1).repeat(60, 1)),
                               logits[0])  # fmt: skip
    with pytest.raises(InputError, match="clip number 7 has no stream"):
        fusion(logits, np.arange(60)[None].repeat(3, 0) != 7)


def test_labels_a_model_never_saw_are_its_last_choice_and_still_possible():
    found = on_labels(np.log([[0.7, 0.3], [0.01, 0.99]]), ["A", "C"], ["A", "B", "C"])
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1)
    assert (found[:, 1] < found[:, [0, 2]].min(axis=1)).all()
    np.testing.assert_allclose(found[:, 0] - found[:, 2], np.log([7 / 3, 1 / 99]))
    knows_b = on_labels(np.log([[0.99, 0.01]] * 2), ["B", "C"], ["A", "B", "C"])
    assert equal_fusion(2)([found, knows_b]).argmax(axis=1)[0] == 1
    assert on_labels(np.zeros((0, 2)), ["A", "C"], ["A", "B", "C"]).shape == (0, 3)


def test_paired_difference_sees_what_two_intervals_apart_would_not():
    other = np.arange(200) % 2 == 0
    better = other.copy()
    better[[1, 3, 5, 7, 9, 11, 13, 15, 17, 19]] = True
    gain = paired_difference(better, other)
    assert gain["value"] == pytest.approx(0.05)
    assert 0 < gain["low"] < 0.05 < gain["high"] < 0.1
    assert (gain["won"], gain["lost"]) == (10, 0)
    back = paired_difference(other, better)
    assert back["value"] == -gain["value"]
    same = paired_difference(other, other)
    assert same["value"] == 0
    assert same["high"] == -same["low"] == pytest.approx(1 - 0.025 ** (1 / 200))
    folds = paired_difference(better, other, groups=["a"] * 100 + ["b"] * 100)
    assert folds["value"] == pytest.approx(0.05)
    assert (folds["low"], folds["high"]) == pytest.approx((0.05 - 12.7062 * 0.05, 0.05 + 12.7062 * 0.05), abs=1e-4)
    assert paired_difference(better, other, groups=["a"] * 200)["low"] is None


def test_what_cannot_be_fused_is_refused():
    y = np.zeros(3, int)
    with pytest.raises(InputError, match="one shape"):
        fit_fusion([np.zeros((3, 2)), np.zeros((3, 4))], y)
    with pytest.raises(InputError, match="-infinity"):
        fit_fusion([np.array([[0.0, -np.inf]] * 3)], y)
    with pytest.raises(InputError, match="want 2 streams"):
        equal_fusion(2)([np.zeros((3, 2))])
    with pytest.raises(InputError, match="no clips"):
        paired_difference(np.zeros(0, bool), np.zeros(0, bool))
