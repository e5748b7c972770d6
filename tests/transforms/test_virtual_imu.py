"""A virtual sensor against the exact physics of the procedural signer's watch, and against motions known by formula."""

import numpy as np
import pytest

from signloom.errors import InputError
from signloom.synthetic.body import make_signer
from signloom.synthetic.lexicon import LEXICON
from signloom.synthetic.motion import perform
from signloom.synthetic.sensors import sensor_frames, wrist_sensors
from signloom.transforms.virtual_imu import GRAVITY_MPS2, virtual_imu

FPS = 25.0


@pytest.fixture(scope="module")
def takes():
    """For five signs: elbow, wrist, back of the hand and where the watch is, as filmed, and what it measures."""
    found = []
    for number in range(5):
        motion = perform(LEXICON[number], make_signer(number), np.random.default_rng(number))
        filmed = motion.sampled(FPS)
        side = int(np.argmax(filmed.raised.max(0)))
        place, _ = sensor_frames(filmed, side)
        real = wrist_sensors(motion, 50.0)[:, 6 * side : 6 * side + 6]
        found.append((filmed.elbows[:, side], filmed.hands[:, side, 0], -filmed.palms[:, side], place, real))
    return found


def correlations(pairs):
    """Of each column over all takes."""
    ours, theirs = (np.concatenate([p[k][: min(map(len, p))] for p in pairs]) for k in (0, 1))
    return np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(ours.T, theirs.T)])


def test_from_exact_joints_it_is_what_the_watch_measures(takes):
    made = [(virtual_imu(elbow, wrist, FPS, back_T3=back), real) for elbow, wrist, back, _, real in takes]
    assert all(abs(len(a) - len(b)) <= 2 for a, b in made)
    assert (correlations(made) > 0.9).all()
    # At the very place of the watch, 2.4 cm off the bone, nothing but the video's rate lies between them.
    made = [
        (virtual_imu(place - (wrist - elbow), place, FPS, back_T3=back), real)
        for elbow, wrist, back, place, real in takes
    ]
    assert (correlations(made) > 0.97).all()
    errors = [np.abs(a[: len(b)] - b[: len(a)]).mean(0) for a, b in made]
    assert (np.mean(errors, 0)[:3] < 0.1).all()  # in g: units and gravity are right
    assert (np.mean(errors, 0)[3:] < 12).all()  # degrees per second


def test_without_the_back_of_the_hand_what_is_left_does_not_depend_on_roll(takes):
    def free(x):
        return np.stack([x[:, 0], np.hypot(x[:, 1], x[:, 2]), np.hypot(x[:, 4], x[:, 5])], 1)

    made = [virtual_imu(elbow, wrist, FPS) for elbow, wrist, *_ in takes]
    assert all(np.abs(x[:, 3]).max() < 0.5 for x in made)  # it never turns about the bone
    found = correlations([(free(x), free(real)) for x, (*_, real) in zip(made, takes)])
    assert found[0] > 0.95
    assert found[1] > 0.8
    assert found[2] > 0.98


def swinging(hz=1.0, amplitude_rad=0.8, seconds=4.0, length_m=0.25, fps=30.0):
    """A forearm that swings in the picture's plane about a fixed elbow, hanging at angle 0."""
    t = np.arange(int(seconds * fps)) / fps
    angle = amplitude_rad * np.sin(2 * np.pi * hz * t)
    direction = np.stack([np.sin(angle), np.cos(angle), np.zeros_like(t)], -1)  # y down
    return np.zeros((len(t), 3)), length_m * direction, angle


def test_a_pendulum_by_formula():
    hz, amplitude, length = 1.0, 0.8, 0.25
    elbow, wrist, _ = swinging(hz, amplitude, length_m=length)
    got = virtual_imu(elbow, wrist, 30.0, 100.0, cutoff_hz=12)
    t = np.arange(len(got)) / 100
    w = 2 * np.pi * hz
    angle, speed = amplitude * np.sin(w * t), amplitude * w * np.cos(w * t)
    inner = slice(30, -30)
    along = -length * speed**2 / GRAVITY_MPS2 - np.cos(angle)
    np.testing.assert_allclose(got[inner, 0], along[inner], atol=0.03)
    np.testing.assert_allclose(got[inner, 5], np.degrees(speed)[inner], atol=6)
    assert np.abs(got[:, 3:5]).max() < 1e-3  # in one plane, about one axis
    assert np.abs(got[:, 2]).max() < 1e-5
    # With y up and the elbow lower in numbers, gravity points the other way: the same sensor.
    flip = np.array([1, -1, -1])
    again = virtual_imu(elbow * flip, wrist * flip, 30.0, 100.0, cutoff_hz=12, down=(0, -1, 0), front=(0, 0, 1))
    np.testing.assert_allclose(again, got, atol=1e-4)


def test_still_limbs_gaps_and_noise():
    elbow, wrist, _ = swinging()
    still = virtual_imu(elbow, np.tile([0, 0.25, 0], (len(elbow), 1)), 30.0)
    np.testing.assert_allclose(still, np.tile([-1, 0, 0, 0, 0, 0], (len(still), 1)), atol=1e-5)
    assert still.shape == (199, 6)
    assert still.dtype == np.float32
    whole = virtual_imu(elbow, wrist, 30.0)
    gaps = wrist.copy()
    gaps[[20, 21, 50, 80, 81, 82]] = np.nan
    bridged = virtual_imu(elbow, gaps, 30.0)
    assert np.corrcoef(bridged[10:-10, 5], whole[10:-10, 5])[0, 1] > 0.98
    late = wrist.copy()
    late[:30] = np.nan
    begun = virtual_imu(elbow, late, 30.0)
    assert np.abs(begun[:49, 3:]).max() < 1e-3  # nothing is known of it: still
    assert abs(np.linalg.norm(begun[:49, :3], axis=1) - 1).max() < 1e-5
    noisy = wrist + np.random.default_rng(0).normal(0, 0.003, wrist.shape)
    rough, calm = (virtual_imu(elbow, noisy, 30.0, cutoff_hz=hz) for hz in (14, 4))
    error = [np.abs(x - whole)[10:-10, :3].mean() for x in (rough, calm)]
    assert error[1] < 0.5 * error[0]


def test_it_refuses_what_it_cannot_make():
    elbow, wrist, _ = swinging()
    wrist[4:] = np.nan
    with pytest.raises(InputError, match="known in 4 of 120 frames; at least 5"):
        virtual_imu(elbow, wrist, 30.0)
    with pytest.raises(InputError, match="cut-off 0"):
        virtual_imu(elbow, elbow, 30.0, cutoff_hz=0)
    # A bone of no length, as one seen end-on: finite, and no faster than a sensor can say.
    noise = np.random.default_rng(0).normal(0, 1e-4, (60, 3))
    seen = virtual_imu(np.zeros((60, 3)), noise, 30.0)
    assert np.isfinite(seen).all()
    assert np.abs(seen[:, 3:]).max() <= 2000
