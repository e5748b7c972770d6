"""Changes of how pictures look; nothing moves. Sizes are shares of the picture's shorter side, amounts of its range."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import numpy as np

from signloom.errors import InputError
from signloom.media import list_pictures, read_picture
from signloom.transforms.augment.draw import Facts, Scene
from signloom.transforms.augment.points import Points

# --- what was drawn -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Grains:
    """Single pixels of one ``value``."""

    share: float
    value: int
    seed: int
    needs: ClassVar[tuple[str, ...]] = ()

    def paint(self, frame: np.ndarray, number: int, scene: Scene) -> np.ndarray:
        import cv2

        height, width = frame.shape[:2]
        y, x = _elsewhere(self.seed, number)
        field = _scattered(self.share, self.value, height + _SPARE[0], width + _SPARE[1])
        seen = field[y : y + height, x : x + width]
        return cv2.max(frame, seen) if self.value else cv2.min(frame, seen)


_SPARE = (97, 89)
"""A field of noise is so much larger than a frame. One is drawn, and each frame of a copy sees another part of it: that
is as new to the eye, and many times as quick as drawing each."""


def _elsewhere(seed: int, number: int) -> tuple[int, int]:
    y, x = np.random.Generator(np.random.SFC64([seed, number])).integers(0, _SPARE)
    return int(y), int(x)


@lru_cache(maxsize=8)
def _scattered(share: float, value: int, height: int, width: int) -> np.ndarray:
    """``value`` in a ``share`` of the pixels, and in the others what changes nothing."""
    hit = np.random.Generator(np.random.SFC64(value)).random((height, width, 1), np.float32) < share
    return np.repeat(np.where(hit, np.uint8(value), np.uint8(255 - value)), 3, 2)


@dataclass(frozen=True)
class _Smoothed:
    """``way``: "mean" or "median" over ``size`` pixels, or "gauss" of sigma ``size``."""

    way: str
    size: float
    needs: ClassVar[tuple[str, ...]] = ()

    def paint(self, frame: np.ndarray, number: int, scene: Scene) -> np.ndarray:
        import cv2

        if self.way == "mean":
            return cv2.blur(frame, (int(self.size), int(self.size)))
        if self.way == "median":
            return cv2.medianBlur(frame, int(self.size))
        return cv2.GaussianBlur(frame, (0, 0), self.size)


@dataclass(frozen=True)
class _Levels:
    """Every level through one table: contrast about the middle, brightness, gamma."""

    brightness: float
    contrast: float
    gamma: float
    needs: ClassVar[tuple[str, ...]] = ()

    def paint(self, frame: np.ndarray, number: int, scene: Scene) -> np.ndarray:
        import cv2

        return cv2.LUT(frame, _table(self.brightness, self.contrast, self.gamma))


@lru_cache(maxsize=64)
def _table(brightness: float, contrast: float, gamma: float) -> np.ndarray:
    level = (np.linspace(0, 1, 256) ** gamma - 0.5) * contrast + 0.5 + brightness
    return (level.clip(0, 1) * 255).round().astype(np.uint8)


@dataclass(frozen=True)
class _Coloured:
    """A 3×3 matrix on RGB."""

    rows: tuple[tuple[float, ...], ...]
    needs: ClassVar[tuple[str, ...]] = ()

    def paint(self, frame: np.ndarray, number: int, scene: Scene) -> np.ndarray:
        import cv2

        return cv2.transform(frame, np.array(self.rows, np.float32))


@dataclass(frozen=True)
class _Grainy:
    """Grain of standard deviation ``amount``, another in each frame."""

    amount: float
    seed: int
    needs: ClassVar[tuple[str, ...]] = ()

    def paint(self, frame: np.ndarray, number: int, scene: Scene) -> np.ndarray:
        import cv2

        height, width = frame.shape[:2]
        field = _field(self.seed, self.amount, height + _SPARE[0], width + _SPARE[1])
        y, x = _elsewhere(self.seed, number)
        return cv2.add(frame, field[y : y + height, x : x + width], dtype=cv2.CV_8U)


@lru_cache(maxsize=32)
def _field(seed: int, amount: float, height: int, width: int) -> np.ndarray:
    rng = np.random.Generator(np.random.SFC64(seed))
    return (rng.standard_normal((height, width, 3), np.float32) * np.float32(amount * 255)).round().astype(np.int16)


@dataclass(frozen=True)
class _Pressed:
    """Through JPEG of a ``quality``."""

    quality: int
    needs: ClassVar[tuple[str, ...]] = ()

    def paint(self, frame: np.ndarray, number: int, scene: Scene) -> np.ndarray:
        import cv2

        done, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, self.quality])
        assert done
        return cv2.imdecode(data, cv2.IMREAD_COLOR)


@dataclass(frozen=True)
class _Patch:
    """A patch of a ``colour`` that glides from ``start`` by ``step`` a frame; places and ``size`` are shares."""

    start: tuple[float, float]
    step: tuple[float, float]
    size: tuple[float, float]
    colour: tuple[int, int, int]
    needs: ClassVar[tuple[str, ...]] = ()

    def paint(self, frame: np.ndarray, number: int, scene: Scene) -> np.ndarray:
        height, width = frame.shape[:2]
        side = min(height, width)
        wide, high = round(self.size[0] * side), round(self.size[1] * side)
        x = round((self.start[0] + self.step[0] * number) * width - wide / 2)
        y = round((self.start[1] + self.step[1] * number) * height - high / 2)
        changed = frame.copy()
        changed[max(y, 0) : max(y + high, 0), max(x, 0) : max(x + wide, 0)] = self.colour
        return changed


@dataclass(frozen=True)
class _Behind:
    """Another background: ``file``, or a blend of two colours with ``grain``."""

    colours: tuple[tuple[int, int, int], tuple[int, int, int]]
    grain: float
    seed: int
    file: str = ""
    needs: ClassVar[tuple[str, ...]] = ("mask",)

    def paint(self, frame: np.ndarray, number: int, scene: Scene) -> np.ndarray:
        import cv2

        assert scene.mask is not None
        height, width = frame.shape[:2]
        person = np.clip(scene.mask(frame), 0, 1).astype(np.float32)
        return cv2.blendLinear(frame, _backdrop(self, width, height), person, 1 - person)


@lru_cache(maxsize=32)
def _backdrop(behind: _Behind, width: int, height: int) -> np.ndarray:
    import cv2

    if behind.file:
        picture = read_picture(behind.file)
        scale = max(width / picture.shape[1], height / picture.shape[0])
        size = max(width, round(picture.shape[1] * scale)), max(height, round(picture.shape[0] * scale))
        large = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        x, y = (size[0] - width) // 2, (size[1] - height) // 2
        return np.ascontiguousarray(large[y : y + height, x : x + width])
    rng = np.random.default_rng(behind.seed)
    # A wall in uneven light: a coarse field of weights between two colours, and texture on it.
    weight = cv2.resize(rng.random((4, 5), np.float32), (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
    first, second = (np.array(c, np.float32) for c in behind.colours)
    texture = cv2.GaussianBlur(rng.standard_normal((height, width), np.float32), (0, 0), 1.5)[..., None]
    return (first * weight + second * (1 - weight) + texture * behind.grain * 255).clip(0, 255).astype(np.uint8)


@dataclass(frozen=True)
class _Dressed:
    """Clothes of another colour: hue turned by ``hue_deg``, saturation and lightness times two factors."""

    hue_deg: float
    saturation: float
    lightness: float
    needs: ClassVar[tuple[str, ...]] = ("points",)

    def paint(self, frame: np.ndarray, number: int, scene: Scene) -> np.ndarray:
        import cv2

        assert scene.points is not None
        weight = clothes_mask(frame, scene.points, number)
        if weight is None:
            return frame
        hsv = cv2.cvtColor(frame, cv2.COLOR_RGB2HSV)
        table = np.arange(256, dtype=np.float32)
        tables = (
            (table + self.hue_deg / 2) % 180,
            np.clip(table * self.saturation, 0, 255),
            np.clip(table * self.lightness, 0, 255),
        )
        lut = np.stack(tables, -1).astype(np.uint8)[None]
        other = cv2.cvtColor(cv2.LUT(hsv, lut), cv2.COLOR_HSV2RGB)
        return cv2.blendLinear(other, frame, weight, 1 - weight)


@dataclass(frozen=True)
class _Faceless:
    """The face covered by one colour, but for hands before it, and its points lost."""

    margin: float
    needs: ClassVar[tuple[str, ...]] = ("points",)

    def paint(self, frame: np.ndarray, number: int, scene: Scene) -> np.ndarray:
        import cv2

        assert scene.points is not None
        place = face_ellipse(scene.points, number)
        if place is None:
            return frame
        (x, y), (wide, high) = place
        grow = 1 + self.margin
        cover = np.zeros(frame.shape[:2], np.uint8)
        cv2.ellipse(cover, ((float(x), float(y)), (float(wide * grow), float(high * grow)), 0.0), (255,), -1)
        for hand in scene.points.layout.hands:  # one before the face is still seen
            found = hand[scene.points.here_TP[number, hand]]
            if len(found) > 2:
                cv2.fillConvexPoly(cover, cv2.convexHull(_whole(scene.points.xy_TPC[number, found])), (0,))
        changed = frame.copy()
        changed[cover > 0] = 128
        return changed

    def fault(self, points: Points) -> Points:
        sure = points.sure_TP.copy()
        sure[:, points.layout.face] = 0
        return replace(points, sure_TP=sure)


def face_ellipse(points: Points, t: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Where the face is in frame ``t``: middle and (width, height) in pixels; from the nose where no face was found
    there, None where that is unknown too."""
    face = points.layout.face
    here = points.here_TP[t, face]
    if here.sum() >= 5:
        xy = points.xy_TPC[t, face[here]]
        low, high = xy.min(0), xy.max(0)
        return (low + high) / 2, (high - low) * np.array([1.15, 1.25])
    nose, seen = points.place("nose")
    unit = points.shoulder_px()
    if unit is None or not seen.any():
        return None
    near = np.flatnonzero(seen)
    place = nose[near[np.abs(near - t).argmin()]]
    return place, np.array([0.55, 0.75]) * unit


