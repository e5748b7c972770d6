"""The oracles of tables, lists and manifests: they are read here once more, by Python's own modules."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

from mutation.bases import TABLE, Base
from mutation.changes import Change
from mutation.outcome import Ran, content

Verdict = tuple[str, str]
Entry = tuple[Any, ...]
_SPLITS = {"train": "train", "training": "train", "val": "val", "validation": "val", "dev": "val", "test": "test"}


def _verdict(wrong: str | None, new: set[str]) -> Verdict:
    told = "; ".join(sorted(new))[:300]
    if wrong is None:
        return ("noted", told) if new else ("right", "")
    return ("noted", f"{wrong}: {told}") if new else ("silent", wrong)


# --- tables -------------------------------------------------------------------------------------------------------


def judge_table(base: Base, change: Change, ran: Ran, sound: Ran | None, new: set[str]) -> Verdict:
    """Every row whose file is there gives a clip of those bytes with what the row says; nothing else comes out."""
    file = ran.folder / "in" / base.target
    form = change.get("expect", {}).get("form")
    rows = form["rows"] if form else _rows_of(file, base.about["delimiter"])
    entries = None if rows is None else _entries(rows, base, ran.folder / "in")
    if entries is None:  # what it says cannot be told for sure: then it must not be taken without a word
        entries = _entries(_sound_rows(base, sound or ran), base, ran.folder / "in")
        assert entries is not None
    got = Counter(_prepared(r, base) for r in ran.records)
    wanted = Counter(entries)
    if got == wanted:
        return _verdict(None, new)
    more, less = list((got - wanted).elements()), list((wanted - got).elements())
    return _verdict(f"came out otherwise: {len(less)} rows, e.g. {less[:1]} as {more[:1]}", new)


def _sound_rows(base: Base, sound: Ran) -> list[list[str]]:
    rows = _rows_of(sound.folder / "in" / base.target, base.about["delimiter"])
    assert rows is not None
    return rows


def _rows_of(file: Path, delimiter: str) -> list[list[str]] | None:
    try:
        text = file.read_bytes().decode("utf-8-sig")
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if any(row)]
    except (UnicodeDecodeError, csv.Error):
        return None
    return [[cell.strip() for cell in row] for row in rows]


def _entries(rows: list[list[str]], base: Base, folder: Path) -> list[Entry] | None:
    """(content, label, signer, split, frames) of every row; None where columns or cells cannot be told."""
    names = [*TABLE, "first_frame", "end_frame"]
    width = Counter(len(row) for row in rows).most_common(1)[0][0] if rows else 0
    if not rows or any(len(row) != width for row in rows):
        return None
    if base.about["header"]:
        header = [name.strip().lower() for name in rows[0]]
        if sorted(header) != sorted(names[: base.about["columns"]]):
            return None
        rows = rows[1:]
    elif width == 2:
        header = names[:2]
    else:
        return None
    entries = []
    for row in rows:
        cells = {name: cell.strip() for name, cell in zip(header, row)}
        try:
            path = folder / cells["file"].replace("\\", "/")
            if not path.is_file():
                return None
            first, end = int(cells.get("first_frame") or 0), int(cells.get("end_frame") or 8)
        except (ValueError, OSError):
            return None
        split = cells.get("split") or None
        if (split and split.lower() not in _SPLITS) or not 0 <= first < end <= 8:
            return None
        entries.append((content(path), cells["label"] or None, cells.get("signer") or None,
                        _SPLITS[split.lower()] if split else None, end - first))  # fmt: skip
    return entries


def _prepared(record: dict[str, Any], base: Base) -> Entry:
    return (record["content"], record.get("label"), record.get("signer"), record.get("split"), record["n_frames"])


# --- WLASL --------------------------------------------------------------------------------------------------------


def judge_wlasl(base: Base, change: Change, ran: Ran, sound: Ran | None, new: set[str]) -> Verdict:
    """Every instance that still stands as it did comes out as it did; another one as its text says, or with a word."""
    folder = ran.folder / "in"
    try:
        listed = _instances(json.loads((folder / base.target).read_bytes().decode("utf-8-sig")))
    except (ValueError, TypeError, KeyError, AttributeError):
        return _verdict("it was taken, and is no such list", new)
    usual = _instances(json.loads(((sound or ran).folder / "in" / base.target).read_text(encoding="utf-8")))
    by_content = {r["content"]: r for r in ran.records}
    before = {r["content"]: r for r in (sound or ran).records}
    for name, (gloss, item) in usual.items():
        key = content(folder / "videos" / f"{name}.mp4")
        mine = by_content.get(key)
        if listed.get(name) == (gloss, item):
            same = mine is not None and all(
                mine.get(k) == before[key].get(k) for k in ("label", "signer", "split", "n_frames")
            )
            if not same:
                return _verdict(f"instance {name}, which was not touched, came out otherwise", new)
        elif mine is None:
            if name in listed:  # what a list does not name any more, nobody can miss
                return _verdict(f"instance {name} is gone", new)
        elif name not in listed or mine.get("label") != str(listed[name][0]):
            return _verdict(f"instance {name} is '{mine.get('label')}'; the list says {listed.get(name)}", new)
        elif mine["n_frames"] != before[key]["n_frames"]:
            return _verdict(f"instance {name} has {mine['n_frames']} frames", new)
    return _verdict(None, new)


def _instances(value: Any) -> dict[str, tuple[Any, Any]]:
    return {str(item["video_id"]): (group["gloss"], item) for group in value for item in group["instances"]}


# --- manifests ----------------------------------------------------------------------------------------------------


def judge_manifest(base: Base, change: Change, ran: Ran, sound: Ran | None, new: set[str]) -> Verdict:
    """Every line gives a clip, or is named; texts are texts; clips of which nothing is said are not fewer."""
    try:
        text = (ran.folder / "in" / base.target).read_bytes().decode("utf-8-sig")
        rows = [json.loads(line) for line in text.replace("\r\n", "\n").split("\n") if line]
        wanted = {row["id"]: row for row in rows[1:]}
    except (ValueError, TypeError, KeyError) as error:
        return _verdict(f"it was taken, and is no manifest: {error!r}", new)
    if len(wanted) != len(rows) - 1:
        return _verdict("an id stands twice", new)
    got = {r["id"]: r for r in ran.records}
    failed = {f["id"] for f in ran.failures}
    if sound is not None and len(wanted) < len(sound.records):
        return _verdict(f"{len(sound.records) - len(wanted)} clips are gone", new)
    for name, row in wanted.items():
        if name not in got:
            if name not in failed:
                return _verdict(f"clip '{name}' is gone", new)
            continue
        for key in ("label", "signer", "source", "split", "parent", "licence", "consent"):
            if not isinstance(row.get(key), str | None) or got[name].get(key) != row.get(key):
                return _verdict(f"clip '{name}': {key} {row.get(key)!r} was taken as {got[name].get(key)!r}", new)
    return _verdict(None, new)
