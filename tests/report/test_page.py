"""The report page: complete in itself, safe against what stands in the data, and within its size."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from signloom.data.seen import Overlap
from signloom.data.signal import Signal
from signloom.data.signal_files import write_signal
from signloom.errors import InputError
from signloom.media import write_video
from signloom.metrics.evaluation import evaluate_scores
from signloom.metrics.folds import aggregate_runs
from signloom.report.page import write_report

VOID = {"meta", "link", "br", "input", "img", "hr"}
HOSTILE = [
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"'><b>&amp;",
    "<!--",
    "مرحبا",
    "\u202egnihtemos",
    "nul\x00 and \ud800 half",
    "https://example.org/a.png",
]


class Page(HTMLParser):
    """Checks that every element is closed in order; collects elements, texts and what scripts hold."""

    def __init__(self, html: str):
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict]] = []
        self.scripts: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), f"<{tag}> has an attribute twice"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
        elif not self.open or self.open[-1] != "style":
            self.text += data

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


def results_of(labels, n_clips, *, signers=("s1", "s2"), right=2.0, seed=0, **more):
    rng = np.random.default_rng(seed)
    y = np.arange(n_clips) % len(labels)
    logits = rng.normal(size=(n_clips, len(labels)))
    logits[np.arange(n_clips), y] += right
    found = evaluate_scores(logits, y, labels, [signers[i % len(signers)] for i in range(n_clips)], resamples=50)
    return {
        "kind": "evaluation",
        "title": "A trial",
        "created": "2026-01-02T03:04:05Z",
        "signloom_version": "0.1.0",
        "split": {"name": "test", "scheme": "signer-disjoint", "detail": "held out: s1, s2"},
        "overlap": Overlap(frozenset(map(str, range(n_clips)))).as_dict(),
        "settings": {"recipe": "pose", "schedule": {"epochs": 3}},
        "corpus": {
            "name": "toy",
            "root": "/home/someone/secret",
            "hash": "abc123",
            "n_clips": n_clips,
            "licences": ["MIT"],
        },
        **found,
        **more,
    }


def read_page(path):
    html = path.read_text(encoding="utf-8")
    page = Page(html)
    assert_self_contained(html, page)
    return page


def assert_self_contained(html, page):
    for tag, attrs in page.elements:
        for name in ("src", "href", "srcset", "poster", "data", "action", "xlink:href"):
            value = attrs.get(name)
            assert value is None or value.startswith(("#", "data:")), f"<{tag} {name}={value[:60]!r}>"
        assert not [name for name in attrs if name.startswith("on")], f"<{tag}> has an event handler"
    assert "@import" not in html
    assert not re.search(r"url\(", html)
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "http" not in policy
    # Nothing in the page's own style and script names an address; what the data says is text.
    assert not re.search(r"https?://|[\"'(]//", "".join(page.scripts[-1:]))


@pytest.fixture
def clip_file(tmp_path):
    """A 12-frame clip with a moving square."""
    frames = np.full((12, 120, 160, 3), 90, np.uint8)
    for t in range(12):
        frames[t, 40:70, 10 + 8 * t : 40 + 8 * t] = (200, 40, 30)
    write_video(tmp_path / "clip.mp4", frames, 12.0)
    return tmp_path / "clip.mp4"


def test_a_page_says_what_was_measured_and_on_which_split(tmp_path):
    results = results_of(list("abcdef"), 60)
    page = read_page(write_report(results, tmp_path / "report.html"))
    shown = f"{100 * results['metrics']['top1']['value']:.1f}"
    assert shown in page.text
    assert "Of 60 clips by signers it had never seen" in page.text
    assert "Of the 60 clips measured 0 were trained on and 0 are by signers that it learnt from." in page.text
    assert page.text.count("split test · signer-disjoint · held out: s1, s2") >= 4
    assert "Only 60 clips were measured" in page.text
    assert "abc123" in page.text
    assert "secret" not in page.text
    assert [a["lang"] for a in page.all("html")] == ["en"]
    assert len(page.all("h1")) == 1
    assert all("scope" in a for a in page.all("th"))
    for svg in page.all("svg"):
        assert svg.get("aria-hidden") == "true" or (svg.get("role") == "img" and svg.get("aria-label"))
    anchors = {a["id"] for _, a in page.elements if "id" in a}
    assert all(a["href"][1:] in anchors for a in page.all("a"))


def test_hostile_labels_signers_ids_and_reasons_are_only_text(tmp_path):
    results = results_of(
        HOSTILE,
        64,
        signers=["</style><script>", "\u202e<b>"],
        right=0.5,
        title="<script>alert('t')</script>",
        failures=[{"id": "<a href=//x>", "reason": "</td></table><svg onload=alert(1)>"}],
        settings={"<i>key</i>": {"</script>": "<script>"}},
        warnings=["<u>careful</u>"],
        command=["signloom", "</code><script>"],
    )
    page = read_page(write_report(results, tmp_path / "report.html"))
    assert len(page.scripts) == 2
    data = json.loads(page.scripts[0])
    assert data["labels"][:5] == HOSTILE[:5]
    assert "</script><script>alert(1)</script>" in page.text
    assert "<u>careful</u>" in page.text
    assert not page.all("img")
    assert not page.all("b")
    assert "nul\ufffd and \ufffd half" in page.text
    bdi_open = sum(1 for tag, _ in page.elements if tag == "bdi")
    assert bdi_open > 20


@pytest.mark.parametrize(("n_labels", "signers"), [(2, ["only"]), (2, [None]), (5, ["a", None]), (41, ["a", "b"])])
def test_small_and_odd_results_make_a_page(tmp_path, n_labels, signers):
    results = results_of([f"sign {i}" for i in range(n_labels)], 3 * n_labels, signers=signers)
    page = read_page(write_report(results, tmp_path / "report.html"))
    assert ("One signer only" in page.text) == (signers == ["only"])


def test_empty_results_make_a_page_that_says_so(tmp_path):
    page = read_page(write_report({}, tmp_path / "report.html"))
    assert "These results hold no accuracy" in page.text
    assert "split not stated" in page.text


def test_perfect_results_show_the_closest_calls(tmp_path, clip_file):
    results = results_of(list("abc"), 30, right=50.0)
    for clip in results["clips"]:
        clip["video"] = str(clip_file)
    page = read_page(write_report(results, tmp_path / "report.html"))
    assert "Closest calls" in page.text
    assert "0 of 30 clips were taken for another sign" in page.text
    assert page.all("video")


def test_what_sensors_measured_is_drawn_beside_or_in_place_of_footage(tmp_path, clip_file):
    names = [
        f"right_wrist_{what}_{axis}_{unit}" for what, unit in (("acceleration", "g"), ("other", "au")) for axis in "xyz"
    ]
    values_TC = np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32)
    write_signal(tmp_path / "a.npz", Signal(values_TC, 50.0, tuple(names), start_s=-0.5))
    results = results_of(list("abc"), 30, right=2.0)
    for clip in results["clips"]:
        clip.update(sensor=str(tmp_path / "a.npz"), video=str(clip_file) if clip["label"] == "a" else None)
    file = write_report(results, tmp_path / "report.html")
    page, text = read_page(file), file.read_text()
    assert page.all("video")
    assert text.count('class="signals"') > len(page.all("video"))
    assert f"right wrist acceleration, ±{np.abs(values_TC[:, :3]).max():.3g} g" in text
    assert "-0.5 s" in text
    assert "5.5 s" in text
    assert "No footage is recorded" not in text
    assert str(tmp_path) not in text
    for clip in results["clips"]:
        clip.update(video=None)
    assert "but what sensors on the signers measured" in write_report(results, tmp_path / "report.html").read_text()
    assert (
        "signals" not in write_report(results, tmp_path / "b.html", embed_clips=False).read_text().split("</style>")[1]
    )
    (tmp_path / "a.npz").write_bytes(b"no")
    assert "No footage is recorded" in write_report(results, tmp_path / "c.html").read_text()


def test_two_thousand_classes_stay_small_and_name_what_they_leave_out(tmp_path):
    rng = np.random.default_rng(0)
    k, n = 2000, 20_000
    labels = [f"gloss-{i}" for i in range(k)]
    y = rng.integers(0, k, n)
    predicted = np.where(rng.random(n) < 0.7, y, rng.integers(0, k, n))
    cells, counts = np.unique(y * k + predicted, return_counts=True)
    results = {
        "labels": labels,
        "split": {"name": "test", "scheme": "given"},
        "metrics": {"top1": {"value": 0.7, "low": 0.69, "high": 0.71}, "n_clips": n, "chance": 1 / k},
        "per_class": [
            {"label": name, "n_clips": int((y == i).sum()), "top1": 0.7, "precision": None, "f1": 0.7}
            for i, name in enumerate(labels)
        ],
        "per_signer": [{"signer": f"s{i}", "n_clips": 200, "top1": 0.7, "macro_f1": 0.7} for i in range(100)],
        "confusion": {
            "format": "sparse",
            "rows": (cells // k).tolist(),
            "columns": (cells % k).tolist(),
            "counts": counts.tolist(),
        },
        "clips": [
            {"id": str(i), "label": labels[a], "signer": "s0", "predicted": labels[b], "confidence": 0.5}
            for i, (a, b) in enumerate(zip(y.tolist(), predicted.tolist()))
        ],
    }
    path = write_report(results, tmp_path / "report.html")
    assert path.stat().st_size < 2_500_000
    page = read_page(path)
    assert "The matrix shows the 40 signs with the most frequent mix-ups, of 2,000" in page.text
    assert re.search(r"The first 2,000 mix-ups; [\d,]+ rarer ones are in the results file", page.text)
    assert len(json.loads(page.scripts[0])["labels"]) == 40
    assert "All 100 signers" in page.text


def test_clips_are_embedded_once_small_and_play(tmp_path, clip_file):
    import av

    results = results_of(list("abcd"), 40, right=1.0)
    for clip in results["clips"]:
        clip["video"] = str(clip_file)
    page = read_page(write_report(results, tmp_path / "report.html", max_clips=6))
    videos = page.all("video")
    assert 4 <= len(videos) <= 6
    assert "footage of the people who signed" in page.text
    assert str(tmp_path) not in page.text
    for video in videos:
        assert video["aria-label"]
        kind, data = video["src"].split(",")
        assert kind == "data:video/mp4;base64"
        with av.open(io.BytesIO(base64.b64decode(data, validate=True))) as container:
            stream = container.streams.video[0]
            frames = list(container.decode(video=0))
            assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
            assert (len(frames), frames[0].width, frames[0].height) == (12, 160, 120)


def test_large_footage_is_scaled_down_cut_and_evenly_timed(tmp_path):
    import av

    def frames():
        for t in range(360):
            frame = np.full((400, 640, 3), 60, np.uint8)
            frame[:, t : t + 40] = 220
            yield frame

    write_video(tmp_path / "long.mp4", frames(), 30.0)
    results = results_of(list("ab"), 8, right=0.0)
    for clip in results["clips"]:
        clip["video"] = str(tmp_path / "long.mp4")
    page = read_page(write_report(results, tmp_path / "report.html", max_clips=1))
    (video,) = page.all("video")
    assert "the first 10 s" in page.text
    with av.open(io.BytesIO(base64.b64decode(video["src"].split(",")[1]))) as container:
        frames = list(container.decode(video=0))
        assert (frames[0].width, frames[0].height) == (320, 200)
        assert len(frames) == 250
        assert float(container.streams.video[0].average_rate) == 25.0


def test_a_clip_is_cut_from_a_longer_source(tmp_path, clip_file):
    import av

    results = results_of(list("ab"), 8, right=0.0)
    for clip in results["clips"]:
        clip |= {"first_frame": 3, "end_frame": 8, "box_px": [0, 0, 80, 120]}
    asked = []

    def find(clip):
        asked.append(clip["id"])
        return clip_file

    page = read_page(write_report(results, tmp_path / "report.html", clip_videos=find, max_clips=1))
    (video,) = page.all("video")
    assert len(asked) >= 1
    with av.open(io.BytesIO(base64.b64decode(video["src"].split(",")[1]))) as container:
        frames = list(container.decode(video=0))
        assert (len(frames), frames[0].width, frames[0].height) == (5, 80, 120)


def test_missing_and_broken_footage_leaves_a_remark(tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"not a video at all" * 20)
    places = [None, str(tmp_path / "gone.mp4"), str(tmp_path / "broken.mp4"), str(tmp_path)]
    results = results_of(list("abcd"), 40, right=0.5)
    for i, clip in enumerate(results["clips"]):
        clip["video"] = places[i // 4 % 4]
    page = read_page(write_report(results, tmp_path / "report.html"))
    assert not page.all("video")
    assert "No footage is recorded for this clip." in page.text
    assert "The footage could not be read (missing)." in page.text
    assert "This report holds no footage." in page.text
    assert str(tmp_path) not in page.text


def test_the_size_cap_holds_with_and_without_footage(tmp_path, clip_file):
    results = results_of(list("abcdefgh"), 80, right=0.5)
    for clip in results["clips"]:
        clip["video"] = str(clip_file)
    bare = write_report(results, tmp_path / "bare.html", embed_clips=False)
    assert not read_page(bare).all("video")
    assert "The hardest pairs" in bare.read_text()
    free = write_report(results, tmp_path / "free.html")
    cap = (bare.stat().st_size + free.stat().st_size) // 2
    capped = write_report(results, tmp_path / "capped.html", max_bytes=cap)
    assert capped.stat().st_size <= cap
    assert 0 < len(read_page(capped).all("video")) < len(read_page(free).all("video"))
    assert "the page has reached its size limit" in read_page(capped).text or "does not fit" in read_page(capped).text
    with pytest.raises(InputError, match=r"needs .* bytes without any footage"):
        write_report(results, tmp_path / "none.html", max_bytes=10_000)
    assert not (tmp_path / "none.html").exists()


def test_cross_validation_has_its_table_mean_worst_and_interval(tmp_path):
    runs = [
        {"name": f"{s} seed {seed}", "held_out": s, "seed": seed, "top1": top, "macro_f1": top, "seconds": 60.0}
        for s, tops in (("ann", (0.9, 0.92)), ("bob", (1.0, 1.0)), ("cem", (0.7, 0.8)))
        for seed, top in enumerate(tops)
    ]
    split = {"name": "each signer in turn", "scheme": "leave-one-signer-out"}
    folds = aggregate_runs(runs, resamples=200)
    results = {"title": "CV", "split": split, "runs": runs, "cross_validation": folds, "labels": ["a", "b"]}
    text = read_page(write_report(results, tmp_path / "cv.html")).text
    assert "Cross-validation · split each signer in turn" in text
    assert "Over 3 folds, each kept out of training in turn, 88.7% of the clips were recognised on average" in text
    assert "the hardest, cem, reached 75.0%" in text
    assert "95% interval" in text
    assert "seed 0" in text
    assert "70.0%" in text
    # Without the aggregate the page works out the means itself, and claims no interval.
    plain = read_page(write_report({**results, "cross_validation": None}, tmp_path / "plain.html")).text
    assert "88.7% of the clips" in plain
    assert "95% interval" not in plain


def test_the_same_results_give_the_same_page(tmp_path, clip_file):
    results = results_of(list("abc"), 30, right=0.5)
    for clip in results["clips"]:
        clip["video"] = str(clip_file)
    one, two = (write_report(results, tmp_path / f"{i}.html").read_bytes() for i in (1, 2))
    assert one == two
