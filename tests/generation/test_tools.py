"""Tool calls and thinking: by the generic format of a model that knows neither, and by templates that do."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import xlc_core as xlc

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "enum": ["Paris", "Lima"]},
                "days": {"type": "integer", "minimum": 1, "maximum": 9},
                "where": {
                    "type": "object",
                    "properties": {"unit": {"type": "string", "enum": ["metric", "imperial"]}},
                    "required": ["unit"],
                    "additionalProperties": False,
                },
                "alerts": {"type": "boolean"},
            },
            "required": ["city", "days", "where"],
            "additionalProperties": False,
        },
    },
}
ZONE = xlc.Tool(
    name="get_time",
    description="The time in a zone",
    parameters={
        "type": "object",
        "properties": {"zone": {"type": "string", "enum": ["CET", "PET"]}},
        "required": ["zone"],
        "additionalProperties": False,
    },
)
SCHEMAS = {"get_weather": WEATHER["function"]["parameters"], "get_time": ZONE.parameters}  # type: ignore[index]
QUESTION = "What is the weather in Paris, and what time is it there?"
GREEDY: dict[str, Any] = {"temperature": 0, "seed": 1, "max_tokens": 160}


def assert_fits(call: xlc.ToolCall) -> None:
    jsonschema.validate(json.loads(call.arguments), SCHEMAS[call.name])
    assert call.id


def test_required_call_fits_its_schema(engine: xlc.Engine) -> None:
    answer = engine.chat(QUESTION, tools=[WEATHER, ZONE], tool_choice="required", **GREEDY)
    assert answer.finish_reason == "tool_calls"
    assert len(answer.tool_calls) >= 1
    for call in answer.tool_calls:
        assert_fits(call)


def test_required_call_fits_its_schema_at_high_temperature(engine: xlc.Engine) -> None:
    for seed in range(2):
        answer = engine.chat(
            QUESTION, tools=[WEATHER], tool_choice="required", temperature=1.5, seed=seed, max_tokens=160
        )
        assert answer.finish_reason == "tool_calls"
        for call in answer.tool_calls:
            assert_fits(call)


@pytest.mark.parametrize("name", ["get_weather", "get_time"])
def test_named_tool_is_called_exactly_once(engine: xlc.Engine, name: str) -> None:
    answer = engine.chat(QUESTION, tools=[WEATHER, ZONE], tool_choice=name, **GREEDY)
    (call,) = answer.tool_calls
    assert call.name == name
    assert_fits(call)
    assert answer.finish_reason == "tool_calls"


def test_none_gives_no_call(engine: xlc.Engine) -> None:
    answer = engine.chat(QUESTION, tools=[WEATHER, ZONE], tool_choice="none", temperature=0, max_tokens=10)
    assert answer.tool_calls == ()
    assert answer.text


def test_auto_calls_or_answers(engine: xlc.Engine) -> None:
    answer = engine.chat(QUESTION, tools=[WEATHER, ZONE], temperature=0, seed=1, max_tokens=40)
    assert answer.text or answer.tool_calls
    for call in answer.tool_calls:
        assert call.name in SCHEMAS


def test_deltas_make_up_the_calls(engine: xlc.Engine) -> None:
    options: dict[str, Any] = {"tools": [WEATHER, ZONE], "tool_choice": "required", "parallel_tool_calls": True}
    events = list(engine.stream_chat(QUESTION, **options, **GREEDY))
    deltas = [event for event in events if isinstance(event, xlc.ToolCallDelta)]
    finished = events[-1]
    assert isinstance(finished, xlc.Finished)
    calls = finished.completion.tool_calls
    pieces: dict[int, list[xlc.ToolCallDelta]] = defaultdict(list)
    for delta in deltas:
        pieces[delta.call_index].append(delta)
    assert list(pieces) == list(range(len(calls)))
    for index, call in enumerate(calls):
        first, *others = pieces[index]
        assert (first.id, first.name) == (call.id, call.name)
        assert all(delta.id == delta.name == "" for delta in others)
        assert "".join(delta.arguments for delta in pieces[index]) == call.arguments
    assert len({call.id for call in calls}) == len(calls)
    assert "".join(e.text for e in events if isinstance(e, xlc.TextDelta)) == finished.completion.text


def test_ids_are_unique_over_requests(engine: xlc.Engine) -> None:
    options: dict[str, Any] = {"tools": [ZONE], "tool_choice": "get_time", "seed": 1, "max_tokens": 40}
    first, second = (engine.chat(QUESTION, **options).tool_calls[0].id for _ in range(2))
    assert first != second


def test_several_answers_have_calls_of_their_own(engine: xlc.Engine) -> None:
    answer = engine.chat(QUESTION, tools=[ZONE], tool_choice="get_time", n=2, max_tokens=60)
    assert [[call.name for call in choice.tool_calls] for choice in answer.choices] == [["get_time"]] * 2


def test_calls_and_their_results_are_rendered(engine: xlc.Engine) -> None:
    answer = engine.chat(QUESTION, tools=[ZONE], tool_choice="get_time", **GREEDY)
    (call,) = answer.tool_calls
    result = xlc.Message(role="tool", content="12:34 o'clock", tool_call_id=call.id, name=call.name)
    prompt = engine.render_chat([{"role": "user", "content": QUESTION}, answer.message, result], tools=[ZONE])
    places = [prompt.index(part) for part in ('"description": "The time in a zone"', QUESTION, "12:34 o'clock")]
    assert places == sorted(places)
    assert json.loads(call.arguments)["zone"] in prompt[places[1] : places[2]]
    assert prompt.endswith("<|im_start|>assistant\n")


def test_messages_in_openais_form_render_alike(engine: xlc.Engine) -> None:
    function = {"name": "get_time", "arguments": '{"zone": "CET"}'}
    as_dicts = [
        {"role": "user", "content": "Time?"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": "1", "content": "noon"},
    ]
    as_messages = [
        xlc.Message(role="user", content="Time?"),
        xlc.Message(role="assistant", tool_calls=(xlc.ToolCall(id="1", name="get_time", arguments='{"zone": "CET"}'),)),
        xlc.Message(role="tool", tool_call_id="1", content="noon"),
    ]
    assert engine.render_chat(as_dicts, tools=[ZONE]) == engine.render_chat(as_messages, tools=[ZONE])


def test_tools_are_counted(engine: xlc.Engine) -> None:
    messages = [{"role": "user", "content": "Time?"}]
    n_tokens = engine.count_tokens(messages, tools=[ZONE])
    assert n_tokens > engine.count_tokens(messages) + 20
    assert engine.chat(messages, tools=[ZONE], max_tokens=1).usage.prompt_tokens == n_tokens


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (
            {"tools": [ZONE], "tool_choice": "get_tim"},
            "tool_choice='get_tim' is not .* the tools given are: 'get_time'",
        ),
        ({"tools": [ZONE, ZONE]}, "two tools are called 'get_time'"),
        ({"tool_choice": "required"}, "needs at least one tool"),
        ({"tool_choice": "get_time"}, "tool_choice='get_time' is not .* the tools given are: none"),
        ({"tools": [ZONE], "constraint": xlc.Regex("a+")}, "tools and a Regex cannot both"),
        ({"tools": [{"name": ""}]}, "name"),
    ],
)
def test_ambiguous_arguments_are_refused(engine: xlc.Engine, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(xlc.InvalidRequestError, match=reason):
        engine.chat("Time?", **options)


@pytest.mark.parametrize(
    "wrong", [{"type": "string", "minLength": 5, "maxLength": 2}, {"type": "array", "minItems": 5, "maxItems": 2}]
)
def test_arguments_that_cannot_exist_are_refused(engine: xlc.Engine, wrong: dict[str, Any]) -> None:
    """llama.cpp's grammar of such a tool used up the memory of the process."""
    parameters = {"type": "object", "properties": {"a": wrong}, "required": ["a"]}
    with pytest.raises(xlc.ConstraintError, match=r"tool 'look' .*'a' is unsatisfiable"):
        engine.chat("Hi", tools=[{"name": "look", "parameters": parameters}], tool_choice="look", max_tokens=8)


