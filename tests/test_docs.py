"""The pages of the repository: lines of prose fit, and links and pictures lead somewhere."""

from __future__ import annotations

import re
import subprocess
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
LONGEST = 120
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r" {0,3}#{1,6} +(.*?)(?: +#+)? *$")
_TABLE = re.compile(r" {0,3}\|")
_ONLY_A_LINK = re.compile(r"\s*(?:[-*+] |\d+[.)] )?(?:!?\[[^\]]*\]\([^)]*\)|\[[^\]]+\]: \S+|<?https?://\S+)[.,;:]?\s*")
_CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`)((?:(?!\n\s*\n).)+?)(?<!`)\1(?!`)", re.DOTALL)
_TARGET = re.compile(r"""\]\(\s*<?([^()\s<>]+)>?(?:\s+["'][^)]*)?\s*\)|^ {0,3}\[[^\]]+\]:\s+(\S+)""", re.MULTILINE)


def _pages() -> list[Path]:
    """Every markdown file that git knows; where there is no git, those at the top and in docs/."""
    command = ["git", "ls-files", "-z", "--", "*.md"]
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
