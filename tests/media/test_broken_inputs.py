"""Files of every broken kind: each reads right or is named with its reason; none hangs, crashes or passes for whole."""

from __future__ import annotations

import random
import time

import numpy as np
import pytest

from signloom import media
from signloom.errors import MediaError

SLOWEST_S = 10.0


def frames_in(path) -> int:
    return len(media.read_pose(path).body.data if path.suffix == ".pose" else media.read_video(path).frames_THWC)


def test_there_are_many_kinds(broken_inputs):
    assert len({b.kind for b in broken_inputs}) == len(broken_inputs)
    assert sum(not b.ok for b in broken_inputs) >= 30
    assert all(set(b.reasons) <= set(media.REASONS) for b in broken_inputs)
    assert all(bool(b.reasons) != b.ok for b in broken_inputs)


def test_each_reads_right_or_is_named_with_its_reason(broken_inputs):
    wrong = []
    for broken in broken_inputs:
        started = time.monotonic()
        try:
            got = frames_in(broken.path)
        except MediaError as error:
            got = error.reason
            if broken.path.name not in str(error) or len(str(error)) > 600 + len(str(broken.path)):
                wrong.append(f"{broken.kind}: message {error}")
        if broken.ok and broken.n_frames is not None:
            right = got == broken.n_frames
        else:
            right = isinstance(got, int) if broken.ok else got in broken.reasons
        if not right:
            wrong.append(f"{broken.kind}: got {got}, wanted {broken.n_frames if broken.ok else broken.reasons}")
        if time.monotonic() - started > SLOWEST_S:
            wrong.append(f"{broken.kind}: took {time.monotonic() - started:.1f} s")
    assert not wrong, "\n".join(wrong)


def test_probe_agrees_where_the_header_tells(broken_inputs):
    deep = ("decode-error", "no-frames")  # only reading on finds these, and counts that no index confirms
    wrong = []
    for broken in broken_inputs:
        if broken.path.suffix == ".pose":
            continue
        try:
            info = media.probe(broken.path)
        except MediaError as error:
            if broken.ok or error.reason not in broken.reasons:
                wrong.append(f"{broken.kind}: {error.reason}")
        else:
            if not broken.ok and not set(broken.reasons) & set(deep) and broken.path.name != "liar.avi":
                wrong.append(f"{broken.kind}: probe finds nothing wrong")
            if broken.ok and info.n_frames not in (None, broken.n_frames):
                wrong.append(f"{broken.kind}: probe says {info.n_frames} frames")
    assert not wrong, "\n".join(wrong)


def test_odd_rates_give_sensible_times(broken_inputs):
    for name in ("zero_fps.mp4", "fps_90000.mp4"):
        path = next(b.path for b in broken_inputs if b.path.name == name)
        video = media.read_video(path)
        assert video.fps == 25
        np.testing.assert_allclose(video.times_s, np.arange(24) / 25, atol=1e-9)
        assert media.probe(path).fps == 25


def test_frames_before_a_cut_can_still_be_had_when_asked_for(broken_inputs):
    cut = next(b.path for b in broken_inputs if b.path.name == "cut_middle.mp4")
    whole = next(b.path for b in broken_inputs if b.path.name == "link.mp4")
    frames = media.read_video(cut, end_frame=3).frames_THWC
    assert len(frames) == 3
    assert np.abs(frames.astype(int) - media.read_video(whole, end_frame=3).frames_THWC).mean() < 6
    with pytest.raises(MediaError) as caught:
        media.read_video(cut, end_frame=20)
    assert caught.value.reason == "truncated"


@pytest.mark.parametrize(
    ("suffix", "settings"),
    [
        ("mp4", {"movflags": "+faststart"}),
        ("mp4", {}),
        ("mp4", {"movflags": "frag_keyframe+empty_moov"}),
        ("mkv", {}),
        ("webm", {"codec": "libvpx-vp9", "options": {"cpu-used": "8", "deadline": "realtime"}}),
        ("avi", {"codec": "mpeg4"}),
        ("gif", {"codec": "gif", "pix_fmt": "rgb8"}),
    ],
)
def test_no_cut_anywhere_passes_for_whole(media_maker, tmp_path, suffix, settings):
    whole = media_maker.encode_clip(tmp_path / f"whole.{suffix}", media_maker.moving_square(), **settings).read_bytes()
    places = sorted({*range(1, len(whole), max(len(whole) // 60, 1)), *range(max(len(whole) - 30, 1), len(whole))})
    path = tmp_path / f"cut.{suffix}"
    passed = []
    for place in places:
        path.write_bytes(whole[:place])
        try:
            n = len(media.read_video(path).frames_THWC)
        except MediaError:
            continue
        passed.append((place, n))
    fragmented = "frag" in settings.get("movflags", "")
    short = [(place, n) for place, n in passed if n < media_maker.N_FRAMES]
    if fragmented:  # between two fragments nothing is promised: a cut exactly there cannot be seen
        assert len(short) <= 1, short
    else:
        assert not short, short
    assert all(place > len(whole) - 20 or fragmented for place, _ in passed)  # a cut in what follows the frames


def test_random_damage_gives_frames_or_a_reason_and_nothing_else(media_maker, tmp_path):
    clips = [
        media_maker.encode_clip(tmp_path / "a.mp4", media_maker.moving_square(12), movflags="+faststart"),
        media_maker.encode_clip(tmp_path / "a.mkv", media_maker.moving_square(12), codec="mpeg4"),
        media_maker.encode_clip(tmp_path / "a.avi", media_maker.moving_square(12), codec="mjpeg", pix_fmt="yuvj420p"),
        media_maker.encode_clip(tmp_path / "a.gif", media_maker.moving_square(12), codec="gif", pix_fmt="rgb8"),
    ]
    limits = media.Limits(max_seconds=SLOWEST_S, max_frames=1000, max_side_px=1024)
    path = tmp_path / "damaged"
    reasons = set()
    for seed in range(400):
        rng = random.Random(seed)
        data = bytearray(rng.choice(clips).read_bytes())
        reach = rng.choice((600, len(data)))  # the header is the most delicate part
        for _ in range(rng.choice((1, 4, 16))):
            data[rng.randrange(min(reach, len(data)))] = rng.randrange(256)
        path.write_bytes(data)
        try:
            video = media.read_video(path, limits=limits)
        except MediaError as error:
            reasons.add(error.reason)
        else:
            assert video.times_s[0] == 0
            assert (np.diff(video.times_s) > 0).all()
            assert media.PLAUSIBLE_FPS[0] <= video.fps <= media.PLAUSIBLE_FPS[1]
    assert reasons <= set(media.REASONS)
    assert len(reasons) >= 3
