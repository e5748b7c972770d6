"""A process that holds the models and answers: one clip or one session at a time, and it can be killed."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import shutil
import signal
import tempfile
import warnings
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from signloom.apps.serve.limits import Refused, ServeLimits
from signloom.errors import CheckpointError, InputError, MachineError, MediaError, SignloomWarning
from signloom.media.limits import SENSOR_SUFFIXES

Tell = Callable[..., None]
TOO_MUCH = ("too-large", "too-long")
"""Reasons of files that are whole, and more than is taken."""


# --- in the process -------------------------------------------------------------------------------------------------


def work(pipe: Connection, models: Mapping[str, Path], limits: ServeLimits, scratch: Path) -> None:
    """Answer what comes through ``pipe``, until it closes.

    ``("load", model)``, ``("predict", model, file, shown, top)``; ``("open", model, fps, top)``, then ``("frame",
    time_s, data, size)`` and ``("close",)``. Each is answered by ``("done", …)`` or ``("refused", status, reason,
    message)``; a prediction tells ``("progress", frames, of)`` before.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server decides what Ctrl-C means
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # native libraries write warnings there
    worker = _Working(models, limits, scratch)
    while True:
        try:
            kind, *what = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer = worker.do(kind, what, lambda *told: pipe.send(told))
        except Exception as error:
            answer = _refusal(error)
        try:
            pipe.send(answer)
        except OSError:
            return


def _refusal(error: Exception) -> tuple[Any, ...]:
    message = f"{error}" or type(error).__name__
    if isinstance(error, MediaError):
        return "refused", 413 if error.reason in TOO_MUCH else 422, error.reason, message
    if isinstance(error, MachineError):
        return "refused", 503, "machine", message
    if isinstance(error, MemoryError):
        return "refused", 413, "out-of-memory", "it needs more memory than is given to one clip"
    if isinstance(error, (InputError, CheckpointError)):
        return "refused", 422, "input", message
    return "refused", 500, "fault", f"{type(error).__name__}: {message}"


class _Working:
    def __init__(self, models: Mapping[str, Path], limits: ServeLimits, scratch: Path):
        self.models, self.limits, self.scratch = models, limits, scratch
        self.loaded: dict[str, Any] = {}
        self.session: Any = None
        self.top = 5

    def do(self, kind: str, what: list[Any], tell: Tell) -> tuple[Any, ...]:
        if kind == "predict":
            model, file, shown, top = what
            return "done", self.predict(model, file, shown, top, tell)
        return "done", getattr(self, kind)(*what)  # kinds come from the server alone

    def load(self, model: str) -> None:
        self.predictor(model)

    def predictor(self, model: str) -> Any:
        from signloom.tasks import load_predictor

        if model not in self.loaded:
            self.loaded[model] = load_predictor(self.models[model])
            _cap_memory(self.limits.memory_bytes)
        return self.loaded[model]

    def predict(self, model: str, file: str, shown: str, top: int, tell: Tell) -> dict[str, Any]:
        from signloom.apps.live import answer_row

        predictor = self.predictor(model)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", SignloomWarning)
            try:
                prediction = self._prediction(predictor, Path(file), tell)
            except MediaError as error:
                raise MediaError(str(error).replace(file, shown), error.reason) from error
            except InputError as error:
                raise InputError(str(error).replace(file, shown)) from error
        return {"file": shown, **answer_row(prediction, top), "notes": _notes(caught)}

    def _prediction(self, predictor: Any, file: Path, tell: Tell) -> Any:
        from signloom import media
        from signloom.pipelines.predict import read_clip

        if file.suffix == ".pose" or file.suffix in SENSOR_SUFFIXES:
            return predictor(read_clip(file, predictor))
        info = media.probe(file, self.limits.media)
        session = predictor.session(info.fps)
        for number, (time_s, frame) in enumerate(media.iter_frames(file, limits=self.limits.media), start=1):
            session.push(time_s, {"video": frame})
            tell("progress", number, info.n_frames)
        return session.close()[0]

    def open(self, model: str, fps: float | None, top: int) -> None:
        self.session, self.top = self.predictor(model).session(fps), top

    def frame(self, time_s: float, data: bytes, size: tuple[int, int] | None) -> None:
        import numpy as np

        from signloom import media

        if size is None:
            file = self.scratch / "frame"
            file.write_bytes(data)
            try:
                frame = media.read_picture(file, self.limits.media)
            except MediaError as error:
                raise MediaError(str(error).replace(str(file), "frame"), error.reason) from error
            finally:
                file.unlink(missing_ok=True)
        else:
            frame = np.frombuffer(data, np.uint8).reshape(size[1], size[0], 3)
        self.session.push(time_s, {"video": frame})

    def close(self) -> list[dict[str, Any]]:
        from signloom.apps.live import answer_row

        session, self.session = self.session, None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", SignloomWarning)
            found = session.close()
        return [{**answer_row(prediction, self.top), "notes": _notes(caught)} for prediction in found]


