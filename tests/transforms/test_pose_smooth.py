"""Steadier poses: trembling, gaps, outliers and flashes, on the procedural signer's exact poses."""

from dataclasses import replace

import numpy as np
import pytest

from signloom.data.skeleton import INDEX, PARTS, Joints, joints_of, shoulder_width_px
from signloom.errors import InputError
from signloom.synthetic import LEXICON, Settings, Take, make_signer
from signloom.transforms.pose_smooth import PoseSmooth, local_quadratic

BODY, RIGHT, LEFT, FACE = (PARTS[p] for p in ("body", "right_hand", "left_hand", "face"))
WRIST = INDEX["right_wrist"]


@pytest.fixture(scope="module")
def exact():
    return joints_of(Take(LEXICON[0], make_signer(0), 0, Settings(fps=25)).pose())


def without(joints, rows, columns):
    present = joints.present_TJ.copy()
    present[rows, columns] = False
    return replace(joints, present_TJ=present, xy_TJC=np.where(present[..., None], joints.xy_TJC, 0))


def trembling(joints, sd):
    noise = np.random.default_rng(0).normal(0, sd * shoulder_width_px(joints), joints.xy_TJC.shape)
    return replace(joints, xy_TJC=(joints.xy_TJC + noise * joints.present_TJ[..., None]).astype(np.float32))


def error(a, b, part=slice(0, 55)):
    both = a.present_TJ[:, part] & b.present_TJ[:, part]
    return float(np.linalg.norm(a.xy_TJC[:, part] - b.xy_TJC[:, part], axis=-1)[both].mean()) / shoulder_width_px(b)


def shake(joints):
    """How much joints change their velocity from frame to frame, in shoulder widths."""
    return float(np.abs(np.diff(joints.xy_TJC[:, :55], 2, axis=0)).mean()) / shoulder_width_px(joints)


def test_strength_0_changes_nothing(exact):
    broken = without(trembling(exact, 0.02), slice(5, 7), RIGHT)
    assert PoseSmooth(0)(broken) is broken


def test_trembling_is_calmed_and_places_come_nearer_to_the_truth(exact):
    noisy = trembling(exact, 0.015)
    some = PoseSmooth(0.4)(noisy)
    assert error(some, exact) < 0.8 * error(noisy, exact)
    shaking = [shake(PoseSmooth(strength)(noisy)) for strength in (0.0, 0.2, 0.4, 0.7, 1.0)]
    assert shaking == sorted(shaking, reverse=True)
    assert shaking[2] < 0.6 * shaking[0]


def test_exact_motion_is_hardly_changed(exact):
    assert error(PoseSmooth()(exact), exact) < 0.004


def test_fast_motion_is_kept():
    """A hand that goes 0.6 shoulder widths to and fro three times a second."""
    t = np.arange(50) / 25
    xy, present = np.zeros((50, 82, 2), np.float32), np.zeros((50, 82), bool)
    for name, x in (("left_shoulder", 300), ("right_shoulder", 200)):
        xy[:, INDEX[name]], present[:, INDEX[name]] = (x, 100), True
    xy[:, RIGHT] = np.stack([150 + 30 * np.sin(2 * np.pi * 3 * t), np.full(50, 200)], 1)[:, None]
    present[:, RIGHT] = True
    got = PoseSmooth()(Joints(xy, present, 25.0))
    assert np.ptp(got.xy_TJC[5:45, RIGHT.start, 0]) > 0.95 * np.ptp(xy[5:45, RIGHT.start, 0])
    assert np.abs(got.xy_TJC[:, RIGHT] - xy[:, RIGHT]).max() < 4


def test_there_is_no_delay(exact):
    """Forwards and backwards give the same."""
    noisy = trembling(exact, 0.01)
    turned = replace(noisy, xy_TJC=noisy.xy_TJC[::-1], present_TJ=noisy.present_TJ[::-1], confidence_TJ=None)
    straight = PoseSmooth()(replace(noisy, confidence_TJ=None))
    assert PoseSmooth()(turned).xy_TJC[::-1] == pytest.approx(straight.xy_TJC, abs=1e-3)


def test_it_is_the_same_in_the_mirror(exact):
    noisy = trembling(exact, 0.01)
    assert PoseSmooth()(noisy.mirrored()).xy_TJC == pytest.approx(PoseSmooth()(noisy).mirrored().xy_TJC, abs=1e-3)


def test_an_outlier_of_one_frame_is_taken_out(exact):
    xy = exact.xy_TJC.copy()
    xy[10, WRIST] += shoulder_width_px(exact)
    xy[12, RIGHT] -= shoulder_width_px(exact)  # a hand found somewhere else
    got = PoseSmooth()(replace(exact, xy_TJC=xy))
    assert np.abs(got.xy_TJC[8:15] - exact.xy_TJC[8:15]).max() < 0.05 * shoulder_width_px(exact)


