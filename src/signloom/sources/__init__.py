"""Readers of datasets, one file each: ``read_<name>(root, …) -> Manifest``. None opens a media file.

To add a dataset: a file here with its reader, one line in :data:`SOURCES`, and a test with three clips.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from signloom.data.manifest import FILE_NAME, Manifest, read_manifest
from signloom.data.people import CHOICES, check_choice
from signloom.errors import InputError


@dataclass(frozen=True)
class Source:
    """A dataset reader that is imported only when used."""

    module: str
    function: str
    summary: str

    def load(self) -> Callable[..., Manifest]:
        return getattr(importlib.import_module(f"signloom.sources.{self.module}"), self.function)

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the options the reader takes, besides its root."""
        return tuple(inspect.signature(self.load()).parameters)[1:]


SOURCES: dict[str, Source] = {
    "folder": Source("folder", "read_folder", "a folder per sign: <label>/<file>"),
    "tree": Source("tree", "read_tree", "paths that say what a clip is: --pattern '{signer}/{label}/{take}.mp4'"),
    "csv": Source("csv_table", "read_csv", "a table with any columns, with or without a header"),
    "pose": Source("pose_files", "read_pose_files", ".pose files with an index.csv or a folder per sign"),
    "wlasl": Source("wlasl", "read_wlasl", "WLASL_v*.json or nslt_*.json, frame ranges and boxes honoured"),
    "chalearn": Source("chalearn", "read_chalearn", "ChaLearn IsoGD lists: rgb.avi depth.avi class"),
    "autsl": Source("autsl", "read_autsl", "AUTSL label lists: signerN_sampleM,class"),
    "lsa64": Source("lsa64", "read_lsa64", "LSA64 names: sign_person_repetition.mp4"),
    "sensors": Source(
        "sensors", "read_sensors", "sensor recordings alone: --pattern '{signer}/{label}_{take}.csv', or one wide table"
    ),
    "elan": Source("elan", "read_elan", "recordings with ELAN annotations (.eaf): a clip an annotation"),
    "mhad": Source("mhad", "read_mhad", "VSL, UTD-MHAD and Berkeley MHAD split lists: ,file,label"),
    "dgs_landmarks": Source("dgs_landmarks", "read_dgs_landmarks", "German signs as tables of hand landmarks"),
}


def read_source(root: str | Path, source: str = "auto", pattern: str | None = None, **options: Any) -> Manifest:
    """Read the corpus at ``root`` with the reader named ``source``.

    ``auto`` takes an existing corpus (``manifest.jsonl``) as it is; ``tree`` when a ``pattern`` is given; a table,
    a JSON file or a list by its kind; and a folder by what lies in it. ``meta["notes"]`` says how it was read. Raises
    InputError for an unknown source or option, and for a folder that cannot be told, with a --pattern that would fit.

    Every source takes the option ``person``: who is to be read from poses of several people
    (:func:`signloom.data.people.check_choice`); and options ``imu.NAME``: how the sensor files of its clips are read
    (:func:`signloom.sources.sensors.sensor_options`). Sources folder and tree take sensor files that are called like a
    clip along, unless ``imu`` is ``no``.
    """
    if "person" in options:
        person = check_choice(str(options.pop("person")))
        return _of_person(read_source(root, source, pattern, **options), person)
    if said := {name: options.pop(name) for name in [*options] if name.startswith("imu.")}:
        return _of_sensor(read_source(root, source, pattern, **options), said)
    root = Path(root)
    if not root.exists():
        raise InputError(f"'{root}' does not exist; wanted a folder of clips, a table or a corpus")
    if source != "auto" and source not in SOURCES:
        raise InputError(f"source '{source}' is not known; wanted auto or one of {', '.join(SOURCES)}")
    note = None
    if source == "auto":
        if pattern is not None:
            source = _of_pattern(root, pattern)
        elif root.name == FILE_NAME or (root / FILE_NAME).is_file():
            return read_manifest(root)
        else:
            source, why, root, found = _recognise(root)
            options = {**found, **options}
            note = f"read as '{source}' because {why}"
    if pattern is not None:
        if "pattern" not in SOURCES[source].options:
            raise InputError(f"--pattern goes with source tree or sensors, not with '{source}'")
        options["pattern"] = pattern
    elif source == "tree":
        raise InputError("source tree needs --pattern, e.g. --pattern '{signer}/{label}/{take}.mp4'")
    entry = SOURCES[source]
    partners = source in ("folder", "tree") and _yes(options.pop("imu", True), "imu")
    unknown = sorted(set(options) - set(entry.options))
    if unknown:
        raise InputError(f"source '{source}' has no option '{unknown[0]}'; it has {', '.join(entry.options) or 'none'}")
    corpus = entry.load()(root, **options)
    if partners:
        from signloom.sources.sensor_partners import with_sensors

        corpus = with_sensors(corpus)
    if note is None:
        return corpus
    meta = {**corpus.meta, "notes": [note, *corpus.meta.get("notes", ())]}
    return Manifest(corpus.records, corpus.root, meta)


