"""signloom prepare: from raw videos (or poses) to a corpus that models can read."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

from signloom.cli.options import above, between, or_help, whole
from signloom.cli.say import say
from signloom.runtime.text import json_line

_EPILOG = """examples:
  signloom prepare videos/ --out corpus/                       videos/<label>/<clip>.mp4
  signloom prepare videos/ --out corpus/ --pattern '{signer}/{label}/{take}.mp4'
  signloom prepare WLASL_v0.3.json --source wlasl --out corpus/ --streams pose frames
  signloom prepare poses/ --source pose --out corpus/          import .pose files
  signloom prepare videos/ --out corpus/ --streams pose frames flow --shorter-px 128 --flow dis-fast
  signloom prepare videos/ --out corpus/ --streams pose signer              to paint that signer
  signloom prepare myo/ --pattern '{signer}/{label}_{take}.csv' --option rate_hz=50 --streams imu --out corpus/
  signloom prepare pairs/ --source pairs --out corpus/ --option size=256    pairs of stick figure and photograph

Run again with another stream, it makes that stream alone and keeps what the corpus has. A killed run goes on where it
was when the same command is given again. Clips that fail are listed, with reasons, in failures.jsonl; the exit code is
then 3."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Read a folder or list of sign videos and make the streams that models need."
    parser.epilog = _EPILOG
    parser.add_argument("videos", type=Path, help="a folder, a list (JSON, CSV, txt) or a corpus")
    parser.add_argument("--out", type=Path, required=True, help="the corpus folder to write")
    parser.add_argument(
        "--source", type=or_help(_sources), default="auto", help="how to read it; `--source help` lists what there is"
    )
    parser.add_argument("--pattern", help="where the names stand, e.g. '{signer}/{label}/{take}.mp4'")
    parser.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="an option of the source (repeatable)"
    )
    parser.add_argument(
        "--streams",
        type=or_help(_streams),
        nargs="+",
        help="what to make: pose frames flow signer imu … (default: pose, or imu where there are sensors alone); "
        "`--streams help` lists what there is",
    )
    _add_settings(parser)
    parser.add_argument("--workers", type=whole(), help="processes (default: one per core)")
    parser.add_argument(
        "--timeout-s", type=above(), default=600, help="give up on a clip after this long (default: 600)"
    )
    parser.add_argument("--max-frames", type=whole(1), default=20_000, help="refuse longer clips (default: 20000)")
    parser.add_argument("--ray", metavar="ADDRESS", help="run on a Ray cluster: 'auto', 'local' or an address")
    parser.add_argument("--json", action="store_true", help="print a summary as JSON")


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """How the streams are made."""
    parser.add_argument(
        "--pose",
        choices=["holistic", "mediapipe-holistic", "mediapipe-tasks", "rtmlib"],
        default="holistic",
        help="what finds poses: MediaPipe's Holistic networks run here (default); MediaPipe itself, for comparison; "
        "its HolisticLandmarker with your .task file; rtmlib with your RTMW or DWPose network (signloom models --help)",
    )
    parser.add_argument(
        "--overlay", action="store_true", help="also write each clip's footage with the pose drawn on it, to look at"
    )
    parser.add_argument("--face", choices=["contours", "mesh"], default="contours", help="128 or all 468 face points")
    parser.add_argument(
        "--shorter-px", type=whole(1), default=256, help="shorter side of prepared frames (default: 256)"
    )
    parser.add_argument(
        "--flow",
        type=or_help(_flows),
        default="dis-fast",
        metavar="METHOD",
        help="dis-fast, tvl1-fast …; `--flow help` lists what there is",
    )
    parser.add_argument(
        "--flow-units",
        choices=["pixels", "body"],
        default="pixels",
        help="body: relative to the signer's shoulders, however near the camera (needs the stream pose)",
    )
    parser.add_argument("--flow-view", action="store_true", help="also write each clip's flow as a video in colours")
    parser.add_argument(
        "--signer-px",
        type=whole(1),
        default=512,
        metavar="PX",
        help="side of the stream signer (default: 512); a signer who is smaller in the video is enlarged",
    )
    parser.add_argument(
        "--shoulders",
        type=above(),
        default=3.0,
        metavar="WIDTHS",
        help="how many shoulder widths the stream signer shows (default: 3)",
    )
    parser.add_argument(
        "--shoulders-at",
        type=between(0, 1),
        default=0.42,
        metavar="SHARE",
        help="at what share of its height, from the top, the shoulders stand in the stream signer (default: 0.42)",
    )
    parser.add_argument(
        "--background",
        default="keep",
        metavar="COLOUR",
        help="what the stream signer has behind the signer: keep (default), black, white or a colour such as '#00ff00'",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="STREAM.NAME=VALUE",
        help="a setting of a stream, e.g. frames.crf=20 (repeatable); it overrules the options above",
    )


