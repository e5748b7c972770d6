"""One movement filmed at several frame rates: what a network sees of it, and what is said where rates differ."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signloom import media
from signloom.data.corpus import ClipList, FileClip, HeldClip, clips_of
from signloom.data.manifest import Manifest, Record, read_manifest
from signloom.data.rates import are_mixed, far_from, in_words, rates_of, times_as_fast, usual_rate
from signloom.data.reader import Reader
from signloom.data.skeleton import INDEX, JOINTS, Joints
from signloom.data.stream import ClipInfo
from signloom.errors import InputError, SignloomWarning
from signloom.media.flow_files import codes_of_flow
from signloom.pipelines.prepare import Preparation, prepare_corpus
from signloom.streams import streams_of
from signloom.streams.flow import Flow, FlowStream
from signloom.streams.flow_view import FlowViewStream
from signloom.tasks import load_predictor
from signloom.tasks.recognise.rates import same_inputs, settled
from signloom.tasks.recognise.recipes import RECIPES
from signloom.training.checkpoint import load_checkpoint
from signloom.transforms.pose_input import PoseInput
from signloom.transforms.pose_smooth import PoseSmooth
from signloom.transforms.video_augment import VideoAugment
from signloom.transforms.video_input import VideoInput

RATES = (60, 30, 15)
TINY = ("inputs.n_frames=4", "inputs.size_px=32", "inputs.resize_px=36", "model.widths=[8,8,8]", "model.blocks=[1,1]",
        "model.memory=8")  # fmt: skip
PER_SECOND = VideoInput(n_frames=8, size_px=64, resize_px=64, flow_limit_px=20, per="second", train_fps=30)
PATTERN = "{signer}/{label}/{take}.mp4"


def scene(t_s: float, up: bool = False, place: int = 0) -> np.ndarray:
    """uint8 (128, 192, 3): a patch that goes right at 90 px/s over a texture, or the whole picture that goes up."""
    rng = np.random.default_rng(3)
    back = cv2.GaussianBlur(rng.integers(0, 255, (128, 192, 3), dtype=np.uint8), (0, 0), 3)
    patch = cv2.GaussianBlur(rng.integers(0, 255, (48, 48, 3), dtype=np.uint8), (0, 0), 1.5)
    matrix = np.float32([[1, 0, 20 + 90 * (0.2 if up else t_s)], [0, 1, 40]])
    frame = cv2.warpAffine(patch, matrix, (192, 128), back, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_TRANSPARENT)
    return np.roll(frame, (-int(40 * t_s) if up else 0, 3 * place), (0, 1))


def film(file, fps, up=False, place=0):
    frames = [scene(k / fps, up, place) for k in range(fps)]
    media.write_video(file, frames, fps, crf=16)
    return file


@pytest.fixture(scope="module")
def filmed(tmp_path_factory):
    """One movement at each of RATES, {signer}/right/1.mp4, as a corpus with flow. Do not change it."""
    folder = tmp_path_factory.mktemp("rates")
    records = []
    for fps in RATES:
        (folder / f"s{fps}").mkdir()
        film(folder / f"s{fps}" / "right.mp4", fps)
        records.append(Record(f"at{fps}", "right", f"s{fps}", streams={"video": f"s{fps}/right.mp4"}))
    preparation = Preparation(("flow",), shorter_px=128)
    made, outcomes = prepare_corpus(
        Manifest(tuple(records), folder), tmp_path_factory.mktemp("rates corpus"), preparation, workers=0, quiet=True
    )
    assert all(o.ok for o in outcomes), outcomes
    return made


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Runs of recipe flow on two movements of four signers at 30 frames/s: ``second`` and ``frame``, and the corpus."""
    from signloom.cli import main as cli

    folder = tmp_path_factory.mktemp("trained")
    for s in range(4):
        for up in (False, True):
            (folder / f"videos/s{s}/{'up' if up else 'right'}").mkdir(parents=True)
            film(folder / f"videos/s{s}/{'up' if up else 'right'}/1.mp4", 30, up, s)
    words = ["prepare", folder / "videos", "--pattern", PATTERN, "--out", folder / "corpus", "--streams", "flow",
             "--shorter-px", 64, "--workers", 1]  # fmt: skip
    assert cli.main([str(w) for w in words]) == 0
    for per in ("second", "frame"):
        words = ["train", folder / "corpus", "--recipe", "flow", "--out", folder / per, "--epochs", 2, "--batch-size",
                 2, "--set", *TINY, f"inputs.per={per}"]  # fmt: skip
        assert cli.main([str(w) for w in words]) == 0
    film(folder / "new60.mp4", 60, place=1)
    return folder


