"""Both frameworks' adapters have the same options, from one definition."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import xlc_langchain
import xlc_llamaindex
from xlc_core import ChatOptions, CompletionOptions, InvalidRequestError
from xlc_core.frameworks import EmbedderAdapter, RerankerAdapter, ScorerAdapter

COMPLETION_FIELDS = {
    "close_constraint", "frequency_penalty", "logprobs", "max_tokens", "min_p", "presence_penalty", "repeat_penalty",
    "seed", "stop", "temperature", "timeout", "top_k", "top_p",
}  # fmt: skip
CHAT_FIELDS = COMPLETION_FIELDS | {"template_kwargs", "thinking", "thinking_budget"}
FURTHER = {xlc_langchain.ChatXLlama: "model_kwargs", xlc_llamaindex.XLlama: "additional_kwargs"}


@pytest.mark.parametrize("adapter", [xlc_langchain.ChatXLlama, xlc_llamaindex.XLlama])
def test_chat_models_have_same_option_fields(adapter: Any) -> None:
    assert set(adapter._option_names()) == CHAT_FIELDS <= ChatOptions.model_fields.keys()


def test_text_models_have_those_that_chats_do_not_need() -> None:
    names = set(xlc_langchain.XLlama._option_names())
    assert names == COMPLETION_FIELDS <= CompletionOptions.model_fields.keys()


@pytest.mark.parametrize(("adapter", "further"), FURTHER.items())
def test_further_options_are_those_of_chat(adapter: Any, further: str) -> None:
    given = adapter(
        model="a.gguf", **{further: {"dry_multiplier": 0.8, "reasoning_format": "none", "top_k": 1}}, top_k=2
    )
    own = given._own_options()
    assert (own["dry_multiplier"], own["reasoning_format"], own["top_k"]) == (0.8, "none", 2)
    with pytest.raises((ValueError, InvalidRequestError), match="did you mean 'dry_multiplier'"):
        adapter(model="a.gguf", **{further: {"dry_multiplyer": 0.8}})


def test_text_models_take_no_options_of_chats() -> None:
    with pytest.raises((ValueError, InvalidRequestError), match="unknown option 'thinking'"):
        xlc_langchain.XLlama(model="a.gguf", model_kwargs={"thinking": True})


@pytest.mark.parametrize(
    ("base", "adapters"),
    [
        (EmbedderAdapter, [xlc_langchain.XLlamaEmbeddings, xlc_llamaindex.XLlamaEmbedding]),
        (ScorerAdapter, [xlc_langchain.XLlamaCrossEncoder]),
        (RerankerAdapter, [xlc_langchain.XLlamaReranker, xlc_llamaindex.XLlamaRerank]),
    ],
)
def test_retrieval_fields_are_inherited(base: Any, adapters: list[Any]) -> None:
    for adapter in adapters:
        assert issubclass(adapter, base)
        again = inspect.get_annotations(adapter).keys() & inspect.get_annotations(base).keys()
        assert again <= {"top_n", "truncate"}, "only LlamaIndex's defaults differ"
