"""Estimators with a user's networks: tiny ones made on the spot, read by rtmlib and MediaPipe Tasks themselves."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from signloom import media
from signloom.cli.main import main
from signloom.data.manifest import read_manifest
from signloom.data.skeleton import INDEX
from signloom.data.stream import ClipInfo
from signloom.errors import InputError, MissingExtraError
from signloom.streams import stream_named
from signloom.streams.foreign_networks import add_network, kept_network
from signloom.streams.holistic.networks import HOLISTIC, find_network
from signloom.streams.pose import PoseStream
from signloom.streams.pose_rtmlib import N_OPENPOSE, RtmlibPose, rows_of
from signloom.streams.pose_tasks import TasksPose

WIDTH, HEIGHT = 48, 64  # of the whole-body network's input


@pytest.fixture(autouse=True, scope="module")
def networks_of_mediapipe():
    """Read before the folder of networks is another's."""
    NETWORK_FILES.update({name: find_network(name)[1] for name in HOLISTIC})


NETWORK_FILES: dict[str, bytes] = {}


@pytest.fixture(autouse=True)
def folder(networks_of_mediapipe, tmp_path, monkeypatch):
    monkeypatch.setenv("SIGNLOOM_MODELS", str(tmp_path / "models"))


def places():
    """Where the tiny network sees each of the 133 points, in pixels of its input: a place of its own for each."""
    k = np.arange(133)
    return np.stack([2 + k * 7 % (WIDTH - 4), 2 + k * 11 % (HEIGHT - 4)], 1)


def whole_body(path, unsure=()):
    """A network that sees point k at :func:`places` (k), whatever the picture."""
    at = places()
    x, y = np.zeros((1, 133, 2 * WIDTH), np.float32), np.zeros((1, 133, 2 * HEIGHT), np.float32)
    for k in range(133):
        x[0, k, 2 * at[k, 0]] = y[0, k, 2 * at[k, 1]] = 0.1 if k in unsure else 0.9
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Reshape", ["nothing", "shape"], ["flat"]),
        helper.make_node("Add", ["x", "flat"], ["simcc_x"]),
        helper.make_node("Add", ["y", "flat"], ["simcc_y"]),
    ]
    values = {
        "shape": np.array([1, 1, 1]), "zero": np.zeros(1, np.float32), "x": x, "y": y,
    }  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, HEIGHT, WIDTH])],
        [
            helper.make_tensor_value_info("simcc_x", TensorProto.FLOAT, [1, 133, 2 * WIDTH]),
            helper.make_tensor_value_info("simcc_y", TensorProto.FLOAT, [1, 133, 2 * HEIGHT]),
        ],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    return _saved(graph, path)


def detector(path, box):
    """A network that finds one person in ``box`` of its 64 × 64 input, and a small one elsewhere."""
    found = np.array([[[*box, 0.95], [0, 0, 4, 4, 0.9]]], np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["mean"], axes=[0, 1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["found", "nothing"], ["dets"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 64, 64])],
        [helper.make_tensor_value_info("dets", TensorProto.FLOAT, [1, 2, 5])],
        [numpy_helper.from_array(found, "found"), numpy_helper.from_array(np.zeros(1, np.float32), "zero")],
    )
    return _saved(graph, path)


def _saved(graph, path):
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def needs_rtmlib():
    try:
        RtmlibPose(network="0" * 16).check()
    except MissingExtraError as error:
        pytest.fail(f"RTMLIB IS NOT HERE, so it is not tested: {error}")
    except InputError:
        pass


def test_points_of_a_whole_body_network_are_joints_by_name(tmp_path):
    needs_rtmlib()
    add_network(whole_body(tmp_path / "tiny.onnx"))
    stream = PoseStream(extractor="rtmlib")
    frame = np.full((120, 90, 3), 100, np.uint8)
    finder = stream.estimator.finder()
    rows = np.stack([finder.find(frame, t / 25) for t in range(3)])
    assert rows.shape == (3, N_OPENPOSE, 4)
    joints = stream.gather(list(rows), ClipInfo("clip", 25.0, (90, 120)))
    assert joints.present_TJ[0, : INDEX["face_chin"]].mean() > 0.9
    # The whole picture, 90 × 120, is of the input's shape; rtmlib looks at 1.25 times it about its middle.
    seen = places() / (WIDTH, HEIGHT) * np.array([90, 120]) * 1.25 - np.array([90, 120]) * 0.125
    coco = {"nose": 0, "left_shoulder": 5, "right_wrist": 10, "left_root": 91, "right_root": 112, "right_little_4": 132}
    for name, k in coco.items():
        assert joints.xy_TJC[0, INDEX[name]] == pytest.approx(seen[k], abs=0.6), name
    assert joints.xy_TJC[0, INDEX["face_chin"]] == pytest.approx(seen[23 + 8], abs=0.6)


