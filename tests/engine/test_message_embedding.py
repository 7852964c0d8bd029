"""Vectors of messages with images, on a tiny model that takes the last token's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xlc_core as xlc
from helpers.tiny_media import BLUE, LOW, RED, wav, write_mmproj
from helpers.tiny_models import N_EMBD, random_pairs, write_byte_llama, write_lora
from helpers.waiting import await_until, is_idle, wait_until

OPTIONS: dict[str, Any] = {"n_ctx": 1024, "n_parallel": 2, "warmup": False, "n_threads": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_byte_llama(folder / "base.gguf")
    write_mmproj(folder / "mmproj.gguf", audio=True)
    return folder


@pytest.fixture(scope="module")
def embedder(folder: Path) -> Iterator[xlc.Engine]:
    with xlc.Engine(folder / "base.gguf", mmproj="auto", pooling="last", **OPTIONS) as engine:
        yield engine


def chat(*parts: Any) -> list[xlc.Message]:
    texts = [xlc.TextPart(text=part) if isinstance(part, str) else part for part in parts]
    return [xlc.Message(role="user", content=tuple(texts))]


def image(data: bytes) -> xlc.ImagePart:
    return xlc.ImagePart(data=data)


def test_texts_and_images_have_vectors(embedder: xlc.Engine) -> None:
    chats = [chat("the", image(RED)), chat("the", image(BLUE)), "the end", chat(xlc.AudioPart(data=LOW))]
    vectors = embedder.embed_messages(chats)
    assert vectors.shape == (4, N_EMBD)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(4), abs=1e-5)
    for i in range(4):
        assert embedder.embed_messages([chats[i]])[0] == pytest.approx(vectors[i], abs=2e-3)
        for j in range(i):
            assert not np.allclose(vectors[i], vectors[j], atol=1e-2)
    assert embedder.embed_messages([]).shape == (0, N_EMBD)
    longer = embedder.embed_messages(["the end"], normalize=False)[0]
    assert longer / np.linalg.norm(longer) == pytest.approx(vectors[2], abs=1e-3)


def test_text_has_the_vector_that_embed_gives_its_prompt(embedder: xlc.Engine) -> None:
    prompt = embedder.render_chat("the end")
    assert embedder.embed_messages(["the end"]) == pytest.approx(embedder.embed([prompt]), abs=2e-3)


def test_long_prompt_is_read_in_steps(embedder: xlc.Engine, folder: Path) -> None:
    messages = chat("a " * 100, image(RED), "b " * 100)
    with xlc.Engine(folder / "base.gguf", mmproj="auto", pooling="last", n_batch=32, **OPTIONS) as small:
        assert small.embed_messages([messages]) == pytest.approx(embedder.embed_messages([messages]), abs=2e-3)


def test_beside_other_requests(embedder: xlc.Engine) -> None:
    ask: dict[str, Any] = {"temperature": 0, "max_tokens": 24, "ignore_eos": True}
    text = embedder.chat("the end", **ask).text
    expected = embedder.embed_messages([chat(image(RED))])

    async def run() -> None:
        answer = asyncio.ensure_future(embedder.achat("the end", **ask))
        vectors = await embedder.aembed_messages([chat(image(RED))] * 5)
        assert vectors == pytest.approx(np.repeat(expected, 5, axis=0), abs=2e-3)
        assert (await answer).text == text

    asyncio.run(run())


def test_timeouts_and_cancelling_free_the_slots(embedder: xlc.Engine) -> None:
    slow = [chat(*[xlc.AudioPart(data=wav(100 + 10 * n + i)) for i in range(2)]) for n in range(3)]
    with pytest.raises(xlc.RequestTimeoutError):
        embedder.embed_messages(slow, timeout=0.02)

    async def run() -> None:
        task = asyncio.ensure_future(embedder.aembed_messages(slow))
        assert await await_until(lambda: embedder.metrics().requests_running)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert wait_until(lambda: is_idle(embedder))


def test_unembeddable_input_is_refused(embedder: xlc.Engine, engine: xlc.Engine, folder: Path) -> None:
    with pytest.raises(xlc.InvalidRequestError, match=r"message 0, part 1 .*cannot be decoded"):
        embedder.embed_messages(["fine", chat("the", image(RED[:60]))])
    with pytest.raises(xlc.InvalidRequestError, match="takes a list of chats"):
        embedder.embed_messages("text")
    with pytest.raises(xlc.ContextOverflowError):
        embedder.embed_messages(["a" * 3000])
    with pytest.raises(xlc.UnsupportedFeatureError, match=r"holds images.*mmproj="):
        engine.embed_messages([chat(image(RED))])
    with pytest.raises(xlc.UnsupportedFeatureError, match=r"does not embed messages.*last token"):
        engine.embed_messages(["text"])
    with (
        xlc.Engine(folder / "base.gguf", mmproj="auto", pooling="mean", **OPTIONS) as mean,
        pytest.raises(xlc.UnsupportedFeatureError, match="does not embed messages"),
    ):
        mean.embed_messages([chat(image(RED))])


ONLY_FIRST_SYSTEM = (
    "{%- if messages[0].role == 'system' %}{{ messages[0].content }}\n{% endif -%}"
    "{%- for m in messages %}{% if m.role != 'system' %}{{ m.role }}: {{ m.content }}\n{% endif %}{% endfor -%}"
)


def test_late_system_message_moves_to_the_start(folder: Path) -> None:
    user, system = xlc.Message(role="user", content="the"), xlc.Message(role="system", content="end")
    with xlc.Engine(folder / "base.gguf", pooling="last", chat_template=ONLY_FIRST_SYSTEM, **OPTIONS) as engine:
        with pytest.warns(UserWarning, match="system messages were joined at the start"):
            late = engine.embed_messages([[user, system]])
        assert np.array_equal(late, engine.embed_messages([[system, user]]))


def test_engine_lora_scales_apply(folder: Path) -> None:
    write_lora(folder / "style.gguf", random_pairs("blk.0.attn_q.weight", "blk.1.attn_output.weight"))
    with xlc.Engine(folder / "base.gguf", pooling="last", **OPTIONS) as plain:
        expected = plain.embed_messages(["the end"])
    with xlc.Engine(folder / "base.gguf", pooling="last", lora=folder / "style.gguf", **OPTIONS) as engine:
        assert not np.allclose(engine.embed_messages(["the end"]), expected, atol=1e-2)
        engine.set_lora_scales({"style": 0.0})
        assert engine.embed_messages(["the end"]) == pytest.approx(expected, abs=2e-3)


async def test_dimensions_and_dtype(embedder: xlc.Engine) -> None:
    whole = embedder.embed_messages(["the end", "the start"])
    cut = embedder.embed_messages(["the end", "the start"], dimensions=16)
    assert cut.shape == (2, 16)
    assert cut == pytest.approx(whole[:, :16] / np.linalg.norm(whole[:, :16], axis=1, keepdims=True), abs=1e-3)
    bits = await embedder.aembed_messages(["the end", "the start"], dtype="ubinary")
    assert (bits.dtype, bits.shape) == (np.uint8, (2, N_EMBD // 8))
    with pytest.raises(xlc.InvalidRequestError, match=f"more than the {N_EMBD}"):
        embedder.embed_messages(["a"], dimensions=N_EMBD + 1)


def test_encoder_takes_no_projector(folder: Path) -> None:
    with pytest.raises(xlc.UnsupportedFeatureError, match="projectors work for models that generate"):
        xlc.Engine("all-minilm-l6-v2", mmproj=folder / "mmproj.gguf")
