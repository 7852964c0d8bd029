"""A conformance suite for LlamaIndex's LLMs: what the contract says and users rely on.

Any class can be given to it; the models must be real. Inherit, and say how to build yours:

    class TestMyLLM(LLMConformance):
        @pytest.fixture
        def llm(self):  # of a model that takes long to load, return one that a session's fixture holds
            return MyLLM(model="…", temperature=0)

conformance_retrieval.py has the suites for embeddings and rerankers. What a class does not claim to do is left out
by setting the flag that stands for it to False.
"""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, ClassVar

import pytest
from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.callbacks import CallbackManager, CBEventType
from llama_index.core.llms import LLM
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from helpers.llamaindex_watching import CallbackRecorder, ticking, watched_events

QUESTION = "Name three colours."
SECRET = "Your name is Marvin."


class City(BaseModel):
    """A city and its country."""

    name: str
    country: str


CITY_PROMPT = PromptTemplate("Which city is the capital of {country}?")


def get_weather(city: str) -> str:
    """Say how the weather is in a city."""
    return f"rain in {city}"


WEATHER = FunctionTool.from_defaults(get_weather)
METHODS = ("complete", "chat", "stream_complete", "stream_chat")
METHODS_AND_TWINS = (*METHODS, *(f"a{name}" for name in METHODS))


def chat_of(text: str = QUESTION) -> list[ChatMessage]:
    return [ChatMessage(role=MessageRole.USER, content=text)]


async def responses_of(llm: LLM, method: str, **kwargs: Any) -> list[Any]:
    """Call one of the eight methods; all that a stream gives, or the one response."""
    given: Any = chat_of() if "chat" in method else QUESTION
    result = getattr(llm, method)(given, **kwargs)
    if method.startswith("a"):
        result = await result
    if isinstance(result, AsyncIterator):
        return [response async for response in result]
    return list(result) if isinstance(result, Iterator) else [result]


def text_of(response: Any) -> str:
    return response.text if hasattr(response, "text") else response.message.content or ""


