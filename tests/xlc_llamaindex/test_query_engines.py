"""LlamaIndex's indexes, query engines and agents, run to their end on SmolLM2: the path counts, not the answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from llama_index.core import StorageContext, SummaryIndex, VectorStoreIndex
from llama_index.core.agent.workflow import AgentStream, FunctionAgent, ReActAgent, ToolCall, ToolCallResult
from llama_index.core.base.base_selector import MultiSelection, SingleSelection
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.program import FunctionCallingProgram
from llama_index.core.query_engine import RouterQueryEngine, SubQuestionQueryEngine
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.question_gen.types import SubQuestionList
from llama_index.core.schema import TextNode
from llama_index.core.selectors import PydanticMultiSelector, PydanticSingleSelector
from llama_index.core.selectors.prompts import (
    DEFAULT_MULTI_PYD_SELECT_PROMPT_TMPL,
    DEFAULT_SINGLE_PYD_SELECT_PROMPT_TMPL,
)
from llama_index.core.tools import FunctionTool, QueryEngineTool
from llama_index.vector_stores.qdrant import QdrantVectorStore
from pydantic import Field
from qdrant_client import AsyncQdrantClient, QdrantClient
from workflows.errors import WorkflowCancelledByUser

from helpers.llamaindex_watching import watched_events
from helpers.waiting import WorkCounter, await_until, is_idle
from xlc_core import JsonSchema, Regex

if TYPE_CHECKING:
    from pathlib import Path

    from xlc_llamaindex import XLlama, XLlamaRerank

pytestmark = [
    pytest.mark.usefixtures("settings"),
    # LlamaIndex's workflows look at every attribute of an agent, pydantic's deprecated ones too.
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20"),
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince211"),
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant"),
    pytest.mark.filterwarnings("ignore:is_running called from within a step:DeprecationWarning"),
]

TEXTS = [
    "The Eiffel Tower is in Paris and is 330 metres high.",
    "When a request is cancelled, generation stops and its slot is free for another request.",
    "Green tea is brewed at eighty degrees and steeps for two minutes.",
    "A road tyre holds about seven bars of pressure.",
]
QUESTION = "What happens to the slot of a cancelled request?"


def nodes() -> list[TextNode]:
    return [TextNode(text=text, metadata={"file": f"{n}.md"}) for n, text in enumerate(TEXTS)]


ENDLESS: dict[str, Any] = {"max_tokens": 1500, "additional_kwargs": {"ignore_eos": True}}


@pytest.fixture
def index() -> VectorStoreIndex:
    return VectorStoreIndex(nodes())


async def test_qdrant_with_rerank_and_streamed_answer(llm: XLlama, rerank: XLlamaRerank, tmp_path: Path) -> None:
    client = QdrantClient(path=str(tmp_path / "qdrant"))
    try:
        store = QdrantVectorStore("passages", client=client)
        index = VectorStoreIndex(nodes(), storage_context=StorageContext.from_defaults(vector_store=store))
        engine = index.as_query_engine(similarity_top_k=4, node_postprocessors=[rerank], streaming=True)
        response = engine.query(QUESTION)
        pieces = list(response.response_gen)
    finally:
        client.close()
    assert len(pieces) > 2
    assert "".join(pieces).strip()
    assert response.source_nodes[0].node.metadata["file"] == "1.md"
    assert len(response.source_nodes) == 2
    assert 0 < response.source_nodes[0].node.metadata["retrieval_score"] <= 1


async def test_qdrant_asynchronously(llm: XLlama, rerank: XLlamaRerank) -> None:
    client, aclient = QdrantClient(":memory:"), AsyncQdrantClient(":memory:")
    try:
        store = QdrantVectorStore("passages", client=client, aclient=aclient)
        index = VectorStoreIndex([], storage_context=StorageContext.from_defaults(vector_store=store), use_async=True)
        await index.ainsert_nodes(nodes())
        engine = index.as_query_engine(similarity_top_k=4, node_postprocessors=[rerank], streaming=True, use_async=True)
        response = await engine.aquery(QUESTION)
        pieces = [piece async for piece in response.async_response_gen()]
    finally:
        client.close()
        await aclient.close()
    assert "".join(pieces).strip()
    assert response.source_nodes[0].node.metadata["file"] == "1.md"


class OneOfTwo(SingleSelection):
    """A choice of a tool that exists: LlamaIndex's own type does not bound the number."""

    index: Annotated[int, Field(ge=1, le=2)]


