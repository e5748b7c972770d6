"""The corpus on disk: a table of records, one clip each, holding paths and never arrays.

A manifest is a JSON-lines file. Its first line is a header (format version, how many clips, corpus name, how each
stream was made); every further line is one :class:`Record`. It is written last and atomically, so that its existence
means that the corpus is whole; the count tells a copy that was cut at the end of a line from a whole one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from signloom.data.manifest_fields import check_clip, check_header
from signloom.errors import InputError, MissingStreamError
from signloom.media.limits import SENSOR_SUFFIXES
from signloom.runtime.atomic import atomic_write
from signloom.runtime.hashing import fingerprint_hash
from signloom.runtime.text import json_line, lines_of

FORMAT = "signloom-manifest"
FORMAT_VERSION = 1
FILE_NAME = "manifest.jsonl"
_OF_THE_FILE = ("format", "version", "clips")
"""What a header says of the file itself, and not of the corpus."""
Box = tuple[float, float, float, float]
"""(x0, y0, x1, y1) in pixels."""


@dataclass(frozen=True)
class Record:
    """One clip of a corpus.

    ``streams`` maps a stream's name (``video``, ``pose``, ``frames``, ``imu`` …) to a file, absolute or relative to
    the manifest's folder. ``first_frame``/``end_frame`` are 0-based, half-open, and cut a longer source video
    (``end_frame`` None = to the end). Where a list counts by time, or at a rate of its own, ``start_s``/``end_s`` do
    it, in seconds since the file's first frame; ``prepare`` turns them into frames of the file that is there.
    ``box_px`` is (x0, y0, x1, y1) in the source's display pixels.
    ``parent`` is the id of the clip this one was derived from; a derived clip stays in its parent's split.
    ``source`` names what was recorded in one go (a long video, a broadcast, a session).
    """

    id: str
    label: str | None = None
    signer: str | None = None
    source: str | None = None
    split: str | None = None
    parent: str | None = None
    streams: Mapping[str, str] = field(default_factory=dict)
    first_frame: int = 0
    end_frame: int | None = None
    start_s: float | None = None
    end_s: float | None = None
    box_px: Box | None = None
    n_frames: int | None = None
    fps: float | None = None
    content: str | None = None
    licence: str | None = None
    consent: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def timed(self) -> bool:
        """Whether its range is given in seconds, and so not known in frames until its file is opened."""
        return self.start_s is not None or self.end_s is not None

    def cut_to(self, first_frame: int, end_frame: int | None) -> Record:
        """The same clip, its range given in frames."""
        return replace(self, first_frame=first_frame, end_frame=end_frame, start_s=None, end_s=None)

    @property
    def range(self) -> tuple[Any, ...]:
        """Which part of its file the clip is: frames, and seconds where it is given so; one part is written one way."""
        return (self.first_frame, self.end_frame, *((self.start_s or 0.0, self.end_s) if self.timed else ()))

    @property
    def rows(self) -> tuple[str, ...]:
        """Which rows of a table of many sensor recordings are the clip's, (column, value); else empty."""
        return tuple(map(str, (self.extra.get("imu") or {}).get("row_id") or ()))

    @property
    def augmented(self) -> bool:
        """Whether it is a changed copy of another: to learn from, and not to be measured on."""
        return bool(self.extra.get("augmented"))

    @property
    def whole(self) -> bool:
        """Whether it is all of its file: no range and no box."""
        return self.range == (0, None) and self.box_px is None

    def path(self, stream: str, root: Path, needed_by: str) -> Path:
        """The file of ``stream``, resolved against the manifest's folder.

        Raises MissingStreamError, naming the clip, the stream and who needs it.
        """
        if stream not in self.streams:
            have = ", ".join(sorted(self.streams)) or "none"
            raise MissingStreamError(
                f"clip '{self.id}': {needed_by} needs stream '{stream}'; it has {have}. "
                f"Run: signloom prepare … --streams {stream}"
            )
        return root / self.streams[stream]


_DEFAULTS = asdict(Record(id=""))


