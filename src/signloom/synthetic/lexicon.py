"""The invented lexicon: 24 signs, each a handshape, a place, an orientation and a movement.

The names are made up. None of these is a sign of any sign language; the forms only use the kinds of contrast that sign
languages use. Everything is written for a right-handed signer; a left-handed one performs the mirror image.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

# --- handshapes -------------------------------------------------------------------------------------------------

_OUT = (0.0, 0.0, 0.0)  # a stretched finger
_IN = (82.0, 100.0, 62.0)  # a finger folded into the palm
_TOGETHER = (-2.0, 0.0, 3.0, 7.0)
_APART = (14.0, 3.0, -9.0, -22.0)


def _shape(index, middle, ring, pinky, thumb, spread=_TOGETHER) -> np.ndarray:
    return np.array([*index, *middle, *ring, *pinky, *spread, *thumb], float)


_THUMB_BESIDE = (20.0, 18.0, 8.0, 4.0)
_THUMB_AWAY = (52.0, 18.0, 0.0, -8.0)
_THUMB_ACROSS = (24.0, 50.0, 52.0, 38.0)
_THUMB_UP = (38.0, 2.0, -10.0, -12.0)

HANDSHAPES: dict[str, np.ndarray] = {
    "rest": _shape((18, 24, 12), (24, 28, 14), (28, 32, 16), (32, 32, 16), (32.0, 24.0, 14.0, 14.0), (4, 1, -2, -6)),
    "flat": _shape(_OUT, _OUT, _OUT, _OUT, _THUMB_BESIDE),
    "five": _shape(_OUT, _OUT, _OUT, _OUT, _THUMB_AWAY, _APART),
    "fist": _shape(_IN, _IN, _IN, _IN, _THUMB_ACROSS),
    "thumb": _shape(_IN, _IN, _IN, _IN, _THUMB_UP),
    "one": _shape(_OUT, _IN, _IN, _IN, _THUMB_ACROSS),
    "two": _shape((0, 0, 0), (0, 0, 0), _IN, _IN, _THUMB_ACROSS, (12, -9, 0, 0)),
    "joined": _shape(_OUT, _OUT, _IN, _IN, _THUMB_ACROSS, (-3, 2, 0, 0)),
    "three": _shape(_OUT, _OUT, _OUT, _IN, _THUMB_ACROSS, (13, 1, -12, 0)),
    "ell": _shape(_OUT, _IN, _IN, _IN, _THUMB_AWAY),
    "horn": _shape(_OUT, _IN, _IN, _OUT, _THUMB_ACROSS, (6, 0, 0, -10)),
    "little": _shape(_IN, _IN, _IN, _OUT, _THUMB_ACROSS, (0, 0, 0, -8)),
    "wye": _shape(_IN, _IN, _IN, _OUT, _THUMB_AWAY, (0, 0, 0, -18)),
    "cee": _shape((32, 42, 22), (34, 42, 22), (36, 42, 22), (38, 40, 22), (40.0, 48.0, 8.0, 18.0)),
    "claw": _shape((12, 58, 36), (14, 58, 36), (14, 58, 36), (12, 54, 34), (50.0, 28.0, 6.0, 34.0), _APART),
    "bent": _shape((72, 6, 4), (74, 6, 4), (74, 6, 4), (72, 6, 4), _THUMB_BESIDE),
    "ring": _shape((46, 52, 26), (6, 6, 4), (2, 2, 2), (0, 0, 0), (30.0, 50.0, 18.0, 30.0), (8, 0, -9, -20)),
    "hook": _shape((10, 82, 48), _IN, _IN, _IN, _THUMB_ACROSS),
    "beak": _shape((58, 22, 12), (60, 22, 12), (62, 24, 12), (64, 26, 14), (26.0, 58.0, 10.0, 8.0)),
}
"""Finger angles in degrees, as :func:`signloom.synthetic.body.hand_joints` takes them."""

# --- places and directions --------------------------------------------------------------------------------------

_DIRECTIONS = {
    "up": (0, -1, 0),
    "down": (0, 1, 0),
    "out": (0, 0, -1),
    "in": (0, 0, 1),
    "side": (-1, 0, 0),  # the signer's dominant side
    "across": (1, 0, 0),
}


def direction(words: str) -> np.ndarray:
    """A unit vector from words such as ``"up"`` or ``"up out"`` (right-handed signer; world frame)."""
    total = np.sum([_DIRECTIONS[w] for w in words.split()], axis=0).astype(float)
    return total / np.linalg.norm(total)


PLACES: dict[str, tuple[str, tuple[float, float, float]]] = {
    # name: (what it moves with, metres from there)
    "forehead": ("head", (-0.030, -0.058, -0.125)),
    "temple": ("head", (-0.098, -0.035, -0.080)),
    "ear": ("head", (-0.185, 0.010, -0.070)),
    "cheek": ("head", (-0.075, 0.045, -0.105)),
    "nose": ("head", (-0.010, 0.040, -0.140)),
    "mouth": ("head", (-0.005, 0.075, -0.140)),
    "chin": ("head", (-0.010, 0.118, -0.130)),
    "shoulder": ("chest", (0.120, 0.040, -0.170)),
    "chest": ("chest", (-0.040, 0.110, -0.190)),
    "belly": ("chest", (-0.020, 0.300, -0.220)),
    "centre": ("chest", (-0.040, 0.160, -0.340)),
    "under": ("chest", (0.010, 0.250, -0.330)),
    "near": ("chest", (-0.170, 0.120, -0.300)),
    "low": ("chest", (-0.150, 0.260, -0.320)),
    "high": ("chest", (-0.230, -0.120, -0.260)),
    "wide": ("chest", (-0.340, 0.060, -0.220)),
    "above": ("chest", (-0.215, -0.245, -0.220)),
}


# --- signs ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Path:
    """How the hand travels from its place: ``kind`` line, arc, circle, tap, zigzag or hold.

    ``by_m`` is the way (line, arc: the whole stroke; circle: its diameter; tap: one touch; zigzag: the advance),
    ``bulge_m`` the height of an arc or the width of a zigzag or circle.
    """

    kind: str = "hold"
    by_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    bulge_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    repeats: int = 1


@dataclass(frozen=True)
class Turn:
    """How the hand turns meanwhile, in degrees about its own axes: ``twist`` about the forearm, ``nod`` at the wrist,
    ``wave`` from side to side; there and back ``repeats`` times, or once and stay when ``repeats`` is 0."""

    kind: str = "twist"
    degrees: float = 0.0
    repeats: int = 2


@dataclass(frozen=True)
class Hand:
    """One hand's part in a sign: shape, place, which way palm and fingers point, and which point touches the place."""

    shape: str
    place: str
    palm: str
    fingers: str
    contact: str = "palm"  # palm, tips, thumb, wrist
    path: Path = field(default_factory=Path)
    turn: Turn | None = None
    shape_end: str | None = None
    shape_repeats: int = 0
    wiggle_deg: float = 0.0


