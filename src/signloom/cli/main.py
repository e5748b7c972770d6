"""The table of verbs. Finds the verb, hands it its arguments, prints errors; nothing else."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import NoReturn

import signloom
from signloom.cli.say import say
from signloom.errors import InputError, MachineError, SignloomError, SignloomWarning
from signloom.runtime.machine import cannot_use, machine_fault

VERBS = {
    "demo": "the whole tour on a corpus it makes itself, in a few minutes",
    "recognise": "from a folder of sign videos to a trained recogniser and its report, in one command",
    "synth": "make a corpus of a procedural signer: video, exact pose, motion sensors",
    "doctor": "look for corrupt, duplicate, mislabelled and missing clips before you train",
    "prepare": "make poses, resized frames and optical flow of sign videos; take in skeletons, depth and sensors",
    "sync": "find clock offset and drift between clips and their motion sensors, and correct them",
    "augment": "make a corpus larger by changed copies of its clips; poses and flow go along",
    "merge": "join corpora into one: ids unique, glosses mapped by a table, streams compared",
    "anonymise": "a copy that can be shared: faces covered or movement alone, names replaced",
    "anonymity": "who still names the signers of an anonymised corpus, and what it kept",
    "withdraw": "a signer takes consent back: list and remove all that derives from them, name the models",
    "split": "divide a corpus into train, val and test by signer, source or at random; refuse leaks",
    "shard": "write a prepared corpus as large tar files, to train on very many clips",
    "train": "train a recogniser, or a generator that paints a signer, on a prepared corpus",
    "evaluate": "measure a run on a split, with intervals and an HTML report; compare or fuse several",
    "crossval": "leave-one-signer-out or k-fold: train and measure once per fold and seed",
    "ablate": "which way of growing a corpus helps: arms on the same folds and seeds, with intervals",
    "predict": "name the sign in raw video files",
    "teach": "show a trained recogniser a new sign, in a few clips",
    "live": "name signs in front of a camera, as they are made",
    "annotate": "find and name the signs in long recordings: for ELAN, captions, tables",
    "generate": "paint a signer from poses: .pose files or source video in, video out",
    "export": "write a model for other runtimes, phones and browsers: ONNX, OpenVINO, Core ML, the web",
    "serve": "a page and an API on this machine: recognise in the browser, send clips",
    "push": "share a model: its card filled from results, every file with its hash; a folder or a hub",
    "pull": "fetch a model that was pushed, checked by hash",
    "info": "what a run or corpus is, what it was made of, how good it is, and what it needs",
    "poses": "write poses for other programs, as tables (CSV) or moving skeletons (BVH)",
    "models": "the networks that find poses: what is there, and taking them out of a wheel or folder",
    "bench": "measure speed on this machine",
}

EXAMPLES = """
examples:
  signloom demo
  signloom recognise videos/ --pattern '{signer}/{label}/{take}.mp4' --out runs/mine
  signloom predict runs/mine/model new_clip.mp4

`signloom VERB --help` explains a verb. Exit codes: 0 done, 1 failed, 2 bad input, 3 done but some clips failed,
4 stopped by the machine (a full disk, say), 130 stopped with Ctrl-C."""


class _Parser(argparse.ArgumentParser):
    """Tells what is wrong with the arguments as any other error is told."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}. See: {self.prog} --help")


def main(arguments: list[str] | None = None) -> int:
    """Run one verb and return the exit code."""
    with _interrupts_counted() as interrupts:
        try:
            return _run(sys.argv[1:] if arguments is None else arguments)
        except BrokenPipeError:  # `signloom … | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except KeyboardInterrupt:
            return _stopped()
        except Exception as error:
            if interrupts:  # a library may turn Ctrl-C into an error of its own, as numpy does while it is imported
                return _stopped()
            told = _told(error)
            if told is None:
                raise
            say(f"error: {told}", file=sys.stderr)
            return told.exit_code


def _run(arguments: list[str]) -> int:
    # Threads that wait for each other sleep. By default they spin, which on a busy machine takes the time from the very
    # thread they wait for. Read by OpenMP when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    verb = next((a for a in arguments if not a.startswith("-")), None)
    parser = _Parser(
        prog="signloom",
        description="From footage of people signing to working software.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"signloom {signloom.__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, summary in VERBS.items():
        sub = verbs.add_parser(name, help=summary, formatter_class=argparse.RawDescriptionHelpFormatter)
        if name == verb:  # only the verb that runs is imported, so that --help is instant
            module = import_module(f"signloom.cli.{name}")
            module.add_arguments(sub)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names that are not UTF-8, terminals that are not
    options = parser.parse_args(arguments)
    with warnings.catch_warnings(), _faults_told_once():
        _print_as_notes()
        code = module.run(options)
    sys.stdout.flush()  # here, where it can still be told that nobody reads it or that the disk is full
    return code


def _stopped() -> int:
    print("stopped; run the same command again to go on", file=sys.stderr)
    return 130


def _told(error: Exception) -> SignloomError | None:
    """``error`` as one that a user can act on; None where it is a fault of signloom's own."""
    if isinstance(error, SignloomError):
        return error
    if isinstance(error, OSError):
        return machine_fault(error) or cannot_use(error)
    # PyTorch's are RuntimeErrors: an OutOfMemoryError on a GPU, one of "DefaultCPUAllocator" on a processor.
    if (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in str(error)
    ):
        return MachineError(
            "the memory is used up. What is done is kept; give the same command again with smaller batches "
            "(--batch-size), smaller pictures or fewer --workers"
        )
    return None


@contextmanager
def _interrupts_counted() -> Iterator[list[int]]:
    """A list that gets an entry with each Ctrl-C; it raises KeyboardInterrupt as ever."""
    interrupts: list[int] = []
    as_ever = signal.getsignal(signal.SIGINT)

    def on_interrupt(number, frame) -> None:
        interrupts.append(number)
        signal.default_int_handler(number, frame)

    ours = as_ever is signal.default_int_handler and threading.current_thread() is threading.main_thread()
    if ours:
        signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield interrupts
    finally:
        if ours:
            signal.signal(signal.SIGINT, as_ever)


@contextmanager
def _faults_told_once() -> Iterator[None]:
    """A thread that ends on a full disk prints no traceback: whoever waits for it raises the same."""
    as_ever = threading.excepthook

    def show(ended) -> None:
        if machine_fault(ended.exc_value) is None:
            as_ever(ended)

    threading.excepthook = show
    try:
        yield
    finally:
        threading.excepthook = as_ever


def _print_as_notes() -> None:
    """Print our warnings as a line, once each, and those of others as ever."""
    as_ever = warnings.showwarning

    def show(message, category, *where, **more) -> None:
        if issubclass(category, SignloomWarning):
            if os.environ.get("RANK", "0") == "0":  # of several processes, the first speaks
                say(f"note: {message}", file=sys.stderr)
        else:
            as_ever(message, category, *where, **more)

    warnings.filterwarnings("default", category=SignloomWarning)
    warnings.showwarning = show