class SomeOfTwo(MultiSelection):
    """At least one such choice."""

    selections: Annotated[list[OneOfTwo], Field(min_length=1, max_length=2)]


@pytest.mark.parametrize(
    ("selector", "choice", "template"),
    [
        (PydanticSingleSelector, OneOfTwo, DEFAULT_SINGLE_PYD_SELECT_PROMPT_TMPL),
        (PydanticMultiSelector, SomeOfTwo, DEFAULT_MULTI_PYD_SELECT_PROMPT_TMPL),
    ],
)
async def test_router_chooses_by_constraint(
    llm: XLlama, index: VectorStoreIndex, selector: Any, choice: Any, template: str
) -> None:
    tools = [
        QueryEngineTool.from_defaults(index.as_query_engine(similarity_top_k=1), name="facts", description="Facts."),
        QueryEngineTool.from_defaults(
            SummaryIndex(nodes()[:1]).as_query_engine(), name="summary", description="Summaries of everything."
        ),
    ]
    roomy = llm.model_copy(update={"max_tokens": 100})
    chooser = selector(FunctionCallingProgram.from_defaults(choice, prompt_template_str=template, llm=roomy))
    chosen = await chooser.aselect([tool.metadata for tool in tools], "Summarise it.")
    assert {one.index for one in chosen.selections} <= {0, 1}
    router = RouterQueryEngine(selector=chooser, query_engine_tools=tools)
    response = await router.aquery("Summarise it.")
    assert str(response).strip()
    assert response.metadata["selector_result"].selections


async def test_sub_questions_are_asked_of_tools_that_exist(llm: XLlama, index: VectorStoreIndex) -> None:
    tools = [
        QueryEngineTool.from_defaults(index.as_query_engine(similarity_top_k=1), name="tower", description="Towers."),
        QueryEngineTool.from_defaults(index.as_query_engine(similarity_top_k=1), name="tea", description="Teas."),
    ]
    schema = SubQuestionList.model_json_schema()
    schema["properties"]["items"]["maxItems"] = 2
    schema["properties"]["items"]["minItems"] = 1
    schema["$defs"]["SubQuestion"]["properties"]["tool_name"]["enum"] = ["tower", "tea"]
    asking = llm.model_copy(update={"max_tokens": 200, "additional_kwargs": {"constraint": JsonSchema(schema)}})
    engine = SubQuestionQueryEngine.from_defaults(
        tools, llm=llm, question_gen=LLMQuestionGenerator.from_defaults(llm=asking), verbose=False, use_async=False
    )
    with watched_events() as events:
        response = await engine.aquery("How high is the tower, and how hot is green tea?")
    assert str(response).strip()
    assert response.source_nodes
    assert events.counts()["LLMPredictStartEvent"] >= 3  # the sub-questions, an answer to each, the whole


@pytest.mark.parametrize("mode", ["condense_plus_context", "context", "simple"])
async def test_chat_engines_remember(llm: XLlama, index: VectorStoreIndex, mode: str) -> None:
    memory = ChatMemoryBuffer.from_defaults(token_limit=1500)
    engine = index.as_chat_engine(chat_mode=mode, memory=memory, similarity_top_k=1)
    assert str(engine.chat("How high is the tower?")).strip()
    streamed = await engine.astream_chat("And where is it?")
    assert "".join([piece async for piece in streamed.async_response_gen()]).strip()
    assert [message.role.value for message in memory.get_all()] == ["user", "assistant"] * 2


