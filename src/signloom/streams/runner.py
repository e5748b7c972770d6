"""One runner for ``prepare``, ``predict`` and live sessions: frames go in, the samples of every stream come out."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from signloom import media
from signloom.data.stream import ClipInfo, Samples, Stage, Stream, Timed
from signloom.errors import InputError, MediaError
from signloom.streams import part_of

Pushed = tuple[float, Mapping[str, Any]]
"""What :meth:`Runner.push` takes: seconds, and samples by name."""

HOLD_BYTES = 1 << 27
"""Samples of a clip up to this size wait in memory until its clock is known; longer clips are read again."""


_NONE = object()


@dataclass
class _Node:
    """A stream in the order of making. ``inputs``: what it requires → the key of the node, or of what is pushed."""

    key: str
    stream: Stream
    inputs: dict[str, str]
    ready: bool = False  # its samples are pushed as they are
    filmed: bool = False  # it is made of what is pushed alone, and sees all of it
    live: bool = False  # on the clip's clock, and run as if that were even


class _Chain:
    """Stages that feed each other."""

    def __init__(self, nodes: Sequence[_Node], info: ClipInfo):
        self._nodes = nodes
        self._stages: list[Stage] = [node.stream.open(info) for node in nodes]
        self._waiting = [{key: deque[Timed]() for key in node.inputs.values()} for node in nodes]

    def push(self, arrivals: Iterable[tuple[str, Timed]]) -> list[tuple[str, Timed]]:
        """Give samples by key; what is finished, by key."""
        for key, timed in arrivals:
            self._give(key, timed)
        return [out for number in range(len(self._nodes)) for out in self._run(number)]

    def close(self) -> list[tuple[str, Timed]]:
        """What the stages still held."""
        done = []
        for number, (node, stage) in enumerate(zip(self._nodes, self._stages)):
            done += self._run(number)
            for timed in stage.close():
                self._give(node.key, timed)
                done.append((node.key, timed))
        return done

    def _run(self, number: int) -> list[tuple[str, Timed]]:
        node, waiting, done = self._nodes[number], self._waiting[number], []
        while waiting and all(waiting.values()):
            taken = {need: waiting[key][0] for need, key in node.inputs.items()}
            for queue in waiting.values():
                queue.popleft()
            time_s = next(iter(taken.values())).time_s
            for timed in self._stages[number].push(time_s, {need: t.sample for need, t in taken.items()}):
                self._give(node.key, timed)
                done.append((node.key, timed))
        return done

    def _give(self, key: str, timed: Timed) -> None:
        for waiting in self._waiting:
            if key in waiting:
                waiting[key].append(timed)


@dataclass
class _Held:
    """Samples that wait. ``kept``: never let go of, since the caller asked for them or they are small."""

    kept: bool
    samples: list[Timed] | None = field(default_factory=list)
    nbytes: int = 0


class Runner:
    """Makes ``streams`` (name → stream) of one clip.

    Streams made of what is pushed alone (``"video"``) see every frame. When the clip ends, its clock is known: the
    frames nearest to a constant ``info.fps``, each row one sample of every stream. Streams made of others run on that
    clock: with ``eager`` as frames come, as if it were even, and again at the end where it was not. Streams with
    ``requires_whole`` are made at the end, those with a clock of their own among them, which then need no frame but
    what is whole. What a stream requires and is not among ``streams`` is made in passing.

    End a clip by :meth:`write` or by :meth:`close`. ``keep`` names the streams that ``close`` gives (None: all).
    Pictures that must wait take up to ``hold_bytes`` (:data:`HOLD_BYTES`); of longer clips ``again()`` gives once more
    what was pushed. Pushed arrays must not be changed afterwards.
    """

    def __init__(
        self,
        streams: Mapping[str, Stream],
        info: ClipInfo,
        *,
        eager: bool = True,
        keep: Iterable[str] | None = None,
        hold_bytes: int | None = None,
        again: Callable[[], Iterable[Pushed]] | None = None,
    ):
        self.streams = dict(streams)
        self.info = info
        self.times_s: list[float] = []
        """When each frame was filmed."""
        self._eager, self._again = eager, again
        self._keep = set(streams if keep is None else keep)
        self._hold_bytes = HOLD_BYTES if hold_bytes is None else hold_bytes
        self._sensors = _Sensors({k: s for k, s in self.streams.items() if s.clock == "own"}, info, self._keep)
        self._nodes = _in_order({k: s for k, s in self.streams.items() if s.clock != "own"}, info)
        self._at_the_end = {k: s for k, s in self.streams.items() if s.clock == "own" and s.requires_whole}
        for key, stream in self._at_the_end.items():
            _check_wholes(key, stream, self.streams, info)
        self._held: dict[str, _Held] = {}
        self._chain: _Chain | None = None
        self._raw: list[str] = []

    # --- as frames come ---

    def push(self, time_s: float, samples: Mapping[str, Any]) -> dict[str, list[Timed]]:
        """Take one frame's samples by name; give what is finished of each stream, with ``eager``.

        ``"video"`` is uint8 (H, W, 3) RGB. Samples of a stream by its name are taken as they are, and that stream is
        not run: points found elsewhere, frames that are small already. Give the same names for each frame of a clip.
        Raises InputError for names that are missing and times that do not increase.
        """
        done = self._sensors.push(time_s, samples)
        if done and set(samples) <= self._sensors.names:
            return done
        if self._chain is None:
            self._begin(samples)
        assert self._chain is not None
        ready = {n.key: n.stream.name for n in self._nodes if n.ready}
        if missing := [name for name in [*self._raw, *ready.values()] if name not in samples]:
            raise InputError(f"clip '{self.info.id}': got {', '.join(samples) or 'nothing'}, without '{missing[0]}'")
        if self.times_s and not time_s > self.times_s[-1]:
            raise InputError(f"clip '{self.info.id}': a frame at {time_s} s came after one at {self.times_s[-1]} s")
        self.times_s.append(time_s)
        arrivals = [(name, Timed(time_s, samples[name])) for name in self._raw]
        arrivals += [(key, Timed(time_s, samples[name])) for key, name in ready.items()]
        return done | self._take([*arrivals, *self._chain.push(arrivals)])

    def _begin(self, samples: Mapping[str, Any]) -> None:
        """Find out which stages are needed, with what is pushed, and open those that can run at once."""
        if self.info.size_px is None and "video" in samples:
            height, width = samples["video"].shape[:2]
            self.info = replace(self.info, size_px=(width, height))
        for node in self._nodes:
            node.ready = node.stream.name in samples
        needed = self._sources(self.streams)
        self._nodes = [n for n in self._nodes if n.key in self.streams or n.key in needed]
        made = {n.key: n for n in self._nodes}
        for n in self._nodes:
            pushed_alone = not any(key in made for key in n.inputs.values())
            n.filmed = not n.ready and pushed_alone and not n.stream.requires_whole
            of_live = all(key not in made or _based(made[key]) or made[key].live for key in n.inputs.values())
            n.live = self._eager and not _based(n) and not n.stream.requires_whole and of_live
        needs = {key: n.key for n in self._nodes if not n.ready for key in n.inputs.values() if key not in made}
        if missing := [name for name in needs if name not in samples]:
            raise InputError(
                f"clip '{self.info.id}': stream '{needs[missing[0]]}' needs '{missing[0]}', which was not given"
            )
        self._raw = list(needs)
        wanted = {key for key in made if key in self.streams and (not self._eager or key in self._keep)}
        wanted |= {key for n in self._nodes if n.key in wanted for key in n.stream.requires_whole if key in made}
        ends = [s for key, s in self._at_the_end.items() if not self._eager or key in self._keep]
        wanted |= {key for stream in ends for key in stream.requires_whole if key in made}
        for key in wanted:
            if _based(made[key]) or made[key].live:
                kept = self._eager and key in self._keep
                self._held[key] = _Held(kept=kept or made[key].stream.small)
        for key in self._sources(key for key in wanted if not _based(made[key])):
            if key not in made or _based(made[key]):
                self._held.setdefault(key, _Held(kept=False))
        self._chain = _Chain([n for n in self._nodes if n.filmed or n.live], self.info)

    def _sources(self, keys: Iterable[str]) -> dict[str, None]:
        """The keys of all that ``keys`` are made of, in steps, but for themselves."""
        made = {n.key: n for n in self._nodes}
        found: dict[str, None] = {}
        todo = list(keys)
        while todo:
            key = todo.pop(0)
            if key in made and not made[key].ready:
                new = [k for k in made[key].inputs.values() if k not in found]
                found |= dict.fromkeys(new)
                todo += new
        return found

    def _take(self, done: Iterable[tuple[str, Timed]]) -> dict[str, list[Timed]]:
        """Hold what must wait, and sort what goes out."""
        out: dict[str, list[Timed]] = {}
        for key, timed in done:
            if self._eager and key in self.streams:
                out.setdefault(key, []).append(timed)
            held = self._held.get(key)
            if held is not None and held.samples is not None:
                held.samples.append(timed)
                held.nbytes += getattr(timed.sample, "nbytes", 0)
        waiting = [held for held in self._held.values() if not held.kept and held.samples is not None]
        while sum(held.nbytes for held in waiting) > self._hold_bytes:
            largest = max(waiting, key=lambda held: held.nbytes)
            largest.samples = None
            waiting.remove(largest)
        return out

    # --- at the end ---

    @property
    def rows(self) -> np.ndarray:
        """Which of the frames so far make up the clip at a constant rate; rows may repeat."""
        return media.constant_rate(np.array(self.times_s), self.info.fps)

    def write(self, files: Mapping[str, Path]) -> ClipInfo:
        """End the clip, and write each of ``streams`` to its file, in as few passes as can be.

        Gives what is known of the clip then, with the streams that others require whole, and small ones. For a runner
        without ``eager``. Raises MediaError, for a clip of no frames, say.
        """
        assert not self._eager, "an eager runner gives samples as they come"
        if self._nodes:
            self._write_frames(files)
        for key, stream in self._at_the_end.items():
            with stream.writer(files[key], self.info) as add:
                for timed in stream.open(self.info).close():
                    add(timed.sample)
        return self.info

    def _write_frames(self, files: Mapping[str, Path]) -> None:
        rows = self._finish()
        # First what others wait for, and what is small: that is expensive, and stays where the rest fails.
        firsts = self._firsts()
        rest = [n.key for n in self._nodes if n.key in self.streams and n.key not in firsts]
        needed = self._sources(rest)
        for key in firsts:
            self._write_rows([key], files, rows)
            if key not in needed:
                self._held.pop(key, None)
            self._complete({key: self.streams[key].read(files[key])})
        self._write_rows(rest, files, rows)

    def _write_rows(self, keys: Sequence[str], files: Mapping[str, Path], rows: np.ndarray) -> None:
        with ExitStack() as stack:
            add = {key: stack.enter_context(self.streams[key].writer(files[key], self.info)) for key in keys}
            for key, timed in self._on_the_clock(keys, rows):
                add[key](timed.sample)

    def close(self) -> dict[str, Samples]:
        """End the clip and give the streams to keep, whole, as ``Stream.read`` would."""
        kept = self._sensors.close()
        if self._chain is not None and self._held:
            rows = self._finish()
            run = [n.key for n in self._nodes if n.live and n.key in self._held and _is_even(rows, self.times_s)]
            for key in run:
                samples = [timed.sample for timed in self._held[key].samples or ()]
                self._complete({key: self.streams[key].gather(samples, self.info)})
            wanted = [n.key for n in self._nodes if n.key in self._keep and n.key not in run]
            firsts = [key for key in self._wholes() if key not in run]
            self._complete(self._gathered(firsts, rows))
            self._complete(self._gathered([key for key in wanted if key not in firsts], rows))
            given = [key for key in self.streams if key in self._keep and key not in self._at_the_end]
            kept |= {key: self.info.complete[key] for key in given if key not in kept}
        for key, stream in self._at_the_end.items():
            if key in self._keep and key not in kept and self.info.complete.keys() >= set(stream.requires_whole):
                samples = [timed.sample for timed in stream.open(self.info).close()]
                kept[key] = stream.gather(samples, self.info)
        return {key: kept[key] for key in self.streams if key in kept}

    def _gathered(self, keys: Sequence[str], rows: np.ndarray) -> dict[str, Samples]:
        found: dict[str, list[Any]] = {key: [] for key in keys}
        for key, timed in self._on_the_clock(keys, rows):
            found[key].append(timed.sample)
        return {key: self.streams[key].gather(samples, self.info) for key, samples in found.items()}

    def _complete(self, more: Mapping[str, Samples]) -> None:
        self.info = replace(self.info, complete={**self.info.complete, **more})

    def _finish(self) -> np.ndarray:
        if self._chain is None:
            raise MediaError(f"clip '{self.info.id}' has no frame", "no-frames")
        self._take(self._chain.close())
        rows = self.rows
        for key, held in self._held.items():
            if held.samples is not None and len(held.samples) != len(self.times_s):
                got, wanted = len(held.samples), len(self.times_s)
                raise InputError(f"clip '{self.info.id}': stream '{key}' gave {got} samples for {wanted} frames")
        for key, samples in self.info.complete.items():
            if len(samples) != len(rows):
                raise MediaError(
                    f"clip '{self.info.id}': its stream '{key}' has {len(samples)} frames, the clip {len(rows)}",
                    "bad-header",
                )
        return rows

    def _wholes(self) -> list[str]:
        """The streams that some need whole, and that are not at hand."""
        streams = [*(n.stream for n in self._nodes), *self._at_the_end.values()]
        keys = {key for stream in streams for key in stream.requires_whole}
        return [n.key for n in self._nodes if n.key in keys and n.key not in self.info.complete]

    def _firsts(self) -> list[str]:
        """The streams that are written before the others: those that some need whole, and small ones."""
        wholes = self._wholes()
        small = [n.key for n in self._nodes if n.key in self.streams and n.stream.small and _based(n)]
        return [n.key for n in self._nodes if n.key in wholes or n.key in small]

    def _on_the_clock(self, keys: Sequence[str], rows: np.ndarray) -> Iterator[tuple[str, Timed]]:
        """The samples of the streams ``keys``, on the clip's clock, row by row."""
        if not keys:
            return
        made = {n.key: n for n in self._nodes}
        wanted = set(keys) | set(self._sources(k for k in keys if not _based(made[k])))
        nodes = [n for n in self._nodes if n.key in wanted and not _based(n)]
        sources = self._read_rows([k for k in wanted if k not in made or _based(made[k])], rows)
        even = _is_even(rows, self.times_s)
        chain = _Chain(nodes, self.info)
        for number, samples in enumerate(zip(*sources.values())):
            time_s = self.times_s[number] if even else number / self.info.fps
            arrivals = [(key, Timed(time_s, sample)) for key, sample in zip(sources, samples)]
            yield from ((key, timed) for key, timed in [*arrivals, *chain.push(arrivals)] if key in keys)
        yield from ((key, timed) for key, timed in chain.close() if key in keys)

    def _read_rows(self, keys: Iterable[str], rows: np.ndarray) -> dict[str, Iterator[Any]]:
        """For each of ``keys`` (based on what is pushed) its samples at ``rows``; held, or made again."""
        found: dict[str, Iterator[Any]] = {}
        gone = []
        for key in keys:
            samples = self._held[key].samples
            if samples is None:
                gone.append(key)
            else:
                found[key] = _at(samples, rows)
        if gone:
            if self._again is None:
                raise MediaError(
                    f"clip '{self.info.id}': more than {self._hold_bytes:,} bytes of pictures would have to wait in "
                    "memory, and they cannot be read again. Cut it, or prepare it from a file",
                    "too-large",
                )
            # Side by side, they hold one frame and what a stage delays.
            for key, pushed in zip(gone, itertools.tee(self._again(), len(gone))):
                found[key] = self._picked(self._made_again(key, pushed), rows)
        return found

    def _made_again(self, key: str, pushed: Iterable[Pushed]) -> Iterator[Any]:
        node = next((n for n in self._nodes if n.key == key), None)
        if node is None or node.ready:
            name = key if node is None else node.stream.name
            yield from (samples[name] for _, samples in pushed)
            return
        chain = _Chain([node], self.info)
        for time_s, samples in pushed:
            yield from (t.sample for _, t in chain.push((k, Timed(time_s, samples[k])) for k in node.inputs.values()))
        yield from (t.sample for _, t in chain.close())

    def _picked(self, samples: Iterator[Any], rows: np.ndarray) -> Iterator[Any]:
        """The samples at ``rows``, ascending; a row may repeat."""
        number, sample = -1, _NONE
        for row in rows:
            while number < row and (sample := next(samples, _NONE)) is not _NONE:
                number += 1
            if sample is _NONE:
                raise MediaError(f"clip '{self.info.id}' has fewer frames now than when it was first read", "truncated")
            yield sample