def _notes(caught: list[Any]) -> list[str]:
    return [str(w.message) for w in caught if issubclass(w.category, SignloomWarning)]


def _cap_memory(more_bytes: int) -> None:
    """Let this process take ``more_bytes`` beyond what it has; a GPU's driver reserves more than any cap, so not
    there."""
    import resource

    import torch

    with suppress(OSError, ValueError):
        if not torch.cuda.is_available():
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            cap = pages * resource.getpagesize() + more_bytes
            resource.setrlimit(resource.RLIMIT_AS, (cap, resource.getrlimit(resource.RLIMIT_AS)[1]))


# --- in the server --------------------------------------------------------------------------------------------------


class Worker:
    """One such process, as the server sees it. It has a folder of its own in ``scratch``, gone with it."""

    def __init__(self, models: Mapping[str, Path], limits: ServeLimits, scratch: Path):
        self.folder = Path(tempfile.mkdtemp(dir=scratch))
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs, models, limits, self.folder), daemon=True)
        self.process.start()
        theirs.close()

    async def ask(self, *message: Any, on_progress: Callable[[int, int | None], None] | None = None) -> Any:
        """What the process answers to ``message``. Raises Refused."""
        try:
            self.pipe.send(message)
            while True:
                kind, *what = await self._receive()
                if kind == "progress":
                    if on_progress is not None:
                        on_progress(*what)
                elif kind == "done":
                    return what[0]
                else:
                    status, reason, error = what
                    raise Refused(status, reason, error, where="the clip", wanted=_WANTED.get(status, _WANTED[422]))
        except (EOFError, OSError) as error:
            raise Refused(
                422, "crashed", "reading it took its process down", where="the clip", wanted=_WANTED[422]
            ) from error

    async def _receive(self) -> tuple[Any, ...]:
        loop, readable = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self.pipe.fileno(), readable.set)
        try:
            while not self.pipe.poll():
                readable.clear()
                await readable.wait()
        finally:
            loop.remove_reader(self.pipe.fileno())
        return self.pipe.recv()

    def kill(self) -> None:
        """End it now, whatever it does."""
        with suppress(OSError):
            self.pipe.close()
        if self.process.is_alive():
            self.process.kill()
        self.process.join(5)
        shutil.rmtree(self.folder, ignore_errors=True)


_WANTED = {
    413: "a shorter or smaller clip; GET /api/limits says how much is taken",
    422: "a whole video file, or a .pose file, that this model can read",
    500: "nothing else: this is a fault of the server; report it with what it says",
    503: "the same again later",
}


class Pool:
    """So many workers as the limits say; who comes when all are busy waits, up to so many."""

    def __init__(self, models: Mapping[str, Path], limits: ServeLimits):
        self.models, self.limits = models, limits
        self.scratch = Path()
        self.idle: list[Worker] = []
        self.busy: set[Worker] = set()
        self.waiting = 0
        self.closed = False
        """Whether no process takes the place of one that ends."""
        self._free = asyncio.Condition()

    def start(self, scratch: Path) -> None:
        """Start the processes, which keep what they need in ``scratch``."""
        self.scratch = scratch
        self._fill()

    def _fill(self) -> None:
        while not self.closed and len(self.idle) + len(self.busy) < self.limits.workers:
            self.idle.append(Worker(self.models, self.limits, self.scratch))

    def close(self) -> None:
        """End all of them, for good."""
        self.closed = True
        for worker in (*self.idle, *self.busy):
            worker.kill()
        self.idle.clear()
        self.busy.clear()

    @asynccontextmanager
    async def lease(self, *, wait: bool = True) -> AsyncIterator[Worker]:
        """A worker for one job. It is killed, and another started, where the job ends in anything but an answer or a
        refusal: where it is cancelled, or takes too long. Raises Refused where too many wait already."""
        worker = await self._take(wait)
        whole = False
        try:
            yield worker
            whole = True
        except Refused as refused:
            whole = refused.reason not in ("crashed", "out-of-memory", "fault")
            raise
        finally:
            self.busy.discard(worker)
            if whole and worker.process.is_alive():
                self.idle.append(worker)
            else:
                worker.kill()
                with suppress(OSError):  # who comes next tries again
                    self._fill()
            async with self._free:
                self._free.notify()

    async def _take(self, wait: bool) -> Worker:
        self._fill()  # where one could not be started before
        if not self.idle and (not wait or self.waiting >= self.limits.waiting):
            raise Refused(
                503,
                "busy",
                f"{len(self.busy)} of {self.limits.workers} workers are busy, and {self.waiting} requests wait",
                where="the server",
                wanted="the same again later",
                retry_s=5,
            )
        self.waiting += 1
        try:
            async with self._free:
                await self._free.wait_for(lambda: bool(self.idle))
                worker = self.idle.pop()
        finally:
            self.waiting -= 1
        if not worker.process.is_alive():  # the system took it, for want of memory, say
            worker.kill()
            worker = Worker(self.models, self.limits, self.scratch)
        self.busy.add(worker)
        return worker
