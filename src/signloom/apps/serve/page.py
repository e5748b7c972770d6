"""The built page, which the wheel holds, and what stands in its place where nobody has built it."""

from __future__ import annotations

from pathlib import Path

from starlette.responses import HTMLResponse, Response

PAGE = Path(__file__).resolve().parent.parent / "web"
"""Where ``make web`` puts it."""

MIME = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webp": "image/webp",
    ".ico": "image/x-icon",
    ".txt": "text/plain; charset=utf-8",
    ".woff2": "font/woff2",
}
"""By suffix; the system's own table may be another on every machine."""


def unbuilt() -> Response:
    """A page that says how the page is built."""
    return HTMLResponse(
        """<!doctype html><html lang="en"><meta charset="utf-8"><title>signloom</title>
<meta name="viewport" content="width=device-width"><style>body{font:16px/1.5 sans-serif;max-width:40em;margin:3em auto;
padding:0 1em}</style><h1>The page is not built</h1><p>An installed signloom has it inside. In a clone, with Node.js
20.19 or later: <code>make web</code>, then load this again.</p><p>The API works without it:
<a href="/api/models">models</a>, <a href="/api/limits">limits</a>, <a href="/api/openapi.json">OpenAPI</a>.</p></html>
"""
    )
