"""A corpus that can be shared: no frame as filmed where a head is, no name of anybody, the same bytes each time."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from signloom import media
from signloom.data.failures import read_failures
from signloom.data.manifest import Manifest, Record, read_manifest, write_manifest
from signloom.data.skeleton import PARTS, joints_of
from signloom.errors import InputError, NothingPreparedError
from signloom.pipelines import anonymise
from signloom.pipelines.anonymise import anonymise_corpus, names_in_labels, read_key, told_of, write_sheet
from signloom.pipelines.derived import map_derived
from signloom.streams.anonymise import Anonymisation
from signloom.synthetic.corpus import Settings, film, make_takes


@pytest.fixture(scope="module")
def filmed(tmp_path_factory):
    """Two signers, two signs, tiny, with exact poses as the stream pose, and a copy of the first. Do not change it."""
    folder = tmp_path_factory.mktemp("filmed")
    film(make_takes(2, 2, 1, 0, Settings(size_px=(160, 120), fps=8.0)), folder / "footage", workers=0, quiet=True)
    footage = read_manifest(folder / "footage")
    records = [
        replace(
            r,
            streams={"video": r.streams["video"], "pose": r.streams["exact_pose"], "imu": r.streams["imu"]},
            split="train" if r.signer == "signer01" else "test",
            consent=f"signed by {r.signer}",
            extra={"who": r.signer},
        )
        for r in footage
    ]
    records.append(replace(records[0], id="copy-of-signer01", parent=records[0].id))
    write_manifest(
        Manifest(tuple(records), footage.root, {**footage.meta, "notes": ["signer01 was ill"]}), footage.root
    )
    return read_manifest(footage.root)


def shared(manifest, out, how, **more):
    corpus, outcomes = anonymise_corpus(manifest, out, how, workers=more.pop("workers", 0), quiet=True, **more)
    return read_manifest(corpus.root), outcomes


def bytes_below(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def frames_of(file):
    return np.stack([frame for _, frame in media.iter_frames(file)]).astype(int)


@pytest.mark.parametrize("method", ["mask", "blur", "pixelate", "avatar"])
def test_every_head_is_covered_and_the_rest_stays(filmed, tmp_path, method):
    one = filmed.where(lambda r: r.id == filmed.records[0].id)
    corpus, _ = shared(one, tmp_path / "out", Anonymisation(method, hands="cover"), key=tmp_path / "key.json")
    (record,) = corpus
    before, after = (
        frames_of(filmed.root / one.records[0].streams["video"]),
        frames_of(corpus.root / record.streams["video"]),
    )
    assert before.shape == after.shape
    face = joints_of(media.read_pose(filmed.root / one.records[0].streams["pose"])).xy_TJC[:, PARTS["face"]]
    for t in range(len(before)):
        (x0, y0), (x1, y1) = face[t].min(0).astype(int), face[t].max(0).astype(int)
        changed = np.abs(before[t, y0:y1, x0:x1] - after[t, y0:y1, x0:x1]).mean()
        assert changed > 8, (t, changed)
        lower = np.abs(before[t, 100:] - after[t, 100:]).mean()
        assert lower < 5, (t, lower)
    assert sum(v for k, v in told_of(corpus).items() if k != "others") == len(before)


def test_no_name_of_anybody_is_in_anything_that_is_shared(filmed, tmp_path):
    corpus, _ = shared(filmed, tmp_path / "out", Anonymisation("pose"), key=tmp_path / "key.json")
    for name, content in bytes_below(tmp_path / "out").items():
        text = f"{name}\n".encode() + content
        assert b"signer0" not in text, name
        assert str(filmed.root).encode() not in text, name
    key = json.loads((tmp_path / "key.json").read_text())
    assert set(key["signers"]) == {"signer01", "signer02"}
    assert (tmp_path / "key.json").stat().st_mode & 0o077 == 0
    by_name = {r.id: r for r in corpus}
    for record in filmed:
        new = by_name[key["clips"][record.id]]
        assert (new.label, new.split, new.signer) == (record.label, record.split, key["signers"][record.signer])
        assert new.parent == (key["clips"][record.parent] if record.parent else None)
        assert new.consent is None
        assert set(new.streams) == {"pose"}


def test_with_a_key_the_same_bytes_without_one_other_names(filmed, tmp_path):
    how = Anonymisation("skeleton")
    shared(filmed, tmp_path / "a", how, key=tmp_path / "key.json")
    first = bytes_below(tmp_path / "a")
    _, outcomes = shared(filmed, tmp_path / "a", how, key=tmp_path / "key.json")
    assert all(o.reused for o in outcomes)
    shared(filmed, tmp_path / "b", how, key=tmp_path / "key.json", workers=2)
    second = bytes_below(tmp_path / "b")
    media_files = [n for n in first if n.endswith((".mp4", ".pose"))]
    assert media_files == [n for n in second if n.endswith((".mp4", ".pose"))]
    assert all(first[n] == second[n] for n in [*media_files, "manifest.jsonl"])
    other, _ = shared(filmed, tmp_path / "c", how)
    assert not {r.id for r in other} & {r.id for r in read_manifest(tmp_path / "a")}
    assert not (tmp_path / "c" / ".secret.json").exists()
    with pytest.raises(InputError, match="key is not given"):
        shared(filmed, tmp_path / "c", how)


def test_a_run_that_is_killed_goes_on_under_the_names_of_its_key(filmed, tmp_path, monkeypatch):
    out, key = tmp_path / "out", tmp_path / "not" / "there" / "key.json"

    def killed_after(*args, **kwargs):
        map_derived(*args, **kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr(anonymise, "map_derived", killed_after)
    with pytest.raises(KeyboardInterrupt):
        shared(filmed, out, Anonymisation("pose"), key=key)
    made = {p.name: p.stat().st_mtime_ns for p in out.rglob("*.pose")}
    monkeypatch.undo()
    corpus, _ = shared(filmed, out, Anonymisation("pose"), key=key)
    assert made
    assert {p.name: p.stat().st_mtime_ns for p in out.rglob("*.pose")} == made
    assert set(read_key(key).signers.values()) == set(corpus.signers)


def test_what_other_settings_left_is_removed(filmed, tmp_path):
    shared(filmed, tmp_path / "out", Anonymisation("skeleton"), key=tmp_path / "key.json")
    corpus, _ = shared(filmed, tmp_path / "out", Anonymisation("pose"), key=tmp_path / "key.json")
    assert not list((tmp_path / "out").glob("video/*"))
    assert len(list((tmp_path / "out").glob("pose/*"))) == len(corpus)


def test_a_clip_without_anybody_is_left_out_and_the_rest_goes_on(filmed, tmp_path):
    empty = tmp_path / "empty.mp4"
    media.write_video(empty, [np.full((120, 160, 3), 90, np.uint8)] * 6, 8.0)
    records = (filmed.records[0], Record(id="anna", signer="anna", streams={"video": str(empty)}))
    manifest = Manifest(records, filmed.root, filmed.meta)
    corpus, outcomes = shared(manifest, tmp_path / "out", Anonymisation("mask"), key=tmp_path / "key.json")
    assert len(corpus) == 1
    assert [o.reason for o in outcomes if not o.ok] == ["no-face"]
    (row,) = read_failures(tmp_path / "out")
    assert "anna" not in json.dumps(row)
    with pytest.raises(NothingPreparedError, match="no face and no body"):
        shared(Manifest(records[1:], filmed.root), tmp_path / "none", Anonymisation("mask"))


def test_who_does_not_want_to_be_shown_is_not(filmed, tmp_path):
    manifest = replace(filmed, meta={**filmed.meta, "consent": {"signer01": {"display": False}}})
    corpus, _ = shared(manifest, tmp_path / "out", Anonymisation("pose"), key=tmp_path / "key.json")
    assert {r.signer for r in corpus} == {read_key(tmp_path / "key.json").signers["signer02"]}


def test_a_sheet_shows_what_is_shared(filmed, tmp_path):
    corpus, _ = shared(filmed, tmp_path / "out", Anonymisation("skeleton"))
    sheet = write_sheet(corpus, tmp_path / "out")
    assert sheet is not None
    assert media.read_picture(sheet).shape[1] == 6 * 240


def test_what_cannot_be_is_said(filmed, tmp_path):
    with pytest.raises(InputError, match="corpus itself"):
        shared(filmed, filmed.root, Anonymisation("pose"))
    with pytest.raises(InputError, match="keep it elsewhere"):
        shared(filmed, tmp_path / "out", Anonymisation("pose"), key=tmp_path / "out" / "key.json")
    (tmp_path / "key.json").write_text("{}")
    with pytest.raises(InputError, match="no key"):
        shared(filmed, tmp_path / "out", Anonymisation("pose"), key=tmp_path / "key.json")
    with pytest.raises(InputError, match="strength goes with blur"):
        Anonymisation("mask", strength=0.5)
    named = Manifest((Record(id="a", label="hello anna", signer="Anna"),), tmp_path)
    assert names_in_labels(named) == ["hello anna"]
