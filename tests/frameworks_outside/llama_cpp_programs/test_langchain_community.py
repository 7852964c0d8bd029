"""langchain-community's ChatLlamaCpp, LlamaCpp and LlamaCppEmbeddings."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the package is deprecated, and says so
    from langchain_community.chat_models import ChatLlamaCpp
    from langchain_community.embeddings import LlamaCppEmbeddings
    from langchain_community.llms import LlamaCpp

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def chat(smollm2_path: Path) -> Any:
    return ChatLlamaCpp(model_path=str(smollm2_path), n_ctx=512, n_threads=2, temperature=0, max_tokens=8)


class Weather(BaseModel):
    """The weather."""

    sunny: bool


def test_chat_answers_and_streams(chat: Any) -> None:
    answer = chat.invoke("Say hi.")
    assert answer.content
    assert answer.response_metadata["finish_reason"] in ("stop", "length")
    assert "".join(chunk.content for chunk in chat.stream("Say hi.")) == answer.content


def test_tool_is_called(chat: Any) -> None:
    choice = {"type": "function", "function": {"name": "Weather"}}
    answer = chat.bind_tools([Weather], tool_choice=choice).invoke("Is it sunny?", max_tokens=60)
    assert answer.tool_calls[0]["name"] == "Weather"
    assert isinstance(answer.tool_calls[0]["args"]["sunny"], bool)


def test_structured_output(chat: Any) -> None:
    assert isinstance(chat.with_structured_output(Weather).invoke("Is it sunny?", max_tokens=60), Weather)


def test_completion_with_grammar(smollm2_path: Path) -> None:
    llm = LlamaCpp(model_path=str(smollm2_path), n_ctx=512, n_threads=2, grammar='root ::= "yes" | "no"', verbose=False)
    assert llm.invoke("Is water wet?") in ("yes", "no")
    assert "".join(llm.stream("Is water wet?")) in ("yes", "no")


def test_embeddings(embedder_path: Path) -> None:
    embeddings = LlamaCppEmbeddings(model_path=str(embedder_path), n_ctx=512, verbose=False)
    documents = embeddings.embed_documents(["A cat sleeps.", "Stocks fell."])
    query = np.array(embeddings.embed_query("a sleeping cat"))
    assert [len(vector) for vector in documents] == [384, 384]
    assert query @ np.array(documents[0]) > query @ np.array(documents[1])
