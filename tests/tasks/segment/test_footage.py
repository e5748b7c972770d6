"""Continuous footage made of clips of single signs: what is whose, where it rests and where it does not."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from signloom.data.corpus import clips_of
from signloom.data.manifest import read_manifest
from signloom.data.reader import Reader
from signloom.data.skeleton import INDEX, PARTS
from signloom.streams import streams_of
from signloom.tasks.segment.data import MEASURED_MIXES, changed, measured_footage, read_material, targets
from signloom.tasks.segment.decode import BEGIN, INSIDE, OUTSIDE, Thresholds, stretches
from signloom.tasks.segment.footage import NO_SIGN, Footage, Mix, compose, rest, resting_at
from signloom.tasks.segment.idle import move_idly
from signloom.tasks.segment.recipes import SegmentAugment
from signloom.transforms.motion_input import N_JOINTS, MotionInput

WRIST = INDEX["right_wrist"]


@pytest.fixture(scope="module")
def clips(pose_corpus):
    manifest = read_manifest(pose_corpus)
    return read_material(clips_of(manifest), Reader(streams_of({"pose": manifest.fingerprint("pose")})))


def made(clips, mix, rate_hz=25.0, seed=0, **more):
    return compose(clips, mix, rate_hz, np.random.default_rng(seed), **more)


def test_every_clip_has_a_sign_with_rest_around(clips):
    assert len(clips) == 36
    for clip in clips:
        assert 0 < clip.span.start <= clip.span.up < clip.span.down <= clip.span.end < len(clip)


def test_as_filmed_it_is_the_clips_one_after_the_other(clips):
    own = clips[:3]
    footage = made(own, Mix(), rate_hz=own[0].fps)
    assert abs(len(footage) - sum(map(len, own))) <= 3
    first = own[0].span
    assert footage.stretches()[0][:2] == pytest.approx((first.start / own[0].fps, first.end / own[0].fps), abs=0.05)
    assert [footage.signs[k] for _, _, k in footage.stretches()] == [(c.id, c.label) for c in own]
    assert footage.xy_TJC[:5] == pytest.approx(own[0].xy_TJC[:5], abs=1e-3)


@pytest.mark.parametrize("name", list(MEASURED_MIXES))
@pytest.mark.parametrize("rate_hz", [12.0, 50.0])
def test_however_it_is_put_together_there_is_each_sign_once_in_its_order(clips, name, rate_hz):
    own = [c for c in clips if c.signer == clips[0].signer]
    footage = made(own, MEASURED_MIXES[name], rate_hz)
    assert [footage.signs[k][0] for _, _, k in footage.stretches()] == [c.id for c in own]
    assert np.diff(footage.times_T) == pytest.approx(1 / rate_hz)
    lengths = np.array([b - a for a, b, _ in footage.stretches()])
    assert (lengths > 0.3).all()
    assert footage.present_TJ.shape == (len(footage), N_JOINTS)


def test_signs_that_run_into_each_other_have_no_frame_between_and_no_leap(clips):
    own = [c for c in clips if c.signer == clips[0].signer]
    footage = made(own, MEASURED_MIXES["without rest between"])
    spans = footage.spans
    assert all(b == pytest.approx(c, abs=1e-6) for (_, b), (c, _) in pairwise(spans))
    step = np.linalg.norm(np.diff(footage.xy_TJC[:, WRIST], axis=0), axis=-1) / own[0].unit_px
    filmed = max(np.linalg.norm(np.diff(c.xy_TJC[:, WRIST], axis=0), axis=-1).max() / c.unit_px for c in own)
    assert step.max() < 1.5 * filmed


def test_a_pause_that_is_cut_in_is_as_long_as_asked_and_no_sign(clips):
    own = [c for c in clips if c.signer == clips[0].signer][:4]
    footage = made(own, Mix(paused=1.0, pause_s=(2.0, 2.0)))
    gaps = [c - b for (_, b), (c, _) in pairwise(footage.spans)]
    assert min(gaps) >= 2.0


def test_the_same_draws_give_the_same_footage(clips):
    mix = SegmentAugment().mix
    a, b, c = (made(clips[:6], mix, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(a.xy_TJC, b.xy_TJC)
    assert np.array_equal(a.sign_T, b.sign_T)
    assert len(a) != len(c) or not np.array_equal(a.xy_TJC, c.xy_TJC)


def test_measured_footage_is_of_one_signer_each_and_holds_all_clips(clips):
    found = list(measured_footage(clips, Mix()))
    assert [signer for signer, _ in found] == sorted({c.signer for c in clips})
    assert sorted(clip for _, f in found for clip, _ in f.signs) == sorted(c.id for c in clips)


def test_idle_hands_leave_rest_and_come_back(clips):
    moved = 0.0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        still = rest(clips[0], 75, rng)
        xy, present = move_idly(*still, 25.0, clips[0].unit_px, rng, (clips[0].xy_TJC, clips[0].present_TJ))
        assert xy.shape == still[0].shape
        assert np.isfinite(xy).all()
        assert xy[0] == pytest.approx(still[0][0], abs=0.05 * clips[0].unit_px)
        assert not xy[~present].any()
        wrists = [INDEX["left_wrist"], WRIST]
        moved = max(moved, np.abs(xy[:, wrists] - still[0][:, wrists]).max() / clips[0].unit_px)
    assert moved > 0.5


def test_who_rests_elsewhere_signs_where_the_sign_is(clips):
    clip = clips[0]
    place_SC = np.array([[0.2, 0.8], [0.3, 0.9]])
    other = resting_at(clip, place_SC, seen=True)
    middle = clip.xy_TJC[:, [INDEX["left_shoulder"], INDEX["right_shoulder"]]].mean(1)
    for side, (x, y) in zip(("left", "right"), place_SC):
        wrist, shoulder = INDEX[f"{side}_wrist"], INDEX[f"{side}_shoulder"]
        outwards = np.sign(clip.xy_TJC[0, shoulder, 0] - middle[0, 0])
        place = (other.xy_TJC[0, wrist] - middle[0]) / clip.unit_px
        assert place == pytest.approx([outwards * x, y], abs=0.15)
    busy = max((INDEX["left_wrist"], WRIST), key=lambda j: np.ptp(clip.xy_TJC[:, j, 1]))
    top = clip.xy_TJC[:, busy, 1].argmin()
    assert other.xy_TJC[top, busy] == pytest.approx(clip.xy_TJC[top, busy], abs=0.05 * clip.unit_px)
    assert np.isfinite(other.xy_TJC).all()


def test_changes_keep_what_is_whose(clips):
    footage = made(clips[:4], Mix())
    least = len(footage) // 2
    other = changed(footage, SegmentAugment(), clips[0].unit_px, np.random.default_rng(3), least)
    rows = np.searchsorted(footage.times_T, other.times_T)
    assert least <= len(other) <= len(footage)
    assert np.array_equal(footage.sign_T[rows], other.sign_T)
    hand = PARTS["right_hand"]
    assert not other.xy_TJC[~other.present_TJ].any()
    assert other.present_TJ[:, hand].sum() <= footage.present_TJ[rows][:, hand].sum() + len(other) * 21


# --- targets, and back from them ----------------------------------------------------------------------------------


def marked(sign_T, rate_hz=20.0):
    n = len(sign_T)
    nothing = np.zeros((n, N_JOINTS, 2), np.float32)
    signs = tuple((str(k), "A") for k in range(max(sign_T) + 1))
    return Footage(np.arange(n) / rate_hz, nothing, nothing[..., 0] > 1, np.array(sign_T), signs)


SIGN_T = [NO_SIGN] * 10 + [0] * 20 + [1] * 20 + [NO_SIGN] * 10


def test_the_class_is_that_of_the_moment_before():
    class_T = targets(marked(SIGN_T), MotionInput(delay_s=0.1), begin_s=0.15)
    assert (class_T[:2] == -100).all()
    assert (class_T[2:12] == OUTSIDE).all()
    assert (class_T[12:15] == BEGIN).all()
    assert (class_T[15:32] == INSIDE).all()
    assert (class_T[32:35] == BEGIN).all()
    assert (class_T[52:] == OUTSIDE).all()


def test_stretches_of_what_is_certain_are_the_signs():
    footage = marked(SIGN_T)
    class_T = targets(footage, MotionInput(delay_s=0.0), begin_s=0.15)
    found = stretches(footage.times_T, np.eye(3)[class_T], Thresholds())
    assert np.array(found) == pytest.approx(np.array(footage.spans))
    joined = stretches(footage.times_T, np.eye(3)[class_T], Thresholds(begin=2.0))
    assert len(joined) == 1


def test_a_short_stretch_is_none_and_a_long_one_is_cut():
    p_TK = np.eye(3)[[OUTSIDE] * 5 + [INSIDE] * 3 + [OUTSIDE] * 5 + [INSIDE] * 100]
    found = stretches(np.arange(len(p_TK)) / 20, p_TK, Thresholds(most_s=2.0))
    assert [round(b - a, 2) for a, b in found] == [2.0, 2.0, 0.95]
