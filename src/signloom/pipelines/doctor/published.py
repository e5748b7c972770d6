"""A corpus beside the list that was published of it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from signloom.data.manifest import Manifest
from signloom.errors import InputError
from signloom.runtime.text import lines_of
from signloom.sources.csv_table import read_csv
from signloom.sources.spelling import nfc
from signloom.sources.tables import read_text
from signloom.sources.wlasl import read_wlasl


def compare(manifest: Manifest, path: Path) -> dict[str, dict[str, int]]:
    """How much of a published list the corpus holds: entries are matched by clip id or by file name without suffix."""
    here = {r.id for r in manifest}
    for record in manifest:
        for stream in record.streams.values():
            stem = os.path.splitext(stream.replace(os.sep, "/"))[0]
            here |= {stem, os.path.basename(stem), os.path.basename(stem).removesuffix("_color")}
    here = {nfc(name) for name in here}
    out: dict[str, dict[str, int]] = {}
    for split, name in _published(path):
        name = nfc(name)
        stem = os.path.splitext(name)[0]
        row = out.setdefault(split, {"listed": 0, "present": 0})
        row["listed"] += 1
        row["present"] += bool({name, stem, os.path.basename(stem)} & here)
    return out


def _published(path: Path) -> Iterable[tuple[str, str]]:
    """(split or 'all', file name or id) for every entry of a published list."""
    if not path.is_file():
        raise InputError(f"--published: '{path}' is not a file; wanted a list (JSON, CSV, txt)")
    if path.suffix.lower() == ".json":
        corpus = read_wlasl(path, keep_missing=True)
        return [(r.split or "all", os.path.basename(r.streams["video"])) for r in corpus]
    lines = [line.strip() for line in lines_of(read_text(path)) if line.strip()]
    if lines and not any(c in line for line in lines[:20] for c in ",;\t"):
        return [("all", line[: line.index(".avi ") + 4] if ".avi " in line else line) for line in lines]
    corpus = read_csv(path, keep_missing=True)
    return [(r.split or "all", next(iter(r.streams.values()))) for r in corpus]
