"""The auditor: what stands on both sides of a split, and the refusal to go on with it."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, replace

from signloom.data.manifest import Manifest, Record
from signloom.errors import InputError, LeakError

KINDS = ("content", "parent", "time", "signer", "source")
SIGNER_INDEPENDENT = frozenset({"signer", "signer-k-fold"})
SOURCE_INDEPENDENT = frozenset({"source"})


@dataclass(frozen=True)
class Leak:
    """Something that stands on two sides of a split.

    ``kind``: ``content`` (same bytes), ``parent`` (same family), ``time`` (overlapping frames of one recording),
    ``signer`` or ``source``. ``first`` and ``second`` are clip ids, in ``splits``; ``n_clips`` is how many clips of the
    second split are concerned. ``serious`` leaks are refused; the others are worth knowing.
    """

    kind: str
    first: str
    second: str
    splits: tuple[str, str]
    detail: str
    n_clips: int
    serious: bool

    def __str__(self) -> str:
        a, b = self.splits
        more = f" ({self.n_clips} {b} clips)" if self.n_clips > 1 else ""
        return f"{self.kind}: '{self.first}' ({a}) and '{self.second}' ({b}) have {self.detail}{more}"


_PAIRS = (("train", "test"), ("val", "test"), ("train", "val"))


def audit(manifest: Manifest, scheme: str | None = None) -> list[Leak]:
    """Everything that stands on both sides of a split, serious leaks first.

    Refused whatever the scheme, between any two splits: the same content, the same family of parents, overlapping
    frames of one recording. Refused when ``scheme`` (``meta["split"]["scheme"]`` unless given) promises it, between
    test and the rest: the same signer, the same source. Between train and val a shared signer or source makes
    validation optimistic and is told, not refused; so it is when the scheme promises nothing. Takes about a second for
    50,000 clips.
    """
    scheme = scheme or (manifest.meta.get("split") or {}).get("scheme")
    found: list[Leak] = []

    def report(kind: str, members: Iterable[Record], detail: str, serious: Callable[[str, str], bool]) -> None:
        sides: dict[str, list[Record]] = defaultdict(list)
        for record in members:
            if record.split is not None:
                sides[record.split].append(record)
        for a, b in _PAIRS:
            if sides.get(a) and sides.get(b):
                found.append(Leak(kind, sides[a][0].id, sides[b][0].id, (a, b), detail, len(sides[b]), serious(a, b)))

    def always(a: str, b: str) -> bool:
        return True

    for key, members in by_key(manifest, lambda r: r.content).items():
        report("content", members, f"the same content ({key})", always)
    root = root_parents(manifest)
    families: dict[str, list[Record]] = defaultdict(list)
    for record in manifest:
        families[root[record.id]].append(record)
    for key, family in families.items():
        if len(family) > 1:
            report("parent", family, f"the same parent '{key}'", always)
    found += _overlaps(manifest)
    for key, members in by_key(manifest, lambda r: r.signer).items():
        report("signer", members, f"the same signer '{key}'", lambda a, b: b == "test" and scheme in SIGNER_INDEPENDENT)
    for key, members in by_key(manifest, lambda r: r.source).items():
        report("source", members, f"the same source '{key}'", lambda a, b: b == "test" and scheme in SOURCE_INDEPENDENT)
    return sorted(found, key=lambda leak: not leak.serious)


def _overlaps(manifest: Manifest) -> list[Leak]:
    """Clips of different splits that cover the same frames of one recording: a sweep over sorted starts."""
    found: dict[tuple[str, str, str], Leak] = {}
    for place, spans in places(manifest):
        furthest: dict[str, Span] = {}
        for span in sorted(spans, key=lambda s: (s.first, s.record.id)):
            split = span.record.split
            if split is None:
                continue
            for other, reach in furthest.items():
                if other == split or reach.end <= span.first or reach.record.id == span.record.id:
                    continue
                a, b = next(pair for pair in _PAIRS if set(pair) == {other, split})
                one, two = (reach, span) if other == a else (span, reach)
                end = min(reach.end, span.end)
                frames = f"frames {span.first:.0f} to {'the end' if end == float('inf') else f'{end:.0f}'} of {place}"
                leak = found.get((place, a, b))
                if leak is None:
                    found[place, a, b] = Leak("time", one.record.id, two.record.id, (a, b), frames, 1, True)
                else:
                    found[place, a, b] = replace(leak, n_clips=leak.n_clips + 1)
            if split not in furthest or span.end > furthest[split].end:
                furthest[split] = span
    return list(found.values())


def refuse_leaks(manifest: Manifest, *, allow: Iterable[str] = (), scheme: str | None = None) -> list[Leak]:
    """Raise LeakError if the split leaks; return what was found but is allowed or not serious.

    ``allow`` names kinds (content, parent, time, signer, source) that the caller takes responsibility for.
    """
    allowed = set(allow)
    unknown = sorted(allowed - set(KINDS))
    if unknown:
        raise InputError(f"allow: '{unknown[0]}' is not a kind of leak; wanted one of {', '.join(KINDS)}")
    leaks = audit(manifest, scheme)
    serious = [leak for leak in leaks if leak.serious and leak.kind not in allowed]
    if serious:
        kinds = Counter(leak.kind for leak in serious)
        lines = [f"  {leak}" for leak in serious[:5]] + (
            [f"  … and {len(serious) - 5} more"] if len(serious) > 5 else []
        )
        raise LeakError(
            f"the split leaks ({', '.join(f'{n} × {kind}' for kind, n in sorted(kinds.items()))}):\n"
            + "\n".join(lines)
            + "\nMake it again with signloom split, which keeps such clips together, or name the kind in --allow"
        )
    return leaks


# --- what belongs together ------------------------------------------------------------------------------------------


def root_parents(manifest: Manifest) -> dict[str, str]:
    """Clip id → the id at the top of its chain of parents (which may be absent from the corpus).

    Raises InputError when a chain of parents is a circle.
    """
    parent = {r.id: r.parent for r in manifest}
    root: dict[str, str] = {}
    for start in parent:
        chain = []
        at: str = start
        while at not in root:
            chain.append(at)
            above = parent.get(at)
            if above is None:
                root[at] = at
                break
            if above in chain or above == at:
                raise InputError(f"clip '{start}': its chain of parents is a circle ({' → '.join([*chain, above])})")
            at = above
        for i in chain:
            root[i] = root[at]
    return {i: root[i] for i in parent}


@dataclass(frozen=True)
class Span:
    first: float
    end: float
    record: Record


def places(manifest: Manifest) -> Iterator[tuple[str, list[Span]]]:
    """Every recording that more than one clip was cut from, with the frames each clip covers."""
    spans: dict[tuple[str, str], list[Span]] = defaultdict(list)
    for record in manifest:
        for path in {os.path.normpath(p) for p in record.streams.values()}:
            spans["file", path].append(_span(record))
        cut = record.extra.get("source_frames")
        if cut is not None and record.source is not None:
            last = float("inf") if cut[1] is None else float(cut[1])
            spans["source", record.source].append(Span(float(cut[0]), last, record))
    for (kind, name), found in spans.items():
        if len({span.record.timed for span in found}) > 1:  # frames and seconds cannot be compared: it may be anywhere
            found = [Span(0.0, float("inf"), span.record) if span.record.timed else span for span in found]
        if len(found) > 1:
            yield f"{kind} '{name}'", found


def _span(record: Record) -> Span:
    """What it covers of its file, in frames; in seconds where its range is given so."""
    first, end = (record.start_s or 0, record.end_s) if record.timed else (record.first_frame, record.end_frame)
    return Span(float(first), float("inf") if end is None else float(end), record)


def by_key(manifest: Manifest, key: Callable[[Record], Hashable | None]) -> dict[Hashable, list[Record]]:
    out: dict[Hashable, list[Record]] = defaultdict(list)
    for record in manifest:
        value = key(record)
        if value is not None:
            out[value].append(record)
    return {k: v for k, v in out.items() if len(v) > 1}
