"""Reports by users of llama-cpp-python, by their numbers there: each works here."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from compat.test_llama_opening import TINY
from compat.test_llama_text import CHAT, PROMPT, TOOL
from xlc_core.compat import llama_cpp
from xlc_core.compat.llama_cpp import Llama, LlamaGrammar
from xlc_core.errors import EngineClosedError


def test_197_735_streams_have_logprobs_and_a_reason(tiny: Llama) -> None:
    chunks = [c["choices"][0] for c in tiny(PROMPT, max_tokens=3, temperature=0, logprobs=1, stream=True)]
    assert sum(len(chunk["logprobs"]["tokens"]) for chunk in chunks if chunk["logprobs"]) == 3
    assert chunks[-1]["finish_reason"] == "length"


def test_471_1241_1367_threads_chat_and_embed_together(tiny: Llama) -> None:
    failures: list[Exception] = []

    def work(number: int) -> None:
        try:
            tiny.create_chat_completion(CHAT, max_tokens=4)
            assert len(tiny.embed(f"text {number}")[0]) == 48
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_729_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    with Llama(TINY, n_ctx=128, n_threads=1, verbose=False) as llama:
        llama(PROMPT, max_tokens=1)
    assert capfd.readouterr() == ("", "")


def test_1338_1883_tool_may_be_the_model_s_choice_in_a_stream(tiny: Llama) -> None:
    for choice in ("auto", "none", None):
        chunks = list(tiny.create_chat_completion(CHAT, max_tokens=4, tools=[TOOL], tool_choice=choice, stream=True))
        assert chunks[-1]["choices"][0]["finish_reason"] is not None


def test_1442_close_frees_the_model() -> None:
    llama = Llama(TINY, n_ctx=128, n_threads=1, verbose=False)
    llama.close()
    llama.close()
    assert llama.closed
    with pytest.raises(EngineClosedError):
        llama(PROMPT)


def test_1528_logprobs_come_with_the_end_too(tiny: Llama) -> None:
    grammar = LlamaGrammar.from_string('root ::= "ab"')
    choice = tiny(PROMPT, max_tokens=9, logprobs=1, grammar=grammar)["choices"][0]
    assert choice["finish_reason"] == "stop"
    assert "".join(choice["logprobs"]["tokens"]) == "ab"


def test_1762_2051_many_long_texts_are_embedded() -> None:
    kind: dict[str, Any] = {"pooling_type": llama_cpp.LLAMA_POOLING_TYPE_NONE, "embedding": True}
    with Llama(TINY, n_ctx=0, n_batch=513, n_threads=1, verbose=False, **kind) as llama:
        texts = ["Hello world " * 60, "World"]
        assert [len(rows) for rows in llama.embed(texts)] == [len(llama.tokenize(text.encode())) for text in texts]


def test_6423_logprobs_need_no_number(tiny: Llama) -> None:
    choice = tiny.create_chat_completion(CHAT, max_tokens=2, logprobs=True)["choices"][0]
    assert [entry["top_logprobs"] for entry in choice["logprobs"]["content"]] == [[], []]
