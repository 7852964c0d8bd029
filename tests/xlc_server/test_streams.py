"""When a stream begins, several texts in one stream, and large bodies."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from pydantic import model_validator

import xlc_core as xlc
from helpers.servers import WAYS, reached
from helpers.tiny_models import write_byte_llama
from helpers.waiting import is_idle, wait_until
from xlc_server.endpoint import Endpoint
from xlc_server.options import ServerOptions
from xlc_server.service import Body, Service

ENDLESS: Any = {"max_tokens": 4000, "ignore_eos": True, "stream": True}
HELLO: Any = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[xlc.EnginePool]:
    """A model with one slot."""
    tiny = write_byte_llama(tmp_path_factory.mktemp("models") / "tiny.gguf", n_ctx=4096)
    with xlc.EnginePool({"tiny": tiny}, n_ctx=4096, n_parallel=1, n_threads=1) as pool:
        yield pool


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": HELLO}),
        ("/v1/completions", {"prompt": ["a", "b"]}),
        ("/v1/messages", {"messages": HELLO}),
        ("/v1/responses", {"input": "a"}),
    ],
)
def test_stream_begins_when_the_request_is_accepted(
    way: str, narrow: xlc.EnginePool, path: str, body: dict[str, Any]
) -> None:
    with narrow.acquire("tiny") as lease, reached(way, narrow) as client:
        metrics = lease.engine.metrics
        with client.stream("POST", "/v1/completions", json={"prompt": "a", **ENDLESS}) as first:
            lines = first.iter_lines()  # the stream lives as long as they do
            assert next(lines)
            given = {key: value for key, value in ENDLESS.items() if path != "/v1/responses" or key != "max_tokens"}
            with client.stream("POST", path, json={**body, **given}) as second:  # waits for the slot
                assert second.status_code == 200
                assert second.headers["content-type"].startswith("text/event-stream")
                assert metrics().requests_waiting >= 1
            long = json.loads(json.dumps(body).replace('"a"', '"Hi"').replace('"Hi"', f'"{"a" * 5000}"'))
            too_long = client.post(path, json={**long, **given})
            assert too_long.status_code == 400, too_long.text
        assert wait_until(lambda: is_idle(lease.engine))


@pytest.mark.parametrize("way", WAYS)
def test_several_texts_of_a_stream_are_written_at_once(way: str, tmp_path: Path) -> None:
    tiny = write_byte_llama(tmp_path / "tiny.gguf", n_ctx=4096)
    with (
        xlc.EnginePool({"tiny": tiny}, n_ctx=2048, n_parallel=2, n_threads=1) as pool,
        reached(way, pool) as client,
        pool.acquire("tiny") as lease,
    ):
        seen: set[int] = set()
        with client.stream("POST", "/v1/completions", json={"prompt": ["a", "b"], **ENDLESS}) as stream:
            for line in stream.iter_lines():
                if line:
                    seen.add(json.loads(line.removeprefix("data: "))["choices"][0]["index"])
                if seen == {0, 1}:  # both texts are endless: one after another, the second would never begin
                    break
        assert wait_until(lambda: is_idle(lease.engine))


def test_texts_of_a_stream_are_those_of_one_answer(client: openai.OpenAI) -> None:
    options: Any = {"model": "chat", "prompt": ["1, 2, 3,", "Hello", "The sky is"], "n": 2, "max_tokens": 5}
    texts, ends, usage = [""] * 6, [""] * 6, None
    stream = client.completions.create(**options, stream=True, echo=True, stream_options={"include_usage": True})
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            texts[choice.index] += choice.text
            ends[choice.index] += choice.finish_reason or ""
    assert all(text.startswith(options["prompt"][index // 2]) for index, text in enumerate(texts))
    assert all(end in ("length", "stop") for end in ends)
    assert usage is not None
    assert usage.completion_tokens <= 30
    with pytest.raises(openai.BadRequestError) as raised:  # one text is too long: none is answered
        client.completions.create(**{**options, "prompt": ["Hello", "long " * 3000]}, stream=True)
    assert raised.value.code == "context_length_exceeded"


async def test_large_bodies_are_read_beside_the_event_loop(pool: xlc.EnginePool) -> None:
    readers: list[int] = []

    class Text(Body):
        text: str

        @model_validator(mode="after")
        def _note(self) -> Text:
            readers.append(threading.get_ident())
            return self

    async def length(_: Service, body: Text) -> Mapping[str, Any]:
        return {"length": len(body.text)}

    app = Endpoint(Service(pool, ServerOptions()), Text, length)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        for size in (1000, 300_000):
            assert (await client.post("/", json={"text": "x" * size})).json() == {"length": size}
        large = await client.post("/", content=b'{"text": ' + b" " * 300_000)
    assert (large.status_code, large.json()["error"]["code"]) == (400, "invalid_json")
    assert readers[0] == threading.get_ident()
    assert readers[1] != threading.get_ident()
