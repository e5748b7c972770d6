"""What a run left: exit codes, what was said, the prepared clips; and what is wrong whatever the input was."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

EXIT_CODES = (0, 1, 2, 3, 4)
FINDINGS = ("crash", "hang", "memory", "silent", "input changed", "wrote elsewhere")
FINE = ("refused", "right", "noted", "damaged", "untold")
# An exception that nobody meant to raise, as it stands in a clip's row.
_RAW = re.compile(r"clip '.*?': \w*(Error|Exception|Warning): |'.*?': \w+Error\(")
_PROGRESS = re.compile(r"\w+: \d+/\d+ ")
# Notes that follow from how many clips there are of what: they say nothing of what was read wrong.
_COUNTS = re.compile(r"have a single clip|by one signer only|no signer is known|have no signer|unbalanced|too few to")


@dataclass(frozen=True)
class Ran:
    """One input after its commands: ``codes`` by command, what each wrote, ``said``, records and failures."""

    folder: Path
    codes: tuple[int, ...]
    out: tuple[str, ...]
    err: tuple[str, ...]
    doctor: dict[str, Any] = field(default_factory=dict)
    records: tuple[dict[str, Any], ...] = ()
    failures: tuple[dict[str, Any], ...] = ()

    @property
    def refused(self) -> str | None:
        """The last command's own error, where it refused the whole input."""
        if self.codes[-1] in (1, 2):
            return next((line for line in self.err[-1].splitlines() if line.startswith("error: ")), None)
        return None

    @property
    def said(self) -> set[str]:
        """Every problem, note, failure and error that the commands told."""
        told = {f"{p['kind']}: {p['message']}" for p in self.doctor.get("problems", ())}
        told |= {note for note in self.doctor.get("notes", ()) if not _COUNTS.search(note)}
        media = self.doctor.get("media", {})
        told |= {f"{key}: {value}" for key in ("size_px", "codec", "fps") for value in media.get(key, ())}
        told.add(f"rotated: {media.get('rotated')}")
        for text in self.err:
            told |= {line.strip() for line in text.splitlines() if line.strip() and not _PROGRESS.match(line)}
        return told | {f"{row['reason']}: {row['message']}" for row in self.failures}

    def stream(self, record: dict[str, Any], name: str) -> Path:
        return self.folder / "out" / record["streams"][name]


def read_ran(folder: Path) -> Ran:
    """What lies in the folder of one input."""
    codes = tuple(json.loads((folder / "codes.json").read_text()))
    out, err = (
        tuple((folder / f"{k}.{kind}").read_bytes().decode(errors="replace") for k in range(len(codes)))
        for kind in ("out", "err")
    )
    doctor = {}
    if out and codes[0] in (0, 3) and out[0].startswith('{\n "kind": "doctor"'):
        doctor = json.loads(out[0])
    rows = _lines(folder / "out" / "manifest.jsonl")[1:]
    return Ran(folder, codes, out, err, doctor, tuple(rows), tuple(_lines(folder / "out" / "failures.jsonl")))


def _lines(file: Path) -> list[dict[str, Any]]:
    if not file.is_file():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]


def always_wrong(ran: Ran) -> tuple[str, str] | None:
    """(finding, what) that needs no knowledge of the input: crashes and time-outs that a run contained itself."""
    for code, text in zip(ran.codes, ran.err):
        if "Traceback (most recent call last)" in text:
            return "crash", text.strip().splitlines()[-1]
        if code not in EXIT_CODES:
            return "crash", f"exit code {code}: {text[-200:]}"
        if code == 2 and "error: " not in text:
            return "crash", f"exit code 2 without a word: {text[-200:]}"
    rows = [(f["reason"], f["message"]) for f in ran.failures]
    rows += [(p["kind"], p["message"]) for p in ran.doctor.get("problems", ())]
    for reason, message in rows:
        if _RAW.search(message) or reason == "crashed" or not message:
            return "crash", f"{reason}: {message}"
        if reason == "timeout":
            return "hang", message
        if reason == "out-of-memory":
            return "memory", message
    return None


def digest(folder: Path) -> dict[str, str]:
    """Relative path → what is there: bytes of files, targets of links."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"link to {path.readlink()}"
        elif path.is_file():
            found[name] = content(path)
        else:
            found[name] = "folder"
    return found


def content(path: Path) -> str:
    """The hash that a manifest keeps as a clip's ``content``."""
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
