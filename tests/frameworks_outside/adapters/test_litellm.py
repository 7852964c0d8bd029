"""xlc_litellm through LiteLLM's own functions, on real models."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from typing import Any

import litellm
import pytest

import xlc_core as xlc
from helpers.tiny_media import BLUE, RED
from helpers.typed_city import CITY_TOKENS, TALE, WEATHER, City, check_call
from helpers.waiting import await_until, is_idle, wait_until
from xlc_litellm import XllamaLLM, register

pytestmark = pytest.mark.filterwarnings("ignore:Items? .* on TypedDict class:UserWarning")  # LiteLLM's own types

ASKED = [{"role": "user", "content": "Name a city."}]
STORY = [{"role": "user", "content": TALE}]
TOOLS = [{"type": "function", "function": WEATHER}]
GREEDY: dict[str, Any] = {"model": "xllama/small", "temperature": 0, "seed": 1, "max_tokens": CITY_TOKENS}
ENDLESS: dict[str, Any] = {**GREEDY, "max_tokens": 1500, "ignore_eos": True}


@pytest.fixture(autouse=True)
def provider(engine: xlc.Engine, embedder: xlc.Engine, thinker: xlc.Engine, seer: xlc.Engine) -> Iterator[XllamaLLM]:
    litellm.suppress_debug_info = True
    models = {"small": engine, "vectors": embedder, "thinker": thinker, "seer": seer}
    yield register({name: {"engine": one} for name, one in models.items()})
    litellm.custom_provider_map = []


async def test_answers_match_schema_in_every_way_to_call() -> None:
    options = {**GREEDY, "messages": ASKED, "response_format": City}
    whole = litellm.completion(**options)
    other = await litellm.acompletion(**options)
    stream = await litellm.acompletion(**options, stream=True)
    texts = [
        whole.choices[0].message.content,
        other.choices[0].message.content,
        "".join(chunk.choices[0].delta.content or "" for chunk in litellm.completion(**options, stream=True)),
        "".join([chunk.choices[0].delta.content or "" async for chunk in stream]),
    ]
    for text in texts:
        City.model_validate_json(text)
    assert 0 < whole.usage.completion_tokens <= CITY_TOKENS
    assert whole.choices[0].finish_reason == "stop"


def test_stream_has_one_id_and_ends_with_usage() -> None:
    options = {**GREEDY, "messages": STORY, "max_tokens": 5}
    chunks = list(litellm.completion(**options, stream=True, stream_options={"include_usage": True}))
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == "length"
    assert chunks[-1].usage.completion_tokens == 5
    joined = litellm.stream_chunk_builder(chunks)
    assert joined.choices[0].message.content == "".join(c.choices[0].delta.content or "" for c in chunks[:-1])


def test_calls_are_made_and_their_results_read() -> None:
    options = {**GREEDY, "tools": TOOLS, "tool_choice": "required"}
    message = litellm.completion(messages=ASKED, **options).choices[0].message
    (call,) = message.tool_calls
    check_call(call.function.name, json.loads(call.function.arguments))
    joined = litellm.stream_chunk_builder(list(litellm.completion(messages=ASKED, **options, stream=True)))
    (streamed,) = joined.choices[0].message.tool_calls
    check_call(streamed.function.name, json.loads(streamed.function.arguments))
    assert joined.choices[0].finish_reason == "tool_calls"
    history = [*ASKED, message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    assert litellm.completion(messages=history, **{**GREEDY, "max_tokens": 3}).choices[0].message.content


def test_several_answers_probabilities_and_own_options() -> None:
    options = {**GREEDY, "n": 2, "logprobs": True, "top_logprobs": 2, "min_p": 0.1, "max_tokens": 2}
    answer = litellm.completion(messages=ASKED, **options)
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert len(answer.choices[0].logprobs.content[0].top_logprobs) == 2


async def test_leaving_stream_and_cancelling_task_free_slot(engine: xlc.Engine) -> None:
    stream = litellm.completion(messages=STORY, **ENDLESS, stream=True)
    next(stream)
    assert not is_idle(engine)
    del stream
    assert wait_until(lambda: is_idle(engine))
    running = await litellm.acompletion(messages=STORY, **ENDLESS, stream=True)
    await anext(running)
    await running.aclose()
    assert await await_until(lambda: is_idle(engine))
    task = asyncio.create_task(litellm.acompletion(messages=STORY, **ENDLESS))
    assert await await_until(lambda: not is_idle(engine))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await await_until(lambda: is_idle(engine))


def test_thinking_is_apart() -> None:
    options: dict[str, Any] = {"model": "xllama/thinker", "messages": STORY, "temperature": 0, "max_tokens": 24}
    answer = litellm.completion(**options)
    thought = answer.choices[0].message.reasoning_content
    assert thought
    assert answer.usage.completion_tokens_details.reasoning_tokens == 5
    pieces = [
        getattr(c.choices[0].delta, "reasoning_content", None) for c in litellm.completion(**options, stream=True)
    ]
    assert "".join(piece or "" for piece in pieces)
    options["allowed_openai_params"] = ["reasoning_effort", "thinking"]  # LiteLLM does not know what our models take
    for off in ({"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}):
        silent = litellm.completion(**options, **off).choices[0].message
        assert not getattr(silent, "reasoning_content", None)
    short = litellm.completion(**options, thinking={"type": "enabled", "budget_tokens": 2})
    assert short.usage.completion_tokens_details.reasoning_tokens == 2


def test_abilities_are_known_and_choice_needs_tools(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("xllama/small", "xllama/smollm2-135m-instruct"):
        assert litellm.supports_function_calling(name)
        assert litellm.supports_response_schema(name)
    assert "Provider List" not in capsys.readouterr().out
    options = {**GREEDY, "max_tokens": 3, "tool_choice": "required"}
    assert litellm.completion(messages=ASKED, **options).choices[0].message.content


def test_images_are_read() -> None:
    texts = set()
    for image in (RED, BLUE):
        url = {"url": "data:image/png;base64," + base64.b64encode(image).decode()}
        content = [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": url}]
        messages = [{"role": "user", "content": content}]
        answer = litellm.completion(model="xllama/seer", messages=messages, temperature=0, max_tokens=8)
        texts.add(answer.choices[0].message.content)
    assert len(texts) == 2


def test_errors_are_those_of_litellm() -> None:
    with pytest.raises(litellm.ContextWindowExceededError) as caught:
        litellm.completion(messages=[{"role": "user", "content": "llama " * 3000, "cache_breakpoint": True}], **GREEDY)
    assert isinstance(caught.value.__cause__, xlc.ContextOverflowError)
    assert "context_length_exceeded" in str(caught.value)
    with pytest.raises(litellm.BadRequestError, match="unknown option"):
        litellm.completion(messages=ASKED, **GREEDY, no_such=1)
    with pytest.raises(litellm.NotFoundError, match="not in the catalog"):
        litellm.completion(model="xllama/no-such-model", messages=ASKED)
    with pytest.raises(litellm.Timeout):
        litellm.completion(messages=STORY, **GREEDY, timeout=1e-6)
    with pytest.raises(litellm.BadRequestError, match="n must be 1"):
        list(litellm.completion(messages=ASKED, **GREEDY, n=2, stream=True))


async def test_embeddings(embedder: xlc.Engine) -> None:
    texts = ["A llama.", "A car."]
    expected = embedder.embed(texts).tolist()
    found = litellm.embedding("xllama/vectors", texts)
    assert [one["embedding"] for one in found.data] == [pytest.approx(vector, abs=1e-5) for vector in expected]
    other = await litellm.aembedding("xllama/vectors", texts, input_type="query")
    assert len(other.data) == 2
    with pytest.raises(litellm.ContextWindowExceededError):
        litellm.embedding("xllama/vectors", ["llama " * 3000])


async def test_router_goes_on_with_another_model() -> None:
    def entry(name: str, model: str) -> dict[str, Any]:
        return {"model_name": name, "litellm_params": {"model": f"xllama/{model}", "max_tokens": 2}}

    router = litellm.Router(
        model_list=[entry("first", "no-such-model"), entry("second", "small")],
        fallbacks=[{"first": ["second"]}],
        num_retries=0,
    )
    answer = await router.acompletion(model="first", messages=ASKED)
    assert answer.choices[0].message.content
