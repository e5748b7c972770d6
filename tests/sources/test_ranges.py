"""Columns that cut clips out of longer recordings: what is taken, what is said, and what is asked."""

from __future__ import annotations

import pytest

from signloom import media
from signloom.errors import InputError
from signloom.pipelines.prepare import Preparation, prepare_corpus
from signloom.sources import read_source
from signloom.sources.csv_table import read_csv
from signloom.sources.ranges import bound_of


def table(tree, text):
    root = tree("long.mp4")
    (root / "list.csv").write_text(text)
    return root / "list.csv"


def ranges(corpus):
    return [((r.start_s, r.end_s) if r.timed else (r.first_frame, r.end_frame)) for r in corpus]


def notes(corpus):
    return " | ".join(corpus.meta["notes"])


@pytest.mark.parametrize(
    ("header", "rows", "expected", "said"),
    [
        ("time_start,time_end", ["1.0,2.0", "3,4.5"], [(1.0, 2.0), (3.0, 4.5)], "in seconds"),
        ("start_time,end_time", ["1.0,2.0", "3,4.5"], [(1.0, 2.0), (3.0, 4.5)], "in seconds"),
        ("Start (s),End (s)", ["1.0,2.0", ",4.5"], [(1.0, 2.0), (None, 4.5)], "in seconds"),
        ("beginTime,endTime", ["0:01.5,0:02", "1:02:03,1:02:04"], [(1.5, 2.0), (3723.0, 3724.0)], "in seconds"),
        ("start_ms,end_ms", ["1000,2000", "2500,"], [(1.0, 2.0), (2.5, None)], "in milliseconds"),
        ("Begin Time - ss.msec,End Time - ss.msec", ["1.5,2.5", "3,4.5"], [(1.5, 2.5), (3.0, 4.5)], "in seconds"),
        ("Begin Time - hh:mm:ss.ms,End Time - hh:mm:ss.ms", ["00:00:01.500,00:00:02.500", "0:00:03,1:00:00"],
         [(1.5, 2.5), (3.0, 3600.0)], "in seconds"),
        ("Begin Time - ss.msec,Begin Time - msec,End Time - ss.msec,End Time - msec", ["1.5,1500,2.5,2500"],
         [(1.5, 2.5)], "in seconds"),
        ("start_time,end_time", ['"00:00:01,500","00:00:02,250"'], [(1.5, 2.25)], "in seconds"),
        ("start_frame,end_frame", ["30,60", "90,120"], [(30, 60), (90, 120)], "from 0, the end not included"),
        ("frame_start,frame_end", ["31,60", "91,-1"], [(30, 60), (90, None)], "from 1, the end included"),
        ("first_frame,end_frame", ["30,60.0", ",120"], [(30, 60), (0, 120)], "from 0, the end not included"),
        ("startFrame,endFrame,start_time,end_time", ["30,60,1,2", "0,30,0,1"], [(1.0, 2.0), (0.0, 1.0)],
         "not used, but kept in each clip's extra: 'startFrame'"),
    ],
)  # fmt: skip
def test_ranges_by_their_names(tree, header, rows, expected, said):
    path = table(tree, f"video,label,{header}\n" + "".join(f"long.mp4,L{k},{row}\n" for k, row in enumerate(rows)))
    corpus = read_csv(path)
    assert ranges(corpus) == expected
    assert said in notes(corpus)
    assert len({r.id for r in corpus}) == len(rows)
    assert ranges(read_csv(path, columns="range=")) == [(0, None)] * len(rows)


