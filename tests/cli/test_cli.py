"""The command line itself: help for everything, at once, and exit codes that mean something."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

import signloom
from signloom.cli import main as cli
from signloom.errors import InputError, SignloomError

HEAVY = ("torch", "cv2", "av", "mediapipe", "numpy", "scipy", "pose_format", "accelerate", "rich", "tensorboard")


def call(*arguments) -> int:
    try:
        return cli.main(list(arguments))
    except SystemExit as end:  # argparse
        return end.code


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_explains_itself_with_examples(verb, capsys):
    assert call(verb, "--help") == 0
    text = capsys.readouterr().out
    assert "examples:" in text
    assert f"  signloom {verb}" in text
    assert len(text.splitlines()) > 8


def test_help_names_every_verb(capsys):
    assert call("--help") == 0
    text = capsys.readouterr().out
    assert all(f"\n    {verb}" in text for verb in cli.VERBS)
    assert "examples:" in text
    assert "Exit codes" in text


def test_without_a_verb_or_with_a_wrong_one_it_is_bad_usage(capsys):
    assert call() == 2
    assert "VERB" in capsys.readouterr().err
    assert call("recognize") == 2
    assert "recognise" in capsys.readouterr().err
    assert call("train") == 2
    assert "corpus" in capsys.readouterr().err


def test_version(capsys):
    assert call("--version") == 0
    assert capsys.readouterr().out == f"signloom {signloom.__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], *([verb, "--help"] for verb in cli.VERBS)])
def test_help_loads_nothing_heavy(arguments):
    code = f"""
import json, sys
from signloom.cli import main as cli
try:
    cli.main({arguments!r})
except SystemExit as end:
    assert end.code == 0
print(json.dumps(sorted({{m.split(".")[0] for m in sys.modules}} & set({HEAVY!r}))), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stderr.splitlines()[-1]) == []


def test_errors_are_one_line_without_a_traceback(capsys, tmp_path):
    assert call("train", str(tmp_path), "--out", str(tmp_path / "run")) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: no corpus at")
    assert "Traceback" not in said.err
    assert call("prepare", str(tmp_path / "none"), "--out", str(tmp_path / "o")) == 2
    assert f"'{tmp_path / 'none'}' does not exist" in capsys.readouterr().err


def test_options_that_cannot_be_are_named(capsys, tmp_path):
    assert call("prepare", str(tmp_path), "--out", str(tmp_path / "o"), "--option", "suffix") == 2
    assert "'suffix' is not NAME=VALUE" in capsys.readouterr().err
    assert call("prepare", str(tmp_path), "--out", str(tmp_path / "o"), "--source", "wslal") == 2
    assert "source 'wslal' is not known" in capsys.readouterr().err
    assert call("prepare", ".", "--out", str(tmp_path / "o"), "--source", "help") == 0
    assert "wlasl" in capsys.readouterr().out


def test_a_stop_by_the_user_says_how_to_go_on(monkeypatch, capsys, tmp_path):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("signloom.data.manifest.read_manifest", stop)
    assert call("train", str(tmp_path), "--out", str(tmp_path / "run")) == 130
    assert "run the same command again to go on" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error", [ImportError("Error importing numpy"), InputError("numpy is missing"), OSError(5, "no")]
)
def test_a_stop_that_a_library_turns_into_an_error_is_a_stop(monkeypatch, capsys, tmp_path, error):
    def stop(*_, **__):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise error from None

    monkeypatch.setattr("signloom.data.manifest.read_manifest", stop)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it may be ignored
    try:
        assert call("train", str(tmp_path), "--out", str(tmp_path / "run")) == 130
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err == "stopped; run the same command again to go on\n"


def test_every_error_class_has_an_exit_code_that_is_documented():
    def below(kind):
        return {kind}.union(*(below(k) for k in kind.__subclasses__()))

    assert {kind.exit_code for kind in below(SignloomError)} <= {1, 2, 4}


def test_a_closed_pipe_is_no_error():
    done = subprocess.run(
        f"'{sys.executable}' -m signloom prepare . --out none --source help | head -n 1",
        shell=True, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
