"""Cohere's own client: reranking by both versions of its API, and errors."""

from __future__ import annotations

from collections.abc import Iterator

import cohere
import pytest

import xlc_core as xlc
import xlc_server

CLIENTS = ("cohere",)
QUERY = "What is the capital of France?"
DOCUMENTS = ["Bread is baked.", "Paris is the capital of France.", "Cats sleep."]
BEST = 1


@pytest.fixture(params=["socket", "portless"])
def client(request: pytest.FixtureRequest, pool: xlc.EnginePool) -> Iterator[cohere.ClientV2]:
    if request.param == "portless":
        made = cohere.ClientV2("none", base_url="http://localhost", httpx_client=xlc_server.http_client(pool))
    else:
        made = cohere.ClientV2("none", base_url=request.getfixturevalue("root"))
    with made:
        yield made


def test_cohere_rerank(client: cohere.ClientV2) -> None:
    answer = client.rerank(model="rank", query=QUERY, documents=DOCUMENTS, top_n=2, max_tokens_per_doc=100)
    assert [len(answer.results), answer.results[0].index] == [2, BEST]
    assert 1 >= answer.results[0].relevance_score > answer.results[1].relevance_score >= 0


def test_cohere_rerank_of_the_first_version(root: str) -> None:
    with cohere.Client("none", base_url=root) as client:
        answer = client.rerank(model="rank", query=QUERY, documents=DOCUMENTS, top_n=1, return_documents=True)
    assert answer.results[0].document.text == DOCUMENTS[BEST]


async def test_cohere_async(root: str) -> None:
    async with cohere.AsyncClientV2("none", base_url=root) as client:
        answer = await client.rerank(model="rank", query=QUERY, documents=DOCUMENTS)
    assert answer.results[0].index == BEST


def test_cohere_errors(client: cohere.ClientV2) -> None:
    with pytest.raises(cohere.NotFoundError) as missing:
        client.rerank(model="missing", query=QUERY, documents=DOCUMENTS)
    assert "missing" in str(missing.value)
    with pytest.raises(cohere.BadRequestError):
        client.rerank(model="rank", query=QUERY, documents=[])
