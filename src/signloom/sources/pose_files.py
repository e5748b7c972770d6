"""Folders of ``.pose`` files, with an ``index.csv`` or a folder per sign."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from signloom.data.manifest import Manifest
from signloom.errors import InputError
from signloom.sources.csv_table import read_csv
from signloom.sources.listing import NAMED_AT_MOST, POSE_SUFFIXES, list_media, records_of

INDEX = "index.csv"


def read_pose_files(root: str | Path, *, index: str | None = None, label: str | None = None) -> Manifest:
    """One record per ``.pose`` file below ``root``, stream ``pose``.

    With ``index.csv`` (a lexicon: path, spoken_language, signed_language, start, end, words, glosses, priority) labels
    are its column ``label`` (``glosses`` unless given); a file it does not list is counted in ``meta["unmatched"]``.
    Without one the label is the file's folder, and files directly in ``root`` have none. Raises InputError when
    there is no ``.pose`` file, and for a table that cannot be read.
    """
    root = Path(root)
    listing = list_media(root, POSE_SUFFIXES)
    if not listing.files:
        raise InputError(f"there is no .pose file below '{root}'")
    table = root / (index or INDEX)
    if table.is_file():
        corpus = read_csv(table, {"file": "path", "label": label or "glosses"})
        listed = {r.streams["pose"] for r in corpus if "pose" in r.streams}
        other = [p for p in listing.files if p not in listed]
        meta: dict[str, Any] = {**corpus.meta, "name": root.resolve().name, "source": "pose"}
        if other:
            meta["unmatched"] = {"count": len(other), "first": other[:NAMED_AT_MOST]}
        return Manifest(corpus.records, root, meta)
    if index is not None:
        raise InputError(f"there is no table '{table}'")
    pairs = [(p, {"label": p.split("/")[-2]} if "/" in p else {}) for p in listing.files]
    meta = {"name": root.resolve().name, "source": "pose", **listing.meta()}
    return Manifest(records_of(pairs), root, meta)
