"""signloom live: name signs in front of a camera, as they are made."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from signloom.cli.options import above, between, or_help, whole
from signloom.cli.say import say
from signloom.runtime.text import json_line, plain


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Name signs in front of a webcam. Space begins: three seconds to get ready, up to five of recording (q stops "
        "it earlier), then the three likeliest signs, or that it was none of them; then it waits again. q ends it. "
        "With --continuous it finds out by itself when a sign begins and ends. The picture is shown as it is filmed, "
        "with --mirror as in a mirror. The model always sees it as it is filmed."
    )
    parser.epilog = """examples:
  signloom live runs/a                                    the first camera, in a window
  signloom live --camera help                             which cameras there are
  signloom live runs/a --continuous --mirror              signs one after the other, without a key
  signloom live runs/a --continuous --segmenter runs/seg  where signs begin and end found by a model of its own
  signloom live runs/a --no-window                        JSON lines; Enter begins, q and Enter stops
  signloom live runs/a --file clip.mp4 --no-window --auto --countdown-s 0     a file as if it were filmed now
  signloom live runs/a --record corpus/ --label HOUSE --signer anna           keep what was recorded, to train on

With --no-window each line is {"event": "state" | "answer" | "none" | "error" | "end", "time_s", "state", …}; an answer
has the fields of `predict --json`, start_s, end_s, and latency_ms from its last frame on; "none", of --continuous, is
one that says that it was none of the signs."""
    parser.add_argument(
        "model", type=Path, nargs="?", help="a run of a recogniser, a fusion, or a model that was taught"
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--camera",
        type=_camera,
        default=0,
        metavar="N",
        help="which camera (default: 0); `help` lists them",
    )
    source.add_argument("--file", type=Path, help="a video file instead of a camera")
    parser.add_argument(
        "--continuous", action="store_true", help="find the signs without being told when they are made"
    )
    parser.add_argument(
        "--segmenter",
        type=Path,
        metavar="RUN",
        help="with --continuous: a run of recipe segment, which finds where signs begin and end (default: a rule)",
    )
    parser.add_argument("--auto", action="store_true", help="begin by itself, again and again")
    parser.add_argument("--countdown-s", type=between(0, 60), default=3.0, help="seconds to get ready (default: 3)")
    parser.add_argument("--record-s", type=above(), default=5.0, help="the longest recording, in seconds (default: 5)")
    parser.add_argument("--mirror", action="store_true", help="show the picture as in a mirror")
    parser.add_argument("--no-window", action="store_true", help="no window; print JSON lines")
    parser.add_argument("--record", type=Path, metavar="FOLDER", help="keep what was recorded as a corpus")
    parser.add_argument("--label", help="with --record: the sign that is recorded")
    parser.add_argument("--signer", help="with --record: who signs")
    parser.add_argument("--consent", help="with --record: what the signer agreed to, in words")


def _camera(text: str) -> int:
    return whole()(or_help(_cameras)(text))


def _cameras() -> str:
    from signloom.media.camera import list_cameras

    rows = [f"  {number}  {plain(name)}" for number, name in list_cameras()]
    return "\n".join(rows) or "no camera is known on this machine; give a file: signloom live MODEL --file clip.mp4"


def run(args: argparse.Namespace) -> int:
    from signloom.apps.keep import Keeper
    from signloom.apps.live import check_names_video
    from signloom.apps.run import TypedKeys
    from signloom.apps.run import run as run_live
    from signloom.errors import InputError
    from signloom.media.camera import FilmedFile, Webcam
    from signloom.runtime.machine import check_out
    from signloom.runtime.quiet import native_messages_dropped
    from signloom.tasks import load_predictor
    from signloom.tasks.recognise.open_set import NOT_TOLD

    if args.model is None:
        raise InputError("live needs a model: signloom live runs/a")
    if not args.record and (args.label or args.signer or args.consent):
        raise InputError("--label, --signer and --consent say what is kept; give --record FOLDER as well")
    if args.segmenter and not args.continuous:
        raise InputError("--segmenter finds signs in --continuous; give that as well")
    check_out(args.record, folder=True)
    predictor = load_predictor(args.model)
    check_names_video(predictor, args.model)
    if not getattr(predictor, "tells_unknown", True):
        say(f"note: {NOT_TOLD}", file=sys.stderr)
    keeper = Keeper(args.record, args.label, args.signer, consent=args.consent) if args.record else None
    source: Any = FilmedFile(args.file, as_filmed=not args.no_window) if args.file else Webcam(args.camera)
    try:
        machine = _machine(args, predictor, keeper is not None)
        show = None if args.no_window else _window(machine, args.mirror)
        keys = TypedKeys() if args.no_window and sys.stdin is not None else lambda: iter(())

        def tell(event: Any) -> None:
            row = event.as_json()
            if keeper is not None and event.frames:
                row["kept"] = str(keeper.add(event.frames, event.as_json()))
            say(json_line(row) if args.no_window else _line(row), flush=True)

        with native_messages_dropped():
            done = run_live(machine, source, tell, show=show, keys=keys)
    finally:
        source.close()
    if args.no_window:
        say(json_line({"event": "end", **done}))
    return 0


def _machine(args: argparse.Namespace, predictor: Any, keep: bool) -> Any:
    from signloom.apps.live import Live

    if args.continuous:
        from signloom.apps.continuous import BY_RULE, Continuous, load_segmenter

        if args.segmenter is None:
            say(f"note: {BY_RULE}", file=sys.stderr)
        learnt = load_segmenter(args.segmenter) if args.segmenter else None
        return Continuous(predictor, learnt=learnt, keep=keep)
    return Live(predictor, countdown_s=args.countdown_s, record_s=args.record_s, auto=args.auto, keep=keep)


def _window(machine: Any, mirror: bool) -> Any:
    from signloom.apps.show import Window, picture

    window = Window("signloom live")
    return lambda frame: window.show(picture(frame, machine, mirror=mirror))


def _line(row: dict[str, Any]) -> str:
    if "top" in row:
        none = "none of these; nearest: " if row["none_of_these"] else ""
        top = ", ".join(f"{label} {100 * p:.0f} %" for label, p in row["top"])
        return f"{row['time_s']:7.1f} s  {none}{top}  ({row['latency_ms']:.0f} ms)"
    return f"{row['time_s']:7.1f} s  {row['state']}" + (f": {row['message']}" if "message" in row else "")
