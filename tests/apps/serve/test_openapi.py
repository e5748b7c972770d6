"""The OpenAPI document is true: schemathesis makes requests of it, and finds neither a fault nor an untruth."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("starlette")

V1 = Path(__file__).resolve().parents[2] / "fixtures" / "v1"
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,negative_data_rejection,unsupported_method"
)


@pytest.fixture(scope="module")
def server(load_module, tmp_path_factory):
    module = load_module("apps/serve/serving.py")
    with module.serving(tmp_path_factory.mktemp("serve"), V1 / "trained" / "pose", connections=200) as served:
        yield served


def test_every_example_is_of_its_schema(server):
    jsonschema = pytest.importorskip("jsonschema_rs")
    document = server.ask("GET", "/api/openapi.json").json
    checked = 0
    for path in document["paths"].values():
        for method, operation in path.items():
            if method == "parameters":
                continue
            for response in operation["responses"].values():
                told = response["content"]["application/json"]
                schema = {**told["schema"], "components": document["components"]}
                assert jsonschema.is_valid(schema, told["example"]), (operation["operationId"], told["example"])
                checked += 1
    assert checked > 10


def test_what_is_listed_is_as_the_document_says(server):
    jsonschema = pytest.importorskip("jsonschema_rs")
    document = server.ask("GET", "/api/openapi.json").json
    schema = {"type": "array", "items": {"$ref": "#/components/schemas/Model"}, "components": document["components"]}
    assert jsonschema.is_valid(schema, server.ask("GET", "/api/models").json)


@pytest.mark.slow
def test_schemathesis_finds_nothing(server, tmp_path):
    pytest.importorskip("schemathesis")
    report = tmp_path / "report"
    words = [
        Path(sys.executable).parent / "schemathesis", "run", f"http://{server.host}/api/openapi.json",
        "--checks", CHECKS, "--max-examples", "25", "--request-timeout", "120",
        "--phases", "examples,coverage,fuzzing", "--seed", "1",
        "--no-color", "--report", "junit", "--report-dir", report,
    ]  # fmt: skip
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=400, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert json.loads(json.dumps(server.ask("GET", "/api/models").json))[0]["name"] == "pose"
