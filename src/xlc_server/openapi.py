"""``/openapi.json``: the requests that are served, as an OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from pydantic.json_schema import models_json_schema

from xlc_server.dialects import ANTHROPIC
from xlc_server.endpoint import Endpoint

__all__ = ["describe_api"]

_REFERENCE = "#/components/schemas/{model}"
_TEXT: dict[str, Any] = {"type": "string"}
_MAYBE_TEXT: dict[str, Any] = {"type": ["string", "null"]}

_ERRORS = {
    400: "A field, the body or a message is wrong.",
    401: "The key is missing or wrong.",
    403: "The host, the page or the address may not call this server.",
    404: "There is no such model.",
    408: "The time of the server is over, or the body did not arrive.",
    413: "The body is too large.",
    422: "The model cannot do this.",
    429: "Too many requests run or wait.",
    500: "The model or the server failed.",
    501: "The server does not do this, or needs an option for it.",
    503: "There is no memory for the model, or the server ends.",
}
_ERROR_NAMES = {ANTHROPIC: "AnthropicError"}

_ERROR_SCHEMAS: dict[str, Any] = {
    "Error": {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["message", "type", "param", "code"],
                "properties": {"message": _TEXT, "type": _TEXT, "param": _MAYBE_TEXT, "code": _MAYBE_TEXT},
            }
        },
    },
    "AnthropicError": {
        "type": "object",
        "required": ["type", "error"],
        "properties": {
            "type": {"const": "error"},
            "error": {
                "type": "object",
                "required": ["type", "message"],
                "properties": {"type": _TEXT, "message": _TEXT},
            },
        },
    },
}

_MODEL = {
    "type": "object",
    "required": ["id", "object", "created", "owned_by"],
    "properties": {"id": _TEXT, "object": {"const": "model"}, "created": {"type": "integer"}, "owned_by": _TEXT},
}
_MODELS = {
    "type": "object",
    "required": ["object", "data"],
    "properties": {"object": {"const": "list"}, "data": {"type": "array", "items": _MODEL}},
}
_TOKENS = ("object", "model", "usage")
_ANSWERS: dict[str, tuple[str, ...]] = {
    "/v1/chat/completions": ("id", "created", "choices", *_TOKENS),
    "/v1/responses": ("id", "created_at", "status", "output", *_TOKENS),
    "/v1/messages": ("id", "type", "role", "model", "content", "stop_reason", "usage"),
    "/v1/messages/count_tokens": ("input_tokens",),
    "/v1/completions": ("id", "created", "choices", *_TOKENS),
    "/v1/embeddings": ("data", *_TOKENS),
    "/v1/rerank": ("id", "results", *_TOKENS),
    "/v1/audio/transcriptions": ("text", "usage"),
    "/infill": ("content", "stop", "model", "tokens_predicted", "tokens_evaluated"),
    "/tokenize": ("tokens",),
    "/detokenize": ("content",),
    "/apply-template": ("prompt",),
    "/constraints/explain": ("accepted", "complete", "expected"),
    "/props": ("default_generation_settings", "total_slots", "chat_template", "modalities", "build_info"),
    "/slots/{id_slot}": ("id_slot", "filename", "timings"),
}
"""Fields that an answer always has; the answers of other paths are lists."""

_SAME = {"/rerank": "/v1/rerank", "/v2/rerank": "/v1/rerank"}

_PLAIN: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("/health", "Return whether the server answers.", "application/json", {"type": "object", "required": ["status"]}),
    ("/metrics", "Return counters of the open models.", "text/plain", _TEXT),
    ("/openapi.json", "Return this document.", "application/json", {"type": "object", "required": ["openapi"]}),
    ("/v1/models", "Return the models that a request may name.", "application/json", _MODELS),
    ("/v1/models/{name}", "Return a model that a request may name.", "application/json", _MODEL),
)
"""Endpoints without fields: path, summary, and the type and schema of their answers."""


def describe_api(endpoints: Mapping[str, Sequence[Endpoint[Any]]]) -> dict[str, Any]:
    """Return the document.

    Args:
        endpoints: those of each path.
    """
    bodies = dict.fromkeys(endpoint.body_type for choices in endpoints.values() for endpoint in choices)
    _, schemas = models_json_schema([(body, "validation") for body in bodies], ref_template=_REFERENCE)
    parts: dict[str, Any] = schemas["$defs"]
    for body in bodies:
        _allow_null(parts[body.__name__])
    paths: dict[str, Any] = {row[0]: {"get": _plain(*row)} for row in _PLAIN}
    for path, choices in endpoints.items():
        paths[path] = {one.method.lower(): _operation(path, one, parts[one.body_type.__name__]) for one in choices}
    for body in bodies:
        _leave_out(parts[body.__name__], body.from_url)
    named = {one.body_type for choices in endpoints.values() for one in choices if one.reader.is_object}
    unused = {body.__name__ for body in bodies if body not in named}
    return {
        "openapi": "3.1.0",
        "info": {"title": "xllama", "version": version("xllama")},
        "paths": paths,
        "components": {
            "schemas": {name: part for name, part in parts.items() if name not in unused} | _ERROR_SCHEMAS,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
        "security": [{"bearer": []}, {"x-api-key": []}, {}],
    }


def _allow_null(schema: dict[str, Any]) -> None:
    """Let all fields that may be left out be null, which means the same."""
    for name, field in schema["properties"].items():
        if name not in schema.get("required", ()) and not _takes_null(field):
            kept = {key: field.pop(key) for key in ("default", "title") if key in field}
            schema["properties"][name] = {"anyOf": [field, {"type": "null"}], **kept}


def _takes_null(field: Mapping[str, Any]) -> bool:
    kinds = [part.get("type") for part in field.get("anyOf", ())]
    return "null" in kinds or not field.keys() & {"type", "anyOf", "$ref", "enum", "const"}


def _leave_out(schema: dict[str, Any], names: Sequence[str]) -> None:
    """Leave out what stands in the URL; ``model`` may also stand in the body."""
    for name in set(names) - {"model"}:
        schema["properties"].pop(name)
        if name in schema.get("required", ()):
            schema["required"].remove(name)


def _operation(path: str, endpoint: Endpoint[Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    parameters = [
        {
            "name": name,
            "in": "path" if f"{{{name}}}" in path else "query",
            "required": name in schema.get("required", ()),
            "schema": _without_null(schema["properties"][name]),
        }
        for name in endpoint.body_type.from_url
    ]
    operation = {
        "operationId": _name(endpoint.method, path),
        "summary": endpoint.summary,
        "parameters": parameters,
        "responses": _responses(path, endpoint),
    }
    if endpoint.reader.media_type:
        reference = {"$ref": _REFERENCE.format(model=endpoint.body_type.__name__)}
        body = {"schema": schema["properties"][endpoint.reader.whole] if endpoint.reader.whole else reference}
        operation["requestBody"] = {"required": True, "content": {endpoint.reader.media_type: body}}
    return operation


def _without_null(field: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a field in a URL, which cannot hold null."""
    kinds = [part for part in field.get("anyOf", ()) if part.get("type") != "null"]
    return dict(kinds[0]) if len(kinds) == 1 else dict(field)


