"""What every run shares that makes clips of a corpus's clips: jobs for the worker pool, and the pool over them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from signloom import media
from signloom.data.manifest import Record
from signloom.runtime import once
from signloom.runtime.hashing import file_stamp, fingerprint_hash
from signloom.runtime.workers import Job, Outcome, map_clips
from signloom.streams import recordings

JOURNAL = "journal.jsonl"


def clip_jobs(
    chosen: Sequence[Record],
    root: Path,
    out: Path,
    shaped: str,
    arguments: Callable[[Record, Path | None], tuple[Any, ...]],
    name: Callable[[Record], str] = lambda r: r.id,
) -> list[Job]:
    """One for each clip; those that are cut from one file are a group, in order of their start.

    ``shaped`` identifies the settings; ``arguments(record, shared)`` are the function's, ``shared`` the folder in which
    processes tell each other of a file that several clips are cut from, or None. ``name`` is what a job is called.
    """
    files = {r.id: root / r.streams["video"] for r in chosen if "video" in r.streams}
    shared = recordings.shared_files((r, files[r.id]) for r in chosen if r.id in files)
    jobs = []
    for r in chosen:
        several = files.get(r.id) in shared
        used = {s: file_stamp(root / r.streams[s]) for s in ("video", "frames", "pose") if s in r.streams}
        stamp = fingerprint_hash(shaped, used, r.range, r.box_px, r.fps)
        start = r.start_s if r.start_s is not None else r.first_frame / (r.fps or media.DEFAULT_FPS)
        args = arguments(r, out if several else None)
        jobs.append(Job(name(r), args, stamp, group=str(files[r.id]) if several else "", place=start))
    return jobs


def map_derived(
    function: Callable[..., dict[str, Any]],
    jobs: Sequence[Job],
    out: Path,
    files: Callable[[dict[str, Any]], Iterable[str]],
    **pool: Any,
) -> list[Outcome]:
    """:func:`signloom.runtime.workers.map_clips` with a journal in ``out``; ``files(value)`` are the paths below it
    that have to be there for an outcome to be used again."""
    try:
        outcomes = map_clips(
            function,
            jobs,
            journal=out / JOURNAL,
            whole=lambda value: all((out / p).exists() for p in files(value)),
            **pool,
        )
    finally:
        recordings.let_go()
    once.clear(out)
    return outcomes
