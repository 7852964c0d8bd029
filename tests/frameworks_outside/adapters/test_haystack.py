"""xlc_haystack in Haystack's pipelines, on real models."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any, Literal

import pytest
from haystack import Document, Pipeline
from haystack.components.agents import Agent
from haystack.components.builders import ChatPromptBuilder
from haystack.core.errors import PipelineRuntimeError
from haystack.dataclasses import ChatMessage, ImageContent, StreamingChunk
from haystack.tools import tool

import xlc_core as xlc
from helpers.tiny_media import BLUE, IMAGE_TOKENS, RED
from helpers.typed_city import CITY_TOKENS, TALE, City, check_call
from helpers.waiting import await_until, is_idle, wait_until
from xlc_haystack import XllamaChatGenerator, XllamaDocumentEmbedder, XllamaRanker, XllamaTextEmbedder

ASKED = [ChatMessage.from_user("Name a city.")]
ENDLESS = {"max_tokens": 1500, "ignore_eos": True}


@tool
def weather(place: Annotated[str, "where"], days: Annotated[Literal[1, 7], "how many"]) -> str:
    """The weather of a place."""
    return f"sunny in {place} for {days}"


@pytest.fixture
def generator(engine: xlc.Engine) -> XllamaChatGenerator:
    return XllamaChatGenerator(engine=engine, temperature=0, seed=1, max_tokens=CITY_TOKENS)


async def test_answers_match_schema_in_every_way_to_call(generator: XllamaChatGenerator) -> None:
    chunks: list[StreamingChunk] = []
    schema = {"type": "json_schema", "json_schema": {"name": "City", "schema": City.model_json_schema()}}
    replies = [
        generator.run(ASKED, generation_kwargs={"response_format": City}),
        generator.run("Name a city.", generation_kwargs={"response_format": schema}, streaming_callback=chunks.append),
        await generator.run_async(ASKED, generation_kwargs={"response_format": City}),
    ]
    for result in replies:
        City.model_validate_json(result["replies"][0].text)
    assert "".join(chunk.content for chunk in chunks) == replies[1]["replies"][0].text
    assert chunks[-1].finish_reason == "stop"
    usage = replies[1]["replies"][0].meta["usage"]
    assert chunks[-1].meta["usage"] == usage
    assert 0 < usage["completion_tokens"] <= CITY_TOKENS


def test_calls_are_made_and_their_results_read(generator: XllamaChatGenerator) -> None:
    chunks: list[StreamingChunk] = []
    forced = {"tool_choice": "required"}
    whole = generator.run(ASKED, tools=[weather], generation_kwargs=forced)["replies"][0]
    (call,) = whole.tool_calls
    check_call(call.tool_name, call.arguments | {"place": call.arguments["place"][:12]})
    streamed = generator.run(ASKED, tools=[weather], generation_kwargs=forced, streaming_callback=chunks.append)
    (streamed_call,) = streamed["replies"][0].tool_calls
    pieces = [piece for chunk in chunks for piece in chunk.tool_calls or ()]
    assert pieces[0].tool_name == "weather"
    assert json.loads("".join(piece.arguments or "" for piece in pieces)) == streamed_call.arguments
    history = [*ASKED, whole, ChatMessage.from_tool("sunny", origin=call)]
    assert generator.run(history, generation_kwargs={"max_tokens": 3})["replies"][0].text


@pytest.mark.parametrize("callback", [None, lambda chunk: None])
def test_tool_without_arguments_is_called_also_in_streams(generator: XllamaChatGenerator, callback: Any) -> None:
    """As haystack's issue 9408 has it; and ``stream`` among the options, as haystack-core-integrations' 678."""

    @tool
    def now() -> str:
        """The time."""
        return "noon"

    options = {"tool_choice": "now", "stream": True}
    reply = generator.run(ASKED, tools=[now], generation_kwargs=options, streaming_callback=callback)["replies"][0]
    assert [(call.tool_name, call.arguments) for call in reply.tool_calls] == [("now", {})]


def test_agent_runs_tools(generator: XllamaChatGenerator) -> None:
    generator.generation_kwargs = {"tool_choice": "required"}
    agent = Agent(chat_generator=generator, tools=[weather], exit_conditions=["weather"])
    result = agent.run(messages=[ChatMessage.from_user("Weather in Rome?")])
    assert "sunny in" in str(result["last_message"].tool_call_result.result)


async def test_several_answers_and_probabilities(generator: XllamaChatGenerator) -> None:
    options = {"n": 2, "max_completion_tokens": 3, "logprobs": True, "top_logprobs": 2}
    replies = (await generator.run_async(ASKED, generation_kwargs=options))["replies"]
    assert [reply.meta["index"] for reply in replies] == [0, 1]
    assert len(replies[0].meta["logprobs"]["content"][0]["top_logprobs"]) == 2
    with pytest.raises(xlc.InvalidRequestError, match="n must be 1"):
        generator.run(ASKED, generation_kwargs={"n": 2}, streaming_callback=print)


async def test_error_in_callback_and_cancelled_task_free_slot(
    generator: XllamaChatGenerator, engine: xlc.Engine
) -> None:
    def leave(chunk: StreamingChunk) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        generator.run(TALE, generation_kwargs=ENDLESS, streaming_callback=leave)
    assert wait_until(lambda: is_idle(engine))
    task = asyncio.create_task(generator.run_async(TALE, generation_kwargs=ENDLESS))
    assert await await_until(lambda: not is_idle(engine))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await await_until(lambda: is_idle(engine))


async def test_asynchronous_callback_gets_chunks(generator: XllamaChatGenerator) -> None:
    seen: list[str] = []

    async def keep(chunk: StreamingChunk) -> None:
        seen.append(chunk.content)

    reply = await generator.run_async(TALE, generation_kwargs={"max_tokens": 6}, streaming_callback=keep)
    assert "".join(seen) == reply["replies"][0].text


def test_thinking_is_apart(thinker: xlc.Engine) -> None:
    chunks: list[StreamingChunk] = []
    generator = XllamaChatGenerator(engine=thinker, temperature=0, max_tokens=24)
    reply = generator.run(TALE, streaming_callback=chunks.append)["replies"][0]
    assert reply.reasoning is not None
    assert reply.reasoning.reasoning_text == "".join(c.reasoning.reasoning_text for c in chunks if c.reasoning)
    assert [chunk.index for chunk in chunks if chunk.start] == [0, 1]
    assert reply.meta["usage"]["completion_tokens_details"]["reasoning_tokens"] == 5
    again = generator.run([ChatMessage.from_user(TALE), reply, ChatMessage.from_user("And then?")])["replies"][0]
    assert again.meta["usage"]["prompt_tokens"] > reply.meta["usage"]["prompt_tokens"]
    assert not generator.run(TALE, generation_kwargs={"reasoning_effort": "none"})["replies"][0].reasoning


def test_images_are_read(seer: xlc.Engine) -> None:
    import base64

    generator = XllamaChatGenerator(engine=seer, temperature=0, max_tokens=8)
    replies = []
    for image in (RED, BLUE):
        content = ImageContent(base64.b64encode(image).decode(), "image/png")
        replies.append(generator.run([ChatMessage.from_user(content_parts=["What?", content])])["replies"][0])
    assert replies[0].text != replies[1].text
    assert replies[0].meta["usage"]["prompt_tokens"] >= IMAGE_TOKENS


def test_pipeline_is_stored_and_loaded() -> None:
    generator = XllamaChatGenerator(
        "smollm2-135m-instruct",
        n_ctx=512,
        engine_options={"n_parallel": 1},
        temperature=0,
        generation_kwargs={"response_format": City},
        tools=[weather],
        streaming_callback=print_nothing,
    )
    pipeline = Pipeline()
    pipeline.add_component("prompt", ChatPromptBuilder([ChatMessage.from_user("Name a city in {{country}}.")]))
    pipeline.add_component("llm", generator)
    pipeline.add_component("texts", XllamaTextEmbedder("all-minilm-l6-v2", truncate="end"))
    pipeline.add_component("documents", XllamaDocumentEmbedder("all-minilm-l6-v2", meta_fields_to_embed=["title"]))
    pipeline.add_component("rank", XllamaRanker("xllama-rerank-mini", top_k=2, scores="sigmoid"))
    pipeline.connect("prompt.prompt", "llm.messages")
    stored = pipeline.dumps()
    loaded = Pipeline.loads(stored, allowed_modules=["xlc_haystack.*", f"{__name__}.*", __name__])
    assert loaded.dumps() == stored


def print_nothing(chunk: StreamingChunk) -> None:
    pass


def test_components_run_in_pipeline_and_errors_reach_its_caller(
    generator: XllamaChatGenerator, embedder: xlc.Engine, reranker: xlc.Engine
) -> None:
    pipeline = Pipeline()
    pipeline.add_component("documents", XllamaDocumentEmbedder(engine=embedder))
    pipeline.add_component("rank", XllamaRanker(engine=reranker, top_k=1))
    pipeline.connect("documents.documents", "rank.documents")
    documents = [Document(content="A car is a vehicle."), Document(content="A llama is an animal of the Andes.")]
    result = pipeline.run(
        {"documents": {"documents": documents}, "rank": {"query": "Which animals live in the Andes?"}}
    )
    (best,) = result["rank"]["documents"]
    assert best.content == documents[1].content
    assert best.score is not None
    assert len(best.embedding) == embedder.info.n_embd
    assert documents[0].embedding is None
    failing = Pipeline()
    failing.add_component("llm", generator)
    with pytest.raises(PipelineRuntimeError, match="shorten the prompt"):
        failing.run({"llm": {"messages": [ChatMessage.from_user("llama " * 3000)]}})


async def test_retrieval_with_and_without_asyncio(embedder: xlc.Engine, reranker: xlc.Engine) -> None:
    texts = XllamaTextEmbedder(engine=embedder)
    expected = embedder.embed(["A llama."])[0].tolist()
    assert texts.run("A llama.")["embedding"] == pytest.approx(expected, abs=1e-5)
    assert (await texts.run_async("A llama."))["embedding"] == pytest.approx(expected, abs=1e-5)
    titled = Document(content="grazes.", meta={"title": "A llama"})
    plain = XllamaDocumentEmbedder(engine=embedder)
    with_title = XllamaDocumentEmbedder(engine=embedder, meta_fields_to_embed=["title"], embedding_separator=" ")
    (one,), (other,) = plain.run([titled])["documents"], (await with_title.run_async([titled]))["documents"]
    assert one.embedding != pytest.approx(other.embedding, abs=1e-3)
    assert other.embedding == pytest.approx(embedder.embed(["A llama grazes."])[0].tolist(), abs=1e-5)
    assert plain.run([]) == {"documents": [], "meta": {"model": "all-minilm-l6-v2"}}
    ranker = XllamaRanker(engine=reranker)
    documents = [Document(content="A car."), Document(content="A llama.")]
    found = (await ranker.run_async("llamas", documents, top_k=1))["documents"]
    assert found == ranker.run("llamas", documents)["documents"][:1]
    assert ranker.run("llamas", []) == {"documents": []}
    with pytest.raises(TypeError, match="takes a text"):
        texts.run([titled])
    with pytest.raises(ValueError, match="top_k"):
        ranker.run("llamas", documents, top_k=0)
