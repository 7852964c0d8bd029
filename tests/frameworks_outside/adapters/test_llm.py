"""xlc_llm: the plug-in in llm's own interface and command, on real models."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from typing import Any

import llm
import pytest
from llm.plugins import load_plugins, pm

import xlc_core as xlc
import xlc_llm
from helpers.tiny_media import BLUE, RED
from helpers.typed_city import CITY_TOKENS, TALE, City
from helpers.waiting import await_until, is_idle, wait_until
from xlc_core.frameworks import HeldChat, HeldEmbedder
from xlc_llm import models as plugin

NAME = "xllama/smollm2-135m-instruct"
GREEDY: dict[str, Any] = {"temperature": 0, "seed": 1, "max_tokens": CITY_TOKENS}
LONG: dict[str, Any] = {"temperature": 0, "max_tokens": 1500}


@pytest.fixture(autouse=True)
def registered(engine: xlc.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plug-in, with the engine that all tests share behind its models."""
    load_plugins()
    assert pm.is_registered(xlc_llm), "the entry point is missing"
    monkeypatch.setattr(plugin, "_held_chat", lambda name, n_ctx: HeldChat(engine=engine))


@pytest.fixture
def model() -> llm.Model:
    return llm.get_model(NAME)


def test_models_on_disk_are_listed_and_import_is_light() -> None:
    names = {entry.model.model_id for entry in llm.get_models_with_aliases()}
    assert NAME in names
    assert "xllama/all-minilm-l6-v2" in {entry.model.model_id for entry in llm.get_embedding_models_with_aliases()}
    code = "import sys, llm; before = set(sys.modules); import xlc_llm; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=True)
    assert "xlc_core" not in done.stdout


async def test_answers_match_schema_in_every_way_to_call(model: llm.Model) -> None:
    response = model.prompt("Name a city.", schema=City, **GREEDY)
    City.model_validate_json(response.text())
    assert response.json() == {"finish_reason": "stop"}
    usage = response.usage()
    assert usage.input > 0
    assert 0 < usage.output <= CITY_TOKENS
    other = llm.get_async_model(NAME).prompt("Name a city.", schema=City.model_json_schema(), **GREEDY)
    City.model_validate_json(await other.text())
    City.model_validate_json(model.prompt("Name a city.", schema=City, stream=False, **GREEDY).text())


def test_conversation_remembers(model: llm.Model, engine: xlc.Engine) -> None:
    conversation = model.conversation()
    first = conversation.prompt("I am Ann.", system="You are brief.", **{**GREEDY, "max_tokens": 3})
    first.text()
    second = conversation.prompt("Who am I?", **{**GREEDY, "max_tokens": 3})
    second.text()
    chat = [
        xlc.Message(role="system", content="You are brief."),
        xlc.Message(role="user", content="I am Ann."),
        xlc.Message(role="assistant", content=first.text()),
        xlc.Message(role="user", content="Who am I?"),
    ]
    assert second.usage().input == engine.count_tokens(chat)


def test_tools_run_in_chain(engine: xlc.Engine, monkeypatch: pytest.MonkeyPatch, model: llm.Model) -> None:
    called = []

    def weather(days: bool) -> str:
        """The weather."""
        called.append(days)
        return "sunny"

    class Forced(HeldChat):
        """llm has no choice of tools, so that the first answer is made to call one."""

        def join_options(self, call: dict[str, Any]) -> dict[str, Any]:
            return super().join_options({**call, "tool_choice": "none" if called else "required"})

    monkeypatch.setattr(plugin, "_held_chat", lambda name, n_ctx: Forced(engine=engine))
    chain = model.chain("Weather?", tools=[weather], options={**GREEDY, "max_tokens": 40})
    assert chain.text()
    assert called[0] in (True, False)
    first, second = chain._responses
    assert [call.name for call in first.tool_calls()] == ["weather"]
    assert [part.output for part in second.prompt.messages[-1].parts] == ["sunny"]


async def test_leaving_response_and_cancelling_task_free_slot(model: llm.Model, engine: xlc.Engine) -> None:
    response = iter(model.prompt(TALE, **LONG))
    next(response)
    response.close()
    assert wait_until(lambda: is_idle(engine))
    task = asyncio.ensure_future(llm.get_async_model(NAME).prompt(TALE, **LONG).text())
    assert await await_until(lambda: not is_idle(engine))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await await_until(lambda: is_idle(engine))


def test_thinking_is_apart(thinker: xlc.Engine, monkeypatch: pytest.MonkeyPatch, model: llm.Model) -> None:
    monkeypatch.setattr(plugin, "_held_chat", lambda name, n_ctx: HeldChat(engine=thinker))
    response = model.prompt(TALE, temperature=0, max_tokens=24)
    kinds = [event.type for event in response.stream_events()]
    assert kinds[0] == "reasoning"
    assert "text" in kinds
    assert response.usage().details["reasoning"] == 5
    silent = model.prompt(TALE, temperature=0, max_tokens=8, thinking=False)
    assert {event.type for event in silent.stream_events()} == {"text"}


def test_images_are_read(seer: xlc.Engine, monkeypatch: pytest.MonkeyPatch, model: llm.Model) -> None:
    monkeypatch.setattr(plugin, "_held_chat", lambda name, n_ctx: HeldChat(engine=seer))
    plugin._facts.cache_clear()
    assert "image/png" in model.attachment_types
    texts = {
        model.prompt(
            "What?", attachments=[llm.Attachment(content=image, type="image/png")], temperature=0, max_tokens=8
        ).text()
        for image in (RED, BLUE)
    }
    assert len(texts) == 2
    plugin._facts.cache_clear()


async def test_errors_are_shown_to_user(model: llm.Model) -> None:
    with pytest.raises(llm.ModelError, match="shorten the prompt") as caught:
        model.prompt("llama " * 3000, max_tokens=1).text()
    assert isinstance(caught.value.__cause__, xlc.ContextOverflowError)
    with pytest.raises(llm.ModelError):
        await llm.get_async_model(NAME).prompt("llama " * 3000, max_tokens=1).text()


def test_embeddings(embedder: xlc.Engine) -> None:
    ours = llm.get_embedding_model("xllama/all-minilm-l6-v2")
    ours.__dict__["_held"] = HeldEmbedder(engine=embedder)
    expected = embedder.embed(["A llama.", "A car."]).tolist()
    assert list(ours.embed_multi(["A llama.", "A car."])) == [pytest.approx(one, abs=1e-5) for one in expected]
    with pytest.raises(llm.ModelError):
        ours.embed("llama " * 3000)


def test_command_answers(tmp_path: Any) -> None:
    """As a user runs it: llm finds the plug-in by its entry point."""
    code = "from llm.cli import cli; cli()"
    command = [sys.executable, "-c", code, "-m", NAME, "Name a city.", "--no-stream", "-o", "temperature", "0"]
    command += ["-o", "max_tokens", "60", "-o", "n_ctx", "512", "--schema", json.dumps(City.model_json_schema())]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
        env={**os.environ, "LLM_USER_PATH": str(tmp_path), "LLM_LOAD_PLUGINS": "xllama"},
    )
    assert done.returncode == 0, done.stderr
    City.model_validate_json(done.stdout)
