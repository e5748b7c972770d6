"""Sensor recordings as people have them: every layout gives the same numbers, and what cannot be told is asked."""

from __future__ import annotations

import contextlib
import io
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import scipy.io
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from signloom.data.signal import Channel
from signloom.errors import InputError, MediaError
from signloom.media import HeldFile, Limits
from signloom.media.sensor_columns import column_of
from signloom.media.sensor_files import describe_sensor, looks_like_sensor, read_sensor_file

SIX = tuple(f"{q}_{a}_{u}" for q, u in (("acceleration", "g"), ("rotation", "dps")) for a in "xyz")
G = 9.80665


def moving(n=60, rate=50.0, seed=0):
    """(T, 6) of a sensor that turns: gravity of 1 g in its frame, and the turns that a gyroscope would measure."""
    t = np.arange(n) / rate
    rng = np.random.default_rng(seed)
    angle = 1.2 * np.sin(2 * np.pi * 0.7 * t + rng.uniform(0, 6))
    values = np.zeros((n, 6))
    values[:, 0], values[:, 2] = np.sin(angle), np.cos(angle)
    values[:, 4] = np.degrees(np.gradient(angle, 1 / rate)) if n > 1 else 0
    return values + rng.normal(0, 0.002, values.shape) * [1, 1, 1, 50, 50, 50]


def table(values, names=None, *, sep=",", decimal=".", digits=6, blank=False, units=None):
    rows = [sep.join(names)] if names else []
    rows += [sep.join(units)] if units else []
    for row in values:
        rows.append(sep.join((v if isinstance(v, str) else f"{v:.{digits}f}").replace(".", decimal) for v in row))
        rows += [""] if blank else []
    return "\n".join(rows) + "\n"


def held(text, name="a.csv"):
    return HeldFile(name, text if isinstance(text, bytes) else text.encode())


def refused(path, reason, match, **how):
    with pytest.raises(MediaError, match=match) as caught:
        read_sensor_file(path, **how)
    assert caught.value.reason == reason


def notes(path, **how):
    return " | ".join(read_sensor_file(path, **how).notes)


# --- any layout ---------------------------------------------------------------------------------------------------

SPELLINGS = [
    ["AX", "AY", "AZ", "GX", "GY", "GZ"],
    ["acc_x", "acc_y", "acc_z", "gyr_x", "gyr_y", "gyr_z"],
    ["AccX", "AccY", "AccZ", "GyroX", "GyroY", "GyroZ"],
    ["accelerometer-x", "accelerometer-y", "accelerometer-z", "gyroscope-x", "gyroscope-y", "gyroscope-z"],
    ["x_acc", "y_acc", "z_acc", "gyro.x", "gyro.y", "gyro.z"],
    list(SIX),
]
TIMES = {"s": 1, "ms": 1e3, "us": 1e6, "ns": 1e9}


