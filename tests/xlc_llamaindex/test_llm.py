"""XLlama: options, metadata, errors, tools and structured prediction beyond the conformance suite."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core import PromptTemplate, Settings
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.llms.loading import load_llm
from llama_index.core.program import FunctionCallingProgram
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel, Field, field_validator

import xlc_core as xlc
from helpers.llamaindex_watching import watched_events
from xlc_core.results import Completion, CompletionChoice, TokenLogprob, Usage
from xlc_core.testing import ScriptedEngine
from xlc_llamaindex import XLlama

if TYPE_CHECKING:
    from pathlib import Path

HELLO = [ChatMessage(content="Say hello.")]


def scripted(*replies: Any, **fields: Any) -> tuple[XLlama, ScriptedEngine]:
    engine = ScriptedEngine(replies)
    return XLlama(engine=engine, **fields), engine


# Options and metadata


def test_options_reach_engine_and_call_overrides_them() -> None:
    llm, engine = scripted("ok", temperature=0.2, stop=["A"], timeout=9, additional_kwargs={"dry_multiplier": 0.8})
    llm.chat(HELLO)
    llm.chat(HELLO, temperature=0.9, max_tokens=None, stop=["B"], seed=None)
    own, overridden = (request.options for request in engine.requests)
    assert (own.temperature, own.max_tokens, own.stop) == (0.2, 1024, ("A",))
    assert (own.timeout, own.dry_multiplier) == (9, 0.8)
    assert (overridden.temperature, overridden.max_tokens, overridden.stop) == (0.9, None, ("B",))


@pytest.mark.parametrize("fields", [{"temperature": -1}, {"additional_kwargs": {"top_kk": 3}}])
def test_bad_options_are_refused_before_anything_is_loaded(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"temperature|did you mean 'top_k'"):
        XLlama(model="some.gguf", **fields)


def test_unknown_names() -> None:
    with pytest.warns(UserWarning, match=r"ignores the unknown argument 'modle'.*'model'"):
        XLlama(model="a.gguf", modle="b.gguf")
    llm, _ = scripted("ok")
    with pytest.raises(xlc.InvalidRequestError, match="did you mean 'temperature'"):
        llm.chat(HELLO, temprature=1)
    with pytest.raises(xlc.InvalidRequestError, match="n must be 1"):
        llm.chat(HELLO, n=2)


def test_nothing_is_loaded_before_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLLAMA_MODEL", "missing.gguf")
    llm = XLlama()
    assert llm.model == "missing.gguf"
    assert load_llm(llm.to_dict()).to_dict() == llm.to_dict()
    assert llm.to_payload()["model"] == "missing.gguf"
    with pytest.raises(xlc.ModelNotFoundError):
        _ = llm.metadata


def test_metadata_comes_from_model(llm: XLlama, smollm2_path: Path) -> None:
    metadata = llm.metadata
    assert 2048 - 64 < metadata.context_window < 2048  # 8192 for 4 slots, less the template
    assert metadata.num_output == 32
    assert llm.model_copy(update={"max_tokens": None}).metadata.num_output == metadata.context_window // 2
    assert (metadata.is_chat_model, metadata.is_function_calling_model) == (True, True)
    assert llm.to_payload()["context_window"] == metadata.context_window


def test_tokenizer_comes_from_model(llm: XLlama, settings: None, engine: xlc.Engine) -> None:
    assert Settings.tokenizer("Hello, Wörld!") == engine.tokenize("Hello, Wörld!")


def test_model_loads_off_event_loop(smollm2_path: Path) -> None:
    """Two tasks that both come first share one load, and the loop goes on meanwhile."""
    llm = XLlama(model="smollm2-135m-instruct", n_ctx=640, max_tokens=2)

    async def main() -> tuple[int, list[str]]:
        n_ticks = 0

        async def tick() -> None:
            nonlocal n_ticks
            while True:
                await asyncio.sleep(0.005)
                n_ticks += 1

        ticker = asyncio.create_task(tick())
        answers = await asyncio.gather(llm.acomplete("Hi"), llm.achat(HELLO))
        ticker.cancel()
        return n_ticks, [str(answer) for answer in answers]

    n_ticks, answers = asyncio.run(main())
    assert n_ticks >= 5
    assert all(answers)
    llm.close()


# Answers


def test_model_without_template_continues_texts() -> None:
    engine = ScriptedEngine(["ok"])
    engine.info = xlc.ModelInfo(**{**vars(engine.info), "has_chat_template": False})
    llm = XLlama(engine=engine, thinking=False)
    assert llm.metadata.is_chat_model is False
    llm.complete("Once")
    llm.chat(HELLO)
    assert [request.prompt for request in engine.requests] == ["Once", "user: Say hello.\nassistant: "]


def test_completion_to_prompt_of_user_is_used() -> None:
    llm, engine = scripted("ok", completion_to_prompt=lambda prompt: f"[INST]{prompt}[/INST]")
    llm.complete("Hi")
    llm.complete("Hi", formatted=True)
    assert [request.prompt for request in engine.requests] == ["[INST]Hi[/INST]", "Hi"]


def test_logprobs() -> None:
    token = TokenLogprob("Yes", 7, -0.1, (TokenLogprob("Yes", 7, -0.1), TokenLogprob("No", 8, -2.3)))
    done = Completion((CompletionChoice(text="Yes", logprobs=(token,)),), Usage(1, 1), "scripted")
    llm, _ = scripted([xlc.TextDelta("Yes", logprobs=(token,)), xlc.Finished(done)])
    for logprobs in (llm.chat(HELLO, logprobs=2).logprobs, next(llm.stream_chat(HELLO, logprobs=2)).logprobs):
        assert [[(one.token, one.logprob) for one in place] for place in logprobs] == [[("Yes", -0.1), ("No", -2.3)]]


def test_raw_says_how_it_went(llm: XLlama) -> None:
    llm.chat(HELLO)
    raw = llm.chat(HELLO).raw
    assert raw["model"] == "smollm2-135m-instruct"
    used_up = raw["usage"]["completion_tokens"] == llm.max_tokens
    assert raw["finish_reason"] == "stop" or used_up
    assert raw["usage"]["prompt_tokens_details"]["cached_tokens"] > 0
    assert raw["usage"]["completion_tokens_details"]["reasoning_tokens"] == 0
    assert raw["timings"]["predicted_per_second"] > 0
    stopped = llm.chat([ChatMessage(content="Count: one, two, three.")], stop=["two"], max_tokens=32)
    assert "two" not in stopped.message.content


async def test_overflow_and_timeouts_are_xllama_errors(llm: XLlama) -> None:
    with pytest.raises(xlc.ContextOverflowError) as caught:
        llm.complete("word " * 4000)
    assert caught.value.n_prompt_tokens > caught.value.n_ctx
    with pytest.raises(xlc.RequestTimeoutError):
        await llm.acomplete("Tell a long story.", max_tokens=1500, timeout=0.05)


# Tools


def get_weather(city: str) -> str:
    """Say how the weather is in a city."""
    return f"rain in {city}"


def get_time(zone: str) -> str:
    """Say what time it is in a zone."""
    return f"noon in {zone}"


TOOLS = [FunctionTool.from_defaults(get_weather), FunctionTool.from_defaults(get_time)]


def test_one_tool_may_be_forced_and_only_once(llm: XLlama) -> None:
    for choice in ("get_weather", "get_time"):
        response = llm.chat_with_tools(TOOLS, "Weather in Oslo, Rome and Bern?", tool_choice=choice, max_tokens=100)
        assert [call.tool_name for call in llm.get_tool_calls_from_response(response)] == [choice]
    response = llm.chat_with_tools(TOOLS, "Weather in Oslo, Rome and Bern?", tool_required=True, max_tokens=200)
    assert len(llm.get_tool_calls_from_response(response)) == 1  # allow_parallel_tool_calls is False
    with pytest.raises(xlc.InvalidRequestError, match="tool_choice='nothing' is not"):
        llm.chat_with_tools(TOOLS, "?", tool_choice="nothing")


def test_call_that_was_cut_off_is_not_made(caplog: pytest.LogCaptureFixture) -> None:
    calls = (
        xlc.ToolCall(id="1", name="get_time", arguments='{"zone": "CET"}'),
        xlc.ToolCall(id="2", name="get_weather", arguments='{"city": "Os'),
    )
    llm, _ = scripted(
        *(
            Completion((CompletionChoice(tool_calls=made, finish_reason="length"),), Usage(1, 9), "scripted")
            for made in (calls, calls[1:])
        )
    )
    both, cut = llm.chat_with_tools(TOOLS, "?"), llm.chat_with_tools(TOOLS, "?")
    assert [call.tool_name for call in llm.get_tool_calls_from_response(both)] == ["get_time"]
    assert "'get_weather' was cut off" in caplog.text
    assert llm.get_tool_calls_from_response(cut, error_on_no_tool_call=False) == []
    with pytest.raises(ValueError, match=r"cut off, with the arguments .*raise max_tokens"):
        llm.get_tool_calls_from_response(cut)


def test_calls_stream_as_they_grow() -> None:
    calls = [xlc.ToolCall(id="1", name="get_weather", arguments='{"city": "Oslo"}'), xlc.ToolCall(name="get_time")]
    done = CompletionChoice(text="I look.", tool_calls=tuple(calls), finish_reason="tool_calls")
    events = [
        xlc.TextDelta("I look."),
        xlc.ToolCallDelta(0, "1", "get_weather"),
        xlc.ToolCallDelta(0, arguments='{"city": "Os'),
        xlc.ToolCallDelta(0, arguments='lo"}'),
        xlc.ToolCallDelta(1, "", "get_time"),
        xlc.Finished(Completion((done,), Usage(1, 9), "scripted")),
    ]
    llm, _ = scripted(events)
    parts = list(llm.stream_chat_with_tools(TOOLS, "?"))
    grown = [
        [(call.tool_name, call.tool_kwargs) for call in llm.get_tool_calls_from_response(part, False)] for part in parts
    ]
    assert grown == [
        [],
        [("get_weather", {})],
        [("get_weather", {"city": "Os"})],
        [("get_weather", {"city": "Oslo"})],
        [("get_weather", {"city": "Oslo"}), ("get_time", {})],
        [("get_weather", {"city": "Oslo"}), ("get_time", {})],
    ]
    ids = [[call.tool_id for call in llm.get_tool_calls_from_response(part)] for part in parts[-2:]]
    assert ids[0] == ids[1]
    assert len(set(ids[1])) == 2
    assert parts[-1].message.additional_kwargs["tool_calls"][0]["function"]["name"] == "get_weather"
    assert parts[-1].message.content == "I look."


# Structured prediction


class Person(BaseModel):
    """Somebody."""

    name: str
    age: int


class Adult(BaseModel):
    """Somebody who is of age; whatever a model writes, it is short."""

    age: int = Field(ge=0, le=99)

    @field_validator("age")
    @classmethod
    def _is_of_age(cls, age: int) -> int:
        if age < 1000:
            raise ValueError("too young")
        return age


PROMPT = PromptTemplate("{name} is seven years old.")


async def test_answer_that_was_cut_off_says_so(llm: XLlama) -> None:
    cut = {"max_tokens": 4, "close_constraint": False}
    with pytest.raises(ValueError, match=r"cut off after 4 tokens, before the Person was whole .*raise max_tokens"):
        llm.structured_predict(Person, PROMPT, llm_kwargs=cut, name="Ann")
    with pytest.raises(ValueError, match="cut off"):
        list(llm.stream_structured_predict(Person, PROMPT, llm_kwargs=cut, name="Ann"))
    with pytest.raises(ValueError, match="cut off"):
        await llm.astructured_predict(Person, PROMPT, llm_kwargs=cut, name="Ann")


async def test_budget_that_runs_out_still_gives_object(llm: XLlama) -> None:
    person = llm.structured_predict(Person, PROMPT, llm_kwargs={"max_tokens": 20}, name="Ann" * 20)
    assert person.name.startswith("AnnAnn")


def test_validator_has_last_word(llm: XLlama) -> None:
    with pytest.raises(ValueError, match="too young"):
        llm.structured_predict(Adult, PROMPT, name="Ann")


async def test_schema_is_shown_and_prompt_is_kept(llm: XLlama) -> None:
    held = llm.model_copy(update={"system_prompt": "You know Ann."})
    with watched_events() as events:
        held.structured_predict(Person, PROMPT, name="Ann")
        stream = await held.as_structured_llm(Person).astream_chat([ChatMessage(content="Ann is seven.")])
        with pytest.warns(DeprecationWarning, match="json"):  # of LlamaIndex's own
            parts = [part async for part in stream]
    assert isinstance(parts[-1].raw, Person)
    for start in events.of("LLMChatStartEvent"):
        if isinstance(start.messages[0], ChatMessage) and len(start.messages) == 2:
            system, user = start.messages
            assert system.content.startswith("You know Ann.")
            assert '"properties": {"name"' in system.content
            assert user.content.startswith("Ann is seven")


async def test_llamaindex_own_program_works_too(llm: XLlama) -> None:
    roomy = llm.model_copy(update={"max_tokens": 100})
    program = FunctionCallingProgram.from_defaults(Person, prompt=PROMPT, llm=roomy)
    assert isinstance(program(name="Ann"), Person)
    assert isinstance(await program.acall(name="Ann"), Person)


def test_without_llamaindex_extra_is_named() -> None:
    program = "import sys; sys.modules['llama_index'] = None; import xlc_llamaindex"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "pip install 'xllama[llamaindex]'" in result.stderr


def test_streamed_responses_carry_engine_events() -> None:
    llm = XLlama(engine=ScriptedEngine(["A short answer."]))
    responses = list(llm.stream_chat([ChatMessage(content="Hi")]))
    events = [response._event for response in responses]  # type: ignore[attr-defined]
    assert [event.text for event in events[:-1]] == [response.delta for response in responses[:-1]]
    assert isinstance(events[-1], xlc.Finished)
