"""Using a recogniser on clips: the views of a clip that vote, and scores in order, from as many batches as it takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from signloom.data.corpus import ClipList, HeldClip
from signloom.data.reader import Reader
from signloom.data.skeleton import JOINTS, PARENT, PARTS
from signloom.models import build
from signloom.streams import streams_of
from signloom.tasks.recognise import predict
from signloom.tasks.recognise.data import Clips, RecogniseData
from signloom.tasks.recognise.predict import mirrored, score
from signloom.tasks.recognise.recipes import rgb
from signloom.tasks.recognise.task import Recognise
from signloom.transforms.pose_augment import crop_time
from signloom.transforms.pose_input import PoseInput
from signloom.transforms.video_augment import VideoAugment
from signloom.transforms.video_input import VideoInput

TINY = {"n_classes": 2, "widths": (8, 8, 8), "blocks": (1, 1), "memory": 8, "dropout": 0.0}
MADE = {"frames": {"extractor": "frames-h264"}, "flow": {"extractor": "flow", "limit_px": 20.0}}


def videos(n=4, streams=("frames", "flow"), n_classes=2, **inputs) -> Clips:
    """Random clips of 6 frames, 36 × 40 px."""
    rng = np.random.default_rng(0)
    samples = {
        "frames": rng.integers(0, 256, (n, 6, 36, 40, 3), np.uint8),
        "flow": rng.integers(60, 196, (n, 6, 36, 40, 2), np.uint8),
    }
    labels = tuple("ABC"[:n_classes])
    clips = [HeldClip(f"c{i}", {s: samples[s][i] for s in streams}, label=labels[i % n_classes]) for i in range(n)]
    plain = {"n_frames": 4, "size_px": 32, "resize_px": 32, "handedness": "as-filmed", "time_votes": False}
    read = Reader(streams_of({s: MADE[s] for s in streams}))
    return Clips(ClipList(tuple(clips)), VideoInput(**{**plain, **inputs}), streams, read, labels, workers=1)


def light(seed=0, **changes):
    torch.manual_seed(seed)
    return build("light3d", {**TINY, **changes})


# --- views ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("stream", "channels"), [("frames", 3), ("flow", 2)])
def test_the_mirror_of_the_mirror_is_the_clip(stream, channels):
    x = torch.randn(2, channels, 3, 5, 7)
    once = mirrored(x, stream)
    assert not torch.equal(once, x)
    assert torch.equal(mirrored(once, stream), x)


def test_mirrored_flow_points_the_other_way_across_and_the_same_way_down():
    flow = torch.zeros(1, 2, 1, 4, 6)
    flow[0, :, 0, 1, 0] = torch.tensor([0.5, 0.25])
    seen = mirrored(flow, "flow")
    assert seen[0, :, 0, 1, 5].tolist() == [-0.5, 0.25]
    assert seen.abs().sum() == flow.abs().sum()
    # What a clip's flow is and what its mirrored frames' flow is: the same, through the input step's own mirror too.
    clips = videos(streams=("flow",))
    flow = np.random.default_rng(1).normal(0, 3, (4, 32, 32, 2)).astype(np.float32)
    plain, turned = clips.inputs.flow(flow), clips.inputs.flow(flow, mirror=True)
    np.testing.assert_allclose(mirrored(torch.from_numpy(plain)[None], "flow")[0], turned, atol=1e-5)


@pytest.mark.parametrize(("stream", "channels"), [("frames", 3), ("flow", 2)])
def test_clip_and_mirror_image_vote_with_their_mean_probability(stream, channels):
    model = light(channels=channels).train()
    clips = videos(streams=(stream,))
    alone = score(model, clips)
    assert model.training  # as it was found
    clips.inputs = replace(clips.inputs, mirror_votes=True)
    both = score(model, clips)
    x = clips.batch(range(4)).inputs[stream]
    with torch.inference_mode():
        model.eval()
        plain, turned = model(x).softmax(-1), model(mirrored(x, stream)).softmax(-1)
    assert (plain - turned).abs().max() > 1e-4  # else this shows nothing
    np.testing.assert_allclose(np.exp(alone), plain, atol=1e-6)
    np.testing.assert_allclose(np.exp(both), (plain + turned) / 2, atol=1e-6)
    assert both.dtype == np.float32


def test_parts_of_a_clip_vote_and_a_window_has_none(monkeypatch):
    model, clips = light(), videos(streams=("frames",), time_votes=True)
    crops = ((0.0, 1.0), (0.0, 0.5), (0.4, 1.0))
    monkeypatch.setattr(predict, "VIDEO_CROPS", crops)
    model.eval()
    with torch.inference_mode():
        each = [model(clips.batch(range(4), crop=crop).inputs["frames"]).softmax(-1) for crop in crops]
    assert (each[0] - each[1]).abs().max() > 1e-4  # else this shows nothing
    np.testing.assert_allclose(np.exp(score(model, clips)), sum(each) / 3, atol=1e-6)
    np.testing.assert_allclose(np.exp(score(model, clips, quick=True)), each[0], atol=1e-6)
    window = videos(streams=("frames",), time_votes=True, sampling="window")
    alone = videos(streams=("frames",), sampling="window")
    np.testing.assert_array_equal(score(model, window), score(model, alone))


def test_scores_come_in_order_from_as_many_batches_as_it_takes():
    n = predict.SCORING_BATCH + 3
    model, clips = light(), videos(n, streams=("frames",))
    together = score(model, clips)
    assert together.shape == (n, 2)
    with torch.inference_mode():
        one = model.eval()(clips.batch([n - 2]).inputs["frames"]).log_softmax(-1).numpy()
    np.testing.assert_allclose(together[n - 2 : n - 1], one, atol=1e-5)
    assert score(model, videos(0)).shape == (0, 2)


def test_validation_says_how_many_were_right_and_nothing_without_clips():
    clips = videos(6, streams=("frames",))
    data = RecogniseData(clips, clips, clips.labels, VideoAugment(), 4)
    found = Recognise(rgb()).validate(light(), data, "cpu")
    best = score(light(), clips).argmax(1)
    assert found["top1"] == pytest.approx((best == clips.label_N).mean())
    assert "score" in found
    assert Recognise(rgb()).validate(light(), replace(data, validation=None), "cpu") == {}


def poses(n) -> Clips:
    rng = np.random.default_rng(0)
    xy = rng.normal(0, 1, (n, 12, len(JOINTS), 2)).astype(np.float32)
    clips = [HeldClip(f"c{i}", {}, label="AB"[i % 2]) for i in range(n)]
    held = {"pose": xy, "present": rng.random(xy.shape[:3]) > 0.1}
    return Clips(clips, PoseInput(12), ("pose",), Reader({}), ("A", "B"), held=held)


def test_parts_of_a_pose_vote_and_a_quick_look_takes_it_whole():
    torch.manual_seed(0)
    parts = {name: (where.start, where.stop) for name, where in PARTS.items()}
    shape = {"n_frames": 12, "width": 16, "depth": 1, "heads": 2, "members": 2}
    model = build("pose_transformer", {"n_classes": 2, "parents": tuple(map(int, PARENT)), **parts, **shape})
    clips = poses(predict.SMALL_SCORING_BATCH + 5)
    seen = clips.batch(range(len(clips))).inputs
    model.eval()
    with torch.inference_mode():
        each = [
            model(*crop_time(seen["pose"], seen["present"], *crop), seen["mask"]).softmax(-1)
            for crop in predict.POSE_CROPS
        ]
    assert (each[0] - each[-1]).abs().max() > 1e-4  # else this shows nothing
    np.testing.assert_allclose(np.exp(score(model, clips)), sum(each) / len(each), atol=1e-6)
    np.testing.assert_allclose(np.exp(score(model, clips, quick=True)), each[0], atol=1e-6)
    assert predict.POSE_CROPS[0] == (0.0, 1.0)
