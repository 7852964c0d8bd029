"""Real models behind a server of ours, and the page in a browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

import xlc_core as xlc
from helpers.browsers import PROGRAMS, Page, open_page
from helpers.servers import running_server


@pytest.fixture(scope="session", autouse=True)
def _require_browser() -> None:
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not found; Debian: apt-get install chromium chromium-driver")


@pytest.fixture(scope="session")
def pool() -> Iterator[xlc.EnginePool]:
    models = {
        "chat": {"model": "smollm2-135m-instruct", "n_ctx": 2048, "n_parallel": 2, "n_threads": 1},
        "embed": "all-minilm-l6-v2",
        "<img src=x onerror=alert(1)>": "all-minilm-l6-v2",
    }
    with xlc.EnginePool(models, others="none") as opened:
        yield opened


@pytest.fixture(scope="session")
def engine(pool: xlc.EnginePool) -> Iterator[xlc.Engine]:
    """The engine behind ``chat``."""
    with pool.acquire("chat") as lease:
        yield lease.engine


@pytest.fixture(scope="session")
def url(pool: xlc.EnginePool) -> Iterator[str]:
    with running_server(pool) as address:
        yield address


@pytest.fixture
def page(url: str) -> Iterator[Page]:
    with open_page(url) as opened:
        yield opened
