"""A corpus made larger: what copies are, that they are the same each time, and what becomes of odd clips."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from signloom import media
from signloom.data.corpus import SplitManifest
from signloom.data.failures import read_failures
from signloom.data.manifest import Manifest, Record, read_manifest, write_manifest
from signloom.data.skeleton import INDEX, joints_of
from signloom.data.splits import assign_split, audit, folds
from signloom.errors import InputError, NothingPreparedError
from signloom.pipelines.augment import augment_corpus, derivation_of, estimate
from signloom.pipelines.augment_sheet import _pictures, write_sheets
from signloom.pipelines.prepare import Preparation, prepare_corpus
from signloom.streams.frames import FramesStream
from signloom.synthetic.corpus import Settings, film, make_takes
from signloom.transforms.augment import Policy, policy_named

MOVED = Policy("moved", ({"do": "rotate"}, {"do": "translate"}, {"do": "speed"}, {"do": "light"}))


@pytest.fixture(scope="module")
def filmed(tmp_path_factory):
    """Two signers, two signs, tiny, with exact poses as the stream pose, and frames and flow. Do not change it."""
    folder = tmp_path_factory.mktemp("filmed")
    takes = make_takes(2, 2, 1, 0, Settings(size_px=(160, 120), fps=8.0))
    film(takes, folder / "footage", workers=0, quiet=True)
    footage = read_manifest(folder / "footage")
    prepared, _ = prepare_corpus(
        replace(footage, records=tuple(replace(r, streams={"video": r.streams["video"]}) for r in footage)),
        folder / "corpus",
        Preparation(("frames", "flow"), shorter_px=64),
        workers=0,
        quiet=True,
    )
    poses = {r.id: str((footage.root / r.streams["exact_pose"]).resolve()) for r in footage}
    records = tuple(
        replace(r, streams={**r.streams, "pose": poses[r.id]}, split="train" if r.signer == "signer01" else "test")
        for r in prepared
    )
    made = {**prepared.meta["streams"], "pose": {"extractor": "imported", "components": {"POSE_LANDMARKS": 33}}}
    write_manifest(Manifest(records, folder / "corpus", {**prepared.meta, "streams": made}), folder / "corpus")
    return read_manifest(folder / "corpus")


def grown(manifest, out, policy=MOVED, times=2, streams=None, **more):
    how = derivation_of(manifest, policy, times, 0, streams)
    corpus, outcomes = augment_corpus(manifest, out, how, workers=more.pop("workers", 0), quiet=True, **more)
    return read_manifest(corpus.root), outcomes


def files_of(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.suffix in (".mp4", ".pose")
    }


def test_copies_have_all_streams_and_say_what_they_are(filmed, tmp_path):
    corpus, outcomes = grown(filmed, tmp_path / "grown")
    assert all(o.ok for o in outcomes)
    copies = [r for r in corpus if r.augmented]
    assert len(corpus) == len(filmed) + 4  # two training clips, two copies each
    assert {r.split for r in copies} == {"train"}
    parents = {r.id: r for r in filmed}
    for r in copies:
        assert (r.label, r.signer, r.source) == tuple(
            getattr(parents[r.parent], f) for f in ("label", "signer", "source")
        )
        assert set(r.streams) == {"video", "pose", "frames", "flow"}
        assert r.extra["augmented"]["policy"] == "moved"
        assert [step["do"] for step in r.extra["augmented"]["draw"]][:2] == ["rotate", "translate"]
        info = media.probe(corpus.root / r.streams["video"])
        assert (info.width, info.height, info.n_frames) == (160, 120, r.n_frames)
        told = json.loads(info.metadata["signloom_augmented"])
        assert told["augmented"] is True
        assert told["parent"] == r.parent
        for stream in ("frames", "flow"):
            assert media.probe(corpus.root / r.streams[stream]).n_frames == r.n_frames
        assert len(joints_of(media.read_pose(corpus.root / r.streams["pose"]))) == r.n_frames
        assert r.content == media.content_hash(corpus.root / r.streams["video"])
    assert corpus.meta["augmented"]["policy"]["steps"][0] == {"do": "rotate"}
    assert corpus.meta["streams"].keys() == filmed.meta["streams"].keys()


def test_a_joint_stays_on_what_it_was_on_in_the_written_files(filmed, tmp_path):
    """The picture around the wrist, before and after, through the file: the patch turned back is the patch."""
    policy = Policy("turn", ({"do": "rotate", "deg": 30.0}, {"do": "mirror", "chance": 1.0}))
    corpus, _ = grown(filmed, tmp_path / "grown", policy, times=1)
    how = derivation_of(filmed, policy)
    for record in (r for r in corpus if r.augmented):
        parent = next(r for r in filmed if r.id == record.parent)
        before = joints_of(media.read_pose(filmed.root / parent.streams["pose"]))
        after = joints_of(media.read_pose(corpus.root / record.streams["pose"]))
        from signloom.transforms.augment import Facts

        draw = how.draw(parent, 0, Facts((160, 120), parent.n_frames, parent.fps))
        shown = media.read_video(corpus.root / record.streams["video"]).frames_THWC
        footage = media.read_video(filmed.root / parent.streams["video"]).frames_THWC
        expected = np.stack(list(draw.pictures(footage)))
        assert np.abs(shown.astype(int) - expected).mean() < 4
        moved = before.xy_TJC[:, INDEX["right_wrist"]] @ draw.matrix[:2, :2].T + draw.matrix[:2, 2]
        np.testing.assert_allclose(after.xy_TJC[:, INDEX["left_wrist"]], moved, atol=1e-3)


def test_the_same_bytes_in_any_number_of_workers_and_nothing_is_done_twice(filmed, tmp_path):
    grown(filmed, tmp_path / "one", workers=0)
    grown(filmed, tmp_path / "two", workers=2)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")
    assert (tmp_path / "one/manifest.jsonl").read_bytes() == (tmp_path / "two/manifest.jsonl").read_bytes()
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "two").rglob("*.mp4")}
    _, outcomes = grown(filmed, tmp_path / "two", workers=0)
    assert all(o.reused for o in outcomes)
    assert stamps == {p: p.stat().st_mtime_ns for p in (tmp_path / "two").rglob("*.mp4")}


def test_a_file_that_is_lost_is_made_again_and_the_rest_kept(filmed, tmp_path):
    grown(filmed, tmp_path / "grown")
    before = files_of(tmp_path / "grown")
    lost = next((tmp_path / "grown/flow").glob("*.mp4"))
    lost.unlink()
    _, outcomes = grown(filmed, tmp_path / "grown")
    assert sum(not o.reused for o in outcomes) == 1
    assert files_of(tmp_path / "grown") == before


def test_poses_alone(filmed, tmp_path):
    corpus, _ = grown(filmed, tmp_path / "grown", policy_named("estimator"), times=1, streams=["pose"])
    copies = [r for r in corpus if r.augmented]
    assert all(set(r.streams) == {"pose"} and r.content for r in copies)


def test_a_viewpoint_is_for_poses_alone(filmed, tmp_path):
    with pytest.raises(InputError, match="no picture can follow; make copies of the poses alone: --streams pose"):
        derivation_of(filmed, policy_named("viewpoint"), streams=["pose", "video"])
    corpus, _ = grown(
        filmed, tmp_path / "grown", Policy("view", ({"do": "viewpoint", "pitch_deg": 0.0, "yaw_deg": 40.0},))
    )
    for r in (r for r in corpus if r.augmented):
        parent = next(p for p in filmed if p.id == r.parent)
        a, b = (joints_of(media.read_pose(m.root / x.streams["pose"])) for m, x in ((filmed, parent), (corpus, r)))
        shoulder, wrist = INDEX["left_shoulder"], INDEX["left_wrist"]
        assert np.abs(a.xy_TJC[:, shoulder, 1] - b.xy_TJC[:, shoulder, 1]).max() < 1e-3  # a camera at the same height
        assert not np.allclose(a.xy_TJC[:, wrist, 0], b.xy_TJC[:, wrist, 0], atol=0.3)


def test_copies_are_learnt_from_and_never_measured_on(filmed, tmp_path):
    from signloom.pipelines.augment import augment_corpus

    how = derivation_of(filmed, MOVED, 1, 0, ["pose"])
    corpus, _ = augment_corpus(filmed, tmp_path / "all", how, choose=lambda r: True, workers=0, quiet=True)
    assert {r.split for r in corpus if r.augmented} == {"train", "test"}  # each in its parent's split
    assert not audit(corpus)
    assert not any(r.augmented for r in corpus.measured("test"))
    assert any(r.augmented for r in corpus.only("test"))
    split = SplitManifest(corpus)
    assert any(c.record.augmented for c in split.clips("train"))
    assert not any(c.record.augmented for c in split.clips("test"))
    for fold in folds(corpus, "signer", val=0.0):
        assert all(r.split == next(p for p in fold.manifest if p.id == r.parent).split
                   for r in fold.manifest if r.augmented)  # fmt: skip


def test_a_copy_is_not_copied_again(filmed, tmp_path):
    corpus, _ = grown(filmed, tmp_path / "one", times=1, streams=["pose"])
    twice, _ = grown(corpus, tmp_path / "two", Policy("other", ({"do": "rotate"},)), times=1, streams=["pose"])
    assert len(twice) == len(corpus) + 2
    with pytest.raises(InputError, match="already, and a copy would have its name"):
        grown(corpus, tmp_path / "three", times=1, streams=["pose"])


def test_a_bad_clip_never_ends_a_run(filmed, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    bad = Record("bad", "A", "signer01", split="train", streams={"video": str(broken), "pose": str(broken)}, n_frames=5)
    manifest = replace(filmed, records=(bad, *filmed.records))
    corpus, outcomes = grown(manifest, tmp_path / "grown", times=1, streams=["video"])
    assert [o.id for o in outcomes if not o.ok] == ["bad"]
    assert read_failures(tmp_path / "grown")[0]["id"] == "bad"
    assert "bad" in [r.id for r in corpus]  # the original stays
    with pytest.raises(NothingPreparedError, match="no copy could be made"):
        grown(replace(filmed, records=(bad,)), tmp_path / "none", times=1, streams=["video"])


def test_what_cannot_be_asked_for_is_told(filmed, tmp_path):
    with pytest.raises(InputError, match=r"--streams depth: the clips of .* have"):
        derivation_of(filmed, MOVED, streams=["depth"])
    with pytest.raises(InputError, match="is the corpus itself"):
        grown(filmed, filmed.root)
    tested = filmed.where(lambda r: r.split == "test")
    with pytest.raises(InputError, match="has no clip to copy"):
        grown(tested, tmp_path / "x")


def test_an_estimate_is_near_what_it_takes(filmed, tmp_path):
    how = derivation_of(filmed, MOVED, 2, 0, ["video"])
    expected = estimate(filmed, tmp_path / "grown", how, workers=1)
    assert (expected.clips, expected.copies) == (2, 4)
    augment_corpus(filmed, tmp_path / "grown", how, workers=0, quiet=True)
    size = sum(len(b) for b in files_of(tmp_path / "grown").values())
    assert 0.5 < expected.nbytes / size < 2
    assert estimate(filmed, tmp_path / "grown", how).clips == 0
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".tmp")]


def test_sheets_show_the_stretch_that_a_clip_is(filmed, tmp_path):
    written = [np.full((48, 64, 3), v, np.uint8) for v in (10, 10, 10, 10, 240, 240, 240, 240)]
    media.write_video(tmp_path / "long.mp4", written, 8.0)
    late = Record("late", "A", streams={"video": str(tmp_path / "long.mp4")}, start_s=0.5, end_s=1.0, fps=8.0)
    _, pictures, _ = _pictures(late, tmp_path)
    assert len(pictures) == 4
    assert min(p.mean() for p in pictures) > 200


def test_sheets_show_clips_beside_their_copies(filmed, tmp_path):
    corpus, _ = grown(filmed, tmp_path / "grown", times=2)
    sheet, video = write_sheets(corpus, filmed, corpus.root)
    picture = media.read_picture(sheet)
    assert picture.shape[1] == 3 * 324  # a clip and its two copies
    assert media.probe(video).width == picture.shape[1]
    poses, _ = grown(filmed, tmp_path / "poses", times=1, streams=["pose"])
    assert write_sheets(poses, filmed, poses.root)


def test_frames_serve_where_there_is_no_video(filmed, tmp_path):
    records = tuple(replace(r, streams={k: v for k, v in r.streams.items() if k != "video"}) for r in filmed)
    corpus, _ = grown(replace(filmed, records=records), tmp_path / "grown", times=1)
    for r in (r for r in corpus if r.augmented):
        assert set(r.streams) == {"pose", "frames", "flow"}
        frames = FramesStream().read(corpus.root / r.streams["frames"])
        assert frames.shape[1:3] == (64, 86)


def test_a_split_made_before_fits_the_grown_corpus(filmed, tmp_path):
    from signloom.data.splits import apply_split, split_of

    divided = assign_split(filmed, "signer", val=0.0, test=0.5)
    corpus, _ = grown(filmed, tmp_path / "grown", times=1, streams=["pose"])
    applied = apply_split(replace(corpus, records=tuple(replace(r, split=None) for r in corpus)), split_of(divided))
    where = {r.id: r.split for r in applied}
    assert all(where[r.id] == where[r.parent] for r in applied if r.augmented)
