"""Deliberately broken (and merely odd) media, made on the spot: what a folder of footage holds sooner or later.

Loaded by tests/conftest.py, which offers it as the fixtures ``encode_clip`` and ``broken_inputs``.
"""

from __future__ import annotations

import io
import os
import random
import struct
import wave
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

N_FRAMES = 24
WIDTH, HEIGHT = 64, 48


@dataclass(frozen=True)
class BrokenInput:
    """A file and what reading it must give: ``ok`` with ``n_frames`` (None: any number), else one of ``reasons``."""

    path: Path
    kind: str
    ok: bool
    reasons: tuple[str, ...] = ()
    n_frames: int | None = None


def moving_square(n: int = N_FRAMES, height: int = HEIGHT, width: int = WIDTH, seed: int = 0) -> np.ndarray:
    """uint8 (T, H, W, 3): a textured background with a bright square that moves; frame number in the left column."""
    rng = np.random.default_rng(seed)
    back = rng.integers(40, 160, (height // 4 + 1, width // 4 + 1, 3), np.uint8).repeat(4, 0).repeat(4, 1)
    frames = np.repeat(back[None, :height, :width], n, axis=0)
    side = max(height // 4, 1)
    for t in range(n):
        x = (t * 2) % max(width - side, 1)
        frames[t, side : 2 * side, x : x + side] = (250, 220, 30)
    return frames


def nearest(frames: np.ndarray, source: np.ndarray) -> list[int]:
    """For each frame, the index of the source frame it looks most like."""
    return [int(np.abs(source.astype(int) - frame).mean((1, 2, 3)).argmin()) for frame in frames]


def encode_clip(
    path: Path,
    frames: np.ndarray,
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    fps: float | Fraction = 25,
    matrix: int | None = None,
    full_range: bool | None = None,
    options: dict[str, str] | None = None,
    movflags: str = "",
    pts: list[int] | None = None,
    time_base: Fraction | None = None,
    aspect: Fraction | None = None,
    turn: tuple[float, bool] | None = None,
    planes: bool = False,
) -> Path:
    """Encode ``frames`` straight through PyAV, with every knob that the package's own writer keeps fixed.

    ``matrix`` is FFmpeg's number (1: BT.709, 6: BT.601, 9: BT.2020), tagged and used. ``turn`` is (degrees
    counter-clockwise, mirrored). ``planes``: the frames already are in ``pix_fmt`` and are not converted.
    """
    import av
    from av.video.reformatter import ColorRange, Interpolation

    rate = Fraction(fps).limit_denominator(100_000)
    swscale_matrix = {None: 5, 1: 1, 6: 5, 9: 9}[matrix]
    container_options = {"movflags": movflags} if movflags else {}
    with av.open(str(path), "w", container_options=container_options) as container:
        stream = container.add_stream(codec, rate=rate, options={"threads": "1", **(options or {})})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        context = stream.codec_context
        context.gop_size = 12
        context.time_base = time_base or 1 / rate
        if matrix is not None:
            context.colorspace = matrix
        if full_range is not None:
            context.color_range = 2 if full_range else 1
        if aspect is not None:
            context.sample_aspect_ratio = aspect
        if turn is not None:
            stream.set_display_rotation(turn[0], hflip=turn[1])
        full = full_range if full_range is not None else pix_fmt.startswith("yuvj")
        for number, frame in enumerate(frames):
            if planes:
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format=pix_fmt)
            else:
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24").reformat(
                    format=pix_fmt,
                    dst_colorspace=swscale_matrix,
                    src_color_range=ColorRange.JPEG,
                    dst_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
                    interpolation=Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP,
                )
            picture.pts = number if pts is None else pts[number]
            picture.time_base = time_base or 1 / rate
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def make_broken_inputs(folder: Path) -> list[BrokenInput]:
    """Fill ``folder`` with more than fifty files, each odd in its own way; the same bytes every time."""
    folder.mkdir(parents=True, exist_ok=True)
    made: list[BrokenInput] = []

    def bad(name: str, data: bytes | None, kind: str, *reasons: str) -> Path:
        path = folder / name
        if data is not None:
            path.write_bytes(data)
        made.append(BrokenInput(path, kind, False, reasons))
        return path

    def good(name: str, data: bytes | None, kind: str, n_frames: int | None = N_FRAMES) -> Path:
        path = folder / name
        if data is not None:
            path.write_bytes(data)
        made.append(BrokenInput(path, kind, True, (), n_frames))
        return path

    frames = moving_square()

    def clip(name: str, **settings) -> bytes:
        path = encode_clip(folder / f".{name}", settings.pop("frames", frames), **settings)
        data = path.read_bytes()
        path.unlink()
        return data

    first = clip("first.mp4", movflags="+faststart", options={"bf": "2"})  # index before the data
    last = clip("last.mp4")  # index after the data, as cameras write it
    plain = clip("plain.mp4", options={"bf": "0"})  # without the edit list that B-frames bring
    rng = random.Random(0)

    # nothing, noise, and things that are not video at all
    bad("zero_bytes.mp4", b"", "zero bytes", "empty")
    bad("zero_filled.mp4", bytes(50_000), "zero-filled", "not-media")
    bad("random.mp4", rng.randbytes(20_000), "random bytes", "not-media")
    bad("text.mp4", b"G01, Hi: a note, not a clip.\n" * 40, "text named .mp4", "not-media")
    bad("page.mp4", b"<!DOCTYPE html><html><body>404 Not Found</body></html>", "web page named .mp4", "not-media")
    bad(
        "pointer.mp4",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
        "LFS pointer",
        "not-media",
    )
    bad("table.mp4", b'{"label": "G01", "clips": []}', "JSON named .mp4", "not-media")
    bad("one_byte.mp4", b"\x00", "one byte", "not-media")

    # an mp4 cut at every kind of place
    moov, mdat = first.index(b"moov") - 4, first.index(b"mdat") - 4
    bad("cut_ftyp.mp4", first[:12], "mp4 cut inside ftyp", "truncated")
    bad("cut_before_moov.mp4", first[:moov], "mp4 cut before moov", "truncated")
    bad("cut_moov.mp4", first[: moov + 300], "mp4 cut inside moov", "truncated")
    bad("cut_before_mdat.mp4", first[:mdat], "mp4 without its data", "truncated")
    bad("cut_mdat_start.mp4", first[: mdat + 12], "mp4 cut at the start of the data", "truncated")
    bad("cut_middle.mp4", first[: (mdat + len(first)) // 2], "mp4 cut in the middle", "truncated")
    bad("cut_last_byte.mp4", first[:-1], "mp4 without its last byte", "truncated")
    bad("cut_no_index.mp4", last[: last.index(b"moov") // 2], "mp4 cut before its index", "truncated")
    bad("cut_in_index.mp4", last[: last.index(b"moov") + 200], "mp4 cut inside its index", "truncated")
    parts = clip("parts.mp4", movflags="frag_keyframe+empty_moov")
    bad("cut_fragment.mp4", parts[: parts.rindex(b"mdat") + 40], "fragmented mp4 cut in its last part", "truncated")
    bad("init_only.mp4", parts[: parts.index(b"moof") - 4], "fragmented mp4 of no fragments", "no-frames")

    # other containers, cut
    for suffix, codec, settings in (
        ("mkv", "libx264", {}),
        ("webm", "libvpx-vp9", {"options": {"cpu-used": "8", "deadline": "realtime"}}),
        ("avi", "mpeg4", {}),
        ("mov", "libx264", {}),
    ):
        whole = clip(f"whole.{suffix}", codec=codec, **settings)
        good(f"whole.{suffix}", whole, f"{suffix}, whole")
        bad(f"cut.{suffix}", whole[: len(whole) * 6 // 10], f"{suffix} cut in the middle", "truncated")
    gif = clip("whole.gif", codec="gif", pix_fmt="rgb8")
    good("whole.gif", gif, "gif, whole")
    bad("cut.gif", gif[: len(gif) // 2], "gif cut in the middle", "truncated")
    png, jpeg = encode_picture("png", frames[0]), encode_picture("mjpeg", frames[0])
    bad("cut.png", png[: len(png) // 2], "png cut in the middle", "truncated")
    bad("cut.jpg", jpeg[: len(jpeg) // 2], "jpg cut in the middle", "truncated")

    # damage inside, and headers that lie
    hole = (mdat + len(first)) // 2
    bad("hole.mp4", first[:hole] + bytes(400) + first[hole + 400 :], "zeros in the middle of the data", "decode-error")
    flipped = bytearray(first)
    for at in range(hole, hole + 300, 7):
        flipped[at] ^= 0xFF
    bad("flipped.mp4", bytes(flipped), "flipped bytes in the middle", "decode-error")
    bad("no_codec.mp4", first.replace(b"avc1", b"zzzz"), "mp4 of an unknown codec", "decode-error", "no-video")
    bad("billion.mp4", _table(first, b"stsz", 8, ">II", 100, 10**9), "mp4 claiming 10^9 frames", "bad-header")
    bad("more_entries.mp4", _table(first, b"stsz", 8, ">II", 0, 10**8), "mp4 claiming a long table", "bad-header")
    bad("fewer_entries.mp4", _table(first, b"stsz", 12, ">I", 2), "mp4 whose table of sizes is cut", "bad-header")
    bad("beyond.mp4", _table(first, b"stco", 12, ">I", 10**8), "mp4 whose index points past its end", "truncated")
    bad("huge.png", _png_size(png, 60_000, 60_000), "png header of 60000x60000", "too-large")
    bad("huge.gif", gif[:6] + struct.pack("<HH", 65_535, 65_535) + gif[10:], "gif header of 65535x65535", "too-large")
    avi = (folder / "whole.avi").read_bytes()
    raw = clip("raw.avi", frames=frames[:2], codec="rawvideo", pix_fmt="bgr24")
    bad("huge.avi", _avi_size(raw, 60_000, 60_000), "avi header of 60000x60000", "too-large", "bad-header")
    good("wrong_size.avi", _avi_size(avi, 60_000, 60_000), "avi header of 60000x60000, but its frames know better")
    lie = _avi_frames(avi, 10 * N_FRAMES)
    bad("liar.avi", lie.replace(b"idx1", b"JUNK"), "avi without index claiming ten times its frames", "truncated")
    good("wrong_count.avi", lie, "avi claiming ten times its frames, but its index knows better")
    small = clip("a.h264")
    large = clip("b.h264", frames=moving_square(height=64, width=96))
    bad("two_sizes.h264", small + large, "picture size changes midway", "decode-error")

    # odd, but readable
    good("one_frame.mp4", clip("one.mp4", frames=frames[:1]), "1 frame", 1)
    good("zero_fps.mp4", _table(plain, b"stts", 16, ">I", 0), "mp4 of 0 fps (all frames last 0 s)")
    good("fps_90000.mp4", _fps_90000(plain), "mp4 of 90000 fps")
    good("odd_size.mkv", clip("odd.mkv", frames=frames[:, :47, :63], codec="ffv1", pix_fmt="bgr0"), "63x47 pixels")
    good("rotated.mp4", clip("turned.mp4", turn=(-90, False)), "rotated by its display matrix")
    good("garbage_after.mp4", first + rng.randbytes(5000), "garbage after the end")
    good("png_named.jpg", png, "png named .jpg", 1)
    good("mp4_named.avi", first, "mp4 named .avi")
    good("手話 – žuta ünïcode 🤟 (1).mp4", first, "unicode and spaces in the name")
    good("file:100%d 'quoted' \"twice\";$HOME.mp4", first, "characters that shells and FFmpeg treat apart")
    good("-i.mp4", first, "a name that looks like an option")
    good(f"{'long' * 60}.mp4", first, "a very long name")

    # sound without pictures
    bad("sound.mp4", _wav(), "wav named .mp4", "no-video")
    bad("sound.m4a", _sound(folder / ".sound.m4a"), "audio only", "no-video")

    # files that point to other files
    bad(
        "list.m3u8",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nwhole.mov\n#EXT-X-ENDLIST\n",
        "HLS list",
        "not-media",
    )
    bad("hls_named.mp4", b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n", "HLS list named .mp4", "not-media")
    bad("concat.mp4", b"ffconcat version 1.0\nfile whole.mov\n", "concat list named .mp4", "not-media")
    bad("dash.mp4", b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>', "DASH list", "not-media")
    bad("sdp.mp4", b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n", "SDP named .mp4", "not-media")

    # not regular files, or not to be read
    (folder / "folder.mp4").mkdir(exist_ok=True)
    (folder / "folder.mp4" / "notes.txt").write_text("a folder")
    bad("folder.mp4", None, "folder named like a clip", "directory")
    _link(folder / "dangling.mp4", "no_such_file.mp4")
    bad("dangling.mp4", None, "broken symbolic link", "missing")
    _link(folder / "loop.mp4", "loop.mp4")
    bad("loop.mp4", None, "symbolic link to itself", "missing")
    _link(folder / "link.mp4", "whole.mov")
    good("link.mp4", None, "symbolic link to a clip")
    if not (folder / "pipe.mp4").exists():
        os.mkfifo(folder / "pipe.mp4")
    bad("pipe.mp4", None, "named pipe", "not-media")
    locked = folder / "locked.mp4"
    if locked.exists():
        locked.chmod(0o600)
    locked.write_bytes(first)
    locked.chmod(0)
    if os.access(locked, os.R_OK):  # the superuser reads everything
        good("locked.mp4", None, "no permission to read (but for the superuser)")
    else:
        bad("locked.mp4", None, "no permission to read", "permission")

    # poses
    pose = _pose()
    good("whole.pose", pose, ".pose, whole", 5)
    bad("empty.pose", b"", "empty .pose", "empty")
    bad("text.pose", b"x y confidence\n0.1 0.2 0.9\n", "text named .pose", "not-media")
    bad("zero_filled.pose", bytes(2000), "zero-filled .pose", "not-media")
    bad("cut_header.pose", pose[:30], ".pose cut in its header", "truncated")
    bad("cut_body.pose", pose[:-40], ".pose cut in its body", "truncated")
    body = len(pose) - 10 - 5 * 3 * 4 * 4
    frames_at = body + 4
    bad("billion.pose", _patched(pose, frames_at, struct.pack("<I", 10**9)), ".pose claiming 10^9 frames", "too-long")
    bad("liar.pose", _patched(pose, frames_at, struct.pack("<I", 50)), ".pose claiming more frames", "truncated")
    bad("still.pose", _patched(pose, body, struct.pack("<f", 0)), ".pose of 0 fps", "bad-header")
    bad("nobody.pose", _patched(pose, body + 8, struct.pack("<H", 0)), ".pose of no people", "bad-header")
    return made


def _patched(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def _table(data: bytes, name: bytes, skip: int, form: str, *values: int) -> bytes:
    """``data`` with ``values`` written ``skip`` bytes after the name of its first box called ``name``."""
    return _patched(data, data.index(name) + skip, struct.pack(form, *values))


def _fps_90000(data: bytes) -> bytes:
    """An mp4 whose frames last one tick each at 90000 ticks a second."""
    data = _table(data, b"mdhd", 16, ">I", 90_000)
    return _table(data, b"stts", 16, ">I", 1)


def _png_size(png: bytes, width: int, height: int) -> bytes:
    import zlib

    header = b"IHDR" + struct.pack(">II", width, height) + png[24:29]
    return png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]


def _avi_size(avi: bytes, width: int, height: int) -> bytes:
    avi = _patched(avi, avi.index(b"avih") + 8 + 32, struct.pack("<II", width, height))
    return _patched(avi, avi.index(b"strf") + 8 + 4, struct.pack("<ii", width, height))


def _avi_frames(avi: bytes, n: int) -> bytes:
    avi = _patched(avi, avi.index(b"avih") + 8 + 16, struct.pack("<I", n))
    return _patched(avi, avi.index(b"strh") + 8 + 32, struct.pack("<I", n))


def encode_picture(codec: str, frame: np.ndarray) -> bytes:
    """One uint8 (H, W, 3) RGB picture as the bytes of a ``png`` or ``mjpeg`` file."""
    import av

    context = av.CodecContext.create(codec, "w")
    context.height, context.width = frame.shape[:2]
    context.pix_fmt = "rgb24" if codec == "png" else "yuvj444p"
    context.time_base = Fraction(1, 25)
    picture = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format=context.pix_fmt)
    picture.pts = 0
    return b"".join(bytes(p) for p in (*context.encode(picture), *context.encode(None)))


def _wav() -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(np.sin(np.arange(8000) / 3).astype(np.float32).tobytes()[:16_000])
    return buffer.getvalue()


def _sound(path: Path) -> bytes:
    import av

    with av.open(str(path), "w", format="ipod") as container:
        stream = container.add_stream("aac", rate=8000)
        stream.layout = "mono"
        for number in range(8):
            wave_form = np.sin(np.arange(1024, dtype=np.float32) / 3)[None]
            frame = av.AudioFrame.from_ndarray(wave_form, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 8000, number * 1024
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    data = path.read_bytes()
    path.unlink()
    return data


def _link(path: Path, target: str) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def _pose() -> bytes:
    """A .pose of 5 frames, 1 person, 3 points with x, y, z and confidence."""
    from pose_format import Pose
    from pose_format.numpy import NumPyPoseBody
    from pose_format.pose_header import PoseHeader, PoseHeaderComponent, PoseHeaderDimensions

    hand = PoseHeaderComponent("HAND", ["WRIST", "THUMB", "INDEX"], [(0, 1), (0, 2)], [(255, 0, 0)], "XYZC")
    header = PoseHeader(0.2, PoseHeaderDimensions(64, 48, 0), [hand])
    data = np.random.default_rng(0).uniform(0, 48, (5, 1, 3, 3)).astype(np.float32)
    buffer = io.BytesIO()
    Pose(header, NumPyPoseBody(25.0, data, np.ones((5, 1, 3), np.float32))).write(buffer)
    return buffer.getvalue()
