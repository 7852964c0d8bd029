"""Errors in OpenAI's form, with the status that its client turns into an exception."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

import xlc_core as xlc
import xlc_server
from xlc_server.errors import to_api_error

HELLO: Any = [{"role": "user", "content": "Say hello."}]


@pytest.mark.parametrize(
    ("options", "message", "param"),
    [
        ({"temperature": -1}, "temperature", "temperature"),
        ({"n": 0}, "n: ", "n"),
        ({"extra_body": {"topk": 1}}, "unknown field 'topk'", "topk"),
        ({"extra_body": {"timeout": 1}}, "unknown field 'timeout'", "timeout"),
        ({"messages": []}, "messages", "messages"),
        ({"messages": [{"role": "king", "content": "x"}]}, "message 0", None),
        ({"top_logprobs": 2}, "top_logprobs needs logprobs", None),
        ({"stream_options": {"include_usage": True}}, "only for requests with stream", None),
        ({"modalities": ["audio"]}, "text only", None),
        ({"response_format": {"type": "json_schema"}}, "json_schema", None),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "x"}}}}, "", None),
        ({"tool_choice": "required"}, "needs at least one tool", None),
        ({"messages": [{"role": "user", "content": "long " * 3000}]}, "tokens", None),
    ],
)
def test_wrong_requests(client: openai.OpenAI, options: dict[str, Any], message: str, param: str | None) -> None:
    wanted = {"model": "chat", "messages": HELLO, "max_tokens": 2, **options}
    for streams in (False, True):
        if streams and "stream_options" in wanted:
            continue
        with pytest.raises(openai.BadRequestError) as raised:
            client.chat.completions.create(**wanted, stream=streams)
        error: Any = raised.value.body
        assert message in error["message"]
        assert error["type"] == "invalid_request_error"
        assert error["param"] == param


def test_codes(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as long:
        client.chat.completions.create(model="chat", messages=[{"role": "user", "content": "long " * 3000}])
    assert long.value.code == "context_length_exceeded"
    assert "prompt is too long: " in str(long.value)  # litellm and programs for Anthropic's API look for this
    assert "This model's maximum context length is " in str(long.value)  # programs for OpenAI's API for this
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="chap", messages=HELLO)
    assert missing.value.code == "model_not_found"
    assert "did you mean 'chat'" in str(missing.value)
    with pytest.raises(openai.UnprocessableEntityError) as unable:
        client.chat.completions.create(model="embed", messages=HELLO)
    assert unable.value.code == "unsupported_feature"


def test_bodies_that_are_not_requests(url: str) -> None:
    for body in (b"", b"{", b"[]", b'"x"', b"\xff", b'{"messages": "x"}', b"[" * 5000):
        answer = httpx.post(f"{url}/v1/chat/completions", content=body)
        assert answer.status_code == 400, body[:20]
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


SHAPES: list[Any] = [None, 5, "x", [], [5], {}, {"type": 5}, {"type": "x"}, {"type": "allowed_tools"}]
SHAPES += [[{}], [{"type": "function"}], [{"type": "function", "function": 5}], {"format": 5}, {"effort": 5}]
SHAPES += [{"type": "allowed_tools", "tools": [5]}, {"type": "allowed_tools", "allowed_tools": 5}, True]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": HELLO}),
        ("/v1/responses", {"input": "x"}),
        ("/v1/messages", {"messages": HELLO}),
        ("/v1/completions", {"prompt": "x"}),
        ("/infill", {"input_prefix": "x"}),
        ("/v1/embeddings", {"input": "x"}),
        ("/v1/rerank", {"query": "x", "documents": ["x"]}),
    ],
)
@pytest.mark.filterwarnings("ignore:.*are left out")
async def test_values_of_wrong_shapes_are_no_faults(pool: xlc.EnginePool, path: str, body: dict[str, Any]) -> None:
    """Most requests are for an embedder, so that they are read but generate nothing."""
    app = xlc_server.create_app(pool)
    route: Any = next(route for route in app.routes if route.path == path)  # type: ignore[attr-defined]
    fields = set(route.app.endpoints["POST"].body_type.model_fields)
    statuses: set[int] = set()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        for field in sorted(fields - {"model", "stream"}):
            for shape in SHAPES:
                wanted = {"model": "embed", "max_tokens": 1, **body, field: shape}
                if path == "/v1/embeddings":
                    wanted["model"], wanted["truncate"] = "chat", "x"
                answer = await client.post(path, json={k: v for k, v in wanted.items() if k in fields})
                assert answer.status_code in (200, 400, 422), (field, shape, answer.text)
                statuses.add(answer.status_code)
    assert 400 in statuses


def test_paths_and_methods_that_are_not_served(url: str) -> None:
    for answer, status in (
        (httpx.get(f"{url}/v1/nothing"), 404),
        (httpx.get(f"{url}/v1/chat/completions"), 405),
        (httpx.post(f"{url}/v1/models"), 405),
    ):
        assert answer.status_code == status
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


async def test_timeout(pool: xlc.EnginePool) -> None:
    app = xlc_server.create_app(pool, timeout=0.001)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        body = {"model": "chat", "messages": HELLO, "max_tokens": 500, "ignore_eos": True}
        answer = await client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 408
    assert answer.json()["error"]["code"] == "timeout"


def test_broken_model_fails_its_requests_only(pool: xlc.EnginePool, tmp_path: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + bytes(100))
    models = {"broken": tmp_path / "broken.gguf", "gone": tmp_path / "gone.gguf", "embed": "all-minilm-l6-v2"}
    with xlc_server.openai_client(models) as client:
        for name, status in (("broken", 500), ("gone", 404), ("broken", 500)):
            with pytest.raises(openai.APIStatusError) as raised:
                client.embeddings.create(model=name, input="x")
            assert raised.value.status_code == status
        assert client.embeddings.create(model="embed", input="x").data


def test_every_error_has_a_status() -> None:
    for name in xlc.__all__:
        cls = getattr(xlc, name)
        if inspect.isclass(cls) and issubclass(cls, xlc.XllamaError):
            numbers = {"ContextOverflowError": (9, 8), "InputTooLongError": (1, 9, 8)}.get(name, ())
            answer = to_api_error(cls("the reason", *numbers))
            assert 400 <= answer.status < 600
            if name != "ContextOverflowError":  # its message has clients' words
                assert answer.message == "the reason"
    assert to_api_error(xlc.InsufficientMemoryError("x")).headers["retry-after"]


def test_unexpected_error_is_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    answer = to_api_error(RuntimeError("inner details"))
    assert answer.status == 500
    assert "inner details" not in answer.message
    assert "inner details" in caplog.text
