"""Numbers that C++ cannot hold and texts that UTF-8 cannot: accepted or refused with an error of ours, everywhere."""

from __future__ import annotations

import inspect
import itertools
import json
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xlc_core as xlc
from xlc_core import _native
from xlc_core.engine import opening
from xlc_core.models import catalog
from xlc_core.options import foreign_names
from xlc_core.options.base import Options

MODELS = Path(__file__).parents[1] / "model_files"
NUMBERS: tuple[Any, ...] = (
    math.inf, -math.inf, math.nan, 1e300, -1e300, 2**31, -(2**31) - 1, 2**40, 2**70, -(2**70), 10**5000, -1, True,
)  # fmt: skip
TEXTS: tuple[Any, ...] = ("\ud800", "a\udfff", "a\0b", Path("\ud800"))
REQUIRED = {
    "path": "a", "model": "m", "role": "user", "text": "a", "name": "a", "quantize": "Q8_0", "description": "a",
    "license": "a", "kind": "chat", "source": "hf:a/b",
}  # fmt: skip


@pytest.fixture(scope="module")
def tiny() -> Iterator[xlc.Engine]:
    with xlc.Engine(MODELS / "llama.gguf", n_ctx=256, n_parallel=2, warmup=False, n_threads=1) as engine:
        yield engine


def option_classes(cls: type[Options] = Options) -> Iterator[type[Options]]:
    for child in cls.__subclasses__():
        if child.__module__.startswith("xlc_core"):
            if not child.__name__.startswith("_") and child.__name__ != "NativeOptions":
                yield child
            yield from option_classes(child)


assert catalog.CatalogEntry in set(option_classes())
CLASSES = sorted(set(option_classes()), key=lambda cls: cls.__name__)


def shapes(value: Any) -> Iterator[Any]:
    yield from (value, (value,), [value, value], {"a": value}, {value: 1.0})
    if isinstance(value, (int, float)):
        yield str(value) if abs(value) < 1e100 else "1e999"  # pydantic reads numbers in texts


def accepted(cls: type[Options]) -> Iterator[tuple[str, Any, Options]]:
    """Try every value in every field. Only InvalidRequestError may come of it."""
    for name, value in itertools.product(cls.model_fields, (*NUMBERS, *TEXTS)):
        for shape in shapes(value):
            required = {key: REQUIRED[key] for key, field in cls.model_fields.items() if field.is_required()}
            try:
                options = cls.checked(**{**required, name: shape})
            except xlc.InvalidRequestError:
                continue
            else:
                yield name, shape, options


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_field_takes_or_refuses_every_value(cls: type[Options]) -> None:
    for _ in accepted(cls):
        pass


def only_ours(call: Callable[[], Any], shown: object) -> None:
    try:
        call()
    except xlc.XllamaError:
        return
    except Exception as error:
        raise AssertionError(f"{shown!r:.200}: {type(error).__name__}: {error}") from error


def test_requests_take_what_their_options_take(tiny: xlc.Engine) -> None:
    for name, value, _ in accepted(xlc.ChatOptions):
        options = {"max_tokens": 1, "timeout": 30, name: value}
        only_ours(lambda options=options: tiny.chat("a", **options), (name, value))
    for name, value, _ in accepted(xlc.CompletionOptions):
        options = {"max_tokens": 1, "timeout": 30, name: value}
        only_ours(lambda options=options: tiny.complete("a", **options), (name, value))


def test_retrieval_takes_what_its_options_take(embedder: xlc.Engine, reranker: xlc.Engine) -> None:
    for name, value, _ in accepted(xlc.EmbedStreamOptions):
        only_ours(lambda o={name: value}: list(embedder.embed_stream(["a"], **o)), (name, value))
    for name, value, _ in accepted(xlc.TokenEmbedOptions):
        only_ours(lambda o={name: value}: embedder.embed_tokens(["a"], **o), (name, value))
    for name, value, _ in accepted(xlc.RerankOptions):
        only_ours(lambda o={name: value}: reranker.rerank("a", ["b"], **o), (name, value))


