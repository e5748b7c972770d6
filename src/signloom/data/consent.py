"""What each signer of a corpus lets others do with their clips: ``meta["consent"]``, by signer.

A signer's entry says yes or no to ``training`` (models may learn from the clips), ``display`` (people who do not hold
the corpus may see them, in reports too) and ``synthesis`` (video of the signer may be made), and under ``withdrawn``
the date on which they took all of it back. What is not said was not asked: it is allowed, as it always was, and
``signloom info`` counts it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from signloom.data.manifest import Manifest, Record
from signloom.data.manifest_fields import CONSENT_USES, WITHDRAWN
from signloom.errors import SignloomWarning

KEY = "consent"
USES = CONSENT_USES


def consent_in(manifest: Manifest) -> Mapping[str, Mapping[str, Any]]:
    """What the signers of ``manifest`` said, by signer."""
    given = manifest.meta.get(KEY)
    return given if isinstance(given, Mapping) else {}


def allows(manifest: Manifest, signer: str | None, use: str) -> bool:
    """Whether ``signer`` allows ``use``, one of :data:`USES`."""
    said = consent_in(manifest).get(signer or "", {})
    return not said.get(WITHDRAWN) and said.get(use) is not False


def permitted(manifest: Manifest, use: str) -> tuple[Manifest, list[Record]]:
    """The clips whose signers allow ``use``, and those that are left out for it."""
    if not consent_in(manifest):
        return manifest, []
    left_out = [r for r in manifest if not allows(manifest, r.signer, use)]
    return (manifest.where(lambda r: allows(manifest, r.signer, use)), left_out) if left_out else (manifest, [])


def joined_consent(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """What somebody says who said ``one`` and ``other``, in two corpora: a use is allowed where neither forbids it, and
    who took it back in one did so (on the earlier day)."""
    said = {**one, **other}
    for use in USES:
        if given := [s[use] for s in (one, other) if s.get(use) is not None]:
            said[use] = all(given)
    if days := [s[WITHDRAWN] for s in (one, other) if s.get(WITHDRAWN)]:
        said[WITHDRAWN] = min(days)
    return said


def for_use(manifest: Manifest, use: str) -> Manifest:
    """:func:`permitted`, with a warning that tells how many clips are left out."""
    kept, left_out = permitted(manifest, use)
    if left_out:
        who = sorted({r.signer or "" for r in left_out})
        warnings.warn(
            f"{len(left_out)} clips are left out: {', '.join(who[:5])}{' …' if len(who) > 5 else ''} "
            f"did not allow {use}, or withdrew",
            SignloomWarning,
            stacklevel=2,
        )
    return kept


def carried(manifest: Manifest, earlier: Manifest | None) -> Manifest:
    """``manifest``, read anew, without those who withdrew, and with what signers said in the corpus that it becomes."""
    given = {**consent_in(manifest), **(consent_in(earlier) if earlier is not None else {})}
    if not given:
        return manifest
    withdrawn = {signer for signer, said in given.items() if said.get(WITHDRAWN)}
    kept = manifest.where(lambda r: r.signer not in withdrawn)
    return replace(kept, meta={**kept.meta, KEY: given})