def _sources() -> str:
    from signloom.pipelines.import_pairs import PairImport
    from signloom.sources import describe_sources

    pairs = f"pairs          {PairImport.summary}\n               options: {', '.join(PairImport.readers())}"
    return f"{describe_sources()}\n{pairs}"


def _streams() -> str:
    from signloom.streams import describe_streams

    return describe_streams()


def _flows() -> str:
    from signloom.streams.flow import CHOICES

    return "\n".join(CHOICES)


def run(args: argparse.Namespace) -> int:
    from signloom.pipelines.prepare import prepare_corpus
    from signloom.sources import parse_options, read_source

    if args.source == "pairs":
        return _run_pairs(args)
    preparation = _preparation(args, ["pose"])
    manifest = read_source(args.videos, source=args.source, pattern=args.pattern, **parse_options(args.option))
    if args.streams is None and all(set(r.streams) == {"imu"} for r in manifest):
        preparation = _preparation(args, ["imu"])
    _remark(manifest.meta)
    before = set(manifest.meta.get("notes", ()))
    began = time.monotonic()
    prepared, outcomes = prepare_corpus(
        manifest, args.out, preparation, workers=args.workers, timeout_s=args.timeout_s, ray_address=args.ray
    )
    _remark({"notes": [note for note in prepared.meta.get("notes", ()) if note not in before]})
    return _tell(args, prepared, outcomes, time.monotonic() - began)


def _preparation(args: argparse.Namespace, usual: list[str]):
    from signloom.media import Limits
    from signloom.pipelines.prepare import Preparation, streams_to_make
    from signloom.streams import parse_settings
    from signloom.streams.flow import Flow

    flow = Flow.named(args.flow, units=args.flow_units)
    settings: dict[str, dict[str, object]] = {
        "pose": {"face": args.face, "extractor": args.pose},
        "frames": {"shorter_px": args.shorter_px},
        "flow": {"method": flow.method, "preset": flow.preset, "units": flow.units},
        "signer": {
            "size_px": args.signer_px,
            "shoulders": args.shoulders,
            "height": args.shoulders_at,
            "background": args.background,
        },
    }
    chosen = parse_settings(args.set)
    if "method" in chosen.get("flow", {}):
        settings["flow"]["preset"] = ""  # that method's own default
    for stream, own in chosen.items():
        settings[stream] = {**settings.get(stream, {}), **own}
    names = [*(args.streams or usual), *(["flow_view"] if args.flow_view else [])]
    if args.overlay:
        names = [*(["pose"] if "pose" not in names else []), *names, "pose_view"]
    limits = Limits(max_frames=args.max_frames, max_seconds=args.timeout_s)
    return Preparation(streams_to_make(names, settings), limits)


