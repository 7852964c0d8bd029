"""Complaints of users of the other llama.cpp integrations, one regression test for each, on real models."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessageChunk, HumanMessage, SystemMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from helpers.threads import count_threads
from helpers.waiting import WorkCounter, await_until
from xlc_langchain import ChatXLlama, XLlamaEmbeddings, XLlamaReranker
from xlc_langchain.errors import ContextOverflowError, InputTooLongError

if TYPE_CHECKING:
    from pathlib import Path

    from xlc_core import Engine


@tool
def get_weather(city: Literal["Oslo", "Rome"]) -> str:
    """Say how the weather is in a city."""
    return f"rain in {city}"


@tool
def get_time(zone: Literal["CET", "PET"]) -> str:
    """Say how late it is in a zone."""
    return f"noon in {zone}"


class Person(BaseModel):
    """Somebody."""

    name: str
    age: int


def joined(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    return chunks[0] + chunks[1:]


@pytest.mark.parametrize("choice", ["any", "required", True])
def test_several_tools_and_any(llm: ChatXLlama, choice: Any) -> None:
    """langchain-community #256: several tools at once, or tool_choice "any", raised."""
    (call,) = llm.bind_tools([get_weather, get_time], tool_choice=choice, max_tokens=60).invoke("Oslo?").tool_calls
    tools = {"get_weather": get_weather, "get_time": get_time}
    assert tools[call["name"]].invoke(call["args"])


async def test_auto_with_and_without_streaming(llm: ChatXLlama) -> None:
    """llama-cpp-python #1338, #1883: there was no "auto", and "auto" raised when streamed."""
    auto = llm.bind_tools([get_weather, get_time], tool_choice="auto", max_tokens=40)
    invoked = auto.invoke("Say hello.")
    assert invoked.text or invoked.tool_calls
    streamed = joined(list(auto.stream("Say hello.")))
    assert (streamed.text, streamed.tool_calls) == (invoked.text, invoked.tool_calls)
    assert joined([chunk async for chunk in auto.astream("Say hello.")]).text == invoked.text


def test_threads_may_call_at_once(llm: ChatXLlama) -> None:
    """llama-cpp-python #1367, #471, #1995, llama.cpp #2941: concurrent calls crashed or froze."""
    with ThreadPoolExecutor(12) as pool:
        calls = [pool.submit(llm.invoke, f"Count to {n}.") for n in range(12)]
        streams = [pool.submit(lambda: joined(list(llm.stream("Hi")))) for _ in range(4)]
        texts = [call.result(timeout=120).text for call in calls]
        assert all(texts)
        assert all(stream.result(timeout=120).text for stream in streams)


async def test_async_leaves_loop_free(llm: ChatXLlama) -> None:
    """langchain #9865: there was no async; what core puts in its place blocks a thread per call."""
    before = count_threads()
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1

    ticking = asyncio.create_task(tick())
    answers = await asyncio.gather(*(llm.ainvoke("Tell a story.", max_tokens=30) for _ in range(8)))
    threads = count_threads()
    ticking.cancel()
    assert all(answer.text for answer in answers)
    assert ticks > 10
    assert threads <= before


def test_large_batch_of_texts_is_embedded(embedder: Engine) -> None:
    """llama-cpp-python #2051: embedding a batch failed with "llama_decode returned -1"."""
    embeddings = XLlamaEmbeddings(engine=embedder)
    texts = [f"Text number {n}, " + "with more words " * (n % 12) for n in range(120)]
    together = np.array(embeddings.embed_documents(texts))
    assert together.shape == (120, 384)
    alone = np.array([embeddings.embed_query(texts[n]) for n in (0, 11, 119)])
    np.testing.assert_allclose(together[[0, 11, 119]], alone, atol=1e-3)


def test_closing_gives_memory_back(smollm2_path: Path) -> None:
    """llama-cpp-python #1442: memory was not freed when a model was unloaded."""
    program = f"""
import gc, psutil
from xlc_langchain import ChatXLlama
me = psutil.Process()
def cycle():
    with ChatXLlama(model={str(smollm2_path)!r}, n_ctx=512, engine_options={{"use_mmap": False}}, max_tokens=2) as llm:
        llm.invoke("Hi")
        loaded = me.memory_info().rss
    gc.collect()
    return loaded - me.memory_info().rss, me.memory_info().rss
first = cycle()
rest = [cycle() for _ in range(3)]
print(first[0], max(rss for _, rss in rest) - first[1])
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    freed, grown = map(int, result.stdout.split())
    assert freed > 60e6
    assert grown < 40e6


async def test_cancelling_ends_prefill_too(engine: Engine) -> None:
    """llama-cpp-python #733: a call could not be cancelled while it read its prompt."""
    llm = ChatXLlama(engine=engine, max_tokens=1)
    prompt = " ".join(f"{n} bottles" for n in range(350))
    n_tokens = engine.count_tokens(prompt)
    work = WorkCounter(engine)
    task = asyncio.create_task(llm.ainvoke(prompt, seed=1))
    assert await await_until(lambda: engine.metrics().requests_running)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.prompt_tokens() < n_tokens  # a batch that is under way is not broken off


