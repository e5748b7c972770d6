from __future__ import annotations

import numpy as np
import pytest

from signloom.errors import MediaError
from signloom.synthetic.body import make_signer, rotation
from signloom.synthetic.lexicon import LEXICON
from signloom.synthetic.motion import LEFT, RATE_HZ, RIGHT, perform
from signloom.synthetic.sensors import CHANNELS, GRAVITY_MPS2, read_imu, sensor_frames, wrist_sensors, write_imu


@pytest.fixture(scope="module")
def motion():
    return perform(LEXICON[2], make_signer(0), np.random.default_rng(4))


def test_shape_and_rate(motion):
    imu = wrist_sensors(motion, 50.0)
    assert imu.shape == (int(motion.duration_s * 50) + 1, len(CHANNELS))
    assert imu.dtype == np.float32


def test_at_rest_it_feels_one_g_upwards(motion):
    imu = wrist_sensors(motion, RATE_HZ)
    _, axes = sensor_frames(motion, LEFT)
    still = imu[:, 6:9]  # the other hand rests
    assert np.abs(np.linalg.norm(still, axis=1) - 1).max() < 0.12  # it breathes and sways
    up = np.einsum("nji,j->ni", axes, np.array([0.0, -1.0, 0.0]))
    assert np.abs(still - up).mean() < 0.02
    assert np.abs(imu[:, 9:12]).max() < 25


@pytest.mark.parametrize("side", [RIGHT, LEFT])
def test_twice_integrated_it_is_the_motion(motion, side):
    imu = wrist_sensors(motion, RATE_HZ).astype(float)
    position, axes = sensor_frames(motion, side)
    felt = np.einsum("nij,nj->ni", axes, imu[:, 6 * side : 6 * side + 3]) * GRAVITY_MPS2
    acceleration = felt + np.array([0, GRAVITY_MPS2, 0])
    dt = 1 / RATE_HZ
    start = (position[1] - position[0]) / dt
    velocity = start + np.cumsum(acceleration, 0) * dt
    travelled = position[0] + np.cumsum(velocity, 0) * dt
    assert np.linalg.norm(travelled - position, axis=1).max() < 0.02


def test_the_gyroscope_integrates_to_the_orientation(motion):
    imu = wrist_sensors(motion, RATE_HZ).astype(float)
    _, axes = sensor_frames(motion, RIGHT)
    turned = axes[0]
    for rate in imu[:-1, 3:6]:
        turned = turned @ rotation(np.radians(rate) / RATE_HZ)
    angle = np.degrees(np.arccos(np.clip((np.trace(turned.T @ axes[-1]) - 1) / 2, -1, 1)))
    assert angle < 2
    assert np.abs(imu[:, 3:6]).max() > 60


def test_axes_are_right_handed_on_both_wrists(motion):
    for side in (RIGHT, LEFT):
        _, axes = sensor_frames(motion, side)
        assert np.allclose(np.linalg.det(axes), 1)


def test_noise_is_small_and_repeatable(motion):
    ideal = wrist_sensors(motion)
    a, b = (wrist_sensors(motion, rng=np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(a, b)
    off = a - ideal
    assert 0.002 < off[:, :3].std() < 0.1
    assert 0.1 < off[:, 3:6].std() < 8


def test_a_table_on_disk_keeps_it(tmp_path, motion):
    imu = wrist_sensors(motion)
    write_imu(tmp_path / "a.csv", imu, 50.0)
    again, rate_hz = read_imu(tmp_path / "a.csv")
    assert rate_hz == 50.0
    assert np.allclose(again, imu, atol=1e-5)


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", ",".join(("time_s", *CHANNELS)) + "\n1,x\n"])
def test_another_file_is_refused_by_name(tmp_path, text):
    file = tmp_path / "odd.csv"
    file.write_text(text)
    with pytest.raises(MediaError, match=r"odd\.csv"):
        read_imu(file)
