"""A corpus as a few large tar files, for corpora of too many clips to index or to keep as single files.

A shard is an ordinary tar that any webdataset reader takes. Its clips stand one after another, each as ``<key>.json``
(who signs what, and how many frames), ``<key>.frames.mp4``, ``<key>.flow.mp4`` and ``<key>.pose``, as far as the corpus
has them. Its last member, ``__index__``, tells in one read what it holds and where: a line of JSON for each clip, with
offset, size and hash of every member. (Webdataset readers skip a member of such a name.)

``shards.json`` lists the shards of each split with their hashes: one entry a shard, none a clip. It is written last.
Shards are the same bytes each time, and what is read of them is checked against the hashes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tarfile
import threading
import weakref
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from signloom.data.manifest_fields import SPLITS
from signloom.errors import InputError, MediaError, MissingStreamError
from signloom.media import HeldFile
from signloom.runtime.atomic import atomic_write, write_json
from signloom.runtime.hashing import fingerprint_hash
from signloom.runtime.names import MOST_BYTES, file_name
from signloom.runtime.text import json_line

if TYPE_CHECKING:
    from signloom.data.corpus import ShardedClips

FORMAT = "signloom-shards"
FORMAT_VERSION = 1
FILE_NAME = "shards.json"
SPLIT_FILE = "split.json"
INDEX = "__index__"
_BLOCK = tarfile.BLOCKSIZE


@dataclass(frozen=True)
class Shard:
    """One tar: how many clips and bytes, where its index stands, the hash of that, and of all (as ``b2sum -l 128``)."""

    file: str
    clips: int
    bytes: int
    index_at: int
    index: str
    content: str


@dataclass(frozen=True)
class Member:
    """One file of one clip: where it lies in its shard."""

    shard: str
    name: str
    offset: int
    size: int
    hash: str


@dataclass(frozen=True)
class ShardClip:
    """One clip of a shard; ``members`` by stream."""

    id: str
    label: str
    n_frames: int
    members: Mapping[str, Member]
    fps: float | None = None


@dataclass(frozen=True)
class Shards:
    """A corpus in shards: what ``shards.json`` says.

    ``labels`` are those of the training clips. ``corpus`` describes the corpus that the shards were made from,
    ``split`` how its clips were divided, ``split_hash`` identifies which train and which validate; ``made`` is all that
    decided the bytes.
    """

    root: Path
    splits: Mapping[str, tuple[Shard, ...]]
    labels: tuple[str, ...]
    streams: Mapping[str, Mapping[str, Any]]
    corpus: Mapping[str, Any]
    split: Mapping[str, Any]
    split_hash: str
    made: Mapping[str, Any]

    def n_clips(self, split: str) -> int:
        """How many clips stand in ``split``."""
        return sum(s.clips for s in self.splits.get(split, ()))

    def fingerprint(self, stream: str) -> Mapping[str, Any]:
        """How ``stream`` was made. Raises MissingStreamError."""
        if stream not in self.streams:
            raise MissingStreamError(
                f"shards '{self.root}' have no stream '{stream}'; they have {', '.join(sorted(self.streams))}. Make "
                f"them again from a corpus that has it: signloom shard … --streams {stream}"
            )
        return self.streams[stream]

    def copy_split(self, file: Path) -> None:
        """Write the split file that was kept with the shards as ``file``, atomically."""
        with atomic_write(file) as tmp:
            shutil.copyfile(self.root / SPLIT_FILE, tmp)

    def has_stream(self, stream: str) -> bool:
        """Whether the clips have ``stream``."""
        return stream in self.streams

    def clips(self, split: str) -> ShardedClips:
        """The clips of one split, looked up when they are asked for."""
        from signloom.data.corpus import ShardedClips

        return ShardedClips(self, split)

    def rates(self) -> dict[str, int]:
        """How many training clips have which frame rate; empty for shards of signloom 0.1."""
        return dict(self.corpus.get("rates", {}))

    def about(self) -> dict[str, Any]:
        """What a checkpoint and a report say about the corpus in these shards."""
        return {**self.corpus, "root": str(self.root.resolve()), "streams": dict(self.streams)}

    def identity(self) -> str:
        """Identifies the clips, their contents and their order."""
        return fingerprint_hash({s: [shard.index for shard in shards] for s, shards in sorted(self.splits.items())})


# --- writing ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """One clip to be written: ``about`` becomes its JSON, and ``files`` its other members, by stream."""

    id: str
    about: Mapping[str, Any]
    files: Mapping[str, str]


def member_key(clip_id: str) -> str:
    """The name of a clip's members up to the suffix: its id, without the dots that would end the name too early."""
    key = re.sub(r"[^\w-]", lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), clip_id)
    return key if len(key.encode()) <= MOST_BYTES else file_name(key)  # its hash follows a "~", which no other key has


