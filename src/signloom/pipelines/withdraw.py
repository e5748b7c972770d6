"""All that derives from one person: found in corpora, shards and runs, told, and removed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from signloom.data.consent import KEY, USES, WITHDRAWN, consent_in
from signloom.data.failures import FAILURES_FILE, read_failures, write_failures
from signloom.data.leaks import identity_in, root_parents
from signloom.data.manifest import FILE_NAME, Manifest, Record, read_manifest, write_manifest
from signloom.data.seen import SeenClip, read_seen, seen_clips, signer_hash
from signloom.data.shards import FILE_NAME as SHARDS_FILE
from signloom.data.shards import read_shards
from signloom.errors import CheckpointError, InputError, MediaError, SignloomError
from signloom.pipelines.derived import JOURNAL
from signloom.runtime.atomic import atomic_write
from signloom.runtime.locks import folder_lock
from signloom.runtime.names import file_name
from signloom.training.checkpoint import read_config

_FIGURES = (
    "evaluation*.json", "report*.html", "scores-*.npz", "sheet.png", "faces.png", "preview.png", "preview.mp4",
    "side_by_side.mp4", "split.json",
)  # fmt: skip
"""What may show or name a person beside a corpus or a run."""


@dataclass(frozen=True)
class OfPerson:
    """What one folder holds of a person.

    ``kind`` is corpus, shards or run. ``clips`` are ids, ``derived`` those of them that were made of others; ``files``
    what is removed with them; ``kept`` files that are named and left, with the reason.
    """

    folder: Path
    kind: str
    clips: tuple[str, ...] = ()
    derived: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    kept: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "kind": self.kind,
            "clips": list(self.clips),
            "derived": list(self.derived),
            "files": [str(f) for f in self.files],
            "kept": dict(self.kept),
        }


def find_person(folders: Sequence[Path], names: Sequence[str], *, sources: bool = False) -> list[OfPerson]:
    """What there is of a person, who is called one of ``names``, in ``folders`` and all below them.

    Clips that are the same as one of theirs are theirs, whatever their signer is called there. ``sources`` counts
    footage that lies outside of a corpus's folder among what is removed. Raises InputError for a
    folder that is not there, and where nothing is signed by anybody of those names.
    """
    corpora, shards, runs = _places(folders)
    found, seen = [], []
    known: set[str] = set()
    manifests = [read_manifest(folder) for folder in corpora]
    theirs = _identities([m for m in manifests if not _namesakes(m, names)], names)
    for manifest in manifests:
        known |= set(manifest.signers)
        if records := _of(manifest, names, theirs):
            seen += list(seen_clips(manifest, records))
            found.append(_in_corpus(manifest, records, sources))
    for folder in shards if found else ():
        if (own := _in_shards(folder, names, seen)) is not None:
            found.append(own)
    for folder in runs:
        if (own := _in_run(folder, names, seen)) is not None:
            found.append(own)
    if not found:
        raise InputError(
            f"nobody called {', '.join(repr(n) for n in names)} signs in {len(corpora)} corpora; there are "
            f"{', '.join(sorted(known)[:12]) or 'no signers'}"
        )
    return found


def _places(folders: Sequence[Path]) -> tuple[list[Path], list[Path], list[Path]]:
    corpora, shards, runs = [], [], []
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"'{folder}' is no folder; give corpora, shards, runs, or a folder of them")
        corpora += sorted(f.parent for f in folder.rglob(FILE_NAME))
        shards += sorted(f.parent for f in folder.rglob(SHARDS_FILE))
        runs += sorted({f.parent for f in folder.rglob("trained_on.json")} - set(shards))
    return list(dict.fromkeys(corpora)), list(dict.fromkeys(shards)), list(dict.fromkeys(runs))


def _namesakes(manifest: Manifest, names: Sequence[str]) -> dict[str, list[str]]:
    """Which of ``names`` several people had before the corpus was merged, and what the others are called in it; those
    whom ``names`` tell apart are left out."""
    found: dict[str, list[str]] = {}
    for part in manifest.meta.get("merged", ()):
        for name, called in part.get("signers", {}).items():
            if name in names:
                found.setdefault(name, []).append(called)
    return {name: called for name, called in found.items() if not set(called) & set(names)}


def _identities(manifests: Sequence[Manifest], names: Sequence[str]) -> set[tuple[Any, ...]]:
    """What tells the person's clips, where another corpus has them under another name: `merge --signers-apart`."""
    found = set()
    for manifest in manifests:
        identity = identity_in(manifest)
        found |= {same for r in manifest if r.signer in names and (same := identity(r)) is not None}
    return found


