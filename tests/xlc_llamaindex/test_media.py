"""Images and sound through the LLM, on a tiny model that reads them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from llama_index.core.base.llms.types import AudioBlock, ChatMessage, ImageBlock, TextBlock

import xlc_core as xlc
from helpers.tiny_media import BLUE, HIGH, IMAGE_TOKENS, LOW, RED, write_mmproj
from helpers.tiny_models import write_byte_llama
from xlc_llamaindex import XLlama


@pytest.fixture(scope="module")
def omni(tmp_path_factory: pytest.TempPathFactory) -> Iterator[XLlama]:
    folder: Path = tmp_path_factory.mktemp("models")
    write_mmproj(folder / "mmproj.gguf", audio=True)
    options = {"mmproj": "auto", "n_parallel": 1, "warmup": False}
    model = write_byte_llama(folder / "model.gguf")
    with XLlama(model=model, n_ctx=1024, temperature=0, max_tokens=8, engine_options=options) as llm:
        yield llm


def look(block: ImageBlock | AudioBlock) -> list[ChatMessage]:
    return [ChatMessage(blocks=[TextBlock(text="What?"), block])]


@pytest.mark.parametrize(
    ("one", "other"),
    [(ImageBlock(image=RED), ImageBlock(image=BLUE)), (AudioBlock(audio=LOW), AudioBlock(audio=HIGH))],
    ids=["image", "audio"],
)
def test_media_are_read(omni: XLlama, one: ImageBlock | AudioBlock, other: ImageBlock | AudioBlock) -> None:
    answer = omni.chat(look(one))
    assert omni.chat(look(other)).message.content != answer.message.content
    assert list(omni.stream_chat(look(one)))[-1].message.content == answer.message.content
    assert answer.raw["usage"]["prompt_tokens"] >= IMAGE_TOKENS


def test_path_is_same(omni: XLlama, tmp_path: Path) -> None:
    path = tmp_path / "red.png"
    path.write_bytes(RED)
    expected = omni.chat(look(ImageBlock(image=RED))).message.content
    assert omni.chat(look(ImageBlock(path=path))).message.content == expected


def test_unreadable_input_is_named(omni: XLlama, llm: XLlama) -> None:
    with pytest.raises(xlc.InvalidRequestError, match="not a picture that can be read"):
        omni.chat(look(ImageBlock(image=b"no picture")))
    with pytest.raises(xlc.InvalidRequestError, match="without allow_remote_media"):
        omni.chat(look(ImageBlock(url="https://example.org/x.png")))
    with pytest.raises(xlc.UnsupportedFeatureError, match=r"message 0 holds images.*mmproj="):
        llm.chat(look(ImageBlock(image=RED)))
