"""LangChain's own integration suites, on real models. Every flag is on that a model here can honour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import AIMessage
from langchain_tests.integration_tests import (
    ChatModelIntegrationTests,
    EmbeddingsIntegrationTests,
    chat_models,
)

from helpers.tiny_media import LOW, RED, write_mmproj
from helpers.tiny_models import write_byte_llama
from xlc_langchain import ChatXLlama, XLlamaEmbeddings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from langchain_core.language_models import BaseChatModel

N_TOKENS = 64
"""Enough for what the suite looks at; answers under a schema close themselves before."""

OTHER_MODEL = "smollm2-135m-instruct-q4_1"
PARAMS = {"model": "smollm2-135m-instruct", "n_ctx": 2048, "temperature": 0, "max_tokens": N_TOKENS}
THINKER = "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B.jinja"
"""A template that opens the thinking itself, so that any model thinks by it."""

MEDIA_TESTS = ("test_image_inputs", "test_image_tool_message", "test_audio_inputs")


@pytest.fixture(scope="module", autouse=True)
def _models_stay_loaded() -> Iterator[None]:
    """Keep the models between tests, each of which builds its own adapter."""
    with ChatXLlama(**PARAMS), ChatXLlama(**{**PARAMS, "model": OTHER_MODEL}):
        yield


# A test gives a message a name, which this model's chat template does not show.
@pytest.mark.filterwarnings("ignore:message 0. names of those who speak are left out:UserWarning")
class TestChatXLlama(ChatModelIntegrationTests):
    @pytest.fixture
    def omni(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ChatXLlama]:
        """A tiny model that reads images and sound, whose flags are on, and local bytes instead of the web's."""
        for flag in ("supports_image_inputs", "supports_audio_inputs", "supports_image_tool_message"):
            monkeypatch.setattr(type(self), flag, True)

        def get(url: str, **_: Any) -> Any:
            class Response:
                content = LOW if url.endswith(".wav") else RED

            return Response

        monkeypatch.setattr(chat_models.httpx, "get", get)
        monkeypatch.setenv("LANGCHAIN_TESTS_USER_AGENT", "xllama")
        options = {"mmproj": str(write_mmproj(tmp_path / "mmproj.gguf", audio=True)), "n_parallel": 1, "warmup": False}
        model = write_byte_llama(tmp_path / "model.gguf")
        with ChatXLlama(model=model, n_ctx=2048, temperature=0, max_tokens=16, engine_options=options) as llm:
            yield llm

    @pytest.fixture
    def model(self, request: pytest.FixtureRequest) -> BaseChatModel:
        """The suite's own fixture, with the tiny model for what it asks of images and sound."""
        if getattr(request.node, "originalname", "") in MEDIA_TESTS:
            omni: BaseChatModel = request.getfixturevalue("omni")
            return omni
        options = getattr(request, "param", None) or {}
        return self.chat_model_class(**{**self.standard_chat_model_params, **self.chat_model_params, **options})

    @property
    def chat_model_class(self) -> type[ChatXLlama]:
        return ChatXLlama

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return PARAMS

    @property
    def standard_chat_model_params(self) -> dict[str, Any]:
        """The suite's own allow 1024 tokens."""
        return {}

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def returns_usage_metadata(self) -> bool:
        return True

    @property
    def supported_usage_metadata_details(self) -> dict[str, list[str]]:
        details = ["cache_read_input", "reasoning_output"]
        return {"invoke": details, "stream": details}

    @property
    def supports_model_override(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return OTHER_MODEL

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        llm = ChatXLlama(**PARAMS)
        return [_answer(llm, "Name three rivers of France.", stream=stream) for _ in range(2)][-1]

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        """Answer by a template of a model that thinks."""
        folder: Path = self._fixtures.getfixturevalue("vendored_llama_cpp") / "models" / "templates"
        template = (folder / THINKER).read_text(encoding="utf-8")
        options = {"chat_template": template, "n_parallel": 1}
        with ChatXLlama(**{**PARAMS, "n_ctx": 1024, "max_tokens": 8}, engine_options=options) as llm:
            return _answer(llm, "Name a river.", stream=stream)

    @pytest.fixture(autouse=True)
    def _ask_for_templates_later(self, request: pytest.FixtureRequest) -> None:
        """Only those tests need them that call ``invoke_with_reasoning_output``."""
        self._fixtures = request

    @pytest.mark.xfail(
        raises=AssertionError, reason="135 million parameters do not suffice to see that a question wants a tool"
    )
    @pytest.mark.parametrize("model", [{}, {"output_version": "v1"}], indirect=True)
    def test_agent_loop(self, model: BaseChatModel) -> None:
        super().test_agent_loop(model)

    def test_anthropic_inputs_with_image(self, omni: BaseChatModel) -> None:
        super().test_anthropic_inputs(omni)


def _answer(llm: ChatXLlama, question: str, *, stream: bool) -> AIMessage:
    if not stream:
        return llm.invoke(question)
    first, *others = llm.stream(question)
    whole = first + others
    assert isinstance(whole, AIMessage)
    return whole


class TestXLlamaEmbeddings(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type[XLlamaEmbeddings]:
        return XLlamaEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"model": "all-minilm-l6-v2"}
