"""Map a function over the clips of a corpus: in parallel, resumable, and safe from any single clip.

Every clip runs in a worker process that can be killed. A clip that raises, hangs, or takes its worker down becomes a
failed :class:`Outcome` with a reason; the rest goes on. Finished clips are written to a journal as they end, so that
a killed run continues where it was. Functions write their own output files atomically (:func:`atomic_write`), under
names made from the clip's id and :func:`fingerprint_hash` of everything that shapes them, so that a second attempt
gives the same bytes in the same place.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from signloom.errors import InputError, MediaError, MissingExtraError, SignloomError


@dataclass(frozen=True)
class Task:
    """One clip's work: ``function(*args)``. ``stamp`` identifies inputs and settings; see :func:`file_stamp`."""

    id: str
    args: tuple[Any, ...]
    stamp: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of one task: a JSON-able ``value``, or a ``reason`` (a stable word) with its ``message``."""

    id: str
    value: dict[str, Any] | None = None
    reason: str | None = None
    message: str | None = None
    reused: bool = False

    @property
    def ok(self) -> bool:
        return self.reason is None


def fingerprint_hash(*parts: Any) -> str:
    """A short hash of JSON-able ``parts``, the same on every machine."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def file_stamp(path: Path) -> str:
    """A cheap identity of a file (path, size, modification time) that changes when the file does; '' if missing."""
    try:
        info = os.stat(path)
    except OSError:
        return ""
    return fingerprint_hash(str(path), info.st_size, info.st_mtime_ns)


