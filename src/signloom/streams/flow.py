"""Optical flow: how far each pixel moved since the frame before, by DIS, Farnebäck or TV-L1."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from signloom import media
from signloom.data.skeleton import shoulder_width_px
from signloom.data.stream import ClipInfo, File, Stream, Timed
from signloom.errors import InputError, MediaError, MissingExtraError
from signloom.media import import_cv2
from signloom.media.flow_files import codes_of_flow
from signloom.streams.frames import FramesStream
from signloom.streams.pose import PoseStream

BODY_UNIT = 50.0
"""Flow in body units counts fiftieths of the signer's shoulder width per frame: ±20 holds the fastest signing."""

LEAST_PX = 16  # a side; below that DIS has no room for its patches

_TVL1 = {
    "tau": 0.25,
    "lambda": 0.15,
    "theta": 0.3,
    "nscales": 5,
    "warps": 5,
    "epsilon": 0.01,
    "inner": 30,
    "outer": 10,
    "scale_step": 0.8,
    "median": 5,
}
_FARNEBACK = {"scale": 0.5, "levels": 3, "window_px": 15, "iterations": 3, "poly_n": 5, "poly_sigma": 1.2}

PRESETS: Mapping[str, Mapping[str, Mapping[str, float]]] = {
    # Kroeger et al. 2016, as OpenCV has it: coarse patches to full variational refinement.
    "dis": {
        "fast": {"preset": 1},
        "ultrafast": {"preset": 0},
        "medium": {"preset": 2},
    },
    # Farnebäck 2003, with the values of OpenCV's documentation.
    "farneback": {"default": _FARNEBACK},
    # Zach, Pock & Bischof 2007. fast: as published with recognisers that read flow; default: OpenCV's; original:
    # Sánchez, Meinhardt-Llopis & Facciolo 2013 (IPOL), without OpenCV's median filter.
    "tvl1": {
        "fast": {**_TVL1, "scale_step": 0.5, "warps": 3, "epsilon": 0.02},
        "default": _TVL1,
        "original": {**_TVL1, "scale_step": 0.5, "inner": 300, "outer": 1, "median": 1},
    },
}
"""The parameters of every method and preset; the first preset of a method is its default."""

CHOICES = tuple(f"{method}-{preset}" for method, presets in PRESETS.items() for preset in presets)
"""Names that :meth:`Flow.named` takes, beside the bare methods."""


@dataclass(frozen=True)
class Flow:
    """Optical flow of consecutive frames: float32 (H, W, 2), (x, y), the first one zero, cut to ±``limit_px``.

    Flow at (row, column) is how far what stood there in the frame before has moved, in pixels per frame. ``units``
    "body" gives it in fiftieths of the signer's shoulder width instead, the same however near the camera stands, and
    ``limit_px`` then bounds those values. ``preset`` "" is the method's default; see :data:`PRESETS`.
    Raises InputError for a method, preset or unit that there is not.
    """

    method: str = "dis"
    preset: str = ""
    limit_px: float = 20.0
    units: str = "pixels"
    version: ClassVar[int] = 1

    def __post_init__(self):
        if self.method not in PRESETS:
            raise InputError(f"Flow.method: got '{self.method}', expected one of {', '.join(PRESETS)}")
        presets = PRESETS[self.method]
        if not self.preset:
            object.__setattr__(self, "preset", next(iter(presets)))
        if self.preset not in presets:
            raise InputError(f"Flow.preset of {self.method}: got '{self.preset}', expected one of {', '.join(presets)}")
        if self.units not in ("pixels", "body"):
            raise InputError(f"Flow.units: got '{self.units}', expected 'pixels' or 'body'")
        if not (math.isfinite(self.limit_px) and self.limit_px > 0):
            raise InputError(f"Flow.limit_px: got {self.limit_px}, expected a number above 0")

    @classmethod
    def named(cls, name: str, **settings: Any) -> Flow:
        """The flow called "dis-fast", "tvl1-original" … (:data:`CHOICES`) or by its method alone. Raises InputError."""
        method, _, preset = name.partition("-")
        if method not in PRESETS or (preset and preset not in PRESETS[method]):
            raise InputError(f"flow '{name}': there is {', '.join(CHOICES)}")
        return cls(method=method, preset=preset, **settings)

    @property
    def name(self) -> str:
        """Method and preset, as :meth:`named` takes them."""
        return f"{self.method}-{self.preset}"

    def fingerprint(self) -> dict[str, Any]:
        """What made the flow: method, its parameters, limit, units. Models refuse another one."""
        made = {"extractor": "flow", "method": self.method, "preset": self.preset}
        parameters = dict(PRESETS[self.method][self.preset])
        unit = {"body_unit": BODY_UNIT} if self.units == "body" else {}
        return {
            **made,
            "parameters": parameters,
            "limit_px": self.limit_px,
            "units": self.units,
            **unit,
            "version": self.version,
        }

    def start(self, *, shoulder_px: float | None = None) -> RunningFlow:
        """Flow for frames that come one at a time. ``shoulder_px``, the shoulder width in these frames, is needed in
        body units. Raises InputError without it."""
        return RunningFlow(self, shoulder_px)

    def of_frames(self, frames: Iterable[np.ndarray], *, shoulder_px: float | None = None) -> Iterator[np.ndarray]:
        """The flow of each of ``frames`` (uint8 (H, W, 3) RGB), streaming; values as :meth:`start` gives them."""
        running = self.start(shoulder_px=shoulder_px)
        for frame in frames:
            yield running.push(frame)


