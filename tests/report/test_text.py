"""Results in words: plain sentences, honest rounding, the split beside the accuracy."""

from __future__ import annotations

import pytest

from signloom.report.text import summary_lines
from signloom.report.words import headline_sentences, interval, percent, signers_are_new, warnings


def overlap(n_clips=100, new_signers=True, **more):
    """What was learnt from of clips measured, as :class:`signloom.data.seen.Overlap` tells it."""
    shared = n_clips if new_signers is False else 0
    none = dict.fromkeys(("trained_on", "validated_on", "derived", "same_name", "same_source"), 0)
    about = {"known": "all", "not_known": [], "n_clips": n_clips, "same_signer": shared, "new_signers": new_signers}
    return {**none, **about, **more}


def results_of(top1=0.97, n_clips=100, scheme="signer-disjoint", name="test", n_labels=10, seen=None, **more):
    return {
        "overlap": overlap(n_clips, **(seen or {})),
        "title": "A trial",
        "labels": [f"sign {i}" for i in range(n_labels)],
        "split": {"name": name, "scheme": scheme, "detail": "held out: user01"},
        "metrics": {
            "top1": {"value": top1, "low": 0.93, "high": 0.99},
            "top5": {"value": 1.0, "low": 0.96, "high": 1.0},
            "top10": {"value": 1.0, "low": 0.96, "high": 1.0},
            "macro_f1": {"value": 0.96, "low": 0.9, "high": 0.99},
            "n_clips": n_clips,
            "chance": 1 / n_labels,
        },
        "per_signer": [
            {"signer": "user01", "n_clips": 50, "top1": {"value": 0.9, "low": 0.8, "high": 0.96}, "left_handed": True},
            {"signer": "user03", "n_clips": 50, "top1": {"value": 1.0, "low": 0.93, "high": 1.0}},
        ],
        **more,
    }


def test_rounding_never_hides_a_miss_or_a_hit():
    assert percent(1.0) == "100.0%"
    assert percent(0.99999) == "99.9%"
    assert percent(0.999, 0) == "99%"
    assert percent(0.00001) == "<0.1%"
    assert percent(0.0) == "0.0%"
    assert percent(None) == percent(float("nan")) == "–"
    assert interval({"low": 0.931, "high": 1.0}) == "93.1–100.0%"
    assert interval({"low": None, "high": None}) == interval(None) == ""


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({}, "Of 100 clips by signers it had never seen, 97 were recognised."),
        ({"n_clips": 900}, "Of 900 clips by signers it had never seen, 873 were recognised: 97 in 100."),
        ({"seen": {"new_signers": False}}, "Of 100 new clips by signers it knew from training, 97 were recognised."),
        ({"seen": {"new_signers": None}}, "Of 100 clips that are not among those it was trained on, 97 were"),
        ({"seen": {"trained_on": 100}}, "Of 100 clips that it was trained on, 97 were recognised."),
        ({"seen": {"trained_on": 18}}, "Of 100 clips, 18 of which it was trained on, 97 were recognised."),
        ({"seen": {"validated_on": 100}}, "Of 100 clips that were used to choose the model, 97 were recognised."),
        ({"seen": {"validated_on": 7}}, "Of 100 clips, 7 of which were used to choose the model, 97 were recognised."),
        ({"seen": {"new_signers": False, "same_signer": 3}}, "Of 100 new clips, 3 of them by signers it knew from"),
        ({"overlap": None}, "Of 100 clips (what it was trained on is not on record), 97 were recognised."),
        ({"answers_per_clip": 3.0}, "Of 100 clips by signers it had never seen, 97 were recognised, on average over"),
        ({"top1": 1.0, "n_clips": 1}, "Of 1 clip by signers it had never seen, 1 was recognised."),
        (
            {"top1": 0.9996, "n_clips": 10_000},
            "Of 10,000 clips by signers it had never seen, 9,996 were recognised: over 99.9 in",
        ),
    ],
)
def test_the_headline_is_a_sentence_anyone_understands(more, sentence):
    said = headline_sentences(results_of(**more))
    assert said[0].startswith(sentence)
    assert said[-1] == "Guessing among its 10 signs would get 10 in 100."


