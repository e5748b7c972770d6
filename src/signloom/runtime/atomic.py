"""Files that appear whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def atomic_write(file: Path):
    """Give a temporary path beside ``file``; on success fsync it and rename it onto ``file``.

    A reader sees the old content or the whole new one, never a part. On an exception the temporary file is removed.
    The temporary name keeps the suffix, since writers choose formats by it.
    """
    file = Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".tmp-", suffix=file.suffix, dir=file.parent)
    os.close(handle)
    tmp = Path(name)
    try:
        yield tmp
        with open(tmp, "rb+") as done:
            os.fsync(done.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(tmp, 0o666 & ~umask)  # mkstemp makes files private; outputs follow the user's umask
        os.replace(tmp, file)
    finally:
        tmp.unlink(missing_ok=True)


def write_json(file: str | os.PathLike[str], value: Any) -> Path:
    """Write ``value`` as indented JSON, atomically."""
    path = Path(file)
    with atomic_write(path) as tmp:
        tmp.write_text(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    return path
