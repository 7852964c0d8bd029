"""Names that users of other libraries type out of habit."""

from __future__ import annotations

from typing import Any

import pytest

import xlc_core as xlc
from xlc_core.options import (
    ChatOptions,
    CompletionOptions,
    EmbedOptions,
    EngineOptions,
    RerankOptions,
    SamplingOptions,
    foreign_names,
)
from xlc_core.options.base import NativeOptions, Options
from xlc_core.options.hints import hint_for, hint_for_field, known_to

TABLES = (foreign_names.REQUEST_NAMES, foreign_names.ENGINE_NAMES, foreign_names.RETRIEVAL_NAMES)


@pytest.mark.parametrize(
    ("options", "name", "value", "hint"),
    [
        # OpenAI
        (ChatOptions, "response_format", {"type": "json_object"}, "use constraint=JsonObject() "),
        (ChatOptions, "response_format", {"type": "json_schema", "json_schema": {}}, "use constraint=JsonSchema(…) "),
        (ChatOptions, "response_format", SamplingOptions, "use constraint=SamplingOptions "),
        (ChatOptions, "stream", True, "use Engine.stream_chat (or stream_complete;"),
        (ChatOptions, "max_completion_tokens", 5, "use max_tokens=5"),
        (ChatOptions, "top_logprobs", 3, "use logprobs=3"),
        (ChatOptions, "functions", [], "use tools"),
        (ChatOptions, "function_call", {"name": "find"}, "use tool_choice='find'"),
        (CompletionOptions, "echo", True, "the answer never repeats the prompt"),
        (CompletionOptions, "suffix", "x", "use Engine.infill "),
        # Ollama
        (ChatOptions, "format", "json", "use constraint=JsonObject() "),
        (ChatOptions, "num_predict", 7, "use max_tokens=7"),
        (ChatOptions, "num_predict", -1, "use max_tokens=None"),
        (ChatOptions, "num_ctx", 4096, "use n_ctx=4096, an option of Engine"),
        (EngineOptions, "num_ctx", 4096, "use n_ctx=4096"),
        (EngineOptions, "num_gpu", 99, "use n_gpu_layers=99"),
        (EngineOptions, "num_gpu", -1, "use n_gpu_layers='all'"),
        (EngineOptions, "num_thread", 2, "use n_threads=2"),
        (EngineOptions, "keep_alive", "5m", "use sleep_after=300 (in seconds)"),
        (EngineOptions, "keep_alive", -1, "use sleep_after=None (in seconds)"),
        # Hugging Face
        (ChatOptions, "max_new_tokens", 9, "use max_tokens=9"),
        (ChatOptions, "do_sample", False, "use temperature=0 "),
        (ChatOptions, "do_sample", True, "use temperature "),
        (ChatOptions, "repetition_penalty", 1.1, "use repeat_penalty=1.1"),
        (ChatOptions, "stop_strings", ["a"], "use stop"),
        (EmbedOptions, "normalize_embeddings", True, "use normalize=True"),
        (RerankOptions, "top_k", 3, "use top_n=3"),
        (EmbedOptions, "input_type", "query", "use prompt_name ('query' or 'document')"),
        (EmbedOptions, "prefix", "query: ", "use prompt='query: '"),
        # llama.cpp and llama-cpp-python
        (ChatOptions, "typ_p", 0.9, "use typical_p=0.9"),
        (EngineOptions, "model_path", "a.gguf", "use model='a.gguf'"),
        (EngineOptions, "embedding", True, "every engine embeds; leave it out"),
        (EngineOptions, "chat_format", "chatml", "use chat_template "),
        (EngineOptions, "logits_all", True, "use logprobs, an option of chat and complete "),
        (EngineOptions, "verbose", False, "messages go to logging.getLogger('xllama')"),
        (EngineOptions, "type_k", 8, "use cache_type_k "),
        # vLLM
        (EngineOptions, "max_model_len", 4096, "use n_ctx=4096"),
        (EngineOptions, "max_num_seqs", 8, "use n_parallel=8"),
        (ChatOptions, "guided_json", {"properties": {}}, "use constraint=JsonSchema(…) "),
        # Ours, in another place
        (EngineOptions, "temperature", 0, "it is an option of chat and complete"),
        (EngineOptions, "seed", 1, "it is an option of chat and complete"),
        (EngineOptions, "max_new_tokens", 5, "use max_tokens=5, an option of chat and complete"),
        (ChatOptions, "n_ctx", 1, "it is an option of Engine"),
        (CompletionOptions, "tools", [], "it is an option of chat"),
        (ChatOptions, "top_n", 1, "it is an option of rerank"),
    ],
)
def test_right_name_is_told(options: type[Options], name: str, value: Any, hint: str) -> None:
    with pytest.raises(xlc.InvalidRequestError) as caught:
        options.checked(**{name: value})
    assert str(caught.value).startswith(f"unknown option {name!r}; {hint}")


