"""Grids: what they say, who learns from which copies, and how arms are compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from signloom import media
from signloom.data.manifest import Manifest, Record, read_manifest, write_manifest
from signloom.errors import InputError, SignloomWarning
from signloom.pipelines.ablate import compared, read_grid, run_grid
from signloom.pipelines.augment import augment_corpus, derivation_of
from signloom.report.ablation import ablation_lines, write_ablation
from signloom.runtime.atomic import read_json
from signloom.synthetic.corpus import Settings, make_takes
from signloom.transforms.augment import policy_named

QUICK = 'set = ["schedule.steps=2", "model.members=1", "inputs.n_frames=8", "schedule.batch_size=4"]'


@pytest.fixture(scope="module")
def poses(tmp_path_factory):
    """Three signers, two signs, two takes, as exact poses alone. Do not change it."""
    folder = tmp_path_factory.mktemp("poses")
    records = []
    for take in make_takes(2, 3, 2, 0, Settings(size_px=(64, 64), fps=4.0)):
        media.write_pose(folder / f"{take.id}.pose", take.pose())
        about = {"n_frames": len(take.motion), "fps": 4.0, "content": media.content_hash(folder / f"{take.id}.pose")}
        streams = {"pose": str(folder / f"{take.id}.pose")}
        records.append(Record(take.id, take.sign.name, take.signer.name, f"from {take.signer.name}",
                              streams=streams, **about))  # fmt: skip
    made = {"pose": {"extractor": "imported", "components": {"POSE_LANDMARKS": 33}}}
    corpus = Manifest(tuple(records), folder / "corpus", {"name": "made", "synthetic": "no real sign", "streams": made})
    write_manifest(corpus, folder / "corpus")
    return read_manifest(folder / "corpus")


def grid_of(tmp_path, text):
    file = tmp_path / "grid.toml"
    file.write_text(text, encoding="utf-8")
    return read_grid(file)


@pytest.fixture(scope="module")
def found(poses, tmp_path_factory):
    """A grid with published and own arms, run once."""
    folder = tmp_path_factory.mktemp("grid")
    how = derivation_of(poses, policy_named("geometry"), 1, 5, ["pose"])
    augment_corpus(poses, folder / "swapped", how, originals=False, workers=0, quiet=True)
    grid = grid_of(
        folder,
        f"""
