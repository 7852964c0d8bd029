"""ChatXLlama in LangChain's own machinery, with a real model: chains, batches, fallbacks, events, traces, caches."""

from __future__ import annotations

import asyncio
import pickle
import threading
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psutil
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler, get_usage_metadata_callback
from langchain_core.globals import set_llm_cache
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, FewShotChatMessagePromptTemplate
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.tracers import BaseTracer
from pydantic import BaseModel
from typing_extensions import TypedDict

from helpers.waiting import WorkCounter, await_until
from xlc_langchain import ChatXLlama
from xlc_langchain.errors import ContextOverflowError, ModelNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from langchain_core.runnables import RunnableConfig
    from langchain_core.tracers.schemas import Run

    from xlc_core import Engine

PROMPT = ChatPromptTemplate.from_messages([("system", "Answer briefly."), ("user", "Name a colour of {thing}.")])


class Records(BaseTracer):
    """Keeps what LangSmith would be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[Run] = []

    def _persist_run(self, run: Run) -> None:
        self.runs.append(run)


async def test_chain_streams_as_it_goes(llm: ChatXLlama) -> None:
    chain = PROMPT | llm | StrOutputParser()
    pieces = list(chain.stream({"thing": "the sky"}))
    assert len(pieces) > 3
    assert "".join(pieces) == chain.invoke({"thing": "the sky"})
    assert [piece async for piece in chain.astream({"thing": "the sky"})] == pieces


async def test_chain_first_piece_comes_before_its_last(llm: ChatXLlama, engine: Engine) -> None:
    chain = PROMPT | llm.bind(max_tokens=200, ignore_eos=True) | StrOutputParser()
    stream = chain.stream({"thing": "the sky"})
    assert next(stream) is not None
    assert engine.metrics().requests_running == 1
    stream.close()
    async for _ in chain.astream({"thing": "the sky"}):
        assert engine.metrics().requests_running >= 1
        break


class Colour(TypedDict):
    """A colour."""

    name: str
    letters: int


async def test_structured_chain_streams_growing_object(llm: ChatXLlama) -> None:
    chain = PROMPT | llm.with_structured_output(Colour, max_tokens=40)
    states = list(chain.stream({"thing": "grass"}))
    assert len(states) > 2
    names = [state.get("name", "") for state in states]
    assert all(later.startswith(earlier) for earlier, later in pairwise(names))
    assert set(states[-1]) == {"name", "letters"}


class UnderWay(BaseCallbackHandler):
    """Counts the calls that have begun and not ended."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now = self.most = 0

    def on_chat_model_start(self, *_: Any, **__: Any) -> None:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)

    def on_llm_end(self, *_: Any, **__: Any) -> None:
        with self.lock:
            self.now -= 1


async def test_hundred_inputs_run_four_at_a_time(llm: ChatXLlama) -> None:
    """None is lost or mixed up, and never more than four are under way."""
    questions = [f"Repeat the number {n}." for n in range(100)]
    under_way = UnderWay()
    config: RunnableConfig = {"max_concurrency": 4, "callbacks": [under_way]}
    short = llm.bind(max_tokens=2, seed=None)
    answers = short.batch(questions, config)
    again = await short.abatch(questions[:20], config)
    assert (len(answers), len(again)) == (100, 20)
    assert under_way.most == 4
    # Batched with others, a rounding may tip a token; most answers are those of a request alone.
    alone = [short.invoke(questions[n]).text for n in range(0, 100, 20)]
    assert sum(answers[n * 20].text == text for n, text in enumerate(alone)) >= 4
    assert sum(one.text == other.text for one, other in zip(answers, again, strict=False)) >= 18


def test_batch_fills_all_slots(smollm2_path: Path) -> None:
    """LangChain's own pool has as many threads as the machine has processors, and four more."""
    slots = {"n_parallel": 16, "warmup": False}
    under_way = UnderWay()
    with ChatXLlama(model=smollm2_path, n_ctx=256, max_tokens=3, engine_options=slots) as llm:
        answers = (PROMPT | llm).batch([{"thing": f"thing {n}"} for n in range(24)], {"callbacks": [under_way]})
    assert len(answers) == 24
    assert 16 <= under_way.most <= 18


