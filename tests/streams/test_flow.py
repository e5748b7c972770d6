"""Optical flow: known shifts, the same values live and offline, units, and colours."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from signloom.errors import InputError
from signloom.media.flow_files import read_flow, write_flow
from signloom.streams.flow import BODY_UNIT, CHOICES, Flow, colour_wheel


def texture(height: int, width: int, blur: float = 2.0) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), blur), None, 0, 255, cv2.NORM_MINMAX)


def shifted(*shifts: tuple[int, int], height: int = 80, width: int = 96) -> np.ndarray:
    """A textured scene whose content stands (x, y) pixels further right and down in each frame."""
    scene = texture(height + 80, width + 80)
    return np.stack([scene[40 - y : 40 - y + height, 40 - x : 40 - x + width] for x, y in shifts])


def flow_of(frames, flow: Flow, **settings) -> np.ndarray:
    return np.stack(list(flow.of_frames(frames, **settings)))


@pytest.mark.parametrize("name", CHOICES)
def test_a_known_shift_comes_out_after_storage(name, tmp_path):
    frames = shifted((0, 0), (3, 0), (3, 3), (0, 3))
    write_flow(tmp_path / "a.mp4", Flow.named(name).of_frames(frames), 25, 20.0)
    flow = read_flow(tmp_path / "a.mp4")
    assert flow.shape == (4, 80, 96, 2)
    assert not flow[0].any()
    for got, want in zip(flow[1:, 12:-12, 12:-12], [(3, 0), (0, 3), (-3, 0)]):
        off = np.linalg.norm(got - np.float32(want), axis=-1)
        assert off.mean() < 0.3
        assert np.percentile(off, 99) < 0.3


@pytest.mark.parametrize("name", ["dis-fast", "dis-ultrafast", "dis-medium", "farneback", "tvl1-fast"])
def test_live_and_offline_agree_bit_for_bit_on_any_number_of_threads(name):
    frames = shifted((0, 0), (2, 1), (5, -1), (5, 0), (1, 1))
    flow = Flow.named(name)
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        offline = flow_of(frames, flow)
        cv2.setNumThreads(4)
        live = flow.start()
        for frame, want in zip(frames, offline):
            got = live.push(frame)
            assert got.dtype == np.float32
            np.testing.assert_array_equal(got, want)
    finally:
        cv2.setNumThreads(threads)


def test_a_stream_keeps_nothing_of_the_clip_before():
    a, b = shifted((0, 0), (3, 0)), shifted((0, 0), (0, 5))
    flow = Flow()
    alone = flow_of(b, flow)
    flow_of(a, flow)
    np.testing.assert_array_equal(flow_of(b, flow), alone)


def test_values_beyond_the_limit_are_cut():
    frames = shifted((0, 0), (8, 0))
    assert flow_of(frames, Flow("dis", "medium"))[1, 20:-20, 20:-20, 0].mean() == pytest.approx(8, abs=0.5)
    cut = flow_of(frames, Flow("dis", "medium", limit_px=4.0))
    assert cut.max() == 4.0
    assert cut.min() >= -4.0


def test_body_units_do_not_depend_on_the_cameras_distance():
    near = shifted((0, 0), (4, 0), height=160, width=192)
    far = np.stack([cv2.resize(f, (96, 80), interpolation=cv2.INTER_AREA) for f in near])
    pixels = Flow("farneback")
    body = replace(pixels, units="body")

    def middle(flow):
        height, width = flow.shape[1:3]
        return flow[1, height // 4 : -height // 4, width // 4 : -width // 4, 0].mean()

    assert middle(flow_of(near, pixels)) == pytest.approx(2 * middle(flow_of(far, pixels)), rel=0.05)
    # Where the signer looks twice as wide, the same pixels are half the motion.
    at_40, at_80 = (flow_of(near, body, shoulder_px=width) for width in (40.0, 80.0))
    np.testing.assert_allclose(at_80[1], at_40[1] / 2, atol=1e-5)
    at_far = flow_of(far, body, shoulder_px=40.0)
    assert middle(at_far) == pytest.approx(middle(at_80), rel=0.05)
    assert middle(at_80) == pytest.approx(4 / 80 * BODY_UNIT, rel=0.1)


def test_body_units_without_a_pose_are_refused():
    with pytest.raises(InputError, match="'pose'"):
        Flow(units="body").start()


def test_names_presets_and_fingerprints():
    made = [Flow.named(name) for name in CHOICES]
    assert [f.name for f in made] == list(CHOICES)
    assert len({str(f.fingerprint()) for f in made}) == len(CHOICES)
    assert Flow.named("dis") == Flow() == Flow.named("dis-fast")
    assert Flow(limit_px=10).fingerprint() != Flow().fingerprint() != Flow(units="body").fingerprint()
    published = Flow.named("tvl1-fast").fingerprint()["parameters"]
    assert {k: published[k] for k in ("scale_step", "warps", "epsilon", "tau", "lambda", "theta", "nscales")} == {
        "scale_step": 0.5,
        "warps": 3,
        "epsilon": 0.02,
        "tau": 0.25,
        "lambda": 0.15,
        "theta": 0.3,
        "nscales": 5,
    }


@pytest.mark.parametrize(
    "wrong",
    [{"method": "brox"}, {"preset": "slow"}, {"units": "metres"}, {"limit_px": 0.0}, {"limit_px": float("nan")}],
)
def test_settings_there_are_not(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        Flow(**wrong)


@pytest.mark.parametrize("name", ["brox", "dis-slow", "-fast", ""])
def test_names_there_are_not(name):
    with pytest.raises(InputError, match="dis-fast"):
        Flow.named(name)


@pytest.mark.parametrize(
    "frame",
    [np.zeros((80, 96), np.uint8), np.zeros((80, 96, 3), np.float32), np.zeros((8, 96, 3), np.uint8)],
    ids=["grey", "float", "tiny"],
)
def test_frames_of_another_kind(frame):
    with pytest.raises(InputError, match="wanted uint8"):
        Flow().start().push(frame)


def test_frames_that_change_size():
    stream = Flow().start()
    stream.push(np.zeros((80, 96, 3), np.uint8))
    with pytest.raises(InputError, match="came after"):
        stream.push(np.zeros((80, 98, 3), np.uint8))


def test_directions_have_the_colours_the_wheel_says():
    flow = np.zeros((1, 2, 3, 2), np.float32)
    flow[0, 0] = [(8, 0), (0, 8), (-8, 0)]
    flow[0, 1] = [(0, -8), (0, 0), (4, 0)]
    colours = colour_wheel(flow)[0]
    assert colours.dtype == np.uint8
    right, down, left, up, still, slow = colours.reshape(6, 3).astype(int)
    assert tuple(right) == (255, 0, 0)
    assert tuple(left) == (0, 255, 255)
    assert tuple(still) == (255, 255, 255)
    hues = [cv2.cvtColor(np.uint8([[c]]), cv2.COLOR_RGB2HSV)[0, 0, 0] * 2 for c in (right, down, left, up)]
    assert hues == [pytest.approx(angle, abs=2) for angle in (0, 90, 180, 270)]
    assert slow[0] == 255
    assert slow[1] == slow[2] == pytest.approx(128, abs=1)
    np.testing.assert_array_equal(colour_wheel(5 * flow, full_px=40), colour_wheel(flow))
