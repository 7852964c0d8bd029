"""Pictures of the server's page for docs/server.md: a chat, and a constraint that a text leaves.

A real server, SmolLM2 and Debian's chromium with chromedriver. Needs selenium, and tests/ on the path.
"""

from __future__ import annotations

import base64
from pathlib import Path

import xlc_core as xlc
from helpers.browsers import open_page
from helpers.servers import running_server
from helpers.waiting import wait_until

__all__ = ["take"]

MODEL = "smollm2-135m-instruct"


def take(folder: Path) -> None:
    """Write page-chat.png and page-constraints.png.

    Args:
        folder: where.
    """
    with (
        xlc.EnginePool({MODEL: {"model": MODEL, "n_ctx": 2048, "n_parallel": 4}}) as pool,
        running_server(pool) as url,
        open_page(url, width=900, height=600) as page,
    ):
        page.set_option("temperature", "0")
        page.set_option("max_tokens", "80")
        page.ask("What is the capital of France?")
        page.wait_for_end()
        page.ask("What is it known for?")
        assert wait_until(lambda: len(page.answers()[-1]) > 120 and page.find("#slots i.busy"))
        save(folder / "page-chat.png", page.driver.get_screenshot_as_base64())
        page.wait_for_end()
        page.show("Constraints")
        page.fill("text", '{"city": "Rome", "founded": "-753')
        page.wait_for("verdict", "Refused")
        save(folder / "page-constraints.png", page.driver.get_screenshot_as_base64())


def save(path: Path, encoded: str) -> None:
    """Write a picture that the browser returned."""
    path.write_bytes(base64.b64decode(encoded))
