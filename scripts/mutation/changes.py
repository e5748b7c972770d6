"""What is done to an input, by chance: each change is a function of a random.Random, and says what it did."""

from __future__ import annotations

import csv
import io
import json
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mutation.bases import Base, as_csv

Change = dict[str, Any]
"""``what`` was done, in words; ``expect``: what must come out where the kind's own rule would not know it."""

_NUMBERS = (0, 1, 2, 3, 255, 256, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF, 1_000_000)
_BOXES = ("mvhd", "tkhd", "mdhd", "hdlr", "stts", "ctts", "stsz", "stco", "stsc", "stss", "elst", "stsd", "avc1",
          "avcC", "colr", "pasp", "trun", "tfhd", "tfdt", "mdat", "moov", "ftyp")  # fmt: skip
_ODD_TEXTS = ("", " ", "nan", "NaN", "inf", "-1", "0", "1e999", "999999999999999999999", "null", "None", "TRUE",
              "../../escaped", "/etc/hostname", "a/b", "a\\b", "'", '"', '"half', "hello\nthere", "hello\x00",
              "h\u00e9llo", "he\u0301llo", "\u2028", "\ufeffhello", "\u202ehello", "hello ", "HELLO",
              "x" * 5000, "=1+1", "{label}", "%s", "\U0001f91f", ",", ";", "#", "con")  # fmt: skip
_ODD_VALUES = (None, True, False, 0, -1, 1, 10**30, -(10**30), 1.5, float("nan"), float("inf"), "", "nan", [], {}, [[]],
               ["hello"], {"a": 1}, "../../escaped", "hello\u2028there", "hello\x00", "x" * 5000)  # fmt: skip


def change(base: Base, folder: Path, rng: random.Random) -> Change:
    """Change ``base.target`` below ``folder`` in a way that fits its kind, and say how."""
    choices = {
        "video": (_bytes, 5, _field, 4, _packets, 2, _whole_file, 2),
        "pictures": (_one_picture, 5, _picture_names, 4),
        "pose": (_bytes, 6, _field, 3, _whole_file, 2, _pose_values, 3),
        "table": (_cells, 6, _table_form, 4, _bytes, 3),
        "wlasl": (_json_value, 5, _bytes, 2),
        "manifest": (_json_lines, 6, _bytes, 2),
        "split": (_json_value, 5, _bytes, 2),
        "flow": (_bytes, 5, _field, 4),
        "run": (_json_value, 3, _run_files, 2),
    }[base.kind]
    how = rng.choices(choices[::2], weights=choices[1::2])[0]
    return how(base, folder, rng)


# --- bytes --------------------------------------------------------------------------------------------------------


def _flip(data: bytearray, rng: random.Random) -> str:
    at = [_place(data, rng) for _ in range(rng.choice((1, 1, 1, 2, 8)))]
    for place in at:
        data[place] ^= rng.randrange(1, 256)
    return f"bytes {sorted(at)} changed"


def _cut(data: bytearray, rng: random.Random) -> str:
    keep = rng.randrange(len(data))
    if rng.random() < 0.4:
        keep = max(len(data) - rng.randrange(1, 64), 0)
    del data[keep:]
    return f"cut off at byte {keep}"


def _insert(data: bytearray, rng: random.Random) -> str:
    at, n = _place(data, rng), rng.choice((1, 2, 4, 17, 64, 188))
    data[at:at] = rng.randbytes(n)
    return f"{n} bytes inserted at {at}"


def _remove(data: bytearray, rng: random.Random) -> str:
    at, n = _place(data, rng), rng.choice((1, 2, 4, 17, 64, 188))
    del data[at : at + n]
    return f"{n} bytes removed at {at}"


