"""Constraints on a real model: whatever it would rather say, the answer matches."""

from __future__ import annotations

import json
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import pydantic
import pytest

import xlc_core as xlc
from helpers.tiny_models import write_byte_llama

HOT: dict[str, Any] = {"temperature": 1.0, "max_tokens": 80}


class Animal(pydantic.BaseModel):
    name: str = pydantic.Field(max_length=12)
    legs: int = pydantic.Field(ge=0, le=8)
    kind: Literal["mammal", "bird", "fish"]
    tags: list[Literal["big", "small"]] = pydantic.Field(max_length=2)


def starts_with(engine: xlc.Engine, letter: str) -> list[int]:
    n_vocab = engine.info.n_vocab
    return [token for token in range(n_vocab) if engine.detokenize([token], special=True).startswith(letter)]


def test_pydantic_model_comes_back_as_its_instance(engine: xlc.Engine) -> None:
    answer = engine.chat("Describe an animal.", constraint=Animal, **HOT)
    assert answer.finish_reason == "stop"
    assert isinstance(answer.parsed, Animal)
    assert answer.choices[0].constraint == xlc.JsonSchema(Animal)
    assert Animal.model_validate_json(answer.text) == answer.parsed


def test_streamed_answer_matches_too(engine: xlc.Engine) -> None:
    events = list(engine.stream_chat("Describe an animal.", constraint=Animal, **HOT))
    text = "".join(event.text for event in events if isinstance(event, xlc.TextDelta))
    finished = events[-1]
    assert isinstance(finished, xlc.Finished)
    assert finished.completion.parsed == Animal.model_validate_json(text)


def test_regular_expression_is_matched_from_start_to_end(engine: xlc.Engine) -> None:
    pattern = r"\d{4}-(0[1-9]|1[0-2])"
    assert re.fullmatch(pattern, engine.chat("When?", constraint=xlc.Regex(pattern), **HOT).text)
    assert re.fullmatch(pattern, engine.complete("When?", constraint=re.compile(pattern), **HOT).text)


def test_choice_is_one_of_its_texts(engine: xlc.Engine) -> None:
    answer = engine.chat("Is it?", constraint=xlc.Choice("yes 🦙", "no", "naïve"), **HOT)
    assert answer.parsed in ("yes 🦙", "no", "naïve")


def test_gbnf_is_followed(engine: xlc.Engine) -> None:
    grammar = xlc.Gbnf('root ::= "<" [a-f]+ ">" [0-9]')
    assert re.fullmatch("<[a-f]+>[0-9]", engine.chat("Tag?", constraint=grammar, **{**HOT, "max_tokens": 200}).text)


def test_lark_is_followed(engine: xlc.Engine) -> None:
    grammar = xlc.Lark('start: "(" WORD ("," WORD)~1..2 ")"\nWORD: /[a-z]{1,4}/')
    assert re.fullmatch(r"\([a-z]{1,4}(,[a-z]{1,4}){1,2}\)", engine.chat("List?", constraint=grammar, **HOT).text)


def test_any_json_object_is_an_object(engine: xlc.Engine) -> None:
    answer = engine.chat("Give JSON.", constraint=xlc.JsonObject(), **{**HOT, "max_tokens": 30})
    assert answer.text.startswith("{")
    assert isinstance(answer.parsed, dict)


def test_cut_answer_does_not_parse(engine: xlc.Engine) -> None:
    schema = {"type": "string", "minLength": 500}
    answer = engine.chat("Give JSON.", constraint=schema, **{**HOT, "max_tokens": 5})
    assert answer.finish_reason == "length"
    with pytest.raises(ValueError, match="line") as caught:
        _ = answer.parsed
    if sys.version_info >= (3, 11):
        assert "raise max_tokens" in caught.value.__notes__[0]


def test_every_answer_of_several_matches(engine: xlc.Engine) -> None:
    answer = engine.chat("Pick.", n=2, constraint=["left", "right"], **HOT)
    assert all(choice.parsed in ("left", "right") for choice in answer.choices)


def test_seed_repeats_a_constrained_answer(engine: xlc.Engine) -> None:
    texts = {engine.chat("Describe.", constraint=Animal, seed=4, **HOT).text for _ in range(2)}
    assert len(texts) == 1


