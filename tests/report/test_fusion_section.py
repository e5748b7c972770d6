"""How a fusion is told: on the page and in the terminal, with safe names and intervals."""

from __future__ import annotations

import numpy as np

from signloom.metrics.evaluation import evaluate_scores
from signloom.report.page import write_report
from signloom.report.sections import fusion_section
from signloom.report.text import comparison_lines, summary_lines


def results(**more):
    y = np.arange(40) % 4
    logits = np.eye(4)[y] * 2 + np.random.default_rng(0).normal(size=(40, 4))
    found = evaluate_scores(logits, y, list("ABCD"), ["s1", "s2"] * 20, resamples=50)
    stream = {"recipe": "pose", "architecture": "x", "n_missing": 0, "val_top1": 0.9}
    gain = {"value": 0.025, "low": -0.01, "high": 0.06}
    fusion = {
        "streams": [
            {**stream, "name": "<b>rgb</b>", "weight": 0.25, "top1": {"value": 0.8, "low": 0.7, "high": 0.9},
             "difference": {"value": -0.1, "low": -0.2, "high": -0.05}, "n_missing": 3},
            {**stream, "name": "flow", "weight": 0.75, "top1": {"value": 0.9, "low": 0.8, "high": 0.95},
             "difference": gain},
        ],
        "top1": {"value": 0.925, "low": 0.9, "high": 0.95}, "best": "flow", "difference": gain, "rule": "fitted",
        "validation": {"n_clips": 31, "top1": 0.95},
    }  # fmt: skip
    return {"title": "Both", "kind": "evaluation", "split": {"name": "test"}, **found, "fusion": fusion | more}


def test_the_page_shows_weights_and_each_stream_beside_the_fusion(tmp_path):
    page = write_report(results(), tmp_path / "r.html").read_text(encoding="utf-8")
    assert '<section id="fusion"' in page
    assert "&lt;b&gt;rgb&lt;/b&gt;" in page
    assert "<b>rgb</b>" not in page
    for text in ("0.25", "3 clips without it", "−10.0", "−20.0 to −5.0", "31 validation clips", "+2.5"):
        assert text in page
    assert "do not settle whether fusing helps" in page
    assert fusion_section({**results(), "fusion": None}) == ""


def test_what_the_words_say_follows_the_rule():
    assert "they weigh the same" in fusion_section(results(rule="equal", validation={}))
    assert "moved towards it" in fusion_section(results(rule="fitted, then towards the best stream"))
    clear = fusion_section(results(difference={"value": 0.05, "low": 0.01, "high": 0.09}))
    assert "do not settle" not in clear


def test_the_terminal_shows_the_same_and_every_run():
    runs = [{"name": "s1 seed 0", "streams": {"<b>rgb</b>": 0.5, "flow": 0.75}, "fused": 1.0, "weights": {}}]
    lines = "\n".join(summary_lines(results(per_run=runs)))
    assert "flow          0.75   90.0%" in lines
    assert "s1 seed 0" in lines
    assert "100.0%" in lines
    told = {"title": "Two", "split": {"name": "test"}, **{"streams": results()["fusion"]["streams"]}}
    compared = "\n".join(comparison_lines(told | {"warnings": ["left out: x"]}))
    assert "weight" not in compared
    assert "Note: left out: x" in compared
