"""signloom predict: name the sign in raw video."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from signloom.cli.options import above, whole
from signloom.cli.say import say
from signloom.runtime.text import json_line, plain

BLOCK = 16
"""So many files a process are answered before the answers are written."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Name the sign in each video, with exactly the preparation that the model was trained with."
    parser.epilog = """examples:
  signloom predict runs/a clip.mp4
  signloom predict runs/a new_videos/ 'more/*.mov' --top 3 --json > predictions.jsonl
  signloom predict runs/a new_videos/ --cache poses/    keep the poses, so that a second call is instant
  signloom predict runs/imu take1.csv --option rate_hz=50                   what a sensor measured

  signloom predict runs/a archive/ --out answers.csv        written as it goes; the same command goes on after a stop

With --json, one JSON object per file: {"file", "label", "confidence", "unknown", "none_of_these", "top": [[label,
probability], …]}, or {"file", "error", "reason"} for a file that cannot be read (exit code 3). "unknown", from 0 to 1,
says how sure the model is that this is none of its signs; above .5 it says so. null: a model that cannot tell.

--out writes the same as JSON lines (.jsonl) or as a table (.csv), 16 files a process at a time, each with a stamp of
file, model and options: what is answered is not done again, unless it has changed or failed."""
    parser.add_argument(
        "run", type=Path, help="a run folder made by `signloom train`, or a fusion saved by `evaluate --fuse`"
    )
    parser.add_argument("videos", nargs="+", help="video, .pose or sensor files, folders, or glob patterns")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="how the file of a sensor is read, e.g. rate_hz=50 where it does not say (repeatable)",
    )
    parser.add_argument("--top", type=whole(1), default=5, help="how many guesses to give (default: 5)")
    parser.add_argument("--cache", type=Path, help="keep prepared streams here (default: a temporary folder)")
    parser.add_argument("--workers", type=whole(), help="processes (default: one per core)")
    parser.add_argument(
        "--timeout-s", type=above(), default=600, help="give up on a clip after this long (default: 600)"
    )
    parser.add_argument("--out", type=Path, help="write the answers to this .csv or .jsonl file, and go on with it")
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")


def run(args: argparse.Namespace) -> int:
    import tempfile

    from signloom.errors import InputError
    from signloom.media.limits import SENSOR_SUFFIXES
    from signloom.pipelines.answers import check_answers
    from signloom.runtime.machine import check_out
    from signloom.runtime.workers import default_workers
    from signloom.sources import parse_options
    from signloom.sources.listing import collect_files
    from signloom.sources.sensors import sensor_options
    from signloom.tasks import load_predictor, use_of
    from signloom.tasks.recognise.open_set import NOT_TOLD

    if args.out is not None:
        if args.json:
            raise InputError("--json prints the answers and --out writes them; give one of them")
        check_answers(args.out)
        check_out(args.out, folder=False)
    predictor = load_predictor(args.run)
    if not hasattr(predictor, "labels"):
        use = use_of(predictor.checkpoint.task, args.run)
        raise InputError(f"'{args.run}' names no signs; give a run of a recogniser. What it is for: {use}")
    if not getattr(predictor, "tells_unknown", False):
        say(f"note: {NOT_TOLD}", file=sys.stderr)
    paths = collect_files(args.videos, SENSOR_SUFFIXES if "imu" in predictor.needs else frozenset({".mat"}))
    workers = min(default_workers(), len(paths)) if args.workers is None else args.workers
    with tempfile.TemporaryDirectory(prefix="signloom-") as scratch:
        how = {
            "workers": workers,
            "timeout_s": args.timeout_s,
            "sensor": sensor_options(**parse_options(args.option)),
            "top": args.top,
        }
        cache = args.cache or Path(scratch)
        if args.out is not None:
            return _write(args, predictor, paths, cache, how)
        return _print(args, predictor, paths, cache, how)


def _print(args: argparse.Namespace, predictor: Any, paths: list[Path], cache: Path, how: dict[str, Any]) -> int:
    from signloom.pipelines.predict import answer_rows

    rows, outcomes = answer_rows(predictor, paths, cache, quiet=args.json or len(paths) == 1, **how)
    _say_notes(outcomes)
    for row in rows:
        if args.json:
            say(json_line(row))
        elif "error" in row:
            say(f"{plain(row['file'])}: not read ({row['reason']}): {row['error']}", file=sys.stderr)
        else:
            top = ", ".join(f"{label} {100 * p:.1f} %" for label, p in row["top"])
            none = f"none of these ({100 * row['unknown']:.0f} % unknown); nearest: " if row["none_of_these"] else ""
            say(f"{plain(row['file'])}: {none}{top}")
    return _code(rows)


def _write(args: argparse.Namespace, predictor: Any, paths: list[Path], cache: Path, how: dict[str, Any]) -> int:
    from signloom.pipelines.answers import write_answers
    from signloom.pipelines.predict import answer_rows, identity_of
    from signloom.runtime.progress import Progress

    def answer(block: Sequence[Path]) -> list[dict[str, Any]]:
        rows, outcomes = answer_rows(predictor, block, cache, quiet=True, **how)
        _say_notes(outcomes)
        return rows

    settings = {"model": identity_of(predictor), "option": sorted(args.option)}
    with Progress("predict", len(paths)) as progress:

        def tell(rows: Sequence[dict[str, Any]]) -> None:
            for row in rows:
                progress.step(failed="error" in row)

        block = BLOCK * max(1, how["workers"])
        rows = write_answers(paths, args.out, answer, settings=settings, top=args.top, block=block, on_rows=tell)
    failed = [row for row in rows if "error" in row]
    none = sum(str(row.get("none_of_these")).lower() == "true" for row in rows)
    told = f", {none} of them none of the model's signs" if none else ""
    say(f"{len(rows) - len(failed)} of {len(rows)} files answered{told}: {plain(str(args.out))}")
    for row in failed[:10]:
        say(f"{plain(row['file'])}: not read ({row['reason']}): {row['error']}", file=sys.stderr)
    return _code(rows)


def _say_notes(outcomes: Sequence[Any]) -> None:
    from signloom.streams.pose_cleaning import pose_notes
    from signloom.streams.sensor_notes import sensor_notes

    for tell, name in ((pose_notes, "pose_found"), (sensor_notes, "imu_found")):
        for note in tell({o.id: (o.value or {}).get("extra", {}).get(name, {}) for o in outcomes}):
            say(f"note: {note}", file=sys.stderr)


def _code(rows: Sequence[dict[str, Any]]) -> int:
    failed = sum("error" in row for row in rows)
    return (1 if failed == len(rows) else 3) if failed else 0
