"""What the name of a sensor table's column says: which channel it is, in which unit, or that it is time or a count.

Channels are named ``PLACE_QUANTITY_AXIS_UNIT`` as in :mod:`signloom.data.signal`, in the units kept there.
"""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass

GRAVITY_MPS2 = 9.80665
_DEG = 180 / math.pi
KEPT = {
    "acceleration": "g",
    "rotation": "dps",
    "orientation": "deg",
    "magnetic": "ut",
    "emg": "raw",
    "other": "raw",
}
"""What is measured, and the unit it is kept in: multiples of gravity, degrees per second, degrees, microtesla."""

# By the unit's letters and digits, lower case: m/s² is ms2, °/s degs, µs us.
FACTORS: dict[str, dict[str, float]] = {
    "acceleration": {
        **dict.fromkeys(("g", "gs", "gn", "g0"), 1.0),
        **dict.fromkeys(("mg", "millig"), 1e-3),
        **dict.fromkeys(("ms2", "mps2", "mss", "msec2", "mpers2", "meterpersecond2"), 1 / GRAVITY_MPS2),
        **dict.fromkeys(("cms2", "gal"), 0.01 / GRAVITY_MPS2),
    },
    "rotation": {
        **dict.fromkeys(
            ("dps", "degs", "degsec", "degps", "degpers", "degreess", "degreessec", "degreespersecond"), 1.0
        ),
        **dict.fromkeys(("mdps", "mdegs"), 1e-3),
        **dict.fromkeys(("rads", "radsec", "radps", "radpers", "radianss", "radianspersecond"), _DEG),
    },
    "orientation": {
        **dict.fromkeys(("deg", "degs", "degree", "degrees"), 1.0),
        **dict.fromkeys(("rad", "rads", "radian", "radians"), _DEG),
    },
    "magnetic": {
        **dict.fromkeys(("ut", "microtesla"), 1.0),
        **dict.fromkeys(("mg", "mgauss", "milligauss"), 0.1),
        **dict.fromkeys(("g", "gauss"), 100.0),
        "nt": 1e-3,
    },
    "emg": dict.fromkeys(("raw", "mv", "uv", "v", "au", "adc", "count", "counts"), 1.0),
    "other": {"raw": 1.0},
    "time": {
        **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
        **dict.fromkeys(("ms", "msec", "msecs", "millis", "millisecond", "milliseconds"), 1e-3),
        **dict.fromkeys(("us", "usec", "usecs", "micros", "microsecond", "microseconds"), 1e-6),
        **dict.fromkeys(("ns", "nsec", "nsecs", "nanos", "nanosecond", "nanoseconds"), 1e-9),
    },
}
"""Quantity (or "time") → unit → what to multiply by for the unit it is kept in (seconds)."""
_UNIT_OF_NAME = {  # "g" behind a magnetometer's name would be anybody's guess
    quantity: [u for u in units if (quantity, u) not in (("magnetic", "g"), ("magnetic", "mg"))]
    for quantity, units in FACTORS.items()
}

_PARTS = "upperarm|forearm|wrist|hand|arm|thigh|shank|leg|ankle|foot|chest|head|waist|hip|back|finger|thumb"
_PLACE = (
    rf"(?:(?P<side{{n}}>left|right|l|r)?(?P<part{{n}}>{_PARTS})?(?:(?:imu|sensor|device|node)(?P<number{{n}}>\d+))?)"
)
_THINGS = {
    "acceleration": "accelerometer|acceleration|accel|acc|ac|a",
    "rotation": "gyroscope|rotationrate|rotation|angularvelocity|angularrate|angvel|gyro|gyr|gy|omega|g|w",
    "magnetic": "magnetometer|magneticfield|magnetic|magn|mag|m",
}
_TURNS = {"r": "roll", "p": "pitch", "y": "yaw"}


def _pattern(quantity: str, core: str) -> tuple[str, re.Pattern[str]]:
    units = "|".join(sorted(_UNIT_OF_NAME[quantity], key=len, reverse=True))
    return quantity, re.compile(
        f"{_PLACE.format(n=1)}(?:{core}){_PLACE.format(n=2)}(?P<unit>{units})?",
    )


