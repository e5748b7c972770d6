"""Text that came from data: as lines of a file, and as something a terminal may show."""

from __future__ import annotations

import json
import re
from typing import Any

# Control characters, what reorders a line, and what no encoding has (the bytes of a name that is not UTF-8).
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
# JSON escapes what lies below a space itself.
_UNSEEN_IN_JSON = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def plain(text: str, *, keep: str = "") -> str:
    r"""``text`` with control characters as ``\x1b``, ``\n`` …, except those in ``keep``: safe for a terminal.

    >>> plain("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    return _UNSEEN.sub(lambda found: found[0] if found[0] in keep else _visible(found[0]), text)


def _visible(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def json_line(value: Any, *, indent: int | None = None) -> str:
    """``value`` as one line of JSON, for every reader's idea of a line: also U+2028, U+0085 and their like escaped.

    With ``indent`` it is several lines, for people.
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return _UNSEEN_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def lines_of(text: str) -> list[str]:
    """The lines of ``text``, which end in newlines alone; ``str.splitlines`` also cuts at U+2028, U+0085, form feeds.

    >>> lines_of("a\\u2028b\\r\\nc\\n")
    ['a\\u2028b', 'c']
    """
    lines = re.split("\r\n|\n|\r", text)
    return lines[:-1] if not lines[-1] else lines


def why(error: Exception) -> str:
    """What went wrong, in words: without the number and the file's name that the system's errors carry.

    >>> why(FileNotFoundError(2, "No such file or directory", "grid.toml"))
    'No such file or directory'
    """
    return (isinstance(error, OSError) and error.strerror) or str(error)
