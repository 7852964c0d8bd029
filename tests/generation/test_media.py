"""Images and sound in messages, on tiny models with random weights."""

from __future__ import annotations

import asyncio
import base64
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xlc_core as xlc
from helpers.tiny_media import AUDIO_TOKENS, BLUE, HIGH, IMAGE_TOKENS, LOW, RED, png, wav, write_mmproj
from helpers.tiny_models import random_pairs, write_byte_llama, write_lora
from helpers.waiting import WorkCounter
from xlc_core import _native

OPTIONS: dict[str, Any] = {"n_ctx": 1024, "n_parallel": 2, "warmup": False, "n_threads": 1}
NO_BYTES: Any = dict.fromkeys(range(3, 259), False)  # half a character has no log-probabilities
ASK: dict[str, Any] = {"temperature": 0, "max_tokens": 4, "ignore_eos": True, "logprobs": 3, "logit_bias": NO_BYTES}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    write_byte_llama(folder / "base.gguf")
    write_mmproj(folder / "mmproj-omni.gguf", audio=True)
    (folder / "red.png").write_bytes(RED)
    return folder


@pytest.fixture(scope="module")
def omni(folder: Path) -> Iterator[xlc.Engine]:
    """Reads images and sound."""
    with xlc.Engine(folder / "base.gguf", mmproj=folder / "mmproj-omni.gguf", **OPTIONS) as engine:
        yield engine


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[xlc.Engine]:
    """Reads images only; its projector is found beside the model."""
    folder = tmp_path_factory.mktemp("seeing")
    write_mmproj(folder / "mmproj-f16.gguf")
    with xlc.Engine(write_byte_llama(folder / "base.gguf"), mmproj="auto", **OPTIONS) as engine:
        yield engine


def chat(*parts: Any) -> list[xlc.Message]:
    texts = [xlc.TextPart(text=part) if isinstance(part, str) else part for part in parts]
    return [xlc.Message(role="user", content=tuple(texts))]


def image(data: bytes) -> xlc.ImagePart:
    return xlc.ImagePart(data=data)


def sound(data: bytes) -> xlc.AudioPart:
    return xlc.AudioPart(data=data)


def logprobs(engine: xlc.Engine, messages: Any, **options: Any) -> list[float]:
    answer = engine.chat(messages, **{**ASK, **options})
    first = answer.logprobs[0].top
    return [number for token in sorted(first, key=lambda token: token.id) for number in (token.id, token.logprob)]


def close(first: list[float], second: list[float]) -> bool:
    return len(first) == len(second) and np.allclose(first, second, atol=2e-3)


# Using media


@pytest.mark.parametrize(
    ("one", "other", "n_tokens"),
    [(image(RED), image(BLUE), IMAGE_TOKENS), (sound(LOW), sound(HIGH), AUDIO_TOKENS)],
    ids=["image", "sound"],
)
def test_media_are_read(omni: xlc.Engine, one: Any, other: Any, n_tokens: int) -> None:
    seen = logprobs(omni, chat("the", one, "end"))
    assert close(seen, logprobs(omni, chat("the", one, "end"), cache_prompt=False))
    assert not close(seen, logprobs(omni, chat("the", other, "end")))
    with_it = omni.chat(chat("the", one, "end"), **ASK).usage.prompt_tokens
    without = omni.chat("theend", **ASK).usage.prompt_tokens
    assert with_it == without + n_tokens + 1  # a text that follows begins with a space of its own


def test_engine_reports_readable_media(omni: xlc.Engine, seeing: xlc.Engine, engine: xlc.Engine) -> None:
    assert omni.info.reads >= {"image", "audio"}
    assert seeing.info.reads - {"video"} == {"image"}
    assert engine.info.reads == frozenset()