def test_one_failure_of_batch_harms_no_other(llm: ChatXLlama) -> None:
    answers = llm.batch(["Hi", "word " * 4000, "Ho"], return_exceptions=True)
    assert isinstance(answers[1], ContextOverflowError)
    assert answers[0].text
    assert answers[2].text


async def test_fallbacks_take_over(llm: ChatXLlama) -> None:
    missing = ChatXLlama(model="missing.gguf")
    with pytest.raises(ModelNotFoundError):
        missing.invoke("Hi")
    backed = missing.with_fallbacks([llm])
    assert backed.invoke("Hi").text == llm.invoke("Hi").text
    assert (await backed.ainvoke("Hi")).text
    assert "".join(chunk.text for chunk in backed.stream("Hi")) == llm.invoke("Hi").text


async def test_fallbacks_may_tell_errors_apart(llm: ChatXLlama) -> None:
    backed = llm.with_fallbacks([RunnableLambda(lambda _: "too long")], exceptions_to_handle=(ContextOverflowError,))
    assert await backed.ainvoke("word " * 4000) == "too long"


async def test_events_report_steps_of_chain(llm: ChatXLlama) -> None:
    chain = (PROMPT | llm | StrOutputParser()).with_config(run_name="colours")
    events = [event async for event in chain.astream_events({"thing": "the sky"}, version="v2")]
    names = [event["event"] for event in events]
    assert names[0] == "on_chain_start"
    assert names.count("on_chat_model_start") == names.count("on_chat_model_end") == 1
    text = "".join(e["data"]["chunk"].text for e in events if e["event"] == "on_chat_model_stream")
    assert text == chain.invoke({"thing": "the sky"})


def test_traces_hold_whole_call(llm: ChatXLlama) -> None:
    records = Records()
    answer = (PROMPT | llm.bind(stop=["zzz"])).invoke({"thing": "the sky"}, {"callbacks": [records]})
    (root,) = records.runs
    run = next(child for child in root.child_runs if child.run_type == "llm")
    assert isinstance(run.id, UUID)
    metadata = run.extra["metadata"]
    assert (metadata["ls_provider"], metadata["ls_model_type"]) == ("xllama", "chat")
    assert metadata["ls_model_name"] == "smollm2-135m-instruct"
    assert run.extra["invocation_params"]["temperature"] == 0
    assert run.extra["invocation_params"]["stop"] == ["zzz"]
    message = run.outputs["generations"][0][0]["message"]["kwargs"]
    assert message["usage_metadata"]["total_tokens"] == answer.usage_metadata["total_tokens"]
    assert run.error is None


async def test_traces_hold_errors_too(llm: ChatXLlama) -> None:
    records = Records()
    with pytest.raises(ContextOverflowError):
        llm.invoke("word " * 4000, {"callbacks": [records]})
    assert "the context holds" in records.runs[0].error


async def test_every_token_reaches_callbacks(llm: ChatXLlama) -> None:
    class Tokens(BaseCallbackHandler):
        seen = ""

        def on_llm_new_token(self, token: str, **_: Any) -> None:
            self.seen += token

    class AsyncTokens(AsyncCallbackHandler):
        seen = ""

        async def on_llm_new_token(self, token: str, **_: Any) -> None:
            self.seen += token

    tokens, async_tokens = Tokens(), AsyncTokens()
    text = llm.invoke("Hi").text
    list(llm.stream("Hi", {"callbacks": [tokens]}))
    streaming = llm.model_copy(update={"streaming": True})
    streaming.model_fields_set.add("streaming")
    await streaming.ainvoke("Hi", {"callbacks": [async_tokens]})
    assert tokens.seen == async_tokens.seen == text


def test_usage_is_counted_over_calls(llm: ChatXLlama) -> None:
    with get_usage_metadata_callback() as usage:
        answers = [llm.invoke("Hi"), llm.invoke("Ho")]
        list(llm.stream("Hi"))
    (used,) = usage.usage_metadata.values()
    assert used["output_tokens"] == sum(a.usage_metadata["output_tokens"] for a in [*answers, answers[0]])
    assert list(usage.usage_metadata) == ["smollm2-135m-instruct"]


