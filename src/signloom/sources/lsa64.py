"""LSA64, 64 Argentinian signs × 10 signers × 5 takes: the file name says all (Ronchetti et al., 2016)."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

from signloom.data.manifest import Manifest
from signloom.errors import InputError
from signloom.sources.listing import NAMED_AT_MOST, list_media, records_of

PUBLISHED_CLIPS = 64 * 10 * 5
_NAME = re.compile(r"(?:.*/)?(\d{3})_(\d{3})_(\d{3})\.[^./]+")


def read_lsa64(root: str | Path) -> Manifest:
    """One record per ``SSS_PPP_RRR.mp4`` (sign, person, repetition) at any depth below ``root``.

    Labels are the sign numbers as written (``001`` … ``064``), signers the person numbers; the corpus publishes no
    split. ``meta["published"]`` says how many of the 3,200 clips are there. Raises InputError when no name fits.
    """
    listing = list_media(root)
    matched, other = [], []
    names: Counter[str] = Counter()
    for path in listing.files:
        found = _NAME.fullmatch(path)
        if not found:
            other.append(path)
            continue
        sign, person, take = found.groups()
        names[f"{sign}_{person}_{take}"] += 1
        matched.append((path, {"label": sign, "signer": person, "extra": {"take": take}}))
    if not matched:
        example = f"; the first of {len(other)} clips is '{other[0]}'" if other else ""
        raise InputError(f"no clip named like 001_002_003.mp4 (sign_person_repetition) below '{root}'{example}")
    meta: dict[str, Any] = {
        "name": "LSA64",
        "source": "lsa64",
        "published": {"all": {"listed": PUBLISHED_CLIPS, "present": len(names)}},
        **listing.meta(),
    }
    if other:
        meta["unmatched"] = {"count": len(other), "first": other[:NAMED_AT_MOST]}
    twice = [n for n, count in names.items() if count > 1]
    if twice:
        meta["notes"] = [
            f"{len(twice)} clip names stand in more than one folder, first '{twice[0]}': cut and raw copies?"
        ]
    return Manifest(records_of(matched), listing.root, meta)
