"""The page in a headless Chromium, served as `signloom serve` does, beside Python on the same clips."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

import signloom
from signloom import media
from signloom.streams.pose_holistic import HolisticPose

CLIPS = Path(__file__).parents[1] / "fixtures" / "holistic"
PARTS = {"body": slice(0, 25), "face": slice(33, 501), "left": slice(501, 522), "right": slice(522, 543)}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # minutes where the machine is busy with other things


@contextmanager
def serving(model: Path, cache: Path):
    """Where `signloom serve` serves ``model``."""
    command = [sys.executable, "-m", "signloom", "serve", str(model), "--port", "0", "--json", "--cache", str(cache)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield json.loads(server.stdout.readline())["url"]
        finally:
            server.terminate()


@pytest.fixture(scope="module")
def url(page, recogniser, tmp_path_factory):
    with serving(recogniser, tmp_path_factory.mktemp("served")) as where:
        yield where


def found_in(frames) -> np.ndarray:
    """What Python finds in (time_s, frame) pairs, (T, 545, 4)."""
    finder = HolisticPose().finder()
    try:
        return np.stack([finder.find(frame, time_s) for time_s, frame in frames])
    finally:
        finder.close()


def check_points(page_TPC: np.ndarray, python_TPC: np.ndarray, median: float) -> None:
    """The same was found, at the same places: ``median`` shoulder widths apart at most."""
    assert page_TPC.shape == python_TPC.shape
    there, here = page_TPC[..., 3] > 0, python_TPC[..., 3] > 0
    assert (there == here).mean() >= 0.99
    shoulder_px = np.median(np.linalg.norm(python_TPC[:, 11, :2] - python_TPC[:, 12, :2], axis=-1))
    apart = np.linalg.norm(page_TPC[..., :2] - python_TPC[..., :2], axis=-1) / shoulder_px
    for part, where in PARTS.items():
        both = (there & here)[:, where]
        assert both.any(), part
        assert np.median(apart[:, where][both]) <= median, part


def test_a_film_is_named_as_in_python_and_no_frame_is_lost(browser, url, recogniser):
    files = [CLIPS / "one_hand.mp4", CLIPS / "two_hands.mp4"]
    driven = browser.drive(url, [{"look": [str(file)]} for file in files])
    model = signloom.load(recogniser)
    for file, seen in zip(files, driven.clips):
        frames = list(media.iter_frames(file))
        assert seen.told["film"]["nFrames"] == len(frames)
        assert np.allclose(seen.times_s, [t for t, _ in frames], atol=1e-6)
        check_points(seen.points, found_in(frames), 1e-3)
        wanted, told = model(signloom.read_clip(file, model)), seen.answer
        assert told["frames"] == told["found"] == len(frames)
        assert np.allclose(told["logits"], wanted.logits_K, atol=0.05)
        assert told["verdict"]["top"][0]["label"] == wanted.top(1)[0][0]
        assert abs(told["verdict"]["unknown"] - wanted.unknown) < 0.02
        assert wanted.top(1)[0][0] in seen.told["shown"]
        assert f"{len(frames)} frames" in seen.told["shown"]
    # Nothing but this server was asked, and what runs is said.
    assert {request.split("/")[2] for request in driven.out["requests"] if request.startswith("http")} == {
        url.split("/")[2]
    }
    assert driven.out["about"]["poseThreads"] >= 1
    assert driven.out["about"]["backend"] in ("wasm", "webgpu")


def test_the_same_pictures_give_the_same_points(browser, url, tmp_path):
    frames = [(number / 25, frame) for number, (_, frame) in enumerate(media.iter_frames(CLIPS / "two_hands.mp4"))]
    for number, (_, frame) in enumerate(frames):
        assert cv2.imwrite(str(tmp_path / f"{number:03d}.png"), frame[..., ::-1])
    (seen,) = browser.drive(url, [{"look": [str(file) for file in sorted(tmp_path.glob("*.png"))]}]).clips
    check_points(seen.points, found_in(frames), 1e-3)


def test_a_sign_is_taught_kept_and_forgotten_with_the_keyboard_alone(browser, url):
    clip = str(CLIPS / "one_hand.mp4")
    driven = browser.drive(
        url,
        [
            {"look": [clip]},
            {"teach": "WAVE"},
            {"reload": True},
            {"look": [clip]},
            {"forget": "WAVE"},
            {"look": [clip]},
        ],
    )
    before, taught, after = driven.clips
    assert "WAVE" not in before.told["shown"]
    assert taught.answer["verdict"]["top"][0]["label"] == "WAVE"
    assert taught.answer["verdict"]["unknown"] < before.answer["verdict"]["unknown"]
    assert "WAVE" not in after.told["shown"]
    assert after.answer["logits"] == before.answer["logits"]


def test_a_camera_is_looked_at_frame_by_frame_in_a_window_as_narrow_as_a_phone(browser, url, tmp_path):
    film = tmp_path / "camera.mjpeg"
    frames = [frame for _, frame in media.iter_frames(CLIPS / "two_hands.mp4")]
    film.write_bytes(b"".join(cv2.imencode(".jpg", frame[..., ::-1])[1].tobytes() for frame in frames))
    driven = browser.drive(
        url,
        [{"camera": 1}, {"sign": 1.5}, {"evaluate": "document.documentElement.scrollWidth"}],
        camera=str(film),
        size={"width": 360, "height": 740},
    )
    (seen,) = driven.clips
    assert seen.answer["frames"] == len(seen.told["poses"]) >= 8
    assert seen.answer["found"] > 0
    assert driven.out["values"][-1] <= 360, "the page is wider than a phone"


def test_it_works_without_a_network_after_the_first_load(browser, page, recogniser, tmp_path):
    with serving(recogniser, tmp_path / "served") as where:
        ready = "navigator.serviceWorker.ready.then(r => r.active.state)"
        kept = "caches.open('signloom-page').then(async c => (await c.keys()).length)"
        steps = [
            {"evaluate": ready},
            {"evaluate": kept},
            {"offline": True},
            {"reload": True},
            {"look": [str(CLIPS / "one_hand.mp4")]},
        ]
        driven = browser.drive(where, steps)
    assert driven.out["values"][1] >= 10
    assert driven.out["about"] is not None
    assert driven.clips[0].answer["frames"] == 36


def test_what_is_no_video_is_told(browser, url, tmp_path):
    (tmp_path / "text.mp4").write_bytes(b"no video at all " * 100)
    cut = (CLIPS / "one_hand.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(cut[: len(cut) // 2])
    driven = browser.drive(
        url,
        [
            {"look": [str(tmp_path / "text.mp4")]},
            {"look": [str(tmp_path / "cut.mp4")]},
            {"look": [str(CLIPS / "one_hand.mp4")]},
        ],
    )
    for clip in driven.clips[:2]:
        assert clip.told["answer"] is None
        assert "text.mp4" in clip.told["status"] or "cut.mp4" in clip.told["status"]
    assert driven.clips[2].answer["frames"] == 36