def _of(manifest: Manifest, names: Sequence[str], theirs: Set[tuple[Any, ...]]) -> list[Record]:
    """The person's clips, and all that was derived from them, whoever it is said to show."""
    namesakes = _namesakes(manifest, names)
    if namesakes and not theirs:
        name, others = next(iter(namesakes.items()))
        called = "', '".join(others)
        raise InputError(
            f"'{name}' were several people before '{manifest.root}' was merged; now they are '{name}' and "
            f"'{called}'. Give the folder of the corpus that is meant as well: their clips are known by it"
        )
    identity = identity_in(manifest)
    own = {r.id for r in manifest if (r.signer in names and r.signer not in namesakes) or identity(r) in theirs}
    root = root_parents(manifest)
    return [r for r in manifest if r.id in own or root.get(r.id) in own or r.parent in own]


def _in_corpus(manifest: Manifest, records: Sequence[Record], sources: bool) -> OfPerson:
    base = manifest.root.resolve()
    ids = {r.id for r in records}
    others = {_file(manifest, p) for r in manifest if r.id not in ids for p in r.streams.values()}
    files: dict[Path, None] = {}
    kept: dict[str, str] = {}
    for record in records:
        for path in record.streams.values():
            file = _file(manifest, path)
            if not file.exists():
                continue
            if file in others:
                kept[str(file)] = "clips of others are cut from it"
            elif sources or file.is_relative_to(base):
                files[file] = None
            else:
                kept[str(file)] = "outside of the corpus (--sources removes it too)"
        for stream in {s for r in manifest for s in r.streams}:  # what other settings made, and no record names
            for file in (base / stream).glob(f"{_escaped(file_name(record.id))}-*"):
                if file.is_file() and file.resolve() not in others:
                    files[file.resolve()] = None
    files |= dict.fromkeys(_figures(base))
    derived = tuple(r.id for r in records if r.parent is not None)
    return OfPerson(manifest.root, "corpus", tuple(r.id for r in records), derived, tuple(files), kept)


def _file(manifest: Manifest, path: str) -> Path:
    return (manifest.root / path).resolve()