@pytest.fixture
def cache() -> Iterator[InMemoryCache]:
    cache = InMemoryCache()
    set_llm_cache(cache)
    yield cache
    set_llm_cache(None)


async def test_cached_answer_runs_no_request(engine: Engine, cache: InMemoryCache) -> None:
    llm = ChatXLlama(engine=engine, temperature=0, max_tokens=6)
    first = llm.invoke("Name a tree.")
    before = engine.metrics().generation_tokens
    assert llm.invoke("Name a tree.").text == (await llm.ainvoke("Name a tree.")).text == first.text
    assert engine.metrics().generation_tokens == before
    llm.bind(max_tokens=7).invoke("Name a tree.")
    ChatXLlama(engine=engine, temperature=0.1, max_tokens=6).invoke("Name a tree.")
    assert len(cache._cache) == 3


def test_two_models_share_no_cached_answer(cache: InMemoryCache) -> None:
    one = ChatXLlama(model="smollm2-135m-instruct")
    other = ChatXLlama(model="smollm2-135m-instruct-q4_1")
    assert one._get_llm_string() != other._get_llm_string()
    assert one._get_llm_string() != ChatXLlama(model="smollm2-135m-instruct", thinking=False)._get_llm_string()


def test_whole_chain_is_pickled_and_finds_its_model(engine: Engine) -> None:
    chain = PROMPT | ChatXLlama(engine=engine, temperature=0, seed=1, max_tokens=6)
    with pickle.loads(pickle.dumps(chain)).steps[-1] as twin:
        assert twin.engine is None
        assert twin.invoke("Hi").text == chain.steps[-1].invoke("Hi").text


async def test_parallel_branches_are_decoded_together(llm: ChatXLlama) -> None:
    both = RunnableParallel(sky=PROMPT | llm, grass=PROMPT | llm)
    answers = await both.ainvoke({"thing": "it"})
    assert answers["sky"].text
    assert answers["grass"].text


def test_few_shot_examples_reach_model(llm: ChatXLlama) -> None:
    shots = FewShotChatMessagePromptTemplate(
        example_prompt=ChatPromptTemplate.from_messages([("user", "{q}"), ("ai", "{a}")]),
        examples=[{"q": "2 🦜 9", "a": "11"}, {"q": "2 🦜 3", "a": "5"}],
    )
    prompt = ChatPromptTemplate.from_messages([shots, ("user", "{q}")])
    messages = prompt.invoke({"q": "4 🦜 4"}).to_messages()
    assert len(messages) == 5
    answer = llm.bind(max_tokens=4).invoke(messages)
    assert answer.usage_metadata["input_tokens"] == llm.get_num_tokens_from_messages(messages)


async def test_cancelled_chain_frees_its_slot(llm: ChatXLlama, engine: Engine) -> None:
    chain = PROMPT | llm.bind(max_tokens=1500, ignore_eos=True) | StrOutputParser()
    work = WorkCounter(engine)
    task = asyncio.create_task(chain.ainvoke({"thing": "the sky"}))
    assert await await_until(lambda: engine.metrics().requests_running)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.generation_tokens() < 1500


class Person(BaseModel):
    """Somebody."""

    name: str


async def test_structured_output_falls_back_and_retries_as_any_runnable(llm: ChatXLlama) -> None:
    structured = llm.with_structured_output(Person, max_tokens=30).with_retry(stop_after_attempt=2)
    assert isinstance(await structured.ainvoke("Ann is here."), Person)


async def test_many_calls_wait_their_turn_without_threads(llm: ChatXLlama) -> None:
    """Sixty at once on four slots: they end in the order in which they came, but for those in the slots together."""
    one_token = llm.bind(max_tokens=1, seed=None)
    await asyncio.gather(*(one_token.ainvoke("Number 0.") for _ in range(60)))  # starts threads that stay
    before = psutil.Process().num_threads()
    most = before
    ended: list[int] = []

    async def call(number: int) -> None:
        nonlocal most
        await one_token.ainvoke(f"Number {number}.")
        ended.append(number)
        most = max(most, psutil.Process().num_threads())

    await asyncio.gather(*(call(number) for number in range(60)))
    assert len(ended) == 60
    assert max(abs(place - number) for place, number in enumerate(ended)) < 8
    assert most == before
