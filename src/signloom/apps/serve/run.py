"""The server itself: a socket on this machine, senders who must not dawdle, and an end that leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Callable, Mapping
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from signloom.apps.serve.app import Server
from signloom.apps.serve.guard import HEAD_BYTES, HEADERS
from signloom.apps.serve.limits import ServeLimits
from signloom.apps.serve.models import Served
from signloom.errors import InputError


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens on ``host`` and ``port`` (0: a free one). Raises InputError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except (OSError, OverflowError, UnicodeError) as error:
        listening.close()
        raise InputError(
            f"cannot listen on {host}, port {port}: {error}; choose another --port, or 0 for one that is free"
        ) from error
    return listening


def names_of(host: str, port: int) -> frozenset[str]:
    """What a browser may call the server that listens on ``host`` and ``port``."""
    host = host.lower()
    names = {"127.0.0.1": {"127.0.0.1", "localhost"}, "::1": {"[::1]", "localhost"}}.get(
        host, {f"[{host}]" if ":" in host else host}
    )
    return frozenset({f"{name}:{port}" for name in names} | (names if port == 80 else set()))


def serve(
    models: Mapping[str, Served],
    listening: socket.socket,
    limits: ServeLimits,
    *,
    names: frozenset[str],
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve ``models`` on the socket ``listening`` until Ctrl-C; ``ready`` is called once it answers."""
    server = Server(models, limits, lambda: names)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # a request that is no HTTP is its sender's matter
    config = uvicorn.Config(
        server.app,
        http=_patient_for(limits.head_s),
        ws="websockets-sansio",
        ws_max_size=limits.frame_bytes + 1024,
        ws_max_queue=4,
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        limit_concurrency=limits.connections,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=2,
        h11_max_incomplete_event_size=HEAD_BYTES,
    )
    asyncio.run(_until_stopped(uvicorn.Server(config), listening, ready))


async def _until_stopped(server: uvicorn.Server, listening: socket.socket, ready: Callable[[], None]) -> None:
    async def tell() -> None:
        while not server.started:
            await asyncio.sleep(0.02)
        ready()

    telling = asyncio.create_task(tell())
    try:
        await server.serve(sockets=[listening])
    finally:
        telling.cancel()


def _patient_for(head_s: float) -> type[H11Protocol]:
    """uvicorn's protocol, with a limit on how long a request's head may take, and refusals in JSON."""

    class Protocol(H11Protocol):
        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._expect_head()

        def handle_events(self) -> None:
            super().handle_events()
            state = self.conn.their_state
            if state is not h11.IDLE:
                self._forget_deadline()
            elif self.conn.trailing_data[0]:  # a head that has begun
                self._expect_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self._forget_deadline()
            super().connection_lost(exc)

        def _expect_head(self) -> None:
            if self._deadline is None:
                self._deadline = self.loop.call_later(head_s, self._too_slow)

        def _forget_deadline(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def _too_slow(self) -> None:
            if not self.transport.is_closing():
                self._refuse(408, "slow", "the head of a request did not come", f"a whole head within {head_s:g} s")

        def send_400_response(self, msg: str) -> None:
            self._refuse(
                400, "http", "this is no HTTP request, or its head is too long", "HTTP/1.1, heads up to 16 KiB"
            )

        def _refuse(self, status: int, reason: str, error: str, wanted: str) -> None:
            told = {"error": error, "reason": reason, "where": "the head of the request", "wanted": wanted}
            body = json.dumps(told).encode()
            headers = {**HEADERS, "Content-Type": "application/json", "Content-Length": str(len(body))}
            lines = [f"HTTP/1.1 {status} {'Request Timeout' if status == 408 else 'Bad Request'}"]
            lines += [f"{name}: {value}" for name, value in (*headers.items(), ("Connection", "close"))]
            self.transport.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
            self.transport.close()

    return Protocol
