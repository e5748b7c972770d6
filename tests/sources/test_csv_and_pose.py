"""Tables with any columns, and .pose folders."""

from __future__ import annotations

import pytest

from signloom.errors import InputError
from signloom.sources.csv_table import read_csv
from signloom.sources.pose_files import read_pose_files

FILES = ("clips/a.mp4", "clips/b.mp4", "clips/c d.mp4")


def table(tree, text, name="list.csv", encoding="utf-8"):
    root = tree(*FILES)
    path = root / name
    path.write_bytes(text.encode(encoding))
    return path


def rows(corpus):
    return [(r.streams.get("video"), r.label, r.signer) for r in corpus]


WANTED = [("clips/a.mp4", "hi", "u1"), ("clips/b.mp4", "bye", "u2"), ("clips/c d.mp4", "hi", "u2")]


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("video,gloss,signer\nclips/a.mp4,hi,u1\nclips/b.mp4,bye,u2\nclips/c d.mp4,hi,u2\n", {}),
        ("Gloss;Signer_ID;File Path\r\nhi;u1;clips/a.mp4\r\nbye;u2;clips\\b.mp4\r\nhi;u2;clips/c d.mp4\r\n", {}),
        ("path\tlabel\tsigner\n\nclips/a.mp4\thi\tu1\nclips/b.mp4\tbye\tu2\nclips/c d.mp4\thi\tu2\n", {}),
        (
            ",f,what,who\n0,a.mp4,hi,u1\n1,b.mp4,bye,u2\n2,c d.mp4,hi,u2\n",
            {"columns": "file=f,label=what,signer=who", "folder": "clips"},
        ),
        ("0,clips/a.mp4,hi,u1\n1,clips/b.mp4,bye,u2\n2,clips/c d.mp4,hi,u2\n", {"columns": "label=2,signer=3"}),
        ('clips/a.mp4,"hi",u1\nclips/b.mp4,bye,u2\n"clips/c d.mp4",hi,u2\n', {"columns": "label=1,signer=-1"}),
        ("clips/a,hi,u1\nclips/b,bye,u2\nclips/c d,hi,u2\n", {"columns": "file=0,label=1,signer=2", "suffix": ".mp4"}),
    ],
    ids=["header", "semicolons", "tabs", "index and names", "numbers", "quotes", "suffix"],
)
def test_tables_of_many_shapes_give_the_same_corpus(tree, text, options):
    path = table(tree, text)
    if options.get("folder"):
        options = {**options, "folder": path.parent / options["folder"]}
        corpus = read_csv(path, **options)
        assert [(f"clips/{v}", label, s) for v, label, s in rows(corpus)] == WANTED
    else:
        assert rows(read_csv(path, **options)) == WANTED


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks_and_letters_of_any_script(tree, encoding):
    path = table(tree, "video,label\nclips/a.mp4,žuta\nclips/b.mp4,手話\n", encoding=encoding)
    assert read_csv(path).labels == ("žuta", "手話")


def test_a_headerless_list_is_guessed_from_its_contents_and_says_how(tree):
    path = table(tree, "7,clips/a.mp4,hi\n3,clips/b.mp4,bye\n5,clips/c d.mp4,hi\n")
    corpus = read_csv(path)
    assert [r.label for r in corpus] == ["hi", "bye", "hi"]
    assert "file = column 1, label = column 2" in corpus.meta["notes"][0]


def test_a_header_in_the_middle_of_a_shuffled_list_is_found(tree):
    path = table(tree, "7,clips/a.mp4,hi\n,file,label\n5,clips/b.mp4,bye\n")
    assert [r.label for r in read_csv(path)] == ["hi", "bye"]


def test_labels_that_look_like_header_words_do_not_make_a_header(tree):
    path = table(tree, "clips/a.mp4,person\nclips/b.mp4,word\n")
    assert [r.label for r in read_csv(path)] == ["person", "word"]


def test_what_cannot_be_guessed_is_asked_for_with_a_preview(tree):
    path = table(tree, "clips/a.mp4,hi,u1\nclips/b.mp4,bye,u2\n")
    with pytest.raises(InputError, match=r"which column is the label.*First row: 0: 'clips/a.mp4'; 1: 'hi'; 2: 'u1'"):
        read_csv(path)


