"""OpenAI's agents, by the Responses API and by chats: tools, handoffs, answers of a type, streams.

Choices that a model of 135 million parameters cannot make are forced.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import openai
import pytest
import pytest_asyncio
from agents import (
    Agent,
    Model,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    RunConfig,
    Runner,
    function_tool,
)
from pydantic import BaseModel, Field

import xlc_core as xlc
import xlc_server

CLIENTS = ("openai-agents",)
RUN = RunConfig(tracing_disabled=True)
SHORT = ModelSettings(temperature=0, max_tokens=16)
ENOUGH = ModelSettings(temperature=0, max_tokens=100)
asked: list[str] = []


class Person(BaseModel):
    """A person."""

    name: str = Field(max_length=20)
    age: int = Field(ge=0, le=150)


class City(BaseModel):
    """A city."""

    name: str = Field(max_length=20)


@function_tool
def get_weather(city: City) -> str:
    """Look up the weather."""
    asked.append(city.name)
    return "sunny"


@pytest_asyncio.fixture(params=["socket", "portless"], loop_scope="session")
async def client(request: pytest.FixtureRequest, pool: xlc.EnginePool) -> AsyncIterator[openai.AsyncOpenAI]:
    if request.param == "portless":
        made = xlc_server.async_openai_client(pool)
    else:
        made = openai.AsyncOpenAI(base_url=request.getfixturevalue("url"), api_key="none", max_retries=0)
    async with made:
        yield made


@pytest.fixture(params=[OpenAIResponsesModel, OpenAIChatCompletionsModel])
def model(request: pytest.FixtureRequest, client: openai.AsyncOpenAI) -> Model:
    made: Model = request.param("chat", openai_client=client)
    return made


async def test_answer(model: Model) -> None:
    agent = Agent("assistant", instructions="Be brief.", model=model, model_settings=SHORT)
    result = await Runner.run(agent, "Say hello.", run_config=RUN)
    assert result.final_output
    again = await Runner.run(agent, [*result.to_input_list(), {"role": "user", "content": "Again."}], run_config=RUN)
    assert again.final_output


async def test_tool_is_called_and_answered(model: Model) -> None:
    asked.clear()
    settings = ModelSettings(temperature=0, max_tokens=100, tool_choice="required")
    agent = Agent("assistant", model=model, model_settings=settings, tools=[get_weather])
    result = await Runner.run(agent, "How is the weather in Rome?", run_config=RUN, max_turns=2)
    assert len(asked) == 1
    assert [item.type for item in result.new_items][:2] == ["tool_call_item", "tool_call_output_item"]
    assert result.final_output


async def test_tool_is_called_in_a_stream(model: Model) -> None:
    asked.clear()
    settings = ModelSettings(temperature=0, max_tokens=100, tool_choice="required")
    agent = Agent(
        "assistant", model=model, model_settings=settings, tools=[get_weather], tool_use_behavior="stop_on_first_tool"
    )
    result = Runner.run_streamed(agent, "How is the weather in Rome?", run_config=RUN)
    names = [getattr(event, "name", "") async for event in result.stream_events()]
    assert names.index("tool_called") < names.index("tool_output")
    assert len(asked) == 1
    assert result.final_output == "sunny"


async def test_handoff(model: Model) -> None:
    other = Agent("poet", handoff_description="Writes poems.", model=model, model_settings=SHORT)
    settings = ModelSettings(temperature=0, max_tokens=100, tool_choice="transfer_to_poet")
    agent = Agent("assistant", model=model, model_settings=settings, handoffs=[other])
    result = await Runner.run(agent, "Write a poem.", run_config=RUN, max_turns=2)
    assert result.last_agent is other
    assert result.final_output


async def test_answer_of_a_type(model: Model) -> None:
    agent = Agent("assistant", model=model, model_settings=ENOUGH, output_type=Person)
    result = await Runner.run(agent, "Bob is 5.", run_config=RUN)
    assert isinstance(result.final_output, Person)


async def test_stream(model: Model) -> None:
    agent = Agent("assistant", model=model, model_settings=ENOUGH, output_type=Person)
    result = Runner.run_streamed(agent, "Bob is 5.", run_config=RUN)
    raw = [event.data async for event in result.stream_events() if event.type == "raw_response_event"]
    parts = [event.delta for event in raw if event.type == "response.output_text.delta"]
    assert len(parts) > 2
    assert Person.model_validate_json("".join(parts)) == result.final_output


async def test_usage_is_counted(model: Model) -> None:
    agent = Agent("assistant", model=model, model_settings=SHORT)
    result = await Runner.run(agent, "Count to a hundred.", run_config=RUN)
    usage = result.context_wrapper.usage
    assert (usage.requests, usage.output_tokens) == (1, 16)
    assert usage.total_tokens == usage.input_tokens + 16
