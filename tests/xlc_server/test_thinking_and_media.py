"""Thinking, images and sound in chats; and a client that leaves while it waits for a slot."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

import xlc_core as xlc
import xlc_server
from helpers.servers import running_server
from helpers.thinking_template import THINKING_TEMPLATE
from helpers.tiny_models import write_byte_llama
from helpers.waiting import is_idle, wait_until

MODELS = Path(__file__).parents[1] / "model_files"
HELLO: Any = [{"role": "user", "content": "Say hello."}]


@pytest.fixture(scope="module")
def thinker() -> Iterator[openai.OpenAI]:
    options: Any = {"n_ctx": 1024, "n_parallel": 2, "chat_template": THINKING_TEMPLATE}
    with xlc_server.openai_client({"thinks": "smollm2-135m-instruct"}, **options) as client:
        yield client


def test_thinking_is_apart(thinker: openai.OpenAI) -> None:
    options: Any = {
        "model": "thinks",
        "messages": HELLO,
        "max_tokens": 24,
        "temperature": 0,
        "seed": 1,
        "extra_body": {"thinking_budget": 6},
    }
    answer = thinker.chat.completions.create(**options)
    message: Any = answer.choices[0].message
    assert message.reasoning_content
    assert message.content
    assert answer.usage is not None
    assert answer.usage.completion_tokens_details is not None
    assert answer.usage.completion_tokens_details.reasoning_tokens
    thoughts, text = "", ""
    for chunk in thinker.chat.completions.create(**options, stream=True):
        delta: Any = chunk.choices[0].delta
        thoughts += getattr(delta, "reasoning_content", None) or ""
        text += delta.content or ""
    assert (thoughts, text) == (message.reasoning_content, message.content)


def test_thinking_is_turned_off(thinker: openai.OpenAI) -> None:
    further: list[Any] = [{"reasoning_effort": "none"}, {"extra_body": {"thinking": False}}]
    further += [{"extra_body": {"chat_template_kwargs": {"enable_thinking": False}}}]
    for options in further:
        answer = thinker.chat.completions.create(model="thinks", messages=HELLO, max_tokens=8, **options)
        message: Any = answer.choices[0].message
        assert getattr(message, "reasoning_content", None) is None
        assert message.content


def test_effort_reaches_the_template(thinker: openai.OpenAI) -> None:
    template = "{{ reasoning_effort }}|{{ other }}|{% for m in messages %}{{ m['content'] }}{% endfor %}"
    with xlc.EnginePool({"m": "smollm2-135m-instruct"}, n_ctx=512, n_parallel=1, chat_template=template) as pool:
        client = xlc_server.openai_client(pool)
        body = {"messages": HELLO, "reasoning_effort": "high", "chat_template_kwargs": {"other": "x"}}
        rendered = client.post("http://localhost/apply-template", body=body, cast_to=httpx.Response)
        assert rendered.json()["prompt"].startswith("high|x|")
        client.close()


def test_images_are_read() -> None:
    options: Any = {"mmproj": MODELS / "gemma3-vision-mmproj.gguf", "n_ctx": 512, "n_parallel": 2, "n_threads": 1}
    with xlc.EnginePool({"sees": MODELS / "gemma3-vision.gguf"}, **options) as pool:
        client = xlc_server.openai_client(pool)
        for number in (0, 1):
            picture = (MODELS / f"gemma3-vision-{number}.png").read_bytes()
            url = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
            content: Any = [
                {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
                {"type": "text", "text": "a"},
            ]
            answer = client.chat.completions.create(
                model="sees", messages=[{"role": "user", "content": content}], max_tokens=4, temperature=0, seed=1
            )
            with pool.acquire("sees") as lease:
                message = xlc.Message(role="user", content=(xlc.ImagePart(data=picture), xlc.TextPart(text="a")))
                expected = lease.engine.chat([message], max_tokens=4, temperature=0, seed=1)
            assert answer.choices[0].message.content == expected.text
            assert answer.usage is not None
            assert answer.usage.prompt_tokens == expected.usage.prompt_tokens
        broken: Any = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(model="sees", messages=[{"role": "user", "content": broken}])
        client.close()


def test_model_without_a_projector_refuses_images(thinker: openai.OpenAI) -> None:
    content: Any = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    with pytest.raises(openai.UnprocessableEntityError, match="mmproj"):
        thinker.chat.completions.create(model="thinks", messages=[{"role": "user", "content": content}])


def test_client_that_leaves_while_it_waits_for_a_slot_or_a_prompt(tmp_path: Path) -> None:
    model = write_byte_llama(tmp_path / "tiny.gguf", n_ctx=8192)
    endless = {"messages": HELLO, "max_tokens": 8000, "ignore_eos": True, "stream": True}
    with (
        xlc.EnginePool({"tiny": model}, n_ctx=8192, n_parallel=1) as pool,
        running_server(pool, grace=0) as url,
        pool.acquire("tiny") as lease,
    ):
        path, engine = f"{url}/v1/chat/completions", lease.engine
        left = threading.Event()

        def leave() -> None:
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(path, json=endless, timeout=httpx.Timeout(60, read=0.5))
            left.set()

        with httpx.stream("POST", path, json=endless, timeout=60) as first:
            lines = first.iter_lines()
            assert next(lines)
            waiting = threading.Thread(target=leave)
            waiting.start()
            assert wait_until(lambda: engine.metrics().requests_waiting == 1)
            assert left.wait(60)
            waiting.join()
            assert wait_until(lambda: engine.metrics().requests_waiting == 0)
            assert engine.metrics().requests_running == 1
        assert wait_until(lambda: is_idle(engine))
