"""Who may speak to the server, and what every answer carries: this machine's own pages alone.

A page of another origin can make a browser send requests here, and by a name that it resolves to 127.0.0.1 (DNS
rebinding) even read the answers. So the Host header must be a name of this server, and an Origin, where there is one,
this server's own.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from signloom.apps.serve.limits import Refused

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

HEADERS = {
    # Threads of WebAssembly need a page that is isolated from others; without these two they fail in silence.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'wasm-unsafe-eval' blob:; worker-src 'self' "
    "blob:; connect-src 'self' blob: data:; img-src 'self' blob: data:; media-src 'self' blob:; style-src 'self' "
    "'unsafe-inline'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}

HEAD_BYTES = 16 << 10


class Guard:
    """An ASGI application around another: refuses other hosts and origins, and adds :data:`HEADERS`."""

    def __init__(self, app: Any, hosts: Callable[[], frozenset[str]]):
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        try:
            self._check(scope)
        except Refused as refused:
            if scope["type"] == "websocket":
                await receive()  # it is told before it is accepted: the handshake fails with 403
                await send({"type": "websocket.close", "code": 1008, "reason": refused.error[:120]})
            else:
                await send_refusal(refused, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                there = {name.lower() for name, _ in message.get("headers", [])}
                more = [(n.lower().encode(), v.encode()) for n, v in HEADERS.items() if n.lower().encode() not in there]
                message = {**message, "headers": [*message.get("headers", []), *more]}
            await send(message)

        await self.app(scope, receive, with_headers)

    def _check(self, scope: Scope) -> None:
        if scope["type"] == "http" and scope["http_version"] not in ("1.0", "1.1"):
            raise Refused(
                400, "http", f"this is HTTP/{scope['http_version']}", where="the request line", wanted="HTTP/1.1"
            )
        size = len(scope["path"]) + len(scope["query_string"]) + sum(len(n) + len(v) + 4 for n, v in scope["headers"])
        if size > HEAD_BYTES:  # uvicorn measures only heads that come in parts
            raise Refused(
                431, "head", f"{size} bytes of path and headers", where="the head", wanted=f"at most {HEAD_BYTES} bytes"
            )
        hosts = [value.decode("latin-1").lower() for name, value in scope["headers"] if name == b"host"]
        known = self.hosts()
        if len(hosts) != 1 or hosts[0] not in known:
            got = ", ".join(repr(host[:80]) for host in hosts) or "none"
            raise Refused(
                403, "host", f"this server is not {got}", where="header Host", wanted=" or ".join(sorted(known))
            )
        origins = [value.decode("latin-1").lower() for name, value in scope["headers"] if name == b"origin"]
        if origins and (len(origins) > 1 or origins[0] != f"http://{hosts[0]}"):
            raise Refused(
                403,
                "origin",
                f"pages of {origins[0][:80]!r} may not use this server",
                where="header Origin",
                wanted=f"http://{hosts[0]}, or none",
            )
        sites = [value for name, value in scope["headers"] if name == b"sec-fetch-site"]
        if any(site.lower() in (b"cross-site", b"same-site") for site in sites) and scope["path"] != "/":
            raise Refused(
                403, "origin", "a page of another site sent this", where="header Sec-Fetch-Site", wanted="same-origin"
            )


async def send_refusal(refused: Refused, send: Send) -> None:
    """Answer an HTTP request with ``refused``; what it still sends is not read."""
    body = json.dumps(refused.as_json()).encode()
    headers = {**HEADERS, **refused.headers, "Content-Type": "application/json", "Content-Length": str(len(body))}
    pairs = [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refused.status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
