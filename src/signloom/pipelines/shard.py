"""A prepared corpus as a few large tar files, to train on more clips than can be indexed or copied one by one."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from signloom.data.corpus import describe_corpus, split_hash_of
from signloom.data.leaks import refuse_leaks
from signloom.data.manifest import Manifest, Record
from signloom.data.manifest_fields import SPLITS
from signloom.data.rates import rates_of
from signloom.data.seen import Seen, seen_clips, write_seen
from signloom.data.shards import (
    FORMAT_VERSION,
    SPLIT_FILE,
    Entry,
    Shard,
    Shards,
    entry_bytes,
    has_shards,
    read_shards,
    write_shard,
    write_shards,
)
from signloom.data.splits import describe_split, split_of, write_split
from signloom.errors import InputError, MediaError
from signloom.runtime.hashing import file_stamp, fingerprint_hash
from signloom.runtime.locks import locking_out
from signloom.runtime.workers import Job, map_clips
from signloom.streams import STREAMS

_TIMEOUT_S = 3600.0  # for a shard
_UNREAD = ("flow_view", "signer", "skeleton")  # no recogniser reads them
_TOLD = ("id", "label", "signer", "source", "split", "parent", "n_frames", "fps", "content", "licence", "consent")
_CUT = ("first_frame", "end_frame", "box_px")  # of a prepared corpus, which has no ranges in seconds


@locking_out
def shard_corpus(
    manifest: Manifest,
    out: Path,
    *,
    streams: Sequence[str] | None = None,
    shard_mb: float = 512.0,
    seed: int = 0,
    workers: int | None = None,
    quiet: bool = False,
) -> Shards:
    """Write the clips of ``manifest``, which has a split, into tar files of about ``shard_mb`` MB and list them.

    ``streams`` are by default all that models read. Clips are dealt by chance (``seed``), so that each shard is a fair
    sample of its split; those in no split are left out. Resumable: a killed run goes on with the shards that are
    missing, and the result is the same bytes. Raises LeakError for a split that leaks, MissingStreamError, InputError
    for clips without label or length and for a folder that holds other shards, MediaError when a file cannot be read.
    """
    streams = tuple(streams or (s for s in STREAMS if s in manifest.meta.get("streams", {}) and s not in _UNREAD))
    unknown = [s for s in streams if s not in STREAMS]
    if unknown or not streams or not shard_mb > 0:
        raise InputError(
            f"shards: got streams {', '.join(streams) or 'none'} and {shard_mb:g} MB; expected some of "
            f"{', '.join(STREAMS)} that corpus '{manifest.root}' has, and more than 0 MB"
        )
    fingerprints = {stream: dict(manifest.fingerprint(stream)) for stream in streams}
    refuse_leaks(manifest)
    train = manifest.only("train")
    made: dict[str, Any] = {
        "corpus": manifest.corpus_hash(),
        "split": fingerprint_hash(sorted((r.id, r.split) for r in manifest if r.split)),
        "streams": fingerprints,
        "shard_mb": shard_mb,
        "seed": seed,
        "version": FORMAT_VERSION,
    }
    made = json.loads(json.dumps(made))  # as it reads once it was written
    if (done := _finished(out, made)) is not None:
        return done
    # Changed copies are there to learn from alone.
    chosen = manifest.where(lambda r: r.split in SPLITS and (r.split == "train" or not r.augmented))
    plan = _plan(chosen, streams, shard_mb * 2**20, seed)
    _refuse_others(out, plan)
    out.mkdir(parents=True, exist_ok=True)
    tasks = [Job(name, (out / name, entries), stamp=_stamp(entries)) for name, entries in plan.items()]
    outcomes = map_clips(
        write_shard,
        tasks,
        workers=workers,
        timeout_s=_TIMEOUT_S,
        journal=out / "journal.jsonl",
        whole=lambda value: _is_whole(out / value["file"], value["bytes"]),
        title="shard",
        unit="shards",
        quiet=quiet,
    )
    failed = [o for o in outcomes if not o.ok]
    if failed:
        raise MediaError(
            f"{len(failed)} of {len(outcomes)} shards could not be written; '{failed[0].id}': {failed[0].message}",
            failed[0].reason or "error",
        )
    rows = [Shard(**o.value) for o in outcomes if o.value is not None]
    about = {k: v for k, v in describe_corpus(manifest).items() if k not in ("root", "streams")}
    about["rates"] = rates_of(r.fps for r in train)
    split = split_of(manifest)
    write_split(split, out / SPLIT_FILE)
    write_seen(Seen(seen_clips(manifest, chosen)), out)
    shards = Shards(
        out,
        {s: tuple(row for row in rows if row.file.startswith(f"{s}-")) for s in SPLITS},
        train.labels,
        fingerprints,
        about,
        describe_split(split),
        split_hash_of(manifest),
        made,
    )
    write_shards(shards)
    return read_shards(out)


def _plan(manifest: Manifest, streams: Sequence[str], shard_bytes: float, seed: int) -> dict[str, list[Entry]]:
    """File name → clips: those of a split in a random order, cut into parts of about equal size."""
    plan = {}
    for number, split in enumerate(SPLITS):
        records = sorted((r for r in manifest if r.split == split), key=lambda r: r.id)
        order = np.random.default_rng((seed, number)).permutation(len(records))
        entries = [_entry(records[k], streams, manifest) for k in order]
        sizes = np.array([entry_bytes(e) for e in entries], np.int64)
        count = max(1, round(sizes.sum() / shard_bytes)) if entries else 0
        # A clip belongs to the part in which its middle byte lies.
        part = ((sizes.cumsum() - sizes / 2) * count // max(sizes.sum(), 1)).astype(int)
        for k, one in enumerate(np.unique(part)):
            plan[f"{split}-{k:06d}.tar"] = [entries[i] for i in np.flatnonzero(part == one)]
    return plan


def _entry(record: Record, streams: Sequence[str], manifest: Manifest) -> Entry:
    if record.label is None or not record.n_frames:
        what = "label" if record.label is None else "n_frames in the manifest"
        raise InputError(f"clip '{record.id}' of corpus '{manifest.root}' has no {what}; shards are of labelled clips")
    about: dict[str, Any] = {name: getattr(record, name) for name in _TOLD if getattr(record, name) is not None}
    if not record.whole:  # the content is that of the file: it takes the cut to know the clip
        about |= {name: getattr(record, name) for name in _CUT}
    extra = {k: v for k, v in record.extra.items() if not (isinstance(v, str) and os.path.isabs(v))}
    files = {s: str(record.path(s, manifest.root, "shard")) for s in streams}
    return Entry(record.id, {**about, **({"extra": extra} if extra else {})}, files)


def _stamp(entries: Sequence[Entry]) -> str:
    return fingerprint_hash(
        FORMAT_VERSION,
        [(e.id, e.about, [(s, file_stamp(Path(f))) for s, f in sorted(e.files.items())]) for e in entries],
    )


def _is_whole(file: Path, size: int) -> bool:
    return file.is_file() and file.stat().st_size == size


def _finished(out: Path, made: Mapping[str, Any]) -> Shards | None:
    """The shards of an earlier run of the same command, if it ended and they are all there."""
    if not has_shards(out):
        return None
    try:
        shards = read_shards(out)
    except MediaError:  # a shard went missing; it is made again, and until then there are none
        (out / "shards.json").unlink()
        return None
    if shards.made == made:
        return shards
    differs = sorted(k for k in made if shards.made.get(k) != made[k])
    raise InputError(
        f"'{out}' holds shards of another {', '.join(differs)}; choose another --out, or delete that folder"
    )


def _refuse_others(out: Path, plan: Mapping[str, Any]) -> None:
    """Refuse a folder with shards that do not belong to ``plan``, such as a killed run with other settings left."""
    names = sorted(p.name for p in out.glob("*.tar")) if out.is_dir() else []
    others = [name for name in names if name not in plan and re.fullmatch(rf"({'|'.join(SPLITS)})-\d+\.tar", name)]
    if others:
        raise InputError(
            f"'{out}' holds '{others[0]}', which is none of the {len(plan)} shards to be made; choose another --out, "
            "or delete that folder"
        )
