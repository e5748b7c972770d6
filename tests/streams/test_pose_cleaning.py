"""Poses are kept as one person's, without what was not found and without hands twice; and what was done is said."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from signloom import media
from signloom.cli.main import main
from signloom.data.manifest import read_manifest
from signloom.data.skeleton import INDEX, PARTS, joints_of
from signloom.data.stream import ClipInfo
from signloom.errors import InputError, MediaError
from signloom.pipelines.predict import read_clip
from signloom.sources import read_source
from signloom.streams import fingerprint_diff, parse_settings, stream_named, streams_of
from signloom.streams.pose_cleaning import clean_pose, pose_notes

N = 20


@pytest.fixture(scope="module")
def signer(people):
    return people.person(N, 420)


@pytest.fixture(scope="module")
def ghostly(people, signer):
    """The signer's right hand found a second time, as the left one, in frames 5 to 8; the left arm hangs down."""
    data, confidence = (a.copy() for a in signer)
    left, right = people.SLICES["hand_left_keypoints_2d"], people.SLICES["hand_right_keypoints_2d"]
    data[5:9, left], confidence[5:9, left] = data[5:9, right] + 0.5, 0.6
    return data, confidence


@pytest.fixture
def corpus(tmp_path, people, signer, ghostly):
    """Files of poses as people have them, in ``tmp_path / "in"``."""
    bystander = people.person(N, 1050, 300, 70, hands=False, still=True)
    order = np.array([[t % 2, 1 - t % 2] for t in range(N)])
    lost = (signer[0].copy(), np.ones_like(signer[1]))
    poses = {
        "good": people.pose_of([signer]),
        "zeros": people.pose_of([lost]),
        "two": people.pose_of_arrays(*people.shuffled([signer, bystander], order)),
        "ghost": people.pose_of([ghostly]),
    }
    (tmp_path / "in" / "SIGN").mkdir(parents=True)
    for name, pose in poses.items():
        media.write_pose(tmp_path / "in" / "SIGN" / f"{name}.pose", pose)
    return tmp_path


def prepared(corpus, *words, out="out"):
    assert main(["prepare", str(corpus / "in"), "--out", str(corpus / out), "--workers", "1", *words]) == 0
    found = read_manifest(corpus / out)
    return found, {r.id.removeprefix("SIGN_"): media.read_pose(corpus / out / r.streams["pose"]) for r in found}


def test_prepare_keeps_one_person_and_says_what_it_did(corpus, people, signer, capsys):
    manifest, poses = prepared(corpus)
    said = capsys.readouterr().err
    wanted = joints_of(people.pose_of([signer]))
    for name, pose in poses.items():
        assert pose.body.data.shape[1] == 1
        joints = joints_of(pose)
        np.testing.assert_array_equal(joints.present_TJ, wanted.present_TJ, err_msg=name)
        np.testing.assert_array_equal(joints.xy_TJC, wanted.xy_TJC, err_msg=name)
    missing = int((signer[1] == 0).sum())
    for note in (
        f"{missing} points stand where (0, 0), (-1, -1) or one place for a whole part means 'not found', in 1 clip",
        "several people (up to 2) in the poses of 1 clip (first 'SIGN_two'), and their order changes in 1",
        "one hand was reported as both in 4 frames, in 1 clip (first 'SIGN_ghost')",
    ):
        assert note in said
        assert any(note in kept for kept in manifest.meta["notes"])
    assert (corpus / "out" / manifest.records[1].streams["pose"]).read_bytes() == (
        corpus / "in" / "SIGN" / "good.pose"
    ).read_bytes()  # a pose in which there is nothing to do stays as it came


def test_each_guess_can_be_undone(corpus, people, ghostly):
    _, poses = prepared(corpus, "--option", "person=right", out="right")
    assert joints_of(poses["two"]).xy_TJC[0, 0, 0] == 1050
    _, poses = prepared(corpus, "--option", "person=left", out="right")  # not the file that is there already
    assert joints_of(poses["two"]).xy_TJC[0, 0, 0] == 420
    manifest, poses = prepared(corpus, "--set", "pose.ghosts=keep", out="kept")
    assert joints_of(poses["ghost"]).present_TJ[5:9, PARTS["left_hand"]].all()
    assert "ghosts" not in manifest.meta["streams"]["pose"]  # the fingerprint that earlier versions wrote
    with pytest.raises(InputError, match=r"pose\.ghosts: got 'some', expected drop or keep"):
        stream_named("pose", **parse_settings(["pose.ghosts=some"])["pose"])


def test_a_prepared_corpus_is_prepared_again_without_asking_twice(corpus):
    first, _ = prepared(corpus, "--option", "person=0")
    words = ["prepare", str(corpus / "out"), "--out", str(corpus / "again"), "--workers", "1"]
    assert main(words) == 0
    again = read_manifest(corpus / "again")
    for a, b in zip(first, again, strict=True):
        assert (corpus / "out" / a.streams["pose"]).read_bytes() == (corpus / "again" / b.streams["pose"]).read_bytes()


