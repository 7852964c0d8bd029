"""Chat templates that llama.cpp has parsers for, by the files that it ships."""

from __future__ import annotations

from pathlib import Path

import pytest

import xlc_core as xlc
from helpers.tiny_models import write_byte_llama

TOOL = xlc.Tool(
    name="add",
    description="Adds",
    parameters={"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_byte_llama(tmp_path_factory.mktemp("templates") / "bytes.gguf")


@pytest.mark.parametrize("name", ["IFM-K2-Horizon", "llm-jp-llm-jp-4.1-8b-thinking", "openai-gpt-oss-120b"])
def test_template_renders_and_its_answers_are_read(vendored_llama_cpp: Path, model: Path, name: str) -> None:
    template = (vendored_llama_cpp / "models" / "templates" / f"{name}.jinja").read_text(encoding="utf-8")
    with xlc.Engine(model, n_ctx=2048, n_parallel=1, n_threads=1, chat_template=template) as engine:
        rendered = engine.render_chat("hello there")
        assert "hello there" in rendered
        assert "add" in engine.render_chat("hello there", tools=[TOOL])
        whole = engine.chat("hello there", max_tokens=8, temperature=0)
        with engine.stream_chat("hello there", max_tokens=8, temperature=0) as stream:
            streamed = stream.result()
    assert whole.usage.completion_tokens > 0
    assert (streamed.text, streamed.reasoning) == (whole.text, whole.reasoning)


def test_k2_horizon_calls_are_read(vendored_llama_cpp: Path, model: Path) -> None:
    """Its parser is new in llama.cpp 0.6.0; the grammar forces a call out of a model with random weights."""
    path = vendored_llama_cpp / "models" / "templates" / "IFM-K2-Horizon.jinja"
    template = path.read_text(encoding="utf-8")
    with xlc.Engine(model, n_ctx=2048, n_parallel=1, n_threads=1, chat_template=template) as engine:
        answer = engine.chat(
            "hello there", tools=[TOOL], tool_choice="required", thinking=False, max_tokens=200, temperature=0, seed=1
        )
    assert answer.finish_reason in {"tool_calls", "length"}
    assert all(call.name == "add" for call in answer.tool_calls)
