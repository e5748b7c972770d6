from __future__ import annotations

import numpy as np
import pytest

from signloom.transforms.levelling import GRAVITY_M_S2, integrated, levelled, rotation_between

RATE = 100.0


def turning_sensor(seed=0, seconds=2.0):
    """A sensor that turns and moves as is known: its readings, its axes in the world, its acceleration there (m/s²)."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * RATE)) / RATE
    phase, size = rng.uniform(0, 6, 3), rng.uniform(60, 150, 3)
    rotation = size * np.sin(2 * np.pi * t[:, None] / seconds * [1, 2, 1] + phase)
    axes = integrated(rotation, RATE)
    moved = rng.normal(size=3) * np.sin(2 * np.pi * t[:, None] / seconds * [1, 1, 2])
    felt = np.einsum("tji,tj->ti", axes, moved / GRAVITY_M_S2 + np.array([0, 0, 1.0]))
    return felt, rotation, axes, moved


def test_a_steady_turn_is_integrated_to_its_angle():
    turned = integrated(np.tile([0.0, 0.0, 90.0], (101, 1)), RATE)
    np.testing.assert_allclose(turned[-1], [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-6)
    np.testing.assert_allclose(turned @ turned.transpose(0, 2, 1), np.tile(np.eye(3), (101, 1, 1)), atol=1e-9)


def test_gravity_and_movement_come_apart():
    felt, rotation, axes, moved = turning_sensor()
    found = levelled(felt, rotation, RATE)
    np.testing.assert_allclose(found.down_TC, axes[:, 2], atol=0.2)
    np.testing.assert_allclose(found.linear_TC * GRAVITY_M_S2, moved, atol=1.5)
    np.testing.assert_allclose(found.velocity_TC[[0, -1]], 0, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(found.turning_TC, axis=1), np.linalg.norm(rotation, axis=1), rtol=1e-9)


def test_how_it_is_strapped_on_changes_the_heading_alone():
    """The same movement, measured by a sensor turned otherwise: vertical and horizontal parts are as before."""
    felt, rotation, _, _ = turning_sensor(1)
    strapped = rotation_between(np.array([0.6, 0.0, 0.8]), np.array([0.0, 1.0, 0.0]))
    a, b = levelled(felt, rotation, RATE), levelled(felt @ strapped.T, rotation @ strapped.T, RATE)
    for name in ("linear_TC", "velocity_TC", "turning_TC"):
        one, other = getattr(a, name), getattr(b, name)
        np.testing.assert_allclose(other[:, 2], one[:, 2], atol=1e-6)
        np.testing.assert_allclose(np.hypot(*other[:, :2].T), np.hypot(*one[:, :2].T), atol=1e-6)


def test_the_heading_goes_by_way_of_the_usual_direction():
    """Two clips that differ in how far the arm leaned at first agree in heading."""
    felt, rotation, _, _ = turning_sensor(2)
    usual = levelled(felt, rotation, RATE).down
    leaning = usual + np.array([0.2, 0.1, 0])
    lean = rotation_between(usual, leaning / np.linalg.norm(leaning))
    a = levelled(felt, rotation, RATE, usual)
    b = levelled(felt @ lean.T, rotation @ lean.T, RATE, usual)
    np.testing.assert_allclose(a.linear_TC, b.linear_TC, atol=1e-6)


@pytest.mark.parametrize("b", [[0.0, 0, 1], [0.0, 0, -1], [1.0, 0, 0]])
def test_a_rotation_between_brings_one_to_the_other(b):
    a = np.array([0.0, 0.0, 1.0])
    m = rotation_between(a, np.array(b))
    np.testing.assert_allclose(m @ a, b, atol=1e-12)
    assert np.linalg.det(m) == pytest.approx(1)


@pytest.mark.real
def test_the_two_ends_of_a_real_recording_agree_on_which_way_is_down(real_data):
    """In utd_mhad people begin and end with the arm at rest: the nominal 50 Hz is the rate at which that comes out."""
    from scipy.io import loadmat

    def apart_deg(rate_hz):
        angles = []
        for file in sorted((real_data / "utd_mhad" / "Inertial").glob("a*_s[1357]_t1_*.mat"))[::3]:
            x = loadmat(file)["d_iner"].astype(np.float64)
            ends = x[:5, :3].mean(0), integrated(x[:, 3:], rate_hz)[-1] @ x[-5:, :3].mean(0)
            cosine = ends[0] @ ends[1] / np.linalg.norm(ends[0]) / np.linalg.norm(ends[1])
            angles.append(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
        return np.median(angles)

    assert apart_deg(50.0) < 12
    assert apart_deg(50.0) < 0.8 * min(apart_deg(79.0), apart_deg(40.0))