def _escaped(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _figures(folder: Path) -> list[Path]:
    return sorted(file.resolve() for pattern in _FIGURES for file in folder.glob(pattern))


def _in_shards(folder: Path, names: Sequence[str], seen: Sequence[SeenClip]) -> OfPerson | None:
    """One clip cannot be taken out of a tar file whose hash is listed: the shards go, and are made again."""
    try:
        shards = read_shards(folder)
        clips = [c.id for split in shards.splits for c in shards.clips(split) if c.signer in names]
        files = [folder / row.file for rows in shards.splits.values() for row in rows]
    except MediaError:  # one is missing or cut off, as after a removal that was killed
        clips, files = [], sorted(folder.glob("*-??????.tar"))
    told = _same_clips(read_seen(folder), seen)
    if not clips and not told:
        return None
    files += [folder / name for name in (SHARDS_FILE, JOURNAL, "split.json", "trained_on.json")]
    there = tuple(f.resolve() for f in files if f.exists())
    return OfPerson(folder, "shards", tuple(clips), (), there, {"again": "make them again: signloom shard …"})


def _in_run(folder: Path, names: Sequence[str], seen: Sequence[SeenClip]) -> OfPerson | None:
    kept = read_seen(folder)
    run = folder.parent if folder.name == "checkpoint" else folder
    told = _same_clips(kept, seen)
    if not told:  # clips that are gone, or were taught from plain files: the name alone is left, and others may bear it
        called = {signer_hash(n) for n in names}
        n = sum(clip.signer in called for clip in kept.clips) if kept is not None else 0
        why = f"its model learnt from {n} other clips of a signer of that name; if that is the person, train it again"
        return OfPerson(run, "run", (), (), (), {str(run): why}) if n else None
    why = f"its model learnt from {told} of the clips; only training it again takes that out"
    if labels := _taught_by(folder, seen):
        why += f". Signs that they taught it since: {', '.join(labels)} (signloom teach --forget takes each out)"
    return OfPerson(run, "run", (), (), tuple(_figures(run.resolve())), {str(run): why})


def _taught_by(folder: Path, seen: Sequence[SeenClip]) -> list[str]:
    """The signs that a model was taught by clips of the person, among others maybe."""
    try:
        taught = read_config(folder).get("taught") or {}
    except CheckpointError:  # none, or broken: what the model learnt from is told all the same
        return []
    ids = {c.id for c in seen}
    return [label for label, about in taught.items() if ids & set(about["seen"])]


def _same_clips(kept: Any, seen: Sequence[SeenClip]) -> int:
    """How many clips of ``kept``, what a model learnt from, show what the person's clips show, or bear their ids."""
    if kept is None:
        return 0
    ids = {c.id for c in seen} | {c.root for c in seen}
    places = {f.place for c in seen for f in (*c.footage, *c.root_footage)}
    return sum(
        c.id in ids or c.root in ids or any(f.place in places for f in (*c.footage, *c.root_footage))
        for c in kept.clips
    )


def remove_person(found: Iterable[OfPerson], names: Sequence[str], day: str | None = None) -> int:
    """Remove what :func:`find_person` found and note the withdrawal; return how many files went.

    Files go first, and the manifests by which they are found last, so that a run that was killed is finished by the
    same command. What earlier runs noted of the clips (journals, failures) goes too.
    """
    day = day or date.today().isoformat()
    found, gone = list(found), 0
    for one in found:
        with folder_lock(one.folder):
            for file in one.files:
                if file.exists():
                    file.unlink()
                    gone += 1
    for one in found:
        if one.kind == "corpus":
            with folder_lock(one.folder):
                _without(one, names, day)
    return gone


def _without(one: OfPerson, names: Sequence[str], day: str) -> None:
    manifest = read_manifest(one.folder)
    out = set(one.clips)
    given = {s: dict(c) for s, c in consent_in(manifest).items()}
    namesakes = _namesakes(manifest, names)
    called = {name for name in names if name not in namesakes and (name in manifest.signers or name in given)}
    called |= _signers(manifest.where(lambda r: r.id in out))
    for name in sorted(called):
        given[name] = {**given.get(name, {}), WITHDRAWN: day}
    meta = {**manifest.meta, KEY: given}
    rest = manifest.where(lambda r: r.id not in out)
    write_manifest(replace(rest, meta=meta), one.folder)
    journal = one.folder / JOURNAL
    if journal.exists():
        rows = [row for row in journal.read_text(encoding="utf-8").splitlines(True) if _id_in(row) not in out]
        with atomic_write(journal) as tmp:
            tmp.write_text("".join(rows), encoding="utf-8")
    if (one.folder / FAILURES_FILE).exists():
        write_failures(one.folder, [row for row in read_failures(one.folder) if row.get("id") not in out])


def _signers(records: Iterable[Record]) -> set[str]:
    """Who signs in the clips that were made of no other."""
    return {r.signer for r in records if r.parent is None and r.signer is not None}


def _id_in(row: str) -> str | None:
    try:
        return str(json.loads(row).get("id"))
    except (ValueError, AttributeError):
        return None


def mark_uses(folders: Sequence[Path], names: Sequence[str], uses: Sequence[str]) -> list[Path]:
    """Note in every corpus that one of ``names`` signs in that they no longer allow ``uses``; return those corpora."""
    if wrong := [u for u in uses if u not in USES]:
        raise InputError(f"uses: got {', '.join(wrong)}, expected some of {', '.join(USES)}")
    manifests = [read_manifest(folder) for folder in _places(folders)[0]]
    theirs = _identities([m for m in manifests if not _namesakes(m, names)], names)
    marked = []
    for manifest in manifests:
        given = {s: dict(c) for s, c in consent_in(manifest).items()}
        here = _signers(_of(manifest, names, theirs))
        for name in sorted(here):
            given[name] = {**given.get(name, {}), **dict.fromkeys(uses, False)}
        if here:
            with folder_lock(manifest.root):
                write_manifest(replace(manifest, meta={**manifest.meta, KEY: given}), manifest.root)
            marked.append(manifest.root)
    if not marked:
        raise SignloomError(f"nobody called {', '.join(names)} signs in any of the corpora")
    return marked
