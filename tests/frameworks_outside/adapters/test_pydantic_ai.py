"""xlc_pydantic_ai with Pydantic AI's agents, on real models."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, TypeAdapter
from pydantic_ai import Agent, BinaryContent, Embedder, NativeOutput, PromptedOutput, ToolOutput
from pydantic_ai import exceptions as theirs
from pydantic_ai.direct import model_request, model_request_stream
from pydantic_ai.messages import (
    ImageUrl,
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.usage import UsageLimits
from typing_extensions import TypedDict

import xlc_core as xlc
from helpers.tiny_media import BLUE, IMAGE_TOKENS, RED
from helpers.typed_city import CITY_TOKENS, TALE, WEATHER, City, check_call
from helpers.waiting import await_until, is_idle
from xlc_pydantic_ai import XllamaEmbeddingModel, XllamaModel

TOOL: dict[str, Any] = {"description": WEATHER["description"], "parameters_json_schema": WEATHER["parameters"]}

GREEDY = {"temperature": 0.0, "seed": 1, "max_tokens": CITY_TOKENS}


@pytest.fixture
def model(engine: xlc.Engine) -> XllamaModel:
    return XllamaModel(engine=engine, settings=GREEDY)


@pytest.mark.parametrize("output", [City, NativeOutput(City), PromptedOutput(City), ToolOutput(City)])
async def test_every_kind_of_output_is_instance(model: XllamaModel, output: object) -> None:
    agent = Agent(model, output_type=output, retries=0)
    result = await agent.run("Name a city.")
    assert isinstance(result.output, City)
    assert result.usage.input_tokens > 0
    assert 0 < result.usage.output_tokens <= CITY_TOKENS


async def test_structured_output_streams(model: XllamaModel) -> None:
    agent = Agent(model, output_type=City, retries=0)
    async with agent.run_stream("Name a city.") as stream:
        seen = [city async for city in stream.stream_output(debounce_by=None)]
    assert isinstance(seen[-1], City)
    assert seen[-1] == await stream.get_output()


class Profile(TypedDict, total=False):
    """As in Pydantic AI's issue 667."""

    name: Annotated[str, Field(max_length=8)]
    born: date


class Claims(BaseModel):
    """As in Pydantic AI's issues 242 and 877."""

    value: str = Field("", max_length=8)
    sources: list[Literal["a", "b"]] | None = Field(None, max_length=2)


@pytest.mark.parametrize("output", [Profile, Claims, list[Literal["a", "b"]], Literal["yes", "no"], bool])
async def test_types_that_were_trouble_elsewhere_stream(model: XllamaModel, output: Any) -> None:
    agent = Agent(model, output_type=output, retries=0)
    async with agent.run_stream("I am Ben, born on 28 January 1990.") as stream:
        TypeAdapter(output).validate_python(await stream.get_output())


def weather(place: str, days: Literal[1, 7]) -> str:
    """The weather of a place."""
    return f"sunny in {place} for {days}"


async def test_arguments_of_calls_fit_their_schema(model: XllamaModel) -> None:
    for agent in (Agent(model, output_type=weather, retries=0), Agent(model, output_type=[weather, City], retries=0)):
        answer = (await agent.run("Weather in Rome?")).output
        assert isinstance(answer, City) or answer.startswith("sunny in ")


async def test_result_of_tool_is_read(model: XllamaModel) -> None:
    parameters = ModelRequestParameters(function_tools=[ToolDefinition(name="weather", **TOOL)])
    chat: list[ModelMessage] = [ModelRequest.user_text_prompt("Weather in Rome?")]
    first = await model_request(
        model, chat, model_settings={"tool_choice": "required"}, model_request_parameters=parameters
    )
    (call,) = (part for part in first.parts if isinstance(part, ToolCallPart))
    check_call(call.tool_name, call.args_as_dict())
    assert first.finish_reason == "tool_call"
    result = ToolReturnPart(call.tool_name, "sunny, and warm enough for a swim", call.tool_call_id)
    second = await model_request(
        model, [*chat, first, ModelRequest([result])], model_settings={"tool_choice": "none", "max_tokens": 4}
    )
    assert second.text
    assert not second.tool_calls


