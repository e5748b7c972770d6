"""Depth as a stream: prepared of its file, stored without loss, read, and seen by a recogniser."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.io import savemat

from signloom.data.manifest import Manifest, Record, read_manifest
from signloom.data.stream import ClipInfo
from signloom.errors import InputError, MediaError, MissingStreamError
from signloom.models.light3d import Light3D, Light3DConfig
from signloom.pipelines.prepare import Preparation, prepare_corpus
from signloom.report.footage import footage_of, small_copy
from signloom.streams import stream_named, streams_of
from signloom.streams.clips import prepare_clip
from signloom.streams.depth import MILLIMETRES, depth_picture
from signloom.streams.runner import Runner
from signloom.tasks.recognise.recipes import depth
from signloom.transforms.video_augment import VideoAugment
from signloom.transforms.video_input import VideoInput, left_moves_more


def scene(n=9, far=2800):
    """Somebody 2.8 m away, whose hand comes 600 mm nearer and wanders to the right: uint16 (T, H, W)."""
    out = np.zeros((n, 33, 41), np.uint16)
    out[:, 5:30, 12:24] = far
    out[:, 8:11, 13:23] = far - 20
    for k in range(n):
        out[k, 15:20, 14 + 2 * k : 20 + 2 * k] = far - 600
    return out


def write(path, depth_THW):
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"d_depth": depth_THW.transpose(1, 2, 0)}, do_compression=True)


def test_near_is_bright_and_background_is_0():
    picture = depth_picture(np.array([[0, 1000, 2000, 3000, 500, 4000]], np.uint16), 1000, 3000)
    np.testing.assert_array_equal(picture, [[[0], [255], [128], [1], [255], [1]]])
    with pytest.raises(InputError, match="0 < near < far"):
        stream_named("depth", near_mm=3000.0, far_mm=1000.0)


@pytest.mark.parametrize("settings", [{}, {"near_mm": 2000.0, "far_mm": 3000.0}])
def test_prepared_it_is_what_a_session_gives_and_nothing_is_lost(tmp_path, settings):
    write(tmp_path / "a1_s1_t1_depth.mat", scene())
    stream = stream_named("depth", **settings)
    record = Record("c", streams={"depth": "a1_s1_t1_depth.mat"})
    made = prepare_clip(record, tmp_path, tmp_path / "out", {"depth": stream})
    assert (made["n_frames"], made["fps"]) == (9, 30.0)
    assert made["fingerprints"] == {"depth": stream.fingerprint()}
    file = tmp_path / "out" / made["streams"]["depth"]
    stored = stream.read(file)
    assert stored.shape == (9, 33, 41, 1)
    assert not stored[scene() == 0].any()
    assert stored[0, 17, 15] > stored[0, 25, 15] > 0
    np.testing.assert_array_equal(stream.read(file, [4, 1]), stored[[4, 1]])
    runner = Runner({"depth": stream}, ClipInfo("c", 30.0))
    given = [runner.push(k / 30, {MILLIMETRES: picture}) for k, picture in enumerate(scene())]
    assert any(given) == bool(settings)  # a clip's own range is known when it is over
    np.testing.assert_array_equal(runner.close()["depth"], stored)
    # The same signer further away looks the same, in the clip's own range.
    write(tmp_path / "a2_s1_t1_depth.mat", np.where(scene(far=3300) > 0, scene(far=3300), 0))
    again = prepare_clip(Record("d", streams={"depth": "a2_s1_t1_depth.mat"}), tmp_path, tmp_path, {"depth": stream})
    same = np.array_equal(stream.read(tmp_path / again["streams"]["depth"]), stored)
    assert same == (not settings)


def test_a_corpus_of_depth_alone(tmp_path):
    for k in range(3):
        write(tmp_path / "in" / f"a{k}_s1_t1_depth.mat", scene(6 + k))
    write(tmp_path / "in" / "anna.mat", scene())
    (tmp_path / "in" / "a9_s1_t1_depth.mat").write_bytes(b"nothing of the kind")
    files = sorted(p.name for p in (tmp_path / "in").iterdir())
    records = tuple(Record(name.split("_")[0], streams={"depth": name}, signer="s1") for name in files)
    manifest = Manifest(records, tmp_path / "in", {"name": "d"})

    def prepared(**settings):
        preparation = Preparation({"depth": stream_named("depth", **settings)})
        return prepare_corpus(manifest, tmp_path / "out", preparation, workers=0, quiet=True)

    corpus, outcomes = prepared()
    assert {r.id: r.n_frames for r in corpus} == {"a0": 6, "a1": 7, "a2": 8}
    assert {o.id: o.reason for o in outcomes if not o.ok} == {"a9": "not-media", "anna.mat": "no-rate"}
    streams = streams_of(read_manifest(tmp_path / "out").meta["streams"])
    record = corpus.records[0]
    first = streams["depth"].read(record.path("depth", corpus.root, "test"))
    # Other settings give other files, though the clips are the same.
    other = prepared(near_mm=1000.0, far_mm=4000.0)[0].records[0]
    assert not np.array_equal(streams["depth"].read(other.path("depth", corpus.root, "test")), first)
    # It can be looked at.
    seen = small_copy(footage_of(record, corpus.root), record.path("depth", corpus.root, "test"))
    assert seen.data


def test_a_clip_without_depth_or_with_other_frames_is_refused(tmp_path, footage):
    stream = {"depth": stream_named("depth")}
    video = str(sorted(footage.rglob("*.mp4"))[0])
    with pytest.raises(MediaError, match="need stream 'depth'; it has video") as error:
        prepare_clip(Record("c", streams={"video": video}), tmp_path, tmp_path, stream)
    assert error.value.reason == "missing-stream"
    write(tmp_path / "a1_s1_t1_depth.mat", scene())
    depth_alone = Record("c", streams={"depth": "a1_s1_t1_depth.mat"})
    with pytest.raises(MediaError, match="pose need stream 'video' or 'pose'; it has only depth"):
        prepare_clip(depth_alone, tmp_path, tmp_path, {"pose": stream_named("pose")})
    with pytest.raises(MissingStreamError):
        prepare_clip(Record("c", streams={"array": "x.npy"}), tmp_path, tmp_path, {"pose": stream_named("pose")})
    both = Record("c", streams={"video": video, "depth": "a1_s1_t1_depth.mat"}, end_frame=8)
    made = {**stream, "frames": stream_named("frames", shorter_px=64)}
    found = prepare_clip(both, tmp_path, tmp_path / "out", made)
    assert set(found["streams"]) == set(found["fingerprints"]) == {"depth", "frames"}
    assert found["n_frames"] == 8
    with pytest.raises(MediaError, match="its depth has 9 frames, its video"):
        prepare_clip(Record("c", streams=both.streams), tmp_path, tmp_path / "out", made)


def test_a_recogniser_sees_one_channel(tmp_path):
    write(tmp_path / "a1_s1_t1_depth.mat", scene())
    stream = stream_named("depth")
    made = prepare_clip(Record("c", streams={"depth": "a1_s1_t1_depth.mat"}), tmp_path, tmp_path, {"depth": stream})
    clip = SimpleNamespace(id="c", n_frames=9, fps=30.0)
    stored = stream.read(tmp_path / made["streams"]["depth"])
    assert left_moves_more(stored)  # the hand wanders to the right of the picture

    def read(clip, name, rows):
        return stored[rows]

    inputs = VideoInput(n_frames=6, size_px=32, resize_px=33, handedness="as-filmed")
    seen = inputs.of_clip(clip, read, ("depth",))["depth"]
    assert seen.shape == (1, 6, 32, 32)
    assert seen.min() == -1
    np.testing.assert_allclose(seen.max(), stored.max() / 127.5 - 1, atol=1e-6)
    # However strong the colours change, only shape and what is erased do.
    wild = VideoAugment(brightness=1, contrast=2, gamma=2, noise=1, tint=1, erase=1.0, erase_size=0.5)
    plain = VideoAugment(brightness=0, contrast=0, gamma=0, noise=0, tint=0, erase=1.0, erase_size=0.5)
    a, b = (inputs.of_clip(clip, read, ("depth",), draw=augment.draw(3))["depth"] for augment in (wild, plain))
    np.testing.assert_array_equal(a, b)
    left, top, right, bottom = (int(share * 32) for share in wild.draw(3).hole)
    assert (a[:, :, top:bottom, left:right] == -1).all()
    small = VideoInput(n_frames=6, size_px=16, resize_px=16, handedness="as-filmed")  # shrunk by whole blocks first
    assert small.of_clip(clip, read, ("depth",))["depth"].shape == (1, 6, 16, 16)
    recipe = depth()
    net = Light3D(Light3DConfig(n_classes=3, **recipe.inputs.model_fields(recipe.streams), **recipe.model))
    assert net.eval()(torch.zeros(2, 1, 6, 32, 32)).shape == (2, 3)
    assert recipe.inputs.model_fields(recipe.streams) == {"channels": 1}
