"""Preparing a corpus: what it holds, that nothing is done twice, and what becomes of odd clips."""

from __future__ import annotations

import fcntl
import json
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from pose_format import Pose

from signloom import media
from signloom.data.failures import read_failures
from signloom.data.manifest import Manifest, Record, read_manifest
from signloom.data.skeleton import joints_of
from signloom.errors import InputError
from signloom.media.flow_files import probe_flow, read_flow
from signloom.pipelines.prepare import Preparation, prepare_corpus
from signloom.sources import read_source
from signloom.streams import runner
from signloom.streams.flow import Flow, colour_wheel
from signloom.streams.flow_view import FULL_PX_S
from signloom.streams.pose_holistic import HolisticFinder, HolisticPose
from signloom.streams.signer_crop import SignerCrop
from signloom.transforms.geometry import warp_frames

FRAMES = Preparation(streams=("frames",), shorter_px=96)


def stream_files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix in (".pose", ".mp4"))


def of_files(root: Path, **paths: str) -> Manifest:
    return Manifest(tuple(Record(i, label="A", streams={"video": p}) for i, p in paths.items()), root)


def test_poses_open_in_pose_format_and_the_manifest_tells_the_truth(corpus):
    manifest = read_manifest(corpus.folder)
    assert [r.id for r in manifest] == [r.id for r in corpus.source]
    assert len(manifest.labels) == 2
    assert len(manifest.signers) == 3
    assert list(manifest.meta["streams"]) == ["pose", "frames", "flow"]
    for record in manifest:
        pose = Pose.read((corpus.folder / record.streams["pose"]).read_bytes())
        assert [(c.name, len(c.points)) for c in pose.header.components] == [
            ("POSE_LANDMARKS", 33),
            ("FACE_LANDMARKS", 128),
            ("LEFT_HAND_LANDMARKS", 21),
            ("RIGHT_HAND_LANDMARKS", 21),
        ]
        assert pose.body.data.shape[:2] == (record.n_frames, 1)
        assert pose.body.fps == record.fps == 6
        assert (pose.header.dimensions.width, pose.header.dimensions.height) == (320, 240)
        assert record.extra["seen"]["body"] > 0.9  # the real estimator finds the synthetic signer
        assert record.content == media.content_hash(record.path("video", corpus.folder, "test"))


def test_frames_are_as_many_as_poses_and_resized(corpus):
    for record in corpus.manifest:
        video = media.read_video(corpus.folder / record.streams["frames"])
        source = media.read_video(record.path("video", corpus.folder, "test"))
        assert video.frames_THWC.shape == (record.n_frames, 96, 128, 3)
        small = np.stack([media.resize_shorter_side(f, 96) for f in source.frames_THWC])
        assert np.abs(video.frames_THWC.astype(int) - small).mean() < 4


def test_flow_is_that_of_the_resized_frames_before_they_are_compressed(corpus):
    for record in corpus.manifest.records[:2]:
        source = media.read_video(record.path("video", corpus.folder, "test"))
        small = [media.resize_shorter_side(f, 96) for f in source.frames_THWC]
        expected = np.stack(list(Flow().of_frames(small)))
        got = read_flow(corpus.folder / record.streams["flow"])
        assert got.shape == (record.n_frames, 96, 128, 2)
        assert np.abs(got - expected).max() <= 20 / 254 + 1e-5
        assert np.abs(got).max() > 1


def test_inputs_are_left_alone_and_the_manifest_comes_last(corpus, footage, hashes_of):
    assert hashes_of(footage) == corpus.inputs
    written = (corpus.folder / "manifest.jsonl").stat().st_mtime_ns
    assert all(p.stat().st_mtime_ns <= written for p in stream_files(corpus.folder))
    assert not list(corpus.folder.rglob(".tmp-*"))


def test_a_second_run_makes_nothing_again(corpus, tmp_path):
    out = shutil.copytree(corpus.folder, tmp_path / "corpus")
    before = {p: p.stat().st_mtime_ns for p in stream_files(out)}
    _, outcomes = prepare_corpus(corpus.source, out, corpus.preparation, workers=1, quiet=True)
    assert all(o.reused for o in outcomes)
    assert {p: p.stat().st_mtime_ns for p in stream_files(out)} == before
    assert (out / "manifest.jsonl").read_bytes() == (corpus.folder / "manifest.jsonl").read_bytes()