def _name(method: str, path: str) -> str:
    return re.sub(r"\W+", "_", f"{method.lower()}{path}").strip("_")


def _responses(path: str, endpoint: Endpoint[Any]) -> dict[str, Any]:
    required = _ANSWERS.get(_SAME.get(path, path))
    schema = {"type": "object", "required": list(required)} if required else {"type": "array"}
    content: dict[str, Any] = {"application/json": {"schema": schema}}
    if endpoint.can_stream:
        content["text/event-stream"] = {"schema": _TEXT}
    if endpoint.answers_text:
        content["text/plain"] = {"schema": _TEXT}
    statuses = [status for status in _ERRORS if endpoint.method == "POST" or status not in (408, 413)]
    return _described(content, statuses, _ERROR_NAMES.get(endpoint.dialect, "Error"))


def _plain(path: str, summary: str, kind: str, schema: dict[str, Any]) -> dict[str, Any]:
    is_named = path.endswith("{name}")
    operation: dict[str, Any] = {
        "operationId": _name("get", path),
        "summary": summary,
        "responses": _described({kind: {"schema": schema}}, (401, 403, 404) if is_named else (401, 403)),
    }
    if is_named:
        operation["parameters"] = [{"name": "name", "in": "path", "required": True, "schema": _TEXT}]
    return operation


def _described(content: Mapping[str, Any], errors: Iterable[int], form: str = "Error") -> dict[str, Any]:
    """Return the answers of an operation: the right one, and errors by their statuses."""
    error = {"application/json": {"schema": {"$ref": _REFERENCE.format(model=form)}}}
    refusals = {str(status): {"description": _ERRORS[status], "content": error} for status in errors}
    return {"200": {"description": "The answer.", "content": content}, **refusals}
