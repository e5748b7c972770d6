"""The server's routes: a page, models and networks as files, and an API that names signs in clips and frames."""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import struct
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

import signloom
from signloom.apps.serve.guard import Guard
from signloom.apps.serve.limits import Refused, ServeLimits
from signloom.apps.serve.models import Served
from signloom.apps.serve.openapi import document
from signloom.apps.serve.page import MIME, PAGE, unbuilt
from signloom.apps.serve.worker import Pool
from signloom.errors import InputError
from signloom.media.limits import SENSOR_SUFFIXES
from signloom.streams.holistic.networks import HOLISTIC, NETWORKS, describe_networks, find_network

TOP, MOST_TOP = 5, 100
_CHUNK = 1 << 20


@dataclass
class Job:
    """A clip that was sent. ``state`` is queued, running, done, refused or cancelled."""

    id: str
    model: str
    file: str
    state: str = "queued"
    frames: int = 0
    of: int | None = None
    answer: dict[str, Any] | None = None
    refused: Refused | None = None
    ended_s: float = 0.0
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    def as_json(self) -> dict[str, Any]:
        """What is told of it."""
        told: dict[str, Any] = {"id": self.id, "model": self.model, "file": self.file, "state": self.state}
        told |= {"frames": self.frames, "of": self.of, "answer": self.answer}
        return told | {"refused": None if self.refused is None else self.refused.as_json()}