def clothes_mask(frame_HWC: np.ndarray, points: Points, t: int) -> np.ndarray | None:
    """Where clothes are, float32 (H, W) from 0 to 1: trunk and arms, without hands, face and what has the face's
    colour. None where no shoulders were found in the frame."""
    import cv2

    (left, here), (right, there) = points.place("left_shoulder"), points.place("right_shoulder")
    if not (here[t] and there[t]):
        return None
    unit = float(np.linalg.norm(left[t] - right[t])) or 1.0
    mask = np.zeros(frame_HWC.shape[:2], np.uint8)
    hips = []
    for name, shoulder in (("left_hip", left[t]), ("right_hip", right[t])):
        hip, seen = points.place(name)
        hips.append(hip[t] if seen[t] else shoulder + np.array([0, 1.8 * unit], np.float32))
    trunk = np.stack([left[t], right[t], hips[1], hips[0]])
    middle = trunk.mean(0)
    trunk = middle + (trunk - middle) * np.array([1.2, 1.08], np.float32)
    cv2.fillConvexPoly(mask, _whole(trunk), (255,))
    for side, shoulder in (("left", left[t]), ("right", right[t])):
        chain = [shoulder]
        for joint in ("elbow", "wrist"):
            place, seen = points.place(f"{side}_{joint}")
            if not seen[t]:
                break
            chain.append(place[t])
        for a, b in pairwise(chain):
            start, end = _whole(np.stack([a, b])).tolist()
            cv2.line(mask, start, end, (255,), max(1, round(0.3 * unit)))
    for hand in points.layout.hands:
        found = hand[points.here_TP[t, hand]]
        if len(found) > 2:
            hull = cv2.convexHull(_whole(points.xy_TPC[t, found]))
            cv2.fillConvexPoly(mask, hull, (0,))
            cv2.polylines(mask, [hull], True, (0,), max(1, round(0.12 * unit)))
    if (face := face_ellipse(points, t)) is not None:
        (x, y), (wide, high) = face
        cv2.ellipse(mask, ((float(x), float(y)), (float(wide * 1.1), float(high * 1.15)), 0.0), (0,), -1)
        core = frame_HWC[
            max(int(y - high / 6), 0) : max(int(y + high / 6), 0), max(int(x - wide / 5), 0) : max(int(x + wide / 5), 0)
        ]
        if core.size:
            skin = np.median(cv2.cvtColor(np.ascontiguousarray(core), cv2.COLOR_RGB2YCrCb).reshape(-1, 3), 0)
            if np.abs(skin[1:] - 128).max() > 8:  # a face in grey tells nothing of skin
                apart = cv2.cvtColor(frame_HWC, cv2.COLOR_RGB2YCrCb)[..., 1:].astype(np.int16) - skin[1:].astype(
                    np.int16
                )
                mask[(np.abs(apart) < 9).all(-1)] = 0
    return cv2.GaussianBlur(mask, (0, 0), max(0.8, 0.02 * unit)).astype(np.float32) / 255