def seen(manifest: Manifest, inputs: VideoInput) -> dict[str, np.ndarray]:
    """What a network sees of each clip's flow, (2, T, H, W)."""
    read = Reader(streams_of({"flow": manifest.fingerprint("flow")}))
    return {c.id: inputs.of_clip(c, read, ("flow",), mirror=False)["flow"] for c in clips_of(manifest)}


# --- one movement, one flow ---------------------------------------------------------------------------------------


def test_a_movement_at_three_rates_is_one_flow_to_the_network(filmed):
    # The first frame has no flow; the patch is everywhere as large, so the mean over the picture tells its speed.
    speed = {name: float(x[0, 1:].mean()) for name, x in seen(filmed, PER_SECOND).items()}
    assert speed["at60"] == pytest.approx(speed["at30"], rel=0.1)
    assert speed["at15"] == pytest.approx(speed["at30"], rel=0.1)


def test_per_frame_it_is_three(filmed):
    speed = {name: float(x[0, 1:].mean()) for name, x in seen(filmed, replace(PER_SECOND, per="frame")).items()}
    assert speed["at30"] / speed["at60"] == pytest.approx(2, rel=0.1)
    assert speed["at15"] / speed["at30"] == pytest.approx(2, rel=0.1)


def test_at_the_rate_of_training_nothing_changes_by_a_bit(filmed):
    per_frame, per_second = seen(filmed, replace(PER_SECOND, per="frame", train_fps=None)), seen(filmed, PER_SECOND)
    assert np.array_equal(per_frame["at30"], per_second["at30"])


@settings(max_examples=50)
@given(
    fps=st.floats(8, 240),
    reference=st.floats(8, 60),
    speed=st.tuples(st.floats(-200, 200), st.floats(-200, 200)),
)
def test_flow_at_any_rate_counts_as_at_that_of_training_but_for_its_codes(fps, reference, speed):
    per_frame = np.array(speed, np.float32) / np.float32(fps)
    inputs = replace(PER_SECOND, size_px=16, resize_px=16, n_frames=2, flow_limit_px=100, train_fps=reference)
    codes = codes_of_flow(np.broadcast_to(per_frame, (4, 16, 16, 2)), 20.0)
    clip = HeldClip("c", {"flow": codes}, fps=fps)
    read = Reader(streams_of({"flow": {"extractor": "flow", "limit_px": 20.0}}))
    x = inputs.of_clip(clip, read, ("flow",), mirror=False)["flow"] * 100
    pace = inputs.pace(clip, ("flow",))
    cut = np.clip(per_frame, -20, 20)
    step = 20 / 254 * pace + 1e-4
    off = np.abs(x - np.clip(cut * pace, -100, 100)[:, None, None, None])
    assert off.max() <= step
    assert pace == 1 or abs(pace * reference / fps - 1) < 1e-6
    assert pace != 1 or abs(fps / reference - 1) <= 0.02


@settings(max_examples=8)
@given(fps=st.integers(12, 60), angle=st.floats(0, 6.28), speed=st.floats(30, 90))
def test_a_picture_that_moves_has_the_same_flow_a_second_at_any_rate(fps, angle, speed):
    noise = np.random.default_rng(0).integers(0, 256, (160, 160, 3)).astype(np.uint8)
    wide = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX)
    velocity = speed * np.array([np.cos(angle), np.sin(angle)])
    shifts = [np.float32([[1, 0, velocity[0] * k / fps], [0, 1, velocity[1] * k / fps]]) for k in range(3)]
    frames = [cv2.warpAffine(wide, m, (160, 160), flags=cv2.INTER_LINEAR)[40:120, 40:120] for m in shifts]
    flow = list(Flow().of_frames(frames))[2]
    a_second = np.median(flow[16:-16, 16:-16] * fps, (0, 1))
    assert np.linalg.norm(a_second - velocity) < 0.1 * speed + 3


@pytest.mark.parametrize("fps", [10, 20, 40])
def test_the_view_of_the_flow_has_one_colour_for_one_speed(fps):
    flow = np.zeros((16, 16, 2), np.float32)
    flow[..., 0] = 100 / fps
    view = FlowViewStream(FlowStream(limit_px=20))
    stage = view.open(ClipInfo("c", fps))
    (timed,) = stage.push(0.0, {"flow": codes_of_flow(flow, 20)})
    assert timed.sample[0, 0].tolist() == pytest.approx([255, 128, 128], abs=2)