@settings(max_examples=120)
@given(
    n=st.integers(3, 40),
    rate=st.sampled_from([10.0, 31.25, 50.0, 100.0, 148.1, 1000.0]),
    names=st.sampled_from([None, *SPELLINGS]),
    unit=st.sampled_from([("", ""), ("g", "dps"), ("m/s²", "rad/s"), ("mg", "°/s"), ("m/s^2", "deg/s")]),
    where=st.sampled_from(["(", "[", "row", "option"]),
    layout=st.sampled_from([(",", "."), (";", "."), (";", ","), ("\t", "."), ("\t", ","), (" ", "."), (", ", ".")]),
    clock=st.sampled_from([None, "s", "ms", "us", "ns", "guessed", "iso", "day"]),
    counter=st.booleans(),
    blank=st.booleans(),
    end=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    seed=st.integers(0, 99),
)
def test_a_table_of_any_layout_reads_back(
    n, rate, names, unit, where, layout, clock, counter, blank, end, encoding, seed
):
    assume(clock != "guessed" or rate < 1000)  # steps of 1 may be a count
    values = moving(n, rate, seed)
    sep, decimal = layout
    acceleration, rotation = unit
    factors = {"": 1, "g": 1, "m/s²": G, "m/s^2": G, "mg": 1000, "dps": 1, "rad/s": np.pi / 180, "°/s": 1, "deg/s": 1}
    written = values * np.repeat([factors[acceleration], factors[rotation]], 3)
    columns = [[f"{v:.9f}" for v in column] for column in written.T]
    heads = list(names or ["ax", "ay", "az", "gx", "gy", "gz"])
    said = [acceleration] * 3 + [rotation] * 3
    how = {}
    named = names is not None
    if named and names[0] == SIX[0]:
        said = [""] * 6
        columns = [[f"{v:.9f}" for v in column] for column in values.T]
    elif acceleration and (where == "option" or not named):
        how["units"] = {"acceleration": acceleration, "rotation": rotation}
    elif acceleration and where in "([":
        heads = [
            f"{h} {where}{u}{')' if where == '(' else ']'}".replace(" ", "" if sep == " " else " ")
            for h, u in zip(heads, said)
        ]
    t = np.arange(n) / rate
    if clock is not None:
        start = datetime(2024, 2, 28, 13, 59, 59, tzinfo=UTC)
        if clock == "iso":
            stamps = [(start + timedelta(seconds=s)).isoformat().replace("+00:00", "Z") for s in t]
        elif clock == "day":
            stamps = [(start + timedelta(seconds=s)).time().isoformat() for s in t]
        else:
            digits = {"s": 7, "ms": 4}.get(clock, 0)
            stamps = [f"{TIMES.get(clock, 1e3) * (1000 + s):.{digits}f}" for s in t]
        columns.insert(0, stamps)
        heads.insert(0, {"guessed": "timestamp", "iso": "time", "day": "time"}.get(clock, f"time_{clock}"))
        said.insert(0, "" if clock in ("guessed", "iso", "day") else clock)
    if clock is None:
        how["rate_hz"] = rate
    if counter:
        columns.insert(0, [str(k + 1) for k in range(n)])
        heads.insert(0, "Counter")
        said.insert(0, "")
    if not named:
        how["channels"] = heads
    rows = [[cell.replace(".", decimal) if ":" not in cell else cell for cell in row] for row in zip(*columns)]
    lines = [sep.join(heads)] if named else []
    if named and where == "row" and acceleration and sep != " ":
        lines.append(sep.join(u or "-" for u in said))
    elif named and where == "row" and "units" not in how and acceleration and names[0] != SIX[0]:
        how["units"] = {"acceleration": acceleration, "rotation": rotation}
    for row in rows:
        lines += [sep.join(row), *([""] if blank else [])]
    got = read_sensor_file(held(end.join(lines).encode(encoding)), **how)
    assert got.channels == SIX
    assert got.rate_hz == pytest.approx(rate, rel=5e-3 if clock not in (None, "guessed") else 2e-2)
    assert got.values_TC.dtype == got.times_s.dtype == np.float64
    np.testing.assert_allclose(got.values_TC, values, atol=1e-5 + 2e-6 * 60)
    np.testing.assert_allclose(got.times_s, np.arange(n) / got.rate_hz)


@given(shape=st.tuples(st.integers(2, 30), st.integers(1, 8)), across=st.booleans(), seed=st.integers(0, 9))
def test_arrays_read_back_either_way(tmp_path_factory, shape, across, seed):
    values = np.random.default_rng(seed).normal(size=shape)
    channels = [f"emg_{k}" for k in range(shape[1])]
    folder = tmp_path_factory.mktemp("a")
    stored = values.T if across else values
    np.save(folder / "a.npy", stored)
    np.savez(folder / "a.npz", anything=stored)
    scipy.io.savemat(folder / "a.mat", {"mine": stored})
    how = {"time": "columns" if across else "rows"} if shape[0] == shape[1] else {}
    for name, more in (("a.npy", {}), ("a.npz", {}), ("a.mat", {"key": "mine"})):
        got = read_sensor_file(folder / name, rate_hz=200, channels=channels, **how, **more)
        np.testing.assert_array_equal(got.values_TC, values)
        assert got.channels == tuple(f"emg_{k}_raw" for k in range(shape[1]))
        if shape[0] == shape[1]:
            refused(folder / name, "bad-header", "rows or columns", rate_hz=200, channels=channels, **more)


