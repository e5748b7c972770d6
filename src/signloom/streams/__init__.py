"""What can be got out of a clip: a file each, and a line each in the table :data:`STREAMS`.

A new stream is a frozen dataclass that derives from :class:`signloom.data.stream.Stream`, in a file here, and its line.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields, replace
from typing import Any

from signloom.data.stream import Stream, fingerprint_diff
from signloom.errors import InputError

__all__ = [
    "STREAMS",
    "describe_streams",
    "fingerprint_diff",
    "makeable",
    "parse_settings",
    "part_of",
    "parts_to_ask_for",
    "settings_of",
    "stream_named",
    "stream_type",
    "streams_named",
    "streams_of",
    "with_parts",
]

STREAMS = {
    "pose": "signloom.streams.pose:PoseStream",
    "frames": "signloom.streams.frames:FramesStream",
    "flow": "signloom.streams.flow:FlowStream",
    "imu": "signloom.streams.imu:ImuStream",
    "flow_view": "signloom.streams.flow_view:FlowViewStream",
    "pose_view": "signloom.streams.pose_view:PoseViewStream",
    "signer": "signloom.streams.signer_crop:SignerStream",
    "faces": "signloom.streams.face_crop:FaceStream",
    "skeleton": "signloom.streams.skeleton:SkeletonStream",
    "depth": "signloom.streams.depth:DepthStream",
    "virtual_imu": "signloom.streams.virtual_imu:VirtualImuStream",
}
"""Name → "module:class", in the order in which corpora list them."""
PUSHED = ("video", "depth_mm")
"""What streams are made of that is no stream: footage, and depth pictures in millimetres."""


def stream_type(name: str) -> type[Any]:
    """The class of the stream ``name``. Raises InputError that names what there is."""
    if name not in STREAMS:
        raise InputError(f"stream '{name}': there is {', '.join(STREAMS)}")
    module, _, object_name = STREAMS[name].partition(":")
    return getattr(importlib.import_module(module), object_name)


def stream_named(name: str, **settings: Any) -> Stream:
    """The stream ``name`` with ``settings``, the rest as usual. Raises InputError that names what there is."""
    return streams_named((name,), {name: settings})[name]


def streams_named(names: Iterable[str], settings: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, Stream]:
    """The streams ``names``, in that order, with ``settings`` by stream and name; made of each other where they can be.

    ``settings`` of streams not named shape those made of them: the frames of which flow is made. Raises InputError.
    """
    settings = settings or {}
    built: dict[str, Stream] = {}

    def build(name: str) -> Stream:
        if name not in built:
            made = stream_type(name)
            own = dict(settings.get(name, {}))
            known = {f.name for f in fields(made)}
            if wrong := sorted(set(own) - known):
                raise InputError(f"stream '{name}' has no setting '{wrong[0]}'; it has {_listed(settings_of(name))}")
            own |= {part: build(part) for part in sorted(known & set(STREAMS) - set(own))}
            built[name] = made(**own)
        return built[name]

    for name in settings:
        stream_type(name)
    return {name: build(name) for name in names}


def streams_of(fingerprints: Mapping[str, Mapping[str, Any]]) -> dict[str, Stream]:
    """The streams with these recorded ``fingerprints``, and those that they cannot be made without, first.

    What was imported can be read and not made. Whether this installation makes them the same, their own fingerprints
    tell. Raises InputError for a stream that there is not.
    """
    for name in fingerprints:
        stream_type(name)
    built: dict[str, Stream] = {}
    for name in sorted(fingerprints, key=list(STREAMS).index):
        built[name] = _rebuilt(name, fingerprints[name], built)
    also: dict[str, Stream] = {}
    todo = list(built.values())
    while todo:
        stream = todo.pop()
        for part in parts_to_ask_for(stream):
            if part not in built and part not in also and (made := part_of(stream, part)) is not None:
                also[part] = made
                todo.append(made)
    return {**also, **{name: built[name] for name in fingerprints}}


def _rebuilt(name: str, made: Mapping[str, Any], others: Mapping[str, Stream]) -> Stream:
    kind = stream_type(name)
    if hasattr(kind, "of_fingerprint"):
        return kind.of_fingerprint(made, others)
    own: dict[str, Any] = {}
    for f in fields(kind):
        if f.name in STREAMS and isinstance(made.get(f.name), Mapping):
            own[f.name] = _rebuilt(f.name, made[f.name], others)
        elif f.name in STREAMS and f.name in others:
            own[f.name] = others[f.name]
        elif f.name in made:
            own[f.name] = made[f.name]
    return kind(**own)


def parts_to_ask_for(stream: Stream) -> tuple[str, ...]:
    """The streams that must be prepared with ``stream``: what it is made of, but for what is pushed and in passing."""

    def free(part: str) -> bool:
        made = part_of(stream, part)
        return part in PUSHED or (made is not None and made.in_passing)

    pushed = [part for part in stream.requires if not free(part)]
    return tuple(dict.fromkeys([*pushed, *stream.requires_whole]))


def part_of(stream: Stream, name: str) -> Stream | None:
    """The stream ``name`` with the settings that ``stream`` is made of; None where any will do."""
    return getattr(stream, name, None)


def with_parts(stream: Stream, parts: Mapping[str, Stream]) -> Stream:
    """``stream`` made of ``parts``, where it holds those."""
    held: Any = stream
    return replace(held, **{f.name: parts[f.name] for f in fields(held) if f.name in parts})


def makeable() -> tuple[str, ...]:
    """The names of the streams that ``prepare`` makes of a clip, or takes from a file of their own."""
    streams = [stream_named(name) for name in STREAMS]
    return tuple(s.name for s in streams if s.requires or s.requires_whole or s.imported)


# --- settings as text -----------------------------------------------------------------------------------------------


def settings_of(name: str) -> dict[str, Any]:
    """The settings of a stream that can be given as text, and their defaults."""
    found = {}
    for f in fields(stream_type(name)):
        if f.name not in STREAMS and isinstance(_default(f), (bool, int, float, str)):
            found[f.name] = _default(f)
    return found


def parse_settings(texts: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Settings by stream and name, of texts such as ``"frames.crf=20"``. Raises InputError that names what there is."""
    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        place, equals, value = text.partition("=")
        stream, dot, name = place.partition(".")
        if not equals or not dot:
            raise InputError(f"--set '{text}': wanted STREAM.NAME=VALUE, e.g. frames.crf=20")
        known = settings_of(stream)
        if name not in known:
            raise InputError(f"--set '{text}': stream '{stream}' has {_listed(known) or 'no settings'}")
        found.setdefault(stream, {})[name] = _parsed(text, value, known[name])
    return found


def _parsed(text: str, value: str, default: Any) -> Any:
    if isinstance(default, bool):
        words = {"yes": True, "true": True, "no": False, "false": False}
        if value.lower() not in words:
            raise InputError(f"--set '{text}': wanted yes or no")
        return words[value.lower()]
    try:
        return type(default)(value)
    except ValueError:
        raise InputError(f"--set '{text}': wanted a{'n int' if isinstance(default, int) else ' number'}") from None


def describe_streams() -> str:
    """The table of what can be made, with settings, for ``--streams help``."""
    lines = []
    for name in makeable():
        first = (stream_type(name).__doc__ or "").strip().splitlines()[0]
        summary = re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`", r"\1", first).replace("``", "")
        needs = parts_to_ask_for(stream_named(name))
        lines.append(f"{name:<10} {summary}" + (f" Needs {', '.join(needs)}." if needs else ""))
        if known := settings_of(name):
            lines.append(f"{'':<10} --set {' '.join(f'{name}.{k}={v}' for k, v in known.items())}")
    return "\n".join(lines)


def _default(f: Field) -> Any:
    return f.default if f.default is not MISSING else None


def _listed(known: Mapping[str, Any]) -> str:
    return ", ".join(known)