def test_one_worker_gives_the_same_bytes_as_two(corpus, tmp_path):
    some = replace(corpus.source, records=corpus.source.records[::-2])
    prepared, _ = prepare_corpus(some, tmp_path, corpus.preparation, workers=1, quiet=True)
    rows = {r.id: r for r in corpus.manifest}
    assert len(prepared) == 3
    for record in read_manifest(tmp_path):
        for stream in ("pose", "frames", "flow"):
            path = record.path(stream, tmp_path, "test")
            other = rows[record.id].path(stream, corpus.folder, "test")
            assert path.name == other.name
            assert path.read_bytes() == other.read_bytes()


def test_what_changed_or_went_missing_is_made_again(footage, tmp_path):
    sources = [str(p) for p in sorted(footage.rglob("*.mp4"))[:3]]
    for name, path in zip("abc", sources):
        shutil.copy(path, tmp_path / f"{name}.mp4")
    manifest = of_files(tmp_path, a="a.mp4", b="b.mp4")
    out = tmp_path / "out"
    first, _ = prepare_corpus(manifest, out, FRAMES, workers=0, quiet=True)
    shutil.copy(tmp_path / "c.mp4", tmp_path / "b.mp4")
    second, outcomes = prepare_corpus(manifest, out, FRAMES, workers=0, quiet=True)
    assert [o.reused for o in outcomes] == [True, False]
    assert second.records[0] == first.records[0]
    assert second.records[1].content == media.content_hash(tmp_path / "c.mp4") != first.records[1].content
    lost = Path(second.records[0].streams["frames"])
    whole = lost.read_bytes()
    lost.unlink()
    _, outcomes = prepare_corpus(manifest, out, FRAMES, workers=0, quiet=True)
    assert [o.reused for o in outcomes] == [False, True]
    assert lost.read_bytes() == whole
    _, outcomes = prepare_corpus(manifest, out, Preparation(("frames",), shorter_px=64), workers=0, quiet=True)
    assert not any(o.reused for o in outcomes)


def no_estimator(monkeypatch):
    def finder(*args, **kwargs):
        raise AssertionError("the pose was there already")

    monkeypatch.setattr(HolisticPose, "finder", finder)


def test_another_stream_is_added_without_making_those_that_are_there(corpus, tmp_path, monkeypatch, hashes_of):
    out = shutil.copytree(corpus.folder, tmp_path / "corpus")
    for stream in ("frames", "flow"):
        shutil.rmtree(out / stream)
    no_estimator(monkeypatch)
    before = {p: p.stat().st_mtime_ns for p in (out / "pose").iterdir()}
    _, outcomes = prepare_corpus(corpus.source, out, corpus.preparation, workers=0, quiet=True)
    assert [(o.reason, o.reused) for o in outcomes] == [(None, False)] * 6
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert hashes_of(out, "journal.jsonl") == hashes_of(corpus.folder, "journal.jsonl")  # as if made at once
    # Without its journal too: what is there is known by its name.
    (out / "journal.jsonl").unlink()
    prepare_corpus(corpus.source, out, corpus.preparation, workers=0, quiet=True)
    assert hashes_of(out, "journal.jsonl") == hashes_of(corpus.folder, "journal.jsonl")
    rows = [sorted((folder / "journal.jsonl").read_text().splitlines()) for folder in (out, corpus.folder)]
    assert rows[0] == rows[1]  # in the order in which clips were finished


def test_streams_made_earlier_stay_in_the_manifest(corpus, tmp_path, monkeypatch):
    out = shutil.copytree(corpus.folder, tmp_path / "corpus")
    no_estimator(monkeypatch)
    only_pose = replace(corpus.preparation, streams=("pose",))
    prepared, _ = prepare_corpus(corpus.source, out, only_pose, workers=0, quiet=True)
    assert (out / "manifest.jsonl").read_bytes() == (corpus.folder / "manifest.jsonl").read_bytes()
    assert set(prepared.records[0].streams) == {"video", "pose", "frames", "flow"}
    # Made in another way, a stream takes the earlier one's place; one of its files gone, it is gone for that clip.
    other = Preparation(("flow",), flow=Flow("farneback"), shorter_px=32)
    next((out / "frames").glob(f"{corpus.manifest.records[0].id}-*")).unlink()
    prepared, _ = prepare_corpus(corpus.source, out, other, workers=0, quiet=True)
    assert prepared.fingerprint("flow")["method"] == "farneback"
    assert prepared.fingerprint("pose") == corpus.manifest.fingerprint("pose")
    assert "frames" not in prepared.records[0].streams
    assert "frames" in prepared.records[1].streams
    assert prepared.records[0].extra["seen"] == corpus.manifest.records[0].extra["seen"]
    assert read_flow(prepared.records[0].streams["flow"]).shape[1:3] == (32, 42)