@pytest.mark.parametrize(
    ("header", "row", "asks"),
    [
        ("start,end", "1,2", r"'start', 'end': is that a range, and in which unit.*start_s=start,end_s=end"),
        ("start_frame,note", "30,x", "'start_frame': is that a range"),
        ("end_time", "2.0", "'end_time': is that a range"),
        ("start_frame,end_time", "30,2.0", "'start_frame', 'end_time': is that a range"),
        ("start_time,time_start,end_time", "1,2,3", "is that a range"),
        ("first_frame,last_frame", "30,60", r"do not say whether they count from 0 or 1.*frames=from-0-inclusive"),
        ("start_frame,frame_end", "30,60", "do not say whether they count"),
        ("frame_start,frame_end", "0,60", "count from 1, and here is a 0"),
        (
            "start_s,end_s",
            '"1,5","2,5"',
            "'start_s' seems to be an end of a range, and '1,5' is no number.*with a point",
        ),
        ("start_s,end_s", '1,"2,5"', "'end_s' seems to be an end of a range"),
        ("start_time,end_time", "00:00:01:12,00:00:02:12", "'00:00:01:12' is no number"),
    ],
)
def test_half_a_range_and_a_doubtful_one_are_questions(tree, header, row, asks):
    path = table(tree, f"video,label,{header}\nlong.mp4,hi,{row}\n")
    with pytest.raises(InputError, match=asks):
        read_csv(path)
    assert ranges(read_csv(path, columns="range=")) == [(0, None)]


def test_each_question_can_be_answered(tree):
    path = table(tree, "video,label,start,end\nlong.mp4,hi,30,60\n")
    assert ranges(read_csv(path, columns="start_s=start,end_s=end")) == [(30.0, 60.0)]
    assert ranges(read_csv(path, columns="start_ms=start,end_ms=end")) == [(0.03, 0.06)]
    assert ranges(read_csv(path, columns="first_frame=start,end_frame=end")) == [(30, 60)]
    assert ranges(read_csv(path, columns="first_frame=start,end_frame=end", frames="from-1")) == [(29, 60)]
    assert ranges(read_csv(path, columns="first_frame=start,end_frame=end", frames="from-0-inclusive")) == [(30, 61)]
    assert ranges(read_csv(path, columns="first_frame=start,end_frame=end", rate="25")) == [(1.2, 2.4)]
    assert ranges(read_csv(path, columns="first_frame=start")) == [(30, None)]
    last = table(tree, "video,label,first_frame,last_frame\nlong.mp4,hi,30,60\n")
    assert ranges(read_csv(last, frames="from-0-inclusive")) == [(30, 61)]


@pytest.mark.parametrize(
    ("columns", "row", "options", "message"),
    [
        ("start_frame,end_frame", "60,30", {}, "line 2: frames 60 to 30, counted from 0.*select nothing"),
        ("start_frame,end_frame", "30,30", {}, "select nothing.*--option frames="),
        ("start_frame,end_frame", "30.5,60", {}, "line 2: frame 30.5 is not a whole number"),
        ("frame_start,frame_end", "-3,30", {}, "select nothing"),
        ("start_time,end_time", "2.0,1.0", {}, "line 2: 2 s to 1 s select nothing"),
        ("start_time,end_time", "-1,1.0", {}, "select nothing"),
        ("start_time,end_time", "nan,1.0", {}, "'end_time': is that a range"),
        ("start_time,end_time", "1.0,2.0", {"rate": "25"}, "option rate goes with ranges in frames"),
        ("start_frame,end_frame", "1,2", {"frames": "from-2"}, "'frames' is 'from-2'; wanted one of from-0"),
        ("start_frame,end_frame", "1,2", {"rate": "fast"}, "option 'rate': fps is 'fast'"),
        ("mood,more", "x,y", {"frames": "from-1"}, "there is none"),
        ("start,more", "1,2", {"columns": "start_s=start,end_frame=more"}, "both ends of a range in one unit"),
        ("start,more", "1,2", {"columns": "range=start"}, r"wanted range= \(no range\)"),
    ],
)
def test_what_is_no_range_is_named(tree, columns, row, options, message):
    path = table(tree, f"video,label,{columns}\nlong.mp4,hi,{row}\n")
    with pytest.raises(InputError, match=message):
        read_csv(path, **options)


def test_frames_counted_at_the_tables_own_rate_are_cut_by_time(tree):
    path = table(tree, "video,label,start_frame,end_frame,fps\nlong.mp4,hi,25,50,25\nlong.mp4,bye,60,90,\n")
    corpus = read_csv(path)
    assert ranges(corpus) == [(1.0, 2.0), (60, 90)]
    assert corpus.records[0].extra == {"start_frame": "25", "end_frame": "50", "fps": "25"}
    assert "at the rate in column 'fps' (rate=file" in notes(corpus)
    assert ranges(read_csv(path, rate="file")) == [(25, 50), (60, 90)]


