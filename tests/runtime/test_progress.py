"""Progress on a terminal: what stands in data is shown as it is, and steers nothing."""

import io
import sys

from signloom.runtime.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_titles_and_notes_with_brackets_and_escape_codes_are_only_text(monkeypatch):
    """A signer called "[/x]" ended a cross-validation, on a terminal alone."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Progress("fold 1/2 ([/x]\x1b]0;owned\x07)", 2) as progress:
        progress.step(note="clip [red]\x1b]0;owned\x07")
    assert "[/x]" in terminal.getvalue()
    assert "\x1b]0;" not in terminal.getvalue()
