"""Split lists of the video-and-sensor corpora: VSL, UTD-MHAD and Berkeley MHAD (rows ``,file,label``).

UTD-MHAD names are ``a11_s2_t2_color`` (action, subject, trial), Berkeley MHAD's ``cam01_s08_a03_r04`` (camera,
subject, action, repetition), VSL's ``label/N7_label_12`` (signer N7). The lists name ``.npy`` arrays; here any file of
the same name stem stands for a clip: a video, or one sensor's ``.mat`` (``…_inertial.mat`` is the stream ``imu``,
``…_skeleton.mat`` ``pose``, ``…_depth.mat`` ``depth``).
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

from signloom.data.manifest import Manifest, Record, clip_id
from signloom.errors import InputError
from signloom.sources.listing import VIDEO_SUFFIXES, Wanted, as_bool, list_media, present
from signloom.sources.spelling import nfc
from signloom.sources.tables import read_table

PUBLISHED = {
    "vsl": {"train": 5714, "test": 2215},
    "utd-mhad": {"train": 431, "test": 430},
    "mhad": {"train": 439, "test": 219},
}
SENSORS = {"inertial": "imu", "skeleton": "pose", "depth": "depth"}
UTD_RATE_HZ = 50.0
_UTD = re.compile(r"a(\d+)_s\d+_t\d+")
_UTD_ON_THIGH = range(22, 28)  # actions of the legs; in all others the sensor is on the wrist
_SIGNER = re.compile(r"(?:^|_)(s\d+|N\d+)(?:_|$)")
_SENSOR = re.compile(r"_(color|" + "|".join(SENSORS) + r")$")


def read_mhad(
    root: str | Path,
    *,
    lists: str | Path | None = None,
    train: str = "train.csv",
    test: str = "test.csv",
    val: str | None = None,
    keep_missing: bool | str = False,
) -> Manifest:
    """One record per row of the split lists, with the signer read from the file's name.

    ``lists`` is the folder of the lists (``root`` unless given), ``train``/``test``/``val`` their names. Lists may lack
    a header or carry it in their middle (shuffled ones do). Files are looked for anywhere below ``root``. Rows without
    any file are left out and counted, unless ``keep_missing``. UTD-MHAD's names also say where its sensor was
    worn. Raises InputError naming list and line.
    """
    root = Path(root)
    folder = Path(lists) if lists is not None else root
    here = _files_by_stem(root)
    wanted: list[Wanted] = []
    seen: dict[str, str] = {}
    for split, name in (("train", train), ("val", val), ("test", test)):
        if name is None:
            continue
        file = folder / name
        if not file.is_file():
            raise InputError(f"there is no list '{file}'; give its name, e.g. {split}=vsl_{split}.csv")
        table = read_table(file, known=frozenset({"file", "label"}))
        columns = [-2, -1]
        if table.header is not None:
            header = [h.lower() for h in table.header]
            if "file" not in header or "label" not in header:
                raise InputError(f"'{file}': wanted columns file and label, it has {list(table.header)}")
            columns = [header.index("file"), header.index("label")]
        elif len(table.rows[0]) < 2:
            raise InputError(f"'{file}': wanted rows index,file,label, the first is {table.rows[0]}")
        for line, row in zip(table.lines, table.rows):
            path, label = row[columns[0]].replace("\\", "/"), row[columns[1]]
            stem = nfc(_SENSOR.sub("", os.path.splitext(PurePosixPath(path).name)[0]))
            signer = _SIGNER.search(stem)
            if signer is None:
                raise InputError(f"'{file}' line {line}: no signer (s2, N7 …) in '{path}'")
            key = clip_id([stem])
            if key in seen:
                raise InputError(f"'{file}' line {line}: '{path}' is also in the {seen[key]} list")
            seen[key] = split
            streams = here.get(stem, {})
            main = next((s for s in ("video", "imu", "pose", "depth", "array") if s in streams), "video")
            rest = {k: v for k, v in streams.items() if k != main}
            extra = _utd_sensor(stem) if "imu" in streams else {}
            record = Record(id=key, label=label, signer=signer.group(1), split=split, streams=rest, extra=extra)
            wanted.append(Wanted(record, (streams.get(main, path),), main))
    listing = [p for streams in here.values() for p in streams.values()]
    records, meta = present(
        wanted, root, keep_missing=as_bool(keep_missing, "keep_missing"), what=f"lists in '{folder}'", listing=listing
    )
    return Manifest(records, root, {"name": folder.resolve().name, "source": "mhad", **meta})


def _utd_sensor(stem: str) -> dict[str, Any]:
    """What is known of the sensor of a clip with one of UTD-MHAD's names; of others nothing is."""
    if (found := _UTD.fullmatch(stem)) is None:
        return {}
    place = "right_thigh" if int(found[1]) in _UTD_ON_THIGH else "right_wrist"
    return {"imu": {"rate_hz": UTD_RATE_HZ, "worn_on": place}}


def _files_by_stem(root: Path) -> dict[str, dict[str, str]]:
    """Clip name → {stream: relative path}."""
    found: dict[str, dict[str, Any]] = {}
    for path in list_media(root, VIDEO_SUFFIXES | {".mat", ".npy"}).files:
        stem, suffix = os.path.splitext(PurePosixPath(path).name)
        sensor = _SENSOR.search(stem)
        if suffix.lower() in VIDEO_SUFFIXES:
            stream = "video"
        elif suffix.lower() == ".npy":
            stream = "array"
        else:
            stream = SENSORS.get(sensor.group(1), "array") if sensor else "array"
        found.setdefault(nfc(_SENSOR.sub("", stem)), {}).setdefault(stream, path)
    return found
