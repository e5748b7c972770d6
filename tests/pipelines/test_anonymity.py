"""How anonymous a corpus is: told beside the untouched one, for footage and for poses, and shown on a page."""

from dataclasses import replace

import pytest

from signloom.data.manifest import Manifest, read_manifest, write_manifest
from signloom.errors import InputError
from signloom.pipelines.anonymise import Names, anonymise_corpus, read_key
from signloom.pipelines.anonymity import anonymity_lines, measure_anonymity, write_anonymity
from signloom.pipelines.augment import augment_corpus, derivation_of
from signloom.streams.anonymise import Anonymisation
from signloom.synthetic.corpus import Settings, film, make_takes
from signloom.transforms.augment import policy_named


@pytest.fixture(scope="module")
def filmed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("filmed")
    film(make_takes(2, 2, 3, 0, Settings(size_px=(160, 120), fps=6.0)), folder / "footage", workers=0, quiet=True)
    footage = read_manifest(folder / "footage")
    records = tuple(replace(r, streams={"video": r.streams["video"], "pose": r.streams["exact_pose"]}) for r in footage)
    write_manifest(Manifest(records, footage.root, footage.meta), footage.root)
    return read_manifest(footage.root)


def measured(filmed, folder, method):
    anonymise_corpus(filmed, folder / "out", Anonymisation(method), key=folder / "key.json", workers=0, quiet=True)
    shared, names = read_manifest(folder / "out"), read_key(folder / "key.json")
    return measure_anonymity(filmed, shared, names, clips=1, quiet=True), shared, names


def test_masked_faces_are_told_of_beside_the_untouched(filmed, tmp_path):
    results, shared, names = measured(filmed, tmp_path, "mask")
    face = results["identity"]["face"]
    assert set(face) == {"untouched", "naive", "adapted"}
    assert face["untouched"]["rank1"]["value"] > face["naive"]["rank1"]["value"] - 1e-9
    assert set(results["identity"]["pose"]) == {"untouched"}
    assert results["kept"]["ssim_outside"] > 0.8
    assert "synthetic" in anonymity_lines(results)[0]
    files = write_anonymity(results, filmed, shared, names, tmp_path / "private", shown=1)
    page = files[-1].read_text()
    assert page.count("<video") == 2
    assert "do not share it" in page
    with pytest.raises(InputError, match="shows the originals"):
        write_anonymity(results, filmed, shared, names, shared.root / "private")


class Knows:
    """Tells faces apart by their mean colour: grey is nobody's."""

    def describe(self, chips):
        return chips.reshape(len(chips), -1, 3).mean(1) / 10


def test_a_verifier_that_knows_nobody_is_asked_of_faces_before_and_after(filmed, tmp_path):
    key = tmp_path / "key.json"
    anonymise_corpus(filmed, tmp_path / "out", Anonymisation("mask"), key=key, workers=0, quiet=True)
    shared, names = read_manifest(tmp_path / "out"), read_key(key)
    results = measure_anonymity(filmed, shared, names, clips=2, verifier=Knows(), quiet=True)
    told = results["verifier"]
    assert told["untouched"]["same_person"]["value"] > told["shared"]["same_person"]["value"]
    assert told["shared"]["same_person"]["value"] == 0
    assert any(line.startswith("verifier, a face before and after") for line in anonymity_lines(results))
    page = write_anonymity(results, filmed, shared, names, tmp_path / "private", shown=1)[-1].read_text()
    assert "verifier that knows nobody" in page


def test_poses_are_told_of_without_footage(filmed, tmp_path):
    results, *_ = measured(filmed, tmp_path, "pose")
    assert set(results["identity"]) == {"pose"}
    assert set(results["identity"]["pose"]) == {"untouched", "naive", "adapted"}
    assert 0 <= results["kept"]["recognition"] <= 1


def test_copies_are_not_asked_about_nor_learnt_from(filmed, tmp_path):
    grown = augment_corpus(
        filmed, tmp_path / "grown", derivation_of(filmed, policy_named("time"), streams=["pose"]), workers=0, quiet=True
    )[0]
    poses = replace(grown, records=tuple(replace(r, streams={"pose": r.streams["pose"]}) for r in grown))
    results, shared, _ = measured(poses, tmp_path, "pose")
    assert len(shared) == 2 * len(filmed)
    assert results["clips"] == len(filmed)


def test_of_copies_alone_it_is_told_which_have_one_parent(filmed, tmp_path):
    how = derivation_of(filmed, policy_named("time"), 2, streams=["pose"])
    copies = augment_corpus(filmed, tmp_path / "grown", how, originals=False, workers=0, quiet=True)[0]
    shared, _ = anonymise_corpus(copies, tmp_path / "out", Anonymisation("pose"), workers=0, quiet=True)
    parents = [r.parent for r in shared]
    assert len(set(parents)) == len(filmed)
    assert not set(parents) & {r.id for r in filmed}


def test_another_corpus_key_is_refused(filmed, tmp_path):
    _, shared, _ = measured(filmed, tmp_path, "pose")
    with pytest.raises(InputError, match="key that was kept"):
        measure_anonymity(filmed, shared, Names(b"other"))