def test_two_possible_signers_are_asked_for_and_person_goes_with_poses(corpus, people, signer, capsys):
    two = people.pose_of([signer, people.person(N, 950)])
    with pytest.raises(MediaError, match=r"2 people could be the signer .*--option person=left") as caught:
        clean_pose(two)
    assert caught.value.reason == "several-people"
    media.write_pose(corpus / "in" / "SIGN" / "dialogue.pose", two)
    assert main(["prepare", str(corpus / "in"), "--out", str(corpus / "out"), "--workers", "1"]) == 3
    assert "2 people could be the signer" in capsys.readouterr().err
    (corpus / "words").mkdir()
    (corpus / "words" / "a.mp4").write_bytes(b"x")
    with pytest.raises(InputError, match=r"no clip .* is a \.pose file"):
        read_source(corpus / "words", "tree", "{label}.mp4", person="left")


def test_doctor_counts_what_prepare_would_do_and_did(corpus, capsys):
    prepared(corpus)
    for folder in ("in", "out"):
        capsys.readouterr()
        main(["doctor", str(corpus / folder), "--json", "--workers", "1"])
        notes = json.loads(capsys.readouterr().out)["notes"]
        for note in (
            "one hand was reported as both in 4 frames, in 1 clip",
            "several people (up to 2)",
            "'not found', in 1",
        ):
            assert sum(note in n for n in notes) == 1, notes


def test_the_places_of_a_ghost_stay_in_the_file_and_cleaning_twice_changes_nothing(people, ghostly):
    once = clean_pose(people.pose_of([ghostly]))
    assert dict(once.found) == {"ghost_hands": 4}
    left = people.SLICES["hand_left_keypoints_2d"]
    np.testing.assert_array_equal(np.ma.getdata(once.pose.body.data)[5:9, 0, left], ghostly[0][5:9, left].astype("f4"))
    joints = joints_of(once.pose)
    assert np.flatnonzero(joints.ghosts_TS[:, 0]).tolist() == [5, 6, 7, 8]
    assert not joints.mirrored().ghosts_TS[:, 0].any()
    assert joints[6:].ghosts_TS.sum() == 3
    twice = clean_pose(once.pose)
    assert twice.pose is once.pose
    assert twice.found == once.found


def test_a_hand_that_an_estimator_was_not_sure_of_is_no_ghost(people, signer):
    data, confidence = (np.array(a) for a in signer)
    right = people.SLICES["hand_right_keypoints_2d"]
    left = people.SLICES["hand_left_keypoints_2d"]
    data[:, left] = data[:, right] + [300, 80]  # a place, and no confidence
    confidence[8:12, right] = 0
    found = clean_pose(people.pose_of([(data, confidence)])).found
    assert set(found) == {"no_confidence"}


def test_a_program_reads_a_file_of_several_people_as_prepare_would(corpus, people, signer):
    stream = stream_named("pose", components=tuple(people.SIZES.items()))
    made = {"pose": stream.fingerprint()}
    predictor = SimpleNamespace(streams={"pose": stream}, needs=("pose",), checkpoint=SimpleNamespace(streams=made))
    wanted = joints_of(people.pose_of([signer]))
    for name in ("two", "zeros", "ghost"):
        joints = read_clip(corpus / "in" / "SIGN" / f"{name}.pose", predictor).read(stream)
        np.testing.assert_array_equal(joints.present_TJ, wanted.present_TJ, err_msg=name)
        np.testing.assert_array_equal(joints.xy_TJC, wanted.xy_TJC, err_msg=name)


def test_points_without_confidence_say_what_to_do(people, signer, corpus, capsys):
    media.write_pose(corpus / "in" / "SIGN" / "blind.pose", people.pose_of([(signer[0], 0 * signer[1])]))
    assert main(["prepare", str(corpus / "in"), "--out", str(corpus / "out"), "--workers", "1"]) == 3
    assert "write confidence 1 for those that were found" in capsys.readouterr().err


def test_notes_of_nothing_are_none():
    assert pose_notes({}) == []
    assert pose_notes({"a": {}}) == []


def test_ghosts_stand_in_the_fingerprint_and_earlier_corpora_are_as_before():
    stream = stream_named("pose")
    made = stream.fingerprint()
    assert (made["version"], made["ghosts"]) == (2, "drop")
    assert streams_of({"pose": made})["pose"] == stream
    before = {**made, "version": 1}
    del before["ghosts"]
    earlier = streams_of({"pose": before})["pose"]
    assert earlier.ghosts == "keep"
    assert fingerprint_diff(before, earlier.fingerprint()) == []


