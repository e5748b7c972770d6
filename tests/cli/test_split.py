"""The verb: split files on disk, a table, and a refusal when a split leaks."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from signloom.cli.main import main
from signloom.data.manifest import Manifest, Record, write_manifest
from signloom.data.splits import read_split


@pytest.fixture
def corpus(tmp_path):
    records = tuple(
        Record(id=f"s{s}_L{k}_{t}", label=f"L{k}", signer=f"s{s}") for s in range(6) for k in range(3) for t in range(4)
    )
    manifest = Manifest(records, tmp_path)
    write_manifest(manifest, tmp_path / "corpus")
    return manifest, tmp_path / "corpus"


def test_the_default_is_by_signer_and_prints_a_table(corpus, tmp_path, capsys):
    out = tmp_path / "split.json"
    assert main(["split", str(corpus[1]), "--out", str(out), "--seed", "3"]) == 0
    split = read_split(out)
    assert (split.scheme, split.seed) == ("signer", 3)
    assert split.corpus_hash == corpus[0].corpus_hash()
    assert set(split.assignment) == {r.id for r in corpus[0]}
    text = capsys.readouterr().out
    assert "no leaks; wrote" in text
    test_row = next(line for line in text.splitlines() if " test " in line).split()
    assert test_row[1:4] == ["12", "1", "3"]  # clips, signers, labels
    assert test_row[4] in split.details["held_out"]


def test_the_same_command_gives_the_same_bytes(corpus, tmp_path):
    for name in ("a.json", "b.json"):
        main(["split", str(corpus[1]), "--out", str(tmp_path / name), "--scheme", "random"])
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_a_file_per_fold(corpus, tmp_path, capsys):
    out = tmp_path / "folds"
    assert main(["split", str(corpus[1]), "--scheme", "leave-one-signer-out", "--out", str(out), "--json"]) == 0
    assert [p.name for p in sorted(out.iterdir())] == [f"{i:02d}-s{i}.json" for i in range(6)]
    summary = json.loads(capsys.readouterr().out)
    assert [row["held_out"] for row in summary] == [[f"s{i}"] for i in range(6)]
    assert all(row["splits"]["test"]["clips"] == 12 for row in summary)
    assert all(row["labels_missing_in_train"] == [] for row in summary)


def test_given_lists(corpus, tmp_path, capsys):
    ids = [r.id for r in corpus[0]]
    (tmp_path / "train.txt").write_text("\n".join(ids[:40]))
    (tmp_path / "test.txt").write_text("\n".join(ids[40:60]))
    lists = [f"train={tmp_path / 'train.txt'}", f"test={tmp_path / 'test.txt'}"]
    out = tmp_path / "split.json"
    assert main(["split", str(corpus[1]), "--scheme", "given", "--list", *lists, "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert "unused" in text
    assert "no validation clips" in text
    assert "the same signer in train and test, which this scheme does not forbid" in text
    assert main(["split", str(corpus[1]), "--scheme", "given", "--list", "train", "--out", str(out)]) == 2


def test_a_leaking_split_is_refused_and_nothing_is_written(corpus, tmp_path, capsys):
    manifest, folder = corpus
    records = list(manifest.records)
    records[0] = replace(records[0], content="same", split="train")
    records[1] = replace(records[1], content="same", split="test")
    write_manifest(replace(manifest, records=tuple(records)), folder)
    out = tmp_path / "split.json"
    command = ["split", str(folder), "--scheme", "given", "--out", str(out)]
    assert main(command) == 1
    error = capsys.readouterr().err
    assert f"'{records[0].id}' (train) and '{records[1].id}' (test) have the same content" in error
    assert not out.exists()
    assert main([*command, "--allow", "content"]) == 0
    assert main(["split", str(folder), "--check", str(out)]) == 1
    assert main(["split", str(folder), "--check", str(out), "--allow", "content"]) == 0


def test_bad_input_is_told_with_the_next_step(corpus, tmp_path, capsys):
    assert main(["split", str(corpus[1])]) == 2
    assert "--out FILE" in capsys.readouterr().err
    assert main(["split", str(corpus[1]), "--out", str(tmp_path)]) == 2
    assert "split.json" in capsys.readouterr().err
    assert main(["split", str(corpus[1]), "--held-out", "zoe", "--out", str(tmp_path / "s.json")]) == 2
    assert "it has s0, s1" in capsys.readouterr().err
    assert main(["split", str(tmp_path / "nothing"), "--out", str(tmp_path / "s.json")]) == 2
