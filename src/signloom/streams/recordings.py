"""The files that clips are cut from, while a corpus is prepared: hashed once, opened once a process, read in order."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from signloom import media
from signloom.data.manifest import Record
from signloom.errors import InputError, MediaError
from signloom.media.index import Index, read_index, remember_index
from signloom.media.recording import Recording
from signloom.runtime.hashing import file_stamp
from signloom.runtime.once import once

RECENT_BYTES = 1 << 26
"""What is held of the frames of a recording decoded last, for clips that overlap."""


def shared_files(clips: Iterable[tuple[Record, Path]]) -> set[Path]:
    """The files, of those that clips start from, that several clips are cut from."""
    by_file: dict[Path, list[Record]] = defaultdict(list)
    for record, file in clips:
        by_file[file].append(record)
    return {file for file, cut in by_file.items() if len(cut) > 1 and not all(r.whole for r in cut)}


@contextmanager
def opened(path: Path, limits: media.Limits, *, part: bool, shared: Path | None) -> Iterator[Recording]:
    """The recording at ``path``.

    One that is ``shared`` by several clips stays open in this process for the next clip of it; ``shared`` is the folder
    in which processes tell each other what they found out about it.
    """
    if shared is None:
        with Recording(path, limits, part=part) as recording:
            yield recording
        return
    _share_index(path, limits, shared)
    recording = _held.take(path, limits) or Recording(path, limits, recent_bytes=RECENT_BYTES, near=0)
    try:
        yield recording
    except (MediaError, InputError):
        _held.keep(recording)
        raise
    except BaseException:  # a kill, or memory that ran out: who knows how it stands
        recording.close()
        raise
    else:
        _held.keep(recording)


def content_of(path: Path, shared: Path | None) -> str:
    """The content hash of the file, found once for all clips of it."""
    if shared is None:
        return media.content_hash(path)
    stamp = file_stamp(path)
    if stamp not in _hashes:
        _hashes.clear()
        _hashes[stamp] = once(shared, f"{stamp}-content", lambda: media.content_hash(path))
    return _hashes[stamp]


def let_go() -> None:
    """Close the recording that is held open in this process."""
    _held.close()
    _hashes.clear()
    _indexed.clear()


def _share_index(path: Path, limits: media.Limits, shared: Path) -> None:
    """See to it that one process walks through the file for its key frames."""
    stamp = file_stamp(path)
    if not stamp or stamp in _indexed or os.path.isdir(path):
        return

    def walk() -> dict | None:
        index = read_index(path, limits)
        return None if index is None else index.as_json()

    found = once(shared, f"{stamp}-index", walk)
    remember_index(path, None if found is None else Index.of_json(found))
    _indexed.add(stamp)


_hashes: dict[str, str] = {}
_indexed: set[str] = set()


@dataclass
class _Held:
    """The recording that was read last in this process, if it is left open."""

    recording: Recording | None = None
    known: tuple[str, media.Limits] | None = None

    def take(self, path: Path, limits: media.Limits) -> Recording | None:
        """It, if it is ``path``; while it is read, nobody else has it. Another is closed."""
        if self.known != (file_stamp(path), limits):
            self.close()
        taken, self.recording = self.recording, None
        self.known = None
        return taken

    def keep(self, recording: Recording) -> None:
        self.close()
        self.recording, self.known = recording, (file_stamp(Path(recording.path)), recording.limits)

    def close(self) -> None:
        if self.recording is not None:
            self.recording.close()
        self.recording = self.known = None


_held = _Held()