def _whole(xy: np.ndarray) -> np.ndarray:
    return np.clip(np.round(xy - 0.5), -(2**14), 2**14).astype(np.int32)


# --- what can be drawn --------------------------------------------------------------------------------------------


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


@dataclass(frozen=True)
class Salt:
    """White pixels, a ``share`` of them."""

    chance: float = 1.0
    share: float = 0.1
    amounts: ClassVar[tuple[str, ...]] = ("share",)

    def drawn(self, rng: np.random.Generator, facts: Facts) -> _Grains | None:
        return _Grains(self.share, 255, _seed(rng)) if self.share > 0 else None


@dataclass(frozen=True)
class Pepper:
    """Black pixels, a ``share`` of them."""

    chance: float = 1.0
    share: float = 0.1
    amounts: ClassVar[tuple[str, ...]] = ("share",)

    def drawn(self, rng: np.random.Generator, facts: Facts) -> _Grains | None:
        return _Grains(self.share, 0, _seed(rng)) if self.share > 0 else None


@dataclass(frozen=True)
class MeanBlur:
    """The mean of ``size_px`` × ``size_px`` pixels, as published with 5."""

    chance: float = 1.0
    size_px: int = 5
    amounts: ClassVar[tuple[str, ...]] = ()

    def drawn(self, rng: np.random.Generator, facts: Facts) -> _Smoothed | None:
        return _Smoothed("mean", self.size_px) if self.size_px > 1 else None