def test_constraint_is_allowed_beside_disabled_tools(engine: xlc.Engine) -> None:
    answer = engine.chat("Time?", tools=[ZONE], tool_choice="none", constraint=["noon", "midnight"], max_tokens=10)
    assert answer.text in ("noon", "midnight")


def test_chat_that_ends_with_unanswered_calls_is_refused(engine: xlc.Engine) -> None:
    call = xlc.ToolCall(id="1", name="get_time")
    with pytest.raises(xlc.InvalidRequestError, match="add the tool messages"):
        engine.chat([{"role": "user", "content": "Time?"}, xlc.Message(role="assistant", tool_calls=(call,))])


def open_with_template(templates: Path, name: str) -> xlc.Engine:
    text = (templates / f"{name}.jinja").read_text(encoding="utf-8")
    return xlc.Engine("smollm2-135m-instruct", n_ctx=2048, n_parallel=1, chat_template=text, warmup=False)


@pytest.fixture(scope="module")
def templates(vendored_llama_cpp: Path) -> Path:
    return vendored_llama_cpp / "models" / "templates"


# Families whose format even a small model without their special tokens can follow. If arguments are tagged instead of
# JSON, llama.cpp does not limit texts among them, and such a model never ends them.
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("Apertus-8B-Instruct", {}),
        ("GLM-4.6", {"thinking": False}),
        ("GigaChat3-10B-A1.8B", {}),
        ("MiniMax-M1", {}),
        ("Mistral-Small-3.2-24B-Instruct-2506", {}),
        ("NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use", {}),
        ("Qwen-Qwen2.5-7B-Instruct", {}),
        ("Qwen-Qwen3-0.6B", {"thinking": False}),
        ("ibm-granite-granite-4.0", {}),
        ("inclusionai-ling-3.0-flash", {"thinking": False}),
        ("meetkai-functionary-medium-v3.1", {}),
        ("meetkai-functionary-medium-v3.2", {}),
        ("meta-llama-Llama-3.1-8B-Instruct", {}),
        ("mistralai-Mistral-Nemo-Instruct-2407", {}),
        ("upstage-Solar-Open-100B", {"thinking": False}),
    ],
)
def test_template_that_knows_tools_makes_a_required_call(templates: Path, name: str, options: dict[str, Any]) -> None:
    with open_with_template(templates, name) as engine:
        assert engine.info.supports_tools
        assert "get_time" in engine.render_chat("Time?", tools=[ZONE])
        answer = engine.chat(QUESTION, tools=[ZONE], tool_choice="get_time", **GREEDY, **options)
        assert [call.name for call in answer.tool_calls] == ["get_time"]
        assert_fits(answer.tool_calls[0])


