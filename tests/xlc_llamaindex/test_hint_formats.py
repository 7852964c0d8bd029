"""Objects and tools with types whose formats no grammar enforces, such as paths and secrets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import create_model

from helpers.hint_types import EXAMPLES, HINT_TYPES, ONLY_REFUSED_AFTERWARDS
from helpers.langchain_scripts import completion
from xlc_core import ToolCall
from xlc_core.testing import ScriptedEngine
from xlc_llamaindex import XLlama

if TYPE_CHECKING:
    from xlc_core import Engine

PROMPT = PromptTemplate("Give an example value.")
EVERY_TYPE = {**HINT_TYPES, **ONLY_REFUSED_AFTERWARDS}


def as_model(kind: Any) -> Any:
    return create_model("Answer", value=(kind, ...))


@pytest.mark.parametrize("name", EVERY_TYPE)
def test_constraint_compiles_and_takes_values(name: str) -> None:
    answer = json.dumps({"value": EXAMPLES[name]})
    schema = as_model(EVERY_TYPE[name])
    engine = ScriptedEngine([answer])
    result = XLlama(engine=engine).structured_predict(schema, PROMPT)
    constraint = engine.requests[-1].options.constraint
    constraint.check()
    assert constraint.accepts(answer)
    assert result == schema.model_validate_json(answer)


def test_model_answer_has_types(engine: Engine) -> None:
    schema = create_model("Answer", path=HINT_TYPES["Path"], key=HINT_TYPES["UUID4"])  # type: ignore[call-overload]
    llm = XLlama(engine=engine, temperature=0, max_tokens=60)
    assert isinstance(list(llm.stream_structured_predict(schema, PROMPT))[-1], schema)


@pytest.mark.parametrize("name", EVERY_TYPE)
def test_tool_may_have_such_arguments(name: str) -> None:
    def take(value: Any) -> str:
        """Take a value."""
        return "done"

    schema = as_model(EVERY_TYPE[name])
    call = ToolCall(id="1", name="take", arguments=json.dumps({"value": EXAMPLES[name]}))
    llm = XLlama(engine=ScriptedEngine([completion(calls=[call])]))
    response = llm.chat_with_tools([FunctionTool.from_defaults(take, fn_schema=schema)], "Hi", tool_required=True)
    (selection,) = llm.get_tool_calls_from_response(response)
    assert isinstance(schema.model_validate(selection.tool_kwargs), schema)
