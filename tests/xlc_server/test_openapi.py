"""The OpenAPI document, and requests that are made of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import xlc_core as xlc
from helpers.document_bodies import bodies
from helpers.servers import WAYS, reached
from helpers.tiny_models import FIM_TOKENS, write_byte_llama


@pytest.fixture(scope="module", params=WAYS)
def http(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("models")
    model = write_byte_llama(folder / "tiny.gguf", n_ctx=128, control=FIM_TOKENS)
    with (
        xlc.EnginePool({"tiny": model}, others="none", n_ctx=128, n_parallel=4, n_threads=1) as pool,
        reached(request.param, pool, timeout=10, slot_save_path=folder) as client,
    ):
        yield client


def test_document_describes_every_request(http: httpx.Client) -> None:
    document = http.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            url = path.format(name="tiny", id_slot=0)
            answer = http.request(method, url)
            assert answer.status_code == (200 if method == "get" else 400), path
            described = operation["responses"][str(answer.status_code)]["content"]
            kind = answer.headers["content-type"].partition(";")[0]
            assert kind in described
            if kind == "application/json":
                schema = {**described[kind]["schema"], "components": document["components"]}
                jsonschema.Draft202012Validator(schema).validate(answer.json())
            assert operation["summary"].endswith("."), path
            assert {"200", "401", "403"} <= set(operation["responses"])
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    chat = document["components"]["schemas"]["ChatBody"]
    assert chat["required"] == ["messages"]
    assert chat["additionalProperties"] is False
    assert "top_k" in chat["properties"]
    assert not {"timeout", "constraint"} & set(chat["properties"])


@pytest.mark.filterwarnings("ignore:.*are left out")
def test_requests_made_of_the_document_are_no_faults(http: httpx.Client) -> None:
    document = http.get("/openapi.json").json()
    parts = document["components"]["schemas"]
    posted = {path: operations["post"] for path, operations in document["paths"].items() if "post" in operations}
    made: dict[str, st.SearchStrategy[Any]] = {}
    for path, operation in posted.items():
        content = operation["requestBody"]["content"]
        if "application/json" in content:
            made[path] = bodies(content["application/json"]["schema"], parts)
    requests = st.one_of(*(st.tuples(st.just(path), body) for path, body in made.items()))
    statuses: set[int] = set()

    @given(requests)
    @settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    def check(request: tuple[str, Any]) -> None:
        path, body = request
        answer = http.post(path.format(id_slot=0), json=body, params={"action": "save"})
        statuses.add(answer.status_code)
        assert answer.status_code < 500 or answer.status_code == 501, (path, body, answer.text)
        assert str(answer.status_code) in posted[path]["responses"], (path, body, answer.text)

    check()
    assert {200, 400} <= statuses


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/completions", {"max_tokens": 2.0}, 200),
        ("/v1/completions", {"max_tokens": "2"}, 400),
        ("/v1/completions", {"max_tokens": True}, 400),
        ("/v1/completions", {"temperature": 1, "max_tokens": 1}, 200),
        ("/v1/completions", {"stream": 0}, 400),
        ("/v1/completions", {"stream": None, "max_tokens": 1}, 200),
        ("/v1/completions", {"seed": 1e300}, 400),
        ("/slots/0?action=save", {"action": "restore", "filename": "x"}, 400),
    ],
)
def test_values_have_the_documents_types(http: httpx.Client, path: str, body: dict[str, Any], status: int) -> None:
    prompt = {} if path.startswith("/slots") else {"prompt": "a"}
    answer = http.post(path, json={**prompt, **body})
    assert answer.status_code == status, answer.text