class Server:
    """All that is kept while it runs. ``app`` is the ASGI application."""

    def __init__(self, models: Mapping[str, Served], limits: ServeLimits, hosts: Callable[[], frozenset[str]]):
        self.models, self.limits = dict(models), limits
        self.pool = Pool({name: m.run for name, m in models.items() if m.answers and m.run is not None}, limits)
        self.jobs: dict[str, Job] = {}
        self.uploads = 0
        self.scratch = Path()
        routes = [
            Route("/api/openapi.json", self.openapi),
            Route("/api/models", self.list_models),
            Route("/api/limits", self.tell_limits),
            Route("/api/predict", self.predict, methods=["POST"]),
            Route("/api/jobs/{id}", self.job, methods=["GET", "DELETE"]),
            WebSocketRoute("/api/stream", self.stream),
            Route("/models/{name}/{file}", self.model_file),
            Route("/networks/networks.json", self.list_networks),
            Route("/networks/{file}", self.network_file),
            Route("/{path:path}", self.page),
        ]
        refusals: Any = {Refused: _refused, HTTPException: _http_error, Exception: _fault}
        app = Starlette(routes=routes, exception_handlers=refusals, lifespan=self._lifespan)
        self.app = Guard(app, hosts)

    @asynccontextmanager
    async def _lifespan(self, app: Any) -> AsyncIterator[None]:
        self.scratch = Path(tempfile.mkdtemp(prefix="signloom-serve-"))
        try:
            if self.pool.models:
                self.pool.start(self.scratch)
            yield
        finally:
            self.pool.closed = True
            under_way = [job.task for job in self.jobs.values() if job.task is not None]
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)
            self.pool.close()
            shutil.rmtree(self.scratch, ignore_errors=True)

    # --- told ---

    async def openapi(self, request: Request) -> Response:
        return JSONResponse(document(self.limits, list(self.models)))

    async def list_models(self, request: Request) -> Response:
        return JSONResponse([model.about for model in self.models.values()])

    async def tell_limits(self, request: Request) -> Response:
        return JSONResponse({"signloom": signloom.__version__, **self.limits.as_json()})

    # --- a clip ---

    async def predict(self, request: Request) -> Response:
        """Take a file, and name the sign in it; see :mod:`signloom.apps.serve.openapi`."""
        model, top = self._model(request.query_params), _number(request.query_params, "top", TOP, 1, MOST_TOP)
        wait = _choice(request.query_params, "wait", "true", ("true", "false")) == "true"
        name = request.query_params.get("name", "clip")
        if len(name) > 255:
            raise _bad("name", f"a name of {len(name)} characters", "at most 255")
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind.startswith("multipart/"):
            raise Refused(
                415,
                "form",
                "a form was sent",
                where="header Content-Type",
                wanted="the file itself as the body: curl --data-binary @clip.mp4 …/api/predict",
            )
        try:
            folder = Path(tempfile.mkdtemp(dir=self.scratch))
        except OSError as error:
            raise _machine(error) from error
        try:
            file = await self._received(request, folder / f"clip{_suffix(name)}")
            job = self._begin(model, name, file, top)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        if not wait:
            return JSONResponse(job.as_json(), 202, headers={"Location": f"/api/jobs/{job.id}"})
        await self._ended_or_gone(job, request)
        if job.refused is not None:
            raise job.refused
        if job.answer is None:
            raise Refused(409, "cancelled", "it was cancelled", where=f"job {job.id}", wanted="send it again")
        return JSONResponse(job.answer)

    def _model(self, params: Mapping[str, str]) -> str:
        answering = [name for name, model in self.models.items() if model.answers]
        name = params.get("model") or (answering[0] if answering else "")
        if name not in answering:
            told = f"there is no model '{name[:80]}' that names signs" if name else "no model here names signs"
            wanted = " or ".join(answering) or "a server that was started with a run of a recogniser"
            raise Refused(404, "model", told, where="parameter model", wanted=wanted)
        return name

    async def _received(self, request: Request, file: Path) -> Path:
        """Write what is sent into ``file``, as far as the limits allow."""
        limits, most = self.limits, self.limits.upload_bytes
        told = request.headers.get("content-length")
        if told is not None and told.isdigit() and int(told) > most:
            raise _too_large(int(told), most)
        if self.uploads >= limits.uploads:
            raise Refused(
                503,
                "busy",
                f"{self.uploads} files are being sent",
                where="the server",
                wanted="the same again later",
                retry_s=5,
            )
        self.uploads += 1
        n, chunks = 0, aiter(request.stream())
        try:
            async with asyncio.timeout(limits.upload_s):
                with open(file, "wb") as out:
                    while True:
                        async with asyncio.timeout(limits.silent_s):
                            chunk = await anext(chunks, None)
                        if chunk is None:
                            break
                        n += len(chunk)
                        if n > most:
                            raise _too_large(n, most)
                        out.write(chunk)
        except TimeoutError:
            raise Refused(
                408,
                "slow",
                f"{n} bytes came, and then nothing, or too slowly",
                where="the body",
                wanted=f"no pause of {limits.silent_s:g} s, and all of it within {limits.upload_s:g} s",
            ) from None
        except OSError as error:
            raise _machine(error) from error
        except ClientDisconnect:
            raise Refused(
                400, "gone", f"the sender left after {n} bytes", where="the body", wanted="the whole file"
            ) from None
        finally:
            self.uploads -= 1
        if not n:
            raise Refused(422, "empty", "no bytes were sent", where="the body", wanted="the file itself as the body")
        return file

    def _begin(self, model: str, name: str, file: Path, top: int) -> Job:
        self._forget()
        if len(self.jobs) >= self.limits.kept_jobs:
            raise Refused(
                503,
                "busy",
                f"{len(self.jobs)} jobs are under way",
                where="the server",
                wanted="the same again later",
                retry_s=5,
            )
        job = Job(secrets.token_urlsafe(12), model, name)
        self.jobs[job.id] = job
        job.task = asyncio.create_task(self._run(job, file, top))
        return job

    def _forget(self) -> None:
        """Let go of jobs that ended long ago, and of the oldest where there are too many."""
        now = time.monotonic()
        ended = sorted((job for job in self.jobs.values() if job.ended_s), key=lambda job: job.ended_s)
        spare = max(0, len(self.jobs) - self.limits.kept_jobs + 1)
        for number, job in enumerate(ended):
            if number < spare or now - job.ended_s > self.limits.kept_s:
                del self.jobs[job.id]

    async def _run(self, job: Job, file: Path, top: int) -> None:
        def on_progress(frames: int, of: int | None) -> None:
            job.frames, job.of = frames, of

        try:
            async with self.pool.lease() as worker:
                job.state = "running"
                async with asyncio.timeout(self.limits.answer_s):
                    job.answer = await worker.ask(
                        "predict", job.model, str(file), job.file, top, on_progress=on_progress
                    )
            job.state = "done"
        except TimeoutError:
            job.refused = Refused(
                422,
                "timeout",
                f"it took longer than {self.limits.answer_s:g} s and was stopped, after {job.frames} frames",
                where="the clip",
                wanted="a shorter clip",
            )
        except Refused as refused:
            job.refused = refused
        except OSError as error:  # no process could be started, say
            job.refused = _machine(error)
        except asyncio.CancelledError:
            job.state = "cancelled"
        finally:
            if job.refused is not None:
                job.state = "refused"
            job.ended_s = time.monotonic()
            shutil.rmtree(file.parent, ignore_errors=True)

    async def _ended_or_gone(self, job: Job, request: Request) -> None:
        """Wait for the answer; who asked and left does not want it."""
        assert job.task is not None

        async def gone() -> None:
            while (await request.receive())["type"] != "http.disconnect":
                pass

        leaving = asyncio.create_task(gone())
        try:
            await asyncio.wait({job.task, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            if not job.task.done():
                job.task.cancel()
                with suppress(asyncio.CancelledError):
                    await job.task

    async def job(self, request: Request) -> Response:
        """How far a job has come; DELETE ends it."""
        job = self.jobs.get(request.path_params["id"])
        if job is None:
            raise Refused(
                404,
                "job",
                "there is no such job, or it ended long ago",
                where="the path",
                wanted="an id that POST /api/predict?wait=false gave",
            )
        if request.method == "DELETE" and job.task is not None and not job.task.done():
            job.task.cancel()
            await asyncio.wait({job.task})
        return JSONResponse(job.as_json())

    # --- frames as they come ---

    async def stream(self, socket: WebSocket) -> None:
        """Frames in, answers out; see :mod:`signloom.apps.serve.openapi`."""
        await socket.accept()
        try:
            model = self._model(socket.query_params)
            top = _number(socket.query_params, "top", TOP, 1, MOST_TOP)
            fps = _rate(socket.query_params)
            async with self.pool.lease(wait=False) as worker:
                async with asyncio.timeout(self.limits.answer_s):
                    await worker.ask("load", model)
                await socket.send_json({"event": "ready", "model": model})
                await _Frames(self.limits, socket, worker, model, fps, top).run()
            await socket.close()
            return
        except WebSocketDisconnect:
            return
        except Refused as refused:
            why = refused
        except TimeoutError:
            why = Refused(
                503,
                "timeout",
                f"a step took longer than {self.limits.answer_s:g} s and was stopped",
                where="the stream",
                wanted="smaller pictures, or the same again later",
            )
        except OSError as error:
            why = _machine(error)
        with suppress(RuntimeError, WebSocketDisconnect):
            await socket.send_json({"event": "refused", **why.as_json()})
            await socket.close(1013 if why.status == 503 else 1008, why.reason)

    # --- files ---

    async def model_file(self, request: Request) -> Response:
        model = self.models.get(request.path_params["name"])
        if model is None or request.path_params["file"] not in model.files or model.web is None:
            raise _no_file(request)
        return _file(model.web / request.path_params["file"])

    async def list_networks(self, request: Request) -> Response:
        there = {name: told for name, told in describe_networks(HOLISTIC).items() if _network(name) is not None}
        return JSONResponse(there)

    async def network_file(self, request: Request) -> Response:
        file = request.path_params["file"].removesuffix(".tflite")
        name = next((n for n in HOLISTIC if file in (n, NETWORKS[n].file_name.removesuffix(".tflite"))), None)
        path = None if name is None else _network(name)
        if path is None or not request.path_params["file"].endswith(".tflite"):
            raise _no_file(request)
        return _file(path)

    async def page(self, request: Request) -> Response:
        path = request.path_params["path"] or "index.html"
        if path == "api/predict":
            raise HTTPException(405, headers={"Allow": "POST"})
        if path.startswith("api/"):
            raise _no_file(request)
        if not (PAGE / "index.html").is_file():
            if path == "index.html":
                return unbuilt()
            raise _no_file(request)
        with suppress(OSError, ValueError):  # a name that no file can have
            file = (PAGE / path).resolve()
            if file.is_relative_to(PAGE.resolve()) and file.is_file():
                return _file(file)
        raise _no_file(request)


class _Frames:
    """One visitor's stream of frames."""

    def __init__(self, limits: ServeLimits, socket: WebSocket, worker: Any, model: str, fps: float | None, top: int):
        self.limits, self.socket, self.worker = limits, socket, worker
        self.model, self.fps, self.top = model, fps, top
        self.n, self.last_s = 0, float("-inf")

    async def run(self) -> None:
        """Until the visitor says "end", or leaves."""
        while True:
            try:
                async with asyncio.timeout(self.limits.stream_idle_s):
                    message = await self.socket.receive()
            except TimeoutError:
                raise Refused(
                    408,
                    "slow",
                    f"nothing came for {self.limits.stream_idle_s:g} s",
                    where="the stream",
                    wanted='frames, or {"do": "end"}',
                ) from None
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", 1000))
            async with asyncio.timeout(self.limits.answer_s):
                if (data := message.get("bytes")) is not None:
                    await self.frame(data)
                elif await self.command(message.get("text") or ""):
                    return

    async def frame(self, data: bytes) -> None:
        time_s, size, picture = _frame_of(data, self.limits)
        if not time_s > self.last_s:
            raise _bad("a frame", f"time {time_s} s after {self.last_s} s", "times that increase")
        if self.n >= self.limits.frames:
            raise Refused(
                413, "too-long", f"{self.n} frames", where="the stream", wanted=f"at most {self.limits.frames} a clip"
            )
        if self.n == 0:
            await self.worker.ask("open", self.model, self.fps, self.top)
        await self.worker.ask("frame", time_s, picture, size)
        self.n, self.last_s = self.n + 1, time_s
        await self.socket.send_json({"event": "taken", "frames": self.n, "time_s": time_s})

    async def command(self, text: str) -> bool:
        """Do what a text says; whether that was the end."""
        try:
            told = json.loads(text)
            do = told["do"] if isinstance(told, dict) else None
        except (ValueError, KeyError, RecursionError):
            do = None
        if do == "end":
            return True
        if do != "close":
            raise _bad("a text", repr(text[:80]), '{"do": "close"} or {"do": "end"}')
        if not self.n:
            raise Refused(422, "no-frames", "no frame came", where="the stream", wanted="frames before close")
        for row in await self.worker.ask("close"):
            await self.socket.send_json({"event": "answer", **row})
        self.n, self.last_s = 0, float("-inf")
        return False


RAW = b"RGB8"


def _frame_of(data: bytes, limits: ServeLimits) -> tuple[float, tuple[int, int] | None, bytes]:
    """The time, the size (of raw pixels) and the picture in a binary message: float64 seconds, then a JPEG or PNG; or
    "RGB8", width and height as uint32, and the pixels. All little-endian."""
    if not 8 < len(data) <= limits.frame_bytes:
        raise Refused(
            413 if len(data) > 8 else 422,
            "too-large" if len(data) > 8 else "truncated",
            f"a frame of {len(data)} bytes",
            where="a frame",
            wanted=f"8 bytes of time and a picture, at most {limits.frame_bytes} in all",
        )
    (time_s,) = struct.unpack_from("<d", data)
    if not 0 <= time_s < 1e6:
        raise _bad("a frame", f"time {time_s} s", "seconds from 0 on")
    if data[8:12] != RAW:
        return time_s, None, data[8:]
    if len(data) < 20:
        raise _bad("a frame", f"{len(data)} bytes", "RGB8, width, height and pixels")
    width, height = struct.unpack_from("<II", data, 12)
    most = limits.side_px
    if not (0 < width <= most and 0 < height <= most) or len(data) != 20 + 3 * width * height:
        raise _bad(
            "a frame", f"{width} × {height} px in {len(data) - 20} bytes", f"3 bytes a pixel, sides up to {most}"
        )
    return time_s, (width, height), data[20:]


# --- what was asked -------------------------------------------------------------------------------------------------


def _bad(where: str, got: str, wanted: str) -> Refused:
    return Refused(422, "value", f"got {got}", where=where, wanted=wanted)


def _number(params: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most):
        raise _bad(f"parameter {name}", repr(text[:40]), f"a whole number from {least} to {most}")
    return int(text)


def _choice(params: Mapping[str, str], name: str, default: str, known: tuple[str, ...]) -> str:
    text = params.get(name, default)
    if text not in known:
        raise _bad(f"parameter {name}", repr(text[:40]), " or ".join(known))
    return text


def _rate(params: Mapping[str, str]) -> float | None:
    text = params.get("fps")
    if text is None:
        return None
    with suppress(ValueError):
        if 0.5 <= (value := float(text)) <= 1000:
            return value
    raise _bad("parameter fps", repr(text[:40]), "frames per second from 0.5 to 1000, or none")


def _suffix(name: str) -> str:
    """What of a file's name tells its kind; of videos their content does."""
    suffix = Path(name).suffix.lower()
    return suffix if suffix == ".pose" or suffix in SENSOR_SUFFIXES else ""


def _machine(error: OSError) -> Refused:
    told = error.strerror or type(error).__name__
    wanted = "the same again once this machine has room for it"
    return Refused(503, "machine", f"this machine did not do it: {told}", where="the server", wanted=wanted)


def _too_large(n: int, most: int) -> Refused:
    return Refused(413, "too-large", f"{n} bytes", where="the body", wanted=f"at most {most} bytes")


# --- answers --------------------------------------------------------------------------------------------------------


def _network(name: str) -> Path | None:
    try:
        return find_network(name)[0]
    except InputError:
        return None


def _no_file(request: Request) -> Refused:
    return Refused(
        404,
        "path",
        "there is nothing here",
        where="the path",
        wanted="/, or a path of /api/openapi.json or /api/models",
    )


def _file(path: Path) -> Response:
    return FileResponse(path, media_type=MIME.get(path.suffix, "application/octet-stream"))


async def _refused(request: Request, refused: Exception) -> Response:
    assert isinstance(refused, Refused)
    # What was not read of the body cannot be skipped: the connection ends.
    headers = {**refused.headers, **({"Connection": "close"} if request.method == "POST" else {})}
    return JSONResponse(refused.as_json(), refused.status, headers=headers)


async def _fault(request: Request, error: Exception) -> Response:
    told = Refused(
        500,
        "fault",
        type(error).__name__,
        where="the server",
        wanted="nothing else: report this with what the server printed",
    )
    return JSONResponse(told.as_json(), 500)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    allowed = (error.headers or {}).get("Allow", "")
    wanted = allowed or "/, or a path of /api/openapi.json"
    told = {"error": error.detail, "reason": "method" if allowed else "path", "where": "the request", "wanted": wanted}
    return JSONResponse(told, error.status_code, headers=error.headers)
