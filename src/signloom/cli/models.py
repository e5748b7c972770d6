"""signloom models: the networks that find poses, and taking them out of a wheel."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from signloom.cli.say import say
from signloom.errors import InputError
from signloom.runtime.text import json_line

_EPILOG = """
Poses are found by MediaPipe's networks. They are inside its wheel, and nothing downloads them but you:

  pip download --no-deps --only-binary=:all: --python-version 3.12 --platform manylinux_2_28_x86_64 mediapipe==0.10.21
  signloom models add mediapipe-0.10.21-*.whl

The wheel need not be for this machine or Python: only the .tflite files in it are read. Where mediapipe 0.10.21 is
installed they are found there. SIGNLOOM_MODELS names another folder to keep them in.

examples:
  signloom models                                  what is there
  signloom models add mediapipe-0.10.21-*.whl      from a wheel
  signloom models add my_networks/                 from a folder of .tflite files

Networks of your own, for other estimators, are taken in one by one:

  signloom models add rtmw-dw-x-l_simcc-cocktail14.onnx   then: signloom prepare videos/ --pose rtmlib --out corpus/
  signloom models add yolox_m_humanart.onnx               boxes for it, if several people are in the picture
  signloom models add holistic_landmarker.task            then: signloom prepare videos/ --pose mediapipe-tasks …"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Tell which of the networks that find poses are there, or take them out of a wheel or folder."
    parser.epilog = _EPILOG
    parser.add_argument("what", nargs="?", choices=["add"], help="take networks in; left out: tell what is there")
    parser.add_argument(
        "source",
        nargs="?",
        type=Path,
        help="a wheel of MediaPipe's, a folder or a .tflite file; an .onnx or .task file",
    )
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def run(args: argparse.Namespace) -> int:
    from signloom.streams.foreign_networks import KINDS, SUFFIXES, kept_networks
    from signloom.streams.holistic.networks import NETWORKS, add_networks, networks_there, user_folder

    added: dict[str, object] = {}
    if args.what == "add":
        if args.source is None:
            raise InputError("signloom models add: of which file or folder? See: signloom models --help")
        if args.source.suffix in SUFFIXES:
            return _add_other(args)
        done = add_networks(args.source)
        added = {"folder": str(user_folder()), "kept": list(done.kept), "there_already": list(done.there)}
        if not args.json:
            say(f"{user_folder()}: {len(done.kept)} networks taken in, {len(done.there)} were there already")
    there = networks_there()
    missing = {name: str(place) for name, place in there.items() if isinstance(place, InputError)}
    if args.json:
        places = {name: None if name in missing else str(place) for name, place in there.items()}
        others = [_told(kept) for kind in KINDS for kept in kept_networks(kind)]
        say(json_line({**added, "networks": places, "wrong": missing, "others": others}))
    else:
        for name, place in there.items():
            say(f"  {name:<15} {'MISSING' if name in missing else place}  ({NETWORKS[name].what})")
        for message in dict.fromkeys(missing.values()):
            say(f"error: {message}")
        for kept in (kept for kind in KINDS for kept in kept_networks(kind)):
            say(f"  {kept.kind:<15} {kept.path}  ({kept.sha}; {KINDS[kept.kind]})")
    return 1 if missing else 0


def _add_other(args: argparse.Namespace) -> int:
    from signloom.streams.foreign_networks import KINDS, add_network

    kept, there = add_network(args.source)
    if args.json:
        say(json_line({**_told(kept), "there_already": there}))
    else:
        say(f"{kept.path}: {'was there already' if there else 'taken in'} as {kept.kind} ({KINDS[kept.kind]})")
    return 0


def _told(kept: Any) -> dict[str, str]:
    return {"kind": kept.kind, "hash": kept.sha, "path": str(kept.path)}
