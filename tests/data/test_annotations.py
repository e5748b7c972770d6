"""Annotations in ELAN's, WebVTT, CSV and JSON: there and back without a millisecond lost."""

from __future__ import annotations

import csv
import json
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signloom.data.annotations import Annotation, read_eaf, write_annotations
from signloom.errors import InputError
from signloom.sources import read_source

SIGNS = [Annotation(0, 1001, "HOUSE"), Annotation(1001, 3661999, 'A<B & "C"\u0645'), Annotation(5, 7, "x", "other")]


@given(
    st.lists(
        st.builds(
            lambda start, length, label, tier: Annotation(start, start + length, label.strip(), tier),
            st.integers(0, 10**8),
            st.integers(1, 10**6),
            st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"), max_size=12),
            st.sampled_from(["signs", "hands & face", "ü"]),
        ),
        max_size=20,
    )
)
def test_an_eaf_comes_back_as_it_was(tmp_path_factory, annotations):
    file = tmp_path_factory.mktemp("eaf") / "a.eaf"
    write_annotations(file, annotations)
    found, media = read_eaf(file)
    assert media == []
    assert sorted(found, key=repr) == sorted(annotations, key=repr)


def test_an_eaf_has_what_the_schema_asks_for_in_its_order(tmp_path):
    video = tmp_path / "sub" / "a b.mp4"
    root = ElementTree.parse(write_annotations(tmp_path / "a.eaf", SIGNS, video)).getroot()
    assert {"AUTHOR", "DATE", "VERSION", "FORMAT"} <= set(root.attrib)
    assert [e.tag for e in root] == ["HEADER", "TIME_ORDER", "TIER", "TIER", "LINGUISTIC_TYPE"]
    assert [e.tag for e in root[0]] == ["MEDIA_DESCRIPTOR", "PROPERTY"]
    assert root[0][0].get("RELATIVE_MEDIA_URL") == "./sub/a b.mp4"
    slots = [int(s.get("TIME_VALUE")) for s in root.iter("TIME_SLOT")]
    assert slots == sorted(slots)
    ids = [e.get("ANNOTATION_ID") for e in root.iter("ALIGNABLE_ANNOTATION")]
    assert len(set(ids)) == len(ids) == 3
    assert {t.get("LINGUISTIC_TYPE_REF") for t in root.iter("TIER")} == {root[-1].get("LINGUISTIC_TYPE_ID")}
    refs = [e.get(f"TIME_SLOT_REF{k}") for e in root.iter("ALIGNABLE_ANNOTATION") for k in (1, 2)]
    assert sorted(refs) == sorted(s.get("TIME_SLOT_ID") for s in root.iter("TIME_SLOT"))
    assert len(set(refs)) == len(refs) == 6  # none shares its ends with another


def test_webvtt(tmp_path):
    text = write_annotations(tmp_path / "a.vtt", SIGNS).read_text(encoding="utf-8")
    assert text.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:01.001\nHOUSE\n")
    assert '00:00:01.001 --> 01:01:01.999\nA&lt;B &amp; "C"\u0645\n' in text
    assert len(re.findall("-->", text)) == 3


def test_csv_and_json(tmp_path):
    rows = list(csv.DictReader(write_annotations(tmp_path / "a.csv", SIGNS).open(encoding="utf-8", newline="")))
    assert [(row["start_s"], row["end_s"]) for row in rows] == [
        ("0.000", "1.001"),
        ("0.005", "0.007"),
        ("1.001", "3661.999"),
    ]
    rows = json.loads(write_annotations(tmp_path / "a.json", SIGNS).read_text(encoding="utf-8"))
    assert [row["label"] for row in rows] == ["HOUSE", "x", SIGNS[1].label]


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"expected one of \.eaf"):
        write_annotations(tmp_path / "a.srt", SIGNS)


@pytest.mark.parametrize(
    "text", ["no xml", "<a/>", "<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/hostname'>]><a>&b;</a>"]
)
def test_what_is_no_eaf_is_refused(tmp_path, text):
    (tmp_path / "a.eaf").write_text(text)
    with pytest.raises(InputError, match="is no ELAN file"):
        read_eaf(tmp_path / "a.eaf")


def test_annotations_that_refer_to_others_take_their_times(tmp_path):
    file = write_annotations(tmp_path / "a.eaf", SIGNS[:1])
    tier = '<TIER TIER_ID="gloss" LINGUISTIC_TYPE_REF="sign"><ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a9" '
    tier += 'ANNOTATION_REF="a1"><ANNOTATION_VALUE>HOME</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION></TIER>'
    file.write_text(file.read_text().replace("<LINGUISTIC_TYPE ", tier + "<LINGUISTIC_TYPE ", 1))
    found, _ = read_eaf(file)
    assert Annotation(0, 1001, "HOME", "gloss") in found


def test_corrections_come_back_as_a_corpus(tmp_path):
    (tmp_path / "rec.mp4").write_bytes(b"x")
    write_annotations(tmp_path / "rec.eaf", [*SIGNS, Annotation(9000, 9500, "")], tmp_path / "rec.mp4")
    corpus = read_source(tmp_path, "elan", signer="anna")
    assert [(r.label, r.start_s, r.end_s) for r in corpus] == [("HOUSE", 0.0, 1.001), (SIGNS[1].label, 1.001, 3661.999)]
    assert {r.signer for r in corpus} == {"anna"}
    assert {r.source for r in corpus} == {"rec"}
    assert [r.label for r in read_source(tmp_path, "elan", tier="other")] == ["x"]
    with pytest.raises(InputError, match="has no tier 'none'"):
        read_source(tmp_path, "elan", tier="none")
    (whole,) = read_source(tmp_path, "elan", recordings="yes")
    assert (whole.label, whole.timed, whole.source) == (None, False, "rec")
    assert whole.extra["signs"] == [[0.0, 1.001, "HOUSE"], [1.001, 3661.999, SIGNS[1].label]]
    (tmp_path / "rec.mp4").unlink()
    with pytest.raises(InputError, match="its recording is not found"):
        read_source(tmp_path, "elan")
