"""Trees whose folder and file names say what a clip is, by a pattern the user states."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signloom.data.manifest import Manifest
from signloom.errors import InputError
from signloom.sources.listing import (
    MEDIA_SUFFIXES,
    NAMED_AT_MOST,
    SPLIT_NAMES,
    Listing,
    list_media,
    records_of,
    split_name,
)
from signloom.sources.spelling import nfc

KNOWN = ("label", "signer", "take", "source", "split")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def read_tree(root: str | Path, pattern: str) -> Manifest:
    """One record per media file below ``root`` whose path fits ``pattern``.

    ``pattern`` is a path with placeholders, such as ``{signer}/{label}/{take}.mp4`` or
    ``{label}/{signer}_{take}.*``. ``{label}``, ``{signer}``, ``{source}`` and ``{split}`` fill the record;
    ``{take}`` and any other name go to its ``extra``; ``{*}`` stands for anything. A placeholder never crosses a
    ``/``, and one that stands twice must have the same text twice. Only a label may hold the character that separates
    placeholders in one name, so ``{signer}_{label}_{take}`` reads ``s1_thank_you_3`` as one expects. ``.*`` or no
    suffix at all means any video or ``.pose`` suffix.

    Files that do not fit are counted and named in ``meta["unmatched"]``. Raises InputError for a pattern that cannot
    be used, and when no file fits, with the first file that did not and a pattern that would.
    """
    listing = list_media(root)
    matched, meta = fitting(pattern, listing)
    return Manifest(records_of(matched), listing.root, {**meta, "source": "tree"})


def fitting(
    pattern: str, listing: Listing, suffixes: frozenset[str] = MEDIA_SUFFIXES, what: str = "video or .pose file"
) -> tuple[list[tuple[str, dict[str, Any]]], dict[str, Any]]:
    """The files that fit ``pattern``, each with what its path says of its record, and header entries.

    ``suffixes`` are those that the pattern may name, and ``what`` files of them are called. Raises InputError like
    :func:`read_tree`.
    """
    compiled = Pattern.parse(pattern, suffixes, what)
    matched: list[tuple[str, dict[str, Any]]] = []
    unmatched: list[str] = []
    for path in listing.files:
        values = compiled.match(path)
        if values is None:
            unmatched.append(path)
            continue
        fields: dict[str, Any] = {k: values.pop(k) for k in ("label", "signer", "source") if k in values}
        if "split" in values:
            fields["split"] = split_name(values.pop("split"), f"'{path}' read with pattern '{pattern}'")
        if values:
            fields["extra"] = values
        matched.append((path, fields))
    if not matched:
        raise InputError(no_match(pattern, listing.root, listing.files, what))
    meta: dict[str, Any] = {"name": listing.root.resolve().name, "source": "", "pattern": pattern, **listing.meta()}
    if unmatched:
        meta["unmatched"] = {"count": len(unmatched), "first": unmatched[:NAMED_AT_MOST]}
        meta["notes"] = [
            f"pattern '{pattern}' fits {len(matched)} of {len(listing.files)} files; "
            f"the first that does not fit is '{unmatched[0]}'"
        ]
    return matched, meta


@dataclass(frozen=True)
class Pattern:
    """A path pattern, compiled: strict (separators only inside labels), then loose."""

    text: str
    strict: re.Pattern[str]
    loose: re.Pattern[str]
    names: tuple[str, ...]

    @classmethod
    def parse(cls, text: str, suffixes: frozenset[str] = MEDIA_SUFFIXES, what: str = "video or .pose file") -> Pattern:
        """Compile ``text``, for files of these suffixes. Raises InputError naming what is wrong with it."""
        wanted = f"wanted something like '{{signer}}/{{label}}/{{take}}.mp4', got '{text}'"
        body = nfc(text).replace("\\", "/").strip().removeprefix("./").strip("/")
        if not _PLACEHOLDER.search(body):
            raise InputError(f"the pattern has no placeholder; {wanted}")
        names = _PLACEHOLDER.findall(body)
        for name in names:
            if name != "*" and not name.isidentifier():
                raise InputError(f"placeholder '{{{name}}}' must be a word or '*'; {wanted}")
        if re.search(r"[{}]", _PLACEHOLDER.sub("", body)):
            raise InputError(f"the pattern has a brace without its partner; {wanted}")
        if "}{" in body:
            raise InputError(f"two placeholders touch, so nothing says where one ends; {wanted}")
        if "**" in body:
            raise InputError(f"'**' is not supported: a pattern has a fixed depth; {wanted}")
        if body.endswith(".*"):
            body = body[:-2]
        else:
            stem, suffix = os.path.splitext(body)
            if suffix.lower() in suffixes:
                body, suffixes = stem, frozenset({suffix.lower()})
            elif suffix and "{" not in suffix:
                raise InputError(f"'{suffix}' is no suffix of a {what}; {wanted} (or .* for any)")
        ending = "(?i:" + "|".join(re.escape(s) for s in sorted(suffixes)) + ")"
        return cls(
            text,
            re.compile(_expression(body, strict=True) + ending),
            re.compile(_expression(body, strict=False) + ending),
            tuple(dict.fromkeys(n for n in names if n != "*")),
        )

    def match(self, path: str) -> dict[str, str] | None:
        """The placeholders' texts for a relative path, or None when it does not fit."""
        path = nfc(path)
        found = self.strict.fullmatch(path) or self.loose.fullmatch(path)
        return found.groupdict() if found else None