def test_a_session_leaves_ghosts_out_as_prepare_does(tmp_path):
    """Samples as MediaPipe's finder gives them: the same joints gathered as written and read, and the count."""
    samples = np.zeros((6, 543, 4), np.float32)
    shown = np.stack([np.linspace(0, 40, 21), np.linspace(0, 30, 21) % 17], 1)
    body = {11: (350, 200), 12: (250, 200), 15: (380, 420), 16: (270, 300)}
    for k, place in body.items():
        samples[:, k, :2], samples[:, k, 3] = place, 0.9
    for hand in (slice(501, 522), slice(522, 543)):
        samples[:, hand, :2], samples[:, hand, 3] = shown + np.array([270, 300]), 1
    samples[:3, 501:522] = 0
    info = ClipInfo("clip", 25.0, (640, 480))
    stream = stream_named("pose")
    gathered = stream.gather(list(samples), info)
    with stream.writer(tmp_path / "a.pose", info) as add:
        for sample in samples:
            add(sample)
    read = stream.read(tmp_path / "a.pose")
    for joints in (gathered, read):
        assert not joints.present_TJ[:, PARTS["left_hand"]].any()
        assert joints.present_TJ[:, PARTS["right_hand"]].all()
        assert stream.extra(ClipInfo("clip", 25.0, complete={"pose": joints}))["pose_found"] == {"ghost_hands": 3}
    kept = stream_named("pose", ghosts="keep").gather(list(samples), info)
    assert kept.present_TJ[3:, PARTS["left_hand"]].all()


def _clip_of_hands(right_of_left, right_of_right, apart=0):
    """30 frames of a right hand, on which the left one lies in 6, both arms leading there; and ``apart`` at the end in
    which a left hand is by itself. As signloom's own finder gives them."""
    samples = np.zeros((30, 545, 4), np.float32)
    shown = np.stack([np.linspace(0, 40, 21), np.linspace(0, 30, 21) % 17], 1)
    for k, place in {11: (350, 200), 12: (250, 200), 13: (330, 260), 15: (272, 301), 16: (270, 300)}.items():
        samples[:, k, :2], samples[:, k, 3] = place, 0.9
    for side, right, frames in ((1, right_of_right, slice(0, 30)), (0, right_of_left, slice(4, 10))):
        hand = slice(501 + 21 * side, 522 + 21 * side)
        samples[frames, hand, :2], samples[frames, hand, 3] = shown + np.array([270, 300]), 1
        samples[frames, 543 + side] = 0.9, right, 0, 1
    if apart:
        samples[-apart:, 501:522, :2], samples[-apart:, 501:522, 3] = shown + np.array([420, 300]), 1
        samples[-apart:, 543] = 0.9, 0.03, 0, 1
    return list(samples)


@pytest.mark.parametrize(
    ("left", "right", "apart", "ghost"),
    [
        (0.92, 0.97, 0, True),  # both say that they are the right one
        (0.92, 0.97, 4, False),  # but there is a left one
        (0.60, 0.97, 0, False),  # hands laid together
        (0.92, 0.60, 0, False),
        (0.05, 0.97, 0, False),
    ],
)
def test_a_ghost_whose_arm_follows_is_told_by_the_side_of_its_points(left, right, apart, ghost):
    info = ClipInfo("clip", 25.0, (640, 480))
    joints = stream_named("pose").gather(_clip_of_hands(left, right, apart), info)
    assert joints.present_TJ[4:10, PARTS["left_hand"]].any() == (not ghost)
    assert joints.present_TJ[:, PARTS["right_hand"]].all()
    arm = [INDEX["left_elbow"], INDEX["left_wrist"]]
    assert joints.present_TJ[4:10, arm].any() == (not ghost)  # where the arm is then nobody knows
    assert joints.present_TJ[10:, arm].all()


@pytest.mark.parametrize(("apart", "everywhere", "ghost"), [(0, False, True), (4, False, False), (0, True, False)])
def test_what_is_a_ghost_in_some_frames_is_one_in_the_others(apart, everywhere, ghost):
    """Its points say neither side; but its arm was elsewhere twice. Not where there is such a hand, nor in a sign that
    keeps the hands together."""
    samples = np.stack(_clip_of_hands(0.45, 0.97, apart))
    if everywhere:
        samples[:20, 501:522], samples[:20, 543] = samples[5, 501:522], samples[5, 543]
    samples[4:6, 15, :2] = 380, 420  # the left wrist hangs down
    joints = stream_named("pose").gather(list(samples), ClipInfo("clip", 25.0, (640, 480)))
    assert not joints.present_TJ[4:6, PARTS["left_hand"]].any()
    assert joints.present_TJ[6:10, PARTS["left_hand"]].any() == (not ghost)
    assert joints.present_TJ[:, PARTS["right_hand"]].all()
