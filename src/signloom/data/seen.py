"""What a model has learnt from, kept beside it, and how much of that stands among the clips it is measured on.

Clips, signers and recordings are kept as hashes: enough to recognise them again, and nobody is named. A clip is known
by what it shows (the content of its file, the range, the box), wherever it was copied to and whatever it is called;
by its name only where one of the two contents is not on record.
"""

from __future__ import annotations

import json
import math
import os
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from signloom.data.leaks import root_parents, show_the_same
from signloom.data.manifest import Box, Manifest, Record
from signloom.data.manifest_fields import SPLITS
from signloom.data.splits import Split
from signloom.errors import CheckpointError, LeakError
from signloom.runtime.atomic import atomic_write
from signloom.runtime.hashing import fingerprint_hash

if TYPE_CHECKING:
    from signloom.data.corpus import Corpus

FORMAT = "signloom-trained-on"
FORMAT_VERSION = 1
FILE_NAME = "trained_on.json"
LEARNT = ("train", "val")
N_EXAMPLES = 5
_MANY = 32


@dataclass(frozen=True)
class Footage:
    """A stretch of something recorded: ``place`` is the hash of what that was; frames; the box of the person."""

    place: str
    first: float
    end: float
    box: Box | None = None

    def shares(self, other: Footage) -> bool:
        """Whether both show the same person in the same frames of one ``place``."""
        return self.first < other.end and other.first < self.end and show_the_same(self.box, other.box)


@dataclass(frozen=True)
class SeenClip:
    """A clip that a model learnt from (``split`` train) or was chosen by (val), in hashes.

    ``root`` is the clip it was derived from in the end (itself, where from none), ``root_footage`` what that shows.
    """

    split: str
    id: str
    footage: tuple[Footage, ...]
    root: str
    root_footage: tuple[Footage, ...]
    signer: str | None = None
    source: str | None = None