def test_native_parameters_hold_what_engine_options_take() -> None:
    file = _native.read_model_file(str(MODELS / "llama.gguf"))
    for name, value, options in accepted(xlc.EngineOptions):
        assert isinstance(options, xlc.EngineOptions)
        if name == "n_ctx":
            continue  # True and the like warn of more than the model was trained with
        only_ours(lambda o=options: opening.native_params(o, "m", file), (name, value))


@pytest.mark.parametrize(
    "options",
    [
        {"n_batch": 2**31 - 1, "n_ubatch": 2**31 - 1}, {"n_batch_retrieval": 2**31 - 1}, {"main_gpu": 2**31 - 1},
        {"n_gpu_layers": 2**31 - 1}, {"cache_ram_mib": 2**31 - 1}, {"thinking_budget": 2**31 - 1},
        {"tensor_split": [-1.0, 3e38]}, {"tensor_split": [1.0] * 1000}, {"sleep_after": 1e9},
        {"control_vector_layers": (2**31 - 1, 2**31 - 1)}, {"n_parallel": 256}, {"n_threads": 512},
    ],
    ids=str,
)  # fmt: skip
def test_engine_opens_with_the_largest_numbers_or_refuses_them(options: dict[str, Any]) -> None:
    wanted: Any = {"n_ctx": 64, "n_parallel": 1, "warmup": False, "n_threads": 1, **options}
    only_ours(lambda: xlc.Engine(MODELS / "llama.gguf", **wanted).complete("a", max_tokens=1), options)
    only_ours(lambda: xlc.Engine(MODELS / "bert-embedder.gguf", **wanted).embed(["a"]), options)


@pytest.mark.parametrize(("n_batch", "n_parallel"), [(1, 1), (1, 3), (8, 16)])
def test_steps_may_be_smaller_than_the_number_of_requests(n_batch: int, n_parallel: int) -> None:
    options: Any = {"n_batch": n_batch, "n_ubatch": 1, "n_parallel": n_parallel, "speculation": xlc.Ngram()}
    with xlc.Engine(MODELS / "llama.gguf", n_ctx=512, n_threads=1, **options) as engine:
        prompts = [f"the {i}" for i in range(2 * n_parallel)]
        with ThreadPoolExecutor(len(prompts)) as threads:
            answers = list(threads.map(lambda prompt: engine.complete(prompt, max_tokens=9, ignore_eos=True), prompts))
        assert [answer.usage.completion_tokens for answer in answers] == [9] * len(prompts)