@dataclass(frozen=True)
class Median:
    """The median of ``size_px`` × ``size_px`` pixels (an odd number), as published with 5."""

    chance: float = 1.0
    size_px: int = 5
    amounts: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self):
        if self.size_px % 2 == 0:
            raise InputError(f"median: size_px is {self.size_px}, expected an odd number")

    def drawn(self, rng: np.random.Generator, facts: Facts) -> _Smoothed | None:
        return _Smoothed("median", self.size_px) if self.size_px > 1 else None


@dataclass(frozen=True)
class Blur:
    """Out of focus: a Gaussian of sigma up to ``amount`` of the shorter side."""

    chance: float = 1.0
    amount: float = 0.008
    amounts: ClassVar[tuple[str, ...]] = ("amount",)

    def drawn(self, rng: np.random.Generator, facts: Facts) -> _Smoothed | None:
        sigma = float(rng.uniform(0, 1) * self.amount * facts.shorter_px)
        return _Smoothed("gauss", sigma) if sigma > 0.2 else None


@dataclass(frozen=True)
class Light:
    """Darker or lighter: up to ``brightness`` is added, contrast and gamma are times up to exp(``contrast``) and
    exp(``gamma``)."""

    chance: float = 1.0
    brightness: float = 0.15
    contrast: float = 0.25
    gamma: float = 0.3
    amounts: ClassVar[tuple[str, ...]] = ("brightness", "contrast", "gamma")

    def drawn(self, rng: np.random.Generator, facts: Facts) -> _Levels | None:
        u = rng.uniform(-1, 1, 3)
        if not any((self.brightness, self.contrast, self.gamma)):
            return None
        return _Levels(float(u[0] * self.brightness), math.exp(u[1] * self.contrast), math.exp(u[2] * self.gamma))


_LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class Colour:
    """Other colours: hue turned by up to ``hue_deg``, saturation times up to exp(``saturation``), each channel times up
    to 1 + ``tint``."""

    chance: float = 1.0
    hue_deg: float = 10.0
    saturation: float = 0.4
    tint: float = 0.08
    amounts: ClassVar[tuple[str, ...]] = ("hue_deg", "saturation", "tint")

    def drawn(self, rng: np.random.Generator, facts: Facts) -> _Coloured | None:
        if not any((self.hue_deg, self.saturation, self.tint)):
            return None
        u = rng.uniform(-1, 1, 5)
        c, s = math.cos(math.radians(u[0] * self.hue_deg)), math.sin(math.radians(u[0] * self.hue_deg))
        # A turn about the grey axis that keeps luma, then towards or away from grey, then the tint.
        yiq = np.array([[*_LUMA], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
        turn = np.linalg.inv(yiq) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ yiq
        grey = np.tile(_LUMA, (3, 1))
        matrix = np.diag(1 + u[2:] * self.tint) @ (grey + (np.eye(3) - grey) * math.exp(u[1] * self.saturation)) @ turn
        return _Coloured(tuple(tuple(float(v) for v in row) for row in matrix))


@dataclass(frozen=True)
class Noise:
    """The grain of a sensor in little light, of standard deviation up to ``amount``."""

    chance: float = 1.0
    amount: float = 0.05
    amounts: ClassVar[tuple[str, ...]] = ("amount",)

    def drawn(self, rng: np.random.Generator, facts: Facts) -> _Grainy | None:
        amount = float(rng.uniform(0, 1) * self.amount)
        return _Grainy(amount, _seed(rng)) if amount > 0.002 else None


@dataclass(frozen=True)
class Compress:
    """JPEG of a quality drawn from ``least`` to ``most`` (1 to 100)."""

    chance: float = 1.0
    least: int = 15
    most: int = 60
    amounts: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self):
        if not 1 <= self.least <= self.most <= 100:
            raise InputError(f"compress: got quality {self.least} to {self.most}, expected 1 to 100, least first")

    def drawn(self, rng: np.random.Generator, facts: Facts) -> _Pressed:
        return _Pressed(int(rng.integers(self.least, self.most + 1)))


@dataclass(frozen=True)
class Occlude:
    """Something before the camera: a patch of up to ``size`` of the shorter side that glides through the clip."""

    chance: float = 1.0
    size: float = 0.35
    amounts: ClassVar[tuple[str, ...]] = ("size",)

    def drawn(self, rng: np.random.Generator, facts: Facts) -> _Patch | None:
        if not self.size > 0:
            return None
        start, end = rng.uniform(0.1, 0.9, (2, 2))
        step = (end - start) / max(facts.n_frames, 1) * rng.uniform(0, 1)
        size = rng.uniform(0.4, 1, 2) * self.size
        colour = tuple(int(v) for v in rng.integers(0, 256, 3))
        return _Patch(
            (float(start[0]), float(start[1])),
            (float(step[0]), float(step[1])),
            (float(size[0]), float(size[1])),
            colour,  # type: ignore[arg-type]
        )


@dataclass(frozen=True)
class Background:
    """Another background behind the person: a picture from the folder ``pictures``, or a wall of two colours."""

    chance: float = 1.0
    pictures: str = ""
    grain: float = 0.05
    amounts: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self):
        if self.pictures and not list_pictures(Path(self.pictures)):
            raise InputError(f"background: '{self.pictures}' is no folder with pictures in it")

    def drawn(self, rng: np.random.Generator, facts: Facts) -> _Behind:
        colours = rng.integers(20, 236, (2, 3))
        at, seed, file = rng.random(), _seed(rng), ""
        if self.pictures:
            files = list_pictures(Path(self.pictures))
            file = str(files[int(at * len(files))])
        first, second = (tuple(int(v) for v in c) for c in colours)
        return _Behind((first, second), self.grain, seed, file)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Clothes:
    """Clothes of another colour, found by the pose: hue turned by up to ``hue_deg``, saturation times up to
    exp(``saturation``), lightness times up to exp(``lightness``)."""

    chance: float = 1.0
    hue_deg: float = 180.0
    saturation: float = 0.5
    lightness: float = 0.3
    amounts: ClassVar[tuple[str, ...]] = ("hue_deg", "saturation", "lightness")

    def drawn(self, rng: np.random.Generator, facts: Facts) -> _Dressed | None:
        if not any((self.hue_deg, self.saturation, self.lightness)):
            return None
        u = rng.uniform(-1, 1, 3)
        return _Dressed(float(u[0] * self.hue_deg), math.exp(u[1] * self.saturation), math.exp(u[2] * self.lightness))


@dataclass(frozen=True)
class OmitFace:
    """The face covered, and its points lost; ``margin`` is how much larger than the face the cover is."""

    chance: float = 1.0
    margin: float = 0.15
    amounts: ClassVar[tuple[str, ...]] = ()

    def drawn(self, rng: np.random.Generator, facts: Facts) -> _Faceless:
        return _Faceless(self.margin)
