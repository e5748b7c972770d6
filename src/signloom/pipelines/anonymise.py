"""A corpus that can be shared: faces covered or movement on another body, and no name of anybody in it. Resumable."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from signloom import media
from signloom.data.consent import KEY as CONSENT
from signloom.data.consent import consent_in, permitted
from signloom.data.croissant import write_croissant
from signloom.data.failures import write_failures
from signloom.data.manifest import FILE_NAME, Manifest, Record, write_manifest
from signloom.errors import InputError, NothingPreparedError
from signloom.pipelines.derived import clip_jobs, map_derived
from signloom.runtime.atomic import atomic_write, read_json
from signloom.runtime.hashing import fingerprint_hash
from signloom.runtime.locks import locking_out
from signloom.runtime.workers import Outcome
from signloom.streams.anonymise import Anonymisation, anonymise_clip
from signloom.streams.holistic.faces import FaceBoxes
from signloom.streams.pose import imported_fingerprint

LIMITS = media.Limits()
KEY_FORMAT = "signloom-key"
SHEET = "sheet.png"
_SECRET_FILE = ".secret.json"
_STREAMS = ("video", "pose")
_COLUMNS, _WIDE_PX = 6, 240


@dataclass
class Names:
    """What everybody and everything is called instead: pseudonyms that follow from a secret alone.

    Who has no secret cannot tell whose they are, not even by trying names. With ``copies`` names stay, and a clip is
    called by its own name with that behind it: for copies that are learnt from beside the originals, not for sharing.
    """

    secret: bytes
    signers: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    clips: dict[str, str] = field(default_factory=dict)
    copies: str = ""

    def signer(self, name: str | None) -> str | None:
        return self._called(self.signers, "p", name, 8)

    def source(self, name: str | None) -> str | None:
        return self._called(self.sources, "s", name, 8)

    def clip(self, name: str) -> str:
        called = self._called(self.clips, "c", name, 12)
        assert called is not None
        return called

    def _called(self, known: dict[str, str], kind: str, name: str | None, digits: int) -> str | None:
        if name is None:
            return None
        if self.copies:
            return f"{name}~{self.copies}" if kind == "c" else name
        if name not in known:
            key = hashlib.sha256(self.secret).digest()
            digest = hashlib.blake2b(f"{kind}\x1f{name}".encode("utf-8", "surrogatepass"), key=key, digest_size=16)
            called, taken = f"{kind}-{digest.hexdigest()[:digits]}", set(known.values())
            known[name] = called if called not in taken else f"{kind}-{digest.hexdigest()}"
        return known[name]

    def as_dict(self) -> dict[str, Any]:
        return {
            "format": KEY_FORMAT,
            "about": "who is who in an anonymised corpus. Keep it to yourself, or delete it: then nobody can tell",
            "secret": self.secret.hex(),
            "signers": self.signers,
            "sources": self.sources,
            "clips": self.clips,
        }


def read_key(file: Path) -> Names:
    """The names in a key file. Raises InputError for another file."""
    try:
        kept = read_json(file)
    except OSError as error:
        raise InputError(f"no key at '{file}': {error.strerror}") from error
    try:
        if kept["format"] != KEY_FORMAT:
            raise KeyError("format")
        kinds = ("signers", "sources", "clips")
        signers, sources, clips = ({str(a): str(b) for a, b in kept[kind].items()} for kind in kinds)
        return Names(bytes.fromhex(kept["secret"]), signers, sources, clips)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"'{file}' is no key that `signloom anonymise --key` wrote: {error!r}") from error


def names_for(out: Path, key: Path | None) -> Names:
    """The names to go on with: those of ``key`` where it exists, of a run that was killed, or new ones.

    Raises InputError where ``out`` holds a corpus whose names nobody kept, and for a key that would be shared with it.
    """
    if key is not None and key.resolve().is_relative_to(out.resolve()):
        raise InputError(f"--key '{key}' lies in the corpus that is to be shared; keep it elsewhere")
    if key is not None and key.exists():
        return read_key(key)
    begun = out / _SECRET_FILE
    if begun.exists():
        return Names(bytes.fromhex(str(read_json(begun).get("secret", ""))))
    if (out / FILE_NAME).exists():
        raise InputError(
            f"'{out}' holds a corpus already, and its key is not given; give --key, or choose another folder"
        )
    return Names(secrets.token_bytes(32))


@locking_out
def anonymise_corpus(
    manifest: Manifest,
    out: Path,
    how: Anonymisation,
    *,
    key: Path | None = None,
    copies: str = "",
    workers: int | None = None,
    timeout_s: float = 1200.0,
    limits: media.Limits = LIMITS,
    quiet: bool = False,
) -> tuple[Manifest, list[Outcome]]:
    """Make an anonymised copy of every clip of ``manifest`` into ``out``; return the new corpus and all outcomes.

    A clip keeps its label, split and licence; its id, signer, session, path and parent get pseudonyms, and all else
    that a record may say is left out. ``key``, a file outside of ``out``, keeps who is who; it is there from the start,
    so that a killed run goes on. With the same key the result is the same bytes, in any number of workers. Clips that
    fail are left out and listed, without what their messages say of paths. Inputs are never changed; ``how.secret`` is
    taken from the names. With ``copies`` names stay and each clip is a copy, of that name, of the one it was made of:
    for learning from beside the originals (``signloom ablate``), not for sharing.
    Raises NothingPreparedError when no clip could be anonymised.
    """
    if out.resolve() == manifest.root.resolve():
        raise InputError(f"--out '{out}' is the corpus itself; inputs are never changed, so choose another folder")
    manifest, _ = permitted(manifest, "training" if copies else "display")
    if not manifest.records:
        raise InputError(f"'{manifest.root}' has no clip to anonymise, or nobody in it lets theirs be shown")
    if how.pictured:
        FaceBoxes()  # the error for networks that are missing comes before anything else
    if how.swap is not None:
        how.swap.painter()  # as that for a target without consent
    if copies and key is not None:
        raise InputError("a key undoes pseudonyms, and copies to learn from have none; leave one of them out")
    names = Names(b"", copies=copies) if copies else names_for(out, key)
    out.mkdir(parents=True, exist_ok=True)
    if key is None and not copies:
        _write_private(out / _SECRET_FILE, {"secret": names.secret.hex()})
    elif key is not None and not key.exists():
        _write_private(key, names.as_dict())  # a run that is killed goes on with the same names
    how = replace(how, secret=names.secret)
    chosen = sorted(manifest, key=lambda r: names.clip(r.id))
    shaped = fingerprint_hash(how.as_dict(), names.secret.hex(), *how.untold)
    outcomes = map_derived(
        anonymise_clip,
        clip_jobs(
            chosen,
            manifest.root,
            out,
            shaped,
            lambda r, shared: (r, names.clip(r.id), manifest.root, out, how, limits, shared),
            name=lambda r: names.clip(r.id),
        ),
        out,
        lambda value: value["streams"].values(),
        workers=workers,
        timeout_s=timeout_s,
        title="anonymise",
        quiet=quiet,
    )
    failures = _failures(chosen, outcomes, names)
    write_failures(out, failures)
    records = [_shared(r, o.value, out, names) for r, o in zip(chosen, outcomes) if o.ok and o.value is not None]
    if not records:
        first = next(o for o in outcomes if not o.ok)
        raise NothingPreparedError(
            f"none of {len(failures)} clips of '{manifest.root}' could be anonymised; the first: {first.message}",
            failures,
        )
    corpus = Manifest(tuple(records), out, _header(manifest, how, records, names, len(failures)))
    if key is not None:
        for record in manifest:
            names.signer(record.signer)
            names.source(record.source)
        _write_private(key, names.as_dict())
    _remove_others(out, records)
    write_manifest(corpus, out)
    write_croissant(corpus)
    (out / _SECRET_FILE).unlink(missing_ok=True)
    return corpus, outcomes


def _write_private(file: Path, value: Mapping[str, Any]) -> None:
    with atomic_write(file, private=True) as tmp:
        tmp.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _failures(chosen: Sequence[Record], outcomes: Sequence[Outcome], names: Names) -> list[dict[str, Any]]:
    """The clips that failed, under their new names, without what their messages say of paths."""
    told = "see what was printed, or the key's owner"
    return [
        {"id": names.clip(r.id), "file": None, "reason": o.reason, "message": told}
        for r, o in zip(chosen, outcomes)
        if not o.ok
    ]


def _shared(record: Record, value: Mapping[str, Any], out: Path, names: Names) -> Record:
    """What may be said of a clip. Of what it was made the pseudonym is told even where that is not shared: clips that
    were made of one must not be parted by a split."""
    seen = {"seen": value["seen"]} if value.get("seen") else {}
    found = {"anonymised": value["found"]} if value.get("found") else {}
    copied = record.extra.get("augmented")
    augmented = {k: copied[k] for k in ("policy", "copy", "seed") if k in copied} if isinstance(copied, Mapping) else {}
    parent = None if record.parent is None else names.clip(record.parent)
    if names.copies:
        augmented, parent = {"policy": names.copies, "copy": 1, "seed": 0}, record.id
    return Record(
        id=names.clip(record.id),
        label=record.label,
        signer=names.signer(record.signer),
        source=names.source(record.source),
        split=record.split,
        parent=parent,
        streams={s: str((out / p).resolve()) for s, p in value["streams"].items()},
        n_frames=value["n_frames"],
        fps=value["fps"],
        content=value["content"],
        licence=record.licence,
        extra={**seen, **found, **({"augmented": augmented} if augmented else {})},
    )


def _header(
    manifest: Manifest, how: Anonymisation, records: Sequence[Record], names: Names, failed: int
) -> dict[str, Any]:
    meta: dict[str, Any] = {"anonymised": how.as_dict(), "failed": failed}
    if "synthetic" in manifest.meta:
        meta["synthetic"] = manifest.meta["synthetic"]
    if any("pose" in r.streams for r in records):
        pose = next(r for r in records if "pose" in r.streams)
        found = media.read_pose(Path(pose.streams["pose"]))
        components = {c.name: len(c.points) for c in found.header.components}
        meta["streams"] = {"pose": imported_fingerprint(components, "drop")}
    if isinstance(split := manifest.meta.get("split"), Mapping) and "scheme" in split:
        meta["split"] = {"scheme": split["scheme"]}
    given = consent_in(manifest)
    told = {str(names.signer(s)): dict(c) for s, c in given.items() if s in {r.signer for r in manifest}}
    if told:
        meta[CONSENT] = dict(sorted(told.items()))
    return meta


def _remove_others(out: Path, records: Sequence[Record]) -> None:
    """Remove what earlier runs with other settings left in a folder that is to be shared."""
    kept = {Path(p).resolve() for r in records for p in r.streams.values()}
    for stream in _STREAMS:
        for file in (out / stream).glob("*"):
            if file.is_file() and file.resolve() not in kept:
                file.unlink()


def left_out_streams(manifest: Manifest, corpus: Manifest) -> list[str]:
    """The streams that the anonymised corpus has not, though the corpus it was made of has them."""
    return sorted({s for r in manifest for s in r.streams} - {s for r in corpus for s in r.streams})


def names_in_labels(manifest: Manifest) -> list[str]:
    """Labels in which a signer's name stands as a word; labels are kept as they are."""
    people = {s.lower() for s in manifest.signers if len(s) > 2 and not s.isdigit()}
    return [label for label in manifest.labels if people & set(re.findall(r"\w+", label.lower()))]


