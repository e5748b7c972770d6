"""What each signer of a corpus lets others do with their clips: ``meta["consent"]``, by signer.

A signer's entry says yes or no to ``training`` (models may learn from the clips), ``display`` (people who do not hold
the corpus may see them, in reports too) and ``synthesis`` (video of the signer may be made), and under ``withdrawn``
the date on which they took all of it back. What is not said was not asked: it is allowed, as it always was, and
``signloom info`` counts it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from signloom.data.manifest import Manifest, Record
from signloom.data.manifest_fields import WITHDRAWN

KEY = "consent"


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