def test_a_short_gap_is_filled_where_the_joint_was(exact):
    got = PoseSmooth()(without(exact, slice(10, 14), [INDEX["right_elbow"], *range(RIGHT.start, RIGHT.stop)]))
    assert got.present_TJ[:, :55].all()
    assert np.abs(got.xy_TJC[10:14, :55] - exact.xy_TJC[10:14, :55]).max() < 0.1 * shoulder_width_px(exact)
    assert (got.confidence_TJ[10:14, RIGHT] > 0).all()


def test_a_lost_hand_goes_with_its_wrist_as_it_was_last_seen(exact):
    lost = slice(10, 20)  # 0.4 s: too long to interpolate, short enough to carry
    smooth = PoseSmooth(strength=0.05)
    got = smooth(without(exact, lost, RIGHT))
    assert got.present_TJ[:, RIGHT].all()
    hand, wrist = got.xy_TJC[:, RIGHT], got.xy_TJC[:, WRIST]
    unit = shoulder_width_px(exact)
    as_seen = exact.xy_TJC[9, RIGHT] - exact.xy_TJC[9, WRIST]
    assert np.abs(hand[12] - wrist[12, None] - as_seen).max() < 0.02 * unit
    to_come = exact.xy_TJC[20, RIGHT] - exact.xy_TJC[20, WRIST]
    assert np.abs(hand[17] - wrist[17, None] - to_come).max() < 0.02 * unit


def test_a_hand_lost_for_long_or_with_its_wrist_stays_lost(exact):
    assert not PoseSmooth()(without(exact, slice(5, 25), RIGHT)).present_TJ[5:25, RIGHT].any()
    gone = PoseSmooth()(without(exact, slice(10, 20), [WRIST, *range(RIGHT.start, RIGHT.stop)]))
    assert not gone.present_TJ[10:20, RIGHT].any()
    assert not gone.xy_TJC[10:20, RIGHT].any()
    assert gone.present_TJ[:10, RIGHT].all()


def test_a_hand_found_in_one_frame_only_is_dropped(exact):
    rows = np.setdiff1d(np.arange(len(exact)), [12])
    assert not PoseSmooth()(without(exact, rows[:, None], np.arange(LEFT.start, LEFT.stop))).present_TJ[:, LEFT].any()
    # but not where it is found again and again
    often = PoseSmooth()(without(exact, slice(1, None, 2), np.arange(LEFT.start, LEFT.stop)))
    assert often.present_TJ[:-1, LEFT].all()


def test_what_is_unsure_follows_what_is_sure(exact):
    xy, confidence = exact.xy_TJC.copy(), exact.confidence_TJ.copy()
    rows = np.array([10, 20])
    xy[rows, WRIST] += 0.06 * shoulder_width_px(exact)
    doubted = confidence.copy()
    doubted[rows, WRIST] = 0.1
    off = [
        np.abs(PoseSmooth()(replace(exact, xy_TJC=xy, confidence_TJ=c)).xy_TJC - exact.xy_TJC)[rows, WRIST].max()
        for c in (doubted, confidence)
    ]
    assert off[0] < off[1]


def test_the_face_is_kept(exact):
    noisy = trembling(exact, 0.02)
    got = PoseSmooth()(noisy)
    assert np.array_equal(got.xy_TJC[:, FACE], noisy.xy_TJC[:, FACE])


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_short_and_empty_clips_pass(exact, n):
    short = replace(
        exact, xy_TJC=exact.xy_TJC[:n], present_TJ=exact.present_TJ[:n], confidence_TJ=exact.confidence_TJ[:n]
    )
    assert PoseSmooth()(short).xy_TJC == pytest.approx(short.xy_TJC, abs=2)
    nobody = replace(short, present_TJ=np.zeros_like(short.present_TJ), xy_TJC=np.zeros_like(short.xy_TJC))
    assert not PoseSmooth()(nobody).present_TJ.any()


def test_a_parabola_is_fitted_exactly():
    t = np.arange(20.0)
    xy = np.stack([3 + 2 * t + 0.5 * t**2, -t], 1)[:, None]
    place, speed = local_quadratic(xy, np.ones((20, 1)), 4)
    assert place[4:-4] == pytest.approx(xy[4:-4], abs=1e-2)
    assert speed[10, 0] == pytest.approx(np.hypot(2 + 10, 1), rel=1e-2)


@pytest.mark.parametrize("wrong", [{"strength": 1.5}, {"strength": -0.1}, {"gap_s": 1.0}])
def test_settings_that_cannot_be_are_named(wrong):
    with pytest.raises(InputError, match="PoseSmooth"):
        PoseSmooth(**wrong)


def test_the_fingerprint_names_all_that_shapes_the_result():
    assert PoseSmooth(0.4).fingerprint() != PoseSmooth(0.5).fingerprint()
    assert PoseSmooth().fingerprint()["version"] == PoseSmooth.version