def get_weather(city: str) -> str:
    """Say how the weather is in a city."""
    return f"rain in {city}"


WEATHER = FunctionTool.from_defaults(get_weather)


async def test_function_agent_calls_and_ends(llm: XLlama) -> None:
    agent = FunctionAgent(
        tools=[WEATHER],
        llm=llm.model_copy(update={"max_tokens": 60}),
        system_prompt="You are a helpful assistant.",
        initial_tool_choice="get_weather",
    )
    handler = agent.run("How is the weather in Oslo?", max_iterations=4, early_stopping_method="generate")
    seen = [event async for event in handler.stream_events()]
    output = await handler
    assert output.response.blocks
    results = [event for event in seen if isinstance(event, ToolCallResult)]
    assert str(results[0].tool_output).startswith("rain in")
    calls = [event.tool_id for event in seen if isinstance(event, ToolCall) and not isinstance(event, ToolCallResult)]
    assert len(calls) == len(set(calls)) >= 1
    assert any(isinstance(event, AgentStream) for event in seen)


THOUGHT = r"Thought: [A-Za-z ,.']{5,60}\n"


def constrained_agent(llm: XLlama, step: str) -> ReActAgent:
    """ReActAgent parses text; a constraint makes the text one that it can parse, with tools that exist."""
    options = {"max_tokens": 100, "additional_kwargs": {"constraint": Regex(THOUGHT + step)}}
    return ReActAgent(tools=[WEATHER], llm=llm.model_copy(update=options))


async def test_react_agent_thinks_and_acts(llm: XLlama) -> None:
    agent = constrained_agent(llm, r'Action: get_weather\nAction Input: \{"city": "[A-Za-z]{2,12}"\}')
    handler = agent.run("How is the weather in Oslo?", max_iterations=2, early_stopping_method="generate")
    seen = [event async for event in handler.stream_events()]
    assert str(await handler).strip()
    assert any(isinstance(event, AgentStream) and event.delta for event in seen)
    results = [str(event.tool_output) for event in seen if isinstance(event, ToolCallResult)]
    assert results
    assert [result for result in results if not result.startswith("rain in")] == []


async def test_react_agent_thinks_and_answers(llm: XLlama) -> None:
    agent = constrained_agent(llm, r"Answer: [A-Za-z ,.']{3,60}")
    output = await agent.run("How is the weather in Oslo?", max_iterations=2)
    assert 3 <= len(str(output)) <= 60


async def test_react_agent_without_help_ends_too(llm: XLlama) -> None:
    agent = ReActAgent(tools=[WEATHER], llm=llm)
    output = await agent.run("Say hello.", max_iterations=2, early_stopping_method="generate")
    assert str(output).strip()


async def test_cancelled_workflow_frees_its_slot(llm: XLlama) -> None:
    no_end = {"logit_bias": {0: False, 2: False}}  # the tokens that end it; ignore_eos is not for tools
    agent = FunctionAgent(tools=[WEATHER], llm=llm.model_copy(update={**ENDLESS, "additional_kwargs": no_end}))
    work = WorkCounter(llm._get_engine())
    handler = agent.run("Tell a very long story about a dog.")
    async for event in handler.stream_events():
        if isinstance(event, AgentStream) and event.delta:
            break
    assert llm._get_engine().metrics().requests_running == 1
    await handler.cancel_run()
    with pytest.raises(WorkflowCancelledByUser):
        await handler
    assert await await_until(lambda: is_idle(llm._get_engine()))
    assert work.generation_tokens() < 1500


async def test_cancelled_query_frees_its_slot(llm: XLlama, index: VectorStoreIndex) -> None:
    engine = index.as_query_engine(llm=llm.model_copy(update=ENDLESS))
    work = WorkCounter(llm._get_engine())
    task = asyncio.create_task(engine.aquery("Tell a very long story."))
    assert await await_until(lambda: llm._get_engine().metrics().requests_running)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await await_until(lambda: is_idle(llm._get_engine()))
    assert work.generation_tokens() < 1500
