"""Which video is which instance of WLASL: by the number of the list, or by the site's id, as files come to be named."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path

from signloom.sources.listing import VIDEO_SUFFIXES, list_media
from signloom.sources.spelling import lost_zeros, nfc, without_zeros


class Videos:
    """The videos below a folder by what their names say: a number of the list, or the site's id."""

    def __init__(self, root: Path, ids: Collection[str], *, numbers: bool):
        self.listing = list_media(root, VIDEO_SUFFIXES).files
        self._ids, self._numbers = frozenset(ids), numbers
        self._stems: dict[str, list[str]] = defaultdict(list)
        self._counted: dict[str, set[str]] = defaultdict(set)
        self._titled: dict[str, list[str]] = defaultdict(list)
        self._several: dict[str, list[str]] = {}
        self._padded: dict[str, str] = {}
        self._by_title: dict[str, str] = {}
        # Clips that the corpus' own preparation cut lie in a folder videos; what was downloaded lies beside it.
        for path in sorted(self.listing, key=lambda p: ("videos" not in p.split("/"), p)):
            stem = stem_of(path)
            self._stems[nfc(stem)].append(path)
            if (number := without_zeros(stem)) is not None:
                self._counted[number].add(stem)
            for name in {*re.findall(r"\[([\w-]{11})\]", stem), *re.findall(r"-([\w-]{11})$", stem)}:
                self._titled[name].append(path)

    def by_id(self, video_id: str) -> list[str]:
        """Files named by the list's number, best first; where there is none, with the zeros that a number loses."""
        video_id = nfc(video_id)
        if video_id not in self._stems and self._numbers and (number := without_zeros(video_id)) is not None:
            same = self._counted.get(number, set()) - self._ids
            if len(same) == 1:
                (self._padded[video_id],) = same
        return self._one(self._padded.get(video_id, video_id))

    def by_site(self, site_id: str | None) -> list[str]:
        """Files named by the site's id, alone or as downloaders write it behind the title."""
        if site_id is None or site_id in self._stems or site_id not in self._titled:
            return self._one(site_id) if site_id is not None else []
        self._by_title[site_id] = self._titled[site_id][0]
        return self._titled[site_id]

    def _one(self, stem: str) -> list[str]:
        paths = self._stems.get(stem, [])
        if len(paths) > 1:
            self._several[stem] = paths
        return paths

    def notes(self) -> list[str]:
        notes = []
        if self._several:
            paths = next(iter(self._several.values()))
            notes.append(
                f"{len(self._several)} names stand in several places, of which the first is taken: '{paths[0]}', not "
                f"'{paths[1]}'"
            )
        if self._padded:
            notes.append(lost_zeros(self._padded, "ids"))
        if self._by_title:
            notes.append(
                f"{len(self._by_title)} videos are found by the site's id behind their title: "
                f"'{next(iter(self._by_title.values()))}'"
            )
        return notes


def stem_of(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]
