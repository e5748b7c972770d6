"""Finding the clips below a folder and turning them into records; no file is opened here."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from signloom.data.manifest import Record, clip_id
from signloom.errors import InputError
from signloom.sources.spelling import Finder, nfc

VIDEO_SUFFIXES = frozenset(
    f".{s}"
    for s in (
        *("mp4", "m4v", "mov", "avi", "mkv", "webm", "mpg", "mpeg", "mpe", "wmv", "flv", "gif", "ts", "mts", "m2ts"),
        *("3gp", "ogv", "swf", "vob", "mjpeg"),
    )
)
POSE_SUFFIXES = frozenset({".pose"})
MEDIA_SUFFIXES = VIDEO_SUFFIXES | POSE_SUFFIXES
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "tst"), "test"),
}
NAMED_AT_MOST = 50  # how many skipped, missing or unmatched files a manifest's header names; the count is exact


@dataclass(frozen=True)
class Listing:
    """What lies below a folder: media files and the count of everything passed over, by reason.

    ``files`` are paths relative to the folder, with ``/``, sorted.
    """

    root: Path
    files: tuple[str, ...]
    skipped: Mapping[str, int]
    skipped_files: tuple[str, ...]

    def meta(self) -> dict[str, Any]:
        """Header entries that tell what was passed over."""
        if not self.skipped:
            return {}
        return {"skipped": dict(self.skipped), "skipped_files": list(self.skipped_files[:NAMED_AT_MOST])}


def list_media(root: str | Path, suffixes: Iterable[str] = MEDIA_SUFFIXES) -> Listing:
    """Every media file below ``root``, sorted; hidden files and other kinds are counted by reason.

    Symbolic links are followed, each folder once. A broken link and a folder that is named like a clip and holds no
    clip are listed too, so that probing names them with a reason instead of losing them. Raises InputError when
    ``root`` is not a folder.
    """
    root = Path(root)
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise InputError(f"'{root}' {what}; wanted the folder that holds the clips")
    wanted = frozenset(s.lower() for s in suffixes)
    files: list[str] = []
    skipped: Counter[str] = Counter()
    skipped_files: list[str] = []
    seen: set[tuple[int, int]] = set()

    def skip(relative: str, reason: str) -> None:
        skipped[reason] += 1
        if len(skipped_files) < NAMED_AT_MOST:
            skipped_files.append(f"{relative}: {reason}".encode(errors="replace").decode())

    def descend(folder: Path, prefix: str) -> int:
        try:
            identity = os.stat(folder)
            if (identity.st_dev, identity.st_ino) in seen:
                skip(prefix.rstrip("/"), "folder linked twice")
                return 0
            seen.add((identity.st_dev, identity.st_ino))
            entries = sorted(os.scandir(folder), key=lambda e: e.name)
        except OSError as error:
            skip(prefix.rstrip("/") or ".", f"folder cannot be read ({error.strerror})")
            return 0
        before = len(files)
        for entry in entries:
            relative = prefix + entry.name
            suffix = os.path.splitext(entry.name)[1].lower()
            if entry.name.startswith("."):
                skip(relative, "hidden")
            elif _is_folder(entry):
                if descend(Path(entry.path), relative + "/") == 0 and suffix in wanted:
                    files.append(relative)
            elif suffix not in wanted:
                skip(relative, f"not a clip ({suffix or 'no suffix'})")
            elif not _is_text(entry.name):
                skip(relative, "name is not valid UTF-8; rename it")
            else:
                files.append(relative)
        return len(files) - before

    descend(root, "")
    return Listing(root, tuple(sorted(files)), dict(sorted(skipped.items())), tuple(skipped_files))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a circular link: listed as a clip, so that probing names it
        return False


def _is_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def stream_of(path: str) -> str:
    """The stream a media file belongs to: ``pose`` for ``.pose`` files, else ``video``."""
    return "pose" if os.path.splitext(path)[1].lower() in POSE_SUFFIXES else "video"


def records_of(files: Iterable[tuple[str, Mapping[str, Any]]]) -> tuple[Record, ...]:
    """One record per clip from ``(relative path, record fields)`` pairs.

    A video and a ``.pose`` file that differ only in their suffix become one record with both streams. Ids come from
    the path without its suffix; with it where two videos share a stem.
    """
    by_stem: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for path, fields in files:
        by_stem.setdefault(os.path.splitext(path)[0], []).append((path, fields))
    records = []
    for stem, group in by_stem.items():
        streams: dict[str, str] = {}
        rest = []
        for path, fields in group:
            if len(group) > 1 and stream_of(path) in streams:
                rest.append((path, fields))
            else:
                streams[stream_of(path)] = path
        records.append(Record(id=clip_id(PurePosixPath(stem).parts), streams=streams, **group[0][1]))
        for path, fields in rest:
            records.append(Record(id=clip_id(PurePosixPath(path).parts), streams={stream_of(path): path}, **fields))
    return unique_ids(records)


def unique_ids(records: Sequence[Record]) -> tuple[Record, ...]:
    """The same records with repeated ids numbered (``…-2``, ``…-3``) in order.

    What is written the same is the same: labels, signers and recordings have one Unicode form (NFC).
    """
    records = [_composed(record) for record in records]
    taken = {r.id for r in records}
    counts: Counter[str] = Counter()
    out = []
    for record in records:
        counts[record.id] += 1
        name = record.id
        if counts[record.id] > 1:
            name = f"{record.id}-{counts[record.id]}"
            while name in taken:
                counts[record.id] += 1
                name = f"{record.id}-{counts[record.id]}"
            taken.add(name)
        out.append(record if name == record.id else replace(record, id=name))
    return tuple(out)


def _composed(record: Record) -> Record:
    texts = {name: getattr(record, name) for name in ("label", "signer", "source")}
    changed: dict[str, Any] = {
        name: nfc(text) for name, text in texts.items() if text is not None and nfc(text) != text
    }
    return replace(record, **changed) if changed else record


def split_name(text: str, where: str) -> str:
    """``train``, ``val`` or ``test`` for the usual spellings. Raises InputError saying ``where`` it was found."""
    name = SPLIT_NAMES.get(text.strip().lower())
    if name is None:
        raise InputError(f"{where}: split '{text}' is not known; wanted one of {sorted(SPLIT_NAMES)}")
    return name


def published_lists(folder: Path, candidates: Mapping[str, Sequence[str]]) -> tuple[dict[str, Path], list[str]]:
    """The list of each split, by the names that it goes by, and notes on splits without one or with several."""
    found: dict[str, Path] = {}
    notes = []
    for split, names in candidates.items():
        there = [folder / name for name in names if (folder / name).is_file()]
        if there:
            found[split] = there[0]
        else:
            notes.append(f"there is no list for '{split}'; looked for {', '.join(names[:3])}")
        if len(there) > 1:
            notes.append(f"several lists for '{split}': '{there[0].name}' is read, '{there[1].name}' is not")
    return found, notes if found else []


@dataclass(frozen=True)
class Wanted:
    """One entry of a published list: the record it would be and the places its file may lie, best first."""

    record: Record
    places: tuple[str, ...]
    stream: str = "video"


def present(
    wanted: Sequence[Wanted],
    root: Path,
    *,
    keep_missing: bool,
    what: str,
    listing: Sequence[str] | None = None,
    numbers: bool = False,
) -> tuple[tuple[Record, ...], dict[str, Any]]:
    """Keep the entries whose file is there, and say which share of the published lists that is.

    Returns the records and header entries ``published`` ({split: {"listed": n, "present": m}}), ``missing``
    ({"count": n, "first": […]}) and ``notes``. With ``keep_missing`` entries without a file stay, pointing to their
    first place. Where no ``listing`` says what is there, files are found as :class:`Finder` does, with ``numbers``.
    Raises InputError when no file is there at all.
    """
    here = set(listing) if listing is not None else None
    finder = Finder(root, numbers=numbers)
    places: list[str | None] = []
    for entry in wanted:
        spelled = (finder.find(p) for p in entry.places) if here is None else (p for p in entry.places if p in here)
        places.append(next((p for p in spelled if p is not None), None))
    # A file that the list names itself is no other's that lost its zeros.
    named = {p for entry in wanted for p in entry.places} & set(finder.padded.values())
    for name in [n for n, file in finder.padded.items() if file in named]:
        file = finder.padded.pop(name)
        places = [None if p == file and name in e.places else p for p, e in zip(places, wanted)]
    records, missing = [], []
    listed: Counter[str] = Counter()
    found: Counter[str] = Counter()
    for entry, place in zip(wanted, places):
        split = entry.record.split or "all"
        listed[split] += 1
        if place is None:
            missing.append(entry.places[0])
            if not keep_missing:
                continue
            place = entry.places[0]
        else:
            found[split] += 1
        records.append(replace(entry.record, streams={**entry.record.streams, entry.stream: place}))
    if wanted and not found and not keep_missing:
        raise InputError(
            f"{what}: none of the {len(wanted)} listed files is below '{root}'; the first one wanted is "
            f"'{wanted[0].places[0]}'. Point to the folder that holds the media"
        )
    meta: dict[str, Any] = {"published": {s: {"listed": listed[s], "present": found[s]} for s in sorted(listed)}}
    if missing:
        meta["missing"] = {"count": len(missing), "first": missing[:NAMED_AT_MOST]}
    if notes := finder.notes():
        meta["notes"] = notes
    return unique_ids(records), meta


def as_bool(value: bool | str, option: str) -> bool:
    """A yes or no from the command line. Raises InputError naming the option."""
    if isinstance(value, bool):
        return value
    text = value.strip().lower()
    if text in ("1", "yes", "true", "on"):
        return True
    if text in ("0", "no", "false", "off"):
        return False
    raise InputError(f"option '{option}' is '{value}'; wanted yes or no")


def collect_files(arguments: Sequence[str], tables: frozenset[str] = frozenset()) -> list[Path]:
    """The files that ``predict`` was asked for: files as they are, folders searched for clips, globs expanded.

    A folder without any video or ``.pose`` is searched for files that end in one of ``tables``.

    Raises InputError naming the argument that matches nothing.
    """
    import glob

    found: list[Path] = []
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            there = sorted(p for p in path.rglob("*") if not p.name.startswith("."))
            some = [p for p in there if p.suffix.lower() in MEDIA_SUFFIXES]
            some = some or [p for p in there if p.suffix.lower() in tables]
        elif path.exists() or path.is_symlink():
            some = [path]
        elif (spelled := Finder(Path()).find(argument)) is not None:
            some = [Path(spelled)]
        else:
            some = sorted(Path(p) for p in glob.glob(argument, recursive=True))
        if not some:
            raise InputError(
                f"'{argument}': no such file, no clip in that folder, or nothing matches that pattern; give video, "
                ".pose or sensor files, a folder of some, or a pattern in quotes"
            )
        found += some
    return list(dict.fromkeys(found))
