"""What the doctor calls a fault, and what it does not: spellings of one gloss, frames that a camera dropped."""

from __future__ import annotations

import unicodedata

import pytest

from signloom.pipelines.doctor import diagnose


def folder_of_labels(tmp_path, media_maker, counts):
    """A clip of its own for each of ``counts`` (label → how many), in a table."""
    rows = ["file,label"]
    for k, label in enumerate(label for label, n in counts.items() for _ in range(n)):
        media_maker.encode_clip(tmp_path / f"{k}.mp4", media_maker.moving_square(6, seed=k))
        rows.append(f'{k}.mp4,"{label}"')
    (tmp_path / "clips.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return tmp_path / "clips.csv"


def spellings(found):
    return [p for p in found.problems if p.kind == "spelling"]


def test_one_gloss_in_several_spellings_is_a_finding(media_maker, tmp_path):
    table = folder_of_labels(
        tmp_path, media_maker, {"THANK YOU": 3, "THANK_YOU": 2, "thank-you": 1, "Thank  you": 1, "HELLO": 1}
    )
    (problem,) = spellings(diagnose(table, source="csv", workers=0, quiet=True))
    assert "'THANK YOU' (3 clips)" in problem.message
    assert "'THANK_YOU' (2)" in problem.message
    assert "'thank-you' (1)" in problem.message
    assert "one spelling" in problem.message
    assert len(problem.clips) >= 3
    assert "HELLO" not in problem.message


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("žuta", unicodedata.normalize("NFD", "žuta")),
        ("Straße", "STRASSE"),
        ("ＨＥＬＬＯ", "hello"),  # letters of full width, as East Asian keyboards give them
        ("GOOD–NIGHT", "GOOD NIGHT"),
    ],
)
def test_forms_of_unicode_and_case(media_maker, tmp_path, one, other):
    table = folder_of_labels(tmp_path, media_maker, {one: 2, other: 1})
    found = diagnose(table, source="csv", workers=0, quiet=True)
    if found.labels == 2:  # the reader may have brought them together already
        assert len(spellings(found)) == 1


def test_signs_that_differ_are_no_spellings(media_maker, tmp_path):
    table = folder_of_labels(tmp_path, media_maker, {"TREE1": 1, "TREE2": 1, "TREE": 1, "THREE": 1})
    assert not spellings(diagnose(table, source="csv", workers=0, quiet=True))


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [("a.avi", "mjpeg", "yuvj420p"), ("a.mp4", "libx264", "yuv420p"), ("a.mkv", "libx264", "yuv420p")],
)
def test_frames_that_a_camera_dropped_are_no_lie(media_maker, tmp_path, name, codec, pix_fmt, full):
    kept = [n for n in range(60) if n % 7 not in (3, 4)]
    (tmp_path / "SIGN").mkdir()
    media_maker.encode_clip(
        tmp_path / "SIGN" / name,
        media_maker.moving_square(len(kept)),
        codec=codec,
        pix_fmt=pix_fmt,
        fps=30,
        pts=kept,
    )
    found = diagnose(tmp_path, source="folder", full=full, workers=0, quiet=True)
    assert not found.problems
    if name == "a.avi":
        assert any("camera dropped frames" in note and "(16 missing beside 43)" in note for note in found.notes)


def test_a_file_that_is_cut_off_is_still_truncated(media_maker, tmp_path):
    (tmp_path / "SIGN").mkdir()
    kept = [n for n in range(60) if n % 7 not in (3, 4)]
    file = media_maker.encode_clip(
        tmp_path / "SIGN" / "a.avi", media_maker.moving_square(len(kept)), codec="mjpeg", pix_fmt="yuvj420p", fps=30,
        pts=kept,
    )  # fmt: skip
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])
    (problem,) = diagnose(tmp_path, source="folder", workers=0, quiet=True).problems
    assert problem.kind == "truncated"
