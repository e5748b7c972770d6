"""signloom generate: video of a signer from poses."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from signloom.cli.options import above, between, whole
from signloom.cli.say import say
from signloom.errors import InputError
from signloom.runtime.text import json_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Paint a signer from poses, frame by frame, with a generator that `signloom train --recipe paint` made. Poses "
        "of others are brought to the proportions of the one who is painted; of a source video the pose is found first."
    )
    parser.epilog = """examples:
  signloom generate runs/me hello.pose --out hello.mp4
  signloom generate runs/me lexicon/ --out painted/                    every .pose and video below a folder
  signloom generate runs/me someone.mp4 --out someone.mp4 --side-by-side   pose | painted | real
  signloom generate runs/me corpus/ --split test --out painted/ --smooth 0 --no-retarget
  signloom generate runs/us hello.pose --out hello.mp4 --identity anna --fps 25 --sharpen 0.5

Into a folder, files are named after the clip and a hash of what shapes them: the same command again makes only what is
missing. The folder is a corpus (manifest.jsonl) of its own. Every video says in its metadata that it is generated, from
which input and by which generator. With --json, one JSON object per clip: {"id", "video", "n_frames", "fps"}, or {"id",
"error", "reason"} for one that failed (exit code 3)."""
    parser.add_argument("run", type=Path, help="a run folder made by `signloom train --recipe paint`")
    parser.add_argument("inputs", nargs="+", help="corpora, .pose or video files, folders, or glob patterns")
    parser.add_argument("--out", type=Path, required=True, help="a folder, or a file.mp4 for a single clip")
    parser.add_argument(
        "--side-by-side", action="store_true", help="show the pose on the left, and what is real on the right"
    )
    parser.add_argument(
        "--smooth",
        type=between(0, 1),
        default=0.4,
        metavar="STRENGTH",
        help="calm the pose, 0 (off) to 1 (default: 0.4)",
    )
    parser.add_argument("--no-retarget", action="store_true", help="keep the source signer's proportions")
    parser.add_argument("--identity", metavar="N|NAME", help="whom to paint, of a generator of several signers")
    parser.add_argument("--fps", type=above(), help="frames per second (default: the pose's)")
    parser.add_argument(
        "--sharpen", type=between(0, 5), default=0.0, metavar="AMOUNT", help="unsharp mask, e.g. 0.5 (default: 0)"
    )
    parser.add_argument("--split", help="of a corpus, only the clips in this split")
    parser.add_argument("--workers", type=whole(), help="processes that find poses in videos (default: one per core)")
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")


def run(args: argparse.Namespace) -> int:
    from signloom.media import content_hash
    from signloom.pipelines.generate import Generation, generate_corpus, identity_of, read_inputs
    from signloom.runtime.machine import check_out
    from signloom.sources.listing import VIDEO_SUFFIXES
    from signloom.streams.pose_cleaning import pose_notes
    from signloom.tasks.paint.predict import load_generator
    from signloom.training.checkpoint import weights_file

    if args.out.suffix.lower() in VIDEO_SUFFIXES - {".mp4"}:
        raise InputError(f"--out '{args.out}': video is written as .mp4; got {args.out.suffix}")
    check_out(args.out, folder=args.out.suffix.lower() != ".mp4")
    manifest = read_inputs(args.inputs, args.split)
    if args.out.suffix.lower() == ".mp4" and len(manifest) > 1:
        raise InputError(f"--out '{args.out}' is one file, and there are {len(manifest)} clips; give a folder")
    generator = load_generator(args.run)
    settings = Generation(
        smooth=args.smooth,
        retarget=not args.no_retarget,
        identity=identity_of(generator, args.identity),
        fps=args.fps,
        sharpen=args.sharpen,
        side_by_side=args.side_by_side,
    )
    if settings.retarget and not generator.inputs.proportions[settings.identity]:
        say(
            "the generator learnt from stick figures and knows no proportions: poses are not retargeted",
            file=sys.stderr,
        )
    model_hash = content_hash(weights_file(args.run))
    if args.out.suffix.lower() == ".mp4":
        return _one_file(args, generator, manifest, settings, model_hash)
    corpus, outcomes = generate_corpus(
        generator, manifest, args.out, settings, model_hash=model_hash, workers=args.workers, quiet=args.json
    )
    failed = [o for o in outcomes if not o.ok]
    for note in pose_notes({o.id: (o.value or {}).get("pose_found", {}) for o in outcomes}):
        say(f"note: {note}", file=sys.stderr)
    if args.json:
        for o in outcomes:
            row = {"error": o.message, "reason": o.reason}
            if o.value is not None:
                row = {
                    "video": str(args.out / o.value["video"]),
                    "n_frames": o.value["n_frames"],
                    "fps": o.value["fps"],
                }
            say(json_line({"id": o.id, **row}))
    else:
        for o in failed:
            say(f"{o.id}: not painted ({o.reason}): {o.message}", file=sys.stderr)
        kept = sum(o.reused for o in outcomes)
        say(
            f"{args.out}: {len(outcomes) - len(failed)} of {len(outcomes)} clips painted"
            + (f", {kept} of them before" if kept else "")
            + (f", {len(corpus)} in the corpus" if len(corpus) != len(outcomes) - len(failed) else "")
        )
    return (1 if len(failed) == len(outcomes) else 3) if failed else 0


def _one_file(args: argparse.Namespace, generator, manifest, settings, model_hash: str) -> int:
    import tempfile

    from signloom.errors import MediaError
    from signloom.pipelines.generate import find_poses, generate_file
    from signloom.streams.pose_cleaning import pose_notes

    if any(Path(path).resolve() == args.out.resolve() for path in manifest.records[0].streams.values()):
        raise InputError(f"--out '{args.out}' is the input itself; inputs are never changed, so choose another name")
    with tempfile.TemporaryDirectory(prefix="signloom-") as scratch:
        (record,), failed = find_poses(manifest, Path(scratch), workers=1, quiet=True)
        if failed:
            raise MediaError(str(failed[record.id].message), str(failed[record.id].reason))
        about = generate_file(generator, record, args.out, settings, model_hash=model_hash, quiet=args.json)
    for note in pose_notes({record.id: about.pop("pose_found", {})}):
        say(f"note: {note}", file=sys.stderr)
    if args.json:
        say(json_line({"id": record.id, "video": str(args.out), **about}))
    else:
        say(f"{args.out}: {about['n_frames']} frames at {about['fps']:g} per second")
    return 0