async def test_streamed_call_fits_its_schema(model: XllamaModel) -> None:
    parameters = ModelRequestParameters(
        function_tools=[ToolDefinition(name="weather", **TOOL)], allow_text_output=False
    )
    chat: list[ModelMessage] = [ModelRequest.user_text_prompt("Weather in Rome?")]
    async with model_request_stream(model, chat, model_request_parameters=parameters) as stream:
        async for _ in stream:
            pass
    (call,) = stream.get().tool_calls
    check_call(call.tool_name, call.args_as_dict())
    assert stream.get().usage.output_tokens > 0


async def test_only_tools_of_choice_are_called(model: XllamaModel) -> None:
    tools = [ToolDefinition(name=name, **TOOL) for name in ("forecast", "weather")]
    parameters = ModelRequestParameters(function_tools=tools)
    chat: list[ModelMessage] = [ModelRequest.user_text_prompt("Weather in Rome?")]
    for name in ("forecast", "weather"):
        answer = await model_request(
            model, chat, model_settings={"tool_choice": [name]}, model_request_parameters=parameters
        )
        assert {call.tool_name for call in answer.tool_calls} == {name}
    text = await model_request(
        model, chat, model_settings={"tool_choice": "none", "max_tokens": 4}, model_request_parameters=parameters
    )
    assert not text.tool_calls


async def test_text_streams_and_its_usage_comes_last(model: XllamaModel) -> None:
    agent = Agent(model)
    async with agent.run_stream(TALE, model_settings={"max_tokens": 12}) as stream:
        pieces = [piece async for piece in stream.stream_text(delta=True, debounce_by=None)]
    assert len(pieces) > 1
    assert "".join(pieces) == stream.response.text
    assert stream.usage.output_tokens == 12
    assert stream.response.finish_reason == "length"


async def test_leaving_stream_and_cancelling_task_free_slot(model: XllamaModel, engine: xlc.Engine) -> None:
    endless = {"max_tokens": 1500, "xllama_options": {"ignore_eos": True}}
    agent = Agent(model)
    async with agent.run_stream(TALE, model_settings=endless) as stream:
        async for _ in stream.stream_text(delta=True, debounce_by=None):
            assert not is_idle(engine)
            break
    assert await await_until(lambda: is_idle(engine))
    async with model_request_stream(model, [ModelRequest.user_text_prompt(TALE)], model_settings=endless) as raw:
        await anext(aiter(raw))
        await raw.cancel()
        assert await await_until(lambda: is_idle(engine))
    assert raw.get().state == "interrupted"
    task = asyncio.create_task(agent.run(TALE, model_settings=endless))
    assert await await_until(lambda: not is_idle(engine))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await await_until(lambda: is_idle(engine))


async def test_thinking_is_part_of_its_own(thinker: xlc.Engine) -> None:
    model = XllamaModel(engine=thinker, settings={"temperature": 0.0, "max_tokens": 24})
    assert model.profile["supports_thinking"]
    agent = Agent(model)
    result = await agent.run(TALE)
    (thought,) = (part for part in result.response.parts if isinstance(part, ThinkingPart))
    assert thought.content
    assert thought.content not in result.output
    assert result.usage.output_reasoning_tokens == 5
    async with agent.run_stream(TALE) as stream:
        await stream.get_output()
    assert any(isinstance(part, ThinkingPart) for part in stream.response.parts)
    silent = await agent.run(TALE, model_settings={"thinking": False})
    assert not any(isinstance(part, ThinkingPart) for part in silent.response.parts)
    again = await agent.run("And then?", message_history=result.all_messages())
    assert again.usage.input_tokens > result.usage.input_tokens