def test_streams_of_another_clip_do_not_stay(footage, tmp_path):
    a, b = sorted(footage.rglob("*.mp4"))[:2]
    shutil.copy(a, tmp_path / "a.mp4")
    manifest, out = of_files(tmp_path, a="a.mp4"), tmp_path / "out"
    prepare_corpus(manifest, out, FRAMES, workers=0, quiet=True)
    shutil.copy(b, tmp_path / "a.mp4")
    only_flow = Preparation(("flow",), shorter_px=96)
    prepared, _ = prepare_corpus(manifest, out, only_flow, workers=0, quiet=True)
    assert set(prepared.records[0].streams) == {"video", "flow"}
    assert list(prepared.meta["streams"]) == ["flow"]


def test_clips_too_long_to_wait_in_memory_give_the_same_bytes(footage, tmp_path, monkeypatch, hashes_of):
    manifest = of_files(footage, a=str(next(footage.rglob("*.mp4"))))
    preparation = Preparation(("frames", "flow"), shorter_px=96)
    prepare_corpus(manifest, tmp_path / "waiting", preparation, workers=0, quiet=True)
    monkeypatch.setattr(runner, "HOLD_BYTES", 3 * 96 * 128 * 3)
    prepare_corpus(manifest, tmp_path / "again", preparation, workers=0, quiet=True)
    assert hashes_of(tmp_path / "again", "journal.jsonl") == hashes_of(tmp_path / "waiting", "journal.jsonl")


def test_flow_in_body_units_and_its_view(corpus, tmp_path, monkeypatch):
    out = shutil.copytree(corpus.folder, tmp_path / "corpus")
    no_estimator(monkeypatch)
    preparation = Preparation(("pose", "flow", "flow_view"), flow=Flow(units="body"), shorter_px=96)
    prepared, _ = prepare_corpus(corpus.source, out, preparation, workers=0, quiet=True)
    record = prepared.records[0]
    assert probe_flow(record.streams["flow"]).units == "body"
    body = read_flow(record.streams["flow"])
    pixels = read_flow(corpus.folder / corpus.manifest.records[0].streams["flow"])
    small = np.abs(pixels).max(-1) * 2 < 8  # far from the limit in both
    moving = small & (np.abs(pixels[..., 0]) > 1)
    ratio = body[moving][:, 0] / pixels[moving][:, 0]
    # The shoulders of the synthetic signer are about a quarter as wide as the picture, 128 pixels.
    assert 0.8 < np.median(ratio) < 3
    assert np.std(ratio) < 0.2 * np.median(ratio)
    view = media.read_video(record.streams["flow_view"]).frames_THWC
    assert np.abs(view.astype(int) - colour_wheel(body, FULL_PX_S / record.fps)).mean() < 6
    with pytest.raises(InputError, match="add 'pose' to --streams"):
        Preparation(("flow",), flow=Flow(units="body"))
    with pytest.raises(InputError, match="add 'flow' to --streams"):
        Preparation(("pose", "flow_view"))


def test_one_broken_clip_among_good_ones(footage, tmp_path):
    good = sorted(footage.rglob("*.mp4"))[:2]
    (tmp_path / "cut.mp4").write_bytes(good[0].read_bytes()[:-2000])
    manifest = of_files(tmp_path, a=str(good[0]), cut="cut.mp4", b=str(good[1]))
    preparation = Preparation(("frames", "flow"), shorter_px=96)
    prepared, outcomes = prepare_corpus(manifest, tmp_path / "out", preparation, workers=1, quiet=True)
    assert [o.reason for o in outcomes] == [None, "truncated", None]
    assert [r.id for r in prepared] == ["a", "b"]
    assert len(stream_files(tmp_path / "out")) == 4
    assert [row["id"] for row in read_failures(tmp_path / "out")] == ["cut"]


