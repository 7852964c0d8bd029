"""Takes the pictures of the page in docs/server.md: a chat, and a constraint that an answer leaves.

    PYTHONPATH=tests build/frameworks/page/bin/python tests/frameworks_outside/page/take_screenshot.py

The environment is that of `make test-frameworks ONLY=page`.
"""

from __future__ import annotations

import base64
from pathlib import Path

import xlc_core as xlc
from helpers.browsers import open_page
from helpers.servers import running_server
from helpers.waiting import wait_until

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "images"
MODEL = "smollm2-135m-instruct"


def main() -> None:
    """Write docs/images/page-chat.png and page-constraints.png."""
    FOLDER.mkdir(exist_ok=True)
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
        save("page-chat.png", page.driver.get_screenshot_as_base64())
        page.wait_for_end()
        page.show("Constraints")
        page.fill("text", '{"city": "Rome", "founded": "-753')
        page.wait_for("verdict", "Refused")
        save("page-constraints.png", page.driver.get_screenshot_as_base64())


def save(name: str, encoded: str) -> None:
    """Write a picture."""
    (FOLDER / name).write_bytes(base64.b64decode(encoded))


if __name__ == "__main__":
    main()
