"""What the server does where its own machine lets it down, called as the routes call it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("starlette")
from starlette.requests import Request

from signloom.apps.serve import app, worker
from signloom.apps.serve.limits import Refused, ServeLimits
from signloom.apps.serve.models import open_models
from signloom.apps.serve.run import names_of


def a_server():
    return app.Server({}, ServeLimits(), frozenset)


@pytest.mark.parametrize("path", ["a\0b", "a" * 300, "../secret", "/etc/passwd", "assets"])
def test_a_built_page_has_only_its_own_files(path, tmp_path, monkeypatch):
    (tmp_path / "page" / "assets").mkdir(parents=True)
    (tmp_path / "page" / "index.html").write_text("the page")
    (tmp_path / "secret").write_text("not for you")
    monkeypatch.setattr(app, "PAGE", tmp_path / "page")
    server = a_server()
    with pytest.raises(Refused) as refused:
        asyncio.run(server.page(Request({"type": "http", "path_params": {"path": path}})))
    assert refused.value.status == 404
    found = asyncio.run(server.page(Request({"type": "http", "path_params": {"path": ""}})))
    assert found.path == tmp_path / "page" / "index.html"


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    server = a_server()
    server.scratch = tmp_path / "gone"

    async def body():
        return {"type": "http.request", "body": b"clip", "more_body": False}

    request = Request({"type": "http", "headers": []}, body)
    with pytest.raises(Refused) as refused:
        asyncio.run(server._received(request, server.scratch / "clip"))
    assert (refused.value.status, refused.value.reason) == (503, "machine")
    assert server.uploads == 0


class NoProcess:
    """A worker that cannot be started so many times."""

    failures = 0

    def __init__(self, *_):
        if NoProcess.failures:
            NoProcess.failures -= 1
            raise OSError(11, "Resource temporarily unavailable")
        self.process = self

    def is_alive(self):
        return True

    def kill(self):
        pass


def test_a_process_that_could_not_be_started_is_started_by_who_comes_next(tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "Worker", NoProcess)

    async def busy():
        pool = worker.Pool({}, ServeLimits(workers=1))
        pool.start(tmp_path)
        NoProcess.failures = 2
        with pytest.raises(RuntimeError):
            async with pool.lease():
                raise RuntimeError  # it is killed, and no other can be started
        assert pool.idle == []
        with pytest.raises(OSError, match="unavailable"):
            async with pool.lease():
                pass
        async with asyncio.timeout(5), pool.lease():
            pass
        pool.close()
        pool._fill()
        assert pool.idle == [], "a pool that was closed starts nothing"

    asyncio.run(busy())


def test_a_page_says_the_models_name_not_its_key(tmp_path, monkeypatch):
    import signloom.training.export as export

    run = Path(__file__).resolve().parents[2] / "fixtures" / "v1" / "trained" / "pose"
    written = []
    monkeypatch.setattr("signloom.tasks.task_named", lambda task: SimpleNamespace(export=lambda checkpoint: None))
    monkeypatch.setattr(export, "write_export", lambda exported, to, out: written.append(out))
    (served,) = open_models([run], tmp_path).values()
    assert written == [served.web]
    assert served.web.name == served.name == "pose"


def test_names_are_compared_without_case():
    assert names_of("MyMachine", 80) == {"mymachine:80", "mymachine"}