def member_suffix(stream: str, file: str) -> str:
    """What follows a clip's key: ``.frames.mp4``, ``.flow.mp4``, ``.pose``."""
    suffix = Path(file).suffix
    return suffix if suffix == f".{stream}" else f".{stream}{suffix}"


def write_shard(file: Path, entries: Sequence[Entry]) -> dict[str, Any]:
    """Write ``entries`` as one tar, the same bytes each time, whole or not at all; returns the fields of its Shard.

    Raises MediaError naming the clip whose file is missing or changes while it is read.
    """
    whole = hashlib.blake2b(digest_size=16)
    with atomic_write(file) as tmp, open(tmp, "wb") as out:

        def add(name: str, data: bytes) -> int:
            put(_header(name, len(data)))
            start = out.tell()
            put(data)
            put(bytes(_padded(len(data)) - len(data)))
            return start

        def put(data: bytes) -> None:
            whole.update(data)
            out.write(data)

        lines = []
        for entry in entries:
            members = {}
            for suffix, size, source in _members(entry):
                data = source if isinstance(source, bytes) else source.read_bytes()
                if len(data) != size:
                    raise MediaError(f"clip '{entry.id}': '{source!r}' changes while it is read", "truncated")
                start = add(member_key(entry.id) + suffix, data)
                members[suffix.split(".")[1]] = [suffix, start, size, _hash(data, 8)]
            about = {name: entry.about[name] for name in ("label", "n_frames", "fps") if name in entry.about}
            lines.append(json_line({"id": entry.id, **about, "members": members}) + "\n")
        index = "".join(lines).encode()
        index_at = out.tell()
        add(INDEX, index)
        put(bytes(2 * _BLOCK))
        put(bytes(-out.tell() % tarfile.RECORDSIZE))
        size = out.tell()
    return asdict(Shard(file.name, len(entries), size, index_at, _hash(index, 16), whole.hexdigest()))


def entry_bytes(entry: Entry) -> int:
    """How many bytes ``entry`` takes in a shard. Raises MediaError when one of its files is missing."""
    return sum(_BLOCK + _padded(size) for _, size, _ in _members(entry))


def _members(entry: Entry) -> list[tuple[str, int, bytes | Path]]:
    about = (json.dumps(dict(entry.about), ensure_ascii=False, sort_keys=True) + "\n").encode()
    found: list[tuple[str, int, bytes | Path]] = [(".json", len(about), about)]
    for stream, name in sorted(entry.files.items()):
        try:
            size = os.stat(name).st_size
        except OSError as error:
            raise MediaError(
                f"clip '{entry.id}': its {stream} '{name}' cannot be read ({error.strerror}); prepare the corpus again",
                "missing",
            ) from error
        found.append((member_suffix(stream, name), size, Path(name)))
    return found


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)  # its defaults: no owner, no time
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict")


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _hash(data: bytes, n: int) -> str:
    return hashlib.blake2b(data, digest_size=n).hexdigest()


def write_shards(shards: Shards) -> Path:
    """Write ``shards.json`` into the folder of ``shards``: the last step, by which they are whole."""
    about = asdict(shards)
    del about["root"]
    return write_json(shards.root / FILE_NAME, {"format": FORMAT, "version": FORMAT_VERSION, **about})


# --- reading ------------------------------------------------------------------------------------------------------


def has_shards(folder: str | os.PathLike[str]) -> bool:
    """Whether ``folder`` holds finished shards."""
    return (Path(folder) / FILE_NAME).exists()


