"""A corpus described for machines: ``croissant.json``, MLCommons Croissant 1.0 with its fields of responsible AI.

Source: https://docs.mlcommons.org/croissant/docs/croissant-spec.html and croissant-rai-spec.html. Only what the
manifest says is told; nobody is named.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from signloom.data.consent import USES, consent_in
from signloom.data.manifest import FILE_NAME, Manifest
from signloom.data.manifest_fields import WITHDRAWN
from signloom.runtime.atomic import write_json

CROISSANT_FILE = "croissant.json"
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_FIELDS = {"id": "sc:Text", "label": "sc:Text", "signer": "sc:Text", "n_frames": "sc:Integer", "fps": "sc:Float"}


def croissant_of(manifest: Manifest) -> dict[str, Any]:
    """What ``croissant.json`` says of a corpus whose manifest is written."""
    file = manifest.root / FILE_NAME
    streams = sorted({s for r in manifest for s in r.streams})
    licences = sorted({r.licence for r in manifest if r.licence})
    name = str(manifest.meta.get("name") or manifest.root.resolve().name)
    about: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"],
        "name": name,
        "description": f"{len(manifest)} clips of {len(manifest.labels)} signs by {len(manifest.signers)} signers, "
        f"with {', '.join(streams) or 'no streams'}",
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": FILE_NAME,
                "name": FILE_NAME,
                "contentUrl": FILE_NAME,
                "encodingFormat": "application/jsonlines",
                "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            }
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "clips",
                "name": "clips",
                "field": [
                    {
                        "@type": "cr:Field",
                        "@id": f"clips/{field}",
                        "name": field,
                        "dataType": kind,
                        "source": {"fileObject": {"@id": FILE_NAME}, "extract": {"column": field}},
                    }
                    for field, kind in _FIELDS.items()
                ],
            }
        ],
        "rai:personalSensitiveInformation": _personal(manifest, streams),
        "rai:dataUseCases": _uses(manifest),
    }
    if licences:
        about["license"] = licences
    if "synthetic" in manifest.meta:
        about["rai:dataCollection"] = str(manifest.meta["synthetic"])
    if how := manifest.meta.get("anonymised"):
        about["rai:dataManipulationProtocol"] = f"anonymised by signloom {how.get('signloom')}: {how.get('method')}"
    return about


def _personal(manifest: Manifest, streams: list[str]) -> list[str]:
    shown = [s for s in streams if s in ("video", "frames", "flow", "signer")]
    told = [f"footage of people: {', '.join(shown)}"] if shown else []
    told += [f"movement of people: {s}" for s in streams if s in ("pose", "imu", "skeleton")]
    if how := manifest.meta.get("anonymised"):
        told.append(
            f"anonymised ({how.get('method')}); names are pseudonyms; movement and surroundings may tell people"
        )
    return told or ["none"]


def _uses(manifest: Manifest) -> list[str]:
    """How many signers allow what; nobody is named."""
    given, n = consent_in(manifest), len(manifest.signers)
    told = []
    for use in USES:
        answers = [given.get(s, {}) for s in manifest.signers]
        no = sum(bool(a.get(WITHDRAWN)) or a.get(use) is False for a in answers)
        yes = sum(a.get(use) is True and not a.get(WITHDRAWN) for a in answers)
        told.append(f"{use}: allowed by {yes} of {n} signers, not by {no}, not asked of {n - yes - no}")
    return told


def write_croissant(manifest: Manifest) -> Path:
    """Write ``croissant.json`` beside the manifest."""
    return write_json(manifest.root / CROISSANT_FILE, croissant_of(manifest))
