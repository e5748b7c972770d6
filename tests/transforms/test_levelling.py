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
    """Two clips that differ by how far the arm leaned at first agree in heading, where the lean is towards ``usual``."""
    felt, rotation, _, _ = turning_sensor(2)
    usual = levelled(felt, rotation, RATE).down
    lean = rotation_between(usual, (usual + [0.2, 0.1, 0]) / np.linalg.norm(usual + [0.2, 0.1, 0]))
    a = levelled(felt, rotation, RATE, usual)
    b = levelled(felt @ lean.T, rotation @ lean.T, RATE, usual)
    np.testing.assert_allclose(a.linear_TC, b.linear_TC, atol=1e-6)


@pytest.mark.parametrize("b", [[0.0, 0, 1], [0.0, 0, -1], [1.0, 0, 0]])
def test_a_rotation_between_brings_one_to_the_other(b):
    a = np.array([0.0, 0.0, 1.0])
    m = rotation_between(a, np.array(b))
    np.testing.assert_allclose(m @ a, b, atol=1e-12)
    assert np.linalg.det(m) == pytest.approx(1)
