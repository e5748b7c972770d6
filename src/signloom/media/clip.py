"""One file opened by FFmpeg: its container, its picture track, what they promise, and the frames with their times.

Only formats on a list, never a file that another file names; see docs/decisions/0002-reading-video.md.
"""

from __future__ import annotations

import errno
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from typing import Any, BinaryIO, NamedTuple

from signloom.errors import MediaError
from signloom.media.headers import Header, read_header
from signloom.media.limits import DEFAULT_FPS, PLAUSIBLE_FPS, Limits, fail, other_length
from signloom.media.local_files import PICTURE_SUFFIXES, open_regular
from signloom.media.orientation import exif_chunks
from signloom.media.pixels import plain

# Demuxers that read one self-contained file. Everything else is refused by name before it sees a byte: playlists
# (hls, concat, dash, sdp …) that open other files or addresses, devices, and the ones that take text for pictures.
_DEMUXERS = (
    "mov,matroska,avi,gif,mpegts,mpeg,mpegvideo,flv,asf,ogg,mxf,nut,dv,rm,ivf,obu,h264,hevc,vvc,m4v,mjpeg,apng,"
    "yuv4mpegpipe,png_pipe,jpeg_pipe,bmp_pipe,webp_pipe,ppm_pipe,pgm_pipe,tiff_pipe,wav,mp3,flac,aac"
)

# Fewer frames than this short of the container's count is tolerated: containers count frames that no decoder shows.
_SHORT_FRAMES = 2
_SHORT_SHARE = 0.05

LONGEST_GAP_S = 600.0  # between two frames; more is a broken clock, not a pause


class Key(NamedTuple):
    """A frame that decoding may begin at: its number, its time of presentation and of decoding in the track's units."""

    number: int
    pts: int
    dts: int | None


class NotSought(Exception):
    """Seeking did not lead to the frames that were expected: decode from the start."""


@contextmanager
def open_clip(path: str | os.PathLike[str], limits: Limits, *, part: bool = False) -> Iterator[Clip]:
    """Open a video or a single picture within ``limits``, its header read first; a ``part`` of any file of whatever
    size. Raises MediaError."""
    import av

    with open_regular(path, None if part else limits.max_bytes) as file:
        header = read_header(file, path)
        if header.size_px:
            _check_size(path, *header.size_px, limits)
        size = file.seek(0, os.SEEK_END)
        source = _Source(file, _name_for_ffmpeg(path), exif_chunks(file) if header.kind == "PNG" else ())
        file.seek(0)
        try:
            container = av.open(
                source,
                mode="r",
                container_options={"format_whitelist": _DEMUXERS, "protocol_whitelist": ""},
                options={"max_pixels": str(limits.max_side_px**2)},
                metadata_errors="replace",
                buffer_size=1 << 18,
                io_open=_refuse_other_files,
            )
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise _not_opened(path, header, error) from error
        with container:
            stream = _picture_track(path, container)
            _check_size(path, stream.width, stream.height, limits)
            # One thread a clip: corpora are mapped over processes, and the bytes never depend on timing.
            stream.codec_context.thread_count = 1
            yield Clip(path, header, size, container, stream, limits)