# --- which frames -------------------------------------------------------------------------------------------------


@given(n=st.integers(8, 200), pace=st.sampled_from([0.5, 2.0, 3.0, 4.0]), seed=st.integers(0, 99))
def test_a_window_spans_the_same_time_at_any_rate(n, pace, seed):
    window = replace(PER_SECOND, sampling="window", n_frames=6)
    other = round(n * pace)
    for draw in (None, VideoAugment().draw(seed)):
        here, there = window.rows(n, draw), window.rows(other, draw, pace=pace)
        assert there.min() >= 0
        assert there.max() < other
        if n >= 7 and other >= 7 * pace:  # neither has to repeat its end
            assert np.abs(there / pace - here).max() <= 1 + 1 / pace  # a frame of the one and one of the other


def test_a_window_takes_frames_in_a_row_at_the_rate_of_training():
    window = replace(PER_SECOND, sampling="window", n_frames=5)
    assert window.rows(30, pace=1.0).tolist() == list(range(12, 17))
    assert window.rows(60, pace=2.0).tolist() == [25, 27, 29, 31, 33]
    assert window.rows(15, pace=0.5).tolist() == [6, 6, 7, 7, 8]


@given(n=st.integers(20, 200), times=st.integers(2, 4))
def test_frames_spread_over_a_clip_are_of_the_same_moments_at_any_rate(n, times):
    here, there = PER_SECOND.rows(n), PER_SECOND.rows(n * times)
    assert (np.abs(there / times - here) < 1).all()


# --- poses --------------------------------------------------------------------------------------------------------


def signing(fps: float, seconds: float = 1.5, noise: float = 0.0) -> Joints:
    """A signer whose right hand waves once a second and whose left hangs; the last instant is a frame at any rate."""
    n = round(seconds * fps) + 1
    t = np.arange(n) / fps
    xy = np.zeros((n, len(JOINTS), 2), np.float32)
    xy += np.array([100, 100], np.float32) + 5 * np.random.default_rng(0).normal(size=(1, len(JOINTS), 2))
    xy[:, INDEX["left_shoulder"]], xy[:, INDEX["right_shoulder"]] = (140, 80), (60, 80)
    right = [j for name, j in INDEX.items() if name.startswith("right_") and "shoulder" not in name]
    xy[:, right] += np.stack([30 * np.sin(2 * np.pi * t), -20 * np.cos(2 * np.pi * t)], 1)[:, None].astype(np.float32)
    xy += noise * np.random.default_rng(1).normal(size=xy.shape)
    left = [j for name, j in INDEX.items() if name.startswith("left_") and "shoulder" not in name]
    xy[:, left] += (0, 120)
    return Joints(xy.astype(np.float32), np.ones((n, len(JOINTS)), bool), fps, np.ones((n, len(JOINTS)), np.float32))


@settings(max_examples=20)
@given(fps=st.sampled_from([14, 16, 20, 24, 30]), n_frames=st.sampled_from([16, 32, 48]))
def test_the_pose_input_of_a_motion_is_the_same_at_twice_the_rate(fps, n_frames):
    inputs = PoseInput(n_frames=n_frames)
    (one, there), (two, also) = (inputs.from_joints(signing(rate)) for rate in (fps, 2 * fps))
    # 30 of 80 px, bent between two frames by at most (pi / fps)² / 2.
    assert np.abs(one - two).max() < 30 / 80 * (np.pi / fps) ** 2 / 2 + 1e-3
    assert np.array_equal(there, also)


def test_smoothing_a_motion_is_the_same_at_twice_the_rate():
    smooth = PoseSmooth(1.0)
    one, two = smooth(signing(20)), smooth(signing(40))
    assert np.abs(one.xy_TJC - two.xy_TJC[::2]).max() < 2  # of a hand that goes 60 px to and fro


# --- rates in words and numbers -----------------------------------------------------------------------------------


def test_the_usual_rate_is_one_that_clips_have():
    assert usual_rate({}) is None
    assert usual_rate(rates_of([30, 25, 30, None, 60])) == 30
    assert usual_rate(rates_of([15, 60])) == 15
    assert rates_of([29.97002997, 29.97, 25]) == {"29.97": 2, "25": 1}
    assert in_words({"30": 80, "15": 1}) == "30 (80 clips), 15 (1 clip)"
    assert are_mixed({"25": 1, "30": 1})
    assert not are_mixed({"24": 1, "25": 5, "26": 1})
    assert far_from(30, {"60": 1, "29.97": 2, "25": 3}) == {"60": 1, "25": 3}


