"""signloom generate: from poses and video to video that says it is generated."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from signloom import media
from signloom.cli.main import main
from signloom.data.manifest import Manifest, Record, read_manifest, write_manifest
from signloom.data.skeleton import joints_of
from signloom.models import build
from signloom.pipelines.generate import Generation, generate_file, read_inputs, sharpened
from signloom.streams.signer_crop import SignerCrop
from signloom.synthetic import LEXICON, Settings, Take, make_signer
from signloom.tasks.paint.data import resized
from signloom.tasks.paint.predict import GeneratorPredictor
from signloom.training.checkpoint import Checkpoint, save_checkpoint
from signloom.transforms.generator_input import GeneratorInput
from signloom.transforms.pose_map import CHANNELS, pose_maps_of_pose, stick_figure
from signloom.transforms.retarget import body_proportions

torch.set_num_threads(1)
SIZE = 64
TINY = Settings(size_px=(160, 120), fps=8)


def take(sign=0, signer=0):
    return Take(LEXICON[sign], make_signer(signer), 0, TINY)


@pytest.fixture(scope="module")
def poses(tmp_path_factory):
    """Two .pose files."""
    folder = tmp_path_factory.mktemp("poses")
    for k in range(2):
        media.write_pose(folder / f"sign{k}.pose", take(k).pose())
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A generator of two signers that has learnt nothing, in a run folder."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    model = build("generator", {"size_px": SIZE, "widths": (4, 4, 4, 4), "n_identities": 2}).eval()
    proportions = asdict(body_proportions(joints_of(take(signer=1).pose())))
    inputs = GeneratorInput(
        size_px=SIZE, crop=asdict(SignerCrop(512)), signers=("anna", "ben"), proportions=(proportions, None)
    )
    save_checkpoint(
        Checkpoint("paint", "generator", model, (), inputs, {"signer": {}, "pose": {}}), folder / "checkpoint"
    )
    return folder


def echo(proportions=None, pose_map_px=None):
    """A generator that paints the stick figure it is told."""

    def paint(pose_maps, identity=0):
        for x in pose_maps:
            assert x.shape == (pose_map_px or SIZE, pose_map_px or SIZE, len(CHANNELS))
            yield resized(stick_figure(x)[None], SIZE)[0]

    inputs = GeneratorInput(
        size_px=SIZE,
        pose_map_px=pose_map_px,
        crop=asdict(SignerCrop(512)),
        signers=("anna",),
        proportions=(proportions,),
    )
    model = build("generator", {"size_px": SIZE, "widths": (4, 4, 4, 4)})
    generator = GeneratorPredictor(Checkpoint("paint", "generator", model, (), inputs, {}))
    generator.paint = paint
    return generator


def metadata(file):
    import av

    with av.open(str(file)) as container:
        return dict(container.metadata)


def generate(capsys, *arguments):
    """The exit code, the rows and what was said besides."""
    code = main(["generate", *map(str, arguments), "--json"])
    said = capsys.readouterr()
    return code, [json.loads(line) for line in said.out.splitlines()], said.err


# --- one file -----------------------------------------------------------------------------------------------------


def test_a_pose_becomes_a_video_that_says_it_is_generated(run, poses, tmp_path, capsys):
    out = tmp_path / "hello.mp4"
    code, (row,), _ = generate(capsys, run, poses / "sign0.pose", "--out", out)
    n = len(media.read_pose(poses / "sign0.pose").body.data)
    assert code == 0
    assert row["video"] == str(out)
    assert row["n_frames"] == n
    video = media.read_video(out)
    assert video.frames_THWC.shape == (n, SIZE, SIZE, 3)
    assert video.fps == pytest.approx(8)
    said = metadata(out)
    assert "Generated" in said["comment"]
    about = json.loads(said["signloom_generated"])
    assert about["generated"] is True
    assert about["input"] == media.content_hash(poses / "sign0.pose")
    assert about["painter"] == media.content_hash(run / "checkpoint/model.safetensors")
    assert about["signer"] == "anna"
    assert [p.name for p in tmp_path.iterdir()] == ["hello.mp4"]


def test_it_paints_just_what_the_pose_says(poses, tmp_path):
    """Without smoothing and retargeting, the pose maps are those that a generator is trained with."""
    pose = media.read_pose(poses / "sign0.pose")
    joints = joints_of(pose)
    record = Record("clip", streams={"pose": str(poses / "sign0.pose")})
    out = tmp_path / "echo.mp4"
    settings = Generation(smooth=0, retarget=False, crf=0)
    about = generate_file(echo(), record, out, settings, model_hash="m", quiet=True)
    matrix = SignerCrop(SIZE).matrix(joints)
    wanted = np.stack([stick_figure(x) for x in pose_maps_of_pose(pose, matrix, SIZE)])
    assert about["n_frames"] == len(wanted)
    got = media.read_video(out).frames_THWC
    assert np.abs(got.astype(int) - wanted).mean() < 3  # colours are stored at half resolution


def test_a_generator_that_takes_smaller_pose_maps_gets_them_in_the_same_place(poses, tmp_path):
    record = Record("clip", streams={"pose": str(poses / "sign0.pose")})
    videos = []
    for pose_map_px in (None, SIZE // 2):
        out = tmp_path / f"{pose_map_px}.mp4"
        settings = Generation(smooth=0, side_by_side=True)
        generate_file(echo(pose_map_px=pose_map_px), record, out, settings, model_hash="m", quiet=True)
        videos.append(media.read_video(out).frames_THWC[..., :SIZE, :].astype(float).max(-1))
    whole, half = (v.reshape(len(v), SIZE // 8, 8, -1, 8).mean((2, 4)).ravel() for v in videos)
    assert np.corrcoef(whole, half)[0, 1] > 0.95


def test_another_build_and_smoothing_change_what_is_painted(poses, tmp_path):
    target = asdict(body_proportions(joints_of(take(signer=3).pose())))
    record = Record("clip", streams={"pose": str(poses / "sign0.pose")}, signer="somebody")
    videos = {}
    for name, generator, settings, who in (
        ("plain", echo(target), Generation(smooth=0, retarget=False), record),
        ("retargeted", echo(target), Generation(smooth=0), record),
        ("smoothed", echo(target), Generation(smooth=1, retarget=False), record),
        ("own", echo(target), Generation(smooth=0), replace(record, signer="anna")),
        ("unknown", echo(), Generation(smooth=0), record),
    ):
        generate_file(generator, who, tmp_path / f"{name}.mp4", settings, model_hash="m", quiet=True)
        videos[name] = media.read_video(tmp_path / f"{name}.mp4").frames_THWC
    assert not np.array_equal(videos["retargeted"], videos["plain"])
    assert not np.array_equal(videos["smoothed"], videos["plain"])
    assert np.array_equal(videos["own"], videos["plain"])
    assert np.array_equal(videos["unknown"], videos["plain"])


def test_side_by_side_shows_pose_and_painting(run, poses, tmp_path, capsys):
    out = tmp_path / "beside.mp4"
    assert generate(capsys, run, poses / "sign0.pose", "--out", out, "--side-by-side")[0] == 0
    frames = media.read_video(out).frames_THWC
    assert frames.shape[1:] == (SIZE, 2 * SIZE, 3)
    assert (frames[:, :4, :4] < 20).all()  # a stick figure stands on black


def test_the_real_picture_stands_beside_it_where_there_is_one(tmp_path):
    one = take()
    media.write_video(tmp_path / "clip.mp4", one.frames(), 8)
    media.write_pose(tmp_path / "clip.pose", one.pose())
    record = Record("clip", streams={"pose": str(tmp_path / "clip.pose"), "video": str(tmp_path / "clip.mp4")})
    out = tmp_path / "beside.mp4"
    generate_file(echo(), record, out, Generation(side_by_side=True, smooth=0), model_hash="m", quiet=True)
    frames = media.read_video(out).frames_THWC
    assert frames.shape[1:] == (SIZE, 3 * SIZE, 3)
    crop = SignerCrop(SIZE)
    real = media.read_video(tmp_path / "clip.mp4").frames_THWC
    wanted = np.stack(list(crop.pictures(real, crop.matrix(joints_of(one.pose())))))
    assert np.abs(frames[:, :, 2 * SIZE :].astype(int) - wanted).mean() < 4
    halved = Generation(side_by_side=True, smooth=0, fps=4)
    about = generate_file(echo(), record, tmp_path / "half.mp4", halved, model_hash="m", quiet=True)
    half = media.read_video(tmp_path / "half.mp4").frames_THWC
    assert about["fps"] == 4
    assert len(half) == about["n_frames"] == round((len(real) - 1) / 2) + 1
    assert np.abs(half[0].astype(int) - frames[0]).mean() < 2
    assert np.abs(half[-1].astype(int) - frames[-1]).mean() < 4


def test_another_rate_interpolates_the_pose(run, poses, tmp_path, capsys):
    n = len(media.read_pose(poses / "sign0.pose").body.data)
    out = tmp_path / "double.mp4"
    assert generate(capsys, run, poses / "sign0.pose", "--out", out, "--fps", 16)[1][0]["n_frames"] == 2 * n - 1
    assert media.probe(out).fps == pytest.approx(16)


def test_of_several_people_in_a_foreign_pose_one_is_painted_and_that_is_said(run, tmp_path, capsys, load_module):
    people = load_module("people.py")
    signer, other = people.person(8, 420), people.person(8, 1050, 300, 70, hands=False, still=True)
    order_TN = np.array([[t % 2, 1 - t % 2] for t in range(8)])
    for name, pose in {
        "alone": people.pose_of([signer]),
        "two": people.pose_of_arrays(*people.shuffled([signer, other], order_TN)),
        "unsure": people.pose_of([signer, people.person(8, 900)]),
    }.items():
        media.write_pose(tmp_path / f"{name}.pose", pose)
    pictures = {}
    for name in ("alone", "two"):
        code, _, said = generate(capsys, run, tmp_path / f"{name}.pose", "--out", tmp_path / f"{name}.mp4")
        assert code == 0
        assert ("several people (up to 2)" in said) == (name == "two")
        pictures[name] = media.read_video(tmp_path / f"{name}.mp4").frames_THWC
    np.testing.assert_array_equal(pictures["alone"], pictures["two"])
    code, (row,), _ = generate(capsys, run, tmp_path / "unsure.pose", "--out", tmp_path / "folder")
    assert (code, row["reason"]) == (1, "several-people")


def test_a_pose_without_a_face_is_painted_too(run, tmp_path, capsys):
    pose = take().pose()
    kept = [c.name for c in pose.header.components if c.name != "FACE_LANDMARKS"]
    media.write_pose(tmp_path / "faceless.pose", pose.get_components(kept))
    painted = generate(capsys, run, tmp_path / "faceless.pose", "--out", tmp_path / "x.mp4", "--fps", 16)[1][0]
    assert painted["n_frames"] == 2 * len(pose.body.data) - 1


def test_sharpening_steepens_edges_and_leaves_plains():
    picture = np.full((64, 64, 3), 100, np.uint8)
    picture[:, 32:] = 150
    got = sharpened(picture, 1.0)
    assert got[:, 31].min() < 100
    assert got[:, 32].max() > 150
    assert (got[:, :16] == 100).all()
    assert np.array_equal(sharpened(picture, 0.0), picture)


@pytest.mark.parametrize(("wanted", "is_ben"), [("ben", True), ("1", True), ("0", False), ("anna", False)])
def test_one_of_several_signers_is_chosen_by_name_or_number(run, poses, tmp_path, capsys, wanted, is_ben):
    out = tmp_path / "who.mp4"
    code, _, said = generate(capsys, run, poses / "sign0.pose", "--out", out, "--identity", wanted)
    assert code == 0
    assert json.loads(metadata(out)["signloom_generated"])["signer"] == ("ben" if is_ben else "anna")
    assert ("not retargeted" in said) == is_ben  # whose proportions it does not know


def test_hands_that_openpose_saw_are_as_bright_as_mediapipes(tmp_path):
    from numpy import ma
    from pose_format import Pose
    from pose_format.numpy import NumPyPoseBody
    from pose_format.pose_header import PoseHeader, PoseHeaderDimensions
    from pose_format.utils.openpose import OpenPose_Components

    n = sum(len(c.points) for c in OpenPose_Components)
    names = [(c.name, p) for c in OpenPose_Components for p in c.points]
    data = np.random.default_rng(0).uniform(50, 60, (6, 1, n, 2))
    data[:, 0, names.index(("pose_keypoints_2d", "LShoulder"))] = 120, 80
    data[:, 0, names.index(("pose_keypoints_2d", "RShoulder"))] = 60, 80
    confidence = np.full((6, 1, n), 0.3)
    pose = Pose(
        PoseHeader(0.2, PoseHeaderDimensions(200, 200, 0), OpenPose_Components),
        NumPyPoseBody(8, ma.array(data), confidence),
    )
    media.write_pose(tmp_path / "open.pose", pose)
    seen = []
    generator = echo()
    generator.paint = lambda pose_maps, identity=0: (seen.append(x) or stick_figure(x) for x in pose_maps)
    record = Record("open", streams={"pose": str(tmp_path / "open.pose")})
    generate_file(generator, record, tmp_path / "open.mp4", Generation(), model_hash="m", quiet=True)
    brightest = np.stack(seen).max((0, 1, 2))
    assert brightest[CHANNELS.index("index")] > 240
    assert brightest[CHANNELS.index("face")] > 240
    assert 90 < brightest[CHANNELS.index("left_shoulder")] < 180


# --- a folder -----------------------------------------------------------------------------------------------------


def test_a_folder_becomes_a_corpus_and_a_second_run_paints_only_what_is_missing(run, poses, tmp_path, capsys):
    out = tmp_path / "painted"
    command = (run, poses, "--out", out)
    code, rows, _ = generate(capsys, *command)
    assert code == 0
    corpus = read_manifest(out)
    assert len(corpus) == len(rows) == 2
    for record, row in zip(corpus, rows):
        assert record.extra["generated"] is True
        assert record.signer == "anna"
        assert record.parent == row["id"]
        assert row["video"] == str(out / record.streams["video"])
        assert record.content == media.content_hash(out / record.streams["video"])
        assert media.probe(out / record.streams["video"]).n_frames == record.n_frames
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in out.glob("*.mp4")}
    assert len(before) == 2
    manifest = (out / "manifest.jsonl").read_bytes()
    gone = min(before)
    gone.unlink()
    assert generate(capsys, *command)[:2] == (0, rows)
    assert {p: p.read_bytes() for p in out.glob("*.mp4")} == {p: data for p, (_, data) in before.items()}
    assert [p for p in before if p.stat().st_mtime_ns == before[p][0]] == [p for p in before if p != gone]
    assert (out / "manifest.jsonl").read_bytes() == manifest
    # without the journal the files alone say what is done
    (out / "journal.jsonl").unlink()
    times = {p: p.stat().st_mtime_ns for p in out.glob("*.mp4")}
    assert generate(capsys, *command)[:2] == (0, rows)
    assert {p: p.stat().st_mtime_ns for p in out.glob("*.mp4")} == times


def test_other_settings_make_other_files_and_other_clips_are_added(run, poses, tmp_path, capsys):
    out = tmp_path / "painted"
    generate(capsys, run, poses / "sign0.pose", "--out", out)
    (first,) = read_manifest(out)
    generate(capsys, run, poses / "sign0.pose", "--out", out, "--sharpen", "1")
    (second,) = read_manifest(out)
    assert second.id != first.id
    assert second.parent == first.parent
    generate(capsys, run, poses / "sign1.pose", "--out", out)
    assert len(read_manifest(out)) == 2
    generate(capsys, run, poses / "sign0.pose", "--out", out, "--identity", "ben")
    assert sorted(r.signer for r in read_manifest(out)) == ["anna", "anna", "ben"]


def test_a_broken_input_is_a_row_with_its_reason_and_others_go_on(run, poses, tmp_path, capsys):
    inputs = tmp_path / "in"
    inputs.mkdir()
    (inputs / "good.pose").write_bytes((poses / "sign0.pose").read_bytes())
    (inputs / "cut.pose").write_bytes((poses / "sign1.pose").read_bytes()[:-100])
    (inputs / "empty.mp4").write_bytes(b"")
    (inputs / "text.pose").write_text("no pose")
    out = tmp_path / "painted"
    code, rows, _ = generate(capsys, run, inputs, "--out", out, "--workers", "1")
    assert code == 3
    assert sorted("video" in row for row in rows) == [False, False, False, True]
    reasons = {row["id"].split("_")[-1].split("-")[0]: row["reason"] for row in rows if "error" in row}
    assert reasons == {"cut": "truncated", "empty": "empty", "text": "not-media"}
    assert len(read_manifest(out)) == 1
    assert read_manifest(out).meta["failed"] == 3
    assert len((out / "failures.jsonl").read_text().splitlines()) == 3
    (inputs / "good.pose").unlink()
    assert generate(capsys, run, inputs, "--out", tmp_path / "none", "--workers", "1")[0] == 1


def test_a_corpus_of_stick_figures_drives_too(run, painting_corpus, tmp_path, capsys):
    out = tmp_path / "painted"
    code, (row,), _ = generate(capsys, run, painting_corpus.root, "--split", "test", "--out", out, "--side-by-side")
    assert code == 0
    frames = media.read_video(row["video"]).frames_THWC
    assert frames.shape == (6, SIZE, 3 * SIZE, 3)
    real = media.read_frames(painting_corpus.root / "signer/c")
    assert np.abs(frames[:, :, 2 * SIZE :].astype(int) - real).mean() < 8
    (record,) = read_manifest(out)
    assert (record.split, record.label, record.parent) == ("test", "SIGN", "c")


def test_a_clip_inside_a_recording_is_painted_by_its_own_frames(poses, tmp_path):
    record = Record("part", streams={"pose": str(poses / "sign0.pose")}, first_frame=2, end_frame=7, n_frames=5)
    about = generate_file(echo(), record, tmp_path / "a.mp4", Generation(), model_hash="m", quiet=True)
    assert about["n_frames"] == 5
    whole = len(media.read_pose(poses / "sign0.pose").body.data)
    alone = replace(record, n_frames=whole)  # prepare cut the pose already
    assert (
        generate_file(echo(), alone, tmp_path / "b.mp4", Generation(), model_hash="m", quiet=True)["n_frames"] == whole
    )


@pytest.mark.slow
def test_a_source_video_is_painted_by_the_pose_found_in_it(run, tmp_path, capsys):
    one = Take(LEXICON[0], make_signer(0), 0, Settings(size_px=(320, 240), fps=8))
    media.write_video(tmp_path / "someone.mp4", one.frames(), 8)
    out = tmp_path / "painted"
    code, (row,), _ = generate(capsys, run, tmp_path / "someone.mp4", "--out", out, "--side-by-side", "--workers", "1")
    assert code == 0
    assert media.probe(row["video"]).width == 3 * SIZE
    assert len(list((out / "poses").rglob("*.pose"))) == 1


def test_clips_of_two_corpora_that_share_an_id_are_refused_and_named(run, poses, tmp_path, capsys):
    """Else one would silently take the other's place."""
    for name, file in (("a", "sign0"), ("b", "sign1")):
        record = Record("hello", streams={"pose": str(poses / f"{file}.pose")})
        write_manifest(Manifest((record,), tmp_path / name), tmp_path / name)
    both = [str(tmp_path / "a"), str(tmp_path / "b")]
    assert main(["generate", str(run), *both, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert all(words in said for words in ("'hello'", *both, "a folder each"))
    single = poses / "sign0.pose"
    (name,) = (r.id for r in read_inputs([str(single)]))
    write_manifest(Manifest((Record(name, streams={"pose": str(single)}),), tmp_path / "c"), tmp_path / "c")
    assert main(["generate", str(run), str(tmp_path / "c"), str(single), "--out", str(tmp_path / "out")]) == 2
    assert name in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# --- what cannot be -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{poses}/none.pose", "--out", "x.mp4"], "no such file"),
        (["{poses}", "--out", "x.mp4"], "2 clips; give a folder"),
        (["{poses}/sign0.pose", "--out", "x.webm"], "written as .mp4"),
        (["{poses}/sign0.pose", "--out", "x.mp4", "--identity", "carl"], "0 (anna), 1 (ben)"),
        (["{poses}/sign0.pose", "--out", "x.mp4", "--identity", "2"], "0 (anna), 1 (ben)"),
        (["{poses}/sign0.pose", "--out", "x.mp4", "--smooth", "2"], "--smooth: got 2, expected 0 to 1"),
        (["{poses}/sign0.pose", "--out", "x.mp4", "--sharpen", "-1"], "sharpen"),
        (["{poses}/sign0.pose", "--out", "x.mp4", "--fps", "0"], "fps"),
        (["{poses}/sign0.pose", "--out", "x", "--split", "test"], "--split goes with a corpus"),
    ],
)
def test_what_cannot_be_done_is_said(run, poses, tmp_path, capsys, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    assert main(["generate", str(run), *(a.format(poses=poses) for a in arguments)]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_a_generator_and_a_broken_single_file_fail(run, poses, tmp_path, capsys):
    assert main(["generate", str(poses), str(poses / "sign0.pose"), "--out", str(tmp_path / "x.mp4")]) == 1
    assert "no checkpoint at" in capsys.readouterr().err
    for name in ("bad.pose", "bad.mp4"):
        (tmp_path / name).write_bytes(b"\0" * 64)
        assert main(["generate", str(run), str(tmp_path / name), "--out", str(tmp_path / "x.mp4")]) == 1
        assert name in capsys.readouterr().err
    assert not (tmp_path / "x.mp4").exists()


def test_nobody_in_sight_is_a_reason(run, tmp_path, capsys):
    pose = take().pose()
    pose.body.confidence[:] = 0
    media.write_pose(tmp_path / "nobody.pose", pose)
    code, (row,), _ = generate(capsys, run, tmp_path / "nobody.pose", "--out", tmp_path / "out")
    assert code == 1
    assert row["reason"] == "no-shoulders"


def test_inputs_are_never_changed(run, poses, tmp_path, capsys, monkeypatch):
    write_manifest(Manifest((Record("a", streams={"pose": str(poses / "sign0.pose")}),), tmp_path), tmp_path)
    assert main(["generate", str(run), str(tmp_path), "--out", str(tmp_path)]) == 2
    assert "not generated" in capsys.readouterr().err
    film = tmp_path / "film.mp4"
    media.write_video(film, take().frames(), 8)
    content = film.read_bytes()
    assert main(["generate", str(run), str(film), "--out", str(Path(film))]) == 2
    assert "input itself" in capsys.readouterr().err
    assert film.read_bytes() == content
