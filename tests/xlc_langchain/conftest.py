"""Adapters over the chat engine that the whole run shares."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from xlc_langchain import ChatXLlama

if TYPE_CHECKING:
    from xlc_core import Engine


@pytest.fixture
def llm(engine: Engine) -> ChatXLlama:
    """SmolLM2, the likeliest tokens, few of them; seeded, so that a prompt's cached part changes no rounding."""
    return ChatXLlama(engine=engine, temperature=0, seed=1, max_tokens=12)
