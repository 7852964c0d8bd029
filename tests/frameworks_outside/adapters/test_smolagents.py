"""smolagents, which takes a model's name of LiteLLM."""

from __future__ import annotations

import json
from collections.abc import Iterator

import litellm
import pytest
from smolagents import ChatMessage, LiteLLMModel, MessageRole, tool

import xlc_core as xlc
from helpers.typed_city import CITY_TOKENS, City
from xlc_litellm import register

pytestmark = pytest.mark.filterwarnings("ignore:Items? .* on TypedDict class:UserWarning")  # LiteLLM's own types

ASKED = [ChatMessage(role=MessageRole.USER, content="Name a city.")]


@tool
def add(left: int, right: int) -> int:
    """Add two numbers.

    Args:
        left: one.
        right: the other.
    """
    return left + right


@pytest.fixture
def model(engine: xlc.Engine) -> Iterator[LiteLLMModel]:
    litellm.suppress_debug_info = True
    register({"small": {"engine": engine}})
    yield LiteLLMModel("xllama/small", temperature=0, seed=1, max_tokens=CITY_TOKENS)
    litellm.custom_provider_map = []


def test_answer_matches_schema(model: LiteLLMModel) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "City", "schema": City.model_json_schema()}}
    answer = model.generate(ASKED, response_format=schema)
    City.model_validate_json(answer.content)
    assert 0 < answer.token_usage.output_tokens <= CITY_TOKENS


def test_tool_is_called(model: LiteLLMModel) -> None:
    answer = model.generate(ASKED, tools_to_call_from=[add])
    (call,) = answer.tool_calls
    assert call.function.name == "add"
    arguments = call.function.arguments
    assert (json.loads(arguments) if isinstance(arguments, str) else arguments).keys() == {"left", "right"}
