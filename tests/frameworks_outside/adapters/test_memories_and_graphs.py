"""mem0 and LangGraph, which use LangChain's models."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TypedDict

import pytest
from langchain_core.messages import AIMessageChunk, HumanMessage
from langgraph.graph import END, START, StateGraph

import xlc_core as xlc
from helpers.typed_city import CITY_TOKENS, TALE, City
from helpers.waiting import await_until, is_idle
from xlc_langchain import ChatXLlama, XLlamaEmbeddings

MEMORIES = {
    "type": "object",
    "properties": {
        "memory": {
            "type": "array",
            "minItems": 1,
            "maxItems": 1,
            "items": {
                "type": "object",
                "properties": {"id": {"const": "0"}, "text": {"type": "string", "minLength": 3, "maxLength": 20}},
                "required": ["id", "text"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["memory"],
    "additionalProperties": False,
}


def test_mem0_stores_finds_and_asks_for_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: xlc.Engine, embedder: xlc.Engine
) -> None:
    """mem0's own question is longer than SmolLM2's context, so that its model is asked a shorter one here."""
    monkeypatch.setitem(os.environ, "MEM0_TELEMETRY", "False")
    monkeypatch.setitem(os.environ, "MEM0_DIR", str(tmp_path / "mem0"))
    from mem0 import Memory

    llm = ChatXLlama(engine=engine, temperature=0, max_tokens=60, model_kwargs={"constraint": MEMORIES})
    memory = Memory.from_config(
        {
            "llm": {"provider": "langchain", "config": {"model": llm}},
            "embedder": {"provider": "langchain", "config": {"model": XLlamaEmbeddings(engine=embedder)}},
            "vector_store": {
                "provider": "qdrant",
                "config": {"path": str(tmp_path / "qdrant"), "embedding_model_dims": embedder.info.n_embd},
            },
            "history_db_path": str(tmp_path / "history.db"),
        }
    )
    memory.add("I drink green tea every morning.", user_id="ann", infer=False)
    memory.add("My bicycle is red.", user_id="ann", infer=False)
    found = memory.search("What does she drink?", filters={"user_id": "ann"})["results"]
    assert found[0]["memory"] == "I drink green tea every morning."
    messages = [{"role": "system", "content": "List the facts."}, {"role": "user", "content": "My name is Ann."}]
    answer = memory.llm.generate_response(messages, response_format={"type": "json_object"})
    (fact,) = json.loads(answer)["memory"]
    assert 3 <= len(fact["text"]) <= 20
    memory.close()


class State(TypedDict, total=False):
    """The state of the graph."""

    country: str
    city: City


def test_langgraph_node_writes_typed_state(engine: xlc.Engine) -> None:
    llm = ChatXLlama(engine=engine, temperature=0, max_tokens=CITY_TOKENS).with_structured_output(City)

    def name_city(state: State) -> State:
        return {"city": llm.invoke(f"Name a city in {state['country']}.")}

    graph = StateGraph(State)
    graph.add_node("name_city", name_city)
    graph.add_edge(START, "name_city")
    graph.add_edge("name_city", END)
    assert isinstance(graph.compile().invoke({"country": "Norway"})["city"], City)


async def test_leaving_stream_of_langgraph_frees_slot(engine: xlc.Engine) -> None:
    llm = ChatXLlama(engine=engine, max_tokens=1500, model_kwargs={"ignore_eos": True})

    async def tell(state: dict[str, str]) -> dict[str, str]:
        return {"story": (await llm.ainvoke([HumanMessage(TALE)])).text}

    graph = StateGraph(dict)
    graph.add_node("tell", tell)
    graph.add_edge(START, "tell")
    stream = graph.compile().astream({"story": ""}, stream_mode="messages")
    message, _ = await anext(stream)
    assert isinstance(message, AIMessageChunk)
    await stream.aclose()
    assert await await_until(lambda: is_idle(engine))