def test_a_wide_table_gives_each_recording_its_rows():
    first, second = moving(20, seed=1), moving(30, seed=2)
    rows = [["A 1", "hello", *first[k]] for k in range(20)] + [["B", "bye", *second[k]] for k in range(30)]
    file = held(table(rows, ["take", "gloss", *SPELLINGS[0]]))
    for name, values in (("A 1", first), ("B", second)):
        got = read_sensor_file(file, rate_hz=50, row_id=("take", name))
        np.testing.assert_allclose(got.values_TC, values, atol=1e-6)
        assert "'gloss'" in " ".join(got.notes)
    refused(file, "no-frames", "no row has 'C'", rate_hz=50, row_id=("take", "C"))
    refused(file, "bad-header", "no column 'id'.*'take'", rate_hz=50, row_id=("id", "A"))


def test_a_row_may_hold_a_whole_recording_side_by_side():
    clips = [moving(12, seed=k) for k in range(3)]
    names = ["id", *(f"{c}_{k}" for c in SPELLINGS[0] for k in range(12)), "label"]
    file = held(table([[f"r{k}", *clip.T.ravel(), "hi"] for k, clip in enumerate(clips)], names))
    for k, clip in enumerate(clips):
        got = read_sensor_file(file, rate_hz=50, row_id=["id", f"r{k}"])
        assert got.channels == SIX
        np.testing.assert_allclose(got.values_TC, clip, atol=1e-6)


def test_a_file_is_never_changed(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(table(moving(), SPELLINGS[0]))
    before = path.read_bytes(), path.stat().st_mtime_ns
    read_sensor_file(path, rate_hz=50)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    path.write_text(table(moving(seed=5), SPELLINGS[0]))  # and a changed one is read anew
    np.testing.assert_allclose(read_sensor_file(path, rate_hz=50).values_TC, moving(seed=5), atol=1e-6)


# --- names --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "channel", "unit"),
    [
        ("AX", "acceleration_x_g", None),
        ("AXL", "left_acceleration_x_g", None),
        ("GZR", "right_rotation_z_dps", None),
        ("ORL", "left_orientation_roll_deg", None),
        ("OPR", "right_orientation_pitch_deg", None),
        ("OYR", "right_orientation_yaw_deg", None),
        ("EMG0L", "left_emg_0_raw", None),
        ("EMG7R", "right_emg_7_raw", None),
        ("emg_ch3", "emg_3_raw", None),
        ("L_acc_x", "left_acceleration_x_g", None),
        ("gyro_y_right", "right_rotation_y_dps", None),
        ("LeftWristAccX", "left_wrist_acceleration_x_g", None),
        ("right_forearm_gyr_z", "right_forearm_rotation_z_dps", None),
        ("IMU2_AccZ", "imu2_acceleration_z_g", None),
        ("acc(x)", "acceleration_x_g", None),
        ("Accelerometer X (mg)", "acceleration_x_g", "mg"),
        ("ax [m/s²]", "acceleration_x_g", "ms2"),
        ("acc_x_m/s^2", "acceleration_x_g", "ms2"),
        ("gyro_z_rad_s", "rotation_z_dps", "rads"),
        ("Gyr_Y(°/s)", "rotation_y_dps", "degs"),
        ("rotationRate.x(rad/s)", "rotation_x_dps", "rads"),
        ("attitude.roll(radians)", "orientation_roll_deg", "radians"),
        ("mag_x_uT", "magnetic_x_ut", "ut"),
        ("AcX", "acceleration_x_g", None),
        ("qw", "other_qw_raw", None),
        ("chest2_acceleration_x_g", "chest2_acceleration_x_g", "g"),
    ],
)
def test_names_of_columns(name, channel, unit):
    found = column_of(name)
    assert found is not None
    assert (found.channel, found.unit) == (channel, unit)
    assert str(Channel.parse(found.channel)) == channel