def test_chance_among_many_signs_is_said_as_one_in():
    assert headline_sentences(results_of(n_labels=2000))[-1] == "Guessing among its 2,000 signs would get 1 in 2,000."


def test_shared_signers_unknown_splits_and_few_clips_are_warned_of():
    assert signers_are_new(results_of()) is True
    assert signers_are_new(results_of(seen={"new_signers": False})) is False
    # What a split is called proves nothing.
    assert signers_are_new({"split": {"scheme": "leave-one-signer-out", "signer_disjoint": True}}) is None
    assert warnings(results_of()) == []
    shared = warnings(results_of(scheme="random", seen={"new_signers": False}))
    assert any("signers measured are in training as well (split scheme “random”)" in w for w in shared)
    some = warnings(results_of(seen={"new_signers": False, "same_signer": 3}))
    assert any("Some signers measured are in training" in w for w in some)
    assert any("not on record whether" in w for w in warnings(results_of(seen={"new_signers": None})))
    assert any("says nothing about new clips" in w for w in warnings(results_of(seen={"trained_on": 100})))
    assert any("trained on 18 of the clips measured" in w for w in warnings(results_of(seen={"trained_on": 18})))
    assert any("chose the model" in w for w in warnings(results_of(seen={"validated_on": 1})))
    assert any("another encoding" in w for w in warnings(results_of(seen={"same_name": 2})))
    unknown = {"known": "partly", "not_known": ["the clips that x learnt from"], "new_signers": None}
    assert any("the clips that x learnt from" in w for w in warnings(results_of(seen=unknown)))
    assert any("ZZ" in w for w in warnings(results_of(unknown={"n_clips": 2, "labels": ["ZZ"]})))
    assert any("Only 20 clips" in w for w in warnings(results_of(n_clips=20)))
    assert any("1 clip could not be used" in w for w in warnings(results_of(failures=[{"id": "x", "reason": "y"}])))
    assert warnings(results_of(warnings=["mine"])) == ["mine"]
    absent = [{"label": "a", "n_clips": 0}, {"label": "b", "n_clips": 3}]
    assert any("1 sign of 2 had no clip" in w for w in warnings(results_of(per_class=absent)))


def test_the_terminal_summary_has_the_split_beside_the_accuracy():
    clips = [{"label": "Eat", "predicted": "Sleep"}] * 3 + [{"label": "Go", "predicted": "Go"}]
    lines = summary_lines(results_of(clips=clips))
    top1 = next(line for line in lines if line.strip().startswith("top-1 "))
    assert "97.0%" in top1
    assert "[93.0–99.0%]" in top1
    assert "split test · signer-disjoint · held out: user01" in top1
    assert not any("top-10" in line for line in lines)  # ten guesses among ten signs are always right
    assert any("user01" in line and "left-handed" in line for line in lines)
    assert any("Eat → Sleep  3 clips" in line for line in lines)


def test_the_terminal_summary_of_a_cross_validation_names_mean_worst_and_spread():
    folds = {
        "n_folds": 9,
        "n_seeds": 3,
        "top1": {"value": 0.964, "low": 0.947, "high": 0.975},
        "worst": {"held_out": "user01", "top1": 0.903},
        "best": {"held_out": "user12", "top1": 0.98},
        "seed_spread": 0.002,
    }
    lines = summary_lines({"split": {"name": "each signer in turn"}, "cross_validation": folds})
    assert any("mean over folds" in line and "96.4%" in line and "9 folds × 3 seeds" in line for line in lines)
    assert any("worst fold" in line and "90.3%" in line and "user01" in line for line in lines)
    assert any("±0.2%" in line for line in lines)


def test_labels_cannot_steer_the_terminal_and_scripts_stay_whole():
    clips = [{"label": "\x1b[31mred\x07", "predicted": "a\u202eb"}, {"label": "می\u200cخواهم", "predicted": "क्‍ष"}]
    text = "\n".join(summary_lines(results_of(clips=clips)))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "می\u200cخواهم" in text
    assert "क्‍ष" in text


def test_empty_results_make_lines():
    assert summary_lines({})[0] == "Evaluation"
