"""No clip that a model has learnt from is measured as new, on whatever way to a figure; and what is found is told."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from signloom.cli import main as cli
from signloom.data.manifest import read_manifest
from signloom.data.splits import Split, apply_split, read_split, split_in_use, split_of, write_split
from signloom.errors import LeakError
from signloom.tasks import load_predictor
from signloom.tasks.recognise.evaluate import evaluate_run
from signloom.training.checkpoint import load_checkpoint, seen_by

QUICK = ("--epochs", "1", "--batch-size", "16", "--set", "model.width=16", "model.members=1")


def train(corpus, out, *more):
    assert cli.main(["train", str(corpus), "--out", str(out), *map(str, more), *QUICK]) == 0
    return out


@pytest.fixture(scope="module")
def run(pose_corpus, tmp_path_factory):
    """A run on a signer-disjoint split of ``pose_corpus``. Do not change it."""
    return train(pose_corpus, tmp_path_factory.mktemp("run") / "run")


@pytest.fixture
def other_split(pose_corpus, run, tmp_path):
    """A split file of the same corpus in which another signer is tested."""
    own = read_split(run / "split.json")
    corpus = read_manifest(pose_corpus)
    others = [s for s in corpus.signers if s not in own.details["held_out"]]
    assignment = {r.id: "test" if r.signer == others[0] else "train" for r in corpus}
    split = Split("signer", 0, own.corpus_hash, assignment, {"held_out": [others[0]]})
    return write_split(split, tmp_path / "test.json")


def parts(run):
    own = read_split(run / "split.json").assignment
    return {s: [i for i, where in own.items() if where == s] for s in ("train", "val", "test")}


# --- one run ----------------------------------------------------------------------------------------------------------


def test_all_clips_are_not_measured_as_new_by_a_run_that_learnt_from_them(pose_corpus, run, signloom):
    """Before: 36 clips "by signers it had never seen", 24 of which it was trained on."""
    code, text, err = signloom("evaluate", run, pose_corpus, "--split", "all", "--no-clips")
    assert (code, text) == (1, "")
    known = parts(run)
    n = len(known["train"]) + len(known["val"])
    assert f"the model was trained on clips of this corpus, '{pose_corpus}': {n} of the 36" in err
    assert "--on train" in err


def test_another_split_file_is_refused_whatever_it_is_called(pose_corpus, run, other_split, signloom):
    for on, refused in (("test", True), ("train", False)):
        code, _, err = signloom(
            "evaluate", run, pose_corpus, "--split", other_split, "--on", on, "--no-clips", "--json"
        )
        assert (code == 1) == refused, err
        assert ("was trained on clips" in err) == refused


def test_the_scheme_told_is_that_of_the_split_in_use(pose_corpus, run, tmp_path, other_split, signloom):
    command = ("evaluate", run, pose_corpus, "--no-clips", "--out", tmp_path, "--json")
    code, text, err = signloom(*command)
    assert code == 0, err
    held_out = read_split(run / "split.json").details["held_out"]
    said = json.loads(text)
    assert said["split"] == {"name": "test", "scheme": "signer-disjoint", "detail": f"held out: {', '.join(held_out)}"}
    assert said["overlap"] == said["overlap"] | {
        "known": "all", "n_clips": len(parts(run)["test"]), "trained_on": 0, "validated_on": 0, "derived": 0,
        "same_signer": 0, "new_signers": True,
    }  # fmt: skip
    assert "by a signer it had never seen" in (tmp_path / "report.html").read_text(encoding="utf-8")
    code, text, err = signloom(*command, "--split", other_split, "--on", "train")
    assert code == 0, err
    said = json.loads(text)
    tested = json.loads(other_split.read_text())["details"]["held_out"]
    assert said["split"]["detail"] == f"held out: {tested[0]}"
    learnt = {*parts(run)["train"]}
    used = [i for i, where in read_split(other_split).assignment.items() if where == "train"]
    assert said["overlap"]["trained_on"] == len(learnt & {*used}) < len(used)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "had never seen" not in page
    assert f"{said['overlap']['trained_on']} of which it was trained on" in page


@pytest.mark.parametrize(("on", "key"), [("train", "trained_on"), ("val", "validated_on")])
def test_training_and_validation_clips_are_told_as_such(on, key, pose_corpus, run, signloom):
    code, text, err = signloom("evaluate", run, pose_corpus, "--on", on, "--no-clips", "--json")
    assert code == 0, err
    found = json.loads(text)["overlap"]
    assert found[key] == found["n_clips"] == len(parts(run)[on])
    code, text, _ = signloom("evaluate", run, pose_corpus, "--on", on, "--no-clips")
    assert "had never seen" not in text
    assert ("that it was trained on" if on == "train" else "used to choose the model") in text


def test_a_test_signer_in_training_is_told_though_the_split_has_a_good_name(pose_corpus, tmp_path, signloom):
    """Clips by chance, and a split file that calls itself signer-disjoint."""
    train(pose_corpus, tmp_path / "run", "--split", "random")
    own = read_split(tmp_path / "run" / "split.json")
    lying = write_split(replace(own, scheme="leave-one-signer-out"), tmp_path / "lying.json")
    code, text, err = signloom("evaluate", tmp_path / "run", pose_corpus, "--split", lying, "--no-clips")
    assert code == 0, err
    assert "had never seen" not in text
    assert "signers it knew from training" in text
    assert "signers measured are in training as well (split scheme “leave-one-signer-out”)" in text


def test_clips_are_known_by_content_and_range_under_any_name(pose_corpus, run, tmp_path, change_manifest, signloom):
    folder = shutil.copytree(pose_corpus, tmp_path / "copy")
    change_manifest(folder, row=lambda r: {**r, "id": f"x_{r['id']}", "signer": f"x_{r['signer']}"})
    command = ("evaluate", run, folder, "--split", "all", "--no-clips", "--json")
    assert signloom(*command)[0] == 1
    # The frames after those: other clips of the same recording.
    change_manifest(folder, row=lambda r: {**r, "first_frame": 1000, "end_frame": 1100})
    first = read_manifest(pose_corpus).records[0]
    assert first.end_frame is None or first.end_frame <= 1000
    if first.end_frame is not None:
        assert signloom(*command)[0] == 0


def test_what_was_derived_from_a_training_clip_is_none_to_test_on(
    pose_corpus, run, tmp_path, signloom, change_manifest
):
    learnt = parts(run)["train"]
    folder = shutil.copytree(pose_corpus, tmp_path / "augmented")
    change_manifest(folder, row=lambda r: {**r, "id": f"{r['id']}-noisy", "parent": r["id"], "content": f"n {r['id']}"})
    code, _, err = signloom("evaluate", run, folder, "--split", "all", "--no-clips")
    assert code == 1
    n = len(learnt) + len(parts(run)["val"])
    assert f"{n} of the 36 that would be measured as 'test'" in err
    assert f"of one original with such {n}" in err


def test_another_encoding_under_the_same_name_is_remarked(pose_corpus, run, tmp_path, signloom, change_manifest):
    folder = shutil.copytree(pose_corpus, tmp_path / "encoded")
    change_manifest(folder, row=lambda r: {**r, "content": f"encoded {r['id']}"})
    code, text, err = signloom("evaluate", run, folder, "--split", "all", "--no-clips")
    assert code == 0, err
    assert "of other content bear the name of a clip that it learnt from" in text
    assert "had never seen" not in text  # the signers' names are the same too


# --- several, fused, kept ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [(), ("--fuse",)])
def test_several_runs_are_refused_alike(more, pose_corpus, run, tmp_path, signloom):
    second = train(pose_corpus, tmp_path / "b", "--split", run / "split.json", "--seed", 1)
    words = ("evaluate", run, second, pose_corpus, *more, "--no-clips", "--json")
    code, _, err = signloom(*words, "--split", "all")
    assert code == 1
    assert "run 'run' was trained on clips of this corpus" in err
    code, text, err = signloom(*words)
    assert code == 0, err
    found = json.loads(text)["overlap"]
    assert (found["trained_on"], found["new_signers"]) == (0, True)
    if more:
        both = tmp_path / "both"
        assert signloom(*words, "--save", both)[0] == 0
        code, _, err = signloom("evaluate", both, pose_corpus, "--split", "all", "--no-clips")
        assert code == 1
        assert "was trained on clips of this corpus" in err


def test_scores_kept_for_one_split_are_not_taken_for_another(pose_corpus, run, tmp_path, other_split, signloom):
    """Both are called "train" and "test.json" or so; what is kept goes by the clips, their ranges and their files."""
    from signloom.tasks.recognise import fuse

    mine = shutil.copytree(run, tmp_path / "run")
    [opened] = fuse.open_runs([mine])
    corpus = read_manifest(pose_corpus)
    first = apply_split(corpus, read_split(mine / "split.json")).only("train")
    second = apply_split(corpus, read_split(other_split)).only("train")
    kept = fuse.cached_scores(opened, first, "train")
    other = fuse.cached_scores(opened, second, "train")
    assert [r.id for r in other.records] == [r.id for r in second]
    assert {r.id for r in other.records} != {r.id for r in kept.records}
    shorter = replace(second, records=tuple(replace(r, n_frames=3, end_frame=3) for r in second))
    assert fuse._scores_key(opened, shorter) != fuse._scores_key(opened, second)


# --- where it is kept -------------------------------------------------------------------------------------------------


def test_a_checkpoint_that_was_copied_away_still_knows(pose_corpus, run, tmp_path, signloom):
    copied = shutil.copytree(run / "checkpoint", tmp_path / "elsewhere")
    code, _, err = signloom("evaluate", copied, pose_corpus, "--split", "all", "--no-clips")
    assert code == 1
    assert "was trained on clips" in err
    text = (copied / "trained_on.json").read_text()
    assert not any(name in text for name in ("signer0", *read_manifest(pose_corpus).labels))  # nobody is named
    (copied / "trained_on.json").write_text('{"format": "x"}')
    code, _, err = signloom("evaluate", copied, pose_corpus, "--split", run / "split.json", "--no-clips")
    assert code == 1
    assert "trained_on.json" in err


def test_a_run_of_an_earlier_version_is_known_by_its_split(pose_corpus, run, tmp_path, signloom):
    old = shutil.copytree(run, tmp_path / "old")
    (old / "checkpoint" / "trained_on.json").unlink()
    code, text, err = signloom("evaluate", old, pose_corpus, "--no-clips", "--json")
    assert code == 0, err
    assert json.loads(text)["overlap"]["known"] == "all"
    code, _, err = signloom("evaluate", old, pose_corpus, "--split", "all", "--no-clips")
    assert code == 1
    assert "was trained on clips" in err
    bare = shutil.copytree(old / "checkpoint", tmp_path / "bare")
    code, _, err = signloom("evaluate", bare, pose_corpus, "--split", "all", "--no-clips")
    assert code == 1
    assert "it is not on record on which" in err
    code, text, err = signloom("evaluate", bare, pose_corpus, "--split", run / "split.json", "--no-clips", "--json")
    assert code == 0, err  # the very split that it was trained on, by its hash
    assert json.loads(text)["overlap"]["known"] == "all"


def test_a_run_of_which_only_names_are_left_is_not_said_to_know_nothing(
    pose_corpus, run, tmp_path, change_manifest, signloom
):
    """Its very training clips under other names: nobody can tell, and "not among those it was trained on" was said."""
    old = shutil.copytree(run, tmp_path / "old")
    (old / "checkpoint" / "trained_on.json").unlink()
    renamed = shutil.copytree(pose_corpus, tmp_path / "renamed")
    change_manifest(renamed, row=lambda r: {**r, "id": f"new_{r['id']}"})
    code, text, err = signloom("evaluate", old, renamed, "--split", "all", "--no-clips")
    assert code == 0, err
    assert "that are not among those it is known to have been trained on" in text
    assert "measured, as far as is on record, 0 were trained on" in text
    assert "Not on record: signers and contents" in text


def test_a_checkpoint_in_its_run_is_measured_on_the_runs_split_and_one_elsewhere_knows_no_neighbours_file(
    pose_corpus, run, tmp_path, signloom
):
    words = (pose_corpus, "--no-clips", "--json", "--out", tmp_path / "out")
    code, text, err = signloom("evaluate", run / "checkpoint", *words)
    assert code == 0, err
    assert json.loads(text)["overlap"]["new_signers"] is True
    bare = shutil.copytree(run / "checkpoint", tmp_path / "bare")
    (bare / "trained_on.json").unlink()
    shutil.copy(run / "split.json", tmp_path / "split.json")
    assert seen_by(load_checkpoint(bare)) is None


def test_who_is_held_out_is_read_from_the_assignment_not_from_what_the_file_says(pose_corpus, run, tmp_path):
    own = read_split(run / "split.json")
    corpus = read_manifest(pose_corpus)
    assert split_in_use(apply_split(corpus, own))["detail"] == f"held out: {', '.join(own.details['held_out'])}"
    other = next(s for s in corpus.signers if s not in own.details["held_out"])
    edited = replace(own, assignment={r.id: "test" if r.signer == other else "train" for r in corpus})
    assert split_in_use(apply_split(corpus, edited))["detail"] == f"held out: {other}"


def test_scores_that_cannot_be_kept_are_no_reason_not_to_measure(pose_corpus, run, tmp_path, signloom):
    """The runs of somebody else, on a disk that is read-only for us: it ended in an error of the machine."""
    runs = [shutil.copytree(run, tmp_path / name) for name in "ab"]
    for folder in runs:
        (folder / "scores-test.npz").unlink(missing_ok=True)
        (folder / "scores-test.npz").mkdir()  # as good as read-only, and so for root too
    code, text, err = signloom("evaluate", *runs, pose_corpus, "--json")
    assert code == 0, err
    assert len(json.loads(text)["streams"]) == 2
    assert err.count("note: scores are not kept: ") == 2


def test_what_is_not_on_record_is_said(pose_corpus, run, tmp_path, change_manifest, signloom):
    bare = shutil.copytree(run / "checkpoint", tmp_path / "bare")
    (bare / "trained_on.json").unlink()
    other = shutil.copytree(pose_corpus, tmp_path / "other")
    change_manifest(other, row=lambda r: {**r, "id": f"o_{r['id']}", "content": f"o {r['id']}"})
    code, text, err = signloom("evaluate", bare, other, "--split", "all", "--no-clips")
    assert code == 0, err
    assert "What the model was trained on is not on record" in text
    assert "had never seen" not in text


def test_a_run_that_goes_on_from_another_has_learnt_what_that_has(
    pose_corpus, run, tmp_path, signloom, change_manifest
):
    """The second corpus holds none of the first one's clips; the first one's are no new clips to it all the same."""
    other = shutil.copytree(pose_corpus, tmp_path / "other")
    change_manifest(
        other, row=lambda r: {**r, "id": f"o_{r['id']}", "content": f"o {r['id']}", "signer": f"o_{r['signer']}"}
    )
    second = train(other, tmp_path / "second", "--from", run)
    code, _, err = signloom("evaluate", second, pose_corpus, "--split", "all", "--no-clips")
    assert code == 1
    assert "was trained on clips" in err
    # Nor may a run begin from it whose test clips the first of them knew, though the second did not.
    command = ("train", pose_corpus, "--out", tmp_path / "third", "--split", "random", "--from", second, *QUICK)
    code, _, err = signloom(*command)
    assert code == 1
    assert "clips that this run is to be tested on" in err
    assert not (tmp_path / "third" / "checkpoint").exists()


def test_what_came_from_elsewhere_is_not_known(pose_corpus, run, tmp_path):
    checkpoint = load_checkpoint(run)
    seen = seen_by(checkpoint)
    unknown = replace(seen, unknown=("the clips that the weights of 'i3d.pt' learnt from",))
    corpus = apply_split(read_manifest(pose_corpus), read_split(run / "split.json"))
    predictor = load_predictor(run)
    predictor.checkpoint = replace(checkpoint, seen=unknown)
    found = evaluate_run(predictor, corpus, "test")
    assert found.results["overlap"]["known"] == "partly"
    assert found.results["overlap"]["new_signers"] is None
    assert any("i3d.pt" in line for line in found.lines)
    assert not any("never seen" in line for line in found.lines)


def test_from_python_it_is_refused_as_well(pose_corpus, run):
    corpus = read_manifest(pose_corpus)
    everything = replace(corpus, records=tuple(replace(r, split="test") for r in corpus))
    with pytest.raises(LeakError, match="was trained on clips of this corpus"):
        evaluate_run(load_predictor(run), everything, "test")
    assert split_of(apply_split(corpus, read_split(run / "split.json"))).scheme == "signer"


def test_a_run_on_shards_knows_what_it_learnt_from(pose_corpus, tmp_path, signloom):
    assert signloom("shard", pose_corpus, "--out", tmp_path / "shards", "--streams", "pose")[0] == 0
    sharded = train(tmp_path / "shards", tmp_path / "run")
    code, text, err = signloom("evaluate", sharded, pose_corpus, "--no-clips", "--json")
    assert code == 0, err
    found = json.loads(text.splitlines()[-1])["overlap"]
    assert (found["known"], found["trained_on"], found["new_signers"]) == ("all", 0, True)
    code, _, err = signloom("evaluate", sharded / "checkpoint", pose_corpus, "--split", "all", "--no-clips")
    assert code == 1
    assert "was trained on clips" in err
