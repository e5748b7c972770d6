"""Decoded frames kept in memory as far as they fit: one budget for all processes of a machine."""

from __future__ import annotations

import os
import threading
from collections.abc import Hashable
from pathlib import Path
from typing import Any

MOST_BYTES = 64 * 2**30


class FrameCache:
    """Decoded arrays, first come first kept, until ``budget_bytes`` are full.

    Nothing is ever thrown out: in an epoch every clip comes up once, so that replacing one by another gains nothing.
    """

    def __init__(self, budget_bytes: int):
        self.full = budget_bytes <= 0
        self._left = budget_bytes
        self._held: dict[Hashable, Any] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Any | None:
        """What is held under ``key``; None where nothing is."""
        return self._held.get(key)

    def put(self, key: Hashable, value: Any) -> None:
        """Keep ``value`` (with ``nbytes``) if there is room; the first that does not fit makes this ``full``."""
        with self._lock:
            if value.nbytes > self._left:
                self.full = True
            elif key not in self._held:
                self._held[key] = value
                self._left -= value.nbytes


def default_cache() -> FrameCache:
    """Half of the memory that is free now, shared with the other processes that train on this machine."""
    processes = int(os.environ.get("LOCAL_WORLD_SIZE") or os.environ.get("WORLD_SIZE") or 1)
    return FrameCache(min(free_bytes() // 2, MOST_BYTES) // max(1, processes))


def free_bytes() -> int:
    """The memory this process may still take: what the machine has free, or less where a container's limit is lower."""
    import psutil

    free = psutil.virtual_memory().available
    for limit, used in _cgroup_files():
        try:
            most = limit.read_text().strip()
            if most != "max" and int(most) < 1 << 60:
                free = min(free, max(0, int(most) - int(used.read_text()) + _given_back(used.parent)))
        except (OSError, ValueError):
            continue
    return int(free)


def _given_back(group: Path) -> int:
    """What a container uses only to remember files that it has read; it counts as used, and is free when asked for."""
    try:
        rows = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return int(rows.get("total_inactive_file", rows.get("inactive_file", 0)))
    except (OSError, ValueError):
        return 0


def _cgroup_files(
    root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")
) -> list[tuple[Path, Path]]:
    """Where Linux says what may be used and what is: of this process's control group, and of all that it lies in.

    Version 2 has one tree below ``root``, version 1 one for memory. ``own`` names the group in each.
    """
    try:
        rows = [line.split(":", 2) for line in own.read_text().splitlines()]
    except OSError:
        rows = []
    places = {name: path for _, names, path in (row for row in rows if len(row) == 3) for name in names.split(",")}
    found = []
    for top, name, limit, used in (
        (root, "", "memory.max", "memory.current"),
        (root / "memory", "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        group = top / places.get(name, "").lstrip("/")
        # A container may see its own group alone, as the top, though it is told the name that the machine has for it.
        groups = [group, *group.parents] if ".." not in group.parts else [top]
        found += [(g / limit, g / used) for g in groups if g.is_relative_to(top) and (g / limit).exists()]
    return found
