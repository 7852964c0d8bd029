"""One pool of real models, and a server of ours with it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import xlc_core as xlc
from helpers.servers import SMALL_MODELS, running_server


@pytest.fixture(scope="session")
def pool() -> Iterator[xlc.EnginePool]:
    with xlc.EnginePool(SMALL_MODELS, others="none") as opened:
        yield opened


@pytest.fixture(scope="session")
def root(pool: xlc.EnginePool) -> Iterator[str]:
    """The server's address."""
    with running_server(pool) as address:
        yield address


@pytest.fixture(scope="session")
def url(root: str) -> str:
    """The address of OpenAI's API."""
    return f"{root}/v1"
