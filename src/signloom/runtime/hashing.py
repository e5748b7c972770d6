"""Short identities of values and files."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any


def fingerprint_hash(*parts: Any) -> str:
    """A short hash of JSON-able ``parts``, the same on every machine."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def file_stamp(path: Path) -> str:
    """A cheap identity of a file (path, size, modification time) that changes when the file does; '' if missing."""
    try:
        info = os.stat(path)
    except OSError:
        return ""
    return fingerprint_hash(str(path), info.st_size, info.st_mtime_ns)


def file_sha256(path: Path) -> str:
    """The sha256 of a file's content, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
