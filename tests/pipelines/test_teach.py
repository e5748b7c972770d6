"""A sign is taught, known, and forgotten; the model that was given stays as it was."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from signloom import media
from signloom.cli import main as cli
from signloom.data.manifest import read_manifest, write_manifest
from signloom.pipelines.prepare import Preparation, prepare_corpus
from signloom.sources import read_source
from signloom.streams.pose import PoseStream
from signloom.synthetic.corpus import Settings, make_takes
from signloom.tasks import load_predictor
from signloom.training.checkpoint import load_checkpoint


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    """Exact poses of 4 signs by 5 signers, 7 takes each."""
    folder = tmp_path_factory.mktemp("taught footage")
    for take in make_takes(4, 5, 7, 1, Settings(size_px=(160, 120), fps=12.0)):
        media.write_pose(folder / take.signer.name / take.sign.name / f"{take.take}.pose", take.pose())
    return folder


@pytest.fixture(scope="module")
def label(footage):
    return sorted(p.name for p in next(footage.iterdir()).iterdir())[-1]


@pytest.fixture(scope="module")
def corpus(footage, label, tmp_path_factory):
    """A corpus of it: one signer validates, one is tested; a model is trained on all signs but ``label``."""
    folder = tmp_path_factory.mktemp("taught corpus")
    source = read_source(footage, pattern="{signer}/{label}/{take}.pose")
    prepared, _ = prepare_corpus(source, folder, Preparation(), workers=0, quiet=True)
    signers = prepared.signers
    split = {signers[-1]: "test", signers[-2]: "val"}
    records = tuple(replace(r, split=split.get(r.signer, "train")) for r in prepared)
    write_manifest(replace(prepared, records=records), folder)
    return folder


@pytest.fixture(scope="module")
def model(corpus, label, tmp_path_factory):
    folder = tmp_path_factory.mktemp("taught model")
    few = read_manifest(corpus).where(lambda r: r.label != label)
    write_manifest(few, folder / "corpus")
    words = ["train", folder / "corpus", "--split", "given", "--out", folder / "run", "--steps", 60, "--batch-size", 16]
    more = ("inputs.n_frames=12", "model.width=16", "model.members=2")
    assert cli.main([str(w) for w in (*words, "--set", *more)]) == 0
    return folder / "run"


def clips_of_sign(footage, label, signer, n=3):
    return sorted((footage / signer / label).glob("*.pose"))[:n]


def hashes(folder: Path):
    return {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def signers(corpus):
    return read_manifest(corpus).signers


@pytest.fixture(scope="module")
def taught(model, footage, label, signers, tmp_path_factory):
    """The model with ``label``, taught by three clips of the signer who validates."""
    out = tmp_path_factory.mktemp("taught") / "wiser"
    before = hashes(model)
    clips = clips_of_sign(footage, label, signers[-2])
    words = ["teach", model, *clips, "--label", label, "--signer", signers[-2], "--out", out, "--workers", 0]
    assert cli.main([str(w) for w in words]) == 0
    assert hashes(model) == before
    return out


def test_the_model_tells_that_the_sign_is_none_of_its_own(model, footage, label, signers, signloom):
    unknown = [json.loads(line) for line in said(signloom, model, clips_of_sign(footage, label, signers[-1], 7))]
    known = [
        json.loads(line)
        for sign in load_checkpoint(model).labels
        for line in said(signloom, model, clips_of_sign(footage, sign, signers[-1], 7))
    ]
    assert all(0 <= row["unknown"] <= 1 and row["none_of_these"] == (row["unknown"] > 0.5) for row in unknown + known)
    mean = [sum(row["unknown"] for row in rows) / len(rows) for rows in (unknown, known)]
    assert mean[0] > mean[1]


def said(signloom, model, clips):
    code, out, err = signloom("predict", model, *clips, "--json", "--workers", 0)
    assert code == 0, err
    return out.splitlines()


def test_a_taught_sign_is_likelier_on_its_clips_of_a_signer_never_seen(taught, footage, label, signers, signloom):
    def share(sign):
        rows = [json.loads(line) for line in said(signloom, taught, clips_of_sign(footage, sign, signers[-1], 7))]
        return sum(dict(row["top"])[label] for row in rows) / len(rows)

    others = [share(sign) for sign in load_checkpoint(taught).labels]
    assert share(label) > sum(others) / len(others)  # the network is tiny: tests of the space ask for more


def test_among_the_signs_of_training_nothing_changes(model, taught, footage, label, signers, signloom):
    clips = [c for sign in load_checkpoint(model).labels for c in clips_of_sign(footage, sign, signers[-1], 3)]
    for was, now in zip(said(signloom, model, clips), said(signloom, taught, clips)):
        before, after = dict(json.loads(was)["top"]), dict(json.loads(now)["top"])
        rest = 1 - after.pop(label)
        assert {sign: p / rest for sign, p in after.items()} == pytest.approx(before, abs=1e-4)


def test_evaluate_and_programs_use_it_like_any_other(taught, corpus, label, signloom, tmp_path):
    code, out, err = signloom("evaluate", taught, corpus, "--split", "given", "--out", tmp_path, "--no-clips", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["unknown"]["n_clips"] == 0
    assert found["open_set"]["n_known"] == 28
    predictor = load_predictor(taught)
    assert label in predictor.labels
    clip = next(r for r in read_manifest(corpus) if r.label == label and r.split == "test")
    from signloom import read_clip

    answer = predictor(read_clip(read_manifest(corpus).root / clip.streams["pose"], predictor))
    assert len(answer.top(9)) == len(predictor.labels)
    assert answer.embedding_E is not None


def test_clips_that_it_was_taught_by_are_no_test(taught, footage, label, signers, signloom, tmp_path):
    source = read_source(footage, pattern="{signer}/{label}/{take}.pose")
    prepared, _ = prepare_corpus(
        source.where(lambda r: r.signer == signers[-2] and r.label == label), tmp_path / "c", Preparation(), workers=0,
        quiet=True,
    )  # fmt: skip
    code, _, err = signloom("evaluate", taught, prepared.root, "--split", "all", "--out", tmp_path)
    assert code != 0
    assert "trained on 3" in err


def test_what_is_taught_twice_is_refused_and_more_of_it_is_added(taught, footage, label, signers, signloom, tmp_path):
    clips = clips_of_sign(footage, label, signers[-2], 3)
    code, _, err = signloom("teach", taught, *clips, "--label", label, "--out", tmp_path / "no", "--workers", 0)
    assert code != 0
    assert "has learnt from 3 of the 3 clips already" in err
    assert not (tmp_path / "no").exists()
    more = clips_of_sign(footage, label, signers[0], 2)
    code, out, err = signloom(
        "teach", taught, *more, "--label", label, "--out", tmp_path / "m", "--json", "--workers", 0
    )
    assert code == 0, err
    assert json.loads(out)["taught"] == {label: 5}


def test_it_forgets(model, taught, label, signloom, tmp_path):
    code, _, err = signloom("teach", taught, "--forget", label, "--out", tmp_path / "again")
    assert code == 0, err
    was, now = load_checkpoint(model), load_checkpoint(tmp_path / "again")
    assert now.known == was.known
    assert all((was.prototypes[name] == now.prototypes[name]).all() for name in was.prototypes)
    assert (tmp_path / "again" / "trained_on.json").read_bytes() == (
        model / "checkpoint" / "trained_on.json"
    ).read_bytes()


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--forget", "NOBODY"], "was not taught that sign; wanted one it was taught: none"),
        (["--label", "X"], "give clips of the sign"),
    ],
)
def test_what_cannot_be_taught(model, signloom, tmp_path, words, wanted):
    code, _, err = signloom("teach", model, *words, "--out", tmp_path / "x")
    assert code == 2
    assert wanted in err
    assert not (tmp_path / "x").exists()


def test_signs_of_training_are_neither_taught_nor_forgotten(model, footage, signers, signloom, tmp_path):
    own = load_checkpoint(model).labels[0]
    clips = clips_of_sign(footage, own, signers[-1], 1)
    code, _, err = signloom("teach", model, *clips, "--label", own, "--out", tmp_path / "x", "--workers", 0)
    assert code == 2
    assert "was trained on that sign" in err
    code, _, err = signloom("teach", model, "--forget", own, "--out", tmp_path / "x")
    assert code == 2
    assert "cannot forget" in err


def test_a_corpus_teaches_by_its_clips_of_the_label_but_not_by_test_clips(model, corpus, label, signloom, tmp_path):
    code, _, err = signloom("teach", model, corpus, "--label", label, "--out", tmp_path / "x")
    assert code != 0
    assert "is a test clip of its corpus" in err
    write_manifest(read_manifest(corpus).where(lambda r: r.split == "val"), tmp_path / "c")
    code, out, err = signloom("teach", model, tmp_path / "c", "--label", label, "--out", tmp_path / "y", "--json")
    assert code == 0, err
    assert json.loads(out)["taught"] == {label: 7}
    made = read_manifest(tmp_path / "c")
    write_manifest(replace(made, meta={**made.meta, "consent": {made.signers[0]: {"training": False}}}), made.root)
    code, _, err = signloom("teach", model, tmp_path / "c", "--label", label, "--out", tmp_path / "z")
    assert code == 2
    assert "lets models learn from it" in err


def test_an_export_of_a_taught_model_tells_of_the_sign(taught, label, signloom, tmp_path):
    """Its network does not know it: where it lies in the space of features stands beside."""
    pytest.importorskip("onnxscript")
    code, _, err = signloom("export", taught, "--out", tmp_path / "m.onnx")
    assert code == 0, err
    about = json.loads((tmp_path / "m.json").read_text())
    assert about["taught"] == [label]
    assert label not in about["labels"]
    assert about["prototypes"]["means_KE"]["shape"][0] == len(about["labels"]) + 1
    assert about["sample"] == []  # these poses were imported: what made their points is not on record
    own = tmp_path / "own"
    shutil.copytree(taught, own)
    config = next(own.rglob("config.json"))
    told = json.loads(config.read_text()) | {"streams": {"pose": PoseStream().fingerprint()}}
    config.write_text(json.dumps(told))
    assert signloom("export", own, "--out", tmp_path / "own.onnx")[0] == 0
    about = json.loads((tmp_path / "own.json").read_text())
    assert about["sample"][0]["answer"]["shape"] == [len(about["labels"]) + 1]


def test_info_tells_of_it(taught, label, signloom):
    code, out, _ = signloom("info", taught)
    assert code == 0
    assert f"{label} 3" in out
    assert "told, by" in out


def test_a_grown_corpus_teaches_by_what_was_filmed_alone(model, corpus, label, signers, signloom, tmp_path):
    own = read_manifest(corpus).where(lambda r: r.label == label and r.signer == signers[0])
    copies = [
        replace(r, id=f"{r.id}_copy{k}", parent=r.id, content=f"{k:032}", extra={**r.extra, "augmented": {"copy": k}})
        for r in own
        for k in (1, 2)
    ]
    copies += [replace(copies[0], id=f"lonely{k}", parent="not here", content=f"9{k:031}") for k in (1, 2)]
    write_manifest(replace(own, records=(*own, *copies)), tmp_path / "grown")
    words = ("teach", model, tmp_path / "grown", "--label", label, "--out", tmp_path / "wiser", "--json")
    code, out, err = signloom(*words)
    assert code == 0, err
    assert json.loads(out)["taught"] == {label: len(own) + 1}
