"""Requests of DSPy's as the engine takes them. No model is needed."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from dspy import lm15

import xlc_core as xlc
from xlc_dspy.errors import dspy_errors
from xlc_dspy.requests import Chat, to_chat

WEATHER = lm15.FunctionTool("weather", "Tells the weather.", {"type": "object", "properties": {"city": {}}})
TIME = lm15.FunctionTool("time", None)
PNG = base64.b64encode(b"\x89PNG").decode()


def converted(*messages: lm15.Message, system: Any = None, tools: Any = (), **config: Any) -> Chat:
    chat = messages or (lm15.Message.user("Hi"),)
    return to_chat(lm15.Request("m", chat, system=system, tools=tools, config=lm15.Config(**config)))


def test_every_role_and_text() -> None:
    chat = converted(
        lm15.Message.developer("Be brief."),
        lm15.Message.user(["One", "two"]),
        lm15.Message.assistant([lm15.ThinkingPart("Hm."), lm15.TextPart("Three"), lm15.CitationPart(title="A book")]),
        lm15.Message.user(lm15.DataPart({"ü": 1})),
        system="You count.",
    )
    assert chat.messages == (
        xlc.Message(role="system", content="You count."),
        xlc.Message(role="developer", content="Be brief."),
        xlc.Message(role="user", content=(xlc.TextPart(text="One"), xlc.TextPart(text="two"))),
        xlc.Message(role="assistant", content="Three", reasoning="Hm."),
        xlc.Message(role="user", content='{"ü": 1}'),
    )
    parts = (lm15.TextPart("a"), lm15.TextPart("b"))
    assert converted(system=parts).messages[0].content == (xlc.TextPart(text="a"), xlc.TextPart(text="b"))


def test_calls_and_their_results() -> None:
    chat = converted(
        lm15.Message.user("Rome?"),
        lm15.Message.assistant(lm15.ToolCallPart("c1", "weather", {"city": "Röm"})),
        lm15.Message.tool([lm15.tool_result("c1", "sunny", name="weather"), lm15.tool_result("c2", ["a", "b"])]),
    )
    call = xlc.ToolCall(id="c1", name="weather", arguments='{"city": "Röm"}')
    assert chat.messages[1:] == (
        xlc.Message(role="assistant", tool_calls=(call,)),
        xlc.Message(role="tool", content="sunny", tool_call_id="c1", name="weather"),
        xlc.Message(role="tool", content=(xlc.TextPart(text="a"), xlc.TextPart(text="b")), tool_call_id="c2"),
    )


def test_media(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    chat = converted(
        lm15.Message.user(
            [
                lm15.ImagePart(data=PNG),
                lm15.ImagePart(data=f"data:image/png;base64,{PNG}"),
                lm15.ImagePart(path=path),
                lm15.ImagePart(url="https://example.org/a.png"),
                lm15.AudioPart(data=PNG),
                lm15.VideoPart(data=PNG),
            ]
        )
    )
    assert chat.messages[0].content == (
        xlc.ImagePart(data=b"\x89PNG"),
        xlc.ImagePart(data=b"\x89PNG"),
        xlc.ImagePart(path=path),
        xlc.ImagePart(url="https://example.org/a.png"),
        xlc.AudioPart(data=b"\x89PNG"),
        xlc.VideoPart(data=b"\x89PNG"),
    )


def test_sampling_settings_keep_their_names() -> None:
    config = {"max_tokens": 5, "temperature": 0.5, "top_p": 0.9, "top_k": 7, "logprobs": 2}
    config |= {"frequency_penalty": 1.0, "presence_penalty": -1.0}
    assert converted(**config).options == config
    options = converted(stop=("a", "b"), seed=-1, cache=lm15.CacheConfig(mode="off")).options
    assert options == {"stop": ("a", "b"), "seed": 0xFFFF_FFFE, "cache_prompt": False}
    assert converted(logprobs=0).options == {"logprobs": 1}
    bias = converted(extensions={"logit_bias": {"17": 1.5, "no": -5}}).options
    assert bias == {"logit_bias": {17: 1.5, "no": -5}}
    xlc.ChatOptions.checked(**config, **options, **bias)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, {"tool_choice": "auto"}),
        (lm15.ToolChoice("none"), {"tool_choice": "none"}),
        (lm15.ToolChoice("required", parallel=False), {"tool_choice": "required", "parallel_tool_calls": False}),
        (lm15.ToolChoice("required", ("time",)), {"tool_choice": "required"}),
        (lm15.ToolChoice("auto", ("time",)), {"tool_choice": "auto"}),
    ],
)
def test_tools_and_their_choice(choice: lm15.ToolChoice | None, expected: dict[str, Any]) -> None:
    options = converted(tools=(WEATHER, TIME), tool_choice=choice).options
    names = [tool.name for tool in options.pop("tools")]
    assert names == (["time"] if choice and choice.allowed else ["weather", "time"])
    assert options == expected


def test_reasoning() -> None:
    assert converted(reasoning=lm15.Reasoning("off")).options == {"thinking": False}
    assert converted(reasoning=lm15.Reasoning("high", thinking_budget=9)).options == {
        "thinking": True,
        "thinking_budget": 9,
        "template_kwargs": {"reasoning_effort": "high"},
    }


def test_response_formats() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    given = {"type": "json_schema", "schema": schema, "name": "x"}
    constraint = converted(response_format=given).options["constraint"]
    assert constraint.schema == {**schema, "additionalProperties": False}
    assert converted(response_format={"type": "json_object"}).options["constraint"] == xlc.JsonObject()
    unique = {"type": "array", "items": {"type": "integer"}, "uniqueItems": True, "contains": {"const": 1}}
    own = converted(response_format={"type": "json_schema", "schema": unique, "name": "DSPyProgramOutputs"})
    own.options["constraint"].check()  # the type checks what no grammar can
    other = converted(response_format={"type": "json_schema", "schema": unique, "name": "mine"})
    with pytest.raises(xlc.ConstraintError, match="contains"):
        other.options["constraint"].check()


def test_settings_of_services_are_recorded() -> None:
    chat = converted(
        service_tier="flex",
        user_id="u",
        cache=lm15.CacheConfig(key="k", retention="long"),
        probabilities="if_available",
        extensions={"metadata": {"a": "b"}},
    )
    assert chat.options == {}
    assert {one.field: one.asked for one in chat.adaptations} == {
        "config.service_tier": "flex",
        "config.user_id": "u",
        "config.cache.key": "k",
        "config.cache.retention": "long",
        "config.probabilities": "if_available",
        "config.extensions.metadata": {"a": "b"},
    }
    assert {one.action for one in chat.adaptations} == {"dropped"}


@pytest.mark.parametrize(
    ("request_of", "feature"),
    [
        (lambda: converted(lm15.Message.user(lm15.DocumentPart(data=PNG))), "messages[0].parts[0]"),
        (lambda: converted(lm15.Message.user(["a", lm15.ImagePart(file_id="f")])), "messages[0].parts[1]"),
        (lambda: converted(tools=(lm15.BuiltinTool("web_search"),)), "tools[web_search]"),
        (lambda: converted(cache=lm15.CacheConfig(resource="r")), "config.cache.resource"),
        (lambda: converted(probabilities="required"), "config.probabilities"),
    ],
)
def test_missing_features_are_refused(request_of: Any, feature: str) -> None:
    with pytest.raises(lm15.UnsupportedFeatureError) as refused:
        request_of()
    assert refused.value.feature == feature
    assert str(refused.value).startswith(feature)


def errors(base: type[BaseException]) -> list[type[BaseException]]:
    return [base, *(error for sub in base.__subclasses__() for error in errors(sub))]


@pytest.mark.parametrize("kind", [kind for kind in errors(xlc.XllamaError) if kind.__module__ == "xlc_core.errors"])
def test_every_error_has_a_counterpart(kind: type[Any]) -> None:
    extra = {xlc.ContextOverflowError: (9, 8), xlc.InputTooLongError: (0, 9, 8)}.get(kind, ())
    with pytest.raises(lm15.LM15Error, match="why") as raised, dspy_errors():
        raise kind("why", *extra)
    assert isinstance(raised.value.__cause__, kind)
    assert raised.value.provider == "xllama"
