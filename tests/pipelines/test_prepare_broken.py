"""Every kind of broken file in one corpus: none stops the run, each is named with its reason."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter

import pytest

from signloom.data.failures import read_failures
from signloom.data.manifest import read_manifest


@pytest.mark.slow
def test_broken_files_are_named_and_the_good_ones_prepared(broken_inputs, footage, tmp_path, start):
    good = sorted(footage.rglob("*.mp4"))[:3]
    table = tmp_path / "clips.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "label"])
        for k, path in enumerate([*good, *(b.path for b in broken_inputs)]):
            rows.writerow([str(path), f"L{k % 3}"])
    out = tmp_path / "out"
    command = ("prepare", table, "--out", out, "--option", "keep_missing=yes", "--timeout-s", 60, "--workers", 2)
    code, text, err = start(*command, "--json").finish()
    assert code == 3, err
    assert "Traceback" not in err
    summary = json.loads(text)
    assert summary["clips"] + summary["failed"] == len(broken_inputs) + len(good)
    assert summary["reasons"].get("timeout", 0) == summary["reasons"].get("crashed", 0) == 0

    prepared = {os.path.normpath(r.streams["video"]) for r in read_manifest(out) if "video" in r.streams}
    assert {os.path.normpath(p) for p in good} <= prepared
    failures = {row["file"]: row for row in read_failures(out)}
    broken = [b for b in broken_inputs if not b.ok]
    assert len(broken) >= 30
    wrong = [
        f"{b.kind}: {failures.get(str(b.path), {}).get('reason')}, expected {b.reasons}"
        for b in broken
        if failures.get(str(b.path), {}).get("reason") not in b.reasons
    ]
    assert not wrong, "\n".join(wrong)
    # Odd files that can be read hold a moving square or three loose points: no person.
    odd = Counter(failures[str(b.path)]["reason"] for b in broken_inputs if b.ok and str(b.path) in failures)
    assert set(odd) <= {"no-signer", "unknown-skeleton"}, odd
    assert all(row["message"] and row["id"] for row in failures.values())
