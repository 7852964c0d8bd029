"""The page keeps texts as texts, and is readable: colours, widths, names for screen readers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import uvicorn
from selenium.common.exceptions import JavascriptException
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Mount, Route

import xlc_core as xlc
from helpers.browsers import Page, open_page
from helpers.servers import served
from helpers.waiting import wait_until
from xlc_server import create_app

HTML = "<img src=x onerror=\"document.title='attacked'\"><script>document.title='attacked'</script>"
CODE = "Do `this`:\n```python\nprint('<b>')\n```\nDone."
CONTRAST = """
const [text, back] = arguments;
const light = (colour) => {
  const parts = colour.match(/\\d+/g).slice(0, 3).map((part) => part / 255);
  const [r, g, b] = parts.map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const [a, b] = [light(getComputedStyle(text).color), light(getComputedStyle(back).backgroundColor)];
return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
"""


@pytest.fixture
def scripted_url(pool: xlc.EnginePool) -> Iterator[str]:
    """A server whose chats have the deltas that the question lists, since no small model writes HTML when asked."""

    async def answer(request: Request) -> Response:
        deltas: list[dict[str, Any]] = json.loads((await request.json())["messages"][-1]["content"])
        events: list[Any] = [
            delta if "error" in delta else {"choices": [{"delta": delta, "finish_reason": delta.get("end")}]}
            for delta in deltas
        ]

        async def stream() -> AsyncIterator[str]:
            for event in [*map(json.dumps, events), "[DONE]"]:
                yield f": a comment, as proxies send them\n\ndata: {event}\n\n"
                while '"wait"' in event and not await request.is_disconnected():  # noqa: ASYNC110
                    await asyncio.sleep(0.01)

        return StreamingResponse(stream(), media_type="text/event-stream")

    app = Starlette(
        routes=[Route("/v1/chat/completions", answer, methods=["POST"]), Mount("/", create_app(pool, ui=True))]
    )
    with served(uvicorn.Server(uvicorn.Config(app, port=0))) as address:
        yield address


def test_texts_of_models_stay_texts(scripted_url: str) -> None:
    with open_page(scripted_url) as page:
        assert "<img src=x onerror=alert(1)>" in page.models()
        page.choose("model", "<img src=x onerror=alert(1)>")
        page.ask(json.dumps([{"content": HTML[:9]}, {"content": HTML[9:]}, {"reasoning_content": HTML}]))
        page.wait_for_end()
        assert page.answers() == [HTML]
        page.ask(json.dumps([{"error": {"message": HTML}}]))
        page.wait_for("problem", HTML)
        page.driver.refresh()  # shows the messages again
        assert page.answers() == [HTML]
        assert page.find("main img, main script") == []
        assert page.driver.title == "xllama"
        with pytest.raises(JavascriptException, match="TrustedHTML"):
            page.run("document.body.innerHTML = '<b>bold</b>'")


def test_thinking_is_folded_and_code_is_set_apart(scripted_url: str) -> None:
    with open_page(scripted_url) as page:
        page.ask(json.dumps([{"reasoning_content": "Let me "}, {"reasoning_content": "think."}, {"content": CODE}]))
        page.wait_for_end()
        thinking = page.find("article.assistant details")[0]
        assert not page.find("article.assistant details pre")[0].is_displayed()
        thinking.find_element("css selector", "summary").click()
        assert page.find("article.assistant details pre")[0].text == "Let me think."
        assert [code.text for code in page.find("article.assistant .text code")] == ["this", "print('<b>')"]
        assert page.answers() == ["Do this:\nprint('<b>')\n\nDone."]


def test_stopping_while_the_model_thinks_keeps_the_thoughts(scripted_url: str) -> None:
    with open_page(scripted_url) as page:
        page.ask(json.dumps([{"reasoning_content": "Let me "}, {"wait": True}]))
        assert wait_until(lambda: page.find("article.assistant details"))
        page["stop"].click()
        page.wait_for_end()
        page.wait_for("speed", "Stopped.")
        thinking = page.find("article.assistant details pre")[0]
        assert thinking.get_property("textContent") == "Let me "
        page.ask(json.dumps([{"content": "Next."}]))
        page.wait_for_end()
        assert page.answers() == ["", "Next."]


def test_empty_answer_is_an_answer(scripted_url: str) -> None:
    with open_page(scripted_url) as page:
        page.ask(json.dumps([{"content": ""}, {"end": "stop"}]))
        page.wait_for_end()
        assert page.answers() == [""]
        assert page["question"].get_property("value") == ""
        assert "after 0." in page.text("speed")


def test_answer_that_breaks_off_is_kept_with_the_error(scripted_url: str) -> None:
    with open_page(scripted_url) as page:
        page.ask(json.dumps([{"content": "Half"}, {"error": {"message": "No more."}}]))
        page.wait_for("problem", "No more.")
        page.wait_for_end()
        assert page.answers() == ["Half"]


def test_page_calls_its_server_only(page: Page, url: str) -> None:
    page.ask("Hi.")
    page.wait_for_end()
    called = page.run(
        "return performance.getEntries().map((entry) => entry.name).filter((name) => name.includes(':/'))"
    )
    assert len(called) > 5
    assert all(name.startswith(url) for name in called)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_are_readable(url: str, scheme: str) -> None:
    with open_page(url, scheme=scheme) as page:
        page.ask("Hi.")
        page.wait_for_end()
        body = page.find("html")[0]
        back = page.run("return getComputedStyle(document.documentElement).backgroundColor")
        assert (int(back.split("(")[1].split(",")[0]) < 128) is (scheme == "dark")
        for selector in ("article.assistant .text", "article h2", "#speed", "#clear"):
            assert page.run(CONTRAST, page.find(selector)[0], body) > 4.5, selector
        for selector in (".user .text", "#question", "#send", "nav a[aria-current]"):
            assert page.run(CONTRAST, page.find(selector)[0], page.find(selector)[0]) > 4.5, selector
        page.show("Constraints")
        page.fill("text", "x")
        page.wait_for("verdict", "Refused")
        assert page.run(CONTRAST, page["verdict"], body) > 4.5
        assert page.run(CONTRAST, page.find("mark")[0], page.find("mark")[0]) > 4.5
        button = page.find("#expected button")[0]
        assert page.run(CONTRAST, button, button) > 4.5


@pytest.mark.parametrize("width", [320, 600])
def test_narrow_window_shows_everything(url: str, width: int) -> None:
    with open_page(url, width=width, height=560) as page:
        page.ask("Write " + "a" * 80)
        page.wait_for_end()
        for view in ("Constraints", "Chat"):
            page.show(view)
            assert page.run("return document.documentElement.scrollWidth") <= width
        for name in ("question", "send", "clear", "model"):
            box = page[name].rect
            assert 0 <= box["x"] <= width - box["width"], name
            assert 0 <= box["y"] <= 560 - box["height"], name
        page.find("[popovertarget]")[0].click()
        assert page["settings"].rect["x"] >= 0
        assert page["settings"].rect["y"] + page["settings"].rect["height"] <= 560


def test_everything_has_a_name_and_is_reached_by_keyboard(page: Page) -> None:
    page.models()
    reached = set()
    for view in ("Chat", "Constraints"):
        page.show(view)
        for control in page.find("input, select, textarea, button, #messages, nav a"):
            assert control.accessible_name or not control.is_displayed(), control.get_attribute("id")
        page.run("document.activeElement.blur()")
        for _ in range(16):
            page.driver.switch_to.active_element.send_keys("\t")
            reached.add(page.driver.switch_to.active_element.get_attribute("id"))
    assert {"model", "question", "messages", "kind", "constraint", "text", "take"} <= reached
    assert page.find("nav a[aria-current=page]")[0].text == "Constraints"
