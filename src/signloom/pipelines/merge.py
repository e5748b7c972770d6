"""Corpora joined into one: ids kept unique, glosses mapped by a table, what made their streams compared."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from signloom.data.consent import KEY as CONSENT
from signloom.data.consent import WITHDRAWN, consent_in, joined_consent
from signloom.data.leaks import identity_in, refuse_leaks
from signloom.data.manifest import Manifest, Record, read_manifest, write_manifest
from signloom.data.rates import mixed_note, rates_of
from signloom.data.stream import fingerprint_diff
from signloom.errors import InputError
from signloom.runtime.locks import locking_out
from signloom.runtime.text import why

COLUMNS = ("corpus", "label", "gloss")


@dataclass(frozen=True)
class Glosses:
    """A table of what a label is called in the merged corpus: (corpus or "", label) → gloss, "" to leave its clips
    out."""

    rows: Mapping[tuple[str, str], str]
    file: str = ""

    def of(self, corpus: str, label: str | None) -> str | None:
        """What ``label`` of ``corpus`` is called; None where its clips are left out. Labels not in the table stay."""
        if label is None:
            return ""
        return self.rows.get((corpus, label), self.rows.get(("", label), label)) or None


def read_glosses(file: Path) -> Glosses:
    """A CSV table with columns ``label`` and ``gloss``, and maybe ``corpus``. Raises InputError naming the line."""
    try:
        with open(file, encoding="utf-8-sig", newline="") as lines:
            rows = list(csv.reader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"'{file}' is not a table of glosses: {why(error)}") from error
    header = [name.strip().lower() for name in rows[0]] if rows else []
    if not {"label", "gloss"} <= set(header) <= set(COLUMNS):
        raise InputError(
            f"'{file}' line 1: got columns {', '.join(header) or 'none'}; expected label, gloss, maybe corpus"
        )
    found: dict[tuple[str, str], str] = {}
    for number, row in enumerate(rows[1:], 2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(header):
            raise InputError(f"'{file}' line {number}: {len(row)} cells; the header has {len(header)}")
        cells = {name: cell.strip() for name, cell in zip(header, row)}
        key = cells.get("corpus", ""), cells["label"]
        if found.setdefault(key, cells["gloss"]) != cells["gloss"]:
            raise InputError(f"'{file}' line {number}: '{key[1]}' is '{found[key]}' above and '{cells['gloss']}' here")
    return Glosses(found, str(file))


@locking_out
def merge_corpora(
    folders: Sequence[Path],
    out: Path,
    *,
    glosses: Glosses | None = None,
    signers_apart: bool = False,
    leave_out: Sequence[str] = (),
) -> Manifest:
    """Join the corpora in ``folders`` into the folder ``out``, whose manifest points to their files.

    An id that several corpora have gets the corpus's name before it in all but the first. Signers and sources of one
    name are taken for the same, so that no split can part them; with ``signers_apart`` for different ones. A clip that
    is there twice (same content and cut, same label) is kept once. Splits, parents and consent are kept. Streams must
    have been made alike; those of ``leave_out`` are not taken over. ``meta["notes"]`` tells what was noticed.

    Raises InputError for streams made otherwise, a label of the table that no corpus has, and a clip that two corpora
    label differently; LeakError where the splits of the corpora contradict each other.
    """
    if len(folders) < 2:
        raise InputError(f"merge needs at least two corpora; got {len(folders)}")
    corpora = [read_manifest(folder) for folder in folders]
    roots = [c.root.resolve() for c in corpora]
    if len(set(roots)) < len(roots):
        raise InputError(f"a corpus stands twice among {', '.join(map(str, folders))}")
    if out.resolve() in roots:
        raise InputError(f"--out '{out}' is one of the corpora; inputs are never changed, so choose another folder")
    names = _names(corpora)
    if pairs := next((n for n, c in zip(names, corpora) if c.whole_streams), None):
        raise InputError(f"'{pairs}' was imported from pairs, whose streams hold whole recordings; it cannot be merged")
    streams, notes = _streams(names, corpora, leave_out)
    joined = _Joined(names, glosses or Glosses({}), signers_apart)
    for number, corpus in enumerate(corpora):
        joined.add(number, corpus, leave_out)
    notes += joined.notes()
    if not joined.records:
        raise InputError("no clip is left: the table of glosses leaves all of them out")
    about = {
        "name": " + ".join(names),
        "source": "merged",
        "merged": [
            {
                "name": n,
                "root": str(c.root.resolve()),
                "hash": c.corpus_hash(),
                "clips": len(c),
                **({"signers": joined.called[n]} if n in joined.called else {}),
            }
            for n, c in zip(names, corpora)
        ],
        **({"streams": streams} if streams else {}),
        **_split_of(corpora),
        **_synthetic_of(corpora),
        **({CONSENT: joined.consent} if joined.consent else {}),
    }
    merged = Manifest(tuple(joined.records), out, about)
    refuse_leaks(merged)
    if mixed := mixed_note(rates_of(r.fps for r in merged)):
        notes.append(mixed)
    merged = replace(merged, meta={**about, **({"notes": notes} if notes else {})})
    out.mkdir(parents=True, exist_ok=True)
    write_manifest(merged, out)
    return merged


def _names(corpora: Sequence[Manifest]) -> list[str]:
    """What the corpora are called: by their folders, where that tells them apart, else numbered."""
    names = [c.root.resolve().name for c in corpora]
    return names if len(set(names)) == len(names) else [f"{n}{k}" for k, n in enumerate(names, 1)]


def _streams(
    names: Sequence[str], corpora: Sequence[Manifest], leave_out: Sequence[str]
) -> tuple[dict[str, Any], list[str]]:
    made: dict[str, Any] = {}
    first: dict[str, str] = {}
    having: dict[str, list[str]] = defaultdict(list)
    for name, corpus in zip(names, corpora):
        for stream, fingerprint in corpus.meta.get("streams", {}).items():
            if stream in leave_out:
                continue
            having[stream].append(name)
            if stream in made and (differ := fingerprint_diff(made[stream], fingerprint)):
                raise InputError(
                    f"stream '{stream}' of '{name}' was made otherwise than that of '{first[stream]}': "
                    f"{'; '.join(differ[:3])}. One model cannot read both: prepare one of them again, or --leave-out "
                    f"{stream}"
                )
            made.setdefault(stream, fingerprint)
            first.setdefault(stream, name)
    notes = [
        f"stream '{stream}' is only in {', '.join(some)}: a recipe that reads it needs it of all clips; prepare the "
        "others with it"
        for stream, some in having.items()
        if len(some) < len(names)
    ]
    return made, notes


def _split_of(corpora: Sequence[Manifest]) -> dict[str, Any]:
    """What the header says of the split: the same scheme where all promise it, else that it was given."""
    if not any(r.split for c in corpora for r in c):
        return {}
    schemes = {(c.meta.get("split") or {}).get("scheme") for c in corpora}
    return {"split": {"scheme": schemes.pop() if len(schemes) == 1 and None not in schemes else "given"}}


def _synthetic_of(corpora: Sequence[Manifest]) -> dict[str, Any]:
    """That clips are of no real signer, as long as some are."""
    told = dict.fromkeys(str(c.meta["synthetic"]) for c in corpora if c.meta.get("synthetic"))
    return {"synthetic": "; ".join(told)} if told else {}


class _Joined:
    """The clips so far, and what was noticed on the way."""

    def __init__(self, names: Sequence[str], glosses: Glosses, signers_apart: bool):
        self.names, self.glosses, self.apart = names, glosses, signers_apart
        self.records: list[Record] = []
        self._ids: dict[str, str] = {}
        self._clips: dict[Any, Record] = {}
        self._people: dict[tuple[str, str], str] = {}
        self._shared: dict[str, set[str]] = {"signer": set(), "source": set()}
        self._labels: dict[str, set[str]] = defaultdict(set)
        self._used: set[tuple[str, str]] = set()
        self._renamed = self._twice = self._left_out = self._unsplit = 0
        self.called: dict[str, dict[str, str]] = defaultdict(dict)
        """By corpus, the signers who have another name now, since somebody else has theirs."""
        self.consent: dict[str, dict[str, Any]] = {}
        """What signers said, by the name that they have now: who is one here allows what they allow in every corpus."""

    def add(self, number: int, corpus: Manifest, leave_out: Sequence[str]) -> None:
        name = self.names[number]
        new_id = {r.id: self._new_id(r.id, name, corpus) for r in corpus}
        same = identity_in(corpus)
        kept_as: dict[str, str] = {}
        for record in corpus:
            for key in ((name, record.label or ""), ("", record.label or "")):
                if key in self.glosses.rows:
                    self._used.add(key)
            label = self.glosses.of(name, record.label)
            if label is None:
                self._left_out += 1
                continue
            identity = same(record)
            before = self._clips.get(identity) if identity is not None else None
            if before is not None and before.label != (label or None):
                raise InputError(
                    f"clip '{record.id}' of '{name}' is the same footage as '{before.id}', which is labelled "
                    f"'{before.label}' and not '{label}'; say in a table of glosses which it is"
                )
            if before is not None:
                self._twice += 1
                kept_as[record.id] = before.id
                said = consent_in(corpus).get(record.signer or "", {})
                forbidden = {use: value for use, value in said.items() if value is False or use == WITHDRAWN}
                if forbidden and before.signer is not None:  # whatever they are called in the corpus before
                    known = self.consent.get(before.signer, {})
                    self.consent[before.signer] = joined_consent(known, forbidden)
                continue
            taken = replace(
                record,
                id=new_id[record.id],
                label=label or None,
                signer=self._person("signer", record.signer, name),
                source=self._person("source", record.source, name),
                streams={s: str((corpus.root / p).resolve()) for s, p in record.streams.items() if s not in leave_out},
                extra={**record.extra, "corpus": name},
            )
            self._labels[name].add(label)
            self._unsplit += taken.split is None
            self.records.append(taken)
            self._ids[taken.id] = name
            if identity is not None:
                self._clips[identity] = taken
        for signer, said in consent_in(corpus).items():
            called = self._person("signer", signer, name) or signer
            self.consent[called] = joined_consent(self.consent.get(called, {}), said)
        parents = {**new_id, **kept_as}
        self.records = [
            replace(r, parent=parents.get(r.parent, r.parent))
            if r.parent is not None and self._ids[r.id] == name
            else r
            for r in self.records
        ]

    def _new_id(self, identity: str, name: str, corpus: Manifest) -> str:
        if identity not in self._ids:
            return identity
        own = {r.id for r in corpus}
        renamed = f"{name}_{identity}"
        while renamed in self._ids or renamed in own:
            renamed = f"{name}_{renamed}"
        self._renamed += 1
        return renamed

    def _person(self, kind: str, who: str | None, name: str) -> str | None:
        if who is None:
            return None
        first = self._people.setdefault((kind, who), name)
        if first == name:
            return who
        self._shared[kind].add(who)
        if not self.apart:
            return who
        if kind == "signer":
            self.called[name][who] = f"{name} {who}"
        return f"{name} {who}"

    def notes(self) -> list[str]:
        """What was noticed. Raises InputError for rows of the table that no label fits."""
        if unused := sorted(set(self.glosses.rows) - self._used):
            corpus, label = unused[0]
            of = f" of corpus '{corpus}'" if corpus else ""
            raise InputError(
                f"'{self.glosses.file}': {len(unused)} labels are in none of the corpora, first '{label}'{of}; the "
                f"corpora are called {', '.join(self.names)}"
            )
        notes = []
        if self._renamed:
            notes.append(
                f"{self._renamed} ids stood in several corpora: the later corpus's name stands before them now"
            )
        if self._twice:
            notes.append(f"{self._twice} clips were in several corpora and are kept once")
        if self._left_out:
            notes.append(f"{self._left_out} clips were left out, as the table of glosses says")
        for kind, shared in self._shared.items():
            if shared:
                few = ", ".join(sorted(shared)[:3]) + (" …" if len(shared) > 3 else "")
                taken = "for different ones" if self.apart else "for the same, so that no split parts them"
                other = "" if self.apart else "; if they are not: --signers-apart"
                notes.append(
                    f"{len(shared)} {kind}s are named alike in several corpora ({few}) and taken {taken}{other}"
                )
        if self._unsplit and self._unsplit < len(self.records):
            notes.append(f"{self._unsplit} clips are in no split, the others are: signloom split … makes one for all")
        every = Counter(label for labels in self._labels.values() for label in labels)
        alone = sorted(label for label, n in every.items() if n < len(self.names) and label)
        if alone:
            few = ", ".join(alone[:5]) + (" …" if len(alone) > 5 else "")
            notes.append(f"{len(alone)} of {len(every)} labels are not in all corpora: {few}")
        alike: dict[str, set[str]] = defaultdict(set)
        for label in every:
            alike[label.casefold().replace("_", " ").replace("-", " ").strip()].add(label)
        for some in alike.values():
            if len(some) > 1:
                notes.append(f"labels {' and '.join(sorted(some))} may be one; a table of glosses can make them so")
        return notes
