"""The page's small building blocks: escaped text, names, tables, folded parts, JSON that is safe in a script."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from signloom.report.words import count, interval, percent


def text_of(value: Any) -> str:
    """``value`` safe in HTML text and attributes; characters that HTML cannot hold become �."""
    text = "".join("�" if _not_in_html(ord(c)) else c for c in str(value))
    for char, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#39;")):
        text = text.replace(char, name)
    return text


def name_of(value: Any) -> str:
    """A label or name from the data: escaped, and kept apart from the text around it whatever its direction."""
    return f"<bdi>{text_of(value)}</bdi>"


@dataclass(frozen=True)
class Number:
    """A table cell that sorts as a number. ``note`` stands small below it; ``heat`` (0 to 1) shades it."""

    text: str
    value: float | None
    note: str = ""
    heat: float | None = None


def share(value: float | None, note: str = "") -> Number:
    """A share as a cell: ``97.0%``."""
    return Number(percent(value), value, note)


def share_with_interval(entry: Mapping[str, Any]) -> Number:
    """``{"value", "low", "high"}`` as a cell."""
    return share(entry["value"], interval(entry))


def whole(n: int) -> Number:
    """A count as a cell."""
    return Number(f"{n:,}", n)


@dataclass(frozen=True)
class Column:
    """A table's column; ``still`` ones cannot be sorted by, ``extra`` ones are not shown on a phone."""

    name: str
    number: bool = False
    still: bool = False
    extra: bool = False

    @property
    def kind(self) -> str:
        return " ".join(name for name, wanted in (("n", self.number), ("extra", self.extra)) if wanted)


def table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str | Number]],
    *,
    caption: str = "",
    sortable: bool = False,
    narrow: bool = False,
) -> str:
    """A table whose first column names the row; string cells are HTML already. It scrolls sideways when too wide."""
    head = "".join(
        f'<th scope="col"{_class(c.kind)}{" data-still" if c.still else ""}>{text_of(c.name)}</th>' for c in columns
    )
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>{"".join(map(_cell, row[1:], columns[1:]))}</tr>\n' for row in rows
    )
    about = f"<caption>{text_of(caption)}</caption>" if caption else ""
    return (
        f'<div class="scroll{" narrow" if narrow else ""}"><table{_class("sortable" if sortable else "")}>{about}'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def key_values(rows: Sequence[tuple[str, Any]], caption: str) -> str:
    """A two-column table of settings; empty when there are none."""
    if not rows:
        return ""
    body = "".join(
        f'<tr><th scope="row">{name_of(key)}</th><td class="mono">{name_of(_shown(value))}</td></tr>\n'
        for key, value in rows
    )
    return (
        f'<div class="scroll narrow"><table class="settings"><caption>{text_of(caption)}</caption>'
        f"<tbody>{body}</tbody></table></div>"
    )


def folded(summary: str, html: str, is_open: bool = False) -> str:
    """``html`` behind a line that opens it."""
    return f"<details{' open' if is_open else ''}><summary>{text_of(summary)}</summary>{html}</details>"


def flat(value: Any, prefix: str = "", leave_out: Sequence[str] = ()) -> list[tuple[str, Any]]:
    """Nested dicts as dotted names with plain values; lists of plain values are joined; ``labels`` are only counted."""
    if isinstance(value, Mapping):
        rows: list[tuple[str, Any]] = []
        for key, inner in value.items():
            if key == "labels" and isinstance(inner, (list, tuple)):
                rows.append((f"{prefix}labels", count(len(inner), "label")))
            elif key not in leave_out:
                rows += flat(inner, f"{prefix}{key}.", leave_out)
        return rows
    name = prefix.rstrip(".")
    if isinstance(value, (list, tuple)):
        if any(isinstance(v, (Mapping, list, tuple)) for v in value):
            return [row for i, inner in enumerate(value) for row in flat(inner, f"{name}.{i}.", leave_out)]
        return [(name, ", ".join(map(str, value)) or "none")]
    return [(name, value)]


def safe_json(value: Any) -> str:
    """JSON that cannot end the script element it stands in, nor start a comment there."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return "".join("\\ufffd" if 0xD800 <= ord(c) < 0xE000 else c for c in text)


def _cell(cell: str | Number, column: Column) -> str:
    extra = " extra" if column.extra else ""
    if isinstance(cell, str):
        return f"<td{_class(extra.strip())}>{cell}</td>"
    value = "" if cell.value is None else f"{cell.value:.6g}"
    note = f"<br><small>{text_of(cell.note)}</small>" if cell.note else ""
    heat = "" if cell.heat is None else f' style="--v:{cell.heat:.3f}"'
    kind = f"n{extra}{' heat' if heat else ''}"
    return f'<td class="{kind}" data-v="{value}"{heat}>{text_of(cell.text)}{note}</td>'


def _class(names: str) -> str:
    return f' class="{names}"' if names else ""


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 600 else text[:599] + "…"


def _not_in_html(code: int) -> bool:
    """Control characters, halves of surrogate pairs, and code points that are no characters."""
    control = (code < 0x20 and code not in (0x09, 0x0A, 0x0D)) or 0x7F <= code < 0xA0
    return control or 0xD800 <= code < 0xE000 or (code & 0xFFFE) == 0xFFFE
