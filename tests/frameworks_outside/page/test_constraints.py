"""The view for constraints, in the page."""

from __future__ import annotations

import httpx
from selenium.webdriver.common.keys import Keys

from helpers.browsers import Page
from helpers.waiting import wait_until


def next_tokens(page: Page) -> list[str]:
    return [str(button.get_property("textContent")) for button in page.find("#expected button")]


def test_text_is_followed_token_by_token(page: Page) -> None:
    page.models()
    page.show("Constraints")
    page.wait_for("verdict", "This can be enforced.")
    assert any(token.startswith("{") for token in next_tokens(page))
    page.choose("kind", "Regular expression")
    page["constraint"].clear()
    page["constraint"].send_keys("(yes|no)!")
    page.fill("text", "ye")
    page.wait_for("verdict", "Allowed, but not complete.")
    assert wait_until(lambda: next_tokens(page) == ["s"])
    page.find("#expected button")[0].click()
    assert wait_until(lambda: next_tokens(page) == ["!"])
    assert page["text"].get_property("value") == "yes"
    page.find("#expected button")[0].send_keys(Keys.ENTER)
    page.wait_for("verdict", "A complete answer.")
    assert next_tokens(page) == []
    page["text"].send_keys("7")
    page.wait_for("verdict", "Refused after 4 bytes, where the answer was complete.")
    assert page.find("#shown mark")[0].text == "7"
    assert page.text("shown") == "yes!7"
    assert page.errors() == []


def test_reason_why_a_constraint_is_refused_is_the_servers(page: Page, url: str) -> None:
    page.models()
    page.show("Constraints")
    for name, kind, constraint in (
        ("JSON schema", "json_schema", '{"type": "nothing"}'),
        ("GBNF", "gbnf", "start ::= [a-z]"),
        ("Regular expression", "regex", "(a"),
    ):
        page.choose("kind", name)
        page["constraint"].clear()
        page["constraint"].send_keys(constraint)
        body = {"model": "chat", "kind": kind, "constraint": constraint}
        answer = httpx.post(f"{url}/constraints/explain", json=body, timeout=60)
        assert answer.status_code == 400
        page.wait_for("verdict", answer.json()["error"]["message"])


def test_answers_of_the_chat_can_be_taken(page: Page) -> None:
    page.ask("Name a city.")
    page.wait_for_end()
    page.show("Constraints")
    page.choose("kind", "Regular expression")
    page["constraint"].clear()
    page["constraint"].send_keys("(?s).*")
    page["take"].click()
    page.wait_for("verdict", "A complete answer.")
    assert page["text"].get_property("value") == page.text("shown")
    assert page.text("shown")


def test_drafts_survive_other_kinds_and_a_reload(page: Page) -> None:
    page.models()
    page.show("Constraints")
    page.choose("kind", "GBNF")
    page["constraint"].clear()
    page["constraint"].send_keys('root ::= "mine"')
    page.choose("kind", "JSON schema")
    assert '"city"' in str(page["constraint"].get_property("value"))
    page.choose("kind", "GBNF")
    page.driver.refresh()
    assert page["constraint"].get_property("value") == 'root ::= "mine"'
    page.wait_for("verdict", "This can be enforced.")