def default_workers() -> int:
    """The number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_clips(
    function: Callable[..., dict[str, Any]],
    tasks: Sequence[Task],
    *,
    workers: int | None = None,
    timeout_s: float = 600.0,
    journal: Path | None = None,
    ray_address: str | None = None,
    whole: Callable[[dict[str, Any]], bool] = lambda value: True,
    title: str = "clips",
    unit: str = "clips",
    quiet: bool = False,
) -> list[Outcome]:
    """Run ``function(*task.args)`` for every task and return the outcomes in the order of ``tasks``.

    ``function`` must be picklable (top-level) and return a JSON-able dict. With ``journal``, outcomes that succeeded
    before under the same id and stamp are reused, provided that ``whole(value)`` holds (are the files still there?);
    failed ones are tried again, and unfinished files of a killed run beside the journal or below it are removed.
    ``workers`` defaults to the cores at hand; 0 runs inside this process (for debugging: nothing can be killed then).
    ``timeout_s`` bounds one clip. ``ray_address`` runs the same map on a Ray cluster ("auto", "local" or an address;
    needs ``signloom[ray]``).

    Raises InputError when ids repeat or another process holds the journal.
    """
    ids = {task.id for task in tasks}
    if len(ids) != len(tasks):
        raise InputError(f"{len(tasks) - len(ids)} clip ids stand more than once; ids must be unique")
    outcomes: dict[str, Outcome] = {}
    with _open_journal(journal) as (known, write):
        for task in tasks:
            row = known.get(task.id)
            if row is not None and row["stamp"] == task.stamp and whole(row["value"]):
                outcomes[task.id] = Outcome(task.id, row["value"], reused=True)
        todo = [task for task in tasks if task.id not in outcomes]
        progress = Progress(title, total=len(tasks), done=len(outcomes), unit=unit, quiet=quiet)
        if ray_address is not None:
            stream = _ray_pool(function, todo, ray_address, timeout_s)
        elif workers == 0:
            stream = ((task, _call(function, task.id, task.args)) for task in todo)
        else:
            stream = _process_pool(function, todo, min(workers or default_workers(), max(len(todo), 1)), timeout_s)
        with progress:
            for task, outcome in stream:
                outcomes[task.id] = outcome
                if outcome.ok:
                    write({"id": task.id, "stamp": task.stamp, "value": outcome.value})
                progress.step(failed=not outcome.ok)
    return [outcomes[task.id] for task in tasks]


def _call(function: Callable[..., dict[str, Any]], clip: str, args: tuple[Any, ...]) -> Outcome:
    try:
        return Outcome(clip, function(*args))
    except MediaError as error:
        return Outcome(clip, reason=error.reason, message=str(error))
    except SignloomError as error:
        return Outcome(clip, reason="error", message=str(error))
    except MemoryError:
        return Outcome(clip, reason="out-of-memory", message=f"clip '{clip}': the worker ran out of memory")
    except Exception as error:  # one bad clip never ends a run; whatever it was is reported in the clip's row
        return Outcome(clip, reason="error", message=f"clip '{clip}': {type(error).__name__}: {error}")


# --- the pool: worker processes that can be killed one at a time ------------------------------------------------


def _work(function: Callable[..., dict[str, Any]], pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    # Native libraries write warnings straight to stderr, which would tear the progress bar; what goes wrong comes back
    # as an outcome.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    while True:
        try:
            clip, args = pipe.recv()
        except EOFError:  # the parent is gone or done
            return
        try:
            pipe.send(_call(function, clip, args))
        except BrokenPipeError:
            return


class _Worker:
    def __init__(self, context, function):
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(function, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.task: Task | None = None
        self.deadline = float("inf")

    def give(self, task: Task, timeout_s: float) -> None:
        self.task = task
        self.deadline = time.monotonic() + timeout_s
        self.pipe.send((task.id, task.args))

    def take(self) -> Outcome:
        assert self.task is not None
        try:
            return self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self.process.join(5)
            code = self.process.exitcode
            how = f"killed by signal {-code}" if code is not None and code < 0 else f"exit code {code}"
            hint = "; signal 9 usually means that memory ran out" if code == -signal.SIGKILL else ""
            return Outcome(
                self.task.id, reason="crashed", message=f"clip '{self.task.id}' took its worker down ({how}{hint})"
            )

    def stop(self) -> None:
        self.pipe.close()
        if self.process.is_alive():
            self.process.kill()
        self.process.join(5)


def _process_pool(function, todo: Sequence[Task], workers: int, timeout_s: float) -> Iterator[tuple[Task, Outcome]]:
    context = multiprocessing.get_context("spawn")  # fork would copy the parent's threads' locks
    waiting = iter(todo)
    pool: list[_Worker] = []
    busy: dict[Connection, _Worker] = {}

    def feed(worker: _Worker) -> None:
        task = next(waiting, None)
        if task is None:
            worker.stop()
            pool.remove(worker)
        else:
            worker.give(task, timeout_s)
            busy[worker.pipe] = worker

    try:
        for _ in range(workers if todo else 0):
            pool.append(_Worker(context, function))
        for worker in list(pool):
            feed(worker)
        while busy:
            soonest = min(w.deadline for w in busy.values())
            ready = wait(list(busy), timeout=max(0.0, soonest - time.monotonic()))
            late = [w.pipe for w in busy.values() if w.deadline <= time.monotonic() and w.pipe not in ready]
            for pipe in (*ready, *late):
                worker = busy.pop(pipe)  # type: ignore[index]
                task = worker.task
                assert task is not None
                if pipe in late:
                    message = f"clip '{task.id}' took longer than {timeout_s:g} s and was stopped"
                    outcome = Outcome(task.id, reason="timeout", message=message)
                else:
                    outcome = worker.take()
                if outcome.reason in ("timeout", "crashed"):
                    worker.stop()
                    pool.remove(worker)
                    worker = _Worker(context, function)
                    pool.append(worker)
                feed(worker)
                yield task, outcome
    finally:
        for worker in pool:
            worker.stop()


def _ray_pool(function, todo: Sequence[Task], address: str, timeout_s: float) -> Iterator[tuple[Task, Outcome]]:
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError(
            "--ray needs Ray. Run: pip install 'signloom[ray]' (in a clone: pip install -e '.[ray]')"
        ) from error
    if not ray.is_initialized():
        ray.init(address=None if address == "local" else address, log_to_driver=False, include_dashboard=False)
    remote = ray.remote(max_retries=0)(_call)
    running: dict[Any, tuple[Task, float]] = {}
    waiting = iter(todo)
    room = max(2, int(ray.cluster_resources().get("CPU", 1)) * 2)
    while True:
        while len(running) < room and (task := next(waiting, None)) is not None:
            running[remote.remote(function, task.id, task.args)] = (task, time.monotonic())
        if not running:
            return
        ready, _ = ray.wait(list(running), num_returns=1, timeout=1.0)
        for reference in ready:
            task, _started = running.pop(reference)
            try:
                yield task, ray.get(reference)
            except ray.exceptions.RayError as error:
                message = f"clip '{task.id}' took its worker down: {type(error).__name__}"
                yield task, Outcome(task.id, reason="crashed", message=message)
        for reference, (task, started) in list(running.items()):
            # A task may wait in Ray's queue behind another, hence twice the time.
            if time.monotonic() - started > 2 * timeout_s:
                ray.cancel(reference, force=True)
                del running[reference]
                message = f"clip '{task.id}' took longer than {timeout_s:g} s and was stopped"
                yield task, Outcome(task.id, reason="timeout", message=message)


# --- the journal: what is already done --------------------------------------------------------------------------


@contextmanager
def _open_journal(path: Path | None) -> Iterator[tuple[Mapping[str, dict], Callable[[dict], None]]]:
    if path is None:
        yield {}, lambda row: None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            message = (
                f"'{path.parent}' is being written by another signloom process; wait for it or choose another --out"
            )
            raise InputError(message) from error
        for left_over in path.parent.rglob(".tmp-*"):
            left_over.unlink(missing_ok=True)  # only now: whoever holds the journal may be writing them
        known: dict[str, dict] = {}
        file.seek(0)
        whole = 0
        for line in file:
            try:
                row = json.loads(line)
                known[row["id"]] = row
            except (ValueError, KeyError, TypeError):
                break  # torn by a kill in mid-write: this row and what follows is done again
            if not line.endswith(b"\n"):
                break
            whole += len(line)
        file.truncate(whole)

        def write(row: dict) -> None:
            file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
            file.flush()

        try:
            yield known, write
        finally:
            os.fsync(file.fileno())


# --- progress ---------------------------------------------------------------------------------------------------


class Progress:
    """A bar with rate and ETA on a terminal; a line every ten seconds elsewhere (logs, CI). Writes to stderr."""

    def __init__(self, title: str, total: int, done: int = 0, *, unit: str = "clips", quiet: bool = False):
        self.title, self.total, self.done, self.unit = title, total, done, unit
        self.quiet = quiet
        self.failed = 0
        self._already = done
        self._began = self._said = time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> Progress:
        self._began = self._said = time.monotonic()
        if not self.quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}"),
                TimeElapsedColumn(),
                TextColumn("ETA"),
                TimeRemainingColumn(),
            )
            self._bar = Bar(*columns, console=Console(stderr=True))
            self._bar.start()
            self._id = self._bar.add_task(self.title, total=self.total, completed=self.done, note="")
        elif not self.quiet and self._already:
            print(f"{self.title}: {self._already} of {self.total} {self.unit} are already done", file=sys.stderr)
        return self

    def step(self, *, failed: bool = False, note: str = "") -> None:
        """Count one more; ``failed`` is shown beside the bar."""
        self.done += 1
        self.failed += failed
        note = " ".join(filter(None, [f"{self.failed} failed" if self.failed else "", note]))
        if self._bar is not None:
            self._bar.update(self._id, completed=self.done, note=note)
        elif not self.quiet and time.monotonic() - self._said > 10:
            self._said = time.monotonic()
            self._print(note)

    def _print(self, note: str) -> None:
        rate = (self.done - self._already) / max(time.monotonic() - self._began, 1e-9)
        left = (self.total - self.done) / rate if rate else 0.0
        tail = f", {note}" if note else ""
        print(
            f"{self.title}: {self.done}/{self.total} {self.unit}, {rate:.3g}/s, "
            f"ETA {int(left // 60)}:{int(left % 60):02d}{tail}",
            file=sys.stderr,
            flush=True,
        )

    def __exit__(self, *exc: object) -> None:
        if self._bar is not None:
            self._bar.stop()
