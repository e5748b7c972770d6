"""The simplest corpus: a folder per sign, with its clips inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from signloom.data.manifest import Manifest
from signloom.errors import InputError
from signloom.sources.listing import NAMED_AT_MOST, list_media, records_of
from signloom.sources.tree import suggest_pattern


def read_folder(root: str | Path) -> Manifest:
    """One record per ``<label>/<file>`` below ``root``, for any video suffix and ``.pose`` files.

    Hidden files and other kinds are counted in ``meta["skipped"]``; clips that lie directly in ``root`` or deeper are
    named in ``meta["unmatched"]``. Raises InputError when no clip lies in a folder of ``root``, with a --pattern that
    fits what is there.
    """
    listing = list_media(root)
    if not listing.files:
        raise InputError(f"there is no video or .pose file below '{root}'; wanted <label>/<file>")
    fitting = [p for p in listing.files if p.count("/") == 1]
    other = [p for p in listing.files if p.count("/") != 1]
    if not fitting:
        raise InputError(
            f"'{root}' is not class-per-folder: its {len(other)} clips are not at <label>/<file>; the first is "
            f"'{other[0]}'. Say what the path means, e.g. --pattern '{suggest_pattern(other)}'"
        )
    meta: dict[str, Any] = {"name": listing.root.resolve().name, "source": "folder", **listing.meta()}
    if other:
        meta["unmatched"] = {"count": len(other), "first": other[:NAMED_AT_MOST]}
        meta["notes"] = [f"{len(other)} clips are not at <label>/<file> and were left out; the first is '{other[0]}'"]
    return Manifest(records_of((p, {"label": p.split("/")[0]}) for p in fitting), listing.root, meta)
