"""The endpoints beside chats."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import openai
import pytest

import xlc_core as xlc
import xlc_server


def test_models_are_listed(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["chat", "embed", "rank"]
    assert client.models.retrieve("embed").id == "embed"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other/one")


async def test_http_clients_without_a_port(pool: xlc.EnginePool) -> None:
    body = {"model": "embed", "input": "a cat"}
    with xlc_server.http_client(pool) as client:
        answer = client.post("embeddings", json=body).json()
    async with xlc_server.async_http_client(pool) as aclient:
        again = (await aclient.post("/embeddings", json=body)).json()
    assert len(answer["data"][0]["embedding"]) == 384
    assert again["usage"] == answer["usage"]


def test_completions(client: openai.OpenAI, chat_engine: xlc.Engine) -> None:
    options: Any = {"model": "chat", "max_tokens": 6, "temperature": 0, "seed": 1}
    prompts = ["1, 2, 3,", "The capital of France is"]
    answer = client.completions.create(prompt=prompts[:1], **options, logprobs=1)
    expected = chat_engine.complete(prompts[0], max_tokens=6, temperature=0, seed=1)
    assert answer.choices[0].text == expected.text
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert "".join(logprobs.tokens or ()) == answer.choices[0].text
    assert logprobs.text_offset is not None
    assert logprobs.text_offset[0] == 0
    both = client.completions.create(prompt=prompts, **options)
    assert [choice.index for choice in both.choices] == [0, 1]
    assert both.usage is not None
    assert both.usage.completion_tokens == 12
    tokens = chat_engine.tokenize(prompts[0])
    assert client.completions.create(prompt=tokens, **options).choices[0].text == answer.choices[0].text
    texts = ["", ""]
    for chunk in client.completions.create(prompt=prompts, **options, stream=True):
        texts[chunk.choices[0].index] += chunk.choices[0].text
    assert texts[0] == expected.text
    assert texts[1]
    echoed = client.completions.create(prompt=prompts[0], echo=True, **options).choices[0].text
    assert echoed == prompts[0] + expected.text


def test_completion_has_openais_default_length(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="chat", prompt="Once", extra_body={"ignore_eos": True})
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 16


def test_embeddings(client: openai.OpenAI, pool: xlc.EnginePool) -> None:
    texts = ["a cat", "a house"]
    with pool.acquire("embed") as lease:
        expected = lease.engine.embed(texts)
    as_base64 = client.embeddings.create(model="embed", input=texts)  # the client asks for base64 and decodes it
    as_numbers = client.embeddings.create(model="embed", input=texts, encoding_format="float")
    for answer in (as_base64, as_numbers):
        np.testing.assert_allclose([item.embedding for item in answer.data], expected, atol=1e-6)
        assert [item.index for item in answer.data] == [0, 1]
        assert answer.usage.prompt_tokens == 8
    short = client.embeddings.create(model="embed", input="a cat", dimensions=16)
    assert len(short.data[0].embedding) == 16
    with pytest.raises(openai.BadRequestError, match="check_embedding_ctx_length"):
        client.embeddings.create(model="embed", input=[1, 2, 3])
    with pytest.raises(openai.BadRequestError, match="input"):
        client.embeddings.create(model="embed", input=[])


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/rerank"])
def test_rerank(url: str, path: str) -> None:
    documents = ["Bread is baked.", {"text": "Paris is the capital of France."}, "Cats sleep."]
    body = {"model": "rank", "query": "What is the capital of France?", "documents": documents, "top_n": 2}
    answer = httpx.post(url + path, json={**body, "return_documents": True}).json()
    assert answer["results"][0]["index"] == 1
    assert len(answer["results"]) == 2
    assert answer["results"][0]["document"] == {"text": "Paris is the capital of France."}
    assert all(0 <= result["relevance_score"] <= 1 for result in answer["results"])
    assert answer["usage"]["total_tokens"] > 20
    assert "document" not in httpx.post(url + path, json=body).json()["results"][0]
    refused = httpx.post(url + path, json={**body, "documents": [{"title": "x"}]})
    assert refused.status_code == 400


def test_chat_model_ranks_and_embedder_ranks(url: str) -> None:
    for model in ("chat", "embed"):
        answer = httpx.post(
            f"{url}/v1/rerank", json={"model": model, "query": "cats", "documents": ["a cat", "a wall"]}, timeout=60
        )
        assert answer.status_code == 200, answer.text
        assert {result["index"] for result in answer.json()["results"]} == {0, 1}


def test_tokens_and_templates(url: str, chat_engine: xlc.Engine) -> None:
    text = "Hello <|im_start|> world"
    answer = httpx.post(f"{url}/tokenize", json={"model": "chat", "content": text, "with_pieces": True}).json()
    tokens = [token["id"] for token in answer["tokens"]]
    assert tokens == chat_engine.tokenize(text, parse_special=True)
    assert "".join(token["piece"] for token in answer["tokens"]) == text
    joined = httpx.post(f"{url}/detokenize", json={"model": "chat", "tokens": tokens}).json()
    assert joined == {"content": text}
    messages = [{"role": "user", "content": "Hi"}]
    prompt = httpx.post(f"{url}/apply-template", json={"model": "chat", "messages": messages}).json()
    assert prompt == {"prompt": chat_engine.render_chat(messages)}


def test_health(url: str) -> None:
    assert httpx.get(f"{url}/health").json() == {"status": "ok"}
