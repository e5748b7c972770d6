"""Map a function over the clips of a corpus: in parallel, resumable, and safe from any single clip.

Every clip runs in a worker process that can be killed. A clip that raises, hangs, or takes its worker down becomes a
failed :class:`Outcome` with a reason; the rest goes on. What is the machine's fault and no clip's (a full disk) ends
the run. Finished clips are written to a journal as they end, so that a killed run continues where it was. Functions
write their own output files atomically (:func:`atomic_write`), under names made from the clip's id (:func:`file_name`)
and :func:`fingerprint_hash` of everything that shapes them, so that a second attempt gives the same bytes in the same
place.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from signloom.errors import InputError, MachineError, MediaError, MissingExtraError, SignloomError
from signloom.runtime.journal import open_journal
from signloom.runtime.machine import machine_fault
from signloom.runtime.progress import Progress


@dataclass(frozen=True)
class Job:
    """One clip's work: ``function(*args)``. ``stamp`` identifies inputs and settings; see :func:`file_stamp`.

    Jobs of one ``group`` are done one after the other by one process, in order of ``place``, as long as there are other
    groups for the rest: it may hold what they share. A job of no group stands for itself.
    """

    id: str
    args: tuple[Any, ...]
    stamp: str = ""
    group: str = ""
    place: float = 0.0


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


Results = Generator[tuple[Job, Outcome | MachineError | MissingExtraError], None, None]


def default_workers() -> int:
    """The number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_clips(
    function: Callable[..., dict[str, Any]],
    tasks: Sequence[Job],
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

    Raises InputError when ids repeat or another process holds the journal; MachineError when the disk is full, say, and
    MissingExtraError for a library that is not installed: what is done by then stays in the journal.
    """
    if (workers or 0) < 0 or not timeout_s > 0:
        raise InputError(f"{title}: got {workers} workers and {timeout_s:g} s; expected 0 or more, and more than 0 s")
    ids = {task.id for task in tasks}
    if len(ids) != len(tasks):
        raise InputError(f"{len(tasks) - len(ids)} clip ids stand more than once; ids must be unique")
    outcomes: dict[str, Outcome] = {}
    with open_journal(journal) as (known, write):
        for task in tasks:
            row = known.get(task.id)
            if row is not None and row["stamp"] == task.stamp and whole(row["value"]):
                outcomes[task.id] = Outcome(task.id, row["value"], reused=True)
        todo = [task for task in tasks if task.id not in outcomes]
        progress = Progress(title, total=len(tasks), done=len(outcomes), unit=unit, quiet=quiet)
        stream: Results
        if ray_address is not None:
            stream = _ray_pool(function, todo, ray_address, timeout_s)
        elif workers == 0:
            stream = ((task, _call(function, task.id, task.args)) for task in _Queue(todo))
        else:
            stream = _process_pool(function, todo, min(workers or default_workers(), max(len(todo), 1)), timeout_s)
        with progress, closing(stream):
            for task, outcome in stream:
                if isinstance(outcome, SignloomError):
                    raise outcome
                outcomes[task.id] = outcome
                if outcome.ok:
                    write({"id": task.id, "stamp": task.stamp, "value": outcome.value})
                progress.step(failed=not outcome.ok)
    return [outcomes[task.id] for task in tasks]


def _call(
    function: Callable[..., dict[str, Any]], clip: str, args: tuple[Any, ...]
) -> Outcome | MachineError | MissingExtraError:
    """What became of one clip; an error where that is none of the clip's doing."""
    try:
        return Outcome(clip, function(*args))
    except (MachineError, MissingExtraError) as error:
        return error
    except MediaError as error:
        return Outcome(clip, reason=error.reason, message=str(error))
    except SignloomError as error:
        return Outcome(clip, reason="error", message=str(error))
    except MemoryError:
        return Outcome(clip, reason="out-of-memory", message=f"clip '{clip}': the worker ran out of memory")
    except Exception as error:  # one bad clip never ends a run; whatever it was is reported in the clip's row
        if (fault := machine_fault(error)) is not None:
            return fault
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


@contextmanager
def _ctrl_c_held() -> Iterator[None]:
    """Ctrl-C waits meanwhile, and what is started holds it off for good: before it can ignore it, it would be killed
    by it with a traceback."""
    resource_tracker.ensure_running()  # else the first start would start it, and let Ctrl-C through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Queue:
    """Jobs, first come first done; those of a group stay with the worker that began it. A worker for whom nothing is
    left takes over the second half of what another still has to do."""

    def __init__(self, todo: Sequence[Job]):
        groups: dict[Any, list[Job]] = {}
        for number, job in enumerate(todo):
            groups.setdefault(job.group or number, []).append(job)
        self._fresh = deque(deque(sorted(group, key=lambda job: job.place)) for group in groups.values())
        self._begun: dict[int, deque[Job]] = {}

    def next_for(self, worker: int) -> Job | None:
        own = self._begun.get(worker)
        if not own:
            own = self._begun[worker] = self._fresh.popleft() if self._fresh else self._half_of_the_longest()
        return own.popleft() if own else None

    def _half_of_the_longest(self) -> deque[Job]:
        longest = max(self._begun.values(), key=len, default=deque())
        taken = [longest.pop() for _ in range((len(longest) + 1) // 2)]
        return deque(reversed(taken))

    def __iter__(self) -> Iterator[Job]:
        while (job := self.next_for(0)) is not None:
            yield job


class _Worker:
    def __init__(self, context, function, number: int):
        self.number = number
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(function, theirs), daemon=True)
        with _ctrl_c_held():
            self.process.start()
        theirs.close()
        self.task: Job | None = None
        self.deadline = float("inf")

    def give(self, task: Job, timeout_s: float) -> None:
        self.task = task
        self.deadline = time.monotonic() + timeout_s
        with suppress(BrokenPipeError):  # it has died: take() tells how
            self.pipe.send((task.id, task.args))

    def take(self) -> Outcome | MachineError | MissingExtraError:
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


def _process_pool(function, todo: Sequence[Job], workers: int, timeout_s: float) -> Results:
    context = multiprocessing.get_context("spawn")  # fork would copy the parent's threads' locks
    waiting = _Queue(todo)
    pool: list[_Worker] = []
    busy: dict[Connection, _Worker] = {}

    def feed(worker: _Worker) -> None:
        task = waiting.next_for(worker.number)
        if task is None:
            worker.stop()
            pool.remove(worker)
        else:
            worker.give(task, timeout_s)
            busy[worker.pipe] = worker

    try:
        for number in range(workers if todo else 0):
            pool.append(_Worker(context, function, number))
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
                outcome: Outcome | MachineError | MissingExtraError
                if pipe in late:
                    message = f"clip '{task.id}' took longer than {timeout_s:g} s and was stopped"
                    outcome = Outcome(task.id, reason="timeout", message=message)
                else:
                    outcome = worker.take()
                if isinstance(outcome, Outcome) and outcome.reason in ("timeout", "crashed"):
                    worker.stop()
                    pool.remove(worker)
                    worker = _Worker(context, function, worker.number)
                    pool.append(worker)
                feed(worker)
                yield task, outcome
    finally:
        for worker in pool:
            worker.stop()


_RAY_TRIES = 3


def _ray_pool(function, todo: Sequence[Job], address: str, timeout_s: float) -> Results:
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError(
            "--ray needs Ray. Run: pip install 'signloom[ray]' (in a clone: pip install -e '.[ray]')"
        ) from error
    if not ray.is_initialized():
        ray.init(address=None if address == "local" else address, log_to_driver=False, include_dashboard=False)
    remote = ray.remote(max_retries=0)(_call)
    running: dict[Any, tuple[Job, float]] = {}
    waiting = deque(todo)
    lost: Counter[str] = Counter()  # how often a clip's node died under it
    while True:
        room = max(2, int(ray.cluster_resources().get("CPU", 1)) * 2)  # nodes come and go
        while len(running) < room and waiting:
            task = waiting.popleft()
            running[remote.remote(function, task.id, task.args)] = (task, time.monotonic())
        if not running:
            return
        ready, _ = ray.wait(list(running), num_returns=1, timeout=1.0)
        for reference in ready:
            task, _started = running.pop(reference)
            try:
                yield task, ray.get(reference)
            except ray.exceptions.NodeDiedError:
                lost[task.id] += 1
                if lost[task.id] < _RAY_TRIES:
                    waiting.appendleft(task)  # on another node; files appear whole, so nothing half is left
                    continue
                message = f"clip '{task.id}': the machines that it ran on died, {_RAY_TRIES} of them"
                yield task, Outcome(task.id, reason="crashed", message=message)
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
