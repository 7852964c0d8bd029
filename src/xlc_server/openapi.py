"""``/openapi.json``: the requests that are served, as an OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from pydantic.json_schema import models_json_schema

from xlc_server.endpoint import Endpoint

__all__ = ["describe_api"]

_REFERENCE = "#/components/schemas/{model}"


def describe_api(endpoints: Mapping[str, Sequence[Endpoint[Any]]]) -> dict[str, Any]:
    """Return the document.

    Args:
        endpoints: those of each path.
    """
    bodies = dict.fromkeys(endpoint.body_type for choices in endpoints.values() for endpoint in choices)
    references, schemas = models_json_schema([(body, "validation") for body in bodies], ref_template=_REFERENCE)
    paths: dict[str, Any] = {
        path: {
            endpoint.method.lower(): _operation(path, endpoint.summary, references[(endpoint.body_type, "validation")])
            for endpoint in choices
        }
        for path, choices in endpoints.items()
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
