"""Still pictures come out the way viewers show them: eight orientations, in every format, wherever they stand."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from signloom import media
from signloom.errors import MediaError
from signloom.media import HeldFile

FORMATS = ("jpeg", "png", "webp", "tiff")
# What a viewer does with the stored picture, written down by hand from the EXIF standard: where its first row and its
# first column are to be seen (top/left …).
MEANT = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],  # top, right
    3: lambda p: p[::-1, ::-1],  # bottom, right
    4: lambda p: p[::-1],  # bottom, left
    5: lambda p: p.transpose(1, 0, 2),  # left, top
    6: lambda p: p[::-1].transpose(1, 0, 2),  # right, top
    7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),  # right, bottom
    8: lambda p: p[:, ::-1].transpose(1, 0, 2),  # left, bottom
}


def stored(height: int = 32, width: int = 48) -> np.ndarray:
    """uint8 (H, W, 3) of which no turn or mirroring looks like another: six flat patches."""
    patches = np.array([[[250, 20, 20], [20, 240, 20], [20, 20, 250]], [[240, 240, 20], [20, 20, 20], [250, 250, 250]]])
    return patches.astype(np.uint8).repeat(height // 2, 0).repeat(width // 3, 1)


def exif(value: int | None, *, order: str = "<", kind: int = 3, thumbnail: int | None = None, more: int = 0) -> bytes:
    """An EXIF block with the orientation ``value``, after ``more`` other tags, and that of a ``thumbnail`` besides."""

    def directory(own: int | None, following: bool, at: int) -> bytes:
        rows = [struct.pack(f"{order}HHII", 0x0100 + k, 4, 1, 640) for k in range(more)]
        if own is not None:
            packed = struct.pack(order + {1: "B", 3: "H", 4: "I"}[kind], own).ljust(4, b"\0")
            rows.append(struct.pack(f"{order}HHI", 0x0112, kind, 1) + packed)
        size = 2 + 12 * len(rows) + 4
        return struct.pack(f"{order}H", len(rows)) + b"".join(rows) + struct.pack(f"{order}I", following * (at + size))

    first = directory(value, thumbnail is not None, 8)
    second = directory(thumbnail, False, 0) if thumbnail is not None else b""
    return (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8) + first + second


def xmp(value: int, element: bool = False) -> bytes:
    told = f"><tiff:Orientation>{value}</tiff:Orientation></rdf" if element else f' tiff:Orientation="{value}"/'
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description{told}></x:xmpmeta>'.encode()


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def jpeg_with(picture: np.ndarray, blocks: list[tuple[str, bytes]], before: int = 0) -> bytes:
    """A JPEG with APP1 segments, after ``before`` others."""
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "JPEG", quality=95, subsampling=0)
    parts = [b"\xff\xe2" + struct.pack(">H", 2 + 9) + b"something"] * before
    for name, body in blocks:
        body = {"exif": b"Exif\0\0", "xmp": b"http://ns.adobe.com/xap/1.0/\0"}[name] + body
        parts.append(b"\xff\xe1" + struct.pack(">H", 2 + len(body)) + body)
    return data.getvalue()[:2] + b"".join(parts) + data.getvalue()[2:]


def png_with(picture: np.ndarray, blocks: list[tuple[str, bytes]], after: bool = False) -> bytes:
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "PNG")
    made = {
        "exif": lambda body: chunk(b"eXIf", body),
        "xmp": lambda body: chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + body),
        "profile": lambda body: chunk(b"tEXt", b"Raw profile type exif\0" + profile(body)),
        "packed": lambda body: chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(profile(body))),
    }
    told = b"".join(made[name](body) for name, body in blocks)
    at = len(data.getvalue()) - 12 if after else 33  # before IEND, or after IHDR
    return data.getvalue()[:at] + told + data.getvalue()[at:]


def profile(body: bytes) -> bytes:
    body = b"Exif\0\0" + body
    return f"\nexif\n{len(body):8}\n{body.hex()}\n".encode()


def webp_with(picture: np.ndarray, blocks: list[tuple[str, bytes]]) -> bytes:
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "WEBP", lossless=True)
    height, width = picture.shape[:2]
    names = {"exif": b"EXIF", "xmp": b"XMP "}
    flags = {"exif": 0x08, "xmp": 0x04}
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    parts = [(b"VP8X", bytes([sum({flags[name] for name, _ in blocks}), 0, 0, 0]) + sides)]
    riff = b"".join(n + struct.pack("<I", len(b)) + b + b"\0" * (len(b) % 2) for n, b in parts) + data.getvalue()[12:]
    for name, body in blocks:
        riff += names[name] + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(riff)) + b"WEBP" + riff


def tiff_with(picture: np.ndarray, value: int | None, order: str = "<", kind: int = 3, told: bytes = b"") -> bytes:
    """An uncompressed TIFF; ``told`` is its XMP."""
    height, width = picture.shape[:2]
    pixels = picture.tobytes()
    tags = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, 8), (259, 3, 1, 1), (262, 3, 1, 2)]
    tags += [(273, 4, 1, 8), (277, 3, 1, 3), (278, 3, 1, height), (279, 4, 1, len(pixels))]
    if value is not None:
        tags.append((0x0112, kind, 1, value))
    at = 8 + len(pixels) + len(pixels) % 2
    if told:
        tags.append((700, 1, len(told), 0))
    size = 2 + 12 * len(tags) + 4
    rows = b""
    for tag, number, count, own in sorted(tags):
        if tag == 258:  # three shorts do not fit in
            packed = struct.pack(f"{order}I", at + size)
        elif tag == 700:
            packed = struct.pack(f"{order}I", at + size + 6)
        else:
            packed = struct.pack(order + {1: "B", 3: "H", 4: "I"}[number], own).ljust(4, b"\0")
        rows += struct.pack(f"{order}HHI", tag, number, count) + packed
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", at)
    end = struct.pack(f"{order}H", len(tags)) + rows + bytes(4) + struct.pack(f"{order}3H", 8, 8, 8) + told
    return head + pixels + b"\0" * (len(pixels) % 2) + end


def with_exif(form: str, picture: np.ndarray, value: int | None, order: str = "<", kind: int = 3, **about) -> bytes:
    if form == "tiff":
        return tiff_with(picture, value, order, kind)
    write = {"jpeg": jpeg_with, "png": png_with, "webp": webp_with}[form]
    return write(picture, [("exif", exif(value, order=order, kind=kind, **about))])


def read(data: bytes, name: str = "picture") -> np.ndarray:
    return media.read_picture(HeldFile(name, data))


def as_pillow(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def alike(got: np.ndarray, wanted: np.ndarray) -> bool:
    return got.shape == wanted.shape and float(np.abs(got.astype(int) - wanted).mean()) < 6


# --- all orientations in all formats ---------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("form", FORMATS)
def test_every_orientation_in_every_format(form, value, order):
    data = with_exif(form, stored(), value, order)
    assert alike(read(data), MEANT[value](stored()))
    assert alike(as_pillow(data), MEANT[value](stored()))
    info = media.probe(HeldFile("picture", data))
    assert (info.height, info.width) == MEANT[value](stored()).shape[:2]
    assert info.mirrored == (value in (2, 4, 5, 7))


@pytest.mark.parametrize("value", range(1, 9))
def test_formats_whose_own_boxes_turn_them(value):
    """AVIF has boxes for turn and mirroring; EXIF besides, as phones write it, must not hide them."""
    tags = Image.Exif()
    tags[0x010F], tags[0x0112] = "a camera", value
    data = io.BytesIO()
    Image.fromarray(stored()).save(data, "AVIF", exif=tags, quality=95)
    assert alike(read(data.getvalue()), MEANT[value](stored()))


@pytest.mark.parametrize("container", ["avi", "mov", "mkv"])
@pytest.mark.parametrize("value", range(1, 9))
def test_cameras_that_film_jpegs(tmp_path, value, container):
    """Motion JPEG whose pictures have EXIF, as cameras on a stand write it."""
    import av

    picture = jpeg_with(stored(), [("exif", exif(value))])
    with av.open(str(tmp_path / f"a.{container}"), "w") as out:
        stream = out.add_stream("mjpeg", rate=10)
        stream.height, stream.width = stored().shape[:2]
        stream.pix_fmt = "yuvj420p"
        for number in range(3):
            packet = av.Packet(picture)
            packet.pts = packet.dts = number
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 10), stream, True
            out.mux(packet)
    frames = media.read_video(tmp_path / f"a.{container}").frames_THWC
    assert len(frames) == 3
    assert all(alike(frame, MEANT[value](stored())) for frame in frames)


# --- where it stands, and what must not win --------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["jpeg", "png", "webp"])
def test_a_thumbnails_orientation_is_its_own(form):
    for value, thumbnail in ((2, 6), (1, 7), (6, 1)):
        data = with_exif(form, stored(), value, thumbnail=thumbnail)
        assert alike(read(data), MEANT[value](stored()))
    assert alike(read(with_exif(form, stored(), None, thumbnail=5)), stored())


def test_exif_after_other_segments():
    blocks = [("xmp", xmp(3)), ("exif", exif(5))]
    assert alike(read(jpeg_with(stored(), blocks, before=4)), MEANT[5](stored()))
    filled = jpeg_with(stored(), [("exif", exif(5))])
    assert alike(read(filled[:2] + b"\xff" * 3 + filled[2:]), MEANT[5](stored()))  # bytes that only fill
    twice = [("exif", exif(7)), ("exif", exif(3))]
    assert alike(read(jpeg_with(stored(), twice)), MEANT[7](stored()))
    # A picture within the picture, as in EXIF and in files of several, has markers of its own.
    inner = jpeg_with(stored(8, 12), [("exif", exif(3))])
    assert alike(read(jpeg_with(stored(), [("exif", exif(4) + inner)])), MEANT[4](stored()))
    assert alike(read(jpeg_with(stored(), []) + inner), stored())


def test_exif_after_the_picture_and_in_text_chunks_of_a_png():
    assert alike(read(png_with(stored(), [("exif", exif(4))], after=True)), MEANT[4](stored()))
    for name in ("profile", "packed"):
        data = png_with(stored(), [(name, exif(7))])
        assert alike(read(data), MEANT[7](stored()))
        assert alike(as_pillow(data), MEANT[7](stored()))
    both = png_with(stored(), [("profile", exif(7)), ("exif", exif(2))])
    assert alike(read(both), MEANT[2](stored()))


@pytest.mark.parametrize("element", [False, True])
@pytest.mark.parametrize("form", FORMATS)
def test_xmp_counts_where_exif_does_not_say(form, element):
    def write(value, told):
        if form == "tiff":
            return tiff_with(stored(), value, told=told)
        make = {"jpeg": jpeg_with, "png": png_with, "webp": webp_with}[form]
        return make(stored(), [*([("exif", exif(value))] if value else []), ("xmp", told)])

    for value, told, wanted in ((None, 4, 4), (2, 6, 2), (1, 5, 1), (None, 9, 1)):
        data = write(value, xmp(told, element))
        assert alike(read(data), MEANT[wanted](stored())), (value, told)
        assert alike(as_pillow(data), MEANT[wanted](stored())), (value, told)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("value", [0, 9, 255])
def test_what_is_no_orientation_changes_nothing(form, value):
    assert alike(read(with_exif(form, stored(), value)), stored())


@pytest.mark.parametrize("kind", [1, 3, 4])
@pytest.mark.parametrize("order", ["<", ">"])
def test_numbers_of_any_width(kind, order):
    for form in FORMATS:
        assert alike(read(with_exif(form, stored(), 5, order, kind)), MEANT[5](stored()))


CORRUPT = {
    "nothing": b"",
    "no byte order": b"XX*\0" + exif(5)[4:],
    "cut in the head": exif(5)[:6],
    "cut in the directory": exif(5)[:15],
    "a directory beyond the end": b"II*\0" + struct.pack("<I", 1 << 31) + exif(5)[8:],
    "a directory that claims 65,535 entries": exif(None)[:8] + b"\xff\xff",
    "a directory that points to itself": b"II*\0" + struct.pack("<I", 0),
    "two values": exif(5).replace(struct.pack("<HHI", 0x0112, 3, 1), struct.pack("<HHI", 0x0112, 3, 2)),
    "text": b"orientation: 5",
}


@pytest.mark.parametrize("form", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("what", CORRUPT)
def test_corrupt_exif_turns_nothing(form, what):
    """FFmpeg refuses a PNG for it, which no viewer does."""
    write = {"jpeg": jpeg_with, "png": png_with, "webp": webp_with}[form]
    assert alike(read(write(stored(), [("exif", CORRUPT[what])])), stored())
    if form == "png":
        for name in ("profile", "packed"):
            assert alike(read(png_with(stored(), [(name, CORRUPT[what])])), stored())
        assert alike(read(png_with(stored(), [("exif", b"Exif\0\0" + exif(5))], after=True)), MEANT[5](stored()))


@settings(max_examples=150)
@given(
    form=st.sampled_from(FORMATS),
    value=st.one_of(st.integers(1, 8), st.sampled_from([None, 0, 9])),
    order=st.sampled_from("<>"),
    kind=st.sampled_from([1, 3, 4]),
    thumbnail=st.one_of(st.none(), st.integers(1, 8)),
    more=st.integers(0, 4),
    half=st.tuples(st.integers(4, 12), st.integers(3, 9)),
)
def test_any_exif_in_any_format_reads_as_pillow_reads_it(form, value, order, kind, thumbnail, more, half):
    picture = stored(2 * half[0], 3 * half[1])
    data = with_exif(form, picture, value, order, kind, thumbnail=thumbnail, more=more)
    wanted = MEANT[value if value in MEANT else 1](picture)
    got = read(data)
    assert got.shape == wanted.shape
    if form != "jpeg":  # which mixes the small patches
        np.testing.assert_array_equal(got, wanted)
    if kind != 1:  # Pillow takes a byte for a string of one
        assert np.abs(got.astype(int) - as_pillow(data)).mean() < 6


@settings(max_examples=200)
@given(
    form=st.sampled_from(["jpeg", "png", "webp"]),
    value=st.integers(1, 8),
    at=st.lists(st.tuples(st.integers(0, 80), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.integers(0, 80),
)
def test_damaged_exif_never_breaks_a_picture(form, value, at, cut):
    block = bytearray(exif(value, thumbnail=3, more=2)[: 90 - cut])
    for place, byte in at:
        if place < len(block):
            block[place] = byte
    write = {"jpeg": jpeg_with, "png": png_with, "webp": webp_with}[form]
    got = read(write(stored(), [("exif", bytes(block))]))
    assert any(alike(got, meant(stored())) for meant in MEANT.values())


@settings(max_examples=150)
@given(st.sampled_from(FORMATS), st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=8))
def test_damaged_files_give_a_picture_or_a_reason(form, at):
    data = bytearray(with_exif(form, stored(16, 24), 7))
    for place, byte in at:
        data[place % len(data)] = byte
    with contextlib.suppress(MediaError):
        assert read(bytes(data)).dtype == np.uint8


def test_no_claim_of_a_file_costs_much_time_or_memory():
    endless = jpeg_with(stored(), [])[:2] + b"\xff" * 300_000
    with pytest.raises(MediaError):
        read(endless)
    bomb = chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(bytes(50 << 20)))
    data = png_with(stored(), [])
    assert alike(read(data[:33] + bomb + data[33:]), stored())


# --- a folder of pictures --------------------------------------------------------------------------------------------


def test_pictures_of_one_folder_each_have_their_own_orientation(tmp_path):
    for number, value in enumerate((1, 2, 3, 4), 1):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg_with(stored(), [("exif", exif(value))]))
    frames = media.read_video(tmp_path).frames_THWC
    assert all(alike(frame, MEANT[value](stored())) for frame, value in zip(frames, (1, 2, 3, 4), strict=True))
    rows = media.read_frames(tmp_path, [3, 1])
    assert alike(rows[0], MEANT[4](stored()))
    assert alike(rows[1], MEANT[2](stored()))


def test_a_folder_whose_pictures_are_turned_to_another_size_is_refused(tmp_path):
    (tmp_path / "1.png").write_bytes(png_with(stored(), [("exif", exif(2))]))
    (tmp_path / "2.png").write_bytes(png_with(stored(), [("exif", exif(5))]))
    for way in (media.read_video, lambda folder: media.read_frames(folder, [0, 1])):
        with pytest.raises(MediaError, match=r"2\.png.*32x48.*48x32") as caught:
            way(tmp_path)
        assert caught.value.reason == "decode-error"
    # Two that are turned alike have one size again.
    (tmp_path / "1.png").write_bytes(png_with(stored(), [("exif", exif(8))]))
    assert media.read_video(tmp_path).frames_THWC.shape == (2, 48, 32, 3)


def test_a_box_counts_in_pixels_as_displayed():
    file = HeldFile("a.png", png_with(stored(), [("exif", exif(5))]))
    whole = MEANT[5](stored())
    cut = next(media.iter_frames(file, box_px=(4, 10, 20, 40)))[1]
    np.testing.assert_array_equal(cut, whole[10:40, 4:20])