corpus = "{poses.root}"
leave_out = "source"
only = ["from signer02", "from signer03"]
seeds = [0, 1]
own = "from signer01"
swapped_one = "swapped"
train_policy = "none"
omit_face = true
arms = ["Baseline", "AF1", "DF1-AF2"]
{QUICK}
""",
    )
    return grid, folder / "out", run_grid(grid, folder / "out", workers=0, quiet=True)


def test_arms_learn_from_copies_of_training_clips_alone(found, poses):
    _, out, results = found
    by_name = {arm["name"]: arm for arm in results["arms"]}
    assert list(by_name) == ["Baseline", "AF1", "DF1-AF2"]
    assert set(by_name["Baseline"]["copies"].values()) == {0}
    # 4 clips a signer; some of them validate, and their copies are not learnt from.
    for fold in ("from signer02", "from signer03"):
        split = read_json(out / "Baseline" / fold / "seed0" / "split.json")["assignment"]
        training = [i for i, s in split.items() if s == "train"]
        own = sum(i.startswith("signer01") for i in training)
        assert by_name["AF1"]["copies"][fold] == own
        assert by_name["DF1-AF2"]["copies"][fold] == 2 * len(training) - own
        grown = read_json(out / "DF1-AF2" / fold / "seed0" / "split.json")["assignment"]
        assert {i: s for i, s in grown.items() if i in split} == split  # the same folds for all
    corpus = read_manifest(out / "corpora" / "AF1 affine")
    assert {r.source for r in corpus} == {"from signer01"}
    assert all(r.augmented for r in corpus)


def test_each_arm_is_compared_with_the_first(found):
    _, _, results = found
    assert results["split"]["scheme"] == "leave-one-source-out"
    assert "difference" not in results["arms"][0]
    for arm in results["arms"][1:]:
        own = arm["difference"]
        assert own["over_clips"]["n_clips"] == 8
        assert own["over_units"]["n_groups"] == 2
        assert set(own["over_seeds"]["per_seed"]) == {"0", "1"}
        mean = arm["mean"]["top1"] - results["arms"][0]["mean"]["top1"]
        assert own["over_units"]["value"] == pytest.approx(mean)
    for arm in results["arms"]:
        assert 0 <= arm["omit_face"]["top1"] <= 1
        assert arm["omit_face"]["over_clips"]["n_clips"] == 8


def test_a_grid_that_is_run_again_trains_nothing_and_says_the_same(found):
    grid, out, results = found
    runs = sorted(out.rglob("model.safetensors"))
    before = [f.stat().st_mtime_ns for f in runs]
    again = run_grid(grid, out, workers=0, quiet=True)
    assert [f.stat().st_mtime_ns for f in runs] == before
    assert {k: v for k, v in again.items() if k != "created"} == {k: v for k, v in results.items() if k != "created"}


def test_the_table_is_text_page_and_picture(found, tmp_path):
    _, _, results = found
    text = "\n".join(ablation_lines(results))
    assert "leave-one-source-out, test: 2 folds, 2 seeds" in text
    assert "SYNTHETIC: no real sign" in text
    assert "With the face covered" in text
    page, picture = write_ablation(results, tmp_path)
    html = page.read_text(encoding="utf-8")
    assert all(arm["name"] in html for arm in results["arms"])
    assert media.read_picture(picture).shape[0] > 200


def test_differences_are_worked_by_hand():
    """Two folds, two seeds, two clips each: the mean gain is 3 of 8, over clips, folds and seeds."""

    def run(fold, seed, *hits):
        return {"fold": fold, "seed": seed, "hits": {f"{fold}{k}": h for k, h in enumerate(hits)}}

    base = [run("a", 0, False, True), run("a", 1, False, True), run("b", 0, False, False), run("b", 1, True, False)]
    ours = [run("a", 0, True, True), run("a", 1, True, False), run("b", 0, True, False), run("b", 1, True, True)]
    units = {f"{fold}{k}": fold for fold in "ab" for k in range(2)}
    own = compared(ours, base, units)
    assert own["over_clips"]["value"] == pytest.approx(3 / 8)
    assert own["over_units"]["value"] == pytest.approx(3 / 8)
    # Seeds: (1/2 + 1/2)/2 = .5 and (0 + 1/2)/2 = .25; the error is .125.
    assert own["over_seeds"]["per_seed"] == {"0": pytest.approx(0.5), "1": pytest.approx(0.25)}
    assert own["over_seeds"]["errors"] == pytest.approx(0.375 / 0.125)
    assert own["over_clips"]["low"] <= 3 / 8 <= own["over_clips"]["high"]


def test_few_clips_of_signers_that_are_named(poses, tmp_path):
    grid = grid_of(
        tmp_path,
        f"""
