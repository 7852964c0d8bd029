"""Infill through the adapters of both kinds of model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import xlc_core as xlc
from helpers.tiny_models import FIM_TOKENS, write_byte_llama
from xlc_core.testing import ScriptedEngine
from xlc_langchain import ChatXLlama, XLlama
from xlc_langchain.errors import InvalidRequestError, UnsupportedFeatureError


@pytest.fixture(scope="module")
def coder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[xlc.Engine]:
    path = write_byte_llama(tmp_path_factory.mktemp("models") / "coder.gguf", control=FIM_TOKENS)
    with xlc.Engine(path, n_ctx=256, n_parallel=1, warmup=False) as engine:
        yield engine


@pytest.mark.parametrize("adapter", [ChatXLlama, XLlama])
async def test_four_ways_give_same_text(adapter: Any, coder: xlc.Engine) -> None:
    llm = adapter(engine=coder, temperature=0, seed=1, max_tokens=6)
    text = coder.infill("def f(", "return 1", extra={"a.py": "x"}, temperature=0, seed=1, max_tokens=6).text
    call = ("def f(", "return 1")
    assert llm.infill(*call, extra={"a.py": "x"}) == text
    assert await llm.ainfill(*call, extra={"a.py": "x"}) == text
    assert "".join(llm.stream_infill(*call, extra={"a.py": "x"})) == text
    assert "".join([piece async for piece in llm.astream_infill(*call, extra={"a.py": "x"})]) == text


def test_call_options_override_settings() -> None:
    engine = ScriptedEngine(["ok"])
    llm = ChatXLlama(engine=engine, temperature=0.3, thinking=False)
    assert llm.infill("a", "b", max_tokens=3) == "ok"
    (request,) = engine.requests
    assert (request.prompt, request.options.temperature, request.options.max_tokens) == ("a…b", 0.3, 3)
    with pytest.raises(InvalidRequestError, match="unknown option 'tools'"):
        llm.infill("a", "b", tools=[])


def test_chat_model_without_infill_tokens_says_so(llm: ChatXLlama) -> None:
    with pytest.raises(UnsupportedFeatureError, match="not made for infill"):
        llm.infill("a", "b")