# The public parameters that are not options: by method, calls with a text and calls with a number.
Call = Callable[[xlc.Engine, Any], Any]
WITH_TEXT: dict[str, tuple[Call, ...]] = {
    "accepts": (lambda e, v: e.accepts(xlc.Regex("a"), v), lambda e, v: e.accepts(xlc.Regex(str(v)), "a")),
    "chat": (
        lambda e, v: e.chat(v, max_tokens=1),
        lambda e, v: e.chat([{"role": v, "content": "a"}], max_tokens=1),
        lambda e, v: e.chat([{"role": "user", "content": v}], max_tokens=1),
        lambda e, v: e.chat([{"role": "user", "content": [{"type": "text", "text": v}]}], max_tokens=1),
        lambda e, v: e.chat([{"role": "tool", "content": "a", "tool_call_id": v, "name": v}], max_tokens=1),
        lambda e, v: e.chat(
            [{"role": "assistant", "tool_calls": [{"id": v, "function": {"name": v, "arguments": {v: v}}}]}],
            max_tokens=1,
        ),
        lambda e, v: e.chat("a", tools=[{"name": v, "description": v, "parameters": {v: v}}], max_tokens=1),
        lambda e, v: e.chat("a", constraint=xlc.Choice("a", str(v)), max_tokens=1),
        lambda e, v: e.chat("a", constraint=xlc.Gbnf(str(v)), max_tokens=1),
        lambda e, v: e.chat("a", constraint=xlc.Lark(str(v)), max_tokens=1),
        lambda e, v: e.chat("a", constraint={"const": v}, max_tokens=1),
    ),
    "complete": (lambda e, v: e.complete(v, max_tokens=1),),
    "count_tokens": (lambda e, v: e.count_tokens(v),),
    "decide": (lambda e, v: e.decide(v, {v: {"type": v, "instructions": v}}),),
    "embed": (lambda e, v: e.embed([v]),),
    "embed_messages": (lambda e, v: e.embed_messages([v]),),
    "embed_stream": (lambda e, v: list(e.embed_stream([v])),),
    "embed_tokens": (lambda e, v: e.embed_tokens([v]),),
    "embedding_room": (lambda e, v: e.embedding_room(v),),
    "estimate": (lambda e, v: e.estimate(v),),
    "explain": (lambda e, v: e.explain(xlc.Regex("a"), v),),
    "infill": (lambda e, v: e.infill(v, v, extra={v: v}), lambda e, v: e.infill("a", "b", extra=[(v, v)])),
    "load_session": (lambda e, v: e.load_session(v),),
    "render_chat": (lambda e, v: e.render_chat(v), lambda e, v: e.render_chat("a", template_kwargs={v: v})),
    "render_infill": (lambda e, v: e.render_infill(v, v),),
    "request_settings": (
        lambda e, v: e.request_settings(stop=[v]),
        lambda e, v: e.request_settings(constraint={"const": v}),
    ),
    "rerank": (lambda e, v: e.rerank(v, ["a"]), lambda e, v: e.rerank("a", [v])),
    "save_session": (lambda e, v: e.save_session(v, prompt="a"), lambda e, v: e.save_session("/dev/null/a", prompt=v)),
    "set_lora_scales": (lambda e, v: e.set_lora_scales({v: 1.0}),),
    "stream_chat": (lambda e, v: e.stream_chat(v, max_tokens=1).result(),),
    "stream_complete": (lambda e, v: e.stream_complete(v, max_tokens=1).result(),),
    "stream_infill": (lambda e, v: e.stream_infill(v, v, max_tokens=1).result(),),
    "tokenize": (lambda e, v: e.tokenize(v),),
}  # fmt: skip
WITH_NUMBER: dict[str, tuple[Call, ...]] = {
    "detokenize": (lambda e, v: e.detokenize([v]),),
    "embed_messages": (
        lambda e, v: e.embed_messages(["a"], timeout=v),
        lambda e, v: e.embed_messages(["a"], dimensions=v),
        lambda e, v: e.embed_messages(["a"], int8_ranges=(v, v)),
    ),
    "render_infill": (lambda e, v: e.render_infill("a", "b", max_tokens=v),),
    "request_settings": (
        lambda e, v: e.request_settings(max_tokens=v, seed=v),
        lambda e, v: e.request_settings(logit_bias={0: v}, temperature=v),
    ),
    "set_lora_scales": (lambda e, v: e.set_lora_scales({"a": v}),),
    "token_bytes": (lambda e, v: e.token_bytes([v]),),
}  # fmt: skip
WITHOUT = {"asleep", "chat_template", "close", "closed", "lora_scales", "memory", "metrics"}


def test_every_public_method_is_listed() -> None:
    names = {name for name, _ in inspect.getmembers(xlc.Engine) if not name.startswith("_")}
    twins = {name for name in names if name.startswith("a") and name[1:] in names}
    assert names - twins == WITH_TEXT.keys() | WITH_NUMBER.keys() | WITHOUT


@pytest.mark.parametrize("name", sorted(WITH_TEXT))
def test_methods_take_or_refuse_every_text(name: str, tiny: xlc.Engine, tmp_path: Path) -> None:
    for call, value in itertools.product(WITH_TEXT[name], ("\ud800", "a\udfff")):
        # A path that the system refuses is an OSError or ValueError of Python's own, as for open().
        try:
            only_ours(lambda call=call, value=value: call(tiny, value), value)
        except AssertionError as error:
            if not (name.endswith("_session") and isinstance(error.__cause__, (OSError, UnicodeError))):
                raise


@pytest.mark.parametrize("name", sorted(WITH_NUMBER))
def test_methods_take_or_refuse_every_number(name: str, tiny: xlc.Engine) -> None:
    for call, value in itertools.product(WITH_NUMBER[name], NUMBERS):
        only_ours(lambda call=call, value=value: call(tiny, value), value)


