"""The front door for programs: load a run, read a clip from wherever it is, and get one and the same answer."""

from __future__ import annotations

import shutil
import subprocess
import sys

import numpy as np
import pytest

import signloom as front
from signloom import media
from signloom.cli import main as cli
from signloom.data.corpus import clips_of
from signloom.errors import CheckpointError, InputError, MediaError
from signloom.pipelines.predict import predict_files

HEAVY = {"torch", "cv2", "av", "mediapipe", "numpy", "scipy", "rich", "pose_format", "accelerate", "psutil"}


@pytest.fixture(scope="module")
def runs(corpus, pose_corpus, tmp_path_factory):
    """Runs ``pose``, ``flow``, ``rgb``, their fusion ``both`` (of pose and flow), and ``imported``, on .pose files."""
    folder = tmp_path_factory.mktemp("front door")
    tiny = ("inputs.n_frames=4", "inputs.size_px=32", "inputs.resize_px=36", "model.widths=[8,8,8]",
            "model.blocks=[1,1]", "model.memory=8")  # fmt: skip
    settings = {"pose": ("model.width=16",), "flow": tiny, "rgb": tiny}
    for recipe, some in settings.items():
        words = ["train", corpus.folder, "--out", folder / recipe, "--recipe", recipe, "--epochs", 4, "--batch-size", 2]
        assert cli.main([str(w) for w in (*words, "--set", *some)]) == 0
    words = ["evaluate", folder / "pose", folder / "flow", corpus.folder, "--fuse", "--no-clips"]
    assert cli.main([str(w) for w in (*words, "--save", folder / "both")]) == 0
    words = ["train", pose_corpus, "--out", folder / "imported", "--epochs", 1, "--batch-size", 8]
    assert cli.main([str(w) for w in words]) == 0
    return folder


def test_importing_signloom_loads_nothing_heavy():
    code = "import sys, signloom; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stdout.split())
    code = "import sys, signloom; print(*sorted(m for m in sys.modules if m.startswith('signloom')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["signloom"]


@pytest.mark.parametrize("run", ["pose", "flow", "both"])
def test_a_file_its_arrays_and_the_clip_of_the_corpus_get_one_answer(runs, corpus, run, tmp_path):
    recogniser = front.load(runs / run)
    read = front.read_corpus(corpus.folder)
    assert [r.id for r in read] == [r.id for r in corpus.manifest]
    files = []
    for clip, record in zip(clips_of(read), read):
        wanted = recogniser(clip)
        video = clip.file("video")
        files.append(video)
        frames = media.read_video(video).frames_THWC
        sources = [(video, 25.0), (str(video), 25.0), ({"video": frames}, record.fps)]
        for source, fps in sources:
            made = front.read_clip(source, recogniser, fps)
            assert made.n_frames == clip.n_frames
            assert made.fps == pytest.approx(clip.fps)
            answer = recogniser(made)
            np.testing.assert_allclose(answer.probabilities_K, wanted.probabilities_K, atol=1e-5, rtol=0)
            assert answer.top(1)[0][0] == wanted.top(1)[0][0]
    scores, _ = predict_files(recogniser, files[:2], tmp_path, workers=0, quiet=True)
    for file, p_K in zip(files, scores.probabilities_NK):
        got = recogniser(front.read_clip(file, recogniser)).probabilities_K
        np.testing.assert_allclose(got, p_K, atol=1e-5, rtol=0)


def test_streams_ready_made_are_taken_as_they_are(runs, corpus):
    recogniser = front.load(runs / "rgb")
    for clip in clips_of(corpus.manifest):
        frames = media.read_video(clip.file("frames")).frames_THWC
        answer = recogniser(front.read_clip({"frames": frames}, recogniser, clip.fps))
        np.testing.assert_allclose(answer.logits_K, recogniser(clip).logits_K, atol=1e-5, rtol=0)


def test_a_pose_file_gets_the_answer_of_the_corpus(runs, pose_corpus):
    recogniser = front.load(runs / "imported")
    for clip in clips_of(front.read_corpus(pose_corpus))[:5]:
        answer = recogniser(front.read_clip(clip.file("pose"), recogniser))
        np.testing.assert_allclose(answer.logits_K, recogniser(clip).logits_K, atol=1e-5, rtol=0)


def test_what_cannot_be_read_or_does_not_fit_is_named(runs, pose_footage, footage, tmp_path):
    recogniser = front.load(runs / "imported")
    with pytest.raises(MediaError, match="no such file"):
        front.read_clip(tmp_path / "none.mp4", recogniser)
    pose_file = next(pose_footage.rglob("*.pose"))
    body = tmp_path / "body.pose"
    media.write_pose(body, media.read_pose(pose_file).get_components(["POSE_LANDMARKS"]))
    with pytest.raises(CheckpointError, match=r"clip 'body': its pose has points .* the model was trained on"):
        front.read_clip(body, recogniser)
    with pytest.raises(InputError, match="these poses were imported"):  # nothing can make them of video
        front.read_clip(next(footage.rglob("*.mp4")), recogniser)
    rgb = front.load(runs / "rgb")
    with pytest.raises(InputError, match=r"is a pose, and the model reads frames; give it a video"):
        front.read_clip(pose_file, rgb)
    with pytest.raises(InputError, match=r"frames: got float32 \(2, 8, 8, 3\); wanted uint8 \(T, H, W, 3\) RGB"):
        front.read_clip({"frames": np.zeros((2, 8, 8, 3), np.float32)}, rgb)
    with pytest.raises(InputError, match=r"equally many samples; got \{'frames': 2, 'video': 3\}"):
        front.read_clip({"frames": np.zeros((2, 8, 8, 3), np.uint8), "video": np.zeros((3, 8, 8, 3), np.uint8)}, rgb)
    with pytest.raises(InputError, match="equally many samples; got none"):
        front.read_clip({}, rgb)
    with pytest.raises(InputError, match="stream 'frames' needs 'video', which was not given"):
        front.read_clip({"depth": np.zeros((2, 8, 8))}, rgb)


def test_a_folder_that_holds_nothing_to_load(runs, tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        front.load(tmp_path)
    with pytest.raises(InputError, match="no corpus at"):
        front.read_corpus(tmp_path)
    broken = shutil.copytree(runs / "pose", tmp_path / "broken")
    (broken / "checkpoint" / "model.safetensors").write_bytes(b"junk")
    with pytest.raises(CheckpointError, match="cannot be read"):
        front.load(broken)


def test_what_is_loaded_says_what_it_needs_and_knows(runs):
    recogniser, fused = front.load(runs / "pose"), front.load(runs / "both")
    assert recogniser.needs == ("pose",)
    assert fused.needs == ("pose", "flow")
    assert recogniser.labels == fused.labels == ("BALU", "CORO")
    for predictor in (recogniser, fused):
        assert all(callable(getattr(predictor, name)) for name in ("__call__", "session"))