def read_shards(folder: str | os.PathLike[str]) -> Shards:
    """Read ``folder/shards.json`` and see that every shard is there in its full length.

    Raises InputError for what is no list of shards, MediaError naming the shard that is missing or cut off.
    """
    root = Path(folder)
    file = root / FILE_NAME
    if not file.exists():
        raise InputError(
            f"no shards at '{root}': '{file}' does not exist. It is written last, so an interrupted run has none: "
            "run the same `signloom shard` command again and it goes on where it was"
        )
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content.get("format") != FORMAT or content.get("version") != FORMAT_VERSION:
            raise InputError(
                f"'{file}' is {content.get('format')!r} version {content.get('version')!r}; this signloom reads "
                f"'{FORMAT}' version {FORMAT_VERSION}"
            )
        listed = {s: tuple(Shard(**row) for row in content["splits"].get(s, ())) for s in SPLITS}
        outside = [row.file for rows in listed.values() for row in rows if Path(row.file).name != row.file]
        if outside:
            raise InputError(f"'{file}' lists '{outside[0]}', which does not lie beside it")
        shards = Shards(
            root,
            {split: rows for split, rows in listed.items() if rows},
            tuple(content["labels"]),
            content["streams"],
            content["corpus"],
            content["split"],
            content["split_hash"],
            content["made"],
        )
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"'{file}' is not a whole signloom-shards file: {type(error).__name__}: {error}") from error
    for shard in (s for rows in shards.splits.values() for s in rows):
        path = root / shard.file
        got = path.stat().st_size if path.is_file() else None
        if got is None:
            raise MediaError(
                f"shard '{path}' is missing, though '{file}' lists it; copy it again, or {_AGAIN}", "missing"
            )
        if got != shard.bytes:
            reason = "truncated" if got < shard.bytes else "bad-header"
            raise MediaError(
                f"shard '{path}' has {got:,} bytes, expected {shard.bytes:,}; copy it again, or {_AGAIN}", reason
            )
    return shards


_AGAIN = "run the `signloom shard` command that made it again"


class _Opened:
    """A shard's file and what its index says; closed when nobody holds it any more."""

    def __init__(self, root: Path, shard: Shard):
        self.path = root / shard.file
        try:
            self.fd = os.open(self.path, os.O_RDONLY)
        except OSError as error:
            raise MediaError(f"shard '{self.path}' cannot be opened: {error.strerror}", "missing") from error
        weakref.finalize(self, os.close, self.fd)
        try:
            info = tarfile.TarInfo.frombuf(self.read(shard.index_at, _BLOCK), "utf-8", "strict")
            index = self.read(shard.index_at + _BLOCK, info.size)
        except tarfile.HeaderError:
            index = b""
        if _hash(index, 16) != shard.index:
            raise self.fail(f"holds other clips than '{FILE_NAME}' says: the hash of its index differs", "decode-error")
        self._lines = index.split(b"\n")

    def clip(self, position: int) -> ShardClip:
        row = json.loads(self._lines[position])
        key = member_key(row["id"])
        members = {
            stream: Member(self.path.name, key + suffix, offset, size, digest)
            for stream, (suffix, offset, size, digest) in row["members"].items()
        }
        return ShardClip(row["id"], row["label"], row["n_frames"], members, row.get("fps"))

    def read(self, offset: int, size: int) -> bytes:
        parts = []
        while size:
            part = os.pread(self.fd, size, offset)
            if not part:
                raise self.fail(f"ends early, at byte {offset:,}", "truncated")
            parts.append(part)
            offset, size = offset + len(part), size - len(part)
        return b"".join(parts)

    def fail(self, what: str, reason: str) -> MediaError:
        return MediaError(f"shard '{self.path}' {what}; copy it again, or {_AGAIN}", reason)


class OpenShards:
    """Some shards of a folder, of which at most ``capacity`` are open at a time: those used last. Takes any thread."""

    def __init__(self, root: Path, shards: Sequence[Shard], capacity: int):
        self._root, self._shards, self._capacity = root, {s.file: s for s in shards}, capacity
        self._held: OrderedDict[str, _Opened] = OrderedDict()
        self._lock = threading.Lock()
        self.opened = 0
        """How many times a shard was opened."""

    def clip(self, shard: Shard, position: int) -> ShardClip:
        """The clip at ``position`` of ``shard``. Raises MediaError when that is not the shard that was listed."""
        return self._open(shard.file).clip(position)

    def read(self, member: Member) -> HeldFile:
        """The bytes of one member. Raises MediaError, naming shard and clip, when they are not those written."""
        opened = self._open(member.shard)
        data = opened.read(member.offset, member.size)
        if _hash(data, 8) != member.hash:
            raise opened.fail(f"is damaged: the hash of its member '{member.name}' differs", "decode-error")
        return HeldFile(f"{opened.path}: {member.name}", data)

    def _open(self, file: str) -> _Opened:
        with self._lock:
            held = self._held.get(file)
            if held is None:
                held = self._held[file] = _Opened(self._root, self._shards[file])
                self.opened += 1
                while len(self._held) > self._capacity:
                    self._held.popitem(last=False)
            self._held.move_to_end(file)
            return held