@pytest.mark.parametrize("table", TABLES, ids=["request", "engine", "retrieval"])
def test_every_right_hand_name_is_there(table: dict[str, foreign_names.ForeignName]) -> None:
    for name, foreign in table.items():
        ours = foreign.ours
        if ours.startswith("Engine."):
            assert hasattr(xlc.Engine, ours.removeprefix("Engine.")), name
        else:
            assert not ours or known_to(ours) is not None, name
        assert ours or foreign.note, name


@pytest.mark.parametrize(
    ("table", "scope"), list(zip(TABLES, ("request", "engine", "retrieval"), strict=True)), ids=str
)
def test_no_foreign_name_hides_one_of_ours(table: dict[str, foreign_names.ForeignName], scope: str) -> None:
    own = [set(cls.model_fields) for cls in NativeOptions.with_scope if cls.scope == scope]
    shared = set.intersection(*own) if scope == "retrieval" else set.union(*own)
    assert not shared & table.keys()


VALUES = (None, True, False, -1, 0, 3, 0.5, "json", "5m", "x", [1], {"type": "json_object"}, {"name": "f"}, int)


@pytest.mark.parametrize("table", TABLES, ids=["request", "engine", "retrieval"])
def test_every_value_is_translated_or_left_out(table: dict[str, foreign_names.ForeignName]) -> None:
    for name in table:
        for options in (ChatOptions, EngineOptions, EmbedOptions, RerankOptions):
            if name not in options.model_fields:
                hints = {hint_for(name, value, options) for value in VALUES}
                assert all(hints), (name, options)
                assert not any("did you mean" in hint for hint in hints)


@pytest.mark.parametrize("name", ["formatting", "generation_config", "sampler_config", "cats", "numbers", "main"])
def test_unlike_name_gets_no_hint(name: str) -> None:
    for options in (ChatOptions, EngineOptions, EmbedOptions, RerankOptions):
        assert hint_for(name, 1, options) == ""


def test_parts_are_told_of_their_own_names_only() -> None:
    assert hint_for("prefix", 1, xlc.Message) == ""
    assert hint_for("temperature", 1, xlc.Lora) == ""
    assert hint_for("contents", 1, xlc.Message) == "did you mean 'content'?"


def test_negative_number_of_layers_is_refused() -> None:
    for n in (-1, -7):
        with pytest.raises(xlc.InvalidRequestError, match=r"n_gpu_layers: must be 'auto' .* 'all', or a number from 0"):
            EngineOptions.checked(model="m", n_gpu_layers=n)
    with pytest.raises(ValueError, match="n_gpu_layers"):
        xlc.DraftModel("m", n_gpu_layers=-1)


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("num_predict", 64, "use max_tokens=64"),
        ("num_ctx", 4096, "use n_ctx=4096"),
        ("num_gpu", -1, "use engine_options={'n_gpu_layers': 'all'}"),
        ("n_gpu_layers", 12, "use engine_options={'n_gpu_layers': 12}"),
        ("model_path", "a.gguf", "use model='a.gguf'"),
        ("verbose", True, "messages go to logging.getLogger('xllama'); set its level"),
        ("streaming", True, ""),
        ("temprature", 1, "did you mean 'temperature'?"),
        ("cats", 1, ""),
    ],
)
def test_frameworks_model_tells_where_it_goes(name: str, value: Any, hint: str) -> None:
    assert hint_for_field(name, value, {"model", "n_ctx", "engine_options", "temperature", "max_tokens"}) == hint
