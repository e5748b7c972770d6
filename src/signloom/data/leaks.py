"""The auditor: what stands on both sides of a split, and the refusal to go on with it."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from signloom.data.manifest import Box, Manifest, Record
from signloom.errors import InputError, LeakError

Key = TypeVar("Key", bound=Hashable)
KINDS = ("content", "parent", "time", "signer", "source")
SIGNER_INDEPENDENT = frozenset({"signer", "signer-k-fold"})
SOURCE_INDEPENDENT = frozenset({"source"})


@dataclass(frozen=True)
class Leak:
    """Something that stands on two sides of a split.

    ``kind``: ``content`` (the same cut of the same bytes), ``parent`` (same family), ``time`` (overlapping frames of
    one recording), ``signer`` or ``source``. ``first`` and ``second`` are clip ids, in ``splits``; ``n_clips`` is how
    many clips of the second split are concerned. ``serious`` leaks are refused; the others are worth knowing.
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

    for same, members in by_key(manifest, identity_in(manifest)).items():
        report("content", members, f"the same content ({same[0]})", always)
    root = root_parents(manifest)
    families: dict[str, list[Record]] = defaultdict(list)
    for record in manifest:
        families[root[record.id]].append(record)
    for key, family in families.items():
        if len(family) > 1:
            report("parent", family, f"the same parent '{key}'", always)
    found += _overlaps(manifest)
    for name, members in by_key(manifest, lambda r: r.signer).items():
        report(
            "signer", members, f"the same signer '{name}'", lambda a, b: b == "test" and scheme in SIGNER_INDEPENDENT
        )
    for name, members in by_key(manifest, lambda r: r.source).items():
        report(
            "source", members, f"the same source '{name}'", lambda a, b: b == "test" and scheme in SOURCE_INDEPENDENT
        )
    return sorted(found, key=lambda leak: not leak.serious)


def _overlaps(manifest: Manifest) -> list[Leak]:
    """Clips of different splits that cover the same frames of one recording: a sweep over sorted starts."""
    found: dict[tuple[str, str, str], Leak] = {}
    for place, spans in places(manifest):
        furthest: dict[tuple[str, Box | None], Span] = {}  # of each split and box
        for cut in _same_cuts(spans):
            first = cut[0].first
            furthest = {key: reach for key, reach in furthest.items() if reach.end > first}
            for span in cut:
                split, box = span.record.split, span.record.box_px
                for (other, its_box), reach in furthest.items():
                    if other == split or not show_the_same(box, its_box):
                        continue
                    a, b = next(pair for pair in _PAIRS if set(pair) == {other, split})
                    one, two = (reach, span) if other == a else (span, reach)
                    leak = found.get((place, a, b))
                    if leak is None:
                        frames = f"{_frames(first, min(reach.end, span.end))} of {place}"
                        found[place, a, b] = Leak("time", one.record.id, two.record.id, (a, b), frames, 1, True)
                    else:
                        found[place, a, b] = replace(leak, n_clips=leak.n_clips + 1)
            for span in cut:
                assert span.record.split is not None
                key = (span.record.split, span.record.box_px)
                if key not in furthest or span.end > furthest[key].end:
                    furthest[key] = span
    return list(found.values())


def _same_cuts(spans: Iterable[Span]) -> Iterator[list[Span]]:
    """The spans that are in a split, by their start; those of one cut of the same bytes together, since they are not an
    overlap but the same content."""
    chosen = sorted((s for s in spans if s.record.split is not None), key=lambda s: (s.first, s.record.id))
    cuts: dict[Hashable, list[Span]] = {}
    for span in chosen:
        record = span.record
        alone = record.content is None
        cut = record.id if alone else (record.content, record.range, record.box_px)
        cuts.setdefault(cut, []).append(span)
    yield from cuts.values()


def _frames(first: float, end: float) -> str:
    return f"frames {first:.0f} to {'the end' if end == float('inf') else f'{end:.0f}'}"


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


def identity_in(manifest: Manifest) -> Callable[[Record], tuple[Any, ...] | None]:
    """What tells whether two clips of ``manifest`` are the same content; None where that is not known.

    That is not the file's content alone: (content, range, box). Only where streams hold whole recordings is the content
    that of the clip itself.
    """
    of_clips = bool(manifest.whole_streams)

    def identity(record: Record) -> tuple[Any, ...] | None:
        if record.content is None:
            return None
        return (record.content,) if of_clips else (record.content, record.range, record.box_px)

    return identity


