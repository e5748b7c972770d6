"""signloom annotate: signs with their times in long recordings, for ELAN, captions, tables and programs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from signloom.cli.say import say
from signloom.runtime.text import json_line, plain

FORMATS = ("eaf", "vtt", "csv", "json")
JOURNAL = "journal.jsonl"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Find the signs in long recordings and name each. Without --segmenter, a sign is what lies between two moments "
        "at which the hands rest; signs that run into each other are then taken for one. What is none of the model's "
        "signs stands in a tier of its own. Correct the .eaf in ELAN, and `signloom prepare FOLDER --source elan` "
        "makes a corpus of it."
    )
    parser.epilog = """examples:
  signloom annotate runs/a hour.mp4 --out notes/                     notes/hour.eaf, .vtt, .csv and .json
  signloom annotate runs/a videos/ --out notes/ --formats eaf        for ELAN alone
  signloom annotate runs/a hour.mp4 --segmenter runs/seg --out notes/          signs that run into each other, too
  signloom prepare notes/ --source elan --option tier=signs --out corpus/     corrections, as a corpus"""
    parser.add_argument("model", type=Path, help="a run of a recogniser, a fusion, or a model that was taught")
    parser.add_argument("videos", nargs="+", help="video files, folders, or patterns")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    parser.add_argument(
        "--segmenter", type=Path, metavar="RUN", help="a run of recipe segment, which finds where signs begin and end"
    )
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=FORMATS, help="default: all four")
    parser.add_argument("--again", action="store_true", help="also recordings whose files are there already")
    parser.add_argument("--json", action="store_true", help="print one JSON object per recording")


def run(args: argparse.Namespace) -> int:
    from signloom.apps.annotate import annotate, write_all
    from signloom.apps.continuous import BY_RULE, load_segmenter, pose_stream_of
    from signloom.apps.live import check_names_video
    from signloom.data.manifest import manifest_of_files
    from signloom.errors import InputError, MediaError
    from signloom.pipelines.predict import identity_of
    from signloom.runtime.hashing import file_stamp, fingerprint_hash
    from signloom.runtime.journal import open_journal
    from signloom.runtime.locks import folder_lock
    from signloom.runtime.machine import check_out
    from signloom.runtime.names import file_name
    from signloom.runtime.quiet import native_messages_dropped
    from signloom.sources.listing import VIDEO_SUFFIXES, collect_files
    from signloom.tasks import load_predictor
    from signloom.tasks.recognise.open_set import NOT_TOLD

    check_out(args.out, folder=True)
    predictor = load_predictor(args.model)
    check_names_video(predictor, args.model)
    segmenter = load_segmenter(args.segmenter) if args.segmenter else None
    if segmenter is None:
        say(f"note: {BY_RULE}", file=sys.stderr)
    else:
        pose_stream_of(predictor, segmenter)
    if not getattr(predictor, "tells_unknown", True):
        say(f"note: {NOT_TOLD}", file=sys.stderr)
    videos = [p for p in collect_files(args.videos) if p.suffix.lower() in VIDEO_SUFFIXES]
    if not videos:
        raise InputError("there is no video among what was given; annotate reads video files")
    stems = [v.stem for v in videos]
    ids = [record.id for record in manifest_of_files(videos)]
    names = [file_name(stem if stems.count(stem) == 1 else name) for stem, name in zip(stems, ids)]
    failed, model = 0, identity_of(predictor)
    if segmenter is not None:
        model = f"{model} {identity_of(segmenter)}"
    with folder_lock(args.out), open_journal(args.out / JOURNAL) as (known, note):
        for video, name in zip(videos, names):
            files = [args.out / f"{name}.{kind}" for kind in args.formats]
            stamp = fingerprint_hash(model, file_stamp(video))
            if not args.again and any(file.exists() for file in files):
                if (there := known.get(name)) is None or there["stamp"] != stamp:
                    failed += 1
                    error = f"'{files[0]}' is there, of another model or of other footage; another --out, or --again"
                    say(
                        json_line({"file": str(video), "error": error, "reason": "other-model"}) if args.json else error
                    )
                    continue
                if all(file.exists() for file in files):
                    say(f"{plain(str(video))}: done before; --again does it once more", file=sys.stderr)
                    continue
            try:
                with native_messages_dropped():
                    found = annotate(predictor, video, segmenter=segmenter)
            except MediaError as error:
                failed += 1
                row: dict[str, Any] = {"file": str(video), "error": str(error), "reason": error.reason}
                say(json_line(row) if args.json else f"{plain(str(video))}: not read ({error.reason}): {error}")
                continue
            note({"id": name, "stamp": stamp, "value": {}})  # first, so that files without it are another's
            files = write_all(found, video, args.out, args.formats, name)
            row = {"file": str(video), "signs": len(found), "wrote": [str(f) for f in files]}
            n = f"{len(found)} sign{'' if len(found) == 1 else 's'}"
            say(json_line(row) if args.json else f"{plain(str(video))}: {n}: {', '.join(map(str, files))}")
    return (1 if failed == len(videos) else 3) if failed else 0
