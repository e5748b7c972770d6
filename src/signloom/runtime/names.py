"""File names made of what stands in data: ids, signers, folds. The one place that turns such text into a path."""

from __future__ import annotations

import hashlib
import re
import unicodedata

MOST_BYTES = 200
"""So that a hash, a suffix and what marks a temporary file still fit into the 255 bytes of a file system."""

# Separators, what some file systems refuse, control characters, what has no encoding, and what reorders a line.
_UNSAFE = re.compile('[/\\\\<>:"|?*\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]')
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?:\..*)?", re.IGNORECASE | re.DOTALL)
_MARKED = re.compile(r".*~[0-9a-f]{20}", re.DOTALL)


def file_name(text: str) -> str:
    """One name of a file or folder for ``text``: it never leaves its folder, and no two texts share one.

    Usual text stays as it is. What has separators, control characters, a leading dot, a dot or space at its end, a name
    that Windows reserves, more than :data:`MOST_BYTES` bytes or decomposed letters is made safe, and a hash is added.
    Texts that differ in case alone get names that do so too.

    >>> file_name("user01_G01_R03")
    'user01_G01_R03'
    >>> file_name("../../x")
    '-..-x~548881d2c1f703386f6a'
    """
    if _is_safe(text):
        return text
    mark = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=10).hexdigest()
    readable = unicodedata.normalize("NFC", _UNSAFE.sub("-", text)).strip(". ")
    short = readable.encode()[: MOST_BYTES - len(mark) - 1].decode(errors="ignore")
    return f"{short}~{mark}"


def _is_safe(text: str) -> bool:
    return (
        text != ""
        and not _UNSAFE.search(text)
        and text[0] not in ". "
        and text[-1] not in ". "
        and not _RESERVED.fullmatch(text)
        and not _MARKED.fullmatch(text)  # else a text could be another's name
        and len(text.encode()) <= MOST_BYTES
        and unicodedata.is_normalized("NFC", text)
    )