class _Sensors:
    """Streams with a clock of their own: their samples are taken as they come, and all of them."""

    def __init__(self, streams: Mapping[str, Stream], info: ClipInfo, keep: set[str]):
        self._streams, self._info = streams, info
        self._stages: dict[str, Stage] = {}
        self._samples: dict[str, list[Timed]] = {key: [] for key in streams if key in keep}
        self.names = {name for key, stream in streams.items() for name in (key, *stream.requires)}

    def push(self, time_s: float, samples: Mapping[str, Any]) -> dict[str, list[Timed]]:
        done: dict[str, list[Timed]] = {}
        for key, stream in self._streams.items():
            if key in samples:
                done[key] = [Timed(time_s, samples[key])]
            elif stream.requires and all(name in samples for name in stream.requires):
                if key not in self._stages:
                    self._stages[key] = stream.open(self._info)
                done[key] = list(self._stages[key].push(time_s, samples))
            if key in self._samples:
                self._samples[key] += done.get(key, ())
        return done

    def close(self) -> dict[str, Samples]:
        for key, stage in self._stages.items():
            if key in self._samples:
                self._samples[key] += stage.close()
        return {key: self._streams[key].gather(found, self._info) for key, found in self._samples.items() if found}


def _at(samples: Sequence[Timed], rows: np.ndarray) -> Iterator[Any]:
    return (samples[row].sample for row in rows)