def _of_person(corpus: Manifest, person: str) -> Manifest:
    """``corpus`` with ``person`` on record for each clip that starts from a pose. Raises InputError where none does."""
    records = [
        replace(r, extra={**r.extra, "person": person}) if "pose" in r.streams and "video" not in r.streams else r
        for r in corpus
    ]
    if not any("person" in r.extra for r in records):
        raise InputError(f"option person={person}: no clip of '{corpus.root}' is a .pose file of people to choose from")
    return Manifest(tuple(records), corpus.root, corpus.meta)


def _of_sensor(corpus: Manifest, said: Mapping[str, Any]) -> Manifest:
    """``corpus`` with what is ``said`` on record for each clip with a sensor. Raises InputError where none has one."""
    from signloom.sources.sensors import STREAM, sensor_options

    how = sensor_options(**{name.removeprefix("imu."): value for name, value in said.items()})
    if not any(STREAM in r.streams for r in corpus):
        raise InputError(f"option {next(iter(said))}: no clip of '{corpus.root}' has a sensor file")
    records = [
        replace(r, extra={**r.extra, "imu": {**r.extra.get("imu", {}), **how}}) if STREAM in r.streams else r
        for r in corpus
    ]
    return Manifest(tuple(records), corpus.root, corpus.meta)


def _of_pattern(root: Path, pattern: str) -> str:
    """Whether a pattern is for videos and poses or for sensor files: by its suffix, else by what is there."""
    from signloom.media.limits import SENSOR_SUFFIXES
    from signloom.sources.listing import list_media
    from signloom.sources.sensors import sensor_files

    if Path(pattern).suffix.lower() in SENSOR_SUFFIXES:
        return "sensors"
    there = root.is_dir() and not list_media(root).files and sensor_files(root)
    return "sensors" if there else "tree"


def _yes(value: Any, option: str) -> bool:
    from signloom.sources.listing import as_bool

    return as_bool(value, option)


def describe_sources() -> str:
    """A line per source with its options, for a person to read."""
    width = max(map(len, SOURCES))
    lines = []
    for name, source in SOURCES.items():
        lines.append(f"{name:<{width}}  {source.summary}")
        if source.options:
            lines.append(f"{'':<{width}}  options: {', '.join(source.options)}")
    lines.append(
        f"of .pose files of several people, every source takes person={'|'.join(CHOICES)}, or their place 0, 1 …"
    )
    lines.append(
        "of sensor files, every source takes imu.rate_hz, imu.worn_on, imu.channels, imu.units … (see sensors)"
    )
    return "\n".join(lines)


def parse_options(pairs: Iterable[str]) -> dict[str, str]:
    """``["columns=label=gloss", "header=no"]`` from the command line as a mapping. Raises InputError."""
    out = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise InputError(f"'{pair}' is not NAME=VALUE")
        out[name.strip().replace("-", "_")] = value.strip()
    return out