def _tell(args: argparse.Namespace, prepared, outcomes, seconds: float) -> int:
    from signloom.data.failures import FAILURES_FILE
    from signloom.data.rates import mixed_note, rates_of

    failed = [o for o in outcomes if not o.ok]
    made = sum(o.ok and not o.reused for o in outcomes)
    summary = {
        "corpus": str(args.out),
        "clips": len(prepared),
        "labels": len(prepared.labels),
        "signers": len(prepared.signers),
        "rates": rates_of(r.fps for r in prepared),
        "failed": len(failed),
        "reasons": dict(Counter(o.reason for o in failed)),
        "made_now": made,
        "seconds": round(seconds, 1),
        "peak_memory_per_worker_mb": _peak_child_mb(),
    }
    if args.json:
        say(json_line(summary))
    else:
        who = f"{summary['signers']} signers" if summary["signers"] else "no known signers"
        say(f"{args.out}: {len(prepared)} clips, {summary['labels']} labels, {who}")
        memory = summary["peak_memory_per_worker_mb"]
        say(f"  {made} clips made now in {seconds:.0f} s, at most {memory} MB a worker")
        _warn(prepared, args.shoulders)
    if mixed := mixed_note(summary["rates"]):
        say(f"note: {mixed}", file=sys.stderr)
    for outcome in failed[:10]:
        say(f"  failed ({outcome.reason}): {outcome.message}", file=sys.stderr)
    if failed:
        more = f" ({len(failed) - 10} more)" if len(failed) > 10 else ""
        say(f"{len(failed)} clips failed{more}: see {args.out / FAILURES_FILE}", file=sys.stderr)
    return 3 if failed else 0


def _warn(prepared, shoulders: float) -> None:
    """Clips in which little can be seen."""
    seen = {r.id: r.extra["seen"] for r in prepared if r.extra.get("seen")}
    blind = [i for i, parts in seen.items() if not parts["left_hand"] and not parts["right_hand"]]
    components = prepared.meta.get("streams", {}).get("pose", {}).get("components", {})
    handless = components and not any("hand" in name.lower() for name in components)  # a Kinect finds no fingers
    if blind and not handless:
        say(f"  no hand was ever found in {len(blind)} clips, e.g. {', '.join(blind[:3])}")
    wide = {r.id: r.extra["crop_outside"] for r in prepared if r.extra.get("crop_outside", 0) > 0.1}
    if wide:
        worst = max(wide, key=wide.__getitem__)
        say(
            f"  in {len(wide)} clips the square around the signer reaches beyond the picture, where its edge is "
            f"repeated; {wide[worst]:.0%} of it in {worst}. Show less: --shoulders {shoulders * 0.75:.2g}, or "
            "move it: --shoulders-at"
        )


def _run_pairs(args: argparse.Namespace) -> int:
    from signloom.data.failures import FAILURES_FILE
    from signloom.errors import InputError
    from signloom.pipelines.import_pairs import PairImport, import_pairs
    from signloom.sources import parse_options

    if args.pattern is not None:
        raise InputError("--pattern goes with source tree, not with 'pairs'")
    corpus, failures = import_pairs(args.videos, args.out, PairImport.of_options(parse_options(args.option)))
    _remark(corpus.meta)
    if args.json:
        clips = {r.id: {"frames": r.n_frames, "split": r.split, "signer": r.signer} for r in corpus}
        say(json_line({"corpus": str(args.out), "clips": clips, "failed": len(failures)}))
    else:
        say(f"{args.out}: {len(corpus)} clips, {corpus.meta['streams']['signer']['size_px']} px")
        for r in corpus:
            say(f"  {r.id}: {r.n_frames} frames of {r.signer}{f', {r.split}' if r.split else ''}")
    for row in failures[:10]:
        say(f"  failed ({row['reason']}): {row['message']}", file=sys.stderr)
    if failures:
        say(f"{len(failures)} pictures failed: see {args.out / FAILURES_FILE}", file=sys.stderr)
    return 3 if failures else 0


def _remark(meta) -> None:
    """What the reader noticed: how it read the corpus, and what it left out."""
    for note in meta.get("notes", ()):
        say(f"note: {note}", file=sys.stderr)
    for key, what in (("missing", "listed but not there"), ("unmatched", "not matched by the pattern")):
        left_out = meta.get(key)
        if left_out:
            count = left_out.get("count", len(left_out)) if isinstance(left_out, dict) else len(left_out)
            say(f"note: {count} files {what} were left out; signloom doctor names them", file=sys.stderr)


def _peak_child_mb() -> int:
    import resource

    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10))