def _based(node: _Node) -> bool:
    """Whether there is one sample of it for each that is pushed."""
    return node.ready or node.filmed


def _is_even(rows: np.ndarray, times_s: Sequence[float]) -> bool:
    return len(rows) == len(times_s) and bool((rows == np.arange(len(rows))).all())


def _check_wholes(key: str, stream: Stream, streams: Mapping[str, Stream], info: ClipInfo) -> list[str]:
    """What ``stream`` needs whole and is not at hand yet. Raises InputError where it is not made either."""
    needs = [need for need in stream.requires_whole if need not in info.complete]
    if missing := [need for need in needs if need not in streams]:
        raise InputError(f"clip '{info.id}': stream '{key}' needs stream '{missing[0]}', whole, before it")
    return needs


def _in_order(streams: Mapping[str, Stream], info: ClipInfo) -> list[_Node]:
    """The streams and what is made in passing for them, each behind what it is made of."""
    nodes: dict[str, _Node] = {}

    def add(key: str, stream: Stream) -> None:
        if key in nodes:
            return
        for need in _check_wholes(key, stream, streams, info):
            add(need, streams[need])
        inputs = {need: place(need, key, stream) for need in stream.requires}
        nodes[key] = _Node(key, stream, inputs)

    def place(need: str, key: str, user: Stream) -> str:
        given, made = streams.get(need), part_of(user, need)
        if given is not None and made in (None, given):
            add(need, given)
            return need
        if made is None:
            return need  # pushed: the footage
        same = next((n.key for n in nodes.values() if n.stream == made), f"{need} for {key}")
        add(same, made)
        return same

    for key, stream in streams.items():
        add(key, stream)
    return list(nodes.values())