@pytest.mark.parametrize(
    "name",
    ["label", "user", "temp", "max", "linear_acceleration_x", "userAcceleration.x(G)", "gravity.x", "a", "x", "R"],
)
def test_names_that_say_nothing_known_are_not_guessed(name):
    assert column_of(name) is None


@pytest.mark.parametrize(
    ("name", "unit"),
    [("time", None), ("Time(ms)", "ms"), ("timestamp_us", "us"), ("timestamps", None), ("time_s", "s"), ("t", None)],
)
def test_names_of_time(name, unit):
    found = column_of(name)
    assert found is not None
    assert (found.quantity, found.unit) == ("time", unit)


def test_what_is_not_known_is_told_and_not_read():
    values = np.column_stack([moving(), np.full(60, 36.6)])
    file = held(table(values, [*SPELLINGS[0], "temperature"]))
    assert "not known what they hold: 'temperature'" in notes(file, rate_hz=50)
    assert read_sensor_file(file, rate_hz=50).channels == SIX
    taken = read_sensor_file(file, rate_hz=50, channels={"temperature": "other_t_raw"})
    assert taken.channels == (*SIX, "other_t_raw")
    assert "temperature" not in " ".join(taken.notes)
    without = read_sensor_file(file, rate_hz=50, channels="temperature=,GX=,6=")
    assert without.channels == (*SIX[:3], *SIX[4:])
    assert not without.notes
    chosen = read_sensor_file(file, rate_hz=50, channels=["rotation_z_dps", "ax"])
    assert chosen.channels == ("rotation_z_dps", "acceleration_x_g")
    np.testing.assert_allclose(chosen.values_TC, moving()[:, [5, 0]], atol=1e-6)


def test_two_columns_of_one_channel_are_asked_about():
    file = held(table(np.column_stack([moving(), moving()[:, :1]]), [*SPELLINGS[0], "acc_x"]))
    refused(file, "bad-header", "'AX' and 'acc_x' are both read as acceleration_x_g", rate_hz=50)


def test_no_header_wants_names():
    file = held(table(moving()))
    refused(file, "bad-header", "no header says what its 6 columns are.*channels=ax,ay", rate_hz=50)
    np.testing.assert_allclose(
        read_sensor_file(file, rate_hz=50, channels="ax,ay,az,gx,gy,gz").values_TC, moving(), atol=1e-6
    )
    refused(file, "bad-header", "2 channels are named and it has 6 columns", rate_hz=50, channels="ax,ay")
    with pytest.raises(InputError, match="channel 'foo' is not understood"):
        read_sensor_file(file, rate_hz=50, channels="foo,ay,az,gx,gy,gz")


def test_lines_above_the_header_and_numbered_columns():
    text = "Device: X12\nStarted 2024-01-01\n" + table(moving(), SPELLINGS[0])
    got = read_sensor_file(held(text), rate_hz=50)
    np.testing.assert_allclose(got.values_TC, moving(), atol=1e-6)
    assert "2 lines above the samples are left out" in got.notes[0]
    numbered = held(table(np.column_stack([np.arange(60), moving()]), ["", *"012345"]))
    got = read_sensor_file(numbered, rate_hz=50, channels=",ax,ay,az,gx,gy,gz")
    np.testing.assert_allclose(got.values_TC, moving(), atol=1e-6)
    hashed = held("# ax ay az gx gy gz\n" + table(moving(), sep=" "), "a.txt")
    np.testing.assert_allclose(read_sensor_file(hashed, rate_hz=50).values_TC, moving(), atol=1e-6)


