"""Between decoded frames and RGB arrays: colour, orientation, pixel shape, boxes, sizes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import numpy as np

from signloom.errors import InputError, MissingExtraError
from signloom.media.orientation import TURNS


class Look:
    """How a clip's frames become pictures: colour matrix, size, orientation, box. Fixed by the first frame used."""

    def __init__(self, clip: Any, frame, box_px=None):
        import av

        self.clip = clip
        self.stored = (frame.width, frame.height)
        self.turn = TURNS[clip.orientation] if clip.orientation else _display_matrix(frame)
        a, b, c, d = self.turn
        self.mirrored = a * d - b * c < 0
        across = (-a, -b) if self.mirrored else (a, b)
        self.rotation_deg = {(1, 0): 0, (0, 1): 90, (-1, 0): 180, (0, -1): 270}[across]
        self.wide, self.high = self._square_pixels(frame)
        self.width, self.height = (self.wide, self.high) if a else (self.high, self.wide)
        clip.check_size(self.width, self.height)
        self.box = None if box_px is None else _whole_box(box_px, self.width, self.height)
        self.reformatter = av.video.reformatter.VideoReformatter()

    def _square_pixels(self, frame) -> tuple[int, int]:
        """Stored size stretched (never shrunk) to square pixels; a change under 1 % is a rounding, not a shape."""
        width, height = frame.width, frame.height
        aspect = self.clip.stream.sample_aspect_ratio
        if not aspect or aspect == 1:
            return width, height
        if not Fraction(1, 8) <= aspect <= 8:
            raise self.clip.fail("bad-header", f"pixels {aspect.numerator}:{aspect.denominator} wide:high")
        if aspect > 1:
            wide = round(width * aspect)
            return (wide, height) if wide > 1.01 * width else (width, height)
        high = round(height / aspect)
        return (width, high) if high > 1.01 * height else (width, height)

    def picture(self, frame) -> np.ndarray:
        """RGB uint8 (H, W, 3), turned upright and cut to the box."""
        import av
        from av.video.reformatter import ColorRange, Interpolation

        if (frame.width, frame.height) != self.stored:
            was, now = "x".join(map(str, self.stored)), f"{frame.width}x{frame.height}"
            raise self.clip.fail("decode-error", f"the picture's size changes from {was} to {now} midway")
        # By way of planes: swscale's exact conversion is twice as fast there, and its packed fast one is up to 20
        # levels off at edges, since it repeats chroma instead of interpolating it. Bit-exact: no CPU gives other bytes.
        alpha = any(component.is_alpha for component in frame.format.components)
        exact = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.BITEXACT
        try:
            converted = self.reformatter.reformat(
                frame,
                width=self.wide,
                height=self.high,
                format="gbrap" if alpha else "gbrp",
                src_colorspace=_matrix(self.clip, frame),
                dst_color_range=ColorRange.JPEG,
                interpolation=Interpolation.BILINEAR | exact,
                threads=1,
            )
        except (av.error.FFmpegError, ValueError) as error:
            what = f"a frame in pixel format {frame.format.name} cannot be turned into RGB: {plain(error)}"
            raise self.clip.fail("decode-error", what) from error
        green, blue, red, *opacity = (self._cut(plane) for plane in converted.planes)
        picture = np.stack((red, green, blue), axis=-1)
        if opacity:
            weighted = picture * opacity[0][..., None].astype(np.uint16)
            picture = ((weighted + 127) // 255).astype(np.uint8)
        return picture

    def _cut(self, plane) -> np.ndarray:
        upright = _upright(plane_samples(plane), self.turn)
        if self.box is None:
            return upright
        x0, y0, x1, y1 = self.box
        return upright[y0:y1, x0:x1]


def plane_samples(plane: Any) -> np.ndarray:
    """A view (H, W) of an 8-bit plane, without the padding at the end of its rows."""
    return np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]


def _matrix(clip: Any, frame) -> int | None:
    """The YUV matrix (FFmpeg's number): as tagged; untagged, by size, as players do: HD is BT.709, smaller BT.601."""
    if frame.format.is_rgb:
        return None
    if frame.colorspace in (0, 2, 3):  # RGB (which this is not), unspecified, reserved
        return 1 if frame.width >= 1280 or frame.height > 576 else 5
    matrix = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}.get(frame.colorspace)
    if matrix is None:
        raise clip.fail("decode-error", f"colour matrix {frame.colorspace} is not supported. Convert it to BT.709")
    return matrix


def _display_matrix(frame) -> tuple[int, int, int, int]:
    """(a, b, c, d), each −1, 0 or 1: display x = a·x + c·y, display y = b·x + d·y of the stored picture."""
    matrices = [bytes(data) for data in _side_data(frame) if data.type.name == "DISPLAYMATRIX"]
    if not matrices:
        return (1, 0, 0, 1)
    a, b, _, c, d, *_ = (float(v) for v in np.frombuffer(matrices[0], np.int32))
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return (1 if a >= 0 else -1, 0, 0, 1 if d >= 0 else -1)
    return (0, 1 if b >= 0 else -1, 1 if c >= 0 else -1, 0)


