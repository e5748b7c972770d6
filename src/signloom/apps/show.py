"""What a live recogniser shows: the picture with what was found in it, the state in words, and a window for it."""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np

from signloom.apps.live import Live, State, shown
from signloom.data.holistic_points import N_POINTS
from signloom.errors import InputError
from signloom.media import import_cv2
from signloom.media.flow_files import flow_of_codes
from signloom.streams.flow import colour_wheel

WHITE, BLACK, GREEN, RED, YELLOW = (255, 255, 255), (0, 0, 0), (90, 220, 120), (240, 80, 70), (250, 210, 80)
_FULL_FLOW_PX = 8.0
_HANDS = ((501, 522), (522, 543))
_ARMS = ((11, 12), (11, 13), (13, 15), (12, 14), (14, 16), (11, 23), (12, 24), (23, 24))
_FINGERS = tuple((a, a + 1) for root in (1, 5, 9, 13, 17) for a in range(root, root + 3)) + tuple(
    (0, root) for root in (1, 5, 9, 13, 17)
)


def words(live: Live) -> list[tuple[str, tuple[int, int, int]]]:
    """What is to be read on the picture, line by line with its colour."""
    if live.state is State.WAIT:
        return [("SPACE: record a sign   Q: end", WHITE)]
    if live.state is State.COUNTDOWN:
        return [(f"{int(np.ceil(live.left_s))}", YELLOW)]
    if live.state is State.RECORD:
        return [(f"REC {live.left_s:.1f} s   Q: stop", RED)]
    if live.state is State.LOST:
        return [("The camera is gone. Plug it in again.", RED)]
    if live.state is State.ANSWER and live.answer is not None and live.answer.prediction is not None:
        prediction = live.answer.prediction
        lines = [(f"{label}  {100 * p:.0f} %", GREEN) for label, p in prediction.top(3)]
        return [("none of these; nearest:", YELLOW), *lines] if prediction.none_of_these else lines
    return []


def picture(frame: np.ndarray, live: Live, *, mirror: bool = False) -> np.ndarray:
    """``frame``, uint8 (H, W, 3) RGB, as it is shown: with pose or flow, mirrored where asked for, words upright."""
    cv2 = import_cv2()
    seen = shown(live.latest) if live.state in (State.RECORD, State.ANSWER) else None
    drawn = frame.copy()
    if seen is not None:
        name, sample = seen
        drawn = _with_flow(drawn, sample, live) if name == "flow" else _with_pose(drawn, sample)
    if mirror:
        drawn = np.ascontiguousarray(drawn[:, ::-1])
    scale = max(0.5, frame.shape[0] / 600)
    for row, (text, colour) in enumerate(words(live)):
        at = (int(14 * scale), int((34 + 36 * row) * scale))
        text = text.encode("ascii", "replace").decode()  # OpenCV's letters; the terminal has the others
        for shade, thick in ((BLACK, 5), (colour, 2)):
            cv2.putText(
                drawn, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, shade, max(1, int(thick * scale)), cv2.LINE_AA
            )
    return drawn


def _with_pose(frame: np.ndarray, points_PC: np.ndarray) -> np.ndarray:
    """The arms and hands that were found, as lines."""
    cv2 = import_cv2()
    if np.ndim(points_PC) != 2 or len(points_PC) < N_POINTS:  # rows beyond are the estimator's notes
        return frame
    lines = [(a, b, WHITE) for a, b in _ARMS]
    for (start, _), colour in zip(_HANDS, (GREEN, YELLOW)):
        lines += [(start + a, start + b, colour) for a, b in _FINGERS]
    for a, b, colour in lines:
        if points_PC[a, 3] > 0.3 and points_PC[b, 3] > 0.3:
            ends = [tuple(int(v) for v in points_PC[k, :2]) for k in (a, b)]
            cv2.line(frame, ends[0], ends[1], colour, 2, cv2.LINE_AA)
    return frame


def _with_flow(frame: np.ndarray, codes: np.ndarray, live: Live) -> np.ndarray:
    """The flow in colours, small, in the lower right corner."""
    cv2 = import_cv2()
    stream = live.predictor.streams["flow"]
    colours = colour_wheel(flow_of_codes(codes, stream.limit_px), _FULL_FLOW_PX)
    height = frame.shape[0] // 3
    small = cv2.resize(colours, (height * colours.shape[1] // colours.shape[0], height))
    frame[-small.shape[0] :, -small.shape[1] :] = small[:, : frame.shape[1]]
    return frame


class Window:
    """A window of OpenCV's. Raises InputError where there is no screen."""

    def __init__(self, title: str):
        if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise InputError(
                "there is no screen (DISPLAY is not set), and a window needs one. Give --no-window: the answers are "
                "then printed as JSON lines"
            )
        self._cv2: Any = import_cv2()
        self._title = title
        try:
            self._cv2.namedWindow(title, self._cv2.WINDOW_NORMAL)
        except self._cv2.error as error:
            raise InputError(f"no window can be opened ({error.err}). Give --no-window") from error

    def show(self, image: np.ndarray) -> str:
        """Show uint8 (H, W, 3) RGB; the key that was pressed, '' for none."""
        self._cv2.imshow(self._title, np.ascontiguousarray(image[:, :, ::-1]))
        key = self._cv2.waitKey(1) & 0xFF
        closed = self._cv2.getWindowProperty(self._title, self._cv2.WND_PROP_VISIBLE) < 1
        return "\x1b" if closed else "" if key == 0xFF else chr(key)

    def close(self) -> None:
        self._cv2.destroyWindow(self._title)