def test_every_form_is_the_same(omni: xlc.Engine, folder: Path) -> None:
    encoded = base64.b64encode(RED).decode()
    url = f"data:image/png;base64,{encoded}"
    expected = logprobs(omni, chat("the", image(RED)))
    for part in (
        xlc.ImagePart(path=folder / "red.png"),
        xlc.ImagePart(path=str(folder / "red.png")),
        xlc.ImagePart(url=url),
        {"type": "image", "data": RED},
        {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
        {"type": "image_url", "image_url": url},
    ):
        assert close(logprobs(omni, [{"role": "user", "content": ["the", part]}]), expected)
    tone = {"data": base64.encodebytes(LOW).decode(), "format": "wav"}
    assert close(
        logprobs(omni, [{"role": "user", "content": [{"type": "input_audio", "input_audio": tone}]}]),
        logprobs(omni, chat(sound(LOW))),
    )


def test_order_and_number_matter(omni: xlc.Engine) -> None:
    found = [
        logprobs(omni, chat(*parts))
        for parts in ([image(RED), image(BLUE)], [image(BLUE), image(RED)], [image(RED)], [image(RED), "a", sound(LOW)])
    ]
    for i, first in enumerate(found):
        assert not any(close(first, second) for second in found[i + 1 :])


def test_media_in_several_messages_and_roles(omni: xlc.Engine) -> None:
    def answer(first: bytes, second: bytes) -> list[float]:
        return logprobs(
            omni,
            [
                xlc.Message(role="system", content="be brief"),
                *chat(image(first), "what?"),
                xlc.Message(role="assistant", content="red"),
                xlc.Message(role="system", content=(xlc.TextPart(text="mind this"), image(second))),
                xlc.Message(role="tool", content=(image(second),)),
            ],
        )

    assert not close(answer(RED, BLUE), answer(RED, RED))
    assert not close(answer(RED, BLUE), answer(BLUE, BLUE))


def test_image_that_was_read_is_not_read_again(omni: xlc.Engine) -> None:
    def usage(*parts: Any) -> xlc.Usage:
        return omni.chat(chat(*parts), max_tokens=1).usage

    green = png((0, 255, 0))
    usage("zz", image(green), "one")
    again = usage("zz", image(green), "two")
    assert again.cached_tokens > IMAGE_TOKENS
    assert usage("zz", image(png((0, 254, 0))), "two").cached_tokens < again.cached_tokens - IMAGE_TOKENS


def test_tokens_are_counted_before(omni: xlc.Engine) -> None:
    for messages in (chat("the", image(RED), "end"), chat(image(BLUE), sound(HIGH)), chat(image(RED), image(RED))):
        assert omni.count_tokens(messages) == omni.chat(messages, max_tokens=1).usage.prompt_tokens
    assert "the<__media__>end" in omni.render_chat(chat("the", image(RED), "end"))


def test_streams_answers_and_constraints(omni: xlc.Engine) -> None:
    messages = chat("the", image(RED))
    whole = omni.chat(messages, **ASK).text
    with omni.stream_chat(messages, prompt_progress=True, **ASK) as stream:
        assert "".join(event.text for event in stream if isinstance(event, xlc.TextDelta)) == whole
    assert len(omni.chat(messages, n=2, max_tokens=3).choices) == 2
    assert omni.chat(messages, constraint=xlc.Choice("cat", "dog")).text in ("cat", "dog")
    tool = xlc.Tool(name="look", parameters={"type": "object", "properties": {"far": {"type": "boolean"}}})
    (call,) = omni.chat(messages, tools=[tool], tool_choice="look", max_tokens=60).tool_calls
    assert call.name == "look"


def test_async_and_many_at_once(omni: xlc.Engine) -> None:
    cases = [chat("the", image(RED)), chat("the", sound(LOW)), chat("the", image(BLUE)), chat("the end")] * 3
    alone = [omni.chat(messages, **ASK).text for messages in cases[:4]]

    async def run() -> list[str]:
        answers = await asyncio.gather(*[omni.achat(messages, **ASK) for messages in cases])
        return [answer.text for answer in answers]

    assert asyncio.run(run()) == alone * 3


def test_adapters_change_how_images_are_read(folder: Path, tmp_path: Path) -> None:
    """The image is computed with the adapter's weights, whatever the request before had."""
    pairs = random_pairs("blk.0.attn_q.weight", "blk.0.attn_v.weight", "blk.1.attn_output.weight")
    lora = write_lora(tmp_path / "style.gguf", pairs, alpha=8)
    added = {weight: 8 / 4 * b @ a for weight, (a, b) in pairs.items()}
    mmproj = folder / "mmproj-omni.gguf"
    with xlc.Engine(write_byte_llama(tmp_path / "merged.gguf", added=added), mmproj=mmproj, **OPTIONS) as engine:
        merged = logprobs(engine, chat(image(RED), "what"))
    with xlc.Engine(folder / "base.gguf", mmproj=mmproj, **OPTIONS) as engine:
        base = logprobs(engine, chat(image(RED), "what"))
    with xlc.Engine(folder / "base.gguf", lora=lora, mmproj=mmproj, **OPTIONS) as engine:
        for _ in range(2):
            assert close(logprobs(engine, chat(image(RED), "what"), lora={"style": 0.0}), base)
            assert close(logprobs(engine, chat(image(RED), "what")), merged)


def test_conversations_with_images_can_be_saved(folder: Path, tmp_path: Path) -> None:
    messages = chat("zz", image(RED), "end")
    other = chat("zz", image(BLUE), "end")
    files = {"mmproj": folder / "mmproj-omni.gguf", **OPTIONS}
    with xlc.Engine(folder / "base.gguf", **files) as engine:
        expected = engine.chat(messages, **ASK)
        engine.save_session(tmp_path / "session", messages)
    with xlc.Engine(folder / "base.gguf", **files) as engine:
        engine.load_session(tmp_path / "session")
        again = engine.chat(messages, **ASK)
        assert again.usage.cached_tokens > IMAGE_TOKENS
        assert again.text == expected.text
        engine.load_session(tmp_path / "session")
        assert engine.chat(other, **ASK).usage.cached_tokens < IMAGE_TOKENS
    other_eyes = {"mmproj": write_mmproj(tmp_path / "other.gguf", audio=True, seed=8), **OPTIONS}
    with (
        xlc.Engine(folder / "base.gguf", **other_eyes) as engine,
        pytest.raises(xlc.InvalidRequestError, match="saved with mmproj = "),
    ):
        engine.load_session(tmp_path / "session")


# Ends


def six_sounds(n: int) -> list[xlc.Message]:
    return chat(*[sound(wav(100 * n + i)) for i in range(6)])


def test_cancelling_while_media_are_read(omni: xlc.Engine) -> None:
    n_prompt_tokens = omni.chat(six_sounds(1), max_tokens=1).usage.prompt_tokens

    def is_cut_short(n: int) -> bool:
        work = WorkCounter(omni)
        with omni.stream_chat(six_sounds(n), max_tokens=1) as stream:
            threading.Event().wait(0.005)
            stream.cancel()
        return work.prompt_tokens() < n_prompt_tokens

    # On a busy machine the whole prompt may be read before cancelling gets its turn.
    assert any(is_cut_short(n) for n in range(2, 12))
    with pytest.raises(xlc.RequestTimeoutError):
        omni.chat(six_sounds(12), max_tokens=1, timeout=0.005)
    assert omni.chat(chat(image(RED)), **ASK).text == omni.chat(chat(image(RED)), **ASK).text


def test_closing_while_media_are_read(folder: Path) -> None:
    engine = xlc.Engine(folder / "base.gguf", mmproj=folder / "mmproj-omni.gguf", **OPTIONS)
    stream = engine.stream_chat(six_sounds(1), max_tokens=1)
    engine.close()
    with pytest.raises(xlc.EngineClosedError):
        stream.result()


# Unreadable media


def test_model_without_projector_names_the_missing_file(engine: xlc.Engine, seeing: xlc.Engine) -> None:
    with pytest.raises(xlc.UnsupportedFeatureError, match=r"message 0 holds images.*open it with mmproj="):
        engine.chat(chat("look", image(RED)))
    with pytest.raises(xlc.UnsupportedFeatureError, match=r"message 0 holds sound.*open it with mmproj="):
        engine.count_tokens(chat("listen", sound(LOW)))
    with pytest.raises(xlc.UnsupportedFeatureError, match=r"message 1 holds sound.*reads images.*encoder for sound"):
        seeing.chat([xlc.Message(role="user", content="a"), *chat(sound(LOW))])


def test_video_needs_ffmpeg(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(folder))
    assert shutil.which("ffmpeg") is None
    with xlc.Engine(folder / "base.gguf", mmproj=folder / "mmproj-omni.gguf", **OPTIONS) as engine:
        with pytest.raises(xlc.UnsupportedFeatureError, match="install ffmpeg and ffprobe"):
            engine.chat(chat(xlc.VideoPart(data=b"moving pictures")))
        webp = b"RIFF\x24\0\0\0WEBPVP8 " + bytes(7) + b"\x9d\x01\x2a\x05\0\x05\0" + bytes(10)
        with pytest.raises(xlc.InvalidRequestError, match=r"part 0 \(image.*ffmpeg and ffprobe"):
            engine.chat(chat(image(webp)))


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (image(RED[:60]), r"message 0, part 1 \(image, 60 bytes\) cannot be decoded"),
        (image(RED[:-30]), "cannot be decoded"),
        (image(b"no picture at all"), "not a picture that can be read"),
        (image(b"\x89PNG\r\n\x1a\n"), "not a picture that can be read"),
        (image(LOW), "not a picture that can be read"),
        (image(b""), "is empty"),
        (image(b"\xff"), "not a picture"),
        (sound(RED), r"\(audio, \d+ bytes\) is not a sound that can be read"),
        (sound(b""), "is empty"),
        (sound(LOW[:30]), "cannot be decoded"),
        (sound(b"ID3" + bytes(40)), "cannot be decoded"),
        (sound(b"fLaC" + bytes(40)), "cannot be decoded"),
        (xlc.ImagePart(path="/no/such/file.png"), r"message 0, part 1: the file '/no/such/file.png' cannot be read"),
        (xlc.ImagePart(path="a\0b"), "cannot be read"),
        (xlc.ImagePart(url="data:image/png;base64,!!"), "part 1: '!!' is not valid base64"),
        (xlc.ImagePart(url="data:image/png"), "not a data: URL"),
        (xlc.ImagePart(url="file:///etc/passwd"), "path= for a file"),
        (xlc.ImagePart(url="http://127.0.0.1:9/x.png"), "without allow_remote_media"),
    ],
    ids=str,
)
def test_unreadable_media_are_refused_without_harm(omni: xlc.Engine, part: Any, reason: str) -> None:
    with omni.stream_chat(chat("the", image(BLUE)), **{**ASK, "max_tokens": 32}) as other:
        for _ in range(2):
            with pytest.raises(xlc.InvalidRequestError, match=reason):
                omni.chat(chat("the", part, "end"), **ASK)
        with pytest.raises(xlc.InvalidRequestError, match=reason):
            omni.count_tokens(chat("the", part, "end"))
        assert other.result().finish_reason == "length"
    assert omni.metrics().requests_running == 0


