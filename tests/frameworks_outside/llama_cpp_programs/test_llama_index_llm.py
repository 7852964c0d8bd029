"""LlamaIndex's LlamaCPP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from llama_index.core.llms import ChatMessage
from llama_index.llms.llama_cpp import LlamaCPP


@pytest.fixture(scope="module")
def llm(smollm2_path: Path) -> Any:
    return LlamaCPP(
        model_path=str(smollm2_path), temperature=0, max_new_tokens=8, context_window=512, model_kwargs={"n_threads": 2}
    )


def test_context_window_is_the_model_s(llm: Any) -> None:
    assert llm.metadata.context_window == 512


def test_completes_and_streams(llm: Any) -> None:
    text = llm.complete("The capital of France is").text
    assert text
    assert list(llm.stream_complete("The capital of France is"))[-1].text == text


def test_chats(llm: Any) -> None:
    chat = [ChatMessage(role="user", content="Say hi.")]
    assert llm.chat(chat).message.content
    assert list(llm.stream_chat(chat))[-1].message.content