def test_rotated_clips_stand_upright(footage, corpus, media_maker, tmp_path):
    upright = media.read_video(next(footage.rglob("*.mp4")))
    # Stored lying on its side, with the display matrix that puts it right.
    lying = np.ascontiguousarray(np.rot90(upright.frames_THWC, 1, axes=(1, 2)))
    media_maker.encode_clip(tmp_path / "lying.mp4", lying, fps=6, turn=(-90, False), options={"crf": "12"})
    media_maker.encode_clip(tmp_path / "upright.mp4", upright.frames_THWC, fps=6, options={"crf": "12"})
    manifest = of_files(tmp_path, lying="lying.mp4", upright="upright.mp4")
    prepared, outcomes = prepare_corpus(manifest, tmp_path / "out", corpus.preparation, workers=0, quiet=True)
    assert [o.reason for o in outcomes] == [None, None]
    poses = [media.read_pose(r.streams["pose"]) for r in prepared]
    assert [(p.header.dimensions.width, p.header.dimensions.height) for p in poses] == [(320, 240)] * 2
    shoulders = [np.asarray(p.body.data[:, 0, 11:13, :2]) for p in poses]
    assert np.abs(shoulders[0] - shoulders[1]).max() < 6  # pixels
    assert media.read_video(prepared.records[0].streams["frames"]).frames_THWC.shape[1:3] == (96, 128)


def test_variable_frame_rate_becomes_constant_in_every_stream_alike(footage, corpus, media_maker, tmp_path):
    frames = media.read_video(next(footage.rglob("*.mp4"))).frames_THWC[:8]
    pts = [0, 1, 2, 3, 4, 8, 9, 10]  # a camera that paused: the clip lasts 11/10 s
    media_maker.encode_clip(tmp_path / "v.mkv", frames, fps=10, pts=pts, time_base=Fraction(1, 10), options={"bf": "0"})
    video = media.read_video(tmp_path / "v.mkv")
    expected = len(media.constant_rate(video.times_s, video.fps))
    assert expected > len(frames) == len(video.frames_THWC)
    prepared, _ = prepare_corpus(
        of_files(tmp_path, v="v.mkv"), tmp_path / "out", corpus.preparation, workers=0, quiet=True
    )
    record = prepared.records[0]
    assert record.n_frames == expected
    assert len(media.read_pose(record.streams["pose"]).body.data) == expected
    assert len(media.read_video(record.streams["frames"]).frames_THWC) == expected
    flow = read_flow(record.streams["flow"])
    assert len(flow) == expected
    repeated = np.flatnonzero(np.diff(media.constant_rate(video.times_s, video.fps)) == 0) + 1
    assert len(repeated)
    assert not flow[repeated].any()  # nothing moves between a frame and itself


def test_frame_ranges_and_boxes_are_cut_out(footage, corpus, tmp_path):
    path = next(footage.rglob("*.mp4"))
    cut = Record("cut", streams={"video": str(path)}, first_frame=3, end_frame=9, box_px=(40, 0, 280, 240))
    prepared, outcomes = prepare_corpus(
        Manifest((cut,), tmp_path), tmp_path / "out", corpus.preparation, workers=0, quiet=True
    )
    record = prepared.records[0]
    assert record.n_frames == 6
    pose = media.read_pose(record.streams["pose"])
    assert len(pose.body.data) == 6
    assert (pose.header.dimensions.width, pose.header.dimensions.height) == (240, 240)
    expected = media.read_video(path).frames_THWC[3:9, :, 40:280]
    got = media.read_video(record.streams["frames"]).frames_THWC
    assert got.shape == (6, 96, 96, 3)
    small = np.stack([media.resize_shorter_side(np.ascontiguousarray(f), 96) for f in expected])
    assert np.abs(got.astype(int) - small).mean() < 4
    other = replace(cut, end_frame=8)
    again, outcomes = prepare_corpus(
        Manifest((other,), tmp_path), tmp_path / "out", corpus.preparation, workers=0, quiet=True
    )
    assert not outcomes[0].reused
    assert again.records[0].streams != record.streams  # another cut never goes by the same name


def test_pose_files_are_imported_whole_and_cut(pose_footage, tmp_path):
    source = read_source(pose_footage, pattern="{signer}/{label}/{take}.pose")
    some = Manifest((source.records[0], replace(source.records[1], first_frame=2, end_frame=7)), source.root)
    prepared, _ = prepare_corpus(some, tmp_path, Preparation(), workers=0, quiet=True)
    whole = media.read_pose(pose_footage / source.records[0].streams["pose"])
    got = media.read_pose(prepared.records[0].streams["pose"])
    np.testing.assert_array_equal(got.body.data.filled(0), whole.body.data.filled(0))
    np.testing.assert_array_equal(got.body.confidence, whole.body.confidence)
    cut = media.read_pose(pose_footage / source.records[1].streams["pose"])
    got = media.read_pose(prepared.records[1].streams["pose"])
    np.testing.assert_array_equal(got.body.data.filled(0), cut.body.data.filled(0)[2:7])
    assert [r.n_frames for r in prepared] == [len(whole.body.data), 5]