def test_picture_made_to_exhaust_memory_is_refused(omni: xlc.Engine) -> None:
    small = png((1, 2, 3))
    bomb = small[:16] + (20_000).to_bytes(4, "big") + (10_000).to_bytes(4, "big") + small[24:]
    with pytest.raises(xlc.InvalidRequestError, match="20000 × 10000 pixels, more than 100 million"):
        omni.chat(chat(image(bomb)))


def test_prompt_of_images_that_does_not_fit(omni: xlc.Engine) -> None:
    with pytest.raises(xlc.ContextOverflowError) as caught:
        omni.chat(chat(*[image(RED)] * 70))
    assert caught.value.n_prompt_tokens > 70 * IMAGE_TOKENS > caught.value.n_ctx


def test_image_larger_than_a_step_of_a_model_that_reads_it_at_once(folder: Path, tmp_path: Path) -> None:
    mmproj = write_mmproj(tmp_path / "gemma.gguf", vision="gemma3")
    with (
        xlc.Engine(folder / "base.gguf", mmproj=mmproj, n_ubatch=8, **OPTIONS) as engine,
        pytest.raises(xlc.InvalidRequestError, match=r"takes 16 tokens.*n_ubatch of at least 16"),
    ):
        engine.chat(chat(image(RED)))
    with xlc.Engine(folder / "base.gguf", mmproj=mmproj, **OPTIONS) as engine:
        assert not close(logprobs(engine, chat(image(RED))), logprobs(engine, chat(image(BLUE))))