def test_a_header_of_one_name_less_never_shifts_the_columns():
    names, values = SPELLINGS[0], moving()
    trailing = ",".join(names) + "\n" + table(values).replace("\n", ",\n")
    numbered = " ".join(names) + "\n" + table([[str(k + 1), *row] for k, row in enumerate(values)], sep=" ")
    for text in (trailing, numbered):
        np.testing.assert_allclose(read_sensor_file(held(text), rate_hz=50).values_TC, values, atol=1e-6)
    short = ",".join(names[1:]) + "\n" + table(values)
    refused(held(short), "bad-header", "its header has 5 names, its rows 6 cells", rate_hz=50)


# --- time ---------------------------------------------------------------------------------------------------------


def stamped(times, values=None, name="time"):
    values = moving(len(times)) if values is None else values
    rows = [[str(t), *row] for t, row in zip(times, values)]
    return held(table(rows, [name, *SPELLINGS[0]]))


def test_no_rate_is_asked_for():
    refused(held(table(moving(), SPELLINGS[0])), "no-rate", "rate_hz=50")
    with pytest.raises(InputError, match="rate_hz is 0"):
        read_sensor_file(held(table(moving(), SPELLINGS[0])), rate_hz=0)


def test_a_count_is_no_time():
    file = stamped(range(60))
    refused(file, "no-rate", "nothing says how many")
    assert "column 'time' counts samples" in notes(file, rate_hz=50)
    assert read_sensor_file(file, rate_hz=1000).rate_hz == 1000  # of milliseconds, then
    jumps = held(table([[str(k + (k > 9)), *row] for k, row in enumerate(moving())], ["Counter", *SPELLINGS[0]]))
    assert "'Counter' leaves out numbers 1 times, first behind sample 9" in notes(jumps, rate_hz=50)


def test_a_rate_that_contradicts_the_stamps_is_refused():
    file = stamped(np.arange(60) / 50)
    refused(file, "bad-header", "rate_hz=100 contradicts its time stamps.*50 samples", rate_hz=100)
    near = read_sensor_file(file, rate_hz=49)  # a few per cent off: the stamps say it
    assert near.rate_hz == 50
    assert near.notes == ("its time stamps ('time') say 50 samples a second, which is taken, and not 49",)
    assert read_sensor_file(file, rate_hz=100, time="none").rate_hz == 100
    wrong = stamped(20 * np.arange(60), name="time_s")
    refused(wrong, "bad-header", "'time_s' in s has steps of 20 s.*is that its unit")
    assert read_sensor_file(wrong, units="time=ms").rate_hz == 50


def test_stamps_that_go_back_stand_still_or_are_missing_are_refused():
    times = np.arange(60) / 50
    back = times.copy()
    back[30:] -= 0.5
    refused(stamped(back), "bad-header", "go back from 0.58 to 0.1 at sample 30")
    refused(stamped(np.repeat(np.arange(15) * 0.08, 4)), "bad-header", "most time stamps .* are the same")
    missing = [str(t) for t in times]
    missing[7] = ""
    refused(stamped(missing), "bad-header", "lack that of sample 7")
    assert read_sensor_file(stamped(missing), time="none", rate_hz=50).rate_hz == 50


def test_uneven_stamps_are_resampled_and_noted():
    rng = np.random.default_rng(0)
    times = np.arange(200) / 50 + np.concatenate([[0], rng.uniform(-0.007, 0.007, 198), [0]])
    slow = np.column_stack([np.sin(times + k) for k in range(6)])
    got = read_sensor_file(stamped(np.round(times, 5), slow))
    assert "its time stamps are uneven" in " ".join(got.notes)
    assert got.rate_hz == pytest.approx(50, rel=0.01)
    expected = np.column_stack([np.sin(got.times_s + k) for k in range(6)])
    np.testing.assert_allclose(got.values_TC, expected, atol=1e-2)
    lost = np.delete(np.arange(200) / 50, [70, 71, 72])
    got = read_sensor_file(stamped(lost, np.column_stack([np.sin(lost + k) for k in range(6)])))
    assert len(got.times_s) == 200
    np.testing.assert_allclose(got.values_TC[:, 0], np.sin(got.times_s), atol=1e-3)