def _expression(body: str, *, strict: bool) -> str:
    out = []
    seen: set[str] = set()
    for segment in body.split("/"):
        parts = _PLACEHOLDER.split(segment)  # literal, name, literal, name, …, literal
        # Characters that separate placeholders in this segment cannot be part of one, except of a label.
        between = {c for literal in parts[2:-1:2] for c in literal if not c.isalnum()}
        plain = "[^/" + "".join(re.escape(c) for c in sorted(between)) + "]+" if strict and between else "[^/]+?"
        expression = []
        for k, part in enumerate(parts):
            if k % 2 == 0:
                expression.append(re.escape(part).replace(r"\*", "[^/]*"))
            elif part == "*":
                expression.append("[^/]+?")
            elif part in seen:
                expression.append(f"(?P={part})")
            else:
                seen.add(part)
                expression.append(f"(?P<{part}>{'[^/]+' if part == 'label' else plain})")
        out.append("".join(expression))
    return "/".join(out)


def no_match(pattern: str, root: Path, files: Sequence[str], what: str = "video or .pose file") -> str:
    """The message for a pattern that no file fits."""
    if not files:
        return f"pattern '{pattern}': there is no {what} below '{root}' at all"
    suggestion = suggest_pattern(files)
    message = f"pattern '{pattern}' fits none of the {len(files)} files below '{root}'; the first is '{files[0]}'."
    if suggestion and suggestion != pattern:
        message += f" A pattern that fits it: --pattern '{suggestion}'"
    return message


def suggest_pattern(files: Iterable[str]) -> str | None:
    """A pattern that fits the most common shape of ``files``; None when there are none.

    A guess to start from: names like train/val become ``{split}``, names like user03 or s2 ``{signer}``, dates
    and sessions ``{source}``.
    """
    from collections import Counter

    shapes = Counter((p.count("/"), _separators(p)) for p in files)
    if not shapes:
        return None
    (depth, separators), _ = shapes.most_common(1)[0]
    chosen = [p for p in files if (p.count("/"), _separators(p)) == (depth, separators)]
    columns = list(zip(*(p.split("/") for p in chosen)))
    roles: list[str] = []
    for names in columns[:-1]:
        roles.append(_role(set(names), roles))
    if "{label}" not in roles and depth:
        free = [k for k, r in enumerate(roles) if r == "{*}"]
        if free:
            roles[free[-1]] = "{label}"
    stems = [os.path.splitext(n)[0] for n in columns[-1]]
    suffixes = {os.path.splitext(n)[1] for n in columns[-1]}
    ending = suffixes.pop() if len(suffixes) == 1 else ".*"
    separator = separators[0] if separators else ""
    pieces = [s.split(separator) for s in stems] if separator else [[s] for s in stems]
    if len({len(p) for p in pieces}) == 1 and len(pieces[0]) > 1:
        parts: list[str] = []
        for values in zip(*pieces):
            parts.append(_role(set(values), roles + parts))
        if "{label}" not in roles + parts:
            free = [k for k, r in enumerate(parts[:-1]) if r == "{*}"]
            if free:
                parts[free[0]] = "{label}"
        if "{label}" in parts or "{signer}" in parts:
            parts[-1] = "{take}" if parts[-1] == "{*}" else parts[-1]
            return "/".join([*roles, separator.join(parts) + ending])
    return "/".join([*roles, "{take}" + ending])


PERSON = re.compile(r"(?i)(user|signer|person|subject|subj|actor|speaker|participant|s|p|n)[-_ ]?\d+")
_CAMERA = re.compile(r"(?i)(cam|camera|view|angle|kinect)[-_ ]?\d+")
_SESSION = re.compile(
    r"(?i)(session|recording|day|week|batch|part|chunk|disk|disc|dvd)[-_ ]?\d+|(19|20)\d\d[-_.]?[01]\d[-_.]?[0-3]\d.*"
)
_HOLDS_ALL = frozenset(
    f"{kind}{end}"
    for kind in ("video", "clip", "file", "recording", "pose", "dataset", "raw_video", "input", "output", "download")
    for end in ("", "s")
) | {"data", "media", "footage", "raw"}


def why_not_signs(names: Iterable[str]) -> str | None:
    """Why folders of these names are hardly signs, in words; None where they may be.

    They hold all clips together (``videos``), divide them (``train``, ``test``), or name who signs (``user03``), when
    or from where that was filmed (``2024-05-01``, ``session2``, ``cam1``).
    """
    names = sorted(set(names))
    few = ", ".join(f"'{n}'" for n in names[:4]) + (" …" if len(names) > 4 else "")
    if all(n.lower() in _HOLDS_ALL for n in names):
        return f"{few} is hardly a sign"
    if sum(n.lower() in SPLIT_NAMES for n in names) > (len(names) > 1):
        return f"{few} look like splits, not signs"
    if all(PERSON.fullmatch(n) for n in names):
        return f"{few} look like signers, not signs"
    if all(_CAMERA.fullmatch(n) for n in names):
        return f"{few} look like cameras, not signs"
    if all(_SESSION.fullmatch(n) for n in names):
        return f"{few} look like sessions, not signs"
    return None


def _separators(path: str) -> str:
    stem = os.path.splitext(os.path.basename(path))[0]
    found = [c for c in "_- " if c in stem]
    return found[0] * stem.count(found[0]) if found else ""


def _role(names: set[str], taken: list[str]) -> str:
    if "{split}" not in taken and all(n.lower() in SPLIT_NAMES for n in names):
        return "{split}"
    if "{signer}" not in taken and all(PERSON.fullmatch(n) for n in names):
        return "{signer}"
    if "{camera}" not in taken and all(_CAMERA.fullmatch(n) for n in names):
        return "{camera}"
    if "{source}" not in taken and all(_SESSION.fullmatch(n) for n in names):
        return "{source}"
    return "{*}"
