"""signloom split: decide who trains and who tests, and refuse leaks."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from signloom.cli.options import between, whole
from signloom.cli.say import say
from signloom.runtime.text import json_line

SCHEMES = {
    "signer": "whole signers: test is on people never seen in training",
    "source": "whole sources (recordings, sessions)",
    "random": "clips, stratified by label; NOT signer-independent",
    "given": "as the corpus says, or as --list says",
    "leave-one-signer-out": "a fold per signer",
    "leave-one-source-out": "a fold per source",
    "signer-k-fold": "k groups of whole signers",
    "k-fold": "k parts, stratified by label; NOT signer-independent",
}
_FOLDS = {
    "leave-one-signer-out": "signer",
    "leave-one-source-out": "source",
    "signer-k-fold": "signer-k-fold",
    "k-fold": "k-fold",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Split a corpus into train, val and test, or into folds, so that no clip, parent, signer or stretch of a "
        "recording stands on both sides."
    )
    schemes = "\n".join(f"  {name:<22}{what}" for name, what in SCHEMES.items())
    parser.epilog = f"""schemes:
{schemes}

examples:
  signloom split corpus/ --out split.json
  signloom split corpus/ --held-out user01 user05 --out split.json
  signloom split corpus/ --scheme leave-one-signer-out --out folds/       one file per signer
  signloom split corpus/ --scheme given --list train=train.txt test=test.txt --out split.json
  signloom split corpus/ --check split.json                               audit a split file, write nothing