@pytest.mark.parametrize("name", ["meta-llama-Llama-3.1-8B-Instruct", "openai-gpt-oss-120b"])
def test_template_that_knows_tools_renders_calls_and_results(templates: Path, name: str) -> None:
    call = xlc.ToolCall(id="123456789", name="get_time", arguments='{"zone": "CET"}')
    messages = [
        xlc.Message(role="user", content="Time?"),
        xlc.Message(role="assistant", tool_calls=(call,)),
        xlc.Message(role="tool", content="12:34", tool_call_id=call.id, name="get_time"),
    ]
    with open_with_template(templates, name) as engine:
        assert engine.info.supports_tools
        prompt = engine.render_chat(messages, tools=[ZONE])
    assert prompt.index("Time?") < prompt.index("CET", prompt.index("Time?")) < prompt.index("12:34")


@pytest.mark.parametrize("name", ["google-gemma-2-2b-it", "HuggingFaceTB-SmolLM3-3B", "Qwen-QwQ-32B"])
def test_chat_without_tools_is_rendered_by_any_template(templates: Path, name: str) -> None:
    with open_with_template(templates, name) as engine:
        assert "Time?" in engine.render_chat("Time?")
        assert engine.chat("Time?", max_tokens=2, ignore_eos=True).usage.completion_tokens == 2