def test_functions_take_or_refuse_every_value(embedder: xlc.Engine, tiny: xlc.Engine, tmp_path: Path) -> None:
    vectors = np.zeros((1, 8), np.float32)
    for value in NUMBERS:
        only_ours(lambda v=value: xlc.quantize_embeddings(vectors, "int8", ranges=(v, v)), value)
        only_ours(lambda v=value: xlc.quantize_model(MODELS / "llama.gguf", tmp_path / "q.gguf", "Q8_0", n_threads=v,
                                                     overwrite=True), value)  # fmt: skip
        only_ours(lambda v=value: xlc.rerank_documents(embedder, "a", ["b"], top_n=v), value)
    for value in ("\ud800", "a\0b"):
        only_ours(lambda v=value: xlc.quantize_model(v, tmp_path / "q.gguf", "Q8_0"), value)
        only_ours(lambda v=value: xlc.quantize_model(MODELS / "llama.gguf", tmp_path / "q.gguf", v), value)
        only_ours(lambda v=value: xlc.convert_model(v, tmp_path / "q.gguf"), value)
        only_ours(lambda v=value: xlc.rerank_documents(embedder, v, [v], method="late-interaction"), value)
        only_ours(lambda v=value: xlc.rerank_documents(tiny, v, [v], method="generative"), value)
        only_ours(lambda v=value: xlc.Engine(v), value)


def test_native_waits_take_any_time(tiny: xlc.Engine) -> None:
    """An infinite or enormous time must not lie in the past, where each wait would return at once."""
    request = tiny._requests.completion("a", xlc.CompletionOptions(max_tokens=200, ignore_eos=True))
    for timeout in (math.inf, 1e300, 1e12):
        generation = tiny._native.submit(request.native)
        assert generation.wait(timeout)
        generation.cancel()


def test_sleep_after_enormous_time_does_not_sleep() -> None:
    options = xlc.EngineOptions(model=MODELS / "llama.gguf", n_ctx=64, n_parallel=1, warmup=False, n_threads=1)
    params = opening.native_params(options, "m", _native.read_model_file(str(MODELS / "llama.gguf")))
    params.sleep_after = 1e300
    engine = _native.Engine(params, None)
    assert engine.stay_awake()
    assert not engine.asleep
    engine.close()


@pytest.mark.parametrize("name", ["repeat_last_n", "dry_penalty_last_n", "n_keep", "n_discard", "n_cache_reuse"])
def test_numbers_of_tokens_end_at_the_context(tiny: xlc.Engine, name: str) -> None:
    options = xlc.CompletionOptions.checked(**{name: 2**20})
    settings = json.loads(tiny._native.task_settings(tiny._requests.completion("a", options).native))
    assert settings[name] == tiny.info.n_ctx


def test_foreign_names_with_such_values_are_refused() -> None:
    for table in (foreign_names.REQUEST_NAMES, foreign_names.ENGINE_NAMES, foreign_names.RETRIEVAL_NAMES):
        for name, value in itertools.product(table, (*NUMBERS, *TEXTS)):
            for options in (xlc.ChatOptions, xlc.EngineOptions, xlc.EmbedOptions):
                if name not in options.model_fields:
                    with pytest.raises(xlc.InvalidRequestError, match="unknown option"):
                        options.checked(**{name: value})


@pytest.mark.parametrize(
    "messages",
    [
        5, None, b"a", {"role": "user"}, [5], [None], [[]], [{"role": "user", "content": 5}], [{"role": 5}],
        [{"role": "user", "content": [5]}], [{"role": "user", "content": [{"type": 5}]}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": 5}]}],
        [{"role": "assistant", "tool_calls": 5}], [{"role": "assistant", "tool_calls": [5]}],
        [{"role": "assistant", "tool_calls": "a"}], [{"role": "assistant", "tool_calls": [{"function": 5}]}],
        [{"role": "assistant", "reasoning_content": 5, "content": "a"}],
        [{"role": "assistant", "tool_calls": [{"id": 5, "function": {"name": "f", "arguments": 5}}]}],
    ],
    ids=str,
)  # fmt: skip
async def test_messages_of_other_types_are_refused(tiny: xlc.Engine, messages: Any) -> None:
    with pytest.raises(xlc.InvalidRequestError):
        tiny.chat(messages, max_tokens=1)
    with pytest.raises(xlc.InvalidRequestError):
        await tiny.achat(messages, max_tokens=1)
