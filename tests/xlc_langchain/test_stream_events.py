"""Content-block events, made of the engine's own: ``stream_events(version="v3")``."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tools import tool
from langchain_tests.utils.stream_lifecycle import assert_valid_event_stream

from helpers.langchain_scripts import completion, thinking_then_calling
from xlc_core import Finished, TextDelta, TokenLogprob, ToolCall, ToolCallDelta
from xlc_core.testing import ScriptedEngine
from xlc_langchain import ChatXLlama
from xlc_langchain.errors import ContextOverflowError

pytestmark = pytest.mark.filterwarnings("ignore:.*is in beta")


def scripted(*replies: Any, **fields: Any) -> ChatXLlama:
    return ChatXLlama(engine=ScriptedEngine(replies), **fields)


def events_of(llm: Any, text: str = "Hi") -> list[dict[str, Any]]:
    return list(llm.stream_events(text, version="v3"))


async def test_sync_and_async_give_same_events() -> None:
    llm = scripted(thinking_then_calling())
    events = events_of(llm)
    assert_valid_event_stream(events)
    stream = await llm.astream_events("Hi", version="v3")
    others = [event async for event in stream]
    for first in (events[0], others[0]):
        assert first.pop("id").startswith("lc_run--")
    assert events == others


def test_each_block_closes_before_next_begins() -> None:
    """So that a call can be run while its sibling is still written."""
    names = [(event["event"], event.get("index")) for event in events_of(scripted(thinking_then_calling()))]
    assert names[0] == ("message-start", None)
    assert names[-1] == ("message-finish", None)
    indices = [index for _, index in names[1:-1]]
    assert indices == sorted(indices)
    assert sorted(set(indices)) == [0, 1, 2, 3]


def test_arguments_come_live() -> None:
    events = events_of(scripted(thinking_then_calling()))
    pieces = [e["delta"]["args"] for e in events if e["event"] == "content-block-delta" and "args" in e["delta"]]
    assert pieces == ['{"city":', ' "Oslo"}', "{}"]
    start = next(e for e in events if e["event"] == "content-block-start" and e["index"] == 2)
    assert (start["content"]["name"], start["content"]["id"]) == ("get_weather", "call_1")


def test_message_is_whole() -> None:
    stream = scripted(thinking_then_calling()).stream_events("Hi", version="v3")
    assert str(stream.text) == "Let me look."
    message = stream.output
    assert [block["type"] for block in message.content] == ["reasoning", "text", "tool_call", "tool_call"]
    assert [call["args"] for call in message.tool_calls] == [{"city": "Oslo"}, {}]
    assert message.usage_metadata["input_token_details"] == {"cache_read": 20}
    assert message.response_metadata["model_name"] == "scripted"
    assert message.response_metadata["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("arguments", ['{"city": "Os', "[1]"])
def test_broken_arguments_are_kept_as_invalid(arguments: str) -> None:
    call = ToolCall(id="1", name="f", arguments=arguments)
    script = [ToolCallDelta(0, "1", "f", arguments), Finished(completion(calls=[call], finish="length"))]
    message = scripted(script).stream_events("Hi", version="v3").output
    assert message.tool_calls == []
    assert message.invalid_tool_calls[0]["args"] == arguments


def test_logprobs_are_in_metadata() -> None:
    token = TokenLogprob("Yes", 7, -0.1)
    script = [TextDelta("Yes", logprobs=(token,)), Finished(completion("Yes"))]
    metadata = scripted(script, logprobs=1).stream_events("Hi", version="v3").output.response_metadata
    assert metadata["logprobs"]["content"][0]["token"] == "Yes"


def test_callbacks_see_every_event() -> None:
    class Watch(BaseCallbackHandler):
        def __init__(self) -> None:
            self.seen: list[str] = []

        def on_stream_event(self, event: Any, **_: Any) -> None:
            self.seen.append(event["event"])

    watch = Watch()
    events = list(scripted("Hello you.").stream_events("Hi", {"callbacks": [watch]}, version="v3"))
    assert watch.seen == [event["event"] for event in events]


async def test_real_answer_and_real_call(llm: ChatXLlama) -> None:
    @tool
    def get_weather(city: str) -> str:
        """Say how the weather is."""
        return city

    events = events_of(llm)
    assert_valid_event_stream(events)
    stream = llm.stream_events("Hi", version="v3")
    assert stream.output.text == llm.invoke("Hi").text
    caller = llm.bind_tools([get_weather], tool_choice="any", max_tokens=40)
    called = await caller.astream_events("Weather in Oslo?", version="v3")
    assert_valid_event_stream([event async for event in called])
    message = await called.output
    assert message.tool_calls[0]["args"] == caller.invoke("Weather in Oslo?").tool_calls[0]["args"]


def test_errors_derive_from_langchain_errors(llm: ChatXLlama) -> None:
    with pytest.raises(ContextOverflowError):
        _ = llm.stream_events("word " * 4000, version="v3").output