async def test_reranking_is_there(reranker: Engine) -> None:
    """llama-cpp-python #1794: there was no reranking."""
    documents = [Document("Tea steeps for four minutes."), Document("A cancelled request frees its slot.")]
    ranked = XLlamaReranker(engine=reranker, top_n=1)
    (best,) = ranked.compress_documents(documents, "What becomes of a cancelled request?")
    assert best.page_content == documents[1].page_content
    assert type(best.metadata["relevance_score"]) is float
    (again,) = await ranked.acompress_documents(documents, "What becomes of a cancelled request?")
    assert again.page_content == best.page_content


def test_counts_come_from_model(llm: ChatXLlama) -> None:
    """langchain #4815: token counts were wrong, GPT-2's, and left template and tools out."""
    messages = [SystemMessage("Be brief."), HumanMessage("Wie spät ist es in 東京?")]
    tools = [get_weather, get_time]
    for bound, given in ((llm, None), (llm.bind_tools(tools), tools)):
        counted = llm.get_num_tokens_from_messages(messages, tools=given)
        assert bound.invoke(messages, max_tokens=1).usage_metadata["input_tokens"] == counted
    whole = joined(list(llm.stream(messages)))
    assert whole.usage_metadata["output_tokens"] == len(llm.get_token_ids(whole.text))


@pytest.mark.parametrize("name", ["get_weather", "get_time"])
def test_tool_choice_is_kept_to(llm: ChatXLlama, name: str) -> None:
    """ollama #17921: tool_choice was ignored."""
    bound = llm.bind_tools([get_weather, get_time], tool_choice=name, max_tokens=60)
    assert [call["name"] for call in bound.invoke("Tell me a joke.").tool_calls] == [name]
    none = llm.bind_tools([get_weather, get_time], tool_choice="none")
    assert none.invoke("Call get_weather for Oslo.").tool_calls == []


async def test_nothing_is_cut_in_silence(llm: ChatXLlama, embedder: Engine) -> None:
    """ollama #4967, #3839: prompts and texts that were too long were cut without a word."""
    prompt = "word " * 4000
    for call in (llm.invoke, lambda text: next(llm.stream(text))):
        with pytest.raises(ContextOverflowError) as caught:
            call(prompt)
        assert caught.value.n_prompt_tokens > caught.value.n_ctx
    with pytest.raises(ContextOverflowError):
        await llm.ainvoke(prompt)
    with pytest.raises(InputTooLongError):
        XLlamaEmbeddings(engine=embedder).embed_query(prompt)
    assert llm.invoke("Tell a story.", max_tokens=4).response_metadata["finish_reason"] == "length"


@pytest.mark.parametrize("thinking", [True, False])
async def test_thinking_goes_with_structured_output(vendored_llama_cpp: Path, thinking: bool) -> None:
    """ollama-python #523: with thinking on, structured output broke: the grammar forbade the thinking."""
    template = (vendored_llama_cpp / "models" / "templates" / "Qwen-Qwen3-0.6B.jinja").read_text(encoding="utf-8")
    options = {"chat_template": template, "n_parallel": 1, "warmup": False}
    with ChatXLlama(
        model="smollm2-135m-instruct", n_ctx=1024, temperature=0, max_tokens=40, engine_options=options
    ) as llm:
        assert llm.profile is not None
        assert llm.profile["reasoning_output"]
        structured = llm.with_structured_output(Person, include_raw=True, thinking=thinking)
        for answer in (structured.invoke("Ann is seven."), await structured.ainvoke("Ann is seven.")):
            thought = answer["raw"].additional_kwargs.get("reasoning_content")
            # A model may spend its budget thinking; what it answers after that is the schema's.
            assert isinstance(answer["parsed"], Person) or (thinking and thought)
            assert thinking or not thought


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
async def test_structured_output_is_never_none(llm: ChatXLlama, method: Any) -> None:
    """langchain #29410: with_structured_output answered with None."""
    structured = llm.with_structured_output(Person, method=method, max_tokens=40)
    for answer in (structured.invoke("Hi!"), await structured.ainvoke("Hi!"), *structured.stream("Hi!")):
        assert isinstance(answer, Person)


def test_retired_package_is_not_needed() -> None:
    """langchain-community #674: the package that held the llama.cpp classes is retired."""
    program = (
        "import sys, xlc_langchain; "
        "print([m for m in sys.modules if m.split('.')[0] in ('langchain_community', 'llama_cpp', 'ollama', 'torch')])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.strip() == "[]"
