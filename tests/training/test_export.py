"""Models for other runtimes: each runs in its own and agrees with PyTorch before it is named, and says all it needs."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from signloom.cli.main import main
from signloom.errors import InputError, SignloomError
from signloom.models import build
from signloom.streams.pose import PoseStream
from signloom.tasks.recognise.export import export_recogniser
from signloom.tasks.recognise.prototypes import fit_prototypes
from signloom.training.checkpoint import Checkpoint, load_checkpoint
from signloom.training.export import Exported, accuracy, read_array, write_export
from signloom.training.formats import FORMATS, format_named
from signloom.transforms.pose_input import PoseInput

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")
V1 = Path(__file__).resolve().parents[1] / "fixtures" / "v1"
EXTRA = {"openvino": "openvino", "coreml": "coremltools"}


def recogniser(n_frames=12, **more):
    """A small recogniser of poses that nobody trained, which tells unknown signs and was taught one."""
    torch.manual_seed(0)
    inputs = PoseInput(n_frames=n_frames)
    config = {"n_classes": 3, "n_frames": n_frames, "width": 8, "depth": 1, "heads": 2, "members": 2}
    model = build("pose_transformer", {**config, **inputs.model_fields(("pose",))}).eval()
    rng = np.random.default_rng(0)
    space = fit_prototypes(rng.normal(0, 1, (40, model.n_features)), np.arange(40) % 3, 3)
    taught = space.with_sign(rng.normal(0, 1, (2, len(space.spread_E))))
    about = {
        "open_set": {"figure": "prototypes", "threshold": 1.0, "slope": 0.5, "heat": 2.0},
        "prototypes": taught.as_arrays(),
        "taught": {"D": {"clips": 2, "seen": []}},
        "temperature": 1.5,
    }
    streams = {"pose": PoseStream().fingerprint()}
    return Checkpoint("recognise", "pose_transformer", model, ("A", "B", "C"), inputs, streams, **{**about, **more})


@pytest.fixture(scope="module")
def exported() -> Exported:
    return export_recogniser(recogniser())


def named(to, folder):
    return folder / f"signs{format_named(to).SUFFIX}"


@pytest.fixture(scope="module", autouse=True)
def traced_once():
    """Tracing a network takes long, and gives the same every time."""
    import onnx

    from signloom.training.formats import onnx as onnx_format

    kept, trace = {}, onnx_format.graph_of

    def once(of, precision="fp32", calibration=()):
        key = id(of.module), precision
        if key not in kept:
            kept[key] = of.module, trace(of, precision, calibration).SerializeToString()
        return onnx.load_from_string(kept[key][1])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx_format, "graph_of", once)
        yield


# --- the graph ------------------------------------------------------------------------------------------------------


def test_the_graph_answers_as_the_recogniser_does(exported):
    """Votes, temperature and all; from the tensors of the made-up clips."""
    for clip in exported.sample:
        given = exported.run(clip)
        logits = given["votes"][0] / 1.5
        known = logits - np.logaddexp.reduce(logits)
        answer = clip["answer"]
        assert len(answer) == 4  # the sign that was taught stands behind
        of_known = answer[:3] - np.logaddexp.reduce(answer[:3])
        assert np.allclose(of_known, known, atol=1e-5)
        assert 0 < clip["unknown"] < 1


def test_a_clip_in_which_nobody_is_found_has_an_answer(exported):
    values = {name: np.zeros_like(value) for name, value in exported.examples[0].items()}
    assert all(np.isfinite(v).all() for v in exported.run(values).values())


# --- formats --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", FORMATS)
def test_a_file_agrees_with_pytorch_and_says_all_it_needs(to, exported, tmp_path):
    if to in EXTRA:
        pytest.importorskip(EXTRA[to])
    file = named(to, tmp_path)
    about = write_export(exported, to, file)
    apart = about["checked"].get("apart", {})
    assert max(apart.values(), default=0) <= 1e-4
    assert about["outputs"] == {"logits": [1, 3], "votes": [1, 3], "features": [1, 32]}
    told = json.loads(Path(about["json"]).read_text(encoding="utf-8"))
    assert told["labels"] == ["A", "B", "C"]
    assert told["taught"] == ["D"]
    folder = Path(about["json"]).parent
    for name, digest in told["sha256"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".tmp")]
    prototypes = {name: read_array(folder, where) for name, where in told["prototypes"].items()}
    assert np.array_equal(prototypes["means_KE"], exported.prototypes["means_KE"])
    sample = {n: read_array(folder, v) if isinstance(v, dict) else v for n, v in told["sample"][1].items()}
    assert np.array_equal(sample["points"], exported.sample[1]["points"])
    run = format_named(to).open_graph(file)
    if run is not None:  # here it can be run: from the file's own sample to its own answer
        assert np.allclose(run(sample)["votes"], sample["votes"], atol=1e-4)


def test_a_page_gets_shards_of_at_most_8_mib(exported, tmp_path):
    from signloom.training.formats import web

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(web, "SHARD_BYTES", 10_000)
        about = write_export(exported, "web", tmp_path / "page")
    sizes = [(tmp_path / "page" / name).stat().st_size for name in about["files"]["graph"]]
    assert len(sizes) > 3
    assert max(sizes) == 10_000
    assert web.SHARD_BYTES == 8 << 20


@pytest.mark.parametrize("to", ["onnx", "openvino"])
def test_16_bits_are_near(to, exported, tmp_path):
    if to in EXTRA:
        pytest.importorskip(EXTRA[to])
    whole = write_export(exported, to, named(to, tmp_path))
    half = write_export(exported, to, named(to, tmp_path / "half"), precision="fp16")
    assert max(half["checked"]["apart"].values()) <= 1e-2
    weights = {"onnx": ".onnx", "openvino": ".bin"}[to]  # OpenVINO's graph itself, an .xml, says more in 16 bits
    whole_file, half_file = (Path(told["file"]).with_suffix(weights) for told in (whole, half))
    assert half_file.stat().st_size < whole_file.stat().st_size


def test_an_export_replaces_an_export_and_nothing_else(exported, tmp_path):
    folder = tmp_path / "signs"
    folder.mkdir()
    (folder / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match="holds something else"):
        write_export(exported, "web", folder)
    (folder / "letter.txt").unlink()
    write_export(exported, "web", folder)
    (folder / "stale.bin").write_bytes(b"x")
    write_export(exported, "web", folder)
    assert not (folder / "stale.bin").exists()


def test_a_folder_takes_no_files_place(exported, tmp_path):
    (tmp_path / "notes").write_text("somebody's")
    with pytest.raises(InputError, match="a file stands where a folder is wanted"):
        write_export(exported, "web", tmp_path / "notes")
    assert [f.read_text() for f in tmp_path.iterdir()] == ["somebody's"]


def test_a_file_that_gives_other_values_is_refused_and_leaves_nothing(exported, tmp_path):
    (tmp_path / "signs.onnx").write_text("an earlier one")
    with pytest.raises(SignloomError, match="apart from PyTorch's"):
        write_export(exported, "onnx", tmp_path / "signs.onnx", tolerances={"fp32": -1.0})
    assert [f.read_text() for f in tmp_path.iterdir()] == ["an earlier one"]


def test_what_does_not_go_together_is_told(exported, tmp_path):
    with pytest.raises(InputError, match="there is no format 'gguf'"):
        write_export(exported, "gguf", tmp_path / "a")
    with pytest.raises(InputError, match=r"--to tflite is not written.*--to onnx"):
        write_export(exported, "tflite", tmp_path / "a.tflite")
    with pytest.raises(InputError, match=r"ends in \.onnx"):
        write_export(exported, "onnx", tmp_path / "a.xml")
    with pytest.raises(InputError, match="no --precision fp64"):
        write_export(exported, "onnx", tmp_path / "a.onnx", precision="fp64")


def test_accuracy_counts_both_and_where_they_agree(exported):
    clips = [(dict(clip), k) for k, clip in enumerate(exported.sample)]
    right = [int(exported.run(values)["votes"].argmax()) for values, _ in clips]
    told = accuracy(exported, exported.run, [(values, k) for (values, _), k in zip(clips, right)])
    assert told == {"clips": 2, "top1": 1.0, "top1_pytorch": 1.0, "same_answer": 1.0}
    shifted = accuracy(exported, lambda v: {"votes": np.roll(exported.run(v)["votes"], 1, 1)}, clips)
    assert shifted["same_answer"] == 0
    with pytest.raises(InputError, match="no clip"):
        accuracy(exported, exported.run, [])


# --- the verb -------------------------------------------------------------------------------------------------------


def test_8_bits_are_calibrated_and_say_what_they_cost(tmp_path, capsys):
    words = ["export", str(V1 / "trained" / "pose"), "--out", str(tmp_path / "a.onnx"), "--precision", "int8"]
    assert main(words) == 2
    assert "--corpus" in capsys.readouterr().err
    assert main([*words, "--corpus", str(V1 / "corpus"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["measured"]["clips"] == 2
    assert told["measured"]["on"] == "val"
    assert 0 <= told["measured"]["top1"] <= 1


@pytest.mark.parametrize("kind", ["rgb", "flow"])
def test_models_of_pictures_are_exported(kind, tmp_path):
    checkpoint = load_checkpoint(V1 / "trained" / kind)
    made = export_recogniser(checkpoint)
    about = write_export(made, "onnx", tmp_path / "a.onnx")
    stream = {"rgb": "frames", "flow": "flow"}[kind]
    assert list(about["inputs"]) == [stream]
    assert made.run(made.examples[0])["logits"].shape == (1, len(checkpoint.labels))


def test_a_missing_library_is_told_with_its_line(exported, tmp_path, monkeypatch):
    import sys

    for module, to, extra in (("openvino", "openvino", "openvino"), ("coremltools", "coreml", "coreml")):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(InputError, match=rf"pip install 'signloom\[{extra}\]'"):
            write_export(exported, to, named(to, tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_model_without_a_space_of_features_says_so(tmp_path):
    plain = export_recogniser(recogniser(open_set={}, prototypes={}, taught={}))
    assert plain.about["unknown"] is None
    assert plain.sample[0]["unknown"] is None
    about = write_export(replace(plain, sample=plain.sample[:1]), "web", tmp_path / "a")
    assert "prototypes" not in about["files"]
    shutil.rmtree(tmp_path / "a")