class RunningFlow:
    """Flow frame by frame: the very values that a whole clip gives, on any number of threads. Holds one grey frame."""

    def __init__(self, flow: Flow, shoulder_px: float | None = None):
        if flow.units == "body" and not (shoulder_px and math.isfinite(shoulder_px) and shoulder_px > 0):
            raise InputError(
                f"flow in body units needs the signer's shoulder width in pixels; got {shoulder_px}. It comes from the "
                "stream 'pose'"
            )
        self.flow = flow
        self._factor = np.float32(BODY_UNIT / shoulder_px) if flow.units == "body" and shoulder_px else None
        self._before: np.ndarray | None = None
        self._between = _method(flow)

    def push(self, frame: np.ndarray) -> np.ndarray:
        """The flow from the frame pushed before to ``frame`` (uint8 (H, W, 3) RGB); zero for the first.

        Raises InputError for another kind or size of frame.
        """
        cv2 = import_cv2()
        frame = np.asarray(frame)
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or min(frame.shape[:2]) < LEAST_PX:
            raise InputError(
                f"flow: got a frame {frame.dtype} {frame.shape}; wanted uint8 (H, W, 3) RGB of at least {LEAST_PX} "
                "pixels a side"
            )
        grey = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)
        before, self._before = self._before, grey
        if before is None:
            return np.zeros((*grey.shape, 2), np.float32)
        if before.shape != grey.shape:
            raise InputError(f"flow: a frame of {grey.shape} pixels came after one of {before.shape}")
        moved = np.asarray(self._between(before, grey), np.float32)
        if self._factor is not None:
            moved = moved * self._factor
        if not np.isfinite(moved).all():
            raise InputError(f"flow: {self.flow.name} gave values that are not numbers")
        return np.clip(moved, -np.float32(self.flow.limit_px), np.float32(self.flow.limit_px))


def _method(flow: Flow):
    """The function (grey before, grey) -> flow in pixels."""
    cv2 = import_cv2()
    p = PRESETS[flow.method][flow.preset]
    if flow.method == "dis":
        dis = cv2.DISOpticalFlow_create(int(p["preset"]))
        return lambda before, grey: dis.calc(before, grey, None)
    if flow.method == "farneback":
        levels, window, iterations, poly_n = (int(p[k]) for k in ("levels", "window_px", "iterations", "poly_n"))
        return lambda before, grey: cv2.calcOpticalFlowFarneback(
            before, grey, None, p["scale"], levels, window, iterations, poly_n, p["poly_sigma"], 0
        )
    if not hasattr(cv2, "optflow"):
        raise MissingExtraError(
            "TV-L1 is in OpenCV's contributed modules, which are not installed. Run: pip install opencv-contrib-python"
        )
    tvl1 = cv2.optflow.DualTVL1OpticalFlow_create(
        p["tau"],
        p["lambda"],
        p["theta"],
        int(p["nscales"]),
        int(p["warps"]),
        p["epsilon"],
        int(p["inner"]),
        int(p["outer"]),
        p["scale_step"],
        0.0,
        int(p["median"]),
        False,
    )
    return lambda before, grey: tvl1.calc(before, grey, None)