def test_poses_of_another_estimator_than_most_are_refused(pose_footage, tmp_path):
    source = read_source(pose_footage, pattern="{signer}/{label}/{take}.pose")
    other = media.read_pose(pose_footage / source.records[0].streams["pose"])
    media.write_pose(tmp_path / "other.pose", other.get_components(["POSE_LANDMARKS", "LEFT_HAND_LANDMARKS"]))
    odd = Record("odd", label="A", streams={"pose": str(tmp_path / "other.pose")})
    mixed = Manifest((odd, *source.records[:3]), source.root)
    prepared, outcomes = prepare_corpus(mixed, tmp_path / "out", Preparation(), workers=0, quiet=True)
    assert [o.reason for o in outcomes] == ["other-estimator", None, None, None]
    assert "odd" not in {r.id for r in prepared}
    [row] = read_failures(tmp_path / "out")
    assert row["id"] == "odd"
    assert "FACE_LANDMARKS" in row["message"]
    assert prepared.meta["streams"]["pose"]["components"]["FACE_LANDMARKS"] == 128


def test_a_clip_without_any_person_is_named_as_such(media_maker, footage, tmp_path):
    media_maker.encode_clip(tmp_path / "empty street.mp4", media_maker.moving_square(6, 120, 160))
    manifest = of_files(tmp_path, nobody="empty street.mp4", somebody=str(next(footage.rglob("*.mp4"))))
    prepared, outcomes = prepare_corpus(manifest, tmp_path / "out", Preparation(), workers=0, quiet=True)
    assert [o.reason for o in outcomes] == ["no-signer", None]
    assert [r.id for r in prepared] == ["somebody"]
    with pytest.raises(InputError, match=r"none of the 1 clips.*1 no-signer.*no person was found"):
        prepare_corpus(
            of_files(tmp_path, nobody="empty street.mp4"), tmp_path / "2", Preparation(), workers=0, quiet=True
        )


def test_frames_cannot_be_made_from_poses_and_the_reason_says_so(pose_footage, tmp_path, signloom):
    out, pattern = tmp_path / "out", "{signer}/{label}/{take}.pose"
    streams = ("--streams", "pose", "frames")
    code, _, err = signloom("prepare", pose_footage, "--pattern", pattern, "--out", out, *streams, "--workers", 1)
    assert code == 2
    assert "frames need stream 'video'" in err
    assert "Leave out 'frames'" in err


def test_a_corpus_is_never_prepared_into_itself(corpus, tmp_path):
    out = shutil.copytree(corpus.folder, tmp_path / "corpus")
    with pytest.raises(InputError, match="choose another folder"):
        prepare_corpus(read_manifest(out), out, corpus.preparation, quiet=True)


