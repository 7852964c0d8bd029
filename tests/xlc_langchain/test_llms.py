"""XLlama, the text model: over a script, and over a real model."""

from __future__ import annotations

import asyncio
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumpd, load

from helpers.waiting import WorkCounter, await_until
from xlc_core import Choice, TokenLogprob
from xlc_core.events import Finished, TextDelta
from xlc_core.results import Completion, CompletionChoice, Usage
from xlc_core.testing import ScriptedEngine
from xlc_langchain import XLlama
from xlc_langchain.errors import ContextOverflowError, RequestTimeoutError

if TYPE_CHECKING:
    from xlc_core import Engine

COUNT = "1, 2, 3, 4, 5,"


@pytest.fixture
def llm(engine: Engine) -> XLlama:
    return XLlama(engine=engine, temperature=0, max_tokens=8)


class Watch(BaseCallbackHandler):
    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.ended: list[Any] = []

    def on_llm_new_token(self, token: str, **_: Any) -> None:
        self.tokens.append(token)

    def on_llm_end(self, response: Any, **_: Any) -> None:
        self.ended.append(response)


async def test_four_ways_give_same_text(llm: XLlama) -> None:
    text = llm.invoke(COUNT)
    assert text.startswith(" 6, 7")
    assert await llm.ainvoke(COUNT) == text
    assert "".join(llm.stream(COUNT)) == text
    assert "".join([piece async for piece in llm.astream(COUNT)]) == text


async def test_prompts_of_batch_are_generated_together(llm: XLlama) -> None:
    prompts = [COUNT, "a, b, c, d,", COUNT]
    watch = Watch()
    first = llm.batch(prompts, {"callbacks": [watch]})
    assert first[0] == first[2] != first[1]
    assert len(watch.ended) == 3
    assert await llm.abatch(prompts) == first
    both = llm.generate(prompts)
    assert [generation[0].text for generation in both.generations] == first
    assert both.llm_output is not None
    assert both.llm_output["token_usage"]["output_tokens"] == 24
    assert both.generations[0][0].generation_info["finish_reason"] == "length"


async def test_same_text_is_streamed_to_callbacks(llm: XLlama) -> None:
    watch, awatch = Watch(), Watch()
    text = "".join(llm.stream(COUNT, {"callbacks": [watch]}))
    assert "".join([piece async for piece in llm.astream(COUNT, {"callbacks": [awatch]})]) == text
    assert "".join(watch.tokens) == "".join(awatch.tokens) == text
    info = watch.ended[0].generations[0][0].generation_info
    assert info["usage_metadata"]["output_tokens"] == 8


def test_constraint_and_stop_hold_here_too(llm: XLlama) -> None:
    assert llm.invoke("Is water wet? Answer:", constraint=Choice(" yes", " no")) in (" yes", " no")
    assert llm.invoke(COUNT, stop=["7"]) == " 6, "
    schema = {
        "type": "object",
        "properties": {"a": {"enum": [1, 2]}},
        "required": ["a"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    assert llm.invoke("An object:", response_format=wanted, max_tokens=30).replace(" ", "") in ('{"a":1}', '{"a":2}')


async def test_one_bad_prompt_ends_others(llm: XLlama, engine: Engine) -> None:
    prompts = ["Once upon a time", "word " * 4000]
    work = WorkCounter(engine)
    with pytest.raises(ContextOverflowError, match="tokens and the context holds"):
        llm.generate(prompts, max_tokens=1500)
    with pytest.raises(ContextOverflowError, match="tokens and the context holds"):
        await llm.agenerate(prompts, max_tokens=1500)
    assert work.generation_tokens() < 1500


async def test_cancelled_call_frees_its_slots(llm: XLlama, engine: Engine) -> None:
    work = WorkCounter(engine)
    task = asyncio.create_task(llm.agenerate([COUNT, COUNT], max_tokens=1500, ignore_eos=True))
    assert await await_until(lambda: engine.metrics().requests_running == 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.generation_tokens() < 1500


def test_timeout_is_langchain_error(llm: XLlama) -> None:
    with pytest.raises(RequestTimeoutError):
        llm.invoke(COUNT, max_tokens=1500, ignore_eos=True, timeout=0.05)


def test_counts_come_from_model(llm: XLlama, engine: Engine) -> None:
    assert llm.get_num_tokens(COUNT) == len(engine.tokenize(COUNT))


@pytest.mark.filterwarnings("ignore:.*is in beta")
def test_configuration_travels() -> None:
    llm = XLlama(engine=ScriptedEngine(["ok"]), temperature=0.5, model_kwargs={"mirostat": 2})
    loaded = load(dumpd(llm), allowed_objects=[XLlama], valid_namespaces=["xlc_langchain"])
    for twin in (loaded, pickle.loads(pickle.dumps(llm))):
        assert twin.asdict() == llm.asdict()
    assert llm.asdict()["_type"] == "xllama"


def test_cache_tells_parameters_apart() -> None:
    cache = InMemoryCache()
    engine = ScriptedEngine(["one", "two", "three"])
    calm, wild = (XLlama(engine=engine, temperature=value, cache=cache) for value in (0, 1))
    assert [calm.invoke("Hi"), calm.invoke("Hi"), wild.invoke("Hi")] == ["one", "one", "two"]


async def test_logprobs_are_in_generation_info() -> None:
    token = TokenLogprob("Yes", 7, -0.1, (TokenLogprob("No", 8, -2.3, bytes=b"No"),), bytes=b"Yes")
    done = Completion((CompletionChoice(text="Yes", logprobs=(token,)),), Usage(1, 1), "scripted")
    llm = XLlama(engine=ScriptedEngine([[TextDelta("Yes", logprobs=(token,)), Finished(done)]]), logprobs=1)
    other = {"token": "No", "logprob": -2.3, "bytes": list(b"No")}
    expected = {
        "content": [{"token": "Yes", "logprob": -0.1, "bytes": list(b"Yes"), "top_logprobs": [other]}],
    }
    assert llm.generate(["Q"]).generations[0][0].generation_info["logprobs"] == expected
    watch = Watch()
    assert "".join(llm.stream("Q", {"callbacks": [watch]})) == "Yes"
    assert watch.ended[0].generations[0][0].generation_info["logprobs"] == expected


def test_traces_name_model() -> None:
    params = XLlama(model="some.gguf", temperature=0.1)._get_ls_params()
    assert (params["ls_provider"], params["ls_model_type"], params["ls_model_name"]) == ("xllama", "llm", "some.gguf")