def _side_data(frame) -> Iterable[Any]:
    """What goes with the frame. PyAV lists none of it where there is a kind that it does not know, such as EXIF."""
    import av
    from av.sidedata.sidedata import Type

    try:
        return list(frame.side_data)
    except ValueError:
        graph = av.filter.Graph()
        last: Any = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1, 25)
        )
        source, later = last, 1 + max(int(kind.value) for kind in list[Any](Type))
        for unknown in range(later, later + _LATER_KINDS):
            without = graph.add("sidedata", f"mode=delete:type={unknown}")
            last.link_to(without)
            last = without
        sink = graph.add("buffersink")
        last.link_to(sink)
        graph.configure()
        source.push(frame)
        return list(sink.pull().side_data)


_LATER_KINDS = 16  # so many more kinds may FFmpeg know than PyAV: EXIF is the fourth after its last


def _upright(picture: np.ndarray, turn: tuple[int, int, int, int]) -> np.ndarray:
    a, b, c, d = turn
    if a:
        return picture[:: 1 if d > 0 else -1, :: 1 if a > 0 else -1]
    return picture.T[:: 1 if b > 0 else -1, :: 1 if c > 0 else -1]


def _whole_box(box_px, width: int, height: int) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = (float(v) for v in box_px)
    if not all(math.isfinite(v) for v in (x0, y0, x1, y1)):
        raise InputError(f"box {tuple(box_px)} has a coordinate that is not a number")
    box = (max(math.floor(x0), 0), max(math.floor(y0), 0), min(math.ceil(x1), width), min(math.ceil(y1), height))
    if box[0] >= box[2] or box[1] >= box[3]:
        raise InputError(
            f"box {tuple(box_px)} has nothing of the {width}x{height} picture; boxes are (x0, y0, x1, y1) in pixels"
        )
    return box


def checked_frame(frame: np.ndarray, number: int, channels: tuple[int, ...] = (3,)) -> np.ndarray:
    """The frame as an array. Raises InputError, by its ``number``, unless it is uint8 (H, W, *channels)."""
    frame = np.asarray(frame)
    if frame.dtype != np.uint8 or frame.ndim != 2 + len(channels) or frame.shape[2:] != channels or 0 in frame.shape:
        wanted = "(H, W, 3) RGB" if channels else "(H, W)"
        raise InputError(f"frame {number} is {frame.dtype} {frame.shape}; wanted uint8 {wanted}")
    return frame


def to_yuv420(frame: np.ndarray):
    """The frame as limited-range BT.709 4:2:0, its chroma on every second pixel column, where H.264 puts it.

    swscale would put it half a pixel further right, and PyAV has no way to tell it otherwise: it only does the matrix.
    """
    import av
    from av.video.reformatter import ColorRange, Colorspace, Interpolation

    height, width = frame.shape[:2]
    if height % 2 or width % 2:
        frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    full = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24").reformat(
        format="yuv444p",
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
        interpolation=Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.BITEXACT,
        threads=1,
    )
    luma, *chroma = (plane_samples(plane) for plane in full.planes)
    packed = np.concatenate((luma.ravel(), *(_halved(plane).ravel() for plane in chroma)))
    return av.VideoFrame.from_ndarray(packed.reshape(-1, luma.shape[1]), format="yuv420p")


def _halved(chroma: np.ndarray) -> np.ndarray:
    """Half the rows, by their means, and half the columns, by 1-2-1 about the even ones."""
    rows = chroma[::2].astype(np.uint16) + chroma[1::2]
    before = np.concatenate((rows[:, :1], rows[:, 1:-1:2]), axis=1)
    return ((before + 2 * rows[:, ::2] + rows[:, 1::2] + 4) >> 3).astype(np.uint8)


def import_cv2():
    """OpenCV, imported late. Raises MissingExtraError with the install line where it or a system library is missing."""
    try:
        import cv2
    except ImportError as error:
        what = str(error)
        if "lib" in what and ".so" in what:
            raise MissingExtraError(
                f"OpenCV needs a system library that is not installed ({what}). Run: "
                "sudo apt-get install libgl1 libglib2.0-0   (Debian, Ubuntu), or: "
                "sudo dnf install mesa-libGL glib2   (Fedora, RHEL)"
            ) from error
        raise MissingExtraError(f"OpenCV is not installed ({what}). Run: pip install opencv-contrib-python") from error
    return cv2


def resize_shorter_side(frame: np.ndarray, shorter_px: int) -> np.ndarray:
    """Resize uint8 (H, W, 3) so that its shorter side is ``shorter_px``; aspect kept to the nearest even longer side.

    Downsizing averages areas (no aliasing), upsizing is cubic; pixel centres stand at +0.5 in both.
    Raises InputError unless ``shorter_px`` is even and at least 2.
    """
    if shorter_px < 2 or shorter_px % 2:
        raise InputError(f"shorter_px must be an even number from 2 up (video has even sides); got {shorter_px}")
    height, width = frame.shape[:2]
    scale = shorter_px / min(height, width)
    new_h, new_w = (
        shorter_px if side == min(height, width) else 2 * round(side * scale / 2) for side in (height, width)
    )
    if (new_h, new_w) == (height, width):
        return frame
    cv2 = import_cv2()
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(np.ascontiguousarray(frame), (new_w, new_h), interpolation=how)


def plain(error: Exception) -> str:
    """The error's own words, without number, file name or log."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
