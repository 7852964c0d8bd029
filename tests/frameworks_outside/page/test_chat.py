"""Chats in the page, with SmolLM2."""

from __future__ import annotations

import re

import httpx
import pytest
from selenium.webdriver.common.keys import Keys

import xlc_core as xlc
from helpers.browsers import Page, open_page
from helpers.servers import running_server
from helpers.waiting import is_idle, wait_until

ENDLESS = """
const ask = window.fetch;
window.fetch = (path, request) => {
  const changes = {ignore_eos: true, max_tokens: 4000};
  if (request.body) request.body = JSON.stringify({...JSON.parse(request.body), ...changes});
  return ask(path, request);
};
"""
"""Answers go on until the context is full."""


def asked(page: Page, path: str) -> list[str]:
    """Return the requests to a path of the server."""
    names = page.run("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    return [name for name in names if f"/{path}" in name]


def test_answers_are_streamed_and_remembered(page: Page, pool: xlc.EnginePool, engine: xlc.Engine) -> None:
    assert page.models() == list(pool.names())
    page.find("[popovertarget]")[0].click()
    page.fill("temperature", "0")
    page.fill("max_tokens", "12")
    page.fill("system", "Answer in English.")
    page["system"].send_keys(Keys.ESCAPE)
    assert not page["settings"].is_displayed()
    page.ask("Name a city.")
    page.wait_for_end()
    messages = [
        {"role": "system", "content": "Answer in English."},
        {"role": "user", "content": "Name a city."},
    ]
    expected = engine.chat(messages, temperature=0, max_tokens=12)
    assert page.answers() == [expected.text]
    shown = re.fullmatch(
        r"[\d.]+ tokens/s · first token after [\d.]+ s · (\d+) tokens( \(the limit\))?", page.text("speed")
    )
    assert shown is not None, page.text("speed")
    assert int(shown[1]) == expected.usage.completion_tokens
    assert bool(shown[2]) == (expected.choices[0].finish_reason == "length")
    before = engine.metrics()
    page.ask("And another one?")
    page.wait_for_end()
    assert len(page.answers()) == 2
    read = engine.metrics().prompt_tokens + engine.metrics().cached_tokens - before.prompt_tokens - before.cached_tokens
    history = [
        *messages,
        {"role": "assistant", "content": expected.text},
        {"role": "user", "content": "And another one?"},
    ]
    assert read == engine.count_tokens(history)
    answers = page.answers()
    page.driver.refresh()
    assert page.answers() == answers
    assert page["temperature"].get_property("value") == "0"
    page["clear"].click()
    assert page.answers() == []
    page.driver.refresh()
    assert page.answers() == []
    assert page.errors() == []


@pytest.mark.parametrize("way", ["button", "key"])
def test_stopping_frees_the_slot(page: Page, engine: xlc.Engine, way: str) -> None:
    page.run(ENDLESS)
    page.ask("Count to a thousand.")
    assert wait_until(lambda: page.answers() and len(page.answers()[0]) > 10)
    assert engine.metrics().requests_running == 1
    assert page["messages"].get_attribute("aria-busy") == "true"
    if way == "button":
        page["stop"].click()
    else:
        page["question"].send_keys(Keys.ESCAPE)
    assert wait_until(lambda: is_idle(engine))
    page.wait_for("speed", "Stopped.")
    page.wait_for_end()
    assert len(page.answers()[0]) > 10
    assert page.text("problem") == ""
    assert page["messages"].get_attribute("aria-busy") == "false"
    n_tokens = engine.metrics().generation_tokens
    page.driver.refresh()
    page.fill("question", "Hi.")
    assert engine.metrics().generation_tokens == n_tokens


def test_slots_are_shown(page: Page, engine: xlc.Engine) -> None:
    page.models()
    assert wait_until(lambda: len(page.find("#slots i")) == engine.info.n_parallel)
    page.run(ENDLESS)
    page.ask("Count to a thousand.")
    assert wait_until(lambda: len(page.find("#slots i.busy")) == 1)
    assert page["slots"].accessible_name == "1 of 2 slots are busy"
    page["stop"].click()
    assert wait_until(lambda: not page.find("#slots i.busy"))


def test_reader_is_not_moved_when_an_answer_ends(page: Page) -> None:
    page.set_option("max_tokens", "200")
    page.run("sessionStorage.setItem('messages', JSON.stringify([{role: 'user', content: 'a\\n'.repeat(90)}]))")
    page.driver.refresh()
    page.run(ENDLESS.replace("4000", "60"))
    page.ask("Go on.")
    assert wait_until(lambda: page.answers() and len(page.answers()[0]) > 10)
    assert page.run("return messages.scrollTop") > 500  # the question has moved to where it is seen
    page.run("messages.scrollTop = 40")
    page.wait_for_end()
    assert page.run("return messages.scrollTop") == 40


def test_chat_goes_on_when_it_cannot_be_kept(page: Page) -> None:
    page.run("Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); };")
    for n_answers in (1, 2):
        page.ask("Hi.")
        page.wait_for_end()
        assert len(page.answers()) == n_answers
    page.wait_for("problem", "too long to be kept")


def test_error_is_what_the_server_says(page: Page, url: str) -> None:
    page.models()
    page.choose("model", "embed")
    body = {"model": "embed", "messages": [{"role": "user", "content": "Hi."}]}
    expected = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60).json()["error"]["message"]
    page.ask("Hi.")
    page.wait_for("problem", expected)
    assert page["problem"].is_displayed()
    assert page["question"].get_property("value") == "Hi."  # to try again
    assert page.answers() == []
    page.choose("model", "chat")
    page["send"].click()
    page.wait_for_end()
    assert page.text("problem") == ""


def test_server_that_has_gone_is_named(pool: xlc.EnginePool) -> None:
    with running_server(pool) as address:
        opened = open_page(address)
        page = opened.__enter__()
        page.models()
    page.ask("Hi.")
    page.wait_for("problem", "The server does not answer.")
    opened.__exit__(None, None, None)


def test_key_is_asked_for_and_kept_in_the_tab_only(pool: xlc.EnginePool) -> None:
    with running_server(pool, api_keys=("secret",)) as address, open_page(address) as page:
        expected = httpx.get(f"{address}/v1/models").json()["error"]["message"]
        page.wait_for("problem", expected)
        assert page.driver.switch_to.active_element == page["key"]
        page["key"].send_keys("wrong\t")
        page.wait_for("problem", expected)
        assert asked(page, "slots") == []  # programs that count refused requests must not lock the user out
        page.fill("key", "secret")
        page["key"].send_keys(Keys.TAB)
        assert "chat" in page.models()
        assert page.text("problem") == ""
        stored = page.run("return [sessionStorage.getItem('key'), localStorage.length, document.cookie, location.href]")
        assert stored[:3] == ["secret", 0, ""]
        assert "secret" not in stored[3]
        page["key"].send_keys(Keys.ESCAPE)
        page.ask("Hi.")
        page.wait_for_end()
        assert len(page.answers()) == 1, page.text("problem")


def test_page_works_below_a_path_of_another_application(pool: xlc.EnginePool) -> None:
    """Its files and requests are named relative to it."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.routing import Mount

    from helpers.servers import served
    from xlc_server import create_app

    app = Starlette(routes=[Mount("/llm", create_app(pool, ui=True))])
    with served(uvicorn.Server(uvicorn.Config(app, port=0))) as address, open_page(f"{address}/llm") as page:
        page.ask("Hi.")
        page.wait_for_end()
        assert len(page.answers()) == 1, page.text("problem")
