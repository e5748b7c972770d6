"""Fixtures every test may use."""

from __future__ import annotations

import importlib.util
import os
import sys
import warnings
from pathlib import Path

import pytest

# The same sums in this process and in those that tests start: how many threads share a sum decides its last bit. Set
# before anything imports torch. The models of tests are too small to share anyway.
os.environ["OMP_NUM_THREADS"] = "1"

REPOSITORY = Path(__file__).resolve().parent.parent


def _find_real_data() -> Path | None:
    named = os.environ.get("SIGNLOOM_REAL_DATA")
    candidates = [Path(named)] if named else [REPOSITORY.parent / "shared" / "data"]
    return next((c for c in candidates if (c / "README.md").exists()), None)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real footage; the test is skipped, with a loud warning, where it is not there."""
    folder = _find_real_data()
    if folder is None:
        message = "REAL FOOTAGE NOT FOUND: set SIGNLOOM_REAL_DATA to its folder; tests marked 'real' did not run"
        warnings.warn(message, stacklevel=1)
        pytest.skip(message)
    return folder


def _load(name: str):
    """A module of the test suite by its path below tests/: with ``--import-mode=importlib`` none can import another."""
    path = REPOSITORY / "tests" / name
    spec = importlib.util.spec_from_file_location(f"signloom_tests_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up here
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def media():
    """tests/data/make_broken.py: ``encode_clip`` (any codec, tag and timing), ``moving_square`` and more."""
    return _load("data/make_broken.py")


@pytest.fixture(scope="session")
def broken_inputs(media, tmp_path_factory):
    """More than fifty odd and broken files in one folder, each with what reading it must give. Do not change them."""
    return media.make_broken_inputs(tmp_path_factory.mktemp("broken inputs"))


@pytest.fixture(scope="session")
def moving_corpus(tmp_path_factory):
    """A corpus of 24 tiny clips of frames and flow: 4 signers × 3 labels × 2 takes. Do not change it."""
    import numpy as np

    from signloom.data.files import content_hash, write_video
    from signloom.data.flow_file import write_flow
    from signloom.data.manifest import Manifest, Record, read_manifest, write_manifest

    folder = tmp_path_factory.mktemp("moving")
    rng = np.random.default_rng(0)
    records = []
    for signer in range(4):
        for label in range(3):
            for take in range(2):
                name = f"s{signer}.G{label}_t{take}"  # with a dot, which ids may have
                n = 6 + take
                frames = rng.integers(0, 256, (n, 40, 48, 3), np.uint8)
                write_video(folder / f"frames/{name}.mp4", frames, 10)
                write_flow(folder / f"flow/{name}.mp4", rng.normal(0, label + 1, (n, 40, 48, 2)), 10, 20.0)
                streams = {s: f"{s}/{name}.mp4" for s in ("frames", "flow")}
                content = content_hash(folder / streams["frames"])
                extra = {"take": str(take), "kept": str(folder)}
                about = {"n_frames": n, "fps": 10.0, "content": content, "extra": extra}
                records.append(Record(name, f"G{label}", f"s{signer}", streams=streams, **about))
    made = {"frames": {"extractor": "frames-h264"}, "flow": {"extractor": "flow", "limit_px": 20.0}}
    write_manifest(Manifest(tuple(records), folder, {"name": "moving", "streams": made}), folder)
    return read_manifest(folder)


@pytest.fixture(scope="session")
def painting_corpus(tmp_path_factory):
    """A painting corpus of 64 px: one signer before a grey wall, two clips to train and one to test. Do not change it.

    Streams ``signer`` and ``skeleton`` (folders of PNG, the latter four times as large); the signer is skin where limbs
    are, and nothing else.
    """
    import cv2
    import numpy as np

    from signloom.data.files import write_picture
    from signloom.data.manifest import Manifest, Record, read_manifest, write_manifest
    from signloom.data.skeleton import INDEX, JOINTS, Joints
    from signloom.steps.limbs import draw_limbs, stick_figure

    folder, size = tmp_path_factory.mktemp("painting"), 64
    records = []
    for clip, (n, split) in {"a": (9, "train"), "b": (8, "train"), "c": (6, "test")}.items():
        xy, present = np.zeros((n, len(JOINTS), 2), np.float32), np.zeros((n, len(JOINTS)), bool)

        def put(name, x, y, xy=xy, present=present):
            xy[:, INDEX[name], 0], xy[:, INDEX[name], 1] = x, y
            present[:, INDEX[name]] = True

        angle = np.linspace(0, 2, n) + ord(clip)
        hand_x, hand_y = 26 + 8 * np.cos(angle), 44 + 8 * np.sin(angle)
        put("nose", 32, 14)
        for side, sign in (("left", 1), ("right", -1)):
            put(f"{side}_shoulder", 32 + 11 * sign, 28)
            put(f"{side}_elbow", 32 + 15 * sign, 44)
        put("right_wrist", hand_x, hand_y)
        put("right_root", hand_x, hand_y)
        for k, finger in enumerate(("thumb", "index", "middle", "ring", "little")):
            for bone in range(1, 5):
                put(f"right_{finger}_{bone}", hand_x + 2 * (k - 2), hand_y - 2 * bone)
        for name in (j for j in JOINTS if j.startswith("face_")):
            along = 2 * np.pi * INDEX[name] / 27
            put(name, 32 + 5 * np.cos(along), 14 + 6 * np.sin(along))
        joints = Joints(xy, present, 10.0)
        for t in range(n):
            limbs = draw_limbs(joints, t, np.eye(3), size)
            skin = cv2.dilate(limbs.max(-1), np.ones((3, 3), np.uint8))[..., None] / 255
            picture = (120 + 90 * skin * np.array([1.0, 0.4, 0.1])).round().astype(np.uint8)
            write_picture(folder / f"signer/{clip}/{t:03}.png", picture)
            figure = stick_figure(draw_limbs(joints, t, np.diag([4.0, 4.0, 1.0]), 4 * size))
            write_picture(folder / f"skeleton/{clip}/{t:03}.png", figure)
        streams = {s: f"{s}/{clip}" for s in ("signer", "skeleton")}
        about = {"split": split, "n_frames": n, "fps": 10.0, "content": clip}
        records.append(Record(clip, "SIGN", "one", streams=streams, **about))
    made = {"signer": {"extractor": "signer-crop", "size_px": size}, "skeleton": {"extractor": "pairs"}}
    write_manifest(Manifest(tuple(records), folder, {"name": "painting", "streams": made}), folder)
    return read_manifest(folder)