class Clip:
    """An opened file: its container, its picture track, and what the two promise."""

    def __init__(self, path, header: Header, size: int, container, stream, limits: Limits):
        self.path, self.size, self.container, self.stream, self.limits = path, size, container, stream, limits
        self.watch = Watch(limits.max_seconds)
        self.fps = next((float(r) for r in (stream.average_rate, stream.guessed_rate) if plausible_rate(r)), None)
        self.step_s = 1 / (self.fps or DEFAULT_FPS)
        self.ends_early = header.ends_early
        self.indexed = header.indexed
        self.orientation = header.orientation
        self.promised_frames: int | None = stream.frames or None
        self.hidden_frames = 0
        if header.indexed:
            # The index names every frame that is there. Those that an edit list hides are decoded but never shown.
            index = [(entry.pos + entry.size, entry.is_discard) for entry in stream.index_entries]
            self.promised_frames = sum(not hidden for _, hidden in index) or self.promised_frames
            # FFmpeg marks hidden frames, or leaves them out of its index; the stream counts them all.
            self.hidden_frames = max(len(index), stream.frames) - (self.promised_frames or 0)
            beyond = sum(end > size for end, _ in index)
            if beyond:
                self.ends_early = f"cut off: the data of {beyond} of its {len(index)} frames is missing"

    @property
    def duration_s(self) -> float | None:
        stream, container = self.stream, self.container
        if stream.duration and stream.time_base:
            return float(stream.duration * stream.time_base)
        return container.duration / 1e6 if container.duration else None

    def fail(self, reason: str, what: str) -> MediaError:
        return fail(self.path, reason, what)

    def check_count(self, n_frames: int | None) -> None:
        """Refuse a file of another number of frames than the clip whose stream it is (None: not known)."""
        if n_frames is not None and self.promised_frames is not None and self.promised_frames != n_frames:
            raise other_length(self.path, self.promised_frames, n_frames)

    def check_size(self, width: int, height: int) -> None:
        _check_size(self.path, width, height, self.limits)

    def check_length(self, first_frame: int, end_frame: int | None) -> None:
        """Refuse by the header alone what would break the frame cap, before any frame is decoded."""
        if self.promised_frames is None:
            return
        wanted = min(self.promised_frames, end_frame or self.promised_frames) - first_frame
        if wanted > self.limits.max_frames:
            raise self.fail(
                "too-long", f"{wanted:,} frames; at most {self.limits.max_frames:,}. Cut it, or raise max_frames"
            )

    def check_end(self, n: int, first_frame: int, end_frame: int | None) -> None:
        """Called when the file ran out after ``n`` frames: was that what was promised and asked for?"""
        if self.ends_early:
            raise self.fail("truncated", f"{self.ends_early}; {n} frames can be decoded")
        if n == 0:
            raise self.fail("no-frames", f"a {self.stream.codec_context.name} track in which no frame can be decoded")
        if clearly_short(n, self.promised_frames):
            raise self.fail("truncated", f"it promises {self.promised_frames} frames, of which {n} can be decoded")
        self.check_range(n, first_frame, end_frame)

    def check_range(self, n: int, first_frame: int, end_frame: int | None) -> None:
        """Refuse a range that a file of ``n`` frames does not have."""
        if n <= first_frame:
            raise self.fail("no-frames", f"it has {n} frames; the clip should start at frame {first_frame}")
        if end_frame is not None and clearly_short(n - first_frame, end_frame - first_frame):
            raise self.fail("truncated", f"it has {n} frames; the clip should end at frame {end_frame}")

    def _packets_from(self, key: Key) -> Iterator[Any]:
        """Packets from that of ``key`` on: the decoder sees nothing that lies before it. Raises NotSought."""
        import av

        try:
            self.container.seek(key.pts if key.dts is None else key.dts, stream=self.stream)
        except (av.error.FFmpegError, OSError) as error:
            raise NotSought from error
        there = False
        for packet in self.container.demux(self.stream):
            there = there or (packet.is_keyframe and packet.pts == key.pts)
            if there:
                yield packet
            elif packet.is_keyframe and packet.pts is not None and packet.pts > key.pts:
                raise NotSought
        if not there:
            raise NotSought

    def decode(self, key: Key | None = None) -> Iterator[tuple[float | None, Any]]:
        """(presentation time or None, frame) for every frame the decoder gives, flushed at the end; from ``key`` on.

        Raises NotSought where ``key`` is not found.
        """
        import av

        shown = 0
        # AVI stores no presentation times, only an even grid in decoding order: the n-th frame shown has the n-th slot.
        slots: deque[int | None] | None = deque() if self.container.format.name == "avi" else None
        try:
            for packet in self.container.demux(self.stream) if key is None else self._packets_from(key):
                if self.watch.over:
                    raise self.fail("timeout", f"not read within {self.limits.max_seconds:g} s ({shown} frames so far)")
                if slots is not None and packet.size:
                    slots.append(packet.dts)
                if packet.is_corrupt and packet.size:
                    at_end = packet.pos is not None and packet.pos + packet.size >= self.size
                    reason = "truncated" if at_end or self.ends_early else "decode-error"
                    raise self.fail(reason, f"the data of frame {shown} or of one soon after it is not whole")
                for frame in packet.decode():
                    if key is not None and frame.pts is not None and frame.pts < key.pts:
                        continue  # shown before the key frame and decoded after it, without what it refers to
                    if frame.is_corrupt:
                        raise self.fail("decode-error", f"frame {shown} is damaged")
                    pts = frame.pts if slots is None else slots.popleft() if slots else None
                    yield None if pts is None else float(pts * self.stream.time_base), frame
                    shown += 1
        except (av.error.FFmpegError, OSError) as error:
            reason = "truncated" if self.ends_early else "decode-error" if self.stream.width else "bad-header"
            raise self.fail(reason, f"damaged at frame {shown}: {plain(error)}") from error

    def timed(self) -> Iterator[tuple[float, Any]]:
        """(time_s, frame): timestamps that increase and are sensible, whatever the file says. Settles ``fps``."""
        frames = self.decode()
        head = list(islice(frames, 2))
        stamps = [pts_s for pts_s, _ in head if pts_s is not None]
        gap_s = stamps[1] - stamps[0] if len(stamps) == 2 else None
        believe = True
        if gap_s is not None and gap_s <= 0:  # a clock that stands still; the codec may have a rate of its own
            believe = False
            rate = self.stream.codec_context.framerate
            self.fps = float(rate) if plausible_rate(rate) else DEFAULT_FPS
        elif self.fps is None:
            believe = gap_s is not None and plausible_rate(1 / gap_s)
            self.fps = None if believe else DEFAULT_FPS
        self.step_s = 1 / self.fps if self.fps else gap_s or 1 / DEFAULT_FPS
        previous_s: float | None = None
        for pts_s, frame in chain(head, frames):
            if previous_s is None:
                time_s = pts_s if believe and pts_s is not None else 0.0
            elif believe and pts_s is not None and 0 < pts_s - previous_s < LONGEST_GAP_S:
                time_s = pts_s
            else:
                time_s = previous_s + self.step_s
            yield time_s, frame
            previous_s = time_s


