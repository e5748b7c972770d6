"""ChaLearn LAP IsoGD, 249 gestures: lists of ``rgb.avi depth.avi class`` (Wan et al., 2016)."""

from __future__ import annotations

from pathlib import Path

from signloom.data.manifest import Manifest, Record, clip_id
from signloom.errors import InputError
from signloom.runtime.text import lines_of
from signloom.sources.listing import Wanted, as_bool, present, published_lists
from signloom.sources.tables import read_table, read_text

PUBLISHED = {"train": 35_878, "val": 5_784, "test": 6_271}
LISTS = {
    "train": ("train.txt", "train_list.txt", "IsoGD_train.txt"),
    "val": ("val.txt", "valid.txt", "valid_list.txt", "validation.txt", "IsoGD_valid.txt"),
    "test": ("test.txt", "test_list.txt", "IsoGD_test.txt"),
}


def read_chalearn(
    root: str | Path,
    *,
    lists: str | Path | None = None,
    classes: str | Path | None = None,
    depth: bool | str = False,
    keep_missing: bool | str = False,
) -> Manifest:
    """One record per line of ``train.txt``, ``val.txt``/``valid.txt`` and ``test.txt``, split as the list says.

    ``root`` is the folder that the listed paths start from; ``lists`` the folder of the lists (``root`` unless given).
    ``classes`` is a ``class.csv`` (columns ``sClass`` such as ``c021``, ``sDetail`` …): only its classes are kept and
    ``sClass`` is their label; without it labels are ``c001`` … ``c249``. ``depth`` adds the depth video as stream
    ``depth``. Clips that are not there are left out and counted, unless ``keep_missing``. Raises InputError naming
    the list and line that is wrong.
    """
    root = Path(root)
    folder = Path(lists) if lists is not None else root
    names = _read_classes(Path(classes)) if classes is not None else None
    with_depth = as_bool(depth, "depth")
    wanted = []
    files, notes = published_lists(folder, LISTS)
    for split, file in files.items():
        for number, line in enumerate(lines_of(read_text(file)), start=1):
            if not line.strip():
                continue
            cells = line.split()
            if len(cells) == 2:
                raise InputError(f"'{file}' line {number} has no class: '{line}'; get the list with labels")
            if len(cells) != 3 or not cells[2].isdecimal():
                raise InputError(f"'{file}' line {number} is '{line}'; wanted 'rgb.avi depth.avi class'")
            rgb, depth_file, number_text = cells
            label = f"c{int(number_text):03d}"
            if names is not None and label not in names:
                continue
            stem = rgb.replace("\\", "/").rsplit(".", 1)[0]
            record = Record(
                id=clip_id(stem.split("/")),
                label=label,
                split=split,
                streams={"depth": depth_file.replace("\\", "/")} if with_depth else {},
                extra={"gloss": names[label]} if names is not None and names[label] else {},
            )
            wanted.append(Wanted(record, tuple(f"{stem}{s}" for s in (".avi", ".mp4", ".mkv"))))
    if not wanted:
        raise InputError(
            f"no ChaLearn list with a wanted class in '{folder}'; looked for {', '.join(c[0] for c in LISTS.values())} "
            "with lines 'rgb.avi depth.avi class'"
        )
    records, meta = present(
        wanted, root, keep_missing=as_bool(keep_missing, "keep_missing"), what=f"ChaLearn lists in '{folder}'"
    )
    notes += meta.pop("notes", [])
    return Manifest(
        records, root, {"name": "ChaLearn IsoGD", "source": "chalearn", **meta, **({"notes": notes} if notes else {})}
    )


def _read_classes(path: Path) -> dict[str, str]:
    table = read_table(path, known=frozenset({"sclass"}))
    header = [h.lower() for h in table.header or ()]
    if "sclass" not in header:
        raise InputError(f"'{path}': wanted a column 'sClass' with classes such as c021; it has {table.header}")
    code = header.index("sclass")
    gloss = next((header.index(h) for h in ("sdetail", "slong") if h in header), None)
    return {row[code]: row[gloss] if gloss is not None else "" for row in table.rows}
