"""Files that a list spells otherwise than the file system: in another Unicode form, or a number without its zeros."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path


def nfc(text: str) -> str:
    """``text`` with composed characters, so that names that look the same are the same."""
    return unicodedata.normalize("NFC", text)


class Finder:
    """Finds files below ``root`` by the names that a list gives.

    A name is taken as it is where such a file is there. Else one that differs in its Unicode form alone (macOS takes
    names apart, others do not) and, with ``numbers``, one whose stem is the same number with leading zeros, which table
    programs drop. Where several would do, none is taken.
    """

    def __init__(self, root: Path, *, numbers: bool = False):
        self._root, self._numbers = root, numbers
        self._folders: dict[str, dict[str, list[str]]] = {}
        self._zeros: dict[str, dict[tuple[str, str], list[str]]] = {}
        self.composed: dict[str, str] = {}
        """Names that were found in another Unicode form → the file's."""
        self.padded: dict[str, str] = {}
        """Numbers that were found with leading zeros → the file's name."""

    def find(self, path: str) -> str | None:
        """``path``, relative to the root or absolute, as the file system spells it; None where it is not there."""
        found = self._find(path)
        if found is None or found == path:
            return found
        (self.composed if nfc(found) == nfc(path) else self.padded)[path] = found
        return found

    def _find(self, path: str) -> str | None:
        if os.path.lexists(self._root / path):
            return path
        folder, name = os.path.split(path)
        place = self._find(folder) if folder != path else None
        if place is None:
            return None
        same = self._by_form(place).get(nfc(name), [])
        if not same and self._numbers and (number := _number(name)) is not None:
            same = self._by_number(place).get(number, [])
        return os.path.join(place, same[0]) if len(same) == 1 else None

    def notes(self) -> list[str]:
        """What was found under another spelling."""
        notes = []
        if self.composed:
            notes.append(
                f"{len(self.composed)} names are written in another Unicode form than the list's, and were found"
            )
        if self.padded:
            notes.append(lost_zeros(self.padded, "names"))
        return notes

    def _by_form(self, folder: str) -> dict[str, list[str]]:
        if folder not in self._folders:
            forms: dict[str, list[str]] = defaultdict(list)
            with suppress(OSError, ValueError):
                for name in os.listdir(self._root / folder):
                    forms[nfc(name)].append(name)
            self._folders[folder] = forms
        return self._folders[folder]

    def _by_number(self, folder: str) -> dict[tuple[str, str], list[str]]:
        if folder not in self._zeros:
            numbers: dict[tuple[str, str], list[str]] = defaultdict(list)
            for names in self._by_form(folder).values():
                for name in names:
                    if number := _number(name):
                        numbers[number].append(name)
            self._zeros[folder] = numbers
        return self._zeros[folder]


def lost_zeros(found: Mapping[str, str], what: str) -> str:
    """The note on numbers that were found with leading zeros, by what the list has (names, ids)."""
    listed, there = next(iter(found.items()))
    return (
        f"{len(found)} {what} of the list lost their leading zeros, as in a table program: '{listed}' is taken for "
        f"'{there}'. --option spelling=exact takes them as they are"
    )


def without_zeros(stem: str) -> str | None:
    """A whole number as a table program would write it; None for any other text."""
    return (stem.lstrip("0") or "0") if stem.isascii() and stem.isdecimal() else None


def _number(name: str) -> tuple[str, str] | None:
    """A name that is a number → (the number, suffix)."""
    stem, suffix = os.path.splitext(name)
    number = without_zeros(stem)
    return None if number is None else (number, suffix.lower())