_CHANNELS = [
    *(_pattern(q, rf"(?:{words})(?:data|value|sensor)?(?P<axis>[xyz])(?:axis)?") for q, words in _THINGS.items()),
    *(_pattern(q, rf"(?P<axis>[xyz])(?:axis)?(?:{words})") for q, words in _THINGS.items()),
    _pattern("orientation", r"(?:orientation|orient|ori|attitude|euler|angle|o)?(?P<axis>roll|pitch|yaw)"),
    _pattern("orientation", r"(?:orientation|orient|ori|o)(?P<axis>[rpy])"),
    _pattern("emg", r"s?emg(?:channel|ch)?(?P<axis>\d*)"),
    _pattern("other", r"(?:quaternion|quat|q)(?P<axis>[wxyz])"),
]
_TIME = re.compile(
    r"(?:(?:sample|sensor|system|logging|unix|epoch|elapsed|loop|host|device)?(?:timestamp|time|clock|datetime|epoch)"
    r"|elapsed|t|date)(?P<unit>" + "|".join(sorted(FACTORS["time"], key=len, reverse=True)) + ")?"
    r"|(?P<seconds>seconds|milliseconds|millis|ms|microseconds|micros|nanoseconds)(?:elapsed)?"
)
_COUNT = re.compile(
    r"counter|count|index|idx|id|sample|samples|(?:sample|row|frame|packet)?(?:no|nr|num|number|id|idx|index|count|counter)"
    r"|n|k|i|frame|packet|seq|sequence|row|unnamed\d*|"
)
_BRACKETS = re.compile(r"[\(\[\{<]([^)\]}>]*)[\)\]}>]")


@dataclass(frozen=True)
class Column:
    """What a column holds. ``quantity`` is one of :data:`KEPT`, "time", or "count" (a running number that is no time).

    ``unit`` is what its name says, in letters and digits; None where it says nothing.
    """

    quantity: str
    place: str = ""
    axis: str = ""
    unit: str | None = None

    @property
    def channel(self) -> str:
        """``PLACE_QUANTITY_AXIS_UNIT``."""
        return "_".join(part for part in (self.place, self.quantity, self.axis, KEPT[self.quantity]) if part)


def column_of(name: str) -> Column | None:
    """What ``name`` says; None where it says nothing that is known.

    >>> column_of("GyroX [rad/s]").channel, column_of("AXL").channel, column_of("OYR").channel
    ('rotation_x_dps', 'left_acceleration_x_g', 'right_orientation_yaw_deg')
    """
    canonical = name.split("_")
    if len(canonical) >= 3 and KEPT.get(canonical[-3]) == canonical[-1] and canonical[-2]:
        return Column(canonical[-3], "_".join(canonical[:-3]), canonical[-2], canonical[-1])
    name = unicodedata.normalize("NFKC", name)
    inside = [plain_unit(text) for text in _BRACKETS.findall(name)]
    said = next((text for text in inside if not re.fullmatch(r"[xyz]|\d*|[lr]|left|right|roll|pitch|yaw", text)), None)
    text = plain_unit(name if said is None else _BRACKETS.sub("", name))
    for quantity, pattern in _CHANNELS:
        if (found := pattern.fullmatch(text)) is not None:
            axis = found["axis"] or "0"
            if quantity == "orientation":
                axis = _TURNS.get(axis, axis)
            if quantity == "other":
                axis = f"q{axis}"
            return Column(quantity, _place(found), axis, said or found["unit"])
    if (found := _TIME.fullmatch(text)) is not None:
        plural = re.search("(?:time|stamp)s$", name, re.IGNORECASE)  # time_s says its unit, timestamps does not
        return Column("time", unit=said or (None if plural else found["unit"]) or found["seconds"])
    return Column("count") if _COUNT.fullmatch(text) else None


def _place(found: re.Match[str]) -> str:
    side = found["side1"] or found["side2"] or ""
    number = found["number1"] or found["number2"]
    parts = (
        {"l": "left", "r": "right"}.get(side, side),
        found["part1"] or found["part2"],
        f"imu{number}" if number else None,
    )
    return "_".join(part for part in parts if part)


def plain_unit(text: str) -> str:
    """A unit or name as it is compared: ``m/s²`` is ``ms2``, ``°/s`` ``degs``, ``µs`` ``us``."""
    text = unicodedata.normalize("NFKC", text).replace("\u03bc", "u").replace("°", "deg").lower()
    return "".join(c for c in text if c.isascii() and c.isalnum())


def is_unit(text: str) -> bool:
    """Whether a cell of a header's second row is a unit (or empty, or a dash)."""
    text = plain_unit(_BRACKETS.sub(r"\1", text))
    return not text or any(text in units for units in FACTORS.values())