A split file is what train and evaluate take with --split. Exit code 1: the split leaks."""
    parser.add_argument("corpus", type=Path, help="a corpus made by `signloom prepare` or `signloom synth`")
    parser.add_argument("--out", type=Path, help="the split file to write; a folder for schemes with folds")
    parser.add_argument(
        "--scheme", choices=list(SCHEMES), default="signer", metavar="SCHEME", help="see below (signer)"
    )
    parser.add_argument(
        "--val", type=between(0, 1), default=0.15, help="share of the clips for validation (default: 0.15)"
    )
    parser.add_argument("--test", type=between(0, 1), default=0.15, help="share of the clips for test (default: 0.15)")
    parser.add_argument("--held-out", nargs="+", metavar="NAME", help="these signers (or sources) are the test")
    parser.add_argument(
        "--val-by",
        choices=["signer", "source", "clip"],
        help="validate on whole signers, or on clips of training signers (default: signer; clip for folds)",
    )
    parser.add_argument("--k", type=whole(2), default=5, help="how many folds (default: 5)")
    parser.add_argument("--seed", type=whole(), default=0, help="same seed, same split (default: 0)")
    parser.add_argument(
        "--list",
        nargs="+",
        default=[],
        metavar="SPLIT=FILE",
        help="lists of ids or files, a line each, for --scheme given",
    )
    parser.add_argument(
        "--allow",
        nargs="+",
        default=[],
        metavar="KIND",
        help="go on in spite of leaks of this kind: content, parent, time, signer, source",
    )
    parser.add_argument("--check", type=Path, metavar="FILE", help="audit this split file instead of making one")
    parser.add_argument("--json", action="store_true", help="print a summary as JSON")


def run(args: argparse.Namespace) -> int:
    from signloom.data.manifest import read_manifest
    from signloom.data.splits import apply_split, assign_split, folds, read_split, refuse_leaks, split_of, write_split
    from signloom.errors import InputError
    from signloom.runtime.names import file_name

    manifest = read_manifest(args.corpus)
    if args.check is not None:
        splits = {args.check: apply_split(manifest, read_split(args.check))}
    elif args.out is None:
        raise InputError("give --out FILE (or a folder for folds), or --check FILE to audit a split")
    elif args.scheme in _FOLDS:
        made = folds(
            manifest,
            _FOLDS[args.scheme],
            k=args.k,
            seed=args.seed,
            val=args.val,
            val_by=args.val_by or "clip",
            held_out=args.held_out,
        )
        splits = {args.out / f"{number:02d}-{file_name(f.name)}.json": f.manifest for number, f in enumerate(made)}
    else:
        if args.out.is_dir():
            raise InputError(
                f"'{args.out}' is a folder; --scheme {args.scheme} writes one file, e.g. {args.out}/split.json"
            )
        lists = _read_lists(args.list) if args.list else None
        splits = {
            args.out: assign_split(
                manifest,
                args.scheme,
                val=args.val,
                test=args.test,
                seed=args.seed,
                held_out=args.held_out,
                lists=lists,
                val_by=args.val_by,
            )
        }
    # All are audited before any is written: a folder with half its folds would look whole.
    found = {path: refuse_leaks(m, allow=args.allow) for path, m in splits.items()}
    if args.check is None:
        for path, m in splits.items():
            write_split(split_of(m), path)
    summaries = [_summary(path, m, found[path]) for path, m in splits.items()]
    if args.json:
        say(json_line(summaries))
    else:
        _print(summaries, written=args.check is None)
    return 0


def _summary(path: Path, manifest: Any, leaks: list[Any]) -> dict[str, Any]:
    rows = {}
    for split in ("train", "val", "test", None):
        records = [r for r in manifest if r.split == split]
        if records:
            rows[split or "unused"] = {
                "clips": len(records),
                "signers": len({r.signer for r in records} - {None}),
                "labels": len({r.label for r in records} - {None}),
                "derived": sum(r.parent is not None for r in records),
            }
    trained = {r.label for r in manifest if r.split == "train"}
    info = manifest.meta["split"]
    return {
        "file": str(path),
        "scheme": info["scheme"],
        "held_out": list(info.get("held_out", ())),
        "splits": rows,
        "labels_missing_in_train": sorted({r.label for r in manifest if r.split} - trained - {None}),
        "notes": list(info.get("notes", ())),
        "allowed_leaks": dict(Counter(leak.kind for leak in leaks if leak.serious)),
        "shared": dict(Counter(f"{leak.kind} in {' and '.join(leak.splits)}" for leak in leaks if not leak.serious)),
    }


def _print(summaries: list[dict[str, Any]], *, written: bool) -> None:
    width = max(len(Path(s["file"]).name) for s in summaries)
    say(f"{'':<{width}}  {'':<8}{'clips':>8}{'signers':>9}{'labels':>8}")
    for summary in summaries:
        name = Path(summary["file"]).name
        for split, row in summary["splits"].items():
            held = summary["held_out"] if split == "test" else []
            who = ("  " + ", ".join(held[:6]) + (" …" if len(held) > 6 else "")) if held else ""
            say(f"{name:<{width}}  {split:<8}{row['clips']:>8}{row['signers']:>9}{row['labels']:>8}{who}")
            name = ""
    for note in dict.fromkeys(note for s in summaries for note in s["notes"]):
        say(f"note: {note}")
    shared = Counter(kind for s in summaries for kind in s["shared"])
    for kind in shared:
        say(f"note: the same {kind}, which this scheme does not forbid")
    for kind in dict.fromkeys(kind for s in summaries for kind in s["allowed_leaks"]):
        say(f"warning: leaks of kind '{kind}' are there and were allowed", file=sys.stderr)
    if written:
        where = (
            summaries[0]["file"]
            if len(summaries) == 1
            else f"{Path(summaries[0]['file']).parent}/ ({len(summaries)} folds)"
        )
        say(f"no leaks; wrote {where}" if not any(s["allowed_leaks"] for s in summaries) else f"wrote {where}")
    else:
        say("no leaks")


def _read_lists(pairs: list[str]) -> dict[str, list[str]]:
    from signloom.errors import InputError
    from signloom.runtime.text import lines_of

    out: dict[str, list[str]] = {}
    for pair in pairs:
        split, equals, file = pair.partition("=")
        if not equals:
            raise InputError(f"--list: '{pair}' is not SPLIT=FILE, e.g. train=train.txt")
        try:
            lines = lines_of(Path(file).read_text(encoding="utf-8-sig"))
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"--list {split}: '{file}' cannot be read: {error}") from error
        out.setdefault(split, []).extend(line.strip() for line in lines if line.strip())
    return out
