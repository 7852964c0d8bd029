from __future__ import annotations

from typing import TYPE_CHECKING

import huggingface_hub
import pytest

from helpers.hub_server import HubServer
from helpers.own_folders import own_folders  # noqa: F401 - a fixture for every test of this folder

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server
        huggingface_hub.close_session()
