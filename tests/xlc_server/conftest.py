"""One pool of real models, reached through a socket and without one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import openai
import pytest

import xlc_core as xlc
import xlc_server
from helpers.servers import SMALL_MODELS, running_server


@pytest.fixture(scope="package")
def pool() -> Iterator[xlc.EnginePool]:
    with xlc.EnginePool(SMALL_MODELS, others="none") as opened:
        yield opened


@pytest.fixture(scope="package")
def url(pool: xlc.EnginePool) -> Iterator[str]:
    with running_server(pool) as address:
        yield address


@pytest.fixture(scope="package")
def chat_engine(pool: xlc.EnginePool) -> Iterator[xlc.Engine]:
    """The engine behind ``chat``."""
    with pool.acquire("chat") as lease:
        yield lease.engine


@pytest.fixture(params=["socket", "portless"])
def client(request: pytest.FixtureRequest, pool: xlc.EnginePool) -> Iterator[openai.OpenAI]:
    if request.param == "portless":
        made = xlc_server.openai_client(pool)
    else:
        made = openai.OpenAI(base_url=f"{request.getfixturevalue('url')}/v1", api_key="none", max_retries=0)
    with made:
        yield made


@pytest.fixture(params=["socket", "portless"])
async def aclient(request: pytest.FixtureRequest, pool: xlc.EnginePool) -> AsyncIterator[openai.AsyncOpenAI]:
    if request.param == "portless":
        made = xlc_server.async_openai_client(pool)
    else:
        made = openai.AsyncOpenAI(base_url=f"{request.getfixturevalue('url')}/v1", api_key="none", max_retries=0)
    async with made:
        yield made