class LLMConformance:
    """The suite for LLMs."""

    calls_tools: ClassVar[bool] = True
    """Whether the class is a FunctionCallingLLM that can make its model call."""

    is_deterministic: ClassVar[bool] = True
    """Whether the same request gives the same text, as at temperature 0."""

    @pytest.fixture
    def llm(self) -> LLM:
        """The LLM under test, with a budget of some 40 tokens so that the suite is fast."""
        raise NotImplementedError

    @pytest.fixture
    def llm_with_system_prompt(self, llm: LLM) -> LLM:
        return llm.model_copy(update={"system_prompt": SECRET})

    # What it is

    def test_it_is_an_llm_of_its_own_name(self, llm: LLM) -> None:
        assert isinstance(llm, FunctionCallingLLM if self.calls_tools else LLM)
        assert llm.class_name() not in {LLM.class_name(), "base_component"}

    def test_metadata_is_known(self, llm: LLM) -> None:
        metadata = llm.metadata
        assert metadata.context_window > metadata.num_output > 0
        assert metadata.model_name not in {"", "unknown"}
        assert metadata.is_function_calling_model is self.calls_tools

    def test_it_travels_as_configuration(self, llm: LLM) -> None:
        written = llm.to_dict()
        assert json.loads(llm.to_json()) == json.loads(json.dumps(written))
        twin = type(llm).from_dict(written)
        assert twin.to_dict() == written

    def test_a_pickle_works(self, llm: LLM) -> None:
        pickled = pickle.dumps(llm)
        assert len(pickled) < 100_000
        twin = pickle.loads(pickled)
        assert twin.to_dict() == llm.to_dict()
        assert text_of(twin.complete(QUESTION))

    # The eight methods

    @pytest.mark.parametrize("method", METHODS_AND_TWINS)
    async def test_it_answers(self, llm: LLM, method: str) -> None:
        responses = await responses_of(llm, method)
        assert text_of(responses[-1]).strip()
        if "stream" in method:
            assert len(responses) > 2
            joined = ""
            for response in responses:
                joined += response.delta or ""
                assert text_of(response) == joined
        else:
            assert len(responses) == 1

    async def test_sync_and_async_streamed_or_not_say_the_same(self, llm: LLM) -> None:
        if not self.is_deterministic:
            pytest.skip("not deterministic")
        texts = {text_of((await responses_of(llm, method))[-1]) for method in METHODS_AND_TWINS if "chat" in method}
        assert len(texts) == 1

    @pytest.mark.parametrize("method", METHODS_AND_TWINS)
    async def test_usage_is_in_raw(self, llm: LLM, method: str) -> None:
        last = (await responses_of(llm, method, max_tokens=3))[-1]
        usage = last.raw["usage"]
        assert usage["prompt_tokens"] > 0
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
        assert 0 < usage["completion_tokens"] <= 3, "an option of one call counts"

    @pytest.mark.parametrize("method", METHODS_AND_TWINS)
    async def test_events_and_callbacks_come_once(self, llm: LLM, method: str) -> None:
        kind = "Chat" if "chat" in method else "Completion"
        watcher = CallbackRecorder()
        before, llm.callback_manager = llm.callback_manager, CallbackManager([watcher])
        try:
            with watched_events() as events:
                responses = await responses_of(llm, method, max_tokens=3)
        finally:
            llm.callback_manager = before
        counts = events.counts()
        assert (counts[f"LLM{kind}StartEvent"], counts[f"LLM{kind}EndEvent"]) == (1, 1)
        assert counts[f"LLM{kind}InProgressEvent"] == (len(responses) if "stream" in method else 0)
        other = "Completion" if kind == "Chat" else "Chat"
        assert counts[f"LLM{other}StartEvent"] == 0
        assert watcher.started.count(CBEventType.LLM) == watcher.ended.count(CBEventType.LLM) == 1

    async def test_the_history_is_not_changed(self, llm: LLM) -> None:
        history = [
            ChatMessage(role="system", content=SECRET),
            *chat_of(),
            ChatMessage(role="assistant", content="Red,"),
        ]
        history.append(ChatMessage(role="user", content="And?"))
        before = copy.deepcopy(history)
        llm.chat(history, max_tokens=3)
        list(llm.stream_chat(history, max_tokens=3))
        await llm.achat(history, max_tokens=3)
        async for _ in await llm.astream_chat(history, max_tokens=3):
            pass
        if isinstance(llm, FunctionCallingLLM) and self.calls_tools:
            llm.chat_with_tools([WEATHER], "Go on.", chat_history=history, max_tokens=3)
        assert history == before

    # Running beside others

    @pytest.mark.parametrize("method", [name for name in METHODS_AND_TWINS if name.startswith("a")])
    async def test_the_event_loop_keeps_turning(self, llm: LLM, method: str) -> None:
        async with ticking() as ticker:
            await responses_of(llm, method)
        assert ticker.kept_turning(), vars(ticker)

    async def test_concurrent_calls_need_no_thread_each(self, llm: LLM) -> None:
        await llm.acomplete(QUESTION, max_tokens=1)
        n_threads = threading.active_count()
        calls = [asyncio.create_task(llm.acomplete(f"Count to {n}.", max_tokens=8)) for n in range(8)]
        await asyncio.sleep(0.02)
        n_more = threading.active_count() - n_threads
        assert all(text_of(response) for response in await asyncio.gather(*calls))
        assert n_more <= 1

    async def test_threads_may_share_it(self, llm: LLM) -> None:
        answers: list[str] = []
        threads = [
            threading.Thread(target=lambda: answers.append(text_of(llm.complete(QUESTION, max_tokens=8))))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(answers) == 4
        assert all(answers)

    async def test_a_cancelled_task_ends_at_once(self, llm: LLM) -> None:
        task = asyncio.create_task(llm.achat(chat_of("Tell a very long story."), max_tokens=400))
        await asyncio.sleep(0.2)
        start = time.perf_counter()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert text_of(await llm.acomplete(QUESTION, max_tokens=2))
        assert time.perf_counter() - start < 3

    async def test_streams_may_be_left(self, llm: LLM) -> None:
        start = time.perf_counter()
        for _ in llm.stream_chat(chat_of("Tell a very long story."), max_tokens=400):
            break
        async for _ in await llm.astream_chat(chat_of("Tell a very long story."), max_tokens=400):
            break
        assert text_of(llm.complete(QUESTION, max_tokens=2))
        assert time.perf_counter() - start < 4

    # Structured prediction

    async def test_structured_prediction_gives_objects(self, llm: LLM) -> None:
        assert isinstance(llm.structured_predict(City, CITY_PROMPT, country="France"), City)
        assert isinstance(await llm.astructured_predict(City, CITY_PROMPT, country="France"), City)
        structured = llm.as_structured_llm(City)
        assert isinstance(structured.chat(chat_of("Which city is the capital of France?")).raw, City)
        assert isinstance((await structured.acomplete("Which city is the capital of France?")).raw, City)

    async def test_streamed_objects_grow(self, llm: LLM) -> None:
        streamed = list(llm.stream_structured_predict(City, CITY_PROMPT, country="France"))
        astreamed = [part async for part in await llm.astream_structured_predict(City, CITY_PROMPT, country="France")]
        for parts in (streamed, astreamed):
            assert len(parts) > 2
            assert isinstance(parts[-1], City)
            filled = [sum(bool(value) for value in (part.name, part.country)) for part in parts]
            assert filled == sorted(filled)

    async def test_every_structured_path_has_the_system_prompt(self, llm_with_system_prompt: LLM) -> None:
        llm = llm_with_system_prompt
        with watched_events() as events:
            llm.structured_predict(City, CITY_PROMPT, country="France")
            await llm.astructured_predict(City, CITY_PROMPT, country="France")
            list(llm.stream_structured_predict(City, CITY_PROMPT, country="France"))
            async for _ in await llm.astream_structured_predict(City, CITY_PROMPT, country="France"):
                pass
        starts = events.of("LLMChatStartEvent")
        assert len(starts) == 4
        for start in starts:
            assert sum(SECRET in (message.content or "") for message in start.messages) == 1
        counts = events.counts()
        assert counts["LLMStructuredPredictStartEvent"] == counts["LLMStructuredPredictEndEvent"] == 4

    # Tools

    async def test_a_required_tool_is_called(self, llm: LLM) -> None:
        if not self.calls_tools:
            pytest.skip("calls no tools")
        assert isinstance(llm, FunctionCallingLLM)
        given: dict[str, Any] = {"tools": [WEATHER], "user_msg": "How is the weather in Oslo?", "tool_required": True}
        astreamed = [response async for response in await llm.astream_chat_with_tools(**given)]
        responses = [
            llm.chat_with_tools(**given),
            await llm.achat_with_tools(**given),
            list(llm.stream_chat_with_tools(**given))[-1],
            astreamed[-1],
        ]
        ids = set()
        for response in responses:
            (call,) = llm.get_tool_calls_from_response(response)
            assert call.tool_name == "get_weather"
            assert str(WEATHER(**call.tool_kwargs)).startswith("rain in")
            ids.add(call.tool_id)
        assert len(ids) == 4
        assert "" not in ids
        assert {call.tool_id for part in astreamed for call in llm.get_tool_calls_from_response(part, False)} < ids

    async def test_predict_and_call(self, llm: LLM) -> None:
        if not self.calls_tools:
            pytest.skip("calls no tools")
        given: dict[str, Any] = {"tools": [WEATHER], "user_msg": "How is the weather in Oslo?", "tool_required": True}
        assert str(llm.predict_and_call(**given)).startswith("rain in")
        assert str(await llm.apredict_and_call(**given)).startswith("rain in")

    async def test_no_tools_is_a_plain_chat(self, llm: LLM) -> None:
        if not self.calls_tools:
            pytest.skip("calls no tools")
        assert isinstance(llm, FunctionCallingLLM)
        response = llm.chat_with_tools([], QUESTION)
        assert response.message.content
        assert llm.get_tool_calls_from_response(response, error_on_no_tool_call=False) == []
        with pytest.raises(ValueError, match="tool call"):
            llm.get_tool_calls_from_response(response)

    async def test_a_conversation_with_tool_results_goes_on(self, llm: LLM) -> None:
        if not self.calls_tools:
            pytest.skip("calls no tools")
        assert isinstance(llm, FunctionCallingLLM)
        history = chat_of("How is the weather in Oslo?")
        called = llm.chat_with_tools([WEATHER], chat_history=history, tool_required=True)
        (call,) = llm.get_tool_calls_from_response(called)
        result = ChatMessage(role="tool", content="rain in Oslo", additional_kwargs={"tool_call_id": call.tool_id})
        answer = await llm.achat_with_tools([WEATHER], chat_history=[*history, called.message, result])
        assert answer.message.role == MessageRole.ASSISTANT
        assert answer.message.blocks
