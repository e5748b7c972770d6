"""Training, evaluation, cross-validation and use of a recogniser: what they open and write, and that they agree."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

from signloom import media
from signloom.cli import main as cli
from signloom.data.manifest import read_manifest
from signloom.data.splits import choose_split, read_split, write_split
from signloom.pipelines.predict import predict_files
from signloom.runtime.atomic import write_json
from signloom.sources import read_source
from signloom.tasks import load_predictor
from signloom.tasks.recognise.evaluate import score_corpus
from signloom.training.checkpoint import load_checkpoint

QUICK = ("--epochs", 1, "--batch-size", 8)


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    """A run folder trained (a little) on real MediaPipe poses."""
    run = tmp_path_factory.mktemp("run")
    assert cli.main(["train", str(corpus.folder), "--out", str(run), *map(str, QUICK)]) == 0
    return run


@pytest.fixture(scope="module")
def trained_on_poses(pose_corpus, tmp_path_factory):
    """A run folder trained (a little) on imported poses."""
    run = tmp_path_factory.mktemp("pose run")
    assert cli.main(["train", str(pose_corpus), "--out", str(run), *map(str, QUICK)]) == 0
    return run


# --- predict ----------------------------------------------------------------------------------------------------


def test_predict_on_raw_clips_agrees_with_evaluation_on_the_prepared_corpus(corpus, footage, trained, tmp_path):
    recogniser = load_predictor(trained)
    raw = sorted(footage.rglob("*.mp4"))
    predicted, outcomes = predict_files(recogniser, raw, tmp_path, workers=1, quiet=True)
    assert all(o.ok for o in outcomes)
    prepared = score_corpus(recogniser, corpus.manifest)
    assert len({tuple(np.round(p, 4)) for p in prepared.probabilities_NK}) > 1  # clips do get different answers
    by_file = {r.streams["video"]: p for r, p in zip(prepared.records, prepared.probabilities_NK)}
    for record, p_K in zip(predicted.records, predicted.probabilities_NK):
        np.testing.assert_allclose(p_K, by_file[record.streams["video"]], atol=1e-5, rtol=0)
    alone, _ = predict_files(recogniser, raw[2:3], tmp_path / "alone", workers=0, quiet=True)
    np.testing.assert_allclose(alone.probabilities_NK[0], predicted.probabilities_NK[2], atol=1e-5, rtol=0)


def test_evaluate_and_predict_print_the_same_answers(corpus, footage, trained, tmp_path, signloom):
    out = tmp_path / "evaluation"
    code, _, err = signloom("evaluate", trained, corpus.folder, "--out", out, "--no-clips", "--json")
    assert code == 0, err
    told = {c["id"]: c for c in json.loads((out / "evaluation-test.json").read_text())["clips"]}
    [signer] = {r.signer for r in corpus.manifest if r.id in told}
    code, text, _ = signloom("predict", trained, footage / signer, "--json", "--cache", tmp_path / "cache")
    assert code == 0
    rows = [json.loads(line) for line in text.splitlines()]
    assert len(rows) == len(told) == 2
    for row in rows:
        source = next(r for r in corpus.manifest if r.streams["video"] == row["file"])
        clip = told[source.id]
        assert row["label"] == clip["predicted"]
        assert row["confidence"] == pytest.approx(clip["confidence"], abs=1.1e-5)
        assert dict(row["top"]) == pytest.approx(dict(clip["top"]), abs=1.1e-5)
        assert sum(p for _, p in row["top"]) == pytest.approx(1, abs=1e-5)


def test_predict_on_pose_files_agrees_too(pose_corpus, pose_footage, trained_on_poses, signloom, tmp_path):
    code, text, err = signloom("predict", trained_on_poses, f"{pose_footage}/signer0[12]/*/*.pose", "--json",
                               "--workers", 1)  # fmt: skip
    assert code == 0, err
    rows = {row["file"]: dict(row["top"]) for row in map(json.loads, text.splitlines())}
    assert len(rows) == 18
    scores = score_corpus(load_predictor(trained_on_poses), read_manifest(pose_corpus))
    source = {r.id: r for r in read_source(pose_footage, pattern="{signer}/{label}/{take}.pose")}
    compared = 0
    for record, p_K in zip(scores.records, scores.probabilities_NK):
        file = str(pose_footage / source[record.id].streams["pose"])
        if file in rows:
            compared += 1
            assert rows[file] == pytest.approx(dict(zip(scores.labels, map(float, p_K))), abs=1e-5)
    assert compared == 18


def test_predict_names_what_it_cannot_read_and_goes_on(pose_footage, trained_on_poses, tmp_path, signloom):
    good = next(pose_footage.rglob("*.pose"))
    (tmp_path / "broken.mp4").write_text("not a clip")
    cut = tmp_path / "cut.pose"
    cut.write_bytes(good.read_bytes()[:-40])
    code, text, _ = signloom("predict", trained_on_poses, good, tmp_path, "--json", "--workers", 1)
    assert code == 3
    rows = {row["file"]: row for row in map(json.loads, text.splitlines())}
    assert rows[str(good)]["label"] in ("ADIM", "BALU", "CORO", *load_checkpoint(trained_on_poses).labels)
    assert rows[str(tmp_path / "broken.mp4")]["reason"] == "not-media"
    assert rows[str(cut)]["reason"] == "truncated"
    assert "broken.mp4" in rows[str(tmp_path / "broken.mp4")]["error"]
    code, _, err = signloom("predict", trained_on_poses, tmp_path / "broken.mp4", "--workers", 1)
    assert code == 1  # nothing could be read at all
    assert "not read (not-media)" in err


def test_predict_of_what_is_not_there_says_so(trained_on_poses, tmp_path, signloom):
    for nothing in (tmp_path / "no.mp4", tmp_path, tmp_path / "*.mp4"):
        code, text, err = signloom("predict", trained_on_poses, nothing)
        assert code == 2
        assert text == ""
        assert f"'{nothing}': no such file" in err


def test_predict_refuses_poses_of_another_kind(pose_footage, trained_on_poses, tmp_path, signloom):
    pose = media.read_pose(next(pose_footage.rglob("*.pose")))
    media.write_pose(tmp_path / "body.pose", pose.get_components(["POSE_LANDMARKS"]))
    code, _, err = signloom("predict", trained_on_poses, tmp_path / "body.pose", "--workers", 1)
    assert code == 1
    assert "the model was trained on" in err
    assert "FACE_LANDMARKS" in err


# --- train and evaluate -----------------------------------------------------------------------------------------


def copy_of(pose_corpus, tmp_path):
    return shutil.copytree(pose_corpus, tmp_path / "corpus")


def test_training_never_opens_test_clips_and_evaluation_names_the_one_it_cannot(pose_corpus, tmp_path, signloom):
    folder = copy_of(pose_corpus, tmp_path)
    manifest, _ = choose_split(read_manifest(folder), "signer")
    held_out = [folder / r.streams["pose"] for r in manifest if r.split == "test"]
    assert held_out
    for path in held_out:
        path.unlink()
    code, text, err = signloom("train", folder, "--out", tmp_path / "run", *QUICK, "--json")
    assert code == 0, err
    summary = json.loads(text)
    assert summary["train"] + summary["val"] == len(manifest) - len(held_out)
    assert summary["split"] == "signer-disjoint"
    code, _, err = signloom("evaluate", tmp_path / "run", folder)
    assert code == 1
    assert held_out[0].name in err


def test_test_labels_do_not_reach_training(pose_corpus, tmp_path, signloom, change_manifest):
    _, split = choose_split(read_manifest(pose_corpus), "signer")

    def split_in(row):
        return {**row, "split": split.assignment[row["id"]]}

    def relabelled(row):
        row = split_in(row)
        return {**row, "label": "UNHEARD"} if row["split"] == "test" else row

    for name, change in (("a", split_in), ("b", relabelled)):
        change_manifest(shutil.copytree(pose_corpus, tmp_path / name), row=change)
        command = ("train", tmp_path / name, "--out", tmp_path / f"run {name}", "--split", "given", *QUICK)
        code, _, err = signloom(*command)
        assert code == 0, err
    weights = [(tmp_path / f"run {name}" / "checkpoint" / "model.safetensors").read_bytes() for name in "ab"]
    assert weights[0] == weights[1]
    code, text, err = signloom("evaluate", tmp_path / "run b", tmp_path / "b", "--no-clips", "--json")
    assert code == 0, err
    said = json.loads(text)
    assert said["metrics"]["top1"]["value"] == 0  # labels never learnt count as missed
    assert said["metrics"]["nll"] is None
    assert said["unknown"] == {"n_clips": said["metrics"]["n_clips"], "labels": ["UNHEARD"]}


def test_a_leaking_split_file_is_refused(pose_corpus, tmp_path, signloom):
    manifest, split = choose_split(read_manifest(pose_corpus), "signer")
    moved = next(r for r in manifest if r.split == "test")
    file = tmp_path / "split.json"
    write_split(replace(split, assignment={**split.assignment, moved.id: "train"}), file)
    code, _, err = signloom("train", pose_corpus, "--out", tmp_path / "run", "--split", file, *QUICK)
    assert code == 1
    assert "the split leaks" in err
    assert f"the same signer '{moved.signer}'" in err
    assert "signloom split" in err
    assert not (tmp_path / "run" / "checkpoint").exists()


def test_the_same_content_on_both_sides_is_refused(pose_corpus, tmp_path, signloom, change_manifest):
    folder = copy_of(pose_corpus, tmp_path)
    _, split = choose_split(read_manifest(folder), "signer")
    change_manifest(folder, row=lambda r: {**r, "content": "same", "split": split.assignment[r["id"]]})
    code, _, err = signloom("train", folder, "--out", tmp_path / "run", "--split", "given", *QUICK)
    assert code == 1
    assert "content" in err


def test_evaluation_figures_follow_from_its_list_of_clips(pose_corpus, trained_on_poses, tmp_path, signloom):
    code, text, err = signloom("evaluate", trained_on_poses, pose_corpus, "--out", tmp_path, "--json")
    assert code == 0, err
    results = json.loads((tmp_path / "evaluation-test.json").read_text())
    assert json.loads(text)["metrics"] == results["metrics"]
    check_figures(results)
    held_out = read_split(trained_on_poses / "split.json").details["held_out"]
    assert {c["signer"] for c in results["clips"]} == set(held_out)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "http://" not in page
    assert "https://" not in page
    assert "<html" in page


def check_figures(results):
    clips = results["clips"]
    right = [c["predicted"] == c["label"] for c in clips]
    metrics = results["metrics"]
    assert metrics["n_clips"] == len(clips)
    assert metrics["top1"]["value"] == pytest.approx(np.mean(right))
    if "top5" in metrics:  # left out where there are fewer than five labels
        assert metrics["top5"]["value"] == pytest.approx(np.mean([c["label"] in dict(c["top"]) for c in clips]))
    per_class, f1 = defaultdict(list), []
    for clip, ok in zip(clips, right):
        per_class[clip["label"]].append(ok)
    assert metrics["top1_per_class"]["value"] == pytest.approx(np.mean([np.mean(v) for v in per_class.values()]))
    for label in per_class:
        hit = sum(c["label"] == c["predicted"] == label for c in clips)
        f1.append(2 * hit / (sum(c["label"] == label for c in clips) + sum(c["predicted"] == label for c in clips)))
    assert metrics["macro_f1"]["value"] == pytest.approx(np.mean(f1))
    counts = np.zeros((len(results["labels"]),) * 2, int)
    for clip in clips:
        counts[results["labels"].index(clip["label"]), results["labels"].index(clip["predicted"])] += 1
    assert results["confusion"] == counts.tolist()
    for row in results["per_signer"]:
        own = [ok for c, ok in zip(clips, right) if c["signer"] == row["signer"]]
        assert row["n_clips"] == len(own)
        assert row["top1"]["value"] == pytest.approx(np.mean(own))


# --- cross-validation -------------------------------------------------------------------------------------------


def test_cross_validation_measures_every_fold_and_seed_and_reuses_them(pose_corpus, tmp_path, signloom):
    out = tmp_path / "loso"
    command = ("crossval", pose_corpus, "--out", out, "--epochs", 1, "--seeds", 0, 1, "--json")
    code, text, err = signloom(*command)
    assert code == 0, err
    summary = json.loads(text)
    signers = read_manifest(pose_corpus).signers
    assert [(r["held_out"], r["seed"]) for r in summary["runs"]] == [(s, seed) for s in signers for seed in (0, 1)]
    results = json.loads((out / "evaluation.json").read_text())
    ids = [r.id for r in read_manifest(pose_corpus)]
    assert sorted(c["id"] for c in results["clips"]) == sorted(ids)  # every clip is tested once
    pooled = []
    for run in summary["runs"]:
        own = json.loads((out / run["held_out"] / f"seed{run['seed']}" / "evaluation.json").read_text())
        check_figures(own)
        assert {c["signer"] for c in own["clips"]} == {run["held_out"]}
        assert run["top1"] == own["metrics"]["top1"]["value"]
        assert run["macro_f1"] == own["metrics"]["macro_f1"]["value"]
        pooled += [c["predicted"] == c["label"] for c in own["clips"]]
    assert results["metrics"]["top1"]["value"] == pytest.approx(np.mean(pooled))
    assert results["metrics"]["n_clips"] == len(ids)  # not twice as many for two seeds
    assert results["answers_per_clip"] == 2
    assert sum(map(sum, results["confusion"])) == 2 * len(ids)
    assert summary["cross_validation"]["top1"]["value"] == pytest.approx(np.mean([r["top1"] for r in summary["runs"]]))
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "http://" not in page

    weights = sorted(out.rglob("model.safetensors"))
    assert len(weights) == 8
    before = [p.stat().st_mtime_ns for p in weights]
    code, text, _ = signloom(*command)
    assert code == 0
    assert json.loads(text)["runs"] == summary["runs"]
    assert [p.stat().st_mtime_ns for p in weights] == before  # nothing was trained again

    code, _, err = signloom("crossval", pose_corpus, "--out", out, "--only", "nobody")
    assert code == 2
    assert "no fold nobody; there are signer01" in err


def test_k_folds_of_clips(pose_corpus, tmp_path, signloom):
    code, text, err = signloom("crossval", pose_corpus, "--out", tmp_path, "--folds", "k-fold", "--k", 2,
                               "--seeds", 0, "--epochs", 1, "--json", "--no-clips")  # fmt: skip
    assert code == 0, err
    summary = json.loads(text)
    assert [r["held_out"] for r in summary["runs"]] == ["fold-1", "fold-2"]
    assert sum(r["n_clips"] for r in summary["runs"]) == 36


# --- errors: what, where, got against wanted, and the way out ---------------------------------------------------


def test_no_corpus(tmp_path, signloom):
    for verb in ("train", "crossval"):
        code, _, err = signloom(verb, tmp_path / "nothing", "--out", tmp_path / "run")
        assert code == 2
        assert f"no corpus at '{tmp_path / 'nothing'}'" in err
        assert "signloom prepare" in err


def test_a_corpus_without_the_stream_that_the_recipe_reads(pose_corpus, tmp_path, signloom, change_manifest):
    folder = copy_of(pose_corpus, tmp_path)
    change_manifest(folder, header=lambda h: {**h, "streams": {"frames": {"extractor": "frames-h264"}}})
    code, _, err = signloom("train", folder, "--out", tmp_path / "run", *QUICK)
    assert code == 2
    assert "no prepared stream 'pose'; it has frames" in err
    assert "signloom prepare … --streams pose" in err


def test_a_clip_without_the_stream(pose_corpus, tmp_path, signloom, change_manifest):
    folder = copy_of(pose_corpus, tmp_path)
    change_manifest(folder, row=lambda r: {**r, "streams": {"frames": "x.mp4"}})
    code, _, err = signloom("train", folder, "--out", tmp_path / "run", "--split", "random", *QUICK)
    assert code == 2
    assert "recipe 'pose' needs stream 'pose'; it has frames" in err


def test_an_unknown_recipe(pose_corpus, tmp_path, signloom):
    code, _, err = signloom("train", pose_corpus, "--out", tmp_path / "run", "--recipe", "psoe")
    assert code == 2
    assert "unknown recipe 'psoe'" in err
    assert "pose-large" in err


def test_a_pattern_that_fits_nothing(footage, tmp_path, signloom):
    code, _, err = signloom("prepare", footage, "--pattern", "{label}/{take}.mp4", "--out", tmp_path / "o")
    assert code == 2
    assert "fits none of the 6 files" in err
    assert "--pattern '{signer}/{label}/{take}.mp4'" in err
    assert not (tmp_path / "o").exists()


def test_a_checkpoint_of_another_estimator(corpus, trained, tmp_path, signloom, change_manifest):
    folder = shutil.copytree(corpus.folder, tmp_path / "corpus")

    def other(header):
        pose = {**header["streams"]["pose"], "face": "mesh", "models": "0123456789abcdef"}
        return {**header, "streams": {**header["streams"], "pose": pose}}

    change_manifest(folder, header=other)
    code, _, err = signloom("evaluate", trained, folder)
    assert code == 1
    assert "face: got 'mesh', expected 'contours'" in err
    assert "models: got '0123456789abcdef'" in err
    assert f"signloom train {folder}" in err
    assert "repare the corpus again" in err


def test_a_checkpoint_that_this_machine_cannot_prepare_for(trained, footage, tmp_path, signloom):
    run = shutil.copytree(trained, tmp_path / "run")
    file = run / "checkpoint" / "config.json"
    config = json.loads(file.read_text())
    config["streams"]["pose"]["models"] = "0123456789abcdef"
    write_json(file, config)
    code, _, err = signloom("predict", run, next(footage.rglob("*.mp4")))
    assert code == 1
    assert "expected '0123456789abcdef'" in err
    assert "mediapipe==" in err


def test_a_run_folder_is_not_used_for_two_different_runs(pose_corpus, trained_on_poses, tmp_path, signloom):
    run = shutil.copytree(trained_on_poses, tmp_path / "run")
    code, _, err = signloom("train", pose_corpus, "--out", run, "--epochs", 2)
    assert code == 2
    others = "another recipe, corpus, split, seed or version of signloom"
    assert f"'{run}' holds a finished run with {others}; choose another --out" in err
    before = (run / "checkpoint" / "model.safetensors").stat().st_mtime_ns
    code, _, err = signloom("train", pose_corpus, "--out", run, *QUICK)
    assert code == 0, err
    assert (run / "checkpoint" / "model.safetensors").stat().st_mtime_ns == before  # loaded, not repeated


def test_another_split_is_refused_and_the_runs_own_stays(pose_corpus, trained_on_poses, tmp_path, signloom):
    run = shutil.copytree(trained_on_poses, tmp_path / "run")
    before = (run / "split.json").read_bytes()
    code, _, err = signloom("train", pose_corpus, "--out", run, "--split", "random", *QUICK)
    assert code == 2
    assert "choose another --out" in err
    assert (run / "split.json").read_bytes() == before  # evaluation must go on testing what this model never saw


def test_clips_without_labels_or_with_only_one(pose_corpus, tmp_path, signloom, change_manifest):
    folder = copy_of(pose_corpus, tmp_path)
    _, split = choose_split(read_manifest(folder), "signer")
    first = next(i for i, where in split.assignment.items() if where == "train")
    change_manifest(
        folder,
        row=lambda r: {**r, "split": split.assignment[r["id"]], "label": None if r["id"] == first else r["label"]},
    )
    code, _, err = signloom("train", folder, "--out", tmp_path / "run", *QUICK)
    assert code == 2
    assert "1 training clips" in err
    assert first in err
    change_manifest(folder, row=lambda r: {**r, "label": "ONLY"})
    code, _, err = signloom("train", folder, "--out", tmp_path / "run", *QUICK)
    assert code == 2
    assert "at least two labels" in err
    assert "ONLY" in err


def test_no_signers_to_split_by(pose_corpus, tmp_path, signloom, change_manifest):
    folder = copy_of(pose_corpus, tmp_path)
    change_manifest(folder, row=lambda r: {**r, "signer": None})
    for command in (("train", folder, "--split", "signer"), ("crossval", folder)):
        code, _, err = signloom(*command, "--out", tmp_path / "run", "--epochs", 1)
        assert code == 2
        assert "signer" in err
        assert "pattern" in err or "--split" in err or "scheme" in err


def test_an_unknown_split(pose_corpus, tmp_path, signloom):
    code, _, err = signloom("train", pose_corpus, "--out", tmp_path / "run", "--split", "splits/no.json")
    assert code == 2
    assert "'splits/no.json' is neither a file nor one of auto, signer, source, given, random" in err


def test_no_checkpoint(pose_corpus, footage, tmp_path, signloom):
    for verb, what in (("evaluate", pose_corpus), ("predict", footage)):
        code, _, err = signloom(verb, tmp_path, what)
        assert code == 1
        assert "no config.json" in err
        assert "signloom train --out" in err