def test_columns_of_words_are_no_range_and_that_is_said(tree):
    corpus = read_csv(table(tree, "video,label,start,end\nlong.mp4,hi,here,there\n"))
    assert ranges(corpus) == [(0, None)]
    assert "column 'start' is no end of a range: it holds 'here'" in notes(corpus)
    corpus = read_csv(table(tree, "video,label,start,end\nlong.mp4,hi,,\n"))
    assert ranges(corpus) == [(0, None)]


def test_what_is_not_used_and_means_something_is_said(tree):
    corpus = read_csv(
        table(tree, "video,label,duration,bbox,gloss,split_seed,range,mood\nlong.mp4,hi,2,1 2 30 40,HI,3,1-9,good\n")
    )
    (note,) = [n for n in corpus.meta["notes"] if n.startswith("not used")]
    for name in ("'duration'", "'bbox' (columns=box=bbox uses it)", "'gloss'", "'split_seed'", "'range'"):
        assert name in note
    assert "mood" not in note
    boxed = read_csv(table(tree, 'video,label,bbox\nlong.mp4,hi,"[1, 2, 30, 40.5]"\n'), columns="box=bbox")
    assert boxed.records[0].box_px == (1, 2, 30, 40.5)
    with pytest.raises(InputError, match="shares of a picture"):
        read_csv(table(tree, "video,label,bbox\nlong.mp4,hi,0 0 .5 1\n"), columns="box=bbox")


@pytest.mark.parametrize("name", ["stretch", "friend", "firstname", "timeline", "weekend", "set_end_x", "startled"])
def test_words_that_only_hold_such_a_word_are_no_ends(name):
    assert bound_of(0, name) is None


def test_a_lexicon_of_poses_counts_milliseconds(tree):
    root = tree("a.pose", "b.pose")
    (root / "index.csv").write_text(
        "path,spoken_language,signed_language,start,end,words,glosses,priority\n"
        "a.pose,de,sgg,0,0,kind,Kind,0\nb.pose,de,sgg,500,1500,haus,Haus,0\n"
    )
    corpus = read_source(root)
    assert ranges(corpus) == [(0, None), (0.5, 1.5)]
    assert "milliseconds, as lexicons of .pose files have them" in notes(corpus)
    assert ranges(read_source(root / "index.csv")) == [(0, None), (0.5, 1.5)]


def test_the_frames_that_are_cut(media_maker, tmp_path):
    """The same three stretches, said in six ways, of films at 25 and 30 frames/s."""
    source = media_maker.moving_square(180, 32, 400)
    media_maker.encode_clip(tmp_path / "long.mp4", source, fps=30)
    for header, rows, options in (
        ("time_start,time_end", ((1, 2), (3, 4)), {}),
        ("start_ms,end_ms", ((1000, 2000), (3000, 4000)), {}),
        ("start_frame,end_frame", ((30, 60), (90, 120)), {}),
        ("frame_start,frame_end", ((31, 60), (91, 120)), {}),
        ("first_frame,last_frame", ((30, 59), (90, 119)), {"frames": "from-0-inclusive"}),
        ("start_frame,end_frame", ((25, 50), (75, 100)), {"rate": "25"}),
    ):
        text = "".join(f"long.mp4,L{k},{a},{b}\n" for k, (a, b) in enumerate(rows))
        (tmp_path / "list.csv").write_text(f"video_path,label,{header}\n{text}")
        corpus = read_csv(tmp_path / "list.csv", **options)
        out = tmp_path / header.replace(",", "-") / str(options)
        prepared, _ = prepare_corpus(
            corpus, out, Preparation(streams=("frames",), shorter_px=32), workers=0, quiet=True
        )
        for record, first in zip(prepared, (30, 90)):
            assert (record.first_frame, record.end_frame) == (first, first + 30)
            frames = media.read_frames(out / record.streams["frames"], [0, 29])
            assert media_maker.nearest(frames, source) == [first, first + 29]