@dataclass(frozen=True)
class Manifest:
    """A corpus: records plus a header. ``root`` is the folder that relative stream paths start from.

    ``meta["streams"]`` maps each prepared stream to the fingerprint of what made it.
    """

    records: tuple[Record, ...]
    root: Path
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self):
        return iter(self.records)

    @property
    def labels(self) -> tuple[str, ...]:
        """Distinct labels in sorted order."""
        return tuple(sorted({r.label for r in self.records if r.label is not None}))

    @property
    def signers(self) -> tuple[str, ...]:
        """Distinct signers in sorted order."""
        return tuple(sorted({r.signer for r in self.records if r.signer is not None}))

    def where(self, keep: Callable[[Record], bool]) -> Manifest:
        """The same corpus with only the records for which ``keep`` is true."""
        return replace(self, records=tuple(r for r in self.records if keep(r)))

    def only(self, split: str) -> Manifest:
        """The records of one split. Raises InputError when there are none."""
        chosen = self.where(lambda r: r.split == split)
        if not chosen.records:
            counts = dict(Counter(r.split or "no split" for r in self.records))
            raise InputError(
                f"corpus '{self.root}' has no clip in split '{split}'; it has {counts}. "
                "Run: signloom split … or pass --split"
            )
        return chosen

    def measured(self, split: str) -> Manifest:
        """The records of one split that models are measured on: those of :meth:`only` that were filmed, and not made
        of others by `signloom augment`. Raises InputError when there are none."""
        filmed = self.only(split).where(lambda r: not r.augmented)
        if not filmed.records:
            raise InputError(f"corpus '{self.root}' has copies made by signloom augment alone in split '{split}'")
        return filmed

    def fingerprint(self, stream: str) -> Mapping[str, Any]:
        """How ``stream`` was made: extractor, version, settings. Raises MissingStreamError."""
        streams = self.meta.get("streams", {})
        if stream not in streams:
            have = ", ".join(sorted(streams)) or "none"
            raise MissingStreamError(
                f"corpus '{self.root}' has no prepared stream '{stream}'; it has {have}. "
                f"Run: signloom prepare … --streams {stream}"
            )
        return streams[stream]

    @property
    def whole_streams(self) -> frozenset[str]:
        """Streams that hold whole recordings, of which a clip is the part from its ``first_frame`` on.

        In such a corpus ``content`` is that of the part; in any other, of the whole file that the clip was cut from.
        """
        made = self.meta.get("streams", {})
        return frozenset(s for s in made if "pairs" in made[s])

    def corpus_hash(self, *, cuts: bool = True) -> str:
        """Identifies the corpus by ids, labels, signers, content and cuts; independent of order, paths and splits.

        Without ``cuts``: as it was in versions that took a file for all clips of it.
        """
        cuts = cuts and not self.whole_streams
        rows = []
        for r in self.records:
            cut = [json.dumps([*r.range, r.box_px])] if cuts and not r.whole else []
            rows.append((r.id, r.label or "", r.signer or "", r.content or "", *cut))
        digest = hashlib.blake2b(digest_size=16)
        for row in sorted(rows):
            digest.update("\x1f".join(row).encode())
            digest.update(b"\x1e")
        return digest.hexdigest()

    def has_hash(self, corpus_hash: str | None) -> bool:
        """Whether ``corpus_hash`` is this corpus's, also as versions made it that took a file for all clips of it."""
        return corpus_hash in (self.corpus_hash(), self.corpus_hash(cuts=False))


def _what_else(folder: Path) -> str:
    """What a folder without a manifest is, and so what to do."""
    if (folder / "shards.json").exists():
        return "It holds shards, which only train reads; give the corpus that they were made of"
    if any((folder / name / "config.json").exists() for name in (".", "checkpoint")):
        return "It holds a run; give the corpus folder that `signloom prepare` wrote"
    return (
        "A manifest is written last, so an interrupted prepare has none: run the same `signloom prepare` command again "
        "and it goes on where it was."
    )