def test_a_hole_in_time_is_refused():
    times = np.arange(60) / 50
    times[40:] += 1
    refused(stamped(times), "decode-error", "nothing was recorded between 0.780 and 1.800 s")


# --- what is missing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["", "nan", "NULL", "inf", "-", "n/a", "1e300"])
def test_short_gaps_are_filled_and_noted_and_longer_ones_refused(cell):
    values = moving()
    rows = [[f"{v:.6f}" for v in row] for row in values]
    for k in range(20, 25):
        rows[k][4] = cell
    got = read_sensor_file(held(table(rows, SPELLINGS[0])), rate_hz=50)
    assert "5 missing values were interpolated, the first in 'rotation_y_dps' at 0.400 s" in " ".join(got.notes)
    np.testing.assert_allclose(got.values_TC[20:25, 4], np.linspace(*values[[19, 25], 4], 7)[1:-1], atol=1e-5)
    rows[25][4] = cell
    refused(
        held(table(rows, SPELLINGS[0])), "decode-error", "'rotation_y_dps' holds .* in 6 samples from 0.400", rate_hz=50
    )


def test_a_column_without_any_value_is_refused_and_can_be_left_out():
    rows = [[*(f"{v:.6f}" for v in row[:5]), ""] for row in moving()]
    file = held(table(rows, SPELLINGS[0]))
    refused(file, "decode-error", "'rotation_z_dps' holds no values from start to end", rate_hz=50)
    assert read_sensor_file(file, rate_hz=50, channels={"GZ": ""}).channels == SIX[:5]


# --- doubts -------------------------------------------------------------------------------------------------------


def doubts(values, **how):
    return notes(held(table(values, SPELLINGS[0])), rate_hz=50, **how)


def test_what_looks_odd_is_asked_and_not_changed():
    values = moving(200)
    assert doubts(values) == ""
    per = np.repeat([G, 1], 3)
    assert "is acceleration in m/s²?" in doubts(values * per)
    np.testing.assert_allclose(
        read_sensor_file(held(table(values * per, SPELLINGS[0])), rate_hz=50).values_TC, values * per, atol=1e-6
    )
    assert doubts(values * per, units={"acceleration": "m/s²"}) == ""
    assert "is acceleration in mg?" in doubts(values * np.repeat([1000, 1], 3))
    radians = values * np.repeat([1, np.pi / 180], 3)
    assert "is rotation in rad/s?" in doubts(radians)
    assert doubts(radians, units="rotation=rad/s") == ""
    assert "in degrees per second, and not in rad/s?" in doubts(values, units="rotation=rad/s")
    swapped = values[:, [3, 4, 5, 0, 1, 2]]
    swapped[:, :3] += 40
    assert "are the columns of acceleration and rotation swapped?" in doubts(swapped)
    off = values.copy()
    off[:, :3] *= 0.1
    assert "was gravity taken out of the acceleration?" in doubts(off)
    off[:30, :3] = 0
    assert "acceleration is exactly 0 along all axes in 30 of 200 samples" in doubts(off)


def test_emg_that_is_silent_at_first_is_noted():
    rng = np.random.default_rng(0)
    emg = rng.integers(1, 60, (50, 8)).astype(float)
    emg[:3] = 0
    names = [f"EMG{k}{s}" for s in "LR" for k in range(8)]
    said = notes(held(table(np.c_[emg, emg + 1], names)), rate_hz=200)
    assert said == "EMG of 'left' is zero in the first 3 samples"
    assert "EMG is zero throughout" in notes(held(table(emg * 0, [f"emg{k}" for k in range(8)])), rate_hz=200)


# --- files --------------------------------------------------------------------------------------------------------