def test_missing_files_are_counted_and_left_out(tree):
    path = table(tree, "video,label\nclips/a.mp4,hi\nclips/gone.mp4,hi\n")
    corpus = read_csv(path)
    assert len(corpus) == 1
    assert corpus.meta["missing"] == {"count": 1, "first": ["clips/gone.mp4"]}
    assert corpus.meta["published"]["all"] == {"listed": 2, "present": 1}
    assert len(read_csv(path, keep_missing="yes")) == 2
    only = table(tree, "video,label\nclips/gone.mp4,hi\n")
    with pytest.raises(InputError, match=r"none of the 1 listed files.*'clips/gone.mp4'"):
        read_csv(only)


def test_splits_ranges_and_other_columns(tree):
    path = table(
        tree,
        "video,label,split,first_frame,end_frame,fps,mood\n"
        "clips/a.mp4,hi,Training,0,30,25,good\nclips/a.mp4,bye,valid,30,,25,\n",
    )
    first, second = read_csv(path)
    assert (first.split, first.start_s, first.end_s, first.fps) == ("train", None, 1.2, 25.0)
    assert dict(first.extra) == {"mood": "good", "first_frame": "0", "end_frame": "30", "fps": "25"}
    assert (second.split, second.start_s, second.end_s) == ("val", 1.2, None)
    assert first.id != second.id
    first, second = read_csv(path, rate="file")
    assert [(r.first_frame, r.end_frame, r.timed) for r in (first, second)] == [(0, 30, False), (30, None, False)]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "holds no rows"),
        ("video,label\n", {}, "a header and no rows"),
        ("video,label\nclips/a.mp4,hi,there\nclips/b.mp4,x\n", {}, "line 2 has 3 cells where most have 2"),
        ("video,label,label\nclips/a.mp4,x,y\n", {}, "'label' stands more than once"),
        (
            "video,label,first_frame,end_frame\nclips/a.mp4,x,0,9\nclips/b.mp4,x,soon,9\n",
            {},
            "line 3: 'soon' is no end",
        ),
        ("video,label,split\nclips/a.mp4,x,test\nclips/b.mp4,x,held\n", {}, "line 3: split 'held' is not known"),
        ("video,label,fps\nclips/a.mp4,x,25\nclips/b.mp4,x,0\n", {}, "line 3: fps is '0'"),
        (
            "video,label\nclips/a.mp4,x\n",
            {"columns": "label=sign"},
            r"no column 'sign' for label.*\['video', 'label'\]",
        ),
        ("video,label\nclips/a.mp4,x\n", {"columns": "gloss=label"}, "field 'gloss' is not known"),
        ("video,label\nclips/a.mp4,x\n", {"columns": "label"}, "not FIELD=COLUMN"),
        ("video,label\n,x\n", {}, "line 2: the file name is empty"),
    ],
)
def test_bad_tables_are_named_with_line_or_column(tree, text, options, message):
    path = table(tree, text)
    with pytest.raises(InputError, match=message):
        read_csv(path, **options)


def test_latin_1_is_an_error_that_names_the_byte(tree):
    path = table(tree, "video,label\nclips/a.mp4,žuta\n", encoding="iso8859_2")
    with pytest.raises(InputError, match=r"not utf-8 text: byte \d+ is 0xbe"):
        read_csv(path)


def test_pose_files_in_class_folders(tree):
    corpus = read_pose_files(tree("hi/1.pose", "hi/2.pose", "bye/1.pose"))
    assert corpus.labels == ("bye", "hi")
    assert all(set(r.streams) == {"pose"} for r in corpus)


def test_a_lexicon_labels_by_gloss_and_names_what_it_lacks(tree):
    root = tree("sgg/kind.pose", "sgg/haus.pose", "sgg/other.pose")
    (root / "index.csv").write_text(
        "path,spoken_language,signed_language,start,end,words,glosses,priority\n"
        "sgg/kind.pose,de,sgg,0,0,kind,Kind,0\nsgg/haus.pose,de,sgg,0,0,haus,Haus,0\n"
    )
    corpus = read_pose_files(root)
    assert corpus.labels == ("Haus", "Kind")
    assert corpus.records[0].extra["words"] == "kind"
    assert corpus.records[0].end_frame is None
    assert corpus.meta["unmatched"] == {"count": 1, "first": ["sgg/other.pose"]}
    assert read_pose_files(root, label="words").labels == ("haus", "kind")


@pytest.mark.real
def test_the_real_lexicon(real_data):
    corpus = read_pose_files(real_data / "pose_files" / "dummy_lexicon")
    assert corpus.labels == ("Essen", "Kinder", "Kleine", "Pizza")
