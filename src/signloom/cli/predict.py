"""signloom predict: name the sign in raw video."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from signloom.cli.options import above, whole
from signloom.cli.say import say
from signloom.runtime.text import json_line, plain


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Name the sign in each video, with exactly the preparation that the model was trained with."
    parser.epilog = """examples:
  signloom predict runs/a clip.mp4
  signloom predict runs/a new_videos/ 'more/*.mov' --top 3 --json > predictions.jsonl
  signloom predict runs/a new_videos/ --cache poses/    keep the poses, so that a second call is instant
  signloom predict runs/imu take1.csv --option rate_hz=50                   what a sensor measured

With --json, one JSON object per file: {"file", "label", "confidence", "top": [[label, probability], …]}, or
{"file", "error", "reason"} for a file that cannot be read (exit code 3)."""
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
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")


def run(args: argparse.Namespace) -> int:
    import tempfile

    import numpy as np

    from signloom.data.manifest import manifest_of_files
    from signloom.errors import InputError
    from signloom.media.limits import SENSOR_SUFFIXES
    from signloom.pipelines.predict import predict_files, tables_of
    from signloom.runtime.workers import default_workers
    from signloom.sources import parse_options
    from signloom.sources.listing import collect_files
    from signloom.sources.sensors import sensor_options
    from signloom.streams.pose_cleaning import pose_notes
    from signloom.streams.sensor_notes import sensor_notes
    from signloom.tasks import load_predictor

    predictor = load_predictor(args.run)
    if not hasattr(predictor, "labels"):
        raise InputError(
            f"'{args.run}' is a generator, which names no signs. Use: signloom generate {args.run} …; or give a run "
            "of a recogniser"
        )
    paths = collect_files(args.videos, SENSOR_SUFFIXES if "imu" in predictor.needs else frozenset({".mat"}))
    with tempfile.TemporaryDirectory(prefix="signloom-") as scratch:
        scores, outcomes = predict_files(
            predictor,
            paths,
            args.cache or Path(scratch),
            workers=min(default_workers(), len(paths)) if args.workers is None else args.workers,
            timeout_s=args.timeout_s,
            quiet=args.json or len(paths) == 1,
            sensor=sensor_options(**parse_options(args.option)),
        )
    for note in pose_notes({o.id: (o.value or {}).get("extra", {}).get("pose_found", {}) for o in outcomes}):
        say(f"note: {note}", file=sys.stderr)
    for note in sensor_notes({o.id: (o.value or {}).get("extra", {}).get("imu_found", {}) for o in outcomes}):
        say(f"note: {note}", file=sys.stderr)
    rows = {}
    if scores is not None:
        for record, p_K in zip(scores.records, scores.probabilities_NK):
            best = np.argsort(-p_K, kind="stable")[: args.top]
            rows[record.id] = [[scores.labels[k], float(p_K[k])] for k in best]
    failed = {o.id: o for o in outcomes if not o.ok}
    for path, record in zip(paths, manifest_of_files(paths, tables_of(predictor))):
        if record.id in rows:
            top = rows[record.id]
            if args.json:
                row = {"file": str(path), "label": top[0][0], "confidence": top[0][1], "top": top}
                say(json_line(row))
            else:
                say(f"{plain(str(path))}: " + ", ".join(f"{label} {100 * p:.1f} %" for label, p in top))
        else:
            outcome = failed[record.id]
            if args.json:
                row = {"file": str(path), "error": outcome.message, "reason": outcome.reason}
                say(json_line(row))
            else:
                say(f"{plain(str(path))}: not read ({outcome.reason}): {outcome.message}", file=sys.stderr)
    return (1 if len(failed) == len(paths) else 3) if failed else 0
