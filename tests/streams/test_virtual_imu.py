"""The virtual sensor as a stream: at the end of a clip, of video or of an imported pose, live as prepared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from signloom import media
from signloom.data.manifest import Manifest, Record
from signloom.data.signal import Channel, vectors
from signloom.data.skeleton import INDEX, Joints, joints_of
from signloom.data.stream import ClipInfo
from signloom.errors import InputError, MediaError
from signloom.pipelines.prepare import Preparation, prepare_corpus
from signloom.streams import makeable, stream_named, streams_named, streams_of
from signloom.streams.clips import prepare_clip
from signloom.streams.runner import Runner
from signloom.synthetic import LEXICON, Settings, Take, make_signer
from signloom.synthetic.sensors import wrist_sensors
from signloom.transforms.virtual_imu import QUANTITIES


@pytest.fixture(scope="module")
def take():
    return Take(LEXICON[1], make_signer(0), 0, Settings(fps=25))


@pytest.fixture
def pose_file(take, tmp_path):
    media.write_pose(tmp_path / "in" / "c.pose", take.pose())
    return tmp_path / "in" / "c.pose"


def made_of(stream, joints, **about):
    runner = Runner({"virtual_imu": stream}, ClipInfo("c", 25.0, complete={"pose": joints}, **about))
    return runner.close()["virtual_imu"]


def test_of_an_imported_pose(pose_file, tmp_path, take):
    assert "virtual_imu" in makeable()
    streams = streams_named(("pose", "virtual_imu"), {"virtual_imu": {"joint": "right_wrist,left_wrist"}})
    made = prepare_clip(Record("c", streams={"pose": str(pose_file)}), tmp_path, tmp_path / "out", streams)
    assert set(made["streams"]) == set(made["fingerprints"]) == {"pose", "virtual_imu"}
    told = made["fingerprints"]["virtual_imu"]
    assert told["extractor"] == "virtual-imu"
    assert told["pose"] == made["fingerprints"]["pose"]  # of the estimator that made it, not of ours
    again = streams_of(made["fingerprints"])
    assert again["virtual_imu"].fingerprint() == told
    signal = again["virtual_imu"].read(tmp_path / "out" / made["streams"]["virtual_imu"])
    assert signal.rate_hz == 50
    assert signal.start_s == 0
    assert signal.duration_s == pytest.approx(made["n_frames"] / 25, abs=0.05)
    assert signal.channels == tuple(f"{side}_wrist_{q}" for side in ("right", "left") for q in QUANTITIES)
    assert [Channel.parse(c).place for c in signal.channels[::6]] == ["right_wrist", "left_wrist"]
    assert len(vectors(signal.channels)) == 4
    some = again["virtual_imu"].read(tmp_path / "out" / made["streams"]["virtual_imu"], [3, 4])
    np.testing.assert_array_equal(some.values_TC, signal.values_TC[3:5])
    # From a picture, without depth: how fast the real sensor turns is still seen in it.
    real = wrist_sensors(take.motion, 50.0)
    n = min(len(signal), len(real))
    moving = int(np.argmax(real[:, [3, 9]].std(0)))
    speed, turned = (np.linalg.norm(x[:n, 6 * moving + 4 : 6 * moving + 6], axis=1) for x in (signal.values_TC, real))
    assert np.corrcoef(speed, turned)[0, 1] > 0.5


def test_of_footage_with_its_pose_and_later_of_the_pose_alone(footage, tmp_path, monkeypatch):
    video = sorted(footage.rglob("*.mp4"))[0]
    streams = streams_named(("pose", "virtual_imu"), {"virtual_imu": {"joint": "right_upper_arm"}})
    record = Record("c", streams={"video": str(video)}, end_frame=8)
    made = prepare_clip(record, tmp_path, tmp_path, streams)
    stored = streams["virtual_imu"].read(tmp_path / made["streams"]["virtual_imu"])
    runner = Runner(streams, ClipInfo("c", made["fps"]), keep=["virtual_imu"])
    for time_s, frame in media.iter_frames(video, end_frame=8):
        assert "virtual_imu" not in runner.push(time_s, {"video": frame})
    np.testing.assert_allclose(runner.close()["virtual_imu"].values_TC, stored.values_TC, atol=1e-3)
    # Another sensor of a clip whose pose is there: no frame is decoded for it.
    monkeypatch.setattr("signloom.streams.clips._Filmed._footage", lambda self: pytest.fail("frames were read"))
    other = streams_named(("pose", "virtual_imu"), {"virtual_imu": {"joint": "left_upper_arm"}})
    again = prepare_clip(record, tmp_path, tmp_path, other)
    assert again["streams"]["pose"] == made["streams"]["pose"]
    assert again["streams"]["virtual_imu"] != made["streams"]["virtual_imu"]
    assert again["n_frames"] == made["n_frames"] == 8


def test_another_setting_and_another_place_make_another_file(pose_file, tmp_path):
    def path(joint, **extra):
        streams = {"pose": stream_named("pose"), "virtual_imu": stream_named("virtual_imu", joint=joint)}
        record = Record("c", streams={"pose": str(pose_file)}, extra=extra)
        return prepare_clip(record, tmp_path, tmp_path / "out", streams)["streams"]["virtual_imu"]

    names = [path("right_wrist"), path("left_wrist"), path("worn-on", imu={"worn_on": "left_wrist"})]
    names.append(path("worn-on", imu={"worn_on": "right_upper_arm"}))
    assert len(set(names)) == 4
    assert path("right_wrist") == names[0]
    read = stream_named("virtual_imu").read
    left, worn = read(tmp_path / "out" / names[1]), read(tmp_path / "out" / names[2])
    np.testing.assert_array_equal(left.values_TC, worn.values_TC)
    assert worn.channels == QUANTITIES  # the place differs from clip to clip, the channels do not
    with pytest.raises(MediaError, match="worn on nothing; wanted") as error:
        path("worn-on")
    assert error.value.reason == "no-place"


def test_a_corpus_of_poses_gets_sensors_and_new_settings_are_heeded(take, tmp_path):
    for k in range(2):
        media.write_pose(tmp_path / "in" / f"{k}.pose", take.pose())
    manifest = Manifest(tuple(Record(str(k), streams={"pose": f"{k}.pose"}) for k in range(2)), tmp_path / "in", {})

    def prepared(**settings):
        streams = streams_named(("pose", "virtual_imu"), {"virtual_imu": settings})
        corpus, _ = prepare_corpus(manifest, tmp_path / "out", Preparation(streams), workers=0, quiet=True)
        stream = streams_of(corpus.meta["streams"])["virtual_imu"]
        return stream.read(corpus.records[0].path("virtual_imu", corpus.root, "test"))

    assert prepared(rate_hz=100.0).rate_hz == 100
    assert prepared(rate_hz=20.0).rate_hz == 20
    with pytest.raises(InputError, match="add 'pose' to --streams"):
        Preparation(("virtual_imu",))


def test_a_measured_skeleton_gives_true_units(take):
    motion = take.motion.sampled(25.0)
    flip = np.array([-1, -1, 1])  # x to the person's right, y up
    names = ("right_elbow", "right_wrist", "right_hip", "right_knee")
    points = np.stack([motion.elbows[:, 0], motion.hands[:, 0, 0], motion.hips[:, 0], motion.hips[:, 0]], 1) * flip
    points[:, 3] += (0, -0.4, 0)
    flat = joints_of(take.pose())
    known = {f: getattr(flat, f)[: len(points)] for f in ("xy_TJC", "present_TJ")}
    joints = Joints(**known, fps=25.0, points_TPC=points.astype(np.float32), point_names=names)
    signal = made_of(stream_named("virtual_imu"), joints)
    real = wrist_sensors(take.motion, 50.0)
    n = min(len(signal), len(real))
    assert np.corrcoef(signal.values_TC[:n, 0], real[:n, 0])[0, 1] > 0.9
    assert np.abs(signal.values_TC[:n, 0] - real[:n, 0]).mean() < 0.15
    thigh = made_of(stream_named("virtual_imu", joint="right_thigh"), joints)
    np.testing.assert_allclose(thigh.values_TC[:, 0].mean(), -1, atol=0.05)  # it hangs: x points down
    with pytest.raises(MediaError, match="no right_knee"):
        made_of(stream_named("virtual_imu", joint="right_thigh"), flat)


@pytest.mark.real
def test_of_a_kinect_beside_the_real_sensor_and_the_depth(real_data, tmp_path):
    from scipy.io import loadmat

    root = real_data / "utd_mhad"
    stem = "a7_s1_t1"  # a cross in the air, of a subject of the training half
    files = {"pose": f"Skeleton/{stem}_skeleton.mat", "depth": f"Depth/{stem}_depth.mat"}
    record = Record("c", streams=files, extra={"imu": {"worn_on": "right_wrist"}})
    streams = streams_named(("pose", "depth", "virtual_imu"), {"virtual_imu": {"joint": "worn-on"}})
    made = prepare_clip(record, root, tmp_path, streams)
    assert set(made["streams"]) == set(streams)
    assert len(streams["depth"].read(tmp_path / made["streams"]["depth"])) == made["n_frames"]
    again = streams_of(made["fingerprints"])["virtual_imu"]
    signal = again.read(tmp_path / made["streams"]["virtual_imu"])
    real = loadmat(root / f"Inertial/{stem}_inertial.mat")["d_iner"]
    # The two span the same time, whatever their nominal rates say.
    where = np.linspace(0, len(signal) - 1, len(real)).round().astype(int)
    speed = np.linalg.norm(signal.values_TC[where, 3:], axis=1)
    assert np.corrcoef(speed, np.linalg.norm(real[:, 3:], axis=1))[0, 1] > 0.5


def test_joints_that_are_never_seen_are_refused(take):
    joints = joints_of(take.pose())
    present = joints.present_TJ.copy()
    present[4:, INDEX["right_wrist"]] = False
    with pytest.raises(MediaError, match=r"right_wrist: virtual IMU: both ends .* in 4 of") as error:
        made_of(stream_named("virtual_imu"), replace(joints, present_TJ=present))
    assert error.value.reason == "no-signer"
    present[:, INDEX["left_shoulder"]] = False
    with pytest.raises(MediaError, match="how large the signer is"):
        made_of(stream_named("virtual_imu", joint="left_wrist"), replace(joints, present_TJ=present))
    for settings, said in (({"joint": "nose"}, "got 'nose'"), ({"rate_hz": 0.0}, "rate_hz: got 0")):
        with pytest.raises(InputError, match=said):
            stream_named("virtual_imu", **settings)
    with pytest.raises(InputError, match="need names"):
        stream_named("virtual_imu", joint="left_wrist,right_wrist", named=False)