def read_manifest(path: str | os.PathLike[str]) -> Manifest:
    """Read a corpus from its manifest file or from the folder that holds it.

    Raises InputError naming the file, the line and the field that is wrong.
    """
    file = Path(path)
    if file.is_dir():
        file = file / FILE_NAME
    if not file.exists():
        raise InputError(f"no corpus at '{path}': '{file}' does not exist. {_what_else(file.parent)}")
    try:
        lines = lines_of(file.read_text(encoding="utf-8-sig"))
        header = json.loads(lines[0]) if lines else {}
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"'{file}' is not a signloom manifest: {error}") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise InputError(f'\'{file}\' is not a signloom manifest: its first line lacks "format": "{FORMAT}"')
    if header.get("version") != FORMAT_VERSION:
        raise InputError(
            f"'{file}' has manifest version {header.get('version')!r}; this signloom reads {FORMAT_VERSION}"
        )
    records, seen = [], set()
    for number, line in enumerate(lines, start=1):
        try:
            if number == 1:
                check_header(header)
                continue
            row = json.loads(line)
            check_clip(row)
            if row.get("box_px") is not None:
                row["box_px"] = tuple(row["box_px"])
            record = Record(**row)
        except (ValueError, RecursionError) as error:
            raise InputError(f"'{file}' line {number}: {error}") from error
        if record.id in seen:
            raise InputError(f"'{file}' line {number}: clip id '{record.id}' stands twice; ids must be unique")
        seen.add(record.id)
        records.append(record)
    # Manifests of before 0.1.0 do not count their clips.
    if header.get("clips", len(records)) != len(records):
        raise InputError(
            f"'{file}' has {len(records)} clips, its first line says {header['clips']}: lines are missing, or were put "
            f'in. Copy it again; if you edited it, write "clips": {len(records)} in the first line'
        )
    meta = {k: v for k, v in header.items() if k not in _OF_THE_FILE}
    return Manifest(tuple(records), file.parent, meta)


def write_manifest(manifest: Manifest, folder: str | os.PathLike[str]) -> Path:
    """Write ``manifest`` as ``folder/manifest.jsonl`` atomically and return the file's path.

    Stream paths are rewritten relative to ``folder`` where they lie below it, else made absolute, so that a corpus
    folder can be moved as a whole.
    """
    folder = Path(folder)
    ids = Counter(r.id for r in manifest.records)
    twice = [i for i, n in ids.items() if n > 1]
    if twice:
        raise InputError(f"clip ids must be unique; {len(twice)} stand more than once, first '{twice[0]}'")
    base = folder.resolve()
    old_root = manifest.root.resolve()
    about = {k: v for k, v in manifest.meta.items() if k not in _OF_THE_FILE}
    lines = [json_line({"format": FORMAT, "version": FORMAT_VERSION, "clips": len(manifest), **about})]
    for record in manifest.records:
        streams = {}
        for name, where in sorted(record.streams.items()):
            path = Path(os.path.normpath(old_root / where))
            streams[name] = str(path.relative_to(base) if path.is_relative_to(base) else path)
        row = asdict(replace(record, streams=streams))
        # Leaving defaults out keeps the file small and its diffs readable.
        row = {k: v for k, v in row.items() if k == "id" or v != _DEFAULTS[k]}
        lines.append(json_line(row))
    file = folder / FILE_NAME
    with atomic_write(file) as tmp:
        tmp.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def clip_id(parts: Iterable[str]) -> str:
    """A readable, file-safe, unique id from the parts of a path or a row.

    Letters (of any script), digits, ``-`` and ``.`` stay; other characters become ``-``; parts are joined by ``_``.
    Where that loses something, a short hash of the original is added so that two sources never share an id.

    >>> clip_id(["user01", "G01", "R03"])
    'user01_G01_R03'
    """
    parts = [str(p) for p in parts if str(p)]
    slugs = [re.sub(r"[^\w.-]+", "-", p).strip("-.") for p in parts]
    slug = "_".join(s for s in slugs if s)
    lossless = slugs == parts and all("_" not in p for p in parts)
    if lossless and len(slug.encode()) <= 120:
        return slug
    mark = hashlib.blake2b("\x1f".join(parts).encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    return f"{slug.encode()[:110].decode(errors='ignore')}-{mark}"


def manifest_of_files(paths: Sequence[Path], tables: str = "imu", sensor: Mapping[str, Any] | None = None) -> Manifest:
    """An unlabelled corpus of single files, as ``predict`` is given them.

    ``tables`` is the stream that files with one of :data:`~signloom.media.limits.SENSOR_SUFFIXES` hold, ``sensor`` what
    is said of how a sensor's file is to be read.
    """
    records = []
    for path in paths:
        stream = "pose" if path.suffix == ".pose" else tables if path.suffix.lower() in SENSOR_SUFFIXES else "video"
        identity = clip_id([*path.resolve().parts[-3:-1], path.stem])
        extra = {"imu": dict(sensor)} if sensor and stream == "imu" else {}
        records.append(Record(identity, streams={stream: str(path.resolve())}, extra=extra))
    counts = Counter(r.id for r in records)
    unique = tuple(
        replace(r, id=f"{r.id}-{fingerprint_hash(r.streams)[:8]}") if counts[r.id] > 1 else r for r in records
    )
    return Manifest(unique, Path.cwd(), {"name": "files"})
