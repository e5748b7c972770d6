"""signloom models: the networks that find poses, and taking them out of a wheel."""

from __future__ import annotations

import argparse
from pathlib import Path

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
  signloom models add my_networks/                 from a folder of .tflite files"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Tell which of the networks that find poses are there, or take them out of a wheel or folder."
    parser.epilog = _EPILOG
    parser.add_argument("what", nargs="?", choices=["add"], help="take networks in; left out: tell what is there")
    parser.add_argument("source", nargs="?", type=Path, help="a wheel of MediaPipe's, a folder or a .tflite file")
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def run(args: argparse.Namespace) -> int:
    from signloom.streams.holistic.networks import NETWORKS, add_networks, networks_there, user_folder

    added: dict[str, object] = {}
    if args.what == "add":
        if args.source is None:
            raise InputError("signloom models add: of which file or folder? See: signloom models --help")
        done = add_networks(args.source)
        added = {"folder": str(user_folder()), "kept": list(done.kept), "there_already": list(done.there)}
        if not args.json:
            say(f"{user_folder()}: {len(done.kept)} networks taken in, {len(done.there)} were there already")
    there = networks_there()
    missing = {name: str(place) for name, place in there.items() if isinstance(place, InputError)}
    if args.json:
        places = {name: None if name in missing else str(place) for name, place in there.items()}
        say(json_line({**added, "networks": places, "wrong": missing}))
    else:
        for name, place in there.items():
            say(f"  {name:<15} {'MISSING' if name in missing else place}  ({NETWORKS[name].what})")
        for message in dict.fromkeys(missing.values()):
            say(f"error: {message}")
    return 1 if missing else 0