def _swap(data: bytearray, rng: random.Random) -> str:
    n = min(rng.choice((4, 16, 188, 512)), len(data) // 2)
    one, other = sorted((rng.randrange(len(data) - n + 1), rng.randrange(len(data) - n + 1)))
    other = max(other, one + n)
    first, second = data[one : one + n], data[other : other + n]
    data[one : one + len(second)], data[other : other + len(first)] = second, first[: len(second)]
    return f"{n} bytes at {one} and {other} swapped"


def _zero(data: bytearray, rng: random.Random) -> str:
    at, n = _place(data, rng), rng.choice((1, 8, 64, 512))
    n = min(n, len(data) - at)
    data[at : at + n] = bytes(n)
    return f"{n} zeros at {at}"


def _repeat(data: bytearray, rng: random.Random) -> str:
    at, n = _place(data, rng), rng.choice((4, 16, 188, 1024))
    data[at:at] = data[at : at + n]
    return f"{n} bytes repeated at {at}"


def _append(data: bytearray, rng: random.Random) -> str:
    n = rng.choice((1, 100, 5000))
    data += rng.randbytes(n)
    return f"{n} bytes appended"


def _place(data: bytearray, rng: random.Random) -> int:
    """A position: half the time near an end, where headers and indexes stand."""
    n = max(len(data), 1)
    if rng.random() < 0.5:
        near = rng.randrange(min(1024, n))
        return near if rng.random() < 0.6 else n - 1 - near
    return rng.randrange(n)


def _bytes(base: Base, folder: Path, rng: random.Random) -> Change:
    path = folder / base.target
    data = bytearray(path.read_bytes())
    how = rng.choices((_flip, _cut, _insert, _remove, _swap, _zero, _repeat, _append), (5, 3, 2, 2, 1, 2, 1, 1))[0]
    what = how(data, rng)
    path.write_bytes(bytes(data))
    return {"what": what, "way": how.__name__.strip("_")}


def _field(base: Base, folder: Path, rng: random.Random) -> Change:
    """A number in a header: of a box of an mp4, or anywhere near the start."""
    path = folder / base.target
    data = bytearray(path.read_bytes())
    names = [name for name in _BOXES if name.encode() in data]
    if names and rng.random() < 0.85:
        name = rng.choice(names)
        at = data.index(name.encode()) + rng.choice((-4, 4, 8, 8, 12, 12, 16, 16, 20, 24, 28))
        form, where = ">I", f"box {name}"
    else:
        at, form, where = rng.randrange(min(len(data), 400)), rng.choice(("<H", ">H", "<I", ">I")), "header"
    at = max(0, min(at, len(data) - 4))
    size = struct.calcsize(form)
    before = struct.unpack_from(form, data, at)[0]
    number = rng.choice((*_NUMBERS, before + 1, before - 1, before * 2, before // 2, len(data))) % (1 << 8 * size)
    struct.pack_into(form, data, at, number)
    path.write_bytes(bytes(data))
    return {"what": f"{where}: {before} at byte {at} is now {number}", "way": "field"}


def _whole_file(base: Base, folder: Path, rng: random.Random) -> Change:
    """The file as a whole: empty, noise, renamed, a link, a folder."""
    path = folder / base.target
    kind = rng.choice(("empty", "noise", "zeros", "text", "suffix", "no suffix", "name", "link", "folder", "twice"))
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "noise":
        path.write_bytes(rng.randbytes(path.stat().st_size))
    elif kind == "zeros":
        path.write_bytes(bytes(path.stat().st_size))
    elif kind == "text":
        path.write_text("<html>not found</html>" if rng.random() < 0.5 else "hello", encoding="utf-8")
    elif kind == "suffix":
        others = [s for s in (".mp4", ".MP4", ".avi", ".mkv", ".pose", ".gif", ".mov", ".txt") if s != path.suffix]
        path.rename(path.with_suffix(rng.choice(others)))
    elif kind == "no suffix":
        path.rename(path.with_suffix(""))
    elif kind == "name":
        names = (
            "tab\there",
            "new\nline",
            "quote'\"",
            "-rf",
            "per%cent",
            "e\u0301 u\u0308",
            "手話",
            "b[r]c{k}",
            "a" * 200,
            " x ",
        )
        path.rename(path.with_name(rng.choice(names) + path.suffix))
    elif kind == "link":
        other = path.with_name("elsewhere.bin")
        path.rename(other)
        path.symlink_to(rng.choice((other.name, "nowhere.bin", path.name)))
    elif kind == "folder":
        path.unlink()
        path.mkdir()
    else:
        path.with_name("again" + path.suffix).write_bytes(path.read_bytes())
    return {"what": f"file: {kind}", "way": kind}


def _packets(base: Base, folder: Path, rng: random.Random) -> Change:
    """Written anew by FFmpeg with packets left out, given twice or at other times: sound for a container."""
    import av

    path = folder / base.target
    other = path.with_name(f"packets{path.suffix}")
    kind = rng.choice(("drop", "drop many", "twice", "late", "backwards", "jump"))
    try:
        with av.open(str(path)) as source, av.open(str(other), "w") as target:
            stream = source.streams.video[0]
            out = target.add_stream_from_template(stream)
            packets = [p for p in source.demux(stream) if p.size]
            one = rng.randrange(1, len(packets))
            gone = {one} if kind == "drop" else {k for k in range(1, len(packets)) if rng.random() < 0.3}
            step = packets[1].dts - packets[0].dts if packets[1].dts and packets[0].dts is not None else 1
            for k, packet in enumerate(packets):
                if kind.startswith("drop") and k in gone:
                    continue
                if kind in ("late", "jump") and k >= one:
                    shift = step * (7 if kind == "late" else 100_000)
                    packet.pts, packet.dts = (packet.pts or 0) + shift, (packet.dts or 0) + shift
                if kind == "backwards" and k == one:
                    packet.pts = (packets[0].pts or 0) - step
                packet.stream = out
                target.mux(packet)
                if kind == "twice" and k == one:
                    packet.dts, packet.pts = (packet.dts or 0) + 1, (packet.pts or 0) + 1
                    target.mux(packet)
        other.replace(path)
    except (av.error.FFmpegError, OSError, ValueError, TypeError, OverflowError) as error:
        other.unlink(missing_ok=True)  # the muxer has its own rules; then the bytes are changed
        changed = _bytes(base, folder, rng)
        return {**changed, "what": f"{changed['what']} (packets {kind} cannot be written: {type(error).__name__})"}
    return {"what": f"packets: {kind} at {one} of {len(packets)}", "way": f"packets {kind}"}


# --- pictures -----------------------------------------------------------------------------------------------------


def _one_picture(base: Base, folder: Path, rng: random.Random) -> Change:
    files = sorted((folder / base.target).iterdir())
    path = rng.choice(files)
    one = Base(base.name, base.kind, 0, str(path.relative_to(folder)), base.build, (), base.about)
    if rng.random() < 0.15:
        import cv2

        from mutation.coded import coded_frame

        scale = rng.choice((0.5, 2.0, 0.99))
        frame = cv2.resize(coded_frame(1, files.index(path)), None, fx=scale, fy=scale)
        cv2.imwrite(str(path), frame)
        return {"what": f"{path.name}: {scale} times as large", "way": "size"}
    changed = (_field if rng.random() < 0.3 else _bytes)(one, folder, rng)
    return {**changed, "what": f"{path.name}: {changed['what']}"}


def _picture_names(base: Base, folder: Path, rng: random.Random) -> Change:
    """The files of the folder: one gone, twice, renamed; other files beside them."""
    place = folder / base.target
    files = sorted(place.iterdir(), key=lambda p: int(p.stem))
    path = rng.choice(files[1:-1])
    kind = rng.choice(("gone", "gone last", "twice", "padded", "letter", "other files", "upper", "from 100", "copy"))
    expect: dict[str, Any] = {}
    if kind == "gone":
        path.unlink()
    elif kind == "gone last":
        files[-1].unlink()
        expect = {"numbers": list(range(len(files) - 1))}  # nothing tells that there was one more
    elif kind == "twice":
        path.with_name(f"{len(files) + 1}{path.suffix}").write_bytes(path.read_bytes())
        expect = {"numbers": [*range(len(files)), files.index(path)]}  # what the folder says
    elif kind == "copy":
        path.with_name(f"{path.stem} (1){path.suffix}").write_bytes(path.read_bytes())
    elif kind == "padded":
        for file in files:
            file.rename(file.with_name(f"{int(file.stem):05d}{file.suffix}"))
        expect = {"numbers": list(range(len(files)))}
    elif kind == "letter":
        path.rename(path.with_name(f"{path.stem}b{path.suffix}"))
        expect = {"numbers": list(range(len(files)))}
    elif kind == "other files":
        for name in (".DS_Store", "Thumbs.db", "notes.txt", f".hidden{path.suffix}"):
            (place / name).write_bytes(b"x")
        expect = {"numbers": list(range(len(files)))}
    elif kind == "upper":
        path.rename(path.with_suffix(path.suffix.upper()))
        expect = {"numbers": list(range(len(files)))}
    else:
        for file in reversed(files):
            file.rename(file.with_name(f"frame_{int(file.stem) + 95}{file.suffix}"))
        expect = {"numbers": list(range(len(files)))}
    return {"what": f"pictures: {kind} ({path.name})", "way": f"pictures {kind}", "expect": expect}


# --- poses --------------------------------------------------------------------------------------------------------


def _pose_values(base: Base, folder: Path, rng: random.Random) -> Change:
    """Numbers in the data: not finite, huge, zero, confidence that is none."""
    path = folder / base.target
    data = bytearray(path.read_bytes())
    kind = rng.choice(("nan", "inf", "huge", "zero", "negative"))
    value = {"nan": float("nan"), "inf": float("inf"), "huge": 3e38, "zero": 0.0, "negative": -1.0}[kind]
    n = rng.choice((1, 5, 200))
    for _ in range(n):
        at = len(data) - 4 * rng.randrange(1, len(data) // 8)
        struct.pack_into("<f", data, at, value)
    path.write_bytes(bytes(data))
    return {"what": f"{n} of its numbers are {kind}", "way": f"values {kind}"}


# --- tables -------------------------------------------------------------------------------------------------------


def _rows(base: Base, folder: Path) -> list[list[str]]:
    text = (folder / base.target).read_text(encoding="utf-8")
    return [list(row) for row in csv.reader(io.StringIO(text), delimiter=base.about["delimiter"])]


def _cells(base: Base, folder: Path, rng: random.Random) -> Change:
    """Cells, rows and columns; what the table says then is what must come out."""
    rows = _rows(base, folder)
    top = 1 if base.about["header"] else 0
    one, other = rng.sample(range(top, len(rows)), 2)
    column = rng.randrange(len(rows[0]))
    kind = rng.choice(("swap", "odd", "odd", "odd", "drop cell", "extra cell", "drop row", "row twice", "header",
                       "empty", "drop column", "new column"))  # fmt: skip
    what = f"{kind}: row {one}, column {column}"
    if kind == "swap":
        rows[one][column], rows[other][column] = rows[other][column], rows[one][column]
    elif kind == "odd":
        rows[one][column] = rng.choice(_ODD_TEXTS)
        what += f", {rows[one][column][:30]!r}"
    elif kind == "drop cell":
        del rows[one][column]
    elif kind == "extra cell":
        rows[one].insert(column, rng.choice(("", "x", "7")))
    elif kind == "drop row":
        del rows[one]
    elif kind == "row twice":
        rows.insert(other, list(rows[one]))
    elif kind == "header" and top:
        rows[0][column] = rng.choice((*_ODD_TEXTS, *rows[0], "gloss", "fold", "time_start", "id"))
        what += f", {rows[0][column][:30]!r}"
    elif kind == "empty":
        for row in rows[top:]:
            row[column] = ""
    elif kind == "drop column":
        for row in rows:
            del row[column]
    else:
        values = rng.choice((["1", "2", "3", "4"], ["a"], ["0.5", "1.25"], ["train", "test"]))
        for k, row in enumerate(rows):
            row.insert(column, "extra" if k < top else values[k % len(values)])
    text = as_csv(rows, base.about["delimiter"])
    (folder / base.target).write_bytes(text.encode("utf-8", errors="surrogatepass"))
    return {"what": what, "way": f"cells {kind}"}


def _table_form(base: Base, folder: Path, rng: random.Random) -> Change:
    """The same table written otherwise; what it says stays the same."""
    rows = _rows(base, folder)
    top = 1 if base.about["header"] else 0
    delimiter, encoding = base.about["delimiter"], "utf-8"
    kind = rng.choice(("shuffled", "columns", "semicolons", "tabs", "quoted", "crlf", "bom", "utf-16", "latin-1",
                       "blank", "spaces", "no end", "sep=", "comment", "capitals"))  # fmt: skip
    how: dict[str, Any] = {}
    if kind == "shuffled":
        body = rows[top:]
        rng.shuffle(body)
        rows = rows[:top] + body
    elif kind == "columns" and top:
        order = rng.sample(range(len(rows[0])), len(rows[0]))
        rows = [[row[k] for k in order] for row in rows]
    elif kind in ("semicolons", "tabs"):
        delimiter = ";" if kind == "semicolons" else "\t"
    elif kind == "quoted":
        how = {"quoting": csv.QUOTE_ALL}
    elif kind == "capitals" and top:
        rows[0] = [name.upper() for name in rows[0]]
    elif kind == "spaces":
        rows = [[f" {cell} " for cell in row] for row in rows]
    elif kind in ("bom", "utf-16", "latin-1"):
        encoding = {"bom": "utf-8-sig"}.get(kind, kind)
        if kind == "latin-1":
            rows = [[cell.replace("hello", "hallö") for cell in row] for row in rows]
    text = as_csv(rows, delimiter, **how)
    if kind == "crlf":
        text = text.replace("\n", "\r\n")
    elif kind == "blank":
        text = "\n" + text.replace("\n", "\n\n", 3) + "\n\n"
    elif kind == "no end":
        text = text.rstrip("\n")
    elif kind == "sep=":
        text = f"sep={delimiter}\n{text}"
    elif kind == "comment":
        text = f"# made by hand\n{text}"
    (folder / base.target).write_bytes(text.encode(encoding))
    form = {"delimiter": delimiter, "encoding": encoding, "rows": rows}
    return {"what": f"table: {kind}", "way": f"form {kind}", "expect": {"form": form}}


# --- JSON ---------------------------------------------------------------------------------------------------------


def change_value(value: Any, rng: random.Random) -> tuple[str, list[Any]]:
    """Change one thing somewhere inside ``value``, in place; what was done, and the way to it."""
    way: list[Any] = []
    place = value
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = rng.choice(keys)
        way.append(key)
        inner = place[key]
        if not (isinstance(inner, dict | list) and inner) or rng.random() < 0.15:
            break
        place = inner
    kind = rng.choice(("odd", "odd", "odd", "text", "gone", "wrapped", "twice"))
    if kind == "gone":
        del place[key]
    elif kind == "text":
        place[key] = rng.choice(_ODD_TEXTS)
    elif kind == "wrapped":
        place[key] = [place[key]]
    elif kind == "twice" and isinstance(place, list):
        place.insert(key, place[key])
    else:
        place[key] = rng.choice(_ODD_VALUES)
    return f"{'/'.join(map(str, way))[:80]} {kind}", way


def _json_value(base: Base, folder: Path, rng: random.Random) -> Change:
    path = folder / base.target
    value = json.loads(path.read_text(encoding="utf-8"))
    what, way = change_value(value, rng)
    path.write_text(json.dumps(value, ensure_ascii=rng.random() < 0.5), encoding="utf-8")
    return {"what": what, "way": "value", "expect": {"at": way}}


def _json_lines(base: Base, folder: Path, rng: random.Random) -> Change:
    """A line of a manifest: a value in it, the line itself."""
    path = folder / base.target
    lines = path.read_text(encoding="utf-8").splitlines()
    k = rng.randrange(len(lines)) if rng.random() < 0.9 else 0
    kind = rng.choice(("value", "value", "value", "value", "twice", "not JSON", "blank", "list", "shuffled", "crlf",
                       "bom"))  # fmt: skip
    expect: dict[str, Any] = {"lines": [k]}
    what = kind
    if kind == "value":
        row = json.loads(lines[k])
        what, _ = change_value(row, rng)
        lines[k] = json.dumps(row, ensure_ascii=rng.random() < 0.5)
    elif kind == "twice":
        lines.insert(k, lines[k])
    elif kind == "not JSON":
        lines[k] = lines[k][: len(lines[k]) // 2]
    elif kind == "blank":
        lines.insert(k, "")
        expect = {"lines": []}
    elif kind == "list":
        lines[k] = json.dumps(list(json.loads(lines[k]).items()))
    elif kind == "shuffled":
        body = lines[1:]
        rng.shuffle(body)
        lines = [lines[0], *body]
        expect = {"lines": []}
    text = ("\r\n" if kind == "crlf" else "\n").join(lines) + "\n"
    path.write_bytes(text.encode("utf-8-sig" if kind == "bom" else "utf-8", errors="surrogatepass"))
    return {"what": f"line {k}: {what}", "way": f"line {kind}", "expect": expect}


def _run_files(base: Base, folder: Path, rng: random.Random) -> Change:
    """A file of a run: its weights, its figures."""
    name = rng.choice(("checkpoint/model.safetensors", "checkpoint/config.json", "run.json", "history.json"))
    one = Base(base.name, base.kind, 0, f"run/{name}", base.build, (), base.about)
    ways: tuple[Callable[..., Change], ...] = (_bytes,) if name.endswith("safetensors") else (_bytes, _json_value)
    changed = rng.choice(ways)(one, folder, rng)
    return {**changed, "what": f"{name}: {changed['what']}", "file": name}


__all__ = ["Change", "change", "change_value"]
