"""What a folder holds, so that two can be compared: bytes, and of a few files all but the time that was spent."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from killing.scenes import Scene

_TIMES = ("seconds", "created")  # keys of JSON files that say how long something took, and when it was
_TOOK = re.compile(r"One run took [\d,]+ to [\d,]+ seconds")
_DATE = re.compile(r"\d{4}-\d\d-\d\d(T| )?\d\d:\d\d(:\d\d)?|\d{4}-\d\d-\d\d")


def outputs(folder: Path, scene: Scene) -> dict[str, str]:
    """Relative path → what the file holds, of all that ``scene`` is to leave."""
    found = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and not set(relative.parts) & set(scene.left_out) and not is_unfinished(path):
            found[str(relative)] = _held(path, folder)
    return found


def unfinished(folder: Path) -> list[str]:
    """Temporary files that are left."""
    return [str(p.relative_to(folder)) for p in folder.rglob("*") if is_unfinished(p)]


def is_unfinished(path: Path) -> bool:
    return path.name.startswith(".tmp-")


def inputs(folder: Path) -> dict[str, str]:
    """Relative path → hash, of every file of an input."""
    return {str(p.relative_to(folder)): _hash(p.read_bytes()) for p in sorted(folder.rglob("*")) if p.is_file()}


def different(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """The names of what is not in both, or not the same."""
    return sorted(k for k in one.keys() | other.keys() if one.get(k) != other.get(k))


def _held(path: Path, folder: Path) -> str:
    data = path.read_bytes()
    if path.suffix == ".json":
        try:
            return _hash(json.dumps(_without_times(json.loads(data)), sort_keys=True).encode())
        except ValueError:
            return _hash(data)
    if path.suffix == ".html":
        return _hash(_TOOK.sub("TOOK", _DATE.sub("DATE", data.decode("utf-8"))).encode())
    return _hash(data)


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_times(v) for k, v in value.items() if k not in _TIMES}
    if isinstance(value, list):
        return [_without_times(v) for v in value]
    return value


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
