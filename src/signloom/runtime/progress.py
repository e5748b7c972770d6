"""How far a long job has come: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any

from signloom.runtime.text import plain


class Progress:
    """A bar with rate and ETA on a terminal; a line every ten seconds elsewhere (logs, CI). Writes to stderr."""

    def __init__(self, title: str, total: int, done: int = 0, *, unit: str = "clips", quiet: bool = False):
        self.title, self.total, self.done, self.unit = plain(title), total, done, unit
        self.quiet = quiet
        self.failed = 0
        self._already = done
        self._began = self._said = time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> Progress:
        self._began = self._said = time.monotonic()
        if not self.quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            columns = (
                TextColumn("{task.description}", markup=False),  # a signer may be called "[x]"
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}", markup=False),
                TimeElapsedColumn(),
                TextColumn("ETA"),
                TimeRemainingColumn(),
            )
            self._bar = Bar(*columns, console=Console(stderr=True))
            self._bar.start()
            self._id = self._bar.add_task(self.title, total=self.total, completed=self.done, note="")
        elif not self.quiet and self._already:
            print(f"{self.title}: {self._already} of {self.total} {self.unit} are already done", file=sys.stderr)
        return self

    def step(self, *, failed: bool = False, note: str = "") -> None:
        """Count one more; ``failed`` is shown beside the bar."""
        self.done += 1
        self.failed += failed
        note = " ".join(filter(None, [f"{self.failed} failed" if self.failed else "", plain(note)]))
        if self._bar is not None:
            self._bar.update(self._id, completed=self.done, note=note)
        elif not self.quiet and time.monotonic() - self._said > 10:
            self._said = time.monotonic()
            self._print(note)

    def _print(self, note: str) -> None:
        rate = (self.done - self._already) / max(time.monotonic() - self._began, 1e-9)
        left = (self.total - self.done) / rate if rate else 0.0
        tail = f", {note}" if note else ""
        print(
            f"{self.title}: {self.done}/{self.total} {self.unit}, {rate:.3g}/s, "
            f"ETA {int(left // 60)}:{int(left % 60):02d}{tail}",
            file=sys.stderr,
            flush=True,
        )

    def __exit__(self, *exc: object) -> None:
        if self._bar is not None:
            self._bar.stop()
