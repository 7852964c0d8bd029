"""Python functions that take part in generating see each token, and what they decide happens."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from xlc_core.compat.llama_cpp import (
    Llama,
    LlamaGrammar,
    LogitsProcessorList,
    MinTokensLogitsProcessor,
    StoppingCriteriaList,
)
from xlc_core.compat.llama_cpp.sampling import choose_token
from xlc_core.errors import UnsupportedFeatureError

PROMPT = "The old king"


def test_processor_sees_tokens_and_probabilities(tiny: Llama) -> None:
    seen: list[tuple[list[int], Any]] = []

    def look(input_ids: Any, scores: Any) -> Any:
        seen.append((input_ids.tolist(), scores.copy()))
        return scores

    prompt = tiny.tokenize(PROMPT.encode())
    processed = tiny(PROMPT, max_tokens=3, temperature=0, logits_processor=LogitsProcessorList([look]))
    assert [len(tokens) for tokens, _ in seen] == [len(prompt), len(prompt) + 1, len(prompt) + 2]
    assert seen[0][0] == prompt
    for _, scores in seen:
        assert scores.shape == (tiny.n_vocab(),)
        assert np.exp(scores.astype(float)).sum() == pytest.approx(1, abs=0.01)
    plain = tiny(PROMPT, max_tokens=1, temperature=0, logprobs=1)["choices"][0]["logprobs"]
    assert seen[0][1].max() == pytest.approx(plain["token_logprobs"][0], abs=0.1)
    assert processed["usage"]["completion_tokens"] == 3


def test_processor_decides(tiny: Llama) -> None:
    wanted = tiny.tokenize(b"zebra crossing", add_bos=False)
    n_prompt = len(tiny.tokenize(PROMPT.encode()))

    def write(input_ids: Any, scores: Any) -> Any:
        only = np.full_like(scores, -np.inf)
        only[wanted[len(input_ids) - n_prompt]] = 0
        return only

    answer = tiny(PROMPT, max_tokens=len(wanted), temperature=1, logits_processor=LogitsProcessorList([write]))
    assert answer["choices"][0]["text"] == " zebra crossing"


def test_tokens_that_no_text_has_are_kept(tiny: Llama) -> None:
    """The tokenizer reads ``el`` as one token, so these two can only be forced."""
    by_bytes = {tiny.detokenize([token]): token for token in reversed(range(tiny.n_vocab()))}
    pieces = [by_bytes[b"e"], by_bytes[b"l"]]
    assert by_bytes[b"el"] in tiny.tokenize(b"el")
    n_prompt = len(tiny.tokenize(b"x"))
    seen: list[list[int]] = []

    def write(input_ids: Any, scores: Any) -> Any:
        seen.append(input_ids.tolist()[n_prompt:])
        assert np.isfinite(scores).all()
        if len(seen) <= len(pieces):
            scores[:] = -np.inf
            scores[pieces[len(seen) - 1]] = 0
        return scores

    tiny("x", max_tokens=3, temperature=0, logits_processor=LogitsProcessorList([write]))
    assert seen == [[], pieces[:1], pieces]


def test_tokens_that_cannot_be_forced_are_refused(tiny: Llama) -> None:
    """Two tokens of this vocabulary have the byte of ``l``, and llguidance reads it as the first."""
    second = {tiny.detokenize([token]): token for token in range(tiny.n_vocab())}
    turn = iter([second[b"e"], second[b"l"]])

    def write(input_ids: Any, scores: Any) -> Any:
        scores[next(turn)] = 100
        return scores

    with pytest.raises(UnsupportedFeatureError, match="same bytes"):
        tiny("x", max_tokens=3, temperature=0, logits_processor=LogitsProcessorList([write]))


def test_end_token_ends(tiny: Llama) -> None:
    def end(input_ids: Any, scores: Any) -> Any:
        scores[tiny.token_eos()] = 100
        return scores

    choice = tiny(PROMPT, max_tokens=5, logits_processor=LogitsProcessorList([end]))["choices"][0]
    assert (choice["text"], choice["finish_reason"]) == ("", "stop")
    both = LogitsProcessorList([end, MinTokensLogitsProcessor(2, tiny.token_eos())])
    assert tiny(PROMPT, max_tokens=5, logits_processor=both)["usage"]["completion_tokens"] == 2


def test_processor_in_a_chat_streams(tiny: Llama) -> None:
    wanted = tiny.tokenize(b"a b c", add_bos=False)
    turn = iter([*wanted, tiny.token_eos()])

    def write(input_ids: Any, scores: Any) -> Any:
        scores[:] = -np.inf
        scores[next(turn)] = 0
        return scores

    chunks = tiny.create_chat_completion(
        [{"role": "user", "content": "Spell."}], stream=True, logits_processor=LogitsProcessorList([write])
    )
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == " a b c"


@pytest.mark.parametrize(
    "further",
    [{"mirostat_mode": 2}, {"repeat_penalty": 1.1}, {"typical_p": 0.5}, {"suffix": "x"}],
    ids=lambda value: next(iter(value)),
)
def test_processor_refuses_what_it_cannot_do(tiny: Llama, further: Any) -> None:
    with pytest.raises(NotImplementedError, match=next(iter(further))):
        tiny(PROMPT, logits_processor=LogitsProcessorList([]), **further)
    with pytest.raises(NotImplementedError, match="grammar"):
        tiny(PROMPT, logits_processor=LogitsProcessorList([]), grammar=LlamaGrammar.from_string('root ::= "a"'))


def test_criterion_ends_after_a_token(tiny: Llama) -> None:
    n_prompt = len(tiny.tokenize(PROMPT.encode()))
    stopped = StoppingCriteriaList([lambda input_ids, _: len(input_ids) >= n_prompt + 2])
    response = tiny(PROMPT, max_tokens=20, temperature=0, stopping_criteria=stopped)
    assert response["usage"]["completion_tokens"] == 2
    assert response["choices"][0]["finish_reason"] == "stop"
    chunks = list(tiny(PROMPT, max_tokens=20, temperature=0, stopping_criteria=stopped, stream=True))
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == response["choices"][0]["text"]


def test_criterion_and_stop_sequence(tiny: Llama) -> None:
    grammar = LlamaGrammar.from_string('root ::= "ab,cd,ef"')
    never = StoppingCriteriaList([lambda *_: False])
    for stream in (False, True):
        response = tiny("x", max_tokens=20, grammar=grammar, stop=[",c"], stopping_criteria=never, stream=stream)
        chunks = response if stream else [response]
        assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == "ab"


def test_generate_yields_tokens(tiny: Llama) -> None:
    prompt = tiny.tokenize(PROMPT.encode())
    tokens = []
    for token in tiny.generate(prompt, temp=0):
        tokens.append(token)
        if len(tokens) == 3:
            break
    assert len(tiny.detokenize(tokens)) > 0
    limited = tiny.generate(
        prompt, temp=0, stopping_criteria=StoppingCriteriaList([lambda ids, _: len(ids) > len(prompt) + 1])
    )
    assert len(list(limited)) == 2


OPTIONS = {
    "temperature": 1.0,
    "top_k": 0,
    "top_p": 1.0,
    "min_p": 0.0,
    "repeat_last_n": 64,
    "frequency_penalty": 0.0,
    "presence_penalty": 0.0,
}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {0, 1, 2, 3}),
        ({"temperature": 0}, {0}),
        ({"top_k": 2}, {0, 1}),
        ({"top_p": 0.6}, {0, 1}),
        ({"top_p": 0.0}, {0}),
        ({"min_p": 0.3}, {0, 1}),
        ({"presence_penalty": 100.0}, {1, 3}),
        ({"presence_penalty": 100.0, "repeat_last_n": 1}, {0, 1, 3}),
        ({"presence_penalty": 100.0, "repeat_last_n": 0}, {0, 1, 2, 3}),
        ({"logit_bias": {0: -100.0}}, {1, 2, 3}),
    ],
    ids=str,
)
def test_choice_among_scores(options: dict[str, Any], expected: set[int]) -> None:
    scores = np.log(np.array([0.5, 0.3, 0.1, 0.1], dtype=np.single))
    dice = np.random.default_rng(1)
    found = {choose_token(scores, [0, 2], {**OPTIONS, **options}, dice) for _ in range(200)}
    assert found == expected
