"""Going on from a run of one's own: with new labels, with what both know kept, and never with clips to be tested."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
import torch

from signloom.cli import main as cli
from signloom.data.corpus import SplitManifest
from signloom.data.manifest import read_manifest, write_manifest
from signloom.data.splits import apply_split, read_split
from signloom.errors import InputError
from signloom.tasks.recognise.recipes import pose
from signloom.tasks.recognise.task import Recognise, _go_on_from, untrained
from signloom.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from signloom.training.settings import changed
from signloom.training.task import Given

TINY = ("model.width=16", "model.members=2", "inputs.n_frames=12")
QUICK = ("--batch-size", 4, "--precision", "fp32", "--set", *TINY)


@pytest.fixture(scope="module")
def split_file(pose_corpus, tmp_path_factory):
    """A signer-disjoint split of ``pose_corpus``."""
    file = tmp_path_factory.mktemp("split") / "split.json"
    assert cli.main(["split", str(pose_corpus), "--scheme", "signer", "--out", str(file)]) == 0
    return file


@pytest.fixture(scope="module")
def smaller(pose_corpus, split_file, tmp_path_factory):
    """``pose_corpus``, divided, without its last label."""
    folder = shutil.copytree(pose_corpus, tmp_path_factory.mktemp("smaller") / "corpus")
    corpus = apply_split(read_manifest(folder), read_split(split_file))
    kept = tuple(r for r in corpus if r.label != corpus.labels[-1])
    write_manifest(replace(corpus, records=kept), folder)
    return folder


@pytest.fixture(scope="module")
def first(smaller, tmp_path_factory):
    """A run that knows all labels but the last. Do not change it."""
    run = tmp_path_factory.mktemp("first") / "run"
    assert cli.main([str(w) for w in ("train", smaller, "--out", run, "--split", "given", "--epochs", 50, *QUICK)]) == 0
    return run


def begun(corpus, start, recipe=None):
    """The model that a run from ``start`` begins with, and its labels."""
    task = Recognise(recipe or changed(pose(), TINY), Given(start=start))
    data = task.data(corpus)
    torch.manual_seed(7)
    return task.build(data)["model"], data.labels


def test_a_new_label_gets_a_row_and_what_both_know_is_kept(pose_corpus, split_file, first):
    corpus = SplitManifest(apply_split(read_manifest(pose_corpus), read_split(split_file)))
    known = load_checkpoint(first)
    model, labels = begun(corpus, first)
    assert (len(known.labels), len(labels)) == (2, 3)
    torch.manual_seed(7)
    fresh = untrained(changed(pose(), TINY), 3).state_dict()
    heads = 0
    for name, value in model.state_dict().items():
        other = known.model.state_dict()[name]
        if ".head." in name:
            heads += 1
            for k, label in enumerate(labels):
                wanted = other[known.labels.index(label)] if label in known.labels else fresh[name][k]
                assert torch.equal(value[k], wanted), (name, label)
        else:
            assert torch.equal(value, other), name
    assert heads == 4  # two members, weight and bias


def test_it_trains_on_and_ends_ahead_of_one_from_nothing(pose_corpus, split_file, first, tmp_path, signloom):
    """After a single step at a tiny rate: what the first run learnt is still there."""
    words = ("train", pose_corpus, "--split", split_file, "--steps", 1, "--learning-rate", 1e-6, "--json")
    results = {}
    for name, more in (("on", ("--from", first)), ("new", ())):
        code, text, err = signloom(*words, "--out", tmp_path / name, *more, *QUICK)
        assert code == 0, err
        assert json.loads(text)["labels"] == 3
        code, text, err = signloom("evaluate", tmp_path / name, pose_corpus, "--on", "train", "--no-clips", "--json")
        assert code == 0, err
        results[name] = json.loads(text)["metrics"]["top1"]["value"]
    code, text, _ = signloom(
        "evaluate", first, pose_corpus, "--split", split_file, "--on", "train", "--no-clips", "--json"
    )
    assert code == 0
    known = json.loads(text)["metrics"]["top1"]["value"]
    assert known > 0.6  # of all but the last label it knows nearly all
    assert results["on"] > results["new"] + 0.2
    assert results["on"] > known - 0.15

    whole = (
        "train",
        pose_corpus,
        "--split",
        split_file,
        "--out",
        tmp_path / "whole",
        "--from",
        first,
        "--epochs",
        12,
        *QUICK,
    )
    code, _, err = signloom(*whole)
    assert code == 0, err
    history = json.loads((tmp_path / "whole" / "history.json").read_text())
    assert history[-1]["loss"] < history[0]["loss"]
    before = (tmp_path / "whole" / "checkpoint" / "model.safetensors").stat().st_mtime_ns
    assert signloom(*whole)[0] == 0  # finished: loaded again
    assert (tmp_path / "whole" / "checkpoint" / "model.safetensors").stat().st_mtime_ns == before
    code, _, err = signloom(*(w for w in whole if w not in ("--from", first)))
    assert code == 2  # from nothing, it is another run
    assert "choose another --out" in err


def test_hidden_units_are_not_taken_for_labels(tmp_path):
    """A tensor as long as there are labels, and other labels, as many: only the head's rows go by label."""
    recipe = changed(pose(), ["model.width=4", "model.heads=2", "model.members=1", "inputs.n_frames=12"])
    torch.manual_seed(0)
    known = untrained(recipe, 4)
    made = Checkpoint("recognise", recipe.architecture, known, ("A", "C", "D", "E"), recipe.inputs, {"pose": {}})
    save_checkpoint(made, tmp_path)
    torch.manual_seed(1)
    model = untrained(recipe, 4)
    _go_on_from(model, tmp_path, ("A", "B", "C", "D"), recipe)
    same_length = 0
    for name, value in model.state_dict().items():
        other = known.state_dict()[name]
        if ".head." in name:
            for mine, its in ((0, 0), (2, 1), (3, 2)):
                assert torch.equal(value[mine], other[its])
            assert not torch.equal(value[1], other[1])
        else:
            same_length += len(value) == 4
            assert torch.equal(value, other), name
    assert same_length > 5


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (("model.width=16", "model.members=2", "inputs.n_frames=16"), "with other inputs than recipe 'pose' has"),
        (("model.width=32", "model.members=2", "inputs.n_frames=12"), "has shape"),
        (("model.width=16", "model.members=3", "inputs.n_frames=12"), "has no tensor 'members.2"),
    ],
)
def test_a_run_of_another_kind_of_network_is_refused(pose_corpus, split_file, first, settings, says):
    corpus = SplitManifest(apply_split(read_manifest(pose_corpus), read_split(split_file)))
    with pytest.raises(
        InputError, match=r"--from .*train with the --set of that run|recipe and --set of that run"
    ) as e:
        begun(corpus, first, changed(pose(), settings))
    assert says in str(e.value)


def test_a_run_that_learnt_from_clips_to_be_tested_is_refused(pose_corpus, smaller, first, tmp_path, signloom):
    code, _, err = signloom("train", smaller, "--split", "random", "--out", tmp_path / "a", "--from", first, *QUICK)
    assert code == 1
    assert "clips that this run is to be tested on, e.g. '" in err
    code, _, err = signloom("train", pose_corpus, "--split", "random", "--out", tmp_path / "b", "--from", first, *QUICK)
    assert code == 1
    assert "clips that this run is to be tested on, e.g. '" in err
    for name in "ab":
        assert not (tmp_path / name / "checkpoint").exists()


def test_a_start_that_is_not_there_is_named(pose_corpus, tmp_path, signloom):
    code, _, err = signloom("train", pose_corpus, "--out", tmp_path / "run", "--from", tmp_path / "nobody", *QUICK)
    assert code == 1
    assert f"--from '{tmp_path / 'nobody'}' holds no checkpoint" in err