async def test_images_are_read(seer: xlc.Engine) -> None:
    model = XllamaModel(engine=seer, settings={"temperature": 0.0, "max_tokens": 8})
    assert model.profile["supports_image_input"]
    assert not model.profile["supports_audio_file_input"]
    agent = Agent(model)
    red, blue = [await agent.run(["What?", BinaryContent(image, media_type="image/png")]) for image in (RED, BLUE)]
    assert red.output != blue.output
    assert red.usage.input_tokens >= IMAGE_TOKENS
    with pytest.raises(theirs.ModelRequestRejectedError, match="allow_remote_media"):
        await agent.run([ImageUrl("https://example.org/x.png")])


async def test_errors_are_those_that_fallbacks_know(model: XllamaModel) -> None:
    agent = Agent(model)
    with pytest.raises(theirs.ModelContextWindowExceededError) as caught:
        await agent.run("llama " * 3000)
    assert isinstance(caught.value.__cause__, xlc.ContextOverflowError)
    with pytest.raises(theirs.ModelTimeoutError):
        await agent.run(TALE, model_settings={"timeout": 1e-6})
    with pytest.raises(theirs.ModelRequestRejectedError, match="unknown option"):
        await agent.run("Hi", model_settings={"xllama_options": {"no_such": 1}})
    absent = XllamaModel("no-such-model")
    with pytest.raises(theirs.ModelNotFoundError, match="not in the catalog"):
        await Agent(absent).run("Hi")
    fallback = Agent(FallbackModel(absent, model))
    assert (await fallback.run("Hi", model_settings={"max_tokens": 2})).output
    async with fallback.run_stream("Hi", model_settings={"max_tokens": 2}) as stream:
        assert await stream.get_output()


async def test_history_survives_storing_and_system_prompts_become_one(model: XllamaModel, engine: xlc.Engine) -> None:
    agent = Agent(model, system_prompt=("You are brief.", "You are kind."), instructions="You are a llama.")
    first = await agent.run("Hi", model_settings={"max_tokens": 2})
    stored = ModelMessagesTypeAdapter.validate_json(first.all_messages_json())
    second = await agent.run("Who are you?", message_history=stored, model_settings={"max_tokens": 2})
    messages = [
        xlc.Message(role="system", content="You are brief.\n\nYou are kind.\n\nYou are a llama."),
        xlc.Message(role="user", content="Hi"),
        xlc.Message(role="assistant", content=first.output),
        xlc.Message(role="user", content="Who are you?"),
    ]
    assert second.response.usage.input_tokens == engine.count_tokens(messages)


async def test_tokens_are_counted_before_request(model: XllamaModel) -> None:
    agent = Agent(model)
    limits = UsageLimits(input_tokens_limit=8, count_tokens_before_request=True)
    with pytest.raises(theirs.UsageLimitExceeded):
        await agent.run(TALE, usage_limits=limits)


async def test_embedder(embedder: xlc.Engine) -> None:
    ours = Embedder(XllamaEmbeddingModel(engine=embedder))
    documents = await ours.embed_documents(["A llama.", "A car."])
    expected = embedder.embed(["A llama.", "A car."]).tolist()
    assert list(documents.embeddings) == [pytest.approx(vector, abs=1e-5) for vector in expected]
    query = await ours.embed_query("What is a llama?", settings={"dimensions": 8})
    assert len(query.embeddings[0]) == 8
    assert await ours.max_input_tokens() == embedder.info.n_ctx
    assert await ours.count_tokens("A llama.") > 0
    with pytest.raises(theirs.ModelContextWindowExceededError):
        await ours.embed_documents(["llama " * 3000])
    assert (await ours.embed_documents(["llama " * 3000], settings={"truncate": True})).embeddings


async def test_models_share_one_engine() -> None:
    models = [XllamaModel("smollm2-135m-instruct", n_ctx=256, engine_options={"n_parallel": 1}) for _ in range(2)]
    assert (await Agent(models[0]).run("Hi", model_settings={"max_tokens": 1})).output
    engines = {id(model._held.get_engine()) for model in models}
    assert len(engines) == 1
    for model in models:
        model.close()
