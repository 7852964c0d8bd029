"""Images and sound through the chat model, on a tiny model that reads them."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from helpers.tiny_media import BLUE, HIGH, IMAGE_TOKENS, LOW, RED, write_mmproj
from helpers.tiny_models import write_byte_llama
from xlc_langchain import ChatXLlama
from xlc_langchain.errors import InvalidRequestError


@pytest.fixture(scope="module")
def omni(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChatXLlama]:
    folder: Path = tmp_path_factory.mktemp("models")
    write_mmproj(folder / "mmproj.gguf", audio=True)
    options = {"mmproj": "auto", "n_parallel": 2, "warmup": False}
    model = write_byte_llama(folder / "model.gguf")
    with ChatXLlama(model=model, n_ctx=512, temperature=0, max_tokens=8, engine_options=options) as llm:
        yield llm


def look(data: bytes, kind: str = "image", text: str = "What?") -> list[Any]:
    block = {"type": kind, "base64": base64.b64encode(data).decode(), "mime_type": f"{kind}/x"}
    return [HumanMessage([{"type": "text", "text": text}, block])]


@pytest.mark.parametrize(("kind", "one", "other"), [("image", RED, BLUE), ("audio", LOW, HIGH)])
async def test_media_are_read_in_every_way_to_call(omni: ChatXLlama, kind: str, one: bytes, other: bytes) -> None:
    answer = omni.invoke(look(one, kind))
    assert omni.invoke(look(other, kind)).text != answer.text
    assert (await omni.ainvoke(look(one, kind))).text == answer.text
    assert "".join(chunk.text for chunk in omni.stream(look(one, kind))) == answer.text
    assert "".join([chunk.text async for chunk in omni.astream(look(one, kind))]) == answer.text
    both = omni.batch([look(one, kind), look(other, kind)])
    assert both[0].text == answer.text != both[1].text
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["input_tokens"] >= IMAGE_TOKENS
    assert omni.get_num_tokens_from_messages(look(one, kind)) == answer.usage_metadata["input_tokens"]


def test_unreadable_message_raises_langchain_error(omni: ChatXLlama) -> None:
    with pytest.raises(InvalidRequestError, match="cannot be decoded"):
        omni.invoke(look(RED[:60]))
    link = HumanMessage([{"type": "image", "url": "https://example.org/x.png"}])
    with pytest.raises(InvalidRequestError, match="without allow_remote_media"):
        omni.invoke([link])
