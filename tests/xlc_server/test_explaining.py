"""Constraints explained over HTTP."""

from __future__ import annotations

import json
import threading
from typing import Any

import httpx
import openai
import pytest

import xlc_core as xlc
from helpers.servers import running_server

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}


def ask(client: openai.OpenAI, **body: Any) -> dict[str, Any]:
    base = str(client.base_url).removesuffix("v1/")
    return client.post(f"{base}constraints/explain", body={"model": "chat", **body}, cast_to=dict[str, Any])


def test_text_is_explained_in_tokens_of_the_model(client: openai.OpenAI, chat_engine: xlc.Engine) -> None:
    found = ask(client, constraint=SCHEMA, text='{"nam')
    expected = chat_engine.explain(xlc.JsonSchema(SCHEMA), '{"nam')
    assert (found["accepted"], found["complete"], found["n_bytes"]) == (False, False, expected.n_bytes)
    assert [bytes(token["bytes"]) for token in found["expected"]] == expected.expected
    assert {"token": "e", "bytes": [101], "is_control": False} in found["expected"]
    assert found["model"] == "chat"


@pytest.mark.parametrize(
    ("kind", "constraint", "text", "allowed", "accepted"),
    [
        ("json_schema", json.dumps(SCHEMA), '{"name": "Jo"}', '{"name": "Jo"}', True),
        ("json_schema", SCHEMA, '{"name": 1}', '{"name": ', False),
        ("regex", "(é|è){2}", "éxé", "é", False),
        ("regex", "[0-9]+", "12", "12", True),
        ("gbnf", 'root ::= "yes" | "no"', "yes!", "yes", False),
        ("lark", 'start: "a" "b"', "ab", "ab", True),
    ],
)
def test_text_is_divided_where_it_leaves_the_constraint(
    url: str, kind: str, constraint: Any, text: str, allowed: str, accepted: bool
) -> None:
    body = {"model": "chat", "kind": kind, "constraint": constraint, "text": text}
    found = httpx.post(f"{url}/constraints/explain", json=body, timeout=60).json()
    assert (found["allowed"], found["refused"]) == (allowed, text[len(allowed) :])
    assert found["accepted"] is accepted


def test_half_of_a_character_is_refused_whole(url: str) -> None:
    body = {"model": "chat", "kind": "lark", "constraint": 'start: "é"', "text": "è"}  # they begin with the same byte
    found = httpx.post(f"{url}/constraints/explain", json=body, timeout=60).json()
    assert (found["allowed"], found["refused"]) == ("", "è")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"constraint": {"type": "nothing"}}, 400, "invalid_schema"),
        ({"constraint": "{"}, 400, "invalid_schema"),
        ({"kind": "regex", "constraint": "("}, 400, "invalid_schema"),
        ({"kind": "gbnf", "constraint": "rot ::="}, 400, "invalid_schema"),
        ({"kind": "regex", "constraint": {}}, 400, None),
        ({"kind": "other", "constraint": "a"}, 400, None),
        ({}, 400, None),
        ({"constraint": {}, "unknown": 1}, 400, "unknown_field"),
        ({"constraint": {}, "text": "a" * 65_537}, 400, None),
        ({"constraint": {"title": "a" * 65_536}}, 400, None),
        ({"constraint": {}, "model": "other"}, 404, "model_not_found"),
        ({"constraint": {}, "model": "embed", "text": "A cat"}, 422, "unsupported_feature"),
    ],
)
def test_wrong_requests_are_refused(url: str, body: dict[str, Any], status: int, code: str | None) -> None:
    answer = httpx.post(f"{url}/constraints/explain", json={"model": "chat", **body}, timeout=60)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text


def test_explaining_has_the_time_limit_of_the_server(
    pool: xlc.EnginePool, chat_engine: xlc.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = threading.Event()
    monkeypatch.setattr(type(chat_engine), "explain", lambda *_: ends.wait(60))
    with running_server(pool, timeout=0.05) as url:
        answer = httpx.post(f"{url}/constraints/explain", json={"model": "chat", "constraint": {}}, timeout=60)
        ends.set()
    assert (answer.status_code, answer.json()["error"]["code"]) == (408, "timeout")
