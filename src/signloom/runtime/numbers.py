"""Numbers as results hold them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def number_of(entry: Any) -> float | None:
    """The number in ``entry``: a number, ``{"value": number}`` or None; None where it is not finite."""
    if isinstance(entry, Mapping):
        entry = entry.get("value")
    return None if entry is None or not math.isfinite(entry) else float(entry)
