"""The server as its visitors know it: models, files, answers, jobs and streams."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from signloom import media
from signloom.cli.main import main

pytest.importorskip("uvicorn")
pytest.importorskip("starlette")
sync = pytest.importorskip("websockets.sync.client")

V1 = Path(__file__).resolve().parents[2] / "fixtures" / "v1"
CLIP = V1 / "clip.mp4"
LONG = 1_500
POSE = sorted((V1 / "corpus" / "pose").iterdir())[0]


@pytest.fixture(scope="module")
def server(load_module, tmp_path_factory):
    """All kinds of model: poses, frames, several that answer together, one that paints."""
    module = load_module("apps/serve/serving.py")
    runs = [V1 / "trained" / name for name in ("pose", "rgb", "fused", "paint")]
    with module.serving(tmp_path_factory.mktemp("serve"), *runs, upload_bytes=64 << 20, frames=LONG) as served:
        yield served


def test_the_models_are_listed(server):
    listed = {m["name"]: m for m in server.ask("GET", "/api/models").json}
    assert list(listed) == ["pose", "rgb", "fused", "paint"]
    assert [m["task"] for m in listed.values()] == ["recognise"] * 3 + ["paint"]
    assert [m["api"] for m in listed.values()] == [True, True, True, False]
    assert not any(m["web"] for m in listed.values())  # it was started without


def test_every_answer_isolates_the_page(server):
    for path in ("/", "/api/models", "/api/none", "/networks/networks.json"):
        headers = server.ask("GET", path).headers
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cross-origin-embedder-policy"] == "require-corp"
        assert "default-src 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_networks_are_served_where_they_are(server):
    from hashlib import sha256

    listed = server.ask("GET", "/networks/networks.json").json
    for told in list(listed.values())[:2]:
        data = server.ask("GET", f"/networks/{told['file']}").body
        assert (len(data), sha256(data).hexdigest()) == (told["bytes"], told["sha256"])


@pytest.mark.parametrize(("model", "file"), [("pose", POSE), ("rgb", CLIP)])
def test_an_answer_is_that_of_predict(server, model, file, capsys):
    answer = server.ask("POST", f"/api/predict?model={model}&top=3&name={file.name}", file.read_bytes())
    assert answer.status == 200, answer.body
    told = answer.json
    assert main(["predict", str(V1 / "trained" / model), str(file), "--top", "3", "--json", "--workers", "0"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert told["file"] == file.name
    assert told["label"] == row["label"]
    # Frames that predict stores lose a little in compression; poses do not.
    assert dict(map(tuple, told["top"])) == pytest.approx(
        dict(map(tuple, row["top"])), abs=1e-6 if model == "pose" else 0.05
    )
    assert (told["unknown"], told["none_of_these"]) == (row["unknown"], row["none_of_these"])


def test_a_generator_names_nothing(server):
    told = server.ask("POST", "/api/predict?model=paint", b"x")
    assert told.status == 404
    assert "pose" in told.json["wanted"]


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory):
    """Takes the model of frames some seconds."""
    file = tmp_path_factory.mktemp("long") / "long.mp4"
    media.write_video(file, (np.full((48, 64, 3), k % 200, np.uint8) for k in range(LONG)), 25, crf=40)
    return file


def test_a_job_tells_how_far_it_is_and_is_cancelled_for_good(server, long_clip):
    before = server.workers()
    answer = server.ask("POST", "/api/predict?model=rgb&wait=false&name=long.mp4", long_clip.read_bytes())
    assert answer.status == 202
    place = answer.headers["location"]
    deadline = time.monotonic() + 240
    while (job := server.ask("GET", place).json)["frames"] < 5:
        assert job["state"] in ("queued", "running"), job
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert job["of"] == LONG
    ended = server.ask("DELETE", place).json
    assert (ended["state"], ended["answer"]) == ("cancelled", None)
    assert server.ask("GET", place).json["state"] == "cancelled"
    assert server.workers() != before  # its process is gone, and another is there
    assert server.ask("POST", f"/api/predict?model=pose&name={POSE.name}", POSE.read_bytes()).status == 200


def test_who_leaves_is_not_worked_for(server, long_clip):
    import socket

    data = long_clip.read_bytes()
    head = f"POST /api/predict?model=rgb HTTP/1.1\r\nHost: {server.host}\r\nContent-Length: {len(data)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port)) as s:
        s.sendall(head.encode() + data)
        time.sleep(1.0)
    assert server.ask("POST", f"/api/predict?model=pose&name={POSE.name}", POSE.read_bytes()).status == 200


def test_nothing_that_is_sent_is_kept(load_module, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    module = load_module("apps/serve/serving.py")
    with module.serving(tmp_path, V1 / "trained" / "pose") as server:
        for data in (POSE.read_bytes(), b"no pose"):
            server.ask("POST", "/api/predict?name=a.pose", data)
        left = [f for f in (tmp_path / "scratch").rglob("*") if f.is_file()]
        assert left == []
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_stream_answers_as_a_session_does(server):
    import signloom

    frames = list(media.iter_frames(CLIP))
    predictor = signloom.load(V1 / "trained" / "rgb")
    session = predictor.session(10)
    for time_s, picture in frames:
        session.push(time_s, {"video": picture})
    (wanted,) = session.close()
    with sync.connect(f"ws://{server.host}/api/stream?model=rgb&fps=10&top=2", open_timeout=240) as ws:
        assert json.loads(ws.recv(240)) == {"event": "ready", "model": "rgb"}
        for _ in range(2):  # a second clip in the same stream is begun anew
            for number, (time_s, picture) in enumerate(frames, start=1):
                size = struct.pack("<II", picture.shape[1], picture.shape[0])
                ws.send(struct.pack("<d", time_s) + b"RGB8" + size + picture.tobytes())
                assert json.loads(ws.recv(240)) == {"event": "taken", "frames": number, "time_s": time_s}
            ws.send('{"do": "close"}')
            told = json.loads(ws.recv(240))
            assert told["event"] == "answer"
            assert dict(map(tuple, told["top"])) == pytest.approx(dict(wanted.top(2)), abs=1e-6)
        ws.send('{"do": "end"}')


def test_a_stream_takes_pictures(server, tmp_path):
    _, picture = next(iter(media.iter_frames(CLIP)))
    media.write_picture(tmp_path / "a.png", picture)
    with sync.connect(f"ws://{server.host}/api/stream?model=rgb", open_timeout=240) as ws:
        ws.recv(240)
        for time_s in (0.0, 0.1):
            ws.send(struct.pack("<d", time_s) + (tmp_path / "a.png").read_bytes())
            assert json.loads(ws.recv(240))["event"] == "taken"
        ws.send('{"do": "close"}')
        assert json.loads(ws.recv(240))["event"] == "answer"


def test_the_verb_tells_where_it_listens_and_ends_with_ctrl_c(tmp_path):
    import signal

    words = [
        sys.executable,
        "-m",
        "signloom",
        "serve",
        str(V1 / "trained" / "pose"),
        "--port",
        "0",
        "--no-web",
        "--json",
    ]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    hears = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background job would ignore Ctrl-C
    process = subprocess.Popen(words, text=True, preexec_fn=hears, **pipes)
    told = json.loads(process.stdout.readline())
    assert told["models"] == ["pose"]
    assert told["url"].startswith("http://127.0.0.1:")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 130, err
    assert "Traceback" not in err


def test_what_cannot_be_served_is_told(tmp_path, capsys):
    assert main(["serve", str(tmp_path / "none"), "--port", "0", "--no-web"]) == 1
    assert "no checkpoint" in capsys.readouterr().err
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "model.json").write_text("{}")
    assert main(["serve", str(tmp_path / "export"), "--port", "0"]) == 2
    assert "no web export" in capsys.readouterr().err
    assert main(["serve", str(V1 / "trained" / "pose"), "--host", "256.1.1.1", "--no-web"]) == 2
    assert "cannot listen" in capsys.readouterr().err
