"""Two hundred requests that nobody should make: each is refused in words, nothing grows, the server still serves."""

from __future__ import annotations

import gzip
import io
import json
import socket
import struct
import threading
import time
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("starlette")
sync = pytest.importorskip("websockets.sync.client")
from websockets.exceptions import ConnectionClosed, InvalidStatus  # noqa: E402

V1 = Path(__file__).resolve().parents[2] / "fixtures" / "v1"
RUN = V1 / "trained" / "pose"
POST = "/api/predict"


@pytest.fixture(scope="module")
def server(load_module, tmp_path_factory):
    """Models of poses and of frames; small limits."""
    module = load_module("apps/serve/serving.py")
    with module.serving(tmp_path_factory.mktemp("serve"), RUN, V1 / "trained" / "rgb") as served:
        yield served


def refused(answer, *statuses):
    """It says what is wrong, where, and what was wanted."""
    assert answer.status in statuses, (answer.status, answer.body[:300])
    told = answer.json
    assert set(told) == {"error", "reason", "where", "wanted"}, told
    assert all(told.values())
    assert answer.headers["content-type"] == "application/json"
    return told


def well(server):
    """It still serves."""
    assert [m["name"] for m in server.ask("GET", "/api/models").json] == ["pose", "rgb"]


# --- no HTTP, or not for us -----------------------------------------------------------------------------------------


def no_http(host):
    h = f"Host: {host}\r\n".encode()
    yield b"\x00" * 100 + b"\r\n\r\n"
    yield b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xaa" * 64 + b"\r\n\r\n"  # TLS
    yield b"SSH-2.0-OpenSSH_9.6\r\n\r\n"
    yield b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    yield b"GET\r\n\r\n"
    yield b"GET / HTTP/9.9\r\n" + h + b"\r\n"
    yield b"GET / HTTP/1.1\r\n" + h + b"Bad Name: x\r\n\r\n"
    yield b"GET / HTTP/1.1\r\n" + h + b"X: a\x00b\r\n\r\n"
    yield b"GET /a b HTTP/1.1\r\n" + h + b"\r\n"
    yield b"GET /\x01 HTTP/1.1\r\n" + h + b"\r\n"
    yield b"GET / HTTP/1.1\r\nX: " + b"a" * 20000 + b"\r\n" + h + b"\r\n"
    yield b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n" + h + b"\r\n"
    yield b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % k for k in range(2000)) + h + b"\r\n"
    yield b"POST /api/predict HTTP/1.1\r\n" + h + b"Content-Length: -5\r\n\r\nabcde"
    yield b"POST /api/predict HTTP/1.1\r\n" + h + b"Content-Length: 5, 6\r\n\r\nabcde"
    yield b"POST /api/predict HTTP/1.1\r\n" + h + b"Content-Length: five\r\n\r\nabcde"
    yield b"POST /api/predict HTTP/1.1\r\n" + h + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde"
    yield b"POST /api/predict HTTP/1.1\r\n" + h + b"Transfer-Encoding: gzip\r\n\r\nabcde"
    yield b"POST /api/predict HTTP/1.1\r\n" + h + b"Content-Length: " + b"9" * 40 + b"\r\n\r\nabcde"
    yield b"GET / HTTP/1.1\r\n" + b"X-Folded: a\r\n b\r\n: c\r\n" + h + b"\r\n"


def test_what_is_no_http(server):
    requests = list(no_http(server.host))
    for data in requests:
        refused(server.raw(data), 400, 431)
    well(server)
    assert len(requests) == 20


