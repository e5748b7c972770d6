"""Killed at random moments, `signloom prepare` ends with the very bytes of a run that nothing disturbed."""

from __future__ import annotations

import random
import shutil
import time

import pytest

from signloom.pipelines.prepare import prepare_corpus


def lines_in(journal) -> int:
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


@pytest.mark.slow
@pytest.mark.parametrize("group", [True, False], ids=["with its workers", "alone"])
def test_killed_anywhere_it_ends_the_same(corpus, footage, tmp_path, start, hashes_of, group):
    out = tmp_path / "out"
    command = ("prepare", footage, "--pattern", "{signer}/{label}/{take}.mp4", "--out", out, "--workers", 2,
               "--streams", "pose", "frames", "flow", "--shorter-px", 96)  # fmt: skip
    rng = random.Random(group)
    n = len(corpus.manifest)
    for done in (1, n - 1):  # so many clips are finished when it dies, a random moment later
        process = start(*command)
        while process.running() and lines_in(out / "journal.jsonl") < done:
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 0.6))
        process.kill(group=group)
    assert not (out / "manifest.jsonl").exists() or lines_in(out / "journal.jsonl") == n
    code, _, err = start(*command).finish()
    assert code == 0, err
    assert hashes_of(out, "journal.jsonl") == hashes_of(corpus.folder, "journal.jsonl")
    assert lines_in(out / "journal.jsonl") == n
    deadline = time.monotonic() + 20  # workers whose parent was killed finish their clip before they notice
    while list(out.rglob(".tmp-*")) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not list(out.rglob(".tmp-*"))


def test_killed_between_the_last_clip_and_the_manifest(corpus, footage, tmp_path, signloom, hashes_of):
    out = shutil.copytree(corpus.folder, tmp_path / "out")
    (out / "manifest.jsonl").unlink()
    (out / "failures.jsonl").unlink()
    (out / ".tmp-abc01234.jsonl").write_text("half a manifest")
    code, _, err = signloom("train", out, "--out", tmp_path / "run")
    assert code == 2
    assert "an interrupted prepare has none" in err
    prepare_corpus(corpus.source, out, corpus.preparation, workers=1, quiet=True)
    assert hashes_of(out) == hashes_of(corpus.folder)
