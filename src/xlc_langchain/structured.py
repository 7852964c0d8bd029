"""Structured output: joins a chat model and the parser of its answer into one runnable."""

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
from langchain_core.utils.pydantic import TBaseModel, is_pydantic_v1_subclass
from pydantic import SkipValidation, TypeAdapter, ValidationError
from typing_extensions import is_typeddict

from xlc_core import Message, Tool
from xlc_core.frameworks import describe_schema
from xlc_langchain.tools import convertible, is_type, to_openai_tool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.language_models import LanguageModelInput
    from langchain_core.output_parsers import BaseOutputParser
    from langchain_core.outputs import Generation

__all__ = ["described", "json_parser", "show_schema", "tool_parser", "with_parser"]


class _WholeJsonParser(JsonOutputParser):
    """Parses JSON. Unlike its base, it does not complete an answer that was cut off."""

    adapter: SkipValidation[Any] = None
    """Makes an instance of the type; None: the answer stays as JSON has it."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        if partial:
            return _partial_instance(self.adapter, super().parse_result(result, partial=True))
        _require_whole_json(result[0].text)
        return super().parse_result(result) if self.adapter is None else _instance(self.adapter, result[0].text)


class _WholeV1Parser(PydanticOutputParser[TBaseModel]):
    """Parses JSON into an object of pydantic 1; see ``_WholeJsonParser``."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        if not partial:
            _require_whole_json(result[0].text)
        return super().parse_result(result, partial=partial)


class _CalledJsonParser(JsonOutputKeyToolsParser):
    """Parses a call's arguments. Unlike its base, it raises instead of returning None without a complete call."""

    reader: SkipValidation[Any] = None
    """Makes an instance of the type from the arguments' text; None: the arguments stay a dictionary."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        called = _require_call(super().parse_result(result, partial=partial), result, partial=partial)
        if self.reader is None or called is None:
            return called
        try:
            return self.reader(json.dumps(called))
        except ValueError as error:
            if partial:
                return None
            raise _misfit(error, json.dumps(called)) from error


class _CalledV1Parser(PydanticToolsParser):
    """Parses a call's arguments into an object of pydantic 1; see ``_CalledJsonParser``."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        return _require_call(super().parse_result(result, partial=partial), result, partial=partial)


def _require_call(parsed: Any, result: list[Generation], *, partial: bool) -> Any:
    if parsed is None and not partial:
        message = result[0].message if isinstance(result[0], ChatGeneration) else None
        broken = message.invalid_tool_calls if isinstance(message, AIMessage) else []
        written = str(broken[0]["args"]) if broken else result[0].text
        raise OutputParserException(
            "the answer does not have a complete tool call; if it was cut off, raise max_tokens", llm_output=written
        )
    return parsed


def _instance(adapter: TypeAdapter[Any], text: str) -> Any:
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        raise _misfit(error, text) from error


def _misfit(error: ValueError, text: str) -> OutputParserException:
    return OutputParserException(f"the answer does not fit the type: {error}", llm_output=text)


def _partial_instance(adapter: TypeAdapter[Any] | None, parsed: Any) -> Any:
    """Return the instance that an unfinished answer is already; None before that."""
    if adapter is None or parsed is None:
        return parsed
    try:
        return adapter.validate_json(json.dumps(parsed))
    except ValidationError:
        return None


def _require_whole_json(text: str) -> None:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        raise OutputParserException(
            f"the answer is not complete JSON ({error}); if it was cut off, raise max_tokens",
            llm_output=text,
        ) from error


def described(schema: Any, *, method: str, strict: bool | None) -> dict[str, Any]:
    """Return the description of a structured answer for traces."""
    return {"kwargs": {"method": method, "strict": strict}, "schema": convertible(schema)}


def show_schema(messages: Sequence[Message], constraint: Any) -> list[Message]:
    """Return a chat whose system message shows the model the schema of its answer; unchanged without a schema.

    Args:
        messages: the chat.
        constraint: what the answer must match.
    """
    wanted = describe_schema(constraint)
    if wanted is None:
        return list(messages)
    first = messages[0] if messages else None
    if first is not None and first.role == "system" and isinstance(first.content, str):
        return [first.model_copy(update={"content": f"{first.content}\n\n{wanted}"}), *messages[1:]]
    return [Message(role="system", content=wanted), *messages]


def json_parser(schema: Any) -> BaseOutputParser[Any]:
    """Return the parser of a JSON answer: into an instance of the type, or as JSON for a TypedDict or a schema."""
    if _is_v1(schema):
        return _WholeV1Parser(pydantic_object=schema)
    return _WholeJsonParser(adapter=TypeAdapter(schema) if _has_instances(schema) else None)


def tool_parser(schema: Any) -> BaseOutputParser[Any]:
    """Return the parser for an answer that is a call of the tool that stands for the schema."""
    if _is_v1(schema):
        return _CalledV1Parser(tools=[schema], first_tool_only=True)
    name = to_openai_tool(schema)["function"]["name"]
    reader = Tool.of(schema).parse if _has_instances(schema) else None
    return _CalledJsonParser(key_name=name, first_tool_only=True, reader=reader)


def _has_instances(schema: Any) -> bool:
    return is_type(schema) and not is_typeddict(schema)


def with_parser(
    llm: Runnable[LanguageModelInput, AIMessage],
    parser: BaseOutputParser[Any],
    *,
    include_raw: bool,
) -> Runnable[LanguageModelInput, Any]:
    """Return a model and a parser as one chain.

    Args:
        llm: the model, with its constraint bound.
        parser: the parser of its answer.
        include_raw: answer with ``{"raw": …, "parsed": …, "parsing_error": …}`` instead of raising.

    Returns:
        The chain.
    """
    if not include_raw:
        return llm | parser
    parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
    failed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=llm) | parsed.with_fallbacks([failed], exception_key="parsing_error")


def _is_v1(schema: Any) -> bool:
    return isinstance(schema, type) and is_pydantic_v1_subclass(schema)