def test_utd_mhad_files_and_others_of_matlab(tmp_path):
    path = tmp_path / "a1_s1_t1_inertial.mat"
    scipy.io.savemat(path, {"d_iner": moving()})
    got = read_sensor_file(path, rate_hz=50)
    assert got.channels == SIX
    np.testing.assert_array_equal(got.values_TC, moving())
    refused(path, "no-rate", "rate_hz")
    scipy.io.savemat(path, {"d_skel": np.zeros((20, 3, 9)), "who": "me"})
    refused(path, "bad-header", r"no array 'd_iner'; it holds 'd_skel' \(20, 3, 9\) double, 'who'", rate_hz=50)
    refused(path, "bad-header", r"\(20, 3, 9\); wanted numbers", rate_hz=50, key="d_skel")
    scipy.io.savemat(path, {"d_iner": moving()[:, :5]})
    refused(path, "bad-header", r"'d_iner' is \(60, 5\); wanted \(T, 6\)", rate_hz=50)
    scipy.io.savemat(path, {"other": moving()})
    assert "'other' are taken for those of d_iner" in notes(path, rate_hz=50, key="other")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(MediaError, match="cut off or damaged"):
        read_sensor_file(path, rate_hz=50, key="other")
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n\x1a\n")
    refused(path, "not-media", "7.3 file .*-v7", rate_hz=50)
    path.write_bytes(b"no such thing" * 50)
    refused(path, "not-media", r"not a \.mat file", rate_hz=50)


def test_arrays_say_what_they_lack(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, moving())
    refused(path, "bad-header", "nothing says what the columns .*channels=ax", rate_hz=50)
    refused(
        path, "bad-header", r"5 channels are named and the array is \(60, 6\)", rate_hz=50, channels="ax,ay,az,gx,gy"
    )
    np.save(path, np.array([{"a": 1}], object), allow_pickle=True)
    refused(path, "not-media", "could run code", rate_hz=50, channels="ax")
    np.savez(tmp_path / "b.npz", one=moving(), two=moving(9))
    refused(tmp_path / "b.npz", "bad-header", r"which array\? It holds 'one' \(60, 6\), 'two'", rate_hz=50)
    got = read_sensor_file(tmp_path / "b.npz", rate_hz=50, key="two", channels=SPELLINGS[0])
    assert got.values_TC.shape == (9, 6)
    with pytest.raises(InputError, match="option row_id is for text tables"):
        read_sensor_file(path, row_id=("a", "b"))


@pytest.mark.parametrize(
    ("content", "reason", "match"),
    [
        (b"", "empty", "no bytes"),
        (b"\n\n  \n", "no-frames", "blank"),
        (b"ax,ay,az\n", "not-media", "."),
        (b"Dear reader,\nthis is a letter\n", "not-media", "."),
        (bytes(range(256)) * 20, "not-media", "zero bytes"),
        (b"ax,ay\n1,2\n", "no-frames", "1 sample"),
        (b"ax,ay\n1,2\n3,4\n5,x\n", "decode-error", "line 4, column 'ay': 'x' is no number"),
        (b"ax,ay\n1,2\n3\n5,6\n", "decode-error", "line 3 has 1 cells where most have 2"),
        (b"ax,ay\n1,2\n3,4\n5", "truncated", "line 4 .*last"),
        (b"ax,ay\n1,2\n3,4\nax,ay\n5,6\n", "decode-error", "two recordings"),
        (b"foo,bar\n1,2\n3,4\n", "bad-header", "none of its columns is a known channel: 'foo', 'bar'"),
        (b"ax [furlong],ay\n1,2\n3,4\n", "bad-header", "unit 'furlong' of acceleration is not known"),
    ],
)
def test_broken_tables_say_where(content, reason, match):
    refused(held(content), reason, match, rate_hz=50)