def test_text_cannot_pass_for_an_image(omni: xlc.Engine) -> None:
    marker = _native.media_marker()
    assert omni.chat(chat(f"a {marker} b"), **ASK).usage.prompt_tokens > len(marker)
    with pytest.raises(xlc.InvalidRequestError, match="hold 1 images, sounds and videos"):
        omni.chat(chat(f"a {marker} b", image(RED)))


def test_template_that_drops_messages_is_found_out(folder: Path) -> None:
    last = "{{ messages[-1]['content'] }}:"
    with (
        xlc.Engine(folder / "base.gguf", mmproj="auto", chat_template=last, **OPTIONS) as engine,
        pytest.raises(xlc.InvalidRequestError, match="leaves some messages out"),
    ):
        engine.chat([*chat(image(RED)), xlc.Message(role="assistant", content="a"), *chat("b")])


def test_prompt_may_not_end_with_an_image(folder: Path) -> None:
    bare = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    with (
        xlc.Engine(folder / "base.gguf", mmproj="auto", chat_template=bare, **OPTIONS) as engine,
        pytest.raises(xlc.InvalidRequestError, match="ends with an image"),
    ):
        engine.chat(chat("look", image(RED)))


# Opening


def test_projectors_that_do_not_fit(folder: Path, tmp_path: Path) -> None:
    base = folder / "base.gguf"
    with pytest.raises(xlc.ModelLoadError, match=r"wide\.gguf' does not work with.*n_embd = 64.*n_embd = 96"):
        xlc.Engine(base, mmproj=write_mmproj(tmp_path / "wide.gguf", n_text=96), **OPTIONS)
    with pytest.raises(xlc.ModelLoadError, match="does not work with"):
        xlc.Engine(base, mmproj=base, **OPTIONS)
    broken = tmp_path / "broken.gguf"
    broken.write_bytes((folder / "mmproj-omni.gguf").read_bytes()[:5000])
    with pytest.raises(xlc.ModelLoadError, match="does not work with"):
        xlc.Engine(base, mmproj=broken, **OPTIONS)
    with pytest.raises(xlc.ModelNotFoundError, match=r"no multimodal projector at '.*gone\.gguf'"):
        xlc.Engine(base, mmproj=tmp_path / "gone.gguf", **OPTIONS)


