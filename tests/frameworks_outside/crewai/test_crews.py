"""CrewAI, which takes names of LiteLLM's models: a crew of one agent and one tool."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import litellm
import pytest
from crewai import LLM, Agent, Crew, Task
from crewai.tools import tool
from crewai.utilities.exceptions.context_window_exceeding_exception import LLMContextLengthExceededError

import xlc_core as xlc
from helpers.typed_city import CITY_TOKENS, City
from xlc_litellm import register

pytestmark = pytest.mark.filterwarnings("default")  # CrewAI and LiteLLM use what other packages deprecate


@pytest.fixture(autouse=True)
def provider(engine: xlc.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CREWAI_STORAGE_DIR", str(tmp_path))
    register({"small": {"engine": engine}})
    yield
    litellm.custom_provider_map = []


def model(**options: Any) -> LLM:
    return LLM("xllama/small", temperature=0, seed=1, max_tokens=40, **options)


def crew_with_tool(llm: LLM, seen: list[str], **task: Any) -> Crew:
    @tool("weather")
    def weather(place: str) -> str:
        """The weather of a place."""
        seen.append(place)
        return f"sunny in {place}"

    agent = Agent(
        role="Reporter", goal="Report the weather.", backstory="You like it.", tools=[weather], llm=llm, max_iter=2
    )
    asked = Task(description="Report the weather in Rome.", expected_output="A sentence.", agent=agent, **task)
    return Crew(agents=[agent], tasks=[asked])


def test_crew_calls_tool_and_answers() -> None:
    """The model must call the tool. CrewAI asks without tools for the last answer."""
    llm, seen = model(tool_choice="required"), list[str]()
    assert llm.supports_function_calling()
    result = crew_with_tool(llm, seen).kickoff()
    assert seen
    assert result.raw
    assert result.token_usage.successful_requests == len(seen) + 1
    assert 0 < result.token_usage.completion_tokens <= 40 * (len(seen) + 1)


def test_crew_runs_without_blocking() -> None:
    seen: list[str] = []
    result = asyncio.run(crew_with_tool(model(tool_choice="required"), seen).kickoff_async())
    assert seen
    assert result.raw


def test_answers_match_schema() -> None:
    answer = LLM("xllama/small", temperature=0, max_tokens=CITY_TOKENS, response_format=City).call("Name a city.")
    City.model_validate_json(answer)


def test_stream_is_read() -> None:
    assert model(stream=True).call("Say hello.") == model().call("Say hello.")


def test_long_chat_raises_error_that_crews_shorten_on() -> None:
    with pytest.raises(LLMContextLengthExceededError):
        model().call("llama " * 3000)
