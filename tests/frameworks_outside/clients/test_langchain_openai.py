"""LangChain's standard suites on its classes for OpenAI's API, and the same classes without a port."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from langchain_tests.integration_tests import ChatModelIntegrationTests, EmbeddingsIntegrationTests

import xlc_core as xlc
import xlc_server

CLIENTS = ("langchain-openai", "langchain-tests")
N_TOKENS = 64
"""Enough for what the suite looks at; answers under a schema close themselves before."""


# A test gives a message a name, which this model's chat template does not show.
@pytest.mark.filterwarnings("ignore:message 0. names of those who speak are left out:UserWarning")
class TestChatOpenAI(ChatModelIntegrationTests):
    @pytest.fixture(autouse=True)
    def _place(self, url: str) -> None:
        self._url = url

    @property
    def chat_model_class(self) -> type[ChatOpenAI]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        # The same request has the same answer, whatever was cached before it.
        options = {"model": "chat", "temperature": 0, "max_tokens": N_TOKENS, "seed": 1, "stream_usage": True}
        return {"base_url": self._url, "api_key": "none", "max_retries": 0, **options}

    @property
    def standard_chat_model_params(self) -> dict[str, Any]:
        """The suite's own allow 1024 tokens."""
        return {}

    @property
    def structured_output_kwargs(self) -> dict[str, Any]:
        """Answers as calls: the client refuses one under a schema whose tokens run out, even if it was closed."""
        return {"method": "function_calling"}

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def returns_usage_metadata(self) -> bool:
        return True

    @property
    def supported_usage_metadata_details(self) -> dict[str, list[str]]:
        return {"invoke": ["cache_read_input"], "stream": ["cache_read_input"]}

    @property
    def supports_model_override(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "other"

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        llm = self.chat_model_class(**self.chat_model_params)
        return [_answer(llm, "Name three rivers of France.", stream=stream) for _ in range(2)][-1]

    @pytest.mark.xfail(
        raises=openai.LengthFinishReasonError,
        strict=False,
        reason="the client refuses an answer whose tokens run out; 135 million parameters do not always end before",
    )
    def test_json_mode(self, model: BaseChatModel) -> None:
        super().test_json_mode(model)

    @pytest.mark.xfail(
        raises=AssertionError, reason="135 million parameters do not suffice to see that a question wants a tool"
    )
    @pytest.mark.parametrize("model", [{}, {"output_version": "v1"}], indirect=True)
    def test_agent_loop(self, model: BaseChatModel) -> None:
        super().test_agent_loop(model)


def _answer(llm: ChatOpenAI, question: str, *, stream: bool) -> AIMessage:
    if not stream:
        return llm.invoke(question)
    first, *others = llm.stream(question)
    whole = first + others
    assert isinstance(whole, AIMessage)
    return whole


async def test_without_a_port(pool: xlc.EnginePool) -> None:
    options: dict[str, Any] = {"base_url": "http://localhost/v1", "api_key": "none", "temperature": 0, "seed": 1}
    async with xlc_server.async_http_client(pool) as async_client:
        with xlc_server.http_client(pool) as client:
            llm = ChatOpenAI(model="chat", http_client=client, http_async_client=async_client, max_tokens=6, **options)
            answer = llm.invoke("Say hello.")
            assert answer.text
            assert "".join(chunk.text for chunk in llm.stream("Say hello.")) == answer.text
            assert "".join([chunk.text async for chunk in llm.astream("Say hello.")]) == answer.text


class TestEmbeddings(EmbeddingsIntegrationTests):
    @pytest.fixture(autouse=True)
    def _place(self, url: str) -> None:
        self._url = url

    @property
    def embeddings_class(self) -> type[OpenAIEmbeddings]:
        return OpenAIEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"model": "embed", "base_url": self._url, "api_key": "none", "check_embedding_ctx_length": False}
