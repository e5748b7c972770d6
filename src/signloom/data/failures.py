"""Clips that could not be used, with the reason: ``failures.jsonl`` beside a corpus's manifest."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from signloom.runtime.atomic import atomic_write
from signloom.runtime.text import json_line, lines_of

FAILURES_FILE = "failures.jsonl"


def read_failures(corpus: Path) -> list[dict[str, str]]:
    """The clips that could not be prepared: rows with ``id``, ``file``, ``reason`` and ``message``."""
    file = corpus / FAILURES_FILE
    if not file.exists():
        return []
    return [json.loads(line) for line in lines_of(file.read_text(encoding="utf-8")) if line]


def write_failures(corpus: Path, rows: Iterable[Mapping[str, str | None]]) -> Path:
    """Write ``rows`` as the corpus's list of failures, atomically; an empty one says that nothing failed."""
    file = corpus / FAILURES_FILE
    with atomic_write(file) as tmp:
        tmp.write_text("".join(f"{json_line(row)}\n" for row in rows), encoding="utf-8")
    return file
