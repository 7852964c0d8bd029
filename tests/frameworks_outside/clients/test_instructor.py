"""instructor: answers of a type, by calls and by schemas; asked again, streamed, and several."""

from __future__ import annotations

from collections.abc import Iterator

import instructor
import openai
import pytest
from pydantic import BaseModel, Field, ValidationInfo, field_validator

import xlc_core as xlc
import xlc_server

CLIENTS = ("instructor", "openai")
QUESTION = [{"role": "user", "content": "Bob is 5 years old."}]
MODES = (instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA)


class Person(BaseModel):
    """A person."""

    name: str = Field(max_length=20)
    age: int = Field(ge=0, le=150)


class Asked(BaseModel):
    """A name that is refused the first time."""

    name: str = Field(max_length=20)

    @field_validator("name")
    @classmethod
    def _refuse_once(cls, value: str, info: ValidationInfo) -> str:
        attempts = (info.context or {}).get("attempts", [])
        attempts.append(value)
        if len(attempts) == 1:
            raise ValueError("give it again")
        return value


@pytest.fixture(params=["socket", "portless"])
def plain(request: pytest.FixtureRequest, pool: xlc.EnginePool) -> Iterator[openai.OpenAI]:
    if request.param == "portless":
        made = xlc_server.openai_client(pool)
    else:
        made = openai.OpenAI(base_url=request.getfixturevalue("url"), api_key="none", max_retries=0)
    with made:
        yield made


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_answer_of_a_type(plain: openai.OpenAI, mode: instructor.Mode) -> None:
    client = instructor.from_openai(plain, mode=mode)
    person = client.chat.completions.create(model="chat", messages=QUESTION, response_model=Person, temperature=0)
    assert isinstance(person, Person)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_refused_answer_is_asked_for_again(plain: openai.OpenAI, mode: instructor.Mode) -> None:
    client = instructor.from_openai(plain, mode=mode)
    attempts: list[str] = []
    answer = client.chat.completions.create(
        model="chat",
        messages=QUESTION,
        response_model=Asked,
        context={"attempts": attempts},
        max_retries=2,
        temperature=0,
    )
    assert len(attempts) == 2
    assert answer.name == attempts[1]


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_partial_answers_grow(plain: openai.OpenAI, mode: instructor.Mode) -> None:
    client = instructor.from_openai(plain, mode=mode)
    parts = list(
        client.chat.completions.create_partial(model="chat", messages=QUESTION, response_model=Person, temperature=0)
    )
    assert len(parts) > 2
    filled = [sum(value is not None for value in (part.name, part.age)) for part in parts]
    assert filled == sorted(filled)
    assert filled[-1] == 2


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_iterable_of_a_type(plain: openai.OpenAI, mode: instructor.Mode) -> None:
    client = instructor.from_openai(plain, mode=mode)
    people = client.chat.completions.create_iterable(
        model="chat", messages=QUESTION, response_model=Person, temperature=0, max_tokens=200
    )
    assert isinstance(next(iter(people)), Person)


async def test_async_client(url: str) -> None:
    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as plain:
        client = instructor.from_openai(plain, mode=instructor.Mode.JSON_SCHEMA)
        person, completion = await client.chat.completions.create_with_completion(
            model="chat", messages=QUESTION, response_model=Person, temperature=0
        )
    assert isinstance(person, Person)
    assert completion.usage.completion_tokens > 0