@dataclass(frozen=True)
class Seen:
    """All the clips a model learnt from; ``unknown`` says, in words, from what else it did that is not on record."""

    clips: tuple[SeenClip, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def learnt(self) -> tuple[SeenClip, ...]:
        """Those of the splits train and val."""
        return tuple(c for c in self.clips if c.split in LEARNT)

    def __add__(self, other: Seen) -> Seen:
        clips = tuple(dict.fromkeys((*self.clips, *other.clips)))
        return Seen(clips, tuple(dict.fromkeys((*self.unknown, *other.unknown))))


# --- of a corpus --------------------------------------------------------------------------------------------------


def seen_clips(manifest: Manifest, records: Iterable[Record]) -> tuple[SeenClip, ...]:
    """``records`` of ``manifest`` in hashes."""
    root = root_parents(manifest)
    by_id = {record.id: record for record in manifest}
    return tuple(_seen_clip(record, root.get(record.id, record.id), by_id, manifest) for record in records)


def corpus_clips(corpus: Corpus) -> tuple[SeenClip, ...]:
    """All clips of a divided corpus, of all splits. Shards of earlier versions, and others, tell names alone."""
    manifest = getattr(corpus, "manifest", None)
    if manifest is not None:
        return seen_clips(manifest, (r for r in manifest if r.split in SPLITS))
    kept = read_seen(corpus.root)
    if kept is not None:
        return kept.clips
    found = []
    for split in SPLITS:
        for clip in corpus.clips(split):
            name = _hash("id", clip.id)
            found.append(SeenClip(split, name, (), name, (), clip.signer and signer_hash(clip.signer)))
    return tuple(found)


def seen_of_split(manifest: Manifest) -> Seen:
    """What a model has seen that learnt from the train and val splits of ``manifest``."""
    return Seen(seen_clips(manifest, (r for r in manifest if r.split in LEARNT)))


def seen_of_names(split: Split, manifest: Manifest | None) -> Seen:
    """What a model has seen of which only the split file is left, which holds names.

    The clips of ``manifest`` that bear them are taken for those that it learnt from.
    """
    learnt = {clip: where for clip, where in split.assignment.items() if where in LEARNT}
    by_id = {record.id: record for record in manifest or ()}
    there = {i: by_id[i] for i in learnt if i in by_id}
    known = seen_clips(manifest, there.values()) if manifest is not None else ()
    clips = [SeenClip(learnt[i], c.id, c.footage, c.root, c.root_footage, c.signer, c.source)
             for i, c in zip(there, known)]  # fmt: skip
    names = {i: _hash("id", i) for i in learnt if i not in there}
    clips += [SeenClip(learnt[i], name, (), name, ()) for i, name in names.items()]
    unknown = ("signers and contents of clips of which only the names were kept",) if names else ()
    return Seen(tuple(clips), unknown)


def _seen_clip(record: Record, root: str, by_id: Mapping[str, Record], manifest: Manifest) -> SeenClip:
    own = _footage(record, manifest)
    above = by_id.get(root)
    of_root = own if root == record.id else _footage(above, manifest) if above is not None else ()
    return SeenClip(
        record.split or "",
        _hash("id", record.id),
        own,
        _hash("id", root),
        of_root,
        None if record.signer is None else signer_hash(record.signer),
        None if record.source is None else _hash("source", record.source),
    )


def _footage(record: Record, manifest: Manifest) -> tuple[Footage, ...]:
    found = []
    if record.content is not None:
        # Where streams hold whole recordings the content is that of the clip; else it is the file's, and a part of it.
        part = (0, None) if manifest.whole_streams or record.timed else (record.first_frame, record.end_frame)
        box = None if manifest.whole_streams else record.box_px
        found.append(Footage(_hash("content", record.content), float(part[0]), _end(part[1]), box))
    cut = record.extra.get("source_frames")
    if cut is not None and record.source is not None:
        found.append(Footage(_hash("source", record.source), float(cut[0]), _end(cut[1])))
    return tuple(found)


def _end(frame: Any) -> float:
    return math.inf if frame is None else float(frame)


def signer_hash(signer: str) -> str:
    """What stands for a signer's name in :attr:`SeenClip.signer`."""
    return _hash("signer", signer)


def _hash(kind: str, text: str) -> str:
    return fingerprint_hash(kind, unicodedata.normalize("NFC", text))


# --- on disk ------------------------------------------------------------------------------------------------------


def write_seen(seen: Seen, folder: str | os.PathLike[str]) -> Path:
    """Write ``seen`` as ``trained_on.json`` into ``folder``, atomically."""
    signers, sources = ({v: k for k, v in enumerate(dict.fromkeys(vs))} for vs in _people(seen.clips))
    rows = [
        [
            c.split,
            c.id,
            [_row(f) for f in c.footage],
            None if c.signer is None else signers[c.signer],
            None if c.source is None else sources[c.source],
            *([] if c.root == c.id else [c.root, [_row(f) for f in c.root_footage]]),
        ]
        for c in seen.clips
    ]
    about = {"format": FORMAT, "version": FORMAT_VERSION, "unknown": list(seen.unknown)}
    content = {**about, "signers": list(signers), "sources": list(sources), "clips": rows}
    file = Path(folder) / FILE_NAME
    with atomic_write(file) as tmp:  # without indents: there is a row a clip
        tmp.write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8")
    return file


def read_seen(folder: str | os.PathLike[str]) -> Seen | None:
    """What ``folder/trained_on.json`` says; None where there is none. Raises CheckpointError for one that is broken."""
    file = Path(folder) / FILE_NAME
    if not file.exists():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["format"] != FORMAT or content["version"] != FORMAT_VERSION:
            raise ValueError(f"it is {content['format']!r} version {content['version']!r}")
        signers, sources = content["signers"], content["sources"]
        clips = []
        for split, name, footage, signer, source, *root in content["clips"]:
            own = tuple(map(_footage_of, footage))
            above = (root[0], tuple(map(_footage_of, root[1]))) if root else (name, own)
            who, where = (None if k is None else names[k] for k, names in ((signer, signers), (source, sources)))
            clips.append(SeenClip(split, name, own, *above, who, where))
        return Seen(tuple(clips), tuple(content["unknown"]))
    except (OSError, KeyError, ValueError, TypeError, IndexError, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"'{file}', which says what the model was trained on, is broken: {type(error).__name__}: {error}. Copy the "
            "checkpoint again; without this file what it learnt from counts as not known"
        ) from error


def _people(clips: Sequence[SeenClip]) -> tuple[list[str], list[str]]:
    return [c.signer for c in clips if c.signer], [c.source for c in clips if c.source]


def _row(f: Footage) -> list[Any]:
    return [f.place, f.first, None if math.isinf(f.end) else f.end, f.box and list(f.box)]


def _footage_of(row: Sequence[Any]) -> Footage:
    place, first, end, box = row
    return Footage(str(place), float(first), _end(end), box and tuple(box))


# --- what is measured ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Overlap:
    """How much of what is measured a model has learnt from. Sets hold ids of measured clips.

    ``trained``: clips that show what a training clip shows; ``validated``: what a validation clip shows; ``derived``:
    those that share an original with either; ``renamed``: no such clip, but one of another content bore the same name.
    ``signers`` are measured ones who stand in what was learnt from. ``unknown`` says what is not on record; with
    ``seen`` False nothing is.
    """

    measured: frozenset[str] = frozenset()
    trained: frozenset[str] = frozenset()
    validated: frozenset[str] = frozenset()
    derived: frozenset[str] = frozenset()
    renamed: frozenset[str] = frozenset()
    same_signer: frozenset[str] = frozenset()
    same_source: frozenset[str] = frozenset()
    signers: frozenset[str] = frozenset()
    signers_known: bool = True
    unknown: tuple[str, ...] = ()
    seen: bool = True

    @property
    def new_signers(self) -> bool | None:
        """Whether no signer who is measured was learnt from; None where that is not known."""
        if self.signers:
            return False
        return True if self.seen and self.signers_known and not self.unknown else None

    def __add__(self, other: Overlap) -> Overlap:
        sets = ("measured", "trained", "validated", "derived", "renamed", "same_signer", "same_source", "signers")
        return Overlap(
            **{name: getattr(self, name) | getattr(other, name) for name in sets},
            signers_known=self.signers_known and other.signers_known,
            unknown=tuple(dict.fromkeys((*self.unknown, *other.unknown))),
            seen=self.seen and other.seen,
        )

    def as_dict(self) -> dict[str, Any]:
        """What results keep of it: numbers of clips, the signers' names, a few examples."""
        learnt = sorted(self.trained | self.validated | self.derived)
        return {
            "known": "all" if self.seen and not self.unknown else "partly" if self.seen else "not known",
            "not_known": list(self.unknown),
            "n_clips": len(self.measured),
            "trained_on": len(self.trained),
            "validated_on": len(self.validated - self.trained),
            "derived": len(self.derived - self.trained - self.validated),
            "same_name": len(self.renamed),
            "same_signer": len(self.same_signer),
            "same_source": len(self.same_source),
            "signers": sorted(self.signers)[:50],
            "n_signers": len(self.signers),
            "new_signers": self.new_signers,
            "examples": learnt[:N_EXAMPLES],
        }


@dataclass
class _Index:
    """Seen clips of one split, to be looked up."""

    footage: dict[str, list[Footage]] = field(default_factory=lambda: defaultdict(list))
    names: set[str] = field(default_factory=set)
    bare: set[str] = field(default_factory=set)
    _frames: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    def add(self, name: str, footage: Sequence[Footage]) -> None:
        self.names.add(name)
        if not footage:
            self.bare.add(name)
        for f in footage:
            self.footage[f.place].append(f)

    def has(self, name: str, footage: Sequence[Footage]) -> bool:
        """By what is shown; by name where either says nothing of that."""
        if any(f.shares(other) for f in footage for other in self._near(f)):
            return True
        return name in (self.names if not footage else self.bare)

    def _near(self, f: Footage) -> Sequence[Footage]:
        """What shares frames with ``f``: of a long recording there may be thousands of stretches."""
        there = self.footage.get(f.place, [])
        if len(there) < _MANY:
            return there
        if f.place not in self._frames:
            self._frames[f.place] = np.array([o.first for o in there]), np.array([o.end for o in there])
        first_N, end_N = self._frames[f.place]
        return [there[k] for k in np.flatnonzero((first_N < f.end) & (f.first < end_N))]


def overlap(seen: Seen | None, manifest: Manifest, records: Sequence[Record]) -> Overlap:
    """How much of ``records``, clips of ``manifest``, a model has learnt from; ``seen`` None: that is not known."""
    return overlap_of(seen, [r.id for r in records], [r.signer for r in records], seen_clips(manifest, records))


def overlap_of(
    seen: Seen | None, ids: Sequence[str], signers: Sequence[str | None], clips: Sequence[SeenClip]
) -> Overlap:
    """:func:`overlap` of clips that are hashed already."""
    named = all(s is not None for s in signers)
    if seen is None:
        nothing = ("what the model was trained on",)
        return Overlap(frozenset(ids), signers_known=False, unknown=nothing, seen=False)
    indices = {split: _Index() for split in LEARNT}
    roots = _Index()
    for clip in seen.learnt:
        indices[clip.split].add(clip.id, clip.footage)
        roots.add(clip.root, clip.root_footage)
    signers_of, sources_of = ({*people} for people in _people(seen.learnt))

    def those(which: Callable[[SeenClip], bool]) -> frozenset[str]:
        return frozenset(i for i, clip in zip(ids, clips) if which(clip))

    trained, validated = (those(lambda c, s=split: indices[s].has(c.id, c.footage)) for split in LEARNT)  # type: ignore[misc]
    derived = those(lambda c: roots.has(c.root, c.root_footage)) - trained - validated
    same_name = those(lambda c: any(c.id in indices[s].names for s in LEARNT))
    return Overlap(
        frozenset(ids),
        trained,
        validated,
        derived,
        same_name - trained - validated - derived,
        those(lambda c: c.signer is not None and c.signer in signers_of),
        those(lambda c: c.source is not None and c.source in sources_of),
        frozenset(s for s, c in zip(signers, clips) if s is not None and c.signer in signers_of),
        named and all(c.signer is not None for c in seen.learnt),
        seen.unknown,
    )


def refuse_seen(found: Overlap, split: str, *, who: str = "the model", corpus: str = "") -> None:
    """Raise LeakError where clips are called ``split``'s though the model has learnt from them.

    In a test no clip may have been learnt from or chosen by, in validation none learnt from. Measuring training clips
    as such is fine.
    """
    n = len(found.measured)
    wrong = {"test": found.trained | found.validated | found.derived, "val": found.trained}.get(split, frozenset())
    if not wrong:
        return
    where = f" of this corpus, '{corpus}'" if corpus else ""
    examples = ", ".join(f"'{i}'" for i in sorted(wrong)[:3])
    raise LeakError(
        f"{who} was trained on clips{where}: {len(wrong)} of the {n} that would be measured as '{split}' "
        f"(trained on {len(found.trained)}, validated on {len(found.validated - found.trained)}, of one original with "
        f"such {len(found.derived)}), e.g. {examples}. Leave --split out, give a split in which they are no {split} "
        "clips, or say that training clips are meant: --on train"
    )
