"""A clip pushed frame by frame gets the answer of the same clip read from disk, and of a fusion of several models."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from signloom import media
from signloom.cli import main as cli
from signloom.data.corpus import HeldClip, clips_of
from signloom.data.manifest import Manifest, Record
from signloom.errors import InputError, MediaError
from signloom.media import content_hash
from signloom.pipelines.prepare import Preparation, prepare_corpus
from signloom.tasks import load_predictor
from signloom.tasks.recognise.evaluate import score_corpus
from signloom.tasks.recognise.fuse import score_fused
from signloom.tasks.recognise.predict import Recogniser

TINY = ("inputs.n_frames=4", "inputs.size_px=32", "inputs.resize_px=36", "model.widths=[8,8,8]", "model.blocks=[1,1]",
        "model.memory=8")  # fmt: skip
SETTINGS = {"pose": ("inputs.n_frames=12", "model.width=16", "model.members=2"), "rgb": TINY, "flow": TINY}
TIMES = [0, 40, 80, 130, 180, 230, 700, 1100, 1150, 1200, 1250, 1700, 2100, 2200]
"""Milliseconds: frames of the uneven clip come in bursts, with pauses between."""


@pytest.fixture(scope="module")
def uneven(footage, media_maker, tmp_path_factory) -> Manifest:
    """Two of the clips as a camera with a rate of its own stores them, prepared like ``corpus``."""
    folder = tmp_path_factory.mktemp("uneven")
    records = []
    for number, file in enumerate(sorted(footage.rglob("*.mp4"))[:2]):
        frames = media.read_video(file).frames_THWC[: len(TIMES)]
        clip = media_maker.encode_clip(
            folder / f"{number}.mp4", frames, fps=8, pts=TIMES[: len(frames)], time_base=Fraction(1, 1000),
            options={"crf": "20", "bf": "0"},
        )  # fmt: skip
        records.append(Record(str(number), "BALU", "s", streams={"video": clip.name}, content=content_hash(clip)))
    preparation = Preparation(streams=("pose", "frames", "flow"), shorter_px=96)
    prepared, outcomes = prepare_corpus(
        Manifest(tuple(records), folder), tmp_path_factory.mktemp("uneven corpus"), preparation, workers=0, quiet=True
    )
    assert all(o.ok for o in outcomes), outcomes
    return prepared


@pytest.fixture(scope="module")
def runs(corpus, tmp_path_factory):
    """A run folder for each of SETTINGS, and ``pose+flow`` and ``pose+rgb``, fused. Do not change them."""
    folder = tmp_path_factory.mktemp("session runs")
    for recipe, settings in SETTINGS.items():
        words = ["train", corpus.folder, "--out", folder / recipe, "--recipe", recipe, "--epochs", 8, "--batch-size", 2]
        assert cli.main([str(w) for w in (*words, "--set", *settings)]) == 0
    for one, other in (("pose", "flow"), ("pose", "rgb")):
        words = ["evaluate", folder / one, folder / other, corpus.folder, "--fuse", "--no-clips", "--save"]
        assert cli.main([str(w) for w in (*words, folder / f"{one}+{other}")]) == 0
    return folder


def scores_of(predictor, manifest):
    """What ``evaluate`` goes by: log-probabilities of every clip, up to a constant."""
    score = score_corpus if isinstance(predictor, Recogniser) else score_fused
    scored = score(predictor, manifest)
    assert scored.labels == predictor.labels
    return scored.logits_NK


def raw_samples(record, *streams):
    """What a camera gives of a clip: (seconds, {"video": frame}), with stored frames beside them if asked for."""
    stored = {s: media.read_video(record.streams[s]).frames_THWC for s in streams}
    for number, (time_s, frame) in enumerate(media.iter_frames(record.streams["video"])):
        yield time_s, {"video": frame, **{s: frames[number] for s, frames in stored.items()}}


def answered(predictor, samples, fps):
    session = predictor.session(fps)
    for time_s, sample in samples:
        assert list(session.push(time_s, sample)) == []
    [prediction] = session.close()
    return prediction


@pytest.mark.parametrize("run", ["pose", "flow", "pose+flow"])
def test_raw_video_that_is_pushed_gets_the_scores_of_evaluate(runs, corpus, run):
    predictor = load_predictor(runs / run)
    wanted_NK = scores_of(predictor, corpus.manifest)
    assert len({tuple(np.round(w, 4)) for w in wanted_NK}) > 1  # clips do get different answers
    for record, wanted_K in zip(corpus.manifest, wanted_NK):
        prediction = answered(predictor, raw_samples(record), record.fps)
        np.testing.assert_allclose(prediction.logits_K, wanted_K, atol=1e-5, rtol=0, err_msg=record.id)
        assert prediction.labels == predictor.labels
        assert prediction.start_s == 0
        assert prediction.end_s == pytest.approx(record.n_frames / record.fps)
        assert sum(prediction.probabilities_K) == pytest.approx(1)
        [(best, p), *_] = prediction.top(2)
        assert best == predictor.labels[wanted_K.argmax()]
        assert p == max(prediction.probabilities_K)


def test_stored_frames_that_are_pushed_get_the_scores_of_evaluate(runs, corpus):
    predictor = load_predictor(runs / "rgb")
    for record, wanted_K in zip(corpus.manifest, scores_of(predictor, corpus.manifest)):
        frames = media.read_video(record.streams["frames"]).frames_THWC
        samples = ((n / record.fps, {"frames": frame}) for n, frame in enumerate(frames))
        prediction = answered(predictor, samples, record.fps)
        np.testing.assert_allclose(prediction.logits_K, wanted_K, atol=1e-5, rtol=0, err_msg=record.id)


def test_a_fusion_takes_raw_video_and_stored_frames_side_by_side(runs, corpus):
    predictor = load_predictor(runs / "pose+rgb")
    assert predictor.needs == ("pose", "frames")
    for record, wanted_K in zip(corpus.manifest, scores_of(predictor, corpus.manifest)):
        prediction = answered(predictor, raw_samples(record, "frames"), record.fps)
        np.testing.assert_allclose(prediction.logits_K, wanted_K, atol=1e-5, rtol=0, err_msg=record.id)


def test_raw_video_for_a_model_of_frames_is_what_storing_them_cost_away(runs, corpus):
    """Stored frames are compressed; that moves the answer a little, and it may not move more."""
    predictor = load_predictor(runs / "rgb")
    for record, wanted_K in zip(corpus.manifest, scores_of(predictor, corpus.manifest)):
        prediction = answered(predictor, raw_samples(record), record.fps)
        np.testing.assert_allclose(prediction.logits_K, wanted_K, atol=0.1, rtol=0, err_msg=record.id)


@pytest.mark.parametrize("run", ["pose", "flow", "pose+flow"])
def test_frames_at_uneven_times_are_put_on_the_clips_clock_as_in_prepare(runs, uneven, run):
    predictor = load_predictor(runs / run)
    for record, wanted_K in zip(uneven, scores_of(predictor, uneven)):
        samples = list(raw_samples(record))
        gaps = np.diff([time_s for time_s, _ in samples])
        assert gaps.max() > 2 * gaps.min()
        rows = media.constant_rate(np.array([time_s for time_s, _ in samples]), record.fps)
        assert {0, 2} <= set(np.diff(rows))  # some frames are repeated, some left out
        prediction = answered(predictor, samples, record.fps)
        np.testing.assert_allclose(prediction.logits_K, wanted_K, atol=1e-5, rtol=0, err_msg=record.id)
        assert prediction.end_s == pytest.approx(record.n_frames / record.fps)


@pytest.mark.parametrize("run", ["pose", "rgb", "flow", "pose+flow", "pose+rgb"])
def test_called_with_a_clip_it_gives_the_scores_of_evaluate(runs, corpus, run):
    predictor = load_predictor(runs / run)
    wanted_NK = scores_of(predictor, corpus.manifest)
    for clip, wanted_K in zip(clips_of(corpus.manifest), wanted_NK):
        prediction = predictor(clip)
        np.testing.assert_allclose(prediction.logits_K, wanted_K, atol=1e-5, rtol=0)
        assert prediction.end_s == pytest.approx(clip.n_frames / clip.fps)


def test_a_fusion_answers_by_the_members_whose_streams_a_clip_has(runs, corpus):
    fused, alone = load_predictor(runs / "pose+flow"), load_predictor(runs / "flow")
    records = tuple(replace(r, streams={"flow": r.streams["flow"]}) for r in corpus.manifest)
    for clip in clips_of(replace(corpus.manifest, records=records)):
        np.testing.assert_allclose(fused(clip).probabilities_K, alone(clip).probabilities_K, atol=1e-5)
    with pytest.raises(InputError, match=r"clip 'bare' .* has no stream that a fused model reads"):
        fused(HeldClip("bare", {"imu": np.zeros(3)}))


def test_sessions_of_one_model_do_not_know_of_each_other(runs, corpus):
    predictor = load_predictor(runs / "pose")
    one, other = corpus.manifest.records[:2]
    wanted = scores_of(predictor, corpus.manifest)
    sessions = predictor.session(one.fps), predictor.session(other.fps)
    for a, b in zip(raw_samples(one), raw_samples(other)):
        sessions[0].push(*a)
        sessions[1].push(*b)
    n = min(one.n_frames, other.n_frames)
    for k, (session, record) in enumerate(zip(sessions, (one, other))):
        for sample in list(raw_samples(record))[n:]:
            session.push(*sample)
        [prediction] = session.close()
        np.testing.assert_allclose(prediction.logits_K, wanted[k], atol=1e-5, rtol=0)


def test_what_cannot_be_pushed_is_named(runs):
    predictor = load_predictor(runs / "pose")
    frame = np.zeros((48, 64, 3), np.uint8)
    with pytest.raises(InputError, match="stream 'pose' needs 'video', which was not given"):
        predictor.session().push(0.0, {"frames": frame})
    session = predictor.session()
    session.push(0.0, {"video": frame})
    with pytest.raises(InputError, match=r"a frame at 0\.0 s came after one at 0\.0 s"):
        session.push(0.0, {"video": frame})
    with pytest.raises(MediaError, match="has no frame"):
        predictor.session().close()
