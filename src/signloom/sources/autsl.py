"""AUTSL, 226 Turkish signs × 43 signers (Sincan & Keles, 2020)."""

from __future__ import annotations

import re
from pathlib import Path

from signloom.data.manifest import Manifest, Record, clip_id
from signloom.errors import InputError
from signloom.sources.listing import Wanted, as_bool, present, published_lists
from signloom.sources.tables import read_table

PUBLISHED = {"train": 28_142, "val": 4_418, "test": 3_742}
_LISTS = {
    "train": ("train_labels.csv", "train/train_labels.csv", "labels/train_labels.csv", "train/ground_truth.csv"),
    "val": tuple(
        f"{folder}{name}"
        for folder in ("", "val/", "validation/", "labels/")
        for name in ("validation_labels.csv", "val_labels.csv", "ground_truth.csv")
        if folder or name != "ground_truth.csv"
    ),
    "test": ("test_labels.csv", "test/test_labels.csv", "labels/test_labels.csv", "test/ground_truth.csv"),
}
_FOLDERS = {"train": ("train",), "val": ("val", "validation", "valid"), "test": ("test",)}
_NAME = re.compile(r"signer(\d+)_sample(\d+)")


def read_autsl(
    root: str | Path,
    *,
    lists: str | Path | None = None,
    classes: str | Path | None = None,
    names: str = "id",
    depth: bool | str = False,
    keep_missing: bool | str = False,
) -> Manifest:
    """One record per row ``signerN_sampleM,class`` of the label lists, whose video is ``signerN_sampleM_color.mp4``.

    Lists are ``train_labels.csv``, ``validation_labels.csv`` (or ``val_labels.csv``, ``val/ground_truth.csv``) and
    ``test_labels.csv`` in ``lists`` (``root`` unless given); videos lie in ``train``, ``val`` and ``test`` below
    ``root``, or in ``root``. ``classes`` is ``SignList_ClassId_TR_EN.csv`` (found by itself); ``names`` picks the
    label: ``id`` (``000`` … ``225``), ``tr`` or ``en``, of which words may repeat. ``depth`` adds stream ``depth``.
    The published split is by signer. Raises InputError naming list and line.
    """
    root = Path(root)
    folder = Path(lists) if lists is not None else root
    if names not in ("id", "tr", "en"):
        raise InputError(f"option 'names' is '{names}'; wanted id, tr or en")
    sign_list = Path(classes) if classes is not None else folder / "SignList_ClassId_TR_EN.csv"
    glosses = _read_glosses(sign_list) if classes is not None or sign_list.is_file() else {}
    if names != "id" and not glosses:
        raise InputError(f"names={names} needs the sign list, but '{sign_list}' does not exist; give classes=FILE")
    with_depth = as_bool(depth, "depth")
    wanted = []
    files, notes = published_lists(folder, _LISTS)
    for split, file in files.items():
        table = read_table(file, header=False)
        for line, row in zip(table.lines, table.rows):
            found = _NAME.match(row[0])
            if len(row) != 2 or not found or not row[1].isdecimal():
                if line == table.lines[0] and not found and not row[-1].isdecimal():
                    continue  # some copies have a header
                raise InputError(f"'{file}' line {line} is {','.join(row)!r}; wanted signerN_sampleM,class")
            signer, take = found.groups()
            number = f"{int(row[1]):03d}"
            gloss = glosses.get(number, {})
            if names != "id" and names not in gloss:
                raise InputError(f"'{file}' line {line}: class {row[1]} is not in '{sign_list}'")
            stem = f"signer{signer}_sample{take}"
            places = [f"{d}/{stem}_color.mp4" for d in _FOLDERS[split]] + [f"{stem}_color.mp4"]
            record = Record(
                id=clip_id([split, f"signer{signer}", f"sample{take}"]),
                label=gloss[names] if names != "id" else number,
                signer=signer,
                split=split,
                streams={"depth": places[0].replace("_color", "_depth")} if with_depth else {},
                extra={**gloss, "class": number},
            )
            wanted.append(Wanted(record, tuple(places)))
    if not wanted:
        raise InputError(
            f"no AUTSL label list in '{folder}'; looked for {', '.join(c[0] for c in _LISTS.values())} with rows "
            "signerN_sampleM,class"
        )
    records, meta = present(
        wanted, root, keep_missing=as_bool(keep_missing, "keep_missing"), what=f"AUTSL lists in '{folder}'"
    )
    notes += meta.pop("notes", [])
    return Manifest(records, root, {"name": "AUTSL", "source": "autsl", **meta, **({"notes": notes} if notes else {})})


def _read_glosses(path: Path) -> dict[str, dict[str, str]]:
    if not path.is_file():
        raise InputError(f"'{path}' does not exist; wanted SignList_ClassId_TR_EN.csv (ClassId,TR,EN)")
    table = read_table(path, known=frozenset({"classid"}))
    if len(table.rows[0]) != 3:
        raise InputError(f"'{path}': wanted three columns ClassId,TR,EN; it has {table.header or table.rows[0]}")
    return {f"{int(row[0]):03d}": {"tr": row[1], "en": row[2]} for row in table.rows if row[0].isdecimal()}