def write_sheet(corpus: Manifest, folder: Path, rows: int = 8) -> Path | None:
    """Write ``sheet.png``: moments of some clips as they are now, a row each; None where there are no pictures."""
    cv2 = media.import_cv2()
    filmed = [r for r in corpus if "video" in r.streams]
    spread = np.unique(np.linspace(0, len(filmed) - 1, min(rows, len(filmed))).round().astype(int)) if filmed else []
    lines = []
    for k in spread:
        record = filmed[k]
        wanted = np.linspace(0, (record.n_frames or 1) - 1, _COLUMNS).round().astype(int)
        shown = _moments(corpus.root / record.streams["video"], set(wanted.tolist()))
        cells = [shown[t] for t in wanted.tolist() if t in shown]
        small = [cv2.resize(c, (_WIDE_PX, round(c.shape[0] * _WIDE_PX / c.shape[1]))) for c in cells]
        lines.append(np.concatenate(small, 1))
    if not lines:
        return None
    wide = max(line.shape[1] for line in lines)
    padded = [np.pad(line, ((0, 4), (0, wide - line.shape[1]), (0, 0))) for line in lines]
    media.write_picture(folder / SHEET, np.concatenate(padded))
    return folder / SHEET


def _moments(file: Path, wanted: Iterable[int]) -> dict[int, np.ndarray]:
    wanted = set(wanted)
    return {t: frame for t, (_, frame) in enumerate(media.iter_frames(file)) if t in wanted}


def told_of(corpus: Manifest) -> dict[str, int]:
    """In how many frames of the whole corpus the head's place was known which way, and others' faces were covered."""
    total: Counter[str] = Counter()
    for record in corpus:
        total.update(record.extra.get("anonymised") or {})
    return dict(total)
