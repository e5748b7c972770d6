"""What a media file's own bytes promise, read without any decoder: its kind, and whether it ends before it should.

Decoders are forgiving: they show what they can of half a file and say nothing. Containers, though, state their own
sizes, so a file that was cut off can be told from a whole one exactly. The same look refuses headers whose claims
could not fit in the file (a billion frames in a kilobyte), before anything is allocated for them.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from signloom.errors import MediaError
from signloom.media.orientation import read_orientation

_SIGNATURES = (
    (0, b"\x1a\x45\xdf\xa3", "Matroska/WebM"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (8, b"AVI ", "AVI"),
    (8, b"WEBP", "WebP"),
    (8, b"WAVE", "WAV"),
    (0, b"OggS", "Ogg"),
    (0, b"FLV\x01", "FLV"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "ASF/WMV"),
    (0, b"\x00\x00\x01\xba", "MPEG"),
    (0, b"fLaC", "FLAC"),
    (0, b"ID3", "MP3"),
    (0, b"YUV4MPEG2", "YUV4MPEG"),
    (0, b"DKIF", "IVF"),
    (0, b"BM", "BMP"),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
)
_TEXTS = (
    ("version https://git-lfs", "a Git LFS pointer, not the file itself. Run: git lfs pull"),
    ("#EXTM3U", "a playlist that names other files; list those files themselves"),
    ("ffconcat", "a playlist that names other files; list those files themselves"),
    ("[playlist]", "a playlist that names other files; list those files themselves"),
    ("v=0", "a stream description (SDP); only files are read"),
    ("<!doctype html", "a web page: the download that made it failed. Fetch the clip again"),
    ("<html", "a web page: the download that made it failed. Fetch the clip again"),
    ("<?xml", "XML text, not a video"),
    ("{", "JSON text, not a video"),
)
_MP4_FIRST = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"moof"})
_MOST_BYTES = 1 << 28  # read at once; no index or picture of a clip comes near


@dataclass(frozen=True)
class Header:
    """``kind``: the container by its signature (None: unknown). ``ends_early``: how the file is cut off, else None.

    ``size_px``: (width, height) where the signature is followed by it. ``indexed``: it has an index of all its frames
    (an mp4 in fragments has none; an avi may lack one, and counts frames that its recorder dropped). ``orientation``:
    how a still picture is turned and mirrored, 1 to 8 as EXIF counts (None: not for the file's bytes to say).
    """

    kind: str | None = None
    ends_early: str | None = None
    size_px: tuple[int, int] | None = None
    indexed: bool = False
    orientation: int | None = None


def read_header(file: BinaryIO, path: str | os.PathLike[str]) -> Header:
    """What ``file`` (open for reading, seekable) says of itself. Moves its position.

    Raises MediaError: ``not-media`` for text and zeros, ``bad-header`` for claims that cannot fit in the file,
    ``truncated`` for an mp4 without its index, of which nothing can be read.
    """
    size = file.seek(0, os.SEEK_END)
    head = _at(file, 0, 4096)
    kind = _kind(head)
    if kind is None:
        _refuse_text(head, path)
        return Header()
    if kind == "MP4":
        return _mp4(file, size, path)
    walk = {"Matroska/WebM": _matroska, "AVI": _riff, "WebP": _riff, "GIF": _gif, "PNG": _png, "JPEG": _jpeg}.get(kind)
    form = {"PNG": (">II", 16), "GIF": ("<HH", 6)}.get(kind)
    sides = struct.unpack_from(form[0], head, form[1]) if form and len(head) >= 24 else None
    indexed = kind == "AVI" and (b"indx" in head or _has_idx1(file, size))
    return Header(kind, walk(file, size) if walk else None, sides, indexed, read_orientation(file, kind))


def _kind(head: bytes) -> str | None:
    if head[4:8] in _MP4_FIRST:
        return "MP4"
    for offset, signature, kind in _SIGNATURES:
        if head.startswith(signature, offset):
            return kind
    if len(head) > 376 and head[0] == head[188] == head[376] == 0x47:
        return "MPEG-TS"
    return None


def _refuse_text(head: bytes, path: str | os.PathLike[str]) -> None:
    def refuse(what: str) -> MediaError:
        return MediaError(f"'{os.fspath(path)}': {what}", "not-media")

    if not head.strip(b"\0"):
        raise refuse("zero bytes where a header should be; the copy or download stopped before the data arrived")
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # a character cut in two at the end of the sample is still text
            return
        text = head[: error.start].decode("utf-8")
    text = text.lstrip("\ufeff \t\r\n")
    if text[:1] == "P" and text[1:2] in "123456" and text[2:3].isspace():  # a netpbm picture may look like text
        return
    if any(ord(c) < 32 and c not in "\t\r\n\f" for c in text):
        return
    for start, what in _TEXTS:
        if text[: len(start)].lower() == start.lower():
            raise refuse(what)
    raise refuse("text, not a video")


def _at(file: BinaryIO, offset: int, n: int) -> bytes:
    file.seek(offset)
    return file.read(n)


def _cut(what: str, wanted: int, size: int) -> str:
    return f"cut off: {what} should end at byte {wanted:,}, the file ends at {size:,}"


# --- mp4 ----------------------------------------------------------------------------------------------------------


def _mp4(file: BinaryIO, size: int, path: str | os.PathLike[str]) -> Header:
    offset, index, fragmented, still, cut = 0, False, False, False, None
    while offset + 8 <= size:
        length, name = struct.unpack(">I4s", _at(file, offset, 8))
        body = offset + 8
        if length == 1:
            length = int.from_bytes(_at(file, body, 8), "big")
            body += 8
        elif length == 0:
            length = size - offset
        if length < body - offset:
            break
        end = offset + length
        fragmented = fragmented or name == b"moof"
        still = still or name == b"meta"  # HEIC and AVIF pictures have one in place of an index
        if end > size and name in (b"ftyp", b"moov", b"moof", b"mdat"):
            cut = name.decode("ascii")
            break
        if name == b"moov":
            index = True
            _check_mp4_claims(_at(file, body, min(end - body, _MOST_BYTES)), size, path)
        offset = end
    if cut == "moov" or not (index or still):
        what = _cut(f"the '{cut}' box", end, size) if cut else "cut off"
        why = "its index (the 'moov' box), without which no frame can be found, is not whole"
        raise MediaError(f"'{os.fspath(path)}': {what}; {why}", "truncated")
    if fragmented and cut:
        return Header("MP4", _cut(f"a '{cut}' box", end, size))
    # In an unfragmented file the box's size does not matter but where the frames lie: the index says, frame by frame.
    return Header("MP4", indexed=not fragmented)


def _boxes(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    offset = 0
    while offset + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, offset)
        body = offset + 8
        if length == 1:
            length = int.from_bytes(data[body : body + 8], "big")
            body += 8
        end = len(data) if length == 0 else offset + length
        if end < body:
            return
        yield name, data[body : min(end, len(data))]
        offset = end


def _check_mp4_claims(moov: bytes, size: int, path: str | os.PathLike[str]) -> None:
    for name, track in _boxes(memoryview(moov)):
        if name != b"trak":
            continue
        pictures = any(handler[8:12] == b"vide" for handler in _inside(track, (b"mdia", b"hdlr")))
        room = size if pictures else 64 * size  # packed sound has more samples than bytes, within reason
        for table in _inside(track, (b"mdia", b"minf", b"stbl", b"stsz")):
            if len(table) < 12:
                continue
            each, count = struct.unpack_from(">II", table, 4)
            if count * each > room or (each == 0 and 12 + 4 * count > len(table)):
                raise MediaError(
                    f"'{os.fspath(path)}': the header claims {count:,} samples, which cannot fit in {size:,} bytes",
                    "bad-header",
                )
            timed = _timed_samples(track)
            # Writers err by a frame; a table of sizes that was cut would hide frames, and their data lie there.
            if pictures and timed - count >= 2 and timed - count > 0.05 * timed:
                what = f"the header has times for {timed:,} frames and sizes for {count:,}"
                raise MediaError(f"'{os.fspath(path)}': {what}", "bad-header")


def _timed_samples(track: memoryview) -> int:
    """How many samples the track's table of times counts."""
    total = 0
    for table in _inside(track, (b"mdia", b"minf", b"stbl", b"stts")):
        entries = struct.unpack_from(">I", table, 4)[0] if len(table) >= 8 else 0
        for k in range(min(entries, (len(table) - 8) // 8)):
            total += struct.unpack_from(">I", table, 8 + 8 * k)[0]
    return total


def _inside(data: memoryview, names: tuple[bytes, ...]) -> Iterator[memoryview]:
    for name, body in _boxes(data):
        if name == names[0]:
            if len(names) == 1:
                yield body
            else:
                yield from _inside(body, names[1:])


# --- Matroska, RIFF -----------------------------------------------------------------------------------------------


def _matroska(file: BinaryIO, size: int) -> str | None:
    offset = 0
    while offset < size:
        element = _ebml(_at(file, offset, 12))
        if element is None:
            return None
        name, length, body = element
        inside = name == 0x18538067  # Segment: check its end, then the clusters in it
        if length is None and not inside:
            return None  # written live, without sizes: nothing is promised
        end = size if length is None else offset + body + length
        if end > size:
            return _cut("the segment" if inside else "a cluster of frames", end, size)
        offset = offset + body if inside else end
    return None


def _ebml(data: bytes) -> tuple[int, int | None, int] | None:
    """(id, length or None if unknown, bytes of the two) of the element at the start of ``data``."""
    if not data or not data[0]:
        return None
    id_bytes = 9 - data[0].bit_length()
    if id_bytes > 4 or len(data) <= id_bytes or not data[id_bytes]:
        return None
    length_bytes = 9 - data[id_bytes].bit_length()
    raw = data[id_bytes : id_bytes + length_bytes]
    if len(raw) < length_bytes:
        return None
    most = (1 << (7 * length_bytes)) - 1
    length = int.from_bytes(raw, "big") & most
    return int.from_bytes(data[:id_bytes], "big"), None if length == most else length, id_bytes + length_bytes


def _riff(file: BinaryIO, size: int) -> str | None:
    offset = 0
    while offset + 12 <= size:
        name, length = struct.unpack("<4sI", _at(file, offset, 8))
        if name != b"RIFF" or length in (0, 0xFFFFFFFF):
            return None
        end = offset + 8 + length
        if end > size + 16:  # writers err by a header's bytes; a cut that small loses no frame
            return _cut("the file", end, size)
        offset = end + length % 2
    return None


def _has_idx1(file: BinaryIO, size: int) -> bool:
    offset = 12
    while offset + 8 <= size:
        name, length = struct.unpack("<4sI", _at(file, offset, 8))
        if name == b"idx1":
            return True
        offset += 8 + length + length % 2
    return False


# --- pictures -----------------------------------------------------------------------------------------------------


def _gif(file: BinaryIO, size: int) -> str | None:
    if size > _MOST_BYTES:
        return None
    data = _at(file, 0, size)
    cut = f"cut off: the file ends at {size:,} bytes, in the middle of a picture"
    at = 13 + (3 * (2 << (data[10] & 7)) if size > 10 and data[10] & 0x80 else 0)
    if at > size:
        return cut
    while at < size:
        block = data[at]
        if block == 0x3B:
            return None
        if block == 0x21:  # extension: label, then sub-blocks
            at += 2
        elif block == 0x2C:  # picture: position, size, palette, code size, then sub-blocks
            if at + 10 > size:
                return cut
            at += 11 + (3 * (2 << (data[at + 9] & 7)) if data[at + 9] & 0x80 else 0)
        else:
            return None  # not a GIF block: damaged, which is for the decoder to say
        while at < size and data[at]:
            at += 1 + data[at]
        at += 1
        if at > size:
            return cut
    return None


def _png(file: BinaryIO, size: int) -> str | None:
    offset = 8
    while offset + 8 <= size:
        length, name = struct.unpack(">I4s", _at(file, offset, 8))
        offset += 12 + length
        if name == b"IEND":
            return None if offset <= size else _cut("the picture", offset, size)
    return _cut("the picture", max(offset + 12, size + 1), size)


def _jpeg(file: BinaryIO, size: int) -> str | None:
    if size > _MOST_BYTES:
        return None
    data = _at(file, 0, size)
    if data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):
        return f"cut off: the file ends at {size:,} bytes, in the middle of a picture"
    return None
