"""signloom doctor: what is wrong with a corpus, before any time is spent on it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from signloom.cli.options import above, whole
from signloom.cli.say import say
from signloom.runtime.text import json_line, plain

if TYPE_CHECKING:
    from signloom.pipelines.doctor import Diagnosis

SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Look at every file of a corpus in a process that can be killed, and name each one that is corrupt, truncated, "
        "empty, lying, duplicate, missing or unlabelled; then what labels, signers, rates and sizes are like."
    )
    parser.epilog = """examples:
  signloom doctor videos/                                      headers, one frame of each clip, duplicates
  signloom doctor videos/ --full --pattern '{signer}/{label}/{take}.mp4'
  signloom doctor wlasl/ --json > report.json
  signloom doctor videos/ --published nslt_100.json            what share of a published list is there

Without --full a damage in the middle of a clip is not seen. Exit codes: 0 nothing wrong, 3 problems found."""
    parser.add_argument("root", type=Path, help="a folder, a list (JSON, CSV, txt) or a prepared corpus")
    parser.add_argument("--source", default="auto", help="how to read it (see `signloom prepare --source help`)")
    parser.add_argument("--pattern", help="where the names stand, e.g. '{signer}/{label}/{take}.mp4'")
    parser.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="an option of the source (repeatable)"
    )
    parser.add_argument("--full", action="store_true", help="decode every frame of every clip")
    parser.add_argument(
        "--published", type=Path, metavar="LIST", help="a published list to compare with (JSON, CSV, txt)"
    )
    parser.add_argument("--workers", type=whole(), help="processes (default: one per core)")
    parser.add_argument(
        "--timeout-s", type=above(), default=120, help="give up on a file after this long (default: 120)"
    )
    parser.add_argument(
        "--max-frames", type=whole(1), default=20_000, help="clips longer than this are named (default: 20000)"
    )
    parser.add_argument("--all", action="store_true", help=f"list all problems, not {SHOWN} of each kind")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(args: argparse.Namespace) -> int:
    from signloom.pipelines.doctor import diagnose
    from signloom.sources import parse_options

    diagnosis = diagnose(
        args.root,
        source=args.source,
        pattern=args.pattern,
        options=parse_options(args.option),
        full=args.full,
        published=args.published,
        workers=args.workers,
        timeout_s=args.timeout_s,
        max_frames=args.max_frames,
        quiet=args.json,
    )
    if args.json:
        say(json_line(diagnosis.as_dict(), indent=1))
    else:
        _print(diagnosis, shown=None if args.all else SHOWN)
    return 3 if diagnosis.problems else 0


def _print(diagnosis: Diagnosis, shown: int | None) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from signloom.pipelines.doctor import KINDS

    console = Console(highlight=False, soft_wrap=True)

    def show(text: str = "", style: str | None = None) -> None:
        console.print(plain(text), style=style, markup=False)  # file names may hold brackets

    media = diagnosis.media
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in (
        ("corpus", f"{diagnosis.root} (read as {diagnosis.source})"),
        ("clips", f"{diagnosis.clips} in {diagnosis.files} files, {'decoded whole' if diagnosis.full else 'headers'}"),
        ("labels", str(diagnosis.labels or "none known")),
        ("signers", str(diagnosis.signers or "none known")),
        ("frames", "{least} to {most}, median {median}".format(**media.frames) if media.frames else "–"),
        ("rates", ", ".join(f"{k} ({n})" for k, n in list(media.fps.items())[:4]) or "–"),
        ("sizes", ", ".join(f"{k} ({n})" for k, n in list(media.size_px.items())[:4]) or "–"),
    ):
        table.add_row(Text(name, style="bold"), Text(plain(value)))
    console.print(table)
    for split, row in diagnosis.published.items():
        show(f"published {split}: {row['present']} of {row['listed']} clips present ({row['share']:.1%})")
    for kind, n in diagnosis.counts.items():
        show()
        show(f"{kind}: {n} ({KINDS[kind]})", "bold red")
        rows = [p for p in diagnosis.problems if p.kind == kind]
        for problem in rows[:shown]:
            show(f"  {problem.message}")
        if shown is not None and len(rows) > shown:
            show(f"  … and {len(rows) - shown} more (--all, or --json)")
    if diagnosis.notes:
        show()
        show("worth knowing", "bold")
        for note in diagnosis.notes:
            show(f"  {note}")
    show()
    if diagnosis.problems:
        show(f"{len(diagnosis.problems)} problems in {diagnosis.seconds:.0f} s", "bold red")
    else:
        rest = "" if diagnosis.full else "; --full decodes every frame, and sees damage inside clips too"
        show(f"nothing wrong ({diagnosis.seconds:.0f} s){rest}", "bold green")
    sys.stdout.flush()