def show_the_same(a: Box | None, b: Box | None) -> bool:
    """Whether two boxes of one picture show the same person: they share at least half of the smaller one.

    People who stand side by side have boxes that may touch; a face lies in the box of its body. None is the picture.
    """
    if a is None or b is None:
        return True
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return wide > 0 and high > 0 and 2 * wide * high >= smaller


def overlapping(spans: Iterable[Span]) -> Iterator[list[Span]]:
    """Spans that are to stay together: each with those before it that it shares frames and the person with."""
    furthest: dict[Box | None, Span] = {}
    for span in sorted(spans, key=lambda s: (s.first, s.record.id)):
        furthest = {box: reach for box, reach in furthest.items() if reach.end > span.first}
        box = span.record.box_px
        yield [span, *(reach for its_box, reach in furthest.items() if show_the_same(box, its_box))]
        if box not in furthest or span.end > furthest[box].end:
            furthest[box] = span


def places(manifest: Manifest) -> Iterator[tuple[str, list[Span]]]:
    """Every recording that more than one clip was cut from, with the frames each clip covers.

    Files of the same content are one recording, under however many names it was copied.
    """
    recordings = _Recordings(content=not manifest.whole_streams)
    sources: dict[str, list[Span]] = defaultdict(list)
    for record in manifest:
        recordings.add(record)
        cut = record.extra.get("source_frames")
        if cut is not None and record.source is not None:
            last = float("inf") if cut[1] is None else float(cut[1])
            sources[record.source].append(Span(float(cut[0]), last, record))
    found = [*recordings.named(), *((f"source '{name}'", spans) for name, spans in sources.items())]
    yield from ((name, spans) for name, spans in found if len(spans) > 1)


class _Recordings:
    """Clips by what they were cut from: a file, or files of the same content."""

    def __init__(self, *, content: bool):
        self._by_content = content
        self._joined = Joined()
        self._records: list[tuple[str, Record]] = []

    def add(self, record: Record) -> None:
        rows = f", {' = '.join(record.rows)}" if record.rows else ""
        names = sorted(
            f"file '{os.path.normpath(path)}'{rows if stream == 'imu' else ''}"
            for stream, path in record.streams.items()
        )
        if self._by_content and record.content is not None:
            names.append(f"content '{record.content}'")
        if names:
            self._joined.join(names)
            self._records.append((names[0], record))

    def named(self) -> list[tuple[str, list[Span]]]:
        spans: dict[str, list[Span]] = defaultdict(list)
        for name, record in self._records:
            spans[self._joined.top(name)].append(_span(record))
        return [(self._name(found) if len(found) > 1 else top, _comparable(found)) for top, found in spans.items()]

    @staticmethod
    def _name(spans: Sequence[Span]) -> str:
        """The file that most of the clips share; the content, where each has a file of its own."""
        shared = Counter(os.path.normpath(path) for span in spans for path in {*span.record.streams.values()})
        name, n = max(shared.items(), key=lambda item: (item[1], item[0]), default=("", 0))
        return f"file '{name}'" if n > 1 else f"content '{spans[0].record.content}'"


def _span(record: Record) -> Span:
    """What it covers of its file, in frames; in seconds where its range is given so."""
    first, end = (record.start_s or 0, record.end_s) if record.timed else (record.first_frame, record.end_frame)
    return Span(float(first), float("inf") if end is None else float(end), record)


def _comparable(spans: list[Span]) -> list[Span]:
    """``spans`` of one recording; frames and seconds cannot be compared: a stretch of seconds may then be anywhere."""
    if len({span.record.timed for span in spans}) < 2:
        return spans
    return [Span(0.0, float("inf"), span.record) if span.record.timed else span for span in spans]


class Joined:
    """Names joined into groups (union-find); a group goes by the name that was there first."""

    def __init__(self) -> None:
        self._above: dict[str, str] = {}

    def top(self, name: str) -> str:
        above = self._above
        above.setdefault(name, name)
        while above[name] != name:
            above[name] = above[above[name]]
            name = above[name]
        return name

    def join(self, names: Iterable[str]) -> None:
        tops = [self.top(n) for n in names]
        for other in tops[1:]:
            self._above[self.top(other)] = self.top(tops[0])


def by_key(manifest: Manifest, key: Callable[[Record], Key | None]) -> dict[Key, list[Record]]:
    """The clips that share a key, by it; those without a key (None) are left out."""
    out: dict[Key, list[Record]] = defaultdict(list)
    for record in manifest:
        value = key(record)
        if value is not None:
            out[value].append(record)
    return {k: v for k, v in out.items() if len(v) > 1}