corpus = "{poses.root}"
train_on = ["signer01", "signer02"]
only = ["signer03"]
few = 1
val = 0.0
seeds = [0]
train_policy = "none"
arms = ["Baseline", "time"]
{QUICK}
[[arm]]
name = "own"
train_policy = "recipe"
""",
    )
    results = run_grid(grid, tmp_path / "out", workers=0, quiet=True)
    split = read_json(tmp_path / "out/Baseline/signer03/seed0/split.json")["assignment"]
    counts = {s: sum(v == s for v in split.values()) for s in set(split.values())}
    assert counts == {"train": 4, "test": 4, "unused": 4}
    assert results["split"]["scheme"] == "signer-disjoint"
    assert results["arms"][1]["copies"] == {"signer03": 4}
    assert results["arms"][1]["difference"]["over_seeds"]["errors"] is None
    config = read_json(tmp_path / "out/own/signer03/seed0/checkpoint/config.json")
    assert config["recipe"]["augment"]["mirror"] == 0.15  # the recipe's own, where the others have none


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "says which corpus"),
        ("corpus = 'x'\ncolour = 1", "there is no 'colour'"),
        ("corpus = 'x'", "compares at least two arms; it has Baseline"),
        ("corpus = 'x'\narms = ['Baseline', 'AF1']", "arm AF1 needs own"),
        ("corpus = 'x'\narms = ['Baseline', 'DF2']", "arm DF2 needs swapped_all"),
        ("corpus = 'x'\narms = ['Baseline', 'XF2']", "arm 'XF2' is none of Baseline, AF1"),
        ("corpus = 'x'\narms = ['Baseline', 'Baseline']", "two arms 'Baseline'"),
        ("corpus = 'x'\nleave_out = 'take'", "expected signer or source"),
        ("corpus = 'x'\nseeds = [0, 0]", "a seed stands twice"),
        ("corpus = 'x'\nseeds = 3", "'seeds' is 3, expected a list"),
        ("corpus = 'x'\nrecipe = 'paint'", "names no signs"),
        ("corpus = 'x'\n[[arm]]\npolicy = 'time'", "it has no name"),
        ("corpus = 'x'\n[[arm]]\nname = 'a'\npolicy = 'nothing'", "neither a file nor one of none"),
        ("corpus = 'x'\nrecipe = 'imu'\ntrain_policy = 'time'", "takes no policy"),
    ],
)
def test_a_grid_that_cannot_be_run_is_told_apart(text, message, tmp_path):
    with pytest.raises(InputError, match=message):
        grid_of(tmp_path, text)


def test_copies_made_otherwise_or_of_others_are_refused(poses, tmp_path):
    how = derivation_of(poses, policy_named("geometry"), 1, 5, ["pose"])
    made, _ = augment_corpus(poses, tmp_path / "swapped", how, originals=False, workers=0, quiet=True)
    text = f'corpus = "{poses.root}"\nswapped_one = "swapped"\narms = ["Baseline", "DF1"]\nseeds = [0]\n{QUICK}'
    other = replace(made, meta={**made.meta, "streams": {"pose": {"extractor": "another"}}})
    write_manifest(other, tmp_path / "swapped")
    with pytest.raises(InputError, match="was made otherwise"):
        run_grid(grid_of(tmp_path, text), tmp_path / "out", workers=0, quiet=True)
    write_manifest(replace(made, records=(replace(made.records[0], parent="nobody"),)), tmp_path / "swapped")
    with pytest.raises(InputError, match="was made of 'nobody', which is no clip"):
        run_grid(grid_of(tmp_path, text), tmp_path / "out", workers=0, quiet=True)


def test_copies_of_who_is_not_learnt_from_are_left_out(poses, tmp_path):
    how = derivation_of(poses, policy_named("geometry"), 1, 5, ["pose"])
    augment_corpus(poses, tmp_path / "swapped", how, originals=False, workers=0, quiet=True)
    asked = replace(poses, meta={**poses.meta, "consent": {"signer01": {"training": False}}})
    write_manifest(replace(asked, root=tmp_path / "corpus"), tmp_path / "corpus")
    text = f'corpus = "corpus"\nswapped_one = "swapped"\narms = ["Baseline", "DF1"]\nseeds = [0]\nval = 0.0\n{QUICK}'
    with pytest.warns(SignloomWarning, match="signer01 did not allow training"):
        results = run_grid(grid_of(tmp_path, text), tmp_path / "out", workers=0, quiet=True)
    assert results["folds"] == ["signer02", "signer03"]
    assert results["arms"][1]["copies"] == {"signer02": 4, "signer03": 4}


def test_hits_are_plain_numbers(found):
    """The document is JSON as it is."""
    import json

    _, _, results = found
    assert json.loads(json.dumps(results, allow_nan=False))["kind"] == "ablation"
    assert np.isfinite(results["arms"][0]["mean"]["top1"])
