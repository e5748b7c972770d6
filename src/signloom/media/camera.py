"""Frames as they come: from a webcam, or from a file as if it were filmed now."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from signloom.errors import MediaError
from signloom.media.pixels import import_cv2
from signloom.media.read import iter_frames, probe

PATIENCE_S = 3.0
"""A camera that gives no frame for so long is gone."""


class Filmed(NamedTuple):
    """One frame, uint8 (H, W, 3) RGB, and when it was filmed: seconds since the source was opened."""

    time_s: float
    frame: np.ndarray


class Source(Protocol):
    """Where frames come from."""

    name: str
    ended: bool
    """Whether no frame will ever come again, as at the end of a file."""

    def read(self) -> Filmed | None:
        """The next frame; None where the source has ended or is gone."""
        ...

    def open_again(self) -> bool:
        """Whether a source that was gone is back."""
        ...

    def close(self) -> None: ...


class Webcam:
    """A camera of this machine, by number. Frames that nobody took in time are left out: the newest is read.

    Raises MediaError (reason ``no-camera`` or ``camera-busy``) with what is to be done.
    """

    def __init__(self, number: int, size_px: tuple[int, int] = (640, 480)):
        self.name = f"camera {number}"
        self.ended = False
        self._number, self._size_px = number, size_px
        self._begun = time.monotonic()
        self._news = threading.Condition()
        self._latest: Filmed | None = None
        self._capture: Any = None
        self._reader: threading.Thread | None = None
        self._open()

    def read(self) -> Filmed | None:
        with self._news:
            self._news.wait_for(lambda: self._latest is not None or self._reader is None, timeout=PATIENCE_S)
            found, self._latest = self._latest, None
        return found

    def open_again(self) -> bool:
        self.close()
        try:
            self._open()
        except MediaError:
            return False
        return True

    def close(self) -> None:
        capture, reader = self._capture, self._reader
        self._capture = self._reader = None
        if reader is not None:
            reader.join(timeout=2)
        if capture is not None:
            capture.release()

    def _open(self) -> None:
        cv2 = import_cv2()
        known = list_cameras()
        there = ", ".join(f"{n} ({what})" for n, what in known) or "none"
        if sys.platform == "linux" and not Path(f"/dev/video{self._number}").exists():
            raise MediaError(
                f"there is no camera {self._number}; there are: {there}. Plug one in, give another number (--camera "
                "help lists them), or a file (--file)",
                "no-camera",
            )
        if hasattr(cv2, "setLogLevel"):
            cv2.setLogLevel(0)  # what goes wrong is told below
        capture = cv2.VideoCapture(self._number)
        if capture.isOpened():
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, self._size_px[0])
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self._size_px[1])
        if not capture.isOpened() or not capture.read()[0]:
            capture.release()
            raise MediaError(
                f"camera {self._number} gives no picture: another program may be using it, or this user may not (on "
                f"Linux, the group 'video'). Close the other program, or give another: {there}",
                "camera-busy",
            )
        self._capture = capture
        self._reader = threading.Thread(target=self._run, args=(capture,), daemon=True, name=self.name)
        self._reader.start()

    def _run(self, capture: Any) -> None:
        while self._capture is capture:
            taken, frame = capture.read()
            now = time.monotonic() - self._begun
            with self._news:
                if not taken:
                    self._reader = None
                    self._news.notify_all()
                    return
                self._latest = Filmed(now, np.ascontiguousarray(frame[:, :, ::-1]))  # OpenCV's are BGR
                self._news.notify_all()


class FilmedFile:
    """A video file, played as fast as it was filmed (``as_filmed``), or as fast as its frames are taken."""

    def __init__(self, path: Path, *, as_filmed: bool = True):
        probe(path)  # the error for what is no video comes now
        self.name, self.ended = str(path), False
        self._frames: Iterator[tuple[float, np.ndarray]] = iter_frames(path)
        self._as_filmed, self._begun = as_filmed, time.monotonic()

    def read(self) -> Filmed | None:
        found = next(self._frames, None)
        if found is None:
            self.ended = True
            return None
        if self._as_filmed and (early := self._begun + found[0] - time.monotonic()) > 0:
            time.sleep(early)
        return Filmed(*found)

    def open_again(self) -> bool:
        return False

    def close(self) -> None:
        self.ended = True


def list_cameras() -> list[tuple[int, str]]:
    """The cameras of this machine that are known without opening them, (number, name); on Linux alone."""
    found = []
    for place in sorted(Path("/sys/class/video4linux").glob("video*"), key=lambda p: (len(p.name), p.name)):
        number = place.name.removeprefix("video")
        try:
            index = (place / "index").read_text().strip()  # the first node of a camera gives pictures
            name = (place / "name").read_text(errors="replace").strip()
        except OSError:
            continue
        if number.isdigit() and index in ("0", ""):
            found.append((int(number), name))
    return found