class Watch:
    """Wall clock spent on one clip, without the time its consumer takes between frames."""

    def __init__(self, max_seconds: float):
        self.left_s = max_seconds
        self.since = time.monotonic()

    def pause(self) -> None:
        self.left_s -= time.monotonic() - self.since

    def go_on(self) -> None:
        self.since = time.monotonic()

    @property
    def over(self) -> bool:
        return time.monotonic() - self.since > self.left_s


def plausible_rate(rate: Any) -> bool:
    """Whether a video may have so many frames a second."""
    return rate is not None and PLAUSIBLE_FPS[0] <= float(rate) <= PLAUSIBLE_FPS[1]


def clearly_short(n: int, promised: int | None) -> bool:
    """Whether ``n`` frames are fewer than ``promised`` by more than containers miscount."""
    return promised is not None and promised - n >= _SHORT_FRAMES and promised - n > _SHORT_SHARE * promised


def _name_for_ffmpeg(path: str | os.PathLike[str]) -> str:
    """The file's name, a picture's without its suffix: by that, FFmpeg would take it for one of a numbered series."""
    root, suffix = os.path.splitext(os.fspath(path))
    return root if suffix.lower() in PICTURE_SUFFIXES else root + suffix


def _check_size(path, width: int, height: int, limits: Limits) -> None:
    if max(width, height) > limits.max_side_px:
        raise fail(path, "too-large", f"{width}x{height} pixels; at most {limits.max_side_px} a side")


class _Source:
    """What FFmpeg may do with the file. A damaged file sends it to impossible places: that is refused, not raised.

    The four bytes at each place of ``hidden`` read as a chunk that FFmpeg passes over.
    """

    def __init__(self, file: BinaryIO, name: str, hidden: Sequence[int] = ()):
        self.name, self.tell, self._file, self._hidden = name, file.tell, file, hidden
        self.read = self._read_around if hidden else file.read

    def _read_around(self, n: int = -1) -> bytes:
        start = self._file.tell()
        data = bytearray(self._file.read(n))
        for place in self._hidden:
            for k, byte in enumerate(b"prVt"):
                if 0 <= place + k - start < len(data):
                    data[place + k - start] = byte
        return bytes(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError):
            return -errno.EINVAL


def _refuse_other_files(url, flags, options):
    raise PermissionError(f"refused to open '{url}': a clip may not open other files or addresses")


def _picture_track(path, container):
    import av

    tracks = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not tracks:
        kinds = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        raise fail(path, "no-video", f"no picture track; it holds {kinds}")
    tracks.sort(key=lambda s: (not s.disposition & av.stream.Disposition.default, s.index))
    stream = tracks[0]
    if stream.codec_context is None:
        raise fail(path, "decode-error", "the picture track's codec has no decoder here. Convert it to H.264")
    return stream


def _not_opened(path, header: Header, error: Exception) -> MediaError:
    if header.ends_early:
        return fail(path, "truncated", header.ends_early)
    if header.kind is None:
        return fail(path, "not-media", f"not a video in any format that signloom reads ({plain(error)})")
    return fail(path, "bad-header", f"a {header.kind} file whose header cannot be read: {plain(error)}")
