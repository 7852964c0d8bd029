"""Answers that a type refuses are generated again within the same call."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel, Field

import xlc_core as xlc
from xlc_core.constraints.json_constraints import JsonSchema
from xlc_core.generation.attempts import Attempts
from xlc_core.options.sampling import ChatOptions


class Refuses:
    """A validator that refuses values at first."""

    def __init__(self, times: int) -> None:
        self.n_left = times
        self.seen: list[Any] = []

    def __call__(self, value: Any) -> Any:
        self.seen.append(value)
        self.n_left -= 1
        if self.n_left >= 0:
            raise ValueError("it must be odd")
        return value


def odd(times: int) -> tuple[type[BaseModel], Refuses]:
    refuses = Refuses(times)

    class Odd(BaseModel):
        number: Annotated[int, Field(ge=0, le=9), AfterValidator(refuses)]

    return Odd, refuses


def completion(text: str = "", finish: Any = "stop", **fields: Any) -> xlc.Completion:
    choice = xlc.CompletionChoice(text=text, finish_reason=finish, **fields)
    return xlc.Completion((choice,), xlc.Usage(prompt_tokens=5, completion_tokens=3))


def answer(kind: Any, text: str, finish: Any = "stop") -> xlc.Completion:
    return completion(text, finish, constraint=JsonSchema(kind))


def test_model_is_told_reason() -> None:
    kind, _ = odd(2)
    attempts = Attempts("Say a number.", ChatOptions.checked(temperature=0, seed=7))
    assert attempts.accept(answer(kind, '{"number": 4}')) is None
    user, assistant, reason = attempts.messages  # type: ignore[misc]
    assert (user.role, assistant.role, reason.role) == ("user", "assistant", "user")
    assert assistant.content == '{"number": 4}'
    assert "number: Value error, it must be odd" in reason.content


def test_second_time_the_first_chat_is_answered_with_more_randomness() -> None:
    kind, _ = odd(3)
    attempts = Attempts("Say a number.", ChatOptions.checked(temperature=0, seed=7))
    assert attempts.accept(answer(kind, '{"number": 4}')) is None
    assert attempts.accept(answer(kind, '{"number": 4}')) is None
    assert attempts.messages == "Say a number."
    assert attempts.options.temperature > 1
    assert attempts.options.seed != 7
    last = attempts.accept(answer(kind, '{"number": 4}'))
    assert last is not None
    assert last.usage == xlc.Usage(prompt_tokens=15, completion_tokens=9)
    with pytest.raises(ValueError, match="it must be odd"):
        _ = last.parsed


@pytest.mark.parametrize(
    ("result", "options"),
    [
        (answer(BaseModel, "{}"), {}),
        (answer(list[int], "[1", "length"), {}),
        (answer(list[int], "[1"), {"validation_retries": 0}),
        (answer(list[int], "[1"), {"n": 2}),
        (completion("{", constraint=JsonSchema({})), {"validation_retries": 0}),
        (completion("no constraint"), {}),
    ],
)
def test_other_answers_are_taken_as_they_are(result: xlc.Completion, options: Any) -> None:
    assert Attempts("Hi", ChatOptions.checked(**options)).accept(result) is result


def test_answer_to_callers_beginning_is_not_repeated() -> None:
    kind, _ = odd(1)
    chat = [{"role": "user", "content": "Say a number."}, {"role": "assistant", "content": "{"}]
    result = answer(kind, '{"number": 4}')
    assert Attempts(chat, ChatOptions.checked()).accept(result) is result


def test_refused_call_gets_tool_message() -> None:
    kind, _ = odd(1)
    calls = (
        xlc.ToolCall(id="1", name="Odd", arguments='{"number": 4}'),
        xlc.ToolCall(id="2", name="other", arguments="{}"),
    )
    attempts = Attempts("Call.", ChatOptions.checked(tools=[kind, {"name": "other"}]))
    assert attempts.accept(completion("", "tool_calls", tool_calls=calls)) is None
    _, assistant, first, second = attempts.messages  # type: ignore[misc]
    assert assistant.tool_calls == calls
    assert (first.role, first.tool_call_id) == ("tool", "1")
    assert "it must be odd" in first.content
    assert second.content == "Not called."


def test_engine_answers_again(engine: xlc.Engine) -> None:
    kind, refuses = odd(2)
    reply = engine.chat("Say a number.", constraint=kind, temperature=0, max_tokens=30)
    assert reply.parsed.number == refuses.seen[-1]
    assert len(refuses.seen) == 3
    assert reply.usage.completion_tokens > 10


async def test_engine_answers_again_on_event_loop(engine: xlc.Engine) -> None:
    kind, refuses = odd(1)
    reply = await engine.achat("Say a number.", constraint=kind, temperature=0, max_tokens=30)
    assert reply.parsed.number == refuses.seen[-1]
    assert len(refuses.seen) == 2


def test_engine_calls_again(engine: xlc.Engine) -> None:
    kind, refuses = odd(1)
    reply = engine.chat("Say a number.", tools=[kind], tool_choice="required", temperature=0, max_tokens=60)
    assert len(refuses.seen) == 2
    assert xlc.Tool.of(kind).parse(reply.tool_calls[0].arguments).number == refuses.seen[1]


def test_refused_answer_is_returned_where_chat_has_no_room_for_another(engine: xlc.Engine) -> None:
    kind, refuses = odd(1)
    filler = "word " * (engine.info.n_ctx - 60)
    reply = engine.chat(filler, constraint=kind, temperature=0, max_tokens=20, seed=1)
    assert len(refuses.seen) == 1
    assert reply.text.startswith('{"number"')


def test_streams_do_not_answer_again(engine: xlc.Engine) -> None:
    kind, refuses = odd(1)
    with engine.stream_chat("Say a number.", constraint=kind, temperature=0, max_tokens=30) as stream:
        result = stream.result()
    with pytest.raises(ValueError, match="it must be odd"):
        _ = result.parsed
    assert len(refuses.seen) == 1
