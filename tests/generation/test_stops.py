"""Stop sequences and log-probabilities: one text, whole and streamed, whatever ends the answer."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

import xlc_core as xlc
from helpers.tiny_models import write_byte_llama

TEXTS = {
    "words": "alpha STOP beta STO gamma STOPPED",
    "emoji": "one 🦙🦙 two 🦙🦙🦙 é漢 é🦙",
    "cjk": "漢字と終わり。次🦙。終わ",
}
STOPS = [
    *(
        ("words", ["STOPPED"]),
        ("words", ["STOPPED", "STO"]),
        ("words", ["a g", "ha S"]),
        ("words", ["zzz"]),
        ("words", ["ta"]),
    ),
    *(("emoji", ["🦙🦙🦙"]), ("emoji", ["🦙 é"]), ("emoji", ["o 🦙"]), ("emoji", ["é", "漢"]), ("emoji", ["n"])),
    *(("cjk", ["終わり。"]), ("cjk", ["。次"]), ("cjk", ["🦙。終わり"]), ("cjk", ["わり", "終わ"])),
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[xlc.Engine]:
    """Return an engine whose tokens are mostly bytes, so that every limit falls within some character."""
    model = write_byte_llama(tmp_path_factory.mktemp("stops") / "bytes.gguf")
    with xlc.Engine(model, n_ctx=512, n_parallel=2, n_threads=1, warmup=False) as engine:
        yield engine


def answers(engine: xlc.Engine, text: str, **options: Any) -> tuple[xlc.Completion, str, xlc.Completion, list[Any]]:
    request = {"constraint": xlc.Choice(text), "temperature": 0, "close_constraint": False, **options}
    whole = engine.chat("Hi", **request)
    events = list(engine.stream_chat("Hi", **request))
    deltas = [event for event in events if isinstance(event, xlc.TextDelta)]
    return whole, "".join(event.text for event in deltas), events[-1].completion, deltas


def expected(text: str, stops: list[str]) -> str:
    ends = [text.find(stop) for stop in stops if stop in text]
    return text[: min(ends)] if ends else text


@pytest.mark.parametrize(("name", "stops"), STOPS, ids=str)
def test_every_stop_at_every_limit(tiny: xlc.Engine, name: str, stops: list[str]) -> None:
    text = TEXTS[name]
    n_tokens = len(tiny.tokenize(text))
    full = expected(text, stops)
    for limit in range(1, n_tokens + 2):
        whole, streamed, last, _ = answers(tiny, text, stop=stops, max_tokens=limit)
        assert streamed == last.text == whole.text, (limit, stops)
        assert text.startswith(whole.text)
        assert last.stop_sequence == whole.stop_sequence
        if whole.stop_sequence:
            assert whole.text == full
    whole, streamed, last, _ = answers(tiny, text, stop=stops, max_tokens=n_tokens + 20)
    assert whole.text == streamed == full
    assert bool(whole.stop_sequence) == (full != text)


@pytest.mark.parametrize(
    ("name", "stops"),
    [("words", []), ("words", ["OPPED"]), ("emoji", []), ("emoji", ["🦙🦙🦙"]), ("emoji", ["é"]), ("cjk", ["わり。"])],
    ids=str,
)
def test_bytes_of_tokens_join_to_the_text(tiny: xlc.Engine, name: str, stops: list[str]) -> None:
    text = TEXTS[name]
    for limit in range(1, len(tiny.tokenize(text)) + 2):
        whole, _, last, deltas = answers(tiny, text, stop=stops, max_tokens=limit, logprobs=2)
        for completion in (whole, last):
            assert b"".join(token.bytes for token in completion.logprobs) == whole.text.encode(), (limit, stops)
        assert [token.id for token in whole.logprobs] == [token.id for token in last.logprobs]
        assert b"".join(token.bytes for delta in deltas for token in delta.logprobs) == whole.text.encode()
        if not whole.stop_sequence and whole.finish_reason == "length":
            assert len(whole.logprobs) == limit
        assert all(len(token.top) == 2 for token in whole.logprobs)


def test_bytes_of_sampled_tokens(engine: xlc.Engine) -> None:
    """The token that was sampled is often not among the likeliest."""
    for seed in range(5):
        answer = engine.chat("Write five emoji.", seed=seed, temperature=3.0, max_tokens=24, logprobs=1)
        assert b"".join(token.bytes for token in answer.logprobs) == answer.text.encode()
        assert [token.bytes for token in answer.logprobs if token.token and "\ufffd" not in token.token] == [
            token.token.encode() for token in answer.logprobs if token.token and "\ufffd" not in token.token
        ]


def test_stops_of_sampled_text(engine: xlc.Engine) -> None:
    chance = random.Random(0)
    for seed in range(3):
        plain = engine.chat("Tell me a story.", seed=seed, temperature=1.0, max_tokens=24).text
        begin = chance.randrange(max(1, len(plain) - 6))
        stop = plain[begin : begin + chance.randint(1, 5)]
        whole = engine.chat("Tell me a story.", seed=seed, temperature=1.0, max_tokens=24, stop=stop)
        assert whole.text == plain[: plain.index(stop)]
        with engine.stream_chat("Tell me a story.", seed=seed, temperature=1.0, max_tokens=24, stop=stop) as stream:
            assert "".join(stream.text()) == whole.text


def test_no_tokens_have_no_probabilities(engine: xlc.Engine) -> None:
    answer = engine.chat("Hi", max_tokens=0, logprobs=1)
    assert (answer.text, answer.logprobs) == ("", ())
