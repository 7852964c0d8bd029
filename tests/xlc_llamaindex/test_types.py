"""Objects of every type, and tools made of functions: a tiny model writes noise."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import pytest
from hypothesis import HealthCheck, given, settings
from llama_index.core import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import AfterValidator, BaseModel, Field

import xlc_core as xlc
from helpers.tiny_models import write_byte_llama
from helpers.typed_answers import Aliased, Box, Colour, Encoded, Looking, Open, Ping, Strict, Tree, models
from xlc_core.testing import ScriptedEngine
from xlc_llamaindex import XLlama

FEW = settings(max_examples=8, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
PROMPT = PromptTemplate("Hi")


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Iterator[XLlama]:
    path = write_byte_llama(tmp_path_factory.mktemp("models") / "noise.gguf")
    engine_options = {"n_parallel": 1, "warmup": False}
    with XLlama(model=path, n_ctx=2048, engine_options=engine_options, max_tokens=300, temperature=2) as llm:
        yield llm


def check_answer(llm: XLlama, kind: Any, seed: int) -> None:
    """An answer is of its type, or was cut off because the type needs more tokens."""
    with contextlib.suppress(CutOffError, xlc.ContextOverflowError):
        assert isinstance(whole(lambda: llm.structured_predict(kind, PROMPT, llm_kwargs={"seed": seed})), kind)
        stream = llm.stream_structured_predict(kind, PROMPT, llm_kwargs={"seed": seed})
        assert isinstance(whole(lambda: list(stream))[-1], kind)


class CutOffError(Exception):
    """The type needs more tokens."""


def whole(predict: Callable[[], Any]) -> Any:
    try:
        return predict()
    except ValueError as error:
        if "was cut off" in str(error):
            raise CutOffError from None
        raise


@pytest.mark.parametrize("kind", [Aliased, Box[Colour], Encoded, Looking, Open, Ping, Strict, Tree])
def test_answer_is_of_type(noise: XLlama, kind: Any) -> None:
    for seed in range(2):
        check_answer(noise, kind, seed)


@FEW
@given(kind=models())
def test_answer_is_of_made_type(noise: XLlama, kind: Any) -> None:
    check_answer(noise, kind, 1)


def test_refused_answer_is_generated_again(engine: xlc.Engine) -> None:
    seen: list[int] = []

    def refuse_first(value: int) -> int:
        seen.append(value)
        if len(seen) == 1:
            raise ValueError("it must be odd")
        return value

    class Odd(BaseModel):
        number: Annotated[int, Field(ge=0, le=99), AfterValidator(refuse_first)]

    llm = XLlama(engine=engine, temperature=0, max_tokens=40)
    assert isinstance(llm.structured_predict(Odd, PROMPT), Odd)


def test_tools_have_schemas_that_their_types_take() -> None:
    def paint(colours: set[Colour], trees: list[Tree]) -> str:
        """Paint trees."""
        return "done"

    engine = ScriptedEngine(["ok"])
    XLlama(engine=engine).chat_with_tools([FunctionTool.from_defaults(paint)], "Hi")
    (tool,) = engine.requests[0].options.tools
    assert tool.is_type
    assert (tool.name, tool.description.endswith("Paint trees.")) == ("paint", True)
    assert tool.parameters["properties"]["colours"]["uniqueItems"] is True
    assert tool.parameters["additionalProperties"] is False
