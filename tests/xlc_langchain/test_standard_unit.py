"""LangChain's own unit suites. They build the adapters, and load no model."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from langchain_tests.unit_tests import ChatModelUnitTests, EmbeddingsUnitTests

from xlc_langchain import ChatXLlama, XLlamaEmbeddings


class TestChatXLlama(ChatModelUnitTests):
    @pytest.fixture(autouse=True)
    def _listed_by_core(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """core's ``load`` reads classes of a table of its own only, which the suite goes by."""
        loading = importlib.import_module("langchain_core.load.load")
        path = tuple(ChatXLlama.lc_id())
        monkeypatch.setitem(loading.ALL_SERIALIZABLE_MAPPINGS, path, path)
        monkeypatch.setattr(loading, "_default_class_paths_cache", {})

    @property
    def chat_model_class(self) -> type[ChatXLlama]:
        return ChatXLlama

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "smollm2-135m-instruct"}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return {"XLLAMA_MODEL": "qwen3-0.6b"}, {}, {"model": "qwen3-0.6b"}

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_model_override(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "qwen3-0.6b"


class TestXLlamaEmbeddings(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type[XLlamaEmbeddings]:
        return XLlamaEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"model": "all-minilm-l6-v2"}
