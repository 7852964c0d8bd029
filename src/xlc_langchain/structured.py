"""Structured output: a chat model and the parser of its answer, as one runnable."""

from __future__ import annotations

import json
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser
from langchain_core.outputs import ChatGeneration
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_core.utils.pydantic import TBaseModel, is_basemodel_subclass

from xlc_core import JsonSchema, Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.language_models import LanguageModelInput
    from langchain_core.output_parsers import BaseOutputParser
    from langchain_core.outputs import Generation

__all__ = ["described", "json_parser", "show_schema", "tool_parser", "with_parser"]


class _WholeJsonParser(JsonOutputParser):
    """Parses JSON, and unlike its base does not complete an answer that was cut off."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        if not partial:
            _refuse_cut_answer(result[0].text)
        return super().parse_result(result, partial=partial)


class _WholePydanticParser(PydanticOutputParser[TBaseModel]):
    """Parses JSON into a pydantic object; see ``_WholeJsonParser``."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        if not partial:
            _refuse_cut_answer(result[0].text)
        return super().parse_result(result, partial=partial)


class _CalledJsonParser(JsonOutputKeyToolsParser):
    """Parses a call's arguments, and unlike its base does not answer with None when there is no whole call."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        return _called(super().parse_result(result, partial=partial), result, partial=partial)


class _CalledPydanticParser(PydanticToolsParser):
    """Parses a call's arguments into a pydantic object; see ``_CalledJsonParser``."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        return _called(super().parse_result(result, partial=partial), result, partial=partial)


def _called(parsed: Any, result: list[Generation], *, partial: bool) -> Any:
    if parsed is None and not partial:
        message = result[0].message if isinstance(result[0], ChatGeneration) else None
        broken = message.invalid_tool_calls if isinstance(message, AIMessage) else []
        written = str(broken[0]["args"]) if broken else result[0].text
        raise OutputParserException(
            "the answer holds no whole tool call; if it was cut off, raise max_tokens", llm_output=written
        )
    return parsed


def _refuse_cut_answer(text: str) -> None:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        raise OutputParserException(
            f"the answer is not whole JSON ({error}); if it was cut off, raise max_tokens",
            llm_output=text,
        ) from error


def described(schema: Any, *, method: str, strict: bool | None) -> dict[str, Any]:
    """Say for traces what a structured answer is to look like."""
    return {"kwargs": {"method": method, "strict": strict}, "schema": schema}


def show_schema(messages: Sequence[Message], constraint: Any) -> list[Message]:
    """Put what a schema asks for into the system message.

    Args:
        messages: the chat.
        constraint: what the answer is held to; anything but a schema of an object is left unsaid.

    Returns:
        The chat, its system message extended, or with one.
    """
    properties = constraint.schema.get("properties") if isinstance(constraint, JsonSchema) else None
    if not properties:
        return list(messages)
    lines = [f"- {name}: {_property_text(schema)}" for name, schema in properties.items()]
    wanted = "\n".join(["Answer with a JSON object that has these properties:", *lines])
    first = messages[0] if messages else None
    if first is not None and first.role == "system" and isinstance(first.content, str):
        return [first.model_copy(update={"content": f"{first.content}\n\n{wanted}"}), *messages[1:]]
    return [Message(role="system", content=wanted), *messages]


def _property_text(schema: Any) -> str:
    if not isinstance(schema, dict):
        return "any value"
    kind = schema.get("enum") or schema.get("const") or schema.get("type") or "a value"
    described = schema.get("description")
    return f"{described} ({json.dumps(kind)})" if described else json.dumps(kind)


def json_parser(schema: Any) -> BaseOutputParser[Any]:
    """Return the parser of a JSON answer: into the pydantic class, else into a dictionary."""
    if _is_pydantic(schema):
        return _WholePydanticParser(pydantic_object=schema)
    return _WholeJsonParser()


def tool_parser(schema: Any) -> BaseOutputParser[Any]:
    """Return the parser for an answer that is a call of the tool that stands for the schema."""
    if _is_pydantic(schema):
        return _CalledPydanticParser(tools=[schema], first_tool_only=True)
    name = convert_to_openai_tool(schema)["function"]["name"]
    return _CalledJsonParser(key_name=name, first_tool_only=True)


def with_parser(
    llm: Runnable[LanguageModelInput, AIMessage],
    parser: BaseOutputParser[Any],
    *,
    include_raw: bool,
) -> Runnable[LanguageModelInput, Any]:
    """Join a model and a parser.

    Args:
        llm: the model, told what to answer with.
        parser: what reads its answer.
        include_raw: answer with ``{"raw": …, "parsed": …, "parsing_error": …}`` instead of raising.

    Returns:
        The chain.
    """
    if not include_raw:
        return llm | parser
    parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
    failed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=llm) | parsed.with_fallbacks([failed], exception_key="parsing_error")


def _is_pydantic(schema: Any) -> bool:
    """Tell whether a schema is a pydantic class, of either version."""
    return isinstance(schema, type) and is_basemodel_subclass(schema)
