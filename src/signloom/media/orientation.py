"""Which way round a still picture is meant: the orientation (1 to 8, as EXIF counts) that its file tells.

Read from the file's own bytes, as viewers do: the first directory of the EXIF block counts, never that of a thumbnail
in it; XMP counts where EXIF does not say; what cannot be read, or is no orientation, says nothing. FFmpeg reads no XMP,
and PyAV cannot list what FFmpeg found in EXIF.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

TURNS = {
    1: (1, 0, 0, 1),
    2: (-1, 0, 0, 1),  # left and right swapped
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),  # upside down, in a mirror
    5: (0, 1, 1, 0),  # rows and columns swapped
    6: (0, 1, -1, 0),  # to be turned clockwise by 90°
    7: (0, -1, -1, 0),
    8: (0, -1, 1, 0),
}
"""Orientation → (a, b, c, d): display x = a·x + c·y, display y = b·x + d·y of the stored picture."""

_TAG, _XMP_TAG = 0x0112, 0x02BC
_NUMBERS = {1: "B", 3: "H", 4: "I"}  # TIFF's byte, short and long
_IN_XMP = re.compile(rb"tiff:Orientation(?:\s*=\s*[\"']|>)\s*([0-9])")
_MOST_BYTES = 1 << 20  # of one block; EXIF in a JPEG has at most 64 kB
_MOST_BLOCKS = 1 << 16


def read_orientation(file: BinaryIO, kind: str | None) -> int | None:
    """The orientation of the still picture in ``file`` (seekable), whose container is ``kind``; moves its position.

    1 where it has none. None for kinds of file in which it does not stand like that: there the decoder knows.
    """
    if kind not in _BLOCKS:
        return None
    found: dict[str, bytes] = {}
    for name, block in _BLOCKS[kind](file):
        found.setdefault(name, block)
    exif = file if kind == "TIFF" else io.BytesIO((found.get("exif") or found.get("profile", b"")).removeprefix(_EXIF))
    value = _in_directory(exif, _TAG)
    if value is None and (said := _IN_XMP.search(found.get("xmp", b""))):
        value = int(said[1])
    return value if value in TURNS else 1


# --- where EXIF and XMP stand -------------------------------------------------------------------------------------

_EXIF = b"Exif\0\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_PROFILES = (b"Raw profile type exif", b"Raw profile type APP1")  # of a PNG from before it had eXIf: hexadecimal


def _jpeg(file: BinaryIO) -> Iterator[tuple[str, bytes]]:
    offset = 2
    for _ in range(_MOST_BLOCKS):
        file.seek(offset)
        head = file.read(4)
        if len(head) < 4 or head[0] != 0xFF or head[1] in (0xDA, 0xD9):  # the picture itself begins, or all has ended
            return
        if head[1] == 0xFF:  # a byte that only fills
            offset += 1
            continue
        length = int.from_bytes(head[2:], "big")
        if head[1] == 0xE1:
            body = file.read(max(0, length - 2))
            for start, name in ((_EXIF, "exif"), (_XMP, "xmp")):
                if body.startswith(start):
                    yield name, body[len(start) :]
        offset += 2 + length


def _png(file: BinaryIO) -> Iterator[tuple[str, bytes]]:
    for _, name, body in _png_texts(file):
        keyword, _, text = body.partition(b"\0")
        if name == b"eXIf":
            yield "exif", body
        elif keyword in _PROFILES:
            lines = (_unpacked(text[1:]) if name == b"zTXt" else text).split(b"\n")
            yield "profile", _of_hex(b"".join(lines[3:]))
        elif name == b"iTXt" and keyword == b"XML:com.adobe.xmp":
            packed, rest = text[:1] == b"\1", text[2:].split(b"\0", 2)[-1]
            yield "xmp", _unpacked(rest) if packed else rest


def _png_texts(file: BinaryIO) -> Iterator[tuple[int, bytes, bytes]]:
    """(where its name stands, name, body) of each chunk in which EXIF or XMP may be."""
    offset = 8
    for _ in range(_MOST_BLOCKS):
        file.seek(offset)
        head = file.read(8)
        if len(head) < 8 or head[4:] == b"IEND":
            return
        length, name = struct.unpack(">I4s", head)
        if name in (b"eXIf", b"tEXt", b"zTXt", b"iTXt") and length <= _MOST_BYTES:
            yield offset + 4, name, file.read(length)
        offset += 12 + length


def exif_chunks(file: BinaryIO) -> tuple[int, ...]:
    """Where the names of a PNG's EXIF chunks stand. FFmpeg refuses the whole picture where one is damaged."""
    return tuple(at for at, name, body in _png_texts(file) if name == b"eXIf" or body.partition(b"\0")[0] in _PROFILES)


def _webp(file: BinaryIO) -> Iterator[tuple[str, bytes]]:
    offset = 12
    for _ in range(_MOST_BLOCKS):
        file.seek(offset)
        head = file.read(8)
        if len(head) < 8:
            return
        name, length = struct.unpack("<4sI", head)
        if name in (b"EXIF", b"XMP ") and length <= _MOST_BYTES:
            yield name.decode().strip().lower(), file.read(length)
        offset += 8 + length + length % 2


def _tiff(file: BinaryIO) -> Iterator[tuple[str, bytes]]:
    yield "xmp", _block_in_directory(file, _XMP_TAG)


_BLOCKS = {"JPEG": _jpeg, "PNG": _png, "WebP": _webp, "TIFF": _tiff}


def _unpacked(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, _MOST_BYTES)
    except zlib.error:
        return b""


def _of_hex(text: bytes) -> bytes:
    try:
        return bytes.fromhex(text.decode("ascii"))
    except ValueError:
        return b""


# --- a TIFF directory ---------------------------------------------------------------------------------------------


def _entry(file: BinaryIO, tag: int) -> tuple[str, int, int, bytes] | None:
    """(byte order, type, count, the four bytes of value or offset) of ``tag`` in the first directory; None: no such."""
    file.seek(0)
    head = file.read(8)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(head[:4])
    if order is None or len(head) < 8:
        return None
    file.seek(struct.unpack_from(f"{order}I", head, 4)[0])
    rows = file.read(2 + 12 * 0xFFFF)
    n = struct.unpack_from(f"{order}H", rows)[0] if len(rows) >= 2 else 0
    for at in range(2, min(2 + 12 * n, len(rows) - 11), 12):
        name, kind, count = struct.unpack_from(f"{order}HHI", rows, at)
        if name == tag:
            return order, kind, count, rows[at + 8 : at + 12]
    return None


def _in_directory(file: BinaryIO, tag: int) -> int | None:
    entry = _entry(file, tag)
    if entry is None:
        return None
    order, kind, count, value = entry
    return int(struct.unpack_from(order + _NUMBERS[kind], value)[0]) if kind in _NUMBERS and count == 1 else 0


def _block_in_directory(file: BinaryIO, tag: int) -> bytes:
    entry = _entry(file, tag)
    if entry is None:
        return b""
    order, _, count, value = entry
    file.seek(struct.unpack(f"{order}I", value)[0])
    return file.read(min(count, _MOST_BYTES))
