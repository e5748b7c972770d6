"""What the API offers, as an OpenAPI document with examples."""

from __future__ import annotations

from typing import Any

import signloom
from signloom.apps.serve.limits import ServeLimits

_ANSWER = {
    "file": "hello.mp4",
    "start_s": 0.0,
    "end_s": 1.4,
    "label": "HELLO",
    "confidence": 0.93,
    "unknown": 0.08,
    "none_of_these": False,
    "top": [["HELLO", 0.93], ["THANKS", 0.04]],
    "notes": [],
}
_JOB = {
    "id": "l4Jq0c1kPz7Vb2sA",
    "model": "mine",
    "file": "hello.mp4",
    "state": "running",
    "frames": 12,
    "of": 34,
    "answer": None,
    "refused": None,
}
_REFUSED = {
    "error": "'hello.mp4': the file ends after 20 of 34 frames",
    "reason": "truncated",
    "where": "the clip",
    "wanted": "a whole video file, or a .pose file, that this model can read",
}
STREAM = """Frames in, answers out. Parameters: `model`, `top`, `fps` (what frames are brought to; none: as they come).
The server says `{"event": "ready"}`. Then send binary messages, all little-endian: float64 seconds, and a JPEG or PNG;
or float64 seconds, `RGB8`, uint32 width, uint32 height and the pixels. Each is answered by `{"event": "taken",
"frames", "time_s"}`: wait for it before you send more. The text `{"do": "close"}` ends a clip, and is answered by
`{"event": "answer", …}` with the fields of an answer; the next frame begins another. `{"do": "end"}` ends the stream.
`{"event": "refused", …}` has the fields of a refusal, and closes it."""


def document(limits: ServeLimits, models: list[str]) -> dict[str, Any]:
    """The document, with these limits in it."""
    mib = limits.upload_bytes / 2**20
    model = _parameter("model", {"type": "string"}, "whose answer (default: the first that names signs)", models[:1])
    top = _parameter("top", {"type": "integer", "minimum": 1, "maximum": 100, "default": 5}, "how many guesses", [3])
    name = _parameter("name", {"type": "string", "maxLength": 255}, "what the file is called; tells .pose from video")
    wait = _parameter("wait", {"type": "boolean", "default": True}, "false: answer at once with a job to ask for")
    job_id = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "signloom serve",
            "version": signloom.__version__,
            "description": "Names signs in clips and frames, on this machine. Nothing that is sent is kept. "
            "Requests of other hosts and origins are refused.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "paths": {
            "/api/models": {
                "get": {
                    "operationId": "listModels",
                    "summary": "The models that are served",
                    "responses": {
                        "200": _json(
                            {"type": "array", "items": _ref("Model")},
                            "Models in the order of the command line. web: a page can run it, from "
                            "/models/NAME/model.json. api: it answers here.",
                            [{"name": "mine", "task": "recognise", "labels": 10, "web": True, "api": True}],
                        )
                    },
                }
            },
            "/api/limits": {
                "get": {
                    "operationId": "tellLimits",
                    "summary": "How much is taken: bytes, frames, pixels, seconds, at once",
                    "responses": {"200": _json({"type": "object"}, "All limits by name", limits.as_json())},
                }
            },
            "/api/predict": {
                "post": {
                    "operationId": "predict",
                    "summary": "Name the sign in a clip",
                    "description": f"The body is the file itself: a video, a .pose file or, for a model of sensors, a "
                    f"table; at most {mib:g} MiB and {limits.frames} frames. Who disconnects cancels.",
                    "parameters": [model, top, name, wait],
                    "requestBody": {
                        "required": True,
                        "content": {
                            kind: {"schema": {"type": "string", "format": "binary"}}
                            for kind in ("application/octet-stream", "video/mp4", "video/webm")
                        },
                    },
                    "responses": {
                        "200": _json(_ref("Answer"), "The answer, as `signloom predict --json` gives it", _ANSWER),
                        "202": _json(_ref("Job"), "With wait=false: the job", _JOB),
                        **_refusals("400", "403", "404", "408", "409", "413", "415", "422", "503"),
                    },
                }
            },
            "/api/jobs/{id}": {
                "parameters": [job_id],
                "get": {
                    "operationId": "job",
                    "summary": "How far a job has come, and its answer",
                    "responses": {
                        "200": _json(_ref("Job"), "The job", _JOB),
                        **_refusals("403", "404"),
                    },
                },
                "delete": {
                    "operationId": "cancel",
                    "summary": "End a job now, whatever it does",
                    "responses": {
                        "200": _json(_ref("Job"), "The job", {**_JOB, "state": "cancelled"}),
                        **_refusals("403", "404"),
                    },
                },
            },
        },
        "x-websocket": {"/api/stream": STREAM},
        "components": {"schemas": _SCHEMAS},
    }


def _object(required: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": required, "additionalProperties": False}


_TEXT, _WHOLE = {"type": "string"}, {"type": "integer", "minimum": 0}
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_SCHEMAS: dict[str, Any] = {
    "Model": _object(
        {"name": _TEXT, "task": _TEXT, "labels": _WHOLE, "web": {"type": "boolean"}, "api": {"type": "boolean"}}
    ),
    "Answer": _object(
        {
            "file": _TEXT,
            "start_s": {"type": "number"},
            "end_s": {"type": "number"},
            "label": _TEXT,
            "confidence": _SHARE,
            "unknown": {"type": ["number", "null"]},
            "none_of_these": {"type": ["boolean", "null"]},
            "top": {"type": "array", "items": {"type": "array", "minItems": 2, "maxItems": 2}},
            "notes": {"type": "array", "items": _TEXT},
        }
    ),
    "Refusal": _object({"error": _TEXT, "reason": _TEXT, "where": _TEXT, "wanted": _TEXT}),
    "Job": _object(
        {
            "id": _TEXT,
            "model": _TEXT,
            "file": _TEXT,
            "state": {"enum": ["queued", "running", "done", "refused", "cancelled"]},
            "frames": _WHOLE,
            "of": {"type": ["integer", "null"]},
            "answer": {"oneOf": [{"$ref": "#/components/schemas/Answer"}, {"type": "null"}]},
            "refused": {"oneOf": [{"$ref": "#/components/schemas/Refusal"}, {"type": "null"}]},
        }
    ),
}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(schema: dict[str, Any], description: str, example: Any) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema, "example": example}}}


def _refusals(*statuses: str) -> dict[str, Any]:
    return {
        status: _json(_ref("Refusal"), "Refused: what is wrong, where, and what was wanted", _REFUSED)
        for status in statuses
    }


def _parameter(name: str, schema: dict[str, Any], what: str, examples: list[Any] | None = None) -> dict[str, Any]:
    told = {"name": name, "in": "query", "required": False, "description": what, "schema": schema}
    return told | ({"example": examples[0]} if examples else {})