def test_requests_with_constraints_of_their_own_run_at_once(engine: xlc.Engine) -> None:
    def ask(number: int) -> Any:
        schema = {
            "type": "object",
            "properties": {f"key{number}": {"type": "integer", "minimum": number * 10, "maximum": number * 10 + 9}},
            "required": [f"key{number}"],
            "additionalProperties": False,
        }
        return engine.chat("Give a number.", constraint=schema, **HOT).parsed

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))
    assert all(list(answer) == [f"key{number}"] for number, answer in enumerate(answers))
    assert all(answer[f"key{number}"] // 10 == number for number, answer in enumerate(answers))


def test_two_engines_have_tokenizers_of_their_own(engine: xlc.Engine) -> None:
    for _ in range(2):  # the second's model may get the address of the first's
        with xlc.Engine("smollm2-135m-instruct", n_ctx=512, n_parallel=1, warmup=False) as other:
            assert other.chat("Pick.", constraint=["left", "right"], **HOT).parsed in ("left", "right")
        assert engine.chat("Pick.", constraint=["left", "right"], **HOT).parsed in ("left", "right")


def test_two_vocabularies_at_once(engine: xlc.Engine, tmp_path: Path) -> None:
    path = write_byte_llama(tmp_path / "bytes.gguf")
    with xlc.Engine(path, n_parallel=2, warmup=False) as other, ThreadPoolExecutor(4) as pool:

        def ask(number: int) -> Animal:
            engines = (engine, other)
            animal = engines[number % 2].chat("Describe an animal.", constraint=Animal, **{**HOT, "max_tokens": 100})
            assert isinstance(animal.parsed, Animal)
            return animal.parsed

        assert len(list(pool.map(ask, range(6)))) == 6
        assert other.accepts(Animal, '{"name": "x"}') == engine.accepts(Animal, '{"name": "x"}')


@pytest.mark.parametrize("kind", ["ngram-simple", "ngram-mod"])
def test_constraint_holds_under_speculation(engine: xlc.Engine, kind: str) -> None:
    args = ("--spec-type", kind, "--spec-ngram-simple-size-n", "3", "--spec-ngram-mod-n-match", "3")
    question = "Describe an animal, then the same animal again."
    with xlc.Engine("smollm2-135m-instruct", n_ctx=512, n_parallel=2, warmup=False, llama_args=args) as drafting:
        for temperature in (0.0, 1.0):
            options: dict[str, Any] = {"temperature": temperature, "seed": 4, "max_tokens": 60}
            answer = drafting.chat(question, constraint=list[Animal], **options)
            assert xlc.JsonSchema(list[Animal]).accepts(answer.text)
        free = {"temperature": 0.0, "seed": 4, "max_tokens": 20}
        assert drafting.chat("Count.", **free).text == engine.chat("Count.", **free).text  # type: ignore[arg-type]


def test_cut_off_answer_has_no_parsed_value(engine: xlc.Engine) -> None:
    answer = engine.chat("Describe an animal.", constraint=Animal, temperature=0, max_tokens=5)
    assert answer.finish_reason == "length"
    with pytest.raises(pydantic.ValidationError):
        _ = answer.parsed


@pytest.mark.parametrize(
    "constraint",
    [
        lambda: xlc.Regex("(unclosed"),
        lambda: xlc.Gbnf("root ::= undefined-rule"),
        lambda: xlc.Gbnf("root ::= ("),
        lambda: xlc.Lark("start: missing"),
        lambda: {"type": "no-such-type"},
        lambda: xlc.JsonSchema("{"),
        list,
        lambda: "plain text",
    ],
)
def test_malformed_constraint_is_refused_before_anything_is_queued(engine: xlc.Engine, constraint: Any) -> None:
    before = engine.metrics()
    with pytest.raises(xlc.ConstraintError):
        engine.stream_chat("Hi", constraint=constraint())
    after = engine.metrics()
    assert after.requests_running == after.requests_waiting == 0
    assert (after.prompt_tokens, after.cached_tokens) == (before.prompt_tokens, before.cached_tokens)


@pytest.mark.parametrize("constraint", [xlc.Gbnf('root ::= "a"+'), xlc.Regex("a+")])
def test_banning_every_legal_token_ends_that_request_only(engine: xlc.Engine, constraint: xlc.Constraint) -> None:
    banned: dict[int | str, Any] = dict.fromkeys(starts_with(engine, "a"), False)
    other = engine.stream_chat("Count", max_tokens=30, ignore_eos=True)
    next(other)
    with pytest.raises(xlc.XllamaError):
        engine.chat("Hi", constraint=constraint, logit_bias=banned, max_tokens=5)
    assert other.result().usage.completion_tokens == 30
    assert engine.chat("Hi", constraint=constraint, max_tokens=3).text.strip("a") == ""
    assert engine.metrics().requests_running == 0


@pytest.mark.parametrize(
    "options",
    [
        {"constraint": xlc.Gbnf('root ::= "yes" | "no"')},
        {"constraint": xlc.Choice("yes", "no")},
        {"tools": [xlc.Tool(name="look", description="Looks")]},
    ],
    ids=["gbnf", "choice", "tools"],
)
def test_ignore_eos_is_refused_where_something_else_ends_the_answer(
    engine: xlc.Engine, options: dict[str, Any]
) -> None:
    with pytest.raises(xlc.InvalidRequestError, match="ignore_eos"):
        engine.chat("Hi", ignore_eos=True, max_tokens=20, **options)
    if "constraint" in options:
        with pytest.raises(xlc.InvalidRequestError, match="ignore_eos"):
            engine.complete("Hi", ignore_eos=True, max_tokens=20, **options)
    else:
        answer = engine.chat("Hi", ignore_eos=True, max_tokens=2, tool_choice="none", **options)
        assert answer.usage.completion_tokens == 2


def test_stop_sequence_may_cut_a_constrained_answer(engine: xlc.Engine) -> None:
    answer = engine.chat("Hi", constraint=xlc.Regex("ab{3}c{3}"), stop="c", **HOT)
    assert (answer.text, answer.stop_sequence) == ("abbb", "c")


def test_every_prefix_that_streams_is_allowed(engine: xlc.Engine) -> None:
    constraint = xlc.JsonSchema(Animal)
    text = ""
    for event in engine.stream_chat("Describe an animal.", constraint=constraint, seed=2, **HOT):
        if isinstance(event, xlc.TextDelta):
            text += event.text
            assert constraint.explain(text).n_bytes == len(text.encode())
    assert json.loads(text)
