"""The adapters over real models: what a script cannot show."""

from __future__ import annotations

import asyncio
import pickle
from typing import TYPE_CHECKING

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessageChunk, HumanMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from helpers.waiting import WorkCounter, await_until
from xlc_langchain import ChatXLlama, XLlamaEmbeddings, XLlamaReranker
from xlc_langchain.errors import ContextOverflowError, RequestTimeoutError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from xlc_core import Engine


@pytest.fixture(scope="module")
def llm(smollm2_path: Path) -> Iterator[ChatXLlama]:
    with ChatXLlama(model=smollm2_path, n_ctx=512, temperature=0, max_tokens=16) as model:
        yield model


def running(llm: ChatXLlama) -> int:
    return engine_of(llm).metrics().requests_running


def engine_of(llm: ChatXLlama) -> Engine:
    return llm._get_engine()


async def test_four_ways_give_same_answer(llm: ChatXLlama) -> None:
    llm.invoke("Name a colour.")  # a prompt out of the cache is rounded in another way than one that is read
    invoked = llm.invoke("Name a colour.")
    assert invoked.text
    assert (await llm.ainvoke("Name a colour.")).text == invoked.text
    streamed = list(llm.stream("Name a colour."))
    assert "".join(chunk.text for chunk in streamed) == invoked.text
    assert len(streamed) > 2
    whole = AIMessageChunk("")
    async for chunk in llm.astream("Name a colour."):
        whole += chunk
    assert whole.text == invoked.text
    assert whole.usage_metadata["output_tokens"] == invoked.usage_metadata["output_tokens"]
    used_up = invoked.usage_metadata["output_tokens"] == llm.max_tokens
    assert invoked.response_metadata["finish_reason"] == "stop" or used_up


async def test_concurrent_calls_share_engine(llm: ChatXLlama) -> None:
    questions = [f"Count to {n}." for n in range(3, 9)]
    assert len(llm.batch(questions)) == len(await llm.abatch(questions)) == 6
    twin = pickle.loads(pickle.dumps(llm))
    assert engine_of(twin) is engine_of(llm)
    twin.close()
    assert not engine_of(llm).closed


async def test_cancelled_call_frees_its_slot(llm: ChatXLlama) -> None:
    work = WorkCounter(engine_of(llm))
    task = asyncio.create_task(llm.ainvoke("Tell a long story.", max_tokens=1500, ignore_eos=True))
    assert await await_until(lambda: running(llm))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.generation_tokens() < 1500


async def test_leaving_stream_frees_its_slot(llm: ChatXLlama) -> None:
    work = WorkCounter(engine_of(llm))
    stream = llm.stream("Tell a long story.", max_tokens=1500, ignore_eos=True)
    next(stream)
    stream.close()
    astream = llm.astream("Tell a long story.", max_tokens=1500, ignore_eos=True)
    await anext(astream)
    await astream.aclose()
    assert work.generation_tokens() < 1500


def test_timeout_is_langchain_error(llm: ChatXLlama) -> None:
    with pytest.raises(RequestTimeoutError):
        llm.invoke("Tell a long story.", max_tokens=1500, timeout=0.05)


def test_overflow_is_refused_and_says_by_how_much(llm: ChatXLlama) -> None:
    prompt = "word " * 4000
    with pytest.raises(ContextOverflowError) as caught:
        llm.invoke(prompt)
    assert caught.value.n_prompt_tokens > caught.value.n_ctx
    assert caught.value.n_prompt_tokens == llm.get_num_tokens_from_messages([HumanMessage(prompt)])


def test_counts_are_exact(llm: ChatXLlama) -> None:
    messages = [HumanMessage("How are you?")]
    answer = llm.invoke(messages)
    assert answer.usage_metadata["input_tokens"] == llm.get_num_tokens_from_messages(messages)


@tool
def get_weather(city: str) -> str:
    """Say how the weather is in a city."""
    return f"rain in {city}"


class Person(BaseModel):
    """Somebody."""

    name: str
    age: int


async def test_forced_call_is_made(llm: ChatXLlama) -> None:
    caller = llm.bind_tools([get_weather], tool_choice="any", max_tokens=200)
    calls = caller.invoke("How is the weather in Oslo?").tool_calls
    assert get_weather.invoke(calls[0]["args"]).startswith("rain in")
    whole = AIMessageChunk("")
    async for chunk in caller.astream("How is the weather in Oslo?"):
        whole += chunk
    assert [(call["name"], call["args"]) for call in whole.tool_calls] == [
        (call["name"], call["args"]) for call in calls
    ]


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
async def test_structured_output(llm: ChatXLlama, method: str) -> None:
    structured = llm.with_structured_output(Person, method=method, max_tokens=200)
    assert isinstance(structured.invoke("Ann is seven years old."), Person)
    assert isinstance(await structured.ainvoke("Ann is seven years old."), Person)


class Story(BaseModel):
    """A story, which is never over by itself."""

    chapters: list[str]


@pytest.mark.parametrize("max_tokens", [12, 24])
async def test_tight_budget_closes_answer(llm: ChatXLlama, max_tokens: int) -> None:
    question = "Tell a very long story in many chapters."
    structured = llm.with_structured_output(Story, include_raw=True, max_tokens=max_tokens)
    for answer in (structured.invoke(question), await structured.ainvoke(question)):
        assert isinstance(answer["parsed"], Story)
        assert answer["raw"].response_metadata["finish_reason"] == "length"
        assert answer["raw"].usage_metadata["output_tokens"] <= max_tokens
    cut = llm.with_structured_output(Story, max_tokens=max_tokens, close_constraint=False)
    with pytest.raises(OutputParserException, match="raise max_tokens"):
        cut.invoke(question)


async def test_embeddings(embedder_path: Path) -> None:
    with XLlamaEmbeddings(model=embedder_path) as embeddings:
        texts = ["A cat sleeps.", "A kitten naps.", "Shares fell on Monday."]
        vectors = np.array(embeddings.embed_documents(texts))
        assert vectors.shape == (3, 384)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
        assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]
        np.testing.assert_allclose(await embeddings.aembed_documents(texts), vectors, atol=1e-5)
        np.testing.assert_allclose(embeddings.embed_query(texts[0]), vectors[0], atol=1e-5)


@pytest.mark.usefixtures("reranker_path")
async def test_reranking() -> None:
    documents = [
        Document("The tower is in Paris and is 330 metres high."),
        Document("A request that is cancelled frees its slot."),
        Document("Tea steeps for four minutes."),
    ]
    query = "What happens to the slot of a cancelled request?"
    with XLlamaReranker(model="xllama-rerank-mini", top_n=2) as reranker:
        best = reranker.compress_documents(documents, query)
        assert best[0].page_content == documents[1].page_content
        assert best[0].metadata["relevance_score"] > 0 > best[1].metadata["relevance_score"]
        again = await reranker.acompress_documents(documents, query)
        assert [document.page_content for document in again] == [document.page_content for document in best]
