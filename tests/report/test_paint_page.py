"""The generator's sheet: well-formed, complete in itself, and without anybody's picture where that is asked."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from io import BytesIO

import av
import numpy as np
import pytest

from signloom.report.paint_page import PaintFootage, Still, write_paint_page

VOID = {"meta", "link", "img", "br", "input"}


class Balanced(HTMLParser):
    """Fails where tags do not close in the order they opened."""

    def __init__(self):
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def figure(value, spread=0.01):
    return {"value": value, "low": value - spread, "high": value + spread, "n": 40}


def results(ours=19.2):
    def areas(psnr):
        measured = {"psnr": figure(psnr), "ssim": figure(0.78), "gradient_ratio": figure(0.9)}
        return {"full": measured, "face": measured, "hands": measured}

    painted = areas(ours) | {
        "motion": {k: figure(0.02) for k in ("warp_error", "warp_ratio", "flicker", "flicker_ratio")},
        "pose": {k: figure(0.9) for k in ("hand_rate", "pck_10", "pck_20")},
    }
    real = {"motion": {k: figure(0.03) for k in ("warp_error", "flicker")}}
    real["pose"] = {k: figure(0.95) for k in ("hand_rate", "pck_10", "pck_20")}
    figures = {"painted": painted, "previous real frame": areas(18.7), "mean frame": areas(16.2), "real": real}
    clips = [{"id": i, "n_frames": 20, "fps": 25.0, "figures": {"painted": areas(ours)}} for i in ("a", "<b>")]
    return {"n_clips": 2, "n_frames": 40, "interval": "95 %", "figures": figures, "clips": clips}


def footage(n=6, fps=25.0):
    def picture(shade):
        return np.full((64, 64, 3), shade, np.uint8)

    stills = [
        Still("frame 3", picture(0), picture(90), picture(200), [(picture(90)[:16, :16], picture(200)[:16, :16])])
    ]
    return PaintFootage("clip <1>", fps, lambda: ((picture(0), picture(90), picture(200)) for _ in range(n)), stills)


def page(tmp_path, *args, **settings) -> str:
    html = write_paint_page(*args[:1], tmp_path / "page.html", *args[1:], **settings).read_text(encoding="utf-8")
    parser = Balanced()
    parser.feed(html)
    parser.close()
    assert not parser.open
    assert not re.search(r"https?://", html.replace("http://www.w3.org/2000/svg", ""))
    return html


def test_it_says_whether_painting_beats_what_is_had_without_it(tmp_path):
    html = page(tmp_path, results())
    assert "PSNR is 19.20 dB, above the best of what is had without painting: the previous real frame, 18.70" in html
    assert "not above the best" in page(tmp_path, results(ours=18.0))


def test_figures_stand_with_intervals_and_beside_the_real_clips_own(tmp_path):
    html = page(tmp_path, results())
    for text in ("19.20", "19.19–19.21", "18.70", "0.0200", "0.0300", "0.900", "0.950", "&lt;b&gt;", "generated"):
        assert text in html, text


def test_the_clip_plays_three_pictures_side_by_side(tmp_path):
    html = page(tmp_path, results(), [footage()])
    (data,) = re.findall(r"data:video/mp4;base64,([^\"]+)", html)
    with av.open(BytesIO(base64.b64decode(data))) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
        assert "generated" in container.metadata["comment"]
    assert len(frames) == 6
    assert frames[0].shape == (256, 768, 3)
    assert [round(frames[0][:, x].mean(), -1) for x in (128, 384, 640)] == [0, 90, 200]
    assert html.count("data:image/webp") == 2  # a still and its part


def test_long_and_fast_clips_are_thinned_and_cut(tmp_path):
    html = page(tmp_path, results(), [footage(n=800, fps=50.0)])
    (data,) = re.findall(r"data:video/mp4;base64,([^\"]+)", html)
    with av.open(BytesIO(base64.b64decode(data))) as container:
        assert container.streams.video[0].frames == 250
        assert container.streams.video[0].average_rate == 25


@pytest.mark.parametrize("settings", [{"embed_clips": False}, {"max_bytes": 20_000}])
def test_without_pictures_of_people_and_within_a_limit(tmp_path, settings):
    html = page(tmp_path, results(), [footage()], **settings)
    assert "data:video" not in html
    assert "data:image" not in html
    assert ("left out" in html) == ("max_bytes" in settings)


def test_fid_stands_with_its_number_of_frames_and_only_where_it_was_taken(tmp_path):
    whole = results()
    whole["figures"]["painted"]["full"] = whole["figures"]["painted"]["full"] | {
        "fid": {"value": 51.26, "low": None, "high": None, "n": 40}
    }
    html = page(tmp_path, whole)
    assert "51.3" in html
    assert "40 frames<" in html
    head = {area: html.split(f"<h3>{area}</h3>")[1].split("</thead>")[0] for area in ("Whole frame", "Face")}
    assert "FID" in head["Whole frame"]
    assert "FID" not in head["Face"]


def test_measures_that_were_not_taken_leave_no_table(tmp_path):
    bare = results()
    for who in ("painted", "real"):
        for area in ("motion", "pose"):
            bare["figures"][who].pop(area)
    html = page(tmp_path, bare)
    assert "From frame to frame" not in html
    assert "As a pose" not in html