def test_the_largest_of_the_detectors_boxes_is_looked_at_and_then_what_was_found(tmp_path):
    needs_rtmlib()
    add_network(whole_body(tmp_path / "tiny.onnx"))
    add_network(detector(tmp_path / "boxes.onnx", (10, 20, 40, 60)))
    looked_at = []
    finder = PoseStream(extractor="rtmlib").estimator.finder()
    find = finder._find
    finder._find = lambda picture, boxes: looked_at.append(np.asarray(boxes[0])) or find(picture, boxes)
    for t in range(2):
        finder.find(np.zeros((64, 64, 3), np.uint8), t / 25)
    assert looked_at[0] == pytest.approx([10, 20, 40, 60])
    points, _ = find(np.zeros((64, 64, 3), np.uint8), [looked_at[0]])
    assert looked_at[1] == pytest.approx([*points[0].min(0), *points[0].max(0)])


def test_points_that_are_not_sure_are_absent_and_nobody_is_there_with_few(tmp_path):
    needs_rtmlib()
    add_network(whole_body(tmp_path / "tiny.onnx", unsure=(9, *range(91, 112))))
    stream = PoseStream(extractor="rtmlib")
    rows = stream.estimator.finder().find(np.zeros((64, 48, 3), np.uint8), 0.0)
    joints = stream.gather([rows], ClipInfo("clip", 25.0, (48, 64)))
    assert not joints.present_TJ[0, INDEX["left_wrist"]]
    assert not joints.present_TJ[0, INDEX["left_root"]]
    assert joints.present_TJ[0, INDEX["right_root"]]
    nobody = add_network(whole_body(tmp_path / "nobody.onnx", unsure=range(133)))[0]
    rows = (
        PoseStream(extractor="rtmlib", network=nobody.sha).estimator.finder().find(np.zeros((64, 48, 3), np.uint8), 0)
    )
    assert not rows.any()


def test_the_neck_is_between_shoulders_that_were_found():
    points, sure = np.arange(266.0).reshape(133, 2), np.ones(133)
    rows = rows_of(points, sure)
    assert rows[1, :2] == pytest.approx((points[5] + points[6]) / 2)
    sure[6] = 0.2
    assert not rows_of(points, sure)[1].any()
    assert not rows_of(points, sure)[2].any()


def test_a_corpus_is_prepared_by_the_users_network_and_says_which(tmp_path, capsys):
    needs_rtmlib()
    assert main(["models", "add", str(whole_body(tmp_path / "tiny.onnx"))]) == 0
    sha = kept_network("whole-body").sha
    assert sha in capsys.readouterr().out
    folder = tmp_path / "made" / "ann" / "house"
    folder.mkdir(parents=True)
    media.write_video(folder / "1.mp4", [np.full((64, 48, 3), 40 * t, np.uint8) for t in range(4)], 25)
    how = ("--pattern", "{signer}/{label}/{take}.mp4", "--pose", "rtmlib")
    assert main(["prepare", str(tmp_path / "made"), *how, "--out", str(tmp_path / "corpus"), "--workers", "1"]) == 0
    made = read_manifest(tmp_path / "corpus").meta["streams"]["pose"]
    assert made["extractor"] == "rtmlib"
    assert made["network"] == sha
    again = stream_named("pose").of_fingerprint(made, {})
    assert again.fingerprint() == made


def test_a_network_is_told_by_what_it_takes_and_gives(tmp_path):
    assert add_network(whole_body(tmp_path / "a.onnx"))[0].kind == "whole-body"
    assert add_network(detector(tmp_path / "b.onnx", (0, 0, 9, 9)))[0].kind == "detector"
    assert add_network(whole_body(tmp_path / "c.onnx"))[1]  # the same bytes, under another name
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in "xy")
    other = _saved(helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "other", [x], [y]), tmp_path / "d.onnx")
    with pytest.raises(InputError, match=r"takes .* and gives .*; expected a picture"):
        add_network(other)
    (tmp_path / "e.onnx").write_bytes(b"not a network")
    with pytest.raises(InputError, match="no network that onnxruntime can run"):
        add_network(tmp_path / "e.onnx")
    with pytest.raises(InputError, match="no file"):
        add_network(tmp_path / "f.onnx")