def test_projector_beside_the_model(tmp_path: Path) -> None:
    base = write_byte_llama(tmp_path / "base.gguf")
    with pytest.raises(xlc.ModelNotFoundError, match="no file with mmproj in its name"):
        xlc.Engine(base, mmproj="auto", **OPTIONS)
    for name in ("mmproj-a.gguf", "mmproj-b.gguf"):
        write_mmproj(tmp_path / name)
    with pytest.raises(xlc.ModelNotFoundError, match=r"there is mmproj-a\.gguf, mmproj-b\.gguf"):
        xlc.Engine(base, mmproj="auto", **OPTIONS)


def test_context_that_may_hold_images_cannot_shift() -> None:
    with pytest.raises(xlc.InvalidRequestError, match="cannot shift"):
        xlc.EngineOptions.checked(model="m", mmproj="p", on_overflow="shift")


@pytest.mark.parametrize("kind", [xlc.ImagePart, xlc.AudioPart, xlc.VideoPart])
def test_part_has_one_source(kind: Any) -> None:
    for fields in ({}, {"data": b"x", "path": "y"}, {"data": b"x" * 10_000, "url": "data:,"}):
        with pytest.raises(ValueError, match="give one of data, path and url"):
            kind(**fields)
    with pytest.raises(ValueError, match="data"):
        kind(data="text")
    assert len(repr(kind(data=bytes(10_000)))) < 100
