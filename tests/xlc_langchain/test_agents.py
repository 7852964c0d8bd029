"""Agents of LangChain's ``create_agent`` on a real model.

A model of 135 million parameters cannot judge when to call a tool. So middleware says it where a test needs a certain
course; that the call exists, fits its schema and finds its way back is then the adapter's doing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import (
    SummarizationMiddleware,
    wrap_model_call,
    wrap_tool_call,
)
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from xlc_langchain import ChatXLlama

if TYPE_CHECKING:
    from langchain.agents.middleware.types import ModelRequest, ModelResponse

    from xlc_core import Engine


@tool
def get_weather(city: Literal["Oslo", "Rome"]) -> str:
    """Say how the weather is in a city."""
    return {"Oslo": "snow", "Rome": "sun"}[city]


@tool
def get_time(zone: Literal["CET", "PET"]) -> str:
    """Say how late it is in a zone."""
    return f"noon in {zone}"


class Report(BaseModel):
    """What to wear."""

    wear: Literal["coat", "shirt"]


def n_results(messages: list[Any]) -> int:
    return sum(isinstance(message, ToolMessage) for message in messages)


def chosen(messages: list[Any]) -> str:
    """First the weather, then the time, then an answer."""
    return ["get_weather", "get_time", "none"][min(n_results(messages), 2)]


@wrap_model_call
def one_after_the_other(request: ModelRequest, handler: Any) -> ModelResponse:
    return handler(request.override(tool_choice=chosen(request.messages)))


@wrap_model_call
async def aone_after_the_other(request: ModelRequest, handler: Any) -> ModelResponse:
    return await handler(request.override(tool_choice=chosen(request.messages)))


@pytest.fixture
def model(engine: Engine) -> ChatXLlama:
    return ChatXLlama(engine=engine, temperature=0, seed=1, max_tokens=40)


QUESTION = {"messages": [HumanMessage("How is the weather in Oslo, and how late is it there?")]}


def test_agent_calls_its_tools_and_answers(model: ChatXLlama) -> None:
    agent = create_agent(model, [get_weather, get_time], middleware=[one_after_the_other])
    messages = agent.invoke(QUESTION)["messages"]
    kinds = [type(message).__name__ for message in messages]
    assert kinds == ["HumanMessage", "AIMessage", "ToolMessage", "AIMessage", "ToolMessage", "AIMessage"]
    assert messages[2].content in ("snow", "sun")
    assert messages[4].content.startswith("noon in")
    assert [message.status for message in messages if isinstance(message, ToolMessage)] == ["success"] * 2
    assert messages[1].tool_calls[0]["id"] == messages[2].tool_call_id
    assert messages[-1].text
    assert not messages[-1].tool_calls


async def test_async_agent_streams(model: ChatXLlama) -> None:
    agent = create_agent(model, [get_weather, get_time], middleware=[aone_after_the_other])
    nodes, text = [], ""
    async for mode, part in agent.astream(QUESTION, stream_mode=["updates", "messages"]):
        if mode == "updates":
            nodes += list(part)
        else:
            chunk, _ = part
            text += chunk.text if isinstance(chunk, AIMessage) else ""
    assert nodes == ["model", "tools", "model", "tools", "model"]
    assert text


def test_tool_error_goes_back_to_model(model: ChatXLlama) -> None:
    @tool
    def get_weather(city: str) -> str:
        """Say how the weather is."""
        raise ConnectionError(f"no line to {city}")

    @wrap_model_call
    def once(request: ModelRequest, handler: Any) -> ModelResponse:
        return handler(request.override(tool_choice="none" if n_results(request.messages) else "any"))

    @wrap_tool_call
    def told(request: Any, handler: Any) -> Any:
        try:
            return handler(request)
        except ConnectionError as error:
            return ToolMessage(f"Error: {error}", tool_call_id=request.tool_call["id"], status="error")

    agent = create_agent(model, [get_weather], middleware=[once, told])
    messages = agent.invoke(QUESTION)["messages"]
    assert messages[2].status == "error"
    assert messages[-1].text
    prompt_tokens = model.get_num_tokens_from_messages(messages[:-1], tools=[get_weather])
    assert messages[-1].usage_metadata["input_tokens"] == prompt_tokens


def test_tools_or_response_format_by_one_grammar(model: ChatXLlama) -> None:
    """Given a profile that says so, the agent binds both, and every answer is a call or parses."""
    bound = []

    @wrap_model_call
    def note(request: ModelRequest, handler: Any) -> ModelResponse:
        response = handler(request)
        bound.append(response.result[0])
        return response

    agent = create_agent(model, [get_weather], response_format=Report, middleware=[note])
    state = agent.invoke({"messages": [HumanMessage("Give the Report: a coat or a shirt?")]}, {"recursion_limit": 12})
    assert isinstance(state["structured_response"], Report)
    for message in bound:
        assert message.tool_calls or Report.model_validate_json(message.text)


def test_summarising_middleware_knows_limit(model: ChatXLlama) -> None:
    """Fractions of the context need a profile, which only the model's file can give."""
    assert model.profile is not None
    limit = model.profile["max_input_tokens"]
    assert limit == 2048
    exactly = model.get_num_tokens_from_messages
    middleware = SummarizationMiddleware(model, trigger=("fraction", 0.1), keep=("messages", 2), token_counter=exactly)
    agent = create_agent(model, [], middleware=[middleware])
    chatter = [kind(f"{n} " + "word " * 40) for n in range(3) for kind in (HumanMessage, AIMessage)]
    assert exactly(chatter) > 0.1 * limit
    messages = agent.invoke({"messages": [*chatter, HumanMessage("And now?")]})["messages"]
    assert len(messages) == 4
    assert "summary" in messages[0].text.lower()
    assert messages[-1].text