@dataclass(frozen=True)
class Sign:
    """An invented sign. ``two_hands`` is "" (one hand), "mirror", "alternate", or "base" (``other`` holds still)."""

    name: str
    form: str
    hand: Hand
    two_hands: str = ""
    other: Hand | None = None
    stroke_s: float = 0.75
    expression: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)  # raise, furrow, open, wide
    nod_deg: float = 0.0


LEXICON: tuple[Sign, ...] = (
    Sign(
        "BALU",
        "flat hand waves beside the head",
        Hand("flat", "high", "out", "up", turn=Turn("wave", 24, 2)),
    ),
    Sign(
        "CORO",
        "spread hand taps the chin with the thumb",
        Hand("five", "chin", "across", "up", "thumb", Path("tap", (-0.03, 0.0, -0.06), repeats=2)),
    ),
    Sign(
        "DIMA",
        "index finger draws a circle in front",
        Hand("one", "high", "out", "up", "tips", Path("circle", (0.20, 0, 0), (0, 0.20, 0), repeats=2)),
        stroke_s=0.95,
    ),
    Sign(
        "FENO",
        "two fingers move from the cheek outwards",
        Hand("two", "cheek", "in", "up across", "tips", Path("arc", (-0.20, 0.06, -0.10), (0, -0.05, 0))),
        expression=(0.8, 0, 0, 0),
    ),
    Sign(
        "GAVI",
        "both flat hands part from the middle",
        Hand("flat", "centre", "down in", "out across down", "palm", Path("line", (-0.20, 0.0, 0.02))),
        two_hands="mirror",
    ),
    Sign(
        "HOLU",
        "fist knocks in the air",
        Hand("fist", "near", "out", "up", turn=Turn("nod", 38, 2)),
        nod_deg=8,
    ),
    Sign(
        "JARO",
        "thumb and little finger out, twisting at the side",
        Hand("wye", "wide", "out", "up", turn=Turn("twist", 50, 2)),
    ),
    Sign(
        "KIMA",
        "flat hand on the chest moves in a circle",
        Hand("flat", "chest", "in", "across", "palm", Path("circle", (0.12, 0, 0), (0, 0.12, 0), repeats=2)),
        stroke_s=0.95,
        expression=(0.3, 0, 0, 0.6),
    ),
    Sign(
        "LEMO",
        "spread hands flutter downwards",
        Hand("five", "high", "out", "up", "palm", Path("line", (-0.02, 0.26, 0.0)), wiggle_deg=22),
        two_hands="mirror",
        stroke_s=0.95,
    ),
    Sign(
        "MIRU",
        "index finger taps the temple",
        Hand("one", "temple", "out", "up across", "tips", Path("tap", (-0.09, -0.01, -0.05), repeats=2)),
        expression=(0.9, 0, 0, 0),
    ),
    Sign(
        "NAPO",
        "hand closes to a beak in front of the mouth",
        Hand("five", "mouth", "in", "up across", "tips", Path("line", (-0.07, 0.05, -0.12)), shape_end="beak"),
        expression=(0, 0, 0.8, 0),
    ),
    Sign(
        "OSTA",
        "flat hand drops onto the other palm",
        Hand("flat", "centre", "down in", "across out down", "palm", Path("tap", (0.0, -0.13, 0.0), repeats=2)),
        two_hands="base",
        other=Hand("flat", "under", "up out", "across out", "palm"),
    ),
    Sign(
        "PELA",
        "thumb up rises from low to high",
        Hand("thumb", "low", "across", "out across", "palm", Path("line", (-0.02, -0.26, 0.0))),
        expression=(0.6, 0, 0, 0.4),
    ),
    Sign(
        "RUNA",
        "claw hand turns over beside the ear",
        Hand("claw", "ear", "across", "up", "palm", Path("line", (-0.06, -0.03, -0.10)), turn=Turn("twist", -75, 0)),
        expression=(0, 0.9, 0, 0),
    ),
    Sign(
        "SIKO",
        "three fingers zigzag downwards",
        Hand("three", "high", "out", "up", "palm", Path("zigzag", (0.0, 0.26, 0.0), (0.09, 0, 0), repeats=2)),
        stroke_s=0.95,
    ),
    Sign(
        "TAVO",
        "fists turn around each other",
        Hand("fist", "centre", "in", "across", "palm", Path("circle", (0, 0, -0.13), (0, 0.15, 0), repeats=2)),
        two_hands="alternate",
        stroke_s=0.95,
    ),
    Sign(
        "ULMI",
        "ring of thumb and index moves sideways",
        Hand("ring", "near", "out", "up", "palm", Path("line", (-0.20, 0.0, 0.02))),
    ),
    Sign(
        "VEZU",
        "spread hand arcs over the head",
        Hand("five", "above", "out", "up", "palm", Path("arc", (0.20, 0.03, 0.0), (0, -0.07, 0))),
        stroke_s=0.85,
    ),
    Sign(
        "WANI",
        "open hands open and close in turn",
        Hand("five", "near", "out", "up", "palm", shape_end="fist", shape_repeats=2),
        two_hands="mirror",
        stroke_s=0.9,
    ),
    Sign(
        "XULA",
        "hooked index taps the side of the nose",
        Hand("hook", "nose", "across", "up across", "tips", Path("tap", (-0.07, 0.01, -0.04), repeats=2)),
        expression=(0, 0.6, 0, 0),
    ),
    Sign(
        "YOMA",
        "bent hand sweeps across the belly",
        Hand("bent", "belly", "in", "across", "palm", Path("line", (-0.28, 0.0, -0.02))),
    ),
    Sign(
        "ZETI",
        "index and thumb open, pulled down from the forehead",
        Hand("ell", "forehead", "out", "up across", "thumb", Path("line", (-0.10, 0.30, -0.12))),
        nod_deg=12,
    ),
    Sign(
        "AMBO",
        "both hands rise, palms up, in turn",
        Hand("cee", "low", "up", "out", "palm", Path("line", (0, -0.16, 0), repeats=2)),
        two_hands="alternate",
        stroke_s=0.95,
    ),
    Sign(
        "EKRI",
        "joined fingers tap the other shoulder",
        Hand("joined", "shoulder", "in", "across up", "tips", Path("tap", (-0.05, 0.02, -0.06), repeats=2)),
        nod_deg=5,
    ),
)
"""The signs, in a fixed order: ``--signs 12`` means the first twelve."""

NAMES: tuple[str, ...] = tuple(s.name for s in LEXICON)
