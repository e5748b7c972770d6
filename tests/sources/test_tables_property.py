"""Tables as people write them, drawn at random: what is read is what was written, or an InputError; nothing else."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signloom.errors import InputError
from signloom.sources.csv_table import read_csv

HEADERS = {
    "file": ["video", "File Path", "filename", "video_path", "clip"],
    "label": ["label", "Gloss", "sign", "class_name", "word"],
    "signer": ["signer", "Signer ID", "subject", "user"],
    "split": ["split", "subset", "Partition"],
}
# (names of the two columns, how a stretch from a to b hundredths of seconds or frames is written, what is meant)
RANGES = {
    ("start_time", "end_time"): (
        lambda a, b: (f"{a / 100:.2f}", f"{b / 100:.2f}"),
        lambda a, b: ("s", a / 100, b / 100),
    ),
    ("Start (s)", "End (s)"): (lambda a, b: (f"{a / 100:g}", f"{b / 100:g}"), lambda a, b: ("s", a / 100, b / 100)),
    ("start_ms", "end_ms"): (lambda a, b: (str(a * 10), str(b * 10)), lambda a, b: ("s", a / 100, b / 100)),
    ("start_frame", "end_frame"): (lambda a, b: (str(a), str(b)), lambda a, b: ("frames", a, b)),
    ("frame_start", "frame_end"): (lambda a, b: (str(a + 1), str(b)), lambda a, b: ("frames", a, b)),
}
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=8)
LABELS = st.one_of(TEXT, st.sampled_from(["thank you", "a, b", "NULL", "None", "007", "7", 'say "hi"', "x;y", "=1+1"]))


@st.composite
def tables(draw):
    """(bytes of a table, what each row means)."""
    fields = ["file", "label", *draw(st.lists(st.sampled_from(["signer", "split"]), unique=True))]
    names = {field: draw(st.sampled_from(HEADERS[field])) for field in fields}
    bounds = draw(st.one_of(st.none(), st.sampled_from(sorted(RANGES))))
    extra = draw(st.lists(st.sampled_from(["mood", "Notes", "duration", "fold"]), unique=True, max_size=2))
    order = draw(st.permutations([*fields, *(bounds or ()), *extra]))
    rows, meant = [], []
    for k in range(draw(st.integers(1, 6))):
        cells = {"file": f"clip {k}.mp4", "label": draw(LABELS)}
        cells |= {"signer": draw(TEXT), "split": draw(st.sampled_from(["train", "Val", "testing"]))}
        cells |= {name: draw(st.integers(0, 3)) for name in extra}
        start = draw(st.integers(0, 500))
        end = start + draw(st.integers(1, 500))
        if bounds is not None:
            cells |= dict(zip(bounds, RANGES[bounds][0](start, end)))
        rows.append([cells[name] for name in order])
        about = {field: cells[field] for field in ("file", "label", "signer") if field in fields}
        about["split"] = {"Val": "val", "testing": "test"}.get(cells["split"], "train") if "split" in fields else None
        about["range"] = RANGES[bounds][1](start, end) if bounds else ("frames", 0, None)
        meant.append(about)
    out = io.StringIO()
    style = {
        "delimiter": draw(st.sampled_from(",;\t|")),
        "quoting": draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
        "lineterminator": draw(st.sampled_from(["\n", "\r\n"])),
    }
    if draw(st.booleans()) and style["delimiter"] != "\t":
        out.write(f"sep={style['delimiter']}{style['lineterminator']}")
    writer = csv.writer(out, **style)
    writer.writerow([names.get(name, name) for name in order])
    writer.writerows(rows)
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1", "utf-16-le"]))
    return out.getvalue().encode(encoding, errors="replace"), encoding, meant


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("tables")
    for k in range(6):
        (root / f"clip {k}.mp4").touch()
    return root


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(tables())
def test_what_is_read_is_what_was_written_or_an_error(folder, drawn):
    content, encoding, meant = drawn
    (folder / "list.csv").write_bytes(content)
    try:
        corpus = read_csv(folder / "list.csv")
    except InputError:
        # Latin-1 and UTF-16 without its mark are not guessed; all else is a table that anybody could read.
        assert encoding in ("latin-1", "utf-16-le")
        return
    for record, wanted in zip(corpus, meant, strict=True):
        unit, start, end = wanted["range"]
        cut = (record.start_s, record.end_s) if record.timed else (record.first_frame, record.end_frame)
        assert record.timed == (unit == "s")
        assert cut == pytest.approx((start, end)) if end is not None else cut == (0, None)
        assert record.streams["video"] == wanted["file"]
        if encoding != "latin-1":  # which lost what it cannot write
            assert record.label == _composed(wanted["label"])
            assert record.signer == _composed(wanted.get("signer"))
        assert record.split == wanted["split"]


def _composed(text):
    import unicodedata

    return None if text is None else unicodedata.normalize("NFC", text)


@settings(max_examples=300)
@given(st.binary(max_size=80) | st.text(max_size=60).map(str.encode), st.booleans())
def test_any_bytes_are_a_table_or_an_error(folder, content, headed):
    (folder / "any.csv").write_bytes((b"video,label,start,end\nclip 0.mp4,A,1,2\n" if headed else b"") + content)
    try:
        corpus = read_csv(folder / "any.csv", columns="range=" if headed else None)
    except InputError:
        return
    assert all((folder / r.streams["video"]).exists() for r in corpus)
