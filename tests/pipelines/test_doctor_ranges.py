"""What doctor finds in clips that are stretches of longer recordings."""

from __future__ import annotations

import pytest

from signloom.pipelines.doctor import diagnose


@pytest.fixture(scope="module")
def folder(tmp_path_factory, media_maker):
    root = tmp_path_factory.mktemp("long")
    media_maker.encode_clip(root / "long.mp4", media_maker.moving_square(180), fps=30)
    return root


def found(folder, rows, columns="start_time,end_time"):
    (folder / "list.csv").write_text(f"video,label,{columns}\n" + "".join(f"long.mp4,{row}\n" for row in rows))
    diagnosis = diagnose(folder / "list.csv", workers=0, quiet=True)
    return [(p.kind, p.message) for p in diagnosis.problems]


def test_one_stretch_under_several_labels_is_a_finding(folder):
    ((kind, message),) = found(folder, ["drink,1.0,2.0", "eat,1.0,2.0", "go,3.0,4.0"])
    assert kind == "duplicate"
    assert "under 2 labels (drink, eat)" in message


@pytest.mark.parametrize(
    ("columns", "rows"),
    [
        ("start_time,end_time", ["drink,1.0,2.0", "eat,1.05,2.1", "eat,1.9,4.0"]),
        ("start_frame,end_frame", ["drink,30,60", "eat,32,63", "eat,57,120"]),
    ],
)
def test_so_is_nearly_the_same_stretch(folder, columns, rows):
    ((kind, message),) = found(folder, rows, columns)
    assert kind == "duplicate"
    assert "'drink' in clip" in message
    assert "'eat' in clip" in message


def test_stretches_that_touch_or_lie_in_a_longer_one_are_none(folder):
    assert found(folder, ["drink,1.0,2.0", "eat,2.0,3.0", "sentence,0.0,6.0", "eat,2.1,3.0"]) == []


def test_seconds_beyond_the_end_are_found(folder):
    ((kind, message),) = found(folder, ["drink,1.0,2.0", "eat,5.0,9.0"])
    assert kind == "range"
    assert "5 s to 9 s of" in message
    assert "which is 6.00 s long" in message
    ((kind, _),) = found(folder, ["drink,1.0,2.0", "eat,7.0,"])
    assert kind == "range"