HOSTS = (
    "evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost:1", "127.0.0.1.evil.example:{port}",
    "localhost.evil.example:{port}", "evil.example@127.0.0.1:{port}", "0.0.0.0:{port}", "[::]:{port}",
    "2130706433:{port}",    "127.1:{port}", "0x7f.1:{port}", "127.0.0.1:{port}.", "127.0.0.1:{port},evil.example",
    "xn--evil.example:{port}",
    "[::1]:{port}", "127.0.0.2:{port}",
)  # fmt: skip
ORIGINS = (
    "http://evil.example", "https://evil.example", "null", "http://127.0.0.1", "http://127.0.0.1:1", "file://",
    "https://127.0.0.1:{port}", "http://127.0.0.1:{port}.evil.example", "http://localhost:{port}",
    "http://[::1]:{port}",
    "chrome-extension://abcdef", "http://127.0.0.1:{port}/", "http://user@127.0.0.1:{port}", "*", "data:",
    "ws://127.0.0.1:{port}",
)  # fmt: skip


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_other_hosts_and_origins(server, method):
    path = "/api/models" if method == "GET" else POST
    for host in HOSTS:
        told = refused(
            server.ask(method, path, b"" if method == "POST" else None, {"Host": host.format(port=server.port)}), 403
        )
        assert told["where"] == "header Host"
    for origin in ORIGINS:
        told = refused(server.ask(method, path, b"x", {"Origin": origin.format(port=server.port)}), 403)
        assert told["where"] == "header Origin"
    for site in ("cross-site", "same-site"):
        refused(server.ask(method, path, b"x", {"Sec-Fetch-Site": site}), 403)
    two = f"GET / HTTP/1.1\r\nHost: {server.host}\r\nHost: evil.example\r\n\r\n".encode()
    refused(server.raw(two), 400, 403)
    refused(server.raw(b"GET / HTTP/1.0\r\n\r\n"), 403)
    well(server)
    assert len(HOSTS) + len(ORIGINS) + 4 == 38


def test_its_own_page_may(server):
    assert server.ask("GET", "/api/models", headers={"Origin": f"http://{server.host}"}).status == 200
    names = {"Host": f"localhost:{server.port}", "Origin": f"http://localhost:{server.port}"}
    assert server.ask("GET", "/api/models", headers=names).status == 200


# --- paths ----------------------------------------------------------------------------------------------------------

PATHS = (
    "/../../etc/passwd", "/..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/....//....//etc/passwd",
    "/models/../../etc/passwd", "/models/pose/../../../etc/passwd", "/models/pose/..%2f..%2fconfig.json",
    "/models/%2e%2e/config.json", "/models/pose/config.json", "/models/pose/model.safetensors",
    "/models/none/model.json",    "/models/pose/%00", "/models/pose%00/model.json", "/models//model.json",
    "/models/pose/",
    "/models/pose/model.json%00.png",    "/networks/../networks.py", "/networks/..%2fnetworks.py",
    "/networks/%2e%2e%2fx.tflite", "/networks/none.tflite",
    "/networks/body", "/networks/hand_landmark_full", "/networks/", "/networks//etc/passwd", "//etc/passwd",
    "/%2fetc%2fpasswd", "/C:/windows/win.ini", "/..\\..\\x", "/%5c..%5cx", "/.git/config", "/.env", "/index.php",
    "/wp-login.php", "/%ff%fe", "/" + "a/" * 500, "/api", "/api/", "/api/none", "/api/jobs/", "/api/jobs/../models",
    "/api/jobs/none", "/api/predict/more", "/page.py", "/serve/app.py", "/__init__.py",
)  # fmt: skip


def test_paths_that_lead_nowhere(server):
    for path in PATHS:
        refused(server.raw(f"GET {path} HTTP/1.1\r\nHost: {server.host}\r\n\r\n".encode()), 404)
    for method, path in (
        ("PUT", POST),
        ("DELETE", "/api/models"),
        ("GET", POST),
        ("POST", "/"),
        ("BREW", "/"),
        ("TRACE", "/"),
    ):
        answer = server.ask(method, path)
        refused(answer, 405)
        assert answer.headers["allow"]
    well(server)
    assert len(PATHS) + 6 == 51


# --- parameters -----------------------------------------------------------------------------------------------------

QUERIES = (
    "top=0", "top=101", "top=-1", "top=abc", "top=1e3", "top=1.5", "top=", "top=%00", "top=99999999999999999999",
    "top=٣", "wait=maybe", "wait=1", "wait=", "wait=TRUE", "model=none", "model=../pose", "model=%00",
    "model=pose%2f..", f"model={'m' * 5000}", f"name={'n' * 300}.mp4",
)  # fmt: skip


def test_parameters_that_mean_nothing(server):
    from urllib.parse import quote

    for query in QUERIES:
        refused(server.ask("POST", f"{POST}?{quote(query, safe='=%&')}", b"x"), 404, 422)
    refused(server.ask("POST", POST, b"--b\r\n", {"Content-Type": "multipart/form-data; boundary=b"}), 415)
    well(server)
    assert len(QUERIES) == 20


# --- bodies ---------------------------------------------------------------------------------------------------------


def png(width, height, data=b""):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def zip_bomb():
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("clip.mp4", bytes(200 << 20))
    return held.getvalue()


