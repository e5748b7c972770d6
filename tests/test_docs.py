"""The pages of the repository: lines fit, links and names lead somewhere, the tree is whole, words are today's."""

from __future__ import annotations

import re
import subprocess
import unicodedata
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from signloom.cli.main import VERBS

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / "src" / "signloom"
LONGEST = 120
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r" {0,3}#{1,6} +(.*?)(?: +#+)? *$")
_TABLE = re.compile(r" {0,3}\|")
_ONLY_A_LINK = re.compile(r"\s*(?:[-*+] |\d+[.)] )?(?:!?\[[^\]]*\]\([^)]*\)|\[[^\]]+\]: \S+|<?https?://\S+)[.,;:]?\s*")
_CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`)((?:(?!\n\s*\n).)+?)(?<!`)\1(?!`)", re.DOTALL)
_TARGET = re.compile(r"""\]\(\s*<?([^()\s<>]+)>?(?:\s+["'][^)]*)?\s*\)|^ {0,3}\[[^\]]+\]:\s+(\S+)""", re.MULTILINE)


def _pages() -> list[Path]:
    """Every markdown file that git knows or would take; where there is no git, those at the top and in docs/."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "*.md"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        pages = [REPOSITORY / name for name in done.stdout.split("\0") if name]
    else:
        pages = [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")]
    return sorted(page for page in pages if page.is_file())  # git also lists a page that has just been deleted


def _outside_fences(text: str) -> Iterator[tuple[int, str]]:
    """The lines that stand in no fenced code, with their numbers."""
    fence = None
    for number, line in enumerate(text.splitlines(), 1):
        mark = _FENCE.match(line)
        if fence is None and mark:
            fence = mark[1]
        elif fence is None:
            yield number, line
        elif mark and mark[1].startswith(fence) and not line.strip(" `~"):
            fence = None


def _too_long(text: str) -> list[int]:
    """The numbers of lines of prose that are too long."""
    return [
        number
        for number, line in _outside_fences(text)
        if len(line) > LONGEST and not (_TABLE.match(line) or _HEADING.fullmatch(line) or _ONLY_A_LINK.fullmatch(line))
    ]


def _targets(text: str) -> list[str]:
    """Where links and pictures point, those in code left out."""
    prose = "\n".join(line for _, line in _outside_fences(text))
    return [inline or reference for inline, reference in _TARGET.findall(_CODE_SPAN.sub("code", prose))]


def _slug(heading: str) -> str:
    """The anchor that GitHub gives a heading: lower case, without punctuation, each space a hyphen."""
    shown = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    kept = (
        c for c in shown if c in "- " or unicodedata.category(c) in ("Nd", "Nl", "Pc") or c.isalpha() or _is_mark(c)
    )
    return "".join(kept).replace(" ", "-")


def _is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("M")


def _anchors(text: str) -> set[str]:
    """The anchors of a page's headings; a heading that comes again is numbered."""
    anchors: set[str] = set()
    for _, line in _outside_fences(text):
        if heading := _HEADING.fullmatch(line):
            slug = free = _slug(heading[1])
            again = 0
            while free in anchors:
                again += 1
                free = f"{slug}-{again}"
            anchors.add(free)
    return anchors


def _broken(page: Path, text: str) -> list[str]:
    """The relative links and pictures of a page that lead nowhere, each with the reason."""
    wrong = []
    for target in _targets(text):
        link = urlsplit(target)
        if link.scheme or link.netloc:
            continue
        file = (page.parent / unquote(link.path)).resolve() if link.path else page
        if not file.is_relative_to(REPOSITORY):
            wrong.append(f"{target}: outside the repository")
        elif file != page and not file.exists():
            wrong.append(f"{target}: no such file")
        elif link.fragment and file.suffix == ".md":
            there = text if file == page else file.read_text(encoding="utf-8")
            if unquote(link.fragment) not in _anchors(there):
                wrong.append(f"{target}: no such heading")
    return wrong


def test_no_line_of_prose_is_too_long():
    pages = _pages()
    assert REPOSITORY / "README.md" in pages
    wrong = [f"{p.relative_to(REPOSITORY)}:{n}" for p in pages for n in _too_long(p.read_text(encoding="utf-8"))]
    assert not wrong, f"lines of more than {LONGEST} characters: {', '.join(wrong)}"


def test_every_relative_link_and_picture_leads_somewhere():
    wrong = [f"{p.relative_to(REPOSITORY)}: {w}" for p in _pages() for w in _broken(p, p.read_text(encoding="utf-8"))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("heading", "slug"),
    [
        ("9. Painting a signer", "9-painting-a-signer"),
        ("0001 · The house: verbs on top", "0001--the-house-verbs-on-top"),
        ("The network (`models/pose_transformer.py`)", "the-network-modelspose_transformerpy"),
        ("Frames 1–160, *all* of žuta, 256²", "frames-1160-all-of-žuta-256"),
        ("See [the tutorial](docs/tutorial.md)", "see-the-tutorial"),
    ],
)
def test_anchors_are_named_as_github_names_them(heading, slug):
    assert _slug(heading) == slug


def test_anchors_of_equal_headings_are_numbered_and_code_has_none():
    text = "# One\n\n```sh\n# no heading\n```\n\n## One\n\n## One-1\n\n### Two ##\n"
    assert _anchors(text) == {"one", "one-1", "one-1-1", "two"}


def test_only_prose_is_held_to_the_length_of_lines():
    long = "word " * 25
    fine = [
        f"# {long}",
        f"| {long} |",
        f"```\n{long}\n```",
        f"- [{long}](README.md)",
        f"![{long}](a.png)",
        "w" * LONGEST,
    ]
    assert all(_too_long(text) == [] for text in fine)
    wrong = [long, f"- {long}", f"See [{long}](README.md)", f"```\ncode\n```\n{long}", f"**{long}**"]
    assert [_too_long(text) for text in wrong] == [[1], [1], [1], [4], [1]]


def test_links_that_lead_nowhere_are_found():
    text = """# Here

[fine](README.md) [fine](#here) [fine](docs/tutorial.md#9-painting-a-signer "a title") [fine](docs) `[code](none.md)`
[fine](https://example.org/none#none) [![fine](docs/pictures/report.png)](README.md)
[a link that
goes on](none.md) ![no](none.png) [`no`](#nowhere) [no](README.md#nowhere) [no](../elsewhere.md)

```
[code](none.md)
```

[no]: none.txt
"""
    assert _broken(REPOSITORY / "page.md", text) == [
        "none.md: no such file",
        "none.png: no such file",
        "#nowhere: no such heading",
        "README.md#nowhere: no such heading",
        "../elsewhere.md: outside the repository",
        "none.txt: no such file",
    ]


# --- the README's tree and table ----------------------------------------------------------------------------------


def _section(text: str, heading: str) -> str:
    return text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def _tree(drawn: str) -> list[Path]:
    """The files and folders that a tree names: before a gap of two spaces; further in is below the line before."""
    named: list[Path] = []
    above: list[tuple[int, Path]] = []
    for line in drawn.splitlines():
        indent = len(line) - len(line.lstrip())
        above = [(i, folder) for i, folder in above if i < indent]
        assert bool(above) == bool(indent), f"'{line.strip()}' is below nothing"
        here = above[-1][1] if above else REPOSITORY
        paths = [here / name for name in re.split(r" {2,}", line.strip())[0].split()]
        named += paths
        if len(paths) == 1 and line.strip().split()[0].endswith("/"):
            above.append((indent, paths[0]))
    return named


def _to_be_named() -> set[Path]:
    """Every folder of modules, and the files of those that change most."""
    folders = {file.parent for file in PACKAGE.rglob("*.py")}
    open_ones = [PACKAGE / name for name in ("training", "streams", "pipelines")]
    open_ones += [folder for folder in folders if folder.parent == PACKAGE / "tasks"]
    return folders | {file for folder in open_ones for file in folder.glob("*.py") if file.name != "__init__.py"}


def test_the_tree_of_the_readme_is_true_and_whole():
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    drawn = re.findall(r"^```\n(.*?)^```$", _section(text, "The tree"), re.MULTILINE | re.DOTALL)
    assert len(drawn) == 1
    named = _tree(drawn[0])
    missing = [str(path.relative_to(REPOSITORY)) for path in named if not path.exists()]
    assert not missing, f"the tree names what is not there: {', '.join(missing)}"
    twice = sorted({str(path.relative_to(REPOSITORY)) for path in named if named.count(path) > 1})
    assert not twice, f"the tree names twice: {', '.join(twice)}"
    left_out = sorted(str(path.relative_to(REPOSITORY)) for path in _to_be_named() - set(named))
    assert not left_out, f"the tree leaves out: {', '.join(left_out)}"


def test_trees_are_read_line_by_line():
    drawn = "README.md LICENSE\nsrc/signloom/    the package\n  errors.py data/  two\n  media/\n    read.py\n  none.py"
    read = [str(path.relative_to(REPOSITORY)) for path in _tree(drawn)]
    inside = ["errors.py", "data", "media", "media/read.py", "none.py"]
    assert read == ["README.md", "LICENSE", "src/signloom", *(f"src/signloom/{name}" for name in inside)]
    with pytest.raises(AssertionError, match="below nothing"):
        _tree("a.py\n  b.py")


def test_the_table_of_the_readme_has_every_verb():
    table = _section((REPOSITORY / "README.md").read_text(encoding="utf-8"), "The verbs")
    assert dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", table.replace("`.pose`", ".pose"), re.MULTILINE)) == VERBS


# --- names of modules and files -----------------------------------------------------------------------------------

_DOTTED = re.compile(r"(?<![\w./-])signloom(?:\.[A-Za-z_]\w*)+")
_FILES = re.compile(r"(?<![\w/-])(?:src/signloom|tests|scripts)(?:/[\w.]+)+")
_SHORT = re.compile(r"`(\w+(?:/\w+)+\.py)(?::(\w+))?`")
_SKELETON = re.compile(r"^```python skeleton=.*?^```$", re.MULTILINE | re.DOTALL)


def _today(text: str) -> str:
    """``text`` without code to be copied, and without what speaks of old names: by its heading or in its words."""
    kept, old = [], 0
    for block in re.split(r"\n{2,}", _SKELETON.sub("", text)):
        if heading := re.match(r"(#+) ", block):
            old = 0 if len(heading[1]) <= old or not old else old
            if "old name" in block.splitlines()[0]:
                old = len(heading[1])
        if not old and "old name" not in re.sub(r"\s+", " ", block):
            kept.append(block)
    return "\n\n".join(kept)


def _exists(dotted: str) -> bool:
    """Whether a module, or an attribute of one, has that name."""
    parts = dotted.split(".")
    n = max(n for n in range(1, len(parts) + 1) if _module_file(parts[:n]))
    found = import_module(".".join(parts[:n])) if parts[n:] else None
    for name in parts[n:]:
        if not hasattr(found, name):
            return False
        found = getattr(found, name)
    return True


def _module_file(parts: list[str]) -> Path | None:
    place = PACKAGE.parent.joinpath(*parts)
    return next((f for f in (place / "__init__.py", place.with_suffix(".py")) if f.exists()), None)


def _not_there(text: str) -> list[str]:
    """The modules and files that ``text`` names and that there are not."""
    wrong = [name for name in _DOTTED.findall(text) if not _exists(name)]
    wrong += [name for name in _FILES.findall(text) if not (REPOSITORY / name.rstrip(".")).exists()]
    for name, inside in _SHORT.findall(text):
        file = next((root / name for root in (PACKAGE, REPOSITORY) if (root / name).exists()), None)
        if file is None:
            wrong.append(name)
        elif inside and not re.search(rf"^(?:def|class) {inside}\b", file.read_text(encoding="utf-8"), re.MULTILINE):
            wrong.append(f"{name}:{inside}")
    return sorted(set(wrong))


def test_every_module_and_file_that_a_page_names_is_there():
    wrong = [
        f"{page.relative_to(REPOSITORY)}: {name}"
        for page in _pages()
        for name in _not_there(_today(page.read_text(encoding="utf-8")))
    ]
    assert not wrong, "\n".join(wrong)


def test_modules_and_files_that_are_not_there_are_found():
    fine = """`signloom.streams.flow`, signloom.load, `signloom.media.read_pose`, `data/batch.py:Batch`,
`tests/conftest.py`, src/signloom/errors.py. `signloom.training.task.Task`
"""
    assert _not_there(fine) == []
    wrong = """`signloom.learning.fit`, `signloom.media.files`, src/signloom/learning/fit.py, `steps/flow.py`,
tests/none.py, `data/batch.py:PoseSet`
"""
    assert _not_there(wrong) == [
        "data/batch.py:PoseSet",
        "signloom.learning.fit",
        "signloom.media.files",
        "src/signloom/learning/fit.py",
        "steps/flow.py",
        "tests/none.py",
    ]


# --- words --------------------------------------------------------------------------------------------------------

RETIRED = {
    r"lessons?": "batch",
    r"lesson_streams": "auxiliary_streams",
    r"lesson_weight": "loss_weight",
    r"(?:\w+_)?critics?(?:_\w+)?": "discriminator",
    r"painters?": "generator",
    r"rivals?": "baselines",
    r"mix-?ups?": "confusions",
    r"glimpses?": "hand crops",
    r"privileged": "auxiliary streams",
    r"limbs_px|limb_levels": "pose map",
    r"model\.usual|usual_of": "appearance template",
    r"look\.(?:png|mp4)|look-every": "preview",
    r"least_steps": "min_steps",
    r"same_estimator": "fingerprint_diff",
    r"bent (?:frames?|pictures?|references?)": "warped",
}
"""Private words, and the field's word that took the place of each."""
_OF_THEIR_DAY = REPOSITORY / "docs" / "results"
"""Measurements keep the words and the settings of the day they were taken on."""
_RETIRED = re.compile(rf"(?<![\w-])(?:--)?({'|'.join(RETIRED)})(?![\w-])", re.IGNORECASE)


def _retired(text: str) -> list[str]:
    prose = "\n".join(line for _, line in _outside_fences(_today(text)))
    return _RETIRED.findall(prose.replace("--painter", ""))  # an option keeps its name


def test_pages_speak_in_the_fields_words():
    wrong = [
        f"{page.relative_to(REPOSITORY)}: {word}"
        for page in _pages()
        if not page.is_relative_to(_OF_THEIR_DAY)
        for word in _retired(page.read_text(encoding="utf-8"))
    ]
    assert not wrong, "\n".join(wrong)


def test_retired_words_are_found_but_where_they_are_explained():
    assert _retired("# A Painter\n\nThe hand_critic of a lesson; `look.png`, look-every\n") == [
        "Painter",
        "hand_critic",
        "lesson",
        "look.png",
        "look-every",
    ]
    assert _retired("`--painter RUN`, tests/models/test_generators.py\n\n```\nlook.png\n```\n") == []
    assert _retired("Previews, by their old\nname `look.png`.\n\nA lesson.") == ["lesson"]
    old = "## By the old names\n\nA painter.\n\n### More\n\nA critic.\n\n## Now\n\nA lesson.\n"
    assert _retired(old) == ["lesson"]
