"""``/openapi.json``: the requests that are served, as an OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from pydantic.json_schema import models_json_schema

from xlc_server.service import Endpoint

__all__ = ["describe_api"]

_REFERENCE = "#/components/schemas/{model}"


def describe_api(posted: Mapping[str, Endpoint[Any]]) -> dict[str, Any]:
    """Return the document.

    Args:
        posted: the endpoints of requests with a body, by their paths.
    """
    bodies = dict.fromkeys(endpoint.body_type for endpoint in posted.values())
    references, schemas = models_json_schema([(body, "validation") for body in bodies], ref_template=_REFERENCE)
    paths: dict[str, Any] = {
        path: {"post": _operation(path, endpoint.summary, references[(endpoint.body_type, "validation")])}
        for path, endpoint in posted.items()
    }
    for path, summary in (
        ("/health", "Return whether the server answers."),
        ("/metrics", "Return counters of the open models."),
        ("/v1/models", "Return the models that a request may name."),
    ):
        paths[path] = {"get": _operation(path, summary)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "xllama", "version": version("xllama")},
        "paths": paths,
        "components": {
            "schemas": schemas.get("$defs", {}),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"key": []}, {}],
    }


def _operation(path: str, summary: str, body: Any = None) -> dict[str, Any]:
    name = path.strip("/").replace("/", "_").replace("-", "_").replace(".", "_")
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "responses": {"200": {"description": "The answer."}, "default": {"description": "An error."}},
    }
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return operation