def test_template_without_a_system_role_is_shown_tools_too(templates: Path) -> None:
    with open_with_template(templates, "google-gemma-2-2b-it") as engine:
        assert "get_time" in engine.render_chat("Time?", tools=[ZONE])


@pytest.fixture(scope="module")
def thinker(templates: Path) -> Iterator[xlc.Engine]:
    with open_with_template(templates, "Qwen-Qwen3-0.6B") as engine:
        yield engine


def test_thinking_is_kept_apart_from_the_answer(templates: Path) -> None:
    options: dict[str, Any] = {"max_tokens": 8, "temperature": 0, "seed": 1}
    # This template opens the thinking itself, so all that comes is thinking until the model closes it.
    with open_with_template(templates, "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B") as engine:
        assert engine.info.supports_thinking
        answer = engine.chat("Well?", **options)
        assert answer.reasoning
        assert answer.text == ""
        assert answer.usage.reasoning_tokens == answer.usage.completion_tokens == 8
        events = list(engine.stream_chat("Well?", **options))
    assert "".join(e.text for e in events if isinstance(e, xlc.ReasoningDelta)) == answer.reasoning
    finished = events[-1]
    assert isinstance(finished, xlc.Finished)
    assert finished.completion.reasoning == answer.reasoning


@pytest.mark.parametrize("thinking", [True, False])
def test_constraint_holds_the_answer_and_leaves_the_thinking_free(thinker: xlc.Engine, thinking: bool) -> None:
    constraint = xlc.Choice("yes", "no")
    for seed in range(4):
        answer = thinker.chat("Well?", constraint=constraint, thinking=thinking, max_tokens=24, seed=seed)
        assert bool(answer.usage.reasoning_tokens) == bool(answer.reasoning)
        cut_while_thinking = thinking and answer.finish_reason == "length" and answer.reasoning and not answer.text
        assert cut_while_thinking or answer.text.strip() in ("yes", "no")


def test_gbnf_has_no_room_for_thinking(thinker: xlc.Engine) -> None:
    with pytest.raises(xlc.UnsupportedFeatureError, match="thinking=False"):
        thinker.chat("Well?", constraint=xlc.Gbnf('root ::= "yes"'))
    assert thinker.chat("Well?", constraint=xlc.Gbnf('root ::= "yes"'), thinking=False, max_tokens=9).text == "yes"


def test_thinking_can_be_turned_off(thinker: xlc.Engine) -> None:
    prompt = thinker.render_chat("Well?", thinking=False)
    assert prompt.endswith("<think>\n\n</think>\n\n")
    assert not thinker.render_chat("Well?", thinking=True).endswith("</think>\n\n")
    assert thinker.render_chat("Well?", template_kwargs={"enable_thinking": False}) == prompt
    assert thinker.chat("Well?", thinking=False, max_tokens=5).reasoning == ""


def test_deltas_of_a_continued_message_make_up_its_text(thinker: xlc.Engine) -> None:
    messages = [{"role": "user", "content": "Count."}, {"role": "assistant", "content": "1, 2, 3, 4, 5,"}]
    events = list(thinker.stream_chat(messages, temperature=0, seed=1, max_tokens=6))
    text = "".join(event.text for event in events if isinstance(event, xlc.TextDelta))
    finished = events[-1]
    assert isinstance(finished, xlc.Finished)
    assert not text.startswith("1, 2")
    assert finished.completion.text == text
