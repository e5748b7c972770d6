"""A server in a process of its own, with small limits, and ways to speak to it: for the tests beside this file."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import psutil

PROGRAM = """
import sys
from pathlib import Path
from signloom.apps.serve.limits import ServeLimits
from signloom.apps.serve.models import open_models
from signloom.apps.serve.run import bound, names_of, serve

if __name__ == "__main__":
    limits = ServeLimits(**{limits})
    listening = bound("127.0.0.1", 0)
    port = listening.getsockname()[1]
    models = open_models([Path(p) for p in sys.argv[2:]], Path(sys.argv[1]), web={web})
    serve(models, listening, limits, names=names_of("127.0.0.1", port), ready=lambda: print(port, flush=True))
"""
LIMITS = {
    "upload_bytes": 1 << 20, "upload_s": 8.0, "silent_s": 2.0, "head_s": 3.0, "frames": 60, "side_px": 1024,
    "frame_bytes": 1 << 19, "stream_idle_s": 4.0, "connections": 40, "memory_bytes": 1 << 30,
}  # fmt: skip


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


@dataclass(frozen=True)
class Served:
    port: int
    process: subprocess.Popen

    @property
    def host(self):
        return f"127.0.0.1:{self.port}"

    def ask(self, method, path, body=None, headers=None, timeout=240):
        connection = HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            told = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, told, response.read())
        finally:
            connection.close()

    def raw(self, data, timeout=60.0):
        """What comes back when just these bytes are sent."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as s:
            s.sendall(data)
            return answer_of(s)

    def answer(self, s):
        """What comes back on the socket ``s``."""
        return answer_of(s)

    def memory_bytes(self):
        """Of the server and its workers."""
        root = psutil.Process(self.process.pid)
        return sum(p.memory_info().rss for p in (root, *root.children(recursive=True)))

    def workers(self):
        return {p.pid for p in psutil.Process(self.process.pid).children(recursive=True)}


def answer_of(s):
    """The answer on a socket, as far as it is one."""
    data = b""
    try:
        while b"\r\n\r\n" not in data:
            if not (more := s.recv(65536)):
                break
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        told = {n.lower(): v for n, _, v in (line.partition(": ") for line in lines[1:])}
        length = int(told.get("content-length", 0))
        while len(body) < length and (more := s.recv(65536)):
            body += more
    except ConnectionResetError:
        return Answer(0, {}, b"")
    parts = lines[0].split(" ")
    return Answer(int(parts[1]) if len(parts) > 1 else 0, told, body[:length])


@contextmanager
def serving(cache: Path, *models: Path, web: bool = False, **limits):
    """A server of ``models``; it ends with the block."""
    program = PROGRAM.replace("{limits}", repr({**LIMITS, **limits})).replace("{web}", str(web))
    file = cache / "program.py"
    file.write_text(program)
    process = subprocess.Popen(
        [sys.executable, str(file), str(cache), *map(str, models)], stdout=subprocess.PIPE, text=True
    )
    try:
        port = process.stdout.readline().strip()
        assert port, "the server did not start"
        yield Served(int(port), process)
        assert process.poll() is None, "the server ended by itself"
    finally:
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        _, alive = psutil.wait_procs(children, 10)
        assert not alive, "it left processes behind"
