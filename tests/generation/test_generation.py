"""Answers, counts and errors of chats and completions, on a real model."""

from __future__ import annotations

import subprocess
import sys
import uuid
from typing import Any

import numpy as np
import pytest

import xlc_core as xlc
from helpers.waiting import WorkCounter, is_idle, wait_until

SEEDED: dict[str, Any] = {"seed": 7, "temperature": 1.0, "max_tokens": 8}
LLAMAS = "🦙🦙🦙🦙🦙🦙🦙"


def test_chat_ends_by_itself(engine: xlc.Engine) -> None:
    answer = engine.chat("Hello!", temperature=0, max_tokens=300)
    assert answer.text
    assert answer.finish_reason == "stop"
    assert answer.stop_sequence == ""
    assert 0 < answer.usage.completion_tokens < 300
    assert "<|im_end|>" not in answer.text
    assert answer.model == "smollm2-135m-instruct"
    assert answer.message == xlc.Message(role="assistant", content=answer.text)
    assert answer.parsed is None


def test_max_tokens_cuts_the_answer(engine: xlc.Engine) -> None:
    answer = engine.complete("Once upon a time", max_tokens=5, ignore_eos=True)
    assert answer.finish_reason == "length"
    assert answer.usage.completion_tokens == 5
    assert answer.usage.prompt_tokens == 4
    assert answer.usage.total_tokens == 9
    assert answer.timings.generation_tokens == 5
    assert answer.timings.generation_tokens_per_second > 0


def test_no_tokens_at_all_can_be_asked_for(engine: xlc.Engine) -> None:
    answer = engine.complete("Once upon a time", max_tokens=0)
    assert (answer.text, answer.finish_reason, answer.usage.completion_tokens) == ("", "length", 0)
    assert answer.usage.prompt_tokens == 4


def test_stop_sequence_ends_the_answer_and_is_left_out(engine: xlc.Engine) -> None:
    answer = engine.complete("1, 2, 3, 4,", temperature=0, seed=1, max_tokens=20, stop=["7", "never"])
    assert answer.finish_reason == "stop"
    assert answer.stop_sequence == "7"
    assert "6" in answer.text
    assert "7" not in answer.text


def test_repeated_prompt_comes_from_the_cache(engine: xlc.Engine) -> None:
    prompt = f"Of caches and prompts {uuid.uuid4()}: " + "one two three four five six seven eight " * 6
    first = engine.complete(prompt, max_tokens=1).usage
    second = engine.complete(prompt, max_tokens=1).usage
    assert first.cached_tokens < first.prompt_tokens // 2
    assert second.prompt_tokens == first.prompt_tokens
    assert second.cached_tokens == second.prompt_tokens - 1
    assert engine.complete(prompt, max_tokens=1, cache_prompt=False).usage.cached_tokens == 0


def test_several_answers_to_one_prompt_differ(engine: xlc.Engine) -> None:
    answer = engine.chat("Say a random word.", n=3, temperature=1.5, max_tokens=8, seed=5)
    texts = [choice.text for choice in answer.choices]
    assert len(set(texts)) == 3
    assert answer.text == texts[0]
    n_generated = sum(choice.timings.generation_tokens for choice in answer.choices)
    assert answer.usage.completion_tokens == n_generated
    assert answer.usage.prompt_tokens == engine.count_tokens([{"role": "user", "content": "Say a random word."}])


def test_more_answers_than_slots_are_refused(engine: xlc.Engine) -> None:
    with pytest.raises(xlc.InvalidRequestError, match=r"n=5 answers.*n_parallel=4"):
        engine.chat("Hi", n=5)


def test_empty_prompt_is_refused_and_an_empty_message_is_not(engine: xlc.Engine) -> None:
    with pytest.raises(xlc.InvalidRequestError, match="no tokens"):
        engine.complete("")
    with pytest.raises(xlc.InvalidRequestError, match="at least one message"):
        engine.chat([])
    assert engine.chat("", max_tokens=2).usage.completion_tokens == 2


@pytest.mark.parametrize("call", ["chat", "complete", "stream_chat"])
def test_prompt_that_does_not_fit_is_refused_with_its_numbers(engine: xlc.Engine, call: str) -> None:
    before = engine.metrics()
    with pytest.raises(xlc.ContextOverflowError, match="tokens and the context holds 2048") as caught:
        getattr(engine, call)("word " * 20_000)
    assert caught.value.n_ctx == 2048
    assert caught.value.n_prompt_tokens >= 20_000
    assert str(caught.value.n_prompt_tokens) in str(caught.value)
    assert engine.metrics().prompt_tokens == before.prompt_tokens


