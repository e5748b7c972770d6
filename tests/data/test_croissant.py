"""What a corpus says of itself for machines: true of its manifest, and nobody is named."""

import hashlib
import json

from signloom.data.croissant import write_croissant
from signloom.data.manifest import Manifest, Record, write_manifest


def test_it_describes_the_manifest_and_counts_consent_without_names(tmp_path):
    records = tuple(
        Record(f"c{k}", label="x", signer=s, licence="CC0", streams={"pose": "p.pose"})
        for k, s in enumerate(("anna", "anna", "bo"))
    )
    consent = {"anna": {"training": True, "display": False}, "bo": {"withdrawn": "2026-11-28"}}
    manifest = Manifest(records, tmp_path, {"name": "mine", "consent": consent, "anonymised": {"method": "pose"}})
    write_manifest(manifest, tmp_path)
    text = write_croissant(manifest).read_text()
    told = json.loads(text)
    assert "http://mlcommons.org/croissant/1.0" in told["conformsTo"]
    assert (told["@type"], told["name"], told["license"]) == ("sc:Dataset", "mine", ["CC0"])
    (file,) = told["distribution"]
    assert file["sha256"] == hashlib.sha256((tmp_path / "manifest.jsonl").read_bytes()).hexdigest()
    fields = [f["name"] for f in told["recordSet"][0]["field"]]
    assert fields == ["id", "label", "signer", "n_frames", "fps"]
    assert told["rai:dataUseCases"][0] == "training: allowed by 1 of 2 signers, not by 1, not asked of 0"
    assert "anna" not in text