def _recognise(root: Path) -> tuple[str, str, Path, dict[str, Any]]:
    """Which source ``root`` looks like, why, where it starts, and the options that follow."""
    if root.is_file():
        return _recognise_file(root)
    names = {p.name for p in root.iterdir()}
    from signloom.sources.wlasl import lists_in

    if wlasl := [path for paths in lists_in(root) for path in paths]:
        return "wlasl", f"it holds {wlasl[0].relative_to(root)}", root, {}
    if any((root / n).is_file() and _is_chalearn(root / n) for n in ("train.txt", "train_list.txt", "IsoGD_train.txt")):
        return "chalearn", "it holds a list with lines 'rgb.avi depth.avi class'", root, {}
    if "SignList_ClassId_TR_EN.csv" in names or any(
        (root / n).is_file() and re.match(r"signer\d+_sample\d+", _first_line(root / n))
        for n in ("train_labels.csv", "validation_labels.csv", "test_labels.csv")
    ):
        return "autsl", "it holds AUTSL's label lists", root, {}
    from signloom.sources.listing import list_media
    from signloom.sources.tree import suggest_pattern

    files = list_media(root).files
    if not files:
        if tables := [str(p.relative_to(root)) for p in root.rglob("*.csv.gz")]:
            _ask_about(root, tables, "dgs_landmarks")
            return "dgs_landmarks", "it holds .csv.gz tables and no video", root, {}
        from signloom.sources.sensors import ask_for_pattern, sensor_files

        if sensors := sensor_files(root):
            raise InputError(f"there is no video or .pose file, but {ask_for_pattern(root, sensors)}")
        raise InputError(
            f"there is no video or .pose file below '{root}'; known sources: {', '.join(SOURCES)} (--source)"
        )
    if all(re.search(r"(^|/)\d{3}_\d{3}_\d{3}\.[^./]+$", f) for f in files):
        return "lsa64", "all names are sign_person_repetition", root, {}
    if all(f.endswith(".pose") for f in files) and ("index.csv" in names or all(f.count("/") != 1 for f in files)):
        if "index.csv" in names:
            return "pose", "it holds .pose files and an index.csv", root, {}
        _ask_about(root, files, "pose")
        return "pose", "it holds .pose files: each one's folder is its label", root, {}
    at_depth = sum(f.count("/") == 1 for f in files)
    if at_depth >= 0.9 * len(files):
        _ask_about(root, [f for f in files if f.count("/") == 1], "folder")
        return "folder", "its clips lie at <label>/<file>", root, {}
    raise InputError(
        f"'{root}': cannot tell which part of a path is the sign; {len(files)} clips, the first is '{files[0]}'. "
        f"Say it with a pattern, e.g. --pattern '{suggest_pattern(files)}'{_tables(root)}, or name a source (--source "
        f"{', '.join(SOURCES)})"
    )


def _ask_about(root: Path, files: Sequence[str], source: str) -> None:
    """Raises InputError where the folders that would be the labels of ``files`` hardly are, saying how to go on."""
    from signloom.sources.tree import suggest_pattern, why_not_signs

    labels = {f.split("/")[-2] for f in files if "/" in f}
    if labels and (why := why_not_signs(labels)) is not None:
        raise InputError(
            f"'{root}': are the folders the signs? {why}. If they are, say --source {source}; else say what a path "
            f"means, e.g. --pattern '{suggest_pattern(files)}'{_tables(root)}"
        )


def _tables(root: Path) -> str:
    """Tables that lie beside the clips, as one more way to go on."""
    tables = sorted(p.name for p in root.iterdir() if p.suffix.lower() in (".csv", ".tsv", ".txt") and p.is_file())
    return f", or give the table that tells of the clips: {', '.join(tables[:5])}" if tables else ""


def _recognise_file(path: Path) -> tuple[str, str, Path, dict[str, Any]]:
    suffix = path.suffix.lower()
    if suffix == ".json":
        return "wlasl", "it is a JSON file", path.parent, {"json_file": path}
    if suffix in (".csv", ".tsv", ".txt"):
        if _is_chalearn(path):
            raise InputError(f"'{path}' is one of ChaLearn's lists; give the folder that holds them: '{path.parent}'")
        if re.match(r"signer\d+_sample\d+,\d+$", _first_line(path)):
            raise InputError(f"'{path}' is one of AUTSL's lists; give the folder that holds them: '{path.parent}'")
        from signloom.media.sensor_files import looks_like_sensor

        if looks_like_sensor(path):
            return "sensors", "its columns are what a sensor measures", path, {}
        return "csv", "it is a table", path, {}
    raise InputError(
        f"'{path}' is a {suffix or 'file without suffix'}; wanted a folder, a .csv/.tsv/.txt table or .json"
    )


def _first_line(path: Path) -> str:
    with path.open("rb") as file:
        return file.readline(4096).decode("utf-8", errors="replace").strip()


def _is_chalearn(path: Path) -> bool:
    return re.fullmatch(r"\S+\.avi \S+\.avi( \d+)?", _first_line(path)) is not None