def hostile_files():
    """(name, bytes): what is no clip, or half of one, or claims more than it is."""
    clip = (V1 / "clip.mp4").read_bytes()
    pose = sorted((V1 / "corpus" / "pose").iterdir())[0].read_bytes()
    for share in (0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99):
        yield "half.mp4", clip[: int(len(clip) * share)]
    for share in (0.001, 0.01, 0.1, 0.5, 0.9):
        yield "half.pose", pose[: int(len(pose) * share)]
    yield "noise.mp4", bytes(range(256)) * 400
    yield "zeros.mp4", bytes(100_000)
    yield "text.mp4", b"hello " * 1000
    yield "page.mp4", b"<!doctype html><script>alert(1)</script>"
    yield "picture.svg", b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
    yield "list.m3u8", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"
    yield "list.mp4", b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:1/x.ts\n"
    yield "list.ffconcat", b"ffconcat version 1.0\nfile /etc/passwd\n"
    yield "bomb.zip", zip_bomb()
    yield "bomb.mp4", zip_bomb()
    yield "bomb.gz", gzip.compress(bytes(100 << 20))
    yield "large.png", png(60_000, 60_000)
    yield "bomb.png", png(20_000, 20_000, zlib.compress(bytes(20_000 * 50)))
    yield "python.pkl", b"\x80\x04\x95\x1e\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94."
    yield "script.sh", b"#!/bin/sh\nrm -rf /\n"
    yield "table.csv", b"a,b\n1,2\n"
    yield "table.npz", zip_bomb()
    yield "table.mat", b"MATLAB 5.0 MAT-file" + bytes(200)
    yield (
        "wide.mp4",
        clip.replace(struct.pack(">II", 64 << 16, 64 << 16), struct.pack(">II", 60_000 << 16, 60_000 << 16))[
            : len(clip) // 2
        ],
    )
    yield "broken.mp4", clip[: len(clip) // 3] + b"\xff" * (len(clip) // 3) + clip[2 * len(clip) // 3 :]
    yield "claims.pose", pose[:200] + b"\xff" * 400 + pose[600:]
    yield "empty.pose", pose[:4]
    yield "clip.pose", clip
    yield "pose.mp4", pose
    yield "é\u202e\x1b[31m.mp4", b"x" * 100
    yield "../../../etc/cron.d/x", b"x" * 100
    yield "con", b"x" * 100
    yield "a" * 255, b"x" * 100


@pytest.mark.slow
def test_files_that_are_no_clips(server):
    from urllib.parse import quote

    files = list(hostile_files())
    for name, data in files:
        told = refused(server.ask("POST", f"{POST}?model=rgb&name={quote(name)}", data), 413, 422)
        assert "/tmp/" not in told["error"]
        assert told["reason"] not in ("fault", "crashed"), (name, told)
    well(server)
    assert len(files) == 40


def test_bodies_that_are_too_large_or_break_off(server):
    clip = (V1 / "clip.mp4").read_bytes()
    head = f"POST {POST} HTTP/1.1\r\nHost: {server.host}\r\n"
    refused(server.raw((head + f"Content-Length: {1 << 40}\r\n\r\n").encode() + clip[:1000]), 413)
    refused(server.raw((head + f"Content-Length: {(1 << 20) + 1}\r\n\r\n").encode() + bytes(1000)), 413)
    chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    refused(server.raw((head + "Transfer-Encoding: chunked\r\n\r\n").encode() + chunk * 17), 413)
    refused(server.raw((head + "Transfer-Encoding: chunked\r\n\r\n").encode() + b"zz\r\nabc\r\n"), 400)
    refused(server.ask("POST", POST, b""), 422)
    refused(server.raw((head + "Content-Length: 100\r\n\r\n").encode() + b"x"), 408)  # and then nothing
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as s:
        s.sendall((head + "Content-Length: 100000\r\n\r\n").encode() + clip[:1000])
    well(server)


# --- time -----------------------------------------------------------------------------------------------------------


def test_senders_who_dawdle(server):
    slow = []
    for _ in range(12):  # a head that never ends
        s = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        s.sendall(b"GET / HTTP/1.1\r\nHost: ")
        slow.append(s)
    dripping = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    dripping.sendall(f"POST {POST} HTTP/1.1\r\nHost: {server.host}\r\nContent-Length: 500000\r\n\r\n".encode())
    slow.append(dripping)
    stop = threading.Event()

    def drip():  # never silent for long, and never done
        while not stop.wait(0.2):
            try:
                dripping.sendall(b"x")
            except OSError:
                return

    thread = threading.Thread(target=drip)
    thread.start()
    well(server)
    try:
        for s in slow:
            refused(server.answer(s), 408)
    finally:
        stop.set()
        thread.join()
        for s in slow:
            s.close()
    well(server)


def test_many_at_once(server):
    """More connections than it takes, and more files than it takes at once."""
    held = [socket.create_connection(("127.0.0.1", server.port), timeout=60) for _ in range(45)]
    try:
        answer = server.ask("GET", "/api/models")
        assert answer.status == 503
    finally:
        for s in held:
            s.close()
    time.sleep(0.2)
    answers = []

    def send():
        answers.append(server.ask("POST", f"{POST}?model=rgb", b"x" * 1000))

    threads = [threading.Thread(target=send) for _ in range(25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 25
    for answer in answers:
        refused(answer, 422, 503)
    well(server)


# --- the stream -----------------------------------------------------------------------------------------------------


def socket_of(server, query="model=rgb", **more):
    return sync.connect(f"ws://{server.host}/api/stream?{query}", open_timeout=240, **more)


def frame(time_s, data):
    return struct.pack("<d", time_s) + data


HOSTILE_MESSAGES = (
    b"", b"short", frame(float("nan"), b"x" * 20), frame(-1, b"x" * 20), frame(float("inf"), b"x" * 20),
    frame(1e300, b"x" * 20), frame(0, b"x" * 100), frame(0, b"RGB8"), frame(0, b"RGB8" + struct.pack("<II", 0, 0)),
    frame(0, b"RGB8" + struct.pack("<II", 70_000, 70_000)), frame(0, b"RGB8" + struct.pack("<II", 4, 4) + b"x" * 47),
    frame(0, png(60_000, 60_000)), frame(0, b"\xff\xd8\xff\xe0" + b"x" * 50), frame(0, b"<svg/>" * 10),
    frame(0, zip_bomb()),    "", "{}", "[]", "null", "close", '{"do": "explode"}', '{"do": 5}', "[" * 5000,
    '{"do": "close"}', "\ud7ff" * 100,
)  # fmt: skip


def test_messages_that_mean_nothing(server):
    for message in HOSTILE_MESSAGES:
        with socket_of(server) as ws:
            assert json.loads(ws.recv(240))["event"] == "ready"
            ws.send(message)
            told = json.loads(ws.recv(120))
            assert told["event"] == "refused", (message[:40], told)
            assert told["error"]
            assert told["where"]
            assert told["wanted"]
            with pytest.raises(ConnectionClosed):
                ws.recv(120)
    well(server)
    assert len(HOSTILE_MESSAGES) == 25


def test_streams_of_others_and_silent_ones(server):
    for origin in ("http://evil.example", "null", f"https://{server.host}"):
        with pytest.raises(InvalidStatus) as error:
            socket_of(server, origin=origin)
        assert error.value.response.status_code == 403
    for query in ("model=none", "top=0", "fps=fast", "fps=-1"):
        with socket_of(server, query) as ws:
            assert json.loads(ws.recv(120))["event"] == "refused"
    with socket_of(server) as ws:
        assert json.loads(ws.recv(240))["event"] == "ready"
        assert json.loads(ws.recv(120))["reason"] == "slow"
    with socket_of(server) as ws:  # one worker: a second stream is told so
        assert json.loads(ws.recv(240))["event"] == "ready"
        with socket_of(server) as other:
            assert json.loads(other.recv(120))["reason"] == "busy"
    with socket_of(server, max_size=None) as ws:
        assert json.loads(ws.recv(240))["event"] == "ready"
        with suppress(ConnectionClosed):
            ws.send(bytes(2 << 20))
        with pytest.raises(ConnectionClosed):
            ws.recv(120)
    well(server)


@pytest.mark.slow
def test_all_of_it_leaves_the_memory_as_it_was(server):
    test_files_that_are_no_clips(server)  # whatever is kept for good is kept by now
    before = server.memory_bytes()
    for _ in range(2):
        test_files_that_are_no_clips(server)
        test_paths_that_lead_nowhere(server)
        test_parameters_that_mean_nothing(server)
        test_what_is_no_http(server)
    assert server.memory_bytes() - before < 100 << 20
    assert len(server.workers()) <= 2  # one worker, and what multiprocessing tracks resources with
