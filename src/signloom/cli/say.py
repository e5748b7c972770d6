"""What the verbs print: never a control character that stood in somebody's file name or label."""

from __future__ import annotations

import sys
from typing import TextIO

from signloom.runtime.text import plain


def say(text: str = "", *, file: TextIO | None = None, flush: bool = False) -> None:
    """Print ``text``, which may have several lines, to ``file`` (default: standard output)."""
    print(plain(text, keep="\n"), file=file or sys.stdout, flush=flush)
