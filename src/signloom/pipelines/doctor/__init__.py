"""What is wrong with a corpus: every file looked at in a process that can be killed, then the corpus as a whole."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from signloom.data.manifest import Manifest, Record
from signloom.errors import InputError
from signloom.media import Limits
from signloom.pipelines.doctor.notes import Media, main_stream, media_of, notes_of
from signloom.pipelines.doctor.one_file import WHOLE, Facts, examine
from signloom.pipelines.doctor.problems import KINDS, Problem, problems_of
from signloom.pipelines.doctor.published import compare
from signloom.runtime.workers import Job, map_clips
from signloom.sources import read_source
from signloom.sources.listing import list_media, records_of


@dataclass(frozen=True)
class Diagnosis:
    """All that is wrong with a corpus, and what is worth knowing about it."""

    root: str
    source: str | None
    full: bool
    clips: int
    files: int
    labels: int
    signers: int
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    published: Mapping[str, Mapping[str, Any]]
    media: Media
    seconds: float

    @property
    def counts(self) -> dict[str, int]:
        """How many problems there are of each kind, in the order of :data:`KINDS`."""
        return dict(Counter(p.kind for p in self.problems))

    def as_dict(self) -> dict[str, Any]:
        """What ``signloom doctor --json`` prints."""
        return {
            "kind": "doctor",
            "root": self.root,
            "source": self.source,
            "full": self.full,
            "clips": self.clips,
            "files": self.files,
            "labels": self.labels,
            "signers": self.signers,
            "ok": not self.problems,
            "problem_counts": self.counts,
            "problems": [p.as_dict() for p in self.problems],
            "notes": list(self.notes),
            "published": {split: dict(row) for split, row in self.published.items()},
            "media": asdict(self.media),
            "seconds": self.seconds,
        }


def diagnose(
    root: Path,
    *,
    source: str = "auto",
    pattern: str | None = None,
    options: Mapping[str, str] | None = None,
    full: bool = False,
    published: Path | None = None,
    workers: int | None = None,
    timeout_s: float = 120,
    max_frames: int = 20_000,
    quiet: bool = False,
) -> Diagnosis:
    """Examine the corpus at ``root``, every frame of it if ``full``, and compare it with the list ``published``."""
    began = time.monotonic()
    manifest, notes = _read(root, source, pattern, options or {})
    files = _files(manifest)
    outcomes = map_clips(
        examine,
        _jobs(files, full, Limits(max_frames=max_frames, max_seconds=timeout_s)),
        workers=workers,
        timeout_s=timeout_s + 5,  # the reader stops itself first, and says where it was
        title="examining",
        quiet=quiet,
    )
    problems: list[Problem] = []
    facts: dict[str, Facts] = {}
    for (path, records), outcome in zip(files.items(), outcomes):
        ids = tuple(r.id for r in records)
        if outcome.ok:
            facts[path] = Facts(**(outcome.value or {"how": "bytes"}))
            problems += [Problem(kind, path, ids, message) for kind, message in facts[path].found]
        else:
            reason = outcome.reason if outcome.reason in KINDS else "error"
            problems.append(Problem(reason, path, ids, outcome.message or ""))
    problems += problems_of(manifest, files, facts)
    order = {kind: k for k, kind in enumerate(KINDS)}
    problems.sort(key=lambda p: (order[p.kind], p.file or ""))
    shown = main_stream(manifest, facts)
    shares = dict(manifest.meta.get("published") or {}) if published is None else compare(manifest, published)
    return Diagnosis(
        root=str(root),
        source=manifest.meta.get("source"),
        full=full,
        clips=len(manifest),
        files=len(files),
        labels=len(manifest.labels),
        signers=len(manifest.signers),
        problems=tuple(problems),
        notes=(*notes, *notes_of(manifest, files, facts, shown, notes)),
        published={
            split: {**row, "share": round(row["present"] / row["listed"], 4) if row["listed"] else None}
            for split, row in shares.items()
        },
        media=media_of(shown),
        seconds=round(time.monotonic() - began, 1),
    )


def _read(root: Path, source: str, pattern: str | None, options: Mapping[str, str]) -> tuple[Manifest, list[str]]:
    """The corpus; a folder that cannot be told is examined without labels, which is said."""
    try:
        manifest = read_source(root, source=source, pattern=pattern, **options)
    except InputError as error:
        if source != "auto" or pattern is not None or options or not root.is_dir():
            raise
        listing = list_media(root)
        if not listing.files:
            raise
        manifest = Manifest(records_of((p, {}) for p in listing.files), root, {"source": "files", **listing.meta()})
        return manifest, [f"labels and signers are not known, only files are examined: {error}"]
    return manifest, list(manifest.meta.get("notes", ()))


def _files(manifest: Manifest) -> dict[str, list[Record]]:
    """Absolute path → the records that use it, each file once."""
    files: dict[str, list[Record]] = {}
    for record in manifest:
        for path in record.streams.values():
            files.setdefault(os.path.join(manifest.root, path), []).append(record)
    return files


def _jobs(files: Mapping[str, Sequence[Record]], full: bool, limits: Limits) -> list[Job]:
    sizes: dict[str, int] = {}
    for path in files:
        try:
            sizes[path] = os.stat(path).st_size
        except OSError:
            continue
    shared = Counter(sizes.values())
    return [
        # Only files of equal size can be duplicates, so only those are read whole for their hash.
        Job(
            path,
            (
                path,
                _how(path, records),
                full,
                shared.get(sizes.get(path, -1), 0) > 1,
                limits,
                str(records[0].extra.get("person", "auto")),
                _parts(records),
                records[0].fps,
                [r.extra.get("imu") or {} for r in records],
            ),
        )
        for path, records in files.items()
    ]


def _parts(records: Sequence[Record]) -> list[tuple[Any, ...]]:
    """What clips are cut from a file, each range once, as of :attr:`Record.range`."""
    parts = {record.range for record in records}
    return [WHOLE] if WHOLE in parts else list(parts)


def _how(path: str, records: Sequence[Record]) -> str:
    suffix = os.path.splitext(path)[1].lower()
    used_as = {name for r in records for name, p in r.streams.items() if path.endswith(p)}
    if used_as == {"imu"}:
        return "sensor"  # a table of sensors, not of landmarks
    if suffix == ".pose" or (suffix == ".mat" and used_as == {"pose"}):
        return "pose"
    if path.lower().endswith((".csv", ".csv.gz")):
        return "landmarks"
    return "bytes" if suffix in (".mat", ".npy", ".npz", ".txt", ".json") else "video"


__all__ = ["KINDS", "Diagnosis", "Media", "Problem", "diagnose"]
