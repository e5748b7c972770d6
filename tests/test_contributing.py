"""The code that CONTRIBUTING.md offers to be copied runs as it stands there, with the table line that goes with it."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import signloom
from signloom import media
from signloom.cli.main import main
from signloom.data.stream import ClipInfo
from signloom.errors import InputError
from signloom.models import build
from signloom.sources import describe_sources, read_source
from signloom.streams.runner import Runner

PAGE = Path(__file__).resolve().parent.parent / "CONTRIBUTING.md"
_BLOCK = re.compile(r"^```python skeleton=(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# src/(signloom/\S+)\.py\n")
_LINE = re.compile(r"# In (\w+) \(([\w.]+)\): (.+)\n")


@dataclass(frozen=True)
class Skeleton:
    """A block of code: the module it is to be, and its line (table, key, value) where it has one."""

    module: str | None
    table: tuple[str, str] | None
    line: str
    code: str


def _read(text: str) -> dict[str, Skeleton]:
    found = {}
    for name, code in _BLOCK.findall(text):
        file, line = _FILE.search(code), _LINE.search(code)
        assert name not in found, f"two blocks are skeleton={name}"
        found[name] = Skeleton(
            file[1].replace("/", ".") if file else None,
            (line[2], line[1]) if line else None,
            line[3] if line else "",
            code,
        )
    return found


SKELETONS = _read(PAGE.read_text(encoding="utf-8"))


@pytest.fixture
def add(monkeypatch):
    """``add("stream", …)``: the module of each skeleton, as if its file and its table line were there."""

    def put(name: str) -> ModuleType:
        skeleton = SKELETONS[name]
        module = ModuleType(skeleton.module or f"skeleton_{name}")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        exec(compile(skeleton.code, f"{PAGE.name}, skeleton={name}", "exec"), module.__dict__)
        if skeleton.table:
            where, attribute = skeleton.table
            holder = import_module(where)
            ((key, value),) = eval(f"{{{skeleton.line}}}", vars(holder)).items()
            table = getattr(holder, attribute)
            assert key not in table, f"{attribute} has a '{key}' of its own by now; choose another for {PAGE.name}"
            monkeypatch.setitem(table, key, value)
        return module

    def put_all(*names: str) -> list[ModuleType]:
        return [put(name) for name in names]

    return put_all


@pytest.fixture
def footage(tmp_path):
    """Twelve clips of flat grey: DARK and LIGHT, by three signers, two takes each."""
    for signer in range(3):
        for label, level in (("DARK", 40), ("LIGHT", 200)):
            for take in range(2):
                frames = np.full((5 + take, 48, 64, 3), level + 8 * signer, np.uint8)
                media.write_video(tmp_path / f"videos/s{signer}/{label}/{take}.mp4", frames, 10)
    return tmp_path / "videos"


def run(*words: Any) -> int:
    return main([str(w) for w in words])


def prepare(footage: Path, corpus: Path, *more: Any) -> None:
    pattern = ("--pattern", "{signer}/{label}/{take}.mp4")
    assert run("prepare", footage, *pattern, "--out", corpus, "--streams", "brightness", "--workers", 0, *more) == 0


def test_there_is_a_skeleton_for_each_kind_of_addition():
    assert list(SKELETONS) == ["dataset", "stream", "input", "model", "recipe", "task", "verb"]
    rooms = {s.module.split(".")[1] for s in SKELETONS.values() if s.module}
    assert rooms == {"sources", "streams", "transforms", "models", "tasks", "cli"}
    assert max(len(line) for s in SKELETONS.values() for line in s.code.splitlines()) <= 120


def test_the_reader_reads_three_empty_files(add, tmp_path):
    add("dataset")
    for name in ("anna-HELLO-1.mp4", "anna-HELLO-2.mp4", "ben-BYE-1.mov", "readme.txt"):
        (tmp_path / "clips" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "clips" / name).touch()
    corpus = read_source(tmp_path / "clips", "mine", licence="CC0")
    assert sorted((r.signer, r.label, r.licence) for r in corpus) == [
        ("anna", "HELLO", "CC0"),
        ("anna", "HELLO", "CC0"),
        ("ben", "BYE", "CC0"),
    ]
    assert "my footage" in describe_sources()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "clip.mp4").touch()
    with pytest.raises(InputError, match="anna-HELLO-1"):
        read_source(tmp_path / "other", "mine")


def test_the_stream_prepares_a_clip_and_a_session_gives_the_same(add, footage, tmp_path):
    add("stream")
    prepare(footage, tmp_path / "corpus", "--set", "brightness.full=2")
    corpus = signloom.read_corpus(tmp_path / "corpus")
    assert corpus.fingerprint("brightness") == {"extractor": "brightness", "full": 2.0, "version": 1}
    stream = import_module("signloom.streams").streams_of(corpus.meta["streams"])["brightness"]
    for record in corpus:
        stored = stream.read(tmp_path / "corpus" / record.streams["brightness"])
        assert stored.shape == (record.n_frames, 1)
        assert (stored.mean() > 1) == (record.label == "LIGHT")
        runner = Runner({"brightness": stream}, ClipInfo("live", 10.0))
        for time_s, frame in media.iter_frames(record.path("video", corpus.root, "the test")):
            runner.push(time_s, {"video": frame})
        np.testing.assert_array_equal(runner.close()["brightness"], stored)


def test_the_model_is_built_by_its_name(add):
    add("model")
    model = build("brightness", {"n_classes": 3, "n_frames": 5})
    assert model(torch.zeros(2, 5)).shape == (2, 3)
    assert [name for name, _ in model.named_children()] == list(model.head_names)


def test_a_recogniser_of_a_new_kind_of_data_is_a_stream_an_input_a_model_and_a_recipe(
    add, footage, tmp_path, monkeypatch, capsys
):
    *_, recipe = add("stream", "input", "model", "recipe")
    monkeypatch.setitem(import_module("signloom.tasks.recognise.recipes").RECIPES, "brightness", recipe.brightness)
    corpus, out = tmp_path / "corpus", tmp_path / "run"
    prepare(footage, corpus)
    assert run("train", corpus, "--recipe", "brightness", "--out", out) == 0
    assert run("evaluate", out, corpus, "--no-clips") == 0
    capsys.readouterr()
    assert run("predict", out, footage / "s0/LIGHT/0.mp4", "--json", "--workers", 0) == 0
    assert json.loads(capsys.readouterr().out)["label"] == "LIGHT"
    predictor = signloom.load(out)
    answers = [predictor(signloom.read_clip(file, predictor)).top(1)[0][0] for file in sorted(footage.rglob("*.mp4"))]
    assert answers == [file.parent.name for file in sorted(footage.rglob("*.mp4"))]
    with pytest.raises(SystemExit):
        run("train", "--recipe", "help")
    assert "Tells signs by how bright the picture is." in capsys.readouterr().out


def test_the_task_trains_two_steps_and_is_used(add, footage, tmp_path, capsys):
    add("stream", "input", "model", "task")
    corpus, out = tmp_path / "corpus", tmp_path / "run"
    prepare(footage, corpus)
    assert run("train", corpus, "--recipe", "who", "--steps", 2, "--out", out) == 0
    assert json.loads((out / "run.json").read_text())["steps"] == 2
    capsys.readouterr()
    assert run("evaluate", out, corpus, "--json") == 0
    assert 0 <= json.loads(capsys.readouterr().out)["right"] <= 1
    assert run("info", out, "--json") == 0
    assert json.loads(capsys.readouterr().out)["task"] == "who"
    file = footage / "s1/DARK/0.mp4"
    assert run("predict", out, file, "--json", "--workers", 0) == 0
    row = json.loads(capsys.readouterr().out)
    predictor = signloom.load(out)
    session = predictor.session(fps=10)
    for time_s, frame in media.iter_frames(file):
        session.push(time_s, {"video": frame})
    (answer,) = session.close()
    assert dict(answer.top(3)) == pytest.approx(dict(row["top"]), abs=1e-5)
    assert run("export", out, "--out", tmp_path / "who.onnx") == 2
    assert run("train", corpus, "--recipe", "who", "--from", out, "--out", tmp_path / "more") == 2


def test_the_verb_runs_and_is_listed(add, footage, tmp_path, capsys):
    add("stream", "verb")
    prepare(footage, tmp_path / "corpus")
    capsys.readouterr()
    assert run("labels", tmp_path / "corpus", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"DARK": 6, "LIGHT": 6}
    assert run("labels", tmp_path / "nothing") == 2
    with pytest.raises(SystemExit):
        run("--help")
    assert "count the clips of each label" in capsys.readouterr().out