@settings(max_examples=150)
@given(
    at=st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.integers(0, 3000),
    kind=st.sampled_from(["csv", "npy", "npz"]),
)
def test_damage_is_told_and_never_crashes(at, cut, kind):
    buffer = io.BytesIO()
    if kind == "csv":
        buffer.write(table(np.c_[np.arange(40) / 50, moving(40)], ["time_s", *SPELLINGS[0]]).encode())
    else:
        (np.save if kind == "npy" else np.savez)(buffer, moving(40))
    content = bytearray(buffer.getvalue())
    for place, byte in at:
        content[place % len(content)] = byte
    file = HeldFile(f"a.{kind}", bytes(content[: len(content) - (cut if cut % 3 == 0 else 0) % len(content)]))
    with contextlib.suppress(MediaError):
        got = read_sensor_file(file, rate_hz=50, channels=None if kind == "csv" else SPELLINGS[0])
        assert np.isfinite(got.values_TC).all()


def test_caps(tmp_path):
    file = held(table(moving(), SPELLINGS[0]))
    refused(file, "too-long", "60 samples; at most 50", rate_hz=50, limits=Limits(max_samples=50))
    refused(file, "too-large", "at most 100", rate_hz=50, limits=Limits(max_bytes=100))
    refused(tmp_path / "none.csv", "missing", "no such file", rate_hz=50)
    refused(tmp_path, "directory", "a folder", rate_hz=50)


def test_what_a_file_is_described_as(tmp_path):
    (tmp_path / "a.csv").write_text(table(np.c_[np.arange(60) / 50, moving()], ["time_s", *SPELLINGS[0]]))
    assert describe_sensor(tmp_path / "a.csv") == {
        "samples": 60,
        "rate_hz": 50.0,
        "duration_s": 1.2,
        "channels": list(SIX),
        "notes": [],
    }
    assert looks_like_sensor(tmp_path / "a.csv")
    (tmp_path / "list.csv").write_text("file,label\na.mp4,hi\n")
    assert not looks_like_sensor(tmp_path / "list.csv")
    assert not looks_like_sensor(tmp_path / "none.mat")


# --- real recordings ----------------------------------------------------------------------------------------------


@pytest.mark.real
def test_myo_armbands(real_data):
    files = sorted((real_data / "asl_myo_20words").glob("User[16]/*.csv"))
    lengths = set()
    for file in files:
        got = read_sensor_file(file, rate_hz=50)
        assert len(got.channels) == 34
        assert got.channels[0] == "left_emg_0_raw"
        assert {"right_orientation_yaw_deg", "left_acceleration_z_g", "right_rotation_x_dps"} <= set(got.channels)
        assert all(note.startswith("EMG of") for note in got.notes), file
        lengths.add(len(got.times_s))
    assert lengths == {50, 101}
    refused(
        real_data / "asl_myo_20words/User9/blue_144002418.csv", "decode-error", "that no sensor measures", rate_hz=50
    )


@pytest.mark.real
def test_utd_mhad_recordings_raise_no_doubt(real_data):
    files = sorted((real_data / "utd_mhad" / "Inertial").glob("*_s1_t1_*.mat"))
    assert len(files) == 27
    for file in files:
        got = read_sensor_file(file, rate_hz=50)
        assert got.channels == SIX
        assert got.notes == ()


@pytest.mark.parametrize("empty", [",,", ";;"])
def test_a_row_of_delimiters_alone_is_a_sample_that_is_missing(tmp_path, empty):
    """Not a blank line: the recording would be shorter, and nobody would know."""
    cut = empty[0]
    rows = [cut.join(("ax", "ay", "az"))] + [cut.join(f"{v:.3f}" for v in (k / 100, 0.5, 1.0)) for k in range(60)]
    several = [*rows[:20], *[empty] * 20, *rows[40:]]
    (tmp_path / "gap.csv").write_text("\n".join(several) + "\n")
    with pytest.raises(MediaError, match="20 samples") as error:
        read_sensor_file(tmp_path / "gap.csv", rate_hz=50)
    assert error.value.reason == "decode-error"
    one = [*rows[:20], empty, *rows[21:], empty, empty]  # and what a table program left at the end
    (tmp_path / "one.csv").write_text("\n".join(one) + "\n")
    found = read_sensor_file(tmp_path / "one.csv", rate_hz=50)
    assert len(found.values_TC) == 60
    assert any("interpolated" in note for note in found.notes)
