"""Measuring a generator: every figure beside baselines, frames read in step."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from signloom.data.corpus import SplitManifest
from signloom.data.manifest import Manifest
from signloom.data.skeleton import INDEX, JOINTS, PARTS, Joints
from signloom.errors import InputError
from signloom.tasks.paint.evaluate import (
    MEAN,
    NEAREST,
    PREVIOUS,
    PageSettings,
    PaintedClip,
    _shown,
    measure_clips,
    write_page,
)
from signloom.transforms.pose_map import CHANNELS, FINGER_ROWS

SIZE = 64


def scene(x: int) -> tuple[np.ndarray, np.ndarray]:
    """A signer whose one hand stands at ``x``: the picture, and its pose map."""
    rng = np.random.default_rng(0)
    picture = cv2.GaussianBlur(rng.integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8), (0, 0), 2)
    cv2.circle(picture, (x, 44), 6, (230, 180, 150), -1)
    cv2.circle(picture, (32, 14), 7, (230, 190, 160), -1)
    pose_map = np.zeros((SIZE, SIZE, len(CHANNELS)), np.uint8)
    pose_map[38:50, x - 5 : x + 5, FINGER_ROWS] = 200
    pose_map[8:20, 26:38, 0] = 255
    return picture, pose_map


TEST = [12, 16, 20, 25, 29, 33]
TRAIN = [10, 21, 32, 43]


def clip(name: str = "a", places=TEST, change=lambda picture: picture) -> PaintedClip:
    frames = [scene(x) for x in places]
    return PaintedClip(
        name,
        25.0,
        painted=lambda: (change(picture) for picture, _ in frames),
        real=lambda: (picture for picture, _ in frames),
        pose_maps=lambda: (pose_map for _, pose_map in frames),
    )


def train():
    return (scene(x) for x in TRAIN)


def blurred(picture: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(picture, (0, 0), 1.5)


def value(results, who, area, name) -> float:
    return results["figures"][who][area][name]["value"]


def test_a_perfect_generator_has_perfect_figures_everywhere():
    results = measure_clips([clip()], train, quiet=True)
    for area in ("full", "face", "hands"):
        assert value(results, "painted", area, "psnr") == pytest.approx(100)
        assert value(results, "painted", area, "ssim") == pytest.approx(1, abs=1e-5)
        assert value(results, "painted", area, "gradient_ratio") == pytest.approx(1)
        assert value(results, "painted", area, "lattice") == value(results, "real", area, "lattice")
    for name in ("warp_ratio", "flicker_ratio"):
        assert value(results, "painted", "motion", name) == pytest.approx(1)
    json.dumps(results, allow_nan=False)


def test_baselines_are_what_they_say():
    results = measure_clips([replace(clip(), before=scene(10)[0])], train, quiet=True)

    def psnr(a, b):
        return -10 * math.log10(np.square((a.astype(float) - b) / 255).mean() or 1e-10)

    real = [scene(x)[0] for x in TEST]
    mean = np.mean([scene(x)[0] for x in TRAIN], 0).round()
    nearest = [scene(min(TRAIN, key=lambda t: abs(t - x)))[0] for x in TEST]
    wanted = {
        MEAN: [psnr(mean, r) for r in real],
        NEAREST: [psnr(n, r) for n, r in zip(nearest, real)],
        PREVIOUS: [psnr(p, r) for p, r in zip([scene(10)[0], *real], real)],
    }
    for who, values in wanted.items():
        assert value(results, who, "full", "psnr") == pytest.approx(np.mean(values), abs=1e-3), who
        assert value(results, who, "hands", "psnr") < value(results, who, "full", "psnr")
        assert value(results, who, "full", "gradient_ratio") > 0


def test_a_blur_shows_in_sharpness_and_in_the_interval():
    results = measure_clips([clip(change=blurred)], quiet=True)
    sharpness = results["figures"]["painted"]["full"]["gradient_ratio"]
    assert sharpness["low"] <= sharpness["value"] <= sharpness["high"] < 0.8
    assert MEAN not in results["figures"]
    assert "blocks" in results["interval"]


def test_frames_count_alike_and_clips_are_also_told_apart():
    good, bad = clip("good", TEST[:2]), clip("bad", TEST, blurred)
    results = measure_clips([good, bad], train, quiet=True)
    of_clips = [c["figures"]["painted"]["full"]["ssim"]["value"] for c in results["clips"]]
    assert of_clips[0] == pytest.approx(1, abs=1e-5)
    assert value(results, "painted", "full", "ssim") == pytest.approx((2 * of_clips[0] + 6 * of_clips[1]) / 8)
    assert results["n_frames"] == 8
    assert "over 2 clips" in results["interval"]


def test_another_distance_is_measured_where_one_is_given():
    results = measure_clips([clip(change=blurred)], lpips=lambda a, b: (a - b).abs().mean((1, 2, 3)), quiet=True)
    assert 0 < value(results, "painted", "hands", "lpips") < 1


def test_parts_too_small_for_a_distance_are_left_out_of_it():
    def distance(a, b):
        assert min(a.shape[2:]) >= distance.min_px
        return (a - b).abs().mean((1, 2, 3))

    distance.min_px = 32
    results = measure_clips([clip(change=blurred)], lpips=distance, quiet=True)
    assert value(results, "painted", "full", "lpips") > 0
    assert "lpips" not in results["figures"]["painted"]["hands"]


def test_fid_is_of_whole_frames_painted_and_nearest_but_not_of_one_picture_or_the_real_ones():
    def features(x):
        return x.mean((2, 3))

    def figures(change):
        clips = [replace(clip("a", change=change), before=scene(10)[0]), clip("b", [15, 23], change)]
        return measure_clips(clips, train, fid=features, quiet=True)["figures"]

    same, dark = figures(lambda picture: picture), figures(lambda picture: picture // 2)
    assert same["painted"]["full"]["fid"] == {"value": pytest.approx(0, abs=1e-9), "low": None, "high": None, "n": 8}
    assert dark["painted"]["full"]["fid"]["value"] > 0.01
    assert dark[NEAREST]["full"]["fid"] == same[NEAREST]["full"]["fid"]
    assert all("fid" not in dark[who]["full"] for who in (MEAN, PREVIOUS))
    assert "fid" not in dark["painted"]["face"]


def test_hands_are_looked_for_in_painted_and_real_frames(monkeypatch):
    xy = np.zeros((len(TEST), len(JOINTS), 2), np.float32)
    xy[:, INDEX["left_shoulder"]] = 50
    present = np.zeros(xy.shape[:2], bool)
    present[:, [INDEX["left_shoulder"], INDEX["right_shoulder"]]] = present[:, PARTS["left_hand"]] = True
    wanted = Joints(xy, present, 25.0)
    blind = present.copy()
    blind[:3, PARTS["left_hand"]] = False

    def found(frames, fps):
        sharp = np.array_equal(next(iter(frames)), scene(TEST[0])[0])
        return wanted if sharp else Joints(xy, blind, fps)

    monkeypatch.setattr("signloom.metrics.pictures.redetected", found)
    results = measure_clips([replace(clip(change=blurred), wanted=wanted)], quiet=True)
    assert value(results, "real", "pose", "hand_rate") == 1
    assert value(results, "painted", "pose", "hand_rate") == value(results, "painted", "pose", "pck_10") == 0.5


@pytest.mark.parametrize("stream", ["painted", "real", "pose_maps"])
def test_streams_out_of_step_are_refused(stream):
    whole = clip()
    shorter = replace(whole, **{stream: lambda: list(getattr(whole, stream)())[:-1]})
    with pytest.raises(InputError, match=r"clip 'a'.*one ends after 5"):
        measure_clips([shorter], quiet=True)


def test_no_clips_no_frames_and_other_sizes_are_refused():
    with pytest.raises(InputError, match="no clip"):
        measure_clips([], quiet=True)
    with pytest.raises(InputError, match="no frames"):
        measure_clips([clip(places=[])], quiet=True)
    with pytest.raises(InputError, match=r"frame 0.*one size"):
        measure_clips([clip(change=lambda p: p[:32])], quiet=True)
    with pytest.raises(InputError, match="no training frame"):
        measure_clips([clip()], lambda: iter(()), quiet=True)
    with pytest.raises(InputError, match="no test frame"):
        measure_clips([clip(places=[])], train, quiet=True)


def test_the_page_holds_figures_stills_and_clips(tmp_path):
    clips = [clip("one & only", change=blurred)]
    results = measure_clips(clips, train, quiet=True)
    file = write_page(results, clips, tmp_path / "page.html", PageSettings(n_stills=2, about={"recipe": "toy"}))
    html = file.read_text(encoding="utf-8")
    assert html.count("data:video/mp4") == 1
    assert html.count("frame 1<") == html.count("frame 4<") == 1
    assert "one &amp; only" in html


def test_who_does_not_want_to_be_shown_is_on_no_page(tmp_path):
    clips = [SimpleNamespace(clip=SimpleNamespace(signer=signer)) for signer in ("anna", "bo")]
    asked = SplitManifest(Manifest((), tmp_path, {"consent": {"anna": {"display": False}}}))
    assert _shown(["of anna", "of bo"], clips, asked) == ["of bo"]
    assert _shown(["of anna", "of bo"], clips, SplitManifest(Manifest((), tmp_path))) == ["of anna", "of bo"]