@given(fps=st.floats(1, 240), reference=st.floats(1, 240))
def test_rates_that_are_alike_change_nothing(fps, reference):
    ratio = times_as_fast(fps, reference)
    assert ratio == (1 if abs(fps / reference - 1) <= 0.02 else fps / reference)


@pytest.mark.parametrize("name", ["rgb", "flow", "i3d-flow", "cnn-lstm", "rgb-hands", "video-transformer", "mars"])
def test_recipes_of_ours_measure_per_second(name):
    assert RECIPES[name]().inputs.per == "second"


@pytest.mark.parametrize("name", ["two-phase", "chalearn", "chalearn-flow", "wlasl", "tal-ia", "cnn-lstm-published"])
def test_published_recipes_measure_per_frame(name):
    assert RECIPES[name]().inputs.per == "frame"


@pytest.mark.parametrize("wrong", [{"per": "minute"}, {"train_fps": 0.0}, {"train_fps": float("nan")}])
def test_inputs_with_a_rate_that_is_none(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        replace(PER_SECOND, **wrong)


# --- in training and use ------------------------------------------------------------------------------------------


def notes(err: str) -> list[str]:
    return [line for line in err.splitlines() if line.startswith("note: ") and "frames/s" in line]


def test_a_run_keeps_the_rates_it_learnt_at(trained):
    checkpoint = load_checkpoint(trained / "second")
    assert (checkpoint.inputs.per, checkpoint.inputs.train_fps) == ("second", 30.0)
    assert list(checkpoint.rates) == ["30"]
    assert checkpoint.fps == 30
    assert load_checkpoint(trained / "frame").inputs.train_fps == 30  # and so can tell that others differ


def test_predict_says_what_it_does_with_another_rate(trained, signloom):
    code, out, err = signloom("predict", trained / "second", trained / "new60.mp4", "--json")
    assert code == 0
    assert notes(err) == [
        "note: clips have 60 (1 clip) frames/s: optical flow is brought to 30, at which the model learnt"
    ]
    code, per_frame, err = signloom("predict", trained / "frame", trained / "new60.mp4", "--json")
    assert code == 0
    assert "takes optical flow frame by frame: bring them to 30 frames/s" in notes(err)[0]
    assert json.loads(out)["top"] != json.loads(per_frame)["top"]


def test_evaluate_is_silent_where_rates_agree(trained, signloom):
    code, _, err = signloom("evaluate", trained / "second", trained / "corpus", "--no-clips", "--out", trained / "page")
    assert code == 0, err
    assert not notes(err)


def test_a_run_of_before_measures_per_frame_and_says_so(trained, tmp_path, signloom):
    import shutil

    old = tmp_path / "old"
    shutil.copytree(trained / "frame", old)
    file = old / "checkpoint" / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    for name in ("per", "train_fps"):
        del config["inputs"][name]
    del config["corpus"]["rates"]
    file.write_text(json.dumps(config), encoding="utf-8")
    code, out, err = signloom("predict", old, trained / "new60.mp4", "--json")
    assert code == 0
    assert "has no frame rate on record" in notes(err)[0]
    _, same, _ = signloom("predict", trained / "frame", trained / "new60.mp4", "--json")
    assert out == same


def test_sessions_take_frames_as_they_come_and_doubt_what_was_said(trained):
    recogniser = load_predictor(trained / "second")
    frames = media.read_video(trained / "new60.mp4").frames_THWC

    def answer(fps):
        session = recogniser.session() if fps is None else recogniser.session(fps=fps)
        for k, frame in enumerate(frames):
            session.push(k / 60, {"video": frame})
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            (found,) = session.close()
        return found, [str(w.message) for w in caught if issubclass(w.category, SignloomWarning)]

    told, said = answer(60)
    assert [("brought to 30" in text) for text in said] == [True]
    untold, _ = answer(None)
    assert np.allclose(told.logits_K, untold.logits_K, atol=1e-5)
    assert untold.end_s == pytest.approx(1.0, rel=1e-3)
    _, said = answer(20)
    assert any("came at 60 frames/s, the session is of 20" in text for text in said)


def test_training_on_several_rates_says_what_it_brings_them_to(filmed):
    rates = rates_of(r.fps for r in filmed)
    for name, done in (("flow", "is brought to 30 frames/s"), ("chalearn-flow", "frame by frame, as published")):
        recipe = RECIPES[name]()
        with pytest.warns(SignloomWarning, match=done):
            inputs = settled(recipe.inputs, recipe.streams, rates)
        assert inputs.train_fps == 30
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert settled(RECIPES["rgb"]().inputs, ("frames",), rates).train_fps == 30  # nothing of it counts frames
        assert settled(RECIPES["pose"]().inputs, ("pose",), rates) == RECIPES["pose"]().inputs


def test_a_run_that_is_gone_on_from_keeps_its_rate(trained):
    known, own = load_checkpoint(trained / "second"), RECIPES["flow"]().inputs
    with pytest.warns(SignloomWarning, match="brought to 30"):
        assert settled(own, ("flow",), {"60": 8}, known).train_fps == 30
    assert same_inputs(replace(own, train_fps=30.0), own, ("flow",))
    assert not same_inputs(replace(own, per="frame"), own, ("flow",))
    assert same_inputs(replace(own, per="frame"), own, ("frames",))


def test_doctor_and_prepare_say_that_rates_differ(filmed, tmp_path, signloom):
    code, out, _ = signloom("doctor", filmed.root.parent / filmed.root.name)
    assert "clips have different frame rates" in out
    sources = {r.signer: r.streams["video"] for r in filmed}
    folder = tmp_path / "videos"
    for signer, file in sources.items():
        (folder / signer / "right").mkdir(parents=True)
        (folder / signer / "right" / "1.mp4").write_bytes((filmed.root / file).read_bytes())
    words = ("--pattern", PATTERN, "--streams", "flow", "--shorter-px", "64", "--workers", "1")
    code, _, err = signloom("prepare", folder, *words, "--out", tmp_path / "corpus")
    assert code == 0
    (said,) = notes(err) or [line for line in err.splitlines() if "different frame rates" in line]
    assert "15 (1 clip), 30 (1 clip), 60 (1 clip)" in said
    code, out, _ = signloom("info", tmp_path / "corpus")
    assert "15 (1 clip), 30 (1 clip), 60 (1 clip)" in out


def test_the_rate_of_a_clip_without_record_is_that_of_its_file(filmed):
    for record in filmed:
        bare = FileClip(replace(record, fps=None), filmed.root)
        assert bare.fps == pytest.approx(record.fps)


def test_shards_keep_the_rate_of_each_clip(filmed, tmp_path):
    from signloom.data.shards import read_shards
    from signloom.pipelines.shard import shard_corpus

    split = replace(filmed, records=tuple(replace(r, split="train") for r in filmed))
    shard_corpus(split, tmp_path, workers=0, quiet=True)
    shards = read_shards(tmp_path)
    assert shards.rates() == rates_of(RATES)
    clips = list(shards.clips("train"))
    assert {c.id: round(c.fps) for c in clips} == {f"at{fps}": fps for fps in RATES}
    of_before = [replace(c, clip=replace(c.clip, fps=None)) for c in clips]
    assert {c.id: round(c.fps) for c in of_before} == {f"at{fps}": fps for fps in RATES}


def test_an_exported_recogniser_says_its_rate(trained, tmp_path):
    onnx = pytest.importorskip("onnx")
    from signloom.tasks.recognise.export import export_recogniser
    from signloom.training.export import write_export

    write_export(export_recogniser(load_checkpoint(trained / "second")), "onnx", tmp_path / "a.onnx")
    metadata = {p.key: p.value for p in onnx.load(tmp_path / "a.onnx").metadata_props}
    about = json.loads(metadata["signloom"])
    assert about["preprocessing"]["input"]["per"] == "second"
    assert about["preprocessing"]["input"]["train_fps"] == 30
    assert list(about["rates"]) == ["30"]


def test_clips_of_one_batch_may_have_different_rates(filmed):
    from signloom.tasks.recognise.data import Clips

    read = Reader(streams_of({"flow": filmed.fingerprint("flow")}))
    clips = Clips(ClipList(tuple(clips_of(filmed))), PER_SECOND, ("flow",), read, workers=1)
    batch = clips.batch(range(3)).inputs["flow"].numpy()
    one_by_one = seen(filmed, replace(PER_SECOND, handedness="as-filmed"))
    mirrored = [clips._mirror(k) for k in range(3)]
    assert len(set(mirrored)) == 1
    for k, clip in enumerate(clips_of(filmed)):
        speed = np.abs(batch[k][0, 1:]).mean()
        assert speed == pytest.approx(np.abs(one_by_one[clip.id][0, 1:]).mean(), rel=1e-3)


def test_a_corpus_of_one_rate_says_nothing(trained, signloom):
    _code, out, _ = signloom("doctor", trained / "corpus")
    assert "frame rates" not in out
    assert rates_of(r.fps for r in read_manifest(trained / "corpus")) == {"30": 8}
