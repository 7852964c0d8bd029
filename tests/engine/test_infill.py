"""Infill: the prompt is the model's own layout, the answer an ordinary completion."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

import xlc_core as xlc
from helpers.tiny_models import FIM_FILE_TOKENS, FIM_TOKENS, write_byte_llama

OPTIONS: dict[str, Any] = {"n_ctx": 256, "n_parallel": 2, "warmup": False, "n_threads": 1}
GREEDY: dict[str, Any] = {"temperature": 0, "max_tokens": 6, "seed": 1}


@pytest.fixture(scope="module")
def coder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[xlc.Engine]:
    """Knows the three tokens of a gap, but none for files."""
    path = write_byte_llama(tmp_path_factory.mktemp("models") / "coder.gguf", control=FIM_TOKENS)
    with xlc.Engine(path, **OPTIONS) as engine:
        yield engine


@pytest.fixture(scope="module")
def repo_coder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[xlc.Engine]:
    """Knows files too, under other numbers."""
    control = ("<other>", *FIM_FILE_TOKENS, *FIM_TOKENS)
    path = write_byte_llama(tmp_path_factory.mktemp("models") / "repo.gguf", control=control)
    with xlc.Engine(path, **OPTIONS) as engine:
        yield engine


def prompt_of(engine: xlc.Engine, *args: Any, **kwargs: Any) -> list[Any]:
    """The prompt with control tokens by name and texts between them joined."""
    names = {name: engine.tokenize(name, parse_special=True) for name in ("<s>", *FIM_TOKENS, *FIM_FILE_TOKENS)}
    control = {tokens[0]: name for name, tokens in names.items() if len(tokens) == 1}
    parts: list[Any] = []
    text: list[int] = []
    for token in [*engine.render_infill(*args, **kwargs), -1]:
        if token in control or token == -1:
            parts += [engine.detokenize(text)] if text else []
            parts += [control[token]] if token in control else []
            text = []
        else:
            text.append(token)
    return parts


def test_gap_is_marked_with_the_models_own_tokens(coder: xlc.Engine) -> None:
    assert prompt_of(coder, "def f(", "return 1") == [
        "<s>", "<fim_prefix>", "def f(", "<fim_suffix>", "return 1", "<fim_middle>",
    ]  # fmt: skip
    tokens = [coder.tokenize(name, parse_special=True)[0] for name in FIM_TOKENS]
    assert coder.render_infill("a", "b") == [
        1, tokens[0], *coder.tokenize("a"), tokens[1], *coder.tokenize("b"), tokens[2],
    ]  # fmt: skip


def test_control_tokens_in_code_are_text(coder: xlc.Engine) -> None:
    assert "<fim_middle>" in prompt_of(coder, "x = '<fim_middle>'", "")[2]


def test_other_files_come_first(coder: xlc.Engine, repo_coder: xlc.Engine) -> None:
    extra = {"a.py": "first", "b.py": "second"}
    snippet = "\n\n--- snippet ---\n\n"
    gap = ["<fim_prefix>", "p", "<fim_suffix>", "s", "<fim_middle>"]
    before, *rest = prompt_of(coder, "p", "s", extra=extra)
    assert before.replace(" ", "") == f"{snippet}first{snippet}second".replace(" ", "")
    assert rest == ["<s>", *gap]
    sep = "<|file_sep|>"
    found = prompt_of(repo_coder, "p", "s", extra=list(extra.items()))
    assert [part.replace(" ", "") for part in found] == [
        "<reponame>", "myproject\n", sep, "a.py\nfirst", sep, "b.py\nsecond", sep, "filename\n", "<s>", *gap,
    ]  # fmt: skip


def test_two_models_in_one_process_keep_their_own_tokens(coder: xlc.Engine, repo_coder: xlc.Engine) -> None:
    both = [engine.render_infill("p", "s", extra={"a": "t"}) for engine in (coder, repo_coder, coder)]
    assert both[0] == both[2] != both[1]


def test_parts_far_from_gap_are_left_out(coder: xlc.Engine) -> None:
    tokens = coder.render_infill("a" * 400 + "b" * 200, "c" * 90 + "d" * 300, extra={"x": "y" * 50}, max_tokens=40)
    text = coder.detokenize(tokens)
    assert len(tokens) == coder.info.n_ctx - 1 - 40
    assert "y" not in text
    assert text.count("d") == 0
    assert text.count("a") == 0
    assert text.endswith("c" * text.count("c"))
    assert text.count("b") == pytest.approx(3 * text.count("c"), abs=4)
    longer = coder.detokenize(coder.render_infill("a" * 600, "c", max_tokens=40))
    assert longer.count("a") > text.count("b")  # what the suffix leaves, the prefix takes


def test_answer_is_a_completion(coder: xlc.Engine) -> None:
    prompt = coder.render_infill("def f(", "return 1")
    answer = coder.infill("def f(", "return 1", **GREEDY)
    assert answer.usage.prompt_tokens == len(prompt)
    assert answer.text
    with coder.stream_infill("def f(", "return 1", **GREEDY) as stream:
        streamed = "".join(event.text for event in stream if isinstance(event, xlc.TextDelta))
    assert streamed == answer.text
    assert coder.infill("def f(", "return 2", **GREEDY).text != answer.text
    assert coder.infill("def f(", "x", constraint=xlc.Choice("a: int", "b: str")).text in ("a: int", "b: str")


def test_async_is_the_same(coder: xlc.Engine) -> None:
    async def run() -> tuple[str, str]:
        answer = await coder.ainfill("x = ", ";", **GREEDY)
        stream = coder.astream_infill("x = ", ";", **GREEDY)
        texts = [event.text async for event in stream if isinstance(event, xlc.TextDelta)]
        return answer.text, "".join(texts)

    whole, streamed = asyncio.run(run())
    assert whole == streamed == coder.infill("x = ", ";", **GREEDY).text


def test_model_without_infill_tokens_says_so(engine: xlc.Engine) -> None:
    with pytest.raises(xlc.UnsupportedFeatureError, match="no token for prefix, suffix, middle"):
        engine.infill("a", "b")


def test_bad_files_are_refused(coder: xlc.Engine) -> None:
    for extra in ("ab", [("a", 1)], ["name"], [("a", "b", "c")]):
        with pytest.raises(xlc.InvalidRequestError, match=r"^extra "):
            coder.infill("a", "b", extra=extra)  # type: ignore[arg-type]
    with pytest.raises(xlc.InvalidRequestError, match="the prefix holds the lone surrogate"):
        coder.infill("\ud800", "b")


def test_encoder_says_so(embedder: xlc.Engine) -> None:
    with pytest.raises(xlc.UnsupportedFeatureError, match="encoder"):
        embedder.infill("a", "b")