def test_none_several_and_changed_ones_are_said(tmp_path):
    with pytest.raises(InputError, match=r"whole-body .* there: none\. Take one in by: signloom models add FILE"):
        kept_network("whole-body")
    first = add_network(whole_body(tmp_path / "a.onnx"))[0]
    second = add_network(whole_body(tmp_path / "b.onnx", unsure=(3,)))[0]
    with pytest.raises(InputError, match=f"not said which; there: .*{first.sha}|{second.sha}"):
        kept_network("whole-body")
    assert kept_network("whole-body", second.sha[:6]) == second
    first.path.write_bytes(b"changed")
    with pytest.raises(InputError, match="was changed since it was taken in"):
        kept_network("whole-body", first.sha)


def task_file(path, left_out=()):
    """A HolisticLandmarker's file, out of the networks of MediaPipe's wheel and what Tasks wants to know of them."""
    writers = pytest.importorskip("mediapipe.tasks.python.metadata.metadata_writers.metadata_writer")
    names = {
        "face_detector.tflite": ("face_detection", 127.5, 127.5),
        "face_landmarks_detector.tflite": ("face", 0.0, 255.0),
        "hand_landmarks_detector.tflite": ("hand", 0.0, 255.0),
        "hand_roi_refinement.tflite": ("hand_recrop", 0.0, 255.0),
        "pose_detector.tflite": ("body_detection", 127.5, 127.5),
        "pose_landmarks_detector.tflite": ("body", 0.0, 255.0),
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, (network, mean, spread) in names.items():
            if name not in left_out:
                writer = writers.MetadataWriter.create(bytearray(NETWORK_FILES[network]))
                writer.add_image_input([mean], [spread])
                archive.writestr(name, bytes(writer.populate()[0]))
    return path


def test_a_landmarker_of_a_users_file_finds_holistics_points(tmp_path):
    add_network(task_file(tmp_path / "own.task"))
    stream = PoseStream(extractor="mediapipe-tasks")
    finder = stream.estimator.finder()
    fixtures = Path(__file__).parents[1] / "fixtures" / "holistic"
    frames = [frame for _, frame in media.iter_frames(fixtures / "two_hands.mp4")][:6]
    rows = np.stack([finder.find(frame, number / 30) for number, frame in enumerate(frames)])
    finder.close()
    theirs = np.load(fixtures / "two_hands.npz")["points"][: len(frames)] / (32, 32, 1000)
    shoulders_px = np.linalg.norm(theirs[0, 11, :2] - theirs[0, 12, :2])
    assert (rows[:, :, 3] > 0).all()
    for part in (slice(0, 33), slice(501, 522), slice(522, 543)):  # Tasks expects another network of the face
        apart = np.linalg.norm(rows[:, part, :2] - theirs[:, part, :2], axis=-1) / shoulders_px
        assert np.median(apart) < 0.03, part
    size = (frames[0].shape[1], frames[0].shape[0])
    assert stream.gather(list(rows), ClipInfo("clip", 30.0, size)).present_TJ.all()
    assert stream.of_fingerprint(stream.fingerprint(), {}).fingerprint() == stream.fingerprint()


def test_a_task_file_that_holds_something_else_is_refused(tmp_path):
    with pytest.raises(InputError, match="expected a HolisticLandmarker"):
        add_network(task_file(tmp_path / "half.task", left_out=("hand_landmarks_detector.tflite",)))
    (tmp_path / "no.task").write_bytes(b"PK no")
    with pytest.raises(InputError, match=r"no \.task file, or is damaged"):
        add_network(tmp_path / "no.task")
    with zipfile.ZipFile(tmp_path / "bad.task", "w") as archive:
        for name in ("pose_landmarks_detector.tflite", "hand_landmarks_detector.tflite"):
            archive.writestr(name, b"not a network")
    bad = add_network(tmp_path / "bad.task")[0]
    with pytest.raises(InputError, match="cannot be run by MediaPipe"):
        TasksPose(network=bad.sha).finder()