def colour_wheel(flow_THW2: np.ndarray, full_px: float = 8.0) -> np.ndarray:
    """Flow (…, H, W, 2) as colours, uint8 (…, H, W, 3) RGB: hue is direction, saturation size, white no motion.

    Right is red, down yellow-green, left cyan, up violet; ``full_px`` pixels per frame and more are fully saturated.
    After the colour coding of the Middlebury benchmark (Baker et al. 2011), with evenly spaced hues.
    """
    flow = np.asarray(flow_THW2, np.float32)
    if flow.ndim < 3 or flow.shape[-1] != 2:
        raise InputError(f"flow of shape {flow.shape}; wanted (…, H, W, 2)")
    if not full_px > 0:
        raise InputError(f"full_px must be above 0; got {full_px}")
    x, y = flow[..., 0], flow[..., 1]
    sextant = (np.arctan2(y, x) / (2 * np.pi) % 1.0 * 6)[..., None]
    size = np.minimum(np.hypot(x, y) / np.float32(full_px), 1.0)[..., None]
    # How far each of red, green and blue stands from full, going round the wheel.
    away = (sextant - np.array([0, 2, 4], np.float32) + 3) % 6 - 3
    pure = np.clip(2 - np.abs(away), 0, 1)
    return np.rint(255 * (1 - size * (1 - pure))).astype(np.uint8)


# --- the stream -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FlowStream(Stream):
    """Optical flow of the resized frames before they are compressed, 8 bits a value (signloom.media.flow_files).

    Settings as in :class:`Flow`. Samples are codes, uint8 (H, W, 2), 128 where nothing moves: what the file holds.
    """

    method: str = "dis"
    preset: str = ""
    limit_px: float = 20.0
    units: str = "pixels"
    frames: FramesStream = field(default_factory=FramesStream)
    pose: PoseStream = field(default_factory=PoseStream)
    name = "flow"
    suffix = ".mp4"
    lossless = True

    def __post_init__(self):
        object.__setattr__(self, "preset", self.flow.preset)

    @classmethod
    def of_fingerprint(cls, made: Mapping[str, Any], others: Mapping[str, Stream]) -> FlowStream:
        """The stream whose fingerprint is ``made``; ``others`` of the corpus share what they can."""
        frames, pose = others.get("frames"), others.get("pose")
        if not isinstance(frames, FramesStream):
            frames = FramesStream()
        if "pose" in made:
            pose = PoseStream.of_fingerprint(made["pose"], {})
        return cls(
            **{k: made[k] for k in ("method", "preset", "limit_px", "units") if k in made},
            frames=replace(frames, shorter_px=made.get("shorter_px", frames.shorter_px)),
            pose=pose if isinstance(pose, PoseStream) else PoseStream(),
        )

    @property
    def flow(self) -> Flow:
        """What finds the flow."""
        return Flow(self.method, self.preset, self.limit_px, self.units)

    @property
    def requires(self) -> tuple[str, ...]:
        return ("frames",)

    @property
    def requires_whole(self) -> tuple[str, ...]:
        return ("pose",) if self.units == "body" else ()

    def fingerprint(self) -> dict[str, Any]:
        made = {**self.flow.fingerprint(), "shorter_px": self.frames.shorter_px}
        return {**made, "pose": self.pose.fingerprint()} if self.units == "body" else made

    def open(self, info: ClipInfo) -> _Measuring:
        """Raises MediaError(reason="no-shoulders") where body units cannot be told."""
        if self.units != "body":
            return _Measuring(self.flow, None)
        joints = info.complete["pose"]
        width = shoulder_width_px(joints)
        if not width:
            raise MediaError(
                f"clip '{info.id}': both shoulders are never seen, so its flow has no body units; use pixels",
                "no-shoulders",
            )
        return _Measuring(self.flow, width / joints.size_px[0])

    @contextmanager
    def writer(self, file: Path, info: ClipInfo) -> Iterator[Callable[[np.ndarray], None]]:
        with media.open_flow_writer(file, info.fps, self.limit_px, units=self.units) as add:
            yield add

    def read(self, file: File, rows: np.ndarray | Sequence[int] | None = None) -> np.ndarray:
        """Codes, uint8 (T, H, W, 2)."""
        return media.read_flow_codes(file, rows)

    def read_of(self, file: File, rows: np.ndarray | Sequence[int] | None, n_frames: int | None) -> np.ndarray:
        return media.read_flow_codes(file, rows, n_frames=n_frames)


class _Measuring:
    """``shoulders`` is the shoulder width as a share of the picture's."""

    def __init__(self, flow: Flow, shoulders: float | None):
        self._flow, self._shoulders = flow, shoulders
        self._running: RunningFlow | None = None

    def push(self, time_s: float, samples: Mapping[str, np.ndarray]) -> list[Timed]:
        frame = samples["frames"]
        if self._running is None:
            width = None if self._shoulders is None else self._shoulders * frame.shape[1]
            self._running = self._flow.start(shoulder_px=width)
        return [Timed(time_s, codes_of_flow(self._running.push(frame), self._flow.limit_px))]

    def close(self) -> list[Timed]:
        return []