def test_answer_ends_where_the_context_ends() -> None:
    with xlc.Engine("smollm2-135m-instruct", n_ctx=256, n_parallel=1) as small:
        answer = small.complete("word" + " word" * 239, ignore_eos=True)
    assert answer.usage.prompt_tokens == 240
    assert answer.finish_reason == "length"
    assert 250 <= answer.usage.total_tokens <= 256


def test_half_surrogate_pair_is_refused_with_message_index(engine: xlc.Engine) -> None:
    with pytest.raises(
        xlc.InvalidRequestError, match=r"message 1: a text in its content holds the lone surrogate.*position 2"
    ):
        engine.chat([{"role": "system", "content": "fine"}, {"role": "user", "content": "ab\ud800"}])
    with pytest.raises(xlc.InvalidRequestError, match="the prompt holds the lone surrogate"):
        engine.complete("\udfff")


@pytest.mark.parametrize("text", ["nul \0 inside", "emoji 🦙 \U0010ffff", "\u200b\u202e", "<|im_end|>", "{{ jinja }}"])
def test_odd_texts_are_answered(engine: xlc.Engine, text: str) -> None:
    assert engine.chat(text, max_tokens=2, ignore_eos=True).usage.completion_tokens == 2
    assert text in engine.render_chat(text)


def test_stream_never_yields_half_a_character(engine: xlc.Engine) -> None:
    options: dict[str, Any] = {"temperature": 0, "seed": 1, "max_tokens": 9, "ignore_eos": True}
    pieces = [event.text for event in engine.stream_complete(LLAMAS, **options) if isinstance(event, xlc.TextDelta)]
    assert "🦙" in pieces
    assert not any("\ufffd" in piece for piece in pieces)


def test_character_that_was_cut_off_is_left_out_of_the_whole_text_too(engine: xlc.Engine) -> None:
    # One llama is three tokens: eight of them end inside the third.
    answer = engine.complete(LLAMAS, temperature=0, seed=1, max_tokens=8, ignore_eos=True)
    assert answer.text == "🦙🦙"


def test_chat_that_ends_with_the_assistant_is_continued(engine: xlc.Engine) -> None:
    messages = [{"role": "user", "content": "Count."}, {"role": "assistant", "content": "1, 2, 3, 4, 5,"}]
    answer = engine.chat(messages, temperature=0, seed=1, max_tokens=8)
    assert answer.text.startswith(" 6, 7")
    assert engine.render_chat(messages).endswith("1, 2, 3, 4, 5,")


def test_two_assistant_messages_at_the_end_are_continued_as_one(engine: xlc.Engine) -> None:
    user = {"role": "user", "content": "a"}
    with pytest.warns(UserWarning, match="joined so that turns alternate"):
        joined = engine.chat([user, *[{"role": "assistant", "content": "b"}] * 2], max_tokens=1)
    one = engine.chat([user, {"role": "assistant", "content": "b\n\nb"}], max_tokens=1)
    assert joined.usage.prompt_tokens == one.usage.prompt_tokens


def test_unknown_role_is_refused_with_message_index(engine: xlc.Engine) -> None:
    with pytest.raises(xlc.InvalidRequestError, match=r"message 1: role.*'wizard'"):
        engine.chat([{"role": "user", "content": "x"}, {"role": "wizard", "content": "y"}])


def test_developer_is_a_system_to_the_template(engine: xlc.Engine) -> None:
    as_developer = engine.render_chat([{"role": "developer", "content": "Be short."}])
    assert as_developer == engine.render_chat([{"role": "system", "content": "Be short."}])


def test_seed_repeats_text_after_other_requests(engine: xlc.Engine) -> None:
    assert wait_until(lambda: is_idle(engine))
    first = engine.chat("Invent a name.", **SEEDED)
    for prompt in ("Something else.", "Invent a name, please.", "Invent a name."):
        engine.chat(prompt, max_tokens=3)
    again = engine.chat("Invent a name.", **SEEDED)
    assert again.text == first.text
    assert again.usage.cached_tokens == 0


