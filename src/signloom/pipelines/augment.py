"""A corpus made larger: changed copies of its clips, each in its parent's split. Resumable, each clip in a worker."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from signloom import media
from signloom.data.failures import write_failures
from signloom.data.manifest import Manifest, Record, write_manifest
from signloom.errors import InputError, MachineError, NothingPreparedError
from signloom.pipelines.derived import JOURNAL, clip_jobs, map_derived
from signloom.runtime.hashing import fingerprint_hash
from signloom.runtime.journal import open_journal
from signloom.runtime.locks import locking_out
from signloom.runtime.workers import Job, Outcome, default_workers
from signloom.streams import recordings
from signloom.streams.derive import Derivation, derive_clip, streams_for
from signloom.transforms.augment.policy import Policy

LIMITS = media.Limits()


def for_training(record: Record) -> bool:
    """Whether a clip may have copies: filmed, and not held out for validation or test."""
    return record.split in (None, "train") and not record.augmented


def derivation_of(
    manifest: Manifest, policy: Policy, times: int = 1, seed: int = 0, streams: Sequence[str] | None = None
) -> Derivation:
    """How copies of the clips of ``manifest`` are made: by default with all of its streams that a copy can have.

    Raises InputError for streams that the corpus has not, or that no copy can have.
    """
    made = manifest.meta.get("streams", {})
    there = sorted({s for r in manifest for s in r.streams})
    able = streams_for(there, made)
    if streams is None:
        streams = tuple(s for s in able if s == "pose") if policy.parts_from_pictures else able
    if missing := [s for s in streams if s not in able]:
        raise InputError(
            f"--streams {' '.join(missing)}: the clips of '{manifest.root}' have {', '.join(there) or 'nothing'}, of "
            f"which copies can have {', '.join(able) or 'none'}. Run: signloom prepare … --streams {missing[0]}"
        )
    if not streams:
        raise InputError(
            f"the clips of '{manifest.root}' have {', '.join(there) or 'nothing'}: copies are made of video, frames or "
            "poses found in pictures"
        )
    return Derivation(policy, times, seed, tuple(streams), {s: made[s] for s in streams if s in made})


@dataclass(frozen=True)
class Estimate:
    """What making the copies will take: ``clips`` to copy, ``nbytes`` of files, ``seconds`` with ``workers``; and the
    ``free_bytes`` there are."""

    clips: int
    copies: int
    nbytes: int
    seconds: float
    workers: int
    free_bytes: int

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "seconds": round(self.seconds, 1)}


def estimate(
    manifest: Manifest,
    out: Path,
    how: Derivation,
    *,
    choose: Callable[[Record], bool] = for_training,
    workers: int | None = None,
    limits: media.Limits = LIMITS,
) -> Estimate:
    """Make the copies of one clip of middle length, on the disk of ``out``, and reckon from it for those that are not
    there yet. A clip that cannot be read tells nothing; another is tried."""
    jobs = _jobs(_chosen(manifest, choose), manifest.root, out, how, limits)
    known: dict[str, str] = {}
    if (out / JOURNAL).exists():
        with open_journal(out / JOURNAL) as (rows, _):
            known = {key: row["stamp"] for key, row in rows.items()}
    todo = [job for job in jobs if known.get(job.id) != job.stamp]
    above = next(p for p in (out, *out.absolute().parents) if p.exists())
    workers = min(workers or default_workers(), max(len(todo), 1))
    nbytes, seconds = 0, 0.0
    ordered = sorted(todo, key=lambda job: _length(job.args[0]))
    for job in ordered[len(ordered) // 2 :][:5]:
        record = job.args[0]
        with tempfile.TemporaryDirectory(dir=above, prefix=".tmp-estimate-") as scratch:
            began = time.perf_counter()
            try:
                derive_clip(record, manifest.root, Path(scratch), how, limits)
            except MachineError:
                raise
            except Exception:  # it will be told of when its turn comes
                continue
            took = time.perf_counter() - began
            size = sum(file.stat().st_size for file in Path(scratch).rglob("*") if file.is_file())
        share = sum(_length(j.args[0]) for j in todo) / max(_length(record), 1)
        nbytes, seconds = round(size * share), took * share / workers
        break
    recordings.let_go()
    return Estimate(len(todo), len(todo) * how.times, nbytes, seconds, workers, shutil.disk_usage(above).free)


def _length(record: Record) -> int:
    return record.n_frames or max((record.end_frame or 100) - record.first_frame, 1)


def _chosen(manifest: Manifest, choose: Callable[[Record], bool]) -> list[Record]:
    chosen = [r for r in manifest if choose(r)]
    if not chosen:
        splits = dict(Counter(r.split or "no split" for r in manifest))
        raise InputError(
            f"'{manifest.root}' has no clip to copy: {len(manifest)} clips ({splits}), of which "
            f"{sum(r.augmented for r in manifest)} are copies already"
        )
    return chosen


@locking_out
def augment_corpus(
    manifest: Manifest,
    out: Path,
    how: Derivation,
    *,
    choose: Callable[[Record], bool] = for_training,
    originals: bool = True,
    workers: int | None = None,
    timeout_s: float = 600.0,
    ray_address: str | None = None,
    limits: media.Limits = LIMITS,
    title: str = "augment",
    quiet: bool = False,
) -> tuple[Manifest, list[Outcome]]:
    """Make ``how.times`` copies of each clip that ``choose`` takes, into the folder ``out``; return the corpus of the
    originals (unless not ``originals``) and the copies, and all outcomes.

    A copy has its parent's label, signer, source and split, and ``parent``; ``extra["augmented"]`` tells how it was
    made, and ``meta["augmented"]`` the policy. Resumable: the result is the same bytes, in any number of workers.
    Clips that fail are listed in ``failures.jsonl``; their originals stay. Inputs are never changed.
    Raises NothingPreparedError when no copy could be made.
    """
    out.mkdir(parents=True, exist_ok=True)
    if out.resolve() == manifest.root.resolve():
        raise InputError(f"--out '{out}' is the corpus itself; inputs are never changed, so choose another folder")
    chosen = _chosen(manifest, choose)
    taken = {r.id for r in manifest}
    if clash := next((i for r in chosen for k in range(how.times) if (i := how.copy_id(r, k)) in taken), None):
        raise InputError(f"there is a clip '{clash}' already, and a copy would have its name; give the policy another")
    outcomes = map_derived(
        derive_clip,
        _jobs(chosen, manifest.root, out, how, limits),
        out,
        lambda value: [p for copy in value["copies"] for p in copy["streams"].values()],
        workers=workers,
        timeout_s=timeout_s,
        ray_address=ray_address,
        title=title,
        quiet=quiet,
    )
    failures = [
        {"id": o.id, "file": next(iter(r.streams.values()), None), "reason": o.reason, "message": o.message}
        for r, o in zip(chosen, outcomes)
        if not o.ok
    ]
    write_failures(out, failures)
    made = [
        _derived(record, copy, out)
        for record, outcome in zip(chosen, outcomes)
        if outcome.ok and outcome.value is not None
        for copy in outcome.value["copies"]
    ]
    if not made:
        raise NothingPreparedError(
            f"no copy could be made of any of {len(failures)} clips of '{manifest.root}'; the first: "
            f"{failures[0]['message']}",
            failures,
        )
    kept = [_at_home(r, manifest.root) for r in manifest] if originals else []
    about = {"augmented": {**how.as_dict(), "times": how.times, "streams": list(how.streams)}}
    streams = manifest.meta.get("streams", {})
    if not originals:
        streams = {name: found for name, found in streams.items() if name in how.streams}
    meta = {**manifest.meta, **({"streams": streams} if streams else {}), **about, "failed": len(failures)}
    corpus = Manifest((*kept, *made), out, meta)
    write_manifest(corpus, out)
    return corpus, outcomes


def _jobs(chosen: Sequence[Record], root: Path, out: Path, how: Derivation, limits: media.Limits) -> list[Job]:
    shaped = fingerprint_hash(how.as_dict(), how.times, how.streams, how.fingerprints)
    return clip_jobs(chosen, root, out, shaped, lambda r, shared: (r, root, out, how, limits, shared))


def _at_home(record: Record, root: Path) -> Record:
    return replace(record, streams={s: str((root / p).resolve()) for s, p in record.streams.items()})


_NOT_OF_COPIES = ("crop", "crop_outside", "seen", "pose_found", "imu", "imu_found", "depth", "source_frames")
"""What a record says of its own files, and so nothing of a copy's."""


def _derived(record: Record, copy: Mapping[str, Any], out: Path) -> Record:
    extra = {k: v for k, v in record.extra.items() if k not in _NOT_OF_COPIES}
    seen = {"seen": copy["seen"]} if copy["seen"] else {}
    return Record(
        id=copy["id"],
        label=record.label,
        signer=record.signer,
        source=record.source,
        split=record.split,
        parent=record.id,
        streams={s: str((out / p).resolve()) for s, p in copy["streams"].items()},
        n_frames=copy["n_frames"],
        fps=copy["fps"],
        content=copy["content"],
        licence=record.licence,
        consent=record.consent,
        extra={**extra, **seen, **copy["extra"]},
    )
