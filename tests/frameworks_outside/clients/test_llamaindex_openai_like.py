"""Our conformance suites for LlamaIndex on its classes for OpenAI-like servers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from llama_index.core.llms import LLM
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike

import xlc_core as xlc
from helpers.llamaindex_conformance import LLMConformance
from helpers.llamaindex_conformance_retrieval import EmbeddingConformance
from helpers.waiting import is_idle, wait_until

CLIENTS = ("llama-index-llms-openai-like", "llama-index-embeddings-openai-like")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def clients() -> AsyncIterator[dict[str, Any]]:
    """Clients that are closed, which those of LlamaIndex's own are not."""
    async with httpx.AsyncClient(timeout=None) as async_client:
        with httpx.Client(timeout=None) as client:
            yield {"http_client": client, "async_http_client": async_client}


class TestOpenAILike(LLMConformance):
    takes_options_of_a_call = False  # the object's max_tokens replaces that of a call

    @pytest.fixture(autouse=True)
    def _engine(self, pool: xlc.EnginePool) -> Any:
        with pool.acquire("chat") as lease:
            self._chat_engine = lease.engine
            yield

    @pytest.fixture
    def llm(self, url: str, clients: dict[str, Any]) -> OpenAILike:
        # The same request has the same answer, whatever was cached before it.
        further = {"extra_body": {"seed": 1}, "stream_options": {"include_usage": True}}
        options: dict[str, Any] = {"is_chat_model": True, "is_function_calling_model": True, "context_window": 2048}
        options |= {"should_use_structured_outputs": True, "max_retries": 0, "additional_kwargs": further, **clients}
        return OpenAILike(api_base=url, api_key="none", model="chat", max_tokens=24, temperature=0, **options)

    def usage_of(self, response: Any) -> dict[str, int]:
        usage: dict[str, int] = response.raw.usage.model_dump()
        return usage

    def generated_tokens(self, llm: LLM) -> int:
        assert wait_until(lambda: is_idle(self._chat_engine))
        return self._chat_engine.metrics().generation_tokens

    async def test_concurrent_calls_need_no_thread_each(self, llm: LLM) -> None:
        pytest.skip("it counts the threads of this process, in which the server runs too")

    @pytest.mark.xfail(raises=AssertionError, reason="chat_with_tools adds the question to the caller's list")
    async def test_history_is_not_changed(self, llm: LLM) -> None:
        await super().test_history_is_not_changed(llm)

    @pytest.mark.xfail(
        raises=AssertionError, strict=False, reason="LlamaIndex reads some beginnings of a JSON text as an empty object"
    )
    async def test_streamed_objects_grow(self, llm: LLM) -> None:
        await super().test_streamed_objects_grow(llm)

    @pytest.mark.xfail(raises=AssertionError, reason="structured_predict does not report its start and end")
    async def test_every_structured_path_has_the_system_prompt(self, llm_with_system_prompt: LLM) -> None:
        await super().test_every_structured_path_has_the_system_prompt(llm_with_system_prompt)


class TestOpenAILikeEmbedding(EmbeddingConformance):
    @pytest.fixture
    def embed_model(self, url: str, clients: dict[str, Any]) -> OpenAILikeEmbedding:
        return OpenAILikeEmbedding(model_name="embed", api_base=url, api_key="none", max_retries=0, **clients)