def test_seed_gives_the_same_text_in_another_process(engine: xlc.Engine) -> None:
    code = (
        "import xlc_core as xlc\n"
        "engine = xlc.Engine('smollm2-135m-instruct', n_ctx=2048, n_parallel=4)\n"
        f"print(ascii(engine.chat('Invent a name.', **{SEEDED}).text))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == ascii(engine.chat("Invent a name.", **SEEDED).text)


def test_other_seeds_give_other_texts(engine: xlc.Engine) -> None:
    texts = {engine.chat("Invent a name.", **{**SEEDED, "seed": seed}).text for seed in range(3)}
    assert len(texts) > 1


def test_timeout_says_how_long_and_frees_the_slot(engine: xlc.Engine) -> None:
    work = WorkCounter(engine)
    with pytest.raises(xlc.RequestTimeoutError, match=r"0\.2 s") as caught:
        engine.chat("Count.", timeout=0.2, max_tokens=1500, ignore_eos=True)
    assert isinstance(caught.value, TimeoutError)
    assert work.generation_tokens() < 1500


def test_timeout_that_is_not_reached_changes_nothing(engine: xlc.Engine) -> None:
    assert engine.chat("Hi", max_tokens=2, timeout=60).usage.completion_tokens == 2


def test_counted_and_rendered_tokens_are_those_of_the_prompt(engine: xlc.Engine) -> None:
    messages = [{"role": "system", "content": "Be kind 🦙."}, {"role": "user", "content": "Hi!"}]
    n_tokens = engine.chat(messages, max_tokens=1).usage.prompt_tokens
    assert engine.count_tokens(messages) == n_tokens
    prompt = engine.render_chat(messages)
    assert "Be kind 🦙." in prompt
    assert prompt.endswith("<|im_start|>assistant\n")
    assert engine.complete(prompt, max_tokens=1).usage.prompt_tokens == n_tokens
    assert engine.count_tokens("Hi!") == len(engine.tokenize("Hi!"))


@pytest.mark.parametrize("text", ["Hello, world!", "🦙 naïve 日本語", "  two  spaces\n\ttab", "", "nul \0"])
def test_tokens_turn_back_into_the_text(engine: xlc.Engine, text: str) -> None:
    assert engine.detokenize(engine.tokenize(text)) == text


def test_control_tokens_are_read_only_when_asked_for(engine: xlc.Engine) -> None:
    (token,) = engine.tokenize("<|im_start|>", parse_special=True)
    assert len(engine.tokenize("<|im_start|>")) > 1
    assert engine.detokenize([token]) == ""
    assert engine.detokenize([token], special=True) == "<|im_start|>"


def test_half_a_character_is_replaced_and_an_unknown_token_refused(engine: xlc.Engine) -> None:
    assert engine.detokenize(engine.tokenize("🦙")[:1]) == "\ufffd"
    for token in (-1, engine.info.n_vocab):
        with pytest.raises(xlc.InvalidRequestError, match=f"no token {token},"):
            engine.detokenize([token])


def test_counters_grow(engine: xlc.Engine) -> None:
    before = engine.metrics()
    usage = engine.complete("Counters grow while they are read", max_tokens=4, ignore_eos=True).usage
    after = engine.metrics()
    assert after.generation_tokens - before.generation_tokens == usage.completion_tokens == 4
    computed = after.prompt_tokens - before.prompt_tokens + after.cached_tokens - before.cached_tokens
    assert computed == usage.prompt_tokens
    assert after.generation_seconds > before.generation_seconds


def test_engine_describes_its_model(engine: xlc.Engine, embedder: xlc.Engine, reranker: xlc.Engine) -> None:
    info = engine.info
    assert (info.name, info.architecture, info.n_ctx, info.n_ctx_train) == (
        "smollm2-135m-instruct",
        "llama",
        2048,
        8192,
    )
    assert (info.n_embd, info.n_vocab, info.pooling) == (576, 49152, "none")
    assert (info.can_generate, info.can_rerank, info.has_chat_template) == (True, False, True)
    assert 134e6 < info.n_params < 135e6
    assert "Q8_0" in info.description
    assert repr(engine) == f"<Engine 'smollm2-135m-instruct' ({info.description}), 4 slots of 2048 tokens>"
    assert repr(embedder) == f"<Engine 'all-minilm-l6-v2' ({embedder.info.description})>"
    assert (embedder.info.architecture, embedder.info.pooling, embedder.info.can_generate) == ("bert", "mean", False)
    assert (reranker.info.can_rerank, reranker.info.pooling) == (True, "rank")


@pytest.mark.parametrize("call", ["chat", "complete", "stream_chat", "render_chat"])
def test_encoder_says_that_it_cannot_generate(embedder: xlc.Engine, call: str) -> None:
    with pytest.raises(xlc.UnsupportedFeatureError, match="'all-minilm-l6-v2' is an encoder"):
        getattr(embedder, call)("Hi")


def test_images_are_refused_with_message_index(engine: xlc.Engine) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:,"}}
    with pytest.raises(xlc.UnsupportedFeatureError, match="message 0 holds images"):
        engine.chat([{"role": "user", "content": [image]}])


def test_chat_model_embeds_too(engine: xlc.Engine) -> None:
    vectors = engine.embed(["a llama", "an alpaca", "the stock market"])
    assert vectors.dtype == np.float32
    assert vectors.shape == (3, 576)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(3), abs=1e-4)