def test_a_second_process_is_refused_and_does_not_disturb_the_first(footage, tmp_path):
    (tmp_path / "frames").mkdir()
    unfinished = [tmp_path / "frames" / ".tmp-k3_9x0ab.mp4", tmp_path / ".tmp-zz81fmtq.jsonl"]
    for path in unfinished:
        path.touch()
    manifest = of_files(footage, a=str(next(footage.rglob("*.mp4"))))
    with open(tmp_path / "journal.jsonl", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another signloom process"):
            prepare_corpus(manifest, tmp_path, FRAMES, workers=0, quiet=True)
        assert all(p.exists() for p in unfinished)
    prepare_corpus(manifest, tmp_path, FRAMES, workers=0, quiet=True)
    assert not any(p.exists() for p in unfinished)  # nobody's any more


def test_the_summary_as_json(footage, tmp_path, signloom):
    command = (
        "prepare",
        footage / "signer01",
        "--out",
        tmp_path / "o",
        "--json",
        "--streams",
        "frames",
        "--workers",
        1,
    )
    for made_now in (2, 0):
        code, text, _ = signloom(*command)
        assert code == 0
        summary = json.loads(text)
        assert (summary["clips"], summary["labels"], summary["signers"], summary["failed"]) == (2, 2, 0, 0)
        assert summary["made_now"] == made_now


def test_flow_by_name_from_the_command_line(footage, tmp_path, signloom):
    code, text, _ = signloom("prepare", "nowhere", "--out", tmp_path, "--flow", "help")
    assert code == 0
    assert "tvl1-original" in text.split()
    command = ("prepare", footage / "signer01", "--out", tmp_path / "o", "--workers", 1, "--shorter-px", 64)
    code, _, err = signloom(*command, "--streams", "flow", "--flow", "brox")
    assert code == 2
    assert "dis-fast" in err
    code, _, err = signloom(*command, "--streams", "flow", "--flow-units", "body")
    assert code == 2
    assert "add 'pose'" in err
    code, _, _ = signloom(*command, "--streams", "frames", "flow", "--flow", "dis-ultrafast", "--flow-view")
    assert code == 0
    manifest = read_manifest(tmp_path / "o")
    assert list(manifest.meta["streams"]) == ["frames", "flow", "flow_view"]
    assert manifest.fingerprint("flow")["preset"] == "ultrafast"
    assert all(set(r.streams) == {"video", "frames", "flow", "flow_view"} for r in manifest)


# --- the signer, cut out ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cut_out(footage, tmp_path_factory):
    """One clip with its pose and the signer cut out, 128 px."""
    source = read_source(footage, pattern="{signer}/{label}/{take}.mp4")
    one = Manifest(source.records[:1], source.root, source.meta)
    preparation = Preparation(streams=("pose", "signer"), crop=SignerCrop(size_px=128))
    prepared, outcomes = prepare_corpus(one, tmp_path_factory.mktemp("cut out"), preparation, workers=0, quiet=True)
    assert all(o.ok for o in outcomes), outcomes
    return one, prepared, preparation


def test_the_signer_is_cut_out_by_the_pose_and_the_same_way_in_use(cut_out):
    source, prepared, preparation = cut_out
    record = read_manifest(prepared.root).records[0]
    matrix = np.array(record.extra["crop"])
    pose = media.read_pose(prepared.root / record.streams["pose"])
    # From the .pose file alone, with what the corpus says of its crop: what painting does.
    crop = SignerCrop(**prepared.fingerprint("signer")["crop"])
    assert crop == preparation.streams["signer"].crop
    assert (crop.matrix(joints_of(pose)) == matrix).all()
    frames = media.read_video(prepared.root / record.streams["signer"]).frames_THWC
    assert frames.shape == (record.n_frames, 128, 128, 3)
    whole = media.read_video(source.records[0].path("video", source.root, "test")).frames_THWC
    assert np.abs(frames.astype(int) - warp_frames(whole, matrix, 128)).mean() < 4


def test_a_cut_out_signer_that_is_missing_is_made_again_to_the_same_bytes(cut_out, tmp_path):
    source, prepared, preparation = cut_out
    shutil.copytree(prepared.root, tmp_path / "c")
    file = next((tmp_path / "c" / "signer").iterdir())
    wanted = file.read_bytes()
    file.unlink()
    again, _ = prepare_corpus(source, tmp_path / "c", preparation, workers=0, quiet=True)
    assert file.read_bytes() == wanted
    assert again.records[0].extra["crop"] == prepared.records[0].extra["crop"]


def test_another_stream_made_later_keeps_the_cut_out_signer_and_its_crop(cut_out, tmp_path):
    source, prepared, _ = cut_out
    shutil.copytree(prepared.root, tmp_path / "c")
    again, _ = prepare_corpus(source, tmp_path / "c", FRAMES, workers=0, quiet=True)
    record = again.records[0]
    assert set(record.streams) == {"video", "pose", "frames", "signer"}
    assert record.extra["crop"] == prepared.records[0].extra["crop"]
    assert again.fingerprint("signer") == prepared.fingerprint("signer")


def test_without_the_pose_or_shoulders_nothing_can_be_cut_out(cut_out, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="add 'pose' to --streams"):
        Preparation(streams=("signer",))
    source, _, preparation = cut_out

    def blind(self, frame, time_s, find=HolisticFinder.find):
        points = find(self, frame, time_s)
        points[11:13, 3] = 0  # the shoulders
        return points

    monkeypatch.setattr(HolisticFinder, "find", blind)
    with pytest.raises(InputError, match="1 no-shoulders"):
        prepare_corpus(source, tmp_path, preparation, workers=0, quiet=True)
