"""Every verb with what it cannot use: one readable error with a documented exit code, and nothing changed.

Never a traceback, never an escape code that stood in a name, never another library's words.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import warnings
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import pytest

from signloom.cli import main as cli
from signloom.errors import SignloomWarning
from signloom.runtime.locks import folder_lock

INPUTS = {  # verb → its arguments before (and after) the input
    "recognise": ([], ["--out", "OUT"]),
    "doctor": ([], []),
    "prepare": ([], ["--out", "OUT"]),
    "sync": ([], ["--out", "OUT"]),
    "augment": ([], ["--out", "OUT"]),
    "merge": ([], ["INPUT", "--out", "OUT"]),
    "ablate": ([], ["--out", "OUT"]),
    "split": ([], ["--out", "OUT"]),
    "shard": ([], ["--out", "OUT"]),
    "train": ([], ["--out", "OUT"]),
    "evaluate": ([], ["INPUT"]),
    "crossval": ([], ["--out", "OUT"]),
    "predict": ([], ["INPUT"]),
    "teach": ([], ["INPUT", "--label", "X", "--out", "OUT"]),
    "live": ([], ["--file", "INPUT", "--no-window"]),
    "annotate": ([], ["INPUT", "--out", "OUT"]),
    "generate": ([], ["INPUT", "--out", "OUT"]),
    "export": ([], ["--out", "OUT.onnx"]),
    "serve": (["--port", "0", "--no-web"], []),
    "push": ([], ["OUT"]),
    "pull": ([], ["--out", "OUT"]),
    "info": ([], []),
    "bench": (["--only", "decode", "--quick", "--videos"], []),
}
ODD_NAME = "odd\x1b[31m\n\u202ename"


@pytest.fixture
def say(capfd):
    """``say(*arguments)``: the exit code and what was said, which is readable and holds no control character."""

    def call(*arguments):
        try:
            code = cli.main([str(a) for a in arguments])
        except SystemExit as end:  # --help
            code = end.code
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", out + err)
        assert code in (0, 1, 2, 3, 4)
        if code in (1, 2, 4):
            assert "error: " in err
            assert err.count("\n") < 16
        return code, err

    return call


def bad_inputs(folder):
    """What somebody may give by mistake; all but the last two are there."""
    (folder / "empty folder").mkdir()
    (folder / "empty file.mp4").touch()
    (folder / "notes.txt").write_text("dear diary\n")
    (folder / "broken.json").write_text("{")
    (folder / "latin1.csv").write_bytes(b"file,label\n\xe9.mp4,a\n")
    (folder / ODD_NAME).mkdir()
    (folder / ODD_NAME / f"{ODD_NAME}.mp4").write_text("no video")
    os.mkdir(os.fsencode(folder) + b"/no utf8 \xff")
    open(os.fsencode(folder) + b"/no utf8 \xff/clip \xff.mp4", "wb").close()
    (folder / "manifest only").mkdir()
    (folder / "manifest only" / "manifest.jsonl").write_text('{"format": "signloom-manifest", "version": 1}\n')
    (folder / "odd manifest").mkdir()
    (folder / "odd manifest" / "manifest.jsonl").write_text('{"format": "signloom-manifest", "version": 1}\n["\x1b"]')
    (folder / "config").mkdir()
    (folder / "config" / "config.json").write_text('{"format": 3}')
    (folder / "run.json").write_text("[]")
    return [*sorted(folder.iterdir()), folder / "missing", folder / "missing \udcff"]


def tree(folder):
    files = [p for p in folder.rglob("*") if p.is_file()]
    return {str(p): p.read_bytes() for p in files}


@pytest.mark.parametrize("verb", INPUTS)
def test_an_input_that_cannot_be_used_is_told_and_stays_as_it_is(verb, say, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "inputs"
    folder.mkdir()
    given, before = bad_inputs(folder), tree(folder)
    first, rest = INPUTS[verb]
    for number, path in enumerate(given):
        places = {"OUT": tmp_path / f"out{number}", "OUT.onnx": tmp_path / f"{number}.onnx", "INPUT": path}
        learnt = ("train", "evaluate", "crossval", "export", "info", "live", "annotate")
        alone = ("sync", "merge", "split", "bench", "serve", "push", "pull", *learnt)
        workers = [] if verb in alone else ["--workers", "0"]
        code, err = say(verb, *first, path, *(places.get(word, word) for word in rest), *workers)
        assert code != 0 or verb == "doctor" or (verb == "info" and path.name == "manifest only"), (path, err)
        assert tree(folder) == before
        assert not (tmp_path / f"{number}.onnx").exists()


PATTERN = ["--pattern", "{signer}.{label}_{take}.mp4"]
OUTPUTS = {  # verb → its arguments, and whether its output is a folder; CORPUS is one that is there
    "recognise": (["VIDEOS", *PATTERN, "--out"], True),
    "prepare": (["VIDEOS", *PATTERN, "--streams", "frames", "--out"], True),
    "synth": ([], True),
    "demo": (["--out"], True),
    "sync": (["CORPUS", "--out"], True),
    "augment": (["CORPUS", "--out"], True),
    "merge": (["CORPUS", "CORPUS", "--out"], True),
    "ablate": (["CORPUS", "--out"], True),
    "shard": (["CORPUS", "--out"], True),
    "train": (["CORPUS", "--recipe", "rgb", "--out"], True),
    "evaluate": (["RUN", "CORPUS", "--out"], True),
    "crossval": (["CORPUS", "--recipe", "rgb", "--out"], True),
    "teach": (["RUN", "VIDEOS", "--label", "X", "--out"], True),
    "live": (["RUN", "--file", "VIDEOS", "--no-window", "--record"], True),
    "annotate": (["RUN", "VIDEOS", "--out"], True),
    "generate": (["RUN", "VIDEOS", "--out"], True),
    "push": (["RUN"], True),
    "pull": (["CORPUS", "--out"], True),
    "split": (["CORPUS", "--out"], False),
    "export": (["RUN", "--out"], False),
    "bench": (["--json"], False),
}


@pytest.mark.parametrize("verb", OUTPUTS)
def test_an_output_of_the_wrong_kind_is_told_at_once(verb, say, tmp_path, moving_corpus):
    arguments, is_folder = OUTPUTS[verb]
    file, folder = tmp_path / "there.json", tmp_path / "folder.onnx"
    file.write_text("mine")
    folder.mkdir()
    places = {"CORPUS": moving_corpus.root, "RUN": tmp_path / "run", "VIDEOS": moving_corpus.root / "frames"}
    wrong = file if is_folder else folder
    for out in (wrong, file / "below.onnx"):
        code, err = say(verb, *(places.get(word, word) for word in arguments), out)
        assert code == 2
        assert re.search("stands where|is a file|is a folder", err), err
    assert file.read_text() == "mine"
    assert list(folder.iterdir()) == []


def _numbers():
    for verb in cli.VERBS:
        parser = argparse.ArgumentParser()
        import_module(f"signloom.cli.{verb}").add_arguments(parser)
        for action in parser._actions:
            assert action.type not in (int, float), f"{verb} {action.option_strings}: any number is taken"
            if getattr(action.type, "__module__", "") == "signloom.cli.options" and action.type.__name__ == "value":
                yield verb, action


@pytest.mark.parametrize("verb", cli.VERBS)
def test_a_number_that_makes_no_sense_is_told_with_what_does(verb, say):
    for of_verb, action in _numbers():
        option = action.option_strings[0] if action.option_strings else ""
        if of_verb != verb or not option or option in ("--recipe", "--source", "--streams", "--flow", "--policy"):
            continue
        for value in ("-1", "nan", "inf", "-inf", "1e400", "x", "", str(10**30), "--"):
            if value == str(10**30) and not action.type.__qualname__.startswith("whole"):
                continue  # a fine number, if an odd one
            code, err = say(verb, option, value)
            assert code == 2
            assert f"error: argument {option}" in err
            assert f"See: signloom {verb} --help" in err


def test_the_error_of_an_unknown_verb_or_option_is_one_line(say):
    for arguments in (["nonsense"], [], ["info", "--nonsense", "x"], ["train"]):
        code, err = say(*arguments)
        assert code == 2
        assert err.count("\n") == 1


def test_memory_that_is_used_up_has_the_machines_exit_code(say, monkeypatch, tmp_path):
    for error in (MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes")):

        def fail(*_, error=error):
            raise error

        monkeypatch.setattr("signloom.pipelines.info.describe", fail)
        code, err = say("info", tmp_path)
        assert code == 4
        assert "the memory is used up" in err


def test_a_fault_of_signlooms_own_still_shows_where(monkeypatch, tmp_path):
    def fail(*_):
        raise RuntimeError("a bug")

    monkeypatch.setattr("signloom.pipelines.info.describe", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        cli.main(["info", str(tmp_path)])


def test_a_note_about_an_odd_name_is_readable_too(say, monkeypatch, tmp_path):
    def remark(*_):
        warnings.warn(f"clips of '{ODD_NAME}' are few", SignloomWarning, stacklevel=1)
        return {}, ()

    monkeypatch.setattr("signloom.pipelines.info.describe", remark)
    code, err = say("info", tmp_path, "--json")
    assert code == 0
    assert "note: clips of 'odd\\x1b[31m" in err


def test_a_full_disk_behind_the_standard_output_is_told(capfd, monkeypatch, tmp_path):
    monkeypatch.setattr("signloom.pipelines.info.describe", lambda *_: ({}, ()))
    full = open("/dev/full", "w")  # noqa: SIM115 - closing it fails as well
    monkeypatch.setattr(sys, "stdout", full)
    code = cli.main(["info", str(tmp_path), "--json"])
    monkeypatch.undo()
    with suppress(OSError):
        full.close()
    assert code == 4
    assert "error: the disk is full" in capfd.readouterr().err


FIXTURES = Path(__file__).parents[1] / "fixtures" / "v1"


def test_a_sign_is_named_in_a_file_whose_name_is_no_utf8(capfd, tmp_path):
    odd = tmp_path / "clip \udcff.mp4"
    shutil.copy(FIXTURES / "clip.mp4", odd)
    run = FIXTURES / "trained" / "rgb"
    assert cli.main(["predict", str(run), str(odd), "--workers", "0", "--json"]) == 0
    row = json.loads(capfd.readouterr().out)
    assert row["file"] == str(odd)
    assert row["label"] in ("BALU", "CORO")
    assert cli.main(["predict", str(run), str(odd), "--workers", "0"]) == 0
    assert f"{tmp_path}/clip \\udcff.mp4: {row['label']}" in capfd.readouterr().out


def test_a_locked_cache_is_told_whatever_failed_in_it_before(say, tmp_path):
    """It answered with the failures of the call before, or with a traceback."""
    run, cache = FIXTURES / "trained" / "rgb", tmp_path / "cache"
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    words = ("predict", run, tmp_path / "broken.mp4", "--workers", 0, "--cache", cache)
    assert cli.main([str(word) for word in words]) == 1
    with folder_lock(cache):
        code, err = say("predict", run, FIXTURES / "clip.mp4", "--workers", 0, "--cache", cache)
    assert code == 2
    assert f"'{cache}' is being written by another signloom process" in err
